/* The CUDA backend through its table, kernels and host side alike, on the emulator (build/libquorum-emu.so): whole passes
 * over tiny models of every shape and setting against the reference in double precision and against the CPU. Without a
 * C++ compiler there is no emulator and all is skipped. */
#include "tests/forward.h"
#include "tests/either_side.h"
#include "tests/on_device.h"

typedef struct numbers { int flips, wrong; } numbers;

static numbers routing_differs(const model *m, const result *a, const result *b)
{
    numbers n = { 0, 0 };
    for (int l = 0; l < m->m.n_layer; l++)
        for (int i = 0; i < N_TOK; i++) {
            int at = (l * N_TOK + i) * MAX_E;
            n.flips += memcmp(a->ids + at, b->ids + at, sizeof(uint16_t) * (size_t)m->m.n_expert) != 0;
            for (int j = 0; j < m->m.n_expert; j++) n.wrong += !(fabsf(a->weights[at + j] - b->weights[at + j]) < 1e-4f);
            float e = a->entropy[l * N_TOK + i] - b->entropy[l * N_TOK + i], ma = a->margin[l * N_TOK + i], mb = b->margin[l * N_TOK + i];
            n.wrong += !(fabsf(e) < 5e-4f) + !(isnan(ma) ? isnan(mb) : fabsf(ma - mb) < 5e-4f);
        }
    return n;
}

static const emu_api_table *emu;

static bool all_of_it(void) { return getenv("QUORUM_LONG") != NULL; }

/* One shape, one setting, the text in pieces of `split`, against the reference in double precision. */
static void one_case(ker_dev *d, const model *m, const setting *t, int split)
{
    const spec *s = m->s;
    bool exact = s->type == KER_F32 && s->down_type == KER_F32, stable = exact || (t->forced && !t->magnitude) || !strcmp(t->name, "all");
    config *g = malloc(sizeof *g);
    config_make(g, m, t);
    reference(m, g, t->forced, N_TOK, &want);
    memset(&got, 0, sizeof got);
    int rc = run_model(d, m, g, t->forced, KER_KV_F32, split, &got);
    CHECK_MSG(!rc, "%s/%s in pieces of %d: %d %s", s->name, t->name, split, rc, err);
    double bad = worst(&got, &want);
    if (stable) CHECK_MSG(bad < (exact ? 1e-4 : 6e-2), "%s/%s in pieces of %d: off by %.3g of the largest logit", s->name, t->name, split, bad);
    numbers n = exact ? routing_differs(m, &got, &want) : (numbers){ 0, 0 };
    CHECK_MSG(!n.flips && !n.wrong, "%s/%s in pieces of %d: %d routings, %d numbers differ", s->name, t->name, split, n.flips, n.wrong);
    free(g);
}

/* Shapes of `specs` that a GPU computes beside the plain ones. */
static bool computed(int s)
{
    static const char *const more[] = {
        "olmoe",
        "granitemoe",
        "norms",
        "norms, q8",
        "whole heads, q8",
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) if (!strcmp(specs[s].name, more[i])) return true;
    return s < N_PLAIN;
}

/* Every shape with some of the settings, every setting with some of the shapes (all with all in the long form), the text in
 * one piece, in pieces of 9, of 5 (few rows) and token by token (the graphs). */
static void agrees_with_the_reference(void)
{
    static const int split[] = { N_TOK, 5, 9, 1 };
    int runs = 0, tried[N_SETTING] = { 0 };
    for (int s = 0; s < N_SPEC; s++) {
        if (!computed(s)) continue;
        model *m = model_new(&specs[s]);
        bool wide = specs[s].n_embd > 500;
        backend = gpu;
        ker_dev *d = dev_new(m, 1);
        CHECK(d != NULL);
        for (int t = 0; d && t < N_SETTING; t++) {
            if ((settings[t].forced && !m->m.n_expert) || (wide && t)) continue;
            if (all_of_it()) for (int i = 0; i < 4; i++) one_case(d, m, &settings[t], split[i]);
            else if (wide || (t + s) % (test_brief() ? 9 : 5) == 0) {
                one_case(d, m, &settings[t], wide ? N_TOK : split[(runs % 7 == 3 ? 3 : runs % 3)]);
                tried[t]++;
                runs++;
            }
        }
        if (d) gpu->close(d);
        model_free(m);
    }
    for (int t = 0; t < N_SETTING && !all_of_it() && !test_brief(); t++) CHECK_MSG(tried[t] >= 1, "%s was tried %d times", settings[t].name, tried[t]);
}

/* Latent attention and experts in groups, of floats and of blocks: every setting that has to do with them, rows at once, few and one by one. */
static void latents_and_groups(void)
{
    static const char *const names[] = { "groups2", "groups1", "deepseek-v2", "deepseek, q8" };
    static const int split[] = { N_TOK, 5, 9, 1 };
    for (int s = 0; s < N_SPEC; s++) {
        bool here = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) here = here || !strcmp(specs[s].name, names[i]);
        if (!here) continue;
        model *m = model_new(&specs[s]);
        backend = gpu;
        ker_dev *d = dev_new(m, 1);
        CHECK_MSG(d != NULL, "%s: %s", specs[s].name, err);
        for (int t = 0; d && t < N_SETTING; t++) {
            if (all_of_it()) for (int i = 0; i < 4; i++) one_case(d, m, &settings[t], split[i]);
            else if ((t + s) % (test_brief() ? 9 : 3) == 0) one_case(d, m, &settings[t], split[(t + s) / 3 % 4]);
        }
        if (d) gpu->close(d);
        model_free(m);
    }
}

/* Cells of every type of latents that tensor cores take: what the CPU gives, in pieces of few rows and of many. */
static void latents_in_every_type_of_cell(void)
{
    static const double near[KER_KV_TYPES] = { [KER_KV_F16] = 3e-3, [KER_KV_F32] = 1e-4 };      /* of blocks: see agrees_with_the_cpu */
    static result exact;
    spec s = { 0 };
    for (int i = 0; i < N_SPEC; i++) if (!strcmp(specs[i].name, "deepseek-v2")) s = specs[i];
    for (int wide = 0; wide < (test_brief() ? 1 : 2); wide++) {
        s.name = wide ? "latents of 128" : "latents of 64";
        s.n_head = s.n_kv = wide ? 18 : 4;
        s.rope_dim = 16;
        s.hd = 32;
        s.more.latent = (ker_latent){ .kv_rank = wide ? 128 : 64, .nope = 16, .rope = 16, .v = 24 };
        model *m = model_new(&s);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[11]);
        for (int kv = KER_KV_F16; kv < KER_KV_TYPES; kv++) {
            backend = ker_cpu();
            ker_dev *d = dev_new(m, 2);
            CHECK_INT(run_model(d, m, g, true, kv, N_TOK, &want), 0);
            if (!near[kv]) CHECK_INT(run_model(d, m, g, true, KER_KV_F32, N_TOK, &exact), 0);
            backend->close(d);
            backend = gpu;
            d = dev_new(m, 1);
            CHECK_MSG(d != NULL, "%s", err);
            for (int piece = 0; d && piece < 2; piece++) {
                if (!all_of_it() && piece == (kv + wide) % 2) continue;
                CHECK_INT(run_model(d, m, g, true, kv, piece ? N_TOK : 3, &got), 0);
                double bad = worst(&got, near[kv] ? &want : &exact), most = near[kv] ? near[kv] : 1.25 * worst(&want, &exact);
                CHECK_MSG(bad < most, "%s, cells of type %d, piece %d: off by %.3g of the largest logit, at most %.3g", s.name, kv, piece, bad, most);
            }
            if (d) gpu->close(d);
        }
        free(g);
        model_free(m);
    }
}

/* Quantised weights: integer sums are the CPU's, so that it agrees closer than either does with exact arithmetic. */
static void agrees_with_the_cpu(void)
{
    /* Sums in another order make cells that round to other steps; and of blocks the CPU rounds queries too (q8.h). So of those both are held to
     * what F32 cells give: the GPU, which rounds cells alone, is no farther from that than the CPU. The same cells on both: below. */
    static const double near[KER_KV_TYPES] = { [KER_KV_F16] = 3e-2, [KER_KV_F32] = 1e-4 };
    static result exact;
    const int with[] = { 4, 6, 7, spec_named("norms, q8"), spec_named("whole heads, q8") };
    for (size_t i = test_brief() ? 1 : 0; i < (test_brief() ? 2 : sizeof with / sizeof *with); i++) {
        model *m = model_new(&specs[with[i]]);
        config *g = malloc(sizeof *g);
        for (int kv = KER_KV_F16; kv < KER_KV_TYPES; kv++) {
            config_make(g, m, &settings[kv == KER_KV_F32 ? 11 : 8]);       /* forced: no routing to flip */
            backend = ker_cpu();
            ker_dev *d = dev_new(m, 2);
            CHECK_INT(run_model(d, m, g, true, kv, N_TOK, &want), 0);
            if (!near[kv]) CHECK_INT(run_model(d, m, g, true, KER_KV_F32, N_TOK, &exact), 0);
            backend->close(d);
            backend = gpu;
            d = dev_new(m, 1);
            CHECK(d != NULL);
            for (int piece = 0; d && piece < 2; piece++) {
                if (!all_of_it() && piece == (kv + (int)i) % 2) continue;
                CHECK_INT(run_model(d, m, g, true, kv, piece ? N_TOK : 8, &got), 0);
                double bad = worst(&got, near[kv] ? &want : &exact), most = near[kv] ? near[kv] : 1.25 * worst(&want, &exact);
                /* A number on the edge of two of a narrow cell's falls to either side: only F32 cells tell of the arithmetic. */
                CHECK_MSG(bad < most, "%s, cells of type %d, piece %d: off by %.3g of the largest logit, at most %.3g", specs[with[i]].name, kv, piece, bad, most);
            }
            if (d) gpu->close(d);
        }
        free(g);
        model_free(m);
    }
}

static void experts_may_lie_on_either_side(void)
{
    const int with[] = { 0, 1, 2, 4, 7, spec_named("granitemoe"), spec_named("norms") };
    for (size_t i = test_brief() ? 2 : 0; i < (test_brief() ? 3 : sizeof with / sizeof *with); i++)
        for (int order = 0; order < 2; order++) {
            model *m = model_new(&specs[with[i]]);
            config *g = malloc(sizeof *g);
            config_make(g, m, &settings[order == (int)i % 2 ? 8 : 11]);        /* widths go with the rows */
            ker_backend both = *ker_split();
            both.open = order ? open_cpu_first : open_gpu_first;
            backend = &both;
            reference(m, g, true, N_TOK, &want);
            ker_dev *d = dev_new(m, 1);
            CHECK_MSG(d != NULL, "%s", err);
            for (int piece = 0; d && piece < 2; piece++) {
                if (!all_of_it() && piece == (order + (int)i) % 2) continue;
                CHECK_INT(run_model(d, m, g, true, KER_KV_F32, piece ? N_TOK : 7, &got), 0);
                double bad = worst(&got, &want);
                CHECK_MSG(bad < (m->s->type == KER_F32 && m->s->down_type == KER_F32 ? 1e-4 : 6e-2), "%s, order %d: off by %.3g of the largest logit", specs[with[i]].name, order, bad);
            }
            if (d) both.close(d);
            free(g);
            model_free(m);
        }
}

/* What a token costs in launches where norms and factors stand behind parts: one more a part, one before the layers, one behind the head;
 * a norm over all heads is one a layer, and heads of such a width take attention in two. */
static void launches_of_a_token(void)
{
    static const struct { const char *name; int launches; } of[] = { { "norms, q8", 3 + 7 + 8 + 8 + 2 }, { "whole heads, q8", 3 + 9 + 10 + 10 } };
    for (size_t i = test_brief(); i < sizeof of / sizeof *of; i++) {
        model *m = model_new(&specs[spec_named(of[i].name)]);
        config *g = malloc(sizeof *g);
        emu_stats s;
        config_make(g, m, &settings[0]);
        backend = gpu;
        ker_dev *d = dev_new(m, 1);
        emu->reset();
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 1, &got), 0);
        emu->stats(&s);
        printf("# a token of %s, %d layers: %g launches\n", of[i].name, m->m.n_layer, (double)s.launches / N_TOK);
        CHECK_INT((int)s.launches, N_TOK * of[i].launches);
        gpu->close(d);
        free(g);
        model_free(m);
    }
}

static void cells_are_saved_and_loaded(void)
{
    backend = gpu;
    for (int s = 0; s < 4; s += 3) cells_come_back(&specs[s]);
}

/* Saved cells are the same cells in the same order on every backend: what the CPU saved, the GPU goes on from. */
static void cells_go_from_one_device_to_another(void)
{
    saved_cells *here = malloc(sizeof *here), *there = malloc(sizeof *there), *moved = malloc(sizeof *moved);
    model *m = model_new(&specs[3]);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    for (int t = KER_KV_F16; t < KER_KV_TYPES; t++) {
        backend = ker_cpu();
        CHECK_INT(cells_run(m, g, t, NULL, here), 0);
        backend = gpu;
        CHECK_INT(cells_run(m, g, t, NULL, there), 0);
        CHECK_INT(cells_run(m, g, t, here, moved), 0);
        CHECK_MSG(!memcmp(here->page, moved->page, sizeof here->page), "cells of type %d are others on the GPU", t);
        double bad = 0, top = 0;
        for (int i = 0; i < VOCAB; i++) {
            bad = fmax(bad, fabs((double)moved->next[i] - (double)there->next[i]));
            top = fmax(top, fabs((double)there->next[i]));
        }
        CHECK_MSG(bad < (t == KER_KV_F32 ? 1e-4 : 3e-2) * top, "cells of type %d from the CPU: off by %.3g of the largest logit", t, bad / top);
    }
    free(here);
    free(there);
    free(moved);
    free(g);
    model_free(m);
}

static void wrong_things_are_refused(void)
{
    model *m = model_new(&specs[0]);
    ker_dev *d = NULL;
    ker_hold hold = { .index = 99 };
    CHECK_INT(gpu->open(&m->m, 1, &hold, &d, err), Q_RANGE);
    CHECK_MSG(strstr(err, "99") != NULL, "%s", err);
    CHECK_INT(gpu->open(&m->m, 1, NULL, &d, err), 0);
    CHECK_INT(gpu->ready(d, err) != 0, 1);         /* no weights */
    gpu->close(d);
    backend = gpu;
    d = dev_new(m, 1);
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    CHECK_INT(gpu->ctx_new(d, 0, 3, NULL, &c, err), Q_RANGE);
    CHECK_INT(gpu->ctx_new(d, 4, 99, NULL, &c, err), Q_RANGE);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 0, &kv, err), Q_RANGE);
    atomic_int cancel = 0;
    CHECK_INT(gpu->ctx_new(d, 4, 12, &cancel, &c, err), 0);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    int32_t page[1] = { 0 }, token[5] = { 1, 2, 3, 4, 5 }, cell[5] = { 0, 1, 2, 3, 4 };
    ker_seq seq = { .page = page, .n_page = 1 };
    ker_out o;
    ker_batch b = { .n = 1, .token = token, .pos = cell, .cell = cell, .seqs = &seq, .n_seq = 1 };
    CHECK_INT(gpu->begin(c, kv, &b, err), Q_RANGE);        /* no configuration in slot 0 */
    CHECK_INT(gpu->cfg_put(c, 256, &g->c, err), Q_RANGE);
    CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
    b.n = 5;
    CHECK_INT(gpu->begin(c, kv, &b, err), Q_RANGE);
    b.n = 2;
    CHECK_INT(gpu->begin(c, kv, &b, err), 0);
    CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), Q_RANGE);    /* a batch is open */
    cancel = 1;
    CHECK_INT(gpu->embed(c), Q_CANCEL);
    CHECK_INT(gpu->end(c, &o), Q_CANCEL);
    cancel = 0;
    CHECK_INT(forward(c, kv, m, &b, &o), 0);
    CHECK_INT(o.n_logits, 1);
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    gpu->close(d);
    free(g);
    model_free(m);
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_forward", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    tokens_make();
    RUN(wrong_things_are_refused);
    RUN(agrees_with_the_reference);
    RUN(latents_and_groups);
    RUN(latents_in_every_type_of_cell);
    RUN(agrees_with_the_cpu);
    RUN(experts_may_lie_on_either_side);
    RUN(launches_of_a_token);
    RUN(cells_are_saved_and_loaded);
    RUN(cells_go_from_one_device_to_another);
    return TEST_END();
}
