/* tools/guarded: names of what other programs run or obey where they come across it, in one table. Any thread. Private to tools/. */
#ifndef TOOLS_GUARDED_H
#define TOOLS_GUARDED_H

enum guarded {
    GUARDED_ASK = 1,                    /* who edits it by name is asked about */
    GUARDED_KEEP = 2                    /* and a command leaves it as it was: somebody obeys it unasked, as soon as he comes into the folder */
};
/* What is said of a name in a folder `parent` (its last part; ""), in any case of letters: GUARDED_* bits. */
unsigned guarded(const char *parent, const char *name);

#endif
