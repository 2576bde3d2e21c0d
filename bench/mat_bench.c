/* bench/mat_bench: speed of the products alone, one thread: per type, path and number of rows, GB of weights and
 * GMAC a second, and the share of one core's streaming read. `make bench-mat`; arguments: [type] [isa] [n_in] [n].
 * Weights: 64 MB in matrices of 768 rows, one after another, so that they come from memory for any n. */
#include "base/base.h"
#include "kernels/cpu/mat.h"
#include "kernels/kernels.h"

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
    int only = argc > 4 ? atoi(argv[4]) : 0;
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
                mat w = { types[t], n_in, 768, data, rb };
                for (int64_t at = 0; ty->sub && at < n_mat * 768 * rb; at += ty->bytes)      /* no scale is subnormal */
                    ker_type_scale(types[t], data + at, .01f, .005f);
                for (int k = 0; k < n; k++)
                    mat_act(types[t], x, n_in, acts + k * as);
                double s = run(&w, n_mat, acts, as, n, y, scratch, 0.2);
                printf("%-7s %-12s %5d %4d %9.1f %8.2f %5.0f%%\n", ty->name, isas[i], (int)n_in, n,
                       (double)(n_mat * w.n_out) * (double)n_in * n / s / 1e9, (double)(n_mat * w.n_out * rb) / s / 1e9, 100 * (double)(n_mat * w.n_out * rb) / s / bw);
                fflush(stdout);
            }
    free(data), free(acts), free(x), free(y), free(scratch);
    return 0;
}
