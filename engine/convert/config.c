/* engine/convert/config: config.json as keys: the shape, rotation and experts. Names of keys: gguf-py's constants.py; which value comes from
 * where: convert_hf_to_gguf.py, TextModel.set_gguf_parameters and the classes of each architecture. */
#include "engine/convert/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JSON_MOST = 64 << 20, EXPERTS_MOST = 65536 /* their numbers have 16 bits */ };

bool convert_there(const char *folder, const char *name)
{
    char *path = q_printf("%s/%s", folder, name);
    bool is = access(path, F_OK) == 0;
    free(path);
    return is;
}

cJSON *convert_json(const char *folder, const char *name, char *err)
{
    char *path = q_printf("%s/%s", folder, name);
    q_buf text = { 0 };
    cJSON *j = NULL;
    if (q_read_file(path, &text, JSON_MOST, err) == 0 && !cJSON_IsObject(j = cJSON_ParseWithLength(text.p, text.len))) {
        cJSON_Delete(j);
        j = NULL;
        q_fail(err, Q_FORMAT, _("%s is no JSON object: the file is damaged, fetch it again"), path);
    }
    q_buf_free(&text);
    free(path);
    return j;
}

/* ---- architectures ---- */

static const struct { const char *type, *arch; } kinds[] = {
    { "qwen3_moe", "qwen3moe" }, { "qwen3", "qwen3" }, { "qwen2", "qwen2" }, { "qwen2_moe", "qwen2moe" }, { "llama", "llama" }, { "mistral", "llama" },
    { "mixtral", "llama" }, { "glm4_moe", "glm4moe" }, { "olmoe", "olmoe" }, { "gemma3_text", "gemma3" },
};

static const arch *find_kind(const char *folder, const cJSON *j, char *err)
{
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "model_type"));
    char known[200] = "";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (type && strcmp(type, kinds[i].type) == 0) return arch_find(kinds[i].arch, strlen(kinds[i].arch));
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", kinds[i].type);
    }
    q_fail(err, Q_RANGE, _("%s is a model of the kind \"%.40s\", which is not converted here; these are: %s. llama.cpp's convert_hf_to_gguf.py knows more"), folder, type ? type : "?", known);
    return NULL;
}

/* ---- numbers ---- */

static bool number(const cJSON *j, const char *key, double *out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    if (!cJSON_IsNumber(v)) return false;
    *out = v->valuedouble;
    return true;
}

/* A whole number of 0 to 2^31; false: there is none. */
static bool whole(const cJSON *j, const char *key, uint32_t *out)
{
    double x;
    if (!number(j, key, &x) || !(x >= 0 && x <= 2147483648.0) || x != floor(x)) return false;
    *out = (uint32_t)x;
    return true;
}

/* Numbers that are read below: one that is there as something else is no number that may be passed over. */
static int check_numbers(const char *folder, const cJSON *j, char *err)
{
    static const char *const names[] = { "rope_theta", "rms_norm_eps", "head_dim", "num_key_value_heads", "max_position_embeddings", "hidden_size", "intermediate_size", "num_attention_heads",
        "num_hidden_layers", "vocab_size", "num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size",
        "n_shared_experts", "first_k_dense_replace", "routed_scaling_factor", "n_group", "topk_group", "decoder_sparse_step", "partial_rotary_factor", "num_nextn_predict_layers", "factor",
        "low_freq_factor", "high_freq_factor", "original_max_position_embeddings", "sliding_window", "rope_local_base_freq", "query_pre_attn_scalar" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, names[i]);
        if (v && !cJSON_IsNumber(v) && !cJSON_IsNull(v) && !cJSON_IsObject(v) && !cJSON_IsArray(v))
            return q_fail(err, Q_FORMAT, _("%s/config.json: \"%s\" is no number: write it as one, or fetch the file again"), folder, names[i]);
    }
    static const char *const within[] = { "rope_parameters", "rope_scaling", "full_attention", "sliding_attention" };
    for (size_t i = 0; i < sizeof within / sizeof *within; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, within[i]);
        int rc = cJSON_IsObject(v) ? check_numbers(folder, v, err) : Q_OK;
        if (rc) return rc;
    }
    return Q_OK;
}

/* "architectures": ["Qwen3MoeForCausalLM"]: of a model that writes text, not of one that judges or sorts it. */
static int check_class(const char *folder, const cJSON *j, char *err)
{
    static const char *const ends[] = { "ForCausalLM", "ForConditionalGeneration", "LMHeadModel" };
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "architectures");
    const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(list, 0));
    if (!list || cJSON_IsNull(list) || (cJSON_IsArray(list) && !list->child)) return Q_OK;
    for (size_t i = 0; name && i < sizeof ends / sizeof *ends; i++)
        if (strlen(name) > strlen(ends[i]) && strcmp(name + strlen(name) - strlen(ends[i]), ends[i]) == 0) return Q_OK;
    return q_fail(err, Q_RANGE, _("%s/config.json: \"architectures\" names no model that writes text (%.60s): such ones end with ForCausalLM"), folder, name ? name : "?");
}

typedef struct keys { const cJSON *j; gguf_writer *w; const char *arch, *folder; char *err; int rc; const struct arch *a; } keys;

static void put_u32(keys *k, const char *suffix, uint32_t v)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", k->arch, suffix);
    gguf_put_u32(k->w, key, v);
}

static void put_f32(keys *k, const char *suffix, double v)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", k->arch, suffix);
    gguf_put_f32(k->w, key, (float)v);
}

/* must: there is no model without it. */
static uint32_t copy_u32(keys *k, const char *from, const char *suffix, bool must)
{
    uint32_t v = 0;
    if (whole(k->j, from, &v)) put_u32(k, suffix, v);
    else if (must && !k->rc) k->rc = q_fail(k->err, Q_FORMAT, _("%s/config.json has no number \"%s\": it is of no model that could be converted"), k->folder, from);
    return v;
}

static void copy_f32(keys *k, const char *from, const char *suffix)
{
    double v;
    if (number(k->j, from, &v)) put_f32(k, suffix, v);
}

/* ---- rotation ---- */

/* Divisors as Llama 3.1 has them: slow frequencies are divided by `factor`, fast ones stay, and between them they change smoothly
 * (transformers, modeling_rope_utils.py, _compute_llama3_parameters). */
static void llama3(const cJSON *s, double base, int dim, double original, convert_shape *o)
{
    double factor = 8, low = 1, high = 4;         /* in floats from here on, as that script has them */
    number(s, "factor", &factor);
    number(s, "low_freq_factor", &low);
    number(s, "high_freq_factor", &high);
    number(s, "original_max_position_embeddings", &original);
    o->n_rope = dim / 2;
    o->rope_factors = q_alloc(sizeof(float) * (size_t)(o->n_rope + 1));
    for (int i = 0; i < o->n_rope; i++) {
        float wave = (float)(2 * M_PI) / (1.0f / powf((float)base, (float)(2 * i) / (float)dim));
        float smooth = ((float)original / wave - (float)low) / (float)(high - low);
        bool fast = (double)wave < original / high, slow = (double)wave > original / low;
        o->rope_factors[i] = fast ? 1 : slow ? (float)factor : 1 / ((1 - smooth) / (float)factor + smooth);
    }
}

/* Gemma 3: layers that see a window rotate by a base of their own, without scaling, which is not in a file: it is the architecture's. What a
 * file cannot say is refused: another base, scores scaled otherwise, logits held within a range (configuration_gemma3.py). */
static void put_sliding(keys *k, int dim, uint32_t heads, uint32_t embd)
{
    double base = 10000, scale = 256, cap;
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(k->j, "rope_parameters"), *types = cJSON_GetObjectItemCaseSensitive(k->j, "layer_types"), *v;
    uint32_t window = 0, layers = 0, at = 0, every = 6;
    number(k->j, "rope_local_base_freq", &base);
    number(cJSON_GetObjectItemCaseSensitive(rope, "sliding_attention"), "rope_theta", &base);
    number(k->j, "query_pre_attn_scalar", &scale);
    whole(k->j, "num_hidden_layers", &layers);
    bool wide = k->a->attn.wide_layers && (uint32_t)k->a->attn.wide_layers == layers;
    const char *what = base != 10000 ? "rope_local_base_freq" : scale != (wide ? (double)embd / (heads ? heads : 1) : (double)dim) ? "query_pre_attn_scalar"
                     : number(k->j, "attn_logit_softcapping", &cap) ? "attn_logit_softcapping" : number(k->j, "final_logit_softcapping", &cap) ? "final_logit_softcapping" : NULL;
    whole(k->j, "sliding_window_pattern", &every);
    if (every != 6) what = "sliding_window_pattern";
    for (v = cJSON_IsArray(types) ? types->child : NULL; v; v = v->next, at++)
        if ((strcmp(cJSON_IsString(v) ? v->valuestring : "", "full_attention") == 0) != (at % 6 == 5)) what = "layer_types";
    if (what && !k->rc) k->rc = q_fail(k->err, Q_RANGE, _("%s/config.json: \"%s\" has a value that is not computed in models of architecture %s"), k->folder, what, k->arch);
    if (whole(k->j, "sliding_window", &window)) put_u32(k, "attention.sliding_window", window);
}

static void put_rope(keys *k, int dim, convert_shape *o)
{
    static const char *const names[] = { "rope_parameters", "rope_scaling" };  /* transformers 5, and before */
    double theta = 10000, factor = 1, original = 8192;
    const cJSON *s = NULL;
    for (size_t i = 0; i < 2 && !cJSON_IsObject(s); i++) s = cJSON_GetObjectItemCaseSensitive(k->j, names[i]);
    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(s, "full_attention"))) s = cJSON_GetObjectItemCaseSensitive(s, "full_attention");
    if (number(k->j, "rope_theta", &theta) || number(s, "rope_theta", &theta)) put_f32(k, "rope.freq_base", theta);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(s, "rope_type"));
    if (!type) type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(s, "type"));
    number(k->j, "max_position_embeddings", &original);
    if (!type || strcmp(type, "default") == 0) return;
    bool linear = strcmp(type, "linear") == 0, yarn = strcmp(type, "yarn") == 0;
    if (strcmp(type, "llama3") == 0) {
        original = 8192;
        llama3(s, theta, dim, original, o);
    } else if ((linear || yarn) && number(s, "factor", &factor)) {
        char key[128];
        snprintf(key, sizeof key, "%s.rope.scaling.type", k->arch);
        gguf_put_str(k->w, key, type);
        put_f32(k, "rope.scaling.factor", factor);
        number(s, "original_max_position_embeddings", &original);
        if (!(original >= 1 && original <= 2147483648.0) && !k->rc)
            k->rc = q_fail(k->err, Q_FORMAT, _("%s/config.json has no number \"%s\": it is of no model that could be converted"), k->folder, "original_max_position_embeddings");
        if (yarn && !k->rc) put_u32(k, "rope.scaling.original_context_length", (uint32_t)original);
    } else if (!k->rc)
        k->rc = q_fail(k->err, Q_RANGE, _("%s/config.json: rotations scaled as \"%.30s\" are not converted: default, linear, yarn and llama3 are"), k->folder, type);
}

/* ---- experts ---- */

/* Weights of experts are divided by their sum or not: said where the file's architecture would take the other. */
static void put_norm(keys *k, const arch *a)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(k->j, "norm_topk_prob");
    char key[128];
    snprintf(key, sizeof key, "%s.expert_weights_norm", k->arch);
    if (cJSON_IsBool(v) && (cJSON_IsTrue(v) != a->renorm || a->select_bias)) gguf_put_bool(k->w, key, cJSON_IsTrue(v));
}

static int put_experts(keys *k, const arch *a)
{
    static const char *const counts[] = { "num_experts", "num_local_experts", "n_routed_experts" };
    uint32_t n = 0, groups = 1;
    for (size_t i = 0; i < 3 && !n; i++) whole(k->j, counts[i], &n);
    if (!n) return 0;
    if (n > EXPERTS_MOST) {
        if (!k->rc) k->rc = q_fail(k->err, Q_FORMAT, _("%s/config.json gives %u experts, more than the %d that are computed: the file is damaged, fetch it again"), k->folder, n, EXPERTS_MOST);
        return 0;
    }
    put_u32(k, "expert_count", n);
    copy_u32(k, "num_experts_per_tok", "expert_used_count", true);
    copy_u32(k, "moe_intermediate_size", "expert_feed_forward_length", false);
    copy_u32(k, "shared_expert_intermediate_size", "expert_shared_feed_forward_length", false);
    copy_u32(k, "n_shared_experts", "expert_shared_count", false);
    copy_u32(k, "first_k_dense_replace", "leading_dense_block_count", false);
    copy_f32(k, "routed_scaling_factor", "expert_weights_scale");
    if (a->gate == KER_GATE_SIGMOID) put_u32(k, "expert_gating_func", 2);
    put_norm(k, a);
    if (whole(k->j, "n_group", &groups) && groups > 1) {
        put_u32(k, "expert_group_count", groups);
        copy_u32(k, "topk_group", "expert_group_used_count", true);
    }
    /* The table of layers that have experts is one number in a file: every layer, or all behind the first ones. */
    uint32_t step = 1;
    const cJSON *dense = cJSON_GetObjectItemCaseSensitive(k->j, "mlp_only_layers");
    if (!k->rc && ((whole(k->j, "decoder_sparse_step", &step) && step != 1) || (cJSON_IsArray(dense) && dense->child)))
        k->rc = q_fail(k->err, Q_RANGE, _("%s/config.json: layers with and without experts in turns (decoder_sparse_step, mlp_only_layers) are not computed"), k->folder);
    return (int)n;
}

static char *last_name(const char *path)
{
    char *whole_path = q_whole_path(path);
    size_t n = strlen(whole_path);
    while (n > 1 && whole_path[n - 1] == '/') whole_path[--n] = 0;
    const char *slash = strrchr(whole_path, '/');
    char *name = q_strdup(slash && slash[1] ? slash + 1 : whole_path);
    free(whole_path);
    return name;
}

int convert_config(const char *folder, const cJSON *j, gguf_writer *w, convert_shape *o, char *err)
{
    *o = (convert_shape){ .a = find_kind(folder, j, err) };
    if (!o->a) return Q_RANGE;
    int rc = check_class(folder, j, err);
    if (!rc) rc = check_numbers(folder, j, err);
    if (rc) return rc;
    keys k = { j, w, o->a->name, folder, err, Q_OK, o->a };
    uint32_t layers = 0, heads, kv = 0, embd, dim = 0, next = 0, vocab = 0;
    char *name = last_name(folder);
    gguf_put_str(w, "general.architecture", o->a->name);
    gguf_put_str(w, "general.type", "model");
    gguf_put_str(w, "general.name", name);
    gguf_put_u32(w, "general.quantization_version", 2);
    free(name);
    whole(j, "num_hidden_layers", &layers);
    copy_u32(&k, "max_position_embeddings", "context_length", true);
    embd = copy_u32(&k, "hidden_size", "embedding_length", true);
    copy_u32(&k, "intermediate_size", "feed_forward_length", true);
    heads = copy_u32(&k, "num_attention_heads", "attention.head_count", true);
    if (!whole(j, "num_key_value_heads", &kv)) kv = heads;
    put_u32(&k, "attention.head_count_kv", kv);
    copy_f32(&k, "rms_norm_eps", "attention.layer_norm_rms_epsilon");
    if (!cJSON_GetObjectItemCaseSensitive(j, "rms_norm_eps")) put_f32(&k, "attention.layer_norm_rms_epsilon", 1e-5);     /* OLMoE's class has it so */
    if (whole(j, "head_dim", &dim)) {
        put_u32(&k, "attention.key_length", dim);
        put_u32(&k, "attention.value_length", dim);
    } else if (heads) dim = embd / heads;
    if (!k.rc && (layers < 1 || layers > 4096 || heads < 1 || heads > 65536 || dim < 1 || dim > 65536))
        k.rc = q_fail(err, Q_FORMAT, _("%s/config.json has no number \"%s\": it is of no model that could be converted"), folder, layers < 1 || layers > 4096 ? "num_hidden_layers" : "head_dim");
    double part = 0.5;
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(j, "rope_parameters");
    if (strcmp(o->a->name, "glm4moe") == 0) {
        if (!number(j, "partial_rotary_factor", &part)) number(rope, "partial_rotary_factor", &part);
        if (part > 0 && part <= 1) put_u32(&k, "rope.dimension_count", (uint32_t)(dim * part));
    } else if (strcmp(o->a->name, "llama") == 0) put_u32(&k, "rope.dimension_count", dim);
    if (!k.rc) put_rope(&k, (int)dim, o);
    if (!k.rc && strcmp(o->a->name, "gemma3") == 0) put_sliding(&k, (int)dim, heads, embd);
    if (!k.rc) o->n_expert = put_experts(&k, o->a);
    if (whole(j, "num_nextn_predict_layers", &next) && next <= 1) o->n_next = (int)next;
    if (whole(j, "vocab_size", &vocab) && vocab <= 1 << 24 && strcmp(o->a->name, "llama") == 0) put_u32(&k, "vocab_size", vocab);
    const cJSON *clip = cJSON_GetObjectItemCaseSensitive(j, "clip_qkv");
    if (!k.rc && cJSON_IsNumber(clip))
        k.rc = q_fail(err, Q_RANGE, _("%s/config.json: clip_qkv (Q, K and V held within a range) is not computed"), folder);
    o->n_layer = (int)layers;
    o->head_dim = (int)dim;
    o->n_vocab = (int)vocab;
    const cJSON *tied = cJSON_GetObjectItemCaseSensitive(j, "tie_word_embeddings");
    o->norm_plus = strcmp(o->a->name, "gemma3") == 0;
    o->tied = cJSON_IsTrue(tied) || (o->norm_plus && !cJSON_IsFalse(tied));
    return k.rc;
}
