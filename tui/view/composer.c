/* view/composer: what is being written, the sentence beside it, and the bottom line of keys. Front-end thread.
 * The terminal's cursor always stands in the composer, unless a panel has the focus. */
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row, its folded pastes as their signs. */
static void draw_row(tui_app *app, const tui_row *r, int y, int x, int end)
{
    const tui_edit *e = &app->comp.ed;
    size_t i = r->from;
    while (i < r->to) {
        size_t to = r->to, fold = r->to;
        const char *label = NULL;
        for (int k = e->folds.n - 1; k >= 0; k--)
            if (e->folds.f[k].from >= i && e->folds.f[k].from < r->to) { to = e->folds.f[k].from; fold = e->folds.f[k].to; label = e->folds.f[k].label; }
        x = tui_putn(&app->grid, y, x, end, e->b.p + i, to - i, S_TEXT);
        if (label) x = tui_put_cut(&app->grid, y, x, end, label, S_ACCENT);
        i = fold;
    }
}

void view_composer(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    tui_edit *e = &app->comp.ed;
    const char *prompt = tui_composer_prompt(app);
    int cr, cc, x0 = b.x + 1 + tui_str_width(prompt), end = b.x + b.w;
    int n = tui_edit_rows(e, tui_composer_cells(app, b.w), NULL, 0, &cr, &cc);
    int top = cr >= b.h ? cr - b.h + 1 : 0;
    bool here = !app->go.focus;
    for (int i = 0; i < b.h && top + i < n; i++) {
        int y = b.y + i;
        if (top + i == 0) tui_put(g, y, b.x + 1, end, prompt, here ? S_PROMPT : S_DIM);
        else if (i == 0) tui_put(g, y, b.x + 1, end, app->ui.glyphs ? "↑" : "^", S_DIM);
        draw_row(app, tui_edit_row(e, top + i), y, x0, end);
    }
    if (!e->b.len && !e->searching) {
        const char *ghost = tui_app_first(app) ? _("Enter asks the first question") : "";
        tui_put_cut(g, b.y, x0 + 1, end - 1, ghost, S_FAINT);
    }
    if (e->searching)
        tui_putf(g, b.y, x0 + cc + 2, end - 1, S_DIM, _("history: %s"), e->find.p ? e->find.p : "");
    if (here) {
        g->cx = x0 + cc;
        g->cy = b.y + cr - top;
        if (g->cx >= end) g->cx = end - 1;
        g->cursor = true;
    }
}

/* While a person is asked: by what is asked and, while words are typed for it, what Enter does with them. */
static const char *keys_asked(const tui_approve *p)
{
    const agt_call *c = &p->call;
    if (c->question) return _("Enter answers · Ctrl-C or Esc stops");
    if (p->typing) return c->asks == AGT_ASKS_SIGN ? _("Enter hands over the address · Esc back") : _("Enter says no and why · Esc back");
    if (c->asks == AGT_ASKS_SERVER) return _("y f n: the server above · Esc stops");
    if (c->asks == AGT_ASKS_FORM) return _("y n: the server's form above · Esc stops");
    if (c->asks == AGT_ASKS_SIGN) return _("y n e: the sign-in above · Esc stops");
    return c->rule ? _("y n a f e: the tool above · Esc stops") : _("y n e: the tool above · Esc stops");
}

static const char *keys_of(const tui_app *app)
{
    if (app->ask.question) return _("y yes · any other key: no");
    if (app->seen.approve.id) return keys_asked(&app->seen.approve);
    if (app->comp.ctrl_x) return _("Ctrl-X …  2 chats · 3 experts · 4 memory · 5 config · t ends thinking · Ctrl-E editor · < > panel width");
    if (app->comp.popup.n) return _("Tab next · Enter takes it · Esc closes");
    if (app->comp.ed.searching) return _("type to search · Ctrl-R older · Enter takes it · Esc leaves");
    if (app->go.focus) return app->go.focus->keys ? app->go.focus->keys(app) : _(app->go.focus->hint);
    if (app->comp.ed.folds.n) return _("Enter send · Ctrl-T opens what was pasted · Ctrl-C clears");
    bool wide = app->grid.w >= LAY_PANELS_W, routed = app->seen.st.n_expert > 0;
    if (app->seen.st.paused) return routed ? _("→ one token · F7/F8 fewer/more experts · F6 goes on · Ctrl-C stop") : _("→ one token · F6 goes on · Ctrl-C stop");
    if (app->seen.st.thinking && agt_answering(app->a))
        return !wide ? _("Ctrl-X t ends the thinking · Ctrl-C stop") : routed ? _("Ctrl-C stop · Ctrl-X t ends the thinking · F6 pause · F7/F8 fewer/more experts")
                                                                              : _("Ctrl-C stop · Ctrl-X t ends the thinking · F6 pause");
    if (agt_answering(app->a))
        return !routed ? _("Ctrl-C stop · F6 pause · Enter sends after this answer")
             : wide ? _("Ctrl-C stop · F6 pause · F7/F8 fewer/more experts · Enter sends after this answer") : _("Ctrl-C stop · F6 pause · F7/F8 fewer/more");
    if (app->comp.editing && app->comp.amend) return _("Enter goes on from the end of this text · Ctrl-J line · Esc leaves it as it was");
    return app->comp.editing ? _("Enter asks it anew, as a branch · Ctrl-J line · Esc leaves editing")
                        : app->seen.st.n_expert ? _("Enter send · Ctrl-J line · Ctrl-C stop · F7/F8 fewer/more · /help")
                                           : _("Enter send · Ctrl-J line · Ctrl-C stop · F5 config · /help");
}

static void left_words(q_buf *b, double s)
{
    if (s < 0) return;
    if (s < 90) q_buf_printf(b, ngettext(", %d second left", ", %d seconds left", (unsigned long)(s + 0.5)), (int)(s + 0.5));
    else q_buf_printf(b, ngettext(", %d minute left", ", %d minutes left", (unsigned long)(s / 60 + 0.5)), (int)(s / 60 + 0.5));
}

/* Long work takes the place of the keys: what, how far, how long still. */
static bool activity(tui_app *app, q_buf *b)
{
    if (app->work.prog_total) {           /* below 0: nobody knows yet how much it is */
        q_buf_puts(b, app->work.prog_what ? app->work.prog_what : "");
        if (app->work.prog_total > 0) q_buf_printf(b, " %d%%", (int)(100 * app->work.prog_done / app->work.prog_total));
        else q_buf_printf(b, " %lld", (long long)app->work.prog_done);
        left_words(b, app->work.prog_left);
        q_buf_puts(b, tui_tr_last(&app->tr) ? _(" · Ctrl-C stop") : _(" · Esc Esc stops"));
    } else if (app->work.pre_total > 0) {
        q_buf_printf(b, _("reading the prompt, %lld of %lld tokens"), (long long)app->work.pre_done, (long long)app->work.pre_total);
        if (app->work.pre_rate > 0) left_words(b, (double)(app->work.pre_total - app->work.pre_done) / app->work.pre_rate);
        q_buf_puts(b, _(" · Ctrl-C stop"));
    } else if (app->work.loading) {
        q_buf_printf(b, _("loading the model %d%%"), app->work.load_total ? (int)(100 * app->work.load_done / app->work.load_total) : 0);
        q_buf_puts(b, _(" · a question is kept until it is ready"));
    } else return false;
    return true;
}

/* On the line of the keys; not while long work is seen there. */
static bool note_fits(const tui_app *app, int width)
{
    return !app->ask.question && !app->work.prog_total && tui_str_width(app->say.note) <= width - 2;
}

/* The sentence beside the composer: what is asked stands before what is said. NULL: none. */
static const char *sentence(const tui_app *app, enum tui_style *st)
{
    *st = app->ask.question ? S_WARN : app->say.note_level == AGT_ERROR ? S_ERROR : app->say.note_level == AGT_WARN ? S_WARN : S_ACCENT;
    return app->ask.question ? app->ask.question : app->say.note;
}

int view_notice_rows(const tui_app *app, int width)
{
    enum tui_style st;
    const char *say = sentence(app, &st);
    if (!say || note_fits(app, width)) return 0;
    tui_lay l = {0};
    tui_lay_plain(&l, say, strlen(say), width - 2, "", S_TEXT);
    int n = (int)l.n_line, most = app->ask.question && app->grid.h >= 16 ? app->grid.h / 2 : 3;      /* what is asked is seen whole */
    tui_lay_free(&l);
    return n > most ? most : n;
}

void view_notice(tui_app *app, tui_box b)
{
    enum tui_style st;
    const char *say = sentence(app, &st);
    tui_lay l = {0};
    if (!say) return;
    tui_lay_plain(&l, say, strlen(say), b.w - 2, "", st);
    for (uint32_t i = 0; i < l.n_line && (int)i < b.h; i++) tui_lay_draw(&l, i, &app->grid, b.y + (int)i, b.x + 1, b.x + b.w);
    if ((int)l.n_line > b.h) tui_put(&app->grid, b.y + b.h - 1, b.x + b.w - 8, b.x + b.w, "… /log", S_DIM);
    tui_lay_free(&l);
}

/* Which configurations made the cached tokens, when more than one did; in fewer words where there is less room. */
static void mixture(const agt_status *st, bool brief, q_buf *b)
{
    q_buf_clear(b);
    if (st->mix.n < 2) return;
    if (brief) {
        int n = st->mix.n + st->mix.rest;
        q_buf_printf(b, ngettext("%d configuration: /context", "%d configurations: /context", (unsigned long)n), n);
        return;
    }
    char own[16];
    const char *l[2];
    for (int i = 0; i < 2; i++) {           /* the model's own beside another: just "k 12" */
        l[i] = st->mix.of[i].label[0] ? st->mix.of[i].label : st->mix.of[i].k ? own : _("standard");
        if (l[i] == own) snprintf(own, sizeof own, "k %d", st->mix.of[i].k);
    }
    q_buf_printf(b, _("%d tok at %s, %d at %s"), st->mix.of[0].cells, l[0], st->mix.of[1].cells, l[1]);
    if (st->mix.rest > 0) q_buf_printf(b, ngettext(" and %d more: /context", " and %d more: /context", (unsigned long)st->mix.rest), st->mix.rest);
}

/* "a · b · c · d" in less room: the second part goes first, and the first part last. */
static void put_parts(tui_grid *g, int y, int x, int end, const char *s, enum tui_style st)
{
    static const char dot[] = " · ";
    char *t = q_strdup(s);
    while (tui_str_width(t) > end - x) {
        char *a = strstr(t, dot), *b = a ? strstr(a + strlen(dot), dot) : NULL;
        if (!a) break;
        if (b) memmove(a, b, strlen(b) + 1);
        else *a = 0;
    }
    tui_put_cut(g, y, x, end, t, st);
    free(t);
}

static void put_price(q_buf *b, const char *key, const agt_price *p, bool brief)
{
    char w[32];
    if (!p->k) return;
    q_buf_printf(b, "%s%s", b->len ? " · " : "", key);
    if (p->k > 0) q_buf_printf(b, " k %d", p->k);
    if (!brief || p->rate <= 0)
        q_buf_printf(b, _(": %s/tok"), q_bytes_brief(p->bytes, w));
    if (p->rate > 0) q_buf_printf(b, brief ? ": %s%.0f %s" : ", %s%.0f %s", p->measured ? "" : "~", p->rate, _("tok/s"));
}

/* The keys with what F7 and F8 would cost in place of their words, where there is room for it. malloc'ed. */
static char *priced(const tui_app *app, const char *keys, int cells)
{
    const char *at = strstr(keys, "F7/F8");
    char *best = NULL;
    if (!at || app->seen.st.n_expert <= 0) return q_strdup(keys);
    const char *rest = strstr(at, " · ");
    for (int brief = 0; brief < 2 && !best; brief++) {
        q_buf p = {0};
        put_price(&p, "F7", &app->seen.turned.step[0], brief);
        put_price(&p, "F8", &app->seen.turned.step[1], brief);
        if (p.len) best = q_printf("%.*s%s%s", (int)(at - keys), keys, p.p, rest ? rest : "");
        q_buf_free(&p);
        if (best && tui_str_width(best) > cells) { free(best); best = NULL; }
    }
    return best ? best : q_strdup(keys);
}

void view_hint(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    int end = b.x + b.w - 1;
    enum tui_style st;
    const char *say = sentence(app, &st);
    if (say && note_fits(app, b.w)) { tui_put(g, b.y, b.x + 1, end, say, st); return; }
    q_buf s = {0}, r = {0};
    bool act = !app->ask.question && activity(app, &s);
    char *left = act ? q_strdup(s.p) : priced(app, keys_of(app), b.w - 2);
    int lw = tui_str_width(left);
    for (int brief = 0; brief < 2; brief++) {           /* the keys are never eaten by it */
        mixture(&app->seen.st, brief, &r);
        if (r.len && 1 + lw + 3 + tui_str_width(r.p) <= b.w - 1) { tui_put_right(g, b.y, b.x, end, r.p, S_HINT); break; }
    }
    put_parts(g, b.y, b.x + 1, end, left, act ? S_STATUS : S_HINT);
    free(left);
    q_buf_free(&s);
    q_buf_free(&r);
}
