/* A cache with several timelines: rows of all of them in one step, forks, cuts, steps that leave nothing, and the
 * provenance of forced routing. Every comparison is of bytes. */
#include "engine/engine.h"
#include "engine/run/session.h"
#include "tests/engine_util.h"
#include "tests/test.h"

enum { N = 150, STEPS = 20 };

static eng_model *model_of(const char *name)
{
    char *path = util_model(name), err[Q_ERRLEN];
    eng_model *m = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    remove(path);
    free(path);
    return m;
}

static eng_config *config_of(const eng_model *m, const char *name, const char *value)
{
    char err[Q_ERRLEN];
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_set(c, "context.length", "400", err) == 0 && eng_config_set(c, "kv.type", "f32", err) == 0);
    int rc = name ? eng_config_set(c, name, value, err) : 0;
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    return c;
}

static void text(int32_t *t, int n, int seed)
{
    for (int i = 0; i < n; i++)
        t[i] = (int32_t)(q_mix64((uint64_t)seed, (uint64_t)i) % 300);
}

static bool same_logits(eng_session *a, eng_session *b)
{
    const float *x = eng_session_logits(a), *y = eng_session_logits(b);
    return x && y && memcmp(x, y, sizeof(float) * (size_t)eng_model_info(eng_cache_model(eng_session_cache(a)))->n_vocab) == 0;
}

/* Number and hash of all records; the hash is of what they say, not of where they lie. */
typedef struct told { uint64_t n, hash; } told;
static bool on_record(void *user, const eng_trace_rec *r)
{
    told *t = user;
    size_t cells = (size_t)r->n_layer * (size_t)r->max_k;
    uint64_t h = q_mix64(t->hash, q_mix64((uint64_t)r->token << 32 | (uint32_t)r->pos, r->config + r->prompt));
    h = q_hash64(r->ids, sizeof *r->ids * cells, h);
    if (r->weights)
        h = q_hash64(r->weights, sizeof *r->weights * cells, h);
    t->hash = h;
    t->n++;
    return true;
}

static told tell(eng_session *s)
{
    told t = { 0, 0 };
    uint64_t cursor = 0;
    CHECK(eng_trace_read(s, &cursor, on_record, &t) == 0);
    return t;
}

/* Cells whose experts were forced are another thing than cells of the same tokens with a free router. */
static void forced_cells_are_not_free_ones(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    int n_vocab = eng_model_info(m)->n_vocab, n_layer = eng_model_info(m)->n_layer;
    eng_config *c = config_of(m, NULL, NULL);
    eng_session *s = NULL, *f = NULL;
    int32_t t[100];
    uint16_t *forced = q_alloc(sizeof *forced * 100 * (size_t)n_layer);          /* expert 0, always */
    eng_mix mix[4];
    text(t, 100, 1);
    CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_new(m, c, &f, err) == 0);
    CHECK(eng_session_eval(s, t, 100, 0, forced, 1, NULL, NULL, err) == 0);
    CHECK_INT(eng_session_mix(s, mix, 4), 1);
    CHECK_INT(mix[0].cells, 100);
    CHECK_INT(mix[0].forced, 100);
    CHECK(eng_session_sync(f, t, 100, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(!same_logits(s, f));
    for (int policy = ENG_CONTINUE; policy <= ENG_RECOMPUTE; policy++) {
        CHECK(eng_session_eval(s, t, 100, 7, forced, 1, NULL, NULL, err) == 0);
        eng_session_speed_reset(s);
        CHECK(eng_session_sync(s, t, 100, (enum eng_policy)policy, NULL, NULL, err) == 0);
        int evaluated = eng_session_speed(s).prefill_tokens;
        const float *a = eng_session_logits(s), *b = eng_session_logits(f);
        double worst = 0;
        for (int i = 0; i < n_vocab; i++)
            worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        printf("# %d tokens evaluated of 100, logits off by %g\n", evaluated, worst);
        CHECK(same_logits(s, f));
        CHECK_INT(eng_session_mix(s, mix, 4), 1);
        CHECK_INT(mix[0].forced, 0);
        /* the second time the free cells are there beside the forced ones */
        CHECK_INT(evaluated, policy == ENG_CONTINUE ? 100 : 1);
    }
    /* A tail of forced rows behind a free text: only the free part serves again. */
    CHECK(eng_session_sync(s, t, 90, ENG_CONTINUE, NULL, NULL, err) == 0);
    eng_row rows[10];
    for (int i = 0; i < 10; i++)
        rows[i] = (eng_row){ .session = s, .token = t[90 + i], .want = ENG_WANT_LOGITS, .forced = i % 2 ? NULL : forced, .forced_k = 1 };
    CHECK(eng_session_sync(f, NULL, 0, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(eng_cache_step(eng_session_cache(s), rows, 10, true, NULL, err) == 0);
    CHECK_INT(eng_session_mix(s, mix, 4), 1);
    CHECK_INT(mix[0].forced, 5);
    CHECK_INT(eng_session_length(s), 100);
    CHECK(eng_session_sync(s, t, 100, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_sync(f, t, 100, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(same_logits(s, f));
    CHECK(eng_session_mix(s, mix, 4) == 1 && mix[0].forced == 0);
    free(forced);
    eng_session_free(s);
    eng_session_free(f);
    eng_config_free(c);
    eng_model_free(m);
}

static int contexts;
static int (*ctx_new_real)(ker_dev *, int, int, const atomic_int *, ker_ctx **, char *);
static int count_ctx(ker_dev *d, int rows, int k, const atomic_int *cancel, ker_ctx **out, char *err)
{
    contexts++;
    return ctx_new_real(d, rows, k, cancel, out, err);
}

/* Two configurations of one prefix, token by token in one pass: one context, the prefix held once, and the same bytes as
 * two caches that know nothing of each other. */
static void in_lock_step(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    ker_backend counting = *m->on.be;
    const ker_backend *real = m->on.be;
    ctx_new_real = real->ctx_new;
    counting.ctx_new = count_ctx;
    m->on.be = &counting;
    contexts = 0;
    eng_config *c = config_of(m, NULL, NULL), *d = config_of(m, "experts.k", "2");
    eng_cache *k = NULL;
    eng_session *a = NULL, *b = NULL, *alone[2] = { NULL, NULL };
    int32_t t[N + STEPS];
    int held, shared;
    text(t, N + STEPS, 2);
    CHECK(eng_cache_new(m, c, 2, &k, err) == 0 && eng_cache_session(k, c, &a, err) == 0);
    CHECK(eng_session_sync(a, t, N, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(eng_session_fork(a, &b, err) == 0 && eng_session_config(b, d, ENG_CONTINUE, err) == 0);
    CHECK_INT(contexts, 1);
    eng_cache_pages(k, &held, &shared);
    printf("# prefix of %d tokens: %d pages held, %d shared", N, held, shared);
    CHECK_INT(held, 3);
    CHECK_INT(shared, 3);
    CHECK(same_logits(a, b));
    for (int i = 0; i < STEPS; i++) {
        eng_row rows[2] = { { .session = a, .token = t[N + i], .want = ENG_WANT_LOGITS }, { .session = b, .token = t[N + i], .want = ENG_WANT_LOGITS } };
        CHECK(eng_cache_step(k, rows, 2, true, NULL, err) == 0);
    }
    eng_cache_pages(k, &held, &shared);
    printf("; after %d steps %d held, %d shared\n", STEPS, held, shared);
    CHECK_INT(held, 4);
    CHECK_INT(shared, 2);
    CHECK(!same_logits(a, b));
    for (int i = 0; i < 2; i++) {
        CHECK(eng_session_new(m, c, &alone[i], err) == 0 && eng_session_sync(alone[i], t, N, ENG_CONTINUE, NULL, NULL, err) == 0);
        CHECK(i == 0 || eng_session_config(alone[i], d, ENG_CONTINUE, err) == 0);
        for (int j = 0; j < STEPS; j++)
            CHECK(eng_session_push(alone[i], t[N + j], err) == 0);
        CHECK(same_logits(alone[i], i ? b : a));
    }
    eng_mix mix[4];
    CHECK(eng_session_mix(b, mix, 4) == 2 && mix[0].cells == N && mix[1].cells == STEPS && mix[1].config == eng_config_hash(d));
    CHECK(eng_session_mix(a, mix, 4) == 1);
    eng_session_free(a);
    eng_session_free(b);
    eng_session_free(alone[0]);
    eng_session_free(alone[1]);
    eng_cache_free(k);
    m->on.be = real;
    eng_config_free(c);
    eng_config_free(d);
    eng_model_free(m);
}

/* Three timelines of different lengths, texts and configurations, several rows each, one of them forced: the logits, hidden
 * states and records of each are those of its own step alone. */
static void mixed_rows_of(const char *name)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of(name);
    if (!m)
        return;
    enum { ROWS = 9 };
    static const int len[3] = { 70, 3, 128 }, rows_of[3] = { 4, 3, 2 };
    const eng_info *o = eng_model_info(m);
    eng_config *c[3] = { config_of(m, NULL, NULL), config_of(m, "experts.k", "1"), config_of(m, "norm.eps", "0.01") };
    eng_config *other = config_of(m, "experts.temperature", "2");
    eng_cache *k = NULL;
    eng_session *s[3], *one[3];
    uint16_t *forced = q_alloc(sizeof *forced * 2 * (size_t)o->n_layer);
    float *logits = q_alloc(sizeof *logits * ROWS * (size_t)o->n_vocab), *hidden = q_alloc(sizeof *hidden * ROWS * (size_t)o->n_embd);
    eng_out *out = q_alloc(sizeof *out);
    eng_row rows[ROWS];
    for (int l = 0; l < o->n_layer; l++) {
        forced[2 * l] = 1;
        forced[2 * l + 1] = (uint16_t)(o->n_expert - 1);
    }
    CHECK(eng_cache_new(m, c[0], 3, &k, err) == 0);
    for (int i = 0, at = 0; i < 3; i++) {
        int32_t t[200];
        text(t, 200, 10 + i);
        CHECK(eng_cache_session(k, c[i], &s[i], err) == 0 && eng_session_sync(s[i], t, len[i], ENG_CONTINUE, NULL, NULL, err) == 0);
        CHECK(eng_session_new(m, c[i], &one[i], err) == 0 && eng_session_sync(one[i], t, len[i], ENG_CONTINUE, NULL, NULL, err) == 0);
        for (int r = 0; r < rows_of[i]; r++)
            rows[at++] = (eng_row){ .session = s[i], .token = t[len[i] + r], .want = ENG_WANT_LOGITS | (r == 1 ? ENG_WANT_HIDDEN : 0) };
    }
    rows[2].config = other;
    rows[5].forced = forced;
    rows[5].forced_k = 2;
    rows[7].want = ENG_WANT_NOTHING;
    int rc = eng_cache_step(k, rows, ROWS, true, out, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    for (int r = 0; r < ROWS && !rc; r++) {
        CHECK((out->logits[r] != NULL) == ((rows[r].want & ENG_WANT_LOGITS) != 0) && (out->hidden[r] != NULL) == ((rows[r].want & ENG_WANT_HIDDEN) != 0));
        if (out->logits[r])
            memcpy(logits + (size_t)r * (size_t)o->n_vocab, out->logits[r], sizeof *logits * (size_t)o->n_vocab);
        if (out->hidden[r])
            memcpy(hidden + (size_t)r * (size_t)o->n_embd, out->hidden[r], sizeof *hidden * (size_t)o->n_embd);
    }
    CHECK(out->ids[(size_t)(o->n_layer - 1) * ROWS * (size_t)out->max_k + 5 * (size_t)out->max_k + 1] == o->n_expert - 1);
    for (int i = 0, at = 0; i < 3 && !rc; at += rows_of[i++])
        for (int r = at; r < at + rows_of[i] && !rc; r++) {
            eng_row row = rows[r];
            row.session = one[i];
            CHECK((rc = eng_cache_step(eng_session_cache(one[i]), &row, 1, true, out, err)) == 0);
            CHECK(!out->logits[0] || memcmp(out->logits[0], logits + (size_t)r * (size_t)o->n_vocab, sizeof *logits * (size_t)o->n_vocab) == 0);
            CHECK(!out->hidden[0] || memcmp(out->hidden[0], hidden + (size_t)r * (size_t)o->n_embd, sizeof *hidden * (size_t)o->n_embd) == 0);
        }
    for (int i = 0; i < 3; i++) {
        eng_mix a[4], b[4];
        told x = tell(s[i]), y = tell(one[i]);
        int n = eng_session_mix(s[i], a, 4);
        CHECK(x.n == y.n && x.n == (uint64_t)(len[i] + rows_of[i]));
        CHECK(i == 1 || x.hash == y.hash);       /* forced rows beside free ones widen a record's k */
        CHECK(n == eng_session_mix(one[i], b, 4) && memcmp(a, b, sizeof *a * (size_t)n) == 0);
        CHECK(eng_session_push(s[i], 7, err) == 0 && eng_session_push(one[i], 7, err) == 0 && same_logits(s[i], one[i]));
        eng_session_free(s[i]);
        eng_session_free(one[i]);
        eng_config_free(c[i]);
    }
    eng_config_free(other);
    eng_cache_free(k);
    free(forced);
    free(logits);
    free(hidden);
    free(out);
    eng_model_free(m);
}

static void mixed_rows(void)
{
    mixed_rows_of("qwen3moe");
    mixed_rows_of("glm4moe");
    mixed_rows_of("deepseek2");
}

/* What is tried and not kept changes neither logits, text, mix, records nor pages, and no later byte. */
static void uncommitted_leaves_nothing(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    eng_config *c = config_of(m, NULL, NULL), *d = config_of(m, "experts.ban", "0:1");
    eng_session *s = NULL, *f = NULL;
    eng_out *out = q_alloc(sizeof *out);
    static const int lens[] = { 1, 63, 64, 65, 128, 150 };
    int n_vocab = eng_model_info(m)->n_vocab;
    float *before = q_alloc(sizeof *before * (size_t)n_vocab);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        int32_t t[250];
        eng_mix a[4], b[4];
        int n = lens[i], held[2], shared[2];
        text(t, 250, 30);
        CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_new(m, c, &f, err) == 0);
        CHECK(eng_session_sync(s, t, n, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_sync(f, t, n, ENG_CONTINUE, NULL, NULL, err) == 0);
        memcpy(before, eng_session_logits(s), sizeof *before * (size_t)n_vocab);
        told x = tell(s);
        eng_session_mix(s, a, 4);
        eng_cache_pages(eng_session_cache(s), &held[0], &shared[0]);
        eng_row rows[80];
        for (int r = 0; r < 80; r++)
            rows[r] = (eng_row){ .session = s, .token = t[n + r], .want = ENG_WANT_LOGITS, .config = r % 2 ? d : NULL };
        for (int count = 1; count <= 80; count += 79) {
            CHECK(eng_cache_step(eng_session_cache(s), rows, count, false, out, err) == 0);
            CHECK(out->logits[count - 1] != NULL);
            CHECK(eng_session_length(s) == n && session_cells(s) == n);
            CHECK(eng_session_logits(s) && memcmp(eng_session_logits(s), before, sizeof *before * (size_t)n_vocab) == 0);
            told y = tell(s);
            CHECK(x.n == y.n && x.hash == y.hash);
            CHECK(eng_session_mix(s, b, 4) == 1 && memcmp(a, b, sizeof *a) == 0);
            eng_cache_pages(eng_session_cache(s), &held[1], &shared[1]);
            CHECK(held[0] == held[1] && shared[1] == 0);
        }
        /* A draft that turns out right gives the bytes that keeping it gives; what came after it was not remembered. */
        for (int r = 0; r < 80; r++)
            rows[r].config = NULL;
        CHECK(eng_cache_step(eng_session_cache(s), rows, 3, false, out, err) == 0);
        memcpy(before, out->logits[2], sizeof *before * (size_t)n_vocab);
        eng_session_speed_reset(s);
        CHECK(eng_session_sync(s, t, n + 3, ENG_CONTINUE, NULL, NULL, err) == 0);
        CHECK_INT(eng_session_speed(s).prefill_tokens, 3);
        CHECK(memcmp(eng_session_logits(s), before, sizeof *before * (size_t)n_vocab) == 0);
        for (int r = 3; r < 100; r++)
            CHECK(eng_session_push(s, t[n + r], err) == 0);
        for (int r = 0; r < 100; r++)
            CHECK(eng_session_push(f, t[n + r], err) == 0);
        CHECK(same_logits(s, f));
        eng_session_free(s);
        eng_session_free(f);
    }
    /* A step aside that is stopped leaves nothing either. */
    CHECK(eng_session_new(m, c, &s, err) == 0);
    CHECK(eng_session_sync(s, (int32_t[]){ 1, 2, 3 }, 3, ENG_CONTINUE, NULL, NULL, err) == 0);
    memcpy(before, eng_session_logits(s), sizeof *before * (size_t)n_vocab);
    eng_row row = { .session = s, .token = 4, .want = ENG_WANT_LOGITS };
    eng_session_cancel(s);
    CHECK_INT(eng_cache_step(eng_session_cache(s), &row, 1, false, NULL, err), Q_CANCEL);
    CHECK(memcmp(eng_session_logits(s), before, sizeof *before * (size_t)n_vocab) == 0);
    CHECK_INT(eng_cache_step(eng_session_cache(s), &row, 1, true, NULL, err), Q_CANCEL);
    CHECK(eng_session_length(s) == 3 && session_cells(s) == 3 && !eng_session_logits(s));
    eng_session_uncancel(s);
    eng_session_free(s);
    eng_config_free(c);
    eng_config_free(d);
    free(out);
    free(before);
    eng_model_free(m);
}

/* Forks share what they have in common and nothing else; a cut takes back; the last one closes the cache. */
static void forks(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("glm4moe");
    if (!m)
        return;
    eng_config *c = config_of(m, NULL, NULL), *theta = config_of(m, "rope.theta", "500000"), *f16 = config_of(m, "kv.type", "f16");
    eng_config *shorter = config_of(m, "context.length", "200"), *longer = config_of(m, "context.length", "500");
    eng_session *a = NULL, *b = NULL, *d = NULL, *fresh = NULL;
    int32_t t[200];
    int held, shared;
    text(t, 200, 50);
    CHECK(eng_session_new(m, c, &a, err) == 0 && eng_session_sync(a, t, 100, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(eng_session_new(m, c, &fresh, err) == 0);
    CHECK(eng_session_fork(a, &b, err) == 0 && eng_session_fork(b, &d, err) == 0);
    CHECK(same_logits(a, b) && same_logits(b, d) && eng_session_length(d) == 100);
    CHECK(memcmp(eng_session_tokens(d), t, sizeof *t * 100) == 0);
    CHECK(eng_trace_end(b) == 0);
    for (int i = 0; i < 40; i++) {                     /* each goes its own way, over a page's border */
        CHECK(eng_session_push(a, t[100 + i], err) == 0 && eng_session_push(b, t[i], err) == 0);
        CHECK(eng_session_logits(d) != NULL);
    }
    CHECK(eng_session_push(d, 9, err) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(eng_session_sync(fresh, t, 100, ENG_CONTINUE, NULL, NULL, err) == 0);
        for (int j = 0; j < 40; j++)
            CHECK(eng_session_push(fresh, i ? t[j] : t[100 + j], err) == 0);
        CHECK(same_logits(fresh, i ? b : a));
    }
    eng_cache_pages(eng_session_cache(a), &held, &shared);
    CHECK_INT(held, 6);                                /* one page in common, and 2 + 2 + 1 */
    CHECK_INT(shared, 1);
    CHECK_INT(eng_session_cut(d, 102, err), Q_RANGE);
    CHECK(eng_session_cut(d, 64, err) == 0 && eng_session_length(d) == 64 && session_cells(d) == 64 && !eng_session_logits(d));
    CHECK(eng_session_cut(b, 70, err) == 0 && eng_session_push(b, 3, err) == 0 && eng_session_push(d, 3, err) == 0);
    memcpy(t + 100, t, sizeof *t * 64);
    CHECK(eng_session_sync(fresh, t, 70, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_push(fresh, 3, err) == 0 && same_logits(fresh, b));
    CHECK(eng_session_sync(fresh, t, 64, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_push(fresh, 3, err) == 0 && same_logits(fresh, d));
    /* Two cuts of one full page extended at once: each on cells of its own. */
    CHECK(eng_session_cut(b, 40, err) == 0 && eng_session_cut(d, 40, err) == 0);
    eng_row rows[2] = { { .session = b, .token = 5, .want = ENG_WANT_LOGITS }, { .session = d, .token = 6, .want = ENG_WANT_LOGITS } };
    CHECK(eng_cache_step(eng_session_cache(a), rows, 2, true, NULL, err) == 0);
    CHECK(eng_session_sync(fresh, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_push(fresh, 5, err) == 0 && same_logits(fresh, b));
    CHECK(eng_session_sync(fresh, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_push(fresh, 6, err) == 0 && same_logits(fresh, d));
    /* A position knob: one fork drops its cells, the others keep theirs. */
    CHECK(eng_session_config(d, theta, ENG_CONTINUE, err) == 0 && session_cells(d) == 0 && session_cells(b) == 41);
    /* The logits at hand still choose its next token, whatever is tried out meanwhile. */
    int n_vocab = eng_model_info(m)->n_vocab;
    float *at_hand = q_alloc(sizeof *at_hand * (size_t)n_vocab);
    CHECK(eng_session_logits(d) != NULL);
    if (eng_session_logits(d)) memcpy(at_hand, eng_session_logits(d), sizeof *at_hand * (size_t)n_vocab);
    eng_row aside = { .session = d, .token = 9, .want = ENG_WANT_LOGITS };
    CHECK(eng_cache_step(eng_session_cache(d), &aside, 1, false, NULL, err) == 0 && session_cells(d) == 41);
    CHECK(eng_session_logits(d) && memcmp(eng_session_logits(d), at_hand, sizeof *at_hand * (size_t)n_vocab) == 0);
    free(at_hand);
    CHECK(eng_session_push(d, 7, err) == 0 && eng_session_length(d) == 42);
    /* What one timeline may not do to a cache of several, and may when it is alone. */
    CHECK_INT(eng_session_config(b, f16, ENG_CONTINUE, err), Q_RANGE);
    CHECK_INT(eng_session_config(b, longer, ENG_CONTINUE, err), Q_RANGE);
    CHECK(eng_session_config(b, shorter, ENG_CONTINUE, err) == 0 && eng_session_room(b) == 200 - 41 && session_cells(b) == 41);
    eng_session_free(a);
    eng_session_free(d);
    CHECK(eng_session_push(b, 8, err) == 0);
    CHECK(eng_session_config(b, f16, ENG_CONTINUE, err) == 0 && session_cells(b) == 0 && eng_session_room(b) == 400 - 42);
    CHECK(eng_session_push(b, 9, err) == 0 && eng_session_length(b) == 43);
    eng_session_free(b);
    eng_session_free(fresh);
    eng_config_free(c);
    eng_config_free(theta);
    eng_config_free(f16);
    eng_config_free(shorter);
    eng_config_free(longer);
    eng_model_free(m);
}

/* Steps that cannot be are refused with a sentence, and nothing has happened then. */
static void wrong_steps_are_refused(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    eng_config *c = config_of(m, NULL, NULL), *theta = config_of(m, "rope.theta", "500000"), *small = config_of(m, "context.length", "20");
    eng_cache *k = NULL, *tiny = NULL;
    eng_session *a = NULL, *b = NULL, *other = NULL, *s = NULL;
    CHECK(eng_cache_new(m, c, 2, &k, err) == 0 && eng_cache_session(k, c, &a, err) == 0 && eng_cache_session(k, c, &b, err) == 0);
    CHECK(eng_session_new(m, c, &other, err) == 0);
    int n_layer = eng_model_info(m)->n_layer;
    uint16_t *forced = q_alloc(sizeof *forced * 2 * (size_t)n_layer);          /* 0 and 0 */
    struct { eng_row rows[3]; int n, rc; const char *says; } bad[] = {
        { { { .session = a } }, 0, Q_RANGE, "1 to 512 rows" },
        { { { .session = a } }, 513, Q_RANGE, "1 to 512 rows" },
        { { { .session = a }, { .session = b }, { .session = a } }, 3, Q_ERR, "follow one another" },
        { { { .session = a }, { .session = other } }, 2, Q_ERR, "another cache" },
        { { { .session = a, .token = 1 << 20 } }, 1, Q_RANGE, "not in the vocabulary" },
        { { { .session = a, .config = theta } }, 1, Q_RANGE, "rope.*" },
        { { { .session = a, .forced = forced, .forced_k = 2 } }, 1, Q_RANGE, "stands there twice" },
        { { { .session = a, .forced = forced, .forced_k = 1000 } }, 1, Q_RANGE, "does not suit" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int rc = eng_cache_step(k, bad[i].rows, bad[i].n, true, NULL, err);
        CHECK_MSG(rc == bad[i].rc && strstr(err, bad[i].says), "%d: %d, %s", (int)i, rc, rc ? err : "");
        CHECK(eng_session_length(a) == 0 && eng_session_length(b) == 0 && eng_session_length(other) == 0);
    }
    /* 20 tokens each for two timelines: a third finds no page, and the two do not notice. */
    CHECK(eng_cache_new(m, small, 1, &tiny, err) == 0);
    CHECK_INT(eng_cache_session(tiny, c, &s, err), Q_RANGE);
    eng_session *many[64];
    int n = 0, rc = 0;
    for (; n < 64 && !rc; n++) {
        CHECK(eng_cache_session(tiny, small, &many[n], err) == 0);
        rc = eng_session_push(many[n], n, err);
    }
    CHECK_INT(rc, Q_NOMEM);
    CHECK_MSG(strstr(err, "context.length"), "%s", err);
    CHECK(n > 1 && n < 64 && eng_session_length(many[n - 1]) == 0);
    CHECK(eng_session_push(many[0], 1, err) == 0 && eng_session_length(many[0]) == 2);
    eng_session_free(many[1]);
    CHECK(eng_session_push(many[n - 1], 1, err) == 0);
    for (int i = 0; i < n; i++)
        if (i != 1)
            eng_session_free(many[i]);
    CHECK(eng_session_new(m, small, &s, err) == 0);
    for (int i = 0; i < 20; i++)
        CHECK(eng_session_push(s, i, err) == 0);
    CHECK_INT(eng_cache_step(eng_session_cache(s), &(eng_row){ .session = s }, 1, false, NULL, err), Q_RANGE);
    eng_session_free(s);
    free(forced);
    eng_session_free(a);
    eng_session_free(b);
    eng_session_free(other);
    eng_cache_free(k);
    eng_cache_free(tiny);
    eng_config_free(c);
    eng_config_free(theta);
    eng_config_free(small);
    eng_model_free(m);
}

/* More configurations than a context has slots: each is put again when it is its turn. */
static void slots_come_round(void)
{
    char err[Q_ERRLEN], v[32];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    eng_config *c = config_of(m, NULL, NULL);
    eng_session *s = NULL, *f = NULL;
    CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_sync(s, (int32_t[]){ 1, 2, 3 }, 3, ENG_CONTINUE, NULL, NULL, err) == 0);
    eng_config *many[300];
    for (int i = 0; i < 300; i++) {
        snprintf(v, sizeof v, "%.4f", 1e-3 * (i + 1));
        many[i] = config_of(m, "norm.eps", v);
    }
    eng_row *rows = q_alloc(sizeof *rows * 300);
    eng_out *out = q_alloc(sizeof *out);
    for (int i = 0; i < 300; i++)
        rows[i] = (eng_row){ .session = s, .token = i, .want = ENG_WANT_LOGITS, .config = many[i] };
    CHECK_INT(eng_cache_step(eng_session_cache(s), rows, 300, true, out, err), Q_RANGE);
    CHECK_MSG(strstr(err, "256"), "%s", err);
    CHECK_INT(eng_session_length(s), 3);
    for (int at = 0; at < 300; at += 150)
        CHECK(eng_cache_step(eng_session_cache(s), rows + at, 150, true, out, err) == 0);
    for (int i = 0; i < 300; i += 37) {                /* each in turn, those that were pushed out too */
        CHECK(eng_cache_step(eng_session_cache(s), &(eng_row){ .session = s, .token = 5, .want = ENG_WANT_LOGITS, .config = many[i] }, 1, false, out, err) == 0);
        if (!f)
            CHECK(eng_session_fork(s, &f, err) == 0);
        CHECK(eng_session_config(f, many[i], ENG_CONTINUE, err) == 0 && eng_session_cut(f, 303, err) == 0);
        float *was = q_alloc(sizeof *was * (size_t)eng_model_info(m)->n_vocab);
        memcpy(was, out->logits[0], sizeof *was * (size_t)eng_model_info(m)->n_vocab);
        CHECK(eng_session_push(f, 5, err) == 0);
        CHECK(memcmp(was, eng_session_logits(f), sizeof *was * (size_t)eng_model_info(m)->n_vocab) == 0);
        free(was);
    }
    eng_session_free(s);
    eng_session_free(f);
    for (int i = 0; i < 300; i++)
        eng_config_free(many[i]);
    free(rows);
    free(out);
    eng_config_free(c);
    eng_model_free(m);
}

/* More settings than slots with no pass between them, before the first one and after one: each is taken, and the last counts. */
static void settings_between_passes(void)
{
    char err[Q_ERRLEN], v[32];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    eng_config *c = config_of(m, NULL, NULL);
    eng_session *s = NULL, *f = NULL;
    CHECK(eng_session_new(m, c, &s, err) == 0);
    for (int round = 0; round < 2; round++) {
        eng_config *last = NULL;
        for (int i = 0; i < 600; i++) {
            snprintf(v, sizeof v, "%.4f", 1e-3 * (i + 1 + 600 * round));
            eng_config_free(last);
            last = config_of(m, "norm.eps", v);
            int rc = eng_session_config(s, last, ENG_RECOMPUTE, err);
            CHECK_MSG(rc == 0, "%d: %s", i, rc ? err : "");
        }
        CHECK(eng_session_new(m, last, &f, err) == 0);
        CHECK(eng_session_sync(s, (int32_t[]){ 1, 2, 3 }, 3, ENG_RECOMPUTE, NULL, NULL, err) == 0);
        CHECK(eng_session_sync(f, (int32_t[]){ 1, 2, 3 }, 3, ENG_RECOMPUTE, NULL, NULL, err) == 0);
        CHECK(same_logits(s, f));
        eng_session_free(f);
        eng_config_free(last);
    }
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

/* Cells of another timeline that still runs serve a new one, under the same settings alone; kept logits stay where they are while others go on. */
static void beginnings_are_found(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    eng_config *c = config_of(m, NULL, NULL), *k1 = config_of(m, "experts.k", "1");
    eng_cache *k = NULL;
    eng_session *a = NULL, *b = NULL, *d = NULL, *fresh = NULL;
    int32_t t[200], wrong[2] = { 1, 1 << 30 };
    int held, shared;
    text(t, 200, 51);
    CHECK(eng_cache_new(m, c, 3, &k, err) == 0 && eng_cache_session(k, c, &a, err) == 0 && eng_cache_session(k, c, &b, err) == 0 && eng_cache_session(k, k1, &d, err) == 0);
    CHECK(eng_session_sync(a, t, 150, ENG_RECOMPUTE, NULL, NULL, err) == 0);
    eng_cache_pages(k, &held, &shared);
    CHECK(held == 3 && shared == 0 && eng_cache_room(k) >= 3 * (400 / 64 + 1));
    int32_t other = t[149];
    t[149] = (other + 1) % 300;          /* what it begins with is found to the token */
    CHECK_INT(eng_session_reuse(b, t, 180, ENG_RECOMPUTE, err), 149);
    CHECK(eng_session_length(b) == 149 && !eng_session_logits(b) && memcmp(eng_session_tokens(b), t, sizeof *t * 149) == 0);
    eng_cache_pages(k, &held, &shared);
    CHECK(held == 3 && shared == 3);
    CHECK_INT(eng_session_reuse(d, t, 180, ENG_RECOMPUTE, err), 0);
    CHECK_INT(eng_session_reuse(b, wrong, 2, ENG_RECOMPUTE, err), Q_RANGE);
    CHECK_INT(eng_session_reuse(b, t, 401, ENG_RECOMPUTE, err), Q_RANGE);
    CHECK(eng_session_length(b) == 149);
    const float *kept = eng_session_keep(a);
    CHECK(kept && kept == eng_session_logits(a) && kept == eng_session_keep(a) && !eng_session_keep(b));
    float *copy = q_alloc(sizeof *copy * (size_t)eng_model_info(m)->n_vocab);
    memcpy(copy, kept, sizeof *copy * (size_t)eng_model_info(m)->n_vocab);
    CHECK(eng_session_sync(b, t, 180, ENG_RECOMPUTE, NULL, NULL, err) == 0);
    CHECK(kept == eng_session_logits(a) && memcmp(copy, kept, sizeof *copy * (size_t)eng_model_info(m)->n_vocab) == 0);
    CHECK(eng_session_new(m, c, &fresh, err) == 0 && eng_session_sync(fresh, t, 180, ENG_RECOMPUTE, NULL, NULL, err) == 0 && same_logits(b, fresh));
    CHECK_INT(eng_session_reuse(a, NULL, 0, ENG_RECOMPUTE, err), 0);       /* it lets all go, and finds it again */
    CHECK_INT(eng_session_reuse(a, t, 149, ENG_RECOMPUTE, err), 149);
    free(copy);
    eng_session_free(a);
    eng_session_free(b);
    eng_session_free(d);
    eng_session_free(fresh);
    eng_cache_free(k);
    eng_config_free(c);
    eng_config_free(k1);
    eng_model_free(m);
}

int main(void)
{
    RUN(forced_cells_are_not_free_ones);
    RUN(in_lock_step);
    RUN(mixed_rows);
    RUN(uncommitted_leaves_nothing);
    RUN(forks);
    RUN(beginnings_are_found);
    RUN(wrong_steps_are_refused);
    RUN(slots_come_round);
    RUN(settings_between_passes);
    return TEST_END();
}
