/* Experts that are fetched into the GPU's memory, on the emulator (build/libquorum-emu.so): every number is what a device that
 * holds all of them gives, byte for byte, however few have room, over all shapes and settings, in long and short pieces; a
 * source or a copy that fails voids a pass and leaves the next one whole. Skipped without a C++ compiler. */
#include "tests/either_side.h"
#include "tests/forward.h"
#include "tests/on_device.h"

static const emu_api_table *emu;

static bool plugin(void) { return emulated(&gpu, &emu); }

/* Of the types of the trade, so that few rows' kernels and tensor cores take part; two kinds of expert would need layers of
 * different types, which one model here has by its down matrices. */
static const spec more[] = {
    { "blocks", 2, 0, 256, 2, 1, 32, 32, 8, 0, 256, 0, true, true, false, true, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0, { 0 }, { 0 } },
    { "shared", 2, 0, 64, 2, 1, 32, 32, 8, 0, 32, 64, true, true, false, true, false, true, true, KER_GATE_SOFTMAX, 1, 0, KER_Q4_0, KER_Q8_0, { 0 }, { 0 } },
    { "mxfp4", 2, 0, 64, 2, 1, 32, 32, 8, 0, 64, 0, true, true, false, true, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_MXFP4, KER_MXFP4, { 0 }, { 0 } },
};

static bool all_of_it(void) { return getenv("QUORUM_LONG") != NULL; }

static ker_backend cached;

static uint64_t experts_bytes(const model *m)
{
    uint64_t n = 0;
    for (int l = 1; l < 5; l++) for (int r = KER_W_GATE_EXPS; r <= KER_W_DOWN_EXPS; r++) if (m->w[l][r].f) n += m->w[l][r].w.bytes;
    return n;
}

/* One model, some settings, in pieces, with room for 1 expert up to all of them. */
static void same_with_any_room(const spec *s, int first, int step)
{
    static const int split[] = { N_TOK, 1, 5 };
    model *m = model_new(s);
    config *g = malloc(sizeof *g);
    uint64_t all = experts_bytes(m), n_moe = (uint64_t)(s->n_layer - s->dense) * (uint64_t)s->n_expert;
    backend = gpu;
    ker_dev *held = dev_new(m, 1);
    for (int t = first; held && t < N_SETTING; t += step) {
        if (settings[t].forced && !s->n_expert) continue;
        config_make(g, m, &settings[t]);
        int piece = split[(t / step + s->n_layer) % 3];
        backend = gpu;
        CHECK_INT(run_model(held, m, g, settings[t].forced, KER_KV_F16, piece, &want), 0);
        const uint64_t room[] = { 1, 3, n_moe / 2, n_moe };
        for (int i = 0; i < 4; i++) {
            if (!all_of_it() && i != (t + s->n_expert) % 4) continue;
            cache_bytes = i ? all * room[i] / n_moe + room[i] : 1;
            backend = &cached;
            ker_dev *d = dev_new(m, 1);
            CHECK(d != NULL);
            for (int again = 0; d && again < (all_of_it() ? 2 : 1); again++) {
                CHECK_INT(run_model(d, m, g, settings[t].forced, KER_KV_F16, piece, &got), 0);
                CHECK_MSG(same(&got, &want, s->n_layer), "%s/%s in pieces of %d with room for %d experts: other numbers", s->name, settings[t].name, piece, (int)room[i]);
            }
            if (d) gpu->close(d);
        }
    }
    CHECK(held != NULL);
    if (held) gpu->close(held);
    free(g);
    model_free(m);
}

static void numbers_are_those_of_experts_that_lie_there(void)
{
    bool all = all_of_it();
    int step = all ? 1 : test_brief() ? N_SETTING : 5;     /* briefly: every other shape, each with one setting */
    for (int s = 0; s < N_PLAIN; s += 1 + test_brief()) if (specs[s].n_expert && (all || specs[s].n_embd < 500)) same_with_any_room(&specs[s], all ? 0 : s, step);
    same_with_any_room(&specs[spec_named("norms, q8")], 0, step);
    for (size_t s = all ? 0 : 1; s < sizeof more / sizeof *more; s++) same_with_any_room(&more[s], 0, all ? 1 : test_brief() ? N_SETTING : 3);
}

/* Experts whose gate and up lie in one tensor, one after the other: read where they are, held and fetched. */
static void gate_and_up_in_one_tensor(void)
{
    enum { LAYERS = 5 };
    model *m = model_new(&more[1]);
    config *g = malloc(sizeof *g);
    uint8_t *both[LAYERS] = { NULL };
    backend = gpu;
    cache_bytes = experts_bytes(m) / 3;
    ker_dev *d = dev_new(m, 1);
    config_make(g, m, &settings[0]);
    CHECK_INT(run_model(d, m, g, settings[0].forced, KER_KV_F16, 5, &want), 0);
    gpu->close(d);
    for (int l = 1; l <= m->s->n_layer && l < LAYERS; l++) {
        ker_weight *gate = &m->w[l][KER_W_GATE_EXPS].w, *up = &m->w[l][KER_W_UP_EXPS].w;
        if (!m->w[l][KER_W_GATE_EXPS].f) continue;
        size_t n = (size_t)gate->ne[2], one = gate->bytes / n;
        both[l] = malloc(2 * gate->bytes);
        for (size_t e = 0; e < n; e++) {
            memcpy(both[l] + 2 * e * one, (const uint8_t *)gate->data + e * one, one);
            memcpy(both[l] + (2 * e + 1) * one, (const uint8_t *)up->data + e * one, one);
        }
        gate->data = both[l];
        up->data = both[l] + one;
        gate->stride = up->stride = (int64_t)(2 * one);
        gate->bytes = up->bytes = (2 * n - 1) * one;
    }
    for (int fetched = 0; fetched < 2; fetched++) {
        backend = fetched ? &cached : gpu;
        d = dev_new(m, 1);
        CHECK(d != NULL);
        if (d) CHECK_INT(run_model(d, m, g, settings[0].forced, KER_KV_F16, 5, &got), 0);
        CHECK_MSG(d && same(&got, &want, m->s->n_layer), "%s: other numbers", fetched ? "fetched" : "held");
        if (d) gpu->close(d);
    }
    for (int l = 0; l < LAYERS; l++) free(both[l]);
    free(g);
    model_free(m);
}

/* ---- recency, counted ---- */

typedef struct lru { int key[64], n, cap; } lru;

static bool lru_use(lru *l, int key)
{
    int i = 0;
    while (i < l->n && l->key[i] != key) i++;
    bool hit = i < l->n;
    if (!hit && l->n < l->cap) l->n++;
    if (!hit) i = l->n - 1;
    memmove(l->key + 1, l->key, sizeof(int) * (size_t)i);
    l->key[0] = key;
    return hit;
}

/* Token by token what is fetched is what a list by recency of (layer, expert) lacks; the bytes are those experts'. */
static void the_oldest_goes(void)
{
    model *m = model_new(&specs[0]);
    config *g = malloc(sizeof *g);
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    uint64_t all = experts_bytes(m), n_moe = 3 * 12;
    lru l = { .cap = 20 };
    config_make(g, m, &settings[0]);
    cache_bytes = all * 20 / n_moe + 8;
    backend = &cached;
    ker_dev *d = dev_new(m, 1);
    CHECK_INT(gpu->ctx_new(d, 4, 12, NULL, &c, err), 0);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
    CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
    const int32_t page[2] = { 1, 0 };
    ker_seq seq = { .page = page, .n_page = 2 };
    uint64_t hits = 0;
    for (int i = 0; i < 24; i++) {
        int32_t at = i;
        ker_batch b = { .n = 1, .token = tokens + i, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1 };
        ker_out o;
        emu_stats s;
        emu->reset();
        CHECK_INT(forward(c, kv, m, &b, &o), 0);
        emu->stats(&s);
        uint64_t asked = 0, missing = 0;
        for (int layer = 0; layer < 3; layer++) {
            bool need[12] = { false }, miss[12] = { false };
            for (int k = 0; k < 12 && o.ids[layer * 12 + k] != KER_NO_EXPERT; k++) need[o.ids[layer * 12 + k]] = true;
            for (int e = 0; e < 12; e++) {         /* those that are there first, then those that come */
                bool there = false;
                for (int j = 0; j < l.n; j++) there |= l.key[j] == layer * 12 + e;
                asked += need[e];
                if (need[e] && there) lru_use(&l, layer * 12 + e);
                miss[e] = need[e] && !there;
            }
            for (int e = 0; e < 12; e++) if (miss[e]) missing += !lru_use(&l, layer * 12 + e);
        }
        CHECK_INT(o.asked, asked);
        CHECK_INT(o.fetched, missing);
        CHECK_INT(o.fetched_bytes, missing * (all / n_moe));
        CHECK_INT(s.mallocs + s.host_mallocs, 0);
        CHECK_INT(s.graph_launches, 0);
        hits += asked - missing;
        CHECK_MSG(s.host_syncs <= 1 + 2 * 3 + missing, "%d waits", (int)s.host_syncs);  /* the end; a layer's choice and its last list; a stage in use */
    }
    CHECK(hits > 0);
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    gpu->close(d);
    free(g);
    model_free(m);
}

/* ---- a source; what fails ---- */

typedef struct store { const model *m; int out, taken, fail_at; } store;

static int store_acquire(void *user, int layer, const int *ids, int n, ker_expert *to, const atomic_int *cancel, ker_fetched *count)
{
    store *s = user;
    if (s->fail_at > 0 && --s->fail_at == 0) return Q_IO;
    for (int i = 0; i < n; i++) {
        const void *part[3];
        for (int r = 0; r < 3; r++) {
            const ker_weight *w = &s->m->w[layer + 1][KER_W_GATE_EXPS + r].w;
            part[r] = (const char *)w->data + (size_t)ids[i] * (w->bytes / (size_t)w->ne[2]);
        }
        CHECK(!i || ids[i] > ids[i - 1]);
        to[i] = (ker_expert){ part[0], part[1], part[2] };
    }
    s->out += n;
    s->taken += n;
    return Q_OK;
}

static void store_release(void *user, int layer, const int *ids, int n) { ((store *)user)->out -= n; }

static ker_dev *dev_with(const model *m, store *s)
{
    ker_dev *d = NULL;
    ker_source source = { .user = s, .acquire = store_acquire, .release = store_release };
    CHECK_INT(open_cached(&m->m, 1, NULL, &d, err), 0);
    CHECK_INT(gpu->source(d, &source, err), 0);
    for (int l = 0; l < 5; l++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            if (!m->w[l][r].f) continue;
            ker_weight w = m->w[l][r].w;
            if (ker_role_get(r)->ne[2] == KER_DIM_EXPERT) w.data = NULL;
            CHECK_MSG(gpu->weight(d, l - 1, r, &w, err) == 0, "%s", err);
        }
    CHECK_INT(gpu->ready(d, err), 0);
    CHECK_INT(gpu->source(d, &source, err), Q_ERR);
    return d;
}

static void what_fails_voids_one_pass(void)
{
    model *m = model_new(&specs[0]);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    backend = gpu;
    ker_dev *d = dev_new(m, 1);
    CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &want), 0);
    gpu->close(d);
    store s = { .m = m };
    cache_bytes = experts_bytes(m) / 3;
    d = dev_with(m, &s);
    CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &got), 0);
    CHECK(same(&got, &want, m->m.n_layer) && s.taken > 0 && s.out == 0);
    s.fail_at = 5;
    CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &got), Q_IO);
    CHECK_INT(s.out, 0);
    CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &got), 0);
    CHECK(same(&got, &want, m->m.n_layer));
    emu->fail("cudaStreamWaitEvent", 1);           /* before the source was asked: what it was not asked for is not given back */
    CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &got), Q_ERR);
    CHECK_INT(s.out, 0);
    emu->fail(NULL, 0);
    gpu->close(d);

    /* A copy, a launch or a mark in the middle of a fetch: the pass is void, the device answers on, the next pass is whole. */
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    const int32_t page[2] = { 1, 0 }, at[2] = { 0, 1 };
    ker_seq seq = { .page = page, .n_page = 2 };
    ker_batch b = { .n = 2, .token = tokens, .pos = at, .cell = at, .seqs = &seq, .n_seq = 1 };
    ker_out o;
    float first[VOCAB];
    emu_stats st;
    backend = &cached;
    d = dev_new(m, 1);
    CHECK_INT(gpu->ctx_new(d, 4, 12, NULL, &c, err), 0);
    CHECK_INT(gpu->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
    CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
    CHECK_INT(forward(c, kv, m, &b, &o), 0);
    memcpy(first, o.logits, sizeof first);
    emu->reset();
    CHECK_INT(forward(c, kv, m, &b, &o), 0);
    emu->stats(&st);
    int refused = 0, well = 0;
    for (long n = 1; n <= (long)st.calls; n += all_of_it() ? 1 : test_brief() ? 9 : 3) {
        emu->fail_at(n);
        int rc = forward(c, kv, m, &b, &o);
        if (rc) gpu->end(c, &o);
        emu->fail_at(0);
        refused += rc != 0;
        *err = 0;
        if (!rc) CHECK_MSG(!memcmp(first, o.logits, sizeof first), "call %ld fails: other numbers", n);
        rc = forward(c, kv, m, &b, &o);
        if (!rc) {
            well++;
            CHECK_MSG(!memcmp(first, o.logits, sizeof first), "after call %ld failed: other numbers", n);
            continue;
        }
        CHECK_MSG(err[0] != 0, "call %ld fails: nothing is said", n);     /* the device is given up, as elsewhere: with a sentence */
        gpu->kv_free(kv);
        gpu->ctx_free(c);
        gpu->close(d);
        d = dev_new(m, 1);
        CHECK_INT(gpu->ctx_new(d, 4, 12, NULL, &c, err), 0);
        CHECK_INT(gpu->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
        CHECK_INT(gpu->cfg_put(c, 0, &g->c, err), 0);
        CHECK_INT(forward(c, kv, m, &b, &o), 0);
    }
    printf("# %llu calls of a pass failed in turn: %d voided it, after %d the next was whole\n", (unsigned long long)st.calls, refused, well);
    CHECK(test_brief() || (refused > 10 && well > 2));
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    gpu->close(d);
    char words[2000];
    size_t left = emu->leaks(words, sizeof words);
    CHECK_MSG(left == 0, "%zu left: %s", left, words);
    free(g);
    model_free(m);
}

int main(void)
{
    if (!plugin()) {
        SKIP("cuda_cache", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    cached = *gpu;
    cached.open = open_cached;
    tokens_make();
    RUN(numbers_are_those_of_experts_that_lie_there);
    RUN(gate_and_up_in_one_tensor);
    RUN(the_oldest_goes);
    RUN(what_fails_voids_one_pass);
    return TEST_END();
}
