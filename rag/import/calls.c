/* rag/import/calls: which calls of the system a program that reads hostile files may make: what reading needs, and nothing that opens a
 * connection, starts a program, writes a file or reaches another process. The kernel ends it at any other. It lasts until the process ends. */
#include "rag/import/held.h"

#include "base/seccomp.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };                 /* a sanitizer's own work at the end needs other calls: no filter */
#else
enum { SANITIZED = 0 };
#endif

/* Whatever its arguments are. Those that old machines have and new ones have not stand behind #ifdef. */
static const int any[] = {
    /* the pair and files that it was given */
    __NR_read, __NR_write, __NR_readv, __NR_writev, __NR_pread64, __NR_lseek, __NR_close, __NR_fstat, __NR_recvmsg, __NR_recvfrom, __NR_sendto, __NR_sendmsg, __NR_ppoll, __NR_fcntl,
    /* names: a table of letters lies in a file (iconv) */
    __NR_newfstatat, __NR_statx, __NR_faccessat, __NR_readlinkat, __NR_getcwd,
    /* memory */
    __NR_brk, __NR_munmap, __NR_mremap, __NR_madvise, __NR_futex,
    /* itself, and the time */
    __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_restart_syscall, __NR_exit, __NR_exit_group, __NR_getpid, __NR_gettid, __NR_getuid, __NR_geteuid, __NR_getgid, __NR_getegid,
    __NR_getrandom, __NR_clock_gettime, __NR_gettimeofday, __NR_uname, __NR_sysinfo, __NR_sched_getaffinity, __NR_sched_yield,
#ifdef __NR_faccessat2
    __NR_faccessat2,
#endif
#if defined(__x86_64__)
    __NR_stat, __NR_lstat, __NR_access, __NR_readlink, __NR_poll, __NR_time, __NR_arch_prctl,
#endif
};

/* A call that is allowed where (its argument & mask) is `value`, or (not) is another one. */
static void where(q_seccomp *f, int call, int arg, uint32_t mask, uint32_t value, bool is)
{
    q_seccomp_where(f, call, arg, mask, value, is ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS, is ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW);
}

bool held_calls(void)
{
    q_seccomp f;
    if (SANITIZED || !q_seccomp_begin(&f)) return false;
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) q_seccomp_call(&f, any[i], SECCOMP_RET_ALLOW);
    where(&f, __NR_openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_DIRECTORY, 0, true);         /* to read a file */
    where(&f, __NR_mmap, 2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC, false);
    where(&f, __NR_mprotect, 2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC, false);
    where(&f, __NR_prlimit64, 0, ~0u, 0, true);                 /* its own bounds */
    where(&f, __NR_ioctl, 1, ~0u, TCGETS, true);                /* "is it a terminal?" */
    return q_seccomp_hold(&f, SECCOMP_RET_KILL_PROCESS);
}

bool held_calls_work(void)
{
    int status = 0;
    pid_t pid = SANITIZED ? -1 : fork();
    if (pid == 0) _exit(held_calls() ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool rag_readers_held(void) { return held_calls_work(); }
