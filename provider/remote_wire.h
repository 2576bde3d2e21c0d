/* provider/remote_wire: the words of /v1/chat/completions: a request as JSON, and what its answer's chunks say. No line is opened here
 * and nothing is trusted: what a server sends may be anything. Private to provider; any thread. */
#ifndef QUORUM_PROVIDER_REMOTE_WIRE_H
#define QUORUM_PROVIDER_REMOTE_WIRE_H

#include "provider/provider.h"

/* ---- what is asked ---- */
typedef struct wire_ask {
    const char *model;
    const prov_request *r;
    const prov_config *c;
    uint64_t seed;                       /* 0: none is sent */
    bool plain;                          /* only what every server knows: one refused the rest */
    const char *thinks;                  /* the field in which the request's thoughts are said; NULL: they are not */
    int n;                               /* so many answers at once, where it is more than one; not said plainly */
    bool ids, routes;                    /* with the ids of tokens (vLLM), with the experts of each position (SGLang) */
} wire_ask;
char *wire_request(const wire_ask *);    /* malloc'ed */
/* The same tokens read once more, for which experts ran in them from position `from` on (vLLM tells that in no stream). */
char *wire_reread(const char *model, const int32_t *id, int n, int from);
/* Just the messages, for /tokenize. */
char *wire_messages(const char *model, const prov_request *);

/* ---- what comes ---- */
typedef struct wire_token { int32_t id; double logprob; size_t n; } wire_token;      /* id -1, logprob NAN: not said; n: bytes of its text */
typedef struct wire_call { q_buf id, name, arguments; size_t told; /* bytes of the arguments that were handed on */ } wire_call;
typedef struct wire_reply {              /* zero-initialise; wire_free */
    q_buf text, thought;                 /* that the last chunk brought; whoever takes them clears them */
    const char *thinks;                  /* the field in which thoughts came, if it can be sent back; NULL: none came so. Static */
    wire_token *token; int n_token;      /* likewise */
    wire_call *call; int n_call;         /* the calls, as far as they have come */
    char finish[32];                     /* "stop", "length", "tool_calls", …; "": not yet */
    bool stop_string;                    /* one of ours ended it */
    int prompt_tokens, cached_tokens, tokens;        /* usage; 0: not said */
    char *routed;                        /* experts of positions, as they were sent: base64 or JSON lists; NULL */
    int32_t *prompt_id; int n_prompt_id; /* the prompt's ids, where they are said */
    int32_t *id; int n_id;               /* the answer's so far */
} wire_reply;
void wire_free(wire_reply *);
/* One chunk, or a whole answer. Q_FORMAT: it is no JSON of that kind; Q_ERR: the server says what went wrong, err has its words. */
int wire_chunk(wire_reply *, const char *json, size_t n, char *err);
/* Gives the tokens of the last chunk the ids that came with it; named: how many ids had come before. */
void wire_name(wire_reply *, int named);
/* What an error's body says, one clean line of at most 300 bytes, malloc'ed; "": nothing that is for people. */
char *wire_words(const char *body, size_t n);

/* ---- lists ---- */
enum wire_kind { WIRE_OTHER, WIRE_LLAMA, WIRE_VLLM, WIRE_SGLANG, WIRE_QUORUM };      /* llama-server; our own */
typedef struct wire_model { char *name; int context; enum wire_kind of; } wire_model;      /* context 0: not said */
bool wire_begins(enum wire_kind);        /* an answer's beginning may be given: by continue_final_message, as vLLM and SGLang have it */
/* /v1/models; *out malloc'ed, names too. At most 1000. */
int wire_models(const char *body, size_t n, wire_model **out, int *count, char *err);
int wire_count(const char *body, size_t n);      /* /tokenize; -1: it does not say */
int wire_context(const char *body, size_t n);    /* /props of llama-server; 0: it does not say */

#endif
