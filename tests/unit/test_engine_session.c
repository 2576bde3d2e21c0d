/* Sessions: a stateful fuzz (evaluate, push, branch, knob, cancel, overflow, a second session in between, over one cache
 * with forks and rows tried aside), whose every step is compared with a fresh session, bit for bit; cancelling from
 * another thread; the ring. The seed is fixed; QUORUM_FUZZ_SEED and QUORUM_FUZZ_STEPS (make fuzz-session) choose another
 * and longer run. */
#include "engine/engine.h"
#include "engine/run/session.h"
#include "engine/run/trace.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <pthread.h>
#include <time.h>

static uint64_t rng;
static uint32_t rnd(uint32_t n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return n ? (uint32_t)(rng >> 33) % n : 0;
}

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

/* Every configuration that was ever used, by hash. */
typedef struct book { eng_config *c[4096]; uint64_t h[4096]; int n; } book;

static const eng_config *book_find(const book *b, uint64_t h)
{
    for (int i = 0; i < b->n; i++)
        if (b->h[i] == h)
            return b->c[i];
    return NULL;
}

static void book_add(book *b, const eng_config *c)
{
    if (b->n < 4096 && !book_find(b, eng_config_hash(c))) {
        b->h[b->n] = eng_config_hash(c);
        b->c[b->n++] = eng_config_copy(c);
    }
}

/* What the logits at hand came from, and themselves. Under `continue` they stay when a knob exchanges the cells or drops them, also
 * while others' steps bring the cells back; so they belong to the timeline only as long as it is made as it was then. */
typedef struct origin { uint64_t made; float *logits; } origin;

static uint64_t made_of(const eng_session *s)
{
    uint64_t h = 1;
    for (int i = 0; i < session_cells(s); i++)
        h = q_mix64(q_mix64(h, (uint64_t)eng_session_tokens(s)[i]), session_cell_config(s, i));
    return h;
}

static size_t logits_bytes(eng_session *s) { return sizeof(float) * (size_t)eng_model_info(eng_cache_model(eng_session_cache(s)))->n_vocab; }

/* The session's last token was evaluated just now. */
static void origin_set(origin *o, eng_session *s)
{
    if (!o->logits)
        o->logits = q_alloc(logits_bytes(s));
    o->made = made_of(s);
    if (eng_session_logits(s))
        memcpy(o->logits, eng_session_logits(s), logits_bytes(s));
}

static void origin_copy(origin *to, const origin *from, eng_session *s)
{
    if (!to->logits)
        to->logits = q_alloc(logits_bytes(s));
    to->made = from->made;
    memcpy(to->logits, from->logits, logits_bytes(s));
}

/* Evaluates the session's timeline anew, each cell under the configuration that the session says made it:
 * the logits must be the same bytes. So provenance is true and nothing else leaks into a cell. */
static bool cells_as_fresh(eng_model *m, eng_session *s, const book *b)
{
    char err[Q_ERRLEN];
    eng_session *f = NULL;
    int n = eng_session_length(s), n_vocab = eng_model_info(m)->n_vocab;
    const float *logits = eng_session_logits(s);
    if (!logits || session_cells(s) != n)
        return true;                   /* nothing to compare: cancelled or dropped */
    for (int at = 0; at < n;) {
        uint64_t h = session_cell_config(s, at);
        int end = at;
        while (end < n && session_cell_config(s, end) == h)
            end++;
        const eng_config *c = book_find(b, h);
        if (!c) {
            CHECK_MSG(0, "cell %d: unknown configuration", at);
            break;
        }
        eng_config *same_size = eng_config_copy(c);            /* the length of the context is not in the hash */
        CHECK(eng_config_set(same_size, "context.length", "256", err) == 0);
        int rc = f ? eng_session_config(f, same_size, ENG_CONTINUE, err) : eng_session_new(m, same_size, &f, err);
        eng_config_free(same_size);
        if (!rc)
            rc = eng_session_sync(f, eng_session_tokens(s), end, ENG_CONTINUE, NULL, NULL, err);
        CHECK_MSG(rc == 0, "fresh session: %s", rc ? err : "");
        if (rc)
            break;
        at = end;
    }
    bool same = f && n > 0 && eng_session_logits(f) && memcmp(logits, eng_session_logits(f), sizeof(float) * (size_t)n_vocab) == 0;
    for (int i = 0; f && i < n; i++)
        same = same && session_cell_config(f, i) == session_cell_config(s, i);
    eng_session_free(f);
    return same || n == 0;
}

/* The logits at hand are those of their origin, and a fresh session's where the timeline still is. */
static bool same_as_fresh(eng_model *m, eng_session *s, const book *b, const origin *o)
{
    const float *l = eng_session_logits(s);
    bool kept = !l || (o->logits && memcmp(l, o->logits, logits_bytes(s)) == 0);
    return kept && (!l || made_of(s) != o->made || cells_as_fresh(m, s, b));
}

/* A different k for each layer. */
static const char *k_of_layers(const eng_info *o, char *to, size_t size)
{
    static const int some[] = { 1, 6, 11, 3 };
    for (int l = 0, at = 0; l < o->n_layer; l++)
        at += snprintf(to + at, size - (size_t)at, "%s%d", l ? "," : "", some[l % 4] <= o->n_expert ? some[l % 4] : o->n_expert);
    return to;
}

static void random_knob(eng_config *c, const eng_info *o)
{
    char v[64], err[Q_ERRLEN];
    int L = o->first_moe_layer + (int)rnd((uint32_t)o->n_moe_layer), E = (int)rnd((uint32_t)o->n_expert), rc = 0;
    switch (rnd(20)) {                 /* the rest: none, as /recompute does */
    case 0: case 1: snprintf(v, sizeof v, "%d", 1 + (int)rnd((uint32_t)o->n_expert)); rc = eng_config_set(c, "experts.k", v, err); break;
    case 2: rc = eng_config_set(c, "experts.k", rnd(2) ? k_of_layers(o, v, sizeof v) : "default", err); break;
    case 3: snprintf(v, sizeof v, "%d:%d", L, E); rc = eng_config_set(c, "experts.ban", rnd(3) ? v : "none", err); break;
    case 4: snprintf(v, sizeof v, "%d:%d=%d.5", L, E, (int)rnd(5) - 2); rc = eng_config_set(c, "experts.bias", rnd(3) ? v : "none", err); break;
    case 5: snprintf(v, sizeof v, "%d:%d", L, E); rc = eng_config_set(c, "experts.pin", rnd(3) ? v : "none", err); break;
    case 6: rc = eng_config_set(c, "experts.min_p", rnd(2) ? "0.5" : "0", err); break;
    case 7: rc = eng_config_set(c, "experts.temperature", rnd(2) ? "1.5" : "1", err); break;
    case 8: rc = eng_config_set(c, "rope_theta", rnd(2) ? "500000" : "default", err); break;
    case 9: rc = eng_config_set(c, "rope.scaling", rnd(2) ? "yarn" : rnd(2) ? "linear" : "none", err); break;
    case 10: rc = eng_config_set(c, "rope.factor", rnd(2) ? "4" : "2", err); break;
    case 11: rc = eng_config_set(c, "rms_norm_eps", rnd(2) ? "0.01" : "default", err); break;
    case 12: rc = eng_config_set(c, "attention.heads_off", rnd(2) ? o->n_head < 3 ? "2:1" : "1:2" : "none", err); break;
    case 13: rc = eng_config_set(c, "ffn.width", o->n_ff_sh && rnd(2) ? o->n_ff_exp < 32 ? "8" : "32" : "0", err); break;
    case 14: rc = eng_config_set(c, "kv.type", rnd(4) ? "f32" : "f16", err); break;
    case 15: snprintf(v, sizeof v, "%d", 150 + 10 * (int)rnd(5)); rc = eng_config_set(c, "context.length", v, err); break;
    case 16: rc = eng_config_set(c, "sampler.temperature", rnd(2) ? "0" : "1", err); break;
    }
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
}

typedef struct stopper { eng_session *s; int at; } stopper;
static void stop_now(void *user, int done, int total)
{
    stopper *k = user;
    (void)total;
    if (done >= k->at)
        eng_session_cancel(k->s);
}

enum { SAVED = 6, MAX_LEN = 200 };
typedef struct timeline { int32_t t[MAX_LEN]; int n; } timeline;

/* The timelines that came out of forks of s: each still is what a fresh session computes, whatever s did since. */
enum { FORKS = 3 };
typedef struct forks { eng_session *s[FORKS]; origin of[FORKS]; int made, moved; } forks;

static void fork_off(forks *k, eng_session *s, const origin *of)
{
    char err[Q_ERRLEN];
    int i = (int)rnd(FORKS);
    eng_session_free(k->s[i]);
    k->s[i] = NULL;
    int rc = eng_session_fork(s, &k->s[i], err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    origin_copy(&k->of[i], of, s);
    k->made++;
}

static void forks_end(forks *k)
{
    for (int i = 0; i < FORKS; i++) {
        eng_session_free(k->s[i]);
        k->s[i] = NULL;
        free(k->of[i].logits);
        k->of[i] = (origin){ 0 };
    }
}

/* One fork goes on, alone or in one step with s's own rows aside: cut, or a few tokens kept or only tried. */
static void forks_move(forks *k, eng_model *m, eng_session *s, const book *b)
{
    char err[Q_ERRLEN];
    int i = (int)rnd(FORKS), n_vocab = eng_model_info(m)->n_vocab, rc;
    eng_session *f = k->s[i];
    if (!f)
        return;
    int n = 1 + (int)rnd(4), len = eng_session_length(f);
    bool keep = rnd(2), beside = rnd(2) && eng_session_room(s) >= 3;
    if (rnd(4) == 0 && len > 0) {
        CHECK(eng_session_cut(f, 1 + (int)rnd((uint32_t)len), err) == 0);
        len = eng_session_length(f);
    }
    if (eng_session_room(f) < n)
        return;
    eng_row rows[8];
    int count = 0;
    for (int r = 0; r < n; r++)
        rows[count++] = (eng_row){ .session = f, .token = (int32_t)rnd((uint32_t)n_vocab), .want = ENG_WANT_LOGITS };
    for (int r = 0; !keep && beside && r < 3; r++)
        rows[count++] = (eng_row){ .session = s, .token = (int32_t)rnd((uint32_t)n_vocab), .want = r == 2 ? ENG_WANT_LOGITS : ENG_WANT_NOTHING };
    rc = eng_cache_step(eng_session_cache(f), rows, count, keep, NULL, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    CHECK_INT(eng_session_length(f), len + (keep ? n : 0));
    k->moved++;
    if (keep)
        origin_set(&k->of[i], f);
    CHECK_MSG(same_as_fresh(m, f, b, &k->of[i]), "a fork is not what a fresh session computes");
}

static void fuzz(const char *name, int steps)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of(name);
    if (!m)
        return;
    const eng_info *o = eng_model_info(m);
    book *b = q_alloc(sizeof *b);
    timeline *saved = q_alloc(sizeof *saved * SAVED), now = { .n = 0 };
    eng_session *s = NULL, *other = NULL;
    eng_config *c = eng_config_new(m), *oc;
    CHECK(eng_config_set(c, "kv.type", "f32", err) == 0);
    CHECK(eng_config_set(c, "context.length", "190", err) == 0);
    oc = eng_config_copy(c);
    CHECK(eng_config_set(oc, "experts.k", "3", err) == 0);
    book_add(b, c);
    eng_cache *cache = NULL;             /* with pages for the forks */
    CHECK(eng_cache_new(m, c, FORKS + 2, &cache, err) == 0 && eng_cache_session(cache, c, &s, err) == 0 && eng_session_new(m, oc, &other, err) == 0);
    int reused = 0, cancelled = 0, mixed = 0;
    forks fk = { .made = 0 };
    origin of = { 0 };
    for (int step = 0; step < steps && !test_bad; step++) {
        enum eng_policy policy = rnd(3) ? ENG_CONTINUE : ENG_RECOMPUTE;
        timeline next = now;
        int what = (int)rnd(8), rc = 0, room;
        session_set_chunk(s, 1 + (int)rnd(80));
        room = eng_session_length(s) + eng_session_room(s);
        switch (what) {
        case 0: case 1:                /* more text */
            for (int k = 1 + (int)rnd(60); k > 0 && next.n < room && next.n < MAX_LEN; k--)
                next.t[next.n++] = (int32_t)rnd((uint32_t)o->n_vocab);
            break;
        case 2:                        /* back to a branch, perhaps shortened, perhaps with another end */
            next = saved[rnd(SAVED)];
            if (next.n && rnd(2))
                next.n = 1 + (int)rnd((uint32_t)next.n);
            next.n = next.n > room ? room : next.n;
            for (int k = (int)rnd(20); k > 0 && next.n < room && next.n < MAX_LEN; k--)
                next.t[next.n++] = (int32_t)rnd((uint32_t)o->n_vocab);
            break;
        case 3: case 4: {              /* a knob */
            eng_config *d = eng_config_copy(c);
            random_knob(d, o);
            if (rnd(3) == 0)           /* else a knob that makes the cache anew is refused */
                forks_end(&fk);
            rc = eng_session_config(s, d, policy, err);
            CHECK_MSG(rc == 0 || rc == Q_RANGE, "%s", err);
            if (!rc) {
                eng_config_free(c);
                c = d;
                book_add(b, c);
            } else {
                eng_config_free(d);
            }
            CHECK(eng_session_length(s) == now.n);
            CHECK(rc || policy == ENG_CONTINUE || !eng_session_logits(s) || made_of(s) == of.made);
            break;
        }
        case 5: {                      /* cancelled before or inside the work */
            for (int k = 30; k > 0 && next.n < room && next.n < MAX_LEN; k--)
                next.t[next.n++] = (int32_t)rnd((uint32_t)o->n_vocab);
            if (next.n == 0)
                break;
            if (rnd(2))                /* the flag stays set until it is taken back, so this one is certain */
                eng_session_cancel(s);
            rc = eng_session_sync(s, next.t, next.n, policy, stop_now, &(stopper){ s, (int)rnd(40) }, err);
            CHECK(rc == 0 || rc == Q_CANCEL);
            cancelled += rc == Q_CANCEL;
            eng_session_uncancel(s);
            origin_set(&of, s);
            CHECK(eng_session_length(s) <= next.n && session_cells(s) == eng_session_length(s));
            CHECK(memcmp(eng_session_tokens(s), next.t, sizeof *next.t * (size_t)eng_session_length(s)) == 0);
            break;
        }
        case 6: {                      /* too long: refused, nothing changes */
            int32_t *big = q_alloc(sizeof *big * (size_t)(room + 1));
            int len = eng_session_length(s);
            const float *l = eng_session_logits(s);
            CHECK(eng_session_sync(s, big, room + 1, policy, NULL, NULL, err) == Q_RANGE);
            CHECK(eng_session_length(s) == len && eng_session_logits(s) == l);
            free(big);
            break;
        }
        case 7:                        /* decode */
            for (int k = 1 + (int)rnd(5); k > 0 && now.n < MAX_LEN && !rc; k--) {
                int32_t t = (int32_t)rnd((uint32_t)o->n_vocab);
                rc = eng_session_push(s, t, err);
                CHECK(rc == (now.n == room ? Q_RANGE : 0));
                if (!rc) {
                    now.t[now.n++] = t;
                    origin_set(&of, s);
                }
            }
            next = now;
            break;
        }
        if (what <= 2 && next.n > 0) {
            int before = session_cells(s);
            rc = eng_session_sync(s, next.t, next.n, policy, NULL, NULL, err);
            CHECK_MSG(rc == 0, "%s", rc ? err : "");
            CHECK(eng_session_length(s) == next.n && session_cells(s) == next.n);
            origin_set(&of, s);
            reused += before > 0 && eng_session_speed(s).prefill_tokens < next.n;
            eng_session_speed_reset(s);
            if (policy == ENG_RECOMPUTE)
                for (int i = 0; i < next.n; i++)
                    CHECK(session_cell_config(s, i) == eng_config_hash(c));
        }
        now.n = eng_session_length(s);
        memcpy(now.t, eng_session_tokens(s), sizeof *now.t * (size_t)now.n);
        if (now.n)
            saved[rnd(SAVED)] = now;
        eng_mix mix[8];
        mixed += eng_session_mix(s, mix, 8) > 1;
        CHECK_MSG(same_as_fresh(m, s, b, &of), "step %d (%d): not what a fresh session computes", step, what);
        if (rnd(3) == 0) {             /* another session of the same model, under another configuration */
            int32_t t[9];
            for (int k = 0; k < 9; k++)
                t[k] = (int32_t)rnd((uint32_t)o->n_vocab);
            CHECK(eng_session_sync(other, t, 9, ENG_CONTINUE, NULL, NULL, err) == 0);
            book ob = { .c = { oc }, .h = { eng_config_hash(oc) }, .n = 1 };
            CHECK(cells_as_fresh(m, other, &ob));
        }
        if (rnd(5) == 0 && eng_session_length(s) > 0)
            fork_off(&fk, s, &of);
        forks_move(&fk, m, s, b);
        forks_move(&fk, m, s, b);
        CHECK_MSG(same_as_fresh(m, s, b, &of), "step %d (%d): a fork has changed its origin", step, what);
    }
    forks_end(&fk);
    free(of.logits);
    printf("# %s: %d steps, %d syncs reused cells, %d cancelled, %d with mixed configurations, %d forks in %d steps of their own\n", name, steps,
           reused, cancelled, mixed, fk.made, fk.moved);
    CHECK(reused > steps / 40 && cancelled > 0 && mixed > steps / 40 && fk.made > steps / 20 && fk.moved > steps / 20);
    eng_session_free(s);
    eng_cache_free(cache);
    eng_session_free(other);
    eng_config_free(c);
    eng_config_free(oc);
    for (int i = 0; i < b->n; i++)
        eng_config_free(b->c[i]);
    free(b);
    free(saved);
    eng_model_free(m);
}

static int steps_wanted(int otherwise)
{
    const char *n = getenv("QUORUM_FUZZ_STEPS");
    return n ? atoi(n) : otherwise;
}

static void fuzz_qwen3moe(void) { fuzz("qwen3moe", steps_wanted(160)); }
static void fuzz_gpt_oss(void) { fuzz("gpt-oss", steps_wanted(80)); }        /* every second layer sees 20 cells */
static void fuzz_glm4moe(void) { fuzz("glm4moe", steps_wanted(160)); }
static void fuzz_deepseek2(void) { fuzz("deepseek2", steps_wanted(100)); }
static void fuzz_qwen3next(void) { fuzz("qwen3next", steps_wanted(160)); }    /* recurrent layers: borders, states */

/* ---- cells are found again, and only where they may be ---- */
static void reuse(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("glm4moe");
    if (!m)
        return;
    eng_session *s = NULL;
    eng_config *a = eng_config_new(m), *k2 = eng_config_new(m), *theta = eng_config_new(m);
    eng_config_set(k2, "experts.k", "2", err);
    eng_config_set(theta, "rope.theta", "500000", err);
    CHECK(eng_session_new(m, a, &s, err) == 0);
    int32_t one[150], two[150];
    for (int i = 0; i < 150; i++) {
        one[i] = i;
        two[i] = i < 100 ? i : 300 - i;
    }
#define EVALUATED(tokens, n, policy) (eng_session_speed_reset(s), eng_session_sync(s, tokens, n, policy, NULL, NULL, err), eng_session_speed(s).prefill_tokens)
    CHECK_INT(EVALUATED(one, 150, ENG_CONTINUE), 150);
    CHECK_INT(EVALUATED(two, 150, ENG_CONTINUE), 50);        /* one full page shared, the tail of 36 copied */
    CHECK_INT(EVALUATED(one, 150, ENG_CONTINUE), 1);         /* the former branch is still there */
    CHECK_INT(EVALUATED(two, 150, ENG_RECOMPUTE), 1);
    CHECK(eng_session_config(s, k2, ENG_CONTINUE, err) == 0);
    CHECK_INT(EVALUATED(two, 150, ENG_CONTINUE), 1);
    eng_mix mix[4];
    CHECK_INT(eng_session_mix(s, mix, 4), 2);
    CHECK(mix[0].config == eng_config_hash(a) && mix[0].cells == 149 && mix[1].cells == 1);
    CHECK_INT(EVALUATED(two, 150, ENG_RECOMPUTE), 150);
    CHECK_INT(eng_session_mix(s, mix, 4), 1);
    CHECK(eng_session_config(s, a, ENG_RECOMPUTE, err) == 0);
    CHECK_INT(EVALUATED(two, 150, ENG_RECOMPUTE), 1);        /* back to what was: its cells were kept */
    CHECK(eng_session_config(s, theta, ENG_CONTINUE, err) == 0);
    CHECK_INT(eng_session_length(s), 150);                   /* the text stays, its cells do not */
    CHECK_INT(session_cells(s), 0);
    CHECK_INT(EVALUATED(two, 150, ENG_CONTINUE), 150);
    CHECK(eng_session_config(s, a, ENG_CONTINUE, err) == 0);
    CHECK_INT(session_cells(s), 150);
    CHECK(eng_session_push(s, 5, err) == 0);
    CHECK_INT(eng_session_length(s), 151);
    eng_session_free(s);
    eng_config_free(a);
    eng_config_free(k2);
    eng_config_free(theta);
    eng_model_free(m);
}

/* ---- under `continue` the logits at hand outlive their cells; under `recompute` and in a saved state they do not ---- */
static void tried(eng_session *s)              /* what is missing is evaluated, a token tried behind it: no logits of s's own */
{
    char err[Q_ERRLEN];
    eng_row row = { .session = s, .token = 7, .want = ENG_WANT_LOGITS };
    int rc = eng_cache_step(eng_session_cache(s), &row, 1, false, NULL, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    CHECK_INT(session_cells(s), eng_session_length(s));
}

static void logits_of_former_cells(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("glm4moe");
    if (!m)
        return;
    eng_config *a = eng_config_new(m), *theta = eng_config_new(m);
    eng_cache *k = NULL;
    eng_session *s = NULL, *fork = NULL, *back = NULL;
    int32_t t[20];
    for (int i = 0; i < 20; i++)
        t[i] = 3 * i;
    CHECK(eng_config_set(theta, "rope.theta", "500000", err) == 0);
    CHECK(eng_cache_new(m, a, 3, &k, err) == 0 && eng_cache_session(k, a, &s, err) == 0);
    CHECK(eng_session_sync(s, t, 20, ENG_CONTINUE, NULL, NULL, err) == 0);
    size_t bytes = logits_bytes(s);
    float *of_a = q_alloc(bytes), *of_theta = q_alloc(bytes);
    memcpy(of_a, eng_session_logits(s), bytes);

    CHECK(eng_session_config(s, theta, ENG_CONTINUE, err) == 0);
    CHECK_INT(session_cells(s), 0);
    tried(s);
    CHECK(eng_session_logits(s) && memcmp(eng_session_logits(s), of_a, bytes) == 0);
    CHECK(eng_session_fork(s, &fork, err) == 0);
    CHECK(eng_session_logits(fork) && memcmp(eng_session_logits(fork), of_a, bytes) == 0);

    const char *build = getenv("BUILD");
    char *path = q_printf("%s/former-logits-%ld", build ? build : "build", (long)getpid());
    int rc = eng_state_save(s, path, "", 0, NULL, NULL, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    CHECK(eng_cache_session(k, theta, &back, err) == 0);
    rc = eng_state_load(back, path, NULL, NULL, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    CHECK_INT(session_cells(back), 20);
    CHECK(!eng_session_logits(back));          /* a file's logits are its cells' */
    remove(path);
    free(path);
    eng_session_free(back);

    CHECK(eng_session_config(fork, theta, ENG_RECOMPUTE, err) == 0);
    CHECK_INT(session_cells(fork), 20);
    CHECK(!eng_session_logits(fork));
    CHECK(eng_session_config(s, theta, ENG_RECOMPUTE, err) == 0);
    CHECK(!eng_session_logits(s));
    CHECK(eng_session_sync(s, t, 20, ENG_RECOMPUTE, NULL, NULL, err) == 0);
    memcpy(of_theta, eng_session_logits(s), bytes);
    CHECK(memcmp(of_theta, of_a, bytes) != 0);

    CHECK(eng_session_config(s, a, ENG_CONTINUE, err) == 0);
    CHECK_INT(session_cells(s), 20);           /* found again */
    CHECK(eng_session_logits(s) && memcmp(eng_session_logits(s), of_theta, bytes) == 0);
    CHECK(eng_session_config(s, theta, ENG_RECOMPUTE, err) == 0);
    CHECK(eng_session_logits(s) && memcmp(eng_session_logits(s), of_theta, bytes) == 0);     /* their cells are back */
    CHECK(eng_session_config(s, a, ENG_RECOMPUTE, err) == 0);
    CHECK(!eng_session_logits(s));
    free(of_a);
    free(of_theta);
    eng_session_free(s);
    eng_session_free(fork);
    eng_cache_free(k);
    eng_config_free(a);
    eng_config_free(theta);
    eng_model_free(m);
}

/* ---- cancel from another thread ---- */
static const int64_t WAIT_NS = 60 * 1000000000LL;      /* no machine is that slow */
static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

typedef struct canceller { eng_session *s; int delay_us; int64_t at; } canceller;
/* Cells that nobody read are a context like another: of every type and architecture numbers come behind them, what stands before is not read again, a fork shares
 * them, and what has a state is refused. */
static void made_up_cells(void)
{
    static const char *const names[] = { "qwen3moe", "gpt-oss", "deepseek2" }, *const types[] = { "f32", "f16", "q8_0", "q4_0" };
    char err[Q_ERRLEN];
    int32_t text[300];
    for (int i = 0; i < 300; i++) text[i] = i * 7 % 200;
    for (size_t a = 0; a < sizeof names / sizeof *names; a++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            eng_model *m = model_of(names[a]);
            eng_config *c = eng_config_new(m);
            eng_session *s = NULL, *f = NULL;
            CHECK(eng_config_set(c, "kv.type", types[t], err) == 0 && eng_config_set(c, "context.length", "300", err) == 0 && eng_session_new(m, c, &s, err) == 0);
            CHECK_MSG(eng_session_make_up(s, text, 200, err) == 0 && eng_session_length(s) == 200 && session_cells(s) == 200, "%s", err);
            CHECK(eng_session_make_up(s, text, 10, err) == Q_RANGE);
            CHECK(eng_session_fork(s, &f, err) == 0);
            eng_session_speed_reset(f);
            CHECK_MSG(eng_session_sync(f, text, 260, ENG_CONTINUE, NULL, NULL, err) == 0, "%s %s: %s", names[a], types[t], err);
            CHECK_INT(eng_session_speed(f).prefill_tokens, 60);
            CHECK(eng_session_push(f, 5, err) == 0);
            int finite = 0, n = eng_model_info(m)->n_vocab;
            for (int i = 0; i < n; i++) finite += isfinite(eng_session_logits(f)[i]) != 0;
            CHECK_INT(finite, n);
            CHECK(session_cells(s) == 200 && eng_session_make_up(s, text, 301, err) == Q_RANGE);
            eng_session_free(f);
            eng_session_free(s);
            CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_make_up(s, text, 301, err) == Q_RANGE && eng_session_make_up(s, (const int32_t[]){ -1 }, 1, err) == Q_RANGE && eng_session_make_up(s, text, 0, err) == 0);
            eng_session_free(s);
            eng_config_free(c);
            eng_model_free(m);
        }
    eng_model *m = model_of("qwen3next");
    eng_config *c = eng_config_new(m);
    eng_session *s = NULL;
    CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_make_up(s, text, 20, err) == Q_RANGE && strstr(err, "recurrent") && eng_session_length(s) == 0);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

static void *cancel_soon(void *arg)
{
    canceller *c = arg;
    struct timespec t = { 0, c->delay_us * 1000L };
    nanosleep(&t, NULL);
    c->at = q_now_ns();
    eng_session_cancel(c->s);
    return NULL;
}

static void cancel_from_thread(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("qwen3moe");
    if (!m)
        return;
    eng_session *s = NULL, *f = NULL;
    eng_config *c = eng_config_new(m);
    int32_t t[250];
    for (int i = 0; i < 250; i++)
        t[i] = i;
    eng_config_set(c, "kv.type", "f32", err);
    CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_new(m, c, &f, err) == 0);
    CHECK(eng_session_sync(f, t, 250, ENG_CONTINUE, NULL, NULL, err) == 0);
    int cancelled = 0;
    int64_t late[30];
    for (int i = 0; i < 30; i++) {
        canceller k = { .s = s, .delay_us = 100 * (i % 10) };
        pthread_t thread;
        CHECK(eng_session_sync(s, NULL, 0, ENG_CONTINUE, NULL, NULL, err) == 0);
        t[0] = i % 2 ? 1 : 0;          /* the other branch: most of the work is new */
        session_set_chunk(s, i % 3 ? 64 : 512);
        CHECK(eng_session_config(s, c, ENG_CONTINUE, err) == 0);
        pthread_create(&thread, NULL, cancel_soon, &k);
        int rc = 0;
        int64_t end = q_now_ns() + WAIT_NS;
        for (int j = 0; !rc && q_now_ns() < end; j++) {       /* as much work as it takes to be interrupted */
            t[1] = 1 + j % 300;
            rc = eng_session_sync(s, t, 250, ENG_CONTINUE, NULL, NULL, err);
        }
        end = q_now_ns();
        pthread_join(thread, NULL);
        CHECK_INT(rc, Q_CANCEL);
        if (rc == Q_CANCEL) {
            late[cancelled++] = end - k.at;
            CHECK(eng_session_logits(s) == NULL && eng_session_length(s) < 250);
        }
        eng_session_uncancel(s);
    }
    t[0] = 0;
    t[1] = 1;
    CHECK(eng_session_sync(s, t, 250, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(memcmp(eng_session_logits(s), eng_session_logits(f), sizeof(float) * (size_t)eng_model_info(m)->n_vocab) == 0);
    CHECK_INT(cancelled, 30);
    qsort(late, (size_t)cancelled, sizeof *late, by_time);
    if (cancelled)                     /* the median: a busy machine may hold any single run up */
        printf("# %d of 30 runs cancelled, median %.2f ms, at most %.2f ms after the call\n", cancelled, (double)late[cancelled / 2] / 1e6,
               (double)late[cancelled - 1] / 1e6);
    CHECK(!getenv("QUORUM_LONG") || (cancelled && late[cancelled / 2] < 50 * 1000000LL));
    eng_session_free(s);
    eng_session_free(f);
    eng_config_free(c);
    eng_model_free(m);
}

/* The default model, in the middle of a long prefill and in decode. */
static void cancel_default_model(void)
{
    char *path = util_default_model(), err[Q_ERRLEN];
    eng_model *m = NULL;
    eng_session *s = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    free(path);
    if (rc)
        return;
    eng_config *c = eng_config_new(m);
    CHECK(eng_session_new(m, c, &s, err) == 0);
    int32_t t[1500];
    int64_t late[8];
    for (int i = 0; i < 1500; i++)
        t[i] = (int32_t)rnd(40000);
    for (int i = 0; i < 8; i++) {
        canceller k = { .s = s, .delay_us = 20000 + 40000 * i };
        pthread_t thread;
        CHECK(eng_session_sync(s, t, 1, ENG_CONTINUE, NULL, NULL, err) == 0);
        t[0] = i;
        pthread_create(&thread, NULL, cancel_soon, &k);
        int64_t limit = q_now_ns() + WAIT_NS;
        do {
            t[1] = (int32_t)rnd(40000);
            rc = i % 2 ? eng_session_sync(s, t, 1500, ENG_CONTINUE, NULL, NULL, err) : eng_session_push(s, t[1], err);
        } while (rc == 0 && q_now_ns() < limit);
        late[i] = q_now_ns();
        pthread_join(thread, NULL);
        late[i] -= k.at;
        CHECK_INT(rc, Q_CANCEL);
        eng_session_uncancel(s);
    }
    qsort(late, 8, sizeof *late, by_time);
    printf("# default model: cancelled after %.2f ms (median of 8), at most %.2f ms\n", (double)late[4] / 1e6, (double)late[7] / 1e6);
    CHECK(!getenv("QUORUM_LONG") || late[4] < 50 * 1000000LL);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

/* ---- the trace ring ---- */
typedef struct seen { uint64_t next; int prompt, decode, bad, max_k; const eng_info *o; } seen;
static bool on_record(void *user, const eng_trace_rec *r)
{
    seen *v = user;
    v->bad += r->seq != v->next++ || r->n_layer != v->o->n_layer || (r->prompt ? r->weights != NULL : r->weights == NULL);
    for (int l = 0; l < r->n_layer; l++)
        for (int k = 0; k < r->max_k; k++) {
            uint16_t id = r->ids[l * r->max_k + k];
            v->bad += l < v->o->first_moe_layer ? id != 0xFFFF : id != 0xFFFF && id >= v->o->n_expert;
        }
    v->max_k = r->max_k;
    v->prompt += r->prompt;
    v->decode += !r->prompt;
    return true;
}

static void trace_ring(void)
{
    char err[Q_ERRLEN];
    eng_model *m = model_of("glm4moe");
    if (!m)
        return;
    eng_session *s = NULL;
    eng_config *c = eng_config_new(m);
    int32_t t[40] = { 1, 2, 3 };
    uint64_t cursor = 0;
    seen v = { .o = eng_model_info(m) };
    CHECK(eng_session_new(m, c, &s, err) == 0);
    CHECK(eng_session_sync(s, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(eng_session_push(s, 7, err) == 0);
    eng_config_set(c, "experts.k", "9", err);
    CHECK(eng_session_config(s, c, ENG_CONTINUE, err) == 0);
    CHECK(eng_trace_read(s, &cursor, on_record, &v) == 0);
    CHECK_INT(v.max_k, 4);
    CHECK(eng_session_push(s, 8, err) == 0);
    CHECK(eng_trace_read(s, &cursor, on_record, &v) == 0);
    CHECK_INT(v.max_k, 9);
    CHECK(v.prompt == 40 && v.decode == 2 && v.bad == 0 && cursor == 42 && eng_trace_end(s) == 42);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

typedef struct ring_seen { uint64_t next, n; int bad; } ring_seen;
static bool ring_record(void *user, const eng_trace_rec *r)
{
    ring_seen *v = user;
    v->bad += (v->n && r->seq != v->next) || r->token != (int)r->seq || r->ids[0] != r->seq % 128 || r->prompt != (r->seq % 7 == 3)
              || (r->weights == NULL) != r->prompt || (r->weights && r->weights[0] != (float)r->seq);
    v->next = r->seq + 1;
    v->n++;
    return true;
}

/* The cost of a record of a model with 48 routed layers at k = 8, in and out of a full ring. */
static void ring_alone(void)
{
    enum { L = 48, K = 8, N = 20000 };
    static uint16_t ids[L * K];
    static float w[L * K], e[L], g[L];
    trace *t = trace_new(1 << 20);
    uint64_t cursor = 0;
    int64_t start = q_now_ns();
    for (int i = 0; i < N; i++) {
        bool prompt = i % 7 == 3;
        ids[0] = (uint16_t)(i % 128);
        w[0] = (float)i;
        eng_trace_rec r = { .token = i, .pos = i, .prompt = prompt, .n_layer = L, .max_k = K, .ids = ids, .weights = prompt ? NULL : w, .entropy = e, .margin = g };
        trace_add(t, &r);
    }
    double us = (double)(q_now_ns() - start) / 1e3 / N;
    ring_seen v = { .next = 0 };
    uint64_t lost = trace_read(t, &cursor, ring_record, &v);
    printf("# a record of %d layers at k %d: %.2f us; %llu of %d kept\n", L, K, us, (unsigned long long)v.n, N);
    CHECK(lost > 0 && lost + v.n == N && v.bad == 0 && cursor == N && v.n > 300);
    CHECK(!getenv("QUORUM_LONG") || us < 100);         /* decode of such a model takes tens of milliseconds */
    uint64_t again = cursor;
    CHECK(trace_read(t, &again, ring_record, &v) == 0 && again == N);
    trace_free(t);
}

int main(void)
{
    const char *seed = getenv("QUORUM_FUZZ_SEED");
    rng = seed ? strtoull(seed, NULL, 10) : 20261;
    printf("# seed %llu\n", (unsigned long long)rng);
    RUN(fuzz_qwen3moe);
    RUN(fuzz_glm4moe);
    RUN(fuzz_gpt_oss);
    RUN(fuzz_deepseek2);
    RUN(fuzz_qwen3next);
    RUN(reuse);
    RUN(logits_of_former_cells);
    RUN(made_up_cells);
    RUN(cancel_from_thread);
    char *path = util_default_model();
    if (path)
        RUN(cancel_default_model);
    else
        SKIP("cancel_default_model", "the default model is not here (quorum model fetch)");
    free(path);
    RUN(trace_ring);
    RUN(ring_alone);
    return TEST_END();
}
