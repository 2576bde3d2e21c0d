/* The CPU backend against a naive forward pass in double precision, written from the definitions in
 * kernels.h: every architecture feature and every routing edit on random tiny models; then the promise
 * that bits depend on neither batch, threads nor instruction set; cells; cancel. */
#include "tests/engine_util.h"
#include "tests/forward.h"

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
            bool stable = exact || (settings[t].forced && !settings[t].magnitude) || !strcmp(settings[t].name, "all");
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
        for (int kv = KER_KV_F16; kv < KER_KV_TYPES; kv++) {
            config_make(g, m, &settings[kv == KER_KV_F16 ? 5 : kv == KER_KV_F32 ? 9 : 10]);      /* pins, first neurons, largest */
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
    for (int s = 0; s < N_SPEC; s++) {
        model *m = model_new(&specs[s]);
        config *g = malloc(sizeof *g);
        for (int kv = KER_KV_F16; kv < KER_KV_TYPES; kv++) {
            config_make(g, m, &settings[kv == KER_KV_F16 ? 0 : kv == KER_KV_F32 ? 9 : 10]);
            for (int i = 0; ker_cpu_path(i); i++) {
                CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
                ker_dev *d = dev_new(m, 2);
                CHECK(d != NULL);
                CHECK_INT(run_model(d, m, g, false, kv, 31, i ? &got : &want), 0);
                if (i) CHECK_MSG(same(&got, &want, m->m.n_layer), "%s: %s against scalar, kv type %d", specs[s].name, ker_cpu_features(), kv);
                ker_cpu()->close(d);
            }
        }
        ker_cpu_force(NULL);
        free(g);
        model_free(m);
    }
}

static void narrow_cells_stay_close(void)
{
    static const double tolerance[] = { [KER_KV_F16] = 2e-3, [KER_KV_F32] = 1e-9, [KER_KV_Q8_0] = 5e-2, [KER_KV_Q4_0] = .6 };
    for (int s = 1; s <= 3; s++) {
        model *m = model_new(&specs[s]);
        ker_dev *d = dev_new(m, 2);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[2]);           /* all experts: no routing to flip */
        CHECK_INT(run_model(d, m, g, false, KER_KV_F32, N_TOK, &want), 0);
        for (int kv = KER_KV_F16; kv < KER_KV_TYPES; kv++) {
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
    ker_seq seq[2] = { { .page = page[0], .n_page = 2 }, { .page = page[1], .n_page = 2 } };
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
 * number of threads, and F32 cells with the reference. */
static const double narrow[] = { [KER_KV_F16] = .02, [KER_KV_F32] = 1e-3, [KER_KV_Q8_0] = .02, [KER_KV_Q4_0] = .4 };     /* with a bias of K (k_bias) */
static void long_text(const spec *s, enum ker_kv_type type)
{
    enum { LONG = 1100, PAGES = (LONG + KER_PAGE - 1) / KER_PAGE };
    static const int tail[] = { LONG, 1, 5, 60 };              /* how the last 120 cells are fed */
    const ker_backend *b = ker_cpu();
    model *m = model_new(s);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    int32_t tok[LONG], cell[LONG], page[PAGES];
    for (int i = 0; i < LONG; i++) { tok[i] = tokens[i % N_TOK]; cell[i] = i; }
    for (int i = 0; i < PAGES; i++) page[i] = PAGES - 1 - i;
    ker_seq seq = { .page = page, .n_page = PAGES };
    float first[VOCAB];
    reference(m, g, false, LONG, &want);
    for (int threads = 1; threads <= 3; threads++)
        for (int i = 0; i < 4; i++) {
            ker_dev *d = dev_new(m, threads);
            ker_ctx *c;
            ker_kv *kv;
            ker_out o = { 0 };
            CHECK_INT(b->ctx_new(d, LONG, 0, NULL, &c, err), 0);
            CHECK_INT(b->kv_new(d, type, PAGES, &kv, err), 0);
            CHECK_INT(b->cfg_put(c, 0, &g->c, err), 0);
            for (int t = 0, n; t < LONG; t += n) {
                n = i == 0 ? LONG : t < LONG - 120 ? LONG - 120 : tail[i];
                if (n > LONG - t) n = LONG - t;
                ker_batch batch = { .n = n, .token = tok + t, .pos = cell + t, .cell = cell + t, .seqs = &seq, .n_seq = 1 };
                CHECK_INT(forward(c, kv, m, &batch, &o), 0);
            }
            if (threads == 1 && i == 0) memcpy(first, o.logits, sizeof first);
            CHECK_MSG(!memcmp(first, o.logits, sizeof first), "%s, cells of type %d: %d threads, the end in pieces of %d", s->name, type, threads, tail[i]);
            b->kv_free(kv);
            b->ctx_free(c);
            b->close(d);
        }
    double bad = 0, top = 0;
    for (int i = 0; i < VOCAB; i++) {
        bad = fmax(bad, fabs((double)first[i] - want.logits[i]));
        top = fmax(top, fabs((double)want.logits[i]));
    }
    double limit = s->more.window ? 5e-5 : 2e-5;               /* fewer cells even out less of the angles' rounding */
    CHECK_MSG(type != KER_KV_F32 || bad < limit * top, "%s: off by %.3g of the largest logit", s->name, bad / top);
    if (s->more.k_bias > 0) CHECK_MSG(bad < narrow[type] * top, "%s, cells of type %d: off by %.3g of the largest logit", s->name, type, bad / top);
    free(g);
    model_free(m);
}

/* Windows shorter than a page, of whole pages, across a border of segments, and longer than the text; each with sinks and
 * without, beside layers that see all. */
static void long_texts_join_their_segments(void)
{
    static const int windows[] = { 0, 1, 63, 128, 129, 600, 5000 };
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        spec s = specs[3];
        s.more.window = windows[i];
        s.more.every = 2;
        s.more.sinks = i % 2;
        s.name = q_printf("window %d", windows[i]);
        long_text(&s, KER_KV_F32);
        if (windows[i] == 600) {                               /* cells by fours, two KV heads */
            s.n_head = 4, s.n_kv = 2, s.hd = s.rope_dim = 32;
            long_text(&s, KER_KV_F16), long_text(&s, KER_KV_Q8_0), long_text(&s, KER_KV_Q4_0);
        }
        free((void *)(uintptr_t)s.name);
    }
}

/* A bias of K that is a hundred times what else a key holds shares no scale with it (centre.h): over three segments, across windows, beside
 * sinks, cells by fours and others, heads that rotate in part. */
static void a_large_bias_of_keys_costs_narrow_cells_nothing(void)
{
    static const struct { int hd, rope, window; bool sinks; } shapes[] = { { 32, 32, 0, false }, { 24, 24, 0, true }, { 48, 32, 600, true } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        spec s = specs[3];
        s.n_head = 4, s.n_kv = 2, s.bias = s.half = true;
        s.hd = shapes[i].hd, s.rope_dim = shapes[i].rope;
        s.more.k_bias = 60;
        s.more.window = shapes[i].window, s.more.every = 2, s.more.sinks = shapes[i].sinks;
        s.name = q_printf("bias of K, heads of %d", s.hd);
        for (int t = KER_KV_F16; t < KER_KV_TYPES; t++) long_text(&s, (enum ker_kv_type)t);
        free((void *)(uintptr_t)s.name);
    }
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

/* The parts of a pass in order, each its own call: part i of 2 + 3 * n_layer at most. */
static int part_call(ker_ctx *c, const model *m, int i, bool *exists)
{
    const ker_backend *b = backend;
    int l = (i - 1) / 3, step = (i - 1) % 3;
    *exists = true;
    if (i == 0) return b->embed(c);
    if (l >= m->m.n_layer) return b->head(c);
    if (step == 0) return b->attn(c, l);
    if (step == 1 && m->layer[l].moe) return b->route(c, l);
    if (step == 2) return m->layer[l].moe ? b->experts(c, l) : b->dense(c, l);
    *exists = false;
    return 0;
}

/* The flag is seen by the very next part, whichever it is; the batch is void, the next one whole. (Inside a part it is
 * polled at each claim of work: test_kernels_pool counts the tasks.) */
static void cancel_stops_soon(void)
{
    static const int which[] = { 2, 3, 5 };
    for (int s = 0; s < 3; s++) {
        const ker_backend *b = backend;
        model *m = model_new(&specs[which[s]]);
        ker_dev *d = dev_new(m, 2);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[2]);
        atomic_int flag = 0;
        ker_ctx *c;
        ker_kv *kv;
        int32_t cell[N_TOK], page[2] = { 1, 0 };
        for (int i = 0; i < N_TOK; i++) cell[i] = i;
        CHECK_INT(b->ctx_new(d, N_TOK, m->m.n_expert, &flag, &c, err), 0);
        CHECK_INT(b->kv_new(d, KER_KV_F16, 2, &kv, err), 0);
        CHECK_INT(b->cfg_put(c, 0, &g->c, err), 0);
        ker_seq seq = { .page = page, .n_page = 2 };
        ker_batch batch = { .n = N_TOK, .token = tokens, .pos = cell, .cell = cell, .seqs = &seq, .n_seq = 1 };
        ker_out o;
        CHECK_INT(forward(c, kv, m, &batch, &o), 0);
        float whole[VOCAB];
        memcpy(whole, o.logits, sizeof whole);
        int n_part = 2 + 3 * m->m.n_layer, stopped = 0;
        for (int at = 0; at < n_part; at++) {
            bool exists;
            CHECK_INT(b->begin(c, kv, &batch, err), 0);
            for (int i = 0; i < at; i++) CHECK_INT(part_call(c, m, i, &exists), 0);
            atomic_store(&flag, 1);
            int rc = part_call(c, m, at, &exists);
            if (exists) {
                CHECK_INT(rc, Q_CANCEL);
                stopped++;
                atomic_store(&flag, 0);
                CHECK_INT(b->head(c), Q_CANCEL);   /* void, even after the flag is gone */
                CHECK_INT(b->end(c, &o), Q_CANCEL);
            }
            atomic_store(&flag, 0);
            CHECK_INT(forward(c, kv, m, &batch, &o), 0);
            CHECK(!memcmp(whole, o.logits, sizeof whole));
        }
        CHECK(stopped >= 2 + 2 * m->m.n_layer);
        b->kv_free(kv);
        b->ctx_free(c);
        b->close(d);
        free(g);
        model_free(m);
    }
}

/* Beside the CPU alone, a pair of devices, whose cells are the first's. */
static void cells_are_saved_and_loaded(void)
{
    for (int s = 0; s < N_SPEC; s += s == 4 ? 1 : 2) {
        cells_come_back(&specs[s]);
        backend = ker_split();
        if (specs[s].n_expert) cells_come_back(&specs[s]);
        backend = ker_cpu();
    }
}

static void wrong_things_are_refused(void)
{
    const ker_backend *b = ker_cpu();
    model *m = model_new(&specs[0]);
    ker_dev *d;
    CHECK_INT(b->open(&m->m, 1, NULL, &d, err), 0);
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
    ker_seq seq = { .page = page, .n_page = 1 };
    ker_batch ok = { .n = 1, .token = &zero, .pos = &zero, .cell = &zero, .seqs = &seq, .n_seq = 1 }, x = ok;
    x.token = &bad;
    CHECK_INT(b->begin(c, kv, &x, err), Q_RANGE);
    x = ok;
    x.cell = &far;
    CHECK_INT(b->begin(c, kv, &x, err), Q_RANGE);
    x = ok;
    x.forced = (uint16_t[3 * 4]){ 1, 1, KER_NO_EXPERT };
    CHECK_INT(b->begin(c, kv, &x, err), Q_RANGE);
    x = ok;
    x.slot = &(int16_t){ 9 };
    CHECK_INT(b->begin(c, kv, &x, err), Q_RANGE);
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

/* ---- pins against numpy (tests/golden/engine/ref.py pins): given scores, who is chosen and with which weights ---- */

enum { PIN_E = 12, PIN_ROWS = 24 };

/* One layer whose router gives row r of a batch the logits of row r: the row's stream is 1 in place r and 0 elsewhere. */
static model *pin_model(const cJSON *gate)
{
    static spec s;
    const cJSON *kind = cJSON_GetObjectItem(gate, "kind"), *rows = cJSON_GetObjectItem(gate, "logits"), *select = cJSON_GetObjectItem(kind, "select");
    const cJSON *scale = cJSON_GetObjectItem(kind, "scale"), *carved = cJSON_GetObjectItem(kind, "router_scale"), *name = cJSON_GetObjectItem(kind, "gate");
    s = (spec){ .name = "pins", .n_layer = 1, .n_embd = 64, .n_head = 2, .n_kv = 1, .hd = 16, .rope_dim = 16, .n_expert = PIN_E, .ffx = 32, .half = true,
                .select_bias = cJSON_IsArray(select), .renorm = cJSON_IsTrue(cJSON_GetObjectItem(kind, "renorm")),
                .gate = name && !strcmp(name->valuestring, "sigmoid") ? KER_GATE_SIGMOID : KER_GATE_SOFTMAX,
                .scale = scale ? (float)scale->valuedouble : 1, .router_scale = carved ? (float)carved->valuedouble : 0, .type = KER_F32, .down_type = KER_F32 };
    model *m = model_new(&s);
    float *router = m->w[1][KER_W_ROUTER].f, *norm = m->w[1][KER_W_FFN_NORM].f;
    for (int r = 0; r < PIN_ROWS; r++)
        for (int e = 0; e < PIN_E; e++)
            router[e * s.n_embd + r] = (float)(cJSON_GetArrayItem(cJSON_GetArrayItem(rows, r), e)->valuedouble / (norm[r] / sqrt(1.0 / s.n_embd + 1e-5)));
    for (int e = 0; e < PIN_E && s.select_bias; e++) m->w[1][KER_W_SELECT_BIAS].f[e] = (float)cJSON_GetArrayItem(select, e)->valuedouble;
    return m;
}

static int pin_case(const model *m, const cJSON *one, int *rows)
{
    const cJSON *pins = cJSON_GetObjectItem(one, "pins"), *ids = cJSON_GetObjectItem(one, "ids"), *weights = cJSON_GetObjectItem(one, "weights"), *p;
    ker_dev *d = dev_new(m, 1);
    config *g = malloc(sizeof *g);
    ker_ctx *c;
    ker_kv *kv;
    config_make(g, m, &settings[0]);
    g->k[0] = (int16_t)cJSON_GetObjectItem(one, "k")->valuedouble;
    g->c.pin = g->pin;
    cJSON_ArrayForEach(p, pins) g->pin[(int)p->valuedouble] = 1;
    int32_t cell[PIN_ROWS], page = 0;
    float x[PIN_ROWS * 64] = { 0 };
    for (int r = 0; r < PIN_ROWS; r++) { cell[r] = r; x[r * 64 + r] = 1; }
    ker_seq seq = { .page = &page, .n_page = 1 };
    ker_batch b = { .n = PIN_ROWS, .token = tokens, .pos = cell, .cell = cell, .seqs = &seq, .n_seq = 1 };
    ker_out o = { 0 };
    CHECK_INT(backend->ctx_new(d, PIN_ROWS, PIN_E, NULL, &c, err), 0);
    CHECK_INT(backend->kv_new(d, KER_KV_F32, 1, &kv, err), 0);
    CHECK_INT(backend->cfg_put(c, 0, &g->c, err), 0);
    CHECK_INT(backend->begin(c, kv, &b, err), 0);
    CHECK_INT(backend->hidden_put(c, x), 0);
    CHECK_INT(backend->route(c, 0), 0);
    CHECK_INT(backend->end(c, &o), 0);
    int wrong = 0;
    for (int r = 0; r < PIN_ROWS && o.ids; r++, ++*rows) {
        const cJSON *id = cJSON_GetArrayItem(ids, r), *w = cJSON_GetArrayItem(weights, r);
        bool same_row = true;
        for (int i = 0; i < PIN_E; i++) {
            const cJSON *a = cJSON_GetArrayItem(id, i), *v = cJSON_GetArrayItem(w, i);
            same_row &= o.ids[r * PIN_E + i] == (a ? (int)a->valuedouble : KER_NO_EXPERT);
            same_row &= !v || fabs(v->valuedouble - (double)o.weights[r * PIN_E + i]) < 2e-5;
        }
        wrong += !same_row;
    }
    backend->kv_free(kv);
    backend->ctx_free(c);
    backend->close(d);
    free(g);
    return wrong;
}

/* Cases whose pins stand to k as asked, for every kind of gate. */
static void pins(bool (*asked)(int k, int n_pin), int least)
{
    cJSON *all = util_json("tests/golden/engine", q_printf("pins.json"));
    const cJSON *gate, *one;
    int rows = 0, gates = 0;
    CHECK(all != NULL);
    cJSON_ArrayForEach(gate, all) {
        if (!cJSON_HasObjectItem(gate, "kind")) continue;
        const char *name = cJSON_GetObjectItem(gate, "gate")->valuestring;
        model *m = pin_model(gate);
        gates++;
        cJSON_ArrayForEach(one, all) {
            if (cJSON_HasObjectItem(one, "kind") || strcmp(cJSON_GetObjectItem(one, "gate")->valuestring, name)) continue;
            int k = (int)cJSON_GetObjectItem(one, "k")->valuedouble, n_pin = cJSON_GetArraySize(cJSON_GetObjectItem(one, "pins"));
            if (!asked(k, n_pin)) continue;
            int wrong = pin_case(m, one, &rows);
            CHECK_MSG(wrong == 0, "%s, k %d, %d pins: %d of %d routings differ from numpy's", name, k, n_pin, wrong, PIN_ROWS);
        }
        model_free(m);
    }
    CHECK_INT(gates, 5);
    CHECK_INT(rows, least * gates * PIN_ROWS);
    cJSON_Delete(all);
}

static bool fill_k1(int k, int n_pin) { return k == 1 && n_pin == 1; }
static bool fill_k2(int k, int n_pin) { return k > 1 && n_pin == k; }
static bool beyond_k(int k, int n_pin) { return n_pin > k; }
static bool below_k(int k, int n_pin) { return n_pin < k; }
static void pins_fill_k1(void) { pins(fill_k1, 3); }
static void pins_fill_k2(void) { pins(fill_k2, 3); }
static void pins_beyond_k(void) { pins(beyond_k, 4); }
static void pins_below_k(void) { pins(below_k, 3); }

int main(void)
{
    tokens_make();
    backend = ker_cpu();
    RUN(forward_matches_reference);
    RUN(bits_do_not_depend_on_batch_or_threads);
    RUN(bits_do_not_depend_on_the_instruction_set);
    RUN(narrow_cells_stay_close);
    RUN(sequences_share_a_batch);
    RUN(long_texts_join_their_segments);
    RUN(a_large_bias_of_keys_costs_narrow_cells_nothing);
    RUN(cells_are_saved_and_loaded);
    RUN(nan_scores_give_valid_ids);
    RUN(cancel_stops_soon);
    RUN(pins_fill_k1);
    RUN(pins_fill_k2);
    RUN(pins_beyond_k);
    RUN(pins_below_k);
    RUN(wrong_things_are_refused);
    return TEST_END();
}
