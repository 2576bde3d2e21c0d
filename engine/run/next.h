/* engine/run/next: the head that some files keep beside the model and that predicts one token further (nextn, MTP): drafts for
 * draft.h from what the model left behind of each token. Its layer is computed on the CPU, whatever the model runs on, with cells of its
 * own; it is loaded when it is first asked for. What it says decides how fast a text comes, never which.
 * Formulas: DeepSeek-V3 (arXiv 2412.19437, section 2.2), where a row begins (ker_model.next in kernels.h); the hidden row is the one
 * behind the output norm, the head's own likewise (vLLM's qwen3_next_mtp.py; llama.cpp since 166fe2949). Rotations are relative, so
 * its cells count from where its text began, and a text that it has not seen the beginning of is one that begins later.
 * The engine thread. Private to engine. */
#ifndef QUORUM_NEXT_H
#define QUORUM_NEXT_H

#include "engine/run/config.h"

enum { NEXT_MOST = 3 };                /* tokens of a draft: each further one is foretold from a foretold one */

typedef struct next_head next_head;    /* a model's; eng_model owns it   */
typedef struct next_line next_line;    /* a timeline's                   */

/* Loads the head of a model that has one (model_next.there), once. A sentence where a weight is missing or of another shape, or there is no memory. */
int next_open(eng_model *, char *err);
void next_close(next_head *);          /* after the last line */

uint64_t next_page(const eng_model *);      /* bytes of 64 cells */
/* Whether a timeline's cells fit in memory now, or a sentence. */
int next_fits(const eng_model *, int context, char *err);
next_line *next_new(eng_model *, int context, const atomic_int *cancel);       /* NULL: its cells do not fit in memory. Borrows both; the head is open */
void next_free(next_line *);
/* Settings under which it computes from now on; hash: of c. */
bool next_config(next_line *, const eng_config *c, uint64_t hash);
/* n tokens of the text that the model evaluated, and their hidden rows [n][n_embd]. before, after: chains of the cells before the
 * first (0: none) and of the last, which tell a text that goes on from another one. */
void next_read(next_line *, const int32_t *token, int n, const float *hidden, uint64_t before, uint64_t after);
/* Up to `most` tokens (at most NEXT_MOST) behind `token`, which follows the cell of chain `before` and is not evaluated yet. */
int next_draft(next_line *, int32_t token, int most, uint64_t before, int32_t *out);
/* For tests: what the head says behind the text it has read and `token`, [n_vocab]; NULL: nothing. Good until the next call. */
const float *next_logits(next_line *, int32_t token, uint64_t before);

#endif
