/* cli/memory: `quorum memory`: add, search, list, delete, export, on the same store as the conversations. Single-threaded.
 * It never loads a model to talk with: tokens of passages are estimated. */
#include "agent/agent.h"
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/keep.h"
#include "cli/meaning.h"
#include "engine/embed.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rag/rag.h"

const cli_command cli_memory = { "memory", N_(
    "quorum memory add PATH... [--db FILE] [--again]  takes text, Markdown and archives of chats, or folders of them, into memory;\n"
    "    --again: also what was forgotten of archives\n"
    "quorum memory search TEXT [--json] [-n N] [--explain] [--mode auto|lexical|hybrid|graph] [-m F] [--rerank MODEL|default]\n"
    "                     [--since DAY] [--until DAY] [--by me|model|NAME]  only what was said or taken in then, or by them\n"
    "    the best passages, and which of them would be fed; --explain: every number of it. F is an embedding model: without -m\n"
    "    the one that quorum model fetch --embedder brings, if it is there; --rerank: a chat model judges them once more\n"
    "quorum memory graph NAME [--json] [--svg FILE [--force]]  what stands beside a name in memory, as text or as a picture\n"
    "quorum memory list\n"
    "quorum memory map [--json]                   how much of what there is, in which languages, and how it grew\n"
    "quorum memory embed [--limit N] [-m F] [--json]  makes the vectors for search by meaning, now (the shell does so by itself)\n"
    "quorum memory embed --drop MODEL [--yes]     vectors of a model that is not used go, by its name as status shows it; asks first\n"
    "quorum memory status [--json]                what there is, and how many passages are owed a vector\n"
    "quorum memory delete ID... [--yes]           with all index entries; the bytes are overwritten; asks first\n"
    "quorum memory forget WHAT [--yes]            as /forget: an ID, a PATH, chat N, message N, gone, since DAY [until DAY], words TEXT\n"
    "quorum memory verify --absent TEXT           looks for TEXT in every byte that is kept; status 1 where it stands\n"
    "quorum memory check                          is all of it in order? What can be made again is\n"
    "quorum memory backups                        the copies there are, one a day\n"
    "quorum memory restore DAY [--yes]            the memory becomes what it was on that day; asks first\n"
    "quorum memory export [--db FILE]             everything as lines of JSON, also of a file that cannot be opened\n"
    "quorum memory export --markdown FOLDER [--force]  everything that a person can read, as a folder of Markdown\n"
    "quorum memory import FILE [--db FILE]        an empty memory takes such lines in: all of it is there again"), cmd_memory };

enum { PREVIEW = 300 };                 /* bytes of a passage that a search shows */

/* One line that rewrites itself: what is longer than the terminal would leave its beginning above. The end of a path tells more. */
static bool show_file(void *user, const rag_progress *p)
{
    (void)user;
    struct winsize w = {0};
    if (!isatty(2)) return cli_go(NULL);
    size_t room = ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col - 14u : 66, n = strlen(p->path), from = n > room ? n - room : 0;
    while (from && from < n && (p->path[from] & 0xC0) == 0x80) from++;
    q_say(stderr, "\r\033[K%d %s%s", p->seen, from ? "…" : "", p->path + from);
    return cli_go(NULL);
}

/* Where there is no terminal, what takes long is told once. */
static void tell_beginning(const char *path)
{
    enum { LONG = 1 << 20 };
    struct stat st;
    if (!isatty(2) && stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || st.st_size >= LONG)) q_say(stderr, _("adding %s ...\n"), path);
}

static int add(mem_store *s, const memory_ask *a, char *err)
{
    cli_heed(SIGINT, 0, NULL);                /* what was added stays; the present file ends whole */
    rag_progress all = {0};
    int rc = Q_OK, bad = 0;
    for (int i = 0; i < a->n && cli_go(NULL); i++) {
        rag_progress p;
        rag_add_opts o = {.progress = show_file, .go = cli_go, .again = a->again};
        tell_beginning(a->rest[i]);
        int one = rag_add(s, a->rest[i], &o, &p, err);
        if (isatty(2)) q_say_own(stderr, "\r\033[K");
        q_buf why = {0};
        rag_skips_words(&p, &why);
        if (why.len) q_say_text(stderr, why.p);
        q_buf_free(&why);
        all.gone += p.gone;
        all.renamed += p.renamed;
        all.added += p.added;
        all.unchanged += p.unchanged;
        all.skipped += p.skipped;
        all.chunks += p.chunks;
        all.chats += p.chats;
        all.chats_more += p.chats_more;
        all.chats_same += p.chats_same;
        all.messages += p.messages;
        all.forgotten += p.forgotten;
        all.damaged += p.damaged;
        if (one == Q_OK) continue;
        bad = cli_fail(err);
        rc = one;
        if (one == Q_IO || one == Q_CANCEL) break;
    }
    q_buf chats = {0};
    rag_chats_words(&all, &chats);
    if (!chats.len || all.added + all.unchanged + all.skipped) {
        q_say(stdout, ngettext("%d file added", "%d files added", (unsigned long)all.added), all.added);
        q_say(stdout, " (");
        q_say(stdout, ngettext("%d passage", "%d passages", (unsigned long)all.chunks), all.chunks);
        q_say(stdout, "), ");
        q_say(stdout, _("%d unchanged, %d skipped"), all.unchanged, all.skipped);
        q_say(stdout, "\n");
    }
    if (chats.len) q_say(stdout, "%s\n", chats.p);
    q_buf_free(&chats);
    if (all.renamed) q_say(stdout, ngettext("%d file has another name\n", "%d files have other names\n", (unsigned long)all.renamed), all.renamed);
    if (all.gone)
        q_say(stdout, ngettext("%d file is gone from its folder: it is no longer fed, and quorum memory delete removes it\n",
                               "%d files are gone from their folder: they are no longer fed, and quorum memory delete removes them\n",
                               (unsigned long)all.gone), all.gone);
    return rc == Q_OK ? 0 : bad;
}

static void search_json(const rag_result *r, const char *text)
{
    cJSON *o = cJSON_CreateObject(), *a = cJSON_AddArrayToObject(o, "passages");
    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddStringToObject(o, "query", text);
    cJSON_AddNumberToObject(o, "min_score", r->min_score);
    cJSON_AddNumberToObject(o, "fed", r->n_fed);
    cJSON_AddNumberToObject(o, "best_below", r->best_below);
    cJSON_AddStringToObject(o, "by", r->by == RAG_HYBRID ? "hybrid" : r->by == RAG_GRAPH ? "graph" : r->by == RAG_OFF ? "off" : "lexical");
    if (r->note) cJSON_AddStringToObject(o, "note", r->note);
    rag_json_narrowed(o, &r->narrowed);
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
        cJSON_AddStringToObject(e, "trust", rag_trust_word(p->trust));
        cJSON_AddNumberToObject(e, "offset", (double)p->offset);
        if (p->away_ms) cJSON_AddNumberToObject(e, "not_reachable_since", (double)p->away_ms);
        cJSON_AddNumberToObject(e, "score", p->score);
        q_buf b = {0};
        rag_json_signals(e, rag_signals_text(p, &b));
        q_buf_free(&b);
        cJSON_AddNumberToObject(e, "bm25", p->bm25);
        cJSON_AddStringToObject(e, "text", p->text);
        cJSON_AddItemToArray(a, e);
    }
    char *out = cJSON_PrintUnformatted(o);
    if (out) q_say_json(stdout, out);
    free(out);
    cJSON_Delete(o);
}

/* What lies near in meaning, where there is a model for it; NULL: there is none, and that is no failure unless one was named. */
static int open_near(mem_store *s, const memory_ask *a, eng_embedder **model, rag_near **near, char *err)
{
    rag_embedder e;
    char *path = NULL;
    *near = NULL;
    if (a->mode == RAG_LEXICAL) return Q_OK;
    int rc = cli_memory_embedder(s, a->model, &path, err);
    if (rc == Q_OK) rc = cli_embedder(path, 0, model, err);
    free(path);
    if (rc != Q_OK) return rc == Q_NOTFOUND && !a->model ? Q_OK : rc;
    cli_lend(*model, &e);
    *near = rag_near_new(s, &e);
    return Q_OK;
}

static void search_words(const rag_result *r, const memory_ask *a)
{
    q_buf b = {0};
    if (a->explain) rag_explain(r, &b);
    if (a->explain) q_say_text(stdout, b.p);
    int *order = rag_shown(r);
    for (int i = 0, shown = 0; i < r->n && shown < a->max && !a->explain; i++, shown++) {
        const rag_passage *p = &r->v[order[i]];
        char number[16] = "-";
        if (p->fate == RAG_FED) snprintf(number, sizeof number, "[%d]", p->number);
        char *away = p->away_ms ? rag_away_words(p->away_ms) : NULL;
        q_say(stdout, "%s %.2f  %s%s%s%s%s\n    %.*s%s\n", number, p->score, p->label, away ? "  (" : "", away ? away : "", away ? ")" : "", p->fate == RAG_FED ? "" : _("  (would not be fed)"),
              PREVIEW, p->text, strlen(p->text) > PREVIEW ? "…" : "");
        free(away);
    }
    free(order);
    if (!a->explain && r->narrowed.words) q_say(stdout, "%s\n", r->narrowed.words);
    if (!a->explain && r->note) q_say(stdout, "%s\n", r->note);
    if (!a->explain) q_say(stdout, r->searched ? _("asked as a question: %s\n") : "%s\n", rag_summary(r, &b));
    q_buf_free(&b);
}

static const char *const memory_of[MEMORY_OF] = {"--since", "--until", "--by"};

static bool judging_on(void *user, int done, int total) { return cli_go(NULL); }

/* As memory.rerank does before an answer, in as much time as it takes. */
static int second_look(const char *model, const char *question, const rag_config *c, const rag_scope *scope, rag_result *r, char *err)
{
    prov *who = NULL;
    int judged, rc = cli_memory_second(model, &who, err);
    if (rc == Q_OK) rc = agt_second_look(who, question, c, scope, r, judging_on, NULL, &judged, err);
    prov_close(who);
    return rc;
}

static int search(mem_store *s, const memory_ask *a, char *err)
{
    rag_config c = rag_config_default();
    c.max_passages = a->max;
    c.budget = 1000000;
    c.mode = a->mode;
    q_buf q = {0};
    q_buf_puts(&q, "");                 /* no words: the newest of that time, or by them */
    for (int i = 0; i < a->n; i++) q_buf_printf(&q, "%s%s", i ? " " : "", a->rest[i]);
    rag_result *r = NULL;
    eng_embedder *model = NULL;
    rag_scope scope = {.budget = -1};
    int rc = Q_OK;
    for (int i = 0; i < MEMORY_OF && rc == Q_OK; i++)
        if (a->of[i]) rc = rag_scope_set(&scope, memory_of[i] + 2, a->of[i], err);
    if (rc == Q_OK) rc = open_near(s, a, &model, &scope.near, err);
    if (rc == Q_OK) rc = rag_search(s, &c, q.p, &scope, &r, err);
    if (rc == Q_OK && a->rerank) rc = second_look(a->rerank, q.p, &c, &scope, r, err);
    if (rc == Q_OK && a->json && a->explain) {
        char *json = rag_explain_json(r, q.p);
        if (json) q_say_json(stdout, json);
        free(json);
    } else if (rc == Q_OK && a->json) {
        search_json(r, q.p);
    } else if (rc == Q_OK) {
        search_words(r, a);
    }
    rag_result_free(r);
    rag_near_free(scope.near);
    eng_embedder_close(model);
    q_buf_free(&q);
    return rc == Q_OK ? 0 : cli_fail(err);
}

static int list(mem_store *s, const memory_ask *a, char *err)
{
    static const char *const trust[] = {N_("own"), N_("manual"), N_("model"), N_("server")};
    mem_documents l;
    if (mem_document_list(s, &l, err) != Q_OK) return cli_fail(err);
    for (int i = 0; i < l.n; i++) {
        char size[32];
        char *was = *l.v[i].was ? rag_repaired_words(l.v[i].was) : NULL;
        q_say(stdout, "%5lld  %-7s %9s %5d  %s%s%s%s%s\n", (long long)l.v[i].id, _(trust[l.v[i].trust]), q_bytes_words((uint64_t)l.v[i].bytes, size),
              l.v[i].n_chunks, l.v[i].title, l.v[i].gone_ms ? _("  (gone from its folder, not fed)") : "", was ? "  (" : "", was ? was : "", was ? ")" : "");
        free(was);
    }
    if (l.n == 0) q_say(stdout, "%s\n", _("memory holds no documents: quorum memory add PATH takes some in"));
    mem_documents_free(&l);
    return 0;
}

static int map(mem_store *s, const memory_ask *a, char *err)
{
    q_buf b = {0};
    char *json = NULL;
    int rc = rag_map(s, cli_go, NULL, a->json ? NULL : &b, a->json ? &json : NULL, err);
    if (rc == Q_OK && a->json) q_say_json(stdout, json);
    else if (rc == Q_OK) q_say_text(stdout, b.p);
    free(json);
    q_buf_free(&b);
    return rc == Q_OK ? 0 : cli_fail(err);
}

/* ---- delete ---- */
static bool ids_are_numbers(const memory_ask *a)
{
    for (int i = 0; i < a->n; i++) {
        char *end;
        if (strtoll(a->rest[i], &end, 10) <= 0 || *end) return false;
    }
    return true;
}

static bool agreed(const memory_ask *a, mem_store *s)
{
    q_buf b = {0};
    for (int i = 0; i < a->n; i++) {
        mem_document d;
        char err[Q_ERRLEN];
        if (mem_document_get(s, strtoll(a->rest[i], NULL, 10), &d, err) != Q_OK) continue;
        q_buf_say(&b, "%5lld  %s\n", (long long)d.id, d.title);
        mem_document_free(&d);
    }
    q_buf_puts(&b, _("Remove this from memory for good? [y/N] "));
    bool yes = memory_agreed(a, b.p);
    q_buf_free(&b);
    return yes;
}

static int delete(mem_store *s, const memory_ask *a, char *err)
{
    int64_t id[MEMORY_REST_MAX];
    int done = 0;
    for (int i = 0; i < a->n; i++) {            /* all of them are there, or nothing is done */
        mem_document d;
        id[i] = strtoll(a->rest[i], NULL, 10);
        if (mem_document_get(s, id[i], &d, err) != Q_OK) return cli_fail(err);
        mem_document_free(&d);
    }
    if (!agreed(a, s)) return 1;
    int rc = rag_remove_all(s, id, a->n, &done, err);
    agt_forget_states(s, id, done);
    return rc == Q_OK ? 0 : cli_fail(err);
}

/* ---- export ---- */
static bool export_row(void *user, const char *table, const mem_export_value *v, int n)
{
    char *line = rag_export_line(table, v, n);
    if (line) q_say_json(stdout, line);
    free(line);
    return cli_go(NULL) && !ferror(stdout);
}

/* Read-only and without opening the store: also a file that was refused. */
static int export(const memory_ask *a, char *err)
{
    int unread = 0, rc = mem_export(a->db, export_row, NULL, &unread, err);
    if (rc == Q_OK && (fflush(stdout) != 0 || ferror(stdout))) rc = q_fail(err, Q_IO, _("the export could not be written: %s"), strerror(errno));
    if (rc != Q_OK) return cli_fail(err);
    memory_left(a);
    if (unread == 0) return 0;
    memory_unread(unread);
    return 1;
}

/* --markdown: a folder that a person can read. */
static int export_folder(mem_store *s, const memory_ask *a, char *err)
{
    cli_heed(SIGINT, 0, NULL);
    return memory_export(s, a, cli_go, err);
}

static int drop(mem_store *s, const memory_ask *a, char *err)
{
    int rc = cli_memory_drop(s, a, err);
    return rc < 0 ? cli_fail(err) : rc;
}

static int embed(mem_store *s, const memory_ask *a, char *err) { return a->drop ? drop(s, a, err) : cli_memory_embed(s, a->model, a->limit, a->json, err) == Q_OK ? 0 : cli_fail(err); }
static int status(mem_store *s, const memory_ask *a, char *err) { return cli_memory_status(s, a->json, err) == Q_OK ? 0 : cli_fail(err); }

/* ---- the acts ---- */
/* opens: works on the store; else on the file. */
static const struct act { const char *name; int min, max; int (*run)(mem_store *, const memory_ask *, char *err); int (*file)(const memory_ask *, char *err); } acts[] = {
    {"add", 1, MEMORY_REST_MAX, add, NULL},
    {"search", 0, MEMORY_REST_MAX, search, NULL},
    {"graph", 1, MEMORY_REST_MAX, memory_graph, NULL},
    {"list", 0, 0, list, NULL},
    {"map", 0, 0, map, NULL},
    {"embed", 0, 0, embed, NULL},
    {"status", 0, 0, status, NULL},
    {"delete", 1, MEMORY_REST_MAX, delete, NULL},
    {"forget", 1, MEMORY_REST_MAX, memory_forget, NULL},
    {"verify", 0, 0, NULL, memory_verify},
    {"check", 0, 0, memory_check, NULL},
    {"backups", 0, 0, NULL, memory_backups},
    {"restore", 1, 1, NULL, memory_restore},
    {"export", 0, 0, NULL, export},
    {"import", 1, 1, memory_import, NULL},
};

static int on_store(const struct act *act, const memory_ask *a, char *err)
{
    mem_store *s;
    if (mem_open(a->db, &s, err) != Q_OK) return cli_fail(err);
    int status = rag_manual(s, err) != Q_OK ? cli_fail(err) : act->run(s, a, err);
    /* an error is said once: what made the act fail would make the tidying fail too */
    if (status == 0 && mem_tidy(s, cli_go, NULL, err) < 0 && cli_go(NULL)) status = cli_fail(err);
    char *said = mem_note(s);
    if (said) q_say(stderr, "quorum: %s\n", said);
    free(said);
    mem_close(s);
    return status;
}

/* By the knob's own words; -1: no way to search. */
static int search_mode(const char *v)
{
    char err[Q_ERRLEN];
    rag_config c = rag_config_default();
    return rag_config_set(&c, "memory.mode", v, err) == Q_OK && c.mode != RAG_OFF ? c.mode : -1;
}

/* Takes an option of what is searched. */
static bool of_which(int argc, char **argv, int *i, const char *of[MEMORY_OF])
{
    const char *v;
    for (int k = 0; k < MEMORY_OF; k++)
        if ((v = cli_opt(argc, argv, i, memory_of[k])) != NULL) {
            of[k] = v;
            return true;
        }
    return false;
}

int cmd_memory(int argc, char **argv)
{
    const char *name = NULL;
    memory_ask a = {.max = 5};
    bool plain = false;
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool dash = argv[i][0] == '-' && argv[i][1] && !plain;
        if (dash && strcmp(argv[i], "--") == 0) plain = true;
        else if (dash && strcmp(argv[i], "--json") == 0) a.json = true;
        else if (dash && strcmp(argv[i], "--yes") == 0) a.yes = true;
        else if (dash && strcmp(argv[i], "--again") == 0) a.again = true;
        else if (dash && strcmp(argv[i], "--force") == 0) a.force = true;
        else if (dash && (v = cli_opt(argc, argv, &i, "--svg")) != NULL) a.svg = v;
        else if (dash && (v = cli_opt(argc, argv, &i, "--drop")) != NULL) a.drop = v;
        else if (dash && (v = cli_opt(argc, argv, &i, "--markdown")) != NULL) a.markdown = v;
        else if (dash && strcmp(argv[i], "--explain") == 0) a.explain = true;
        else if (dash && (v = cli_opt(argc, argv, &i, "--mode")) != NULL) {
            if ((a.mode = search_mode(v)) < 0) return cli_usage(&cli_memory, _("--mode is auto, lexical, hybrid or graph"));
        }
        else if (dash && (v = cli_opt(argc, argv, &i, "--rerank")) != NULL) a.rerank = v;
        else if (dash && of_which(argc, argv, &i, a.of)) continue;
        else if (dash && (v = cli_opt(argc, argv, &i, "--db")) != NULL) a.db = v;
        else if (dash && (v = cli_opt(argc, argv, &i, "--absent")) != NULL) a.absent = v;
        else if (dash && (v = cli_opt(argc, argv, &i, "-m")) != NULL) a.model = v;
        else if (dash && (v = cli_opt(argc, argv, &i, "--limit")) != NULL) {
            if (!cli_int(v, 1, INT_MAX, &a.limit)) return cli_usage(&cli_memory, _("--limit is a number of passages from 1 on"));
        } else if (dash && (v = cli_opt(argc, argv, &i, "-n")) != NULL) {
            if (!cli_int(v, 1, 20, &a.max)) return cli_usage(&cli_memory, _("-n is a number from 1 to 20"));
        } else if (dash) return cli_usage(&cli_memory, _("unknown or incomplete option"));
        else if (!name) name = argv[i];
        else if (a.n < MEMORY_REST_MAX) a.rest[a.n++] = argv[i];
        else return cli_usage(&cli_memory, _("too many arguments"));
    }
    static const struct act folder = {"export", 0, 0, export_folder, NULL};
    const struct act *act = NULL;
    for (size_t i = 0; name && i < sizeof acts / sizeof *acts; i++)
        if (strcmp(name, acts[i].name) == 0) act = &acts[i];
    if (!act) return cli_usage(&cli_memory, name ? _("memory knows add, search, graph, list, map, embed, status, delete, forget, verify, check, backups, restore, export and import") : "");
    if (a.n < act->min || a.n > act->max) return cli_usage(&cli_memory, _("wrong number of arguments"));
    if ((act->file == memory_verify) != (a.absent != NULL) || (a.absent && !*a.absent)) return cli_usage(&cli_memory, _("verify takes --absent TEXT, and nothing else does"));
    if (act->run == search && !a.n && !a.of[0] && !a.of[1] && !a.of[2]) return cli_usage(&cli_memory, _("wrong number of arguments"));
    for (int i = 0; i < MEMORY_OF; i++)
        if (a.of[i] && act->run != search) return cli_usage(&cli_memory, _("search takes --since, --until and --by, and nothing else does"));
    if (a.markdown && act->file != export) return cli_usage(&cli_memory, _("export takes --markdown FOLDER, and nothing else does"));
    if (a.markdown) act = &folder;
    if ((act->run != memory_graph && a.svg) || (a.force && act->run != memory_graph && act != &folder))
        return cli_usage(&cli_memory, _("graph takes --svg FILE, it and export --markdown take --force, and nothing else does"));
    if (a.drop && (act->run != embed || a.model || a.limit)) return cli_usage(&cli_memory, _("embed takes --drop MODEL alone, and nothing else does"));
    if (a.again && act->run != add) return cli_usage(&cli_memory, _("add takes --again, and nothing else does"));
    if (act->run == delete && !ids_are_numbers(&a)) return cli_usage(&cli_memory, _("delete takes an ID as quorum memory list shows it"));
    char err[Q_ERRLEN];
    return act->run ? on_store(act, &a, err) : act->file(&a, err);
}
