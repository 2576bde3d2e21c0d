/* kernels/cpu/act: buffers for prepared activations. See act.h. */
#include "kernels/cpu/act.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

/* A type that wants the kind: the layout of a prepared row depends on nothing else of it. */
static const int type_of[N_ACT] = { [KER_ACT_F32] = KER_F32, [KER_ACT_Q8_32] = KER_Q8_0, [KER_ACT_Q8_256] = KER_Q4_K };

/* Prompts walk megabytes of these for every few rows of a matrix: in pages of 4 KiB the table of pages is what they wait for. Never
 * more than is asked for, but for the rest of one page: what nobody touches stays nobody's. */
void *act_alloc(size_t n)
{
    void *p = NULL;
    n = (n + 127) & ~(size_t)63;
    if (n >= HUGE_PAGE / 2 && n < HUGE_PAGE) n = HUGE_PAGE;
    if (posix_memalign(&p, n < HUGE_PAGE ? 64 : HUGE_PAGE, n)) return NULL;
    if (n >= HUGE_PAGE) madvise(p, n, MADV_HUGEPAGE);              /* a wish: where there are none it is slower */
    return p;
}

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
