/* The first kernels of the CUDA backend, through the emulator: every type's embedding rows and products against the CPU's
 * decoders and scalar products, norm and int8 against plain loops, marks of what is not finite. */
#include "tests/cuda_bench.h"

#define ID(name) KER_##name,
static const int types[] = { CU_FLOAT_TYPES(ID) CU_BLOCK_TYPES(ID) };

static void planes_make_a_block(void)
{
    for (int type : types) {
        const cu_planes *p = cu_planes_of(type);
        int sum = 0;
        CHECK(p != NULL);
        for (int i = 0; p && i < p->n; i++) sum += p->bytes[i];
        CHECK_INT(sum, ker_type_get(type)->bytes);
    }
    CHECK(cu_planes_of(KER_I8) == NULL);
    int weights = 0;
    for (int type = 0; type < KER_TYPE_LIMIT; type++) weights += ker_type_get(type) && ker_type_get(type)->weight;
    CHECK_INT(sizeof types / sizeof *types, weights);      /* all that the engine computes with */
}

/* int8, scales and sums equal the CPU's bit for bit; a block with a NaN or an infinity has the scale NaN. */
static void int8_is_the_cpus(void)
{
    enum { N = 768, ROWS = 3 };
    std::vector<float> x(N * ROWS);
    for (float &v : x) v = rndf() * (rnd() % 9 ? 1 : 30);
    for (int i = 0; i < 256; i++) x[(size_t)i] = 0;
    for (int i = 256; i < 512; i++) x[(size_t)i] *= 1e-32f;
    for (int i = 0; i < 64; i++) x[(size_t)(512 + i)] = (float)(i - 32) * 0.5f;       /* ties of the rounding */
    x[N + 40] = NAN;
    x[N + 300] = -INFINITY;
    x[2 * N + 31] = 3e38f;
    bench b(ROWS, N, 0);
    cu_acts a = acts_for(b, ROWS, N);
    cu_quantise(&b.c, b.keep(to_device(x.data(), x.size())), ROWS, N, 1u << KER_ACT_Q8_32 | 1u << KER_ACT_Q8_256, &a);
    b.wait();
    for (int kind = KER_ACT_Q8_32; kind <= KER_ACT_Q8_256; kind++) {
        int type = kind == KER_ACT_Q8_32 ? KER_Q8_0 : KER_Q4_K, per = kind == KER_ACT_Q8_32 ? 1 : 8;
        std::vector<int8_t> q = back(a.kind[kind].q, N * ROWS);
        std::vector<float> d = back(a.kind[kind].d, N * ROWS / 32);
        std::vector<int> sum = back(a.kind[kind].sum, N * ROWS / 32);
        std::vector<uint8_t> want((size_t)mat_act_bytes(type, N) + 64);
        for (int r = 0; r < ROWS; r++) {
            void *at = (void *)(((uintptr_t)want.data() + 63) & ~(uintptr_t)63);
            mat_isa_scalar()->act_q8(per * 32, &x[(size_t)r * N], N, at);
            const int8_t *wq = (const int8_t *)at;
            const float *wd = (const float *)(const void *)(wq + N);       /* N is a multiple of 64 */
            CHECK(!memcmp(wq, &q[(size_t)r * N], N));
            for (int i = 0; i < N / 32; i++) {
                int s = 0;
                for (int k = 0; k < 32; k++) s += wq[i * 32 + k];
                CHECK_INT(sum[(size_t)(r * N / 32 + i)], s);
                float got = d[(size_t)(r * N / 32 + i)], exp = wd[i / per];
                CHECK_MSG(got == exp || (isnan(got) && isnan(exp)), "kind %d row %d block %d: %g, not %g", kind, r, i, (double)got, (double)exp);
            }
        }
    }
}

/* Products of a type: rows of x that cu_quantise made, against the CPU's over the same. */
static void product_case(int type, int n_in, int n_out, int n_rows)
{
    const ker_type *t = ker_type_get(type);
    std::vector<uint8_t> file = random_rows(type, n_in, n_out), scratch(MAT_SCRATCH + 64);
    std::vector<float> x((size_t)n_rows * n_in), y((size_t)n_rows * (n_out + 3)), bias((size_t)n_out), want((size_t)n_rows * n_out);
    for (float &v : x) v = rndf() * (rnd() % 17 ? 1 : 20);
    for (float &v : bias) v = rndf();
    for (float &v : y) v = rndf();
    int64_t stride = mat_act_bytes(type, n_in);
    std::vector<uint8_t> act((size_t)(stride * n_rows) + 64);
    uint8_t *prepared = (uint8_t *)(((uintptr_t)act.data() + 63) & ~(uintptr_t)63);
    for (int r = 0; r < n_rows; r++) {
        if (t->act == KER_ACT_F32) memcpy(prepared + r * stride, &x[(size_t)r * n_in], (size_t)n_in * 4);
        else mat_isa_scalar()->act_q8(t->act == KER_ACT_Q8_32 ? 32 : 256, &x[(size_t)r * n_in], n_in, prepared + r * stride);
    }
    mat m = { type, n_in, n_out, file.data(), ker_row_bytes(type, n_in), nullptr, nullptr, 0 };
    mat_isa_scalar()->mul[type](&m, prepared, stride, n_rows, 0, n_out, want.data(), n_out, (void *)(((uintptr_t)scratch.data() + 63) & ~(uintptr_t)63));

    bench b(n_rows, n_in, 0);
    cu_mat w = upload(b, type, file, n_in, n_out);
    cu_acts a = acts_for(b, n_rows, n_in);
    float *dx = b.keep(to_device(x.data(), x.size())), *dy = b.keep(to_device(y.data(), y.size()));
    cu_quantise(&b.c, dx, n_rows, n_in, 1u << t->act, &a);
    cu_prod p = { &w, b.keep(to_device(bias.data(), bias.size())), dy, n_out + 3, true, 4, KER_PART_ATTN, false };
    cu_products(&b.c, &p, 1, dx, &a, n_rows);
    b.wait();
    std::vector<float> got = back(dy, y.size());
    double worst = 0, top = 0;
    for (float v : want) top = fmax(top, fabs(v));
    for (int r = 0; r < n_rows; r++)
        for (int o = 0; o < n_out + 3; o++) {
            size_t at = (size_t)(r * (n_out + 3) + o);
            if (o >= n_out) {
                CHECK(got[at] == y[at]);
                continue;
            }
            double sum = (double)want[(size_t)(r * n_out + o)] + bias[(size_t)o] + y[at], off = fabs(got[at] - sum), scale = 1 + top;
            if (!(off / scale <= worst)) worst = off / scale;
        }
    CHECK_MSG(worst < 2e-5, "%s %d x %d, %d rows: off by %g", t->name, n_out, n_in, n_rows, worst);
    for (unsigned u : back(b.c.tr.bad, (size_t)n_rows)) CHECK_INT(u, 0);
}

/* Shapes that go through tensor cores: whole tiles and pieces of them, one step and several, outputs that end in the middle
 * of a block's. */
static void tensor_products_are_the_cpus(void)
{
    for (int type : types) {
        if (ker_type_get(type)->block == 1) {      /* not tensor cores, but a kernel of their own too */
            product_case(type, 161, 35, 37);
            product_case(type, 192, 96, 41);
            product_case(type, 64, 160, 9);
            continue;
        }
        product_case(type, 768, 160, 37);
        product_case(type, 256, 32, 9);
        product_case(type, 1280, 64, 64);
    }
}

static void products_are_the_cpus(void)
{
    for (int type : types) {
        int block = ker_type_get(type)->block;
        product_case(type, block == 1 ? 83 : 3 * block, 5, 1);
        product_case(type, block == 1 ? 40 : block == 256 ? 256 : block == 64 ? 192 : 160, 7, 11);
        product_case(type, block == 1 ? 256 : block == 256 ? 1280 : block == 64 ? 1088 : 1056, 2, 2);
    }
}

/* A sum that is not finite marks its row, whatever makes it so, and only the first part stays. */
static void marks_say_where(void)
{
    enum { N = 64, ROWS = 3 };
    for (int kind = 0; kind < 3; kind++) {
        std::vector<float> x(N * ROWS, 0.5f), y(4 * ROWS, 0.0f);
        if (kind == 0) x[N + 5] = NAN;
        if (kind == 1) x[N + 5] = INFINITY;
        if (kind == 2) y[4 + 2] = -INFINITY;
        bench b(ROWS, N, 0);
        std::vector<uint8_t> file = random_rows(KER_Q8_0, N, 4);
        cu_mat w = upload(b, KER_Q8_0, file, N, 4);
        cu_acts a = acts_for(b, ROWS, N);
        float *dx = b.keep(to_device(x.data(), x.size())), *dy = b.keep(to_device(y.data(), y.size()));
        cu_quantise(&b.c, dx, ROWS, N, 1u << KER_ACT_Q8_32, &a);
        cu_prod p = { &w, NULL, dy, 4, true, 7, KER_PART_FFN, false };
        cu_products(&b.c, &p, 1, dx, &a, ROWS);
        p.layer = 8;
        cu_products(&b.c, &p, 1, dx, &a, ROWS);
        b.wait();
        std::vector<unsigned> bad = back(b.c.tr.bad, ROWS);
        CHECK_INT(bad[0], 0);
        CHECK_INT(bad[1], KER_PART_FFN << 16 | 8);
        CHECK_INT(bad[2], 0);
    }
}

static void norm_is_the_rows(void)
{
    enum { N = 1000, ROWS = 4 };
    std::vector<float> x(N * ROWS), w(N);
    for (float &v : x) v = rndf() * 3;
    for (float &v : w) v = rndf();
    bench b(ROWS, N, 0);
    cu_cfg cfgs[2];
    memset(cfgs, 0, sizeof cfgs);
    cfgs[0].eps = 1e-5f;
    cfgs[1].eps = 0.5f;
    int slot[ROWS] = { 0, 1, 0, 1 }, which[3] = { 3, 0, 1 };
    b.c.rows.cfg = b.keep(to_device(cfgs, 2));
    b.c.rows.slot = b.keep(to_device(slot, ROWS));
    b.c.x = b.keep(to_device(x.data(), x.size()));
    float *dw = b.keep(to_device(w.data(), w.size()));
    for (int some = 0; some < 2; some++) {
        int n = some ? 3 : ROWS;
        float *dy = b.keep(device<float>(N * ROWS));
        cu_norm(&b.c, dw, some ? b.keep(to_device(which, 3)) : NULL, n, dy);
        b.wait();
        std::vector<float> y = back(dy, (size_t)n * N);
        for (int i = 0; i < n; i++) {
            int r = some ? which[i] : i;
            double s = 0, worst = 0;
            for (int k = 0; k < N; k++) s += (double)x[(size_t)(r * N + k)] * x[(size_t)(r * N + k)];
            s = 1 / sqrt(s / (double)N + (double)cfgs[slot[r]].eps);
            for (int k = 0; k < N; k++) worst = fmax(worst, fabs(y[(size_t)(i * N + k)] - x[(size_t)(r * N + k)] * s * w[(size_t)k]));
            CHECK_MSG(worst < 1e-6, "row %d: off by %g", r, worst);
        }
    }
}

/* Rows of the embedding are the decoder's, the rotation is cos and sin of position times frequency. */
static void embedding_is_the_decoders(void)
{
    for (int type : types) {
        const ker_type *t = ker_type_get(type);
        int n = t->block == 1 ? 80 : t->block == 256 ? 512 : 3 * t->block, vocab = 9, rope = 12;
        enum { ROWS = 4 };
        int token[ROWS] = { 8, 0, 3, 3 }, pos[ROWS] = { 0, 7, 131071, 1048575 }, slot[ROWS] = { 0, 0, 1, 0 };
        std::vector<uint8_t> file = random_rows(type, n, vocab);
        bench b(ROWS, n, rope);
        std::vector<float> freq(6);
        for (int i = 0; i < 6; i++) freq[(size_t)i] = powf(1e4f, (float)-i / 6);
        cu_cfg cfgs[2];
        memset(cfgs, 0, sizeof cfgs);
        cfgs[0].mscale = 1;
        cfgs[1].mscale = 1.25f;
        cfgs[0].rope_freq = cfgs[1].rope_freq = b.keep(to_device(freq.data(), freq.size()));
        b.c.rows.cfg = b.keep(to_device(cfgs, 2));
        b.c.rows.token = b.keep(to_device(token, ROWS));
        b.c.rows.pos = b.keep(to_device(pos, ROWS));
        b.c.rows.slot = b.keep(to_device(slot, ROWS));
        b.c.x = b.keep(device<float>((size_t)ROWS * n));
        b.c.att.rope = b.keep(device<float>((size_t)ROWS * rope));
        b.layers[0].w[KER_W_EMBD] = upload(b, type, file, n, vocab);
        cu_embed(&b.c);
        b.wait();
        std::vector<float> x = back(b.c.x, (size_t)ROWS * n), cs = back(b.c.att.rope, (size_t)ROWS * rope), want((size_t)n);
        for (int r = 0; r < ROWS; r++) {
            t->decode(&file[(size_t)(token[r] * ker_row_bytes(type, n))], want.data(), n);
            double worst = 0;
            for (int i = 0; i < n; i++) worst = fmax(worst, fabs(want[(size_t)i] - x[(size_t)(r * n + i)]) / (1 + fabs(want[(size_t)i])));
            CHECK_MSG(worst < 1e-6, "%s row %d: off by %g", t->name, r, worst);
            for (int i = 0; i < 6; i++) {
                double a = (float)pos[r] * freq[(size_t)i], scale = (double)cfgs[slot[r]].mscale;
                CHECK_MSG(fabs(cs[(size_t)(r * rope + i)] - cos(a) * scale) < 3e-7, "cos(%.9g): %.9g", a, (double)cs[(size_t)(r * rope + i)]);
                CHECK_MSG(fabs(cs[(size_t)(r * rope + 6 + i)] - sin(a) * scale) < 3e-7, "sin(%.9g): %.9g", a, (double)cs[(size_t)(r * rope + 6 + i)]);
            }
        }
        for (unsigned u : back(b.c.tr.bad, ROWS)) CHECK_INT(u, 0);
    }
}

static void embedding_marks(void)
{
    enum { N = 64, ROWS = 2 };
    std::vector<uint8_t> file = random_rows(KER_Q8_0, N, 3);
    uint16_t nan = 0x7e00;
    memcpy(&file[(size_t)(2 * ker_row_bytes(KER_Q8_0, N) + 34)], &nan, 2);
    bench b(ROWS, N, 0);
    int token[ROWS] = { 1, 2 }, zero[ROWS] = { 0, 0 };
    cu_cfg cfg;
    memset(&cfg, 0, sizeof cfg);
    b.c.rows.cfg = b.keep(to_device(&cfg, 1));
    b.c.rows.token = b.keep(to_device(token, ROWS));
    b.c.rows.pos = b.c.rows.slot = b.keep(to_device(zero, ROWS));
    b.c.x = b.keep(device<float>(ROWS * N));
    b.layers[0].w[KER_W_EMBD] = upload(b, KER_Q8_0, file, N, 3);
    cu_embed(&b.c);
    b.wait();
    std::vector<unsigned> bad = back(b.c.tr.bad, ROWS);
    CHECK_INT(bad[0], 0);
    CHECK_INT(bad[1], KER_PART_EMBED << 16);
}

int main(void)
{
    RUN(planes_make_a_block);
    RUN(int8_is_the_cpus);
    RUN(products_are_the_cpus);
    RUN(tensor_products_are_the_cpus);
    RUN(marks_say_where);
    RUN(norm_is_the_rows);
    RUN(embedding_is_the_decoders);
    RUN(embedding_marks);
    return TEST_END();
}
