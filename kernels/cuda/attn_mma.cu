/* kernels/cuda/attn_mma: attention with tensor cores, for heads of 64 and 128 and cells of F16 and Q8_0. A tile's rows are
 * queries, (row of the batch, head) pairs of one KV head, so that a group of heads reads K and V once.
 *  - att_few, up to CU_FEW rows: a block a (segment of the cells, KV head, row). A row's pages go to its segments; each of a
 *    block's warps takes 16 cells of every page through its own double buffer. Norms, rotation and append happen here too:
 *    cells of this batch are made again by whoever needs them, written by the block of their own row, and read from shared
 *    memory only, so that blocks need not wait for each other. The last block of a (row, KV head) joins the segments.
 *    Queries and weights go as a sum of two halves: the scores are as exact as F32.
 *  - att_tiles, many rows: prepare appends and leaves the queries as halves, then a block takes 64 or 128 queries through
 *    the pages of their sequence, with a double buffer of whole pages.
 * A layer with a window or sinks has kernels of its own (PART), so that the others stay as they are: pages before the window are
 * not asked for, and a sink is one more score, which joins when all segments do.
 * Scores are in units of log2(e), so that exp is one instruction. Numbers of Q8_0 become halves in shared memory. */
#include "kernels/cuda/attn_mma.cuh"

/* ---- few rows ---- */

/* Asks for this warp's 16 cells of a page that are all seen and older than this batch. */
template <int TYPE, int DIM> static __device__ __forceinline__ void few_ask_old(const uint4 *page, uint4 *raw)
{
    typedef part<TYPE, DIM, FEW_CELLS> P;
    constexpr int PAGE_ROWS = KER_PAGE * P::ROW, PAGE_SCALE = part<TYPE, DIM, KER_PAGE>::SCALE;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll
    for (int i = 0; i < 2 * FEW_CELLS * P::ROW / 32; i++) {
        constexpr int HALF = FEW_CELLS * P::ROW / 32;          /* of K, then of V */
        int which = i / HALF, k = lane + i % HALF * 32;
        uint4 *to = raw + which * FEW_CELLS * P::ROW + (TYPE == KER_KV_F16 ? at<DIM>(k / P::ROW, k % P::ROW) : k);
        cp_async16(to, page + which * PAGE_ROWS + warp * FEW_CELLS * P::ROW + k);
    }
    if constexpr (TYPE == KER_KV_Q8_0) {
        int which = lane / P::SCALE, k = lane % P::SCALE;      /* at most 16 chunks of each */
        if (which < 2) cp_async16(raw + 2 * FEW_CELLS * P::ROW + lane, page + 2 * PAGE_ROWS + which * PAGE_SCALE + warp * P::SCALE + k);
    }
}

/* The same of a page at the end: cells of this batch come from `fresh`, unseen ones are zero; neither is read from the
 * page, where somebody may be writing them. */
template <int TYPE, int DIM> static __device__ __forceinline__ void few_ask_new(const few_at &f, const uint4 *page, int cell0, uint4 *raw, const uint4 *fresh,
                                                                                 const int *fresh_cell, int n_fresh)
{
    typedef part<TYPE, DIM, FEW_CELLS> P;
    typedef part<TYPE, DIM, CU_FEW> Fresh;
    constexpr int PAGE_ROWS = KER_PAGE * P::ROW, PAGE_SCALE = part<TYPE, DIM, KER_PAGE>::SCALE;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll 1
    for (int i = lane; i < 2 * FEW_CELLS * P::ROW; i += 32) {
        int which = i / (FEW_CELLS * P::ROW), k = i % (FEW_CELLS * P::ROW), row = k / P::ROW, c = k % P::ROW, from = -1;
        uint4 *to = raw + which * FEW_CELLS * P::ROW + (TYPE == KER_KV_F16 ? at<DIM>(row, c) : k);
#pragma unroll 1
        for (int n = 0; n < n_fresh; n++) from = cell0 + row == fresh_cell[n] ? n : from;
        if (from >= 0) *to = fresh[(which * CU_FEW + from) * Fresh::ROW + c];
        else if (cell0 + row > f.last) *to = make_uint4(0, 0, 0, 0);
        else cp_async16(to, page + which * PAGE_ROWS + warp * FEW_CELLS * P::ROW + k);
    }
    if constexpr (TYPE == KER_KV_Q8_0) {
        constexpr int N = 4 * P::SCALE;
        const float *made = (const float *)(const void *)(fresh + 2 * CU_FEW * Fresh::ROW), *s = (const float *)(const void *)(page + 2 * PAGE_ROWS);
        float *into = (float *)(void *)(raw + 2 * FEW_CELLS * P::ROW);
#pragma unroll 1
        for (int i = lane; i < 2 * N; i += 32) {
            int which = i / N, k = i % N, cell = cell0 + k / (DIM / 32), from = -1;
#pragma unroll 1
            for (int n = 0; n < n_fresh; n++) from = cell == fresh_cell[n] ? n : from;
            into[i] = from >= 0 ? made[(which * CU_FEW + from) * (DIM / 32) + k % (DIM / 32)]
                    : cell > f.last ? 0.0f : s[4 * (which * PAGE_SCALE + warp * P::SCALE) + k];
        }
    }
}

/* 16 cells against 16 queries. left: how many of the cells are seen; skip: of those not the first so many (PART). */
template <int DIM, bool PART> static __device__ __forceinline__ void few_cells(const uint32_t (&q)[2][DIM / 16][4], const uint4 *k, const uint4 *v, int left, int skip, bool both, sums<DIM> &a)
{
    int lane = threadIdx.x & 31;
    float s[2][2][4] = {};
#pragma unroll
    for (int d = 0; d < DIM / 16; d++) {
        uint32_t b[4];
        ldmatrix_x4(b, &k[at<DIM>((lane >> 4) * 8 + (lane & 7), 2 * d + (lane >> 3 & 1))]);
#pragma unroll
        for (int part = 0; part < 2; part++) {
            mma_16816(s[part][0], q[part][d], b);
            mma_16816(s[part][1], q[part][d], b + 2);
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float x = s[0][i / 4][i % 4] + s[1][i / 4][i % 4];
        int c = i / 4 * 8 + (lane & 3) * 2 + (i & 1);
        s[0][i / 4][i % 4] = c < left && (!PART || c >= skip) ? x : -INFINITY;
    }
    uint32_t p[2][4] = {};                         /* as the next product's left side, in two halves */
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (h && !both) break;
        float x[4] = { s[0][0][2 * h], s[0][0][2 * h + 1], s[0][1][2 * h], s[0][1][2 * h + 1] };
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
#pragma unroll
    for (int d = 0; d < DIM / 16; d++) {
        uint32_t b[4];
        ldmatrix_x4_trans(b, &v[at<DIM>((lane >> 3 & 1) * 8 + (lane & 7), 2 * d + (lane >> 4))]);
#pragma unroll
        for (int part = 0; part < 2; part++) {
            mma_16816(a.o[2 * d], p[part], b);
            mma_16816(a.o[2 * d + 1], p[part], b + 2);
        }
    }
}

template <int TYPE, int DIM> struct few_room {     /* bytes of one warp's buffers */
    static constexpr int RAW = part<TYPE, DIM, FEW_CELLS>::RAW, WORK = TYPE == KER_KV_F16 ? 0 : part<TYPE, DIM, FEW_CELLS>::HALVES;
    static constexpr int BYTES = (2 * RAW + WORK) * 16;
};

template <int TYPE, int DIM, bool PART> static __global__ void __launch_bounds__(ATT_THREADS, 2) att_few(att_job j, int segs, float *part_mem, int *count)
{
    typedef few_room<TYPE, DIM> R;
    DYN_SHARED(uint4, room);
    SHARED(uint4, qs, 2 * FEW_HEADS * (DIM / 8));
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
    uint4 *raw = room + warp * (R::BYTES / 16), *work = raw + 2 * R::RAW;
    bool early = p0 * KER_PAGE + KER_PAGE - 1 < f.first;
    if (early) few_ask_old<TYPE, DIM>((const uint4 *)(const void *)cells(j, f.seq, p0, f.kv), raw);
    cp_commit();
    const cu_cfg *g = &j.rows.cfg[j.rows.slot[row]];
    f.eps = g->eps;
    f.scale = g->attn_scale * LOG2E;
    f.off = g->head_off ? g->head_off + (int64_t)j.layer * j.n_head : NULL;
    /* The cells of this segment that this batch writes: a lane a row. */
    int cell = lane < j.n ? j.rows.cell[lane] : -1;
    bool here = cell >= p0 * KER_PAGE && cell < p1 * KER_PAGE && cell <= f.last && j.rows.seq_at[lane] == f.seq;
    unsigned all = __ballot_sync(WARP_ALL, here);
    int n_fresh = __popc(all);
    if (here && !warp) fresh_cell[__popc(all & ((1u << lane) - 1))] = cell;
    turn<DIM> way;
    lanes<DIM> mine[FEW_HEADS / ATT_WARPS];
    norm_load<DIM>(&way, j.q_norm);
    gpu_wait_before();
    turn_load<DIM>(j, &way, row);
#pragma unroll
    for (int i = 0; i < FEW_HEADS / ATT_WARPS; i++)
        if (warp + i * ATT_WARPS < group) lanes_load<DIM>(&mine[i], j.q + ((int64_t)row * j.n_head + f.kv * group + warp + i * ATT_WARPS) * DIM);
    int k = 0;
#pragma unroll 1
    for (unsigned m = all; m; m &= m - 1, k++)
        if (k % ATT_WARPS == ATT_WARPS - 1 - warp) few_fresh<TYPE, DIM>(j, f, __ffs((int)m) - 1, k, fresh, scratch + 2 * warp * DIM);
#pragma unroll
    for (int i = 0; i < FEW_HEADS / ATT_WARPS; i++) {
        if (warp + i * ATT_WARPS < group) lanes_in<DIM>(j, &mine[i], way, j.q_norm != NULL, f.eps, f.scale, scratch + 2 * warp * DIM);
        else mine[i] = {};
        few_query<DIM>(mine[i], warp + i * ATT_WARPS, qs);
    }
    __syncthreads();
    uint32_t q[2][DIM / 16][4];
#pragma unroll
    for (int i = 0; i < 2 * (DIM / 16); i++)
        ldmatrix_x4(q[i / (DIM / 16)][i % (DIM / 16)], &qs[i / (DIM / 16) * FEW_HEADS * (DIM / 8) + at<DIM>(lane & 15, 2 * (i % (DIM / 16)) + (lane >> 4))]);
    sums<DIM> a = {};
    a.top[0] = a.top[1] = -INFINITY;
#pragma unroll 1
    for (int p = early ? p0 : p0 - 1; p < p1; p++) {           /* asks for a page ahead */
        int i = (p - p0) & 1, cell0 = (p + 1) * KER_PAGE + warp * FEW_CELLS;
        if (p + 1 < p1) {
            const uint4 *page = (const uint4 *)(const void *)cells(j, f.seq, p + 1, f.kv);
            if (cell0 + FEW_CELLS <= f.first) few_ask_old<TYPE, DIM>(page, raw + (1 - i) * R::RAW);
            else few_ask_new<TYPE, DIM>(f, page, cell0, raw + (1 - i) * R::RAW, fresh, fresh_cell, n_fresh);
        }
        cp_commit();
        if (p < p0) continue;
        cp_wait<1>();
        __syncwarp();
        const uint4 *now = raw + i * R::RAW;
        if constexpr (TYPE == KER_KV_Q8_0) {
            unpack_q8<DIM, FEW_CELLS>(now, work, lane, 32);
            __syncwarp();
            now = work;
        }
        int left = f.last + 1 - (cell0 - KER_PAGE), skip = PART ? least - (cell0 - KER_PAGE) : 0;
        if (left > 0 && (!PART || skip < FEW_CELLS)) few_cells<DIM, PART>(q, now, now + FEW_CELLS * (DIM / 8), left, skip, group > 8, a);
        __syncwarp();
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

template <int TYPE, int DIM> static __global__ void __launch_bounds__(ATT_THREADS) att_prepare(att_job j)
{
    SHARED(float, scratch, 2 * ATT_WARPS * DIM);
    prepare<TYPE, DIM>(j, scratch, DIM);
}

template <int TYPE, int DIM> static __device__ __forceinline__ void tile_ask(const uint4 *page, uint4 *raw, int threads)
{
    typedef part<TYPE, DIM, KER_PAGE> P;
    if constexpr (TYPE == KER_KV_F16) {
#pragma unroll 4
        for (int i = threadIdx.x; i < P::RAW; i += threads) {
            int row = i / P::ROW, c = i % P::ROW;
            cp_async16(raw + row / KER_PAGE * (KER_PAGE * P::ROW) + at<DIM>(row % KER_PAGE, c), page + i);
        }
    } else {
        for (int i = threadIdx.x; i < P::RAW; i += threads) cp_async16(raw + i, page + i);
    }
    cp_commit();
}

/* A page of 64 cells against a warp's 16 queries, of which row r sees cells below seen[r] of this page, with PART from skip[r] on. */
template <int DIM, bool PART> static __device__ __forceinline__ void tile_page(const uint32_t (&q)[DIM / 16][4], const uint4 *k, const uint4 *v, const int (&seen)[2], const int (&skip)[2], bool whole,
                                                                    sums<DIM> &a)
{
    int lane = threadIdx.x & 31;
    float s[8][4] = {};
#pragma unroll
    for (int d = 0; d < DIM / 16; d++)
#pragma unroll
        for (int n = 0; n < 4; n++) {
            uint32_t b[4];
            ldmatrix_x4(b, &k[at<DIM>(n * 16 + (lane >> 4) * 8 + (lane & 7), 2 * d + (lane >> 3 & 1))]);
            mma_16816(s[2 * n], q[d], b);
            mma_16816(s[2 * n + 1], q[d], b + 2);
        }
    if (!whole) {
#pragma unroll
        for (int i = 0; i < 32; i++) {
            int c = i / 4 * 8 + (lane & 3) * 2 + (i & 1);
            s[i / 4][i % 4] = c < seen[i % 4 / 2] && (!PART || c >= skip[i % 4 / 2]) ? s[i / 4][i % 4] : -INFINITY;
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = -INFINITY;
#pragma unroll
        for (int n = 0; n < 8; n++) most = fmaxf(most, fmaxf(s[n][2 * h], s[n][2 * h + 1]));
        float f = shrink_to(quad_max(most), &a.top[h]), base = a.top[h] == -INFINITY ? 0.0f : a.top[h], sum = 0;
#pragma unroll
        for (int n = 0; n < 8; n++) {
            s[n][2 * h] = ex2(s[n][2 * h] - base);
            s[n][2 * h + 1] = ex2(s[n][2 * h + 1] - base);
            sum += s[n][2 * h] + s[n][2 * h + 1];
        }
        a.sum[h] = a.sum[h] * f + sum;
#pragma unroll
        for (int d = 0; d < DIM / 8; d++) a.o[d][2 * h] *= f, a.o[d][2 * h + 1] *= f;
    }
#pragma unroll
    for (int n = 0; n < 4; n++) {
        uint32_t p[4] = { halves(s[2 * n][0], s[2 * n][1]), halves(s[2 * n][2], s[2 * n][3]), halves(s[2 * n + 1][0], s[2 * n + 1][1]), halves(s[2 * n + 1][2], s[2 * n + 1][3]) };
#pragma unroll
        for (int d = 0; d < DIM / 16; d++) {
            uint32_t b[4];
            ldmatrix_x4_trans(b, &v[at<DIM>(n * 16 + (lane >> 3 & 1) * 8 + (lane & 7), 2 * d + (lane >> 4))]);
            mma_16816(a.o[2 * d], p, b);
            mma_16816(a.o[2 * d + 1], p, b + 2);
        }
    }
}

template <int TYPE, int DIM> struct tile_room {      /* chunks; queries lie where pages come later */
    static constexpr int RAW = part<TYPE, DIM, KER_PAGE>::RAW, HALVES = part<TYPE, DIM, KER_PAGE>::HALVES;
    static constexpr int BYTES = (TYPE == KER_KV_F16 ? 2 * HALVES : HALVES + RAW) * 16;
};

/* The pages of one sequence from p0 on against those rows of the tile that belong to it: rows below `end` of the batch. */
template <int TYPE, int DIM, int WARPS, bool PART> static __device__ __forceinline__ void tile_run(const att_job &j, int kv, int seq, int p0, int last, const int (&cell)[2], uint4 *room,
                                                                                        const uint32_t (&q)[DIM / 16][4], sums<DIM> &a)
{
    typedef tile_room<TYPE, DIM> R;
    constexpr int THREADS = WARPS * 32;
    int most = max(cell[0], cell[1]), least = min(cell[0], cell[1]);
#pragma unroll
    for (int o = 16; o; o >>= 1) most = max(most, __shfl_xor_sync(WARP_ALL, most, o)), least = min(least, __shfl_xor_sync(WARP_ALL, least, o));
    uint4 *raw = TYPE == KER_KV_F16 ? room : room + R::HALVES;
    if (PART && TYPE == KER_KV_F16) raw += (p0 & 1) * R::HALVES;
    tile_ask<TYPE, DIM>((const uint4 *)(const void *)cells(j, seq, p0, kv), raw, THREADS);
    for (int p = p0; p <= last / KER_PAGE; p++) {
        uint4 *now = room;
        bool more = p < last / KER_PAGE;
        if constexpr (TYPE == KER_KV_F16) {
            now = room + (p & 1) * R::HALVES;
            if (more) tile_ask<TYPE, DIM>((const uint4 *)(const void *)cells(j, seq, p + 1, kv), room + (~p & 1) * R::HALVES, THREADS);
            if (more) cp_wait<1>();
            else cp_wait<0>();
            __syncthreads();
        } else {
            cp_wait<0>();
            __syncthreads();
            unpack_q8<DIM, KER_PAGE>(raw, room, threadIdx.x, THREADS);
            __syncthreads();
            if (more) tile_ask<TYPE, DIM>((const uint4 *)(const void *)cells(j, seq, p + 1, kv), raw, THREADS);
        }
        int seen[2] = { cell[0] + 1 - p * KER_PAGE, cell[1] + 1 - p * KER_PAGE };
        if constexpr (PART) {
            int skip[2] = { first_seen(j, cell[0]) - p * KER_PAGE, first_seen(j, cell[1]) - p * KER_PAGE };
            bool whole = least >= p * KER_PAGE + KER_PAGE - 1 && first_seen(j, most) <= p * KER_PAGE, none = first_seen(j, least) >= p * KER_PAGE + KER_PAGE;
            if (most >= p * KER_PAGE && !none) tile_page<DIM, true>(q, now, now + KER_PAGE * (DIM / 8), seen, skip, whole, a);
        } else if (most >= p * KER_PAGE) tile_page<DIM, false>(q, now, now + KER_PAGE * (DIM / 8), seen, seen, least >= p * KER_PAGE + KER_PAGE - 1, a);
        __syncthreads();
    }
}

template <int TYPE, int DIM, int WARPS, bool PART> static __global__ void __launch_bounds__(WARPS * 32, WARPS == 8 ? 1 : 2) att_tiles(att_job j, int per)
{
    constexpr int QUERIES = WARPS * 16, THREADS = WARPS * 32;
    DYN_SHARED(uint4, room);
    int t = threadIdx.x, lane = t & 31, warp = t >> 5, kv = blockIdx.x, group = j.n_head / j.n_kv;
    int r0 = (int)(gridDim.y - 1 - blockIdx.y) * per, r1 = min(r0 + per, j.n);  /* the longest first */
    for (int i = t; i < QUERIES * (DIM / 8); i += THREADS) {
        int row = r0 + i / (DIM / 8) / group, head = kv * group + i / (DIM / 8) % group;
        uint4 *to = room + at<DIM>(i / (DIM / 8), i % (DIM / 8));
        if (row < r1) cp_async16(to, (const uint4 *)(const void *)(j.q + ((int64_t)row * j.n_head + head) * DIM) + i % (DIM / 8));
        else *to = make_uint4(0, 0, 0, 0);
    }
    cp_commit();
    cp_wait<0>();
    __syncthreads();
    uint32_t q[DIM / 16][4];
#pragma unroll
    for (int d = 0; d < DIM / 16; d++) ldmatrix_x4(q[d], &room[at<DIM>(warp * 16 + (lane & 15), 2 * d + (lane >> 4))]);
    __syncthreads();
    sums<DIM> a = {};
    a.top[0] = a.top[1] = -INFINITY;
    int mine[2] = { r0 + (warp * 16 + lane / 4) / group, r0 + (warp * 16 + lane / 4 + 8) / group };
    for (int from = r0, end; from < r1; from = end) {
        int seq = j.rows.seq_at[from], cell[2];
        for (end = from + 1; end < r1 && j.rows.seq_at[end] == seq; end++) {}
        for (int h = 0; h < 2; h++) cell[h] = mine[h] >= from && mine[h] < end ? j.rows.cell[mine[h]] : -1;
        tile_run<TYPE, DIM, WARPS, PART>(j, kv, seq, PART ? first_seen(j, j.rows.cell[from]) / KER_PAGE : 0, j.rows.cell[end - 1], cell, room, q, a);
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float sum = quad_sum(a.sum[h]);
        int row = mine[h], head = kv * group + (warp * 16 + lane / 4 + 8 * h) % group;
        if (row >= r1) continue;
        bool off = silent(j, row, head);
        float *o = j.o + ((int64_t)row * j.n_head + head) * DIM + (lane & 3) * 2, inv = 1.0f / sum;
        if (PART && j.sinks) {
            float sink = j.sinks[head] * LOG2E, most = fmaxf(a.top[h], sink), shrink = ex2(a.top[h] - most);
            inv = shrink / (sum * shrink + ex2(sink - most));
        }
#pragma unroll
        for (int d = 0; d < DIM / 8; d++)
            *(float2 *)(void *)(o + d * 8) = off ? make_float2(0, 0) : make_float2(a.o[d][2 * h] * inv, a.o[d][2 * h + 1] * inv);
    }
}

/* ---- which of them ---- */

template <int TYPE, int DIM, int WARPS, bool PART> static void tiles(ker_ctx *c, const att_job &j)
{
    int group = j.n_head / j.n_kv, per = WARPS * 16 / group;
    auto att_tiles_of = att_tiles<TYPE, DIM, WARPS, PART>;
    int bytes = tile_room<TYPE, DIM>::BYTES;
    cudaFuncSetAttribute(att_tiles_of, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    LAUNCH(att_tiles_of, dim3((unsigned)j.n_kv, (unsigned)((j.n + per - 1) / per)), dim3(WARPS * 32), (size_t)bytes, c->st, j, per);
}

template <int TYPE, int DIM, bool PART> static void attend_so(ker_ctx *c, const att_job &j)
{
    int group = j.n_head / j.n_kv, n = j.n, sms = c->dev->sms;
    if (n <= CU_FEW && group <= FEW_HEADS) {
        auto att_few_of = att_few<TYPE, DIM, PART>;
        int bytes = few_room<TYPE, DIM>::BYTES * ATT_WARPS;
        cudaFuncSetAttribute(att_few_of, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        LAUNCH_EARLY(c->dev->early, att_few_of, dim3((unsigned)c->shape.segs, (unsigned)j.n_kv, (unsigned)n), dim3(ATT_THREADS), (size_t)bytes, c->st, j, c->shape.segs, c->att.part, c->att.count);
        return;
    }
    auto att_prepare_of = att_prepare<TYPE, DIM>;
    LAUNCH(att_prepare_of, dim3((unsigned)((n * (j.n_head + j.n_kv) + ATT_WARPS - 1) / ATT_WARPS)), dim3(ATT_THREADS), 0, c->st, j);
    int wide = (n + 128 / group - 1) / (128 / group) * j.n_kv;
    if (wide * 8 >= sms * 7) tiles<TYPE, DIM, 8, PART>(c, j);
    else tiles<TYPE, DIM, 4, PART>(c, j);
}

template <int TYPE, int DIM> static void attend(ker_ctx *c, const att_job &j)
{
    if (j.window > 0 || j.sinks) attend_so<TYPE, DIM, true>(c, j);
    else attend_so<TYPE, DIM, false>(c, j);
}

static bool fits(const ker_model *m, enum ker_kv_type t) { return (m->head_dim == 64 || m->head_dim == 128) && (t == KER_KV_F16 || t == KER_KV_Q8_0) && m->n_head / m->n_kv_head <= 64; }

bool att_mma(ker_ctx *c, const att_job *j)
{
    const ker_model *m = &c->dev->m;
    enum ker_kv_type t = c->kv->type;
    if (!fits(m, t)) return false;
    if (!j) return true;
    if (t == KER_KV_F16 && m->head_dim == 128) attend<KER_KV_F16, 128>(c, *j);
    else if (t == KER_KV_F16) attend<KER_KV_F16, 64>(c, *j);
    else if (m->head_dim == 128) attend<KER_KV_Q8_0, 128>(c, *j);
    else attend<KER_KV_Q8_0, 64>(c, *j);
    return true;
}

/* Blocks for about one a multiprocessor, however long the row is: a shape's launches do not change while a text grows. */
int cu_attend_segs(const ker_ctx *c, int n_rows, int longest)
{
    const ker_model *m = &c->dev->m;
    int segs = 1;
    (void)longest;
    if (n_rows > CU_FEW || (!fits(m, KER_KV_F16) && !att_wide_fits(c->dev))) return 1;
    while (segs * 2 * n_rows * m->n_kv_head <= c->dev->sms && segs * 2 * (m->n_head / m->n_kv_head) <= FEW_WEIGHTS) segs *= 2;
    return segs;
}

int64_t cu_attend_floats(const ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int64_t most = 1;
    for (int n = 1; n <= CU_FEW; n++) {
        int64_t segs = cu_attend_segs(c, n, 0), need = segs > 1 ? segs * n * m->n_head * (m->head_dim + 2) : 1;
        most = need > most ? need : most;
    }
    return most;
}
