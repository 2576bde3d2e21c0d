/* engine/run/knobs: the one table of the engine's knobs: rows, the values that they describe, and what a model makes of
 * their ranges and defaults. Everything that lists, completes, documents, sets, compares, hashes or saves a knob is a loop
 * over these rows; code that acts on one reads its field. Constant data, any thread; private to engine. */
#ifndef QUORUM_KNOBS_H
#define QUORUM_KNOBS_H

#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>

/* Where a value lives: NUM a double, TEXT malloc'ed letters, INTS a number a layer, GRID a number a layer and an item
 * (expert or head), 0 where it is not listed; NONE nowhere: it is the model's. */
#define KNOB_FIELD_NUM(f)  double f;
#define KNOB_FIELD_TEXT(f) char *f;
#define KNOB_FIELD_INTS(f) int *f;
#define KNOB_FIELD_GRID(f) float *f;
#define KNOB_FIELD_NONE(f)

enum knob_flag {
    K_CELLS = 1,           /* acts on cells although its effect class does not say so */
    K_UNSAID = 2,          /* not among a message's settings (eng_config_hash_all) */
    K_LOCAL = 4,           /* this machine's: not in JSON */
    K_CLAMPED = 8,         /* the default comes out of a file: bent into the row's range */
    K_HEADS = 16,          /* the items of the grid are heads, else experts */
    K_LEAVES_ONE = 32,     /* a layer may not have all its items listed */
    K_FILE = 128,          /* TEXT: a path, a line break, and what stands in that file: it is read when it is set */
    K_ADAPTERS = 256,      /* TEXT: which adapters act (lora.h); the default is each that is there */
    K_MAGNITUDE = 64       /* INTS: ":magnitude" behind the value; such numbers are kept negative */
};

/* field, where it lives, type, name, other names, short name in labels, effect, flags,
 * lowest, highest (TEXT: bytes at most), choices,
 * highest in model m (INTS: in `layer`, -1 = anywhere; negative: that layer has nothing to set. GRID: items of a layer),
 * the model's own value, when it acts at all given the other values v,
 * help */
#define KNOBS(X) \
X(k, INTS, INTS, "experts.k", "num_experts_per_tok,num_experts_per_token,moe_top_k,expert_used_count", "k", ROUTING, 0, \
  1, 65535, NULL, layer < 0 || m->layers[layer].moe ? m->ker.n_expert : -1, m->layers[layer].moe ? m->info.n_expert_used : 0, true, \
  N_("experts that run for each token: a number, one per layer, by layers (0-11:4,12-47:12), or x2: twice the model's own")) \
X(expert_min_p, NUM, FLOAT, "experts.min_p", NULL, "expert min_p", ROUTING, 0, \
  0, 1, NULL, 1, 0, true, \
  N_("chosen experts below this share of the largest weight are dropped; 0 keeps all")) \
X(ban, GRID, PAIRS, "experts.ban", NULL, "ban", ROUTING, K_LEAVES_ONE, \
  0, 0, NULL, m->ker.n_expert, 0, true, \
  N_("experts that are never chosen: layer:expert,... or none")) \
X(pin, GRID, PAIRS, "experts.pin", NULL, "pin", ROUTING, 0, \
  0, 0, NULL, m->ker.n_expert, 0, true, \
  N_("experts that always take one of the k slots, with their own weight: layer:expert,... or none")) \
X(bias, GRID, PAIR_VALUES, "experts.bias", NULL, "bias", ROUTING, 0, \
  -1000, 1000, NULL, m->ker.n_expert, 0, true, \
  N_("added to the router's scores: layer:expert=value,... or none")) \
X(router_t, NUM, FLOAT, "experts.temperature", "router_temperature", "router T", ROUTING, 0, \
  0.01, 100, NULL, 100, 1, true, \
  N_("router scores are divided by this: above 1 evens the weights out, below 1 sharpens them")) \
X(heads_off, GRID, PAIRS, "attention.heads_off", "heads_off", "heads off", FORWARD, K_HEADS, \
  0, 0, NULL, m->ker.n_head, 0, true, \
  N_("attention heads that are silenced: layer:head,... or none")) \
X(ffn_width, INTS, INTS, "ffn.width", NULL, "width", FORWARD, K_MAGNITUDE, \
  0, 0, NULL, layer < 0 ? most_neurons(m) : m->layers[layer].moe ? m->ker.n_ff_exp : m->layers[layer].n_ff, 0, true, \
  N_("neurons of each expert or dense layer that run: a number, 50%, by layers; :magnitude keeps the most active; 0 is all")) \
X(lora, TEXT, TEXT, "lora.scale", "lora,lora_scale", "lora", FORWARD, K_ADAPTERS, \
  0, 65536, NULL, 65536, 0, true, \
  N_("adapters that act: name=0.7,other=0.3; of layers name@0-11=0, an expert name@17e90=1; one number for all; none")) \
X(eps, NUM, FLOAT, "norm.eps", "rms_norm_eps,layer_norm_rms_epsilon", "eps", FORWARD, 0, \
  1e-12, 10, NULL, 10, as_written(m->defaults.norm_eps), true, \
  N_("epsilon inside every RMS norm")) \
X(theta, NUM, FLOAT, "rope.theta", "rope_theta,rope_freq_base", "theta", POSITION, 0, \
  1.5, 1e15, NULL, 1e15, as_written(m->defaults.rope_theta), true, \
  N_("base of the rotary frequencies (Gemma's sliding layers keep theirs); cached cells are evaluated anew, also in continue")) \
X(scaling, NUM, CHOICE, "rope.scaling", "rope_type,rope_scaling", "rope", POSITION, 0, \
  0, 0, "none,linear,yarn,longrope", m->rope.for_long ? SCALING_LONGROPE : SCALING_YARN, m->defaults.rope_scaling, true, \
  N_("how positions beyond the trained context are reached; longrope: by a file's factors; cached cells are evaluated anew")) \
X(factor, NUM, FLOAT, "rope.factor", "rope_scaling_factor", "factor", POSITION, 0, \
  1, 1024, NULL, 1024, as_written(m->defaults.rope_factor), v->scaling == SCALING_LINEAR || v->scaling == SCALING_YARN, \
  N_("by how much rope.scaling stretches the context; cached cells are evaluated anew")) \
X(original, NUM, INT, "rope.original_context", "original_max_position_embeddings", "original", POSITION, 0, \
  1, 16777216, NULL, 16777216, m->defaults.rope_original, v->scaling >= SCALING_YARN, \
  N_("context that YaRN starts from; longrope changes factors when context.length is above; cached cells are evaluated anew")) \
X(yarn_range, NUM, CHOICE, "rope.yarn_range", NULL, "yarn range", POSITION, 0, \
  0, 0, "rounded,exact", 1, 0, v->scaling == SCALING_YARN, \
  N_("whether YaRN's range is rounded to whole dimensions; gpt-oss was trained with exact; cached cells are evaluated anew")) \
X(context, NUM, INT, "context.length", "max_position_embeddings,n_ctx", "context", ALLOCATION, K_UNSAID, \
  16, 16777216, NULL, 16777216, first_context(m), true, \
  N_("tokens the cache holds; the cache is rebuilt")) \
X(kv, NUM, CHOICE, "kv.type", "cache_type", "kv", ALLOCATION, K_CELLS, \
  0, 0, "f16,f32,q8_0,q4_0", 3, 0, true, \
  N_("number format of the cache; the cache is rebuilt")) \
X(state_memory, NUM, INT, "state.memory", NULL, "state", SAMPLING, K_UNSAID | K_LOCAL, \
  0, 1048576, NULL, ker_state_floats(&m->ker) ? 1048576 : 0, ker_state_floats(&m->ker) ? 1024 : 0, true, \
  N_("MiB for states of recurrent layers: turns are returned to without reading them again")) \
X(threads, NUM, INT, "threads", "n_threads", "threads", SAMPLING, K_UNSAID | K_LOCAL, \
  0, 1024, NULL, 1024, m->opened.threads, true, \
  N_("processor threads; 0 is one for each core; results never depend on it")) \
X(draft, NUM, CHOICE, "draft", "speculative,speculation", "draft", SAMPLING, K_UNSAID, \
  0, 0, "off,ngram,mtp", m->next.there ? DRAFT_MTP : DRAFT_NGRAM, DRAFT_OFF, true, \
  N_("tries tokens ahead: those behind the same words before (ngram), or of the file's own head (mtp); replies stay the same")) \
X(think, NUM, CHOICE, "think", "enable_thinking", "think", PROMPT, 0, \
  0, 0, "auto,on,off", 2, 0, true, \
  N_("thinking before the reply, for models that know it; auto is the model's own habit")) \
X(think_budget, NUM, INT, "think.limit", "thinking_budget", "think at most", SAMPLING, 0, \
  0, 16777216, NULL, 16777216, 0, true, \
  N_("thinking is closed after so many tokens of it, and the reply begins; 0 lets it end by itself")) \
X(temperature, NUM, FLOAT, "sampler.temperature", "temperature,temp", "T", SAMPLING, K_CLAMPED, \
  0, 100, NULL, 100, advised(m, "temp", family(m)->temperature), true, \
  N_("0 always takes the likeliest token; higher is more varied")) \
X(top_k, NUM, INT, "sampler.top_k", "top_k", "top_k", SAMPLING, K_CLAMPED, \
  0, 16777216, NULL, m->info.n_vocab > 0 ? m->info.n_vocab : 16777216, advised(m, "top_k", family(m)->top_k), true, \
  N_("only this many likeliest tokens stay; 0 keeps all")) \
X(top_p, NUM, FLOAT, "sampler.top_p", "top_p", "top_p", SAMPLING, K_CLAMPED, \
  0, 1, NULL, 1, all_if_none(advised(m, "top_p", family(m)->top_p)), true, \
  N_("the likeliest tokens that make up this probability stay; 1 keeps all")) \
X(min_p, NUM, FLOAT, "sampler.min_p", "min_p", "min_p", SAMPLING, K_CLAMPED, \
  0, 1, NULL, 1, advised(m, "min_p", family(m)->min_p), true, \
  N_("tokens below this share of the likeliest one's probability are dropped; 0 keeps all")) \
X(repeat_penalty, NUM, FLOAT, "sampler.repeat_penalty", "repetition_penalty,repeat_penalty", "repeat", SAMPLING, K_CLAMPED, \
  0.01, 100, NULL, 100, advised(m, "penalty_repeat", family(m)->repeat_penalty), true, \
  N_("logits of recent tokens are divided (if positive) or multiplied by this; 1 is off")) \
X(frequency_penalty, NUM, FLOAT, "sampler.frequency_penalty", "frequency_penalty", "frequency", SAMPLING, 0, \
  -100, 100, NULL, 100, 0, true, \
  N_("taken from a token's logit for each recent occurrence; 0 is off")) \
X(presence_penalty, NUM, FLOAT, "sampler.presence_penalty", "presence_penalty", "presence", SAMPLING, 0, \
  -100, 100, NULL, 100, 0, true, \
  N_("taken from a token's logit if it occurred recently; 0 is off")) \
X(repeat_last_n, NUM, INT, "sampler.repeat_last_n", "repeat_last_n", "last_n", SAMPLING, 0, \
  0, 16777216, NULL, 16777216, 64, true, \
  N_("how many last tokens the penalties look at; 0 switches them off")) \
X(seed, NUM, INT, "sampler.seed", "seed", "seed", SAMPLING, 0, \
  0, 9007199254740992.0, NULL, 9007199254740992.0, 0, true, \
  N_("same seed, same question, same reply")) \
X(stop, TEXT, TEXT, "sampler.stop", "stop", "stop", SAMPLING, 0, \
  0, 4096, NULL, 4096, 0, true, \
  N_("texts that end the reply, separated by commas (\\n is a line break, \\, a comma)")) \
X(grammar, TEXT, TEXT, "sampler.grammar", "grammar", "grammar", SAMPLING, K_FILE, \
  0, 65536, NULL, 65536, 0, true, \
  N_("a file with a grammar (GBNF) or a JSON schema: replies fit it, from the next token on; off lets them be anything")) \
X(max_tokens, NUM, INT, "sampler.max_tokens", "max_tokens,max_new_tokens", "max", SAMPLING, 0, \
  0, 16777216, NULL, 16777216, 0, true, \
  N_("longest reply in tokens; 0 is up to the end of the context")) \
X(model_experts, NONE, INT, "model.experts", "num_experts,n_routed_experts,num_local_experts", "", FIXED, 0, \
  0, 0, NULL, 0, m->ker.n_expert, true, \
  N_("fixed by the weights; experts.ban takes experts out, experts.k changes how many run")) \
X(model_layers, NONE, INT, "model.layers", "num_hidden_layers", "", FIXED, 0, \
  0, 0, NULL, 0, m->ker.n_layer, true, \
  N_("fixed by the weights; attention.heads_off and ffn.width weaken single layers")) \
X(model_heads, NONE, INT, "model.heads", "num_attention_heads", "", FIXED, 0, \
  0, 0, NULL, 0, m->ker.n_head, true, \
  N_("fixed by the weights; attention.heads_off silences heads")) \
X(model_kv_heads, NONE, INT, "model.kv_heads", "num_key_value_heads", "", FIXED, 0, \
  0, 0, NULL, 0, m->ker.n_kv_head, true, \
  N_("fixed by the weights; kv.type makes the cache smaller")) \
X(model_head_dim, NONE, INT, "model.head_dim", "head_dim", "", FIXED, 0, \
  0, 0, NULL, 0, m->ker.latent.kv_rank ? m->ker.latent.nope + m->ker.latent.rope : m->ker.head_dim, true, \
  N_("fixed by the weights; attention.heads_off silences whole heads")) \
X(model_width, NONE, INT, "model.width", "hidden_size", "", FIXED, 0, \
  0, 0, NULL, 0, m->ker.n_embd, true, \
  N_("fixed by the weights; take a smaller model for a narrower one")) \
X(model_ffn, NONE, INT, "model.ffn", "intermediate_size,shared_expert_intermediate_size", "", FIXED, 0, \
  0, 0, NULL, 0, widest(m), true, \
  N_("fixed by the weights; ffn.width takes part of the neurons")) \
X(model_expert_width, NONE, INT, "model.expert_width", "moe_intermediate_size", "", FIXED, 0, \
  0, 0, NULL, 0, m->ker.n_ff_exp, true, \
  N_("fixed by the weights; ffn.width takes part of the neurons, experts.k changes how many experts run")) \
X(model_vocabulary, NONE, INT, "model.vocabulary", "vocab_size,vocab,n_vocab", "", FIXED, 0, \
  0, 0, NULL, 0, m->info.n_vocab, true, \
  N_("fixed by the weights; sampler.top_k narrows the choice of tokens"))

/* All values of one configuration; owned by it. */
typedef struct knob_values {
#define KNOB_FIELD(f, lives, ...) KNOB_FIELD_##lives(f)
    KNOBS(KNOB_FIELD)
#undef KNOB_FIELD
} knob_values;

enum { DRAFT_OFF, DRAFT_NGRAM, DRAFT_MTP };                                     /* choices of draft */
enum { SCALING_NONE, SCALING_LINEAR, SCALING_YARN, SCALING_LONGROPE };     /* choices of rope.scaling */
enum knob_lives { KNOB_NUM, KNOB_TEXT, KNOB_INTS, KNOB_GRID, KNOB_NONE };

/* What a row's q_knob does not say to other rooms. */
typedef struct knob_row {
    q_knob knob;
    const char *label;
    enum knob_lives lives;
    size_t offset;                     /* of the field in knob_values */
    unsigned flags;                    /* knob_flag */
    double (*highest)(const eng_model *m, int layer);
    double (*own)(const eng_model *m, int layer);
    bool (*acts)(const knob_values *v);
} knob_row;

int knob_count(void);
const knob_row *knob_at(int i);                        /* 0 to knob_count() - 1, in the order of listing */
const knob_row *knob_find(const char *name);           /* name or aka; NULL */
/* The range of a number in this model. */
void knob_range(const eng_model *m, const knob_row *r, double *min, double *max);
/* Numbers behind an INTS or GRID field. */
size_t knob_cells(const eng_model *m, const knob_row *r);
/* The field, whatever it is: a double *, char **, int ** or float **. */
static inline void *knob_field(const knob_row *r, const knob_values *v) { return (char *)(uintptr_t)v + r->offset; }
bool knob_forward(const knob_row *r);                  /* acts on hidden states: part of a cell's provenance */

#endif
