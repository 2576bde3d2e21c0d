/* A backend against the CPU (kernels/prove.c): one that is right is found right; each part that is made wrong is named, and
 * no other. What a doctor found of a GPU is kept and found again. Speed is measured on any backend. */
#include "engine/engine.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <unistd.h>

static char err[Q_ERRLEN];

/* ---- the CPU with one part spoiled ---- */
static enum { RIGHT, EMBED, ATTN, EXPERTS, DENSE, HEAD, IDS, WEIGHTS, ENTROPY, MARGIN, FAILS } spoil;
static float room[256 * 4096];
static size_t trace_at;                /* the last row of the last layer in the trace */
static int layers;

static int open_counted(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *e)
{
    layers = m->n_layer;
    return ker_cpu()->open(m, n_threads, hold, out, e);
}
static int begin(ker_ctx *c, ker_kv *kv, const ker_batch *b, char *e)
{
    trace_at = (size_t)layers * (size_t)b->n - 1;
    return ker_cpu()->begin(c, kv, b, e);
}

static int spoiled(ker_ctx *c, int rc)
{
    if (!rc) rc = ker_cpu()->hidden_get(c, room);
    room[3] *= 1.1f;                   /* one number of the first row */
    return rc ? rc : ker_cpu()->hidden_put(c, room);
}
static int embed(ker_ctx *c) { return spoil == EMBED ? spoiled(c, ker_cpu()->embed(c)) : ker_cpu()->embed(c); }
static int attn(ker_ctx *c, int l) { return spoil == FAILS ? Q_ERR : spoil == ATTN ? spoiled(c, ker_cpu()->attn(c, l)) : ker_cpu()->attn(c, l); }
static int experts(ker_ctx *c, int l) { return spoil == EXPERTS ? spoiled(c, ker_cpu()->experts(c, l)) : ker_cpu()->experts(c, l); }
static int dense(ker_ctx *c, int l) { return spoil == DENSE ? spoiled(c, ker_cpu()->dense(c, l)) : ker_cpu()->dense(c, l); }
static int end(ker_ctx *c, ker_out *o)
{
    int rc = ker_cpu()->end(c, o);
    if (!rc && spoil == HEAD && o->n_logits) ((float *)(uintptr_t)o->logits)[1] += 1;
    /* The last layer is routed where any is. */
    size_t at = rc || !o->max_k ? 0 : trace_at;
    if (!at) return rc;
    if (spoil == IDS) ((uint16_t *)(uintptr_t)o->ids)[at * (size_t)o->max_k] ^= 1;
    if (spoil == WEIGHTS) ((float *)(uintptr_t)o->weights)[at * (size_t)o->max_k] = NAN;
    if (spoil == ENTROPY) ((float *)(uintptr_t)o->entropy)[at] += .5f;
    if (spoil == MARGIN) ((float *)(uintptr_t)o->margin)[at] += .5f;
    return rc;
}

static ker_backend table(void)
{
    ker_backend b = *ker_cpu();
    b.name = "spoiled";
    b.open = open_counted;
    b.begin = begin;
    b.embed = embed;
    b.attn = attn;
    b.experts = experts;
    b.dense = dense;
    b.end = end;
    return b;
}

typedef struct seen { const char *wrong[64]; int n_wrong, n; const char *kind[32], *wrong_kind[32]; int n_kind, n_wrong_kind; } seen;

static void name_put(const char **list, int *n, int most, const char *name)
{
    for (int i = 0; i < *n; i++) if (!strcmp(list[i], name)) return;
    if (*n < most) list[(*n)++] = name;
}

static void on_row(void *user, const ker_proof *p)
{
    seen *s = user;
    s->n++;
    CHECK(p->ok == (p->off <= p->limit));
    name_put(s->kind, &s->n_kind, 32, p->kind);
    if (p->ok) return;
    name_put(s->wrong_kind, &s->n_wrong_kind, 32, p->kind);
    name_put(s->wrong, &s->n_wrong, 64, p->part);
}

static void a_right_backend_is_right(void)
{
    seen s = { .n = 0 };
    spoil = RIGHT;
    ker_backend b = table();
    CHECK_INT(ker_prove(&b, 0, KER_PROVE_SMALL, on_row, &s, err), 0);
    CHECK(s.n > 500);
    int all = s.n;
    s.n = 0;
    CHECK_INT(ker_prove(&b, 0, KER_PROVE_FEW, on_row, &s, err), 0);
    CHECK(s.n > 50 && s.n < all / 2);
    CHECK_INT(ker_prove(&b, 0, KER_PROVE_LIBRARY, on_row, &s, err), 0);
}

static void a_wrong_part_is_named(void)
{
    static const struct { int part; const char *name; } parts[] = {
        { EMBED, "embedding" }, { ATTN, "attention" }, { EXPERTS, "experts" }, { DENSE, "dense feed-forward" }, { HEAD, "output head" },
        { IDS, "forced routing: ids" }, { WEIGHTS, "routing: weights" }, { ENTROPY, "routing: entropy and margin" }, { MARGIN, "routing: entropy and margin" } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        seen s = { .n = 0 };
        bool named = false;
        spoil = parts[i].part;
        ker_backend b = table();
        CHECK(ker_prove(&b, 0, KER_PROVE_SMALL, on_row, &s, err) > 0);
        for (int j = 0; j < s.n_wrong; j++) {
            named = named || !strcmp(s.wrong[j], parts[i].name);
            bool follows = !strcmp(s.wrong[j], "greedy tokens") || strstr(s.wrong[j], "routing: ");    /* of whole passes */
            CHECK_MSG(follows || !strcmp(s.wrong[j], parts[i].name), "%s is spoiled, %s is called wrong", parts[i].name, s.wrong[j]);
        }
        CHECK_MSG(named, "%s is spoiled and not named", parts[i].name);
    }
    spoil = FAILS;
    seen s = { .n = 0 };
    ker_backend b = table();
    CHECK_INT(ker_prove(&b, 0, KER_PROVE_SMALL, on_row, &s, err), Q_ERR);
    CHECK(strstr(err, "stopped in the middle of a pass") != NULL);
}

/* ---- the CPU that does not know one kind of model ---- */

static enum trait { PLAIN, WINDOW, SINKS, GLU, BO, BEXPS, BROUTER, POST, LOCAL, FACTORS, GROUPS, DELTA_A, STRIDE, SH_ROUTER, ADJACENT, ADAPTER, WIDTH_OWN, WIDTH_EXPERT } lost;

static int open_lost(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *e)
{
    ker_model to = *m;
    ker_layer layer[8];
    memcpy(layer, m->layer, sizeof *layer * (size_t)m->n_layer);
    to.layer = layer;
    for (int i = 0; i < m->n_layer; i++) {
        if (lost == WINDOW) layer[i].window = 0;
        if (lost == GLU) layer[i].glu = KER_GLU_SILU;
        if (lost == LOCAL) layer[i].rope_set = 0;
    }
    if (lost == FACTORS) to.residual_scale = 0;
    if (lost == GROUPS) to.n_group = 0;
    if (lost == ADJACENT) to.rope_half = true;
    return ker_cpu()->open(&to, n_threads, hold, out, e);
}

/* The role's weights are none: zeros, or ones where it is a norm. */
static int weight_lost(ker_dev *d, int layer, enum ker_role role, const ker_weight *w, char *e)
{
    static const struct { enum trait lost; enum ker_role role; float is; } of[] = {
        { SINKS, KER_W_SINKS, -100 }, { BO, KER_W_BO, 0 }, { BEXPS, KER_W_BUP_EXPS, 0 }, { BROUTER, KER_W_BROUTER, 0 }, { POST, KER_W_POST_ATTN_NORM, 1 }, { DELTA_A, KER_W_D_A, 0 },
        { SH_ROUTER, KER_W_SH_ROUTER, 0 } };
    static float numbers[8192];
    ker_weight to = *w;
    if (lost == STRIDE) to.stride = 0;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        if (of[i].lost != lost || of[i].role != role || w->ne[0] * w->ne[1] > 8192) continue;
        for (int j = 0; j < 8192; j++) numbers[j] = of[i].is;
        to.data = numbers;
    }
    return ker_cpu()->weight(d, layer, role, &to, e);
}

static int cfg_lost(ker_ctx *c, int slot, const ker_config *k, char *e)
{
    ker_config to = *k;
    if (lost == WIDTH_OWN) to.ffn_width = NULL;
    if (lost == WIDTH_EXPERT) to.expert_width = NULL;
    return ker_cpu()->cfg_put(c, slot, &to, e);
}

static int adapter_lost(ker_dev *d, int adapter, const ker_low *low, int n, char *e) { return ker_cpu()->adapter_put(d, adapter, low, lost == ADAPTER ? 1 : n, e); }

/* Where a kind of model is not computed, its line says so, and no line of models that are not so. */
static void a_wrong_kind_is_named(void)
{
    static const struct { enum trait lost; const char *kinds[8]; } of[] = {
        { PLAIN, { NULL } }, { WINDOW, { "gpt-oss", "Gemma 3" } }, { SINKS, { "gpt-oss" } }, { GLU, { "gpt-oss", "Gemma 3", "ffn.width" } }, { BO, { "gpt-oss", "ffn.width" } }, { BEXPS, { "gpt-oss", "ffn.width" } }, { BROUTER, { "gpt-oss", "ffn.width" } },
        { POST, { "Gemma 3" } }, { LOCAL, { "Gemma 3" } }, { FACTORS, { "Granite" } }, { GROUPS, { "DeepSeek 2" } }, { DELTA_A, { "Qwen3-Next" } }, { STRIDE, { "Phi-3" } },
        { SH_ROUTER, { "Qwen2-MoE", "ffn.width", "adapters", "Gemma 3", "Qwen3-Next" } }, { ADJACENT, { "Llama", "GLM-4", "DeepSeek 2" } },
        { WIDTH_OWN, { "ffn.width" } }, { WIDTH_EXPERT, { "ffn.width" } },
        { ADAPTER, { "adapters", "OLMoE", "Granite", "Gemma 3", "gpt-oss", "DeepSeek 2", "Qwen3-Next" } } };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        seen s = { .n = 0 };
        ker_backend b = *ker_cpu();
        lost = of[i].lost;
        b.open = open_lost;
        b.weight = weight_lost;
        b.cfg_put = cfg_lost;
        b.adapter_put = adapter_lost;
        int wrong = ker_prove(&b, 0, KER_PROVE_SMALL, on_row, &s, err), n = 0;
        CHECK_MSG(lost == PLAIN ? wrong == 0 : wrong > 0, "lost %d: %d %s", (int)lost, wrong, err);
        for (; n < 8 && of[i].kinds[n]; n++) {
            bool told = false;
            for (int j = 0; j < s.n_wrong_kind; j++) told = told || !strncmp(s.wrong_kind[j], of[i].kinds[n], strlen(of[i].kinds[n]));
            CHECK_MSG(told, "lost %d: no line of %s says so", (int)lost, of[i].kinds[n]);
        }
        for (int j = 0; j < s.n_wrong_kind; j++) {
            bool meant = false;
            for (int k = 0; k < n; k++) meant = meant || !strncmp(s.wrong_kind[j], of[i].kinds[k], strlen(of[i].kinds[k]));
            CHECK_MSG(meant, "lost %d: %s is called wrong", (int)lost, s.wrong_kind[j]);
        }
        CHECK_INT(s.n_kind, 15);
    }
}

static void what_was_found_is_kept(void)
{
    char dir[] = "/tmp/quorum-test-XXXXXX";
    ker_device a = { .name = "a GPU", .driver = 13000 }, newer = { .name = "a GPU", .driver = 13010 };
    if (!mkdtemp(dir)) return;
    setenv("XDG_STATE_HOME", dir, 1);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_UNKNOWN);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_BAD, NULL, err), 0);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_BAD);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &newer), ENG_TRUST_UNKNOWN);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &newer, ENG_TRUST_GOOD, NULL, err), 0);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_GOOD, NULL, err), 0);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_GOOD);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &newer), ENG_TRUST_GOOD);
    /* Which products a library does is kept with it, device by device, and goes with a new verdict. */
    ker_ways ways = { { 0 } }, back;
    eng_gpu_ways(ker_cpu(), &a, &back);
    CHECK(!memcmp(&back, &ways, sizeof ways));
    ways.library[KER_Q4_K] = 0x1ff;
    ways.library[KER_BF16] = 0x0ba;
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_GOOD, &ways, err), 0);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_GOOD);
    eng_gpu_ways(ker_cpu(), &a, &back);
    CHECK(!memcmp(&back, &ways, sizeof ways));
    eng_gpu_ways(ker_cpu(), &newer, &back);
    CHECK_INT(back.library[KER_Q4_K], 0);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_GOOD, NULL, err), 0);
    eng_gpu_ways(ker_cpu(), &a, &back);
    CHECK_INT(back.library[KER_Q4_K], 0);
    char *file = q_printf("%s/quorum/gpu.checked", dir), *sub = q_printf("%s/quorum", dir);
    unlink(file);
    rmdir(sub);
    rmdir(dir);
    free(file);
    free(sub);
}

static void speed_is_measured(void)
{
    ker_speed s;
    CHECK_INT(ker_speed_measure(ker_cpu(), 0, 3, true, &s, err), 0);
    CHECK_INT(s.layers, 3);
    CHECK(s.token_s > 0 && s.layers_s > 0 && s.prompt_s > 0 && s.bytes_layer > 0 && s.bytes_head > 0);
    CHECK_INT(s.n_kernel, 0);          /* the CPU has no clock of kernels */
}

int main(void)
{
    RUN(a_right_backend_is_right);
    RUN(a_wrong_part_is_named);
    RUN(a_wrong_kind_is_named);
    RUN(what_was_found_is_kept);
    RUN(speed_is_measured);
    return TEST_END();
}
