/* rag/import/markup: the text of HTML and XML by libxml2, piece by piece. No entity beyond the language's own is replaced, no DTD is read,
 * no file or address is opened (none): so nothing in a page can grow or reach out. Any thread, a text at a time. It never fails: where
 * XML is damaged beyond mending its text ends. */
#include "rag/import/markup.h"

#include "rag/letters.h"

#include <libxml/HTMLparser.h>
#include <limits.h>
#include <string.h>

/* What a text would bring in from outside is nothing. */
static xmlParserInputPtr none(const char *url, const char *id, xmlParserCtxtPtr ctxt)
{
    (void)url, (void)id, (void)ctxt;
    return NULL;
}

/* ---- XML ---- */
bool markup_open(markup *m, const char *p, size_t n)
{
    xmlSetExternalEntityLoader(none);
    /* one that is UTF-8 may say that it is something else */
    int options = XML_PARSE_RECOVER | XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_COMPACT | (q_utf8_valid(p, n) ? XML_PARSE_IGNORE_ENC : 0);
    *m = (markup){.r = n && n <= INT_MAX ? xmlReaderForMemory(p, (int)n, NULL, NULL, options) : NULL};
    return m->r != NULL;
}

void markup_close(markup *m)
{
    xmlFreeTextReader(m->r);
    m->r = NULL;
}

bool markup_next(markup *m)
{
    while (m->r && xmlTextReaderRead(m->r) == 1) {
        int type = xmlTextReaderNodeType(m->r);
        const char *words = (const char *)xmlTextReaderConstValue(m->r);
        m->name = (const char *)xmlTextReaderConstName(m->r);
        switch (type) {
        case XML_READER_TYPE_ELEMENT:
            m->kind = MARKUP_OPEN;
            m->empty = xmlTextReaderIsEmptyElement(m->r) == 1;
            return true;
        case XML_READER_TYPE_END_ELEMENT:
            m->kind = MARKUP_CLOSE;
            m->empty = false;
            return true;
        case XML_READER_TYPE_TEXT:
        case XML_READER_TYPE_CDATA:
        case XML_READER_TYPE_WHITESPACE:
        case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
            m->kind = MARKUP_WORDS;
            m->words = words ? words : "";
            m->n_words = strlen(m->words);
            return true;
        default: break;
        }
    }
    m->kind = MARKUP_END;
    return false;
}

bool markup_attribute(const markup *m, const char *name, char *out, size_t size)
{
    bool found = false;
    for (int rc = xmlTextReaderMoveToFirstAttribute(m->r); rc == 1 && !found; rc = xmlTextReaderMoveToNextAttribute(m->r)) {
        const char *is = (const char *)xmlTextReaderConstName(m->r), *value = (const char *)xmlTextReaderConstValue(m->r);
        if (!is || !value || strcmp(is, name) != 0) continue;
        size_t len = strlen(value), k = len < size ? len : q_utf8_whole(value, size - 1);
        memcpy(out, value, k);
        out[k] = 0;
        found = true;
    }
    xmlTextReaderMoveToElement(m->r);
    return found;
}

/* ---- HTML ---- */
struct walk { const markup_page *page; void *user; };

static void on_open(void *user, const xmlChar *name, const xmlChar **attributes)
{
    struct walk *w = user;
    (void)attributes;
    w->page->open(w->user, (const char *)name);
}

static void on_close(void *user, const xmlChar *name)
{
    struct walk *w = user;
    w->page->close(w->user, (const char *)name);
}

static void on_words(void *user, const xmlChar *p, int n)
{
    struct walk *w = user;
    w->page->words(w->user, (const char *)p, (size_t)n);
}

static int on_nothing(void *user) { (void)user; return 0; }

void markup_walk(const char *p, size_t n, const markup_page *page, void *user)
{
    struct walk w = {page, user};
    xmlSAXHandler sax = {.startElement = on_open, .endElement = on_close, .characters = on_words, .ignorableWhitespace = on_words, .cdataBlock = on_words,
                         .hasInternalSubset = on_nothing, .hasExternalSubset = on_nothing};
    xmlSetExternalEntityLoader(none);
    htmlParserCtxtPtr c = n && n <= INT_MAX ? htmlNewParserCtxt() : NULL;
    if (!c) return;
    *c->sax = sax;
    c->userData = &w;
    xmlFreeDoc(htmlCtxtReadMemory(c, p, (int)n, NULL, "UTF-8", HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET | HTML_PARSE_NOIMPLIED | HTML_PARSE_IGNORE_ENC));
    htmlFreeParserCtxt(c);
}
