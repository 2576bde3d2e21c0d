/* engine/run/model: opens a model: reads the description from the file's keys, checks each tensor's shape and
 * type, asks whether it fits in memory before anything is allocated, and hands the weights to the backend.
 * Owns the eng_model and all it points to. Opening belongs to one thread; afterwards it is read only. */
#include "engine/run/device.h"
#include "engine/run/model.h"
#include "engine/run/config.h"
#include "engine/run/lora.h"
#include "engine/run/next.h"
#include "engine/run/ondisk.h"
#include "engine/run/room.h"
#include "engine/run/shape.h"
#include "engine/run/weights.h"
#include "engine/embed.h"
#include "engine/file/keys.h"
#include "engine/model/energy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    eng_energy counted = { .n_layer = 0 };
    energy_tensors(&counted, f, (uint64_t)m->ker.n_layer);
    counted.n_expert = m->ker.n_expert;
    m->active.always = eng_energy_active(&counted, 0);
    m->active.expert = counted.n_routed ? (eng_energy_active(&counted, 1) - m->active.always) / (uint64_t)counted.n_routed : 0;
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
uint64_t model_memory(uint64_t weights, uint64_t n_layer, uint64_t n_kv, uint64_t width, uint64_t state)
{
    enum { CELLS = 1024, BYTES = 2, SCRATCH = 64 << 20 };          /* F16 */
    uint64_t n;
    if (__builtin_mul_overflow(n_layer, n_kv, &n) || __builtin_mul_overflow(n, width, &n) || __builtin_mul_overflow(n, CELLS * BYTES, &n) ||
        __builtin_add_overflow(n, SCRATCH, &n) || __builtin_add_overflow(n, weights, &n) || __builtin_add_overflow(n, state, &n) || __builtin_add_overflow(n, state, &n))
        return UINT64_MAX;
    return n;
}

/* Beside the weights as they lie in the file. The head that drafts has a layer's cells of its own. */
static uint64_t model_extra(const eng_model *m)
{
    return model_memory(weights_made(m), (uint64_t)ker_cell_layers(&m->ker) + m->next.there, (uint64_t)m->ker.n_kv_head, (uint64_t)(ker_cell_k(&m->ker) + ker_cell_v(&m->ker)),
                        (uint64_t)ker_state_floats(&m->ker) * sizeof(float));
}

static int check_memory(const eng_model *m, char *err)
{
    const double gib = 1024.0 * 1024 * 1024;
    uint64_t weights = room_weights(m), have = m->on.dev ? m->on.be->memory(m->on.dev) : q_mem_available();
    uint64_t extra = model_extra(m);
    if (have == 0 || weights + extra <= have)
        return 0;
    char fits[400];
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
    ondisk_plan p;
    double rest = have > extra ? floor((double)(have - extra) / gib * 10) / 10 : 0;
    if (rest > 0 && ondisk_plan_make(m, (uint64_t)(rest * gib), &p, NULL) && p.fits) {
        size_t n = strlen(fits);
        snprintf(fits + n, sizeof fits - n, _("; or --weights-ram %.1f keeps %.0f%% of its experts in memory and reads the others from the disk"), rest, 100 * p.share);
    }
    return q_fail(err, Q_NOMEM, _("%s needs %.1f GiB (weights %.1f GiB), but %.1f GiB of memory are free: %s"), m->info.name,
                  (double)(weights + extra) / gib, (double)weights / gib, (double)have / gib, fits);
}

/* ---- weights ---- */
static int add_weights(eng_model *m, const eng_open_opts *o, char *err)
{
    int rc = 0;
    for (int i = -1; i < m->ker.n_layer; i++) {
        if (o->go_on && !o->go_on(o->user))
            return q_fail(err, Q_CANCEL, _("opening %s was stopped"), m->path);
        for (int r = 0; r < KER_W_ROLES && !rc; r++)
            rc = weight_add(m, (enum ker_role)r, i, err);
        if (rc)
            return rc;
        if (o->progress)
            o->progress(o->user, (uint64_t)i + 2, (uint64_t)m->ker.n_layer + 1);
    }
    return 0;
}

/* ---- open and free ---- */
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
    if (!rc) rc = m->on.be->ready(m->on.dev, err);
    if (!rc) m->n_threads = m->on.be->set_threads(m->on.dev, m->n_threads);          /* the system may have given fewer */
    return rc;
}

/* What the GPU could not take, rc says why, may still run on the CPU. */
static int fall_back(eng_model *m, const eng_open_opts *o, int rc, char *err)
{
    memset(m->bytes, 0, sizeof *m->bytes * (size_t)m->ker.n_layer);
    m->head.bytes = m->head.params = 0;
    rc = device_fall_back(m, &m->on, rc, err);
    return rc ? rc : fill(m, o, err);
}

int model_may_talk(eng_model *m, char *err)
{
    ker_ctx *c = NULL;
    if (!device_may_fall_back(&m->on)) return Q_OK;
    int rc = m->on.be->ctx_new(m->on.dev, ENG_STEP_ROWS, m->ker.n_expert, NULL, &c, err);
    if (!rc) m->on.be->ctx_free(c);
    return rc;
}

int model_to_cpu(eng_model *m, int rc, char *err)
{
    const eng_open_opts o = { .n_threads = m->asked_threads };
    return fall_back(m, &o, rc, err);
}

static int open_weights(eng_model *m, const eng_open_opts *o, char *err)
{
    int rc = check_vocabulary(m, err);
    if (rc)
        return rc;
    m->n_threads = m->opened.threads = m->asked_threads = o->n_threads > 0 ? o->n_threads : q_cores();
    m->bytes = q_alloc(sizeof *m->bytes * (size_t)m->ker.n_layer);
    rc = device_open(m, &m->on, err);
    if (!rc) rc = fill(m, o, err);
    if (!rc) rc = model_may_talk(m, err);
    if (rc && rc != Q_CANCEL && device_may_fall_back(&m->on)) rc = fall_back(m, o, rc, err);
    return rc;
}

static int find_arch(eng_model *m, char *err)
{
    gguf_str a = { "", 0 }, kind = { "", 0 };
    if (gguf_string(m->file, "general.type", &kind) && kind.n == strlen("adapter") && memcmp(kind.p, "adapter", kind.n) == 0)
        return q_fail(err, Q_FORMAT, _("%s is an adapter, not a model: name the model it is for with -m, and it with --lora"), m->path);
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

bool model_ondisk(gguf_file *f, double gib, struct ondisk_plan *out)
{
    char ignored[Q_ERRLEN];
    eng_model *m = q_alloc(sizeof *m);
    m->path = q_strdup(gguf_path(f));
    m->file = f;
    bool some = !gguf_problem(f) && !find_arch(m, ignored) && !shape_read(m, ignored);
    some = some && ondisk_plan_make(m, ONDISK_LEAST, out, NULL);
    uint64_t budget = gib > 0 ? (uint64_t)(gib * 1024 * 1024 * 1024) + 1 : out->rest + out->experts / 2;
    if (some && gib >= 0) ondisk_plan_make(m, budget, out, NULL);
    m->file = NULL;                                                /* the caller's */
    eng_model_free(m);
    return some;
}

int model_check(gguf_file *f, uint64_t *need, char *err)
{
    *need = 0;
    if (gguf_problem(f))
        return q_fail(err, Q_FORMAT, "%s", gguf_problem(f));
    eng_model *m = q_alloc(sizeof *m);
    m->path = q_strdup(_("this file"));
    m->file = f;
    int rc = find_arch(m, err);
    if (!rc && !(rc = shape_read(m, err)) && !(rc = shape_defaults(m, err)) && !(rc = vocab_check(f, err))) {
        const gguf_kv *tokens = gguf_find(f, "tokenizer.ggml.tokens");
        m->info.n_vocab = (int)tokens->count;
        rc = check_vocabulary(m, err);
    }
    if (!rc) rc = ker_model_check(&m->ker, ker_cpu_can(), err);
    for (int i = -1; !rc && i < m->ker.n_layer; i++)
        for (int r = 0; r < KER_W_ROLES && !rc; r++) {
            weight_view v;
            rc = weight_find(m, (enum ker_role)r, i, &v, err);
            if (rc == Q_NOTFOUND) rc = 0;
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
        *need = model_extra(m);
        for (int i = 0; i < gguf_n_tensors(f) && !q_in_memory(m->path); i++)
            *need += gguf_tensor_at(f, i)->bytes;
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
    m->lora = lora_new();
    m->vocab_only = o->vocab_only;
    m->opened.weights_gib = o->weights_gib;
    int rc = o->vocab_only ? gguf_look(path, &m->file, err) : gguf_open(path, &m->file, err);
    if (!rc) {
        rc = o->vocab_only ? 0 : find_arch(m, err);
    }
    if (!rc && !o->vocab_only && !(rc = shape_read(m, err)))
        rc = shape_defaults(m, err);
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
        rc = o->unrun ? check_vocabulary(m, err) : open_weights(m, o, err);
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
    next_close(m->next.head);
    lora_free(m);
    device_close(&m->on);
    for (int i = 0; i < m->converted.n; i++)
        free(m->converted.p[i]);
    free(m->converted.p);
    vocab_free(m->vocab);
    chat_free(&m->chat);
    gguf_close(m->file);
    for (size_t i = 0; i < sizeof m->strings / sizeof *m->strings; i++)
        free(m->strings[i]);
    free(m->rope.factors);
    free(m->rope.for_short);
    free(m->rope.for_long);
    free(m->bytes);
    free(m->layers);
    free(m->path);
    free(m);
}

const eng_info *eng_model_info(const eng_model *m) { return &m->info; }
int eng_model_threads(const eng_model *m) { return m->n_threads; }

void model_threads(eng_model *m, double asked)
{
    int n = asked > 0 ? (int)asked : q_cores();
    if (n == m->asked_threads)
        return;
    m->asked_threads = n;
    m->n_threads = m->on.be->set_threads(m->on.dev, n);
}
const char *eng_model_device(const eng_model *m) { return m->on.name ? m->on.name : "cpu"; }
bool eng_model_ondisk(const eng_model *m, eng_ondisk *out)
{
    if (m->on.ondisk) ondisk_tell(m->on.ondisk, out);
    return m->on.ondisk != NULL;
}

bool eng_model_device_fell(const eng_model *m) { return m->on.fell; }
const char *eng_model_device_note(const eng_model *m) { return m->on.note ? m->on.note : ""; }

bool eng_layer_is_moe(const eng_model *m, int layer)
{
    return layer >= 0 && layer < m->ker.n_layer && m->layers[layer].moe;
}

uint8_t *eng_recurrent_layers(const eng_model *m)
{
    uint8_t *is = q_alloc((size_t)m->ker.n_layer + 1);
    bool any = false;
    for (int i = 0; i < m->ker.n_layer; i++)
        any |= is[i] = m->layers[i].mixer == KER_MIX_DELTA;
    if (any)
        return is;
    free(is);
    return NULL;
}

int32_t *eng_layer_windows(const eng_model *m, bool *sinks)
{
    int32_t *of = q_alloc(sizeof *of * ((size_t)m->ker.n_layer + 1));
    bool any = *sinks = false;
    for (int i = 0; i < m->ker.n_layer; i++) {
        *sinks |= m->layers[i].sinks;
        any |= (of[i] = m->layers[i].window) != 0;
    }
    if (any)
        return of;
    free(of);
    return NULL;
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
    eng_cost o = { m->active.always, 0, m->head.bytes };
    if (m->vocab_only || !m->on.dev)
        return o;
    config_ker k;
    config_ker_build(c, &k);
    for (int i = 0; i < m->ker.n_layer; i++) {
        const model_bytes *b = &m->bytes[i];
        o.params += m->layers[i].moe ? (uint64_t)k.ks[i] * m->active.expert : 0;
        o.bytes_layers += b->always + (uint64_t)k.ks[i] * b->expert;
        bool moe = m->layers[i].moe;
        eng_cost one = spared(m, moe ? m->ker.n_ff_sh : m->layers[i].n_ff, k.width[i], b->row), of = spared(m, m->ker.n_ff_exp, k.narrow[i], b->expert_row);
        o.params -= one.params + (uint64_t)k.ks[i] * of.params;
        o.bytes_layers -= one.bytes_layers + (uint64_t)k.ks[i] * of.bytes_layers;
    }
    int acting;
    eng_cost low = lora_cost(m, c->v.lora, k.ks, NULL, NULL, &acting);
    o.params += low.params;
    o.bytes_layers += low.bytes_layers;
    o.bytes_head += low.bytes_head;
    config_ker_free(&k);
    return o;
}

int eng_config_added(const eng_config *c, eng_added *of, uint8_t *changed)
{
    const eng_model *m = c->m;
    config_ker k;
    int n;
    if (of) memset(of, 0, sizeof *of * (size_t)(m->ker.n_layer + 1));
    if (changed) memset(changed, 0, (size_t)m->ker.n_layer * (size_t)m->ker.n_expert);
    if (m->vocab_only || !m->on.dev)
        return 0;
    config_ker_build(c, &k);
    lora_cost(m, c->v.lora, k.ks, of, changed, &n);
    config_ker_free(&k);
    return n;
}

uint64_t eng_adapter_memory(const eng_model *m, const eng_adapter *a) { return eng_adapter_info_of(a)->held + lora_device_bytes(m, a); }
