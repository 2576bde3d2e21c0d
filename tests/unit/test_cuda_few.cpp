/* The fused launches for few rows, through the emulator, against the simple ones: attention's products, router, experts with a
 * shared one, dense layers, the head; for every type of blocks, alone and in pairs, with shapes that leave lanes and warps idle. */
#include "tests/cuda_bench.h"

enum { MAX_K = 4, EXPERTS = 5, ROWS = 3, HEADS = 4, KV_HEADS = 2, VOCAB = 21 };

#define ID(name) KER_##name,
static const int blocks[] = { CU_BLOCK_TYPES(ID) };

static cu_mat matrix(bench &b, int type, int n_in, int n_out, int n_mat = 1)
{
    return upload(b, type, random_rows(type, n_in, (int64_t)n_out * n_mat), n_in, n_out, n_mat);
}
static float *numbers(bench &b, size_t n, float size = 1)
{
    std::vector<float> v(n);
    for (float &x : v) x = rndf() * size;
    return b.keep(to_device(v.data(), n));
}
template <class T> static T *filled(bench &b, size_t n, T with)
{
    std::vector<T> v(n, with);
    return b.keep(to_device(v.data(), n));
}

struct layer_case {
    bench b;
    ker_kv kv;
    ker_layer kind[2] = {};
    int E, ff, sh, dim;
    std::vector<float> x0;
    /* Types of most matrices, of V, down and what is shared. */
    layer_case(int type, int other, int sms, bool add_shared, int router) : b(ROWS, ker_type_get(type)->block > 32 || ker_type_get(other)->block > 32 ? 512 : 96, 16)
    {
        E = b.dev.m.n_embd;
        bool wide = E == 512;
        ff = wide ? 256 : 96;                      /* three slots of it: an odd number of scales before the shared row */
        sh = add_shared ? wide ? 512 : 96 : 0;
        dim = wide ? 64 : 24;
        memset((void *)&kv, 0, sizeof kv);
        ker_model &m = b.dev.m;
        m.n_layer = 2;
        m.layer = kind;
        m.n_head = HEADS;
        m.n_kv_head = KV_HEADS;
        m.head_dim = dim;
        m.n_expert = EXPERTS;
        m.n_ff_exp = ff;
        m.n_ff_sh = sh;
        m.n_vocab = VOCAB;
        m.renorm = true;
        m.weights_scale = 1;
        b.dev.sms = sms;
        b.dev.early = true;
        ker_ctx &c = b.c;
        c.max_rows = ROWS;
        c.max_k = MAX_K;
        c.shape.k = MAX_K - 1;
        c.shape.segs = 1;
        c.x = numbers(b, (size_t)ROWS * E);
        x0 = back(c.x, (size_t)ROWS * E);
        c.y = filled(b, (size_t)ROWS * E, 7.0f);
        c.in = acts_for(b, ROWS, E);
        c.att.q = filled(b, (size_t)ROWS * HEADS * dim, 0.0f);
        c.att.k = filled(b, (size_t)ROWS * KV_HEADS * dim, 0.0f);
        c.att.v = filled(b, (size_t)ROWS * KV_HEADS * dim, 0.0f);
        c.att.o = filled(b, (size_t)ROWS * HEADS * dim, 0.0f);
        c.att.rope = filled(b, (size_t)ROWS * 16, 0.5f);
        c.att.count = filled(b, (size_t)(c.max_rows * HEADS), 0);
        c.att.part = filled(b, 1 << 16, 0.0f);
        c.att.act = acts_for(b, ROWS, HEADS * dim);
        int pairs = ROWS * MAX_K, widest = sh ? sh : ff;
        c.ffn.pairs_cap = pairs;
        c.ffn.score = filled(b, ROWS * EXPERTS, 0.0f);
        c.ffn.sh_coef = filled(b, ROWS, 0.0f);
        c.ffn.h = filled(b, (size_t)pairs * ff, 0.0f);
        c.ffn.h_sh = filled(b, (size_t)ROWS * widest, 0.0f);
        c.ffn.pair_y = filled(b, (size_t)pairs * E, 0.0f);
        c.ffn.act = acts_for(b, pairs, ff);
        c.ffn.sh_act = acts_for(b, ROWS, widest);
        c.ffn.group = filled(b, (size_t)cu_group_ints(&c), 0);
        c.out.logits = filled(b, (size_t)CU_HEAD_ROWS * VOCAB, 0.0f);
        c.out.hidden = filled(b, (size_t)ROWS * E, 0.0f);
        c.tr.ids = filled(b, 2 * ROWS * MAX_K, (uint16_t)3);
        c.tr.weights = filled(b, 2 * ROWS * MAX_K, 0.0f);
        c.tr.entropy = filled(b, 2 * ROWS, 0.0f);
        c.tr.margin = filled(b, 2 * ROWS, 0.0f);
        rows(c);
        cells(c);
        weights(type, other, router);
    }
    void rows(ker_ctx &c)
    {
        int slot[ROWS] = { 0, 1, 0 }, zero[ROWS] = { 0, 0, 0 }, seq_at[ROWS] = { 0, 1, 2 }, page[ROWS] = { 2, 0, 1 }, want[2] = { 2, 0 };
        int16_t k[2] = { 3, 0 }, less[2] = { 2, 0 };
        int32_t width[2] = { 40, 50 };
        float freq[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
        cu_cfg cfgs[2];
        memset(cfgs, 0, sizeof cfgs);
        for (int i = 0; i < 2; i++) {
            cfgs[i].eps = i ? 1e-3f : 1e-6f;
            cfgs[i].mscale = cfgs[i].temperature = 1;
            cfgs[i].attn_scale = 0.1f;
            cfgs[i].rope_freq = b.keep(to_device(freq, 8));
            cfgs[i].k = b.keep(to_device(i ? less : k, 2));
        }
        cfgs[1].ffn_width = b.keep(to_device(width, 2));
        c.rows.cfg = b.keep(to_device(cfgs, 2));
        c.rows.slot = b.keep(to_device(slot, ROWS));
        c.rows.token = c.rows.pos = c.rows.cell = b.keep(to_device(zero, ROWS));
        c.rows.seq_at = b.keep(to_device(seq_at, ROWS));
        c.rows.page = b.keep(to_device(page, ROWS));
        c.rows.want = c.rows.want_hidden = b.keep(to_device(want, 2));
        c.shape.n_logits = 2;
        c.shape.n_hidden = 1;
    }
    void cells(ker_ctx &c)                           /* F32; every row sees its own only */
    {
        kv.dev = &b.dev;
        kv.type = KER_KV_F32;
        kv.n_page = ROWS;
        kv.head_bytes = (int64_t)2 * KER_PAGE * dim * 4;
        kv.page_bytes = kv.head_bytes * KV_HEADS * 2;
        kv.data = filled(b, (size_t)(kv.page_bytes * ROWS), (uint8_t)0);
        c.kv = &kv;
    }
    void weights(int type, int other, int router)
    {
        cu_layer &l = b.layers[1], &all = b.layers[0];
        int qd = HEADS * dim, kd = KV_HEADS * dim;
        l.w[KER_W_Q] = matrix(b, type, E, qd);
        l.w[KER_W_K] = matrix(b, type, E, kd);
        l.w[KER_W_V] = matrix(b, other, E, kd);
        l.w[KER_W_O] = matrix(b, ker_type_get(type)->block == 256 && qd % 256 ? KER_Q8_0 : type, qd, E);
        l.vec[KER_W_BV] = numbers(b, (size_t)kd);
        l.vec[KER_W_ATTN_NORM] = numbers(b, (size_t)E);
        l.vec[KER_W_FFN_NORM] = numbers(b, (size_t)E);
        l.w[KER_W_ROUTER] = matrix(b, router, E, EXPERTS);
        l.w[KER_W_GATE_EXPS] = matrix(b, type, E, ff, EXPERTS);
        l.w[KER_W_UP_EXPS] = matrix(b, type, E, ff, EXPERTS);
        l.w[KER_W_DOWN_EXPS] = matrix(b, other, ff, E, EXPERTS);
        if (sh) {
            l.w[KER_W_SH_ROUTER] = matrix(b, router, E, 1);
            l.w[KER_W_GATE_SH] = matrix(b, other, E, sh);
            l.w[KER_W_UP_SH] = matrix(b, other, E, sh);
            l.w[KER_W_DOWN_SH] = matrix(b, type, sh, E);
            l.w[KER_W_GATE] = l.w[KER_W_GATE_SH];
            l.w[KER_W_UP] = l.w[KER_W_UP_SH];
            l.w[KER_W_DOWN] = l.w[KER_W_DOWN_SH];
        }
        all.w[KER_W_OUT] = matrix(b, other, E, VOCAB);
        all.vec[KER_W_OUT_NORM] = numbers(b, (size_t)E);
    }
    /* Row 1 keeps an expert's neurons and those of the shared or dense part by magnitude, or (first) the first of an expert's. */
    void narrow(bool first)
    {
        ker_ctx &c = b.c;
        int32_t wide[2] = { first ? 40 : -40, 0 }, of[2] = { first ? 11 : -11, 0 };
        std::vector<cu_cfg> cfgs = back(const_cast<cu_cfg *>(c.rows.cfg), 2);
        cfgs[1].ffn_width = b.keep(to_device(wide, 2));
        cfgs[1].expert_width = b.keep(to_device(of, 2));
        c.rows.cfg = b.keep(to_device(cfgs.data(), 2));
        c.shape.narrow = CU_WIDTH_EXPERTS | (first ? 0 : CU_WIDTH_LARGEST);
    }
    void again() { CHECK(cudaMemcpy(b.c.x, x0.data(), x0.size() * 4, cudaMemcpyHostToDevice) == cudaSuccess); }
};

static cu_prod prod(const cu_mat &w, const float *bias, float *y)
{
    cu_prod p = { &w, bias, y, w.n_out, false, 0, KER_PART_NONE, false };
    return p;
}
static unsigned kind(const cu_mat &w) { return w.n_out ? 1u << w.act : 0; }

static void simple_attn(ker_ctx *c)
{
    const cu_layer *l = cu_layer_of(c->dev, 0);
    const cu_mat *w = l->w;
    int E = c->dev->m.n_embd;
    cu_norm(c, l->vec[KER_W_ATTN_NORM], NULL, ROWS, c->y);
    cu_quantise(c, c->y, ROWS, E, kind(w[KER_W_Q]) | kind(w[KER_W_V]), &c->in);
    cu_prod p[3] = { prod(w[KER_W_Q], NULL, c->att.q), prod(w[KER_W_K], NULL, c->att.k), prod(w[KER_W_V], l->vec[KER_W_BV], c->att.v) };
    cu_products(c, p, 3, c->y, &c->in, ROWS);
    cu_attend(c, 0);
    cu_quantise(c, c->att.o, ROWS, w[KER_W_O].n_in, kind(w[KER_W_O]), &c->att.act);
    cu_prod po = prod(w[KER_W_O], NULL, c->x);
    po.add = true;
    po.part = KER_PART_ATTN;
    cu_products(c, &po, 1, c->att.o, &c->att.act, ROWS);
}

static void simple_route(ker_ctx *c, bool choose)
{
    const cu_layer *l = cu_layer_of(c->dev, 0);
    const cu_mat *w = l->w;
    cu_norm(c, l->vec[KER_W_FFN_NORM], NULL, ROWS, c->y);
    cu_quantise(c, c->y, ROWS, c->dev->m.n_embd, kind(w[KER_W_GATE_EXPS]) | kind(w[KER_W_GATE_SH]), &c->in);
    cu_prod p[2] = { prod(w[KER_W_ROUTER], NULL, c->ffn.score), prod(w[KER_W_SH_ROUTER], NULL, c->ffn.sh_coef) };
    if (choose) cu_products(c, p, w[KER_W_SH_ROUTER].n_out ? 2 : 1, c->y, &c->in, ROWS);
    if (choose) cu_choose(c, 0);
}

/* Far from each other, measured in the largest of `want`: a number on the edge of two of int8 may fall to either side. */
static void near(const char *what, int type, int other, const std::vector<float> &got, const std::vector<float> &want, double limit)
{
    double most = 1e-6, off = 0;
    for (size_t i = 0; i < want.size(); i++) {
        most = fmax(most, fabs(want[i]));
        double d = fabs(got[i] - want[i]);
        if (!(d <= off)) off = d;
    }
    CHECK_MSG(off <= limit * most, "%s of %s and %s: off by %g of %g", what, ker_type_get(type)->name, ker_type_get(other)->name, off, most);
}

static void layer(int type, int other, int sms, bool shared, int router)
{
    layer_case t(type, other, sms, shared, router);
    ker_ctx *c = &t.b.c;
    size_t n = (size_t)ROWS * t.E, slots = (size_t)ROWS * MAX_K;
    const double limit = 4e-3;

    simple_attn(c);
    t.b.wait();
    std::vector<float> want = back(c->x, n), q = back(c->att.q, (size_t)ROWS * HEADS * t.dim), v = back(c->att.v, (size_t)ROWS * KV_HEADS * t.dim);
    t.again();
    CHECK(cu_few_part(c, CU_ATTN, 0));
    t.b.wait();
    near("attention", type, other, back(c->x, n), want, limit);
    near("Q", type, other, back(c->att.q, q.size()), q, limit);
    near("V", type, other, back(c->att.v, v.size()), v, limit);

    t.again();
    simple_route(c, true);
    cu_experts(c, 0);
    t.b.wait();
    want = back(c->x, n);
    std::vector<uint16_t> ids = back(c->tr.ids, slots);
    std::vector<float> weights = back(c->tr.weights, slots), entropy = back(c->tr.entropy, ROWS), margin = back(c->tr.margin, ROWS);
    t.again();
    simple_route(c, false);
    t.b.wait();
    std::vector<float> y = back(c->y, n);
    CHECK(cu_few_part(c, CU_ROUTE, 0));
    t.b.wait();
    near("norm", type, other, back(c->y, n), y, 1e-5);
    CHECK(!memcmp(ids.data(), back(c->tr.ids, slots).data(), slots * 2));
    near("weights", type, other, back(c->tr.weights, slots), weights, 1e-5);
    near("entropy", type, other, back(c->tr.entropy, ROWS), entropy, 1e-4);
    near("margin", type, other, back(c->tr.margin, ROWS), margin, 1e-3);
    CHECK(cu_few_part(c, CU_EXPERTS, 0));
    t.b.wait();
    near("experts", type, other, back(c->x, n), want, limit);

    if (shared) {
        t.again();
        simple_route(c, false);
        cu_dense(c, 0);
        t.b.wait();
        want = back(c->x, n);
        t.again();
        for (int i = KER_ACT_Q8_32; i <= KER_ACT_Q8_256; i++) CHECK(cudaMemset(c->in.kind[i].q, 1, n) == cudaSuccess);      /* nobody prepared them */
        CHECK(cu_few_part(c, CU_DENSE, 0));
        t.b.wait();
        near("dense", type, other, back(c->x, n), want, limit);
    }

    for (int first = 0; first < 2; first++) {
        std::vector<float> whole = want;
        t.narrow(first);
        for (int moe = 1; moe >= !shared; moe--) {
            t.again();
            simple_route(c, false);
            moe ? cu_experts(c, 0) : cu_dense(c, 0);
            t.b.wait();
            want = back(c->x, n);
            t.again();
            CHECK(cu_few_part(c, moe ? CU_EXPERTS : CU_DENSE, 0));
            t.b.wait();
            near(first ? "the first neurons" : "the largest neurons", type, other, back(c->x, n), want, limit);
        }
        CHECK_MSG(whole != want, "%s of %s: a width does nothing", ker_type_get(type)->name, ker_type_get(other)->name);
    }

    t.again();
    const cu_layer *all = cu_layer_of(c->dev, -1);
    cu_norm(c, all->vec[KER_W_OUT_NORM], c->rows.want, 2, c->y);
    cu_quantise(c, c->y, 2, t.E, kind(all->w[KER_W_OUT]), &c->in);
    cu_prod p = prod(all->w[KER_W_OUT], NULL, c->out.logits);
    cu_products(c, &p, 1, c->y, &c->in, 2);
    t.b.wait();
    want = back(c->out.logits, 2 * VOCAB);
    y = back(c->y, (size_t)t.E);
    CHECK(cu_few_part(c, CU_HEAD, 0));
    t.b.wait();
    near("logits", type, other, back(c->out.logits, 2 * VOCAB), want, limit);
    near("hidden", type, other, back(c->out.hidden, (size_t)t.E), y, 1e-5);
    for (unsigned u : back(c->tr.bad, ROWS)) CHECK_INT(u, 0);
    for (int i : back(c->att.count, ROWS)) CHECK_INT(i, 0);
}

static void every_type_alone(void)
{
    for (int type : blocks) layer(type, type, 3, false, KER_F32);
}

static void types_go_together(void)
{
    layer(KER_Q4_K, KER_Q6_K, 2, true, KER_F32);
    layer(KER_Q6_K, KER_Q4_K, 4, true, KER_BF16);
    layer(KER_Q5_K, KER_Q8_0, 3, true, KER_F16);
    layer(KER_Q4_0, KER_Q5_1, 1, true, KER_F32);
    layer(KER_Q8_0, KER_Q4_K, 1, true, KER_F32);           /* more blocks than one multiprocessor would have */
    layer(KER_IQ2_XXS, KER_Q4_K, 2, true, KER_F32);        /* often used ones beside the others */
    layer(KER_Q8_0, KER_MXFP4, 3, true, KER_BF16);
    layer(KER_NVFP4, KER_Q2_K, 2, true, KER_F32);
}

/* What is not finite in one row is marked there, in the part where it begins. */
static void marks_say_where(void)
{
    static const int part[] = { CU_ATTN, CU_ROUTE, CU_HEAD }, mark[] = { KER_PART_ATTN << 16 | 1, KER_PART_ROUTE << 16 | 1, KER_PART_HEAD << 16 };
    for (int i = 0; i < 3; i++) {
        layer_case t(KER_Q8_0, KER_Q8_0, 1, true, KER_F32);
        t.x0[(size_t)(2 * t.E + 11)] = i == 1 ? INFINITY : NAN;
        t.again();
        CHECK(cu_few_part(&t.b.c, part[i], part[i] == CU_HEAD ? -1 : 0));
        t.b.wait();
        std::vector<unsigned> bad = back(t.b.c.tr.bad, ROWS);
        CHECK_INT(bad[0], 0);
        CHECK_INT(bad[1], 0);
        CHECK_INT(bad[2], mark[i]);
        std::vector<uint16_t> ids = back(t.b.c.tr.ids, ROWS * MAX_K);
        for (int s = 0; i == 1 && s < 3; s++) CHECK(ids[(size_t)(2 * MAX_K + s)] < EXPERTS);
    }
}

/* Floats as weights are not taken: the simple launches stand behind. */
static void floats_are_left(void)
{
    layer_case t(KER_Q8_0, KER_Q8_0, 1, true, KER_Q8_0);
    CHECK(!cu_few_part(&t.b.c, CU_ROUTE, 0));
    t.b.layers[1].w[KER_W_V] = matrix(t.b, KER_F32, t.E, KV_HEADS * t.dim);
    t.b.layers[1].w[KER_W_DOWN_EXPS] = matrix(t.b, KER_F16, t.ff, t.E, EXPERTS);
    CHECK(!cu_few_part(&t.b.c, CU_ATTN, 0));
    CHECK(!cu_few_part(&t.b.c, CU_EXPERTS, 0));
}

int main(void)
{
    RUN(every_type_alone);
    RUN(types_go_together);
    RUN(marks_say_where);
    RUN(floats_are_left);
    return TEST_END();
}
