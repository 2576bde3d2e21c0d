/* engine/run/shape: a model's description as arithmetic wants it, from its file's keys and its architecture's row. Runs while a
 * model is opened or looked at; owns nothing, allocates what eng_model frees. It reads no weights but the divisors of rotation. */
#include "engine/run/shape.h"
#include "engine/file/keys.h"
#include "engine/run/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- keys ---- */
static bool key_f64(const eng_model *m, const char *suffix, double *out) { return keys_number(m->file, m->arch->name, suffix, out); }

static double key_or(const eng_model *m, const char *suffix, double otherwise)
{
    double x;
    return key_f64(m, suffix, &x) ? x : otherwise;
}

static int key_int(const eng_model *m, const char *suffix, double otherwise, double lo, double hi, int *out, char *err)
{
    return keys_whole(m->file, m->path, m->arch->name, suffix, otherwise, lo, hi, out, err);
}

/* ---- description ---- */
enum { MAX_EXPERTS = INT16_MAX };      /* k is an int16 in the kernels' configuration */

/* How the router's scores become weights. */
static int read_gate(eng_model *m, char *err)
{
    const arch *a = m->arch;
    ker_model *k = &m->ker;
    k->rope_half = a->rope_half;
    k->gate = a->gate;
    double x;
    if (k->n_expert > 0 && key_f64(m, "expert_gating_func", &x)) {
        if (x != 1 && x != 2)
            return q_fail(err, Q_FORMAT, _("%s: gating function %g is not known: 1 (softmax) and 2 (sigmoid) are"), m->path, x);
        k->gate = x == 2 ? KER_GATE_SIGMOID : KER_GATE_SOFTMAX;
    }
    char key[128];
    snprintf(key, sizeof key, "%s.expert_weights_norm", a->name);
    k->renorm = a->renorm;
    gguf_bool(m->file, key, &k->renorm);
    k->sum_floor = a->sum_floor;
    k->weights_scale = (float)key_or(m, "expert_weights_scale", 1);
    if (!(k->weights_scale != 0) || !isfinite(k->weights_scale))
        k->weights_scale = 1;
    double scale = 0;
    gguf_f64(m->file, "quorum.router_scale", &scale);
    if (scale < 0 || !isfinite(scale))
        return q_fail(err, Q_FORMAT, _("%s: quorum.router_scale is %g, expected a positive number"), m->path, scale);
    k->router_scale = (float)scale;
    return 0;
}

/* Experts in groups. How good a group is: the sum of its two best behind a sigmoid (DeepSeek-V3, transformers'
 * modeling_deepseek_v3.py; GLM-4.5), its best behind a softmax (DeepSeek-V2, group_limited_greedy in modeling_deepseek_v2.py). */
static int read_groups(eng_model *m, char *err)
{
    ker_model *k = &m->ker;
    int groups, used, rc = key_int(m, "expert_group_count", 1, 0, 65535, &groups, err);
    if (rc || groups <= 1 || k->n_expert == 0)
        return rc;
    if ((rc = key_int(m, "expert_group_used_count", -1, 1, groups, &used, err)))
        return rc;
    if (k->n_expert % groups)
        return q_fail(err, Q_FORMAT, _("%s: %d experts do not fill %d groups: get another copy of the file"), m->path, k->n_expert, groups);
    if (used == groups)
        return 0;                                                  /* any expert may be chosen */
    k->n_group = groups;
    k->n_group_used = used;
    k->group_best = k->gate == KER_GATE_SIGMOID ? 2 : 1;
    return 0;
}

/* Which layers are recurrent, and their shape. The others have attention with a gate. */
static int read_recurrent(eng_model *m, char *err)
{
    ker_delta *d = &m->ker.delta;
    int inner, interval, rc = 0;
    char key[128];
#define KEY(suffix, otherwise, lo, hi, out) if ((rc = key_int(m, suffix, otherwise, lo, hi, out, err))) return rc
    KEY("ssm.conv_kernel", -1, 1, KER_CONV_MOST, &d->conv);
    KEY("ssm.state_size", -1, 1, 4096, &d->key_dim);
    KEY("ssm.group_count", -1, 1, 4096, &d->n_key);
    KEY("ssm.time_step_rank", -1, d->n_key, 4096, &d->n_value);
    KEY("ssm.inner_size", -1, d->n_value, 4096 * 4096, &inner);
    KEY("full_attention_interval", 4, 1, 1000, &interval);
#undef KEY
    if (d->n_value % d->n_key || inner % d->n_value || inner / d->n_value > 4096)
        return q_fail(err, Q_FORMAT, _("%s: recurrent layers of %d key heads, %d value heads and %d numbers make no sense: get another copy of the file"), m->path, d->n_key, d->n_value, inner);
    d->value_dim = inner / d->n_value;
    d->tiled = m->arch->delta.tiled;
    d->paired = m->arch->delta.paired;
    d->l2_eps = m->arch->delta.l2_eps;
    snprintf(key, sizeof key, "%s.attention.recurrent_layers", m->arch->name);
    const gguf_kv *kv = gguf_find(m->file, key);
    for (int i = 0; i < m->ker.n_layer; i++) {
        double is = (i + 1) % interval != 0;
        bool said = kv && kv->type == GGUF_ARR && (uint64_t)i < kv->count;
        if (said && kv->item == GGUF_BOOL)
            is = ((const uint8_t *)kv->data)[i];
        else if (kv && (!said || !gguf_arr_f64(kv, (uint64_t)i, &is)))
            return q_fail(err, Q_FORMAT, _("%s: %s says nothing of layer %d: get another copy of the file"), m->path, key, i);
        m->layers[i].mixer = is != 0 ? KER_MIX_DELTA : KER_MIX_GQA;
        m->layers[i].q_gate = is == 0;
    }
    return 0;
}

/* Which layers see a window of cells only: the file says it of each, or says every how manyth sees all (as llama.cpp's
 * get_key_or_arr and set_swa_pattern read it), or the architecture does. */
typedef struct sliding { const gguf_kv *by_layer; int every; } sliding;

static sliding sliding_of(const gguf_file *f, const arch *a)
{
    char key[128];
    double every = 0;
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", a->name);
    const gguf_kv *kv = gguf_find(f, key);
    sliding s = { kv && kv->type == GGUF_ARR ? kv : NULL, a->attn.window_every };
    if (!s.by_layer && keys_number(f, a->name, "attention.sliding_window_pattern", &every) && every >= 0 && every <= 1 << 12)
        s.every = (int)every;
    return s;
}

/* -1: the file's list says nothing of the layer. */
static int slides(const sliding *s, int layer)
{
    double x;
    if (!s->by_layer)
        return s->every == 0 || layer % s->every != s->every - 1;
    if (s->by_layer->item == GGUF_BOOL && (uint64_t)layer < s->by_layer->count)
        return ((const uint8_t *)s->by_layer->data)[layer] != 0;
    return gguf_arr_f64(s->by_layer, (uint64_t)layer, &x) ? x != 0 : -1;
}

int shape_near(const gguf_file *f, const arch *a, int n_layer, int *window)
{
    double cells = 0, ctx = 0;
    int near = 0;
    sliding pattern = sliding_of(f, a);
    keys_number(f, a->name, "attention.sliding_window", &cells);
    keys_number(f, a->name, "context_length", &ctx);
    *window = cells >= 1 && cells < ctx && cells <= 1 << 30 ? (int)cells : 0;
    for (int i = 0; i < n_layer && *window; i++)
        near += slides(&pattern, i) > 0;
    return near;
}

/* Windows, sinks, norms, biases and factors of the layers that are there. */
static int read_attention(eng_model *m, int ctx, char *err)
{
    const arch *a = m->arch;
    ker_model *k = &m->ker;
    double window = key_or(m, "attention.sliding_window", 0), swa;
    sliding pattern = sliding_of(m->file, a);
    bool own_base = key_f64(m, "rope.freq_base_swa", &swa) && swa != key_or(m, "rope.freq_base", 10000);
    for (int i = 0; i < k->n_layer; i++) {
        ker_layer *l = &m->layers[i];
        int is = window > 0 ? slides(&pattern, i) : 0;
        bool local = is > 0;
        if (is < 0)
            return q_fail(err, Q_FORMAT, _("%s: %s says nothing of layer %d: get another copy of the file"), m->path, "attention.sliding_window_pattern", i);
        l->window = local && window < ctx ? (int)fmax(window, 1) : 0;            /* as long as the context: it never cuts */
        l->rope_set = local && (a->attn.local_rope || own_base);
        l->sinks = a->attn.sinks;
        l->post_norms = a->attn.post_norms;
        l->glu = a->glu;
        l->biases = a->biases;
        for (int r = KER_W_BQ; r <= KER_W_BV && a->qkv_bias != ARCH_NO; r++) {
            char own[128], all[128];
            arch_tensor_name(a, (enum ker_role)r, i, own, sizeof own);
            snprintf(all, sizeof all, "blk.%d.%s", i, arch_slice_of((enum ker_role)r)->tensor);
            if (a->qkv_bias == ARCH_MUST || gguf_tensor_find(m->file, own) || gguf_tensor_find(m->file, all)) l->biases |= KER_BIAS_QKV;
        }
    }
    k->qk_whole = a->attn.qk_whole;
    double logits = 1;
    if (a->attn.scales) {
        k->embd_scale = (float)key_or(m, "embedding_scale", 1);
        k->residual_scale = (float)key_or(m, "residual_scale", 1);
        logits = key_or(m, "logit_scale", 1);
        k->logit_scale = (float)(1 / logits);
    }
    if (a->attn.embd_root)
        k->embd_scale = sqrtf((float)k->n_embd);
    if (a->attn.scales && (!isnormal(k->embd_scale) || !isnormal(k->residual_scale) || !isnormal(k->logit_scale) || !isfinite(logits)))
        return q_fail(err, Q_FORMAT, _("%s: a factor of rows, parts or logits is not a sensible number: get another copy of the file"), m->path);
    return 0;
}

/* Latent attention. Files before attn_k_b and attn_v_b were split off attn_kv_b give a head's widths as key_length and
 * value_length; later ones give the cells' there and the heads' as *_mla (gguf-py's constants). */
static int read_latent(eng_model *m, int value_length, char *err)
{
    ker_model *k = &m->ker;
    ker_latent *t = &k->latent;
    int head, rc = key_int(m, "attention.kv_lora_rank", -1, 1, 1 << 14, &t->kv_rank, err);
    if (!rc) rc = key_int(m, "attention.q_lora_rank", 0, 0, 1 << 16, &t->q_rank, err);
    if (!rc) rc = key_int(m, "attention.key_length_mla", k->head_dim, 1, 4096, &head, err);
    if (!rc) rc = key_int(m, "attention.value_length_mla", value_length, 1, 4096, &t->v, err);
    if (rc) return rc;
    if (head <= k->rope_dim)
        return q_fail(err, Q_FORMAT, _("%s: heads of %d numbers of which %d rotate: some must not for latent attention; get another copy of the file"), m->path, head, k->rope_dim);
    t->rope = k->rope_dim;
    t->nope = head - t->rope;
    k->n_kv_head = 1;
    k->head_dim = t->kv_rank + t->rope;
    return 0;
}

int shape_read(eng_model *m, char *err)
{
    const arch *a = m->arch;
    ker_model *k = &m->ker;
    int n_layer, next_n, leading = 0, n_ff = 0, used = 0, ctx;
    int rc = 0;
#define KEY(suffix, otherwise, lo, hi, out) if ((rc = key_int(m, suffix, otherwise, lo, hi, out, err))) return rc
    KEY("block_count", -1, 1, 1000, &n_layer);
    KEY("nextn_predict_layers", 0, 0, n_layer - 1, &next_n);       /* trained beside the model, not part of a pass: next.h */
    k->n_layer = n_layer - next_n;
    KEY("embedding_length", -1, 1, 1 << 20, &k->n_embd);
    KEY("attention.head_count", -1, 1, 4096, &k->n_head);
    KEY("attention.head_count_kv", k->n_head, 1, k->n_head, &k->n_kv_head);
    if (k->n_head % k->n_kv_head)
        return q_fail(err, Q_FORMAT, _("%s: %d heads cannot share %d key-value heads"), m->path, k->n_head, k->n_kv_head);
    KEY("attention.key_length", k->n_embd / k->n_head, 1, 4096, &k->head_dim);
    int value_length;
    KEY("attention.value_length", k->head_dim, 1, 4096, &value_length);
    if (value_length != k->head_dim && !a->latent)
        return q_fail(err, Q_FORMAT, _("%s: keys of %d and values of %d numbers: this engine runs only equal ones"), m->path, k->head_dim, value_length);
    KEY("rope.dimension_count", k->head_dim, 2, k->head_dim, &k->rope_dim);
    if (k->rope_dim % 2)
        return q_fail(err, Q_FORMAT, _("%s: %d rotated dimensions: the number must be even"), m->path, k->rope_dim);
    if (a->latent && (rc = read_latent(m, value_length, err)))
        return rc;
    KEY("context_length", 2048, 1, 1 << 28, &ctx);
    KEY("expert_count", a->experts == ARCH_MUST ? -1 : 0, a->experts == ARCH_MUST, a->experts == ARCH_NO ? 0 : 1 << 30, &k->n_expert);
    if (k->n_expert > MAX_EXPERTS)
        return q_fail(err, Q_FORMAT, _("%s has %d experts a layer, more than the %d that this engine can tell apart"), m->path, k->n_expert, MAX_EXPERTS);
    if (k->n_expert > 0) {
        KEY("expert_used_count", -1, 1, k->n_expert, &used);
        KEY("leading_dense_block_count", 0, 0, k->n_layer, &leading);
        KEY("expert_feed_forward_length", 0, 0, 1 << 24, &k->n_ff_exp);
    }
    KEY("feed_forward_length", k->n_expert > 0 && leading == 0 ? 0 : -1, 0, 1 << 24, &n_ff);
    if (k->n_expert > 0 && k->n_ff_exp == 0)
        k->n_ff_exp = n_ff;                                        /* files of Mixtral, OLMoE and Granite keep the width there */
    if (k->n_expert > 0 && a->shared != ARCH_NO) {
        int count;
        char name[64];
        KEY("expert_shared_count", 1, 0, 65535, &count);
        /* Early qwen2moe files leave the key out: then the tensor says it. */
        snprintf(name, sizeof name, "blk.%d.ffn_gate_shexp.weight", leading);
        const gguf_tensor *t = gguf_tensor_find(m->file, name);
        KEY("expert_shared_feed_forward_length", t ? (double)t->ne[1] : a->shared == ARCH_MUST ? (double)count * k->n_ff_exp : 0, 0, 1 << 24, &k->n_ff_sh);
    }
    if ((k->n_expert == 0 || leading > 0) && n_ff == 0)
        return q_fail(err, Q_FORMAT, _("%s: %s.feed_forward_length is 0, but there are dense layers"), m->path, a->name);
    if (k->n_expert > 0 && leading < k->n_layer && k->n_ff_exp == 0)
        return q_fail(err, Q_FORMAT, _("%s: %s.expert_feed_forward_length is 0"), m->path, a->name);
#undef KEY
    if ((rc = read_gate(m, err)) || (rc = read_groups(m, err)))
        return rc;
    m->layers = q_alloc(sizeof *m->layers * (size_t)k->n_layer);
    for (int i = 0; i < k->n_layer; i++) {
        m->layers[i].mixer = a->latent ? KER_MIX_MLA : KER_MIX_GQA;
        m->layers[i].moe = k->n_expert > 0 && i >= leading;
        m->layers[i].n_ff = m->layers[i].moe ? 0 : n_ff;
    }
    if ((rc = read_attention(m, ctx, err)))
        return rc;
    k->layer = m->layers;
    if (a->delta.layers && (rc = read_recurrent(m, err)))
        return rc;
    m->info.n_ctx_train = ctx;
    m->info.n_expert_used = used;
    m->info.first_moe_layer = k->n_expert > 0 ? leading : k->n_layer;
    m->info.n_moe_layer = k->n_layer - m->info.first_moe_layer;
    m->info.groups = (eng_groups){ k->n_group, k->n_group_used };
    m->info.carved = k->router_scale > 0;
    char name[64];
    snprintf(name, sizeof name, "blk.%d.nextn.eh_proj.weight", k->n_layer);
    m->next.there = next_n > 0 && !m->info.carved && gguf_tensor_find(m->file, name);
    return 0;
}

/* [rope_dim/2] divisors of the frequencies that the file keeps; NULL stays where it has none. */
static int read_divisors(eng_model *m, const char *name, float **out, char *err)
{
    const gguf_tensor *t = gguf_tensor_find(m->file, name);
    int n = m->ker.rope_dim / 2;
    if (!t)
        return 0;
    if (t->type != KER_F32 || t->ne[0] != n)
        return q_fail(err, Q_FORMAT, _("%s: %s must be %d numbers of F32"), m->path, name, n);
    *out = q_alloc(t->bytes);
    if (t->data)
        memcpy(*out, t->data, t->bytes);
    for (int i = 0; i < n && t->data; i++)
        if (!((*out)[i] > 0))
            return q_fail(err, Q_FORMAT, _("%s: %s holds %g: divisors must be positive"), m->path, name, (double)(*out)[i]);
    return 0;
}

/* How positions beyond the trained context are reached, as the file has it. */
static int read_scaling(eng_model *m, char *err)
{
    static const char *const scalings[] = { "none", "linear", "yarn", "longrope" };
    model_defaults *d = &m->defaults;
    char key[128];
    gguf_str s;
    int rc = read_divisors(m, "rope_freqs.weight", &m->rope.factors, err);
    if (!rc) rc = read_divisors(m, "rope_factors_short.weight", &m->rope.for_short, err);
    if (!rc) rc = read_divisors(m, "rope_factors_long.weight", &m->rope.for_long, err);
    if (rc)
        return rc;
    if (!m->rope.for_short != !m->rope.for_long)
        return q_fail(err, Q_FORMAT, _("%s: of rope_factors_short.weight and rope_factors_long.weight one is missing: get another copy of the file"), m->path);
    snprintf(key, sizeof key, "%s.rope.scaling.type", m->arch->name);
    d->rope_scaling = m->rope.for_long ? SCALING_LONGROPE : d->rope_factor != 1 ? SCALING_LINEAR : SCALING_NONE;
    if (gguf_string(m->file, key, &s)) {
        d->rope_scaling = -1;
        for (int i = 0; i < 4; i++)
            if (strlen(scalings[i]) == s.n && memcmp(scalings[i], s.p, s.n) == 0)
                d->rope_scaling = i;
        if (d->rope_scaling < 0)
            return q_fail(err, Q_FORMAT, _("%s: rope scaling \"%.*s\" is not known: none, linear, yarn and longrope are"), m->path, (int)(s.n < 40 ? s.n : 40), s.p);
        if (d->rope_scaling == SCALING_LONGROPE && !m->rope.for_long)
            return q_fail(err, Q_FORMAT, _("%s: rope scaling is longrope, but the tensors rope_factors_short.weight and rope_factors_long.weight are missing: get another copy of the file"), m->path);
    }
    if (!(d->rope_factor >= 1 && d->rope_factor <= 1024))
        d->rope_factor = 1;
    return 0;
}

int shape_defaults(eng_model *m, char *err)
{
    model_defaults *d = &m->defaults;
    const ker_model *k = &m->ker;
    d->norm_eps = key_or(m, "attention.layer_norm_rms_epsilon", 1e-6);
    d->rope_theta = key_or(m, "rope.freq_base", 10000);
    d->local_theta = key_or(m, "rope.freq_base_swa", 10000);
    d->rope_factor = key_or(m, "rope.scaling.factor", key_or(m, "rope.scale_linear", 1));
    d->rope_original = (int)fmin(fmax(key_or(m, "rope.scaling.original_context_length", m->info.n_ctx_train), 1), 16777216);
    d->attn_factor = key_or(m, "rope.scaling.attn_factor", 0);
    d->yarn_log_mul = key_or(m, "rope.scaling.yarn_log_multiplier", 0);
    if (!(d->yarn_log_mul >= 0 && d->yarn_log_mul <= 10))
        return q_fail(err, Q_FORMAT, _("%s: YaRN's multiplier %g is not a sensible number"), m->path, d->yarn_log_mul);
    d->beta_fast = key_or(m, "rope.scaling.yarn_beta_fast", 32);
    d->beta_slow = key_or(m, "rope.scaling.yarn_beta_slow", 1);
    if (!(d->norm_eps > 0 && d->norm_eps < 10) || !(d->rope_theta >= 1.5 && d->rope_theta < 1e15) || !(d->local_theta >= 1.5 && d->local_theta < 1e15))
        return q_fail(err, Q_FORMAT, _("%s: rope base %g or norm epsilon %g is not a sensible number"), m->path, d->rope_theta, d->norm_eps);
    bool wide = m->arch->attn.wide_layers && m->arch->attn.wide_layers == k->n_layer;
    d->attn_scale = 1 / sqrt(wide ? (double)k->n_embd / k->n_head : (double)k->head_dim);
    if (m->arch->attn.scales)
        d->attn_scale = key_or(m, "attention.scale", d->attn_scale);
    if (!(d->attn_scale > 0 && d->attn_scale < 1e6))
        return q_fail(err, Q_FORMAT, _("%s: attention.scale %g is not a sensible number"), m->path, d->attn_scale);
    return read_scaling(m, err);
}
