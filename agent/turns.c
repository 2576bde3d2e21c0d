/* agent/turns: since which token each knob's value holds in this conversation, and what turning it did by itself. The
 * engine's thread and the front end's keep it, both under shown.mu. It never changes a knob. */
#include "agent/front.h"
#include "agent/talk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Its row; made when the first one is needed. Under shown.mu. */
static shown_turn *turn_of(agt *a, int knob)
{
    shown *s = &a->shown;
    if (!s->turns.of) {
        s->turns.n = a->settings.n_knob;
        s->turns.of = q_alloc(sizeof *s->turns.of * (size_t)(s->turns.n + 1));
    }
    return &s->turns.of[knob];
}

/* What is read when a question is asked waits for the next one; all else acts from the next token on. Under shown.mu. */
static void turn_now(agt *a, int knob, shown_turn t)
{
    enum q_effect e = a->settings.knob[knob]->effect;
    bool next = e == Q_EFFECT_RETRIEVAL || e == Q_EFFECT_PROMPT || !a->shown.turns.message;
    t.message = next ? 0 : a->shown.turns.message;
    t.token = next ? 1 : a->shown.st.n_tokens + 1;
    *turn_of(a, knob) = t;
}

void turns_config(agt *a, const prov_config *old, const prov_config *now, uint64_t before, uint64_t after)
{
    q_buf x = { 0 }, y = { 0 };
    int *changed = q_alloc(sizeof *changed * (size_t)(a->settings.n_knob + 1)), n = 0;
    for (int i = 0; old && i < a->settings.n_knob; i++) {
        const char *name = a->settings.knob[i]->name;
        if (a->settings.room[i] == KNOB_ENGINE && strcmp(prov_config_get(old, name, &x), prov_config_get(now, name, &y)) != 0)
            changed[n++] = i;
    }
    for (int i = 0; i < n; i++)
        turn_now(a, changed[i], (shown_turn){ .alone = n == 1 && before != after, .before = before, .after = after });
    free(changed);
    q_buf_free(&x);
    q_buf_free(&y);
}

void turns_set(agt *a, int knob)
{
    pthread_mutex_lock(&a->shown.mu);
    if (a->settings.knob[knob]->effect != Q_EFFECT_SCREEN)
        turn_now(a, knob, (shown_turn){ 0 });
    pthread_mutex_unlock(&a->shown.mu);
}

void turns_begin(shown *s, int64_t message)
{
    for (int i = 0; i < s->turns.n; i++)
        if (s->turns.of[i].token && !s->turns.of[i].message)
            s->turns.of[i].message = message;
    s->turns.message = message;
}

/* What was turned behind the last token acts on the next answer. */
void turns_end(shown *s, int tokens)
{
    for (int i = 0; i < s->turns.n; i++) {
        shown_turn *t = &s->turns.of[i];
        if (t->message == s->turns.message && t->token > tokens) {
            t->message = 0;
            t->token = 1;
        }
    }
    s->turns.message = 0;
}

void turns_forget(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    for (int i = 0; i < a->shown.turns.n; i++)
        a->shown.turns.of[i] = (shown_turn){ 0 };
    pthread_mutex_unlock(&a->shown.mu);
}

/* All that was made under this key: of the history's rows more than one may have it. Under shown.mu. */
static tally made(const shown *s, uint64_t key)
{
    tally sum = { 0 };
    for (int i = 0; i < s->past.n; i++)
        for (int k = 0; k < TALLY_N && s->past.v[i].key == key; k++) {
            sum.of[k].n += s->past.v[i].made.of[k].n;
            sum.of[k].sum += s->past.v[i].made.of[k].sum;
            sum.of[k].squares += s->past.v[i].made.of[k].squares;
        }
    return sum;
}

bool agt_knob_turned(agt *a, const q_knob *k, agt_knob_turn *out)
{
    int i = settings_find(&a->settings, k->name);
    shown_turn t = { 0 };
    tally before = { 0 }, after = { 0 };
    pthread_mutex_lock(&a->shown.mu);
    if (i >= 0 && i < a->shown.turns.n)
        t = a->shown.turns.of[i];
    if (t.token && t.alone) {
        before = made(&a->shown, t.before);
        after = made(&a->shown, t.after);
    }
    pthread_mutex_unlock(&a->shown.mu);
    *out = (agt_knob_turn){ .message = t.message, .token = t.token };
    for (int m = 0; m < AGT_MEASURES; m++)
        out->of[m] = tally_compare(&before, &after, (enum agt_measure)m);
    return t.token > 0;
}
