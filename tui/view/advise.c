/* view/advise: which published model suits this machine: the recommendation, what the loaded one takes here and what k costs, the others and
 * why not, the table. Front-end thread; draws what agt_get_advice has, laid out as one column that scrolls. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double gib = 1 << 30;
enum { NAME_LEAST = 18, NAME_MOST = 40, GAP = 1 };

static const char *rate_words(char out[16], double v)
{
    snprintf(out, 16, v <= 0 ? "–" : v < 10 ? "%.1f" : "%.0f", v);
    return out;
}

/* ---- lines of one column ---- */
typedef struct pen { tui_lay lay; int w; } pen;

static void words(pen *p, char *s /* taken */, enum tui_style st)
{
    tui_lay_plain(&p->lay, s, strlen(s), p->w, "", st);
    free(s);
}

static void title(pen *p, const char *s)
{
    tui_lay_blank(&p->lay);
    words(p, q_strdup(s), S_DIM);
}

/* One line of cells that stand already; cut, never wrapped. */
static void line(pen *p, const q_buf *text, enum tui_style st)
{
    tui_para para = { 0 };
    tui_para_add(&para, text->p, tui_text_fit(text->p, text->len, p->w, NULL), st);
    tui_lay_para(&p->lay, &para, p->w, "", "", st, true);
    tui_para_free(&para);
}

static void cell(q_buf *out, const char *s, int width, bool right)
{
    const size_t n = tui_text_fit(s, strlen(s), width, NULL);
    const int pad = width - tui_text_width(s, n);
    q_buf_printf(out, "%*s", right && pad > 0 ? pad : 0, "");
    q_buf_add(out, s, n);
    q_buf_printf(out, "%*s", !right && pad > 0 ? pad : 0, "");
}

/* ---- the loaded model ---- */
static void of_loaded(pen *p, const tui_app *app, const agt_advice *d)
{
    char a[32], b[32], r[16];
    if (!*d->name) {
        title(p, _("The loaded model"));
        words(p, q_strdup(view_server(&app->seen.st) ? _("It runs on a server: what it takes of that machine is not known here.") : _("None is loaded: /model lists those at hand.")), S_TEXT);
        return;
    }
    char *head = q_printf(_("Loaded: %s"), d->name);
    title(p, head);
    free(head);
    words(p, q_printf(_("%s in %s, %s of it read a token, %s of cells a token; %d tokens of context fit."), q_bytes_words(d->fit.weights, a), adv_place_words(d->fit.place),
                      q_bytes_words(d->token, b), q_bytes_words(d->fit.kv_token, (char[32]){ 0 }), d->fit.context_max), S_TEXT);
    words(p, d->measured > 0 ? q_printf(_("%s tokens/s foretold, %s measured at the last answer."), rate_words(r, d->fit.decode), rate_words((char[16]){ 0 }, d->measured))
                             : q_printf(_("%s tokens/s foretold; an answer measures it."), rate_words(r, d->fit.decode)), S_TEXT);
    for (int i = 0; i < d->n_k; i++) {
        const bool own = d->k[i] == d->fit.costs.n_used;
        q_buf l = { 0 };
        char *k = q_printf("k %d", d->k[i]), *speed = q_printf(_("%s tok/s"), rate_words(r, d->decode[i]));
        cell(&l, k, 6, false);
        cell(&l, speed, 13, true);
        cell(&l, q_bytes_words(d->read[i], a), 12, true);
        if (own) q_buf_printf(&l, "  %s", _("own"));
        line(p, &l, own ? S_ACCENT : S_TEXT);
        q_buf_free(&l);
        free(k);
        free(speed);
    }
}

/* ---- the table: columns that find no place are left out, the least wanted first ---- */
enum column { C_TYPE, C_GIB, C_PLACE, C_OWN, C_K1, C_K8, C_K16, C_CONTEXT, C_KV, COLUMNS };
static const struct { const char *head; int width; bool left; int wanted; } column[COLUMNS] = {
    [C_TYPE] = { N_("type"), 6, true, 1 },     [C_GIB] = { N_("GiB"), 5, false, 2 },       [C_PLACE] = { N_("where"), 7, true, 3 },
    [C_OWN] = { N_("tok/s"), 5, false, 0 },    [C_K1] = { "k=1", 5, false, 5 },            [C_K8] = { "k=8", 5, false, 6 },
    [C_K16] = { "k=16", 5, false, 7 },         [C_CONTEXT] = { N_("context"), 8, false, 4 }, [C_KV] = { N_("KV KiB"), 8, false, 8 },
};

static const char *value_of(const adv_choice *c, enum column k, char out[64])
{
    switch (k) {
    case C_TYPE: return c->type;
    case C_PLACE: return c->why == ADV_ELSEWHERE ? _("other") : adv_place_words(c->fit.place);
    case C_GIB: snprintf(out, 64, "%.1f", (double)c->fit.weights / gib); return out;
    case C_CONTEXT: snprintf(out, 64, c->fit.context_max ? "%d" : "–", c->fit.context_max); return out;
    case C_KV: snprintf(out, 64, "%.0f", (double)c->fit.kv_token / 1024); return out;
    case C_OWN: return rate_words(out, c->fit.decode);
    default: return rate_words(out, c->decode[k - C_K1]);
    }
}

static int name_width(const agt_advice *d)
{
    int most = NAME_LEAST;
    for (int i = 0; i < d->n; i++)
        if (tui_str_width(d->choice[i].variant->name) > most) most = tui_str_width(d->choice[i].variant->name);
    return most < NAME_MOST ? most : NAME_MOST;
}

static void table(pen *p, const agt_advice *d)
{
    bool shown[COLUMNS] = { false };
    const int most = name_width(d) + 2, share = p->w * 2 / 5, least = share < NAME_LEAST + 2 ? NAME_LEAST + 2 : share < most ? share : most;
    int left = p->w - least;
    bool full = false;                   /* a wanted one found no place: none that is wanted less stands in it */
    for (int wanted = 0; wanted < COLUMNS && !full; wanted++)
        for (int i = 0; i < COLUMNS; i++)
            if (column[i].wanted == wanted) {
                full = left < column[i].width + GAP;
                shown[i] = !full;
                left -= full ? 0 : column[i].width + GAP;
            }
    const int name = least + left < most ? least + left : most;
    title(p, _("Published models on this machine"));
    for (int row = -1; row < d->n; row++) {
        const adv_choice *c = row < 0 ? NULL : &d->choice[row];
        q_buf l = { 0 };
        char text[64];
        q_buf_puts(&l, c && c->why == ADV_BEST ? "> " : "  ");
        cell(&l, c ? c->variant->name : _("model"), name - 2, false);
        for (int i = 0; i < COLUMNS; i++)
            if (shown[i]) {
                q_buf_putc(&l, ' ');
                cell(&l, c ? value_of(c, (enum column)i, text) : _(column[i].head), column[i].width, !column[i].left);
            }
        line(p, &l, !c ? S_DIM : c->why == ADV_BEST ? S_ACCENT : c->why <= ADV_OLD ? S_TEXT : S_DIM);
        q_buf_free(&l);
    }
}

static void machine(pen *p, const agt_advice *d)
{
    const adv_machine *m = &d->machine;
    char a[32], b[32];
    title(p, _("This machine"));
    if (*m->title) words(p, q_strdup(m->title), S_DIM);
    words(p, q_printf(_("%s of %s of memory free, read at %s/s."), q_bytes_words(m->ram_free, a), q_bytes_words(m->ram, b),
                      q_bytes_words((uint64_t)m->ram_bandwidth, (char[32]){ 0 })), S_DIM);
    for (int i = 0; i < m->n_gpu; i++) words(p, q_printf(_("%s, %s of its memory free."), m->gpu[i].name, q_bytes_words(m->gpu[i].free, a)), S_DIM);
}

static void all_of(pen *p, const tui_app *app, const agt_advice *d)
{
    int other[ADV_OTHERS], n = adv_others(d->choice, d->n, ADV_OTHERS, other);
    const adv_choice *best = d->choice[0].why == ADV_BEST ? &d->choice[0] : NULL;
    words(p, adv_best_words(&(adv_ask){ .context = 0 }, d->choice, d->n), S_STRONG);
    if (best) words(p, adv_get_words(best), S_DIM);
    of_loaded(p, app, d);
    if (n) title(p, _("Why not another:"));
    for (int i = 0; i < n; i++) {
        char *s = adv_why_words(&d->choice[other[i]], best);
        tui_para para = { 0 };
        tui_para_add(&para, s, strlen(s), S_TEXT);
        tui_lay_para(&p->lay, &para, p->w, "· ", "  ", S_DIM, false);
        tui_para_free(&para);
        free(s);
    }
    table(p, d);
    machine(p, d);
}

static int height(tui_app *app, int width, int most)
{
    (void)width;
    return app->seen.advice.n ? most : 4;
}

static void draw(tui_app *app, tui_box b)
{
    const agt_advice *d = &app->seen.advice;
    view_caption(app, b, _("Advice"), "Ctrl-X a", app->go.focus == &view_advise);
    if (!d->n) {
        view_words(app, b, b.y + 1, 2, app->seen.advice_waits ? _("An answer runs, and measuring the machine would slow it down: it is measured when the answer has ended.")
                                                              : _("Measures how fast this machine reads: a second or two."), S_DIM);
        return;
    }
    pen p = { .w = b.w - 2 };
    int *top = &tui_cursor_of(app, &view_advise)->top, rows = b.h - 1;
    all_of(&p, app, d);
    if (*top > (int)p.lay.n_line - rows) *top = (int)p.lay.n_line - rows;
    if (*top < 0) *top = 0;
    for (int i = 0; i < rows && *top + i < (int)p.lay.n_line; i++)
        tui_lay_draw(&p.lay, (uint32_t)(*top + i), &app->grid, b.y + 1 + i, b.x + 1, b.x + b.w);
    tui_lay_free(&p.lay);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    const int by = tui_key_step(k, 5);
    if (by) { tui_cursor_of(app, &view_advise)->top += by; return true; }
    switch (tui_key_letter(k)) {
    case 'r': agt_ask_advice(app->a, true); return true;
    case 't': agt_submit(app->a, "/advise text"); return true;
    default: return false;
    }
}

static void opened(tui_app *app) { agt_ask_advice(app->a, false); }

/* Another model has another place here, and an answer measures it. */
static void on_event(tui_app *app, agt_event *e)
{
    const bool open = app->go.over == &view_advise || app->go.instead == &view_advise;
    if (e->kind == AGT_EV_ADVICE) {
        adv_about_free(&app->seen.advice);
        agt_get_advice(app->a, &app->seen.advice);
        app->seen.advice_waits = e->flag;
    } else if (open && (e->kind == AGT_EV_READY || e->kind == AGT_EV_DONE)) agt_ask_advice(app->a, false);
}

const tui_view view_advise = {
    .name = "advise", .digit = 'a', .action = AGT_UI_ADVISE, .place = AT_INSTEAD, .wide = 112,
    .hint = N_("j k scroll · r measure again · t as a page · Esc back"), .height = height, .draw = draw, .on_key = on_key, .on_event = on_event, .opened = opened,
};
