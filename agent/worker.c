/* agent/worker: the engine thread. Takes jobs in order, applies edits of the configuration between two tokens, owns the
 * model, the session and the present branch. While nothing is asked of it, it learns what routing is usual.
 * It never waits for the screen but in a full event queue. */
#include "agent/room.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- configurations ---- */
const char *worker_label(const agt *a, const eng_config *c, char *buf, size_t n)
{
    q_buf b = { 0 };
    const char *l = eng_config_label(c, &b);
    bool standard = strcmp(l, "standard") == 0;
    int k = eng_config_k(c);
    if (standard && k > 0)
        snprintf(buf, n, "%s · k %d", _("standard"), k);
    else
        snprintf(buf, n, "%s", standard ? _("standard") : l);
    buf[q_utf8_whole(buf, strlen(buf))] = 0;
    q_buf_free(&b);
    return buf;
}

void worker_know(agt *a, const eng_config *c)
{
    uint64_t h = eng_config_hash(c);
    for (int i = 0; i < a->n_known; i++)
        if (a->known[i].hash == h)
            return;
    a->known = q_realloc(a->known, sizeof *a->known * (size_t)(a->n_known + 1));
    known *k = &a->known[a->n_known++];
    memset(k, 0, sizeof *k);
    k->hash = h;
    k->json = eng_config_json(c);
    worker_label(a, c, k->label, sizeof k->label);
}

enum eng_policy worker_policy(agt *a)
{
    q_buf b = { 0 };
    bool again = strcmp(knobs_agent_value(a, "context.policy", &b), "recompute") == 0;
    q_buf_free(&b);
    return again ? ENG_RECOMPUTE : ENG_CONTINUE;
}

void worker_mix(agt *a)
{
    eng_mix m[16];
    int n = a->session ? eng_session_mix(a->session, m, 16) : 0;
    pthread_mutex_lock(&a->mu);
    a->n_mix = n;
    memset(a->st.mix, 0, sizeof a->st.mix);
    for (int i = 0; i < n && i < 16; i++) {
        const char *label = "?";
        for (int j = 0; j < a->n_known; j++)
            if (a->known[j].hash == m[i].config)
                label = a->known[j].label;
        snprintf(a->mix[i].label, sizeof a->mix[i].label, "%s", label);
        a->mix[i].cells = m[i].cells;
        if (i < 2) {
            memcpy(a->st.mix[i].label, a->mix[i].label, sizeof a->st.mix[i].label);
            a->st.mix[i].cells = m[i].cells;
        }
    }
    a->st.n_mix = n < 2 ? n : 2;
    a->st.mix_rest = n > 2 ? n - 2 : 0;
    a->st.ctx_used = a->session ? eng_session_length(a->session) : 0;
    a->st.ctx_size = a->session ? a->st.ctx_used + eng_session_room(a->session) : 0;
    pthread_mutex_unlock(&a->mu);
}

void worker_publish(agt *a)
{
    if (!a->model || !a->cfg)
        return;
    const eng_info *info = eng_model_info(a->model);
    eng_cost cost = eng_model_cost(a->model, a->cfg);
    eng_config *copy = eng_config_copy(a->cfg), *old;
    q_buf b = { 0 };
    worker_know(a, a->cfg);
    pthread_mutex_lock(&a->mu);
    old = a->shown;
    a->shown = copy;
    agt_status *s = &a->st;
    if (!a->full_name || strcmp(a->full_name, info->name) != 0) {
        free(a->full_name);
        a->full_name = q_strdup(info->name);
    }
    view_model_name(info->name, info->carved, s->model, sizeof s->model);
    snprintf(s->label, sizeof s->label, "%s", eng_config_label(a->cfg, &b));
    snprintf(s->languages, sizeof s->languages, "%s", info->languages ? info->languages : "");
    s->loaded = true;
    s->chat_template = info->chat;
    s->carved = info->carved;
    s->thinks = info->thinks;
    s->n_expert = info->n_expert;
    s->k = info->n_expert ? eng_config_k(a->cfg) : 0;
    if (info->n_expert && strchr(eng_config_get(a->cfg, "experts.k", &b), ','))
        s->k = -1;
    s->params_active = cost.params;
    s->params_total = info->params;
    s->bytes_per_token = cost.bytes_layers + cost.bytes_head;
    pthread_mutex_unlock(&a->mu);
    eng_config_free(old);
    q_buf_free(&b);
    routing_start(a);
    worker_mix(a);
}

static void edit_free(edit *e)
{
    free(e->name);
    free(e->value);
    free(e);
}

/* experts.k by delta in every routed layer, held within 1 and what the model has. */
static char *nudged(agt *a, const eng_config *c, int delta)
{
    q_buf v = { 0 }, out = { 0 };
    int n = eng_model_info(a->model)->n_expert;
    const char *p = eng_config_get(c, "experts.k", &v);
    while (*p) {
        char *end;
        long k = strtol(p, &end, 10) + delta;
        if (end == p)
            break;
        q_buf_printf(&out, "%s%ld", out.len ? "," : "", k < 1 ? 1 : k > n ? n : k);
        p = end + (*end == ',');
    }
    q_buf_free(&v);
    return q_buf_take(&out);
}

static char *meaning(agt *a, enum q_effect e, int token)
{
    int cells = a->session ? eng_session_length(a->session) : 0;
    bool anew = worker_policy(a) == ENG_RECOMPUTE;
    if (e == Q_EFFECT_PROMPT)
        return q_strdup(_("from the next question"));
    if (e < Q_EFFECT_PROMPT)
        return q_strdup(token ? _("from the next token") : _("from the next answer"));
    if (cells == 0)
        return q_strdup(_("from the next answer"));
    if (e >= Q_EFFECT_POSITION || anew) {
        int t = a->timeline.n > cells ? a->timeline.n : cells;
        return q_printf(ngettext("%d token to re-evaluate", "%d tokens to re-evaluate", (unsigned long)t), t);
    }
    return q_printf(token ? ngettext("from the next token; %d cached token stays as it was made (/recompute changes that)",
                                     "from the next token; %d cached tokens stay as they were made (/recompute changes that)", (unsigned long)cells)
                          : ngettext("from the next answer; %d cached token stays as it was made (/recompute changes that)",
                                     "from the next answer; %d cached tokens stay as they were made (/recompute changes that)", (unsigned long)cells), cells);
}

/* One edit on one configuration; *name and *value say what it came to. */
static int edited(agt *a, const edit *e, eng_config *c, char **name, char **value, char *err)
{
    q_buf b = { 0 };
    int rc = Q_OK;
    if (e->kind == EDIT_NUDGE) {
        if (eng_model_info(a->model)->n_expert == 0)
            rc = q_fail(err, Q_RANGE, _("this model is dense: it has no experts to choose; /model lists others"));
        else {
            char *k = nudged(a, c, e->delta);
            rc = eng_config_set(c, "experts.k", k, err);
            free(k);
        }
    } else
        rc = eng_config_set(c, e->name, e->value, err);
    if (rc == Q_OK) {
        *name = q_strdup(e->kind == EDIT_NUDGE ? "experts.k" : e->name);
        *value = q_strdup(eng_config_get(c, *name, &b));
    }
    q_buf_free(&b);
    return rc;
}

/* Returns how many took effect. *resync: the cells are gone or stale and the timeline must be evaluated anew. */
int worker_apply_edits(agt *a, int token, bool *resync)
{
    int applied = 0;
    for (;;) {
        pthread_mutex_lock(&a->mu);
        edit *e = a->edits;
        if (e) {
            a->edits = e->next;
            if (!a->edits)
                a->edits_end = &a->edits;
        }
        pthread_mutex_unlock(&a->mu);
        if (!e)
            return applied;
        char err[Q_ERRLEN], *name = NULL, *value = NULL;
        eng_config *c = NULL;
        int rc = Q_OK;
        if (!a->cfg)
            rc = q_fail(err, Q_ERR, _("no model is loaded, so its knobs have no values yet: run quorum model fetch, or /model FILE"));
        else if (e->kind == EDIT_TOGGLE) {
            if (!a->previous)
                rc = q_fail(err, Q_NOTFOUND, _("there is no other configuration yet: change a knob first"));
            else {
                char label[64];
                c = eng_config_copy(a->previous);
                name = q_strdup("");
                value = q_strdup(worker_label(a, c, label, sizeof label));
            }
        } else {
            c = eng_config_copy(a->cfg);
            rc = edited(a, e, c, &name, &value, err);
        }
        if (rc == Q_OK && eng_config_hash_all(c) == eng_config_hash_all(a->cfg) && eng_config_diff(a->cfg, c) == Q_EFFECT_SAMPLING && e->kind != EDIT_TOGGLE) {
            q_buf was = { 0 };
            if (strcmp(eng_config_get(a->cfg, name, &was), value) == 0) {
                agt_event ev = { .kind = AGT_EV_KNOB, .name = name, .text = value, .number = token, .note = q_strdup(_("unchanged")) };
                evq_push(&a->q, &ev);
                q_buf_free(&was);
                eng_config_free(c);
                edit_free(e);
                continue;
            }
            q_buf_free(&was);
        }
        enum q_effect effect = rc == Q_OK ? eng_config_diff(a->cfg, c) : Q_EFFECT_SAMPLING;
        char *note = NULL;
        if (rc == Q_OK && e->kind == EDIT_SET) {
            int i = knobs_find(a, name);
            if (i >= 0 && a->knob[i]->effect == Q_EFFECT_PROMPT)
                effect = Q_EFFECT_PROMPT;
        }
        if (rc == Q_OK)
            note = meaning(a, effect, token);
        if (rc == Q_OK && a->session)
            rc = eng_session_config(a->session, c, worker_policy(a), err);
        if (rc < 0) {
            room_note(a, AGT_ERROR, "%s", err);
            free(name);
            free(value);
            free(note);
            eng_config_free(c);
            edit_free(e);
            continue;
        }
        if (resync && (effect >= Q_EFFECT_POSITION || (effect >= Q_EFFECT_ROUTING && worker_policy(a) == ENG_RECOMPUTE)))
            *resync = true;
        if (a->home) {                   /* during /again the edit also stays afterwards */
            char *n2 = NULL, *v2 = NULL;
            if (e->kind != EDIT_TOGGLE)
                edited(a, e, a->home, &n2, &v2, err);
            free(n2);
            free(v2);
            eng_config_free(a->cfg);
        } else {
            eng_config_free(a->previous);
            a->previous = a->cfg;
        }
        a->cfg = c;
        a->config_changed = true;
        applied++;
        worker_publish(a);
        agt_event ev = { .kind = AGT_EV_KNOB, .name = name, .text = value, .number = token, .note = note };
        evq_push(&a->q, &ev);
        edit_free(e);
    }
}

/* ---- loading ---- */
static void loading(void *user, uint64_t done, uint64_t total)
{
    agt *a = user;
    agt_event e = { .kind = AGT_EV_LOADING, .done = (int64_t)done, .total = (int64_t)(total ? total : 1) };
    evq_push(&a->q, &e);
}

static void unload(agt *a)
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
    pthread_mutex_lock(&a->rmu);
    a->live.u = a->live.next_u = NULL;
    a->live.fresh = false;
    routing_shape(&a->live, 0, 0, 0, 0, 1);
    pthread_mutex_unlock(&a->rmu);
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
    a->no_baseline = false;
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
        unload(a);
        rc = load(a, path, false, &l, err);
        char why[Q_ERRLEN];
        loaded old;
        if (rc < 0 && a->model_path && load(a, a->model_path, false, &old, why) == Q_OK)
            install(a, &old);
    }
    if (rc < 0)
        return rc;
    unload(a);
    install(a, &l);
    pthread_mutex_lock(&a->mu);
    free(a->model_path);
    a->model_path = q_strdup(path);
    pthread_mutex_unlock(&a->mu);
    return Q_OK;
}

static void job_load(agt *a, const job *j)
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
            worker_publish(a);
        } else {
            free(a->load_error);
            a->load_error = q_strdup(err);
            unload(a);
        }
        return;
    }
    free(a->load_error);
    a->load_error = NULL;
    worker_publish(a);
    const eng_info *info = eng_model_info(a->model);
    if (info->template_note && !a->base)
        room_note(a, AGT_WARN, "%s", info->template_note);
    agt_event e = { .kind = AGT_EV_READY, .text = q_strdup(info->name) };
    evq_push(&a->q, &e);
}

/* ---- the present conversation ---- */
void worker_reload_path(agt *a)
{
    char err[Q_ERRLEN];
    mem_messages_free(&a->path);
    if (a->chat && mem_branch(a->store, a->chat, 0, &a->path, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
}

void worker_emit_opened(agt *a)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    if (a->chat && mem_conversation_get(a->store, a->chat, &c, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    char *draft = NULL;
    if (!a->chat)
        draft = agt_setting_get(a, "draft.new");
    agt_event e = { .kind = AGT_EV_OPENED, .id = a->chat, .text = q_strdup(c.title ? c.title : ""),
                    .draft = a->chat ? q_strdup(c.draft ? c.draft : "") : draft ? draft : q_strdup(""), .scroll = a->chat ? c.scroll : -1,
                    .message = view_branch(a, &a->path), .n_messages = a->path.n };
    pthread_mutex_lock(&a->mu);
    a->st.chat = a->chat;
    pthread_mutex_unlock(&a->mu);
    mem_conversation_free(&c);
    evq_push(&a->q, &e);
}

int worker_open(agt *a, int64_t chat)
{
    char err[Q_ERRLEN];
    if (chat && mem_conversation_opened(a->store, chat, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return Q_ERR;
    }
    a->chat = chat;
    a->keep_from = 0;
    worker_reload_path(a);
    worker_emit_opened(a);
    int64_t last = 0;
    for (int i = 0; i < a->path.n; i++)
        if (a->path.v[i].has_trace)
            last = a->path.v[i].id;
    pthread_mutex_lock(&a->rmu);
    a->show_stored = false;
    if (a->live.hit)
        routing_clear(&a->live);
    pthread_mutex_unlock(&a->rmu);
    if (last)
        routing_show(a, last);
    return Q_OK;
}

static void job_open(agt *a, const job *j)
{
    if (j->id || !j->text) {
        worker_open(a, j->id);
        return;
    }
    char err[Q_ERRLEN];                  /* /new TITLE */
    int64_t id;
    if (mem_conversation_new(a->store, j->text, &id, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else
        worker_open(a, id);
}

static const mem_message *on_path(agt *a, int64_t id, enum mem_role role)
{
    for (int i = a->path.n - 1; i >= 0; i--)
        if (id ? a->path.v[i].id == id : a->path.v[i].role == role)
            return &a->path.v[i];
    return NULL;
}

static void job_branch(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const mem_message *m = on_path(a, j->id, MEM_ASSISTANT);
    if (!j->id && m && m->siblings < 2)
        for (int i = a->path.n - 1; i >= 0; i--)
            if (a->path.v[i].siblings > 1) {
                m = &a->path.v[i];
                break;
            }
    if (!m || m->siblings < 2) {
        room_note(a, AGT_INFO, _("there is no other version here: /again or /edit makes one"));
        return;
    }
    mem_messages all = { 0 };
    int64_t leaf;
    int to = (m->sibling - 1 + (int)j->number + m->siblings) % m->siblings;
    if (mem_siblings(a->store, m->id, &all, err) < 0 || to >= all.n || mem_leaf_below(a->store, all.v[to].id, &leaf, err) < 0 ||
        mem_conversation_leaf(a->store, a->chat, leaf, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else
        worker_open(a, a->chat);
    mem_messages_free(&all);
}

static void job_delete(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t id = j->id ? j->id : a->chat;
    if (!id) {
        room_note(a, AGT_INFO, _("this conversation is empty: there is nothing to delete"));
        return;
    }
    if (mem_conversation_delete(a->store, id, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    room_note(a, AGT_INFO, _("conversation %lld is deleted"), (long long)id);
    if (id == a->chat) {
        int64_t last = 0;
        if (mem_conversation_last(a->store, &last, err) < 0)
            last = 0;
        worker_open(a, last);
    }
    agt_ask_chats(a);
}

static void job_rename(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t id = j->id ? j->id : a->chat;
    if (!id && mem_conversation_new(a->store, j->text, &a->chat, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else if (id && mem_conversation_title(a->store, id, j->text, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    if (!j->id || j->id == a->chat) {
        worker_reload_path(a);
        worker_emit_opened(a);
    }
    agt_ask_chats(a);
}

/* ---- evaluation with progress ---- */
static void prefill(void *user, int done, int total)
{
    agt *a = user;
    double s = (double)(q_now_ns() - a->prefill_from) / 1e9, rate = s > 0 ? done / s : 0;
    pthread_mutex_lock(&a->mu);
    a->st.prefill = true;
    a->st.prefill_rate = rate;
    a->st.ctx_used = eng_session_length(a->session);
    pthread_mutex_unlock(&a->mu);
    agt_event e = { .kind = AGT_EV_PREFILL, .done = done, .total = total > 0 ? total : 1, .rate = rate };
    evq_push(&a->q, &e);
    routing_live(a, NULL);
}

int worker_sync(agt *a, const eng_tokens *t, char *err)
{
    enum eng_policy p = a->after_again ? ENG_RECOMPUTE : worker_policy(a);
    a->prefill_from = q_now_ns();
    int rc = eng_session_sync(a->session, t->id, t->n, p, prefill, a, err);
    if (rc == Q_OK)
        a->after_again = false;
    agt_event e = { .kind = AGT_EV_PREFILL };
    pthread_mutex_lock(&a->mu);
    a->st.prefill = false;
    a->st.prefill_rate = 0;
    pthread_mutex_unlock(&a->mu);
    evq_push(&a->q, &e);
    worker_mix(a);
    return rc;
}

static void job_recompute(agt *a)
{
    char err[Q_ERRLEN];
    if (!a->session || a->timeline.n == 0) {
        room_note(a, AGT_INFO, _("the context is empty: there is nothing to evaluate anew"));
        return;
    }
    a->after_again = true;
    int rc = worker_sync(a, &a->timeline, err);
    if (rc == Q_CANCEL)
        room_note(a, AGT_WARN, _("stopped: %d of %d tokens are evaluated anew, the rest follows with the next question"),
                  eng_session_length(a->session), a->timeline.n);
    else if (rc < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else {
        char label[64];
        room_note(a, AGT_INFO, ngettext("the context is evaluated anew: %d token, %s", "the context is evaluated anew: %d tokens, %s", (unsigned long)a->timeline.n), a->timeline.n, worker_label(a, a->cfg, label, sizeof label));
    }
    routing_live(a, NULL);
}

/* ---- the loop ---- */
static void run(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    switch (j->kind) {
    case JOB_LOAD: job_load(a, j); break;
    case JOB_OPEN: job_open(a, j); break;
    case JOB_SEND: turn_send(a, j->text, 0, true, j->number); break;
    case JOB_AGAIN: turn_again(a, j->id, j->text ? j->text : ""); break;
    case JOB_EDIT: turn_edit(a, j->id, j->text, j->number); break;
    case JOB_BRANCH: job_branch(a, j); break;
    case JOB_RECOMPUTE: job_recompute(a); break;
    case JOB_DELETE: job_delete(a, j); break;
    case JOB_RENAME: job_rename(a, j); break;
    case JOB_MANUAL:
        if (rag_manual(a->store, err) < 0)
            room_note(a, AGT_WARN, "%s", err);
        break;
    default: break;
    }
}

static bool stoppable(enum job_kind k)
{
    return k == JOB_SEND || k == JOB_AGAIN || k == JOB_EDIT || k == JOB_RECOMPUTE;
}

void *worker_main(void *user)
{
    agt *a = user;
    bool more = false;
    for (;;) {
        pthread_mutex_lock(&a->mu);
        bool will_load = false;
        for (job *j = a->todo.first; j; j = j->next)
            will_load |= j->kind == JOB_LOAD;
        while (!a->quit && !a->todo.first && !a->edits && !more)
            pthread_cond_wait(&a->work, &a->mu);
        if (a->quit) {
            pthread_mutex_unlock(&a->mu);
            break;
        }
        bool edits = a->edits && !(will_load && !a->cfg);
        job *j = NULL;
        if (!edits && a->todo.first) {
            j = a->todo.first;
            a->todo.first = j->next;
            if (!a->todo.first)
                a->todo.last = NULL;
            a->running = true;
            atomic_store(&a->stop, false);
            a->answering = stoppable(j->kind);
            if (a->cancel)
                eng_session_uncancel(a->cancel);
        }
        pthread_mutex_unlock(&a->mu);
        if (edits)
            worker_apply_edits(a, 0, NULL);
        else if (j) {
            run(a, j);
            bool check_usual = j->kind != JOB_OPEN;
            job_free(j);
            pthread_mutex_lock(&a->mu);
            a->running = a->answering = false;
            if (a->cancel)
                eng_session_uncancel(a->cancel);
            pthread_mutex_unlock(&a->mu);
            more = check_usual;
            continue;
        }
        more = (edits || more) && routing_baseline(a);
    }
    /* Questions that were still waiting when the program ended: kept, to be answered by /again. */
    for (job *j = a->todo.first; j; j = j->next) {
        if (j->kind == JOB_OPEN)
            job_open(a, j);
        if (j->kind == JOB_SEND)
            if (turn_store(a, j->text, 0, true))
                pending_placed(a, j->number);
    }
    unload(a);
    usual_save(a);
    mem_messages_free(&a->path);
    return NULL;
}
