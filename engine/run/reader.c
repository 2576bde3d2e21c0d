/* engine/run/reader: see reader.h. */
#include "engine/run/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 4 << 20 };              /* of one call of the system: a stop waits for no more */

typedef struct source { char *path; int fd, direct /* with O_DIRECT; -1: not known there */; struct stat was; } source;
typedef struct queue { read_job *first, *last; } queue;

struct reader {
    pthread_mutex_t mu;
    pthread_cond_t more;
    queue urgent, later;
    bool quit;
    source *file;
    int n_file, n_thread;
    pthread_t *thread;
    reader_done *done;
    void *user;
    int (*before)(void *user, const read_job *);
    void *before_user;
};

/* ---- queues; under mu ---- */
static void queue_add(queue *q, read_job *j)
{
    j->next = NULL;
    if (q->last) q->last->next = j;
    else q->first = j;
    q->last = j;
}

static bool queue_remove(queue *q, const read_job *j)
{
    read_job *before = NULL;
    for (read_job *at = q->first; at; before = at, at = at->next) {
        if (at != j) continue;
        if (before) before->next = at->next;
        else q->first = at->next;
        if (q->last == at) q->last = before;
        return true;
    }
    return false;
}

/* ---- reading ---- */

/* Without O_DIRECT where that is not known, which some file systems say only when something is read. */
static int source_open(source *s, const reader_file *f, char *err)
{
    void *page = NULL;
    s->path = q_strdup(f->path);
    s->direct = open(f->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    bool known = s->direct >= 0 && posix_memalign(&page, READER_ALIGN, READER_ALIGN) == 0 && pread(s->direct, page, READER_ALIGN, 0) > 0;
    free(page);
    if (!known && s->direct >= 0) {
        close(s->direct);
        s->direct = -1;
    }
    s->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &s->was) != 0) return q_fail(err, Q_IO, _("cannot open %s: %s"), f->path, strerror(errno));
    if ((uint64_t)s->was.st_size == f->bytes) return Q_OK;
    return q_fail(err, Q_IO, _("%s was changed while it was opened: open the model again"), f->path);
}

/* O_DIRECT goes from block to block: where a read ends between two, as those over a network may, or is refused only now, the rest is read as usual. */
static int source_read(const source *s, const read_job *j, char *err)
{
    int fd = s->direct >= 0 ? s->direct : s->fd;
    uint64_t from = j->at / READER_ALIGN * READER_ALIGN, end = j->at + j->bytes;
    size_t all = (size_t)((end + READER_ALIGN - 1) / READER_ALIGN * READER_ALIGN - from), got = 0;
    while (from + got < end) {
        ssize_t n = pread(fd, j->to + got, all - got < PIECE ? all - got : PIECE, (off_t)(from + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EINVAL && fd != s->fd) {
            fd = s->fd;
            continue;
        }
        if (n < 0) return q_fail(err, Q_IO, _("cannot read experts from %s: %s; look after the disk, then ask again"), s->path, strerror(errno));
        if (n == 0) return q_fail(err, Q_IO, _("%s was cut short while it was in use: bring it back whole and open the model again"), s->path);
        got += (size_t)n;
        if (got % READER_ALIGN) fd = s->fd;
    }
    if (fd == s->fd) posix_fadvise(s->fd, (off_t)from, (off_t)all, POSIX_FADV_DONTNEED);
    struct stat now;
    if (fstat(s->fd, &now) != 0) return q_fail(err, Q_IO, _("cannot read experts from %s: %s; look after the disk, then ask again"), s->path, strerror(errno));
    if (now.st_size == s->was.st_size && now.st_mtim.tv_sec == s->was.st_mtim.tv_sec && now.st_mtim.tv_nsec == s->was.st_mtim.tv_nsec) return Q_OK;
    return q_fail(err, Q_IO, _("%s was changed while it was in use: its experts are not those that were asked for; open the model again"), s->path);
}

static void *reader_main(void *arg)
{
    reader *r = arg;
    pthread_mutex_lock(&r->mu);
    while (!r->quit) {
        read_job *j = r->urgent.first ? r->urgent.first : r->later.first;
        if (!j) {
            pthread_cond_wait(&r->more, &r->mu);
            continue;
        }
        if (!queue_remove(&r->urgent, j)) queue_remove(&r->later, j);
        pthread_mutex_unlock(&r->mu);
        char why[Q_ERRLEN] = "";
        int rc = r->before ? r->before(r->before_user, j) : Q_OK;
        if (rc) q_fail(why, rc, _("cannot read experts from %s: %s; look after the disk, then ask again"), r->file[j->file].path, strerror(EIO));
        else rc = source_read(&r->file[j->file], j, why);
        r->done(r->user, j, rc, why);
        pthread_mutex_lock(&r->mu);
    }
    pthread_mutex_unlock(&r->mu);
    return NULL;
}

/* ---- a reader ---- */
int reader_new(const reader_file *files, int n, int n_threads, reader_done *done, void *user, reader **out, char *err)
{
    reader *r = q_alloc(sizeof *r);
    int rc = Q_OK;
    pthread_mutex_init(&r->mu, NULL);
    pthread_cond_init(&r->more, NULL);
    r->file = q_alloc(sizeof *r->file * (size_t)n);
    r->thread = q_alloc(sizeof *r->thread * (size_t)n_threads);
    r->done = done;
    r->user = user;
    for (int i = 0; i < n; i++) r->file[i].fd = r->file[i].direct = -1;
    for (; r->n_file < n && !rc; r->n_file++) rc = source_open(&r->file[r->n_file], &files[r->n_file], err);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (!rc && r->n_thread < n_threads && pthread_create(&r->thread[r->n_thread], NULL, reader_main, r) == 0) r->n_thread++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!rc && !r->n_thread) rc = q_fail(err, Q_NOMEM, _("cannot start a thread that reads experts: close something and try again"));
    if (rc) reader_free(r);
    else *out = r;
    return rc;
}

void reader_free(reader *r)
{
    if (!r) return;
    pthread_mutex_lock(&r->mu);
    r->quit = true;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mu);
    for (int i = 0; i < r->n_thread; i++) pthread_join(r->thread[i], NULL);
    for (int i = 0; i < r->n_file; i++) {
        if (r->file[i].fd >= 0) close(r->file[i].fd);
        if (r->file[i].direct >= 0) close(r->file[i].direct);
        free(r->file[i].path);
    }
    pthread_cond_destroy(&r->more);
    pthread_mutex_destroy(&r->mu);
    free(r->file);
    free(r->thread);
    free(r);
}

bool reader_direct(const reader *r)
{
    for (int i = 0; i < r->n_file; i++)
        if (r->file[i].direct < 0) return false;
    return true;
}

void reader_put(reader *r, read_job *j, bool urgent)
{
    pthread_mutex_lock(&r->mu);
    queue_add(urgent ? &r->urgent : &r->later, j);
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->mu);
}

void reader_hurry(reader *r, read_job *j)
{
    pthread_mutex_lock(&r->mu);
    if (queue_remove(&r->later, j)) queue_add(&r->urgent, j);
    pthread_mutex_unlock(&r->mu);
}

bool reader_take_back(reader *r, read_job *j)
{
    pthread_mutex_lock(&r->mu);
    bool there = queue_remove(&r->later, j) || queue_remove(&r->urgent, j);
    pthread_mutex_unlock(&r->mu);
    return there;
}

void reader_tap(reader *r, int (*before)(void *user, const read_job *), void *user)
{
    pthread_mutex_lock(&r->mu);
    r->before_user = user;
    r->before = before;
    pthread_mutex_unlock(&r->mu);
}

/* ---- how fast ---- */
typedef struct count { pthread_mutex_t mu; pthread_cond_t all; int left, bad; char why[Q_ERRLEN]; } count;

static void count_done(void *user, read_job *job, int rc, const char *why)
{
    count *c = user;
    pthread_mutex_lock(&c->mu);
    if (rc && !c->bad++) snprintf(c->why, sizeof c->why, "%s", why);
    if (--c->left == 0) pthread_cond_signal(&c->all);
    pthread_mutex_unlock(&c->mu);
}

double reader_speed(const reader_file *file, int n_jobs, size_t bytes, char *err)
{
    count c = { .mu = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER, .left = n_jobs };
    reader *r = NULL;
    void *room = NULL;
    if (bytes > file->bytes) bytes = (size_t)file->bytes;
    size_t each = reader_room(bytes);
    if (!bytes || reader_new(file, 1, READER_THREADS, count_done, &c, &r, err)) return 0;
    read_job *jobs = q_alloc(sizeof *jobs * (size_t)n_jobs);
    if (posix_memalign(&room, READER_ALIGN, each * (size_t)n_jobs)) room = NULL;
    double speed = 0;
    if (room) {
        int64_t start = q_now_ns();
        for (int i = 0; i < n_jobs; i++) {
            jobs[i] = (read_job){ .at = (file->bytes - bytes) / (uint64_t)n_jobs * (uint64_t)i, .bytes = bytes, .to = (uint8_t *)room + each * (size_t)i };
            reader_put(r, &jobs[i], true);
        }
        pthread_mutex_lock(&c.mu);
        while (c.left) pthread_cond_wait(&c.all, &c.mu);
        pthread_mutex_unlock(&c.mu);
        if (!c.bad) speed = (double)bytes * n_jobs / ((double)(q_now_ns() - start) / 1e9);
        else q_fail(err, Q_IO, "%s", c.why);
    }
    reader_free(r);
    free(room);
    free(jobs);
    return speed;
}
