/* train: adapters taught. The backward pass over a model's frozen (also quantised) weights, the optimiser, the run with its checkpoints, and
 * which experts are worth teaching. Owns its activations, gradients and threads; the model and its configuration are the caller's and stay as
 * they are. It reads no conversation and prints nothing: examples come as tokens.
 *
 * Threads: a trn is one thread's; trn_stop may be called from any. While it runs, the model may serve sessions of another thread. Its own
 * threads have the niceness of who called trn_new. Adapters that the model carries have no part in it.
 * Arithmetic: F32 over dequantised weights, K and V too. The engine quantises activations where weights are quantised, so its losses differ a little there.
 * Determinism: the same data, seed and options give the same adapter bytes whatever the threads and the processor's vector set, also after a stop and a resume.
 * Errors: base.h. */
#ifndef QUORUM_TRAIN_H
#define QUORUM_TRAIN_H

#include "base/base.h"

#include <stdatomic.h>

struct eng_adapter;
struct eng_config;
struct eng_model;

/* ================= examples ================= */
typedef struct trn_text { const int32_t *token; const uint8_t *mask; int n; } trn_text;   /* mask[t] 1: token t is a target, foretold at t - 1 */
typedef struct trn_example {
    trn_text chosen, rejected;          /* rejected.n 0: none (SFT); else a preference pair (DPO) */
    uint64_t source;                    /* the caller's: which conversation, for what is held out */
} trn_example;

/* ================= one step (train/step.c over train/forward.c, train/backward.c) ================= */
enum trn_loss { TRN_SFT /* mean over targets */, TRN_DPO /* arXiv 2305.18290; the reference is the model without the adapter */ };
typedef struct trn_options {            /* zero: the default */
    enum trn_loss loss;
    double lr;                          /* 1e-4 */
    double beta1, beta2, eps, weight_decay;   /* AdamW (arXiv 1711.05101): .9, .999, 1e-8, 0 (a negative beta or decay stands for 0) */
    double dpo_beta;                    /* .1 */
    double clip;                        /* of the gradient's length over all numbers; 0: none */
    int steps, warmup;                  /* cosine from lr to a tenth of it after so many steps of rising; steps 0: lr stays what it is (trn_run: three times through the examples) */
    int batch;                          /* examples a step (accumulated one after another); 1 */
    uint64_t seed;                      /* of A's beginning and of the order of examples */
    int threads;                        /* 0: one for each core */
    uint64_t memory;                    /* bytes at most beside the model's own, scratch of 16 threads among them (further ones come on top); 0: 2 GiB. Longer texts keep fewer activations, and Q_NOMEM says what to make shorter */
    const atomic_bool *stop;            /* set by any thread: as trn_stop, until it is cleared; NULL */
} trn_options;

typedef struct trn trn;
/* Trains a copy of init's numbers; c: the configuration that answers are made with (routing, rope, masks act as they do there; routers
 * stay frozen). Attention and feed-forward matrices of gqa layers, routed and shared experts. Q_RANGE: a kind of layer whose way back is
 * not known here, by its name. */
int trn_new(struct eng_model *, const struct eng_config *c, const struct eng_adapter *init, const trn_options *, trn **out, char *err);
void trn_free(trn *);
/* The loss of these examples as the adapter stands, mean over targets (SFT) or over pairs (DPO); with `grad` the gradients of A and B too. */
int trn_loss_of(trn *, const trn_example *, int n, bool grad, double *loss, char *err);
/* The same with gradients, then AdamW: *loss is that before the update. */
int trn_step(trn *, const trn_example *, int n, double *loss, char *err);
int trn_adapter(const trn *, const char *name, const char *note, struct eng_adapter **out, char *err);       /* as it stands */
int trn_gradients(const trn *, struct eng_adapter **out, char *err);                        /* of the last call with grad: in A's and B's places */
void trn_stop(trn *);                                   /* [any] the call that runs returns Q_CANCEL within a second, nothing is half done */
typedef struct trn_usage { uint64_t tokens; double seconds; uint64_t bytes /* of memory, at the most */; int64_t params /* numbers that are trained */; } trn_usage;
trn_usage trn_used(const trn *);
/* Bytes that trn_used will say once these examples went through together, as far as they may; nothing is computed. */
uint64_t trn_foresee(trn *, const trn_example *, int n);

/* ================= a whole run, with checkpoints (train/run.c) ================= */
typedef struct trn_progress { int step, steps; double loss, heldout /* NAN: not measured at this step */, first_heldout /* before the first step; NAN: nothing is held out */, lr, tokens_s, left_s; uint64_t bytes; } trn_progress;
typedef struct trn_run_terms {
    const trn_example *example; int n;
    const trn_example *heldout; int n_heldout;
    const char *folder;                 /* NULL: nothing is kept. Checkpoints and curve.csv; one that is there is gone on with, Q_RANGE where it was made of other data or settings */
    int every;                          /* steps between checkpoints (whole, then renamed; the last two stay); 0: about every half minute's worth, counted in steps fixed at the start */
    bool (*progress)(void *user, const trn_progress *);   /* after each step; false: stop, Q_CANCEL, to be gone on with */
    void (*past)(void *user, const trn_progress *);       /* a run that is gone on with: before anything else, for each step that is done already (tokens_s 0, left_s -1); NULL */
    void *user;
    const atomic_bool *stop;            /* set by any thread: the step that runs ends within a second, Q_CANCEL, to be gone on with; NULL */
} trn_run_terms;
/* name, note: of the adapter; the note gets the run's own provenance added (settings, hashes of data and base, curve). */
int trn_run(struct eng_model *, const struct eng_config *, const struct eng_adapter *init, const trn_options *, const trn_run_terms *,
            const char *name, const char *note, struct eng_adapter **out, char *err);

/* ================= what is taught (train/choose.c) ================= */
/* How a traffic routes: for each example the tokens and the gate mass that each expert got. count, mass: [n][n_layer][n_expert]. */
typedef struct trn_traffic { int n, n_layer, n_expert; const uint32_t *count; const float *mass; const uint32_t *tokens /* [n] */; } trn_traffic;
enum trn_by { TRN_BY_TOKENS, TRN_BY_GATE };
/* ESFT (arXiv 2407.01906, section 3): in each layer the experts with the largest share until their sum reaches p. chosen: [n_layer][n_expert]. */
int trn_choose(const trn_traffic *, enum trn_by, double p, uint8_t *chosen, char *err);
/* How far two traffics' shares lie apart (total variation, mean over layers), and how often a random division of all their examples
 * lies as far: the p-value of a permutation test with `rounds` rounds. stop (NULL: never): set by any thread, Q_CANCEL. */
int trn_apart(const trn_traffic *a, const trn_traffic *b, int rounds, uint64_t seed, const atomic_bool *stop, double *distance, double *p, char *err);

/* A beginning: A uniform in +-1/sqrt(n_in) (as PEFT has it), B zero. experts: [n_layer][n_expert] 1: taught (routed layers; NULL: all); attention,
 * shared: those matrices too. rank, alpha: of all. */
typedef struct trn_shape { const uint8_t *experts; bool no_experts, attention, shared; int first_layer, n_layer /* 0: all */, rank; double alpha; uint64_t seed; } trn_shape;
int trn_begin(const struct eng_model *, const trn_shape *, struct eng_adapter **out, char *err);

#endif
