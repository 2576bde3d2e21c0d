/* rag/page: a page that a server sent as text: its set of letters by what the server says, by what it says of itself, or by its letters; HTML by
 * the program that is held in (import/child.h). Any thread. */
#include "rag/charset.h"
#include "rag/rag.h"

#include "rag/import/child.h"

const char *rag_page(q_buf *b, bool html, const char *charset, bool (*go)(void *user), void *user)
{
    bool told = *charset && rag_charset_as(b, charset);
    if (html && !told) rag_charset_said(b);
    const char *why = rag_charset(b);
    if (why || !html) return why;
    rag_child *c = rag_child_new(&(rag_child_opts){.go = go, .user = user});
    why = rag_child_document(c, true, b);
    rag_child_free(c);
    return why;
}
