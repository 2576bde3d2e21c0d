/* engine/run/model: opens a model: reads the description from the file's keys, checks each tensor's shape and
 * type, asks whether it fits in memory before anything is allocated, and hands the weights to the backend.
 * Owns the eng_model and all it points to. Opening belongs to one thread; afterwards it is read only. */
#include "engine/run/device.h"
#include "engine/run/model.h"
#include "engine/run/config.h"
#include "engine/embed.h"
#include "engine/file/keys.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int read_shape(eng_model *m, char *err)
{
    const arch *a = m->arch;
    ker_model *k = &m->ker;
    int n_layer, next_n, leading = 0, n_ff = 0, used = 0, ctx;
    int rc = 0;
#define KEY(suffix, otherwise, lo, hi, out) if ((rc = key_int(m, suffix, otherwise, lo, hi, out, err))) return rc
    KEY("block_count", -1, 1, 1000, &n_layer);
    KEY("nextn_predict_layers", 0, 0, n_layer - 1, &next_n);       /* trained beside the model, not part of a pass */
    k->n_layer = n_layer - next_n;
    KEY("embedding_length", -1, 1, 1 << 20, &k->n_embd);
    KEY("attention.head_count", -1, 1, 4096, &k->n_head);
    KEY("attention.head_count_kv", k->n_head, 1, k->n_head, &k->n_kv_head);
    if (k->n_head % k->n_kv_head)
        return q_fail(err, Q_FORMAT, _("%s: %d heads cannot share %d key-value heads"), m->path, k->n_head, k->n_kv_head);
    KEY("attention.key_length", k->n_embd / k->n_head, 1, 4096, &k->head_dim);
    int value_length;
    KEY("attention.value_length", k->head_dim, 1, 4096, &value_length);
    if (value_length != k->head_dim)
        return q_fail(err, Q_FORMAT, _("%s: keys of %d and values of %d numbers: this engine runs only equal ones"), m->path, k->head_dim, value_length);
    KEY("rope.dimension_count", k->head_dim, 2, k->head_dim, &k->rope_dim);
    if (k->rope_dim % 2)
        return q_fail(err, Q_FORMAT, _("%s: %d rotated dimensions: the number must be even"), m->path, k->rope_dim);
    KEY("context_length", 2048, 1, 1 << 28, &ctx);
    double window = key_or(m, "attention.sliding_window", 0);      /* as long as the context: it never cuts */
    KEY("expert_count", a->experts == ARCH_MUST ? -1 : 0, a->experts == ARCH_MUST, a->experts == ARCH_NO ? 0 : 1 << 30, &k->n_expert);
    if (k->n_expert > MAX_EXPERTS)
        return q_fail(err, Q_FORMAT, _("%s has %d experts a layer, more than the %d that this engine can tell apart"), m->path, k->n_expert, MAX_EXPERTS);
    if (k->n_expert > 0) {
        KEY("expert_used_count", -1, 1, k->n_expert, &used);
        KEY("leading_dense_block_count", 0, 0, k->n_layer, &leading);
        KEY("expert_feed_forward_length", a->experts == ARCH_MAY ? 0 : -1, 0, 1 << 24, &k->n_ff_exp);
    }
    KEY("feed_forward_length", k->n_expert > 0 && leading == 0 ? 0 : -1, 0, 1 << 24, &n_ff);
    if (k->n_expert > 0 && k->n_ff_exp == 0)
        k->n_ff_exp = n_ff;                                        /* Mixtral's files keep the width there */
    if (k->n_expert > 0 && a->shared != ARCH_NO) {
        int count;
        char name[64];
        KEY("expert_shared_count", 1, 0, 65535, &count);
        /* Early qwen2moe files leave the key out: then the tensor says it. */
        snprintf(name, sizeof name, "blk.%d.ffn_gate_shexp.weight", leading);
        const gguf_tensor *t = gguf_tensor_find(m->file, name);
        KEY("expert_shared_feed_forward_length", t ? (double)t->ne[1] : (double)count * k->n_ff_exp, 0, 1 << 24, &k->n_ff_sh);
    }
    int groups;
    KEY("expert_group_count", 1, 0, 65535, &groups);
    if (groups > 1)
        return q_fail(err, Q_FORMAT, _("%s: routing by groups of experts (%d groups) is not known here"), m->path, groups);
    if ((k->n_expert == 0 || leading > 0) && n_ff == 0)
        return q_fail(err, Q_FORMAT, _("%s: %s.feed_forward_length is 0, but there are dense layers"), m->path, a->name);
    if (k->n_expert > 0 && leading < k->n_layer && k->n_ff_exp == 0)
        return q_fail(err, Q_FORMAT, _("%s: %s.expert_feed_forward_length is 0"), m->path, a->name);
#undef KEY
    if ((rc = read_gate(m, err)))
        return rc;
    m->layers = q_alloc(sizeof *m->layers * (size_t)k->n_layer);
    for (int i = 0; i < k->n_layer; i++) {
        m->layers[i].moe = k->n_expert > 0 && i >= leading;
        m->layers[i].n_ff = m->layers[i].moe ? 0 : n_ff;
        m->layers[i].window = window > 0 && window < ctx ? (int)fmax(window, 1) : 0;
        for (int r = KER_W_BQ; r <= KER_W_BV && a->qkv_bias != ARCH_NO; r++) {
            char name[128];
            arch_tensor_name(a, (enum ker_role)r, i, name, sizeof name);
            if (a->qkv_bias == ARCH_MUST || gguf_tensor_find(m->file, name)) m->layers[i].biases |= KER_BIAS_QKV;
        }
    }
    k->layer = m->layers;
    m->info.n_ctx_train = ctx;
    m->info.n_expert_used = used;
    m->info.first_moe_layer = k->n_expert > 0 ? leading : k->n_layer;
    m->info.n_moe_layer = k->n_layer - m->info.first_moe_layer;
    m->info.carved = k->router_scale > 0;
    return 0;
}

static int read_defaults(eng_model *m, char *err)
{
    model_defaults *d = &m->defaults;
    static const char *const scalings[] = { "none", "linear", "yarn" };
    char key[128];
    gguf_str s;
    d->norm_eps = key_or(m, "attention.layer_norm_rms_epsilon", 1e-6);
    d->rope_theta = key_or(m, "rope.freq_base", 10000);
    d->rope_factor = key_or(m, "rope.scaling.factor", key_or(m, "rope.scale_linear", 1));
    d->rope_original = (int)fmin(fmax(key_or(m, "rope.scaling.original_context_length", m->info.n_ctx_train), 1), 16777216);
    d->attn_factor = key_or(m, "rope.scaling.attn_factor", 0);
    d->beta_fast = key_or(m, "rope.scaling.yarn_beta_fast", 32);
    d->beta_slow = key_or(m, "rope.scaling.yarn_beta_slow", 1);
    if (!(d->norm_eps > 0 && d->norm_eps < 10) || !(d->rope_theta >= 1.5 && d->rope_theta < 1e15))
        return q_fail(err, Q_FORMAT, _("%s: rope base %g or norm epsilon %g is not a sensible number"), m->path, d->rope_theta, d->norm_eps);
    snprintf(key, sizeof key, "%s.rope.scaling.type", m->arch->name);
    d->rope_scaling = d->rope_factor != 1 ? SCALING_LINEAR : SCALING_NONE;
    if (gguf_string(m->file, key, &s)) {
        d->rope_scaling = -1;
        for (int i = 0; i < 3; i++)
            if (strlen(scalings[i]) == s.n && memcmp(scalings[i], s.p, s.n) == 0)
                d->rope_scaling = i;
        if (d->rope_scaling < 0)
            return q_fail(err, Q_FORMAT, _("%s: rope scaling \"%.*s\" is not known: none, linear and yarn are"), m->path, (int)(s.n < 40 ? s.n : 40), s.p);
    }
    if (!(d->rope_factor >= 1 && d->rope_factor <= 1024))
        d->rope_factor = 1;
    const gguf_tensor *t = gguf_tensor_find(m->file, "rope_freqs.weight");
    if (t) {
        if (t->type != KER_F32 || t->ne[0] != m->ker.rope_dim / 2)
            return q_fail(err, Q_FORMAT, _("%s: rope_freqs.weight must be %d numbers of F32"), m->path, m->ker.rope_dim / 2);
        m->rope_factors = q_alloc(t->bytes);
        memcpy(m->rope_factors, t->data, t->bytes);
        for (int i = 0; i < m->ker.rope_dim / 2; i++)
            if (!(m->rope_factors[i] > 0))
                return q_fail(err, Q_FORMAT, _("%s: rope_freqs.weight holds %g: divisors must be positive"), m->path, (double)m->rope_factors[i]);
    }
    return 0;
}

/* ---- what people read ---- */
static char *quant_name(const eng_model *m)
{
    uint64_t id, by_type[KER_TYPE_LIMIT] = { 0 };
    const ker_file_type *said = gguf_u64(m->file, "general.file_type", &id) ? ker_file_type_get(id) : NULL;
    if (said)
        return q_strdup(said->name);
    int best = KER_F32;
    for (int i = 0; i < gguf_n_tensors(m->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        if (t->type >= 0 && t->type < KER_TYPE_LIMIT)
            by_type[t->type] += t->bytes;
    }
    for (int i = 0; i < KER_TYPE_LIMIT; i++)
        if (by_type[i] > by_type[best])
            best = i;
    const ker_type *t = ker_type_get(best);
    return q_strdup(t && t->name ? t->name : "?");
}

static char *file_string(const eng_model *m, const char *key, const char *otherwise)
{
    gguf_str s;
    if (!gguf_string(m->file, key, &s) || s.n == 0)
        return q_strdup(otherwise);
    return q_utf8_clean(s.p, s.n < 200 ? s.n : 200);
}

static void describe(eng_model *m)
{
    const gguf_file *f = m->file;
    const char *slash = strrchr(m->path, '/');
    q_buf lang = { 0 };
    m->strings[0] = file_string(m, "general.name", slash ? slash + 1 : m->path);
    m->strings[1] = file_string(m, "general.architecture", "?");
    m->strings[2] = quant_name(m);
    const gguf_kv *kv = gguf_find(f, "general.languages");
    for (uint64_t i = 0; kv && kv->type == GGUF_ARR && kv->strings && i < kv->count && i < 20; i++)
        q_buf_printf(&lang, "%s%.*s", i ? "," : "", (int)(kv->strings[i].n < 16 ? kv->strings[i].n : 16), kv->strings[i].p);
    m->strings[3] = q_buf_take(&lang);
    eng_info *o = &m->info;
    o->path = m->path;
    o->name = m->strings[0];
    o->arch = m->strings[1];
    o->quant = m->strings[2];
    o->languages = m->strings[3];
    o->file_bytes = gguf_size(f);
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        uint64_t n = 1;
        for (int d = 0; d < t->n_dims; d++)
            n *= (uint64_t)t->ne[d];
        o->params += n;
    }
    o->id = keys_fingerprint(f, q_hash64(o->arch, strlen(o->arch), o->file_bytes));
    o->n_layer = m->ker.n_layer;
    o->n_embd = m->ker.n_embd;
    o->n_head = m->ker.n_head;
    o->n_kv_head = m->ker.n_kv_head;
    o->head_dim = m->ker.head_dim;
    o->n_expert = m->ker.n_expert;
    o->n_ff_exp = m->ker.n_ff_exp;
    o->n_ff_sh = m->ker.n_ff_sh;
}

/* ---- does it fit? ---- */
/* Weights are mapped, so they need memory in the page cache while they are read (a file in tmpfs has it already); beside
 * them the smallest useful cache and the scratch of a batch. Asked before anything of size is allocated. */
uint64_t model_memory(uint64_t weights, uint64_t n_layer, uint64_t n_kv, uint64_t head_dim)
{
    enum { CELLS = 1024, BYTES = 4, SCRATCH = 64 << 20 };          /* K and V, two bytes a number */
    uint64_t n;
    if (__builtin_mul_overflow(n_layer, n_kv, &n) || __builtin_mul_overflow(n, head_dim, &n) || __builtin_mul_overflow(n, CELLS * BYTES, &n) ||
        __builtin_add_overflow(n, SCRATCH, &n) || __builtin_add_overflow(n, weights, &n))
        return UINT64_MAX;
    return n;
}

static int check_memory(const eng_model *m, char *err)
{
    const double gib = 1024.0 * 1024 * 1024;
    uint64_t weights = 0, have = m->on.dev ? m->on.be->memory(m->on.dev) : q_mem_available();
    bool in_memory = q_in_memory(m->path);
    for (int i = 0; i < gguf_n_tensors(m->file) && !in_memory; i++)
        weights += gguf_tensor_at(m->file, i)->bytes;
    uint64_t extra = model_memory(0, (uint64_t)m->ker.n_layer, (uint64_t)m->ker.n_kv_head, (uint64_t)m->ker.head_dim);
    if (have == 0 || weights + extra <= have)
        return 0;
    char fits[200];
    double room = have > extra ? (double)(have - extra) * 8 : 0, bits = room / (double)(m->info.params ? m->info.params : 1);
    int n_types;
    const ker_file_type *types = ker_file_types(&n_types), *best = NULL;
    for (int i = 0; i < n_types; i++)
        if (types[i].bits > 0 && types[i].bits * 1.02 <= bits && (!best || types[i].bits > best->bits))
            best = &types[i];
    if (best)
        snprintf(fits, sizeof fits, _("a %s of it (%.1f GiB) would fit"), best->name, (double)m->info.params * best->bits / 8 / gib);
    else
        snprintf(fits, sizeof fits, _("a model of up to %.1f billion parameters in Q4_K_M would fit"), room / 4.85 / 1e9);
    return q_fail(err, Q_NOMEM, _("%s needs %.1f GiB (weights %.1f GiB), but %.1f GiB of memory are free: %s"), m->info.name,
                  (double)(weights + extra) / gib, (double)weights / gib, (double)have / gib, fits);
}

/* ---- weights ---- */
static void shape_words(char *out, size_t n, const int64_t *ne, int dims)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < dims && at < n; i++)
        at += (size_t)snprintf(out + at, n - at, "%s%lld", i ? " x " : "", (long long)ne[i]);
}

static void count_bytes(eng_model *m, enum ker_role role, int layer, const gguf_tensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= (uint64_t)t->ne[i];
    if (layer < 0) {
        bool tied = role == KER_W_EMBD && !gguf_tensor_find(m->file, "output.weight");
        if (role != KER_W_EMBD || tied) {
            m->head_bytes += t->bytes;
            m->head_params += n;
        }
        return;
    }
    model_bytes *b = &m->bytes[layer];
    if (ker_role_get(role)->ne[2] == KER_DIM_EXPERT) {
        b->expert += t->bytes / (uint64_t)m->ker.n_expert;
        if (role == KER_W_GATE_EXPS || role == KER_W_UP_EXPS)
            b->expert_row += t->bytes / (uint64_t)(m->ker.n_expert * t->ne[1]);
        b->expert_params += n / (uint64_t)m->ker.n_expert;
    } else {
        b->always += t->bytes;
        if (role == KER_W_GATE || role == KER_W_UP || role == KER_W_GATE_SH || role == KER_W_UP_SH)
            b->row += t->bytes / (uint64_t)t->ne[1];
        b->always_params += n;
    }
}

/* The tensor of a role, checked; *out NULL: the model has none and needs none. */
static int find_weight(const eng_model *m, enum ker_role role, int layer, const gguf_tensor **out, char *err)
{
    char name[128], want[64], got[64];
    *out = NULL;
    enum arch_need need = arch_needs(m->arch, role);
    if (need == ARCH_NO || !ker_role_here(&m->ker, layer, role))
        return 0;
    arch_tensor_name(m->arch, role, layer, name, sizeof name);
    const gguf_tensor *t = gguf_tensor_find(m->file, name);
    if (!t)
        return need == ARCH_MAY ? 0 : q_fail(err, Q_FORMAT, _("%s: the tensor %s is missing: the file is not a complete %s model"), m->path, name, m->arch->name);
    int64_t ne[3];
    int n_dims = ker_role_shape(&m->ker, layer, role, ne);
    for (int i = 0; i < 4; i++)
        if (t->ne[i] != (i < 3 ? ne[i] : 1)) {
            shape_words(want, sizeof want, ne, n_dims);
            shape_words(got, sizeof got, t->ne, t->n_dims);
            return q_fail(err, Q_FORMAT, _("%s: the tensor %s is %s, expected %s"), m->path, name, got, want);
        }
    const ker_type *type = ker_type_get(t->type);
    if (!type || !type->name || !type->weight)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %s is of type %s, which cannot be a weight"), m->path, name, type && type->name ? type->name : "?");
    if (n_dims == 1 && t->type != KER_F32 && ne[0] % type->block)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %s has %lld numbers, not a multiple of %s's block of %d"), m->path, name, (long long)ne[0], type->name, type->block);
    *out = t;
    return 0;
}

static int add_weight(eng_model *m, enum ker_role role, int layer, char *err)
{
    const gguf_tensor *t;
    int64_t ne[3];
    int rc = find_weight(m, role, layer, &t, err);
    if (rc || !t)
        return rc;
    int n_dims = ker_role_shape(&m->ker, layer, role, ne);
    ker_weight w = { .type = t->type, .ne = { ne[0], ne[1], ne[2] }, .data = t->data, .bytes = t->bytes };
    if (n_dims == 1 && t->type != KER_F32) {                       /* vectors are used as they are: F32 */
        float *v = q_alloc(sizeof(float) * (size_t)ne[0]);
        ker_type_get(t->type)->decode(t->data, v, ne[0]);
        m->converted = q_realloc(m->converted, sizeof *m->converted * (size_t)(m->n_converted + 1));
        m->converted[m->n_converted++] = v;
        w = (ker_weight){ .type = KER_F32, .ne = { ne[0], 1, 1 }, .data = v, .bytes = sizeof(float) * (size_t)ne[0] };
    }
    count_bytes(m, role, layer, t);
    char why[Q_ERRLEN], name[128];
    arch_tensor_name(m->arch, role, layer, name, sizeof name);
    rc = m->on.be->weight(m->on.dev, layer, role, &w, why);
    return rc ? q_fail(err, rc, "%s: %s: %s", m->path, name, why) : 0;
}

static int add_weights(eng_model *m, const eng_open_opts *o, char *err)
{
    int rc = 0;
    for (int i = -1; i < m->ker.n_layer; i++) {
        if (o->go_on && !o->go_on(o->user))
            return q_fail(err, Q_CANCEL, _("opening %s was stopped"), m->path);
        for (int r = 0; r < KER_W_ROLES && !rc; r++)
            rc = add_weight(m, (enum ker_role)r, i, err);
        if (rc)
            return rc;
        if (o->progress)
            o->progress(o->user, (uint64_t)i + 2, (uint64_t)m->ker.n_layer + 1);
    }
    return 0;
}

/* ---- open and free ---- */
/* What this process may use, which a container or taskset may have narrowed. */
int model_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? n : 1;
}

/* How many tokens the weights know, against how many the vocabulary names. */
static int check_vocabulary(eng_model *m, char *err)
{
    const gguf_tensor *embd = gguf_tensor_find(m->file, "token_embd.weight");
    if (!embd)
        return q_fail(err, Q_FORMAT, _("%s holds no weights: it is a vocabulary only"), m->path);
    if (embd->n_dims != 2 || embd->ne[1] < 1 || embd->ne[1] > (1 << 24))
        return q_fail(err, Q_FORMAT, _("%s: token_embd.weight must have two dimensions"), m->path);
    m->ker.n_vocab = (int)embd->ne[1];
    if (m->info.n_vocab > m->ker.n_vocab)
        return q_fail(err, Q_FORMAT, _("%s: %d tokens in the vocabulary, but only %d rows in token_embd.weight"), m->path, m->info.n_vocab, m->ker.n_vocab);
    m->info.n_vocab = m->ker.n_vocab;
    return 0;
}

/* The device's weights, from the first to the last. A GPU's memory was looked at when it was chosen. */
static int fill(eng_model *m, const eng_open_opts *o, char *err)
{
    int rc = !o->ignore_memory && m->on.be == ker_cpu() ? check_memory(m, err) : 0;
    if (!rc) rc = add_weights(m, o, err);
    return rc ? rc : m->on.be->ready(m->on.dev, err);
}

static int open_weights(eng_model *m, const eng_open_opts *o, char *err)
{
    int rc = check_vocabulary(m, err);
    if (rc)
        return rc;
    m->n_threads = m->own_threads = m->asked_threads = o->n_threads > 0 ? o->n_threads : model_cores();
    m->bytes = q_alloc(sizeof *m->bytes * (size_t)m->ker.n_layer);
    rc = device_open(m, &m->on, err);
    if (!rc) rc = fill(m, o, err);
    if (rc && rc != Q_CANCEL && device_may_fall_back(&m->on)) {    /* what the GPU could not take may still run here */
        memset(m->bytes, 0, sizeof *m->bytes * (size_t)m->ker.n_layer);
        m->head_bytes = m->head_params = 0;
        rc = device_fall_back(m, &m->on, rc, err);
        if (!rc) rc = fill(m, o, err);
    }
    return rc;
}

static int find_arch(eng_model *m, char *err)
{
    gguf_str a = { "", 0 };
    if (!gguf_string(m->file, "general.architecture", &a))
        return q_fail(err, Q_FORMAT, _("%s does not say which architecture it is (general.architecture)"), m->path);
    m->arch = arch_find(a.p, a.n);
    if (m->arch)
        return 0;
    if (eng_is_embedder(gguf_path(m->file)))
        return q_fail(err, Q_FORMAT, _("%s is an embedding model: it turns text into vectors and cannot talk; take a chat model (`quorum model list`)"), m->path);
    char *known = arch_known(), *name = q_utf8_clean(a.p, a.n < 60 ? q_utf8_whole(a.p, a.n) : q_utf8_whole(a.p, 60));
    q_fail(err, Q_FORMAT, _("%s is a model of architecture \"%s\", which quorum does not know; it knows %s"), m->path, name, known);
    free(known);
    free(name);
    return Q_FORMAT;
}

int model_check(gguf_file *f, char *err)
{
    if (gguf_problem(f))
        return q_fail(err, Q_FORMAT, "%s", gguf_problem(f));
    eng_model *m = q_alloc(sizeof *m);
    m->path = q_strdup(_("this file"));
    m->file = f;
    int rc = find_arch(m, err);
    if (!rc && !(rc = read_shape(m, err)) && !(rc = read_defaults(m, err)) && !(rc = vocab_check(f, err))) {
        const gguf_kv *tokens = gguf_find(f, "tokenizer.ggml.tokens");
        m->info.n_vocab = (int)tokens->count;
        rc = check_vocabulary(m, err);
    }
    if (!rc) rc = ker_model_check(&m->ker, ker_cpu_can(), err);
    for (int i = -1; !rc && i < m->ker.n_layer; i++)
        for (int r = 0; r < KER_W_ROLES && !rc; r++) {
            const gguf_tensor *t;
            rc = find_weight(m, (enum ker_role)r, i, &t, err);
        }
    if (!rc) {
        free(m->path);
        m->path = q_strdup(gguf_path(f));                          /* q_in_memory asks by it */
        m->info.name = _("this file");
        for (int i = 0; i < gguf_n_tensors(f); i++) {
            const gguf_tensor *t = gguf_tensor_at(f, i);
            m->info.params += (uint64_t)t->ne[0] * (uint64_t)t->ne[1] * (uint64_t)t->ne[2] * (uint64_t)t->ne[3];
        }
        rc = check_memory(m, err);
    }
    m->file = NULL;                                                /* the caller's */
    eng_model_free(m);
    return rc;
}

int eng_model_open(const char *path, const eng_open_opts *opts, eng_model **out, char *err)
{
    static const eng_open_opts none = { 0 };
    const eng_open_opts *o = opts ? opts : &none;
    int64_t start = q_now_ns();
    eng_model *m = q_alloc(sizeof *m);
    m->path = q_strdup(path);
    m->vocab_only = o->vocab_only;
    int rc = o->vocab_only ? gguf_look(path, &m->file, err) : gguf_open(path, &m->file, err);
    if (!rc) {
        rc = o->vocab_only ? 0 : find_arch(m, err);
    }
    if (!rc && !o->vocab_only && !(rc = read_shape(m, err)))
        rc = read_defaults(m, err);
    if (!rc) {
        describe(m);
        rc = vocab_load(m->file, &m->vocab, err);
    }
    if (!rc) {
        chat_read(m->file, &m->chat);
        chat_learn(&m->chat, m->file, m->vocab);
        m->info.n_vocab = vocab_size(m->vocab);
        m->info.frame = (eng_frame){ m->chat.has, m->chat.thinks, m->chat.note, m->chat.tools };
    }
    if (!rc && !o->vocab_only)
        rc = open_weights(m, o, err);
    if (rc) {
        eng_model_free(m);
        return rc;
    }
    m->standard = eng_config_new(m);
    m->info.load_s = (double)(q_now_ns() - start) / 1e9;
    *out = m;
    return 0;
}

void eng_model_free(eng_model *m)
{
    if (!m)
        return;
    eng_config_free(m->standard);
    device_close(&m->on);
    for (int i = 0; i < m->n_converted; i++)
        free(m->converted[i]);
    free(m->converted);
    vocab_free(m->vocab);
    chat_free(&m->chat);
    gguf_close(m->file);
    for (size_t i = 0; i < sizeof m->strings / sizeof *m->strings; i++)
        free(m->strings[i]);
    free(m->rope_factors);
    free(m->bytes);
    free(m->layers);
    free(m->path);
    free(m);
}

const eng_info *eng_model_info(const eng_model *m) { return &m->info; }
int eng_model_threads(const eng_model *m) { return m->n_threads; }

void model_threads(eng_model *m, double asked)
{
    int n = asked > 0 ? (int)asked : model_cores();
    if (n == m->asked_threads)
        return;
    m->asked_threads = n;
    m->n_threads = m->on.be->set_threads(m->on.dev, n);
}
const char *eng_model_device(const eng_model *m) { return m->on.name ? m->on.name : "cpu"; }
const char *eng_model_device_note(const eng_model *m) { return m->on.note ? m->on.note : ""; }

bool eng_layer_is_moe(const eng_model *m, int layer)
{
    return layer >= 0 && layer < m->ker.n_layer && m->layers[layer].moe;
}

const void *eng_model_pages(const eng_model *m, int file, size_t *bytes) { return gguf_pages(m->file, file, bytes); }

/* What ffn.width saves of one part of n neurons. The first n: rows of gate and up are not read, down is read whole. By
 * magnitude: all are computed before it is known who stays, so nothing is read less, and columns of down take no part. */
static eng_cost spared(const eng_model *m, int n, int32_t width, uint64_t row)
{
    int keep = width < 0 ? -width : width;
    uint64_t out = keep && keep < n ? (uint64_t)(n - keep) : 0;
    return (eng_cost){ .params = out * (uint64_t)m->ker.n_embd * (width < 0 ? 1 : 3), .bytes_layers = width < 0 ? 0 : out * row };
}

eng_cost eng_model_cost(const eng_model *m, const eng_config *c)
{
    eng_cost o = { m->head_params, 0, m->head_bytes };
    if (m->vocab_only)
        return o;
    config_ker k;
    config_ker_build(c, &k);
    for (int i = 0; i < m->ker.n_layer; i++) {
        const model_bytes *b = &m->bytes[i];
        o.params += b->always_params + (uint64_t)k.ks[i] * b->expert_params;
        o.bytes_layers += b->always + (uint64_t)k.ks[i] * b->expert;
        bool moe = m->layers[i].moe;
        eng_cost one = spared(m, moe ? m->ker.n_ff_sh : m->layers[i].n_ff, k.width[i], b->row), of = spared(m, m->ker.n_ff_exp, k.narrow[i], b->expert_row);
        o.params -= one.params + (uint64_t)k.ks[i] * of.params;
        o.bytes_layers -= one.bytes_layers + (uint64_t)k.ks[i] * of.bytes_layers;
    }
    config_ker_free(&k);
    return o;
}
