/* kernels/cuda/mma: products of many rows on tensor cores (m16n8k32, int8). A warp has 32 rows of weights (16 of two
 * matrices for gate and up), a block 4 warps and TILE_MMA rows of activations in shared memory. Weights go from their planes
 * to registers and are used where they are taken apart: a lane's 8 weights of a unit are any 8, as long as the activations
 * lie the same way. A block of 256 is one integer sum, as on the CPU; its minimum's part goes through halves, exactly:
 * sum = low + 64 * high. What stands behind it: tile_blocks (ffn.cu), mul_blocks (mat.cu). See cuda.h. */
#include "kernels/cuda/tiles.cuh"

enum { MMA_THREADS = 128, MMA_WARPS = 4, STEP = 256 /* of n_in, in shared memory at once */, STAGES = 3 };

/* Types with kernels of their own for gate and up at once, and for products to which nothing is added. */
#define OFTEN_TYPES(X) X(Q4_K) X(Q5_K) X(Q6_K) X(Q8_0)
#define SELDOM_TYPES(X) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(IQ4_NL) X(IQ4_XS) CU_OTHER_TYPES(X)

/* A lane's share of half a step (4 units) of one row. t: the lane in its group of four. RAW words; those from HEAD are scales,
 * or HEADS is the plane of the 16 bytes of scales that a row's block has, which come by way of shared memory. SPLIT: word 0 of a unit is weights 4t.., word 1 weights 16 + 4t..; else they are 8t.. and 8t + 4... */
template <int TYPE> struct mma_form;

static __device__ __forceinline__ uint32_t word_at(const uint8_t *p) { return *(const uint32_t *)(const void *)p; }
static __device__ __forceinline__ void words2(const uint8_t *p, uint32_t *to)
{
    uint2 v = *(const uint2 *)(const void *)p;
    to[0] = v.x;
    to[1] = v.y;
}
static __device__ __forceinline__ void words4(const uint8_t *p, uint32_t *to)
{
    uint4 v = *(const uint4 *)(const void *)p;
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
}
/* Products from zero. */
static __device__ __forceinline__ void dot_k32(int d[4], const uint32_t a[4], const uint32_t b[2])
{
    d[0] = d[1] = d[2] = d[3] = 0;
    mma_16832_s8(d, a, b);
}
static __device__ __forceinline__ void dot_k16(int d[4], const uint32_t a[2], const uint32_t b[1])
{
    d[0] = d[1] = d[2] = d[3] = 0;
    mma_16816_s8(d, a, b);
}
static __device__ __forceinline__ void dot_halves(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    d[0] = d[1] = d[2] = d[3] = 0;
    mma_16816(d, a, b);
}
static __device__ __forceinline__ uint32_t half2_bits(float low, float high)
{
    union { __half2 h; uint32_t u; } v;
    v.h = __floats2half2_rn(low, high);
    return v.u;
}
static __device__ __forceinline__ int byte_of(uint32_t v, int i) { return (int)(v >> 8 * i & 255); }
static __device__ __forceinline__ int signed_byte_of(uint32_t v, int i) { return (int)(int8_t)(v >> 8 * i & 255); }

/* Q4_K and Q5_K: the head's words d and m, then 12 bytes of scales and minima (types.cuh). */
struct mma_k_head {
    static __device__ __forceinline__ float d(const cu_mat &w, int64_t step, const uint32_t *head) { return cu_half_bits(head[0]); }
    static __device__ __forceinline__ float m(const uint32_t *head) { return cu_half_bits(head[0] >> 16); }
    static __device__ __forceinline__ int sc(const uint32_t *head, int h, int u)
    {
        return byte_of(h ? (head[3] & 0x0f0f0f0fu) | (head[1] >> 2 & 0x30303030u) : head[1] & 0x3f3f3f3fu, u);
    }
    /* Minima 2t and 2t + 1. */
    static __device__ __forceinline__ void mins(const uint32_t *head, int t, float *a, float *b)
    {
        uint32_t v = t & 2 ? (head[3] >> 4 & 0x0f0f0f0fu) | (head[2] >> 2 & 0x30303030u) : head[2] & 0x3f3f3f3fu;
        v >>= 16 * (t & 1);
        *a = (float)byte_of(v, 0);
        *b = (float)byte_of(v, 1);
    }
};

template <> struct mma_form<KER_Q4_K> : mma_k_head {
    enum { RAW = 4, HEADS = 0, SPLIT = 0, BLOCKS = 2 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
        const uint8_t *p = w.p[1] + step * 128 + h * 64 + t * 8;
        words2(p, raw);
        words2(p + 32, raw + 2);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        *a = raw[u / 2 * 2] >> 4 * (u & 1) & 0x0f0f0f0fu;
        *b = raw[u / 2 * 2 + 1] >> 4 * (u & 1) & 0x0f0f0f0fu;
    }
};

template <> struct mma_form<KER_Q5_K> : mma_k_head {
    enum { RAW = 6, HEADS = 0, SPLIT = 0, BLOCKS = 2 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
        const uint8_t *p = w.p[2] + step * 128 + h * 64 + t * 8;
        words2(p, raw);
        words2(p + 32, raw + 2);
        words2(w.p[1] + step * 32 + t * 8, raw + 4);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        *a = (raw[u / 2 * 2] >> 4 * (u & 1) & 0x0f0f0f0fu) | (raw[4] >> (4 * h + u) & 0x01010101u) << 4;
        *b = (raw[u / 2 * 2 + 1] >> 4 * (u & 1) & 0x0f0f0f0fu) | (raw[5] >> (4 * h + u) & 0x01010101u) << 4;
    }
};

template <> struct mma_form<KER_Q6_K> {
    enum { RAW = 6, HEADS = 2, SPLIT = 1, BLOCKS = 2 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
        const uint8_t *low = w.p[0] + step * 128 + h * 64 + t * 4, *high = w.p[1] + step * 64 + h * 32 + t * 4;
#pragma unroll
        for (int i = 0; i < 4; i++) raw[i] = word_at(low + 16 * i);
        raw[4] = word_at(high);
        raw[5] = word_at(high + 16);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        *a = cu_less4((raw[(u & 1) * 2] >> 4 * (u >> 1) & 0x0f0f0f0fu) | (raw[4] >> 2 * u & 0x03030303u) << 4, 32);
        *b = cu_less4((raw[(u & 1) * 2 + 1] >> 4 * (u >> 1) & 0x0f0f0f0fu) | (raw[5] >> 2 * u & 0x03030303u) << 4, 32);
    }
    static __device__ __forceinline__ float d(const cu_mat &w, int64_t step, const uint32_t *head) { return cu_half_at(w.p[3] + step * 2); }
    static __device__ __forceinline__ int sc16(const uint32_t *head, int h, int u, int part) { return signed_byte_of(head[2 * h + u / 2], u % 2 * 2 + part); }
};

template <> struct mma_form<KER_IQ4_XS> {
    enum { RAW = 6, HEAD = 4, HEADS = -1, SPLIT = 1, BLOCKS = 2 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
        const uint8_t *p = w.p[1] + step * 128 + h * 64 + t * 4;
#pragma unroll
        for (int i = 0; i < 4; i++) raw[i] = word_at(p + 16 * i);
        words2(w.p[0] + step * 8, raw + HEAD);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        int low, high;
        cu_iq4_word(raw[u], &low, &high);
        *a = (uint32_t)low;
        *b = (uint32_t)high;
    }
    static __device__ __forceinline__ float d(const cu_mat &w, int64_t step, const uint32_t *head) { return cu_half_bits(head[0]); }
    static __device__ __forceinline__ int sc(const uint32_t *head, int h, int u)
    {
        int j = 4 * h + u;
        return (int)((head[1] >> 4 * j & 15) | (head[0] >> 16 >> 2 * j & 3) << 4) - 32;
    }
};

/* Blocks of 32: a step is 8 of them; the head is the scales (and minima) of the half's four. */
template <> struct mma_form<KER_Q8_0> {
    enum { RAW = 10, HEAD = 8, HEADS = -1, SPLIT = 0, BLOCKS = 2 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
#pragma unroll
        for (int i = 0; i < 4; i++) words2(w.p[1] + step * 256 + h * 128 + i * 32 + t * 8, raw + 2 * i);
        words2(w.p[0] + step * 16 + h * 8, raw + HEAD);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        *a = raw[2 * u];
        *b = raw[2 * u + 1];
    }
    static __device__ __forceinline__ float d32(const uint32_t *head, int u) { return cu_half_bits(head[u / 2] >> 16 * (u & 1)); }
};

template <int TYPE, int PLANE, int FIFTH, int LESS> struct mma_nibbles {           /* Q4_0, Q4_1, Q5_0, Q5_1 */
    enum { MIN = cu_form<TYPE>::MIN, HEADS = -1, SPLIT = 1, BLOCKS = 1, FIVE = 4, HEAD = 4 + (FIFTH ? 4 : 0), RAW = HEAD + (MIN ? 4 : 2) };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
        const uint8_t *p = w.p[PLANE] + step * 128 + h * 64 + t * 4;
#pragma unroll
        for (int i = 0; i < 4; i++) raw[i] = word_at(p + 16 * i);
        if (FIFTH) words4(w.p[1] + step * 32 + h * 16, raw + FIVE);
        if (MIN) words4(w.p[0] + step * 32 + h * 16, raw + HEAD);
        else words2(w.p[0] + step * 16 + h * 8, raw + HEAD);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        uint32_t low = raw[u] & 0x0f0f0f0fu, high = raw[u] >> 4 & 0x0f0f0f0fu;
        if (FIFTH) {
            low |= cu_fifth(raw[FIVE + u] >> 4 * t);
            high |= cu_fifth(raw[FIVE + u] >> (16 + 4 * t));
        }
        *a = LESS ? cu_less4(low, LESS) : low;
        *b = LESS ? cu_less4(high, LESS) : high;
    }
    static __device__ __forceinline__ float d32(const uint32_t *head, int u)
    {
        return MIN ? cu_half_bits(head[u]) : cu_half_bits(head[u / 2] >> 16 * (u & 1));
    }
    static __device__ __forceinline__ float m32(const uint32_t *head, int u) { return MIN ? -cu_half_bits(head[u] >> 16) : 0.0f; }
};
template <> struct mma_form<KER_Q4_0> : mma_nibbles<KER_Q4_0, 1, 0, 8> {};
template <> struct mma_form<KER_Q4_1> : mma_nibbles<KER_Q4_1, 1, 0, 0> {};
template <> struct mma_form<KER_Q5_0> : mma_nibbles<KER_Q5_0, 2, 1, 16> {};
template <> struct mma_form<KER_Q5_1> : mma_nibbles<KER_Q5_1, 2, 1, 0> {};
template <> struct mma_form<KER_IQ4_NL> : mma_nibbles<KER_IQ4_NL, 1, 0, 0> {
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        int low, high;
        cu_iq4_word(raw[u], &low, &high);
        *a = (uint32_t)low;
        *b = (uint32_t)high;
    }
};

template <> struct mma_form<KER_MXFP4> : mma_nibbles<KER_MXFP4, 1, 0, 0> {
    enum { RAW = 5 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
        const uint8_t *p = w.p[1] + step * 128 + h * 64 + t * 4;
#pragma unroll
        for (int i = 0; i < 4; i++) raw[i] = word_at(p + 16 * i);
        raw[4] = word_at(w.p[0] + step * 8 + h * 4);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        int low, high;
        cu_e2m1_word(raw[u], &low, &high);
        *a = (uint32_t)low;
        *b = (uint32_t)high;
    }
    static __device__ __forceinline__ float d32(const uint32_t *head, int u) { return cu_e8m0_half((unsigned)byte_of(head[0], u)); }
};

/* A step is four blocks of 64; a lane's word of 16 is the low or the high nibbles of one word, made as it is read: later there are too few
 * registers for it. The head is a scale each 16. */
template <> struct mma_form<KER_NVFP4> {
    enum { RAW = 10, HEAD = 8, HEADS = -1, SPLIT = 1, BLOCKS = 1 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t raw[RAW])
    {
        const uint8_t *p = w.p[1] + step * 128 + h * 64 + t % 2 * 4;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int low, high;
            cu_e2m1_word(word_at(p + 8 * i), &low, &high);
            raw[i] = (uint32_t)(t / 2 ? high : low);
        }
        words2(w.p[0] + step * 16 + h * 8, raw + HEAD);
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        *a = raw[2 * u];
        *b = raw[2 * u + 1];
    }
    static __device__ __forceinline__ float d16(const uint32_t *head, int u, int part) { return cu_ue4m3_half((unsigned)byte_of(head[u / 2], u % 2 * 2 + part)); }
    static __device__ __forceinline__ float d32(const uint32_t *head, int u) { return d16(head, u, 0); }
};

/* Types of types_few.cuh with blocks of 256: words are made as they are read. The head: two bytes of scales a unit. */
template <int TYPE> struct mma_words {
    typedef cu_form<TYPE> form;
    enum { RAW = 10, HEAD = 8, HEADS = -1, SPLIT = 1, BLOCKS = 1 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t *raw)
    {
#pragma unroll
        for (int u = 0; u < 4; u++) {
            typename form::raw r;
            form::load(w, step, 4 * h + u, r);
            raw[2 * u] = form::word(r, 4 * h + u, 0, t);
            raw[2 * u + 1] = form::word(r, 4 * h + u, 1, t);
            uint32_t s = (form::scales(r, 4 * h + u) & 0xffffu) << 16 * (u & 1);
            raw[HEAD + u / 2] = u & 1 ? raw[HEAD + u / 2] | s : s;
        }
    }
    static __device__ __forceinline__ void unit(const uint32_t *raw, int h, int u, int t, uint32_t *a, uint32_t *b)
    {
        *a = raw[2 * u];
        *b = raw[2 * u + 1];
    }
    static __device__ __forceinline__ float d(const cu_mat &w, int64_t step, const uint32_t *head)
    {
        typename form::raw r;
        form::load(w, step, 0, r);
        return r.d;
    }
    static __device__ __forceinline__ int sc16(const uint32_t *head, int h, int u, int part) { return signed_byte_of(head[u / 2], u % 2 * 2 + part); }
    static __device__ __forceinline__ int sc(const uint32_t *head, int h, int u) { return sc16(head, h, u, 0); }
};
#define WORDS(name) template <> struct mma_form<KER_##name> : mma_words<KER_##name> {};
WORDS(Q3_K) WORDS(IQ1_S) WORDS(IQ1_M) WORDS(IQ2_XXS) WORDS(IQ2_XS) WORDS(IQ2_S) WORDS(IQ3_XXS) WORDS(IQ3_S) WORDS(TQ1_0) WORDS(TQ2_0)
#undef WORDS
template <> struct mma_form<KER_Q2_K> : mma_words<KER_Q2_K> {            /* behind the scales d and m; minima in the high nibbles */
    enum { RAW = 11 };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t step, int h, int t, uint32_t *raw)
    {
        mma_words<KER_Q2_K>::load(w, step, h, t, raw);
        raw[10] = word_at(w.p[2] + step * 4);
    }
    static __device__ __forceinline__ float d(const cu_mat &w, int64_t step, const uint32_t *head) { return cu_half_bits(head[2]); }
    static __device__ __forceinline__ float m(const uint32_t *head) { return cu_half_bits(head[2] >> 16); }
    static __device__ __forceinline__ int sc16(const uint32_t *head, int h, int u, int part) { return byte_of(head[u / 2], u % 2 * 2 + part) & 15; }
    static __device__ __forceinline__ int mn16(const uint32_t *head, int u, int part) { return byte_of(head[u / 2], u % 2 * 2 + part) >> 4; }
};

/* ---- activations in shared memory ---- */

/* A stage: TILE_MMA rows of 256 int8, padded so that the lanes of a fragment meet no bank twice; 8 scales, 8 sums a row; scales
 * of the block's 128 rows of weights. */
template <int TYPE> struct mma_stage {
    enum { ROW = STEP + (mma_form<TYPE>::SPLIT ? 16 : 32), D = TILE_MMA * ROW, SUM = D + TILE_MMA * 32,
           HEAD = SUM + (cu_form<TYPE>::MIN != 0 ? TILE_MMA * 32 : 0), BYTES = HEAD + (mma_form<TYPE>::HEADS < 0 ? 0 : MMA_THREADS * 16) };
};

/* The activations of a tile, brought by all threads of a block. rows: their rows, in shared memory; head: what this thread
 * brings of the scales at step 0. */
template <int TYPE, int N> static __device__ __forceinline__ void stage_fill(const cu_tile_prod &p, const int *rows, const uint8_t *head, char *at, int step)
{
    typedef mma_stage<TYPE> stage;
    int i = (int)threadIdx.x, n_in = p.w.n_in;
#pragma unroll
    for (int j = 0; j < N; j += MMA_THREADS / 16) {
        int r = j + i / 16;
        cp_async16(at + r * stage::ROW + i % 16 * 16, p.a.q + (int64_t)rows[r] * n_in + step * STEP + i % 16 * 16);
    }
    int r = i / 4, piece = i % 4;
    if (r < N && (piece < 2 || cu_form<TYPE>::MIN != 0)) {
        int64_t from = (int64_t)rows[r] * (n_in / 32) + step * 8 + piece % 2 * 4;
        const void *src = piece < 2 ? (const void *)(p.a.d + from) : (const void *)(p.a.sum + from);
        cp_async16(at + (piece < 2 ? (int)stage::D : (int)stage::SUM) + r * 32 + piece % 2 * 16, src);
    }
    if (mma_form<TYPE>::HEADS >= 0) cp_async16(at + stage::HEAD + i * 16, head + step * 16);
}

/* ---- the product ---- */

/* What a warp holds: 2 x 16 rows of weights, NT x 8 rows of activations; c: as mma's fragments. m: of minima of 16. */
template <int NT> struct mma_sums { float f[2][NT][4]; int i[2][NT][4], m[2][NT][4]; };

/* Half a step of a type with blocks of 32 or 64. */
template <int TYPE, int NT> static __device__ __forceinline__ void half_of_32(const uint32_t (*raw)[2][mma_form<TYPE>::RAW], int h, const char *at, int lane, mma_sums<NT> &s)
{
    typedef mma_form<TYPE> form;
    typedef mma_stage<TYPE> stage;
    int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int u = 0; u < 4; u++) {
        uint32_t a[2][4];
        float d[2][2], m[2][2];                    /* m of a type with floats of 16: d of the last */
#pragma unroll
        for (int w = 0; w < 2; w++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                form::unit(raw[w][r], h, u, t, &a[w][r], &a[w][r + 2]);
                d[w][r] = form::d32(raw[w][r] + form::HEAD, u);
                if constexpr (cu_form<TYPE>::SCALES == 3) m[w][r] = form::d16(raw[w][r] + form::HEAD, u, 1);
                if constexpr (cu_form<TYPE>::MIN != 0) m[w][r] = form::m32(raw[w][r] + form::HEAD, u);
            }
#pragma unroll
        for (int nt = 0; nt < NT; nt++) {
            const char *row = at + (nt * 8 + g) * stage::ROW + (4 * h + u) * 32;
            uint32_t b[2];
            if (form::SPLIT) {
                b[0] = *(const uint32_t *)(const void *)(row + t * 4);
                b[1] = *(const uint32_t *)(const void *)(row + t * 4 + 16);
            } else words2((const uint8_t *)row + t * 8, b);
            const float *da = (const float *)(const void *)(at + stage::D) + (nt * 8 + t * 2) * 8 + 4 * h + u;
            float da0 = da[0], da1 = da[8], ms0 = 0, ms1 = 0;
            if (cu_form<TYPE>::MIN != 0) {
                const int *sum = (const int *)(const void *)(at + stage::SUM) + (nt * 8 + t * 2) * 8 + 4 * h + u;
                ms0 = da0 * (float)sum[0];
                ms1 = da1 * (float)sum[8];
            }
#pragma unroll
            for (int w = 0; w < 2; w++) {
                int dot[4], more[4];
                if constexpr (cu_form<TYPE>::SCALES == 3) {
                    dot_k16(dot, a[w], b);
                    dot_k16(more, a[w] + 2, b + 1);
                } else dot_k32(dot, a[w], b);
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    s.f[w][nt][c] = fmaf(d[w][c / 2] * (c & 1 ? da1 : da0), (float)dot[c], s.f[w][nt][c]);
                    if constexpr (cu_form<TYPE>::MIN != 0) s.f[w][nt][c] = fmaf(-m[w][c / 2], c & 1 ? ms1 : ms0, s.f[w][nt][c]);
                    if constexpr (cu_form<TYPE>::SCALES == 3) s.f[w][nt][c] = fmaf(m[w][c / 2] * (c & 1 ? da1 : da0), (float)more[c], s.f[w][nt][c]);
                }
            }
        }
    }
}

/* Scales of row 8r of a warp's w-th 16: heads is the lane's first row's. */
template <int TYPE> static __device__ __forceinline__ const uint32_t *head_of(const uint32_t *raw, const char *heads, int w, int r)
{
    if constexpr (mma_form<TYPE>::HEADS < 0) return raw + mma_form<TYPE>::HEAD;
    else return (const uint32_t *)(const void *)(heads + (w * 16 + r * 8) * 16);
}

/* Half a step of a type with blocks of 256: on to the integer sums. */
template <int TYPE, int NT> static __device__ __forceinline__ void half_of_256(const uint32_t (*raw)[2][mma_form<TYPE>::RAW], const char *heads, int h, const char *at, int lane, mma_sums<NT> &s)
{
    typedef mma_form<TYPE> form;
    typedef mma_stage<TYPE> stage;
    const bool sixteen = cu_form<TYPE>::SCALES == 2;
    int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int u = 0; u < 4; u++) {
        uint32_t a[2][4], mn[2][4];
        int sc[2][2][2];
#pragma unroll
        for (int w = 0; w < 2; w++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                form::unit(raw[w][r], h, u, t, &a[w][r], &a[w][r + 2]);
                const uint32_t *head = head_of<TYPE>(raw[w][r], heads, w, r);
                if constexpr (sixteen) {
                    sc[w][r][0] = form::sc16(head, h, u, 0);
                    sc[w][r][1] = form::sc16(head, h, u, 1);
                } else sc[w][r][0] = form::sc(head, h, u);
                if constexpr (cu_form<TYPE>::MIN == 2) {
                    mn[w][r] = (uint32_t)form::mn16(head, u, 0) * 0x01010101u;
                    mn[w][r + 2] = (uint32_t)form::mn16(head, u, 1) * 0x01010101u;
                }
            }
#pragma unroll
        for (int nt = 0; nt < NT; nt++) {
            const char *row = at + (nt * 8 + g) * stage::ROW + (4 * h + u) * 32;
            uint32_t b[2];
            if (form::SPLIT) {
                b[0] = *(const uint32_t *)(const void *)(row + t * 4);
                b[1] = *(const uint32_t *)(const void *)(row + t * 4 + 16);
            } else words2((const uint8_t *)row + t * 8, b);
#pragma unroll
            for (int w = 0; w < 2; w++) {
                int dot[4], more[4];
                if (sixteen) {
                    dot_k16(dot, a[w], b);
                    dot_k16(more, a[w] + 2, b + 1);
                } else dot_k32(dot, a[w], b);
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    int *to = &s.i[w][nt][c], from = h == 0 && u == 0 ? 0 : *to;
                    from += sc[w][c / 2][0] * dot[c];
                    if constexpr (sixteen) from += sc[w][c / 2][1] * more[c];
                    *to = from;
                }
                if constexpr (cu_form<TYPE>::MIN == 2) {
                    if (h == 0 && u == 0) dot_k32(s.m[w][nt], mn[w], b);
                    else mma_16832_s8(s.m[w][nt], mn[w], b);
                }
            }
        }
    }
}

/* The end of a block of 256: its integer sums with their scales, and the minima. */
template <int TYPE, int NT> static __device__ __forceinline__ void end_of_256(const uint32_t (*raw)[2][mma_form<TYPE>::RAW], const char *heads, const float (*d)[2], const char *at, int lane, mma_sums<NT> &s)
{
    typedef mma_form<TYPE> form;
    typedef mma_stage<TYPE> stage;
    int g = lane / 4, t = lane % 4;
    float m[2][2];
    uint32_t mins[2][4];
#pragma unroll
    for (int w = 0; w < 2; w++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const uint32_t *head = head_of<TYPE>(raw[w][r], heads, w, r);
            if constexpr (cu_form<TYPE>::MIN == 2) m[w][r] = -form::m(head);
            if constexpr (cu_form<TYPE>::MIN == 1) {
                float low, high;
                form::mins(head, t, &low, &high);
                m[w][r] = -form::m(head);
                mins[w][r] = half2_bits(low, high);
                mins[w][r + 2] = half2_bits(64 * low, 64 * high);
            }
        }
#pragma unroll
    for (int nt = 0; nt < NT; nt++) {
        const float *da = (const float *)(const void *)(at + stage::D) + (nt * 8 + t * 2) * 8;
        float da0 = da[0], da1 = da[8];
        uint32_t b[2] = { 0, 0 };
        if (cu_form<TYPE>::MIN == 1) {
            int2 sum = *(const int2 *)(const void *)(at + stage::SUM + (nt * 8 + g) * 32 + t * 8);
            int h0 = (sum.x + 32) >> 6, h1 = (sum.y + 32) >> 6;
            b[0] = half2_bits((float)(sum.x - 64 * h0), (float)(sum.y - 64 * h1));
            b[1] = half2_bits((float)h0, (float)h1);
        }
#pragma unroll
        for (int w = 0; w < 2; w++) {
            float low[4];
            if (cu_form<TYPE>::MIN == 1) dot_halves(low, mins[w], b);
#pragma unroll
            for (int c = 0; c < 4; c++) {
                float v = d[w][c / 2] * (float)s.i[w][nt][c];
                if constexpr (cu_form<TYPE>::MIN == 1) v = fmaf(m[w][c / 2], low[c], v);
                if constexpr (cu_form<TYPE>::MIN == 2) v = fmaf(m[w][c / 2], (float)s.m[w][nt][c], v);
                s.f[w][nt][c] = fmaf(c & 1 ? da1 : da0, v, s.f[w][nt][c]);
            }
        }
    }
}

template <int TYPE, int NT, int GLUE> static __device__ __forceinline__ void mma_tile(const cu_tile_prod &p, const cu_mat &up, int matrix, const int *in_row, const int *out_row, int n, char *smem)
{
    typedef mma_form<TYPE> form;
    typedef mma_stage<TYPE> stage;
    const bool BOTH = GLUE == CU_BOTH;
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, g = lane / 4, t = lane % 4, steps = p.w.n_in / STEP;
    int o0 = ((int)blockIdx.x * MMA_WARPS + warp) * (BOTH ? 16 : 32);
    bool here = o0 < p.w.n_out;                    /* other warps bring activations only */
    /* The first step of rows 8r of the warp's w-th 16. */
    int64_t at = ((int64_t)matrix * p.w.n_out + (here ? o0 + g : g)) * steps;
    const uint8_t *head = NULL;
    if constexpr (form::HEADS >= 0) {              /* thread i brings row i of the block: see head_of */
        int i = (int)threadIdx.x % 32, o = (here ? o0 : 0) + (BOTH ? i % 16 : i);
        head = (BOTH && i >= 16 ? up.p[form::HEADS] : p.w.p[form::HEADS]) + ((int64_t)matrix * p.w.n_out + o) * steps * 16;
    }
    mma_sums<NT> s;
#pragma unroll
    for (int w = 0; w < 2; w++)
#pragma unroll
        for (int nt = 0; nt < NT; nt++)
#pragma unroll
            for (int c = 0; c < 4; c++) s.f[w][nt][c] = 0;
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) {
        if (i < steps) stage_fill<TYPE, NT * 8>(p, in_row, head, smem + i * stage::BYTES, i);
        cp_commit();
    }
    uint32_t raw[2][2][2][form::RAW];              /* this half step's, the next one's */
#define LOAD(to, step, h) \
    _Pragma("unroll") for (int w = 0; w < 2; w++) \
        _Pragma("unroll") for (int r = 0; r < 2; r++) form::load(BOTH && w ? up : p.w, at + (((BOTH ? 0 : 16 * w) + 8 * r) * steps + (step)), h, t, raw[to][w][r])
    LOAD(0, 0, 0);
    for (int step = 0, at_stage = 0; step < steps; step++, at_stage = at_stage + 1 < STAGES ? at_stage + 1 : 0) {
        const char *now = smem + at_stage * stage::BYTES, *heads = now + stage::HEAD + (warp * 32 + g) * 16;
        float d[2][2];
        cp_wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) stage_fill<TYPE, NT * 8>(p, in_row, head, smem + (at_stage ? at_stage - 1 : STAGES - 1) * stage::BYTES, step + STAGES - 1);
        cp_commit();
        LOAD(1, step, 1);
        if constexpr (cu_form<TYPE>::BLOCK == 256)
#pragma unroll
            for (int w = 0; w < 2; w++)
#pragma unroll
                for (int r = 0; r < 2; r++) d[w][r] = form::d(BOTH && w ? up : p.w, at + (((BOTH ? 0 : 16 * w) + 8 * r) * steps + step), head_of<TYPE>(raw[0][w][r], heads, w, r));
        if constexpr (cu_form<TYPE>::BLOCK == 256) half_of_256<TYPE, NT>(raw[0], heads, 0, now, lane, s);
        else half_of_32<TYPE, NT>(raw[0], 0, now, lane, s);
        LOAD(0, step + 1 < steps ? step + 1 : step, 0);
        if constexpr (cu_form<TYPE>::BLOCK == 256) {
            half_of_256<TYPE, NT>(raw[1], heads, 1, now, lane, s);
            end_of_256<TYPE, NT>(raw[1], heads, d, now, lane, s);
        } else half_of_32<TYPE, NT>(raw[1], 1, now, lane, s);
    }
#undef LOAD
    cp_wait<0>();
    if (!here) return;
#pragma unroll
    for (int nt = 0; nt < NT; nt++)
#pragma unroll
        for (int side = 0; side < 2; side++) {
            int i = nt * 8 + t * 2 + side;
            if (i >= n) continue;
            int row = out_row[i], o = o0 + g;
            float *y = p.y + (int64_t)row * p.stride + o;
            if constexpr (GLUE == CU_BOTH) {
#pragma unroll
                for (int r = 0; r < 2; r++)
                    y[8 * r] = cu_beyond(p, row, o + 8 * r) ? 0.0f : cu_silu_mul(s.f[0][nt][2 * r + side], s.f[1][nt][2 * r + side]);
            } else {
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    float v = s.f[r / 2][nt][r % 2 * 2 + side];
                    if constexpr (GLUE == CU_PUT) y[8 * r] = v;
                    else cu_tile_put(p, row, o + 8 * r, v);
                }
            }
        }
}

/* GLUE: CU_BOTH; CU_PUT, where nothing is added and nothing looked at; else what p says. */
template <int TYPE, int GLUE> static __global__ void __launch_bounds__(MMA_THREADS, mma_form<TYPE>::BLOCKS) mma_tiles(cu_tile_prod p, cu_mat up)
{
    DYN_SHARED(char, smem);
    SHARED(int, in_row, TILE_MMA);
    SHARED(int, out_row, TILE_MMA);
    int matrix, first, n, i = (int)threadIdx.x;
    if (!cu_tile_get(p.t, (int)blockIdx.y, TILE_MMA, &matrix, &first, &n)) return;
    if (i < TILE_MMA) {
        int place = first + (i < n ? i : 0);
        in_row[i] = p.t.in_row ? p.t.in_row[place] : place;
        out_row[i] = p.t.out_row ? p.t.out_row[place] : place;
    }
    __syncthreads();
    if constexpr (TYPE == KER_NVFP4 || TYPE == KER_IQ3_S || TYPE == KER_TQ2_0) {    /* the same; on sm_80, 86, 89 or 120 not even two halves side by side */
        constexpr int rows = TILE_MMA / 2;
#pragma unroll 1
        for (int at = 0; at < n; at += rows) {
            if (at) __syncthreads();
            mma_tile<TYPE, rows / 8, GLUE>(p, up, matrix, in_row + at, out_row + at, n - at, smem);
        }
    } else if constexpr (cu_form<TYPE>::BLOCK < 256) {    /* more scales at once than there are registers for a whole tile */
        mma_tile<TYPE, TILE_MMA / 16, GLUE>(p, up, matrix, in_row, out_row, n, smem);
        if (n <= TILE_MMA / 2) return;
        __syncthreads();
        mma_tile<TYPE, TILE_MMA / 16, GLUE>(p, up, matrix, in_row + TILE_MMA / 2, out_row + TILE_MMA / 2, n - TILE_MMA / 2, smem);
    } else if (n > TILE_MMA / 2) mma_tile<TYPE, TILE_MMA / 8, GLUE>(p, up, matrix, in_row, out_row, n, smem);
    else mma_tile<TYPE, TILE_MMA / 16, GLUE>(p, up, matrix, in_row, out_row, n, smem);
}

bool cu_mma_can(const ker_ctx *c, const cu_mat *w, int n_rows)
{
    if (n_rows <= CU_FEW) return false;
    return w->act == KER_ACT_F32 ? cu_halves_can(w) : w->n_in % STEP == 0 && w->n_out % 32 == 0;
}

template <int TYPE, int GLUE> static void launch(ker_ctx *c, const cu_tile_prod &p, const cu_mat &up)
{
    int rows = MMA_WARPS * (GLUE == CU_BOTH ? 16 : 32);
    dim3 grid((unsigned)((p.w.n_out + rows - 1) / rows), (unsigned)p.t.most), block(MMA_THREADS);
    LAUNCH((mma_tiles<TYPE, GLUE>), grid, block, (size_t)STAGES * (size_t)mma_stage<TYPE>::BYTES, c->st, p, up);
}

bool cu_mma_both(const cu_mat *gate, const cu_mat *up)
{
    if (gate->type != up->type) return false;
    switch (gate->type) {
#define CASE(name) case KER_##name: return true;
    OFTEN_TYPES(CASE)
#undef CASE
    }
    return false;
}

void cu_mma_tiles(ker_ctx *c, const cu_tile_prod *p, const cu_mat *up)
{
    if (up) {
        switch (p->w.type) {
#define CASE(name) case KER_##name: launch<KER_##name, CU_BOTH>(c, *p, *up); break;
        OFTEN_TYPES(CASE)
#undef CASE
        }
        return;
    }
    if (p->w.act == KER_ACT_F32) {
        cu_halves_tiles(c, p);
        return;
    }
    bool plain = p->glue == CU_PUT && !p->bias && !p->part;
    switch (p->w.type) {
#define CASE(name) case KER_##name: plain ? launch<KER_##name, CU_PUT>(c, *p, p->w) : launch<KER_##name, CU_GLU>(c, *p, p->w); break;
    OFTEN_TYPES(CASE)
#undef CASE
#define CASE(name) case KER_##name: launch<KER_##name, CU_GLU>(c, *p, p->w); break;
    SELDOM_TYPES(CASE)
#undef CASE
    }
}

void cu_mma_product(ker_ctx *c, const cu_prod *p, const float *x, const cu_acts *acts, int n_rows)
{
    cu_tile_prod t = cu_tile_of(c, p, n_rows);
    t.a = acts->kind[p->w->act];
    t.x = x;
    t.t.most = (n_rows + TILE_MMA - 1) / TILE_MMA;
    cu_mma_tiles(c, &t, NULL);
}
