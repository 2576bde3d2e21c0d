/* engine/adapter/kinds: the ways in which adapters are kept, each a pair of a reader and a writer. Readers fill a builder (lows.h), which
 * the caller finishes. One thread a call. Private to engine. */
#ifndef QUORUM_ADAPTER_KINDS_H
#define QUORUM_ADAPTER_KINDS_H

#include "engine/adapter/lows.h"

/* llama.cpp's GGUF. m may be NULL. tied: where the file has the hash of its base, m must be that very file. */
int lows_from_gguf(eng_adapter *, const eng_model *m, bool tied, char *err);
/* A folder of PEFT's. m NULL: only to look at it: rows are in the order that they have there, and no architecture is said. */
int lows_from_peft(eng_adapter *, const eng_model *m, char *err);

#endif
