/* engine/grammar/calls: calls of tools as a grammar that waits for one to begin. A format is a row: what begins a call, and what stands
 * before the tool's name, between it and its arguments, and behind them. */
#include "engine/grammar/grammar.h"
#include "engine/grammar/lazy.h"
#include "engine/grammar/schema.h"

#include <stdlib.h>
#include <string.h>

/* Parts of a frame: letters as they stand; between < and > a token by its name, or its letters where it is text; ~ at most one blank or
 * line break; ! a " around the name. */
typedef struct frame { const char *format, *trigger, *before, *between, *behind; } frame;
static const frame FRAMES[] = {
    { "Hermes", "<tool_call>", "~{~\"name\":~!", "!,~\"arguments\":~", "~}~</tool_call>" },
    { "Llama 3", "<|python_tag|>", "~{~\"name\":~!", "!,~\"parameters\":~", "~}" },      /* a bare object may be an answer as well */
    { "Mistral", "[TOOL_CALLS]", "~[~{~\"name\":~!", "!,~\"arguments\":~", "~}~]" },
    { "Mistral", "[TOOL_CALLS]", "~", "<[ARGS]>~", "" },
    { "harmony", "to=functions.", "", "~<|constrain|>~json~<|message|>", "" },
    { "harmony", "to=functions.", "", "~<|channel|>commentary~<|constrain|>~json~<|message|>", "" },
    { "harmony", "to=functions.", "", "~<|channel|>commentary~<|message|>", "" },
    { "harmony", "to=functions.", "", "~<|message|>", "" },
};

/* The state behind a part of a frame. */
static uint32_t put_part(form *f, uint32_t from, const char *p)
{
    while (*p) {
        uint32_t next = form_state(f);
        const char *end = *p == '<' ? strchr(p, '>') : NULL;
        if (end) {
            bool bare = p[1] == '[';     /* [ARGS] has no < and > of its own */
            form_token(f, from, p + bare, (size_t)(end - p) + 1 - 2 * (size_t)bare, next);
            p = end;
        } else if (*p == '~') {
            form_skip(f, from, next);
            form_bytes(f, from, ' ', ' ', next);
            form_bytes(f, from, '\n', '\n', next);
        } else
            form_bytes(f, from, *p == '!' ? '"' : *p, *p == '!' ? '"' : *p, next);
        from = next;
        p++;
    }
    return from;
}

/* A tool's name is letters, digits, - and _ in every format that there is; another is none that a call could name. */
static bool sound(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("_-.", *p)))
            return false;
    return *name != 0;
}

static int arguments(form *f, const eng_grammar_rule *tool, int i, int *rule, char *err)
{
    char why[Q_ERRLEN], *name = q_printf("#tool %d", i);
    int rc = sound(tool->name) ? Q_OK : q_fail(err, Q_FORMAT, _("a tool's name is letters, digits, '_', '-' and '.', not \"%.60s\""), tool->name);
    if (rc == Q_OK && (rc = schema_read(f, name, tool->schema, strlen(tool->schema), why)) < 0)
        q_fail(err, rc, _("the tool %s: %s"), tool->name, why);
    *rule = form_named(f, name);
    free(name);
    return rc;
}

static int put_calls(form *f, const char *format, const eng_grammar_rule *tool, int n, const char **trigger, int *call, char *err)
{
    uint32_t from = form_state(f), to = form_state(f);
    *trigger = NULL;
    *call = form_rule(f, "#call", 0, 0);
    form_define(f, *call, from, to);
    int *rule = q_alloc(sizeof *rule * (size_t)(n + 1)), rc = Q_OK;
    for (int i = 0; i < n && rc == Q_OK; i++)
        rc = arguments(f, &tool[i], i, &rule[i], err);
    for (size_t k = 0; k < sizeof FRAMES / sizeof *FRAMES && rc == Q_OK; k++) {
        if (strcmp(FRAMES[k].format, format) != 0)
            continue;
        *trigger = FRAMES[k].trigger;
        uint32_t name = put_part(f, from, FRAMES[k].before);
        for (int i = 0; i < n; i++) {
            uint32_t named = form_state(f), filled = form_state(f);
            form_text(f, name, tool[i].name, strlen(tool[i].name), named);
            form_call(f, put_part(f, named, FRAMES[k].between), rule[i], filled);
            form_skip(f, put_part(f, filled, FRAMES[k].behind), to);
        }
    }
    free(rule);
    return rc;
}

int eng_grammar_calls(const char *format, const eng_grammar_rule *tool, int n, eng_grammar **out, char *err)
{
    form *f = form_new();
    const char *trigger;
    int call, rc = put_calls(f, format, tool, n, &trigger, &call, err);
    *out = NULL;
    if (rc == Q_OK && !trigger)
        rc = q_fail(err, Q_NOTFOUND, _("calls in the format %s are not held to their tools' schemas"), format);
    if (rc == Q_OK)
        rc = form_finish(f, lazy_rule(f, trigger, call), err);
    if (rc < 0)
        form_free(f);
    else
        *out = grammar_of(f);
    return rc;
}
