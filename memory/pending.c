/* memory/pending: questions that wait for an answer to end. Each row belongs to the process that took it in; those of a
 * process that is gone are taken over by the next. Any thread. It never touches messages: the taker places them. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

int mem_pending_put(mem_store *s, int64_t conversation, int64_t edits, const char *text, size_t n, int64_t *id, char *err)
{
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, NULL, err, "INSERT INTO pending(conversation, edits, created, text, owner) VALUES(?, ?, ?, ?, ?)", "iiits",
                   conversation, edits, q_wall_ms(), text, n, s->owner);
    int64_t got = sqlite3_last_insert_rowid(s->db);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

int mem_pending_drop(mem_store *s, int64_t id, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, NULL, err, "DELETE FROM pending WHERE id=?", "i", id);
    return store_end(s, rc, err);
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
    sqlite3_stmt *st = store_query(s, err, "SELECT id, conversation, edits, created, text FROM pending WHERE NOT owner_alive(owner) ORDER BY id", "");
    rc = st ? 1 : Q_IO;
    while (st && (rc = store_step(s, st, err)) == 1) {
        out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + 1));
        out->v[out->n++] = (mem_pending){.id = sqlite3_column_int64(st, 0), .conversation = sqlite3_column_int64(st, 1),
            .edits = sqlite3_column_int64(st, 2), .created_ms = sqlite3_column_int64(st, 3), .text = store_text(st, 4)};
    }
    sqlite3_finalize(st);
    for (int i = 0; rc == Q_OK && i < out->n; i++)
        rc = store_run(s, NULL, err, "UPDATE pending SET owner=? WHERE id=?", "si", s->owner, out->v[i].id);
    rc = store_end(s, rc, err);
    if (rc != Q_OK) mem_pendings_free(out);
    return rc;
}

void mem_pendings_free(mem_pendings *p)
{
    for (int i = 0; i < p->n; i++) free(p->v[i].text);
    free(p->v);
    memset(p, 0, sizeof *p);
}
