/* tui/repl: the line editor (libedit) on the same events as the full screen. Owns the terminal's line while a message is
 * typed and the history file. One thread: it types, then follows the answer; a line typed meanwhile is sent at once
 * (/k 4, /stop, the next question). It never moves the cursor but by libedit and plain text. */
#include "base/say.h"
#include "tui/editor.h"
#include "tui/model/say.h"
#include "tui/term/ahead.h"
#include "tui/term/decode.h"
#include "tui/term/ending.h"
#include "tui/term/screen.h"
#include "tui/term/theme.h"
#include "tui/tui.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupts, ended;
static void on_interrupt(int sig) { interrupts++; }

static void on_end(int sig)
{
    ended = sig;
    tui_end_by(sig);
}

typedef struct repl {
    agt *a;
    EditLine *el;
    History *h;
    FILE *quiet;                         /* where the line editor complains on a terminal that nothing is known of; or NULL */
    char *history_file;
    bool tty, quit;
    bool open_line;                      /* the cursor stands behind text */
    bool answering, thinking_shown;
    int thinking;
    bool progress;                       /* a line of progress stands on the screen */
    bool more;                           /* the line goes on (backslash) */
    long pasted_at;                      /* where a pasted CR began a line; -1 */
    int64_t ask;                         /* AGT_EV_ASK that waits for a yes; 0: none */
    int64_t approve; bool question;      /* AGT_EV_APPROVE that waits, 0: none; it is a question to be answered in words */
    q_buf line;
    char *edit;                          /* what the next prompt starts with */
} repl;

/* ---- printing ---- */
static void clear_progress(repl *r)
{
    if (r->progress && r->tty)
        q_say_own(stdout, "\r\033[K");
    r->progress = false;
}

static void fresh_line(repl *r)
{
    clear_progress(r);
    if (r->open_line)
        q_say(stdout, "\n");
    r->open_line = false;
}

static void progress(repl *r, const char *what, const agt_event *e)
{
    if (!r->tty)
        return;
    if (r->open_line)
        fresh_line(r);
    if (e->total == 0) {
        clear_progress(r);
        return;
    }
    q_say(stdout, "\r\033[K%s", what);
    if (e->total > 0)
        q_say(stdout, " %" PRId64 "/%" PRId64, e->done, e->total);
    else
        q_say(stdout, " %" PRId64, e->done);
    if (e->rate > 0)
        q_say(stdout, ", %.0f/s", e->rate);
    r->progress = true;
}

/* ".91", the way scores are shown everywhere. */
static const char *score(double v, char out[16])
{
    snprintf(out, 16, "%.2f", v);
    return out[0] == '0' ? out + 1 : out;
}

static void passages(const agt_retrieval *v)
{
    if (v->broken) return;               /* the note says it */
    if (v->narrowed) q_say(stdout, "%s\n", v->narrowed);
    if (v->fed == 0) {
        if (v->n && v->nothing) q_say(stdout, "%s\n", v->nothing);
        return;
    }
    for (int i = 0; i < v->n && v->p[i].number; i++)
        q_say(stdout, "[%d] %s%s%s%s%s%s %s   ", v->p[i].number,
              v->p[i].away ? "(" : v->p[i].missing ? _("(no file now) ") : "", v->p[i].away ? v->p[i].away : "", v->p[i].away ? ") " : "", v->p[i].source, *v->p[i].heading ? " § " : "", v->p[i].heading, v->p[i].shown);
    q_say(stdout, _("     %d fed, %d tok · /why"), v->fed, v->fed_tokens);
    q_say(stdout, "\n");
}

static void closing(repl *r, const agt_event *e)
{
    static const char sign[] = "=-.+#";
    agt_status s;
    agt_routing g = { 0 };
    agt_get_status(r->a, &s);
    agt_get_routing(r->a, &g);
    if (s.n_expert && s.k > 0)
        q_say(stdout, "k %d/%d · ", s.k, s.n_expert);
    if (tui_rate_known(e->rate, s.model)) q_say(stdout, _("%d tok, %.0f/s"), e->message->n_tokens, e->rate);
    else q_say(stdout, _("%d tok"), e->message->n_tokens);
    if (g.n_odd)
        q_say(stdout, _(" · strange L%de%d %c"), g.odd[0].layer, g.odd[0].expert, sign[g.odd[0].dev + 2]);
    if (g.n_layer && !isnan(g.repeat)) {
        char a[16], b[16];
        q_say(stdout, _(" · repeat %s (chance %s)"), score((double)g.repeat, a), score((double)g.repeat_chance, b));
    }
    if (g.n_layer)
        q_say_own(stdout, " · /experts");
    if (e->message->state == AGT_STOPPED)
        q_say(stdout, " · %s", _("stopped"));
    q_say(stdout, "\n");
    agt_routing_free(&g);
}

static void help(void)
{
    int n;
    const agt_command *c = agt_commands(&n);
    for (int i = 0; i < n; i++) {
        char head[80];
        snprintf(head, sizeof head, "/%s %s", c[i].name, *c[i].args ? _(c[i].args) : "");
        q_say(stdout, "%-30s %s\n", head, _(c[i].help));
    }
    q_say(stdout, "%s\n", _("Enter sends, \\ before Enter starts a new line, Tab completes, Ctrl-C stops the answer, Ctrl-D leaves."));
}

static void chats(const agt_event *e)
{
    for (int i = 0; i < e->n_chats; i++)
        q_say(stdout, "%4" PRId64 "  %s  (%d)\n", e->chat[i].id, *e->chat[i].title ? e->chat[i].title : _("untitled"), e->chat[i].n_messages);
    q_say(stdout, "%s\n", e->n_chats ? _("/open NUMBER continues one.") : _("No conversations yet."));
}

static void found(const agt_event *e)
{
    for (int i = 0; i < e->n_messages; i++) {
        for (char *p = e->message[i].text; *p; p++)      /* the marks of a match */
            if (*p == 1 || *p == 2)
                *p = '*';
        q_say(stdout, "%4" PRId64 ":%" PRId64 "  %s: ", e->message[i].parent, e->message[i].id, e->message[i].label ? e->message[i].label : "");
        q_say_text(stdout, e->message[i].text);
        q_say(stdout, "\n");
    }
    if (e->n_messages)
        q_say(stdout, "%s\n", _("/open NUMBER:MESSAGE goes there."));
}

/* The message that was meant, and what stands around it: the one before it and the one behind. */
static void around(const agt_event *e)
{
    int at = 0;
    while (at < e->n_messages && e->message[at].id != e->done)
        at++;
    for (int i = at > 0 ? at - 1 : 0; at < e->n_messages && i < e->n_messages && i <= at + 1; i++) {
        q_say(stdout, "%s %s:\n", i == at ? ">" : " ", e->message[i].role == AGT_USER ? _("you") : "quorum");
        q_say_text(stdout, e->message[i].text);
        q_say(stdout, "\n");
    }
}

static void copy(repl *r)
{
    fresh_line(r);
    q_say(stdout, "%s\n", _("Line mode has no clipboard: the terminal's own selection copies. /trace save FILE writes routing."));
}

static void opened(const agt_event *e)
{
    q_say(stdout, "— %s", e->text);
    q_say(stdout, ngettext(" (%d message)", " (%d messages)", (unsigned long)e->n_messages), e->n_messages);
    q_say(stdout, " —\n");
    if (e->done)
        around(e);
}

/* A text as it would be typed: the line editor takes a control character for a command, and a line goes on by "\\". */
static char *keys_of(const char *text)
{
    q_buf clean = { 0 }, keys = { 0 };
    q_say_clean(&clean, text, strlen(text), false);
    for (size_t i = 0; i < clean.len; i++) {
        if (clean.p[i] == '\n')
            q_buf_putc(&keys, '\\');
        q_buf_putc(&keys, clean.p[i] == '\t' ? ' ' : clean.p[i]);
    }
    q_buf_free(&clean);
    return q_buf_take(&keys);
}

/* What was forgotten stands in no line that was typed, here and in the file of them. */
static void forget_lines(repl *r, const char *text)
{
    HistEvent ev, gone;
    char err[Q_ERRLEN], *folded = q_strdup(text);
    q_fold_bytes(folded, strlen(folded));
    for (int rc = history(r->h, &ev, H_FIRST); rc >= 0;) {
        if (q_holds(ev.str, strlen(ev.str), folded, strlen(folded))) {
            history(r->h, &gone, H_DEL, ev.num);
            free((char *)(uintptr_t)gone.str);   /* libedit hands over the line of one that it lets go */
            rc = history(r->h, &ev, H_FIRST);
        } else
            rc = history(r->h, &ev, H_NEXT);
    }
    if (r->history_file && q_file_erase(r->history_file, err) == Q_OK)
        history(r->h, &ev, H_SAVE, r->history_file);
    free(folded);
}

static void ui(repl *r, const agt_event *e, bool *asked_chats)
{
    switch ((enum agt_action)e->id) {
    case AGT_UI_QUIT: r->quit = true; break;
    case AGT_UI_HELP: fresh_line(r); help(); break;
    case AGT_UI_CHATS: *asked_chats = true; break;
    case AGT_UI_EXPERTS: agt_submit(r->a, "/experts text"); break;
    case AGT_UI_ENERGY: agt_submit(r->a, "/energy text"); break;
    case AGT_UI_ADVISE: agt_submit(r->a, "/advise text"); break;
    case AGT_UI_MODULE: agt_submit(r->a, "/module list"); break;
    case AGT_UI_TEACH: agt_submit(r->a, "/teach text"); break;
    case AGT_UI_MAP: agt_submit(r->a, "/map text"); break;
    case AGT_UI_MEMORY: agt_submit(r->a, "/memory list"); break;
    case AGT_UI_CONFIG: agt_submit(r->a, "/set"); break;
    case AGT_UI_EDIT:
        free(r->edit);
        r->edit = e->text && *e->text ? keys_of(e->text) : NULL;
        if (!r->edit)
            q_say(stdout, "%s\n", _("/edit TEXT asks the last question anew, worded so."));
        break;
    case AGT_UI_AMEND: {
        char *line = e->text && *e->text ? q_printf("/amend %s", e->text) : NULL;
        free(r->edit);
        r->edit = line ? keys_of(line) : NULL;
        free(line);
        if (!r->edit)
            q_say(stdout, "%s\n", _("/amend TEXT: the last question is answered beside the old answer, beginning with TEXT and going on from there."));
        break;
    }
    case AGT_UI_LANG: case AGT_UI_THEME: break;      /* done where the knob's value came */
    case AGT_UI_FILE:
        if (r->tty && isatty(STDIN_FILENO)) {
            fflush(stdout);
            if (!tui_editor(e->text))
                q_say(stdout, _("The editor did not end well, or there is none: set EDITOR; the file is %s."), e->text), q_say(stdout, "\n");
            agt_edited(r->a, e->text);
        }
        break;
    case AGT_UI_CLEAR: if (r->tty) q_say_own(stdout, "\033[H\033[2J"); break;
    case AGT_UI_COPY: copy(r); break;
    case AGT_UI_FORGOTTEN: forget_lines(r, e->text); break;
    default: q_say(stdout, "%s\n", _("That needs the full screen: start quorum without --repl.")); break;
    }
}

/* A knob's new value. A theme is for the full screen; what is wrong with one is said here all the same. */
static void knob(const agt_event *e)
{
    char err[Q_ERRLEN];
    tui_theme t;
    bool theme = strcmp(e->name, "ui.theme") == 0, bad = theme && tui_theme_load(e->text, &t, err) < 0;
    const char *note = bad ? err : theme ? _("the full screen has it; line mode keeps the terminal's own colours") : e->note;
    q_say(stdout, "%s%s%s", e->name, *e->name ? " = " : "", e->text);
    if (e->number)
        q_say(stdout, _(" after token %d"), e->number);
    if (note && *note)
        q_say(stdout, ": %s", note);
    q_say(stdout, "\n");
    if (strcmp(e->name, "ui.lang") == 0)
        tui_lang(e->text);
}

static void columns(const lab_columns *c)
{
    q_buf b = {0};
    lab_columns_say(c, &b);
    if (b.len)
        q_say_text(stdout, b.p);
    q_buf_free(&b);
}

/* A passage with a little of what stands before and behind it. */
static void source(const agt_event *e)
{
    enum { AROUND = 400 };
    size_t n = strlen(e->text), from = (size_t)e->done < n ? (size_t)e->done : n, to = (size_t)e->total < n ? (size_t)e->total : n;
    size_t before = from > AROUND ? from - AROUND : 0, behind = n - to > AROUND ? to + q_utf8_whole(e->text + to, AROUND) : n;
    while (before && before < from && e->text[before - 1] != '\n' && e->text[before - 1] != ' ') before++;
    q_buf b = {0};
    q_buf_printf(&b, "%s\n\n%s%.*s▶ ", e->name, before ? "…" : "", (int)(from - before), e->text + before);
    q_buf_add(&b, e->text + from, to - from);
    q_buf_printf(&b, "%.*s%s\n", (int)(behind - to), e->text + to, behind < n ? "…" : "");
    q_say_text(stdout, b.p);
    q_buf_free(&b);
}

/* ---- tools ---- */
static void approve(repl *r, const agt_event *e)
{
    const agt_call *c = &e->message->call[0];
    char *words = agt_call_words(c);
    fresh_line(r);
    q_say_text(stdout, words);
    free(words);
    r->approve = e->id;
    r->question = c->question;
}

static void called(repl *r, const agt_event *e)
{
    static const char *const how[] = { [AGT_CALL_WAITS] = "…", [AGT_CALL_RUNS] = "…", [AGT_CALL_DONE] = N_("done"), [AGT_CALL_FAILED] = N_("failed"),
                                       [AGT_CALL_DENIED] = N_("denied"), [AGT_CALL_STOPPED] = N_("stopped") };
    const agt_call *c = &e->message->call[0];
    r->approve = 0;
    if (c->state == AGT_CALL_RUNS) {
        if (!r->tty) return;
        fresh_line(r);
        q_say(stdout, _("running %s"), c->title);
        r->progress = true;
        return;
    }
    fresh_line(r);
    q_say(stdout, "* %s: %s (%s)\n", c->title, c->undone ? _("undone") : _(how[c->state]), c->policy);
}

/* A line that is written over, where there is a terminal. */
static void writing(repl *r, const agt_event *e)
{
    if (!r->tty)
        return;
    if (!r->progress)
        fresh_line(r);
    q_say(stdout, ngettext("\rwriting a call, %d byte", "\rwriting a call, %d bytes", (unsigned long)e->done), (int)e->done);
    r->progress = true;
}

/* A step of its own: what was done, then the summary and what stays beside it. */
static void compacted(repl *r, const agt_event *e)
{
    char *words = tui_compacted(e);
    fresh_line(r);
    q_say(stdout, "* %s\n", words);
    if (strcmp(e->name, "made") == 0 || strcmp(e->name, "edited") == 0) {
        q_say_text(stdout, e->text);
        q_say_own(stdout, "\n");
        q_say_text(stdout, e->note);
    }
    free(words);
}

/* The answer to the call that waits. */
static void consent(repl *r, const char *line)
{
    enum agt_consent how = AGT_ONCE;
    const char *words = line;
    int64_t id = r->approve;
    r->approve = 0;
    if (!r->question) agt_consent_line(line, &how, &words);
    agt_approve(r->a, id, how, words);
}

static void sentence(repl *r, const char *text)
{
    fresh_line(r);
    q_say(stdout, "%s\n", text);
}

static void handle(repl *r, const agt_event *e, bool *asked_chats)
{
    switch (e->kind) {
    case AGT_EV_LOADING: progress(r, _("loading the model"), e); break;
    case AGT_EV_PREFILL: progress(r, _("reading the context"), e); break;
    case AGT_EV_PROGRESS: progress(r, e->text, e); break;
    case AGT_EV_READY: {
        agt_status s;
        agt_get_status(r->a, &s);
        fresh_line(r);
        q_say(stdout, "%s%s%s", e->text, *s.device ? " · " : "", s.device);
        if (s.n_expert)
            q_say(stdout, _(" · k %d of %d"), s.k, s.n_expert);
        q_say(stdout, _(" · /help lists the commands\n"));
        break;
    }
    case AGT_EV_CHATS:
        if (*asked_chats) {
            fresh_line(r);
            chats(e);
            *asked_chats = false;
        }
        break;
    case AGT_EV_OPENED:
        if (e->n_messages && e->id) {
            fresh_line(r);
            opened(e);
        }
        break;
    case AGT_EV_RETRIEVAL: fresh_line(r); passages(e->retrieval); break;
    case AGT_EV_BEGIN:
        fresh_line(r);
        r->answering = true;
        r->thinking = 0;
        break;
    case AGT_EV_TOKEN:
        if (e->thinking) {
            r->thinking++;
            if (r->tty) {
                clear_progress(r);
                q_say(stdout, _("\rthinking, %d tokens"), r->thinking);
                r->open_line = r->thinking_shown = true;
            }
            break;
        }
        if (!*e->text && !e->differs)
            break;
        clear_progress(r);
        if (r->thinking_shown) {
            fresh_line(r);
            r->thinking_shown = false;
        }
        if (e->differs)
            q_say_own(stdout, r->tty ? "\033[7m≠\033[0m" : "[≠]");
        q_say_text(stdout, e->text);
        r->open_line = !*e->text ? r->open_line : e->text[strlen(e->text) - 1] != '\n';
        break;
    case AGT_EV_WRITING: writing(r, e); break;
    case AGT_EV_KNOB: fresh_line(r); knob(e); break;
    case AGT_EV_DONE:
        fresh_line(r);
        r->answering = r->thinking_shown = false;
        if (e->message->id)
            closing(r, e);
        break;
    case AGT_EV_PAUSED: fresh_line(r); q_say(stdout, "%s\n", tui_paused(r->answering, e->flag)); break;
    case AGT_EV_NOTE: sentence(r, e->text); break;
    case AGT_EV_TEXT: fresh_line(r); q_say_text(stdout, e->text); break;
    case AGT_EV_TEACH: if (e->flag) sentence(r, e->text); break;
    case AGT_EV_SOURCE: fresh_line(r); source(e); break;
    case AGT_EV_COLUMNS: fresh_line(r); columns(e->columns); break;
    case AGT_EV_FOUND: fresh_line(r); found(e); break;
    case AGT_EV_ASK:
        fresh_line(r);
        q_say_text(stdout, e->text);
        q_say(stdout, " %s\n", _("y: yes, anything else: no"));
        r->ask = e->id;
        break;
    case AGT_EV_APPROVE: approve(r, e); break;
    case AGT_EV_CALL: called(r, e); break;
    case AGT_EV_PLAN:
        fresh_line(r);
        q_say_text(stdout, e->text);
        break;
    case AGT_EV_COMPACTED: compacted(r, e); break;
    case AGT_EV_UI: ui(r, e, asked_chats); break;
    default: break;
    }
    fflush(stdout);
}

/* ---- typing ---- */
static char *prompt(EditLine *el)
{
    static char first[] = "> ", next[] = "… ";
    repl *r;
    el_get(el, EL_CLIENTDATA, &r);
    return r->more ? next : first;
}

/* Names that a terminal may not be told are not offered: they would be drawn. Returns how many are left. */
static int sayable(char **v, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        q_buf b = { 0 };
        q_say_clean(&b, v[i], strlen(v[i]), true);
        bool same = strcmp(b.p ? b.p : "", v[i]) == 0;
        q_buf_free(&b);
        if (same)
            v[kept++] = v[i];
        else
            free(v[i]);
    }
    return kept;
}

static unsigned char complete(EditLine *el, int ch)
{
    repl *r;
    el_get(el, EL_CLIENTDATA, &r);
    const LineInfo *li = el_line(el);
    size_t at = (size_t)(li->cursor - li->buffer), start;
    char *text = q_strndup(li->buffer, at);
    int n;
    char **v = agt_completions(r->a, text, at, &start, &n);
    n = sayable(v, n);
    unsigned char rc = CC_REFRESH_BEEP;
    if (n > 0) {
        size_t common = strlen(v[0]);
        for (int i = 1; i < n; i++) {
            size_t k = 0;
            while (k < common && v[i][k] == v[0][k])
                k++;
            common = k;
        }
        common = q_utf8_whole(v[0], common);
        if (common > at - start || (n == 1 && strlen(v[0]) >= at - start)) {
            el_deletestr(el, (int)(at - start));
            char *word = q_strndup(v[0], common);
            el_insertstr(el, word);
            free(word);
            rc = CC_REFRESH;
        } else if (n > 1) {
            q_say(stdout, "\n");
            for (int i = 0; i < n && i < 60; i++)
                q_say(stdout, "%s  ", v[i]);
            q_say(stdout, "\n");
            fflush(stdout);
            rc = CC_REDISPLAY;
        }
    }
    for (int i = 0; i < n; i++)
        free(v[i]);
    free(v);
    free(text);
    return rc;
}

/* Bracketed paste: everything up to ESC [ 2 0 1 ~ goes into the line, line breaks included, and nothing is sent. */
static unsigned char paste(EditLine *el, int ch)
{
    static const char end[] = "\033[201~";
    q_buf b = { 0 };
    char last = 0;
    for (size_t match = 0; match < sizeof end - 1;) {
        char c;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (c != '\n' || last != '\r')   /* CR, LF and CRLF are one line break */
            q_buf_putc(&b, c == '\r' ? '\n' : c);
        last = c;
        match = c == end[match] ? match + 1 : c == end[0] ? 1 : 0;
    }
    if (b.len >= sizeof end - 1 && memcmp(b.p + b.len - (sizeof end - 1), end, sizeof end - 1) == 0)
        b.p[b.len -= sizeof end - 1] = 0;
    /* What is inserted is drawn: it is cleaned as words for a terminal are. */
    q_buf clean = { 0 };
    q_say_clean(&clean, b.p ? b.p : "", b.len, false);
    if (clean.len)
        el_insertstr(el, clean.p);
    q_buf_free(&clean);
    q_buf_free(&b);
    return CC_REFRESH;
}

/* Enter. A paste without marks comes at once, with a CR where a line ends: while a line is edited, a CR that has something
 * behind it already begins a new line of the same message, and one that has nothing sends. What is typed ahead while an
 * answer runs ends in LF (the terminal turns Enter into it there): those are messages of their own. */
static const char send_key[] = "\033[990~";   /* no terminal's: the line editor's own Enter */

static bool waits_behind(void)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

static unsigned char enter(EditLine *el, int ch)
{
    repl *r;
    el_get(el, EL_CLIENTDATA, &r);
    const LineInfo *li = el_line(el);
    bool pasted = li->cursor > li->buffer && li->cursor[-1] == '\n' && r->pasted_at == li->cursor - li->buffer;
    r->pasted_at = -1;
    if ((ch == '\r' || pasted) && waits_behind()) {
        if (ch == '\r')
            el_insertstr(el, "\n");      /* CRLF: its LF finds the line begun */
        li = el_line(el);
        r->pasted_at = ch == '\r' ? li->cursor - li->buffer : -1;
        return CC_REFRESH;
    }
    el_push(el, send_key);
    return CC_NORM;
}

/* Typed after all: read once more. */
static void give_back(repl *r, const q_buf *b)
{
    q_buf clean = { 0 };
    if (q_utf8_valid(b->p, b->len) && strlen(b->p) == b->len)
        el_push(r->el, b->p);
    else {
        q_say_clean(&clean, b->p, b->len, false);
        el_insertstr(r->el, clean.p ? clean.p : "");
    }
    q_buf_free(&clean);
}

/* What a terminal answers by itself (OSC, DCS, APC, PM, SOS) is no text: up to ST or BEL it is read and forgotten. What is
 * no answer (term/decode.h) is a person's Alt with that key, and what was typed behind it is given back. */
static unsigned char swallow(EditLine *el, int ch)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    enum tui_string kind = TUI_STRING_BEGUN;
    bool end = false, broken = false;
    repl *r;
    q_buf b = { 0 };
    el_get(el, EL_CLIENTDATA, &r);
    q_buf_puts(&b, "");
    for (char c; !end && !broken && poll(&p, 1, kind == TUI_STRING_ODD ? TUI_TYPED_MS : TUI_STRING_MS) > 0 && read(STDIN_FILENO, &c, 1) == 1;) {
        char last = b.len ? b.p[b.len - 1] : 0;
        q_buf_putc(&b, c);
        end = c == '\a' || (last == 27 && c == '\\');
        broken = c == '\r' || c == '\n' || c == 3 || (last == 27 && c != '\\');
        if (!end && !broken && c != 27)
            kind = tui_string_of((char)ch, b.p, b.len);
        broken |= kind == TUI_STRING_NOT && q_utf8_whole(b.p, b.len) == b.len;
    }
    if (!end && kind != TUI_STRING_SURE)
        give_back(r, &b);
    q_buf_free(&b);
    return CC_NORM;
}

/* What a nudge (0: the configuration before) came to is shown above the line that is typed. */
static unsigned char nudge(EditLine *el, int by)
{
    repl *r;
    el_get(el, EL_CLIENTDATA, &r);
    int seen = interrupts;
    bool asked_chats = false, idle;
    clear_progress(r);
    q_say(stdout, "\n");
    if (by)
        agt_nudge_k(r->a, by);
    else
        agt_toggle(r->a);
    do {
        agt_event e;
        idle = agt_idle(r->a);
        while (agt_next(r->a, &e)) {
            handle(r, &e, &asked_chats);
            agt_event_free(&e);
        }
        struct pollfd p = { .fd = agt_wake_fd(r->a), .events = POLLIN };
        if (!idle)
            poll(&p, 1, 20);
    } while (!idle && !ended && interrupts == seen);
    return CC_REDISPLAY;
}

static unsigned char fewer(EditLine *el, int ch) { return nudge(el, -1); }
static unsigned char more(EditLine *el, int ch) { return nudge(el, 1); }
static unsigned char toggle(EditLine *el, int ch) { return nudge(el, 0); }
static unsigned char nothing(EditLine *el, int ch) { return CC_NORM; }

/* A function key in the spellings of terminals, with and without Shift, Alt and Ctrl (";2" to ";8"). */
static void bind_keys(EditLine *el)
{
    static const int number[] = { 2, 5, 6, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 32, 33, 34 };
    static const char *const acts[] = { "quorum-fewer", "quorum-more", "quorum-toggle" };        /* F7, F8, F9 */
    static const char letter[] = "PQRS", console[] = "ABCDE";
    char seq[16];
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        for (int m = 1; m <= 8; m++) {
            if (m == 1)
                snprintf(seq, sizeof seq, "\033[%d~", number[i]);
            else
                snprintf(seq, sizeof seq, "\033[%d;%d~", number[i], m);
            el_set(el, EL_BIND, seq, m > 1 || number[i] < 18 || number[i] > 20 ? "quorum-nothing" : acts[number[i] - 18], NULL);
        }
    for (const char *p = letter; *p; p++)
        for (int m = 1; m <= 8; m++) {
            if (m == 1)
                snprintf(seq, sizeof seq, "\033O%c", *p);
            else
                snprintf(seq, sizeof seq, "\033[1;%d%c", m, *p);
            el_set(el, EL_BIND, seq, "quorum-nothing", NULL);
        }
    for (const char *p = console; *p; p++) {
        snprintf(seq, sizeof seq, "\033[[%c", *p);
        el_set(el, EL_BIND, seq, "quorum-nothing", NULL);
    }
}

/* The line editor would say it in its own words, and go on as if on a terminal that can do nothing. */
static void unknown_terminal(void)
{
    const char *term = getenv("TERM");
    if (term && *term)
        q_say(stdout, _("The terminal \"%s\" (TERM) is not described on this system, so lines are edited in the plainest way: try TERM=xterm-256color quorum, or install its description (Debian: ncurses-term).\n"), term);
    else
        q_say(stdout, "%s", _("TERM is not set, so lines are edited in the plainest way: TERM=xterm-256color quorum says what most terminals are.\n"));
    setenv("TERM", "dumb", 1);
}

static void setup(repl *r)
{
    HistEvent ev;
    char err[Q_ERRLEN];
    r->h = history_init();
    history(r->h, &ev, H_SETSIZE, 2000);
    history(r->h, &ev, H_SETUNIQUE, 1);
    char *dir = q_user_path(Q_DIR_STATE, "");
    r->history_file = q_user_path(Q_DIR_STATE, "history");
    if (dir && q_mkdirs(dir, err) == Q_OK)
        history(r->h, &ev, H_LOAD, r->history_file);
    free(dir);
    if (r->tty && !tui_term_known(getenv("TERM"))) {
        unknown_terminal();
        r->quiet = fopen("/dev/null", "w");
    }
    if (!r->tty || !(r->el = el_init("quorum", stdin, stdout, r->quiet ? r->quiet : stderr)))
        return;
    el_set(r->el, EL_CLIENTDATA, r);
    el_set(r->el, EL_PROMPT, prompt);
    el_set(r->el, EL_EDITOR, "emacs");
    el_set(r->el, EL_HIST, history, r->h);
    el_set(r->el, EL_SIGNAL, 0);
    el_set(r->el, EL_ADDFN, "quorum-complete", "complete", complete);
    el_set(r->el, EL_ADDFN, "quorum-paste", "paste", paste);
    el_set(r->el, EL_ADDFN, "quorum-enter", "send, or a pasted line's end", enter);
    el_set(r->el, EL_ADDFN, "quorum-fewer", "fewer experts", fewer);
    el_set(r->el, EL_ADDFN, "quorum-more", "more experts", more);
    el_set(r->el, EL_ADDFN, "quorum-toggle", "the configuration before", toggle);
    el_set(r->el, EL_ADDFN, "quorum-nothing", "a key that does nothing here", nothing);
    bind_keys(r->el);
    el_set(r->el, EL_BIND, send_key, "ed-newline", NULL);
    el_set(r->el, EL_BIND, "^M", "quorum-enter", NULL);
    el_set(r->el, EL_BIND, "^J", "quorum-enter", NULL);
    el_set(r->el, EL_BIND, "^I", "quorum-complete", NULL);
    el_set(r->el, EL_BIND, "\033[200~", "quorum-paste", NULL);
    el_set(r->el, EL_SETTY, "-d", "-icrnl", "-inlcr", NULL);    /* while a line is edited CR stays CR: a paste has CRLF as one line break */
    static const char *const strings[] = { "\033]", "\033P", "\033_", "\033\\^", "\033X" };
    el_set(r->el, EL_ADDFN, "quorum-swallow", "an answer of the terminal", swallow);
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        el_set(r->el, EL_BIND, strings[i], "quorum-swallow", NULL);
    el_set(r->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(r->el, EL_BIND, "^W", "ed-delete-prev-word", NULL);
}

static void take_down(repl *r)
{
    HistEvent ev;
    if (r->el)
        el_end(r->el);
    if (r->quiet)
        fclose(r->quiet);
    if (r->h)
        history_end(r->h);
    (void)ev;
    free(r->history_file);
    free(r->edit);
    q_buf_free(&r->line);
}

static void remember(repl *r, const char *text)
{
    HistEvent ev;
    history(r->h, &ev, H_ENTER, text);
    if (r->history_file)
        history(r->h, &ev, H_SAVE, r->history_file);
}

/* One message, possibly of several lines; malloc'ed. NULL: the end. "" after Ctrl-C. */
static char *read_message(repl *r)
{
    q_buf_clear(&r->line);
    r->more = false;
    for (;;) {
        const char *s;
        int n = 0;
        if (r->tty && r->el) {
            q_say_own(stdout, "\033[?2004h");
            fflush(stdout);
            if (r->edit && !r->more) {
                el_push(r->el, r->edit);
                free(r->edit);
                r->edit = NULL;
            }
            int seen = interrupts;
            errno = 0;
            s = el_gets(r->el, &n);
            q_say_own(stdout, "\033[?2004l");
            fflush(stdout);
            if ((!s || n <= 0) && interrupts != seen && !ended) {
                q_say(stdout, "\n");
                el_reset(r->el);
                return q_strdup("");
            }
            if (!s || n <= 0)
                return r->line.len ? q_strdup(r->line.p) : NULL;
            q_buf_add(&r->line, s, (size_t)n);
        } else {
            char *buf = NULL;
            size_t cap = 0;
            ssize_t got = getline(&buf, &cap, stdin);
            if (got > 0)
                q_buf_add(&r->line, buf, (size_t)got);
            free(buf);
            if (got <= 0)
                return r->line.len ? q_strdup(r->line.p) : NULL;
        }
        while (r->line.len && (r->line.p[r->line.len - 1] == '\n' || r->line.p[r->line.len - 1] == '\r'))
            r->line.p[--r->line.len] = 0;
        if (!r->line.len || r->line.p[r->line.len - 1] != '\\')
            return q_strdup(r->line.p ? r->line.p : "");
        r->line.p[r->line.len - 1] = '\n';
        r->more = true;
    }
}

/* A line that was typed: the answer to what was asked, or something to send. False: nothing came of it. */
static bool take_line(repl *r, const char *text)
{
    static const char *const yes[] = { "y", "Y", "yes", "д", "Д", "да" }, *const no[] = { "n", "N", "no", "н", "Н", "нет", "" };
    size_t from = strspn(text, " \t\n");
    int64_t ask = r->ask;
    char *line = q_strdup(text + from);
    bool sent = false, answer = false;
    for (size_t n = strlen(line); n && strchr(" \t\n", line[n - 1]);) line[--n] = 0;
    if (r->approve && *line != '/') {        /* a command is one, /stop too */
        consent(r, line);
        free(line);
        return true;
    }
    r->ask = 0;
    for (size_t i = 0; ask && i < sizeof yes / sizeof *yes && !sent; i++)
        if (strcmp(line, yes[i]) == 0) sent = true;
    for (size_t i = 0; ask && i < sizeof no / sizeof *no; i++) answer = answer || strcmp(line, no[i]) == 0;
    if (ask) agt_answer(r->a, ask, sent);
    if (ask && !sent) q_say(stdout, "%s\n", _("Left as it is."));
    if (!sent && !answer && *line) {
        remember(r, text);
        agt_submit(r->a, text);
        sent = true;
    }
    free(line);
    return sent;
}

/* What the keys of the full screen do there they do while an answer runs; a line that was typed is sent at once. It was
 * typed unseen, so it is shown where it acts. */
static void take_keys(repl *r, tui_ahead *h)
{
    for (enum tui_key_code k; (k = tui_ahead_key(h)) != K_NONE;)
        switch (k) {
        case K_ENTER:
            if (h->line.len) {
                fresh_line(r);
                q_say(stdout, "> %s\n", h->line.p);
            }
            if (h->line.len || r->ask || r->approve) take_line(r, h->line.len ? h->line.p : "");
            q_buf_clear(&h->line);
            break;
        case K_F6: agt_submit(r->a, "/pause"); break;
        case K_F7: agt_nudge_k(r->a, -1); break;
        case K_F8: agt_nudge_k(r->a, 1); break;
        case K_F9: agt_toggle(r->a); break;
        default: break;
        }
}

/* Nothing is allowed by a key that was typed before its question was shown: lines are what they were typed as, and one that was only
 * begun stands in the next prompt. */
static void typed_before(repl *r, tui_ahead *h)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    r->approve = 0;
    if (poll(&p, 1, 0) > 0) tui_ahead_read(h);
    take_keys(r, h);
    if (h->line.len) {
        char *all = q_printf("%s%s", r->edit ? r->edit : "", h->line.p);
        free(r->edit);
        r->edit = all;
    }
    q_buf_clear(&h->line);
}

/* Follows events until nothing runs. */
static void follow(repl *r, bool *asked_chats)
{
    int seen = interrupts;
    tui_ahead ahead = { 0 };
    if (r->tty) tui_ahead_on(&ahead);
    while (!r->quit && !ended) {
        agt_event e;
        bool idle = r->tty ? agt_rests(r->a) : agt_idle(r->a);
        while (agt_next(r->a, &e)) {
            idle = idle && e.kind != AGT_EV_UI;          /* it may have asked for something */
            if (e.kind == AGT_EV_APPROVE && r->tty) typed_before(r, &ahead);
            handle(r, &e, asked_chats);
            agt_event_free(&e);
        }
        if (interrupts != seen) {
            seen = interrupts;
            agt_stop(r->a);
        }
        if (idle || (r->approve && !r->tty))     /* before the events were read: what was asked for is all there; a script's next line answers */
            break;
        struct pollfd p[2] = { { .fd = agt_wake_fd(r->a), .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
        if (poll(p, r->tty ? 2 : 1, 20) > 0 && r->tty && p[1].revents)
            tui_ahead_read(&ahead);
        if (r->tty) take_keys(r, &ahead);
        if (ahead.closed) {
            r->quit = true;
            agt_stop(r->a);
        }
    }
    if (r->tty) tui_ahead_off(&ahead);
    if (ahead.line.len && !r->edit)
        r->edit = q_strdup(ahead.line.p);
    q_buf_free(&ahead.line);
}

int tui_repl(agt *a, char *err)
{
    repl r = { .a = a, .tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) };
    bool asked_chats = false;
    struct sigaction sa = { .sa_handler = on_interrupt }, old, term, hup;
    sigaction(SIGINT, &sa, &old);
    sa.sa_handler = on_end;
    sigaction(SIGTERM, &sa, &term);
    sigaction(SIGHUP, &sa, &hup);
    if (hup.sa_handler == SIG_IGN)       /* nohup */
        sigaction(SIGHUP, &hup, NULL);
    if (r.tty)
        tui_ending_line_mode();
    setup(&r);
    if (!r.el && r.tty) {
        take_down(&r);
        return q_fail(err, Q_ERR, _("the line editor does not know this terminal: try TERM=dumb quorum --repl"));
    }
    follow(&r, &asked_chats);
    while (!r.quit && !ended) {
        char *text = read_message(&r);
        if (!text) {
            if (r.approve) agt_stop(a);          /* nobody is left to be asked */
            break;
        }
        if (take_line(&r, text) || r.approve) follow(&r, &asked_chats);
        free(text);
    }
    if (r.tty)
        q_say(stdout, "\n");
    take_down(&r);
    tui_ending_gives_back(NULL);
    sigaction(SIGINT, &old, NULL);
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGHUP, &hup, NULL);
    return ended;
}
