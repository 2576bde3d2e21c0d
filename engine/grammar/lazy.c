/* engine/grammar/lazy: see lazy.h. How much of the trigger stands at the text's end is a state (Knuth, Morris and Pratt 1977). */
#include "engine/grammar/lazy.h"

#include <stdlib.h>
#include <string.h>

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
int lazy_rule(form *f, const char *trigger, int rule)
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
