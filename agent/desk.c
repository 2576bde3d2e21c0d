/* agent/desk: queues and flags behind one mutex; see desk.h. It never does any of the work. */
#include "agent/desk.h"

#include <stdlib.h>
#include <time.h>

static const double LONGEST_NS = 3600e9;   /* between two tokens, however small the pace: an hour */

void desk_open(desk *d)
{
    pthread_condattr_t ca;
    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_cond_init(&d->work, &ca);
    pthread_condattr_destroy(&ca);
    pthread_mutex_init(&d->mu, NULL);
    d->edits_end = &d->edits;
}

static void job_free(job *j)
{
    free(j->text);
    free(j->value);
    free(j);
}

void edit_free(edit *e)
{
    free(e->name);
    free(e->value);
    free(e);
}

void desk_close(desk *d)
{
    for (int l = 0; l < LANE_N; l++)
        for (job *j; (j = d->lane[l].first);) {
            d->lane[l].first = j->next;
            job_free(j);
        }
    for (edit *e; (e = d->edits);) {
        d->edits = e->next;
        edit_free(e);
    }
    pthread_mutex_destroy(&d->mu);
    pthread_cond_destroy(&d->work);
}

/* ---- posting ---- */
void desk_post(desk *d, const job_row *row, int64_t id, int64_t number, const char *text, const char *value)
{
    job *j = q_alloc(sizeof *j);
    *j = (job){ .row = row, .id = id, .number = number, .text = text ? q_strdup(text) : NULL, .value = value ? q_strdup(value) : NULL };
    pthread_mutex_lock(&d->mu);
    desk_queue *l = &d->lane[row->lane];
    j->order = ++d->posted;
    if (l->last)
        l->last->next = j;
    else
        l->first = j;
    l->last = j;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
}

void desk_edit(desk *d, enum edit_kind k, int delta, const char *name, const char *value)
{
    edit *e = q_alloc(sizeof *e);
    *e = (edit){ .kind = k, .delta = delta, .name = name ? q_strdup(name) : NULL, .value = value ? q_strdup(value) : NULL };
    pthread_mutex_lock(&d->mu);
    e->order = ++d->posted;
    *d->edits_end = e;
    d->edits_end = &e->next;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
}

/* ---- taking ---- */
static job *pop(desk *d, desk_queue *l)
{
    job *j = l->first;
    l->first = j->next;
    if (!l->first)
        l->last = NULL;
    j->next = NULL;
    l->running = j->row;
    atomic_store(&l->stop, d->quit);
    return j;
}

/* At the end only what must be done is left. */
static void drop(desk *d, desk_queue *l)
{
    while (d->quit && l->first && l->first->row->end == END_DROPPED)
        job_free(pop(d, l));
    l->running = NULL;
}

/* The next edit may be taken: no job before it brings what it may be about. */
static bool ripe(const desk *d)
{
    for (const job *j = d->edits ? d->lane[LANE_ENGINE].first : NULL; j; j = j->next)
        if (j->row->settles && j->order < d->edits->order)
            return false;
    return d->edits != NULL;
}

static void unlock_for(desk *d, const job *j)
{
    void (*before)(void *, const job *) = j ? d->before : NULL;
    void *user = d->before_user;
    pthread_mutex_unlock(&d->mu);
    if (before)
        before(user, j);
}

void desk_before(desk *d, void (*before)(void *user, const job *), void *user)
{
    pthread_mutex_lock(&d->mu);
    d->before = before;
    d->before_user = user;
    pthread_mutex_unlock(&d->mu);
}

job *desk_take(desk *d, enum desk_lane which, bool *quit)
{
    desk_queue *l = &d->lane[which];
    pthread_mutex_lock(&d->mu);
    while (!d->quit && !l->first)
        pthread_cond_wait(&d->work, &d->mu);
    drop(d, l);
    job *j = l->first ? pop(d, l) : NULL;
    *quit = d->quit;
    unlock_for(d, j);
    return j;
}

bool desk_take_engine(desk *d, bool idle, bool no_model, const job_row *load, job **out, bool *edits, bool *quit)
{
    desk_queue *l = &d->lane[LANE_ENGINE];
    *out = NULL;
    *edits = false;
    pthread_mutex_lock(&d->mu);
    d->applying = false;
    for (;;) {
        bool loads = false;
        for (job *j = l->first; j; j = j->next)
            loads |= j->row == load;
        *edits = ripe(d) && !d->quit && !(no_model && loads);
        if (*edits || d->quit || l->first || idle)
            break;
        pthread_cond_wait(&d->work, &d->mu);
    }
    drop(d, l);
    d->applying = *edits;
    if (!*edits && l->first)
        *out = pop(d, l);
    if (*out && d->cancel && !d->quit)
        d->cancel(d->who, false);
    *quit = d->quit;
    unlock_for(d, *out);
    return *out || !*quit;
}

void desk_done(desk *d, job *j)
{
    pthread_mutex_lock(&d->mu);
    desk_queue *l = &d->lane[j->row->lane];
    l->running = NULL;
    if (l == &d->lane[LANE_ENGINE] && d->cancel && !d->quit)
        d->cancel(d->who, false);
    d->ran += j->row->lane != LANE_QUICK;
    pthread_cond_broadcast(&d->work);    /* who waits for leisure */
    pthread_mutex_unlock(&d->mu);
    job_free(j);
}

edit *desk_next_edit(desk *d)
{
    pthread_mutex_lock(&d->mu);
    edit *e = ripe(d) ? d->edits : NULL;
    d->editing = e != NULL;              /* whoever asks for the next has done with the last */
    if (e) {
        d->edits = e->next;
        if (!d->edits)
            d->edits_end = &d->edits;
    }
    pthread_mutex_unlock(&d->mu);
    return e;
}

/* ---- how a person holds the answer ---- */
enum desk_go desk_between(desk *d, int64_t last_ns)
{
    enum desk_go go = DESK_GO;
    pthread_mutex_lock(&d->mu);
    for (;;) {
        go = atomic_load(&d->lane[LANE_ENGINE].stop) || d->quit ? DESK_STOP : ripe(d) ? DESK_EDITS : DESK_GO;
        if (go != DESK_GO)
            break;
        if (d->paused) {
            if (d->steps > 0) {
                d->steps--;
                break;
            }
            pthread_cond_wait(&d->work, &d->mu);
            continue;
        }
        double wait = d->pace > 0 ? 1e9 / d->pace : 0;
        int64_t due = last_ns + (int64_t)(wait < LONGEST_NS ? wait : LONGEST_NS);
        if (q_now_ns() >= due)
            break;
        struct timespec ts = { .tv_sec = due / 1000000000, .tv_nsec = due % 1000000000 };
        pthread_cond_timedwait(&d->work, &d->mu, &ts);
    }
    pthread_mutex_unlock(&d->mu);
    return go;
}

enum desk_go desk_await(desk *d, const atomic_bool *ready)
{
    enum desk_go go;
    pthread_mutex_lock(&d->mu);
    for (;;) {
        bool stop = atomic_load(&d->lane[LANE_ENGINE].stop) || d->quit;
        go = stop ? DESK_STOP : ripe(d) ? DESK_EDITS : DESK_GO;
        if (go != DESK_GO || atomic_load(ready))
            break;
        pthread_cond_wait(&d->work, &d->mu);
    }
    pthread_mutex_unlock(&d->mu);
    return go;
}

bool desk_stopped(desk *d, enum desk_lane l) { return atomic_load(&d->lane[l].stop); }

bool desk_stop(desk *d)
{
    pthread_mutex_lock(&d->mu);
    bool was = d->paused;
    desk_queue *e = &d->lane[LANE_ENGINE], *l = &d->lane[LANE_LONG];
    if (e->running && e->running->answers && d->glances)
        d->glances = false;
    else if (e->running && e->running->answers) {
        atomic_store(&e->stop, true);
        if (d->cancel)
            d->cancel(d->who, true);
    } else if (l->running)
        atomic_store(&l->stop, true);
    d->paused = false;
    d->steps = 0;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
    return was;
}

void desk_glance(desk *d, bool begins)
{
    pthread_mutex_lock(&d->mu);
    d->glances = begins;
    pthread_mutex_unlock(&d->mu);
}

bool desk_pause(desk *d, bool on)
{
    pthread_mutex_lock(&d->mu);
    bool was = d->paused;
    d->paused = on;
    d->steps = 0;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
    return was != on;
}

void desk_step(desk *d)
{
    pthread_mutex_lock(&d->mu);
    if (d->paused)
        d->steps++;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
}

void desk_enough(desk *d, bool yes)
{
    pthread_mutex_lock(&d->mu);
    d->enough = yes;
    pthread_mutex_unlock(&d->mu);
}

bool desk_take_enough(desk *d)
{
    pthread_mutex_lock(&d->mu);
    bool was = d->enough;
    d->enough = false;
    pthread_mutex_unlock(&d->mu);
    return was;
}

void desk_pace(desk *d, double pace)
{
    pthread_mutex_lock(&d->mu);
    d->pace = pace;
    pthread_cond_broadcast(&d->work);    /* a new pace acts at once */
    pthread_mutex_unlock(&d->mu);
}

void desk_cancels(desk *d, void (*cancel)(void *who, bool on), void *who)
{
    pthread_mutex_lock(&d->mu);
    d->cancel = cancel;
    d->who = who;
    pthread_mutex_unlock(&d->mu);
}

void desk_quit(desk *d)
{
    pthread_mutex_lock(&d->mu);
    d->quit = true;
    for (int l = 0; l < LANE_N; l++)
        atomic_store(&d->lane[l].stop, true);
    if (d->cancel)
        d->cancel(d->who, true);
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
}

/* ---- questions ---- */
static bool leads(const job_row *r, enum desk_lane to) { return r && r->then && r->then->lane == to; }

/* Something runs or waits in this lane, or is on its way into it. */
static bool full(const desk *d, enum desk_lane which)
{
    const desk_queue *l = &d->lane[which];
    bool any = l->running || l->first;      /* housekeeping too: what comes behind it waits */
    for (int from = 0; from < LANE_N && !any; from++) {
        any = leads(d->lane[from].running, which);
        for (const job *j = d->lane[from].first; j && !any; j = j->next)
            any = leads(j->row, which);
    }
    return any;
}

static bool tell(desk *d, bool (*f)(const desk *))
{
    pthread_mutex_lock(&d->mu);
    bool yes = f(d);
    pthread_mutex_unlock(&d->mu);
    return yes;
}

static bool wanted(const desk *d) { return d->lane[LANE_ENGINE].first || d->edits || d->quit; }
static bool busy(const desk *d) { return full(d, LANE_ENGINE) || full(d, LANE_LONG) || d->edits || d->editing; }
static bool answering(const desk *d) { return d->lane[LANE_ENGINE].running && d->lane[LANE_ENGINE].running->answers; }
static bool paused(const desk *d) { return d->paused; }

static bool steady(const desk *d)
{
    const desk_queue *l = &d->lane[LANE_ENGINE];
    bool moves = l->running && l->running->moves;
    for (const job *j = l->first; j; j = j->next)
        moves |= j->row->moves;
    return !moves;
}

static bool glances(const desk *d) { return d->glances && !d->quit; }
static bool quits(const desk *d) { return d->quit; }
static bool idle(const desk *d) { return !full(d, LANE_ENGINE) && !full(d, LANE_QUICK) && !full(d, LANE_LONG) && !d->edits && !d->applying; }

static bool rests(const desk *d)
{
    bool any = full(d, LANE_ENGINE) || full(d, LANE_QUICK) || d->edits || d->applying;
    const desk_queue *l = &d->lane[LANE_LONG];
    any |= l->running && !l->running->behind;
    for (const job *j = l->first; j && !any; j = j->next)
        any = !j->row->behind;
    return !any;
}

bool desk_rests(desk *d) { return tell(d, rests); }
bool desk_glances(desk *d) { return tell(d, glances); }
bool desk_quits(desk *d) { return tell(d, quits); }
bool desk_idle(desk *d) { return tell(d, idle); }
bool desk_wanted(desk *d) { return tell(d, wanted); }
bool desk_busy(desk *d) { return tell(d, busy); }
bool desk_answering(desk *d) { return tell(d, answering); }
bool desk_paused(desk *d) { return tell(d, paused); }
bool desk_steady(desk *d) { return tell(d, steady); }

bool desk_waits(desk *d, enum desk_lane l)
{
    pthread_mutex_lock(&d->mu);
    bool yes = full(d, l);
    pthread_mutex_unlock(&d->mu);
    return yes;
}

/* ---- leisure ---- */
bool desk_leisure(desk *d, const atomic_bool *stop)
{
    pthread_mutex_lock(&d->mu);
    while (!d->quit && !atomic_load(stop) && (full(d, LANE_ENGINE) || full(d, LANE_LONG)))
        pthread_cond_wait(&d->work, &d->mu);
    bool go = !d->quit && !atomic_load(stop);
    pthread_mutex_unlock(&d->mu);
    return go;
}

void desk_news(desk *d, uint64_t *ran, int ms, const atomic_bool *stop)
{
    int64_t end = q_now_ns() + (int64_t)ms * 1000000;
    struct timespec ts = { .tv_sec = end / 1000000000, .tv_nsec = end % 1000000000 };
    int rc = 0;
    pthread_mutex_lock(&d->mu);
    while (!d->quit && !atomic_load(stop) && d->ran == *ran && rc == 0)
        rc = ms < 0 ? pthread_cond_wait(&d->work, &d->mu) : pthread_cond_timedwait(&d->work, &d->mu, &ts);
    *ran = d->ran;
    pthread_mutex_unlock(&d->mu);
}

void desk_stir(desk *d, atomic_bool *stop)
{
    pthread_mutex_lock(&d->mu);
    atomic_store(stop, true);
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->mu);
}
