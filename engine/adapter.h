/* engine: adapters. Low-rank changes of a model's matrices (LoRA, arXiv 2106.09685): y = W x + s B (A x). Read from GGUF (llama.cpp's
 * layout) and from PEFT's folders, checked against a model, written as both, merged into a model's file.
 * An eng_adapter is constant once it is finished: any thread may read it. Those that a model carries (eng_model_adapter_*) are the
 * engine thread's, and change only while no session of that model is inside a call. Errors: base.h. */
#ifndef QUORUM_ENGINE_ADAPTER_H
#define QUORUM_ENGINE_ADAPTER_H

#include "engine/engine.h"
#include "kernels/kernels.h"

/* One matrix's change, as arithmetic has it (kernels.h). Rows and columns are as in the model's GGUF: what a format permutes (llama's q
 * and k) or fuses (gate_up_proj, experts in three dimensions) is in this order here. */
typedef ker_low eng_low;

typedef struct eng_adapter eng_adapter;
typedef struct eng_adapter_info {       /* strings live as long as the adapter; "" where nothing is said */
    const char *path, *name, *arch, *base;   /* base: what it says it was made for: a repository, a name, or a hash */
    uint64_t hash;                      /* of all numbers, roles and scales: equal hash = the same change of a model */
    uint64_t params, bytes, held;        /* bytes: params as floats; held: of them the memory that they take, since an expert's half that is all zero takes none */
    int n_low, rank_min, rank_max, first_layer, last_layer;
    float alpha;                        /* of the file; 0: several */
    const char *doubt;                  /* "", or a sentence: it names another base than the model it was read for, and may have been made for that */
    const char *note;                   /* provenance as JSON text (quorum.adapter.provenance), "" */
} eng_adapter_info;

/* path: a GGUF adapter, or a folder with adapter_config.json and adapter_model.safetensors (or .bin refused by name). m: the model it is
 * for: architecture, names, shapes (and the hash of the base, where it is given: eng_adapter_make notes it, formats of others know none) must
 * fit; NULL only where the file itself says enough (GGUF), then nothing is compared. KER_W_EMBD is of the rows that tokens are looked up in:
 * with a tied head the head stays as it was (PEFT's default). Q_FORMAT: damaged, a half is missing, ranks differ, a number is none; Q_RANGE: for another model, or of a
 * kind that is not computed (DoRA, bias, modules_to_save, prompt tuning), with its name and what to do. */
int eng_adapter_read(const eng_model *m, const char *path, eng_adapter **out, char *err);
/* From rows whose numbers are copied; for whoever trains. base, note: as in the info. */
int eng_adapter_make(const eng_model *m, const char *name, const eng_low *low, int n, const char *note, eng_adapter **out, char *err);
void eng_adapter_free(eng_adapter *);
const eng_adapter_info *eng_adapter_info_of(const eng_adapter *);
const eng_low *eng_adapter_lows(const eng_adapter *, int *n);
/* Written whole under another name first, then moved to its place; force: over what is there. GGUF has one alpha: B carries what a tensor's
 * own scale differs by. */
int eng_adapter_write_gguf(const eng_adapter *, const char *path, bool force, char *err);
int eng_adapter_write_peft(const eng_adapter *, const eng_model *m, const char *folder, bool force, char *err);
/* The adapter at path, kept in the other way: a PEFT folder as a GGUF; a GGUF as a folder, or (out ends with .gguf) as a GGUF that is tied to no
 * file of its base. m: a model of that base, whatever its quantisation. */
int eng_adapter_export(const eng_model *m, const char *path, const char *out, bool force, char *err);
/* What `quorum model info` shows of an adapter, as text or JSON, without its model. eng_is_adapter: path is a GGUF adapter or a folder with an
 * adapter_config.json. Any thread. */
bool eng_is_adapter(const char *path);
int eng_adapter_describe(const char *path, bool json, q_buf *out, char *err);

/* ---- those that a model carries ---- */
/* Taken on success. name: letters, digits, . - and _; how knobs call it (lora.scale), taken from the file's where NULL. Its scale is 1 in
 * configurations made from then on; in those that are there it is 0 until lora.scale is set ("name=1"). Q_RANGE: the name is taken, or too many;
 * Q_NOMEM with sizes: what the device keeps of it does not fit. */
enum { ENG_ADAPTERS = 16 };
int eng_model_adapter_add(eng_model *, eng_adapter *, const char *name, char *err);
int eng_model_adapter_drop(eng_model *, const char *name, char *err);
int eng_model_adapter_rest(eng_model *, const char *name, char *err);      /* in configurations made from then on its scale is 0 */
int eng_model_adapters(const eng_model *, const char *name[ENG_ADAPTERS], const eng_adapter *out[ENG_ADAPTERS]);   /* how many */

/* Bytes of memory that an adapter takes on m: its numbers, and what the device keeps beside them. */
uint64_t eng_adapter_memory(const eng_model *m, const eng_adapter *);
/* What a token costs beside the model under c: multiply-adds, and bytes read. Of a layer's changed experts at most as many count as run
 * there. of: [n_layer + 1] what is beside the layers (embedding, head), then each layer; changed: [n_layer][n_expert] 1: some adapter that acts
 * changes that routed expert; either may be NULL. Returns how many adapters act. Any thread. */
typedef struct eng_added { uint64_t params, bytes; } eng_added;
int eng_config_added(const eng_config *c, eng_added *of, uint8_t *changed);

/* Named when the program starts (--lora): FILE, FILE=SCALE, FILE=SCALE@WHERE with WHERE as lora.scale has it (0-1, 1e6), several of one file
 * in a row. Main's, before any model is opened; kept, not copied. Q_RANGE: that is none. */
int eng_adapters_choose(const char *const *spec, int n, char *err);
int eng_adapters_chosen(void);                                        /* how many were named */
/* Loads them onto m, whose configurations have those scales as their default then. Nothing where none was named. */
int eng_adapters_apply(eng_model *m, char *err);

/* ---- files ---- */
typedef struct eng_merge { const eng_adapter *adapter; float scale; } eng_merge;
/* base with the changes added to its weights (in F32, then as `type` has them; NULL: each tensor in its own type where we can write it, else
 * named), as one GGUF with the base's keys, tokenizer and template, and quorum.merged: JSON of what was added. base may be opened `unrun`; the
 * adapters were read for it. Rows at a time: no matrix is held. */
int eng_merge_write(const eng_model *base, const eng_merge *what, int n, const char *type, const char *out, bool force,
                    void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);
/* A folder of safetensors with config.json and tokenizer.json -> GGUF. type: "F32", "F16", "BF16", "Q8_0"; NULL: as it is kept. */
int eng_convert_folder(const char *folder, const char *type, const char *out, bool force,
                       void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);

/* ---- for whoever computes beside the engine (train/): the model as arithmetic sees it ---- */
const ker_model *eng_model_arithmetic(const eng_model *);             /* lives as long as the model */
/* Rows [first, first + n) of a role's matrix (of expert e; 0 where there are none) as F32, dst [n][ne0]. Q_NOTFOUND: the model has no such
 * place. Any thread. */
int eng_model_rows(const eng_model *, int layer, enum ker_role role, int e, int64_t first, int64_t n, float *dst, char *err);
/* c as a backend gets it; arrays belong to *hold: eng_config_arithmetic_free. */
typedef struct eng_arithmetic { const ker_config *c; void *own; } eng_arithmetic;
int eng_config_arithmetic(const eng_config *, eng_arithmetic *out, char *err);
void eng_config_arithmetic_free(eng_arithmetic *);

#endif
