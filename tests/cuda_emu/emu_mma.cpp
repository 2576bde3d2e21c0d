// emu_mma.cpp: ldmatrix and the tensor cores' products. Fragments lie as the PTX ISA manual draws them ("Matrix fragments
// for mma.m16n8k16 / m16n8k32"): with g = lane / 4 and t = lane % 4
//   A 16-bit: a[i] of 8 halves lies in row g + 8 * (i / 2 % 2), column 2t + i % 2 + 8 * (i / 4)
//   B 16-bit: b[i] of 4 halves in row 2t + i % 2 + 8 * (i / 2), column g
//   A s8:     a[i] of 16 (8) bytes in row g + 8 * (i / 4 % 2), column 4t + i % 4 + 16 * (i / 8)
//   B s8:     b[i] of 8 (4) bytes in row 4t + i % 4 + 16 * (i / 4), column g
//   C, D:     c[i] of 4 in row g + 8 * (i / 2), column 2t + i % 2
#ifndef __clang__
#pragma GCC optimize("O3")
#endif
#include "emu_inside.h"

namespace emu {
struct Load { uint32_t *r; const void *row; int num; bool trans; const uint16_t *from[8]; };
static void do_load(unsigned, void *const *a)
{
    Load *first = (Load *)a[0];
    for (int l = 1; l < 32; l++) if (((Load *)a[l])->num != first->num || ((Load *)a[l])->trans != first->trans) die("lanes ask ldmatrix for different shapes");
    for (int m = 0; m < first->num; m++) for (int l = 0; l < 32; l++) {
        Load *d = (Load *)a[l];
        uint16_t h[2];
        for (int i = 0; i < 2; i++) {
            int r = d->trans ? l % 4 * 2 + i : l / 4, c = d->trans ? l / 4 : l % 4 * 2 + i;
            d->from[m * 2 + i] = (const uint16_t *)((Load *)a[m * 8 + r])->row + c;
            memcpy(&h[i], d->from[m * 2 + i], 2);
        }
        memcpy(&d->r[m], h, 4);
    }
}
void ldmatrix(uint32_t *r, const void *row, int num, bool trans)
{
    if ((int)cur->lane < num * 8) {                        // the other lanes' addresses are not looked at
        if ((uintptr_t)row & 15) die("ldmatrix: a row's address is not a multiple of 16");
        if (!in_shared(row, 16)) die("ldmatrix: a row lies outside the block's shared memory");
    }
    Load d = { r, row, num, trans, {} };
#ifdef EMU_ASAN
    if ((int)cur->lane < num * 8) reads(row, 16);
#endif
    collective(~0u, do_load, &d, "ldmatrix", 0);
#ifdef EMU_TSAN
    for (int i = 0; i < num * 2; i++) reads(d.from[i], 2);     // what this lane got, whoever wrote it
#endif
}

struct Mma { void *d; const uint32_t *a, *b; };
static float f16(uint32_t v, int i) { return half_to_float((uint16_t)(v >> 16 * (i & 1))); }
static float bf16(uint32_t v, int i) { return bits_f((v >> 16 * (i & 1)) << 16); }
template <float (*TO)(uint32_t, int)> static void do_mma_16(unsigned, void *const *x)
{
    float A[16][16], B[8][16];                             // B by columns
    for (int l = 0; l < 32; l++) {
        Mma *m = (Mma *)x[l];
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 8; i++) A[g + (i / 2 & 1) * 8][t * 2 + (i & 1) + (i >= 4) * 8] = TO(m->a[i / 2], i);
        for (int i = 0; i < 4; i++) B[g][t * 2 + (i & 1) + (i >= 2) * 8] = TO(m->b[i / 2], i);
    }
    for (int l = 0; l < 32; l++) {
        float *d = (float *)((Mma *)x[l])->d;
        for (int i = 0; i < 4; i++) {
            const float *a = A[l / 4 + (i >= 2) * 8], *b = B[l % 4 * 2 + (i & 1)];
            float s = 0;
            for (int k = 0; k < 16; k++) s += a[k] * b[k];
            d[i] += s;
        }
    }
}
template <int K> static void do_mma_s8(unsigned, void *const *x)
{
    int16_t A[16][K], B[8][K];
    for (int l = 0; l < 32; l++) {
        Mma *m = (Mma *)x[l];
        int g = l / 4, t = l % 4;
        for (int i = 0; i < K / 2; i++) A[g + (i / 4 & 1) * 8][t * 4 + (i & 3) + (i >= 8) * 16] = (int8_t)(m->a[i / 4] >> 8 * (i & 3));
        for (int i = 0; i < K / 4; i++) B[g][t * 4 + (i & 3) + (i >= 4) * 16] = (int8_t)(m->b[i / 4] >> 8 * (i & 3));
    }
    for (int l = 0; l < 32; l++) {
        int *d = (int *)((Mma *)x[l])->d;
        for (int i = 0; i < 4; i++) {
            const int16_t *a = A[l / 4 + (i >= 2) * 8], *b = B[l % 4 * 2 + (i & 1)];
            int s = 0;
            for (int k = 0; k < K; k++) s += a[k] * b[k];
            d[i] = (int)((unsigned)d[i] + (unsigned)s);
        }
    }
}
void mma_f16(float *d, const uint32_t *a, const uint32_t *b)
{
    Mma m = { d, a, b };
    collective(~0u, do_mma_16<f16>, &m, "mma f16", 0);
}
void mma_bf16(float *d, const uint32_t *a, const uint32_t *b)
{
    Mma m = { d, a, b };
    collective(~0u, do_mma_16<bf16>, &m, "mma bf16", 0);
}
void mma_s8(int *d, const uint32_t *a, const uint32_t *b)
{
    Mma m = { d, a, b };
    collective(~0u, do_mma_s8<32>, &m, "mma s8", 0);
}
void mma_s8_k16(int *d, const uint32_t *a, const uint32_t *b)
{
    Mma m = { d, a, b };
    collective(~0u, do_mma_s8<16>, &m, "mma s8 k16", 0);
}
}
