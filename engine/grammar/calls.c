/* engine/grammar/calls: calls of tools as a grammar that waits for one to begin. A format is a row: what begins a call, and what stands
 * before the tool's name, between it and its arguments, and behind them; rows of one format stand together and share the first one's dress. */
#include "engine/grammar/grammar.h"
#include "engine/grammar/lazy.h"
#include "engine/grammar/schema.h"

#include <stdlib.h>
#include <string.h>

/* Parts of a frame, as form_frame reads them. */
typedef struct frame {
    const char *format, *trigger;
    const char *before, *between, *behind;         /* the name, the name and its arguments, these */
    const char *list[2];                           /* around one or several, with commas between; NULL: one alone */
    const schema_dress *dress;                     /* of the arguments */
    const lazy_bare *bare;                         /* a call that begins without the trigger */
} frame;

static const schema_dress OBJECT = { .first = NULL };
static const schema_dress XML = { .first = "~<parameter=", .next = "~<parameter=", .middle = ">\n", .behind = "\n</parameter>", .never = { "</parameter>", "</tool_call>" } };
static const schema_dress GLM = { .first = "~<arg_key>", .next = "~<arg_key>", .middle = "</arg_key>~<arg_value>", .behind = "</arg_value>", .never = { "</arg_value>", "</tool_call>" } };
static const schema_dress PYTHON = { .first = "", .next = ",~", .middle = "=", .behind = "", .python = true };

static const char *const KEYS[] = { "\"name\"", "\"function\"", "\"type\"", "\"parameters\"", NULL };
static const lazy_bare BRACE = { .open = '{', .key = KEYS }, BRACKET = { .open = '[', .close = "<|python_end|>" };

static const frame FRAMES[] = {
    { "Hermes", "<tool_call>", "~{~\"name\":~!", "!,~\"arguments\":~", "~}~</tool_call>", { NULL }, &OBJECT, NULL },
    { "Qwen3-Coder", "<tool_call>", "~<function=", ">", "~</function>~</tool_call>", { NULL }, &XML, NULL },
    { "GLM-4.5", "<tool_call>", "~", "", "~</tool_call>", { NULL }, &GLM, NULL },
    { "Llama 3", "<|python_tag|>", "~{~\"name\":~!", "!,~\"parameters\":~", "~}", { NULL }, &OBJECT, &BRACE },
    { "Llama 3", "<|python_tag|>", "~{~\"type\":~\"function\",~\"name\":~!", "!,~\"parameters\":~", "~}", { NULL }, &OBJECT, &BRACE },
    { "Llama 4 pythonic", "<|python_start|>", "", "(", ")", { "~[", "]" }, &PYTHON, &BRACKET },
    { "Mistral", "[TOOL_CALLS]", "{~\"name\":~!", "!,~\"arguments\":~", "~}", { "~[~", "~]" }, &OBJECT, NULL },
    { "Mistral", "[TOOL_CALLS]", "~", "<[ARGS]>~", "", { NULL }, &OBJECT, NULL },
    { "DeepSeek R1", "<｜tool▁call▁begin｜>", "function<｜tool▁sep｜>", "\n```json\n", "\n```<｜tool▁call▁end｜>", { NULL }, &OBJECT, NULL },
    { "DeepSeek V3.1", "<｜tool▁call▁begin｜>", "", "<｜tool▁sep｜>~", "~<｜tool▁call▁end｜>", { NULL }, &OBJECT, NULL },
    { "Kimi K2", "<|tool_call_begin|>", "functions.", ":#~<|tool_call_argument_begin|>~", "~<|tool_call_end|>", { NULL }, &OBJECT, NULL },
    { "harmony", "to=functions.", "", "~<|constrain|>~json~<|message|>", "", { NULL }, &OBJECT, NULL },
    { "harmony", "to=functions.", "", "~<|channel|>commentary~<|constrain|>~json~<|message|>", "", { NULL }, &OBJECT, NULL },
    { "harmony", "to=functions.", "", "~<|channel|>commentary~<|message|>", "", { NULL }, &OBJECT, NULL },
    { "harmony", "to=functions.", "", "~<|message|>", "", { NULL }, &OBJECT, NULL },
};

/* A tool's name is letters, digits, - and _ in every format that there is; another is none that a call could name. */
static bool sound(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("_-.", *p)))
            return false;
    return *name != 0;
}

static int arguments(form *f, const eng_grammar_rule *tool, int i, const schema_dress *dress, int *rule, char *err)
{
    char why[Q_ERRLEN], *name = q_printf("#tool %d", i);
    int rc = sound(tool->name) ? Q_OK : q_fail(err, Q_FORMAT, _("a tool's name is letters, digits, '_', '-' and '.', not \"%.60s\""), tool->name);
    if (rc == Q_OK && (rc = schema_read_arguments(f, name, tool->schema, strlen(tool->schema), dress, why)) < 0)
        q_fail(err, rc, _("the tool %s: %s"), tool->name, why);
    *rule = form_named(f, name);
    free(name);
    return rc;
}

static void put_frame(form *f, const frame *k, const eng_grammar_rule *tool, int n, const int *rule, uint32_t from, uint32_t to)
{
    uint32_t filled = form_state(f), first = k->list[0] ? form_frame(f, from, k->list[0]) : from, name = form_frame(f, first, k->before);
    for (int i = 0; i < n; i++) {
        uint32_t named = form_state(f), end = form_state(f);
        form_text(f, name, tool[i].name, strlen(tool[i].name), named);
        form_call(f, form_frame(f, named, k->between), rule[i], end);
        form_skip(f, form_frame(f, end, k->behind), filled);
    }
    if (k->list[0])
        form_skip(f, form_frame(f, filled, "~,~"), first);
    form_skip(f, k->list[0] ? form_frame(f, filled, k->list[1]) : filled, to);
}

static int put_calls(form *f, const frame *format, const eng_grammar_rule *tool, int n, int *call, char *err)
{
    uint32_t from = form_state(f), to = form_state(f);
    *call = form_rule(f, "#call", 0, 0);
    form_define(f, *call, from, to);
    int *rule = q_alloc(sizeof *rule * (size_t)(n + 1)), rc = Q_OK;
    for (int i = 0; i < n && rc == Q_OK; i++)
        rc = arguments(f, &tool[i], i, format->dress, &rule[i], err);
    for (const frame *k = format; k < FRAMES + sizeof FRAMES / sizeof *FRAMES && rc == Q_OK && strcmp(k->format, format->format) == 0; k++)
        put_frame(f, k, tool, n, rule, from, to);
    free(rule);
    return rc;
}

int eng_grammar_calls(const char *format, const eng_grammar_rule *tool, int n, eng_grammar **out, char *err)
{
    const frame *k = FRAMES, *end = FRAMES + sizeof FRAMES / sizeof *FRAMES;
    *out = NULL;
    while (k < end && strcmp(k->format, format) != 0)
        k++;
    if (k == end)
        return q_fail(err, Q_NOTFOUND, _("calls in the format %s are not held to their tools' schemas"), format);
    form *f = form_new();
    int call, rc = put_calls(f, k, tool, n, &call, err);
    if (rc == Q_OK)
        rc = form_finish(f, lazy_rule(f, k->trigger, call, k->bare), err);
    if (rc < 0)
        form_free(f);
    else
        *out = grammar_of(f);
    return rc;
}
