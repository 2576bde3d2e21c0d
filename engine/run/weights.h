/* engine/run/weights: which bytes of the file a role's weight is: a tensor of its own, or rows of one that several roles share
 * (arch_slice); checked, handed to the device, and counted. Private to engine; while a model is opened or looked at. */
#ifndef QUORUM_WEIGHTS_H
#define QUORUM_WEIGHTS_H

#include "engine/run/model.h"

typedef struct weight_view {
    char name[128];                    /* the tensor's                                            */
    int type, n_dims;
    int64_t ne[3];                     /* the role's shape                                        */
    const void *data;                  /* in the file's mapping                                   */
    size_t bytes;                      /* from data to the end of the last row                    */
    int64_t stride;                    /* as in ker_weight                                        */
    const gguf_tensor *across;         /* not NULL: attn_kv_b, from which K_B is made; data is NULL, bytes those it will have */
} weight_view;

/* Q_NOTFOUND: the model has none and needs none (err untouched); else Q_OK, or a sentence that names tensor and file. */
int weight_find(const eng_model *m, enum ker_role role, int layer, weight_view *out, char *err);
/* Bytes of weights that are made beside the file's when it is opened: K_B where a file has attn_kv_b. Looks at shapes only. */
uint64_t weights_made(const eng_model *);
/* Its numbers, of a view whose `across` is there; malloc'ed. */
void *weight_turned(const eng_model *, const weight_view *);
/* To the device, if there is one; adds its bytes to what a token costs (m->bytes, m->head). */
int weight_add(eng_model *m, enum ker_role role, int layer, char *err);

#endif
