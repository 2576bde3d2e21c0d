/* kernels/prove: a backend against the CPU, part by part, on models of random weights made here. Both compute the same
 * batch; after each part the stream of both is compared and the other goes on with the CPU's, so that a wrong part is
 * named and does not spoil the next. Owns nothing beyond one call; takes no file, prints nothing. */
#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYER = 2, CELLS = 4 * KER_PAGE, SAMPLE = 4096 };

/* One model: layer 0 is dense where ff > 0, the last is routed where there are experts. */
typedef struct shape {
    const char *name;
    int n_embd, n_head, n_kv, hd, rope_dim, n_expert, ffx, ffs, ff, n_vocab, k;
    int down, features;
    enum ker_gate gate;
    float scale, router_scale;
    const int *rows;                   /* batches one after the other, 0 ends                     */
} shape;
enum { QK_NORM = 1, BIAS = 2, SELECT_BIAS = 4, SH_ROUTER = 8, RENORM = 16, HALF = 32, TIED = 64 };

static const int few[] = { 1, 5, 37, 1, 0 }, some[] = { 3, 1, 0 }, many[] = { 128, 1, 8, 1, 0 };
/* Widths of any size, for types with short blocks; multiples of 256 for the others; then shapes of models in use. */
static const shape odd = { "odd widths", 96, 3, 1, 32, 32, 7, 64, 32, 160, 64, 3, -1, QK_NORM | RENORM | HALF, KER_GATE_SOFTMAX, 1, 0, few };
static const shape even = { "even widths", 256, 4, 2, 64, 64, 8, 256, 256, 512, 64, 3, -1, QK_NORM | RENORM | HALF, KER_GATE_SOFTMAX, 1, 0, few };
static const shape kinds[] = {
    { "qwen2moe", 96, 4, 4, 24, 24, 8, 48, 80, 0, 48, 4, -1, BIAS | SH_ROUTER | HALF, KER_GATE_SOFTMAX, 1, 0, some },
    { "glm4moe", 64, 6, 2, 32, 16, 12, 32, 64, 112, 48, 4, -1, BIAS | SELECT_BIAS | RENORM | HALF, KER_GATE_SIGMOID, 1.5f, 0, some },
    { "llama", 32, 2, 1, 40, 40, 0, 0, 0, 72, 48, 0, -1, TIED, KER_GATE_SOFTMAX, 1, 0, some },
    { "carved", 64, 2, 1, 32, 32, 6, 32, 64, 96, 48, 3, KER_Q8_0, SELECT_BIAS | TIED | HALF, KER_GATE_SIGMOID, 2, 1e-3f, some },
};
static const shape large[] = {
    { "30B-A3B", 2048, 32, 4, 128, 128, 128, 768, 0, 0, 8192, 8, KER_Q6_K, QK_NORM | RENORM | HALF, KER_GATE_SOFTMAX, 1, 0, many },
    { "30B-A3B", 2048, 32, 4, 128, 128, 128, 768, 0, 0, 8192, 8, KER_Q4_K, QK_NORM | RENORM | HALF, KER_GATE_SOFTMAX, 1, 0, many },
    { "0.6B", 1024, 16, 8, 128, 128, 0, 0, 0, 3072, 8192, 0, -1, QK_NORM | TIED | HALF, KER_GATE_SOFTMAX, 1, 0, many },
};

/* ---- random weights ---- */

typedef struct maker { uint64_t s[4]; } maker;

static float unit(maker *r) { return (float)((int64_t)q_random(r->s) >> 40) * 0x1p-23f; }      /* [-1, 1) */

static void put_half(uint8_t *block, int at, float v)
{
    uint16_t h = ker_f32_to_f16(v);
    if (at >= 0) memcpy(block + at, &h, 2);
}

static double mean_of(const ker_type *t, uint8_t *blocks, int n, float d, float m, double *square)
{
    float *v = q_alloc(sizeof *v * (size_t)(n * t->block));
    double sum = 0;
    for (int b = 0; b < n; b++) {
        put_half(blocks + b * t->bytes, t->d, d);
        put_half(blocks + b * t->bytes, t->m, m);
    }
    t->decode(blocks, v, (int64_t)n * t->block);
    *square = 0;
    for (int i = 0; i < n * t->block; i++) {
        sum += (double)v[i];
        *square += (double)v[i] * (double)v[i];
    }
    *square /= n * t->block;
    free(v);
    return sum / (n * t->block);
}

/* Random blocks under scales that give about mean 0 and deviation sd. */
static void fill_blocks(const ker_type *t, uint8_t *p, size_t bytes, double sd, maker *r)
{
    int n = (int)(bytes / (size_t)t->bytes), sample = SAMPLE / t->block < n ? SAMPLE / t->block : n;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t v = q_random(r->s);
        memcpy(p + i, &v, bytes - i < 8 ? bytes - i : 8);
    }
    double square, d_mean = mean_of(t, p, sample, 1, 0, &square), m = 0;
    if (t->m >= 0) {
        double m_mean = mean_of(t, p, sample, 0, 1, &square);
        m = -d_mean / m_mean;
        mean_of(t, p, sample, 1, (float)m, &square);
    }
    double d = sd / sqrt(square);
    bool centred = t->m >= 0 || fabs(d_mean) < sqrt(square) / 8;
    for (int b = 0; b < n; b++) {      /* quants that average away from zero: either sign in turn */
        float sign = !centred && (q_random(r->s) & 1) ? -1 : 1;
        put_half(p + (size_t)b * (size_t)t->bytes, t->d, sign * (float)d);
        put_half(p + (size_t)b * (size_t)t->bytes, t->m, sign * (float)(d * m));
    }
}

static void fill_floats(const ker_type *t, uint8_t *p, int64_t n, double mean, double sd, maker *r)
{
    float row[256];
    for (int64_t at = 0; at < n; at += 256) {
        int len = n - at < 256 ? (int)(n - at) : 256;
        for (int i = 0; i < len; i++) row[i] = (float)(mean + 1.7320508 * sd * (double)unit(r));
        t->encode(row, p + at * t->bytes, len);
    }
}

/* ---- a model ---- */

typedef struct model {
    const shape *s;
    ker_model m;
    ker_layer layer[MAX_LAYER];
    ker_weight w[MAX_LAYER + 1][KER_W_ROLES];
    float freq[256];
    int16_t k[MAX_LAYER];
    char what[96];
} model;

static bool wanted(const shape *s, enum ker_role role)
{
    switch (role) {
    case KER_W_OUT: return !(s->features & TIED);
    case KER_W_Q_NORM: case KER_W_K_NORM: return s->features & QK_NORM;
    case KER_W_SELECT_BIAS: return s->features & SELECT_BIAS;
    case KER_W_SH_ROUTER: return s->features & SH_ROUTER;
    default: return true;
    }
}

static void weight_make(model *m, int layer, enum ker_role role, int type, maker *r)
{
    const shape *s = m->s;
    const ker_role_row *row = ker_role_get(role);
    int64_t ne[3] = { 1, 1, 1 };
    if (!ker_role_here(&m->m, layer, role) || !wanted(s, role)) return;
    ker_role_shape(&m->m, layer, role, ne);
    for (int i = 0; i < 3; i++) ne[i] = ne[i] > 0 ? ne[i] : 1;
    bool routed = role == KER_W_ROUTER || role == KER_W_SELECT_BIAS || role == KER_W_SH_ROUTER;
    if (row->vec || routed) type = KER_F32;
    else if (role == KER_W_DOWN_EXPS && s->down >= 0) type = s->down;
    const ker_type *t = ker_type_get(type);
    bool norm = role == KER_W_OUT_NORM || role == KER_W_ATTN_NORM || role == KER_W_FFN_NORM || role == KER_W_Q_NORM || role == KER_W_K_NORM;
    double carved = s->router_scale > 0 ? (double)s->router_scale : 1;
    double sd = norm ? .1 : row->vec ? .3 : role == KER_W_EMBD ? 1 : 1.5 / sqrt((double)ne[0]);
    if (role == KER_W_ROUTER) sd *= carved;
    if (role == KER_W_SELECT_BIAS) sd = s->router_scale > 0 ? 1e-4 : .2;
    int64_t n = ne[0] * ne[1] * ne[2];
    size_t bytes = (size_t)(n / t->block) * (size_t)t->bytes;
    uint8_t *p = q_alloc(bytes + 8);
    if (t->block > 1) fill_blocks(t, p, bytes, sd, r);
    else fill_floats(t, p, n, norm ? 1 : 0, sd, r);
    m->w[layer + 1][role] = (ker_weight){ type, { ne[0], ne[1], ne[2] }, p, bytes };
}

static model *model_new(const shape *s, int type)
{
    model *m = q_alloc(sizeof *m);
    maker r = { { 1, 2, 3, (uint64_t)type + 4 } };
    int n_layer = (s->ff > 0) + (s->n_expert > 0);
    m->s = s;
    for (int l = 0; l < n_layer; l++) {
        bool dense = l == 0 && s->ff > 0;
        m->layer[l] = (ker_layer){ .moe = !dense, .n_ff = dense ? s->ff : 0, .biases = s->features & BIAS ? KER_BIAS_QKV : 0 };
        m->k[l] = (int16_t)(dense ? 0 : s->k);
    }
    m->m = (ker_model){ n_layer, s->n_embd, s->n_vocab, s->n_head, s->n_kv, s->hd, s->rope_dim, (s->features & HALF) != 0, s->n_expert, s->ffx, s->ffs,
                        s->gate, (s->features & RENORM) != 0, s->scale, s->router_scale, m->layer };
    for (int i = 0; i < s->rope_dim / 2; i++) m->freq[i] = powf(10000, -2.0f * (float)i / (float)s->rope_dim);
    for (int l = -1; l < n_layer; l++)
        for (int role = 0; role < KER_W_ROLES; role++) weight_make(m, l, (enum ker_role)role, type, &r);
    snprintf(m->what, sizeof m->what, "%s, %s", s->name, ker_type_get(type)->name);
    return m;
}

static void model_free(model *m)
{
    for (int l = 0; l <= MAX_LAYER; l++)
        for (int r = 0; r < KER_W_ROLES; r++) free((void *)(uintptr_t)m->w[l][r].data);
    free(m);
}

/* ---- the two sides ---- */

typedef struct side { const ker_backend *b; ker_dev *dev; ker_ctx *ctx; ker_kv *kv; ker_out out; float *x; } side;

static int side_open(side *s, const ker_backend *b, int index, const model *m, char *err)
{
    ker_hold hold = { .index = index };
    s->b = b;
    int rc = b->open(&m->m, 0, &hold, &s->dev, err);
    for (int l = 0; l <= m->m.n_layer && !rc; l++)
        for (int r = 0; r < KER_W_ROLES && !rc; r++)
            if (m->w[l][r].data) rc = b->weight(s->dev, l - 1, (enum ker_role)r, &m->w[l][r], err);
    if (!rc) rc = b->ready(s->dev, err);
    if (!rc) rc = b->ctx_new(s->dev, 256, m->m.n_expert, NULL, &s->ctx, err);
    if (!rc) rc = b->kv_new(s->dev, KER_KV_F16, CELLS / KER_PAGE, &s->kv, err);
    ker_config c = { 1e-5f, m->freq, 1, 1 / sqrtf((float)m->m.head_dim), m->k, NULL, NULL, 1, 0, NULL, NULL };
    s->x = q_alloc(sizeof(float) * 256 * (size_t)m->m.n_embd);
    return rc ? rc : b->cfg_put(s->ctx, 0, &c, err);
}

static void side_close(side *s)
{
    if (s->kv) s->b->kv_free(s->kv);
    if (s->ctx) s->b->ctx_free(s->ctx);
    if (s->dev) s->b->close(s->dev);
    free(s->x);
}

/* ---- a batch ---- */

typedef struct proof {
    const model *m;
    side cpu, other;
    float *before;                     /* the CPU's stream before the part at hand                */
    double limit;
    void (*row)(void *user, const ker_proof *p);
    void *user;
    int wrong;
} proof;

static double gap(const float *a, const float *b, const float *from, int64_t n)
{
    double most = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]), v = fabs((double)b[i] - (from ? (double)from[i] : 0));
        most = d > most || isnan(d) ? d : most;
        size = v > size ? v : size;
    }
    return size > 0 ? most / size : most;
}

static void tell(proof *p, const char *part, int n, double off, double limit)
{
    ker_proof row = { .part = part, .rows = n, .off = off, .limit = limit, .ok = off <= limit };
    snprintf(row.model, sizeof row.model, "%s", p->m->what);
    p->wrong += !row.ok;
    p->row(p->user, &row);
}

/* Compares the streams after a part; the other side goes on with the CPU's. */
static int compare(proof *p, const char *part, int n, bool added)
{
    size_t floats = (size_t)n * (size_t)p->m->m.n_embd;
    int rc = p->cpu.b->hidden_get(p->cpu.ctx, p->cpu.x);
    if (!rc) rc = p->other.b->hidden_get(p->other.ctx, p->other.x);
    if (rc) return rc;
    tell(p, part, n, gap(p->other.x, p->cpu.x, added ? p->before : NULL, (int64_t)floats), p->limit);
    memcpy(p->before, p->cpu.x, sizeof(float) * floats);
    return p->other.b->hidden_put(p->other.ctx, p->cpu.x);
}

/* The trace of routed layers: forced lists come back as they were given; a free choice may differ only where the
 * CPU's margin is small. */
static void compare_routing(proof *p, int n, bool forced)
{
    const ker_model *m = &p->m->m;
    int rows = 0, other = 0;
    double weights = 0;
    for (int l = 0; l < m->n_layer; l++)
        for (int r = 0; r < n && m->layer[l].moe; r++) {
            size_t at = (size_t)l * (size_t)n + (size_t)r, to = at * (size_t)p->cpu.out.max_k, from = at * (size_t)p->other.out.max_k;
            int k = p->m->k[l], missing = 0;
            if (!forced && !(fabsf(p->cpu.out.margin[at]) > .05f)) continue;
            rows++;
            for (int i = 0; i < k; i++) {
                int j = 0;
                while (j < k && p->other.out.ids[from + (size_t)j] != p->cpu.out.ids[to + (size_t)i]) j++;
                missing += j == k;
                if (j < k) weights = fmax(weights, fabs((double)p->other.out.weights[from + (size_t)j] - (double)p->cpu.out.weights[to + (size_t)i]));
            }
            other += missing > 0;
        }
    if (!rows) return;
    tell(p, forced ? N_("forced routing: ids") : N_("routing: ids"), n, (double)other / rows, 0);
    tell(p, forced ? N_("forced routing: weights") : N_("routing: weights"), n, weights, p->limit);
}

static int batch(proof *p, int at, int n, bool forced, char *err)
{
    const ker_model *m = &p->m->m;
    int32_t token[256], cell[256], page[CELLS / KER_PAGE];
    uint8_t want[256];
    for (int i = 0; i < n; i++) {
        token[i] = (int32_t)((unsigned)(at + i) * 2654435761u % (unsigned)m->n_vocab);
        cell[i] = at + i;
        want[i] = n - i <= 8 ? KER_WANT_LOGITS | KER_WANT_HIDDEN : 0;
    }
    for (int i = 0; i < CELLS / KER_PAGE; i++) page[i] = CELLS / KER_PAGE - 1 - i;
    ker_seq seq = { page, CELLS / KER_PAGE };
    uint16_t *ids = q_alloc(sizeof *ids * (size_t)(m->n_layer * n * (m->n_expert + 1)));
    for (int i = 0; i < m->n_layer * n && m->n_expert; i++)
        for (int j = 0; j < m->n_expert; j++)
            ids[i * m->n_expert + j] = j < p->m->s->k ? (uint16_t)((i * 5 + at + j) % m->n_expert) : KER_NO_EXPERT;
    ker_batch b = { .n = n, .token = token, .pos = cell, .cell = cell, .want = want, .seqs = &seq, .n_seq = 1,
                    .forced = forced && m->n_expert ? ids : NULL, .phase = n == 1 };
    side *s[2] = { &p->cpu, &p->other };
    int rc = 0;
#define BOTH(call) for (int i_ = 0; i_ < 2 && !rc; i_++) rc = s[i_]->b->call
    BOTH(begin(s[i_]->ctx, s[i_]->kv, &b, err));
    if (rc) { free(ids); return rc; }
    BOTH(embed(s[i_]->ctx));
    if (!rc) rc = compare(p, N_("embedding"), n, false);
    for (int l = 0; l < m->n_layer && !rc; l++) {
        BOTH(attn(s[i_]->ctx, l));
        if (!rc) rc = compare(p, N_("attention"), n, true);
        if (m->layer[l].moe) {
            BOTH(route(s[i_]->ctx, l));
            BOTH(experts(s[i_]->ctx, l));
            if (!rc && forced) rc = compare(p, N_("experts"), n, true);
            else if (!rc && !(rc = p->cpu.b->hidden_get(p->cpu.ctx, p->before))) rc = p->other.b->hidden_put(p->other.ctx, p->before);
        } else {
            BOTH(dense(s[i_]->ctx, l));
            if (!rc) rc = compare(p, N_("dense feed-forward"), n, true);
        }
    }
    BOTH(head(s[i_]->ctx));
    for (int i = 0; i < 2; i++) {
        int end = s[i]->b->end(s[i]->ctx, &s[i]->out);
        rc = rc ? rc : end;
    }
#undef BOTH
    free(ids);
    if (rc) return q_fail(err, rc, _("%s: the device stopped in the middle of a pass (code %d)"), p->m->what, rc);
    if (p->other.out.n_logits != p->cpu.out.n_logits || p->other.out.n_hidden != p->cpu.out.n_hidden)
        return q_fail(err, Q_ERR, _("%s: the device gave %d rows of logits instead of %d"), p->m->what, p->other.out.n_logits, p->cpu.out.n_logits);
    tell(p, N_("output head"), n, gap(p->other.out.logits, p->cpu.out.logits, NULL, (int64_t)p->cpu.out.n_logits * m->n_vocab), p->limit);
    tell(p, N_("output norm"), n, gap(p->other.out.hidden, p->cpu.out.hidden, NULL, (int64_t)p->cpu.out.n_hidden * m->n_embd), p->limit);
    tell(p, N_("numbers that are not finite"), n, p->other.out.n_bad, 0);
    compare_routing(p, n, forced);
    return 0;
}

/* One model under both kinds of routing. A type without quantised activations differs by the order of sums alone. */
static int one(const ker_backend *b, int index, const shape *s, int type, proof *p, char *err)
{
    model *m = model_new(s, type);
    proof q = { .m = m, .row = p->row, .user = p->user, .before = q_alloc(sizeof(float) * 256 * (size_t)s->n_embd) };
    bool floats = ker_type_get(type)->act == KER_ACT_F32 && (s->down < 0 || ker_type_get(s->down)->act == KER_ACT_F32);
    q.limit = floats ? 1e-3 : 1e-2;
    int rc = side_open(&q.cpu, ker_cpu(), 0, m, err), at = 0;
    if (!rc) rc = side_open(&q.other, b, index, m, err);
    for (int i = 0; s->rows[i] && !rc; i++) {
        rc = batch(&q, at, s->rows[i], true, err);
        at += s->rows[i];
    }
    if (!rc && s->n_expert) rc = batch(&q, at, 9, false, err);
    side_close(&q.cpu);
    side_close(&q.other);
    p->wrong += q.wrong;
    free(q.before);
    model_free(m);
    return rc;
}

int ker_prove(const ker_backend *b, int index, bool with_large, void (*row)(void *user, const ker_proof *p), void *user, char *err)
{
    proof p = { .row = row, .user = user };
    int rc = 0;
    for (int t = 0; t < KER_TYPE_LIMIT && !rc; t++) {
        const ker_type *type = ker_type_get(t);
        if (type && type->weight) rc = one(b, index, type->block > 32 ? &even : &odd, t, &p, err);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !rc; i++) rc = one(b, index, &kinds[i], KER_F32, &p, err);
    for (size_t i = 0; i < sizeof large / sizeof *large && with_large && !rc; i++) rc = one(b, index, &large[i], KER_Q4_K, &p, err);
    return rc ? rc : p.wrong;
}
