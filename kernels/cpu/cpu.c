/* kernels/cpu/cpu: what this processor can do, which path was chosen, and how fast it reads memory.
 * Owns the one process-wide choice of instruction set (an atomic; ker_cpu_force is for tests and bench,
 * before open). It never runs a product. */
#include "kernels/cpu/cpu.h"
#include "kernels/kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__x86_64__)
static const char *const level_name[CPU_LEVELS] = { "scalar", "avx2", "avx512", "avx512-vnni" };
#elif defined(__aarch64__)
static const char *const level_name[CPU_LEVELS] = { "scalar", "", "", "" };
#else
static const char *const level_name[CPU_LEVELS] = { "scalar", "", "", "" };
#endif

static atomic_int forced = -1;

static enum cpu_level best_level(void)
{
#if defined(__x86_64__)
    unsigned a, b, c = 0, d;                         /* F16C: bit 29 (not every compiler's builtin knows its name) */
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
          __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1)))
        return CPU_SCALAR;
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")))
        return CPU_AVX2;
    if (!(__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi")))
        return CPU_AVX512;
    return CPU_VNNI;
#else
    return CPU_SCALAR;
#endif
}

enum cpu_level cpu_level(void)
{
    static atomic_int best = -1;                     /* asked once: cpuid traps in virtual machines */
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

/* ---- read bandwidth ---- */

typedef struct reader {
    pthread_t thread;
    const uint64_t *p;
    size_t n;                      /* words */
    pthread_barrier_t *start;
    uint64_t sum;
} reader;

/* Sixteen words a step: wide enough that the loads, not the adds, are the limit. */
typedef uint64_t words8 __attribute__((vector_size(64), aligned(8), may_alias));

static uint64_t read_words(const uint64_t *p, size_t n)
{
    words8 a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a += *(const words8 *)(p + i);
        b += *(const words8 *)(p + i + 8);
        c += *(const words8 *)(p + i + 16);
        d += *(const words8 *)(p + i + 24);
    }
    a = a + b + c + d;
    uint64_t s = 0;
    for (int k = 0; k < 8; k++)
        s += a[k];
    return s;
}

static void *reader_main(void *arg)
{
    reader *r = arg;
    pthread_barrier_wait(r->start);
    r->sum = read_words(r->p, r->n);
    return NULL;
}

static double read_once(int n_threads, uint64_t *mem, size_t words, uint64_t *sink)
{
    reader *r = q_alloc(sizeof *r * (size_t)n_threads);
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)n_threads);
    size_t part = words / (size_t)n_threads;
    for (int i = 0; i < n_threads; i++)
        r[i] = (reader){ .p = mem + (size_t)i * part, .n = part, .start = &start };
    int started = 1;
    for (; started < n_threads; started++)
        if (pthread_create(&r[started].thread, NULL, reader_main, &r[started]))
            break;
    double bytes_per_s = 0;
    if (started == n_threads) {
        pthread_barrier_wait(&start);
        int64_t t0 = q_now_ns();
        r[0].sum = read_words(r[0].p, r[0].n);
        for (int i = 1; i < n_threads; i++)
            pthread_join(r[i].thread, NULL);
        int64_t ns = q_now_ns() - t0;
        bytes_per_s = (double)part * 8 * n_threads / ((double)(ns > 0 ? ns : 1) * 1e-9);
        for (int i = 0; i < n_threads; i++)
            *sink += r[i].sum;
    } else {                       /* not all came: let those go that wait */
        for (int i = 1; i < started; i++)
            pthread_cancel(r[i].thread), pthread_join(r[i].thread, NULL);
    }
    pthread_barrier_destroy(&start);
    free(r);
    return bytes_per_s;
}

double ker_cpu_read_bandwidth(int n_threads, size_t bytes)
{
    if (n_threads < 1)
        n_threads = 1;
    size_t words = bytes / 8 / (size_t)n_threads / 32 * 32 * (size_t)n_threads;
    uint64_t *mem = words ? malloc(words * 8) : NULL;
    if (!mem)
        return 0;
    for (size_t i = 0; i < words; i++)               /* real pages, not the shared zero page */
        mem[i] = i * 0x9e3779b97f4a7c15u;
    double best = 0;
    for (int rep = 0; rep < 5; rep++) {
        uint64_t s = 0;
        double v = read_once(n_threads, mem, words, &s);
        best = v > best ? v : best;
        __asm__ volatile("" : : "r"(s));             /* the sum is wanted */
    }
    free(mem);
    return best;
}
