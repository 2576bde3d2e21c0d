/* model/edit: the composer's text: bytes, a cursor at a grapheme boundary, readline's motions and kills, history, long
 * pastes folded into one sign. Owned by the app, front-end thread. It never draws; its rows tell the view where lines
 * break (model/rows.c).
 * Cost: a key looks at a few rows' bytes however long the text is; what moves beyond them is moved by memmove alone. */
#ifndef TUI_MODEL_EDIT_H
#define TUI_MODEL_EDIT_H

#include "base/base.h"

enum { TUI_FOLDS = 16, TUI_FOLD_LINES = 20, TUI_FOLD_BYTES = 8192, TUI_UNDO = 32 };

/* Bytes [from, to) of the text that are shown as `label` and stepped over as one character. In order, never touching. */
typedef struct tui_fold { size_t from, to; char label[64]; } tui_fold;
typedef struct tui_folds { tui_fold f[TUI_FOLDS]; int n; } tui_folds;

typedef struct tui_row { size_t from, to; } tui_row;        /* bytes [from, to) of the text */
typedef struct tui_rows {
    tui_row *row; int n, cap;
    int cells;                  /* they are wrapped to so many columns; 0: none yet */
    bool stale;                 /* bytes [from, old_to) became [from, new_to) since */
    size_t from, old_to, new_to;
    uint64_t work;              /* bytes looked at since it was made: what a test of cost counts */
} tui_rows;

typedef struct tui_edit {
    q_buf b;                    /* UTF-8, \n inside */
    size_t at;                  /* cursor, byte */
    tui_folds folds;
    tui_rows rows;
    char *kill;                 /* what Ctrl-K, U, W, Alt-D took last */
    char **hist; int n_hist;    /* oldest first */
    int hist_at;                /* n_hist: the present text */
    char *draft;                /* the present text while history is shown */
    bool searching;             /* Ctrl-R */
    q_buf find; int find_at;
    struct { char *text; size_t at; tui_folds folds; } undo[TUI_UNDO]; int n_undo;
    bool typing;                /* the last change was plain typing: one undo step with the next */
} tui_edit;

enum tui_motion { M_LEFT, M_RIGHT, M_WORD_LEFT, M_BLANK_LEFT, M_WORD_RIGHT, M_LINE_START, M_LINE_END, M_START, M_END };

void tui_edit_free(tui_edit *e);
void tui_edit_set(tui_edit *e, const char *text);           /* cursor at the end; undo brings back what was there */
void tui_edit_insert(tui_edit *e, const char *s, size_t n);
void tui_edit_paste(tui_edit *e, const char *s, size_t n);  /* the same; folded when it is long */
bool tui_edit_unfold(tui_edit *e);                          /* at the cursor, else the first; false: none is folded */
void tui_edit_move(tui_edit *e, enum tui_motion m);
void tui_edit_kill(tui_edit *e, enum tui_motion m);         /* from here to there, kept for yank */
void tui_edit_delete(tui_edit *e, enum tui_motion m);       /* not kept */
void tui_edit_yank(tui_edit *e);
void tui_edit_undo(tui_edit *e);
void tui_edit_replace(tui_edit *e, size_t from, size_t to, const char *s);
char *tui_edit_take(tui_edit *e);                           /* the text; the composer is empty afterwards */
void tui_edit_remember(tui_edit *e, const char *text);
bool tui_edit_history(tui_edit *e, int dir);                /* -1 older, +1 newer; false: none */
void tui_edit_forget(tui_edit *e, const char *text);        /* no line of the history holds it any more, in any case */
void tui_edit_search(tui_edit *e, bool again);              /* finds find's text from find_at backwards */

/* ---- steps and rows ---- */
const tui_fold *tui_fold_from(const tui_edit *e, size_t i);     /* the fold that begins at byte i, or NULL */
const tui_fold *tui_fold_to(const tui_edit *e, size_t i);       /* that ends there */
/* One step from byte i < len: a grapheme or a fold. Returns its end; *shown and *n are what is drawn of it. */
size_t tui_edit_step(const tui_edit *e, size_t i, const char **shown, size_t *n);
/* Rows of at most `cells` columns, wrapped at spaces. Returns the count; up to max are filled. */
int tui_edit_rows(tui_edit *e, int cells, tui_row *rows, int max, int *cur_row, int *cur_col);
const tui_row *tui_edit_row(const tui_edit *e, int i);      /* of the last tui_edit_rows */
void tui_rows_changed(tui_rows *r, size_t from, size_t to, size_t n);   /* n bytes took the place of [from, to) */
/* Up or down a drawn row; false at the edge. */
bool tui_edit_vertical(tui_edit *e, int cells, int dir);

#endif
