/* kernels/unpack: one quantised block taken apart into integers and its two float scales. Shared by the
 * scalar decoder (types.c) and the products (cpu/mat_scalar.c); the vector paths are tested against
 * it. Private to kernels/; pure functions, any thread. Formats: ggml/src/ggml-common.h, checked against the
 * gguf Python package (tests/golden/types). */
#ifndef QUORUM_UNPACK_H
#define QUORUM_UNPACK_H

#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

enum { KER_PIECES = 4 };

/* value[i] = d * sc[i / sub] * q[i] - m * mn[i / sub]; 32-blocks have one sub-block with sc = mn = 1
 * (so m of Q4_1 and Q5_1 is stored negated). Types without a minimum leave m, mn unread. Where a block has pieces with
 * floats of their own (NVFP4), piece[] stands for d, and a piece is one term of a product. |q| <= 127. */
typedef struct ker_block {
    float d, m;
    float piece[KER_PIECES];
    int16_t sc[16], mn[16];
    int8_t q[256];
} ker_block;

typedef struct ker_unpack {
    void (*one)(const uint8_t *src, ker_block *b);   /* NULL: not a block type */
    int16_t sub;                                     /* elements of a sub-block: 16 or 32 */
    int16_t has_min;
    int16_t pieces;                                  /* of a block, each with a float of its own: 1, or up to KER_PIECES (no minima) */
} ker_unpack;

const ker_unpack *ker_unpack_get(int type);          /* never NULL; .one is NULL where there is none */

static inline float half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return ker_f16_to_f32(h);
}

/* unpack_few.c, for the table of types.c */
void unpack_q2_k(const uint8_t *s, ker_block *b);
void unpack_q3_k(const uint8_t *s, ker_block *b);
void unpack_iq2_xxs(const uint8_t *s, ker_block *b);
void unpack_iq2_xs(const uint8_t *s, ker_block *b);
void unpack_iq2_s(const uint8_t *s, ker_block *b);
void unpack_iq3_xxs(const uint8_t *s, ker_block *b);
void unpack_iq3_s(const uint8_t *s, ker_block *b);
void unpack_iq1_s(const uint8_t *s, ker_block *b);
void unpack_iq1_m(const uint8_t *s, ker_block *b);
void unpack_tq1_0(const uint8_t *s, ker_block *b);
void unpack_tq2_0(const uint8_t *s, ker_block *b);
void unpack_mxfp4(const uint8_t *s, ker_block *b);
void unpack_nvfp4(const uint8_t *s, ker_block *b);

#endif
