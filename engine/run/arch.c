/* engine/run/arch: the table of architectures and of the tensors by role. Names are those of
 * gguf-py's constants (gguf/constants.py) and are read from there, not guessed. Constant data. */
#include "engine/run/arch.h"

#include <string.h>

/* qwen3moe: softmax over all, then the k largest, renormalised (norm_topk_prob is true in every published
 * config). qwen2moe: the same without renormalising (its config's default). glm4moe: sigmoid, selection by
 * p + bias; the sum of chosen weights is divided out when the file says so. llama with experts is Mixtral:
 * softmax of the chosen logits equals renormalised softmax of all. */
static const arch table[] = {
    /* name        half   bias       qk norm    experts    shared     gated  select b.  gate              renorm ffn norm, family */
    { "qwen3moe",  true,  ARCH_NO,   ARCH_MUST, ARCH_MUST, ARCH_NO,   false, ARCH_NO,   KER_GATE_SOFTMAX, true,  "ffn_norm", "qwen" },
    { "qwen3",     true,  ARCH_NO,   ARCH_MUST, ARCH_NO,   ARCH_NO,   false, ARCH_NO,   KER_GATE_SOFTMAX, true,  "ffn_norm", "qwen" },
    { "llama",     false, ARCH_MAY,  ARCH_NO,   ARCH_MAY,  ARCH_NO,   false, ARCH_NO,   KER_GATE_SOFTMAX, true,  "ffn_norm", "llama" },
    { "qwen2moe",  true,  ARCH_MUST, ARCH_NO,   ARCH_MUST, ARCH_MUST, true,  ARCH_NO,   KER_GATE_SOFTMAX, false, "ffn_norm", "qwen2" },
    { "glm4moe",   true,  ARCH_MAY,  ARCH_MAY,  ARCH_MUST, ARCH_MUST, false, ARCH_MAY,  KER_GATE_SIGMOID, true,  "post_attention_norm", "glm" },
};

static const arch_tensor tensors[] = {
    { KER_W_EMBD,        "token_embd.weight",          PLACE_MODEL, 2, { DIM_EMBD, DIM_VOCAB } },
    { KER_W_OUT_NORM,    "output_norm.weight",         PLACE_MODEL, 1, { DIM_EMBD } },
    { KER_W_OUT,         "output.weight",              PLACE_MODEL, 2, { DIM_EMBD, DIM_VOCAB } },
    { KER_W_ATTN_NORM,   "attn_norm.weight",           PLACE_LAYER, 1, { DIM_EMBD } },
    { KER_W_Q,           "attn_q.weight",              PLACE_LAYER, 2, { DIM_EMBD, DIM_Q } },
    { KER_W_K,           "attn_k.weight",              PLACE_LAYER, 2, { DIM_EMBD, DIM_KV } },
    { KER_W_V,           "attn_v.weight",              PLACE_LAYER, 2, { DIM_EMBD, DIM_KV } },
    { KER_W_O,           "attn_output.weight",         PLACE_LAYER, 2, { DIM_Q, DIM_EMBD } },
    { KER_W_BQ,          "attn_q.bias",                PLACE_LAYER, 1, { DIM_Q } },
    { KER_W_BK,          "attn_k.bias",                PLACE_LAYER, 1, { DIM_KV } },
    { KER_W_BV,          "attn_v.bias",                PLACE_LAYER, 1, { DIM_KV } },
    { KER_W_Q_NORM,      "attn_q_norm.weight",         PLACE_LAYER, 1, { DIM_HEAD } },
    { KER_W_K_NORM,      "attn_k_norm.weight",         PLACE_LAYER, 1, { DIM_HEAD } },
    { KER_W_FFN_NORM,    NULL,                         PLACE_LAYER, 1, { DIM_EMBD } },
    { KER_W_GATE,        "ffn_gate.weight",            PLACE_DENSE, 2, { DIM_EMBD, DIM_FF } },
    { KER_W_UP,          "ffn_up.weight",              PLACE_DENSE, 2, { DIM_EMBD, DIM_FF } },
    { KER_W_DOWN,        "ffn_down.weight",            PLACE_DENSE, 2, { DIM_FF, DIM_EMBD } },
    { KER_W_ROUTER,      "ffn_gate_inp.weight",        PLACE_MOE,   2, { DIM_EMBD, DIM_EXPERT } },
    { KER_W_SELECT_BIAS, "exp_probs_b.bias",           PLACE_MOE,   1, { DIM_EXPERT } },
    { KER_W_GATE_EXPS,   "ffn_gate_exps.weight",       PLACE_MOE,   3, { DIM_EMBD, DIM_FF_EXP, DIM_EXPERT } },
    { KER_W_UP_EXPS,     "ffn_up_exps.weight",         PLACE_MOE,   3, { DIM_EMBD, DIM_FF_EXP, DIM_EXPERT } },
    { KER_W_DOWN_EXPS,   "ffn_down_exps.weight",       PLACE_MOE,   3, { DIM_FF_EXP, DIM_EMBD, DIM_EXPERT } },
    { KER_W_GATE_SH,     "ffn_gate_shexp.weight",      PLACE_MOE,   2, { DIM_EMBD, DIM_FF_SH } },
    { KER_W_UP_SH,       "ffn_up_shexp.weight",        PLACE_MOE,   2, { DIM_EMBD, DIM_FF_SH } },
    { KER_W_DOWN_SH,     "ffn_down_shexp.weight",      PLACE_MOE,   2, { DIM_FF_SH, DIM_EMBD } },
    { KER_W_SH_ROUTER,   "ffn_gate_inp_shexp.weight",  PLACE_MOE,   1, { DIM_EMBD } },
};

/* Model cards: Qwen3 (thinking mode), SmolLM2, Qwen1.5-MoE generation_config, GLM-4.5. */
static const arch_sampling sampling[] = {
    { "qwen",   0.6, 20, 0.95, 0.0,  1.0 },
    { "qwen2",  0.7, 20, 0.8,  0.0,  1.05 },
    { "glm",    0.6, 0,  0.95, 0.0,  1.0 },
    { "smollm", 0.2, 0,  0.9,  0.0,  1.1 },
    { "llama",  0.7, 40, 0.9,  0.05, 1.0 },
};

const arch *arch_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0)
            return &table[i];
    return NULL;
}

char *arch_known(void)
{
    q_buf b = { 0 };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        q_buf_printf(&b, "%s%s", i ? ", " : "", table[i].name);
    return q_buf_take(&b);
}

const arch_tensor *arch_tensors(int *n)
{
    *n = (int)(sizeof tensors / sizeof *tensors);
    return tensors;
}

enum arch_need arch_needs(const arch *a, enum ker_role role)
{
    switch (role) {
    case KER_W_OUT: return ARCH_MAY;
    case KER_W_BQ: case KER_W_BK: case KER_W_BV: return a->qkv_bias;
    case KER_W_Q_NORM: case KER_W_K_NORM: return a->qk_norm;
    case KER_W_SELECT_BIAS: return a->select_bias;
    case KER_W_GATE_SH: case KER_W_UP_SH: case KER_W_DOWN_SH: return a->shared;
    case KER_W_SH_ROUTER: return a->shared_gated ? a->shared : ARCH_NO;
    default: return ARCH_MUST;
    }
}

const arch_sampling *arch_sampling_of(const char *family)
{
    size_t n = sizeof sampling / sizeof *sampling;
    for (size_t i = 0; i < n; i++)
        if (strcmp(sampling[i].family, family) == 0)
            return &sampling[i];
    return &sampling[n - 1];
}
