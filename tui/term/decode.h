/* term/decode: bytes of a terminal to keys. A state machine over what came so far; it reads nothing and knows no clock, so
 * that a test can cut its input anywhere. Front-end thread.
 * What a terminal answers by itself (OSC, DCS, APC, PM, SOS; CSI) is swallowed whole, wherever it was cut: ECMA-48 5.4 and
 * 5.6: strings run to ST or BEL. Alt with P, X, ], ^ or _ begins like one: what is no answer by its first bytes, or has no
 * end and is none that terminals are known to give, is a person's chord and the text behind it. */
#ifndef TUI_TERM_DECODE_H
#define TUI_TERM_DECODE_H

#include "tui/term/keys.h"

enum { TUI_PASTE_MAX = 1 << 20, TUI_LEARNED = 24 };

typedef struct tui_decode {
    q_buf in; size_t at;            /* bytes that came; those before `at` are done with */
    bool lone;                      /* an Esc was taken for the key: what comes next may be its late rest */
    bool swallowing;                /* inside a string of which nothing is kept */
    bool pasting, after_cr;
    q_buf paste; size_t lost;       /* bytes beyond TUI_PASTE_MAX */
    struct { char seq[16]; enum tui_key_code code; } learned[TUI_LEARNED]; int n_learned;
} tui_decode;

/* What stands behind ESC and ], P, _, ^ or X, without its end: nobody's answer, maybe one, the beginning of one that is
 * known, surely one. */
enum tui_string { TUI_STRING_NOT, TUI_STRING_ODD, TUI_STRING_BEGUN, TUI_STRING_SURE };
enum { TUI_STRING_MS = 1000, TUI_TYPED_MS = 150 };          /* silence that ends one: begun or sure; odd */
enum tui_string tui_string_of(char intro, const char *body, size_t n);

void tui_decode_free(tui_decode *d);
void tui_decode_learn(tui_decode *d, const char *seq, enum tui_key_code code);     /* terminfo's own; NULL or "" is nothing */
void tui_decode_bytes(tui_decode *d, const char *s, size_t n);
/* The next key; false: none is complete. idle: nothing came for as long as tui_decode_wait said, so what was begun is
 * decided now. The text of a paste is the caller's to free. */
bool tui_decode_key(tui_decode *d, tui_key *k, bool idle);
bool tui_decode_last(const tui_decode *d);                  /* one byte is left: it may be told better once more came */
int tui_decode_wait(const tui_decode *d);                   /* ms of silence until idle; -1: nothing is begun */

#endif
