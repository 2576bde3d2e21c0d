/* serve/write: answers and their chunks as JSON. Private to serve. */
#ifndef QUORUM_SERVE_WRITE_H
#define QUORUM_SERVE_WRITE_H

#include "provider/provider.h"

#include <cjson/cJSON.h>

typedef struct write_head { const char *id, *model; int64_t created; bool chat, stream; } write_head;
typedef struct write_usage { int prompt, cached, tokens, thinking; } write_usage;

cJSON *write_open(const write_head *);           /* with an empty list "choices" */
/* Adds a choice to it; finish NULL: not yet. *in: where texts go: its message, its delta, itself. logprobs is taken; NULL: none. */
cJSON *write_choice(cJSON *whole, const write_head *, int index, const char *finish, cJSON *logprobs, cJSON **in);
void write_text(cJSON *in, const char *name, const char *p, size_t n);
cJSON *write_call(const char *id, const prov_call *, int index /* -1: of a whole answer */);
void write_add_usage(cJSON *whole, const write_usage *);         /* NULL: null, as chunks have it before the last */
cJSON *write_logprobs(bool chat);
/* One more token. bytes: as it is spelt; offset: characters of the text before it. */
void write_logprob(cJSON *logprobs, bool chat, const q_buf *bytes, int offset, const prov_piece *);
/* Prints and deletes it: safe JSON, as an event or with a line's end. */
void write_out(cJSON *, bool event, q_buf *out);

#endif
