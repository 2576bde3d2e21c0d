/* kernels/cpu/mat_isa: what an instruction set brings to the products, and the layouts that all of them share.
 * Private to kernels/cpu; pure functions over caller's memory. */
#ifndef QUORUM_CPU_MAT_ISA_H
#define QUORUM_CPU_MAT_ISA_H

#include <stdint.h>

#include "kernels/kernels.h"

/* Rows contiguous, in the layout of the file; data needs no alignment. n_in % block == 0. */
typedef struct mat {
    int type;                  /* ker_type_id, usable as a weight */
    int64_t n_in, n_out;
    const uint8_t *data;
    int64_t row_bytes;
    const uint8_t *next;       /* rows that the thread reads behind those it is asked for, to be fetched in time; NULL: those that follow */
    const void *next_act;      /* rows of activations that it meets there, next_bytes of them, where they are not at hand; NULL: the same, or few */
    int64_t next_bytes;
} mat;

/* Scratch of one thread for mat_mul, aligned to 64; contents need not survive between calls. */
enum { MAT_SCRATCH = 256 << 10 };

/* A prepared row of activations, by the type's act (kernels.h); a multiple of 64 bytes:
 *   KER_ACT_F32     float x[n_in]
 *   KER_ACT_Q8_32   int8 q[n_in to 64], float d[n_in / 32], int32 sum[n_in / 32] (of q, per block)
 *   KER_ACT_Q8_256  int8 q[n_in], float d[n_in / 256], int16 sum16[n_in / 16], int16 sum32[n_in / 32], int16 most[2]
 * most: how far products with weights of few bits can reach: the greatest sum of |q| of sixteen numbers; the greatest of thirty-two, of
 * those above or of those below zero. q = round to nearest even of x * (127 / amax), d = amax / 127. A block whose amax is below 1e-30 is
 * zero (127 / amax would overflow); one that holds a NaN or an infinity gets d = NaN, so that it is seen. */
int64_t mat_act_bytes(int type, int64_t n_in);

/* Views of a prepared row. Inline: a call within a kernel's loop costs it all its registers. */
typedef struct mat_q8 { const int8_t *q; const float *d; const int32_t *sum; const int16_t *sum16, *sum32, *most; } mat_q8;
static inline __attribute__((always_inline)) mat_q8 mat_q8_32(const void *act, int64_t n_in)
{
    const int8_t *q = (const int8_t *)act, *d = q + ((n_in + 63) & ~(int64_t)63);
    mat_q8 v = { q, (const float *)(const void *)d, (const int32_t *)(const void *)(d + n_in / 32 * 4), NULL, NULL, NULL };
    return v;
}
static inline __attribute__((always_inline)) mat_q8 mat_q8_256(const void *act, int64_t n_in)
{
    const int8_t *q = (const int8_t *)act, *d = q + n_in;
    const int16_t *sum16 = (const int16_t *)(const void *)(d + n_in / 256 * 4);
    mat_q8 v = { q, (const float *)(const void *)d, NULL, sum16, sum16 + n_in / 16, sum16 + n_in / 16 + n_in / 32 };
    return v;
}

/* The terms that block k of row o adds to a product, before they are added: acc = fmaf(scale[t], y[t], acc) for t in
 * rising order gives mat_mul's bits. Types whose blocks have two at most; slow: for rows that are added up elsewhere. */
int mat_terms(int type);           /* 1, 2 where the type has minima, or how many pieces its blocks have */
void mat_block_terms(const mat *w, int64_t o, int64_t k, const void *act, float scale[2], float y[2]);

/* What one instruction set brings; a NULL falls back to the next lower one. */
typedef void mat_mul_fn(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1,
                        float *y, int64_t y_stride, void *scratch);
typedef struct mat_isa {
    const char *name;
    mat_mul_fn *mul[KER_TYPE_LIMIT];
    void (*act_q8)(int block, const float *x, int64_t n_in, void *dst);
} mat_isa;
/* For act_q8: where what is said of a row's numbers goes. */
typedef struct mat_act_sums {
    int block;
    float *d;
    int32_t *sum;                      /* of blocks of 32, else those below */
    int16_t *sum16, *sum32, *most;
    int above, below;                  /* of a sixteen that waits for the other one */
} mat_act_sums;
static inline __attribute__((always_inline)) mat_act_sums mat_act_sums_of(int block, int64_t n_in, void *dst)
{
    const mat_q8 a = block == 32 ? mat_q8_32(dst, n_in) : mat_q8_256(dst, n_in);
    float *d = (float *)(void *)((char *)dst + ((const char *)a.d - (const char *)dst));
    int16_t *sum16 = (int16_t *)(void *)(d + n_in / 256);
    mat_act_sums s = { block, d, (int32_t *)(void *)(d + n_in / 32), sum16, sum16 + n_in / 16, sum16 + n_in / 16 + n_in / 32, 0, 0 };
    if (block == 256) s.most[0] = s.most[1] = 0;
    return s;
}
/* Puts what the 16 bytes from number i of block b on sum up to, and their sizes, where it belongs; a block's come in rising order. */
static inline __attribute__((always_inline)) void mat_act_part(mat_act_sums *s, int64_t b, int i, int part, int size)
{
    if (s->block == 32) {
        s->sum[b] = i ? s->sum[b] + part : part;
        return;
    }
    const int64_t k = b * 16 + i / 16;
    const int above = (size + part) / 2 + (k % 2 ? s->above : 0), below = (size - part) / 2 + (k % 2 ? s->below : 0);
    s->sum16[k] = (int16_t)part;
    s->sum32[k / 2] = (int16_t)(k % 2 ? s->sum16[k - 1] + part : part);
    if (size > s->most[0]) s->most[0] = (int16_t)size;
    if (above > s->most[1]) s->most[1] = (int16_t)above;
    if (below > s->most[1]) s->most[1] = (int16_t)below;
    s->above = above;
    s->below = below;
}
const mat_isa *mat_isa_scalar(void);
const mat_isa *mat_isa_avx2(void);         /* x86-64 only, as the next two */
const mat_isa *mat_isa_avx512(void);
const mat_isa *mat_isa_vnni(void);
const mat_isa *mat_isa_vbmi(void);
const mat_isa *mat_isa_neon(void);         /* aarch64 only, as the next two */
const mat_isa *mat_isa_dotprod(void);
const mat_isa *mat_isa_i8mm(void);

#endif
