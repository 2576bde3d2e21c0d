/* kernels/cpu/mat_vnni: the products with AVX-512 and VNNI without VBMI (Cascade Lake, Cooper Lake). Everything is in mat_512*.h. No state; any
 * thread; runs only where cpu.c found VNNI. */
#include "kernels/cpu/mat_isa.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

#include "kernels/cpu/mat_512_vnni.h"
#include "kernels/cpu/mat_512.h"

const mat_isa *mat_isa_vnni(void)
{
    static const mat_isa isa = TABLE("avx512-vnni");
    return &isa;
}
