/* engine/grammar/grammar: from a text to a finished form, and whether a text is one of it. */
#include "engine/grammar/grammar.h"
#include "engine/grammar/gbnf.h"
#include "engine/grammar/lazy.h"
#include "engine/grammar/schema.h"
#include "engine/grammar/stacks.h"

#include <stdlib.h>
#include <string.h>

struct eng_grammar { form *f; };

const form *grammar_form(const eng_grammar *g) { return g->f; }

eng_grammar *grammar_of(form *f)
{
    eng_grammar *g = q_alloc(sizeof *g);
    g->f = f;
    return g;
}

void eng_grammar_free(eng_grammar *g)
{
    if (!g)
        return;
    form_free(g->f);
    free(g);
}

/* A schema is an object or a boolean; no grammar begins so. */
static bool is_schema(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && strchr(" \t\r\n", text[i]) && text[i])
        i++;
    size_t left = n - i;
    while (left && strchr(" \t\r\n", text[i + left - 1]) && text[i + left - 1])
        left--;
    return left && (text[i] == '{' || (left == 4 && memcmp(text + i, "true", 4) == 0) || (left == 5 && memcmp(text + i, "false", 5) == 0));
}

int eng_grammar_new(const eng_grammar_source *s, eng_grammar **out, char *err)
{
    bool schema = s->kind == ENG_GRAMMAR_SCHEMA || (s->kind == ENG_GRAMMAR_ANY && is_schema(s->text, s->n));
    form *f = form_new();
    int rc = Q_OK, root = -1;
    *out = NULL;
    if (s->n > ENG_GRAMMAR_BYTES)
        rc = q_fail(err, Q_RANGE, _("a grammar may have at most %d bytes, this one has %zu"), ENG_GRAMMAR_BYTES, s->n);
    for (int i = 0; i < s->n_rule && rc == Q_OK; i++)
        rc = schema_read(f, s->rule[i].name, s->rule[i].schema, strlen(s->rule[i].schema), err);
    if (rc == Q_OK)
        rc = schema ? schema_read(f, "root", s->text, s->n, err) : gbnf_read(f, s->text, s->n, err);
    if (rc == Q_OK) {
        root = form_named(f, "root");
        if (s->trigger && *s->trigger)
            root = lazy_rule(f, s->trigger, root, NULL);
        rc = form_finish(f, root, err);
    }
    if (rc < 0) {
        form_free(f);
        return rc;
    }
    *out = grammar_of(f);
    return Q_OK;
}

bool eng_grammar_accepts(const eng_grammar *g, const char *text, size_t n)
{
    stacks *s = stacks_new(g->f);
    uint32_t at = stacks_begin(s);
    for (size_t i = 0; i < n && at != STACKS_DEAD; i++)
        at = stacks_step(s, at, (uint8_t)text[i]);
    bool ok = at != STACKS_DEAD && stacks_may_end(s, at);
    stacks_free(s);
    return ok;
}
