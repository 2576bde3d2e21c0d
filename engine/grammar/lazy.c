/* engine/grammar/lazy: see lazy.h. How much of the trigger stands at the text's end is a state (Knuth, Morris and Pratt 1977). */
#include "engine/grammar/lazy.h"
#include "engine/grammar/letters.h"

#include <stdlib.h>
#include <string.h>

typedef struct lazy { form *f; const char *trigger; size_t n; uint32_t *at, *in, end; int rule; } lazy;

/* Bytes first..last of free text, from a place where none of the trigger stands yet. */
static void free_bytes(const lazy *l, uint32_t from, size_t k, int first, int last)
{
    for (int b = first; b <= last; b++) {
        int begin = b;
        size_t to = letters_next(l->trigger, l->n, k, (unsigned char)b);
        while (b < last && letters_next(l->trigger, l->n, k, (unsigned char)(b + 1)) == to)
            b++;
        form_bytes(l->f, from, begin, b, l->at[to]);
    }
}

/* Free text but for these bytes. */
static void other_bytes(const lazy *l, uint32_t from, const bool *but)
{
    for (int b = 0; b < FORM_TOKEN_END; b++) {
        int begin = b;
        if (but[b])
            continue;
        while (b + 1 < FORM_TOKEN_END && !but[b + 1])
            b++;
        free_bytes(l, from, 0, begin, b);
    }
}

static void blanks(form *f, uint32_t from, uint32_t to, bool *but)
{
    for (const char *p = " \n\t\r"; *p; p++) {
        but[(unsigned char)*p] = true;
        form_bytes(f, from, *p, *p, to);
    }
}

/* ---- a call without the trigger ---- */
static bool word_char(int b) { return b == '_' || b == '.' || (b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z'); }

/* Behind the opening bracket, a text that is no call: a word is not followed by a (. */
static void not_called(const lazy *l, uint32_t from)
{
    bool but[256] = { false }, in_word[256] = { ['('] = true };
    uint32_t word = form_state(l->f);
    for (int b = 0; b < 256; b++)
        if (word_char(b)) {
            but[b] = in_word[b] = true;
            form_bytes(l->f, from, b, b, word);
            form_bytes(l->f, word, b, b, word);
        }
    blanks(l->f, from, from, but);
    other_bytes(l, from, but);
    other_bytes(l, word, in_word);
    form_skip(l->f, from, l->end);
    form_skip(l->f, word, l->end);
}

/* Behind the opening brace and k letters that all of these keys begin with, a text that is no call: none of them comes. None begins another. */
static void not_keyed(const lazy *l, uint32_t from, const char *const *key, size_t k)
{
    bool but[256] = { false };
    form_skip(l->f, from, l->end);
    if (k == 0)
        blanks(l->f, from, from, but);
    for (size_t i = 0; key[i]; i++) {
        unsigned char c = (unsigned char)key[i][k];
        if (but[c])
            continue;
        but[c] = true;
        const char *next[8] = { NULL };  /* those that go on so */
        size_t n = 0;
        for (size_t x = i; key[x] && n < 7; x++)
            if ((unsigned char)key[x][k] == c)
                next[n++] = key[x];
        if (!key[i][k + 1])
            continue;                    /* it would be whole: no */
        uint32_t to = form_state(l->f);
        form_bytes(l->f, from, c, c, to);
        not_keyed(l, to, next, k + 1);
    }
    other_bytes(l, from, but);
}

/* Where a call may begin without the trigger: at the beginning of a text, and behind a call. */
static uint32_t opening(const lazy *l, const lazy_bare *bare, bool behind)
{
    bool but[256] = { false };
    uint32_t here = form_state(l->f), opened = form_state(l->f);
    but[(unsigned char)bare->open] = true;
    blanks(l->f, here, here, but);
    if (behind) {                        /* what may stand between two calls */
        but[';'] = true;
        form_bytes(l->f, here, ';', ';', here);
        if (bare->close)
            form_token(l->f, here, bare->close, strlen(bare->close), here);
    }
    form_skip(l->f, here, l->end);
    form_token(l->f, here, l->trigger, l->n, l->at[l->n]);
    form_bytes(l->f, here, bare->open, bare->open, opened);
    if (bare->key)
        not_keyed(l, opened, bare->key, 0);
    else
        not_called(l, opened);
    other_bytes(l, here, but);
    return here;
}

/* A control token's name is no part of what is waited for. */
int lazy_rule(form *f, const char *trigger, int rule, const lazy_bare *bare)
{
    size_t n = strlen(trigger);
    lazy l = { .f = f, .trigger = trigger, .n = n, .at = q_alloc(sizeof *l.at * (n + 1)), .in = q_alloc(sizeof *l.in * (n + 1)), .rule = rule };
    uint32_t *at = l.at, *in = l.in;
    int free_text = form_rule(f, "(anything)", 0, 0);
    uint32_t other = form_state(f), start, again;
    l.end = form_state(f);
    for (size_t k = 0; k <= n; k++) {
        at[k] = form_state(f);
        in[k] = form_state(f);
    }
    start = again = at[0];
    if (bare) {
        start = opening(&l, bare, false);
        again = opening(&l, bare, true);
        form_call(f, start, rule, again);
        form_call(f, again, rule, again);
    }
    for (size_t k = 0; k < n; k++) {
        form_skip(f, at[k], l.end);
        free_bytes(&l, at[k], k, 0, FORM_TOKEN_END - 1);
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
    form_call(f, at[n], rule, again);
    form_define(f, free_text, start, l.end);
    free(at);
    free(in);
    return free_text;
}
