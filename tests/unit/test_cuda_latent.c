/* Latent attention on the CUDA backend, on the emulator (build/libquorum-emu.so), against the CPU's: the widths of real models, K_B and
 * V_B of several types, few rows and many, every type of cell; experts on either side or fetched, adapters, cells that are saved, copied and
 * read by several sequences; what is refused, and calls that fail. Skipped without a C++ compiler. */
#include "tests/forward_low.h"
#include "tests/either_side.h"
#include "tests/on_device.h"

static const emu_api_table *emu;

static bool all_of_it(void) { return getenv("QUORUM_LONG") != NULL; }

static ker_dev *opened(const ker_backend *b, const model *m)
{
    backend = b;
    ker_dev *d = dev_new(m, 1);
    CHECK_MSG(d != NULL, "%s", err);
    return d;
}

/* ---- widths and types ---- */

/* One dense layer, two heads; types of K_B and V_B. */
typedef struct width { const char *name; ker_latent t; int k, v; } width;
static const width widths[] = {
    { "V2-Lite, halves", { 0, 512, 128, 64, 128 }, KER_F16, KER_F16 },
    { "V2-Lite, Q8_0 and Q4_K", { 0, 512, 128, 64, 128 }, KER_Q8_0, KER_Q4_K },
    { "GLM-4.7-Flash, Q8_0", { 96, 512, 192, 64, 256 }, KER_Q8_0, KER_Q8_0 },
    { "latents of 256, Q4_K", { 0, 256, 256, 64, 128 }, KER_Q4_K, KER_Q4_K },
};
enum { WIDTHS = sizeof widths / sizeof *widths };

/* Of a type that nobody writes: any integers, scales that make numbers of about `size`. */
static void make_blocks(model *m, int layer, enum ker_role role, int type, int64_t a, int64_t b, int64_t c, double size)
{
    weight *w = &m->w[layer + 1][role];
    const ker_type *t = ker_type_get(type);
    int64_t n = a * b * c, blocks = n / t->block;
    size_t bytes = (size_t)(blocks * t->bytes);
    uint8_t *p = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(128 * (1 + rnd()));
    for (int64_t i = 0; i < blocks; i++) ker_type_scale(type, p + i * t->bytes, (float)(size / 230), (float)(size / 230 * 7.5));
    *w = (weight){ .f = malloc(sizeof(float) * (size_t)n), .raw = p };
    t->decode(p, w->f, n);
    w->w = (ker_weight){ .type = type, .ne = { a, b, c }, .data = p, .bytes = bytes };
}

static void heads_of_type(model *m, int layer, enum ker_role role, int type)
{
    weight *w = &m->w[layer + 1][role], old = *w;
    const int64_t *ne = old.w.ne;
    double size = 2.2 / sqrt((double)m->m.latent.kv_rank);
    if (ker_type_get(type)->encode) make(m, layer, role, type, ne[0], ne[1], ne[2], size, 0);
    else make_blocks(m, layer, role, type, ne[0], ne[1], ne[2], size);
    if (old.raw != old.f) free(old.raw);
    free(old.f);
}

static model *of_width(const width *w, spec *s)
{
    *s = (spec){ .name = w->name, .n_layer = 1, .dense = 1, .n_embd = 64, .n_head = 2, .n_kv = 2, .hd = w->t.nope + w->t.rope, .rope_dim = w->t.rope, .ff = 32,
                 .gate = KER_GATE_SOFTMAX, .scale = 1, .more = { .latent = w->t } };
    model *m = model_new(s);
    heads_of_type(m, 0, KER_W_K_B, w->k);
    heads_of_type(m, 0, KER_W_V_B, w->v);
    return m;
}

/* F32 cells tell of the arithmetic; in F16 a number on an edge falls to either side; of blocks the CPU rounds queries too, so that both
 * are held to what F32 cells give: the GPU is no farther from that than the CPU. */
static void widths_of_real_models(void)
{
    static const int split[] = { N_TOK, 5, 1, 9 };
    static result exact, rounded;
    double closest[2] = { 0, 0 };
    for (int i = 0; i < WIDTHS; i++) {
        spec s;
        model *m = of_width(&widths[i], &s);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[i % 2 ? 9 : 0]);           /* "masks": a head is off */
        bool floats = ker_type_get(widths[i].k)->block == 1 && ker_type_get(widths[i].v)->block == 1;
        ker_dev *cpu = opened(ker_cpu(), m), *dev = opened(gpu, m);
        backend = ker_cpu();
        CHECK_INT(run_model(cpu, m, g, false, KER_KV_F32, N_TOK, &exact), 0);
        for (int kv = KER_KV_F16; dev && kv < KER_KV_TYPES; kv++) {
            backend = ker_cpu();
            CHECK_INT(run_model(cpu, m, g, false, kv, N_TOK, &rounded), 0);
            backend = gpu;
            for (int p = 0; p < 4; p++) {
                static const int once[KER_KV_TYPES][2] = { [KER_KV_F16] = { 0, 1 }, [KER_KV_F32] = { 3, 1 }, [KER_KV_Q8_0] = { 1, -1 }, [KER_KV_Q4_0] = { -1, 0 } };
                if (!all_of_it() && p != once[kv][i % 2] && (kv != KER_KV_F16 || p > 1 || test_brief())) continue;
                CHECK_MSG(run_model(dev, m, g, false, kv, split[p], &got) == 0, "%s", err);
                double bad = worst(&got, kv == KER_KV_F16 ? &rounded : &exact);
                double most = kv == KER_KV_F32 ? (floats ? 1e-5 : 2e-3) : kv == KER_KV_F16 ? (floats ? 1e-4 : 3e-3) : 1.25 * worst(&rounded, &exact) + 1e-3;
                closest[kv == KER_KV_F32] = fmax(closest[kv == KER_KV_F32], kv < KER_KV_Q8_0 ? bad : 0);
                CHECK_MSG(bad < most, "%s, cells of type %d, pieces of %d: off by %.3g of the largest logit, at most %.3g", s.name, kv, split[p], bad, most);
            }
        }
        ker_cpu()->close(cpu);
        if (dev) gpu->close(dev);
        free(g);
        model_free(m);
    }
    printf("# off by at most %.3g of the largest logit with F16 cells, %.3g with F32 cells\n", closest[0], closest[1]);
}

/* ---- everything that may be done with a model ---- */

/* Routed, of floats and of blocks, with latents that tensor cores take; the second with its Q in two steps, so that few rows have fused launches. */
static const spec routed[] = {
    { "floats", 2, 1, 64, 3, 3, 32, 16, 8, 48, 32, 32, false, false, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .latent = { .kv_rank = 32, .nope = 16, .rope = 16, .v = 24 } }, { 0 } },
    { "blocks", 2, 1, 64, 5, 5, 48, 16, 8, 64, 32, 32, false, false, false, false, true, false, true, KER_GATE_SIGMOID, 1.5f, 0, KER_Q8_0, KER_Q8_0,
      { .latent = { .q_rank = 64, .kv_rank = 64, .nope = 32, .rope = 16, .v = 32 } }, { 0 } },
};
enum { ROUTED = sizeof routed / sizeof *routed };
static double near_of(const spec *s) { return s->type == KER_F32 ? 1e-4 : 6e-2; }

static void experts_may_lie_on_either_side(void)
{
    for (int i = 0; i < 2 * ROUTED; i++) {
        model *m = model_new(&routed[i / 2]);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[8]);
        ker_backend both = *ker_split();
        both.open = i % 2 ? open_cpu_first : open_gpu_first;
        ker_dev *d = opened(ker_cpu(), m);
        CHECK_INT(run_model(d, m, g, true, KER_KV_F32, N_TOK, &want), 0);
        backend->close(d);
        d = opened(&both, m);
        for (int piece = 0; d && piece < 2; piece++) {
            if (!all_of_it() && piece != i / 2) continue;
            CHECK_INT(run_model(d, m, g, true, KER_KV_F32, piece ? 7 : N_TOK, &got), 0);
            CHECK_MSG(worst(&got, &want) < near_of(m->s), "%s, order %d: off by %.3g of the largest logit", m->s->name, i % 2, worst(&got, &want));
        }
        if (d) both.close(d);
        free(g);
        model_free(m);
    }
}

/* Byte for byte what a device gives that holds all of them. */
static void experts_may_be_fetched(void)
{
    ker_backend cached = *gpu;
    cached.open = open_cached;
    for (int i = all_of_it() ? 0 : 1; i < 2 * ROUTED; i++) {
        model *m = model_new(&routed[i / 2]);
        config *g = malloc(sizeof *g);
        uint64_t all = 0;
        int piece = i % 2 ? 3 : N_TOK;
        for (int r = KER_W_GATE_EXPS; r <= KER_W_DOWN_EXPS; r++) all += m->w[2][r].w.bytes;
        cache_bytes = all * (i % 2 ? 3 : 5) / 8 + 8;
        config_make(g, m, &settings[0]);
        ker_dev *d = opened(gpu, m);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, piece, &want), 0);
        gpu->close(d);
        d = opened(&cached, m);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, piece, &got), 0);
        CHECK_MSG(same(&got, &want, m->m.n_layer), "%s in pieces of %d with few experts there: other numbers", m->s->name, piece);
        gpu->close(d);
        free(g);
        model_free(m);
    }
}

static void changed_products_are_the_cpus(void)
{
    static const int split[] = { N_TOK, 5, 1, 9 };
    for (int i = 0; i < 2 * ROUTED; i++) {
        model *m = model_new(&routed[i / 2]);
        config *g = malloc(sizeof *g);
        adapter a, b;
        ker_adapt two[2];
        adapter_make(&a, m, 11, 5, everything);
        adapter_make(&b, m, 12, 2, attention_alone);
        config_make(g, m, &settings[8]);
        act(g, &a, &b, two, i % 2);
        for (int side = 0; side < 2; side++) {
            ker_dev *d = opened(side ? gpu : ker_cpu(), m);
            CHECK_MSG(backend->adapter_put(d, 0, a.low, a.n, err) == 0 && backend->adapter_put(d, 3, b.low, b.n, err) == 0, "%s", err);
            for (int p = 0; p < (side ? 4 : 1); p++) {
                if (side && !all_of_it() && p != i) continue;
                CHECK_INT(run_model(d, m, g, true, KER_KV_F32, split[p], side ? &got : &want), 0);
                if (side) CHECK_MSG(worst(&got, &want) < near_of(m->s), "%s in pieces of %d: off by %.3g of the largest logit", m->s->name, split[p], worst(&got, &want));
            }
            backend->close(d);
        }
        adapter_free(&a);
        adapter_free(&b);
        free(g);
        model_free(m);
    }
}

/* What is saved comes back, and what the CPU saved, the GPU goes on from. */
static void cells_are_saved_and_loaded(void)
{
    saved_cells *here = malloc(sizeof *here), *moved = malloc(sizeof *moved);
    static const double near[KER_KV_TYPES] = { [KER_KV_F16] = 1e-3, [KER_KV_F32] = 1e-5, [KER_KV_Q8_0] = 3e-2, [KER_KV_Q4_0] = .3 };
    backend = gpu;
    for (int i = all_of_it() ? 0 : 1; i < ROUTED; i++) cells_come_back(&routed[i]);
    model *m = model_new(&routed[0]);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    for (int t = KER_KV_F16; t < KER_KV_TYPES; t++) {
        double bad = 0, top = 0;
        backend = ker_cpu();
        CHECK_INT(cells_run(m, g, t, NULL, here), 0);
        backend = gpu;
        CHECK_INT(cells_run(m, g, t, here, moved), 0);
        CHECK_MSG(!memcmp(here->page, moved->page, sizeof here->page), "cells of type %d are others on the GPU", t);
        for (int i = 0; i < VOCAB; i++) {
            bad = fmax(bad, fabs((double)moved->next[i] - (double)here->next[i]));
            top = fmax(top, fabs((double)here->next[i]));
        }
        CHECK_MSG(bad < near[t] * top, "cells of type %d from the CPU: off by %.3g of the largest logit", t, bad / top);
    }
    free(here);
    free(moved);
    free(g);
    model_free(m);
}

/* ---- batches of several sequences ---- */

enum { MOST = 40, STEPS = 4 };

/* A text on page 0; from its first 33 cells, copied to page 1, another goes on; a third begins on page 2 and reaches into page 3. Few rows
 * of all, then many. Each batch is given up
 * in its second layer first. Logits of every step's rows. */
static int in_turn(ker_dev *d, const model *m, const config *g, enum ker_kv_type type, float *logits)
{
    static const int rows[STEPS][3] = { { MOST, 0, 0 }, { 2, 3, 1 }, { 9, 7, 24 }, { 1, 0, 40 } };
    static const int32_t pages[3][2] = { { 0, -1 }, { 1, -1 }, { 2, 3 } };
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    int at[3] = { 0, 33, 0 };
    atomic_int cancel = 0;
    ker_seq seqs[3];
    for (int i = 0; i < 3; i++) seqs[i] = (ker_seq){ .page = pages[i], .n_page = i == 2 ? 2 : 1 };
    int rc = backend->ctx_new(d, 48, m->m.n_expert, &cancel, &c, err);
    if (!rc) rc = backend->kv_new(d, type, 4, &kv, err);
    if (!rc) rc = backend->cfg_put(c, 0, &g->c, err);
    for (int s = 0; s < STEPS && !rc; s++) {
        int32_t token[48], cell[48];
        int16_t seq[48];
        uint8_t want_logits[48];
        uint16_t forced[2 * 48 * MAX_E];
        int n = 0, left[3] = { rows[s][0], rows[s][1], rows[s][2] };
        if (s == 1) backend->kv_copy(kv, 1, 0, 33);
        for (int k = 0; left[0] + left[1] + left[2] > 0; k = (k + 1) % 3) {          /* in turn, while there are some */
            if (!left[k]) continue;
            left[k]--;
            seq[n] = (int16_t)k;
            cell[n] = at[k]++;
            token[n] = tokens[(cell[n] * 5 + k * 11) % N_TOK];
            want_logits[n++] = KER_WANT_LOGITS;
        }
        for (int i = 0; i < 2 * n * MAX_E; i++) forced[i] = KER_NO_EXPERT;
        for (int i = 0; i < 2 * n; i++) {
            forced[i * m->m.n_expert] = (uint16_t)(i % 5);
            forced[i * m->m.n_expert + 1] = 7;
        }
        ker_batch b = { .n = n, .token = token, .pos = cell, .cell = cell, .seq = seq, .want = want_logits, .seqs = seqs, .n_seq = 3, .forced = forced };
        ker_out o;
        rc = backend->begin(c, kv, &b, err);
        if (!rc) rc = backend->embed(c);
        if (!rc) rc = backend->attn(c, 0);
        cancel = 1;
        if (!rc) CHECK_INT(backend->dense(c, 0), Q_CANCEL);
        if (!rc) CHECK_INT(backend->attn(c, 1), Q_CANCEL);
        if (!rc) CHECK_INT(backend->end(c, &o), Q_CANCEL);
        cancel = 0;
        if (!rc) rc = forward(c, kv, m, &b, &o);
        if (!rc) memcpy(logits + s * 48 * VOCAB, o.logits, sizeof(float) * (size_t)(n * VOCAB));
    }
    if (kv) backend->kv_free(kv);
    if (c) backend->ctx_free(c);
    return rc;
}

static void several_sequences_in_a_batch(void)
{
    static float here[STEPS * 48 * VOCAB], there[STEPS * 48 * VOCAB];
    for (int i = 0; i < 2 * ROUTED; i++) {
        model *m = model_new(&routed[i / 2]);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[9]);
        double bad = 0, top = 0;
        emu->set("sms", i % 2 ? 132 : 4);          /* of many, a head's outputs are several blocks' */
        for (int side = 0; side < 2; side++) {
            ker_dev *d = opened(side ? gpu : ker_cpu(), m);
            CHECK_MSG(in_turn(d, m, g, i % 2 ? KER_KV_F16 : KER_KV_F32, side ? there : here) == 0, "%s", err);
            backend->close(d);
        }
        for (int k = 0; k < STEPS * 48 * VOCAB; k++) {
            double e = fabs((double)here[k] - (double)there[k]);
            bad = e <= bad ? bad : e;
            top = fmax(top, fabs((double)here[k]));
        }
        double most = i % 2 ? fmax(3e-3, near_of(m->s)) : near_of(m->s);
        CHECK_MSG(bad < most * top, "%s, cells of type %d: off by %.3g of the largest logit", m->s->name, i % 2, bad / top);
        free(g);
        model_free(m);
    }
    emu->set("sms", 4);
}

/* ---- launches ---- */

enum { SHORT = 12 };

/* A device, a pass of many rows, then one by one up to n; the last row's logits. */
static int short_text(const model *m, const config *g, const adapter *a, int n, float *logits)
{
    const ker_backend *b = gpu;
    ker_dev *d = NULL;
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    int32_t page = 0, pos[SHORT];
    ker_seq seq = { .page = &page, .n_page = 1 };
    *err = 0;
    int rc = b->open(&m->m, 1, NULL, &d, err);
    for (int l = 0; l < 5; l++)
        for (int r = 0; r < KER_W_ROLES; r++)
            if (!rc && m->w[l][r].f) rc = b->weight(d, l - 1, (enum ker_role)r, &m->w[l][r].w, err);
    if (!rc) rc = b->ready(d, err);
    if (!rc) rc = b->ctx_new(d, SHORT, m->m.n_expert, NULL, &c, err);
    if (!rc) rc = b->kv_new(d, KER_KV_F16, 1, &kv, err);
    if (!rc && a) rc = b->adapter_put(d, 0, a->low, a->n, err);
    if (!rc) rc = b->cfg_put(c, 0, &g->c, err);
    for (int i = 0; i < SHORT; i++) pos[i] = i;
    for (int t = 0; t < n && !rc; t += t ? 1 : 9) {
        ker_batch batch = { .n = t ? 1 : 9, .token = tokens + t, .pos = pos + t, .cell = pos + t, .seqs = &seq, .n_seq = 1, .phase = t > 0 };
        ker_out o;
        if (!(rc = forward(c, kv, m, &batch, &o))) memcpy(logits, o.logits, sizeof(float) * VOCAB);
        else if (d) b->why(c, err);
    }
    if (kv) b->kv_free(kv);
    if (c) b->ctx_free(c);
    if (d) b->close(d);
    return rc;
}

/* A token's: embedding and trace, a dense layer in 7, a routed one in 8, the head; a second Q is no launch of its own, whatever its type. */
static void launches_of_a_token(void)
{
    static const int types[] = { KER_Q8_0, KER_MXFP4 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        spec of = routed[1];
        of.name = ker_type_get(types[i])->name;
        of.type = of.down_type = types[i];
        model *m = model_new(&of);
        config *g = malloc(sizeof *g);
        emu_stats s;
        float last[VOCAB];
        config_make(g, m, &settings[0]);
        backend = gpu;
        emu->reset();
        CHECK_MSG(short_text(m, g, NULL, 9, last) == 0, "%s", err);
        emu->stats(&s);
        uint64_t before = s.launches;
        emu->reset();
        CHECK_MSG(short_text(m, g, NULL, SHORT, last) == 0, "%s", err);
        emu->stats(&s);
        printf("# a token of %s, a dense layer and a routed one: %g launches\n", of.name, (double)(s.launches - before) / (SHORT - 9));
        CHECK_INT((int)(s.launches - before), (SHORT - 9) * (3 + 7 + 8));
        free(g);
        model_free(m);
    }
}

/* Blocks of kernels whose name begins so, since the reset. */
static uint64_t blocks_of(const char *name)
{
    static emu_kernel k[256];
    size_t n = emu->kernels(k, 256);
    uint64_t blocks = 0;
    for (size_t i = 0; i < n && i < 256; i++) if (!strncmp(k[i].name, name, strlen(name))) blocks += k[i].blocks;
    return blocks;
}

/* Of nine rows of two layers K_B and V_B are read twice: by a block for eight, by one for the last. */
static void rows_of_a_prompt_share_what_is_read(void)
{
    model *m = model_new(&routed[1]);
    config *g = malloc(sizeof *g);
    float last[VOCAB];
    config_make(g, m, &settings[0]);
    backend = gpu;
    emu->set("sms", 4);
    emu->reset();
    CHECK_MSG(short_text(m, g, NULL, 9, last) == 0, "%s", err);
    CHECK_INT((int)blocks_of("mla_in_rows"), 2 * 2 * (5 + 1));     /* layers, eights, heads and cells */
    CHECK_INT((int)blocks_of("mla_out_rows"), 2 * 2 * 5);
    CHECK_INT((int)(blocks_of("mla_in<") + blocks_of("mla_out<")), 0);
    free(g);
    model_free(m);
}

/* ---- calls that fail ---- */

/* Each call of the driver in turn: it ends in a sentence or in the same numbers, and nothing is left. */
static void every_call_may_fail(void)
{
    model *m = model_new(&routed[1]);
    config *g = malloc(sizeof *g);
    adapter a;
    ker_adapt two[2];
    emu_stats s;
    char words[2000];
    float whole[VOCAB], now[VOCAB];
    backend = gpu;
    adapter_make(&a, m, 71, 2, attention_alone);
    config_make(g, m, &settings[0]);
    act(g, &a, NULL, two, false);
    emu->reset();
    CHECK_MSG(short_text(m, g, &a, SHORT, whole) == 0, "%s", err);
    emu->stats(&s);
    int said = 0, silent = 0, step = all_of_it() ? 1 : test_brief() ? 15 : 7;
    for (long n = 1; n <= (long)s.calls && test_bad < 5; n += step) {
        emu->fail_at(n);
        int rc = short_text(m, g, &a, SHORT, now);
        emu->fail_at(0);
        said += rc != 0;
        silent += rc && !*err;
        CHECK_MSG(rc || !memcmp(now, whole, sizeof now), "call %ld fails: other numbers", n);
        size_t left = emu->leaks(words, sizeof words);
        CHECK_MSG(left == 0, "call %ld fails: %zu left: %s", n, left, words);
    }
    printf("# %llu calls, every %d. failed in turn: %d ended in a sentence\n", (unsigned long long)s.calls, step, said);
    CHECK(said > 10 && !silent);
    adapter_free(&a);
    free(g);
    model_free(m);
}

/* ---- what is refused ---- */

/* Windows, sinks and gates beside latents; what a layer gives may be normed, biased and multiplied as elsewhere. */
static void what_no_model_has_is_refused(void)
{
    for (int i = 0; i < 5; i++) {
        model *m = model_new(&specs[spec_named("deepseek-v2")]);
        ker_dev *d = NULL;
        const char *why = i < 4 ? "layer 2 has a window, sinks or a gate beside its latents" : "latents of 6000 numbers";
        if (i == 1) m->layer[2].window = 8;
        if (i == 2) m->layer[2].sinks = true;
        if (i == 3) m->layer[2].q_gate = true;
        if (i == 4) m->m.head_dim = (m->m.latent.kv_rank = 6000) + m->m.latent.rope;
        int rc = gpu->open(&m->m, 1, NULL, &d, err);
        CHECK_INT(rc, i == 4 ? Q_RANGE : i ? Q_FORMAT : 0);
        CHECK_MSG(!i || (strstr(err, why) && strstr(err, "--device cpu")), "%s", err);
        if (!rc) gpu->close(d);
        model_free(m);
    }
    spec s = specs[spec_named("deepseek-v2")];
    static result cpus;
    s.name = "latents, normed, with factors";
    s.more.post_norms = s.more.bias_o = true;
    s.more.residual = .5f;
    for (int q8 = 0; q8 < 2; q8++) {
        if (q8) {
            s = specs[spec_named("deepseek, q8")];
            s.name = "latents by blocks, with factors";
            s.more.bias_o = true;
            s.more.residual = .5f;
        }
        model *m = model_new(&s);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[8]);
        ker_dev *cpu = opened(ker_cpu(), m);
        CHECK_INT(run_model(cpu, m, g, true, KER_KV_F32, N_TOK, &cpus), 0);
        ker_dev *d = opened(gpu, m);
        for (int piece = 0; d && piece < 2; piece++) {
            if (!all_of_it() && piece != q8) continue;
            CHECK_INT(run_model(d, m, g, true, KER_KV_F32, piece ? 5 : N_TOK, &got), 0);
            double bad = worst(&got, &cpus);
            CHECK_MSG(bad < (q8 ? 6e-2 : 1e-4), "%s: off by %.3g of the largest logit", s.name, bad);
        }
        ker_cpu()->close(cpu);
        if (d) gpu->close(d);
        free(g);
        model_free(m);
    }
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_latent", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    tokens_make();
    RUN(what_no_model_has_is_refused);
    RUN(widths_of_real_models);
    RUN(experts_may_lie_on_either_side);
    RUN(experts_may_be_fetched);
    RUN(changed_products_are_the_cpus);
    RUN(cells_are_saved_and_loaded);
    RUN(several_sequences_in_a_batch);
    RUN(launches_of_a_token);
    RUN(rows_of_a_prompt_share_what_is_read);
    RUN(every_call_may_fail);
    return TEST_END();
}
