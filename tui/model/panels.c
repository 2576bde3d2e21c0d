/* model/panels: keys of the focused panel and of the transcript walk, and the commands that only a front end can do.
 * Front-end thread. A letter of a Cyrillic layout stands for the key it is on. */
#include "tui/model/app.h"
#include "tui/tui.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t letter(const tui_key *k) { return k->code == K_CHAR ? tui_key_latin(k->cp) : 0; }
static int step_of(const tui_key *k, int page)
{
    uint32_t c = letter(k);
    return k->code == K_UP || c == 'k' ? -1 : k->code == K_DOWN || c == 'j' ? 1 : k->code == K_PGUP ? -page : k->code == K_PGDN ? page
         : k->code == K_HOME || c == 'g' ? -100000 : k->code == K_END || (k->code == K_CHAR && k->cp == 'G') ? 100000 : 0;
}

static void move(int *sel, int by, int n)
{
    *sel += by;
    if (*sel >= n) *sel = n - 1;
    if (*sel < 0) *sel = 0;
}

static void compose(tui_app *app, const char *text)
{
    tui_app_leave(app);
    tui_edit_set(&app->ed, text);
}

void tui_app_page(tui_app *app, const char *title, const char *text)
{
    free(app->page.title);
    app->page.title = q_strdup(title);
    q_buf_clear(&app->page.text);
    q_buf_puts(&app->page.text, text);
    app->page.width = app->page.top = 0;
    app->page_old = false;
    if (app->focus == FOCUS_MEMORY || app->focus == FOCUS_EXPERTS) app->back = app->focus;
    else if (app->over != FOCUS_PAGE) app->back = FOCUS_COMPOSER;
    app->focus = app->over = FOCUS_PAGE;
}

static const struct { const char *keys, *what; } key_help[] = {
    { "Enter", N_("send") }, { "Ctrl-J, Alt-Enter, \\ Enter", N_("new line") }, { "Ctrl-C, Esc", N_("stop the answer") },
    { "F7 F8", N_("fewer, more experts from the next token") }, { "F6, →", N_("pause; one token at a time") },
    { "F9", N_("the previous configuration and back") }, { "F2 F3 F4 F5", N_("chats, experts, memory, config (Ctrl-X 2 3 4 5)") },
    { "Tab", N_("complete; in an empty composer: walk the transcript") }, { "PgUp PgDn, End", N_("scroll; back to the end") },
    { "Ctrl-R, ↑ ↓", N_("search the history; walk it") }, { "Ctrl-X Ctrl-E", N_("write in $EDITOR") },
    { "Ctrl-T", N_("unfold or fold the thinking") }, { "Ctrl-A E K U W Y _, Alt-B F D", N_("as in readline; Ctrl-_ undoes") },
    { "Ctrl-L, Ctrl-Z", N_("repaint; suspend") }, { "Ctrl-D", N_("quit, when the composer is empty") } };

void tui_app_help(tui_app *app)
{
    q_buf b = {0};
    int n, w = 0;
    for (size_t i = 0; i < sizeof key_help / sizeof *key_help; i++)
        q_buf_printf(&b, "%s%*s  %s\n", key_help[i].keys, 30 - tui_str_width(key_help[i].keys), "", _(key_help[i].what));
    q_buf_puts(&b, "\n");
    const agt_command *c = agt_commands(&n);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            char *left = q_printf("/%s%s%s%s%s", c[i].name, c[i].args && *c[i].args ? " " : "", c[i].args && *c[i].args ? _(c[i].args) : "",
                                  c[i].ru ? "  /" : "", c[i].ru ? c[i].ru : "");
            int k = tui_str_width(left);
            if (pass == 0) { if (k > w && k <= 44) w = k; }
            else q_buf_printf(&b, "%s%*s  %s%s%s\n", left, w > k ? w - k : 0, "", c[i].help ? _(c[i].help) : "", c[i].key ? " · " : "",
                              c[i].key ? c[i].key : "");
            free(left);
        }
    tui_app_page(app, _("Keys and commands"), b.p);
    q_buf_free(&b);
}

void tui_app_show_log(tui_app *app)
{
    static const char *const mark[3] = { " ", "!", "✗" };
    q_buf b = {0};
    for (int i = app->n_log - 1; i >= 0; i--)
        q_buf_printf(&b, "%s %s\n", mark[app->log[i].level < 0 || app->log[i].level > 2 ? 0 : app->log[i].level], app->log[i].text);
    tui_app_page(app, _("Log, newest first"), b.p ? b.p : _("Nothing has been said yet."));
    q_buf_free(&b);
}

static const tui_item *last_answer(tui_app *app)
{
    for (int i = app->tr.n - 1; i >= 0; i--) if (app->tr.item[i].role == AGT_ASSISTANT) return &app->tr.item[i];
    return NULL;
}

static tui_item *last_question(tui_app *app, int from)
{
    for (int i = from; i >= 0; i--) if (app->tr.item[i].role == AGT_USER) return &app->tr.item[i];
    return NULL;
}

/* The original text, not what was drawn. OSC 52 in most terminals takes about 74,994 bytes before base64. */
void tui_app_copy(tui_app *app, const tui_item *it)
{
    enum { LIMIT = 74994 };
    if (!it || !it->text.len) { tui_app_note(app, AGT_INFO, _("Nothing to copy yet.")); return; }
    if (it->text.len > LIMIT) {
        tui_app_note(app, AGT_WARN, _("Too long for the terminal's clipboard (73 KiB): /trace and the store keep it."));
        return;
    }
    free(app->clip);
    app->clip = q_strdup(it->text.p);
    char *say = q_printf(ngettext("Copied %d character.", "Copied %d characters.", (unsigned long)it->text.len), (int)it->text.len);
    tui_app_note(app, AGT_INFO, say);
    free(say);
}

void tui_app_edit(tui_app *app, tui_item *q)
{
    if (!q) return;
    tui_app_leave(app);
    tui_edit_set(&app->ed, q->text.p ? q->text.p : "");
    app->editing = q->id;
}

void tui_app_screenshot(tui_app *app, const char *path)
{
    char err[Q_ERRLEN], *say;
    while (*path == ' ') path++;
    if (!*path) path = "quorum.svg";
    free(app->note);
    app->note = NULL;
    tui_app_draw(app);
    if (tui_svg(&app->grid, &app->theme, path, err) < 0) { tui_app_note(app, AGT_ERROR, err); return; }
    say = q_printf(_("The screen is in %s."), path);
    tui_app_note(app, AGT_INFO, say);
    free(say);
}

void tui_app_action(tui_app *app, int action, const char *arg)
{
    char err[Q_ERRLEN];
    static const enum tui_focus panel[] = { [AGT_UI_CHATS] = FOCUS_CHATS, [AGT_UI_EXPERTS] = FOCUS_EXPERTS,
                                            [AGT_UI_MEMORY] = FOCUS_MEMORY, [AGT_UI_CONFIG] = FOCUS_CONFIG };
    if (!arg) arg = "";
    switch (action) {
    case AGT_UI_QUIT: app->want = WANT_QUIT; break;
    case AGT_UI_CHATS: case AGT_UI_EXPERTS: case AGT_UI_MEMORY: case AGT_UI_CONFIG: tui_app_open(app, panel[action]); break;
    case AGT_UI_HELP: tui_app_help(app); break;
    case AGT_UI_COPY: tui_app_copy(app, last_answer(app)); break;
    case AGT_UI_SCREENSHOT: tui_app_screenshot(app, arg); break;
    case AGT_UI_THEME: {
        tui_theme t;
        if (tui_theme_load(*arg ? arg : strcmp(app->theme.name, "dark") == 0 ? "light" : "dark", &t, err) < 0) tui_app_note(app, AGT_ERROR, err);
        else { app->theme = t; app->want = WANT_REPAINT; }
        break;
    }
    case AGT_UI_EDITOR: app->want = WANT_EDITOR; break;
    case AGT_UI_LOG: tui_app_show_log(app); break;
    case AGT_UI_EDIT:
        if (*arg) {                     /* words that could not be taken come back, before what was typed since */
            q_buf b = {0};
            q_buf_printf(&b, "%s%s%s", arg, app->ed.b.len ? "\n" : "", app->ed.b.p ? app->ed.b.p : "");
            compose(app, b.p);
            q_buf_free(&b);
        } else tui_app_edit(app, last_question(app, app->tr.n - 1));
        break;
    case AGT_UI_FIND: compose(app, "/find "); break;
    case AGT_UI_LANG:
        tui_lang(arg);
        app->page.width = 0;
        break;
    case AGT_UI_CLEAR: app->want = WANT_REPAINT; break;
    default: break;
    }
    app->dirty = true;
}

static bool walk_key(tui_app *app, const tui_key *k)
{
    tui_transcript *t = &app->tr;
    int w = tui_transcript_width(app), h = app->lay.transcript.h, by = step_of(k, 1);
    if (!t->n) { tui_app_leave(app); return true; }
    if (t->selected < 0 || t->selected >= t->n) t->selected = t->n - 1;
    tui_item *it = &t->item[t->selected];
    if (by) {
        move(&t->selected, by, t->n);
        tui_tr_show(t, w, h, t->selected);
        return true;
    }
    if (k->code == K_TAB || letter(k) == 'q') { tui_app_leave(app); t->follow = true; return true; }
    if (k->code == K_ENTER) {
        if (it->role == AGT_ASSISTANT) { agt_show_routing(app->a, it->id); agt_ask_retrieval(app->a, it->id); }
        return true;
    }
    switch (letter(k)) {
    case 'e': tui_app_edit(app, last_question(app, t->selected)); return true;
    case 'r':
        for (int i = t->selected; i < t->n; i++)
            if (t->item[i].role == AGT_ASSISTANT) {
                int64_t id = t->item[i].id;
                tui_app_leave(app);
                t->follow = true;
                agt_again(app->a, id, "");
                break;
            }
        return true;
    case 'y': tui_app_copy(app, it); return true;
    case 't': it->open = !it->open; return true;
    case '[': agt_branch(app->a, it->id, -1); return true;
    case ']': agt_branch(app->a, it->id, +1); return true;
    default: return false;
    }
}

static void zoom(tui_app *app, enum tui_zoom z)
{
    app->zoom = app->zoom == z ? ZOOM_NONE : z;
}

static bool chats_key(tui_app *app, const tui_key *k)
{
    const agt_chat *c = app->sel_chat < app->n_chats ? &app->chats[app->sel_chat] : NULL;
    int by = step_of(k, 10);
    if (by) { move(&app->sel_chat, by, app->n_chats); return true; }
    if (k->code == K_ENTER && c) { tui_app_keep(app); agt_open_chat(app->a, c->id); tui_app_leave(app); return true; }
    switch (letter(k)) {
    case 'n': tui_app_keep(app); agt_open_chat(app->a, 0); tui_app_leave(app); return true;
    case 'r':
        if (!c) return true;
        if (c->id != app->chat) agt_open_chat(app->a, c->id);
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/rename %s", c->title ? c->title : "");
        compose(app, app->scratch.p);
        return true;
    case 'd':
        if (!c) return true;
        if (c->id != app->chat) agt_open_chat(app->a, c->id);
        compose(app, "/delete");
        tui_app_note(app, AGT_WARN, _("Enter deletes this chat for good; Ctrl-U takes that back."));
        return true;
    default: return false;
    }
}

static bool memory_key(tui_app *app, const tui_key *k)
{
    int by = step_of(k, 5);
    if (by) { move(&app->sel_memory, by, app->ret.n); return true; }
    if (letter(k) == 'z') { zoom(app, ZOOM_MEMORY); return true; }
    if (k->code == K_ENTER && app->sel_memory < app->ret.n) {
        const agt_passage *p = &app->ret.p[app->sel_memory];
        char *s = q_printf("%s\n\n%s", p->why ? p->why : "", p->text ? p->text : "");
        char *title = q_printf("%s%s%s", p->source ? p->source : "", p->heading && *p->heading ? " § " : "", p->heading ? p->heading : "");
        tui_app_page(app, title, s);
        free(s);
        free(title);
        return true;
    }
    return false;
}

static bool config_key(tui_app *app, const tui_key *k)
{
    int n = agt_knob_count(app->a), by = step_of(k, 10);
    if (by) { move(&app->sel_config, by, n); return true; }
    if (app->sel_config >= n) return false;
    const q_knob *kn = agt_knob(app->a, app->sel_config);
    if (k->code == K_ENTER) {
        q_buf v = {0};
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/set %s %s", kn->name, agt_knob_value(app->a, kn, &v));
        q_buf_free(&v);
        /* The panel stays in sight; the composer has the line. */
        app->focus = FOCUS_COMPOSER;
        tui_edit_set(&app->ed, app->scratch.p);
        return true;
    }
    if (letter(k) == 'd') {
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/set %s default", kn->name);
        agt_submit(app->a, app->scratch.p);
        return true;
    }
    return false;
}

static bool page_key(tui_app *app, const tui_key *k)
{
    int by = step_of(k, app->lay.overlay.h > 3 ? app->lay.overlay.h - 2 : 5);
    if (!by && k->code == K_CHAR && k->cp == ' ') by = app->lay.overlay.h - 2;
    app->page.top += by;
    if (app->page.top < 0) app->page.top = 0;
    return by != 0;
}

bool tui_app_panel_key(tui_app *app, const tui_key *k)
{
    bool done = false;
    int by;
    switch (app->focus) {
    case FOCUS_TRANSCRIPT: return walk_key(app, k);
    case FOCUS_CHATS: done = chats_key(app, k); break;
    case FOCUS_MEMORY: done = memory_key(app, k); break;
    case FOCUS_CONFIG: done = config_key(app, k); break;
    case FOCUS_PAGE: done = page_key(app, k); break;
    case FOCUS_FOUND:
        if ((by = step_of(k, 10))) { move(&app->sel_found, by, app->n_found); return true; }
        if (k->code == K_ENTER && app->sel_found < app->n_found) {
            tui_app_keep(app);
            agt_open_chat(app->a, app->found[app->sel_found].parent);
            tui_app_leave(app);
            return true;
        }
        break;
    case FOCUS_EXPERTS:
        if ((by = step_of(k, 5))) { move(&app->sel_layer, by, app->rt.n_layer); return true; }
        if (k->code == K_LEFT || k->code == K_RIGHT) {
            move(&app->sel_layer, k->code == K_LEFT ? -app->layers_a_column : app->layers_a_column, app->rt.n_layer);
            return true;
        }
        if (k->code == K_ENTER) { tui_app_layer_page(app, app->sel_layer); return true; }
        switch (letter(k)) {
        case 'z': zoom(app, ZOOM_EXPERTS); return true;
        case '-': agt_nudge_k(app->a, -1); return true;
        case '+': case '=': agt_nudge_k(app->a, +1); return true;
        default: break;
        }
        break;
    default: break;
    }
    if (done) return true;
    if (k->code == K_TAB) { app->focus = FOCUS_COMPOSER; return true; }      /* an overlay stays in sight */
    if (letter(k) == 'q') { tui_app_back(app); return true; }
    bool list = app->focus == FOCUS_PAGE || app->focus == FOCUS_FOUND;
    if (k->code == K_CHAR && !k->alt && (k->cp == '/' || (list && k->cp > ' ' && k->cp != 127))) {
        char u[4];                          /* words begin: the composer takes over, what is open stays in sight */
        app->focus = FOCUS_COMPOSER;
        tui_edit_insert(&app->ed, u, (size_t)q_utf8_put(u, k->cp));
        return true;
    }
    return false;
}
