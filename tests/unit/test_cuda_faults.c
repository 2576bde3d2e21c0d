/* The CUDA backend when the device says no: every call of the driver failing in turn, no memory, no device; and what one
 * token costs in launches, copies, waits and allocations. On the emulator (build/libquorum-emu.so), which counts and
 * fails what it is told to. Skipped where there is none. */
#include "kernels/made.h"
#include "tests/forward_low.h"
#include "tests/on_device.h"

static const ker_backend *gpu;
static const emu_api_table *emu;

/* ---- from opening to the last of a few passes ---- */

/* cells: their type; room: bytes for fetched experts, 0: all lie there. made: a recurrent model instead. */
typedef struct trial {
    const model *m;
    config *g;
    const adapter *a;
    const made_model *made;
    enum ker_kv_type cells;
    uint64_t room;
    int rc;
    char why[Q_ERRLEN];
    double first;
} trial;

/* Two tokens, the second by the graph of the first; then the rows of a prompt. */
enum { PASSES = 3, ROWS = 9 };
static const int rows_of[PASSES] = { 1, 1, ROWS };

static int some_passes(trial *t, ker_dev *d)
{
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    const int32_t page[1] = { 1 }, cell[ROWS + 2] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    ker_seq seq = { .page = page, .n_page = 1 };
    int rc = gpu->ctx_new(d, ROWS, t->m->m.n_expert, NULL, &c, t->why);
    if (!rc) rc = gpu->kv_new(d, t->cells, 3, &kv, t->why);
    if (!rc) rc = gpu->cfg_put(c, 0, &t->g->c, t->why);
    for (int i = 0; i < PASSES && !rc; i++) {
        ker_batch b = { .n = rows_of[i], .token = tokens + i, .pos = cell + i, .cell = cell + i, .seqs = &seq, .n_seq = 1 };
        ker_out o;
        *err = 0;
        rc = forward(c, kv, t->m, &b, &o);
        if (rc) {                                  /* parts have no words of their own */
            snprintf(t->why, sizeof t->why, "%s", err);
            if (!*err) gpu->why(c, t->why);
        } else t->first += o.logits[0];
        if (!rc && i == 0) {
            static uint8_t cells[1 << 16];
            gpu->kv_copy(kv, 2, 1, 1);
            rc = gpu->kv_save(kv, 1, 1, cells);
            if (!rc) rc = gpu->kv_load(kv, 1, 1, cells);
            if (rc) gpu->why(c, t->why);
        }
    }
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    return rc;
}

static void run(trial *t)
{
    ker_dev *d = NULL;
    ker_hold hold = { .cache_bytes = t->room };
    t->why[0] = 0;
    t->first = 0;
    t->rc = gpu->open(&t->m->m, 1, &hold, &d, t->why);
    for (int l = 0; l < 5 && !t->rc; l++)
        for (int r = 0; r < KER_W_ROLES && !t->rc; r++)
            if (t->m->w[l][r].f) t->rc = gpu->weight(d, l - 1, r, &t->m->w[l][r].w, t->why);
    if (!t->rc) t->rc = gpu->ready(d, t->why);
    if (!t->rc && t->a) t->rc = gpu->adapter_put(d, 0, t->a->low, t->a->n, t->why);
    if (!t->rc) t->rc = some_passes(t, d);
    if (d) gpu->close(d);
}

/* The same passes of recurrent layers; their state is written back between the first two. */
static void run_recurrent(trial *t)
{
    made_side s = { 0 };
    const int32_t page[1] = { 1 }, cell[ROWS + 2] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    t->why[0] = 0;
    t->first = 0;
    t->rc = made_open(&s, gpu, 0, t->made, ROWS, 2 * KER_PAGE, t->why);
    float *state = q_alloc(sizeof *state * (size_t)ker_state_floats(&t->made->m));
    for (int i = 0; i < PASSES && !t->rc; i++) {
        ker_seq seq = { .page = page, .n_page = 1 };
        ker_batch b = { .n = rows_of[i], .token = tokens + i, .pos = cell + i, .cell = cell + i, .seqs = &seq, .n_seq = 1 };
        made_states(&s, i, &seq);
        t->rc = made_pass(&s, t->made, &b, t->why);
        if (!t->rc) t->first += s.out.logits[0];
        if (!t->rc && i == 0) {
            t->rc = gpu->state_save(s.kv, s.state[0], state);
            if (!t->rc) t->rc = gpu->state_load(s.kv, s.state[0], state);
            if (t->rc) gpu->why(s.ctx, t->why);
        }
    }
    free(state);
    made_close(&s);
}

/* A call that fails ends in a sentence, or in the same numbers where it was not needed; nothing is left behind. */
static void each_call_fails(const char *name, trial *whole, void (*how)(trial *), int step)
{
    trial t = *whole;
    emu_stats s;
    char words[2000];
    emu->reset();
    how(whole);
    emu->stats(&s);
    CHECK_MSG(!whole->rc, "%s: %d %s", name, whole->rc, whole->why);
    int refused = 0, went_on = 0;
    for (long n = 1; n <= (long)s.calls && !whole->rc; n += step) {
        emu->fail_at(n);
        trial again = *whole;
        how(&t);
        how(&again);                               /* another device, opened behind the one that failed */
        CHECK_MSG(!again.rc && again.first == whole->first, "%s, call %ld fails: the next device %d %s", name, n, again.rc, again.why);
        emu->fail_at(0);
        if (t.rc) CHECK_MSG(t.why[0] != 0, "%s, call %ld fails: %d without a sentence", name, n, t.rc);
        else CHECK_MSG(t.first == whole->first, "%s, call %ld fails: other numbers, %g and %g", name, n, t.first, whole->first);
        t.rc ? refused++ : went_on++;
        size_t left = emu->leaks(words, sizeof words);
        CHECK_MSG(left == 0, "%s, call %ld fails: %zu left: %s", name, n, left, words);
        if (test_bad > 5) break;
    }
    printf("# %s: %llu calls, every %d. failed in turn: %d ended in a sentence, %d were not needed\n", name, (unsigned long long)s.calls, step, refused, went_on);
    CHECK((uint64_t)refused * (uint64_t)step > s.calls / 2);
    how(&t);                                       /* and the device is well again */
    CHECK(!t.rc && t.first == whole->first);
}

static void every_call_may_fail(void)
{
    model *m = model_new(&specs[3]);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    trial whole = { .m = m, .g = g, .cells = KER_KV_F16 };
    each_call_fails("halves", &whole, run, getenv("QUORUM_LONG") ? 1 : test_brief() ? 15 : 3);
    free(g);
    model_free(m);
}

/* As gpt-oss has it, with tensor cores' types: windows, sinks, biases, the clamped gate. */
static const spec oss = { "oss", 2, 0, 64, 4, 2, 32, 32, 8, 0, 64, 0, true, false, true, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0,
                          { .window = 7, .every = 2, .sinks = true, .bias_o = true }, { KER_GLU_CLAMPED, KER_BIAS_ROUTER | KER_BIAS_EXPERTS, 0, 0, 0 } };

static uint64_t a_third_of_the_experts(const model *m)
{
    uint64_t n = 0;
    for (int l = 1; l < 5; l++) for (int r = KER_W_GATE_EXPS; r <= KER_W_DOWN_EXPS; r++) if (m->w[l][r].f) n += m->w[l][r].w.bytes;
    return n / 3;
}

/* Cells in blocks, fetched experts, an adapter, layers of other kinds: each has calls of its own. */
static void every_call_of_each_kind_may_fail(void)
{
    static const int none[] = { 0 };
    static const made_shape recurrent = { "recurrent", 96, 4, 1, 40, 16, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_SH_ROUTER | MADE_HALF | MADE_DELTA, KER_GATE_SOFTMAX, 1, 0, none };
    const struct { const char *name; const spec *of; enum ker_kv_type cells; bool fetched, changed; } each[] = {
        { "cells of Q8_0", &specs[6], KER_KV_Q8_0, false, false },
        { "fetched experts", &specs[0], KER_KV_F16, true, false },
        { "an adapter", &specs[2], KER_KV_F32, false, true },
        { "gpt-oss, cells of Q4_0", &oss, KER_KV_Q4_0, false, false },
        { "gpt-oss, fetched, changed", &oss, KER_KV_Q8_0, true, true },
        { "latents", &specs[spec_named("deepseek, q8")], KER_KV_Q8_0, false, false },
        { "latents, fetched, changed", &specs[spec_named("deepseek-v2")], KER_KV_F16, true, true },
    };
    int step = getenv("QUORUM_LONG") ? 1 : test_brief() ? 41 : 11;
    for (size_t i = 0; i < sizeof each / sizeof *each && test_bad < 6; i++) {
        model *m = model_new(each[i].of);
        config *g = malloc(sizeof *g);
        adapter a = { .n = 0 };
        ker_adapt two[2];
        config_make(g, m, &settings[0]);
        if (each[i].changed) {
            adapter_make(&a, m, 5, 3, everything);
            act(g, &a, NULL, two, false);
        }
        trial whole = { .m = m, .g = g, .a = each[i].changed ? &a : NULL, .cells = each[i].cells, .room = each[i].fetched ? a_third_of_the_experts(m) : 0 };
        each_call_fails(each[i].name, &whole, run, step);
        adapter_free(&a);
        free(g);
        model_free(m);
    }
    trial whole = { .made = made_new(&recurrent, KER_Q8_0, 1) };
    each_call_fails("recurrent", &whole, run_recurrent, step);
    made_free((made_model *)(uintptr_t)whole.made);
}

static void little_memory_is_said(void)
{
    model *m = model_new(&specs[5]);               /* about 6 MB */
    config *g = malloc(sizeof *g);
    char words[2000];
    config_make(g, m, &settings[0]);
    for (long mb = 1; mb <= 5; mb += 2) {
        emu->set("mem_mb", mb);
        trial t = { .m = m, .g = g, .cells = KER_KV_F16 };
        run(&t);
        CHECK_MSG(t.rc == Q_NOMEM && t.why[0], "with %ld MB: %d %s", mb, t.rc, t.why);
        CHECK_INT(emu->leaks(words, sizeof words), 0);
    }
    emu->set("mem_mb", 4096);
    free(g);
    model_free(m);
}

static void no_device_is_said(void)
{
    ker_device list[4];
    ker_dev *d = NULL;
    model *m = model_new(&specs[0]);
    emu->set("devices", 0);
    CHECK_INT(gpu->devices(list, 4, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "--device cpu") != NULL, "%s", err);
    CHECK_INT(gpu->open(&m->m, 1, NULL, &d, err), Q_NOTFOUND);
    emu->set("devices", 1);
    CHECK_INT(gpu->devices(list, 4, err), 1);
    CHECK(list[0].bytes > 0 && list[0].name[0]);
    model_free(m);
}

/* After the first token of a shape: one graph, one wait, no allocation, whatever knob is turned between two tokens. */
static void what_a_token_costs(void)
{
    model *m = model_new(&specs[0]);
    backend = gpu;
    ker_dev *d = dev_new(m, 1);
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    config *g = malloc(sizeof *g), *h = malloc(sizeof *h);
    config_make(g, m, &settings[0]);
    config_make(h, m, &settings[3]);               /* a ban */
    CHECK_INT(gpu->ctx_new(d, 4, 12, NULL, &c, err), 0);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
    CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
    const int32_t page[2] = { 1, 0 };
    ker_seq seq = { .page = page, .n_page = 2 };
    for (int i = 0; i < 6; i++) {
        int32_t at = i;
        ker_batch b = { .n = 1, .token = tokens + i, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1 };
        ker_out o;
        emu_stats s;
        emu->reset();
        if (i == 4) CHECK_INT(gpu->cfg_put(c, 0, &h->c, err), 0);
        CHECK_INT(forward(c, kv, m, &b, &o), 0);
        emu->stats(&s);
        if (i == 5) printf("# a token: %llu launches in %llu graph, %llu bytes up, %llu down, %llu waits\n", (unsigned long long)s.launches,
                           (unsigned long long)s.graph_launches, (unsigned long long)s.h2d_bytes, (unsigned long long)s.d2h_bytes, (unsigned long long)s.host_syncs);
        CHECK_INT(s.mallocs + s.host_mallocs, 0);
        CHECK_INT(s.graph_launches, 1);
        CHECK_INT(s.graphs_made, i == 0);          /* a ban changes no launch, so that no graph is made anew */
        CHECK_INT(s.launches, s.graph_kernels);
        CHECK_INT(s.host_syncs, i == 4 ? 2 : 1);   /* cfg_put waits for its copy */
        uint64_t trace = (uint64_t)m->m.n_layer * (12 * 6 + 8) + 4;
        CHECK_MSG(s.d2h_bytes <= trace + 5 * 256 + VOCAB * 4, "%llu bytes down", (unsigned long long)s.d2h_bytes);
    }
    gpu->kv_free(kv);
    /* Another cache, of another type, at the next token: the captured pass read the one that is gone. */
    static const enum ker_kv_type types[] = { KER_KV_Q8_0, KER_KV_F16 };
    for (int i = 0; i < 2; i++) {
        int32_t at = 0;
        ker_batch b = { .n = 1, .token = tokens, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1 };
        ker_out o;
        emu_stats s;
        CHECK_INT(gpu->kv_new(d, types[i], 2, &kv, err), 0);
        emu->reset();
        CHECK_INT(forward(c, kv, m, &b, &o), 0);
        emu->stats(&s);
        CHECK_MSG(s.graph_launches == 1 && (types[i] == KER_KV_F16 || s.graphs_made == 1), "cells of type %d: %d graphs made", types[i], (int)s.graphs_made);
        if (i == 0) gpu->kv_free(kv);
    }
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    gpu->close(d);
    free(g);
    free(h);
    model_free(m);
}

/* A call whose failure says nothing of the device, between two tokens: the next one is computed. */
static void what_nobody_looked_at_is_forgotten(void)
{
    model *m = model_new(&specs[0]);
    ker_dev *d = dev_new(m, 1);
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    config *g = malloc(sizeof *g);
    const int32_t page[1] = { 0 };
    ker_seq seq = { .page = page, .n_page = 1 };
    config_make(g, m, &settings[0]);
    CHECK_INT(gpu->ctx_new(d, 2, 12, NULL, &c, err), 0);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 1, &kv, err), 0);
    CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
    for (int32_t at = 0; at < 2; at++) {
        ker_batch b = { .n = 1, .token = tokens, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1 };
        ker_out o;
        emu->fail("cudaMemGetInfo", 1);
        CHECK_INT(gpu->memory(d), 0);
        CHECK_INT(forward(c, kv, m, &b, &o), 0);
    }
    emu->fail(NULL, 0);
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    gpu->close(d);
    free(g);
    model_free(m);
}

/* Two rows in turn of which other things are wanted, on one context and each on a context of its own: the same numbers. */
static void a_graph_gives_what_is_wanted(void)
{
    static const uint8_t wants[][2] = { { 0, KER_WANT_LOGITS }, { 0, KER_WANT_LOGITS | KER_WANT_HIDDEN }, { KER_WANT_HIDDEN, KER_WANT_LOGITS | KER_WANT_HIDDEN },
                                        { KER_WANT_LOGITS, KER_WANT_LOGITS }, { 0, KER_WANT_HIDDEN }, { 0, KER_WANT_LOGITS } };
    model *m = model_new(&specs[0]);
    ker_dev *d = dev_new(m, 1);
    config *g = malloc(sizeof *g);
    const int32_t page[1] = { 0 }, cell[2] = { 0, 1 };
    ker_seq seq = { .page = page, .n_page = 1 };
    ker_ctx *c[2] = { NULL, NULL };
    ker_kv *kv = NULL;
    config_make(g, m, &settings[0]);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 1, &kv, err), 0);
    CHECK_INT(gpu->ctx_new(d, 2, 12, NULL, &c[0], err) || gpu->cfg_put(c[0], 0, &g->c, err), 0);
    for (size_t i = 0; i < sizeof wants / sizeof *wants; i++) {
        ker_batch b = { .n = 2, .token = tokens + i, .pos = cell, .cell = cell, .want = wants[i], .seqs = &seq, .n_seq = 1 };
        ker_out o[2];
        int rc = gpu->ctx_new(d, 2, 12, NULL, &c[1], err) || gpu->cfg_put(c[1], 0, &g->c, err);
        for (int of = 0; of < 2 && !rc; of++) rc = forward(c[of], kv, m, &b, &o[of]);
        CHECK_MSG(!rc, "%d %s", rc, err);
        CHECK(rc || (o[0].n_logits == o[1].n_logits && !memcmp(o[0].logits, o[1].logits, sizeof(float) * (size_t)(o[0].n_logits * VOCAB))));
        CHECK(rc || (o[0].n_hidden == o[1].n_hidden && !memcmp(o[0].hidden, o[1].hidden, sizeof(float) * (size_t)(o[0].n_hidden * m->m.n_embd))));
        gpu->ctx_free(c[1]);
        if (rc) break;
    }
    gpu->kv_free(kv);
    gpu->ctx_free(c[0]);
    gpu->close(d);
    free(g);
    model_free(m);
}

/* A list of pages longer than there is room for moves to where there is: a graph reads what a pass brings, not what was brought before. */
static void a_long_list_of_pages_moves(void)
{
    enum { LONG = 70000 };
    model *m = model_new(&specs[0]);
    ker_dev *d = dev_new(m, 1);
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    config *g = malloc(sizeof *g);
    int32_t *page = calloc(LONG, sizeof *page), at = 0;
    float first[2] = { 0, 0 };
    config_make(g, m, &settings[0]);
    CHECK_INT(gpu->ctx_new(d, 2, 12, NULL, &c, err), 0);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 1, &kv, err), 0);
    CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
    for (int i = 0; i < 4; i++) {                  /* a token and another, and both again behind a long list */
        ker_seq seq = { .page = page, .n_page = i < 2 ? 1 : LONG };
        ker_batch b = { .n = 1, .token = tokens + i % 2, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1 };
        ker_out o;
        int rc = forward(c, kv, m, &b, &o);
        CHECK_MSG(!rc, "%d %s", rc, err);
        if (rc) break;
        if (i < 2) first[i] = o.logits[0];
        CHECK_MSG(o.logits[0] == first[i % 2] && (i != 1 || first[0] != first[1]), "pass %d: %g, not %g", i, (double)o.logits[0], (double)first[i % 2]);
    }
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    gpu->close(d);
    free(page);
    free(g);
    model_free(m);
}

/* A clock that fails in the middle of a pass: what it had is given back. */
static void a_clock_may_fail(void)
{
    model *m = model_new(&specs[0]);
    config *g = malloc(sizeof *g);
    char words[2000];
    config_make(g, m, &settings[0]);
    for (int i = 0; i < 3; i++) {
        static const char *const calls[] = { NULL, "cudaEventRecord", "cudaEventCreateWithFlags" };
        const int32_t page[1] = { 0 }, at = 0;
        ker_seq seq = { .page = page, .n_page = 1 };
        ker_batch b = { .n = 1, .token = tokens, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1 };
        ker_time t[48];
        ker_ctx *c = NULL;
        ker_kv *kv = NULL;
        ker_out o;
        backend = gpu;
        ker_dev *d = dev_new(m, 1);
        CHECK_INT(gpu->ctx_new(d, 2, 12, NULL, &c, err), 0);
        CHECK_INT(gpu->kv_new(d, KER_KV_F16, 1, &kv, err), 0);
        CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
        CHECK_INT(gpu->times(c, true, NULL, 0), 0);
        emu->fail(calls[i], 3);
        CHECK_INT(forward(c, kv, m, &b, &o), 0);
        emu->fail(NULL, 0);
        CHECK(gpu->times(c, false, t, 48) > 3);
        gpu->kv_free(kv);
        gpu->ctx_free(c);
        gpu->close(d);
        size_t left = emu->leaks(words, sizeof words);
        CHECK_MSG(left == 0, "%s fails: %zu left: %s", calls[i] ? calls[i] : "nothing", left, words);
    }
    free(g);
    model_free(m);
}

/* Who asks how much of each GPU is free holds something of all; who opens one lets the others go, who opens none all. */
static void others_are_let_go(void)
{
    ker_device list[4];
    ker_hold hold = { .index = 1 };
    model *m = model_new(&specs[0]);
    emu_stats s;
    emu->set("devices", 3);
    for (int opened = 0; opened < 2; opened++) {
        ker_dev *d = NULL, *more = NULL;
        CHECK_INT(gpu->devices(list, 4, err), 3);
        emu->stats(&s);
        CHECK_INT(s.contexts, 3);
        if (opened) CHECK_INT(gpu->open(&m->m, 1, &hold, &d, err), 0);
        else gpu->leave();
        emu->stats(&s);
        CHECK_INT(s.contexts, opened);
        if (!opened) continue;
        CHECK_INT(gpu->devices(list, 4, err), 3);         /* one that computes is not let go */
        gpu->leave();
        CHECK_INT(gpu->open(&m->m, 1, NULL, &more, err), 0);
        emu->stats(&s);
        CHECK_INT(s.contexts, 2);
        gpu->close(d);
        gpu->close(more);
        gpu->leave();
        emu->stats(&s);
        CHECK_INT(s.contexts, 0);
    }
    emu->set("devices", 1);
    model_free(m);
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_faults", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    tokens_make();
    backend = gpu;
    RUN(no_device_is_said);
    RUN(others_are_let_go);
    RUN(what_a_token_costs);
    RUN(little_memory_is_said);
    RUN(every_call_may_fail);
    RUN(every_call_of_each_kind_may_fail);
    RUN(what_nobody_looked_at_is_forgotten);
    RUN(a_graph_gives_what_is_wanted);
    RUN(a_long_list_of_pages_moves);
    RUN(a_clock_may_fail);
    return TEST_END();
}
