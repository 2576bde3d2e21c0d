/* agent/sync: what the session holds: labels and hashes of configurations, which of them made which cells, and evaluation with
 * progress. Engine thread. It never waits for the screen but in a full event queue. */
#include "agent/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- configurations ---- */
const char *sync_label(const agt *a, const eng_config *c, char *buf, size_t n)
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

void sync_know(agt *a, const eng_config *c)
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
    sync_label(a, c, k->label, sizeof k->label);
}

enum eng_policy sync_policy(agt *a)
{
    q_buf b = { 0 };
    bool again = strcmp(knobs_agent_value(a, "context.policy", &b), "recompute") == 0;
    q_buf_free(&b);
    return again ? ENG_RECOMPUTE : ENG_CONTINUE;
}

void sync_mix(agt *a)
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

void sync_publish(agt *a)
{
    if (!a->model || !a->cfg)
        return;
    const eng_info *info = eng_model_info(a->model);
    eng_cost cost = eng_model_cost(a->model, a->cfg);
    eng_config *copy = eng_config_copy(a->cfg), *old;
    q_buf b = { 0 };
    sync_know(a, a->cfg);
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
    watch_config(a);
    sync_mix(a);
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
    watch_feed(a, NULL);
}

int sync_tokens(agt *a, const eng_tokens *t, char *err)
{
    enum eng_policy p = a->after_again ? ENG_RECOMPUTE : sync_policy(a);
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
    sync_mix(a);
    return rc;
}

void sync_recompute(agt *a)
{
    char err[Q_ERRLEN];
    if (!a->session || a->timeline.n == 0) {
        room_note(a, AGT_INFO, _("the context is empty: there is nothing to evaluate anew"));
        return;
    }
    a->after_again = true;
    int rc = sync_tokens(a, &a->timeline, err);
    if (rc == Q_CANCEL)
        room_note(a, AGT_WARN, _("stopped: %d of %d tokens are evaluated anew, the rest follows with the next question"),
                  eng_session_length(a->session), a->timeline.n);
    else if (rc < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else {
        char label[64];
        room_note(a, AGT_INFO, ngettext("the context is evaluated anew: %d token, %s", "the context is evaluated anew: %d tokens, %s", (unsigned long)a->timeline.n), a->timeline.n, sync_label(a, a->cfg, label, sizeof label));
    }
    watch_feed(a, NULL);
}
