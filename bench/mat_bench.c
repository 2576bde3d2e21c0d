/* bench/mat_bench: speed of the products alone, one thread: per type, path and number of rows, GB of weights and
 * GMAC a second, and the share of one core's streaming read. `make bench-mat`; arguments: [type] [isa] [n_in] [n].
 * Weights: 64 MB in matrices of 768 rows, one after another, so that they come from memory for any n.
 * With "shares" for a type: every type's product of one row beside Q4_K's, in turn, the best of ROUNDS, and the median of what the rounds'
 * shares of Q4_K's are, with the least and the most: a matrix that stays in the
 * second cache (what the instructions allow) and one thread from memory, by processor time; and THREADS from memory, each with
 * weights of its own, by the clock (so on a quiet machine). Arguments: shares [isa] [n_in] [threads] [type]. */
#include "base/base.h"
#include "kernels/cpu/mat.h"
#include "kernels/kernels.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Processor time of this thread: another program on the core does not count, its memory traffic does. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double run(const mat *w, int64_t n_mat, const uint8_t *acts, int64_t as, int n, float *y, void *scratch, double seconds)
{
    double best = 1e9;
    int64_t end = q_now_ns() + (int64_t)(seconds * 1e9);
    do {
        int64_t t0 = cpu_ns();
        for (int64_t e = 0; e < n_mat; e++) {
            mat one = *w;
            one.data += e * w->n_out * w->row_bytes;
            mat_mul(&one, acts, as, n, 0, w->n_out, y, w->n_out, scratch);
        }
        double s = (double)(cpu_ns() - t0) * 1e-9;
        best = s < best ? s : best;
    } while (q_now_ns() < end);
    return best;
}

enum { MOST = 16, ROUNDS = 9, ROWS = 768, BYTES = 64 << 20, WIDEST = 16384 /* a matrix of floats is within BYTES */ };

/* What one thread of a measurement owns. */
typedef struct worker {
    pthread_barrier_t *start;
    mat w;
    int64_t n_mat, passes, took, began, ended;      /* ns of its own time; by the clock */
    uint8_t *data, *act;
    float *y;
    void *scratch;
} worker;

static void *work(void *of)
{
    worker *k = of;
    pthread_barrier_wait(k->start);
    int64_t t0 = cpu_ns();
    k->began = q_now_ns();
    for (int64_t p = 0; p < k->passes; p++)
        for (int64_t e = 0; e < k->n_mat; e++) {
            mat one = k->w;
            one.data += e * ROWS * one.row_bytes;
            mat_mul(&one, k->act, 0, 1, 0, ROWS, k->y, ROWS, k->scratch);
        }
    k->ended = q_now_ns();
    k->took = cpu_ns() - t0;
    return NULL;
}

/* GB/s of n threads together, of one by its own time. */
static double together(worker *k, int n, double gb)
{
    pthread_barrier_t start;
    pthread_t t[MOST];
    int64_t began = INT64_MAX, ended = 0;
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        k[i].start = &start;
        pthread_create(&t[i], NULL, work, &k[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(t[i], NULL);
        began = k[i].began < began ? k[i].began : began;
        ended = k[i].ended > ended ? k[i].ended : ended;
    }
    pthread_barrier_destroy(&start);
    return gb * n * 1e9 / (double)(n == 1 ? k->took : ended - began);
}

/* One measurement of a type: in[0] a matrix in the second cache, in[1] one thread from memory, in[2] n threads. */
static void measure(worker *k, int n, int type, int64_t n_in, const float *x, double in[3])
{
    const ker_type *ty = ker_type_get(type);
    int64_t rb = ker_row_bytes(type, n_in), all = BYTES / (rb * ROWS);
    for (int i = 0; i < n; i++) {
        k[i].w = (mat){ .type = type, .n_in = n_in, .n_out = ROWS, .data = k[i].data, .row_bytes = rb };
        for (int64_t at = 0; ty->sub && at < all * ROWS * rb; at += ty->bytes) ker_type_scale(type, k[i].data + at, .01f, .005f);
        mat_act(type, x, n_in, k[i].act);
    }
    k->n_mat = 1, k->passes = 1 + (32 << 20) / (ROWS * rb);
    together(k, 1, 0);
    in[0] = together(k, 1, (double)(k->passes * ROWS * rb) / 1e9);
    for (int i = 0; i < n; i++) k[i].n_mat = all, k[i].passes = 1;
    in[1] = together(k, 1, (double)(all * ROWS * rb) / 1e9);
    in[2] = together(k, n, (double)(all * ROWS * rb) / 1e9);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int shares(const char *isa, int64_t n_in, int n, const char *only)
{
    static const int types[] = {
#define KER_FLOAT(id, ...) id,
#define KER_BLOCK(id, ...) id,
#include "kernels/types.def"
    };
    worker k[MOST] = { 0 };
    n = n < 1 ? 1 : n > MOST ? MOST : n;
    bool known = !*only;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) known |= !strcmp(only, ker_type_get(types[t])->name);
    if (!known || n_in < 256 || n_in > WIDEST || n_in % 256 || ker_cpu_force(*isa ? isa : NULL)) {
        fprintf(stderr, "mat_bench: no path '%s' or type '%s' here, or %d columns are no multiple of 256 up to %d: try shares %s 2048\n", isa, only, (int)n_in, WIDEST, ker_cpu_path(0));
        return 2;
    }
    float *x = malloc((size_t)n_in * 4);
    for (int64_t i = 0; i < n_in; i++) x[i] = (float)(i * 7919 % 101) / 50 - 1;
    for (int i = 0; i < n; i++) {
        k[i] = (worker){ .data = malloc(BYTES + 64), .act = aligned_alloc(64, (size_t)n_in * 5), .y = malloc(ROWS * 4), .scratch = aligned_alloc(64, MAT_SCRATCH) };
        for (size_t b = 0; b < BYTES; b++) k[i].data[b] = (uint8_t)((b * 2654435761u) >> 13 & 0x3b);
    }
    printf("%s, one row of %d, GB/s (best of %d in turn with Q4_K) and the median of their shares of Q4_K's\n%-8s%27s%27s%19d threads\n",
           ker_cpu_features(), (int)n_in, ROUNDS, "type", "second cache", "memory, one", n);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        double best[3] = { 0 }, share[3][ROUNDS], a[3], q[3];
        const char *name = ker_type_get(types[t])->name;
        if (*only && strcmp(only, name)) continue;
        for (int r = 0; r < ROUNDS; r++) {
            measure(k, n, KER_Q4_K, n_in, x, q);
            measure(k, n, types[t], n_in, x, a);
            for (int i = 0; i < 3; i++) best[i] = fmax(best[i], a[i]), share[i][r] = a[i] / q[i];
        }
        printf("%-8s", name);
        for (int i = 0; i < 3; i++) {
            qsort(share[i], ROUNDS, sizeof share[i][0], by_size);
            printf(" %9.2f %4.2f (%4.2f-%4.2f)", best[i], share[i][ROUNDS / 2], share[i][0], share[i][ROUNDS - 1]);
        }
        printf("\n");
        fflush(stdout);
    }
    for (int i = 0; i < n; i++) free(k[i].data), free(k[i].act), free(k[i].y), free(k[i].scratch);
    free(x);
    return 0;
}

int main(int argc, char **argv)
{
    static const int types[] = { KER_Q4_K, KER_Q6_K, KER_Q8_0, KER_Q5_K, KER_Q4_0, KER_Q4_1, KER_Q5_0, KER_IQ4_NL, KER_IQ4_XS,
                                 KER_MXFP4, KER_Q2_K, KER_Q3_K, KER_IQ3_S, KER_IQ2_XXS, KER_IQ2_S, KER_IQ1_S, KER_TQ1_0, KER_NVFP4, KER_F16, KER_BF16, KER_F32 };
    const char *isas[8];
    size_t n_isa = 0;
    while (ker_cpu_path((int)n_isa)) n_isa++;
    for (size_t i = 0; i < n_isa; i++) isas[i] = ker_cpu_path((int)(n_isa - 1 - i));     /* the best first */
    static const int rows[] = { 1, 2, 3, 4, 8, 32, 128 };
    const char *type = argc > 1 ? argv[1] : "", *isa = argc > 2 ? argv[2] : "";
    int64_t n_in = argc > 3 ? atoi(argv[3]) : 2048;
    if (!strcmp(type, "shares")) return shares(isa, n_in, argc > 4 ? atoi(argv[4]) : 2, argc > 5 ? argv[5] : "");
    int only = argc > 4 ? atoi(argv[4]) : 0, told = 0;
    if (n_in < 32 || n_in > WIDEST || n_in % 32) {
        fprintf(stderr, "mat_bench: n_in is a multiple of 32 up to %d, as the types' blocks ask, not %s\n", WIDEST, argv[3]);
        return 2;
    }
    size_t bytes = 64 << 20;
    uint8_t *data = malloc(bytes + 64), *acts = aligned_alloc(64, (size_t)128 * (size_t)n_in * 5);
    float *x = malloc((size_t)n_in * 4), *y = malloc(128 * 768 * 4);
    void *scratch = aligned_alloc(64, MAT_SCRATCH);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)((i * 2654435761u) >> 13 & 0x3b);     /* 0x3b: no half float here is infinite */
    for (int64_t i = 0; i < n_in; i++)
        x[i] = (float)(i * 7919 % 101) / 50 - 1;
    double bw = ker_cpu_read_bandwidth(1, NULL, 256 << 20);
    printf("one core reads %.1f GB/s\n%-7s %-12s %5s %4s %9s %8s %6s\n", bw / 1e9, "type", "path", "n_in", "n", "GMAC/s", "GB/s", "share");
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < n_isa; i++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                const ker_type *ty = ker_type_get(types[t]);
                int n = rows[r];
                if ((*type && strcmp(type, ty->name)) || (*isa && strcmp(isa, isas[i])) || (only && only != n) ||
                    n_in % ty->block || ker_cpu_force(isas[i]) || (!strcmp(isas[i], "scalar") && n > 1))
                    continue;
                int64_t as = mat_act_bytes(types[t], n_in), rb = ker_row_bytes(types[t], n_in);
                int64_t n_mat = strcmp(isas[i], "scalar") ? (int64_t)bytes / (rb * 768) : 1;
                mat w = { .type = types[t], .n_in = n_in, .n_out = 768, .data = data, .row_bytes = rb };
                for (int64_t at = 0; ty->sub && at < n_mat * 768 * rb; at += ty->bytes)      /* no scale is subnormal */
                    ker_type_scale(types[t], data + at, .01f, .005f);
                for (int k = 0; k < n; k++)
                    mat_act(types[t], x, n_in, acts + k * as);
                told++;
                double s = run(&w, n_mat, acts, as, n, y, scratch, 0.2);
                printf("%-7s %-12s %5d %4d %9.1f %8.2f %5.0f%%\n", ty->name, isas[i], (int)n_in, n,
                       (double)(n_mat * w.n_out) * (double)n_in * n / s / 1e9, (double)(n_mat * w.n_out * rb) / s / 1e9, 100 * (double)(n_mat * w.n_out * rb) / s / bw);
                fflush(stdout);
            }
    free(data), free(acts), free(x), free(y), free(scratch);
    if (!told) fprintf(stderr, "mat_bench: nothing here is type '%s', path '%s', n_in %d and n %d: as mat_bench Q4_K %s 2048 8\n", type, isa, (int)n_in, only, isas[0]);
    return told ? 0 : 2;
}
