/* layout: where everything is, from sizes alone. Pure geometry: no terminal, no text, no state; any thread. */
#ifndef TUI_LAYOUT_H
#define TUI_LAYOUT_H

#include <stdbool.h>

typedef struct tui_box { int x, y, w, h; } tui_box;

enum { LAY_LEAST_W = 30, LAY_LEAST_H = 8, LAY_MIN_W = 60, LAY_MIN_H = 20, LAY_PANELS_W = 100, LAY_CHATS_W = 150, LAY_PANEL = 40, LAY_CHATS = 28, LAY_CHATS_MOST = 44,
       LAY_TEXT_LEAST = 54, LAY_TEXT = 79 };      /* columns of the conversation: at least; where a wide panel stands beside it */
enum tui_zoom { ZOOM_NONE, ZOOM_UPPER, ZOOM_LOWER, ZOOM_INSTEAD };

typedef struct tui_layout_in {
    int w, h;
    int composer_rows, notice_rows;     /* wanted */
    int panel_w;                        /* wanted width of the panels; 0: the usual */
    int upper_rows;                     /* what the upper panel needs to show all */
    enum tui_zoom zoom;
    bool instead;                       /* something stands in place of the panels */
    int instead_w;                      /* columns that it can use; 0: as the panels */
    bool overlay;                       /* something lies over the transcript */
    bool overlay_full;                  /* over all of it, not the upper part */
    int overlay_rows;                   /* wanted; at least three fifths of the body are given */
    int strip;                          /* rows of instruments: 0 where there are no experts to show */
} tui_layout_in;

typedef struct tui_layout {
    bool tiny, small, wide;             /* below 30x8; below 60x20: one column; with panels */
    tui_box status, transcript, upper, lower, instead, chats, strip, overlay, notice, composer, hint;   /* w 0: absent */
    int rule[2], n_rule;                /* columns of the rules, over the body's rows */
    int body_y, body_h;
} tui_layout;

void tui_layout_make(const tui_layout_in *in, tui_layout *out);

#endif
