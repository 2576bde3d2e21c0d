/* rag/import/held.h: private to rag/. Another program that reads a file for us, held in. */
#ifndef QUORUM_RAG_IMPORT_HELD_H
#define QUORUM_RAG_IMPORT_HELD_H

#include "base/base.h"

#include <sys/types.h>

typedef struct held_limits {
    int cpu_s, stall_ms;                /* of work; in which it says nothing */
    size_t memory, out;                 /* bytes it may have; bytes it may say of one file */
} held_limits;

enum { HELD_FD = 3, HELD_CPU_ALL = 1800 };   /* what it gets at this descriptor; seconds of work that a program may allow itself in all */
/* Starts it in a group of its own: no file written, no network where the system allows that, killed when we end. `given` becomes HELD_FD, said (-1:
 * nowhere) its standard output; both stay the caller's. Negative: it could not be started. */
pid_t held_start(const char *program, char *const argv[], int given, int said, const held_limits *);
/* Ends it and all that it started; returns its wait status. end: it is killed, else waited for. */
int held_end(pid_t, bool end);
/* In such a program: seconds of work from now on, as long as all together are under HELD_CPU_ALL. */
void held_work(int cpu_s);
/* ---- calls.c ---- */
/* In such a program: from now on the kernel ends it at any call of the system that reading does not need. false: it cannot be asked to (no
 * such machine, a kernel that refuses, a build with a sanitizer), and the other bounds hold. */
bool held_calls(void);
bool held_calls_work(void);                 /* would it be true here? Asks with a process of its own */
/* Descriptors that held_start takes lie above those it puts them onto. Closes fd; -1 stays. */
int held_above(int fd);
int held_file(const char *p, size_t n);     /* bytes as an open file that no disk holds, above; -1 */

/* Why such a program says nothing more, for people. */
const char *held_still(void);               /* it stands still */
const char *held_killed(void);              /* it took too much */

#endif
