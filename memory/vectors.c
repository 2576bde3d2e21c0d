/* memory/vectors: what embedding models made of passages: numbers beside a passage, small for looking through all of them and
 * exact for the best, and their sum, kept in step. Any thread; what changes is one short transaction. It never embeds: a
 * passage that has no vector is owed one, and who embeds asks for those. A vector goes with its passage (store_index_drop). */
#include "memory/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIM_MAX = STORE_DIM_MAX, READ_ROWS = 4096, LOOK_ROWS = 2048, DROP_ROWS = 256 };

/* ---- embedders ---- */
static const store_column embedder_columns[] = {
    STORE_READ(mem_embedder, id, ROW_INT64, "id"),       STORE_READ(mem_embedder, name, ROW_TEXT, "name"),
    STORE_READ(mem_embedder, dim, ROW_INT, "dim"),       STORE_READ(mem_embedder, puts, ROW_INT64, "puts"),
    STORE_READ(mem_embedder, drops, ROW_INT64, "drops"), STORE_READ(mem_embedder, chunks, ROW_INT64, "ifnull((SELECT " STORE_COUNT("n") " FROM embedder_sum s WHERE s.embedder=e.id AND s.kind=0), 0)"),
    STORE_READ(mem_embedder, messages, ROW_INT64, "ifnull((SELECT " STORE_COUNT("n") " FROM embedder_sum s WHERE s.embedder=e.id AND s.kind=1), 0)"),
};
static const store_table embedder_table = STORE_TABLE(mem_embedder, NULL, embedder_columns);

int mem_embedder_for(mem_store *s, const char *name, int dim, int64_t *id, char *err)
{
    int64_t had = 0;
    *id = 0;
    if (dim < 1 || dim > DIM_MAX || !*name || *name == '-') return q_fail(err, Q_RANGE, _("an embedding model gives 1 to %d numbers, not %d"), DIM_MAX, dim);
    store_lock(s);                       /* mostly it is there, and nobody is kept from writing */
    int rc = store_int(s, id, err, "SELECT id FROM embedder WHERE name=? AND dim=?", "si", name, (int64_t)dim);
    store_unlock(s);
    if (rc != Q_NOTFOUND) return rc;
    if ((rc = store_begin(s, err)) != Q_OK) return rc;
    rc = store_run(s, NULL, err, "INSERT OR IGNORE INTO embedder(name, dim) VALUES(?, ?)", "si", name, (int64_t)dim);
    if (rc == Q_OK) rc = store_int(s, &had, err, "SELECT dim FROM embedder WHERE name=?", "s", name);
    if (rc == Q_OK && had != dim) rc = q_fail(err, Q_RANGE, _("the embedding model %s gave %d numbers before and gives %d now: it is another one"), name, (int)had, dim);
    if (rc == Q_OK) rc = store_int(s, &had, err, "SELECT id FROM embedder WHERE name=?", "s", name);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = had;
    return rc;
}

int mem_embedder_list(mem_store *s, mem_embedders *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &embedder_table, &v, &out->n, err, "FROM embedder e WHERE name NOT LIKE '-%' ORDER BY id", "");
    store_unlock(s);
    out->v = v;
    return rc;
}

void mem_embedders_free(mem_embedders *l)
{
    void *v = l->v;
    store_rows_free(&embedder_table, &v, &l->n);
    l->v = NULL;
}

int mem_embedder_get(mem_store *s, int64_t id, mem_embedder *out, char *err)
{
    store_lock(s);
    int rc = store_row(s, &embedder_table, out, err, "FROM embedder e WHERE id=?", "i", id);
    store_unlock(s);
    return rc == Q_NOTFOUND ? q_fail(err, rc, _("this embedding model has no vectors in memory any more: they are made again when its turn comes")) : rc;
}

int mem_embedder_named(mem_store *s, const char *name, mem_embedder *out, char *err)
{
    mem_embedders l;
    int like = 0, rc = mem_embedder_list(s, &l, err);
    int64_t id = 0;
    if (rc != Q_OK) return rc;
    for (int i = 0; i < l.n; i++) {
        if (!*name || strncmp(l.v[i].name, name, strlen(name)) != 0) continue;
        id = l.v[i].id;
        like++;
        if (strcmp(l.v[i].name, name) != 0) continue;
        like = 1;
        break;
    }
    mem_embedders_free(&l);
    if (like == 0) rc = q_fail(err, Q_NOTFOUND, _("there are no vectors of a model %s: quorum memory status shows of which there are"), name);
    else if (like > 1) rc = q_fail(err, Q_RANGE, _("several models are called %s…: give the whole name, as quorum memory status shows it"), name);
    return rc == Q_OK ? mem_embedder_get(s, id, out, err) : rc;
}

/* A vector as bytes and as floats, its row and its place in two indexes. */
int64_t mem_embedder_bytes(const mem_embedder *e)
{
    enum { ROW = 64 };
    return (e->chunks + e->messages) * ((int64_t)e->dim * (int64_t)(1 + sizeof(float)) + ROW);
}

void mem_embedder_free(mem_embedder *e) { store_free(&embedder_table, e); }

/* ---- the sum ---- */
int mem_vectors_mean(mem_store *s, int64_t embedder, enum mem_kind k, int dim, double *mean, int64_t *n, char *err)
{
    store_sum x;
    store_lock(s);
    int rc = store_sum_read(s, embedder, k, dim, &x, err);
    store_unlock(s);
    *n = rc == Q_OK ? x.n : 0;
    for (int i = 0; i < dim; i++) mean[i] = *n > 0 ? (double)x.v[i] / store_sum_unit / (double)*n : 0;
    free(x.v);
    return rc;
}

/* ---- coming ---- */
static const char *const present[] = {
    [MEM_CHUNK] = "SELECT c.text FROM chunk c JOIN document d ON d.id=c.document WHERE c.id=? AND d.state<>2",
    [MEM_CHAT] = "SELECT m.text FROM message m JOIN conversation c ON c.id=m.conversation WHERE m.id=? AND m.indexed=1 AND c.state<>2",
};

uint64_t mem_text_hash(const char *text) { return q_hash64(text, strlen(text), 14); }

/* Is the passage there, and does it say what it said when it was read? */
static int still(mem_store *s, const mem_vector *v, bool *same, char *err)
{
    sqlite3_stmt *st = store_query(s, err, present[v->kind], "i", v->passage);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) {
        char *text = store_text(st, 0);
        *same = mem_text_hash(text) == v->hash;
        free(text);
    } else {
        *same = false;
    }
    sqlite3_finalize(st);
    return rc < 0 ? rc : Q_OK;
}

/* The largest number becomes 127. */
static double quantise(const float *f, int dim, int8_t *out)
{
    float most = 0;
    for (int i = 0; i < dim; i++) most = fabsf(f[i]) > most ? fabsf(f[i]) : most;
    double scale = (double)most / 127;
    for (int i = 0; i < dim; i++) out[i] = most > 0 ? (int8_t)lround((double)f[i] / scale) : 0;
    return scale;
}

static int put_one(mem_store *s, int64_t embedder, int dim, const mem_vector *v, store_sum *sum, char *err)
{
    int8_t row[DIM_MAX];
    bool same;
    int changes = 0, rc = still(s, v, &same, err);
    if (rc != Q_OK || !same) return rc;
    double scale = quantise(v->f, dim, row);
    rc = store_run(s, &changes, err, "INSERT OR IGNORE INTO vector(embedder, kind, passage, scale, data) VALUES(?, ?, ?, ?, ?)", "iiidb", embedder,
                   (int64_t)v->kind, v->passage, scale, (const void *)row, (size_t)dim);
    if (rc != Q_OK || !changes) return rc;          /* another process was quicker */
    rc = store_run(s, NULL, err, "INSERT INTO vector_exact(vector, data) VALUES(?, ?)", "ib", (int64_t)sqlite3_last_insert_rowid(s->db),
                   (const void *)v->f, sizeof *v->f * (size_t)dim);
    if (rc == Q_OK) store_sum_add(sum, v->f, dim, 1);
    return rc;
}

int mem_vectors_put(mem_store *s, int64_t embedder, int dim, const mem_vector *v, int n, char *err)
{
    int64_t had = 0;
    int rc = Q_OK;
    for (int i = 0; i < n && rc == Q_OK; i++) rc = store_vector_fit(&v[i], dim, err);
    if (rc != Q_OK || n == 0 || (rc = store_begin(s, err)) != Q_OK) return rc;
    store_sum sum[2] = {{0}};
    rc = store_int(s, &had, err, "SELECT dim FROM embedder WHERE id=?", "i", embedder);
    if (rc == Q_NOTFOUND || (rc == Q_OK && (had != dim || dim > DIM_MAX)))
        rc = q_fail(err, Q_RANGE, _("this embedding model has no vectors in memory any more: they are made again when its turn comes"));
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_sum_read(s, embedder, k, dim, &sum[k], err);
    for (int i = 0; i < n && rc == Q_OK; i++) rc = put_one(s, embedder, dim, &v[i], &sum[v[i].kind], err);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_sum_write(s, embedder, k, dim, &sum[k], err);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE embedder SET puts=puts+1 WHERE id=?", "i", embedder);
    for (int k = 0; k < 2; k++) free(sum[k].v);
    return store_end(s, rc, err);
}

/* ---- what is owed ---- */
/* Passages from the newest on, and whether each is owed one. */
static const char *const owed_sql[] = {
    [MEM_OWED_FILES] = "SELECT p.id, EXISTS (SELECT 1 FROM document d WHERE d.id=p.document AND d.state=0 AND d.trust<>1)"
                       " AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.kind=0 AND v.passage=p.id AND v.embedder=?2) FROM chunk p WHERE p.id<?1 ORDER BY p.id DESC LIMIT ?3",
    [MEM_OWED_CHATS] = "SELECT p.id, p.indexed=1 AND EXISTS (SELECT 1 FROM conversation c WHERE c.id=p.conversation AND c.state=0)"
                       " AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.kind=1 AND v.passage=p.id AND v.embedder=?2) FROM message p WHERE p.id<?1 ORDER BY p.id DESC LIMIT ?3",
    [MEM_OWED_MANUAL] = "SELECT p.id, EXISTS (SELECT 1 FROM document d WHERE d.id=p.document AND d.state=0 AND d.trust=1)"
                        " AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.kind=0 AND v.passage=p.id AND v.embedder=?2) FROM chunk p WHERE p.id<?1 ORDER BY p.id DESC LIMIT ?3",
};

/* Looks at LOOK_ROWS passages below *before, which is moved on, under one hold of the lock; *end: there are no more. */
static int owed_step(mem_store *s, int64_t embedder, enum mem_owed of, int64_t *before, int64_t *id, int most, int *n, bool *end, char *err)
{
    int looked = 0;
    store_lock(s);
    store_allow(s, STORE_LONG);
    sqlite3_stmt *st = store_query(s, err, owed_sql[of], "iii", *before, embedder, (int64_t)LOOK_ROWS);
    int rc = st ? 1 : store_failed(s);
    while (*n < most && rc == 1 && (rc = store_step(s, st, err)) == 1) {
        *before = sqlite3_column_int64(st, 0);
        looked++;
        if (sqlite3_column_int(st, 1)) id[(*n)++] = *before;
    }
    sqlite3_finalize(st);
    store_unlock(s);
    *end = rc == 0 && looked < LOOK_ROWS;
    return rc < 0 ? rc : Q_OK;
}

int mem_vectors_owed(mem_store *s, int64_t embedder, enum mem_owed of, int64_t before, int64_t *id, int most, int *n, char *err)
{
    int rc = Q_OK;
    if (before <= 0) before = INT64_MAX;
    *n = 0;
    for (bool end = false; !end && *n < most && rc == Q_OK;) rc = owed_step(s, embedder, of, &before, id, most, n, &end, err);
    return rc;
}

/* While nothing comes or goes, and no index is made anew, what is found by words and has no vector is owed one: no passage is looked at. */
static const char *const unsettled[] = {
    [MEM_CHUNK] = "SELECT EXISTS (SELECT 1 FROM document WHERE state<>0) OR EXISTS (SELECT 1 FROM chore WHERE name='index chunk_fts')",
    [MEM_CHAT] = "SELECT EXISTS (SELECT 1 FROM conversation WHERE state<>0) OR EXISTS (SELECT 1 FROM chore WHERE name='index message_fts')",
};

static int owing_by_sums(mem_store *s, int64_t embedder, enum mem_kind k, bool *known, int64_t *n, char *err)
{
    int64_t moves = 1, all = 0, held = 0;
    store_lock(s);
    int rc = store_int(s, &moves, err, unsettled[k], "");
    if (rc == Q_OK) rc = store_int(s, &all, err, "SELECT " STORE_COUNT("passages") " FROM extent WHERE kind=?", "i", (int64_t)k);
    if (rc == Q_OK) rc = store_int(s, &held, err, "SELECT " STORE_COUNT("n") " FROM embedder_sum WHERE embedder=? AND kind=?", "ii", embedder, (int64_t)k);
    store_unlock(s);
    *known = !moves;
    *n = all > held ? all - held : 0;
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static int owing_by_looking(mem_store *s, int64_t embedder, enum mem_kind k, int64_t *n, char *err)
{
    int rc = Q_OK;
    int64_t *id = q_alloc(sizeof *id * LOOK_ROWS);
    *n = 0;
    for (enum mem_owed of = MEM_OWED_FILES; of < MEM_OWED_N && rc == Q_OK; of++) {
        int64_t before = INT64_MAX;
        if ((of == MEM_OWED_CHATS) != (k == MEM_CHAT)) continue;
        for (bool end = false; !end && rc == Q_OK;) {
            int some = 0;
            rc = owed_step(s, embedder, of, &before, id, LOOK_ROWS, &some, &end, err);
            *n += some;
        }
    }
    free(id);
    return rc;
}

int mem_vectors_due(mem_store *s, int64_t embedder, int64_t *n, char *err)
{
    int rc = Q_OK;
    *n = 0;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) {
        int64_t some;
        bool known;
        rc = owing_by_sums(s, embedder, k, &known, &some, err);
        *n += some;
    }
    return rc;
}

int mem_vectors_owing(mem_store *s, int64_t embedder, int64_t n[2], char *err)
{
    int rc = Q_OK;
    n[MEM_CHUNK] = n[MEM_CHAT] = 0;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) {
        bool known;
        rc = owing_by_sums(s, embedder, k, &known, &n[k], err);
        if (rc == Q_OK && !known) rc = owing_by_looking(s, embedder, k, &n[k], err);
    }
    return rc;
}

/* ---- going ---- */
int mem_embedder_delete(mem_store *s, int64_t embedder, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, NULL, err, "UPDATE embedder SET name='-' || id, drops=drops+1 WHERE id=?", "i", embedder);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM embedder_sum WHERE embedder=?", "i", embedder);
    return store_end(s, rc, err);
}

int store_vectors_step(mem_store *s, bool *more, char *err)
{
    int64_t e;
    int changes = 0;
    *more = false;
    store_lock(s);
    int rc = store_int(s, &e, err, "SELECT id FROM embedder WHERE name>'-' AND name<'.' LIMIT 1", "");
    store_unlock(s);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;
    if ((rc = store_begin(s, err)) != Q_OK) return rc;
    *more = true;
    rc = store_run(s, NULL, err, "DELETE FROM vector_exact WHERE vector IN (SELECT id FROM vector WHERE embedder=? ORDER BY id LIMIT ?)", "ii", e, (int64_t)DROP_ROWS);
    if (rc == Q_OK) rc = store_run(s, &changes, err, "DELETE FROM vector WHERE id IN (SELECT id FROM vector WHERE embedder=? ORDER BY id LIMIT ?)", "ii",
                                   e, (int64_t)DROP_ROWS);
    if (rc == Q_OK && changes < DROP_ROWS) {
        rc = store_run(s, NULL, err, "DELETE FROM embedder_sum WHERE embedder=?", "i", e);
        if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM embedder WHERE id=?", "i", e);
    }
    return store_end(s, rc, err);
}

/* ---- reading ---- */
static int read_some(mem_store *s, int64_t embedder, int dim, int64_t *after, int *rows, bool (*fn)(void *user, const mem_vector_row *), void *user, char *err)
{
    *rows = 0;
    store_lock(s);
    store_allow(s, STORE_LONG);
    sqlite3_stmt *st = store_query(s, err, "SELECT v.id, v.kind, v.passage, v.scale, v.data, h.prev, h.conversation FROM vector v LEFT JOIN heard h ON v.kind=1 AND h.message=v.passage"
                                   " WHERE v.id>?1 AND +v.embedder=?2 ORDER BY v.id LIMIT ?3", "iii", *after, embedder, (int64_t)READ_ROWS);
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        mem_vector_row r = {.kind = sqlite3_column_int64(st, 1) ? MEM_CHAT : MEM_CHUNK, .passage = sqlite3_column_int64(st, 2), .scale = sqlite3_column_double(st, 3),
                            .row = sqlite3_column_blob(st, 4), .prev = sqlite3_column_int64(st, 5),
                            .conversation = sqlite3_column_int64(st, 6)};
        *after = sqlite3_column_int64(st, 0);
        ++*rows;
        if (sqlite3_column_bytes(st, 4) != dim || !isfinite(r.scale)) continue;         /* somebody meddled: mem_check says so */
        if (!fn(user, &r)) rc = q_fail(err, Q_CANCEL, _("stopped"));
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc < 0 ? rc : Q_OK;
}

int mem_vectors_each(mem_store *s, int64_t embedder, int dim, int64_t *after, bool (*fn)(void *user, const mem_vector_row *), void *user, char *err)
{
    int rc = Q_OK;
    for (int rows = READ_ROWS; rc == Q_OK && rows == READ_ROWS;) rc = read_some(s, embedder, dim, after, &rows, fn, user, err);
    return rc;
}

int mem_vectors_exact(mem_store *s, int64_t embedder, enum mem_kind k, const int64_t *passage, int n, int dim, float *out, bool *there, char *err)
{
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT x.data FROM vector v JOIN vector_exact x ON x.vector=v.id WHERE v.kind=? AND v.passage=? AND v.embedder=?", "");
    int rc = st ? Q_OK : store_failed(s);
    for (int i = 0; i < n && rc >= 0; i++) {
        sqlite3_bind_int64(st, 1, (int64_t)k);
        sqlite3_bind_int64(st, 2, passage[i]);
        sqlite3_bind_int64(st, 3, embedder);
        rc = store_step(s, st, err);
        there[i] = rc == 1 && sqlite3_column_bytes(st, 0) == (int)sizeof *out * dim;
        if (there[i]) memcpy(out + (size_t)i * (size_t)dim, sqlite3_column_blob(st, 0), sizeof *out * (size_t)dim);
        if (there[i]) there[i] = store_vector_fit(&(mem_vector){.f = out + (size_t)i * (size_t)dim}, dim, (char[Q_ERRLEN]){0}) == Q_OK;
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc < 0 ? rc : Q_OK;
}

/* ---- check ---- */
/* Vectors that are not whole, of a passage that is gone, or out of step with their sum are dropped, and owed again. */
static int check_embedder(mem_store *s, int64_t embedder, int dim, bool *sound, char *err)
{
    store_sum was[2] = {{0}}, is[2] = {{0}};
    int rc = Q_OK;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) {
        rc = store_sum_read(s, embedder, k, dim, &was[k], err);
        is[k].v = q_alloc(sizeof *is[k].v * (size_t)dim);
    }
    sqlite3_stmt *st = rc == Q_OK ? store_query(s, err, "SELECT v.kind, v.data, v.scale, x.data, CASE v.kind WHEN 0 THEN EXISTS (SELECT 1 FROM chunk c WHERE c.id=v.passage)"
                                                " ELSE EXISTS (SELECT 1 FROM message m WHERE m.id=v.passage AND m.indexed=1) END"
                                                " FROM vector v LEFT JOIN vector_exact x ON x.vector=v.id WHERE +v.embedder=?", "i", embedder) : NULL;
    float *f = q_alloc(sizeof *f * (size_t)dim);
    int8_t *row = q_alloc((size_t)dim);
    if (rc == Q_OK) rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        int64_t k = sqlite3_column_int64(st, 0);
        bool whole = (k == 0 || k == 1) && sqlite3_column_bytes(st, 1) == dim && sqlite3_column_bytes(st, 3) == (int)sizeof *f * dim && sqlite3_column_int(st, 4);
        if (whole) memcpy(f, sqlite3_column_blob(st, 3), sizeof *f * (size_t)dim);
        whole = whole && store_vector_fit(&(mem_vector){.f = f}, dim, (char[Q_ERRLEN]){0}) == Q_OK;
        whole = whole && quantise(f, dim, row) == sqlite3_column_double(st, 2) && memcmp(row, sqlite3_column_blob(st, 1), (size_t)dim) == 0;
        if (whole) store_sum_add(&is[k], f, dim, 1);
        *sound &= whole;
    }
    sqlite3_finalize(st);
    for (int k = 0; k < 2; k++) {
        *sound &= !was[k].v || (was[k].n == is[k].n && memcmp(was[k].v, is[k].v, sizeof *is[k].v * (size_t)dim) == 0);
        free(was[k].v);
        free(is[k].v);
    }
    free(f);
    free(row);
    return rc < 0 ? rc : Q_OK;
}

int store_vectors_check(mem_store *s, char *err)
{
    void *v;
    int n, rc = store_rows(s, &embedder_table, &v, &n, err, "FROM embedder e WHERE name NOT LIKE '-%' ORDER BY id", "");
    const mem_embedder *e = v;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        bool sound = e[i].dim > 0 && e[i].dim <= DIM_MAX;
        store_allow(s, STORE_LONG);
        if (sound) rc = check_embedder(s, e[i].id, e[i].dim, &sound, err);
        if (rc != Q_OK || sound) continue;
        rc = store_run(s, NULL, err, "DELETE FROM vector_exact WHERE vector IN (SELECT id FROM vector WHERE embedder=?)", "i", e[i].id);
        if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM vector WHERE embedder=?", "i", e[i].id);
        if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM embedder_sum WHERE embedder=?", "i", e[i].id);
        if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE embedder SET drops=drops+1 WHERE id=?", "i", e[i].id);
        if (rc == Q_OK) store_note(s, _("vectors in %s were not whole and are made again from the text: nothing is lost"), s->path);
    }
    if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM vector_exact WHERE vector NOT IN (SELECT id FROM vector)", "");
    store_rows_free(&embedder_table, &v, &n);
    return rc;
}
