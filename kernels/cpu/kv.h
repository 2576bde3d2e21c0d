/* kernels/cpu/kv: pages of cells. A page of a layer and KV head holds K transposed ([dim][64 cells]: 16
 * cells are one load) and V as [cell][dim], or both by fours. A ker_kv owns its pages and borrows the device. */
#ifndef QUORUM_CPU_KV_H
#define QUORUM_CPU_KV_H

#include "kernels/cpu/dev.h"
#include "kernels/cpu/q8.h"

struct ker_kv {
    const ker_dev *dev;
    enum ker_kv_type type;
    bool fours;                    /* cells of blocks that lie by fours (ker_cells_fours), multiplied as whole numbers (q8.h) */
    int n_page;
    int64_t head_bytes, page_bytes;
    float **state;                 /* [n_state] slots by number - 1, ker_state_floats each; NULL: free */
    int n_state;
    uint8_t *data;                 /* [page][layer with cells][kv head]: K, V, then (Q8_0) the scales of K, of V:
                                      K [dim][64] (transposed), V [64][dim], scales [dim/32][64], [64][dim/32];
                                      no V in latent cells; with `fours` K [dim/4][64][4], V [16][dim][4], scales
                                      [dim/32][64] each; Q4_0: kv_q4.h */
};

/* Numbers of a cell share scales. */
static inline bool kv_blocks(enum ker_kv_type t) { return t == KER_KV_Q8_0 || t == KER_KV_Q4_0; }

typedef struct kv_q8 { q8_cells k, v; } kv_q8;         /* a page of one layer and head, by fours */

int kv_new(ker_dev *, enum ker_kv_type t, int n_page, ker_kv **out, char *err);
void kv_free(ker_kv *);
void kv_copy(ker_kv *, int dst_page, int src_page, int n_cells);
int64_t kv_page_bytes(const ker_dev *, enum ker_kv_type t);
int kv_save(ker_kv *, int page, int n_cells, void *dst);
int kv_load(ker_kv *, int page, int n_cells, const void *src);
int64_t state_bytes(const ker_dev *);
int state_new(ker_kv *, char *err);
void state_free(ker_kv *, int state);
int state_save(ker_kv *, int state, void *dst);
int state_load(ker_kv *, int state, const void *src);
static inline bool state_there(const ker_kv *kv, int state) { return state > 0 && state <= kv->n_state && kv->state[state - 1]; }

uint8_t *kv_head(const ker_kv *, int page, int layer, int head);   /* head_bytes of one page, layer and KV head */
/* Writes one cell's K and V (NULL in latent cells) of one head; p from kv_head. */
void kv_put(const ker_kv *, uint8_t *p, int cell, const float *k, const float *v, const vec_ops *ops);
kv_q8 kv_q8_page(const ker_kv *, const uint8_t *p);
/* Of cells by fours: where the whole numbers of a page are, which are taken apart into room first where the type is Q4_0: as many floats
 * as K has in F32. p NULL: what lies in the room already. */
kv_q8 kv_whole(const ker_kv *, const uint8_t *p, float *room, const vec_ops *ops);
/* Of cells by fours: what is asked for ahead of a page that is read next, in two halves of what lies in memory: of Q4_0 cells all while K is
 * multiplied, as V is only taken apart then. */
kv_q8 kv_ahead(const ker_kv *, const uint8_t *p, float *room);
/* Not of cells by fours: K of a page in F32, [dim][64]: the page itself, or decoded into buf. */
const float *kv_page_k(const ker_kv *, const uint8_t *p, float *buf, const vec_ops *ops);
/* The first n cells of V in F32, [n][dim rounded up to 16]. Not of latent cells, which keep none (ker_cell_v). */
const float *kv_page_v(const ker_kv *, const uint8_t *p, int n, float *buf, const vec_ops *ops);
/* The first `width` numbers of K of n cells, from kv_page_k's, as kv_page_v has them: [n][width rounded up to 16]. */
void kv_turned(const float *k, int width, int n, float *out);

#endif
