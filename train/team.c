/* train/team: see team.h. */
#include "train/team.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/base.h"

enum { TEAM_MOST = 256 };

typedef struct worker { team *t; pthread_t thread; int id; } worker;

struct team {
    int n_threads;
    worker *w;                         /* [n_threads]; 0 is the caller */
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    uint64_t job;                      /* counts jobs; under lock */
    int busy;                          /* workers that have not seen the end of the job; under lock */
    bool quit;
    team_fn fn;
    void *arg;
    const team_stop *stop;
    int n;
    atomic_int next;
};

bool team_stopped(const team_stop *s) { return s && (atomic_load(&s->own) || (s->outer && atomic_load(s->outer))); }

static void work(team *t, int id)
{
    for (int task; !team_stopped(t->stop) && (task = atomic_fetch_add(&t->next, 1)) < t->n;) t->fn(t->arg, task, id);
}

static void *worker_main(void *user)
{
    worker *w = user;
    team *t = w->t;
    uint64_t seen = 0;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (t->job == seen && !t->quit) pthread_cond_wait(&t->begin, &t->lock);
        if (t->quit) break;
        seen = t->job;
        pthread_mutex_unlock(&t->lock);
        work(t, w->id);
        pthread_mutex_lock(&t->lock);
        if (--t->busy == 0) pthread_cond_signal(&t->end);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

team *team_new(int n_threads)
{
    if (n_threads <= 0) n_threads = q_cores();
    if (n_threads > TEAM_MOST) n_threads = TEAM_MOST;
    team *t = calloc(1, sizeof *t);
    worker *w = calloc((size_t)n_threads, sizeof *w);
    if (!t || !w) {
        free(t), free(w);
        return NULL;
    }
    t->n_threads = 1;
    t->w = w;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->begin, NULL);
    pthread_cond_init(&t->end, NULL);
    for (int i = 1; i < n_threads; i++) {
        w[i] = (worker){ .t = t, .id = i };
        if (pthread_create(&w[i].thread, NULL, worker_main, &w[i])) break;
        t->n_threads = i + 1;
    }
    return t;
}

void team_free(team *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    t->quit = true;
    pthread_cond_broadcast(&t->begin);
    pthread_mutex_unlock(&t->lock);
    for (int i = 1; i < t->n_threads; i++) pthread_join(t->w[i].thread, NULL);
    pthread_cond_destroy(&t->begin);
    pthread_cond_destroy(&t->end);
    pthread_mutex_destroy(&t->lock);
    free(t->w);
    free(t);
}

int team_threads(const team *t) { return t->n_threads; }

int team_run(team *t, int n, team_fn fn, void *arg, const team_stop *stop)
{
    t->fn = fn;
    t->arg = arg;
    t->stop = stop;
    t->n = n;
    atomic_store(&t->next, 0);
    bool alone = n < 2 || t->n_threads == 1;
    if (!alone) {
        pthread_mutex_lock(&t->lock);
        t->job++;
        t->busy = t->n_threads - 1;
        pthread_cond_broadcast(&t->begin);
        pthread_mutex_unlock(&t->lock);
    }
    work(t, 0);
    if (!alone) {
        pthread_mutex_lock(&t->lock);
        while (t->busy) pthread_cond_wait(&t->end, &t->lock);
        pthread_mutex_unlock(&t->lock);
    }
    return team_stopped(stop) ? Q_CANCEL : Q_OK;
}
