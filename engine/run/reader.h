/* engine/run/reader: bytes of files, read by threads of their own past the page cache: with O_DIRECT, or where a file system knows no
 * such thing read as usual and dropped from the cache behind. Threads sleep while nothing is asked for and take no signals. Private
 * to engine. Any thread may ask; a job is the caller's and stays where it is until it is done or taken back. */
#ifndef QUORUM_READER_H
#define QUORUM_READER_H

#include "base/base.h"

typedef struct reader reader;
enum { READER_ALIGN = 4096, READER_THREADS = 8 };

/* bytes from `at` on of file number `file` to `to`, which is aligned to READER_ALIGN and has reader_room(bytes): the first of them
 * comes to to + at % READER_ALIGN; what lies around it is anybody's. */
typedef struct read_job {
    int file;
    uint64_t at;
    size_t bytes;
    uint8_t *to;
    void *user;
    struct read_job *next;             /* the reader's */
} read_job;
static inline size_t reader_room(size_t bytes) { return (bytes + 2 * READER_ALIGN - 2) / READER_ALIGN * READER_ALIGN; }

/* By a thread of the reader, once for each job: rc and why it failed (Q_IO: cut short, changed since it was opened, the disk). */
typedef void reader_done(void *user, read_job *job, int rc, const char *why);

typedef struct reader_file { const char *path; uint64_t bytes; /* that it must have */ } reader_file;
int reader_new(const reader_file *files, int n, int n_threads, reader_done *done, void *user, reader **out, char *err);
/* Waits for what is being read; what is not begun is dropped without a word. NULL is fine. */
void reader_free(reader *);
bool reader_direct(const reader *);    /* all files past the cache */
/* urgent: before all that are not. Jobs of a kind come in the order in which they were put. */
void reader_put(reader *, read_job *, bool urgent);
void reader_hurry(reader *, read_job *);              /* urgent from now on, if it is not begun */
bool reader_take_back(reader *, read_job *);          /* false: it is begun or done */
/* Tests: asked by the thread that is about to read; not 0: the read fails with that. Before the first job. */
void reader_tap(reader *, int (*before)(void *user, const read_job *), void *user);
/* Bytes a second of n_jobs reads of `bytes` each, at places of the first file that are spread evenly, as n_threads reach it. 0: it cannot be read. */
double reader_speed(const reader_file *file, int n_jobs, size_t bytes, char *err);

#endif
