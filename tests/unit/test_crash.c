/* crash: a writer is killed by SIGKILL at random moments; afterwards both integrity checks pass and everything it
 * had acknowledged is there, word for word. CRASH_ROUNDS sets how often (10 by default, 100 with QUORUM_LONG). */
#include "memory/memory.h"
#include "tests/test.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE, PARTIAL, ENDED, DOCUMENT, DELETED };
struct ack { int kind, seq; long long id; };        /* written whole: smaller than PIPE_BUF */

static char err[Q_ERRLEN], path[128];

/* The text of the seq-th write: its length varies so that some span many pages. */
static void text_of(int seq, q_buf *b)
{
    q_buf_clear(b);
    int n = 3 + seq * 7919 % 97 * (seq % 5 == 0 ? 40 : 1);
    for (int i = 0; i < n; i++) q_buf_printf(b, "слово%d of%d ", seq, i);
}

static bool deletes(int turn) { return turn % 4 == 3; }

static void tell(int fd, int kind, int seq, int64_t id)
{
    struct ack a;
    memset(&a, 0, sizeof a);
    a.kind = kind, a.seq = seq, a.id = id;
    if (write(fd, &a, sizeof a) != sizeof a) _exit(3);
}

static void writer(int fd, int seq)
{
    mem_store *s;
    q_buf b = {0};
    int64_t c, at = 0, id, reply, doc;
    if (mem_open(path, &s, err) || mem_conversation_new(s, "crash", &c, err)) _exit(2);
    for (;; seq += 3) {
        text_of(seq, &b);
        if (mem_message_add(s, c, at, MEM_USER, b.p, b.len, &id, err)) _exit(2);
        tell(fd, MESSAGE, seq, id);
        if (mem_reply_begin(s, c, id, "m", 1, 1, "{}", "standard", &reply, err)) _exit(2);
        text_of(seq + 1, &b);
        for (size_t n = 1; n <= 4; n++) {
            if (mem_reply_save(s, reply, b.p, b.len * n / 4, "", 0, err)) _exit(2);
            if (n == 4) tell(fd, PARTIAL, seq + 1, reply);
        }
        if (mem_reply_end(s, reply, MEM_DONE, "eos", b.p, b.len, "", 0, NULL, NULL, err)) _exit(2);
        tell(fd, ENDED, seq + 1, reply);
        at = reply;
        text_of(seq + 2, &b);
        char *name = q_printf("/doc%d", seq % 9);       /* names come again: replacing is killed too */
        mem_chunk k[3] = {{0, b.len, b.p, (char *)"one"}, {b.len, b.len, b.p, NULL}, {2 * b.len, b.len, b.p, NULL}};
        mem_document d = {.path = name, .title = name, .bytes = seq};
        if (mem_document_put(s, &d, k, 3, &doc, err)) _exit(2);
        tell(fd, DOCUMENT, seq + 2, doc);
        if (deletes(seq)) {
            if (mem_document_delete(s, doc, err)) _exit(2);
            tell(fd, DELETED, seq + 2, doc);
        }
        free(name);
    }
}

static void check_ack(mem_store *s, const struct ack *a, const struct ack *all, int n, int *checked)
{
    q_buf b = {0};
    mem_message m;
    if (a->kind == DOCUMENT || a->kind == DELETED) {
        mem_document d;
        int turn = a->seq - 2, rc = mem_document_get(s, a->id, &d, err);
        if (a->kind == DELETED) CHECK_INT(rc, Q_NOTFOUND);
        else if (rc == Q_OK) CHECK_INT(d.n_chunks, 3);
        else {
            /* only this or a later turn with the same name (one may be unacknowledged) can have deleted it, else a newer
             * one stands in its place */
            int gone = deletes(turn), last = all[n - 1].seq / 3 * 3 + 3;
            for (int later = turn + 3; later <= last; later += 3) gone |= later % 9 == turn % 9 && deletes(later);
            char *name = q_printf("/doc%d", turn % 9);
            if (!gone) CHECK_MSG(mem_document_by_path(s, name, &d, err) == Q_OK && d.id > a->id, "document %lld is gone", a->id);
            free(name);
        }
        mem_document_free(&d);
    } else {
        text_of(a->seq, &b);
        int rc = mem_message_get(s, a->id, &m, err);
        CHECK_MSG(rc == Q_OK, "message %lld: %s", a->id, err);
        if (rc == Q_OK) {
            CHECK_STR(m.text, b.p);
            if (a->kind != PARTIAL) CHECK_INT(m.status, MEM_DONE);
            else CHECK(m.status == MEM_DONE || m.status == MEM_STOPPED);
            ++*checked;
        }
        mem_message_free(&m);
    }
    q_buf_free(&b);
}

static void nothing_acknowledged_is_lost(void)
{
    const char *env = getenv("CRASH_ROUNDS");
    if (!env && getenv("QUORUM_LONG")) env = "100";
    int rounds = env ? atoi(env) : 10, n = 0, checked = 0, seq = 0;
    struct ack *all = NULL;
    mem_store *s;
    if (mem_open(path, &s, err) != Q_OK) { CHECK_MSG(0, "%s", err); return; }
    mem_close(s);
    uint64_t x = (uint64_t)q_wall_ms() | 1;
    for (int r = 0; r < rounds && !test_bad; r++) {
        int fd[2];
        if (pipe(fd) != 0) { CHECK(0); return; }
        pid_t p = fork();
        if (p == 0) {
            close(fd[0]);
            writer(fd[1], seq);
        }
        close(fd[1]);
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        struct timespec t = {0, (long)(1000000 + x % 300000000)};
        /* every third time the clock starts at once and may hit the opening; else with the first acknowledged write */
        if (r % 3) poll(&(struct pollfd){.fd = fd[0], .events = POLLIN}, 1, 20000);
        nanosleep(&t, NULL);
        kill(p, SIGKILL);
        int st, first = n;
        waitpid(p, &st, 0);
        CHECK_MSG(WIFSIGNALED(st), "the writer ended by itself, status %d", st);
        struct ack a;
        while (read(fd[0], &a, sizeof a) == sizeof a) {
            all = q_realloc(all, sizeof *all * (size_t)(n + 1));
            all[n++] = a;
        }
        close(fd[0]);
        seq += 3 * (n - first + 1);
        int rc = mem_open(path, &s, err);
        CHECK_MSG(rc == Q_OK, "%s", err);
        if (rc != Q_OK) break;
        rc = mem_check(s, err);
        CHECK_MSG(rc == Q_OK, "%s", err);
        for (int i = first; i < n; i++) check_ack(s, &all[i], all, n, &checked);
        mem_close(s);
    }
    if (!test_bad && mem_open(path, &s, err) == Q_OK) {     /* and the messages of all rounds, once more */
        for (int i = 0; i < n; i++)
            if (all[i].kind <= ENDED) check_ack(s, &all[i], all, n, &checked);
        mem_close(s);
    }
    printf("# %d kills, %d acknowledged writes\n", rounds, n);
    CHECK(n >= rounds / 2);
    CHECK(checked >= n / 2);
    free(all);
}

int main(void)
{
    char dir[] = "/tmp/quorum-crash-XXXXXX";
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/q.db", dir);
    RUN(nothing_acknowledged_is_lost);
    char *rm = q_printf("rm -rf '%s'", dir);
    int rc = system(rm);
    free(rm);
    return rc ? 1 : TEST_END();
}
