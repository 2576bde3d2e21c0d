/* model/rows: where the composer's lines break. Front-end thread. After a change only the rows around it are broken anew,
 * until a row begins where one began before; the rest only moves. So a key in a line of a mebibyte costs a few rows. */
#include "tui/model/edit.h"
#include "tui/term/text.h"

#include <stdlib.h>
#include <string.h>

/* Breaks the row that begins at i; returns where the next one begins, or len + 1 when this is the last. */
static size_t break_row(tui_edit *e, size_t i, tui_row *out)
{
    const char *p = e->b.p ? e->b.p : "", *s;
    size_t n = e->b.len, from = i, space = 0, l;
    int col = 0, cells = e->rows.cells;
    while (i < n) {
        size_t next = tui_edit_step(e, i, &s, &l);
        if (l == 1 && *s == '\n') break;
        int w = tui_text_width(s, l);
        e->rows.work += l;
        if (col + w > cells && i > from) break;
        if (l == 1 && *s == ' ') space = next;
        col += w;
        i = next;
    }
    bool hard = i < n && p[i] == '\n';
    *out = (tui_row){ from, i };
    if (i < n && !hard && space > from) out->to = space;
    return hard ? i + 1 : i >= n ? n + 1 : out->to;
}

static void add_row(tui_row **row, int *n, int *cap, tui_row r)
{
    if (*n == *cap) *row = q_realloc(*row, sizeof **row * (size_t)(*cap = *cap ? 2 * *cap : 64));
    (*row)[(*n)++] = r;
}

/* The last row that begins at or before byte at. */
static int row_of(const tui_rows *r, size_t at)
{
    int lo = 0, hi = r->n - 1;
    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;
        if (r->row[mid].from <= at) lo = mid;
        else hi = mid - 1;
    }
    return lo;
}

static void break_all(tui_edit *e)
{
    tui_rows *r = &e->rows;
    tui_row row;
    r->n = 0;
    for (size_t i = 0; i <= e->b.len;) {
        i = break_row(e, i, &row);
        add_row(&r->row, &r->n, &r->cap, row);
    }
    r->stale = false;
}

static void break_some(tui_edit *e)
{
    tui_rows *r = &e->rows;
    tui_row *fresh = NULL, row;
    int n = 0, cap = 0, first = row_of(r, r->from), old;
    if (first > 0) first--;             /* a shorter word may fit the row above */
    size_t i = r->row[first].from;
    for (old = first;;) {
        i = break_row(e, i, &row);
        add_row(&fresh, &n, &cap, row);
        if (i > e->b.len) { old = r->n; break; }
        if (i < r->new_to) continue;
        size_t was = i - r->new_to + r->old_to;             /* the same byte before the change */
        while (old < r->n && r->row[old].from < was) old++;
        if (old < r->n && r->row[old].from == was) break;
    }
    int rest = r->n - old, want = first + n + rest;
    if (want > r->cap) r->row = q_realloc(r->row, sizeof *r->row * (size_t)(r->cap = want + 64));
    memmove(r->row + first + n, r->row + old, sizeof *r->row * (size_t)rest);
    memcpy(r->row + first, fresh, sizeof *fresh * (size_t)n);
    for (int k = first + n; k < want && r->new_to != r->old_to; k++) {
        r->row[k].from = r->row[k].from - r->old_to + r->new_to;
        r->row[k].to = r->row[k].to - r->old_to + r->new_to;
    }
    r->n = want;
    r->stale = false;
    free(fresh);
}

int tui_edit_rows(tui_edit *e, int cells, tui_row *rows, int max, int *cur_row, int *cur_col)
{
    tui_rows *r = &e->rows;
    if (cells < 2) cells = 2;
    if (r->cells != cells) { r->cells = cells; break_all(e); }
    else if (r->stale) break_some(e);
    for (int i = 0; i < r->n && i < max; i++) rows[i] = r->row[i];
    int row = row_of(r, e->at), col = 0;
    for (size_t i = r->row[row].from; i < e->at;) {
        const char *s;
        size_t l;
        i = tui_edit_step(e, i, &s, &l);
        col += tui_text_width(s, l);
    }
    if (cur_row) *cur_row = row;
    if (cur_col) *cur_col = col < cells ? col : cells;
    return r->n;
}

const tui_row *tui_edit_row(const tui_edit *e, int i) { return &e->rows.row[i]; }

bool tui_edit_vertical(tui_edit *e, int cells, int dir)
{
    int row, col, n = tui_edit_rows(e, cells, NULL, 0, &row, &col), to = row + dir, w = 0;
    if (to < 0 || to >= n) return false;
    tui_row r = e->rows.row[to];
    size_t i = r.from, before = i;
    while (i < r.to) {
        const char *s;
        size_t l, next = tui_edit_step(e, i, &s, &l);
        int cw = tui_text_width(s, l);
        if (w + cw > col) break;
        w += cw;
        before = i;
        i = next;
    }
    /* A soft-wrapped row's end belongs to the next row. */
    if (i == r.to && i > r.from && i < e->b.len && e->b.p[i] != '\n') i = before;
    e->at = i;
    e->typing = false;
    return true;
}
