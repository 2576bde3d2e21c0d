/* kernels/cpu/q8: the choice among the sets, and a row of queries. See q8.h. */
#include "kernels/cpu/q8.h"

#include "kernels/cpu/cpu.h"

const q8_ops *q8_get(void)
{
#if defined(__x86_64__)
    enum cpu_level l = cpu_level();
    if (l >= CPU_VNNI) return &q8_vnni;
    if (l >= CPU_AVX2) return &q8_avx2;
#elif defined(__aarch64__)
    if (cpu_level() >= CPU_DOTPROD) return &q8_dotprod;
#endif
    return &q8_scalar;
}

void q8_row_put(const q8_ops *ops, const q8_rows *rows, int i, const float *x, int dim)
{
    q8_rows to = q8_rows_from(rows, i, dim);
    for (int b = 0, d = 0; d < dim; b++, d += Q8_BLOCK) {
        int n = dim - d < Q8_BLOCK ? dim - d : Q8_BLOCK;
        int32_t sum = 0;
        to.scale[b] = ops->block(x + d, n, to.q + d);
        for (int j = 0; j < n; j++) sum += to.q[d + j];
        to.low[b] = 128 * sum;
    }
}
