/* The attention piece of the CUDA backend, through the emulator, against plain loops in double precision: random
 * models and page tables, several sequences whose rows come in several batches, every type of cell, head masks, numbers
 * that are not finite. What lies in the cells is read back and compared with what had to be written; the sums are then
 * compared with the definition over the cells as they lie. */
#include "kernels/cuda/cuda.h"
#include "tests/test.h"

#include <vector>

typedef std::vector<float> floats;

static uint64_t seed;
static uint32_t rnd(uint32_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % n;
}
static float rndf() { return (float)rnd(1 << 20) / (float)(1 << 19) - 1; }

/* ---- device memory ---- */
static cudaStream_t st;
static std::vector<void *> held;
static void *dev_room(size_t n)
{
    void *p = nullptr;
    if (cudaMalloc(&p, n) != cudaSuccess) exit(1);
    cudaMemsetAsync(p, 0, n, st);
    cudaStreamSynchronize(st);
    held.push_back(p);
    return p;
}
template <class T> static T *dev_of(const std::vector<T> &v)
{
    T *p = (T *)dev_room(v.size() * sizeof(T));
    cudaMemcpy(p, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice);
    return p;
}
template <class T> static std::vector<T> from_dev(const T *p, size_t n)
{
    std::vector<T> v(n);
    cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost);
    return v;
}

/* ---- a model, its cells, and batches ---- */
typedef struct spec {
    const char *name;
    int n_head, n_kv, dim, rope_dim;
    bool half, norm;
} spec;
typedef struct row { int seq, cell, slot; } row;
enum { N_LAYER = 2, LAYER = 1, N_SLOT = 3 };

struct world {
    spec s;
    ker_dev dev;
    ker_ctx c;
    ker_kv kv;
    cu_layer layer[N_LAYER + 1];
    ker_layer kind[N_LAYER];
    floats sinks;                                  /* [n_head], empty: none */
    std::vector<std::vector<int>> page;            /* [seq] */
    std::vector<int> seq_at;
    floats qn, kn;
    float eps[N_SLOT], scale[N_SLOT];
    std::vector<uint8_t> off[N_SLOT];              /* [N_LAYER][n_head], empty: none */
    floats q, k, v, rope;                          /* of the batch at hand */
};

static int blocks(int dim) { return (dim + 31) / 32; }

static void world_new(world *w, const spec &s, enum ker_kv_type t, const std::vector<int> &pages, int sms = 8, int window = 0, bool sinks = false)
{
    w->s = s;
    memset((void *)&w->dev, 0, sizeof w->dev);
    memset((void *)&w->c, 0, sizeof w->c);
    ker_model m = {};
    m.n_layer = N_LAYER;
    memset((void *)w->kind, 0, sizeof w->kind);
    m.layer = w->kind;
    m.n_head = s.n_head;
    m.n_kv_head = s.n_kv;
    m.head_dim = s.dim;
    m.rope_dim = s.rope_dim;
    m.rope_half = s.half;
    memset(w->kind, 0, sizeof w->kind);
    w->kind[LAYER].window = window;
    w->kind[LAYER].sinks = sinks;
    m.layer = w->kind;
    w->dev.m = m;
    w->dev.major = 8;
    w->dev.sms = sms;
    w->dev.smem_most = 99 << 10;
    w->dev.layer = w->layer;
    memset((void *)w->layer, 0, sizeof w->layer);
    for (int i = 0; i < s.dim; i++) w->qn.push_back(1 + 0.5f * rndf()), w->kn.push_back(1 + 0.5f * rndf());
    if (s.norm) w->layer[LAYER + 1].vec[KER_W_Q_NORM] = dev_of(w->qn), w->layer[LAYER + 1].vec[KER_W_K_NORM] = dev_of(w->kn);
    for (int i = 0; sinks && i < s.n_head; i++) w->sinks.push_back(4 + 2 * rndf());
    if (sinks) w->layer[LAYER + 1].vec[KER_W_SINKS] = dev_of(w->sinks);
    std::vector<cu_cfg> cfg(CU_CFGS);
    for (int i = 0; i < N_SLOT; i++) {
        cu_cfg g = {};
        g.eps = w->eps[i] = i ? 1e-2f * (float)i : 1e-6f;
        g.attn_scale = w->scale[i] = (i ? 2.0f : 1.0f) / sqrtf((float)s.dim);
        if (i == 2) {
            w->off[i].assign((size_t)(N_LAYER * s.n_head), 0);
            for (auto &x : w->off[i]) x = (uint8_t)rnd(2);
            g.head_off = dev_of(w->off[i]);
        }
        cfg[(size_t)i] = g;
    }
    int total = 0, at = 0;
    for (int n : pages) total += n;
    total += 2;                                    /* pages that belong to nobody */
    std::vector<int> order, table;
    for (int i = 0; i < total; i++) order.push_back(i);
    for (int i = total - 1; i > 0; i--) std::swap(order[(size_t)i], order[rnd((uint32_t)i + 1)]);
    for (int n : pages) {
        w->seq_at.push_back((int)table.size());
        w->page.push_back({});
        for (int i = 0; i < n; i++) w->page.back().push_back(order[(size_t)at]), table.push_back(order[(size_t)at++]);
    }
    int64_t cells = 2 * (int64_t)s.dim * KER_PAGE;
    int64_t n_block = 2 * (int64_t)blocks(s.dim) * KER_PAGE;
    int64_t bytes = t == KER_KV_F32 ? cells * 4 : t == KER_KV_F16 ? cells * 2 : t == KER_KV_Q8_0 ? cells + n_block * 4 : n_block * (16 + 2);
    w->kv = {};
    w->kv.dev = &w->dev;
    w->kv.type = t;
    w->kv.n_page = total;
    w->kv.head_bytes = (bytes + 63) & ~INT64_C(63);
    w->kv.page_bytes = w->kv.head_bytes * s.n_kv * N_LAYER;
    w->kv.data = (uint8_t *)dev_room((size_t)(w->kv.page_bytes * total));
    w->c.dev = &w->dev;
    w->c.att.part = (float *)dev_room((size_t)cu_attend_floats(&w->c) * 4);
    w->c.att.count = (int *)dev_room(80 * 8 * 4);
    w->c.st = st;
    w->c.kv = &w->kv;
    w->c.max_rows = 80;
    w->c.rows.page = dev_of(table);
    w->c.rows.cfg = dev_of(cfg);
}

static void world_free(world *w)
{
    for (void *p : held) cudaFree(p);
    held.clear();
    *w = world();
}

/* ---- the definition ---- */
static std::vector<double> head_in(const world *w, const float *x, const floats &norm, float eps, const float *cs, double scale)
{
    const spec &s = w->s;
    std::vector<double> y(x, x + s.dim);
    if (s.norm) {
        double sum = 0;
        for (double v : y) sum += v * v;
        for (int i = 0; i < s.dim; i++) y[(size_t)i] *= norm[(size_t)i] / sqrt(sum / s.dim + eps);
    }
    int pairs = s.rope_dim / 2;
    for (int i = 0; i < pairs; i++) {
        int a = s.half ? i : 2 * i, b = s.half ? i + pairs : 2 * i + 1;
        double x0 = y[(size_t)a], x1 = y[(size_t)b];
        y[(size_t)a] = x0 * cs[i] - x1 * cs[pairs + i];
        y[(size_t)b] = x1 * cs[i] + x0 * cs[pairs + i];
    }
    for (auto &v : y) v *= scale;
    return y;
}

static size_t cells_at(const world *w, int seq, int cell, int head)
{
    return (size_t)(w->page[(size_t)seq][(size_t)(cell / KER_PAGE)] * w->kv.page_bytes + ((int64_t)LAYER * w->s.n_kv + head) * w->kv.head_bytes);
}

static bool blocky(const world *w) { return w->kv.type == KER_KV_Q8_0 || w->kv.type == KER_KV_Q4_0; }
/* Bytes of a cell's K or V, and of a scale. */
static int row_bytes(const world *w) { return w->kv.type == KER_KV_F32 ? w->s.dim * 4 : w->kv.type == KER_KV_F16 ? w->s.dim * 2 : w->kv.type == KER_KV_Q8_0 ? w->s.dim : blocks(w->s.dim) * 16; }
static int scale_bytes(const world *w) { return w->kv.type == KER_KV_Q4_0 ? 2 : 4; }
static size_t scale_at(const world *w, int which, int cell) { return (size_t)(2 * KER_PAGE * row_bytes(w) + (which * KER_PAGE + cell % KER_PAGE) * blocks(w->s.dim) * scale_bytes(w)); }

static double cell_get(const world *w, const std::vector<uint8_t> &mem, int seq, int cell, int head, int which, int d)
{
    const uint8_t *p = &mem[cells_at(w, seq, cell, head)];
    size_t at = (size_t)((which * KER_PAGE + cell % KER_PAGE) * w->s.dim + d);
    if (w->kv.type == KER_KV_F32) return ((const float *)(const void *)p)[at];
    if (w->kv.type == KER_KV_F16) return ker_f16_to_f32(((const uint16_t *)(const void *)p)[at]);
    if (w->kv.type == KER_KV_Q4_0) {
        uint16_t bits;
        memcpy(&bits, p + scale_at(w, which, cell) + d / 32 * 2, 2);
        int two = p[(which * KER_PAGE + cell % KER_PAGE) * row_bytes(w) + d / 32 * 16 + d % 16];
        return (double)ker_f16_to_f32(bits) * ((d % 32 < 16 ? two & 15 : two >> 4) - 8);
    }
    float scale;
    memcpy(&scale, p + scale_at(w, which, cell) + d / 32 * 4, 4);
    return (double)scale * ((const int8_t *)p)[at];
}

/* What had to be written: within a rounding of the type. */
static void check_cell(const world *w, const std::vector<uint8_t> &mem, const row &r, int head, int which, const std::vector<double> &want)
{
    for (int d = 0; d < w->s.dim; d++) {
        double got = cell_get(w, mem, r.seq, r.cell, head, which, d), x = want[(size_t)d], top = 0;
        if (blocky(w))
            for (int i = d / 32 * 32; i < w->s.dim && i < d / 32 * 32 + 32; i++) top = fmax(top, fabs(want[(size_t)i]));
        double near = w->kv.type == KER_KV_F32 ? 1e-5 * (1 + fabs(x)) : w->kv.type == KER_KV_F16 ? fabs(x) * 0x1p-10 + 1e-6 : w->kv.type == KER_KV_Q8_0 ? top / 127 * 0.51 + 1e-6 : top / 8 * 1.01 + 1e-6;
        /* of four bits: half a step, but a whole one where the largest number's opposite would be 8 */
        CHECK_MSG(fabs(got - x) <= near, "%s: %c of cell %d, head %d, number %d: %g, not %g", w->s.name, which ? 'V' : 'K', r.cell, head, d, got, x);
        if (!(fabs(got - x) <= near)) return;
    }
}

static void wipe_cell(const world *w, std::vector<uint8_t> &mem, const row &r)
{
    size_t one = (size_t)row_bytes(w);
    for (int h = 0; h < w->s.n_kv; h++)
        for (int which = 0; which < 2; which++) {
            size_t at = cells_at(w, r.seq, r.cell, h);
            memset(&mem[at + (size_t)(which * KER_PAGE + r.cell % KER_PAGE) * one], 0, one);
            if (blocky(w)) memset(&mem[at + scale_at(w, which, r.cell)], 0, (size_t)(blocks(w->s.dim) * scale_bytes(w)));
        }
}

/* Sets the batch up and runs it; `spoil` may change q, k, v before. */
static floats run(world *w, const std::vector<row> &rows, void (*spoil)(world *, const std::vector<row> &))
{
    const spec &s = w->s;
    int n = (int)rows.size();
    size_t qd = (size_t)(s.n_head * s.dim), kd = (size_t)(s.n_kv * s.dim);
    w->q.assign((size_t)n * qd, 0);
    w->k.assign((size_t)n * kd, 0);
    w->v.assign((size_t)n * kd, 0);
    w->rope.assign((size_t)(n * s.rope_dim), 0);
    for (auto &x : w->q) x = 2 * rndf();
    for (auto &x : w->k) x = 2 * rndf();
    for (auto &x : w->v) x = rndf();
    std::vector<int> cell, slot, at;
    int last = 0;
    for (int r = 0; r < n; r++) {
        cell.push_back(rows[(size_t)r].cell);
        slot.push_back(rows[(size_t)r].slot);
        at.push_back(w->seq_at[(size_t)rows[(size_t)r].seq]);
        last = cell.back() > last ? cell.back() : last;
        for (int i = 0; i < s.rope_dim / 2; i++) {
            float a = (float)cell.back() * powf(0.01f, (float)i / (float)s.rope_dim);
            w->rope[(size_t)(r * s.rope_dim + i)] = cosf(a);
            w->rope[(size_t)(r * s.rope_dim + s.rope_dim / 2 + i)] = sinf(a);
        }
    }
    if (spoil) spoil(w, rows);
    w->c.att.q = dev_of(w->q);
    w->c.att.k = dev_of(w->k);
    w->c.att.v = dev_of(w->v);
    w->c.att.rope = dev_of(w->rope);
    floats none((size_t)n * qd, NAN);
    w->c.att.o = dev_of(none);
    w->c.rows.cell = dev_of(cell);
    w->c.rows.slot = dev_of(slot);
    w->c.rows.seq_at = dev_of(at);
    w->c.shape.n = n;
    w->c.shape.segs = cu_attend_segs(&w->c, n, last + 1);
    cu_attend(&w->c, LAYER);
    cudaStreamSynchronize(st);
    CHECK_INT(cudaGetLastError(), cudaSuccess);
    return from_dev(w->c.att.o, (size_t)n * qd);
}

static std::vector<uint8_t> cells_now(const world *w) { return from_dev(w->kv.data, (size_t)(w->kv.page_bytes * w->kv.n_page)); }

/* Products of halves, where the tensor cores are: queries, weights and numbers of Q8_0 are rounded. */
static double nearness(const world *w, size_t n)
{
    bool tensor = (w->s.dim == 64 || w->s.dim == 128) && (w->kv.type == KER_KV_F16 || w->kv.type == KER_KV_Q8_0);
    return !tensor || (w->kv.type == KER_KV_F16 && n <= CU_FEW) ? 1e-5 : 2e-3;
}

static void check_out(const world *w, const std::vector<uint8_t> &mem, const floats &o, const std::vector<row> &rows)
{
    const spec &s = w->s;
    int group = s.n_head / s.n_kv;
    double worst = 0;
    for (size_t r = 0; r < rows.size(); r++)
        for (int h = 0; h < s.n_head; h++) {
            int slot = rows[r].slot, n = rows[r].cell + 1, window = w->kind[LAYER].window, from = window && window < n ? n - window : 0;
            size_t at = (r * (size_t)s.n_head + (size_t)h) * (size_t)s.dim;
            auto q = head_in(w, &w->q[at], w->qn, w->eps[slot], &w->rope[r * (size_t)s.rope_dim], w->scale[slot]);
            std::vector<double> p, y((size_t)s.dim, 0);
            double top = w->sinks.empty() ? -INFINITY : w->sinks[(size_t)h], sum = 0;
            for (int c = from; c < n; c++) {
                double x = 0;
                for (int d = 0; d < s.dim; d++) x += q[(size_t)d] * cell_get(w, mem, rows[r].seq, c, h / group, 0, d);
                p.push_back(x);
                top = x > top ? x : top;
            }
            for (auto &x : p) sum += x = exp(x - top);
            if (!w->sinks.empty()) sum += exp(w->sinks[(size_t)h] - top);
            for (int c = from; c < n; c++)
                for (int d = 0; d < s.dim; d++) y[(size_t)d] += p[(size_t)(c - from)] / sum * cell_get(w, mem, rows[r].seq, c, h / group, 1, d);
            bool silent = !w->off[slot].empty() && w->off[slot][(size_t)(LAYER * s.n_head + h)];
            for (int d = 0; d < s.dim; d++) {
                double e = fabs((silent ? 0 : y[(size_t)d]) - o[at + (size_t)d]);
                worst = e > worst || e != e ? e : worst;
            }
        }
    CHECK_MSG(worst <= nearness(w, rows.size()), "%s: furthest %g of %zu rows, the last at cell %d", s.name, worst, rows.size(), rows.back().cell);
}

static void batch(world *w, const std::vector<row> &rows)
{
    std::vector<uint8_t> before = cells_now(w);
    floats o = run(w, rows, nullptr);
    std::vector<uint8_t> mem = cells_now(w);
    const spec &s = w->s;
    for (size_t r = 0; r < rows.size(); r++)
        for (int h = 0; h < s.n_kv; h++) {
            size_t at = (r * (size_t)s.n_kv + (size_t)h) * (size_t)s.dim;
            check_cell(w, mem, rows[r], h, 0, head_in(w, &w->k[at], w->kn, w->eps[rows[r].slot], &w->rope[r * (size_t)s.rope_dim], 1));
            check_cell(w, mem, rows[r], h, 1, std::vector<double>(&w->v[at], &w->v[at] + s.dim));
        }
    check_out(w, mem, o, rows);
    for (const row &r : rows) wipe_cell(w, before, r), wipe_cell(w, mem, r);
    CHECK_MSG(before == mem, "%s: other cells changed", s.name);
}

/* n rows of a sequence from a cell on, behind what is in `to`. */
static void add(std::vector<row> *to, int seq, int cell, int n, int slots)
{
    for (int i = 0; i < n; i++) to->push_back({ seq, cell + i, (int)rnd((uint32_t)slots) });
}

static const spec specs[] = {
    { "dim 24, no rotation behind 16", 4, 2, 24, 16, true, true },
    { "dim 40, adjacent pairs", 3, 1, 40, 40, false, false },
    { "dim 64, one head a group", 2, 2, 64, 64, true, true },
    { "dim 128, groups of 8", 8, 1, 128, 128, true, true },
    { "dim 128, groups of 3", 6, 2, 128, 64, false, false },
    { "dim 256", 2, 1, 256, 128, true, true },
    { "dim 33", 2, 1, 33, 16, true, false },
};

/* Three sequences: long, short, and of one cell; all together in batches of many rows and of few. */
static void conversation(const spec &s, enum ker_kv_type t, int window = 0, bool sinks = false)
{
    world w = {};
    world_new(&w, s, t, { 3, 2, 1 }, 8, window, sinks);
    std::vector<row> b;
    add(&b, 0, 0, 59, N_SLOT);                     /* not whole pages, sequences mixed */
    add(&b, 2, 0, 1, N_SLOT);
    add(&b, 1, 0, 20, N_SLOT);
    batch(&w, b);
    b.clear();
    add(&b, 0, 59, 1, N_SLOT);                     /* decode: one row */
    batch(&w, b);
    b.clear();
    add(&b, 1, 20, 46, N_SLOT);                    /* over a page's end */
    add(&b, 0, 60, 12, N_SLOT);
    batch(&w, b);
    b.clear();
    add(&b, 0, 72, 76, N_SLOT);                    /* into the third page */
    batch(&w, b);
    b.clear();
    add(&b, 0, 148, 3, N_SLOT);                    /* few rows that see each other */
    add(&b, 2, 1, 1, N_SLOT);
    add(&b, 1, 66, 4, N_SLOT);
    batch(&w, b);
    b.clear();
    add(&b, 1, 3, 2, 1);                           /* cells written again, those behind them not seen */
    batch(&w, b);
    world_free(&w);
}

static void every_width(enum ker_kv_type t)
{
    for (const spec &s : specs) conversation(s, t);
}
static void f16_cells() { every_width(KER_KV_F16); }
static void f32_cells() { every_width(KER_KV_F32); }
static void q8_0_cells() { every_width(KER_KV_Q8_0); }
static void q4_0_cells() { every_width(KER_KV_Q4_0); }

/* As wide as a file may have them (engine/run/shape.c): rows of them are more than a block has of shared memory unasked. */
static void widest_heads()
{
    for (int t = KER_KV_F16; t < KER_KV_TYPES; t++) {
        world w = {};
        world_new(&w, { "dim 4096", 1, 1, 4096, 64, true, true }, (enum ker_kv_type)t, { 1 });
        std::vector<row> b;
        add(&b, 0, 0, 3, N_SLOT);
        batch(&w, b);
        world_free(&w);
    }
}

/* Cells as if a long text had been read. */
static void fill(const world *w)
{
    std::vector<uint8_t> mem((size_t)(w->kv.page_bytes * w->kv.n_page));
    size_t cells = 2 * (size_t)(KER_PAGE * w->s.dim);
    for (size_t at = 0; at < mem.size(); at += (size_t)w->kv.head_bytes)
        for (size_t i = 0; i < cells; i++) {
            uint16_t h = ker_f32_to_f16(rndf());
            float scale = 0.01f + 0.005f * rndf();
            if (w->kv.type == KER_KV_F16) memcpy(&mem[at + 2 * i], &h, 2);
            else mem[at + i] = (uint8_t)rnd(256);
            if (w->kv.type == KER_KV_Q8_0 && i % 32 == 0) memcpy(&mem[at + cells + i / 8], &scale, 4);
        }
    cudaMemcpy(w->kv.data, mem.data(), mem.size(), cudaMemcpyHostToDevice);
}

/* Segments of a long row: fewer than a block can have on their way, more than a warp has lanes. */
static void long_row(const spec &s, enum ker_kv_type t, int sms, int pages, int n, int window = 0, bool sinks = false)
{
    world w = {};
    world_new(&w, s, t, { pages, 6 }, sms, window, sinks);
    fill(&w);
    std::vector<row> b;
    add(&b, 0, (pages - 1) * KER_PAGE + 5, n, N_SLOT);
    if (n > 1) add(&b, 1, 5 * KER_PAGE - 1, 2, N_SLOT);
    for (int again = 0; again < 2; again++) {
        floats o = run(&w, b, nullptr);            /* writes cells: before they are read */
        check_out(&w, cells_now(&w), o, b);
    }
    world_free(&w);
}
static void long_rows()
{
    static const spec one = { "dim 64, groups of 2", 2, 1, 64, 64, true, false };
    for (int t = KER_KV_F16; t <= KER_KV_Q8_0; t += KER_KV_Q8_0 - KER_KV_F16) {
        long_row(one, (enum ker_kv_type)t, 128, 71, 1);        /* 36 segments of 2 pages */
        long_row(one, (enum ker_kv_type)t, 128, 40, 3);        /* 20; rows of two texts together */
        long_row(specs[3], (enum ker_kv_type)t, 8, 11, 1);     /* 6 */
        long_row(specs[4], (enum ker_kv_type)t, 4, 13, 1);     /* 2 of 7 pages and 6 */
    }
}

/* Windows within a page, over a page's end and of pages; sinks beside, and both over many segments. */
static void windows_and_sinks()
{
    static const int window[] = { 1, 7, 64, 70, 128 };
    static const spec one = { "dim 64, groups of 2", 2, 1, 64, 64, true, false };
    int k = 0;
    for (int t = KER_KV_F16; t < KER_KV_TYPES; t++)
        for (const spec *s : { &specs[0], &specs[2], &specs[3], &specs[4] }) {
            if (t != KER_KV_F16 && t != KER_KV_Q8_0 && s != &specs[0] && s != &specs[2]) continue;
            conversation(*s, (enum ker_kv_type)t, window[k % 5], k % 3 == 1);
            k++;
        }
    conversation(specs[2], KER_KV_F16, 0, true);
    conversation(specs[4], KER_KV_Q8_0, 0, true);
    for (int t = KER_KV_F16; t <= KER_KV_Q8_0; t += KER_KV_Q8_0 - KER_KV_F16) {
        long_row(one, (enum ker_kv_type)t, 128, 71, 1, 0, true);
        long_row(one, (enum ker_kv_type)t, 128, 71, 1, 2000, true);    /* 32 pages of 71 */
        long_row(one, (enum ker_kv_type)t, 128, 40, 3, 641, false);
        long_row(specs[3], (enum ker_kv_type)t, 8, 11, 1, 128, true);  /* 3 pages: one segment */
    }
}

/* ---- numbers that are not finite stay with the rows that see them ---- */
static float poison;
static int poison_in;                              /* 0 q, 1 k, 2 v: the second row of the batch */
static void spoil_row(world *w, const std::vector<row> &)
{
    int n = poison_in ? w->s.n_kv * w->s.dim : w->s.n_head * w->s.dim;
    (poison_in == 0 ? w->q : poison_in == 1 ? w->k : w->v)[(size_t)(n + 1)] = poison;
}

static void not_finite(const spec &s, enum ker_kv_type t, int n_rows)
{
    for (poison_in = 0; poison_in < 3; poison_in++)
        for (float p : { NAN, INFINITY }) {
            if (t >= KER_KV_Q8_0 && poison_in && (p != p || poison_in == 1)) continue;   /* NaN is kept as zero, as on the CPU */
            poison = p;
            world w = {};
            world_new(&w, s, t, { 2, 1 });
            std::vector<row> b;
            add(&b, 0, 0, n_rows, 1);
            add(&b, 1, 0, 2, 1);
            floats o = run(&w, b, spoil_row);
            size_t qd = (size_t)(s.n_head * s.dim);
            for (size_t r = 0; r < b.size(); r++) {
                bool bad = false;
                for (size_t i = 0; i < qd; i++) bad = bad || !(fabsf(o[r * qd + i]) < INFINITY);
                bool want = poison_in ? b[r].seq == 0 && b[r].cell >= 1 : r == 1;
                if (poison_in == 1 && p == INFINITY && !s.norm) continue;    /* an infinite score may be of weight zero */
                CHECK_MSG(bad == want, "%s: %g in %c: row %zu of %zu is %s", s.name, p, "qkv"[poison_in], r, b.size(), bad ? "bad" : "good");
            }
            world_free(&w);
        }
}
static void bad_numbers_stay()
{
    for (int t = KER_KV_F16; t < KER_KV_TYPES; t++)
        for (const spec &s : specs) {
            if (s.dim != 24 && s.dim != 64 && s.dim != 128) continue;
            not_finite(s, (enum ker_kv_type)t, 5);
            not_finite(s, (enum ker_kv_type)t, 17);
        }
}

int main()
{
    seed = 20;
    cudaStreamCreateWithFlags(&st, cudaStreamNonBlocking);
    RUN(f16_cells);
    RUN(f32_cells);
    RUN(q8_0_cells);
    RUN(q4_0_cells);
    RUN(widest_heads);
    RUN(long_rows);
    RUN(windows_and_sinks);
    RUN(bad_numbers_stay);
    cudaStreamDestroy(st);
    return TEST_END();
}
