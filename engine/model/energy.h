/* engine/model/energy: counts tensors into an eng_energy (engine/models.h). Plain data, any thread. Private to engine:
 * whoever has tensors (a file's header, the shapes of engine/make/synth) adds them one by one. */
#ifndef QUORUM_ENERGY_H
#define QUORUM_ENERGY_H

#include "engine/file/gguf.h"
#include "engine/models.h"

/* name: as in the file, n bytes; ne: missing dimensions are 1; bytes: all of the tensor. */
void energy_add(eng_energy *, const char *name, size_t n, const int64_t ne[4], uint64_t bytes);
/* All of a file's that take part in a pass. Then eng_energy_active counts, once n_expert is there. */
void energy_tensors(eng_energy *, const gguf_file *, uint64_t n_layer);
/* A tensor of a layer that is trained beside the model (MTP), behind its n_layer: no part of a pass. */
bool energy_beside(const gguf_tensor *, uint64_t n_layer);
/* What a layer keeps and computes of a cell: kv_rank 0: K and V heads of head_dim; else one latent of it and rotated numbers, head_dim
 * together, which is V too. */
typedef struct energy_cell { uint64_t numbers, flops, heads, width, rank; } energy_cell;
energy_cell energy_cells(uint64_t n_head, uint64_t n_kv, uint64_t head_dim, uint64_t kv_rank);
/* After the last tensor. */
void energy_shape(eng_energy *, uint64_t n_layer, energy_cell cell, uint64_t n_expert, uint64_t n_used);
/* Then: `near` of the layers see `window` cells at most. */
void energy_windows(eng_energy *, energy_cell cell, int near, int window);
int energy_near(const char *arch_name, int n_layer);       /* how many of an architecture's layers see its window only */

#endif
