/* advice/pull_file: one file, from the first byte that is missing to its own name. Private to advice. */
#ifndef QUORUM_PULL_FILE_H
#define QUORUM_PULL_FILE_H

#include "advice/pull.h"
#include "advice/pull_ask.h"

typedef struct pull_job {
    const pull_hub *hub;
    const adv_pull_way *way;             /* all of it set */
    const adv_pull_file *file;
    const char *what, *page, *url, *path;        /* for sentences; a person's page; where it is; where it goes */
    uint64_t before, total;              /* of what was asked for: bytes of the files before this one, and of all */
} pull_job;

/* Is it there already? Q_OK: yes, and held against its hash where there is one (*checked); Q_NOTFOUND: no; Q_RANGE: another file is;
 * Q_CANCEL, Q_IO. */
int pull_file_there(const pull_job *, bool *checked, char *err);
/* As adv_pull_get, of one file. [the caller's thread; starts way->lines and one more, all ended when it returns] */
int pull_file_get(const pull_job *, bool *checked, char *err);

#endif
