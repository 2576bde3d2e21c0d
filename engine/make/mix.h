/* engine/make/mix: which tensor of a file takes which type under the name that a quantised file goes by ("Q4_K_M"). Rules and numbers
 * are those of llama.cpp's src/llama-quant.cpp (llama_tensor_get_type_impl, tensor_type_fallback, tensor_allows_quantization) without
 * an importance matrix, read at b11434. Constant data and pure functions, any thread. Private to engine. */
#ifndef QUORUM_MIX_H
#define QUORUM_MIX_H

#include "engine/make/shapes.h"

typedef struct mix {
    const char *name;
    int type;                          /* of what no rule speaks of */
    uint32_t file_type;                /* llama_ftype */
} mix;

const mix *mix_at(int i);              /* NULL behind the last */
const mix *mix_named(const char *name);     /* NULL: none */
/* The type of a matrix that may be quantised: name as in the file, its layer (-1: none) of n_layer, rows of ne0 numbers, ne2 matrices. */
int mix_type(const mix *, const shape *, const char *name, int layer, int n_layer, int64_t ne0, int64_t ne2);

#endif
