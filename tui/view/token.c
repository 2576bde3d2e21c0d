/* view/token: the token cursor: it stands between brackets in the transcript, and here is what is known of that token: what
 * else could have stood there, and which experts ran for it. Front-end thread; what is said comes from the agent. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sentences go on in the next row; rows of a table are cut where they are drawn. */
static char *wrapped(const char *text, int w)
{
    q_buf out = { 0 };
    q_buf_puts(&out, "");
    for (const char *p = text ? text : ""; *p;) {
        size_t n = strcspn(p, "\n"), done = 0;
        while (done < n && *p != ' ') {
            size_t take = done;
            for (size_t i = done + 1; i <= n; i++) {
                if (i < n && p[i] != ' ') continue;
                char *row = q_strndup(p + done, i - done);
                bool fits = tui_str_width(row) <= w;
                free(row);
                if (!fits) break;
                take = i;
            }
            if (take == done) break;     /* a word that is wider than the panel */
            q_buf_add(&out, p + done, take - done);
            for (done = take; done < n && p[done] == ' ';) done++;
            if (done < n) q_buf_puts(&out, "\n");
        }
        q_buf_add(&out, p + done, n - done);
        q_buf_puts(&out, "\n");
        p += n + (p[n] == '\n');
    }
    return q_buf_take(&out);
}

/* ---- an expert is chosen ---- */
static int rows_of(const tui_transcript *t)
{
    int n = 0;
    for (const char *p = t->token.ran ? t->token.ran : ""; *p; p++) n += *p == '\n';
    return n;
}

/* The chosen row: its layer, and experts[0..most); returns how many there are. */
static int chosen_row(const tui_transcript *t, int *layer, int *expert, int most)
{
    const char *p = t->token.ran ? t->token.ran : "";
    int n = 0;
    for (int i = 0; i < t->token.row && *p; i++) p += strcspn(p, "\n") + 1;
    char *end;
    *layer = (int)strtol(p, &end, 10);
    while (*end == ' ' && n < most) expert[n++] = (int)strtol(end, &end, 10);
    return n;
}

enum { SLOTS = 1024, BEFORE = 2 };       /* experts of a layer; that stand before the chosen one, where there are more than fit */

/* All of the row's experts, as far as they fit, the chosen one between brackets. */
static void draw_chosen(tui_app *app, tui_box b, int y)
{
    const tui_transcript *t = &app->tr;
    int layer, e[SLOTS], n = chosen_row(t, &layer, e, SLOTS), end = b.x + b.w;
    int x = tui_put(&app->grid, y, b.x, end, app->ui.glyphs ? "▸" : ">", S_ACCENT);
    x = tui_putf(&app->grid, y, x, end, S_SELECT, "%3d ", layer);
    for (int i = t->token.slot > BEFORE ? t->token.slot - BEFORE : 0; i < n && x < end; i++) {
        bool here = i == t->token.slot;
        x = tui_putf(&app->grid, y, x, end, here ? S_ACCENT : S_TEXT, here ? "[e%d]" : "e%d", e[i]);
        x = tui_put(&app->grid, y, x, end, " ", S_TEXT);
    }
    while (x < end) x = tui_put(&app->grid, y, x, end, " ", S_TEXT);
}

static bool choose(tui_app *app, const tui_key *k)
{
    tui_transcript *t = &app->tr;
    uint32_t c = tui_key_letter(k);
    int layer, e[SLOTS], n, side = c == 'l' || k->code == K_RIGHT ? 1 : c == 'h' || k->code == K_LEFT ? -1 : 0;
    int by = c == 'j' || k->code == K_DOWN ? 1 : c == 'k' || k->code == K_UP ? -1 : 0;
    if (by) tui_move(&t->token.row, by, rows_of(t));
    n = chosen_row(t, &layer, e, SLOTS);
    tui_move(&t->token.slot, side, n);
    if (k->code == K_ENTER && n) view_expert_page(app, layer, e[t->token.slot]);
    return by || side || k->code == K_ENTER;
}

static bool back(tui_app *app)
{
    bool was = app->tr.token.picks || app->tr.token.jumps;
    app->tr.token.picks = app->tr.token.jumps = false;
    return was;
}

/* ---- a token's number is typed ---- */
enum { FARTHEST = 99999999 };

static bool jump(tui_app *app, const tui_key *k)
{
    tui_transcript *t = &app->tr;
    uint32_t c = k->code == K_CHAR && !k->alt ? k->cp : 0;
    char typed[16] = "";
    if (c == ':' || (c >= '0' && c <= '9')) {
        if (!t->token.jumps || c == ':') t->token.jump = 0;
        if (c != ':' && t->token.jump <= FARTHEST / 10) t->token.jump = t->token.jump * 10 + (int)(c - '0');
        t->token.jumps = true;
    } else if (!t->token.jumps)
        return false;
    else if (k->code == K_BACKSPACE)
        t->token.jump /= 10;
    else {                               /* with any other key nothing is typed any more, and it acts as ever */
        t->token.jumps = false;
        if (k->code != K_ENTER && tui_key_letter(k) != 'g') return false;
        if (t->token.jump) agt_look(app->a, t->token.message, t->token.jump, 0, false);
    }
    if (t->token.jump) snprintf(typed, sizeof typed, "%d", t->token.jump);
    snprintf(t->token.says, sizeof t->token.says, _("to token %s_ of %d · g or Enter goes there · Esc back"), typed, t->token.of);
    return true;
}

static void draw(tui_app *app, tui_box b)
{
    char *s = wrapped(app->tr.token.text, b.w - 1);
    int *top = &tui_cursor_of(app, &view_token)->top, lines = 0, at = 0, chosen = -1;
    bool picks = app->tr.token.picks;
    view_caption(app, b, _("Token"), picks ? _("j k layer · h l expert · Enter") : NULL, app->go.focus == &view_token);
    for (const char *p = s; *p; p++) lines += *p == '\n';
    if (picks) {
        chosen = lines - rows_of(&app->tr) + app->tr.token.row;
        if (chosen < *top) *top = chosen;
        if (chosen >= *top + b.h - 1) *top = chosen - b.h + 2;
    }
    if (*top > lines - (b.h - 1)) *top = lines - (b.h - 1);
    if (*top < 0) *top = 0;
    for (const char *p = s; *p && at - *top < b.h - 1; at++) {
        size_t n = strcspn(p, "\n");
        char *line = q_strndup(p, n);
        if (at >= *top && at == chosen) draw_chosen(app, b, b.y + 1 + at - *top);
        else if (at >= *top) tui_put_cut(&app->grid, b.y + 1 + at - *top, b.x + 1, b.x + b.w, line, S_TEXT);
        free(line);
        p += n + (p[n] == '\n');
    }
    free(s);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_transcript *t = &app->tr;
    int *top = &tui_cursor_of(app, &view_token)->top;
    int page = k->code == K_PGDN ? 8 : k->code == K_PGUP ? -8 : 0;
    uint32_t c = tui_key_letter(k);
    int token = c == 'l' || k->code == K_RIGHT ? 1 : c == 'h' || k->code == K_LEFT ? -1 : 0;
    int word = c == 'j' || k->code == K_DOWN ? 1 : c == 'k' || k->code == K_UP ? -1 : 0;
    if (page) { *top += page; return true; }
    if (!t->token.message) return false;
    if (t->token.picks && choose(app, k)) return true;
    if (!t->token.picks && jump(app, k)) return true;
    if (k->code == K_ENTER) {
        t->token.picks = rows_of(t) > 0;
        t->token.row = t->token.slot = 0;
        return true;
    }
    if (token || word) agt_look(app->a, t->token.message, -t->token.number, token + word, word != 0);     /* a key before the answer to the one before counts too */
    else if (c == 'w') {
        int n = 0, of = 0;               /* which of the answers it is; the last one needs no number */
        for (int i = 0; i < t->n; i++) {
            of += t->item[i].role == AGT_ASSISTANT;
            if (t->item[i].id == t->token.message) n = of;
        }
        char *line = n && n < of ? q_printf("/whatif @%d %d ", n, t->token.number) : q_printf("/whatif %d ", t->token.number);
        tui_go_compose(app, line);
        free(line);
    } else if (c == 'a') agt_look_again(app->a, t->token.message, t->token.number);
    else if (k->code == K_HOME) agt_look(app->a, t->token.message, 1, 0, false);
    else if (k->code == K_END) agt_look(app->a, t->token.message, 0, 0, false);
    else return false;
    return true;
}

static void on_event(tui_app *app, agt_event *e)
{
    if (e->kind != AGT_EV_LOOK || app->go.focus != &view_token || app->tr.token.message != e->id) return;
    tui_tr_token_at(&app->tr, e->id, e->number, (int)e->total, (long)e->done, (long)e->scroll, e->text);
    app->tr.token.ran = e->data;
    e->data = NULL;
    const tui_layout *l = &app->lay;
    int over = l->overlay.w && l->overlay.h < l->transcript.h ? l->overlay.h : 0;       /* the text stands below it */
    tui_tr_show_token(&app->tr, tui_transcript_width(app), l->transcript.h - over);
}

static const char *keys(const tui_app *app)
{
    if (app->tr.token.jumps) return app->tr.token.says;
    return app->tr.token.picks ? _("j k layer · h l expert · Enter its tokens · Esc back") : _(view_token.hint);
}

const tui_view view_token = {
    .name = "token", .place = AT_INSTEAD, .hint = N_("h l token · j k word · : jump · a what else · w what if · Enter experts · Esc"),
    .keys = keys, .draw = draw, .on_key = on_key, .on_event = on_event, .back = back,
};
