/* engine/run/arch: the table of architectures and of the tensors by role. Names are those of
 * gguf-py's constants (gguf/constants.py) and are read from there, not guessed. Constant data. */
#include "engine/run/arch.h"

#include <stdio.h>
#include <string.h>

/* qwen3moe: softmax over all, then the k largest, renormalised (norm_topk_prob is true in every published
 * config). qwen2moe: the same without renormalising (its config's default). glm4moe: sigmoid, selection by
 * p + bias; the sum of chosen weights is divided out when the file says so. llama with experts is Mixtral:
 * softmax of the chosen logits equals renormalised softmax of all; so it is in gpt-oss and granitemoe. olmoe: not
 * renormalised (norm_topk_prob is false in its config), Q and K normed before they are heads (modeling_olmoe.py).
 * gemma3: layer i slides unless (i + 1) % 6 == 0, embedded rows times sqrt(hidden_size), scores by
 * query_pre_attn_scalar, which is the head's width but in the model of 62 layers, where it is 168 = hidden_size / heads
 * (published configs; modeling_gemma3.py). gpt-oss: even layers slide (configuration_gpt_oss.py). Its published config
 * says "truncate": false for YaRN, but no key of a file can: what reads these files, and the goldens made for them,
 * round; so do we, and rope.yarn_range=exact is the other. granite: its four multipliers (modeling_granite.py).
 * qwen3next, qwen35moe, qwen35: transformers' modeling_qwen3_next.py (torch_recurrent_gated_delta_rule, l2norm) and llama.cpp's
 * converter, which since qwen35 stores value heads tiled. The norm of q and k has an eps of its own there, 1e-6; mainline takes the
 * RMS norms' key, which is 1e-6 in every published file: the same numbers until somebody sets norm.eps.
 * deepseek2 (V2, V3, R1, GLM-4.7-Flash): its files say gate, renormalisation and groups themselves (V2-Lite: softmax, not
 * renormalised; V3: sigmoid, selection bias); pairs are adjacent.
 * sum_floor 2^-14: what reads the files of these rows divides by no smaller sum of chosen weights, the least normal half
 * (llama.cpp's build_moe_ffn); the older rows keep theirs. */
static const arch table[] = {
    { .name = "qwen3moe", .rope_half = true, .qk_norm = ARCH_MUST, .experts = ARCH_MUST, .renorm = true, .family = "qwen" },
    { .name = "qwen3next", .rope_half = true, .qk_norm = ARCH_MUST, .experts = ARCH_MUST, .shared = ARCH_MUST, .shared_gated = true, .renorm = true, .sum_floor = 0x1p-14f,
      .delta = { .layers = true, .paired = true, .l2_eps = 1e-6f }, .ffn_norm = "post_attention_norm", .family = "qwen3next" },
    { .name = "qwen35moe", .rope_half = true, .qk_norm = ARCH_MUST, .experts = ARCH_MUST, .shared = ARCH_MUST, .shared_gated = true, .renorm = true, .sum_floor = 0x1p-14f,
      .delta = { .layers = true, .tiled = true, .l2_eps = 1e-6f }, .ffn_norm = "post_attention_norm", .family = "qwen35" },
    { .name = "qwen35", .rope_half = true, .qk_norm = ARCH_MUST, .delta = { .layers = true, .tiled = true, .l2_eps = 1e-6f },
      .ffn_norm = "post_attention_norm", .family = "qwen35" },
    { .name = "qwen3", .rope_half = true, .qk_norm = ARCH_MUST, .renorm = true, .family = "qwen" },
    { .name = "llama", .qkv_bias = ARCH_MAY, .experts = ARCH_MAY, .renorm = true, .family = "llama" },
    { .name = "qwen2moe", .rope_half = true, .qkv_bias = ARCH_MUST, .experts = ARCH_MUST, .shared = ARCH_MUST, .shared_gated = true, .family = "qwen2" },
    { .name = "qwen2", .rope_half = true, .qkv_bias = ARCH_MUST, .family = "qwen2" },
    { .name = "olmoe", .rope_half = true, .qk_norm = ARCH_MUST, .attn.qk_whole = true, .experts = ARCH_MUST, .family = "llama" },
    { .name = "granitemoe", .attn.scales = true, .experts = ARCH_MUST, .shared = ARCH_MAY, .renorm = true, .family = "llama" },
    { .name = "granite", .attn.scales = true, .family = "llama" },
    { .name = "phi3", .rope_half = true, .family = "llama" },
    { .name = "gemma3", .rope_half = true, .qk_norm = ARCH_MUST, .glu = KER_GLU_GELU, .family = "gemma",
      .attn = { .post_norms = true, .window_every = 6, .local_rope = true, .embd_root = true, .wide_layers = 62 } },
    { .name = "gpt-oss", .rope_half = true, .qkv_bias = ARCH_MUST, .attn = { .sinks = true, .window_every = 2 }, .experts = ARCH_MUST, .renorm = true, .glu = KER_GLU_CLAMPED,
      .biases = KER_BIAS_O | KER_BIAS_ROUTER | KER_BIAS_EXPERTS, .ffn_norm = "post_attention_norm", .family = "gpt-oss" },
    { .name = "glm4moe", .rope_half = true, .qkv_bias = ARCH_MAY, .qk_norm = ARCH_MAY, .experts = ARCH_MUST, .shared = ARCH_MUST, .select_bias = ARCH_MAY,
      .gate = KER_GATE_SIGMOID, .renorm = true, .ffn_norm = "post_attention_norm", .family = "glm" },
    { .name = "deepseek2", .latent = true, .sum_floor = 0x1p-14f, .experts = ARCH_MUST, .shared = ARCH_MUST, .select_bias = ARCH_MAY, .family = "deepseek" },
};

/* After "blk.N." for layers. FFN_NORM's comes from the architecture's row. */
static const char *const tensors[KER_W_ROLES] = {
    [KER_W_EMBD] = "token_embd.weight",
    [KER_W_OUT_NORM] = "output_norm.weight",
    [KER_W_OUT] = "output.weight",
    [KER_W_ATTN_NORM] = "attn_norm.weight",
    [KER_W_Q] = "attn_q.weight",
    [KER_W_K] = "attn_k.weight",
    [KER_W_V] = "attn_v.weight",
    [KER_W_O] = "attn_output.weight",
    [KER_W_BQ] = "attn_q.bias",
    [KER_W_BK] = "attn_k.bias",
    [KER_W_BV] = "attn_v.bias",
    [KER_W_Q_NORM] = "attn_q_norm.weight",
    [KER_W_K_NORM] = "attn_k_norm.weight",
    [KER_W_GATE] = "ffn_gate.weight",
    [KER_W_UP] = "ffn_up.weight",
    [KER_W_DOWN] = "ffn_down.weight",
    [KER_W_ROUTER] = "ffn_gate_inp.weight",
    [KER_W_SELECT_BIAS] = "exp_probs_b.bias",
    [KER_W_GATE_EXPS] = "ffn_gate_exps.weight",
    [KER_W_UP_EXPS] = "ffn_up_exps.weight",
    [KER_W_DOWN_EXPS] = "ffn_down_exps.weight",
    [KER_W_GATE_SH] = "ffn_gate_shexp.weight",
    [KER_W_UP_SH] = "ffn_up_shexp.weight",
    [KER_W_DOWN_SH] = "ffn_down_shexp.weight",
    [KER_W_SH_ROUTER] = "ffn_gate_inp_shexp.weight",
    [KER_W_BO] = "attn_output.bias",
    [KER_W_SINKS] = "attn_sinks.weight",
    [KER_W_POST_ATTN_NORM] = "post_attention_norm.weight",
    [KER_W_POST_FFN_NORM] = "post_ffw_norm.weight",
    [KER_W_BROUTER] = "ffn_gate_inp.bias",
    [KER_W_BGATE_EXPS] = "ffn_gate_exps.bias",
    [KER_W_BUP_EXPS] = "ffn_up_exps.bias",
    [KER_W_BDOWN_EXPS] = "ffn_down_exps.bias",
    [KER_W_D_QKV] = "attn_qkv.weight",
    [KER_W_D_Z] = "attn_gate.weight",
    [KER_W_D_BETA] = "ssm_beta.weight",
    [KER_W_D_ALPHA] = "ssm_alpha.weight",
    [KER_W_D_BA] = "ssm_ba.weight",
    [KER_W_D_CONV] = "ssm_conv1d.weight",
    [KER_W_D_DT] = "ssm_dt.bias",
    [KER_W_D_A] = "ssm_a",
    [KER_W_D_NORM] = "ssm_norm.weight",
    [KER_W_D_OUT] = "ssm_out.weight",
    [KER_W_Q_A] = "attn_q_a.weight",
    [KER_W_Q_A_NORM] = "attn_q_a_norm.weight",
    [KER_W_Q_B] = "attn_q_b.weight",
    [KER_W_KV_A] = "attn_kv_a_mqa.weight",
    [KER_W_KV_A_NORM] = "attn_kv_a_norm.weight",
    [KER_W_K_B] = "attn_k_b.weight",
    [KER_W_V_B] = "attn_v_b.weight",
};

/* Where a file may keep several roles in one tensor: their rows one after another, in each expert's matrix if it has three
 * dimensions (gguf-py's constants: ATTN_QKV, FFN_GATE_UP_EXP; phi3's FFN_UP). */
static const arch_slice slices[] = {
    { "attn_qkv.weight", { KER_W_Q, KER_W_K, KER_W_V }, 3 },
    { "attn_qkv.bias", { KER_W_BQ, KER_W_BK, KER_W_BV }, 3 },
    { "ffn_up.weight", { KER_W_GATE, KER_W_UP }, 2 },
    { "ffn_gate_up_exps.weight", { KER_W_GATE_EXPS, KER_W_UP_EXPS }, 2 },
};

const arch_slice *arch_slice_of(enum ker_role role)
{
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        for (int j = 0; j < slices[i].n; j++)
            if (slices[i].role[j] == role)
                return &slices[i];
    return NULL;
}

/* Model cards: Qwen3 (thinking mode), Qwen3-Next (Instruct), Qwen3.5 and 3.6 (thinking mode), SmolLM2, Qwen1.5-MoE generation_config,
 * GLM-4.5, Gemma 3 (generation_config), gpt-oss, DeepSeek-R1 generation_config. */
static const arch_sampling sampling[] = {
    { "qwen",   0.6, 20, 0.95, 0.0,  1.0 },
    { "qwen3next", 0.7, 20, 0.8, 0.0, 1.0 },
    { "qwen35", 1.0, 20, 0.95, 0.0,  1.0 },
    { "qwen2",  0.7, 20, 0.8,  0.0,  1.05 },
    { "glm",    0.6, 0,  0.95, 0.0,  1.0 },
    { "gemma",  1.0, 64, 0.95, 0.0,  1.0 },
    { "gpt-oss", 1.0, 0, 1.0,  0.0,  1.0 },
    { "deepseek", 0.6, 0, 0.95, 0.0, 1.0 },
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

void arch_tensor_name(const arch *a, enum ker_role role, int layer, char *out, size_t n)
{
    if (layer < 0)
        snprintf(out, n, "%s", tensors[role]);
    else if (role == KER_W_FFN_NORM)
        snprintf(out, n, "blk.%d.%s.weight", layer, a->ffn_norm ? a->ffn_norm : "ffn_norm");
    else
        snprintf(out, n, "blk.%d.%s", layer, tensors[role]);
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
