/* term/ending: the first signal to end begins an orderly end: what was said is stored, what was accepted is done. Should that
 * not come to its end, a second signal or two seconds end the program at once, with the terminal given back; the store is
 * consistent at every moment. Two signals within a third of a second are one (a shell's and a terminal's for the same wish).
 * The statics are the price of signal handlers. */
#ifndef TUI_TERM_ENDING_H
#define TUI_TERM_ENDING_H

/* What gives the terminal back, async-signal-safe; NULL: it has been given back, or was never taken. */
void tui_ending_gives_back(void (*give_back)(void));
void tui_ending_line_mode(void);         /* the terminal is as it is now, with bracketed paste off */

#endif
