/* engine/run/trace: the ring of routing records. Owns its bytes and a lock; one writer (the engine thread),
 * readers on any thread. It never waits for a reader: the oldest records give way. Private to engine. */
#ifndef QUORUM_TRACE_H
#define QUORUM_TRACE_H

#include "engine/engine.h"

typedef struct trace trace;
trace *trace_new(size_t budget);
void trace_free(trace *);
/* Copies r; r->seq is ignored and given by the ring. weights, entropy and margin may be NULL together. */
void trace_add(trace *, const eng_trace_rec *r);
uint64_t trace_read(trace *, uint64_t *cursor, bool (*fn)(void *user, const eng_trace_rec *r), void *user);
uint64_t trace_end(trace *);

#endif
