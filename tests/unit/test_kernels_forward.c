/* The CPU backend against a naive forward pass in double precision, written from the definitions in
 * kernels.h: every architecture feature and every routing edit on random tiny models; then the promise
 * that bits depend on neither batch, threads nor instruction set; cells; cancel. */
#include <pthread.h>

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
} spec;

static const spec specs[] = {
    { "qwen3moe", 3, 0, 64, 4, 2, 16, 16, 12, 0, 32, 0, true, true, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32 },
    { "qwen2moe", 2, 0, 96, 4, 4, 24, 24, 8, 0, 48, 80, true, false, true, false, false, true, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32 },
    { "glm4moe", 3, 1, 64, 6, 2, 32, 16, 12, 112, 32, 64, true, false, true, false, true, false, true, KER_GATE_SIGMOID, 1.5f, 0, KER_F32, KER_F32 },
    { "llama", 2, 2, 32, 2, 1, 40, 40, 0, 72, 0, 0, false, false, false, true, false, false, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32 },
    { "carved", 3, 1, 64, 2, 1, 32, 32, 6, 96, 32, 64, true, false, false, true, true, false, false, KER_GATE_SIGMOID, 2, 1e-3f, KER_F32, KER_Q8_0 },
    { "sigmoid", 2, 0, 576, 9, 3, 64, 64, 5, 0, 64, 0, false, false, false, true, false, false, false, KER_GATE_SIGMOID, 1, 0, KER_F32, KER_F32 },
    { "q8", 2, 0, 96, 3, 3, 32, 32, 8, 0, 64, 32, true, true, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0 },
};
enum { N_SPEC = sizeof specs / sizeof *specs };

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
    w->w = (ker_weight){ type, { a, b, c }, w->raw, bytes };
}

static model *model_new(const spec *s)
{
    model *m = calloc(1, sizeof *m);
    seed = q_hash64(s->name, strlen(s->name), 7);
    m->s = s;
    int qd = s->n_head * s->hd, kd = s->n_kv * s->hd, E = s->n_embd, X = s->n_expert;
    for (int i = 0; i < s->n_layer; i++) m->layer[i] = (ker_layer){ i >= s->dense, i < s->dense ? s->ff : 0 };
    m->m = (ker_model){ s->n_layer, E, VOCAB, s->n_head, s->n_kv, s->hd, s->rope_dim, s->half, X, s->ffx, s->ffs,
                        s->gate, s->renorm, s->scale, s->router_scale, m->layer };
    make(m, -1, KER_W_EMBD, s->type, E, VOCAB, 1, 1, 0);
    make(m, -1, KER_W_OUT_NORM, KER_F32, E, 1, 1, .3, 1);
    if (!s->tied) make(m, -1, KER_W_OUT, s->type, E, VOCAB, 1, .3, 0);
    double in = 2.2 / sqrt(E);
    for (int l = 0; l < s->n_layer; l++) {
        make(m, l, KER_W_ATTN_NORM, KER_F32, E, 1, 1, .3, 1);
        make(m, l, KER_W_FFN_NORM, KER_F32, E, 1, 1, .3, 1);
        make(m, l, KER_W_Q, s->type, E, qd, 1, in, 0);
        make(m, l, KER_W_K, s->type, E, kd, 1, in, 0);
        make(m, l, KER_W_V, s->type, E, kd, 1, in, 0);
        make(m, l, KER_W_O, s->type, qd, E, 1, 2.0 / sqrt(qd), 0);
        if (s->bias) {
            make(m, l, KER_W_BQ, KER_F32, qd, 1, 1, .5, 0);
            make(m, l, KER_W_BK, KER_F32, kd, 1, 1, .5, 0);
            make(m, l, KER_W_BV, KER_F32, kd, 1, 1, .5, 0);
        }
        if (s->qk_norm) {
            make(m, l, KER_W_Q_NORM, KER_F32, s->hd, 1, 1, .3, 1);
            make(m, l, KER_W_K_NORM, KER_F32, s->hd, 1, 1, .3, 1);
        }
        if (l < s->dense) {
            make(m, l, KER_W_GATE, s->type, E, s->ff, 1, in, 0);
            make(m, l, KER_W_UP, s->type, E, s->ff, 1, in, 0);
            make(m, l, KER_W_DOWN, s->type, s->ff, E, 1, 2.0 / sqrt(s->ff), 0);
            continue;
        }
        make(m, l, KER_W_ROUTER, KER_F32, E, X, 1, in * (s->router_scale ? 1e-3 : 1), 0);
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
    bool forced, head_off, width;
} setting;

static const setting settings[] = {
    { "base", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, false, false, false },
    { "k_per_layer", { 1, 5, 2, 4 }, { 0 }, { 0 }, 0, 1, 0, false, false, false },
    { "all", { 99, 99, 99, 99 }, { 0 }, { 0 }, 0, 1, 0, false, false, false },
    { "ban", { 3, 3, 3, 3 }, { 2, 4 }, { 0 }, 0, 1, 0, false, false, false },
    { "ban_most", { 99, 99, 99, 99 }, { 2, 4 }, { 0 }, 0, 1, 0, false, false, false },
    { "pin_bias", { 3, 3, 3, 3 }, { 0 }, { 5, 1 }, 3, 1, 0, false, false, false },
    { "temperature", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1.7f, 0, false, false, false },
    { "min_p", { 4, 4, 4, 4 }, { 0 }, { 0 }, 0, .5f, .4f, false, false, false },
    { "forced", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, true, false, false },
    { "masks", { 3, 3, 3, 3 }, { 0 }, { 0 }, 0, 1, 0, false, true, true },
};
enum { N_SETTING = sizeof settings / sizeof *settings };

typedef struct config {
    ker_config c;
    float freq[32], add[4 * MAX_E];
    int16_t k[4];
    uint8_t pin[4 * MAX_E], head[4 * 16];
    int32_t width[4];
    uint16_t forced[4 * N_TOK * MAX_E];                        /* [layer][token][MAX_E] */
} config;

static void config_make(config *c, const model *m, const setting *t)
{
    const spec *s = m->s;
    memset(c, 0, sizeof *c);
    for (int i = 0; i < s->rope_dim / 2; i++) c->freq[i] = (float)pow(10000, -2.0 * i / s->rope_dim);
    for (int l = 0; l < s->n_layer; l++) {
        c->k[l] = (int16_t)(l < s->dense ? 0 : t->k[l] < s->n_expert ? t->k[l] : s->n_expert);
        for (int i = 0; i < 2; i++) {
            if (t->ban[i]) c->add[l * s->n_expert + t->ban[i] - 1] = -INFINITY;
            if (t->pin[i]) c->pin[l * s->n_expert + t->pin[i] - 1] = 1;
        }
        if (t->add) c->add[l * s->n_expert + t->add - 1] = 2;
        c->head[l * s->n_head + 1] = 1;
        c->width[l] = 33;
    }
    for (size_t i = 0; i < sizeof c->forced / 2; i++) c->forced[i] = KER_NO_EXPERT;
    for (int i = 0; i < 4 * N_TOK && s->n_expert; i++)
        for (int j = 0; j < 2; j++) c->forced[i * MAX_E + j] = (uint16_t)((i * 7 + j * 3) % s->n_expert);
    c->c = (ker_config){ 1e-5f, c->freq, 1.25f, 1 / sqrtf((float)s->hd), c->k, t->ban[0] || t->add ? c->add : NULL,
                         t->pin[0] ? c->pin : NULL, t->temperature, t->min_p, t->head_off ? c->head : NULL, t->width ? c->width : NULL };
}

static int32_t tokens[N_TOK];

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

static void ref_rope(const spec *s, const config *c, int pos, double *x)
{
    int half = s->rope_dim / 2;
    for (int i = 0; i < half; i++) {
        int a = s->half ? i : 2 * i, b = s->half ? i + half : 2 * i + 1;
        double t = (double)pos * c->freq[i], x0 = x[a], x1 = x[b];
        x[a] = (x0 * cos(t) - x1 * sin(t)) * c->c.rope_mscale;
        x[b] = (x1 * cos(t) + x0 * sin(t)) * c->c.rope_mscale;
    }
}

static void ref_ffn(const float *g, const float *u, const float *d, int E, int ff, int width, const double *y, double f, double *out)
{
    double a[128], b[128], o[576];
    ref_mul(g, E, ff, y, a);
    ref_mul(u, E, ff, y, b);
    for (int i = 0; i < ff; i++) a[i] = i < width || !width ? a[i] / (1 + exp(-a[i])) * b[i] : 0;
    ref_mul(d, ff, E, a, o);
    for (int i = 0; i < E; i++) out[i] += f * o[i];
}

static void ref_route(const model *m, const config *c, int l, int t, bool forced, const double *logit, result *out)
{
    const spec *s = m->s;
    int n = s->n_expert, list[MAX_E], n_list = 0;
    double sc[MAX_E], p[MAX_E], gate[MAX_E], sel[MAX_E], z = 0, top = -INFINITY, sum = 0, h = 0;
    const float *bias = m->w[l + 1][KER_W_SELECT_BIAS].f;
    bool used[MAX_E] = { 0 }, banned[MAX_E] = { 0 };
    for (int e = 0; e < n; e++) {
        sc[e] = s->router_scale ? (logit[e] + 4 * (double)bias[e]) / s->router_scale : logit[e];
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
        for (int pass = 0; pass < 2; pass++)
            while (n_list < k) {
                int best = -1;
                for (int e = 0; e < n; e++)
                    if (!used[e] && !banned[e] && (pass || (c->c.pin && c->pin[l * n + e])) && (best < 0 || sel[e] > sel[best])) best = e;
                if (best < 0) break;
                used[best] = true;
                list[n_list++] = best;
                n_pin += !pass;
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

/* Dense models may go beyond N_TOK: then only the last row's logits are kept, in out's first row. */
static void reference(const model *m, const config *c, bool forced, int n, result *out)
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
        for (int i = 0; i < E; i++) x[t * E + i] = m->w[0][KER_W_EMBD].f[tokens[t % N_TOK] * E + i];
    for (int l = 0; l < s->n_layer; l++) {
        const weight *w = m->w[l + 1];
        for (int t = 0; t < n; t++) {
            double *k = K + t * kd, *v = V + t * kd, *xt = x + t * E;
            ref_norm(xt, w[KER_W_ATTN_NORM].f, E, y);
            ref_mul(w[KER_W_Q].f, E, qd, y, q);
            ref_mul(w[KER_W_K].f, E, kd, y, k);
            ref_mul(w[KER_W_V].f, E, kd, y, v);
            for (int i = 0; i < qd && s->bias; i++) q[i] += w[KER_W_BQ].f[i];
            for (int i = 0; i < kd && s->bias; i++) { k[i] += w[KER_W_BK].f[i]; v[i] += w[KER_W_BV].f[i]; }
            for (int h = 0; h < s->n_kv; h++) {
                if (s->qk_norm) ref_norm(k + h * hd, w[KER_W_K_NORM].f, hd, k + h * hd);
                ref_rope(s, c, t, k + h * hd);
            }
            for (int h = 0; h < s->n_head; h++) {
                if (s->qk_norm) ref_norm(q + h * hd, w[KER_W_Q_NORM].f, hd, q + h * hd);
                ref_rope(s, c, t, q + h * hd);
                double top = -INFINITY, z = 0;
                for (int u = 0; u <= t; u++) {
                    p[u] = 0;
                    for (int d = 0; d < hd; d++) p[u] += q[h * hd + d] * K[u * kd + h / group * hd + d];
                    p[u] *= c->c.attn_scale;
                    if (p[u] > top) top = p[u];
                }
                for (int u = 0; u <= t; u++) z += p[u] = exp(p[u] - top);
                for (int d = 0; d < hd; d++) {
                    double a = 0;
                    for (int u = 0; u <= t; u++) a += p[u] * V[u * kd + h / group * hd + d];
                    o[h * hd + d] = c->c.head_off && c->head[l * s->n_head + h] ? 0 : a / z;
                }
            }
            ref_mul(w[KER_W_O].f, qd, E, o, part);
            for (int i = 0; i < E; i++) xt[i] += part[i];
            ref_norm(xt, w[KER_W_FFN_NORM].f, E, y);
            int width = c->c.ffn_width ? c->width[l] : 0;
            memset(part, 0, sizeof part);
            if (l < s->dense) ref_ffn(w[KER_W_GATE].f, w[KER_W_UP].f, w[KER_W_DOWN].f, E, s->ff, width, y, 1, part);
            else {
                double logit[MAX_E], g = 0;
                ref_mul(w[KER_W_ROUTER].f, E, s->n_expert, y, logit);
                ref_route(m, c, l, t, forced, logit, out);
                int at = (l * N_TOK + t) * MAX_E, one = E * s->ffx;
                for (int i = 0; i < MAX_E && out->ids[at + i] != KER_NO_EXPERT; i++) {
                    int e = out->ids[at + i];
                    ref_ffn(w[KER_W_GATE_EXPS].f + e * one, w[KER_W_UP_EXPS].f + e * one, w[KER_W_DOWN_EXPS].f + e * one, E, s->ffx, 0, y, out->weights[at + i], part);
                }
                if (s->sh_router) ref_mul(w[KER_W_SH_ROUTER].f, E, 1, y, &g);
                if (s->ffs) ref_ffn(w[KER_W_GATE_SH].f, w[KER_W_UP_SH].f, w[KER_W_DOWN_SH].f, E, s->ffs, width, y, s->sh_router ? 1 / (1 + exp(-g)) : 1, part);
            }
            for (int i = 0; i < E; i++) xt[i] += part[i];
        }
    }
    const float *head = m->w[0][s->tied ? KER_W_EMBD : KER_W_OUT].f;
    for (int t = n > N_TOK ? n - 1 : 0; t < n; t++) {
        double lg[VOCAB];
        ref_norm(x + t * E, m->w[0][KER_W_OUT_NORM].f, E, y);
        ref_mul(head, E, VOCAB, y, lg);
        for (int i = 0; i < VOCAB; i++) out->logits[(n > N_TOK ? 0 : t) * VOCAB + i] = (float)lg[i];
    }
    free(x); free(K); free(V); free(p);
}

/* ---- the backend ---- */

static ker_dev *dev_new(const model *m, int threads)
{
    const ker_backend *b = ker_cpu();
    ker_dev *d = NULL;
    if (b->open(&m->m, threads, &d, err)) { printf("# open: %s\n", err); return NULL; }
    for (int l = 0; l < 5; l++)
        for (int r = 0; r < KER_W_ROLES; r++)
            if (m->w[l][r].f && b->weight(d, l - 1, r, &m->w[l][r].w, err)) { printf("# weight: %s\n", err); b->close(d); return NULL; }
    if (b->ready(d, err)) { printf("# ready: %s\n", err); b->close(d); return NULL; }
    return d;
}

static int forward(ker_ctx *c, ker_kv *kv, const model *m, const ker_batch *batch, ker_out *out)
{
    const ker_backend *b = ker_cpu();
    int rc = b->begin(c, kv, batch);
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
static int run_model(ker_dev *d, const model *m, const config *g, bool forced, enum ker_kv_type type, int split, result *out)
{
    const ker_backend *b = ker_cpu();
    ker_ctx *c;
    ker_kv *kv;
    int max_k = m->m.n_expert, rc = b->ctx_new(d, N_TOK, max_k, NULL, &c, err);
    if (rc) return rc;
    if ((rc = b->kv_new(d, type, 5, &kv, err)) || (rc = b->cfg_put(c, 3, &g->c, err))) { printf("# %s\n", err); return rc; }
    const int32_t page[2] = { 4, 1 };
    ker_seq seq = { page, 2 };
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

static double worst(const result *a, const result *b)
{
    double most = 0, top = 0;
    for (int i = 0; i < N_TOK * VOCAB; i++) {
        double e = fabs((double)a->logits[i] - b->logits[i]);
        if (!(e <= most)) most = e;
        if (fabs(b->logits[i]) > top) top = fabs(b->logits[i]);
    }
    return most / top;
}

static bool same(const result *a, const result *b, int n_layer)
{
    size_t n = (size_t)(n_layer * N_TOK);
    return !memcmp(a->logits, b->logits, sizeof a->logits) && !memcmp(a->ids, b->ids, n * MAX_E * 2)
        && !memcmp(a->weights, b->weights, n * MAX_E * 4) && !memcmp(a->entropy, b->entropy, n * 4) && !memcmp(a->margin, b->margin, n * 4);
}

static result want, got;

static void forward_matches_reference(void)
{
    for (int s = 0; s < N_SPEC; s++) {
        model *m = model_new(&specs[s]);
        ker_dev *d = dev_new(m, 2);
        CHECK(d != NULL);
        for (int t = 0; d && t < N_SETTING; t++) {
            if (specs[s].n_embd > 500 && t % 4 > 1) continue;   /* the wide one takes long in the reference */
            config *g = malloc(sizeof *g);
            config_make(g, m, &settings[t]);
            const char *what = q_printf("%s/%s", specs[s].name, settings[t].name);
            if (settings[t].forced && !m->m.n_expert) { free(g); free((void *)(uintptr_t)what); continue; }
            reference(m, g, settings[t].forced, N_TOK, &want);
            CHECK_INT(run_model(d, m, g, settings[t].forced, KER_KV_F32, N_TOK, &got), 0);
            double bad = worst(&got, &want);
            bool exact = specs[s].type == KER_F32 && specs[s].down_type == KER_F32;
            /* Quantised activations: the reference keeps them in double. Routing may flip there, so it is forced or all. */
            bool stable = exact || settings[t].forced || !strcmp(settings[t].name, "all");
            if (stable) CHECK_MSG(bad < (exact ? 2e-5 : 6e-2), "%s: off by %.3g of the largest logit", what, bad);
            int flips = 0, wrong = 0;
            for (int l = 0; l < m->m.n_layer && exact; l++)
                for (int i = 0; i < N_TOK; i++) {
                    int at = (l * N_TOK + i) * MAX_E;
                    flips += memcmp(got.ids + at, want.ids + at, sizeof(uint16_t) * (size_t)m->m.n_expert) != 0;
                    for (int j = 0; j < m->m.n_expert; j++) wrong += !(fabsf(got.weights[at + j] - want.weights[at + j]) < 2e-5f);
                    float e = got.entropy[l * N_TOK + i] - want.entropy[l * N_TOK + i], mg = got.margin[l * N_TOK + i], mw = want.margin[l * N_TOK + i];
                    wrong += !(fabsf(e) < 1e-4f) + !(isnan(mg) ? isnan(mw) : fabsf(mg - mw) < 1e-4f);
                }
            CHECK_MSG(flips == 0 && wrong == 0, "%s: %d routings, %d numbers differ", what, flips, wrong);
            free(g);
            free((void *)(uintptr_t)what);
        }
        ker_cpu()->close(d);
        model_free(m);
    }
}

static void bits_do_not_depend_on_batch_or_threads(void)
{
    static const int split[] = { 1, 7, 64, N_TOK };
    for (int s = 0; s < N_SPEC; s++) {
        model *m = model_new(&specs[s]);
        ker_dev *d = dev_new(m, 1);
        CHECK(d != NULL);
        if (!d) return;
        config *g = malloc(sizeof *g);
        for (int kv = KER_KV_F16; kv <= KER_KV_Q8_0; kv++) {
            config_make(g, m, &settings[kv == KER_KV_F16 ? 5 : 0]);
            ker_cpu()->set_threads(d, 1);
            CHECK_INT(run_model(d, m, g, false, kv, N_TOK, &want), 0);
            for (int threads = 1; threads <= 3; threads++) {
                ker_cpu()->set_threads(d, threads);
                for (size_t i = 0; i < sizeof split / sizeof *split; i++) {
                    if (threads > 1 && (specs[s].n_embd > 500 || kv != KER_KV_F16) && i != 1) continue;
                    CHECK_INT(run_model(d, m, g, false, kv, split[i], &got), 0);
                    CHECK_MSG(same(&got, &want, m->m.n_layer), "%s: %d threads, pieces of %d, kv type %d", specs[s].name, threads, split[i], kv);
                }
            }
        }
        free(g);
        ker_cpu()->close(d);
        model_free(m);
    }
}

static void bits_do_not_depend_on_the_instruction_set(void)
{
    static const char *const isa[] = { "scalar", "avx2", "avx512", NULL };
    for (int s = 0; s < N_SPEC; s++) {
        model *m = model_new(&specs[s]);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[0]);
        for (int kv = KER_KV_F16; kv <= KER_KV_Q8_0; kv++)
            for (int i = 0; i < 4; i++) {
                if (ker_cpu_force(isa[i])) continue;
                ker_dev *d = dev_new(m, 2);
                CHECK(d != NULL);
                CHECK_INT(run_model(d, m, g, false, kv, 31, i ? &got : &want), 0);
                if (i) CHECK_MSG(same(&got, &want, m->m.n_layer), "%s: %s against scalar, kv type %d", specs[s].name, ker_cpu_features(), kv);
                ker_cpu()->close(d);
            }
        ker_cpu_force(NULL);
        free(g);
        model_free(m);
    }
}

static void narrow_cells_stay_close(void)
{
    static const double tolerance[] = { [KER_KV_F16] = 2e-3, [KER_KV_F32] = 1e-9, [KER_KV_Q8_0] = 5e-2 };
    for (int s = 1; s <= 3; s++) {
        model *m = model_new(&specs[s]);
        ker_dev *d = dev_new(m, 2);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[2]);           /* all experts: no routing to flip */
        CHECK_INT(run_model(d, m, g, false, KER_KV_F32, N_TOK, &want), 0);
        for (int kv = KER_KV_F16; kv <= KER_KV_Q8_0; kv++) {
            CHECK_INT(run_model(d, m, g, false, kv, 5, &got), 0);
            double bad = worst(&got, &want);
            CHECK_MSG(bad <= tolerance[kv] && (kv == KER_KV_F32 || bad > 0), "%s: kv type %d off by %.3g", specs[s].name, kv, bad);
        }
        free(g);
        ker_cpu()->close(d);
        model_free(m);
    }
}

/* Two sequences with a shared first page and different configurations in one batch give the bits that each gives alone. */
static void sequences_share_a_batch(void)
{
    const ker_backend *b = ker_cpu();
    model *m = model_new(&specs[2]);
    ker_dev *d = dev_new(m, 2);
    config *g = malloc(2 * sizeof *g);
    ker_ctx *c;
    ker_kv *kv;
    config_make(&g[0], m, &settings[0]);
    config_make(&g[1], m, &settings[5]);
    CHECK_INT(b->ctx_new(d, N_TOK, m->m.n_expert, NULL, &c, err), 0);
    CHECK_INT(b->kv_new(d, KER_KV_F16, 8, &kv, err), 0);
    for (int i = 0; i < 2; i++) CHECK_INT(b->cfg_put(c, i, &g[i].c, err), 0);
    int32_t page[2][2] = { { 6, 2 }, { 6, 3 } }, cell[N_TOK];
    ker_seq seq[2] = { { page[0], 2 }, { page[1], 2 } };
    for (int i = 0; i < N_TOK; i++) cell[i] = i;
    ker_out o;
    ker_batch first = { .n = 67, .token = tokens, .pos = cell, .cell = cell, .seqs = seq, .n_seq = 1 };
    CHECK_INT(forward(c, kv, m, &first, &o), 0);
    CHECK_INT(o.n_logits, 1);
    b->kv_copy(kv, 3, 2, 67 - KER_PAGE);
    float alone[2][VOCAB];
    for (int i = 0; i < 2; i++) {
        ker_batch one = { .n = 1, .token = tokens + 67 + i, .pos = cell + 67, .cell = cell + 67, .slot = (int16_t[]){ (int16_t)i }, .seqs = &seq[i], .n_seq = 1 };
        CHECK_INT(forward(c, kv, m, &one, &o), 0);
        memcpy(alone[i], o.logits, sizeof alone[i]);
    }
    ker_batch both = { .n = 2, .token = tokens + 67, .pos = (int32_t[]){ 67, 67 }, .cell = (int32_t[]){ 67, 67 }, .seq = (int16_t[]){ 0, 1 },
                       .slot = (int16_t[]){ 0, 1 }, .want = (uint8_t[]){ KER_WANT_LOGITS, KER_WANT_LOGITS | KER_WANT_HIDDEN }, .seqs = seq, .n_seq = 2 };
    CHECK_INT(forward(c, kv, m, &both, &o), 0);
    CHECK_INT(o.n_logits, 2);
    CHECK_INT(o.n_hidden, 1);
    CHECK(!memcmp(o.logits, alone, sizeof alone));
    CHECK(memcmp(alone[0], alone[1], sizeof alone[0]));
    b->kv_free(kv);
    b->ctx_free(c);
    b->close(d);
    free(g);
    model_free(m);
}

/* Beyond one segment of cells (attn.c): a prompt in one piece, in pieces, and decoding agree bit for bit at any
 * number of threads, and with the reference. */
static void long_texts_join_their_segments(void)
{
    enum { LONG = 1100, PAGES = (LONG + KER_PAGE - 1) / KER_PAGE };
    static const int tail[] = { LONG, 1, 5, 60 };              /* how the last 120 cells are fed */
    const ker_backend *b = ker_cpu();
    model *m = model_new(&specs[3]);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    int32_t tok[LONG], cell[LONG], page[PAGES];
    for (int i = 0; i < LONG; i++) { tok[i] = tokens[i % N_TOK]; cell[i] = i; }
    for (int i = 0; i < PAGES; i++) page[i] = PAGES - 1 - i;
    ker_seq seq = { page, PAGES };
    float first[VOCAB];
    reference(m, g, false, LONG, &want);
    for (int threads = 1; threads <= 3; threads++)
        for (int i = 0; i < 4; i++) {
            ker_dev *d = dev_new(m, threads);
            ker_ctx *c;
            ker_kv *kv;
            ker_out o = { 0 };
            CHECK_INT(b->ctx_new(d, LONG, 0, NULL, &c, err), 0);
            CHECK_INT(b->kv_new(d, KER_KV_F32, PAGES, &kv, err), 0);
            CHECK_INT(b->cfg_put(c, 0, &g->c, err), 0);
            for (int t = 0, n; t < LONG; t += n) {
                n = i == 0 ? LONG : t < LONG - 120 ? LONG - 120 : tail[i];
                if (n > LONG - t) n = LONG - t;
                ker_batch batch = { .n = n, .token = tok + t, .pos = cell + t, .cell = cell + t, .seqs = &seq, .n_seq = 1 };
                CHECK_INT(forward(c, kv, m, &batch, &o), 0);
            }
            if (threads == 1 && i == 0) memcpy(first, o.logits, sizeof first);
            CHECK_MSG(!memcmp(first, o.logits, sizeof first), "%d threads, the end in pieces of %d", threads, tail[i]);
            b->kv_free(kv);
            b->ctx_free(c);
            b->close(d);
        }
    double bad = 0, top = 0;
    for (int i = 0; i < VOCAB; i++) {
        bad = fmax(bad, fabs((double)first[i] - want.logits[i]));
        top = fmax(top, fabs((double)want.logits[i]));
    }
    CHECK_MSG(bad < 2e-5 * top, "off by %.3g of the largest logit", bad / top);
    free(g);
    model_free(m);
}

/* NaN router scores: ids stay distinct and valid, bans hold. */
static void nan_scores_give_valid_ids(void)
{
    for (int s = 0; s < 3; s += 2) {
        model *m = model_new(&specs[s]);
        float *router = m->w[specs[s].dense + 1][KER_W_ROUTER].f;
        for (int i = 0; i < specs[s].n_embd * specs[s].n_expert; i += 3) router[i] = NAN;
        ker_dev *d = dev_new(m, 2);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[3]);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F32, 9, &got), 0);
        for (int l = specs[s].dense; l < specs[s].n_layer; l++)
            for (int t = 0; t < N_TOK; t++) {
                const uint16_t *ids = got.ids + (l * N_TOK + t) * MAX_E;
                for (int i = 0; i < 3; i++) {
                    CHECK(ids[i] < specs[s].n_expert && ids[i] != 1 && ids[i] != 3);
                    for (int j = 0; j < i; j++) CHECK(ids[i] != ids[j]);
                }
                CHECK(ids[3] == KER_NO_EXPERT);
            }
        free(g);
        ker_cpu()->close(d);
        model_free(m);
    }
}

typedef struct canceller { atomic_int *flag; int64_t at; } canceller;
static void *cancel_soon(void *p)
{
    canceller *c = p;
    struct timespec t = { 0, 3000000 };
    nanosleep(&t, NULL);
    c->at = q_now_ns();
    atomic_store(c->flag, 1);
    return NULL;
}

static void cancel_stops_soon(void)
{
    const ker_backend *b = ker_cpu();
    model *m = model_new(&specs[5]);
    ker_dev *d = dev_new(m, 2);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[2]);
    atomic_int flag = 0;
    ker_ctx *c;
    ker_kv *kv;
    enum { N = 256 };
    static int32_t tok[N], cell[N], page[N / KER_PAGE];
    for (int i = 0; i < N; i++) { tok[i] = i % VOCAB; cell[i] = i; }
    for (int i = 0; i < N / KER_PAGE; i++) page[i] = i;
    CHECK_INT(b->ctx_new(d, N, m->m.n_expert, &flag, &c, err), 0);
    CHECK_INT(b->kv_new(d, KER_KV_F16, N / KER_PAGE, &kv, err), 0);
    CHECK_INT(b->cfg_put(c, 0, &g->c, err), 0);
    ker_seq seq = { page, N / KER_PAGE };
    ker_batch batch = { .n = N, .token = tok, .pos = cell, .cell = cell, .seqs = &seq, .n_seq = 1 };
    ker_out o;
    int64_t late = INT64_MAX;
    for (int i = 0; i < 4; i++) {                  /* the best of a few: a busy machine may take the processor away */
        canceller k = { &flag, 0 };
        pthread_t t;
        atomic_store(&flag, 0);
        pthread_create(&t, NULL, cancel_soon, &k);
        int rc;
        do rc = forward(c, kv, m, &batch, &o); while (!rc);
        int64_t now = q_now_ns();
        pthread_join(t, NULL);
        CHECK_INT(rc, Q_CANCEL);
        if (now - k.at < late) late = now - k.at;
    }
    CHECK_MSG(late < 50000000, "stopped after %.1f ms", (double)late / 1e6);
    CHECK_INT(b->head(c), Q_CANCEL);
    atomic_store(&flag, 0);
    CHECK_INT(forward(c, kv, m, &batch, &o), 0);
    b->kv_free(kv);
    b->ctx_free(c);
    b->close(d);
    free(g);
    model_free(m);
}

static void wrong_things_are_refused(void)
{
    const ker_backend *b = ker_cpu();
    model *m = model_new(&specs[0]);
    ker_dev *d;
    CHECK_INT(b->open(&m->m, 1, &d, err), 0);
    ker_weight w = m->w[1][KER_W_Q].w;
    w.ne[1]++;
    CHECK_INT(b->weight(d, 0, KER_W_Q, &w, err), Q_FORMAT);
    w = m->w[1][KER_W_Q].w;
    w.bytes--;
    CHECK_INT(b->weight(d, 0, KER_W_Q, &w, err), Q_FORMAT);
    CHECK_INT(b->weight(d, -1, KER_W_Q, &w, err), Q_ERR);
    CHECK_INT(b->ready(d, err), Q_FORMAT);
    b->close(d);
    d = dev_new(m, 1);
    ker_ctx *c;
    ker_kv *kv;
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    CHECK_INT(b->ctx_new(d, 4, 4, NULL, &c, err), 0);
    CHECK_INT(b->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
    g->k[1] = 5;
    CHECK_INT(b->cfg_put(c, 0, &g->c, err), Q_RANGE);
    g->k[1] = 4;
    g->c.router_add = g->add;
    for (int e = 0; e < 12; e++) g->add[e] = -INFINITY;
    CHECK_INT(b->cfg_put(c, 0, &g->c, err), Q_RANGE);
    g->add[7] = 0;
    CHECK_INT(b->cfg_put(c, 0, &g->c, err), 0);
    int32_t page[1] = { 1 }, zero = 0, bad = VOCAB, far = KER_PAGE;
    ker_seq seq = { page, 1 };
    ker_batch ok = { .n = 1, .token = &zero, .pos = &zero, .cell = &zero, .seqs = &seq, .n_seq = 1 }, x = ok;
    x.token = &bad;
    CHECK_INT(b->begin(c, kv, &x), Q_RANGE);
    x = ok;
    x.cell = &far;
    CHECK_INT(b->begin(c, kv, &x), Q_RANGE);
    x = ok;
    x.forced = (uint16_t[3 * 4]){ 1, 1, KER_NO_EXPERT };
    CHECK_INT(b->begin(c, kv, &x), Q_RANGE);
    x = ok;
    x.slot = &(int16_t){ 9 };
    CHECK_INT(b->begin(c, kv, &x), Q_RANGE);
    CHECK_INT(b->embed(c), Q_RANGE);
    ker_out o;
    CHECK_INT(forward(c, kv, m, &ok, &o), 0);
    CHECK_INT(o.ids[0], 7);
    CHECK_INT(o.ids[1], KER_NO_EXPERT);
    b->kv_free(kv);
    b->ctx_free(c);
    b->close(d);
    free(g);
    model_free(m);
}

int main(void)
{
    for (int i = 0; i < N_TOK; i++) tokens[i] = (int32_t)((unsigned)i * 2654435761u % VOCAB);
    RUN(forward_matches_reference);
    RUN(bits_do_not_depend_on_batch_or_threads);
    RUN(bits_do_not_depend_on_the_instruction_set);
    RUN(narrow_cells_stay_close);
    RUN(sequences_share_a_batch);
    RUN(long_texts_join_their_segments);
    RUN(nan_scores_give_valid_ids);
    RUN(cancel_stops_soon);
    RUN(wrong_things_are_refused);
    return TEST_END();
}
