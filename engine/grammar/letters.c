/* engine/grammar/letters: see letters.h. */
#include "engine/grammar/letters.h"

#include <stdlib.h>
#include <string.h>

enum { LAST = 0x10FFFF };

void letters_free(letters *l)
{
    free(l->step);
    free(l->end);
    *l = (letters){ 0 };
}

static void add(letters *l, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->step = q_realloc(l->step, sizeof *l->step * l->cap);
    }
    l->step[l->n++] = (letters_step){ from, to, lo, hi };
}

int letters_order(const void *a, const void *b)
{
    const letters_step *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->lo != y->lo)
        return x->lo < y->lo ? -1 : 1;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static void ordered(letters *l)
{
    if (l->n)
        qsort(l->step, l->n, sizeof *l->step, letters_order);
}

/* first[s] to first[s + 1]: the steps of s. malloc'ed. */
static size_t *firsts(const letters *l)
{
    size_t *first = q_alloc(sizeof *first * ((size_t)l->states + 2));
    for (size_t i = 0; i < l->n; i++)
        first[l->step[i].from + 1]++;
    for (uint32_t s = 0; s < l->states; s++)
        first[s + 1] += first[s];
    return first;
}

void letters_lengths(long least, long most, letters *l)
{
    long chain = most < 0 ? least : most;
    *l = (letters){ .states = (uint32_t)chain + 1, .end = q_alloc(sizeof(bool) * ((size_t)chain + 1)) };
    for (long i = 0; i < chain; i++)
        add(l, (uint32_t)i, 0, LAST, (uint32_t)i + 1);
    if (most < 0)
        add(l, (uint32_t)chain, 0, LAST, (uint32_t)chain);
    for (long i = least; i <= chain; i++)
        l->end[i] = true;
}

/* ---- all but some words ---- */
typedef struct word_node { uint32_t letter, child, next; bool word; } word_node;

void letters_other(const char *const *word, int n, letters *l)
{
    size_t bytes = 1;
    for (int i = 0; i < n; i++)
        bytes += strlen(word[i]);
    word_node *t = q_alloc(sizeof *t * (bytes + 1));
    uint32_t n_node = 1;
    for (int i = 0; i < n; i++) {
        uint32_t at = 0;
        for (const char *p = word[i]; *p;) {
            uint32_t c, x;
            p += q_utf8_next(p, strlen(p), &c);
            for (x = t[at].child; x && t[x].letter != c; x = t[x].next)
                ;
            if (!x) {
                x = n_node++;
                t[x] = (word_node){ .letter = c, .next = t[at].child };
                t[at].child = x;
            }
            at = x;
        }
        t[at].word = true;
    }
    *l = (letters){ .states = n_node + 1, .end = q_alloc(sizeof(bool) * (n_node + 1)) };
    add(l, n_node, 0, LAST, n_node);
    l->end[n_node] = true;
    for (uint32_t s = 0; s < n_node; s++) {
        uint32_t from = 0;
        l->end[s] = !t[s].word;
        for (;;) {                       /* its letters in order, and what lies between them */
            uint32_t best = 0;
            for (uint32_t x = t[s].child; x; x = t[x].next)
                if (t[x].letter >= from && (!best || t[x].letter < t[best].letter))
                    best = x;
            uint32_t to = best ? t[best].letter : LAST + 1;
            if (to > from)
                add(l, s, from, to - 1, n_node);
            if (!best)
                break;
            add(l, s, to, to, best);
            from = to + 1;
        }
    }
    free(t);
    ordered(l);
}

size_t letters_next(const char *word, size_t n, size_t k, unsigned char byte)
{
    for (size_t best = k + 1 < n ? k + 1 : n; best; best--)
        if ((unsigned char)word[best - 1] == byte && memcmp(word + k + 1 - best, word, best - 1) == 0)
            return best;
    return 0;
}

/* State k: the text ends with the word's first k letters, and with no more of them. */
void letters_without(const char *word, letters *l)
{
    uint32_t n = (uint32_t)strlen(word);
    *l = (letters){ .states = n, .end = q_alloc(sizeof(bool) * (n + 1)) };
    for (uint32_t k = 0; k < n; k++) {
        uint32_t from = 0;
        l->end[k] = true;
        for (uint32_t c = 0; c < 0x80; c++) {
            uint32_t to = (uint32_t)letters_next(word, n, k, (unsigned char)c);
            if (!to)
                continue;
            if (c > from)
                add(l, k, from, c - 1, 0);
            if (to < n)
                add(l, k, c, c, to);
            from = c + 1;
        }
        add(l, k, from, LAST, 0);
    }
}

/* ---- what two have in common ---- */
typedef struct pairs { uint64_t *pair; uint32_t n, cap; uint32_t *slot; size_t slots; } pairs;

static void place(pairs *p, uint32_t i)
{
    size_t k = (size_t)((p->pair[i] * 0x9e3779b97f4a7c15u) >> 20) & (p->slots - 1);
    while (p->slot[k])
        k = (k + 1) & (p->slots - 1);
    p->slot[k] = i + 1;
}

static uint32_t pair_of(pairs *p, uint32_t a, uint32_t b)
{
    uint64_t key = (uint64_t)a << 32 | b;
    for (size_t k = p->slots ? (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (p->slots - 1) : 0; p->slots && p->slot[k]; k = (k + 1) & (p->slots - 1))
        if (p->pair[p->slot[k] - 1] == key)
            return p->slot[k] - 1;
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->pair = q_realloc(p->pair, sizeof *p->pair * p->cap);
        free(p->slot);
        p->slots = (size_t)p->cap * 4;
        p->slot = q_alloc(sizeof *p->slot * p->slots);
        for (uint32_t i = 0; i < p->n; i++)
            place(p, i);
    }
    p->pair[p->n] = key;
    place(p, p->n);
    return p->n++;
}

int letters_both(const letters *a, const letters *b, letters *out)
{
    size_t *fa = firsts(a), *fb = firsts(b);
    pairs p = { 0 };
    *out = (letters){ 0 };
    pair_of(&p, 0, 0);
    for (uint32_t i = 0; i < p.n && p.n <= LETTERS_STATES; i++) {
        uint32_t x = (uint32_t)(p.pair[i] >> 32), y = (uint32_t)p.pair[i];
        for (size_t e = fa[x]; e < fa[x + 1]; e++)
            for (size_t d = fb[y]; d < fb[y + 1]; d++) {
                const letters_step *s = &a->step[e], *t = &b->step[d];
                uint32_t lo = s->lo > t->lo ? s->lo : t->lo, hi = s->hi < t->hi ? s->hi : t->hi;
                if (lo <= hi)
                    add(out, i, lo, hi, pair_of(&p, s->to, t->to));
            }
    }
    bool large = p.n > LETTERS_STATES || out->n > (size_t)LETTERS_STATES * 8;
    out->states = p.n;
    out->end = q_alloc(sizeof(bool) * (p.n + 1));
    for (uint32_t i = 0; i < p.n; i++)
        out->end[i] = a->end[p.pair[i] >> 32] && b->end[(uint32_t)p.pair[i]];
    free(p.pair);
    free(p.slot);
    free(fa);
    free(fb);
    if (large)
        letters_free(out);
    return large ? Q_RANGE : Q_OK;
}

/* ---- questions ---- */
bool letters_none(const letters *l)
{
    size_t *first = firsts(l);
    uint32_t *todo = q_alloc(sizeof *todo * (l->states + 1)), n = 1;
    bool *seen = q_alloc(sizeof(bool) * (l->states + 1)), none = true;
    seen[0] = true;
    for (uint32_t i = 0; i < n && none; i++) {
        none = !l->end[todo[i]];
        for (size_t e = first[todo[i]]; e < first[todo[i] + 1]; e++)
            if (!seen[l->step[e].to]) {
                seen[l->step[e].to] = true;
                todo[n++] = l->step[e].to;
            }
    }
    free(first);
    free(todo);
    free(seen);
    return none;
}

bool letters_hold(const letters *l, const char *p, size_t n)
{
    size_t *first = firsts(l), size = sizeof(bool) * (l->states + 1);
    bool *now = q_alloc(size), *then = q_alloc(size), ok = false;
    now[0] = true;
    for (size_t at = 0; at < n;) {
        uint32_t c;
        at += (size_t)q_utf8_next(p + at, n - at, &c);
        memset(then, 0, size);
        for (uint32_t s = 0; s < l->states; s++)
            for (size_t e = first[s]; now[s] && e < first[s + 1]; e++)
                if (l->step[e].lo <= c && c <= l->step[e].hi)
                    then[l->step[e].to] = true;
        bool *x = now;
        now = then;
        then = x;
    }
    for (uint32_t s = 0; s < l->states; s++)
        ok |= now[s] && l->end[s];
    free(first);
    free(now);
    free(then);
    return ok;
}

/* ---- into a form ---- */
static void put_control(form *f, uint32_t from, uint32_t c, uint32_t to)
{
    static const char named[] = "\b\t\n\f\r", as[] = "btnfr";
    const char *p = c ? strchr(named, (int)c) : NULL;
    char text[8];
    if (p) {
        text[0] = '\\';
        text[1] = as[p - named];
        form_text(f, from, text, 2, to);
        return;
    }
    memcpy(text, "\\u00", 4);
    text[4] = "0123456789abcdef"[c >> 4];
    text[5] = "0123456789abcdef"[c & 15];
    form_text(f, from, text, 6, to);
}

static void put_range(form *f, enum letters_as as, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    static const uint32_t plain[][2] = { { 0x20, 0x21 }, { 0x23, 0x5B }, { 0x5D, LAST } }, no_slash[][2] = { { 0x20, 0x21 }, { 0x23, '/' - 1 }, { '/' + 1, 0x5B }, { 0x5D, LAST } };
    const uint32_t (*part)[2] = as == LETTERS_TAGGED ? no_slash : plain;
    if (as == LETTERS_RAW) {
        if (hi)                          /* no text of ours has a NUL */
            form_chars(f, from, lo ? lo : 1, hi, to);
        return;
    }
    for (uint32_t c = lo; c < 0x20 && c <= hi; c++)
        put_control(f, from, c, to);
    if (lo <= '"' && '"' <= hi)
        form_text(f, from, "\\\"", 2, to);
    if (lo <= '\\' && '\\' <= hi)
        form_text(f, from, "\\\\", 2, to);
    if (as == LETTERS_TAGGED && lo <= '/' && '/' <= hi)
        form_text(f, from, "\\/", 2, to);
    for (int i = 0; i < (as == LETTERS_TAGGED ? 4 : 3); i++) {
        uint32_t a = lo > part[i][0] ? lo : part[i][0], b = hi < part[i][1] ? hi : part[i][1];
        if (a <= b)
            form_chars(f, from, a, b, to);
    }
}

void letters_put(const letters *l, form *f, enum letters_as as, uint32_t from, uint32_t to)
{
    uint32_t *state = q_alloc(sizeof *state * (l->states + 1));
    for (uint32_t s = 0; s < l->states && !form_full(f); s++)
        state[s] = form_state(f);
    form_skip(f, from, state[0]);
    for (size_t i = 0; i < l->n && !form_full(f); i++)
        put_range(f, as, state[l->step[i].from], l->step[i].lo, l->step[i].hi, state[l->step[i].to]);
    for (uint32_t s = 0; s < l->states; s++)
        if (l->end[s])
            form_skip(f, state[s], to);
    free(state);
}

void letters_put_text(form *f, enum letters_as as, uint32_t from, const char *p, size_t n, uint32_t to)
{
    for (size_t at = 0; at < n;) {
        uint32_t c, next = form_state(f);
        at += (size_t)q_utf8_next(p + at, n - at, &c);
        put_range(f, as, from, c, c, next);
        from = next;
    }
    form_skip(f, from, to);
}
