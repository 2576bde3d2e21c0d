/* engine/make/darts: see darts.h. A unit: bits 0-7 its byte, 8 a key ends here, 10-30 the offset; base = own place ^ offset,
 * child = base ^ byte; the child 0 holds bit 31 and the place of the replacement among the texts. */
#include "engine/make/darts.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 21, PAGE = 256 /* so that no lookup leaves the array */ };

typedef struct node { uint32_t at; size_t lo, hi, depth; } node;   /* entries [lo, hi) agree in depth bytes */
typedef struct maker {
    const darts_entry *e;
    uint32_t *unit, *value;        /* value: [entries] where each one's replacement stands */
    bool *taken, *base;
    size_t n, first;               /* places used; all before first are taken */
    node *todo;
    size_t n_todo, cap;
} maker;

static int by_from(const void *x, const void *y)
{
    const darts_entry *a = x, *b = y;
    int d = strcmp(a->from, b->from);
    return d ? d : (a->rank > b->rank) - (a->rank < b->rank);
}

static int by_to(const void *x, const void *y, void *entries)
{
    const darts_entry *e = entries;
    size_t a = *(const size_t *)x, b = *(const size_t *)y;
    int d = strcmp(e[a].to, e[b].to);
    return d ? d : (a > b) - (a < b);
}

/* Equal replacements are written once, in the order of their first use. */
static void write_texts(maker *m, size_t n, q_buf *texts)
{
    size_t *order = q_alloc((n + 1) * sizeof *order), *same = q_alloc((n + 1) * sizeof *same);
    for (size_t i = 0; i < n; i++) order[i] = i;
    qsort_r(order, n, sizeof *order, by_to, (void *)(uintptr_t)m->e);
    for (size_t i = 0; i < n; i++)
        same[order[i]] = i && strcmp(m->e[order[i]].to, m->e[order[i - 1]].to) == 0 ? same[order[i - 1]] : order[i];
    for (size_t i = 0; i < n; i++) {
        if (same[i] != i) { m->value[i] = m->value[same[i]]; continue; }
        m->value[i] = (uint32_t)texts->len;
        q_buf_add(texts, m->e[i].to, strlen(m->e[i].to) + 1);
    }
    free(order);
    free(same);
}

/* The bytes by which the entries of a node go on, 0 where one ends; how many. */
static int branches(const maker *m, const node *k, unsigned char byte[256], size_t start[257])
{
    int n = 0;
    for (size_t i = k->lo; i < k->hi; i++) {
        unsigned char c = (unsigned char)m->e[i].from[k->depth];
        if (n && byte[n - 1] == c) continue;
        byte[n] = c;
        start[n++] = i;
    }
    start[n] = k->hi;
    return n;
}

static bool fits(const maker *m, uint32_t base, const unsigned char *byte, int n)
{
    if (!base || m->base[base]) return false;
    for (int i = 0; i < n; i++) if ((base ^ byte[i]) >= MOST || m->taken[base ^ byte[i]]) return false;
    return true;
}

/* Places the children of a node; false: no room in the form. */
static bool place(maker *m, node k)
{
    unsigned char byte[256];
    size_t start[257];
    int n = branches(m, &k, byte, start);
    while (m->first < MOST && m->taken[m->first]) m->first++;
    size_t slot = m->first;
    while (slot < MOST && !fits(m, (uint32_t)slot ^ byte[0], byte, n)) slot++;
    if (slot >= MOST) return false;
    uint32_t base = (uint32_t)slot ^ byte[0];
    m->base[base] = true;
    m->unit[k.at] |= (k.at ^ base) << 10 | (byte[0] == 0) << 8;
    for (int i = 0; i < n; i++) {
        uint32_t at = base ^ byte[i];
        m->taken[at] = true;
        if (at >= m->n) m->n = at + 1;
        m->unit[at] = byte[i] ? byte[i] : m->value[start[i]] | 1u << 31;
        if (!byte[i]) continue;
        if (m->n_todo == m->cap) m->todo = q_realloc(m->todo, (m->cap = 2 * m->cap + 64) * sizeof *m->todo);
        m->todo[m->n_todo++] = (node){at, start[i], start[i + 1], k.depth + 1};
    }
    return true;
}

int darts_make(darts_entry *e, size_t n, q_buf *out, char *err)
{
    if (!n) return Q_OK;
    qsort(e, n, sizeof *e, by_from);
    maker m = {.e = e, .n = 1, .first = 1};
    q_buf texts = {0};
    m.unit = q_alloc(MOST * sizeof *m.unit);
    m.value = q_alloc(n * sizeof *m.value);
    m.taken = q_alloc(MOST);
    m.base = q_alloc(MOST);
    m.taken[0] = true;
    write_texts(&m, n, &texts);
    bool ok = place(&m, (node){0, 0, n, 0});
    while (ok && m.n_todo) ok = place(&m, m.todo[--m.n_todo]);
    if (ok) {
        uint32_t bytes = (uint32_t)((m.n + PAGE - 1) / PAGE * PAGE * sizeof *m.unit);
        q_buf_add(out, &bytes, sizeof bytes);
        q_buf_add(out, m.unit, bytes);
        q_buf_add(out, texts.p, texts.len);
    }
    free(m.unit);
    free(m.value);
    free(m.taken);
    free(m.base);
    free(m.todo);
    q_buf_free(&texts);
    return ok ? Q_OK : q_fail(err, Q_RANGE, _("a table of %zu characters is too large for its form"), n);
}
