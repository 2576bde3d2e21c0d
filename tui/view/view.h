/* view: what the views share. A view draws into app->grid inside its box and changes nothing but caches of layout and its
 * own scroll. Front-end thread. */
#ifndef TUI_VIEW_VIEW_H
#define TUI_VIEW_VIEW_H

#include "tui/model/app.h"

/* The caption of a pane; returns the column after the title. */
int view_caption(tui_app *app, tui_box b, const char *title, const char *right, bool focused);
/* Wrapped text from row y on, not below the box; returns the row after it. */
int view_words(tui_app *app, tui_box b, int y, int indent, const char *text, enum tui_style st);
/* A stored label as it is shown, "standard → k 4 → T .9", in less room: the oldest give way first, "… → T .9". malloc'ed. */
char *view_newest(const char *chain, int cells);
/* The chain with a letter before each of its links, where not all of them are the model's own: "a standard → b k 4". malloc'ed. */
char *view_lettered(const tui_item *it, const char *chain);
int view_first_row(int sel, int rows, int n);           /* of a list of n that shows `rows` around its selected one */
void view_when(int64_t ms, char out[16]);               /* "14:25" today, else the date */
static inline bool view_server(const agt_status *s) { return s->loaded && s->model[0] == '@'; }      /* whoever answers runs elsewhere */
const char *view_frac(char out[8], double v);           /* ".81", "1.0", "–" */
const char *view_count(char out[16], double v);         /* "128M", "3.3B" */
const char *view_glyph8(const tui_app *app, double v);  /* one of eight heights for 0..1 */

/* the parts of the window that are no panels */
void view_status(tui_app *app, tui_box b);
void view_transcript(tui_app *app, tui_box b);
void view_first(tui_app *app, tui_box b);
void view_composer(tui_app *app, tui_box b);
void view_popup(tui_app *app, tui_box composer);
void view_hint(tui_app *app, tui_box b);
void view_notice(tui_app *app, tui_box b);
int view_notice_rows(const tui_app *app, int width);
void view_strip(tui_app *app, tui_box b);
void view_layer_page(tui_app *app, int layer);          /* layer: from 0 among the routed ones; view/layer.c */
void view_expert_page(tui_app *app, int layer, int expert);     /* as the model counts them; Esc goes back to the token cursor */
void view_passage_open(tui_app *app, int64_t message, int number);      /* passage [number] of an answer, where it stands; view/memory.c */
int view_effect_rows(const tui_app *app);               /* 0: nothing was turned in this conversation */
int view_effect(tui_app *app, tui_box b);               /* what the last turned knob did; the row after it */
/* "tok/s 66→77 ±4 · surprise …", as much as fits in so many cells, what is above its noise first; "": nothing was measured.
 * True: any of it is above its noise. */
bool view_effect_words(const agt_measured of[AGT_MEASURES], int cells, q_buf *out);
void view_approve(tui_app *app);                        /* what a person is asked about, over the conversation's lower part */
int view_plan_rows(const tui_app *app);                 /* 0: there is no plan */
void view_plan(tui_app *app, tui_box b);
void view_effect_line(tui_app *app, tui_box b);         /* the same in one row */
void view_answers(tui_app *app, tui_box b);             /* what the conversation's answers cost, newest first */

#endif
