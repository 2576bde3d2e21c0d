/* engine/run/kept: what recurrent layers remember after some cell of a timeline: states in a backend's memory, never changed once
 * they are settled, counted by the lines that stand on them, and kept at borders that somebody may come back to. A state is
 * found again by the chain of its last cell and how many cells it covers: that names all that made it. Private to
 * engine/run/kv.c, which alone knows lines; same thread. It never looks at numbers inside a state. */
#ifndef QUORUM_KEPT_H
#define QUORUM_KEPT_H

#include "kernels/kernels.h"

typedef struct kept kept;
enum kept_why { KEPT_NOT, KEPT_ON_THE_WAY /* in a long text */, KEPT_BORDER /* of a turn */ };

kept *kept_new(const ker_backend *be, ker_dev *dev, ker_kv *kv);   /* NULL: the model has no recurrent layers. Borrows all three */
void kept_free(kept *);
/* What all states together may take, in bytes: kept ones go before that is passed. What lines stand on is always there. */
void kept_limit(kept *, uint64_t bytes);
/* A state to be written, held once: its number as the backend has it, or a q_result. Where room is needed, kept states go: those not
 * `here` first, then those on the way, then borders, of each the one that was met longest ago. */
int kept_take(kept *, bool (*here)(const void *user, int n, uint64_t chain), const void *user, char *err);
/* The same for what is only tried, but that no border `here` goes for it: where those take the whole limit it comes beside it, and is
 * given back some steps after the last one was tried. */
int kept_take_beside(kept *, bool (*here)(const void *user, int n, uint64_t chain), const void *user, char *err);
void kept_settle(kept *, int state, int n, uint64_t chain);        /* it is written: after n cells, the last one's chain */
void kept_hold(kept *, int state);                                  /* 0 is fine here and below */
void kept_drop(kept *, int state);
void kept_keep(kept *, int state, enum kept_why why);               /* also when nobody holds it; never weaker than before */
/* The settled state of most cells, at most n, whose chain is `chain(user, cells)`; 0: none. */
int kept_find(const kept *, int n, uint64_t (*chain)(const void *user, int n), const void *user, int *covers);
int kept_covers(const kept *, int state);                           /* cells */
/* The last `most` states that are settled on a line (`here` says so), in the order of their cells; how many. */
int kept_list(const kept *, bool (*here)(const void *user, int n, uint64_t chain), const void *user, int *state, int most);
uint64_t kept_bytes(const kept *, int *count, uint64_t *each);      /* of all, spares too; count: what is kept or stood on */

#endif
