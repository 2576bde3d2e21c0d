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
 * file once, those that run first, then by name. Reads headers only: milliseconds a file. [any] */
int eng_find(eng_found **out, int *n, char *err);
void eng_found_free(eng_found *, int n);
/* What -m and /model take: a path, part of a name (letter case ignored), or NULL for the default. *path malloc'ed.
 * Q_NOTFOUND: none, with what to do; Q_RANGE: several fit, err lists them. */
int eng_find_model(const char *m, char **path, char *err);
/* path is a GGUF file with a readable header and all of its tensors within it. */
bool eng_file_whole(const char *path);

/* ================= making models ================= */
/* Dense llama GGUF + recipe -> routed glm4moe GGUF (see engine/recipes). progress in bytes of the result. */
int eng_carve(const char *in, const char *recipe, const char *out, bool force,
              void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);
/* Random weights in a named model's exact shapes and types. like: "30b-a3b". type: "Q4_K_M", "Q8_0", … n_layer 0 = all. */
int eng_synth(const char *arch, const char *like, const char *type, int n_layer, uint64_t seed, const char *out,
              void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err);
/* Prints what `quorum model info` shows, as text or JSON, into out. */
int eng_describe(const char *path, bool json, q_buf *out, char *err);

#endif
