/* model/edit: motions, kills, undo, history and wrapping of the composer's text. Front-end thread.
 * The cursor is always at a grapheme boundary; text that comes in is made valid UTF-8 first. */
#include "tui/model/edit.h"
#include "tui/term/text.h"

#include <stdlib.h>
#include <string.h>

enum { HISTORY_MAX = 500 };

void tui_edit_free(tui_edit *e)
{
    q_buf_free(&e->b);
    q_buf_free(&e->find);
    free(e->kill);
    free(e->draft);
    for (int i = 0; i < e->n_hist; i++) free(e->hist[i]);
    free(e->hist);
    for (int i = 0; i < e->n_undo; i++) free(e->undo[i].text);
    memset(e, 0, sizeof *e);
}

static void keep_undo(tui_edit *e, bool typing)
{
    if (typing && e->typing && e->n_undo) return;
    e->typing = typing;
    int max = (int)(sizeof e->undo / sizeof *e->undo);
    if (e->n_undo == max) {
        free(e->undo[0].text);
        memmove(e->undo, e->undo + 1, sizeof *e->undo * (size_t)(max - 1));
        e->n_undo--;
    }
    e->undo[e->n_undo].text = q_strndup(e->b.p ? e->b.p : "", e->b.len);
    e->undo[e->n_undo++].at = e->at;
}

static void put_back(tui_edit *e, const char *text, size_t at)
{
    q_buf_clear(&e->b);
    q_buf_puts(&e->b, text);
    e->at = at > e->b.len ? e->b.len : at;
}

void tui_edit_undo(tui_edit *e)
{
    if (!e->n_undo) return;
    e->n_undo--;
    put_back(e, e->undo[e->n_undo].text, e->undo[e->n_undo].at);
    free(e->undo[e->n_undo].text);
    e->typing = false;
}

void tui_edit_replace(tui_edit *e, size_t from, size_t to, const char *s)
{
    q_buf n = {0};
    q_buf_add(&n, e->b.p ? e->b.p : "", from);
    q_buf_puts(&n, s);
    size_t at = n.len;
    if (e->b.p) q_buf_add(&n, e->b.p + to, e->b.len - to);
    q_buf_free(&e->b);
    e->b = n;
    e->at = at;
}

void tui_edit_set(tui_edit *e, const char *text)
{
    char *clean = q_utf8_clean(text, strlen(text));
    put_back(e, clean, strlen(clean));
    free(clean);
    e->typing = false;
    e->hist_at = e->n_hist;
}

void tui_edit_insert(tui_edit *e, const char *s, size_t n)
{
    keep_undo(e, n <= 4);
    char *clean = q_utf8_clean(s, n);
    tui_edit_replace(e, e->at, e->at, clean);
    /* A mark joins the character before it: the boundary may have moved. */
    if (e->at < e->b.len) {
        size_t i = 0;
        while (i < e->at) i += tui_cluster_next(e->b.p + i, e->b.len - i);
        e->at = i;
    }
    free(clean);
}

static bool word_at(const tui_edit *e, size_t i)
{
    uint32_t cp;
    q_utf8_next(e->b.p + i, e->b.len - i, &cp);
    return tui_cp_word(cp);
}

static size_t target(const tui_edit *e, enum tui_motion m)
{
    size_t i = e->at, n = e->b.len;
    const char *p = e->b.p;
    switch (m) {
    case M_LEFT: return i ? tui_cluster_prev(p, i) : 0;
    case M_RIGHT: return i < n ? i + tui_cluster_next(p + i, n - i) : n;
    case M_WORD_LEFT:
        while (i) { size_t k = tui_cluster_prev(p, i); if (word_at(e, k)) break; i = k; }
        while (i) { size_t k = tui_cluster_prev(p, i); if (!word_at(e, k)) break; i = k; }
        return i;
    case M_WORD_RIGHT:
        while (i < n && !word_at(e, i)) i += tui_cluster_next(p + i, n - i);
        while (i < n && word_at(e, i)) i += tui_cluster_next(p + i, n - i);
        return i;
    case M_LINE_START: while (i && p[i - 1] != '\n') i--; return i;
    case M_LINE_END: while (i < n && p[i] != '\n') i++; return i;
    case M_START: return 0;
    case M_END: return n;
    }
    return i;
}

void tui_edit_move(tui_edit *e, enum tui_motion m) { e->at = target(e, m); e->typing = false; }

void tui_edit_delete(tui_edit *e, enum tui_motion m)
{
    size_t t = target(e, m), from = t < e->at ? t : e->at, to = t < e->at ? e->at : t;
    if (from == to) return;
    keep_undo(e, false);
    tui_edit_replace(e, from, to, "");
}

void tui_edit_kill(tui_edit *e, enum tui_motion m)
{
    size_t t = target(e, m);
    /* Ctrl-W of the shell goes by blanks, Alt-D and Alt-Backspace by words; here both by words. At the end of a line
     * Ctrl-K takes the newline. */
    if (m == M_LINE_END && t == e->at && t < e->b.len) t++;
    size_t from = t < e->at ? t : e->at, to = t < e->at ? e->at : t;
    if (from == to) return;
    keep_undo(e, false);
    free(e->kill);
    e->kill = q_strndup(e->b.p + from, to - from);
    tui_edit_replace(e, from, to, "");
}

void tui_edit_yank(tui_edit *e) { if (e->kill) tui_edit_insert(e, e->kill, strlen(e->kill)); }

char *tui_edit_take(tui_edit *e)
{
    char *s = q_buf_take(&e->b);
    e->at = 0;
    e->hist_at = e->n_hist;
    for (int i = 0; i < e->n_undo; i++) free(e->undo[i].text);
    e->n_undo = 0;
    e->searching = false;
    return s;
}

void tui_edit_remember(tui_edit *e, const char *text)
{
    if (*text && !(e->n_hist && strcmp(e->hist[e->n_hist - 1], text) == 0)) {
        if (e->n_hist == HISTORY_MAX) {
            free(e->hist[0]);
            memmove(e->hist, e->hist + 1, sizeof *e->hist * (size_t)(--e->n_hist));
        }
        e->hist = q_realloc(e->hist, sizeof *e->hist * (size_t)(e->n_hist + 1));
        e->hist[e->n_hist++] = q_strdup(text);
    }
    e->hist_at = e->n_hist;
}

bool tui_edit_history(tui_edit *e, int dir)
{
    int to = e->hist_at + dir;
    if (to < 0 || to > e->n_hist) return false;
    if (e->hist_at == e->n_hist) {
        free(e->draft);
        e->draft = q_strndup(e->b.p ? e->b.p : "", e->b.len);
    }
    const char *s = to == e->n_hist ? (e->draft ? e->draft : "") : e->hist[to];
    put_back(e, s, strlen(s));
    e->hist_at = to;
    e->typing = false;
    return true;
}

void tui_edit_search(tui_edit *e, bool again)
{
    if (!e->find.len) return;
    int i = e->find_at < e->n_hist ? e->find_at : e->n_hist - 1;
    if (again) i--;
    for (; i >= 0; i--)
        if (strstr(e->hist[i], e->find.p)) {
            e->find_at = i;
            put_back(e, e->hist[i], strlen(e->hist[i]));
            return;
        }
}

int tui_edit_rows(const tui_edit *e, int cells, tui_row *rows, int max, int *cur_row, int *cur_col)
{
    const char *p = e->b.p ? e->b.p : "";
    size_t n = e->b.len, i = 0;
    int count = 0, cr = 0, cc = 0;
    if (cells < 2) cells = 2;
    for (;;) {
        size_t from = i, space = 0;
        int col = 0;
        while (i < n && p[i] != '\n') {
            size_t l = tui_cluster_next(p + i, n - i);
            int w = tui_text_width(p + i, l);
            if (col + w > cells && i > from) break;
            if (p[i] == ' ') space = i + 1;
            col += w;
            i += l;
        }
        size_t to = i;
        bool hard = i < n && p[i] == '\n';
        if (i < n && !hard && space > from) to = i = space;
        if (count < max) rows[count] = (tui_row){ from, to };
        if (e->at >= from && (e->at < to || (e->at == to && (hard || i >= n)))) {
            cr = count;
            cc = tui_text_width(p + from, e->at - from);
        }
        count++;
        if (hard) i++;
        else if (i >= n) break;
    }
    if (cur_row) *cur_row = cr;
    if (cur_col) *cur_col = cc;
    return count;
}

bool tui_edit_vertical(tui_edit *e, int cells, int dir)
{
    tui_row rows[256];
    int row, col, n = tui_edit_rows(e, cells, rows, 256, &row, &col), to = row + dir;
    if (n > 256) n = 256;
    if (to < 0 || to >= n) return false;
    size_t i = rows[to].from;
    int w = 0;
    while (i < rows[to].to) {
        size_t l = tui_cluster_next(e->b.p + i, e->b.len - i);
        int cw = tui_text_width(e->b.p + i, l);
        if (w + cw > col) break;
        w += cw;
        i += l;
    }
    /* A soft-wrapped row's end belongs to the next row. */
    if (i == rows[to].to && i > rows[to].from && i < e->b.len && e->b.p[i] != '\n') i = tui_cluster_prev(e->b.p, i);
    e->at = i;
    e->typing = false;
    return true;
}
