/* engine/jinja/print: values as text, as Python's str, repr and json.dumps write them. Private to engine/jinja. */
#ifndef QUORUM_JINJA_PRINT_H
#define QUORUM_JINJA_PRINT_H

#include "engine/jinja/value.h"

void jp_str(jb *, jv);
void jp_repr(jb *, jv);
jv jp_to_str(jx *, jv);                /* a string stays what it is */
typedef struct jp_json { bool ascii, sort; const jstr *indent, *item, *key; } jp_json;   /* NULL: as json.dumps has it */
void jp_dump(jb *, jv, const jp_json *);
bool jp_printable(uint32_t cp);        /* str.isprintable */

#endif
