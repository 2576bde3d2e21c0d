/* engine/run/session: one timeline over a cache, as the files that move it see it. Its owner is the thread of its cache.
 * Private to engine and its tests; it never grows into a second interface. */
#ifndef QUORUM_SESSION_H
#define QUORUM_SESSION_H

#include "engine/run/cache.h"
#include "engine/run/draft.h"
#include "engine/run/next.h"
#include "engine/run/trace.h"

struct eng_session {
    eng_cache *cache;
    cache_user user;                   /* its logits: of the last token, under `continue` perhaps as its former cell had them */
    uint64_t logits_of;                /* chain of the cell that they came from */
    eng_config *config;
    uint64_t hash, seed;               /* of config, and of its position knobs                        */
    unsigned adapters;                 /* lora_version when hash was made */
    kv_line line;                      /* evaluated cells: line.n <= n_tokens                          */
    int32_t *tokens;                   /* [context] the timeline; cells missing after a knob's change are
                                          evaluated by the next step                                   */
    int n_tokens, context, chunk;
    double rate;                       /* tokens a second of the last prefill chunk; 0 = unknown      */
    trace *trace;
    eng_speed speed;
    uint16_t *rec_ids;                 /* [n_layer][n_expert] one record, compacted */
    float *rec_f;                      /* weights [n_layer][n_expert], entropy, margin [n_layer] */
    draft_pays drafts;
    draft_ahead ahead;
    next_line *next;                   /* draft mtp; NULL until it is used */
    int next_rest;                     /* there was no memory for it: so many steps pass before it is asked for again */
    int16_t seq;                       /* its number in the step at hand, step.c's */
};

/* step.c: what the line's last cell has given, NULL: nothing; and whether the logits at hand are still that cell's, with none lacking: after a
 * change under `continue` that exchanged or dropped the cells they are not, however the cells come back. */
void step_logits(eng_session *, const float *logits);
bool step_logits_fit(const eng_session *);

/* Adapters of the model may have come or gone since the last call: the hash of the configuration is that of what acts now. First of all in
 * a call. */
void step_fresh(eng_session *);

/* What was evaluated ahead is let go, unjudged. Before the line or the cache's pages change. */
void step_ahead_drop(eng_session *);

/* Q_RANGE with a sentence where an id is not in the vocabulary. */
int step_check_tokens(const eng_session *, const int32_t *tokens, int n, char *err);
/* Evaluates what the line lacks of the tokens, in chunks; logits: those of the last row are wanted. */
int step_catch_up(eng_session *, bool logits, void (*progress)(void *user, int done, int total), void *user, char *err);
/* One token more, after what is missing. With drafts (knob draft) and logits wanted, what may follow is evaluated with it. */
int step_push(eng_session *, int32_t token, unsigned want, char *err);

/* For tests: rows of a prefill chunk, 1 to ENG_STEP_ROWS (the result never depends on it); the configuration that made a
 * cached cell; how many cells are cached. */
void session_set_chunk(eng_session *, int rows);
uint64_t session_cell_config(const eng_session *, int cell);
int session_cells(const eng_session *);

#endif
