/* engine/model/brief: reads the header of a model file into a few numbers and words. See brief.h. */
#include "engine/model/brief.h"
#include "base/say.h"
#include "engine/model/energy.h"
#include "engine/run/model.h"
#include "engine/run/shape.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *brief_text(const char *p, size_t n, size_t max)
{
    q_buf b = {0};
    q_buf_puts(&b, "");                     /* nothing at all is a text too */
    q_say_clean(&b, p, n < max ? n : q_utf8_whole(p, max), true);
    return q_buf_take(&b);
}

char *brief_count(uint64_t n)
{
    if (n >= 1000000000) return q_printf("%.2f B", (double)n / 1e9);
    if (n >= 1000000) return q_printf("%.1f M", (double)n / 1e6);
    return q_printf("%llu", (unsigned long long)n);
}

void brief_row(q_buf *out, const char *label, const char *fmt, ...)
{
    va_list ap;
    char *v = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&v, fmt, ap);
    va_end(ap);
    int width = q_utf8_points(label);   /* translations are not ASCII */
    q_buf_say(out, "%s%*s%s\n", label, width < 14 ? 14 - width : 1, "", n < 0 ? "" : v);
    if (n >= 0) free(v);
}

static char *text_of(const gguf_file *f, const char *key)
{
    gguf_str s;
    return gguf_string(f, key, &s) ? brief_text(s.p, s.n, 200) : q_strdup("");
}

static uint64_t number_of(const gguf_file *f, const brief *b, const char *key)
{
    char *full = q_printf("%s.%s", b->arch, key);
    uint64_t v = 0;
    double first;
    if (!gguf_u64(f, full, &v)) {          /* some families keep one value a layer */
        const gguf_kv *kv = gguf_find(f, full);
        if (kv && kv->type == GGUF_ARR && gguf_arr_f64(kv, 0, &first) && first >= 0 && first < 1e15) v = (uint64_t)first;
    }
    free(full);
    return v;
}

static double real_of(const gguf_file *f, const brief *b, const char *key)
{
    char *full = q_printf("%s.%s", b->arch, key);
    double v = 0;
    if (!gguf_f64(f, full, &v)) v = 0;
    free(full);
    return v;
}

static void read_tensors(const gguf_file *f, brief *b)
{
    uint64_t by_type[KER_TYPE_LIMIT] = {0};
    eng_energy counted = {.n_layer = 0};
    int best = KER_F32;
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        uint64_t n = (uint64_t)t->ne[0] * (uint64_t)t->ne[1] * (uint64_t)t->ne[2] * (uint64_t)t->ne[3];
        b->params += n;
        b->tensor_bytes += t->bytes;
        if (t->bytes > b->largest) b->largest = t->bytes;
        bool down = t->name.n > 20 && memmem(t->name.p, t->name.n, "ffn_down_exps.weight", 20) && !(b->shape.n_layer && energy_beside(t, b->shape.n_layer));
        if (down && !b->shape.n_ff_exp) b->shape.n_ff_exp = (uint64_t)t->ne[0];    /* families that have one width for both kinds */
        if (t->type >= 0 && t->type < KER_TYPE_LIMIT && (by_type[t->type] += t->bytes) > by_type[best]) best = t->type;
    }
    energy_tensors(&counted, f, b->shape.n_layer);
    b->shape.n_moe_layer = (uint64_t)counted.n_routed;
    b->shape.n_recurrent = (uint64_t)counted.n_recurrent;
    counted.n_expert = b->shape.n_expert < INT_MAX ? (int)b->shape.n_expert : INT_MAX;
    b->active = eng_energy_active(&counted, b->shape.n_used < INT_MAX ? (int)b->shape.n_used : INT_MAX);
    free(b->quant);
    const ker_type *k = ker_type_named(best);
    const char *name = k && k->name && b->params ? k->name : "";
    uint64_t id;
    if (gguf_u64(f, "general.file_type", &id)) {
        const ker_file_type *t = ker_file_type_get(id);
        name = t ? t->name : name;
    }
    b->quant = q_strdup(name);
}

/* As ker_state_floats has it, of what the keys say; 0 where they say too much. */
static uint64_t state_of(const gguf_file *f, const brief *b)
{
    enum { MOST = 1 << 20 };
    uint64_t conv = number_of(f, b, "ssm.conv_kernel"), key = number_of(f, b, "ssm.state_size"), group = number_of(f, b, "ssm.group_count"),
             inner = number_of(f, b, "ssm.inner_size"), n = b->shape.n_recurrent;
    if (!n || n > 4096 || conv < 1 || conv > 256 || key > 4096 || group > 4096 || inner > MOST) return 0;
    return n * ((conv - 1) * (2 * group * key + inner) + key * inner) * sizeof(float);
}

void brief_read(gguf_file *f, brief *b)
{
    *b = (brief){.name = text_of(f, "general.name"), .arch = text_of(f, "general.architecture"), .quant = q_strdup("")};
    b->pre = text_of(f, "tokenizer.ggml.pre");
    const struct { const char *key; uint64_t *out; } counts[] = {
        {"block_count", &b->shape.n_layer}, {"embedding_length", &b->shape.n_embd}, {"attention.head_count", &b->shape.n_head},
        {"attention.head_count_kv", &b->shape.n_kv}, {"attention.key_length", &b->shape.head_dim}, {"context_length", &b->shape.n_ctx},
        {"feed_forward_length", &b->shape.n_ff}, {"expert_count", &b->shape.n_expert}, {"expert_used_count", &b->shape.n_used},
        {"expert_feed_forward_length", &b->shape.n_ff_exp}, {"attention.kv_lora_rank", &b->shape.kv_rank}, {"rope.dimension_count", &b->shape.rope},
        {"attention.key_length_mla", &b->shape.mla_head},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) *counts[i].out = number_of(f, b, counts[i].key);
    if (!b->shape.head_dim && b->shape.n_head) b->shape.head_dim = b->shape.n_embd / b->shape.n_head;
    if (!b->shape.n_kv) b->shape.n_kv = b->shape.n_head;
    if (b->shape.kv_rank) {
        if (!b->shape.mla_head) b->shape.mla_head = b->shape.head_dim;             /* files with attn_kv_b */
        b->shape.n_kv = 1;
        b->shape.head_dim = b->shape.kv_rank + b->shape.rope;
    }
    const arch *a = arch_find(b->arch, strlen(b->arch));
    if (a && b->shape.n_layer <= 1 << 12) b->shape.n_near = shape_near(f, a, (int)b->shape.n_layer, &b->shape.window);
    b->rope_theta = real_of(f, b, "rope.freq_base");
    b->norm_eps = real_of(f, b, "attention.layer_norm_rms_epsilon");
    const gguf_kv *tokens = gguf_find(f, "tokenizer.ggml.tokens");
    b->shape.n_vocab = tokens && tokens->type == GGUF_ARR ? tokens->count : 0;
    b->carved = gguf_find(f, "quorum.router_scale") != NULL;
    chat c;
    chat_read(f, &c);
    b->chat = c.has;
    b->template_note = c.note ? q_strdup(c.note) : NULL;
    chat_free(&c);
    char *kind = text_of(f, "general.type");
    b->adapter = strcmp(kind, "adapter") == 0 || strcmp(kind, "mmproj") == 0 || strcmp(b->arch, "clip") == 0 ||
                 strcmp(b->arch, "carve") == 0;
    free(kind);
    b->in_memory = gguf_path(f) && q_in_memory(gguf_path(f));
    uint64_t beside = number_of(f, b, "nextn_predict_layers");     /* see energy_beside */
    if (beside < b->shape.n_layer) b->shape.n_layer -= beside;
    read_tensors(f, b);
    b->shape.state_bytes = state_of(f, b);

    if (b->adapter) b->problem = q_strdup(_("this is an addition to a model, not a model: give the model's own file"));
    else if (!b->params) b->problem = q_strdup(_("the file holds a vocabulary and no weights: it can be used with tokenize only"));
    else {
        char err[Q_ERRLEN];
        int rc = model_check(f, &b->need, err);
        if (rc) b->problem = q_strdup(err);
        b->full = rc == Q_NOMEM;
    }
}

uint64_t brief_memory(const brief *b)
{
    if (b->need)
        return b->need;
    uint64_t width = b->shape.head_dim;                            /* of a cell, K and V: a file may say anything, sums saturate */
    if (!b->shape.kv_rank && __builtin_mul_overflow(width, 2, &width)) width = UINT64_MAX;
    uint64_t recurrent = b->shape.n_recurrent < b->shape.n_layer ? b->shape.n_recurrent : b->shape.n_layer;
    return model_memory(b->in_memory ? 0 : b->tensor_bytes, b->shape.n_layer - recurrent, b->shape.n_kv, width, b->shape.state_bytes);
}

void brief_free(brief *b)
{
    free(b->name);
    free(b->arch);
    free(b->quant);
    free(b->pre);
    free(b->problem);
    free(b->template_note);
    *b = (brief){0};
}

bool eng_file_whole(const char *path)
{
    char err[Q_ERRLEN];
    gguf_file *f = NULL;
    bool ok = gguf_open(path, &f, err) == Q_OK && gguf_n_tensors(f) > 0;
    gguf_close(f);
    return ok;
}
