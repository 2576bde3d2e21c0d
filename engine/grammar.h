/* engine: grammars. What a text may be, said as GBNF (llama.cpp's form) or as a JSON schema, and made into one constant form that
 * any thread may read. How it holds a reply: eng_sampler_grammar in engine.h, and the knob sampler.grammar. Errors: base.h.
 *
 * JSON is written so: properties in the order of `properties`, then those that only `required` names, then others; white space
 * is "" or " " or a line break with up to 20 blanks or tabs, behind { [ , : and before } ]; bounded numbers without exponent and, with a
 * fraction, in at most 15 digits or as many as the bounds have; whole ones without a fraction; strings that a pattern, format or length bounds, and names of
 * properties, without \u where another way is shorter. What a schema asks and this cannot hold is refused by name, never left out. */
#ifndef QUORUM_GRAMMAR_H
#define QUORUM_GRAMMAR_H

#include "base/base.h"

typedef struct eng_grammar eng_grammar;

enum eng_grammar_kind { ENG_GRAMMAR_ANY /* { begins a schema */, ENG_GRAMMAR_GBNF, ENG_GRAMMAR_SCHEMA };
enum { ENG_GRAMMAR_BYTES = 64 << 10 };   /* of a text at most */
/* A rule that a GBNF text may use by name: what this JSON schema allows. */
typedef struct eng_grammar_rule { const char *name, *schema; } eng_grammar_rule;
typedef struct eng_grammar_source {      /* all of it is read and let go */
    enum eng_grammar_kind kind;
    const char *text; size_t n;
    const eng_grammar_rule *rule; int n_rule;
    /* NULL: the grammar holds from the first byte to the last. Else anything may be written until this comes, as letters or as the
     * control token of that name; then the grammar holds, and from its first end on anything again. */
    const char *trigger;
} eng_grammar_source;

/* Q_FORMAT, Q_RANGE: a sentence with line and column. */
int eng_grammar_new(const eng_grammar_source *, eng_grammar **out, char *err);
/* What a reply may be that may call these tools, in a format of eng_calls_format: any text, in which each call that begins names one of them and
 * has the arguments that its schema allows. Where these are no JSON object ("Qwen3-Coder", "GLM-4.5", "Llama 4 pythonic") what the schema's own
 * "properties" have with the type "string" is text as it stands, and the schema has its keywords of values below properties. Q_NOTFOUND: a format
 * that is not held; Q_FORMAT: a schema that is not. A text whose schema allows more than 2000 letters may have any number: whoever runs the tool
 * counts them. */
int eng_grammar_calls(const char *format, const eng_grammar_rule *tool, int n, eng_grammar **out, char *err);
void eng_grammar_free(eng_grammar *);
/* The whole text is one of the grammar's. A control token stands in it as the byte 0xFF, its name, the byte 0xFE. */
bool eng_grammar_accepts(const eng_grammar *, const char *text, size_t n);

#endif
