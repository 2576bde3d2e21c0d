/* view/experts: how far each expert is from its own usual rate, a row a layer; the same in one line (the strip).
 * Front-end thread; draws what agt_get_routing copied. Expert numbers mean nothing across layers: nothing is summed over
 * layers. Legible without colour: the sign says it too. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOOT = 4, CELLS_MAX = 24 };          /* now, strange, repeat, legend; a character an expert up to so many */
enum form { FORM_CELLS, FORM_BRAILLE, FORM_QUARTERS };
enum { PAIR_COLUMNS = 6, DETAIL = 14 /* columns of a row's numbers */ };

static const char *const sign[5] = { "=", "-", "·", "+", "#" };
static const enum tui_style sign_style[5] = { S_LESS2, S_LESS1, S_USUAL, S_MORE1, S_MORE2 };
static int at(int dev) { return dev < -2 ? 0 : dev > 2 ? 4 : dev + 2; }

static enum form form_of(const tui_app *app)
{
    return app->seen.rt.n_expert <= CELLS_MAX ? FORM_CELLS : app->ui.glyphs ? FORM_BRAILLE : FORM_QUARTERS;
}

/* So many of n stand for one dot that `dots` of them in each cell fit into w columns beside the layer's number. */
static int to_a_dot(int n, int dots, int w)
{
    int room = w - 4 > 1 ? (w - 4) * dots : dots;
    return (n + room - 1) / room;
}

/* Experts of a cell; characters of a row in w columns. */
static int cell_experts(const tui_app *app, enum form f, int w)
{
    int dots = f == FORM_CELLS ? 1 : f == FORM_BRAILLE ? 8 : 4;
    return f == FORM_CELLS ? 1 : dots * to_a_dot(app->seen.rt.n_expert, dots, w);
}

static int chars_of(const tui_app *app, enum form f, int w)
{
    int per = cell_experts(app, f, w);
    return (app->seen.rt.n_expert + per - 1) / per;
}

static int columns_of(const tui_app *app, int w)
{
    int c = w / (chars_of(app, form_of(app), w) + 4);
    return c < 1 ? 1 : c > 4 ? 4 : c;
}

/* Where rows are short two layers share one: the upper half of a cell is the first layer's, the lower half the second's.
 * Few experts: a dot is one that speaks more than usual. Many: a dot is one of two, or of more, that speaks now. */
static int pair_experts(const tui_app *app, int w)
{
    int n = app->seen.rt.n_expert, per = to_a_dot(n, 4, w);
    return n <= CELLS_MAX ? 1 : per < 2 ? 2 : per;
}
static int pair_dots(const tui_app *app, int w) { return (app->seen.rt.n_expert + pair_experts(app, w) - 1) / pair_experts(app, w); }
static int pair_cells(const tui_app *app, int w) { return (pair_dots(app, w) + 3) / 4; }
static int pair_columns(const tui_app *app, int w)
{
    int c = w / (pair_cells(app, w) + 4);
    return c < 1 ? 1 : c > PAIR_COLUMNS ? PAIR_COLUMNS : c;
}

static void pair_row(tui_app *app, int pair, int w, int y, int x, int end, bool chosen)
{
    /* dots of a cell, row by row: 1 4, 2 5 are the upper layer's, 3 6, 7 8 the lower's (Unicode 9.1, braille patterns) */
    static const int dot[2][4] = { { 0, 3, 1, 4 }, { 2, 5, 6, 7 } };
    const agt_routing *r = &app->seen.rt;
    bool few = r->n_expert <= CELLS_MAX;
    int per = pair_experts(app, w), n = pair_dots(app, w);
    x = tui_putf(&app->grid, y, x, end, chosen ? S_SELECT : S_DIM, "%3d", r->first_layer + 2 * pair);
    x = tui_put(&app->grid, y, x, end, " ", S_DIM);
    for (int d = 0; d < n; d += 4) {
        int bits = 0, on = 0, dev = 0;
        for (int half = 0; half < 2 && 2 * pair + half < r->n_layer; half++) {
            const agt_cell *c = r->cell + (size_t)(2 * pair + half) * (size_t)r->n_expert;
            for (int i = 0; i < 4 && d + i < n; i++)
                for (int e = (d + i) * per; e < (d + i + 1) * per && e < r->n_expert; e++)
                    if (few ? c[e].dev > 0 : c[e].now) {
                        if (!(bits & 1 << dot[half][i])) on++;
                        bits |= 1 << dot[half][i];
                        if (c[e].dev > dev) dev = c[e].dev;
                    }
        }
        char s[5] = { 0 };
        if (app->ui.glyphs) q_utf8_put(s, 0x2800u + (uint32_t)bits);
        else s[0] = " .:*#"[(on + 1) / 2];
        x = tui_put(&app->grid, y, x, end, s, on ? dev ? sign_style[at(dev)] : S_NOW : S_USUAL);
    }
}

static int rows_all(const tui_app *app, int width)
{
    if (app->seen.rt.n_expert < 1 || app->seen.rt.n_layer < 1) return 5;
    int cols = columns_of(app, width);
    return 1 + (app->seen.rt.n_layer + cols - 1) / cols + FOOT;
}

static int height(tui_app *app, int width, int most)
{
    int full = rows_all(app, width), cols = pair_columns(app, width);
    if (full <= most || app->seen.rt.n_layer < 1) return full;
    return 1 + ((app->seen.rt.n_layer + 1) / 2 + cols - 1) / cols + FOOT;
}

static void layer_row(tui_app *app, int layer, int w, int y, int x, int end, bool chosen)
{
    tui_grid *g = &app->grid;
    const agt_routing *r = &app->seen.rt;
    const agt_cell *c = r->cell + (size_t)layer * (size_t)r->n_expert;
    enum form f = form_of(app);
    x = tui_putf(g, y, x, end, chosen ? S_SELECT : S_DIM, "%3d", r->first_layer + layer);
    x = tui_put(g, y, x, end, agt_layer_recurrent(app->a, r->first_layer + layer) ? "~" : " ", S_DIM);
    if (f == FORM_CELLS) {
        for (int e = 0; e < r->n_expert; e++) {
            int d = at(c[e].dev);
            if (c[e].bent) x = tui_put(g, y, x, end, c[e].bent == LAB_PINNED ? "P" : app->ui.glyphs ? "×" : "x", S_ACCENT);
            else if (c[e].breaks) x = tui_put(g, y, x, end, "!", S_WARN);
            else x = tui_put(g, y, x, end, d == 2 && !app->ui.glyphs ? "." : sign[d], sign_style[d]);
        }
        return;
    }
    int per = cell_experts(app, f, w), one = per / (f == FORM_BRAILLE ? 8 : 4);      /* experts of a cell, of a dot */
    for (int e = 0; e < r->n_expert; e += per) {
        /* Braille dots 1-8 lie by columns: bits 0 1 2 6 left, 3 4 5 7 right; an expert takes the next dot row by row. */
        static const int dot[8] = { 0, 3, 1, 4, 2, 5, 6, 7 };
        int bits = 0, on = 0, dev = 0;
        bool breaks = false;
        for (int i = 0; i < per && e + i < r->n_expert; i++) breaks |= c[e + i].breaks;
        for (int i = 0; i < per && e + i < r->n_expert; i++)
            if (c[e + i].now) {
                bits |= 1 << dot[i / one % 8];
                on++;
                if (c[e + i].dev > dev) dev = c[e + i].dev;
            }
        char s[5] = { 0 };
        if (f == FORM_BRAILLE) q_utf8_put(s, 0x2800u + (uint32_t)bits);
        else s[0] = " .:*#"[on > 4 ? 4 : on];
        if (breaks && !on) memcpy(s, "!", 2);            /* a dot that is out has no colour */
        x = tui_put(g, y, x, end, s, breaks ? S_WARN : on ? sign_style[at(dev)] == S_USUAL ? S_NOW : sign_style[at(dev)] : S_USUAL);
    }
}

/* Zoomed, where a row has room beside its cells: how unusual the layer is, its entropy and margin of the last token. */
static void detail(tui_app *app, int layer, int y, int x, int end)
{
    const agt_routing *r = &app->seen.rt;
    char a[8], b[8];
    float v = r->strange ? r->strange[layer] : NAN;
    x = tui_put(&app->grid, y, x, end, view_glyph8(app, v), v >= 0.75f ? S_MORE2 : v >= 0.5f ? S_MORE1 : S_USUAL);
    tui_putf(&app->grid, y, x + 1, end, S_DIM, "%5s %5s", view_frac(a, r->entropy && r->n_tokens ? (double)r->entropy[layer] / log(r->n_expert) : NAN),
             view_frac(b, r->margin && r->n_tokens ? (double)r->margin[layer] : NAN));
}

/* One glyph a layer. */
static int strip(tui_app *app, int y, int x, int end, int from, int to)
{
    for (int l = from; l < to; l++) {
        float v = app->seen.rt.strange ? app->seen.rt.strange[l] : NAN;
        x = tui_put(&app->grid, y, x, end, view_glyph8(app, v), v >= 0.75f ? S_MORE2 : v >= 0.5f ? S_MORE1 : S_USUAL);
    }
    return x;
}

static int strangest(const tui_app *app)
{
    const agt_routing *r = &app->seen.rt;
    int l = 0;
    if (r->n_odd) return r->odd[0].layer - r->first_layer >= 0 && r->odd[0].layer - r->first_layer < r->n_layer ? r->odd[0].layer - r->first_layer : 0;
    for (int i = 1; i < r->n_layer; i++) if (r->strange && r->strange[i] > r->strange[l]) l = i;
    return l;
}

/* The layer that is walked to, -1: nobody walks. */
static int chosen(tui_app *app)
{
    int sel = tui_cursor_of(app, &view_experts)->sel;
    return app->go.focus == &view_experts && sel >= 0 && sel < app->seen.rt.n_layer ? sel : -1;
}

/* Few experts: a circle each and who is off. Many: the two heaviest with their weights. */
static void now_line(tui_app *app, int y, int x, int end)
{
    tui_grid *g = &app->grid;
    const agt_routing *r = &app->seen.rt;
    int l = chosen(app) >= 0 ? chosen(app) : strangest(app), k = 0;
    const uint16_t *id = r->now ? r->now + (size_t)l * (size_t)r->k_max : NULL;
    while (id && k < r->k_max && id[k] != 0xFFFF) k++;
    x = tui_put(g, y, x, end, _("now "), S_DIM);
    x = tui_putf(g, y, x, end, S_NOW, "L%d ", r->first_layer + l);
    if (!k) return;
    if (r->n_expert <= 16) {
        q_buf ids = {0};
        bool few = 2 * k <= r->n_expert;            /* who is on, where that is the shorter list */
        for (int e = 0; e < r->n_expert; e++) {
            bool on = false;
            for (int i = 0; i < k; i++) if (id[i] == e) on = true;
            x = tui_put(g, y, x, end, on ? app->ui.glyphs ? "●" : "o" : app->ui.glyphs ? "○" : ".", on ? S_NOW : S_USUAL);
            if (on == few) q_buf_printf(&ids, " %d", e);
        }
        const char *word = few ? _("on") : _("off");
        /* A list that is cut says something else than it means: then the circles must do. */
        if (ids.len && x + 1 + tui_str_width(word) + tui_str_width(ids.p) <= end) {
            x = tui_put(g, y, x + 1, end, word, S_DIM);
            tui_put(g, y, x, end, ids.p, S_NOW);
        }
        q_buf_free(&ids);
        return;
    }
    int shown = 0;
    for (; shown < k && shown < 2; shown++) {
        float w = r->now_weight ? r->now_weight[(size_t)l * (size_t)r->k_max + (size_t)shown] : NAN;
        char fr[8];
        int bars = isnan(w) ? 0 : (int)(w * 12 + 0.5f);
        x = tui_putf(g, y, x + 1, end, S_NOW, "e%d ", id[shown]);
        for (int i = 0; i < bars && i < 6; i++) x = tui_put(g, y, x, end, app->ui.glyphs ? "▇" : "#", S_BAR);
        if (!isnan(w)) x = tui_putf(g, y, x, end, S_NOW, " %s ", view_frac(fr, w));
    }
    if (k > shown) tui_putf(g, y, x + 1, end, S_DIM, "+%d", k - shown);
}

/* Where most sleep, only waking is news. */
static bool is_news(const agt_routing *r, const agt_odd *o) { return r->n_expert <= CELLS_MAX || o->ratio >= 1; }

static const char *odd_words(const agt_routing *r, const agt_odd *o, char out[64])
{
    if (r->n_expert > CELLS_MAX && o->ratio >= 1.5f) snprintf(out, 64, _("L%de%d %.0fx"), o->layer, o->expert, (double)o->ratio);
    else snprintf(out, 64, "L%de%d %s", o->layer, o->expert, sign[at(o->dev)]);
    return out;
}

static void odd_line(tui_app *app, int y, int x, int end)
{
    tui_grid *g = &app->grid;
    const agt_routing *r = &app->seen.rt;
    const char *word = r->n_expert > CELLS_MAX ? _("woken ") : _("strange ");
    char s[64];
    int first = 0;
    while (first < r->n_odd && !is_news(r, &r->odd[first])) first++;
    if (first < r->n_odd && x + tui_str_width(word) + tui_str_width(odd_words(r, &r->odd[first], s)) > end) return;   /* the word alone says nothing */
    x = tui_put(g, y, x, end, word, S_DIM);
    if (first == r->n_odd) { tui_put(g, y, x, end, r->n_tokens ? _("nothing") : "–", S_USUAL); return; }
    for (int i = first; i < r->n_odd; i++) {
        const agt_odd *o = &r->odd[i];
        if (!is_news(r, o)) continue;
        int w = tui_str_width(odd_words(r, o, s));
        if (x + w > end) break;
        tui_put(g, y, x, end, s, sign_style[at(o->dev)]);
        x += w + 3;
    }
}

static void index_line(tui_app *app, int y, int x, int end)
{
    const agt_routing *r = &app->seen.rt;
    char a[8], b[8], c[8];
    bool margin = r->n_expert <= CELLS_MAX && !isnan(r->mean_margin);
    int x2 = tui_putf(&app->grid, y, x, end, S_NOW, _("repeat %s (chance %s)"), view_frac(a, r->n_tokens > 1 ? (double)r->repeat : NAN),
                      view_frac(b, r->repeat_chance));
    char *s = margin ? q_printf(_("margin %s"), view_frac(c, r->mean_margin))
                     : q_printf(_("entropy %s"), view_frac(c, r->n_tokens ? (double)r->mean_entropy : NAN));
    tui_put_right(&app->grid, y, x2 + 1, end, s, S_NOW);
    free(s);
}

/* What only some models and configurations have is explained where it is on the map: `!` before the rest, the others where
 * room is left behind it. */
static int mark(tui_app *app, int y, int x, int end, const char *sign_, const char *word, enum tui_style st)
{
    if (x + 2 + tui_str_width(word) > end) return x;
    x = tui_put(&app->grid, y, x, end, sign_, st) + 1;
    return tui_put(&app->grid, y, x, end, word, S_DIM) + 2;
}

static bool any_bent(const agt_routing *r, int how)
{
    for (size_t i = 0; i < (size_t)r->n_layer * (size_t)r->n_expert; i++)
        if (r->cell[i].bent == how) return true;
    return false;
}

static bool any_needed(const agt_routing *r)
{
    for (size_t i = 0; i < (size_t)r->n_layer * (size_t)r->n_expert; i++)
        if (r->cell[i].breaks && !r->cell[i].bent) return true;
    return false;
}

/* What a dot or a letter of many experts is. */
static char *dot_words(const tui_app *app, int w, bool paired)
{
    const agt_routing *r = &app->seen.rt;
    enum form f = form_of(app);
    int one = paired ? pair_experts(app, w) : cell_experts(app, f, w) / (f == FORM_BRAILLE ? 8 : 4);
    if (paired && r->n_expert <= CELLS_MAX) return q_strdup(_("dot: above usual · two layers a row"));
    if (paired) return app->ui.glyphs ? q_printf(_("dot: one of %d on · two layers a row"), one) : q_strdup(_(". to #: more on · two layers a row"));
    if (f == FORM_QUARTERS) return q_strdup(one > 1 ? _(". : * # are 1 to 4 on now, or more") : _(". : * # are 1 to 4 on now"));
    return one > 1 ? q_printf(_("dot: 1 of %d · colour: above usual"), one) : q_strdup(_("dot: on now · colour: above usual"));
}

static void legend(tui_app *app, int w, int y, int x, int end, bool paired)
{
    tui_grid *g = &app->grid;
    const agt_routing *r = &app->seen.rt;
    bool learns = !r->stored && !r->estimated && r->learned < r->learn_need;
    if (!paired && !learns && any_needed(r)) x = mark(app, y, x, end, "!", _("needed"), S_WARN);
    if (learns) {
        char *s = q_printf(_("learning what is usual, %d of %d"), r->learned, r->learn_need);
        x = 2 + tui_put_cut(g, y, x, end - 3, s, S_DIM);
        free(s);
    } else if (paired || form_of(app) != FORM_CELLS) {
        char *s = dot_words(app, w, paired);
        tui_put_cut(g, y, x, end - 3, s, S_DIM);
        free(s);
    } else {
        static const int show[3][2] = { { 2, -1 }, { 3, 4 }, { 1, 0 } };
        const char *word[3] = { _("usual"), _("more"), _("less") };
        int all = x;                     /* the first to give way is what needs no word */
        for (int i = 0; i < 3; i++) all += (show[i][1] < 0 ? 2 : 4) + tui_str_width(word[i]) + (i < 2 ? 2 : 0);
        for (int i = all > end; i < 3; i++) {
            for (int k = 0; k < 2; k++) {
                int d = show[i][k];
                if (d >= 0) x = tui_put(g, y, x, end, d == 2 && !app->ui.glyphs ? "." : sign[d], sign_style[d]) + 1;
            }
            x = tui_put(g, y, x, end, word[i], S_DIM) + 2;
        }
    }
    if (form_of(app) == FORM_CELLS && !paired) {
        if (any_bent(r, LAB_BANNED)) x = mark(app, y, x, end - 3, app->ui.glyphs ? "×" : "x", _("banned"), S_ACCENT);
        if (any_bent(r, LAB_PINNED)) x = mark(app, y, x, end - 3, "P", _("pinned"), S_ACCENT);
        if (learns && any_needed(r)) x = mark(app, y, x, end - 3, "!", _("needed"), S_WARN);
    }
    if (x + 1 <= end) tui_put_right(g, y, x - 2, end, "F3", S_FAINT);
}

static void empty(tui_app *app, tui_box b)
{
    const char *say = app->seen.st.loaded && !app->seen.st.n_expert
        ? view_server(&app->seen.st) ? _("On a server: routing = vllm or sglang in its section of config.ini asks which experts run.") : _("A dense model: nothing is routed. /model shows others.")
        : app->work.loading ? _("Shows who speaks for each token once the model is loaded.")
                       : _("Shows who speaks for each token. /model chooses a model.");
    view_words(app, b, b.y + 1, 2, say, S_DIM);
}

/* Columns for a row's number and cells: beside a wide text the zoomed map's caption promises each row its numbers. */
static int cells_width(const tui_app *app, int w)
{
    return app->go.zoom == &view_experts && app->lay.wide && w > 2 * DETAIL ? w - 1 - DETAIL : w;
}

/* All layers, in the form that the room allows. *y moves below them. */
static void map(tui_app *app, tui_box b, int *y, bool *paired)
{
    const agt_routing *r = &app->seen.rt;
    int room = b.h - 1 - FOOT, end = b.x + b.w, w = cells_width(app, b.w), chars = chars_of(app, form_of(app), w), cw = chars + 4, cols = columns_of(app, b.w);
    bool zoomed = app->go.zoom == &view_experts, tall = zoomed || app->go.over == &view_experts, details = false;
    if (zoomed && room > 0) {
        int need = (r->n_layer + room - 1) / room;           /* as few columns as hold all layers: the rows are there */
        if (need < cols) cols = need;
        details = b.w / cols >= cw + 1 + DETAIL;
        if (details) cw = b.w / cols;
    }
    int rows = (r->n_layer + cols - 1) / cols, sel = chosen(app), pairs = (r->n_layer + 1) / 2;
    int pcols = pair_columns(app, b.w), prows = (pairs + pcols - 1) / pcols, *top = &tui_cursor_of(app, &view_experts)->top;
    app->go.layers_a_column = rows;
    if (rows <= room || ((tall || (chosen(app) >= 0 && prows > room)) && room >= 4)) {
        int show = rows < room ? rows : room;
        if (sel >= 0 && sel % rows < *top) *top = sel % rows;
        if (sel >= 0 && sel % rows >= *top + show) *top = sel % rows - show + 1;
        if (*top > rows - show) *top = rows - show;
        if (*top < 0) *top = 0;
        for (int i = 0; i < show; i++)
            for (int c = 0; c < cols; c++) {
                int l = c * rows + *top + i;
                if (l >= r->n_layer) continue;
                layer_row(app, l, w, *y + i, b.x + c * cw, end, l == sel);
                if (details) detail(app, l, *y + i, b.x + c * cw + chars + 5, end);
            }
        *y += show;
    } else if (prows <= room) {
        *paired = true;
        app->go.layers_a_column = 2 * prows;
        for (int i = 0; i < prows; i++)
            for (int c = 0; c < pcols && c * prows + i < pairs; c++)
                pair_row(app, c * prows + i, b.w, *y + i, b.x + c * (pair_cells(app, b.w) + 4), end, sel >= 0 && sel / 2 == c * prows + i);
        *y += prows;
    } else {
        /* Too low for rows: one glyph a layer says how unusual it is. */
        int per = b.w - 10 < 8 ? 8 : b.w - 10;
        for (int l = 0; l < r->n_layer && *y < b.y + b.h - 3; l += per, ++*y) {
            int to = l + per < r->n_layer ? l + per : r->n_layer;
            int x = tui_putf(&app->grid, *y, b.x + 1, end, S_DIM, "L%-2d ", r->first_layer + l);
            x = strip(app, *y, x, end, l, to);
            tui_putf(&app->grid, *y, x, end, S_DIM, " L%d", r->first_layer + to - 1);
        }
    }
}

static void draw(tui_app *app, tui_box b)
{
    const agt_routing *r = &app->seen.rt;
    bool focused = app->go.focus == &view_experts;
    if (r->n_expert < 1 || r->n_layer < 1 || !r->cell) {
        view_caption(app, b, _("Experts"), "F3", focused);
        empty(app, b);
        return;
    }
    bool zoomed = app->go.zoom == &view_experts && app->lay.wide;
    char *cap = zoomed ? q_strdup(r->stored ? _("Stored") : _("Experts"))
        : r->k > 0 ? q_printf(ngettext("Experts  %d of %d speaks", "Experts  %d of %d speak", (unsigned long)r->k), r->k, r->n_expert)
        : q_printf(_("Experts  of %d"), r->n_expert);
    char *right = zoomed ? q_strdup(_("unusual, entropy, margin"))
                : lab_view_bare(r) ? q_strdup(_("ids only, no weights"))
                : r->stored ? q_strdup(_("stored answer"))
                : form_of(app) != FORM_CELLS ? q_strdup(_("this token")) : q_strdup(_("last 32 tok"));
    view_caption(app, b, cap, right, focused);
    free(cap);
    free(right);
    int y = b.y + 1, end = b.x + b.w;
    bool paired = false;
    map(app, b, &y, &paired);
    static void (*const foot[FOOT - 1])(tui_app *, int, int, int) = { now_line, odd_line, index_line };
    for (int i = 0; i < FOOT - 1 && y < b.y + b.h; i++, y++) foot[i](app, y, b.x + 1, i == 0 ? end : end - 1);
    if (y < b.y + b.h) legend(app, paired ? b.w : cells_width(app, b.w), y, b.x + 1, end - 1, paired);
}

void view_strip(tui_app *app, tui_box b)
{
    const agt_routing *r = &app->seen.rt;
    tui_grid *g = &app->grid;
    int end = b.x + b.w - 1, x = b.x + 1;
    bool broken = app->seen.has_ret && app->seen.ret.broken;
    char *fed = broken ? q_strdup(_("memory: see F4")) : app->seen.has_ret && app->seen.ret.fed > 0 ? q_printf(ngettext("%d passage", "%d passages", (unsigned long)app->seen.ret.fed), app->seen.ret.fed) : NULL;
    int right = tui_put_right(g, b.y, x, end, "F3 F4", S_FAINT);
    if (fed) right = tui_put_right(g, b.y, x, right - 3, fed, broken ? S_ERROR : S_DIM);
    free(fed);
    if (r->n_layer < 1 || !r->strange) {
        tui_put_cut(g, b.y, x, right - 1, app->work.loading ? _("experts: once the model is loaded") : _("experts: none yet"), S_DIM);
        return;
    }
    int n = r->n_layer, room = right - x - 12 < 8 ? 8 : right - x - 12, from = 0;
    if (n > room) n = room;                                  /* the deepest layers where not all fit */
    from = r->n_layer - n;
    x = tui_putf(g, b.y, x, right, S_DIM, "L%d ", r->first_layer + from);
    x = strip(app, b.y, x, right, from, r->n_layer);
    x = tui_putf(g, b.y, x, right, S_DIM, " L%d", r->first_layer + r->n_layer - 1);
    int odd_w = tui_str_width(_("strange ")) + 6;
    if (x + 3 + odd_w < right) odd_line(app, b.y, x + 3, right - 2);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    int *sel = &tui_cursor_of(app, &view_experts)->sel, n = app->seen.rt.n_layer, by = tui_key_step(k, 5);
    if (by) { tui_move(sel, by, n); return true; }
    if (k->code == K_LEFT || k->code == K_RIGHT) {
        tui_move(sel, k->code == K_LEFT ? -app->go.layers_a_column : app->go.layers_a_column, n);
        return true;
    }
    if (k->code == K_ENTER) { view_layer_page(app, *sel); return true; }
    switch (tui_key_letter(k)) {
    case 'z': tui_go_zoom(app, &view_experts); return true;
    case '-': agt_nudge_k(app->a, -1); return true;
    case '+': case '=': agt_nudge_k(app->a, +1); return true;
    default: return false;
    }
}

static void opened(tui_app *app) { tui_cursor_of(app, &view_experts)->sel = strangest(app); }

static const char *keys(const tui_app *app) { return _(app->seen.st.n_expert ? view_experts.hint : N_("F5 config · Esc back")); }

const tui_view view_experts = {
    .name = "experts", .key = K_F3, .digit = '3', .action = AGT_UI_EXPERTS, .place = AT_UPPER, .zooms = true,
    .hint = N_("j k layer · - + fewer, more experts · z zoom · Enter its numbers · Esc back"),
    .keys = keys, .height = height, .draw = draw, .on_key = on_key, .opened = opened,
};
