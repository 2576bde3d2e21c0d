/* rag/twins: near-duplicates. A text is the set of its pairs of neighbouring words (stems, without those of grammar), after Broder's
 * shingles (1997). Another that holds SAME of them and every number and identifier leaves nothing to say: notes taken twice, a file
 * and its copy with a line more, a message quoted in the next. Pure functions of texts; any thread. It never looks at a score. */
#include "rag/twins.h"

#include "memory/memory.h"

#include <stdlib.h>
#include <string.h>

static const double SAME = .8;
enum { FEW = 4 };                       /* a text of fewer pairs must stand there whole */

struct reading { struct twin *t; int cap, cap_mark; uint64_t last; bool any; };

static void add(uint64_t **v, int *n, int *cap, uint64_t x)
{
    if (*n == *cap) *v = q_realloc(*v, sizeof **v * (size_t)(*cap = *cap ? *cap * 2 : 64));
    (*v)[(*n)++] = x;
}

static bool read_word(void *user, const mem_word *w)
{
    struct reading *d = user;
    if ((w->flags & MEM_WORD_EXACT) || mem_grammar(w->word)) return true;
    uint64_t h = q_hash64(w->stem, strlen(w->stem), 1);
    if (w->flags & (MEM_WORD_NUMBER | MEM_WORD_WHOLE)) add(&d->t->mark, &d->t->n_mark, &d->cap_mark, h);
    if (w->flags & MEM_WORD_WHOLE) return true;
    if (d->any) add(&d->t->pair, &d->t->n, &d->cap, q_mix64(d->last, h));
    d->last = h;
    d->any = true;
    return true;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int set_of(uint64_t *v, int n)
{
    int k = 0;
    if (n) qsort(v, (size_t)n, sizeof *v, by_value);
    for (int i = 0; i < n; i++)
        if (!k || v[k - 1] != v[i]) v[k++] = v[i];
    return k;
}

void rag_twin_read(const char *text, size_t n, struct twin *out)
{
    struct reading d = {.t = out};
    *out = (struct twin){0};
    mem_words(text, n, read_word, &d);
    if (!out->n && d.any) add(&out->pair, &out->n, &d.cap, d.last);       /* one word */
    out->n = set_of(out->pair, out->n);
    out->n_mark = set_of(out->mark, out->n_mark);
}

void rag_twin_free(struct twin *t)
{
    free(t->pair);
    free(t->mark);
    *t = (struct twin){0};
}

static int shared(const uint64_t *a, int n, const uint64_t *b, int m)
{
    int i = 0, j = 0, both = 0;
    while (i < n && j < m) {
        if (a[i] == b[j]) both++, i++, j++;
        else if (a[i] < b[j]) i++;
        else j++;
    }
    return both;
}

bool rag_twin_of(const struct twin *a, const struct twin *b)
{
    if (!a->n || shared(a->mark, a->n_mark, b->mark, b->n_mark) < a->n_mark) return false;
    int both = shared(a->pair, a->n, b->pair, b->n);
    return a->n < FEW ? both == a->n : both >= SAME * a->n;
}
