/* kernels/cpu/mat_scalar: how a prepared row lies in memory, and the products that define every bit: a vector
 * path is right when it equals these. It never looks inside a type's format: kernels/types.c takes blocks apart. */
#include "kernels/cpu/mat_isa.h"

#include "kernels/kernels.h"
#include "kernels/unpack.h"

#include <math.h>
#include <string.h>

static int64_t up64(int64_t n) { return (n + 63) & ~(int64_t)63; }

int64_t mat_act_bytes(int type, int64_t n_in)
{
    switch (ker_type_get(type)->act) {
    case KER_ACT_F32: return up64(n_in * 4);
    case KER_ACT_Q8_32: return up64(n_in) + up64(n_in / 32 * 8);
    case KER_ACT_Q8_256: return up64(n_in + n_in / 256 * 4 + n_in / 16 * 2 + n_in / 32 * 2 + 2 * 2);
    }
    return 0;
}

/* One block to int8; returns its scale. */
static float quantise(const float *x, int block, int8_t *q)
{
    uint32_t most = 0;                               /* as bits: NaN > infinity > every number */
    for (int i = 0; i < block; i++) {
        uint32_t u;
        memcpy(&u, x + i, 4);
        u &= 0x7fffffff;
        most = u > most ? u : most;
    }
    float amax;
    memcpy(&amax, &most, 4);
    if (most >= 0x7f800000 || amax < 1e-30f) {
        memset(q, 0, (size_t)block);
        return most >= 0x7f800000 ? NAN : 0;
    }
    float scale = 127 / amax;
    for (int i = 0; i < block; i++)
        q[i] = (int8_t)lrintf(x[i] * scale);
    return amax / 127;
}

static void act_q8_scalar(int block, const float *x, int64_t n_in, void *dst)
{
    mat_act_sums sums = mat_act_sums_of(block, n_in, dst);
    int8_t *q = (int8_t *)dst;
    float *d = sums.d;
    for (int64_t b = 0; b < n_in / block; b++)
        d[b] = quantise(x + b * block, block, q + b * block);
    if (block == 32)
        memset(q + n_in, 0, (size_t)(up64(n_in) - n_in));
    for (int64_t b = 0; b < n_in / 32; b++) {
        for (int h = 0; h < 2; h++) {
            int part = 0, size = 0;
            for (int i = 0; i < 16; i++) {
                const int v = q[b * 32 + 16 * h + i];
                part += v;
                size += v < 0 ? -v : v;
            }
            mat_act_part(&sums, b * 32 / block, (int)(b * 32 % block) + 16 * h, part, size);
        }
    }
}

/* ---- products ---- */

static float dot_f32(const float *w, const float *x, int64_t n)
{
    float p[16] = { 0 };
    for (int64_t k = 0; k < n; k++)
        p[k & 15] = fmaf(w[k], x[k], p[k & 15]);
    for (int h = 8; h; h /= 2)
        for (int j = 0; j < h; j++)
            p[j] += p[j + h];
    return p[0];
}

/* F32, F16, BF16: decoded in pieces, the sixteen partial sums going through all of them. */
static void mul_float(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1,
                      float *y, int64_t y_stride, void *scratch)
{
    enum { PIECE = 1024 };
    const ker_type *t = ker_type_get(w->type);
    float *row = scratch;
    for (int64_t o = o0; o < o1; o++) {
        const uint8_t *src = w->data + o * w->row_bytes;
        if (w->n_in <= MAT_SCRATCH / 4) {
            t->decode(src, row, w->n_in);
            for (int r = 0; r < n; r++)
                y[r * y_stride + o] = dot_f32(row, (const float *)(const void *)((const char *)act + r * act_stride), w->n_in);
            continue;
        }
        for (int r = 0; r < n; r++) {
            const float *x = (const float *)(const void *)((const char *)act + r * act_stride);
            float p[16] = { 0 };
            for (int64_t k = 0; k < w->n_in; k += PIECE) {
                int64_t m = w->n_in - k < PIECE ? w->n_in - k : PIECE;
                t->decode(src + k * t->bytes, row, m);
                for (int64_t i = 0; i < m; i++)
                    p[i & 15] = fmaf(row[i], x[k + i], p[i & 15]);
            }
            for (int h = 8; h; h /= 2)
                for (int j = 0; j < h; j++)
                    p[j] += p[j + h];
            y[r * y_stride + o] = p[0];
        }
    }
}

/* Elements [from, to) of a block of weights with the activations q of the block; s = sums of q a sub-block. */
static inline void piece_terms(const ker_block *b, const ker_unpack *u, int from, int to, const int8_t *q, const int *s, float d, float da, float scale[2], float y[2])
{
    int32_t isum = 0, msum = 0;
    for (int j = from / u->sub; j * u->sub < to; j++) {
        int32_t dot = 0;
        for (int i = j * u->sub; i < (j + 1) * u->sub; i++)
            dot += b->q[i] * q[i];
        isum += b->sc[j] * dot;
        if (u->has_min)
            msum += b->mn[j] * s[j];
    }
    scale[0] = d * da;
    y[0] = (float)isum;
    scale[1] = u->has_min ? -(b->m * da) : 0;
    y[1] = (float)msum;
}

/* Sums of the activations of block k, one a sub-block, where the type needs them. */
static void block_sums(const mat_q8 *a, const ker_unpack *u, int block, int64_t k, int s[16])
{
    for (int j = 0; u->has_min && j < block / u->sub; j++)
        s[j] = block == 32 ? a->sum[k] : u->sub == 16 ? a->sum16[k * 16 + j] : a->sum32[k * 8 + j];
}

int mat_terms(int type)
{
    const ker_unpack *u = ker_unpack_get(type);
    return u->has_min ? 2 : u->pieces;
}

void mat_block_terms(const mat *w, int64_t o, int64_t k, const void *act, float scale[2], float y[2])
{
    const ker_type *t = ker_type_get(w->type);
    const ker_unpack *u = ker_unpack_get(w->type);
    mat_q8 a = t->act == KER_ACT_Q8_32 ? mat_q8_32(act, w->n_in) : mat_q8_256(act, w->n_in);
    int s[16] = { 0 };
    ker_block b;
    u->one(w->data + o * w->row_bytes + k * t->bytes, &b);
    block_sums(&a, u, t->block, k, s);
    piece_terms(&b, u, 0, t->block, a.q + k * t->block, s, b.d, a.d[k], scale, y);
}

static void mul_blocks(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1,
                       float *y, int64_t y_stride, void *scratch)
{
    const ker_type *t = ker_type_get(w->type);
    const ker_unpack *u = ker_unpack_get(w->type);
    const int small = t->act == KER_ACT_Q8_32, piece = t->block / u->pieces, shared = small ? 32 : 256;
    ker_block b;
    (void)scratch;
    for (int64_t o = o0; o < o1; o++) {
        for (int r = 0; r < n; r++)
            y[r * y_stride + o] = 0;
        for (int64_t k = 0; k * t->block < w->n_in; k++) {
            u->one(w->data + o * w->row_bytes + k * t->bytes, &b);
            for (int r = 0; r < n; r++) {
                const char *row = (const char *)act + r * act_stride;
                mat_q8 a = small ? mat_q8_32(row, w->n_in) : mat_q8_256(row, w->n_in);
                int s[16] = { 0 };
                float scale[2], part[2], *acc = y + r * y_stride + o;
                block_sums(&a, u, t->block, k, s);
                for (int at = 0; at < t->block; at += piece) {
                    piece_terms(&b, u, at, at + piece, a.q + k * t->block, s, u->pieces > 1 ? b.piece[at / piece] : b.d,
                                a.d[(k * t->block + at) / shared], scale, part);
                    *acc = fmaf(scale[0], part[0], *acc);
                    if (u->has_min)
                        *acc = fmaf(scale[1], part[1], *acc);
                }
            }
        }
    }
}

const mat_isa *mat_isa_scalar(void)
{
    static const mat_isa scalar = {
        .name = "scalar",
        .mul = {
#define KER_FLOAT(id, ...) [id] = mul_float,
#define KER_BLOCK(id, ...) [id] = mul_blocks,
#include "kernels/types.def"
        },
        .act_q8 = act_q8_scalar,
    };
    return &scalar;
}
