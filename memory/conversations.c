/* memory/conversations: the list of conversations and what the screen remembers about each. Owns nothing
 * beyond the call; any thread. It never touches messages except to delete them with their conversation. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS "c.id, c.title, c.created, c.opened, c.leaf, c.draft, c.scroll," \
                " (SELECT count(*) FROM message m WHERE m.conversation=c.id)"

static void read_row(sqlite3_stmt *st, mem_conversation *c)
{
    *c = (mem_conversation){
        .id = sqlite3_column_int64(st, 0), .title = store_text(st, 1), .created_ms = sqlite3_column_int64(st, 2),
        .opened_ms = sqlite3_column_int64(st, 3), .leaf = sqlite3_column_int64(st, 4), .draft = store_text(st, 5),
        .scroll = sqlite3_column_int64(st, 6), .n_messages = sqlite3_column_int(st, 7),
    };
}

static int no_such(char *err, int64_t id)
{
    return q_fail(err, Q_NOTFOUND, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)id);
}

int mem_conversation_new(mem_store *s, const char *title, int64_t *id, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    int64_t now = q_wall_ms();
    rc = store_run(s, NULL, err, "INSERT INTO conversation(title, created, opened) VALUES(?, ?, ?)", "sii", title ? title : "", now, now);
    int64_t got = sqlite3_last_insert_rowid(s->db);
    rc = store_end(s, rc, err);
    *id = rc == Q_OK ? got : 0;
    return rc;
}

int mem_conversation_get(mem_store *s, int64_t id, mem_conversation *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT " COLUMNS " FROM conversation c WHERE id=?", "i", id);
    int rc = st ? store_step(s, st, err) : Q_IO;
    if (rc == 1) read_row(st, out);
    sqlite3_finalize(st);
    store_unlock(s);
    return rc == 1 ? Q_OK : rc == 0 ? no_such(err, id) : rc;
}

int mem_conversation_list(mem_store *s, mem_conversations *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT " COLUMNS " FROM conversation c ORDER BY once, opened DESC, id DESC", "");
    int rc = st ? Q_OK : Q_IO, cap = 0;
    while (st && (rc = store_step(s, st, err)) == 1) {
        if (out->n == cap) out->v = q_realloc(out->v, sizeof *out->v * (size_t)(cap = cap ? cap * 2 : 16));
        read_row(st, &out->v[out->n++]);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    if (rc != Q_OK) mem_conversations_free(out);
    return rc;
}

int mem_conversation_last(mem_store *s, int64_t *id, char *err)
{
    *id = 0;
    store_lock(s);
    int rc = store_int(s, id, err, "SELECT id FROM conversation WHERE once=0 ORDER BY opened DESC, id DESC LIMIT 1", "");
    store_unlock(s);
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static int end_change(mem_store *s, int rc, int changes, int64_t id, char *err)
{
    if (rc == Q_OK && changes == 0) rc = no_such(err, id);
    return store_end(s, rc, err);
}

int mem_conversation_title(mem_store *s, int64_t id, const char *title, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "UPDATE conversation SET title=? WHERE id=?", "si", title ? title : "", id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_opened(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    /* two within a millisecond, or a clock that went back, still have an order */
    rc = store_run(s, &n, err, "UPDATE conversation SET once=0, opened=max(?, (SELECT max(opened) + 1 FROM conversation)) WHERE id=?", "ii", q_wall_ms(), id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_once(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "UPDATE conversation SET once=1 WHERE id=?", "i", id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_leaf(mem_store *s, int64_t id, int64_t leaf, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "UPDATE conversation SET leaf=?1 WHERE id=?2 AND (?1=0 OR EXISTS"
                   " (SELECT 1 FROM message WHERE id=?1 AND conversation=?2))", "ii", leaf, id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_view(mem_store *s, int64_t id, const char *draft, int64_t scroll, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "UPDATE conversation SET draft=?, scroll=? WHERE id=?", "sii", draft ? draft : "", scroll, id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_delete(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    /* the index first: taking a text out of it needs the text */
    sqlite3_stmt *st = store_query(s, err, "SELECT id FROM message WHERE conversation=? AND indexed=1", "i", id);
    if (!st) rc = Q_IO;
    while (rc == Q_OK) {
        int row = store_step(s, st, err);
        if (row != 1) { rc = row; break; }
        rc = store_run(s, NULL, err, "INSERT INTO message_fts(message_fts, rowid, text)"
                       " SELECT 'delete', id, text FROM message WHERE id=?", "i", sqlite3_column_int64(st, 0));
    }
    sqlite3_finalize(st);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM pending WHERE conversation=?", "i", id);
    /* what other conversations' logs say about passages from here */
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "UPDATE retrieval SET label='', terms='' WHERE kind=?1 AND ref IN"
                       " (SELECT id FROM message WHERE conversation=?2)", "ii", (int64_t)MEM_CHAT, id);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM message WHERE conversation=?", "i", id);
    if (rc == Q_OK) rc = store_run(s, &n, err, "DELETE FROM conversation WHERE id=?", "i", id);
    if (rc == Q_OK && n == 0) rc = no_such(err, id);
    if (rc == Q_OK) rc = store_purge(s, "message_fts", err);
    return store_end_deletion(s, rc, err);
}

void mem_conversation_free(mem_conversation *c)
{
    if (!c) return;
    free(c->title);
    free(c->draft);
    memset(c, 0, sizeof *c);
}

void mem_conversations_free(mem_conversations *l)
{
    for (int i = 0; i < l->n; i++) mem_conversation_free(&l->v[i]);
    free(l->v);
    memset(l, 0, sizeof *l);
}
