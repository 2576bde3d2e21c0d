/* engine/adapter/peft_config: adapter_config.json of a PEFT folder: what of it is computed, and each module's rank and alpha. One thread;
 * private to engine. Meaning of the keys: huggingface/peft, src/peft/tuners/lora/config.py and utils/other.py (get_pattern_key). */
#ifndef QUORUM_PEFT_CONFIG_H
#define QUORUM_PEFT_CONFIG_H

#include "base/base.h"

typedef struct peft_config {
    struct cJSON *json;
    int r;
    double alpha;
    bool root;                         /* rsLoRA: alpha over the root of the rank */
    int version;                       /* of PEFT: 0.21.2 is 2102; 0: not said */
    const char *base;                  /* base_model_name_or_path, "" */
    struct peft_pattern *pattern;      /* rank_pattern, then alpha_pattern */
    int n_pattern;
} peft_config;

/* folder/adapter_config.json. Q_RANGE: of a kind that is not computed, by name and with what to do. */
int peft_config_read(const char *folder, peft_config *out, char *err);
void peft_config_free(peft_config *);
/* Of the module or parameter of that name. */
void peft_config_of(const peft_config *, const char *name, int *rank, double *alpha);
/* Whether target_parameters names it; -1: there are none. */
int peft_config_targets(const peft_config *, const char *name);
bool peft_config_says(const peft_config *, const char *key);          /* it is set, and not to nothing */

#endif
