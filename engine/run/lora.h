/* engine/run/lora: adapters that a model carries (eng_model_adapter_*), and what the knob lora.scale makes of them: which act, where, with
 * which factor. A configuration keeps the knob's value as a canonical text that names each adapter with the hash of its numbers, so that a
 * name alone never makes another file act; who was dropped since then acts no more. The list is behind a lock: any thread may read it
 * through these functions; adding and dropping is the engine thread's (adapter.h). Private to engine. */
#ifndef QUORUM_LORA_H
#define QUORUM_LORA_H

#include "engine/adapter.h"

struct lora_model;                     /* eng_model.lora */
struct lora_model *lora_new(void);
void lora_free(eng_model *);           /* before the device is closed */

/* Goes up with each adapter that comes or goes: hashes of configurations and what a context holds of them are then to be made anew. */
unsigned lora_version(const eng_model *);
/* A person's value as canonical text: malloc'ed. "": none acts. */
int lora_parse(const eng_model *, const char *value, char **canonical, char *err);
char *lora_default(const eng_model *);                 /* each that is there, at its own scale, which is 1 unless lora_own says otherwise; malloc'ed */
int lora_own(eng_model *, const char *name, const char *value, char *err);     /* value: of that adapter alone, as lora_parse takes it. The engine thread */
char *lora_name(const eng_model *, const eng_adapter *);                        /* one that is free, made of its file's; malloc'ed */
/* What of a canonical text is in effect, as lora_parse takes it; adds nothing where nothing acts. hashes: with what tells adapters apart. */
void lora_put(const eng_model *, const char *canonical, bool hashes, q_buf *to);
/* Changed by all that acts, in the order of adding: hashes of adapters, and factors. */
uint64_t lora_hash(const eng_model *, const char *canonical, uint64_t h);
/* For a backend; *n adapters, NULL for none. Free with lora_adapt_free. */
ker_adapt *lora_adapt(const eng_model *, const char *canonical, int *n);
void lora_adapt_free(ker_adapt *, int n);
/* What it costs a token beside the weights: k experts of each layer run. of, changed: as eng_config_added has them. */
eng_cost lora_cost(const eng_model *, const char *canonical, const int16_t *k, eng_added *of, uint8_t *changed, int *n);
/* What the device keeps of an adapter beside its own numbers, in bytes; Q_NOMEM with sizes: that is more than `have` (0: not known). */
uint64_t lora_device_bytes(const eng_model *, const eng_adapter *);
int lora_fits(const eng_model *, const eng_adapter *, uint64_t have, char *err);

#endif
