/* term/ahead: what is typed while an answer runs below a line editor. The terminal gives keys one by one and shows none of
 * them, so that nothing is written into the answer; the words are kept for the next line, and a key is told from a letter
 * as on the full screen (term/decode.h). Owns the terminal's modes between on and off, Ctrl-Z included. Front-end thread,
 * one at a time. */
#ifndef TUI_TERM_AHEAD_H
#define TUI_TERM_AHEAD_H

#include "tui/term/decode.h"

typedef struct tui_ahead {
    tui_decode keys;
    q_buf line;                 /* typed so far, without control characters; `line.p` may be NULL */
    int64_t heard;              /* ns: when the last bytes came */
    bool closed;                /* the terminal is gone, or its person said Ctrl-D on an empty line */
} tui_ahead;

void tui_ahead_on(tui_ahead *h);        /* *h is new and zero */
/* The modes are as they were; what was begun and not ended is in `line`, the caller's to free. */
void tui_ahead_off(tui_ahead *h);
/* Reads what waits, without waiting itself; call it when the terminal is readable and before tui_ahead_key. */
void tui_ahead_read(tui_ahead *h);
/* The next key that is no letter of the line: K_ENTER with the line in h->line (the caller clears it), or a key of the
 * keyboard's other rows. K_NONE: nothing more has come. */
enum tui_key_code tui_ahead_key(tui_ahead *h);

#endif
