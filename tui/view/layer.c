/* view/layer: one layer's routing in numbers over the transcript, an expert a row: its load over the answers of the
 * conversation, its rate now beside its usual one, the last token's choice; Enter on one: what it ran for. Front-end thread;
 * draws the app's copy of the routing and what the agent told of the stored answers. Numbers of different layers are never put
 * together. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 7, BAR = 24 };
enum { LAYER, EXPERT };                  /* of tui_closer */
typedef struct row { int expert; double by; } row;

/* The layer among the routed ones that the running window knows; -1: it does not. */
static int at_of(const tui_app *app)
{
    const agt_routing *r = &app->seen.rt;
    int l = app->zoom.layer - r->first_layer;
    return l >= 0 && l < r->n_layer && r->cell ? l : -1;
}

static int experts_of(const tui_app *app) { return app->seen.rt.n_expert; }

static double share_of(const tui_app *app, int e)
{
    const agt_zoom *z = &app->zoom.of[LAYER];
    return app->zoom.has[LAYER] && e < z->n_expert ? z->load.load[e] : NAN;
}

static int by_most(const void *a, const void *b)
{
    const row *x = a, *y = b;
    return x->by < y->by ? 1 : x->by > y->by ? -1 : x->expert - y->expert;
}

/* Experts by their share; before it is known by how often they run now. malloc'ed. */
static row *order_of(const tui_app *app)
{
    int n = experts_of(app), l = at_of(app);
    row *v = q_alloc(sizeof *v * (size_t)(n + 1));
    for (int e = 0; e < n; e++) {
        double share = share_of(app, e);
        v[e] = (row){ e, !isnan(share) ? share : l >= 0 ? (double)app->seen.rt.cell[(size_t)l * (size_t)n + (size_t)e].rate : 0 };
    }
    qsort(v, (size_t)n, sizeof *v, by_most);
    return v;
}

/* What is told anew takes the place of what was there only when it comes. */
static void ask(tui_app *app, int which, bool anew)
{
    tui_closer *z = &app->zoom;
    if (anew) {
        z->has[which] = false;
        lab_zoom_free(&z->of[which]);
        tui_set_text(&z->why[which], NULL);
    }
    agt_ask_zoom(app->a, z->layer, which == EXPERT ? z->expert : -1, z->all);
}

void view_layer_page(tui_app *app, int layer)
{
    const agt_routing *r = &app->seen.rt;
    if (layer < 0 || layer >= r->n_layer || !r->cell) return;
    app->zoom.layer = r->first_layer + layer;
    app->zoom.expert = -1;
    app->zoom.all = false;
    app->zoom.from.message = 0;
    tui_cursor_of(app, &view_layer)->sel = 0;
    ask(app, LAYER, true);
    tui_go_over(app, &view_layer);
}

/* Over this conversation first; a: over all. */
void view_expert_page(tui_app *app, int layer, int expert)
{
    tui_closer *z = &app->zoom;
    z->layer = layer;
    z->expert = expert;
    z->all = false;
    z->top = 0;
    z->from.message = app->tr.token.message;
    z->from.number = app->tr.token.number;
    tui_cursor_of(app, &view_layer)->sel = 0;
    ask(app, LAYER, true);
    ask(app, EXPERT, true);
    tui_go_over(app, &view_layer);
}

/* ---- the layer ---- */
/* The load, then what the last token says; the table below keeps some rows. Returns the row after it. */
static int summary(tui_app *app, tui_box b)
{
    const agt_routing *r = &app->seen.rt;
    const tui_closer *z = &app->zoom;
    int l = at_of(app), n = experts_of(app), y = b.y + 1, others = z->of[LAYER].left_out;
    char c[8], m[8], t[8];
    q_buf s = {0};
    b.h = b.h > 8 ? b.h - 6 : 2;
    if (!z->has[LAYER]) y = view_words(app, b, y, 1, z->why[LAYER] ? z->why[LAYER] : z->all ? _("The answers of all conversations are being read.") :
                                       _("The conversation's answers are being read."), S_DIM);
    else {
        const agt_zoom *o_all = &z->of[LAYER];
        if (z->all) {
            q_buf_printf(&s, ngettext("Of all conversations: %d answer", "Of all conversations: %d answers", (unsigned long)o_all->n_answer), o_all->n_answer);
            if (o_all->not_read) q_buf_printf(&s, ngettext(", the newest; %d older one was not looked at", ", the newest; %d older ones were not looked at", (unsigned long)o_all->not_read), o_all->not_read);
            y = view_words(app, b, y, 1, s.p, S_ACCENT);
            q_buf_clear(&s);
        }
        const lab_layer_load *o = &z->of[LAYER].load;
        q_buf_printf(&s, _("Load over the answers: entropy over log N %.3f (1: all alike), Gini %.3f (0: all alike), largest over mean %.2f."), o->entropy, o->gini, o->peak);
        if (!isnan(o->repeat)) q_buf_printf(&s, _(" Of %.1f experts a token %.3f ran for the token before (%.3f by chance)."), o->k, o->repeat, o->repeat_chance);
        y = view_words(app, b, y, 1, s.p, S_TEXT);
        q_buf_clear(&s);
        for (int i = 0; i < o->n_couple; i++)
            q_buf_printf(&s, "%s%d+%d %d (%.1f)", i ? ", " : _("Run together, tokens (by chance): "), o->couple[i].a, o->couple[i].b, o->couple[i].together, o->couple[i].chance);
        if (s.len) y = view_words(app, b, y, 1, s.p, S_TEXT);
        q_buf_clear(&s);
    }
    if (others) {
        q_buf_printf(&s, ngettext("%d answer of another model is left out", "%d answers of other models are left out", (unsigned long)others), others);
        y = view_words(app, b, y, 1, s.p, S_DIM);
        q_buf_clear(&s);
    }
    if (l >= 0) {
        q_buf_printf(&s, _("Last token: entropy %s, margin %s. How unusual the layer is now: %s."),
                     view_frac(c, r->entropy && n > 1 ? (double)r->entropy[l] / log(n) : NAN), view_frac(m, r->margin ? (double)r->margin[l] : NAN),
                     view_frac(t, r->strange ? (double)r->strange[l] : NAN));
        q_buf_printf(&s, " %s", r->stored ? _("Rates are shares of the stored answer's tokens.") : _("Rates are decayed over the last 32 tokens; usual is this model's own rate at this k."));
        y = view_words(app, b, y, 1, s.p, S_DIM);
    }
    q_buf_free(&s);
    return y;
}

static void bar(tui_app *app, int y, int x, int end, double share)
{
    int n = (int)(share * (end - x) + .5);
    for (int i = 0; i < n && x < end; i++) x = tui_put(&app->grid, y, x, end, app->ui.glyphs ? "▇" : "#", S_BAR);
}

static int ends(int i) { static const int wide[COLUMNS] = { 8, 8, 10, 9, 9, 9, 7 }; int x = 1; while (i >= 0) x += wide[i--]; return x; }

static void expert_row(tui_app *app, tui_box b, int y, int e, bool chosen)
{
    static const char *const word[5] = { N_("far less"), N_("less"), N_("usual"), N_("more"), N_("far more") };
    const agt_routing *r = &app->seen.rt;
    tui_grid *g = &app->grid;
    int n = experts_of(app), l = at_of(app), end = b.x + b.w, x = b.x;
    static const lab_cell none;
    const lab_cell *c = l >= 0 ? r->cell + (size_t)l * (size_t)n + (size_t)e : &none;
    double w = NAN, share = share_of(app, e), mean = app->zoom.of[LAYER].load.k / n;
    const uint16_t *now = l >= 0 && r->now ? r->now + (size_t)l * (size_t)r->k_max : NULL;
    for (int k = 0; now && k < r->k_max && now[k] != 0xFFFF; k++)
        if (now[k] == e && r->now_weight) w = (double)r->now_weight[(size_t)l * (size_t)r->k_max + (size_t)k];
    char s[COLUMNS][16], f[8];
    snprintf(s[0], sizeof s[0], "%d", e);
    snprintf(s[1], sizeof s[1], "%s", view_frac(f, share));
    if (isnan(share)) snprintf(s[2], sizeof s[2], "–"); else snprintf(s[2], sizeof s[2], "%.2f", mean > 0 ? share / mean : 0);
    snprintf(s[3], sizeof s[3], "%s", view_frac(f, (double)c->rate));
    snprintf(s[4], sizeof s[4], "%s", view_frac(f, (double)c->usual));
    if (c->usual > 0) snprintf(s[5], sizeof s[5], "%.2f", (double)(c->rate / c->usual)); else snprintf(s[5], sizeof s[5], "–");
    snprintf(s[6], sizeof s[6], "%s", !c->now ? "–" : isnan(w) ? app->ui.glyphs ? "●" : "*" : view_frac(f, w));
    enum tui_style st = chosen ? S_SELECT : S_TEXT;
    if (chosen) tui_put(g, y, b.x + 1, end, app->ui.glyphs ? "▸" : ">", S_ACCENT);
    for (int i = 0; i < COLUMNS && b.x + ends(i) <= end; i++) {
        tui_put_right(g, y, b.x + ends(i - 1), b.x + ends(i), s[i], i ? S_TEXT : st);
        x = b.x + ends(i);
    }
    if (b.x + ends(COLUMNS - 1) + BAR + 20 < end) {
        if (!isnan(share)) bar(app, y, x + 2, x + 2 + BAR, share);
        x += BAR + 2;
    }
    if (c->bent) x = tui_put(g, y, x + 2, end, c->bent == LAB_PINNED ? _("pinned") : _("banned"), S_ACCENT);
    else if (c->dev) x = tui_put(g, y, x + 2, end, _(word[(c->dev < -2 ? -2 : c->dev > 2 ? 2 : c->dev) + 2]), S_DIM);
    if (c->taught) x = tui_put_cut(g, y, x + 2, end, _("changed by an adapter"), S_ACCENT);
    if (c->breaks) tui_put_cut(g, y, x + 2, end, _("breaks the model when it is missing (/guard)"), S_WARN);
}

static void layer_page(tui_app *app, tui_box b)
{
    static const char *const head[COLUMNS] = { N_("expert"), N_("share"), N_("over mean"), N_("rate"), N_("usual"), N_("times"), N_("weight") };
    tui_closer *z = &app->zoom;
    char *title = q_printf(agt_layer_recurrent(app->a, z->layer) ? _("Layer %d ~ recurrent") : _("Layer %d"), z->layer), *right = NULL;
    if (z->has[LAYER]) right = q_printf(ngettext("%d token", "%d tokens", (unsigned long)z->of[LAYER].tokens), z->of[LAYER].tokens);
    view_caption(app, b, title, right, true);
    free(title);
    free(right);
    int n = experts_of(app), y = summary(app, b), *sel = &tui_cursor_of(app, &view_layer)->sel, rows = b.y + b.h - y - 1;
    tui_move(sel, 0, n);
    for (int i = 0; i < COLUMNS && y < b.y + b.h && b.x + ends(i) <= b.x + b.w; i++)
        tui_put_right(&app->grid, y, b.x + ends(i - 1), b.x + ends(i), _(head[i]), S_DIM);
    row *order = order_of(app);
    int top = view_first_row(*sel, rows, n);
    for (int i = 0; i < rows && top + i < n; i++) expert_row(app, b, y + 1 + i, order[top + i].expert, top + i == *sel);
    free(order);
}

/* ---- the expert ---- */
/* A sentence is wrapped; rows of tables stay as they are. */
static void wrapped(const char *s, int w, q_buf *out)
{
    for (size_t n; *s; s += n + (s[n] == '\n')) {
        n = strcspn(s, "\n");
        for (size_t end; *s != ' ' && tui_text_width(s, n) > w; s += end, n -= end) {
            end = 0;
            for (size_t i = 1; i < n; i++) if (s[i] == ' ' && tui_text_width(s, i) <= w) end = i + 1;
            if (!end) break;
            q_buf_add(out, s, end - 1);
            q_buf_puts(out, "\n");
        }
        q_buf_add(out, s, n);
        q_buf_puts(out, "\n");
    }
}

static void expert_page(tui_app *app, tui_box b)
{
    tui_closer *z = &app->zoom;
    char *title = q_printf(_("Layer %d, expert %d"), z->layer, z->expert);
    view_caption(app, b, title, NULL, true);
    free(title);
    if (!z->has[EXPERT]) {
        view_words(app, b, b.y + 1, 1, z->why[EXPERT] ? z->why[EXPERT] : z->all ? _("The answers of all conversations are being read.") : _("Its tokens are looked up behind what the model is doing."), S_DIM);
        return;
    }
    q_buf text = {0}, said = {0};
    lab_zoom_say(&z->of[EXPERT], NULL, b.w - 2, &said);
    wrapped(said.p, b.w - 2, &text);
    q_buf_free(&said);
    int lines = 0, at = 0, rows = b.h - 1;
    for (const char *p = text.p; *p; p++) lines += *p == '\n';
    if (z->top > lines - rows) z->top = lines - rows;
    if (z->top < 0) z->top = 0;
    for (char *p = text.p; *p && at - z->top < rows; at++) {
        char *nl = strchr(p, '\n');
        if (nl) *nl = 0;
        if (at >= z->top) tui_put_cut(&app->grid, b.y + 1 + at - z->top, b.x + 1, b.x + b.w, p, S_TEXT);
        if (!nl) break;
        p = nl + 1;
    }
    q_buf_free(&text);
}

static void draw(tui_app *app, tui_box b)
{
    if (app->zoom.expert < 0) layer_page(app, b);
    else expert_page(app, b);
}

/* ---- keys ---- */
static void to_expert(tui_app *app)
{
    row *order = order_of(app);
    if (experts_of(app) > 0) {
        app->zoom.expert = order[tui_cursor_of(app, &view_layer)->sel].expert;
        app->zoom.top = 0;
        ask(app, EXPERT, true);
    }
    free(order);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_closer *z = &app->zoom;
    int *sel = &tui_cursor_of(app, &view_layer)->sel, page = app->lay.overlay.h > 12 ? app->lay.overlay.h - 10 : 5, by = tui_key_step(k, page);
    int side = k->code == K_RIGHT ? 1 : k->code == K_LEFT ? -1 : 0;
    bool layer = z->expert < 0;
    if (by) {
        if (layer) tui_move(sel, by, experts_of(app));
        else z->top = by < 0 && z->top + by < 0 ? 0 : z->top + by;
    } else if (side && layer) {
        if (z->layer + side < app->seen.rt.first_layer || z->layer + side >= app->seen.rt.first_layer + app->seen.rt.n_layer) return true;
        z->layer += side;
        ask(app, LAYER, true);
    } else if (side) {
        int was = *sel;
        tui_move(sel, side, experts_of(app));
        if (*sel != was) to_expert(app);
    } else if (k->code == K_ENTER && layer) to_expert(app);
    else if (tui_key_letter(k) == 'a') {
        z->all = !z->all;
        ask(app, LAYER, true);
        if (!layer) ask(app, EXPERT, true);
    }
    else return false;
    return true;
}

static bool back(tui_app *app)
{
    tui_closer *z = &app->zoom;
    if (z->expert < 0) return false;
    z->expert = -1;
    if (z->from.message) {
        int64_t message = z->from.message;
        z->from.message = 0;
        tui_go_open(app, tui_view_named(app, "token"));
        tui_tr_token_at(&app->tr, message, z->from.number, 0, 0, 0, NULL);
        agt_look(app->a, message, z->from.number, 0, false);
    }
    return true;
}

static void on_event(tui_app *app, agt_event *e)
{
    tui_closer *z = &app->zoom;
    if (app->go.over != &view_layer) return;
    if (e->kind == AGT_EV_DONE && !z->all) {                 /* one answer more */
        ask(app, LAYER, false);
        if (z->expert >= 0) ask(app, EXPERT, false);
    }
    int which = e->token < 0 ? LAYER : EXPERT;
    if (e->kind != AGT_EV_ZOOM || e->number != z->layer || (which == EXPERT && e->token != z->expert) || e->flag != z->all) return;
    lab_zoom_free(&z->of[which]);
    tui_set_text(&z->why[which], e->text);
    z->has[which] = e->zoom != NULL;
    if (!e->zoom) return;
    z->of[which] = *e->zoom;
    *e->zoom = (agt_zoom){ .layer = 0 };
}

const tui_view view_layer = {
    .name = "layer", .place = AT_OVER, .types = true, .hint = N_("j k expert · ← → layer · Enter what it ran for · a all chats · Esc back"),
    .draw = draw, .on_key = on_key, .on_event = on_event, .back = back,
};
