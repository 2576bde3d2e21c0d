/* kernels/cpu/mat_dotprod: the products with sdot (FEAT_DotProd), four products of bytes a lane and instruction. Everything else
 * is in mat_neon*.h. No state; any thread; runs only where cpu.c found it. */
#include "kernels/cpu/mat_neon_blocks.h"

INLINE int32x4_t dot16(int32x4_t acc, int8x16_t w, int8x16_t a) { return vdotq_s32(acc, w, a); }

#include "kernels/cpu/mat_neon_rows.h"

const mat_isa *mat_isa_dotprod(void)
{
    static const mat_isa isa = {
        .name = "neon-dotprod",
        .mul = {
#define KER_BLOCK(id, ...) [id] = mul_rows,
#include "kernels/types.def"
        },
    };
    return &isa;
}
