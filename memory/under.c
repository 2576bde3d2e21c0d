/* memory/under: the passages of sources whose titles hold a name: documents by what they are called, conversations by their titles. Ids alone, no text is
 * read. Any thread. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

typedef struct names { char **folded; int n; } names;

/* under(title): does it hold one of the names, in any letter case? */
static void under(sqlite3_context *c, int n, sqlite3_value **v)
{
    const names *x = sqlite3_user_data(c);
    const char *p = sqlite3_value_blob(v[0]);
    bool yes = false;
    for (int i = 0; p && i < x->n && !yes; i++) yes = q_holds(p, (size_t)sqlite3_value_bytes(v[0]), x->folded[i], strlen(x->folded[i]));
    sqlite3_result_int(c, yes);
}

static int ids(mem_store *s, const char *sql, int64_t **v, int *n, char *err)
{
    int cap = 0;
    sqlite3_stmt *st = store_query(s, err, sql, "");
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        if (*n == cap) *v = q_realloc(*v, sizeof **v * (size_t)(cap = cap ? cap * 2 : 64));
        (*v)[(*n)++] = sqlite3_column_int64(st, 0);
    }
    sqlite3_finalize(st);
    return rc;
}

int mem_passages_under(mem_store *s, const char *const *name, int n, mem_under *out, char *err)
{
    names x = {q_alloc(sizeof *x.folded * (size_t)(n + 1)), n};
    *out = (mem_under){0};
    for (int i = 0; i < n; i++) {
        x.folded[i] = q_strdup(name[i]);
        q_fold_bytes(x.folded[i], strlen(x.folded[i]));
    }
    store_lock(s);
    store_allow(s, STORE_LONG);
    int rc = sqlite3_create_function_v2(s->db, "under", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, &x, under, NULL, NULL, NULL) == SQLITE_OK ? Q_OK : store_error(s, err);
    /* CROSS: a title is looked at once, not with each of its passages */
    if (rc == Q_OK) rc = ids(s, "SELECT c.id FROM document d CROSS JOIN chunk c ON c.document=d.id WHERE d.state=0 AND under(d.title) ORDER BY c.id", &out->chunk, &out->n_chunk, err);
    if (rc == Q_OK)
        rc = ids(s, "SELECT m.id FROM conversation c CROSS JOIN message m ON m.conversation=c.id WHERE c.state=0 AND under(c.title) AND m.hidden=0 ORDER BY m.id", &out->turn,
                 &out->n_turn, err);
    sqlite3_create_function_v2(s->db, "under", 1, SQLITE_UTF8, NULL, NULL, NULL, NULL, NULL);          /* x ends here */
    store_unlock(s);
    for (int i = 0; i < n; i++) free(x.folded[i]);
    free(x.folded);
    if (rc != Q_OK) mem_under_free(out);
    return rc;
}

bool mem_under_has(const mem_under *u, enum mem_kind kind, int64_t id)
{
    const int64_t *v = kind == MEM_CHUNK ? u->chunk : u->turn;
    int a = 0, z = kind == MEM_CHUNK ? u->n_chunk : u->n_turn;
    while (a < z) {
        int mid = (a + z) / 2;
        if (v[mid] < id) a = mid + 1;
        else z = mid;
    }
    return a < (kind == MEM_CHUNK ? u->n_chunk : u->n_turn) && v[a] == id;
}

void mem_under_free(mem_under *u)
{
    free(u->chunk);
    free(u->turn);
    *u = (mem_under){0};
}
