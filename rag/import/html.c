/* rag/import/html: a page as Markdown, tag by tag. Pure function; any thread. What is nested wrongly costs the shape of its own
 * place only: nothing is remembered but what is left out, in how many lists one is and whether code is shown. */
#include "rag/import/markup.h"

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

struct page { prose t; char dropped[MARKUP_NAME]; int depth; /* of what is dropped */ bool title; };

static int row_of(const char *name)
{
    for (int i = 0; i < TAGS; i++)
        if (strcmp(tags[i].name, name) == 0) return i;
    return -1;
}

static void open_tag(struct page *g, const markup *m, int row)
{
    enum what what = row < 0 ? INLINE : tags[row].what;
    if (strcmp(m->name, "title") == 0 && !g->title && g->t.out->len == 0) {
        prose_end(&g->t);
        g->t.level = 1;
        g->title = true;
    } else if (what == DROP && !m->empty) {
        memcpy(g->dropped, m->name, sizeof g->dropped);
        g->depth = 1;
    } else if (what == BREAK) {
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

static void close_tag(struct page *g, const markup *m, int row)
{
    enum what what = row < 0 ? INLINE : tags[row].what;
    if (what == BLOCK || what == HEADING || what == ITEM || what == PRE || strcmp(m->name, "title") == 0) prose_end(&g->t);
}

void markup_html(const char *p, size_t n, q_buf *out)
{
    markup m = {.p = p, .n = n, .html = true};
    struct page g = {.t = {.out = out}};
    q_buf words = {0};
    while (markup_next(&m)) {
        if (g.depth) {                                  /* until its own end; the same inside it is counted */
            if (m.kind == MARKUP_WORDS || strcmp(m.name, g.dropped) != 0) continue;
            g.depth += m.kind == MARKUP_OPEN && !m.empty ? 1 : m.kind == MARKUP_CLOSE ? -1 : 0;
        } else if (m.kind == MARKUP_WORDS) {
            q_buf_clear(&words);
            markup_words(&m, &words);
            if (words.len) prose_words(&g.t, words.p, words.len, g.t.code);
        } else if (m.kind == MARKUP_OPEN) open_tag(&g, &m, row_of(m.name));
        else close_tag(&g, &m, row_of(m.name));
    }
    prose_end(&g.t);
    q_buf_free(&g.t.line);
    q_buf_free(&words);
}
