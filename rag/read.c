/* rag/read: the readers, a row each: by which endings or first bytes a file is known, and how its bytes become text.
 * Any thread. It never opens a file; what is read by libraries is another program's to read (child.c, pdf.c), which is waited for. */
#include "rag/read.h"

#include "rag/charset.h"
#include "rag/import/mail.h"
#include "rag/import/pdf.h"
#include "rag/import/table.h"

#include <string.h>
#include <strings.h>

typedef struct reader {
    const char *endings;                /* ".md .markdown"; "" any */
    const char *magic;                  /* the first bytes; "" any */
    enum rag_form form;                 /* of what it gives */
    const char *(*read)(rag_child *, q_buf *b);     /* in place; NULL, or a translated reason why not */
} reader;

static const char *pdf(rag_child *c, q_buf *b) { return rag_pdf(c, b, &pdf_ordinary); }
static const char *office(rag_child *c, q_buf *b) { return rag_child_document(c, false, b); }

static const char *html(rag_child *c, q_buf *b)
{
    rag_charset_said(b);
    const char *why = rag_charset(b);
    return why ? why : rag_child_document(c, true, b);
}

static const char *text(rag_child *c, q_buf *b) { return (void)c, rag_charset(b); }

/* An mbox of any name; a text that merely begins so is one. */
static const char *mail(rag_child *c, q_buf *b) { return rag_mail_knows(b->p, b->len) ? rag_mail(c, b) : rag_charset(b); }

static const char *csv(rag_child *c, q_buf *b)
{
    const char *why = text(c, b);
    if (!why) rag_csv(b);
    return why;
}

static const char *json(rag_child *c, q_buf *b)
{
    const char *why = text(c, b);
    if (!why) rag_json(b);
    return why;
}

/* The first row that fits. */
static const reader readers[] = {
    {"", "%PDF-", RAG_PLAIN, pdf},
    {"", "PK\3\4", RAG_MARKDOWN, office},
    {".html .htm .xhtml", "", RAG_MARKDOWN, html},
    {"", "<!DOCTYPE html", RAG_MARKDOWN, html},
    {"", "<!doctype html", RAG_MARKDOWN, html},
    {"", "<html", RAG_MARKDOWN, html},
    {".md .markdown .mdown .mkd .mdx .rmd .qmd", "", RAG_MARKDOWN, text},
    {".mbox .mbx .eml", "", RAG_MARKDOWN, rag_mail},
    {"", "From ", RAG_MARKDOWN, mail},
    {".csv .tsv", "", RAG_PLAIN, csv},
    {".json .geojson .ipynb", "", RAG_PLAIN, json},
    {".c .h .cc .cpp .cxx .hpp .hh .cu .cuh .m .mm .py .pyi .js .mjs .jsx .ts .tsx .go .rs .java .kt .scala .cs .swift .rb .php .pl .pm .lua .r .jl .hs .ml .ex .exs"
     " .zig .d .sh .bash .zsh .sql .el .lisp .clj .scm .vim .dart .proto", "", RAG_SOURCE, text},
    {"", "", RAG_PLAIN, text},
};

static bool ends(const char *path, const char *endings)
{
    const char *name = strrchr(path, '/'), *dot = strrchr(name ? name : path, '.');
    for (size_t n; dot && *endings; endings += n + strspn(endings + n, " ")) {
        n = strcspn(endings, " ");
        if (strlen(dot) == n && strncasecmp(dot, endings, n) == 0) return true;
    }
    return false;
}

const char *rag_read(rag_child *c, const char *path, q_buf *b, enum rag_form *form)
{
    if (b->len == 0) return _("it is empty");
    const reader *r = readers;
    for (;; r++) {
        size_t n = strlen(r->magic);
        if ((!*r->endings || ends(path, r->endings)) && b->len >= n && memcmp(b->p, r->magic, n) == 0) break;
    }
    *form = r->form;
    return r->read(c, b);
}

bool rag_read_prose(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return !strchr(name, '.') || ends(path, ".md .markdown .mdown .mkd .txt .text");
}
