/* engine/run/config: the values behind the knob table. One eng_config is one thread's; knobs.c owns the rows,
 * config.c reading, writing and hashing of values, rope.c the frequencies. Private to engine.
 * It never touches a session: sessions copy a configuration and compare. */
#ifndef QUORUM_CONFIG_H
#define QUORUM_CONFIG_H

#include "engine/engine.h"
#include "engine/run/sample.h"
#include "kernels/kernels.h"

/* Row ids, in the order of listing. */
enum eng_knob {
    KNOB_K, KNOB_MIN_P, KNOB_BAN, KNOB_PIN, KNOB_BIAS, KNOB_ROUTER_T,
    KNOB_HEADS_OFF, KNOB_FFN_WIDTH, KNOB_EPS,
    KNOB_THETA, KNOB_SCALING, KNOB_FACTOR, KNOB_ORIGINAL,
    KNOB_CONTEXT, KNOB_KV, KNOB_THREADS, KNOB_THINK,
    KNOB_S_TEMPERATURE, KNOB_S_TOP_K, KNOB_S_TOP_P, KNOB_S_MIN_P, KNOB_S_REPEAT, KNOB_S_FREQUENCY, KNOB_S_PRESENCE,
    KNOB_S_LAST_N, KNOB_S_SEED, KNOB_S_STOP, KNOB_S_MAX,
    KNOB_FIXED_EXPERTS, KNOB_FIXED_LAYERS, KNOB_FIXED_HEADS, KNOB_FIXED_KV_HEADS, KNOB_FIXED_HEAD_DIM,
    KNOB_FIXED_WIDTH, KNOB_FIXED_FF, KNOB_FIXED_FF_EXP, KNOB_FIXED_VOCAB,
    KNOB_COUNT
};
enum { SCALING_NONE, SCALING_LINEAR, SCALING_YARN };     /* choices of rope.scaling */

/* One value. Which member counts follows from the row's type. */
typedef struct knob_value {
    double num;                        /* INT, FLOAT, BOOL; CHOICE: index */
    char *text;                        /* TEXT; owned */
    int *ints;                         /* INTS: [n_layer]; owned */
    float *grid;                       /* PAIRS, PAIR_VALUES: [n_layer][width], 0 = not listed; owned */
} knob_value;

struct eng_config {
    const eng_model *m;
    knob_value v[KNOB_COUNT];
    eng_sampling sampling;             /* what config_sampling gives; rebuilt at every change */
};

const q_knob *knob_find(const char *name);             /* name or aka; NULL */
const q_knob *knob_row(enum eng_knob id);
/* Width of a PAIRS grid (experts or heads), and the range of a number for this model. */
int knob_width(const eng_model *m, enum eng_knob id);
void knob_range(const eng_model *m, enum eng_knob id, double *min, double *max);
/* The short name that labels use: "k", "theta", ... */
const char *knob_short(enum eng_knob id);

double config_num(const eng_config *c, enum eng_knob id);

void config_refresh(eng_config *c);                    /* after any change of values: rebuilds c->sampling */

/* Hash of the position knobs only: cells of different position hash never follow one another. */
uint64_t config_position_hash(const eng_config *c);
enum ker_kv_type config_kv_type(const eng_config *c);

/* c as the backend wants it. Arrays belong to the caller; free with config_ker_free. */
typedef struct config_ker { ker_config k; float *freq, *add; int16_t *ks; uint8_t *pin, *head_off; int32_t *width; } config_ker;
void config_ker_build(const eng_config *c, config_ker *out);
void config_ker_free(config_ker *);

/* Rotation frequencies [rope_dim/2] and the scale of cos and sin under c. */
void rope_frequencies(const eng_config *c, float *freq, float *mscale);

#endif
