/* provider/answer: the answers to one request of a model in this process: sampler, grammar, calls, thoughts, what could have come instead, and
 * the echo of a prompt. Where the tokens are evaluated it is told by a table: the conversation's timeline (local.c), or one of several
 * (many.c). One thread a talk. */
#ifndef QUORUM_PROVIDER_ANSWER_H
#define QUORUM_PROVIDER_ANSWER_H

#include "provider/inprocess.h"

typedef struct talk talk;
typedef struct talk_way {                /* all return 0 or an error; Q_CANCEL ends the answer */
    /* Makes talk.text evaluated, its last token's logits there; fills result.cached_tokens, calls talk_prefill on its way, and talk_row for each
     * position where talk.rows is set (anew is then set too). first: of an answer; else what a new setting took away is made up for. */
    int (*prompt)(void *self, talk *, bool first, char *err);
    bool (*stale)(void *self);           /* something was taken away */
    int (*push)(void *self, talk *, int32_t token, char *err);     /* evaluates it behind the text, to which it is added */
    const float *(*logits)(void *self);  /* [n_vocab] or NULL */
    int (*room)(void *self, const talk *);
    void (*fed)(void *self, talk *);     /* tells hooks.position what was evaluated since */
} talk_way;
typedef struct talk_sampler { eng_sampler *s; uint64_t held; /* names the grammar that it was given last; 0: none */ } talk_sampler;

struct talk {
    local *l;
    const prov_request *r;
    const prov_hooks *hooks;
    const eng_config *c;                 /* what holds; a way may exchange it between two tokens */
    const talk_way *way;
    void *self;
    talk_sampler *sampler;
    eng_tokens *text;                    /* prompt and answer so far */
    prov_result *result;
    bool rows, anew;                     /* logits of all the prompt's positions are wanted; none of it may be found evaluated */
    /* answer.c's own */
    int n_prompt;
    eng_detok detok;
    eng_calls *calls;                    /* what hears them in this answer, or NULL */
    struct hearing *hearing;
    bool opens;                          /* a thought may begin the answer */
    struct echoed *echoed;               /* [n_prompt] of an echo */
    prov_likely likely[PROV_TOP];
    q_buf spelt;                         /* their texts */
};

/* Answers r.n times to the prompt, which text becomes each time. */
int talk_answer(talk *, const int32_t *prompt, int n, prov_result *out, char *err);
uint64_t talk_grammar(const talk *);     /* names what its answers are held to; 0: nothing but the knob */
/* An eng_trace_read's fn: one evaluated position for hooks.position; user is the talk. */
bool talk_position(void *user, const eng_trace_rec *);
void talk_row(talk *, int pos, const float *logits);
void talk_spell(const eng_model *, int32_t token, q_buf *out);     /* as prov_spell */

#endif
