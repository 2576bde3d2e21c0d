/* rag/import/markup.h: private to rag/. The text of HTML and XML by libxml2. For the program that reads. */
#ifndef QUORUM_RAG_IMPORT_MARKUP_H
#define QUORUM_RAG_IMPORT_MARKUP_H

#include "base/base.h"

#include <libxml/xmlreader.h>

/* One piece of an XML text: a tag, or words between two. Nothing in it names another file, an address or an entity of its own. */
typedef struct markup {
    xmlTextReaderPtr r;
    enum { MARKUP_END, MARKUP_WORDS, MARKUP_OPEN, MARKUP_CLOSE } kind;
    const char *name;                   /* of the tag, with its prefix; valid until the next piece, as words are */
    bool empty;                         /* <br/>: opened and closed */
    const char *words; size_t n_words;
} markup;

bool markup_open(markup *, const char *p, size_t n);            /* of n bytes that live as long; false: they are no XML */
bool markup_next(markup *);                                     /* false at the end, also where what is damaged begins */
bool markup_attribute(const markup *, const char *name, char *out, size_t size);    /* of the present tag, cut; false: it has none */
void markup_close(markup *);

/* A page's tags and words one after another, however it is damaged: each tag that is opened is closed. */
typedef struct markup_page {
    void (*open)(void *user, const char *name);                 /* in small letters */
    void (*close)(void *user, const char *name);
    void (*words)(void *user, const char *p, size_t n);         /* decoded */
} markup_page;
void markup_walk(const char *p, size_t n, const markup_page *, void *user);     /* p [n] UTF-8 */

/* HTML as Markdown: headings, lists, tables, code; scripts, styles and navigation left out. In UTF-8. */
void markup_html(const char *p, size_t n, q_buf *out);

#endif
