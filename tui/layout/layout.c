/* layout: the arithmetic of columns and rows. From the bottom up: hint, composer, notice, strip; the status at the top;
 * the body between is columns. Every rectangle lies inside the screen and no two that are shown at once overlap, except
 * the overlay, which lies over the transcript on purpose. */
#include "tui/layout/layout.h"

#include <string.h>

static int clamp(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

void tui_layout_make(const tui_layout_in *in, tui_layout *o)
{
    memset(o, 0, sizeof *o);
    int w = in->w < 1 ? 1 : in->w, h = in->h < 1 ? 1 : in->h;
    o->tiny = w < LAY_LEAST_W || h < LAY_LEAST_H;
    o->small = w < LAY_MIN_W || h < LAY_MIN_H;
    if (o->tiny) {
        int rows = clamp(in->composer_rows, 1, h > 2 ? h - 2 : 1);
        o->composer = (tui_box){ 0, h - rows, w, rows };
        if (h > rows) o->notice = (tui_box){ 0, 0, w, h - rows };
        return;
    }
    int bottom = h - 1, top = h >= LAY_LEAST_H + 2;         /* the lowest windows have no status line */
    if (top) o->status = (tui_box){ 0, 0, w, 1 };
    o->hint = (tui_box){ 0, bottom, w, 1 };
    int rows = clamp(in->composer_rows, 1, clamp(h / 3, 1, 10));
    bottom -= rows;
    o->composer = (tui_box){ 0, bottom, w, rows };
    if (in->notice_rows > 0) {
        int k = clamp(in->notice_rows, 1, clamp(bottom - top - 3, 1, in->notice_rows));       /* three rows are the conversation's */
        bottom -= k;
        o->notice = (tui_box){ 0, bottom, w, k };
    }
    o->wide = !o->small && w >= LAY_PANELS_W;
    if (!o->small && !o->wide && in->strip > 0) { bottom -= in->strip; o->strip = (tui_box){ 0, bottom, w, in->strip }; }
    o->body_y = top;
    o->body_h = bottom - top;
    int left = 0, right = w;
    if (!o->small && w >= LAY_CHATS_W) {
        int cw = clamp(LAY_CHATS + (w - LAY_CHATS_W - 20) / 2, LAY_CHATS, LAY_CHATS_MOST);      /* titles get a part of what is to spare */
        o->chats = (tui_box){ 0, top, cw, o->body_h };
        o->rule[o->n_rule++] = cw;
        left = cw + 1;
    }
    if (o->wide) {
        int pw = clamp(in->panel_w ? in->panel_w : LAY_PANEL, 30, w - left - 1 - LAY_TEXT_LEAST);
        int most = w - left - 1 - (in->zoom == ZOOM_INSTEAD ? LAY_TEXT_LEAST : LAY_TEXT);
        if (in->instead && in->instead_w > pw && most > pw) pw = in->instead_w < most ? in->instead_w : most;
        right = w - pw - 1;
        o->rule[o->n_rule++] = right;
        tui_box p = { right + 1, top, pw, o->body_h };
        if (in->instead) o->instead = p;
        else if (in->zoom == ZOOM_UPPER) o->upper = p;
        else if (in->zoom == ZOOM_LOWER) o->lower = p;
        else {
            int e = clamp(in->upper_rows, 4, o->body_h - 5);
            o->upper = (tui_box){ p.x, p.y, p.w, e };
            o->lower = (tui_box){ p.x, p.y + e, p.w, p.h - e };
        }
    }
    o->transcript = (tui_box){ left, top, right - left, o->body_h };
    if (in->overlay) {
        o->overlay = o->transcript;
        if (!in->overlay_full && !o->small) {
            int want = in->overlay_rows > o->body_h * 3 / 5 ? in->overlay_rows : o->body_h * 3 / 5;
            o->overlay.h = clamp(want, 6, o->body_h - 4);
        }
    }
}
