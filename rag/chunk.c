/* rag/chunk: cuts a text into passages. Pure function of the text, any thread; it never copies the text and
 * never fails on any bytes: every chunk lies inside it, in order, and none overlaps another.
 *
 * Markdown as CommonMark 0.31 defines ATX headings, setext headings and fences (sections 4.2, 4.3, 4.5), read
 * line by line: enough to know where a section ends, without building a tree. */
#include "rag/rag.h"

#include <stdlib.h>
#include <string.h>

enum { TARGET = 1000, FENCE_MAX = 4000, SMALL = 200, LEVELS = 6, HEADING_MAX = 120 };

struct cutter {
    const char *t;
    size_t n;
    char *heading[LEVELS];          /* NULL where none */
    mem_chunk *v;
    int len, cap;
    size_t from, to;                /* the chunk being gathered; from == to: empty */
    bool section_start;             /* nothing was cut since the last heading */
};

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

static char *heading_path(const struct cutter *c)
{
    q_buf b = {0};
    for (int i = 0; i < LEVELS; i++)
        if (c->heading[i] && *c->heading[i]) {
            if (b.len) q_buf_puts(&b, " › ");
            q_buf_puts(&b, c->heading[i]);
        }
    return q_buf_take(&b);
}

static void emit(struct cutter *c, size_t from, size_t to)
{
    while (from < to && blank(c->t[from]) && (c->t[from] == '\n' || c->t[from] == '\r')) from++;
    while (from < to && blank(c->t[to - 1])) to--;
    if (from == to) return;
    if (c->len == c->cap) c->v = q_realloc(c->v, sizeof *c->v * (size_t)(c->cap = c->cap ? c->cap * 2 : 16));
    c->v[c->len++] = (mem_chunk){.offset = from, .n = to - from, .text = c->t + from, .heading = heading_path(c)};
    c->section_start = false;
}

static void flush(struct cutter *c)
{
    if (c->from == c->to) return;
    /* a crumb at the end of a section belongs to the chunk before it */
    if (!c->section_start && c->len && c->to - c->from < SMALL) {
        mem_chunk *last = &c->v[c->len - 1];
        if (c->to - last->offset <= TARGET + 2 * SMALL) {
            size_t to = c->to;
            while (to > last->offset && blank(c->t[to - 1])) to--;
            last->n = to - last->offset;
            c->from = c->to;
            return;
        }
    }
    emit(c, c->from, c->to);
    c->from = c->to;
}

/* Where to cut [from, to) so that at most `max` bytes come first: after a sentence, else a line, else a word,
 * else between two characters. */
static size_t cut_at(const struct cutter *c, size_t from, size_t to, size_t max)
{
    if (to - from <= max) return to;
    size_t end = from + max, sentence = 0, line = 0, word = 0;
    for (size_t i = from + 1; i < end; i++) {
        if (!blank(c->t[i])) continue;
        word = i + 1;
        if (c->t[i] == '\n') line = i + 1;
        const char *p = c->t + i;
        if (p[-1] == '.' || p[-1] == '!' || p[-1] == '?' || p[-1] == ';' || (i >= from + 3 && memcmp(p - 3, "\xE2\x80\xA6", 3) == 0))
            sentence = i + 1;
    }
    size_t least = from + max / 3;          /* a border too near the start would make crumbs */
    if (sentence > least) return sentence;
    if (line > least) return line;
    if (word > least) return word;
    size_t k = q_utf8_whole(c->t + from, max);
    return from + (k > max / 2 ? k : max);
}

static void add_block(struct cutter *c, size_t from, size_t to, size_t max)
{
    if (to - from > max) {
        flush(c);
        while (to - from > max) {
            size_t cut = cut_at(c, from, to, max == FENCE_MAX ? FENCE_MAX : TARGET);
            emit(c, from, cut);
            from = cut;
        }
        c->from = from;
        c->to = to;
        return;
    }
    if (c->from != c->to && to - c->from > TARGET) flush(c);
    if (c->from == c->to) c->from = from;
    c->to = to;
}

static void set_heading(struct cutter *c, int level, size_t from, size_t to)
{
    flush(c);
    for (int i = level; i < LEVELS; i++) {
        free(c->heading[i]);
        c->heading[i] = NULL;
    }
    while (from < to && blank(c->t[from])) from++;
    while (to > from && blank(c->t[to - 1])) to--;
    q_buf b = {0};
    for (size_t i = from; i < to; i++)
        if (c->t[i] != '*' && c->t[i] != '`') q_buf_putc(&b, c->t[i]);
    if (b.len > HEADING_MAX) {
        b.len = q_utf8_whole(b.p, HEADING_MAX);
        b.p[b.len] = 0;
    }
    c->heading[level] = q_buf_take(&b);
    c->section_start = true;
}

/* ATX: up to three spaces, 1..6 #, then a space or the end. Returns the level from 0, or -1; the words in *from, *to. */
static int atx(const char *t, size_t a, size_t b, size_t *from, size_t *to)
{
    size_t i = a;
    while (i < b && i < a + 3 && t[i] == ' ') i++;
    size_t h = i;
    while (i < b && t[i] == '#') i++;
    size_t level = i - h;
    if (level < 1 || level > 6 || (i < b && t[i] != ' ' && t[i] != '\t')) return -1;
    size_t e = b, k;
    while (e > i && blank(t[e - 1])) e--;
    for (k = e; k > i && t[k - 1] == '#'; k--) {}
    if (k < e && (k == i || blank(t[k - 1]))) e = k;
    *from = i;
    *to = e;
    return (int)level - 1;
}

/* A fence of at least three ` or ~; returns its length and character, 0 if none. */
static size_t fence(const char *t, size_t a, size_t b, char *mark)
{
    size_t i = a;
    while (i < b && i < a + 3 && t[i] == ' ') i++;
    if (i == b || (t[i] != '`' && t[i] != '~')) return 0;
    size_t h = i;
    while (i < b && t[i] == t[h]) i++;
    if (i - h < 3) return 0;
    *mark = t[h];
    return i - h;
}

/* The line under a setext heading: '=' is level 0, '-' level 1. */
static int underline(const char *t, size_t a, size_t b)
{
    while (b > a && blank(t[b - 1])) b--;
    if (b - a < 3 || (t[a] != '=' && t[a] != '-')) return -1;
    for (size_t i = a; i < b; i++)
        if (t[i] != t[a]) return -1;
    return t[a] == '=' ? 0 : 1;
}

static bool empty_line(const char *t, size_t a, size_t b)
{
    for (; a < b; a++)
        if (!blank(t[a])) return false;
    return true;
}

int rag_chunk(const char *text, size_t n, bool markdown, mem_chunk **out)
{
    struct cutter c = {.t = text, .n = n, .section_start = true};
    size_t block = 0, fence_from = 0, fence_len = 0;
    int block_lines = 0;
    char mark = 0;
    for (size_t i = 0; i < n;) {
        const char *nl = memchr(text + i, '\n', n - i);
        size_t end = nl ? (size_t)(nl - text) + 1 : n, from, to;
        int level;
        char m = 0;
        size_t f = markdown ? fence(text, i, end, &m) : 0;
        if (fence_len) {
            if (f >= fence_len && m == mark) {
                fence_len = 0;
                add_block(&c, fence_from, end, FENCE_MAX);
                block_lines = 0;
            }
        } else if (f) {
            if (block_lines) add_block(&c, block, i, TARGET);
            block_lines = 0;
            fence_len = f, mark = m, fence_from = i;
        } else if (markdown && (level = atx(text, i, end, &from, &to)) >= 0) {
            if (block_lines) add_block(&c, block, i, TARGET);
            block_lines = 0;
            set_heading(&c, level, from, to);
        } else if (markdown && block_lines == 1 && (level = underline(text, i, end)) >= 0) {
            set_heading(&c, level, block, i);
            block_lines = 0;
        } else if (empty_line(text, i, end)) {
            if (block_lines) add_block(&c, block, i, TARGET);
            block_lines = 0;
        } else if (block_lines++ == 0) {
            block = i;
        }
        i = end;
    }
    if (fence_len) add_block(&c, fence_from, n, FENCE_MAX);
    else if (block_lines) add_block(&c, block, n, TARGET);
    flush(&c);
    for (int i = 0; i < LEVELS; i++) free(c.heading[i]);
    *out = c.v;
    return c.len;
}

void rag_chunks_free(mem_chunk *v, int n)
{
    for (int i = 0; i < n; i++) free(v[i].heading);
    free(v);
}
