/* memory/compactions: summaries that take the place of older turns in a prompt, by the last message that each stands for, so that it holds
 * on every branch that has it; turns that a person pinned. The messages themselves stay as they are. A version is never changed: what an
 * answer was made from is known for as long as its conversation is there. Any thread. */
#include "memory/store.h"

static const store_column columns[] = {
    STORE_READ(mem_compaction, id, ROW_INT64, "k.id"),
    STORE_COLUMN(mem_compaction, message, ROW_INT64, "message", "k.message"),
    STORE_COLUMN(mem_compaction, chain, ROW_INT64, "chain", "k.chain"),
    STORE_COLUMN(mem_compaction, kept, ROW_TEXT, "kept", "k.kept"),
    STORE_COLUMN(mem_compaction, text, ROW_TEXT, "text", "k.text"),
    STORE_COLUMN(mem_compaction, fixed, ROW_TEXT, "fixed", "k.fixed"),
    STORE_COLUMN(mem_compaction, words, ROW_TEXT, "words", "k.words"),
    STORE_COLUMN(mem_compaction, messages, ROW_INT, "messages", "k.messages"),
    STORE_COLUMN(mem_compaction, before, ROW_INT, "before", "k.before"),
    STORE_COLUMN(mem_compaction, after, ROW_INT, "after", "k.after"),
    STORE_COLUMN(mem_compaction, undone, ROW_BOOL, "undone", "k.undone"),
    STORE_COLUMN(mem_compaction, created_ms, ROW_INT64, "created", "k.created"),
};
static const store_table table = STORE_TABLE(mem_compaction, "compaction", columns);

int mem_compaction_put(mem_store *s, const mem_compaction *c, int64_t *id, char *err)
{
    int64_t got = 0;
    mem_compaction row = *c;
    row.created_ms = s->watch && s->watch->now ? s->watch->now(s->watch->user) : q_wall_ms();
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_insert(s, &table, &row, &got, err);
    if (rc == Q_OK && !c->chain) rc = store_run(s, NULL, err, "UPDATE compaction SET chain=id WHERE id=?", "i", got);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

static int list(mem_store *s, const char *where, int64_t a, mem_compactions *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, where, "i", a);
    store_unlock(s);
    out->v = v;
    return rc;
}

int mem_compaction_list(mem_store *s, int64_t conversation, mem_compactions *out, char *err)
{
    return list(s, "FROM compaction k JOIN message m ON m.id=k.message WHERE m.conversation=? ORDER BY k.id", conversation, out, err);
}

int mem_compaction_at(mem_store *s, int64_t message, mem_compactions *out, char *err)
{
    return list(s, "FROM compaction k WHERE k.message=? AND k.undone=0 ORDER BY k.id DESC LIMIT 1", message, out, err);
}

int mem_compaction_undo(mem_store *s, int64_t chain, char *err)
{
    int rc = store_begin(s, err);
    return rc == Q_OK ? store_end(s, store_run(s, NULL, err, "UPDATE compaction SET undone=1 WHERE chain=?", "i", chain), err) : rc;
}

void mem_compactions_free(mem_compactions *l)
{
    void *v = l->v;
    store_rows_free(&table, &v, &l->n);
    *l = (mem_compactions){0};
}

int mem_turn_pin(mem_store *s, int64_t message, bool on, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = on ? store_run(s, NULL, err, "INSERT OR IGNORE INTO pin_turn(message, created) VALUES(?, ?)", "ii", message, q_wall_ms())
            : store_run(s, NULL, err, "DELETE FROM pin_turn WHERE message=?", "i", message);
    return store_end(s, rc, err);
}

int mem_turn_pinned(mem_store *s, int64_t message, bool *pinned, char *err)
{
    int64_t n = 0;
    store_lock(s);
    int rc = store_int(s, &n, err, "SELECT count(*) FROM pin_turn WHERE message=?", "i", message);
    store_unlock(s);
    *pinned = n > 0;
    return rc;
}
