/* engine/model/brief: what the header of a model file says, without opening it as a model: for `model info` and
 * for lists of models. Owns its strings; any thread. It never reads a weight and trusts nothing it prints:
 * text from a file comes out as valid UTF-8 without control characters. Private to engine. */
#ifndef QUORUM_BRIEF_H
#define QUORUM_BRIEF_H

#include "engine/file/gguf.h"

/* What the keys claim; 0 where they do not say. */
typedef struct brief_shape {
    uint64_t n_layer, n_embd, n_head, n_kv, head_dim, n_ctx, n_vocab, n_ff;
    uint64_t n_expert, n_used, n_ff_exp, n_moe_layer;
    uint64_t kv_rank, rope;            /* latent attention (kv_rank > 0): n_kv is then 1, head_dim kv_rank + rope */
    int window, n_near;                /* so many layers see that many cells at most; 0: none do */
    uint64_t mla_head;                 /* and the numbers of a head of Q                */
    uint64_t n_recurrent, state_bytes; /* layers of the delta rule, and what all of them remember */
} brief_shape;

typedef struct brief {
    char *name, *arch, *quant, *pre;   /* "" where the file does not say               */
    char *problem;                     /* NULL, or why quorum cannot run it            */
    char *template_note;               /* NULL, or why no conversation is possible     */
    uint64_t params, active;           /* active: with the file's own number of experts */
    uint64_t tensor_bytes, largest;
    uint64_t need;                     /* memory that running takes, where quorum can run it; else 0 */
    brief_shape shape;
    double rope_theta, norm_eps;       /* 0: not said */
    bool carved, chat, adapter;        /* adapter: LoRA, vision part, recipe: no model */
    bool full;                         /* the problem is that it does not fit in memory now */
    bool in_memory;                    /* the file lies in tmpfs: its weights take nothing more */
} brief;

void brief_read(gguf_file *f, brief *out);     /* f: best of gguf_look, so that no file is beyond words */
void brief_free(brief *);
/* n bytes of a file as text that a terminal can show; malloc'ed. */
char *brief_text(const char *p, size_t n, size_t max);
/* "1.23 B", "45.6 M", "789"; malloc'ed. A line "label   value" of a description. */
char *brief_count(uint64_t n);
void brief_row(q_buf *out, const char *label, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As model_memory; of a file that does not run here by what its keys say. */
uint64_t brief_memory(const brief *);

#endif
