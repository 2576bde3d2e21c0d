/* agent/past: answers of the branch, and their positions as they were when they were made: in the context that still holds
 * them, or evaluated again. Engine thread. */
#ifndef QUORUM_AGENT_PAST_H
#define QUORUM_AGENT_PAST_H

#include "agent/room.h"
#include "rag/rag.h"

struct prompt;

/* ---- origin.c: what an answer was made from, kept with its routing (mem_trace.made): JSON ---- */
typedef struct origin_run { int n; uint64_t hash; char *json; } origin_run;        /* cells of the prompt in a row that one configuration made */
typedef struct origin {                    /* origin_free */
    bool there;                          /* it was written down */
    int n;                               /* tokens of the prompt, */
    uint64_t ids;                        /* and their hash */
    int64_t from;                        /* the branch's first message in it; 0: the root, or what stands behind the summary */
    int64_t compaction;                  /* the version of a summary in it; 0: none */
    char *system, *prefix;               /* prefix: of one without a frame */
    bool base, recompute;                /* no frame; context.policy */
    rag_fed *fed; int n_fed;
    origin_run *run; int n_run;            /* 0: it is not known who made the cells */
    struct origin_turn { int at; origin_run *run; int n_run; } *turn; int n_turn;      /* before its token `at`, rising, all cells were made anew, by these */
} origin;
/* Before it is asked; NULL: who answers tells no tokens. origin_runs when the prompt is evaluated: as text, malloc'ed; takes it. */
struct cJSON *origin_begin(agt *, const struct prompt *, const rag_result *found, bool recompute);
char *origin_runs(agt *, struct cJSON *);
/* All cells of the prompt and of `tokens` of the answer were made anew: written down behind made, malloc'ed or NULL, which it takes. */
char *origin_turned(agt *, char *made, int tokens);
void origin_read(const char *text, origin *out);             /* text may be NULL, or anything */
void origin_free(origin *);
uint64_t origin_hash(const int32_t *ids, int n);

/* ---- past.c ----
 * Where rope.* or kv.type turned in the answer, or each change evaluates the context anew, its tokens stand in several contexts,
 * parts: what came after a token is asked about in the part of the token that came. */
typedef struct answer_at {               /* an answer that is asked about; answer_done */
    const mem_message *m;                /* of the branch, not owned */
    mem_trace *t;
    int number, of, place;               /* among the branch's answers, from 1; its index in chat.path */
    struct eng_session *s;               /* answer_hold: its timeline */
    int read, off;                       /* tokens that were evaluated again for it now; from which of its tokens on it came out otherwise than
                                            recorded, -1: none */
} answer_at;
/* "@N " at the beginning of *text: which answer, from 1, or from the end with a minus; it is taken off. 0: none is named. */
int answer_named(const char **text, int *number, char *err);
/* Is the word a token of an answer of n, from 1, from the end with a minus, or 0, what stands before the first? Then *at is it from 0,
 * and *rc Q_RANGE with a sentence where there is none. */
bool answer_token(const char *word, int n, int *at, int *rc, char *err);
/* number 0: the last that has routing. */
int answer_find(agt *, int number, answer_at *out, char *err);
void answer_done(answer_at *);
/* Q_OK: what is evaluated already has its token `at` (from 0; -1: what stands before the first) as it was made. Else why not. */
int answer_near(agt *, answer_at *, int at, char *err);
/* The same, evaluating it again where it must be; what that costs is said first, under this name. Q_RANGE: it cannot be made again, and
 * why. */
int answer_hold(agt *, answer_at *, int at, const char *what, char *err);
/* The same for the tokens from `from` on, up to which a part begins, and *to, where it ends. */
int answer_hold_part(agt *, answer_at *, int from, int *to, const char *what, char *err);
/* Tokens that answer_hold would evaluate; 0: none, or it cannot. */
int answer_cost(agt *, const answer_at *);
/* For a page: what was evaluated for it, and where that is not what was recorded. */
void answer_said(const answer_at *, int at, q_buf *out, struct cJSON *json);
/* JSON of the configuration that made the cell of token i of it (-1: of what stands before the first) when what came after it was
 * chosen; malloc'ed. */
char *answer_made_by(agt *, const answer_at *, int i);
void past_drop(agt *);                   /* gives back the memory of what was evaluated again */

#endif
