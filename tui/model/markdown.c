/* model/markdown: an answer's CommonMark as laid-out lines, through md4c's callbacks. Front-end thread.
 * It never fails: what is not markdown is text. HTML is shown as it stands, links as their words, tables as aligned
 * columns. Only answers come here, never a person's own words. */
#include "tui/model/table.h"

#include <ctype.h>
#include <md4c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, MARK = 1, MARK_FIRST = 0x0e /* MARK, then its number from here on */, MATH_MAX = 512 };

typedef struct md {
    tui_lay *l;
    int width;
    const char *source;
    const tui_sign *sign; int n_sign;
    tui_para p;
    q_buf indent, first;            /* before the other lines, before the first line of the next paragraph */
    bool has_first;
    size_t undo[DEPTH_MAX * 2]; int n_undo;
    struct { bool ordered; char delimiter; unsigned next; } list[DEPTH_MAX]; int n_list;
    int depth;                      /* of lists and quotes */
    int strong, em, code, link, struck, heading, quote;
    bool in_code;
    tui_table table;
    bool in_cell, headless;         /* headless: the head of the first table stands above already */
} md;

static enum tui_style style(const md *m)
{
    return m->code ? S_CODE : m->struck ? S_STRUCK : m->heading ? S_HEADING : m->strong ? S_STRONG : m->em ? S_EM : m->link ? S_LINK
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
            m->list[m->n_list].delimiter = t == MD_BLOCK_OL ? ((MD_BLOCK_OL_DETAIL *)d)->mark_delimiter : 0;
            m->list[m->n_list].next = t == MD_BLOCK_OL ? ((MD_BLOCK_OL_DETAIL *)d)->start : 0;
        }
        m->n_list++;
        break;
    case MD_BLOCK_LI: {
        int k = m->n_list - 1;
        if (k < DEPTH_MAX && m->list[k].ordered) snprintf(mark, sizeof mark, "%u%c ", m->list[k].next++, m->list[k].delimiter);
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
        tui_table_begin(&m->table, (int)((MD_BLOCK_TABLE_DETAIL *)d)->col_count);
        break;
    case MD_BLOCK_TH: m->strong++; tui_para_clear(&m->p); m->in_cell = true; break;
    case MD_BLOCK_TD: tui_para_clear(&m->p); m->in_cell = true; break;
    default: break;
    }
    return 0;
}

static int leave_block(MD_BLOCKTYPE t, void *d, void *u)
{
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
    case MD_BLOCK_TH: case MD_BLOCK_TD: {
        MD_ALIGN a = ((MD_BLOCK_TD_DETAIL *)d)->align;
        tui_table_cell(&m->table, &m->p, a == MD_ALIGN_RIGHT ? TUI_RIGHT : a == MD_ALIGN_CENTER ? TUI_CENTRE : TUI_LEFT);
        if (t == MD_BLOCK_TH) m->strong--;
        m->in_cell = false;
        break;
    }
    case MD_BLOCK_TABLE:
        tui_table_lay(&m->table, m->l, m->width, m->indent.p ? m->indent.p : "", m->quote ? S_RULE : S_DIM, !m->headless);
        tui_table_free(&m->table);
        m->headless = false;
        break;
    default: break;
    }
    return 0;
}

static int *counter(md *m, MD_SPANTYPE t)
{
    switch (t) {
    case MD_SPAN_STRONG: return &m->strong;
    case MD_SPAN_EM: return &m->em;
    case MD_SPAN_CODE: return &m->code;
    case MD_SPAN_A: return &m->link;
    case MD_SPAN_DEL: return &m->struck;
    default: return NULL;
    }
}

static int enter_span(MD_SPANTYPE t, void *d, void *u) { (void)d; int *c = counter(u, t); if (c) ++*c; return 0; }
static int leave_span(MD_SPANTYPE t, void *d, void *u) { (void)d; int *c = counter(u, t); if (c) --*c; return 0; }

/* Struck out: a stroke over each character, so that it shows without colour. */
static void struck(tui_para *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t l = tui_cluster_next(s + i, n - i);
        tui_para_add(p, s + i, l, S_STRUCK);
        if (s[i] != ' ') tui_para_add(p, "\xCC\xB6", 2, S_STRUCK);
        i += l;
    }
}

static void words(md *m, const char *s, size_t n, enum tui_style st)
{
    if (st == S_STRUCK) struck(&m->p, s, n);
    else tui_para_add(&m->p, s, n, st);
}

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
    /* "\\(" is how formulas begin: its backslash is no escape. The text before an escaped character ends at it. */
    if (t == MD_TEXT_NORMAL && s > m->source && s[-1] == '\\' && strchr("()[]", s[0])) tui_para_add(&m->p, "\\", 1, st);
    while (n) {
        const char *k = memchr(s, MARK, n);
        size_t l = k ? (size_t)(k - s) : n;
        words(m, s, l, st);
        if (k) {
            int i = l + 1 < n ? k[1] - MARK_FIRST : m->n_sign;
            if (i >= 0 && i < m->n_sign) tui_para_add(&m->p, m->sign[i].text, m->sign[i].n, m->sign[i].style);
            l += l + 1 < n ? 2 : 1;
        }
        s += l;
        n -= (MD_SIZE)l;
    }
    return 0;
}

/* Where a formula \\(…\\) or \\[…\\] that begins at i ends; 0: none does. One paragraph, and not too far. */
static size_t formula(const char *s, size_t n, size_t i)
{
    if (i + 1 >= n || s[i] != '\\' || (s[i + 1] != '(' && s[i + 1] != '[')) return 0;
    char close = s[i + 1] == '(' ? ')' : ']';
    for (size_t k = i + 2; k + 1 < n && k < i + MATH_MAX; k++) {
        if (s[k] == '\n' && s[k + 1] == '\n') return 0;
        if (s[k] == '\\' && s[k + 1] == close) return k + 2;
    }
    return 0;
}

/* "2*3*4": between letters or digits a single star is a product, not emphasis. */
static bool product(const char *s, size_t n, size_t i)
{
    return s[i] == '*' && i && i + 1 < n && isalnum((unsigned char)s[i - 1]) && isalnum((unsigned char)s[i + 1]);
}

/* Signs up to byte i of the text. */
static void put_signs(q_buf *b, const tui_sign *sign, int n_sign, int *next, size_t i)
{
    for (; *next < n_sign && sign[*next].at <= i; ++*next) {
        q_buf_putc(b, MARK);
        q_buf_putc(b, (char)(MARK_FIRST + *next));
    }
}

/* The text as md4c takes it: signs in their places, and in formulas no sign that it would take for its own. */
static void prepare(q_buf *b, const char *s, size_t n, const tui_sign *sign, int n_sign)
{
    int next = 0;
    size_t from = 0, end = 0, ticks = 0;    /* of the formula; backticks that opened a code span */
    for (size_t i = 0; i < n; i++) {
        put_signs(b, sign, n_sign, &next, i);
        if (s[i] == '`' && i >= end) {
            size_t k = 1;
            while (i + k < n && s[i + k] == '`') k++;
            ticks = !ticks ? k : ticks == k ? 0 : ticks;
            for (size_t j = 0; j < k; j++) {
                if (j) put_signs(b, sign, n_sign, &next, i + j);
                q_buf_putc(b, '`');
            }
            i += k - 1;
            continue;
        }
        if (s[i] == '\n' && i + 1 < n && s[i + 1] == '\n' && ticks < 3) ticks = 0;       /* a fence goes on */
        if (!ticks && i >= end && (end = formula(s, n, i))) from = i;
        bool inside = i < end && i > from + 1 && i + 2 < end;
        if ((inside && strchr("\\*_~`", s[i])) || (!ticks && i >= end && product(s, n, i))) q_buf_putc(b, '\\');
        q_buf_putc(b, s[i] == MARK ? '?' : s[i]);
    }
    put_signs(b, sign, n_sign, &next, (size_t)-1);
}

static void markdown(tui_lay *l, const char *s, size_t n, int width, const tui_sign *sign, int n_sign, bool headless)
{
    md m = { .l = l, .width = width, .headless = headless, .sign = sign, .n_sign = n_sign < TUI_SIGNS ? n_sign : TUI_SIGNS };
    MD_PARSER p = { .flags = MD_FLAG_TABLES | MD_FLAG_NOHTML | MD_FLAG_NOINDENTEDCODEBLOCKS | MD_FLAG_TASKLISTS | MD_FLAG_STRIKETHROUGH,
                    .enter_block = enter_block, .leave_block = leave_block, .enter_span = enter_span,
                    .leave_span = leave_span, .text = text };
    q_buf b = {0};
    prepare(&b, s, n, sign, m.n_sign);
    m.source = b.p;
    l->work += n;
    if (b.len && md_parse(b.p, (MD_SIZE)b.len, &p, &m) != 0) tui_lay_plain(l, s, n, width, "", S_ANSWER);
    tui_table_free(&m.table);
    tui_para_free(&m.p);
    q_buf_free(&m.indent);
    q_buf_free(&m.first);
    q_buf_free(&b);
}

void tui_markdown(tui_lay *l, const char *s, size_t n, int width, const tui_sign *sign, int n_sign) { markdown(l, s, n, width, sign, n_sign, false); }
void tui_markdown_rows(tui_lay *l, const char *s, size_t n, int width, const tui_sign *sign, int n_sign) { markdown(l, s, n, width, sign, n_sign, true); }
