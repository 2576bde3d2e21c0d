/* tools/sandbox: commands that want out. Each escape is tried in each kind of box that this machine allows; what it was after must stay as it
 * was. Planted beside the project: a secret in the environment, a file outside, a socket, a process that may be hurt. */
#include "tests/test.h"
#include "base/seccomp.h"
#include "tools/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define OK(call) CHECK_MSG((call) == Q_OK, "%s", err)
static char err[Q_ERRLEN];
static void put_door(void);
static char *root, *project; /* a folder of the test's own; in it the project, and what is outside */
static sandbox box;
static int door = -1, datagrams = -1;
static int port; /* somebody listens there */
static pid_t victim;

static char *at(const char *name) { return q_printf("%s/%s", root, name); }
static void put(const char *path, const char *text) { OK(q_write_file_atomic(path, text, strlen(text), err)); }
static void put_in(const char *name, const char *text)
{
    char *p = at(name);
    put(p, text);
    free(p);
}
static char *got(const char *name) /* NULL: it is not there */
{
    char *p = at(name), e[Q_ERRLEN];
    q_buf b = { 0 };
    int rc = q_read_file(p, &b, 1 << 20, e);
    free(p);
    if (rc == Q_OK) return q_buf_take(&b);
    q_buf_free(&b);
    return NULL;
}
static bool holds(const char *name, const char *text)
{
    char *g = got(name);
    bool is = g ? text && strcmp(g, text) == 0 : !text;
    if (!is) printf("# %s holds: %s\n", name, g ? g : "(nothing)");
    free(g);
    return is;
}

static sandbox_job job(const char *command)
{
    sandbox_job j = { .command = command, .folder = project, .limits = sandbox_limits_default() };
    j.limits.left = 0; /* whatever the test's disk has */
    return j;
}

static sandbox_done run_it(const sandbox_job *j)
{
    sandbox_done d = { 0 };
    OK(sandbox_run(&box, j, &d, err));
    if (!d.output.p) q_buf_puts(&d.output, "");
    return d;
}

static sandbox_done run(const char *command)
{
    sandbox_job j = job(command);
    return run_it(&j);
}

/* ---- where it all happens ---- */
static void clear(void)
{
    char *rm = q_printf("rm -rf %s/*", root);
    CHECK(system(rm) == 0);
    free(rm);
}

static void lay_out(void)
{
    const char *dirs[] = { "project", "project/.git", "project/.git/hooks", "project/sub", "outside", "home", "home/.ssh", "home/.cargo", "home/.cargo/bin" };
    clear();
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        char *p = at(dirs[i]);
        OK(q_mkdirs(p, err));
        free(p);
    }
    put_in("project/.git/config", "[core]\n\tbare = false\n");
    put_in("project/.git/HEAD", "ref: refs/heads/main\n");
    put_in("project/.git/hooks/pre-push", "#!/bin/sh\nexit 0\n");
    put_in("project/.bashrc", "# mine\n");
    put_in("project/a.txt", "one\n");
    put_in("project/script.sh", "echo x > ../outside/new\n");
    put_in("outside/kept", "kept\n");
    put_in("home/.ssh/id_ed25519", "the-key-itself\n");
    put_in("home/.cargo/bin/tool", "a tool\n");
    put_door();
}

/* A socket with a file, outside. */
static void put_door(void)
{
    char *path = at("outside/door");
    struct sockaddr_un c = { .sun_family = AF_UNIX };
    snprintf(c.sun_path, sizeof c.sun_path, "%s", path);
    int f = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(f >= 0 && bind(f, (struct sockaddr *)&c, sizeof c) == 0 && listen(f, 8) == 0);
    free(path);
    close(door);
    door = f;
}

static void make_root(void)
{
    char *made = q_strdup("/tmp/box-test-XXXXXX");
    if (!mkdtemp(made) || !(root = realpath(made, NULL))) abort();
    free(made);
    project = at("project");
}

/* Somebody to be hurt, who bears the secret; and somebody to be called, both by the network and by a socket that has no file. */
static void plant(void)
{
    setenv("PLANTED_TOKEN", "s3cret-of-the-parent", 1);
    static const char *const spoken[] = { "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DOCKER_HOST", "GPG_AGENT_INFO", "BASH_ENV", "ENV", "DOCKER_CONFIG",
                                          "GIT_CONFIG_PARAMETERS", "GIT_SSH_COMMAND", "PYTHONSTARTUP", "NODE_OPTIONS", "PERL5DB", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "XDG_RUNTIME_DIR", "http_proxy" };
    for (size_t i = 0; i < sizeof spoken / sizeof *spoken; i++) setenv(spoken[i], "/s3cret", 1);
    char *home = at("home");
    setenv("HOME", home, 1);
    free(home);
    victim = fork();
    if (victim == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof a;
    if (s >= 0 && bind(s, (struct sockaddr *)&a, n) == 0 && listen(s, 64) == 0 && getsockname(s, (struct sockaddr *)&a, &n) == 0) port = ntohs(a.sin_port);
    datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(datagrams >= 0 && bind(datagrams, (struct sockaddr *)&a, n) == 0);
    int u = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un b = { .sun_family = AF_UNIX };
    snprintf(b.sun_path + 1, sizeof b.sun_path - 1, "box-test-%d", (int)getpid());
    CHECK(u >= 0 && bind(u, (struct sockaddr *)&b, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(b.sun_path + 1))) == 0 && listen(u, 8) == 0);
}

/* ---- what works ---- */
static void an_ordinary_command_works(void)
{
    sandbox_done d = run("cat a.txt; echo two >> a.txt; mkdir -p sub/deep && echo x > sub/deep/new && ls sub; echo err >&2; exit 3");
    CHECK_INT(d.end, SANDBOX_ENDED);
    CHECK_INT(d.code, 3);
    CHECK_STR(d.output.p, "one\ndeep\nerr\n");
    CHECK_INT(d.back.len, 0);
    CHECK(holds("project/a.txt", "one\ntwo\n") && holds("project/sub/deep/new", "x\n"));
    sandbox_done_free(&d);
    d = run("echo x > $TMPDIR/t && cat $TMPDIR/t && cd && pwd > /dev/null && echo home; printf abc | sort; kill -9 $$");
    CHECK_INT(d.end, SANDBOX_SIGNALLED);
    CHECK_INT(d.code, 9);
    CHECK_STR(d.output.p, "x\nhome\nabc\n");
    sandbox_done_free(&d);
    put_in("project/a.txt", "one\n");
    char words[Q_ERRLEN];
    d = run("exit 124");
    CHECK_INT(d.end, SANDBOX_ENDED);
    CHECK_STR(sandbox_end_words(&d, &(sandbox_limits){ 0 }, words), "it ended with status 124");
    sandbox_done_free(&d);
}

static void standard_input_is_empty(void)
{
    sandbox_done d = run("cat; echo read; tty || true");
    CHECK_MSG(strncmp(d.output.p, "read\n", 5) == 0, "%s", d.output.p);
    sandbox_done_free(&d);
}

/* Under Landlock they are made for it (box_modes.c): by each call, and with the answers that the kernel would give. */
static void modes_and_times_are_its_own(void)
{
    sandbox_done d = run("chmod 741 a.txt && stat -c %a a.txt; cd sub && chmod 700 ../a.txt && stat -c %a ../a.txt; ln -s ../a.txt l && chmod 640 l && stat -c %a ../a.txt; "
                         "touch -d @86400 l && stat -c %Y ../a.txt; touch -hd @172800 l && stat -c %Y l ../a.txt; chmod 600 nowhere 2> /dev/null || echo none; "
                         "echo x > $TMPDIR/t && chmod 600 $TMPDIR/t && stat -c %a $TMPDIR/t; chown $(id -u) ../a.txt && echo mine; "
                         "for i in $(seq 40); do (echo > f$i; chmod 7$((i % 8))0 f$i) & done; wait; stat -c %a f8 f15; rm -f f* l; cd ..; chmod 644 a.txt");
    CHECK_STR(d.output.p, "741\n700\n640\n86400\n172800\n86400\nnone\n600\nmine\n700\n770\n");
    sandbox_done_free(&d);
    if (system("python3 -c '' 2>/dev/null") != 0) return;
    d = run("python3 - <<'E'\nimport os, ctypes, errno\nl = ctypes.CDLL(None, use_errno=True)\n"
            "def said(f, *a, **k):\n    try:\n        f(*a, **k); print('ok')\n    except OSError as e: print(errno.errorcode[e.errno])\n"
            "d = os.open('.', os.O_RDONLY); f = os.open('a.txt', os.O_RDONLY)\n"
            "said(os.chmod, 'a.txt', 0o604, dir_fd=d); print(oct(os.stat(f).st_mode & 0o777))\n"
            "said(os.chmod, '/proc/self/fd/%d' % f, 0o614); print(oct(os.stat(f).st_mode & 0o777))\n"
            "said(os.fchmod, f, 0o624); print(oct(os.stat(f).st_mode & 0o777)); said(os.fchmod, d, 0o711); said(os.fchown, f, -1, os.getgid()); said(os.fchmod, 99, 0o600)\n"
            "g = os.open('gone', os.O_CREAT | os.O_RDWR); os.unlink('gone'); said(os.fchmod, g, 0o640); print(oct(os.stat(g).st_mode & 0o777))\n"
            "said(os.utime, 'a.txt', (5, 7)); print(os.stat(f).st_atime, os.stat(f).st_mtime)\n"
            "said(os.utime, f, (9, 11)); print(os.stat(f).st_mtime)\nsaid(os.utime, 'a.txt'); print(os.stat(f).st_mtime > 1e9)\n"
            "said(os.chmod, 'a' * 5000, 0o600)\nsaid(os.chmod, 'a.txt/x', 0o600)\nsaid(os.chmod, '', 0o600)\nsaid(os.chmod, 'x', 0o600, dir_fd=99)\n"
            "r = l.chmod(ctypes.c_void_p(8), 0o600); print(r, errno.errorcode[ctypes.get_errno()])\n"
            "E");
    CHECK_STR(d.output.p, "ok\n0o604\nok\n0o614\nok\n0o624\nok\nok\nEBADF\nok\n0o640\nok\n5.0 7.0\nok\n11.0\nok\nTrue\nENAMETOOLONG\nENOTDIR\nENOENT\nEBADF\n-1 EFAULT\n");
    sandbox_done_free(&d);
    d = run("chmod 644 a.txt");
    sandbox_done_free(&d);
}

/* ---- what does not ---- */
enum { NEVER = 1 << SANDBOX_NONE }; /* in none of these kinds: bits */
enum { BOXED = 1 << SANDBOX_LANDLOCK | 1 << SANDBOX_BWRAP,
       WRAP = 1 << SANDBOX_BWRAP,
       LOCK = 1 << SANDBOX_LANDLOCK,
       ALL = BOXED | NEVER };
/* $ROOT and $PORT, $PARENT, $VICTIM are written into the command. quiet: must not be said. Python is taken where it is. */
static const struct escape {
    const char *name, *command, *quiet;
    unsigned kinds;
    bool python;
} escapes[] = {
    { "a redirection to the root", "echo x > /outside-of-box", NULL, BOXED, false },
    { "a redirection behind an allowed command", "ls a* > $ROOT/outside/new", NULL, BOXED, false },
    { "a redirection over what is there", "echo x > $ROOT/outside/kept", NULL, BOXED, false },
    { "removing outside", "rm -rf $ROOT/outside/kept", NULL, BOXED, false },
    { "a name with dots", "echo x > ../outside/new", NULL, BOXED, false },
    { "by python", "python3 -c 'open(\"$ROOT/outside/new\",\"w\").write(\"x\")'", NULL, BOXED, true },
    { "by env", "env sh -c 'echo x > $ROOT/outside/new'", NULL, BOXED, false },
    { "by a script of the project", "sh ./script.sh", NULL, BOXED, false },
    { "an environment of python outside", "python3 -m venv --without-pip $ROOT/outside/new", NULL, BOXED, true },
    { "through a link made inside", "ln -s $ROOT/outside sub/link && echo x > sub/link/new", NULL, BOXED, false },
    { "through a hard link", "ln $ROOT/outside/kept sub/hard && echo x > sub/hard", NULL, BOXED, false },
    { "through the root of process 1", "echo x > /proc/1/root$ROOT/outside/new", NULL, BOXED, false },
    { "through the root of the parent", "echo x > /proc/$PARENT/root$ROOT/outside/new", NULL, BOXED, false },
    { "through another's current folder", "echo x > /proc/$PARENT/cwd/box-test-new", NULL, BOXED, false },
    { "the environment of the parent", "tr '\\0' '\\n' < /proc/$PARENT/environ", "s3cret", BOXED, false },
    { "its own environment", "env; set; cat /proc/self/environ /proc/*/environ 2>/dev/null | tr '\\0' '\\n'", "s3cret", BOXED, false },
    { "the keys of the home", "cat $ROOT/home/.ssh/* ~/.ssh/* 2>&1", "the-key-itself", BOXED, false },
    { "killing the parent's child", "kill -9 $VICTIM", NULL, BOXED, false },
    { "tracing", "python3 -c 'import ctypes as c; l=c.CDLL(None); print(\"r\", l.ptrace(16, $VICTIM, 0, 0))'", "r 0", ALL, true },
    { "reading another's memory", "head -c1 /proc/$VICTIM/mem && echo read it; cat /proc/$VICTIM/maps && echo read it", "read it", BOXED, false },
    { "typing into a terminal", "python3 -c 'import fcntl,pty; m,s=pty.openpty(); fcntl.ioctl(s, 0x5412, b\"x\"); print(\"typed\")'", "typed", ALL, true },
    { "the internet's sockets", "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", $PORT), 5); print(\"came in\")'", "came in", BOXED, true },
    { "the internet's sockets of six", "python3 -c 'import socket; s=socket.socket(socket.AF_INET6); s.connect((\"::ffff:127.0.0.1\", $PORT)); print(\"came in\")'", "came in", BOXED, true },
    { "a socket without a file", "python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.connect(\"\\0box-test-$PARENT\"); print(\"came in\")'", "came in", BOXED, true },
    { "a socket with a file", "python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.connect(\"$ROOT/outside/door\"); print(\"came in\")'", "came in", BOXED, true },
    { "a socket to the machine around", "python3 -c 'import socket; s=socket.socket(40, 1); print(\"came in\")'", "came in", ALL, true },
    { "namespaces", "unshare -Ur true && echo came out; unshare -m true && echo came out", "came out", ALL, false },
    { "a user's own root", "python3 -c 'import ctypes as c; print(\"r\", c.CDLL(None).chroot(b\"/usr\"))'", "r 0", ALL, true },
    { "mounting", "mount -t tmpfs none sub && echo came out; mount --bind / sub && echo came out", "came out", ALL, false },
    { "a ring of requests", "python3 -c 'import ctypes as c; print(\"r\", c.CDLL(None).syscall(425, 8, c.create_string_buffer(256)))'", "r 3", ALL, true },
    { "keys of the kernel", "python3 -c 'import ctypes as c,sys; print(\"r\", \"no\" if c.CDLL(None).syscall(250 if c.sizeof(c.c_void_p)==8 and sys.platform and __import__(\"platform\").machine()==\"x86_64\" else 219, 0, -3, 1) < 0 else \"a key\")'", "a key", ALL, true },
    { "a library laid over others", "LD_PRELOAD=$ROOT/outside/x.so sh -c 'echo x > $ROOT/outside/new'", NULL, BOXED, false },
    { "a new session", "setsid sh -c 'echo x > $ROOT/outside/new'", NULL, BOXED, false },
    { "a program in memory", "python3 -c 'import os; f=os.memfd_create(\"x\"); os.write(f, b\"#!/bin/sh\\necho x > $ROOT/outside/new\\n\"); os.execv(\"/proc/self/fd/%d\" % f, [\"x\"])'", NULL, BOXED, true },
    { "descriptors that were left open", "for f in /proc/self/fd/*; do readlink $f; done", "box-test-open", ALL, false },
    { "typing with more bits than are looked at", "python3 -c 'import ctypes as c,pty,platform; m,s=pty.openpty(); print(\"r\", c.CDLL(None).syscall(16 if platform.machine()==\"x86_64\" else 29, s, c.c_ulong(0x700005412), b\"x\"))'", "r 0", ALL, true },
    { "memory of another by its number", "python3 -c 'import ctypes as c; l=c.CDLL(None); b=(c.c_ulong*2)(id(l),8); print(\"r\", l.process_vm_readv($VICTIM, b, 1, b, 1, 0), l.process_vm_writev($VICTIM, b, 1, b, 1, 0))'", "r 8", ALL, true },
    { "another's limits", "prlimit --pid $VICTIM --cpu=1 && echo set it; prlimit --pid $VICTIM --as=1 && echo set it", "set it", ALL, false },
    { "all processes at once", "python3 -c 'import os; os.kill(-1, 0); print(\"all of them\")'", "all of them", NEVER | LOCK, true },
    { "calls that nobody needs", "python3 - <<'E'\nimport ctypes as c, platform\nl=c.CDLL(None, use_errno=True); x=platform.machine()=='x86_64'\n"
      "for n, a, b in (('userfaultfd',323,282),('bpf',321,280),('perf_event_open',298,241),('kcmp',312,272),('setns',308,268),('name_to_handle_at',303,264),('open_by_handle_at',304,265),('unshare',272,97),"
      "('add_key',248,217),('request_key',249,218),('ring setup',425,425),('ring enter',426,426),('pidfd_getfd',438,438),('open_tree',428,428),('move_mount',429,429),('fsopen',430,430),('fsmount',432,432),"
      "('mount_setattr',442,442),('open_tree_attr',467,467),('pivot_root',155,41),('kexec_load',246,104),('init_module',175,105),('reboot',169,142),('swapon',167,224),('fanotify_init',300,262),('syslog',103,116)):\n"
      "    r=l.syscall(a if x else b, 0, 0, 0, 0, 0, 0)\n    if r != -1 or c.get_errno() != 1: print('let through:', n)\nE", "let through", ALL, true },
    { "sockets of other kinds", "python3 - <<'E'\nimport socket\nfor f in (17, 29, 30, 31, 38, 40, 41, 43, 44):\n  for t in (1, 2, 3, 5):\n    try:\n      socket.socket(f, t); print('came in', f)\n    except OSError: pass\nE", "came in", ALL, true },
    { "a datagram", "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"127.0.0.1\", $PORT))'", NULL, BOXED, true },
    { "memory shared by number", "python3 -c 'import ctypes as c; print(\"r\", c.CDLL(None).shmget(0x626F78, 4096, 0o1666) >= 0)'", "r True", LOCK, true },
    { "memory shared by name", "echo x > /dev/shm/box-test-new", NULL, BOXED, false },
    { "new devices", "echo x > /dev/box-test-new && echo it is there", "it is there", BOXED, false },
    { "who speaks for the session", "env; set", "s3cret", ALL, false },
    { "the program that holds it", "for p in /proc/[0-9]*/exe /proc/self/exe; do echo x > $p; done; echo x > /run/quorum-box", NULL, BOXED, false },
    { "the watch", "kill -STOP $PPID; kill -9 $PPID; for p in $(seq 2 12); do kill -9 $p; done", NULL, WRAP, false },
    { "devices", "cat /dev/mem /dev/kmsg /dev/sda /dev/vda /dev/nvme0n1 2>/dev/null | head -c1 | wc -c | grep 1 && echo read it", "read it", BOXED, false },
    { "the system's own files", "echo x >> /etc/hosts; echo x > /usr/bin/new-of-box; echo x > /sys/kernel/uevent_helper", NULL, BOXED, false },
    { "a mode outside", "chmod 777 $ROOT/outside/kept; chmod 777 ../outside/kept; cd / && chmod -R 777 $ROOT/outside", NULL, BOXED, false },
    { "a mode through a link", "ln -sf $ROOT/outside/kept sub/l; chmod 777 sub/l; ln -sfn $ROOT/outside sub/d; chmod 777 sub/d/kept sub/d/../outside/kept", NULL, BOXED, false },
    { "a mode through the kernel's links", "chmod 777 /proc/self/cwd/../outside/kept /proc/$PARENT/root$ROOT/outside/kept /proc/1/root$ROOT/outside/kept", NULL, BOXED, false },
    { "a mode from an open folder", "python3 -c 'import os; d=os.open(\"$ROOT/outside\", os.O_PATH); os.chmod(\"kept\", 0o777, dir_fd=d)'", NULL, BOXED, true },
    { "a mode of what is open", "python3 -c 'import os; d=os.open(\"$ROOT/outside/kept\", os.O_PATH); os.chmod(\"/proc/self/fd/%d\" % d, 0o777)'", NULL, BOXED, true },
    { "a mode by the new call", "python3 -c 'import ctypes,os; d=os.open(\"$ROOT/outside/kept\", os.O_PATH); ctypes.CDLL(None).syscall(452, d, b\"\", 0o777, 0x1000)'", NULL, BOXED, true },
    { "a mode of what may be read", "python3 -c 'import os; d=os.open(\"$ROOT/home/.cargo/bin/tool\", os.O_RDONLY); os.fchmod(d, 0o777)'", NULL, BOXED, true },
    { "an owner of what may be read", "python3 -c 'import os; d=os.open(\"$ROOT/home/.cargo/bin/tool\", os.O_RDONLY); os.fchown(d, -1, os.getgid()); print(\"it stuck\")'", "it stuck", BOXED, true },
    { "words beside what may be read", "python3 -c 'import os; d=os.open(\"$ROOT/home/.cargo/bin/tool\", os.O_RDONLY); os.setxattr(d, \"user.x\", b\"x\"); print(\"it stuck\")'", "it stuck", BOXED, true },
    { "marks of what may be read", "python3 -c 'import fcntl,os,struct; d=os.open(\"$ROOT/home/.cargo/bin/tool\", os.O_RDONLY); fcntl.ioctl(d, 0x40086602, struct.pack(\"l\", 64)); print(\"it stuck\")'", "it stuck", BOXED, true },
    { "times outside", "touch -d 2001-01-01 $ROOT/outside/kept; python3 -c 'import os; os.utime(\"$ROOT/outside/kept\", (1, 1))'", NULL, BOXED, false },
    { "an owner outside", "chown 12:12 $ROOT/outside/kept; chgrp 12 $ROOT/outside/kept; chown -h 12 $ROOT/outside/kept", NULL, BOXED, false },
    { "words beside a file outside", "python3 -c 'import os; os.setxattr(\"$ROOT/outside/kept\", \"user.x\", b\"x\"); print(\"it stuck\")'", "it stuck", BOXED, true },
    { "a file that runs as its owner", "cp /bin/true sub/t && chmod 4755 sub/t; chmod u+s sub/t; test -u sub/t && echo it is; python3 -c 'import os; os.open(\"sub/u\", os.O_CREAT|os.O_WRONLY, 0o4755)'; test -u sub/u && echo it is", "it is", ALL, false },
    { "a repository's hook", "echo 'echo hi' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo x >> .git/hooks/pre-push", NULL, ALL, false },
    { "a repository's settings", "printf '[core]\\n\\tfsmonitor = evil\\n' >> .git/config; echo /x > .git/commondir; echo x > .git/config.worktree", NULL, ALL, false },
    { "another folder for the repository", "mv .git old && mkdir -p .git/hooks && cp -r old/. .git/ && echo evil > .git/hooks/pre-commit", NULL, WRAP, false },
    { "what the shell reads", "echo evil >> .bashrc; rm -f .bashrc; echo evil > .profile; ln -s /etc/passwd .zshrc", NULL, ALL, false },
};

static char *written(const char *command)
{
    q_buf b = { 0 };
    char n[32];
    const struct {
        const char *name, *value;
    } v[] = { { "$ROOT", root }, { "$PORT", "p" }, { "$PARENT", "q" }, { "$VICTIM", "v" } };
    for (const char *p = command; *p;) {
        size_t i = 0;
        while (i < 4 && strncmp(p, v[i].name, strlen(v[i].name))) i++;
        if (i == 4) {
            q_buf_putc(&b, *p++);
            continue;
        }
        snprintf(n, sizeof n, "%d", i == 1 ? port : i == 2 ? (int)getpid()
                                                           : (int)victim);
        q_buf_puts(&b, i ? n : v[i].value);
        p += strlen(v[i].name);
    }
    return q_buf_take(&b);
}

static struct stat kept_before;
static void look_at_kept(struct stat *st)
{
    char *p = at("outside/kept");
    CHECK(lstat(p, st) == 0);
    free(p);
}

static void all_is_as_it_was(const char *name)
{
    struct stat st;
    look_at_kept(&st);
    CHECK_MSG(st.st_mode == kept_before.st_mode && st.st_uid == kept_before.st_uid && st.st_gid == kept_before.st_gid && st.st_mtim.tv_sec == kept_before.st_mtim.tv_sec, "%s: outside/kept", name);
    const char *none[] = { "outside/new", "project/.git/hooks/pre-commit", "project/.git/commondir", "project/.git/config.worktree", "project/.profile", "box-test-new" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char *p = at(none[i]);
        CHECK_MSG(lstat(p, &st) != 0, "%s: %s is there", name, none[i]);
        free(p);
    }
    char *tool = at("home/.cargo/bin/tool");
    CHECK_MSG(stat(tool, &st) == 0 && (st.st_mode & 0777) == 0600, "%s: a tool of the home", name);
    free(tool);
    CHECK_MSG(stat("/outside-of-box", &st) != 0, "%s", name);
    CHECK_MSG(stat("/usr/bin/new-of-box", &st) != 0, "%s", name);
    CHECK_MSG(stat("box-test-new", &st) != 0, "%s", name);
    CHECK_MSG(holds("outside/kept", "kept\n"), "%s", name);
    CHECK_MSG(holds("project/.git/config", "[core]\n\tbare = false\n"), "%s", name);
    CHECK_MSG(holds("project/.git/hooks/pre-push", "#!/bin/sh\nexit 0\n"), "%s", name);
    CHECK_MSG(holds("project/.bashrc", "# mine\n"), "%s", name);
    char *z = at("project/.zshrc");
    CHECK_MSG(lstat(z, &st) != 0, "%s: .zshrc", name);
    free(z);
    char byte;
    CHECK_MSG(recv(datagrams, &byte, 1, MSG_DONTWAIT) < 0, "%s: a datagram came", name);
    CHECK_MSG(lstat("/dev/shm/box-test-new", &st) != 0 && lstat("/dev/box-test-new", &st) != 0, "%s", name);
    CHECK_MSG(waitpid(victim, NULL, WNOHANG) == 0, "%s: the victim is dead", name);
}

static void no_escape_succeeds(void)
{
    int tried = 0, left = 0;
    int open_one = open(project, O_RDONLY | O_DIRECTORY); /* would be inherited */
    bool python = system("python3 -c '' 2>/dev/null") == 0;
    look_at_kept(&kept_before);
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        const struct escape *e = &escapes[i];
        if (!(e->kinds & (1u << box.kind)) || (e->python && !python)) {
            left++;
            continue;
        }
        char *c = written(e->command);
        sandbox_done d = run(c);
        CHECK_MSG(!e->quiet || !strstr(d.output.p, e->quiet), "%s: %s", e->name, d.output.p);
        all_is_as_it_was(e->name);
        sandbox_done_free(&d);
        free(c);
        tried++;
    }
    close(open_one);
    printf("# %d tried, %d left out\n", tried, left);
}

/* ---- limits ---- */
static sandbox_done limited(const char *command, void set(sandbox_limits *))
{
    sandbox_job j = job(command);
    set(&j.limits);
    return run_it(&j);
}
static void few_processes(sandbox_limits *l) { l->processes = 40; }
static void a_bomb(sandbox_limits *l)
{
    l->processes = 40;
    if (geteuid()) l->wall_s = 3;
}
static void little_work(sandbox_limits *l) { l->cpu_s = 1; }
static void little_time(sandbox_limits *l) { l->wall_s = 1; }
static void few_words(sandbox_limits *l) { l->output = 100000; }
static void small_files(sandbox_limits *l) { l->file = 1 << 20; }
static void small_tmp(sandbox_limits *l) { l->tmp = 1 << 20; }
static void little_memory(sandbox_limits *l) { l->memory = 64 << 20; }
static void much_left(sandbox_limits *l) { l->left = UINT64_MAX; }

static void what_takes_too_much_is_ended(void)
{
    sandbox_done d = limited("bomb() { bomb | bomb & }; bomb; wait; exec sleep 1000", a_bomb);
    CHECK(d.end == SANDBOX_MANY || geteuid()); /* for all but root the kernel counts too, and a bomb that cannot go on may die out unseen */
    sandbox_done_free(&d);
    d = limited("(while :; do sleep 1000 & done); exec sleep 1000", few_processes); /* what the kernel stops stays, and is seen */
    CHECK_INT(d.end, SANDBOX_MANY);
    sandbox_done_free(&d);
    d = limited("while :; do :; done", little_work);
    CHECK(d.end == SANDBOX_SIGNALLED && (d.code == SIGXCPU || d.code == SIGKILL));
    sandbox_done_free(&d);
    d = limited("sleep 1000", little_time);
    CHECK_INT(d.end, SANDBOX_LONG);
    sandbox_done_free(&d);
    d = limited("kill -STOP $$", little_time);
    CHECK_INT(d.end, SANDBOX_LONG);
    sandbox_done_free(&d);
    d = limited("exec > /dev/null 2>&1 0<&-; trap '' TERM HUP INT; sleep 1000 & exec sleep 1000", little_time); /* it has closed all and lives on */
    CHECK_INT(d.end, SANDBOX_LONG);
    sandbox_done_free(&d);
    d = limited("for i in 3 4 5 6 7 8 9; do exec 1>&-; done; (while :; do setsid sleep 1000 & done); exec sleep 1000", few_processes); /* each in a group of its own */
    CHECK_INT(d.end, SANDBOX_MANY);
    sandbox_done_free(&d);
    d = limited("yes >&2", few_words);
    CHECK_INT(d.end, SANDBOX_LOUD);
    sandbox_done_free(&d);
    d = limited("cat /proc/self/oom_score_adj", little_time); /* where memory runs out it goes first */
    CHECK_STR(d.output.p, "1000\n");
    sandbox_done_free(&d);
    d = limited("yes", few_words);
    CHECK_INT(d.end, SANDBOX_LOUD);
    CHECK_INT(d.output.len, 100000);
    sandbox_done_free(&d);
    d = limited("head -c 4000000 /dev/zero > big; wc -c < big; rm big", small_files);
    CHECK_MSG(strstr(d.output.p, "1048576"), "%s", d.output.p);
    sandbox_done_free(&d);
    d = limited("head -c 4000000 /dev/zero > /tmp/big && echo it fits", small_tmp);
    CHECK_MSG(!strstr(d.output.p, "it fits") || box.kind != SANDBOX_BWRAP, "%s", d.output.p);
    sandbox_done_free(&d);
    unlink("/tmp/big");
    d = limited("head -c 4000000 /dev/zero > /dev/shm/big && echo it fits; mkdir /dev/more && echo it fits", small_tmp);
    CHECK_MSG(!strstr(d.output.p, "it fits") || box.kind == SANDBOX_NONE, "%s", d.output.p);
    sandbox_done_free(&d);
    unlink("/dev/shm/big");
    rmdir("/dev/more");
    if (box.kind == SANDBOX_BWRAP) {     /* what is empty is in memory: nothing but /tmp is there to be filled */
        d = limited("for f in /home /root /run /media /mnt /var/spool $HOME/.ssh; do head -c 8000000 /dev/zero > $f/big && echo it fits; done 2> /dev/null; head -c 900000 /dev/zero > /tmp/fine && echo fine", small_tmp);
        CHECK_MSG(!strstr(d.output.p, "it fits") && strstr(d.output.p, "fine"), "%s", d.output.p);
        sandbox_done_free(&d);
    }
    d = limited("head -c 300000000 /dev/zero | tail -c 299999999 | wc -c", little_memory);
    CHECK_MSG(!strstr(d.output.p, "299999999"), "%s", d.output.p);
    sandbox_done_free(&d);
    d = limited("sleep 1000", much_left);
    CHECK_INT(d.end, SANDBOX_FULL);
    sandbox_done_free(&d);
}

static bool not_any_more(void *user)
{
    return !*(bool *)user;
}
static void heard_it(void *user, const char *p, size_t n)
{
    (void)p;
    if (n) *(bool *)user = true;
}

/* All that was started has ended when the run has: whoever holds a lock of it could else still act. */
static void nothing_is_left_running(void)
{
    const char *leave[] = { "(sleep 1000 > /dev/null 2>&1 & echo $!) ; echo made", "setsid sleep 1000 & echo made", "nohup sh -c 'sleep 1000' & echo made",
                            "(trap '' TERM HUP; setsid sh -c 'setsid sleep 1000 & sleep 1000') > /dev/null & echo made" };
    for (size_t i = 0; i < sizeof leave / sizeof *leave; i++) {
        char *lock = at("project/lock"), *c = q_printf("exec 9> lock; flock -x 9; %s", leave[i]);
        sandbox_done d = run(c);
        CHECK_INT(d.end, SANDBOX_ENDED);
        CHECK_MSG(strstr(d.output.p, "made"), "%s", d.output.p);
        char *again = q_printf("flock -n %s true", lock);
        CHECK_MSG(system(again) == 0, "still locked behind: %s", leave[i]);
        sandbox_done_free(&d);
        free(again);
        free(c);
        free(lock);
    }
    bool said = false;
    sandbox_job j = job("exec 9> lock; flock -x 9; echo on; sleep 1000");
    j.user = &said;
    j.heard = heard_it;
    j.go = not_any_more;
    sandbox_done d = run_it(&j);
    CHECK_INT(d.end, SANDBOX_STOPPED);
    CHECK_STR(d.output.p, "on\n");
    sandbox_done_free(&d);
}

/* quorum itself is killed while a command runs: a child of the test stands for it. */
static void nothing_outlives_quorum(void)
{
    int fd[2];
    char c = 0;
    CHECK(pipe2(fd, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        sandbox_job j = job("mkfifo on 2> /dev/null; exec 9> lock; flock -x 9; echo x > on; setsid sleep 1000 & sleep 1000");
        sandbox_done d;
        sandbox_run(&box, &j, &d, err);
        _exit(0);
    }
    close(fd[0]);
    close(fd[1]);
    char *on = at("project/on"), *wait_for = q_printf("flock -w 60 %s/lock true", project);
    mkfifo(on, 0600);
    int f = open(on, O_RDONLY); /* until the command has come so far */
    CHECK(f >= 0 && read(f, &c, 1) == 1);
    close(f);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_MSG(system(wait_for) == 0, "the command still holds its lock");
    unlink(on);
    free(on);
    free(wait_for);
}

/* Where the network is allowed, whoever listens on this machine is still not asked: an agent that holds keys, docker's daemon. */
static void the_network_is_not_this_machine(void)
{
    static const char *const ways[] = { "a socket with a file", "a socket without a file" };
    if (box.kind == SANDBOX_NONE || system("python3 -c '' 2>/dev/null") != 0) return;
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++) {
            if (strcmp(escapes[k].name, ways[i]) != 0 || (i && box.abi < 6)) continue;
            char *c = written(escapes[k].command);
            sandbox_job j = job(c);
            j.network = true;
            sandbox_done d = run_it(&j);
            CHECK_MSG(!strstr(d.output.p, "came in") && strstr(d.output.p, "Error"), "%s: %s", ways[i], d.output.p);
            sandbox_done_free(&d);
            free(c);
        }
    char *c = written("python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", $PORT), 5); print(\"came in\")'");
    sandbox_job j = job(c);
    j.network = true;
    sandbox_done d = run_it(&j);
    CHECK_STR(d.output.p, "came in\n");
    sandbox_done_free(&d);
    free(c);
}

/* quorum with a terminal of its own, as a person has it: a child of the test stands for it. */
static void no_terminal_is_reached(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        SKIP("no_terminal_is_reached", "no terminal can be made");
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        int tty = open(ptsname(master), O_RDWR); /* it becomes the controlling one */
        if (tty < 0 || open("/dev/tty", O_RDWR | O_CLOEXEC) < 0) _exit(2);
        sandbox_job j = job("echo typed > /dev/tty && echo reached; (exec 5<> /dev/tty) && echo reached; for f in /proc/self/fd/*; do readlink $f; done; tty");
        sandbox_done d;
        if (sandbox_run(&box, &j, &d, err) != Q_OK) _exit(3);
        const char *said = d.output.p ? d.output.p : "";
        _exit(strstr(said, "reached") || strstr(said, "pts/") ? 4 : 0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
    struct pollfd p = { master, POLLIN, 0 };
    char byte[64];
    ssize_t n = poll(&p, 1, 0) > 0 && p.revents & POLLIN ? read(master, byte, sizeof byte) : 0;
    CHECK_MSG(n <= 0, "%.*s", (int)n, byte);
    close(master);
}

static void what_was_changed_is_put_back_and_kept(void)
{
    lay_out();
    sandbox_done d = run("printf 'echo new\\n' > .zshrc; mkdir -p .git/hooks; printf evil > .git/hooks/pre-merge-commit; chmod +x .git/hooks/pre-merge-commit; :");
    struct stat st;
    char *z = at("project/.zshrc"), *kept = at("project/.zshrc.by-command"), *hook = at("project/.git/hooks/pre-merge-commit.by-command");
    CHECK(lstat(z, &st) != 0);
    CHECK(holds("project/.zshrc.by-command", "echo new\n"));
    CHECK_MSG(strstr(d.back.p ? d.back.p : "", ".zshrc.by-command"), "%s", d.back.p ? d.back.p : "(nothing said)");
    if (box.kind != SANDBOX_BWRAP) CHECK(stat(hook, &st) == 0 && !(st.st_mode & 0111));
    unlink(kept);
    unlink(hook);
    free(z);
    free(kept);
    free(hook);
    sandbox_done_free(&d);
    sandbox_job j = job("echo x > a.txt; cat a.txt");
    j.read_only = true;
    d = run_it(&j);
    if (box.kind != SANDBOX_NONE) CHECK(holds("project/a.txt", "one\n"));
    sandbox_done_free(&d);
}

/* However many files stand beside it, a hook that git runs is found. */
static void a_hook_among_many_is_found(void)
{
    lay_out();
    guard *g = NULL;
    q_buf said = { 0 };
    char *make = q_printf("cd %s/.git/hooks && seq -f 'a%%g' 1 300 | xargs touch && printf evil > pre-commit && printf evil > pre-push && seq -f 'b%%g' 1 300 | xargs touch", project);
    OK(guard_take(project, &g, err));
    CHECK(system(make) == 0);
    guard_back(g, &said);
    guard_free(g);
    CHECK(!holds("project/.git/hooks/pre-commit", "evil"));
    CHECK(holds("project/.git/hooks/pre-commit.by-command", "evil"));
    CHECK(holds("project/.git/hooks/pre-push", "#!/bin/sh\nexit 0\n"));
    CHECK_MSG(said.p && strstr(said.p, "more files than are looked at"), "%s", said.p ? said.p : "(nothing said)");
    free(make);
    q_buf_clear(&said);                  /* many that were there before stay where they are */
    char *more = q_printf("cd %s/.git/hooks && rm -f pre-commit.by-command && ls > ../before && printf evil > post-merge", project);
    char *same = q_printf("cd %s/.git/hooks && rm post-merge.by-command && ls | cmp -s - ../before", project);
    OK(guard_take(project, &g, err));
    CHECK(system(more) == 0);
    guard_back(g, &said);
    guard_free(g);
    CHECK(holds("project/.git/hooks/post-merge.by-command", "evil"));
    CHECK(system(same) == 0);
    free(more);
    free(same);
    q_buf_free(&said);
}

/* A folder of the repository that has become a link: nothing is renamed or written where it leads. */
static void no_folder_leads_the_guard_away(void)
{
    static const char *const ways[] = { "rm -rf .git/info; ln -s ../../outside .git/info", "rm -rf .git/info; ln -s ../../outside .git/info; chmod 500 .git" };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (int there = 0; there < 2; there++) {
            lay_out();
            guard *g = NULL;
            q_buf said = { 0 };
            char *info = at("project/.git/info"), *git = at("project/.git"), *make = q_printf("cd %s && %s", project, ways[i]);
            OK(q_mkdirs(info, err));
            if (there) put_in("project/.git/info/attributes", "*.c text\n");
            put_in(there ? "outside/other" : "outside/attributes", "theirs\n");
            OK(guard_take(project, &g, err));
            CHECK(system(make) == 0);
            guard_back(g, &said);
            guard_free(g);
            chmod(git, 0755);
            CHECK(there || holds("outside/attributes", "theirs\n"));
            CHECK(!there || !holds("outside/attributes", "*.c text\n"));
            struct stat st;
            if (i == 0 && there) CHECK(holds("project/.git/info/attributes", "*.c text\n"));
            if (i == 0) CHECK(lstat(info, &st) == 0 && S_ISDIR(st.st_mode));
            CHECK(said.len > 0);
            free(info);
            free(git);
            free(make);
            q_buf_free(&said);
        }
}

/* Where somebody around us listens to calls already nobody else can: commands are held in all the same, and it is said what is not. */
static void who_listens_around_us_is_known(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        sandbox b;
        char words[Q_ERRLEN];
        q_seccomp f;
        if (!q_seccomp_begin(&f)) _exit(50);
        int listener = q_seccomp_listen(&f, SECCOMP_RET_ALLOW);
        if (listener < 0) _exit(50);
        int rc = sandbox_find(SANDBOX_LANDLOCK, &b, err);
        if (rc != Q_OK || b.kind != SANDBOX_LANDLOCK) _exit(50);
        _exit(!b.modes && strstr(sandbox_words(&b, words), "modes of files") ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == 50) SKIP("who_listens_around_us_is_known", "no listener, or no Landlock");
    else CHECK_INT(code, 0);
}

static void in(enum sandbox_kind kind, const char *name)
{
    if (sandbox_find(kind, &box, err) != Q_OK || box.kind != kind) {
        char *skip = q_printf("commands_in_%s", name);
        SKIP(skip, *box.why ? box.why : err);
        free(skip);
        sandbox_free(&box);
        return;
    }
    char words[Q_ERRLEN];
    lay_out();
    printf("# %s: %s\n", name, sandbox_words(&box, words));
    RUN(an_ordinary_command_works);
    RUN(standard_input_is_empty);
    RUN(modes_and_times_are_its_own);
    RUN(no_escape_succeeds);
    RUN(what_takes_too_much_is_ended);
    RUN(nothing_is_left_running);
    RUN(nothing_outlives_quorum);
    RUN(the_network_is_not_this_machine);
    RUN(no_terminal_is_reached);
    RUN(what_was_changed_is_put_back_and_kept);
    sandbox_free(&box);
}

int main(void)
{
    make_root();
    plant();
    RUN(a_hook_among_many_is_found);
    RUN(no_folder_leads_the_guard_away);
    RUN(who_listens_around_us_is_known);
    in(SANDBOX_BWRAP, "bubblewrap");
    in(SANDBOX_LANDLOCK, "Landlock");
    in(SANDBOX_NONE, "nothing");
    kill(victim, SIGKILL);
    char *rm = q_printf("rm -rf %s", root);
    if (system(rm) != 0) printf("# %s stays\n", root);
    free(rm);
    free(project);
    free(root);
    return TEST_END();
}
