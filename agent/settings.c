/* agent/settings: the joined knob table (engine, rag, and the rows of the screen and the turn below), the settings as text, the
 * values of agent and rag rows, and config.ini. Any thread; values are guarded by agt.mu.
 * It never touches a session: what an engine knob is worth, the engine thread knows. */
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
const char *knobs_row_default(const char *name)
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
    q_buf_puts(buf, v ? v : knobs_row_default(name));
    pthread_mutex_unlock(&a->mu);
    return buf->p;
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

/* ---- config.ini ---- */
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
    if (!path)
        return;
    int rc = q_read_file(path, &text, 1 << 20, err);
    if (rc == Q_OK)
        knobs_parse_ini(a, path, &text, assign, notes);
    else if (errno != ENOENT)
        strings_add(notes, q_strdup(err));
    q_buf_free(&text);
    free(path);
}
