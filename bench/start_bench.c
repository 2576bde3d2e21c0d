/* bench: how long quorum takes from its start to the first prompt over a large memory, and of that the opening of its file: so many
 * made-up passages, each with a vector. The file is made where it is not there yet, and stays the caller's. Or how long to the first byte
 * of an answer (a text of four tokens or so goes on for one token, no conversation is kept), with the faults and processor time until the
 * end, by several programs in turn.
 * usage: start_bench PASSAGES FILE [QUORUM [TIMES]]
 *        start_bench --answer MODEL TIMES QUORUM... */
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIM = 384, EACH = 50 /* passages of a document */, WORDS = 12, VOCABULARY = 30000 };

static int fail(const char *err)
{
    fprintf(stderr, "start_bench: %s\n", err);
    return 1;
}

/* ---- the file ---- */
static void text_of(uint64_t i, q_buf *b)
{
    uint64_t x = q_mix64(7, i);
    q_buf_clear(b);
    for (int k = 0; k < WORDS; k++) {
        x = q_mix64(x, (uint64_t)k);
        double u = (double)(x >> 11) / 9007199254740992.0;
        q_buf_printf(b, "%sw%dx", k ? " " : "", (int)pow(VOCABULARY, u));      /* frequent ones often */
    }
}

static int put_documents(mem_store *s, int from, int n, char *err)
{
    mem_bulk *bulk = mem_bulk_new(s, NULL, NULL);
    mem_chunk c[EACH];
    q_buf text[EACH] = { { 0 } };
    int rc = Q_OK;
    for (int i = from; i < n && rc == Q_OK; i += EACH) {
        char path[40];
        int m = n - i < EACH ? n - i : EACH;
        snprintf(path, sizeof path, "/made/%d", i);
        for (int k = 0; k < m; k++) {
            text_of((uint64_t)(i + k), &text[k]);
            c[k] = (mem_chunk){ (size_t)k, text[k].len, text[k].p, (char *)"" };
        }
        mem_document d = { .path = path, .title = path, .name = path, .trust = MEM_TRUST_OWN };
        rc = mem_bulk_put(bulk, &d, c, m, err);
        if (i % 10000 == 0)
            fprintf(stderr, "\r%d passages ", i);
    }
    if (rc == Q_OK)
        rc = mem_bulk_flush(bulk, err);
    mem_bulk_free(bulk);
    for (int k = 0; k < EACH; k++)
        q_buf_free(&text[k]);
    return rc;
}

/* A vector for each passage that is owed one, many in one transaction. */
static int put_vectors(mem_store *s, char *err)
{
    enum { PUT = 2000 };
    int64_t e, before = 0, *id = q_alloc(sizeof *id * PUT);
    mem_vector *v = q_alloc(sizeof *v * PUT);
    float *f = q_alloc(sizeof *f * PUT * DIM);
    int rc = mem_embedder_for(s, "made-up", DIM, &e, err);
    for (int n = PUT, all = 0; n > 0 && rc == Q_OK; all += n) {
        rc = mem_vectors_owed(s, e, MEM_OWED_FILES, before, id, PUT, &n, err);
        for (int i = 0; i < n && rc == Q_OK; i++) {
            mem_passage m = { 0 };
            double length = 0;
            rc = mem_passage_get(s, MEM_CHUNK, id[i], &m, err);
            uint64_t x = rc == Q_OK ? mem_text_hash(m.text) : 0;
            v[i] = (mem_vector){ MEM_CHUNK, id[i], x, f + (size_t)i * DIM };
            for (int j = 0; j < DIM; j++) {
                x = q_mix64(x, (uint64_t)j);
                f[(size_t)i * DIM + (size_t)j] = (float)((double)(x >> 11) / 9007199254740992.0 - .5);
                length += (double)f[(size_t)i * DIM + (size_t)j] * (double)f[(size_t)i * DIM + (size_t)j];
            }
            for (int j = 0; j < DIM; j++)
                f[(size_t)i * DIM + (size_t)j] /= (float)sqrt(length);
            mem_passage_free(&m);
            before = id[i];
        }
        if (rc == Q_OK && n)
            rc = mem_vectors_put(s, e, DIM, v, n, err);
        fprintf(stderr, "\r%d vectors ", all + n);
    }
    free(id);
    free(v);
    free(f);
    return rc;
}

/* What is there of it stays: a filling that was cut off goes on. */
static int fill(const char *path, int n, char *err)
{
    mem_store *s;
    int64_t there = 0, words;
    int rc = mem_open(path, &s, err);
    if (rc != Q_OK)
        return rc;
    rc = mem_extent(s, MEM_CHUNK, &there, &words, err);
    if (rc == Q_OK && there < n)
        rc = put_documents(s, (int)(there / EACH * EACH), n, err);
    if (rc == Q_OK)
        rc = put_vectors(s, err);
    if (rc == Q_OK)
        rc = mem_tidy(s, NULL, NULL, err);
    fprintf(stderr, "\r\033[K");
    mem_close(s);
    return rc;
}

/* ---- a start ---- */
/* Milliseconds until the prompt stands on a terminal of its own; -1: it never came. */
static double start(const char *quorum, const char *db)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        return -1;
    struct winsize w = { .ws_row = 24, .ws_col = 80 };
    ioctl(master, TIOCSWINSZ, &w);
    char *slave = q_strdup(ptsname(master)), seen[65536];
    size_t n = 0;
    double ms = -1;
    int64_t from = q_now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        int fd = open(slave, O_RDWR);
        for (int i = 0; i < 3; i++)
            dup2(fd, i);
        execl(quorum, quorum, "--repl", "--db", db, (char *)NULL);
        _exit(127);
    }
    for (int64_t end = from + 120000000000; q_now_ns() < end && n < sizeof seen - 1;) {
        struct pollfd p = { .fd = master, .events = POLLIN };
        if (poll(&p, 1, 1000) <= 0)
            continue;
        ssize_t k = read(master, seen + n, sizeof seen - 1 - n);
        if (k <= 0)
            break;
        n += (size_t)k;
        if (memmem(seen, n, "> ", 2)) {
            ms = (double)(q_now_ns() - from) / 1e6;
            break;
        }
    }
    if (ms < 0)
        fprintf(stderr, "%.*s\n", (int)n, seen);
    kill(pid, SIGTERM);
    for (int64_t end = q_now_ns() + 30000000000; waitpid(pid, NULL, WNOHANG) == 0;) {
        char rest[4096];
        struct pollfd p = { .fd = master, .events = POLLIN };
        if (poll(&p, 1, 20) > 0 && read(master, rest, sizeof rest) <= 0)
            usleep(1000);
        if (q_now_ns() > end)
            kill(pid, SIGKILL);
    }
    close(master);
    free(slave);
    return ms;
}

/* ---- an answer ---- */
typedef struct answer { double first_ms, end_ms, cpu_ms, faults; } answer;

static int ask(const char *quorum, const char *model, answer *out)
{
    int fd[2], status = 0;
    char got[4096];
    if (pipe(fd)) return -1;
    int64_t from = q_now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], STDOUT_FILENO);
        close(fd[0]);
        close(fd[1]);
        execl(quorum, quorum, "-m", model, "--db", ":memory:", "--base", "--set", "sampler.max_tokens=1", "--set", "sampler.temperature=0", "-p", "abcd hi", (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    ssize_t n = read(fd[0], got, sizeof got);
    out->first_ms = (double)(q_now_ns() - from) / 1e6;
    bool some = n > 0;
    while (n > 0) n = read(fd[0], got, sizeof got);
    struct rusage u;
    close(fd[0]);
    if (wait4(pid, &status, 0, &u) != pid || !some || status) return -1;
    out->end_ms = (double)(q_now_ns() - from) / 1e6;
    out->cpu_ms = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
    out->faults = (double)(u.ru_minflt + u.ru_majflt);
    return 0;
}

static int rising(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

/* The median of a column of `times` answers; *least and *most where they are wanted. */
static double middle(const answer *of, int times, size_t column, double *least, double *most)
{
    double *v = q_alloc(sizeof *v * (size_t)times);
    for (int i = 0; i < times; i++) memcpy(&v[i], (const char *)&of[i] + column, sizeof *v);
    qsort(v, (size_t)times, sizeof *v, rising);
    double m = v[times / 2];
    if (least) *least = v[0];
    if (most) *most = v[times - 1];
    free(v);
    return m;
}

/* The first round brings the file into memory and does not count. */
static int answers(const char *model, int times, char **quorum, int n)
{
    answer *a = q_alloc(sizeof *a * (size_t)(n * times));
    int rc = times < 1 || n < 1;
    for (int i = -1; i < times && !rc; i++)
        for (int q = 0; q < n && !rc; q++) rc = ask(quorum[q], model, &a[q * times + (i < 0 ? 0 : i)]);
    for (int q = 0; q < n && !rc; q++) {
        const answer *of = a + q * times;
        double least, most, first = middle(of, times, offsetof(answer, first_ms), &least, &most);
        printf("{\"quorum\":\"%s\",\"times\":%d,\"first_ms\":%.1f,\"least_ms\":%.1f,\"most_ms\":%.1f,\"end_ms\":%.1f,\"cpu_ms\":%.1f,\"faults\":%.0f}\n", quorum[q], times, first, least, most,
               middle(of, times, offsetof(answer, end_ms), NULL, NULL), middle(of, times, offsetof(answer, cpu_ms), NULL, NULL), middle(of, times, offsetof(answer, faults), NULL, NULL));
    }
    free(a);
    return rc ? fail("no answer came: usage: start_bench --answer MODEL TIMES QUORUM...") : 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--answer")) return argc > 4 ? answers(argv[2], atoi(argv[3]), argv + 4, argc - 4) : fail("usage: start_bench --answer MODEL TIMES QUORUM...");
    char err[Q_ERRLEN];
    int n = argc > 2 ? atoi(argv[1]) : 0, times = argc > 4 ? atoi(argv[4]) : 5;
    const char *quorum = argc > 3 ? argv[3] : "build/quorum";
    if (n < 1)
        return fail("usage: start_bench PASSAGES FILE [QUORUM [TIMES]]");
    if (fill(argv[2], n, err) != Q_OK)
        return fail(err);
    double open_best = 1e9, start_best = 1e9;
    for (int i = 0; i < times; i++) {
        mem_store *s;
        int64_t from = q_now_ns();
        if (mem_open(argv[2], &s, err) != Q_OK)
            return fail(err);
        double ms = (double)(q_now_ns() - from) / 1e6;
        mem_close(s);
        open_best = ms < open_best ? ms : open_best;
        ms = start(quorum, argv[2]);
        if (ms < 0)
            return fail("no prompt came");
        start_best = ms < start_best ? ms : start_best;
        printf("start %d: %.0f ms to the prompt\n", i + 1, ms);
        fflush(stdout);
    }
    printf("{\"passages\":%d,\"open_ms\":%.2f,\"prompt_ms\":%.1f}\n", n, open_best, start_best);
    return 0;
}
