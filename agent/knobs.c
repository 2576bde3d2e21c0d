/* agent/knobs: the joined knob table (engine, rag, and the rows of the screen and the turn below), settings as text, and
 * config.ini. Front-end thread, but for what says otherwise; values are guarded by agt.mu.
 * It never touches a session: engine knobs become edits for the engine thread. */
#include "agent/room.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ROW_PACE, ROW_LANG, ROW_THEME, ROW_MOTION, ROW_THINKING, ROW_MOUSE, ROW_SYSTEM, ROW_POLICY, ROW_LOOP };
static const q_knob rows[] = {
    { "context.policy", NULL, Q_KNOB_CHOICE, 0, 0, "continue,recompute", Q_EFFECT_FORWARD,
      N_("cached tokens after a knob that acts on hidden states: kept as they are, or evaluated anew"), ROW_POLICY },
    { "chat.system", "system", Q_KNOB_TEXT, 0, 0, NULL, Q_EFFECT_PROMPT,
      N_("the system text before every conversation; empty is the model's own"), ROW_SYSTEM },
    { "sampler.loop_stop", NULL, Q_KNOB_CHOICE, 0, 0, "auto,on,off", Q_EFFECT_SAMPLING,
      N_("end an answer that repeats itself: 8 times the same 2 to 64 tokens, over 256 in all; auto: in models below 3 billion parameters"), ROW_LOOP },
    { "ui.pace", "pace", Q_KNOB_FLOAT, 0, 10000, NULL, Q_EFFECT_SCREEN,
      N_("tokens a second at most, to read along; 0 is as fast as it goes"), ROW_PACE },
    { "ui.thinking", NULL, Q_KNOB_CHOICE, 0, 0, "folded,open", Q_EFFECT_SCREEN,
      N_("thinking is folded to one line or shown in full"), ROW_THINKING },
    { "ui.motion", NULL, Q_KNOB_BOOL, 0, 0, NULL, Q_EFFECT_SCREEN,
      N_("off: panels are renewed once a second"), ROW_MOTION },
    { "ui.mouse", NULL, Q_KNOB_BOOL, 0, 0, NULL, Q_EFFECT_SCREEN,
      N_("the wheel scrolls what is under it; off leaves the mouse to the terminal"), ROW_MOUSE },
    { "ui.theme", "theme", Q_KNOB_TEXT, 0, 0, NULL, Q_EFFECT_SCREEN,
      N_("colours: dark, light, or a file name in the themes folder"), ROW_THEME },
    { "ui.lang", "lang", Q_KNOB_CHOICE, 0, 0, "auto,en,ru", Q_EFFECT_SCREEN,
      N_("language of the interface; auto follows LANG"), ROW_LANG },
};
static const char *const defaults[] = { [ROW_PACE] = "0", [ROW_LANG] = "auto", [ROW_THEME] = "dark", [ROW_MOTION] = "on",
    [ROW_THINKING] = "folded", [ROW_MOUSE] = "on", [ROW_SYSTEM] = "", [ROW_POLICY] = "continue", [ROW_LOOP] = "auto" };

void knobs_join(agt *a)
{
    int ne, nr, na = (int)(sizeof rows / sizeof *rows);
    const q_knob *e = eng_knobs(&ne), *r = rag_knobs(&nr);
    a->n_knob = ne + nr + na;
    a->knob = q_alloc(sizeof *a->knob * (size_t)a->n_knob);
    a->knob_room = q_alloc((size_t)a->n_knob);
    int n = 0;
    for (int i = 0; i < ne; i++)
        a->knob[n++] = &e[i];
    for (int i = 0; i < nr; i++)
        a->knob_room[n] = KNOB_RAG, a->knob[n++] = &r[i];
    for (int i = 0; i < na; i++)
        a->knob_room[n] = KNOB_AGENT, a->knob[n++] = &rows[i];
}

static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p && *p;) {
        size_t w = strcspn(p, ",");
        if (w == n && strncasecmp(p, name, n) == 0)
            return true;
        p += w + (p[w] == ',');
    }
    return false;
}

int knobs_find(const agt *a, const char *name)
{
    for (int i = 0; i < a->n_knob; i++)
        if (strcasecmp(a->knob[i]->name, name) == 0)
            return i;
    for (int i = 0; i < a->n_knob; i++)
        if (listed(a->knob[i]->aka, name))
            return i;
    return -1;
}

int knobs_nearest(const agt *a, const char *name)
{
    int best = -1, least = 4;            /* further than three slips is another word */
    for (int i = 0; i < a->n_knob; i++)
        if (strncasecmp(a->knob[i]->name, name, strlen(name)) == 0)
            return i;
    for (int i = 0; i < a->n_knob; i++) {
        const char *dot = strchr(a->knob[i]->name, '.');
        int d = text_distance(name, a->knob[i]->name), t = dot ? text_distance(name, dot + 1) : 99;
        if (t < d)
            d = t;
        if (d < least)
            least = d, best = i;
    }
    return best;
}

/* ---- settings: a copy in memory of what the store keeps ---- */
const char *setting_locked(const agt *a, const char *key)
{
    for (int i = 0; i < a->n_setting; i++)
        if (strcmp(a->setting[i].key, key) == 0)
            return a->setting[i].value;
    return NULL;
}

void setting_put_locked(agt *a, const char *key, const char *value)
{
    for (int i = 0; i < a->n_setting; i++)
        if (strcmp(a->setting[i].key, key) == 0) {
            free(a->setting[i].value);
            a->setting[i].value = value ? q_strdup(value) : NULL;
            return;
        }
    if (!value)
        return;
    if (a->n_setting == a->cap_setting) {
        a->cap_setting = a->cap_setting ? a->cap_setting * 2 : 32;
        a->setting = q_realloc(a->setting, sizeof *a->setting * (size_t)a->cap_setting);
    }
    a->setting[a->n_setting++] = (setting){ q_strdup(key), q_strdup(value) };
}

void agt_setting_put(agt *a, const char *key, const char *value)
{
    pthread_mutex_lock(&a->mu);
    setting_put_locked(a, key, value);
    pthread_mutex_unlock(&a->mu);
    room_post(a, JOB_SETTING, 0, 0, key, value);
}

char *agt_setting_get(agt *a, const char *key)
{
    pthread_mutex_lock(&a->mu);
    const char *v = setting_locked(a, key);
    char *copy = v ? q_strdup(v) : NULL;
    pthread_mutex_unlock(&a->mu);
    return copy;
}

/* ---- values ---- */
static const char *row_default(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0)
            return defaults[rows[i].id];
    return "";
}

const char *knobs_agent_value(agt *a, const char *name, q_buf *buf)
{
    q_buf_clear(buf);
    pthread_mutex_lock(&a->mu);
    const char *v = setting_locked(a, name);
    q_buf_puts(buf, v ? v : row_default(name));
    pthread_mutex_unlock(&a->mu);
    return buf->p;
}

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
    const char *def = r == KNOB_RAG ? rag_config_get(&rd, k->name, &d) : row_default(k->name);
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

static bool truth(const char *v, const char **canon)
{
    static const char *const yes[] = { "on", "true", "yes", "1", "да", "вкл" }, *const no[] = { "off", "false", "no", "0", "нет", "выкл" };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(v, yes[i]) == 0)
            return *canon = "on", true;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (strcasecmp(v, no[i]) == 0)
            return *canon = "off", true;
    return false;
}

/* A value of an agent row, checked; *out malloc'ed, NULL = back to the default. */
static int check(const q_knob *k, const char *v, char **out, char *err)
{
    *out = NULL;
    if (strcmp(v, "default") == 0)
        return Q_OK;
    const char *canon = v;
    char num[40];
    switch (k->type) {
    case Q_KNOB_BOOL:
        if (!truth(v, &canon))
            return q_fail(err, Q_RANGE, _("%s is on or off"), k->name);
        break;
    case Q_KNOB_CHOICE:
        if (!*v || strchr(v, ',') || !listed(k->choices, v))
            return q_fail(err, Q_RANGE, _("%s is one of: %s"), k->name, k->choices);
        break;
    case Q_KNOB_INT: case Q_KNOB_FLOAT: {
        char *end;
        double d = strtod(v, &end);
        if (!*v || *end || !(d >= k->min && d <= k->max))
            return q_fail(err, Q_RANGE, _("%s is a number from %g to %g"), k->name, k->min, k->max);
        snprintf(num, sizeof num, "%g", d);
        canon = num;
        break;
    }
    default:
        if (!q_utf8_valid(v, strlen(v)))
            return q_fail(err, Q_FORMAT, _("%s must be UTF-8 text"), k->name);
    }
    *out = q_strdup(canon);
    return Q_OK;
}

int knobs_set_quiet(agt *a, const char *name, const char *value, char *err)
{
    int i = knobs_find(a, name);
    if (i < 0 || a->knob_room[i] == KNOB_ENGINE)
        return Q_NOTFOUND;
    const q_knob *k = a->knob[i];
    int rc;
    if (a->knob_room[i] == KNOB_RAG) {
        pthread_mutex_lock(&a->mu);
        rc = rag_config_set(&a->rag, k->name, value, err);
        pthread_mutex_unlock(&a->mu);
        return rc;
    }
    char *v;
    if ((rc = check(k, value, &v, err)) < 0)
        return rc;
    pthread_mutex_lock(&a->mu);
    setting_put_locked(a, k->name, v);
    pthread_cond_broadcast(&a->work);    /* a new pace acts at once */
    pthread_mutex_unlock(&a->mu);
    free(v);
    return Q_OK;
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

/* ---- config.ini ---- */
void strings_add(strings *s, char *taken)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 8;
        s->v = q_realloc(s->v, sizeof *s->v * (size_t)s->cap);
    }
    s->v[s->n++] = taken;
}

void strings_free(strings *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->v[i]);
    free(s->v);
    memset(s, 0, sizeof *s);
}

typedef struct reading { agt *a; strings *assign, *notes; int line; const char *path; q_buf text; size_t at; } reading;

/* Hands lines to inih and counts them, because its handler is not told where it is. */
static char *next_line(char *out, int size, void *user)
{
    reading *r = user;
    if (r->at >= r->text.len)
        return NULL;
    size_t n = strcspn(r->text.p + r->at, "\n"), take = n < (size_t)size - 2 ? n : (size_t)size - 2;
    memcpy(out, r->text.p + r->at, take);
    out[take] = '\n';
    out[take + 1] = 0;
    if (n > take)
        strings_add(r->notes, q_printf(_("%s line %d is longer than %d bytes: the rest of it is ignored"), r->path, r->line + 1, size - 2));
    r->at += n + (r->at + n < r->text.len);
    r->line++;
    return out;
}

static int row(void *user, const char *section, const char *name, const char *value)
{
    reading *r = user;
    char err[Q_ERRLEN];
    char full[160];
    bool ui = strcmp(section, "ui") == 0;
    if (!*section || strcmp(section, "set") == 0 || (ui && strncmp(name, "ui.", 3) == 0))
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "%s.%s", section, name);    /* [ui] theme = light, [sampler] temperature = 0 */
    int i = knobs_find(r->a, full);
    if (i < 0) {
        int near = knobs_nearest(r->a, full);
        strings_add(r->notes, near >= 0 ? q_printf(_("%s line %d: there is no knob %s; the nearest is %s"), r->path, r->line, full, r->a->knob[near]->name)
                                        : q_printf(_("%s line %d: there is no knob %s; /set lists them all"), r->path, r->line, full));
        return 1;
    }
    if (r->a->knob_room[i] == KNOB_ENGINE) {
        strings_add(r->assign, q_printf("%s=%s", r->a->knob[i]->name, value));
        return 1;
    }
    /* What was set in the shell and kept wins over the file for agent rows. */
    pthread_mutex_lock(&r->a->mu);
    bool kept = r->a->knob_room[i] == KNOB_AGENT && setting_locked(r->a, r->a->knob[i]->name);
    pthread_mutex_unlock(&r->a->mu);
    if (!kept && knobs_set_quiet(r->a, full, value, err) < 0)
        strings_add(r->notes, q_printf(_("%s line %d is skipped: %s"), r->path, r->line, err));
    return 1;
}

void knobs_parse_ini(agt *a, const char *path, q_buf *text, strings *assign, strings *notes)
{
    reading r = { .a = a, .assign = assign, .notes = notes, .path = path, .text = *text };
    for (size_t i = 0; i < r.text.len; i++)          /* NUL would end the text for inih and hide the rest */
        if (!r.text.p[i])
            r.text.p[i] = ' ';
    int bad = ini_parse_stream(next_line, &r, row, &r);
    if (bad > 0)                         /* inih names the first line it could not read; lines are counted from 1 */
        strings_add(notes, q_printf(_("%s line %d is not NAME = VALUE and is skipped"), path, bad));
}

void knobs_read_ini(agt *a, strings *assign, strings *notes)
{
    char err[Q_ERRLEN];
    char *path = q_user_path(Q_DIR_CONFIG, "config.ini");
    q_buf text = { 0 };
    int rc = q_read_file(path, &text, 1 << 20, err);
    if (rc == Q_OK)
        knobs_parse_ini(a, path, &text, assign, notes);
    else if (errno != ENOENT)
        strings_add(notes, q_strdup(err));
    q_buf_free(&text);
    free(path);
}
