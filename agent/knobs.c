/* agent/knobs: /set: knobs as the front end sees and sets them. Front-end thread, but for what says otherwise.
 * It never touches a session: engine knobs become edits for the engine thread. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- values ---- */
int agt_knob_count(const agt *a) { return a->n_knob; }
const q_knob *agt_knob(const agt *a, int i) { return i >= 0 && i < a->n_knob ? a->knob[i] : NULL; }

static enum knob_room room_of(const agt *a, const q_knob *k)
{
    int i = knobs_find(a, k->name);
    return i < 0 ? KNOB_AGENT : (enum knob_room)a->knob_room[i];
}

const char *agt_knob_value(agt *a, const q_knob *k, q_buf *buf)
{
    enum knob_room r = room_of(a, k);
    if (r == KNOB_AGENT)
        return knobs_agent_value(a, k->name, buf);
    q_buf_clear(buf);
    q_buf_puts(buf, "");
    pthread_mutex_lock(&a->mu);
    const char *v = r == KNOB_RAG ? rag_config_get(&a->rag, k->name, buf) : a->shown ? eng_config_get(a->shown, k->name, buf) : "";
    pthread_mutex_unlock(&a->mu);
    return v ? v : "";
}

bool agt_knob_range(agt *a, const q_knob *k, double *min, double *max)
{
    bool engine = room_of(a, k) == KNOB_ENGINE, any;
    pthread_mutex_lock(&a->mu);
    if (engine && a->shown)
        any = eng_config_range(a->shown, k->name, min, max);
    else {
        *min = k->min;
        *max = k->max;
        any = k->max > k->min && k->effect != Q_EFFECT_FIXED && !(engine && k->type == Q_KNOB_INTS);   /* lists wait for a model */
    }
    pthread_mutex_unlock(&a->mu);
    return any;
}

bool agt_knob_default(agt *a, const q_knob *k)
{
    enum knob_room r = room_of(a, k);
    q_buf b = { 0 }, d = { 0 };
    bool same;
    if (r == KNOB_ENGINE) {
        pthread_mutex_lock(&a->mu);
        same = !a->shown || eng_config_is_default(a->shown, k->name);
        pthread_mutex_unlock(&a->mu);
        return same;
    }
    rag_config rd = rag_config_default();
    const char *def = r == KNOB_RAG ? rag_config_get(&rd, k->name, &d) : knobs_row_default(k->name);
    const char *now = agt_knob_value(a, k, &b);
    same = strcmp(def ? def : "", now) == 0;
    q_buf_free(&b);
    q_buf_free(&d);
    return same;
}

const char *agt_effect_word(enum q_effect e)
{
    static const char *const word[] = { N_("screen"), N_("retrieval"), N_("sampling"), N_("prompt"), N_("routing"),
        N_("forward"), N_("position"), N_("allocation"), N_("fixed") };
    return e <= Q_EFFECT_FIXED ? _(word[e]) : "";
}

static const char *meaning(enum q_effect e)
{
    switch (e) {
    case Q_EFFECT_RETRIEVAL: return _("from the next question");
    case Q_EFFECT_PROMPT: return _("from the next question; the context is evaluated anew");
    default: return "";
    }
}

void knobs_set(agt *a, const char *name, const char *value, bool keep)
{
    char err[Q_ERRLEN];
    int i = knobs_find(a, name);
    if (i < 0) {
        int near = knobs_nearest(a, name);
        if (near >= 0)
            room_note(a, AGT_ERROR, _("there is no knob %s; the nearest is %s"), name, a->knob[near]->name);
        else
            room_note(a, AGT_ERROR, _("there is no knob %s; /set lists them all"), name);
        return;
    }
    const q_knob *k = a->knob[i];
    if (a->knob_room[i] == KNOB_ENGINE) {
        room_edit(a, EDIT_SET, 0, k->name, value);
        return;
    }
    if (knobs_set_quiet(a, k->name, value, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    q_buf b = { 0 };
    if (keep && a->knob_room[i] == KNOB_AGENT) {
        pthread_mutex_lock(&a->mu);
        const char *v = setting_locked(a, k->name);
        char *copy = v ? q_strdup(v) : NULL;
        pthread_mutex_unlock(&a->mu);
        room_post(a, JOB_SETTING, 0, 0, k->name, copy);
        free(copy);
    }
    agt_event e = { .kind = AGT_EV_KNOB, .name = q_strdup(k->name), .text = q_strdup(agt_knob_value(a, k, &b)),
                    .note = q_strdup(meaning(k->effect)) };
    evq_push(&a->q, &e);
    q_buf_free(&b);
}

/* ---- /set: the table for people ---- */
static void range(agt *a, const q_knob *k, q_buf *b)
{
    double lo, hi;
    switch (k->type) {
    case Q_KNOB_BOOL: q_buf_puts(b, "on,off"); break;
    case Q_KNOB_CHOICE: q_buf_puts(b, k->choices); break;
    case Q_KNOB_TEXT: q_buf_puts(b, _("text")); break;
    case Q_KNOB_PAIRS: q_buf_puts(b, _("layer:number,…")); break;
    case Q_KNOB_PAIR_VALUES: q_buf_puts(b, _("layer:number=value,…")); break;
    default:
        if (!agt_knob_range(a, k, &lo, &hi))
            q_buf_puts(b, "—");
        else {
            q_buf_printf(b, "%.10g…%.10g", lo, hi);
            if (k->type == Q_KNOB_INTS)
                q_buf_puts(b, _(", or one per layer"));
        }
    }
}

void knobs_page(agt *a, const char *name)
{
    q_buf out = { 0 }, v = { 0 };
    int only = -1;
    if (name && (only = knobs_find(a, name)) < 0) {
        int near = knobs_nearest(a, name);
        room_note(a, AGT_ERROR, near >= 0 ? _("there is no knob %s; the nearest is %s") : _("there is no knob %s; /set lists them all"),
                  name, near >= 0 ? a->knob[near]->name : "");
        return;
    }
    for (int i = 0; i < a->n_knob; i++) {
        if (only >= 0 && i != only)
            continue;
        const q_knob *k = a->knob[i];
        const char *value = agt_knob_value(a, k, &v);
        q_buf_printf(&out, "%s %s = %s", agt_knob_default(a, k) ? " " : "*", k->name, *value ? value : "—");
        q_buf_puts(&out, "   [");
        range(a, k, &out);
        q_buf_printf(&out, "]  %s", agt_effect_word(k->effect));
        if (only >= 0 && k->aka)
            q_buf_printf(&out, "  (%s)", k->aka);
        q_buf_printf(&out, "\n    %s\n", _(k->help));
    }
    if (only < 0)
        q_buf_puts(&out, _("\n* differs from the default. /set NAME VALUE changes one, /set NAME default takes it back.\n"));
    room_text(a, "/set", q_buf_take(&out));
    q_buf_free(&v);
}
