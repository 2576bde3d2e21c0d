/* tools/diff: what became of a text, line by line. The longest common sequence of lines where that is cheap, else what stands between
 * the beginnings and ends that are equal as one piece. Any thread. */
#include "tools/inside.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { AROUND = 3, CELLS_MAX = 4 << 20 };
typedef struct lines { const char **at; size_t *n; int count; } lines;

static lines cut(const char *p, size_t n)
{
    lines l = { 0 };
    for (const char *end = p + n; p < end; l.count++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if ((l.count & (l.count - 1)) == 0) {
            size_t room = (size_t)(l.count ? 2 * l.count : 1);
            l.at = q_realloc(l.at, sizeof *l.at * room);
            l.n = q_realloc(l.n, sizeof *l.n * room);
        }
        l.at[l.count] = p;
        l.n[l.count] = (size_t)((nl ? nl + 1 : end) - p);
        p = nl ? nl + 1 : end;
    }
    return l;
}

static bool same(const lines *a, int i, const lines *b, int j) { return a->n[i] == b->n[j] && memcmp(a->at[i], b->at[j], a->n[i]) == 0; }

/* One edit: ' ' both, '-' of the old, '+' of the new. */
typedef struct step { char kind; int old, new; } step;
typedef struct steps { step *v; int n; } steps;

static void add(steps *s, char kind, int old, int new) { s->v[s->n++] = (step){ kind, old, new }; }

/* Lines a0.. (n) against b0.. (m) by a table of the lengths of what they have in common. */
static void between(steps *s, const lines *a, int a0, int n, const lines *b, int b0, int m)
{
    int i = 0, j = 0;
    if ((int64_t)(n + 1) * (m + 1) <= CELLS_MAX && n && m) {
        uint32_t *len = q_alloc(sizeof *len * (size_t)(n + 1) * (size_t)(m + 1));
        size_t w = (size_t)m + 1;
        for (int x = n - 1; x >= 0; x--)
            for (int y = m - 1; y >= 0; y--) {
                uint32_t down = len[(size_t)(x + 1) * w + (size_t)y], right = len[(size_t)x * w + (size_t)y + 1];
                len[(size_t)x * w + (size_t)y] = same(a, a0 + x, b, b0 + y) ? 1 + len[(size_t)(x + 1) * w + (size_t)y + 1] : down > right ? down : right;
            }
        while (i < n && j < m)
            if (same(a, a0 + i, b, b0 + j))
                add(s, ' ', a0 + i, b0 + j), i++, j++;
            else if (len[(size_t)(i + 1) * w + (size_t)j] >= len[(size_t)i * w + (size_t)j + 1])
                add(s, '-', a0 + i, b0 + j), i++;
            else
                add(s, '+', a0 + i, b0 + j), j++;
        free(len);
    }
    for (; i < n; i++)
        add(s, '-', a0 + i, b0 + j);
    for (; j < m; j++)
        add(s, '+', a0 + i, b0 + j);
}

static void line(q_buf *out, char kind, const char *p, size_t n)
{
    bool whole = n && p[n - 1] == '\n';
    q_buf_putc(out, kind);
    q_buf_add(out, p, whole ? n - 1 : n);
    q_buf_puts(out, whole ? "\n" : "\n\\ no newline at the end\n");
}

static void show(q_buf *out, const steps *s, const lines *a, const lines *b)
{
    for (int i = 0; i < s->n;) {
        int from = i, last;
        while (from < s->n && s->v[from].kind == ' ')
            from++;
        if (from == s->n)
            return;
        last = from;
        for (int k = from; k < s->n && k <= last + 2 * AROUND; k++)
            if (s->v[k].kind != ' ')
                last = k;
        from = from - AROUND > i ? from - AROUND : i;
        int to = last + AROUND + 1 < s->n ? last + AROUND + 1 : s->n, olds = 0, news = 0;
        for (int k = from; k < to; k++) {
            olds += s->v[k].kind != '+';
            news += s->v[k].kind != '-';
        }
        q_buf_printf(out, "@@ -%d,%d +%d,%d @@\n", s->v[from].old + (olds > 0), olds, s->v[from].new + (news > 0), news);
        for (int k = from; k < to; k++) {
            bool new = s->v[k].kind == '+';
            line(out, s->v[k].kind, new ? b->at[s->v[k].new] : a->at[s->v[k].old], new ? b->n[s->v[k].new] : a->n[s->v[k].old]);
        }
        i = to;
    }
}

void diff_lines(q_buf *out, const char *was, size_t n_was, const char *now, size_t n_now)
{
    lines a = cut(was, n_was), b = cut(now, n_now);
    int head = 0, tail = 0;
    while (head < a.count && head < b.count && same(&a, head, &b, head))
        head++;
    while (tail < a.count - head && tail < b.count - head && same(&a, a.count - 1 - tail, &b, b.count - 1 - tail))
        tail++;
    steps s = { q_alloc(sizeof *s.v * (size_t)(a.count + b.count + 1)), 0 };
    for (int i = 0; i < head; i++)
        add(&s, ' ', i, i);
    between(&s, &a, head, a.count - head - tail, &b, head, b.count - head - tail);
    for (int i = 0; i < tail; i++)
        add(&s, ' ', a.count - tail + i, b.count - tail + i);
    q_buf_puts(out, "");
    show(out, &s, &a, &b);
    free(s.v);
    free(a.at);
    free(a.n);
    free(b.at);
    free(b.n);
}
