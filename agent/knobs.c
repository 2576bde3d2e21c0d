/* agent/knobs: /set: knobs as the front end sees and sets them. Front-end thread, but for what says otherwise.
 * It never touches a session: engine knobs become edits for the engine thread. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/front.h"
#include "base/knob.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */
int agt_knob_count(const agt *a) { return a->settings.n_knob; }
const q_knob *agt_knob(const agt *a, int i) { return i >= 0 && i < a->settings.n_knob ? a->settings.knob[i] : NULL; }
const q_knob *agt_knob_named(const agt *a, const char *name) { return agt_knob(a, settings_find(&a->settings, name)); }

static enum knob_room room_of(const agt *a, const q_knob *k)
{
    int i = settings_find(&a->settings, k->name);
    return i < 0 ? KNOB_AGENT : (enum knob_room)a->settings.room[i];
}

const char *agt_knob_value(agt *a, const q_knob *k, q_buf *buf)
{
    enum knob_room r = room_of(a, k);
    if (r == KNOB_AGENT)
        return settings_value(&a->settings, k->name, buf);
    q_buf_clear(buf);
    q_buf_puts(buf, "");
    const char *v = "";
    if (r == KNOB_RAG) {
        rag_config c = settings_rag(&a->settings);
        v = rag_config_get(&c, k->name, buf);
    } else {
        pthread_mutex_lock(&a->shown.mu);
        if (a->shown.cfg)
            v = prov_config_get(a->shown.cfg, k->name, buf);
        pthread_mutex_unlock(&a->shown.mu);
    }
    return v ? v : "";
}

bool agt_knob_range(agt *a, const q_knob *k, double *min, double *max)
{
    bool engine = room_of(a, k) == KNOB_ENGINE, any;
    pthread_mutex_lock(&a->shown.mu);
    if (engine && a->shown.cfg)
        any = prov_config_range(a->shown.cfg, k->name, min, max);
    else {
        *min = k->min;
        *max = k->max;
        any = k->max > k->min && k->effect != Q_EFFECT_FIXED && !(engine && k->type == Q_KNOB_INTS);   /* lists wait for a model */
    }
    pthread_mutex_unlock(&a->shown.mu);
    return any;
}

bool agt_knob_default(agt *a, const q_knob *k)
{
    enum knob_room r = room_of(a, k);
    q_buf b = { 0 }, d = { 0 };
    bool same;
    if (r == KNOB_ENGINE) {
        pthread_mutex_lock(&a->shown.mu);
        same = !a->shown.cfg || prov_config_is_default(a->shown.cfg, k->name);
        pthread_mutex_unlock(&a->shown.mu);
        return same;
    }
    rag_config rd = rag_config_default();
    const char *def = r == KNOB_RAG ? rag_config_get(&rd, k->name, &d) : settings_default(k->name);
    const char *now = agt_knob_value(a, k, &b);
    same = strcmp(def ? def : "", now) == 0;
    q_buf_free(&b);
    q_buf_free(&d);
    return same;
}

const char *agt_knob_own(agt *a, const q_knob *k, q_buf *buf)
{
    enum knob_room r = room_of(a, k);
    rag_config rag = rag_config_default();
    const char *v = r == KNOB_AGENT ? settings_default(k->name) : NULL;
    q_buf_clear(buf);
    if (r == KNOB_RAG)
        v = rag_config_get(&rag, k->name, buf);
    if (r == KNOB_ENGINE) {
        pthread_mutex_lock(&a->shown.mu);
        v = a->shown.own ? prov_config_get(a->shown.own, k->name, buf) : NULL;
        pthread_mutex_unlock(&a->shown.mu);
    }
    return v ? v : "";
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

void knobs_set(agt *a, const char *name, const char *value)
{
    char err[Q_ERRLEN];
    int i = settings_find(&a->settings, name);
    if (i < 0) {
        int near = settings_nearest(&a->settings, name);
        if (near >= 0)
            note(&a->events, AGT_ERROR, _("there is no knob %s; the nearest is %s"), name, a->settings.knob[near]->name);
        else
            note(&a->events, AGT_ERROR, _("there is no knob %s; /set lists them all"), name);
        return;
    }
    const q_knob *k = a->settings.knob[i];
    bool list = k->type == Q_KNOB_PAIRS || k->type == Q_KNOB_PAIR_VALUES;
    if (list && value[0] == '@') {       /* a saved one */
        desk_post(&a->desk, &job_brain_set, 0, 0, k->name, value + 1);
        return;
    }
    if (a->settings.room[i] == KNOB_ENGINE) {
        desk_edit(&a->desk, EDIT_SET, 0, k->name, value);
        return;
    }
    q_buf b = { 0 };
    char *was = q_strdup(agt_knob_value(a, k, &b));
    int rc = settings_set(&a->settings, k->name, value, err);
    if (rc == Q_OK && strcmp(was, agt_knob_value(a, k, &b)) != 0)
        turns_set(a, i);
    free(was);
    if (rc < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        q_buf_free(&b);
        return;
    }
    if (a->settings.room[i] == KNOB_AGENT) {
        char *v = settings_get(&a->settings, k->name);
        desk_post(&a->desk, &job_setting, 0, 0, k->name, v);
        free(v);
        desk_pace(&a->desk, settings_number(&a->settings, "ui.pace"));
    }
    if (strcmp(k->name, "memory.embedder") == 0 || strcmp(k->name, "memory.mode") == 0 || strcmp(k->name, "memory.on") == 0)
        embedder_changed(a);
    agt_event e = { .kind = AGT_EV_KNOB, .name = q_strdup(k->name), .text = q_strdup(agt_knob_value(a, k, &b)),
                    .note = q_strdup(strcmp(k->name, "weights.ram") ? meaning(k->effect) : _("from the next model that is opened: /model")) };
    evq_push(&a->events, &e);
    q_buf_free(&b);
}

/* ---- several at once ---- */
/* The next NAME=VALUE, malloc'ed, *at behind it; NULL: there is none. */
static char *next_setting(const settings *s, const char **at)
{
    *at += strspn(*at, " \t\n");
    size_t n = settings_length(s, *at, strcspn(*at, " \t\n"));
    char *one = n ? q_strndup(*at, n) : NULL;
    *at += n;
    *at += n && **at == ',';
    return one;
}

/* Two or more, each NAME=VALUE; a text may say so too, and is one. */
static bool several(const settings *s, const char *words)
{
    int n = 0, i;
    bool all = true;
    for (char *one; all && (one = next_setting(s, &words)); free(one), n++) {
        char *name = q_strndup(one, strcspn(one, "="));
        i = settings_find(s, name);
        all = lab_spec_begins(one) && (n || i < 0 || s->knob[i]->type != Q_KNOB_TEXT);
        free(name);
    }
    return all && n > 1;
}

/* One of several on c, or checked: *line is what it came to. Nothing is set. */
static int consider(agt *a, const char *one, prov_config *c, char **line, bool *engine, char *err)
{
    char *name = q_strndup(one, strcspn(one, "="));
    int i = settings_find(&a->settings, name), rc;
    const q_knob *k = i < 0 ? NULL : a->settings.knob[i];
    char *whole = NULL, *value = NULL;
    free(name);
    if (!k)
        return q_fail(err, Q_NOTFOUND, _("there is no knob %s; /set lists them all"), one);
    if ((rc = lab_spec_lists(k, one, &whole, err)) < 0)
        return rc;
    value = whole + strcspn(whole, "=") + 1;
    *engine = a->settings.room[i] == KNOB_ENGINE;
    if (!*engine)
        rc = settings_check(&a->settings, k->name, value, err);
    else if (!c)
        rc = q_fail(err, Q_ERR, _("no model is loaded, so its knobs have no values yet: run quorum model fetch, or /model FILE"));
    else
        rc = prov_config_set(c, k->name, value, err);
    *line = rc == Q_OK ? q_printf("%s=%s", k->name, value) : NULL;
    free(whole);
    return rc;
}

bool knobs_set_several(agt *a, const char *words)
{
    char err[Q_ERRLEN], *line = NULL;
    bool engine = false;
    int rc = Q_OK;
    strings own = { 0 };
    q_buf lines = { 0 };
    if (!several(&a->settings, words))
        return false;
    pthread_mutex_lock(&a->shown.mu);
    prov_config *c = a->shown.cfg ? prov_config_copy(a->shown.cfg) : NULL;
    pthread_mutex_unlock(&a->shown.mu);
    for (char *one; rc == Q_OK && (one = next_setting(&a->settings, &words)); free(one))
        if ((rc = consider(a, one, c, &line, &engine, err)) == Q_OK) {
            if (engine)
                q_buf_printf(&lines, "%s\n", line);
            else
                strings_add(&own, q_strdup(line));
            free(line);
        }
    if (rc < 0)
        note(&a->events, AGT_ERROR, _("%s: none of these is set"), err);
    for (int i = 0; rc == Q_OK && i < own.n; i++) {
        char *eq = strchr(own.v[i], '=');
        *eq = 0;
        knobs_set(a, own.v[i], eq + 1);
    }
    if (rc == Q_OK && lines.len)
        desk_edit(&a->desk, EDIT_LIST, 0, "", lines.p);
    strings_free(&own);
    q_buf_free(&lines);
    prov_config_free(c);
    return true;
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
            char low[32], high[32];
            q_knob_number(low, lo);
            q_knob_number(high, hi);
            q_buf_printf(b, k->choices ? "%s…%s,%s" : "%s…%s", low, high, k->choices);
            if (k->type == Q_KNOB_INTS)
                q_buf_puts(b, _(", or one per layer"));
        }
    }
}

const char *agt_knob_fixed(agt *a, const q_knob *k, q_buf *b)
{
    const char *why = NULL;
    pthread_mutex_lock(&a->shown.mu);
    if (room_of(a, k) == KNOB_ENGINE && a->shown.cfg)
        why = prov_config_fixed(a->shown.cfg, k->name, b);
    pthread_mutex_unlock(&a->shown.mu);
    return why;
}

/* The same as numbers and words for a program. */
static cJSON *row_json(agt *a, const q_knob *k, const char *value)
{
    cJSON *o = cJSON_CreateObject();
    q_buf r = { 0 };
    cJSON_AddStringToObject(o, "name", k->name);
    cJSON_AddStringToObject(o, "value", value);
    cJSON_AddBoolToObject(o, "default", agt_knob_default(a, k));
    range(a, k, &r);
    cJSON_AddStringToObject(o, "range", r.p ? r.p : "");
    cJSON_AddStringToObject(o, "effect", agt_effect_word(k->effect));
    if (k->aka)
        cJSON_AddStringToObject(o, "config_json", k->aka);
    if (agt_knob_fixed(a, k, &r))
        cJSON_AddStringToObject(o, "fixed", r.p);
    q_buf_free(&r);
    return o;
}

void knobs_page(agt *a, const char *name)
{
    q_buf out = { 0 }, v = { 0 }, brief = { 0 };
    int only = -1;
    if (name && (only = settings_find(&a->settings, name)) < 0) {
        int near = settings_nearest(&a->settings, name);
        note(&a->events, AGT_ERROR, near >= 0 ? _("there is no knob %s; the nearest is %s") : _("there is no knob %s; /set lists them all"),
                  name, near >= 0 ? a->settings.knob[near]->name : "");
        return;
    }
    cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "knobs");
    for (int i = 0; i < a->settings.n_knob; i++) {
        if (only >= 0 && i != only)
            continue;
        const q_knob *k = a->settings.knob[i];
        q_buf_clear(&brief);
        q_knob_brief(&brief, agt_knob_value(a, k, &v));
        cJSON_AddItemToArray(list, row_json(a, k, agt_knob_value(a, k, &v)));
        q_buf_say(&out, "%s %s = %s", agt_knob_default(a, k) ? " " : "*", k->name, brief.len ? brief.p : "—");
        q_buf_puts(&out, "   [");
        range(a, k, &out);
        q_buf_say(&out, "]  %s", agt_effect_word(k->effect));
        if (only >= 0 && k->aka)
            q_buf_say(&out, "  (%s)", k->aka);
        q_buf_say(&out, "\n    %s\n", agt_knob_fixed(a, k, &brief) ? brief.p : _(k->help));
        if (only >= 0) {
            char *cost = agt_knob_cost(a, k);
            if (*cost)
                q_buf_say(&out, "    %s\n", cost);
            free(cost);
        }
    }
    if (only < 0)
        q_buf_puts(&out, _("\n* differs from the default. /set NAME VALUE changes one, /set NAME default takes it back.\n"));
    note_page(&a->events, "/set", q_buf_take(&out), cJSON_PrintUnformatted(data));
    cJSON_Delete(data);
    q_buf_free(&v);
    q_buf_free(&brief);
}

/* ---- settings of the front ends ---- */
void agt_setting_put(agt *a, const char *key, const char *value)
{
    settings_put(&a->settings, key, value);
    desk_post(&a->desk, &job_setting, 0, 0, key, value);
}

char *agt_setting_get(agt *a, const char *key) { return settings_get(&a->settings, key); }
