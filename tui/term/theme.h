/* term/theme: what each element looks like, three times: in RGB, in the 16 names, and without colour. Read from
 * themes/NAME.ini (inih): [styles] element = #rrggbb [bold dim italic underline reverse] | yellow bold | bold
 * The background is always the terminal's own, except for "on #rrggbb". Constant once loaded. */
#ifndef TUI_TERM_THEME_H
#define TUI_TERM_THEME_H

#include "tui/term/grid.h"

enum { LOOK_BOLD = 1, LOOK_DIM = 2, LOOK_ITALIC = 4, LOOK_UNDERLINE = 8, LOOK_REVERSE = 16 };
typedef struct tui_look { int fg, bg; unsigned attr; } tui_look;    /* RGB or 0..15; -1: the terminal's own */
typedef struct tui_theme {
    char name[32];
    int paper, ink;                 /* RGB for pictures (/screenshot) */
    tui_look rgb[S_N], ansi[S_N], mono[S_N];
} tui_theme;

/* name: "dark", "light", or a path to a file. On failure out is still usable (plain). */
int tui_theme_load(const char *name, tui_theme *out, char *err);
int tui_theme_256(int rgb);         /* nearest of xterm's 256 */

/* Writes the grid as an SVG picture. */
int tui_svg(const tui_grid *g, const tui_theme *t, const char *path, char *err);

#endif
