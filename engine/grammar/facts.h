/* engine/grammar/facts: what several JSON schemas that hold at once ask of a value, kind by kind. Private to engine. */
#ifndef QUORUM_FACTS_H
#define QUORUM_FACTS_H

#include "engine/grammar/decimal.h"
#include "engine/grammar/json.h"
#include "engine/grammar/letters.h"

/* Schemas that hold at once. The values belong to the text that was read. */
typedef struct facts { const json **v; int n, cap; } facts;
void facts_add(facts *, const json *);   /* once */
void facts_copy(facts *to, const facts *from);
void facts_free(facts *);

typedef struct facts_text { const char *text; char *err; } facts_text;   /* what sentences speak of */
int facts_wrong(const facts_text *, const json *at, const char *what);
/* Every keyword of a schema is one that can be held, and has a value of its kind. Q_FORMAT. */
int facts_check(const facts_text *, const json *schema, bool root);

enum facts_kind { FACTS_NULL = 1, FACTS_BOOL = 2, FACTS_WHOLE = 4, FACTS_BROKEN = 8, FACTS_STRING = 16, FACTS_ARRAY = 32, FACTS_OBJECT = 64, FACTS_ALL = 127 };
unsigned facts_kinds(const facts *);
int facts_numbers(const facts_text *, const facts *, decimal_bound *lo, decimal_bound *hi);
/* Length in code points; most -1: any. letters: what pattern and format allow beyond that, *has false: everything. */
int facts_strings(const facts_text *, const facts *, long *least, long *most, letters *out, bool *has);
/* The largest of a keyword's numbers that are least, the smallest of those that are most (-1: none). */
long facts_least(const facts *, const char *key);
long facts_most(const facts *, const char *key);
/* enum and const: the values that all of them list and the rest allows. *has false: nothing is listed. */
int facts_values(const facts_text *, const facts *, facts *out, bool *has);
bool facts_equal(const json *a, const json *b);

#endif
