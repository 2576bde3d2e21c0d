/* kernels/cpu/mat_vbmi: the products with AVX-512 and VNNI and VBMI. Everything is in mat_512*.h: what permutes bytes is here alone. No state; any
 * thread; runs only where cpu.c found both. */
#include "kernels/cpu/mat_isa.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

#include "kernels/cpu/mat_512_vnni.h"
#define PERMUTE_BYTES
#include "kernels/cpu/mat_512.h"

const mat_isa *mat_isa_vbmi(void)
{
    static const mat_isa isa = TABLE("avx512-vbmi");
    return &isa;
}
