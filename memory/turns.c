/* memory/turns: what was said elsewhere, by named people at known times, becomes messages of a conversation here. In steps
 * of one short transaction; any thread. It never reads an archive: importers do. */
#include "memory/store.h"

#include <string.h>

enum { STEP_TURNS = 32, STEP_BYTES = 256 << 10 };

struct turn_row { int64_t conversation, parent, created, updated; int role, status; store_span text; char *author; };
static const store_column turn_columns[] = {
    STORE_COLUMN(struct turn_row, conversation, ROW_INT64, "conversation", NULL),
    STORE_COLUMN(struct turn_row, parent, ROW_REF, "parent", NULL),
    STORE_COLUMN(struct turn_row, role, ROW_INT, "role", NULL),
    STORE_COLUMN(struct turn_row, status, ROW_INT, "status", NULL),
    STORE_COLUMN(struct turn_row, created, ROW_INT64, "created", NULL),
    STORE_COLUMN(struct turn_row, updated, ROW_INT64, "updated", NULL),
    STORE_COLUMN(struct turn_row, text, ROW_SPAN, "text", NULL),
    STORE_COLUMN(struct turn_row, author, ROW_TEXT, "author", NULL),
};
static const store_table turn_table = STORE_TABLE(struct turn_row, "message", turn_columns);

static int there(mem_store *s, int64_t conversation, int64_t parent, char *err)
{
    int64_t one;
    int rc = store_int(s, &one, err, "SELECT 1 FROM conversation c WHERE c.id=?1 AND c.state=0 AND (?2=0 OR EXISTS (SELECT 1 FROM message m"
                       " WHERE m.id=?2 AND m.conversation=?1))", "ii", conversation, parent);
    return rc == Q_NOTFOUND ? q_fail(err, rc, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)conversation) : rc;
}

/* Turns from *at on, as many as a step takes. */
static int step(mem_store *s, int64_t conversation, int64_t *parent, const mem_turn *v, int n, int *at, char *err)
{
    int64_t last = *parent;
    size_t bytes = 0;
    int i = *at, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = there(s, conversation, last, err);
    for (; i < n && i < *at + STEP_TURNS && bytes < STEP_BYTES && rc == Q_OK; i++) {
        struct turn_row row = {.conversation = conversation, .parent = last, .role = (int)v[i].role, .status = MEM_DONE, .created = v[i].created_ms,
                               .updated = v[i].created_ms, .text = {v[i].text, v[i].n}, .author = (char *)(v[i].author ? v[i].author : "")};
        bytes += v[i].n;
        rc = store_insert(s, &turn_table, &row, &last, err);
        if (rc == Q_OK) rc = store_index_message(s, last, err);
    }
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE conversation SET leaf=? WHERE id=?", "ii", last, conversation);
    rc = store_end(s, rc, err);
    if (rc != Q_OK) return rc;
    *parent = last;
    *at = i;
    return Q_OK;
}

int mem_turns_add(mem_store *s, int64_t conversation, int64_t parent, const mem_turn *v, int n, int64_t *leaf, char *err)
{
    int rc = Q_OK;
    *leaf = parent;
    for (int at = 0; at < n && rc == Q_OK;) {
        if (at) store_breathe(s);
        rc = step(s, conversation, leaf, v, n, &at, err);
    }
    return rc;
}

int mem_message_others(mem_store *s, int64_t id, bool *others, char *err)
{
    int64_t n = 0;
    store_lock(s);
    int rc = store_int(s, &n, err, "SELECT count(*) FROM message WHERE id=? AND author<>''", "i", id);
    store_unlock(s);
    *others = n > 0;
    return rc;
}
