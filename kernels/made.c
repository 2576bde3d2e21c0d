/* kernels/made: see made.h. */
#include "kernels/made.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 4096 };

/* ---- random weights ---- */

typedef struct maker { uint64_t s[4]; } maker;

static float unit(maker *r) { return (float)((int64_t)q_random(r->s) >> 40) * 0x1p-23f; }      /* [-1, 1) */

static double mean_of(int type, uint8_t *blocks, int n, float d, float m, double *square)
{
    const ker_type *t = ker_type_get(type);
    float *v = q_alloc(sizeof *v * (size_t)(n * t->block));
    double sum = 0;
    for (int b = 0; b < n; b++) ker_type_scale(type, blocks + b * t->bytes, d, m);
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
static void fill_blocks(int type, uint8_t *p, size_t bytes, double sd, maker *r)
{
    const ker_type *t = ker_type_get(type);
    int n = (int)(bytes / (size_t)t->bytes), sample = SAMPLE / t->block < n ? SAMPLE / t->block : n;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t v = q_random(r->s);
        memcpy(p + i, &v, bytes - i < 8 ? bytes - i : 8);
    }
    double square, d_mean = mean_of(type, p, sample, 1, 0, &square), m = 0;
    if (t->m >= 0) {
        double m_mean = mean_of(type, p, sample, 0, 1, &square);
        m = -d_mean / m_mean;
        mean_of(type, p, sample, 1, (float)m, &square);
    }
    double d = sd / sqrt(square);
    bool centred = t->m >= 0 || fabs(d_mean) < sqrt(square) / 8;
    for (int b = 0; b < n; b++) {      /* quants that average away from zero: either sign in turn */
        float sign = !centred && (q_random(r->s) & 1) ? -1 : 1;
        ker_type_scale(type, p + (size_t)b * (size_t)t->bytes, sign * (float)d, sign * (float)(d * m));
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

static bool wanted(const made_shape *s, enum ker_role role)
{
    switch (role) {
    case KER_W_OUT: return !(s->features & MADE_TIED);
    case KER_W_Q_NORM: case KER_W_K_NORM: return s->features & MADE_QK_NORM;
    case KER_W_SELECT_BIAS: return s->features & MADE_SELECT_BIAS;
    case KER_W_SH_ROUTER: return s->features & MADE_SH_ROUTER;
    default: return true;
    }
}

static bool is_norm(enum ker_role role)
{
    switch (role) {
    case KER_W_OUT_NORM: case KER_W_ATTN_NORM: case KER_W_FFN_NORM: case KER_W_Q_NORM: case KER_W_K_NORM: case KER_W_D_NORM:
    case KER_W_POST_ATTN_NORM: case KER_W_POST_FFN_NORM: case KER_W_Q_A_NORM: case KER_W_KV_A_NORM: return true;
    default: return false;
    }
}

/* Rows that blocks of a type do not fill have shorter blocks, as in files. */
static int type_for(int type, int64_t n) { return n % ker_type_get(type)->block == 0 ? type : n % 32 == 0 ? KER_Q8_0 : KER_F16; }

static void weight_make(made_model *m, int layer, enum ker_role role, int type, maker *r)
{
    const made_shape *s = m->s;
    const ker_role_row *row = ker_role_get(role);
    int64_t ne[3] = { 1, 1, 1 };
    if (!ker_role_here(&m->m, layer, role) || !wanted(s, role)) return;
    ker_role_shape(&m->m, layer, role, ne);
    for (int i = 0; i < 3; i++) ne[i] = ne[i] > 0 ? ne[i] : 1;
    bool routed = role == KER_W_ROUTER || role == KER_W_SELECT_BIAS || role == KER_W_SH_ROUTER;
    if (row->vec || routed) type = KER_F32;
    else if (role == KER_W_DOWN_EXPS && s->down >= 0) type = s->down;
    type = type_for(type, ne[0]);
    const ker_type *t = ker_type_get(type);
    bool norm = is_norm(role);
    double carved = s->router_scale > 0 ? (double)s->router_scale : 1;
    double sd = norm ? .1 : role == KER_W_SINKS ? 1 : row->vec ? .3 : role == KER_W_EMBD ? 1 : 1.5 / sqrt((double)ne[0]);
    if (role == KER_W_ROUTER) sd *= carved;
    if (role == KER_W_SELECT_BIAS) sd = s->router_scale > 0 ? 1e-4 : .2;
    int64_t n = ne[0] * ne[1] * ne[2];
    size_t bytes = (size_t)(n / t->block) * (size_t)t->bytes;
    uint8_t *p = q_alloc(bytes + 8);
    if (t->block > 1) fill_blocks(type, p, bytes, sd, r);
    else fill_floats(t, p, n, norm ? 1 : role == KER_W_D_A ? -1 : 0, sd, r);
    m->w[layer + 1][role] = (ker_weight){ .type = type, .ne = { ne[0], ne[1], ne[2] }, .data = p, .bytes = bytes };
}

static float *numbers(int64_t n, double sd, maker *r)
{
    float *f = q_alloc(sizeof *f * (size_t)n);
    for (int64_t i = 0; i < n; i++) f[i] = (float)(1.7320508 * sd * (double)unit(r));
    return f;
}

/* An adapter that adds about as much to a product as its matrix gives. */
static void low_make(made_model *m, int layer, enum ker_role role, maker *r)
{
    enum { RANK = 5 };
    int64_t ne[3];
    if (!m->w[layer + 1][role].data || !ker_role_low(role)) return;
    ker_role_shape(&m->m, layer, role, ne);
    m->low[m->n_low++] = (ker_low){ .role = role, .layer = layer, .n_expert = (int)ne[2], .n_in = ne[0], .n_out = ne[1], .rank = RANK, .scale = 1.5f,
                                    .a = numbers(ne[2] * RANK * ne[0], 1 / sqrt((double)ne[0]), r), .b = numbers(ne[2] * ne[1] * RANK, 1 / sqrt(RANK), r) };
}

/* A gate and the up behind it become one tensor, for each expert one after the other. The gate's memory holds both. */
static void one_tensor(ker_weight *gate, ker_weight *up)
{
    if (!gate->data) return;
    int64_t n = gate->ne[2], one = (int64_t)gate->bytes / n;
    uint8_t *both = q_alloc((size_t)(2 * n * one) + 8);
    for (int64_t i = 0; i < n; i++) {
        memcpy(both + 2 * i * one, (const uint8_t *)gate->data + i * one, (size_t)one);
        memcpy(both + (2 * i + 1) * one, (const uint8_t *)up->data + i * one, (size_t)one);
    }
    free((void *)(uintptr_t)gate->data);
    free((void *)(uintptr_t)up->data);
    gate->data = both;
    up->data = both + one;
    gate->stride = up->stride = n > 1 ? 2 * one : 0;
    gate->bytes = up->bytes = (size_t)((2 * n - 1) * one);
}

static bool in_one(const made_shape *s, int role) { return s->features & MADE_ONE && (role == KER_W_GATE || role == KER_W_GATE_EXPS || role == KER_W_GATE_SH); }

static void layer_make(made_model *m, int l, bool dense)
{
    const made_shape *s = m->s;
    bool delta = s->features & MADE_DELTA;
    m->layer[l] = (ker_layer){ .mixer = delta && dense ? KER_MIX_DELTA : s->latent.kv_rank ? KER_MIX_MLA : KER_MIX_GQA, .q_gate = delta && !dense, .moe = !dense, .n_ff = dense ? s->ff : 0,
                               .glu = s->glu, .window = l ? 0 : s->window, .sinks = (s->features & MADE_SINKS) != 0, .post_norms = (s->features & MADE_POST) != 0,
                               .biases = (s->features & MADE_BIAS ? KER_BIAS_QKV : 0) | (s->features & MADE_BIASES ? KER_BIAS_O | KER_BIAS_ROUTER | KER_BIAS_EXPERTS : 0) };
    m->k[l] = (int16_t)(dense ? 0 : s->k);
}

made_model *made_new(const made_shape *s, int type, int repeat)
{
    made_model *m = q_alloc(sizeof *m);
    maker r = { { 1, 2, 3, (uint64_t)type + 4 } };
    int kinds = (s->ff > 0) + (s->n_expert > 0), n_layer = kinds > 1 ? kinds : repeat;
    m->s = s;
    for (int l = 0; l < n_layer; l++) {
        layer_make(m, l, s->ff > 0 && (l == 0 || kinds == 1));
        m->layer[l].rope_set = s->features & MADE_POST && l == n_layer - 1;
    }
    m->m = (ker_model){ .n_layer = n_layer, .n_embd = s->n_embd, .n_vocab = s->n_vocab, .n_head = s->n_head, .n_kv_head = s->n_kv, .head_dim = s->hd,
                        .rope_dim = s->rope_dim, .rope_half = (s->features & MADE_HALF) != 0, .n_expert = s->n_expert, .n_ff_exp = s->ffx, .n_ff_sh = s->ffs,
                        .gate = s->gate, .renorm = (s->features & MADE_RENORM) != 0, .weights_scale = s->scale, .router_scale = s->router_scale, .layer = m->layer };
    /* Keys that are no multiple of a warp's share; a head's last block of values may be part of one. */
    if (s->features & MADE_DELTA) m->m.delta = (ker_delta){ .n_key = 2, .n_value = 4, .key_dim = s->hd - 8, .value_dim = s->hd, .conv = 4, .tiled = !(s->features & MADE_PAIRED), .paired = s->features & MADE_PAIRED, .l2_eps = 1e-6f };
    m->m.qk_whole = (s->features & MADE_WHOLE) != 0;
    m->m.latent = s->latent;
    if (s->features & MADE_FACTORS) {
        m->m.embd_scale = 3;
        m->m.residual_scale = .6f;
        m->m.logit_scale = .25f;
    }
    if (s->features & MADE_GROUPS) {
        m->m.n_group = s->n_expert / 2;
        m->m.n_group_used = s->n_expert / 4;
        m->m.group_best = s->gate == KER_GATE_SIGMOID ? 2 : 1;
    }
    for (int i = 0; i < s->rope_dim / 2; i++) m->freq[i] = powf(10000, -2.0f * (float)i / (float)s->rope_dim);
    for (int i = 0; i < s->rope_dim / 2; i++) m->local[i] = powf(500, -2.0f * (float)i / (float)s->rope_dim);
    for (int l = -1; l < kinds; l++)
        for (int role = 0; role < KER_W_ROLES; role++) weight_make(m, l, (enum ker_role)role, type, &r);
    for (int l = 0; l < kinds; l++)
        for (int role = 0; role < KER_W_ROLES; role++)
            if (in_one(s, role)) one_tensor(&m->w[l + 1][role], &m->w[l + 1][role + 1]);
    for (int l = -1; l < kinds && s->features & MADE_LOW; l++)
        for (int role = 0; role < KER_W_ROLES; role++) low_make(m, l, (enum ker_role)role, &r);
    for (int l = 0; l <= n_layer; l++) m->factor[l] = l % 2 ? 1 : .5f;
    for (int l = kinds; l < n_layer; l++) memcpy(m->w[l + 1], m->w[1], sizeof m->w[1]);
    m->own = kinds;
    snprintf(m->what, sizeof m->what, "%s, %s", s->name, ker_type_get(type)->name);
    return m;
}

void made_free(made_model *m)
{
    for (int l = 0; l <= m->own; l++)
        for (int r = 0; r < KER_W_ROLES; r++)
            if (!r || !in_one(m->s, r - 1)) free((void *)(uintptr_t)m->w[l][r].data);
    for (int i = 0; i < m->n_low; i++) {
        free((void *)(uintptr_t)m->low[i].a);
        free((void *)(uintptr_t)m->low[i].b);
    }
    free(m);
}

/* ---- the model on a device ---- */

int made_open(made_side *s, const ker_backend *b, int index, const made_model *m, int rows, int cells, char *err)
{
    ker_hold hold = { .index = index };
    s->b = b;
    int rc = b->open(&m->m, 0, &hold, &s->dev, err);
    for (int l = 0; l <= m->m.n_layer && !rc; l++)
        for (int r = 0; r < KER_W_ROLES && !rc; r++)
            if (m->w[l][r].data) rc = b->weight(s->dev, l - 1, (enum ker_role)r, &m->w[l][r], err);
    if (!rc) rc = b->ready(s->dev, err);
    if (!rc && m->n_low) rc = b->adapter_put(s->dev, 0, m->low, m->n_low, err);
    if (!rc) rc = b->ctx_new(s->dev, rows, m->m.n_expert, NULL, &s->ctx, err);
    if (!rc) rc = b->kv_new(s->dev, KER_KV_F16, (cells + KER_PAGE - 1) / KER_PAGE, &s->kv, err);
    for (int i = 0; i < 2 && !rc && m->s->features & MADE_DELTA; i++) rc = (s->state[i] = b->state_new(s->kv, err)) < 0 ? s->state[i] : 0;
    ker_adapt adapt = { .adapter = 0, .layer = m->factor };
    ker_config c = { .adapt = &adapt, .n_adapt = m->n_low > 0, .norm_eps = 1e-5f, .rope_freq = m->freq, .rope_mscale = 1, .attn_scale = 1 / sqrtf((float)m->m.head_dim), .k = m->k, .router_temperature = 1, .rope_local_mscale = 1 };
    if (m->s->features & MADE_POST) c.rope_local = m->local;
    s->x = q_alloc(sizeof(float) * (size_t)rows * (size_t)m->m.n_embd);
    if (!rc) rc = b->cfg_put(s->ctx, 0, &c, err);
    c.n_adapt = 0;
    if (!rc) rc = b->cfg_put(s->ctx, 1, &c, err);
    for (int i = 2; i < 4 && !rc; i++) {
        int32_t own[MADE_LAYERS], expert[MADE_LAYERS], sign = i == 2 ? 1 : -1;
        for (int l = 0; l < m->m.n_layer; l++) {
            own[l] = sign * ((m->layer[l].moe ? m->s->ffs : m->s->ff) / 3 + 1);
            expert[l] = m->layer[l].moe ? sign * (m->s->ffx / 2 - 3) : 0;
        }
        c.ffn_width = own;
        c.expert_width = expert;
        rc = b->cfg_put(s->ctx, i, &c, err);
    }
    return rc;
}

void made_close(made_side *s)
{
    if (s->kv) s->b->kv_free(s->kv);
    if (s->ctx) s->b->ctx_free(s->ctx);
    if (s->dev) s->b->close(s->dev);
    free(s->x);
}

void made_states(made_side *s, int cell, ker_seq *to)
{
    int was = s->state[0];
    to->state_from = cell ? was : 0;
    to->state_to = s->state[0] = s->state[1];
    s->state[1] = was;
}

int made_stopped(const made_side *s, const made_model *m, int rc, char *err)
{
    char why[Q_ERRLEN] = "";
    if (rc == Q_ERR && s->b->why) s->b->why(s->ctx, why);
    if (*why) return q_fail(err, rc, "%s: %s", m->what, why);
    return q_fail(err, rc, _("%s: the device stopped in the middle of a pass (code %d)"), m->what, rc);
}

int made_pass(made_side *s, const made_model *m, const ker_batch *batch, char *err)
{
    int rc = s->b->begin(s->ctx, s->kv, batch, err);
    if (rc) return rc;
    rc = s->b->embed(s->ctx);
    for (int l = 0; l < m->m.n_layer && !rc; l++) {
        rc = s->b->attn(s->ctx, l);
        if (!rc && !m->layer[l].moe) rc = s->b->dense(s->ctx, l);
        else if (!rc && !(rc = s->b->route(s->ctx, l))) rc = s->b->experts(s->ctx, l);
    }
    if (!rc) rc = s->b->head(s->ctx);
    int end = s->b->end(s->ctx, &s->out);
    rc = rc ? rc : end;
    return rc ? made_stopped(s, m, rc, err) : 0;
}
