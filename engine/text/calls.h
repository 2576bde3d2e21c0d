/* engine/text/calls: in which format a template wants tools to be called, and an answer heard in it piece by piece. Formats are rows.
 * However an answer is cut into pieces, the same is heard. Private to engine; other rooms use eng_calls_*. */
#ifndef QUORUM_CALLS_H
#define QUORUM_CALLS_H

#include "engine/text.h"

typedef struct call_format call_format;
const call_format *calls_find(const char *template_text, size_t n);      /* NULL: none that is known */
const char *calls_format_name(const call_format *);                        /* "Hermes" */
bool calls_always(const call_format *);        /* its answers are in channels, with tools or without */
bool calls_mark(const call_format *, const char *token);      /* a control token that the format needs to hear */
int calls_end(const call_format *, const char *token);         /* 1: this token ends an answer in it, 0: it does not, -1: as ever */
uint64_t calls_work(const eng_calls *);        /* bytes looked at or moved so far: a few for each that came (tests) */
eng_calls *calls_new(const call_format *, const eng_tool *, int n, const eng_heard *);

#endif
