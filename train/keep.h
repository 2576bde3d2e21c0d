/* train/keep: a run's checkpoints in a folder: the numbers, AdamW's means, how far it is and the curve so far, in one file that carries its
 * kind, version and a hash of itself. Written beside, made durable, renamed; the last two stay. Private to train/. */
#ifndef QUORUM_TRAIN_KEEP_H
#define QUORUM_TRAIN_KEEP_H

#include "train/low.h"

typedef struct keep_row { double loss, heldout /* NAN: not measured */, lr; uint64_t tokens /* of examples so far */; } keep_row;   /* of a step, from the first on */
typedef struct kept {
    uint64_t terms;                    /* hash of data and settings: what a run may only go on with */
    int64_t step;                      /* done so far; rows of the curve */
    keep_row *row;                     /* [room] */
    int64_t room;
    double first;                      /* held-out loss before the first step; NAN: none */
} kept;

/* The newest checkpoint of the folder that is whole, into l and k (row grows); Q_NOTFOUND: there is none; Q_RANGE: it is another run's; Q_FORMAT: all are
 * damaged. */
int keep_read(const char *folder, lows *l, kept *k, char *err);
int keep_write(const char *folder, const lows *l, const kept *k, char *err);
void keep_row_add(kept *k, keep_row r);
/* curve.csv of all rows, whole; then a line for each further one. */
int keep_curve(const char *folder, const kept *k, bool anew, char *err);

#endif
