/* engine/make/darts: writes a table of characters as SentencePiece and GGUF carry it (engine/text/charsmap.h reads it): the
 * sequences that are replaced as a double array, then what replaces them. Owns nothing beyond a call; any thread. Private to
 * engine. */
#ifndef QUORUM_DARTS_H
#define QUORUM_DARTS_H

#include "base/base.h"

typedef struct darts_entry { char *from, *to; int rank; } darts_entry;      /* UTF-8; from is not empty */

/* Appends the table to out; sorts e; of entries with the same `from` that of the lowest rank counts. Q_RANGE: too large for the
 * form (2^21 places). The same entries give the same bytes everywhere. */
int darts_make(darts_entry *e, size_t n, q_buf *out, char *err);

#endif
