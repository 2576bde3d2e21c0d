/* engine/adapter/lows: an adapter while it is put together, and what it is then: matrices in the model's order, each checked against the
 * model where there is one, with numbers of its own memory. A builder is one thread's; lows_finish makes it constant. Errors: base.h.
 * Private to engine. */
#ifndef QUORUM_LOWS_H
#define QUORUM_LOWS_H

#include "engine/adapter.h"
#include "engine/run/arch.h"

enum { LOWS_NAME = 160 };              /* bytes of a tensor's name that sentences repeat, with the 0 */

typedef struct low_own {               /* one matrix; low.a and low.b are a and b once it is finished */
    eng_low low;
    float *a, *b;                      /* malloc'ed */
    double scale;                      /* low.scale before it was rounded: alpha / rank, alpha / sqrt(rank) */
    char tensor[LOWS_NAME];            /* what the model's file calls the tensor that holds the matrix; "": as arch_tensor_name has it */
} low_own;

struct eng_adapter {
    eng_adapter_info info;             /* strings are those below */
    char *path, *name, *arch, *base, *note, *doubt;
    uint64_t base_id;                  /* eng_info.id of the model it was made for; 0: it does not say */
    double alpha;                      /* of the file, 0: it says none */
    low_own *own;                      /* [n], in the order of low */
    eng_low *low;                      /* [n] */
    int n, cap;
};

eng_adapter *lows_new(const char *path);

/* Whether a change of this role is one that can be computed: a matrix that a row is multiplied by, not the halves of latent attention. */
bool lows_role(enum ker_role role);

/* A matrix of that role, layer, n_expert, n_in, n_out and rank with that scale, its A and B, all zero, for the caller to fill:
 * [n_expert][rank][n_in], [n_expert][n_out][rank]. m NULL: nothing is compared. called: what the file calls it, for sentences. Q_RANGE: another model's;
 * Q_NOMEM. */
int lows_add(eng_adapter *, const eng_model *m, const eng_low *shape, double scale, const char *called, float **a, float **b, char *err);

/* n numbers of n_expert parts into memory of lows_add's: a part that is all zero is not written, so that it takes no page. */
void lows_take(float *to, const float *from, size_t n, int n_expert);

/* The one that was added of that place, NULL: none; until the next lows_add. */
low_own *lows_find(eng_adapter *, enum ker_role role, int layer);

/* Sorts, looks at each number, counts and hashes. Q_FORMAT: nothing is in it, a number is none, or a matrix is there twice. */
int lows_finish(eng_adapter *, char *err);

/* For a model: that of the adapter's architecture, and (tied) the very one where its hash is given. */
int lows_base(const eng_adapter *, const eng_model *m, bool tied, char *err);

/* Fills doubt where the base that it names and what the model calls itself have nothing in common; nothing where its hash says it. */
void lows_doubt(eng_adapter *, const eng_model *m);

const char *lows_arch(const eng_model *m);             /* general.architecture's value */
#endif
