/* memory/facts: statements that a person wanted remembered, as a list with the time in which each holds. Those of one subject follow one
 * another: a newer one ends the one before it, which is kept. Any thread. What is a statement and what it is about is rag's; so are the
 * passages that are made of them. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

static const store_column columns[] = {
    STORE_READ(mem_fact, id, ROW_INT64, "f.id"),
    STORE_COLUMN(mem_fact, text, ROW_TEXT, "text", "f.text"),
    STORE_COLUMN(mem_fact, subject, ROW_TEXT, "subject", "f.subject"),
    STORE_COLUMN(mem_fact, since_ms, ROW_INT64, "since", "f.since"),
    STORE_COLUMN(mem_fact, until_ms, ROW_INT64, "until", "f.until"),
    STORE_COLUMN(mem_fact, by, ROW_INT64, "by", "f.by"),
    STORE_COLUMN(mem_fact, message, ROW_INT64, "message", "f.message"),
    STORE_COLUMN(mem_fact, created_ms, ROW_INT64, "created", "f.created"),
};
static const store_table table = STORE_TABLE(mem_fact, "fact", columns);

/* Each of a subject until the next, by the time from which they hold. */
static int in_order(mem_store *s, const char *subject, char *err)
{
    if (!*subject) return Q_OK;
    return store_run(s, NULL, err, "UPDATE fact AS f SET"
                     " by=ifnull((SELECT n.id FROM fact n WHERE n.subject=f.subject AND (n.since>f.since OR (n.since=f.since AND n.id>f.id)) ORDER BY n.since, n.id LIMIT 1), 0),"
                     " until=ifnull((SELECT n.since FROM fact n WHERE n.subject=f.subject AND (n.since>f.since OR (n.since=f.since AND n.id>f.id)) ORDER BY n.since, n.id LIMIT 1), 0)"
                     " WHERE f.subject=?", "s", subject);
}

int mem_fact_put(mem_store *s, const mem_fact *f, int64_t *id, char *err)
{
    int64_t got = 0, now = q_wall_ms();
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    mem_fact row = *f;
    row.created_ms = now;
    row.since_ms = f->since_ms ? f->since_ms : now;
    row.until_ms = row.by = 0;
    rc = store_int(s, &got, err, "SELECT id FROM fact WHERE text=? AND until=0", "s", f->text);
    if (rc == Q_OK) rc = q_fail(err, Q_RANGE, _("that is remembered already: fact %lld"), (long long)got);
    else if (rc == Q_NOTFOUND) rc = store_insert(s, &table, &row, &got, err);
    if (rc == Q_OK) rc = in_order(s, f->subject, err);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

int mem_fact_list(mem_store *s, mem_facts *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, "FROM fact f ORDER BY f.until<>0, f.since, f.id", "");
    store_unlock(s);
    out->v = v;
    return rc;
}

int mem_facts_delete(mem_store *s, const int64_t *id, int n, int *done, char *err)
{
    int total = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        mem_fact f = {0};
        rc = store_row(s, &table, &f, err, "FROM fact f WHERE f.id=?", "i", id[i]);
        bool there = rc == Q_OK;
        if (there) rc = store_run(s, NULL, err, "DELETE FROM fact WHERE id=?", "i", id[i]);
        if (there && rc == Q_OK) rc = in_order(s, f.subject, err);        /* the one before it holds again */
        total += there && rc == Q_OK;
        store_free(&table, &f);
        if (rc == Q_NOTFOUND) rc = Q_OK;
    }
    if (rc == Q_OK && total) rc = store_backups_owe(s, err);
    rc = store_end(s, rc, err);
    if (done) *done = rc == Q_OK ? total : 0;
    return rc;
}

void mem_facts_free(mem_facts *l)
{
    void *v = l->v;
    store_rows_free(&table, &v, &l->n);
    l->v = NULL;
}
