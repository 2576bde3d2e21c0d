/* agent/teacher: see teacher.h. */
#include "agent/teacher.h"
#include "agent/errands.h"
#include "agent/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NICENESS = 19, TOLD_NS = 200000000, LEAN = 4 };

/* ---- telling ---- */
static void tell(agt *a, const tch_state *s, bool turned)
{
    agt_event e = { .kind = AGT_EV_TEACH, .text = tch_state_line(s), .name = q_strdup(tch_phase_word(s->phase)), .data = tch_state_json(s), .note = *s->problem ? q_strdup(s->problem) : NULL,
                    .done = s->step, .total = s->steps, .rate = s->left_s, .flag = turned };
    evq_push(&a->events, &e);
}

static void on_state(void *user, const tch_state *s)
{
    agt *a = user;
    teacher *t = &a->teacher;
    if (s->phase >= TCH_DONE) {          /* said when the next run may begin: work */
        t->last = *s;
        return;
    }
    pthread_mutex_lock(&t->mu);
    bool turned = !t->any || t->now.phase != s->phase;
    t->now = *s;
    t->any = true;
    pthread_mutex_unlock(&t->mu);
    int64_t now = q_now_ns();
    if (!turned && now - t->told_ns < TOLD_NS)
        return;
    t->told_ns = now;
    tell(a, s, turned);
}

static void on_page(void *user, const char *title, const char *text, const char *json)
{
    agt *a = user;
    char *name = q_printf("/teach %s", title);
    note_page(&a->events, name, q_strdup(text), q_strdup(json));
    free(name);
}

static bool on_go(void *user)
{
    agt *a = user;
    return !tch_stop_wanted() && desk_leisure(&a->desk, &a->teacher.stop);
}

/* Somebody in another window wants it to stop: on_go may be waiting for an answer of this one. */
static void on_halt(void *user)
{
    agt *a = user;
    desk_stir(&a->desk, &a->teacher.stop);
}

bool teacher_state(agt *a, tch_state *out)
{
    teacher *t = &a->teacher;
    pthread_mutex_lock(&t->mu);
    bool any = t->any;
    *out = t->now;
    pthread_mutex_unlock(&t->mu);
    return any;
}

static void ended(agt *a, const job *j)
{
    tch_state now;
    if (teacher_state(a, &now))
        tell(a, &now, true);
}

static const job_row job_ended = { .name = "teach ended", .lane = LANE_QUICK, .end = END_CARRIED, .run = ended };

/* ---- its thread ---- */
static void *work(void *user)
{
    agt *a = user;
    teacher *t = &a->teacher;
    char err[Q_ERRLEN], *file = NULL;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);          /* of this thread; those it starts take it */
    tch_job j = { .name = t->name, .settings = t->settings, .model = t->model, .store = a->store, .go = on_go, .tell = on_state, .page = on_page, .user = a, .stop = &t->stop, .halts = on_halt };
    int rc = tch_run(&j, &file, err);
    pthread_mutex_lock(&t->mu);
    bool person = t->person || tch_stop_wanted();
    pthread_mutex_unlock(&t->mu);
    if (rc == Q_CANCEL && person) {
        char ignored[Q_ERRLEN];
        tch_stopped(t->name, ignored);
    }
    if (rc < 0 && !desk_quits(&a->desk))
        note(&a->events, rc == Q_CANCEL ? AGT_INFO : AGT_ERROR, "%s", err);
    if (rc == Q_OK)
        desk_post(&a->desk, &job_taught, 0, 0, t->name, file);
    free(file);
    pthread_mutex_lock(&t->mu);
    t->busy = false;
    t->now = t->last;
    bool undo = t->undo;
    char *name = q_strdup(t->name);      /* from here on the thread's fields are the next run's */
    pthread_mutex_unlock(&t->mu);
    desk_post(&a->desk, &job_ended, 0, 0, NULL, NULL);       /* not from here: whoever begins the next run waits for this thread, and may be who empties the queue of events */
    if (undo)
        desk_post(&a->desk, &job_untaught, 0, 0, name, NULL);
    free(name);
    return NULL;
}

/* ---- its life ---- */
void teacher_open(teacher *t) { pthread_mutex_init(&t->mu, NULL); }

void teacher_quit(agt *a) { desk_stir(&a->desk, &a->teacher.stop); }

void teacher_close(agt *a)
{
    teacher *t = &a->teacher;
    if (t->there)
        pthread_join(t->thread, NULL);
    free(t->name);
    free(t->settings);
    free(t->model);
    pthread_mutex_destroy(&t->mu);
}

/* The file of the model that is loaded; malloc'ed or NULL. */
static char *loaded(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    char *path = a->shown.path ? q_strdup(a->shown.path) : NULL;
    pthread_mutex_unlock(&a->shown.mu);
    return path;
}

static void put(char **at, const char *text)
{
    free(*at);
    *at = q_strdup(text);
}

bool teacher_run(agt *a, const char *name, const char *words)
{
    teacher *t = &a->teacher;
    char *model = loaded(a);
    if (!model) {
        note(&a->events, AGT_ERROR, _("no model is loaded that could be taught: /model lists those at hand"));
        return false;
    }
    pthread_mutex_lock(&t->mu);
    bool busy = t->busy, begun = false;
    if (!busy) {
        if (t->there)
            pthread_join(t->thread, NULL);       /* it is over: this waits for nothing */
        put(&t->name, name);
        put(&t->settings, words);
        put(&t->model, model);
        atomic_store(&t->stop, false);
        t->person = t->undo = false;
        t->now = (tch_state){ .phase = TCH_OPENING };
        snprintf(t->now.name, sizeof t->now.name, "%.*s", TCH_NAME, name);
        t->any = true;
        t->there = t->busy = begun = pthread_create(&t->thread, NULL, work, a) == 0;
    }
    pthread_mutex_unlock(&t->mu);
    free(model);
    if (busy)
        note(&a->events, AGT_ERROR, _("%s is being taught: /teach stop ends that, and it can be gone on with"), t->name);
    else if (!begun)
        note(&a->events, AGT_ERROR, _("the system gives no thread for it: try again"));
    return begun;
}

void teacher_stop(agt *a)
{
    teacher *t = &a->teacher;
    char err[Q_ERRLEN];
    pthread_mutex_lock(&t->mu);
    bool busy = t->busy;
    t->person |= busy;
    pthread_mutex_unlock(&t->mu);
    if (busy)
        desk_stir(&a->desk, &t->stop);
    else if (tch_stop(err) == Q_OK)      /* in another window */
        note(&a->events, AGT_INFO, _("the run in the other window stops within a second"));
    else
        note(&a->events, AGT_INFO, "%s", err);
}

char *teacher_undo(agt *a, const char *name)
{
    teacher *t = &a->teacher;
    pthread_mutex_lock(&t->mu);
    bool it = t->busy && (!name || strcmp(name, t->name) == 0);
    char *which = it ? q_strdup(t->name) : NULL;
    t->person |= it;
    t->undo |= it;
    pthread_mutex_unlock(&t->mu);
    if (it)
        desk_stir(&a->desk, &t->stop);
    return which;
}

void teacher_loaded(agt *a)
{
    char *of = NULL, *model = NULL, *name = NULL;
    if (!a->embedder.makes || atomic_exchange(&a->teacher.looked, true))
        return;
    name = tch_cut_off(&of);
    model = loaded(a);
    if (name && of && model && strcmp(of, model) == 0) {
        note(&a->events, AGT_INFO, _("%s was being taught when quorum ended: it goes on (/teach stop ends it)"), name);
        teacher_run(a, name, "");
    }
    free(of);
    free(model);
    free(name);
}
