/* kernels/cpu/bandwidth: how fast this machine's threads read together. Work is claimed block by block, as products
 * claim theirs, so no thread waits for another. A roofline is an upper bound: of all passes the best counts.
 * For benchmarks only: seconds of work, memory of its own where none is given. */
#include "kernels/cpu/bandwidth.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"

enum { PIECE = 1024 };                 /* floats that a task takes from one of its streams before the next */

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

double bandwidth_best(pool *workers, const float *data, int64_t n, int64_t (*now)(void *user), void *user)
{
    double best = 0;
    if (n < 1) return 0;
    for (int round = 0; round < BANDWIDTH_ROUNDS; round++)       /* in turn: a neighbour's noise hits all patterns alike */
        for (int i = 0; i < BANDWIDTH_PATTERNS; i++) {
            int64_t start = now(user);
            volatile float sink = bandwidth_pass(workers, &bandwidth_patterns[i], data, n);
            int64_t ns = now(user) - start;
            double rate = (double)n * sizeof *data / ((double)(ns > 0 ? ns : 1) * 1e-9);
            best = rate > best ? rate : best;
            (void)sink;
        }
    return best;
}

static int64_t real_clock(void *user) { return q_now_ns(); }

double ker_cpu_read_bandwidth(int n_threads, const void *data, size_t bytes)
{
    size_t n = bytes / sizeof(float) / 16 * 16;
    float *own = NULL;
    const float *from = (const float *)(((uintptr_t)data + 63) & ~(uintptr_t)63);
    if (data && n > 16) n -= 16;                                 /* what aligning took */
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
