/* tools/box_rules: Landlock (Linux's Documentation/userspace-api/landlock.rst) and a filter of system calls (seccomp_filter.rst), both by
 * bare system calls: libraries of the supported systems do not have all of it yet. */
#include "tools/box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ================= Landlock ================= */
/* linux/landlock.h of an older system lacks the later fields and bits. */
struct rules {
    uint64_t files, net, scoped;
};
struct below {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));
enum { NR_CREATE = 444,
       NR_ADD,
       NR_RESTRICT,
       VERSION = 1,
       PATH_BENEATH = 1 };
enum { EXECUTE = 1,
       WRITE_FILE = 2,
       READ_FILE = 4,
       READ_DIR = 8,
       TRUNCATE = 1 << 14,
       IOCTL_DEV = 1 << 15 };
enum { OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV };

int box_landlock_abi(void)
{
    long abi = syscall(NR_CREATE, NULL, 0, VERSION);
    return abi > 0 ? (int)abi : 0;
}

/* All rights that this kernel knows: 13 at first, then moving between folders, cutting short, devices' requests. */
static uint64_t files_of(int abi) { return (1ull << (abi >= 5 ? 16 : abi >= 3 ? 15
                                                                 : abi >= 2   ? 14
                                                                              : 13)) -
                                           1; }

static bool allow(int set, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return true; /* what is not there needs no leave */
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) rights &= OF_A_FILE;
    struct below b = { rights, fd };
    bool ok = syscall(NR_ADD, set, PATH_BENEATH, &b, 0) == 0;
    close(fd);
    return ok;
}

bool box_landlock(const box *b)
{
    int abi = box_landlock_abi();
    struct rules r = { b->landlock ? files_of(abi) : 0, b->landlock && abi >= 4 && !b->network ? 3 : 0, b->scope && abi >= 6 ? 3 : 0 };
    if (!r.files && !r.scoped) return true;
    int set = (int)syscall(NR_CREATE, &r, abi >= 6 ? 24 : abi >= 4 ? 16
                                                                   : 8,
                           0);
    if (set < 0) return false;
    bool ok = true;
    for (int i = 0; i < b->n_read && ok && b->landlock; i++) ok = allow(set, b->read[i], r.files & (EXECUTE | READ_FILE | READ_DIR));
    for (int i = 0; i < b->n_write && ok && b->landlock; i++) ok = allow(set, b->write[i], r.files);
    ok = ok && syscall(NR_RESTRICT, set, 0) == 0;
    int e = errno;
    close(set);
    errno = e;
    return ok;
}

/* ================= system calls ================= */
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0
#endif

/* What no command of a project needs, and what has been a way out of such boxes. A number that this machine's headers lack is -1. */
#define REFUSED(X)                                                                                                                            \
    X(ptrace)                                                                                                                                 \
    X(process_vm_readv) X(process_vm_writev) X(kcmp) X(pidfd_getfd) X(keyctl) X(add_key) X(request_key)                                       \
        X(mount) X(umount2) X(pivot_root) X(chroot) X(move_mount) X(open_tree) X(fsopen) X(fsconfig) X(fsmount) X(fspick) X(mount_setattr)    \
            X(unshare) X(setns) X(bpf) X(perf_event_open) X(io_uring_setup) X(io_uring_enter) X(io_uring_register) X(userfaultfd)             \
                X(kexec_load) X(kexec_file_load) X(init_module) X(finit_module) X(delete_module) X(reboot) X(swapon) X(swapoff) X(quotactl)   \
                    X(acct) X(syslog) X(settimeofday) X(clock_settime) X(adjtimex) X(clock_adjtime) X(open_by_handle_at) X(name_to_handle_at) \
                        X(fanotify_init) X(sethostname) X(setdomainname) X(vhangup) X(lookup_dcookie) X(nfsservctl) X(move_pages) X(migrate_pages)
#include "tools/box_calls.h"

enum { CLONE_NEW = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET };
enum { RULES = 256,
       X32 = 0x40000000 };
typedef struct filter {
    struct sock_filter v[RULES];
    int n;
} filter;

static void put(filter *f, uint16_t code, uint8_t yes, uint8_t no, uint32_t k)
{
    if (f->n < RULES) f->v[f->n] = (struct sock_filter){ code, yes, no, k };
    f->n++;
}
static void load(filter *f, size_t at) { put(f, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)at); }
static void give(filter *f, uint32_t what) { put(f, BPF_RET | BPF_K, 0, 0, what); }
static void same(filter *f, uint32_t k, uint8_t yes, uint8_t no) { put(f, BPF_JMP | BPF_JEQ | BPF_K, yes, no, k); }
enum { LOW = 0 }; /* of an argument's two halves, both machines have the low one first */
static size_t argument(int i) { return offsetof(struct seccomp_data, args) + 8 * (size_t)i + LOW; }

enum { NO = SECCOMP_RET_ERRNO | EPERM,
       UNKNOWN = SECCOMP_RET_ERRNO | ENOSYS,
       CLOSED = SECCOMP_RET_ERRNO | EACCES };

static void sockets(filter *f, const box *b)
{
    static const int local[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
    same(f, BOX_NR_socket, 0, 7);
    if (!b->sockets) {
        for (int i = 0; i < 7; i++) give(f, CLOSED);
        return;
    }
    load(f, argument(0));
    for (int i = 0; i < 4; i++) same(f, (uint32_t)local[i], (uint8_t)(4 - i), 0);
    give(f, CLOSED);
    give(f, SECCOMP_RET_ALLOW);
}

bool box_filter(const box *b)
{
    static const int refused[] = {
#define X(name) BOX_NR_##name,
        REFUSED(X)
#undef X
    };
    if (ARCH == 0) { /* no table for this machine: whoever started us knows */
        errno = ENOSYS;
        return false;
    }
    filter f = { .n = 0 };
    load(&f, offsetof(struct seccomp_data, arch));
    same(&f, ARCH, 1, 0);
    give(&f, SECCOMP_RET_KILL_PROCESS);
    load(&f, offsetof(struct seccomp_data, nr));
    put(&f, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32);
    give(&f, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (refused[i] < 0) continue;
        same(&f, (uint32_t)refused[i], 0, 1);
        give(&f, NO);
    }
    same(&f, BOX_NR_clone3, 0, 1); /* its flags cannot be seen: the C library then takes clone */
    give(&f, UNKNOWN);
    same(&f, BOX_NR_clone, 0, 4);
    load(&f, argument(0));
    put(&f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_NEW);
    give(&f, NO);
    give(&f, SECCOMP_RET_ALLOW);
    same(&f, BOX_NR_ioctl, 0, 5); /* keys typed for, and text pasted into, somebody else's terminal */
    load(&f, argument(1));
    same(&f, TIOCSTI, 1, 0);
    same(&f, TIOCLINUX, 0, 1);
    give(&f, NO);
    give(&f, SECCOMP_RET_ALLOW);
    sockets(&f, b);
    give(&f, SECCOMP_RET_ALLOW);
    if (f.n > RULES) {
        errno = E2BIG;
        return false;
    }
    struct sock_fprog p = { (unsigned short)f.n, f.v };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}
