/* engine: embedding. Texts in, one vector each out, by a model of its own (multilingual-e5, MiniLM, BGE, nomic-embed; Qwen3-Embedding, which is a decoder) with its
 * own weights, vocabulary and worker threads: it shares nothing with the chat model.
 *
 * Threads: one caller at a time an embedder; several embedders may run at once. Worker threads take the niceness of the thread
 * that opens it. Errors: base.h. */
#ifndef QUORUM_ENGINE_EMBED_H
#define QUORUM_ENGINE_EMBED_H

#include "base/base.h"

typedef struct eng_embedder eng_embedder;

typedef struct eng_embedder_info {      /* strings live as long as the embedder */
    const char *path, *name, *arch;     /* of the file; general.name; "bert" */
    char id[20];                        /* fingerprint of the file: vectors of two ids never mix */
    int dim;                            /* floats of a vector */
    int max_tokens;                     /* of one window, with what goes before and after; a longer text is cut into several */
    const char *pooling;                /* "mean", "cls", "last" */
    const char *query, *passage;        /* what is put before a question, before a passage; "" nothing */
    int n_layer, threads;
    uint64_t params, file_bytes;
} eng_embedder_info;

/* threads 0: all cores. Q_FORMAT: the file is not an embedding model known here, or damaged; Q_NOMEM: it does not fit now. */
int eng_embedder_open(const char *path, int threads, eng_embedder **out, char *err);
void eng_embedder_close(eng_embedder *);                 /* NULL is fine */
const eng_embedder_info *eng_embedder_info_of(const eng_embedder *);
/* The file is an embedding model by its header: not one to talk with. Milliseconds; false where it cannot be read. [any] */
bool eng_is_embedder(const char *path);
int eng_embedder_id(const char *path, char id[20], char *err);   /* its fingerprint, by its header too [any] */

/* What a text is: the model's prefix goes before it. */
enum eng_embed_as { ENG_EMBED_QUERY, ENG_EMBED_PASSAGE, ENG_EMBED_PLAIN /* no prefix */ };
/* n texts of len[i] bytes of UTF-8 -> out[n][dim], each of length 1. A text of more tokens than a window holds is cut into
 * consecutive windows whose vectors are averaged by their tokens. A text's bytes depend on nothing but it and the file: not on
 * the other texts, the threads, or the processor. go(user), NULL: always, is asked before each layer of a batch of some hundred tokens, or some rows of a decoder;
 * false: Q_CANCEL, and out is void. */
int eng_embed(eng_embedder *, enum eng_embed_as as, const char *const *text, const size_t *len, int n, float *out,
              bool (*go)(void *user), void *user, char *err);
/* Tokens that text has with its prefix and ends, windows apart: what an embedding costs. Or a q_result. */
int eng_embed_count(eng_embedder *, enum eng_embed_as as, const char *text, size_t len, char *err);

#endif
