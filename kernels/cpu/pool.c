/* kernels/cpu/pool: see pool.h. The ticket holds (job number, tasks, next task) in one word, so a claim
 * is one compare-and-swap that also proves the job read beside it is still the current one. A worker
 * that slept through a job therefore costs nothing. No lock; no state outside the pool. */
#include "kernels/cpu/pool.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

enum { TASK_BITS = 21, SPINS = 1500 };
#define TASK_MASK ((UINT64_C(1) << TASK_BITS) - 1)

struct pool {
    _Alignas(64) _Atomic uint64_t ticket;          /* gen << 42 | n_tasks << 21 | next          */
    _Alignas(64) _Atomic uint32_t done;            /* tasks finished or given up, of this job   */
    _Atomic uint32_t caller_sleeps;
    _Alignas(64) _Atomic uint32_t wake;            /* futex word of the workers                 */
    _Atomic uint32_t sleepers;
    _Atomic bool quit;
    _Alignas(64) _Atomic(pool_fn) fn;              /* the job: written only while no task is open */
    _Atomic(void *) arg;
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

static uint32_t ticket_tasks(uint64_t t) { return (uint32_t)(t >> TASK_BITS & TASK_MASK); }
static uint32_t ticket_next(uint64_t t) { return (uint32_t)(t & TASK_MASK); }
static bool ticket_open(uint64_t t) { return ticket_next(t) < ticket_tasks(t); }

static void pool_finish(pool *p, uint32_t n, uint32_t n_tasks)
{
    uint32_t d = atomic_fetch_add(&p->done, n) + n;
    assert(d <= n_tasks);                          /* no task is finished twice */
    if (d == n_tasks && atomic_load(&p->caller_sleeps)) futex_wake(&p->done, 1);
}

/* Claims and runs tasks until none is open. */
static void pool_work(pool *p, int id)
{
    uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
    while (ticket_open(t)) {
        pool_fn fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&p->arg, memory_order_relaxed);
        const atomic_int *cancel = atomic_load_explicit(&p->cancel, memory_order_relaxed);
        uint32_t n = ticket_tasks(t), next = ticket_next(t);
        /* `cancel` may be stale until the swap proves the job current, so the flag is read after it: a
         * claim under cancel takes one task and then gives up all that are left. */
        if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1)) continue;
        if (cancel && atomic_load_explicit(cancel, memory_order_relaxed)) {
            atomic_store_explicit(&p->cancelled, 1, memory_order_relaxed);
            uint32_t given_up = 1;
            t = atomic_load(&p->ticket);
            for (;;) {                             /* our own task is unfinished: the job cannot change */
                uint32_t left = n - ticket_next(t);
                if (!left) break;
                if (atomic_compare_exchange_weak(&p->ticket, &t, t + left)) { given_up += left; break; }
            }
            pool_finish(p, given_up, n);
            return;
        }
        fn(arg, (int)next, id);
        pool_finish(p, 1, n);
        t = atomic_load_explicit(&p->ticket, memory_order_acquire);
    }
}

static void *pool_main(void *user)
{
    struct pool_worker *w = user;
    pool *p = w->p;
    int spins = 0;
    while (!atomic_load(&p->quit)) {
        if (ticket_open(atomic_load_explicit(&p->ticket, memory_order_acquire))) {
            pool_work(p, w->id);
            spins = 0;
        } else if (spins < SPINS) {
            spins++;
            cpu_relax();
        } else {                                   /* pairs with pool_run: ticket then sleepers */
            uint32_t seen = atomic_load(&p->wake);
            atomic_fetch_add(&p->sleepers, 1);
            if (!ticket_open(atomic_load(&p->ticket)) && !atomic_load(&p->quit)) futex_wait(&p->wake, seen);
            atomic_fetch_sub(&p->sleepers, 1);
            spins = 0;
        }
    }
    return NULL;
}

int pool_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > POOL_MAX_THREADS ? POOL_MAX_THREADS : n;
}

pool *pool_new(int n_threads)
{
    if (n_threads <= 0) n_threads = pool_cores();
    if (n_threads > POOL_MAX_THREADS) n_threads = POOL_MAX_THREADS;
    pool *p = aligned_alloc(64, sizeof *p);
    if (!p) return NULL;
    *p = (pool){ .n_threads = 1 };
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

void pool_free(pool *p)
{
    if (!p) return;
    atomic_store(&p->quit, true);
    atomic_fetch_add(&p->wake, 1);
    futex_wake(&p->wake, POOL_MAX_THREADS);
    for (int i = 1; i < p->n_threads; i++) pthread_join(p->worker[i].thread, NULL);
    free(p->worker);
    free(p);
}

int pool_threads(const pool *p) { return p->n_threads; }

int pool_run(pool *p, int n_tasks, pool_fn fn, void *arg, const atomic_int *cancel)
{
    assert(n_tasks >= 0 && n_tasks <= POOL_MAX_TASKS && !ticket_open(atomic_load(&p->ticket)));   /* one job at a time */
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
    uint64_t gen = (atomic_load(&p->ticket) >> 2 * TASK_BITS) + 1;
    atomic_store(&p->ticket, gen << 2 * TASK_BITS | (uint64_t)n_tasks << TASK_BITS);
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
