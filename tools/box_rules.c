/* tools/box_rules: Landlock (Linux's Documentation/userspace-api/landlock.rst) and a filter of system calls (seccomp_filter.rst), both by
 * bare system calls: libraries of the supported systems do not have all of it yet. */
#include "tools/box.h"
#include "base/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sched.h>
#include <sys/ioctl.h>
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
/* What no command of a project needs, and what has been a way out of such boxes. A number that this machine's headers lack is -1. */
#define REFUSED(X)                                                                                                                            \
    X(ptrace)                                                                                                                                 \
    X(process_vm_readv) X(process_vm_writev) X(kcmp) X(pidfd_getfd) X(keyctl) X(add_key) X(request_key)                                       \
        X(mount) X(umount2) X(pivot_root) X(chroot) X(move_mount) X(open_tree) X(fsopen) X(fsconfig) X(fsmount) X(fspick) X(mount_setattr)    \
            X(unshare) X(setns) X(bpf) X(perf_event_open) X(io_uring_setup) X(io_uring_enter) X(io_uring_register) X(userfaultfd)             \
                X(kexec_load) X(kexec_file_load) X(init_module) X(finit_module) X(delete_module) X(reboot) X(swapon) X(swapoff) X(quotactl)   \
                    X(acct) X(syslog) X(settimeofday) X(clock_settime) X(adjtimex) X(clock_adjtime) X(open_by_handle_at) X(name_to_handle_at) \
                        X(fanotify_init) X(sethostname) X(setdomainname) X(vhangup) X(lookup_dcookie) X(nfsservctl) X(move_pages) X(migrate_pages) X(open_tree_attr)
#include "tools/box_calls.h"

enum { CLONE_NEW = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET };
enum { NO = SECCOMP_RET_ERRNO | EPERM,
       UNKNOWN = SECCOMP_RET_ERRNO | ENOSYS,
       CLOSED = SECCOMP_RET_ERRNO | EACCES };

/* A file that runs with its owner's rights, whoever starts it, is nothing that a project needs. */
static void set_user_id(q_seccomp *f)
{
    q_seccomp_bits(f, BOX_NR_chmod, 1, S_ISUID, 1, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_fchmod, 1, S_ISUID, 1, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_fchmodat, 2, S_ISUID, 2, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_fchmodat2, 2, S_ISUID, 2, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_creat, 1, S_ISUID, 1, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_open, 1, O_CREAT, 2, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_openat, 2, O_CREAT, 3, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_mknod, 1, S_ISUID, 1, S_ISUID, NO);
    q_seccomp_bits(f, BOX_NR_mknodat, 2, S_ISUID, 2, S_ISUID, NO);
    q_seccomp_call(f, BOX_NR_openat2, UNKNOWN); /* its flags cannot be seen: programs then take openat */
}

bool box_filter(const box *b)
{
    static const int refused[] = {
#define X(name) BOX_NR_##name,
        REFUSED(X)
#undef X
    };
    /* Keys typed for, and text pasted into, somebody else's terminal; marks of a file, which its owner may change who can only read it. */
    static const uint32_t typed[] = { TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETVERSION, FS_IOC_ENABLE_VERITY };
    static const int beside[] = { BOX_NR_setxattr, BOX_NR_lsetxattr, BOX_NR_removexattr, BOX_NR_lremovexattr, BOX_NR_setxattrat, BOX_NR_removexattrat,
                                   BOX_NR_fsetxattr, BOX_NR_fremovexattr };
    static const uint32_t kinds[] = { AF_INET, AF_INET6, AF_NETLINK, AF_UNIX };
    /* System V's and POSIX's memory and messages, which have no path: all of the user's programs share them where there are no namespaces. */
    static const int shared[] = { BOX_NR_shmget, BOX_NR_shmat, BOX_NR_shmctl, BOX_NR_semget, BOX_NR_semop, BOX_NR_semtimedop, BOX_NR_semctl, BOX_NR_msgget, BOX_NR_msgsnd, BOX_NR_msgrcv,
                                  BOX_NR_msgctl, BOX_NR_mq_open, BOX_NR_mq_unlink };
    q_seccomp f;
    if (!q_seccomp_begin(&f)) return false; /* no table for this machine: whoever started us knows */
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) q_seccomp_call(&f, refused[i], NO);
    q_seccomp_call(&f, BOX_NR_clone3, UNKNOWN); /* its flags cannot be seen: the C library then takes clone */
    q_seccomp_where(&f, BOX_NR_clone, 0, CLONE_NEW, 0, SECCOMP_RET_ALLOW, NO);
    q_seccomp_one_of(&f, BOX_NR_ioctl, 1, typed, b->landlock ? 6 : 2, NO, SECCOMP_RET_ALLOW);
    if (!b->sockets) q_seccomp_call(&f, BOX_NR_socket, CLOSED);
    q_seccomp_one_of(&f, BOX_NR_socket, 0, kinds, b->local ? 4 : 3, SECCOMP_RET_ALLOW, CLOSED);
    q_seccomp_where(&f, BOX_NR_prlimit64, 0, ~0u, 0, SECCOMP_RET_ALLOW, NO); /* another's limits: one of a second of work ends it */
    q_seccomp_where(&f, BOX_NR_kill, 0, ~0u, ~0u, NO, SECCOMP_RET_ALLOW); /* all that there are */
    for (size_t i = 0; i < sizeof shared / sizeof *shared && b->landlock; i++) q_seccomp_call(&f, shared[i], NO);
    set_user_id(&f);
    if (!b->modes) return q_seccomp_hold(&f, SECCOMP_RET_ALLOW);
    const int *waits;
    int n = box_modes_calls(&waits);
    for (int i = 0; i < n; i++) q_seccomp_call(&f, waits[i], SECCOMP_RET_USER_NOTIF);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) q_seccomp_call(&f, beside[i], SECCOMP_RET_ERRNO | EOPNOTSUPP);
    int listener = q_seccomp_listen(&f, SECCOMP_RET_ALLOW); /* EBUSY: around us somebody listens already, and there can be but one */
    bool given = listener >= 0 && box_modes_give(BOX_MODES_FD, listener);
    int why = errno;
    if (listener >= 0) close(listener);
    errno = why;
    return given;
}
