/* term/svg: the grid as a picture for people without this terminal. Front-end thread; writes one file, atomically.
 * Each run of equal style is one <text> with its exact width, so that any monospaced font keeps the columns. */
#include "tui/term/theme.h"

#include <string.h>

enum { CW = 9, CH = 19, PAD = 12 };

static void escape(q_buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        switch (s[i]) {
        case '&': q_buf_puts(b, "&amp;"); break;
        case '<': q_buf_puts(b, "&lt;"); break;
        case '>': q_buf_puts(b, "&gt;"); break;
        case '"': q_buf_puts(b, "&quot;"); break;
        default: q_buf_putc(b, s[i]);
        }
}

static void run_out(q_buf *b, const tui_theme *t, int x, int y, int cells, int st, const char *s, size_t n)
{
    const tui_look *l = &t->rgb[st];
    int fg = l->fg < 0 ? t->ink : l->fg, bg = l->bg;
    if (l->attr & LOOK_REVERSE) { bg = fg; fg = l->bg < 0 ? t->paper : l->bg; }
    if (bg >= 0)
        q_buf_printf(b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%06x\"/>\n", PAD + x * CW, PAD + y * CH,
                     cells * CW, CH, bg);
    bool empty = true;
    for (size_t i = 0; i < n; i++) if (s[i] != ' ') empty = false;
    if (empty) return;
    q_buf_printf(b, "<text x=\"%d\" y=\"%d\" textLength=\"%d\" fill=\"#%06x\"%s%s%s%s>", PAD + x * CW, PAD + y * CH + 14,
                 cells * CW, fg, l->attr & LOOK_BOLD ? " font-weight=\"bold\"" : "",
                 l->attr & LOOK_ITALIC ? " font-style=\"italic\"" : "",
                 l->attr & LOOK_UNDERLINE ? " text-decoration=\"underline\"" : "", l->attr & LOOK_DIM ? " opacity=\"0.7\"" : "");
    escape(b, s, n);
    q_buf_puts(b, "</text>\n");
}

int tui_svg(const tui_grid *g, const tui_theme *t, const char *path, char *err)
{
    q_buf b = {0}, run = {0};
    int w = g->w * CW + 2 * PAD, h = g->h * CH + 2 * PAD;
    q_buf_printf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
                 "font-family=\"DejaVu Sans Mono,Liberation Mono,Menlo,Consolas,monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
                 "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#%06x\"/>\n", w, h, w, h, t->paper);
    for (int y = 0; y < g->h; y++) {
        const tui_cell *row = g->c + (size_t)y * (size_t)g->w;
        for (int x = 0; x < g->w;) {
            int st = row[x].style, x0 = x;
            q_buf_clear(&run);
            while (x < g->w && row[x].style == st) { q_buf_add(&run, row[x].s, row[x].len); x++; }
            run_out(&b, t, x0, y, x - x0, st, run.p, run.len);
        }
    }
    if (g->cursor)
        q_buf_printf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%06x\" opacity=\"0.6\"/>\n", PAD + g->cx * CW,
                     PAD + g->cy * CH + 1, CW, CH - 2, t->ink);
    q_buf_puts(&b, "</svg>\n");
    int rc = q_write_file_atomic(path, b.p, b.len, err);
    q_buf_free(&b);
    q_buf_free(&run);
    return rc;
}
