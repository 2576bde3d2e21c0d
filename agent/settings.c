/* agent/settings: see settings.h; config.ini is read here too. */
#include "agent/settings.h"
#include "lab/lab.h"
#include "mcp/oauth.h"
#include "provider/provider.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The knob, and its value where nobody gave one. */
static const struct { q_knob knob; const char *standard; } rows[] = {
    { .knob = { .name = "agent.tools", .aka = "tools", .type = Q_KNOB_CHOICE, .choices = "off,read,all", .effect = Q_EFFECT_PROMPT,
                .help = N_("what a model may ask to do: nothing, what only reads, or all tools; each is asked about first unless a rule allows it (/tools)") },
      .standard = "off" },
    { .knob = { .name = "agent.steps", .type = Q_KNOB_INT, .min = 1, .max = 1000, .effect = Q_EFFECT_PROMPT,
                .help = N_("how often an answer may go on after tools") },
      .standard = "24" },
    { .knob = { .name = "agent.tokens", .type = Q_KNOB_INT, .min = 0, .max = 100000000, .effect = Q_EFFECT_PROMPT,
                .help = N_("how many tokens an answer with tools may say in all; 0: as many as it takes") },
      .standard = "20000" },
    { .knob = { .name = "agent.mcp_wait", .type = Q_KNOB_FLOAT, .min = 0, .max = 600, .effect = Q_EFFECT_PROMPT,
                .help = N_("seconds that a question waits for MCP servers that are starting; those that are not there by then are left out of the answer") },
      .standard = "3" },
    { .knob = { .name = "context.compact", .type = Q_KNOB_CHOICE, .choices = "off,ask,on", .effect = Q_EFFECT_PROMPT,
                .help = N_("when the context is full: its beginning is left out (off), or the model writes a summary of the older turns, asked first or by itself (/compact)") },
      .standard = "off" },
    { .knob = { .name = "agent.fetch_private", .type = Q_KNOB_TEXT, .effect = Q_EFFECT_PROMPT,
                .help = N_("hosts of this machine and of private networks that fetch_url may ask all the same, between commas: localhost:8080, *.lan; empty: none") },
      .standard = "" },
    { .knob = { .name = "context.policy", .type = Q_KNOB_CHOICE, .choices = "continue,recompute", .effect = Q_EFFECT_FORWARD,
                .help = N_("cached tokens after a knob that acts on hidden states: kept as they are, or evaluated anew") },
      .standard = "continue" },
    { .knob = { .name = "chat.system", .aka = "system", .type = Q_KNOB_TEXT, .effect = Q_EFFECT_PROMPT,
                .help = N_("the system text before every conversation; empty is the model's own") },
      .standard = "" },
    { .knob = { .name = "modules.budget", .type = Q_KNOB_INT, .min = 0, .max = 1000000, .effect = Q_EFFECT_PROMPT,
                .help = N_("tokens of the prompt that modules may take; those that have no room are left out, which is said (/module)") },
      .standard = "1024" },
    { .knob = { .name = "weights.ram", .aka = "weights_ram", .type = Q_KNOB_FLOAT, .min = 0, .max = 1000000, .choices = "least", .effect = Q_EFFECT_SCREEN,
                .help = N_("GiB of memory for weights: experts beyond them are read from the disk when they are chosen; 0: all in memory; least: as few as it takes; for models that are opened from now on (/model), unless --weights-ram or a GPU was asked for") },
      .standard = "0" },
    { .knob = { .name = "memory.embedder", .type = Q_KNOB_TEXT, .effect = Q_EFFECT_RETRIEVAL,
                .help = N_("the embedding model by which memory is searched by meaning: a file, part of a name or an id; off: by words alone; empty: the one that is fetched") },
      .standard = "" },
    { .knob = { .name = "sampler.loop_stop", .type = Q_KNOB_CHOICE, .choices = "auto,on,off", .effect = Q_EFFECT_SAMPLING,
                .help = N_("end an answer that repeats itself, word for word over 256 tokens or nearly so in 450 of 640; auto: in models below 3 billion parameters") },
      .standard = "auto" },
    { .knob = { .name = "ui.pace", .aka = "pace", .type = Q_KNOB_FLOAT, .min = 0, .max = 10000, .effect = Q_EFFECT_SCREEN,
                .help = N_("tokens a second at most, to read along; 0 is as fast as it goes") },
      .standard = "0" },
    { .knob = { .name = "ui.thinking", .type = Q_KNOB_CHOICE, .choices = "folded,open", .effect = Q_EFFECT_SCREEN,
                .help = N_("thinking is folded to one line or shown in full") },
      .standard = "folded" },
    { .knob = { .name = "ui.motion", .type = Q_KNOB_BOOL, .effect = Q_EFFECT_SCREEN,
                .help = N_("off: panels are renewed once a second") },
      .standard = "on" },
    { .knob = { .name = "ui.mouse", .type = Q_KNOB_BOOL, .effect = Q_EFFECT_SCREEN,
                .help = N_("the wheel scrolls what is under it; off leaves the mouse to the terminal") },
      .standard = "on" },
    { .knob = { .name = "ui.theme", .aka = "theme", .type = Q_KNOB_TEXT, .effect = Q_EFFECT_SCREEN,
                .help = N_("colours: dark, light, or a file name in the themes folder") },
      .standard = "dark" },
    { .knob = { .name = "ui.lang", .aka = "lang", .type = Q_KNOB_CHOICE, .choices = "auto,en,ru", .effect = Q_EFFECT_SCREEN,
                .help = N_("language of the interface; auto follows LANG") },
      .standard = "auto" },
};

void settings_open(settings *s)
{
    int ne, nr, na = (int)(sizeof rows / sizeof *rows), n = 0;
    const q_knob *e = prov_knobs(&ne), *r = rag_knobs(&nr);
    pthread_mutex_init(&s->mu, NULL);
    s->servers = prov_servers_new();
    s->mcps = mcp_set_new();
    s->signs = mcp_oauth_new(&(mcp_oauth_opts){ .path = NULL });
    s->rag = rag_config_default();
    s->n_knob = ne + nr + na;
    s->knob = q_alloc(sizeof *s->knob * (size_t)s->n_knob);
    s->room = q_alloc((size_t)s->n_knob);
    for (int i = 0; i < ne; i++)
        s->knob[n++] = &e[i];
    for (int i = 0; i < nr; i++)
        s->room[n] = KNOB_RAG, s->knob[n++] = &r[i];
    for (int i = 0; i < na; i++)
        s->room[n] = KNOB_AGENT, s->knob[n++] = &rows[i].knob;
}

void settings_close(settings *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->v[i].key);
        free(s->v[i].value);
    }
    free(s->v);
    free(s->knob);
    free(s->room);
    prov_servers_free(s->servers);
    mcp_set_free(s->mcps);
    mcp_oauth_free(s->signs);
    strings_free(&s->ini);
    strings_free(&s->set);
    pthread_mutex_destroy(&s->mu);
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

int settings_find(const settings *s, const char *name)
{
    for (int i = 0; i < s->n_knob; i++)
        if (strcasecmp(s->knob[i]->name, name) == 0)
            return i;
    for (int i = 0; i < s->n_knob; i++)
        if (listed(s->knob[i]->aka, name))
            return i;
    int hit = -1, hits = 0;              /* or what stands behind its point, where one knob alone ends so: k=4, as /compare takes it */
    for (int i = 0; i < s->n_knob; i++) {
        const char *dot = strrchr(s->knob[i]->name, '.');
        if (s->knob[i]->effect != Q_EFFECT_FIXED && dot && strcasecmp(dot + 1, name) == 0)
            hit = i, hits++;
    }
    return hits == 1 ? hit : -1;
}

int settings_nearest(const settings *s, const char *name)
{
    int best = -1, least = NEAR_NOT;
    for (int i = 0; i < s->n_knob; i++) {
        int d = text_near(name, s->knob[i]->name);
        for (const char *p = s->knob[i]->aka; p && *p;) {        /* config.json's names, for those who know them */
            size_t w = strcspn(p, ",");
            char *one = q_strndup(p, w);
            int o = text_near(name, one);
            d = o < d ? o : d;
            free(one);
            p += w + (p[w] == ',');
        }
        if (d < least)
            least = d, best = i;
    }
    return best;
}

/* ---- values ---- */
static const char *value_locked(const settings *s, const char *key)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i].key, key) == 0)
            return s->v[i].value;
    return NULL;
}

void settings_put(settings *s, const char *key, const char *value)
{
    pthread_mutex_lock(&s->mu);
    int i = 0;
    while (i < s->n && strcmp(s->v[i].key, key) != 0)
        i++;
    if (i == s->n && value) {
        if (s->n == s->cap) {
            s->cap = s->cap ? s->cap * 2 : 32;
            s->v = q_realloc(s->v, sizeof *s->v * (size_t)s->cap);
        }
        s->v[s->n++] = (setting_row){ .key = q_strdup(key) };
    }
    if (i < s->n) {
        free(s->v[i].value);
        s->v[i].value = value ? q_strdup(value) : NULL;
    }
    pthread_mutex_unlock(&s->mu);
}

char *settings_get(settings *s, const char *key)
{
    pthread_mutex_lock(&s->mu);
    const char *v = value_locked(s, key);
    char *copy = v ? q_strdup(v) : NULL;
    pthread_mutex_unlock(&s->mu);
    return copy;
}

void settings_each(settings *s, const char *prefix, void (*each)(void *user, const char *key, const char *value), void *user)
{
    pthread_mutex_lock(&s->mu);
    for (int i = 0; i < s->n; i++)
        if (strncmp(s->v[i].key, prefix, strlen(prefix)) == 0 && s->v[i].value)
            each(user, s->v[i].key, s->v[i].value);
    pthread_mutex_unlock(&s->mu);
}

rag_config settings_rag(settings *s)
{
    pthread_mutex_lock(&s->mu);
    rag_config c = s->rag;
    pthread_mutex_unlock(&s->mu);
    return c;
}

const char *settings_default(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].knob.name, name) == 0)
            return rows[i].standard;
    return "";
}

const char *settings_value(settings *s, const char *name, q_buf *buf)
{
    q_buf_clear(buf);
    pthread_mutex_lock(&s->mu);
    const char *v = value_locked(s, name);
    q_buf_puts(buf, v ? v : settings_default(name));
    pthread_mutex_unlock(&s->mu);
    return buf->p;
}

/* What stands among the values was checked when it was set; a store's own row is a stranger's word. */
double settings_number(settings *s, const char *name)
{
    int i = settings_find(s, name);
    q_buf b = { 0 };
    double x = strtod(settings_value(s, name, &b), NULL), lo = i < 0 ? 0 : s->knob[i]->min, hi = i < 0 ? 0 : s->knob[i]->max;
    q_buf_free(&b);
    return x >= lo && x <= hi ? x : lo;
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
    char num[32], low[32], high[32];
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
        q_knob_number(low, k->min);
        q_knob_number(high, k->max);
        if (k->choices && *v && !strchr(v, ',') && listed(k->choices, v))
            break;
        if (!*v || *end || !(d >= k->min && d <= k->max))
            return k->choices ? q_fail(err, Q_RANGE, _("%s is a number from %s to %s, or one of: %s"), k->name, low, high, k->choices)
                              : q_fail(err, Q_RANGE, _("%s is a number from %s to %s"), k->name, low, high);
        q_knob_number(num, d);
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

int settings_check(settings *s, const char *name, const char *value, char *err)
{
    int i = settings_find(s, name), rc;
    char *v = NULL;
    if (i < 0 || s->room[i] == KNOB_ENGINE)
        return Q_NOTFOUND;
    if (s->room[i] == KNOB_RAG) {
        rag_config c = settings_rag(s);
        return rag_config_set(&c, s->knob[i]->name, value, err);
    }
    rc = check(s->knob[i], value, &v, err);
    free(v);
    return rc;
}

size_t settings_length(const settings *s, const char *p, size_t n)
{
    char *name = q_strndup(p, strcspn(p, "= \n\t"));
    int k = settings_find(s, name);
    bool text = k >= 0 && s->knob[k]->type == Q_KNOB_TEXT;
    free(name);
    for (size_t i = 0; i < n; i++) {
        if (p[i] != ',' || !lab_spec_begins(p + i + 1))
            continue;
        char *next = q_strndup(p + i + 1, strcspn(p + i + 1, "="));
        bool parts = !text || settings_find(s, next) >= 0;
        free(next);
        if (parts)
            return i;
    }
    return n;
}

int settings_set(settings *s, const char *name, const char *value, char *err)
{
    int i = settings_find(s, name), rc;
    if (i < 0 || s->room[i] == KNOB_ENGINE)
        return Q_NOTFOUND;
    const q_knob *k = s->knob[i];
    if (s->room[i] == KNOB_RAG) {
        pthread_mutex_lock(&s->mu);
        rc = rag_config_set(&s->rag, k->name, value, err);
        pthread_mutex_unlock(&s->mu);
        return rc;
    }
    char *v;
    if ((rc = check(k, value, &v, err)) == Q_OK)
        settings_put(s, k->name, v);
    free(v);
    return rc;
}

/* ---- config.ini ---- */
typedef struct reading { settings *s; strings *notes; int line; const char *path; q_buf text; size_t at; bool torn; } reading;

/* A section's name that does not end, as inih sees ends. What stands below it is of nobody: the section above may have an address, or a key. */
static bool torn_name(const char *s, size_t n)
{
    for (size_t i = 1; i < n && s[i] != ']'; i++)
        if (i + 1 == n || (s[i] == ';' && isspace((unsigned char)s[i - 1])))
            return true;
    return n == 1;
}

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
    const char *own = r->text.p + r->at;
    size_t mark = !r->line && take >= 3 && memcmp(own, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (take > mark && own[mark] == '[') {
        r->torn = torn_name(own + mark, take - mark);
        if (r->torn) {
            strings_add(r->notes, q_printf(_("%s line %d: the section's name has no ] at its end; what stands below it is skipped"), r->path, r->line + 1));
            strcpy(out, "\n");
        }
    }
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
    if (r->torn)
        return 1;
    bool server = strncmp(section, "server.", 7) == 0, mcp = strncmp(section, "mcp.", 4) == 0;
    if (server || mcp) {
        int rc = server ? prov_servers_put(r->s->servers, section + 7, name, value, err) : mcp_oauth_put(r->s->signs, section + 4, name, value, err);
        if (mcp && rc == Q_NOTFOUND)     /* none of a sign-in's keys */
            rc = mcp_put(r->s->mcps, section + 4, name, value, err);
        if (rc < 0)
            strings_add(r->notes, q_printf(_("%s line %d is skipped: %s"), r->path, r->line, err));
        return 1;
    }
    if (!*section || strcmp(section, "set") == 0 || (ui && strncmp(name, "ui.", 3) == 0))
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "%s.%s", section, name);    /* [ui] theme = light, [sampler] temperature = 0 */
    int i = settings_find(r->s, full);
    if (i < 0) {
        int near = settings_nearest(r->s, full);
        strings_add(r->notes, near >= 0 ? q_printf(_("%s line %d: there is no knob %s; the nearest is %s"), r->path, r->line, full, r->s->knob[near]->name)
                                        : q_printf(_("%s line %d: there is no knob %s; /set lists them all"), r->path, r->line, full));
    } else if (r->s->room[i] == KNOB_ENGINE)
        strings_add(&r->s->ini, q_printf("%s=%s", r->s->knob[i]->name, value));
    else if (settings_set(r->s, full, value, err) < 0)
        strings_add(r->notes, q_printf(_("%s line %d is skipped: %s"), r->path, r->line, err));
    return 1;
}

void settings_parse_ini(settings *s, const char *path, q_buf *text, strings *notes)
{
    reading r = { .s = s, .notes = notes, .path = path, .text = *text };
    for (size_t i = 0; i < r.text.len; i++)          /* NUL would end the text for inih and hide the rest */
        if (!r.text.p[i])
            r.text.p[i] = ' ';
    int bad = ini_parse_stream(next_line, &r, row, &r);
    if (bad > 0)                         /* inih names the first line it could not read; lines are counted from 1 */
        strings_add(notes, q_printf(_("%s line %d is not NAME = VALUE and is skipped"), path, bad));
}

void settings_read_ini(settings *s, strings *notes)
{
    char err[Q_ERRLEN];
    char *path = q_user_path(Q_DIR_CONFIG, "config.ini");
    q_buf text = { 0 };
    if (!path)
        return;
    int rc = q_read_file(path, &text, 1 << 20, err);
    if (rc == Q_OK)
        settings_parse_ini(s, path, &text, notes);
    else if (access(path, F_OK) == 0 || errno != ENOENT)
        strings_add(notes, q_strdup(err));
    q_buf_free(&text);
    free(path);
}
