/* tools/box: the program quorum-box. It starts a command, or itself again around one, and watches over it: all that comes of the command
 * has ended when quorum-box ends. Its standard input is a lifeline that quorum holds, a pair of sockets: when nobody is at its other end any more,
 * all is killed; "m" goes up it where there were too many processes. One thread. It reads no file but /proc and writes none.
 *
 * quorum-box watch [LIMITS] -- PROGRAM …    starts it, watches, ends as it ended
 * quorum-box hold [RULES] [LIMITS] -- PROGRAM …     holds itself in and becomes it
 * quorum-box landlock                       says which Landlock the kernel has */
#include "tools/box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CANNOT = 125,
       LOOK_MS = 10,
       LOOKS = 20,
       SPARE = 64 }; /* between two glances; glances between two looks; processes beyond those allowed, for the watch to see */

/* To what started it; nothing of anybody else's stands in it. */
static void tell(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0) _exit(CANNOT);
}
static _Noreturn void cannot(const char *what)
{
    char text[256];
    snprintf(text, sizeof text, "quorum-box: %.80s: %.80s\n", what, strerror(errno));
    tell(2, text);
    _exit(CANNOT);
}

/* ---- what it is told ---- */
static bool path_of(const char *v, const char **list, int *n)
{
    if (*n >= BOX_PATHS) return false;
    list[(*n)++] = v;
    return true;
}

static bool number_of(const char *v, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(v, &end, 10);
    return *v >= '0' && *v <= '9' && !*end && !errno && *out <= most;
}

static bool told(box *b, const char *name, const char *v)
{
    uint64_t n = 0;
    if (strcmp(name, "read") == 0) return path_of(v, b->read, &b->n_read);
    if (strcmp(name, "write") == 0) return path_of(v, b->write, &b->n_write);
    if (strcmp(name, "memory") == 0) return number_of(v, UINT64_MAX / 2, &b->memory);
    if (strcmp(name, "file") == 0) return number_of(v, UINT64_MAX / 2, &b->file);
    if (!number_of(v, 1 << 20, &n)) return false;
    if (strcmp(name, "cpu") == 0) b->cpu_s = (int)n;
    else if (strcmp(name, "processes") == 0) b->processes = (int)n;
    else if (strcmp(name, "files") == 0) b->files = (int)n;
    else if (strcmp(name, "landlock") == 0) b->landlock = n;
    else if (strcmp(name, "scope") == 0) b->scope = n;
    else if (strcmp(name, "sockets") == 0) b->sockets = n;
    else if (strcmp(name, "local") == 0) b->local = n;
    else if (strcmp(name, "network") == 0) b->network = n;
    else if (strcmp(name, "modes") == 0) b->modes = n;
    else return false;
    return true;
}

/* ---- holding itself in ---- */
static void limit(int what, uint64_t n)
{
    struct rlimit l;
    if (!n || getrlimit(what, &l) != 0) return;
    if (l.rlim_max != RLIM_INFINITY && n > l.rlim_max) n = l.rlim_max;
    l.rlim_cur = l.rlim_max = n;
    if (setrlimit(what, &l) != 0) cannot("a limit");
}

/* Whoever is root, or has a right of root's, has it no more, nor do the programs that it becomes (capabilities(7)). */
static void no_rights(void)
{
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct none[2] = { 0 };
    for (int i = 0; i < 64; i++) prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0);
    if (syscall(SYS_capset, &h, none) != 0) cannot("no rights of root");
}

/* Where memory runs out the command goes before what started it. */
static void first_to_go(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, "1000", 4) != 4) {} /* a limit more, where the system has it */
    close(fd);
}

static _Noreturn void hold(const box *b, char **argv)
{
    first_to_go();
    limit(RLIMIT_CPU, (uint64_t)b->cpu_s);
    limit(RLIMIT_NOFILE, (uint64_t)b->files);
    limit(RLIMIT_DATA, b->memory);
    limit(RLIMIT_FSIZE, b->file);
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) cannot("no new rights");
    no_rights();
    if (!box_landlock(b)) cannot("Landlock");
    if (!box_filter(b)) cannot("the filter of system calls");
    if (b->modes) close(BOX_MODES_FD);
    execv(argv[0], argv);
    cannot(argv[0]);
}

/* ---- watching ---- */
typedef struct list {
    pid_t *pid, *parent;
    bool *ours;
    int n, cap;
} list;

static bool number_name(const char *s)
{
    for (; *s; s++)
        if (*s < '0' || *s > '9') return false;
    return true;
}

/* All processes with their parents. */
static void look(list *l)
{
    DIR *d = opendir("/proc");
    l->n = 0;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char path[64], text[512];
        if (!number_name(e->d_name)) continue;
        snprintf(path, sizeof path, "/proc/%.20s/stat", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        ssize_t k = read(fd, text, sizeof text - 1);
        close(fd);
        if (k <= 0) continue;
        text[k] = 0;
        const char *end = strrchr(text, ')'); /* a name may hold anything */
        int parent;
        char state;
        if (!end || sscanf(end + 1, " %c %d", &state, &parent) != 2 || state == 'X') continue;
        if (l->n == l->cap) {
            l->cap = l->cap ? 2 * l->cap : 256;
            l->pid = realloc(l->pid, (size_t)l->cap * sizeof *l->pid);
            l->parent = realloc(l->parent, (size_t)l->cap * sizeof *l->parent);
            l->ours = realloc(l->ours, (size_t)l->cap * sizeof *l->ours);
            if (!l->pid || !l->parent || !l->ours) abort();
        }
        l->pid[l->n] = atoi(e->d_name);
        l->parent[l->n++] = parent;
    }
    if (d) closedir(d);
}

static int place_of(const list *l, pid_t pid)
{
    for (int low = 0, high = l->n - 1; low <= high;) {
        int mid = (low + high) / 2;
        if (l->pid[mid] == pid) return mid;
        if (l->pid[mid] < pid) low = mid + 1;
        else high = mid - 1;
    }
    return -1;
}

/* How many of these come of the command. /proc lists them by number, and most have a greater one than their parents. */
static int ours(list *l)
{
    int n = 0;
    pid_t self = getpid();
    memset(l->ours, 0, (size_t)l->n * sizeof *l->ours);
    for (int was = -1; was != n;) {
        was = n;
        for (int i = 0; i < l->n; i++) {
            int up = l->ours[i] || l->parent[i] == self ? -1 : place_of(l, l->parent[i]);
            if (l->ours[i] || (l->parent[i] != self && (up < 0 || !l->ours[up]))) continue;
            l->ours[i] = true;
            n++;
        }
    }
    return n;
}

/* How many threads there are on the machine: one short read, where a look takes hundreds. */
static long glance(void)
{
    char text[128];
    long all = 0;
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t k = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[k > 0 ? k : 0] = 0;
    const char *p = strchr(text, '/');
    return p && sscanf(p + 1, "%ld", &all) == 1 ? all : 0;
}

/* Whether the command has more processes than it may. was: threads at the last look. */
static bool too_many(const box *b, list *l, long *was, int *glances)
{
    long now = glance();
    if (++*glances < LOOKS && now < *was + b->processes / 4) return false;
    *glances = 0;
    *was = now;
    look(l);
    return ours(l) > b->processes;
}

/* Whoever loses its parent becomes our child, so nobody gets away; whoever was killed can have no further child. */
static void end_all(list *l, pid_t first)
{
    for (;;) {
        kill(-first, SIGKILL);
        look(l);
        int n = ours(l);
        for (int i = 0; i < l->n; i++)
            if (l->ours[i]) kill(l->pid[i], SIGKILL);
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
        if (!n) return;
        usleep(1000);
    }
}

/* Threads of this user on the machine. */
static uint64_t threads_of_mine(void)
{
    uint64_t n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char path[64], text[512];
        struct stat st;
        long threads;
        if (!number_name(e->d_name)) continue;
        snprintf(path, sizeof path, "/proc/%.20s/stat", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        ssize_t k = fstat(fd, &st) == 0 && st.st_uid == getuid() ? read(fd, text, sizeof text - 1) : 0;
        close(fd);
        text[k > 0 ? k : 0] = 0;
        const char *end = strrchr(text, ')');
        if (end && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &threads) == 1 && threads > 0) n += (uint64_t)threads;
    }
    if (d) closedir(d);
    return n;
}

/* So many processes that whoever watches them gets no turn are not made: the kernel counts them for all but root, and for root the watch goes
 * before everything else. */
static void go_before(const box *b, uint64_t *most)
{
    struct sched_param p = {.sched_priority = 1};
    *most = b->processes && geteuid() ? threads_of_mine() + (uint64_t)b->processes + SPARE : 0;
    if (b->processes) sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p);   /* where that is allowed */
}

/* *told: where the listener will come from; -1: none is awaited. */
static pid_t start_watched(const box *b, char **argv, int *events, int *told)
{
    int pair[2] = { -1, -1 };
    sigset_t s, none;
    sigemptyset(&s);
    sigemptyset(&none);
    int all[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP };
    for (int i = 0; i < 4; i++) sigaddset(&s, all[i]);
    sigprocmask(SIG_BLOCK, &s, NULL);
    if ((*events = signalfd(-1, &s, SFD_CLOEXEC)) < 0) cannot("signals");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) cannot("its children's children");
    if (b->modes && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) cannot("a pair of sockets");
    uint64_t most;
    go_before(b, &most);
    pid_t pid = fork();
    if (pid < 0) cannot("a process");
    *told = pair[0];
    if (pid && pair[1] >= 0) close(pair[1]);
    if (pid) return pid;
    if (nice(5) == -1) {}                                        /* a step behind whoever watches */
    limit(RLIMIT_NPROC, most);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0) cannot("/dev/null"); /* the lifeline is ours alone */
    if (null > 2) close(null);
    if (b->modes && (pair[1] == BOX_MODES_FD ? fcntl(pair[1], F_SETFD, 0) : dup2(pair[1], BOX_MODES_FD)) < 0) cannot("a pair of sockets");
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(argv[0], argv);
    cannot(argv[0]);
}

/* The listener comes, or somebody waits at it, or nobody is left who could. Returns the listener, -1: there is none. */
static int hear_of_modes(const box *b, int *told, int listener, int what)
{
    if (listener >= 0 && what & POLLIN) {
        box_modes_answer(b, listener);
        return listener;
    }
    if (listener >= 0) {
        close(listener);
        return -1;
    }
    if (*told >= 0) listener = box_modes_take(*told);
    close(*told);
    *told = -1;
    return listener;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static _Noreturn void watch(const box *b, char **argv)
{
    int events, told, listener = -1, status = 0, glances = 0;
    int64_t next = 0;
    long threads = glance();
    bool many = false, over = false;
    list l = { 0 };
    pid_t first = start_watched(b, argv, &events, &told);
    while (!over) {
        struct pollfd p[] = { { 0, POLLIN, 0 }, { events, POLLIN, 0 }, { listener >= 0 ? listener : told, POLLIN, 0 } };
        if (poll(p, 3, LOOK_MS) < 0 && errno != EINTR) break;
        struct signalfd_siginfo i;
        if (p[1].revents && read(events, &i, sizeof i) == sizeof i && i.ssi_signo != SIGCHLD) break;
        if (p[0].revents) break;
        if (p[2].revents) listener = hear_of_modes(b, &told, listener, p[2].revents);
        for (pid_t k; (k = waitpid(-1, &status, WNOHANG)) > 0;)
            if (k == first) {
                over = true;
                break;
            }
        if (!over && b->processes && now_ms() >= next) {
            if ((many = too_many(b, &l, &threads, &glances))) break;
            next = now_ms() + LOOK_MS;
        }
    }
    end_all(&l, first);
    free(l.pid);
    free(l.parent);
    free(l.ours);
    if (many && write(0, "m", 1) == 1) _exit(CANNOT);
    if (!over) _exit(CANNOT);
    if (WIFSIGNALED(status)) { /* as it ended, so do we */
        struct rlimit none = { 0, 0 };
        sigset_t s;
        setrlimit(RLIMIT_CORE, &none);
        sigfillset(&s);
        signal(WTERMSIG(status), SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &s, NULL);
        kill(getpid(), WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    box b = { 0 };
    if (argc == 2 && strcmp(argv[1], "landlock") == 0) {
        char text[32];
        snprintf(text, sizeof text, "%d\n", box_landlock_abi());
        tell(1, text);
        return 0;
    }
    int i = 2;
    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2)
        if (!told(&b, argv[i], argv[i + 1])) argc = 0;
    if (argc < 3 || i + 1 >= argc || strcmp(argv[i], "--") != 0) {
        tell(2, "quorum-box belongs to quorum, which starts it around a command of the model\n");
        return CANNOT;
    }
    if (strcmp(argv[1], "watch") == 0) watch(&b, argv + i + 1);
    if (strcmp(argv[1], "hold") == 0) hold(&b, argv + i + 1);
    return CANNOT;
}
