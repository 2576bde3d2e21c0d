/* memory/imports: conversations out of archives, as trees, each known by its archive's name for it and each message by its
 * name there: what is there already stays as it is, what is new is added. In steps of one short transaction, each of which
 * leaves a whole tree; any thread. It never reads an archive: rag does. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

/* In one step: messages written, messages looked up, bytes of text. */
enum { STEP_NEW = 32, STEP_KNOWN = 1024, STEP_BYTES = 256 << 10 };

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
    int64_t *id;                        /* [m->n] of what is there; 0: not there yet */
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
static int find_known(struct putting *p, int *known, char *err)
{
    int rc;
    *known = 0;
    store_lock(p->s);
    rc = find(p, err);
    store_unlock(p->s);
    for (int at = 0; rc == Q_OK && p->conversation && at < p->m->n; at += STEP_KNOWN) {
        store_lock(p->s);
        sqlite3_stmt *st = looking_up(p->s, err);
        rc = st ? Q_OK : store_failed(p->s);
        for (int i = at; i < p->m->n && i < at + STEP_KNOWN && rc == Q_OK; i++) {
            rc = look_up(p, st, i, err);
            *known += p->id[i] != 0;
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
    p->imported_leaf = true;
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
static int hold(struct putting *p, bool first, char *err)
{
    int64_t was = p->conversation;
    p->conversation = 0;
    int rc = find(p, err);
    if (rc == Q_OK && !p->conversation && first) rc = make_conversation(p, err);
    if (rc == Q_OK && (!p->conversation || (was && was != p->conversation)))
        rc = q_fail(err, Q_NOTFOUND, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)was);
    return rc;
}

/* Messages from *at on, as many as a step takes. */
static int step(struct putting *p, int *at, int *added, bool first, char *err)
{
    int i = *at, n = 0, rc = store_begin(p->s, err);
    if (rc != Q_OK) return rc;
    size_t bytes = 0;
    int64_t shown = 0;
    rc = hold(p, first, err);
    sqlite3_stmt *st = rc == Q_OK ? looking_up(p->s, err) : NULL;
    if (rc == Q_OK && !st) rc = store_failed(p->s);
    for (; i < p->m->n && i < *at + STEP_KNOWN && n < STEP_NEW && bytes < STEP_BYTES && rc == Q_OK; i++) {
        const mem_import_message *m = &p->m->v[i];
        if (!p->id[i]) rc = look_up(p, st, i, err);         /* another process may have brought it meanwhile */
        if (rc == Q_OK && !p->id[i]) {
            rc = put_message(p, i, err);
            n++;
            bytes += strlen(m->text) + strlen(m->thinking) + (m->raw ? strlen(m->raw) : 0);
            if (!m->hidden) shown = p->id[i];
        }
    }
    sqlite3_finalize(st);
    if (rc == Q_OK && i == p->m->n) shown = p->m->leaf >= 0 && p->m->leaf < i ? p->id[p->m->leaf] : shown;
    if (rc == Q_OK) rc = set_leaf(p, shown, err);
    rc = store_end(p->s, rc, err);
    if (rc != Q_OK) return rc;
    *at = i;
    *added += n;
    return Q_OK;
}

int mem_import_put(mem_store *s, const mem_import *m, bool (*go)(void *user), void *user, mem_imported *out, char *err)
{
    struct putting p = {.s = s, .m = m, .id = q_alloc(sizeof *p.id * (size_t)(m->n + 1))};
    int known, at = 0;
    memset(out, 0, sizeof *out);
    int rc = find_known(&p, &known, err);
    out->fresh = p.conversation == 0;
    bool first = true, any = out->fresh || known < m->n;
    while (rc == Q_OK && any && (first || at < m->n)) {
        if (!first) store_breathe(s);
        if (!first && go && !go(user)) rc = q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept"));
        else rc = step(&p, &at, &out->added, first && out->fresh, err);
        first = false;
    }
    out->conversation = p.conversation;
    free(p.id);
    return rc;
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
