/* term/keys: what a key is after the terminal's spelling is gone. Back ends make them, model/input.c acts on them. */
#ifndef TUI_TERM_KEYS_H
#define TUI_TERM_KEYS_H

#include "base/base.h"

enum tui_key_code {
    K_NONE, K_CHAR,             /* cp: the character; ctrl-A…Z come as K_CHAR with cp 1..26 */
    K_ENTER, K_TAB, K_BACKTAB, K_ESC, K_BACKSPACE, K_DELETE, K_LEFT, K_RIGHT, K_UP, K_DOWN, K_HOME, K_END, K_PGUP, K_PGDN,
    K_CTRL_LEFT, K_CTRL_RIGHT, K_F1, K_F2, K_F3, K_F4, K_F5, K_F6, K_F7, K_F8, K_F9, K_F10,
    K_PASTE,                    /* text: what was pasted, newlines as \n */
    K_WHEEL_UP, K_WHEEL_DOWN, K_CLICK      /* x, y */
};

typedef struct tui_key {
    enum tui_key_code code;
    uint32_t cp;
    bool alt;
    bool amid;                  /* an Enter that came in one piece with text before and behind it: of a paste without marks */
    int x, y;
    char *text;                 /* owned by the key */
    size_t lost;                /* bytes of a paste beyond what is taken */
} tui_key;

uint32_t tui_key_latin(uint32_t cp);                    /* й → q: the key a Cyrillic letter stands on */
/* A key that a terminal spells out in numbers: "CSI code:shifted:base ; modifiers:event ; text u" (kitty's protocol, and the
 * older fixterms, tmux's csi-u), "CSI 27 ; modifiers ; code ~" (xterm's modifyOtherKeys). Nobody here asks for either: what
 * ran before may have, or the terminal is set so. p: what stands between CSI and the final byte. False: it is no such key. */
bool tui_key_spelled(const char *p, size_t n, char final, tui_key *k);

#define CTRL_KEY(c) ((uint32_t)((c) & 31))

#endif
