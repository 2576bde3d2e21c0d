/* kernels/prove: a backend against the CPU, part by part, on models of random weights made here. Both compute the same
 * batch; after each part the stream of both is compared and the other goes on with the CPU's, so that a wrong part is
 * named and does not spoil the next. Owns nothing beyond one call; takes no file, prints nothing. */
#include "kernels/made.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 128, CELLS = 4 * KER_PAGE, MIXED = 4 /* rows of several configurations */ };

/* With adapters every other batch goes without. */
static const int few[] = { 1, 5, 37, 0 }, some[] = { 3, 1, 0 }, both[] = { 11, 12, 2, 3, 1, 1, 0 }, more[] = { 37, 1, 3, 0 }, pages[] = { 5, 70, 2, 1, 0 }, narrow[] = { 1, 5, 12, 37, 0 }, one_in_library[] = { 37, 0 }, many[] = { 128, 1, 8, 1, 0 };

/* Kinds of model, a line of a report each. What stands in none of a line's models is not proven there. */
#define OFTEN N_("tensor types in common use")
#define SELDOM N_("tensor types seldom used")
#define QWEN3 N_("Qwen3, Qwen3-MoE")
#define QWEN2 N_("Qwen2-MoE: biases, shared experts")
#define GLM4 N_("GLM-4: sigmoid router, adjacent pairs turn")
#define LLAMA N_("Llama, Mixtral: no norms of heads")
#define PHI3 N_("Phi-3: gate and up in one tensor")
#define CARVED N_("carved experts")
#define ADAPTERS N_("adapters")
#define WIDTHS N_("ffn.width: fewer neurons")
#define OLMOE N_("OLMoE: norms over all heads")
#define GRANITE N_("Granite: factors")
#define GEMMA3 N_("Gemma 3: norms after parts, GELU, windows")
#define GPT_OSS N_("gpt-oss: sinks, windows, biases, clamped gates")
#define DEEPSEEK2 N_("DeepSeek 2: latent attention, groups of experts")
#define QWEN3NEXT N_("Qwen3-Next: recurrent layers, gated attention")

/* Widths of any size, for types with short blocks; multiples of 256 for the others. */
#define PLAIN (MADE_QK_NORM | MADE_RENORM | MADE_HALF)
#define EVEN .n_embd = 256, .n_head = 4, .n_kv = 2, .hd = 64, .rope_dim = 64, .n_expert = 8, .ffx = 256, .ffs = 256, .ff = 512, .n_vocab = 64, .k = 3, .down = -1, .scale = 1
#define ODD .n_embd = 96, .n_head = 3, .n_kv = 1, .hd = 32, .rope_dim = 32, .n_expert = 7, .ffx = 64, .ffs = 32, .ff = 160, .n_vocab = 64, .k = 3, .down = -1, .scale = 1
static const made_shape odd = { .name = "odd widths", ODD, .features = PLAIN, .rows = few }, even = { .name = "even widths", EVEN, .features = PLAIN, .rows = few };
static const made_shape
    qwen2moe = { .name = "qwen2moe", .kind = QWEN2, .n_embd = 96, .n_head = 4, .n_kv = 4, .hd = 24, .rope_dim = 24, .n_expert = 8, .ffx = 48, .ffs = 80, .n_vocab = 48, .k = 4, .down = -1,
                 .features = MADE_BIAS | MADE_SH_ROUTER | MADE_HALF, .scale = 1, .rows = some },
    glm4moe = { .name = "glm4moe", .kind = GLM4, .n_embd = 64, .n_head = 6, .n_kv = 2, .hd = 32, .rope_dim = 16, .n_expert = 12, .ffx = 32, .ffs = 64, .ff = 112, .n_vocab = 48, .k = 4, .down = -1,
                .features = MADE_BIAS | MADE_SELECT_BIAS | MADE_RENORM, .gate = KER_GATE_SIGMOID, .scale = 1.5f, .rows = more },
    llama = { .name = "llama", .kind = LLAMA, .n_embd = 32, .n_head = 2, .n_kv = 1, .hd = 40, .rope_dim = 40, .ff = 72, .n_vocab = 48, .down = -1, .features = MADE_TIED, .scale = 1, .rows = more },
    mixtral = { .name = "mixtral", .kind = LLAMA, .n_embd = 256, .n_head = 4, .n_kv = 1, .hd = 64, .rope_dim = 64, .n_expert = 8, .ffx = 256, .n_vocab = 64, .k = 2, .down = -1, .features = MADE_RENORM,
                .scale = 1, .rows = some },
    phi3 = { .name = "phi3", .kind = PHI3, ODD, .features = MADE_RENORM | MADE_HALF | MADE_ONE, .rows = more },
    carved = { .name = "carved", .kind = CARVED, .n_embd = 64, .n_head = 2, .n_kv = 1, .hd = 32, .rope_dim = 32, .n_expert = 6, .ffx = 32, .ffs = 64, .ff = 96, .n_vocab = 48, .k = 3, .down = KER_Q8_0,
               .features = MADE_SELECT_BIAS | MADE_TIED | MADE_HALF, .gate = KER_GATE_SIGMOID, .scale = 2, .router_scale = 1e-3f, .rows = some },
    low = { .name = "adapters", .kind = ADAPTERS, EVEN, .features = PLAIN | MADE_LOW, .rows = both },
    low_odd = { .name = "adapters, odd widths", .kind = ADAPTERS, ODD, .features = MADE_BIAS | MADE_SH_ROUTER | MADE_HALF | MADE_LOW, .rows = some },
    widths = { .name = "widths", .kind = WIDTHS, EVEN, .features = PLAIN | MADE_WIDTHS, .rows = narrow },
    widths_odd = { .name = "widths, odd widths", .kind = WIDTHS, ODD, .features = PLAIN | MADE_SH_ROUTER | MADE_WIDTHS, .rows = narrow },
    widths_glu = { .name = "widths, clamped gates", .kind = WIDTHS, ODD, .features = PLAIN | MADE_SH_ROUTER | MADE_BIASES | MADE_WIDTHS, .rows = narrow, .glu = KER_GLU_CLAMPED },
    olmoe = { .name = "olmoe", .kind = OLMOE, EVEN, .features = MADE_QK_NORM | MADE_WHOLE | MADE_HALF | MADE_LOW, .rows = both },
    olmoe_odd = { .name = "olmoe, odd widths", .kind = OLMOE, ODD, .features = MADE_QK_NORM | MADE_WHOLE | MADE_HALF, .rows = more },
    granite = { .name = "granite", .kind = GRANITE, ODD, .features = MADE_RENORM | MADE_HALF | MADE_FACTORS | MADE_LOW, .rows = both },
    gemma3 = { .name = "gemma3", .kind = GEMMA3, ODD, .features = PLAIN | MADE_SH_ROUTER | MADE_POST | MADE_LOW, .rows = both, .glu = KER_GLU_GELU, .window = 9 },
    gpt_oss = { .name = "gpt-oss", .kind = GPT_OSS, .n_embd = 96, .n_head = 4, .n_kv = 2, .hd = 64, .rope_dim = 64, .n_expert = 7, .ffx = 64, .ff = 160, .n_vocab = 64, .k = 3, .down = -1,
                .features = MADE_HALF | MADE_BIAS | MADE_BIASES | MADE_SINKS, .scale = 1, .rows = pages, .glu = KER_GLU_CLAMPED, .window = 24 },
    gpt_oss_low = { .name = "gpt-oss, adapters", .kind = GPT_OSS, ODD, .features = MADE_HALF | MADE_BIAS | MADE_BIASES | MADE_SINKS | MADE_LOW, .rows = both, .glu = KER_GLU_CLAMPED, .window = 9 },
    deepseek2 = { .name = "deepseek2", .kind = DEEPSEEK2, .n_embd = 96, .n_head = 4, .n_kv = 1, .hd = 96, .rope_dim = 32, .n_expert = 8, .ffx = 64, .ffs = 32, .ff = 160, .n_vocab = 64, .k = 3, .down = -1,
                  .features = MADE_SELECT_BIAS | MADE_RENORM | MADE_GROUPS, .gate = KER_GATE_SIGMOID, .scale = 1.5f, .rows = few, .latent = { 64, 64, 32, 32, 64 } },
    deepseek2_lite = { .name = "deepseek2-lite", .kind = DEEPSEEK2, .n_embd = 96, .n_head = 3, .n_kv = 1, .hd = 56, .rope_dim = 8, .n_expert = 12, .ffx = 64, .ffs = 32, .ff = 160, .n_vocab = 64, .k = 3, .down = -1,
                       .features = MADE_GROUPS | MADE_LOW, .scale = 1, .rows = both, .latent = { 0, 48, 24, 8, 40 } },
    linear = { .name = "recurrent", .kind = QWEN3NEXT, EVEN, .rows = more, .features = PLAIN | MADE_SH_ROUTER | MADE_LOW | MADE_DELTA | MADE_PAIRED },
    linear_odd = { .name = "recurrent, odd widths", .kind = QWEN3NEXT, .n_embd = 96, .n_head = 4, .n_kv = 1, .hd = 40, .rope_dim = 16, .n_expert = 7, .ffx = 64, .ffs = 32, .ff = 160, .n_vocab = 64, .k = 3,
                   .down = -1, .features = PLAIN | MADE_SH_ROUTER | MADE_LOW | MADE_DELTA, .scale = 1, .rows = few },
    linear_wide = { .name = "recurrent, heads of 256", .kind = QWEN3NEXT, .n_embd = 256, .n_head = 2, .n_kv = 1, .hd = 256, .rope_dim = 64, .n_expert = 8, .ffx = 256, .ff = 256, .n_vocab = 64, .k = 3,
                    .down = -1, .features = PLAIN | MADE_DELTA | MADE_PAIRED, .scale = 1, .rows = few };

/* first: before a first use too. */
static const struct kind { const made_shape *s; int type; bool first; } kinds[] = {
    { &qwen2moe, KER_F32, false }, { &glm4moe, KER_F32, false }, { &llama, KER_F32, false }, { &mixtral, KER_Q4_K, false }, { &phi3, KER_Q8_0, true }, { &carved, KER_F32, false },
    { &low, KER_Q4_K, true }, { &low_odd, KER_F32, false }, { &widths, KER_Q4_K, false }, { &widths_odd, KER_F32, false }, { &widths_glu, KER_Q8_0, false },
    { &olmoe, KER_Q4_K, true }, { &olmoe_odd, KER_F32, false }, { &granite, KER_Q8_0, true }, { &granite, KER_F32, false },
    { &gemma3, KER_Q8_0, true }, { &gemma3, KER_F32, false }, { &gpt_oss, KER_MXFP4, true }, { &gpt_oss, KER_F32, false }, { &gpt_oss_low, KER_Q8_0, false },
    { &deepseek2, KER_Q8_0, true }, { &deepseek2_lite, KER_F32, false }, { &linear, KER_Q4_K, true }, { &linear_wide, KER_Q4_K, true }, { &linear_odd, KER_Q8_0, false }, { &linear_odd, KER_F32, false },
};
/* Shapes of models in use, one layer of each kind. */
static const made_shape qwen3_30b = { .name = "30B-A3B", .kind = QWEN3, .n_embd = 2048, .n_head = 32, .n_kv = 4, .hd = 128, .rope_dim = 128, .n_expert = 128, .ffx = 768, .n_vocab = 8192, .k = 8, .down = KER_Q6_K,
                                      .features = PLAIN, .scale = 1, .rows = many },
    qwen3_30b_q4 = { .name = "30B-A3B", .kind = QWEN3, .n_embd = 2048, .n_head = 32, .n_kv = 4, .hd = 128, .rope_dim = 128, .n_expert = 128, .ffx = 768, .n_vocab = 8192, .k = 8, .down = KER_Q4_K,
                     .features = PLAIN, .scale = 1, .rows = many },
    qwen3_06b = { .name = "0.6B", .kind = QWEN3, .n_embd = 1024, .n_head = 16, .n_kv = 8, .hd = 128, .rope_dim = 128, .ff = 3072, .n_vocab = 8192, .down = -1, .features = MADE_QK_NORM | MADE_TIED | MADE_HALF,
                  .scale = 1, .rows = many },
    gpt_oss_20b = { .name = "gpt-oss-20b", .kind = GPT_OSS, .n_embd = 2880, .n_head = 64, .n_kv = 8, .hd = 64, .rope_dim = 64, .n_expert = 32, .ffx = 2880, .n_vocab = 8192, .k = 4, .down = -1,
                    .features = MADE_HALF | MADE_BIAS | MADE_BIASES | MADE_SINKS, .scale = 1, .rows = many, .glu = KER_GLU_CLAMPED, .window = 128 },
    v2_lite = { .name = "V2-Lite", .kind = DEEPSEEK2, .n_embd = 2048, .n_head = 16, .n_kv = 1, .hd = 576, .rope_dim = 64, .n_expert = 64, .ffx = 1408, .ffs = 2816, .ff = 10944, .n_vocab = 8192, .k = 6,
                .down = -1, .scale = 1, .rows = many, .latent = { 0, 512, 128, 64, 128 } },
    gemma3_4b = { .name = "Gemma 3 4B", .kind = GEMMA3, .n_embd = 2560, .n_head = 8, .n_kv = 4, .hd = 256, .rope_dim = 256, .ff = 10240, .n_vocab = 8192, .down = -1, .features = MADE_QK_NORM | MADE_TIED | MADE_HALF | MADE_POST,
                  .scale = 1, .rows = many, .glu = KER_GLU_GELU, .window = 64 },
    next_80b = { .name = "Qwen3-Next", .kind = QWEN3NEXT, .n_embd = 2048, .n_head = 16, .n_kv = 2, .hd = 256, .rope_dim = 64, .n_expert = 128, .ffx = 512, .ffs = 512, .ff = 512, .n_vocab = 8192, .k = 10,
                 .down = -1, .features = PLAIN | MADE_SH_ROUTER | MADE_DELTA | MADE_PAIRED, .scale = 1, .rows = many };
static const struct kind large[] = { { &qwen3_30b, KER_Q4_K, false }, { &qwen3_30b_q4, KER_Q4_K, false }, { &qwen3_06b, KER_Q4_K, false }, { &gpt_oss_20b, KER_MXFP4, false },
                                     { &v2_lite, KER_Q4_K, false }, { &gemma3_4b, KER_Q4_K, false }, { &next_80b, KER_Q4_K, false } };

/* ---- a batch ---- */

typedef struct proof {
    const made_model *m;
    made_side cpu, other;
    const char *kind;
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
    ker_proof row = { .part = part, .kind = p->kind, .rows = n, .off = off, .limit = limit, .ok = off <= limit };
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

/* The larger of `most` and what lies between two numbers: no number is the largest. */
static double farther(double most, float a, float b)
{
    double d = fabs((double)a - (double)b);
    return d > most || isnan(d) ? d : most;
}

/* The trace of routed layers: forced lists come back as they were given; a free choice may differ only where the
 * CPU's margin is small. */
static void compare_routing(proof *p, int n, bool forced)
{
    const ker_model *m = &p->m->m;
    int rows = 0, other = 0;
    double weights = 0, told = 0;
    for (int l = 0; l < m->n_layer; l++)
        for (int r = 0; r < n && m->layer[l].moe; r++) {
            size_t at = (size_t)l * (size_t)n + (size_t)r, to = at * (size_t)p->cpu.out.max_k, from = at * (size_t)p->other.out.max_k;
            int k = p->m->k[l], missing = 0;
            float margin = p->cpu.out.margin[at];
            if (!forced && !(fabsf(margin) > .05f)) continue;
            rows++;
            told = farther(told, p->other.out.entropy[at], p->cpu.out.entropy[at]);
            if (isnan(margin)) told = isnan(p->other.out.margin[at]) ? told : INFINITY;
            else told = farther(told, p->other.out.margin[at], margin);
            for (int i = 0; i < k; i++) {
                int j = 0;
                while (j < k && p->other.out.ids[from + (size_t)j] != p->cpu.out.ids[to + (size_t)i]) j++;
                missing += j == k;
                if (j < k) weights = farther(weights, p->other.out.weights[from + (size_t)j], p->cpu.out.weights[to + (size_t)i]);
            }
            other += missing > 0;
        }
    if (!rows) return;
    tell(p, forced ? N_("forced routing: ids") : N_("routing: ids"), n, (double)other / rows, 0);
    tell(p, forced ? N_("forced routing: weights") : N_("routing: weights"), n, weights, p->limit);
    tell(p, N_("routing: entropy and margin"), n, told, p->limit);
}

static int batch(proof *p, int at, int n, bool forced, int config, char *err)
{
    const ker_model *m = &p->m->m;
    int32_t token[ROWS], cell[ROWS], page[CELLS / KER_PAGE];
    int16_t slot[ROWS];
    uint8_t want[ROWS];
    for (int i = 0; i < n; i++) {
        token[i] = (int32_t)((unsigned)(at + i) * 2654435761u % (unsigned)m->n_vocab);
        cell[i] = at + i;
        slot[i] = (int16_t)(config < MIXED ? config : i % 3 == 2 ? 0 : 2 + i % 3);
        want[i] = n - i <= 8 ? KER_WANT_LOGITS | KER_WANT_HIDDEN : 0;
    }
    for (int i = 0; i < CELLS / KER_PAGE; i++) page[i] = CELLS / KER_PAGE - 1 - i;
    ker_seq seq = { .page = page, .n_page = CELLS / KER_PAGE };
    uint16_t *ids = q_alloc(sizeof *ids * (size_t)(m->n_layer * n * (m->n_expert + 1)));
    for (int i = 0; i < m->n_layer * n && m->n_expert; i++)
        for (int j = 0; j < m->n_expert; j++)
            ids[i * m->n_expert + j] = j < p->m->s->k ? (uint16_t)((i * 5 + at + j) % m->n_expert) : KER_NO_EXPERT;
    ker_batch b = { .n = n, .token = token, .pos = cell, .cell = cell, .slot = slot, .want = want, .seqs = &seq, .n_seq = 1,
                    .forced = forced && m->n_expert ? ids : NULL, .phase = n == 1 };
    made_side *s[2] = { &p->cpu, &p->other };
    int rc = 0;
    ker_seq own[2] = { seq, seq };
    ker_batch of[2] = { b, b };
    for (int i = 0; i < 2; i++) {
        made_states(s[i], at, &own[i]);
        of[i].seqs = &own[i];
    }
#define BOTH(call) for (int i_ = 0; i_ < 2 && !rc; i_++) rc = s[i_]->b->call
    BOTH(begin(s[i_]->ctx, s[i_]->kv, &of[i_], err));
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
    if (rc) return made_stopped(&p->other, p->m, rc, err);
    if (p->other.out.n_logits != p->cpu.out.n_logits || p->other.out.n_hidden != p->cpu.out.n_hidden)
        return q_fail(err, Q_ERR, _("%s: the device gave %d rows of logits instead of %d"), p->m->what, p->other.out.n_logits, p->cpu.out.n_logits);
    tell(p, N_("output head"), n, gap(p->other.out.logits, p->cpu.out.logits, NULL, (int64_t)p->cpu.out.n_logits * m->n_vocab), p->limit);
    tell(p, N_("output norm"), n, gap(p->other.out.hidden, p->cpu.out.hidden, NULL, (int64_t)p->cpu.out.n_hidden * m->n_embd), p->limit);
    tell(p, N_("numbers that are not finite"), n, p->other.out.n_bad, 0);
    compare_routing(p, n, forced);
    return 0;
}

/* A few tokens, each the likeliest after the one before: each side goes its own way. */
static int greedy(proof *p, int at, char *err)
{
    enum { N = 6 };
    int rc = 0, other = 0;
    int32_t token[2] = { 1, 1 }, page[CELLS / KER_PAGE];
    made_side *s[2] = { &p->cpu, &p->other };
    for (int i = 0; i < CELLS / KER_PAGE; i++) page[i] = i;
    ker_seq seq = { .page = page, .n_page = CELLS / KER_PAGE };
    for (int i = at; i < at + N && !rc; i++) {
        for (int j = 0; j < 2 && !rc; j++) {
            ker_batch b = { .n = 1, .token = &token[j], .pos = &i, .cell = &i, .seqs = &seq, .n_seq = 1, .phase = 1 };
            made_states(s[j], i, &seq);
            rc = made_pass(s[j], p->m, &b, err);
            for (int v = 0, best = 0; v < p->m->m.n_vocab && !rc; v++) {
                if (s[j]->out.logits[v] > s[j]->out.logits[best]) best = v;
                token[j] = best;
            }
        }
        other += token[0] != token[1];
    }
    if (!rc) tell(p, N_("greedy tokens"), 1, other, 0);
    return rc;
}

/* One model under both kinds of routing. A type without quantised activations differs by the order of sums alone. A library's weights
 * are rounded to halves, and that flips steps of the eight bits before the next product, of which latent attention has three in a row. */
static int one(const ker_backend *b, int index, const made_shape *shape, int type, enum ker_prove_how how, const char *kind, proof *p, char *err)
{
    made_shape s = *shape;
    if (how == KER_PROVE_LIBRARY) s.rows = one_in_library;
    if (how == KER_PROVE_FEW && s.rows != both) s.rows = some;
    made_model *m = made_new(&s, type, 1);
    proof q = { .m = m, .kind = kind ? kind : s.kind, .row = p->row, .user = p->user, .before = q_alloc(sizeof(float) * ROWS * (size_t)s.n_embd) };
    bool floats = ker_type_get(type)->act == KER_ACT_F32 && (s.down < 0 || ker_type_get(s.down)->act == KER_ACT_F32);
    q.limit = floats ? 1e-3 : how == KER_PROVE_LIBRARY ? 3e-2 : 1e-2;
    int rc = made_open(&q.cpu, ker_cpu(), 0, m, ROWS, CELLS, err), at = 0;
    if (!rc) rc = made_open(&q.other, b, index, m, ROWS, CELLS, err);
    for (int i = 0; s.rows[i] && !rc; i++) {
        rc = batch(&q, at, s.rows[i], true, s.features & MADE_WIDTHS ? i & 1 ? MIXED : 2 : i & 1, err);
        at += s.rows[i];
    }
    if (!rc && s.n_expert) rc = batch(&q, at, 9, false, 0, err);
    if (!rc && floats && how != KER_PROVE_LIBRARY) rc = greedy(&q, at + 9, err);
    made_close(&q.cpu);
    made_close(&q.other);
    p->wrong += q.wrong;
    free(q.before);
    made_free(m);
    return rc;
}

static bool often(int type)
{
    switch (type) {
    case KER_F32: case KER_F16: case KER_BF16: case KER_Q4_0: case KER_Q4_1: case KER_Q5_0: case KER_Q5_1: case KER_Q8_0: case KER_Q4_K: case KER_Q5_K: case KER_Q6_K:
    case KER_IQ4_NL: case KER_IQ4_XS: return true;
    default: return false;
    }
}

int ker_prove(const ker_backend *b, int index, enum ker_prove_how how, void (*row)(void *user, const ker_proof *p), void *user, char *err)
{
    proof p = { .row = row, .user = user };
    int rc = 0;
    for (int t = 0; t < KER_TYPE_LIMIT && !rc; t++) {
        const ker_type *type = ker_type_get(t);
        bool first = t == KER_F16 || t == KER_Q8_0 || t == KER_Q4_K || t == KER_Q6_K;
        if (!type || !type->weight || (how == KER_PROVE_FEW && !first) || (how == KER_PROVE_LIBRARY && t == KER_F32)) continue;
        rc = one(b, index, type->block > 32 ? &even : &odd, t, how, often(t) ? OFTEN : SELDOM, &p, err);
        if (rc == Q_RANGE) rc = Q_OK;                /* such weights stay with the CPU */
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !rc; i++) {
        bool wanted = how == KER_PROVE_FEW ? kinds[i].first : how != KER_PROVE_LIBRARY || kinds[i].type != KER_F32;
        if (wanted && (b->state_new || !(kinds[i].s->features & MADE_DELTA))) rc = one(b, index, kinds[i].s, kinds[i].type, how, NULL, &p, err);
    }
    for (size_t i = 0; i < sizeof large / sizeof *large && how == KER_PROVE_LARGE && !rc; i++)
        if (b->state_new || !(large[i].s->features & MADE_DELTA)) rc = one(b, index, large[i].s, large[i].type, how, NULL, &p, err);
    return rc ? rc : p.wrong;
}
