/* view/page: a page of text over the transcript: help, log, what a command printed. Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the last column of "name  alias  words…" begins: the byte after its last two blanks; 0: it has no columns. */
static size_t last_column(const char *s, size_t n)
{
    size_t at = 0, i = 0;
    while (i < n && s[i] == ' ') i++;
    for (; i + 2 < n; i++) if (s[i] == ' ' && s[i + 1] == ' ' && s[i + 2] != ' ') at = i + 2;
    return at;
}

/* Too little room for the last column of a line: its words go below the name. */
static bool crowded(const char *s, size_t n, size_t at, int w)
{
    enum { LEAST = 24 };
    return at && tui_text_width(s, n) > w && w - tui_text_width(s, at) < LEAST;
}

/* Do so many lines of this block, up to an empty one, go below that all are to do so? A few lines beside many are ragged. */
static bool block_below(const char *s, int w)
{
    int lines = 0, below = 0;
    for (size_t n; *s && (n = strcspn(s, "\n")) > 0; s += n + (s[n] == '\n')) {
        size_t at = last_column(s, n);
        lines += at > 0;
        below += crowded(s, n, at, w);
    }
    return below * 3 >= lines && below > 0;
}

/* Wrapped lines hang under their last column; where that leaves too little room, the words go below the name. */
static void lay_columns(tui_lay *l, const char *s, const char *end, int w)
{
    enum { BELOW = 4 };
    tui_para p = {0};
    bool all = false, begins = true;
    while (s < end && *s) {
        size_t n = strcspn(s, "\n"), at = last_column(s, n);
        int col = tui_text_width(s, at);
        if (begins) all = block_below(s, w);
        begins = n == 0;
        bool below = at && (all || crowded(s, n, at, w));
        char *pad = q_printf("%*s", below ? BELOW : at ? col : tui_text_width(s, strspn(s, " ")), "");
        if (below) {
            size_t name = at;
            while (name && s[name - 1] == ' ') name--;
            tui_para_add(&p, s, name, S_TEXT);
            tui_lay_para(l, &p, w, "", pad, S_TEXT, false);
            tui_para_clear(&p);
        }
        tui_para_add(&p, s + (below ? at : 0), n - (below ? at : 0), S_TEXT);
        tui_lay_para(l, &p, w, below ? pad : "", pad, S_TEXT, false);
        tui_para_clear(&p);
        free(pad);
        s += n + (s[n] == '\n');
    }
    tui_para_free(&p);
}

static void draw(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    tui_page *p = &app->page;
    int w = b.w - 4 > 100 ? 100 : b.w - 4, rows = b.h - 1;
    if (p->width != w) {
        tui_lay_clear(&p->lay);
        const char *s = p->text.p ? p->text.p : "";
        size_t all = strlen(s);
        bool place = p->to > 0 && p->to <= all, opened = p->width == 0;
        lay_columns(&p->lay, s, s + (place ? p->from : all), w);
        p->at = (int)p->lay.n_line;
        if (place) lay_columns(&p->lay, s + p->from, s + p->to, w);
        p->n = place ? (int)p->lay.n_line - p->at : 0;
        if (place) lay_columns(&p->lay, s + p->to + (s[p->to] == '\n'), s + all, w);
        p->width = w;
        if (place && opened) p->top = p->at > 2 ? p->at - 2 : 0;
    }
    if (p->top > (int)p->lay.n_line - rows) p->top = (int)p->lay.n_line - rows;
    if (p->top < 0) p->top = 0;
    int more = (int)p->lay.n_line - rows - p->top;
    char s[32];
    snprintf(s, sizeof s, "%d%%", (int)p->lay.n_line > rows ? 100 * (p->top + rows) / (int)p->lay.n_line : 100);
    view_caption(app, b, p->title ? p->title : "", more > 0 || p->top ? s : NULL, true);
    for (int i = 0; i < p->n; i++)
        if (p->at + i >= p->top && p->at + i < p->top + rows) tui_put(g, b.y + 1 + p->at + i - p->top, b.x, b.x + 1, app->ui.glyphs ? "▎" : ">", S_ACCENT);
    for (int i = 0; i < rows && p->top + i < (int)p->lay.n_line; i++)
        tui_lay_draw(&p->lay, (uint32_t)(p->top + i), g, b.y + 1 + i, b.x + 2, b.x + b.w);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    int by = tui_key_step(k, app->lay.overlay.h > 3 ? app->lay.overlay.h - 2 : 5);
    if (!by && k->code == K_CHAR && k->cp == ' ') by = app->lay.overlay.h - 2;
    app->page.top += by;
    if (app->page.top < 0) app->page.top = 0;
    return by != 0;
}

static void on_event(tui_app *app, agt_event *e)
{
    if (e->kind == AGT_EV_SOURCE && e->text) tui_go_page_at(app, e->name ? e->name : "", e->text, (size_t)e->done, (size_t)e->total);
    if (e->kind != AGT_EV_TEXT) return;
    bool writing = !app->go.focus && app->comp.ed.b.len > 0;
    tui_go_page(app, e->name ? e->name : "", e->text ? e->text : "");
    if (writing) app->go.focus = NULL;       /* it comes while words are typed (a run's plan): they go on */
}

const tui_view view_page = {
    .name = "page", .place = AT_OVER, .types = true, .hint = N_("j k scroll · Esc back"),
    .draw = draw, .on_key = on_key, .on_event = on_event,
};
