/* advice/pull_list: what a hub has of a model. See pull.h. Any thread. */
#include "advice/pull.h"
#include "advice/pull_ask.h"
#include "advice/pull_name.h"
#include "advice/pull_way.h"
#include "base/say.h"
#include "engine/models.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FILES_MOST = 200000, PAGES_MOST = 1000, PAGE_BYTES = 64 << 20, LIST_TRIES = 4, NESTED_MOST = 32 };

/* ---- asking ---- */
static bool take(void *user, const net_reply *so_far, const char *p, size_t n)
{
    q_buf_add(user, p, n);
    return true;
}

static bool stop_at_once(void *user, const net_reply *so_far, const char *p, size_t n) { return false; }

/* Asked again while that may help. */
static int ask(net *n, const pull_hub *h, const adv_pull_way *w, pull_question *q, q_buf *out, pull_answer *a, char *err)
{
    for (int tries = 0;; tries++) {
        if (out)
            q_buf_clear(out);
        int rc = pull_ask(n, h, q, a, err);
        int ms = tries < LIST_TRIES && pull_again(rc, a) ? pull_pause(tries, w->pause_ms, a) : -1;
        if (rc == Q_CANCEL && a->status && (!q->go || q->go(q->user)))
            rc = Q_OK;                   /* we had enough of it */
        if (rc == Q_NOTFOUND && !a->status) {      /* nobody answered: what lies between here and the hub */
            char *why = q_strdup(err);
            q_fail(err, rc, _("%s (is there a network? QUORUM_HUB names a mirror, https_proxy a proxy)"), why);
            free(why);
        }
        if (ms < 0 || rc == Q_CANCEL)
            return rc;
        pull_answer_free(a);
        rc = pull_way_wait(w, ms, err);
        if (rc < 0) {
            *a = (pull_answer){ .status = 0 };
            return rc;
        }
    }
}

typedef struct asked { const adv_pull_way *w; q_buf text; } asked;
static bool asked_go(void *user) { return pull_way_go(((asked *)user)->w); }
static bool asked_take(void *user, const net_reply *r, const char *p, size_t n) { return take(&((asked *)user)->text, r, p, n); }

/* ---- what it says ---- */
static void add_file(adv_pull_repo *r, int *cap, const char *path, double bytes, const char *sha256, const char *git)
{
    if (!path || bytes < 0 || bytes > (double)PULL_BYTES_MOST || !pull_path_safe(path)) {
        r->refused += !path || !strrchr(path, '/') ? *(path ? path : "x") != '.' : strrchr(path, '/')[1] != '.';     /* .gitattributes is no loss */
        return;
    }
    if (r->n_file == *cap)
        r->file = q_realloc(r->file, (size_t)(*cap = *cap ? 2 * *cap : 64) * sizeof *r->file);
    adv_pull_file *f = &r->file[r->n_file++];
    *f = (adv_pull_file){ .path = q_strdup(path), .bytes = (uint64_t)bytes };
    if (sha256 && pull_hex(sha256, 64))
        memcpy(f->sha256, sha256, 65);
    if (git && pull_hex(git, 40))
        memcpy(f->git, git, 41);
    q_fold_bytes(f->sha256, strlen(f->sha256));
    q_fold_bytes(f->git, strlen(f->git));
}

static const char *text_of(const cJSON *o, const char *key) { return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key)); }

static double size_of(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : -1;
}

/* A page of Hugging Face: [{"type": "file", "path", "size", "oid", "lfs": {"oid", "size"}}, ...]. Small files have no lfs: oid is git's. */
static bool read_hf(adv_pull_repo *r, int *cap, const cJSON *page)
{
    const cJSON *f;
    if (!cJSON_IsArray(page))
        return false;
    cJSON_ArrayForEach(f, page)
    {
        const char *type = text_of(f, "type");
        const cJSON *lfs = cJSON_GetObjectItemCaseSensitive(f, "lfs");
        if (type && strcmp(type, "file") == 0)
            add_file(r, cap, text_of(f, "path"), size_of(cJSON_IsObject(lfs) ? lfs : f, "size"), text_of(lfs, "oid"), cJSON_IsObject(lfs) ? NULL : text_of(f, "oid"));
    }
    return true;
}

/* {"Code": 200, "Data": {"Files": [{"Type": "blob", "Path", "Size", "Sha256"}, ...]}} */
static bool read_ms(adv_pull_repo *r, int *cap, const cJSON *page)
{
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(page, "Data"), "Files"), *f;
    if (!cJSON_IsArray(files))
        return false;
    cJSON_ArrayForEach(f, files)
    {
        const char *type = text_of(f, "Type");
        if (!type || strcmp(type, "tree") != 0)
            add_file(r, cap, text_of(f, "Path"), size_of(f, "Size"), text_of(f, "Sha256"), NULL);
    }
    return true;
}

static int by_path(const void *a, const void *b) { return strcmp(((const adv_pull_file *)a)->path, ((const adv_pull_file *)b)->path); }

static int by_bytes(const void *a, const void *b)
{
    const adv_pull_set *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes > y->bytes) - (x->bytes < y->bytes) : strcmp(x->name, y->name);
}

/* Parts of a vision model and lists of what matters to a quantiser are no models. */
static bool is_model(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    return n > 5 && strcasecmp(base + n - 5, ".gguf") == 0 && !strcasestr(base, "mmproj") && !strcasestr(base, "imatrix");
}

static void find_sets(adv_pull_repo *r)
{
    int cap = 0;
    for (int i = 0; i < r->n_file; i++) {
        const char *path = r->file[i].path;
        int part = 1, of = 1, of_before;
        size_t n = strlen(path) - 5, before;
        if (!is_model(path))
            continue;
        adv_pull_set *last = r->n_set ? &r->set[r->n_set - 1] : NULL;
        if (eng_split_name(path, &part, &of, &n) && last && last->first + last->n == i &&
            eng_split_name(r->file[i - 1].path, NULL, &of_before, &before) && of_before == of && before == n && memcmp(path, r->file[i - 1].path, n) == 0) {
            last->n++;
            last->bytes += r->file[i].bytes;
            continue;
        }
        if (r->n_set == cap)
            r->set = q_realloc(r->set, (size_t)(cap = cap ? 2 * cap : 16) * sizeof *r->set);
        adv_pull_set *s = &r->set[r->n_set++];
        *s = (adv_pull_set){ .name = q_strndup(path, n), .first = i, .n = 1, .of = of, .bytes = r->file[i].bytes };
        pull_quant_of(path, s->quant);
    }
    if (r->n_set)
        qsort(r->set, (size_t)r->n_set, sizeof *r->set, by_bytes);
}

/* The catalogue's row of this repository, of weights or of GGUFs. */
static void find_known(adv_pull_repo *r)
{
    char err[Q_ERRLEN];
    const eng_known *all;
    int n;
    if (r->source->kind == PULL_URL || eng_catalog(&all, &n, err) < 0)
        return;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < all[i].n_variant; k++)
            if (!r->known && (strcasecmp(all[i].variant[k].gguf, r->title) == 0 || strcasecmp(all[i].variant[k].repo, r->title) == 0)) {
                r->known = &all[i];
                r->variant = &all[i].variant[k];
            }
}

/* What may be meant by a name that says no hub: the address of its GGUFs, behind the sentence. */
static void hint(const char *what, char *err)
{
    char why[Q_ERRLEN];
    const eng_known *known;
    const eng_variant *v = NULL;
    size_t name = strcspn(what, ":"), at = strlen(err);
    char *part = q_strndup(what, name);
    bool found = !strstr(what, "://") && *part && eng_catalog_find(part, &known, &v, why) == Q_OK;
    for (int i = 0; found && !v && i < known->n_variant; i++)    /* a whole row: what one talks with */
        v = *known->variant[i].gguf ? &known->variant[i] : NULL;
    if (found && v) {
        snprintf(err + at, Q_ERRLEN - at, _("; perhaps hf:%s%s"), *v->gguf ? v->gguf : v->repo, what + name);
    }
    free(part);
}

/* ---- the pages ---- */
/* A following page is asked of this hub, wherever a mirror's copy of the header leads. */
static char *next_page(const char *hub, const char *at, const char *more)
{
    char *to = pull_join(at, more), *host = net_host(hub), *theirs = net_host(to), *out;
    const char *path = strstr(to, "://");
    path = path ? path + 3 + strcspn(path + 3, "/?#") : to;
    out = strcasecmp(host, theirs) == 0 ? q_strdup(to) : q_printf("%s%s", hub, path);
    free(to);
    free(host);
    free(theirs);
    return out;
}

static int one_page(adv_pull_repo *r, net *n, const pull_hub *h, const adv_pull_way *w, int *cap, char **url, char *err)
{
    asked a = { .w = w };
    pull_answer got;
    pull_question q = { .url = *url, .from = 1, .most = PAGE_BYTES, .stall_s = w->stall_s, .data = asked_take, .go = asked_go, .user = &a };
    int rc = ask(n, h, w, &q, &a.text, &got, err);
    if (rc == Q_OK && got.status != 200) {
        char *page = pull_page(r->source);
        rc = pull_refused(h, r->what, page, &got, err);
        free(page);
    }
    free(*url);
    *url = NULL;
    if (rc == Q_OK) {
        q_buf_puts(&a.text, "");
        cJSON *page = q_json_shallow(a.text.p, NESTED_MOST) ? cJSON_ParseWithLength(a.text.p, a.text.len) : NULL;
        if (!(r->source->kind == PULL_MS ? read_ms : read_hf)(r, cap, page) || r->n_file > FILES_MOST) {
            char *host = net_host(h->url);
            rc = q_fail(err, Q_FORMAT, _("%s does not answer as a hub does: check QUORUM_HUB, and that no proxy asks to sign in first"), host);
            free(host);
        } else if (got.more)
            *url = next_page(h->url, got.at, got.more);
        cJSON_Delete(page);
    }
    pull_answer_free(&got);
    q_buf_free(&a.text);
    return rc;
}

static int list_hub(adv_pull_repo *r, net *n, const pull_hub *h, const adv_pull_way *w, char *err)
{
    const pull_source *s = r->source;
    char *url = s->kind == PULL_MS ? q_printf("%s/api/v1/models/%s/%s/repo/files?Revision=%s&Recursive=true", s->hub, s->owner, s->name, s->rev)
                                   : q_printf("%s/api/models/%s/%s/tree/%s?recursive=true", s->hub, s->owner, s->name, s->rev);
    int rc = Q_OK, cap = 0;
    for (int pages = 0; rc == Q_OK && url && pages < PAGES_MOST; pages++)
        rc = one_page(r, n, h, w, &cap, &url, err);
    free(url);
    if (r->n_file)
        qsort(r->file, (size_t)r->n_file, sizeof *r->file, by_path);
    int kept = 0;                        /* a hub that says a name twice would have it written by two */
    for (int i = 0; i < r->n_file; i++) {
        if (kept && strcmp(r->file[kept - 1].path, r->file[i].path) == 0)
            free(r->file[i].path);
        else
            r->file[kept++] = r->file[i];
    }
    r->n_file = kept;
    return rc;
}

/* An address of one file: its first byte says how many there are. */
static int list_url(adv_pull_repo *r, net *n, const pull_hub *h, const adv_pull_way *w, char *err)
{
    const pull_source *s = r->source;
    asked a = { .w = w };
    pull_answer got;
    pull_question q = { .url = s->url, .most = UINT64_MAX >> 1, .stall_s = w->stall_s, .data = stop_at_once, .go = asked_go, .user = &a };
    int rc = ask(n, h, w, &q, NULL, &got, err), cap = 0;
    if (rc == Q_OK && got.status != 200 && got.status != 206 && got.status != 416)
        rc = pull_refused(h, s->url, s->url, &got, err);
    if (rc == Q_OK) {
        uint64_t bytes = got.status == 200 ? (got.length >= 0 ? (uint64_t)got.length : UINT64_MAX) : got.ranges ? got.total : UINT64_MAX;
        char sha[65] = "";
        size_t quoted = strspn(got.linked, "\"");
        if (strcspn(got.linked + quoted, "\"") == 64)
            memcpy(sha, got.linked + quoted, 64);
        add_file(r, &cap, s->file, 0, s->sha256 ? s->sha256 : sha, NULL);
        r->file[0].bytes = bytes;
        rc = pull_length(s->url, bytes, err);
    }
    pull_answer_free(&got);
    return rc;
}

int adv_pull_list(const char *what, const adv_pull_way *given, adv_pull_repo **out, char *err)
{
    adv_pull_way w = pull_way_of(given);
    adv_pull_repo *r = q_alloc(sizeof *r);
    pull_hub hub = { .url = NULL };
    r->source = q_alloc(sizeof *r->source);
    *out = NULL;
    int rc = pull_source_read(what, r->source, err);
    const pull_source *s = r->source;
    if (rc < 0 && s->kind == PULL_URL && !s->url)
        hint(what, err);
    if (rc == Q_OK) {
        r->what = s->kind == PULL_URL ? q_strdup(s->url) : q_printf("%s:%s/%s", s->kind == PULL_MS ? "ms" : "hf", s->owner, s->name);
        r->title = s->kind == PULL_URL ? net_host(s->url) : q_printf("%s/%s", s->owner, s->name);
        rc = pull_hub_open(&hub, q_strdup(s->hub), s->kind != PULL_MS, w.token_file, err);
    }
    if (rc == Q_OK) {
        net *n = net_new();
        rc = (s->kind == PULL_URL ? list_url : list_hub)(r, n, &hub, &w, err);
        net_free(n);
        if (rc == Q_NOTFOUND && s->kind == PULL_HF && !getenv("QUORUM_HUB") && strncmp(err, r->what, strlen(r->what)) != 0) {
            size_t at = strlen(err);
            snprintf(err + at, Q_ERRLEN - at, "%s", _("; QUORUM_HUB names a mirror"));
        }
    }
    pull_hub_close(&hub);
    if (rc < 0) {
        adv_pull_free(r);
        return rc;
    }
    find_sets(r);
    find_known(r);
    *out = r;
    return Q_OK;
}

void adv_pull_free(adv_pull_repo *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_file; i++)
        free(r->file[i].path);
    for (int i = 0; i < r->n_set; i++)
        free(r->set[i].name);
    pull_source_free(r->source);
    free(r->source);
    free(r->file);
    free(r->set);
    free(r->what);
    free(r->title);
    free(r);
}

char *adv_pull_folder(const adv_pull_repo *r)
{
    const pull_source *s = r->source;
    char *below = s->kind == PULL_URL ? q_strdup("models") : q_printf("models/%s/%s", s->owner, s->name), *out = q_user_path(Q_DIR_DATA, below);
    free(below);
    return out;
}
