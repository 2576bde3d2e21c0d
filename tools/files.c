/* tools/files: read_file, list_files, search_files. Nothing is changed, links are not followed, and what may hold secrets is not searched. Any
 * thread. */
#include "tools/walk.h"
#include "base/say.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_MAX = TOOL_TEXT_MAX - 128 /* what is said behind it */, HITS_MAX = 200, LINE_SHOWN = 240, SEARCH_BYTES = 256 << 20 };

static int read_named(const tool_place *p, const char *canonical, q_buf *out, struct stat *st, char *err)
{
    int dir;
    char *leaf;
    int rc = place_folder(p, canonical, false, &dir, &leaf, err);
    if (rc < 0)
        return rc;
    rc = place_read(dir, leaf, canonical, PLACE_FILE_MAX, out, st, err);
    close(dir);
    free(leaf);
    return rc;
}

/* ---- read_file ---- */
int file_read(const tool_place *p, const tool_host *h, const tool_plan *plan, tool_result *out, char *err)
{
    q_buf all = { 0 };
    struct stat st;
    int rc = read_named(p, plan->path, &all, &st, err), first = (int)argument_number(plan->args, "from", 1), most = (int)argument_number(plan->args, "lines", 1e9);
    if (rc == Q_OK && memchr(all.p, 0, all.len))
        rc = q_fail(err, Q_FORMAT, "%s is no text: it holds NUL bytes", plan->path);
    if (rc == Q_OK) {
        int line = 1, lines = 0, last = first - 1;
        size_t from = all.len, to = from;
        for (size_t at = 0; at < all.len; line++) {
            const char *nl = memchr(all.p + at, '\n', all.len - at);
            size_t next = nl ? (size_t)(nl - all.p) + 1 : all.len;
            from = line == first ? at : from;
            if (line >= first && line - first < most && (next - from <= READ_MAX || line == first) && last == line - 1) {
                last = line;
                to = next;
            }
            at = next;
            lines = line;
        }
        out->secret = (plan->risk & TOOL_SECRET) != 0;
        if (last >= first)
            tool_text_cut(&out->text, all.p + from, to - from, READ_MAX);
        if (last < first)
            q_buf_printf(&out->text, lines ? "[%s has %d lines]\n" : "[%s is empty]\n", plan->path, lines);
        else if (first > 1 || last < lines)
            q_buf_printf(&out->text, last < lines ? "[lines %d to %d of %d; from=%d reads on]\n" : "[lines %d to %d of %d]\n", first, last, lines, last + 1);
    }
    q_buf_free(&all);
    return rc;
}

/* ---- list_files ---- */
typedef struct listing { tool_result *out; const tool_host *host; const char *pattern; int n, refused, denied; bool full; } listing;

static bool goes(const tool_host *h) { return !h || !h->go || h->go(h->user); }
static bool denied(const tool_host *h, const char *tool, const char *path) { return h && h->denied && h->denied(h->rules, tool, path); }

static int list_one(void *user, const walk_entry *e, char *err)
{
    static const char *const mark[] = { [WALK_FILE] = "", [WALK_FOLDER] = "/", [WALK_LINK] = " (a link)", [WALK_OTHER] = " (no file)" };
    listing *l = user;
    if (!goes(l->host))
        return q_fail(err, Q_CANCEL, "stopped");
    if (!place_sayable(e->name)) {
        l->refused++;
        return 1;
    }
    if (l->pattern && fnmatch(l->pattern, e->name, FNM_CASEFOLD) != 0)
        return 1;
    if (denied(l->host, "list_files", e->path)) {
        l->denied++;
        return 1;
    }
    if (l->out->text.len > TOOL_TEXT_MAX - 512) {
        l->full = true;
        return 0;
    }
    q_buf_printf(&l->out->text, "%s%s", e->path, mark[e->kind]);
    if (e->kind == WALK_FILE)
        q_buf_printf(&l->out->text, "  %lld", (long long)e->bytes);
    q_buf_putc(&l->out->text, '\n');
    l->n++;
    return 1;
}

int file_list(const tool_place *p, const tool_host *h, const tool_plan *plan, tool_result *out, char *err)
{
    listing l = { .out = out, .host = h, .pattern = argument_text(plan->args, "name") };
    bool all = true;
    int rc = walk(p, plan->path, (int)argument_number(plan->args, "depth", 1), list_one, &l, &all, err);
    if (rc < 0)
        return rc;
    if (!l.n)
        q_buf_printf(&out->text, "[nothing in %s%s]\n", plan->path, l.pattern ? " matches" : "");
    if (l.refused)
        q_buf_printf(&out->text, "[%d names hold control characters and are left out]\n", l.refused);
    if (l.denied)
        q_buf_printf(&out->text, "[%d names are left out: the person denies them]\n", l.denied);
    if (l.full || !all)
        q_buf_puts(&out->text, "[there is more: list a folder below, or give a name]\n");
    return Q_OK;
}

/* ---- search_files ---- */
typedef struct searching {
    const tool_place *place;
    const tool_host *host;
    tool_result *out;
    const char *query, *name;
    char *folded; size_t n;
    bool by_name, any_case;
    int hits, files, secrets, denied;
    size_t bytes;
} searching;

static const char *find(const searching *s, const char *p, size_t n)
{
    if (!s->any_case)
        return memmem(p, n, s->query, s->n);
    for (size_t i = 0; i + s->n <= n; i++)               /* by lines: a line is short */
        if (q_holds(p + i, s->n, s->folded, s->n))
            return p + i;
    return NULL;
}

static bool hit(searching *s, const char *path, int line, const char *text, size_t n)
{
    q_buf b = { 0 };
    q_say_clean(&b, text, n < LINE_SHOWN ? n : q_utf8_whole(text, LINE_SHOWN), true);
    if (line)
        q_buf_printf(&s->out->text, "%s:%d: %s%s\n", path, line, b.p ? b.p : "", n > LINE_SHOWN ? " …" : "");
    else
        q_buf_printf(&s->out->text, "%s\n", path);
    q_buf_free(&b);
    return ++s->hits < HITS_MAX && s->out->text.len < TOOL_TEXT_MAX - 512;
}

static bool in_text(searching *s, const char *path, const q_buf *text)
{
    int line = 1;
    for (size_t at = 0; at < text->len; line++) {
        const char *nl = memchr(text->p + at, '\n', text->len - at);
        size_t n = nl ? (size_t)(nl - text->p) - at : text->len - at;
        if (find(s, text->p + at, n) && !hit(s, path, line, text->p + at, n))
            return false;
        at += n + 1;
    }
    return true;
}

static int search_one(void *user, const walk_entry *e, char *err)
{
    searching *s = user;
    char why[Q_ERRLEN];
    struct stat st;
    q_buf text = { 0 };
    bool on = true;
    if (!goes(s->host))
        return q_fail(err, Q_CANCEL, "stopped");
    if (!place_sayable(e->path) || (s->name && fnmatch(s->name, e->name, FNM_CASEFOLD) != 0))
        return 1;
    if (denied(s->host, "search_files", e->path) || (!s->by_name && denied(s->host, "read_file", e->path))) {
        s->denied++;
        return 1;
    }
    if (s->by_name)
        return !find(s, e->name, strlen(e->name)) || hit(s, e->path, 0, "", 0);
    if (e->kind != WALK_FILE)
        return 1;
    if (place_risk(s->place, e->path) & TOOL_SECRET) {
        s->secrets++;
        return 1;
    }
    if (e->bytes <= PLACE_FILE_MAX && s->bytes < SEARCH_BYTES && place_read(e->dir, e->name, e->path, PLACE_FILE_MAX, &text, &st, why) == Q_OK) {
        s->files++;
        s->bytes += text.len;
        on = memchr(text.p, 0, text.len) || in_text(s, e->path, &text);
    }
    q_buf_free(&text);
    return on;
}

int file_search(const tool_place *p, const tool_host *h, const tool_plan *plan, tool_result *out, char *err)
{
    const char *where = argument_text(plan->args, "where");
    searching s = { .place = p, .host = h, .out = out, .query = argument_text(plan->args, "query"), .name = argument_text(plan->args, "name"),
                    .by_name = where && strcmp(where, "name") == 0, .any_case = argument_true(plan->args, "any_case") };
    bool all = true;
    s.n = strlen(s.query);
    s.folded = q_strdup(s.query);
    q_fold_bytes(s.folded, s.n);
    int rc = walk(p, plan->path, 32, search_one, &s, &all, err);
    free(s.folded);
    if (rc < 0)
        return rc;
    if (!s.hits)
        q_buf_printf(&out->text, s.by_name ? "[no name below %s holds it]\n" : "[found nowhere below %s; %d files were read]\n", plan->path, s.files);
    if (s.secrets)
        q_buf_printf(&out->text, "[%d files that may hold secrets were not read]\n", s.secrets);
    if (s.denied)
        q_buf_printf(&out->text, "[%d names were not looked at: the person denies them]\n", s.denied);
    if (!all || s.bytes >= SEARCH_BYTES)
        q_buf_puts(&out->text, "[there is more: search a folder below, or a longer text]\n");
    return Q_OK;
}
