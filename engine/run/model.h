/* engine/run/model: an open model: the mapped file, its vocabulary, its description as arithmetic sees it,
 * and the device that holds its weights. Immutable after open (any thread may read), except that `dev`
 * runs one batch at a time, on the engine thread. Private to engine; take only the field you need. */
#ifndef QUORUM_MODEL_H
#define QUORUM_MODEL_H

#include "engine/run/arch.h"
#include "engine/engine.h"
#include "engine/file/gguf.h"
#include "engine/text/template.h"
#include "kernels/kernels.h"


/* What the file says about positions and norms: the knobs' defaults. */
typedef struct model_defaults {
    double norm_eps, rope_theta, rope_factor, attn_factor;   /* attn_factor 0: computed (YaRN), else multiplies */
    double beta_fast, beta_slow;
    double local_theta;                /* base of layers with rotations of their own (ker_layer.rope_set 1) */
    double attn_scale;                 /* of scores, but in latent attention               */
    double yarn_log_mul;               /* latent attention: scores grow by (1 + this * ln factor)^2 under YaRN */
    int rope_scaling;                  /* index in the choices of rope.scaling             */
    int rope_original;                 /* context the model was trained for before scaling */
} model_defaults;

/* Bytes of weights by part, for eng_model_cost. Per layer. */
typedef struct model_bytes {
    uint64_t always;                   /* attention, norms, router, dense or shared FFN    */
    uint64_t always_params;
    uint64_t expert, expert_params;    /* of one routed expert                             */
    uint64_t row, expert_row;          /* of a neuron's rows in gate and up: dense or shared; of a routed expert */
} model_bytes;

typedef struct model_next {            /* the head that predicts further tokens (next.h) */
    bool there;                        /* behind the model's layers in the file, of a kind that is computed */
    struct next_head *head;            /* next.c's; NULL until it is asked for. The engine thread's */
} model_next;

typedef struct device {                /* device.c; owns dev and the texts */
    const ker_backend *be;
    ker_dev *dev;
    char *name, *note;                 /* "cpu", "cuda:0 NVIDIA H100"; NULL or a sentence */
    bool fell;                         /* the CPU, for a GPU that is there or was asked for could not be used: note says why */
    uint64_t outside;                  /* bytes of what was free at the start that --gpu-budget leaves to others */
    struct ondisk *ondisk;             /* routed experts are read when they are chosen (ondisk.h); NULL: they lie in memory */
} device;

struct eng_model {
    char *path;
    gguf_file *file;
    vocab *vocab;
    chat chat;                         /* what its chat template asks for */
    const arch *arch;
    eng_info info;                     /* strings are owned by `strings` below or by the file's mmap */
    char *strings[6];                  /* name, arch, quant, languages: malloc'ed */
    bool vocab_only;                   /* nothing below is set */

    ker_model ker;                     /* ker.layer = layers */
    ker_layer *layers;                 /* [n_layer] */
    model_defaults defaults;
    struct {                           /* [rope_dim/2] each; NULL: the file has none             */
        float *factors;                /* divisors of the frequencies (rope_freqs.weight)        */
        float *for_short, *for_long;   /* likewise under rope.scaling longrope: in contexts up to rope.original_context and beyond */
    } rope;
    model_bytes *bytes;                /* [n_layer] */
    struct { uint64_t always, expert; } active;  /* parameters that take part at every k; of one expert in one routed layer */
    struct { uint64_t bytes, params; } head;  /* output norm and head; one row of the embedding counts as nothing */
    struct { void **p; int n; } converted;     /* weights that the file keeps otherwise than they are used: vectors of other types than F32, K_B of attn_kv_b */
    struct lora_model *lora;           /* adapters (lora.h) */

    device on;
    int n_threads;                     /* of the device now: model_threads sets it */
    struct { int threads; double weights_gib; } opened;  /* as it was opened with: what "default" means; eng_open_opts' */
    int asked_threads;                 /* as it was last asked for; what the system refused is not tried again for each token */
    model_next next;
    eng_config *standard;              /* the model's own defaults, what eng_config_is_default compares with */
};

/* Whether the file behind f runs here, by the very checks of opening, from its header alone: Q_OK, or the code and the
 * sentence of the first thing in the way; Q_NOMEM, asked last: only that it does not fit now. f may be gguf_look's. Any thread, milliseconds. */
int model_check(gguf_file *f, uint64_t *need /* bytes, as model_memory counts them; 0: it does not run */, char *err);
/* Memory that running takes at the least: weights, the smallest useful cache, scratch; saturates. */
uint64_t model_memory(uint64_t weights, uint64_t n_layer, uint64_t n_kv, uint64_t width /* K and V of a head's cell */, uint64_t state /* bytes of recurrent layers */);
/* What weights within so many GiB come to (ondisk.h), from the header alone: gib 0: half of the routed experts beside the rest; below 0: as little
 * as can be. False: no routed experts that could stay on the disk, or the file does not run here. Any thread. */
struct ondisk_plan;
bool model_ondisk(gguf_file *f, double gib, struct ondisk_plan *out);
/* Before a batch: the device has so many threads from now on (0: one for each core), or as many as the system gives. */
void model_threads(eng_model *, double asked);
/* Whether a GPU that "auto" took has memory for what a conversation takes beside what lies there; Q_OK elsewhere. */
int model_may_talk(eng_model *, char *err);
/* From a GPU that "auto" took and that refused what belongs to the model, with rc and err, to the CPU: the weights are registered anew. Before
 * anything else holds the model; it carries no adapter. */
int model_to_cpu(eng_model *, int rc, char *err);

#endif
