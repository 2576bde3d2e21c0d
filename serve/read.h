/* serve/read: what is asked: a body of any bytes as a request of the provider, or the fault that names its field. It knows nothing of
 * lines nor models. Private to serve; any thread. */
#ifndef QUORUM_SERVE_READ_H
#define QUORUM_SERVE_READ_H

#include "provider/provider.h"
#include "serve/fault.h"

#include <cjson/cJSON.h>

typedef struct read_prompt { const char *text; size_t n; int32_t *id; int n_id; } read_prompt;      /* id: instead of a text; NULL: a text */
typedef struct read_knob { char field[64]; const char *name; char *value; } read_knob;              /* in the order of the request */
enum { READ_PROMPTS = 128, READ_ANSWERS = 128, READ_MESSAGES = 10000, READ_TOOLS = 128, READ_CALLS = 4096, READ_VALUES = 1 << 20, READ_STOPS = 16, READ_STOP_BYTES = 4096, READ_TOP = PROV_TOP };

typedef struct read_ask {                /* read_free; its texts live as long */
    cJSON *json;
    prov_request r;                      /* of a conversation as it stands; raw and config are whoever asks's */
    prov_grammar grammar;                /* r.grammar, where there is one */
    const char *model;                   /* NULL: not said */
    bool chat, stream, usage, logprobs, routed, ids;
    bool forced;                         /* the answer is {"name":…,"arguments":…}: a call */
    bool one_call;                       /* at most one call */
    bool continues;                      /* the last message is the answer's beginning */
    int routed_from;                     /* the first position that is told of */
    read_prompt *prompt; int n_prompt;   /* of a text that goes on */
    read_knob *knob; int n_knob;
    void **own; int n_own;
} read_ask;

/* The JSON object of a body, which is followed by a 0; NULL: f says why not. cJSON_Delete. */
cJSON *read_object(const char *body, size_t n, fault *f);
/* Q_OK or Q_ERR with the fault. Freed in either case by read_free. */
int read_ask_of(bool chat, const char *body, size_t n, read_ask *out, fault *f);
void read_free(read_ask *);

/* For the smaller requests: each takes a field of an object. */
int read_bool(const cJSON *v, const char *field, bool *out, fault *f);
int read_whole(const cJSON *v, const char *field, double min, double max, double *out, fault *f);
int read_text(const cJSON *v, const char *field, const char **out, fault *f);
/* Ids of tokens, malloc'ed. */
int read_ids(const cJSON *v, const char *field, int32_t **out, int *n, fault *f);
/* "messages" into a->r. */
int read_messages(read_ask *a, const cJSON *v, fault *f);

#endif
