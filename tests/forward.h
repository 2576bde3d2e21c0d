/* tests: random tiny models for every backend, settings of the routing, a naive forward pass in double precision
 * written from the definitions in kernels.h, and a whole text through a backend's table. */
#ifndef QUORUM_TESTS_FORWARD_H
#define QUORUM_TESTS_FORWARD_H

#include "kernels/kernels.h"
#include "tests/test.h"

enum { N_TOK = 77, MAX_E = 12, VOCAB = 48 };
static char err[Q_ERRLEN];

/* ---- random models ---- */

static uint64_t seed;
static double rnd(void)                                        /* [-1, 1) */
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 33) / (double)(UINT64_C(1) << 30) - 1;
}

typedef struct spec {
    const char *name;
    int n_layer, dense, n_embd, n_head, n_kv, hd, rope_dim, n_expert, ff, ffx, ffs;
    bool half, qk_norm, bias, tied, select_bias, sh_router, renorm;
    enum ker_gate gate;
    float scale, router_scale;
    int type, down_type;                                       /* of matrices; of the experts' down */
    struct {                                                   /* kinds that not every backend computes: the CPU's own */
        int window, every;                                     /* layers whose number mod `every` is not every - 1 see so many cells ... */
        float k_bias;                          /* of the last two pairs of K that rotate in halves, 0: like the others */
        bool local, sinks, bias_o, post_norms, qk_whole;       /* ... and rotate by a set of their own */
        float embd, residual, logit;
        ker_latent latent;                                     /* then hd is nope + rope, n_kv n_head (the reference keeps every head's K and V) */
    } more;
    struct { enum ker_glu glu; unsigned biases /* of router and experts */; int n_group, n_group_used, group_best; } ffn;      /* likewise */
} spec;

static const spec specs[] = {
    { "qwen3moe", 3, 0, 64, 4, 2, 16, 16, 12, 0, 32, 0, true, true, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32, { 0 }, { 0 } },
    { "qwen2moe", 2, 0, 96, 4, 4, 24, 24, 8, 0, 48, 80, true, false, true, false, false, true, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32, { 0 }, { 0 } },
    { "glm4moe", 3, 1, 64, 6, 2, 32, 16, 12, 112, 32, 64, true, false, true, false, true, false, true, KER_GATE_SIGMOID, 1.5f, 0, KER_F32, KER_F32, { 0 }, { 0 } },
    { "llama", 2, 2, 32, 2, 1, 40, 40, 0, 72, 0, 0, false, false, false, true, false, false, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32, { 0 }, { 0 } },
    { "carved", 3, 1, 64, 2, 1, 32, 32, 6, 96, 32, 64, true, false, false, true, true, false, false, KER_GATE_SIGMOID, 2, 1e-3f, KER_F32, KER_Q8_0, { 0 }, { 0 } },
    { "sigmoid", 2, 0, 576, 9, 3, 64, 64, 5, 0, 64, 0, false, false, false, true, false, false, false, KER_GATE_SIGMOID, 1, 0, KER_F32, KER_F32, { 0 }, { 0 } },
    { "q8", 2, 0, 96, 3, 3, 32, 32, 8, 0, 64, 32, true, true, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0, { 0 }, { 0 } },
    { "carved41", 3, 1, 64, 2, 1, 32, 32, 6, 96, 32, 64, true, false, false, true, true, false, false, KER_GATE_SIGMOID, 2, 1e-3f, KER_F32, KER_Q4_1, { 0 }, { 0 } },
    { "gpt-oss", 3, 0, 64, 4, 2, 16, 16, 12, 0, 32, 0, true, false, true, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .window = 7, .every = 2, .sinks = true, .bias_o = true }, { 0 } },
    { "gemma3", 4, 4, 48, 3, 1, 32, 32, 0, 72, 0, 0, true, true, false, true, false, false, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .window = 20, .every = 3, .local = true, .post_norms = true, .embd = 6.928203f }, { 0 } },
    { "olmoe", 2, 0, 64, 4, 4, 16, 16, 8, 0, 32, 0, true, true, false, false, false, false, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32, { .qk_whole = true }, { 0 } },
    { "granitemoe", 3, 1, 64, 4, 2, 16, 16, 8, 48, 32, 32, false, false, false, true, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .embd = 12, .residual = .22f, .logit = .125f }, { 0 } },
    { "all of it, q8", 3, 1, 64, 4, 2, 32, 16, 8, 64, 64, 32, true, true, true, false, true, true, false, KER_GATE_SIGMOID, 1.5f, 0, KER_Q8_0, KER_Q8_0,
      { .window = 64, .every = 2, .local = true, .sinks = true, .bias_o = true, .post_norms = true, .qk_whole = true, .embd = 2, .residual = .5f, .logit = .25f }, { 0 } },
    { "gptoss", 2, 0, 64, 4, 2, 16, 16, 12, 0, 48, 0, true, false, true, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { 0 }, { KER_GLU_CLAMPED, KER_BIAS_ROUTER | KER_BIAS_EXPERTS, 0, 0, 0 } },
    { "clamped", 3, 1, 64, 4, 2, 16, 16, 8, 80, 33, 17, true, false, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { 0 }, { KER_GLU_CLAMPED, KER_BIAS_EXPERTS, 0, 0, 0 } },
    { "gelu", 2, 1, 96, 4, 4, 24, 24, 8, 72, 48, 40, true, false, false, true, false, true, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { 0 }, { KER_GLU_GELU, KER_BIAS_ROUTER, 0, 0, 0 } },
    { "groups2", 3, 1, 64, 6, 2, 32, 16, 12, 112, 32, 64, true, false, true, false, true, false, true, KER_GATE_SIGMOID, 1.5f, 0, KER_F32, KER_F32,
      { 0 }, { KER_GLU_SILU, 0, 4, 2, 2 } },
    { "groups1", 2, 0, 64, 4, 2, 16, 16, 12, 0, 32, 0, true, true, false, false, false, false, false, KER_GATE_SOFTMAX, 4, 0, KER_F32, KER_F32,
      { 0 }, { KER_GLU_SILU, 0, 6, 2, 1 } },
    { "q8bias", 2, 0, 96, 3, 3, 32, 32, 8, 0, 64, 32, true, true, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0,
      { 0 }, { KER_GLU_CLAMPED, KER_BIAS_ROUTER | KER_BIAS_EXPERTS, 4, 3, 2 } },
    { "norms", 3, 2, 96, 3, 1, 32, 32, 8, 64, 64, 32, true, true, false, true, false, true, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .every = 2, .local = true, .post_norms = true, .embd = 9.797959f }, { 0 } },
    { "norms, q8", 3, 1, 96, 3, 1, 64, 64, 8, 64, 64, 32, true, true, false, true, false, true, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0,
      { .every = 2, .local = true, .post_norms = true, .embd = 2, .residual = .5f, .logit = .25f }, { 0 } },
    { "whole heads, q8", 3, 1, 96, 4, 2, 32, 32, 8, 64, 64, 32, true, true, true, true, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0,
      { .qk_whole = true, .residual = .4f }, { 0 } },
    { "deepseek-v2", 3, 1, 64, 4, 4, 24, 8, 8, 72, 32, 64, false, false, false, false, false, false, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .latent = { .kv_rank = 40, .nope = 16, .rope = 8, .v = 24 } }, { 0 } },
    { "deepseek-v3", 3, 1, 64, 5, 5, 28, 12, 12, 48, 32, 32, false, false, false, false, true, false, true, KER_GATE_SIGMOID, 2.5f, 0, KER_F32, KER_F32,
      { .window = 30, .every = 2, .sinks = true, .latent = { .q_rank = 48, .kv_rank = 64, .nope = 16, .rope = 12, .v = 20 } }, { 0 } },
    { "deepseek, q8", 2, 0, 64, 8, 8, 48, 16, 8, 0, 32, 32, false, false, false, true, false, false, true, KER_GATE_SIGMOID, 1, 0, KER_Q8_0, KER_Q8_0,
      { .latent = { .q_rank = 32, .kv_rank = 96, .nope = 32, .rope = 16, .v = 32 } }, { 0 } },
};
enum { N_SPEC = sizeof specs / sizeof *specs, N_PLAIN = 8 /* those that every backend computes stand first */ };
static inline bool spec_latent(const spec *s) { return s->more.latent.kv_rank > 0; }
static inline int spec_v(const spec *s) { return spec_latent(s) ? s->more.latent.v : s->hd; }
static inline bool spec_local(const spec *s, int layer) { return s->more.every && layer % s->more.every != s->more.every - 1; }
static inline int spec_window(const spec *s, int layer) { return spec_local(s, layer) ? s->more.window : 0; }
static inline int spec_named(const char *name)
{
    int i = 0;
    while (strcmp(specs[i].name, name)) i++;
    return i;
}

typedef struct weight { float *f; void *raw; ker_weight w; } weight;
typedef struct model { const spec *s; ker_model m; ker_layer layer[4]; weight w[5][KER_W_ROLES]; } model;

static void make(model *m, int layer, enum ker_role role, int type, int64_t a, int64_t b, int64_t c, double size, double mean)
{
    weight *w = &m->w[layer + 1][role];
    int64_t n = a * b * c;
    w->f = malloc(sizeof(float) * (size_t)n);
    for (int64_t i = 0; i < n; i++) w->f[i] = (float)(mean + size * rnd());
    w->raw = w->f;
    size_t bytes = sizeof(float) * (size_t)n;
    if (type != KER_F32) {
        const ker_type *t = ker_type_get(type);
        bytes = (size_t)(n / t->block * t->bytes);
        w->raw = malloc(bytes);
        t->encode(w->f, w->raw, n);
        t->decode(w->raw, w->f, n);
    }
    w->w = (ker_weight){ .type = type, .ne = { a, b, c }, .data = w->raw, .bytes = bytes };
}

static void make_latent(model *m, int l, double in)
{
    const spec *s = m->s;
    const ker_latent *t = &s->more.latent;
    int q = s->n_head * s->hd;
    if (t->q_rank) {
        make(m, l, KER_W_Q_A, s->type, s->n_embd, t->q_rank, 1, in, 0);
        make(m, l, KER_W_Q_A_NORM, KER_F32, t->q_rank, 1, 1, .3, 1);
        make(m, l, KER_W_Q_B, s->type, t->q_rank, q, 1, 2.2 / sqrt(t->q_rank), 0);
    } else make(m, l, KER_W_Q, s->type, s->n_embd, q, 1, in, 0);
    make(m, l, KER_W_KV_A, s->type, s->n_embd, t->kv_rank + t->rope, 1, in, 0);
    make(m, l, KER_W_KV_A_NORM, KER_F32, t->kv_rank, 1, 1, .3, 1);
    make(m, l, KER_W_K_B, s->type, t->nope, t->kv_rank, s->n_head, 2.2 / sqrt(t->kv_rank), 0);
    make(m, l, KER_W_V_B, s->type, t->kv_rank, t->v, s->n_head, 2.2 / sqrt(t->kv_rank), 0);
    make(m, l, KER_W_O, s->type, s->n_head * t->v, s->n_embd, 1, 2.0 / sqrt(s->n_head * t->v), 0);
}

static model *model_new(const spec *s)
{
    model *m = calloc(1, sizeof *m);
    seed = q_hash64(s->name, strlen(s->name), 7);
    m->s = s;
    int qd = s->n_head * s->hd, kd = s->n_kv * s->hd, E = s->n_embd, X = s->n_expert;
    for (int i = 0; i < s->n_layer; i++)
        m->layer[i] = (ker_layer){ .mixer = spec_latent(s) ? KER_MIX_MLA : KER_MIX_GQA, .moe = i >= s->dense, .n_ff = i < s->dense ? s->ff : 0, .window = spec_window(s, i), .sinks = s->more.sinks,
                                   .post_norms = s->more.post_norms, .biases = (s->bias ? KER_BIAS_QKV : 0u) | (s->more.bias_o ? KER_BIAS_O : 0u) | s->ffn.biases, .glu = s->ffn.glu,
                                   .rope_set = s->more.local && spec_local(s, i) };
    m->m = (ker_model){ .n_layer = s->n_layer, .n_embd = E, .n_vocab = VOCAB, .n_head = s->n_head, .n_kv_head = s->n_kv, .head_dim = s->hd,
                        .rope_dim = s->rope_dim, .rope_half = s->half, .n_expert = X, .n_ff_exp = s->ffx, .n_ff_sh = s->ffs,
                        .gate = s->gate, .renorm = s->renorm, .weights_scale = s->scale, .router_scale = s->router_scale, .layer = m->layer,
                        .qk_whole = s->more.qk_whole, .embd_scale = s->more.embd, .residual_scale = s->more.residual, .logit_scale = s->more.logit,
                        .n_group = s->ffn.n_group, .n_group_used = s->ffn.n_group_used, .group_best = s->ffn.group_best };
    if (spec_latent(s)) {
        m->m.latent = s->more.latent;
        m->m.n_kv_head = 1;
        m->m.head_dim = s->more.latent.kv_rank + s->more.latent.rope;
    }
    make(m, -1, KER_W_EMBD, s->type, E, VOCAB, 1, 1, 0);
    make(m, -1, KER_W_OUT_NORM, KER_F32, E, 1, 1, .3, 1);
    if (!s->tied) make(m, -1, KER_W_OUT, s->type, E, VOCAB, 1, .3, 0);
    double in = 2.2 / sqrt(E);
    for (int l = 0; l < s->n_layer; l++) {
        make(m, l, KER_W_ATTN_NORM, KER_F32, E, 1, 1, .3, 1);
        make(m, l, KER_W_FFN_NORM, KER_F32, E, 1, 1, .3, 1);
        if (spec_latent(s)) make_latent(m, l, in);
        else {
            make(m, l, KER_W_Q, s->type, E, qd, 1, in, 0);
            make(m, l, KER_W_K, s->type, E, kd, 1, in, 0);
            make(m, l, KER_W_V, s->type, E, kd, 1, in, 0);
            make(m, l, KER_W_O, s->type, qd, E, 1, 2.0 / sqrt(qd), 0);
        }
        if (s->bias) {
            make(m, l, KER_W_BQ, KER_F32, qd, 1, 1, .5, 0);
            make(m, l, KER_W_BK, KER_F32, kd, 1, 1, .5, 0);
            for (int i = 0; i < kd && s->more.k_bias > 0; i++)
                if (i % s->hd < s->rope_dim && i % (s->rope_dim / 2) >= s->rope_dim / 2 - 2) m->w[l + 1][KER_W_BK].f[i] = i / 2 % 2 ? -s->more.k_bias : s->more.k_bias;
            make(m, l, KER_W_BV, KER_F32, kd, 1, 1, .5, 0);
        }
        if (s->qk_norm) {
            make(m, l, KER_W_Q_NORM, KER_F32, s->more.qk_whole ? qd : s->hd, 1, 1, .3, 1);
            make(m, l, KER_W_K_NORM, KER_F32, s->more.qk_whole ? kd : s->hd, 1, 1, .3, 1);
        }
        if (s->more.bias_o) make(m, l, KER_W_BO, KER_F32, E, 1, 1, .5, 0);
        if (s->more.sinks) make(m, l, KER_W_SINKS, KER_F32, s->n_head, 1, 1, 3, 0);
        if (s->more.post_norms) {
            make(m, l, KER_W_POST_ATTN_NORM, KER_F32, E, 1, 1, .3, 1);
            make(m, l, KER_W_POST_FFN_NORM, KER_F32, E, 1, 1, .3, 1);
        }
        if (l < s->dense) {
            make(m, l, KER_W_GATE, s->type, E, s->ff, 1, in, 0);
            make(m, l, KER_W_UP, s->type, E, s->ff, 1, in, 0);
            make(m, l, KER_W_DOWN, s->type, s->ff, E, 1, 2.0 / sqrt(s->ff), 0);
            continue;
        }
        make(m, l, KER_W_ROUTER, KER_F32, E, X, 1, in * (s->router_scale ? 1e-3 : 1), 0);
        if (s->ffn.biases & KER_BIAS_ROUTER) make(m, l, KER_W_BROUTER, KER_F32, X, 1, 1, .7, 0);
        if (s->ffn.biases & KER_BIAS_EXPERTS) {
            make(m, l, KER_W_BGATE_EXPS, KER_F32, s->ffx, X, 1, .7, 0);
            make(m, l, KER_W_BUP_EXPS, KER_F16, s->ffx, X, 1, .7, 0);
            make(m, l, KER_W_BDOWN_EXPS, KER_F32, E, X, 1, .7, 0);
        }
        if (s->select_bias) make(m, l, KER_W_SELECT_BIAS, KER_F32, X, 1, 1, s->router_scale ? 2e-4 : .4, 0);
        make(m, l, KER_W_GATE_EXPS, s->type, E, s->ffx, X, in, 0);
        make(m, l, KER_W_UP_EXPS, s->type, E, s->ffx, X, in, 0);
        make(m, l, KER_W_DOWN_EXPS, s->down_type, s->ffx, E, X, 2.0 / sqrt(s->ffx), 0);
        if (s->ffs) {
            make(m, l, KER_W_GATE_SH, s->type, E, s->ffs, 1, in, 0);
            make(m, l, KER_W_UP_SH, s->type, E, s->ffs, 1, in, 0);
            make(m, l, KER_W_DOWN_SH, s->type, s->ffs, E, 1, 2.0 / sqrt(s->ffs), 0);
        }
        if (s->sh_router) make(m, l, KER_W_SH_ROUTER, KER_F32, E, 1, 1, in, 0);
    }
    return m;
}

static void model_free(model *m)
{
    for (int l = 0; l < 5; l++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            if (m->w[l][r].raw != m->w[l][r].f) free(m->w[l][r].raw);
            free(m->w[l][r].f);
        }
    free(m);
}

/* ---- settings ---- */

typedef struct setting {
    const char *name;
    int k[4];
    int ban[2], pin[2], add;                                   /* expert ids + 1 in every layer, 0 none */
    float temperature, min_p;
    bool forced, head_off, width, magnitude;
} setting;

static const setting settings[] = {
    { "base", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, false, false, false, false },
    { "k_per_layer", { 1, 5, 2, 4 }, { 0 }, { 0 }, 0, 1, 0, false, false, false, false },
    { "all", { 99, 99, 99, 99 }, { 0 }, { 0 }, 0, 1, 0, false, false, false, false },
    { "ban", { 3, 3, 3, 3 }, { 2, 4 }, { 0 }, 0, 1, 0, false, false, false, false },
    { "ban_most", { 99, 99, 99, 99 }, { 2, 4 }, { 0 }, 0, 1, 0, false, false, false, false },
    { "pin_bias", { 3, 3, 3, 3 }, { 0 }, { 5, 1 }, 3, 1, 0, false, false, false, false },
    { "temperature", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1.7f, 0, false, false, false, false },
    { "min_p", { 4, 4, 4, 4 }, { 0 }, { 0 }, 0, .5f, .4f, false, false, false, false },
    { "forced", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, true, false, false, false },
    { "masks", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, false, true, true, false },
    { "magnitude", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, false, false, true, true },
    { "forced_magnitude", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, true, false, true, true },
    { "ban_group", { 3, 3, 3, 3 }, { 3, 4 }, { 0 }, 0, 1, 0, false, false, false, false },
};
enum { N_SETTING = sizeof settings / sizeof *settings };

typedef struct config {
    ker_config c;
    float freq[32], local[32], add[4 * MAX_E];
    int16_t k[4];
    uint8_t pin[4 * MAX_E], head[4 * 16];
    int32_t width[4], narrow[4];                               /* of the dense or shared part, of an expert */
    uint16_t forced[4 * N_TOK * MAX_E];                        /* [layer][token][MAX_E] */
} config;

static void config_make(config *c, const model *m, const setting *t)
{
    const spec *s = m->s;
    memset(c, 0, sizeof *c);
    for (int i = 0; i < s->rope_dim / 2; i++) {
        c->freq[i] = (float)pow(10000, -2.0 * i / s->rope_dim);
        c->local[i] = (float)pow(700, -2.0 * i / s->rope_dim);
    }
    for (int l = 0; l < s->n_layer; l++) {
        c->k[l] = (int16_t)(l < s->dense ? 0 : t->k[l] < s->n_expert ? t->k[l] : s->n_expert);
        for (int i = 0; i < 2; i++) {
            if (t->ban[i]) c->add[l * s->n_expert + t->ban[i] - 1] = -INFINITY;
            if (t->pin[i]) c->pin[l * s->n_expert + t->pin[i] - 1] = 1;
        }
        if (t->add) c->add[l * s->n_expert + t->add - 1] = 2;
        c->head[l * s->n_head + 1] = 1;
        c->width[l] = t->magnitude ? -19 : 33;
        c->narrow[l] = t->magnitude ? -11 - l : 13 + 3 * l;
    }
    for (size_t i = 0; i < sizeof c->forced / 2; i++) c->forced[i] = KER_NO_EXPERT;
    for (int i = 0; i < 4 * N_TOK && s->n_expert; i++)
        for (int j = 0; j < 2; j++) c->forced[i * MAX_E + j] = (uint16_t)((i * 7 + j * 3) % s->n_expert);
    c->c = (ker_config){ 1e-5f, c->freq, 1.25f, 1 / sqrtf((float)s->hd), c->k, t->ban[0] || t->add ? c->add : NULL,
                         t->pin[0] ? c->pin : NULL, t->temperature, t->min_p, t->head_off ? c->head : NULL, t->width ? c->width : NULL,
                         t->width ? c->narrow : NULL, s->more.local ? c->local : NULL, .75f, NULL, 0 };
}

static int32_t tokens[N_TOK];
static void tokens_make(void) { for (int i = 0; i < N_TOK; i++) tokens[i] = (int32_t)((unsigned)i * 2654435761u % VOCAB); }

/* ---- the reference ---- */

typedef struct result {
    float logits[N_TOK * VOCAB];
    uint16_t ids[4 * N_TOK * MAX_E];
    float weights[4 * N_TOK * MAX_E], entropy[4 * N_TOK], margin[4 * N_TOK];
} result;

static void ref_norm(const double *x, const float *w, int n, double *y)
{
    double s = 0;
    for (int i = 0; i < n; i++) s += x[i] * x[i];
    s = 1 / sqrt(s / n + 1e-5);
    for (int i = 0; i < n; i++) y[i] = x[i] * s * w[i];
}

static void ref_mul(const float *w, int64_t n_in, int64_t n_out, const double *x, double *y)
{
    for (int64_t o = 0; o < n_out; o++) {
        double s = 0;
        for (int64_t i = 0; i < n_in; i++) s += (double)w[o * n_in + i] * x[i];
        y[o] = s;
    }
}

static void ref_rope(const spec *s, const config *c, bool local, int pos, double *x)
{
    int half = s->rope_dim / 2;
    double scale = local ? c->c.rope_local_mscale : c->c.rope_mscale;
    for (int i = 0; i < half; i++) {
        int a = s->half ? i : 2 * i, b = s->half ? i + half : 2 * i + 1;
        double t = (double)pos * (local ? c->local : c->freq)[i], x0 = x[a], x1 = x[b];
        x[a] = (x0 * cos(t) - x1 * sin(t)) * scale;
        x[b] = (x1 * cos(t) + x0 * sin(t)) * scale;
    }
}

/* h of one neuron (ker_glu). */
static double ref_glu(enum ker_glu kind, double g, double u)
{
    if (kind == KER_GLU_GELU) return .5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + .044715 * g * g * g))) * u;
    if (kind == KER_GLU_SILU) return g / (1 + exp(-g)) * u;
    g = g > 7 ? 7 : g;
    return g / (1 + exp(-1.702 * g)) * ((u > 7 ? 7 : u < -7 ? -7 : u) + 1);
}

/* b: biases of gate, up and down; NULL: none. */
static void ref_ffn(enum ker_glu kind, const float *g, const float *u, const float *d, const float *const bias[3], int E, int ff, int width, const double *y, double f, double *out)
{
    double a[128], b[128], o[576];
    ref_mul(g, E, ff, y, a);
    ref_mul(u, E, ff, y, b);
    for (int i = 0; i < ff; i++) b[i] = ref_glu(kind, a[i] + (bias ? bias[0][i] : 0), b[i] + (bias ? bias[1][i] : 0));
    for (int i = 0; i < ff; i++) {
        int larger = 0;                                        /* of the same size: the first are kept */
        for (int j = 0; j < ff; j++) larger += fabs(b[j]) > fabs(b[i]) || (j < i && fabs(b[j]) == fabs(b[i]));
        a[i] = width < 0 ? larger < -width ? b[i] : 0 : i < width || !width ? b[i] : 0;
    }
    ref_mul(d, ff, E, a, o);
    for (int i = 0; i < E; i++) out[i] += f * (o[i] + (bias ? bias[2][i] : 0));
}

/* Experts that may not be chosen for k slots because of their groups (ker_model.n_group). */
static void ref_groups(const spec *s, const double *value, const double *sel, int k, bool *banned)
{
    int per = s->n_expert / s->ffn.n_group, held = 0;
    bool taken[MAX_E] = { 0 };
    for (int used = 0; used < s->ffn.n_group_used || held < k; used++) {
        int best = -1;
        double most = 0;
        for (int g = 0; g < s->ffn.n_group; g++) {
            double a = -1e300, b = -1e300;
            int open = 0;
            for (int e = g * per; e < (g + 1) * per; e++) {
                double v = s->ffn.group_best > 1 ? value[e] : sel[e];
                open += !banned[e];
                if (v > a) { b = a; a = v; } else if (v > b) b = v;
            }
            if (s->ffn.group_best > 1) a += b;
            if (!taken[g] && open && (best < 0 || a > most)) { best = g; most = a; }
        }
        if (best < 0) break;
        taken[best] = true;
        for (int e = best * per; e < (best + 1) * per; e++) held += !banned[e];
    }
    for (int e = 0; e < s->n_expert; e++) banned[e] |= !taken[e / per];
}

static void ref_route(const model *m, const config *c, int l, int t, bool forced, const double *logit, result *out)
{
    const spec *s = m->s;
    int n = s->n_expert, list[MAX_E], n_list = 0;
    double sc[MAX_E], p[MAX_E], gate[MAX_E], sel[MAX_E], value[MAX_E], z = 0, top = -INFINITY, sum = 0, h = 0;
    const float *bias = m->w[l + 1][KER_W_SELECT_BIAS].f;
    bool used[MAX_E] = { 0 }, banned[MAX_E] = { 0 };
    for (int e = 0; e < n; e++) {
        sc[e] = logit[e] + (s->ffn.biases & KER_BIAS_ROUTER ? m->w[l + 1][KER_W_BROUTER].f[e] : 0);
        if (s->router_scale) sc[e] = (logit[e] + 4 * (double)bias[e]) / s->router_scale;
        if (c->c.router_add) sc[e] += c->c.router_add[l * n + e];
        banned[e] = c->c.router_add && c->c.router_add[l * n + e] == -INFINITY;
        sc[e] /= c->c.router_temperature;
        if (sc[e] > top) top = sc[e];
    }
    for (int e = 0; e < n; e++) z += exp(sc[e] - top);
    for (int e = 0; e < n; e++) {
        p[e] = exp(sc[e] - top) / z;
        if (p[e] > 0) h -= p[e] * log(p[e]);
        gate[e] = s->router_scale ? 1 : s->gate == KER_GATE_SOFTMAX ? p[e] : 1 / (1 + exp(-sc[e]));
        sel[e] = s->router_scale || s->gate == KER_GATE_SOFTMAX ? sc[e] : gate[e] + (bias ? bias[e] : 0);
        value[e] = gate[e] + (bias ? bias[e] : 0);
    }
    out->entropy[l * N_TOK + t] = (float)h;
    out->margin[l * N_TOK + t] = NAN;
    int open = 0;
    for (int e = 0; e < n; e++) open += !banned[e];
    if (forced) {
        const uint16_t *f = c->forced + (l * N_TOK + t) * MAX_E;
        for (; f[n_list] != KER_NO_EXPERT; n_list++) list[n_list] = f[n_list];
    } else {
        int k = c->k[l] < open ? c->k[l] : open, n_pin = 0;
        for (int pass = 0; pass < 2; pass++) {
            if (pass && s->ffn.n_group) {
                for (int e = 0; e < n; e++) banned[e] |= c->c.pin && c->pin[l * n + e];
                ref_groups(s, value, sel, k - n_list, banned);
                open = n_list;
                for (int e = 0; e < n; e++) open += !banned[e];
            }
            while (n_list < k) {
                int best = -1;
                for (int e = 0; e < n; e++)
                    if (!used[e] && !banned[e] && (pass || (c->c.pin && c->pin[l * n + e])) && (best < 0 || sel[e] > sel[best])) best = e;
                if (best < 0) break;
                used[best] = true;
                list[n_list++] = best;
                n_pin += !pass;
            }
        }
        double rest = -INFINITY;
        for (int e = 0; e < n; e++) if (!used[e] && !banned[e] && sel[e] > rest) rest = sel[e];
        if (n_list < open && n_list > n_pin) out->margin[l * N_TOK + t] = (float)(sel[list[n_list - 1]] - rest);
        double most = 0;
        int kept = 0;
        for (int i = 0; i < n_list; i++) if (gate[list[i]] > most) most = gate[list[i]];
        for (int i = 0; i < n_list; i++) if (i < n_pin || gate[list[i]] >= c->c.min_p * most) list[kept++] = list[i];
        n_list = kept;
    }
    for (int i = 0; i < n_list; i++) sum += gate[list[i]];
    for (int i = 0; i < MAX_E; i++) {
        out->ids[(l * N_TOK + t) * MAX_E + i] = i < n_list ? (uint16_t)list[i] : KER_NO_EXPERT;
        out->weights[(l * N_TOK + t) * MAX_E + i] = i >= n_list ? 0 : s->router_scale ? 1 : (float)(gate[list[i]] / (s->renorm ? sum : 1) * s->scale);
    }
}

/* What a part gives, into the stream: bias, norm, factor. */
static void ref_add(const spec *s, const weight *bias, const weight *norm, double *part, double *x)
{
    for (int i = 0; i < s->n_embd && bias->f; i++) part[i] += bias->f[i];
    if (norm->f) ref_norm(part, norm->f, s->n_embd, part);
    for (int i = 0; i < s->n_embd; i++) x[i] += part[i] * (s->more.residual != 0 ? s->more.residual : 1);
}

/* Dense models may go beyond N_TOK: then only the last row's logits are kept, in out's first row. */
/* A head's Q, K and V of a row, written out (arXiv 2405.04434, equations 9 to 19): nothing is absorbed here. */
static void ref_latent(const spec *s, const config *c, const weight *w, int t, const double *y, double *q, double *k, double *v)
{
    const ker_latent *n = &s->more.latent;
    double low[128], latent[128];
    if (n->q_rank) {
        ref_mul(w[KER_W_Q_A].f, s->n_embd, n->q_rank, y, low);
        ref_norm(low, w[KER_W_Q_A_NORM].f, n->q_rank, low);
        ref_mul(w[KER_W_Q_B].f, n->q_rank, s->n_head * s->hd, low, q);
    } else ref_mul(w[KER_W_Q].f, s->n_embd, s->n_head * s->hd, y, q);
    ref_mul(w[KER_W_KV_A].f, s->n_embd, n->kv_rank + n->rope, y, latent);
    ref_norm(latent, w[KER_W_KV_A_NORM].f, n->kv_rank, latent);
    ref_rope(s, c, false, t, latent + n->kv_rank);
    for (int h = 0; h < s->n_head; h++) {
        ref_rope(s, c, false, t, q + h * s->hd + n->nope);
        for (int i = 0; i < n->nope; i++) {
            double sum = 0;
            for (int j = 0; j < n->kv_rank; j++) sum += (double)w[KER_W_K_B].f[(h * n->kv_rank + j) * n->nope + i] * latent[j];
            k[h * s->hd + i] = sum;
        }
        memcpy(k + h * s->hd + n->nope, latent + n->kv_rank, sizeof(double) * (size_t)n->rope);
        ref_mul(w[KER_W_V_B].f + h * n->v * n->kv_rank, n->kv_rank, n->v, latent, v + h * s->hd);
    }
}

__attribute__((unused)) static void reference(const model *m, const config *c, bool forced, int n, result *out)
{
    const spec *s = m->s;
    int E = s->n_embd, hd = s->hd, qd = s->n_head * hd, kd = s->n_kv * hd, group = s->n_head / s->n_kv;
    double *x = calloc((size_t)(n * E), 8), *K = calloc((size_t)(n * kd), 8), *V = calloc((size_t)(n * kd), 8), *p = calloc((size_t)n, 8);
    double y[576], q[640], o[640], part[576];
    for (size_t i = 0; i < sizeof out->ids / 2; i++) out->ids[i] = KER_NO_EXPERT;
    memset(out->weights, 0, sizeof out->weights);
    memset(out->entropy, 0, sizeof out->entropy);
    for (int i = 0; i < 4 * N_TOK; i++) out->margin[i] = NAN;
    for (int t = 0; t < n; t++)
        for (int i = 0; i < E; i++) x[t * E + i] = m->w[0][KER_W_EMBD].f[tokens[t % N_TOK] * E + i] * (s->more.embd != 0 ? (double)s->more.embd : 1);
    for (int l = 0; l < s->n_layer; l++) {
        const weight *w = m->w[l + 1];
        for (int t = 0; t < n; t++) {
            double *k = K + t * kd, *v = V + t * kd, *xt = x + t * E;
            ref_norm(xt, w[KER_W_ATTN_NORM].f, E, y);
            if (spec_latent(s)) ref_latent(s, c, w, t, y, q, k, v);
            else {
                ref_mul(w[KER_W_Q].f, E, qd, y, q);
                ref_mul(w[KER_W_K].f, E, kd, y, k);
                ref_mul(w[KER_W_V].f, E, kd, y, v);
            }
            for (int i = 0; i < qd && s->bias; i++) q[i] += w[KER_W_BQ].f[i];
            for (int i = 0; i < kd && s->bias; i++) { k[i] += w[KER_W_BK].f[i]; v[i] += w[KER_W_BV].f[i]; }
            bool apart = s->qk_norm && !s->more.qk_whole, whole = s->qk_norm && s->more.qk_whole, local = m->layer[l].rope_set;
            if (whole) ref_norm(k, w[KER_W_K_NORM].f, kd, k);
            if (whole) ref_norm(q, w[KER_W_Q_NORM].f, qd, q);
            for (int h = 0; h < s->n_kv; h++) {
                if (apart) ref_norm(k + h * hd, w[KER_W_K_NORM].f, hd, k + h * hd);
                if (!spec_latent(s)) ref_rope(s, c, local, t, k + h * hd);
            }
            for (int h = 0; h < s->n_head; h++) {
                if (apart) ref_norm(q + h * hd, w[KER_W_Q_NORM].f, hd, q + h * hd);
                if (!spec_latent(s)) ref_rope(s, c, local, t, q + h * hd);
                int from = spec_window(s, l) && t >= spec_window(s, l) ? t - spec_window(s, l) + 1 : 0;
                double top = s->more.sinks ? (double)w[KER_W_SINKS].f[h] : -INFINITY, z = 0;
                for (int u = from; u <= t; u++) {
                    p[u] = 0;
                    for (int d = 0; d < hd; d++) p[u] += q[h * hd + d] * K[u * kd + h / group * hd + d];
                    p[u] *= c->c.attn_scale;
                    if (p[u] > top) top = p[u];
                }
                if (s->more.sinks) z = exp((double)w[KER_W_SINKS].f[h] - top);
                for (int u = from; u <= t; u++) z += p[u] = exp(p[u] - top);
                for (int d = 0; d < spec_v(s); d++) {
                    double a = 0;
                    for (int u = from; u <= t; u++) a += p[u] * V[u * kd + h / group * hd + d];
                    o[h * spec_v(s) + d] = c->c.head_off && c->head[l * s->n_head + h] ? 0 : a / z;
                }
            }
            ref_mul(w[KER_W_O].f, s->n_head * spec_v(s), E, o, part);
            ref_add(s, &w[KER_W_BO], &w[KER_W_POST_ATTN_NORM], part, xt);
            ref_norm(xt, w[KER_W_FFN_NORM].f, E, y);
            int width = c->c.ffn_width ? c->width[l] : 0, narrow = c->c.expert_width ? c->narrow[l] : 0;
            memset(part, 0, sizeof part);
            if (l < s->dense) ref_ffn(s->ffn.glu, w[KER_W_GATE].f, w[KER_W_UP].f, w[KER_W_DOWN].f, NULL, E, s->ff, width, y, 1, part);
            else {
                double logit[MAX_E], g = 0;
                ref_mul(w[KER_W_ROUTER].f, E, s->n_expert, y, logit);
                ref_route(m, c, l, t, forced, logit, out);
                int at = (l * N_TOK + t) * MAX_E, one = E * s->ffx;
                for (int i = 0; i < MAX_E && out->ids[at + i] != KER_NO_EXPERT; i++) {
                    int e = out->ids[at + i];
                    bool with = s->ffn.biases & KER_BIAS_EXPERTS;
                    const float *const bias[3] = { with ? w[KER_W_BGATE_EXPS].f + e * s->ffx : NULL, with ? w[KER_W_BUP_EXPS].f + e * s->ffx : NULL,
                                                   with ? w[KER_W_BDOWN_EXPS].f + e * E : NULL };
                    ref_ffn(s->ffn.glu, w[KER_W_GATE_EXPS].f + e * one, w[KER_W_UP_EXPS].f + e * one, w[KER_W_DOWN_EXPS].f + e * one, with ? bias : NULL, E, s->ffx, narrow, y, out->weights[at + i], part);
                }
                if (s->sh_router) ref_mul(w[KER_W_SH_ROUTER].f, E, 1, y, &g);
                if (s->ffs) ref_ffn(s->ffn.glu, w[KER_W_GATE_SH].f, w[KER_W_UP_SH].f, w[KER_W_DOWN_SH].f, NULL, E, s->ffs, width, y, s->sh_router ? 1 / (1 + exp(-g)) : 1, part);
            }
            ref_add(s, &(weight){ 0 }, &w[KER_W_POST_FFN_NORM], part, xt);
        }
    }
    const float *head = m->w[0][m->w[0][KER_W_OUT].f ? KER_W_OUT : KER_W_EMBD].f;
    for (int t = n > N_TOK ? n - 1 : 0; t < n; t++) {
        double lg[VOCAB];
        ref_norm(x + t * E, m->w[0][KER_W_OUT_NORM].f, E, y);
        ref_mul(head, E, VOCAB, y, lg);
        for (int i = 0; i < VOCAB; i++) out->logits[(n > N_TOK ? 0 : t) * VOCAB + i] = (float)(lg[i] * (s->more.logit != 0 ? (double)s->more.logit : 1));
    }
    free(x); free(K); free(V); free(p);
}

/* ---- the backend ---- */

static const ker_backend *backend;                             /* main sets it */

static ker_dev *dev_new(const model *m, int threads)
{
    const ker_backend *b = backend;
    ker_dev *d = NULL;
    if (b->open(&m->m, threads, NULL, &d, err)) { printf("# open: %s\n", err); return NULL; }
    for (int l = 0; l < 5; l++)
        for (int r = 0; r < KER_W_ROLES; r++)
            if (m->w[l][r].f && b->weight(d, l - 1, r, &m->w[l][r].w, err)) { printf("# weight: %s\n", err); b->close(d); return NULL; }
    if (b->ready(d, err)) { printf("# ready: %s\n", err); b->close(d); return NULL; }
    return d;
}

static int forward(ker_ctx *c, ker_kv *kv, const model *m, const ker_batch *batch, ker_out *out)
{
    const ker_backend *b = backend;
    int rc = b->begin(c, kv, batch, err);
    if (!rc) rc = b->embed(c);
    for (int l = 0; l < m->m.n_layer && !rc; l++) {
        rc = b->attn(c, l);
        if (rc) break;
        if (!m->layer[l].moe) rc = b->dense(c, l);
        else if (!(rc = b->route(c, l))) rc = b->experts(c, l);
    }
    if (!rc) rc = b->head(c);
    return rc ? rc : b->end(c, out);
}

/* The whole text in pieces of `split`, as one sequence on shuffled pages. */
__attribute__((unused)) static int run_model(ker_dev *d, const model *m, const config *g, bool forced, enum ker_kv_type type, int split, result *out)
{
    const ker_backend *b = backend;
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    int max_k = m->m.n_expert, rc = b->ctx_new(d, N_TOK, max_k, NULL, &c, err);
    if (rc) return rc;
    if ((rc = b->kv_new(d, type, 5, &kv, err)) || (rc = b->cfg_put(c, 3, &g->c, err))) {
        printf("# %s\n", err);
        if (kv) b->kv_free(kv);
        b->ctx_free(c);
        return rc;
    }
    const int32_t page[2] = { 4, 1 };
    ker_seq seq = { .page = page, .n_page = 2 };
    for (size_t i = 0; i < sizeof out->ids / 2; i++) out->ids[i] = KER_NO_EXPERT;
    memset(out->weights, 0, sizeof out->weights);
    int32_t pos[N_TOK];
    int16_t slot[N_TOK];
    uint8_t want[N_TOK];
    for (int i = 0; i < N_TOK; i++) { pos[i] = i; slot[i] = 3; want[i] = KER_WANT_LOGITS; }
    for (int t = 0; t < N_TOK && !rc; t += split) {
        int n = N_TOK - t < split ? N_TOK - t : split;
        uint16_t f[4 * N_TOK * MAX_E];
        for (int l = 0; l < m->m.n_layer; l++)
            for (int r = 0; r < n; r++)
                for (int i = 0; i < max_k; i++) f[(l * n + r) * max_k + i] = g->forced[(l * N_TOK + t + r) * MAX_E + i];
        ker_out o;
        ker_batch batch = { .n = n, .token = tokens + t, .pos = pos + t, .cell = pos + t, .slot = slot, .want = want, .seqs = &seq, .n_seq = 1,
                            .forced = forced ? f : NULL, .phase = n == 1 };
        if ((rc = forward(c, kv, m, &batch, &o))) break;
        memcpy(out->logits + t * VOCAB, o.logits, sizeof(float) * (size_t)(n * VOCAB));
        for (int l = 0; l < m->m.n_layer; l++)
            for (int r = 0; r < n; r++) {
                int to = l * N_TOK + t + r, from = l * n + r;
                out->entropy[to] = o.entropy[from];
                out->margin[to] = o.margin[from];
                for (int i = 0; i < max_k; i++) {
                    out->ids[to * MAX_E + i] = o.ids[from * max_k + i];
                    out->weights[to * MAX_E + i] = o.weights[from * max_k + i];
                }
            }
    }
    b->kv_free(kv);
    b->ctx_free(c);
    return rc;
}

__attribute__((unused)) static double worst(const result *a, const result *b)
{
    double most = 0, top = 0;
    for (int i = 0; i < N_TOK * VOCAB; i++) {
        double e = fabs((double)a->logits[i] - b->logits[i]);
        if (!(e <= most)) most = e;
        if (fabs(b->logits[i]) > top) top = fabs(b->logits[i]);
    }
    return most / top;
}

__attribute__((unused)) static bool same(const result *a, const result *b, int n_layer)
{
    size_t n = (size_t)(n_layer * N_TOK);
    return !memcmp(a->logits, b->logits, sizeof a->logits) && !memcmp(a->ids, b->ids, n * MAX_E * 2)
        && !memcmp(a->weights, b->weights, n * MAX_E * 4) && !memcmp(a->entropy, b->entropy, n * 4) && !memcmp(a->margin, b->margin, n * 4);
}

/* ---- cells out and back ---- */
enum { CELLS_TAKEN = 70, CELLS_ROOM = 1 << 20 };

/* The text's first 70 cells on pages 2 and 0, the bytes that they are saved as, and the logits of the token behind them. */
typedef struct saved_cells { uint8_t page[2][CELLS_ROOM]; float next[VOCAB]; } saved_cells;
static const int saved_in[2] = { KER_PAGE, CELLS_TAKEN - KER_PAGE };

/* loaded NULL: evaluated here; else they come from there. */
__attribute__((unused)) static int cells_run(const model *m, const config *g, enum ker_kv_type t, const saved_cells *loaded, saved_cells *out)
{
    const ker_backend *b = backend;
    const int32_t page[2] = { loaded ? 1 : 2, loaded ? 3 : 0 };
    ker_seq seq = { .page = page, .n_page = 2 };
    int32_t pos[N_TOK];
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    ker_out o = { 0 };
    ker_dev *d = dev_new(m, 2);
    for (int i = 0; i < N_TOK; i++) pos[i] = i;
    int rc = d ? b->ctx_new(d, N_TOK, m->m.n_expert, NULL, &c, err) : Q_ERR;
    if (!rc) rc = b->kv_new(d, t, 4, &kv, err);
    if (!rc) rc = b->cfg_put(c, 0, &g->c, err);
    ker_batch text = { .n = CELLS_TAKEN, .token = tokens, .pos = pos, .cell = pos, .seqs = &seq, .n_seq = 1 };
    if (!rc && loaded) {                   /* other cells lie there already */
        for (int i = 0; i < CELLS_TAKEN; i++) pos[i] = i % KER_PAGE;
        ker_batch other = text;
        other.n = KER_PAGE;
        rc = forward(c, kv, m, &other, &o);
        for (int i = 0; i < N_TOK; i++) pos[i] = i;
    }
    if (!rc && !loaded) rc = forward(c, kv, m, &text, &o);
    memset(out->page, 0xEE, sizeof out->page);
    for (int p = 0; p < 2 && !rc; p++) {
        if (loaded) rc = b->kv_load(kv, page[p], saved_in[p], loaded->page[p]);
        if (!rc) rc = b->kv_save(kv, page[p], saved_in[p], out->page[p]);
    }
    for (int bad = 0; bad < 4 && !rc; bad++) {     /* no such page, no such cells */
        static const int at[4] = { -1, 4, 0, 0 }, n[4] = { 1, 1, 0, KER_PAGE + 1 };
        CHECK_INT(b->kv_save(kv, at[bad], n[bad], out->page[0]), Q_RANGE);
        CHECK_INT(b->kv_load(kv, at[bad], n[bad], out->page[0]), Q_RANGE);
    }
    ker_batch next = { .n = 1, .token = tokens + CELLS_TAKEN, .pos = pos + CELLS_TAKEN, .cell = pos + CELLS_TAKEN, .seqs = &seq, .n_seq = 1, .phase = 1 };
    if (!rc) rc = forward(c, kv, m, &next, &o);
    if (!rc) memcpy(out->next, o.logits, sizeof out->next);
    if (kv) b->kv_free(kv);
    if (c) b->ctx_free(c);
    if (d) b->close(d);
    return rc;
}

/* On one device cells are saved, on a second one they are loaded, and the token behind them has the same logits there, bit for
 * bit. What is saved is as long as it is said to be; a number that is none is not loaded. */
__attribute__((unused)) static void cells_come_back(const spec *s)
{
    saved_cells *first = malloc(sizeof *first), *again = malloc(sizeof *again);
    model *m = model_new(s);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    for (int t = KER_KV_F16; t < KER_KV_TYPES; t++) {
        CHECK_INT(cells_run(m, g, t, NULL, first), 0);
        CHECK_INT(cells_run(m, g, t, first, again), 0);
        CHECK_MSG(!memcmp(first->page, again->page, sizeof first->page), "%s, cells of type %d: others are there after loading", s->name, t);
        CHECK_MSG(!memcmp(first->next, again->next, sizeof first->next), "%s, cells of type %d: other logits after loading", s->name, t);
        for (int p = 0; p < 2; p++) {
            int64_t n = ker_cells_bytes(&m->m, t, saved_in[p]), written = CELLS_ROOM;
            while (written > 0 && first->page[p][written - 1] == 0xEE) written--;
            CHECK_MSG(written <= n && written > n - 8, "%s, cells of type %d: %lld bytes saved, %lld said", s->name, t, (long long)written, (long long)n);
        }
        if (t >= KER_KV_Q8_0) memset(first->page[0] + ker_cells_bytes(&m->m, t, KER_PAGE) - 4, 0xFF, 4);       /* a scale */
        else memset(first->page[0] + 8, 0xFF, 4);
        CHECK_INT(cells_run(m, g, t, first, again), Q_FORMAT);
    }
    free(first);
    free(again);
    free(g);
    model_free(m);
}

__attribute__((unused)) static result want, got;

#endif
