/* engine/file/split: how the parts of a split model are called: NAME-00001-of-00003.gguf, parts counted from 1, five digits each.
 * Pure functions of a name, any thread; they never look at the disk. Private to engine. Format: llama.cpp, src/llama.cpp,
 * llama_split_path ("%s-%05d-of-%05d.gguf"). */
#ifndef QUORUM_SPLIT_H
#define QUORUM_SPLIT_H

#include "base/base.h"

/* Whether path is called as a part is; then which of how many (1 <= *part <= *of) and the bytes of NAME. Any may be NULL. */
bool split_name(const char *path, int *part, int *of, size_t *name);
/* What that part of the same model is called; malloc'ed. path must be called as a part is. */
char *split_path(const char *path, int part);

#endif
