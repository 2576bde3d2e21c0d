/* advice/examples_file: a file of lines that is written beside its place and takes it at the end. Private to advice/examples*.c. */
#ifndef QUORUM_ADVICE_EXAMPLES_FILE_H
#define QUORUM_ADVICE_EXAMPLES_FILE_H

#include "advice/examples.h"

#include <stdio.h>

typedef struct lines_out { FILE *f; char *path, *part; } lines_out;
/* Mode 0600. Q_RANGE: something is there and force is not given. */
int lines_begin(lines_out *, const char *path, bool force, char *err);
int lines_put(lines_out *, const q_buf *line, char *err);       /* a line's end is added */
/* keep: onto the disk and into its place; else nothing is left. Frees. */
int lines_end(lines_out *, bool keep, bool force, char *err);
void adv_tally_broken(adv_tally *, const char *why);

#endif
