/* engine/run/sample: choosing the next token. Owns the sampler's random state, the window of recent tokens that
 * the penalties look at, and its scratch; one thread at a time. It never looks at the session.
 * Private to engine. */
#ifndef QUORUM_SAMPLE_H
#define QUORUM_SAMPLE_H

#include "engine/run/knobs.h"

#include <stdatomic.h>

/* Applied in this order, each step to what the one before left:
 *   1. repeat_penalty p: a logit of a token in the window becomes l/p if positive, l*p if not (Keskar et al. 2019,
 *      CTRL, with the sign rule that transformers uses);  2. frequency_penalty * count and presence_penalty are
 *      subtracted (OpenAI's definition);  3. temperature 0: the largest, lowest id on a tie, done. Else:
 *   4. top_k largest;  5. softmax;  6. top_p: the fewest, most probable first, whose sum reaches p;
 *   7. min_p: those with at least min_p times the largest probability;  8. logits / temperature, softmax, draw.
 * top_p and min_p see the probabilities at temperature 1, so they mean the same at any temperature. Off: top_k 0, top_p 1,
 * min_p 0, penalties 1, 0, 0; repeat_last_n is the window, 0 none, -1 everything accepted. Of knob_values only these
 * fields, seed and stop are looked at. A grammar's mask comes before all of it: what is not in it was never there. */
/* The functions behind eng_sampler_*, for a bare number of tokens (tests need no model). */
eng_sampler *sampler_new(int n_vocab);
void sampler_free(eng_sampler *);
void sampler_accept(eng_sampler *, int32_t token);
void sampler_reset(eng_sampler *, const knob_values *v);
eng_choice sampler_pick(eng_sampler *, const knob_values *v, const float *logits);
/* eng_likeliest and eng_logprob. */
int sampler_likeliest(const eng_sampler *, const float *logits, eng_choice *out, int max);
float sampler_logprob(const eng_sampler *, const float *logits, int32_t token);
/* The same among the tokens whose bit is set, before anything else; NULL: all. logprob stays the model's own. Token -1: none is set. */
eng_choice sampler_pick_among(eng_sampler *, const knob_values *v, const float *logits, const uint64_t *mask);
struct sample_held **sampler_held(eng_sampler *);       /* what holds it to a grammar, choose.c's; NULL: nothing yet */
void sampler_watch(eng_sampler *, const atomic_int *stop);
long sampler_pulls(const eng_sampler *);               /* candidates put in order so far (tests) */
/* The passes over all logits, per instruction set (sample_body.h). */
float sample_base_max(const float *l, int n);
double sample_base_sum(const float *l, int n, float max, float scale, float *out);
float sample_avx2_max(const float *l, int n);
double sample_avx2_sum(const float *l, int n, float max, float scale, float *out);
float sample_avx512_max(const float *l, int n);
double sample_avx512_sum(const float *l, int n, float max, float scale, float *out);
/* Natural logarithms of token[r]'s probability in each of n_row rows of n_vocab logits; the same bits on every processor. A logit
 * that is no number counts for nothing: who asks knows of such rows. */
void sample_logprobs(const float *logits, int n_vocab, const int32_t *token, int n_row, double *out);
/* eng_stop_scan on a list as sampler.stop takes (strings separated by commas; \n \t \r \s (a blank) \, \\ are escapes; NULL or "" none), and one string more (or NULL). */
long sampling_stop(const char *list, const char *also, const char *text, size_t n);

#endif
