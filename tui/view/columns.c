/* view/columns: two configurations side by side over the transcript: one text that both foretell, or the answers of both. A
 * token's shade says how much likelier it is on its own side; the far ones have a mark too, for a screen without colour.
 * Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 22, NUMBER_ROWS = 3, ROOMY = 50 };    /* cells of a column, below that they stand one under the other */
static const float FAR = 1, SOME = .25f; /* nats */

/* ---- laying out ---- */
static enum tui_style shade(float over)
{
    return isnan(over) ? S_TEXT : over > FAR ? S_MORE2 : over > SOME ? S_MORE1 : over < -FAR ? S_LESS2 : over < -SOME ? S_LESS1 : S_TEXT;
}

/* A piece, its line breaks ending lines of their own. */
static void add_piece(tui_lay *l, tui_para *p, int w, const char *s, enum tui_style st)
{
    for (;;) {
        size_t n = strcspn(s, "\n");
        tui_para_add(p, s, n, st);
        if (!s[n]) return;
        tui_lay_para(l, p, w, "", "", S_TEXT, false);
        tui_para_clear(p);
        s += n + 1;
    }
}

static void flush(tui_lay *l, tui_para *p, int w)
{
    if (p->text.len) tui_lay_para(l, p, w, "", "", S_TEXT, false);
    tui_para_clear(p);
}

/* Over a nat likelier than on the other side, 1, or less likely, -1. */
static int far_off(const lab_piece *t) { return isnan(t->over) || fabsf(t->over) <= FAR || !*t->text ? 0 : t->over > 0 ? 1 : -1; }

/* In a narrow column a run of tokens that are all of them likelier is marked once, at its end. */
static void lay_pieces(const tui_app *app, tui_lay *l, const lab_column *c, int from, int to, int differs, int w)
{
    tui_para p = {0};
    const char *up = app->ui.glyphs ? "⁺" : "+", *down = app->ui.glyphs ? "⁻" : "-";
    for (int i = from; i < to; i++) {
        const lab_piece *t = &c->piece[i];
        const char *s = t->text + (i == from && i ? strspn(t->text, " ") : 0);      /* a line that was begun for it does not begin with a blank */
        int far = far_off(t);
        add_piece(l, &p, w, s, i == differs ? S_DIFF : shade(t->over));
        if (far && (w >= ROOMY || i + 1 >= to || far_off(&c->piece[i + 1]) != far)) tui_para_add(&p, t->over > 0 ? up : down, strlen(t->over > 0 ? up : down), shade(t->over));
    }
    flush(l, &p, w);
    tui_para_free(&p);
}

static void pad(tui_lay *l, uint32_t lines)
{
    tui_para none = {0};
    while (l->n_line < lines) tui_lay_para(l, &none, 10, "", "", S_TEXT, false);
    tui_para_free(&none);
}

static void lay_both(tui_app *app, int w)
{
    tui_columns *k = &app->columns;
    const lab_columns *c = &k->c;
    bool split = c->answers && c->first >= 0;            /* one text stands aligned by itself */
    for (int s = 0; s < 2; s++) {
        const lab_column *col = &c->side[s];
        tui_lay_clear(&k->lay[s]);
        lay_pieces(app, &k->lay[s], col, 0, split ? c->first : col->n, c->first, w);
    }
    uint32_t lines = k->lay[0].n_line > k->lay[1].n_line ? k->lay[0].n_line : k->lay[1].n_line;
    for (int s = 0; s < 2 && split; s++) {
        pad(&k->lay[s], lines);
        lay_pieces(app, &k->lay[s], &c->side[s], c->first, c->side[s].n, c->first, w);
    }
}

static char *name_of(const lab_columns *c, int s)
{
    const char *letter = c->answers ? s ? "2" : "1" : s ? "B" : "A";
    return c->side[s].name ? q_printf("%s  %s", letter, c->side[s].name) : q_strdup(letter);
}

/* One under the other, in lay[0]. */
static void lay_stacked(tui_app *app, int w)
{
    tui_columns *k = &app->columns;
    tui_lay *l = &k->lay[0];
    tui_lay_clear(l);
    tui_lay_clear(&k->lay[1]);
    for (int s = 0; s < 2; s++) {
        char *name = name_of(&k->c, s), *numbers = lab_column_numbers(&k->c.side[s]);
        if (s) tui_lay_blank(l);
        tui_lay_plain(l, name, strlen(name), w, "", S_TITLE);
        lay_pieces(app, l, &k->c.side[s], 0, k->c.side[s].n, k->c.first, w);
        if (!k->c.blind) tui_lay_plain(l, numbers, strlen(numbers), w, "", S_DIM);
        free(name);
        free(numbers);
    }
}

/* ---- drawing ---- */
static const char *below(const lab_columns *c)
{
    return c->note ? c->note : _("⁺ ⁻ over a nat likelier, less likely than on the other side · marked: the likeliest token differs here first");
}

static int rows_of(const char *text, int w, int most)
{
    tui_lay l = {0};
    tui_lay_plain(&l, text, strlen(text), w, "", S_DIM);
    int n = (int)l.n_line < most ? (int)l.n_line : most;
    tui_lay_free(&l);
    return n;
}

static void draw_text(tui_app *app, tui_box b, int y, int rows, int w, bool stacked)
{
    tui_columns *k = &app->columns;
    tui_grid *g = &app->grid;
    for (int i = 0; i < rows; i++)
        for (int s = 0; s < (stacked ? 1 : 2); s++)
            if (k->top + i < (int)k->lay[s].n_line)
                tui_lay_draw(&k->lay[s], (uint32_t)(k->top + i), g, y + i, b.x + 1 + s * (w + 3), b.x + 1 + s * (w + 3) + w);
}

static int numbers(tui_app *app, tui_box b, int w, int y, bool draw)     /* rows they take */
{
    const lab_columns *c = &app->columns.c;
    int most = 0;
    for (int s = 0; s < 2 && !c->blind; s++) {
        char *text = lab_column_numbers(&c->side[s]);
        int n = rows_of(text, w, NUMBER_ROWS);
        tui_box in = { b.x + 1 + s * (w + 3), y, w + 1, n };
        if (draw) view_words(app, in, y, 0, text, S_DIM);
        most = n > most ? n : most;
        free(text);
    }
    return most;
}

static void draw(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    tui_columns *k = &app->columns;
    bool stacked = b.w < 2 * LEAST + 5;
    int w = stacked ? b.w - 2 : (b.w - 5) / 2, wide = stacked ? -w : w;
    if (k->width != wide) {
        (stacked ? lay_stacked : lay_both)(app, w);
        k->width = wide;
    }
    int note = rows_of(below(&k->c), b.w - 2, 2), foot = stacked ? 0 : numbers(app, b, w, 0, false);
    int y = b.y + (stacked ? 1 : 2), end = b.y + b.h - note - foot, rows = end - y > 1 ? end - y : 1;
    int lines = (int)(k->lay[0].n_line > k->lay[1].n_line ? k->lay[0].n_line : k->lay[1].n_line);
    if (k->top > lines - rows) k->top = lines - rows;
    if (k->top < 0) k->top = 0;
    char s[32];
    snprintf(s, sizeof s, "%d%%", lines > rows ? 100 * (k->top + rows) / lines : 100);
    view_caption(app, b, k->c.answers ? _("Two answers") : _("One text, two configurations"), lines > rows ? s : NULL, true);
    for (int i = 0; i < 2 && !stacked; i++) {
        char *name = name_of(&k->c, i);
        tui_put_cut(g, b.y + 1, b.x + 1 + i * (w + 3), b.x + 1 + i * (w + 3) + w, name, S_TITLE);
        free(name);
    }
    for (int i = b.y + 1; i < end + foot && !stacked; i++) tui_put(g, i, b.x + w + 2, b.x + w + 3, app->ui.glyphs ? "│" : "|", S_RULE);
    draw_text(app, b, y, rows, w, stacked);
    if (!stacked) numbers(app, b, w, end, true);
    tui_box last = { b.x, end + foot, b.w, note };
    view_words(app, last, end + foot, 1, below(&k->c), k->c.note ? S_ACCENT : S_DIM);
}

/* ---- keys, events ---- */
static bool on_key(tui_app *app, const tui_key *k)
{
    tui_columns *c = &app->columns;
    int page = app->lay.overlay.h > 6 ? app->lay.overlay.h - 5 : 5, by = tui_key_step(k, page);
    if (!by && k->code == K_CHAR && k->cp == ' ') by = page;
    if (k->code == K_CHAR && c->c.answers && !k->alt && (k->cp == '1' || k->cp == '2' || k->cp == '=')) {
        agt_submit(app->a, k->cp == '1' ? "/prefer 1" : k->cp == '2' ? "/prefer 2" : "/prefer same");
        return true;
    }
    c->top += by;
    if (c->top < 0) c->top = 0;
    return by != 0;
}

static const char *keys(const tui_app *app)
{
    const lab_columns *c = &app->columns.c;
    return c->answers && c->first >= 0 ? _("1 2 which is better · = neither · j k scroll · Esc back") : _("j k scroll · Esc back");
}

static void on_event(tui_app *app, agt_event *e)
{
    if (e->kind != AGT_EV_COLUMNS || !e->columns) return;
    tui_columns *k = &app->columns;
    const tui_view *page = tui_view_named(app, "page");
    bool numbers = app->go.over == page && !e->columns->answers;     /* one Esc brings the page of numbers, the next the conversation */
    bool again = app->go.over == &view_columns;
    lab_columns_free(&k->c);
    k->c = *e->columns;
    *e->columns = (lab_columns){ .first = -1 };
    k->width = 0;
    if (!again) k->top = 0;
    if (!again) tui_go_open(app, &view_columns);
    app->go.page_old = false;
    if (numbers) app->go.back = page;
}

const tui_view view_columns = {
    .name = "columns", .place = AT_OVER, .types = true, .hint = N_("j k scroll · Esc back"), .keys = keys,
    .draw = draw, .on_key = on_key, .on_event = on_event,
};
