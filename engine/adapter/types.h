/* engine/adapter/types: which type a tensor is written in when a whole model is given one (--type), and what we can write at all. Pure functions;
 * private to engine. */
#ifndef QUORUM_ADAPTER_TYPES_H
#define QUORUM_ADAPTER_TYPES_H

#include "kernels/kernels.h"

/* The type of that name ("Q8_0", letter case ignored). Q_RANGE: none, or one that we do not write; err lists those that we do. */
int out_type(const char *name, int *type, char *err);
/* Whether a tensor of that name and shape takes the type: matrices do; vectors, routers and what is computed in floats stay as they are, and
 * so do rows that no whole number of blocks fits (the rule of llama.cpp's convert_hf_to_gguf.py). */
bool out_takes(const char *name, int n_dims, int64_t ne0, int type);
/* general.file_type's number of a file that is mostly of this type; -1: none. */
int out_file_type(int type);

#endif
