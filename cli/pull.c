/* cli/pull: `quorum model pull`: shows what a hub has, brings what was chosen. Main thread; the work is advice/pull.h's. An interrupt ends it so that
 * the same command goes on. The path of what was brought goes to standard output, all else to standard error. */
#include "advice/pull.h"
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct show {
    bool json, open;                    /* open: the progress line stands */
    char *path;                         /* that it is of */
    char *words;
    cli_progress p;
    int64_t told;
    uint64_t first;                     /* bytes that were there at the start */
    bool begun, hashing;
} show;

static void show_close(show *s, bool done)
{
    if (s->open) cli_progress_end(&s->p, done);
    s->open = false;
    free(s->path);
    free(s->words);
    s->path = s->words = NULL;
}

static void tell_json(show *s, const adv_pull_news *n)
{
    int64_t now = q_now_ns();
    if (!n->note && now - s->told < 1000000000) return;
    s->told = now;
    cJSON *o = cli_event("pull");
    cJSON_AddStringToObject(o, "file", n->path);
    cJSON_AddNumberToObject(o, "done", (double)n->done);
    cJSON_AddNumberToObject(o, "total", (double)n->total);
    cJSON_AddBoolToObject(o, "hashing", n->hashing);
    if (n->note) cJSON_AddStringToObject(o, "note", n->note);
    cli_say_event(o);
}

static void tell(void *user, const adv_pull_news *n)
{
    show *s = user;
    if (!s->begun) s->first = n->done;
    s->begun = true;
    if (s->json) {
        tell_json(s, n);
        return;
    }
    if (n->note) {
        if (s->open) cli_progress_end(&s->p, false);
        s->open = false;
        q_say(stderr, "%s\n", n->note);
    }
    if (!s->open || strcmp(s->path, n->path) != 0 || s->hashing != n->hashing) {
        bool other = s->path && strcmp(s->path, n->path) != 0;
        show_close(s, other);
        s->path = q_strdup(n->path);
        s->hashing = n->hashing;
        s->words = q_printf(n->hashing ? _("checking %s") : _("bringing %s"), n->path);
        cli_progress_start(&s->p, s->words);
        s->open = true;
    }
    cli_progress_step(&s->p, n->done, n->total);
}

/* ---- what there is ---- */
static const struct { const char *name, *words; } places[] = {
    [ADV_GPU] = {"gpu", N_("fits on the GPU")}, [ADV_SPLIT] = {"split", N_("fits on the GPU and in memory together")}, [ADV_RAM] = {"ram", N_("fits in the memory that is free")},
    [ADV_DISK] = {"disk", N_("larger than the memory that is free, experts could be read from the disk")}, [ADV_NOWHERE] = {"nowhere", N_("larger than the memory that is free")},
};

static void list_json(const adv_pull_repo *r, const adv_machine *m)
{
    cJSON *o = cli_event("pull_list"), *sets = cJSON_AddArrayToObject(o, "models"), *files = cJSON_AddArrayToObject(o, "files");
    cJSON_AddStringToObject(o, "what", r->what);
    cJSON_AddNumberToObject(o, "refused", r->refused);
    if (r->variant) {
        cJSON_AddStringToObject(o, "model", r->variant->name);
        cJSON_AddStringToObject(o, "licence", r->variant->licence);
        cJSON_AddStringToObject(o, "sampling", r->variant->sampling);
    }
    for (int i = 0; i < r->n_set; i++) {
        const adv_pull_set *s = &r->set[i];
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "name", s->name);
        cJSON_AddStringToObject(j, "type", s->quant);
        cJSON_AddNumberToObject(j, "bytes", (double)s->bytes);
        cJSON_AddNumberToObject(j, "parts", s->n);
        cJSON_AddNumberToObject(j, "of", s->of);
        int context;
        enum adv_place place = adv_pull_place(r, s, m, &context);
        cJSON_AddBoolToObject(j, "fits", adv_pull_fits(place));
        cJSON_AddStringToObject(j, "place", places[place].name);
        if (context) cJSON_AddNumberToObject(j, "context", context);
        cJSON_AddItemToArray(sets, j);
    }
    for (int i = 0; i < r->n_file; i++) {
        const adv_pull_file *f = &r->file[i];
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "path", f->path);
        if (f->bytes == UINT64_MAX) cJSON_AddNullToObject(j, "bytes");
        else cJSON_AddNumberToObject(j, "bytes", (double)f->bytes);
        if (*f->sha256) cJSON_AddStringToObject(j, "sha256", f->sha256);
        cJSON_AddItemToArray(files, j);
    }
    cli_say_event(o);
}

static void list_words(const adv_pull_repo *r, const adv_machine *m)
{
    char w[32];
    if (r->variant) q_say(stdout, _("%s, licence %s, %d tokens of context\n"), r->variant->name, *r->variant->licence ? r->variant->licence : "?", r->variant->context);
    for (int i = 0; i < r->n_set; i++) {
        const adv_pull_set *s = &r->set[i];
        char parts[48] = "";
        if (s->of > 1) snprintf(parts, sizeof parts, s->n == s->of ? _(" in %d parts") : _(" in %d parts, incomplete"), s->of);
        q_say(stdout, "%-12s %10s  %s%s  %s\n", *s->quant ? s->quant : "-", q_bytes_words(s->bytes, w), s->name, parts, _(places[adv_pull_place(r, s, m, NULL)].words));
    }
    int in_sets = 0;
    uint64_t bytes = 0;
    for (int i = 0; i < r->n_set; i++) in_sets += r->set[i].n;
    for (int i = 0; i < r->n_file && !r->n_set; i++) {
        const adv_pull_file *f = &r->file[i];
        bytes += f->bytes == UINT64_MAX ? 0 : f->bytes;
        q_say(stdout, "%10s  %s\n", f->bytes == UINT64_MAX ? "?" : q_bytes_words(f->bytes, w), f->path);
    }
    if (r->n_set && r->n_file > in_sets)
        q_say(stdout, ngettext("and %d other file: :all brings everything, /FILE one of them\n",
                               "and %d other files: :all brings everything, /FILE one of them\n", (unsigned long)(r->n_file - in_sets)), r->n_file - in_sets);
    if (!r->n_set) q_say(stdout, ngettext("%d file, %s\n", "%d files, %s\n", (unsigned long)r->n_file), r->n_file, q_bytes_words(bytes, w));
}

/* ---- what was brought ---- */
static void brought(const cli_pull *ask, const adv_pull_repo *r, int first, int n, const char *dir, int checked, double seconds, show *s)
{
    uint64_t bytes = 0;
    char w[32], rate[32];
    for (int i = first; i < first + n; i++) bytes += r->file[i].bytes == UINT64_MAX ? 0 : r->file[i].bytes;
    bool one = n == 1;                  /* a file, or the parts of a split model */
    for (int i = 0; i < r->n_set; i++) one = one || (r->set[i].first == first && r->set[i].n == n);
    char *path = one ? q_printf("%s/%s", dir, r->file[first].path) : q_strdup(dir);
    if (ask->json) {
        cJSON *o = cli_event("pulled");
        cJSON_AddStringToObject(o, "path", path);
        cJSON_AddNumberToObject(o, "files", n);
        cJSON_AddNumberToObject(o, "bytes", (double)bytes);
        cJSON_AddNumberToObject(o, "checked", checked);
        cJSON_AddNumberToObject(o, "seconds", seconds);
        cli_say_event(o);
    } else {
        uint64_t came = s->begun && bytes > s->first ? bytes - s->first : bytes;
        if (s->begun && seconds > 1)
            q_say(stderr, _("%s in %.0f seconds, %s a second\n"), q_bytes_words(came, w), seconds, q_bytes_brief((uint64_t)((double)came / seconds), rate));
        if (checked < n)
            q_say(stderr, ngettext("the hub names no hash of %d file: its length is right, its bytes could not be checked\n",
                                   "the hub names no hash of %d files: their lengths are right, their bytes could not be checked\n", (unsigned long)(n - checked)), n - checked);
        q_say_data(stdout, path, strlen(path));
        q_say(stdout, "\n");
    }
    free(path);
}

static int bring(const cli_pull *ask, const adv_pull_repo *r, int first, int n, adv_pull_way *way, char *err)
{
    show s = {.json = ask->json};
    char *dir = ask->to ? q_strdup(*ask->to ? ask->to : ".") : adv_pull_folder(r);
    int checked = 0, rc = dir ? Q_OK : q_no_home(err);
    int64_t start = q_now_ns();
    for (size_t len = dir ? strlen(dir) : 0; len > 1 && dir[len - 1] == '/'; len--) dir[len - 1] = 0;
    way->tell = tell;
    way->user = &s;
    if (rc == Q_OK) rc = adv_pull_get(r, first, n, dir, way, &checked, err);
    show_close(&s, rc == Q_OK);
    if (rc == Q_OK) brought(ask, r, first, n, dir, checked, (double)(q_now_ns() - start) / 1e9, &s);
    free(dir);
    return rc;
}

int cli_model_pull(const cli_pull *ask)
{
    char err[Q_ERRLEN];
    int first, n;
    cli_heed_ends(0, NULL);             /* what came stays, and the same command goes on from there */
    adv_pull_way way = {.lines = ask->lines, .stall_s = ask->stall, .token_file = ask->token_file, .force = ask->force, .go = cli_go};
    adv_pull_repo *r = NULL;
    adv_machine here;
    adv_machine_here(false, &here);
    int rc = adv_pull_list(ask->what, &way, &r, err);
    if (rc == Q_OK && r->refused)
        q_say(stderr, ngettext("%d file was left out: no file here may have its name or its length\n",
                               "%d files were left out: no files here may have their names or their lengths\n", (unsigned long)r->refused), r->refused);
    if (rc == Q_OK && ask->list) (ask->json ? list_json : list_words)(r, &here);
    else if (rc == Q_OK && (rc = adv_pull_choose(r, &here, &first, &n, err)) == Q_OK) rc = bring(ask, r, first, n, &way, err);
    adv_pull_free(r);
    return rc ? cli_fail(err) : 0;
}
