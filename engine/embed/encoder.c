/* engine/embed/encoder: embedders of BERT's kind out of GGUF: names of tensors by role, shapes from keys, weights to the
 * kernels' encoder. XLM-RoBERTa's files are of "bert" too: their table of places begins after the padding. */
#include "engine/embed/embedder.h"
#include "engine/file/keys.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <string.h>

enum need { NO, MAY, MUST };

typedef struct encoder_arch {
    const char *name;
    bool rope, gated;
    enum need bias;                    /* of matrices; norms always have theirs */
} encoder_arch;

/* Names of gguf-py's constants. nomic-bert: rotated places, gated SiLU, one matrix for Q, K and V. */
static const encoder_arch archs[] = {
    { "bert", false, false, MUST },
    { "nomic-bert", true, true, MAY },
};

typedef struct tensor_name { const char *name; enum need need; } tensor_name;     /* after "blk.N." in layers; MAY: as the arch's bias */
static const tensor_name names[KER_ENC_ROLES] = {
    [KER_ENC_EMBD] = { "token_embd.weight", MUST },
    [KER_ENC_POS] = { "position_embd.weight", MUST },
    [KER_ENC_TYPE] = { "token_types.weight", MUST },
    [KER_ENC_EMBD_NORM] = { "token_embd_norm.weight", MUST },
    [KER_ENC_EMBD_NORM_B] = { "token_embd_norm.bias", MUST },
    [KER_ENC_Q] = { "attn_q.weight", MUST },
    [KER_ENC_K] = { "attn_k.weight", MUST },
    [KER_ENC_V] = { "attn_v.weight", MUST },
    [KER_ENC_O] = { "attn_output.weight", MUST },
    [KER_ENC_BQ] = { "attn_q.bias", MAY },
    [KER_ENC_BK] = { "attn_k.bias", MAY },
    [KER_ENC_BV] = { "attn_v.bias", MAY },
    [KER_ENC_BO] = { "attn_output.bias", MAY },
    [KER_ENC_ATTN_NORM] = { "attn_output_norm.weight", MUST },
    [KER_ENC_ATTN_NORM_B] = { "attn_output_norm.bias", MUST },
    [KER_ENC_GATE] = { "ffn_gate.weight", MUST },
    [KER_ENC_UP] = { "ffn_up.weight", MUST },
    [KER_ENC_DOWN] = { "ffn_down.weight", MUST },
    [KER_ENC_BUP] = { "ffn_up.bias", MAY },
    [KER_ENC_BDOWN] = { "ffn_down.bias", MAY },
    [KER_ENC_FFN_NORM] = { "layer_output_norm.weight", MUST },
    [KER_ENC_FFN_NORM_B] = { "layer_output_norm.bias", MUST },
};
static const char fused[2][16] = { "attn_qkv.weight", "attn_qkv.bias" };

static void name_of(char *to, size_t n, int layer, const char *name)
{
    if (layer < 0) snprintf(to, n, "%s", name);
    else snprintf(to, n, "blk.%d.%s", layer, name);
}

/* Q, K or V out of the tensor that holds all three, one after another; NULL: there is none. */
static const gguf_tensor *third(const eng_embedder *e, int layer, enum ker_enc_role role, int dim, ker_weight *w, char *name, size_t size)
{
    bool bias = role >= KER_ENC_BQ && role <= KER_ENC_BV;
    if (!bias && (role < KER_ENC_Q || role > KER_ENC_V)) return NULL;
    name_of(name, size, layer, fused[bias]);
    const gguf_tensor *t = gguf_tensor_find(e->file, name);
    if (!t || t->n_dims != (bias ? 1 : 2) || t->ne[bias ? 0 : 1] % 3) return t;
    int64_t rows = t->ne[bias ? 0 : 1] / 3;
    size_t part = t->bytes / 3 * (size_t)(role - (bias ? KER_ENC_BQ : KER_ENC_Q));
    w->type = t->type;
    w->ne[0] = bias ? rows : t->ne[0];
    w->ne[1] = bias ? 1 : rows;
    w->data = t->data ? (const char *)t->data + part : NULL;
    w->bytes = t->bytes / 3;
    if (bias && (rows != dim || t->type != KER_F32)) w->data = NULL;
    return t;
}

static int add_weight(eng_embedder *e, const encoder_arch *a, const ker_enc_model *m, int layer, enum ker_enc_role role, char *err)
{
    char name[128], why[Q_ERRLEN];
    enum need need = names[role].need == MAY ? a->bias : names[role].need;
    name_of(name, sizeof name, layer, names[role].name);
    const gguf_tensor *t = gguf_tensor_find(e->file, name);
    ker_weight w = { 0 };
    w.ne[0] = w.ne[1] = w.ne[2] = 1;
    if (t) {
        w = (ker_weight){ .type = t->type, .ne = { t->ne[0], t->ne[1], t->ne[2] * t->ne[3] }, .data = t->data, .bytes = t->bytes };
    } else {
        char joined[128];
        if (third(e, layer, role, m->n_embd, &w, joined, sizeof joined)) snprintf(name, sizeof name, "%s", joined);
        else if (need == MUST)
            return q_fail(err, Q_FORMAT, _("%s: the tensor %s is missing: the file is not a complete %s model"), e->info.path, name, e->info.arch);
        else return Q_OK;
    }
    int rc = ker_enc_weight(e->own, layer, role, &w, why);
    return rc ? q_fail(err, rc, "%s: %s: %s", e->info.path, name, why) : Q_OK;
}

static bool in_layer(enum ker_enc_role r) { return r >= KER_ENC_Q; }

static int add_weights(eng_embedder *e, const encoder_arch *a, const ker_enc_model *m, char *err)
{
    int rc = Q_OK;
    for (int layer = -1; layer < m->n_layer && !rc; layer++)
        for (int r = 0; r < KER_ENC_ROLES && !rc; r++) {
            if (in_layer(r) != (layer >= 0) || (r == KER_ENC_GATE && !m->gated) || (r == KER_ENC_POS && m->rope) || (r == KER_ENC_TYPE && !m->n_type)) continue;
            rc = add_weight(e, a, m, layer, r, err);
        }
    return rc ? rc : ker_enc_ready(e->own, err);
}

static int read_shape(const eng_embedder *e, const encoder_arch *a, ker_enc_model *m, char *err)
{
    const char *path = e->info.path;
    int rc = 0;
#define KEY(suffix, otherwise, lo, hi, out) if ((rc = keys_whole(e->file, path, a->name, suffix, otherwise, lo, hi, out, err))) return rc
    KEY("block_count", -1, 1, 1000, &m->n_layer);
    KEY("embedding_length", -1, 1, 1 << 16, &m->n_embd);
    KEY("attention.head_count", -1, 1, 4096, &m->n_head);
    KEY("feed_forward_length", -1, 1, 1 << 20, &m->n_ff);
    KEY("context_length", -1, 1, 1 << 24, &m->n_pos);
#undef KEY
    if (m->n_embd % m->n_head)
        return q_fail(err, Q_FORMAT, _("%s: %d numbers a row cannot be divided among %d heads: the file is damaged"), path, m->n_embd, m->n_head);
    char key[64];
    bool causal = false;
    snprintf(key, sizeof key, "%s.attention.causal", a->name);
    if (gguf_bool(e->file, key, &causal) && causal)
        return q_fail(err, Q_FORMAT, _("%s: %s is set, but embedders of this kind read a text in both directions"), path, key);
    double eps = 1e-12, base = 1000;
    keys_number(e->file, a->name, "attention.layer_norm_epsilon", &eps);
    keys_number(e->file, a->name, "rope.freq_base", &base);
    if (!(eps > 0 && eps < 1) || !(base >= 1.5 && base < 1e15))
        return q_fail(err, Q_FORMAT, _("%s: rope base %g or norm epsilon %g is not a sensible number"), path, base, eps);
    m->norm_eps = (float)eps;
    m->rope_base = (float)base;
    m->rope = a->rope;
    m->gated = a->gated;
    const gguf_tensor *words = gguf_tensor_find(e->file, "token_embd.weight"), *types = gguf_tensor_find(e->file, "token_types.weight"),
                      *places = gguf_tensor_find(e->file, "position_embd.weight");
    if (!words) return q_fail(err, Q_FORMAT, _("%s holds no weights: it is a vocabulary only"), path);
    if (words->n_dims != 2 || words->ne[1] < 1 || words->ne[1] > 1 << 24) return q_fail(err, Q_FORMAT, _("%s: token_embd.weight must have two dimensions"), path);
    m->n_vocab = (int)words->ne[1];
    m->n_type = types && types->ne[1] < 1 << 24 ? (int)types->ne[1] : 0;
    if (!m->rope && places && places->n_dims == 2 && places->ne[1] != m->n_pos)
        return q_fail(err, Q_FORMAT, _("%s: %lld places in position_embd.weight, but a context of %d: the file is damaged"), path, (long long)places->ne[1], m->n_pos);
    if (vocab_size(e->vocab) > m->n_vocab)
        return q_fail(err, Q_FORMAT, _("%s: %d tokens in the vocabulary, but only %d rows in token_embd.weight"), path, vocab_size(e->vocab), m->n_vocab);
    return Q_OK;
}

static int run(void *own, const int32_t *token, const int *at, int n, bool (*go)(void *), void *user, const float **hidden, char *err)
{
    return ker_enc_run(own, token, at, n, go, user, hidden, err);
}
static void close_own(void *own) { ker_enc_close(own); }

int encoder_open(eng_embedder *e, int threads, bool exact, char *err)
{
    enum { WINDOW = 2048 };            /* rows of a window at most: attention grows by its square */
    const encoder_arch *a = archs;
    ker_enc_model m = { 0 };
    while (strcmp(a->name, e->info.arch) != 0) a++;
    int rc = read_shape(e, a, &m, err);
    if (rc) return rc;
    ker_enc *enc = NULL;
    char why[Q_ERRLEN];
    if ((rc = ker_enc_open(&m, threads, exact, &enc, why))) return q_fail(err, rc, "%s: %s", e->info.path, why);
    e->own = enc;
    e->pass = (embed_pass){ run, close_own };
    e->info.dim = m.n_embd;
    e->info.n_layer = m.n_layer;
    e->info.max_tokens = m.n_pos < WINDOW ? m.n_pos : WINDOW;
    e->info.threads = ker_enc_threads(enc);
    return add_weights(e, a, &m, err);
}
