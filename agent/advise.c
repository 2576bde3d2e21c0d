/* agent/advise: what suits this machine: the published models, and of the loaded one (or one that is named) what k costs. Jobs of the quick
 * lane. The machine is measured once, while nothing is answered: a stream of tokens is not slowed down by it. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "agent/view.h"

#include <stdlib.h>
#include <string.h>

/* The machine as it is now; how fast it reads is taken over from an earlier look, unless anew is set, and never less than an answer reached.
 * False: nobody measured it yet, and an answer runs that measuring would slow down. */
static bool look(agt *a, bool anew, adv_machine *m)
{
    pthread_mutex_lock(&a->shown.mu);
    const adv_machine before = a->shown.about.advice.machine;
    const double reached = a->shown.about.elsewhere ? 0 : costs_reached(&a->shown);
    pthread_mutex_unlock(&a->shown.mu);
    const bool measure = !desk_answering(&a->desk) && (anew || !before.measured);
    adv_machine_here(measure, m);
    if (!measure) {
        m->ram_bandwidth = before.ram_bandwidth;
        m->madds = before.madds;
        m->measured = before.measured;
    }
    if (m->measured && reached > m->ram_bandwidth) m->ram_bandwidth = reached;       /* measured beside something else */
    return m->measured;
}

/* path: of a file, NULL: of none. Q_CANCEL: it cannot be measured now. */
static int read_about(agt *a, const char *path, bool anew, agt_advice *out, char *err)
{
    adv_machine m;
    const char *slash = path ? strrchr(path, '/') : NULL;
    *out = (agt_advice){ .n = 0 };
    if (!look(a, anew, &m)) return q_fail(err, Q_CANCEL, _("An answer runs, and measuring the machine would slow it down: /advise again when it has ended."));
    return adv_about_read(path, slash ? slash + 1 : path, &m, out, err);
}

/* Of the loaded model, where its weights are here. NULL: none is loaded, or a server has it. malloc'ed. */
static char *loaded(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    char *path = a->shown.path && *a->shown.path != '@' ? q_strdup(a->shown.path) : NULL;
    pthread_mutex_unlock(&a->shown.mu);
    return path;
}

static void measured(agt *a, const char *path, agt_advice *about)
{
    pthread_mutex_lock(&a->shown.mu);
    about->measured = path && a->shown.path && strcmp(a->shown.path, path) == 0 ? a->shown.st.rate.decode : 0;
    pthread_mutex_unlock(&a->shown.mu);
}

static const job_row job_advice_owed;

/* The page: all of it, or of the file that is named what stands in it of a file. */
static void advise(agt *a, const job *j)
{
    char err[Q_ERRLEN], *path = NULL;
    q_buf out = { 0 }, data = { 0 };
    agt_advice about = { .n = 0 };
    const bool whole = strcmp(j->text, "text") == 0;
    int rc = Q_OK;
    if (whole) path = loaded(a);
    else rc = measure_file(a, j->text, "", &path, err);
    if (rc == Q_OK) rc = read_about(a, path, false, &about, err);
    if (rc == Q_OK) {
        measured(a, path, &about);
        adv_say_about(&about, whole, 0, &out);
        adv_json_about(&about, whole, &data);
        note_page(&a->events, "/advise", q_buf_take(&out), q_buf_take(&data));
    } else note(&a->events, AGT_ERROR, "%s", err);
    adv_about_free(&about);
    free(path);
}

/* The same for the panel. number 1: the machine is measured anew. */
static void advice(agt *a, const job *j)
{
    char err[Q_ERRLEN], *path = loaded(a);
    agt_advice about;
    int rc = read_about(a, path, j->number == 1, &about, err);
    if (rc == Q_OK) {
        pthread_mutex_lock(&a->shown.mu);
        agt_advice old = a->shown.about.advice;
        a->shown.about.advice = about;
        about = old;
        pthread_mutex_unlock(&a->shown.mu);
    } else if (rc != Q_CANCEL) note(&a->events, AGT_ERROR, "%s", err);
    adv_about_free(&about);
    if (rc == Q_CANCEL) desk_post(&a->desk, &job_advice_owed, 0, 0, NULL, NULL);
    agt_event e = { .kind = AGT_EV_ADVICE, .flag = rc == Q_CANCEL };
    evq_push(&a->events, &e);
    free(path);
}

/* The engine's turn has come: what it answered before has ended. */
static void owed(agt *a, const job *j)
{
    (void)j;
    desk_post(&a->desk, &job_advice, 0, 0, NULL, NULL);
}

void agt_ask_advice(agt *a, bool anew) { desk_post(&a->desk, &job_advice, 0, anew, NULL, NULL); }

bool agt_get_advice(agt *a, agt_advice *out)
{
    pthread_mutex_lock(&a->shown.mu);
    adv_about_copy(&a->shown.about.advice, out);
    out->measured = a->shown.st.rate.decode;
    pthread_mutex_unlock(&a->shown.mu);
    return out->n > 0;
}

const job_row job_advise = { .name = "advise", .lane = LANE_QUICK, .end = END_DROPPED, .run = advise };
const job_row job_advice = { .name = "advice", .lane = LANE_QUICK, .end = END_DROPPED, .run = advice };
static const job_row job_advice_owed = { .name = "advice owed", .lane = LANE_ENGINE, .end = END_DROPPED, .run = owed };
