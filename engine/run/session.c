/* engine/run/session: one timeline: its text, its configuration, the cells it holds, forks and cuts. What evaluates is
 * step.c, what is shared cache.c. One thread, that of the cache; eng_session_cancel and the trace may be called from
 * any. It never chooses a token. */
#include "engine/run/session.h"
#include "engine/run/config.h"
#include "engine/run/lora.h"

#include <stdlib.h>
#include <string.h>

enum { TRACE_BYTES = 16 << 20 };

/* A timeline without text. The cache's context goes first: a configuration that the backend refuses makes none. */
static eng_session *session_make(eng_cache *k, const eng_config *c)
{
    const ker_model *m = &k->m->ker;
    eng_session *s = q_alloc(sizeof *s);
    size_t cells = (size_t)m->n_layer * (size_t)(m->n_expert ? m->n_expert : 1);
    s->cache = k;
    s->config = eng_config_copy(c);
    s->hash = eng_config_hash(c);
    s->adapters = lora_version(k->m);
    s->seed = config_position_hash(c);
    s->context = (int)c->v.context;
    s->chunk = ENG_STEP_ROWS;
    s->tokens = q_alloc(sizeof *s->tokens * (size_t)s->context);
    s->rec_ids = q_alloc(sizeof *s->rec_ids * cells);
    s->rec_f = q_alloc(sizeof *s->rec_f * (cells + 2 * (size_t)m->n_layer));
    s->trace = trace_new(TRACE_BYTES);
    cache_join(k, &s->user);
    return s;
}

int eng_cache_session(eng_cache *k, const eng_config *c, eng_session **out, char *err)
{
    if (config_kv_type(c) != k->type || (int)c->v.context > k->context)
        return q_fail(err, Q_RANGE, _("this cache holds timelines of up to %d tokens in another kv.type or length: kv.type and context.length must be its own"), k->context);
    int rc = cache_hold(k, c, eng_config_hash(c), err);
    if (!rc && c->v.draft == DRAFT_MTP)
        rc = next_open(k->m, err);
    if (!rc)
        *out = session_make(k, c);
    return rc;
}

int eng_session_new(eng_model *m, const eng_config *c, eng_session **out, char *err)
{
    eng_cache *k = NULL;
    int rc = eng_cache_new(m, c, 1, &k, err);
    if (rc)
        return rc;
    if ((rc = eng_cache_session(k, c, out, err)))
        eng_cache_free(k);
    else
        k->private_ = true;
    return rc;
}

int eng_session_fork(const eng_session *from, eng_session **out, char *err)
{
    eng_session *s = session_make(from->cache, from->config);
    memcpy(s->tokens, from->tokens, sizeof *s->tokens * (size_t)from->n_tokens);
    s->n_tokens = from->n_tokens;
    s->chunk = from->chunk;
    s->rate = from->rate;
    kv_fork(s->cache->pool, &from->line, &s->line);
    if (from->user.logits) {
        size_t bytes = sizeof(float) * (size_t)s->cache->m->ker.n_vocab;
        s->user.kept = q_alloc(bytes);
        s->user.logits = memcpy(s->user.kept, from->user.logits, bytes);
        s->logits_of = from->logits_of;
    }
    *out = s;
    return 0;
}

int eng_session_cut(eng_session *s, int n, char *err)
{
    if (n < 0 || n > s->n_tokens)
        return q_fail(err, Q_RANGE, _("a timeline of %d tokens cannot be cut to %d"), s->n_tokens, n);
    if (n < s->n_tokens)
        s->user.logits = NULL;
    step_ahead_drop(s);
    if (n < s->line.n)
        kv_cut(s->cache->pool, &s->line, n);
    s->n_tokens = n;
    return 0;
}

void eng_session_free(eng_session *s)
{
    if (!s)
        return;
    step_ahead_drop(s);
    next_free(s->next);
    kv_release(s->cache->pool, &s->line);
    cache_leave(s->cache, &s->user);
    trace_free(s->trace);
    eng_config_free(s->config);
    free(s->tokens);
    free(s->rec_ids);
    free(s->rec_f);
    free(s);
}

/* Another length or number format of the cache: its pages are made anew, when nobody else has some. */
static int rebuild(eng_session *s, const eng_config *c, char *err)
{
    eng_cache *k = s->cache;
    kv_pool *pool = NULL;
    if (s->user.next || k->users != &s->user)
        return q_fail(err, Q_RANGE, _("kv.type and a longer context.length make the cache anew, which other timelines are using: end them first"));
    int rc = cache_pool(k->m, c, k->timelines, &pool, err);
    if (rc == Q_NOMEM)                     /* both may be more than there is memory for: then the old one goes first */
        rc = cache_pool_instead(k, c, err);
    if (rc)
        return rc;
    int pages = kv_pages(k->pool);
    step_ahead_drop(s);
    kv_release(k->pool, &s->line);
    kv_pool_free(k->pool);
    k->pool = NULL;
    if (!pool && (rc = cache_pool(k->m, c, k->timelines, &pool, err))) {        /* somebody else was faster: as it was, or as much of that as there is */
        for (char why[Q_ERRLEN]; pages > 0 && kv_pool_new(k->m->on.be, k->m->on.dev, k->type, pages, k->m->on.outside, &k->pool, why); pages /= 2) {}
        if (!k->pool) abort();             /* not a page, of what was just given back: as where q_alloc finds no memory */
        return rc;
    }
    k->pool = pool;
    k->type = config_kv_type(c);
    k->context = (int)c->v.context;
    return 0;
}

int eng_session_config(eng_session *s, const eng_config *c, enum eng_policy policy, char *err)
{
    step_fresh(s);
    eng_cache *k = s->cache;
    uint64_t hash = eng_config_hash(c), seed = config_position_hash(c);
    int context = (int)c->v.context, rc = 0;
    bool alone = !s->user.next && k->users == &s->user;
    bool anew = config_kv_type(c) != k->type || context > k->context || (alone && k->private_ && context != s->context);
    if (context < s->n_tokens)
        return q_fail(err, Q_RANGE, _("the conversation already takes %d tokens: context.length cannot be %d"), s->n_tokens, context);
    if (hash != s->hash && (rc = cache_hold(k, c, hash, err)))
        return rc;
    if (c->v.draft == DRAFT_MTP && ((rc = next_open(k->m, err)) || ((!s->next || context != s->context) && (rc = next_fits(k->m, context, err)))))
        return rc;
    if (anew && (rc = rebuild(s, c, err)))
        return rc;
    if (c->v.draft != s->config->v.draft)                     /* another kind keeps other things of each row */
        step_ahead_drop(s);
    if (!anew && (seed != s->seed || policy == ENG_RECOMPUTE))
        kv_reuse(k->pool, &s->line, s->tokens, s->n_tokens, seed, hash, policy);
    if (context != s->context) {
        s->tokens = q_realloc(s->tokens, sizeof *s->tokens * (size_t)context);
        s->context = context;
        next_free(s->next);
        s->next = NULL;
        s->next_rest = 0;
    }
    /* Under `continue` the logits at hand still choose the next token; the one after it is c's. */
    if (policy == ENG_RECOMPUTE && !step_logits_fit(s))
        step_logits(s, NULL);
    eng_config *copy = eng_config_copy(c);
    eng_config_free(s->config);
    s->config = copy;
    s->hash = hash;
    s->seed = seed;
    return 0;
}

const eng_config *eng_session_get_config(const eng_session *s) { return s->config; }
eng_cache *eng_session_cache(const eng_session *s) { return s->cache; }

/* A text is about to take the place of what stands there: it fits, its tokens are known, and what was ready for more is dropped. */
static int begin_text(eng_session *s, const int32_t *tokens, int n, char *err)
{
    step_fresh(s);
    if (n > s->context)
        return q_fail(err, Q_RANGE, _("%d tokens do not fit into the context of %d: raise context.length or shorten the text"), n, s->context);
    int rc = step_check_tokens(s, tokens, n, err);
    if (rc)
        return rc;
    s->user.logits = NULL;
    step_ahead_drop(s);
    return 0;
}

int eng_session_sync(eng_session *s, const int32_t *tokens, int n, enum eng_policy policy,
                     void (*progress)(void *user, int done, int total), void *user, char *err)
{
    int rc = begin_text(s, tokens, n, err);
    if (rc)
        return rc;
    if (n == 0) {
        kv_release(s->cache->pool, &s->line);
        s->n_tokens = 0;
        return 0;
    }
    kv_reuse(s->cache->pool, &s->line, tokens, n - 1, s->seed, s->hash, policy);
    memmove(s->tokens, tokens, sizeof *tokens * (size_t)n);
    s->n_tokens = n;
    rc = step_catch_up(s, true, progress, user, err);
    if (rc)
        s->n_tokens = s->line.n;
    return rc;
}

int eng_session_reuse(eng_session *s, const int32_t *tokens, int n, enum eng_policy policy, char *err)
{
    int rc = begin_text(s, tokens, n, err);
    if (rc)
        return rc;
    s->n_tokens = kv_reuse(s->cache->pool, &s->line, tokens, n, s->seed, s->hash, policy);
    if (s->n_tokens)
        memmove(s->tokens, tokens, sizeof *tokens * (size_t)s->n_tokens);
    return s->n_tokens;
}

int eng_session_push(eng_session *s, int32_t token, char *err) { return step_push(s, token, ENG_WANT_LOGITS, err); }
int eng_session_push_headless(eng_session *s, int32_t token, char *err) { return step_push(s, token, ENG_WANT_NOTHING, err); }

int eng_session_length(const eng_session *s) { return s->n_tokens; }
int eng_session_room(const eng_session *s) { return s->context - s->n_tokens; }
const int32_t *eng_session_tokens(const eng_session *s) { return s->tokens; }
const float *eng_session_logits(eng_session *s) { return s->user.logits; }
const float *eng_session_keep(eng_session *s) { return cache_keep(s->cache, &s->user); }
void eng_session_cancel(eng_session *s) { atomic_store(&s->cache->cancel, 1); }
void eng_session_uncancel(eng_session *s) { atomic_store(&s->cache->cancel, 0); }

static int more_cells(const void *a, const void *b)
{
    const eng_mix *x = a, *y = b;
    return x->cells != y->cells ? (x->cells < y->cells ? 1 : -1) : x->config < y->config ? -1 : x->config > y->config;
}

int eng_session_mix(const eng_session *s, eng_mix *out, int max)
{
    const kv_pool *pool = s->cache->pool;
    eng_mix *all = NULL;
    int n = 0, at = 0;
    for (int i = 0; i < s->line.n; i++) {
        uint64_t h = kv_cell_config(pool, &s->line, i);
        if (n == 0 || all[at].config != h)
            for (at = 0; at < n && all[at].config != h; at++) {}
        if (at == n) {
            all = q_realloc(all, sizeof *all * (size_t)(n + 1));
            all[n++] = (eng_mix){ .config = h };
        }
        all[at].cells++;
        all[at].forced += kv_cell_forced(pool, &s->line, i) != 0;
    }
    if (n)
        qsort(all, (size_t)n, sizeof *all, more_cells);
    if (n)
        memcpy(out, all, sizeof *all * (size_t)(n < max ? n : max));
    free(all);
    return n;
}

int eng_session_runs(const eng_session *s, eng_mix *out, int max)
{
    const kv_pool *pool = s->cache->pool;
    int n = 0;
    for (int i = 0; i < s->line.n && max > 0; i++) {
        uint64_t h = kv_cell_config(pool, &s->line, i);
        if (n == 0 || (out[n - 1].config != h && n < max))
            out[n++] = (eng_mix){ .config = h };
        out[n - 1].cells++;
        out[n - 1].forced += kv_cell_forced(pool, &s->line, i) != 0;
    }
    return n;
}

void session_set_chunk(eng_session *s, int rows) { s->chunk = rows < 1 ? 1 : rows > ENG_STEP_ROWS ? ENG_STEP_ROWS : rows; }
uint64_t session_cell_config(const eng_session *s, int cell) { return kv_cell_config(s->cache->pool, &s->line, cell); }
int session_cells(const eng_session *s) { return s->line.n; }

eng_drafts eng_session_drafts(const eng_session *s) { return s->drafts.all; }

eng_speed eng_session_speed(const eng_session *s) { return s->speed; }
void eng_session_speed_reset(eng_session *s) { s->speed = (eng_speed){ 0 }; }

uint64_t eng_trace_read(eng_session *s, uint64_t *cursor, bool (*fn)(void *user, const eng_trace_rec *r), void *user)
{
    return trace_read(s->trace, cursor, fn, user);
}

uint64_t eng_trace_end(eng_session *s) { return trace_end(s->trace); }
