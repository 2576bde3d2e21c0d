/* Adapters on the CUDA backend, on the emulator (build/libquorum-emu.so): every matrix that may be changed against the CPU, for shapes of
 * all kinds, few rows and many, experts that lie there, are fetched or run elsewhere; that a row's bits hang on its own configuration
 * alone, whatever is beside it; what is refused, and calls that fail. Skipped without a C++ compiler. */
#include "tests/forward_low.h"
#include "tests/either_side.h"
#include "tests/on_device.h"

static const emu_api_table *emu;

static bool all_of_it(void) { return getenv("QUORUM_LONG") != NULL; }

/* Of the types of the trade, so that few rows' kernels and tensor cores take part; widths of blocks of 256 and of 32. */
static const spec more[] = {
    { "blocks", 2, 0, 256, 2, 1, 32, 32, 8, 0, 256, 0, true, true, false, true, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0, { 0 }, { 0 } },
    { "shared", 2, 1, 64, 2, 1, 32, 32, 8, 96, 32, 64, true, true, false, true, false, true, true, KER_GATE_SOFTMAX, 1, 0, KER_Q4_0, KER_Q8_0, { 0 }, { 0 } },
    { "mxfp4", 2, 0, 64, 2, 1, 32, 32, 8, 0, 64, 0, true, true, false, true, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_MXFP4, KER_MXFP4, { 0 }, { 0 } },
};
enum { MORE = sizeof more / sizeof *more };

static bool downs(int layer, enum ker_role role) { return role == KER_W_DOWN || role == KER_W_DOWN_EXPS || role == KER_W_OUT; }

static ker_dev *opened(const ker_backend *b, const model *m)
{
    backend = b;
    ker_dev *d = dev_new(m, 1);
    CHECK_MSG(d != NULL, "%s", err);
    return d;
}

static void put(ker_dev *d, const adapter *a, const adapter *b)
{
    CHECK_MSG(backend->adapter_put(d, 0, a->low, a->n, err) == 0, "%s", err);
    if (b) CHECK_MSG(backend->adapter_put(d, 3, b->low, b->n, err) == 0, "%s", err);
}

/* ---- numbers ---- */

/* Beside the CPU, the text in pieces; how far off the other's logits are from those of a model without adapters. */
static void against_the_cpu(const spec *s, const setting *t, const ker_backend *of, bool (*wanted)(int layer, enum ker_role role), int piece, bool by_expert)
{
    model *m = model_new(s);
    config *g = malloc(sizeof *g);
    adapter a, b;
    ker_adapt two[2];
    bool exact = s->type == KER_F32 && s->down_type == KER_F32;
    adapter_make(&a, m, 11, 5, wanted);
    adapter_make(&b, m, 12, 2, attention_alone);
    config_make(g, m, t);
    ker_dev *d = opened(ker_cpu(), m);
    CHECK_INT(run_model(d, m, g, t->forced, KER_KV_F32, N_TOK, &got), 0);
    act(g, &a, &b, two, by_expert);
    put(d, &a, &b);
    CHECK_INT(run_model(d, m, g, t->forced, KER_KV_F32, N_TOK, &want), 0);
    double moved = worst(&got, &want);
    backend->close(d);
    if ((d = opened(of, m))) {
        put(d, &a, &b);
        CHECK_MSG(run_model(d, m, g, t->forced, KER_KV_F32, piece, &got) == 0, "%s", err);
        double bad = worst(&got, &want);        /* and what they move, a hundred times as much: Granite's factors make each layer's share small */
        int flips = 0;
        for (int i = 0; i < m->m.n_layer * N_TOK * MAX_E && exact; i++) flips += got.ids[i] != want.ids[i];
        CHECK_MSG(bad < (exact ? 1e-4 : 6e-2), "%s/%s in pieces of %d: off by %.3g of the largest logit", s->name, t->name, piece, bad);
        CHECK_MSG(moved > (exact ? .01 : .02), "%s/%s: the adapters moved logits by %.3g only", s->name, t->name, moved);
        CHECK_MSG(!flips, "%s/%s in pieces of %d: %d routings differ", s->name, t->name, piece, flips);
        of->close(d);
    }
    adapter_free(&a);
    adapter_free(&b);
    free(g);
    model_free(m);
}

static void changed_products_are_the_cpus(void)
{
    static const int piece[] = { N_TOK, 5, 9, 1 }, how[] = { 2, 8, 9, 11 };       /* "all", "forced", "masks", "forced_magnitude" */
    int runs = 0;
    const int with[] = { spec_named("granitemoe"), spec_named("norms"), spec_named("norms, q8"), spec_named("whole heads, q8") };      /* beside the plain ones */
    const int others = N_PLAIN + MORE;
    for (int s = 0; s < others + (int)(sizeof with / sizeof *with); s++) {
        const spec *of = s < N_PLAIN ? &specs[s] : s < others ? &more[s - N_PLAIN] : &specs[with[s - others]];
        if (of->n_embd > 500 && !all_of_it()) continue;
        if (test_brief() && s % 4 && s < N_PLAIN) continue;
        for (int i = 0; i < 4; i++)
            for (int p = 0; p < 4; p++) {
                if (!all_of_it() && (p != (i + s) % 4 || (i + s) % 2 || (test_brief() && i > 1))) continue;
                const setting *t = &settings[how[i]];
                if (t->forced && !of->n_expert) t = &settings[9];
                if (t->magnitude && of->type != KER_F32) t = &settings[8];        /* who is kept would flip */
                against_the_cpu(of, t, gpu, i == 1 ? downs : everything, piece[p], (s + i) % 2);
                runs++;
            }
    }
    printf("# %d runs\n", runs);
    CHECK(runs > (test_brief() ? 7 : 15));
}

/* K_B and V_B have a matrix a head; factors of experts are none of theirs. */
static void latents_are_changed_alike(void)
{
    for (int s = 0; s < N_SPEC; s++) {
        bool q8 = !strcmp(specs[s].name, "deepseek, q8");
        if (!q8 && strcmp(specs[s].name, "deepseek-v2")) continue;
        against_the_cpu(&specs[s], &settings[8], gpu, everything, q8 ? 5 : N_TOK, true);
        if (!test_brief()) against_the_cpu(&specs[s], &settings[8], gpu, everything, q8 ? 9 : 1, false);
    }
}

/* ---- bits ---- */

enum { APART = 12, STEPS = 3 };

/* n sequences of a row a step each, sequence i under configuration slot[i]; the logits of the last step. */
static int run_apart(ker_dev *d, const model *m, const ker_config three[3], const int *slots, int n, float *logits)
{
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    int32_t page[APART], token[APART], pos[APART];
    int16_t seq[APART], slot[APART];
    uint8_t want_logits[APART];
    ker_seq seqs[APART];
    int rc = backend->ctx_new(d, APART, m->m.n_expert, NULL, &c, err);
    if (!rc) rc = backend->kv_new(d, KER_KV_F16, APART, &kv, err);
    for (int i = 0; i < 3 && !rc; i++) rc = backend->cfg_put(c, i, &three[i], err);
    for (int i = 0; i < n; i++) {
        page[i] = i;
        seqs[i] = (ker_seq){ .page = &page[i], .n_page = 1 };
        seq[i] = (int16_t)i;
        slot[i] = (int16_t)slots[i];
        want_logits[i] = KER_WANT_LOGITS;
    }
    for (int t = 0; t < STEPS && !rc; t++) {
        for (int i = 0; i < n; i++) {
            token[i] = tokens[i * STEPS + t];
            pos[i] = t;
        }
        ker_batch b = { .n = n, .token = token, .pos = pos, .cell = pos, .seq = seq, .slot = slot, .want = want_logits, .seqs = seqs, .n_seq = n };
        ker_out o;
        rc = forward(c, kv, m, &b, &o);
        if (!rc) memcpy(logits, o.logits, sizeof(float) * (size_t)(n * VOCAB));
    }
    if (kv) backend->kv_free(kv);
    backend->ctx_free(c);
    return rc;
}

/* Every row beside rows of other configurations, and beside its like alone. */
static void bits_hang_on_the_row_alone(void)
{
    static const int with[] = { 0, 2, 4, 6 };
    float mixed[APART * VOCAB], alike[APART * VOCAB];
    for (int s = test_brief() ? 3 : 0; s < 4 + MORE; s++) {
        model *m = model_new(s < 4 ? &specs[with[s]] : &more[s - 4]);
        config *g = malloc(sizeof *g);
        adapter a, b;
        ker_adapt two[2];
        ker_config three[3];
        adapter_make(&a, m, 21, 3, everything);
        adapter_make(&b, m, 22, 6, s % 2 ? downs : everything);
        config_make(g, m, &settings[0]);
        three_make(three, g, &a, &b, two);
        ker_dev *d = opened(gpu, m);
        if (d) put(d, &a, &b);
        for (int n = 4; d && n <= APART; n += APART - 4) {         /* few rows, and many */
            int slots[APART], same_slots[APART];
            for (int i = 0; i < n; i++) slots[i] = i < n / 2 ? i % 3 : i % 2 + 1;
            CHECK_MSG(run_apart(d, m, three, slots, n, mixed) == 0, "%s", err);
            for (int slot = 0; slot < 3; slot++) {
                for (int i = 0; i < n; i++) same_slots[i] = slot;
                CHECK_INT(run_apart(d, m, three, same_slots, n, alike), 0);
                int rows = 0;
                for (int i = 0; i < n; i++) {
                    if (slots[i] != slot) continue;
                    rows++;
                    CHECK_MSG(!memcmp(mixed + i * VOCAB, alike + i * VOCAB, sizeof(float) * VOCAB), "%s: row %d of %d under configuration %d has other bits beside others", m->s->name, i, n, slot);
                }
                CHECK(rows > 0);
            }
        }
        if (d) gpu->close(d);
        adapter_free(&a);
        adapter_free(&b);
        free(g);
        model_free(m);
    }
}

/* The text on one context, so that passes are graphs: a token under both adapters, which makes all room there will be, then two at a time
 * under none, both, one, and again: what a graph of two rows knows of adapters is what its first pass knew. grows: a token under one, then
 * none, one, both: more room is made behind a graph that knows the old one. */
static int run_by_turns(ker_dev *d, const model *m, const ker_config three[3], bool grows, result *out)
{
    const int16_t turn[] = { 0, grows ? 1 : 2, grows ? 2 : 1 };
    static const int32_t page[2] = { 1, 0 };
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    ker_seq seq = { .page = page, .n_page = 2 };
    int rc = backend->ctx_new(d, N_TOK, m->m.n_expert, NULL, &c, err);
    if (!rc) rc = backend->kv_new(d, KER_KV_F16, 2, &kv, err);
    for (int i = 0; i < 3 && !rc; i++) rc = backend->cfg_put(c, i, &three[i], err);
    memset(out, 0, sizeof *out);
    for (int t = 0, n = 1; t + n <= N_TOK && !rc; t += n, n = 2) {
        int32_t pos[2] = { t, t + 1 };
        int16_t slot[2] = { t ? turn[t / 2 % 3] : grows ? 1 : 2, turn[t / 2 % 3] };
        static const uint8_t want_logits[2] = { KER_WANT_LOGITS, KER_WANT_LOGITS };
        ker_batch b = { .n = n, .token = tokens + t, .pos = pos, .cell = pos, .slot = slot, .want = want_logits, .seqs = &seq, .n_seq = 1, .phase = n == 1 };
        ker_out o;
        if (!(rc = forward(c, kv, m, &b, &o))) memcpy(out->logits + t * VOCAB, o.logits, sizeof(float) * (size_t)(n * VOCAB));
    }
    if (kv) backend->kv_free(kv);
    if (c) backend->ctx_free(c);
    return rc;
}

static void graphs_follow_what_acts(void)
{
    model *m = model_new(&specs[0]);
    config *g = malloc(sizeof *g);
    adapter a, b;
    ker_adapt two[2];
    ker_config three[3];
    emu_stats before, after;
    adapter_make(&a, m, 41, 3, everything);
    adapter_make(&b, m, 43, 6, attention_alone);
    config_make(g, m, &settings[0]);
    three_make(three, g, &a, &b, two);
    ker_dev *cpu = opened(ker_cpu(), m);
    put(cpu, &a, &b);
    ker_dev *d = opened(gpu, m);
    put(d, &a, &b);
    for (int grows = 0; grows < 2; grows++) {
        backend = ker_cpu();
        CHECK_INT(run_by_turns(cpu, m, three, grows, &want), 0);
        backend = gpu;
        emu->stats(&before);
        CHECK_INT(run_by_turns(d, m, three, grows, &got), 0);
        emu->stats(&after);
        double bad = worst(&got, &want);
        CHECK_MSG(bad < 1e-4, "adapters by turns: off by %.3g of the largest logit", bad);
        CHECK(after.graph_launches > before.graph_launches + 30);
        CHECK_INT(after.graphs_made - before.graphs_made, grows ? 6 : 4);      /* those of before more room was made are made anew */
    }
    backend->close(d);
    backend = ker_cpu();
    backend->close(cpu);
    backend = gpu;
    adapter_free(&a);
    adapter_free(&b);
    free(g);
    model_free(m);
}

static void where_none_acts_nothing_changes(void)
{
    static const int piece[] = { 1, 7, N_TOK };
    for (int s = 0; s < 3 + MORE; s += test_brief() ? 3 : 1) {
        model *m = model_new(s < 3 ? &specs[2 * s] : &more[s - 3]);
        config *g = malloc(sizeof *g);
        adapter a;
        ker_adapt two[2];
        emu_stats before, after;
        adapter_make(&a, m, 31, 4, everything);
        config_make(g, m, &settings[1]);
        ker_dev *d = opened(gpu, m);
        int p = piece[s % 3];
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, p, &want), 0);
        put(d, &a, NULL);
        backend->adapter_drop(d, 0);
        emu->stats(&before);
        put(d, &a, NULL);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, p, &got), 0);
        CHECK_MSG(same(&got, &want, m->m.n_layer), "%s: an adapter that no configuration names", m->s->name);
        memset(a.layer, 0, sizeof a.layer);
        act(g, &a, NULL, two, false);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, p, &got), 0);
        CHECK_MSG(same(&got, &want, m->m.n_layer), "%s: an adapter at a scale of 0", m->s->name);
        backend->adapter_drop(d, 0);
        backend->adapter_drop(d, 0);
        emu->stats(&after);
        CHECK_INT(after.held, before.held);        /* its memory is free again */
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, p, &got), Q_RANGE);
        CHECK_MSG(strstr(err, "not at the device") != NULL, "%s", err);
        backend->close(d);
        adapter_free(&a);
        free(g);
        model_free(m);
    }
}

/* ---- experts that are fetched, in three steps, on another device ---- */

static int in_three(ker_ctx *c, int layer)
{
    ker_moe moe;
    int rc = gpu->moe_take(c, layer, &moe);
    if (!rc) rc = gpu->moe_run(c, layer, &moe);
    return rc ? rc : gpu->moe_add(c, layer, &moe);
}

static void fetched_experts_are_changed_alike(void)
{
    ker_backend cached = *gpu;
    cached.open = open_cached;
    for (int s = 0; s < 1 + MORE; s += test_brief() ? 2 : 1) {
        model *m = model_new(s < 1 ? &specs[2] : &more[s - 1]);
        config *g = malloc(sizeof *g);
        adapter a;
        ker_adapt two[2];
        uint64_t all = 0, n_moe = (uint64_t)((m->s->n_layer - m->s->dense) * m->s->n_expert);
        for (int l = 1; l < 5; l++) for (int r = KER_W_GATE_EXPS; r <= KER_W_DOWN_EXPS; r++) if (m->w[l][r].f) all += m->w[l][r].w.bytes;
        adapter_make(&a, m, 61, 4, everything);
        config_make(g, m, &settings[1]);
        act(g, &a, NULL, two, true);
        for (int piece = 1; piece <= 9; piece += 4) {              /* 1, 5, 9 rows */
            if (!all_of_it() && piece != 1 + 4 * ((s + 1) % 3)) continue;
            ker_dev *d = opened(gpu, m);
            put(d, &a, NULL);
            CHECK_INT(run_model(d, m, g, false, KER_KV_F16, piece, &want), 0);
            backend->close(d);
            for (int room = 1; room < 4; room += 2) {
                cache_bytes = all * (uint64_t)room / n_moe + 1;
                d = opened(&cached, m);
                put(d, &a, NULL);
                CHECK_INT(run_model(d, m, g, false, KER_KV_F16, piece, &got), 0);
                CHECK_MSG(same(&got, &want, m->m.n_layer), "%s in pieces of %d with room for %d experts: other numbers", m->s->name, piece, room);
                backend->close(d);
            }
        }
        adapter_free(&a);
        free(g);
        model_free(m);
    }
}

static void in_steps_and_on_two_devices(void)
{
    ker_backend three = *gpu, both = *ker_split(), other = both;
    three.experts = in_three;
    both.open = open_gpu_first;
    other.open = open_cpu_first;
    static const int with[] = { 0, 1, 2, 4 };
    for (int i = 0; i < (test_brief() ? 2 : 4); i++) {
        if (i % 2 == 0 || all_of_it()) against_the_cpu(&specs[with[i]], &settings[2], &three, everything, i % 4 ? 7 : N_TOK, i % 4);
        against_the_cpu(&specs[with[i]], &settings[2], i % 2 ? &both : &other, everything, i == 1 ? N_TOK : 7, i == 3);
        if (all_of_it()) against_the_cpu(&specs[with[i]], &settings[2], i % 2 ? &other : &both, everything, i == 1 ? N_TOK : 7, i == 3);
    }
}

/* ---- refusals and failures ---- */

static void wrong_changes_are_refused(void)
{
    model *m = model_new(&specs[2]);
    adapter a;
    adapter_make(&a, m, 51, 4, everything);
    ker_dev *d = opened(gpu, m);
    ker_low bad = a.low[0], twice[2] = { a.low[1], a.low[1] };
    bad.n_in++;
    CHECK_INT(gpu->adapter_put(d, 0, &bad, 1, err), Q_RANGE);
    CHECK_MSG(strstr(err, "another model") != NULL, "%s", err);
    CHECK_INT(gpu->adapter_put(d, 0, twice, 2, err), Q_FORMAT);
    CHECK_INT(gpu->adapter_put(d, KER_ADAPTERS, a.low, 1, err), Q_RANGE);
    gpu->adapter_drop(d, KER_ADAPTERS);
    gpu->close(d);
    adapter_free(&a);
    model_free(m);
}

typedef struct trial { const model *m; const adapter *a; const config *g; const config *off; ker_dev *d; result out; } trial;

/* Adapters put, used in pieces, put anew and dropped; each call of the driver failing in turn ends in a sentence or in the same numbers. */
static int use(trial *t)
{
    *err = 0;
    int rc = gpu->adapter_put(t->d, 0, t->a->low, t->a->n, err);
    if (!rc) rc = run_model(t->d, t->m, t->g, false, KER_KV_F16, 40, &t->out);
    if (!rc) rc = gpu->adapter_put(t->d, 0, t->a->low, t->a->n, err);
    gpu->adapter_drop(t->d, 0);
    return rc;
}

static void every_call_may_fail(void)
{
    model *m = model_new(&specs[3]);
    config *g = malloc(sizeof *g);
    adapter a;
    ker_adapt two[2];
    emu_stats s;
    char words[2000];
    static trial whole, t;
    adapter_make(&a, m, 71, 2, attention_alone);
    config_make(g, m, &settings[0]);
    act(g, &a, NULL, two, false);
    whole = (trial){ .m = m, .a = &a, .g = g, .d = opened(gpu, m) };
    emu->reset();
    CHECK_MSG(use(&whole) == 0, "%s", err);
    emu->stats(&s);
    gpu->close(whole.d);
    int said = 0, step = all_of_it() ? 1 : test_brief() ? 15 : 5;
    for (long n = 1; n <= (long)s.calls && test_bad < 5; n += step) {
        t = whole;
        t.d = opened(gpu, m);
        emu->fail_at(n);
        int rc = use(&t);
        emu->fail_at(0);
        said += rc != 0;
        CHECK_MSG(rc || !memcmp(t.out.logits, whole.out.logits, sizeof t.out.logits), "call %ld fails: other numbers", n);
        gpu->close(t.d);
        size_t left = emu->leaks(words, sizeof words);
        CHECK_MSG(left == 0, "call %ld fails: %zu left: %s", n, left, words);
    }
    printf("# %llu calls, every %d. failed in turn: %d ended in a sentence\n", (unsigned long long)s.calls, step, said);
    CHECK(said > (test_brief() ? 2 : 5));
    t = whole;                                     /* one that does not fit */
    t.d = opened(gpu, m);
    emu->stats(&s);
    ker_low large = a.low[0];
    large.rank = KER_LOW_RANK;
    large.a = calloc((size_t)(large.rank * large.n_in), sizeof(float));
    float *b = calloc((size_t)(large.rank * large.n_out), sizeof(float));
    b[0] = 1;
    large.b = b;
    emu->set("mem_mb", (long)(s.held >> 20) + 1);
    CHECK_INT(gpu->adapter_put(t.d, 1, &large, 1, err), Q_NOMEM);
    CHECK_MSG(strstr(err, "no room for the adapter") != NULL, "%s", err);
    emu->set("mem_mb", 4096);
    CHECK_MSG(use(&t) == 0 && !memcmp(t.out.logits, whole.out.logits, sizeof t.out.logits), "%s", err);
    gpu->close(t.d);
    CHECK_INT(emu->leaks(words, sizeof words), 0);
    free((void *)(uintptr_t)large.a);
    free(b);
    adapter_free(&a);
    free(g);
    model_free(m);
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_low", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    tokens_make();
    RUN(changed_products_are_the_cpus);
    RUN(latents_are_changed_alike);
    RUN(bits_hang_on_the_row_alone);
    RUN(graphs_follow_what_acts);
    RUN(where_none_acts_nothing_changes);
    RUN(fetched_experts_are_changed_alike);
    RUN(in_steps_and_on_two_devices);
    RUN(wrong_changes_are_refused);
    RUN(every_call_may_fail);
    return TEST_END();
}
