/* model/events: what an agent event changes on the screen. Front-end thread; never draws, never blocks.
 * A retrieval or a list is taken out of the event (set to NULL there) rather than copied. */
#include "tui/model/app.h"
#include "tui/tui.h"

#include <stdlib.h>
#include <string.h>

static void chats_free(tui_app *app)
{
    for (int i = 0; i < app->n_chats; i++) free(app->chats[i].title);
    free(app->chats);
    app->chats = NULL;
    app->n_chats = 0;
}

static void found_free(tui_app *app)
{
    for (int i = 0; i < app->n_found; i++) agt_message_free(&app->found[i]);
    free(app->found);
    app->found = NULL;
    app->n_found = 0;
}

static int setting_int(tui_app *app, const char *key)
{
    char *s = agt_setting_get(app->a, key);
    int v = s ? atoi(s) : 0;
    free(s);
    return v;
}

void tui_app_init(tui_app *app, agt *a, int w, int h)
{
    memset(app, 0, sizeof *app);
    app->a = a;
    app->dirty = app->motion = app->glyphs = app->mouse = true;
    app->tr.follow = true;
    app->tr.selected = -1;
    tui_grid_size(&app->grid, w, h);
    app->panel_w = setting_int(app, "tui.panel_width");
    app->zoom = (enum tui_zoom)setting_int(app, "tui.zoom");
    if (app->zoom > ZOOM_MEMORY) app->zoom = ZOOM_NONE;
    app->hinted_k = setting_int(app, "tui.hint.k");
    app->hinted_lang = setting_int(app, "tui.hint.language");
    char *hist = agt_setting_get(a, "tui.history"), *save = NULL;
    for (char *s = hist ? strtok_r(hist, "\x1e", &save) : NULL; s; s = strtok_r(NULL, "\x1e", &save)) tui_edit_remember(&app->ed, s);
    free(hist);
    for (int i = 0; i < agt_knob_count(a); i++)
        if (strncmp(agt_knob(a, i)->name, "ui.", 3) == 0) tui_app_knob(app, agt_knob(a, i)->name, agt_knob_value(a, agt_knob(a, i), &app->scratch));
    agt_get_status(a, &app->st);
    agt_ask_chats(a);
}

void tui_app_free(tui_app *app)
{
    tui_tr_free(&app->tr);
    tui_edit_free(&app->ed);
    tui_grid_free(&app->grid);
    agt_routing_free(&app->rt);
    agt_retrieval_free(&app->ret);
    chats_free(app);
    found_free(app);
    tui_popup_close(app);
    for (int i = 0; i < app->n_log; i++) free(app->log[i].text);
    free(app->page.title);
    q_buf_free(&app->page.text);
    tui_lay_free(&app->page.lay);
    q_buf_free(&app->scratch);
    free(app->note);
    free(app->load_what);
    free(app->prog_what);
    free(app->chat_title);
    free(app->clip);
}

/* What a restart should find again. History keeps its newest 32 KiB. */
void tui_app_keep(tui_app *app)
{
    agt_keep_place(app->a, tui_tr_place(&app->tr), app->editing || !app->ed.b.p ? "" : app->ed.b.p);
    char num[16];
    q_buf_clear(&app->scratch);
    q_buf_printf(&app->scratch, "%d", app->panel_w);
    agt_setting_put(app->a, "tui.panel_width", app->scratch.p);
    num[0] = (char)('0' + app->zoom);
    num[1] = 0;
    agt_setting_put(app->a, "tui.zoom", num);
    size_t size = 0;
    int from = app->ed.n_hist;
    while (from > 0 && size + strlen(app->ed.hist[from - 1]) < 32768) size += strlen(app->ed.hist[--from]) + 1;
    q_buf_clear(&app->scratch);
    for (int i = from; i < app->ed.n_hist; i++) { q_buf_puts(&app->scratch, app->ed.hist[i]); q_buf_putc(&app->scratch, '\x1e'); }
    agt_setting_put(app->a, "tui.history", app->scratch.p ? app->scratch.p : "");
}

void tui_app_note(tui_app *app, int level, const char *text)
{
    if (app->n_log == TUI_LOG_MAX) {
        free(app->log[0].text);
        memmove(app->log, app->log + 1, sizeof *app->log * (TUI_LOG_MAX - 1));
        app->n_log--;
    }
    app->log[app->n_log++] = (tui_log_entry){ q_wall_ms(), level, q_strdup(text) };
    /* A warning from the background does not push away an error that nobody had time to read; /log has both. */
    if (level == AGT_WARN && app->note && app->note_level == AGT_ERROR && app->now < app->note_until - 50000) return;
    free(app->note);
    app->note = q_strdup(text);
    app->note_level = level;
    app->note_until = app->now + (level == AGT_ERROR ? 60000 : level == AGT_WARN ? 15000 : 8000);
    app->dirty = true;
}

void tui_app_knob(tui_app *app, const char *name, const char *value)
{
    bool on = !value || (strcmp(value, "off") != 0 && strcmp(value, "0") != 0 && strcmp(value, "false") != 0);
    if (strcmp(name, "ui.motion") == 0) app->motion = on;
    else if (strcmp(name, "ui.mouse") == 0) app->mouse = on;
    else if (strcmp(name, "ui.thinking") == 0) app->think_open = value && strcmp(value, "open") == 0;
}

static void set_text(char **to, const char *s) { free(*to); *to = s ? q_strdup(s) : NULL; }

static void opened(tui_app *app, agt_event *e)
{
    bool same = app->chat == e->id && e->id;
    if (!same && app->chat) agt_show_routing(app->a, 0);
    tui_item *run = tui_tr_last(&app->tr);
    int64_t running = run ? run->id : 0;
    tui_tr_set(&app->tr, e->message, e->n_messages);
    run = running ? tui_tr_find(&app->tr, running) : NULL;
    if (run && run->state == AGT_PARTIAL) run->running = true;
    app->chat = e->id;
    set_text(&app->chat_title, e->text);
    if (!same) {
        tui_tr_go(&app->tr, e->scroll);
        if (!app->ed.b.len || e->draft) tui_edit_set(&app->ed, e->draft ? e->draft : "");
        app->editing = 0;
        agt_retrieval_free(&app->ret);
        app->has_ret = false;
        app->tr.selected = -1;
        if (app->focus == FOCUS_TRANSCRIPT) app->focus = FOCUS_COMPOSER;
        /* The last answer's own routing and passages stand in the panels until the next one runs. */
        for (int i = app->tr.n - 1; i >= 0; i--)
            if (app->tr.item[i].role == AGT_ASSISTANT && !app->tr.item[i].running) {
                agt_show_routing(app->a, app->tr.item[i].id);
                agt_ask_retrieval(app->a, app->tr.item[i].id);
                break;
            }
    }
    for (int i = 0; i < app->n_chats; i++) if (app->chats[i].id == e->id) app->sel_chat = i;
    agt_ask_chats(app->a);              /* opened, renamed, deleted, branched: the column follows */
}

static void done(tui_app *app, agt_event *e)
{
    if (!e->message) return;
    tui_item *it = tui_tr_find(&app->tr, e->message->id);
    if (!it && app->tr.n) { it = tui_tr_last(&app->tr); if (it) it->id = e->message->id; }
    if (!it) return;
    it = tui_tr_add(&app->tr, e->message);
    it->running = false;
    app->pre_total = 0;
    if (!app->hinted_k && app->st.n_expert > 0 && it->state == AGT_DONE) {
        app->hinted_k = true;
        agt_setting_put(app->a, "tui.hint.k", "1");
        tui_app_note(app, AGT_INFO, _("F7: fewer experts · /again experts.k=1"));
    }
}

void tui_app_event(tui_app *app, agt_event *e)
{
    tui_item *it;
    app->dirty = true;
    switch (e->kind) {
    case AGT_EV_LOADING:
        app->loading = true;
        app->load_done = e->done;
        app->load_total = e->total;
        if (e->text) set_text(&app->load_what, e->text);
        break;
    case AGT_EV_READY: app->loading = false; break;
    case AGT_EV_CHATS:
        chats_free(app);
        app->chats = e->chat;
        app->n_chats = e->n_chats;
        e->chat = NULL;
        e->n_chats = 0;
        if (app->sel_chat >= app->n_chats) app->sel_chat = app->n_chats ? app->n_chats - 1 : 0;
        for (int i = 0; i < app->n_chats && app->focus != FOCUS_CHATS; i++) if (app->chats[i].id == app->chat) app->sel_chat = i;
        break;
    case AGT_EV_OPENED: opened(app, e); break;
    case AGT_EV_SENT:
        if (e->message) {
            tui_tr_add(&app->tr, e->message);
            app->tr.follow = true;
            agt_get_status(app->a, &app->st);
            if (app->st.chat) app->chat = app->st.chat;     /* a new conversation has its number from its first question */
            agt_ask_chats(app->a);          /* a new conversation, or a newer one */
        }
        break;
    case AGT_EV_RETRIEVAL:
        agt_retrieval_free(&app->ret);
        app->has_ret = e->retrieval != NULL;
        if (e->retrieval) {
            app->ret = *e->retrieval;
            memset(e->retrieval, 0, sizeof *e->retrieval);
        }
        app->ret_id = e->id;
        app->sel_memory = 0;
        break;
    case AGT_EV_PREFILL:
        app->pre_done = e->done;
        app->pre_total = e->total;
        app->pre_rate = e->rate;
        break;
    case AGT_EV_BEGIN:
        if (!e->message) break;
        it = tui_tr_add(&app->tr, e->message);
        it->running = true;
        it->began_ms = app->now;
        it->differs_at = -1;                /* nothing is said yet: the first unlike token says where */
        if (app->page_old && (app->over == FOCUS_PAGE || app->over == FOCUS_FOUND)) tui_app_leave(app);
        it->open = app->think_open;
        agt_show_routing(app->a, 0);
        break;
    case AGT_EV_TOKEN:
        if ((it = tui_tr_last(&app->tr))) tui_tr_token(it, e->text ? e->text : "", e->thinking, e->differs);
        break;
    case AGT_EV_KNOB:
        if (e->name && strcmp(e->name, "ui.theme") == 0) tui_app_action(app, AGT_UI_THEME, e->text);
        else if (e->name && strcmp(e->name, "ui.lang") == 0) tui_app_action(app, AGT_UI_LANG, e->text);
        else if (e->name) tui_app_knob(app, e->name, e->text);
        if (e->name) {
            char *s = e->note && *e->note ? q_printf("%s %s: %s", e->name, e->text ? e->text : "", e->note)
                                          : q_printf("%s %s", e->name, e->text ? e->text : "");
            tui_app_note(app, AGT_INFO, s);
            free(s);
            /* Beside the composer its first half is enough where one line does not hold it; the log has it all. */
            char *half = tui_str_width(app->note) > app->grid.w - 2 ? strchr(app->note, ';') : NULL;
            if (half) *half = 0;
        }
        break;
    case AGT_EV_DONE:
        done(app, e);
        agt_ask_chats(app->a);              /* its length and time; the first answer may bring a title */
        break;
    case AGT_EV_PAUSED: break;
    case AGT_EV_PROGRESS:
        set_text(&app->prog_what, e->text);
        app->prog_done = e->done;
        app->prog_total = e->total;
        app->prog_left = e->rate;
        break;
    case AGT_EV_NOTE: if (e->text) tui_app_note(app, e->level, e->text); break;
    case AGT_EV_TEXT: tui_app_page(app, e->name ? e->name : "", e->text ? e->text : ""); break;
    case AGT_EV_FOUND:
        found_free(app);
        app->found = e->message;
        app->n_found = e->n_messages;
        e->message = NULL;
        e->n_messages = 0;
        app->sel_found = 0;
        if (app->n_found) app->focus = app->over = FOCUS_FOUND;
        else tui_app_note(app, AGT_INFO, _("Nothing found. A shorter word finds more."));
        break;
    case AGT_EV_UI: tui_app_action(app, (int)e->id, e->text ? e->text : ""); break;
    }
}

void tui_app_resize(tui_app *app, int w, int h)
{
    tui_grid_size(&app->grid, w, h);
    app->dirty = true;
}

/* The thinking line counts seconds; a sentence goes away; motion off: panels once a second. */
int tui_app_timeout(const tui_app *app)
{
    int64_t t = -1;
    if (app->note) t = app->note_until - app->now;
    for (int i = app->tr.n - 1; i >= 0 && i >= app->tr.n - 2; i--)
        if (app->tr.item[i].running && (t < 0 || t > 1000)) t = 1000;
    if (app->quit_armed && (t < 0 || t > 1500)) t = 1500;
    return t < -1 ? 0 : t > 60000 ? 60000 : (int)(t < 0 && app->note ? 0 : t);
}
