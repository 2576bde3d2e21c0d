/* model/input: what a key does: the composer's and those that always work. Front-end thread; acts on the app and through
 * agt_* calls, which do not block. Panels' own keys are in their files. Esc never clears text and never quits. */
#include "tui/model/app.h"
#include "tui/term/text.h"

#include <stdlib.h>
#include <string.h>

enum { QUIT_MS = 1500 };             /* between the two Ctrl-C that quit */

static bool empty(const tui_app *app) { return app->comp.ed.b.len == 0; }

/* ".ыуе" is "/set" typed on the other layout: offered, not sent. Returns true when the composer was changed. */
static bool layout_slip(tui_app *app)
{
    const char *s = app->comp.ed.b.p;
    if (!s || (s[0] != '.' && s[0] != '/') || !s[1]) return false;
    q_buf b = {0};
    q_buf_putc(&b, '/');
    size_t i = 1;
    bool moved = false;
    while (i < app->comp.ed.b.len && s[i] != ' ') {
        uint32_t c;
        i += (size_t)q_utf8_next(s + i, app->comp.ed.b.len - i, &c);
        uint32_t l = tui_key_latin(c);
        if (l != c) moved = true;
        char u[4];
        q_buf_add(&b, u, (size_t)q_utf8_put(u, l));
    }
    int n;
    bool known = false;
    const agt_command *cmd = agt_commands(&n);
    for (int k = 0; k < n; k++) if (strcmp(cmd[k].name, b.p + 1) == 0) known = true;
    for (int k = 0; k < n && known; k++)        /* "/с…" may be a Russian name, which is right as it is */
        if (s[0] == '/' && cmd[k].ru && strlen(cmd[k].ru) == i - 1 && memcmp(cmd[k].ru, s + 1, i - 1) == 0) known = false;
    if (known && moved) {
        tui_edit_replace(&app->comp.ed, 0, i, b.p);
        app->comp.ed.at = app->comp.ed.b.len;
        char *say = q_printf(_("Typed on the other layout: this is %s. Enter does it."), b.p);
        tui_app_note(app, AGT_INFO, say);
        free(say);
    }
    q_buf_free(&b);
    return known && moved;
}

/* Letters mostly Cyrillic, and a model that lists its languages without Russian. */
static void language_hint(tui_app *app, const char *s)
{
    if (app->ui.hinted_lang || !app->seen.st.languages[0] || strstr(app->seen.st.languages, "ru") || *s == '/') return;
    int cyr = 0, lat = 0;
    for (size_t i = 0, n = strlen(s); i < n;) {
        uint32_t c;
        i += (size_t)q_utf8_next(s + i, n - i, &c);
        if (c >= 0x400 && c < 0x530) cyr++;
        else if (tui_cp_word(c) && c > '9') lat++;
    }
    if (cyr <= lat) return;
    app->ui.hinted_lang = true;
    agt_setting_put(app->a, "tui.hint.language", "1");
    char *say = strcmp(app->seen.st.languages, "en") == 0 ? q_strdup(_("This model answers in English only. Your own: /model"))
                                                     : q_printf(_("This model's languages: %s. Your own model: /model"), app->seen.st.languages);
    tui_app_note(app, AGT_WARN, say);
    free(say);
}

void tui_app_submit(tui_app *app)
{
    tui_popup_close(app);
    if (app->comp.ed.searching) { app->comp.ed.searching = false; return; }
    if (tui_approve_submit(app)) return;
    const char *s = app->comp.ed.b.p ? app->comp.ed.b.p : "";
    size_t n = app->comp.ed.b.len, i = 0;
    if (n && app->comp.ed.at == n && s[n - 1] == '\\') {            /* a backslash before Enter is a new line */
        tui_edit_delete(&app->comp.ed, M_LEFT);
        tui_edit_insert(&app->comp.ed, "\n", 1);
        return;
    }
    while (i < n && (s[i] == ' ' || s[i] == '\n')) i++;
    if (i == n) {
        if (n || !tui_app_first(app) || app->comp.editing) return;
        tui_edit_set(&app->comp.ed, tui_question(app, 0));
    } else if (n == 1 && tui_app_first(app) && s[0] >= '1' && s[0] < '1' + TUI_QUESTIONS) tui_edit_set(&app->comp.ed, tui_question(app, s[0] - '1'));
    bool amend = app->comp.editing && app->comp.amend;
    if (!amend && layout_slip(app)) return;
    char *text = tui_edit_take(&app->comp.ed);
    if (!amend) tui_edit_remember(&app->comp.ed, text);      /* an answer's words are no question */
    if (app->say.note && app->say.note_level == AGT_ERROR) app->say.note_until = app->now;
    if (!amend) language_hint(app, text);
    if (app->go.over && app->go.over->place == AT_OVER) {
        if (*text == '/' && !app->comp.editing) app->go.page_old = true;
        else tui_go_leave(app);            /* what is asked is to be seen */
    }
    if (amend) agt_amend(app->a, app->comp.editing, text);
    else if (app->comp.editing) agt_edit(app->a, app->comp.editing, text);
    else {
        agt_submit(app->a, text);
        if (*text != '/' && app->work.loading) tui_app_note(app, AGT_INFO, _("Kept: it is asked as soon as the model is ready."));
    }
    app->comp.editing = 0;
    app->tr.follow = true;
    free(text);
    tui_comp_come_back(app);
    agt_keep_place(app->a, app->seen.chat, 0, tui_draft(app));   /* of the one on the screen: /new may already have made another */
}

static void ctrl_x(tui_app *app, const tui_key *k)
{
    app->comp.ctrl_x = false;
    if (k->code != K_CHAR) return;
    for (int i = 0; i < app->n_view; i++) if (app->view[i]->digit && (uint32_t)app->view[i]->digit == tui_key_latin(k->cp)) tui_go_open(app, app->view[i]);
    switch (tui_key_latin(k->cp)) {
    case '6': agt_pause(app->a, !app->seen.st.paused); break;
    case '7': agt_nudge_k(app->a, -1); break;
    case 't': agt_end_thinking(app->a); break;
    case '8': agt_nudge_k(app->a, +1); break;
    case '9': agt_toggle(app->a); break;
    case '1': tui_act_help(app); break;
    case '<': case ',': app->go.panel_w = (app->go.panel_w ? app->go.panel_w : LAY_PANEL) + 2; break;
    case '>': case '.': app->go.panel_w = (app->go.panel_w ? app->go.panel_w : LAY_PANEL) - 2; break;
    case CTRL_KEY('E'): case 'e': app->want = WANT_EDITOR; break;
    default: break;
    }
    if (app->go.panel_w && app->go.panel_w < 30) app->go.panel_w = 30;
    if (app->go.panel_w > 120) app->go.panel_w = 120;
}

static void stop_or_quit(tui_app *app)
{
    if (agt_answering(app->a) || app->work.prog_total || app->work.pre_total > 0) { agt_stop(app->a); return; }
    if (!empty(app)) {                       /* as in a shell; Ctrl-Y brings it back */
        tui_edit_move(&app->comp.ed, M_END);
        tui_edit_kill(&app->comp.ed, M_START);
        app->comp.editing = 0;
        tui_comp_come_back(app);
        return;
    }
    if (app->quit_armed && app->now - app->quit_armed < QUIT_MS) { app->want = WANT_QUIT; return; }
    app->quit_armed = app->now ? app->now : 1;
    tui_app_note(app, AGT_INFO, _("Ctrl-C again quits."));
    app->say.note_until = app->now + QUIT_MS;   /* no longer than it is true */
}

static void escape(tui_app *app)
{
    if (app->comp.popup.n) tui_popup_close(app);
    else if (app->comp.ed.searching) app->comp.ed.searching = false;
    else if (app->go.focus && app->go.focus->escapes && app->go.focus->escapes(app)) return;
    else if (app->go.over || app->go.focus) {
        if (app->go.focus && app->go.zoom == app->go.focus) app->go.zoom = NULL;       /* all as it was, the other panel included */
        tui_go_back(app);
    }
    else if (app->work.prog_total && !tui_tr_last(&app->tr)) {        /* an import is not lost to one Esc too many */
        if (app->esc_armed && app->now - app->esc_armed < QUIT_MS) { agt_stop(app->a); app->say.note_until = app->now; app->esc_armed = 0; return; }
        app->esc_armed = app->now ? app->now : 1;
        tui_app_note(app, AGT_INFO, _("Esc again stops what is going on."));
        app->say.note_until = app->now + QUIT_MS;
    } else if (agt_answering(app->a) || app->work.prog_total) agt_stop(app->a);
    else if (app->comp.editing) tui_comp_leave(app);
    else if (!app->comp.ed.b.len && app->comp.stash) tui_comp_come_back(app);
    else if (app->say.note) app->say.note_until = app->now;
}

static bool inside(tui_box b, int x, int y) { return b.w && x >= b.x && x < b.x + b.w && y >= b.y && y < b.y + b.h; }

/* The wheel scrolls what is under it; a click gives the focus. */
static void mouse(tui_app *app, const tui_key *k)
{
    const tui_layout *l = &app->lay;
    int d = k->code == K_WHEEL_UP ? -3 : 3;
    tui_key arrow = { .code = d < 0 ? K_UP : K_DOWN };
    const tui_view *under = NULL;
    for (int i = 0; i < app->n_view; i++) if (inside(tui_box_of(l, app->view[i], &app->go), k->x, k->y)) under = app->view[i];
    if (app->go.over && inside(l->overlay, k->x, k->y)) under = app->go.over;
    if (k->code == K_CLICK) {
        if (under) { if (app->go.focus != under) tui_go_open(app, under); }
        else if (inside(l->composer, k->x, k->y)) app->go.focus = NULL;
        return;
    }
    if (!under && tui_app_first(app)) { app->go.first_top += d; return; }
    if (!under) { tui_tr_scroll(&app->tr, tui_transcript_width(app), l->transcript.h, d); return; }
    for (int i = 0; i < 3; i++) under->on_key(app, &arrow);
}

static void search_key(tui_app *app, const tui_key *k)
{
    tui_edit *e = &app->comp.ed;
    if (k->code == K_CHAR && k->cp == CTRL_KEY('R')) { tui_edit_search(e, true); return; }
    if (k->code == K_BACKSPACE) {
        if (e->find.len) { e->find.len = tui_cluster_prev(e->find.p, e->find.len); e->find.p[e->find.len] = 0; }
        e->find_at = e->n_hist;
    } else {
        char u[4];
        q_buf_add(&e->find, u, (size_t)q_utf8_put(u, k->cp));
    }
    tui_edit_search(e, false);
}

static void composer_char(tui_app *app, const tui_key *k)
{
    tui_edit *e = &app->comp.ed;
    int cells = tui_composer_cells(app, app->grid.w);
    if (k->alt) {
        switch (tui_key_latin(k->cp)) {
        case 'b': tui_edit_move(e, M_WORD_LEFT); return;
        case 'f': tui_edit_move(e, M_WORD_RIGHT); return;
        case 'd': tui_edit_kill(e, M_WORD_RIGHT); return;
        default: return;
        }
    }
    switch (k->cp) {
    case CTRL_KEY('A'): tui_edit_move(e, M_LINE_START); break;
    case CTRL_KEY('E'): tui_edit_move(e, M_LINE_END); break;
    case CTRL_KEY('B'): tui_edit_move(e, M_LEFT); break;
    case CTRL_KEY('F'): tui_edit_move(e, M_RIGHT); break;
    case CTRL_KEY('K'): tui_edit_kill(e, M_LINE_END); break;
    case CTRL_KEY('U'): tui_edit_kill(e, M_LINE_START); break;
    case CTRL_KEY('W'): tui_edit_kill(e, M_BLANK_LEFT); break;
    case CTRL_KEY('Y'): tui_edit_yank(e); break;
    case CTRL_KEY('_'): tui_edit_undo(e); break;
    case CTRL_KEY('J'): tui_edit_insert(e, "\n", 1); break;
    case CTRL_KEY('P'): if (!tui_edit_vertical(e, cells, -1)) tui_edit_history(e, -1); break;
    case CTRL_KEY('N'): if (!tui_edit_vertical(e, cells, +1)) tui_edit_history(e, +1); break;
    case CTRL_KEY('R'):
        e->searching = true;
        e->find_at = e->n_hist;
        q_buf_clear(&e->find);
        break;
    case CTRL_KEY('T'): {
        if (tui_edit_unfold(e)) break;
        for (int i = app->tr.n - 1; i >= 0; i--)
            if (tui_item_think_lines(&app->tr.item[i])) { app->tr.item[i].open = !app->tr.item[i].open; break; }
        break;
    }
    case CTRL_KEY('D'):
        if (empty(app)) app->want = WANT_QUIT;
        else tui_edit_delete(e, M_RIGHT);
        break;
    default:
        if (k->cp >= 32 && k->cp != 127) {
            char u[4];
            tui_edit_insert(e, u, (size_t)q_utf8_put(u, k->cp));
        }
    }
}

static void composer_key(tui_app *app, const tui_key *k)
{
    tui_edit *e = &app->comp.ed;
    int cells = tui_composer_cells(app, app->grid.w);
    switch (k->code) {
    case K_CHAR: composer_char(app, k); break;
    case K_ENTER:
        if (k->alt || (k->amid && !empty(app) && e->b.p[0] != '/')) tui_edit_insert(e, "\n", 1);   /* a command is one line */
        else tui_app_submit(app);
        break;
    case K_TAB:
        if (!empty(app)) tui_complete(app);
        else if (app->go.over) app->go.focus = app->go.over;
        else if (app->tr.n) {
            app->go.focus = tui_view_named(app, "transcript");
            app->tr.selected = app->tr.n - 1;
        }
        break;
    case K_BACKSPACE: if (k->alt) tui_edit_kill(e, M_WORD_LEFT); else tui_edit_delete(e, M_LEFT); break;
    case K_DELETE: tui_edit_delete(e, M_RIGHT); break;
    case K_LEFT: tui_edit_move(e, k->alt ? M_WORD_LEFT : M_LEFT); break;
    case K_RIGHT:
        if (app->seen.st.paused && e->at == e->b.len) agt_step(app->a);
        else tui_edit_move(e, k->alt ? M_WORD_RIGHT : M_RIGHT);
        break;
    case K_CTRL_LEFT: tui_edit_move(e, M_WORD_LEFT); break;
    case K_CTRL_RIGHT: tui_edit_move(e, M_WORD_RIGHT); break;
    case K_HOME:
        if (empty(app) && app->tr.n) tui_tr_home(&app->tr, tui_transcript_width(app), app->lay.transcript.h);
        else tui_edit_move(e, M_LINE_START);
        break;
    case K_END:
        if (empty(app) || !app->tr.follow) app->tr.follow = true;
        else tui_edit_move(e, M_LINE_END);
        break;
    case K_UP: if (!tui_edit_vertical(e, cells, -1)) tui_edit_history(e, -1); break;
    case K_DOWN: if (!tui_edit_vertical(e, cells, +1)) tui_edit_history(e, +1); break;
    default: break;
    }
}

static void pasted_too_much(tui_app *app, size_t kept, size_t lost)
{
    char all[32], most[32];
    char *say = q_printf(_("Of %s pasted only the first %s are here: that is the most a message takes. A file is added whole by /add."),
                         q_bytes_words(kept + lost, all), q_bytes_words(kept, most));
    tui_app_note(app, AGT_WARN, say);
    free(say);
}

/* Keys that mean the same wherever the focus is. */
static bool global_key(tui_app *app, const tui_key *k)
{
    int w = tui_transcript_width(app), h = app->lay.transcript.h, page = h > 3 ? h - 2 : 1;
    for (int i = 0; i < app->n_view && k->code != K_NONE; i++)
        if (app->view[i]->key == k->code) { tui_go_open(app, app->view[i]); return true; }
    switch (k->code) {
    case K_F1: if (app->go.over && app->go.over == tui_view_named(app, "page")) tui_go_back(app); else tui_act_help(app); return true;
    case K_F6: agt_pause(app->a, !app->seen.st.paused); return true;
    case K_F7: agt_nudge_k(app->a, -1); return true;
    case K_F8: agt_nudge_k(app->a, +1); return true;
    case K_F9: agt_toggle(app->a); return true;
    case K_ESC: escape(app); return true;
    case K_WHEEL_UP: case K_WHEEL_DOWN: case K_CLICK: mouse(app, k); return true;
    case K_PASTE:
        if (k->text) {
            tui_popup_close(app);
            app->go.focus = NULL;
            tui_edit_paste(&app->comp.ed, k->text, strlen(k->text));
            if (k->lost) pasted_too_much(app, strlen(k->text), k->lost);
        }
        return true;
    case K_PGUP: case K_PGDN:
        if (!app->go.focus || app->go.focus->place == AT_TEXT) {
            int d = k->code == K_PGUP ? -page : page;
            if (tui_app_first(app)) app->go.first_top += d;
            else tui_tr_scroll(&app->tr, w, h, d);
            return true;
        }
        return false;
    case K_CHAR:
        if (k->cp == CTRL_KEY('C')) { stop_or_quit(app); return true; }
        if (k->cp == CTRL_KEY('Z')) { app->want = WANT_SUSPEND; return true; }
        if (k->cp == CTRL_KEY('L')) { app->want = WANT_REPAINT; return true; }
        if (k->cp == CTRL_KEY('X')) { app->comp.ctrl_x = true; return true; }
        return false;
    default: return false;
    }
}

/* What the focused panel makes of a key, and what every panel does alike. */
static bool panel_key(tui_app *app, const tui_key *k)
{
    const tui_view *v = app->go.focus;
    if (v->on_key(app, k)) return true;
    if (v->place == AT_TEXT) return false;
    if (k->code == K_TAB) { app->go.focus = NULL; return true; }      /* an overlay stays in sight */
    if (tui_key_letter(k) == 'q') { tui_go_back(app); return true; }
    bool list = v->types;
    if (k->code == K_CHAR && !k->alt && (k->cp == '/' || (list && k->cp > ' ' && k->cp != 127))) {
        char u[4];                          /* words begin: the composer takes over, what is open stays in sight */
        app->go.focus = NULL;
        tui_edit_insert(&app->comp.ed, u, (size_t)q_utf8_put(u, k->cp));
        return true;
    }
    return false;
}

void tui_app_key(tui_app *app, const tui_key *k)
{
    app->owed.all = true;
    if (!(k->code == K_CHAR && k->cp == CTRL_KEY('C'))) app->quit_armed = 0;
    if (k->code != K_ESC || app->go.focus || app->go.over) app->esc_armed = 0;
    bool moved = k->code == K_WHEEL_UP || k->code == K_WHEEL_DOWN || k->code == K_CLICK;
    if (app->ask.question && !moved && tui_ask_key(app, k)) return;     /* the mouse answers nothing */
    if (app->comp.ctrl_x) { ctrl_x(app, k); return; }
    if (tui_approve_key(app, k)) return;
    if (app->comp.popup.n && tui_popup_key(app, k)) return;
    if (app->comp.ed.searching && ((k->code == K_CHAR && !k->alt && (k->cp >= 32 || k->cp == CTRL_KEY('R'))) || k->code == K_BACKSPACE)) {
        search_key(app, k);
        return;
    }
    if (k->code == K_CHAR && k->alt && k->cp == '/') {      /* Esc, then a command, which a terminal or tmux took for one key */
        if (app->go.over || app->go.focus) escape(app);
        app->go.focus = NULL;
        tui_edit_insert(&app->comp.ed, "/", 1);
        return;
    }
    if (global_key(app, k)) return;
    app->comp.ed.searching = app->comp.ed.searching && k->code == K_ENTER;
    if (app->go.focus) panel_key(app, k);
    else composer_key(app, k);
}
