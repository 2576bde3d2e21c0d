/* memory/calls: what a model did by tools in an answer, call by call, and what the files that it changed held before. It belongs to its
 * message: no search, no index and no list of passages looks at it, and it goes with it. Any thread. What a call may do is tools'. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

static const store_column columns[] = {
    STORE_READ(mem_call, id, ROW_INT64, "t.id"),
    STORE_COLUMN(mem_call, message, ROW_INT64, "message", "t.message"),
    STORE_COLUMN(mem_call, round, ROW_INT, "round", "t.round"),
    STORE_COLUMN(mem_call, at, ROW_INT64, "place", "t.place"),
    STORE_COLUMN(mem_call, name, ROW_TEXT, "name", "t.name"),
    STORE_COLUMN(mem_call, arguments, ROW_TEXT, "arguments", "t.arguments"),
    STORE_COLUMN(mem_call, result, ROW_TEXT, "result", "t.result"),
    STORE_COLUMN(mem_call, policy, ROW_TEXT, "policy", "t.policy"),
    STORE_COLUMN(mem_call, state, ROW_INT, "state", "t.state"),
    STORE_COLUMN(mem_call, ms, ROW_INT64, "ms", "t.ms"),
    STORE_COLUMN(mem_call, created_ms, ROW_INT64, "created", "t.created"),
    STORE_READ(mem_call, path, ROW_TEXT, "ifnull(u.path, '')"),
    STORE_READ(mem_call, became, ROW_TEXT, "ifnull(u.became, '')"),
    STORE_READ(mem_call, mode, ROW_INT, "ifnull(u.mode, 0)"),
    STORE_READ(mem_call, made, ROW_INT, "ifnull(u.made, 0)"),
    STORE_READ(mem_call, there, ROW_BOOL, "ifnull(u.there, 0)"),
    STORE_READ(mem_call, kept, ROW_BOOL, "u.call IS NOT NULL AND (u.there=0 OR u.was IS NOT NULL)"),
    STORE_READ(mem_call, undone, ROW_BOOL, "ifnull(u.undone, 0)"),
};
static const store_table table = STORE_TABLE(mem_call, "tool_call", columns);
#define CALLS "FROM tool_call t LEFT JOIN tool_undo u ON u.call=t.id "

/* Oldest first, by age, then by size. */
static int let_go(mem_store *s, char *err)
{
    int64_t id = 0, now = s->watch && s->watch->now ? s->watch->now(s->watch->user) : q_wall_ms();
    int rc = store_run(s, NULL, err, "UPDATE tool_undo SET was=NULL WHERE was IS NOT NULL AND call IN (SELECT id FROM tool_call WHERE created<?)", "i",
                       now - (int64_t)MEM_UNDO_DAYS * 86400000);
    if (rc == Q_OK) rc = store_int(s, &id, err, "SELECT ifnull(max(call), 0) FROM (SELECT call, sum(length(was)) OVER (ORDER BY call DESC) AS held FROM tool_undo"
                                   " WHERE was IS NOT NULL) WHERE held>?", "i", (int64_t)MEM_UNDO_BYTES);
    return rc == Q_OK && id ? store_run(s, NULL, err, "UPDATE tool_undo SET was=NULL WHERE call<=? AND was IS NOT NULL", "i", id) : rc;
}

int mem_call_put(mem_store *s, const mem_call *c, const char *was, size_t n_was, const char *whole, size_t n_whole, int64_t *id, char *err)
{
    int64_t got = 0;
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    mem_call row = *c;
    row.created_ms = s->watch && s->watch->now ? s->watch->now(s->watch->user) : q_wall_ms();
    rc = store_insert(s, &table, &row, &got, err);
    if (rc == Q_OK && whole) rc = store_run(s, NULL, err, "INSERT INTO tool_whole(call, text) VALUES(?, ?)", "it", got, whole, n_whole);
    if (rc == Q_OK && c->path && *c->path)
        rc = was ? store_run(s, NULL, err, "INSERT INTO tool_undo(call, path, became, mode, there, was) VALUES(?, ?, ?, ?, ?, ?)", "issiib", got, c->path, c->became,
                             (int64_t)c->mode, (int64_t)c->there, was, n_was)
                 : store_run(s, NULL, err, "INSERT INTO tool_undo(call, path, became, mode, there, made) VALUES(?, ?, ?, ?, ?, ?)", "issiii", got, c->path, c->became, (int64_t)c->mode,
                             (int64_t)c->there, (int64_t)c->made);
    if (rc == Q_OK && was) rc = let_go(s, err);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

int mem_call_list(mem_store *s, int64_t message, mem_calls *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, CALLS "WHERE t.message=? ORDER BY t.id", "i", message);
    store_unlock(s);
    out->v = v;
    return rc;
}

int mem_call_last(mem_store *s, int64_t conversation, int most, mem_calls *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, CALLS "JOIN message m ON m.id=t.message JOIN conversation c ON c.id=m.conversation AND c.state=0"
                        " WHERE m.conversation=? ORDER BY t.id DESC LIMIT ?", "ii", conversation, (int64_t)most);
    store_unlock(s);
    out->v = v;
    return rc;
}

/* The one blob or text of a call. */
static int one(mem_store *s, const char *sql, int64_t call, q_buf *out, char *err)
{
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, sql, "i", call);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) {
        q_buf_puts(out, "");
        if (sqlite3_column_bytes(st, 0) > 0) q_buf_add(out, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc == 1 ? Q_OK : rc == Q_OK ? q_fail(err, Q_NOTFOUND, _("it is not kept any more")) : rc;
}

int mem_call_was(mem_store *s, int64_t call, q_buf *out, char *err) { return one(s, "SELECT was FROM tool_undo WHERE call=? AND was IS NOT NULL", call, out, err); }
int mem_call_whole(mem_store *s, int64_t call, q_buf *out, char *err) { return one(s, "SELECT text FROM tool_whole WHERE call=?", call, out, err); }

int mem_call_undone(mem_store *s, int64_t call, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    return store_end(s, store_run(s, NULL, err, "UPDATE tool_undo SET undone=1 WHERE call=?", "i", call), err);
}

void mem_calls_free(mem_calls *l)
{
    void *v = l->v;
    store_rows_free(&table, &v, &l->n);
    *l = (mem_calls){0};
}
