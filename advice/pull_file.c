/* advice/pull_file: see pull_file.h. The caller's thread looks after the others: it writes the journal, tells how far it is, hears whether to stop.
 * Each line has a thread and a net of its own and takes the next chunk that is missing; one more hashes what stands without a gap from the beginning. */
#include "advice/pull_file.h"
#include "advice/pull_hash.h"
#include "advice/pull_part.h"
#include "advice/pull_way.h"
#include "engine/models.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SMALL = 1 << 20, LOOK_MS = 20, TELL_MS = 200, NOTE_MS = 1000, BEGINNINGS = 3, WRONG_MOST = 3, BLOCK = 1 << 20 };
enum turn { GOES_ON, CHANGED, NO_RANGES };       /* why all lines end, and the file begins anew */

typedef struct haul {
    const pull_job *job;
    adv_pull_file file;                  /* as it was listed; bytes may become known */
    pull_part part;
    char validator[256];
    bool single;                         /* the server knows no ranges: one line, from the beginning */
    _Atomic uint64_t streamed;           /* of it then */
    atomic_bool stop, said_all;          /* said_all: the end of a file whose length nobody said */
    _Atomic int64_t hold;                /* monotonic ns before which nobody is to be asked */
    atomic_int running;
    pthread_mutex_t mu;                  /* what follows */
    int next;
    enum turn turn;
    int rc;
    char err[Q_ERRLEN], note[Q_ERRLEN];
    bool right;                          /* the hasher's word */
} haul;

typedef struct line {
    haul *h;
    net *net;
    char *at;                            /* where the redirects ended; NULL: ask the hub */
    pull_answer a;
    uint64_t from, pos, end;             /* of the range that is asked for */
    int chunk;                           /* -1: all */
    bool wrong, whole, other, moved, full;       /* another range; no range; another file; another one on the hub; no room */
    int tries, wrongs;
} line;

static bool line_go(void *user) { return !atomic_load(&((line *)user)->h->stop); }

/* ---- how it may end ---- */
static void ends(haul *h, int rc, const char *err)
{
    pthread_mutex_lock(&h->mu);
    if (h->rc == Q_OK && h->turn == GOES_ON) {
        h->rc = rc;
        memcpy(h->err, err, Q_ERRLEN);
    }
    pthread_mutex_unlock(&h->mu);
    atomic_store(&h->stop, true);
}

static void turns(haul *h, enum turn t)
{
    pthread_mutex_lock(&h->mu);
    if (h->rc == Q_OK && h->turn == GOES_ON)
        h->turn = t;
    pthread_mutex_unlock(&h->mu);
    atomic_store(&h->stop, true);
}

static void notes(haul *h, const char *said)
{
    pthread_mutex_lock(&h->mu);
    snprintf(h->note, sizeof h->note, "%s", said);
    pthread_mutex_unlock(&h->mu);
}

/* ---- bytes ---- */
static bool put(haul *h, const char *p, size_t n, uint64_t at)
{
    while (n) {
        ssize_t w = pwrite(h->part.fd, p, n, (off_t)at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        at += (uint64_t)w;
        n -= (size_t)w;
    }
    return true;
}

/* Does the hub name another hash than when it was listed? */
static bool moved(const haul *h, const pull_answer *a)
{
    size_t quoted = strspn(a->linked, "\"");
    return *h->file.sha256 && strcspn(a->linked + quoted, "\"") == 64 && strncasecmp(a->linked + quoted, h->file.sha256, 64) != 0;
}

static bool first_look(line *l, int status)
{
    haul *h = l->h;
    const pull_answer *a = &l->a;
    l->moved = moved(h, a);
    l->other = (*h->validator && *a->validator && strcmp(h->validator, a->validator) != 0) || (l->chunk < 0 && a->length >= 0 && (uint64_t)a->length != l->end && l->end != UINT64_MAX);
    l->whole = l->chunk >= 0 && status == 200;
    l->wrong = l->chunk >= 0 && status == 206 && (!a->ranges || a->from != l->from || (a->total != UINT64_MAX && a->total != h->file.bytes));
    return !l->moved && !l->other && !l->whole && !l->wrong;
}

static bool on_bytes(void *user, const net_reply *r, const char *p, size_t n)
{
    line *l = user;
    haul *h = l->h;
    if (l->pos == l->from && !first_look(l, r->status))
        return false;
    uint64_t room = l->end - l->pos;
    size_t take = n < room ? n : (size_t)room;
    if (!put(h, p, take, l->pos)) {
        char err[Q_ERRLEN];
        q_fail(err, Q_IO, _("cannot write %s: %s; what is there stays, run this again when there is room"), h->part.part, strerror(errno));
        l->full = true;
        ends(h, Q_IO, err);
        return false;
    }
    l->pos += take;
    if (l->chunk >= 0)
        atomic_store(&h->part.got[l->chunk], l->pos - (uint64_t)l->chunk * h->part.chunk);
    else
        atomic_store(&h->streamed, l->pos);
    if (take)
        l->tries = 0;
    return take == n;                    /* more than was asked for: enough */
}

/* ---- one line ---- */
static bool rests(line *l, int ms)
{
    int64_t until = q_now_ns() + (int64_t)ms * 1000000, hold;
    while (!atomic_load(&l->h->stop) && (q_now_ns() < until || ((hold = atomic_load(&l->h->hold)) && q_now_ns() < hold)))
        usleep(LOOK_MS * 1000);
    return !atomic_load(&l->h->stop);
}

/* After an answer that did not bring all: false ends the line. */
static bool after(line *l, int rc, char *err)
{
    haul *h = l->h;
    const pull_job *job = h->job;
    bool cached = l->at != NULL, stale = l->a.status == 401 || l->a.status == 403 || l->a.status == 404 || l->a.status == 410;
    if (l->full || atomic_load(&h->stop))
        return false;
    if (l->moved) {
        q_fail(err, Q_IO, _("%s changed on the hub while it was brought: run this again"), h->file.path);
        ends(h, Q_IO, err);
        return false;
    }
    /* A range within the file that is not to be had: another length makes it another file, else a server that errs and is asked again. */
    bool beyond = l->a.status == 416, shorter = beyond && l->a.ranges && l->a.total != UINT64_MAX && l->a.total != h->file.bytes;
    l->wrong |= beyond;
    if (l->other || shorter || (l->whole && l->a.length >= 0 && (uint64_t)l->a.length != h->file.bytes))
        return turns(h, CHANGED), false;
    if (l->whole)
        return turns(h, NO_RANGES), false;
    free(l->at);
    l->at = NULL;                        /* the hub may know a better place */
    if (l->wrong && ++l->wrongs >= WRONG_MOST) {
        char *host = net_host(job->url);
        q_fail(err, Q_FORMAT, _("%s sends other bytes than were asked for: try --lines 1, or another mirror"), host);
        free(host);
        ends(h, Q_FORMAT, err);
        return false;
    }
    bool more = l->wrong || (cached && stale) || pull_again(rc, &l->a) || rc == Q_NOTFOUND || (rc == Q_OK && (l->a.status == 206 || l->a.status == 200));
    int ms = more ? pull_pause(l->tries++, job->way->pause_ms, &l->a) : -1;
    if (ms < 0) {
        if (rc == Q_OK || rc == Q_CANCEL)
            rc = pull_refused(job->hub, job->what, job->page, &l->a, err);
        ends(h, rc, err);
        return false;
    }
    if (l->a.status == 429 || l->a.status == 503) {
        char *host = net_host(l->a.at ? l->a.at : job->url);
        q_fail(err, Q_OK, _("%s asks to wait: on in %d seconds"), host, (ms + 999) / 1000);
        free(host);
        notes(h, err);
        atomic_store(&h->hold, q_now_ns() + (int64_t)ms * 1000000);
    }
    return rests(l, cached && stale ? 0 : ms);
}

/* Bytes from l->pos to l->end. */
static bool bring(line *l)
{
    haul *h = l->h;
    char err[Q_ERRLEN] = "";
    while (rests(l, 0)) {
        l->from = l->pos;
        l->wrong = l->whole = l->other = l->moved = false;
        pull_question q = { .url = l->at ? l->at : h->job->url, .from = l->from, .to = l->end - 1, .most = l->end - l->pos, .stall_s = h->job->way->stall_s,
            .validator = *h->file.sha256 || !*h->validator ? NULL : h->validator, .data = on_bytes, .go = line_go, .user = l };
        if (l->chunk < 0)
            q.from = 1, q.to = 0, q.most = UINT64_MAX >> 2;
        int rc = pull_ask(l->net, h->job->hub, &q, &l->a, err);
        bool all = l->chunk >= 0 || h->file.bytes != UINT64_MAX ? l->pos == l->end : rc == Q_OK && l->a.status == 200;
        if (all) {
            if (!l->at && strcmp(l->a.at, h->job->url) != 0)
                l->at = q_strdup(l->a.at);
            pull_answer_free(&l->a);
            return true;
        }
        if (l->chunk < 0 && l->pos && !atomic_load(&h->stop))
            turns(h, NO_RANGES);         /* no range, so no going on: anew */
        bool on = after(l, rc, err);
        pull_answer_free(&l->a);
        if (!on)
            return false;
    }
    return false;
}

static int take_chunk(haul *h)
{
    int at = -1;
    pthread_mutex_lock(&h->mu);
    while (h->next < h->part.n && at < 0) {
        int i = h->next++;
        if (atomic_load(&h->part.got[i]) < pull_part_len(&h->part, i))
            at = i;
    }
    pthread_mutex_unlock(&h->mu);
    return at;
}

static void *run_line(void *user)
{
    line l = { .h = user, .net = net_new(), .chunk = -1, .end = ((haul *)user)->file.bytes };
    haul *h = l.h;
    if (h->single) {
        if (bring(&l))
            atomic_store(&h->said_all, true);
    } else
        while (!atomic_load(&h->stop) && (l.chunk = take_chunk(h)) >= 0) {
            uint64_t at = (uint64_t)l.chunk * h->part.chunk;
            l.pos = at + atomic_load(&h->part.got[l.chunk]);
            l.end = at + pull_part_len(&h->part, l.chunk);
            if (!bring(&l))
                break;
        }
    free(l.at);
    net_free(l.net);
    atomic_fetch_sub(&h->running, 1);
    return NULL;
}

/* ---- the hash ---- */
/* Bytes that stand without a gap behind `at`, which lies in chunk *i. */
static uint64_t ready(const haul *h, uint64_t at, int *i)
{
    if (h->single)
        return atomic_load(&h->streamed) - at;
    while (*i < h->part.n && at >= (uint64_t)*i * h->part.chunk + pull_part_len(&h->part, *i))
        ++*i;
    if (*i == h->part.n)
        return 0;
    uint64_t there = (uint64_t)*i * h->part.chunk + atomic_load(&h->part.got[*i]);
    return there > at ? there - at : 0;
}

static void *run_hash(void *user)
{
    haul *h = user;
    pull_hash sum;
    char *block = malloc(BLOCK), err[Q_ERRLEN];
    int chunk = 0;
    pull_hash_begin(&sum, &h->file);
    for (uint64_t at = 0; block && at < h->file.bytes;) {
        uint64_t n = ready(h, at, &chunk);
        if (atomic_load(&h->stop))
            break;
        if (!n) {
            usleep(LOOK_MS * 1000);
            continue;
        }
        ssize_t got = pread(h->part.fd, block, n < BLOCK ? (size_t)n : BLOCK, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            q_fail(err, Q_IO, _("cannot read %s: %s"), h->part.part, got < 0 ? strerror(errno) : _("it became shorter"));
            ends(h, Q_IO, err);
            break;
        }
        pull_hash_add(&sum, block, (size_t)got);
        at += (uint64_t)got;
    }
    if (!block) {
        q_fail(err, Q_NOMEM, _("not enough memory to check a file: close other programs and try again"));
        ends(h, Q_NOMEM, err);
    }
    free(block);
    bool right = pull_hash_right(&sum, &h->file);
    pthread_mutex_lock(&h->mu);
    h->right = right;
    pthread_mutex_unlock(&h->mu);
    atomic_fetch_sub(&h->running, 1);
    return NULL;
}

/* ---- who looks after them ---- */
static uint64_t done(const haul *h)
{
    uint64_t all = h->single ? atomic_load(&h->streamed) : 0;
    for (int i = 0; i < h->part.n && !h->single; i++)
        all += atomic_load(&h->part.got[i]);
    return all;
}

static void tell(haul *h, bool hashing)
{
    const adv_pull_way *w = h->job->way;
    char note[Q_ERRLEN];
    pthread_mutex_lock(&h->mu);
    memcpy(note, h->note, sizeof note);
    *h->note = 0;
    pthread_mutex_unlock(&h->mu);
    if (w->tell)
        w->tell(w->user, &(adv_pull_news){ .path = h->file.path, .done = h->job->before + done(h), .total = h->job->total, .hashing = hashing, .note = *note ? note : NULL });
}

/* Until all threads have ended. */
static void look_after(haul *h, bool hashes)
{
    char err[Q_ERRLEN];
    int64_t told = 0, noted = q_now_ns();
    while (atomic_load(&h->running)) {
        int64_t now = q_now_ns();
        if (!pull_way_go(h->job->way)) {
            q_fail(err, Q_CANCEL, _("stopped; what came stays, the same command goes on from there"));
            ends(h, Q_CANCEL, err);
        }
        if (now - told > (int64_t)TELL_MS * 1000000) {
            told = now;
            tell(h, hashes && atomic_load(&h->running) == 1 && done(h) == h->file.bytes);
        }
        if (now - noted > (int64_t)NOTE_MS * 1000000) {
            noted = now;
            if (!h->single && pull_part_note(&h->part, err) < 0)
                ends(h, Q_IO, err);
        }
        usleep(LOOK_MS * 1000);
    }
    if (!h->single && h->turn == GOES_ON && pull_part_note(&h->part, err) < 0)
        ends(h, Q_IO, err);
    tell(h, false);
}

static void start(haul *h, pthread_t *t, int *n, void *(*run)(void *))
{
    char err[Q_ERRLEN];
    atomic_fetch_add(&h->running, 1);
    if (pthread_create(&t[*n], NULL, run, h) == 0)
        ++*n;
    else {
        atomic_fetch_sub(&h->running, 1);
        q_fail(err, Q_NOMEM, _("a thread cannot be started: close other programs and try again"));
        ends(h, Q_NOMEM, err);
    }
}

static void run_all(haul *h)
{
    pthread_t t[ADV_PULL_LINES + 1];
    int n = 0, lines = h->single ? 1 : h->job->way->lines < h->part.n ? h->job->way->lines : h->part.n;
    bool hashes = pull_hash_known(&h->file) && h->file.bytes != UINT64_MAX;
    atomic_store(&h->stop, false);
    atomic_store(&h->said_all, false);
    atomic_store(&h->streamed, 0);
    atomic_store(&h->hold, 0);
    h->next = 0;
    h->turn = GOES_ON;
    h->right = false;
    if (hashes)
        start(h, t, &n, run_hash);
    for (int i = 0; i < lines; i++)
        start(h, t, &n, run_line);
    look_after(h, hashes);
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
}

/* ---- before and behind ---- */
static bool probe_go(void *user) { return pull_way_go(((haul *)user)->job->way); }
static bool probe_enough(void *user, const net_reply *r, const char *p, size_t n) { return false; }

/* What a hub does not say: how long it is, what it is known by, whether ranges are served. */
static int probe(haul *h, char *err)
{
    const pull_job *job = h->job;
    net *n = net_new();
    int rc = Q_OK;
    for (int tries = 0;; tries++) {
        pull_answer a;
        pull_question q = { .url = job->url, .most = UINT64_MAX >> 2, .stall_s = job->way->stall_s, .data = probe_enough, .go = probe_go, .user = h };
        rc = pull_ask(n, job->hub, &q, &a, err);
        bool came = a.status == 200 || a.status == 206 || (a.status == 416 && a.ranges && !a.total);
        if (came && (rc == Q_OK || probe_go(h))) {
            uint64_t bytes = a.status == 200 ? (a.length >= 0 ? (uint64_t)a.length : UINT64_MAX) : a.ranges ? a.total : UINT64_MAX;
            h->single = a.status == 200 || bytes == UINT64_MAX;
            if (h->file.bytes == UINT64_MAX || !pull_hash_known(&h->file))
                h->file.bytes = bytes;
            memcpy(h->validator, a.validator, sizeof h->validator);
            rc = pull_length(h->file.path, bytes, err);
        }
        int ms = !came && pull_again(rc, &a) ? pull_pause(tries, job->way->pause_ms, &a) : -1;
        if (ms < 0 && !came && rc == Q_OK)
            rc = pull_refused(job->hub, job->what, job->page, &a, err);
        pull_answer_free(&a);
        if (ms < 0 || pull_way_wait(job->way, ms, err) < 0)
            break;
    }
    net_free(n);
    return rc;
}

/* All bytes are there. */
static int finish(haul *h, bool *checked, char *err)
{
    bool known = pull_hash_known(&h->file);
    int rc = Q_OK;
    size_t n = strlen(h->file.path);
    if (known && h->file.bytes == UINT64_MAX) {          /* nobody said how long it would be: hashed now */
        h->file.bytes = atomic_load(&h->streamed);
        rc = pull_hash_fd(h->part.fd, &h->file, NULL, NULL, err);
        h->right = rc == Q_OK;
    }
    *checked = known && h->right;
    if (known && !h->right && (rc == Q_OK || rc == Q_FORMAT)) {
        pull_part_drop(&h->part);
        return q_fail(err, Q_FORMAT, _("what came of %s is not what the hub names (another hash): it was removed; run this again, or take another mirror"), h->file.path);
    }
    if (rc == Q_OK && !known && n > 5 && strcasecmp(h->file.path + n - 5, ".gguf") == 0 && !eng_split_name(h->file.path, NULL, NULL, NULL) && !eng_file_whole(h->part.part)) {
        pull_part_drop(&h->part);
        return q_fail(err, Q_FORMAT, _("what came of %s is no whole GGUF file: it was removed; check the address"), h->file.path);
    }
    return rc < 0 ? rc : pull_part_put(&h->part, h->job->way->force, err);
}

static int begin(haul *h, bool anew, char *err)
{
    uint64_t had;
    pull_mark m = { h->single ? UINT64_MAX : h->file.bytes, h->file.sha256, h->validator };
    return pull_part_begin(&h->part, &m, anew, &had, err);
}

static int haul_all(haul *h, char *err)
{
    bool small = !*h->file.sha256 && *h->file.git && h->file.bytes <= SMALL, ask = !*h->file.sha256 && h->file.bytes && !small, anew = false;
    h->single = small;                   /* one question for all of it: nothing to go on with is lost */
    int rc = ask ? probe(h, err) : Q_OK, streams = 0;
    for (int turn = 0; rc == Q_OK; turn++) {
        rc = begin(h, anew, err);
        if (rc < 0 || !h->file.bytes)
            return rc;
        run_all(h);
        if (h->rc < 0) {
            memcpy(err, h->err, Q_ERRLEN);
            return h->rc;
        }
        if (h->turn == GOES_ON)
            return Q_OK;
        anew = true;
        streams += h->turn == NO_RANGES;
        if (turn >= BEGINNINGS && (h->turn == CHANGED || streams >= PULL_TRIES))
            return q_fail(err, Q_IO, _("%s does not come whole: the line breaks, or the file changes, each time; try another mirror"), h->file.path);
        q_fail(err, Q_OK, h->turn == CHANGED ? _("%s is another file now: it begins anew") : _("the server cannot go on in the middle of %s: it begins anew, over one line"), h->file.path);
        notes(h, err);
        rc = h->turn == CHANGED ? probe(h, err) : pull_way_wait(h->job->way, h->single ? h->job->way->pause_ms : 0, err);
        h->single = h->single || h->turn == NO_RANGES;
    }
    return rc;
}

int pull_file_get(const pull_job *job, bool *checked, char *err)
{
    haul h = { .job = job, .file = *job->file };
    struct stat st;
    *checked = false;
    pthread_mutex_init(&h.mu, NULL);
    int rc = pull_part_open(job->path, &h.part, err);
    if (rc == Q_OK && lstat(job->path, &st) == 0 && !job->way->force) {      /* another one put it there since it was looked for */
        rc = pull_file_there(job, checked, err);
        if (rc == Q_OK)
            pull_part_drop(&h.part);
    } else if (rc == Q_OK) {
        rc = haul_all(&h, err);
        if (rc == Q_OK)
            rc = h.file.bytes ? finish(&h, checked, err) : pull_part_put(&h.part, job->way->force, err);
    }
    pull_part_close(&h.part);
    pthread_mutex_destroy(&h.mu);
    return rc;
}

/* ---- is it there ---- */
static bool there_go(void *user, uint64_t done)
{
    const pull_job *job = user;
    const adv_pull_way *w = job->way;
    if (w->tell && done % ((uint64_t)64 << 20) < (1 << 20))
        w->tell(w->user, &(adv_pull_news){ .path = job->file->path, .done = job->before + done, .total = job->total, .hashing = true });
    return pull_way_go(w);
}

int pull_file_there(const pull_job *job, bool *checked, char *err)
{
    struct stat st;
    *checked = false;
    int fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? Q_NOTFOUND : q_fail(err, Q_IO, _("cannot read %s: %s"), job->path, strerror(errno));
    bool known = pull_hash_known(job->file);
    int rc = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == job->file->bytes ? Q_OK : Q_FORMAT;
    if (rc == Q_OK && known)
        rc = pull_hash_fd(fd, job->file, there_go, (void *)(uintptr_t)job, err);
    close(fd);
    *checked = known && rc == Q_OK;
    return rc != Q_FORMAT ? rc : q_fail(err, Q_RANGE, _("%s is there and is another file: --force writes over it, --to DIR takes another folder"), job->path);
}
