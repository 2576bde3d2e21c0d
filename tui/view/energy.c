/* view/energy: the energy map: where the bytes of a token go, what a token costs at each number of experts, what a token of
 * context costs. Front-end thread; draws what agt_get_energy counted and marks the present k in it. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 76, FOOT_ROWS = 5, BYTES = 10, SHARE = 6 };     /* from SIDE columns on the two parts stand beside each other */

typedef struct pen { tui_app *app; tui_box b; int y; } pen;   /* rows above or below the box are left out */
static bool seen_row(const pen *p) { return p->y > p->b.y && p->y < p->b.y + p->b.h; }

static int parts_of(const agt_energy *e)
{
    int n = 0;
    for (int i = 0; i < LAB_COSTS_PARTS; i++) n += e->part[i].bytes > 0;
    return n;
}

static int foot_rows(const agt_energy *e) { return FOOT_ROWS + (e->n_recurrent ? 2 : 0); }
static int rows_side(const agt_energy *e)
{
    int left = 1 + parts_of(e) + 1 + foot_rows(e), right = 1 + e->n_row + 2;
    return 1 + (left > right ? left : right);
}
static int rows_below(const agt_energy *e) { return 1 + 1 + parts_of(e) + 1 + 1 + e->n_row + 1 + foot_rows(e) + 2; }

static int height(tui_app *app, int width, int most)
{
    (void)most;
    agt_energy *e = &app->seen.energy;
    return !agt_get_energy(app->a, e) ? 5 : width >= SIDE ? rows_side(e) : rows_below(e);
}

static void bar(pen *p, int x, int end, double share)
{
    static const char *const eighth[8] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    int n = (int)(share * (end - x) * 8 + .5), at = x;
    if (!p->app->ui.glyphs) n = (n + 4) / 8 * 8;
    for (; n >= 8 && at < end; n -= 8) at = tui_put(&p->app->grid, p->y, at, end, p->app->ui.glyphs ? "█" : "#", S_BAR);
    if (n > 0) tui_put(&p->app->grid, p->y, at, end, eighth[n], S_BAR);
}

/* A part a row, its bar of the whole. */
static void parts(pen *p, const agt_energy *e, uint64_t all)
{
    tui_grid *g = &p->app->grid;
    int wide = 0, x = p->b.x + 1, end = p->b.x + p->b.w - 1;
    char w[32];
    for (int i = 0; i < LAB_COSTS_PARTS; i++)
        if (e->part[i].bytes && tui_str_width(_(e->part[i].label)) > wide) wide = tui_str_width(_(e->part[i].label));
    if (seen_row(p)) {
        char *s = q_printf(_("where a token's %s come from"), q_bytes_words(all, w));
        tui_put_cut(g, p->y, x, end, s, S_DIM);
        free(s);
    }
    p->y++;
    for (int i = 0; i < LAB_COSTS_PARTS; i++) {
        double share = all ? (double)e->part[i].bytes / (double)all : 0;
        if (!e->part[i].bytes) continue;
        if (seen_row(p)) {
            snprintf(w, sizeof w, share > 0 && share < .001 ? "<.1%%" : "%.1f%%", 100 * share);
            tui_put_right(g, p->y, x, end, w, S_DIM);
            char bytes[32];
            int from = tui_put_right(g, p->y, x, end - SHARE, q_bytes_words(e->part[i].bytes, bytes), S_TEXT);
            int to = end - SHARE - BYTES - 1;
            tui_put_cut(g, p->y, x, from - 1, _(e->part[i].label), S_TEXT);
            if (to - x - wide > 4) bar(p, x + wide + 1, to, share);
        }
        p->y++;
    }
    p->y++;
}

static void head(pen *p, int at, const char *word)       /* ends at column `at` */
{
    tui_put_right(&p->app->grid, p->y, p->b.x + 1, at, word, S_DIM);
}

/* A number of experts a row. Columns that find no place are left out from the right: the cost first of all. */
static void rows(pen *p, const agt_energy *e)
{
    tui_grid *g = &p->app->grid;
    bool glyphs = p->app->ui.glyphs, ceiling = e->bandwidth > 0;
    int x = p->b.x + 1, end = p->b.x + p->b.w - 1, name = x + 9;
    int bytes = name + 11, params = bytes + 7, speed = ceiling ? params + 10 : params;
    bool room_params = params <= end, room_speed = ceiling && speed <= end;
    if (!room_params) speed = bytes + 10, room_speed = ceiling && speed <= end;
    int flops = (room_speed ? speed : room_params ? params : bytes) + 8;
    char w[32];
    if (seen_row(p)) {
        tui_put(g, p->y, x + 2, name, e->n_expert ? "k" : "", S_DIM);
        head(p, bytes, _("read"));
        if (room_params) head(p, params, _("active"));
        if (room_speed) head(p, speed, _("max tok/s"));
        if (flops <= end) head(p, flops, "GFLOP");
    }
    p->y++;
    for (int i = 0; i < e->n_row; i++, p->y++) {
        const lab_costs_row *r = &e->row[i];
        enum tui_style st = r->now ? S_ACCENT : S_TEXT;
        if (!seen_row(p)) continue;
        if (r->now) tui_put(g, p->y, x, end, glyphs ? "▸" : ">", S_ACCENT);
        int at = e->n_expert ? tui_putf(g, p->y, x + 2, name, st, "%d", r->k) : tui_put(g, p->y, x + 2, name, _("dense"), st);
        const char *word = !e->n_expert ? "" : r->own ? _("own") : r->k == e->n_expert ? _("all") : "";
        tui_put(g, p->y, at + 1, name, word, S_DIM);
        tui_put_right(g, p->y, name, bytes, q_bytes_words(r->bytes, w), st);
        if (room_params) tui_put_right(g, p->y, bytes, params, view_count(w, (double)r->params), st);
        if (room_speed) {
            snprintf(w, sizeof w, r->ceiling < 10 ? "%.1f" : "%.0f", r->ceiling);
            tui_put_right(g, p->y, bytes, speed, w, st);
        }
        if (flops <= end) {
            snprintf(w, sizeof w, "%.2f", (double)r->flops / 1e9);
            tui_put_right(g, p->y, bytes, flops, w, st);
        }
    }
}

static void words(pen *p, char *s /* taken */, enum tui_style st)
{
    if (seen_row(p)) tui_put_cut(&p->app->grid, p->y, p->b.x + 1, p->b.x + p->b.w - 1, s, st);
    p->y++;
    free(s);
}

static const lab_costs_row *row_at(const agt_energy *e)  /* the one that parts are of */
{
    const lab_costs_row *r = &e->row[0];
    for (int i = 0; i < e->n_row; i++) if (e->row[i].k == e->k) r = &e->row[i];
    return r;
}

/* Billions of operations of a token behind so many others. */
static double gflop(const agt_energy *e, int cells)
{
    int near = cells < e->window ? cells : e->window;
    return ((double)row_at(e)->flops + (double)e->flops_cell * cells + (double)e->flops_near * near) / 1e9;
}

static void context(pen *p, const agt_energy *e)
{
    char a[32], b[32];
    words(p, q_printf(_("a token of context keeps")), S_DIM);
    for (int i = 0; i + 1 < e->n_kv; i += 2)
        words(p, q_printf(_("%s in %s, %s in %s"), q_bytes_words((uint64_t)e->kv[i].bytes, a), e->kv[i].type, q_bytes_words((uint64_t)e->kv[i + 1].bytes, b), e->kv[i + 1].type), S_TEXT);
    if (e->n_recurrent) {
        words(p, q_printf(ngettext("%d recurrent layer remembers", "%d recurrent layers remember", (unsigned long)e->n_recurrent), e->n_recurrent), S_DIM);
        words(p, q_printf(_("%s, read and written a token"), q_bytes_words(e->state_bytes, a)), S_TEXT);
    }
    if (e->window) words(p, q_printf(_("%d of the layers see %d tokens"), e->n_near, e->window), S_DIM);
    if (e->n_sinks) words(p, q_printf(_("attention sinks in %d layers"), e->n_sinks), S_DIM);
    words(p, q_printf(_("GFLOP a token by context")), S_DIM);
    words(p, q_printf(_("0: %.2f   4k: %.2f   32k: %.2f"), gflop(e, 0), gflop(e, 4096), gflop(e, 32768)), S_TEXT);
}

static void bandwidth(pen *p, const agt_energy *e)
{
    char a[32];
    if (e->bandwidth > 0) words(p, q_printf(_("memory reads %s/s (measured)"), q_bytes_words((uint64_t)e->bandwidth, a)), S_DIM);
    const agt_status *st = &p->app->seen.st;
    if (e->added_bytes) words(p, q_printf(_("adapters: %s a token more, at most"), q_bytes_words(e->added_bytes, a)), S_ACCENT);
    if (e->spared) words(p, q_printf(_("ffn.width: %s a token less"), q_bytes_words(e->spared, a)), S_ACCENT);
    else if (st->n_expert && st->k < 0) words(p, q_printf(_("k by layer: %s a token now"), q_bytes_words(st->bytes_per_token, a)), S_ACCENT);
}

static void draw(tui_app *app, tui_box b)
{
    agt_energy *e = &app->seen.energy;
    bool focused = app->go.focus == &view_energy;
    if (!agt_get_energy(app->a, e)) {
        view_caption(app, b, _("Energy"), "Ctrl-X 0", focused);
        const char *say = view_server(&app->seen.st) ? _("This model runs on a server: what a token costs there is not known here.")
            : app->seen.st.loaded ? _("Counts the model's file and measures the memory: a moment.")
                   : _("Shows what a token costs, counted from the model's file, once a model is loaded.");
        view_words(app, b, b.y + 1, 2, say, S_DIM);
        return;
    }
    char *cap = e->n_expert ? q_printf(_("Energy  k %d of %d"), e->k, e->n_expert) : q_strdup(_("Energy"));
    view_caption(app, b, cap, e->type, focused);
    free(cap);
    uint64_t all = row_at(e)->bytes;
    bool side = b.w >= SIDE;
    int need = side ? rows_side(e) : rows_below(e), *top = &tui_cursor_of(app, &view_energy)->top;
    if (*top > need - b.h) *top = need - b.h;
    if (*top < 0) *top = 0;
    pen p = { app, b, b.y + 1 - *top };
    if (side) p.b.w = b.w / 2 > 60 ? 60 : b.w / 2;
    parts(&p, e, all);
    if (side) {
        context(&p, e);
        p = (pen){ app, { b.x + p.b.w, b.y, b.w - p.b.w, b.h }, b.y + 1 - *top };
    }
    rows(&p, e);
    if (!side) {
        p.y++;
        context(&p, e);
    }
    bandwidth(&p, e);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    int by = tui_key_step(k, 5);
    if (by) { tui_cursor_of(app, &view_energy)->top += by; return true; }
    switch (tui_key_letter(k)) {
    case '-': agt_nudge_k(app->a, -1); return true;
    case '+': case '=': agt_nudge_k(app->a, +1); return true;
    default: return false;
    }
}

static void opened(tui_app *app) { agt_ask_energy(app->a); }

static void on_event(tui_app *app, agt_event *e)         /* another model is another bill */
{
    if (e->kind == AGT_EV_READY && (app->go.over == &view_energy || app->go.instead == &view_energy)) agt_ask_energy(app->a);
}

static const char *keys(const tui_app *app) { return _(app->seen.st.n_expert ? view_energy.hint : N_("j k scroll · Esc back")); }

const tui_view view_energy = {
    .name = "energy", .digit = '0', .action = AGT_UI_ENERGY, .place = AT_INSTEAD,
    .hint = N_("j k scroll · - + fewer, more experts · Esc back"), .height = height, .draw = draw, .on_key = on_key, .on_event = on_event,
    .opened = opened, .keys = keys,
};
