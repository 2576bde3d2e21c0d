/* engine/grammar/gbnf: grammars as llama.cpp writes them (its grammars/README.md): rules with ::=, alternatives, groups, texts,
 * classes of characters with ranges and escapes, '.', * + ? {m} {m,} {m,n}, comments, <token>. Private to engine. */
#ifndef QUORUM_GBNF_H
#define QUORUM_GBNF_H

#include "engine/grammar/form.h"

/* Adds the text's rules to f, where rules of other names may stand already. Q_FORMAT with line and column. */
int gbnf_read(form *f, const char *text, size_t n, char *err);

#endif
