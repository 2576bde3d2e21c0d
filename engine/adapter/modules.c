/* engine/adapter/modules: see modules.h. */
#include "engine/adapter/modules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* archs: "" for all that are not named in another row of that name; '#' in a name is a routed expert's number. The first row of a role is
 * what adapters are written as. Of recurrent layers (qwen3next, qwen35) rows are woven together by heads: none is here. Mixtral's names changed with transformers 5 (block_sparse_moe became mlp, w1 w3 w2 gate, up and down). */
typedef struct module_def { const char *archs, *name; enum ker_role role[3]; int n; bool stacked, across; enum module_rows rows; } module_def;

static const module_def whole[] = {
    { "", "model.embed_tokens.weight", { KER_W_EMBD }, 1, false, false, MODULE_SAME },
    { "", "model.norm.weight", { KER_W_OUT_NORM }, 1, false, false, MODULE_SAME },
    { "", "lm_head.weight", { KER_W_OUT }, 1, false, false, MODULE_SAME },
};

static const module_def in_layer[] = {
    { "", "input_layernorm.weight", { KER_W_ATTN_NORM }, 1, false, false, MODULE_SAME },
    { "gemma3", "post_attention_layernorm.weight", { KER_W_POST_ATTN_NORM }, 1, false, false, MODULE_SAME },
    { "gemma3", "pre_feedforward_layernorm.weight", { KER_W_FFN_NORM }, 1, false, false, MODULE_SAME },
    { "gemma3", "post_feedforward_layernorm.weight", { KER_W_POST_FFN_NORM }, 1, false, false, MODULE_SAME },
    { "", "post_attention_layernorm.weight", { KER_W_FFN_NORM }, 1, false, false, MODULE_SAME },
    { "phi3", "self_attn.qkv_proj.weight", { KER_W_Q, KER_W_K, KER_W_V }, 3, false, false, MODULE_SAME },
    { "", "self_attn.q_proj.weight", { KER_W_Q }, 1, false, false, MODULE_HEADS },
    { "", "self_attn.k_proj.weight", { KER_W_K }, 1, false, false, MODULE_HEADS },
    { "", "self_attn.v_proj.weight", { KER_W_V }, 1, false, false, MODULE_SAME },
    { "", "self_attn.o_proj.weight", { KER_W_O }, 1, false, false, MODULE_SAME },
    { "", "self_attn.q_proj.bias", { KER_W_BQ }, 1, false, false, MODULE_HEADS },
    { "", "self_attn.k_proj.bias", { KER_W_BK }, 1, false, false, MODULE_HEADS },
    { "", "self_attn.v_proj.bias", { KER_W_BV }, 1, false, false, MODULE_SAME },
    { "", "self_attn.o_proj.bias", { KER_W_BO }, 1, false, false, MODULE_SAME },
    { "", "self_attn.q_norm.weight", { KER_W_Q_NORM }, 1, false, false, MODULE_SAME },
    { "", "self_attn.k_norm.weight", { KER_W_K_NORM }, 1, false, false, MODULE_SAME },
    { "", "self_attn.sinks", { KER_W_SINKS }, 1, false, false, MODULE_SAME },
    { "", "self_attn.q_a_proj.weight", { KER_W_Q_A }, 1, false, false, MODULE_SAME },
    { "", "self_attn.q_a_layernorm.weight", { KER_W_Q_A_NORM }, 1, false, false, MODULE_SAME },
    { "", "self_attn.q_b_proj.weight", { KER_W_Q_B }, 1, false, false, MODULE_SAME },
    { "", "self_attn.kv_a_proj_with_mqa.weight", { KER_W_KV_A }, 1, false, false, MODULE_SAME },
    { "", "self_attn.kv_a_layernorm.weight", { KER_W_KV_A_NORM }, 1, false, false, MODULE_SAME },
    { "phi3", "mlp.gate_up_proj.weight", { KER_W_GATE, KER_W_UP }, 2, false, false, MODULE_SAME },
    { "", "mlp.gate_proj.weight", { KER_W_GATE }, 1, false, false, MODULE_SAME },
    { "", "mlp.up_proj.weight", { KER_W_UP }, 1, false, false, MODULE_SAME },
    { "", "mlp.down_proj.weight", { KER_W_DOWN }, 1, false, false, MODULE_SAME },
    { "gpt-oss", "mlp.router.weight", { KER_W_ROUTER }, 1, false, false, MODULE_SAME },
    { "granitemoe", "block_sparse_moe.router.layer.weight", { KER_W_ROUTER }, 1, false, false, MODULE_SAME },
    { "", "mlp.gate.weight", { KER_W_ROUTER }, 1, false, false, MODULE_SAME },
    { "llama", "block_sparse_moe.gate.weight", { KER_W_ROUTER }, 1, false, false, MODULE_SAME },
    { "", "mlp.gate.e_score_correction_bias", { KER_W_SELECT_BIAS }, 1, false, false, MODULE_SAME },
    { "llama", "block_sparse_moe.experts.#.w1.weight", { KER_W_GATE_EXPS }, 1, false, false, MODULE_SAME },
    { "llama", "block_sparse_moe.experts.#.w3.weight", { KER_W_UP_EXPS }, 1, false, false, MODULE_SAME },
    { "llama", "block_sparse_moe.experts.#.w2.weight", { KER_W_DOWN_EXPS }, 1, false, false, MODULE_SAME },
    { "", "mlp.experts.#.gate_proj.weight", { KER_W_GATE_EXPS }, 1, false, false, MODULE_SAME },
    { "", "mlp.experts.#.up_proj.weight", { KER_W_UP_EXPS }, 1, false, false, MODULE_SAME },
    { "", "mlp.experts.#.down_proj.weight", { KER_W_DOWN_EXPS }, 1, false, false, MODULE_SAME },
    { "gpt-oss", "mlp.experts.gate_up_proj", { KER_W_GATE_EXPS, KER_W_UP_EXPS }, 2, true, true, MODULE_PAIRS },
    { "gpt-oss", "mlp.experts.down_proj", { KER_W_DOWN_EXPS }, 1, true, true, MODULE_SAME },
    { "granitemoe", "block_sparse_moe.experts.gate_up_proj", { KER_W_GATE_EXPS, KER_W_UP_EXPS }, 2, true, false, MODULE_SAME },
    { "granitemoe", "block_sparse_moe.experts.down_proj", { KER_W_DOWN_EXPS }, 1, true, false, MODULE_SAME },
    { "granitemoe", "block_sparse_moe.input_linear.weight", { KER_W_GATE_EXPS, KER_W_UP_EXPS }, 2, true, false, MODULE_SAME },
    { "granitemoe", "block_sparse_moe.output_linear.weight", { KER_W_DOWN_EXPS }, 1, true, false, MODULE_SAME },
    { "", "mlp.experts.gate_up_proj", { KER_W_GATE_EXPS, KER_W_UP_EXPS }, 2, true, false, MODULE_SAME },
    { "", "mlp.experts.down_proj", { KER_W_DOWN_EXPS }, 1, true, false, MODULE_SAME },
    { "llama", "block_sparse_moe.experts.gate_up_proj", { KER_W_GATE_EXPS, KER_W_UP_EXPS }, 2, true, false, MODULE_SAME },
    { "llama", "block_sparse_moe.experts.down_proj", { KER_W_DOWN_EXPS }, 1, true, false, MODULE_SAME },
    { "glm4moe deepseek2", "mlp.shared_experts.gate_proj.weight", { KER_W_GATE_SH }, 1, false, false, MODULE_SAME },
    { "glm4moe deepseek2", "mlp.shared_experts.up_proj.weight", { KER_W_UP_SH }, 1, false, false, MODULE_SAME },
    { "glm4moe deepseek2", "mlp.shared_experts.down_proj.weight", { KER_W_DOWN_SH }, 1, false, false, MODULE_SAME },
    { "granitemoe", "shared_mlp.input_linear.weight", { KER_W_GATE_SH, KER_W_UP_SH }, 2, false, false, MODULE_SAME },
    { "granitemoe", "shared_mlp.output_linear.weight", { KER_W_DOWN_SH }, 1, false, false, MODULE_SAME },
    { "", "mlp.shared_expert.gate_proj.weight", { KER_W_GATE_SH }, 1, false, false, MODULE_SAME },
    { "", "mlp.shared_expert.up_proj.weight", { KER_W_UP_SH }, 1, false, false, MODULE_SAME },
    { "", "mlp.shared_expert.down_proj.weight", { KER_W_DOWN_SH }, 1, false, false, MODULE_SAME },
    { "", "mlp.shared_expert_gate.weight", { KER_W_SH_ROUTER }, 1, false, false, MODULE_SAME },
};

/* Whether a word of the list is the architecture's name; "" fits all. */
static bool of_arch(const char *archs, const arch *a)
{
    if (!*archs) return true;
    if (!a) return false;
    size_t n = strlen(a->name);
    for (const char *p = archs; (p = strstr(p, a->name)); p += n)
        if ((p == archs || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return true;
    return false;
}

/* name against the row's, '#' for a number. */
static bool fits(const char *name, const char *row, int *expert)
{
    for (; *row && *row != '#'; row++, name++)
        if (*row != *name) return false;
    if (!*row) return !*name;
    char *end;
    if (*name < '0' || *name > '9') return false;
    long n = strtol(name, &end, 10);
    if (n > 65535) return false;
    *expert = (int)n;
    return strcmp(end, row + 1) == 0;
}

/* a NULL: the name that most have, else anybody's. */
static bool look_up(const module_def *d, size_t n, const arch *a, const char *name, module_place *out)
{
    for (size_t k = 0; k < (a ? n : 2 * n); k++) {
        int expert = -1;
        size_t i = k % n;
        if ((k < n && !of_arch(d[i].archs, a)) || !fits(name, d[i].name, &expert)) continue;
        *out = (module_place){ .n = d[i].n, .layer = out->layer, .expert = expert, .stacked = d[i].stacked, .across = d[i].across, .rows = d[i].rows };
        memcpy(out->role, d[i].role, sizeof out->role);
        return true;
    }
    return false;
}

bool module_find(const arch *a, const char *name, module_place *out)
{
    static const char *const larger[] = { "model.language_model.", "language_model.model.", "language_model." };
    char plain[256];
    for (size_t i = 0; i < sizeof larger / sizeof *larger; i++)
        if (strncmp(name, larger[i], strlen(larger[i])) == 0) {
            const char *rest = name + strlen(larger[i]);
            if (snprintf(plain, sizeof plain, "%s%s", strncmp(rest, "lm_head.", 8) == 0 ? "" : "model.", rest) >= (int)sizeof plain) return false;
            name = plain;
            break;
        }
    int layer = -1, at = 0;
    out->layer = -1;
    if (sscanf(name, "model.layers.%9d.%n", &layer, &at) != 1 || at == 0)
        return look_up(whole, sizeof whole / sizeof *whole, a, name, out);
    if (layer < 0) return false;
    out->layer = layer;
    return look_up(in_layer, sizeof in_layer / sizeof *in_layer, a, name + at, out);
}

bool module_name(const arch *a, enum ker_role role, int layer, int expert, char *out, size_t n)
{
    const module_def *d = layer < 0 ? whole : in_layer;
    size_t rows = layer < 0 ? sizeof whole / sizeof *whole : sizeof in_layer / sizeof *in_layer;
    for (size_t i = 0; i < rows; i++) {
        const char *hash = strchr(d[i].name, '#');
        bool has = false;
        for (int k = 0; k < d[i].n; k++) has = has || d[i].role[k] == role;
        if (!has || !of_arch(d[i].archs, a) || (expert >= 0) != (hash != NULL)) continue;
        int k = layer < 0 ? 0 : snprintf(out, n, "model.layers.%d.", layer);
        if (hash) snprintf(out + k, n - (size_t)k, "%.*s%d%s", (int)(hash - d[i].name), d[i].name, expert, hash + 1);
        else snprintf(out + k, n - (size_t)k, "%s", d[i].name);
        return true;
    }
    return false;
}

bool module_turns(const arch *a) { return a && of_arch("llama granite granitemoe", a); }

int64_t module_row(const arch *a, enum module_rows rows, int64_t i, int64_t first, int which, int dim)
{
    if (rows == MODULE_PAIRS) return 2 * i + which;
    if (rows == MODULE_HEADS && module_turns(a) && dim > 1) {
        int64_t head = i / dim, at = i % dim;
        return first + head * dim + at % 2 * (dim / 2) + at / 2;
    }
    return first + i;
}
