/* rag/import/held: starts programs that read hostile files, and ends them. Their work, memory and words are bounded. Any thread. No shell
 * runs. */
#include "rag/import/held.h"

#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SHADOWED = 1 };                  /* a sanitizer's shadow takes all addresses there are */
#else
enum { SHADOWED = 0 };
#endif

#ifdef __SANITIZE_THREAD__
enum { FILE_MOST = 1 << 20 };           /* its library writes a mark of half a mebibyte into a file without a name before main */
#else
enum { FILE_MOST = 0 };
#endif

static void limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit l = {soft, hard};
    setrlimit(what, &l);
}

/* Between fork and exec: nothing but calls of the system. */
static void bounds(const void *limits)
{
    const held_limits *l = limits;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    unshare(CLONE_NEWUSER | CLONE_NEWNET);              /* where it is forbidden the other bounds hold */
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_FSIZE, FILE_MOST, FILE_MOST);
    limit(RLIMIT_NOFILE, 64, 64);
    if (!SHADOWED) limit(RLIMIT_AS, l->memory, l->memory);
    limit(RLIMIT_CPU, (rlim_t)l->cpu_s, HELD_CPU_ALL);
}

pid_t held_start(const char *program, char *const argv[], int given, int said, const held_limits *l)
{
    char *const env[] = {(char *)"LC_ALL=C", (char *)"PATH=/usr/bin:/bin", NULL};
    return q_child_start(&(q_child){.program = program, .argv = argv, .env = env, .fd = {-1, said, -1, given}, .dies_with_us = true, .cannot = 127, .last = bounds, .user = l});
}

int held_end(pid_t pid, bool end) { return q_child_end(pid, end); }

void held_work(int cpu_s)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    limit(RLIMIT_CPU, (rlim_t)(t.tv_sec + 1 + cpu_s < HELD_CPU_ALL ? t.tv_sec + 1 + cpu_s : HELD_CPU_ALL), HELD_CPU_ALL);
}

int held_above(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HELD_FD + 1);
    if (fd >= 0) close(fd);
    return high;
}

static bool filled(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return lseek(fd, 0, SEEK_SET) == 0;
}

int held_file(const char *p, size_t n)
{
    int fd = held_above(memfd_create("document", MFD_CLOEXEC));
    if (fd < 0 || filled(fd, p, n)) return fd;
    close(fd);
    return -1;
}

const char *held_still(void) { return _("the program that reads it stands still"); }
const char *held_killed(void) { return _("reading it takes more work or memory than a document may take"); }
