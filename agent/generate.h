/* agent/generate: one answer while it is made; turn.c begins and ends it. Engine thread. */
#ifndef QUORUM_AGENT_GENERATE_H
#define QUORUM_AGENT_GENERATE_H

#include "agent/room.h"

enum part { PART_START, PART_THINK, PART_AFTER, PART_TEXT };

/* An answer repeats itself when its last repetitions of one period fill more than 256 tokens: 8 or more of 2 to 64 tokens
 * (words), 4 or more of 65 to 256 (paragraphs). */
enum { LOOP_PERIOD = 256, LOOP_SHORT = 64, LOOP_TIMES = 8, LOOP_TIMES_LONG = 4, LOOP_TOKENS = 256 };

typedef struct turn {
    agt *a;
    int64_t reply;
    uint64_t seed;
    q_buf text, think, pending;          /* shown; thought; held back until it is clear what it is */
    q_buf out_text, out_think;           /* of the token at hand */
    enum part part;
    eng_detok detok;
    mem_trace *trace;
    int n, n_think;
    mem_stats stats;
    const char *compare;                 /* text of the sibling to compare with, or NULL */
    int differs_at;
    bool hit_stop;
    int32_t tail[LOOP_PERIOD];           /* the last tokens, a ring */
    int same[LOOP_PERIOD + 1];           /* [p] how many tokens on end equalled the one p before */
    int64_t saved_ns, last_ns;
} turn;

/* Tokens until an end, a stop string, a limit or a person's wish. finish: one word for the store, "" = by itself. */
enum mem_status generate(turn *t, const char **finish, char *err);
enum part generate_start(agt *a);
char *generate_config(const turn *t);     /* the present configuration with the answer's seed, as JSON; malloc'ed */
void generate_progress(turn *t);

#endif
