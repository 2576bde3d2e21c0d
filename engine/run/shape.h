/* engine/run/shape: fills a model's description from its file: shape_read everything that stands in m->ker, m->layers and the
 * shape in m->info (not the vocabulary's size), then shape_defaults the knobs' defaults and divisors of rotation. A sentence
 * that names the file and the key where it makes no sense. Private to engine; one thread. */
#ifndef QUORUM_SHAPE_H
#define QUORUM_SHAPE_H

#include "engine/run/model.h"

int shape_read(eng_model *m, char *err);
int shape_defaults(eng_model *m, char *err);
/* How many of the layers see a window of cells only, and how many cells that is; of a file at hand, whatever else it holds. */
int shape_near(const gguf_file *f, const arch *a, int n_layer, int *window);

#endif
