/* memory/tags: answers whose routing stands under a name, so that two such sets can be compared. Any thread. It never
 * looks into a trace; what a name may be is its caller's. */
#include "memory/store.h"

/* Answers of conversations that are there. */
#define LIVE "JOIN message m ON m.id=t.message JOIN conversation c ON c.id=m.conversation AND c.state=0"

static const store_column columns[] = {
    STORE_READ(mem_tag, name, ROW_TEXT, "t.name"),
    STORE_READ(mem_tag, n, ROW_INT, "count(*)"),
    STORE_READ(mem_tag, chats, ROW_INT, "count(DISTINCT m.conversation)"),
    STORE_READ(mem_tag, tokens, ROW_INT64, "sum(m.tokens)"),
};
static const store_table table = STORE_TABLE(mem_tag, NULL, columns);

typedef struct tagged { int64_t message; } tagged;
static const store_column tagged_columns[] = {STORE_READ(tagged, message, ROW_INT64, "t.message")};
static const store_table tagged_table = STORE_TABLE(tagged, NULL, tagged_columns);

static int no_such(char *err, const char *name)
{
    return q_fail(err, Q_NOTFOUND, _("no routing is called %s: /routing list shows the names, /routing tag NAME gives one to the last answer"), name);
}

int mem_tag_add(mem_store *s, const char *name, int64_t message, char *err)
{
    int64_t one;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_int(s, &one, err, "SELECT 1 FROM message_trace t " LIVE " WHERE t.message=?", "i", message);
    if (rc == Q_NOTFOUND) q_fail(err, rc, _("no routing was stored with message %lld"), (long long)message);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "INSERT OR IGNORE INTO routing_tag(name, message, created) VALUES(?, ?, ?)", "sii", name, message, q_wall_ms());
    return store_end(s, rc, err);
}

int mem_tag_drop(mem_store *s, const char *name, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, &n, err, "DELETE FROM routing_tag WHERE name=?", "s", name);
    if (rc == Q_OK && n == 0) rc = no_such(err, name);
    return store_end(s, rc, err);
}

int mem_tag_list(mem_store *s, mem_tags *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, "FROM routing_tag t " LIVE " GROUP BY t.name ORDER BY t.name", "");
    store_unlock(s);
    out->v = v;
    return rc;
}

int mem_traced(mem_store *s, uint64_t model, int most, int64_t **id, int *n, int *of, char *err)
{
    void *v = NULL;
    int64_t all = 0;
    *id = NULL;
    *n = 0;
    store_lock(s);
    int rc = store_int(s, &all, err, "SELECT count(*) FROM message_trace t " LIVE " WHERE m.model_id=?", "i", (int64_t)model);
    if (rc == Q_OK)
        rc = store_rows(s, &tagged_table, &v, n, err, "FROM message_trace t " LIVE " WHERE m.model_id=? ORDER BY t.message DESC LIMIT ?", "ii", (int64_t)model, (int64_t)most);
    store_unlock(s);
    if (rc != Q_OK) return rc;
    *of = all > INT32_MAX ? INT32_MAX : (int)all;
    *id = q_alloc(sizeof **id * (size_t)(*n + 1));
    int kept = *n;
    for (int i = 0; i < kept; i++) (*id)[i] = ((const tagged *)v)[kept - 1 - i].message;
    store_rows_free(&tagged_table, &v, n);
    *n = kept;
    return Q_OK;
}

int mem_tag_messages(mem_store *s, const char *name, int64_t **id, int *n, char *err)
{
    void *v;
    *id = NULL;
    store_lock(s);
    int rc = store_rows(s, &tagged_table, &v, n, err, "FROM routing_tag t " LIVE " WHERE t.name=? ORDER BY t.message", "s", name);
    store_unlock(s);
    if (rc != Q_OK) return rc;
    if (*n == 0) {
        store_rows_free(&tagged_table, &v, n);
        return no_such(err, name);
    }
    *id = q_alloc(sizeof **id * (size_t)*n);
    for (int i = 0; i < *n; i++) (*id)[i] = ((const tagged *)v)[i].message;
    int kept = *n;
    store_rows_free(&tagged_table, &v, n);
    *n = kept;
    return Q_OK;
}

void mem_tags_free(mem_tags *t)
{
    void *v = t->v;
    store_rows_free(&table, &v, &t->n);
    t->v = NULL;
}
