/* engine/text/own: conversations in the template that a model's file carries, run as engine/jinja has it, as ids: what the template
 * writes may become control tokens, what anybody said never does. Pure; any thread. Private to engine. */
#ifndef QUORUM_OWN_H
#define QUORUM_OWN_H

#include "engine/jinja/jinja.h"
#include "engine/text/vocab.h"

typedef struct own_token { const char *bos, *eos; int64_t now; } own_token;      /* as jinja_in has them */
/* Reads the template and tries one question: *out NULL with a sentence in err where nothing can be said with it. */
void own_open(const char *text, size_t n, jinja **out, char *err);
/* Appends the conversation. What the template refuses is tried again in the forms that templates differ in: arguments of calls as
 * text, the system's words in the first question and turns of one side joined. */
int own_write(const jinja *, const vocab *, const own_token *, const eng_talk *, eng_tokens *out, char *err);
/* A call that the template writes is heard in this format as what it was: so will be those that the model writes. */
struct call_format;
bool own_calls(const jinja *, const own_token *, const struct call_format *);
bool own_takes_tools(const jinja *, const own_token *);        /* a tool that is offered stands in the prompt */

#endif
