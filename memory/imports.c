/* memory/imports: conversations out of archives, as trees, each known by its archive's name for it and each message by its
 * name there: what is there already stays as it is, what is new is added. In steps of one short transaction, each of which
 * leaves a whole tree; any thread. It never reads an archive: rag does. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

/* In one step: messages written, messages looked up, bytes of text, nanoseconds under the lock before it is ended. */
enum { STEP_NEW = 256, STEP_KNOWN = 1024, STEP_BYTES = 1 << 20, STEP_NS = 35000000 };

struct row { int64_t conversation, parent, created, updated; int role, status; char *text, *thinking, *model, *author; bool hidden; };
static const store_column columns[] = {
    STORE_COLUMN(struct row, conversation, ROW_INT64, "conversation", NULL),
    STORE_COLUMN(struct row, parent, ROW_REF, "parent", NULL),
    STORE_COLUMN(struct row, role, ROW_INT, "role", NULL),
    STORE_COLUMN(struct row, status, ROW_INT, "status", NULL),
    STORE_COLUMN(struct row, created, ROW_INT64, "created", NULL),
    STORE_COLUMN(struct row, updated, ROW_INT64, "updated", NULL),
    STORE_COLUMN(struct row, text, ROW_TEXT, "text", NULL),
    STORE_COLUMN(struct row, thinking, ROW_TEXT, "thinking", NULL),
    STORE_COLUMN(struct row, model, ROW_TEXT, "model", NULL),
    STORE_COLUMN(struct row, author, ROW_TEXT, "author", NULL),
    STORE_COLUMN(struct row, hidden, ROW_BOOL, "hidden", NULL),
};
static const store_table table = STORE_TABLE(struct row, "message", columns);

struct putting {
    mem_store *s;
    const mem_import *m;
    int64_t conversation;               /* 0: not there yet */
    bool imported_leaf;                 /* what is shown of it came from the archive too */
    bool may_make;                      /* nobody had it when it was looked for: it is made where it still is not there */
    bool fresh;                         /* it was made by the step at hand or one before it */
    int64_t *id;                        /* [m->n] of what is there; 0: not there yet */
    bool *out; int n_out;               /* [m->n]: was forgotten and stays out */
    int at, known;                      /* messages that are settled; that were there at the beginning */
    bool done;
};

/* ---- what is there ---- */
/* The lock is held. */
static int find(struct putting *p, char *err)
{
    int64_t leaf = 0, ours = 0;
    int rc = store_int(p->s, &p->conversation, err, "SELECT i.conversation FROM import i JOIN conversation c ON c.id=i.conversation"
                       " WHERE i.source=? AND i.external=? AND c.state=0", "ss", p->m->source, p->m->external);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;
    rc = store_int(p->s, &leaf, err, "SELECT leaf FROM conversation WHERE id=?", "i", p->conversation);
    if (rc == Q_OK) rc = store_int(p->s, &ours, err, "SELECT count(*) FROM import_message WHERE message=?", "i", leaf);
    p->imported_leaf = leaf == 0 || ours > 0;
    return rc;
}

static int look_up(struct putting *p, sqlite3_stmt *st, int i, char *err)
{
    sqlite3_reset(st);
    if (sqlite3_bind_int64(st, 1, p->conversation) != SQLITE_OK || sqlite3_bind_text(st, 2, p->m->v[i].external, -1, SQLITE_STATIC) != SQLITE_OK)
        return store_error(p->s, err);
    int rc = store_step(p->s, st, err);
    if (rc == 1) p->id[i] = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return rc < 0 ? rc : Q_OK;
}

static sqlite3_stmt *looking_up(mem_store *s, char *err)
{
    return store_query(s, err, "SELECT message FROM import_message WHERE conversation=? AND external=?", "");
}

/* Which of its messages are there: without the write lock, for mostly all of them are, or none is. */
static int find_known(struct putting *p, char *err)
{
    int rc;
    store_lock(p->s);
    rc = find(p, err);
    store_unlock(p->s);
    for (int at = 0; rc == Q_OK && p->conversation && at < p->m->n; at += STEP_KNOWN) {
        store_lock(p->s);
        sqlite3_stmt *st = looking_up(p->s, err);
        rc = st ? Q_OK : store_failed(p->s);
        for (int i = at; i < p->m->n && i < at + STEP_KNOWN && rc == Q_OK; i++) {
            rc = look_up(p, st, i, err);
            p->known += p->id[i] != 0;
        }
        sqlite3_finalize(st);
        store_unlock(p->s);
    }
    return rc;
}

/* ---- in a transaction ---- */
static int64_t or_now(int64_t ms)
{
    int64_t now = q_wall_ms();
    return ms > 0 && ms < now ? ms : now;
}

static int make_conversation(struct putting *p, char *err)
{
    const mem_import *m = p->m;
    /* one that is being removed gives its name away */
    int rc = store_run(p->s, NULL, err, "DELETE FROM import WHERE source=? AND external=?", "ss", m->source, m->external);
    if (rc == Q_OK) rc = store_run(p->s, NULL, err, "INSERT INTO conversation(title, created, opened) VALUES(?, ?, ?)", "sii", m->title, or_now(m->created_ms), or_now(m->opened_ms));
    p->conversation = sqlite3_last_insert_rowid(p->s->db);
    p->imported_leaf = p->fresh = true;
    if (rc == Q_OK) rc = store_run(p->s, NULL, err, "INSERT INTO import(conversation, source, external) VALUES(?, ?, ?)", "iss", p->conversation, m->source, m->external);
    return rc;
}

static int put_message(struct putting *p, int i, char *err)
{
    const mem_import_message *m = &p->m->v[i];
    int64_t created = or_now(m->created_ms);
    struct row row = {.conversation = p->conversation, .parent = m->parent >= 0 && m->parent < i ? p->id[m->parent] : 0, .created = created, .updated = created,
                      .role = (int)m->role, .status = MEM_DONE, .text = (char *)m->text, .thinking = (char *)m->thinking, .model = (char *)m->model, .author = (char *)(m->author ? m->author : ""), .hidden = m->hidden};
    int rc = store_insert(p->s, &table, &row, &p->id[i], err);
    if (rc == Q_OK) rc = store_run(p->s, NULL, err, "INSERT INTO import_message(message, conversation, external) VALUES(?, ?, ?)", "iis", p->id[i], p->conversation, m->external);
    if (rc == Q_OK && m->raw) rc = store_run(p->s, NULL, err, "INSERT INTO message_raw(message, was, data) VALUES(?, ?, ?)", "isb", p->id[i], m->was, m->raw, strlen(m->raw));
    return rc == Q_OK && !m->hidden ? store_index_message(p->s, p->id[i], err) : rc;
}

static int set_leaf(struct putting *p, int64_t leaf, char *err)
{
    if (!p->imported_leaf || !leaf) return Q_OK;         /* the person went on from it: their place is not taken */
    return store_run(p->s, NULL, err, "UPDATE conversation SET leaf=? WHERE id=?", "ii", leaf, p->conversation);
}

/* Still there, or made. */
static int hold(struct putting *p, char *err)
{
    int64_t was = p->conversation;
    p->conversation = 0;
    int rc = find(p, err);
    if (rc == Q_OK && !p->conversation && p->may_make && !p->at) rc = make_conversation(p, err);
    if (rc == Q_OK && (!p->conversation || (was && was != p->conversation)))
        rc = q_fail(err, Q_NOTFOUND, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)was);
    return rc;
}

/* What one step takes together. */
struct load { int messages, looked, added; size_t bytes; int64_t began; /* 0: it may take any time */ };

static bool full(const struct load *l)
{
    return l->messages >= STEP_NEW || l->looked >= STEP_KNOWN || l->bytes >= STEP_BYTES || (l->began && q_now_ns() - l->began >= STEP_NS);
}

/* In a transaction: messages of one conversation from p->at on, as many as the step still takes, at least one. */
static int part(struct putting *p, struct load *l, char *err)
{
    int64_t shown = 0;
    int rc = hold(p, err);
    sqlite3_stmt *st = rc == Q_OK ? looking_up(p->s, err) : NULL;
    if (rc == Q_OK && !st) rc = store_failed(p->s);
    for (bool first = true; p->at < p->m->n && (first || !full(l)) && rc == Q_OK; first = false) {
        int i = p->at;
        const mem_import_message *m = &p->m->v[i];
        l->looked++;
        if (p->out[i]) {                                    /* what stands below it hangs on what it hung on */
            p->id[i] = m->parent >= 0 && m->parent < i ? p->id[m->parent] : 0;
            p->at++;
            continue;
        }
        if (!p->id[i]) rc = look_up(p, st, i, err);         /* another process may have brought it meanwhile */
        if (rc == Q_OK && !p->id[i]) {
            rc = put_message(p, i, err);
            l->messages++;
            l->added++;
            l->bytes += strlen(m->text) + strlen(m->thinking) + (m->raw ? strlen(m->raw) : 0);
            if (!m->hidden) shown = p->id[i];
        }
        p->at++;
    }
    sqlite3_finalize(st);
    p->done = p->at == p->m->n;
    if (rc == Q_OK && p->done && p->m->leaf >= 0 && p->m->leaf < p->m->n && p->id[p->m->leaf]) shown = p->id[p->m->leaf];
    return rc == Q_OK ? set_leaf(p, shown, err) : rc;
}

/* One transaction over conversations from *at on; at most `most` of them. What it added is in out. */
static int step(struct putting *v, int n, int *at, int most, mem_imported *out, char *err)
{
    int i = *at, rc = store_begin(v->s, err);
    if (rc != Q_OK) return rc;
    struct load l = {.began = v->s->watch && v->s->watch->timeless ? 0 : q_now_ns()};
    int added[MEM_IMPORTS_MAX] = {0};
    for (int k = 0; i < n && k < most && rc == Q_OK && !full(&l); k++) {
        struct putting *p = &v[i];
        int was = l.added;
        if (!p->done) rc = part(p, &l, err);
        added[i] = l.added - was;
        if (!p->done) break;
        i++;
    }
    int end = i < n && !v[i].done ? i + 1 : i;
    rc = store_end(v->s, rc, err);
    if (rc != Q_OK) return rc;
    for (int k = *at; k < end; k++) {
        out[k].added += added[k];
        out[k].fresh = v[k].fresh;
        out[k].conversation = v[k].conversation;
    }
    *at = i;
    return Q_OK;
}

/* As they were before a step that failed. */
struct before { int at; bool fresh, done; int64_t conversation; };

static int steps(struct putting *v, int n, bool (*go)(void *user), void *user, mem_imported *out, char *err)
{
    int at = 0, rc = Q_OK, most = n;
    bool first = true;
    struct before was[MEM_IMPORTS_MAX];
    while (at < n && v[at].done) at++;
    while (rc == Q_OK && at < n) {
        if (!first) store_breathe(v->s);
        if (!first && go && !go(user)) return q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept"));
        first = false;
        for (int i = at; i < n; i++) was[i] = (struct before){v[i].at, v[i].fresh, v[i].done, v[i].conversation};
        rc = step(v, n, &at, most, out, err);
        if (rc == Q_OK || most == 1) continue;
        /* one of them is at fault: those before it come in alone */
        for (int i = at; i < n; i++) {
            v[i].at = was[i].at, v[i].fresh = was[i].fresh, v[i].done = was[i].done, v[i].conversation = was[i].conversation;
            memset(v[i].id + v[i].at, 0, sizeof *v[i].id * (size_t)(v[i].m->n - v[i].at));
        }
        most = 1;
        rc = Q_OK;
    }
    return rc;
}

/* What of it was forgotten, and what is there already. */
static int look(struct putting *p, mem_imported *out, char *err)
{
    int rc = store_forgotten_of(p->s, p->m, p->out, &p->n_out, err);
    if (rc == Q_OK && p->m->again && p->n_out) {
        rc = store_forgotten_again(p->s, p->m, err);
        memset(p->out, 0, sizeof *p->out * (size_t)p->m->n);
        p->n_out = 0;
    }
    if (rc == Q_OK) rc = find_known(p, err);
    p->may_make = p->conversation == 0;
    p->done = p->known + p->n_out == p->m->n && (p->conversation || p->n_out);
    out->conversation = p->conversation;
    out->forgotten = p->n_out;
    return rc;
}

int mem_import_put_all(mem_store *s, const mem_import *m, int n, bool (*go)(void *user), void *user, mem_imported *out, char *err)
{
    struct putting v[MEM_IMPORTS_MAX] = {{0}};
    int rc = n <= MEM_IMPORTS_MAX ? Q_OK : q_fail(err, Q_RANGE, "%d conversations at once", n);
    memset(out, 0, sizeof *out * (size_t)n);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        v[i] = (struct putting){.s = s, .m = &m[i], .id = q_alloc(sizeof *v[i].id * (size_t)(m[i].n + 1)), .out = q_alloc((size_t)m[i].n + 1)};
        rc = look(&v[i], &out[i], err);
    }
    if (rc == Q_OK) rc = steps(v, n, go, user, out, err);
    for (int i = 0; i < n && i < MEM_IMPORTS_MAX; i++) {
        free(v[i].id);
        free(v[i].out);
    }
    return rc;
}

int mem_import_put(mem_store *s, const mem_import *m, bool (*go)(void *user), void *user, mem_imported *out, char *err)
{
    return mem_import_put_all(s, m, 1, go, user, out, err);
}

/* ---- as it came ---- */
static int raw(mem_store *s, int64_t id, const char *sql, char **was, q_buf *out, char *err)
{
    *was = NULL;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, sql, "i", id);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) {
        *was = store_text(st, 0);
        const void *p = sqlite3_column_blob(st, 1);
        if (p) q_buf_add(out, p, (size_t)sqlite3_column_bytes(st, 1));
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc < 0 ? rc : Q_OK;
}

int mem_message_raw(mem_store *s, int64_t id, char **was, q_buf *out, char *err)
{
    return raw(s, id, "SELECT was, data FROM message_raw WHERE message=?", was, out, err);
}

int mem_document_raw(mem_store *s, int64_t id, char **was, q_buf *out, char *err)
{
    return raw(s, id, "SELECT was, data FROM document_raw WHERE document=?", was, out, err);
}
