/* provider/many: see many.h. A request has its own copy of the settings, a sampler that is used again, and one timeline of the pool. */
#include "provider/many.h"
#include "provider/answer.h"
#include "provider/pool.h"
#include "provider/render.h"
#include "provider/weigh.h"

#include <stdlib.h>
#include <string.h>

typedef struct many {
    pool *pool;
    int streams, length;                 /* length: the cells that there are */
    q_buf threads;                       /* everybody's, as the knob has it */
    pthread_mutex_t mu;
    talk_sampler *idle;                  /* [streams], those in use taken out */
    int n_idle;
} many;

/* A request on its way. */
typedef struct one {
    pool_stream *s;
    talk *t;
    prov_result *out;                    /* the request's, of all its answers */
    uint64_t cursor;                     /* in the trace */
    bool ahead;                          /* the last token is on its way: hooks.between has not been asked about the next */
    int told;                            /* positions that hooks know: what is evaluated anew is not told twice */
} one;

static many *of(prov *p) { return ((local *)p)->many; }

/* ---- samplers ---- */
/* One that knows this grammar, if there is one: what it knows of it took a while. */
static talk_sampler take_sampler(local *l, uint64_t grammar)
{
    many *m = l->many;
    talk_sampler s = { NULL, 0 };
    pthread_mutex_lock(&m->mu);
    int at = m->n_idle - 1;
    while (at > 0 && m->idle[at].held != grammar)
        at--;
    if (at >= 0) {
        s = m->idle[at];
        m->idle[at] = m->idle[--m->n_idle];
    }
    pthread_mutex_unlock(&m->mu);
    if (!s.s) {
        s.s = eng_sampler_new(l->m);
        eng_sampler_watch(s.s, pool_anchor(m->pool));
    }
    return s;
}

static void give_sampler(many *m, talk_sampler s)
{
    pthread_mutex_lock(&m->mu);
    m->idle[m->n_idle++] = s;            /* never more than there are streams */
    pthread_mutex_unlock(&m->mu);
}

/* ---- where a request's tokens are evaluated ---- */
static bool tell(void *user, const eng_trace_rec *r)
{
    one *o = user;
    if (r->pos >= o->told) {
        o->told = r->pos + 1;
        eng_trace_rec seen = *r;
        if (r->pos < o->t->n_prompt)     /* as of every prompt: ids alone */
            seen.weights = seen.entropy = seen.margin = NULL;
        talk_position(o->t, &seen);
    }
    return true;
}

static void fed(void *self, talk *t)
{
    one *o = self;
    eng_session *s = pool_session(o->s);
    if (t->hooks->position)
        eng_trace_read(s, &o->cursor, tell, o);
    else
        o->cursor = eng_trace_end(s);
}

static bool go(void *user)
{
    const one *o = user;
    const prov_hooks *h = o->t->hooks;
    const prov_result *r = o->t->result ? o->t->result : o->out;
    return !h->between || h->between(h->user, (int)(r - o->out), r->tokens - o->ahead);
}

static void row(void *user, int pos, const float *logits) { talk_row(user, pos, logits); }

static int prompt(void *self, talk *t, bool first, char *err)
{
    one *o = self;
    int n = t->text->n, at = 0, rc = pool_begin(o->s, t->text->id, n, t->anew, t->rows ? row : NULL, t, err);
    o->told = 0;
    while (rc == Q_OK && at < n) {
        at = pool_feed(o->s, t->text->id, n, err);
        rc = at < 0 ? at : Q_OK;
        if (rc < 0)
            break;
        int found = pool_found(o->s);
        t->result->cached_tokens = found;
        if (t->hooks->prefill)
            t->hooks->prefill(t->hooks->user, at - found, n - found);
        fed(o, t);
        if (at < n && !go(o))
            rc = q_fail(err, Q_CANCEL, _("stopped"));
    }
    t->result->evaluated |= rc == Q_OK;
    if (t->hooks->prefilled)
        t->hooks->prefilled(t->hooks->user, t->result);
    return rc;
}

static int push(void *self, talk *t, int32_t token, char *err)
{
    one *o = self;
    int at = 0;
    eng_tokens_add(t->text, token);
    o->ahead = true;
    while (at >= 0 && at < t->text->n) {
        at = pool_feed(o->s, t->text->id, t->text->n, err);
        if (at >= 0 && at < t->text->n && !go(o))        /* it was put off, and is evaluated anew in parts */
            at = q_fail(err, Q_CANCEL, _("stopped"));
    }
    o->ahead = false;
    if (at < 0)
        t->text->n--;
    return at < 0 ? at : Q_OK;
}

static bool stale(void *self) { return false; }
static const float *logits(void *self) { return pool_logits(((one *)self)->s); }
static int room(void *self, const talk *t) { return (int)eng_config_number(t->c, "context.length") - t->text->n; }

static const talk_way way = { prompt, stale, push, logits, room, fed };

/* ---- requests ---- */
int many_ask(prov *p, const prov_request *r, const prov_hooks *h, prov_result *out, char *err)
{
    local *l = (local *)p;
    many *m = l->many;
    int n = r->n > 1 ? r->n : 1;
    eng_config *c = local_settings(l, r);
    eng_tokens begin = { .most = render_most(c) }, text = { 0 };
    talk t = { .l = l, .r = r, .hooks = h, .c = c, .way = &way, .text = &text };
    one o = { .t = &t, .out = out };
    int rc = eng_config_set(c, "threads", m->threads.p, err);
    if (rc == Q_OK)
        rc = render_anew(l, c, r, &begin, err);
    if (rc == Q_OK)
        rc = pool_enter(m->pool, c, go, &o, &o.s, err);
    if (rc == Q_OK) {
        talk_sampler sampler = take_sampler(l, talk_grammar(&t));
        t.self = &o;
        t.sampler = &sampler;
        rc = talk_answer(&t, begin.id, begin.n, out, err);
        give_sampler(m, sampler);
        for (int i = 0; i < n; i++)
            pool_tell(m->pool, &out[i], i == 0);
        pool_leave(o.s);
    }
    for (int i = 0; i < n && rc == Q_CANCEL; i++)
        out[i].finish = PROV_STOPPED;
    eng_tokens_free(&begin);
    eng_tokens_free(&text);
    eng_config_free(c);
    return rc == Q_CANCEL ? Q_OK : rc;
}

/* The cache is made for what it was opened with. */
int many_set(prov *p, const prov_config *c, enum prov_policy policy, char *err)
{
    local *l = (local *)p;
    q_buf a = { 0 }, b = { 0 };
    eng_config *now = local_settings(l, NULL), *next = local_conf(c);
    bool same = strcmp(eng_config_get(now, "kv.type", &a), eng_config_get(next, "kv.type", &b)) == 0;
    int length = (int)eng_config_number(next, "context.length"), rc = Q_OK;
    if (!same || length > l->many->length)
        rc = q_fail(err, Q_RANGE, _("several requests share %d tokens in kv.type %s: another kv.type or a longer context.length is for a new start"),
                    l->many->length, eng_config_get(now, "kv.type", &a));
    else
        local_take(l, eng_config_copy(next));
    q_buf_free(&a);
    q_buf_free(&b);
    eng_config_free(now);
    return rc;
}

void many_cancel(prov *p, bool on)
{
    atomic_store(&((local *)p)->cancelled, on);
    pool_cancel(of(p)->pool, on);
}

prov_room many_context(prov *p) { return (prov_room){ .used = pool_used(of(p)->pool), .size = of(p)->length }; }
prov_load many_load(prov *p) { return pool_load(of(p)->pool); }

/* ---- what has a cache of its own ---- */
int many_score(prov *p, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *), void *user, char *err)
{
    pool_hold(of(p)->pool);
    int rc = weigh_score(p, before, text, n, each, user, err);
    pool_let_go(of(p)->pool);
    return rc;
}

int many_judge(prov *p, const prov_request *r, int n_request, const char *const *text, int n, double *share, prov_go *may, void *user, char *err)
{
    pool_hold(of(p)->pool);
    int rc = weigh_judge(p, r, n_request, text, n, share, may, user, err);
    pool_let_go(of(p)->pool);
    return rc;
}

int many_embed(prov *p, const char *text, size_t n, float *out, char *err)
{
    pool_hold(of(p)->pool);
    int rc = weigh_embed(p, text, n, out, err);
    pool_let_go(of(p)->pool);
    return rc;
}

/* ---- opening ---- */
int many_open(local *l, int streams, many **out, char *err)
{
    many *m = q_alloc(sizeof *m);
    q_buf b = { 0 };
    m->streams = streams;
    m->length = (int)eng_config_number(l->c, "context.length");
    q_buf_puts(&m->threads, eng_config_get(l->c, "threads", &b));
    q_buf_free(&b);
    pthread_mutex_init(&m->mu, NULL);
    int rc = pool_open(l->m, l->c, streams, &m->pool, err);
    if (rc < 0) {
        many_close(m);
        return rc;
    }
    m->idle = q_alloc(sizeof *m->idle * (size_t)streams);
    l->base.info.can = (l->base.info.can | PROV_PARALLEL) & ~(unsigned)(PROV_LIVE | PROV_STATE);
    *out = m;
    return Q_OK;
}

void many_close(many *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->n_idle; i++)
        eng_sampler_free(m->idle[i].s);
    pool_close(m->pool);
    pthread_mutex_destroy(&m->mu);
    q_buf_free(&m->threads);
    free(m->idle);
    free(m);
}
