/* rag/import/mojibake.h: private to rag/. Text that is UTF-8 read as a single-byte set and encoded again. */
#ifndef QUORUM_RAG_IMPORT_MOJIBAKE_H
#define QUORUM_RAG_IMPORT_MOJIBAKE_H

#include "base/base.h"

enum { MOJIBAKE_HOW = 64 };
/* Is a valid UTF-8 text such a one, and does it read as words of a language once that is undone? how: the sets it was read
 * as, the last one first ("MACINTOSH", "CP1252 CP1251"). */
bool rag_mojibake(const char *p, size_t n, char how[MOJIBAKE_HOW]);
/* Undoes it in a text of the same origin, added to out; what is not broken so stays. false: nothing was. */
bool rag_mojibake_undo(const char *p, size_t n, const char *how, q_buf *out);
#endif
