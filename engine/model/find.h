/* engine/model/find: the search with a budget that a test can use up. Any thread. */
#ifndef QUORUM_ENGINE_MODEL_FIND_H
#define QUORUM_ENGINE_MODEL_FIND_H

#include "engine/models.h"

/* As eng_find, or eng_find_embedders; each place is given up after `most` names in its folders. */
int find_models(int most, bool embedders, eng_found **out, int *n, char *err);

#endif
