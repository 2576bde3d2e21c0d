/* tools/sandbox: a command that a model wrote, run where it cannot do harm. Only the kernel forbids: nothing here reads the command. Three
 * ways, the best that this machine has:
 *
 * - bubblewrap: namespaces of its own. Everything is read-only but the project folder; /home, /root, /run and /tmp are empty and its own;
 *   no process but its own is seen, and no network but its own loopback unless it is allowed.
 * - Landlock, where user namespaces are forbidden (Ubuntu 24.04 and later): the system's folders may be read, the project folder and a
 *   folder for passing files written, nothing else opened; no socket may be made unless the network is allowed. Modes, owners and times, of
 *   which Landlock knows nothing, quorum-box changes for it where it may write (tools/box_modes.c).
 * - none: limits alone. Whoever asks a person must say so.
 *
 * In all three a filter of system calls (tools/box_rules.c) and limits hold, and `quorum-box` (tools/box.c) watches over the command: it ends
 * all that was started when the command ends, when it is told to, and when quorum dies. What other programs run or obey (tools/guarded.c: a
 * repository's hooks and settings, .bashrc, .vscode …, at any depth) is read-only under bubblewrap; whatever of it came or changed all the same is
 * put back behind the command, beside it lies what the command wrote (tools/sandbox_guard.c). While a command runs, what it planted is there.
 *
 * Not kept out: what the command reads of the system's own folders; the abstract sockets of the session, where the network is allowed and the
 * kernel is older than 6.12. Under Landlock also names, sizes and times outside, and the priorities of other programs; their signals on such a
 * kernel; modes of what lies outside, where nobody may read what another process says (ptrace_scope 2 and 3) or where somebody around us
 * listens to calls already.
 *
 * Threads: a sandbox is read-only once it is found, any thread may run a job. tools/ asks it for what a model wants to do, exam/ for programs
 * that it grades. */
#ifndef TOOLS_SANDBOX_H
#define TOOLS_SANDBOX_H

#include "base/base.h"

enum sandbox_kind { SANDBOX_NONE,
                    SANDBOX_LANDLOCK,
                    SANDBOX_BWRAP };
typedef struct sandbox {
    enum sandbox_kind kind;
    char *box, *bwrap; /* the programs; bwrap NULL: there is none */
    bool modes; /* Landlock's: changes of modes are made for commands, where they may write */
    int abi; /* of Landlock; 0: the kernel has none */
    char why[Q_ERRLEN]; /* why it is not a better one, with what to do; "" */
} sandbox;
/* Tries them, from `best` down, each with a command that does nothing. Q_NOTFOUND: quorum-box is not there. */
int sandbox_find(enum sandbox_kind best, sandbox *out, char *err);
void sandbox_free(sandbox *);
const char *sandbox_words(const sandbox *, char out[Q_ERRLEN]); /* one sentence for people: what is in force */

typedef struct sandbox_limits { /* 0: none */
    int wall_s, cpu_s; /* of all; of each process */
    int processes, files; /* at once; open in each */
    uint64_t memory, file, tmp; /* bytes: that a process may write to, of a file, of /tmp (bubblewrap) */
    uint64_t output, left; /* bytes: that it may say; that it must leave free on the project's disk */
} sandbox_limits;
sandbox_limits sandbox_limits_default(void);

typedef struct sandbox_job {
    const char *command; /* for /bin/sh -c */
    const char *folder; /* the project: canonical, absolute */
    bool network, read_only; /* allowed; the project too is only read */
    sandbox_limits limits;
    void *user;
    void (*heard)(void *user, const char *p, size_t n); /* what it says, as it comes; may be NULL */
    bool (*go)(void *user); /* asked every 50 ms or sooner; false: it is ended. May be NULL */
} sandbox_job;
enum sandbox_end {
    SANDBOX_ENDED,
    SANDBOX_SIGNALLED, /* by itself, code: its status; code: the signal */
    SANDBOX_LONG,
    SANDBOX_MANY, /* more than wall_s; than processes */
    SANDBOX_LOUD,
    SANDBOX_FULL, /* more than output; less free than left */
    SANDBOX_STOPPED /* go said so */
};
typedef struct sandbox_done {
    enum sandbox_end end;
    int code;
    q_buf output; /* all it said, as it came, within limits.output */
    q_buf back; /* sentences for the model and the person, a line each: what was put back */
    int64_t ns;
} sandbox_done;
/* Q_OK: it ran, however it ended. Q_IO: it could not be run. */
int sandbox_run(const sandbox *, const sandbox_job *, sandbox_done *out, char *err);
void sandbox_done_free(sandbox_done *); /* contents, not the struct */
const char *sandbox_end_words(const sandbox_done *, const sandbox_limits *, char out[Q_ERRLEN]); /* for the model: "it ended with status 1" */

/* ---- sandbox_argv.c ---- */
typedef struct sandbox_argv {
    char **v;
    int n;
} sandbox_argv;
void argv_add(sandbox_argv *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void argv_free(sandbox_argv *);
typedef struct guard guard;
/* quorum-box with all that comes before the command. g: NULL where the project is only read; tmp: a folder of its own, where /tmp is not. */
void sandbox_command(const sandbox *, const sandbox_job *, const guard *g, const char *tmp, sandbox_argv *out);
char **sandbox_environment(const sandbox *, const char *tmp); /* freed as an argv of n until NULL */

/* ---- sandbox_guard.c ---- */
/* What stands at the places that other programs obey, before a command. Q_IO: the folder cannot be looked at. */
int guard_take(const char *folder, guard **out, char *err);
void guard_back(guard *, q_buf *said); /* behind it: what changed becomes what it was, with a line for each */
void guard_free(guard *);
/* Those places that are there, folders before what is in them: to be made read-only beforehand; a repository only to stay where it is. */
void guard_places(const guard *, void (*each)(void *user, const char *path, bool repository), void *user);

#endif
