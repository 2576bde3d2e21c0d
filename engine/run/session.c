/* engine/run/session: one timeline and what moves it: configuration, evaluation in chunks, reuse of cells, cancel.
 * Owns its context, its page pool and its trace ring; borrows the model. One thread (the engine thread), but
 * eng_session_cancel and the trace may be called from any. It never chooses a token. */
#include "engine/run/config.h"
#include "engine/run/kv.h"
#include "engine/run/model.h"
#include "engine/run/session.h"
#include "engine/run/trace.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 512, TRACE_BYTES = 16 << 20 };
/* Logits of a piece of eng_session_eval, all rows of it wanted. */
static const size_t EVAL_LOGIT_BYTES = (size_t)64 << 20;

struct eng_session {
    eng_model *m;
    eng_config *config;
    uint64_t hash, seed;               /* of config, and of its position knobs                        */
    atomic_int cancel;
    ker_ctx *ctx;
    kv_pool *pool;
    kv_line line;                      /* evaluated cells: line.n <= n_tokens                          */
    int32_t *tokens;                   /* [context] the timeline; cells missing after a knob's change are
                                          evaluated by the next sync or push                           */
    int n_tokens, context, chunk;
    double rate;                       /* tokens a second of the last prefill chunk; 0 = unknown      */
    const float *logits;               /* after the last token; belongs to ctx; NULL when there are none */
    trace *trace;
    eng_speed speed;
    /* arrays of a batch, [MAX_ROWS] */
    int32_t pos[MAX_ROWS];
    uint8_t want[MAX_ROWS];
    uint64_t forced_hash[MAX_ROWS];
    uint16_t *forced;                  /* [n_layer][rows][max_k] of a forced batch; grown on demand */
    size_t forced_cap;
    uint16_t *rec_ids;                 /* [n_layer][n_expert] one record, compacted */
    float *rec_f;                      /* weights [n_layer][n_expert], entropy, margin [n_layer] */
};

/* ---- cache ---- */
/* Pages for the timeline, one spare for copying a shared tail, and room to keep other branches: as much again
 * while that is cheap, a quarter otherwise. */
static int new_pool(const eng_model *m, const eng_config *c, kv_pool **out, char *err)
{
    int context = (int)config_num(c, KNOB_CONTEXT), base = (context + KER_PAGE - 1) / KER_PAGE + 2;
    enum ker_kv_type type = config_kv_type(c);
    uint64_t page = (uint64_t)m->be->kv_page_bytes(m->dev, type), have = q_mem_available();
    int spare = page * (uint64_t)base < ((uint64_t)1 << 30) ? base : base / 4;
    if (have > 0 && page * (uint64_t)(base + spare) > have)
        spare = 0;
    if (have > 0 && page * (uint64_t)base > have) {
        char need[32], left[32];
        uint64_t fits = have / page > 2 ? (have / page - 2) * KER_PAGE : 0;
        return q_fail(err, Q_NOMEM, _("a cache of %d tokens needs %s, but %s of memory are free: set context.length to at most %llu or kv.type to q8_0"),
                      context, q_bytes_words(page * (uint64_t)base, need), q_bytes_words(have, left), (unsigned long long)fits);
    }
    return kv_pool_new(m->be, m->dev, type, base + spare, out, err);
}

static int put_config(eng_session *s, const eng_config *c, char *err)
{
    config_ker k;
    config_ker_build(c, &k);
    int rc = s->m->be->cfg_put(s->ctx, 0, &k.k, err);
    config_ker_free(&k);
    return rc;
}

int eng_session_new(eng_model *m, const eng_config *c, eng_session **out, char *err)
{
    if (m->vocab_only)
        return q_fail(err, Q_ERR, _("%s was opened for its vocabulary only"), m->path);
    eng_session *s = q_alloc(sizeof *s);
    size_t cells = (size_t)m->ker.n_layer * (size_t)(m->ker.n_expert ? m->ker.n_expert : 1);
    s->m = m;
    s->config = eng_config_copy(c);
    s->hash = eng_config_hash(c);
    s->seed = config_position_hash(c);
    s->context = (int)config_num(c, KNOB_CONTEXT);
    s->chunk = MAX_ROWS;
    s->tokens = q_alloc(sizeof *s->tokens * (size_t)s->context);
    s->rec_ids = q_alloc(sizeof *s->rec_ids * cells);
    s->rec_f = q_alloc(sizeof *s->rec_f * (cells + 2 * (size_t)m->ker.n_layer));
    s->trace = trace_new(TRACE_BYTES);
    atomic_init(&s->cancel, 0);
    int rc = new_pool(m, c, &s->pool, err);
    if (!rc)
        rc = m->be->ctx_new(m->dev, MAX_ROWS, m->ker.n_expert, &s->cancel, &s->ctx, err);
    if (!rc)
        rc = put_config(s, c, err);
    if (rc) {
        eng_session_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void eng_session_free(eng_session *s)
{
    if (!s)
        return;
    kv_release(s->pool, &s->line);
    if (s->ctx)
        s->m->be->ctx_free(s->ctx);
    kv_pool_free(s->pool);
    trace_free(s->trace);
    eng_config_free(s->config);
    free(s->tokens);
    free(s->forced);
    free(s->rec_ids);
    free(s->rec_f);
    free(s);
}

int eng_session_config(eng_session *s, const eng_config *c, enum eng_policy policy, char *err)
{
    uint64_t hash = eng_config_hash(c), seed = config_position_hash(c);
    int context = (int)config_num(c, KNOB_CONTEXT), rc = 0;
    uint64_t last = s->line.n ? kv_cell_chain(s->pool, &s->line, s->line.n - 1) : 0;
    bool rebuild = context != s->context || config_kv_type(c) != config_kv_type(s->config);
    kv_pool *pool = NULL;
    if (context < s->n_tokens)
        return q_fail(err, Q_RANGE, _("the conversation already takes %d tokens: context.length cannot be %d"), s->n_tokens, context);
    if (rebuild && (rc = new_pool(s->m, c, &pool, err)))
        return rc;
    if (hash != s->hash && (rc = put_config(s, c, err))) {
        kv_pool_free(pool);
        return rc;
    }
    if (rebuild) {
        kv_release(s->pool, &s->line);
        kv_pool_free(s->pool);
        s->pool = pool;
        s->tokens = q_realloc(s->tokens, sizeof *s->tokens * (size_t)context);
        s->context = context;
    } else if (seed != s->seed || policy == ENG_RECOMPUTE) {
        kv_reuse(s->pool, &s->line, s->tokens, s->n_tokens, seed, hash, policy);
    }
    /* Under `continue` the logits at hand still choose the next token; the one after it is c's. */
    if (policy == ENG_RECOMPUTE && (s->line.n < s->n_tokens || s->line.n == 0 || kv_cell_chain(s->pool, &s->line, s->line.n - 1) != last))
        s->logits = NULL;
    eng_config *copy = eng_config_copy(c);
    eng_config_free(s->config);
    s->config = copy;
    s->hash = hash;
    s->seed = seed;
    return 0;
}

const eng_config *eng_session_get_config(const eng_session *s) { return s->config; }

/* ---- one batch ---- */
static int failed(char *err, int rc)
{
    return rc == Q_CANCEL ? q_fail(err, rc, _("stopped"))
                          : q_fail(err, rc, _("the evaluation failed (code %d): please report this with the model's name"), rc);
}

static void record(eng_session *s, const ker_out *o, const int32_t *tokens, int n, bool prompt)
{
    int n_layer = s->m->ker.n_layer, stride = o->max_k, k = 0;
    for (int l = 0; l < n_layer; l++)  /* slots in use under this configuration or the forced lists */
        for (int r = 0; r < n && k < stride; r++)
            while (k < stride && o->ids[((size_t)l * (size_t)n + (size_t)r) * (size_t)stride + (size_t)k] != KER_NO_EXPERT)
                k++;
    for (int r = 0; r < n; r++) {      /* a dense model's records are empty, but there is one a position */
        float *w = s->rec_f, *entropy = w + (size_t)n_layer * (size_t)k, *margin = entropy + n_layer;
        for (int l = 0; l < n_layer; l++) {
            size_t from = ((size_t)l * (size_t)n + (size_t)r) * (size_t)stride, to = (size_t)l * (size_t)k;
            memcpy(s->rec_ids + to, o->ids + from, sizeof(uint16_t) * (size_t)k);
            if (prompt)
                continue;
            memcpy(w + to, o->weights + from, sizeof(float) * (size_t)k);
            entropy[l] = o->entropy[(size_t)l * (size_t)n + (size_t)r];
            margin[l] = o->margin[(size_t)l * (size_t)n + (size_t)r];
        }
        eng_trace_rec rec = { .token = tokens[r], .pos = s->line.n + r, .config = s->hash, .prompt = prompt, .n_layer = n_layer,
                              .max_k = k, .ids = s->rec_ids, .weights = prompt ? NULL : w, .entropy = prompt ? NULL : entropy,
                              .margin = prompt ? NULL : margin };
        trace_add(s->trace, &rec);
    }
}

/* Evaluates n <= MAX_ROWS tokens after the cells of the line and commits them. s->want says which rows want
 * logits. forced: [n_layer][n][n_expert] or NULL. */
static int forward(eng_session *s, const int32_t *tokens, int n, const uint16_t *forced, bool prompt, ker_out *out)
{
    const ker_backend *be = s->m->be;
    int threads = (int)config_num(s->config, KNOB_THREADS), rc;
    threads = threads > 0 ? threads : model_cores();
    if (threads != s->m->n_threads) {
        be->set_threads(s->m->dev, threads);
        s->m->n_threads = threads;
    }
    s->logits = NULL;
    if (kv_extend(s->pool, &s->line, n))
        return Q_NOMEM;
    for (int i = 0; i < n; i++)
        s->pos[i] = s->line.n + i;
    ker_seq seq = { s->line.page, s->line.n_page };
    ker_batch b = { .n = n, .token = tokens, .pos = s->pos, .cell = s->pos, .want = s->want, .seqs = &seq, .n_seq = 1,
                    .forced = forced, .phase = prompt ? 0 : 1 };
    rc = be->begin(s->ctx, kv_pool_kv(s->pool), &b);
    if (!rc)
        rc = be->embed(s->ctx);
    for (int l = 0; l < s->m->ker.n_layer && !rc; l++) {
        rc = be->attn(s->ctx, l);
        if (!rc && !s->m->layers[l].moe)
            rc = be->dense(s->ctx, l);
        else if (!rc && !(rc = be->route(s->ctx, l)))
            rc = be->experts(s->ctx, l);
    }
    if (!rc)
        rc = be->head(s->ctx);
    int end = be->end(s->ctx, out);
    rc = rc ? rc : end;
    if (!rc && atomic_load(&s->cancel))
        rc = Q_CANCEL;
    if (rc)
        return rc;
    record(s, out, tokens, n, prompt);
    kv_commit(s->pool, &s->line, tokens, n, s->seed, s->hash, forced ? s->forced_hash : NULL);
    return 0;
}

/* Rows of the next chunk. Somebody who watches wants to see it move, and knobs are heard between chunks: about
 * CHUNK_S seconds each, but never so few rows that grouping by expert stops paying. Nobody watching: as many as fit. */
static int chunk_rows(const eng_session *s, bool watched, int left)
{
    const double CHUNK_S = 1.5;
    double rows = !watched ? s->chunk : s->rate > 0 ? s->rate * CHUNK_S : 128;
    int n = rows > s->chunk ? s->chunk : rows < KER_PAGE ? KER_PAGE : (int)rows / KER_PAGE * KER_PAGE;
    n = n > s->chunk ? s->chunk : n;
    return n < left ? n : left;
}

/* Evaluates what the line lacks of s->tokens, in chunks; the last row's logits are wanted. */
static int catch_up(eng_session *s, bool logits, void (*progress)(void *, int, int), void *user, char *err)
{
    int first = s->line.n, total = s->n_tokens - first;
    if (progress && total > 0)
        progress(user, 0, total);
    while (s->line.n < s->n_tokens) {
        int left = s->n_tokens - s->line.n, n = chunk_rows(s, progress != NULL, left);
        int64_t start = q_now_ns();
        ker_out out;
        memset(s->want, 0, (size_t)n);
        if (logits && n == left)
            s->want[n - 1] = KER_WANT_LOGITS;
        int rc = forward(s, s->tokens + s->line.n, n, NULL, true, &out);
        if (rc)
            return failed(err, rc);
        if (logits && n == left)
            s->logits = out.logits;
        double seconds = (double)(q_now_ns() - start) / 1e9;
        s->rate = n >= KER_PAGE || s->rate == 0 ? n / (seconds + 1e-9) : s->rate;
        s->speed.prefill_tokens += n;
        s->speed.prefill_s += seconds;
        if (progress)
            progress(user, s->line.n - first, total);
    }
    return 0;
}

static int check_tokens(const eng_session *s, const int32_t *tokens, int n, char *err)
{
    for (int i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->m->ker.n_vocab)
            return q_fail(err, Q_RANGE, _("token %d is not in the vocabulary: ids are 0 to %d"), (int)tokens[i], s->m->ker.n_vocab - 1);
    return 0;
}

int eng_session_sync(eng_session *s, const int32_t *tokens, int n, enum eng_policy policy,
                     void (*progress)(void *user, int done, int total), void *user, char *err)
{
    if (n > s->context)
        return q_fail(err, Q_RANGE, _("%d tokens do not fit into the context of %d: raise context.length or shorten the text"), n, s->context);
    int rc = check_tokens(s, tokens, n, err);
    if (rc)
        return rc;
    if (n == 0) {
        kv_release(s->pool, &s->line);
        s->n_tokens = 0;
        s->logits = NULL;
        return 0;
    }
    kv_reuse(s->pool, &s->line, tokens, n - 1, s->seed, s->hash, policy);
    memmove(s->tokens, tokens, sizeof *tokens * (size_t)n);
    s->n_tokens = n;
    rc = catch_up(s, true, progress, user, err);
    if (rc)
        s->n_tokens = s->line.n;
    return rc;
}

int eng_session_push(eng_session *s, int32_t token, char *err)
{
    ker_out out;
    if (s->n_tokens >= s->context)
        return q_fail(err, Q_RANGE, _("the context of %d tokens is full: raise context.length or begin a new conversation"), s->context);
    int rc = check_tokens(s, &token, 1, err);
    if (!rc)
        rc = catch_up(s, false, NULL, NULL, err);
    if (rc)
        return rc;
    int64_t start = q_now_ns();
    s->want[0] = KER_WANT_LOGITS;
    rc = forward(s, &token, 1, NULL, false, &out);
    if (rc)
        return failed(err, rc);
    s->tokens[s->n_tokens++] = token;
    s->logits = out.logits;
    s->speed.decode_tokens++;
    s->speed.decode_s += (double)(q_now_ns() - start) / 1e9;
    return 0;
}

int eng_session_length(const eng_session *s) { return s->n_tokens; }
int eng_session_room(const eng_session *s) { return s->context - s->n_tokens; }
const int32_t *eng_session_tokens(const eng_session *s) { return s->tokens; }
const float *eng_session_logits(eng_session *s) { return s->logits; }
void eng_session_cancel(eng_session *s) { atomic_store(&s->cancel, 1); }
void eng_session_uncancel(eng_session *s) { atomic_store(&s->cancel, 0); }

static int more_cells(const void *a, const void *b)
{
    const eng_mix *x = a, *y = b;
    return x->cells != y->cells ? (x->cells < y->cells ? 1 : -1) : x->config < y->config ? -1 : x->config > y->config;
}

int eng_session_mix(const eng_session *s, eng_mix *out, int max)
{
    eng_mix *all = NULL;
    int n = 0, at = 0;
    for (int i = 0; i < s->line.n; i++) {
        uint64_t h = kv_cell_config(s->pool, &s->line, i);
        if (n == 0 || all[at].config != h)
            for (at = 0; at < n && all[at].config != h; at++) {}
        if (at == n) {
            all = q_realloc(all, sizeof *all * (size_t)(n + 1));
            all[n++] = (eng_mix){ h, 0 };
        }
        all[at].cells++;
    }
    if (n)
        qsort(all, (size_t)n, sizeof *all, more_cells);
    if (n)
        memcpy(out, all, sizeof *all * (size_t)(n < max ? n : max));
    free(all);
    return n;
}

int eng_session_push_headless(eng_session *s, int32_t token, char *err)
{
    ker_out out;
    int rc = s->n_tokens < s->context ? 0 : q_fail(err, Q_RANGE, _("the context of %d tokens is full"), s->context);
    if (rc || (rc = check_tokens(s, &token, 1, err)) || (rc = catch_up(s, false, NULL, NULL, err)))
        return rc;
    s->want[0] = KER_WANT_NONE;
    if ((rc = forward(s, &token, 1, NULL, false, &out)))
        return failed(err, rc);
    s->tokens[s->n_tokens++] = token;
    return 0;
}

void session_set_chunk(eng_session *s, int rows) { s->chunk = rows < 1 ? 1 : rows > MAX_ROWS ? MAX_ROWS : rows; }
uint64_t session_cell_config(const eng_session *s, int cell) { return kv_cell_config(s->pool, &s->line, cell); }
int session_cells(const eng_session *s) { return s->line.n; }

eng_speed eng_session_speed(const eng_session *s) { return s->speed; }
void eng_session_speed_reset(eng_session *s) { s->speed = (eng_speed){ 0 }; }

uint64_t eng_trace_read(eng_session *s, uint64_t *cursor, bool (*fn)(void *user, const eng_trace_rec *r), void *user)
{
    return trace_read(s->trace, cursor, fn, user);
}

uint64_t eng_trace_end(eng_session *s) { return trace_end(s->trace); }

/* ---- evaluation of all positions ---- */
/* Rows at..at+n of the caller's [n_layer][total][max_k] as the backend wants them: [n_layer][n][n_expert]. */
static const uint16_t *slice_forced(eng_session *s, const uint16_t *forced, int total, int at, int n, int max_k)
{
    size_t width = (size_t)s->m->ker.n_expert, layers = (size_t)s->m->ker.n_layer, need = layers * (size_t)n * width;
    if (need > s->forced_cap) {
        s->forced = q_realloc(s->forced, sizeof *s->forced * need);
        s->forced_cap = need;
    }
    for (int r = 0; r < n; r++) {
        uint64_t h = 1;
        for (size_t l = 0; l < layers; l++) {
            const uint16_t *from = forced + (l * (size_t)total + (size_t)(at + r)) * (size_t)max_k;
            uint16_t *to = s->forced + (l * (size_t)n + (size_t)r) * width;
            for (size_t k = 0; k < width; k++)
                to[k] = k < (size_t)max_k ? from[k] : KER_NO_EXPERT;
            h = q_hash64(from, sizeof *from * (size_t)max_k, h);
        }
        s->forced_hash[r] = h;
    }
    return s->forced;
}

static int check_forced(const eng_session *s, const uint16_t *forced, int n, int max_k, char *err)
{
    int n_expert = s->m->ker.n_expert;
    if (n_expert == 0 || max_k > n_expert)
        return q_fail(err, Q_RANGE, _("forced routing of %d experts a token does not suit a model of %d experts"), max_k, n_expert);
    for (int l = 0; l < s->m->ker.n_layer; l++)
        for (int r = 0; r < n; r++) {
            const uint16_t *ids = forced + ((size_t)l * (size_t)n + (size_t)r) * (size_t)max_k;
            int k = 0;
            while (k < max_k && ids[k] != KER_NO_EXPERT) {
                if (ids[k] >= n_expert)
                    return q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: expert %d is not among 0 to %d"), l, r, ids[k], n_expert - 1);
                for (int j = 0; j < k; j++)
                    if (ids[j] == ids[k])
                        return q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: expert %d stands there twice"), l, r, ids[k]);
                k++;
            }
            if (s->m->layers[l].moe && k == 0)
                return q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: no expert is named"), l, r);
        }
    return 0;
}

int eng_session_eval(eng_session *s, const int32_t *tokens, int n, int split, const uint16_t *forced, int max_k,
                     int (*row)(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k),
                     void *user, char *err)
{
    size_t n_layer = (size_t)s->m->ker.n_layer, n_vocab = (size_t)s->m->ker.n_vocab, fit = EVAL_LOGIT_BYTES / (n_vocab * sizeof(float));
    int piece = fit < 1 ? 1 : fit < MAX_ROWS ? (int)fit : MAX_ROWS, rc;
    if (n > s->context)
        return q_fail(err, Q_RANGE, _("%d tokens do not fit into the context of %d: raise context.length"), n, s->context);
    if ((rc = check_tokens(s, tokens, n, err)) || (forced && (rc = check_forced(s, forced, n, max_k, err))))
        return rc;
    if (split > 0 && split < piece)
        piece = split;
    kv_release(s->pool, &s->line);
    s->n_tokens = 0;
    for (int at = 0; at < n; at += piece) {
        int count = n - at < piece ? n - at : piece;
        ker_out o;
        memset(s->want, KER_WANT_LOGITS, (size_t)count);
        rc = forward(s, tokens + at, count, forced ? slice_forced(s, forced, n, at, count, max_k) : NULL, true, &o);
        if (rc)
            return failed(err, rc);
        memcpy(s->tokens + at, tokens + at, sizeof *tokens * (size_t)count);
        s->n_tokens = at + count;
        for (int r = 0; r < count; r++) {
            for (size_t l = 0; l < n_layer && o.max_k > 0; l++) {
                size_t from = (l * (size_t)count + (size_t)r) * (size_t)o.max_k, to = l * (size_t)o.max_k;
                memcpy(s->rec_ids + to, o.ids + from, sizeof(uint16_t) * (size_t)o.max_k);
                memcpy(s->rec_f + to, o.weights + from, sizeof(float) * (size_t)o.max_k);
            }
            if (row && (rc = row(user, at + r, o.logits + (size_t)r * n_vocab, s->rec_ids, s->rec_f, o.max_k)))
                return rc;
        }
        s->logits = o.logits + (size_t)(count - 1) * n_vocab;
    }
    return 0;
}
