/* term/text: bytes of any origin to things that may be drawn. A cluster is what the cursor steps over (a grapheme,
 * UAX 29); a glyph is what occupies cells: one base character and at most three marks. Pure functions, any thread.
 * It never passes a control, a direction override or an invisible character through to the terminal. */
#ifndef TUI_TERM_TEXT_H
#define TUI_TERM_TEXT_H

#include "base/base.h"

enum { TUI_GLYPH_BYTES = 16 };
typedef struct tui_glyph {
    char s[TUI_GLYPH_BYTES];    /* sanitised, not terminated */
    uint8_t len, width;         /* width 1 or 2; len 0: nothing to draw (zero-width joiners and the like) */
} tui_glyph;

/* Takes the next glyph of s[0..n), n > 0; returns the bytes consumed. A tab is one space here. */
size_t tui_glyph_next(const char *s, size_t n, tui_glyph *g);
size_t tui_cluster_next(const char *s, size_t n);             /* bytes of the grapheme that begins at s; n > 0 */
size_t tui_cluster_prev(const char *s, size_t at);            /* where the grapheme that ends at `at` begins */
int tui_text_width(const char *s, size_t n);                  /* cells; newlines count as one */
int tui_str_width(const char *s);
/* Longest prefix of s[0..n) that fits in `cells`; *used = its cells (may be NULL). */
size_t tui_text_fit(const char *s, size_t n, int cells, int *used);
bool tui_cp_word(uint32_t cp);                                /* letter, digit or mark: what Alt-B and Alt-F step over */

#endif
