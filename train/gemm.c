/* train/gemm: packing, the set for any processor, and the choice among the sets. Pure functions. */
#include "train/gemm.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

typedef struct v16 { float f[16]; } v16;
enum { GEM_ROWS = 2, GEM_SIDE = 1 };
#define LANES(expr) v16 y; for (int i = 0; i < 16; i++) y.f[i] = (expr); return y
static inline v16 v_zero(void) { LANES(0); }
static inline v16 v_all(float a) { LANES(a); }
static inline v16 v_load(const float *p) { LANES(p[i]); }
static inline v16 v_add(v16 a, v16 b) { LANES(a.f[i] + b.f[i]); }
static inline v16 v_fma(v16 a, v16 b, v16 c) { LANES(fmaf(a.f[i], b.f[i], c.f[i])); }
static inline void v_store(float *p, v16 a) { memcpy(p, a.f, sizeof a.f); }

#include "train/gemm_body.h"

const gem_ops gem_scalar = { gem_mul };

const gem_ops *gem_get(void)
{
#if defined(__x86_64__)
    const char *have = ker_cpu_features();
    if (strncmp(have, "avx512", 6) == 0) return &gem_avx512;
    if (strncmp(have, "avx2", 4) == 0) return &gem_avx2;
#endif
    return &gem_scalar;
}

void gem_pack(const float *rows, int64_t ld, int k, int n, int64_t depth, int at, float *b)
{
    for (int x = 0; x < k; x++) {
        const float *from = rows + x * ld;
        float *to = b + (int64_t)(at + x) * GEM_COLS;
        int j = 0;
        for (; j + GEM_COLS <= n; j += GEM_COLS, to += depth * GEM_COLS) memcpy(to, from + j, sizeof(float) * GEM_COLS);
        if (j == n) continue;
        memcpy(to, from + j, sizeof(float) * (size_t)(n - j));
        memset(to + (n - j), 0, sizeof(float) * (size_t)(GEM_COLS - (n - j)));
    }
}

typedef float four __attribute__((vector_size(16)));

void gem_pack_turned(const float *rows, int64_t ld, int n, int k, int64_t depth, int at, float *b)
{
    for (int j = 0; j < n; j += 4) {
        float *to = b + (at + j) / GEM_COLS * depth * GEM_COLS + (at + j) % GEM_COLS;
        const float *r = rows + j * ld;
        int x = 0;
        for (; j + 4 <= n && x + 4 <= k; x += 4) {
            four p, q, s, t;
            memcpy(&p, r + x, 16), memcpy(&q, r + ld + x, 16), memcpy(&s, r + 2 * ld + x, 16), memcpy(&t, r + 3 * ld + x, 16);
            four pq = __builtin_shufflevector(p, q, 0, 4, 1, 5), st = __builtin_shufflevector(s, t, 0, 4, 1, 5);
            four pq2 = __builtin_shufflevector(p, q, 2, 6, 3, 7), st2 = __builtin_shufflevector(s, t, 2, 6, 3, 7);
            four out[4] = { __builtin_shufflevector(pq, st, 0, 1, 4, 5), __builtin_shufflevector(pq, st, 2, 3, 6, 7),
                            __builtin_shufflevector(pq2, st2, 0, 1, 4, 5), __builtin_shufflevector(pq2, st2, 2, 3, 6, 7) };
            for (int i = 0; i < 4; i++) memcpy(to + (int64_t)(x + i) * GEM_COLS, &out[i], 16);
        }
        for (; x < k; x++)
            for (int i = 0; i < 4; i++) to[(int64_t)x * GEM_COLS + i] = j + i < n ? r[i * ld + x] : 0;
    }
    int end = (at + n + GEM_COLS - 1) / GEM_COLS * GEM_COLS;       /* columns that no row came to */
    for (int j = (at + n + 3) / 4 * 4; j < end; j++)
        for (int x = 0; x < k; x++) b[j / GEM_COLS * depth * GEM_COLS + (int64_t)x * GEM_COLS + j % GEM_COLS] = 0;
}
