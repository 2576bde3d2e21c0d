/* model/wrap: text laid out for one width: lines of styled spans over one buffer. Laid out once, cut back and extended
 * while an answer streams. Front-end thread; knows no terminal and no markdown. */
#ifndef TUI_MODEL_WRAP_H
#define TUI_MODEL_WRAP_H

#include "tui/term/grid.h"

typedef struct tui_span { uint32_t off, len; uint8_t style; } tui_span;      /* of tui_lay.text */
typedef struct tui_line { uint32_t span, n, signs; } tui_line;               /* of tui_lay.span; signs of knobs before it */
typedef struct tui_lay {
    q_buf text;
    tui_span *span; uint32_t n_span, cap_span;
    tui_line *line; uint32_t n_line, cap_line;
    uint32_t signs;                     /* of turned knobs, so far */
    uint64_t work;                      /* bytes laid out since it was made: what a test of cost looks at */
} tui_lay;
typedef struct tui_lay_mark { size_t text; uint32_t span, line, signs; } tui_lay_mark;

/* What stands in a text without being of it: that two answers differ from here on, that a knob was turned. */
typedef struct tui_sign { size_t at; const char *text; size_t n; enum tui_style style; } tui_sign;    /* before byte `at`; at S_MARK and hues it begins with "⟨" */
enum { TUI_SIGNS = 18 };                /* in one piece of text */

/* One paragraph before it is wrapped: text and where each style begins. */
typedef struct tui_para {
    q_buf text;
    struct { size_t at; uint8_t style; } *mark; int n, cap;
} tui_para;

void tui_para_add(tui_para *p, const char *s, size_t n, enum tui_style st);
void tui_para_clear(tui_para *p);
void tui_para_free(tui_para *p);

void tui_lay_free(tui_lay *l);
void tui_lay_clear(tui_lay *l);
tui_lay_mark tui_lay_here(const tui_lay *l);
void tui_lay_back(tui_lay *l, tui_lay_mark m);
/* Wraps p to `width` columns, at spaces and between wide characters (pre: anywhere, spaces kept); newlines end lines.
 * first and rest are put before the first and the other lines. An empty p gives one line. */
void tui_lay_para(tui_lay *l, const tui_para *p, int width, const char *first, const char *rest, enum tui_style prefix, bool pre);
void tui_lay_plain(tui_lay *l, const char *s, size_t n, int width, const char *indent, enum tui_style st);
void tui_lay_blank(tui_lay *l);         /* an empty line, unless the last one is empty or there is none */
int tui_lay_draw(const tui_lay *l, uint32_t line, tui_grid *g, int y, int x, int end);

/* Markdown (md4c: CommonMark and tables) added to l; tables, strikethrough and code. sign: in order, at most TUI_SIGNS;
 * what is at the end or behind it stands at the end. */
void tui_markdown(tui_lay *l, const char *s, size_t n, int width, const tui_sign *sign, int n_sign);
/* The same where the first table's head was laid out before: its rows alone. */
void tui_markdown_rows(tui_lay *l, const char *s, size_t n, int width, const tui_sign *sign, int n_sign);

#endif
