/* view/common: captions, fractions and bars that several views share. Front-end thread; draws only inside its box. */
#include "tui/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The caption of a pane: dim, or in the accent colour with the focus. Returns the column after the title. */
int view_caption(tui_app *app, tui_box b, const char *title, const char *right, bool focused)
{
    tui_grid *g = &app->grid;
    int end = b.x + b.w, from = right && *right ? tui_put_right(g, b.y, b.x + 3 + tui_str_width(title), end - 1, right, S_DIM) : end;
    return tui_put_cut(g, b.y, b.x + 1, from - 1, title, focused ? S_ACCENT : S_TITLE);
}

int view_words(tui_app *app, tui_box b, int y, int indent, const char *text, enum tui_style st)
{
    tui_lay l = {0};
    tui_lay_plain(&l, text, strlen(text), b.w - indent - 1, "", st);
    for (uint32_t i = 0; i < l.n_line && y < b.y + b.h; i++, y++) tui_lay_draw(&l, i, &app->grid, y, b.x + indent, b.x + b.w);
    tui_lay_free(&l);
    return y;
}

char *view_newest(const char *chain, int cells)
{
    enum { LEAST = 12 };
    static const char own[] = "standard";    /* as it is stored */
    size_t n_own = sizeof own - 1;
    size_t letter = chain[0] == 'a' && chain[1] == ' ' ? 2 : 0;      /* view_lettered put it there */
    bool begins = strncmp(chain + letter, own, n_own) == 0 && (!chain[letter + n_own] || chain[letter + n_own] == ' ');
    char *said = begins ? q_printf("%.*s%s%s", (int)letter, chain, _("standard"), chain + letter + n_own) : q_strdup(chain);
    const char *p = said, *next;
    int before = 0;                          /* cells of "… " */
    while (tui_str_width(p) + before > cells && (next = strstr(p, " → "))) {
        p = next + 1;
        before = 2;
    }
    if (before && cells < LEAST && tui_str_width(p) + before > cells) p += strlen("→ "), before = 0;    /* the change itself, then */
    q_buf b = {0};
    q_buf_puts(&b, before ? "… " : "");
    size_t n = strlen(p), fit = tui_text_fit(p, n, cells - before, NULL);
    if (fit < n) fit = tui_text_fit(p, n, cells - before - 1, NULL);
    q_buf_add(&b, p, fit);
    if (fit < n) q_buf_puts(&b, "…");
    free(said);
    return q_buf_take(&b);
}

char *view_lettered(const tui_item *it, const char *chain)
{
    static const char arrow[] = " → ";
    bool own = true;
    for (int i = 0; i < it->n_made; i++) own = own && !it->made[i].letter;
    if (own) return q_strdup(chain);
    q_buf b = {0};
    for (int i = 0; i < it->n_made; i++) {
        if (it->made[i].call) continue;
        const char *next = strstr(chain, arrow);
        size_t n = next ? (size_t)(next - chain) : strlen(chain);
        q_buf_printf(&b, "%s%c ", i ? arrow : "", tui_letter(it->made[i].letter));
        q_buf_add(&b, chain, n);
        if (!next) break;
        chain = next + sizeof arrow - 1;
    }
    return q_buf_take(&b);
}

int view_first_row(int sel, int rows, int n)
{
    int top = sel >= rows ? sel - rows + 1 : 0;
    if (top > n - rows) top = n - rows;
    return top < 0 ? 0 : top;
}

void view_when(int64_t ms, char out[16])
{
    time_t t = (time_t)(ms / 1000), now = (time_t)(q_wall_ms() / 1000);
    struct tm a, b;
    out[0] = 0;
    if (!ms || !localtime_r(&t, &a) || !localtime_r(&now, &b)) return;
    bool today = a.tm_year == b.tm_year && a.tm_yday == b.tm_yday;
    strftime(out, 16, today ? "%H:%M" : a.tm_year == b.tm_year ? "%d.%m" : "%d.%m.%y", &a);
}

const char *view_frac(char out[8], double v)
{
    if (isnan(v)) return strcpy(out, "–");
    unsigned n = v <= 0 ? 0 : v > 99 ? 9900 : (unsigned)(v * 100 + 0.5);
    if (n < 100) snprintf(out, 8, ".%02u", n % 100);
    else snprintf(out, 8, "%u.%u", (n + 5) / 100 % 100, (n + 5) / 10 % 10);
    return out;
}

const char *view_count(char out[16], double v)
{
    static const struct { double unit; char name; } scale[] = { { 1e12, 'T' }, { 1e9, 'B' }, { 1e6, 'M' }, { 1e3, 'K' } };
    for (size_t i = 0; i < sizeof scale / sizeof *scale; i++) {
        double x = v / scale[i].unit;
        if (x < 1) continue;
        unsigned tenths = x > 1e6 ? 10000000 : (unsigned)(x * 10 + 0.5);
        if (x < 9.95) snprintf(out, 16, "%u.%u%c", tenths / 10 % 10, tenths % 10, scale[i].name);
        else snprintf(out, 16, "%u%c", (tenths + 4) / 10, scale[i].name);
        return out;
    }
    snprintf(out, 16, "%u", v > 0 ? (unsigned)(v + 0.5) : 0);
    return out;
}

const char *view_glyph8(const tui_app *app, double v)
{
    static const char *const bar[8] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    static const char *const plain[8] = { ".", ".", ":", ":", "*", "*", "#", "#" };
    int i = isnan(v) || v < 0 ? 0 : v >= 1 ? 7 : (int)(v * 8);
    return app->ui.glyphs ? bar[i] : plain[i];
}
