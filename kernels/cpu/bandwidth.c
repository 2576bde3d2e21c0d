/* kernels/cpu/bandwidth: how fast this machine's threads read together. Work is claimed block by block, as products
 * claim theirs, so no thread waits for another. A roofline is an upper bound: of all passes the best counts.
 * For benchmarks only: seconds of work, memory of its own where none is given. */
#include "kernels/cpu/bandwidth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/mat.h"
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"

enum { PIECE = 1024,                   /* floats that a task takes from one of its streams before the next */
       PRODUCT_IN = 2048, PRODUCT_ROWS = 512 /* of a task */, PRODUCTS_FROM = 4 << 20 /* bytes: less lies in caches */ };

const bandwidth_pattern bandwidth_patterns[BANDWIDTH_PATTERNS] = {
    { 1 << 18, 1, 0 }, { 1 << 16, 1, 1024 }, { 1 << 18, 1, 4096 }, { 1 << 16, 4, 0 }, { 1 << 18, 4, 2048 }, { 1 << 14, 1, 512 },
};

typedef struct pass {
    const bandwidth_pattern *how;
    const vec_ops *v;
    const float *data;
    int64_t n;
    struct { float most; char apart[60]; } best[POOL_MAX_THREADS];
} pass;

static void read_task(void *arg, int task, int worker)
{
    pass *p = arg;
    int64_t first = (int64_t)task * p->how->block, n = p->n - first < p->how->block ? p->n - first : p->how->block;
    int64_t part = (n + p->how->streams - 1) / p->how->streams;
    for (int64_t at = 0; at < part; at += PIECE)
        for (int s = 0; s < p->how->streams; s++) {
            int64_t from = s * part + at, end = (s + 1) * part < n ? (s + 1) * part : n;
            int64_t len = end - from < PIECE ? end - from : PIECE;
            float most = len > 0 ? p->v->read(p->data + first + from, len, p->how->ahead) : p->best[worker].most;
            if (most > p->best[worker].most) p->best[worker].most = most;
        }
}

float bandwidth_pass(pool *workers, const bandwidth_pattern *how, const float *data, int64_t n)
{
    pass p = { .how = how, .v = vec_get(), .data = data, .n = n };
    for (int i = 0; i < POOL_MAX_THREADS; i++) p.best[i].most = -INFINITY;
    pool_run(workers, (int)((n + how->block - 1) / how->block), read_task, &p, NULL);
    float most = -INFINITY;
    for (int i = 0; i < POOL_MAX_THREADS; i++) most = p.best[i].most > most ? p.best[i].most : most;
    return most;
}

typedef struct product { mat w; const void *act; float *y; uint8_t *scratch; } product;

static void product_task(void *arg, int task, int worker)
{
    product *p = arg;
    int64_t o0 = (int64_t)task * PRODUCT_ROWS, o1 = o0 + PRODUCT_ROWS < p->w.n_out ? o0 + PRODUCT_ROWS : p->w.n_out;
    mat_mul(&p->w, p->act, 0, 1, o0, o1, p->y, p->w.n_out, p->scratch + (int64_t)worker * MAT_SCRATCH);
}

size_t bandwidth_product(pool *workers, int type, const void *data, size_t bytes)
{
    int64_t row = ker_row_bytes(type, PRODUCT_IN), rows = (int64_t)bytes / row;
    float *x = calloc(PRODUCT_IN, sizeof *x), *y = calloc((size_t)rows + 1, sizeof *y);
    uint8_t *act = aligned_alloc(64, (size_t)mat_act_bytes(type, PRODUCT_IN)), *scratch = aligned_alloc(64, (size_t)MAT_SCRATCH * (size_t)pool_threads(workers));
    bool room = x && y && act && scratch;
    for (int i = 0; room && i < PRODUCT_IN; i++) x[i] = (float)(i % 7 - 3);
    if (room) mat_act(type, x, PRODUCT_IN, act);
    product p = { { .type = type, .n_in = PRODUCT_IN, .n_out = rows, .data = data, .row_bytes = row }, act, y, scratch };
    if (room) pool_run(workers, (int)((rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS), product_task, &p, NULL);
    free(x), free(y), free(act), free(scratch);
    return room ? (size_t)(rows * row) : 0;
}

static double rate_of(size_t bytes, int64_t ns) { return (double)bytes / ((double)(ns > 0 ? ns : 1) * 1e-9); }

double bandwidth_best(pool *workers, const float *data, int64_t n, int64_t (*now)(void *user), void *user)
{
    double best = 0;
    if (n < 1) return 0;
    for (int round = 0; round < BANDWIDTH_ROUNDS; round++)       /* in turn: a neighbour's noise hits all patterns alike */
        for (int i = 0; i < BANDWIDTH_PATTERNS; i++) {
            int64_t start = now(user);
            volatile float sink = bandwidth_pass(workers, &bandwidth_patterns[i], data, n);
            double rate = rate_of((size_t)n * sizeof *data, now(user) - start);
            best = rate > best ? rate : best;
            (void)sink;
        }
    /* Where vectors make products as fast as memory, they read it faster than a plain loop: sixteen rows at once. */
    static const int types[] = { KER_Q8_0, KER_Q6_K };
    if ((size_t)n * sizeof *data < PRODUCTS_FROM || !strcmp(ker_cpu_features(), "scalar")) return best;
    for (int i = 0; i < BANDWIDTH_ROUNDS * 2; i++) {
        int64_t start = now(user);
        size_t bytes = bandwidth_product(workers, types[i % 2], data, (size_t)n * sizeof *data);
        double rate = rate_of(bytes, now(user) - start);
        best = rate > best ? rate : best;
    }
    return best;
}

static int64_t real_clock(void *user) { return q_now_ns(); }

double ker_cpu_read_bandwidth(int n_threads, const void *data, size_t bytes)
{
    size_t off = data ? (size_t)(-(uintptr_t)data & 63) : 0, n = bytes > off ? (bytes - off) / sizeof(float) / 16 * 16 : 0;     /* whole lines, and no byte beside them */
    float *own = NULL;
    const float *from = (const float *)((uintptr_t)data + off);
    if (!data) {
        from = own = n ? aligned_alloc(64, n * sizeof *own) : NULL;
        for (size_t i = 0; own && i < n; i++) own[i] = (float)i; /* real pages, not the shared zero page */
    }
    pool *workers = from && n ? pool_new(n_threads < 1 ? 1 : n_threads) : NULL;
    double best = workers ? bandwidth_best(workers, from, (int64_t)n, real_clock, NULL) : 0;
    pool_free(workers);
    free(own);
    return best;
}

double ker_roofline(double reached, int tries, double (*measure)(void *user), void *user)
{
    double best = 0;
    for (int i = 0; i < tries; i++) {
        double v = measure(user);
        best = v > best ? v : best;
        if (i && best >= reached) break;                         /* twice at least: one bad moment bounds nothing */
    }
    return best >= reached ? best : 0;
}
