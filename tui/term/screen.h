/* term/screen: the real terminal behind the grid. Owns curses (term/curses.c, the only file that knows it), the signals
 * and the terminal's modes (term/guard.c). One at a time, front-end thread. It never knows what the cells mean. */
#ifndef TUI_TERM_SCREEN_H
#define TUI_TERM_SCREEN_H

#include "tui/term/keys.h"
#include "tui/term/theme.h"

bool tui_term_known(const char *term);           /* terminfo has this TERM; tigetstr is about it afterwards. NULL or "": no */
int tui_term_open(const tui_theme *t, char *err);
void tui_term_close(void);                       /* safe to call twice */
void tui_term_size(int *w, int *h);
void tui_term_theme(const tui_theme *t);
void tui_term_show(const tui_grid *g, bool all); /* what changed since the last call; all: everything */
bool tui_term_key(tui_key *out);                 /* false: no more now. text of a paste is the caller's to free */
int tui_term_wait(void);                         /* ms until bytes that came have become a key by silence; -1: none have */
bool tui_term_closed(void);                      /* the end of input was read: there is nobody any more */
void tui_term_leave(void);                       /* for an editor or the shell … */
void tui_term_return(void);                      /* … and back */
void tui_term_suspend(void);                     /* stops the process group; returns when it goes on */
void tui_term_copy(const char *text);            /* OSC 52 */
void tui_term_mouse(bool on);
bool tui_term_glyphs(void);                      /* braille, eighths, circles: not on the Linux console */

/* ---- guard: signals ---- */
/* Catches what must give the terminal back. restore: bytes that undo our modes, kept by the caller. Fatal signals restore
 * and die of the same signal; the others are written, a byte each, to the descriptor that tui_guard_fd names. */
void tui_guard_on(const char *restore, size_t n);
void tui_guard_save(void);                       /* the modes as they were, before curses touches them */
void tui_guard_off(void);
int tui_guard_fd(void);
int tui_guard_next(void);                        /* the next signal, 0 none */

#endif
