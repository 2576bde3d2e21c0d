/* engine/run/ondisk: a model whose routed experts stay in its file and are read when the router chooses them (--weights-ram). A part
 * of the budget holds some of each layer's experts in slots, those that were chosen lately and often (LRFU: Lee et al., IEEE
 * Transactions on Computers 50(12), 2001); all other weights lie where the file is mapped, and are counted. To the kernels it is a
 * ker_source; numbers do not depend on what is read when. Private to engine.
 *
 * It owns the slots and a reader. Several contexts of one model may ask at once, each by a thread of its own (the callbacks); a pass
 * holds experts of one layer, all at once or none, and while it waits for room it holds only what it then runs with, so whoever it
 * waits for goes on. A read that fails ends the pass that needs it (Q_IO, ondisk_why); the next one reads again. */
#ifndef QUORUM_ONDISK_H
#define QUORUM_ONDISK_H

#include "engine/run/model.h"
#include "engine/run/reader.h"

typedef struct ondisk ondisk;

enum { ONDISK_LEAST = 0 };
/* What a budget comes to. Bytes. */
typedef struct ondisk_plan {
    bool whole;                        /* all weights are within it: nothing is to be read later           */
    bool fits;                         /* `least` is within it                                             */
    uint64_t rest;                     /* weights that every token may use, those made at load included    */
    uint64_t experts, expert;          /* routed experts: all; the largest one                             */
    uint64_t least;                    /* rest and the experts of a token in each layer, with their slots  */
    uint64_t slots;                    /* of the slots                                                     */
    double share;                      /* of the experts that have a slot, over all layers                 */
    uint64_t token;                    /* experts of a token at the model's own k                          */
} ondisk_plan;
/* budget ONDISK_LEAST: `least`, whatever that is, and never `whole`. Of an open model, or of one that model_check looks at; false: it has no experts that could stay, being dense or carved. n_slot
 * (may be NULL): [n_layer] slots of each layer. */
bool ondisk_plan_make(const eng_model *m, uint64_t budget, ondisk_plan *out, int *n_slot);

/* For a plan that fits and is not whole. Before the weights are added; the model's file stays open meanwhile. */
int ondisk_new(const eng_model *m, uint64_t budget, ondisk **out, char *err);
void ondisk_free(ondisk *);            /* after the device that has it as a source */
ker_source ondisk_source(ondisk *);
void ondisk_why(ondisk *, char *err);  /* the last read that failed: a sentence; else untouched */

void ondisk_tell(ondisk *, eng_ondisk *out);          /* any thread */
uint64_t ondisk_room(const ondisk *);                 /* bytes of weights that lie in memory */
/* What is read before a pass asks for it: what its router chose, and what is guessed of the next layer's choice. As it starts: both.
 * Between passes; measurements. */
void ondisk_ahead(ondisk *, bool chosen, bool guessed);
/* Told after each layer's choice, by the thread that made it; it may guess (ondisk_source). Before the first pass; measurements. */
void ondisk_tap(ondisk *, void (*chosen)(void *user, int layer), void *user);
reader *ondisk_reader(ondisk *);                      /* for reader_tap (tests) */
/* What a choice counts for after each further pass over its layer, .5 to 1 (.5: hardly more than recency). Before the first pass;
 * measurements. */
void ondisk_keeps(ondisk *, float share);
/* A victim by lot instead of by use, with this seed (0: by use again): tests, which find no number changed. */
void ondisk_by_lot(ondisk *, uint64_t seed);

#endif
