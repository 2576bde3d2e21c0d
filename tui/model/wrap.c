/* model/wrap: breaking paragraphs into lines. Front-end thread. Each byte is looked at a fixed number of times, so the
 * cost is linear in what is added; nothing already laid out is touched. */
#include "tui/model/wrap.h"

#include <stdlib.h>
#include <string.h>

void tui_para_add(tui_para *p, const char *s, size_t n, enum tui_style st)
{
    if (!n) return;
    if (!p->n || p->mark[p->n - 1].style != st) {
        if (p->n == p->cap) p->mark = q_realloc(p->mark, sizeof *p->mark * (size_t)(p->cap = p->cap ? 2 * p->cap : 8));
        p->mark[p->n].at = p->text.len;
        p->mark[p->n++].style = (uint8_t)st;
    }
    q_buf_add(&p->text, s, n);
}

void tui_para_clear(tui_para *p) { q_buf_clear(&p->text); p->n = 0; }
void tui_para_free(tui_para *p) { q_buf_free(&p->text); free(p->mark); memset(p, 0, sizeof *p); }

void tui_lay_free(tui_lay *l)
{
    q_buf_free(&l->text);
    free(l->span);
    free(l->line);
    memset(l, 0, sizeof *l);
}

void tui_lay_clear(tui_lay *l) { q_buf_clear(&l->text); l->n_span = l->n_line = l->signs = 0; }

tui_lay_mark tui_lay_here(const tui_lay *l) { return (tui_lay_mark){ l->text.len, l->n_span, l->n_line, l->signs }; }

void tui_lay_back(tui_lay *l, tui_lay_mark m)
{
    l->text.len = m.text;
    if (l->text.p) l->text.p[m.text] = 0;
    l->n_span = m.span;
    l->n_line = m.line;
    l->signs = m.signs;
}

static void add_line(tui_lay *l)
{
    if (l->n_line == l->cap_line) l->line = q_realloc(l->line, sizeof *l->line * (l->cap_line = l->cap_line ? 2 * l->cap_line : 16));
    l->line[l->n_line++] = (tui_line){ l->n_span, 0, l->signs };
}

static void add_span(tui_lay *l, const char *s, size_t n, uint8_t style)
{
    if (!n) return;
    if (l->n_span == l->cap_span) l->span = q_realloc(l->span, sizeof *l->span * (l->cap_span = l->cap_span ? 2 * l->cap_span : 32));
    l->signs += style >= S_MARK && n >= 3 && memcmp(s, "⟨", 3) == 0;
    l->span[l->n_span++] = (tui_span){ (uint32_t)l->text.len, (uint32_t)n, style };
    q_buf_add(&l->text, s, n);
    l->line[l->n_line - 1].n++;
}

/* Spans of p's bytes [from, to); *m remembers the mark reached, as lines come in order. */
static void add_styled(tui_lay *l, const tui_para *p, size_t from, size_t to, int *m)
{
    while (from < to) {
        while (*m + 1 < p->n && p->mark[*m + 1].at <= from) ++*m;
        size_t end = *m + 1 < p->n && p->mark[*m + 1].at < to ? p->mark[*m + 1].at : to;
        add_span(l, p->text.p + from, end - from, p->mark[*m].style);
        from = end;
    }
}

void tui_lay_para(tui_lay *l, const tui_para *p, int width, const char *first, const char *rest, enum tui_style prefix, bool pre)
{
    const char *s = p->text.p ? p->text.p : "";
    size_t n = p->text.len, i = 0;
    int m = 0;
    bool head = true;
    tui_glyph g;
    l->work += n;
    do {
        const char *pf = head ? first : rest;
        int cells = width - tui_str_width(pf), col = 0;
        if (cells < 4) cells = 4;
        size_t from = i, brk = 0;
        bool prev_wide = false;
        while (i < n && s[i] != '\n') {
            size_t k = tui_glyph_next(s + i, n - i, &g);
            if (!pre && s[i] == ' ') {                       /* blanks may hang over the edge unseen */
                col++;
                i += k;
                brk = i;
                continue;
            }
            if (prev_wide || g.width == 2) { if (i > from && !pre) brk = i; }
            prev_wide = g.width == 2;
            if (col + g.width > cells && i > from) {
                if (!pre && brk > from) i = brk;
                break;
            }
            col += g.width;
            i += k;
        }
        size_t to = i;
        bool hard = i < n && s[i] == '\n';
        if (!pre) while (to > from && s[to - 1] == ' ') to--;
        add_line(l);
        add_span(l, pf, strlen(pf), (uint8_t)prefix);
        add_styled(l, p, from, to, &m);
        head = false;
        if (hard) { i++; if (i == n) break; }
        else if (!pre) while (i < n && s[i] == ' ') i++;
    } while (i < n);
}

void tui_lay_plain(tui_lay *l, const char *s, size_t n, int width, const char *indent, enum tui_style st)
{
    tui_para p = {0};
    tui_para_add(&p, s, n, st);
    tui_lay_para(l, &p, width, indent, indent, st, false);
    tui_para_free(&p);
}

void tui_lay_blank(tui_lay *l)
{
    if (l->n_line && l->line[l->n_line - 1].n) add_line(l);
}

int tui_lay_draw(const tui_lay *l, uint32_t line, tui_grid *g, int y, int x, int end)
{
    const tui_line *ln = &l->line[line];
    for (uint32_t i = 0; i < ln->n; i++) {
        const tui_span *sp = &l->span[ln->span + i];
        x = tui_putn(g, y, x, end, l->text.p + sp->off, sp->len, (enum tui_style)sp->style);
    }
    return x;
}
