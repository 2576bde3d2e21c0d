/* memory/marks: what a person thinks of a model's answers, and which conversations may leave as examples for training. Any thread. */
#include "memory/store.h"

#include <stdlib.h>

int mem_answer_mark(mem_store *s, int64_t message, int mark, char *err)
{
    int64_t one;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_int(s, &one, err, "SELECT 1 FROM message m JOIN conversation c ON c.id=m.conversation AND c.state=0 WHERE m.id=? AND m.role=2 AND m.hidden=0", "i", message);
    if (rc == Q_NOTFOUND) q_fail(err, rc, _("there is no answer %lld here: only a model's answers are good or bad"), (long long)message);
    if (rc == Q_OK && mark)
        rc = store_run(s, NULL, err, "INSERT INTO answer_mark(message, mark, created) VALUES(?1, ?2, ?3) ON CONFLICT(message) DO UPDATE SET mark=?2, created=?3", "iii", message,
                       (int64_t)(mark > 0 ? 1 : -1), q_wall_ms());
    else if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM answer_mark WHERE message=?", "i", message);
    return store_end(s, rc, err);
}

int mem_answer_marked(mem_store *s, int64_t message, int *mark, char *err)
{
    int64_t v = 0;
    store_lock(s);
    int rc = store_int(s, &v, err, "SELECT mark FROM answer_mark WHERE message=?", "i", message);
    store_unlock(s);
    *mark = v > 0 ? 1 : v < 0 ? -1 : 0;
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

int mem_conversation_release(mem_store *s, int64_t conversation, bool on, char *err)
{
    int64_t one;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_int(s, &one, err, "SELECT 1 FROM conversation WHERE id=? AND state=0", "i", conversation);
    if (rc == Q_NOTFOUND) q_fail(err, rc, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)conversation);
    if (rc == Q_OK)
        rc = on ? store_run(s, NULL, err, "INSERT OR IGNORE INTO released(conversation, created) VALUES(?, ?)", "ii", conversation, q_wall_ms())
                : store_run(s, NULL, err, "DELETE FROM released WHERE conversation=?", "i", conversation);
    return store_end(s, rc, err);
}

typedef struct one_id { int64_t id; } one_id;
static const store_column id_columns[] = {STORE_READ(one_id, id, ROW_INT64, "c.id")};
static const store_table id_table = STORE_TABLE(one_id, NULL, id_columns);

int mem_conversations_released(mem_store *s, bool all, int64_t **id, int *n, char *err)
{
    void *v = NULL;
    store_lock(s);
    int rc = store_rows(s, &id_table, &v, n, err, "FROM conversation c WHERE c.state=0 AND (?1 OR EXISTS (SELECT 1 FROM released r WHERE r.conversation=c.id)) ORDER BY c.id", "i", (int64_t)all);
    store_unlock(s);
    if (rc != Q_OK) *n = 0;
    *id = (int64_t *)v;                 /* a row is one number */
    return rc;
}
