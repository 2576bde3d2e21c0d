/* kernels/cuda/decode: few rows (n <= CU_FEW): the launches of a part fused where shapes and types allow, each behind a
 * predicate; parts.cu has what stands behind them. See cuda.h. */
#include "kernels/cuda/cuda.h"

bool cu_few_part(ker_ctx *c, int part, int layer)
{
    return false;
}
