/* engine/text/tokens: lists of ids. Owned by whoever holds one; no state. */
#include "engine/text.h"

#include <stdlib.h>

void eng_tokens_add(eng_tokens *t, int32_t id)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->id = q_realloc(t->id, (size_t)t->cap * sizeof *t->id);
    }
    t->id[t->n++] = id;
}

void eng_tokens_free(eng_tokens *t)
{
    free(t->id);
    *t = (eng_tokens){0};
}
