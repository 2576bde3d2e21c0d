/* provider/generate: the loop from a prompt to an answer's end, for kinds that choose token after token. */
#ifndef QUORUM_PROVIDER_GENERATE_H
#define QUORUM_PROVIDER_GENERATE_H

#include "provider/provider.h"

/* end: it ends the answer and is no part of it; unnamed: id only tells it from others, nobody else knows it by that. */
typedef struct gen_token { int32_t id; double logprob; bool end, unnamed; const prov_likely *likely; int n_likely; } gen_token;   /* likely: until the next choice */
/* Where tokens come from. All in the thread of the request. */
typedef struct gen_source {
    void *self;
    int (*ready)(void *self, char *err);                 /* makes up for what a new configuration took away; Q_CANCEL */
    int (*room)(void *self);                             /* tokens that still fit */
    int (*choose)(void *self, gen_token *out, char *err);
    void (*spell)(void *self, int32_t token, q_buf *out);/* appends its bytes, maybe less than a whole character; -1: what is left at the end */
    int (*push)(void *self, int32_t token, char *err);   /* evaluates it; Q_CANCEL */
    long (*stops)(void *self, const char *text, size_t n);   /* as eng_stop_scan */
    int (*max_tokens)(void *self);                       /* 0: none */
    int (*budget)(void *self);                           /* tokens of thinking, then it is closed; 0: none; NULL: none */
    int (*close)(void *self, int32_t *out, int max);     /* the tokens that close a thought: how many, at most max */
    void (*fed)(void *self);                             /* tell hooks.position what was evaluated; may be NULL */
    /* Behind a thought: what the answer's text is, in order, appended to text, to call (of a call being written) or think; n 0: its
     * end. True: a call was made so far. NULL: all of it is text. */
    bool (*hear)(void *self, const char *p, size_t n, q_buf *text, q_buf *call, q_buf *think);
    const char *think, *unthink;                         /* how a thought begins and ends as text; NULL: it does not think */
    bool thinking;                                       /* the answer begins inside a thought */
    bool raw;                                            /* blanks at its beginning are kept */
} gen_source;

/* r: counted on from what it holds; finish is set. Q_OK, but for PROV_FAILED. */
int gen_answer(const gen_source *, const prov_hooks *, int answer, prov_result *r, char *err);

#endif
