/* kernels/cpu/vec: the float work beside the matrix products: norms, SwiGLU, sums, attention over one
 * page. One body (vec_body.h) is compiled per instruction set over 16 lanes, and every operation is the
 * same IEEE operation on the same lane in the same order, so all sets give the same bits.
 * Pure functions: no state, no allocation, any thread. */
#ifndef QUORUM_KERNELS_VEC_H
#define QUORUM_KERNELS_VEC_H

#include <stdbool.h>
#include <stdint.h>

enum { VEC_CELLS = 64 /* cells of a page: KER_PAGE */, VEC_WEIGHT = 1 << 15 };

typedef struct vec_ops {
    /* y = x / sqrt(mean(x^2) + eps) * w; in place allowed. 16 partial sums, folded 16->8->4->2->1. */
    void (*norm)(const float *x, const float *w, int n, float eps, float *y);
    void (*glu[3])(const float *gate, const float *up, float *h, int n);   /* by ker_glu (kernels.h); h may be gate or up */
    /* y = (x - mean) / sqrt(mean((x - mean)^2) + eps) * w + b; in place allowed. Sums as in norm. */
    void (*layernorm)(const float *x, const float *w, const float *b, int n, float eps, float *y);
    void (*gelu)(float *x, int n);                                         /* x = x * (1 + erf(x / sqrt 2)) / 2 */
    void (*add)(float *x, const float *y, int n);                          /* x += y                      */
    void (*axpy)(float *acc, float a, const float *y, int n);              /* acc = fmaf(a, y, acc)       */
    bool (*finite)(const float *x, int64_t n);                             /* no NaN, no infinity         */
    float (*read)(const float *x, int64_t n, int ahead);                   /* the largest; `ahead` bytes are prefetched */
    void (*exp)(const float *x, float shift, float *y, int n);             /* y = exp(x - shift)          */
    void (*f16)(const uint16_t *src, float *dst, int64_t n);
    void (*to_f16)(const float *src, uint16_t *dst, int n);                /* round to nearest even       */
    void (*q8)(const int8_t *src, const float *scale, float *dst, int n);  /* dst[i] = scale[i] * src[i]  */
    void (*q8s)(const int8_t *src, float scale, float *dst, int n);        /* one scale                   */
    /* Four bits each, 8 is zero: lo[i] = scale[i] * (src[i] % 16 - 8), hi[i] of src[i] / 16; n a multiple of 16. Exact for half-float scales. */
    void (*q4)(const uint8_t *src, const float *scale, float *lo, float *hi, int n);
    /* The whole numbers alone, each negated where its turn (lo's and hi's alike) is -1 and not 0: turn[i / 4] is that of src[i];
     * n a multiple of 64. */
    void (*fours)(const uint8_t *src, const int8_t *turn, int8_t *lo, int8_t *hi, int n);
    /* The same of n groups of 64 bytes, from one to the next src_apart and to_apart bytes: of group g, turn[4 * g + i % 4] is byte i's. */
    void (*fours_each)(const uint8_t *src, int64_t src_apart, const int8_t *turn, int8_t *lo, int8_t *hi, int64_t to_apart, int n);
    /* turn[i] = -1 where src[i] has its sign set, else 0; size[i] = what it is without, in F32; n a multiple of 16. */
    void (*signs)(const uint16_t *src, int8_t *turn, float *size, int n);
    /* One page of K, transposed: k[d][VEC_CELLS]. s[i][c] = sum over d, rising, fmaf(q[i][d], k[d][c], .). */
    void (*scores)(const float *k, int dim, const float *const *q, int n_q, float *s);
    /* The same of F16 cells, as they lie; the same bits as of decoded ones. next: the page that will be read after this one, as much
     * of it as of this is asked for on the way (never read: any address does). */
    void (*scores_f16)(const uint16_t *k, const uint16_t *next, int dim, const float *const *q, int n_q, float *s);
    /* Online softmax of n_q queries over one page: cells [0, n) of s[i] become exp(s - m_new), the rest 0; m[i] and l[i] follow;
     * shrink[i] = exp(m_old - m_new), by which the caller's sums shrink. s: [n_q][VEC_CELLS]. */
    void (*softmax)(float *s, int n, int n_q, float *m, float *l, float *shrink);
    /* The same of a page alone, for weights that are whole numbers (q8.h): m[i] = the largest of cells [0, n), w[i][c] = exp(s - m) *
     * VEC_WEIGHT as a whole number, nearest even, VEC_WEIGHT - 1 at most, 0 from n on; l[i] = the sum of exp(s - m), whose relative error
     * is below 4e-6 (v_weight). Where a score is NaN, or the largest is infinite, l is NaN and every weight zero. s changes beyond n. */
    void (*weigh)(float *s, int n, int n_q, float *m, float *l, int16_t *w);
    /* n queries of one page, whose largest and sum (`weigh`) stand alone, joined to what came before it: top = the larger of both,
     * shrink = exp(what it was - top), factor = exp(page_top - top), sum = fmaf(page_sum, factor, sum * shrink). */
    void (*joined)(const float *page_top, const float *page_sum, float *top, float *sum, float *shrink, float *factor, int n);
    /* For parts i rising: acc = fmaf(more[i], part[i], acc * less[i]); part i at part + i * apart; n a multiple of 16. */
    void (*parts)(const float *part, int64_t apart, int n_parts, const float *less, const float *more, float *acc, int n);
    /* acc[i] = acc[i] * shrink[i], then for cells c rising fmaf(p[i][c], v[c], .); dim a multiple of 16. */
    void (*values)(const float *v, int dim, int n_cells, const float *p, const float *shrink, float *const *acc, int n_q);
    void (*values_f16)(const uint16_t *v, const uint16_t *next, int dim, int n_cells, const float *p, const float *shrink, float *const *acc, int n_q);
    /* x = x * scale / sqrt(sum(x^2) + eps), sums as in norm. */
    void (*unit)(float *x, int n, float eps, float scale);
    void (*gate)(float *x, const float *g, int n);                         /* x = x / (1 + exp(-g))       */
    /* y[c] = silu(x[0][c] * w[0][c] + ... + x[taps - 1][c] * w[taps - 1][c]), fmaf in rising order; w[j] at w + j * apart. */
    void (*conv)(const float *const *x, const float *w, int64_t apart, int taps, float *y, int n);
    /* One step of the gated delta rule (kernels.h, ker_delta) on some columns of a state: from[dim][wide] -> to (may be the same),
     * wide 16 or 32, of which n_v are in use. d = beta (v - g S^T k), S = g S + k d^T, o = S^T q; the two sums over dim are four
     * each, of the rows i mod 4 = 0 .. 3 in rising order by fmaf, added as (0 + 1) + (2 + 3). past: `to` is not `from` and not
     * read again soon, so it is written past the caches where it is aligned: the same bits. */
    void (*delta)(const float *from, float *to, int dim, int wide, const float *q, const float *k, const float *v, int n_v, float g, float beta, float *o, bool past);
    int few;                       /* up to so many queries the _f16 pair beats decoding the page once */
} vec_ops;

/* The set that cpu_level() (cpu.h) allows. */
const vec_ops *vec_get(void);
extern const vec_ops vec_scalar, vec_avx2, vec_avx512, vec_neon;

#endif
