/* kernels/cpu/mat_512: the table of 512-bit products, built by mat_avx512.c, mat_vnni.c and mat_vbmi.c, which define
 * dpb, dpb_small, dpb_four, dpw, WORD_SUMS, MAX_R and, where bytes can be permuted (VBMI), PERMUTE_BYTES before they include this and name the table. Also prepares activations.
 * No state; any thread. */

/* IQ4's values + 128, so that they are unsigned. */
static const uint8_t iq4_plus_128[16] = { 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241 };

/* The values of E2M1, doubled, + 12. */
static const uint8_t e2m1_plus_12[16] = { 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0 };

#include "kernels/cpu/mat_512_decode.h"
#include "kernels/cpu/mat_512_few.h"
#ifdef PERMUTE_BYTES
#include "kernels/cpu/mat_512_grid.h"
#include "kernels/cpu/mat_512_grid_few.h"
#endif
#include "kernels/cpu/mat_512_gemm.h"

enum { FEW = 4 };                  /* up to this many rows run straight from the file's layout */

#define ARGS const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y, int64_t y_stride, void *scratch
#define BY_N(call) switch (n) { case 1: call(1); return; case 2: call(2); return; case 3: call(3); return; case 4: call(4); return; default: break; }

static void mul_q4k(ARGS)
{
#define CALL(nr) dec_k45(w, act, act_stride, nr, o0, o1, y, y_stride, 0)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 256, 144, 32, 0, NIBBLES, tile_q4k, NULL, .run = run_q4k, PAIRED(.far = far_q4k, .reach = 32767 / 15) };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
static void mul_q5k(ARGS)
{
#define CALL(nr) dec_k45(w, act, act_stride, nr, o0, o1, y, y_stride, 1)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 256, 176, 32, 0, BYTES, tile_q5k, NULL, .run = run_q5k };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
static void mul_q6k(ARGS)
{
#define CALL(nr) dec_q6k(w, act, act_stride, nr, o0, o1, y, y_stride)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 256, 210, 16, 32, NIBBLES_AND_PAIRS, tile_q6k, NULL, .run = run_q6k, PAIRED(.far = far_q6k, .reach = 32766 / 32) };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
static void mul_iq4xs(ARGS)
{
#define CALL(nr) dec_iq4xs(w, act, act_stride, nr, o0, o1, y, y_stride)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 256, 136, 32, 128, BYTES, tile_iq4xs, NULL, .run = run_iq4xs };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
static void mul_q2k(ARGS)
{
#define CALL(nr) dec_q2k(w, act, act_stride, nr, o0, o1, y, y_stride)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 256, 84, 16, 0, BYTES, tile_q2k, NULL, .run = run_q2k };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
static void mul_q3k(ARGS)
{
#define CALL(nr) dec_q3k(w, act, act_stride, nr, o0, o1, y, y_stride)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 256, 110, 16, 4, BYTES, tile_q3k, NULL, .run = run_q3k };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
static void mul_q80(ARGS)
{
#define CALL(nr) dec_q80(w, act, act_stride, nr, o0, o1, y, y_stride)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 32, 34, 32, 128, BYTES, NULL, tile_q80, .run = run_less32 };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
#define BY_NIBBLES(name, type, bytes, less, tile, kernels) static void name(ARGS) { \
    static const rows_of f = { 32, bytes, 32, less, BYTES, NULL, tile, .run = kernels }; \
    switch (n) { \
    case 1: dec_nibbles(w, act, act_stride, 1, o0, o1, y, y_stride, type); return; \
    case 2: dec_nibbles(w, act, act_stride, 2, o0, o1, y, y_stride, type); return; \
    case 3: dec_nibbles(w, act, act_stride, 3, o0, o1, y, y_stride, type); return; \
    case 4: dec_nibbles(w, act, act_stride, 4, o0, o1, y, y_stride, type); return; \
    default: gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f); } }
BY_NIBBLES(mul_q40, KER_Q4_0, 18, 8, tile_q40, run_low32)
BY_NIBBLES(mul_q41, KER_Q4_1, 20, 0, tile_q41, run_min32)
BY_NIBBLES(mul_q50, KER_Q5_0, 22, 16, tile_q50, run_low32)
BY_NIBBLES(mul_q51, KER_Q5_1, 24, 0, tile_q51, run_min32)
BY_NIBBLES(mul_iq4nl, KER_IQ4_NL, 18, 128, tile_iq4nl, run_less32)
BY_NIBBLES(mul_mxfp4, KER_MXFP4, 17, 12, tile_mxfp4, run_low32)
static void mul_f32(ARGS) { mul_float(KER_F32, w, act, act_stride, n, o0, o1, y, y_stride); }
static void mul_f16(ARGS) { mul_float(KER_F16, w, act, act_stride, n, o0, o1, y, y_stride); }
static void mul_bf16(ARGS) { mul_float(KER_BF16, w, act, act_stride, n, o0, o1, y, y_stride); }

#ifdef PERMUTE_BYTES
#include "kernels/cpu/mat_512_nvfp4.h"
#include "kernels/cpu/mat_512_tiles.h"
#define NVFP4_TABLE [KER_NVFP4] = mul_nvfp4,
#else
#define GRID_TABLE                 /* by AVX2 */
#define NVFP4_TABLE
#endif

/* ---- activations ---- */

static inline int bytes_sum(__m128i u)
{
    __m128i s = _mm_sad_epu8(u, _mm_setzero_si128());
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_unpackhi_epi64(s, s)));
}

static void act_q8(int block, const float *x, int64_t n_in, void *dst)
{
    mat_act_sums sums = mat_act_sums_of(block, n_in, dst);
    int8_t *q = (int8_t *)dst;
    float *d = sums.d;
    const __m512i no_sign = _mm512_set1_epi32(0x7fffffff);
    for (int64_t b = 0; b < n_in / block; b++) {
        __m512i most = _mm512_setzero_si512();       /* as bits: NaN > infinity > every number */
        for (int i = 0; i < block; i += 16)
            most = _mm512_max_epu32(most, _mm512_and_si512(load64(x + b * block + i), no_sign));
        uint32_t bits = _mm512_reduce_max_epu32(most);
        float amax;
        memcpy(&amax, &bits, 4);
        int dead = bits >= 0x7f800000 || amax < 1e-30f;
        d[b] = bits >= 0x7f800000 ? __builtin_nanf("") : dead ? 0 : amax / 127;
        const __m512 scale = _mm512_set1_ps(dead ? 0 : 127 / amax);
        const __mmask16 all = dead ? 0 : 0xffff;
        for (int i = 0; i < block; i += 16) {
            __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(all, x + b * block + i), scale));
            __m128i bytes = _mm512_cvtepi32_epi8(v);
            _mm_storeu_si128((__m128i *)(void *)(q + b * block + i), bytes);
            mat_act_part(&sums, b, i, bytes_sum(_mm_xor_si128(bytes, _mm_set1_epi8((char)0x80))) - 16 * 128, bytes_sum(_mm_abs_epi8(bytes)));
        }
    }
    if (block == 32 && n_in % 64)
        memset(q + n_in, 0, (size_t)(64 - n_in % 64));
}

#define TABLE(label) { .name = label, \
    .mul = { [KER_F32] = mul_f32, [KER_F16] = mul_f16, [KER_BF16] = mul_bf16, [KER_Q8_0] = mul_q80, [KER_Q4_0] = mul_q40, \
             [KER_Q4_1] = mul_q41, [KER_Q5_0] = mul_q50, [KER_Q5_1] = mul_q51, [KER_Q4_K] = mul_q4k, [KER_Q5_K] = mul_q5k, \
             [KER_Q6_K] = mul_q6k, [KER_IQ4_NL] = mul_iq4nl, [KER_IQ4_XS] = mul_iq4xs, \
             GRID_TABLE NVFP4_TABLE \
             [KER_Q2_K] = mul_q2k, [KER_Q3_K] = mul_q3k, [KER_MXFP4] = mul_mxfp4 }, .act_q8 = act_q8 }
