/* kernels/cpu/act: rows of prepared activations, one buffer for each kind that some weight asks for. The
 * owner of an `acts` frees it; rows are written by workers between begin and end. */
#ifndef QUORUM_CPU_ACT_H
#define QUORUM_CPU_ACT_H

#include "kernels/cpu/mat.h"
#include "kernels/kernels.h"

enum { N_ACT = KER_ACT_Q8_256 + 1 };

typedef struct acts { uint8_t *p[N_ACT]; int64_t stride[N_ACT]; } acts;    /* p NULL: no weight wants that kind */

static inline enum ker_act mat_kind(const mat *w) { return ker_type_get(w->type)->act; }

/* Buffers for `rows` rows of n_in in every kind of `kinds` (bits of ker_act); false: no memory. */
bool acts_make(acts *, unsigned kinds, int64_t rows, int64_t n_in);
void acts_free(acts *);
/* Row r of every kind in `kinds`, from n_in numbers. */
void acts_put(const acts *, unsigned kinds, int64_t r, const float *x, int64_t n_in);

void *act_alloc(size_t n);         /* aligned to 64, at least one byte; large ones in huge pages; for free(); NULL: no memory */

#endif
