/* tools/box: what quorum-box is told by its command line, and what it holds a command in with. That program alone; one thread. */
#ifndef TOOLS_BOX_H
#define TOOLS_BOX_H

#include "base/base.h"

enum { BOX_PATHS = 128 };
typedef struct box {
    bool watch; /* it watches over what is started; else it holds itself in and becomes it */
    bool landlock; /* only `read` and `write` may be opened */
    bool scope; /* no signal and no abstract socket goes out, where the kernel has that */
    bool sockets, local, network; /* sockets may be made at all; those of this machine, with a file; of the internet */
    bool modes; /* changes of modes, owners and times by path wait for whoever watches: `write` says where they are made */
    int cpu_s, processes, files; /* 0: no limit */
    uint64_t memory, file;
    const char *read[BOX_PATHS], *write[BOX_PATHS];
    int n_read, n_write;
} box;

/* Both hold for good, for the caller and all it starts. False: the kernel refuses; errno. */
bool box_landlock(const box *);
bool box_filter(const box *);
int box_landlock_abi(void); /* 0: none */

/* ---- box_modes.c ---- */
enum { BOX_MODES_FD = 3 }; /* of who is held in: a socket to who watches, which the listener goes through */
int box_modes_calls(const int **nr); /* the calls that wait */
bool box_modes_give(int to, int listener);
int box_modes_take(int from); /* -1: none has come */
void box_modes_answer(const box *, int listener); /* one that waits */

#endif
