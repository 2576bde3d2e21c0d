/* advice/pull_part: a file NAME that is on its way: NAME.part, as long as the whole from the beginning and locked (flock) by who brings it,
 * and NAME.part.log, which says which of its bytes are there:
 *
 *     quorum-pull 1
 *     bytes 18556689568
 *     chunk 16777216
 *     sha256 HEX, or -
 *     validator TEXT, or -              what If-Range takes (RFC 9110, 13.1.5)
 *     CHUNK BYTES                       of chunk CHUNK the first BYTES are on the disk; the last line of a chunk counts
 *
 * A line is written only when its bytes are (fdatasync), so neither a kill nor a power cut makes it lie; a half line at the end does not
 * count. A journal of another file, or one that cannot be read, means: anew.
 * Threads: `got` is atomic, written by who brings that chunk; all else is one caller's. Private to advice. */
#ifndef QUORUM_PULL_PART_H
#define QUORUM_PULL_PART_H

#include "base/base.h"

#include <stdatomic.h>

typedef struct pull_mark { uint64_t bytes; const char *sha256, *validator; } pull_mark;      /* what the file is; "" not known */
typedef struct pull_part {
    char *path, *part, *log;
    int fd, log_fd;
    uint64_t bytes, chunk;               /* bytes UINT64_MAX: not known, there are no chunks then */
    int n;                               /* chunks */
    _Atomic uint64_t *got;               /* [n] bytes of each that are written */
    uint64_t *noted;                     /* [n] as the journal has it */
} pull_part;

/* Opens and locks it. Q_RANGE: another one brings it now. out is to be closed in every case. */
int pull_part_open(const char *path, pull_part *out, char *err);
/* Takes up what is there of this file, or (anew, or it is of another one) begins with nothing. *had: bytes that are there. */
int pull_part_begin(pull_part *, const pull_mark *, bool anew, uint64_t *had, char *err);
/* Bytes that are there of it, looked at from outside; a validator NULL: whatever it is known by. */
uint64_t pull_part_peek(const char *path, const pull_mark *);
uint64_t pull_part_len(const pull_part *, int chunk);
/* What was written since the last call, safely into the journal. */
int pull_part_note(pull_part *, char *err);
/* In its place under its own name. Q_RANGE: one is there, and force is not said. */
int pull_part_put(pull_part *, bool force, char *err);
void pull_part_drop(pull_part *);        /* and nothing of it is kept */
void pull_part_close(pull_part *);       /* what is there stays */

#endif
