/* engine/jinja/lex: a template cut into tokens, as jinja2's lexer does with trim_blocks and lstrip_blocks. Private to engine/jinja. */
#ifndef QUORUM_JINJA_LEX_H
#define QUORUM_JINJA_LEX_H

#include "engine/jinja/value.h"

enum jt { JT_DATA, JT_VAR_BEGIN, JT_VAR_END, JT_BLOCK_BEGIN, JT_BLOCK_END, JT_NAME, JT_STRING, JT_INT, JT_FLOAT, JT_OP, JT_EOF };
typedef struct jtoken { uint8_t type; int line, col; char op[4]; jv value; } jtoken;     /* value: text of data, strings and names, numbers */
typedef struct jtokens { jtoken *v; int n, cap; } jtokens;

jtokens jl_read(jx *, const char *p, size_t n);
size_t jl_blank(const char *p, size_t n);      /* bytes of the white space (str.isspace) that begins here, 0: none */
size_t jl_rstrip(const char *p, size_t n);     /* what is left of p without white space at its end */

#endif
