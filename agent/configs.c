/* agent/configs: pages about configurations: /history and /diff, each also as JSON. Front-end thread, from snapshots. */
#include "base/say.h"
#include "agent/front.h"
#include "agent/talk.h"
#include "base/knob.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- /history ---- */
static double rate_of(const tally *t) { return t->of[AGT_SPEED].n && t->of[AGT_SPEED].sum > 0 ? t->of[AGT_SPEED].n / t->of[AGT_SPEED].sum : NAN; }
static double mean_of(const tally *t, int i) { return t->of[i].n ? t->of[i].sum / t->of[i].n : NAN; }

static const struct { const char *key, *title; const char *format; } column[AGT_MEASURES] = {
    [AGT_SPEED] = { "tokens_per_s", N_("tok/s"), "%9.1f" }, [AGT_SURPRISE] = { "surprise", N_("surprise"), "%9.2f" },
    [AGT_REPEAT] = { "repeat", N_("repeat"), "%9.2f" }, [AGT_ENTROPY] = { "entropy", N_("entropy"), "%9.2f" } };

static double measure_of(const tally *t, int i) { return i == AGT_SPEED ? rate_of(t) : mean_of(t, i); }

/* A number's column, or a dash, right-aligned under its title however that is spelled. */
static void cell(q_buf *b, const char *format, double v)
{
    if (isnan(v))
        q_buf_printf(b, "%9s", "-");
    else
        q_buf_printf(b, format, v);
}

static void right(q_buf *b, const char *word, int width)
{
    int n = q_utf8_points(word);
    q_buf_printf(b, "%*s%s", width > n ? width - n : 1, "", word);
}

static void history_row(q_buf *b, cJSON *list, const shown_past *p, int number, bool present)
{
    q_buf_printf(b, "%s%2d %6d", present ? ">" : " ", number, p->made.of[AGT_SPEED].n);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "number", number);
    cJSON_AddBoolToObject(o, "present", present);
    cJSON_AddStringToObject(o, "label", p->label);
    cJSON_AddRawToObject(o, "settings", p->json);
    cJSON_AddNumberToObject(o, "bytes_per_token", (double)p->bytes);
    cJSON_AddNumberToObject(o, "tokens", p->made.of[AGT_SPEED].n);
    for (int i = 0; i < AGT_MEASURES; i++) {
        double v = measure_of(&p->made, i);
        cell(b, column[i].format, v);
        if (!isnan(v))
            cJSON_AddNumberToObject(o, column[i].key, v);
    }
    char *said = caption_said(p->label);
    q_buf_say(b, "  %s\n", said);
    free(said);
    cJSON_AddItemToArray(list, o);
}

/* "surprise 1.80 → 3.10 ±0.40", or why it says nothing yet. */
static void effect_row(q_buf *b, cJSON *o, int i, const agt_measured *m)
{
    cJSON *x = cJSON_AddObjectToObject(o, column[i].key);
    cJSON_AddNumberToObject(x, "tokens_before", m->n_before);
    cJSON_AddNumberToObject(x, "tokens_after", m->n_after);
    if (!isnan(m->before))
        cJSON_AddNumberToObject(x, "before", m->before);
    if (!isnan(m->after))
        cJSON_AddNumberToObject(x, "after", m->after);
    right(b, _(column[i].title), 12);
    cell(b, column[i].format, m->before);
    q_buf_puts(b, " →");
    cell(b, column[i].format, m->after);
    if (isnan(m->noise))
        q_buf_printf(b, "  %s\n", _("too few tokens yet"));
    else {
        cJSON_AddNumberToObject(x, "noise", m->noise);
        q_buf_printf(b, fabs(m->after - m->before) > m->noise ? _("  ±%.2g\n") : _("  ±%.2g: no difference above its noise\n"), m->noise);
    }
}

void configs_history(agt *a)
{
    q_buf b = { 0 };
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "history");
    right(&b, _("tokens"), 10);
    for (int i = 0; i < AGT_MEASURES; i++)
        right(&b, _(column[i].title), 9);
    q_buf_putc(&b, '\n');
    pthread_mutex_lock(&a->shown.mu);
    int n = a->shown.past.n;
    for (int i = 0; i < n; i++)
        history_row(&b, list, &a->shown.past.v[i], i + 1, i == a->shown.past.at);
    pthread_mutex_unlock(&a->shown.mu);
    agt_turned t;
    agt_get_turned(a, &t);
    if (!n) {
        q_buf_clear(&b);
        q_buf_puts(&b, _("No model is loaded, so there are no configurations yet.\n"));
    } else
        q_buf_puts(&b, _("\nThe oldest stands first; tokens: those that it made in this conversation.\n"
                         "/history NUMBER goes to one, F9 one back, and from the oldest the way back.\n"));
    if (*t.before) {
        cJSON *e = cJSON_AddObjectToObject(o, "effect");
        cJSON_AddStringToObject(e, "before", t.before);
        cJSON_AddStringToObject(e, "after", t.after);
        char *before = caption_said(t.before), *after = caption_said(t.after);
        q_buf_say(&b, "\n%s → %s\n", before, after);
        free(before);
        free(after);
        for (int i = 0; i < AGT_MEASURES; i++)
            effect_row(&b, e, i, &t.of[i]);
    }
    note_page(&a->events, "/history", q_buf_take(&b), cJSON_PrintUnformatted(o));
    cJSON_Delete(o);
}

/* ---- /diff ---- */
static void diff_row(q_buf *b, cJSON *list, agt *a, const q_knob *k, const char *own, const char *now)
{
    char *cost = agt_knob_cost(a, k);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "knob", k->name);
    cJSON_AddStringToObject(o, "default", own);
    cJSON_AddStringToObject(o, "now", now);
    cJSON_AddStringToObject(o, "effect", agt_effect_word(k->effect));
    cJSON_AddStringToObject(o, "cost", cost);
    cJSON_AddItemToArray(list, o);
    q_buf x = { 0 }, y = { 0 };
    q_knob_brief(&x, own);
    q_knob_brief(&y, now);
    q_buf_say(b, "%-26s %s → %s", k->name, x.len ? x.p : "—", y.len ? y.p : "—");
    q_buf_free(&x);
    q_buf_free(&y);
    q_buf_say(b, "\n    %s%s%s\n", agt_effect_word(k->effect), *cost ? ": " : "", cost);
    free(cost);
}

void configs_diff(agt *a)
{
    q_buf b = { 0 }, own = { 0 }, now = { 0 };
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "diff");
    int n = 0;
    for (int i = 0; i < a->settings.n_knob; i++) {
        const q_knob *k = a->settings.knob[i];
        if (k->effect == Q_EFFECT_FIXED || k->effect == Q_EFFECT_SCREEN || agt_knob_default(a, k))
            continue;
        diff_row(&b, list, a, k, agt_knob_own(a, k, &own), agt_knob_value(a, k, &now));
        n++;
    }
    if (!n)
        q_buf_puts(&b, _("Nothing differs from the model's own settings.\n"));
    else
        q_buf_puts(&b, _("\nmodel's own → now. /set NAME default takes one back, /brain standard all that act on the model, F9 the last change.\n"));
    note_page(&a->events, "/diff", q_buf_take(&b), cJSON_PrintUnformatted(o));
    cJSON_Delete(o);
    q_buf_free(&own);
    q_buf_free(&now);
}
