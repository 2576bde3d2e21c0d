/* view/config: the knobs by groups that fold, narrowed by a filter: value, default, since which token it holds, what turning
 * it did and what config.json calls it, as many of these as there are columns for; all of them of the selected one below.
 * Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns: where value, own and since end, and from and to where the words beside them stand; 0: there is no room for it. */
enum { NAME = 28, NUMBER = 10, SINCE = 12, DID = 11, DID_AKA = 16, AKA = 20 };
typedef struct columns { int x, name, value, own, since, did, did_end, aka, end; } columns;

static columns columns_of(tui_box b)
{
    columns c = { .x = b.x, .end = b.x + b.w - 1 };
    int x = b.x + NAME + NUMBER, left;
    if (x + NUMBER > c.end) return (columns){ .x = b.x, .name = b.x + 2 + b.w * 3 / 5, .value = c.end, .end = c.end };
    c.name = b.x + NAME;
    c.value = x;
    c.own = x + NUMBER;
    if (c.own + SINCE <= c.end) c.since = c.own + SINCE;
    left = c.since ? c.end - c.since - 2 : 0;
    if (left < DID) return c;
    c.did = c.since + 2;
    c.did_end = left >= DID_AKA + 2 + AKA ? c.end - 2 - AKA - (left - DID_AKA - 2 - AKA) / 3 : c.end;
    if (c.did_end < c.end) c.aka = c.did_end + 2;
    return c;
}

/* "37" of the last answer, "2:37" of an earlier one. words: a sentence's part. "": it was not turned here. */
static void since(const tui_app *app, bool turned, const agt_knob_turn *t, bool words, q_buf *b)
{
    int answer = 0, last = 0;
    q_buf_clear(b);
    q_buf_puts(b, "");
    if (!turned) return;
    for (int i = 0; i < app->tr.n; i++) {
        if (app->tr.item[i].role != AGT_ASSISTANT) continue;
        last++;
        if (app->tr.item[i].id == t->message) answer = last;
    }
    if (!t->message) q_buf_puts(b, words ? _("from the next answer on") : _("next"));
    else if (!answer) q_buf_puts(b, words ? _("turned in an answer of another branch") : _("elsewhere"));
    else if (answer == last) q_buf_printf(b, words ? _("since token %d") : "%d", t->token);
    else if (words) q_buf_printf(b, _("since token %d of answer %d"), t->token, answer);
    else q_buf_printf(b, "%d:%d", answer, t->token);
}

/* Ends at column end; what is too wide for that begins at from and is cut. */
static void put_ending(tui_grid *g, int y, int from, int end, const char *s, enum tui_style st)
{
    int w = tui_str_width(s);
    tui_put_cut(g, y, end - w < from ? from : end - w, end, s, st);
}

/* Where a value may begin, behind a name that ends at x. */
static int value_from(const columns *c, int x) { return (x < c->name ? x : c->name) + 2; }

static void part(q_buf *b, const char *s) { if (*s) q_buf_printf(b, "%s%s", b->len ? " · " : "", s); }

static const char *value_of(tui_app *app, const q_knob *k, q_buf *brief)
{
    q_buf v = {0};
    const char *s = agt_knob_value(app->a, k, &v);
    q_buf_clear(brief);
    if (s && *s) q_knob_brief(brief, s);
    q_buf_free(&v);
    return brief->len ? brief->p : "–";
}

/* What the selected one touches and may be, and what of it has no column. */
static void say_all(tui_app *app, const q_knob *k, const columns *c, q_buf *b)
{
    enum { MOST = 120 };
    q_buf s = {0};
    agt_knob_turn t;
    double lo, hi;
    char low[32], high[32];
    bool turned = agt_knob_turned(app->a, k, &t);
    q_buf_puts(b, agt_effect_word(k->effect));
    if (k->type == Q_KNOB_CHOICE) part(b, k->choices);
    else if (agt_knob_range(app->a, k, &lo, &hi)) {
        q_knob_number(low, lo);
        q_knob_number(high, hi);
        q_buf_printf(b, k->choices ? " · %s … %s, %s" : " · %s … %s", low, high, k->choices);
    }
    if (!c->own && !agt_knob_default(app->a, k)) {
        const char *own = agt_knob_own(app->a, k, &s);
        q_buf_printf(b, _(" · default %s"), *own ? own : "–");
    }
    if (!c->since || (turned && t.message)) since(app, turned, &t, true, &s), part(b, s.p);
    if (!c->aka && k->aka) q_buf_printf(b, " · config.json: %.*s", (int)strcspn(k->aka, ","), k->aka);
    if (turned) view_effect_words(t.of, MOST, &s), part(b, s.p);
    int room = c->value - value_from(c, c->x + 2 + tui_str_width(k->name));
    if (tui_str_width(value_of(app, k, &s)) > room) q_buf_printf(b, " · = %s", s.p);
    q_buf_free(&s);
}

/* So many lines of a text; where it goes on, the key that shows all of it. */
static int draw_some(tui_grid *g, const tui_lay *l, int lines, tui_box b, int y)
{
    static const char rest[] = "… ?";
    int end = b.x + b.w - 1, n = (int)l->n_line, last = end - tui_str_width(rest);
    for (int i = 0; i < n && i < lines && y < b.y + b.h; i++, y++) {
        int x = tui_lay_draw(l, (uint32_t)i, g, y, b.x + 1, end);
        if (i + 1 < n && (i + 1 == lines || y + 1 == b.y + b.h)) tui_put(g, y, x < last ? x : last, end, rest, S_DIM);
    }
    return y;
}

static void draw_foot(tui_app *app, const q_knob *k, const columns *col, tui_box b)
{
    tui_grid *g = &app->grid;
    int y = b.y;
    q_buf s = {0};
    tui_lay a = {0}, l = {0}, c = {0};
    say_all(app, k, col, &s);
    tui_lay_plain(&a, s.p, s.len, b.w - 2, "", S_DIM);
    q_buf_free(&s);
    char *cost = agt_knob_cost(app->a, k);
    q_buf why = { 0 };
    const char *fixed = agt_knob_fixed(app->a, k, &why), *help = fixed ? fixed : k->help && *k->help ? _(k->help) : "";
    tui_lay_plain(&l, help, strlen(help), b.w - 2, "", S_DIM);
    tui_lay_plain(&c, cost, strlen(cost), b.w - 2, "", S_STATUS);
    int costs = *cost ? (int)c.n_line : 0, facts = (int)a.n_line, helps = b.h - facts - costs;
    if (helps < 1) helps = 1;
    if (facts > b.h - helps - (costs > 0)) facts = b.h - helps - (costs > 0);
    if (facts < 1) facts = 1;
    y = draw_some(g, &a, facts, b, y);
    y = draw_some(g, &l, helps, b, y);
    draw_some(g, &c, costs, b, y);
    tui_lay_free(&a);
    tui_lay_free(&l);
    tui_lay_free(&c);
    q_buf_free(&why);
    free(cost);
}

/* A step of ← or →: the next choice, one more or less, a twentieth where 1 is the most, twice as much where it is large. */
static void step(tui_app *app, const q_knob *k, int by)
{
    q_buf v = {0};
    const char *now = agt_knob_value(app->a, k, &v);
    char to[64] = "";
    if (k->type == Q_KNOB_INTS && strcmp(k->name, "experts.k") == 0) agt_nudge_k(app->a, by);
    else if (k->type == Q_KNOB_BOOL) snprintf(to, sizeof to, "%s", by > 0 ? "on" : "off");
    else if (k->type == Q_KNOB_CHOICE) {
        const char *p = k->choices, *had = NULL, *next = NULL;
        for (const char *q = p, *before = NULL; q; before = q, q = strchr(q, ',') ? strchr(q, ',') + 1 : NULL)
            if (strcspn(q, ",") == strlen(now) && strncmp(q, now, strlen(now)) == 0) { had = before; next = strchr(q, ',') ? strchr(q, ',') + 1 : NULL; break; }
        p = by > 0 ? next : had;
        if (p) snprintf(to, sizeof to, "%.*s", (int)strcspn(p, ","), p);
    } else if (k->type == Q_KNOB_INT || k->type == Q_KNOB_FLOAT) {
        double lo, hi, x = strtod(now, NULL);
        if (!agt_knob_range(app->a, k, &lo, &hi)) lo = hi = x;
        double d = k->type == Q_KNOB_INT && fabs(x) < 64 ? 1 : k->type == Q_KNOB_FLOAT && hi <= 1 ? .05 : k->type == Q_KNOB_FLOAT && fabs(x) < 10 && fabs(x) >= .01 ? .1 : 0;
        if (d == 0 && x == 0) d = by > 0 ? lo > 0 ? lo : .1 : 0;
        double y = d > 0 ? round((x + by * d) / d) * d : by > 0 ? x * 2 : x / 2;
        if (k->type == Q_KNOB_INT) y = round(y);
        y = y < lo ? lo : y > hi ? hi : y;
        if (y != x) q_knob_number(to, y);
    }
    q_buf_free(&v);
    if (!*to) return;
    char *line = q_printf("/set %s %s", k->name, to);
    agt_submit(app->a, line);
    free(line);
}

static void draw_group(tui_app *app, int g, const columns *c, int x, int y, bool sel)
{
    const tui_knobs *r = &app->knobs;
    bool shut = !*r->filter && r->folded & 1u << g;
    int n = 0, differ = 0;
    for (int i = 0; i < agt_knob_count(app->a); i++) {
        const q_knob *k = agt_knob(app->a, i);
        if (tui_knobs_group(k) != g) continue;
        n++;
        differ += !agt_knob_default(app->a, k);
    }
    x = tui_put(&app->grid, y, x, c->end, app->ui.glyphs ? shut ? "▸ " : "▾ " : shut ? "+ " : "- ", S_FAINT);
    x = tui_put_cut(&app->grid, y, x, c->end, tui_knobs_title(g), sel ? S_SELECT : S_TITLE);
    if (!shut) return;
    x = tui_putf(&app->grid, y, x + 2, c->end, S_FAINT, "%d", n);
    if (differ) tui_putf(&app->grid, y, x, c->end, S_ACCENT, " *%d", differ);
}

static void draw_knob(tui_app *app, const q_knob *k, const columns *c, int x0, int y, bool sel)
{
    tui_grid *g = &app->grid;
    bool plain = agt_knob_default(app->a, k);
    q_buf s = {0};
    int x = tui_put_cut(g, y, x0 + 2, c->name, k->name, sel ? S_SELECT : S_TEXT);
    if (!plain) tui_put(g, y, x0, c->end, "*", S_ACCENT);
    put_ending(g, y, value_from(c, x), c->value, value_of(app, k, &s), plain ? S_DIM : S_ACCENT);
    if (c->own && k->effect != Q_EFFECT_FIXED) {
        const char *own = agt_knob_own(app->a, k, &s);
        put_ending(g, y, c->value + 2, c->own, *own ? own : "–", S_FAINT);
    }
    agt_knob_turn t;
    bool turned = c->since && agt_knob_turned(app->a, k, &t);
    if (turned) {
        since(app, true, &t, false, &s);
        put_ending(g, y, c->own + 2, c->since, s.p, S_DIM);
    }
    if (turned && c->did) {
        bool sure = view_effect_words(t.of, c->did_end - c->did, &s);
        tui_put_cut(g, y, c->did, c->did_end, s.p, sure ? S_ACCENT : S_DIM);
    }
    if (c->aka && k->aka) {
        char *first = q_strndup(k->aka, strcspn(k->aka, ","));
        tui_put_cut(g, y, c->aka, c->end, first, S_FAINT);
        free(first);
    }
    q_buf_free(&s);
}

/* The caption; beside it what is filtered by, and the heads of the columns. */
static void draw_head(tui_app *app, const columns *c, tui_box b, bool focused)
{
    tui_grid *g = &app->grid;
    const tui_knobs *r = &app->knobs;
    bool filter = *r->filter || r->typing;
    int x = view_caption(app, b, _("Config"), c->own || filter ? NULL : "F5", focused), room = c->own ? b.x + NAME : c->end;
    if (c->own && !filter) tui_put(g, b.y, x + 1, room, "F5", S_DIM);
    if (filter) {
        char *s = q_printf("/%s%s  %d", r->filter, r->typing && focused ? app->ui.glyphs ? "▌" : "_" : "", r->found);
        tui_put_cut(g, b.y, x + 1, room, s, S_ACCENT);
        free(s);
    }
    if (!c->own) return;
    put_ending(g, b.y, room, c->value, _("value"), S_FAINT);
    put_ending(g, b.y, c->value + 1, c->own, _("default"), S_FAINT);
    if (c->since) put_ending(g, b.y, c->own + 1, c->since, _("since token"), S_FAINT);
    if (c->did) tui_put_cut(g, b.y, c->did, c->did_end, _("what it did"), S_FAINT);
    if (c->aka) tui_put_cut(g, b.y, c->aka, c->end, "config.json", S_FAINT);
}

static void draw(tui_app *app, tui_box b)
{
    tui_cursor *cur = tui_cursor_of(app, &view_config);
    tui_knobs *r = &app->knobs;
    bool focused = app->go.focus == &view_config;
    int foot = b.h > 24 ? 8 : b.h > 14 ? 5 : b.h > 8 ? 3 : 0, rows = b.h - 1 - foot;
    columns c = columns_of(b);
    tui_knobs_rows(app);
    draw_head(app, &c, b, focused);
    if (cur->sel >= r->n) cur->sel = r->n ? r->n - 1 : 0;
    int top = view_first_row(cur->sel, rows, r->n);
    for (int i = 0; i < rows && top + i < r->n; i++) {
        int row = r->row[top + i], y = b.y + 1 + i;
        bool sel = focused && top + i == cur->sel;
        if (row < 0) draw_group(app, -1 - row, &c, b.x, y, sel);
        else draw_knob(app, agt_knob(app->a, row), &c, b.x, y, sel);
    }
    if (!r->n) view_words(app, b, b.y + 1, 2, _("No knob's name or help has that. Esc shows all."), S_DIM);
    if (foot && r->n && r->row[cur->sel] >= 0)
        draw_foot(app, agt_knob(app->a, r->row[cur->sel]), &c, (tui_box){ b.x, b.y + b.h - foot, b.w, foot });
}

/* Letters into the filter. False: not one of its keys. */
static bool filter_key(tui_app *app, int *sel, const tui_key *k)
{
    tui_knobs *r = &app->knobs;
    char text[sizeof r->filter + 4];
    size_t n = strlen(r->filter);
    memcpy(text, r->filter, n + 1);
    if (k->code == K_ENTER || k->code == K_TAB) { r->typing = false; return true; }
    if (k->code == K_BACKSPACE) {
        if (!n) { r->typing = false; return true; }
        text[tui_cluster_prev(text, n)] = 0;
    } else if (k->code == K_CHAR && k->cp == CTRL_KEY('U')) text[0] = 0;
    else if (k->code == K_CHAR && !k->alt && k->cp >= 32 && k->cp != 127) {
        int more = q_utf8_put(text + n, k->cp);
        if (n + (size_t)more >= sizeof r->filter) return true;
        text[n + (size_t)more] = 0;
    } else return false;
    tui_knobs_filter(app, sel, text);
    return true;
}

/* The panel stays in sight; the composer has the line. */
static void type_value(tui_app *app, const q_knob *k)
{
    q_buf v = {0};
    q_buf_clear(&app->scratch);
    q_buf_printf(&app->scratch, "/set %s %s", k->name, agt_knob_value(app->a, k, &v));
    q_buf_free(&v);
    app->go.focus = NULL;
    tui_comp_put_aside(app);
    app->comp.editing = 0;
    tui_edit_set(&app->comp.ed, app->scratch.p);
}

static bool knob_key(tui_app *app, const q_knob *kn, const tui_key *k)
{
    if (k->code == K_ENTER) type_value(app, kn);
    else if (k->code == K_LEFT || k->code == K_RIGHT) step(app, kn, k->code == K_RIGHT ? 1 : -1);
    else if (tui_key_letter(k) == 'd' || (k->code == K_CHAR && (k->cp == '?' || k->cp == ','))) {
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/set %s%s", kn->name, tui_key_letter(k) == 'd' ? " default" : "");
        agt_submit(app->a, app->scratch.p);
    } else return false;
    return true;
}

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_knobs *r = &app->knobs;
    int *sel = &tui_cursor_of(app, &view_config)->sel;
    tui_knobs_rows(app);
    if (*sel >= r->n) *sel = r->n ? r->n - 1 : 0;
    if (r->typing && filter_key(app, sel, k)) return true;
    int by = tui_key_step(k, 10);
    if (by && !(r->typing && k->code == K_CHAR)) { tui_move(sel, by, r->n); return true; }
    if (k->code == K_CHAR && !k->alt && (k->cp == '/' || k->cp == '.')) { r->typing = true; return true; }     /* the same key in both layouts */
    if (tui_key_letter(k) == 'z') { tui_go_zoom(app, &view_config); return true; }
    if (*sel >= r->n) return false;
    int row = r->row[*sel], g = row < 0 ? -1 - row : tui_knobs_group(agt_knob(app->a, row));
    bool shut = r->folded & 1u << g;
    if (tui_key_letter(k) == 'f' || (row < 0 && k->code == K_ENTER)) tui_knobs_fold(app, sel, g, !shut);
    else if (row < 0 && (k->code == K_LEFT || k->code == K_RIGHT)) tui_knobs_fold(app, sel, g, k->code == K_LEFT);
    else return row >= 0 && knob_key(app, agt_knob(app->a, row), k);
    return true;
}

/* Esc shows all rows again, before it leaves. */
static bool escapes(tui_app *app)
{
    tui_knobs *r = &app->knobs;
    if (!r->typing && !*r->filter) return false;
    r->typing = false;
    tui_knobs_filter(app, &tui_cursor_of(app, &view_config)->sel, "");
    return true;
}

static const char *keys(const tui_app *app)
{
    if (app->knobs.typing) return _("type to narrow · ↑ ↓ walk · ← → turn · Enter keeps it · Esc shows all");
    if (*app->knobs.filter) return _("j k walk · / other words · d default · Enter type · ← → turn · Esc shows all");
    return _(view_config.hint);
}

static void opened(tui_app *app)
{
    int *sel = &tui_cursor_of(app, &view_config)->sel;
    if (!*sel && !(app->knobs.folded & 1u)) *sel = 1;           /* the first knob, not the head of its group */
}

const tui_view view_config = {
    .name = "config", .key = K_F5, .digit = '5', .action = AGT_UI_CONFIG, .place = AT_INSTEAD, .zooms = true, .wide = 112,
    .hint = N_("j k walk · ? what it does · z wide · f fold · / find · Enter type · d default · ← → turn · Esc back"), .keys = keys,
    .draw = draw, .on_key = on_key, .escapes = escapes, .opened = opened,
};
