/* rag/import/html: a page as Markdown, tag by tag. Pure function; any thread. What is nested wrongly costs the shape of its own
 * place only: nothing is remembered but what is left out, in how many lists one is and whether code is shown. */
#include "rag/import/markup.h"
#include "rag/import/prose.h"
#include "rag/letters.h"

#include <string.h>

enum what { INLINE, BLOCK, HEADING, ITEM, BREAK, CELL, PRE, DROP };
static const struct { const char *name; enum what what; int level; } tags[] = {
    {"h1", HEADING, 1}, {"h2", HEADING, 2}, {"h3", HEADING, 3}, {"h4", HEADING, 4}, {"h5", HEADING, 5}, {"h6", HEADING, 6},
    {"p", BLOCK, 0}, {"div", BLOCK, 0}, {"section", BLOCK, 0}, {"article", BLOCK, 0}, {"main", BLOCK, 0}, {"header", BLOCK, 0}, {"footer", BLOCK, 0}, {"aside", BLOCK, 0},
    {"blockquote", BLOCK, 0}, {"ul", BLOCK, 0}, {"ol", BLOCK, 0}, {"dl", BLOCK, 0}, {"dt", BLOCK, 0}, {"dd", BLOCK, 0}, {"table", BLOCK, 0}, {"tr", BLOCK, 0}, {"caption", BLOCK, 0},
    {"figure", BLOCK, 0}, {"figcaption", BLOCK, 0}, {"details", BLOCK, 0}, {"summary", BLOCK, 0}, {"address", BLOCK, 0}, {"hr", BLOCK, 0}, {"body", BLOCK, 0}, {"html", BLOCK, 0},
    {"fieldset", BLOCK, 0}, {"center", BLOCK, 0}, {"li", ITEM, 0}, {"br", BREAK, 0}, {"td", CELL, 0}, {"th", CELL, 0}, {"pre", PRE, 0},
    {"script", DROP, 0}, {"style", DROP, 0}, {"nav", DROP, 0}, {"noscript", DROP, 0}, {"template", DROP, 0}, {"svg", DROP, 0}, {"math", INLINE, 0}, {"iframe", DROP, 0},
    {"object", DROP, 0}, {"select", DROP, 0}, {"button", DROP, 0}, {"noembed", DROP, 0}, {"noframes", DROP, 0},
};
enum { TAGS = sizeof tags / sizeof *tags };

/* dropped: in how many tags one is, from one that is left out on */
struct page { prose t; q_buf words; int dropped; bool title; };

static int row_of(const char *name)
{
    for (int i = 0; i < TAGS; i++)
        if (strcmp(tags[i].name, name) == 0) return i;
    return -1;
}

/* Characters that mean blanks or nothing, and Windows-1252's where Latin-1 has controls, as browsers have it. */
static void plain(const char *p, size_t n, q_buf *out)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t k = (size_t)q_utf8_next(p + i, n - i, &cp);
        char c = (char)cp;
        if (cp == 0xA0 || (cp >= 0x2002 && cp <= 0x2003) || cp == 0x2009) q_buf_putc(out, ' ');
        else if (cp >= 0x80 && cp < 0xA0) rag_convert("CP1252", &c, 1, out);
        else if (cp != 0xAD && cp != 0x200E && cp != 0x200F) q_buf_add(out, p + i, k);
        i += k;
    }
}

static void on_open(void *user, const char *name)
{
    struct page *g = user;
    int row = row_of(name);
    enum what what = row < 0 ? INLINE : tags[row].what;
    if (g->dropped) g->dropped++;
    else if (strcmp(name, "title") == 0 && !g->title && g->t.out->len == 0) {
        prose_end(&g->t);
        g->t.level = 1;
        g->title = true;
    } else if (what == DROP) g->dropped = 1;
    else if (what == BREAK) {
        if (!g->t.level) prose_words(&g->t, "\n", 1, true);
    } else if (what == CELL) {
        if (g->t.line.len) prose_words(&g->t, " | ", 3, true);
    } else if (what != INLINE) {
        prose_end(&g->t);
        if (what == HEADING) g->t.level = tags[row].level;
        g->t.item = what == ITEM;
        g->t.code = what == PRE;
    }
}

static void on_close(void *user, const char *name)
{
    struct page *g = user;
    int row = row_of(name);
    enum what what = row < 0 ? INLINE : tags[row].what;
    if (g->dropped) g->dropped--;
    else if (what == BLOCK || what == HEADING || what == ITEM || what == PRE || strcmp(name, "title") == 0) prose_end(&g->t);
}

static void on_words(void *user, const char *p, size_t n)
{
    struct page *g = user;
    if (g->dropped) return;
    q_buf_clear(&g->words);
    plain(p, n, &g->words);
    if (g->words.len) prose_words(&g->t, g->words.p, g->words.len, g->t.code);
}

void markup_html(const char *p, size_t n, q_buf *out)
{
    static const markup_page page = {on_open, on_close, on_words};
    struct page g = {.t = {.out = out}};
    markup_walk(p, n, &page, &g);
    prose_end(&g.t);
    q_buf_free(&g.t.line);
    q_buf_free(&g.words);
}
