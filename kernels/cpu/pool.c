/* kernels/cpu/pool: see pool.h. Each worker has a range of the tasks that follow one another, and takes them from its front; who
 * has none left takes from the back of the longest. A range is one word (job number, end, front), so a claim is one
 * compare-and-swap that also proves the job read beside it is still the current one. A worker that slept through a
 * job therefore costs nothing. No lock; no state outside the pool. */
#include "kernels/cpu/pool.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

enum { TASK_BITS = 21, SPINS = 1500 };
#define TASK_MASK ((UINT64_C(1) << TASK_BITS) - 1)

struct pool_range { _Alignas(64) _Atomic uint64_t word; };      /* gen << 42 | end << 21 | front */

struct pool {
    struct pool_range *range;                      /* [n_threads]                               */
    _Alignas(64) _Atomic uint64_t job;             /* gen of the newest; its ranges are there   */
    _Alignas(64) _Atomic uint32_t done;            /* tasks finished or given up, of this job   */
    _Atomic uint32_t caller_sleeps;
    _Alignas(64) _Atomic uint32_t wake;            /* futex word of the workers                 */
    _Atomic uint32_t sleepers;
    _Atomic bool quit;
    _Alignas(64) _Atomic(pool_fn) fn;              /* the job: written only while no task is open */
    _Atomic(void *) arg;
    _Atomic uint32_t n_tasks;
    _Atomic(const atomic_int *) cancel;
    _Atomic uint32_t cancelled;
    int n_threads;
    struct pool_worker { pool *p; int id; pthread_t thread; } *worker;   /* [n_threads], 0 unused */
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint32_t range_end(uint64_t t) { return (uint32_t)(t >> TASK_BITS & TASK_MASK); }
static uint32_t range_front(uint64_t t) { return (uint32_t)(t & TASK_MASK); }
static uint32_t range_left(uint64_t t) { return range_end(t) - range_front(t); }

static void pool_finish(pool *p, uint32_t n, uint32_t n_tasks)
{
    uint32_t d = atomic_fetch_add(&p->done, n) + n;
    assert(d <= n_tasks);                          /* no task is finished twice */
    if (d == n_tasks && atomic_load(&p->caller_sleeps)) futex_wake(&p->done, 1);
}

/* The worker's own range, or else the longest; *t: its word. NULL: nothing is open. */
static struct pool_range *open_range(pool *p, int id, uint64_t *t)
{
    *t = atomic_load_explicit(&p->range[id].word, memory_order_acquire);
    if (range_left(*t)) return &p->range[id];
    struct pool_range *best = NULL;
    for (int i = 0; i < p->n_threads; i++) {
        uint64_t other = atomic_load_explicit(&p->range[i].word, memory_order_acquire);
        if (range_left(other) > (best ? range_left(*t) : 0)) {
            best = &p->range[i];
            *t = other;
        }
    }
    return best;
}

/* Takes all that is left of every range. Some task of this job is the caller's and unfinished, so the job cannot change. */
static uint32_t give_up(pool *p)
{
    uint32_t n = 0;
    for (int i = 0; i < p->n_threads; i++) {
        uint64_t t = atomic_load(&p->range[i].word);
        while (range_left(t) && !atomic_compare_exchange_weak(&p->range[i].word, &t, t + range_left(t))) {}
        n += range_left(t);
    }
    return n;
}

/* Claims and runs tasks until none is open. */
static void pool_work(pool *p, int id)
{
    uint64_t t;
    for (struct pool_range *r; (r = open_range(p, id, &t)) != NULL; ) {
        pool_fn fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&p->arg, memory_order_relaxed);
        const atomic_int *cancel = atomic_load_explicit(&p->cancel, memory_order_relaxed);
        uint32_t n = atomic_load_explicit(&p->n_tasks, memory_order_relaxed);
        bool own = r == &p->range[id];
        uint32_t task = own ? range_front(t) : range_end(t) - 1;
        /* `cancel` may be stale until the swap proves the job current, so the flag is read after it: a
         * claim under cancel takes one task and then gives up all that are left. */
        if (!atomic_compare_exchange_weak(&r->word, &t, own ? t + 1 : t - (UINT64_C(1) << TASK_BITS))) continue;
        if (cancel && atomic_load_explicit(cancel, memory_order_relaxed)) {
            atomic_store_explicit(&p->cancelled, 1, memory_order_relaxed);
            pool_finish(p, 1 + give_up(p), n);
            return;
        }
        fn(arg, (int)task, id);
        pool_finish(p, 1, n);
    }
}

static void *pool_main(void *user)
{
    struct pool_worker *w = user;
    pool *p = w->p;
    int spins = 0;
    uint64_t seen = 0, job;
    while (!atomic_load(&p->quit)) {
        if ((job = atomic_load_explicit(&p->job, memory_order_acquire)) != seen) {
            seen = job;
            pool_work(p, w->id);
            spins = 0;
        } else if (spins < SPINS) {
            spins++;
            cpu_relax();
        } else {                                   /* pairs with pool_run: job then sleepers */
            uint32_t woken = atomic_load(&p->wake);
            atomic_fetch_add(&p->sleepers, 1);
            if (atomic_load(&p->job) == seen && !atomic_load(&p->quit)) futex_wait(&p->wake, woken);
            atomic_fetch_sub(&p->sleepers, 1);
            spins = 0;
        }
    }
    return NULL;
}

int pool_cores(void)
{
    int n = q_cores();
    return n > POOL_MAX_THREADS ? POOL_MAX_THREADS : n;
}

pool *pool_new(int n_threads)
{
    if (n_threads <= 0) n_threads = pool_cores();
    if (n_threads > POOL_MAX_THREADS) n_threads = POOL_MAX_THREADS;
    pool *p = aligned_alloc(64, sizeof *p);
    if (!p) return NULL;
    *p = (pool){ .n_threads = 1, .range = aligned_alloc(64, sizeof *p->range * (size_t)n_threads) };
    if (!p->range) {
        free(p);
        return NULL;
    }
    for (int i = 0; i < n_threads; i++) atomic_init(&p->range[i].word, 0);
    p->worker = q_alloc(sizeof *p->worker * (size_t)n_threads);
    for (int i = 1; i < n_threads; i++) {
        p->worker[i] = (struct pool_worker){ .p = p, .id = i };
        if (pthread_create(&p->worker[i].thread, NULL, pool_main, &p->worker[i])) {
            pool_free(p);
            return NULL;
        }
        p->n_threads = i + 1;
    }
    return p;
}

pool *pool_new_most(int n_threads)
{
    pool *p = pool_new(n_threads);
    for (int n = (n_threads > 0 ? n_threads : pool_cores()) / 2; !p && n > 0; n /= 2) p = pool_new(n);
    return p;
}

void pool_free(pool *p)
{
    if (!p) return;
    atomic_store(&p->quit, true);
    atomic_fetch_add(&p->wake, 1);
    futex_wake(&p->wake, POOL_MAX_THREADS);
    for (int i = 1; i < p->n_threads; i++) pthread_join(p->worker[i].thread, NULL);
    free(p->worker);
    free(p->range);
    free(p);
}

int pool_threads(const pool *p) { return p->n_threads; }

int pool_run(pool *p, int n_tasks, pool_fn fn, void *arg, const atomic_int *cancel)
{
    assert(n_tasks >= 0 && n_tasks <= POOL_MAX_TASKS);
    if (n_tasks <= 1 || p->n_threads == 1) {
        for (int i = 0; i < n_tasks; i++) {
            if (cancel && atomic_load_explicit(cancel, memory_order_relaxed)) return Q_CANCEL;
            fn(arg, i, 0);
        }
        return cancel && atomic_load_explicit(cancel, memory_order_relaxed) ? Q_CANCEL : Q_OK;
    }
    atomic_store_explicit(&p->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&p->cancel, cancel, memory_order_relaxed);
    atomic_store_explicit(&p->cancelled, 0, memory_order_relaxed);
    atomic_store(&p->done, 0);
    atomic_store(&p->caller_sleeps, 0);
    atomic_store_explicit(&p->n_tasks, (uint32_t)n_tasks, memory_order_relaxed);
    uint64_t job = atomic_load_explicit(&p->job, memory_order_relaxed) + 1, gen = job << 2 * TASK_BITS;
    for (int i = 0; i < p->n_threads; i++) {
        assert(!range_left(atomic_load(&p->range[i].word)));         /* one job at a time */
        uint64_t end = (uint64_t)n_tasks * (uint64_t)(i + 1) / (uint64_t)p->n_threads, front = (uint64_t)n_tasks * (uint64_t)i / (uint64_t)p->n_threads;
        atomic_store_explicit(&p->range[i].word, gen | end << TASK_BITS | front, memory_order_release);
    }
    atomic_store(&p->job, job);
    uint32_t asleep = atomic_load(&p->sleepers);
    if (asleep) {
        atomic_fetch_add(&p->wake, 1);
        futex_wake(&p->wake, (int)(asleep < (uint32_t)n_tasks ? asleep : (uint32_t)n_tasks - 1));
    }
    pool_work(p, 0);
    for (int spins = 0; atomic_load(&p->done) != (uint32_t)n_tasks; spins++) {
        if (spins < SPINS) { cpu_relax(); continue; }
        atomic_store(&p->caller_sleeps, 1);
        uint32_t seen = atomic_load(&p->done);
        if (seen != (uint32_t)n_tasks) futex_wait(&p->done, seen);
        atomic_store(&p->caller_sleeps, 0);
    }
    return atomic_load_explicit(&p->cancelled, memory_order_relaxed) ? Q_CANCEL : Q_OK;
}
