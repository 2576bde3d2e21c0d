/* model/table: a table of an answer as lines: columns aligned as it says, cells wrapped inside their column, nothing cut.
 * Where columns would be narrower than a word of four letters each row becomes "head: cell" lines. Front-end thread. */
#ifndef TUI_MODEL_TABLE_H
#define TUI_MODEL_TABLE_H

#include "tui/model/wrap.h"

enum tui_align { TUI_LEFT, TUI_CENTRE, TUI_RIGHT };
typedef struct tui_table {
    int cols;
    tui_para *cell; int n, cap;         /* row by row; the first row is the head */
    uint8_t *align;                     /* [cols], enum tui_align */
} tui_table;

void tui_table_begin(tui_table *t, int cols);
void tui_table_cell(tui_table *t, tui_para *cell, enum tui_align a);      /* takes what is in cell and leaves it empty */
/* indent stands before each line; head: the first row is drawn too (false: the piece of a table whose head stands above). */
void tui_table_lay(tui_table *t, tui_lay *l, int width, const char *indent, enum tui_style indent_style, bool head);
void tui_table_free(tui_table *t);

#endif
