/* agent/load: the model comes and goes. Engine thread.
 * A model that answers is never given up for one that does not load. */
#include "agent/talk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void loading(void *user, uint64_t done, uint64_t total)
{
    agt *a = user;
    agt_event e = { .kind = AGT_EV_LOADING, .done = (int64_t)done, .total = (int64_t)(total ? total : 1) };
    evq_push(&a->events, &e);
}

void load_none(agt *a)
{
    desk_cancels(&a->desk, NULL, NULL);
    pthread_mutex_lock(&a->shown.mu);
    eng_config *old = a->shown.cfg;
    a->shown.cfg = NULL;
    memset(&a->shown.st, 0, sizeof a->shown.st);
    a->shown.st.chat = a->chat.id;
    free(a->shown.full_name);
    a->shown.full_name = NULL;
    a->shown.n_mix = 0;
    pthread_mutex_unlock(&a->shown.mu);
    lab_watch_unload(a->watch);
    eng_config_free(old);
    eng_session_free(a->seat.session);
    eng_sampler_free(a->seat.sampler);
    eng_config_free(a->seat.cfg);
    eng_config_free(a->seat.previous);
    eng_model_free(a->seat.model);
    a->seat.session = NULL;
    a->seat.sampler = NULL;
    a->seat.cfg = a->seat.previous = NULL;
    a->seat.model = NULL;
    for (int i = 0; i < a->seat.n_known; i++)
        free(a->seat.known[i].json);
    free(a->seat.known);
    a->seat.known = NULL;
    a->seat.n_known = 0;
    a->seat.trace_cursor = 0;
    a->seat.timeline.n = 0;
    a->chat.keep_from = 0;
}

typedef struct loaded { eng_model *model; eng_config *cfg; eng_session *session; eng_sampler *sampler; } loaded;

static void loaded_free(loaded *l)
{
    eng_session_free(l->session);
    eng_sampler_free(l->sampler);
    eng_config_free(l->cfg);
    eng_model_free(l->model);
    memset(l, 0, sizeof *l);
}

/* NAME=VALUE on c, where NAME is a knob of the engine's. */
static int assign(const settings *s, const char *words, eng_config *c, char *err)
{
    size_t n = strcspn(words, "=");
    char *name = q_strndup(words, n);
    int k = settings_find(s, name), rc = Q_OK;
    if (k >= 0 && s->room[k] == KNOB_ENGINE)
        rc = eng_config_set(c, name, words + n + 1, err);
    free(name);
    return rc;
}

/* Everything that answering needs, beside whatever is loaded now. first: --set must fit the model; later it may not. */
static int load(agt *a, const char *path, bool first, loaded *l, char *err)
{
    eng_open_opts o = { .progress = loading, .user = a };
    memset(l, 0, sizeof *l);
    int rc = eng_model_open(path, &o, &l->model, err);
    if (rc < 0)
        return rc;
    l->cfg = eng_config_new(l->model);
    for (int i = 0; i < a->settings.ini.n; i++) {
        char why[Q_ERRLEN];
        if (assign(&a->settings, a->settings.ini.v[i], l->cfg, why) < 0)
            note(&a->events, AGT_WARN, _("config.ini: %s is skipped: %s"), a->settings.ini.v[i], why);
    }
    for (int i = 0; i < a->settings.set.n && rc == Q_OK; i++) {
        rc = assign(&a->settings, a->settings.set.v[i], l->cfg, err);
        if (rc < 0 && !first) {
            note(&a->events, AGT_WARN, _("--set %s does not fit this model: %s"), a->settings.set.v[i], err);
            rc = Q_OK;
        }
    }
    if (rc == Q_OK)
        rc = eng_session_new(l->model, l->cfg, &l->session, err);
    if (rc == Q_OK)
        l->sampler = eng_sampler_new(l->model);
    else
        loaded_free(l);
    return rc;
}

static void cancel(void *session, bool on)
{
    if (on)
        eng_session_cancel(session);
    else
        eng_session_uncancel(session);
}

static void install(agt *a, const loaded *l)
{
    a->seat.model = l->model;
    a->seat.cfg = l->cfg;
    a->seat.session = l->session;
    a->seat.sampler = l->sampler;
    a->seat.trace_cursor = 0;
    desk_cancels(&a->desk, cancel, l->session);
}

/* Would it fit with the present model gone? */
static bool fits_alone(const agt *a, const char *path)
{
    struct stat st;
    return a->seat.model && stat(path, &st) == 0 && (uint64_t)st.st_size < q_mem_available() + eng_model_info(a->seat.model)->file_bytes;
}

/* /model: the new one is loaded beside the old, which answers on if that fails. Only where both do not fit and the new one
 * alone may, the old one makes room first, and comes back if that was in vain. */
static int job_switch(agt *a, const char *path, char *err)
{
    loaded l;
    int rc = load(a, path, false, &l, err);
    if (rc == Q_NOMEM && fits_alone(a, path)) {
        load_none(a);
        rc = load(a, path, false, &l, err);
        char why[Q_ERRLEN];
        loaded old;
        if (rc < 0 && a->seat.path && load(a, a->seat.path, false, &old, why) == Q_OK)
            install(a, &old);
    }
    if (rc < 0)
        return rc;
    load_none(a);
    install(a, &l);
    free(a->seat.path);
    a->seat.path = q_strdup(path);
    return Q_OK;
}

static void load_job(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    loaded l;
    int rc;
    if (j->id) {
        note(&a->events, AGT_INFO, _("loading %s"), j->text);
        rc = job_switch(a, j->text, err);
    } else if (a->seat.path) {
        rc = load(a, a->seat.path, true, &l, err);
        if (rc == Q_OK)
            install(a, &l);
    } else
        rc = q_fail(err, Q_NOTFOUND, _("there is no model yet: run quorum model fetch, or give one with -m FILE"));
    agt_event ended = { .kind = AGT_EV_LOADING };
    if (j->id || a->seat.path)
        evq_push(&a->events, &ended);
    if (rc < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        if (a->seat.model) {
            note(&a->events, AGT_INFO, _("%s goes on answering"), eng_model_info(a->seat.model)->name);
            sync_publish(a);
        } else {
            free(a->seat.load_error);
            a->seat.load_error = q_strdup(err);
            load_none(a);
        }
        return;
    }
    free(a->seat.load_error);
    a->seat.load_error = NULL;
    sync_publish(a);
    const eng_info *info = eng_model_info(a->seat.model);
    if (info->template_note && !a->base)
        note(&a->events, AGT_WARN, "%s", info->template_note);
    agt_event e = { .kind = AGT_EV_READY, .text = q_strdup(info->name) };
    evq_push(&a->events, &e);
}

const job_row job_load = { .name = "load", .lane = LANE_ENGINE, .end = END_DROPPED, .run = load_job };
