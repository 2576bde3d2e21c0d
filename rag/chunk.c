/* rag/chunk: cuts a text into passages. Pure function of the text, any thread; it never copies the text and
 * never fails on any bytes: every chunk lies inside it, in order, and none overlaps another. Every word of the text is in
 * a chunk's text or in the headings over it: a heading with no text below it, and one too long for a path of headings,
 * are text themselves. */
#include "rag/rag.h"

#include "rag/markdown.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET = 1000, FENCE_MAX = 4000, SMALL = 200, LEVELS = 6, HEADING_MAX = 120, OWN = 400 /* a function of so many has a passage of its own */ };

struct cutter {
    const char *t;
    size_t n;
    char *heading[LEVELS];          /* NULL where none */
    mem_chunk *v;
    int len, cap;
    size_t from, to;                /* the chunk being gathered; from == to: empty */
    char *over;                     /* the headings over it where those are not the present ones; NULL: they are */
    bool section_start;             /* nothing was cut since the last heading */
    bool bare;                      /* the last heading's words are in no chunk yet */
    int level; size_t line, line_end;   /* its level from 0 and its lines */
    size_t base;                    /* where the Markdown begins: behind the front matter */
};

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

/* The path of the headings above level `below`. */
static char *heading_path(const struct cutter *c, int below)
{
    q_buf b = {0};
    for (int i = 0; i < below; i++)
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
    c->v[c->len++] = (mem_chunk){.offset = from, .n = to - from, .text = c->t + from, .heading = c->over ? q_strdup(c->over) : heading_path(c, LEVELS)};
    if (!c->over) c->section_start = false;
}

static void flush(struct cutter *c)
{
    if (c->from == c->to) return;
    /* a crumb at the end of a section belongs to the chunk before it */
    if (!c->section_start && !c->over && c->len && c->to - c->from < SMALL) {
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
    free(c->over);
    c->over = NULL;
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
    c->bare = false;
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

/* A heading that nothing stood below is a passage, together with others of its kind under the same headings. */
static void leave_heading(struct cutter *c, int next)
{
    bool bare = c->bare && next <= c->level;    /* a deeper heading's path names it */
    char *path = bare ? heading_path(c, c->level) : NULL;
    if (!bare || !c->over || strcmp(c->over, path) != 0) flush(c);
    if (!bare) return;
    free(c->over);
    c->over = path;
    c->bare = false;
    add_block(c, c->line, c->line_end, FENCE_MAX);
}

static void set_heading(struct cutter *c, int level, size_t from, size_t to, char *words)
{
    leave_heading(c, level);
    for (int i = level; i < LEVELS; i++) {
        free(c->heading[i]);
        c->heading[i] = NULL;
    }
    size_t n = strlen(words);
    c->heading[level] = words;
    c->section_start = true;
    if (n == 0) return;             /* what was bare above it still is */
    c->level = level;
    c->line = from;
    c->line_end = to;
    c->bare = true;
    if (n <= HEADING_MAX) return;
    flush(c);
    words[q_utf8_whole(words, HEADING_MAX)] = 0;
    add_block(c, from, to, TARGET);
}

static void block(void *user, const md_block *b)
{
    struct cutter *c = user;
    size_t from = c->base + b->from, to = c->base + b->to;
    if (b->kind == MD_BREAK && b->depth == 0) return;
    if (b->kind == MD_HEADING && b->depth == 0) {
        set_heading(c, b->level - 1, from, to, rag_heading_words(c->t, c->base + b->words_from, c->base + b->words_to));
        return;
    }
    if (c->over) flush(c);
    add_block(c, from, to, b->kind == MD_FENCE ? FENCE_MAX : TARGET);
}

/* The length of a front matter (lines between --- and --- that tools of notes put first; Markdown would see a heading). */
static size_t front_matter(const char *t, size_t n)
{
    size_t at = 0;
    for (int lines = 0; at < n && lines < 200; lines++) {
        const char *nl = memchr(t + at, '\n', n - at);
        size_t next = nl ? (size_t)(nl - t) + 1 : n, e = next;
        while (e > at && blank(t[e - 1])) e--;
        bool mark = e - at == 3 && (memcmp(t + at, "---", 3) == 0 || (lines && memcmp(t + at, "...", 3) == 0));
        if (lines == 0 && !mark) return 0;
        if (lines == 1 && !memchr(t + at, ':', e - at)) return 0;   /* a break and then text */
        if (lines > 1 && mark) return next;
        at = next;
    }
    return 0;
}

/* Paragraphs of a text without marks. */
static void plain(struct cutter *c)
{
    size_t from = 0;
    bool open = false;
    for (size_t i = 0; i < c->n;) {
        const char *nl = memchr(c->t + i, '\n', c->n - i);
        size_t end = nl ? (size_t)(nl - c->t) + 1 : c->n, k = i;
        while (k < end && blank(c->t[k])) k++;
        if (k == end && open) add_block(c, from, i, TARGET);
        if (k < end && !open) from = i;
        open = k < end;
        i = end;
    }
    if (open) add_block(c, from, c->n, TARGET);
}

/* ---- sources of programs ---- */
/* Does a line begin something: it stands at the margin, is no end of what was above it and no comment? */
static bool at_margin(const char *p, const char *end)
{
    static const char *const others[] = {"#", "//", "/*", "*", "--", "@", ";", "\"\"\"", "end", "else", "esac", "fi", "done", "template"};
    if (p == end || blank(*p) || strchr("})]{", *p)) return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t n = strlen(others[i]);
        if ((size_t)(end - p) >= n && memcmp(p, others[i], n) == 0 && (!isalpha((unsigned char)others[i][0]) || (size_t)(end - p) == n || !isalnum((unsigned char)p[n]))) return false;
    }
    return true;
}

/* One thing of a program, from its comment to its end. */
static void thing(struct cutter *c, size_t from, size_t to)
{
    size_t at = from, end = from, first = from, first_end = from;
    for (; at < to; at = end + 1) {                 /* its first line at the margin names it, else its first line */
        const char *nl = memchr(c->t + at, '\n', to - at);
        end = nl ? (size_t)(nl - c->t) : to;
        if (first_end == from && end > at) first = at, first_end = end;
        if (at_margin(c->t + at, c->t + end)) break;
    }
    if (at >= to) at = first, end = first_end;
    if (c->from != c->to && (to - c->from > TARGET || to - from > OWN || c->to - c->from > OWN)) flush(c);
    if (c->from == c->to) {
        while (end > at && blank(c->t[end - 1])) end--;
        size_t n = end - at > HEADING_MAX ? q_utf8_whole(c->t + at, HEADING_MAX) : end - at;
        free(c->heading[0]);
        c->heading[0] = q_strndup(c->t + at, n);
        c->section_start = true;
    }
    add_block(c, from, to, FENCE_MAX);
}

static void source(struct cutter *c)
{
    size_t from = 0;
    bool after_blank = false, any = false;
    for (size_t i = 0; i < c->n;) {
        const char *nl = memchr(c->t + i, '\n', c->n - i);
        size_t end = nl ? (size_t)(nl - c->t) + 1 : c->n, k = i;
        while (k < end && blank(c->t[k])) k++;
        bool margin = k == i && k < end && !strchr("})]", c->t[i]);
        if (after_blank && margin && any) {
            thing(c, from, i);
            from = i;
        }
        after_blank = k == end;
        any |= k < end;
        i = end;
    }
    if (any) thing(c, from, c->n);
}

int rag_chunk(const char *text, size_t n, enum rag_form form, mem_chunk **out)
{
    struct cutter c = {.t = text, .n = n, .section_start = true};
    if (form == RAG_MARKDOWN) {
        c.base = front_matter(text, n);
        if (c.base) add_block(&c, 0, c.base, TARGET);
        rag_markdown(text + c.base, n - c.base, block, &c);
        leave_heading(&c, 0);
    } else if (form == RAG_SOURCE) {
        source(&c);
    } else {
        plain(&c);
    }
    flush(&c);
    free(c.over);
    for (int i = 0; i < LEVELS; i++) free(c.heading[i]);
    *out = c.v;
    return c.len;
}

void rag_chunks_free(mem_chunk *v, int n)
{
    for (int i = 0; i < n; i++) free(v[i].heading);
    free(v);
}
