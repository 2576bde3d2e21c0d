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
/* How likely tokens are, and their ids, as the JSON that they will be: a tenth of what objects of it would take. Zero-initialise. */
typedef struct write_rows { q_buf list[4], ids; } write_rows;
/* One more token. bytes: as it is spelt; offset: characters of the text before it. Returns the bytes that came. */
size_t write_row(write_rows *, bool chat, const q_buf *bytes, int offset, const prov_piece *);
size_t write_id(q_buf *ids, int32_t token);
cJSON *write_rows_take(write_rows *, bool chat);         /* emptied; NULL: there are none */
cJSON *write_ids(const q_buf *ids);                      /* a list; NULL: there are none */
void write_rows_free(write_rows *);
/* Prints and deletes it: safe JSON, as an event or with a line's end. */
void write_out(cJSON *, bool event, q_buf *out);

#endif
