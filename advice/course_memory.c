/* advice/course_memory: what training holds in memory, by part, on the fullest GPU.
 * Weights: 2 bytes (BF16); what is trained in full without DeepSpeed 4, as there the optimiser keeps no copy of its own; with FSDP all of them, as one
 * shard has one type; axolotl trains in BF16 throughout, moments too. In 4 bits: NF4 in blocks of 64
 * with scales quantised again, 4.127 bits a number (Dettmers et al. 2023, arXiv 2305.14314, section 3), of matrices only.
 * Trained numbers: 16 bytes each with Adam in mixed precision (Rajbhandari et al. 2020, arXiv 1910.02054, section 3.1: weight 2, gradient 2,
 * float copy and two moments 12; an adapter and FSDP: weight 4, gradient 4, moments 8). ZeRO-2 shares out optimiser and gradients, ZeRO-3 and FSDP
 * weights too (the same, section 5).
 * Activations: with recomputation the input of each layer, 2 bytes a number (Korthikanti et al. 2022, arXiv 2205.05198, section 5), and one layer's
 * own at its widest, with their gradients: counted here from what the layer keeps; attention as FlashAttention and SDPA do it keeps no square.
 * Logits: BF16, a float copy and its gradient. Room: a CUDA context and what allocation loses, a guess: 1 GiB and a twentieth. */
#include "advice/course_recipe.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned bit[COURSE_PARTS] = { ADV_EXPERTS, ADV_ROUTERS, ADV_EMBEDDINGS, ADV_HEAD, ADV_DENSE, ADV_ATTENTION };

static double lora_numbers(const course_recipe *r)
{
    const course_shape *s = &r->shape;
    double out = 0, rank = r->c.rank;
    unsigned t = r->c.trained;
    if (t & ADV_ATTENTION)               /* q, k, v, o in each layer; recurrent ones have about the same widths */
        out += s->layers * rank * (4 * s->embd + 2 * s->q + s->kv);
    if (t & ADV_DENSE)
        out += s->layers * rank * 3 * (s->embd + s->ff_dense);
    if (t & ADV_EXPERTS)                 /* gate and up are one parameter */
        out += s->layers_moe * s->experts * r->c.rank_expert * ((s->embd + 2 * s->ff_expert) + (s->ff_expert + s->embd));
    for (int i = 1; i < 4; i++)          /* routers, embeddings and head are trained whole */
        out += t & bit[i] ? (double)s->part[i] : 0;
    return out;
}

static double layer_keeps(const course_recipe *r)      /* numbers a token */
{
    const course_shape *s = &r->shape;
    return 3 * s->embd + 2 * s->q + s->kv + s->used * (3 * s->ff_expert + s->embd) + 3 * s->ff_dense + 4 * s->experts;
}

void course_load(const course_recipe *r, adv_load *out)
{
    const course_shape *s = &r->shape;
    const adv_course *c = &r->c;
    double all = 0, trained = 0, weights = 0, n = r->gpus > 1 ? r->gpus : 1;
    bool full = c->method == ADV_FULL, four = c->method == ADV_QLORA, zero = c->shard == ADV_ZERO2 || c->shard == ADV_ZERO3;
    bool pure = full && !zero && c->trainer == ADV_AXOLOTL, wide = four && c->trainer != ADV_AXOLOTL && s->part[0] > 0;
    *out = (adv_load){ .experts_stay_wide = wide };
    for (int i = 0; i < COURSE_PARTS; i++) {
        double p = (double)s->part[i];
        bool narrow = four && (i == 4 || i == 5 || (i == 0 && !wide));       /* bitsandbytes leaves embedding, head and routers */
        all += p;
        trained += full && c->trained & bit[i] ? p : 0;
        weights += p * (narrow ? 4.127 / 8 : full && !zero && !pure && (c->trained & bit[i] || c->shard == ADV_FSDP) ? 4 : 2);
    }
    double adapter = full ? 0 : lora_numbers(r);
    if (!full) trained = adapter;
    bool share_all = c->shard == ADV_ZERO3 || c->shard == ADV_FSDP, share = share_all || c->shard == ADV_ZERO2;
    double tokens = (double)c->context * c->batch;
    out->params = (uint64_t)all;
    out->trained = (uint64_t)trained;
    out->weights = (uint64_t)(weights / (share_all ? n : 1));
    out->adapter = (uint64_t)(adapter * 4 / (share_all ? n : 1));
    out->gradients = (uint64_t)(trained * (full && (zero || pure) ? 2 : 4) / (share ? n : 1));
    out->optimiser = (uint64_t)(trained * (pure ? 4 : full && zero ? 12 : 8) / (share ? n : 1));
    out->activations = (uint64_t)(2 * tokens * (s->embd * s->layers + 2 * layer_keeps(r)));
    out->logits = (uint64_t)(tokens * s->vocab * 10);
    if (r->offload) {                    /* both lie in RAM */
        out->offloaded = out->gradients + out->optimiser;
        out->gradients = out->optimiser = 0;
    }
    uint64_t sum = out->weights + out->adapter + out->gradients + out->optimiser + out->activations + out->logits;
    out->room = ((uint64_t)1 << 30) + sum / 20;
    out->total = sum + out->room;
    const adv_machine *m = c->machine;
    out->have = r->gpus ? m->gpu[0].bytes : m->ram;
    for (int i = 1; i < r->gpus; i++)
        out->have = m->gpu[i].bytes < out->have ? m->gpu[i].bytes : out->have;
    out->fits = out->total <= out->have;
    out->merging = full ? 0 : (uint64_t)(all * 2);
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

static void count_plain(const cJSON *j, bool moe, course_shape *s)
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
    s->part[0] = (uint64_t)(s->layers_moe * s->experts * 3 * s->embd * s->ff_expert);
    s->part[1] = (uint64_t)(s->layers_moe * s->experts * s->embd);
    s->part[2] = (uint64_t)(s->vocab * s->embd);
    s->part[3] = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "tie_word_embeddings")) ? 0 : s->part[2];
    s->part[4] = (uint64_t)(dense_layers * 3 * s->embd * ff);
    s->part[5] = (uint64_t)(s->layers * (2 * s->embd * s->q + s->embd * s->kv + 2 * s->embd) + s->embd);
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
        count_plain(j, plain[i].moe, &r->shape);
        const course_shape *s = &r->shape;
        if (!(s->layers > 0 && s->embd > 0 && s->vocab > 0 && s->q > 0) || (plain[i].moe && !(s->experts > 0 && s->used > 0 && s->layers_moe > 0 && s->ff_expert > 0)))
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
