/* cli/memory: `quorum memory`: add, search, list, delete, on the same store as the conversations. Single-threaded.
 * It never loads a model: tokens of passages are estimated. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rag/rag.h"

const cli_command cli_memory = { "memory", N_(
    "quorum memory add PATH... [--db FILE]        takes text and Markdown files, or folders of them, into memory\n"
    "quorum memory search TEXT [--json] [-n N]    the passages that would be fed, and why\n"
    "quorum memory list\n"
    "quorum memory delete ID                      with all index entries; the bytes are overwritten"), cmd_memory };

enum { PREVIEW = 300 };                 /* bytes of a passage that a search shows */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig) { (void)sig; interrupted = 1; }

static bool show_file(void *user, const rag_progress *p)
{
    (void)user;
    if (isatty(2)) q_say(stderr, "\r\033[K%d %s", p->seen, p->path);
    return !interrupted;
}

static bool going_on(void *user) { return !interrupted; }

static int add(mem_store *s, int n, char **path, char *err)
{
    struct sigaction a = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &a, NULL);            /* what was added stays; the present file ends whole */
    rag_progress all = {0};
    int rc = Q_OK, bad = 0;
    for (int i = 0; i < n && !interrupted; i++) {
        rag_progress p;
        rag_add_opts o = {.progress = show_file, .go = going_on};
        int one = rag_add(s, path[i], &o, &p, err);
        if (isatty(2)) q_say_own(stderr, "\r\033[K");
        q_buf why = {0};
        rag_skips_words(&p, &why);
        if (why.len) q_say_text(stderr, why.p);
        q_buf_free(&why);
        all.gone += p.gone;
        all.added += p.added;
        all.unchanged += p.unchanged;
        all.skipped += p.skipped;
        all.chunks += p.chunks;
        if (one == Q_OK) continue;
        bad = cli_fail(err);
        rc = one;
        if (one == Q_IO || one == Q_CANCEL) break;
    }
    q_say(stdout, _("%d added (%d passages), %d unchanged, %d skipped\n"), all.added, all.chunks, all.unchanged, all.skipped);
    if (all.gone)
        q_say(stdout, ngettext("%d file is gone from its folder: it is no longer fed, and quorum memory delete removes it\n",
                               "%d files are gone from their folder: they are no longer fed, and quorum memory delete removes them\n",
                               (unsigned long)all.gone), all.gone);
    return rc == Q_OK ? 0 : bad;
}

static int search(mem_store *s, const char *text, int max, bool json, char *err)
{
    rag_config c = rag_config_default();
    c.max_passages = max;
    c.budget = 1000000;
    rag_result *r;
    if (rag_search(s, &c, text, NULL, &r, err) != Q_OK) return cli_fail(err);
    if (json) {
        static const char *const trust[] = {"own", "manual", "model"};
        cJSON *o = cJSON_CreateObject(), *a = cJSON_AddArrayToObject(o, "passages");
        cJSON_AddNumberToObject(o, "v", 1);
        cJSON_AddStringToObject(o, "query", text);
        cJSON_AddNumberToObject(o, "min_score", r->min_score);
        cJSON_AddNumberToObject(o, "fed", r->n_fed);
        cJSON_AddNumberToObject(o, "best_below", r->best_below);
        cJSON *t = cJSON_AddArrayToObject(o, "terms");
        for (int i = 0; i < r->n_term; i++) {
            cJSON *e = cJSON_CreateObject();
            cJSON_AddStringToObject(e, "word", r->term[i].word);
            cJSON_AddStringToObject(e, "stem", r->term[i].stem);
            cJSON_AddNumberToObject(e, "weight", r->term[i].weight);
            cJSON_AddNumberToObject(e, "with", (double)r->term[i].with);
            cJSON_AddNumberToObject(e, "of", (double)r->term[i].of);
            cJSON_AddItemToArray(t, e);
        }
        for (int i = 0; i < r->n; i++) {
            const rag_passage *p = &r->v[i];
            cJSON *e = cJSON_CreateObject();
            cJSON_AddNumberToObject(e, "rank", p->rank);
            cJSON_AddNumberToObject(e, "number", p->number);
            cJSON_AddStringToObject(e, "fate", rag_fate_word(p->fate));
            cJSON_AddStringToObject(e, "kind", p->kind == MEM_CHUNK ? "document" : "chat");
            cJSON_AddNumberToObject(e, "source", (double)p->source);
            cJSON_AddStringToObject(e, "label", p->label);
            cJSON_AddStringToObject(e, "trust", trust[p->trust]);
            cJSON_AddNumberToObject(e, "offset", (double)p->offset);
            cJSON_AddNumberToObject(e, "score", p->score);
            q_buf b = {0};
            cli_json_signals(e, rag_signals_text(p, &b));
            q_buf_free(&b);
            cJSON_AddNumberToObject(e, "bm25", p->bm25);
            cJSON_AddStringToObject(e, "text", p->text);
            cJSON_AddItemToArray(a, e);
        }
        char *out = cJSON_PrintUnformatted(o);
        if (out) q_say_json(stdout, out);
        free(out);
        cJSON_Delete(o);
    } else {
        for (int i = 0; i < r->n; i++) {
            if (r->v[i].fate != RAG_FED) continue;
            bool more = strlen(r->v[i].text) > PREVIEW;
            q_say(stdout, "[%d] %.2f  %s\n    %.*s%s\n", r->v[i].number, r->v[i].score, r->v[i].label, PREVIEW, r->v[i].text, more ? "…" : "");
        }
        q_buf b = {0};
        q_say(stdout, "%s\n", rag_summary(r, &b));
        q_buf_free(&b);
    }
    rag_result_free(r);
    return 0;
}

static int list(mem_store *s, char *err)
{
    static const char *const trust[] = {N_("own"), N_("manual"), N_("model")};
    mem_documents l;
    if (mem_document_list(s, &l, err) != Q_OK) return cli_fail(err);
    for (int i = 0; i < l.n; i++) {
        char size[32];
        q_say(stdout, "%5lld  %-7s %9s %5d  %s%s\n", (long long)l.v[i].id, _(trust[l.v[i].trust]), q_bytes_words((uint64_t)l.v[i].bytes, size),
              l.v[i].n_chunks, l.v[i].title, l.v[i].gone_ms ? _("  (gone from its folder, not fed)") : "");
    }
    if (l.n == 0) q_say(stdout, "%s\n", _("memory holds no documents: quorum memory add PATH takes some in"));
    mem_documents_free(&l);
    return 0;
}

int cmd_memory(int argc, char **argv)
{
    const char *db = NULL, *act = NULL, *rest[256];
    int n = 0, max = 5;
    bool json = false, plain = false;
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool dash = argv[i][0] == '-' && argv[i][1] && !plain;
        if (dash && strcmp(argv[i], "--") == 0) plain = true;
        else if (dash && strcmp(argv[i], "--json") == 0) json = true;
        else if (dash && (v = cli_opt(argc, argv, &i, "--db")) != NULL) db = v;
        else if (dash && (v = cli_opt(argc, argv, &i, "-n")) != NULL) {
            if (!cli_int(v, 1, 20, &max)) return cli_usage(&cli_memory, _("-n is a number from 1 to 20"));
        } else if (dash) return cli_usage(&cli_memory, _("unknown or incomplete option"));
        else if (!act) act = argv[i];
        else if (n < 256) rest[n++] = argv[i];
        else return cli_usage(&cli_memory, _("too many arguments"));
    }
    static const struct { const char *name; int min, max; } acts[] = {{"add", 1, 256}, {"search", 1, 256}, {"list", 0, 0}, {"delete", 1, 1}};
    int which = -1;
    for (int i = 0; act && i < 4; i++)
        if (strcmp(act, acts[i].name) == 0) which = i;
    if (which < 0) return cli_usage(&cli_memory, act ? _("memory knows add, search, list and delete") : "");
    if (n < acts[which].min || n > acts[which].max) return cli_usage(&cli_memory, _("wrong number of arguments"));

    char err[Q_ERRLEN], *end = NULL;
    long long id = which == 3 ? strtoll(rest[0], &end, 10) : 0;
    if (which == 3 && (end == rest[0] || *end || id <= 0)) return cli_usage(&cli_memory, _("delete takes an ID as quorum memory list shows it"));
    mem_store *s;
    if (mem_open(db, &s, err) != Q_OK || rag_manual(s, err) != Q_OK) return cli_fail(err);
    int status = 0;
    if (which == 0) {
        status = add(s, n, (char **)rest, err);
    } else if (which == 1) {
        q_buf q = {0};
        for (int i = 0; i < n; i++) q_buf_printf(&q, "%s%s", i ? " " : "", rest[i]);
        status = search(s, q.p, max, json, err);
        q_buf_free(&q);
    } else if (which == 2) {
        status = list(s, err);
    } else if (rag_remove(s, id, err) != Q_OK) {
        status = cli_fail(err);
    }
    if (mem_tidy(s, going_on, NULL, err) < 0 && !interrupted) status = cli_fail(err);
    char *said = mem_note(s);
    if (said) q_say(stderr, "quorum: %s\n", said);
    free(said);
    mem_close(s);
    return status;
}
