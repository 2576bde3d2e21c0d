/* advice/course_shape: what a model's parts are called where it is trained, and how large they are: from the catalogue, or from a folder's config.json. */
#include "advice/course_recipe.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QKVO "q_proj k_proj v_proj o_proj"
#define GUD "gate_proj up_proj down_proj"
#define EXPERTS "mlp.experts.gate_up_proj mlp.experts.down_proj"
#define MLA "q_proj q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj o_proj"
static const course_family families[] = {
    { "qwen3moe", "qwen3_moe", QKVO, "", EXPERTS, "mlp.gate", false, true, "qwen3" },
    { "qwen3next", "qwen3_next", QKVO " in_proj_qkvz in_proj_ba out_proj", GUD, EXPERTS, "mlp.gate", false, true, "qwen3" },
    { "qwen35moe", "qwen3_5_moe", QKVO " in_proj_qkv in_proj_z in_proj_b in_proj_a out_proj", GUD, EXPERTS, "mlp.gate", false, true, "qwen3_5" },
    { "qwen35", "qwen3_5", QKVO " in_proj_qkv in_proj_z in_proj_b in_proj_a out_proj", GUD, "", "", false, true, "qwen3_5" },
    { "qwen3", "qwen3", QKVO, GUD, "", "", false, true, "qwen3" },
    { "qwen2", "qwen2", QKVO, GUD, "", "", false, true, "qwen" },
    { "llama", "llama", QKVO, GUD, "", "", false, true, "llama3" },
    { "llama", "mixtral", QKVO, "", EXPERTS, "mlp.gate", false, false, "mistral" },
    { "apertus", "apertus", QKVO, "up_proj down_proj", "", "", false, false, "" },
    { "gemma3", "gemma3_text", QKVO, GUD, "", "", false, true, "gemma3" },
    { "olmoe", "olmoe", QKVO, "", EXPERTS, "mlp.gate", false, false, "olmo" },
    { "gpt-oss", "gpt_oss", QKVO, "", EXPERTS, "mlp.router", true, true, "gpt_oss" },
    { "glm4moe", "glm4_moe", QKVO, GUD, EXPERTS, "mlp.gate", false, true, "glm4_moe" },
    { "deepseek2", "deepseek_v2", MLA, GUD, EXPERTS, "mlp.gate", false, false, "deepseek3" },
    { "granitemoe", "granitemoe", QKVO, "", "block_sparse_moe.experts.gate_up_proj block_sparse_moe.experts.down_proj", "block_sparse_moe.router",
      false, false, "granite3" },
};

const course_family *course_family_of(const char *arch, bool moe)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].arch, arch) == 0 && (*families[i].experts != '\0') == moe)
            return &families[i];
    return NULL;
}

/* The widths that the counts of a published shape are made of; each is a quotient of exact counts (engine/models.h). BF16: two bytes a number. */
int course_shape_of_known(const eng_known *k, course_recipe *r, char *err)
{
    eng_energy e;
    int rc = eng_energy_like(NULL, k->like, "BF16", 0, &e, err);
    if (rc)
        return rc;
    course_shape *s = &r->shape;
    double cells = e.n_layer - e.n_recurrent;
    s->part[0] = e.params[ENG_ENERGY_EXPERTS];
    s->part[1] = e.params[ENG_ENERGY_ROUTER];
    s->part[2] = e.params[ENG_ENERGY_EMBED];
    s->part[3] = e.params[ENG_ENERGY_HEAD];
    s->part[4] = e.params[ENG_ENERGY_DENSE];
    s->part[5] = e.params[ENG_ENERGY_ATTN];
    s->layers = e.n_layer;
    s->attention_layers = cells;
    s->embd = (double)e.read[ENG_ENERGY_EMBED] / 2;
    s->vocab = s->embd > 0 ? (double)e.params[ENG_ENERGY_EMBED] / s->embd : 0;
    s->kv = cells > 0 ? (double)e.kv_numbers / cells : 0;
    s->q = cells > 0 ? (double)(e.flops_cell + e.flops_near) / (4 * cells) : 0;
    s->layers_moe = e.n_routed;
    s->experts = e.n_expert;
    s->used = e.n_used;
    if (e.n_routed > 0 && e.n_expert > 0 && s->embd > 0)
        s->ff_expert = (double)e.params[ENG_ENERGY_EXPERTS] / ((double)e.n_routed * e.n_expert * 3 * s->embd);
    if (s->embd > 0 && e.n_layer > 0)      /* spread over all layers: most have shared experts, or none has a dense one */
        s->ff_dense = (double)e.params[ENG_ENERGY_DENSE] / ((double)e.n_layer * 3 * s->embd);
    return 0;
}

/* ---- a folder of Hugging Face: config.json ---- */
static double number(const cJSON *j, const char *keys)       /* the first of these that is there */
{
    for (const char *p = keys; *p;) {
        char key[64];
        size_t n = strcspn(p, " ");
        snprintf(key, sizeof key, "%.*s", (int)n, p);
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
        if (cJSON_IsNumber(v) && v->valuedouble > 0 && v->valuedouble < 1e9)
            return v->valuedouble;
        p += n + (p[n] == ' ');
    }
    return 0;
}

static const struct { const char *type, *arch; bool moe; } plain[] = {     /* whose layers are all alike */
    { "qwen3_moe", "qwen3moe", true }, { "qwen3", "qwen3", false }, { "qwen2", "qwen2", false }, { "llama", "llama", false }, { "mixtral", "llama", true },
    { "olmoe", "olmoe", true }, { "apertus", "apertus", false },
};

/* Could there be such a model? A thousand times what the largest has. */
static bool could(const course_shape *s, double ff)
{
    return s->layers * s->embd * (3 * (s->experts * s->ff_expert + ff) + 2 * s->q + s->kv + s->experts) + 2 * s->vocab * s->embd < 1e15;
}

static bool count_plain(const cJSON *j, bool moe, course_shape *s)
{
    double heads = number(j, "num_attention_heads"), kv_heads = number(j, "num_key_value_heads num_attention_heads"), dim = number(j, "head_dim");
    s->layers = s->attention_layers = number(j, "num_hidden_layers");
    s->embd = number(j, "hidden_size");
    s->vocab = number(j, "vocab_size");
    if (!(dim > 0) && heads > 0) dim = s->embd / heads;
    s->q = heads * dim;
    s->kv = 2 * kv_heads * dim;
    s->experts = moe ? number(j, "num_experts num_local_experts") : 0;
    s->used = moe ? number(j, "num_experts_per_tok") : 0;
    double ff = number(j, "intermediate_size"), step = number(j, "decoder_sparse_step");
    const cJSON *dense = cJSON_GetObjectItemCaseSensitive(j, "mlp_only_layers");
    s->layers_moe = moe ? (step > 1 ? (double)(long)(s->layers / step) : s->layers) - (cJSON_IsArray(dense) ? cJSON_GetArraySize(dense) : 0) : 0;
    s->ff_expert = moe ? number(j, "moe_intermediate_size intermediate_size") : 0;
    double dense_layers = s->layers - s->layers_moe;
    s->ff_dense = s->layers > 0 ? ff * dense_layers / s->layers : 0;
    if (!could(s, ff)) return false;
    s->part[0] = (uint64_t)(s->layers_moe * s->experts * 3 * s->embd * s->ff_expert);
    s->part[1] = (uint64_t)(s->layers_moe * s->experts * s->embd);
    s->part[2] = (uint64_t)(s->vocab * s->embd);
    s->part[3] = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "tie_word_embeddings")) ? 0 : s->part[2];
    s->part[4] = (uint64_t)(dense_layers * 3 * s->embd * ff);
    s->part[5] = (uint64_t)(s->layers * (2 * s->embd * s->q + s->embd * s->kv + 2 * s->embd) + s->embd);
    return true;
}

int course_shape_of_folder(const char *dir, course_recipe *r, char *err)
{
    char *path = q_printf("%s/config.json", dir);
    q_buf text = { 0 };
    int rc = q_read_file(path, &text, 1 << 20, err);
    cJSON *j = rc ? NULL : cJSON_ParseWithLength(text.p, text.len);
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(j, "model_type");
    if (!rc && !cJSON_IsString(type))
        rc = q_fail(err, Q_FORMAT, _("%s names no model_type: is it a folder of weights as Hugging Face's tools save it?"), path);
    size_t i = 0, n = sizeof plain / sizeof *plain;
    while (!rc && i < n && strcmp(plain[i].type, type->valuestring) != 0)
        i++;
    if (!rc && i == n)
        rc = q_fail(err, Q_FORMAT, _("%s: quorum cannot count a %.60s from its config.json: name it as the catalogue does, and its folder with --weights"), path, type->valuestring);
    if (!rc) {
        bool could_be = count_plain(j, plain[i].moe, &r->shape);
        const course_shape *s = &r->shape;
        if (!could_be)
            rc = q_fail(err, Q_FORMAT, _("%s: its counts make a model larger than any that is: the file is damaged, get another copy"), path);
        else if (!(s->layers > 0 && s->embd > 0 && s->vocab > 0 && s->q > 0) || (plain[i].moe && !(s->experts > 0 && s->used > 0 && s->layers_moe > 0 && s->ff_expert > 0)))
            rc = q_fail(err, Q_FORMAT, _("%s lacks one of num_hidden_layers, hidden_size, vocab_size, num_attention_heads and, of experts, their number and width"), path);
    }
    if (!rc) {
        const char *base = strrchr(dir, '/');
        snprintf(r->name, sizeof r->name, "%s", base && base[1] ? base + 1 : dir);
        r->weights = r->c.model;
        r->family = course_family_of(plain[i].arch, plain[i].moe);
    }
    cJSON_Delete(j);
    q_buf_free(&text);
    free(path);
    return rc;
}
