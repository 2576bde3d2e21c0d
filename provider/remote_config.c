/* provider/remote_config: see remote_config.h. */
#include "provider/remote_config.h"
#include "engine/grammar.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The knobs that act on a server, by their fields in a request; NULL: it acts here. Two names are two dialects of one field. */
static const struct { const char *knob, *field, *also; } rows[] = {
    { "sampler.temperature", "temperature", NULL }, { "sampler.top_p", "top_p", NULL }, { "sampler.top_k", "top_k", NULL },
    { "sampler.min_p", "min_p", NULL }, { "sampler.repeat_penalty", "repetition_penalty", "repeat_penalty" },
    { "sampler.frequency_penalty", "frequency_penalty", NULL }, { "sampler.presence_penalty", "presence_penalty", NULL },
    { "sampler.max_tokens", "max_tokens", NULL }, { "sampler.seed", NULL, NULL }, { "sampler.stop", NULL, NULL },
    { "sampler.grammar", NULL, NULL }, { "think", NULL, NULL }, { "context.length", NULL, NULL } };
enum { ROWS = sizeof rows / sizeof *rows };

typedef struct conf { prov_config base; const remote_own *own; char *value[ROWS]; } conf;

static conf *of(const prov_config *c) { return (conf *)(uintptr_t)c; }

static bool called(const q_knob *k, const char *name)
{
    if (strcasecmp(k->name, name) == 0)
        return true;
    for (const char *p = k->aka; p && *p;) {
        size_t n = strcspn(p, ",");
        if (strlen(name) == n && strncasecmp(p, name, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static const q_knob *knob(const char *name)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    for (int i = 0; i < n; i++)
        if (called(&k[i], name))
            return &k[i];
    return NULL;
}

static int row_of(const q_knob *k)
{
    for (int i = 0; k && i < ROWS; i++)
        if (strcmp(rows[i].knob, k->name) == 0)
            return i;
    return -1;
}

prov_config *remote_config_new(const prov_kind *kind, const remote_own *own)
{
    conf *c = q_alloc(sizeof *c);
    c->base.kind = kind;
    c->own = own;
    return &c->base;
}

prov_config *remote_config_copy(const prov_config *from)
{
    conf *c = q_alloc(sizeof *c);
    *c = *of(from);
    for (int i = 0; i < ROWS; i++)
        c->value[i] = c->value[i] ? q_strdup(c->value[i]) : NULL;
    return &c->base;
}

void remote_config_free(prov_config *c)
{
    for (int i = 0; i < ROWS; i++)
        free(of(c)->value[i]);
    free(c);
}

const char *remote_config_fixed(const prov_config *c, const char *name, q_buf *b)
{
    const q_knob *k = knob(name);
    if (!k || row_of(k) >= 0)
        return NULL;
    q_buf_clear(b);
    q_buf_printf(b, _("%s is fixed on a server: %s; run the model here to change it"), k->name, of(c)->own->at);
    return b->p;
}

static void bounds(const prov_config *c, const q_knob *k, double *min, double *max)
{
    *min = k->min;
    *max = strcmp(k->name, "context.length") == 0 && of(c)->own->context ? of(c)->own->context : k->max;
}

bool remote_config_range(const prov_config *c, const char *name, double *min, double *max)
{
    const q_knob *k = knob(name);
    if (!k || row_of(k) < 0 || (k->type != Q_KNOB_INT && k->type != Q_KNOB_FLOAT))
        return false;
    bounds(c, k, min, max);
    return true;
}

/* ---- sampler.grammar: kept as its path, a line's end and what stood in the file when it was set ---- */
static bool is_grammar(const q_knob *k) { return strcmp(k->name, "sampler.grammar") == 0; }

bool remote_grammar_is_schema(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && strchr(" \t\r\n", text[i]))
        i++;
    return i < n && text[i] == '{';
}

int remote_grammar_no_gbnf(const remote_own *own, char *err)
{
    return q_fail(err, Q_RANGE, _("%s takes JSON schemas, no grammars in GBNF: write a schema, or run the model here or in llama-server"), own->at);
}

static int check_grammar(const prov_config *c, const q_knob *k, const char *v, char **out, char *err)
{
    const char *line = strchr(v, '\n');
    q_buf text = { 0 };
    char why[Q_ERRLEN];
    int rc = Q_OK;
    q_buf_puts(&text, line ? line + 1 : "");
    if (!line)
        rc = q_read_file(v, &text, (size_t)k->max, err);
    else if (text.len > (size_t)k->max)
        rc = q_fail(err, Q_RANGE, _("%s takes at most %.0f bytes, not %zu"), k->name, k->max, text.len);
    if (rc == Q_OK && (memchr(text.p, 0, text.len) || !q_utf8_valid(text.p, text.len)))
        rc = q_fail(err, Q_FORMAT, _("%s must be UTF-8 text"), k->name);
    if (rc == Q_OK && !remote_grammar_is_schema(text.p, text.len) && !of(c)->own->gbnf)
        rc = remote_grammar_no_gbnf(of(c)->own, err);
    if (rc == Q_OK) {                    /* a mistake in it is found here, with its line, not by a server in the middle of a talk */
        eng_grammar *g = NULL;
        rc = eng_grammar_new(&(eng_grammar_source){ .text = text.p, .n = text.len }, &g, why);
        eng_grammar_free(g);
        if (rc < 0)
            q_fail(err, rc, "%.200s: %s", line ? k->name : v, why);
    }
    if (rc == Q_OK)
        *out = q_printf("%.*s\n%s", line ? (int)(line - v) : (int)strlen(v), v, text.p);
    q_buf_free(&text);
    return rc;
}

const char *remote_config_grammar(const prov_config *c)
{
    const char *v = of(c)->value[row_of(knob("sampler.grammar"))], *line = v ? strchr(v, '\n') : NULL;
    return line ? line + 1 : NULL;
}

/* Checked and as it is kept, malloc'ed. */
static int check(const prov_config *c, const q_knob *k, const char *v, char **out, char *err)
{
    char low[32], high[32], text[32], *end;
    double min, max, x;
    if (is_grammar(k))
        return check_grammar(c, k, v, out, err);
    switch (k->type) {
    case Q_KNOB_INT: case Q_KNOB_FLOAT:
        bounds(c, k, &min, &max);
        q_knob_number(low, min);
        q_knob_number(high, max);
        x = strtod(v, &end);
        if (!*v || *end || !(x >= min && x <= max) || (k->type == Q_KNOB_INT && floor(x) != x))
            return q_fail(err, Q_RANGE, k->type == Q_KNOB_INT ? _("%s is a whole number from %s to %s") : _("%s is a number from %s to %s"), k->name, low, high);
        q_knob_number(text, x);
        *out = q_strdup(text);
        return Q_OK;
    case Q_KNOB_CHOICE:
        if (!q_listed(k->choices, ",", v, strlen(v)))
            return q_fail(err, Q_RANGE, _("%s is one of: %s"), k->name, k->choices);
        break;
    default:
        if (!q_utf8_valid(v, strlen(v)) || (k->max > 0 && strlen(v) > (size_t)k->max))
            return q_fail(err, Q_FORMAT, _("%s must be UTF-8 text"), k->name);
    }
    *out = q_strdup(v);
    return Q_OK;
}

int remote_config_set(prov_config *c, const char *name, const char *value, char *err)
{
    const q_knob *k = knob(name);
    int i = row_of(k), rc;
    char *v = NULL;
    if (!k)
        return q_fail(err, Q_NOTFOUND, _("there is no knob \"%s\": /set alone lists them all"), name);
    if (i < 0) {
        q_buf b = { 0 }, was = { 0 };
        bool same = strcmp(value, "default") == 0 || strcmp(value, remote_config_get(c, name, &was)) == 0;
        rc = same ? Q_OK : q_fail(err, Q_RANGE, "%s", remote_config_fixed(c, name, &b));
        q_buf_free(&b);
        q_buf_free(&was);
        return rc;
    }
    bool own = strcmp(value, "default") == 0 || !*value || (k->type == Q_KNOB_CHOICE && strcmp(value, "auto") == 0) ||
               (is_grammar(k) && (strcmp(value, "off") == 0 || strcmp(value, "none") == 0));
    rc = own ? Q_OK : check(c, k, value, &v, err);
    if (rc < 0)
        return rc;
    free(of(c)->value[i]);
    of(c)->value[i] = v;
    return Q_OK;
}

/* Nobody set it: what is known of the server's own. */
static void own_value(const conf *c, const char *name, q_buf *b)
{
    const struct { const char *name; int x; } known[] = { { "context.length", c->own->context }, { "experts.k", c->own->k }, { "model.experts", c->own->experts } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0 && known[i].x)
            q_buf_printf(b, "%d", known[i].x);
    if (strcmp(name, "think") == 0)
        q_buf_puts(b, "auto");
    if (strcmp(name, "sampler.grammar") == 0)
        q_buf_puts(b, "off");
    if (strcmp(name, "sampler.seed") == 0 || strcmp(name, "sampler.max_tokens") == 0)
        q_buf_puts(b, "0");
}

const char *remote_config_get(const prov_config *c, const char *name, q_buf *b)
{
    const q_knob *k = knob(name);
    int i = row_of(k);
    q_buf_clear(b);
    q_buf_puts(b, i >= 0 && of(c)->value[i] ? of(c)->value[i] : "");
    size_t path = strcspn(b->p, "\n");
    if (k && i >= 0 && is_grammar(k) && path && b->p[path])        /* its name is shown; all of it where it has none */
        b->p[b->len = path] = 0;
    if (k && (i < 0 || !of(c)->value[i]))
        own_value(of(c), k->name, b);
    return b->p;
}

double remote_config_number(const prov_config *c, const char *name)
{
    q_buf b = { 0 };
    char *end;
    const char *v = remote_config_get(c, name, &b);
    double x = strtod(v, &end);
    bool good = *v && !*end;
    q_buf_free(&b);
    return good ? x : (double)NAN;
}

bool remote_config_is_default(const prov_config *c, const char *name)
{
    int i = row_of(knob(name));
    return i < 0 || !of(c)->value[i];
}

int remote_config_k(const prov_config *c) { return of(c)->own->k; }
int remote_config_nudge_k(prov_config *c, int delta) { return (void)delta, of(c)->own->k; }

const char *remote_config_label(const prov_config *c, q_buf *b)
{
    q_buf_clear(b);
    q_buf_puts(b, "");                   /* nothing that acts on hidden states can differ */
    return b->p;
}

char *remote_config_json(const prov_config *c)
{
    cJSON *j = cJSON_CreateObject();
    for (int i = 0; i < ROWS; i++)
        if (of(c)->value[i])
            cJSON_AddStringToObject(j, rows[i].knob, of(c)->value[i]);
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

int remote_config_from_json(prov_config *c, const char *json, char *err)
{
    cJSON *j = cJSON_Parse(json), *v;
    conf *next = (conf *)remote_config_new(c->kind, of(c)->own);
    int rc = cJSON_IsObject(j) ? Q_OK : q_fail(err, Q_FORMAT, _("this is no JSON of settings"));
    cJSON_ArrayForEach(v, j) {
        char number[32];
        if (cJSON_IsNumber(v))
            q_knob_number(number, v->valuedouble);
        const char *text = cJSON_IsString(v) ? v->valuestring : cJSON_IsNumber(v) ? number : NULL;
        if (rc == Q_OK)
            rc = text ? remote_config_set(&next->base, v->string, text, err) : q_fail(err, Q_FORMAT, _("this is no JSON of settings"));
    }
    cJSON_Delete(j);
    for (int i = 0; i < ROWS && rc == Q_OK; i++) {
        char *was = of(c)->value[i];
        of(c)->value[i] = next->value[i];
        next->value[i] = was;
    }
    remote_config_free(&next->base);
    return rc;
}

uint64_t remote_config_hash(const prov_config *c, bool all)
{
    uint64_t h = 1;                      /* what acts on hidden states is the server's, always the same */
    for (int i = 0; i < ROWS && all; i++)
        if (of(c)->value[i] && strcmp(rows[i].knob, "context.length") != 0)
            h = q_hash64(of(c)->value[i], strlen(of(c)->value[i]), h + (uint64_t)i + 1);
    return h;
}

enum q_effect remote_config_diff(const prov_config *a, const prov_config *b)
{
    (void)a, (void)b;
    return Q_EFFECT_SAMPLING;
}

prov_cost remote_config_cost(const prov_config *c) { return (void)c, (prov_cost){ 0, 0 }; }

void remote_config_each(const prov_config *c, void (*each)(void *user, const char *field, const char *value), void *user)
{
    for (int i = 0; i < ROWS; i++) {
        const char *v = of(c)->value[i];
        bool none = strcmp(rows[i].knob, "sampler.max_tokens") == 0 && v && strcmp(v, "0") == 0;     /* 0 is: up to the end */
        if (!v || !rows[i].field || none)
            continue;
        each(user, rows[i].field, v);
        if (rows[i].also)
            each(user, rows[i].also, v);
    }
}
