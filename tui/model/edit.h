/* model/edit: the composer's text: bytes, a cursor at a grapheme boundary, readline's motions and kills, history.
 * Owned by the app, front-end thread. It never draws; model/edit rows tell the view where lines break. */
#ifndef TUI_MODEL_EDIT_H
#define TUI_MODEL_EDIT_H

#include "base/base.h"

typedef struct tui_edit {
    q_buf b;                    /* UTF-8, \n inside */
    size_t at;                  /* cursor, byte */
    char *kill;                 /* what Ctrl-K, U, W, Alt-D took last */
    char **hist; int n_hist;    /* oldest first */
    int hist_at;                /* n_hist: the present text */
    char *draft;                /* the present text while history is shown */
    bool searching;             /* Ctrl-R */
    q_buf find; int find_at;
    struct { char *text; size_t at; } undo[32]; int n_undo;
    bool typing;                /* the last change was plain typing: one undo step with the next */
} tui_edit;

enum tui_motion { M_LEFT, M_RIGHT, M_WORD_LEFT, M_WORD_RIGHT, M_LINE_START, M_LINE_END, M_START, M_END };

void tui_edit_free(tui_edit *e);
void tui_edit_set(tui_edit *e, const char *text);           /* cursor at the end */
void tui_edit_insert(tui_edit *e, const char *s, size_t n);
void tui_edit_move(tui_edit *e, enum tui_motion m);
void tui_edit_kill(tui_edit *e, enum tui_motion m);         /* from here to there, kept for yank */
void tui_edit_delete(tui_edit *e, enum tui_motion m);       /* not kept */
void tui_edit_yank(tui_edit *e);
void tui_edit_undo(tui_edit *e);
void tui_edit_replace(tui_edit *e, size_t from, size_t to, const char *s);
char *tui_edit_take(tui_edit *e);                           /* the text; the composer is empty afterwards */
void tui_edit_remember(tui_edit *e, const char *text);
bool tui_edit_history(tui_edit *e, int dir);                /* -1 older, +1 newer; false: none */
void tui_edit_search(tui_edit *e, bool again);              /* finds find's text from find_at backwards */

/* Rows of at most `cells` columns: byte ranges [from, to) of b, wrapped at spaces. Returns the count; up to max filled. */
typedef struct tui_row { size_t from, to; } tui_row;
int tui_edit_rows(const tui_edit *e, int cells, tui_row *rows, int max, int *cur_row, int *cur_col);
/* Up or down a drawn row; false at the edge. */
bool tui_edit_vertical(tui_edit *e, int cells, int dir);

#endif
