/* exam/speed: prefill and decode of several models and settings beside each other. Each point has a timeline of its own that holds its context; what is measured is
 * read and made on a fork of it, with tokens that no round had before, so that no cell serves it. The models' thread. */
#include "engine/engine.h"
#include "exam/exam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Any ids do: speed does not depend on the words, but routing should vary, so not one token again and again. */
void exam_any_ids(int32_t *tokens, int n, int n_vocab, uint64_t salt)
{
    uint64_t x = salt + 1;
    for (int i = 0; i < n; i++) {
        x = q_mix64(x, (uint64_t)i);
        tokens[i] = (int32_t)(x % (uint64_t)n_vocab);
    }
}

exam_spread exam_spread_of(double *v, int n)
{
    if (n <= 0) return (exam_spread){ 0 };
    qsort(v, (size_t)n, sizeof *v, q_by_number);
    return (exam_spread){ n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[0], v[n - 1], n };
}

typedef struct measured { eng_session *base; double *prefill, *decode, *share; int n, n_share; } measured;

/* Reading a long context takes minutes: who measures is asked between its pieces, too. */
typedef struct asking { const exam_speeds *s; eng_session *what; int done, of; } asking;

typedef struct forecast { asking *a; exam_forecast of; } forecast;
enum { SLOW = 60 };                      /* seconds that are worth a word */

double exam_foretell(exam_forecast *f, int done)
{
    double so_far = 1e-9 * (double)(q_now_ns() - f->since), slope = 0;
    if (done > 0 && f->first <= 0) f->first = done, f->first_s = so_far;
    if (done > f->first && f->first > 0) slope = fmax(0, (so_far / done - f->first_s / f->first) / (done - f->first));
    double all = done > 0 ? (so_far / done - slope * done) * f->sum[0] + slope * f->sum[1] : 0;
    if (all <= SLOW || all <= 2 * f->told) return 0;
    return f->told = all;
}

static bool goes_on(const asking *a) { return !a->s->go || a->s->go(a->s->user, a->done, a->of); }

static void piece(void *user, int done, int total)
{
    const asking *a = user;
    if (!goes_on(a)) eng_session_cancel(a->what);
}

static void piece_of_context(void *user, int done, int total)
{
    forecast *f = user;
    const exam_speeds *s = f->a->s;
    double all = exam_foretell(&f->of, done);
    if (all > 0 && s->slow) s->slow(s->user, all);
    piece(f->a, done, total);
}

/* A point's context, read, or made up where that is wanted and can be. */
static int begin(asking *a, exam_fast *p, eng_session *what, const int32_t *t, char *err)
{
    const exam_speeds *s = a->s;
    if (s->made_up && eng_session_make_up(what, t, p->context, err) == Q_OK) return p->made_up = true, Q_OK;
    forecast f = { .a = a, .of = { .since = q_now_ns() } };
    for (int i = 0; i < s->n; i++)       /* who was told of the first needs not be told of the others */
        if (!s->point[i].refused) f.of.sum[0] += s->point[i].context, f.of.sum[1] += (double)s->point[i].context * s->point[i].context;
    for (const exam_fast *q = s->point; q < p; q++)
        if (q->context > 0 && !q->refused && !q->made_up) f.of.told = (double)INFINITY;
    a->what = what;
    int rc = eng_session_sync(what, t, p->context, ENG_CONTINUE, piece_of_context, &f, err);
    eng_session_uncancel(what);
    return rc;
}

static int read_to(asking *a, eng_session *what, const int32_t *t, int n, char *err)
{
    a->what = what;
    int rc = eng_session_sync(what, t, n, ENG_CONTINUE, piece, a, err);
    eng_session_uncancel(what);
    return rc;
}

/* One measurement of a point: prompt tokens read behind its context, then made one after the other. Q_CANCEL: go said so. */
static int once(asking *a, exam_fast *p, measured *x, int round, char *err)
{
    const exam_speeds *s = a->s;
    int n = p->context + s->prompt + s->tokens, vocab = eng_model_info(p->m)->n_vocab;
    int32_t *t = q_alloc(sizeof *t * (size_t)n);
    eng_session *f = NULL;
    exam_any_ids(t, p->context, vocab, 0);
    exam_any_ids(t + p->context, s->prompt + s->tokens, vocab, (uint64_t)round + 1);
    int rc = Q_OK;
    if (!x->base) {                      /* its context, and weights into memory; threads are up afterwards */
        rc = eng_session_new(p->m, p->c, &x->base, err);
        if (rc == Q_OK && p->context) rc = begin(a, p, x->base, t, err);
    }
    if (rc == Q_OK) rc = eng_session_fork(x->base, &f, err);
    if (rc == Q_OK) {
        eng_session_speed_reset(f);
        rc = read_to(a, f, t, p->context + s->prompt, err);
    }
    for (int i = 0; i < s->tokens && rc == Q_OK; i++) rc = goes_on(a) ? eng_session_push(f, t[p->context + s->prompt + i], err) : q_fail(err, Q_CANCEL, "stopped");
    if (rc == Q_OK && round >= 0) {
        eng_speed v = eng_session_speed(f);
        p->threads = eng_model_threads(p->m);
        x->prefill[x->n] = v.prefill_s > 0 ? v.prefill_tokens / v.prefill_s : 0;
        x->decode[x->n++] = v.decode_s > 0 ? v.decode_tokens / v.decode_s : 0;
    }
    eng_session_free(f);
    free(t);
    return rc;
}

double exam_speed_share(const exam_fast *p) { return p->share.n ? p->share.median : (double)NAN; }

double exam_speed_peak(const exam_speeds *s, const exam_fast *p)
{
    return s->peak > 0 && p->prefill.n && p->madds > 0 ? p->prefill.median * p->madds / s->peak : (double)NAN;
}

/* The best of what was measured bounds every prefill; what stays below one is no bound, and six more tries are made. */
static void bound(exam_speeds *s)
{
    double multiplied = 0;
    struct eng_model *m = NULL;
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (!p->decode.n) continue;
        m = p->m;
        multiplied = fmax(multiplied, p->prefill.high * p->madds);
    }
    for (int i = 0; i < 6 && m && s->peaks && multiplied > 0 && s->peak < multiplied; i++) s->peak = fmax(s->peak, s->peaks(s->user, m));
    if (s->peak < multiplied) s->peak = 0;
}

/* Memory's speed changes from minute to minute, so what bounds a round is what was read right before and after it. */
static void share_of(exam_speeds *s, const exam_fast *p, measured *x, double before, double after)
{
    double bytes = (double)(p->weights + p->cells), reached = x->decode[x->n - 1] * bytes, beside = fmax(fmax(before, after), reached);
    if (beside > 0 && bytes > 0) x->share[x->n_share++] = reached / beside;
    s->bandwidth = fmax(s->bandwidth, beside);
}

static int rounds(exam_speeds *s, measured *x, char *err)
{
    int rc = Q_OK, of = (s->rounds + 1) * s->n, done = 0;
    double before = 0, after;
    struct eng_model *last = NULL;       /* that was measured */
    for (int r = -1; r < s->rounds && rc == Q_OK; r++) {     /* the first is not measured */
        for (int i = 0; i < s->n && rc == Q_OK; i++, done++) {
            exam_fast *p = &s->point[i];
            if (p->refused) continue;
            if (s->go && !s->go(s->user, done, of)) return q_fail(err, Q_CANCEL, "stopped");
            char why[Q_ERRLEN];
            int got = once(&(asking){ .s = s, .done = done, .of = of }, p, &x[i], r, why);
            if (got == Q_CANCEL) return q_fail(err, Q_CANCEL, "stopped");
            if (got != Q_OK) {
                p->refused = q_strdup(why);
                eng_session_free(x[i].base);
                x[i].base = NULL;
                x[i].n = 0;
            } else {                     /* in turn with what they bound */
                last = p->m;
                if (s->reads && r >= 0) {
                    after = s->reads(s->user, p->m);
                    share_of(s, p, &x[i], before, after);
                    before = after;
                }
                if (s->peaks && r >= 0 && p->madds > 0) s->peak = fmax(s->peak, s->peaks(s->user, p->m));
            }
        }
        if (s->reads && r < 0 && last) before = s->reads(s->user, last);
        s->done = r + 1;
    }
    return rc;
}

int exam_speed(exam_speeds *s, char *err)
{
    measured *x = q_alloc(sizeof *x * (size_t)s->n);
    s->done = 0;
    s->bandwidth = s->peak = 0;
    for (int i = 0; i < s->n; i++)
        x[i] = (measured){ NULL, q_alloc(sizeof(double) * (size_t)s->rounds), q_alloc(sizeof(double) * (size_t)s->rounds), q_alloc(sizeof(double) * (size_t)s->rounds), 0, 0 };
    int rc = rounds(s, x, err);
    for (int i = 0; i < s->n; i++) {
        s->point[i].prefill = exam_spread_of(x[i].prefill, x[i].n);
        s->point[i].decode = exam_spread_of(x[i].decode, x[i].n);
        s->point[i].share = exam_spread_of(x[i].share, x[i].n ? x[i].n_share : 0);
        eng_session_free(x[i].base);
        free(x[i].prefill);
        free(x[i].decode);
        free(x[i].share);
    }
    free(x);
    bound(s);
    return rc;
}

void exam_speed_free(exam_speeds *s)
{
    for (int i = 0; i < s->n; i++) free(s->point[i].refused), s->point[i].refused = NULL;
}
