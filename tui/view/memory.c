/* view/memory: what retrieval fed to the model, with scores, what was cut and why, and what one wants of it: to see a passage
 * where it stands, to ask again without it, to pin it, to ban its source. Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first lines of what was fed, quieter than its source. Returns the row after them. */
static int excerpt(tui_app *app, const agt_passage *p, int y, int x, int end, int rows)
{
    tui_lay l = {0};
    const char *s = p->text ? p->text : "";
    size_t n = strlen(s) < 2048 ? strlen(s) : q_utf8_whole(s, 2048);
    char *flat = q_strndup(s, n);
    for (char *c = flat; *c; c++) if (*c == '\n') *c = ' ';
    tui_lay_plain(&l, flat, strlen(flat), end - x - 1, "", S_DIM);
    for (uint32_t i = 0; i < l.n_line && (int)i < rows; i++, y++) {
        int after = tui_lay_draw(&l, i, &app->grid, y, x, end);
        if ((int)i == rows - 1 && i + 1 < l.n_line) tui_put(&app->grid, y, after < end - 1 ? after : end - 1, end, "…", S_DIM);
    }
    tui_lay_free(&l);
    free(flat);
    return y;
}

/* ---- what one wants of it ---- */
static bool wished(const agt_wish *v, int n, enum agt_of of, int64_t id)
{
    for (int i = 0; i < n; i++)
        if (v[i].of == of && v[i].id == id) return true;
    return false;
}

static bool pinned(const tui_app *app, const agt_passage *p) { return wished(app->seen.wishes.pin, app->seen.wishes.n_pin, p->of, p->chunk); }
static bool banned(const tui_app *app, const agt_passage *p) { return wished(app->seen.wishes.ban, app->seen.wishes.n_ban, p->of, p->owner); }

/* ---- a passage in one line ---- */
enum { WORDY = 60 };                     /* columns from which a line says why it was cut */
static const char *fate_word(const tui_app *app, const agt_passage *p)
{
    static const char *const word[] = { [AGT_FED] = NULL, [AGT_BELOW] = N_("below"), [AGT_LIMIT] = N_("no room"), [AGT_REPEATS] = N_("repeats"), [AGT_UNWANTED] = N_("left out"), [AGT_ANSWER] = N_("an answer") };
    return banned(app, p) ? _("banned") : word[p->fate] ? _(word[p->fate]) : p->pinned ? _("pinned") : NULL;
}

static void passage(tui_app *app, const agt_passage *p, int y, int x, int end, bool selected)
{
    tui_grid *g = &app->grid;
    enum tui_style st = p->number ? S_TEXT : S_DIM;
    int right = tui_put_right(g, y, x, end, p->shown, st);
    const char *fate = end - x >= WORDY ? fate_word(app, p) : NULL;
    if (fate) right = tui_put_right(g, y, x, right - 2, fate, S_DIM);
    if (banned(app, p)) x = tui_put(g, y, x, right - 1, app->ui.glyphs ? " ×  " : " x  ", S_ACCENT);
    else if (p->number) x = tui_putf(g, y, x, right - 1, S_ACCENT, "[%d]%s", p->number, pinned(app, p) ? "P " : " ");
    else x = tui_put(g, y, x, right - 1, pinned(app, p) ? " P  " : app->ui.glyphs ? " ·  " : " -  ", pinned(app, p) ? S_ACCENT : S_FAINT);
    q_buf b = {0};
    if (p->away) q_buf_printf(&b, "(%s) ", p->away);
    else if (p->missing) q_buf_puts(&b, _("(no file now) "));
    q_buf_puts(&b, p->source ? p->source : "");
    if (p->heading && *p->heading) q_buf_printf(&b, " § %s", p->heading);
    tui_put_cut(g, y, x, right - 1, b.p, selected ? S_SELECT : st);
    q_buf_free(&b);
}

/* ---- the selected one, taken apart ---- */
static int bar(tui_app *app, int y, int x, int end, double v)
{
    int eighths = (int)(v * 8 * (end - x) + .5);
    for (int c = x; c < end; c++, eighths -= 8) {
        static const char *const part[9] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
        int k = eighths < 0 ? 0 : eighths > 8 ? 8 : eighths;
        tui_put(&app->grid, y, c, c + 1, app->ui.glyphs ? part[k] : k >= 4 ? "#" : " ", S_BAR);
    }
    return end;
}

/* ".950", "1.00" */
static const char *thousandths(double v, char out[16])
{
    char x[16];
    snprintf(x, sizeof x, v < .9995 ? "%.3f" : "%.2f", v);
    return strcpy(out, x + (x[0] == '0'));
}

/* ".950 × .950 × .998 = .90", "(.950 × .950 or .400) × .998 = .94": what the score is made of. */
static void product(const agt_passage *p, q_buf *b)
{
    char x[16];
    bool either = false;
    for (int i = 0; i < p->n_factor; i++) either |= p->factor[i].as == AGT_OR;
    if (either) q_buf_puts(b, "(");
    for (int i = 0; i < p->n_factor; i++) {
        const agt_part *f = &p->factor[i];
        if (f->as == AGT_OR) q_buf_printf(b, "%s%s)", _(" or "), thousandths(f->value, x));
        else if (f->as == AGT_TIMES) q_buf_printf(b, "%s%s", i ? " × " : "", thousandths(f->value, x));
    }
    if (p->n_factor) q_buf_printf(b, " = %s", p->shown);
}

/* A text in at most `most` lines, drawn or only measured; the row after them. */
static int some_lines(tui_app *app, const char *text, int x, int y, int end, int most, int bottom, enum tui_style st, bool draw)
{
    tui_lay l = {0};
    if (*text) tui_lay_plain(&l, text, strlen(text), end - x, "", st);
    for (uint32_t i = 0; i < l.n_line && (int)i < most && y < bottom; i++, y++)
        if (draw) tui_lay_draw(&l, i, &app->grid, y, x, end);
    tui_lay_free(&l);
    return y;
}

enum { DETAIL_WORDS = 3, PRODUCT_LINES = 2 };
static int detail(tui_app *app, const agt_passage *p, int y, tui_box b, bool draw)
{
    tui_grid *g = &app->grid;
    int x = b.x + 5, end = b.x + b.w - 1, from = y, bottom = b.y + b.h, word = 0;
    for (int i = 0; i < p->n_factor; i++) word = tui_str_width(p->factor[i].word) > word ? tui_str_width(p->factor[i].word) : word;
    int bar_end = end - 6 > x + word + 21 ? x + word + 21 : end - 6;
    for (int i = 0; i < p->n_factor && y < bottom; i++, y++) {
        if (!draw) continue;
        tui_put(g, y, x, end, p->factor[i].word, S_DIM);
        int after = bar_end > x + word + 2 ? bar(app, y, x + word + 1, bar_end, p->factor[i].value) : x + word;
        char v[16];
        tui_put(g, y, after + 1, end, thousandths(p->factor[i].value, v), S_DIM);
    }
    q_buf s = {0};
    product(p, &s);
    if (s.len && tui_str_width(s.p) > end - x) *(strrchr(s.p, '=') - 1) = '\n';
    y = some_lines(app, s.len ? s.p : "", x, y, end, PRODUCT_LINES, bottom, S_TEXT, draw);       /* what it comes to stands at its end: never cut */
    q_buf_clear(&s);
    const char *why = p->why ? p->why : "";
    if ((!p->number || p->pinned) && *why) q_buf_printf(&s, "%.*s", (int)strcspn(why, ";"), why);
    if (s.len && p->tokens && p->number) q_buf_puts(&s, "; ");
    if (p->tokens && (p->number || !s.len)) q_buf_printf(&s, _("%d tok"), p->tokens);
    if (p->terms && *p->terms) q_buf_printf(&s, "%s%s", s.len ? "; " : "", p->terms);
    y = some_lines(app, s.len ? s.p : "", x, y, end, DETAIL_WORDS, bottom, S_DIM, draw);
    q_buf_free(&s);
    return y - from;
}

/* Below the passages: what the last change did, then what answers cost. */
static void below(tui_app *app, tui_box b, int y, int bottom)
{
    if (bottom - y > view_effect_rows(app)) y = view_effect_rows(app) ? view_effect(app, (tui_box){ b.x, y + 1, b.w, bottom - y - 1 }) : y;
    if (bottom - y >= 4) view_answers(app, (tui_box){ b.x, y + 1, b.w, bottom - y - 1 });
}

/* Nothing found and nothing cut: no last row to bear the key, the caption does. */
static bool bare(const agt_retrieval *r) { return !r->n && !r->cut_limit && !r->cut_repeat && !r->cut_score && !r->cut_unwanted && !r->cut_answers; }

/* How many were cut, by what, and the key; the row after it. */
static int cuts(tui_app *app, tui_box b, int y)
{
    const agt_retrieval *r = &app->seen.ret;
    tui_grid *g = &app->grid;
    char a[8];
    q_buf s = {0};
    if (r->cut_limit) q_buf_printf(&s, _("%d over limit"), r->cut_limit);
    if (r->cut_repeat) q_buf_printf(&s, _("%s%d repeated"), s.len ? ", " : "", r->cut_repeat);
    if (r->cut_score) q_buf_printf(&s, _("%s%d below %s"), s.len ? ", " : "", r->cut_score, view_frac(a, r->min_score));
    if (r->cut_unwanted) q_buf_printf(&s, _("%s%d unwanted"), s.len ? ", " : "", r->cut_unwanted);
    if (r->cut_answers) q_buf_printf(&s, ngettext("%s%d answer", "%s%d answers", (unsigned long)r->cut_answers), s.len ? ", " : "", r->cut_answers);
    int right = tui_put_right(g, y, b.x, b.x + b.w - 1, "F4", S_FAINT), after = y + 1;
    if (s.len) {
        char *all = q_printf(_("cut: %s"), s.p);
        if (y + 1 < b.y + b.h) after = view_words(app, (tui_box){ b.x, b.y, right - b.x, b.h }, y, 1, all, S_DIM);
        else tui_put_cut(g, y, b.x + 1, right - 1, all, S_DIM);          /* the last row: what is cut off is said to be */
        free(all);
    }
    q_buf_free(&s);
    return after > y ? after : y + 1;
}

/* ---- with the focus: rows to walk, the selected one taken apart below its line; then the banned sources ---- */
static int rows_of(const tui_app *app) { return app->seen.ret.n + app->seen.wishes.n_ban; }
static const agt_passage *passage_at(const tui_app *app, int row) { return row >= 0 && row < app->seen.ret.n ? &app->seen.ret.p[row] : NULL; }
static const agt_wish *ban_at(const tui_app *app, int row)
{
    int i = row - app->seen.ret.n;
    return i >= 0 && i < app->seen.wishes.n_ban ? &app->seen.wishes.ban[i] : NULL;
}

static void walked(tui_app *app, tui_box b, int y)
{
    const agt_retrieval *r = &app->seen.ret;
    tui_cursor *cur = tui_cursor_of(app, &view_memory);
    tui_grid *g = &app->grid;
    int end = b.x + b.w - 1, bottom = b.y + b.h - 1, rows = bottom - y, all = rows_of(app);
    if (cur->sel >= all) cur->sel = all ? all - 1 : 0;
    const agt_passage *p = passage_at(app, cur->sel);
    int below_it = p ? detail(app, p, y, (tui_box){ b.x, b.y, b.w, 1000 }, false) : 0, text = app->go.zoom == &view_memory ? 12 : 4;
    int need = 1 + below_it < rows ? 1 + below_it : rows, top = cur->sel + need > rows ? cur->sel + need - rows : 0;
    if (top > cur->sel) top = cur->sel;
    for (int i = top; i < all && y < bottom; i++) {
        const agt_wish *ban = ban_at(app, i);
        if (ban) {
            int right = tui_put_right(g, y, b.x + 1, end, _("banned"), S_DIM), x = tui_put(g, y, b.x + 1, end, app->ui.glyphs ? " ×  " : " x  ", S_ACCENT);
            tui_put_cut(g, y++, x, right - 1, *ban->title ? ban->title : _("untitled"), i == cur->sel ? S_SELECT : S_DIM);
            continue;
        }
        passage(app, &r->p[i], y++, b.x + 1, end, i == cur->sel);
        if (i != cur->sel) continue;
        y += detail(app, &r->p[i], y, (tui_box){ b.x, b.y, b.w, b.h - 1 }, true);
        int left = bottom - y - (all - i - 1);               /* what the rows behind it leave is the text's */
        if (left > 0) y = excerpt(app, &r->p[i], y, b.x + 5, end, left < text ? left : text);
    }
    if (!bare(r)) y = cuts(app, b, y);
    below(app, b, y, b.y + b.h);
}

/* How far memory's vectors are, on the last row; what is wrong with them whole, where a third of the panel holds it. */
static tui_box meaning(tui_app *app, tui_box b)
{
    if (!app->work.mean_what || b.h < 4) return b;
    int x = b.x + 1, end = b.x + b.w - 1, rows = app->work.mean_percent < 0 ? some_lines(app, app->work.mean_what, x, 0, end, b.h, b.h, S_DIM, false) : 1;
    if (rows > 1 && rows <= b.h / 3) some_lines(app, app->work.mean_what, x, b.y + b.h - rows, end, rows, b.y + b.h, S_DIM, true);
    else {
        /* "by meaning: 363 of 444, less than a minute": where it is too long the time goes, not its end */
        const char *s = app->work.mean_what, *comma = app->work.mean_percent >= 0 && tui_str_width(s) > end - x ? strrchr(s, ',') : NULL;
        char *said = q_strndup(s, comma ? (size_t)(comma - s) : strlen(s));
        tui_put_cut(&app->grid, b.y + b.h - (rows = 1), x, end, said, S_DIM);
        free(said);
    }
    b.h -= rows;
    return b;
}

static void draw(tui_app *app, tui_box b)
{
    b = meaning(app, b);
    const agt_retrieval *r = &app->seen.ret;
    bool focused = app->go.focus == &view_memory;
    int y = b.y + 1, end = b.x + b.w - 1, bottom = b.y + b.h;
    if (!app->seen.has_ret) {
        view_caption(app, b, _("Memory"), "F4", focused);
        y = view_words(app, b, y, 2, _("Shows the passages fed to an answer. /add FOLDER gives it texts."), S_DIM);
        if (view_effect_rows(app)) below(app, b, y, bottom);
        return;
    }
    if (r->broken) {                    /* what is wrong, whole, and the way out of it */
        view_caption(app, b, _("Memory"), "F4", focused);
        y = view_words(app, b, y, 1, r->broken, S_ERROR);
        view_words(app, b, y, 1, _("Answers go on without it. /why says more."), S_DIM);
        return;
    }
    char *cap = r->fed ? q_printf(_("Memory  %d fed, %d tok"), r->fed, r->fed_tokens) : q_strdup(_("Memory"));
    view_caption(app, b, cap, bare(r) ? "F4" : NULL, focused);
    free(cap);
    if (r->narrowed && bottom - y > 2) tui_put_cut(&app->grid, y++, b.x + 1, end, r->narrowed, S_DIM);
    if (!r->fed) y = view_words(app, b, y, 1, r->nothing ? r->nothing : "", S_DIM);
    if (focused) { walked(app, b, y); return; }
    int rows = bottom - y - 1;
    /* What was fed is worth more rows than what was not: three of those at most, unless one walks here. */
    int most = app->go.zoom == &view_memory ? 12 : 3, shown = app->go.zoom == &view_memory || r->n < r->fed + 3 ? r->n : r->fed + 3, each = 0;
    for (; r->fed > 0; shown--) {
        each = (rows - shown) / r->fed;
        if (each > 1 || shown <= r->fed + 1) break;
    }
    if (each > most) each = most;
    for (int i = 0; i < shown && y < bottom - 1; i++) {
        passage(app, &r->p[i], y++, b.x + 1, end, false);
        if (each > 1 && r->p[i].number) y = excerpt(app, &r->p[i], y, b.x + 5, end, each);
    }
    if (y < bottom && !bare(r)) y = cuts(app, b, y);
    below(app, b, y, bottom);
}

/* ---- keys ---- */
static void page_of_reasons(tui_app *app, const agt_passage *p)
{
    char *s = q_printf("%s\n\n%s", p->why ? p->why : "", p->text ? p->text : "");
    char *title = q_printf("%s%s%s", p->source ? p->source : "", p->heading && *p->heading ? " § " : "", p->heading ? p->heading : "");
    tui_go_page(app, title, s);
    free(s);
    free(title);
}

/* The answer that the passages were fed to. A live search bears its question's number. 0: it has none yet. */
static int64_t answer_of(const tui_app *app)
{
    for (int i = app->tr.n - 1; i >= 0; i--) {
        const tui_item *it = &app->tr.item[i];
        bool its = it->id == app->seen.ret_id || (i > 0 && it[-1].id == app->seen.ret_id);
        if (it->role == AGT_ASSISTANT && its) return it->id;
    }
    return 0;
}

static void without(tui_app *app, const char *numbers)
{
    int64_t id = answer_of(app);
    if (!id) { tui_app_note(app, AGT_INFO, _("There is no answer to these passages yet.")); return; }
    app->tr.follow = true;
    agt_without(app->a, id, numbers);
}

static void leave_out(tui_app *app, const agt_passage *p)
{
    char n[16];
    if (!p->number) { tui_app_note(app, AGT_INFO, _("It was not fed: only a passage that was can be left out.")); return; }
    snprintf(n, sizeof n, "%d", p->number);
    without(app, n);
}

static void ban(tui_app *app, const agt_passage *p)
{
    if (p->owner) agt_ban(app->a, p->of, p->owner, !banned(app, p));
    else tui_app_note(app, AGT_INFO, _("Its source is not in memory any more."));
}

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_cursor *cur = tui_cursor_of(app, &view_memory);
    int by = tui_key_step(k, 5);
    if (by) { tui_move(&cur->sel, by, rows_of(app)); return true; }
    uint32_t c = tui_key_letter(k);
    const agt_passage *p = passage_at(app, cur->sel);
    const agt_wish *taken = ban_at(app, cur->sel);
    if (c == 'z') { tui_go_zoom(app, &view_memory); return true; }
    if (c == 'w') { without(app, ""); return true; }
    if (c == 'b' && taken) { agt_ban(app->a, taken->of, taken->id, false); return true; }
    if (!p) return false;
    if (k->code == K_ENTER) { agt_ask_source(app->a, p->of, p->chunk); return true; }
    if (k->code == K_CHAR && (k->cp == '?' || k->cp == ',')) { page_of_reasons(app, p); return true; }
    switch (c) {
    case 'x': leave_out(app, p); return true;
    case 'p': agt_pin(app->a, p, !pinned(app, p)); return true;
    case 'b': ban(app, p); return true;
    case 'o':
        if (p->of != AGT_OF_CHAT || !p->owner) return false;
        tui_app_keep(app);
        agt_open_at(app->a, p->owner, p->chunk);
        tui_go_leave(app);
        return true;
    default: return false;
    }
}

/* ---- a citation is opened ---- */
/* The panel stands on it, the page lies over it; false: it is not among what was fed. */
static bool opened_here(tui_app *app, int number)
{
    for (int i = 0; i < app->seen.ret.n; i++) {
        if (app->seen.ret.p[i].number != number) continue;
        if (app->go.focus != &view_memory) tui_go_open(app, &view_memory);
        tui_cursor_of(app, &view_memory)->sel = i;
        agt_ask_source(app->a, app->seen.ret.p[i].of, app->seen.ret.p[i].chunk);
        return true;
    }
    char *s = q_printf(_("No passage [%d] was fed to this answer."), number);
    tui_app_note(app, AGT_INFO, s);
    free(s);
    return false;
}

void view_passage_open(tui_app *app, int64_t message, int number)
{
    if (app->seen.has_ret && answer_of(app) == message) { opened_here(app, number); return; }
    app->seen.cited.message = message;
    app->seen.cited.number = number;
    agt_ask_retrieval(app->a, message);
}

static void on_event(tui_app *app, agt_event *e)
{
    if (e->kind == AGT_EV_WISHES) tui_seen_wishes(&app->seen, e);
    if (e->kind != AGT_EV_RETRIEVAL) return;
    tui_seen_passages(&app->seen, e);
    tui_cursor_of(app, &view_memory)->sel = 0;
    int number = app->seen.cited.message == e->id ? app->seen.cited.number : 0;
    app->seen.cited.message = 0;
    if (number) opened_here(app, number);
}

static void opened(tui_app *app) { agt_ask_wishes(app->a); }

const tui_view view_memory = {
    .name = "memory", .key = K_F4, .digit = '4', .action = AGT_UI_MEMORY, .place = AT_LOWER, .zooms = true,
    .hint = N_("Enter opens · z zoom · j k walk · ? why · w no memory · b ban source · p pin · x without it · Esc back"),
    .draw = draw, .on_key = on_key, .on_event = on_event, .opened = opened,
};
