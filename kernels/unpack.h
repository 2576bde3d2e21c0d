/* kernels/unpack: one quantised block taken apart into integers and its two float scales. Shared by the
 * scalar decoder (types.c) and the scalar products (cpu/mat.c); the vector paths are tested against it.
 * Private to kernels/; pure functions, any thread. Formats: ggml/src/ggml-common.h, checked against the
 * gguf Python package (tests/golden/types). */
#ifndef QUORUM_UNPACK_H
#define QUORUM_UNPACK_H

#include <stdint.h>

/* value[i] = d * sc[i / sub] * q[i] - m * mn[i / sub]; 32-blocks have one sub-block with sc = mn = 1
 * (so m of Q4_1 and Q5_1 is stored negated). Types without a minimum leave m, mn unread. */
typedef struct ker_block {
    float d, m;
    int16_t sc[16], mn[16];
    int8_t q[256];
} ker_block;

typedef struct ker_unpack {
    void (*one)(const uint8_t *src, ker_block *b);   /* NULL: not a block type */
    int16_t sub;                                     /* elements of a sub-block: 16 or 32 */
    int16_t has_min;
} ker_unpack;

const ker_unpack *ker_unpack_get(int type);          /* never NULL; .one is NULL where there is none */

#endif
