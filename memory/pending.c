/* memory/pending: questions that wait for an answer to end. Each row belongs to the process that took it in; those of a
 * process that is gone are taken over by the next. Any thread. It never touches messages: the taker places them. */
#include "memory/store.h"

#include <string.h>

struct row { mem_pending p; store_span text; const char *owner; };
static const store_column put_columns[] = {
    STORE_COLUMN(struct row, p.conversation, ROW_INT64, "conversation", NULL),
    STORE_COLUMN(struct row, p.edits, ROW_INT64, "edits", NULL),
    STORE_COLUMN(struct row, p.created_ms, ROW_INT64, "created", NULL),
    STORE_COLUMN(struct row, text, ROW_SPAN, "text", NULL),
    STORE_COLUMN(struct row, owner, ROW_TEXT, "owner", NULL),
};
static const store_table put_table = STORE_TABLE(struct row, "pending", put_columns);

static const store_column columns[] = {
    STORE_READ(mem_pending, id, ROW_INT64, "id"),
    STORE_READ(mem_pending, conversation, ROW_INT64, "conversation"),
    STORE_READ(mem_pending, edits, ROW_INT64, "edits"),
    STORE_READ(mem_pending, created_ms, ROW_INT64, "created"),
    STORE_READ(mem_pending, text, ROW_TEXT, "text"),
};
static const store_table table = STORE_TABLE(mem_pending, "pending", columns);

int mem_pending_put(mem_store *s, int64_t conversation, int64_t edits, const char *text, size_t n, int64_t *id, char *err)
{
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    int64_t got = 0;
    struct row row = {.p = {.conversation = conversation, .edits = edits, .created_ms = q_wall_ms()}, .text = {text, n}, .owner = s->owner};
    rc = store_end(s, store_insert(s, &put_table, &row, &got, err), err);
    if (rc == Q_OK) *id = got;
    return rc;
}

int mem_pending_drop(mem_store *s, int64_t id, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    return store_end(s, store_run(s, NULL, err, "DELETE FROM pending WHERE id=?", "i", id), err);
}

int mem_pending_leave(mem_store *s, int64_t id, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    return store_end(s, store_run(s, NULL, err, "UPDATE pending SET owner='' WHERE id=?", "i", id), err);
}

int mem_pending_take(mem_store *s, mem_pendings *out, char *err)
{
    memset(out, 0, sizeof *out);
    int64_t any;
    store_lock(s);
    int rc = store_int(s, &any, err, "SELECT id FROM pending WHERE NOT owner_alive(owner) LIMIT 1", "");
    store_unlock(s);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;    /* the common case takes no write lock */
    if ((rc = store_begin(s, err)) != Q_OK) return rc;
    void *v;
    rc = store_rows(s, &table, &v, &out->n, err, "FROM pending WHERE NOT owner_alive(owner) ORDER BY id", "");
    out->v = v;
    for (int i = 0; rc == Q_OK && i < out->n; i++) rc = store_run(s, NULL, err, "UPDATE pending SET owner=? WHERE id=?", "si", s->owner, out->v[i].id);
    rc = store_end(s, rc, err);
    if (rc != Q_OK) mem_pendings_free(out);
    return rc;
}

void mem_pendings_free(mem_pendings *l)
{
    void *v = l->v;
    store_rows_free(&table, &v, &l->n);
    l->v = NULL;
}
