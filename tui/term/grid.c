/* term/grid: cells, clipping and cutting. Front-end thread; owns only the cell array.
 * A wide character that would straddle the right edge is left out, and one that is half overwritten is blanked, so a
 * row is always exactly w columns. */
#include "tui/term/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(id, name) name,
    TUI_STYLES(X)
#undef X
};

const char *tui_style_name(int st) { return st >= 0 && st < S_N ? names[st] : ""; }

static const tui_cell blank = { .s = " ", .len = 1, .width = 1, .style = S_TEXT };

void tui_grid_size(tui_grid *g, int w, int h)
{
    if (w < 1) w = 1;
    if (h < 1) h = 1;
    if (w > TUI_W_MAX) w = TUI_W_MAX;
    if (h > TUI_H_MAX) h = TUI_H_MAX;
    if (w != g->w || h != g->h) g->c = q_realloc(g->c, sizeof(tui_cell) * (size_t)w * (size_t)h);
    g->w = w;
    g->h = h;
    tui_grid_clear(g);
}

void tui_grid_clear(tui_grid *g)
{
    for (int i = 0; i < g->w * g->h; i++) g->c[i] = blank;
    g->cursor = false;
}

void tui_grid_free(tui_grid *g)
{
    free(g->c);
    memset(g, 0, sizeof *g);
}

/* Makes column x free to take a new cell: the other half of a wide character there becomes a blank. */
static void clear_cell(tui_grid *g, tui_cell *row, int x)
{
    if (row[x].width == 0 && x > 0) { row[x - 1] = blank; row[x] = blank; }
    else if (row[x].width == 2 && x + 1 < g->w) { row[x + 1] = blank; row[x] = blank; }
}

int tui_putn(tui_grid *g, int y, int x, int end, const char *s, size_t n, enum tui_style st)
{
    if (end > g->w) end = g->w;
    if (y < 0 || y >= g->h) return x;
    tui_cell *row = g->c + (size_t)y * (size_t)g->w;
    tui_glyph gl;
    for (size_t i = 0; i < n;) {
        i += tui_glyph_next(s + i, n - i, &gl);
        if (!gl.len) continue;
        if (x + gl.width > end) return x;
        if (x >= 0) {
            clear_cell(g, row, x);
            if (gl.width == 2) clear_cell(g, row, x + 1);
            memset(&row[x], 0, sizeof row[x]);
            memcpy(row[x].s, gl.s, gl.len);
            row[x].len = gl.len;
            row[x].width = gl.width;
            row[x].style = (uint8_t)st;
            if (gl.width == 2) { memset(&row[x + 1], 0, sizeof row[x]); row[x + 1].style = (uint8_t)st; }
        }
        x += gl.width;
    }
    return x;
}

int tui_put(tui_grid *g, int y, int x, int end, const char *s, enum tui_style st)
{
    return tui_putn(g, y, x, end, s, strlen(s), st);
}

int tui_put_cut(tui_grid *g, int y, int x, int end, const char *s, enum tui_style st)
{
    if (end > g->w) end = g->w;
    if (x >= end) return x;
    size_t n = strlen(s), fit = tui_text_fit(s, n, end - x, NULL);
    if (fit == n) return tui_putn(g, y, x, end, s, n, st);
    fit = tui_text_fit(s, n, end - x - 1, NULL);
    x = tui_putn(g, y, x, end - 1, s, fit, st);
    return tui_put(g, y, x, end, "…", st);
}

int tui_put_right(tui_grid *g, int y, int x, int end, const char *s, enum tui_style st)
{
    int w = tui_str_width(s);
    if (end - w < x) return end;
    tui_put(g, y, end - w, end, s, st);
    return end - w;
}

int tui_putf(tui_grid *g, int y, int x, int end, enum tui_style st, const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    return tui_putn(g, y, x, end, buf, q_utf8_whole(buf, strlen(buf)), st);
}

void tui_fill(tui_grid *g, int y, int x, int w, int h, enum tui_style st)
{
    int from = x < 0 ? 0 : x, end = x + w > g->w ? g->w : x + w;
    tui_cell empty = blank;
    empty.style = (uint8_t)st;
    for (int r = y < 0 ? 0 : y; r < y + h && r < g->h && from < end; r++) {
        tui_cell *row = g->c + (size_t)r * (size_t)g->w;
        clear_cell(g, row, from);
        clear_cell(g, row, end - 1);
        for (int c = from; c < end; c++) row[c] = empty;
    }
}

void tui_grid_text(const tui_grid *g, q_buf *out)
{
    for (int y = 0; y < g->h; y++) {
        const tui_cell *row = g->c + (size_t)y * (size_t)g->w;
        int last = g->w;
        while (last > 0 && row[last - 1].len == 1 && row[last - 1].s[0] == ' ') last--;
        for (int x = 0; x < last; x++) q_buf_add(out, row[x].s, row[x].len);
        q_buf_putc(out, '\n');
    }
}
