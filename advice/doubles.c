/* advice/doubles: see doubles.h. Memory: 144 bytes a text that was kept, and its bands. */
#include "advice/doubles.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 32, BAND = 4, RUN = 5, AGREE = 24 };

typedef struct kept { uint64_t whole; uint32_t least[LEAST]; bool few /* words: only the whole counts */; } kept;
typedef struct slot { uint64_t key; int at /* 1-based; 0: free */; } slot;
struct doubles { kept *v; int n; slot *s; size_t cap, used; };

doubles *doubles_new(void) { return q_alloc(sizeof(doubles)); }

void doubles_free(doubles *t)
{
    if (!t) return;
    free(t->v);
    free(t->s);
    free(t);
}

static void put_slot(doubles *t, uint64_t key, int at)
{
    if (t->used * 2 >= t->cap) {
        slot *old = t->s;
        size_t was = t->cap;
        t->cap = was ? was * 2 : 1024;
        t->s = q_alloc(sizeof *t->s * t->cap);
        t->used = 0;
        for (size_t i = 0; i < was; i++)
            if (old[i].at) put_slot(t, old[i].key, old[i].at);
        free(old);
    }
    size_t i = key & (t->cap - 1);
    while (t->s[i].at) i = (i + 1) & (t->cap - 1);
    t->s[i] = (slot){ key, at };
    t->used++;
}

/* Words are what stands between blanks and signs, in small letters. */
static kept look(const char *p, size_t n)
{
    kept k = { .whole = q_hash64(p, n, 31) };
    uint64_t last[RUN] = {0};
    int words = 0;
    memset(k.least, 0xFF, sizeof k.least);
    for (size_t i = 0; i < n;) {
        size_t from = i;
        uint64_t h = 7;
        for (; i < n && ((unsigned char)p[i] >= 0x80 || isalnum((unsigned char)p[i])); i++) h = (h ^ (uint64_t)tolower((unsigned char)p[i])) * 0x100000001B3u;
        if (i == from) {
            i++;
            continue;
        }
        memmove(last, last + 1, sizeof *last * (RUN - 1));
        last[RUN - 1] = h;
        if (++words < RUN) continue;
        uint64_t all = 0;
        for (int w = 0; w < RUN; w++) all = q_mix64(all, last[w]);
        for (int j = 0; j < LEAST; j++) {
            uint32_t v = (uint32_t)(q_mix64(all, (uint64_t)j * 0x9E3779B97F4A7C15u) >> 32);
            if (v < k.least[j]) k.least[j] = v;
        }
    }
    k.few = words < RUN * 2;
    return k;
}

static int agree(const kept *a, const kept *b)
{
    int n = 0;
    for (int j = 0; j < LEAST; j++) n += a->least[j] == b->least[j];
    return n;
}

static uint64_t band(const kept *k, int b)
{
    uint64_t h = (uint64_t)b + 2;
    for (int j = 0; j < BAND; j++) h = q_mix64(h, k->least[b * BAND + j]);
    return h;
}

enum doubled doubles_put(doubles *t, const char *text, size_t n)
{
    kept k = look(text, n);
    enum doubled found = DOUBLE_NONE;
    for (int b = k.few ? LEAST / BAND : 0; b <= LEAST / BAND && t->cap; b++) {       /* the last: the whole */
        uint64_t key = b == LEAST / BAND ? k.whole : band(&k, b);
        for (size_t i = key & (t->cap - 1); t->s[i].at; i = (i + 1) & (t->cap - 1)) {
            if (t->s[i].key != key) continue;
            const kept *o = &t->v[t->s[i].at - 1];
            if (o->whole == k.whole) return DOUBLE_SAME;
            if (!k.few && !o->few && agree(o, &k) >= AGREE) found = DOUBLE_NEAR;
        }
    }
    if (found) return found;
    if ((t->n & (t->n - 1)) == 0) t->v = q_realloc(t->v, sizeof *t->v * (size_t)(t->n ? t->n * 2 : 1));
    t->v[t->n++] = k;
    for (int b = k.few ? LEAST / BAND : 0; b < LEAST / BAND; b++) put_slot(t, band(&k, b), t->n);
    put_slot(t, k.whole, t->n);
    return DOUBLE_NONE;
}
