/* tools/box_modes: modes, owners and times under Landlock, which knows nothing of them: a command could make the keys in a home readable for all. A
 * filter cannot tell by a path whose file it is, and linkers, git, cmake, tar and package managers change modes by path, so such calls cannot be
 * refused. They wait instead (seccomp_unotify(2)), and whoever watches makes the change for them, without any right of root's, where the command
 * may write; elsewhere it says EPERM. So do those by an open file: to read a file is enough to open it, and its owner may change it then. The
 * command's words are read once, and the file is opened once: nothing can change in between. */
#include "tools/box.h"
#include "tools/box_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NONE = -1 }; /* an argument that a call has not */
enum change { MODE, OWNER, TIMES };
/* Which argument is what. flags: NONE, or FOLLOW or STAY where the call says so by itself. */
enum { FOLLOW = -2, STAY = -3 };
static const struct row {
    int nr;
    enum change what;
    int dir, path, value, flags;
    int unit; /* of times: 0 timespec, 1 timeval, 2 utimbuf */
} rows[] = {
    { BOX_NR_chmod, MODE, NONE, 0, 1, FOLLOW, 0 },       { BOX_NR_fchmodat, MODE, 0, 1, 2, FOLLOW, 0 },      { BOX_NR_fchmodat2, MODE, 0, 1, 2, 3, 0 },
    { BOX_NR_chown, OWNER, NONE, 0, 1, FOLLOW, 0 },      { BOX_NR_lchown, OWNER, NONE, 0, 1, STAY, 0 },      { BOX_NR_fchownat, OWNER, 0, 1, 2, 4, 0 },
    { BOX_NR_utimensat, TIMES, 0, 1, 2, 3, 0 },          { BOX_NR_futimesat, TIMES, 0, 1, 2, FOLLOW, 1 },    { BOX_NR_utimes, TIMES, NONE, 0, 1, FOLLOW, 1 },
    { BOX_NR_utime, TIMES, NONE, 0, 1, FOLLOW, 2 },      { BOX_NR_fchmod, MODE, 0, NONE, 1, FOLLOW, 0 },     { BOX_NR_fchown, OWNER, 0, NONE, 1, FOLLOW, 0 },
};

int box_modes_calls(const int **out)
{
    static int nr[sizeof rows / sizeof *rows];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) nr[i] = rows[i].nr;
    *out = nr;
    return (int)(sizeof rows / sizeof *rows);
}

/* ---- what is asked ---- */
static bool words_of(pid_t pid, uint64_t at, void *out, size_t n)
{
    struct iovec to = { out, n }, from = { (void *)(uintptr_t)at, n };
    return syscall(SYS_process_vm_readv, pid, &to, 1, &from, 1, 0) == (ssize_t)n;
}

/* A name, which may end anywhere before memory does: page by page. */
static bool name_of(pid_t pid, uint64_t at, char out[PATH_MAX])
{
    size_t n = 0;
    while (n < PATH_MAX) {
        size_t page = 4096 - (size_t)((at + n) & 4095), k = page < PATH_MAX - n ? page : PATH_MAX - n;
        if (!words_of(pid, at + n, out + n, k)) {
            errno = EFAULT;
            return false;
        }
        if (memchr(out + n, 0, k)) return true;
        n += k;
    }
    errno = ENAMETOOLONG;
    return false;
}

static bool times_of(pid_t pid, uint64_t at, int unit, struct timespec t[2])
{
    int64_t v[4] = { 0 };
    t[0].tv_sec = t[1].tv_sec = 0;
    t[0].tv_nsec = t[1].tv_nsec = UTIME_NOW;
    if (!at) return true;
    if (!words_of(pid, at, v, unit == 2 ? 16 : 32)) {
        errno = EFAULT;
        return false;
    }
    t[0] = (struct timespec){ .tv_sec = v[0], .tv_nsec = unit == 0 ? v[1] : unit == 1 ? v[1] * 1000 : 0 };
    t[1] = (struct timespec){ .tv_sec = unit == 2 ? v[1] : v[2], .tv_nsec = unit == 0 ? v[3] : unit == 1 ? v[3] * 1000 : 0 };
    return true;
}

/* The file, only to be named (O_PATH); -1: errno. */
static int file_of(const struct seccomp_notif *n, const struct row *r, int *flags)
{
    char path[PATH_MAX] = "", proc[64], link[PATH_MAX + 64];
    *flags = r->flags >= 0 ? (int)n->data.args[r->flags] : r->flags == STAY ? AT_SYMLINK_NOFOLLOW : 0;
    bool named = r->path != NONE && n->data.args[r->path] != 0; /* utimensat: none is the descriptor itself */
    if (named && !name_of((pid_t)n->pid, n->data.args[r->path], path)) return -1;
    if (!*path && named && !(*flags & AT_EMPTY_PATH)) {
        errno = ENOENT;
        return -1;
    }
    int dir = r->dir == NONE ? AT_FDCWD : (int)n->data.args[r->dir], at = -1;
    if (*path != '/') {
        if (dir == AT_FDCWD) snprintf(proc, sizeof proc, "/proc/%u/cwd", n->pid);
        else snprintf(proc, sizeof proc, "/proc/%u/fd/%d", n->pid, dir);
        if ((at = open(proc, O_PATH | O_CLOEXEC)) < 0) {
            errno = EBADF;
            return -1;
        }
        if (!*path) return at;
    }
    if (strncmp(path, "/proc/self/", 11) == 0) snprintf(link, sizeof link, "/proc/%u/%s", n->pid, path + 11);
    else snprintf(link, sizeof link, "%s", path);
    int fd = openat(at, link, O_PATH | O_CLOEXEC | (*flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0)), why = errno;
    if (at >= 0) close(at);
    errno = why;
    return fd;
}

/* ---- whether, and how ---- */
static bool may(const box *b, int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return false;
    path[n] = 0;
    for (int i = 0; i < b->n_write; i++) {
        size_t w = strcmp(b->write[i], "/") == 0 ? 0 : strlen(b->write[i]);
        if (strncmp(path, b->write[i], w) == 0 && (path[w] == '/' || !path[w])) return true;
    }
    return false;
}

static bool change(const struct seccomp_notif *n, const struct row *r, int fd, int flags)
{
    char link[64];
    struct stat st;
    struct timespec t[2];
    uint64_t v = n->data.args[r->value];
    if (r->what == TIMES) return times_of((pid_t)n->pid, v, r->unit, t) && syscall(SYS_utimensat, fd, "", t, AT_EMPTY_PATH) == 0;
    if (r->what == OWNER) return fchownat(fd, "", (uid_t)v, (gid_t)n->data.args[r->value + 1], AT_EMPTY_PATH) == 0;
    if (fstat(fd, &st) != 0) return false;
    if (S_ISLNK(st.st_mode) && flags & AT_SYMLINK_NOFOLLOW) {
        errno = EOPNOTSUPP;
        return false;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return chmod(link, (mode_t)v & 07777) == 0;
}

/* Nothing is done by a right of root's: the command has none either. */
static bool rights(struct __user_cap_data_struct d[2], bool get)
{
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    return syscall(get ? SYS_capget : SYS_capset, &h, d) == 0;
}

static int asked(const box *b, int listener, const struct seccomp_notif *n)
{
    const struct row *r = NULL;
    uint64_t id = n->id;
    int flags;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !r; i++)
        if (rows[i].nr == n->data.nr) r = &rows[i];
    if (!r) return ENOSYS;
    int fd = file_of(n, r, &flags), why = errno;
    if (fd < 0) return why;
    bool ok = ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0; /* all that was read was that process's */
    errno = EPERM;
    ok = ok && may(b, fd) && (r->what != MODE || !(n->data.args[r->value] & S_ISUID)) && change(n, r, fd, flags);
    why = errno;
    close(fd);
    return ok ? 0 : why ? why : EPERM;
}

void box_modes_answer(const box *b, int listener)
{
    struct {
        struct seccomp_notif n;
        char more[256];                 /* a later kernel's is longer */
    } in;
    struct {
        struct seccomp_notif_resp n;
        char more[256];
    } out;
    memset(&in, 0, sizeof in);
    memset(&out, 0, sizeof out);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &in) != 0) return;
    struct __user_cap_data_struct all[2] = { 0 }, none[2];
    bool known = rights(all, true);
    memcpy(none, all, sizeof none);
    none[0].effective = none[1].effective = 0;
    out.n.id = in.n.id;
    out.n.error = known && rights(none, false) ? -asked(b, listener, &in.n) : -EPERM;
    rights(all, false);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &out) != 0) return; /* it is gone */
}

/* ---- the listener's way from who is held to who watches ---- */
bool box_modes_give(int to, int listener)
{
    char one = 'l';
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } u;
    struct iovec io = { &one, 1 };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof u.room };
    memset(&u, 0, sizeof u);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof listener);
    memcpy(CMSG_DATA(h), &listener, sizeof listener);
    return sendmsg(to, &m, MSG_NOSIGNAL) == 1;
}

int box_modes_take(int from)
{
    char one;
    int fd = -1;
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } u;
    struct iovec io = { &one, 1 };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof u.room };
    memset(&u, 0, sizeof u);
    if (recvmsg(from, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1) return -1;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(h), sizeof fd);
    return fd;
}
