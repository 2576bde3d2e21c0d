/* engine/run/arch: the architectures that are known, as rows of data: what their files call things and how
 * one forward pass differs between them. Constant tables, any thread; private to engine.
 * It never reads a file and holds no arithmetic. */
#ifndef QUORUM_ARCH_H
#define QUORUM_ARCH_H

#include "base/base.h"
#include "kernels/kernels.h"

enum arch_need { ARCH_NO, ARCH_MAY, ARCH_MUST };

/* How attention differs, and what stands around a layer's parts. */
typedef struct arch_attn {
    bool qk_whole;                     /* one norm over all heads of Q, one over those of K           */
    bool sinks, post_norms;            /* in every layer                                              */
    int window_every;                  /* with attention.sliding_window: of so many layers the last sees all; 0: every layer slides */
    bool local_rope;                   /* sliding layers rotate by rope.freq_base_swa (10000), unscaled; else by it, scaled as all, where the file has it */
    bool scales;                       /* the file's attention.scale, embedding_scale, residual_scale, logit_scale (logits are divided) */
    bool embd_root;                    /* embedded rows times the root of their width                 */
    int wide_layers;                   /* with so many layers scores are scaled by the width a head, not by the head's own; 0: never */
} arch_attn;

typedef struct arch_delta {
    bool layers;                       /* of the gated delta rule, but every so manyth, whose attention has a gate */
    bool tiled, paired;                /* as in ker_delta                                             */
    float l2_eps;
} arch_delta;

typedef struct arch {                  /* what zero means is the commonest */
    const char *name;                  /* general.architecture, and the prefix of its keys            */
    bool rope_half;                    /* rotated pairs are (i, i + d/2); else adjacent               */
    enum arch_need qkv_bias, qk_norm;
    arch_attn attn;
    enum arch_need experts;            /* ARCH_MAY: routed when the file has expert_count > 0         */
    enum arch_need shared;             /* a shared expert beside the routed ones                      */
    bool shared_gated;                 /* ... times the sigmoid of its own router (qwen2moe)          */
    arch_delta delta;
    enum arch_need select_bias;        /* exp_probs_b                                                 */
    enum ker_gate gate;                /* unless the file's expert_gating_func says otherwise         */
    bool latent;                       /* attention is KER_MIX_MLA in every layer                     */
    bool renorm;                       /* unless the file's expert_weights_norm says otherwise        */
    float sum_floor;                   /* as in ker_model                                             */
    enum ker_glu glu;                  /* of every layer                                              */
    unsigned biases;                   /* KER_BIAS_* of every layer, beside those of Q, K and V       */
    const char *ffn_norm;              /* the norm before the feed-forward part; NULL: "ffn_norm"     */
    const char *family;                /* sampling defaults, see arch_sampling                        */
} arch;

const arch *arch_find(const char *name, size_t n);     /* NULL when unknown */
char *arch_known(void);                                /* "qwen3moe, qwen3, ..."; malloc'ed */

/* The name of a role's tensor in a file, layer -1 for those of the whole model; fits 128 bytes. */
void arch_tensor_name(const arch *a, enum ker_role role, int layer, char *out, size_t n);
enum arch_need arch_needs(const arch *a, enum ker_role role);

/* A tensor that may hold the rows of several roles, in this order. */
typedef struct arch_slice { const char *tensor; enum ker_role role[3]; int n; } arch_slice;
const arch_slice *arch_slice_of(enum ker_role role);   /* NULL: always a tensor of its own */

/* What the makers of a family advise; the file's general.sampling.* keys come first. */
typedef struct arch_sampling { const char *family; double temperature, top_k, top_p, min_p, repeat_penalty; } arch_sampling;
const arch_sampling *arch_sampling_of(const char *family);

#endif
