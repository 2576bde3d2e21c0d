/* kernels/cpu/peak: see peak.h. Twelve sums that do not wait for one another hide an instruction's latency (4 cycles at most, two a
 * cycle at most). No state. */
#include "kernels/cpu/peak.h"

#include "base/base.h"
#include "kernels/cpu/cpu.h"
#include "kernels/kernels.h"

#include <time.h>

enum { ROUNDS = 20000 /* some ten to hundred microseconds */ };

typedef struct kind {
    void (*work)(void);                /* ROUNDS times twelve instructions                        */
    int madds;                         /* of one of them                                          */
} kind;

#if defined(__x86_64__)
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/* The registers' numbers do not matter: whole numbers take the same time whatever they are. */
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void vnni(void)
{
#define ONE(i) "vpdpbusd %%zmm13, %%zmm12, %%zmm" #i "\n\t"
    for (int n = 0; n < ROUNDS; n++)
        __asm__ volatile(TWELVE(ONE) ::: "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11");
#undef ONE
}

/* Without that instruction: pairs of products as words, and their sum. */
__attribute__((target("avx512f,avx512bw"))) static void words512(void)
{
#define ONE(i) "vpmaddubsw %%zmm13, %%zmm12, %%zmm14\n\tvpaddw %%zmm14, %%zmm" #i ", %%zmm" #i "\n\t"
    for (int n = 0; n < ROUNDS; n++)
        __asm__ volatile(TWELVE(ONE) ::: "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm14");
#undef ONE
}

__attribute__((target("avx2"))) static void words256(void)
{
#define ONE(i) "vpmaddubsw %%ymm13, %%ymm12, %%ymm14\n\tvpaddw %%ymm14, %%ymm" #i ", %%ymm" #i "\n\t"
    for (int n = 0; n < ROUNDS; n++)
        __asm__ volatile(TWELVE(ONE) ::: "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9", "ymm10", "ymm11", "ymm14");
#undef ONE
}

static const kind kinds[CPU_LEVELS] = { [CPU_AVX2] = { words256, 32 }, [CPU_AVX512] = { words512, 64 }, [CPU_VNNI] = { vnni, 64 }, [CPU_VBMI] = { vnni, 64 } };
#else
static const kind kinds[CPU_LEVELS] = { { NULL, 0 } };
#endif

typedef struct job { const kind *how; int64_t ns; double rate[POOL_MAX_THREADS]; } job;

/* The thread's own time: what other programs take of it lowers no bound. */
static int64_t own_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void peak_task(void *arg, int task, int worker)
{
    job *j = arg;
    int64_t start = own_ns(), now = start;
    double done = 0;
    for (; now - start < j->ns; now = own_ns(), done += 12.0 * ROUNDS * j->how->madds) j->how->work();
    j->rate[task] = done / ((double)(now - start) * 1e-9);
}

double peak_madds(pool *workers, double seconds)
{
    job j = { .how = &kinds[cpu_level()], .ns = (int64_t)(seconds * 1e9) };
    double sum = 0;
    if (!j.how->work) return 0;
    pool_run(workers, pool_threads(workers), peak_task, &j, NULL);
    for (int i = 0; i < pool_threads(workers); i++) sum += j.rate[i];
    return sum;
}

double ker_cpu_peak(int n_threads, double seconds)
{
    pool *workers = pool_new(n_threads < 1 ? 1 : n_threads);
    double rate = workers ? peak_madds(workers, seconds) : 0;
    pool_free(workers);
    return rate;
}
