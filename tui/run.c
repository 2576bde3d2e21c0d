/* tui/run: the loop of the full screen: one poll over keys, the agent's wake descriptor and signals; keys first, then
 * events, then what is due of a frame (model/pace). Front-end thread. It never waits for the model or the disk; only an editor
 * that the person opened holds it up. */
#include "tui/editor.h"
#include "tui/model/app.h"
#include "tui/term/decode.h"
#include "tui/term/screen.h"
#include "tui/tui.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <term.h>

enum { EDITOR_MAX = 64 << 20, TAKEN_MOST = 256 };

bool tui_possible(void)
{
    const char *term = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !term || strcmp(term, "dumb") == 0 || !tui_term_known(term)) return false;
    const char *cup = tigetstr("cup");
    return cup && cup != (char *)-1;
}

static int64_t now_ms(void) { return q_now_ns() / 1000000; }

/* What the editor left becomes the composer's text. True: only its beginning did, and the file is kept for the rest. */
static bool take_text(tui_app *app, const char *path)
{
    char err[Q_ERRLEN], all[32], most[32];
    q_buf b = {0};
    bool more = false;
    if (q_read_file(path, &b, EDITOR_MAX, err) < 0) {
        tui_app_note(app, AGT_ERROR, err);
        q_buf_free(&b);
        return true;
    }
    while (b.len && b.p[b.len - 1] == '\n') b.p[--b.len] = 0;
    if (b.len > TUI_PASTE_MAX) {
        size_t n = q_utf8_whole(b.p, TUI_PASTE_MAX);
        char *say = q_printf(_("Of %s only the first %s are here: that is the most a message takes. All of it is in %s: /add takes it."),
                             q_bytes_words(b.len, all), q_bytes_words(n, most), path);
        tui_app_note(app, AGT_WARN, say);
        free(say);
        b.p[b.len = n] = 0;
        more = true;
    }
    tui_edit_set(&app->comp.ed, "");
    tui_edit_paste(&app->comp.ed, b.p ? b.p : "", b.len);
    q_buf_free(&b);
    return more;
}

/* $VISUAL or $EDITOR on the composer's text. */
static void edit_outside(tui_app *app)
{
    char path[] = "/tmp/quorum-XXXXXX.md";
    int fd = mkstemps(path, 3);
    if (fd < 0) { tui_app_note(app, AGT_ERROR, _("Cannot make a temporary file for the editor in /tmp.")); return; }
    size_t n = app->comp.ed.b.len;
    bool ok = !n || write(fd, app->comp.ed.b.p, n) == (ssize_t)n;
    close(fd);
    if (ok) {
        tui_term_leave();
        bool well = tui_editor(path);
        tui_term_return();
        if (well) {
            if (take_text(app, path)) return;           /* more than a message takes: the file stays */
        } else tui_app_note(app, AGT_ERROR, _("The editor did not end well: the text is as it was."));
    }
    unlink(path);
}

/* The same on a file that stays where it is (a module's). */
static void edit_file(tui_app *app)
{
    tui_term_leave();
    bool well = tui_editor(app->comp.file);
    tui_term_return();
    char *say = well ? NULL : q_printf(_("The editor did not end well, or there is none: set EDITOR; the file is %s."), app->comp.file);
    if (say) tui_app_note(app, AGT_ERROR, say);
    free(say);
    agt_edited(app->a, app->comp.file);
    free(app->comp.file);
    app->comp.file = NULL;
}

/* tmux holds Esc back; above 50 ms that is felt. Asked in the background, said once, and never over a warning or an error. */
static FILE *ask_tmux(agt *a)
{
    char *seen = agt_setting_get(a, "tui.hint.tmux");
    bool ask = getenv("TMUX") && !seen;
    free(seen);
    FILE *f = ask ? popen("tmux show-options -sv escape-time 2>/dev/null", "r") : NULL;
    if (f) fcntl(fileno(f), F_SETFL, O_NONBLOCK);
    return f;
}

static void tmux_answer(tui_app *app, FILE **f)
{
    char line[32] = "";
    bool worse = app->say.note && app->say.note_level != AGT_INFO;
    if (fgets(line, sizeof line, *f) && atoi(line) > 50 && !worse) {
        agt_setting_put(app->a, "tui.hint.tmux", "1");
        tui_app_note(app, AGT_INFO, _("tmux delays Esc: \"set -sg escape-time 20\" in ~/.tmux.conf makes it quick."));
    }
    pclose(*f);
    *f = NULL;
}

static void pick_theme(agt *a, const tui_options *o, tui_theme *t, tui_app *app)
{
    char err[Q_ERRLEN], *name = NULL;
    if (o && o->theme) name = q_strdup(o->theme);
    for (int i = 0; !name && i < agt_knob_count(a); i++)
        if (strcmp(agt_knob(a, i)->name, "ui.theme") == 0) {
            q_buf b = {0};
            const char *v = agt_knob_value(a, agt_knob(a, i), &b);
            if (v && *v && strcmp(v, "auto") != 0) name = q_strdup(v);
            q_buf_free(&b);
        }
    if (!name) {
        /* rxvt's convention, which others follow: "15;0" is light on dark */
        const char *fgbg = getenv("COLORFGBG"), *bg = fgbg ? strrchr(fgbg, ';') : NULL;
        int c = bg ? atoi(bg + 1) : 0;
        name = q_strdup(c == 7 || c == 15 ? "light" : "dark");
    }
    if (tui_theme_load(name, t, err) < 0) tui_app_note(app, AGT_WARN, err);
    free(name);
}

/* Signals since the last look; returns the one to end by. */
static int signals(tui_app *app, bool *repaint)
{
    int s, end = 0;
    bool size = false;
    while ((s = tui_guard_next())) {
        if (s == SIGWINCH) size = true;
        else if (s == SIGTSTP) app->want = WANT_SUSPEND;
        else if (s == SIGCONT) { tui_term_return(); size = *repaint = true; }
        else if (s == SIGINT) { tui_key k = { .code = K_CHAR, .cp = CTRL_KEY('C') }; tui_app_key(app, &k); }
        else end = s;
    }
    if (size) {
        int w, h;
        tui_term_size(&w, &h);
        if (w != app->grid.w || h != app->grid.h) tui_app_resize(app, w, h);
    }
    return end;
}

static void serve(tui_app *app, bool *repaint)
{
    if (app->clip) {
        tui_term_copy(app->clip);
        free(app->clip);
        app->clip = NULL;
    }
    enum tui_want w = app->want;
    app->want = w == WANT_QUIT ? WANT_QUIT : WANT_NOTHING;
    if (w == WANT_SUSPEND) { tui_term_suspend(); *repaint = app->owed.all = true; }
    else if (w == WANT_EDITOR) { edit_outside(app); *repaint = app->owed.all = true; }
    else if (w == WANT_FILE && app->comp.file) { edit_file(app); *repaint = app->owed.all = true; }
    else if (w == WANT_REPAINT) { tui_term_theme(&app->theme); *repaint = app->owed.all = true; }
}

/* A tool that is asked about has just been shown: what was typed before is what it was typed as, and allows nothing. */
static void typed_before(tui_app *app)
{
    tui_key k;
    while (app->want == WANT_NOTHING && tui_term_key(&k)) {
        if (k.code != K_NONE) tui_app_key(app, &k);
        free(k.text);
    }
    tui_approve_arm(app);
}

int tui_run(agt *a, const tui_options *o, char *err)
{
    static tui_app app;                 /* large; one screen at a time */
    int w, h, end = 0;
    tui_app_init(&app, a, 80, 24);
    app.now = now_ms();
    pick_theme(a, o, &app.theme, &app);
    int rc = tui_term_open(&app.theme, err);
    if (rc < 0) { tui_app_free(&app); return rc; }
    app.ui.glyphs = tui_term_glyphs();
    tui_term_size(&w, &h);
    tui_app_resize(&app, w, h);
    FILE *tmux = ask_tmux(a);
    int64_t kept = now_ms();
    bool repaint = false, mouse = !app.ui.mouse;
    while (app.want != WANT_QUIT && !end) {
        tui_key k;
        agt_event e;
        app.now = now_ms();
        while (app.want == WANT_NOTHING && tui_term_key(&k)) {
            if (k.code != K_NONE) tui_app_key(&app, &k);
            free(k.text);
        }
        if (tui_term_closed() && !end) end = SIGHUP;
        int taken = 0;
        for (; taken < TAKEN_MOST && agt_next(a, &e); taken++) {
            tui_app_event(&app, &e);
            agt_event_free(&e);
        }
        serve(&app, &repaint);
        if (app.want == WANT_QUIT) break;
        if (mouse != app.ui.mouse) tui_term_mouse(mouse = app.ui.mouse);
        int wait = tui_app_due(&app), quiet = taken < TAKEN_MOST ? tui_app_rest(&app) : 0;        /* more of them may wait */
        if (wait == 0) {
            tui_app_frame(&app);
            tui_term_show(&app.grid, repaint);
            repaint = false;
            if (app.seen.approve.drawn && !app.seen.approve.armed) typed_before(&app);
            continue;                   /* what came meanwhile, before sleeping */
        }
        if (wait < 0) wait = tui_app_timeout(&app);
        if (quiet > 0 && (wait < 0 || quiet < wait)) wait = quiet;
        if (app.now - kept > 5000) { kept = app.now; agt_keep_place(a, app.seen.chat, tui_tr_place(&app.tr), tui_draft(&app)); }
        struct pollfd p[4] = { { STDIN_FILENO, POLLIN, 0 }, { quiet > 0 ? -1 : agt_wake_fd(a), POLLIN, 0 }, { tui_guard_fd(), POLLIN, 0 },
                               { tmux ? fileno(tmux) : -1, POLLIN, 0 } };
        int rest = tui_term_wait();
        if (rest >= 0 && (wait < 0 || rest < wait)) wait = rest;
        int n = poll(p, 4, wait < 0 ? 5000 : wait);
        if (n == 0 && tui_app_due(&app) < 0) app.owed.all = true;        /* a timer: seconds count, a sentence goes */
        if (p[2].revents) { end = signals(&app, &repaint); if (app.want == WANT_SUSPEND) serve(&app, &repaint); }
        if (tmux && p[3].revents) tmux_answer(&app, &tmux);
        if (p[0].revents & POLLNVAL) end = SIGHUP;
    }
    tui_app_keep(&app);
    if (tmux) pclose(tmux);
    tui_term_close();
    if (end) {                          /* curses' own handlers would exit: what comes now is another wish to end */
        signal(SIGTERM, tui_end_by);
        signal(SIGHUP, tui_end_by);
    }
    tui_app_free(&app);
    return end;
}
