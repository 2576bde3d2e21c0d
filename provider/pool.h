/* provider/pool: several timelines of one model over one cache, stepped together. A thread of its own is the cache's; each stream's thread
 * hands in what it wants evaluated and sleeps until a pass took some of it.
 *
 * Who is in a pass: every stream that handed something in. Streams that go on by one token have a row each; prompts share what the pass may
 * have beside them, evenly: so many rows as take no longer than the pass without them (a second's worth where nobody goes on), 16 at least,
 * ENG_STEP_ROWS in all. A prompt that begins as an older one in the same pass waits for what that one evaluates, and shares it.
 * Whom a pass waits for: streams that the last one served are choosing, or in their callers' hooks; it waits until all are back, but no longer
 * than a quarter of the last pass's time, 1 ms at least and 50 at most. Who is later is away, and nobody waits for it until it is back.
 * Room: the cells of one context.length are shared. A text begins only where its pages are free, in the order of coming, or where nobody else could
 * go on. Where pages run out on the way, a stream gives its own up: first the youngest that is away, else the youngest; it is evaluated
 * anew when there is room, to the same bits. The oldest one in a pass is never put off: there is always one that gets on. Pages that nobody
 * holds keep what they have until they are needed, the longest unused first: so finished texts are beginnings of others.
 * Cells serve only under the settings that made them. What a stream gets depends on no other stream, bit for bit. */
#ifndef QUORUM_PROVIDER_POOL_H
#define QUORUM_PROVIDER_POOL_H

#include "engine/engine.h"
#include "provider/provider.h"

typedef struct pool pool;
typedef struct pool_stream pool_stream;

/* c: copied; its context.length and kv.type are the cache's, its threads everybody's. */
int pool_open(eng_model *, const eng_config *c, int streams, pool **out, char *err);
void pool_close(pool *);                 /* NULL is fine; after its streams */
void pool_cancel(pool *, bool on);       /* [any] all that waits or runs returns Q_CANCEL, until it is off */
eng_session *pool_anchor(pool *);        /* a timeline that lives as long: what samplers watch */
prov_load pool_load(pool *);
void pool_tell(pool *, const prov_result *, bool first);     /* of an answer that ended; first: of its request */
int pool_used(pool *);                   /* cells that streams hold */
/* Nothing is evaluated between these two but by their caller. */
void pool_hold(pool *);
void pool_let_go(pool *);

/* ---- one stream; its thread ---- */
typedef bool pool_go(void *user);        /* asked a few times a second while it waits; false: Q_CANCEL */
/* Waits for one of the places, in order. c outlives the stream. Q_RANGE: these settings cannot be had in this cache. */
int pool_enter(pool *, const eng_config *c, pool_go *go, void *user, pool_stream **out, char *err);
void pool_leave(pool_stream *);          /* NULL is fine */
/* The text that the stream's timeline is to be, n tokens, whatever it was. anew: no cell of another serves it. row (NULL: none; with anew only)
 * is told the logits of every position, in the pool's thread. Nothing is evaluated yet. Q_RANGE: it never fits. */
int pool_begin(pool_stream *, const int32_t *token, int n, bool anew, void (*row)(void *user, int pos, const float *logits), void *user, char *err);
/* Waits for a pass that evaluates some of token[0..n), which begins with what was begun or evaluated before: how many are evaluated now; n: all, and
 * the logits are there. */
int pool_feed(pool_stream *, const int32_t *token, int n, char *err);
const float *pool_logits(const pool_stream *);   /* [n_vocab] after the last token; until the next pool_feed */
int pool_found(const pool_stream *);     /* of the text that was begun: tokens whose cells were there */
eng_session *pool_session(pool_stream *);        /* for eng_trace_read; from the first pool_feed on */

#endif
