/* cli/unzip: takes one file out of a zip archive (a Python wheel), which libarchive reads in a process of its own. Owns nothing beyond a
 * call; any thread. A damaged one gives a sentence and Q_FORMAT. */
#ifndef QUORUM_UNZIP_H
#define QUORUM_UNZIP_H

#include "base/base.h"

/* Writes the member called `member` of the archive to out + ".part", then renames. At most `max` bytes come out;
 * progress (may be NULL) is told how many of them are there. */
int unzip_member(const char *archive, const char *member, const char *out, uint64_t max,
                 void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);

#endif
