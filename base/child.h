/* base/child: starts another program without a shell and ends it. Any thread. */
#ifndef QUORUM_BASE_CHILD_H
#define QUORUM_BASE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

enum { Q_CHILD_FDS = 4 };
typedef struct q_child {
    const char *program;                /* absolute: nothing is searched for */
    char *const *argv, *const *env;     /* until NULL; all that it gets */
    const char *folder;                 /* it begins in; NULL: where we are */
    int fd[Q_CHILD_FDS];                /* what its descriptors 0 to 3 are, ours and left to us; -1: /dev/null, of 3 none. It has no other one */
    bool session;                       /* of its own; else a group of its own */
    bool dies_with_us;                  /* with the thread that started it */
    int cannot;                         /* its status where it could not become the program */
    void (*last)(const void *user);     /* in it, just before it becomes the program: calls of the system only; may be NULL */
    const void *user;
} q_child;
/* No signal is blocked in it, and a broken pipe ends it. Negative: it could not be started; errno. */
pid_t q_child_start(const q_child *);
/* Waits for it and returns its wait status. end: it is killed first, with its group. */
int q_child_end(pid_t, bool end);

#endif
