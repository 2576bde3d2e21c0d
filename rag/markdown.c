/* rag/markdown: the block structure of a text as CommonMark 0.31.2 defines it (appendix "A parsing strategy", first
 * phase): containers (quotes, list items) and the leaves that matter to a reader of sections (headings, breaks, code,
 * fences); everything else is text. HTML blocks and link definitions are text here. Pure function of the text; any
 * thread; it never fails on any bytes and takes time linear in them. */
#include "rag/markdown.h"

#include "base/base.h"

#include <ctype.h>
#include <string.h>

enum { NESTED_MAX = 64 };           /* deeper containers are text */
enum leaf { NONE, PARAGRAPH, CODE, FENCE };

struct parser {
    const char *t;
    void (*fn)(void *, const md_block *);
    void *user;
    int width[NESTED_MAX], depth;   /* of a list item how far its text is moved in; 0: a quote */
    bool bare[NESTED_MAX];          /* a list item with nothing in it yet */
    enum leaf leaf;
    size_t from, to;                /* of the open leaf */
    int leaf_depth;
    int fence_len;
    char fence_mark;
};

/* A place in a line; tabs reach to columns that 4 divides. */
struct at { const char *t; size_t i, end; int col, left; };   /* left: columns of a tab that was used in part */

static int indent(const struct at *a)
{
    int n = a->left, col = a->col + a->left;
    for (size_t i = a->i; i < a->end && (a->t[i] == ' ' || a->t[i] == '\t'); i++) {
        int step = a->t[i] == '\t' ? 4 - col % 4 : 1;
        n += step;
        col += step;
    }
    return n;
}

static void skip_columns(struct at *a, int n)
{
    while (n > 0) {
        if (a->left) {
            a->left--;
            a->col++;
            n--;
        } else if (a->i < a->end && a->t[a->i] == '\t') {
            a->left = 4 - a->col % 4;
            a->i++;
        } else if (a->i < a->end && a->t[a->i] == ' ') {
            a->i++;
            a->col++;
            n--;
        } else {
            return;
        }
    }
}

static bool blank_line(const struct at *a)
{
    for (size_t i = a->i; i < a->end; i++)
        if (a->t[i] != ' ' && a->t[i] != '\t' && a->t[i] != '\r' && a->t[i] != '\f' && a->t[i] != '\v') return false;
    return true;
}

static bool space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* ---- what a line may begin with; all expect its indentation skipped ---- */
static int atx(const struct at *a, size_t *from, size_t *to)
{
    size_t i = a->i, e = a->end, k;
    while (i < a->end && a->t[i] == '#') i++;
    size_t level = i - a->i;
    if (level < 1 || level > 6 || (i < a->end && !space(a->t[i]))) return 0;
    while (e > i && space(a->t[e - 1])) e--;
    for (k = e; k > i && a->t[k - 1] == '#'; k--) {}
    if (k < e && (k == i || space(a->t[k - 1]))) e = k;
    *from = i;
    *to = e;
    return (int)level;
}

static int fence_at(const struct at *a, char *mark)
{
    size_t i = a->i;
    if (i == a->end || (a->t[i] != '`' && a->t[i] != '~')) return 0;
    while (i < a->end && a->t[i] == a->t[a->i]) i++;
    *mark = a->t[a->i];
    return i - a->i < 3 ? 0 : (int)(i - a->i);
}

static bool opens_fence(const struct at *a, int *len, char *mark)
{
    *len = fence_at(a, mark);
    return *len && (*mark == '~' || !memchr(a->t + a->i + *len, '`', a->end - a->i - (size_t)*len));
}

static bool closes_fence(const struct at *a, int len, char mark)
{
    char m = 0;
    int n = fence_at(a, &m);
    if (n < len || m != mark) return false;
    for (size_t i = a->i + (size_t)n; i < a->end; i++)
        if (!space(a->t[i])) return false;
    return true;
}

static bool is_break(const struct at *a)
{
    int n = 0;
    if (a->i == a->end || !strchr("*-_", a->t[a->i]) || !a->t[a->i]) return false;
    for (size_t i = a->i; i < a->end; i++) {
        if (a->t[i] == a->t[a->i]) n++;
        else if (!space(a->t[i])) return false;
    }
    return n >= 3;
}

static int underline(const struct at *a)
{
    size_t e = a->end, i = a->i;
    while (e > i && space(a->t[e - 1])) e--;
    if (i == e || (a->t[i] != '=' && a->t[i] != '-')) return 0;
    for (; i < e; i++)
        if (a->t[i] != a->t[a->i]) return 0;
    return a->t[a->i] == '=' ? 1 : 2;
}

/* The length of a list item's marker, 0: none. `first`: it may not interrupt a paragraph otherwise. */
static int marker(const struct at *a, bool *first)
{
    size_t i = a->i;
    while (i < a->end && i < a->i + 9 && isdigit((unsigned char)a->t[i])) i++;
    bool digits = i > a->i;
    if (i == a->end || !strchr(digits ? ".)" : "-+*", a->t[i]) || !a->t[i]) return 0;
    *first = !digits || (i == a->i + 1 && a->t[a->i] == '1');
    i++;
    return i < a->end && !space(a->t[i]) ? 0 : (int)(i - a->i);
}

/* ---- leaves ---- */
static void tell(struct parser *p, enum md_kind kind, int level, size_t from, size_t to, size_t words_from, size_t words_to)
{
    p->fn(p->user, &(md_block){kind, level, p->depth, from, to, words_from, words_to});
}

static void close_leaf(struct parser *p)
{
    static const enum md_kind kind[] = {[PARAGRAPH] = MD_TEXT, [CODE] = MD_CODE, [FENCE] = MD_FENCE};
    if (p->leaf != NONE) p->fn(p->user, &(md_block){kind[p->leaf], 0, p->leaf_depth, p->from, p->to, 0, 0});
    p->leaf = NONE;
}

static void open_leaf(struct parser *p, enum leaf leaf, size_t from, size_t to)
{
    if (p->leaf != leaf || leaf == FENCE) {
        close_leaf(p);
        p->leaf = leaf;
        p->from = from;
        p->leaf_depth = p->depth;
    }
    p->to = to;
}

/* Leaves of containers that a line left are closed, and the containers. */
static void close_to(struct parser *p, int depth)
{
    if (depth < p->depth) close_leaf(p);
    p->depth = depth;
}

/* ---- a line ---- */
/* How many of the open containers go on; *a stands behind their marks. */
static int containers(struct parser *p, struct at *a)
{
    int k = 0;
    for (; k < p->depth; k++) {
        int in = indent(a);
        if (p->width[k] == 0) {
            struct at b = *a;
            skip_columns(&b, in);
            if (in > 3 || b.i == b.end || b.t[b.i] != '>') break;
            b.i++;
            b.col++;
            skip_columns(&b, indent(&b) ? 1 : 0);
            *a = b;
        } else if (blank_line(a)) {
            if (p->bare[k] && k == p->depth - 1 && p->leaf == NONE) break;      /* an item may begin with one blank line */
        } else if (in >= p->width[k]) {
            skip_columns(a, p->width[k]);
        } else {
            break;
        }
    }
    return k;
}

static void push(struct parser *p, int width)
{
    close_leaf(p);
    p->bare[p->depth] = width > 0;
    p->width[p->depth++] = width;
}

/* Opens a quote or an item at *a when one begins there. `same`: the line so far belongs to the open paragraph's place. */
static bool open_container(struct parser *p, struct at *a, int matched, bool same)
{
    int in = indent(a), len;
    bool first = true;
    struct at b = *a;
    if (in > 3 || p->depth == NESTED_MAX) return false;
    skip_columns(&b, in);
    if (b.i < b.end && b.t[b.i] == '>') {
        close_to(p, matched);
        push(p, 0);
        b.i++;
        b.col++;
        skip_columns(&b, indent(&b) ? 1 : 0);
    } else if (!is_break(&b) && (len = marker(&b, &first)) > 0) {
        struct at c = b;
        c.i += (size_t)len;
        c.col += len;
        bool empty = blank_line(&c);
        if (p->leaf == PARAGRAPH && same && (empty || !first)) return false;
        int gap = indent(&c);
        if (empty || gap > 4) gap = 1;
        close_to(p, matched);
        push(p, in + len + gap);
        skip_columns(&c, gap);
        b = c;
    } else {
        return false;
    }
    *a = b;
    return true;
}

static void line(struct parser *p, size_t from, size_t end, size_t next)
{
    struct at a = {.t = p->t, .i = from, .end = end};
    int matched = containers(p, &a), was = p->depth, len, level;
    size_t words_from, words_to;
    char mark = 0;
    if (p->leaf == FENCE && matched == was) {
        p->to = next;
        int in = indent(&a);
        skip_columns(&a, in);
        if (in <= 3 && closes_fence(&a, p->fence_len, p->fence_mark)) close_leaf(p);
        return;
    }
    bool fresh = false;                         /* a container began on this line */
    while (open_container(p, &a, fresh ? p->depth : matched, matched == was && !fresh)) fresh = true;
    if (fresh) matched = p->depth;
    int in = indent(&a);
    if (blank_line(&a)) {
        if (p->leaf == CODE && matched == p->depth) return;     /* inside it, or behind its end */
        close_to(p, matched);
        if (p->leaf != FENCE) close_leaf(p);
        return;
    }
    if (in >= 4) {
        if (p->leaf == PARAGRAPH && !fresh) {
            p->to = next;
            return;
        }
        close_to(p, matched);
        open_leaf(p, CODE, from, next);
    } else {
        skip_columns(&a, in);
        if ((level = atx(&a, &words_from, &words_to)) > 0) {
            close_to(p, matched);
            close_leaf(p);
            tell(p, MD_HEADING, level, from, next, words_from, words_to);
        } else if (opens_fence(&a, &len, &mark)) {
            close_to(p, matched);
            open_leaf(p, FENCE, from, next);
            p->fence_len = len;
            p->fence_mark = mark;
        } else if (p->leaf == PARAGRAPH && matched == p->depth && !fresh && (level = underline(&a)) > 0) {
            p->leaf = NONE;
            tell(p, MD_HEADING, level, p->from, next, p->from, p->to);
        } else if (is_break(&a)) {
            close_to(p, matched);
            close_leaf(p);
            tell(p, MD_BREAK, 0, from, next, 0, 0);
        } else if (p->leaf == PARAGRAPH && !fresh) {            /* goes on, if need be lazily */
            p->to = next;
        } else {
            close_to(p, matched);
            open_leaf(p, PARAGRAPH, from, next);
        }
    }
    if (p->depth) p->bare[p->depth - 1] = false;
}

void rag_markdown(const char *text, size_t n, void (*fn)(void *, const md_block *), void *user)
{
    struct parser p = {.t = text, .fn = fn, .user = user};
    for (size_t i = 0; i < n;) {
        const char *nl = memchr(text + i, '\n', n - i);
        size_t end = nl ? (size_t)(nl - text) : n, next = nl ? end + 1 : n;
        line(&p, i, end, next);
        i = next;
    }
    close_leaf(&p);
}

/* ---- a heading's words ---- */
static bool wordy(char c) { return isalnum((unsigned char)c) || (c & 0x80); }

/* Do marks of emphasis at i stand between two words' letters? Taken away they would make one word of two. */
static bool joins(const char *t, size_t from, size_t to, size_t i)
{
    size_t a = i, b = i;
    while (a > from && strchr("*`", t[a - 1]) && t[a - 1]) a--;
    while (b < to && strchr("*`", t[b]) && t[b]) b++;
    return a > from && b < to && wordy(t[a - 1]) && wordy(t[b]);
}

char *rag_heading_words(const char *t, size_t from, size_t to)
{
    q_buf b = {0};
    size_t ticks = 0;
    q_buf_puts(&b, "");
    for (size_t i = from; i < to; i++) ticks += t[i] == '`';
    for (size_t i = from; i < to; i++) {
        char c = t[i];
        if (c == '\n' || c == '\r' || c == '\t') c = ' ';
        if (c == ' ' && (!b.len || b.p[b.len - 1] == ' ')) continue;
        if ((c == '*' || (c == '`' && ticks % 2 == 0)) && !joins(t, from, to, i)) continue;
        if (c == '\\' && i + 1 < to && ispunct((unsigned char)t[i + 1])) c = t[++i];
        q_buf_putc(&b, c);
    }
    while (b.len && b.p[b.len - 1] == ' ') b.p[--b.len] = 0;
    return q_buf_take(&b);
}
