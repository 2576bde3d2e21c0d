/* model/markdown: an answer's CommonMark as laid-out lines, through md4c's callbacks. Front-end thread.
 * It never fails: what is not markdown is text. HTML is shown as it stands, links as their words, tables as aligned
 * columns. Only answers come here, never a person's own words. */
#include "tui/model/wrap.h"

#include <md4c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, COLS_MAX = 16, MARK = 1 };

typedef struct md {
    tui_lay *l;
    int width;
    tui_para p;
    q_buf indent, first;            /* before the other lines, before the first line of the next paragraph */
    bool has_first;
    size_t undo[DEPTH_MAX * 2]; int n_undo;
    struct { bool ordered; unsigned next; } list[DEPTH_MAX]; int n_list;
    int depth;                      /* of lists and quotes */
    int strong, em, code, link, heading, quote;
    bool in_code;
    /* table: cells row by row */
    char **cell; int n_cell, cap_cell, cols, col; bool in_cell;
    int head_rows;
} md;

static enum tui_style style(const md *m)
{
    return m->code ? S_CODE : m->heading ? S_HEADING : m->strong ? S_STRONG : m->em ? S_EM : m->link ? S_LINK
         : m->quote ? S_QUOTE : S_ANSWER;
}

static void flush(md *m)
{
    if (!m->p.text.len && !m->has_first) return;
    tui_lay_para(m->l, &m->p, m->width, m->has_first ? m->first.p : m->indent.p ? m->indent.p : "", m->indent.p ? m->indent.p : "",
                 m->quote ? S_RULE : S_DIM, m->in_code);
    m->has_first = false;
    tui_para_clear(&m->p);
}

static void push_indent(md *m, const char *s)
{
    if (m->n_undo < DEPTH_MAX * 2) m->undo[m->n_undo] = m->indent.len;
    m->n_undo++;
    if (m->n_undo <= DEPTH_MAX) q_buf_puts(&m->indent, s);     /* deeper nesting is not indented further */
}

static void pop_indent(md *m)
{
    m->n_undo--;
    if (m->n_undo < DEPTH_MAX * 2) { m->indent.len = m->undo[m->n_undo]; if (m->indent.p) m->indent.p[m->indent.len] = 0; }
}

static void draw_table(md *m);

static int enter_block(MD_BLOCKTYPE t, void *d, void *u)
{
    md *m = u;
    char mark[32];
    switch (t) {
    case MD_BLOCK_UL: case MD_BLOCK_OL:
        flush(m);
        if (!m->depth++) tui_lay_blank(m->l);
        if (m->n_list < DEPTH_MAX) {
            m->list[m->n_list].ordered = t == MD_BLOCK_OL;
            m->list[m->n_list].next = t == MD_BLOCK_OL ? ((MD_BLOCK_OL_DETAIL *)d)->start : 0;
        }
        m->n_list++;
        break;
    case MD_BLOCK_LI: {
        int k = m->n_list - 1;
        if (k < DEPTH_MAX && m->list[k].ordered) snprintf(mark, sizeof mark, "%u. ", m->list[k].next++);
        else snprintf(mark, sizeof mark, "• ");
        MD_BLOCK_LI_DETAIL *li = d;
        if (li->is_task) snprintf(mark, sizeof mark, "[%c] ", li->task_mark);
        q_buf_clear(&m->first);
        q_buf_puts(&m->first, m->indent.p ? m->indent.p : "");
        q_buf_puts(&m->first, mark);
        m->has_first = true;
        char pad[33];
        int w = tui_str_width(mark);
        memset(pad, ' ', (size_t)w);
        pad[w] = 0;
        push_indent(m, pad);
        break;
    }
    case MD_BLOCK_QUOTE:
        if (!m->depth++) tui_lay_blank(m->l);
        m->quote++;
        push_indent(m, "│ ");
        break;
    case MD_BLOCK_H: if (!m->depth) tui_lay_blank(m->l); m->heading++; break;
    case MD_BLOCK_P: if (!m->depth) tui_lay_blank(m->l); break;
    case MD_BLOCK_HR:
        tui_lay_blank(m->l);
        for (int i = 0; i < m->width && i < 24; i++) tui_para_add(&m->p, "─", 3, S_RULE);
        flush(m);
        break;
    case MD_BLOCK_CODE:
        flush(m);
        if (!m->depth) tui_lay_blank(m->l);
        push_indent(m, "  ");
        m->in_code = true;
        break;
    case MD_BLOCK_TABLE:
        if (!m->depth) tui_lay_blank(m->l);
        m->cols = (int)((MD_BLOCK_TABLE_DETAIL *)d)->col_count;
        m->n_cell = 0;
        break;
    case MD_BLOCK_TR: m->col = 0; break;
    case MD_BLOCK_TH: case MD_BLOCK_TD: tui_para_clear(&m->p); m->in_cell = true; break;
    default: break;
    }
    return 0;
}

static int leave_block(MD_BLOCKTYPE t, void *d, void *u)
{
    (void)d;
    md *m = u;
    switch (t) {
    case MD_BLOCK_UL: case MD_BLOCK_OL: m->n_list--; m->depth--; break;
    case MD_BLOCK_LI: flush(m); pop_indent(m); break;
    case MD_BLOCK_QUOTE: pop_indent(m); m->quote--; m->depth--; break;
    case MD_BLOCK_H: flush(m); m->heading--; break;
    case MD_BLOCK_P: flush(m); break;
    case MD_BLOCK_CODE:
        if (m->p.text.len && m->p.text.p[m->p.text.len - 1] == '\n') m->p.text.p[--m->p.text.len] = 0;
        flush(m);
        pop_indent(m);
        m->in_code = false;
        break;
    case MD_BLOCK_TH: case MD_BLOCK_TD:
        if (m->n_cell == m->cap_cell) m->cell = q_realloc(m->cell, sizeof *m->cell * (size_t)(m->cap_cell = m->cap_cell ? 2 * m->cap_cell : 32));
        m->cell[m->n_cell++] = q_strndup(m->p.text.p ? m->p.text.p : "", m->p.text.len);
        tui_para_clear(&m->p);
        m->in_cell = false;
        break;
    case MD_BLOCK_TABLE: draw_table(m); break;
    default: break;
    }
    return 0;
}

/* Columns as wide as their widest cell, narrowed in turn from the widest until the table fits; cells are cut with ….
 * (A table that cannot be narrowed to 4 columns a cell is simply wrapped.) */
static void draw_table(md *m)
{
    int cols = m->cols < COLS_MAX ? m->cols : COLS_MAX, w[COLS_MAX] = {0}, total;
    if (cols < 1) return;
    for (int i = 0; i < m->n_cell; i++) {
        int c = i % m->cols, k = tui_str_width(m->cell[i]);
        if (c < cols && k > w[c]) w[c] = k;
    }
    int room = m->width - tui_str_width(m->indent.p ? m->indent.p : "");
    for (;;) {
        int big = 0;
        total = 3 * (cols - 1);
        for (int c = 0; c < cols; c++) { total += w[c]; if (w[c] > w[big]) big = c; }
        if (total <= room || w[big] <= 4) break;
        w[big]--;
    }
    for (int i = 0; i + m->cols <= m->n_cell; i += m->cols) {
        for (int c = 0; c < cols; c++) {
            const char *s = m->cell[i + c];
            size_t n = strlen(s);
            int used;
            enum tui_style st = i == 0 ? S_STRONG : S_ANSWER;
            size_t fit = tui_text_fit(s, n, w[c], &used);
            if (fit < n) {
                fit = tui_text_fit(s, n, w[c] - 1, &used);
                tui_para_add(&m->p, s, fit, st);
                tui_para_add(&m->p, "…", 3, st);
                used++;
            } else tui_para_add(&m->p, s, fit, st);
            if (c + 1 < cols) {
                for (; used < w[c]; used++) tui_para_add(&m->p, " ", 1, st);
                tui_para_add(&m->p, " │ ", 5, S_RULE);
            }
        }
        bool keep = m->in_code;
        m->in_code = true;                  /* blanks are columns here */
        flush(m);
        if (i == 0) {
            for (int c = 0; c < cols; c++) {
                for (int k = 0; k < w[c]; k++) tui_para_add(&m->p, "─", 3, S_RULE);
                if (c + 1 < cols) tui_para_add(&m->p, "─┼─", 9, S_RULE);
            }
            flush(m);
        }
        m->in_code = keep;
    }
    for (int i = 0; i < m->n_cell; i++) free(m->cell[i]);
    m->n_cell = 0;
}

static int *counter(md *m, MD_SPANTYPE t)
{
    switch (t) {
    case MD_SPAN_STRONG: return &m->strong;
    case MD_SPAN_EM: return &m->em;
    case MD_SPAN_CODE: return &m->code;
    case MD_SPAN_A: return &m->link;
    default: return NULL;
    }
}

static int enter_span(MD_SPANTYPE t, void *d, void *u) { (void)d; int *c = counter(u, t); if (c) ++*c; return 0; }
static int leave_span(MD_SPANTYPE t, void *d, void *u) { (void)d; int *c = counter(u, t); if (c) --*c; return 0; }

static int text(MD_TEXTTYPE t, const MD_CHAR *s, MD_SIZE n, void *u)
{
    md *m = u;
    enum tui_style st = m->in_code ? S_CODE : style(m);
    if (t == MD_TEXT_BR) { tui_para_add(&m->p, "\n", 1, st); return 0; }
    if (t == MD_TEXT_SOFTBR) { tui_para_add(&m->p, m->in_cell ? " " : "\n", 1, st); return 0; }
    if (t == MD_TEXT_NULLCHAR) { tui_para_add(&m->p, "\xEF\xBF\xBD", 3, st); return 0; }
    if (t == MD_TEXT_ENTITY) {
        static const struct { const char *e, *c; } known[] = { { "&amp;", "&" }, { "&lt;", "<" }, { "&gt;", ">" },
            { "&quot;", "\"" }, { "&nbsp;", " " }, { "&mdash;", "—" }, { "&ndash;", "–" }, { "&hellip;", "…" } };
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i].e) == n && memcmp(known[i].e, s, n) == 0) {
                tui_para_add(&m->p, known[i].c, strlen(known[i].c), st);
                return 0;
            }
    }
    while (n) {
        const char *k = memchr(s, MARK, n);
        size_t l = k ? (size_t)(k - s) : n;
        tui_para_add(&m->p, s, l, st);
        if (k) { tui_para_add(&m->p, "≠", 3, S_DIFF); l++; }
        s += l;
        n -= (MD_SIZE)l;
    }
    return 0;
}

void tui_markdown(tui_lay *l, const char *s, size_t n, int width, long mark)
{
    md m = { .l = l, .width = width };
    MD_PARSER p = { .flags = MD_FLAG_TABLES | MD_FLAG_NOHTML | MD_FLAG_NOINDENTEDCODEBLOCKS | MD_FLAG_TASKLISTS,
                    .enter_block = enter_block, .leave_block = leave_block, .enter_span = enter_span,
                    .leave_span = leave_span, .text = text };
    q_buf b = {0};
    for (size_t i = 0; i < n; i++) {
        if (mark >= 0 && i == (size_t)mark) q_buf_putc(&b, MARK);
        q_buf_putc(&b, s[i] == MARK ? '?' : s[i]);
    }
    l->work += n;
    if (b.len && md_parse(b.p, (MD_SIZE)b.len, &p, &m) != 0) tui_lay_plain(l, s, n, width, "", S_ANSWER);
    for (int i = 0; i < m.n_cell; i++) free(m.cell[i]);
    free(m.cell);
    tui_para_free(&m.p);
    q_buf_free(&m.indent);
    q_buf_free(&m.first);
    q_buf_free(&b);
}
