/* term/curses: the grid on a real terminal, through ncursesw; keys from it. The only file that knows curses. Front-end
 * thread; its statics mirror curses' own. It writes only cells that changed since the last frame. */
#include "tui/term/decode.h"
#include "tui/term/screen.h"

#include <ncurses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>
#undef lines
#undef columns

static SCREEN *scr;
static FILE *out;
static tui_grid shown;
static struct { attr_t attr; short pair; } look[S_N];
static bool plain_console;
static char undo[256];
static tui_decode decode;
static int64_t heard;                       /* when the last bytes came */
static bool closed;                         /* the terminal is gone */

static bool mouse_on;
static bool stays;               /* no second screen: what was drawn stays, and what comes next begins below it */
static const char modes_on[] = "\033[?2004h", modes_off[] = "\033[?2004l\033[?1006l\033[?1000l";

static void raw_write(const char *s, size_t n)
{
    while (n) {
        ssize_t k = write(STDOUT_FILENO, s, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return;
        s += k;
        n -= (size_t)k;
    }
}

/* terminfo strings may hold padding $<5>; a handler cannot call tputs. */
static void add_cap(const char *cap)
{
    const char *s = tigetstr(cap);
    size_t n = strlen(undo);
    if (!s || s == (char *)-1) return;
    for (; *s && n + 1 < sizeof undo; s++) {
        if (s[0] == '$' && s[1] == '<') { while (*s && *s != '>') s++; if (!*s) break; continue; }
        undo[n++] = *s;
    }
    undo[n] = 0;
}

static unsigned attr_bits(unsigned a)
{
    static const struct { unsigned look; attr_t attr; } map[] = { { LOOK_BOLD, A_BOLD }, { LOOK_DIM, A_DIM }, { LOOK_ITALIC, A_ITALIC },
        { LOOK_UNDERLINE, A_UNDERLINE }, { LOOK_REVERSE, A_REVERSE } };
    unsigned r = 0;
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) if (a & map[i].look) r |= map[i].attr;
    return r;
}

/* 8 colours: the bright ones are the dark ones, bold; grey is white, dim. */
static int eight(int c, attr_t *a)
{
    if (c == 8) { *a |= A_DIM; return 7; }
    if (c > 8) { *a |= A_BOLD; return c - 8; }
    return c;
}

void tui_term_theme(const tui_theme *t)
{
    const char *no = getenv("NO_COLOR");
    bool colour = has_colors() && !(no && *no);
    for (int i = 0; i < S_N; i++) {
        const tui_look *l = !colour ? &t->mono[i] : COLORS >= 256 ? &t->rgb[i] : &t->ansi[i];
        attr_t a = attr_bits(l->attr);
        int fg = l->fg, bg = l->bg;
        look[i].pair = 0;
        if (colour) {
            if (COLORS > 256) { if (fg >= 0 && fg < 8) fg = 8; if (bg >= 0 && bg < 8) bg = 8; }
            else if (COLORS == 256) { if (fg >= 0) fg = tui_theme_256(fg); if (bg >= 0) bg = tui_theme_256(bg); }
            else if (COLORS < 16) { fg = eight(fg, &a); if (bg >= 8) bg -= 8; }
            if (fg >= 0 || bg >= 0) {
                init_extended_pair(i + 1, fg, bg);
                look[i].pair = (short)(i + 1);
            }
        }
        look[i].attr = a;
    }
    shown.w = shown.h = 0;
    free(shown.c);
    shown.c = NULL;
}

/* 24-bit colour where the terminal says it has it and terminfo knows a direct form of it. */
static SCREEN *make_screen(void)
{
    const char *ct = getenv("COLORTERM"), *term = getenv("TERM");
    if (ct && term && (strcmp(ct, "truecolor") == 0 || strcmp(ct, "24bit") == 0)) {
        char *direct = strncmp(term, "xterm", 5) == 0 ? q_strdup("xterm-direct") : NULL;
        int e;
        SCREEN *s = NULL;
        if (direct && setupterm(direct, STDOUT_FILENO, &e) == OK) s = newterm(direct, out, stdin);
        free(direct);
        if (s) return s;
    }
    return newterm(NULL, out, stdin);
}

/* What terminfo says of this terminal's keys; the usual spellings are known without it. */
static const struct { const char *cap; enum tui_key_code code; } terminfo[] = {
    { "kcbt", K_BACKTAB }, { "kdch1", K_DELETE }, { "kcub1", K_LEFT }, { "kcuf1", K_RIGHT }, { "kcuu1", K_UP }, { "kcud1", K_DOWN },
    { "khome", K_HOME }, { "kend", K_END }, { "kpp", K_PGUP }, { "knp", K_PGDN }, { "kLFT", K_CTRL_LEFT }, { "kRIT", K_CTRL_RIGHT },
    { "kf1", K_F1 }, { "kf2", K_F2 }, { "kf3", K_F3 }, { "kf4", K_F4 }, { "kf5", K_F5 }, { "kf6", K_F6 }, { "kf7", K_F7 }, { "kf8", K_F8 },
    { "kf9", K_F9 }, { "kf10", K_F10 } };

bool tui_term_known(const char *term)
{
    int e;
    return term && *term && setupterm(term, STDOUT_FILENO, &e) == OK;
}

int tui_term_open(const tui_theme *t, char *err)
{
    const char *term = getenv("TERM");
    plain_console = term && (strcmp(term, "linux") == 0 || strncmp(term, "vt", 2) == 0);
    tui_guard_save();
    out = fdopen(dup(STDOUT_FILENO), "w");
    if (!out || !(scr = make_screen())) {
        if (out) fclose(out);
        out = NULL;
        return q_fail(err, Q_ERR, _("This terminal (%s) cannot show the full screen: quorum --repl."), term ? term : "?");
    }
    set_term(scr);
    set_escdelay(25);
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    meta(stdscr, TRUE);
    if (has_colors()) { start_color(); use_default_colors(); }
    typeahead(-1);                          /* what waits to be read is our matter */
    for (size_t i = 0; i < sizeof terminfo / sizeof *terminfo; i++) tui_decode_learn(&decode, tigetstr(terminfo[i].cap), terminfo[i].code);
    closed = false;
    snprintf(undo, sizeof undo, "\033[?2004l\033[?1006l\033[?1002l\033[?1000l");
    add_cap("rmkx");
    add_cap("sgr0");
    add_cap("rmcup");
    add_cap("cnorm");
    const char *second = tigetstr("rmcup");
    stays = !second || second == (char *)-1;
    if (stays && strlen(undo) + 2 < sizeof undo) strcat(undo, "\r\n");
    tui_guard_on(undo, strlen(undo));
    raw_write(modes_on, sizeof modes_on - 1);
    tui_term_theme(t);
    return 0;
}

void tui_term_close(void)
{
    if (!scr) return;
    endwin();
    fflush(out);
    raw_write(modes_off, sizeof modes_off - 1);
    if (stays) raw_write("\r\n", 2);
    tui_guard_off();
    delscreen(scr);
    fclose(out);
    scr = NULL;
    out = NULL;
    tui_grid_free(&shown);
    tui_decode_free(&decode);
}

void tui_term_size(int *w, int *h)
{
    struct winsize ws;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col && ws.ws_row) { *w = ws.ws_col; *h = ws.ws_row; }
    else { *w = COLS; *h = LINES; }
}

static void put_cell(int y, int x, const tui_cell *c)
{
    wchar_t w[8];
    int n = 0;
    for (size_t i = 0; i < c->len && n < 5;) {
        uint32_t cp;
        i += (size_t)q_utf8_next(c->s + i, c->len - i, &cp);
        w[n++] = (wchar_t)cp;
    }
    w[n] = 0;
    /* Where the C library thinks otherwise of a width, columns would shift: such a character is shown as ? */
    int want = wcwidth(w[0]);
    if (want != c->width) { w[0] = want == 1 || c->width == 1 ? L'?' : L' '; w[1] = 0; }
    cchar_t cc;
    if (setcchar(&cc, w, look[c->style].attr, look[c->style].pair, NULL) == ERR) return;
    mvadd_wch(y, x, &cc);
    if (want != c->width && c->width == 2) {
        setcchar(&cc, L" ", look[c->style].attr, look[c->style].pair, NULL);
        mvadd_wch(y, x + 1, &cc);
    }
}

void tui_term_show(const tui_grid *g, bool all)
{
    int rows, cols;
    getmaxyx(stdscr, rows, cols);
    if (g->h != rows || g->w != cols) resizeterm(g->h, g->w);
    if (shown.w != g->w || shown.h != g->h) { tui_grid_size(&shown, g->w, g->h); erase(); all = true; }
    if (all) clearok(curscr, TRUE);
    for (int y = 0; y < g->h; y++) {
        const tui_cell *row = g->c + (size_t)y * (size_t)g->w;
        tui_cell *old = shown.c + (size_t)y * (size_t)g->w;
        if (!all && memcmp(row, old, sizeof *row * (size_t)g->w) == 0) continue;
        for (int x = 0; x < g->w; x++) {
            if (!row[x].width) continue;
            bool same = memcmp(&row[x], &old[x], sizeof *row) == 0 && (row[x].width == 1 || memcmp(&row[x + 1], &old[x + 1], sizeof *row) == 0);
            if (all || !same) put_cell(y, x, &row[x]);
        }
        memcpy(old, row, sizeof *row * (size_t)g->w);
    }
    curs_set(g->cursor ? 1 : 0);
    if (g->cursor) move(g->cy, g->cx);
    refresh();
}

/* Keys are read and told apart without curses: its own reading waits inside a character and types what it does not know. */
static void read_more(void)
{
    char buf[16384];
    struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
    if (closed || poll(&p, 1, 0) <= 0) return;
    ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
    if (n > 0) {
        tui_decode_bytes(&decode, buf, (size_t)n);
        heard = q_now_ns();
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) closed = true;     /* a hung-up terminal is readable for ever */
}

bool tui_term_key(tui_key *k)
{
    if (tui_decode_last(&decode)) read_more();
    if (tui_decode_key(&decode, k, false)) return true;
    read_more();
    if (tui_decode_key(&decode, k, false)) return true;
    int wait = tui_decode_wait(&decode);
    return wait >= 0 && q_now_ns() - heard >= (int64_t)wait * 1000000 && tui_decode_key(&decode, k, true);
}

int tui_term_wait(void)
{
    int wait = tui_decode_wait(&decode);
    int64_t left = wait < 0 ? -1 : wait - (q_now_ns() - heard) / 1000000;
    return wait < 0 ? -1 : left < 0 ? 0 : (int)left;
}

bool tui_term_closed(void) { return closed; }

void tui_term_leave(void)
{
    def_prog_mode();
    endwin();
    fflush(out);
    raw_write(modes_off, sizeof modes_off - 1);
}

void tui_term_return(void)
{
    reset_prog_mode();
    raw_write(modes_on, sizeof modes_on - 1);
    if (mouse_on) tui_term_mouse(true);
    shown.w = 0;
    refresh();
}

void tui_term_suspend(void)
{
    struct sigaction dfl = { .sa_handler = SIG_DFL }, old;
    tui_term_leave();
    sigemptyset(&dfl.sa_mask);
    sigaction(SIGTSTP, &dfl, &old);
    kill(0, SIGTSTP);
    sigaction(SIGTSTP, &old, NULL);
    tui_term_return();
}

void tui_term_copy(const char *text)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    q_buf b = {0};
    size_t n = strlen(text);
    const unsigned char *s = (const unsigned char *)text;
    q_buf_puts(&b, "\033]52;c;");
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)s[i] << 16 | (i + 1 < n ? (uint32_t)s[i + 1] << 8 : 0) | (i + 2 < n ? s[i + 2] : 0);
        char q[4] = { digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=', i + 2 < n ? digit[v & 63] : '=' };
        q_buf_add(&b, q, 4);
    }
    q_buf_putc(&b, '\a');
    fflush(out);
    raw_write(b.p, b.len);
    q_buf_free(&b);
}

void tui_term_mouse(bool on)
{
    static const char sgr_on[] = "\033[?1000h\033[?1006h", sgr_off[] = "\033[?1006l\033[?1000l";
    const char *has = tigetstr("kmous");
    mouse_on = on;
    if (!has || has == (char *)-1) return;
    fflush(out);
    raw_write(on ? sgr_on : sgr_off, sizeof sgr_on - 1);
}

bool tui_term_glyphs(void) { return !plain_console; }
