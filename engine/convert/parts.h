/* engine/convert/parts: a folder of Hugging Face's (config.json, tokenizer.json, safetensors) as the keys of a GGUF, part by part. Values and
 * conventions are those of llama.cpp's convert_hf_to_gguf.py and gguf-py's vocab.py. One thread; private to engine. */
#ifndef QUORUM_CONVERT_PARTS_H
#define QUORUM_CONVERT_PARTS_H

#include "engine/file/gguf.h"
#include "engine/run/arch.h"

struct cJSON;

typedef struct convert_shape {         /* what the tensors' rows need of config.json */
    const arch *a;
    int n_layer, n_next /* heads that foretell, behind the layers */, head_dim, n_expert, n_vocab;
    bool tied;
    bool norm_plus;                    /* norms are kept less one, as Gemma's are (modeling_gemma3.py, Gemma3RMSNorm) */
    float *rope_factors;               /* [n_rope] divisors of frequencies (rope_type llama3), malloc'ed; NULL: none */
    int n_rope;
} convert_shape;

/* config.json's keys, but general.file_type and block_count. Q_RANGE: of an architecture or a kind that is not converted, by name. */
int convert_config(const char *folder, const struct cJSON *config, gguf_writer *w, convert_shape *out, char *err);
/* Tokenizer and chat template; n_vocab rows of the embedding. */
int convert_tokenizer(const char *folder, const struct cJSON *config, const convert_shape *, gguf_writer *w, char *err);

/* folder/name as JSON; NULL with err: it cannot be read, or is no object. The caller deletes it. */
struct cJSON *convert_json(const char *folder, const char *name, char *err);
bool convert_there(const char *folder, const char *name);

#endif
