/* memory/conversations: the list of conversations and what the screen remembers about each. Owns nothing
 * beyond the call; any thread. It never touches messages except to delete them with their conversation. */
#include "memory/store.h"

static const store_column columns[] = {
    STORE_READ(mem_conversation, id, ROW_INT64, "c.id"),
    STORE_COLUMN(mem_conversation, title, ROW_TEXT, "title", "c.title"),
    STORE_COLUMN(mem_conversation, created_ms, ROW_INT64, "created", "c.created"),
    STORE_COLUMN(mem_conversation, opened_ms, ROW_INT64, "opened", "c.opened"),
    STORE_COLUMN(mem_conversation, leaf, ROW_INT64, "leaf", "c.leaf"),
    STORE_COLUMN(mem_conversation, draft, ROW_TEXT, "draft", "c.draft"),
    STORE_COLUMN(mem_conversation, scroll, ROW_INT64, "scroll", "c.scroll"),
    STORE_READ(mem_conversation, n_messages, ROW_INT, "(SELECT count(*) FROM message m WHERE m.conversation=c.id AND m.hidden=0)"),
};
static const store_table table = STORE_TABLE(mem_conversation, "conversation", columns);

static int no_such(char *err, int64_t id)
{
    return q_fail(err, Q_NOTFOUND, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)id);
}

int mem_conversation_new(mem_store *s, const char *title, int64_t *id, char *err)
{
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    int64_t got = 0, now = q_wall_ms();
    mem_conversation c = {.title = (char *)title, .created_ms = now, .opened_ms = now, .scroll = -1};
    rc = store_end(s, store_insert(s, &table, &c, &got, err), err);
    if (rc == Q_OK) *id = got;
    return rc;
}

int mem_conversation_get(mem_store *s, int64_t id, mem_conversation *out, char *err)
{
    store_lock(s);
    int rc = store_row(s, &table, out, err, "FROM conversation c WHERE c.id=? AND c.state=0", "i", id);
    store_unlock(s);
    return rc == Q_NOTFOUND ? no_such(err, id) : rc;
}

int mem_conversation_list(mem_store *s, mem_conversations *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, "FROM conversation c WHERE c.state=0 ORDER BY c.once, c.opened DESC, c.id DESC", "");
    store_unlock(s);
    out->v = v;
    return rc;
}

int mem_conversation_last(mem_store *s, int64_t *id, char *err)
{
    *id = 0;
    store_lock(s);
    int rc = store_int(s, id, err, "SELECT id FROM conversation WHERE once=0 AND state=0 ORDER BY opened DESC, id DESC LIMIT 1", "");
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
    rc = store_run(s, &n, err, "UPDATE conversation SET title=? WHERE id=? AND state=0", "si", title ? title : "", id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_opened(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    /* two within a millisecond, or a clock that went back, still have an order */
    rc = store_run(s, &n, err, "UPDATE conversation SET once=0, opened=max(?, (SELECT max(opened) + 1 FROM conversation)) WHERE id=? AND state=0", "ii", q_wall_ms(), id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_once(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "UPDATE conversation SET once=1 WHERE id=? AND state=0", "i", id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_leaf(mem_store *s, int64_t id, int64_t leaf, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "UPDATE conversation SET leaf=?1 WHERE id=?2 AND state=0 AND (?1=0 OR EXISTS"
                   " (SELECT 1 FROM message WHERE id=?1 AND conversation=?2))", "ii", leaf, id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_view(mem_store *s, int64_t id, const char *draft, int64_t scroll, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "UPDATE conversation SET draft=?, scroll=? WHERE id=? AND state=0", "sii", draft ? draft : "", scroll, id);
    return end_change(s, rc, n, id, err);
}

int mem_conversation_delete(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, NULL, err, "DELETE FROM pending WHERE conversation=?", "i", id);
    /* what is short and readable goes at once */
    if (rc == Q_OK) rc = store_run(s, &n, err, "UPDATE conversation SET state=2, title='', draft='' WHERE id=? AND state=0", "i", id);
    if (rc == Q_OK && n) rc = store_backups_owe(s, err);
    if (rc == Q_OK && n) rc = store_forgotten_put(s, id, 0, err);
    return end_change(s, rc, n, id, err);
}

void mem_conversation_free(mem_conversation *c)
{
    if (c) store_free(&table, c);
}

void mem_conversations_free(mem_conversations *l)
{
    void *v = l->v;
    store_rows_free(&table, &v, &l->n);
    l->v = NULL;
}
