/* view/map: the picture of the present configuration over the transcript: a row a layer. Front-end thread; draws what agt_map
 * wrote for this width. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Where a terminal lacks the glyphs, what stands for them; and how each is dressed in a layer's row. */
static const struct { const char *glyph, *plain; enum tui_style style; } look[] = {
    { "●", "o", S_TEXT }, { "◐", "c", S_TEXT }, { "○", ".", S_WARN }, { "×", "x", S_WARN }, { "P", "P", S_ACCENT }, { "·", ".", S_FAINT },
    { "▕", "[", S_DIM }, { "▏", "]", S_DIM }, { "█", "#", S_BAR }, { "░", "-", S_FAINT } };

static void line(tui_app *app, int y, int x, int end, const char *s, size_t n)
{
    size_t digits = strspn(s, " ");
    bool row = digits < 4 && isdigit((unsigned char)s[digits]);
    for (size_t i = 0; i < n && x < end;) {
        uint32_t cp;
        size_t len = (size_t)q_utf8_next(s + i, n - i, &cp), k = 0;
        while (k < sizeof look / sizeof *look && !(strlen(look[k].glyph) == len && memcmp(s + i, look[k].glyph, len) == 0)) k++;
        bool known = k < sizeof look / sizeof *look && (row || len > 2);
        if (known && !app->ui.glyphs) x = tui_put(&app->grid, y, x, end, look[k].plain, look[k].style);
        else x = tui_putn(&app->grid, y, x, end, s + i, len, known ? look[k].style : row && i < 4 ? S_DIM : S_TEXT);
        i += len;
    }
}

static void draw(tui_app *app, tui_box b)
{
    char *text = agt_map(app->a, b.w - 2), *s = text;
    int n = 0, rows = b.h - 1, *top = &tui_cursor_of(app, &view_map)->top;
    for (const char *p = text; *p; p++) n += *p == '\n';
    view_caption(app, b, _("Map"), NULL, true);
    if (*top > n - rows) *top = n - rows;
    if (*top < 0) *top = 0;
    for (int i = 0; i < n; i++) {
        size_t len = strcspn(s, "\n");
        if (i >= *top && i < *top + rows) line(app, b.y + 1 + i - *top, b.x + 1, b.x + b.w, s, len);
        s += len + 1;
    }
    free(text);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    int by = tui_key_step(k, app->lay.overlay.h > 3 ? app->lay.overlay.h - 2 : 5);
    tui_cursor_of(app, &view_map)->top += by;
    return by != 0;
}

static void opened(tui_app *app) { tui_cursor_of(app, &view_map)->top = 0; }

const tui_view view_map = {
    .name = "map", .action = AGT_UI_MAP, .place = AT_OVER, .types = true, .hint = N_("j k scroll · Esc back"),
    .draw = draw, .on_key = on_key, .opened = opened,
};
