/* tests: texts out of a grammar, by a random walk over its sets of stacks. */
#ifndef TESTS_GRAMMAR_WALK_H
#define TESTS_GRAMMAR_WALK_H
#include "engine/grammar/grammar.h"
#include "engine/grammar/stacks.h"

#include <string.h>

static inline uint32_t walk_below(uint64_t *s, uint32_t n)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*s >> 33) % n);
}

/* One byte that may come next: where they lead is chosen first, so that the rare ways are gone too. After `soon` bytes the one that
 * is nearest to an end. Returns -1 where the text ends. */
static inline int walk_byte(stacks *s, uint32_t at, uint64_t *seed, bool soon)
{
    uint32_t to[256], kind[256];
    int n = 0, best = -1;
    for (int b = 0; b < 256; b++) {
        to[b] = stacks_step(s, at, (uint8_t)b);
        bool seen = to[b] == STACKS_DEAD;
        for (int k = 0; k < n && !seen; k++) seen = kind[k] == to[b];
        if (!seen) kind[n++] = to[b];
    }
    if (n == 0 || (stacks_may_end(s, at) && (soon || walk_below(seed, 3) == 0))) return -1;
    uint32_t want = kind[walk_below(seed, (uint32_t)n)], left = FORM_NEVER;
    for (int k = 0; soon && k < n; k++)
        if (stacks_left(s, kind[k]) < left) { left = stacks_left(s, kind[k]); want = kind[k]; }
    int count = 0;
    for (int b = 0; b < 256; b++)
        if (to[b] == want && walk_below(seed, (uint32_t)++count) == 0) best = b;
    return best;
}

/* Appends a text, or its first WALK_MOST bytes: some grammars have none that is shorter. *whole (may be NULL): it is one, and no bound of stacks was
 * met, so that others find it as well. False: it came to an end that is none (must not be). */
enum { WALK_MOST = 8192 };
static inline bool walk_text(const eng_grammar *g, uint64_t seed, size_t soon, q_buf *out, bool *whole)
{
    stacks *s = stacks_new(grammar_form(g));
    uint32_t at = stacks_begin(s);
    size_t from = out->len;
    for (int b; (b = walk_byte(s, at, &seed, out->len - from > soon)) >= 0;) {
        q_buf_putc(out, (char)b);
        at = stacks_step(s, at, (uint8_t)b);
        if (out->len - from >= WALK_MOST || (whole && stacks_cut(s))) break;      /* so many ways are slow to go */
        if (stacks_bytes(s) > (size_t)8 << 20) at = stacks_trim(s, at);
    }
    bool ok = stacks_may_end(s, at) || (at != STACKS_DEAD && (out->len - from >= WALK_MOST || (whole && stacks_cut(s))));
    if (whole) *whole = stacks_may_end(s, at) && !stacks_cut(s);
    stacks_free(s);
    return ok;
}
#endif
