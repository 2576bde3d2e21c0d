/* model/edit: motions, kills, undo, history and folds of the composer's text. Front-end thread.
 * The cursor is always at a grapheme boundary; text that comes in is made valid UTF-8 first. */
#include "tui/model/edit.h"
#include "tui/term/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_MAX = 500 };

void tui_edit_free(tui_edit *e)
{
    q_buf_free(&e->b);
    q_buf_free(&e->find);
    free(e->rows.row);
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
    if (e->n_undo == TUI_UNDO) {
        free(e->undo[0].text);
        memmove(e->undo, e->undo + 1, sizeof e->undo[0] * (TUI_UNDO - 1));
        e->n_undo--;
    }
    e->undo[e->n_undo].text = q_strndup(e->b.p ? e->b.p : "", e->b.len);
    e->undo[e->n_undo].folds = e->folds;
    e->undo[e->n_undo++].at = e->at;
}

/* All of it anew. */
static void put_back(tui_edit *e, const char *text, size_t at)
{
    q_buf_clear(&e->b);
    q_buf_puts(&e->b, text);
    e->at = at > e->b.len ? e->b.len : at;
    e->folds.n = 0;
    e->rows.cells = 0;
}

void tui_edit_undo(tui_edit *e)
{
    if (!e->n_undo) return;
    e->n_undo--;
    put_back(e, e->undo[e->n_undo].text, e->undo[e->n_undo].at);
    e->folds = e->undo[e->n_undo].folds;
    free(e->undo[e->n_undo].text);
    e->typing = false;
}

/* Folds inside what goes are gone with it, those behind it move. */
static void move_folds(tui_folds *fs, size_t from, size_t to, size_t n)
{
    int k = 0;
    for (int i = 0; i < fs->n; i++) {
        tui_fold f = fs->f[i];
        if (f.from < to && f.to > from) continue;
        if (f.from >= to) { f.from = f.from - (to - from) + n; f.to = f.to - (to - from) + n; }
        fs->f[k++] = f;
    }
    fs->n = k;
}

void tui_edit_replace(tui_edit *e, size_t from, size_t to, const char *s)
{
    size_t n = strlen(s), tail = e->b.len - to, old = e->b.len;
    move_folds(&e->folds, from, to, n);
    tui_rows_changed(&e->rows, from, to, n);
    if (n > to - from) q_buf_add(&e->b, s, n - (to - from));        /* room; the bytes are set below */
    if (!e->b.p) return;
    memmove(e->b.p + from + n, e->b.p + to, tail);
    memcpy(e->b.p + from, s, n);
    e->b.len = old - (to - from) + n;
    e->b.p[e->b.len] = 0;
    e->at = from + n;
}

void tui_edit_set(tui_edit *e, const char *text)
{
    char *clean = q_utf8_clean(text, strlen(text));
    if (e->b.len) keep_undo(e, false);
    put_back(e, clean, strlen(clean));
    free(clean);
    e->typing = false;
    e->hist_at = e->n_hist;
}

/* A mark joins the character before it: the boundary may have moved. */
static void settle_cursor(tui_edit *e)
{
    if (!e->at || e->at >= e->b.len) return;
    size_t i = tui_cluster_prev(e->b.p, e->at);
    while (i < e->at) i += tui_cluster_next(e->b.p + i, e->b.len - i);
    e->at = i;
}

void tui_edit_insert(tui_edit *e, const char *s, size_t n)
{
    keep_undo(e, n <= 4);
    char *clean = q_utf8_clean(s, n);
    tui_edit_replace(e, e->at, e->at, clean);
    settle_cursor(e);
    free(clean);
}

/* 1300 -> "1,300", in the language's own way. */
static char *grouped(int n)
{
    char *s = q_printf("%d", n);
    for (int k = (int)strlen(s) - 3; k > 0; k -= 3) {
        char *t = q_printf("%.*s%s%s", k, s, _(","), s + k);
        free(s);
        s = t;
    }
    return s;
}

static void label_of(const char *s, size_t n, char *out, size_t size)
{
    int lines = 1;
    for (size_t i = 0; i + 1 < n; i++) if (s[i] == '\n') lines++;
    char w[32], *count = grouped(lines), *bytes = n < 10000 ? q_printf(_("%d bytes"), (int)n) : q_strdup(q_bytes_brief(n, w));
    snprintf(out, size, ngettext("[%s line, %s]", "[%s lines, %s]", (unsigned long)lines), count, bytes);
    out[q_utf8_whole(out, strlen(out))] = 0;
    free(count);
    free(bytes);
}

void tui_edit_paste(tui_edit *e, const char *s, size_t n)
{
    int lines = 1;
    for (size_t i = 0; i + 1 < n; i++) if (s[i] == '\n') lines++;
    size_t from = e->at;
    e->typing = false;
    tui_edit_insert(e, s, n);
    e->typing = false;
    if ((lines <= TUI_FOLD_LINES && n <= TUI_FOLD_BYTES) || e->folds.n == TUI_FOLDS || e->at <= from) return;
    tui_folds *fs = &e->folds;
    int k = 0;
    while (k < fs->n && fs->f[k].from < from) k++;
    memmove(fs->f + k + 1, fs->f + k, sizeof *fs->f * (size_t)(fs->n - k));
    fs->n++;
    fs->f[k].from = from;
    fs->f[k].to = e->at;
    label_of(e->b.p + from, e->at - from, fs->f[k].label, sizeof fs->f[k].label);
}

bool tui_edit_unfold(tui_edit *e)
{
    tui_folds *fs = &e->folds;
    if (!fs->n) return false;
    int k = 0;
    for (int i = 0; i < fs->n; i++) if (fs->f[i].from <= e->at) k = i;
    tui_rows_changed(&e->rows, fs->f[k].from, fs->f[k].to, fs->f[k].to - fs->f[k].from);
    memmove(fs->f + k, fs->f + k + 1, sizeof *fs->f * (size_t)(fs->n - k - 1));
    fs->n--;
    return true;
}

static size_t step_back(const tui_edit *e, size_t i)
{
    const tui_fold *f = tui_fold_to(e, i);
    return f ? f->from : tui_cluster_prev(e->b.p, i);
}

static bool word_at(const tui_edit *e, size_t i)
{
    if (tui_fold_from(e, i)) return true;
    uint32_t cp;
    q_utf8_next(e->b.p + i, e->b.len - i, &cp);
    return tui_cp_word(cp);
}

static bool blank_at(const tui_edit *e, size_t i) { return !tui_fold_from(e, i) && (e->b.p[i] == ' ' || e->b.p[i] == '\n' || e->b.p[i] == '\t'); }

static size_t target(const tui_edit *e, enum tui_motion m)
{
    size_t i = e->at, n = e->b.len;
    switch (m) {
    case M_LEFT: return i ? step_back(e, i) : 0;
    case M_RIGHT: return i < n ? tui_edit_step(e, i, NULL, NULL) : n;
    case M_WORD_LEFT:
        while (i) { size_t k = step_back(e, i); if (word_at(e, k)) break; i = k; }
        while (i) { size_t k = step_back(e, i); if (!word_at(e, k)) break; i = k; }
        return i;
    case M_BLANK_LEFT:                      /* a path goes whole, as in a shell */
        while (i) { size_t k = step_back(e, i); if (!blank_at(e, k)) break; i = k; }
        while (i) { size_t k = step_back(e, i); if (blank_at(e, k)) break; i = k; }
        return i;
    case M_WORD_RIGHT:
        while (i < n && !word_at(e, i)) i = tui_edit_step(e, i, NULL, NULL);
        while (i < n && word_at(e, i)) i = tui_edit_step(e, i, NULL, NULL);
        return i;
    case M_LINE_START:
        while (i) {
            const tui_fold *f = tui_fold_to(e, i);
            if (f) i = f->from;
            else if (e->b.p[i - 1] == '\n') break;
            else i--;
        }
        return i;
    case M_LINE_END:
        while (i < n) {
            const tui_fold *f = tui_fold_from(e, i);
            if (f) i = f->to;
            else if (e->b.p[i] == '\n') break;
            else i++;
        }
        return i;
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

void tui_edit_yank(tui_edit *e) { if (e->kill) tui_edit_paste(e, e->kill, strlen(e->kill)); }

char *tui_edit_take(tui_edit *e)
{
    char *s = q_buf_take(&e->b);
    e->at = 0;
    e->folds.n = 0;
    e->rows.cells = 0;
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

void tui_edit_forget(tui_edit *e, const char *text)
{
    char *folded = q_strdup(text);
    int n = 0;
    q_fold_bytes(folded, strlen(folded));
    for (int i = 0; i < e->n_hist; i++) {
        if (q_holds(e->hist[i], strlen(e->hist[i]), folded, strlen(folded))) free(e->hist[i]);
        else e->hist[n++] = e->hist[i];
    }
    e->n_hist = e->hist_at = n;
    free(folded);
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
            if (e->b.len && e->hist_at == e->n_hist) keep_undo(e, false);       /* what was being written comes back by undo */
            e->hist_at = i;
            e->find_at = i;
            put_back(e, e->hist[i], strlen(e->hist[i]));
            return;
        }
}
