/* tools/box: what quorum-box is told by its command line, and what it holds a command in with. That program alone; one thread. */
#ifndef TOOLS_BOX_H
#define TOOLS_BOX_H

#include "base/base.h"

enum { BOX_PATHS = 128 };
typedef struct box {
    bool watch; /* it watches over what is started; else it holds itself in and becomes it */
    bool landlock; /* only `read` and `write` may be opened */
    bool scope; /* no signal and no abstract socket goes out, where the kernel has that */
    bool sockets, network; /* sockets may be made at all; of the internet */
    int cpu_s, processes, files; /* 0: no limit */
    uint64_t memory, file;
    const char *read[BOX_PATHS], *write[BOX_PATHS];
    int n_read, n_write;
} box;

/* Both hold for good, for the caller and all it starts. False: the kernel refuses; errno. */
bool box_landlock(const box *);
bool box_filter(const box *);
int box_landlock_abi(void); /* 0: none */

#endif
