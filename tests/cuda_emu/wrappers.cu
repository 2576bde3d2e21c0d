// wrappers.cu: a kernel for each wrapper of gpu.h that is inline assembly. ptxrun.py runs their PTX against plain loops,
// so that a mistake in an operand is found.
// One warp, one block. WRAP gives a kernel's name another end, so that several variants of gpu.h fit into one file.
#include "kernels/cuda/gpu.h"
#ifndef WRAP
#define WRAP(name) name
#endif

// n chunks of 32 x B bytes go through two buffers; out[i][lane] is what lane ^ 1 loaded, as 32-bit words
#define PIPE(name, T, copy) extern "C" __global__ void WRAP(name)(const T *in, T *out, int n) \
{ \
    SHARED(T, buf, 64); \
    int lane = (int)threadIdx.x; \
    copy(&buf[lane], in + lane); \
    cp_commit(); \
    for (int i = 0; i < n; i++) { \
        if (i + 1 < n) copy(&buf[(i + 1) % 2 * 32 + lane], in + (i + 1) * 32 + lane); \
        cp_commit(); \
        cp_wait<1>(); \
        __syncwarp(); \
        out[i * 32 + lane] = buf[i % 2 * 32 + (lane ^ 1)]; \
        __syncwarp(); \
    } \
}
PIPE(w_pipe4, unsigned, cp_async4)
PIPE(w_pipe8, uint2, cp_async8)
PIPE(w_pipe16, uint4, cp_async16)

// lane l reads l % 17 bytes of its 16; nothing is committed, all is waited for
extern "C" __global__ void WRAP(w_part)(const uint4 *in, uint4 *out)
{
    SHARED(uint4, buf, 32);
    int lane = (int)threadIdx.x;
    cp_async16_part(&buf[lane], in + lane, lane % 17);
    cp_wait_all();
    __syncwarp();
    out[lane] = buf[lane ^ 1];
}

// four matrices of 8 rows of 16 bytes; out[lane][r]
#define MATRIX(name, num, load) extern "C" __global__ void WRAP(name)(const uint4 *in, unsigned *out) \
{ \
    SHARED(uint4, rows, 32); \
    int lane = (int)threadIdx.x; \
    rows[lane] = in[lane]; \
    __syncwarp(); \
    uint32_t r[num]; \
    load(r, &rows[lane]); \
    for (int i = 0; i < num; i++) out[lane * num + i] = r[i]; \
}
MATRIX(w_ld1, 1, ldmatrix_x1)
MATRIX(w_ld2, 2, ldmatrix_x2)
MATRIX(w_ld4, 4, ldmatrix_x4)
MATRIX(w_ld1t, 1, ldmatrix_x1_trans)
MATRIX(w_ld2t, 2, ldmatrix_x2_trans)
MATRIX(w_ld4t, 4, ldmatrix_x4_trans)

// d[16][8] = c[16][8] + a[16][K] b[K][8], a by rows, b by columns, both as 32-bit words, KW words a row or column
#define PRODUCT(name, D, KW, mma) extern "C" __global__ void WRAP(name)(const unsigned *a, const unsigned *b, const D *c, D *d) \
{ \
    int g = (int)threadIdx.x / 4, t = (int)threadIdx.x % 4; \
    uint32_t fa[KW / 2], fb[KW / 4]; \
    D fd[4]; \
    for (int i = 0; i < KW / 2; i++) fa[i] = a[(g + i % 2 * 8) * KW + t + i / 2 * 4]; \
    for (int i = 0; i < KW / 4; i++) fb[i] = b[g * KW + t + i * 4]; \
    for (int i = 0; i < 4; i++) fd[i] = c[(g + i / 2 * 8) * 8 + t * 2 + i % 2]; \
    mma(fd, fa, fb); \
    for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = fd[i]; \
}
PRODUCT(w_mma_f16, float, 8, mma_16816)
PRODUCT(w_mma_bf16, float, 8, mma_16816_bf16)
PRODUCT(w_mma_s8, int, 8, mma_16832_s8)
PRODUCT(w_mma_s8k16, int, 4, mma_16816_s8)
