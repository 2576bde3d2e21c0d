/* base/seccomp: see seccomp.h. It uses nothing else of ours: a small program links it alone. */
#include "base/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0                          /* no table for it: no filter */
#endif

enum { X32 = 0x40000000 };

static void put(q_seccomp *f, unsigned code, uint32_t k, int yes, int no)
{
    if (f->n < Q_SECCOMP_MAX) f->v[f->n] = (struct sock_filter){(uint16_t)code, (uint8_t)yes, (uint8_t)no, k};
    f->n++;
}
static void load(q_seccomp *f, size_t at) { put(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)at, 0, 0); }
static void give(q_seccomp *f, uint32_t action) { put(f, BPF_RET | BPF_K, action, 0, 0); }
/* The rule of a call has n lines behind this one. */
static void of(q_seccomp *f, int call, int n) { put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, n); }
/* The lower half: both machines put it first. */
static void argument(q_seccomp *f, int i) { load(f, offsetof(struct seccomp_data, args) + 8 * (size_t)i); }
static void number(q_seccomp *f) { load(f, offsetof(struct seccomp_data, nr)); }

bool q_seccomp_begin(q_seccomp *f)
{
    f->n = 0;
    if (!ARCH) {
        errno = ENOSYS;
        return false;
    }
    load(f, offsetof(struct seccomp_data, arch));
    put(f, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    give(f, SECCOMP_RET_KILL_PROCESS);
    number(f);
    put(f, BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1);
    give(f, SECCOMP_RET_KILL_PROCESS);
    return true;
}

void q_seccomp_call(q_seccomp *f, int call, uint32_t action)
{
    if (call < 0) return;
    of(f, call, 1);
    give(f, action);
}

void q_seccomp_where(q_seccomp *f, int call, int arg, uint32_t mask, uint32_t value, uint32_t is, uint32_t otherwise)
{
    if (call < 0) return;
    of(f, call, 5);
    argument(f, arg);
    put(f, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    give(f, is);
    give(f, otherwise);
}

void q_seccomp_one_of(q_seccomp *f, int call, int arg, const uint32_t *value, int n, uint32_t is, uint32_t otherwise)
{
    if (call < 0) return;
    of(f, call, n + 3);
    argument(f, arg);
    for (int i = 0; i < n; i++) put(f, BPF_JMP | BPF_JEQ | BPF_K, value[i], n - i, 0);
    give(f, otherwise);
    give(f, is);
}

void q_seccomp_bits(q_seccomp *f, int call, int a, uint32_t mask_a, int b, uint32_t mask_b, uint32_t action)
{
    if (call < 0) return;
    of(f, call, 6);
    argument(f, a);
    put(f, BPF_JMP | BPF_JSET | BPF_K, mask_a, 0, 3);
    argument(f, b);
    put(f, BPF_JMP | BPF_JSET | BPF_K, mask_b, 0, 1);
    give(f, action);
    number(f);
}

static bool finished(q_seccomp *f, uint32_t otherwise)
{
    give(f, otherwise);
    if (f->n > Q_SECCOMP_MAX) {
        errno = E2BIG;
        return false;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool q_seccomp_hold(q_seccomp *f, uint32_t otherwise)
{
    if (!finished(f, otherwise)) return false;
    struct sock_fprog p = {(unsigned short)f->n, f->v};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p, 0, 0) == 0;
}

int q_seccomp_listen(q_seccomp *f, uint32_t otherwise)
{
    if (!finished(f, otherwise)) return -1;
    struct sock_fprog p = {(unsigned short)f->n, f->v};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &p);
}
