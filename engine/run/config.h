/* engine/run/config: one configuration: the values of knobs.h for one model. It is one thread's; knobs.c owns the rows,
 * config.c reading and writing of values, confhash.c comparing and saving, rope.c the frequencies. Private to engine.
 * It never touches a session: sessions copy a configuration and compare. */
#ifndef QUORUM_CONFIG_H
#define QUORUM_CONFIG_H

#include "engine/run/knobs.h"
#include "kernels/kernels.h"

struct eng_config {
    const eng_model *m;
    knob_values v;
};

bool config_row_equal(const eng_model *m, const knob_row *r, const knob_values *a, const knob_values *b);
bool config_row_default(const eng_config *c, const knob_row *r);   /* the model's own value */

/* Hash of the position knobs only: cells of different position hash never follow one another. */
uint64_t config_position_hash(const eng_config *c);
enum ker_kv_type config_kv_type(const eng_config *c);

/* c as the backend wants it. Arrays belong to the caller; free with config_ker_free. */
typedef struct config_ker { ker_config k; float *freq, *local, *add; int16_t *ks; uint8_t *pin, *head_off; int32_t *width, *narrow; ker_adapt *adapt; } config_ker;
void config_ker_build(const eng_config *c, config_ker *out);
void config_ker_free(config_ker *);

/* Rotation frequencies [rope_dim/2] and the scale of cos and sin under c. */
void rope_frequencies(const eng_config *c, float *freq, float *mscale);
bool rope_long(const eng_config *c);                           /* longrope's long factors act */
void rope_local(const eng_config *c, float *freq, float *mscale);  /* of layers with rotations of their own: their base is the file's, whatever rope.theta is */
/* What products of Q and K are multiplied by under c. */
double rope_attn_scale(const eng_config *c);

#endif
