/* term/grid: the screen as a table of cells. Views draw into it; a back end shows it (term/curses.c), saves it
 * (term/svg.c) or compares it (tests). Owned by whoever made it, front-end thread.
 * Drawing never leaves the given columns and never splits a wide character. */
#ifndef TUI_TERM_GRID_H
#define TUI_TERM_GRID_H

#include "tui/term/text.h"

/* Elements that a theme dresses, by name in its file. */
#define TUI_STYLES(X) \
    X(TEXT, "text") X(DIM, "dim") X(FAINT, "faint") X(TITLE, "title") X(ACCENT, "accent") X(STATUS, "status") \
    X(USER, "user") X(ANSWER, "answer") X(HEADING, "heading") X(STRONG, "strong") X(EM, "emphasis") X(CODE, "code") \
    X(LINK, "link") X(QUOTE, "quote") X(THINKING, "thinking") X(RULE, "rule") X(ERROR, "error") X(WARN, "warn") \
    X(LESS2, "far-less") X(LESS1, "less") X(USUAL, "usual") X(MORE1, "more") X(MORE2, "far-more") X(NOW, "now") \
    X(SELECT, "select") X(PROMPT, "prompt") X(HINT, "hint") X(BAR, "bar") X(DIFF, "differs") X(STRUCK, "struck") \
    X(MARK, "mark") X(HUE1, "hue-1") X(HUE2, "hue-2") X(HUE3, "hue-3") X(HUE4, "hue-4") X(HUE5, "hue-5") X(HUE6, "hue-6")
enum tui_style {
#define X(id, name) S_##id,
    TUI_STYLES(X)
#undef X
    S_N
};

typedef struct tui_cell { char s[TUI_GLYPH_BYTES]; uint8_t len, width, style, pad; } tui_cell;  /* width 0: right half */
typedef struct tui_grid {
    int w, h;
    tui_cell *c;                    /* [h][w] */
    int cx, cy; bool cursor;        /* where the terminal's cursor stands, and whether it shows */
} tui_grid;

enum { TUI_W_MAX = 2000, TUI_H_MAX = 1000 };         /* of a larger window, or one that says so, this much is drawn on */
void tui_grid_size(tui_grid *g, int w, int h);        /* empties */
void tui_grid_clear(tui_grid *g);
void tui_grid_free(tui_grid *g);
/* Draws s[0..n) from column x, not beyond column end (exclusive); returns the column after the last cell. */
int tui_putn(tui_grid *g, int y, int x, int end, const char *s, size_t n, enum tui_style st);
int tui_put(tui_grid *g, int y, int x, int end, const char *s, enum tui_style st);
/* The same, cut with … when it does not fit. */
int tui_put_cut(tui_grid *g, int y, int x, int end, const char *s, enum tui_style st);
/* Ends at column end (exclusive); returns where it began, or end when it does not fit after x. */
int tui_put_right(tui_grid *g, int y, int x, int end, const char *s, enum tui_style st);
int tui_putf(tui_grid *g, int y, int x, int end, enum tui_style st, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void tui_fill(tui_grid *g, int y, int x, int w, int h, enum tui_style st);
/* The screen as text, a line a row, trailing blanks cut. */
void tui_grid_text(const tui_grid *g, q_buf *out);
const char *tui_style_name(int st);

#endif
