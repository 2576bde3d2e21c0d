/* kernels/cpu/mat: the way from a product to the instruction set that brings it. No state, any thread. */
#include "kernels/cpu/mat.h"

#include "kernels/cpu/cpu.h"

#include <string.h>

static const mat_isa *isa_at(enum cpu_level l)
{
    switch (l) {
#if defined(__x86_64__)
    case CPU_VBMI: return mat_isa_vbmi();
    case CPU_VNNI: return mat_isa_vnni();
    case CPU_AVX512: return mat_isa_avx512();
    case CPU_AVX2: return mat_isa_avx2();
#elif defined(__aarch64__)
    case CPU_I8MM: return mat_isa_i8mm();
    case CPU_DOTPROD: return mat_isa_dotprod();
    case CPU_NEON: return mat_isa_neon();
#endif
    default: return l == CPU_SCALAR ? mat_isa_scalar() : NULL;
    }
}

void mat_act(int type, const float *x, int64_t n_in, void *dst)
{
    enum ker_act act = ker_type_get(type)->act;
    if (act == KER_ACT_F32) {
        memcpy(dst, x, (size_t)n_in * 4);
        return;
    }
    for (int l = (int)cpu_level();; l--) {
        const mat_isa *isa = isa_at((enum cpu_level)l);
        if (isa && isa->act_q8) {
            isa->act_q8(act == KER_ACT_Q8_32 ? 32 : 256, x, n_in, dst);
            return;
        }
    }
}

void mat_mul(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1,
             float *y, int64_t y_stride, void *scratch)
{
    for (int l = (int)cpu_level();; l--) {
        const mat_isa *isa = isa_at((enum cpu_level)l);
        if (isa && isa->mul[w->type]) {
            isa->mul[w->type](w, act, act_stride, n, o0, o1, y, y_stride, scratch);
            return;
        }
    }
}
