/* agent/sync: what the session holds: labels and hashes of configurations, which of them made which cells, and evaluation with
 * progress. Engine thread. It never waits for the screen but in a full event queue. */
#include "agent/talk.h"
#include "agent/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- configurations ---- */
const char *sync_label(const eng_config *c, char *buf, size_t n)
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

void sync_know(seat *s, const eng_config *c)
{
    uint64_t h = eng_config_hash(c);
    for (int i = 0; i < s->n_known; i++)
        if (s->known[i].hash == h)
            return;
    s->known = q_realloc(s->known, sizeof *s->known * (size_t)(s->n_known + 1));
    known *k = &s->known[s->n_known++];
    memset(k, 0, sizeof *k);
    k->hash = h;
    k->json = eng_config_json(c);
    sync_label(c, k->label, sizeof k->label);
}

enum eng_policy sync_policy(settings *s)
{
    q_buf b = { 0 };
    bool again = strcmp(settings_value(s, "context.policy", &b), "recompute") == 0;
    q_buf_free(&b);
    return again ? ENG_RECOMPUTE : ENG_CONTINUE;
}

void sync_mix(agt *a)
{
    eng_mix m[16];
    int n = a->seat.session ? eng_session_mix(a->seat.session, m, 16) : 0;
    pthread_mutex_lock(&a->shown.mu);
    a->shown.n_mix = n;
    memset(a->shown.st.mix, 0, sizeof a->shown.st.mix);
    for (int i = 0; i < n && i < 16; i++) {
        const char *label = "?";
        for (int j = 0; j < a->seat.n_known; j++)
            if (a->seat.known[j].hash == m[i].config)
                label = a->seat.known[j].label;
        snprintf(a->shown.mix[i].label, sizeof a->shown.mix[i].label, "%s", label);
        a->shown.mix[i].cells = m[i].cells;
        if (i < 2) {
            memcpy(a->shown.st.mix[i].label, a->shown.mix[i].label, sizeof a->shown.st.mix[i].label);
            a->shown.st.mix[i].cells = m[i].cells;
        }
    }
    a->shown.st.n_mix = n < 2 ? n : 2;
    a->shown.st.mix_rest = n > 2 ? n - 2 : 0;
    a->shown.st.ctx_used = a->seat.session ? eng_session_length(a->seat.session) : 0;
    a->shown.st.ctx_size = a->seat.session ? a->shown.st.ctx_used + eng_session_room(a->seat.session) : 0;
    pthread_mutex_unlock(&a->shown.mu);
}

void sync_publish(agt *a)
{
    if (!a->seat.model || !a->seat.cfg)
        return;
    const eng_info *info = eng_model_info(a->seat.model);
    eng_cost cost = eng_model_cost(a->seat.model, a->seat.cfg);
    eng_config *copy = eng_config_copy(a->seat.cfg), *old;
    q_buf b = { 0 };
    sync_know(&a->seat, a->seat.cfg);
    pthread_mutex_lock(&a->shown.mu);
    old = a->shown.cfg;
    a->shown.cfg = copy;
    agt_status *s = &a->shown.st;
    if (!a->shown.full_name || strcmp(a->shown.full_name, info->name) != 0) {
        free(a->shown.full_name);
        a->shown.full_name = q_strdup(info->name);
    }
    view_model_name(info->name, info->carved, s->model, sizeof s->model);
    snprintf(s->label, sizeof s->label, "%s", eng_config_label(a->seat.cfg, &b));
    snprintf(s->languages, sizeof s->languages, "%s", info->languages ? info->languages : "");
    s->loaded = true;
    s->chat_template = info->chat;
    s->carved = info->carved;
    s->thinks = info->thinks;
    s->n_expert = info->n_expert;
    s->k = info->n_expert ? eng_config_k(a->seat.cfg) : 0;
    if (info->n_expert && strchr(eng_config_get(a->seat.cfg, "experts.k", &b), ','))
        s->k = -1;
    s->params_active = cost.params;
    s->params_total = info->params;
    s->bytes_per_token = cost.bytes_layers + cost.bytes_head;
    pthread_mutex_unlock(&a->shown.mu);
    eng_config_free(old);
    q_buf_free(&b);
    watch_config(a);
    sync_mix(a);
}

/* ---- evaluation with progress ---- */
static void prefill(void *user, int done, int total)
{
    agt *a = user;
    double s = (double)(q_now_ns() - a->seat.prefill_from) / 1e9, rate = s > 0 ? done / s : 0;
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.prefill = true;
    a->shown.st.prefill_rate = rate;
    a->shown.st.ctx_used = eng_session_length(a->seat.session);
    pthread_mutex_unlock(&a->shown.mu);
    agt_event e = { .kind = AGT_EV_PREFILL, .done = done, .total = total > 0 ? total : 1, .rate = rate };
    evq_push(&a->events, &e);
    watch_feed(a, NULL);
}

int sync_tokens(agt *a, const eng_tokens *t, char *err)
{
    enum eng_policy p = a->seat.after_again ? ENG_RECOMPUTE : sync_policy(&a->settings);
    a->seat.prefill_from = q_now_ns();
    int rc = eng_session_sync(a->seat.session, t->id, t->n, p, prefill, a, err);
    if (rc == Q_OK)
        a->seat.after_again = false;
    agt_event e = { .kind = AGT_EV_PREFILL };
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.prefill = false;
    a->shown.st.prefill_rate = 0;
    pthread_mutex_unlock(&a->shown.mu);
    evq_push(&a->events, &e);
    sync_mix(a);
    return rc;
}

static void recompute(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (!a->seat.session || a->seat.timeline.n == 0) {
        note(&a->events, AGT_INFO, _("the context is empty: there is nothing to evaluate anew"));
        return;
    }
    a->seat.after_again = true;
    int rc = sync_tokens(a, &a->seat.timeline, err);
    if (rc == Q_CANCEL)
        note(&a->events, AGT_WARN, _("stopped: %d of %d tokens are evaluated anew, the rest follows with the next question"),
                  eng_session_length(a->seat.session), a->seat.timeline.n);
    else if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        char label[64];
        note(&a->events, AGT_INFO, ngettext("the context is evaluated anew: %d token, %s", "the context is evaluated anew: %d tokens, %s", (unsigned long)a->seat.timeline.n), a->seat.timeline.n, sync_label(a->seat.cfg, label, sizeof label));
    }
    watch_feed(a, NULL);
}

const job_row job_recompute = { .name = "recompute", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = recompute };
