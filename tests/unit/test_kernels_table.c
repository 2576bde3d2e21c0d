/* The kernels' table beyond one forward pass: experts that run on another device or come from a source, what a batch
 * or a model is refused for, and where numbers stopped being finite. */
#include "tests/forward.h"

static const setting *setting_of(const char *name)
{
    for (int i = 0; i < N_SETTING; i++)
        if (!strcmp(settings[i].name, name)) return &settings[i];
    return NULL;
}

/* ---- experts elsewhere ---- */

static int experts_in_three(ker_ctx *c, int layer)
{
    ker_moe moe;
    int rc = ker_cpu()->moe_take(c, layer, &moe);
    if (!rc) rc = ker_cpu()->moe_run(c, layer, &moe);
    return rc ? rc : ker_cpu()->moe_add(c, layer, &moe);
}

/* Two CPU devices of which the second has the experts of the odd layers only. */
static int open_odd(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *e)
{
    static const bool odd[4] = { false, true, false, true };
    return ker_split_open(ker_cpu(), ker_cpu(), odd, 0, m, n_threads, out, e);
}

static void same_bytes_as_one_device(const ker_backend *other)
{
    static const char *const names[] = { "base", "k_per_layer", "all", "min_p", "forced", "masks", "magnitude", "forced_magnitude" };
    static const int split[] = { N_TOK, 7, 1 };
    int moved = 0;
    for (int s = 0; s < N_SPEC; s++) {
        model *m = model_new(&specs[s]);
        config *g = malloc(sizeof *g);
        for (size_t t = 0; t < sizeof names / sizeof *names; t++) {
            const setting *set = setting_of(names[t]);
            if ((set->forced && !m->m.n_expert) || (specs[s].n_embd > 500 && t > 1)) continue;
            config_make(g, m, set);
            backend = ker_cpu();
            ker_dev *d = dev_new(m, 1);
            CHECK_INT(run_model(d, m, g, set->forced, KER_KV_F16, N_TOK, &want), 0);
            backend->close(d);
            backend = other;
            d = dev_new(m, 2);
            CHECK(d != NULL);
            for (size_t i = 0; d && i < sizeof split / sizeof *split; i++) {
                memset(&got, 0, sizeof got);
                CHECK_INT(run_model(d, m, g, set->forced, KER_KV_F16, split[i], &got), 0);
                CHECK_MSG(same(&got, &want, m->m.n_layer), "%s, %s/%s in pieces of %d", other->name, specs[s].name, names[t], split[i]);
                moved += m->m.n_expert > 0;
            }
            backend->close(d);
        }
        free(g);
        model_free(m);
    }
    backend = ker_cpu();
    CHECK(moved > 60);
}

static void split_gives_the_bytes_of_one_device(void) { same_bytes_as_one_device(ker_split()); }

static void some_layers_elsewhere(void)
{
    ker_backend b = *ker_split();
    b.name = "split of odd layers";
    b.open = open_odd;
    same_bytes_as_one_device(&b);
}

static void taken_run_and_added_on_one_device(void)
{
    ker_backend b = *ker_cpu();
    b.name = "three steps";
    b.experts = experts_in_three;
    same_bytes_as_one_device(&b);
}

/* moe_run gives a row a (token, slot): that expert's own output for that token, whatever the others are. */
static void a_row_is_one_experts_output(void)
{
    model *m = model_new(&specs[0]);
    ker_dev *d = dev_new(m, 2);
    config *g = malloc(sizeof *g);
    config_make(g, m, setting_of("base"));
    ker_ctx *c[2];
    ker_kv *kv;
    for (int i = 0; i < 2; i++) CHECK_INT(backend->ctx_new(d, 16, m->m.n_expert, NULL, &c[i], err), 0);
    CHECK_INT(backend->kv_new(d, KER_KV_F16, 1, &kv, err), 0);
    CHECK_INT(backend->cfg_put(c[0], 0, &g->c, err), 0);
    int32_t page = 0, cell[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    ker_seq seq = { .page = &page, .n_page = 1 };
    ker_batch b = { .n = 9, .token = tokens, .pos = cell, .cell = cell, .seqs = &seq, .n_seq = 1 };
    CHECK_INT(backend->begin(c[0], kv, &b, err), 0);
    CHECK_INT(backend->embed(c[0]), 0);
    CHECK_INT(backend->attn(c[0], 0), 0);
    CHECK_INT(backend->route(c[0], 0), 0);
    ker_moe all, one;
    CHECK_INT(backend->moe_take(c[0], 0, &all), 0);
    CHECK_INT(all.n_pair, 27);
    CHECK_INT(backend->moe_run(c[1], 0, &all), 0);
    CHECK(!all.scale);
    float *y = malloc(sizeof(float) * 27 * (size_t)m->m.n_embd);
    memcpy(y, all.y, sizeof(float) * 27 * (size_t)m->m.n_embd);
    int wrong = 0, alike = 0;
    for (int p = 0; p < 27; p++) {
        uint16_t id = all.ids[p / 3 * all.max_k + p % 3];
        one = (ker_moe){ .n = 1, .max_k = 1, .n_pair = 1, .x = all.x + p / 3 * m->m.n_embd, .ids = &id };
        CHECK_INT(backend->moe_run(c[1], 0, &one), 0);
        wrong += memcmp(one.y, y + p * m->m.n_embd, sizeof(float) * (size_t)m->m.n_embd) != 0;
        alike += p && !memcmp(y, y + p * m->m.n_embd, sizeof(float) * (size_t)m->m.n_embd);
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(alike, 0);
    free(y);
    backend->kv_free(kv);
    for (int i = 0; i < 2; i++) backend->ctx_free(c[i]);
    backend->close(d);
    free(g);
    model_free(m);
}

/* ---- a source of experts ---- */

typedef struct store {
    const model *m;
    void *held[4][MAX_E];                          /* copies that are out */
    int taken, given, hinted, missed, worst, out, fail_at, most /* at once; 0: all */;
    bool hint[4][MAX_E];
} store;

static size_t expert_bytes(const ker_weight *w) { return w->bytes / (size_t)w->ne[2]; }

static int store_acquire(void *user, int layer, const int *ids, int n, ker_expert *to, const atomic_int *cancel, ker_fetched *count)
{
    static const enum ker_role role[3] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };
    store *s = user;
    if (s->fail_at > 0 && --s->fail_at == 0) return Q_IO;
    for (int i = 0; i < n; i++) {
        const void *part[3];
        size_t at = 0, bytes = 0;
        for (int r = 0; r < 3; r++) bytes += expert_bytes(&s->m->w[layer + 1][role[r]].w);
        char *p = malloc(bytes);
        for (int r = 0; r < 3; r++) {
            const ker_weight *w = &s->m->w[layer + 1][role[r]].w;
            part[r] = p + at;
            memcpy(p + at, (const char *)w->data + (size_t)ids[i] * expert_bytes(w), expert_bytes(w));
            at += expert_bytes(w);
        }
        to[i] = (ker_expert){ part[0], part[1], part[2] };
        s->missed += !s->hint[layer][ids[i]] + (i && ids[i] <= ids[i - 1]) + (s->held[layer][ids[i]] != NULL);
        s->held[layer][ids[i]] = p;
    }
    s->missed += s->most && n > s->most;
    if (count) *count = (ker_fetched){ count->asked + (uint64_t)n, count->fetched + 1, count->bytes + 10, count->wait_ns + 100 };
    s->taken += n;
    s->out += n;
    s->worst = s->out > s->worst ? s->out : s->worst;
    return Q_OK;
}

static int store_most(void *user, int layer, int n)
{
    const store *s = user;
    return s->most && s->most < n ? s->most : n;
}

static void store_release(void *user, int layer, const int *ids, int n)
{
    store *s = user;
    for (int i = 0; i < n; i++) {
        free(s->held[layer][ids[i]]);
        s->missed += !s->held[layer][ids[i]];
        s->held[layer][ids[i]] = NULL;
        s->hint[layer][ids[i]] = false;
    }
    s->given += n;
    s->out -= n;
}

static void store_hint(void *user, int layer, const int *ids, int n)
{
    store *s = user;
    for (int i = 0; i < n; i++) s->hint[layer][ids[i]] = true;
    s->hinted += n;
}

static ker_dev *dev_with(const model *m, store *s, const ker_backend *b)
{
    ker_dev *d = NULL;
    ker_source source = { .user = s, .acquire = store_acquire, .release = store_release, .hint = store_hint, .most = store_most };
    CHECK_INT(b->open(&m->m, 2, NULL, &d, err), 0);
    CHECK_INT(b->source(d, &source, err), 0);
    for (int l = 0; l < 5; l++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            if (!m->w[l][r].f) continue;
            ker_weight w = m->w[l][r].w;
            if (ker_role_get(r)->ne[2] == KER_DIM_EXPERT) w.data = NULL;
            CHECK_INT(b->weight(d, l - 1, r, &w, err), 0);
        }
    CHECK_INT(b->ready(d, err), 0);
    return d;
}

static void experts_come_from_a_source(void)
{
    static const int split[] = { N_TOK, 7, 1 }, which[] = { 0, 1, 2, 6, 8, 13 };
    const ker_backend *tables[] = { ker_cpu(), ker_split() };
    config *g = malloc(sizeof *g);
    for (int k = 0; k < 12; k++) {
        model *m = model_new(&specs[which[k / 2]]);
        config_make(g, m, setting_of("k_per_layer"));
        ker_dev *d = dev_new(m, 1);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, N_TOK, &want), 0);
        ker_cpu()->close(d);
        store s = { .m = m };
        backend = tables[k % 2];
        d = dev_with(m, &s, backend);
        for (size_t i = 0; i < 3 * sizeof split / sizeof *split; i++) {
            static const int most[] = { 0, 3, 1 };
            s.most = most[i / (sizeof split / sizeof *split)];
            s.worst = 0;
            CHECK_INT(run_model(d, m, g, false, KER_KV_F16, split[i % 3], &got), 0);
            CHECK_MSG(same(&got, &want, m->m.n_layer), "%s, %s in pieces of %d, %d at once", backend->name, m->s->name, split[i % 3], s.most);
            CHECK(s.most ? s.worst == s.most : s.worst > 3 || split[i % 3] == 1);
        }
        s.most = 0;
        CHECK_INT(s.out, 0);
        CHECK_INT(s.taken, s.given);
        CHECK_INT(s.taken, s.hinted);
        CHECK_INT(s.missed, 0);
        CHECK(s.taken > 0 && s.worst <= m->m.n_expert);
        /* What the source says comes out of the part, and the next batch is whole again. */
        s.fail_at = 2;
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, N_TOK, &got), Q_IO);
        CHECK_INT(s.out, 0);
        memset(s.hint, 0, sizeof s.hint);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, N_TOK, &got), 0);
        CHECK(same(&got, &want, m->m.n_layer));
        backend->close(d);
        backend = ker_cpu();
        model_free(m);
    }
    free(g);
}

static void sources_are_refused_where_they_cannot_be(void)
{
    model *m = model_new(&specs[4]);               /* carved */
    ker_dev *d;
    store s = { .m = m };
    ker_source source = { .user = &s, .acquire = store_acquire, .release = store_release, .hint = store_hint };
    CHECK_INT(backend->open(&m->m, 1, NULL, &d, err), 0);
    CHECK_INT(backend->source(d, &source, err), Q_RANGE);
    backend->close(d);
    model_free(m);
    m = model_new(&specs[0]);
    d = dev_new(m, 1);
    CHECK_INT(backend->source(d, &source, err), Q_ERR);          /* after ready */
    backend->close(d);
    CHECK_INT(backend->open(&m->m, 1, NULL, &d, err), 0);
    ker_weight w = m->w[1][KER_W_GATE_EXPS].w;
    w.data = NULL;
    CHECK_INT(backend->weight(d, 0, KER_W_GATE_EXPS, &w, err), Q_FORMAT);   /* no source */
    CHECK_INT(backend->source(d, &source, err), 0);
    CHECK_INT(backend->weight(d, 0, KER_W_GATE_EXPS, &w, err), 0);
    w = m->w[1][KER_W_Q].w;
    w.data = NULL;
    CHECK_INT(backend->weight(d, 0, KER_W_Q, &w, err), Q_FORMAT);           /* no expert's */
    backend->close(d);
    model_free(m);
}

/* ---- what is refused ---- */

static void tables_of_another_build_are_refused(void)
{
    CHECK_INT(ker_backend_check(ker_cpu(), err), 0);
    CHECK_INT(ker_backend_check(ker_split(), err), 0);
    ker_backend b = *ker_cpu();
    b.abi.number++;
    CHECK_INT(ker_backend_check(&b, err), Q_FORMAT);
    char ours[32];
    snprintf(ours, sizeof ours, "this program version %d", KER_ABI);
    CHECK_MSG(strstr(err, ours) != NULL, "%s", err);
    for (size_t i = 1; i < sizeof b.abi / sizeof(uint32_t); i++) {
        b = *ker_cpu();
        ((uint32_t *)(void *)&b.abi)[i] += 8;
        CHECK_INT(ker_backend_check(&b, err), Q_FORMAT);
        ker_dev *d = NULL;
        model *m = model_new(&specs[0]);
        CHECK_INT(ker_split_open(ker_cpu(), &b, NULL, 0, &m->m, 1, &d, err), Q_FORMAT);
        CHECK(!d);
        model_free(m);
    }
    CHECK_INT(ker_backend_check(NULL, err), Q_FORMAT);
}

static void kinds_not_computed_are_refused(void)
{
    static const struct { ker_layer l; const char *word; } kinds[] = {
        { { .moe = true, .mixer = KER_MIX_MLA }, "MLA" }, { { .moe = true, .mixer = KER_MIX_DELTA }, "delta" },
        { { .moe = true, .mixer = 77 }, "unknown" }, { { .moe = true, .glu = KER_GLU_GELU }, "GELU" },
        { { .moe = true, .glu = KER_GLU_CLAMPED }, "clamped" }, { { .moe = true, .window = 128 }, "window" },
        { { .moe = true, .sinks = true }, "sinks" }, { { .moe = true, .post_norms = true }, "norms" },
        { { .moe = true, .biases = KER_BIAS_O }, "biases" }, { { .moe = true, .biases = KER_BIAS_QKV | KER_BIAS_ROUTER }, "biases" },
        { { .moe = true, .biases = KER_BIAS_EXPERTS }, "biases" }, { { .moe = true, .rope_set = 1 }, "rotations" },
    };
    static const struct { ker_model m; const char *word; } whole[] = {
        { { .qk_whole = true }, "one norm" }, { { .embd_scale = 2 }, "factors" }, { { .residual_scale = .5f }, "factors" }, { { .logit_scale = 2 }, "factors" },
        { { .n_group = 2, .n_group_used = 1 }, "groups" },
    };
    static const ker_can plain = { .mixers = 1u << KER_MIX_GQA, .glus = 1u << KER_GLU_SILU, .biases = KER_BIAS_QKV, .rope_sets = 1 };
    const ker_backend *tables[] = { ker_cpu(), ker_split() };
    model *m = model_new(&specs[0]);
    CHECK_INT(ker_model_check(&m->m, &plain, err), 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ker_layer keep = m->layer[1];
        m->layer[1] = kinds[i].l;
        CHECK_INT(ker_model_check(&m->m, &plain, err), Q_FORMAT);
        CHECK_MSG(strstr(err, "layer 1 ") && strstr(err, kinds[i].word), "%s", err);
        CHECK_MSG(strstr(err, strcmp(kinds[i].word, "unknown") ? "use --device cpu" : "take another model"), "%s", err);
        for (int t = 0; t < 2; t++) {                          /* a table opens what it says it can, and nothing else */
            ker_dev *d = NULL;
            int said = ker_model_check(&m->m, ker_cpu_can(), err);
            CHECK_INT(tables[t]->open(&m->m, 1, NULL, &d, err), said);
            CHECK(!d == !!said);
            if (d) tables[t]->close(d);
        }
        m->layer[1] = keep;
    }
    model *latent = model_new(&specs[N_SPEC - 3]);
    CHECK_INT(ker_model_check(&latent->m, ker_cpu_can(), err), 0);
    for (int i = 0; i < 5; i++) {                              /* latent cells in every layer, of the widths that are said, or in none */
        ker_model one = latent->m;
        enum ker_mixer mixer = latent->layer[1].mixer;
        if (i == 0) one.n_kv_head = 2;
        if (i == 1) one.head_dim++;
        if (i == 2) one.latent.v = 0;
        if (i == 3) one.latent.rope = one.rope_dim - 2;
        if (i == 4) latent->layer[1].mixer = KER_MIX_GQA;
        CHECK_INT(ker_model_check(&one, ker_cpu_can(), err), Q_FORMAT);
        latent->layer[1].mixer = mixer;
    }
    model_free(latent);
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        ker_model one = m->m;
        one.qk_whole = whole[i].m.qk_whole;
        one.embd_scale = whole[i].m.embd_scale;
        one.residual_scale = whole[i].m.residual_scale;
        one.logit_scale = whole[i].m.logit_scale;
        one.n_group = whole[i].m.n_group;
        one.n_group_used = whole[i].m.n_group_used;
        CHECK_INT(ker_model_check(&one, &plain, err), Q_FORMAT);
        CHECK_MSG(strstr(err, whole[i].word) && strstr(err, "use --device cpu"), "%s", err);
    }
    model_free(m);
}

static bool any_slot(const void *user, int slot) { return true; }

/* Rows of recurrent layers and the states between them. */
static void states_between_rows(void)
{
    static const struct { int32_t cell[3]; int16_t seq[3]; int from[2], to[2]; bool fits; } rows[] = {
        { { 0, 1, 2 }, { 0, 0, 0 }, { 0, 0 }, { 1, 2 }, true },          { { 5, 6, 7 }, { 0, 0, 0 }, { 3, 0 }, { 1, 2 }, true },
        { { 5, 9, 6 }, { 0, 1, 0 }, { 3, 3 }, { 1, 2 }, true },          { { 5, 9, 6 }, { 0, 1, 0 }, { 3, 4 }, { 0, 0 }, true },
        { { 5, 6, 8 }, { 0, 0, 0 }, { 3, 0 }, { 1, 2 }, false },         { { 5, 9, 7 }, { 0, 1, 0 }, { 3, 4 }, { 1, 2 }, false },
        { { 5, 6, 7 }, { 0, 0, 0 }, { 0, 0 }, { 1, 2 }, false },         { { 0, 1, 2 }, { 0, 0, 0 }, { 3, 0 }, { 1, 2 }, false },
        { { 5, 6, 7 }, { 0, 0, 0 }, { 3, 0 }, { 3, 2 }, false },         { { 5, 9, 6 }, { 0, 1, 0 }, { 3, 4 }, { 1, 1 }, false },
        { { 5, 9, 6 }, { 0, 1, 0 }, { 3, 4 }, { 4, 2 }, false },         { { 5, 9, 6 }, { 0, 1, 0 }, { 3, 4 }, { 1, 3 }, false },
    };
    model *m = model_new(&specs[0]);
    int32_t page[1] = { 0 }, token[3] = { 1, 2, 3 };
    m->layer[1].mixer = KER_MIX_DELTA;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ker_seq seq[2];
        for (int s = 0; s < 2; s++) seq[s] = (ker_seq){ .page = page, .n_page = 1, .state_from = rows[i].from[s], .state_to = rows[i].to[s] };
        ker_batch b = { .n = 3, .token = token, .pos = rows[i].cell, .cell = rows[i].cell, .seq = rows[i].seq, .seqs = seq, .n_seq = 2 };
        int rc = ker_batch_check(&m->m, &b, 8, 0, 1, any_slot, NULL, err);
        CHECK_MSG((rc == 0) == rows[i].fits, "%d: %s", (int)i, rc ? err : "taken");
        if (rc) CHECK_MSG(strstr(err, "recurrent layers need"), "%d: %s", (int)i, err);
        m->layer[1].mixer = KER_MIX_GQA;                       /* cells alone hold all: any order of states is fine */
        CHECK_INT(ker_batch_check(&m->m, &b, 8, 0, 1, any_slot, NULL, err), 0);
        m->layer[1].mixer = KER_MIX_DELTA;
    }
    static const struct { int32_t each[2]; int n_seq; bool fits; } between[] = {
        { { 5, 6 }, 1, true }, { { 0, 6 }, 1, true }, { { 0, 0 }, 1, true }, { { 5, 5 }, 1, false }, { { 3, 6 }, 1, false }, { { 5, 1 }, 1, false }, { { 5, 6 }, 2, false },
    };
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) {    /* a state after each row: one sequence, nobody else's */
        static const int32_t cell[3] = { 5, 6, 7 };
        ker_seq seq[2];
        for (int s = 0; s < 2; s++) seq[s] = (ker_seq){ .page = page, .n_page = 1, .state_from = 3, .state_to = s ? 2 : 1, .state_each = between[i].each };
        ker_batch b = { .n = 3, .token = token, .pos = cell, .cell = cell, .seqs = seq, .n_seq = between[i].n_seq };
        CHECK_MSG((ker_batch_check(&m->m, &b, 8, 0, 1, any_slot, NULL, err) == 0) == between[i].fits, "%d: %s", (int)i, err);
    }
    model_free(m);
}

/* What no backend can make sense of, whatever it computes. */
static void kinds_without_a_meaning_are_refused(void)
{
    static const struct { ker_layer l; int n_group, used, best; float router_scale; const char *word; } kinds[] = {
        { { .moe = true, .mixer = 77 }, 0, 0, 0, 0, "unknown" }, { { .moe = true, .glu = KER_GLUS }, 0, 0, 0, 0, "unknown" },
        { { .moe = true }, 5, 2, 1, 0, "5 groups" }, { { .moe = true }, 4, 5, 1, 0, "of which 5" }, { { .moe = true }, 4, 0, 1, 0, "of which 0" },
        { { .moe = true }, 4, 2, 3, 0, "groups" }, { { .moe = true }, 4, 2, 1, 1e-3f, "carved" },
        { { .moe = true, .biases = KER_BIAS_EXPERTS }, 0, 0, 0, 1e-3f, "biases" }, { { .moe = true, .biases = KER_BIAS_ROUTER }, 0, 0, 0, 1e-3f, "biases" },
    };
    const ker_backend *tables[] = { ker_cpu(), ker_split() };
    model *m = model_new(&specs[0]);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int t = 0; t < 2; t++) {
            ker_dev *d = NULL;
            ker_layer layer[3] = { m->layer[0], kinds[i].l, m->layer[2] };
            ker_model g = m->m;
            g.layer = layer;
            g.n_group = kinds[i].n_group, g.n_group_used = kinds[i].used, g.group_best = kinds[i].best, g.router_scale = kinds[i].router_scale;
            CHECK_INT(tables[t]->open(&g, 1, NULL, &d, err), Q_FORMAT);
            CHECK_MSG(!d && strstr(err, kinds[i].word), "%s", err);
        }
    model_free(m);
}

static void begin_says_what_is_wrong(void)
{
    model *m = model_new(&specs[0]);
    const ker_backend *tables[] = { ker_cpu(), ker_split() };
    config *g = malloc(sizeof *g);
    config_make(g, m, setting_of("base"));
    for (int t = 0; t < 2; t++) {
        const ker_backend *b = backend = tables[t];
        ker_dev *d = dev_new(m, 1);
        ker_ctx *c;
        ker_kv *kv;
        CHECK_INT(b->ctx_new(d, 4, 4, NULL, &c, err), 0);
        CHECK_INT(b->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
        CHECK_INT(b->cfg_put(c, 0, &g->c, err), 0);
        int32_t page[1] = { 1 }, zero[5] = { 0 }, token = VOCAB, cell = KER_PAGE, far = 2;
        int16_t two = 2;
        ker_seq seq = { .page = page, .n_page = 1 }, off = { .page = &far, .n_page = 1 };
        ker_batch ok = { .n = 1, .token = zero, .pos = zero, .cell = zero, .seqs = &seq, .n_seq = 1 };
        ker_batch wrong[] = { ok, ok, ok, ok, ok, ok, ok, ok, ok };
        static const char *const words[] = { "token 48", "cell 64", "slot 2", "sequence 2", "page 2", "rows", "expert 99", "twice", "rows" };
        wrong[0].token = &token;
        wrong[1].cell = &cell;
        wrong[2].slot = &two;
        wrong[3].seq = &two;
        wrong[4].seqs = &off;
        wrong[5].n = 5;
        wrong[6].forced = (uint16_t[3 * 4]){ 99, KER_NO_EXPERT };
        wrong[7].forced = (uint16_t[3 * 4]){ 3, 3, KER_NO_EXPERT };
        wrong[8].n = 0;
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            *err = 0;
            CHECK_INT(b->begin(c, kv, &wrong[i], err), Q_RANGE);
            CHECK_MSG(strstr(err, words[i]) != NULL, "\"%s\" has no \"%s\"", err, words[i]);
        }
        *err = 0;
        CHECK_INT(b->begin(c, kv, &ok, err), 0);
        CHECK_STR(err, "");
        if (q_mem_available()) CHECK(b->memory(d) > 0);
        b->kv_free(kv);
        b->ctx_free(c);
        b->close(d);
    }
    backend = ker_cpu();
    free(g);
    model_free(m);
}

/* ---- numbers that are not ---- */

typedef struct seen { ker_bad bad[N_TOK]; int n_bad; } seen;

static enum ker_kv_type cells = KER_KV_F32;

static seen look(const model *m, const ker_backend *b, int n)
{
    seen s = { .n_bad = -1 };
    backend = b;
    ker_dev *d = dev_new(m, 2);
    config *g = malloc(sizeof *g);
    config_make(g, m, setting_of("all"));
    ker_ctx *c;
    ker_kv *kv;
    int32_t page[2] = { 1, 0 }, cell[N_TOK];
    uint8_t want_all[N_TOK];
    for (int i = 0; i < N_TOK; i++) { cell[i] = i; want_all[i] = KER_WANT_LOGITS; }
    ker_seq seq = { .page = page, .n_page = 2 };
    ker_batch batch = { .n = n, .token = tokens, .pos = cell, .cell = cell, .want = want_all, .seqs = &seq, .n_seq = 1 };
    ker_out o;
    CHECK_INT(b->ctx_new(d, N_TOK, m->m.n_expert, NULL, &c, err), 0);
    CHECK_INT(b->kv_new(d, cells, 2, &kv, err), 0);
    CHECK_INT(b->cfg_put(c, 0, &g->c, err), 0);
    CHECK_INT(forward(c, kv, m, &batch, &o), 0);
    s.n_bad = o.n_bad;
    memcpy(s.bad, o.bad, sizeof *s.bad * (size_t)n);
    b->kv_free(kv);
    b->ctx_free(c);
    b->close(d);
    free(g);
    backend = ker_cpu();
    return s;
}

static enum ker_part part_of(enum ker_role r)
{
    static const enum ker_part parts[KER_W_ROLES] = {
        [KER_W_EMBD] = KER_PART_EMBED, [KER_W_OUT_NORM] = KER_PART_HEAD, [KER_W_OUT] = KER_PART_HEAD,
        [KER_W_ATTN_NORM] = KER_PART_ATTN, [KER_W_Q] = KER_PART_ATTN, [KER_W_K] = KER_PART_ATTN, [KER_W_V] = KER_PART_ATTN, [KER_W_O] = KER_PART_ATTN,
        [KER_W_BQ] = KER_PART_ATTN, [KER_W_BK] = KER_PART_ATTN, [KER_W_BV] = KER_PART_ATTN, [KER_W_Q_NORM] = KER_PART_ATTN, [KER_W_K_NORM] = KER_PART_ATTN,
        [KER_W_BO] = KER_PART_ATTN, [KER_W_SINKS] = KER_PART_ATTN, [KER_W_POST_ATTN_NORM] = KER_PART_ATTN,
        [KER_W_Q_A] = KER_PART_ATTN, [KER_W_Q_A_NORM] = KER_PART_ATTN, [KER_W_Q_B] = KER_PART_ATTN, [KER_W_KV_A] = KER_PART_ATTN, [KER_W_KV_A_NORM] = KER_PART_ATTN,
        [KER_W_K_B] = KER_PART_ATTN, [KER_W_V_B] = KER_PART_ATTN,
        [KER_W_ROUTER] = KER_PART_ROUTE, [KER_W_SELECT_BIAS] = KER_PART_ROUTE, [KER_W_SH_ROUTER] = KER_PART_ROUTE,
    };
    return parts[r] ? parts[r] : KER_PART_FFN;
}

/* Every weight of the first and the last layer poisoned in turn, with a NaN and with an infinity: each row tells the
 * layer and the part, in one batch as row by row. */
static void not_finite_is_told_where_it_began(void)
{
    static const float poison[] = { NAN, INFINITY };
    const ker_backend *tables[] = { ker_cpu(), ker_split() };
    int tried = 0;
    static const int with[] = { 0, 1, 2, 3, 4, N_PLAIN, N_PLAIN + 1, N_SPEC - 2 };
    for (size_t a = 0; a < sizeof with / sizeof *with; a++) {
        int s = with[a];
        model *m = model_new(&specs[s]);
        CHECK_INT(look(m, ker_cpu(), 9).n_bad, 0);
        for (int l = -1; l < specs[s].n_layer; l++)
            for (int r = 0; r < KER_W_ROLES; r++) {
                weight *w = &m->w[l + 1][r];
                if (!w->f || w->w.type != KER_F32 || (l > 0 && l < specs[s].n_layer - 1)) continue;
                int64_t n = w->w.ne[0] * w->w.ne[1] * w->w.ne[2];
                for (int k = 0; k < 2; k++) {
                    float keep = w->f[0];
                    int64_t step = r == KER_W_EMBD ? 1 : n;    /* the whole embedding: every token */
                    float *old = NULL;
                    if (step == 1) {
                        old = malloc(sizeof(float) * (size_t)n);
                        memcpy(old, w->f, sizeof(float) * (size_t)n);
                    }
                    for (int64_t i = 0; i < n; i += step) w->f[i] = poison[k];
                    cells = (enum ker_kv_type)(tried / 2 % KER_KV_TYPES);      /* also those whose rounding makes whole numbers of anything */
                    seen got_bad = look(m, tables[tried % 2], 9);
                    cells = KER_KV_F32;
                    /* The infinite numbers of a norm, of Q or K may also end as NaN in the same part. */
                    bool dense_norm = r == KER_W_FFN_NORM && m->layer[l].moe;
                    enum ker_part part = dense_norm ? KER_PART_ROUTE : part_of(r);
                    int wrong = 0;
                    for (int i = 0; i < 9; i++) wrong += got_bad.bad[i].layer != (r <= KER_W_OUT ? -1 : l) || got_bad.bad[i].part != part;
                    CHECK_MSG(got_bad.n_bad == 9 && !wrong, "%s: %s of layer %d, %g: %d rows, of them first in layer %d, part %d", specs[s].name,
                              ker_role_get(r)->name, l, (double)poison[k], got_bad.n_bad, got_bad.bad[0].layer, got_bad.bad[0].part);
                    w->f[0] = keep;
                    if (old) memcpy(w->f, old, sizeof(float) * (size_t)n);
                    free(old);
                    tried++;
                }
            }
        model_free(m);
    }
    printf("# %d poisoned weights\n", tried);
    CHECK(tried > 150);
}

/* One token's numbers spoil its own row from the start, and the rows that see it from the first attention on. */
static void only_the_rows_that_see_it_are_bad(void)
{
    static const float poison[] = { INFINITY, -INFINITY, NAN };
    model *m = model_new(&specs[0]);
    int at = 4, E = specs[0].n_embd;
    for (int i = 0; i < at; i++) CHECK(tokens[i] != tokens[at]);
    for (int k = 0; ker_cpu_path(k / E); k++) {    /* each place of a row, on every path */
        CHECK_INT(ker_cpu_force(ker_cpu_path(k / E)), 0);
        float *x = &m->w[0][KER_W_EMBD].f[tokens[at] * E + k % E], keep = *x;
        *x = poison[k % 3];
        cells = (enum ker_kv_type)(k / 3 % KER_KV_TYPES);
        seen s = look(m, ker_cpu(), k % E % 16 ? at + 1 : 9);
        int n = k % E % 16 ? at + 1 : 9;
        CHECK_INT(s.n_bad, n - at);
        for (int i = 0; i < at; i++) CHECK_INT(s.bad[i].part, KER_PART_NONE);
        CHECK_MSG(s.bad[at].part == KER_PART_EMBED, "place %d, %s: part %d", k % E, ker_cpu_features(), s.bad[at].part);
        for (int i = at + 1; i < n; i++)
            CHECK_MSG(s.bad[i].part == KER_PART_ATTN && s.bad[i].layer == 0, "row %d: layer %d, part %d", i, s.bad[i].layer, s.bad[i].part);
        *x = keep;
    }
    cells = KER_KV_F32;
    ker_cpu_force(NULL);
    model_free(m);
}

int main(void)
{
    tokens_make();
    backend = ker_cpu();
    RUN(split_gives_the_bytes_of_one_device);
    RUN(some_layers_elsewhere);
    RUN(taken_run_and_added_on_one_device);
    RUN(a_row_is_one_experts_output);
    RUN(experts_come_from_a_source);
    RUN(sources_are_refused_where_they_cannot_be);
    RUN(tables_of_another_build_are_refused);
    RUN(kinds_not_computed_are_refused);
    RUN(states_between_rows);
    RUN(kinds_without_a_meaning_are_refused);
    RUN(begin_says_what_is_wrong);
    RUN(not_finite_is_told_where_it_began);
    RUN(only_the_rows_that_see_it_are_bad);
    return TEST_END();
}
