/* Models with recurrent layers in every way in which one may lie on the emulated GPU: experts on either side or fetched, every type of
 * cell, with an adapter; a prompt that is cancelled, and each call of the driver failing in turn, leave the states that a text goes on
 * from as they were. Without a C++ compiler there is no emulator: all is skipped. */
#include "engine/run/session.h"
#include "kernels/made.h"
#include "tests/either_side.h"
#include "tests/golden.h"
#include "tests/on_device.h"
#include "tests/test.h"

#include <math.h>

enum { ROWS = 24, CELLS = 2 * KER_PAGE, VOCAB = 64, TEXT = 44 };

static const emu_api_table *emu;
static char err[Q_ERRLEN];
static const int none[] = { 0 };
/* A dense recurrent layer, then a routed one with gated attention: for plain loops, for tensor cores, and of blocks. */
static const made_shape odd = { "floats", 96, 4, 1, 40, 16, 7, 64, 32, 160, VOCAB, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_SH_ROUTER | MADE_HALF | MADE_DELTA | MADE_LOW, KER_GATE_SOFTMAX, 1, 0, .rows = none },
    even = { "paired", 96, 4, 1, 64, 16, 7, 64, 32, 160, VOCAB, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF | MADE_DELTA | MADE_PAIRED | MADE_LOW, KER_GATE_SOFTMAX, 1, 0, .rows = none },
    /* More than 16 experts a row: those of 20 rows go in two passes, also on their way between devices. */
    many = { "many experts", 96, 4, 1, 40, 16, 40, 64, 32, 160, VOCAB, 36, -1, MADE_QK_NORM | MADE_RENORM | MADE_SH_ROUTER | MADE_HALF | MADE_DELTA, KER_GATE_SOFTMAX, 1, 0, .rows = none };

static bool all_of_it(void) { return getenv("QUORUM_LONG") != NULL; }

/* How a model may lie: on the GPU, its experts fetched, or on the CPU's side of it, or the other way round. */
enum way { WHOLE, FETCHED, GPU_FIRST, CPU_FIRST, WAYS };
static const char *const way_name[WAYS] = { "on the GPU", "experts fetched", "experts on the CPU", "experts alone on the GPU" };

static ker_backend table(enum way w)
{
    ker_backend b = w < GPU_FIRST ? *gpu : *ker_split();
    b.open = w == WHOLE ? gpu->open : w == FETCHED ? open_cached : w == GPU_FIRST ? open_gpu_first : open_cpu_first;
    return b;
}

/* ---- a text, piece by piece, on a device ---- */

typedef struct heard { float logits[TEXT * VOCAB]; float *state; size_t floats; } heard;

static double gap(const float *a, const float *b, size_t n)
{
    double most = 0, size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        most = d > most || isnan(d) ? d : most;
        size = fmax(size, fabs((double)b[i]));
    }
    return most / size;
}

/* n rows from cell `at` on, every row's logits wanted. */
typedef struct piece { int32_t token[ROWS], cell[ROWS], page[2]; uint8_t want[ROWS]; ker_seq seq; ker_batch b; } piece;

static const ker_batch *piece_of(piece *p, int at, int n, int phase)
{
    p->page[0] = 1;
    p->page[1] = 0;
    for (int i = 0; i < n; i++) {
        p->cell[i] = at + i;
        p->token[i] = ((at + i) * 7 + 1) % VOCAB;
        p->want[i] = KER_WANT_LOGITS;
    }
    p->seq = (ker_seq){ .page = p->page, .n_page = 2, .state_from = p->seq.state_from, .state_to = p->seq.state_to };
    p->b = (ker_batch){ .n = n, .token = p->token, .pos = p->cell, .cell = p->cell, .want = p->want, .seqs = &p->seq, .n_seq = 1, .phase = phase };
    return &p->b;
}

/* Many rows, few, one by one, many again. */
static void text(made_side *s, const made_model *m, heard *to, const char *what)
{
    static const int n[] = { 20, 7, 1, 1, 12, 3 };
    for (int i = 0, at = 0; i < 6; at += n[i++]) {
        piece p = { .token = { 0 } };
        made_states(s, at, &p.seq);
        int rc = made_pass(s, m, piece_of(&p, at, n[i], n[i] == 1), err);
        CHECK_MSG(!rc, "%s, %s: %d %s", m->what, what, rc, err);
        if (rc) return;
        memcpy(to->logits + at * VOCAB, s->out.logits, sizeof(float) * (size_t)(n[i] * VOCAB));
    }
    CHECK_INT(s->b->state_save(s->kv, s->state[0], to->state), 0);
}

static void heard_new(heard *h, const made_model *m)
{
    h->floats = (size_t)ker_state_floats(&m->m);
    h->state = q_alloc(sizeof(float) * h->floats);
}

/* With cells of another type than made_open's. */
static int open_with(made_side *s, const ker_backend *b, const made_model *m, enum ker_kv_type t)
{
    int rc = made_open(s, b, 0, m, ROWS, CELLS, err);
    if (rc || t == KER_KV_F16) return rc;
    b->kv_free(s->kv);
    s->kv = NULL;
    rc = b->kv_new(s->dev, t, CELLS / KER_PAGE, &s->kv, err);
    for (int i = 0; i < 2 && !rc; i++) rc = (s->state[i] = b->state_new(s->kv, err)) < 0 ? s->state[i] : 0;
    return rc;
}

/* The text as a device says it; false: it could not. */
static bool told(const ker_backend *b, const made_model *m, enum ker_kv_type t, heard *to, const char *what)
{
    made_side s = { 0 };
    int bad = test_bad, rc = open_with(&s, b, m, t);
    CHECK_MSG(!rc, "%s, %s: %d %s", m->what, what, rc, err);
    if (!rc) text(&s, m, to, what);
    made_close(&s);
    return bad == test_bad;
}

/* Where rows become whole numbers, one in the last place is another whole number further on. */
static void near_the_cpus(const made_shape *shape, int type, double most)
{
    made_model *m = made_new(shape, type, 1);
    heard want, held, got;
    heard_new(&want, m);
    heard_new(&held, m);
    heard_new(&got, m);
    bool ok = told(ker_cpu(), m, KER_KV_F16, &want, "on the CPU") && told(gpu, m, KER_KV_F16, &held, way_name[WHOLE]);
    for (int w = FETCHED; ok && w < WAYS; w++) {
        ker_backend b = table((enum way)w);
        cache_bytes = 1;                           /* as few as can be */
        if (!told(&b, m, KER_KV_F16, &got, way_name[w])) continue;
        double off = gap(got.logits, want.logits, TEXT * VOCAB), state = gap(got.state, want.state, got.floats);
        CHECK_MSG(off < most && state < most, "%s, %s: logits off by %.3g, the state by %.3g", m->what, way_name[w], off, state);
        if (w == FETCHED) CHECK_MSG(!memcmp(got.logits, held.logits, sizeof got.logits) && !memcmp(got.state, held.state, sizeof(float) * got.floats), "%s, fetched: other numbers", m->what);
    }
    if (ok) CHECK_MSG(gap(held.logits, want.logits, TEXT * VOCAB) < most && gap(held.state, want.state, held.floats) < most, "%s: other numbers", m->what);
    free(want.state);
    free(held.state);
    free(got.state);
    made_free(m);
}

static void a_model_may_lie_in_every_way(void)
{
    near_the_cpus(&odd, KER_F32, 1e-3);            /* cells in F16 */
    near_the_cpus(&even, KER_F32, 1e-3);
    near_the_cpus(&many, KER_F32, 1e-3);
    near_the_cpus(&even, KER_Q8_0, 5e-2);
}

/* Narrow cells round: held to what rounding gives on the CPU. */
static void every_type_of_cell(void)
{
    for (int s = 0; s < 2; s++) {
        made_model *m = made_new(s ? &even : &odd, KER_F32, 1);
        heard want, there, got;
        heard_new(&want, m);
        heard_new(&there, m);
        heard_new(&got, m);
        bool ok = told(ker_cpu(), m, KER_KV_F32, &want, "on the CPU");
        for (int t = 0; ok && t < KER_KV_TYPES; t++) {
            if (!told(ker_cpu(), m, (enum ker_kv_type)t, &there, "on the CPU") || !told(gpu, m, (enum ker_kv_type)t, &got, way_name[WHOLE])) continue;
            double off = gap(got.logits, want.logits, TEXT * VOCAB), most = 1.25 * gap(there.logits, want.logits, TEXT * VOCAB) + (t == KER_KV_F32 ? 1e-4 : 2e-3);
            CHECK_MSG(off < most, "%s, cells of type %d: off by %.3g, at most %.3g", m->what, t, off, most);
        }
        free(want.state);
        free(there.state);
        free(got.state);
        made_free(m);
    }
}

/* ---- the goldens, whose recurrent layers are routed ---- */

static void golden_in(const char *name, enum way w)
{
    char *dir = q_printf("tests/golden/engine/%s", name), *path = util_model(name);
    eng_model *m = NULL;
    golden_set g = { 0 };
    ker_backend b = table(w);                      /* outlives the model */
    cache_bytes = w == FETCHED && !strcmp(name, "qwen3next") ? 40000 : 1;
    int rc = eng_model_open(path, NULL, &m, err) || on_device(m, &b, 0, err) || golden_open(dir, &g, err);
    CHECK_MSG(!rc, "%s, %s: %s", name, way_name[w], err);
    for (int i = 0; i < g.n_case && !rc; i++) {
        static const int splits[] = { 0, 7, 1 };
        for (int p = 0; p < 3; p++) {
            golden_result r = { 0 };
            golden_diff d = { 0 };
            if (!all_of_it() && p != (i + (int)w) % 3) continue;
            rc = golden_run(&g, m, i, splits[p], &r, err) || golden_compare(&g, m, i, &r, &d, err);
            CHECK_MSG(!rc && d.logits <= 2e-4 && d.weights <= 1e-4 && !d.ids, "%s %s, %s, pieces of %d: %s; logits off by %.3g, weights by %.3g, %d ids", name, g.name[i], way_name[w], splits[p],
                      rc ? err : "well", d.logits, d.weights, d.ids);
            golden_result_free(&r);
        }
    }
    golden_close(&g);
    eng_model_free(m);
    remove(path);
    free(path);
    free(dir);
}

static void goldens_in_every_way(void)
{
    for (int w = FETCHED; w < WAYS; w++) golden_in("qwen3next", (enum way)w);
}

/* ---- cancelled ---- */

/* One pass in which `cancel` is set before part `at`; the parts after it are asked for no more. */
static int cancelled_pass(made_side *s, const made_model *m, const ker_batch *b, atomic_int *cancel, int at)
{
    int rc = s->b->begin(s->ctx, s->kv, b, err), part = 0;
    for (int l = -1; l <= m->m.n_layer && !rc; l++)
        for (int i = 0; i < (l < 0 || l == m->m.n_layer ? 1 : m->layer[l].moe ? 3 : 2) && !rc; i++) {
            if (part++ == at) atomic_store(cancel, 1);
            rc = l < 0 ? s->b->embed(s->ctx) : l == m->m.n_layer ? s->b->head(s->ctx) : !i ? s->b->attn(s->ctx, l)
               : !m->layer[l].moe ? s->b->dense(s->ctx, l) : i == 1 ? s->b->route(s->ctx, l) : s->b->experts(s->ctx, l);
        }
    int end = s->b->end(s->ctx, &s->out);
    atomic_store(cancel, 0);
    return rc ? rc : end;
}

/* The state that the pass read is what it was, and the pass again gives what it would have given; part by part (every second one, but in the long form), in every way. */
static void cancelled_in(enum way w, int n)
{
    made_model *m = made_new(&even, KER_F32, 1);
    made_side s = { 0 };
    ker_backend b = table(w);
    atomic_int cancel = 0;
    float *was = q_alloc(sizeof(float) * (size_t)ker_state_floats(&m->m)), *now = q_alloc(sizeof(float) * (size_t)ker_state_floats(&m->m)), logits[ROWS * VOCAB];
    size_t bytes = sizeof(float) * (size_t)ker_state_floats(&m->m);
    piece p = { .token = { 0 } };
    cache_bytes = 1;
    int rc = made_open(&s, &b, 0, m, ROWS, CELLS, err);
    if (!rc) {                                     /* a context that may be cancelled */
        ker_adapt adapt = { .adapter = 0, .layer = m->factor };
        ker_config c = { .adapt = &adapt, .n_adapt = 1, .norm_eps = 1e-5f, .rope_freq = m->freq, .rope_mscale = 1, .attn_scale = .125f, .k = m->k, .router_temperature = 1 };
        b.ctx_free(s.ctx);
        rc = b.ctx_new(s.dev, ROWS, m->m.n_expert, &cancel, &s.ctx, err) || b.cfg_put(s.ctx, 0, &c, err);
    }
    CHECK_MSG(!rc, "%s", err);
    p.seq.state_to = 1;
    if (!rc) rc = made_pass(&s, m, piece_of(&p, 0, 20, 0), err) || b.state_save(s.kv, 1, was);
    p.seq = (ker_seq){ .state_from = 1, .state_to = 2 };
    if (!rc) rc = made_pass(&s, m, piece_of(&p, 20, n, 0), err);
    CHECK_MSG(!rc, "%s: %s", way_name[w], err);
    if (!rc) memcpy(logits, s.out.logits, sizeof(float) * (size_t)(n * VOCAB));
    for (int at = all_of_it() ? 0 : (int)w % 2; at < 7 && !rc; at += all_of_it() ? 1 : 2) {
        int said = cancelled_pass(&s, m, piece_of(&p, 20, n, 0), &cancel, at);
        CHECK_MSG(said == Q_CANCEL, "%s, %d rows, cancelled before part %d: %d", way_name[w], n, at, said);
        CHECK_INT(b.state_save(s.kv, 1, now), 0);
        CHECK_MSG(!memcmp(was, now, bytes), "%s, %d rows, cancelled before part %d: another state", way_name[w], n, at);
        CHECK_INT(made_pass(&s, m, &p.b, err), 0);
        CHECK_MSG(!memcmp(logits, s.out.logits, sizeof(float) * (size_t)(n * VOCAB)), "%s, %d rows, after it was cancelled before part %d: other numbers", way_name[w], n, at);
    }
    made_close(&s);
    made_free(m);
    free(was);
    free(now);
}

static void a_cancelled_pass_leaves_the_state(void)
{
    for (int w = 0; w < WAYS; w++) {
        cancelled_in((enum way)w, 12);
        cancelled_in((enum way)w, 3);
    }
}

/* A prompt that is cancelled behind its first piece: a shorter text that goes on as if nobody had cancelled. */
static eng_session *stops;
static void stop(void *user, int done, int total)
{
    (void)total;
    if (done >= *(int *)user) eng_session_cancel(stops);
}

static void a_cancelled_prompt_goes_on(void)
{
    enum { N = 60 };
    char *path = util_model("qwen3next");
    eng_model *m = NULL, *cpu = NULL;
    eng_session *s[2] = { NULL, NULL };
    int32_t t[N];
    int at = 16, rc = eng_model_open(path, NULL, &m, err) || eng_model_open(path, NULL, &cpu, err) || on_device(m, gpu, 0, err);
    for (int i = 0; i < N; i++) t[i] = (int32_t)(q_mix64(3, (uint64_t)i) % 300);
    for (int i = 0; i < 2 && !rc; i++) {
        eng_config *c = eng_config_new(i ? m : cpu);
        rc = eng_config_set(c, "context.length", "128", err) || eng_config_set(c, "kv.type", "f32", err) || eng_session_new(i ? m : cpu, c, &s[i], err);
        if (!rc) session_set_chunk(s[i], 16);
        eng_config_free(c);
    }
    CHECK_MSG(!rc, "%s", err);
    if (!rc) {
        CHECK_INT(eng_session_sync(s[0], t, N, ENG_CONTINUE, NULL, NULL, err), 0);
        stops = s[1];
        CHECK_INT(eng_session_sync(s[1], t, N, ENG_CONTINUE, stop, &at, err), Q_CANCEL);
        eng_session_uncancel(s[1]);
        CHECK_MSG(eng_session_length(s[1]) >= 16 && eng_session_length(s[1]) < N, "%d tokens after a cancel", eng_session_length(s[1]));
        eng_session_speed_reset(s[1]);
        int there = eng_session_length(s[1]);
        CHECK_MSG(!eng_session_sync(s[1], t, N, ENG_CONTINUE, NULL, NULL, err), "%s", err);
        CHECK_INT(eng_session_speed(s[1]).prefill_tokens, N - there);
        double off = gap(eng_session_logits(s[1]), eng_session_logits(s[0]), (size_t)eng_model_info(m)->n_vocab);
        CHECK_MSG(off < 1e-4, "logits after a cancelled prompt are off by %.3g", off);
    }
    for (int i = 0; i < 2; i++) eng_session_free(s[i]);
    eng_model_free(m);
    eng_model_free(cpu);
    remove(path);
    free(path);
}

/* ---- memory ---- */

/* Texts with an edit each, one after another; returns how many states there are then, or -1. */
static int states_after_edits(eng_session *s)
{
    int32_t t[200];
    int rc = 0, count = 0;
    uint64_t each = 0;
    for (int i = 0; i < 200; i++) t[i] = (int32_t)(q_mix64(4, (uint64_t)i) % 300);
    for (int i = 0; !rc && i < 6; i++) {
        rc = eng_session_sync(s, t, 100 + 16 * i, ENG_CONTINUE, NULL, NULL, err) || eng_session_push(s, 5, err);
        CHECK_MSG(!rc, "text %d: %s", i, err);
        t[90] ^= 1;
    }
    if (!rc) eng_cache_states(eng_session_cache(s), &count, &each);
    return rc ? -1 : count;
}

static eng_session *session_with(eng_model *m, long long tokens, int *rc)
{
    char length[24];
    eng_session *s = NULL;
    eng_config *c = eng_config_new(m);
    snprintf(length, sizeof length, "%lld", tokens);
    CHECK(eng_config_set(c, "context.length", length, err) == 0 && eng_config_set(c, "state.memory", "64", err) == 0);
    *rc = eng_session_new(m, c, &s, err);
    eng_config_free(c);
    return s;
}

/* The longest context that a cache is made for leaves room for the states that a token needs; and while little of the GPU's memory is free, none
 * are kept beside. */
static void a_cache_leaves_room_for_states(void)
{
    char *path = util_model("qwen3next");
    eng_model *m = NULL;
    eng_session *s = NULL;
    emu_stats st;
    int rc = eng_model_open(path, NULL, &m, err) || on_device(m, gpu, 0, err), tried = 0, count;
    if (!rc) s = session_with(m, 64, &rc);
    CHECK_MSG(!rc, "%s", err);
    if (!rc) {
        emu->stats(&st);
        emu->set("mem_mb", (long)(st.held >> 20) + 2);
        int64_t page = gpu->kv_page_bytes(m->on.dev, KER_KV_F16), pages = (int64_t)gpu->memory(m->on.dev) / 2 / page + 6;      /* half is the driver's; those of 64 tokens too */
        eng_session_free(s);
        s = NULL;
        for (rc = Q_NOMEM; rc == Q_NOMEM && pages > 100; pages--, tried++) s = session_with(m, pages * KER_PAGE, &rc);
        CHECK_MSG(!rc && tried > 1 && tried < 60, "%d after %d tries, %lld pages: %s", rc, tried, (long long)pages, err);
        CHECK(rc || states_after_edits(s) > 0);
        for (int much = 0; much < 2; much++) {
            eng_session_free(s);
            emu->set("mem_mb", much ? 4096 : (long)(st.held >> 20) + 100);
            s = session_with(m, 600, &rc);
            count = rc ? -1 : states_after_edits(s);
            CHECK_MSG(much ? count > 4 : count > 0 && count <= 3, "%d states", count);
        }
        eng_session_free(s);               /* nor of what --gpu-budget leaves to others */
        m->on.outside = gpu->memory(m->on.dev) - ((uint64_t)140 << 20);
        s = session_with(m, 600, &rc);
        count = rc ? -1 : states_after_edits(s);
        uint64_t room = rc ? 0 : kv_state_room(s->cache->pool, UINT64_MAX);
        CHECK_MSG(count > 0 && room <= (uint64_t)12 << 20, "%d states in %llu bytes: %s", count, (unsigned long long)room, err);
    }
    emu->set("mem_mb", 4096);
    eng_session_free(s);
    eng_model_free(m);
    remove(path);
    free(path);
}

static int set_length(eng_session *s, eng_config *c, int tokens)
{
    char length[24];
    snprintf(length, sizeof length, "%d", tokens);
    CHECK(eng_config_set(c, "context.length", length, err) == 0);
    return eng_session_config(s, c, ENG_CONTINUE, err);
}

/* A device that the cells have filled, where another pool does not fit beside the first: a shorter context, cells of another type and back again.
 * What does not fit even so is refused, and the text goes on as it was. */
static void a_full_device_changes_its_cells(void)
{
    char *path = util_model("qwen3moe");
    eng_model *m = NULL;
    eng_session *s = NULL;
    emu_stats st;
    int32_t t[70];
    for (int i = 0; i < 70; i++) t[i] = 10 + i % 7;
    int rc = eng_model_open(path, NULL, &m, err) || on_device(m, gpu, 0, err), most;
    CHECK_MSG(!rc, "%s", err);
    eng_config *c = rc ? NULL : eng_config_new(m);
    if (!rc) {
        CHECK(eng_config_set(c, "context.length", "64", err) == 0);
        rc = eng_session_new(m, c, &s, err);
        CHECK_MSG(!rc, "%s", err);
        emu->stats(&st);
        emu->set("mem_mb", (long)(st.held >> 20) + 400);
        CHECK(eng_config_set(c, "context.length", "16777216", err) == 0);
        most = eng_context_fits(m, c) / KER_PAGE * KER_PAGE;
        CHECK_MSG(most > 4096, "%d tokens fit", most);
        CHECK_MSG(set_length(s, c, most / 10 * 7) == 0, "%s", err);
        CHECK_MSG(eng_session_sync(s, t, 70, ENG_CONTINUE, NULL, NULL, err) == 0, "%s", err);
        uint64_t page = (uint64_t)gpu->kv_page_bytes(m->on.dev, KER_KV_F16);
        CHECK(gpu->memory(m->on.dev) < page * (uint64_t)(most / KER_PAGE));        /* not beside one another */
        CHECK_MSG(set_length(s, c, most) == 0, "%s", err);
        CHECK_MSG(eng_config_set(c, "kv.type", "f32", err) == 0 && set_length(s, c, most) == Q_NOMEM && strstr(err, "set context.length to at most"), "%s", err);
        CHECK(!strstr(err, "at most 0 "));
        CHECK_MSG(set_length(s, c, most / 2 - 4 * KER_PAGE) == 0, "%s", err);
        CHECK_MSG(eng_config_set(c, "kv.type", "q8_0", err) == 0 && set_length(s, c, most) == 0, "%s", err);
        CHECK_MSG(eng_session_sync(s, t, 70, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_push(s, 5, err) == 0, "%s", err);
        CHECK_INT(eng_session_length(s), 71);
        emu->fail("cudaMalloc", 1);        /* and one that somebody else was faster to take: there is a cache still */
        CHECK_MSG(eng_config_set(c, "kv.type", "f16", err) == 0 && set_length(s, c, most) == Q_NOMEM, "%s", err);
        emu->fail(NULL, 0);
        CHECK_MSG(eng_session_push(s, 6, err) == 0, "%s", err);
    }
    emu->set("mem_mb", 4096);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    remove(path);
    free(path);
}

/* ---- what the driver refuses ---- */

typedef struct trial { const made_model *m; ker_backend b; int rc; char why[Q_ERRLEN]; float first; float *state; } trial;

/* Three pieces, a state saved and read back between them. */
static int three_pieces(trial *t, made_side *s)
{
    static const int n[] = { 10, 1, 2 };
    int rc = 0;
    for (int i = 0, at = 0; i < 3 && !rc; at += n[i++]) {
        piece p = { .token = { 0 } };
        made_states(s, at, &p.seq);
        t->why[0] = 0;
        rc = made_pass(s, t->m, piece_of(&p, at, n[i], n[i] == 1), t->why);
        if (!rc) t->first = s->out.logits[0];
        if (rc || i) continue;
        rc = t->b.state_save(s->kv, s->state[0], t->state);
        if (!rc) rc = t->b.state_load(s->kv, s->state[0], t->state);
        if (rc && t->b.why) t->b.why(s->ctx, t->why);
    }
    return rc;
}

static void try_once(trial *t)
{
    made_side s = { 0 };
    t->why[0] = 0;
    t->rc = made_open(&s, &t->b, 0, t->m, 12, CELLS, t->why);
    if (!t->rc) t->rc = three_pieces(t, &s);
    made_close(&s);
}

static void every_call_may_fail(void)
{
    made_model *m = made_new(&even, KER_Q8_0, 1);
    float *state = q_alloc(sizeof(float) * (size_t)ker_state_floats(&m->m));
    trial whole = { m, table(WHOLE), 0, "", 0, state };
    emu_stats st;
    char words[2000];
    emu->reset();
    try_once(&whole);
    emu->stats(&st);
    CHECK_MSG(!whole.rc, "%d %s", whole.rc, whole.why);
    trial t = whole;
    int refused = 0, step = all_of_it() ? 1 : test_brief() ? 19 : 5;
    for (long n = 1; n <= (long)st.calls && test_bad < 6; n += step) {
        emu->fail_at(n);
        try_once(&t);
        emu->fail_at(0);
        if (t.rc) CHECK_MSG(t.why[0] != 0, "call %ld fails: %d without a sentence", n, t.rc);
        else CHECK_MSG(t.first == whole.first, "call %ld fails: other numbers", n);
        refused += t.rc != 0;
        size_t left = emu->leaks(words, sizeof words);
        CHECK_MSG(left == 0, "call %ld fails: %zu left: %s", n, left, words);
    }
    printf("# %llu calls, every %d. failed in turn: %d ended in a sentence\n", (unsigned long long)st.calls, step, refused);
    CHECK(refused > 20 || test_brief());
    try_once(&t);                                  /* and the device is well again */
    CHECK(!t.rc && t.first == whole.first);
    free(state);
    made_free(m);
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_states", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    RUN(a_model_may_lie_in_every_way);
    RUN(every_type_of_cell);
    RUN(goldens_in_every_way);
    RUN(a_cancelled_pass_leaves_the_state);
    RUN(a_cancelled_prompt_goes_on);
    RUN(a_cache_leaves_room_for_states);
    RUN(a_full_device_changes_its_cells);
    RUN(every_call_may_fail);
    return TEST_END();
}
