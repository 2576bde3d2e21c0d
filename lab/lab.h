/* lab: what routing means. How often each expert runs usually, a window over recent tokens, and both as the cells that a
 * person sees; of a running answer and of a stored one. Owns the usual rates of every model that was seen (kept in the
 * store as settings "usual.*") and one mutex around all of a lab_watch, so that its calls may come from any thread.
 * It never asks how a token was made: positions are handed in. No call of the watch fails; what cannot be read or kept is
 * learnt again.
 *
 * Only names of other rooms' types stand here, so that whoever shows a lab_view needs no other header. */
#ifndef QUORUM_LAB_H
#define QUORUM_LAB_H

#include "base/base.h"

struct mem_store;
struct eng_cache;

/* ================= what is seen ================= */
enum lab_bent { LAB_FREE, LAB_BANNED, LAB_PINNED };         /* never unusual when it is not free */
typedef struct lab_cell { float rate, usual; bool now; int8_t dev; /* -2 far less … 0 usual … +2 far more */ uint8_t bent; } lab_cell;
typedef struct lab_odd { int layer, expert; float ratio; int8_t dev; } lab_odd;
/* Routing as a person should see it: how far each expert is from its usual rate under the present configuration
 * (lab/window.c has the formulas). Arrays belong to the caller's struct and are reused: zero-initialise, lab_view_free. */
typedef struct lab_view {
    uint64_t version;                    /* changes when anything did */
    int n_layer, first_layer, n_expert;  /* routed layers only; cell[l * n_expert + e] */
    int k;
    lab_cell *cell;
    float *strange;                      /* [n_layer] 0..1: how unusual the layer's routing is now (the strip's glyph) */
    float *entropy, *margin;             /* [n_layer] of the last token; margin NAN: none */
    uint16_t *now;                       /* [n_layer][k_max] ids of the last token, best first, 0xFFFF pads */
    float *now_weight;                   /* the same shape; NAN unknown */
    int k_max;
    lab_odd odd[8]; int n_odd;           /* most unusual first */
    float repeat, repeat_chance;         /* share of a token's experts that also ran for the token before; by chance */
    float mean_entropy, mean_margin;     /* entropy over log n_expert, mean over layers */
    int learned, learn_need;             /* tokens seen towards "usual" of 256 */
    bool estimated;                      /* too few of them: "usual" is reckoned from another k that is known */
    bool stored;                         /* of a stored answer, not of the running one */
    int n_tokens;
} lab_view;
void lab_view_free(lab_view *);          /* contents, not the struct */

/* ================= what is watched ================= */
typedef struct lab_watch lab_watch;
typedef struct lab_shape { int n_all, first, n_layer, n_expert; } lab_shape;   /* all layers; the first routed one, how many, experts */
typedef struct lab_how {                 /* how the next positions are made */
    uint64_t model;                      /* names the model among the settings */
    uint64_t hash;                       /* of the configuration; only its positions teach what is usual */
    const char *k, *k_default;           /* experts.k as text, of the configuration and of the model itself */
    int k_max;                           /* the largest k over layers */
    const char *config;                  /* JSON of what differs from the model's defaults; NULL: nothing does */
} lab_how;
typedef struct lab_position {            /* one evaluated token; arrays as in the trace: ids best first, 0xFFFF pads */
    int32_t token;
    int pos;
    uint64_t config;
    bool prompt;
    int n_layer, max_k;
    const uint16_t *ids;                 /* [n_layer][max_k] */
    const float *weights;                /* [n_layer][max_k], NULL: not kept */
    const float *entropy, *margin;       /* [n_layer], NULL: not kept */
} lab_position;

/* store: where usual rates and traces are kept; NULL: nowhere. It must outlive the watch. */
lab_watch *lab_watch_new(struct mem_store *store);
void lab_watch_free(lab_watch *);
void lab_watch_config(lab_watch *, const lab_shape *s, const lab_how *h);     /* a model or its configuration is new */
void lab_watch_unload(lab_watch *);                      /* the model is gone */
void lab_watch_clear(lab_watch *);                       /* another conversation: the window forgets, what is usual stays */
void lab_watch_add(lab_watch *, const lab_position *p);  /* a position of the running answer */
void lab_watch_stored(lab_watch *, int64_t message);     /* shows a stored answer; nothing changes where it has no trace */
void lab_watch_live(lab_watch *);                        /* shows the running answer again, once there is one */
void lab_watch_get(lab_watch *, lab_view *io);           /* copies when io->version is behind */
void lab_watch_save(lab_watch *);                        /* usual rates that changed, to the store */

/* ================= the energy map (lab/energy.c; the numbers are eng_energy's, engine/models.h) ================= */
typedef struct lab_bill {                /* of a file, or where path is NULL of the published shapes that `like` names */
    const char *path, *arch, *like, *type;   /* arch NULL: whatever has these shapes; type NULL: Q4_K_M */
    bool measure;                        /* read bandwidth of this machine, and from it a ceiling: takes a third of a second */
    bool json;
} lab_bill;
int lab_energy(const lab_bill *, q_buf *out, char *err);

/* What is usual before anybody said anything: evaluates a built-in text where nothing is known of the present k yet and
 * that costs about a second at most, on the model of `beside`, in a cache of its own. busy(user) is asked every 32 tokens; true ends it.
 * True: it was ended so and there is more to do. Engine thread. */
bool lab_baseline(lab_watch *, struct eng_cache *beside, const char *config, bool (*busy)(void *user), void *user);

#endif
