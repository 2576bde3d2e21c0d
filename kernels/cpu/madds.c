/* kernels/cpu/madds: how many multiply-adds a second this machine's threads do together in products of many rows: what bounds the
 * reading of a prompt. Threads of its own, for the time of one call; no state. */
#include "kernels/cpu/mat.h"
#include "kernels/kernels.h"

#include <pthread.h>
#include <stdlib.h>

/* A piece that stays in a core's cache: what is measured is arithmetic, not memory. */
enum { N_IN = 1024, N_OUT = 192, ROWS = 64, MOST = 256 };

typedef struct worker {
    pthread_t thread;
    int64_t until;
    double madds, seconds;
    bool runs;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    int64_t row = ker_row_bytes(KER_Q4_K, N_IN), act = mat_act_bytes(KER_Q4_K, N_IN);
    uint8_t *data = calloc(N_OUT, (size_t)row), *acts = aligned_alloc(64, (size_t)ROWS * (size_t)act);
    float *x = calloc(N_IN, sizeof *x), *y = malloc(sizeof *y * ROWS * N_OUT);
    void *scratch = aligned_alloc(64, MAT_SCRATCH);
    if (data && acts && x && y && scratch) {
        for (int i = 0; i < N_IN; i++) x[i] = (float)(i % 101) / 50 - 1;
        for (int64_t at = 0; at < N_OUT * row; at += ker_type_get(KER_Q4_K)->bytes) ker_type_scale(KER_Q4_K, data + at, .01f, .005f);
        for (int i = 0; i < ROWS; i++) mat_act(KER_Q4_K, x, N_IN, acts + i * act);
        mat m = { .type = KER_Q4_K, .n_in = N_IN, .n_out = N_OUT, .data = data, .row_bytes = row };
        int64_t start = q_now_ns(), now = start;
        for (; now < w->until; now = q_now_ns()) {
            mat_mul(&m, acts, act, ROWS, 0, N_OUT, y, N_OUT, scratch);
            w->madds += (double)N_IN * N_OUT * ROWS;
        }
        w->seconds = (double)(now - start) * 1e-9;
    }
    free(data), free(acts), free(x), free(y), free(scratch);
    return NULL;
}

double ker_cpu_madds(int n_threads, double seconds)
{
    worker w[MOST] = { { .madds = 0 } };
    double sum = 0;
    if (n_threads > MOST) n_threads = MOST;
    int64_t until = q_now_ns() + (int64_t)(seconds * 1e9);
    for (int i = 0; i < n_threads; i++) {
        w[i].until = until;
        w[i].runs = pthread_create(&w[i].thread, NULL, work, &w[i]) == 0;
    }
    for (int i = 0; i < n_threads; i++) {
        if (w[i].runs) pthread_join(w[i].thread, NULL);
        if (w[i].seconds > 0) sum += w[i].madds / w[i].seconds;
    }
    return sum;
}
