/* kernels/cuda/attn_wide: attention with tensor cores for heads of 256 and cells of F16 and Q8_0, as attn_mma.cu has it for narrower ones.
 * A head's output alone is half of a thread's registers, so that queries stay in shared memory; and a page of K and V is more than an SM
 * has of that beside them, so that K and V have a buffer each, of 32 cells (many rows: att_wide) or of a warp's 16 (few: att_wide_few):
 * one comes while the other is multiplied. Numbers of Q8_0 become halves in one buffer for both in turn. A gate behind a head's
 * numbers of Q is applied to what goes out. */
#include "kernels/cuda/attn_mma.cuh"

static constexpr int DIM = 256, CHUNKS = DIM / 8, WIDE_CELLS = 32;

/* N cells of K or of V, in chunks of 16 bytes: as they come, and as halves. */
template <int TYPE, int N> struct half_of {
    static constexpr int ROW = part<TYPE, DIM, N>::ROW, SCALE = part<TYPE, DIM, N>::SCALE, RAW = N * ROW + SCALE;
    static constexpr int WORK = TYPE == KER_KV_F16 ? 0 : N * CHUNKS;
    static constexpr int BYTES = (2 * RAW + WORK) * 16;        /* K, V, halves */
};

/* Asks for cells [cell, cell + N) of a page's K (which 0) or V (1), by `threads` threads of which this is t; one group. */
template <int TYPE, int N> static __device__ __forceinline__ void ask(const uint8_t *page, int which, int cell, uint4 *raw, int t, int threads)
{
    typedef half_of<TYPE, N> P;
    typedef half_of<TYPE, KER_PAGE> Page;
    const uint4 *p = (const uint4 *)(const void *)page + (which * KER_PAGE + cell) * P::ROW;
#pragma unroll 4
    for (int i = t; i < N * P::ROW; i += threads) cp_async16(raw + (TYPE == KER_KV_F16 ? at<DIM>(i / P::ROW, i % P::ROW) : i), p + i);
    if constexpr (TYPE == KER_KV_Q8_0) {
        const uint4 *s = (const uint4 *)(const void *)page + 2 * KER_PAGE * P::ROW + which * Page::SCALE + cell / N * P::SCALE;
        for (int i = t; i < P::SCALE; i += threads) cp_async16(raw + N * P::ROW + i, s + i);
    }
    cp_commit();
}

/* Halves of N cells of K or of V that came as Q8_0. */
template <int N> static __device__ __forceinline__ void unpack(const uint4 *raw, bool value, uint4 *to, int t, int threads)
{
    typedef half_of<KER_KV_Q8_0, N> P;
    const float *scale = (const float *)(const void *)(raw + N * P::ROW);
#pragma unroll 1
    for (int i = t; i < N * P::ROW; i += threads) {
        int row = i / P::ROW, c = i % P::ROW;
        uint4 a, b;
        q8_halves(raw[i], scale[row * (DIM / 32) + c / 2], value, &a, &b);
        to[at<DIM>(row, 2 * c)] = a;
        to[at<DIM>(row, 2 * c + 1)] = b;
    }
}

/* V of cells [n, n + 16) times weights, on to the sums. */
template <int PARTS> static __device__ __forceinline__ void add_values(const uint32_t (&p)[PARTS][4], const uint4 *v, int n, sums<DIM> &a)
{
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int d = 0; d < DIM / 16; d++) {
        uint32_t b[4];
        ldmatrix_x4_trans(b, &v[at<DIM>(n + (lane >> 3 & 1) * 8 + (lane & 7), 2 * d + (lane >> 4))]);
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            mma_16816(a.o[2 * d], p[i], b);
            mma_16816(a.o[2 * d + 1], p[i], b + 2);
        }
    }
}

/* ---- few rows ---- */

/* A warp's 16 cells, from `cell0` of the sequence on: old ones from the page, those of this batch from `fresh`, unseen ones are zero. One
 * group. See few_ask_new in attn_mma.cu. */
template <int TYPE> static __device__ __forceinline__ void few_ask(const att_job &j, const few_at &f, int page, int which, uint4 *raw, const uint4 *fresh, const int *fresh_cell, int n_fresh)
{
    typedef half_of<TYPE, FEW_CELLS> P;
    typedef part<TYPE, DIM, CU_FEW> Fresh;
    int lane = threadIdx.x & 31, first = (int)(threadIdx.x >> 5) * FEW_CELLS, cell0 = page * KER_PAGE + first;
    const uint8_t *from_page = cells(j, f.seq, page, f.kv);
    if (cell0 + FEW_CELLS <= f.first) {
        ask<TYPE, FEW_CELLS>(from_page, which, first, raw, lane, 32);
        return;
    }
    const uint4 *p = (const uint4 *)(const void *)from_page + (which * KER_PAGE + first) * P::ROW;
#pragma unroll 1
    for (int i = lane; i < FEW_CELLS * P::ROW; i += 32) {
        int row = i / P::ROW, c = i % P::ROW, from = -1;
        uint4 *to = raw + (TYPE == KER_KV_F16 ? at<DIM>(row, c) : i);
#pragma unroll 1
        for (int n = 0; n < n_fresh; n++) from = cell0 + row == fresh_cell[n] ? n : from;
        if (from >= 0) *to = fresh[(which * CU_FEW + from) * Fresh::ROW + c];
        else if (cell0 + row > f.last) *to = make_uint4(0, 0, 0, 0);
        else cp_async16(to, p + i);
    }
    if constexpr (TYPE == KER_KV_Q8_0) {
        constexpr int NB = DIM / 32, PAGE_SCALE = half_of<TYPE, KER_PAGE>::SCALE;
        const float *made = (const float *)(const void *)(fresh + 2 * CU_FEW * Fresh::ROW);
        const float *s = (const float *)(const void *)((const uint4 *)(const void *)from_page + 2 * KER_PAGE * P::ROW + which * PAGE_SCALE) + first * NB;
        float *into = (float *)(void *)(raw + FEW_CELLS * P::ROW);
#pragma unroll 1
        for (int i = lane; i < FEW_CELLS * NB; i += 32) {
            int cell = cell0 + i / NB, from = -1;
#pragma unroll 1
            for (int n = 0; n < n_fresh; n++) from = cell == fresh_cell[n] ? n : from;
            into[i] = from >= 0 ? made[(which * CU_FEW + from) * NB + i % NB] : cell > f.last ? 0.0f : s[i];
        }
    }
    cp_commit();
}

/* Scores of 16 cells against 16 queries, which are two halves each. */
static __device__ __forceinline__ void few_scores(const uint4 *qs, const uint4 *k, float (&s)[2][4])
{
    int lane = threadIdx.x & 31;
    float low[2][4] = {};
#pragma unroll 4
    for (int d = 0; d < DIM / 16; d++) {
        uint32_t b[4], q[4];
        ldmatrix_x4(b, &k[at<DIM>((lane >> 4) * 8 + (lane & 7), 2 * d + (lane >> 3 & 1))]);
        ldmatrix_x4(q, &qs[at<DIM>(lane & 15, 2 * d + (lane >> 4))]);
        mma_16816(s[0], q, b);
        mma_16816(s[1], q, b + 2);
        ldmatrix_x4(q, &qs[FEW_HEADS * CHUNKS + at<DIM>(lane & 15, 2 * d + (lane >> 4))]);
        mma_16816(low[0], q, b);
        mma_16816(low[1], q, b + 2);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) s[i / 4][i % 4] += low[i / 4][i % 4];
}

/* Their weights, as the next product's left side in two halves; left, skip: see few_cells in attn_mma.cu. */
template <bool PART> static __device__ __forceinline__ void few_weights(float (&s)[2][4], int left, int skip, bool both, uint32_t (&p)[2][4], sums<DIM> &a)
{
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int c = i / 4 * 8 + (lane & 3) * 2 + (i & 1);
        if (!(c < left && (!PART || c >= skip))) s[i / 4][i % 4] = -INFINITY;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (h && !both) break;
        float x[4] = { s[0][2 * h], s[0][2 * h + 1], s[1][2 * h], s[1][2 * h + 1] };
        float f = shrink_to(quad_max(fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]))), &a.top[h]);
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = weight_of(x[i], a.top[h]);
        a.sum[h] = a.sum[h] * f + ((x[0] + x[1]) + (x[2] + x[3]));
#pragma unroll
        for (int d = 0; d < DIM / 8; d++) a.o[d][2 * h] *= f, a.o[d][2 * h + 1] *= f;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            p[0][2 * i + h] = halves(x[2 * i], x[2 * i + 1]);
            p[1][2 * i + h] = halves(x[2 * i] - rounded(x[2 * i]), x[2 * i + 1] - rounded(x[2 * i + 1]));
        }
    }
}

template <int TYPE, bool PART> static __global__ void __launch_bounds__(ATT_THREADS, 2) att_wide_few(att_job j, int segs, float *part_mem, int *count)
{
    typedef half_of<TYPE, FEW_CELLS> R;
    DYN_SHARED(uint4, room);
    SHARED(uint4, qs, 2 * FEW_HEADS * CHUNKS);
    SHARED(uint4, fresh, (part<TYPE, DIM, CU_FEW>::RAW));
    SHARED(float, scratch, 2 * ATT_WARPS * DIM);
    SHARED(float, ml, 2 * ATT_WARPS * FEW_HEADS);
    SHARED(int, fresh_cell, CU_FEW);
    SHARED(int, arrived, 1);
    gpu_let_next();
    int t = threadIdx.x, lane = t & 31, warp = t >> 5, seg = blockIdx.x, row = blockIdx.z, group = j.n_head / j.n_kv;
    few_at f;
    f.row = row;
    f.kv = blockIdx.y;
    f.seq = j.rows.seq_at[row];
    f.last = f.first = j.rows.cell[row];
    int least = PART ? first_seen(j, f.last) : 0, before = PART ? least / KER_PAGE : 0;        /* pages before the window */
    int pages = f.last / KER_PAGE + 1 - before, per = pages_of_seg(pages, segs), n_seg = (pages + per - 1) / per, p0 = before + seg * per, p1 = min(p0 + per, before + pages);
    if (p0 >= before + pages) {
        gpu_wait_before();
        return;
    }
#pragma unroll 1
    for (int i = 0; i < j.n; i++)
        if (j.rows.seq_at[i] == f.seq) f.first = min(f.first, j.rows.cell[i]);
    /* What lay there before this pass may be asked for before the queries are ready. */
    uint4 *keys = room + warp * (R::BYTES / 16), *values = keys + R::RAW, *work = values + R::RAW;
    bool early = p0 * KER_PAGE + KER_PAGE - 1 < f.first;
    if (early)
        for (int which = 0; which < 2; which++) ask<TYPE, FEW_CELLS>(cells(j, f.seq, p0, f.kv), which, warp * FEW_CELLS, which ? values : keys, lane, 32);
    const cu_cfg *g = &j.rows.cfg[j.rows.slot[row]];
    f.eps = g->eps;
    f.scale = g->attn_scale * LOG2E;
    f.off = g->head_off ? g->head_off + (int64_t)j.layer * j.n_head : NULL;
    /* The cells of this segment that this batch writes: a lane a row. */
    int cell = lane < j.n ? j.rows.cell[lane] : -1;
    bool here = cell >= p0 * KER_PAGE && cell < p1 * KER_PAGE && cell <= f.last && j.rows.seq_at[lane] == f.seq;
    unsigned all = __ballot_sync(WARP_ALL, here);
    int n_fresh = __popc(all), k = 0;
    if (here && !warp) fresh_cell[__popc(all & ((1u << lane) - 1))] = cell;
    turn<DIM> way;
    norm_load<DIM>(&way, j.q_norm);
    gpu_wait_before();
    turn_load<DIM>(j, &way, row);
#pragma unroll 1
    for (int i = warp; i < FEW_HEADS; i += ATT_WARPS) {
        lanes<DIM> one = {};
        if (i < group) {
            lanes_load<DIM>(&one, j.q + ((int64_t)row * j.n_head + f.kv * group + i) * j.q_step);
            lanes_in<DIM>(j, &one, way, j.q_norm != NULL, f.eps, f.scale, scratch + 2 * warp * DIM);
        }
        few_query<DIM>(one, i, qs);
    }
#pragma unroll 1
    for (unsigned m = all; m; m &= m - 1, k++)
        if (k % ATT_WARPS == ATT_WARPS - 1 - warp) few_fresh<TYPE, DIM>(j, f, __ffs((int)m) - 1, k, fresh, scratch + 2 * warp * DIM);
    __syncthreads();
    if (!early)
        for (int which = 0; which < 2; which++) few_ask<TYPE>(j, f, p0, which, which ? values : keys, fresh, fresh_cell, n_fresh);
    sums<DIM> a = {};
    a.top[0] = a.top[1] = -INFINITY;
#pragma unroll 1
    for (int p = p0; p < p1; p++) {                /* K of the next page comes behind this one's scores, V behind its sums */
        int left = f.last + 1 - p * KER_PAGE - warp * FEW_CELLS, skip = PART ? least - p * KER_PAGE - warp * FEW_CELLS : 0;
        bool live = left > 0 && (!PART || skip < FEW_CELLS);
        float s[2][4] = {};
        uint32_t w[2][4] = {};
#pragma unroll
        for (int which = 0; which < 2; which++) {
            uint4 *raw = which ? values : keys;
            const uint4 *now = raw;
            cp_wait<1>();
            __syncwarp();
            if constexpr (TYPE == KER_KV_Q8_0) {
                unpack<FEW_CELLS>(raw, which, work, lane, 32);
                now = work;
                __syncwarp();
            }
            if (live && !which) {
                few_scores(qs, now, s);
                few_weights<PART>(s, left, skip, group > 8, w, a);
            } else if (live) add_values(w, now, 0, a);
            __syncwarp();
            if (p + 1 < p1) few_ask<TYPE>(j, f, p + 1, which, raw, fresh, fresh_cell, n_fresh);
            else cp_commit();
        }
    }
    __syncthreads();                               /* the buffers are free: sums go there */
    few_join<DIM, PART>(j, f, seg, segs, n_seg == 1, a, (float *)(void *)room, ml, part_mem);
    if (n_seg == 1) return;
    __threadfence();
    __syncthreads();
    if (!t) arrived[0] = atomicAdd(&count[row * j.n_kv + f.kv], 1);
    __syncthreads();
    if (arrived[0] != n_seg - 1) return;
    __threadfence();
    if (!t) count[row * j.n_kv + f.kv] = 0;
    few_all<DIM, PART>(j, f, n_seg, segs, part_mem, (float *)(void *)room, ATT_WARPS * R::BYTES / 4, (float *)(void *)qs);
}

/* ---- many rows ---- */

template <int TYPE> static __global__ void BOUNDS(ATT_THREADS, 8) att_wide_prepare(att_job j)
{
    SHARED(float, scratch, 2 * ATT_WARPS * DIM);
    prepare<TYPE, DIM>(j, scratch, j.q_step);
}

template <int TYPE, int WARPS> struct wide_room {      /* bytes: queries, then K and V */
    static constexpr int QUERIES = WARPS * 16 * CHUNKS, BYTES = QUERIES * 16 + half_of<TYPE, WIDE_CELLS>::BYTES;
};

/* A warp's 16 queries against 32 cells. */
static __device__ __forceinline__ void wide_scores(const uint4 *q, const uint4 *k, float (&s)[4][4])
{
    int lane = threadIdx.x & 31;
#pragma unroll 4
    for (int d = 0; d < DIM / 16; d++) {
        uint32_t a[4];
        ldmatrix_x4(a, &q[at<DIM>(lane & 15, 2 * d + (lane >> 4))]);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            uint32_t b[4];
            ldmatrix_x4(b, &k[at<DIM>(n * 16 + (lane >> 4) * 8 + (lane & 7), 2 * d + (lane >> 3 & 1))]);
            mma_16816(s[2 * n], a, b);
            mma_16816(s[2 * n + 1], a, b + 2);
        }
    }
}

/* Of these cells row r sees those below seen[r], with PART from skip[r] on. */
template <bool PART> static __device__ __forceinline__ void wide_weights(float (&s)[4][4], const int (&seen)[2], const int (&skip)[2], bool whole, sums<DIM> &a)
{
    int lane = threadIdx.x & 31;
    if (!whole) {
#pragma unroll
        for (int i = 0; i < 16; i++) {
            int c = i / 4 * 8 + (lane & 3) * 2 + (i & 1);
            s[i / 4][i % 4] = c < seen[i % 4 / 2] && (!PART || c >= skip[i % 4 / 2]) ? s[i / 4][i % 4] : -INFINITY;
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = -INFINITY, sum = 0;
#pragma unroll
        for (int n = 0; n < 4; n++) most = fmaxf(most, fmaxf(s[n][2 * h], s[n][2 * h + 1]));
        float f = shrink_to(quad_max(most), &a.top[h]), base = a.top[h] == -INFINITY ? 0.0f : a.top[h];
#pragma unroll
        for (int n = 0; n < 4; n++) {
            s[n][2 * h] = ex2(s[n][2 * h] - base);
            s[n][2 * h + 1] = ex2(s[n][2 * h + 1] - base);
            sum += s[n][2 * h] + s[n][2 * h + 1];
        }
        a.sum[h] = a.sum[h] * f + sum;
#pragma unroll
        for (int d = 0; d < DIM / 8; d++) a.o[d][2 * h] *= f, a.o[d][2 * h + 1] *= f;
    }
}

static __device__ __forceinline__ void wide_values(const float (&s)[4][4], const uint4 *v, sums<DIM> &a)
{
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const uint32_t p[1][4] = { { halves(s[2 * n][0], s[2 * n][1]), halves(s[2 * n][2], s[2 * n][3]), halves(s[2 * n + 1][0], s[2 * n + 1][1]), halves(s[2 * n + 1][2], s[2 * n + 1][3]) } };
        add_values(p, v, n * 16, a);
    }
}

/* The cells of one sequence, 32 at a time from cell `from` on, against those rows of the tile that belong to it: cell[r] is row r's, -1: not its. */
template <int TYPE, int WARPS, bool PART> static __device__ __forceinline__ void wide_run(const att_job &j, int kv, int seq, int from, int last, const int (&cell)[2], const uint4 *queries, uint4 *room, sums<DIM> &a)
{
    typedef half_of<TYPE, WIDE_CELLS> R;
    constexpr int THREADS = WARPS * 32, EACH = KER_PAGE / WIDE_CELLS;
    int t = threadIdx.x, most = max(cell[0], cell[1]), least = min(cell[0], cell[1]);
#pragma unroll
    for (int o = 16; o; o >>= 1) most = max(most, __shfl_xor_sync(WARP_ALL, most, o)), least = min(least, __shfl_xor_sync(WARP_ALL, least, o));
    uint4 *work = room + 2 * R::RAW;
    for (int which = 0; which < 2; which++) ask<TYPE, WIDE_CELLS>(cells(j, seq, from / KER_PAGE, kv), which, from % KER_PAGE, room + which * R::RAW, t, THREADS);
#pragma unroll 1
    for (int c = from / WIDE_CELLS; c <= last / WIDE_CELLS; c++) {
        int c0 = c * WIDE_CELLS, seen[2] = { cell[0] + 1 - c0, cell[1] + 1 - c0 }, skip[2] = { PART ? first_seen(j, cell[0]) - c0 : 0, PART ? first_seen(j, cell[1]) - c0 : 0 };
        bool live = most >= c0 && (!PART || first_seen(j, least) < c0 + WIDE_CELLS), whole = least >= c0 + WIDE_CELLS - 1 && (!PART || first_seen(j, most) <= c0);
        float s[4][4] = {};
#pragma unroll
        for (int which = 0; which < 2; which++) {
            const uint4 *now = room + which * R::RAW;
            cp_wait<1>();
            __syncthreads();
            if constexpr (TYPE == KER_KV_Q8_0) {
                unpack<WIDE_CELLS>(now, which, work, t, THREADS);
                now = work;
                __syncthreads();
            }
            if (live && !which) {
                wide_scores(queries, now, s);
                wide_weights<PART>(s, seen, skip, whole, a);
            } else if (live) wide_values(s, now, a);
            __syncthreads();
            if (c < last / WIDE_CELLS) ask<TYPE, WIDE_CELLS>(cells(j, seq, (c + 1) / EACH, kv), which, (c + 1) % EACH * WIDE_CELLS, room + which * R::RAW, t, THREADS);
            else cp_commit();
        }
    }
}

template <int TYPE, int WARPS, bool PART> static __global__ void __launch_bounds__(WARPS * 32, 8 / WARPS) att_wide(att_job j, int per)
{
    constexpr int QUERIES = WARPS * 16, THREADS = WARPS * 32;
    DYN_SHARED(uint4, room);
    int t = threadIdx.x, lane = t & 31, warp = t >> 5, kv = blockIdx.x, group = j.n_head / j.n_kv;
    int r0 = (int)(gridDim.y - 1 - blockIdx.y) * per, r1 = min(r0 + per, j.n);  /* the longest first */
#pragma unroll 4
    for (int i = t; i < QUERIES * CHUNKS; i += THREADS) {
        int row = r0 + i / CHUNKS / group, head = kv * group + i / CHUNKS % group;
        uint4 *to = room + at<DIM>(i / CHUNKS, i % CHUNKS);
        if (row < r1) cp_async16(to, (const uint4 *)(const void *)(j.q + ((int64_t)row * j.n_head + head) * j.q_step) + i % CHUNKS);
        else *to = make_uint4(0, 0, 0, 0);
    }
    cp_commit();                                   /* older than any cell: there when the first of those is */
    sums<DIM> a = {};
    a.top[0] = a.top[1] = -INFINITY;
    int mine[2] = { r0 + (warp * 16 + lane / 4) / group, r0 + (warp * 16 + lane / 4 + 8) / group };
    for (int from = r0, end; from < r1; from = end) {
        int seq = j.rows.seq_at[from], cell[2];
        for (end = from + 1; end < r1 && j.rows.seq_at[end] == seq; end++) {}
        for (int h = 0; h < 2; h++) cell[h] = mine[h] >= from && mine[h] < end ? j.rows.cell[mine[h]] : -1;
        wide_run<TYPE, WARPS, PART>(j, kv, seq, PART ? first_seen(j, j.rows.cell[from]) / WIDE_CELLS * WIDE_CELLS : 0, j.rows.cell[end - 1], cell, room + warp * 16 * CHUNKS,
                                    room + wide_room<TYPE, WARPS>::QUERIES, a);
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float sum = quad_sum(a.sum[h]);
        int row = mine[h], head = kv * group + (warp * 16 + lane / 4 + 8 * h) % group;
        if (row >= r1) continue;
        bool off = silent(j, row, head);
        int64_t at_head = (int64_t)row * j.n_head + head;
        float *o = j.o + at_head * DIM + (lane & 3) * 2, inv = 1.0f / sum;
        const float *gate = j.q + at_head * j.q_step + DIM + (lane & 3) * 2;
        if (PART && j.sinks) {
            float sink = j.sinks[head] * LOG2E, most = fmaxf(a.top[h], sink), shrink = ex2(a.top[h] - most);
            inv = shrink / (sum * shrink + ex2(sink - most));
        }
#pragma unroll
        for (int d = 0; d < DIM / 8; d++) {
            float2 y = make_float2(a.o[d][2 * h] * inv, a.o[d][2 * h + 1] * inv);
            if (j.gate) y = make_float2(y.x / (1.0f + expf(-gate[d * 8])), y.y / (1.0f + expf(-gate[d * 8 + 1])));
            *(float2 *)(void *)(o + d * 8) = off ? make_float2(0, 0) : y;
        }
    }
}

/* ---- which of them ---- */

template <int TYPE, int WARPS, bool PART> static void tiles(ker_ctx *c, const att_job &j)
{
    int group = j.n_head / j.n_kv, per = WARPS * 16 / group;
    auto att_wide_of = att_wide<TYPE, WARPS, PART>;
    int bytes = wide_room<TYPE, WARPS>::BYTES;
    cudaFuncSetAttribute(att_wide_of, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    LAUNCH(att_wide_of, dim3((unsigned)j.n_kv, (unsigned)((j.n + per - 1) / per)), dim3(WARPS * 32), (size_t)bytes, c->st, j, per);
}

template <int TYPE, bool PART> static void attend_so(ker_ctx *c, const att_job &j)
{
    int group = j.n_head / j.n_kv, n = j.n;
    if (n <= CU_FEW && group <= FEW_HEADS) {
        auto att_wide_few_of = att_wide_few<TYPE, PART>;
        int bytes = half_of<TYPE, FEW_CELLS>::BYTES * ATT_WARPS;
        cudaFuncSetAttribute(att_wide_few_of, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        LAUNCH_EARLY(c->dev->early, att_wide_few_of, dim3((unsigned)c->shape.segs, (unsigned)j.n_kv, (unsigned)n), dim3(ATT_THREADS), (size_t)bytes, c->st, j, c->shape.segs, c->att.part, c->att.count);
        return;
    }
    auto att_wide_prepare_of = att_wide_prepare<TYPE>;
    LAUNCH(att_wide_prepare_of, dim3((unsigned)((n * (j.n_head + j.n_kv) + ATT_WARPS - 1) / ATT_WARPS)), dim3(ATT_THREADS), 0, c->st, j);
    int blocks = (n + 128 / group - 1) / (128 / group) * j.n_kv;
    if (blocks * 8 >= c->dev->sms * 7) tiles<TYPE, 8, PART>(c, j);
    else tiles<TYPE, 4, PART>(c, j);
}

template <int TYPE> static void attend(ker_ctx *c, const att_job &j)
{
    if (j.window > 0 || j.sinks) attend_so<TYPE, true>(c, j);
    else attend_so<TYPE, false>(c, j);
}

/* The most of shared memory that one of them asks for, of both kinds. */
static constexpr size_t WIDE_MOST = 99 << 10;
static_assert((size_t)wide_room<KER_KV_F16, 8>::BYTES <= WIDE_MOST && (size_t)wide_room<KER_KV_Q8_0, 8>::BYTES <= WIDE_MOST, "many rows");

bool att_wide_fits(const ker_dev *d) { return d->m.head_dim == DIM && d->m.n_head / d->m.n_kv_head <= 64 && d->smem_most >= WIDE_MOST; }

bool att_wide_mma(ker_ctx *c, const att_job &j)
{
    if (!att_wide_fits(c->dev) || (c->kv->type != KER_KV_F16 && c->kv->type != KER_KV_Q8_0)) return false;
    if (c->kv->type == KER_KV_F16) attend<KER_KV_F16>(c, j);
    else attend<KER_KV_Q8_0>(c, j);
    return true;
}
