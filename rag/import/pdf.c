/* rag/import/pdf: has pdftotext (poppler-utils) read a PDF, in a process that is held in: its work, memory and words are
 * bounded, it can write no file and, where the system allows it, reach no network; it is killed when it stalls and when we end.
 * A hostile file costs its own reading. Owns the process while the call lasts; any thread. It runs no shell. */
#include "rag/import/pdf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

const pdf_limits pdf_ordinary = {.cpu_s = 30, .stall_ms = 60000, .memory = (size_t)1 << 30, .out = 16 << 20};
enum { FILE_FD = 3, PIECE = 1 << 16 };

static void limit(int what, rlim_t most)
{
    struct rlimit l = {most, most};
    setrlimit(what, &l);
}

/* Between fork and exec: nothing but calls of the system. */
static _Noreturn void child(const char *program, int file, int out, const pdf_limits *l)
{
    char *const argv[] = {(char *)"pdftotext", (char *)"-q", (char *)"-enc", (char *)"UTF-8", (char *)"-eol", (char *)"unix", (char *)"/dev/fd/3", (char *)"-", NULL};
    char *const env[] = {(char *)"LC_ALL=C", (char *)"PATH=/usr/bin:/bin", NULL};
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setpgid(0, 0);
    /* both lie above what they are put onto (run) */
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0 || dup2(file, FILE_FD) < 0) _exit(127);
    close_range(FILE_FD + 1, ~0u, 0);
    unshare(CLONE_NEWUSER | CLONE_NEWNET);              /* where it is forbidden the other bounds hold */
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 64);
    limit(RLIMIT_AS, l->memory);
    limit(RLIMIT_CPU, (rlim_t)l->cpu_s);
    signal(SIGPIPE, SIG_DFL);
    execve(program, argv, env);
    _exit(127);
}

/* What it says, until its end. NULL, or why it was ended. */
static const char *listen_to(int fd, const pdf_limits *l, q_buf *out)
{
    char *piece = q_alloc(PIECE);
    const char *why = NULL;
    for (bool more = true; more;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, l->stall_ms);
        if (n < 0 && errno == EINTR) continue;
        ssize_t k = n > 0 ? read(fd, piece, PIECE) : 0;
        if (k < 0 && errno == EINTR) continue;
        if (n == 0) why = _("the program that reads it stands still");
        if (k > 0) q_buf_add(out, piece, (size_t)k);
        if (out->len > l->out) why = _("more comes out of it than any document holds");
        more = k > 0 && !why;
    }
    free(piece);
    return why;
}

/* A descriptor that no standard one is put onto. */
static int above(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FILE_FD + 1);
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

static const char *run(const char *program, const q_buf *pdf, const pdf_limits *l, q_buf *out)
{
    int ends[2] = {-1, -1}, file = above(memfd_create("pdf", MFD_CLOEXEC)), status = 0;
    const char *why = NULL;
    pid_t pid = -1;
    if (file >= 0 && filled(file, pdf->p, pdf->len) && pipe2(ends, O_CLOEXEC) == 0 && (ends[1] = above(ends[1])) >= 0) pid = fork();
    if (pid == 0) child(program, file, ends[1], l);
    if (ends[1] >= 0) close(ends[1]);
    if (pid > 0) {
        why = listen_to(ends[0], l, out);
        if (why && kill(-pid, SIGKILL) != 0) kill(pid, SIGKILL);        /* before it has a group of its own */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        if (!why && WIFSIGNALED(status)) why = _("reading it takes more work or memory than a document may take");
        else if (!why && WIFEXITED(status) && WEXITSTATUS(status) != 0 && out->len == 0) why = _("it is damaged, or locked with a password");
    } else why = _("the program that reads it could not be started");
    if (ends[0] >= 0) close(ends[0]);
    if (file >= 0) close(file);
    return why;
}

const char *rag_pdf(q_buf *b, const pdf_limits *l)
{
    char *program = q_find_program("pdftotext");
    if (!program) return _("it is a PDF, which pdftotext reads: install poppler-utils, then add it again");
    q_buf out = {0};
    const char *why = run(program, b, l, &out);
    size_t words = 0;
    for (size_t i = 0; i < out.len; i++) {
        if (out.p[i] == '\f') out.p[i] = '\n';          /* pages */
        words += out.p[i] != '\n' && out.p[i] != ' ' && out.p[i] != 0;
    }
    free(program);
    if (!why && !words) why = _("there are no words in it: it may be pictures of pages");
    if (!why) {
        q_buf_clear(b);
        q_buf_puts_clean(b, &out);
    }
    q_buf_free(&out);
    return why;
}
