/* What instruction sets have in common: every function of the float work (vec.h) has the scalar set's bits on every path of this
 * processor, at every length, for numbers of all sizes, also those that are none; and a model of random weights gives the same
 * logits on every path, whose bits are written here, so that another architecture's must be the same. */
#include "kernels/cpu/vec.h"
#include "kernels/made.h"
#include "tests/test.h"

enum { N = 400, DIM = 80, QUERIES = 19 };
static uint64_t seed[4] = { 9, 8, 7, 6 };
static float x[N], y[N], w[N], scale[N], want[N], got[N];
static float cells[DIM * VEC_CELLS], query[QUERIES][DIM], s_want[QUERIES * VEC_CELLS], s_got[QUERIES * VEC_CELLS], acc_want[QUERIES][DIM], acc_got[QUERIES][DIM];
static uint16_t halves[DIM * VEC_CELLS], h_want[N], h_got[N];
static int8_t bytes[N];

static float number(void) { return (float)((int64_t)q_random(seed) >> 40) * 0x1p-23f; }

/* Numbers about 1, and some that are tiny, huge, subnormal, zeros of either sign, or none. */
static void numbers(bool none)
{
    static const float edges[] = { 0, -0.0f, 1e-40f, -1e-40f, 1e-30f, 3e37f, -3e37f, 88, -87, 65504, 65520, 6e-8f, INFINITY, -INFINITY, NAN };
    for (int i = 0; i < N; i++) {
        x[i] = number() * 4, y[i] = number(), w[i] = number() * 2, scale[i] = number() * .1f;
        bytes[i] = (int8_t)q_random(seed);
        if (i % 7 == 3) x[i] = edges[q_random(seed) % (none ? 15 : 12)];
        if (i % 11 == 4) y[i] = edges[q_random(seed) % 8];
    }
    for (int i = 0; i < DIM * VEC_CELLS; i++) cells[i] = number(), halves[i] = ker_f32_to_f16(cells[i]);
    for (int i = 0; i < QUERIES; i++)
        for (int d = 0; d < DIM; d++) query[i][d] = number();
}

/* The same bits, or none of both a number. */
static bool same(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (memcmp(a + i, b + i, 4) && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

#define BOTH(what, len, call) do { \
    const vec_ops *v = &vec_scalar; float *to = want; memset(want, 0x55, sizeof want); memset(got, 0x55, sizeof got); call; \
    v = here; to = got; call; CHECK_MSG(same(want, got, N), "%s, %s, length %d", what, ker_cpu_features(), len); } while (0)

static void by_length(const vec_ops *here, int n)
{
    BOTH("norm", n, v->norm(x, w, n, 1e-5f, to));
    BOTH("layernorm", n, v->layernorm(x, w, y, n, 1e-5f, to));
    for (int k = 0; k < 3; k++) BOTH("glu", n, v->glu[k](x, y, to, n));
    BOTH("gelu", n, (memcpy(to, x, sizeof x), v->gelu(to, n)));
    BOTH("add", n, (memcpy(to, x, sizeof x), v->add(to, y, n)));
    BOTH("axpy", n, (memcpy(to, x, sizeof x), v->axpy(to, .37f, y, n)));
    BOTH("finite", n, to[0] = v->finite(x, n));
    BOTH("exp", n, v->exp(x, 1.5f, to, n));
    BOTH("f16", n, v->f16(halves, to, n));
    BOTH("q8", n, v->q8(bytes, scale, to, n));
    BOTH("q8s", n, v->q8s(bytes, .03f, to, n));
    int8_t turn[N];
    for (int i = 0; i < N; i++) turn[i] = i % 5 > 2 ? -1 : 0;
    BOTH("fours", n, v->fours((const uint8_t *)bytes, (int8_t *)to, (int8_t *)to + N, n / 64 * 64));
    BOTH("fours_each", n, v->fours_each((const uint8_t *)bytes, 32, turn, (int8_t *)to, (int8_t *)to + 64, 128, n / 128));
    BOTH("signs", n, v->signs(halves, (int8_t *)(to + N / 4 * 3), to, n / 32 * 16));
    BOTH("unit", n, (memcpy(to, x, sizeof x), v->unit(to, n, 1e-6f, .5f)));
    BOTH("gate", n, (memcpy(to, x, sizeof x), v->gate(to, y, n)));
    BOTH("parts", n, (memcpy(to, x, sizeof x), v->parts(w, n % 3 * 16, 1 + n % 5, y, scale, to, n / 32 * 16)));
    BOTH("conv", n, v->conv((const float *const[]){ x, y, w, scale }, w, 1, 4, to, n < N - 4 ? n : N - 4));
    memset(h_want, 0, sizeof h_want), memset(h_got, 0, sizeof h_got);
    vec_scalar.to_f16(x, h_want, n);
    here->to_f16(x, h_got, n);
    for (int i = 0; i < N; i++) CHECK_MSG(h_want[i] == h_got[i] || (isnan(x[i]) && (h_got[i] & 0x7fff) > 0x7c00), "to_f16, %s, %d of %d", ker_cpu_features(), i, n);
}

static void attention(const vec_ops *here, int dim, int n_q, int n_cells)
{
    const float *q[QUERIES];
    float *a_want[QUERIES], *a_got[QUERIES], shrink[2][QUERIES], m[2][QUERIES], l[2][QUERIES];
    int16_t weight[2][QUERIES * VEC_CELLS];
    for (int i = 0; i < n_q; i++) q[i] = query[i], a_want[i] = acc_want[i], a_got[i] = acc_got[i];
    for (int half = 0; half < 2; half++) {
        if (half) vec_scalar.scores_f16(halves, halves, dim, q, n_q, s_want), here->scores_f16(halves, halves, dim, q, n_q, s_got);
        else vec_scalar.scores(cells, dim, q, n_q, s_want), here->scores(cells, dim, q, n_q, s_got);
        CHECK_MSG(!memcmp(s_want, s_got, sizeof(float) * (size_t)(n_q * VEC_CELLS)), "scores of %d, %d queries, half %d, %s", dim, n_q, half, ker_cpu_features());
        size_t each = sizeof(float) * (size_t)n_q;
        vec_scalar.weigh(s_want, n_cells, n_q, m[0], l[0], weight[0]), here->weigh(s_got, n_cells, n_q, m[1], l[1], weight[1]);
        CHECK_MSG(!memcmp(m[0], m[1], each) && !memcmp(l[0], l[1], each) && !memcmp(weight[0], weight[1], sizeof **weight * (size_t)(n_q * VEC_CELLS)), "weights of %d, %s", n_cells, ker_cpu_features());
        float top[2][QUERIES], sum[2][QUERIES], less[2][QUERIES], f[2][QUERIES];
        for (int i = 0; i < n_q; i++) top[0][i] = top[1][i] = i % 3 ? number() : -INFINITY, sum[0][i] = sum[1][i] = i % 3 ? 2.5f : 0;
        float was[QUERIES];
        memcpy(was, top[0], each);
        vec_scalar.joined(m[0], l[0], top[0], sum[0], less[0], f[0], n_q), here->joined(m[1], l[1], top[1], sum[1], less[1], f[1], n_q);
        CHECK_MSG(!memcmp(top[0], top[1], each) && !memcmp(sum[0], sum[1], each) && !memcmp(less[0], less[1], each) && !memcmp(f[0], f[1], each), "a page of %d joined, %s", n_cells, ker_cpu_features());
        for (int i = 0; i < n_q && !half; i++) {
            double most = fmax(was[i], m[0][i]), before = exp(was[i] - most), of_page = exp(m[0][i] - most);
            CHECK(top[0][i] == (float)most && fabs(less[0][i] - before) < 1e-6 && fabs(f[0][i] - of_page) < 1e-6);
            CHECK_MSG(fabs(sum[0][i] - ((i % 3 ? 2.5 : 0) * before + l[0][i] * of_page)) < 1e-5 * sum[0][i], "%g", (double)sum[0][i]);
        }
        for (int i = 0; i < n_q; i++) m[0][i] = m[1][i] = i % 2 ? -INFINITY : number(), l[0][i] = l[1][i] = i % 2 ? 0 : 3;
        vec_scalar.softmax(s_want, n_cells, n_q, m[0], l[0], shrink[0]), here->softmax(s_got, n_cells, n_q, m[1], l[1], shrink[1]);
        CHECK_MSG(!memcmp(m[0], m[1], each) && !memcmp(l[0], l[1], each) && !memcmp(shrink[0], shrink[1], each), "softmax of %d, %s", n_cells, ker_cpu_features());
        CHECK(!memcmp(s_want, s_got, sizeof(float) * (size_t)(n_q * VEC_CELLS)));
        for (int i = 0; i < n_q; i++)
            for (int d = 0; d < DIM; d++) acc_want[i][d] = acc_got[i][d] = query[i][DIM - 1 - d];
        if (half) vec_scalar.values_f16(halves, halves, dim, n_cells, s_want, shrink[0], a_want, n_q), here->values_f16(halves, halves, dim, n_cells, s_got, shrink[1], a_got, n_q);
        else vec_scalar.values(cells, dim, n_cells, s_want, shrink[0], a_want, n_q), here->values(cells, dim, n_cells, s_got, shrink[1], a_got, n_q);
        CHECK_MSG(!memcmp(acc_want, acc_got, sizeof acc_want), "values of %d, %d queries, %d cells, half %d, %s", dim, n_q, n_cells, half, ker_cpu_features());
    }
}

static void floats_have_the_same_bits_on_every_path(void)
{
    static const int dims[] = { 16, 32, 48, 64, 80 };
    for (int p = 1; ker_cpu_path(p); p++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(p)), 0);
        const vec_ops *here = vec_get();
        CHECK(here != &vec_scalar);
        for (int round = 0; round < 6; round++) {
            numbers(round % 2);
            for (int n = 1; n < 70; n++) by_length(here, n);
            by_length(here, N);
            for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
                for (int n_q = 1; n_q <= QUERIES; n_q++) attention(here, dims[d], n_q, 1 + (int)(q_random(seed) % VEC_CELLS));
        }
    }
    ker_cpu_force(NULL);
}

/* ---- a whole model ---- */

static const made_shape odd = { "odd", 96, 3, 1, 32, 32, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, .rows = NULL };
static const made_shape even = { "even", 256, 4, 2, 64, 64, 8, 256, 256, 512, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, .rows = NULL };

/* A prompt of 13 tokens and one more: a hash of all logits of the last row of each. */
static uint64_t logits_hash(int type)
{
    char err[Q_ERRLEN];
    enum { LONG = 13 };
    made_model *m = made_new(ker_type_get(type)->block > 32 ? &even : &odd, type, 1);
    made_side side = { 0 };
    int32_t token[LONG + 1], cell[LONG + 1], page[1] = { 0 };
    uint8_t wanted[LONG + 1] = { 0 };
    uint64_t h = 0;
    for (int i = 0; i <= LONG; i++) token[i] = i * 7 % 64, cell[i] = i;
    wanted[LONG - 1] = wanted[LONG] = KER_WANT_LOGITS;
    ker_seq seq = { .page = page, .n_page = 1 };
    int rc = made_open(&side, ker_cpu(), 0, m, LONG, KER_PAGE, err);
    for (int at = 0, n = LONG; at <= LONG && !rc; at += n, n = 1) {
        ker_batch b = { .n = n, .token = token + at, .pos = cell + at, .cell = cell + at, .want = wanted + at, .seqs = &seq, .n_seq = 1, .phase = n == 1 };
        rc = made_pass(&side, m, &b, err);
        if (!rc) h = q_hash64(side.out.logits, sizeof(float) * (size_t)m->m.n_vocab, h);
    }
    CHECK_MSG(rc == 0, "%s: %s", ker_type_get(type)->name, err);
    made_close(&side);
    made_free(m);
    return h;
}

static void a_model_has_the_same_bits_on_every_path(void)
{
    static const struct { int type; uint64_t hash; } of[] = {        /* as x86-64 and aarch64 compute them with glibc's powf, sinf and cosf */
        { KER_F32, 0xba1648a39ae0b22d }, { KER_F16, 0x6d8e8b2f3cc405cc }, { KER_BF16, 0x5335fea80dc33498 },
        { KER_Q8_0, 0xe97cebc99da63e0e }, { KER_Q5_1, 0x3fb2110c2c4617fc }, { KER_MXFP4, 0x59980b7c9e4b74f9 },
        { KER_NVFP4, 0x359c4ed4a242fc80 }, { KER_Q4_K, 0x3e537256db188421 }, { KER_Q6_K, 0xc70d76fbd7b8986a },
        { KER_Q2_K, 0xf25d24d9dfd8cced }, { KER_IQ4_XS, 0xde9273065cf7a513 }, { KER_IQ3_S, 0xa80610d3c274ab55 },
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        for (int p = 0; ker_cpu_path(p); p++) {
            CHECK_INT(ker_cpu_force(ker_cpu_path(p)), 0);
            uint64_t h = logits_hash(of[i].type);
            CHECK_MSG(h == of[i].hash, "%s, %s: 0x%016llx", ker_type_get(of[i].type)->name, ker_cpu_features(), (unsigned long long)h);
        }
    ker_cpu_force(NULL);
}

int main(void)
{
    RUN(floats_have_the_same_bits_on_every_path);
    RUN(a_model_has_the_same_bits_on_every_path);
    return TEST_END();
}
