/* model/table: widths of columns and lines of rows. Front-end thread. */
#include "tui/model/table.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST = 4, GAP = 3 };            /* columns of a cell at least; of " │ " */

void tui_table_free(tui_table *t)
{
    for (int i = 0; i < t->n; i++) tui_para_free(&t->cell[i]);
    free(t->cell);
    free(t->align);
    memset(t, 0, sizeof *t);
}

void tui_table_begin(tui_table *t, int cols)
{
    tui_table_free(t);
    t->cols = cols;
    t->align = q_alloc((size_t)(cols > 0 ? cols : 1));
}

void tui_table_cell(tui_table *t, tui_para *cell, enum tui_align a)
{
    if (t->n == t->cap) t->cell = q_realloc(t->cell, sizeof *t->cell * (size_t)(t->cap = t->cap ? 2 * t->cap : 32));
    if (t->n < t->cols) t->align[t->n] = (uint8_t)a;
    t->cell[t->n++] = *cell;
    memset(cell, 0, sizeof *cell);
}

static int width_of(const tui_para *p) { return tui_text_width(p->text.p ? p->text.p : "", p->text.len); }

/* As wide as the widest cell, then narrowed from the widest on until all fit. False: they cannot. */
static bool widths(const tui_table *t, int room, int *w)
{
    int total = GAP * (t->cols - 1);
    for (int c = 0; c < t->cols; c++) {
        w[c] = LEAST;
        for (int i = c; i < t->n; i += t->cols) if (width_of(&t->cell[i]) > w[c]) w[c] = width_of(&t->cell[i]);
        total += w[c];
    }
    while (total > room) {
        int big = 0, next = LEAST;
        for (int c = 1; c < t->cols; c++) if (w[c] > w[big]) big = c;
        if (w[big] == LEAST) return false;
        for (int c = 0; c < t->cols; c++) if (c != big && w[c] > next && w[c] <= w[big]) next = w[c];
        int by = w[big] - next;             /* down to the next widest at once */
        if (by < 1) by = 1;
        if (by > total - room) by = total - room;
        w[big] -= by;
        total -= by;
    }
    return true;
}

static void blanks(tui_para *p, int n) { for (; n > 0; n--) tui_para_add(p, " ", 1, S_ANSWER); }

/* Line k of a wrapped cell, filled up to its column's width. */
static void cell_line(tui_para *p, const tui_lay *cell, uint32_t k, int width, enum tui_align a, bool last)
{
    int used = 0;
    const tui_line *ln = k < cell->n_line ? &cell->line[k] : NULL;
    for (uint32_t i = 0; ln && i < ln->n; i++) used += tui_text_width(cell->text.p + cell->span[ln->span + i].off, cell->span[ln->span + i].len);
    int before = a == TUI_RIGHT ? width - used : a == TUI_CENTRE ? (width - used) / 2 : 0;
    blanks(p, before);
    for (uint32_t i = 0; ln && i < ln->n; i++) {
        const tui_span *s = &cell->span[ln->span + i];
        tui_para_add(p, cell->text.p + s->off, s->len, (enum tui_style)s->style);
    }
    if (!last) blanks(p, width - before - used);
}

static void row(const tui_table *t, int first, const int *w, tui_lay *l, int width, const char *indent, enum tui_style indent_style)
{
    tui_lay *cell = q_alloc(sizeof *cell * (size_t)t->cols);
    tui_para p = {0};
    uint32_t lines = 1;
    for (int c = 0; c < t->cols; c++) {
        tui_lay_para(&cell[c], &t->cell[first + c], w[c], "", "", S_ANSWER, false);
        if (cell[c].n_line > lines) lines = cell[c].n_line;
    }
    for (uint32_t k = 0; k < lines; k++) {
        for (int c = 0; c < t->cols; c++) {
            cell_line(&p, &cell[c], k, w[c], (enum tui_align)t->align[c], c + 1 == t->cols);
            if (c + 1 < t->cols) tui_para_add(&p, " │ ", 5, S_RULE);
        }
        tui_lay_para(l, &p, width, indent, indent, indent_style, true);
        tui_para_clear(&p);
    }
    for (int c = 0; c < t->cols; c++) tui_lay_free(&cell[c]);
    free(cell);
    tui_para_free(&p);
}

static void rule(const tui_table *t, const int *w, tui_lay *l, int width, const char *indent, enum tui_style indent_style)
{
    tui_para p = {0};
    for (int c = 0; c < t->cols; c++) {
        for (int k = 0; k < w[c]; k++) tui_para_add(&p, "─", 3, S_RULE);
        if (c + 1 < t->cols) tui_para_add(&p, "─┼─", 9, S_RULE);
    }
    tui_lay_para(l, &p, width, indent, indent, indent_style, true);
    tui_para_free(&p);
}

static void add_all(tui_para *to, const tui_para *from)
{
    for (int m = 0; m < from->n; m++) {
        size_t at = from->mark[m].at, end = m + 1 < from->n ? from->mark[m + 1].at : from->text.len;
        tui_para_add(to, from->text.p + at, end - at, (enum tui_style)from->mark[m].style);
    }
}

/* Too many columns for the width: each row as lines of "head: cell". */
static void records(const tui_table *t, tui_lay *l, int width, const char *indent, enum tui_style indent_style)
{
    char *more = q_printf("%s  ", indent);
    for (int i = t->cols; i + t->cols <= t->n; i += t->cols)
        for (int c = 0; c < t->cols; c++) {
            tui_para p = {0};
            add_all(&p, &t->cell[c]);
            tui_para_add(&p, ": ", 2, S_RULE);
            add_all(&p, &t->cell[i + c]);
            tui_lay_para(l, &p, width, c ? more : indent, more, indent_style, false);
            tui_para_free(&p);
        }
    free(more);
}

void tui_table_lay(tui_table *t, tui_lay *l, int width, const char *indent, enum tui_style indent_style, bool head)
{
    if (t->cols < 1 || t->n < t->cols) return;
    int *w = q_alloc(sizeof *w * (size_t)t->cols);
    if (!widths(t, width - tui_str_width(indent), w)) records(t, l, width, indent, indent_style);
    else
        for (int i = head ? 0 : t->cols; i + t->cols <= t->n; i += t->cols) {
            row(t, i, w, l, width, indent, indent_style);
            if (i == 0) rule(t, w, l, width, indent, indent_style);
        }
    free(w);
}
