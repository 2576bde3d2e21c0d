/* engine/run/cache: what several timelines of one model share: the backend's context, the page pool and the slots of
 * configurations; and one forward pass over rows of them. One thread, except the cancel flag. Private to engine.
 * It never chooses a token, knows no text, and keeps no timeline: sessions do. */
#ifndef QUORUM_CACHE_H
#define QUORUM_CACHE_H

#include "engine/engine.h"
#include "engine/run/kv.h"
#include "engine/run/model.h"

enum { CACHE_SLOTS = 256 };

/* A timeline's logits. They lie in the context until its next batch, then in `kept`, which the timeline owns. */
typedef struct cache_user {
    struct cache_user *next;
    const float *logits;               /* NULL: none */
    float *kept;                       /* [n_vocab] or NULL */
} cache_user;

typedef struct cache_slot { uint64_t hash, used; } cache_slot;

struct eng_cache {
    eng_model *m;
    enum ker_kv_type type;
    int context, timelines;            /* what the pool was made for */
    bool private_;                     /* goes with its last timeline */
    atomic_int cancel;
    ker_ctx *ctx;
    kv_pool *pool;
    cache_user *users;
    cache_slot slot[CACHE_SLOTS];      /* configurations that the context holds, by hash */
    int n_slot;
    unsigned adapters;                 /* lora_version when they were put there */
    uint64_t clock;                    /* batches so far, and settings between them */
    eng_fetched fetched;
    struct cache_batch *batch;
};

typedef struct cache_seq { kv_line *line; uint64_t seed; const int32_t *each; /* as ker_seq.state_each */ } cache_seq;

typedef struct cache_row {             /* rows of one seq follow one another */
    int32_t token;
    int16_t seq;
    uint8_t want;                      /* ker_want flags */
    const eng_config *config;
    uint64_t hash;                     /* of config */
    const uint16_t *forced;            /* NULL, or for each layer at forced + layer * forced_step up to forced_k ids */
    size_t forced_step;
    int forced_k;
} cache_row;

/* Pages for `timelines` lines of c's context.length, of its kv.type. */
int cache_pool(const eng_model *m, const eng_config *c, int timelines, kv_pool **out, char *err);
/* Would such a pool fit in the place of the cache's own? Q_NOMEM: no; err is left alone where the device does not say what it has. */
int cache_pool_instead(const eng_cache *, const eng_config *c, char *err);
/* The slot that holds c (hash: its), put there when it is new. */
int cache_slot_of(eng_cache *, const eng_config *c, uint64_t hash, int16_t *slot, char *err);
/* The same outside of a batch. */
int cache_hold(eng_cache *, const eng_config *c, uint64_t hash, char *err);
/* Evaluates the rows, 1 to ENG_STEP_ROWS, after the cells of their lines. keep: they are cells then; else the lines are
 * as before. Logits of users that still lie in the context are saved first. out is valid until the next call.
 * Q_CANCEL and Q_NOMEM (no page is free) come without a sentence: only the caller knows what was asked for. */
int cache_forward(eng_cache *, const cache_seq *seqs, int n_seq, const cache_row *rows, int n, bool keep, bool prompt,
                  ker_out *out, char *err);
/* The sentence for a failed cache_forward. */
int cache_failed(const eng_cache *, int rc, char *err);
/* Cells for tokens[0..n) of an empty line, which nobody evaluated: numbers that are small and otherwise any, for measuring what comes behind them
 * (madeup.c). A token behind them costs what it does behind real ones, but for a choice of experts of its own. Q_RANGE: the model has recurrent layers. */
int cache_make_up(eng_cache *, kv_line *, const int32_t *tokens, int n, uint64_t seed, uint64_t hash, char *err);
const float *cache_keep(const eng_cache *, cache_user *);      /* its logits lie in `kept` then */
void cache_join(eng_cache *, cache_user *);
void cache_leave(eng_cache *, cache_user *);           /* frees a private cache with its last user */

#endif
