/* advice/examples: see examples.h. An example in memory, and reading one from a JSON object of any form. Pure. */
#include "advice/examples.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 64 };                   /* of nested JSON; a schema of a tool has ten */

static const char *const form_names[ADV_FORMS] = { "messages", "sharegpt", "alpaca", "openchat", "completion", "pairs" };

const char *adv_form_name(enum adv_form f) { return f >= 0 && f < ADV_FORMS ? form_names[f] : "?"; }

int adv_form_named(const char *name, enum adv_form *out, char *err)
{
    for (int i = 0; i < ADV_FORMS; i++)
        if (strcmp(name, form_names[i]) == 0) {
            *out = (enum adv_form)i;
            return Q_OK;
        }
    q_buf b = {0};
    for (int i = 0; i < ADV_FORMS; i++) q_buf_printf(&b, "%s%s", i ? ", " : "", form_names[i]);
    int rc = q_fail(err, Q_NOTFOUND, _("there is no form of examples called %s: take one of %s"), name, b.p);
    q_buf_free(&b);
    return rc;
}

const char *adv_loss_words(enum adv_loss l)
{
    static const char *const words[ADV_LOSSES] = {
        [ADV_LOST_SYSTEM] = N_("a system prompt was left out"), [ADV_LOST_TOOLS] = N_("definitions of tools were left out"), [ADV_LOST_CALLS] = N_("calls of tools were left out"),
        [ADV_LOST_RESULTS] = N_("results of tools were left out"), [ADV_LOST_THINKING] = N_("thinking was left out, as was asked"),
        [ADV_LOST_TAGS] = N_("thinking stands in the answer's text, between <think> and </think>"), [ADV_LOST_ROLES] = N_("who speaks became words in a text"),
        [ADV_LOST_REJECTED] = N_("a rejected answer was left out"), [ADV_LOST_JOINED] = N_("messages of one speaker in a row were joined"),
        [ADV_LOST_TAIL] = N_("a last question without an answer was left out"), [ADV_LOST_PARTS] = N_("pictures or other parts that are no text were left out"),
        [ADV_LOST_FIELDS] = N_("fields that belong to no form were left out"), [ADV_LOST_IDS] = N_("numbers that join calls of tools with their results were left out"),
        [ADV_LOST_WEIGHTS] = N_("weights of messages in the loss were left out") };
    return (unsigned)l < ADV_LOSSES ? _(words[l]) : "";
}

/* ---- an example ---- */
static void free_said(adv_said *v, int n)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < v[i].n_use; k++) {
            free(v[i].use[k].id);
            free(v[i].use[k].name);
            free(v[i].use[k].arguments);
        }
        free(v[i].use);
        free(v[i].text);
        free(v[i].thinking);
        free(v[i].answers);
    }
    free(v);
}

void adv_example_free(adv_example *e)
{
    free_said(e->v, e->n);
    free_said(e->other, e->n_other);
    free(e->tools);
    *e = (adv_example){0};
}

adv_said *adv_example_add(adv_example *e, enum adv_speaker who, const char *text, size_t n, bool other)
{
    adv_said **v = other ? &e->other : &e->v;
    int *k = other ? &e->n_other : &e->n;
    if ((*k & (*k - 1)) == 0) *v = q_realloc(*v, sizeof **v * (size_t)(*k ? *k * 2 : 1));
    (*v)[*k] = (adv_said){ .who = who, .text = q_strndup(text, n), .thinking = q_strdup(""), .answers = q_strdup("") };
    return &(*v)[(*k)++];
}

static bool same_said(const adv_said *a, int n, const adv_said *b, int m)
{
    bool same = n == m;
    for (int i = 0; same && i < n; i++) {
        same = a[i].who == b[i].who && strcmp(a[i].text, b[i].text) == 0 && strcmp(a[i].thinking, b[i].thinking) == 0 && strcmp(a[i].answers, b[i].answers) == 0 && a[i].n_use == b[i].n_use;
        for (int k = 0; same && k < a[i].n_use; k++)
            same = strcmp(a[i].use[k].id, b[i].use[k].id) == 0 && strcmp(a[i].use[k].name, b[i].use[k].name) == 0 && strcmp(a[i].use[k].arguments, b[i].use[k].arguments) == 0;
    }
    return same;
}

bool adv_example_same(const adv_example *a, const adv_example *b)
{
    return a->bare == b->bare && (a->n_other ? a->from : 0) == (b->n_other ? b->from : 0) && strcmp(a->tools ? a->tools : "", b->tools ? b->tools : "") == 0 &&
           same_said(a->v, a->n, b->v, b->n) && same_said(a->other, a->n_other, b->other, b->n_other);
}

/* ---- reading ---- */
/* The first of these fields that is there; NULL. */
static const cJSON *field(const cJSON *o, const char *a, const char *b)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, a);
    return j || !b ? j : cJSON_GetObjectItemCaseSensitive(o, b);
}

static const char *text_of(const cJSON *o, const char *name)
{
    const cJSON *j = field(o, name, NULL);
    return cJSON_IsString(j) ? j->valuestring : NULL;
}

/* Fields beside those of `row` are told as lost; null and empty ones are none. */
static void look_for_others(adv_example *e, const cJSON *o, const char *row)
{
    for (const cJSON *j = o->child; j; j = j->next)
        if (j->string && !q_listed(row, " ", j->string, strlen(j->string)) && !cJSON_IsNull(j) && !(cJSON_IsString(j) && !*j->valuestring)) e->lost |= 1u << ADV_LOST_FIELDS;
}

static const struct { const char *name; enum adv_speaker who; } speakers[] = {
    { "system", ADV_SAYS_SYSTEM }, { "developer", ADV_SAYS_SYSTEM }, { "user", ADV_SAYS_USER }, { "human", ADV_SAYS_USER }, { "prompter", ADV_SAYS_USER },
    { "assistant", ADV_SAYS_ASSISTANT }, { "gpt", ADV_SAYS_ASSISTANT }, { "chatgpt", ADV_SAYS_ASSISTANT }, { "model", ADV_SAYS_ASSISTANT }, { "bot", ADV_SAYS_ASSISTANT },
    { "tool", ADV_SAYS_TOOL }, { "observation", ADV_SAYS_TOOL }, { "function", ADV_SAYS_TOOL }, { "tool_response", ADV_SAYS_TOOL } };

static void add_use(adv_said *s, const char *id, const char *name, char *arguments /* taken */)
{
    s->use = q_realloc(s->use, sizeof *s->use * (size_t)(s->n_use + 1));
    s->use[s->n_use++] = (adv_use){ q_strdup(id ? id : ""), q_strdup(name), arguments };
}

/* {"name":…, "arguments":… as JSON or as text of it}; or that under "function", beside an id. */
static int read_use(adv_said *s, const cJSON *j, char *err)
{
    const cJSON *f = cJSON_IsObject(field(j, "function", NULL)) ? field(j, "function", NULL) : j, *a = field(f, "arguments", "parameters");
    const char *name = text_of(f, "name");
    if (!name) return q_fail(err, Q_FORMAT, _("a call of a tool has no name"));
    char *text = cJSON_IsString(a) ? q_strdup(a->valuestring) : a ? cJSON_PrintUnformatted(a) : q_strdup("{}");
    if (!text) return q_fail(err, Q_NOMEM, _("not enough memory for an example"));
    add_use(s, text_of(j, "id"), name, text);
    return Q_OK;
}

static int read_uses(adv_said *s, const cJSON *j, char *err)
{
    if (!cJSON_IsArray(j)) return read_use(s, j, err);
    int rc = Q_OK;
    for (const cJSON *one = j->child; one && rc == Q_OK; one = one->next) rc = read_use(s, one, err);
    return rc;
}

/* What a model thought, where its text says so itself: <think>…</think> at its beginning. */
static void split_thinking(adv_said *s)
{
    static const char open[] = "<think>", close[] = "</think>";
    char *end = *s->thinking || strncmp(s->text, open, sizeof open - 1) != 0 ? NULL : strstr(s->text, close);
    if (!end) return;
    char *from = s->text + sizeof open - 1, *rest = end + sizeof close - 1;
    from += *from == '\n' && from < end;
    if (end > from && end[-1] == '\n') end--;
    for (int i = 0; i < 2 && *rest == '\n'; i++) rest++;
    char *thinking = q_strndup(from, (size_t)(end - from)), *text = q_strdup(rest);
    free(s->thinking);
    free(s->text);
    s->thinking = thinking;
    s->text = text;
}

/* Content: a text, nothing, or a list of parts of which texts are taken. */
static int read_content(adv_example *e, const cJSON *j, q_buf *out, char *err)
{
    q_buf_puts(out, "");
    if (!j || cJSON_IsNull(j)) return Q_OK;
    if (cJSON_IsString(j)) q_buf_puts(out, j->valuestring);
    if (cJSON_IsString(j)) return Q_OK;
    if (!cJSON_IsArray(j)) return q_fail(err, Q_FORMAT, _("what a message says is no text"));
    for (const cJSON *p = j->child; p; p = p->next) {
        const char *text = cJSON_IsString(p) ? p->valuestring : text_of(p, "text");
        if (text) q_buf_puts(out, text);
        else e->lost |= 1u << ADV_LOST_PARTS;
    }
    return Q_OK;
}

/* sharegpt has a call as a message of its own: it belongs to the answer before it, where there is one. */
static int read_call_message(adv_example *e, const cJSON *value, bool other, char *err)
{
    const char *text = cJSON_IsString(value) ? value->valuestring : NULL;
    cJSON *calls = text ? cJSON_ParseWithOpts(text, NULL, true) : NULL;
    if (!cJSON_IsObject(calls) && !cJSON_IsArray(calls)) {
        cJSON_Delete(calls);
        return q_fail(err, Q_FORMAT, _("a function_call is no JSON with name and arguments"));
    }
    adv_said *v = other ? e->other : e->v, *s = NULL;
    int n = other ? e->n_other : e->n;
    if (n && v[n - 1].who == ADV_SAYS_ASSISTANT && !v[n - 1].n_use) s = &v[n - 1];
    else s = adv_example_add(e, ADV_SAYS_ASSISTANT, "", 0, other);
    int rc = read_uses(s, calls, err);
    cJSON_Delete(calls);
    return rc;
}

static int read_message(adv_example *e, const cJSON *j, bool other, char *err)
{
    const cJSON *role = field(j, "role", "from"), *value = field(j, "content", "value"), *use = field(j, "tool_calls", "function_call");
    if (!cJSON_IsObject(j) || !cJSON_IsString(role)) return q_fail(err, Q_FORMAT, _("a message does not say whose it is (role or from)"));
    if (strcmp(role->valuestring, "function_call") == 0 || strcmp(role->valuestring, "tool_call") == 0) return read_call_message(e, value, other, err);
    int who = -1;
    for (size_t i = 0; i < sizeof speakers / sizeof *speakers; i++)
        if (strcmp(role->valuestring, speakers[i].name) == 0) who = (int)speakers[i].who;
    if (who < 0) return q_fail(err, Q_FORMAT, _("nobody is called \"%.40s\": it may be system, user, assistant or tool"), role->valuestring);
    q_buf text = {0};
    int rc = read_content(e, value, &text, err);
    if (rc == Q_OK) {
        adv_said *s = adv_example_add(e, (enum adv_speaker)who, text.p, text.len, other);
        const char *think = text_of(j, "reasoning_content"), *answers = text_of(j, "tool_call_id");
        if (!think) think = text_of(j, "thinking") ? text_of(j, "thinking") : text_of(j, "reasoning");
        if (think) free(s->thinking), s->thinking = q_strdup(think);
        if (answers) free(s->answers), s->answers = q_strdup(answers);
        if (use && !cJSON_IsNull(use)) rc = read_uses(s, use, err);
        if (rc == Q_OK && s->n_use && who != ADV_SAYS_ASSISTANT) rc = q_fail(err, Q_FORMAT, _("only an assistant calls tools"));
        if (who == ADV_SAYS_ASSISTANT) split_thinking(s);
        if (field(j, "weight", NULL)) e->lost |= 1u << ADV_LOST_WEIGHTS;
        look_for_others(e, j, " role from content value reasoning_content thinking reasoning tool_calls function_call tool_call_id weight ");
    }
    q_buf_free(&text);
    return rc;
}

/* A list of messages, one message, or a text of `who`. */
static int read_messages(adv_example *e, const cJSON *j, enum adv_speaker who, bool other, char *err)
{
    int rc = Q_OK;
    if (cJSON_IsString(j)) {
        adv_said *s = adv_example_add(e, who, j->valuestring, strlen(j->valuestring), other);
        if (who == ADV_SAYS_ASSISTANT) split_thinking(s);
    } else if (cJSON_IsObject(j)) rc = read_message(e, j, other, err);
    else if (!cJSON_IsArray(j)) rc = q_fail(err, Q_FORMAT, _("there is no list of messages"));
    else
        for (const cJSON *m = j->child; m && rc == Q_OK; m = m->next) rc = read_message(e, m, other, err);
    return rc;
}

static int read_chat(adv_example *e, const cJSON *o, char *err)
{
    const cJSON *l = field(o, "messages", "conversations");
    if (!l) l = field(o, "items", "conversation");
    return read_messages(e, l, ADV_SAYS_USER, false, err);
}

static int read_asked(adv_example *e, const cJSON *o, char *err)
{
    const char *ask = text_of(o, "instruction"), *more = text_of(o, "input");
    if (!ask) return q_fail(err, Q_FORMAT, _("%s is no text"), "instruction");
    char *both = more && *more ? q_printf("%s%s%s", ask, *ask ? "\n" : "", more) : q_strdup(ask);
    if (*both) adv_example_add(e, ADV_SAYS_USER, both, strlen(both), false);
    free(both);
    return Q_OK;
}

static int read_alpaca(adv_example *e, const cJSON *o, char *err)
{
    const cJSON *history = field(o, "history", NULL), *out = field(o, "output", NULL);
    if (history && !cJSON_IsArray(history) && !cJSON_IsNull(history)) return q_fail(err, Q_FORMAT, _("history is no list of questions with answers"));
    for (const cJSON *h = history ? history->child : NULL; h; h = h->next) {
        const cJSON *q = cJSON_GetArrayItem(h, 0), *a = cJSON_GetArrayItem(h, 1);
        if (!cJSON_IsString(q) || !cJSON_IsString(a) || cJSON_GetArraySize(h) != 2) return q_fail(err, Q_FORMAT, _("history is no list of questions with answers"));
        adv_example_add(e, ADV_SAYS_USER, q->valuestring, strlen(q->valuestring), false);
        split_thinking(adv_example_add(e, ADV_SAYS_ASSISTANT, a->valuestring, strlen(a->valuestring), false));
    }
    int rc = read_asked(e, o, err);
    if (rc == Q_OK && !cJSON_IsString(out)) rc = q_fail(err, Q_FORMAT, _("%s is no text"), "output");
    return rc == Q_OK ? read_messages(e, out, ADV_SAYS_ASSISTANT, false, err) : rc;
}

static int read_completion(adv_example *e, const cJSON *o, char *err)
{
    const char *text = text_of(o, "text");
    if (text) {
        adv_example_add(e, ADV_SAYS_ASSISTANT, text, strlen(text), false);
        e->bare = true;
        return Q_OK;
    }
    int rc = read_messages(e, field(o, "prompt", NULL), ADV_SAYS_USER, false, err);
    return rc == Q_OK ? read_messages(e, field(o, "completion", NULL), ADV_SAYS_ASSISTANT, false, err) : rc;
}

/* Without a prompt of their own both answers begin with it: what they share becomes it. */
static void take_out_common(adv_example *e)
{
    int n = 0;
    while (n < e->n - 1 && n < e->n_other - 1 && same_said(&e->v[n], 1, &e->other[n], 1)) n++;
    adv_said *rest = q_alloc(sizeof *rest * (size_t)(e->n_other - n + 1));
    memcpy(rest, e->other + n, sizeof *rest * (size_t)(e->n_other - n));
    adv_said *shared = q_alloc(sizeof *shared * (size_t)(n + 1));
    memcpy(shared, e->other, sizeof *shared * (size_t)n);
    free_said(shared, n);
    free(e->other);
    int left = e->n_other - n, cap = 1;
    while (cap < left) cap *= 2;        /* as adv_example_add counts on it */
    e->other = q_realloc(rest, sizeof *rest * (size_t)cap);
    e->n_other = left;
    e->from = n;
}

static int read_pair(adv_example *e, const cJSON *o, char *err)
{
    const cJSON *prompt = field(o, "prompt", "question"), *chat = field(o, "conversations", "messages");
    int rc = Q_OK;
    if (prompt || chat) rc = read_messages(e, prompt ? prompt : chat, ADV_SAYS_USER, false, err);
    else if (field(o, "instruction", NULL)) rc = read_asked(e, o, err);
    bool implied = e->n == 0;
    e->from = e->n;
    if (rc == Q_OK) rc = read_messages(e, field(o, "chosen", NULL), ADV_SAYS_ASSISTANT, false, err);
    if (rc == Q_OK) rc = read_messages(e, field(o, "rejected", NULL), ADV_SAYS_ASSISTANT, true, err);
    if (rc == Q_OK && (e->n == e->from || !e->n_other)) rc = q_fail(err, Q_FORMAT, _("chosen or rejected holds no answer"));
    if (rc == Q_OK && implied) take_out_common(e);
    return rc;
}

static int (*const readers[ADV_FORMS])(adv_example *, const cJSON *, char *err) = { read_chat, read_chat, read_alpaca, read_chat, read_completion, read_pair };

/* Which form has these fields; -1: none. */
static int form_by_fields(const cJSON *o)
{
    const cJSON *m = field(o, "messages", NULL);
    if (field(o, "chosen", NULL) && field(o, "rejected", NULL)) return ADV_AS_PAIRS;
    if (cJSON_IsArray(m)) return field(m->child, "from", NULL) ? ADV_AS_SHAREGPT : ADV_AS_MESSAGES;
    if (cJSON_IsArray(field(o, "conversations", "conversation"))) return ADV_AS_SHAREGPT;
    if (cJSON_IsArray(field(o, "items", NULL))) return ADV_AS_OPENCHAT;
    if (field(o, "instruction", NULL) && field(o, "output", NULL)) return ADV_AS_ALPACA;
    if (cJSON_IsString(field(o, "text", NULL)) || (field(o, "prompt", NULL) && field(o, "completion", NULL))) return ADV_AS_COMPLETION;
    return -1;
}

static int no_form(const cJSON *o, char *err)
{
    q_buf b = {0};
    q_buf_puts(&b, "");
    int n = 0;
    for (const cJSON *j = o->child; j && n < 6; j = j->next, n++) q_buf_printf(&b, "%s%.30s", n ? ", " : "", j->string ? j->string : "");
    int rc = q_fail(err, Q_FORMAT, _("its fields (%s) are those of no form: messages, conversations, items, instruction and output, text, or chosen and rejected"), b.p);
    q_buf_free(&b);
    return rc;
}

static int read_beside(adv_example *e, const cJSON *o, char *err)
{
    const char *system = text_of(o, "system"), *prompt = text_of(o, "system_prompt");
    const cJSON *tools = field(o, "tools", NULL);
    if (!system) system = prompt;
    if (system && *system) adv_example_add(e, ADV_SAYS_SYSTEM, system, strlen(system), false);
    cJSON *parsed = cJSON_IsString(tools) && *tools->valuestring ? cJSON_ParseWithOpts(tools->valuestring, NULL, true) : NULL;
    if (cJSON_IsString(tools) && *tools->valuestring && !cJSON_IsArray(parsed)) {
        cJSON_Delete(parsed);
        return q_fail(err, Q_FORMAT, _("tools is no list of definitions"));
    }
    const cJSON *list = parsed ? parsed : cJSON_IsArray(tools) ? tools : NULL;
    if (list && list->child) e->tools = cJSON_PrintUnformatted(list);
    cJSON_Delete(parsed);
    look_for_others(e, o, " messages conversations conversation items system system_prompt tools instruction input output history text prompt completion chosen rejected question ");
    return Q_OK;
}

/* JSON's way to write a zero, which would end a text early. */
static bool holds_zero(const char *p, size_t n)
{
    if (memchr(p, 0, n)) return true;
    for (const char *z = p; (z = memmem(z, n - (size_t)(z - p), "\\u0000", 6)) != NULL; z++) {
        size_t slashes = 0;
        while (z - slashes > p && z[-(ptrdiff_t)slashes - 1] == '\\') slashes++;
        if (slashes % 2 == 0) return true;
    }
    return false;
}

int adv_example_read(const char *json, size_t n, enum adv_form want, adv_example *out, enum adv_form *was, char *err)
{
    *out = (adv_example){0};
    if (!q_utf8_valid(json, n)) return q_fail(err, Q_FORMAT, _("it is no UTF-8: convert the file first (iconv)"));
    if (holds_zero(json, n)) return q_fail(err, Q_FORMAT, _("it holds a character 0, which no text may have"));
    char *copy = q_strndup(json, n);
    bool shallow = q_json_shallow(copy, LEVELS);
    cJSON *o = shallow ? cJSON_ParseWithOpts(copy, NULL, true) : NULL;
    int rc = Q_OK, form;
    if (!shallow) rc = q_fail(err, Q_FORMAT, _("it is nested deeper than %d levels"), LEVELS);
    else if (!o) rc = q_fail(err, Q_FORMAT, _("it is no JSON"));
    else if (!cJSON_IsObject(o)) rc = q_fail(err, Q_FORMAT, _("it is no JSON object"));
    else if ((form = form_by_fields(o)) < 0) rc = no_form(o, err);
    else if (want != ADV_AS_FOUND && form != (int)want) rc = q_fail(err, Q_FORMAT, _("it is %s, not %s"), form_names[form], form_names[want]);
    else {
        if (was) *was = (enum adv_form)form;
        rc = read_beside(out, o, err);
        if (rc == Q_OK) rc = readers[form](out, o, err);
        if (rc == Q_OK && out->n == 0) rc = q_fail(err, Q_FORMAT, _("it holds no message"));
    }
    cJSON_Delete(o);
    free(copy);
    if (rc != Q_OK) adv_example_free(out);
    return rc;
}
