/* engine/run/knobs: the one table of the engine's knobs. Everything that lists, completes, documents or sets a
 * knob reads these rows; the range that a model narrows is computed here too. Constant data, any thread.
 * It never holds a value: those are in eng_config. */
#include "engine/run/config.h"
#include "engine/run/model.h"

#include <string.h>

#define ROUTING    Q_EFFECT_ROUTING
#define FORWARD    Q_EFFECT_FORWARD
#define POSITION   Q_EFFECT_POSITION
#define ALLOCATION Q_EFFECT_ALLOCATION
#define SAMPLING   Q_EFFECT_SAMPLING
#define FIXED      Q_EFFECT_FIXED

/* id, name, other names, short name in labels, type, min, max, choices, effect, help */
#define KNOBS(X) \
X(KNOB_K, "experts.k", "num_experts_per_tok,num_experts_per_token,moe_top_k,expert_used_count", "k", INTS, 1, 65535, NULL, ROUTING, \
  N_("experts that run for each token: a number, or a list of one per layer")) \
X(KNOB_MIN_P, "experts.min_p", NULL, "expert min_p", FLOAT, 0, 1, NULL, ROUTING, \
  N_("chosen experts below this share of the largest weight are dropped; 0 keeps all")) \
X(KNOB_BAN, "experts.ban", NULL, "ban", PAIRS, 0, 0, NULL, ROUTING, \
  N_("experts that are never chosen: layer:expert,... or none")) \
X(KNOB_PIN, "experts.pin", NULL, "pin", PAIRS, 0, 0, NULL, ROUTING, \
  N_("experts that always take one of the k slots, with their own weight: layer:expert,... or none")) \
X(KNOB_BIAS, "experts.bias", NULL, "bias", PAIR_VALUES, -1000, 1000, NULL, ROUTING, \
  N_("added to the router's scores: layer:expert=value,... or none")) \
X(KNOB_ROUTER_T, "experts.temperature", "router_temperature", "router T", FLOAT, 0.01, 100, NULL, ROUTING, \
  N_("router scores are divided by this: above 1 evens the weights out, below 1 sharpens them")) \
X(KNOB_HEADS_OFF, "attention.heads_off", "heads_off", "heads off", PAIRS, 0, 0, NULL, FORWARD, \
  N_("attention heads that are silenced: layer:head,... or none")) \
X(KNOB_FFN_WIDTH, "ffn.width", NULL, "width", INTS, 0, 0, NULL, FORWARD, \
  N_("neurons of the dense or shared feed-forward part that take part (the first ones); 0 is all")) \
X(KNOB_EPS, "norm.eps", "rms_norm_eps,layer_norm_rms_epsilon", "eps", FLOAT, 1e-12, 10, NULL, FORWARD, \
  N_("epsilon inside every RMS norm")) \
X(KNOB_THETA, "rope.theta", "rope_theta,rope_freq_base", "theta", FLOAT, 1.5, 1e15, NULL, POSITION, \
  N_("base of the rotary frequencies; cached cells are evaluated anew, also under continue")) \
X(KNOB_SCALING, "rope.scaling", "rope_type,rope_scaling", "rope", CHOICE, 0, 0, "none,linear,yarn", POSITION, \
  N_("how positions beyond the trained context are reached; cached cells are evaluated anew")) \
X(KNOB_FACTOR, "rope.factor", "rope_scaling_factor", "factor", FLOAT, 1, 1024, NULL, POSITION, \
  N_("by how much rope.scaling stretches the context; cached cells are evaluated anew")) \
X(KNOB_ORIGINAL, "rope.original_context", "original_max_position_embeddings", "original", INT, 1, 16777216, NULL, POSITION, \
  N_("trained context that YaRN starts from; cached cells are evaluated anew")) \
X(KNOB_CONTEXT, "context.length", "max_position_embeddings,n_ctx", "context", INT, 16, 16777216, NULL, ALLOCATION, \
  N_("tokens the cache holds; the cache is rebuilt")) \
X(KNOB_KV, "kv.type", "cache_type", "kv", CHOICE, 0, 0, "f16,f32,q8_0", ALLOCATION, \
  N_("number format of the cache; the cache is rebuilt")) \
X(KNOB_THREADS, "threads", "n_threads", "threads", INT, 0, 1024, NULL, SAMPLING, \
  N_("processor threads; 0 is one for each core; results never depend on it")) \
X(KNOB_THINK, "think", "enable_thinking", "think", CHOICE, 0, 0, "auto,on,off", Q_EFFECT_PROMPT, \
  N_("thinking before the reply, for models that know it; auto is the model's own habit")) \
X(KNOB_S_TEMPERATURE, "sampler.temperature", "temperature", "T", FLOAT, 0, 100, NULL, SAMPLING, \
  N_("0 always takes the likeliest token; higher is more varied")) \
X(KNOB_S_TOP_K, "sampler.top_k", "top_k", "top_k", INT, 0, 16777216, NULL, SAMPLING, \
  N_("only this many likeliest tokens stay; 0 keeps all")) \
X(KNOB_S_TOP_P, "sampler.top_p", "top_p", "top_p", FLOAT, 0, 1, NULL, SAMPLING, \
  N_("the likeliest tokens that make up this probability stay; 1 keeps all")) \
X(KNOB_S_MIN_P, "sampler.min_p", "min_p", "min_p", FLOAT, 0, 1, NULL, SAMPLING, \
  N_("tokens below this share of the likeliest one's probability are dropped; 0 keeps all")) \
X(KNOB_S_REPEAT, "sampler.repeat_penalty", "repetition_penalty,repeat_penalty", "repeat", FLOAT, 0.01, 100, NULL, SAMPLING, \
  N_("logits of recent tokens are divided (if positive) or multiplied by this; 1 is off")) \
X(KNOB_S_FREQUENCY, "sampler.frequency_penalty", "frequency_penalty", "frequency", FLOAT, -100, 100, NULL, SAMPLING, \
  N_("taken from a token's logit for each recent occurrence; 0 is off")) \
X(KNOB_S_PRESENCE, "sampler.presence_penalty", "presence_penalty", "presence", FLOAT, -100, 100, NULL, SAMPLING, \
  N_("taken from a token's logit if it occurred recently; 0 is off")) \
X(KNOB_S_LAST_N, "sampler.repeat_last_n", "repeat_last_n", "last_n", INT, 0, 16777216, NULL, SAMPLING, \
  N_("how many last tokens the penalties look at; 0 switches them off")) \
X(KNOB_S_SEED, "sampler.seed", "seed", "seed", INT, 0, 9007199254740992.0, NULL, SAMPLING, \
  N_("same seed, same question, same reply")) \
X(KNOB_S_STOP, "sampler.stop", "stop", "stop", TEXT, 0, 0, NULL, SAMPLING, \
  N_("texts that end the reply, separated by commas (\\n is a line break, \\, a comma)")) \
X(KNOB_S_MAX, "sampler.max_tokens", "max_tokens,max_new_tokens", "max", INT, 0, 16777216, NULL, SAMPLING, \
  N_("longest reply in tokens; 0 is up to the end of the context")) \
X(KNOB_FIXED_EXPERTS, "model.experts", "num_experts,n_routed_experts,num_local_experts", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; experts.ban takes experts out, experts.k changes how many run")) \
X(KNOB_FIXED_LAYERS, "model.layers", "num_hidden_layers", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; attention.heads_off and ffn.width weaken single layers")) \
X(KNOB_FIXED_HEADS, "model.heads", "num_attention_heads", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; attention.heads_off silences heads")) \
X(KNOB_FIXED_KV_HEADS, "model.kv_heads", "num_key_value_heads", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; kv.type makes the cache smaller")) \
X(KNOB_FIXED_HEAD_DIM, "model.head_dim", "head_dim", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; attention.heads_off silences whole heads")) \
X(KNOB_FIXED_WIDTH, "model.width", "hidden_size", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; take a smaller model for a narrower one")) \
X(KNOB_FIXED_FF, "model.ffn", "intermediate_size,shared_expert_intermediate_size", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; ffn.width takes part of the neurons")) \
X(KNOB_FIXED_FF_EXP, "model.expert_width", "moe_intermediate_size", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; experts.k changes how many experts run")) \
X(KNOB_FIXED_VOCAB, "model.vocabulary", "vocab_size", "", INT, 0, 0, NULL, FIXED, \
  N_("fixed by the weights; sampler.top_k narrows the choice of tokens"))

#define ROW(id, name, aka, label, type, lo, hi, choices, effect, help) { name, aka, Q_KNOB_##type, lo, hi, choices, effect, help, id },
static const q_knob rows[] = { KNOBS(ROW) };
#undef ROW
#define ROW(id, name, aka, label, type, lo, hi, choices, effect, help) label,
static const char *const labels[] = { KNOBS(ROW) };
#undef ROW
_Static_assert(sizeof rows / sizeof *rows == KNOB_COUNT, "one row for each id");

const q_knob *eng_knobs(int *n)
{
    *n = KNOB_COUNT;
    return rows;
}

const q_knob *knob_row(enum eng_knob id) { return &rows[id]; }
const char *knob_short(enum eng_knob id) { return labels[id]; }

/* Is name one of the comma-separated words? */
static bool in_list(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p && *p;) {
        size_t w = strcspn(p, ",");
        if (w == n && memcmp(p, name, n) == 0)
            return true;
        p += w + (p[w] == ',');
    }
    return false;
}

const q_knob *knob_find(const char *name)
{
    for (int i = 0; i < KNOB_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    for (int i = 0; i < KNOB_COUNT; i++)
        if (in_list(rows[i].aka, name))
            return &rows[i];
    return NULL;
}

int knob_width(const eng_model *m, enum eng_knob id)
{
    if (rows[id].type != Q_KNOB_PAIRS && rows[id].type != Q_KNOB_PAIR_VALUES)
        return 0;
    return id == KNOB_HEADS_OFF ? m->ker.n_head : m->ker.n_expert;
}

void knob_range(const eng_model *m, enum eng_knob id, double *min, double *max)
{
    *min = rows[id].min;
    *max = rows[id].max;
    if (id == KNOB_K)
        *max = m->ker.n_expert;
    if (id == KNOB_S_TOP_K && m->info.n_vocab > 0)
        *max = m->info.n_vocab;
    if (id == KNOB_FFN_WIDTH) {
        *max = m->ker.n_ff_sh;
        for (int i = 0; i < m->ker.n_layer; i++)
            if (!m->layers[i].moe && m->layers[i].n_ff > *max)
                *max = m->layers[i].n_ff;
    }
}
