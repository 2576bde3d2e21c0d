/* agent/sync: what the context holds: which configurations made which cells, and evaluation with progress. Engine thread. It never waits for the screen but in a full event queue. */
#include "agent/talk.h"
#include "agent/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- pins that find no place ---- */
static int k_of(const char *list, int layer)
{
    for (const char *p = list; layer > 0 && (p = strchr(list, ',')); layer--)
        list = p + 1;
    return atoi(list);                   /* one number holds for all */
}

int64_t *sync_pairs(const char *list, int *n)
{
    int64_t *v = q_alloc(sizeof *v * (strlen(list) / 4 + 2));
    *n = 0;
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
        char *colon;
        long layer = strtol(p, &colon, 10);
        if (colon > p && *colon == ':' && layer >= 0)
            v[(*n)++] = (int64_t)layer << 32 | strtol(colon + 1, NULL, 10);
    }
    return v;
}

static int in_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

char *sync_crowded(const prov_config *c)
{
    q_buf a = { 0 }, b = { 0 }, d = { 0 };
    const char *k = prov_config_get(c, "experts.k", &d), *say = NULL;
    int n, n_ban, at = 0, had = 0, layers = 0;
    int64_t *pin = sync_pairs(prov_config_get(c, "experts.pin", &a), &n), *ban = sync_pairs(prov_config_get(c, "experts.ban", &b), &n_ban);
    qsort(pin, (size_t)n, sizeof *pin, in_order);
    qsort(ban, (size_t)n_ban, sizeof *ban, in_order);
    for (int i = 0, layer_n = 0; i < n; i++) {
        layer_n = i && pin[i] >> 32 == pin[i - 1] >> 32 ? layer_n : 0;
        layer_n += !bsearch(&pin[i], ban, (size_t)n_ban, sizeof *ban, in_order);
        int layer = (int)(pin[i] >> 32), have = k_of(k, layer);
        if (layer_n == have + 1)
            layers++;
        if (layers && (layers == 1 || layer == at) && layer_n > have)
            at = layer, had = layer_n;
    }
    if (layers)
        say = layers > 1 ? _("experts.pin: layer %d, as others, pins %d experts with k %d: at each token the %d with the best scores run; more experts.k gives all a place")
                         : _("experts.pin: layer %d pins %d experts with k %d: at each token the %d with the best scores run; more experts.k gives all a place");
    char *sentence = say ? q_printf(say, at, had, k_of(k, at), k_of(k, at)) : NULL;
    free(pin);
    free(ban);
    q_buf_free(&a);
    q_buf_free(&b);
    q_buf_free(&d);
    return sentence;
}

void sync_say_crowded(agt *a, const prov_config *was, const prov_config *c)
{
    char *before = was ? sync_crowded(was) : NULL, *say = sync_crowded(c);
    if (say && (!before || strcmp(before, say) != 0))
        note(&a->events, AGT_WARN, "%s", say);
    free(before);
    free(say);
}

/* ---- what the context holds ---- */
void sync_know(seat *s, const prov_config *c)
{
    uint64_t h = prov_config_hash(c);
    for (int i = 0; i < s->n_known; i++)
        if (s->known[i].hash == h)
            return;
    s->known = q_realloc(s->known, sizeof *s->known * (size_t)(s->n_known + 1));
    known *k = &s->known[s->n_known++];
    memset(k, 0, sizeof *k);
    k->hash = h;
    k->json = prov_config_json(c);
    k->forward = view_key(k->json, true);
    k->k = prov_config_k(c);
    q_buf b = { 0 };
    snprintf(k->label, sizeof k->label, "%s", prov_config_label(c, &b));
    k->label[q_utf8_whole(k->label, strlen(k->label))] = 0;
    q_buf_free(&b);
}

enum prov_policy sync_policy(settings *s)
{
    q_buf b = { 0 };
    bool again = strcmp(settings_value(s, "context.policy", &b), "recompute") == 0;
    q_buf_free(&b);
    return again ? PROV_RECOMPUTE : PROV_CONTINUE;
}

prov_room sync_room(const agt *a)
{
    prov_room r = a->seat.who ? prov_context(a->seat.who) : (prov_room){ 0 };
    if (a->seat.holds != a->chat.id)
        r.used = r.text = 0;
    else if (a->seat.shared >= 0) {
        r.used = r.used < a->seat.shared ? r.used : a->seat.shared;
        r.text = r.text < a->seat.shared ? r.text : a->seat.shared;
    }
    return r;
}

/* Of the first `used` tokens, in their order. */
static int runs_of(agt *a, int used, prov_mix *m)
{
    int n = used ? prov_runs(a->seat.who, m, AGT_RUNS) : 0, left = used;
    for (int i = 0; i < n; i++) {
        m[i].cells = m[i].cells < left ? m[i].cells : left;
        left -= m[i].cells;
        if (left == 0)
            n = i + 1;
    }
    return n;
}

/* The same by configuration. */
static int mixture(agt *a, int used, prov_mix *m, int most)
{
    prov_mix run[AGT_RUNS];
    if (!used || a->seat.shared < 0)
        return used ? prov_mixture(a->seat.who, m, most) : 0;
    int n = 0, all = runs_of(a, used, run);
    for (int i = 0; i < all; i++) {
        int at = 0;
        while (at < n && m[at].config != run[i].config)
            at++;
        if (at == n && n < most)
            m[n++] = (prov_mix){ run[i].config, 0 };
        m[at < n ? at : n - 1].cells += run[i].cells;
    }
    for (int i = 1; i < n; i++)          /* most frequent first; there are few */
        for (int k = i; k > 0 && m[k].cells > m[k - 1].cells; k--) {
            prov_mix x = m[k];
            m[k] = m[k - 1];
            m[k - 1] = x;
        }
    return n;
}

/* The context in order; what does not fit is one run. */
static void runs(agt *a, int used)
{
    prov_mix m[AGT_RUNS];
    int n = runs_of(a, used, m);
    agt_turned *t = &a->shown.turned;
    pthread_mutex_lock(&a->shown.mu);
    t->n_run = n;
    for (int i = 0; i < n; i++) {
        t->run[i] = (agt_run){ 0, m[i].cells };
        for (int j = 0; j < a->seat.n_known; j++)
            if (a->seat.known[j].hash == m[i].config)
                t->run[i].forward = a->seat.known[j].forward;
    }
    pthread_mutex_unlock(&a->shown.mu);
}

void sync_mix(agt *a)
{
    prov_mix m[16];
    prov_room room = sync_room(a);
    int n = mixture(a, room.used, m, 16);
    runs(a, room.used);
    pthread_mutex_lock(&a->shown.mu);
    a->shown.n_mix = n;
    memset(&a->shown.st.mix, 0, sizeof a->shown.st.mix);
    for (int i = 0; i < n && i < 16; i++) {
        const known *of = &(known){ .label = "?" };
        for (int j = 0; j < a->seat.n_known; j++)
            if (a->seat.known[j].hash == m[i].config)
                of = &a->seat.known[j];
        memcpy(a->shown.mix[i].label, of->label, sizeof a->shown.mix[i].label);
        a->shown.mix[i].k = of->k;
        a->shown.mix[i].cells = m[i].cells;
        if (i < 2) {
            memcpy(a->shown.st.mix.of[i].label, a->shown.mix[i].label, sizeof a->shown.st.mix.of[i].label);
            a->shown.st.mix.of[i].k = of->k;
            a->shown.st.mix.of[i].cells = m[i].cells;
        }
    }
    a->shown.st.mix.n = n < 2 ? n : 2;
    a->shown.st.mix.rest = n > 2 ? n - 2 : 0;
    a->shown.st.ctx_used = room.used;
    a->shown.st.ctx_size = room.size;
    a->shown.states.bytes = room.states;
    a->shown.states.n = room.n_states;
    pthread_mutex_unlock(&a->shown.mu);
}

static void *copied(const void *list, size_t each, int n)
{
    return list && n > 0 ? memcpy(q_alloc(each * (size_t)n), list, each * (size_t)n) : NULL;
}

/* What a picture of the configuration is drawn from. Under shown.mu. */
static void show_shape(shown *s, const prov *who, const prov_info *info)
{
    q_buf own = { 0 };
    prov_config *plain = prov_config_new(who);
    s->about.id = info->id;
    s->about.shape.n_layer = info->n_layer;
    s->about.shape.n_head = info->n_head;
    s->about.shape.first = info->first_moe_layer;
    s->about.shape.n_moe = info->n_moe_layer;
    s->about.shape.n_expert = info->n_expert;
    s->about.shape.n_group = info->n_group;
    s->about.shape.n_group_used = info->n_group_used;
    s->about.shape.ctx_train = info->n_ctx_train;
    free(s->about.recurrent);
    free(s->about.window);
    s->about.recurrent = copied(info->layers.recurrent, sizeof *info->layers.recurrent, info->n_layer);
    s->about.window = copied(info->layers.window, sizeof *info->layers.window, info->n_layer);
    s->about.sinks = info->layers.sinks;
    snprintf(s->about.shape.theta, sizeof s->about.shape.theta, "%s", prov_config_get(plain, "rope.theta", &own));
    prov_config_free(s->own);
    s->own = plain;
    q_buf_free(&own);
}

/* Bytes of a token's weights that ffn.width leaves unread. */
static uint64_t spared(const prov_config *c, uint64_t now)
{
    char err[Q_ERRLEN];
    if (prov_config_is_default(c, "ffn.width"))
        return 0;
    prov_config *whole = prov_config_copy(c);
    uint64_t all = prov_config_set(whole, "ffn.width", "default", err) ? now : prov_config_cost(whole).bytes;
    prov_config_free(whole);
    return all - now;
}

/* What adapters add, and which cells of the map they change. */
static void show_adapters(agt *a, const prov_info *info)
{
    prov_cost *of = q_alloc(sizeof *of * (size_t)(info->n_layer + 1)), all = { 0, 0 };
    uint8_t *changed = q_alloc((size_t)info->n_layer * (size_t)info->n_expert + 1);
    int acting = prov_config_added(a->seat.cfg, of, changed);
    for (int i = 0; acting && i <= info->n_layer; i++) {
        all.params += of[i].params;
        all.bytes += of[i].bytes;
    }
    lab_watch_taught(a->watch, acting ? changed : NULL, info->n_layer, info->n_expert);
    pthread_mutex_lock(&a->shown.mu);
    a->shown.about.added_params = all.params;
    a->shown.about.added_bytes = all.bytes;
    pthread_mutex_unlock(&a->shown.mu);
    free(changed);
    free(of);
}

void sync_publish(agt *a)
{
    if (!a->seat.who)
        return;
    const prov_info *info = prov_about(a->seat.who);
    prov_cost cost = prov_config_cost(a->seat.cfg);
    prov_config *copy = prov_config_copy(a->seat.cfg), *old;
    q_buf b = { 0 };
    sync_know(&a->seat, a->seat.cfg);
    char *json = prov_config_json(a->seat.cfg), *differs = caption_differences(a->seat.cfg);
    pthread_mutex_lock(&a->shown.mu);
    old = a->shown.cfg;
    a->shown.cfg = copy;
    agt_status *s = &a->shown.st;
    if (!a->shown.path || strcmp(a->shown.path, info->path) != 0) {
        free(a->shown.full_name);
        free(a->shown.path);
        a->shown.full_name = q_strdup(info->name);
        a->shown.path = q_strdup(info->path);
    }
    view_model_name(info->name, info->carved, s->model, sizeof s->model);
    snprintf(s->device, sizeof s->device, "%s", info->device ? info->device : "");
    snprintf(s->label, sizeof s->label, "%s", prov_config_label(a->seat.cfg, &b));
    snprintf(s->languages, sizeof s->languages, "%s", info->languages);
    s->loaded = true;
    turns_config(a, old, copy, a->shown.turned.key, view_key(json, false));
    a->shown.turned.key = view_key(json, false);
    a->shown.turned.forward = view_key(json, true);
    snprintf(a->shown.turned.label, sizeof a->shown.turned.label, "%s", differs);
    a->shown.turned.label[q_utf8_whole(a->shown.turned.label, strlen(a->shown.turned.label))] = 0;
    show_shape(&a->shown, a->seat.who, info);
    a->shown.about.elsewhere = *s->device != 0;
    a->shown.about.calls = info->can & PROV_TOOLS;
    a->shown.about.spared = spared(a->seat.cfg, cost.bytes);
    s->chat_template = info->chat || a->base;
    s->carved = info->carved;
    s->thinks = info->thinks;
    s->n_expert = info->n_expert;
    s->k = prov_config_k(a->seat.cfg);
    if (info->n_expert && strchr(prov_config_get(a->seat.cfg, "experts.k", &b), ','))
        s->k = -1;
    s->params_active = cost.params;
    s->params_total = info->params;
    s->bytes_per_token = cost.bytes;
    pthread_mutex_unlock(&a->shown.mu);
    prov_config_free(old);
    q_buf_free(&b);
    free(json);
    free(differs);
    show_adapters(a, info);
    costs_publish(a);
    watch_config(a);
    sync_mix(a);
}

/* ---- evaluation with progress ---- */
void sync_prefill(agt *a, int done, int total)
{
    if (done == 0)                       /* another evaluation within the same answer: a knob that was turned in the middle of it */
        a->seat.prefill_from = q_now_ns();
    double s = (double)(q_now_ns() - a->seat.prefill_from) / 1e9, rate = s > 0 ? done / s : 0;
    int used = prov_context(a->seat.who).used;
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.prefill = true;
    a->shown.st.rate.prefill = rate;
    a->shown.read_rate = done >= 32 ? rate : a->shown.read_rate;
    a->shown.st.ctx_used = used;
    pthread_mutex_unlock(&a->shown.mu);
    agt_event e = { .kind = AGT_EV_PREFILL, .done = done, .total = total > 0 ? total : 1, .rate = rate };
    evq_push(&a->events, &e);
}

void sync_prefilled(agt *a, bool whole)
{
    if (whole)
        a->seat.after_again = false;
    agt_event e = { .kind = AGT_EV_PREFILL };
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.prefill = false;
    a->shown.st.rate.prefill = 0;
    pthread_mutex_unlock(&a->shown.mu);
    evq_push(&a->events, &e);
    sync_mix(a);
}

static void prefill(void *user, int done, int total) { sync_prefill(user, done, total); }
static void position(void *user, const prov_position *p) { watch_position(user, p); }

static void recompute(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (sync_room(a).text == 0) {
        note(&a->events, AGT_INFO, _("the context is empty: there is nothing to evaluate anew"));
        return;
    }
    if (*prov_about(a->seat.who)->path == '@') {
        measure_local(prov_about(a->seat.who)->name, err);
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    prov_hooks h = { .user = a, .prefill = prefill, .position = position };
    a->seat.after_again = true;
    a->seat.prefill_from = q_now_ns();
    int rc = prov_renew(a->seat.who, &h, err);
    sync_prefilled(a, rc == Q_OK);
    prov_room r = prov_context(a->seat.who);
    if (rc == Q_CANCEL)
        note(&a->events, AGT_WARN, _("stopped: %d of %d tokens are evaluated anew, the rest follows with the next question"), r.used, r.text);
    else if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        char label[64];
        note(&a->events, AGT_INFO, ngettext("the context is evaluated anew: %d token, %s", "the context is evaluated anew: %d tokens, %s",
                                            (unsigned long)r.text), r.text, caption_label(a->seat.cfg, label, sizeof label));
    }
}

const job_row job_recompute = { .name = "recompute", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = recompute };
