/* memory/vectors and rag/near: what lies near by bytes and floats is what a plain sum in doubles says; vectors go with their
 * passages, to the byte; models stand side by side; who makes vectors may be stopped or killed anywhere. */
#include "memory/memory.h"
#include "memory/store.h"
#include "rag/rag.h"
#include "rag/scan.h"
#include "tests/memory_help.h"
#include "tests/packed.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

enum { DIM = 48 };

static uint64_t seed = 88172645463325252u;
static unsigned dice(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

/* ---- a model: a text's vector comes from its hash, so that any two are as good as random ---- */
struct model { rag_embedder e; int calls, die_at; uint64_t salt; };

static void vector_of(const char *text, size_t n, uint64_t salt, float *f)
{
    uint64_t x = q_hash64(text, n, salt);
    double length = 0, v[DIM];
    for (int j = 0; j < DIM; j++) {
        x = q_mix64(x, (uint64_t)j);
        v[j] = (double)(x >> 11) / 9007199254740992.0 - .35;      /* not around 0: the mean has a say */
        length += v[j] * v[j];
    }
    for (int j = 0; j < DIM; j++) f[j] = (float)(v[j] / sqrt(length));
}

static int embed(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *e)
{
    struct model *m = user;
    if (m->die_at && ++m->calls == m->die_at) _exit(7);
    for (int i = 0; i < n; i++) vector_of(text[i], len[i], m->salt, out + i * DIM);
    return Q_OK;
}

static struct model model(const char *name, uint64_t salt) { return (struct model){.e = {.id = name, .dim = DIM, .embed = embed}, .salt = salt}; }
static const rag_embedder *lend(struct model *m) { m->e.user = m; return &m->e; }

static mem_store *opened(const char *path)
{
    mem_store *s = NULL;
    OK(mem_open(path, &s, err));
    if (!s) exit(1);
    return s;
}

static void put(mem_store *s, int first, int n, int same_every)
{
    mem_bulk *b = mem_bulk_new(s, NULL, NULL);
    for (int i = first; i < first + n; i++) {
        char path[32], text[64];
        snprintf(path, sizeof path, "/notes/%d", i);
        snprintf(text, sizeof text, "about %d", same_every ? i % same_every : i);
        mem_document d = {.path = path, .title = path, .trust = MEM_TRUST_OWN};
        mem_chunk c = {0, strlen(text), text, (char *)""};
        OK(mem_bulk_put(b, &d, &c, 1, err));
    }
    OK(mem_bulk_flush(b, err));
    mem_bulk_free(b);
}

static int64_t owing(mem_store *s, const rag_embedder *e)
{
    int64_t id, n[2] = {-1, 0};
    OK(mem_embedder_for(s, e->id, e->dim, &id, err));
    OK(mem_vectors_owing(s, id, n, err));
    return n[MEM_CHUNK] + n[MEM_CHAT];
}

static int64_t made(mem_store *s, const rag_embedder *e)
{
    int64_t n = -1;
    OK(rag_embed_owed(s, e, NULL, &n, err));
    return n;
}

/* ---- the plain way: all passages of a kind, in doubles ---- */
struct plain { int64_t id[4000], prev[4000]; double v[4000][DIM], score[4000]; int n; };
static struct plain plain;

static void read_plain(mem_store *s, enum mem_kind k, uint64_t salt)
{
    plain.n = 0;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, k == MEM_CHUNK ? "SELECT c.id, c.text, 0 FROM chunk c JOIN document d ON d.id=c.document WHERE d.state=0 ORDER BY c.id" :
                                   "SELECT m.id, CASE role WHEN 2 THEN 'Assistant' ELSE 'User' END || ': ' || m.text, ifnull(m.parent, 0) FROM message m WHERE indexed=1 ORDER BY m.id", "");
    while (st && store_step(s, st, err) == 1) {
        float f[DIM];
        const char *t = (const char *)sqlite3_column_text(st, 1);
        vector_of(t, strlen(t), salt, f);
        plain.id[plain.n] = sqlite3_column_int64(st, 0);
        plain.prev[plain.n] = sqlite3_column_int64(st, 2);
        for (int j = 0; j < DIM; j++) plain.v[plain.n][j] = (double)f[j];
        plain.n++;
    }
    sqlite3_finalize(st);
    store_unlock(s);
}

static void score_plain(const float *q)
{
    double mean[DIM] = {0};
    for (int i = 0; i < plain.n; i++)
        for (int j = 0; j < DIM; j++) mean[j] += plain.v[i][j] / plain.n;
    for (int i = 0; i < plain.n; i++) {
        plain.score[i] = 0;
        for (int j = 0; j < DIM; j++) plain.score[i] += ((double)q[j] - .5 * mean[j]) * plain.v[i][j];
    }
}

/* The first `top` hits are the plain way's best, in its order (ties by id), with its scores to within `off`. */
static void same_as_plain(mem_store *s, rag_near *x, enum mem_kind k, int top, double off, const char *what)
{
    for (int t = 0; t < 5 && !test_bad; t++) {
        float q[DIM];
        char text[32];
        snprintf(text, sizeof text, "question %u", dice(100000));
        vector_of(text, strlen(text), 5, q);
        score_plain(q);
        rag_near_hits h;
        OK(rag_near_find(x, q, 0, true, &h, err));
        double mean = 0, last = 1e9;
        for (int i = 0; i < plain.n; i++) mean += plain.score[i] / plain.n;
        CHECK_MSG(h.of == plain.n && fabs(h.mean - mean) < 1e-3, "%s: %lld of %d, mean %g %g", what, (long long)h.of, plain.n, h.mean, mean);
        bool *taken = q_alloc(sizeof *taken * (size_t)plain.n + 1);
        CHECK_MSG(h.n >= (top < plain.n ? top : plain.n), "%s: %d found", what, h.n);
        for (int i = 0; i < h.n && i < top; i++) {
            int best = -1;
            for (int p = 0; p < plain.n; p++)
                if (!taken[p] && (best < 0 || plain.score[p] > plain.score[best] + 1e-12)) best = p;
            taken[best] = true;
            CHECK_MSG(h.v[i].kind == k && (off > 1e-6 || h.v[i].id == plain.id[best]) && fabs(h.v[i].score - plain.score[best]) < off && h.v[i].score <= last,
                      "%s: hit %d is %lld %.9f, plain %lld %.9f", what, i, (long long)h.v[i].id, h.v[i].score, (long long)plain.id[best], plain.score[best]);
            last = h.v[i].score;
        }
        free(taken);
        rag_near_hits_free(&h);
    }
}

static void every_form_of_the_scan_gives_the_same_sums(void)
{
    static _Alignas(64) uint8_t row[9 * 384];
    static int8_t q[384];
    int forms = 0;
    for (int round = 0; round < 40; round++) {
        int width = 64 * (int)(1 + dice(6)), n = 1 + (int)dice(9);
        int32_t a[9], b[9];
        for (int i = 0; i < width * n; i++) row[i] = round == 0 ? 0 : round == 1 ? 255 : (uint8_t)dice(256);
        for (int i = 0; i < width; i++) q[i] = round < 2 ? -127 : (int8_t)((int)dice(255) - 127);
        rag_scan_scalar(row, q, width, n, a);
        forms = 0;
        for (const rag_scanner *f = rag_scanners(); f->name; f++, forms++) {
            memset(b, 1, sizeof b);
            f->scan(row, q, width, n, b);
            CHECK_MSG(memcmp(a, b, sizeof *a * (size_t)n) == 0, "%s, %d rows of %d", f->name, n, width);
        }
        if (round == 0) CHECK_INT(a[0], 128 * 127 * width);
    }
    printf("# %d forms, the best is %s\n", forms, rag_scanners()->name);
}

static void near_is_what_a_plain_sum_says(void)
{
    struct model m = model("a", 5);
    mem_store *s = opened(":memory:");
    put(s, 0, 1500, 0);
    CHECK_INT(owing(s, lend(&m)), 1500);
    CHECK_INT(made(s, lend(&m)), 1500);
    CHECK_INT(owing(s, lend(&m)), 0);
    CHECK_INT(made(s, lend(&m)), 0);
    rag_near *x = rag_near_new(s, lend(&m));
    read_plain(s, MEM_CHUNK, 5);
    same_as_plain(s, x, MEM_CHUNK, 50, 1e-9, "all apart");
    put(s, 1500, 700, 40);                             /* the same text again and again: ties */
    made(s, lend(&m));
    read_plain(s, MEM_CHUNK, 5);
    same_as_plain(s, x, MEM_CHUNK, 50, 1e-9, "with ties");
    rag_near_free(x);
    mem_close(s);
}

static void what_is_no_number_is_refused(void)
{
    struct model m = model("a", 5);
    mem_store *s = opened(":memory:");
    put(s, 0, 3, 0);
    made(s, lend(&m));
    put(s, 3, 2, 0);
    int64_t e, id[4];
    int n;
    OK(mem_embedder_for(s, "a", DIM, &e, err));
    OK(mem_vectors_owed(s, e, MEM_OWED_FILES, 0, id, 4, &n, err));
    CHECK_INT(n, 2);
    static const float bad[] = {NAN, INFINITY, -INFINITY, 65};
    for (int i = 0; i < 4; i++) {
        float f[2][DIM] = {{0}};
        f[1][7] = bad[i];
        mem_vector v[2] = {{MEM_CHUNK, id[1], mem_text_hash("about 3"), f[0]}, {MEM_CHUNK, id[0], mem_text_hash("about 4"), f[1]}};
        CHECK_INT(mem_vectors_put(s, e, DIM, v, 2, err), Q_RANGE);
        CHECK_INT(owing(s, lend(&m)), 2);                             /* neither was kept */
    }
    float q[DIM] = {NAN};
    rag_near *x = rag_near_new(s, lend(&m));
    rag_near_hits h;
    CHECK_INT(rag_near_find(x, q, 0, true, &h, err), Q_RANGE);
    q[0] = 0;                                          /* nothing in a question: everything is as near, nothing fails */
    OK(rag_near_find(x, q, 0, true, &h, err));
    CHECK_INT(h.n, 3);
    rag_near_hits_free(&h);
    rag_near_free(x);
    int64_t other;
    CHECK_INT(mem_embedder_for(s, "a", DIM + 1, &other, err), Q_RANGE);
    CHECK_INT(mem_embedder_for(s, "b", 0, &other, err), Q_RANGE);
    /* of a text that changed or went meanwhile nothing is kept */
    float f[DIM] = {1};
    OK(mem_vectors_put(s, e, DIM, &(mem_vector){MEM_CHUNK, id[0], mem_text_hash("about 99"), f}, 1, err));
    OK(mem_vectors_put(s, e, DIM, &(mem_vector){MEM_CHUNK, 12345, mem_text_hash("about 3"), f}, 1, err));
    CHECK_INT(owing(s, lend(&m)), 2);
    mem_close(s);
}

static void the_manual_comes_last(void)
{
    struct model m = model("a", 5);
    mem_store *s = opened(":memory:");
    mem_bulk *b = mem_bulk_new(s, NULL, NULL);
    mem_chunk c = {0, 6, (char *)"F1, F2", (char *)""};
    OK(mem_bulk_put(b, &(mem_document){.path = (char *)"manual:en", .title = (char *)"manual", .trust = MEM_TRUST_MANUAL}, &c, 1, err));
    OK(mem_bulk_flush(b, err));
    mem_bulk_free(b);
    put(s, 0, 3, 0);
    int64_t e, id[4], done;
    int n;
    OK(mem_embedder_for(s, "a", DIM, &e, err));
    OK(rag_embed_owed(s, lend(&m), &(rag_embed_opts){.most = 3}, &done, err));
    CHECK_INT(done, 3);
    OK(mem_vectors_owed(s, e, MEM_OWED_FILES, 0, id, 4, &n, err));
    CHECK_INT(n, 0);
    OK(mem_vectors_owed(s, e, MEM_OWED_MANUAL, 0, id, 4, &n, err));
    CHECK_INT(n, 1);
    CHECK_INT(made(s, lend(&m)), 1);
    CHECK_INT(owing(s, lend(&m)), 0);
    mem_close(s);
}

static bool in_file(const char *path, const void *bytes, size_t n)
{
    q_buf b = {0};
    char *wal = q_printf("%s-wal", path), why[Q_ERRLEN];
    bool found = q_read_file(path, &b, SIZE_MAX, why) == Q_OK && memmem(b.p, b.len, bytes, n);
    q_buf_clear(&b);
    found |= q_read_file(wal, &b, SIZE_MAX, why) == Q_OK && memmem(b.p, b.len, bytes, n);
    q_buf_free(&b);
    free(wal);
    return found;
}

static int64_t document(mem_store *s, const char *path)
{
    mem_document d;
    OK(mem_document_by_path(s, path, &d, err));
    int64_t id = d.id;
    mem_document_free(&d);
    return id;
}

static void a_deletion_reaches_vector_mean_and_bytes(void)
{
    struct model m = model("a", 5);
    char *path = q_strdup(file("gone.db"));
    mem_store *s = opened(path);
    put(s, 0, 300, 0);
    made(s, lend(&m));
    rag_near *x = rag_near_new(s, lend(&m));
    float q[DIM];
    vector_of("about 123", 9, 5, q);
    rag_near_hits h;
    OK(rag_near_find(x, q, 0, true, &h, err));
    int64_t id = h.v[0].id;
    CHECK(h.v[0].score > h.v[1].score + .01);
    rag_near_hits_free(&h);
    mem_close(s);                                      /* what the log held is in the file now */
    CHECK(in_file(path, q, sizeof q));
    s = opened(path);
    rag_near_free(x);
    x = rag_near_new(s, lend(&m));
    OK(rag_near_find(x, q, 0, true, &h, err));
    CHECK(h.v[0].id == id);
    rag_near_hits_free(&h);
    OK(mem_document_delete(s, document(s, "/notes/123"), err));
    OK(mem_tidy(s, NULL, NULL, err));
    OK(rag_near_find(x, q, 0, true, &h, err));
    CHECK_INT(h.of, 299);
    for (int i = 0; i < h.n; i++) CHECK(h.v[i].id != id);
    rag_near_hits_free(&h);
    read_plain(s, MEM_CHUNK, 5);
    same_as_plain(s, x, MEM_CHUNK, 50, 1e-9, "after a deletion");
    CHECK(!in_file(path, q, sizeof q));
    OK(mem_check(s, err));
    char *note = mem_note(s);
    CHECK_MSG(!note, "%s", note ? note : "");
    free(note);
    CHECK_INT(owing(s, lend(&m)), 0);
    /* a text that changes is owed again; one that stays is not */
    mem_document d = {.path = (char *)"/notes/7", .title = (char *)"/notes/7", .trust = MEM_TRUST_OWN};
    mem_chunk c[2] = {{0, 7, "about 7", (char *)""}, {8, 5, "anew!", (char *)""}};
    OK(mem_document_put(s, &d, c, 2, &id, err));
    OK(mem_tidy(s, NULL, NULL, err));
    int64_t n = owing(s, lend(&m));
    CHECK_MSG(n == 1 || n == 2, "%lld", (long long)n);
    CHECK_INT(made(s, lend(&m)), n);
    OK(mem_check(s, err));
    CHECK_INT(owing(s, lend(&m)), 0);
    rag_near_free(x);
    mem_close(s);
    free(path);
}

static void two_models_never_mix(void)
{
    struct model a = model("a", 5), b = model("b", 6);
    mem_store *s = opened(":memory:");
    put(s, 0, 400, 0);
    made(s, lend(&a));
    CHECK_INT(owing(s, lend(&b)), 400);
    rag_near *x = rag_near_new(s, lend(&a)), *y = rag_near_new(s, lend(&b));
    rag_near_hits h;
    float q[DIM];
    vector_of("about 9", 7, 6, q);
    OK(rag_near_find(y, q, 0, true, &h, err));
    CHECK_INT(h.n, 0);
    rag_near_hits_free(&h);
    made(s, lend(&b));
    OK(mem_document_delete(s, document(s, "/notes/11"), err));
    OK(mem_tidy(s, NULL, NULL, err));
    read_plain(s, MEM_CHUNK, 5);
    same_as_plain(s, x, MEM_CHUNK, 50, 1e-9, "the first");
    read_plain(s, MEM_CHUNK, 6);
    same_as_plain(s, y, MEM_CHUNK, 50, 1e-9, "the second");
    mem_embedders l;
    OK(mem_embedder_list(s, &l, err));
    CHECK_INT(l.n, 2);
    CHECK(l.v[0].chunks == 399 && l.v[1].chunks == 399);
    OK(mem_embedder_delete(s, l.v[0].id, err));
    mem_embedders_free(&l);
    OK(rag_near_find(x, q, 0, true, &h, err));          /* made anew, and empty */
    CHECK_INT(h.n, 0);
    rag_near_hits_free(&h);
    OK(mem_tidy(s, NULL, NULL, err));
    same_as_plain(s, y, MEM_CHUNK, 50, 1e-9, "the second, alone");
    store_lock(s);
    int64_t n = -1;
    OK(store_int(s, &n, err, "SELECT count(*) FROM vector", ""));
    CHECK_INT(n, 399);
    OK(store_int(s, &n, err, "SELECT count(*) FROM vector_exact", ""));
    CHECK_INT(n, 399);
    store_unlock(s);
    OK(mem_check(s, err));
    rag_near_free(x);
    rag_near_free(y);
    mem_close(s);
}

struct stopping { int left; };
static bool stop_after(void *user) { return ((struct stopping *)user)->left-- > 0; }

static void stopped_or_killed_it_goes_on(void)
{
    char *path = q_strdup(file("killed.db"));
    struct model m = model("a", 5);
    mem_store *s = opened(path);
    put(s, 0, 100, 0);
    struct stopping stop = {2};
    int64_t done = 0;
    CHECK_INT(rag_embed_owed(s, lend(&m), &(rag_embed_opts){.go = stop_after, .user = &stop}, &done, err), Q_CANCEL);
    CHECK(done > 0 && done < 100);
    CHECK_INT(owing(s, lend(&m)), 100 - done);
    mem_close(s);
    for (int at = 1; at <= 3; at++) {                   /* killed in the middle of its at-th batch, the batches before it are kept */
        pid_t child = fork();
        if (child == 0) {
            struct model k = model("a", 5);
            k.die_at = at;
            mem_store *c;
            if (mem_open(path, &c, err) != Q_OK) _exit(1);
            rag_embed_owed(c, lend(&k), NULL, NULL, err);
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
        s = opened(path);
        int64_t now = owing(s, lend(&m));
        CHECK_INT(now, 100 - done - 16 * (at - 1));
        done = 100 - now;
        OK(mem_check(s, err));
        CHECK_INT(owing(s, lend(&m)), now);
        mem_close(s);
    }
    s = opened(path);
    CHECK_INT(made(s, lend(&m)), 100 - done);
    rag_near *x = rag_near_new(s, lend(&m));
    read_plain(s, MEM_CHUNK, 5);
    same_as_plain(s, x, MEM_CHUNK, 50, 1e-9, "after kills");
    /* what another store of the file does is seen too */
    mem_store *t = opened(path);
    put(t, 100, 30, 0);
    made(t, lend(&m));
    OK(mem_document_delete(t, document(t, "/notes/3"), err));
    OK(mem_tidy(t, NULL, NULL, err));
    mem_close(t);
    read_plain(s, MEM_CHUNK, 5);
    CHECK_INT(plain.n, 129);
    same_as_plain(s, x, MEM_CHUNK, 50, 1e-9, "changed by another");
    rag_near_free(x);
    mem_close(s);
    free(path);
}

/* ---- turns ---- */
static int plain_at(int64_t id)
{
    for (int i = 0; i < plain.n; i++)
        if (plain.id[i] == id) return i;
    return -1;
}

/* Each turn's vector with those around it, written down from the definition. */
static void smooth_plain(void)
{
    static double out[4000][DIM];
    for (int i = 0; i < plain.n; i++) {
        double length = 0;
        memcpy(out[i], plain.v[i], sizeof out[i]);
        for (int o = 0; o < plain.n; o++) {
            int k = 0, p = i;
            while (p >= 0 && p != o && k < 5) p = plain.prev[p] ? plain_at(plain.prev[p]) : -1, k++;
            double w = p == o && k >= 1 && k <= 4 ? pow(.6, k) : 0;
            for (k = 0, p = o; p >= 0 && p != i && k < 4; k++) p = plain.prev[p] ? plain_at(plain.prev[p]) : -1;
            if (p == i && k >= 1 && k <= 3) w = pow(.4, k);
            for (int j = 0; j < DIM && w > 0; j++) out[i][j] += w * plain.v[o][j];
        }
        for (int j = 0; j < DIM; j++) length += out[i][j] * out[i][j];
        for (int j = 0; j < DIM; j++) out[i][j] /= sqrt(length);
    }
    memcpy(plain.v, out, sizeof out);
}

static void a_turn_stands_with_what_was_said_around_it(void)
{
    struct model m = model("a", 5);
    mem_store *s = opened(":memory:");
    rag_near *x = rag_near_new(s, lend(&m));
    int64_t talk[3], leaf[3] = {0}, older[3] = {0};
    for (int i = 0; i < 3; i++) OK(mem_conversation_new(s, "t", &talk[i], err));
    for (int i = 0; i < 240; i++) {
        char text[64];
        int at = i % 3;
        snprintf(text, sizeof text, "said %d", i);
        int64_t parent = i % 17 == 0 ? older[at] : leaf[at];     /* branches */
        older[at] = leaf[at];
        OK(mem_message_add(s, talk[at], parent, MEM_USER, text, strlen(text), &leaf[at], err));
        if (i % 40 != 39) continue;
        made(s, lend(&m));                              /* some at a time: rows that are there change with what comes */
        read_plain(s, MEM_CHAT, 5);
        smooth_plain();
        same_as_plain(s, x, MEM_CHAT, 20, 2e-3, "turns");
    }
    /* the present talk is left out */
    rag_near_hits h;
    float q[DIM];
    vector_of("User: said 100", 14, 5, q);
    OK(rag_near_find(x, q, talk[1], true, &h, err));
    for (int i = 0; i < h.n; i++) CHECK(plain_at(h.v[i].id) % 3 != 1);
    CHECK(h.n > 100);
    rag_near_hits_free(&h);
    OK(rag_near_find(x, q, 0, false, &h, err));
    CHECK_INT(h.n, 0);
    rag_near_hits_free(&h);
    OK(mem_conversation_delete(s, talk[0], err));
    OK(mem_tidy(s, NULL, NULL, err));
    OK(mem_check(s, err));
    CHECK_INT(owing(s, lend(&m)), 0);
    read_plain(s, MEM_CHAT, 5);
    smooth_plain();
    CHECK_INT(plain.n, 160);
    same_as_plain(s, x, MEM_CHAT, 20, 2e-3, "without one talk");
    rag_near_free(x);
    mem_close(s);
}

static void meddle(mem_store *s, const char *sql)
{
    store_lock(s);
    CHECK_MSG(sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(s->db));
    store_unlock(s);
}

static void a_check_finds_what_is_out_of_step(void)
{
    static const char *const wrong[] = {
        "UPDATE embedder_sum SET n=n+1 WHERE kind=0", "UPDATE embedder_sum SET sum=zeroblob(length(sum)) WHERE kind=0",
        "UPDATE vector SET scale=scale*2 WHERE id=3", "UPDATE vector SET data=zeroblob(3) WHERE id=3", "UPDATE vector_exact SET data=zeroblob(length(data)) WHERE vector=3",
        "DELETE FROM vector_exact WHERE vector=3", "UPDATE vector SET passage=900 WHERE id=3", "DELETE FROM embedder_sum",
    };
    struct model m = model("a", 5), b = model("b", 6);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mem_store *s = opened(":memory:");
        put(s, 0, 20, 0);
        made(s, lend(&m));
        made(s, lend(&b));
        OK(mem_check(s, err));
        char *note = mem_note(s);
        CHECK(!note);
        CHECK_INT(owing(s, lend(&m)), 0);
        rag_near *x = rag_near_new(s, lend(&m));
        read_plain(s, MEM_CHUNK, 5);
        same_as_plain(s, x, MEM_CHUNK, 10, 1e-9, wrong[i]);
        meddle(s, wrong[i]);
        OK(mem_check(s, err));
        free(note);
        note = mem_note(s);
        CHECK_MSG(note, "%s", wrong[i]);
        free(note);
        CHECK_INT(owing(s, lend(&m)), 20);
        CHECK_INT(owing(s, lend(&b)), strstr(wrong[i], "embedder_sum") ? 20 : 0);       /* a model out of step, not its neighbour */
        made(s, lend(&m));
        same_as_plain(s, x, MEM_CHUNK, 10, 1e-9, wrong[i]);
        OK(mem_check(s, err));
        CHECK(!(note = mem_note(s)));
        free(note);
        rag_near_free(x);
        mem_close(s);
    }
}

static void an_old_file_is_brought_along(void)
{
    struct model m = model("a", 5);
    for (int v = 3; v <= 13; v++) {
        char cmd[256];
        char *path = q_strdup(file("old.db"));
        snprintf(cmd, sizeof cmd, "tests/golden/db/schema%d.db", v);
        char *from = q_strdup(packed(cmd));
        snprintf(cmd, sizeof cmd, "rm -f '%s'*; cp '%s' '%s' && chmod 600 '%s'", path, from, path, path);
        free(from);
        CHECK(system(cmd) == 0);
        mem_store *s = opened(path);
        int64_t n = owing(s, lend(&m));
        CHECK_MSG(n > 3, "schema %d: %lld", v, (long long)n);
        CHECK_INT(made(s, lend(&m)), n);
        CHECK_INT(owing(s, lend(&m)), 0);
        OK(mem_check(s, err));
        char *note = mem_note(s);
        CHECK_MSG(!note, "%s", note ? note : "");
        free(note);
        mem_close(s);
        free(path);
    }
}

/* ---- how much is asked of the store, and who waits ---- */
struct counts { int exact, all, locks; };
static void count_statement(void *user, const char *sql)
{
    struct counts *c = user;
    c->all++;
    c->exact += strstr(sql, "vector_exact") != NULL;
}
static void count_lock(void *user, mem_store *s, int64_t rows) { ((struct counts *)user)->locks++; }

static void a_search_asks_for_exact_vectors_at_once(void)
{
    struct counts c = {0};
    store_watch w = {.user = &c, .statement = count_statement};
    struct model m = model("a", 5);
    mem_store *s;
    int64_t talk, leaf = 0;
    OK(store_open(":memory:", &w, &s, err));
    put(s, 0, 700, 0);
    OK(mem_conversation_new(s, "t", &talk, err));
    for (int i = 0; i < 300; i++) {
        char text[64];
        snprintf(text, sizeof text, "said %d", i);
        OK(mem_message_add(s, talk, leaf, MEM_USER, text, strlen(text), &leaf, err));
    }
    made(s, lend(&m));
    rag_near *x = rag_near_new(s, lend(&m));
    rag_near_hit also[60];
    rag_near_hits h;
    for (int round = 0; round < 2; round++) {           /* the first reads the shelves */
        for (int i = 0; i < 60; i++) also[i] = (rag_near_hit){i % 2 ? MEM_CHUNK : MEM_CHAT, 1 + i, 0};
        c = (struct counts){0};
        OK(rag_near_ask(x, "question", 0, true, NULL, also, 60, &h, err));
        CHECK_INT(h.n, 2 * RAG_NEAR_BEST);
        for (int i = 0; i < 60; i++) CHECK(!isnan(also[i].score));
        rag_near_hits_free(&h);
    }
    printf("# %d statements a search, %d of them for exact vectors of %d passages and those around them\n", c.all, c.exact, 2 * RAG_NEAR_BEST + 60);
    CHECK_INT(c.exact, 2);                              /* one a kind */
    CHECK_MSG(c.all <= 8, "%d", c.all);
    rag_near_free(x);
    mem_close(s);
}

/* Among some sources: exactly those of them, however far down they stand among all. */
static void among_some_sources(void)
{
    struct model m = model("a", 5);
    mem_store *s = opened(":memory:");
    mem_under u;
    const char *const name[] = {"NOTES/69", "/notes/3"};
    put(s, 0, 700, 0);
    made(s, lend(&m));
    rag_near *x = rag_near_new(s, lend(&m));
    rag_near_hits h, all;
    OK(mem_passages_under(s, name, 2, &u, err));
    CHECK(u.n_chunk == 11 + 111 && u.n_turn == 0);      /* 69, 690 to 699; 3, 30 to 39, 300 to 399 */
    OK(rag_near_ask(x, "question", 0, true, &u, NULL, 0, &h, err));
    OK(rag_near_ask(x, "question", 0, true, NULL, NULL, 0, &all, err));
    CHECK_INT(h.n, u.n_chunk);
    int missing = 0, same = 0;
    for (int i = 0; i < h.n; i++) {
        CHECK(mem_under_has(&u, h.v[i].kind, h.v[i].id) && (i == 0 || h.v[i - 1].score >= h.v[i].score));
        int at = 0;
        while (at < all.n && all.v[at].id != h.v[i].id) at++;
        missing += at == all.n;
        same += at < all.n && all.v[at].score == h.v[i].score;
    }
    CHECK_MSG(missing > 0 && same == h.n - missing, "%d of %d are not among the nearest of all, %d have the same score", missing, h.n, same);
    CHECK(h.mean == all.mean && h.spread == all.spread && h.of == all.of);
    rag_near_hits_free(&h);
    rag_near_hits_free(&all);
    mem_under_free(&u);
    rag_near_free(x);
    mem_close(s);
}

/* While a question is embedded others search, and ask how much there is. */
struct meanwhile { struct model m; rag_near *x; int64_t held; int n; bool waited; };

static void *search_meanwhile(void *user)
{
    struct meanwhile *w = user;
    float q[DIM];
    rag_near_hits h;
    char why[Q_ERRLEN];
    vector_of("meanwhile", 9, 5, q);
    if (rag_near_held(w->x, &w->held, why) == Q_OK && rag_near_find(w->x, q, 0, true, &h, why) == Q_OK) {
        w->n = h.n;
        rag_near_hits_free(&h);
    }
    return NULL;
}

static int embed_and_wait(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *e)
{
    struct meanwhile *w = user;
    pthread_t t;
    if (question && pthread_create(&t, NULL, search_meanwhile, w) == 0) {
        struct timespec end;
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec += 60;
        w->waited = pthread_timedjoin_np(t, NULL, &end) != 0;
        if (w->waited) {                                /* it waits for us: nothing here could go on */
            printf("not ok a search waits until another one's question is embedded\n");
            exit(1);
        }
    }
    return embed(&w->m, question, text, len, n, out, e);
}

static void nobody_waits_for_a_question_that_is_embedded(void)
{
    struct meanwhile w = {.m = model("a", 5)};
    rag_embedder e = {.id = "a", .dim = DIM, .embed = embed_and_wait, .user = &w};
    mem_store *s = opened(":memory:");
    put(s, 0, 50, 0);
    made(s, &e);
    w.x = rag_near_new(s, &e);
    rag_near_hits h;
    OK(rag_near_ask(w.x, "question", 0, true, NULL, NULL, 0, &h, err));
    CHECK_INT(h.n, 50);
    CHECK_INT(w.n, 50);
    CHECK_INT(w.held, 50);
    rag_near_hits_free(&h);
    rag_near_free(w.x);
    mem_close(s);
}

/* Steps of SQLite's machine. */
static int count_step(void *user) { return ++*(int64_t *)user, 0; }

static int64_t steps_of(mem_store *s, const rag_embedder *e, int64_t *n, int64_t *embedded)
{
    int64_t steps = 0;
    store_lock(s);
    sqlite3_progress_handler(s->db, 1, count_step, &steps);
    store_unlock(s);
    *n = owing(s, e);
    *embedded = made(s, e);
    store_lock(s);
    store_limit_work(s);
    store_unlock(s);
    return steps;
}

/* After an answer two passages are owed, and the others are not looked at: ten times as many cost no more. */
static void what_is_owed_is_known_without_looking_at_all(void)
{
    int64_t took[2];
    for (int round = 0; round < 2; round++) {
        struct counts c = {0};
        store_watch w = {.user = &c, .statement = count_statement, .unlocked = count_lock};
        struct model m = model("a", 5);
        mem_store *s;
        int64_t talk, leaf = 0, n, embedded;
        OK(store_open(":memory:", &w, &s, err));
        put(s, 0, round ? 3000 : 300, 0);
        OK(mem_conversation_new(s, "t", &talk, err));
        for (int i = 0; i < 20; i++) OK(mem_message_add(s, talk, leaf, MEM_USER, "words", 5, &leaf, err));
        OK(mem_tidy(s, NULL, NULL, err));
        made(s, lend(&m));
        OK(mem_message_add(s, talk, leaf, MEM_USER, "one more", 8, &leaf, err));
        OK(mem_message_add(s, talk, leaf, MEM_USER, "and one", 7, &leaf, err));
        took[round] = steps_of(s, lend(&m), &n, &embedded);
        CHECK_INT(n, 2);
        CHECK_INT(embedded, 2);
        CHECK_INT(owing(s, lend(&m)), 0);
        c.locks = 0;
        CHECK_INT(made(s, lend(&m)), 0);                /* nothing is owed: nothing is read */
        CHECK_MSG(c.locks <= 3, "%d", c.locks);
        mem_close(s);
    }
    printf("# %lld steps among 320 passages, %lld among 3020\n", (long long)took[0], (long long)took[1]);
    CHECK_MSG(took[1] < took[0] + took[0] / 2, "%lld, %lld", (long long)took[0], (long long)took[1]);
}

/* More comes in while vectors are made: the total grows with it, and is what was made in the end. */
struct growing { mem_store *s; int64_t done, all; int calls; };

static void grow(void *user, int64_t done, int64_t all)
{
    struct growing *g = user;
    CHECK_MSG(done > g->done && all >= done && all >= g->all, "%lld of %lld, before %lld of %lld", (long long)done, (long long)all, (long long)g->done, (long long)g->all);
    g->done = done;
    g->all = all;
    if (++g->calls == 2) put(g->s, 100, 40, 0);
    if (g->calls == 3) CHECK_INT(all, 140);
}

static void the_total_grows_with_what_comes(void)
{
    struct model m = model("a", 5);
    mem_store *s = opened(":memory:");
    struct growing g = {.s = s};
    put(s, 0, 100, 0);
    OK(rag_embed_owed(s, lend(&m), &(rag_embed_opts){.progress = grow, .user = &g}, NULL, err));
    CHECK_MSG(g.calls > 3 && g.done == 100 && g.all == 140, "%d calls: %lld of %lld", g.calls, (long long)g.done, (long long)g.all);
    CHECK_INT(made(s, lend(&m)), 40);                   /* its next round */
    CHECK_INT(owing(s, lend(&m)), 0);
    mem_close(s);
}

/* While a document goes the passages are looked at: in steps, and what goes is not owed. */
static void while_something_goes_it_is_counted_in_steps(void)
{
    struct counts c = {0};
    store_watch w = {.user = &c, .statement = count_statement, .unlocked = count_lock};
    struct model m = model("a", 5);
    mem_store *s;
    OK(store_open(":memory:", &w, &s, err));
    put(s, 0, 5000, 0);
    OK(mem_document_delete(s, document(s, "/notes/77"), err));
    OK(mem_document_delete(s, document(s, "/notes/4000"), err));
    c.locks = 0;
    CHECK_INT(owing(s, lend(&m)), 4998);
    CHECK_MSG(c.locks >= 6, "%d", c.locks);             /* 5000 passages are no one hold of the lock */
    CHECK_INT(made(s, lend(&m)), 4998);
    CHECK_INT(owing(s, lend(&m)), 0);
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(owing(s, lend(&m)), 0);
    OK(mem_check(s, err));
    CHECK_INT(owing(s, lend(&m)), 0);
    mem_close(s);
}

/* Numbers at the very end of what a number can be: counted round, and a check makes it right. */
static void a_damaged_sum_is_counted_round(void)
{
    struct model m = model("a", 5);
    static const char *const rows[] = {NULL, "UPDATE embedder_sum SET n=9223372036854775807",
                                       "UPDATE embedder_sum SET n=-9223372036854775808"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mem_store *s = opened(":memory:");
        put(s, 0, 20, 0);
        made(s, lend(&m));
        if (!rows[i]) {
            unsigned char most[DIM * 8];
            for (int j = 0; j < DIM; j++) {
                int64_t v = j % 2 ? INT64_MAX - 1 : INT64_MIN + 1;
                memcpy(most + 8 * j, &v, 8);
            }
            store_lock(s);
            OK(store_run(s, NULL, err, "UPDATE embedder_sum SET sum=?", "b", (const void *)most, sizeof most));
            store_unlock(s);
        } else meddle(s, rows[i]);
        put(s, 20, 20, 0);
        made(s, lend(&m));
        for (int d = 0; d < 30; d++) {
            char path[32];
            snprintf(path, sizeof path, "/notes/%d", d);
            OK(mem_document_delete(s, document(s, path), err));
        }
        OK(mem_tidy(s, NULL, NULL, err));
        OK(mem_check(s, err));
        char *note = mem_note(s);
        CHECK_MSG(note && strstr(note, "were not whole"), "%zu: %s", i, note ? note : "nothing was found");
        free(note);
        CHECK_INT(made(s, lend(&m)), 10);
        OK(mem_check(s, err));
        CHECK(!(note = mem_note(s)));
        free(note);
        rag_near *x = rag_near_new(s, lend(&m));
        read_plain(s, MEM_CHUNK, 5);
        same_as_plain(s, x, MEM_CHUNK, 10, 1e-9, "after damage");
        rag_near_free(x);
        mem_close(s);
    }
}

/* What a start asks costs as much with ten times as many messages. */
static void a_start_looks_at_no_messages(void)
{
    int64_t took[2] = {0};
    for (int round = 0; round < 2; round++) {
        mem_store *s = opened(":memory:");
        int64_t talk, leaf = 0, steps = 0;
        OK(mem_conversation_new(s, "t", &talk, err));
        for (int i = 0; i < (round ? 2000 : 200); i++) OK(mem_message_add(s, talk, leaf, MEM_USER, "words", 5, &leaf, err));
        store_lock(s);
        sqlite3_progress_handler(s->db, 1, count_step, &steps);
        store_unlock(s);
        OK(store_recover_replies(s, err));
        store_lock(s);
        store_limit_work(s);
        store_unlock(s);
        took[round] = steps;
        meddle(s, "UPDATE message SET status=0, owner='1:1' WHERE id=7");   /* of a process that is gone */
        OK(store_recover_replies(s, err));
        mem_message m;
        OK(mem_message_get(s, 7, &m, err));
        CHECK(m.status == MEM_STOPPED && strcmp(m.finish, "interrupted") == 0);
        mem_message_free(&m);
        mem_close(s);
    }
    printf("# %lld steps at 200 messages, %lld at 2000\n", (long long)took[0], (long long)took[1]);
    CHECK_MSG(took[1] == took[0] && took[0] > 0, "%lld, %lld", (long long)took[0], (long long)took[1]);
}

int main(void)
{
    if (!memory_begin("near")) return 1;
    RUN(every_form_of_the_scan_gives_the_same_sums);
    RUN(near_is_what_a_plain_sum_says);
    RUN(what_is_no_number_is_refused);
    RUN(the_manual_comes_last);
    RUN(a_deletion_reaches_vector_mean_and_bytes);
    RUN(two_models_never_mix);
    RUN(stopped_or_killed_it_goes_on);
    RUN(a_turn_stands_with_what_was_said_around_it);
    RUN(a_check_finds_what_is_out_of_step);
    RUN(an_old_file_is_brought_along);
    RUN(a_search_asks_for_exact_vectors_at_once);
    RUN(among_some_sources);
    RUN(nobody_waits_for_a_question_that_is_embedded);
    RUN(what_is_owed_is_known_without_looking_at_all);
    RUN(the_total_grows_with_what_comes);
    RUN(while_something_goes_it_is_counted_in_steps);
    RUN(a_damaged_sum_is_counted_round);
    RUN(a_start_looks_at_no_messages);
    return memory_end();
}
