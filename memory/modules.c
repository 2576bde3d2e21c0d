/* memory/modules: which modules stood in the system text of an answer. Names and hashes alone: their words are in the person's files. Any thread. */
#include "memory/store.h"

static const store_column columns[] = {
    STORE_READ(mem_module, name, ROW_TEXT, "m.name"),
    STORE_READ(mem_module, hash, ROW_TEXT, "m.hash"),
    STORE_READ(mem_module, tokens, ROW_INT, "m.tokens"),
    STORE_READ(mem_module, adapter, ROW_TEXT, "m.adapter"),
    STORE_READ(mem_module, scale, ROW_TEXT, "m.scale"),
};
static const store_table table = STORE_TABLE(mem_module, NULL, columns);

int mem_modules_put(mem_store *s, int64_t message, const mem_module *v, int n, char *err)
{
    int rc = n ? store_begin(s, err) : Q_OK;
    if (!n || rc != Q_OK) return rc;
    for (int i = 0; i < n && rc == Q_OK; i++)
        rc = store_run(s, NULL, err, "INSERT INTO message_module(message, place, name, hash, tokens, adapter, scale) VALUES(?, ?, ?, ?, ?, ?, ?)", "iississ", message, (int64_t)i,
                       v[i].name, v[i].hash, (int64_t)v[i].tokens, v[i].adapter, v[i].scale);
    return store_end(s, rc, err);
}

int mem_modules_of(mem_store *s, int64_t message, mem_modules *out, char *err)
{
    void *v = NULL;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, "FROM message_module m WHERE m.message=? ORDER BY m.place", "i", message);
    store_unlock(s);
    out->v = v;
    if (rc != Q_OK) *out = (mem_modules){0};
    return rc;
}

void mem_modules_free(mem_modules *l)
{
    void *v = l->v;
    store_rows_free(&table, &v, &l->n);
    *l = (mem_modules){0};
}
