/* memory/outside: what left quorum's folders: where it went, when, what it is. Any thread. It never looks at those files. The list is of
 * this machine: no export takes it along. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

static const store_column columns[] = {
    STORE_READ(mem_outside, id, ROW_INT64, "id"),
    STORE_COLUMN(mem_outside, made_ms, ROW_INT64, "made", NULL),
    STORE_COLUMN(mem_outside, kind, ROW_TEXT, "kind", NULL),
    STORE_COLUMN(mem_outside, path, ROW_TEXT, "path", NULL),
};
static const store_table table = STORE_TABLE(mem_outside, "outside", columns);

int mem_outside_put(mem_store *s, const char *kind, const char *path, char *err)
{
    char *real = realpath(path, NULL);
    mem_outside o = {.made_ms = q_wall_ms(), .kind = (char *)kind, .path = real ? real : (char *)path};
    int rc = store_begin(s, err);
    if (rc == Q_OK) {
        rc = store_run(s, NULL, err, "DELETE FROM outside WHERE path=?", "s", o.path);
        if (rc == Q_OK) rc = store_insert(s, &table, &o, NULL, err);
        rc = store_end(s, rc, err);
    }
    free(real);
    return rc;
}

int mem_outside_list(mem_store *s, mem_outsides *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &table, &v, &out->n, err, "FROM outside ORDER BY id", "");
    store_unlock(s);
    out->v = v;
    return rc;
}

static bool one_row(void *user, const char *name, const mem_export_value *v, int n)
{
    mem_outsides *out = user;
    mem_outside o = {0};
    for (int i = 0; i < n; i++) {
        if (strcmp(v[i].name, "made") == 0) o.made_ms = strtoll(v[i].text, NULL, 10);
        if (strcmp(v[i].name, "kind") == 0 && !o.kind) o.kind = q_strdup(v[i].text);
        if (strcmp(v[i].name, "path") == 0 && !o.path) o.path = q_strdup(v[i].text);
    }
    out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + 1));
    out->v[out->n++] = (mem_outside){.made_ms = o.made_ms, .kind = o.kind ? o.kind : q_strdup(""), .path = o.path ? o.path : q_strdup("")};
    return true;
}

int mem_outside_of(const char *path, mem_outsides *out, char *err)
{
    *out = (mem_outsides){0};
    return store_export_table(path, table.name, one_row, out, err);
}

void mem_outsides_free(mem_outsides *l)
{
    void *v = l->v;
    store_rows_free(&table, &v, &l->n);
    *l = (mem_outsides){0};
}
