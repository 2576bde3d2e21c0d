/* agent/costs: what a token costs under the present configuration, under the next one that F7 and F8 would take, and what
 * the last change did. The engine's thread publishes copies; the front end's calls read them. Nothing is predicted before
 * something was measured in this conversation. */
#include "base/say.h"
#include "agent/talk.h"
#include "agent/view.h"
#include "base/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the engine's thread ---- */
void costs_unload(agt *a)
{
    shown *s = &a->shown;
    pthread_mutex_lock(&s->mu);
    for (int i = 0; i < s->past.n; i++) {
        free(s->past.v[i].label);
        free(s->past.v[i].json);
    }
    memset(&s->past, 0, sizeof s->past);
    s->past.maker = s->past.before = -1;
    memset(s->step, 0, sizeof s->step);
    memset(&s->turned, 0, sizeof s->turned);
    s->read_rate = 0;
    pthread_mutex_unlock(&s->mu);
}

/* What F7 or F8 would make of it. */
static agt_price step_price(agt *a, int delta)
{
    agt_price p = { 0 };
    if (prov_about(a->seat.who)->n_expert == 0)
        return p;
    prov_config *c = prov_config_copy(a->seat.cfg);
    int k = prov_config_nudge_k(c, delta);
    if (prov_config_hash(c) != prov_config_hash(a->seat.cfg)) {
        q_buf now = { 0 };
        p.k = strchr(prov_config_get(c, "experts.k", &now), ',') ? -1 : k;
        p.bytes = prov_config_cost(c).bytes;
        q_buf_free(&now);
    }
    prov_config_free(c);
    return p;
}

void costs_publish(agt *a)
{
    shown *s = &a->shown;
    const history *h = &a->seat.past;
    shown_past v[AGT_HISTORY_MAX] = { { 0 } };
    agt_price step[2] = { { 0 } };
    if (!a->seat.who)
        return;
    for (int i = 0; i < h->n; i++) {
        v[i] = (shown_past){ caption_past(h, i), prov_config_json(h->v[i].cfg), 0, prov_config_cost(h->v[i].cfg).bytes, h->v[i].made };
        v[i].key = view_key(v[i].json, false);
    }
    for (int i = 0; i < 2; i++)
        step[i] = step_price(a, i ? 1 : -1);
    pthread_mutex_lock(&s->mu);
    for (int i = 0; i < s->past.n; i++) {
        free(s->past.v[i].label);
        free(s->past.v[i].json);
    }
    memcpy(s->past.v, v, sizeof v);
    s->past.n = h->n;
    s->past.at = h->at;
    s->past.maker = h->maker;
    s->past.before = h->before;
    memcpy(s->step, step, sizeof step);
    pthread_mutex_unlock(&s->mu);
}

void costs_token(agt *a, const double value[TALLY_N])
{
    history *h = &a->seat.past;
    history_made(h, value);
    pthread_mutex_lock(&a->shown.mu);
    a->shown.past.maker = h->maker;
    a->shown.past.before = h->before;
    if (h->at < a->shown.past.n)
        a->shown.past.v[h->at].made = h->v[h->at].made;
    pthread_mutex_unlock(&a->shown.mu);
}

/* ---- the front end ---- */
/* These three under shown.mu. */
static int paces(const shown *s, tally_pace p[AGT_HISTORY_MAX])
{
    for (int i = 0; i < s->past.n; i++)
        p[i] = (tally_pace){ s->past.v[i].bytes, &s->past.v[i].made };
    return s->past.n;
}

static void predict(const shown *s, agt_price *price)
{
    tally_pace p[AGT_HISTORY_MAX];
    price->rate = tally_predict(p, paces(s, p), price->bytes, &price->measured);
}

double costs_reached(const shown *s)
{
    tally_pace p[AGT_HISTORY_MAX];
    return tally_reached(p, paces(s, p));
}

void agt_get_turned(agt *a, agt_turned *out)
{
    const shown *s = &a->shown;
    static const tally none;
    pthread_mutex_lock(&a->shown.mu);
    *out = s->turned;
    for (int i = 0; i < 2; i++) {
        out->step[i] = s->step[i];
        predict(s, &out->step[i]);
    }
    /* Between what made the last token and the present one; where they are the same, what came before it. */
    int after = s->past.at, before = s->past.maker == after ? s->past.before : s->past.maker;
    if (s->past.n && before >= 0) {
        out->before_key = s->past.v[before].key;
        snprintf(out->before, sizeof out->before, "%s", s->past.v[before].label);
        snprintf(out->after, sizeof out->after, "%s", s->past.v[after].label);
    }
    for (int i = 0; i < AGT_MEASURES; i++)
        out->of[i] = tally_compare(before >= 0 ? &s->past.v[before].made : &none, s->past.n ? &s->past.v[after].made : &none, (enum agt_measure)i);
    pthread_mutex_unlock(&a->shown.mu);
    out->before[q_utf8_whole(out->before, strlen(out->before))] = 0;
    out->after[q_utf8_whole(out->after, strlen(out->after))] = 0;
}

/* "112 MiB a token", with the tokens a second that were measured or are to be expected, and which of the two. */
static void price(q_buf *b, const agt_price *p)
{
    char w[32];
    q_buf_printf(b, _("%s a token"), q_bytes_brief(p->bytes, w));
    if (p->rate > 0)
        q_buf_printf(b, p->measured ? _(", %.0f tok/s measured") : _(", %.0f tok/s predicted"), p->rate);
}

/* By how many hundredths p reads more than `bytes`, rounded. */
static int more_read(const agt_price *p, uint64_t bytes)
{
    return bytes ? (int)lround(100 * ((double)p->bytes - (double)bytes) / (double)bytes) : 0;
}

/* now: bytes of a token as things are. */
static void k_price(q_buf *b, const agt_price *p, const char *key, uint64_t now)
{
    if (!p->k)
        return;
    if (p->k > 0)
        q_buf_printf(b, " · %s k %d: ", key, p->k);
    else
        q_buf_printf(b, " · %s: ", key);
    price(b, p);
    int more = more_read(p, now);
    if (more)
        q_buf_printf(b, more < 0 ? _(" (%d%% less)") : _(" (%d%% more)"), abs(more));
}

static void anew(q_buf *b, int tokens, double rate)
{
    if (!tokens)
        return;
    q_buf_printf(b, ngettext("%d token is evaluated anew when it changes", "%d tokens are evaluated anew when it changes", (unsigned long)tokens), tokens);
    if (rate > 0)
        q_buf_printf(b, _(", about %.1f s"), tokens / rate);
}

/* Weights that it adds or saves, against the model's own value. */
static void against_own(q_buf *b, const shown *s, const q_knob *k)
{
    char err[Q_ERRLEN];
    const prov_config *c = s->cfg;
    agt_price now = { .bytes = prov_config_cost(c).bytes }, then = { 0 };
    predict(s, &now);
    price(b, &now);
    if (prov_config_is_default(c, k->name))
        return;
    prov_config *own = prov_config_copy(c);
    if (prov_config_set(own, k->name, "default", err) == Q_OK && prov_config_cost(own).bytes != now.bytes) {
        q_buf_puts(b, _(" · with the model's own: "));
        then.bytes = prov_config_cost(own).bytes;
        predict(s, &then);
        price(b, &then);
        int more = more_read(&now, then.bytes);
        if (more)
            q_buf_printf(b, more < 0 ? _(" · %d%% less is read") : _(" · %d%% more is read"), abs(more));
    }
    prov_config_free(own);
}

/* Of experts.k alone: a step down and up, and among whom the experts are chosen. */
static void k_alone(q_buf *b, const shown *s)
{
    for (int i = 0; i < 2; i++) {
        agt_price p = s->step[i];
        predict(s, &p);
        k_price(b, &p, i ? "F8" : "F7", prov_config_cost(s->cfg).bytes);
    }
    int groups = s->about.shape.n_group;
    if (groups)
        q_buf_printf(b, _(" · chosen in the best %d of %d groups of %d, in more of them where k is larger"), s->about.shape.n_group_used, groups, s->about.shape.n_expert / groups);
}

char *agt_knob_cost(agt *a, const q_knob *k)
{
    shown *s = &a->shown;
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    int at = settings_find(&a->settings, k->name);
    pthread_mutex_lock(&s->mu);
    q_buf why = { 0 };
    if (s->cfg && at >= 0 && a->settings.room[at] == KNOB_ENGINE && !prov_config_fixed(s->cfg, k->name, &why)) {
        int cells = s->st.ctx_used;
        char w[32];
        if (strcmp(k->name, "state.memory") == 0 && s->states.n)
            q_buf_say(&b, _("states of recurrent layers take %s of it now (kept: %d)"), q_bytes_words(s->states.bytes, w), s->states.n);
        else if (k->effect == Q_EFFECT_SAMPLING && strncmp(k->name, "sampler.", 8) == 0)
            q_buf_puts(&b, _("costs nothing: it acts on the choice of a token"));
        else if (k->effect == Q_EFFECT_ROUTING || k->effect == Q_EFFECT_FORWARD) {
            against_own(&b, s, k);
            if (strcmp(k->name, "experts.k") == 0)
                k_alone(&b, s);
        } else if (k->effect == Q_EFFECT_POSITION || k->effect == Q_EFFECT_ALLOCATION)
            anew(&b, cells, s->read_rate);
    }
    q_buf_free(&why);
    pthread_mutex_unlock(&s->mu);
    return q_buf_take(&b);
}
