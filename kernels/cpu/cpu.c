/* kernels/cpu/cpu: what this processor can do and which path was chosen.
 * Owns the one process-wide choice of instruction set (an atomic; ker_cpu_force is for tests and bench,
 * before open). It never runs a product. */
#include "kernels/cpu/cpu.h"
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)
static const char *const level_name[CPU_LEVELS] = { "scalar", "avx2", "avx512", "avx512-vnni", "avx512-vbmi" };
#elif defined(__aarch64__)
static const char *const level_name[CPU_LEVELS] = { "scalar", "neon", "neon-dotprod", "neon-i8mm" };
#else
static const char *const level_name[CPU_LEVELS] = { "scalar" };
#endif

static atomic_int forced = -1;

static enum cpu_level best_level(void)
{
#if defined(__x86_64__)
    static const enum cpu_level of[] = { [Q_ISA_NONE] = CPU_SCALAR, [Q_ISA_AVX2] = CPU_AVX2, [Q_ISA_AVX512] = CPU_AVX512, [Q_ISA_VNNI] = CPU_VNNI, [Q_ISA_VBMI] = CPU_VBMI };
    return of[q_isa()];
#elif defined(__aarch64__)
    enum { DOTPROD = 1 << 20, I8MM = 1 << 13 };      /* HWCAP_ASIMDDP, HWCAP2_I8MM of Linux' asm/hwcap.h, which older headers lack */
    if (!(getauxval(AT_HWCAP) & DOTPROD)) return CPU_NEON;
    return getauxval(AT_HWCAP2) & I8MM ? CPU_I8MM : CPU_DOTPROD;
#else
    return CPU_SCALAR;
#endif
}

enum cpu_level cpu_level(void)
{
    static atomic_int best = -1;                     /* asked once */
    int f = atomic_load_explicit(&forced, memory_order_relaxed);
    if (f < 0 && (f = atomic_load_explicit(&best, memory_order_relaxed)) < 0)
        atomic_store_explicit(&best, f = (int)best_level(), memory_order_relaxed);
    return (enum cpu_level)f;
}

const char *ker_cpu_features(void) { return level_name[cpu_level()]; }

int ker_cpu_force(const char *name)
{
    if (!name) {
        atomic_store(&forced, -1);
        return Q_OK;
    }
    for (int l = CPU_SCALAR; l <= (int)best_level(); l++)
        if (!strcmp(level_name[l], name)) {
            atomic_store(&forced, l);
            return Q_OK;
        }
    return Q_NOTFOUND;
}

const char *ker_cpu_path(int i) { return i >= CPU_SCALAR && i <= (int)best_level() ? level_name[i] : NULL; }
