/* serve/read: see read.h. One table of fields: what a request may say, by whom it is read, and what is refused by name. */
#include "serve/read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 1 << 24 };
typedef char path[64];                   /* of a field, for its fault */

static void *keep(read_ask *a, void *p /* malloc'ed */)
{
    a->own = q_realloc(a->own, sizeof *a->own * (size_t)(a->n_own + 1));
    return a->own[a->n_own++] = p;
}

void read_free(read_ask *a)
{
    for (int i = 0; i < a->n_own; i++)
        free(a->own[i]);
    free(a->own);
    for (int i = 0; i < a->n_knob; i++)
        free(a->knob[i].value);
    free(a->knob);
    cJSON_Delete(a->json);
    *a = (read_ask){ .json = NULL };
}

/* ---- JSON ---- */
/* A text of C ends at a NUL: what stands behind it would be lost without a word. */
static bool holds_nul(const char *p, size_t n)
{
    if (memchr(p, 0, n))
        return true;
    for (size_t i = 0; i + 5 < n; i++)
        if (p[i] == '\\' && memcmp(p + i + 1, "u0000", 5) == 0)
            return true;
        else if (p[i] == '\\')
            i++;
    return false;
}

/* Values take eight times their text and more as cJSON keeps them: they are counted before. */
static bool many_values(const char *p, size_t n)
{
    size_t values = 0;
    bool text = false;
    for (size_t i = 0; i < n && values <= READ_VALUES; i++) {
        if (p[i] == '"')
            text = !text;
        else if (text && p[i] == '\\')
            i++;
        else if (!text)
            values += p[i] == ',' || p[i] == '[' || p[i] == '{';
    }
    return values > READ_VALUES;
}

/* Servers differ in which of two fields of one name counts, so that what stands between could be told another thing than we do. The first
 * name that stands twice in one object, however deep; NULL: none does. cJSON bounds the depth. */
static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static const char *named_twice(const cJSON *v)
{
    const cJSON *one;
    const char *twice = NULL;
    int n = cJSON_IsObject(v) ? cJSON_GetArraySize(v) : 0, i = 0;
    const char **name = n > 1 ? q_alloc(sizeof *name * (size_t)n) : NULL;
    cJSON_ArrayForEach(one, v) {
        if (name)
            name[i++] = one->string;
        if (!twice && one->child)
            twice = named_twice(one);
    }
    if (name)
        qsort(name, (size_t)n, sizeof *name, by_name);
    for (i = 1; i < n && !twice; i++)
        if (strcmp(name[i - 1], name[i]) == 0)
            twice = name[i];
    free(name);
    return twice;
}

cJSON *read_object(const char *body, size_t n, fault *f)
{
    const char *end = NULL;
    if (n == 0 || !q_utf8_valid(body, n)) {
        fault_set(f, 400, NULL, "%s", n ? _("the body is not UTF-8") : _("the body is empty: it is a JSON object"));
        return NULL;
    }
    if (holds_nul(body, n)) {
        fault_set(f, 400, NULL, "%s", _("the body holds a NUL character, which no text here can have: leave it out"));
        return NULL;
    }
    if (many_values(body, n)) {
        fault_set(f, 400, NULL, _("the body holds more than %d values: ask in several requests, and give a long prompt as text"), READ_VALUES);
        return NULL;
    }
    cJSON *j = cJSON_ParseWithLengthOpts(body, n + 1, &end, true);
    const char *twice = named_twice(j);
    if (cJSON_IsObject(j) && !twice)
        return j;
    if (twice)
        fault_set(f, 400, twice, _("%.48s stands twice in one object of the body: say it once"), twice);
    else
        fault_set(f, 400, NULL, j ? _("the body is JSON, but no object") : _("the body is no JSON that can be read, from byte %zu on"), end ? (size_t)(end - body) : (size_t)0);
    cJSON_Delete(j);
    return NULL;
}

/* ---- values ---- */
int read_bool(const cJSON *v, const char *field, bool *out, fault *f)
{
    if (!cJSON_IsBool(v))
        return fault_set(f, 400, field, _("%s must be true or false"), field);
    *out = cJSON_IsTrue(v);
    return Q_OK;
}

int read_whole(const cJSON *v, const char *field, double min, double max, double *out, fault *f)
{
    double x = cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
    if (!(x >= min && x <= max) || x != floor(x))
        return fault_set(f, 400, field, _("%s must be a whole number from %.0f to %.0f"), field, min, max);
    *out = x;
    return Q_OK;
}

int read_text(const cJSON *v, const char *field, const char **out, fault *f)
{
    if (!cJSON_IsString(v))
        return fault_set(f, 400, field, _("%s must be a text"), field);
    *out = v->valuestring;
    return Q_OK;
}

int read_ids(const cJSON *v, const char *field, int32_t **out, int *n, fault *f)
{
    const cJSON *one;
    *n = 0;
    *out = q_alloc(sizeof **out * (size_t)(cJSON_GetArraySize(v) + 1));
    cJSON_ArrayForEach(one, v) {
        double x;
        if (read_whole(one, field, 0, INT32_MAX, &x, f) < 0) {
            free(*out);
            *out = NULL;
            return Q_ERR;
        }
        (*out)[(*n)++] = (int32_t)x;
    }
    return Q_OK;
}

static int list(const cJSON *v, const char *field, int most, fault *f)
{
    if (!cJSON_IsArray(v))
        return fault_set(f, 400, field, _("%s must be a list"), field);
    int n = cJSON_GetArraySize(v);
    return n > most ? fault_set(f, 400, field, _("%s has %d items, and may have %d"), field, n, most) : n;
}

/* The member of an object that must be there. */
static const cJSON *member(const cJSON *v, const char *name) { return cJSON_IsObject(v) ? cJSON_GetObjectItemCaseSensitive(v, name) : NULL; }
static bool said(const cJSON *v) { return v && !cJSON_IsNull(v); }

/* ---- messages ---- */
/* A text, or a list of parts that are texts. */
static int content(read_ask *a, const cJSON *v, const char *field, prov_message *m, fault *f)
{
    if (cJSON_IsString(v)) {
        m->text = v->valuestring;
        m->n = strlen(m->text);
        return Q_OK;
    }
    if (!cJSON_IsArray(v))
        return fault_set(f, 400, field, _("%s must be a text or a list of parts"), field);
    q_buf b = { 0 };
    const cJSON *part;
    q_buf_puts(&b, "");
    cJSON_ArrayForEach(part, v) {
        const cJSON *type = member(part, "type"), *text = member(part, "text");
        bool refusal = m->role == PROV_ASSISTANT && cJSON_IsString(type) && strcmp(type->valuestring, "refusal") == 0;
        text = refusal ? member(part, "refusal") : text;
        if (cJSON_IsString(type) && (refusal || strcmp(type->valuestring, "text") == 0) && cJSON_IsString(text))
            q_buf_puts(&b, text->valuestring);
        else {
            q_buf_free(&b);
            return fault_set(f, 400, field, _("%s has a part of type \"%.40s\": this model reads text alone, as {\"type\":\"text\",\"text\":\"…\"}"), field,
                             cJSON_IsString(type) ? type->valuestring : "");
        }
    }
    m->n = b.len;
    m->text = keep(a, q_buf_take(&b));
    return Q_OK;
}

static int past_calls(read_ask *a, const cJSON *v, int message, const char *field, fault *f)
{
    int n = list(v, field, READ_TOOLS, f);
    const cJSON *one;
    prov_past_call *call = (prov_past_call *)(uintptr_t)a->r.call;
    if (n < 0)
        return n;
    cJSON_ArrayForEach(one, v) {
        const cJSON *id = member(one, "id"), *fn = member(one, "function"), *name = member(fn, "name"), *args = member(fn, "arguments");
        if (!cJSON_IsString(id) || !cJSON_IsString(name) || !cJSON_IsString(args))
            return fault_set(f, 400, field, _("%s: each has an id and a function with its name and its arguments, all texts"), field);
        cJSON *object = cJSON_Parse(args->valuestring);
        bool fine = cJSON_IsObject(object) || !*args->valuestring;
        cJSON_Delete(object);
        if (!fine)
            return fault_set(f, 400, field, _("%s: the arguments of %.64s are no JSON object"), field, name->valuestring);
        call[a->r.n_call++] = (prov_past_call){ message, { id->valuestring, name->valuestring, *args->valuestring ? args->valuestring : "{}" } };
    }
    return Q_OK;
}

static int answered(const read_ask *a, const char *id)
{
    for (int i = 0; i < a->r.n_call; i++)
        if (strcmp(a->r.call[i].call.id, id) == 0)
            return true;
    return false;
}

static int message(read_ask *a, const cJSON *v, int i, prov_message *m, fault *f)
{
    static const struct { const char *name; enum prov_role role; } row[] = {
        { "system", PROV_SYSTEM }, { "developer", PROV_SYSTEM }, { "user", PROV_USER }, { "assistant", PROV_ASSISTANT }, { "tool", PROV_TOOL } };
    const cJSON *role = member(v, "role"), *text = member(v, "content"), *calls = member(v, "tool_calls"), *id = member(v, "tool_call_id");
    size_t k = 0;
    path at;
    snprintf(at, sizeof at, "messages[%d].role", i);
    while (cJSON_IsString(role) && k < sizeof row / sizeof *row && strcmp(row[k].name, role->valuestring) != 0)
        k++;
    if (!cJSON_IsString(role) || k == sizeof row / sizeof *row)
        return fault_set(f, 400, at, _("%s must be system, developer, user, assistant or tool"), at);
    *m = (prov_message){ .role = row[k].role, .text = "" };
    snprintf(at, sizeof at, "messages[%d].content", i);
    if ((said(text) || m->role != PROV_ASSISTANT || (!text && !said(calls))) && content(a, text, at, m, f) < 0)
        return Q_ERR;
    snprintf(at, sizeof at, "messages[%d].tool_calls", i);
    if (said(calls) && m->role != PROV_ASSISTANT)
        return fault_set(f, 400, at, _("%s stands in a message that is not the assistant's"), at);
    if (said(calls) && past_calls(a, calls, i, at, f) < 0)
        return Q_ERR;
    snprintf(at, sizeof at, "messages[%d].tool_call_id", i);
    if (m->role == PROV_TOOL && (!cJSON_IsString(id) || !answered(a, id->valuestring)))
        return fault_set(f, 400, at, _("%s must be the id of a call that an earlier message makes"), at);
    m->call = m->role == PROV_TOOL ? id->valuestring : NULL;
    return Q_OK;
}

static int count_calls(const cJSON *messages)
{
    const cJSON *one;
    int n = 0;
    cJSON_ArrayForEach(one, messages)
        n += cJSON_GetArraySize(member(one, "tool_calls"));
    return n;
}

int read_messages(read_ask *a, const cJSON *v, fault *f)
{
    int n = list(v, "messages", READ_MESSAGES, f), calls = count_calls(v), i = 0;
    const cJSON *one;
    if (n <= 0)
        return n < 0 ? n : fault_set(f, 400, "messages", "%s", _("messages is empty: say at least one"));
    if (calls > READ_CALLS)              /* each result is looked for among all of them */
        return fault_set(f, 400, "messages", _("%s has %d items, and may have %d"), "messages[].tool_calls", calls, READ_CALLS);
    prov_message *m = keep(a, q_alloc(sizeof *m * (size_t)n));
    a->r.call = keep(a, q_alloc(sizeof *a->r.call * (size_t)(calls + 1)));
    a->r.message = m;
    a->r.n_message = a->r.n_call = 0;
    cJSON_ArrayForEach(one, v) {
        if (message(a, one, i, &m[i], f) < 0)
            return Q_ERR;
        a->r.n_message = ++i;
    }
    return Q_OK;
}

/* ---- tools ---- */
static bool tool_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return n > 0 && n <= 64 && !s[n];
}

static int tools(read_ask *a, const cJSON *v, fault *f)
{
    int n = list(v, "tools", READ_TOOLS, f), i = 0;
    const cJSON *one;
    if (n < 0)
        return n;
    prov_tool *t = keep(a, q_alloc(sizeof *t * (size_t)(n + 1)));
    cJSON_ArrayForEach(one, v) {
        const cJSON *type = member(one, "type"), *fn = member(one, "function"), *name = member(fn, "name"), *help = member(fn, "description"),
                    *schema = member(fn, "parameters");
        path at;
        snprintf(at, sizeof at, "tools[%d]", i);
        if (!cJSON_IsString(type) || strcmp(type->valuestring, "function") != 0)
            return fault_set(f, 400, at, _("%s is not of type \"function\": there are no others here"), at);
        if (!cJSON_IsString(name) || !tool_name(name->valuestring))
            return fault_set(f, 400, at, _("%s: its function needs a name of at most 64 letters, digits, _, - and ."), at);
        if ((said(help) && !cJSON_IsString(help)) || (said(schema) && !cJSON_IsObject(schema)))
            return fault_set(f, 400, at, _("%s: description is a text, parameters a JSON schema"), at);
        t[i++] = (prov_tool){ name->valuestring, said(help) ? help->valuestring : "",
                              said(schema) ? keep(a, cJSON_PrintUnformatted(schema)) : "{\"type\":\"object\",\"properties\":{}}" };
    }
    a->r.tool = t;
    a->r.n_tool = n;
    return Q_OK;
}

static void hold(read_ask *a, char *text /* malloc'ed */)
{
    a->grammar.text = keep(a, text);
    a->grammar.n = strlen(text);
    a->r.grammar = &a->grammar;
}

/* The answer is nothing but a call of one of the tools, or of this one: then it reads the same in every model's language. */
static void force(read_ask *a, const char *only)
{
    q_buf b = { 0 };
    prov_rule *rule = keep(a, q_alloc(sizeof *rule * (size_t)(a->r.n_tool + 1)));
    q_buf_puts(&b, "root ::= ");
    for (int i = 0; i < a->r.n_tool; i++) {
        if (only && strcmp(only, a->r.tool[i].name) != 0)
            continue;
        char *name = keep(a, q_printf("args%d", i));
        rule[a->grammar.n_rule] = (prov_rule){ name, a->r.tool[i].schema };
        q_buf_printf(&b, "%s\"{\\\"name\\\": \\\"%s\\\", \\\"arguments\\\": \" %s \"}\"", a->grammar.n_rule++ ? " | " : "", a->r.tool[i].name, name);
    }
    a->grammar.rule = rule;
    a->forced = true;
    hold(a, q_buf_take(&b));
}

/* Behind all fields: it needs the tools. */
static int tool_choice(read_ask *a, fault *f)
{
    const cJSON *v = member(a->json, "tool_choice"), *name = member(member(v, "function"), "name");
    const char *word = cJSON_IsString(v) ? v->valuestring : cJSON_IsString(name) ? name->valuestring : NULL;
    bool there = false;
    if (!said(v) || (cJSON_IsString(v) && strcmp(word, "auto") == 0)) {
        if (a->r.n_tool && a->r.grammar)
            return fault_set(f, 400, "response_format", "%s", _("response_format holds the whole answer, so no tool can be called: leave tools out, or set tool_choice to \"none\""));
        return Q_OK;
    }
    if (cJSON_IsString(v) && strcmp(word, "none") == 0) {
        a->r.n_tool = 0;
        return Q_OK;
    }
    for (int i = 0; i < a->r.n_tool; i++)
        there |= word && (cJSON_IsString(v) || strcmp(a->r.tool[i].name, word) == 0);
    if (!word || (cJSON_IsString(v) && strcmp(word, "required") != 0))
        return fault_set(f, 400, "tool_choice", "%s", _("tool_choice must be \"auto\", \"none\", \"required\" or {\"type\":\"function\",\"function\":{\"name\":\"…\"}}"));
    if (!there)
        return fault_set(f, 400, "tool_choice", "%s", _("tool_choice asks for a tool that is not among tools"));
    if (a->r.grammar)
        return fault_set(f, 400, "response_format", "%s", _("response_format holds the whole answer, so no tool can be called: leave tools out, or set tool_choice to \"none\""));
    force(a, cJSON_IsString(v) ? NULL : word);
    return Q_OK;
}

/* ---- the form of answers ---- */
static int held_twice(const read_ask *a, fault *f)
{
    return a->r.grammar ? fault_set(f, 400, "grammar", "%s", _("response_format and grammar both say what the answer must fit: give one")) : Q_OK;
}

static int response_format(read_ask *a, const cJSON *v, fault *f)
{
    const cJSON *type = member(v, "type"), *inner = member(member(v, "json_schema"), "schema"), *schema = said(inner) ? inner : member(v, "schema");
    const char *word = cJSON_IsString(type) ? type->valuestring : "";
    if (strcmp(word, "text") == 0)
        return Q_OK;
    if (held_twice(a, f) < 0)
        return Q_ERR;
    if (strcmp(word, "json_object") == 0 && !said(schema))      /* with one, as llama-server and others have it, it is the same as json_schema */
        hold(a, q_strdup("{\"type\":\"object\"}"));
    else if (strcmp(word, "json_schema") != 0 && strcmp(word, "json_object") != 0)
        return fault_set(f, 400, "response_format.type", "%s", _("response_format.type must be text, json_object or json_schema"));
    else if (!cJSON_IsObject(schema))
        return fault_set(f, 400, said(inner) || !said(schema) ? "response_format.json_schema.schema" : "response_format.schema", "%s",
                         said(inner) || !said(schema) ? _("response_format.json_schema.schema must be a JSON schema") : _("response_format.schema must be a JSON schema"));
    else
        hold(a, cJSON_PrintUnformatted(schema));
    return Q_OK;
}

static int gbnf(read_ask *a, const cJSON *v, fault *f)
{
    const char *text = "";
    if (read_text(v, "grammar", &text, f) < 0 || held_twice(a, f) < 0)
        return Q_ERR;
    hold(a, q_strdup(text));
    return Q_OK;
}

/* ---- settings ---- */
static void set_knob(read_ask *a, const char *field, const char *name, char *value /* malloc'ed */)
{
    a->knob = q_realloc(a->knob, sizeof *a->knob * (size_t)(a->n_knob + 1));
    a->knob[a->n_knob] = (read_knob){ .name = name, .value = value };
    snprintf(a->knob[a->n_knob++].field, sizeof a->knob->field, "%s", field);
}

static int number(read_ask *a, const cJSON *v, const char *field, const char *name, fault *f)
{
    if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble))
        return fault_set(f, 400, field, _("%s must be a number"), field);
    bool all = strcmp(name, "sampler.top_k") == 0 && v->valuedouble == -1;       /* others' word for all of them */
    set_knob(a, field, name, all ? q_strdup("0") : q_printf("%.17g", v->valuedouble));
    return Q_OK;
}

/* As sampler.stop spells them. */
static int stop(read_ask *a, const cJSON *v, fault *f)
{
    int n = cJSON_IsString(v) ? 1 : list(v, "stop", READ_STOPS, f);
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < n; i++) {
        const cJSON *one = cJSON_IsString(v) ? v : cJSON_GetArrayItem(v, i);
        if (!cJSON_IsString(one) || !*one->valuestring) {
            n = fault_set(f, 400, "stop", "%s", _("stop is a text or a list of texts, none of them empty"));
            break;
        }
        q_buf_puts(&b, i ? "," : "");
        for (const char *p = one->valuestring; *p; p++) {
            bool last = p == one->valuestring || !p[1];
            char as = *p == '\n' ? 'n' : *p == '\r' ? 'r' : *p == '\t' ? 't' : *p == ' ' && last ? 's' : *p == ',' || *p == '\\' ? *p : 0;
            if (as)
                q_buf_putc(&b, '\\');
            q_buf_putc(&b, as ? as : *p);
        }
    }
    if (n >= 0 && b.len > READ_STOP_BYTES)
        n = fault_set(f, 400, "stop", _("stop may have %d bytes in all"), READ_STOP_BYTES);
    if (n <= 0) {
        q_buf_free(&b);
        return n < 0 ? n : Q_OK;
    }
    set_knob(a, "stop", "sampler.stop", q_buf_take(&b));
    return Q_OK;
}

/* What belongs to the whole server, reads a file of this machine, or has a field of its own. */
static bool not_of_a_request(const q_knob *k)
{
    static const char *const other[] = { "sampler.grammar", "sampler.max_tokens", "sampler.seed", "sampler.stop", "state.memory", "threads" };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strcmp(k->name, other[i]) == 0)
            return true;
    return k->effect >= Q_EFFECT_ALLOCATION;
}

static int knobs(read_ask *a, const cJSON *v, fault *f)
{
    const cJSON *one;
    int n;
    const q_knob *row = prov_knobs(&n);
    if (!cJSON_IsObject(v))
        return fault_set(f, 400, "knobs", "%s", _("knobs must be an object of names and values"));
    cJSON_ArrayForEach(one, v) {
        path at;
        int i = 0;
        snprintf(at, sizeof at, "knobs.%.48s", one->string);
        while (i < n && strcmp(row[i].name, one->string) != 0)
            i++;
        if (i == n)
            return fault_set(f, 400, at, _("there is no knob %.48s: /config of the shell lists them"), one->string);
        if (not_of_a_request(&row[i]))
            return fault_set(f, 400, at, _("%s is not a request's to set: set it where the server starts, with --set, or take the field of that name"), row[i].name);
        if (!cJSON_IsString(one) && !cJSON_IsNumber(one) && !cJSON_IsBool(one))
            return fault_set(f, 400, at, _("%s must be a text, a number, true or false"), at);
        set_knob(a, at, row[i].name, cJSON_IsString(one) ? q_strdup(one->valuestring) : cJSON_IsNumber(one) ? q_printf("%.17g", one->valuedouble)
                                                                                      : q_strdup(cJSON_IsTrue(one) ? "on" : "off"));
    }
    return Q_OK;
}

/* As others' servers have it: a word of effort; {"type":"enabled","budget_tokens":n}; {"enable_thinking":true}; true. */
static int effort(read_ask *a, const cJSON *v, fault *f)
{
    const char *word = "";
    if (read_text(v, "reasoning_effort", &word, f) < 0)
        return Q_ERR;
    a->r.think = strcmp(word, "none") == 0 ? "off" : "on";
    return Q_OK;
}

static int think_budget(read_ask *a, const cJSON *v, const char *field, fault *f)
{
    double x;
    if (read_whole(v, field, 0, MOST_TOKENS, &x, f) < 0)
        return Q_ERR;
    if (x == 0)
        a->r.think = "off";
    else
        set_knob(a, field, "think.limit", q_printf("%.0f", x));
    return Q_OK;
}

static int think_flag(read_ask *a, const cJSON *v, const char *field, fault *f)
{
    bool on = false;
    if (read_bool(v, field, &on, f) < 0)
        return Q_ERR;
    a->r.think = on ? "on" : "off";
    return Q_OK;
}

static int template_words(read_ask *a, const cJSON *v, fault *f)
{
    const cJSON *one;
    if (!cJSON_IsObject(v))
        return fault_set(f, 400, "chat_template_kwargs", "%s", _("chat_template_kwargs must be an object with enable_thinking"));
    cJSON_ArrayForEach(one, v) {
        if (strcmp(one->string, "enable_thinking") != 0 && strcmp(one->string, "thinking") != 0)
            return fault_set(f, 400, "chat_template_kwargs", "%s", _("chat_template_kwargs takes enable_thinking, or thinking, alone"));
        if (think_flag(a, one, one->string, f) < 0)
            return Q_ERR;
    }
    return Q_OK;
}

static int think_type(read_ask *a, const cJSON *v, fault *f)
{
    const cJSON *type = member(v, "type"), *budget = member(v, "budget_tokens"), *one;
    const char *word = cJSON_IsString(type) ? type->valuestring : "";
    bool on = strcmp(word, "enabled") == 0;
    if (!on && strcmp(word, "disabled") != 0 && strcmp(word, "auto") != 0)
        return fault_set(f, 400, "thinking", "%s", _("thinking must be {\"type\": \"enabled\"}, \"disabled\" or \"auto\""));
    cJSON_ArrayForEach(one, v)
        if (one != type && one != budget)
            return fault_set(f, 400, "thinking", "%s", _("thinking takes type and budget_tokens alone"));
    if (on || *word == 'd')              /* auto: as the settings say */
        a->r.think = on ? "on" : "off";
    return said(budget) ? think_budget(a, budget, "thinking.budget_tokens", f) : Q_OK;
}

static int thinking(read_ask *a, const cJSON *v, const char *field, fault *f)
{
    return strcmp(field, "reasoning_effort") == 0 ? effort(a, v, f) : strcmp(field, "thinking") == 0 ? think_type(a, v, f)
         : strcmp(field, "thinking_budget") == 0 ? think_budget(a, v, field, f) : strcmp(field, "enable_thinking") == 0 ? think_flag(a, v, field, f)
                                                                                                                        : template_words(a, v, f);
}

/* ---- prompts ---- */
static bool all(const cJSON *v, bool (*is)(const cJSON *))
{
    const cJSON *one;
    cJSON_ArrayForEach(one, v)
        if (!is(one))
            return false;
    return cJSON_GetArraySize(v) > 0;
}

static bool is_text(const cJSON *v) { return cJSON_IsString(v); }
static bool is_number(const cJSON *v) { return cJSON_IsNumber(v); }
static bool is_ids(const cJSON *v) { return cJSON_IsArray(v) && all(v, is_number); }

static int one_prompt(read_ask *a, const cJSON *v, fault *f)
{
    read_prompt *p = &a->prompt[a->n_prompt++];
    if (cJSON_IsString(v)) {
        *p = (read_prompt){ v->valuestring, strlen(v->valuestring), NULL, 0 };
        return Q_OK;
    }
    if (read_ids(v, "prompt", &p->id, &p->n_id, f) < 0)
        return Q_ERR;
    keep(a, p->id);
    p->text = "";
    return Q_OK;
}

static int prompt(read_ask *a, const cJSON *v, fault *f)
{
    bool many = cJSON_IsArray(v) && (all(v, is_text) || all(v, is_ids));
    const cJSON *one;
    int rc = Q_OK, n = many ? list(v, "prompt", READ_PROMPTS, f) : 1;
    if (n < 0)
        return n;
    if (!many && !cJSON_IsString(v) && !is_ids(v))
        return fault_set(f, 400, "prompt", "%s", _("prompt must be a text, a list of texts, a list of token ids, or a list of such lists, none of them empty"));
    a->prompt = keep(a, q_alloc(sizeof *a->prompt * (size_t)n));
    a->n_prompt = 0;
    if (!many)
        return one_prompt(a, v, f);
    cJSON_ArrayForEach(one, v)
        rc = rc < 0 ? rc : one_prompt(a, one, f);
    return rc;
}

/* ---- the rest ---- */
static int flag(read_ask *a, const cJSON *v, const char *field, fault *f)
{
    bool opens;                          /* looked at with all others: continues */
    const struct { const char *name; bool *to; } row[] = {
        { "stream", &a->stream }, { "echo", &a->r.echo }, { "logprobs", &a->logprobs }, { "return_routed_experts", &a->routed }, { "return_token_ids", &a->ids },
        { "continue_final_message", &a->continues }, { "add_generation_prompt", &opens } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (strcmp(field, row[i].name) == 0)
            return read_bool(v, field, row[i].to, f);
    return Q_ERR;
}

static int count(read_ask *a, const cJSON *v, const char *field, fault *f)
{
    const struct { const char *name; int *to; double min, max; } row[] = {
        { "n", &a->r.n, 1, READ_ANSWERS }, { "top_logprobs", &a->r.top, 0, READ_TOP }, { "max_tokens", &a->r.max_tokens, 0, MOST_TOKENS },
        { "max_completion_tokens", &a->r.max_tokens, 1, MOST_TOKENS }, { "logprobs", &a->r.top, 0, READ_TOP },
        { "routed_experts_prompt_start", &a->routed_from, 0, MOST_TOKENS }, { "best_of", NULL, 1, READ_ANSWERS } };
    double x;
    if (cJSON_IsFalse(v) && strcmp(field, "logprobs") == 0)      /* what a conversation has for none */
        return Q_OK;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (strcmp(field, row[i].name) == 0) {
            bool limit = row[i].to == &a->r.max_tokens;
            int said = limit ? a->r.max_tokens : 0;      /* under its other name */
            if (limit && cJSON_IsNumber(v) && v->valuedouble == -1)
                x = MOST_TOKENS;         /* others' word for no end but the context's */
            else if (read_whole(v, field, row[i].min, row[i].max, &x, f) < 0)
                return Q_ERR;
            if (row[i].to)
                *row[i].to = limit && x == 0 ? PROV_NOTHING : said > 0 && said < x ? said : (int)x;
        }
    a->logprobs |= strcmp(field, "logprobs") == 0;
    a->routed |= strcmp(field, "routed_experts_prompt_start") == 0;          /* all that vLLM's requests say of it */
    return Q_OK;
}

static int seed(read_ask *a, const cJSON *v, fault *f)
{
    double x;
    if (cJSON_IsNumber(v) && v->valuedouble == -1)       /* others' word for none */
        return Q_OK;
    if (read_whole(v, "seed", 0, 9007199254740991.0, &x, f) < 0)
        return Q_ERR;
    a->r.seed = (uint64_t)x + (x == 0);      /* 0 is our word for none */
    return Q_OK;
}

static int stream_options(read_ask *a, const cJSON *v, fault *f)
{
    const cJSON *one;
    if (!cJSON_IsObject(v))
        return fault_set(f, 400, "stream_options", "%s", _("stream_options must be an object with include_usage"));
    cJSON_ArrayForEach(one, v) {
        bool x = false;
        path at;
        snprintf(at, sizeof at, "stream_options.%.40s", one->string);
        if (strcmp(one->string, "include_usage") != 0 && strcmp(one->string, "include_obfuscation") != 0 && !(strcmp(one->string, "continuous_usage_stats") == 0 && cJSON_IsFalse(one)))
            return fault_set(f, 400, at, _("there is no field %s here"), at);
        if (read_bool(one, at, &x, f) < 0)
            return Q_ERR;
        a->usage |= x && strcmp(one->string, "include_usage") == 0;
    }
    return Q_OK;
}

/* ---- the table ---- */
enum take { MODEL, MESSAGES, PROMPT, TOOLS, FORMAT, GBNF, STOP, KNOBS, THINK, SEED, OPTIONS, FLAG, COUNT, NUMBER, ONE_CALL, LATER, NO_MATTER, ONLY, REFUSED };
enum { CHAT = 1, TEXT = 2, BOTH = 3 };
static const struct field { const char *name; int of; enum take take; const char *with; } fields[] = {
    /* with: the knob of NUMBER; ONLY: the value, as JSON, that asks for nothing */
    { "model", BOTH, MODEL, NULL }, { "messages", CHAT, MESSAGES, NULL }, { "prompt", TEXT, PROMPT, NULL },
    { "tools", CHAT, TOOLS, NULL }, { "tool_choice", CHAT, LATER, NULL }, { "parallel_tool_calls", CHAT, ONE_CALL, NULL },
    { "response_format", BOTH, FORMAT, NULL }, { "grammar", BOTH, GBNF, NULL }, { "stop", BOTH, STOP, NULL }, { "knobs", BOTH, KNOBS, NULL },
    { "reasoning_effort", CHAT, THINK, NULL }, { "chat_template_kwargs", CHAT, THINK, NULL }, { "thinking", CHAT, THINK, NULL },
    { "enable_thinking", CHAT, THINK, NULL }, { "thinking_budget", CHAT, THINK, NULL }, { "seed", BOTH, SEED, NULL },
    { "stream_options", BOTH, OPTIONS, NULL }, { "stream", BOTH, FLAG, NULL }, { "echo", TEXT, FLAG, NULL },
    { "return_routed_experts", BOTH, FLAG, NULL }, { "return_token_ids", BOTH, FLAG, NULL }, { "continue_final_message", CHAT, FLAG, NULL }, { "add_generation_prompt", CHAT, FLAG, NULL },
    { "logprobs", CHAT, FLAG, NULL }, { "logprobs", TEXT, COUNT, NULL },
    { "top_logprobs", CHAT, COUNT, NULL }, { "n", BOTH, COUNT, NULL }, { "best_of", TEXT, COUNT, NULL }, { "max_tokens", BOTH, COUNT, NULL },
    { "max_completion_tokens", CHAT, COUNT, NULL }, { "routed_experts_prompt_start", BOTH, COUNT, NULL },
    { "temperature", BOTH, NUMBER, "sampler.temperature" }, { "top_p", BOTH, NUMBER, "sampler.top_p" }, { "top_k", BOTH, NUMBER, "sampler.top_k" },
    { "min_p", BOTH, NUMBER, "sampler.min_p" }, { "frequency_penalty", BOTH, NUMBER, "sampler.frequency_penalty" },
    { "presence_penalty", BOTH, NUMBER, "sampler.presence_penalty" }, { "repetition_penalty", BOTH, NUMBER, "sampler.repeat_penalty" },
    { "repeat_penalty", BOTH, NUMBER, "sampler.repeat_penalty" }, { "repeat_last_n", BOTH, NUMBER, "sampler.repeat_last_n" },
    { "user", BOTH, NO_MATTER, NULL }, { "metadata", BOTH, NO_MATTER, NULL }, { "service_tier", BOTH, NO_MATTER, NULL },
    { "safety_identifier", BOTH, NO_MATTER, NULL }, { "prompt_cache_key", BOTH, NO_MATTER, NULL },
    { "store", BOTH, ONLY, "false" }, { "modalities", CHAT, ONLY, "[\"text\"]" }, { "logit_bias", BOTH, ONLY, "{}" }, { "suffix", TEXT, ONLY, "\"\"" },
    { "audio", CHAT, REFUSED, NULL }, { "prediction", CHAT, REFUSED, NULL }, { "web_search_options", CHAT, REFUSED, NULL }, { "functions", CHAT, REFUSED, NULL },
    { "function_call", CHAT, REFUSED, NULL }, { "verbosity", CHAT, REFUSED, NULL } };

static const struct field *field_of(bool chat, const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].of & (chat ? CHAT : TEXT) && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static int only(const cJSON *v, const struct field *d, fault *f)
{
    char *text = cJSON_PrintUnformatted(v);
    bool same = strcmp(text, d->with) == 0;
    free(text);
    return same ? Q_OK : fault_set(f, 400, d->name, _("%s is not done here: leave it out"), d->name);
}

static int take(read_ask *a, const cJSON *v, const struct field *d, fault *f)
{
    bool many = false;
    int rc;
    switch (d->take) {
    case MODEL: return read_text(v, "model", &a->model, f);
    case MESSAGES: return read_messages(a, v, f);
    case PROMPT: return prompt(a, v, f);
    case TOOLS: return tools(a, v, f);
    case FORMAT: return response_format(a, v, f);
    case GBNF: return gbnf(a, v, f);
    case STOP: return stop(a, v, f);
    case KNOBS: return knobs(a, v, f);
    case THINK: return thinking(a, v, d->name, f);
    case SEED: return seed(a, v, f);
    case OPTIONS: return stream_options(a, v, f);
    case FLAG: return flag(a, v, d->name, f);
    case COUNT: return count(a, v, d->name, f);
    case NUMBER: return number(a, v, d->name, d->with, f);
    case ONE_CALL:
        rc = read_bool(v, d->name, &many, f);
        a->one_call = rc == Q_OK && !many;
        return rc;
    case ONLY: return only(v, d, f);
    case REFUSED: return fault_set(f, 400, d->name, _("%s is not done here: leave it out"), d->name);
    default: return Q_OK;
    }
}

/* As vLLM and SGLang have it: the last message is no past answer, but how this one begins. Behind tool_choice. */
static int continues(read_ask *a, fault *f)
{
    const cJSON *opens = member(a->json, "add_generation_prompt");
    const prov_message *last = a->r.n_message ? &a->r.message[a->r.n_message - 1] : NULL;
    if (!a->continues)
        return cJSON_IsFalse(opens) ? fault_set(f, 400, "add_generation_prompt", "%s", _("add_generation_prompt false asks for no answer, but with \"continue_final_message\": true")) : Q_OK;
    if (cJSON_IsTrue(opens))
        return fault_set(f, 400, "add_generation_prompt", "%s", _("add_generation_prompt and continue_final_message cannot both be true: an answer is begun anew, or gone on with"));
    if (!last || last->role != PROV_ASSISTANT || !last->n || (a->r.n_call && a->r.call[a->r.n_call - 1].message == a->r.n_message - 1))
        return fault_set(f, 400, "continue_final_message", "%s", _("continue_final_message wants a last message that is the assistant's, with a text and no calls"));
    if (a->r.n_tool)
        return fault_set(f, 400, "continue_final_message", "%s", _("an answer that has begun calls no tool: leave tools out, or set tool_choice to \"none\""));
    a->r.begin = last->text;
    a->r.n_begin = last->n;
    a->r.n_message--;
    return a->r.n_message ? Q_OK : fault_set(f, 400, "messages", "%s", _("messages holds nothing before the answer's beginning: say at least one"));
}

/* What only all fields together say. */
static int settle(read_ask *a, fault *f)
{
    const char *must = a->chat ? "messages" : "prompt";
    const cJSON *best = member(a->json, "best_of");
    if (!said(member(a->json, must)))
        return fault_set(f, 400, must, _("%s is missing"), must);
    if (a->chat && a->r.top && !a->logprobs)
        return fault_set(f, 400, "top_logprobs", "%s", _("top_logprobs needs \"logprobs\": true"));
    if (a->chat && a->r.max_tokens == PROV_NOTHING)
        return fault_set(f, 400, "max_tokens", "%s", _("max_tokens of a conversation must be 1 or more"));
    if (!a->chat && a->r.max_tokens == PROV_NOTHING && !a->r.echo && !a->routed)
        return fault_set(f, 400, "max_tokens", "%s", _("max_tokens 0 asks for nothing, but with \"echo\": true"));
    a->usage &= a->stream;               /* a whole answer says it anyway */
    if (cJSON_IsNumber(best) && best->valuedouble != (a->r.n ? a->r.n : 1))
        return fault_set(f, 400, "best_of", "%s", _("best_of is not done here, but as n says: leave it out"));
    if (!a->chat && a->n_prompt * (a->r.n ? a->r.n : 1) > READ_ANSWERS)
        return fault_set(f, 400, "n", _("prompts times n are at most %d"), READ_ANSWERS);
    return tool_choice(a, f) < 0 ? Q_ERR : continues(a, f);
}

int read_ask_of(bool chat, const char *body, size_t n, read_ask *a, fault *f)
{
    const cJSON *v;
    *a = (read_ask){ .chat = chat };
    if (!(a->json = read_object(body, n, f)))
        return Q_ERR;
    cJSON_ArrayForEach(v, a->json) {
        const struct field *d = field_of(chat, v->string);
        if (!d)
            return fault_set(f, 400, v->string, _("there is no field %.48s here"), v->string);
        if (said(v) && take(a, v, d, f) < 0)
            return Q_ERR;
    }
    return settle(a, f);
}
