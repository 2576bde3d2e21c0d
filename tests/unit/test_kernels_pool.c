/* The worker pool: every task runs exactly once, workers keep their own numbers, cancel leaves nothing
 * running, and jobs of all sizes follow each other while workers come and go from sleep. */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "base/base.h"
#include "kernels/cpu/pool.h"
#include "tests/test.h"

enum { MOST = 300 };
typedef struct job { atomic_int runs[MOST]; atomic_int inside[8]; atomic_int bad; atomic_int *cancel; int cancel_at; int n_threads; } job;

static void count(void *arg, int task, int worker)
{
    job *j = arg;
    if (worker < 0 || worker >= j->n_threads || atomic_fetch_add(&j->inside[worker], 1)) atomic_fetch_add(&j->bad, 1);
    atomic_fetch_add(&j->runs[task], 1);
    if (j->cancel && task == j->cancel_at) atomic_store(j->cancel, 1);
    /* Later tasks wait for that one, however the threads are scheduled. */
    for (int64_t end = q_now_ns() + 60 * INT64_C(1000000000); j->cancel && task > j->cancel_at && !atomic_load(j->cancel); sched_yield())
        if (q_now_ns() > end) { atomic_fetch_add(&j->bad, 1); break; }
    for (volatile int i = 0; i < task % 7 * 50; i++) {}
    atomic_fetch_sub(&j->inside[worker], 1);
}

static void every_task_runs_once(void)
{
    for (int threads = 1; threads <= 5; threads++) {
        pool *p = pool_new(threads);
        CHECK_INT(pool_threads(p), threads);
        static job j;
        for (int round = 0; round < 400; round++) {
            int n = round * 37 % MOST;
            memset(&j, 0, sizeof j);
            j.n_threads = threads;
            CHECK_INT(pool_run(p, n, count, &j, NULL), 0);
            int wrong = 0;
            for (int i = 0; i < MOST; i++) wrong += atomic_load(&j.runs[i]) != (i < n);
            CHECK_INT(wrong, 0);
            CHECK_INT(atomic_load(&j.bad), 0);
            if (round % 50 == 0) nanosleep(&(struct timespec){ 0, 2000000 }, NULL);   /* let them fall asleep */
        }
        pool_free(p);
    }
}

static void cancel_leaves_nothing_running(void)
{
    pool *p = pool_new(4);
    static job j;
    atomic_int flag;
    for (int round = 0; round < 300; round++) {
        memset(&j, 0, sizeof j);
        atomic_store(&flag, 0);
        j.n_threads = 4;
        j.cancel = &flag;
        j.cancel_at = round % 60;
        CHECK_INT(pool_run(p, MOST, count, &j, &flag), Q_CANCEL);
        int twice = 0, ran = 0;
        for (int i = 0; i < MOST; i++) { twice += atomic_load(&j.runs[i]) > 1; ran += atomic_load(&j.runs[i]); }
        CHECK_INT(twice, 0);
        /* Each of the three other workers may have claimed one task more, or one less: counted, not timed. */
        CHECK_MSG(ran >= j.cancel_at - 2 && ran <= j.cancel_at + 4, "%d ran, cancelled in %d", ran, j.cancel_at);
        CHECK_INT(atomic_load(&j.bad), 0);
        for (int i = 0; i < 4; i++) CHECK_INT(atomic_load(&j.inside[i]), 0);
        CHECK_INT(pool_run(p, 5, count, &j, &flag), Q_CANCEL);                        /* still set: nothing starts */
    }
    atomic_store(&flag, 0);
    memset(&j, 0, sizeof j);
    j.n_threads = 4;
    CHECK_INT(pool_run(p, MOST, count, &j, &flag), 0);
    for (int i = 0; i < MOST; i++) CHECK_INT(atomic_load(&j.runs[i]), 1);
    pool_free(p);
}

/* Some tasks take so long that the caller falls asleep over the others'; somebody else cancels now and then. What tasks write without
 * an atomic is the caller's to read afterwards, and a job that says it was done is done. */
typedef struct slow_job { int wrote[40]; int slow; } slow_job;
typedef struct flips { atomic_int flag, stop; } flips;

static void write_slowly(void *arg, int task, int worker)
{
    slow_job *j = arg;
    j->wrote[task]++;
    if (j->slow && task % j->slow == 0) nanosleep(&(struct timespec){ 0, 300000 }, NULL);
}

static void *flip(void *arg)
{
    flips *f = arg;
    for (uint64_t x = 7; !atomic_load(&f->stop); x = q_mix64(x, 1)) {
        nanosleep(&(struct timespec){ 0, (long)(50000 + x % 700000) }, NULL);
        atomic_store(&f->flag, 1);
        nanosleep(&(struct timespec){ 0, (long)(x % 100000) }, NULL);
        atomic_store(&f->flag, 0);
    }
    return NULL;
}

static void the_caller_sleeps_and_is_woken(void)
{
    flips f = { 0 };
    pthread_t other;
    CHECK_INT(pthread_create(&other, NULL, flip, &f), 0);
    uint64_t x = 3;
    for (int threads = 2; threads <= 6; threads += 2) {
        pool *p = pool_new(threads);
        for (int round = 0; round < 200; round++) {
            slow_job j = { .slow = round % 4 ? 0 : 1 + (int)((x = q_mix64(x, 2)) % 5) };
            int n = (int)((x = q_mix64(x, 3)) % 40), ran = 0, twice = 0, rc = pool_run(p, n, write_slowly, &j, round % 2 ? &f.flag : NULL);
            for (int i = 0; i < 40; i++) ran += j.wrote[i], twice += j.wrote[i] > 1 || (i >= n && j.wrote[i]);
            CHECK_MSG(!twice && (rc == Q_CANCEL ? ran <= n : rc == 0 && ran == n), "%d threads, round %d: %d of %d ran, %d", threads, round, ran, n, rc);
            CHECK(round % 2 || rc == 0);
        }
        pool_free(p);
    }
    atomic_store(&f.stop, 1);
    pthread_join(other, NULL);
}

int main(void)
{
    RUN(every_task_runs_once);
    RUN(the_caller_sleeps_and_is_woken);
    RUN(cancel_leaves_nothing_running);
    return TEST_END();
}
