/* rag/import/take: brings the conversations of an archive into memory: which kind it is, record by record; what is broken
 * text is repaired; what is damaged is told with its place, and the rest comes in. Reads in the caller's thread, keeps one
 * conversation in memory. It writes nothing but through memory/. */
#include "rag/import/take.h"

#include "rag/charset.h"
#include "rag/import/archive.h"
#include "rag/import/mojibake.h"
#include "rag/import/own.h"
#include "rag/import/records.h"
#include "rag/skips.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* WAIT: what waits to be stored in one step at most. LOOKS: records that are looked at before a file is no archive; SAMPLE: bytes of a conversation by which broken text is
 * known; LOOK_MAX: bytes in which they are; of a zip's member they are kept meanwhile. */
enum { LOOKS = 8, SAMPLE = 1 << 18, TEXT_MAX = 16 << 20, LOOK_MAX = 64 << 20, OWN_MAX = 512 << 20, WAIT_MESSAGES = 256, WAIT_BYTES = 1 << 20 };

/* ---- one conversation ---- */
static void tell_damage(const rag_taking *t, const char *why, const char *fmt, ...)
{
    char *place;
    va_list ap;
    q_buf b = {0};
    va_start(ap, fmt);
    if (vasprintf(&place, fmt, ap) < 0) place = q_strdup("");
    va_end(ap);
    q_buf_printf(&b, "%s: %s", t->title, place);
    rag_damage_add(t->p, why, b.p);
    q_buf_free(&b);
    free(place);
}

/* How its texts are broken, all of one origin; "" they are not. */
static void broken(const chat *c, char how[MOJIBAKE_HOW])
{
    q_buf all = {0};
    q_buf_puts(&all, c->title ? c->title : "");
    for (int i = 0; i < c->n && all.len < SAMPLE; i++) {
        size_t n = strlen(c->v[i].text);
        q_buf_putc(&all, '\n');
        q_buf_add(&all, c->v[i].text, n < SAMPLE ? n : q_utf8_whole(c->v[i].text, SAMPLE));
    }
    if (!rag_mojibake(all.p, all.len, how)) *how = 0;
    q_buf_free(&all);
}

/* A text repaired; NULL: it is right as it is. */
static char *repaired(const char *text, const char *how)
{
    q_buf b = {0};
    bool was = *how && rag_mojibake_undo(text, strlen(text), how, &b);
    char *out = was ? q_buf_take(&b) : NULL;
    q_buf_free(&b);
    return out;
}

/* Conversations that wait to be stored together: owns them. */
struct kept { chat c; char **mended, *title, how[MOJIBAKE_HOW]; };
struct waiting { int n, messages; size_t bytes; struct kept k[MEM_IMPORTS_MAX]; mem_import m[MEM_IMPORTS_MAX]; };

static void drop(struct waiting *w)
{
    for (int i = 0; i < w->n; i++) {
        struct kept *k = &w->k[i];
        for (int j = 0; j < k->c.n; j++) free(k->mended[j]);
        free(k->mended);
        free(k->title);
        free((mem_import_message *)w->m[i].v);
        rag_chat_free(&k->c);
    }
    w->n = w->messages = 0;
    w->bytes = 0;
}

/* What waits is stored; also after a failure the counts say what is there. */
static int flush(const rag_taking *t, struct waiting *w, char *err)
{
    mem_imported got[MEM_IMPORTS_MAX];
    if (!w->n) return Q_OK;
    int rc = mem_import_put_all(t->s, w->m, w->n, t->go, t->user, got, err);
    for (int i = 0; i < w->n; i++) {
        t->p->chats += got[i].fresh;
        t->p->chats_more += !got[i].fresh && got[i].added;
        t->p->chats_same += rc == Q_OK && got[i].conversation && !got[i].fresh && !got[i].added;
        t->p->forgotten += got[i].forgotten;
        t->p->messages += got[i].added;
        t->p->repaired += *w->k[i].how && got[i].added;
    }
    drop(w);
    return rc;
}

/* Takes the chat, which is settled. */
static int put(const rag_taking *t, struct waiting *w, const archive *a, chat *c, char *err)
{
    struct kept *k = &w->k[w->n];
    char *how = k->how;
    if (a == &archive_own) *how = 0;            /* what we wrote stands as it was said */
    else broken(c, how);
    mem_import_message *v = q_alloc(sizeof *v * (size_t)(c->n + 1));
    char **mended = q_alloc(sizeof *mended * (size_t)(c->n + 1)), *title = repaired(c->title ? c->title : "", how);
    int64_t last = c->updated_ms ? c->updated_ms : t->mtime_ms;
    for (int i = 0; i < c->n; i++) {
        const chat_message *m = &c->v[i];
        mended[i] = repaired(m->text, how);
        v[i] = (mem_import_message){.external = m->id, .parent = m->parent, .role = m->role, .hidden = m->kind == CHAT_HIDDEN,
                                    .created_ms = m->ms ? m->ms : c->created_ms ? c->created_ms : t->mtime_ms,
                                    .text = mended[i] ? mended[i] : m->text, .thinking = m->thinking, .model = m->model, .author = m->author,
                                    .raw = mended[i] ? m->text : NULL, .was = mended[i] ? how : NULL};
        w->bytes += strlen(v[i].text) + strlen(v[i].thinking);
    }
    w->m[w->n] = (mem_import){.source = a->name, .external = c->id, .title = title ? title : c->title ? c->title : "", .v = v, .n = c->n, .leaf = c->leaf, .again = t->again,
                              .created_ms = c->created_ms ? c->created_ms : last, .opened_ms = last};
    k->c = *c;
    k->mended = mended;
    k->title = title;
    w->messages += c->n;
    w->n++;
    memset(c, 0, sizeof *c);
    return w->n == MEM_IMPORTS_MAX || w->messages >= WAIT_MESSAGES || w->bytes >= WAIT_BYTES ? flush(t, w, err) : Q_OK;
}

/* ---- records ---- */
struct taking { const rag_taking *t; const char *member; /* of a zip, or NULL */ const archive *kind; chat lines; struct waiting *w; };

static void damaged_record(const struct taking *k, const rag_record *r, const char *why)
{
    /* TRANSLATORS: the number of a record in a file and the byte where it begins */
    char *place = q_printf(_("record %d, at byte %lld"), r->number, (long long)r->at);
    if (k->member) tell_damage(k->t, why, "%s, %s", k->member, place);
    else tell_damage(k->t, why, "%s", place);
    free(place);
}

static int end_lines(struct taking *k, char *err)
{
    int rc = Q_OK;
    if (k->lines.n && !k->lines.id) rag_chat_say(&k->lines.id, k->lines.v[0].id);
    rag_chat_settle(&k->lines);
    if (k->lines.n) rc = put(k->t, k->w, k->kind, &k->lines, err);
    rag_chat_free(&k->lines);
    return rc;
}

/* One record of a known kind. *good: it is what it should be. */
static int take_record(struct taking *k, const archive *a, const cJSON *o, const rag_record *r, char *err)
{
    chat own = {0}, *c = a->lines ? &k->lines : &own;
    const char *why = a->read(o, c);
    int rc = Q_OK;
    if (why) damaged_record(k, r, why);
    else if (!a->lines) {
        rag_chat_settle(c);
        if (c->bad) damaged_record(k, r, c->why);
        rc = put(k->t, k->w, a, c, err);
    }
    rag_chat_free(&own);
    return rc;
}

/* Reads a source to its end. *known: it held conversations; else nothing was done. look: no more than a look, nothing is stored. */
static int take_records(struct taking *k, const rag_source *src, bool look, bool *known, char *err)
{
    rag_records *rs = rag_records_new(src);
    rag_record r;
    int rc = Q_OK;
    if (!look) k->w = q_alloc(sizeof *k->w);
    *known = false;
    while (rc == Q_OK && (!look || !*known) && rag_records_next(rs, &r)) {
        if (look && (r.number > LOOKS || r.at > LOOK_MAX)) break;
        if (k->t->go && !k->t->go(k->t->user)) {
            rc = q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept"));
            break;
        }
        cJSON *o = r.p ? cJSON_ParseWithLength(r.p, r.n) : NULL;
        const archive *a = o ? archive_of(o) : NULL;
        if (a) rag_records_good(rs);
        else if (r.p && !o) rag_records_bad(rs);
        if (look) *known |= a != NULL;
        else if (a && (!k->kind || a == k->kind)) {
            k->kind = a;
            rc = take_record(k, a, o, &r, err);
        } else if (!r.doubtful) damaged_record(k, &r, r.why ? r.why : o ? _("it is no conversation of this archive") : _("it is no JSON that can be read"));
        cJSON_Delete(o);
    }
    rag_records_free(rs);
    if (!look && rc == Q_OK && k->kind && k->kind->lines) rc = end_lines(k, err);
    rag_chat_free(&k->lines);
    if (k->w && rc == Q_OK) rc = flush(k->t, k->w, err);
    if (k->w) drop(k->w);
    free(k->w);
    k->w = NULL;
    return rc;
}

/* ---- files ---- */
static long read_file(void *user, char *p, size_t n)
{
    ssize_t k;
    do k = read(*(int *)user, p, n);
    while (k < 0 && errno == EINTR);
    return (long)k;
}

static bool json_first(const char *p, size_t n)
{
    size_t i = n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < n && strchr(" \t\r\n", p[i])) i++;
    return i < n && (p[i] == '{' || p[i] == '[');
}

int rag_take_text(const rag_taking *t, const char *p, size_t n, bool *known, char *err)
{
    const archive *a = archive_of_text(p, n);
    *known = a != NULL;
    if (!a) return Q_OK;
    chat c = {0};
    const char *why = a->read_text(p, n, &c);
    int rc = Q_OK;
    if (why) tell_damage(t, why, "%s", a->shown);
    else {
        const char *slash = strrchr(t->title, '/'), *name = slash ? slash + 1 : t->title, *dot = strrchr(name, '.');
        char *stem = q_strndup(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
        if ((!c.title || !*c.title) && a != &archive_own) rag_chat_title(&c, stem);
        free(stem);
        struct waiting *w = q_alloc(sizeof *w);
        rag_chat_settle(&c);
        if (c.bad) tell_damage(t, c.why, "%s", a->shown);
        rc = put(t, w, a, &c, err);
        if (rc == Q_OK) rc = flush(t, w, err);
        drop(w);
        free(w);
    }
    rag_chat_free(&c);
    return rc;
}

/* What was looked at is read once more, before what follows it. */
struct again { rag_child *c; q_buf b; size_t at; bool keep; };

static long read_again(void *user, char *p, size_t n)
{
    struct again *a = user;
    size_t k = a->b.len - a->at < n ? a->b.len - a->at : n;
    if (k) memcpy(p, a->b.p + a->at, k);
    a->at += k;
    if (k || (a->keep && a->b.len > LOOK_MAX)) return (long)k;
    long got = rag_child_more(a->c, p, n);
    if (got > 0 && a->keep) {
        q_buf_add(&a->b, p, (size_t)got);
        a->at = a->b.len;
    } else if (!a->keep) {
        q_buf_free(&a->b);
        a->at = 0;
    }
    return got;
}

static int take_member(const rag_taking *t, const char *name, bool *known, char *err)
{
    struct taking k = {.t = t, .member = name};
    struct again a = {.c = t->child, .keep = true};
    rag_source src = {read_again, &a};
    char piece[4096];
    int rc = Q_OK;
    long n = read_again(&a, piece, sizeof piece);
    *known = false;
    if (n > 0 && json_first(piece, (size_t)n)) {
        a.at = 0;
        rc = take_records(&k, &src, true, known, err);
        a.at = 0;
        a.keep = false;
        bool again;
        if (rc == Q_OK && *known) rc = take_records(&k, &src, false, &again, err);
    } else if (n > 0) {
        while (a.b.len <= TEXT_MAX && read_again(&a, piece, sizeof piece) > 0) {}
        rag_taking of = *t;
        of.title = name;
        if (a.b.len <= TEXT_MAX && !rag_charset(&a.b)) rc = rag_take_text(&of, a.b.p, a.b.len, known, err);
    }
    q_buf_free(&a.b);
    return rc;
}

static bool may_hold_chats(const char *name)
{
    static const char *const ends[] = {".json", ".jsonl", ".md", ".txt"};
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strrchr(base, '.');
    for (size_t i = 0; dot && *base != '.' && i < sizeof ends / sizeof *ends; i++)
        if (strcasecmp(dot, ends[i]) == 0) return true;
    return false;
}

static int take_zip(const rag_taking *t, int fd, bool *known, char *err)
{
    rag_child *c = t->child;
    const char *why = rag_child_archive(c, fd);
    char *name = NULL;
    int rc = Q_OK;
    *known = false;
    for (bool more = !why; more && rc == Q_OK && (name = rag_child_next(c, &why)) != NULL; free(name)) {
        bool one = false;
        if (!may_hold_chats(name)) continue;
        rc = take_member(t, name, &one, err);
        *known |= one;
        if (one && rc == Q_OK && rag_child_why(c)) tell_damage(t, rag_child_why(c), "%s", name);
    }
    if (rc == Q_OK && rag_child_stopped(c)) rc = q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept"));
    else if (rc == Q_OK && *known && why) tell_damage(t, why, "%s", "—");
    return rc;
}

/* A conversation that quorum wrote: however long it is, and to the byte. */
static int take_own(const rag_taking *t, int fd, bool *known, char *err)
{
    q_buf b = {0};
    int rc = lseek(fd, 0, SEEK_SET) == 0 ? q_read_fd(fd, t->title, &b, OWN_MAX, err) : q_fail(err, Q_IO, _("cannot read %s: %s"), t->title, strerror(errno));
    if (rc == Q_OK) rc = rag_take_text(t, b.p, b.len, known, err);
    q_buf_free(&b);
    return rc;
}

int rag_take_file(const rag_taking *t, int fd, bool *known, char *err)
{
    char first[256];
    struct taking k = {.t = t};
    *known = false;
    ssize_t n = pread(fd, first, sizeof first, 0);
    if (n > 0 && own_knows(first, (size_t)n)) return take_own(t, fd, known, err);
    if (n >= 4 && memcmp(first, "PK\3\4", 4) == 0) return take_zip(t, fd, known, err);
    if (n <= 0 || !json_first(first, (size_t)n)) return Q_OK;
    rag_source src = {read_file, &fd};
    int rc = take_records(&k, &src, true, known, err);
    if (lseek(fd, 0, SEEK_SET) != 0 || rc != Q_OK || !*known) return rc;
    bool again;
    return take_records(&k, &src, false, &again, err);
}
