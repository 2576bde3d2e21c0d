/* rag/import/calls: which calls of the system a program that reads hostile files may make: what reading needs, and nothing that opens a
 * connection, starts a program, writes a file or reaches another process. The kernel ends it at any other. It lasts until the process ends. */
#include "rag/import/held.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0                          /* no table for it: no filter */
#endif

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

enum { MOST = 256 };
typedef struct program { struct sock_filter v[MOST]; unsigned short n; } program;

static void put(program *p, unsigned short code, uint32_t k, unsigned char yes, unsigned char no) { p->v[p->n++] = (struct sock_filter){code, yes, no, k}; }
static void load(program *p, size_t at) { put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)at, 0, 0); }
static void end(program *p, uint32_t how) { put(p, BPF_RET | BPF_K, how, 0, 0); }
/* The lower half: both machines put it first. */
static size_t argument(int i) { return offsetof(struct seccomp_data, args) + 8 * (size_t)i; }

/* A call that is allowed where (its argument & mask) is `value`, or (not) is another one. */
static void where(program *p, int call, int arg, uint32_t mask, uint32_t value, bool is)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5);
    load(p, argument(arg));
    put(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, value, is ? 1 : 0, is ? 0 : 1);
    end(p, SECCOMP_RET_KILL_PROCESS);
    end(p, SECCOMP_RET_ALLOW);
}

static void write_program(program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    end(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    put(p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1);    /* the other numbers of the same machine (x32) */
    end(p, SECCOMP_RET_KILL_PROCESS);
#endif
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)any[i], 0, 1);
        end(p, SECCOMP_RET_ALLOW);
    }
    where(p, __NR_openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_DIRECTORY, 0, true);         /* to read a file */
    where(p, __NR_mmap, 2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC, false);
    where(p, __NR_mprotect, 2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC, false);
    where(p, __NR_prlimit64, 0, ~0u, 0, true);                  /* its own bounds */
    where(p, __NR_ioctl, 1, ~0u, TCGETS, true);                 /* "is it a terminal?" */
    end(p, SECCOMP_RET_KILL_PROCESS);
}

bool held_calls(void)
{
    program p = {.n = 0};
    if (!ARCH || SANITIZED) return false;
    write_program(&p);
    struct sock_fprog f = {.len = p.n, .filter = p.v};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f, 0, 0) == 0;
}

bool held_calls_work(void)
{
    int status = 0;
    pid_t pid = ARCH && !SANITIZED ? fork() : -1;
    if (pid == 0) _exit(held_calls() ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool rag_readers_held(void) { return held_calls_work(); }
