/* One conversation, by the engine's caches and timelines, on the CPU and on the emulated GPU: a prompt, 64 tokens, k changed
 * twice, a ban, the context full and cut short, an edit, a fork, two settings in lock-step, rows tried aside. First with the
 * CPU's tokens and the CPU's experts: every logit is compared and the records of routing are equal. Then with the CPU's tokens and a free
 * router. And a device that stops in the middle of an answer. Without a C++ compiler there is no emulator: all is skipped. */
#include "engine/engine.h"
#include "engine/models.h"
#include "tests/engine_util.h"
#include "tests/on_device.h"
#include "tests/test.h"

enum { PROMPT = 70, REPLY = 64, CONTEXT = PROMPT + REPLY, HEAD = 20, TAIL = 50, EDIT = 9, PAIR = 6, MOST = 16 /* experts */, RECORDS = 1024 };

static const ker_backend *gpu;
static const emu_api_table *emu;
static char err[Q_ERRLEN];

/* limit: how far a logit may be off, of its row's largest. cells: kv.type. alike: share of equal routings of a free run, at least. slow: that
 * run is for the long form. */
typedef struct subject { const char *name, *cells, *ban; double limit, alike; bool slow; } subject;
typedef struct side { eng_model *m; eng_cache *k; eng_session *s, *fork; } side;
typedef struct tally { double most; int rows, flips; long routings, alike, numbers; } tally;

static side cpu, dev;
static tally told;
static const subject *now;

/* ---- models and settings ---- */

static eng_model *model_of(const char *name)
{
    bool made = !strcmp(name, "smoke");
    const char *build = getenv("BUILD");
    char *path = made ? q_printf("%s/talk-%ld.gguf", build ? build : "build", (long)getpid()) : util_model(name);
    eng_model *m = NULL;
    int rc = made ? eng_synth("qwen3moe", "smoke", "Q4_K_M", 2, 5, path, NULL, NULL, err) : 0;
    if (!rc) rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", err);
    remove(path);
    free(path);
    return m;
}

static eng_config *setting(const eng_model *m, const char *k, const char *ban)
{
    char words[32];
    eng_config *c = eng_config_new(m);
    snprintf(words, sizeof words, "%d", CONTEXT);
    int rc = eng_config_set(c, "context.length", words, err) || eng_config_set(c, "kv.type", now->cells, err)
        || (k && eng_config_set(c, "experts.k", k, err)) || (ban && eng_config_set(c, "experts.ban", ban, err));
    CHECK_MSG(rc == 0, "%s", err);
    return c;
}

/* The same knobs on both sides, for the next token. */
static void knobs(eng_session *a, eng_session *b, const char *k, const char *ban)
{
    eng_session *s[2] = { a, b };
    const side *of[2] = { &cpu, &dev };
    for (int i = 0; i < 2; i++) {
        eng_config *c = setting(of[i]->m, k, ban);
        CHECK_MSG(!s[i] || eng_session_config(s[i], c, ENG_CONTINUE, err) == 0, "%s", err);
        eng_config_free(c);
    }
}

static bool side_open(side *s, const char *name, const ker_backend *be)
{
    *s = (side){ .m = model_of(name) };
    int rc = !s->m || (be && on_device(s->m, be, 0, err));
    if (!rc) {
        eng_config *c = setting(s->m, NULL, NULL);
        rc = eng_cache_new(s->m, c, 3, &s->k, err) || eng_cache_session(s->k, c, &s->s, err);
        eng_config_free(c);
    }
    CHECK_MSG(!rc, "%s", err);
    return !rc;
}

static void side_close(side *s)
{
    eng_session_free(s->fork);
    eng_session_free(s->s);
    eng_cache_free(s->k);
    eng_model_free(s->m);
}

static int32_t any_token(int i) { return (int32_t)(q_mix64(77, (uint64_t)i) % 300); }

static int greedy(const float *l, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++) best = l[i] > l[best] ? i : best;
    return best;
}

/* ---- rows on both sides ---- */

static double gap(const float *a, const float *b, int n)
{
    double most = 0, size = 0;
    for (int i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        most = d > most || isnan(d) ? d : most;
        size = fmax(size, fabs((double)b[i]));
    }
    return most / size;
}

static void compare_logits(const float *a, const float *b, const char *what)
{
    int n = eng_model_info(cpu.m)->n_vocab;
    CHECK_MSG(a && b, "%s: no logits", what);
    if (!a || !b) return;
    double off = gap(a, b, n);
    told.rows++;
    told.flips += greedy(a, n) != greedy(b, n);
    told.most = off > told.most || isnan(off) ? off : told.most;
    CHECK_MSG(off <= now->limit, "%s: off by %.3g of the largest logit", what, off);
}

typedef struct row { bool fork; int32_t token; } row;

/* The rows by the CPU with its router free, then by the device with the experts that the CPU chose. Returns the CPU's greedy token
 * after the last row. */
static int32_t both(const row *r, int n, bool commit, const char *what)
{
    eng_row a[ENG_STEP_ROWS], b[ENG_STEP_ROWS];
    eng_out *x = q_alloc(sizeof *x), *y = q_alloc(sizeof *y);
    int L = eng_model_info(cpu.m)->n_layer, V = eng_model_info(cpu.m)->n_vocab;
    for (int i = 0; i < n; i++) a[i] = (eng_row){ .session = r[i].fork ? cpu.fork : cpu.s, .token = r[i].token, .want = ENG_WANT_LOGITS };
    int rc = eng_cache_step(cpu.k, a, n, commit, x, err);
    for (int i = 0; i < n && !rc; i++) {
        b[i] = a[i];
        b[i].session = r[i].fork ? dev.fork : dev.s;
        b[i].forced = x->ids + (size_t)i * (size_t)x->max_k;
        b[i].forced_k = x->max_k;
        b[i].forced_step = (size_t)n * (size_t)x->max_k;
    }
    if (!rc) rc = eng_cache_step(dev.k, b, n, commit, y, err);
    CHECK_MSG(!rc, "%s: %s", what, err);
    int32_t next = rc ? 0 : greedy(x->logits[n - 1], V);
    for (int i = 0; i < n && !rc; i++) compare_logits(y->logits[i], x->logits[i], what);
    for (size_t i = 0; i < (size_t)L * (size_t)n * (size_t)x->max_k && !rc; i++) {
        CHECK_MSG(x->ids[i] == y->ids[i] && fabsf(x->weights[i] - y->weights[i]) <= (float)now->limit, "%s: slot %zu runs expert %d at %g, on the device %d at %g",
                  what, i, x->ids[i], (double)x->weights[i], y->ids[i], (double)y->weights[i]);
        if (test_bad > 9) break;
    }
    free(x);
    free(y);
    return next;
}

static int32_t both_lines(int32_t token, int n, const char *what)
{
    for (int i = 0; i < n; i++) token = both(&(row){ false, token }, 1, true, what);
    return token;
}

/* ---- records of routing ---- */

typedef struct record { int32_t token, pos; uint64_t config; bool prompt; int layers, k; uint16_t ids[8 * MOST]; float weights[8 * MOST], entropy[8]; } record;
typedef struct ring { int n; record r[RECORDS]; } ring;

static bool keep(void *user, const eng_trace_rec *r)
{
    ring *g = user;
    record *to = &g->r[g->n];
    if (g->n == RECORDS || r->n_layer > 8 || r->max_k > MOST) return false;
    g->n++;
    *to = (record){ r->token, r->pos, r->config, r->prompt, r->n_layer, r->max_k, { 0 }, { 0 }, { 0 } };
    size_t cells = (size_t)r->n_layer * (size_t)r->max_k;
    if (cells) memcpy(to->ids, r->ids, sizeof *r->ids * cells);
    if (r->weights) memcpy(to->weights, r->weights, sizeof *r->weights * cells);
    if (r->weights) memcpy(to->entropy, r->entropy, sizeof *r->entropy * (size_t)r->n_layer);
    return true;
}

/* Both rings from record `from` on: the same rows in the same order; ids and weights exactly or by share. */
static void compare_rings(eng_session *a, eng_session *b, bool exactly, int at_least, const char *what)
{
    ring *x = q_alloc(sizeof *x), *y = q_alloc(sizeof *y);
    uint64_t from_x = 0, from_y = 0;
    CHECK(eng_trace_read(a, &from_x, keep, x) == 0 && eng_trace_read(b, &from_y, keep, y) == 0);
    CHECK_MSG(x->n == y->n && x->n >= at_least, "%s: %d records and %d", what, x->n, y->n);
    for (int i = 0; i < x->n && i < y->n && test_bad < 9; i++) {
        const record *p = &x->r[i], *q = &y->r[i];
        CHECK_MSG(p->token == q->token && p->pos == q->pos && p->config == q->config && p->prompt == q->prompt && p->layers == q->layers && p->k == q->k,
                  "%s: record %d: token %d at %d and %d at %d, k %d and %d", what, i, p->token, p->pos, q->token, q->pos, p->k, q->k);
        for (int l = 0; l < p->layers && p->k == q->k; l++) {
            size_t at = (size_t)l * (size_t)p->k;
            bool same = !memcmp(p->ids + at, q->ids + at, sizeof *p->ids * (size_t)p->k);
            told.routings++;
            told.alike += same;
            if (!exactly) continue;
            CHECK_MSG(same, "%s: record %d, layer %d: other experts", what, i, l);
            for (int s = 0; s < p->k; s++) CHECK_MSG(fabsf(p->weights[at + (size_t)s] - q->weights[at + (size_t)s]) <= (float)now->limit, "%s: record %d, layer %d: weight %g and %g",
                                                     what, i, l, (double)p->weights[at + (size_t)s], (double)q->weights[at + (size_t)s]);
            CHECK_MSG(fabsf(p->entropy[l] - q->entropy[l]) <= (float)now->limit * 8, "%s: record %d, layer %d: entropy %g and %g", what, i, l, (double)p->entropy[l], (double)q->entropy[l]);
            told.numbers += p->k + 1;
        }
    }
    free(x);
    free(y);
}

/* ---- the conversation, the CPU's experts forced ---- */

/* Two pages of prompt, then 64 tokens: k changed twice, and a ban; then there is no room. */
static void talk_forced(int32_t *text)
{
    row prompt[PROMPT];
    for (int i = 0; i < PROMPT; i++) prompt[i] = (row){ false, text[i] = any_token(i) };
    int32_t token = both(prompt, PROMPT, true, "prompt");
    token = both_lines(token, 24, "reply");
    knobs(cpu.s, dev.s, "2", NULL);
    token = both_lines(token, 16, "k 2");
    knobs(cpu.s, dev.s, "6", now->ban);
    token = both_lines(token, REPLY - 40, "k 6 and a ban");
    memcpy(text, eng_session_tokens(cpu.s), sizeof *text * CONTEXT);
    char other[Q_ERRLEN];
    CHECK_INT(eng_session_room(cpu.s), 0);
    CHECK_INT(eng_session_push(cpu.s, token, err), Q_RANGE);
    CHECK_INT(eng_session_push(dev.s, token, other), Q_RANGE);
    CHECK_STR(other, err);
}

/* A row that is not committed leaves nothing; a fork with another k goes its own way in lock-step. */
static void fork_forced(void)
{
    row pair[2] = { { false, any_token(300) }, { true, any_token(301) } };
    CHECK(eng_session_fork(cpu.s, &cpu.fork, err) == 0 && eng_session_fork(dev.s, &dev.fork, err) == 0);
    knobs(cpu.fork, dev.fork, "1", NULL);
    int before = eng_session_length(dev.s);
    both(pair, 2, false, "tried rows");
    CHECK_INT(eng_session_length(dev.s), before);
    for (int i = 0; i < PAIR; i++) {
        both(pair, 2, true, "two settings in lock-step");
        pair[0].token = any_token(310 + i);
        pair[1].token = any_token(350 + i);
    }
    compare_rings(cpu.fork, dev.fork, true, PAIR, "the fork's ring");
}

static void forced_by(const subject *s)
{
    int32_t text[CONTEXT];
    row rows[TAIL];
    if (side_open(&cpu, s->name, NULL) && side_open(&dev, s->name, gpu)) {
        talk_forced(text);
        /* What a full context leads to: the beginning and the end stay, and only the end is computed again. */
        CHECK(eng_session_cut(cpu.s, HEAD, err) == 0 && eng_session_cut(dev.s, HEAD, err) == 0);
        for (int i = 0; i < TAIL; i++) rows[i] = (row){ false, text[CONTEXT - TAIL + i] };
        both(rows, TAIL, true, "the context cut short");
        /* An edit in the middle of the last piece. */
        CHECK(eng_session_cut(cpu.s, HEAD + TAIL / 2, err) == 0 && eng_session_cut(dev.s, HEAD + TAIL / 2, err) == 0);
        for (int i = 0; i < EDIT; i++) rows[i] = (row){ false, any_token(200 + i) };
        both(rows, EDIT, true, "an edit");
        both(rows, 5, true, "few rows at once");
        fork_forced();
        compare_rings(cpu.s, dev.s, true, CONTEXT + TAIL + EDIT + 5 + PAIR, "the ring");
        printf("# %s, experts forced: %d rows off by at most %.2e of the largest logit (limit %.0e), greedy token flipped %d times, %ld numbers of %ld routings equal\n",
               s->name, told.rows, told.most, s->limit, told.flips, told.numbers, told.routings);
    }
    side_close(&cpu);
    side_close(&dev);
}

/* ---- the same, free ---- */

static void push_both(int32_t token)
{
    CHECK_MSG(eng_session_push(cpu.s, token, err) == 0 && eng_session_push(dev.s, token, err) == 0, "%s", err);
}

static void sync_both(const int32_t *text, int n, enum eng_policy p)
{
    CHECK_MSG(eng_session_sync(cpu.s, text, n, p, NULL, NULL, err) == 0 && eng_session_sync(dev.s, text, n, p, NULL, NULL, err) == 0, "%s", err);
}

/* How far the logits at hand are from each other; where a routing was another one earlier they may be anywhere. */
static void count_free(void)
{
    int n = eng_model_info(cpu.m)->n_vocab;
    const float *a = eng_session_logits(dev.s), *b = eng_session_logits(cpu.s);
    CHECK(a && b);
    if (!a || !b) return;
    double off = gap(a, b, n);
    told.rows++;
    told.flips += greedy(a, n) != greedy(b, n);
    told.most = off > told.most || isnan(off) ? off : told.most;
}

static void free_by(const subject *s)
{
    int32_t text[CONTEXT + TAIL];
    if (side_open(&cpu, s->name, NULL) && side_open(&dev, s->name, gpu)) {
        int V = eng_model_info(cpu.m)->n_vocab;
        for (int i = 0; i < PROMPT; i++) text[i] = any_token(i);
        sync_both(text, PROMPT, ENG_CONTINUE);
        for (int i = PROMPT; i < CONTEXT && test_bad < 9; i++) {
            count_free();
            if (i == PROMPT + 24) knobs(cpu.s, dev.s, "2", NULL);
            if (i == PROMPT + 40) knobs(cpu.s, dev.s, "6", s->ban);
            text[i] = greedy(eng_session_logits(cpu.s), V);
            push_both(text[i]);
        }
        count_free();
        memmove(text + HEAD, text + CONTEXT - TAIL, sizeof *text * TAIL);
        sync_both(text, HEAD + TAIL, ENG_CONTINUE);
        count_free();
        text[HEAD + 10] ^= 1;
        sync_both(text, HEAD + TAIL, ENG_RECOMPUTE);
        count_free();
        compare_rings(cpu.s, dev.s, false, CONTEXT + TAIL, "the ring");
        int held[2], shared[2];
        eng_cache_pages(cpu.k, &held[0], &shared[0]);
        eng_cache_pages(dev.k, &held[1], &shared[1]);
        CHECK_INT(held[1], held[0]);
        double share = (double)told.alike / (double)told.routings;
        printf("# %s, experts free: %.2f%% of %ld routings equal, greedy token flipped %d times in %d, logits off by at most %.2e\n",
               s->name, 100 * share, told.routings, told.flips, told.rows, told.most);
        CHECK_MSG(share >= s->alike, "%.4f of the routings are equal, at least %.2f should be", share, s->alike);
        CHECK_MSG(s->alike < 1 || told.most <= s->limit, "no routing differs, and yet logits are off by %.3g", told.most);
    }
    side_close(&cpu);
    side_close(&dev);
}

static const subject subjects[] = {
    { "qwen3moe", "f32", "1:3", 1e-4, 1, false },
    { "glm4moe", "f32", "1:3", 1e-4, 1, false },
    { "qwen3next", "f32", "1:3", 2e-4, 1, false },
    { "smoke", "f16", "1:3", 6e-2, .9, true },
};

static void each(void (*of)(const subject *))
{
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        now = &subjects[i];
        if (now->slow && (test_brief() || (of == free_by && !getenv("QUORUM_LONG")))) continue;
        told = (tally){ 0 };
        of(now);
    }
}

static void whole_conversation_forced(void) { each(forced_by); }
static void whole_conversation_free(void) { each(free_by); }

/* ---- what a token costs ---- */

/* Weights stay as they are in the file; from the second token on one graph, one wait, no allocation, at most 8 launches a layer,
 * and what comes back beside the logits is the trace: under 1% of the bytes that the weights' sizes say are read. */
static void what_a_token_costs(void)
{
    emu_stats before, s;
    now = &subjects[3];
    dev = (side){ .m = model_of(now->name) };
    emu->stats(&before);
    int rc = !dev.m || on_device(dev.m, gpu, 0, err);
    CHECK_MSG(!rc, "%s", err);
    if (!rc) {
        const eng_info *o = eng_model_info(dev.m);
        eng_config *c = setting(dev.m, NULL, NULL);
        size_t tensors = 0;
        eng_model_pages(dev.m, 0, &tensors);
        emu->stats(&s);
        double held = (double)(s.held - before.held);
        CHECK_MSG(held > .95 * (double)tensors && held < 1.05 * (double)tensors + 65536, "%.0f bytes on the device, %zu in the file", held, tensors);
        CHECK_MSG(eng_session_new(dev.m, c, &dev.s, err) == 0 && eng_session_push(dev.s, 1, err) == 0, "%s", err);
        for (int i = 0; i < 4 && test_bad < 9; i++) {
            if (i == 2) CHECK(eng_config_set(c, "experts.ban", "1:3", err) == 0 && eng_session_config(dev.s, c, ENG_CONTINUE, err) == 0);
            emu->reset();
            CHECK_MSG(eng_session_push(dev.s, any_token(i), err) == 0, "%s", err);
            emu->stats(&s);
            eng_cost cost = eng_model_cost(dev.m, c);
            uint64_t weights = cost.bytes_layers + cost.bytes_head, beside = s.d2h_bytes - (uint64_t)o->n_vocab * 4;
            if (i == 3) printf("# a token of %d layers: %llu launches in %llu graph, %llu waits, %llu bytes up, %llu down (logits %d, trace %llu: %.3f%% of the weights' %llu)\n", o->n_layer,
                               (unsigned long long)s.launches, (unsigned long long)s.graph_launches, (unsigned long long)s.host_syncs, (unsigned long long)s.h2d_bytes,
                               (unsigned long long)s.d2h_bytes, o->n_vocab * 4, (unsigned long long)beside, 100.0 * (double)beside / (double)weights, (unsigned long long)weights);
            CHECK_MSG(s.launches <= 8 * (uint64_t)o->n_layer + 6, "%llu launches", (unsigned long long)s.launches);
            CHECK_INT(s.launches, s.graph_kernels);
            CHECK_INT(s.graph_launches, 1);
            CHECK_INT(s.graphs_made, 0);
            CHECK_INT(s.host_syncs, 1);
            CHECK_INT(s.mallocs + s.host_mallocs, 0);
            CHECK_MSG(beside * 100 < weights, "%llu bytes of trace, %llu of weights", (unsigned long long)beside, (unsigned long long)weights);
        }
        eng_config_free(c);
    }
    side_close(&dev);
}

/* ---- a device that stops ---- */

static void a_device_that_stops_says_why(void)
{
    now = &subjects[0];
    if (side_open(&dev, now->name, gpu)) {
        int32_t text[4] = { 1, 2, 3, 4 };
        CHECK(eng_session_sync(dev.s, text, 4, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_session_push(dev.s, 5, err) == 0);
        emu->fail("cudaGraphLaunch", 1);
        *err = 0;
        CHECK_INT(eng_session_push(dev.s, 6, err), Q_ERR);
        emu->fail(NULL, 0);
        printf("# %s\n", err);
        CHECK_MSG(strstr(err, "a pass") && strstr(err, "--device cpu") && !strstr(err, "report"), "%s", err);
        CHECK_INT(eng_session_length(dev.s), 5);
        *err = 0;
        CHECK_INT(eng_session_push(dev.s, 6, err), Q_ERR);         /* it stays lost, with the same words */
        CHECK_MSG(strstr(err, "a pass") && strstr(err, "--device cpu"), "%s", err);
    }
    side_close(&dev);
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_talk", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    RUN(whole_conversation_forced);
    RUN(whole_conversation_free);
    RUN(what_a_token_costs);
    RUN(a_device_that_stops_says_why);
    return TEST_END();
}
