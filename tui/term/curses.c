/* term/curses: the grid on a real terminal, through ncursesw; keys from it. The only file that knows curses. Front-end
 * thread; its statics mirror curses' own. It writes only cells that changed since the last frame. */
#include "tui/term/screen.h"

#include <ncurses.h>
#include <errno.h>
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

enum { KEY_PASTE_ON = KEY_MAX + 1, KEY_PASTE_OFF, KEY_WORD_LEFT, KEY_WORD_RIGHT, PASTE_MAX = 1 << 20 };

static SCREEN *scr;
static FILE *out;
static tui_grid shown;
static struct { attr_t attr; short pair; } look[S_N];
static bool plain_console;
static char undo[256];
static q_buf paste;
static bool pasting;
static int pushed_back = ERR;               /* a character read while telling Alt from Esc */

static bool mouse_on;
static const char modes_on[] = "\033[?2004h", modes_off[] = "\033[?2004l\033[?1006l";

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
    mouseinterval(0);
    define_key("\033[200~", KEY_PASTE_ON);
    define_key("\033[201~", KEY_PASTE_OFF);
    define_key("\033[1;5D", KEY_WORD_LEFT);
    define_key("\033[1;5C", KEY_WORD_RIGHT);
    define_key("\033[1;3D", KEY_WORD_LEFT);
    define_key("\033[1;3C", KEY_WORD_RIGHT);
    snprintf(undo, sizeof undo, "\033[?2004l\033[?1006l\033[?1002l\033[?1000l");
    add_cap("rmkx");
    add_cap("sgr0");
    add_cap("rmcup");
    add_cap("cnorm");
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
    tui_guard_off();
    delscreen(scr);
    fclose(out);
    scr = NULL;
    out = NULL;
    tui_grid_free(&shown);
    q_buf_free(&paste);
    pasting = false;
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

static const struct { int curses; enum tui_key_code code; } keys[] = {
    { KEY_ENTER, K_ENTER }, { KEY_BTAB, K_BACKTAB }, { KEY_BACKSPACE, K_BACKSPACE }, { KEY_DC, K_DELETE }, { KEY_LEFT, K_LEFT },
    { KEY_RIGHT, K_RIGHT }, { KEY_UP, K_UP }, { KEY_DOWN, K_DOWN }, { KEY_HOME, K_HOME }, { KEY_END, K_END }, { KEY_PPAGE, K_PGUP },
    { KEY_NPAGE, K_PGDN }, { KEY_WORD_LEFT, K_CTRL_LEFT }, { KEY_WORD_RIGHT, K_CTRL_RIGHT }, { KEY_SLEFT, K_CTRL_LEFT },
    { KEY_SRIGHT, K_CTRL_RIGHT } };

static bool function_key(int c, tui_key *k)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) if (keys[i].curses == c) k->code = keys[i].code;
    if (c >= KEY_F(1) && c <= KEY_F(10)) k->code = (enum tui_key_code)(K_F1 + (c - KEY_F(1)));
    if (c == KEY_MOUSE) {
        MEVENT m;
        if (getmouse(&m) != OK) return false;
        k->x = m.x;
        k->y = m.y;
        k->code = m.bstate & BUTTON4_PRESSED ? K_WHEEL_UP : m.bstate & BUTTON5_PRESSED ? K_WHEEL_DOWN : m.bstate & BUTTON1_PRESSED ? K_CLICK : K_NONE;
    }
    return k->code != K_NONE;
}

static int next_char(wint_t *c)
{
    if (pushed_back != ERR) { *c = (wint_t)pushed_back; pushed_back = ERR; return OK; }
    return get_wch(c);
}

static void paste_char(wint_t c)
{
    char u[4];
    if (paste.len + 4 > PASTE_MAX) return;
    if (c == '\r') c = '\n';
    if (c == '\t' || c == '\n' || c >= 32) q_buf_add(&paste, u, (size_t)q_utf8_put(u, (uint32_t)c));
}

/* After ESC [ that curses did not know: a mouse report in xterm's SGR form (1006: "<button;column;rowM", from 1), which
 * has no limit at column 223, or something to be swallowed whole: its letters are no text. ECMA-48 5.4: parameters and
 * intermediates are 0x20-0x3F, the final byte 0x40-0x7E. */
static bool control_sequence(tui_key *k)
{
    int v[3] = { 0, 0, 0 }, n = 0;
    bool sgr = false;
    wint_t c;
    for (int i = 0; i < 64 && get_wch(&c) == OK; i++) {
        if (i == 0 && c == '<') sgr = true;
        else if (c >= '0' && c <= '9') { if (n < 3 && v[n] < 100000) v[n] = v[n] * 10 + (int)(c - '0'); }
        else if (c == ';') n++;
        else if (c < 0x20 || c >= 0x40) break;
    }
    if (!sgr || n != 2 || c != 'M' || v[1] < 1 || v[2] < 1) return false;
    k->x = v[1] - 1;
    k->y = v[2] - 1;
    k->code = v[0] == 64 ? K_WHEEL_UP : v[0] == 65 ? K_WHEEL_DOWN : v[0] == 0 ? K_CLICK : K_NONE;
    return k->code != K_NONE;
}

bool tui_term_key(tui_key *k)
{
    wint_t c;
    for (;;) {
        memset(k, 0, sizeof *k);
        int r = next_char(&c);
        if (r == ERR) return false;
        if (r == KEY_CODE_YES) {
            if (c == KEY_PASTE_ON) { pasting = true; q_buf_clear(&paste); continue; }
            if (c == KEY_PASTE_OFF && pasting) {
                pasting = false;
                k->code = K_PASTE;
                k->text = q_buf_take(&paste);
                return true;
            }
            if (pasting || !function_key((int)c, k)) continue;
            return true;
        }
        if (pasting) { paste_char(c); continue; }
        if (c == 27) {
            wint_t d;
            r = get_wch(&d);
            if (r == ERR) { k->code = K_ESC; return true; }
            if (r == KEY_CODE_YES) {
                if (d == KEY_PASTE_ON) { pasting = true; q_buf_clear(&paste); continue; }
                if (!function_key((int)d, k)) continue;
                k->alt = true;
                return true;
            }
            if (d == 27) { pushed_back = 27; k->code = K_ESC; return true; }
            if (d == '[') { if (control_sequence(k)) return true; continue; }
            k->alt = true;
            c = d;
        }
        k->code = c == '\r' ? K_ENTER : c == '\t' ? K_TAB : c == 127 || c == 8 ? K_BACKSPACE : K_CHAR;
        if (k->alt && c == '\n') k->code = K_ENTER;
        k->cp = (uint32_t)c;
        return true;
    }
}

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
    static const char sgr_on[] = "\033[?1006h", sgr_off[] = "\033[?1006l";
    mousemask(on ? BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED : 0, NULL);
    fflush(out);
    raw_write(on ? sgr_on : sgr_off, sizeof sgr_on - 1);
    mouse_on = on;
}

bool tui_term_glyphs(void) { return !plain_console; }
