/* provider/pool: see pool.h. One lock over the streams' states; what touches the cache is done by the pool's own thread, without the lock
 * while a pass runs. A stream's text is its caller's memory: it stands still while it waits. */
#include "provider/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_ROWS = 16, ECHO_ROWS = 32, ASKED_MS = 100, LEAST_NS = 1000000, MOST_NS = 50000000 };

/* Without a place; handed something in; in the pass that runs; served by the last one, and waited for; not waited for; left. */
enum state { QUEUED, WAITING, PASS, OUT, AWAY, GONE };

struct pool_stream {
    pool_stream *next;                   /* the older first */
    pool *p;
    enum state state;
    pthread_cond_t woken;
    const eng_config *c;
    uint64_t hash;
    eng_session *s;                      /* with a place */
    const int32_t *token; int n;         /* the caller's */
    void (*row)(void *user, int pos, const float *logits);
    void *row_user;
    int at;                              /* evaluated of them; in a pass the pool's thread's, without the lock */
    int held;                            /* the same, as of the last pass: under the lock */
    bool look;                           /* what of its text is in the cache is to be found before it goes on */
    bool anew;                           /* nothing but what it has evaluated itself is found */
    bool off;                            /* holds nothing, until there is room */
    int high, found;                     /* of the text that was begun: evaluated or found once; found */
    struct { int at[ENG_BORDERS], n; } border;   /* of it: where a step ends and what recurrent layers remember is kept */
    pool_go *go;
    void *go_user;
    int rows;                            /* in the pass at hand */
    const float *logits;
    int rc;                              /* < 0: with err */
    char err[Q_ERRLEN];
};

struct pool {
    eng_cache *cache;
    eng_session *anchor;
    int places;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t work, idle;           /* for the pool's thread; for who holds it */
    pool_stream *first;
    bool running, closing, passing, held;
    atomic_bool cancelled;
    int64_t until;                       /* OUT streams are waited for */
    double plain_s, row_s;               /* the last pass without a prompt; a prompt's row. 0: not known */
    prov_load load;
    pool_stream *in[PROV_STREAMS];       /* the pass */
    int n_in;
    eng_row row[ENG_STEP_ROWS];
    eng_out out;
};

static struct timespec at_time(int64_t ns) { return (struct timespec){ ns / 1000000000, ns % 1000000000 }; }

static void new_cond(pthread_cond_t *c)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}

static int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- places ---- */
static void wake(pool_stream *s, enum state to)
{
    s->state = to;
    pthread_cond_signal(&s->woken);
}

static void fail_stream(pool_stream *s, int rc, const char *why)
{
    s->rc = rc;
    q_fail(s->err, rc, "%s", why);
    wake(s, AWAY);
}

static void drop(pool *p, pool_stream *s)
{
    pool_stream **at = &p->first;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    eng_session_free(s->s);
    pthread_cond_destroy(&s->woken);
    free(s);
}

/* Who left goes, and the oldest in the queue get the places. */
static void admit(pool *p)
{
    int taken = 0;
    char err[Q_ERRLEN];
    for (pool_stream *s = p->first, *next; s; s = next) {
        next = s->next;
        if (s->state == GONE)
            drop(p, s);
        else
            taken += s->s != NULL;
    }
    for (pool_stream *s = p->first; s && taken < p->places; s = s->next)
        if (s->state == QUEUED && !s->rc) {
            int rc = eng_cache_session(p->cache, s->c, &s->s, err);
            taken += rc == Q_OK;
            if (rc < 0)
                fail_stream(s, rc, err);
            else
                wake(s, AWAY);
        }
}

/* ---- who is in the next pass ---- */
static int pages_of(int tokens) { return (tokens + 63) / 64 + 1; }

static int pages_free(const pool *p)
{
    int held, shared;
    eng_cache_pages(p->cache, &held, &shared);
    return eng_cache_room(p->cache) - held;
}

static void put_off(pool_stream *s)
{
    char err[Q_ERRLEN];
    eng_session_reuse(s->s, NULL, 0, ENG_RECOMPUTE, err);
    s->at = s->held = 0;
    s->look = s->off = true;
}

/* What of its text is anywhere in the cache. The last token is always evaluated: its logits are wanted. */
static void look(pool_stream *s)
{
    char err[Q_ERRLEN];
    int n = s->anew && s->high < s->n ? s->high : s->n - 1;
    int rc = eng_session_reuse(s->s, s->token, n, ENG_RECOMPUTE, err);
    s->look = false;
    s->at = s->held = rc < 0 ? 0 : rc;
    s->border.n = rc < 0 ? 0 : eng_session_borders(s->s, s->token, s->n, s->border.at);
    if (rc < 0)
        fail_stream(s, rc, err);
}

/* Tokens up to the next border, or to the end. */
static int ahead(const pool_stream *s)
{
    int to = s->n;
    for (int i = s->border.n - 1; i >= 0; i--)
        to = s->border.at[i] > s->at ? s->border.at[i] : to;
    return to - s->at;
}

static bool at_border(const pool_stream *s)
{
    for (int i = 0; i < s->border.n; i++)
        if (s->at == s->border.at[i])
            return true;
    return false;
}

/* Others that hold cells and may go on: as long as there are some, a text without room waits. */
static bool others_run(const pool *p, const pool_stream *s)
{
    for (const pool_stream *o = p->first; o; o = o->next)
        if (o != s && o->s && !o->off && !o->look && (o->state == WAITING || o->state == OUT) && o->at > 0)
            return true;
    return false;
}

/* Makes a text ready to go on; false: it has to wait for room. */
static bool begins(pool *p, pool_stream *s)
{
    if (!s->look)
        return true;
    look(s);
    if (s->state != WAITING)
        return true;
    if (pages_of(s->n) - s->at / 64 > pages_free(p) && others_run(p, s)) {
        put_off(s);
        return false;
    }
    s->off = false;
    if (s->at > s->high) {
        s->found += s->at - s->high;
        s->high = s->at;
    }
    return true;
}

static int common(const pool_stream *a, const pool_stream *b)
{
    int n = a->n < b->n ? a->n : b->n, i = 0;
    while (i < n && a->token[i] == b->token[i])
        i++;
    return i;
}

/* An older one in this pass evaluates what this one lacks: it is found afterwards. */
static bool follows(const pool *p, pool_stream *s)
{
    for (const pool_stream *o = p->first; o != s && !s->anew; o = o->next)
        if (o->state == PASS && o->rows > 1 && o->hash == s->hash && common(o, s) > s->at + 64 && common(o, s) > o->at) {
            s->look = true;
            return true;
        }
    return false;
}

/* Rows of all prompts in a pass with so many others. */
static int share(const pool *p, int going_on)
{
    double most = going_on ? p->plain_s : 1;
    int rows = p->row_s > 0 && most > 0 ? (int)(most / p->row_s) : going_on ? 32 : 128;
    int room = ENG_STEP_ROWS - going_on;
    return rows > room ? room : rows < LEAST_ROWS ? LEAST_ROWS : rows;
}

/* Gives streams their rows of the next pass: how many rows. */
static int choose(pool *p)
{
    int one = 0, prompts = 0, rows = 0;
    p->n_in = 0;
    bool full = false;
    for (pool_stream *s = p->first; s; s = s->next) {
        s->rows = 0;
        if (s->state != WAITING || (full && s->look))
            continue;
        if (!begins(p, s)) {
            full = true;                 /* no younger one begins before it */
            continue;
        }
        if (s->state != WAITING)
            continue;
        s->rows = s->n - s->at == 1 && !s->row ? 1 : 2;
        one += s->rows == 1;
        prompts += s->rows > 1;
    }
    int left = share(p, one);
    for (pool_stream *s = p->first; s; s = s->next) {
        if (!s->rows || (s->rows > 1 && follows(p, s))) {
            prompts -= s->rows > 1;
            s->rows = 0;
            continue;
        }
        if (s->rows > 1) {
            int most = left > 0 ? (left + prompts - 1) / prompts : 0, want = ahead(s);
            most = s->row && most > ECHO_ROWS ? ECHO_ROWS : most;
            s->rows = want < most ? want : most;
            left -= s->rows;
            prompts--;
        }
        if (s->rows > 0) {
            s->state = PASS;
            p->in[p->n_in++] = s;
            rows += s->rows;
        }
    }
    return rows;
}

/* ---- a pass ---- */
/* The youngest that is away, else the youngest, but never the oldest in the pass. */
static pool_stream *victim(const pool *p)
{
    pool_stream *best = NULL;
    for (pool_stream *s = p->first; s; s = s->next)
        if (s != p->in[0] && s->s && !s->off && s->state != GONE && (s->state == AWAY || !best || best->state != AWAY))
            best = s;
    return best;
}

static void leave_pass(pool *p, const pool_stream *s)
{
    int n = 0;
    for (int i = 0; i < p->n_in; i++)
        if (p->in[i] != s)
            p->in[n++] = p->in[i];
    p->n_in = n;
}

/* Evaluates the rows of streams first..first+n of the pass. */
static int step(pool *p, int first, int n, char *err)
{
    int rows = 0;
    for (int i = first; i < first + n; i++) {
        const pool_stream *s = p->in[i];
        for (int r = 0; r < s->rows; r++)
            p->row[rows++] = (eng_row){ .session = s->s, .token = s->token[s->at + r], .want = s->row || s->at + r + 1 == s->n ? ENG_WANT_LOGITS : ENG_WANT_NOTHING };
    }
    int rc = eng_cache_step(p->cache, p->row, rows, true, &p->out, err);
    for (int i = first, r = 0; i < first + n && rc == Q_OK; i++) {
        pool_stream *s = p->in[i];
        for (int k = 0; k < s->rows; k++, r++, s->at++)
            if (s->row && s->at >= s->high)
                s->row(s->row_user, s->at, p->out.logits[r]);
        s->high = s->at > s->high ? s->at : s->high;
        if (at_border(s))
            eng_session_mark(s->s);
    }
    for (int i = first; i < first + n && rc == Q_OK; i++) {    /* before the next step, which comes where they lie */
        pool_stream *s = p->in[i];
        s->logits = s->at == s->n ? eng_session_keep(s->s) : NULL;
        s->row = s->logits ? NULL : s->row;
    }
    return rc;
}

/* One stream's numbers that are none, or a device's refusal, are its own: each is asked alone. */
static int step_all(pool *p, char *err)
{
    int rc = step(p, 0, p->n_in, err);
    for (int i = 0; i < p->n_in && rc != Q_NOMEM; i++) {
        pool_stream *s = p->in[i];
        s->rc = rc < 0 && rc != Q_CANCEL && p->n_in > 1 ? step(p, i, 1, err) : rc;
        s->rc = s->rc == Q_NOMEM ? Q_OK : s->rc;       /* it asks again, and others may be put off for it */
        if (s->rc < 0)
            q_fail(s->err, s->rc, "%s", err);
    }
    return rc == Q_NOMEM ? rc : Q_OK;
}

static void learn(pool *p, int64_t ns)
{
    int prompts = 0, rows = 0;
    double s = (double)ns / 1e9;
    for (int i = 0; i < p->n_in; i++) {
        rows += p->in[i]->rows;
        prompts += p->in[i]->rows > 1 ? p->in[i]->rows : 0;
    }
    if (prompts == 0)
        p->plain_s = s;
    else if (rows == prompts)
        p->row_s = s / rows;
    else if (p->plain_s > 0 && s > p->plain_s)
        p->row_s = (s - p->plain_s) / prompts;
    p->load.passes++;
    p->load.rows += (uint64_t)rows;
}

/* The pass that was chosen. The lock is let go while it evaluates: streams come and go meanwhile, but none that is in it, and none is dropped. */
static void pass(pool *p)
{
    char err[Q_ERRLEN];
    pool_stream *last;
    int64_t took;
    do {
        int64_t from = clock_now();
        p->passing = true;
        pthread_mutex_unlock(&p->mu);
        int rc = step_all(p, err);
        pthread_mutex_lock(&p->mu);
        p->passing = false;
        took = clock_now() - from;
        last = rc == Q_NOMEM ? victim(p) : NULL;
        for (int i = 0; i < p->n_in && rc == Q_NOMEM && !last; i++) {
            p->in[i]->rc = rc;
            q_fail(p->in[i]->err, rc, "%s", err);
        }
        if (last) {
            if (last->state == PASS) {
                last->state = WAITING;
                leave_pass(p, last);
            }
            put_off(last);
            p->load.put_off++;
        }
    } while (last);
    learn(p, took);
    for (int i = 0; i < p->n_in; i++) {
        p->in[i]->held = p->in[i]->at;
        wake(p->in[i], OUT);
    }
    p->n_in = 0;
    p->until = clock_now() + (took < 4 * LEAST_NS ? LEAST_NS : took > 4 * MOST_NS ? MOST_NS : took / 4);
    pthread_cond_broadcast(&p->idle);
}

static int count(const pool *p, enum state state)
{
    int n = 0;
    for (const pool_stream *s = p->first; s; s = s->next)
        n += s->state == state;
    return n;
}

static void *run(void *user)
{
    pool *p = user;
    pthread_mutex_lock(&p->mu);
    for (;;) {
        if (!p->held)
            admit(p);
        if (p->closing && !p->first)
            break;
        if (p->held || count(p, WAITING) == 0) {
            pthread_cond_wait(&p->work, &p->mu);
            continue;
        }
        if (count(p, OUT) > 0 && clock_now() < p->until) {
            struct timespec t = at_time(p->until);
            pthread_cond_timedwait(&p->work, &p->mu, &t);
            continue;
        }
        for (pool_stream *s = p->first; s; s = s->next)
            s->state = s->state == OUT ? AWAY : s->state;
        if (choose(p) > 0)
            pass(p);
    }
    pthread_mutex_unlock(&p->mu);
    return NULL;
}

/* ---- all of it ---- */
int pool_open(eng_model *m, const eng_config *c, int streams, pool **out, char *err)
{
    if (streams < 1 || streams > PROV_STREAMS)
        return q_fail(err, Q_RANGE, _("%d requests at once cannot be had: 1 to %d"), streams, PROV_STREAMS);
    pool *p = q_alloc(sizeof *p);
    int rc = eng_cache_new(m, c, 1, &p->cache, err);
    if (rc == Q_OK)
        rc = eng_cache_session(p->cache, c, &p->anchor, err);
    p->places = streams;
    pthread_mutex_init(&p->mu, NULL);
    new_cond(&p->work);
    new_cond(&p->idle);
    if (rc == Q_OK && pthread_create(&p->thread, NULL, run, p) != 0)
        rc = q_fail(err, Q_ERR, _("no thread can be started: end other programs, or raise the limit of processes (ulimit -u)"));
    if (rc == Q_OK) {
        p->running = true;
        *out = p;
    } else
        pool_close(p);
    return rc;
}

void pool_close(pool *p)
{
    if (!p)
        return;
    if (p->running) {
        pthread_mutex_lock(&p->mu);
        p->closing = true;
        pthread_cond_signal(&p->work);
        pthread_mutex_unlock(&p->mu);
        pthread_join(p->thread, NULL);
    }
    eng_session_free(p->anchor);
    eng_cache_free(p->cache);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->mu);
    free(p);
}

void pool_cancel(pool *p, bool on)
{
    atomic_store(&p->cancelled, on);
    if (on)
        eng_session_cancel(p->anchor);
    else
        eng_session_uncancel(p->anchor);
    pthread_mutex_lock(&p->mu);
    for (pool_stream *s = p->first; s && on; s = s->next)
        if (s->state == WAITING) {
            s->rc = Q_CANCEL;
            wake(s, AWAY);
        } else
            pthread_cond_signal(&s->woken);
    pthread_mutex_unlock(&p->mu);
}

eng_session *pool_anchor(pool *p) { return p->anchor; }

prov_load pool_load(pool *p)
{
    pthread_mutex_lock(&p->mu);
    prov_load l = p->load;
    l.streams = p->places;
    for (const pool_stream *s = p->first; s; s = s->next) {
        l.running += s->s && s->state != GONE;
        l.waiting += s->state == QUEUED || (s->state == WAITING && s->off);
    }
    pthread_mutex_unlock(&p->mu);
    return l;
}

int pool_used(pool *p)
{
    int used = 0;
    pthread_mutex_lock(&p->mu);
    for (const pool_stream *s = p->first; s; s = s->next)
        used += s->state == GONE ? 0 : s->held;
    pthread_mutex_unlock(&p->mu);
    return used;
}

void pool_tell(pool *p, const prov_result *r, bool first)
{
    pthread_mutex_lock(&p->mu);
    p->load.requests += first;
    p->load.tokens += (uint64_t)r->tokens;
    p->load.prompt_tokens += (uint64_t)r->prompt_tokens;
    p->load.cached_tokens += (uint64_t)r->cached_tokens;
    pthread_mutex_unlock(&p->mu);
}

void pool_hold(pool *p)
{
    pthread_mutex_lock(&p->mu);
    while (p->held)
        pthread_cond_wait(&p->idle, &p->mu);
    p->held = true;
    while (p->passing)
        pthread_cond_wait(&p->idle, &p->mu);
    pthread_mutex_unlock(&p->mu);
}

void pool_let_go(pool *p)
{
    pthread_mutex_lock(&p->mu);
    p->held = false;
    pthread_cond_broadcast(&p->idle);
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->mu);
}

/* ---- one stream ---- */
/* Sleeps while the stream is in a's or b's state; its caller's question is asked without the lock. Q_CANCEL: it shall end. Never left in a pass. */
static int sleep_in(pool_stream *s, enum state a, enum state b)
{
    pool *p = s->p;
    bool end = false;
    while ((s->state == a || s->state == b) && !(end && s->state != PASS)) {
        struct timespec t = at_time(clock_now() + (int64_t)ASKED_MS * 1000000);
        int late = pthread_cond_timedwait(&s->woken, &p->mu, &t);
        end = end || atomic_load(&p->cancelled);
        if (late && !end && s->go) {
            pthread_mutex_unlock(&p->mu);
            end = !s->go(s->go_user);
            pthread_mutex_lock(&p->mu);
        }
    }
    if (end && s->state == a)
        s->state = AWAY;
    return end ? Q_CANCEL : Q_OK;
}

int pool_enter(pool *p, const eng_config *c, pool_go *go, void *user, pool_stream **out, char *err)
{
    pool_stream *s = q_alloc(sizeof *s), **at = &p->first;
    *s = (pool_stream){ .p = p, .c = c, .hash = eng_config_hash(c), .go = go, .go_user = user };
    new_cond(&s->woken);
    pthread_mutex_lock(&p->mu);
    while (*at)
        at = &(*at)->next;
    *at = s;
    pthread_cond_signal(&p->work);
    int rc = atomic_load(&p->cancelled) ? Q_CANCEL : sleep_in(s, QUEUED, QUEUED);
    rc = s->rc < 0 ? q_fail(err, s->rc, "%s", s->err) : rc < 0 ? q_fail(err, rc, _("stopped")) : Q_OK;
    pthread_mutex_unlock(&p->mu);
    if (rc < 0)
        pool_leave(s);
    else
        *out = s;
    return rc;
}

void pool_leave(pool_stream *s)
{
    if (!s)
        return;
    pool *p = s->p;
    pthread_mutex_lock(&p->mu);
    s->state = GONE;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->mu);
}

int pool_begin(pool_stream *s, const int32_t *token, int n, bool anew, void (*row)(void *user, int pos, const float *logits), void *user, char *err)
{
    int most = (int)eng_config_number(s->c, "context.length");
    if (n < 1)
        return q_fail(err, Q_RANGE, _("an empty prompt has nothing to go on from: write something"));
    if (n > most)
        return q_fail(err, Q_RANGE, _("%d tokens do not fit into the context of %d, which all requests share: shorten the text, or raise context.length"), n, most);
    pthread_mutex_lock(&s->p->mu);
    s->token = token;
    s->n = n;
    s->anew = anew;
    s->row = row;
    s->row_user = user;
    s->at = s->held = s->high = s->found = 0;
    s->look = true;
    pthread_mutex_unlock(&s->p->mu);
    return Q_OK;
}

int pool_feed(pool_stream *s, const int32_t *token, int n, char *err)
{
    pool *p = s->p;
    pthread_mutex_lock(&p->mu);
    assert(n > s->at);
    s->token = token;
    s->n = n;
    s->rc = atomic_load(&p->cancelled) ? Q_CANCEL : Q_OK;
    if (s->rc == Q_OK) {
        s->state = WAITING;
        pthread_cond_signal(&p->work);
        int rc = sleep_in(s, WAITING, PASS);
        s->rc = rc < 0 ? rc : s->rc;
    }
    int rc = s->rc < 0 ? q_fail(err, s->rc, "%s", s->rc == Q_CANCEL ? _("stopped") : s->err) : s->at;
    pthread_mutex_unlock(&p->mu);
    return rc;
}

const float *pool_logits(const pool_stream *s) { return s->logits; }
int pool_found(const pool_stream *s) { return s->found; }
eng_session *pool_session(pool_stream *s) { return s->s; }
