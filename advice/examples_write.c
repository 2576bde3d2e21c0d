/* advice/examples_write: an example as a line of any form. What a form cannot hold is told, never dropped in silence. Pure. */
#include "advice/examples.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct writing { const adv_example *e; bool think; unsigned lost; } writing;

/* What is thought stands before what is said. */
static void tagged(writing *w, const adv_said *s, q_buf *b)
{
    bool has = *s->thinking != 0;
    q_buf_puts(b, "");
    if (has && w->think) q_buf_printf(b, "<think>\n%s\n</think>\n\n", s->thinking);
    if (has) w->lost |= 1u << (w->think ? ADV_LOST_TAGS : ADV_LOST_THINKING);
    q_buf_puts(b, s->text);
}

static char *tagged_text(writing *w, const adv_said *s)
{
    q_buf b = {0};
    tagged(w, s, &b);
    return q_buf_take(&b);
}

/* ---- messages ---- */
static cJSON *message(writing *w, const adv_said *s)
{
    static const char *const role[] = { "system", "user", "assistant", "tool" };
    cJSON *m = cJSON_CreateObject();
    cJSON_AddStringToObject(m, "role", role[s->who]);
    cJSON_AddStringToObject(m, "content", s->text);
    if (*s->thinking && w->think) cJSON_AddStringToObject(m, "reasoning_content", s->thinking);
    else if (*s->thinking) w->lost |= 1u << ADV_LOST_THINKING;
    cJSON *calls = s->n_use ? cJSON_AddArrayToObject(m, "tool_calls") : NULL;
    for (int i = 0; i < s->n_use; i++) {
        cJSON *c = cJSON_CreateObject(), *f;
        if (*s->use[i].id) cJSON_AddStringToObject(c, "id", s->use[i].id);
        cJSON_AddStringToObject(c, "type", "function");
        f = cJSON_AddObjectToObject(c, "function");
        cJSON_AddStringToObject(f, "name", s->use[i].name);
        cJSON_AddStringToObject(f, "arguments", s->use[i].arguments);
        cJSON_AddItemToArray(calls, c);
    }
    if (*s->answers) cJSON_AddStringToObject(m, "tool_call_id", s->answers);
    return m;
}

static void put_messages(writing *w, cJSON *o, const char *name, const adv_said *v, int n)
{
    cJSON *l = cJSON_AddArrayToObject(o, name);
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(l, message(w, &v[i]));
}

static void put_tools(writing *w, cJSON *o)
{
    cJSON *tools = w->e->tools ? cJSON_Parse(w->e->tools) : NULL;
    if (tools) cJSON_AddItemToObject(o, "tools", tools);
}

static int put_chat(writing *w, cJSON *o, char *err)
{
    put_messages(w, o, "messages", w->e->v, w->e->n);
    put_tools(w, o);
    return Q_OK;
}

static int put_pair(writing *w, cJSON *o, char *err)
{
    const adv_example *e = w->e;
    if (!e->n_other) return q_fail(err, Q_RANGE, _("it has no rejected answer"));
    put_messages(w, o, "prompt", e->v, e->from);
    put_messages(w, o, "chosen", e->v + e->from, e->n - e->from);
    put_messages(w, o, "rejected", e->other, e->n_other);
    put_tools(w, o);
    return Q_OK;
}

/* ---- sharegpt ---- */
static void put_item(cJSON *list, const char *from, const char *who, const char *value, const char *text)
{
    cJSON *m = cJSON_CreateObject();
    cJSON_AddStringToObject(m, from, who);
    cJSON_AddStringToObject(m, value, text);
    cJSON_AddItemToArray(list, m);
}

/* {"name":…,"arguments":…}, several as a list. */
static char *calls_text(const adv_said *s)
{
    cJSON *l = cJSON_CreateArray();
    for (int i = 0; i < s->n_use; i++) {
        cJSON *c = cJSON_CreateObject(), *a = cJSON_ParseWithOpts(s->use[i].arguments, NULL, true);
        cJSON_AddStringToObject(c, "name", s->use[i].name);
        char *again = cJSON_IsObject(a) ? cJSON_PrintUnformatted(a) : NULL;
        if (again && strcmp(again, s->use[i].arguments) == 0) cJSON_AddItemToObject(c, "arguments", a);      /* the same when it is read again */
        else cJSON_Delete(a), cJSON_AddStringToObject(c, "arguments", s->use[i].arguments);
        free(again);
        cJSON_AddItemToArray(l, c);
    }
    char *text = cJSON_PrintUnformatted(s->n_use == 1 ? l->child : l);
    cJSON_Delete(l);
    return text ? text : q_strdup("[]");
}

/* The system prompt has a place of its own: the first message. Returns how many messages that took. */
static int put_system(writing *w, cJSON *o)
{
    bool has = w->e->n && w->e->v[0].who == ADV_SAYS_SYSTEM;
    if (has) cJSON_AddStringToObject(o, "system", w->e->v[0].text);
    return has;
}

static int put_sharegpt(writing *w, cJSON *o, char *err)
{
    static const char *const who[] = { "system", "human", "gpt", "observation" };
    const adv_example *e = w->e;
    int from = *e->v[0].text ? put_system(w, o) : 0;
    cJSON *l = cJSON_AddArrayToObject(o, "conversations");
    for (int i = from; i < e->n; i++) {
        const adv_said *s = &e->v[i];
        char *text = tagged_text(w, s);
        bool bare_call = s->n_use && !*text;
        if (!bare_call) put_item(l, "from", who[s->who], "value", text);
        else if (i && e->v[i - 1].who == ADV_SAYS_ASSISTANT && !e->v[i - 1].n_use) w->lost |= 1u << ADV_LOST_JOINED;
        free(text);
        char *calls = s->n_use ? calls_text(s) : NULL;
        if (calls) put_item(l, "from", "function_call", "value", calls);
        free(calls);
        for (int k = 0; k < s->n_use; k++)
            if (*s->use[k].id) w->lost |= 1u << ADV_LOST_IDS;
        if (*s->answers) w->lost |= 1u << ADV_LOST_IDS;
    }
    if (e->tools) cJSON_AddStringToObject(o, "tools", e->tools);
    return Q_OK;
}

/* ---- forms without tools: questions and answers in turn ---- */
typedef struct turns { struct turn { enum adv_speaker who; q_buf text; } *v; int n; } turns;

static void turns_free(turns *t)
{
    for (int i = 0; i < t->n; i++) q_buf_free(&t->v[i].text);
    free(t->v);
}

static turns turns_of(writing *w, int from)
{
    const adv_example *e = w->e;
    turns t = { q_alloc(sizeof *t.v * (size_t)(e->n + 1)), 0 };
    if (e->tools) w->lost |= 1u << ADV_LOST_TOOLS;
    for (int i = from; i < e->n; i++) {
        const adv_said *s = &e->v[i];
        if (s->n_use) w->lost |= 1u << ADV_LOST_CALLS;
        if (s->who == ADV_SAYS_TOOL) w->lost |= 1u << ADV_LOST_RESULTS;
        if (s->who == ADV_SAYS_TOOL || (s->n_use && !*s->text && !*s->thinking)) continue;
        if (s->who == ADV_SAYS_SYSTEM) {              /* in the middle: no such form has a place for it */
            w->lost |= 1u << ADV_LOST_SYSTEM;
            continue;
        }
        if (!t.n || t.v[t.n - 1].who != s->who) t.v[t.n++].who = s->who;
        else {
            w->lost |= 1u << ADV_LOST_JOINED;
            q_buf_puts(&t.v[t.n - 1].text, "\n\n");
        }
        tagged(w, s, &t.v[t.n - 1].text);
    }
    return t;
}

static int put_openchat(writing *w, cJSON *o, char *err)
{
    int from = *w->e->v[0].text ? put_system(w, o) : 0;
    turns t = turns_of(w, from);
    cJSON *l = cJSON_AddArrayToObject(o, "items");
    for (int i = 0; i < t.n; i++) put_item(l, "role", t.v[i].who == ADV_SAYS_USER ? "user" : "assistant", "content", t.v[i].text.p);
    int rc = t.n ? Q_OK : q_fail(err, Q_RANGE, _("it holds no answer"));
    turns_free(&t);
    return rc;
}

static int put_alpaca(writing *w, cJSON *o, char *err)
{
    bool system = w->e->v[0].who == ADV_SAYS_SYSTEM;
    turns t = turns_of(w, system);
    int n = t.n;
    if (n && t.v[n - 1].who == ADV_SAYS_USER) {
        w->lost |= 1u << ADV_LOST_TAIL;
        n--;
    }
    if (!n) {
        turns_free(&t);
        return q_fail(err, Q_RANGE, _("it holds no answer"));
    }
    cJSON_AddStringToObject(o, "instruction", n > 1 ? t.v[n - 2].text.p : "");
    cJSON_AddStringToObject(o, "input", "");
    cJSON_AddStringToObject(o, "output", t.v[n - 1].text.p);
    if (system && *w->e->v[0].text) cJSON_AddStringToObject(o, "system", w->e->v[0].text);
    cJSON *h = n > 2 ? cJSON_AddArrayToObject(o, "history") : NULL;
    for (int i = 0; i + 2 < n;) {
        bool asked = t.v[i].who == ADV_SAYS_USER;
        const char *pair[2] = { asked ? t.v[i].text.p : "", t.v[i + asked].text.p };
        cJSON_AddItemToArray(h, cJSON_CreateStringArray(pair, 2));
        i += 1 + asked;
    }
    turns_free(&t);
    return Q_OK;
}

/* ---- a text ---- */
/* Who speaks, in words of the data, not of the person's language: it is for a model. */
static void put_text(writing *w, q_buf *b)
{
    static const char *const who[] = { "System", "User", "Assistant", "Tool" };
    const adv_example *e = w->e;
    q_buf_puts(b, "");
    for (int i = 0; i < e->n; i++) {
        const adv_said *s = &e->v[i];
        if (!e->bare) q_buf_printf(b, "%s%s: ", i ? "\n\n" : "", who[s->who]);
        tagged(w, s, b);
        char *calls = s->n_use ? calls_text(s) : NULL;
        if (calls) q_buf_printf(b, "%sCall: %s", *s->text ? "\n" : "", calls);
        free(calls);
    }
}

static int put_completion(writing *w, cJSON *o, char *err)
{
    q_buf b = {0};
    put_text(w, &b);
    cJSON_AddStringToObject(o, "text", b.p);
    if (!w->e->bare) w->lost |= 1u << ADV_LOST_ROLES;
    if (w->e->tools) w->lost |= 1u << ADV_LOST_TOOLS;
    q_buf_free(&b);
    return Q_OK;
}

void adv_example_text(const adv_example *e, q_buf *out)
{
    writing w = { e, true, 0 };
    put_text(&w, out);
}

/* ---- any ---- */
static int (*const writers[ADV_FORMS])(writing *, cJSON *, char *err) = { put_chat, put_sharegpt, put_alpaca, put_openchat, put_completion, put_pair };

/* Does it say anything that could be learnt, as that form has it? */
static bool says(const adv_said *s, enum adv_form f, bool think)
{
    bool calls = s->n_use && f != ADV_AS_ALPACA && f != ADV_AS_OPENCHAT;       /* which have no place for them */
    return s->who == ADV_SAYS_ASSISTANT && (calls || (think && *s->thinking) || s->text[strspn(s->text, " \t\r\n")]);
}

int adv_example_write(const adv_example *e, enum adv_form f, bool think, q_buf *line, unsigned *lost, char *err)
{
    writing w = { e, think, e->lost };
    bool answered = false;
    for (int i = 0; i < e->n; i++) answered |= says(&e->v[i], f, think);
    if (!answered) return q_fail(err, Q_RANGE, _("it holds no answer"));
    if (e->n_other && f != ADV_AS_PAIRS) w.lost |= 1u << ADV_LOST_REJECTED;
    cJSON *o = cJSON_CreateObject();
    int rc = writers[f](&w, o, err);
    char *json = rc == Q_OK ? cJSON_PrintUnformatted(o) : NULL;
    if (rc == Q_OK && !json) rc = q_fail(err, Q_NOMEM, _("not enough memory for an example"));
    q_buf_clear(line);
    if (json) q_json_safe(line, json, strlen(json));
    free(json);
    cJSON_Delete(o);
    *lost = w.lost;
    return rc;
}
