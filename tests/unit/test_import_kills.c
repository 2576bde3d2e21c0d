/* import and crashes: a process that takes a folder in (documents of every kind, archives, files that changed) is killed at its k-th write to the
 * store, before it or in the middle of it, or finds the disk full from there on. After each the store is whole, and a last addition brings
 * what a store has that nothing happened to. k is drawn from a fixed seed. 20 rounds; QUORUM_KILLS says how many (make import-kills). */
#include "memory/store.h"
#include "rag/rag.h"
#include "tests/memory_help.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum what { COUNT, KILLED, TORN, FULL, WHATS };
static struct { long writes, at; enum what what; } *shared;     /* with the process that writes */
static ssize_t (*really)(int fd, const void *p, size_t n, off_t at);

static ssize_t counted(int fd, const void *p, size_t n, off_t at)
{
    long k = ++shared->writes;
    if (shared->what == FULL && k >= shared->at) {
        errno = ENOSPC;
        return -1;
    }
    if (shared->what != COUNT && k == shared->at) {
        if (shared->what == TORN && really(fd, p, n / 2, at) < 0) _exit(9);
        raise(SIGKILL);
    }
    return really(fd, p, n, at);
}

/* In the process that is to be killed: the store's writes go through counted. */
static bool count_writes(void)
{
    static const char *const names[] = {"pwrite64", "pwrite"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (int i = 0; i < 2 && vfs && vfs->xGetSystemCall; i++) {
        sqlite3_syscall_ptr was = vfs->xGetSystemCall(vfs, names[i]), ours;
        ssize_t (*f)(int, const void *, size_t, off_t) = counted;
        if (!was) continue;
        memcpy(&really, &was, sizeof was);
        memcpy(&ours, &f, sizeof ours);
        return vfs->xSetSystemCall(vfs, names[i], ours) == SQLITE_OK;
    }
    return false;
}

static bool always(void *user) { return (void)user, true; }

/* Everything that is taken in. Returns what the addition said. */
static int take(const char *db)
{
    mem_store *s;
    rag_progress p;
    static const store_watch counted_steps = {.timeless = true};       /* the same writes on every machine */
    if (store_open(db, &counted_steps, &s, err) != Q_OK) return Q_IO;
    int rc = rag_add(s, file("in"), NULL, &p, err);
    if (rc == Q_OK) rc = mem_tidy(s, always, NULL, err);
    char was[Q_ERRLEN];
    memcpy(was, err, sizeof was);
    mem_close(s);
    memcpy(err, was, sizeof was);
    return rc;
}

/* ---- the folder ---- */
static void copy(const char *from, const char *to)
{
    q_buf b = {0};
    OK(q_read_file(from, &b, 1 << 24, err));
    OK(q_write_file_atomic(to, b.p, b.len, err));
    q_buf_free(&b);
}

static void fill_folder(void)
{
    static const char *const from[] = {"tests/golden/chats/*", "tests/golden/readers/[a-ce-z]*"};
    mkdir(file("in"), 0700);
    for (int i = 0; i < 2; i++) {
        glob_t g;
        CHECK_INT(glob(from[i], 0, NULL, &g), 0);
        for (size_t k = 0; k < g.gl_pathc; k++) {
            const char *name = strrchr(g.gl_pathv[k], '/') + 1, *dot = strrchr(name, '.');
            if (dot && (strcmp(dot, ".want") == 0 || strcmp(dot, ".py") == 0)) continue;
            char *to = q_printf("%s/in/%s", dir, name);
            copy(g.gl_pathv[k], to);
            free(to);
        }
        globfree(&g);
    }
}

/* What differs from round to round: one that is stored in parts, and small ones. */
static void change_folder(int round)
{
    q_buf b = {0};
    for (int i = 0; i < 400; i++) q_buf_printf(&b, "# Part %d\n\nthe heron of round %d stands at pond %d and waits for the fish of the morning\n\n", i, i % 7 == round % 7 ? round : 0, i);
    OK(q_write_file_atomic(file("in/large.md"), b.p, b.len, err));
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "in/small%d.md", i);
        q_buf_clear(&b);
        q_buf_printf(&b, "# Small %d\n\nround %d says what it says\n", i, i == round % 5 ? round : 0);
        OK(q_write_file_atomic(file(name), b.p, b.len, err));
    }
    q_buf_free(&b);
}

/* ---- what is there ---- */
struct lines { char **v; int n; };

static bool a_row(void *user, const char *name, const mem_export_value *v, int n)
{
    struct lines *l = user;
    static const char *const said[] = {"path", "title", "name", "heading", "text", "sha256", "external", "source", "thinking", "author", "model", "was", "role", "hidden", "state"};
    if (strcmp(name, "document") != 0 && strcmp(name, "chunk") != 0 && strcmp(name, "message") != 0 && strncmp(name, "import", 6) != 0 && strcmp(name, "conversation") != 0) return true;
    q_buf b = {0};
    q_buf_puts(&b, name);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof said / sizeof *said; k++) {
            if (strcmp(v[i].name, said[k]) != 0) continue;
            q_buf_printf(&b, " %s=", v[i].name);
            q_buf_add(&b, v[i].text, v[i].n);
        }
    l->v = q_realloc(l->v, sizeof *l->v * (size_t)(l->n + 1));
    l->v[l->n++] = q_buf_take(&b);
    return true;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static struct lines all_of(const char *db)
{
    struct lines l = {0};
    int unread = 0;
    OK(mem_export(db, a_row, &l, &unread, err));
    CHECK_INT(unread, 0);
    if (l.n) qsort(l.v, (size_t)l.n, sizeof *l.v, by_text);
    return l;
}

static void lines_free(struct lines *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
}

/* ---- rounds ---- */
/* Exit status of a process that takes the folder in; -1: it was killed. 10: all was taken; 11: it said why not. */
static int in_a_process(const char *db, enum what what, long at)
{
    shared->what = what;
    shared->at = at;
    shared->writes = 0;
    pid_t p = fork();
    if (p == 0) {
        if (!count_writes()) _exit(8);
        int rc = take(db);
        _exit(rc == Q_OK ? 10 : *err ? 11 : 12);
    }
    int st = 0;
    waitpid(p, &st, 0);
    return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

static void a_store_is_whole_wherever_an_import_ends(void)
{
    const char *env = getenv("QUORUM_KILLS");
    int rounds = env ? atoi(env) : getenv("QUORUM_LONG") ? 200 : 20, kills = 0, fulls = 0;
    char *db = q_strdup(file("q.db")), *calm = q_strdup(file("calm.db"));
    uint64_t x = 88172645463325252u;
    fill_folder();
    change_folder(0);
    CHECK_INT(in_a_process(db, COUNT, 0), 10);
    long first = shared->writes, again = 0;
    CHECK_MSG(first > 100, "%ld writes", first);
    for (int r = 1; r <= rounds && !test_bad; r++) {
        enum what what = (enum what)(KILLED + r % (WHATS - 1));
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        bool fresh = r % 4 == 1;                        /* from nothing, else what changed since */
        if (fresh) {
            for (int i = 0; i < 3; i++) {
                char *path = q_printf("%s%s", db, (const char *const[]){"", "-wal", "-shm"}[i]);
                unlink(path);
                free(path);
            }
            again = 0;
        }
        change_folder(r);
        long k = 1 + (long)(x % (uint64_t)(fresh ? first - first / 10 : again > 20 ? again : 60));
        int ended = in_a_process(db, what, k);
        /* a later round may have less to write than k: then it came to its end */
        CHECK_MSG(ended == 10 || ended == (what == FULL ? 11 : -1), "round %d: %s at write %ld: status %d", r, what == FULL ? "full" : "killed", k, ended);
        CHECK_MSG(!fresh || ended != 10, "round %d: nothing happened at write %ld of %ld", r, k, shared->writes);
        if (ended == 10) again = shared->writes;
        kills += ended == -1;
        fulls += ended == 11;
        mem_store *s;
        OK(mem_open(db, &s, err));
        if (test_bad) break;
        OK(mem_check(s, err));
        mem_close(s);
        if (test_bad) printf("# round %d, write %ld, %s\n", r, k, what == FULL ? "full" : what == TORN ? "torn" : "killed");
    }
    CHECK_INT(in_a_process(db, COUNT, 0), 10);
    CHECK_INT(in_a_process(calm, COUNT, 0), 10);
    struct lines a = all_of(db), b = all_of(calm);
    CHECK_INT(a.n, b.n);
    for (int i = 0; i < a.n && i < b.n && !test_bad; i++) CHECK_STR(a.v[i], b.v[i]);
    CHECK(b.n > 500);
    CHECK(kills >= rounds / 4 && fulls >= rounds / 8);
    for (int i = 0; i < 3; i++) {
        char *path = q_printf("%s%s", db, (const char *const[]){"", "-wal", "-shm"}[i]);
        unlink(path);
        free(path);
    }
    printf("# %d kills and %d full disks among %ld writes; %d rows\n", kills, fulls, first, b.n);
    lines_free(&a);
    lines_free(&b);
    free(db);
    free(calm);
}

/* ---- two at once ---- */
/* The other has the file for longer than anybody waits: once more. */
static bool busy(int rc) { return rc != Q_OK && strstr(err, "is busy"); }

/* One that talks while the other takes in: each message stands below the one before it. */
static int talk(const char *db, int rounds, double until)
{
    mem_store *s;
    int64_t c = 0, at = 0, id;
    int n = 0;
    while (busy(mem_open(db, &s, err))) {}
    while (busy(mem_conversation_new(s, "beside an import", &c, err))) {}
    for (; c && (until > 0 ? (double)q_now_ns() * 1e-9 < until : n < rounds); n++) {
        char text[64];
        int len = snprintf(text, sizeof text, "word %d of one who talks", n), rc;
        while (rc = mem_message_add(s, c, at, n % 2 ? MEM_ASSISTANT : MEM_USER, text, (size_t)len, &id, err), busy(rc)) {}
        if (rc != Q_OK) {
            printf("# message %d: %s\n", n, err);
            fflush(stdout);
            return 1;
        }
        at = id;
        shared->writes = n + 1;
    }
    mem_close(s);
    return 10;
}

static void two_processes_lose_nothing(void)
{
    bool minute = getenv("QUORUM_LONG") != NULL;
    char *db = q_strdup(file("two.db")), *calm = q_strdup(file("calm2.db"));
    double until = minute ? (double)q_now_ns() * 1e-9 + 60 : 0;
    int takes = 0, st = 0;
    mem_store *s;
    OK(mem_open(db, &s, err));                          /* made by one, so that both find it */
    mem_close(s);
    shared->writes = 0;
    pid_t talker = fork();
    if (talker == 0) _exit(talk(db, 60, until));
    for (int r = 1; (minute ? (double)q_now_ns() * 1e-9 < until : r <= 4) && !test_bad; r++, takes++) {
        change_folder(r);
        pid_t other = fork();                           /* and two that take the same folder in */
        if (other == 0) {
            int rc;
            while (rc = take(db), busy(rc)) {}
            if (rc != Q_OK) printf("# the other: %s\n", err), fflush(stdout);
            _exit(rc == Q_OK ? 10 : 1);
        }
        int rc;
        while (rc = take(db), busy(rc)) {}
        CHECK_MSG(rc == Q_OK, "%d %s", rc, err);
        waitpid(other, &st, 0);
        CHECK_INT(WIFEXITED(st) ? WEXITSTATUS(st) : -1, 10);
    }
    waitpid(talker, &st, 0);
    CHECK_INT(WIFEXITED(st) ? WEXITSTATUS(st) : -1, 10);
    long said = shared->writes;
    OK(mem_open(db, &s, err));
    OK(mem_check(s, err));
    mem_conversations l;
    int64_t c = 0;
    OK(mem_conversation_list(s, &l, err));
    for (int i = 0; i < l.n; i++)
        if (strcmp(l.v[i].title, "beside an import") == 0) c = l.v[i].id;
    mem_conversations_free(&l);
    mem_messages m;
    OK(mem_branch(s, c, 0, &m, err));
    CHECK_INT(m.n, said);
    mem_messages_free(&m);
    OK(mem_conversation_delete(s, c, err));
    OK(mem_tidy(s, always, NULL, err));
    mem_close(s);
    CHECK_INT(in_a_process(calm, COUNT, 0), 10);
    struct lines a = all_of(db), b = all_of(calm);
    CHECK_INT(a.n, b.n);
    for (int i = 0; i < a.n && i < b.n && !test_bad; i++) CHECK_STR(a.v[i], b.v[i]);
    printf("# %d times taken in by two, %ld messages beside them\n", takes, said);
    lines_free(&a);
    lines_free(&b);
    free(db);
    free(calm);
}

int main(void)
{
    /* a kill loses nothing that the system has, so that no disk need be waited for */
    snprintf(dir, sizeof dir, "%s", "/dev/shm/quorum-kills-XXXXXX");
    if (!mkdtemp(dir) && !memory_begin("kills")) return 1;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    RUN(a_store_is_whole_wherever_an_import_ends);
    RUN(two_processes_lose_nothing);
    return memory_end();
}
