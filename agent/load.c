/* agent/load: the model comes and goes. Engine thread.
 * A model that answers is never given up for one that does not load. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void loading(void *user, uint64_t done, uint64_t total)
{
    agt *a = user;
    agt_event e = { .kind = AGT_EV_LOADING, .done = (int64_t)done, .total = (int64_t)(total ? total : 1) };
    evq_push(&a->q, &e);
}

void load_none(agt *a)
{
    pthread_mutex_lock(&a->mu);
    a->cancel = NULL;
    eng_config *shown = a->shown;
    a->shown = NULL;
    memset(&a->st, 0, sizeof a->st);
    a->st.chat = a->chat;
    free(a->full_name);
    a->full_name = NULL;
    a->n_mix = 0;
    pthread_mutex_unlock(&a->mu);
    lab_watch_unload(a->watch);
    eng_config_free(shown);
    eng_session_free(a->session);
    eng_sampler_free(a->sampler);
    eng_config_free(a->cfg);
    eng_config_free(a->previous);
    eng_model_free(a->model);
    a->session = NULL;
    a->sampler = NULL;
    a->cfg = a->previous = NULL;
    a->model = NULL;
    for (int i = 0; i < a->n_known; i++)
        free(a->known[i].json);
    free(a->known);
    a->known = NULL;
    a->n_known = 0;
    a->trace_cursor = 0;
    a->timeline.n = 0;
    a->keep_from = 0;
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

/* Everything that answering needs, beside whatever is loaded now. first: --set must fit the model; later it may not. */
static int load(agt *a, const char *path, bool first, loaded *l, char *err)
{
    eng_open_opts o = { .progress = loading, .user = a };
    memset(l, 0, sizeof *l);
    int rc = eng_model_open(path, &o, &l->model, err);
    if (rc < 0)
        return rc;
    l->cfg = eng_config_new(l->model);
    strings assign = { 0 }, notes = { 0 };
    knobs_read_ini(a, &assign, &notes);
    strings_free(&notes);                /* said at start already */
    for (int i = 0; i < assign.n; i++) {
        char *eq = strchr(assign.v[i], '='), why[Q_ERRLEN];
        *eq = 0;
        if (eng_config_set(l->cfg, assign.v[i], eq + 1, why) < 0)
            room_note(a, AGT_WARN, _("config.ini: %s is skipped: %s"), assign.v[i], why);
    }
    strings_free(&assign);
    for (int i = 0; i < a->n_set && rc == Q_OK; i++) {
        char *name = q_strdup(a->set[i]), *eq = strchr(name, '=');
        *eq = 0;
        int k = knobs_find(a, name);
        if (k >= 0 && a->knob_room[k] == KNOB_ENGINE)
            rc = eng_config_set(l->cfg, name, eq + 1, err);
        if (rc < 0 && !first) {
            room_note(a, AGT_WARN, _("--set %s does not fit this model: %s"), a->set[i], err);
            rc = Q_OK;
        }
        free(name);
    }
    if (rc == Q_OK)
        rc = eng_session_new(l->model, l->cfg, &l->session, err);
    if (rc == Q_OK)
        l->sampler = eng_sampler_new(l->model);
    else
        loaded_free(l);
    return rc;
}

static void install(agt *a, const loaded *l)
{
    a->model = l->model;
    a->cfg = l->cfg;
    a->session = l->session;
    a->sampler = l->sampler;
    a->trace_cursor = 0;
    pthread_mutex_lock(&a->mu);
    a->cancel = l->session;
    pthread_mutex_unlock(&a->mu);
}

/* Would it fit with the present model gone? */
static bool fits_alone(const agt *a, const char *path)
{
    struct stat st;
    return a->model && stat(path, &st) == 0 && (uint64_t)st.st_size < q_mem_available() + eng_model_info(a->model)->file_bytes;
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
        if (rc < 0 && a->model_path && load(a, a->model_path, false, &old, why) == Q_OK)
            install(a, &old);
    }
    if (rc < 0)
        return rc;
    load_none(a);
    install(a, &l);
    pthread_mutex_lock(&a->mu);
    free(a->model_path);
    a->model_path = q_strdup(path);
    pthread_mutex_unlock(&a->mu);
    return Q_OK;
}

void load_job(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    loaded l;
    int rc;
    if (j->id) {
        room_note(a, AGT_INFO, _("loading %s"), j->text);
        rc = job_switch(a, j->text, err);
    } else if (a->model_path) {
        rc = load(a, a->model_path, true, &l, err);
        if (rc == Q_OK)
            install(a, &l);
    } else
        rc = q_fail(err, Q_NOTFOUND, _("there is no model yet: run quorum model fetch, or give one with -m FILE"));
    agt_event ended = { .kind = AGT_EV_LOADING };
    if (j->id || a->model_path)
        evq_push(&a->q, &ended);
    if (rc < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        if (a->model) {
            room_note(a, AGT_INFO, _("%s goes on answering"), eng_model_info(a->model)->name);
            sync_publish(a);
        } else {
            free(a->load_error);
            a->load_error = q_strdup(err);
            load_none(a);
        }
        return;
    }
    free(a->load_error);
    a->load_error = NULL;
    sync_publish(a);
    const eng_info *info = eng_model_info(a->model);
    if (info->template_note && !a->base)
        room_note(a, AGT_WARN, "%s", info->template_note);
    agt_event e = { .kind = AGT_EV_READY, .text = q_strdup(info->name) };
    evq_push(&a->q, &e);
}
