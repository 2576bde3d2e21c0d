/* engine/grammar/grammar: from a text to a finished form, and whether a text is one of it. */
#include "engine/grammar/grammar.h"
#include "engine/grammar/gbnf.h"
#include "engine/grammar/schema.h"
#include "engine/grammar/stacks.h"

#include <stdlib.h>
#include <string.h>

struct eng_grammar { form *f; };

const form *grammar_form(const eng_grammar *g) { return g->f; }

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

/* The longest beginning of word that `byte` behind its first k letters ends with. */
static size_t go_on(const char *word, size_t n, size_t k, unsigned char byte)
{
    char *seen = q_alloc(k + 2);
    memcpy(seen, word, k);
    seen[k] = (char)byte;
    size_t best = k + 1 < n ? k + 1 : n;
    while (best && memcmp(seen + k + 1 - best, word, best) != 0)
        best--;
    free(seen);
    return best;
}

/* Anything, until the trigger: then the rule, and anything again. A control token's name is no part of what is waited for. */
static int lazily(form *f, const char *trigger, int rule)
{
    size_t n = strlen(trigger);
    uint32_t *at = q_alloc(sizeof *at * (n + 1)), *in = q_alloc(sizeof *in * (n + 1));
    int free_text = form_rule(f, "(anything)", 0, 0);
    uint32_t end = form_state(f), other = form_state(f);
    for (size_t k = 0; k <= n; k++) {
        at[k] = form_state(f);
        in[k] = form_state(f);
    }
    for (size_t k = 0; k < n; k++) {
        form_skip(f, at[k], end);
        for (int b = 0; b < FORM_TOKEN_END; b++) {
            int first = b;
            size_t to = go_on(trigger, n, k, (unsigned char)b);
            while (b + 1 < FORM_TOKEN_END && go_on(trigger, n, k, (unsigned char)(b + 1)) == to)
                b++;
            form_bytes(f, at[k], first, b, at[to]);
        }
        form_bytes(f, at[k], FORM_TOKEN, FORM_TOKEN, in[0]);
    }
    for (size_t k = 0; k <= n; k++) {
        int next = k < n ? (unsigned char)trigger[k] : -1;
        for (int b = 0; b < FORM_TOKEN_END; b++)
            form_bytes(f, in[k], b, b, b == next ? in[k + 1] : other);
        form_bytes(f, in[k], FORM_TOKEN_END, FORM_TOKEN_END, k == n ? at[n] : at[0]);
    }
    form_bytes(f, other, 0, FORM_TOKEN_END - 1, other);
    form_bytes(f, other, FORM_TOKEN_END, FORM_TOKEN_END, at[0]);
    form_call(f, at[n], rule, at[0]);
    form_define(f, free_text, at[0], end);
    free(at);
    free(in);
    return free_text;
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
            root = lazily(f, s->trigger, root);
        rc = form_finish(f, root, err);
    }
    if (rc < 0) {
        form_free(f);
        return rc;
    }
    *out = q_alloc(sizeof **out);
    (*out)->f = f;
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
