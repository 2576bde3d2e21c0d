/* kernels/cpu/act: buffers for prepared activations. See act.h. */
#include "kernels/cpu/act.h"

#include <stdlib.h>

/* A type that wants the kind: the layout of a prepared row depends on nothing else of it. */
static const int type_of[N_ACT] = { [KER_ACT_F32] = KER_F32, [KER_ACT_Q8_32] = KER_Q8_0, [KER_ACT_Q8_256] = KER_Q4_K };

void *act_alloc(size_t n) { return aligned_alloc(64, (n + 127) & ~(size_t)63); }

void acts_free(acts *a)
{
    for (int k = 0; k < N_ACT; k++) free(a->p[k]);
}

bool acts_make(acts *a, unsigned kinds, int64_t rows, int64_t n_in)
{
    for (int k = 0; k < N_ACT; k++) {
        if (!(kinds >> k & 1)) continue;
        a->stride[k] = mat_act_bytes(type_of[k], n_in);
        if (!(a->p[k] = act_alloc((size_t)(rows * a->stride[k])))) return false;
    }
    return true;
}

void acts_put(const acts *a, unsigned kinds, int64_t r, const float *x, int64_t n_in)
{
    for (int k = 0; k < N_ACT; k++)
        if (kinds >> k & 1) mat_act(type_of[k], x, n_in, a->p[k] + r * a->stride[k]);
}
