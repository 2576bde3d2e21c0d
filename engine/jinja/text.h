/* engine/jinja/text: what Python's str does, on strings that know whose they are. Private to engine/jinja. */
#ifndef QUORUM_JINJA_TEXT_H
#define QUORUM_JINJA_TEXT_H

#include "engine/jinja/value.h"

enum { JT_LEFT = 1, JT_RIGHT = 2 };
jv jt_strip(jx *, const jstr *, const jstr *chars, int sides);        /* chars NULL: white space */
jv jt_split(jx *, const jstr *, const jstr *sep, int64_t most, bool from_right);      /* sep NULL: runs of white space; most < 0: all */
jv jt_lines(jx *, const jstr *, bool ends);
long jt_find(const jstr *, const jstr *what, size_t from);            /* a byte, -1: nowhere */
long jt_rfind(jx *, const jstr *, const jstr *what);
jv jt_replace(jx *, const jstr *, const jstr *old, const jstr *with, int64_t most);
bool jt_begins(const jstr *, const jstr *with);
bool jt_ends(const jstr *, const jstr *with);
enum jt_case { JT_UPPER, JT_LOWER, JT_SWAP, JT_CAPITAL, JT_TITLE, JT_HEADLINE };      /* HEADLINE: jinja's filter title */
jv jt_cased(jx *, const jstr *, enum jt_case);
bool jt_is_cased(const jstr *, bool upper);    /* str.isupper, str.islower */
bool jt_all(const jstr *, bool (*of)(uint32_t cp));    /* and not empty */
bool jt_alpha(uint32_t cp);
bool jt_alnum(uint32_t cp);
bool jt_digit(uint32_t cp);
bool jt_space(uint32_t cp);
jv jt_slice(jx *, const jstr *, const int64_t *start, const int64_t *stop, int64_t step);     /* NULL: none given */
jv jt_indent(jx *, const jstr *, const jstr *with, bool first, bool blank);
jv jt_escape(jx *, const jstr *);      /* & < > " ' */
jv jt_pad(jx *, const jstr *, int64_t width, char with, bool left, bool right);       /* blanks to the left, to the right, both: str.center */
/* A slice of n things: where it begins, ends and how it goes, as Python's slice.indices. */
void jt_indices(jx *, int64_t n, const int64_t *start, const int64_t *stop, int64_t step, int64_t *from, int64_t *to);

#endif
