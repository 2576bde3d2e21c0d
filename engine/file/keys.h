/* engine/file/keys: what loaders of several kinds of models ask of a file's keys. Pure functions of an open file, any thread.
 * Private to engine. */
#ifndef QUORUM_KEYS_H
#define QUORUM_KEYS_H

#include "engine/file/gguf.h"

/* The whole number under "ARCH.SUFFIX" in [lo, hi]; otherwise < 0: the key must be there. Some files give one value a layer
 * as an array: taken when all are equal. Q_FORMAT with a sentence that calls the file `path`. */
int keys_whole(const gguf_file *f, const char *path, const char *arch, const char *suffix, double otherwise, double lo, double hi, int *out, char *err);
/* The number under "ARCH.SUFFIX"; false: there is none. */
bool keys_number(const gguf_file *f, const char *arch, const char *suffix, double *out);
/* Names a file's contents: its keys but arrays, each tensor's name, type, shape and first bytes. */
uint64_t keys_fingerprint(const gguf_file *f, uint64_t seed);

#endif
