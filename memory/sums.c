/* memory/sums: the sum of a model's vectors of a kind, kept in step as they come and go with their passages. The lock is held
 * and, for whatever writes, a transaction is open.
 *
 * A sum counts each number as round(x * 2^36), so that adding and taking away in any order leave the same sum. In a damaged row it may
 * be any number: it is counted round like a clock's, and a check finds it out of step. */
#include "memory/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const double store_sum_unit = 68719476736.0;
static const float LARGEST = 64;                /* of a number; vectors of length 1 are far below */

int store_sum_read(mem_store *s, int64_t embedder, enum mem_kind k, int dim, store_sum *x, char *err)
{
    *x = (store_sum){.v = q_alloc(sizeof *x->v * (size_t)dim)};
    sqlite3_stmt *st = store_query(s, err, "SELECT " STORE_COUNT("n") ", sum FROM embedder_sum WHERE embedder=? AND kind=?", "ii", embedder, (int64_t)k);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1 && sqlite3_column_bytes(st, 1) == (int)sizeof *x->v * dim) {
        x->n = sqlite3_column_int64(st, 0);
        memcpy(x->v, sqlite3_column_blob(st, 1), sizeof *x->v * (size_t)dim);
    }
    sqlite3_finalize(st);
    return rc < 0 ? rc : Q_OK;
}

int store_sum_write(mem_store *s, int64_t embedder, enum mem_kind k, int dim, const store_sum *x, char *err)
{
    return store_run(s, NULL, err, "INSERT OR REPLACE INTO embedder_sum(embedder, kind, n, sum) VALUES(?, ?, ?, ?)", "iiib", embedder, (int64_t)k, x->n,
                     (const void *)x->v, sizeof *x->v * (size_t)dim);
}

void store_sum_add(store_sum *x, const float *f, int dim, int sign)
{
    x->n += sign;
    for (int i = 0; i < dim; i++) x->v[i] = (int64_t)((uint64_t)x->v[i] + (uint64_t)(sign * llround((double)f[i] * store_sum_unit)));
}

int store_vector_fit(const mem_vector *v, int dim, char *err)
{
    for (int i = 0; i < dim; i++)
        if (!isfinite(v->f[i]) || fabsf(v->f[i]) > LARGEST)
            return q_fail(err, Q_RANGE, _("the embedding model gave numbers that are none for passage %lld: nothing of it is kept; try another model"), (long long)v->passage);
    return Q_OK;
}

static int drop_one(mem_store *s, int64_t vector, int dim, store_sum *sum, char *err)
{
    sqlite3_stmt *st = store_query(s, err, "SELECT data FROM vector_exact WHERE vector=?", "i", vector);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1 && sqlite3_column_bytes(st, 0) == (int)sizeof(float) * dim) {
        float *f = q_alloc(sizeof *f * (size_t)dim);
        memcpy(f, sqlite3_column_blob(st, 0), sizeof *f * (size_t)dim);
        bool good = store_vector_fit(&(mem_vector){.f = f}, dim, (char[Q_ERRLEN]){0}) == Q_OK;
        if (good) store_sum_add(sum, f, dim, -1);
        free(f);
    }
    sqlite3_finalize(st);
    if (rc >= 0) rc = store_run(s, NULL, err, "DELETE FROM vector_exact WHERE vector=?", "i", vector);
    return rc == Q_OK ? store_run(s, NULL, err, "DELETE FROM vector WHERE id=?", "i", vector) : rc;
}

int store_vectors_drop(mem_store *s, enum mem_kind k, int64_t passage, char *err)
{
    sqlite3_stmt *st = store_query(s, err, "SELECT v.id, v.embedder, e.dim FROM vector v JOIN embedder e ON e.id=v.embedder WHERE v.kind=? AND v.passage=?",
                                   "ii", (int64_t)k, passage);
    int rc = st ? 1 : store_failed(s), n = 0;
    struct { int64_t id, embedder, dim; } gone[64];
    while (n < 64 && rc == 1 && (rc = store_step(s, st, err)) == 1) {
        gone[n].id = sqlite3_column_int64(st, 0);
        gone[n].embedder = sqlite3_column_int64(st, 1);
        gone[n++].dim = sqlite3_column_int64(st, 2);
    }
    sqlite3_finalize(st);
    for (int i = 0; i < n && rc >= 0; i++) {
        store_sum sum = {0};
        rc = gone[i].dim > 0 && gone[i].dim <= STORE_DIM_MAX ? store_sum_read(s, gone[i].embedder, k, (int)gone[i].dim, &sum, err) : store_tampered(s, err);
        if (rc == Q_OK) rc = drop_one(s, gone[i].id, (int)gone[i].dim, &sum, err);
        if (rc == Q_OK) rc = store_sum_write(s, gone[i].embedder, k, (int)gone[i].dim, &sum, err);
        if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE embedder SET drops=drops+1 WHERE id=?", "i", gone[i].embedder);
        free(sum.v);
    }
    if (rc >= 0 && n == 64) return store_vectors_drop(s, k, passage, err);
    return rc < 0 ? rc : Q_OK;
}
