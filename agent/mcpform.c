/* agent/mcpform: what a server asks the person while a call of it runs: a flat form, asked field by field. Engine thread. It goes to the
 * person and to nobody else: no model answers it, and where nobody is there it is declined. All of it is a stranger's word. */
#include "agent/talk.h"
#include "agent/tooling.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 20, TRIES = 5, CHOICES_MAX = 100, WORDS_MAX = 2000 };
enum field_kind { F_TEXT, F_NUMBER, F_WHOLE, F_YES, F_ONE, F_SEVERAL };
typedef struct field {
    const char *name;
    const cJSON *rule, *choices;         /* choices: of strings, or of { const, title } */
    const cJSON *names;                  /* enumNames; NULL */
    enum field_kind kind;
    bool must;
} field;
typedef struct form { field f[FIELDS_MAX]; int n; } form;

static const cJSON *at(const cJSON *o, const char *name) { return cJSON_GetObjectItemCaseSensitive(o, name); }
static const char *text_at(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(at(o, name));
    return s ? s : "";
}

static const char *choice(const field *f, int i)
{
    const cJSON *one = cJSON_GetArrayItem(f->choices, i);
    const char *s = cJSON_GetStringValue(cJSON_IsObject(one) ? at(one, "const") : one);
    return s ? s : "";
}

static const char *choice_title(const field *f, int i)
{
    const cJSON *one = cJSON_GetArrayItem(f->choices, i);
    const char *s = cJSON_GetStringValue(cJSON_IsObject(one) ? at(one, "title") : cJSON_GetArrayItem(f->names, i));
    return s && *s ? s : choice(f, i);
}

/* False: it is none that a person can be asked. */
static bool read_field(const cJSON *rule, field *f)
{
    static const struct { const char *type; enum field_kind kind; } types[] = {
        { "string", F_TEXT }, { "number", F_NUMBER }, { "integer", F_WHOLE }, { "boolean", F_YES }, { "array", F_SEVERAL } };
    const char *type = text_at(rule, "type");
    bool good = false;
    f->rule = rule;
    for (size_t i = 0; i < sizeof types / sizeof *types && !good; i++)
        if ((good = strcmp(types[i].type, type) == 0))
            f->kind = types[i].kind;
    const cJSON *of = f->kind == F_SEVERAL ? at(rule, "items") : rule, *lists[] = { at(of, "enum"), at(of, "oneOf"), at(of, "anyOf") };
    for (int i = 0; i < 3 && !f->choices; i++)
        f->choices = cJSON_IsArray(lists[i]) ? lists[i] : NULL;
    f->names = at(of, "enumNames");
    if (f->choices && f->kind == F_TEXT)
        f->kind = F_ONE;
    if ((f->kind == F_ONE || f->kind == F_SEVERAL) && (!f->choices || cJSON_GetArraySize(f->choices) > CHOICES_MAX || !cJSON_GetArraySize(f->choices)))
        good = false;
    for (int i = 0; good && f->choices && i < cJSON_GetArraySize(f->choices); i++)
        good = *choice(f, i) != 0;
    return good;
}

static bool read_form(const cJSON *schema, form *out)
{
    const cJSON *one, *need;
    if (!cJSON_IsObject(schema))
        return false;
    cJSON_ArrayForEach(one, at(schema, "properties")) {
        field *f = &out->f[out->n];
        if (out->n >= FIELDS_MAX || !one->string || !read_field(one, f))
            return false;
        f->name = one->string;
        cJSON_ArrayForEach(need, at(schema, "required"))
            f->must |= cJSON_IsString(need) && strcmp(need->valuestring, f->name) == 0;
        out->n++;
    }
    return true;
}

/* ---- a field in words ---- */
static void add_clean(q_buf *b, const char *text)
{
    size_t n = strlen(text);
    q_say_clean(b, text, n < WORDS_MAX ? n : q_utf8_whole(text, WORDS_MAX), false);
}

static char *bounds(const field *f, const char *least, const char *most)
{
    const cJSON *lo = at(f->rule, least), *hi = at(f->rule, most);
    return cJSON_IsNumber(lo) && cJSON_IsNumber(hi) ? q_printf(_(", from %.15g to %.15g"), lo->valuedouble, hi->valuedouble)
           : cJSON_IsNumber(lo) ? q_printf(_(", at least %.15g"), lo->valuedouble) : cJSON_IsNumber(hi) ? q_printf(_(", at most %.15g"), hi->valuedouble) : q_strdup("");
}

static char *said_default(const cJSON *v)
{
    q_buf b = { 0 };
    char *text = cJSON_IsString(v) ? q_strdup(v->valuestring) : cJSON_IsBool(v) ? q_strdup(cJSON_IsTrue(v) ? _("yes") : _("no")) : cJSON_PrintUnformatted(v);
    q_say_clean(&b, text ? text : "", text ? strlen(text) : 0, true);
    q_buf_puts(&b, "");
    free(text);
    return q_buf_take(&b);
}

static void add_kind(q_buf *b, const field *f)
{
    static const char *const words[] = { [F_TEXT] = N_("a text"), [F_NUMBER] = N_("a number"), [F_WHOLE] = N_("a whole number"), [F_YES] = N_("yes or no"),
                                         [F_ONE] = N_("one of these, by its number or word"), [F_SEVERAL] = N_("some of these, by their numbers or words, with commas between") };
    bool letters = f->kind == F_TEXT;
    char *range = letters ? bounds(f, "minLength", "maxLength") : f->kind == F_NUMBER || f->kind == F_WHOLE ? bounds(f, "minimum", "maximum") : q_strdup("");
    const char *format = text_at(f->rule, "format");
    q_buf_puts(b, _(words[f->kind]));
    q_buf_puts(b, range);
    q_buf_puts(b, letters && *range ? _(" letters") : "");
    if (letters && *format) {
        q_buf_puts(b, ", ");
        q_say_clean(b, format, strlen(format) < 40 ? strlen(format) : q_utf8_whole(format, 40), true);
    }
    free(range);
}

static void add_field(q_buf *b, const field *f)
{
    const char *title = *text_at(f->rule, "title") ? text_at(f->rule, "title") : f->name, *help = text_at(f->rule, "description");
    q_say_clean(b, title, strlen(title) < 200 ? strlen(title) : q_utf8_whole(title, 200), true);
    if (*help) {
        q_buf_puts(b, ": ");
        q_say_clean(b, help, strlen(help) < 500 ? strlen(help) : q_utf8_whole(help, 500), true);
    }
    q_buf_puts(b, " (");
    add_kind(b, f);
    q_buf_puts(b, f->must ? ")\n" : _("; may be left out)\n"));
}

/* ---- its answer ---- */
static cJSON *one_choice(const field *f, const char *word)
{
    char *end;
    long n = strtol(word, &end, 10);
    int all = cJSON_GetArraySize(f->choices);
    for (int i = 0; i < all; i++)
        if (strcmp(word, choice(f, i)) == 0 || strcmp(word, choice_title(f, i)) == 0)
            return cJSON_CreateString(choice(f, i));
    return *word && !*end && n >= 1 && n <= all ? cJSON_CreateString(choice(f, (int)n - 1)) : NULL;
}

static cJSON *some_choices(const field *f, const char *words)
{
    cJSON *list = cJSON_CreateArray();
    for (const char *p = words; *p && list;) {
        p += strspn(p, ", ");
        size_t n = strcspn(p, ",");
        while (n && p[n - 1] == ' ')
            n--;
        char *word = q_strndup(p, n);
        cJSON *one = n ? one_choice(f, word) : NULL;
        if (one)
            cJSON_AddItemToArray(list, one);
        else if (n) {
            cJSON_Delete(list);
            list = NULL;
        }
        free(word);
        p += strcspn(p, ",");
    }
    return list;
}

static bool within(const field *f, const char *least, const char *most, double x)
{
    const cJSON *lo = at(f->rule, least), *hi = at(f->rule, most);
    return !(cJSON_IsNumber(lo) && x < lo->valuedouble) && !(cJSON_IsNumber(hi) && x > hi->valuedouble);
}

/* What was typed as its value; NULL: it is none. */
static cJSON *value_of(const field *f, const char *typed)
{
    static const char *const yes[] = { "y", "yes", "да", "д" }, *const no[] = { "n", "no", "нет", "н" };
    char *end;
    double x = strtod(typed, &end);
    bool number = *typed && !*end && isfinite(x) && !strpbrk(typed, "xXpP") && within(f, "minimum", "maximum", x);
    switch (f->kind) {
    case F_TEXT: return within(f, "minLength", "maxLength", q_utf8_points(typed)) ? cJSON_CreateString(typed) : NULL;
    case F_NUMBER: return number ? cJSON_CreateNumber(x) : NULL;
    case F_WHOLE: return number && floor(x) == x && fabs(x) <= 9007199254740992.0 ? cJSON_CreateNumber(x) : NULL;
    case F_ONE: return one_choice(f, typed);
    case F_SEVERAL: {
        cJSON *l = some_choices(f, typed);
        if (l && within(f, "minItems", "maxItems", cJSON_GetArraySize(l)))
            return l;
        cJSON_Delete(l);
        return NULL;
    }
    case F_YES: break;
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(typed, yes[i]) == 0)
            return cJSON_CreateTrue();
        if (strcmp(typed, no[i]) == 0)
            return cJSON_CreateFalse();
    }
    return NULL;
}

/* ---- asking ---- */
typedef struct asking { turn *t; const char *server, *message; form form; } asking;

static enum approved put(const asking *q, char *lines /* taken */, bool question, char **words)
{
    enum agt_consent how;
    agt_call c = { .at = (int64_t)q->t->text.len, .name = q_strdup(q->server), .title = q_strdup(q->server), .arguments = q_strdup(""), .state = AGT_CALL_WAITS, .question = question,
                   .asks = AGT_ASKS_FORM, .shown = lines, .policy = q_strdup(_("the server reads what you type: give it no password and no key")), .folder = q_strdup("") };
    return approve_wait(q->t->a, &c, q->t->so_far.tokens, &how, words);
}

static char *field_words(const asking *q, int i)
{
    const field *f = &q->form.f[i];
    q_buf b = { 0 };
    q_buf_say(&b, _("%d of %d: "), i + 1, q->form.n);
    add_field(&b, f);
    for (int k = 0; f->choices && k < cJSON_GetArraySize(f->choices); k++) {
        const char *title = choice_title(f, k);
        q_buf_printf(&b, "  %d  ", k + 1);
        q_say_clean(&b, title, strlen(title) < 200 ? strlen(title) : q_utf8_whole(title, 200), true);
        q_buf_puts(&b, "\n");
    }
    const cJSON *standard = at(f->rule, "default");
    char *text = standard ? said_default(standard) : NULL;
    if (text)
        q_buf_printf(&b, _("An empty answer is: %s\n"), text);
    else
        q_buf_puts(&b, f->must ? _("An empty answer declines all of it.\n") : _("An empty answer leaves it out.\n"));
    free(text);
    return q_buf_take(&b);
}

/* One field, until what is typed can be one. */
static enum mcp_answer ask_field(const asking *q, int i, cJSON *into)
{
    const field *f = &q->form.f[i];
    const cJSON *standard = at(f->rule, "default");
    for (int tries = 0; tries < TRIES; tries++) {
        char *words = NULL;
        enum approved got = put(q, field_words(q, i), true, &words);
        if (got == APPROVED_STOPPED || got == APPROVED_GONE) {
            free(words);
            return MCP_DISMISS;
        }
        const char *typed = words ? words + strspn(words, " \t") : "";
        bool empty = got == APPROVED_NOT || !*typed;
        cJSON *v = empty ? (standard ? cJSON_Duplicate(standard, true) : NULL) : value_of(f, typed);
        free(words);
        if (v) {
            cJSON_AddItemToObject(into, f->name, v);
            return MCP_ACCEPT;
        }
        if (empty)
            return f->must ? MCP_DECLINE : MCP_ACCEPT;
        q_buf b = { 0 };
        add_field(&b, f);
        b.p[strcspn(b.p, "\n")] = 0;
        note(&q->t->a->events, AGT_WARN, _("that is not what is asked for: %s"), b.p);
        q_buf_free(&b);
    }
    return MCP_DECLINE;
}

/* First all that will be asked, so that it can be declined as a whole; then field by field. */
static enum mcp_answer ask_all(const asking *q, q_buf *content)
{
    q_buf b = { 0 };
    char *words = NULL;
    add_clean(&b, q->message);
    q_buf_puts(&b, "\n");
    for (int i = 0; i < q->form.n; i++) {
        q_buf_say(&b, "%d. ", i + 1);
        add_field(&b, &q->form.f[i]);
    }
    enum approved got = put(q, q_buf_take(&b), false, &words);
    free(words);
    enum mcp_answer say = got == APPROVED_STOPPED || got == APPROVED_GONE ? MCP_DISMISS : got == APPROVED_NOT ? MCP_DECLINE : MCP_ACCEPT;
    cJSON *into = cJSON_CreateObject();
    for (int i = 0; i < q->form.n && say == MCP_ACCEPT; i++)
        say = ask_field(q, i, into);
    if (say == MCP_ACCEPT) {
        char *text = cJSON_PrintUnformatted(into);
        q_buf_puts(content, text);
        cJSON_free(text);
    }
    cJSON_Delete(into);
    return say;
}

enum mcp_answer form_ask(turn *t, const char *server, const char *message, const char *schema, q_buf *content)
{
    asking *q = q_alloc(sizeof *q);
    *q = (asking){ .t = t, .server = server, .message = message };
    cJSON *j = cJSON_Parse(schema);
    enum mcp_answer say = MCP_DECLINE;
    if (t->a->toolbox.alone)
        note(&t->a->events, AGT_WARN, _("the server %s asks something, and nobody is there to answer: declined"), server);
    else if (!read_form(j, &q->form))
        note(&t->a->events, AGT_WARN, _("the server %s asks in a form that is not known here (text, number, yes or no, choices; at most %d): declined"), server, FIELDS_MAX);
    else
        say = ask_all(q, content);
    cJSON_Delete(j);
    free(q);
    return say;
}
