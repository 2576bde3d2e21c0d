/* rag/import/markup.h: private to rag/. The text of HTML and XML: tags and words, one after another. */
#ifndef QUORUM_RAG_IMPORT_MARKUP_H
#define QUORUM_RAG_IMPORT_MARKUP_H

#include "base/base.h"

enum { MARKUP_NAME = 32 };

/* One piece: a tag, or words between two. */
typedef struct markup {
    const char *p; size_t n, at;        /* the whole text, UTF-8; where the next piece begins */
    bool html;                          /* names of any case; <script> and the like hold no tags */
    enum { MARKUP_END, MARKUP_WORDS, MARKUP_OPEN, MARKUP_CLOSE } kind;
    char name[MARKUP_NAME];             /* of the tag, in small letters where html; cut where it is longer */
    bool empty;                         /* <br/>: opened and closed */
    const char *words; size_t n_words;  /* as they stand: markup_words decodes them; of a tag what stands behind its name */
    bool literal;                       /* CDATA: nothing is decoded */
} markup;

bool markup_next(markup *);             /* false at the end */
void markup_words(const markup *, q_buf *out);                  /* the present words decoded: entities are characters */
bool markup_attribute(const markup *, const char *name, char *out, size_t size);    /* of the present tag, decoded and cut; false: it has none */

/* HTML as Markdown: headings, lists, tables, code; scripts, styles and navigation left out. In UTF-8. */
void markup_html(const char *p, size_t n, q_buf *out);
/* A file's bytes as UTF-8 by what it says of itself: a mark, an XML declaration, <meta charset>; b stays where nothing is said. */
void markup_charset(q_buf *b);
/* Gathers text as Markdown: one paragraph after another. */
typedef struct prose { q_buf *out, line; int level; bool item, code; } prose;
void prose_words(prose *, const char *p, size_t n, bool spaces);    /* spaces: as they stand */
void prose_end(prose *);                                            /* of a paragraph, heading or item */

#endif
