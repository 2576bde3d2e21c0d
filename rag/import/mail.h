/* rag/import/mail.h: private to rag/. Letters as text. */
#ifndef QUORUM_RAG_IMPORT_MAIL_H
#define QUORUM_RAG_IMPORT_MAIL_H

#include "rag/import/child.h"

/* Is it an mbox (RFC 4155), or one letter (RFC 5322)? */
bool rag_mail_knows(const char *p, size_t n);
/* Its letters as Markdown, in place: the subject a heading, who, to whom and when, then what was written, the plain words of
 * several forms; HTML the child reads. NULL, or a translated reason why not. */
const char *rag_mail(rag_child *, q_buf *b);

#endif
