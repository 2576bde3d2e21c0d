/* base/child and base/seccomp: what a program that is started gets and has not, and what a filter lets through. Each filter holds in a process of
 * its own, which says by its status what it found. */
#include "tests/test.h"
#include "base/child.h"
#include "base/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const env[] = { (char *)"PATH=/usr/bin:/bin", (char *)"ONE=1", NULL };

/* All that a shell says, at its descriptors 1 (and 3, where three). */
static int shell(const char *command, q_child c, char *out, size_t size)
{
    int said[2], status;
    CHECK(pipe2(said, O_CLOEXEC) == 0);
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
    if (!c.program) c.program = "/bin/sh";
    c.argv = argv;
    c.env = env;
    c.fd[1] = said[1];
    pid_t pid = q_child_start(&c);
    close(said[1]);
    size_t n = 0;
    for (ssize_t k; n + 1 < size && (k = read(said[0], out + n, size - 1 - n)) > 0;) n += (size_t)k;
    out[n] = 0;
    close(said[0]);
    CHECK(pid > 0);
    status = q_child_end(pid, false);
    return status;
}

static void it_gets_what_it_is_given(void)
{
    char out[4096];
    int kept = open("/", O_RDONLY | O_DIRECTORY);                /* one that would be inherited */
    int text = memfd_create("given", MFD_CLOEXEC);
    CHECK(kept >= 0 && text >= 0 && write(text, "words\n", 6) == 6 && lseek(text, 0, SEEK_SET) == 0);
    int status = shell("pwd; cat; cat <&3; echo $ONE$HOME; ls /proc/self/fd | wc -l", (q_child){ .fd = { -1, -1, -1, text }, .folder = "/usr" }, out, sizeof out);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_STR(out, "/usr\nwords\n1\n5\n");              /* 0 to 3, and ls's own */
    status = shell("cat <&3 2>/dev/null || echo none; ls /proc/self/fd | wc -l; exit 3", (q_child){ .fd = { -1, -1, -1, -1 } }, out, sizeof out);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CHECK_STR(out, "none\n4\n");
    close(kept);
    close(text);
}

/* Ours may lie where they are put: each goes to its place all the same. */
static void descriptors_do_not_overwrite_each_other(void)
{
    char out[64];
    int at[3] = { -1, -1, -1 };
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 3; i++) {                             /* 0 to 2 in the other order */
            at[i] = memfd_create("x", 0);
            if (write(at[i], &"abc"[i], 1) != 1) _exit(9);
        }
        int result = memfd_create("r", 0), high[3];
        for (int i = 0; i < 3; i++) high[i] = fcntl(at[i], F_DUPFD, 100);
        int to = fcntl(result, F_DUPFD, 100);
        for (int i = 0; i < 3; i++) dup2(high[i], i);
        dup2(to, 3);
        for (int i = 0; i < 4; i++) lseek(i, 0, SEEK_SET);
        char *argv[] = { (char *)"sh", (char *)"-c", (char *)"a=$(cat /proc/$$/fd/0) b=$(cat /proc/$$/fd/1) c=$(cat /proc/$$/fd/3); echo $a$b$c >&2", NULL };
        pid_t p = q_child_start(&(q_child){ .program = "/bin/sh", .argv = argv, .env = env, .fd = { 2, 0, 3, 1 } });
        if (p <= 0 || q_child_end(p, false) != 0) _exit(8);
        lseek(3, 0, SEEK_SET);
        ssize_t n = read(3, out, sizeof out);
        _exit(n >= 3 && out[0] == 'c' && out[1] == 'a' && out[2] == 'b' ? 0 : 7);
    }
    int status = q_child_end(pid, false);
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

static void few_files(const void *user)
{
    struct rlimit l = { *(const rlim_t *)user, *(const rlim_t *)user };
    setrlimit(RLIMIT_NOFILE, &l);
}

static void what_comes_last_holds_in_it_alone(void)
{
    char out[64];
    rlim_t most = 17;
    struct rlimit was, now;
    getrlimit(RLIMIT_NOFILE, &was);
    shell("ulimit -n", (q_child){ .fd = { -1, -1, -1, -1 }, .last = few_files, .user = &most }, out, sizeof out);
    CHECK_STR(out, "17\n");
    getrlimit(RLIMIT_NOFILE, &now);
    CHECK(was.rlim_cur == now.rlim_cur);
}

static void what_cannot_start_says_so(void)
{
    char out[64];
    int status = shell("", (q_child){ .program = "/dev/null/none", .fd = { -1, -1, -1, -1 }, .cannot = 99 }, out, sizeof out);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 99);
    status = shell("echo x", (q_child){ .folder = "/dev/null/none", .fd = { -1, -1, -1, -1 }, .cannot = 98 }, out, sizeof out);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 98);
    CHECK_STR(out, "");
}

static void it_ends_with_its_group(void)
{
    int said[2];
    char c;
    CHECK(pipe2(said, O_CLOEXEC) == 0);
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)"sleep 1000 & echo on; wait", NULL };
    for (int session = 0; session < 2; session++) {
        pid_t pid = q_child_start(&(q_child){ .program = "/bin/sh", .argv = argv, .env = env, .fd = { -1, said[1], -1, -1 }, .session = session });
        CHECK(pid > 0 && read(said[0], &c, 1) == 1 && read(said[0], &c, 1) == 1 && read(said[0], &c, 1) == 1);
        CHECK((getsid(pid) == pid) == (session == 1) && getpgid(pid) == pid);
        int status = q_child_end(pid, true);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    close(said[1]);
    CHECK(read(said[0], &c, 1) == 0);            /* the sleepers held the other end */
    close(said[0]);
}

/* ---- filters ---- */
enum { NO = SECCOMP_RET_ERRNO | EPERM, OTHER = SECCOMP_RET_ERRNO | EDOM };
static bool gives(long got, int why) { return why ? got == -1 && errno == why : got >= 0; }
#define CALL(...) (errno = 0, syscall(__VA_ARGS__))

static int by_call(void)
{
    q_seccomp f;
    if (!q_seccomp_begin(&f)) return 50;
    q_seccomp_call(&f, SYS_getppid, NO);
    q_seccomp_call(&f, -1, SECCOMP_RET_KILL_PROCESS);            /* no rule */
    q_seccomp_call(&f, SYS_getppid, SECCOMP_RET_ALLOW);          /* the first one has decided */
    if (!q_seccomp_hold(&f, SECCOMP_RET_ALLOW)) return 51;
    return gives(CALL(SYS_getppid), EPERM) && gives(CALL(SYS_getpid), 0) ? 0 : 1;
}

static int by_last_word(void)
{
    q_seccomp f;
    if (!q_seccomp_begin(&f)) return 50;
    q_seccomp_call(&f, SYS_exit_group, SECCOMP_RET_ALLOW);
    if (!q_seccomp_hold(&f, SECCOMP_RET_KILL_PROCESS)) return 51;
    syscall(SYS_getppid);
    return 0;
}

static int by_argument(void)
{
    static const uint32_t some[] = { F_GETFD, F_GETFL, F_GETOWN };
    q_seccomp f;
    if (!q_seccomp_begin(&f)) return 50;
    q_seccomp_one_of(&f, SYS_fcntl, 1, some, 3, NO, OTHER);
    q_seccomp_where(&f, SYS_lseek, 1, 0xF0, 0x30, NO, OTHER);
    q_seccomp_bits(&f, SYS_dup3, 0, 4, 2, O_CLOEXEC, NO);
    q_seccomp_bits(&f, SYS_dup3, 0, 8, 1, 1, OTHER);
    if (!q_seccomp_hold(&f, SECCOMP_RET_ALLOW)) return 51;
    int bad = 0;
    for (size_t i = 0; i < 3; i++) bad += !gives(CALL(SYS_fcntl, 0, some[i], 0), EPERM);
    bad += !gives(CALL(SYS_fcntl, 0, F_SETFD, 0), EDOM);
    bad += !gives(CALL(SYS_lseek, 0, 0x3F, 0), EPERM);
    bad += !gives(CALL(SYS_lseek, 0, 0x131, 0), EPERM);
    bad += !gives(CALL(SYS_lseek, 0, 0x40, 0), EDOM);
    bad += !gives(CALL(SYS_dup3, 900 | 4, 900, O_CLOEXEC), EPERM);       /* both bits */
    bad += !gives(CALL(SYS_dup3, 904 & ~4, 901, 0), EDOM);               /* the second rule's */
    bad += !gives(CALL(SYS_dup3, 992 & ~12, 900, O_CLOEXEC), EBADF);     /* neither: the kernel's own word */
    bad += !gives(CALL(SYS_getpid), 0);
    return bad;
}

static int by_too_many(void)
{
    q_seccomp f;
    if (!q_seccomp_begin(&f)) return 50;
    for (int i = 0; i < Q_SECCOMP_MAX; i++) q_seccomp_call(&f, SYS_getppid, NO);
    errno = 0;
    return !q_seccomp_hold(&f, SECCOMP_RET_ALLOW) && errno == E2BIG && gives(CALL(SYS_getppid), 0) ? 0 : 1;
}

static void filters_let_through_what_they_say(void)
{
    static const struct { const char *name; int (*fn)(void); int killed; } rows[] = {
        { "by_call", by_call, 0 }, { "by_last_word", by_last_word, 1 }, { "by_argument", by_argument, 0 }, { "by_too_many", by_too_many, 0 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(rows[i].fn());
        int status = q_child_end(pid, false);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 50) {
            SKIP("filters", "nothing is known of this machine's calls");
            return;
        }
        if (rows[i].killed) CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: %d", rows[i].name, status);
        else CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: %d", rows[i].name, status);
    }
}

int main(void)
{
    RUN(it_gets_what_it_is_given);
    RUN(descriptors_do_not_overwrite_each_other);
    RUN(what_comes_last_holds_in_it_alone);
    RUN(what_cannot_start_says_so);
    RUN(it_ends_with_its_group);
    RUN(filters_let_through_what_they_say);
    return TEST_END();
}
