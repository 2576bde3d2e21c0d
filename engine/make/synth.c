/* engine/make/synth: writes a GGUF of random weights in a named model's exact shapes and types, with a complete
 * made-up vocabulary, so that speed and memory can be measured where the real file is not to be had.
 * Owns nothing beyond one call; any thread. The text such a model says means nothing.
 *
 * Numbers: every matrix has zero mean and standard deviation 1/sqrt(input width), so activations keep
 * their size and stay finite; the blocks of quantised types are made directly, with random quants under
 * fixed scales. The same seed gives the same tensor under any number of layers. */
#include "engine/models.h"
#include "engine/file/gguf.h"
#include "engine/make/mix.h"
#include "engine/make/synth.h"
#include "engine/model/energy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers: one stream a tensor ---- */
typedef struct rng { uint64_t s[4]; } rng;

static void rng_seed(rng *r, uint64_t seed)
{
    for (uint64_t i = 0; i < 4; i++) r->s[i] = q_mix64(seed, i);
}

static uint64_t rng_next(rng *r) { return q_random(r->s); }

static void rng_bytes(rng *r, uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v = rng_next(r);
        memcpy(p, &v, 8);
    }
    uint64_t v = rng_next(r);
    memcpy(p, &v, n);
}

/* Uniform in [-1, 1); variance 1/3. */
static float rng_unit(rng *r) { return (float)((int64_t)rng_next(r) >> 40) * 0x1p-23f; }

/* ---- blocks ---- */
static void put_f16(uint8_t *p, float v)
{
    uint16_t h = ker_f32_to_f16(v);
    memcpy(p, &h, 2);
}

/* Scales of eight sub-blocks, 6 bits each, scale and minimum alike, as block_q4_K packs them. */
static void put_scales(uint8_t out[12], rng *r)
{
    uint8_t sc[8];
    uint64_t v = rng_next(r);
    for (int i = 0; i < 8; i++) sc[i] = (uint8_t)(32 + (v >> (8 * i)) % 32);      /* 32..63 */
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(sc[i] | (sc[i + 4] >> 4) << 6);
        out[i + 4] = out[i];
        out[i + 8] = (uint8_t)((sc[i + 4] & 15) | (sc[i + 4] & 15) << 4);
    }
}

static const float rms_32_63 = 48.4f;      /* of an integer uniform in 32..63 */

/* One block of each type with standard deviation sd. */
static void block_q8_0(uint8_t *b, float sd, rng *r)
{
    put_f16(b, sd / 73.9f);                /* 256 / sqrt(12) */
    rng_bytes(r, b + 2, 32);
}

static void block_q4_0(uint8_t *b, float sd, rng *r)
{
    rng_bytes(r, b + 2, 16);
    put_f16(b, (b[2] ^ b[9]) & 1 ? sd / 4.64f : -sd / 4.64f);    /* either sign: quants average -1/2 */
}

static void block_q5_0(uint8_t *b, float sd, rng *r)
{
    rng_bytes(r, b + 2, 20);
    put_f16(b, (b[2] ^ b[9]) & 1 ? sd / 9.25f : -sd / 9.25f);
}

static void block_q4_k(uint8_t *b, float sd, rng *r)
{
    float d = sd / (4.61f * rms_32_63);
    put_f16(b, d);
    put_f16(b + 2, 7.5f * d);              /* scale = minimum: the 16 levels lie evenly around 0 */
    put_scales(b + 4, r);
    rng_bytes(r, b + 16, 128);
}

static void block_q5_k(uint8_t *b, float sd, rng *r)
{
    float d = sd / (9.23f * rms_32_63);
    put_f16(b, d);
    put_f16(b + 2, 15.5f * d);
    put_scales(b + 4, r);
    rng_bytes(r, b + 16, 32 + 128);
}

static void block_q6_k(uint8_t *b, float sd, rng *r)
{
    rng_bytes(r, b, 192);
    rng_bytes(r, b + 192, 16);
    for (int i = 0; i < 16; i++) {         /* +-(32..63) */
        int v = 32 + (b[192 + i] & 31);
        b[192 + i] = (uint8_t)(int8_t)(b[192 + i] & 128 ? -v : v);
    }
    put_f16(b + 208, sd / (18.5f * rms_32_63));
}

static void block_q2_k(uint8_t *b, float sd, rng *r)
{
    float d = sd / (1.118f * 11.73f);      /* 4 levels; an integer uniform in 8..15 */
    uint64_t v = rng_next(r);
    for (int i = 0; i < 16; i++) b[i] = (uint8_t)((8 + (v >> (4 * i)) % 8) * 17);      /* scale = minimum */
    rng_bytes(r, b + 16, 64);
    put_f16(b + 80, d);
    put_f16(b + 82, 1.5f * d);
}

static void block_q3_k(uint8_t *b, float sd, rng *r)
{
    rng_bytes(r, b, 108);
    put_f16(b + 108, sd / (2.345f * 18.48f));      /* -4..3; scales of -32..31 */
}

/* Its scales are powers of two: of the two around the one that is wanted, so often the larger that the mean of squares is right. */
static void block_mxfp4(uint8_t *b, float sd, rng *r)
{
    int e;
    float want = sd / 5.853f, low = ldexpf(1, (frexpf(want, &e), e - 1)), share = (want * want / (low * low) - 1) / 3;
    rng_bytes(r, b + 1, 16);
    ker_type_scale(KER_MXFP4, b, (rng_unit(r) + 1) / 2 < share ? 2 * low : low, 0);
}

static void block_q5_1(uint8_t *b, float sd, rng *r)
{
    put_f16(b, sd / 9.23f);
    put_f16(b + 2, -15.5f * sd / 9.23f);
    rng_bytes(r, b + 4, 20);
}

/* The 16 levels of IQ4 have a mean square of 67.4^2 and a mean of -6.5: scales of either sign even that out. */
static void block_iq4_nl(uint8_t *b, float sd, rng *r)
{
    rng_bytes(r, b + 2, 16);
    put_f16(b, (b[2] ^ b[9]) & 1 ? sd / 67.4f : -sd / 67.4f);
}

static void block_iq4_xs(uint8_t *b, float sd, rng *r)
{
    rng_bytes(r, b + 2, 134);
    put_f16(b, sd / (67.4f * 18.48f));     /* scales of -32..31 */
}

static const struct { int type; void (*block)(uint8_t *, float, rng *); } makers[] = {
    {KER_Q2_K, block_q2_k}, {KER_Q3_K, block_q3_k}, {KER_MXFP4, block_mxfp4},
    {KER_Q5_1, block_q5_1}, {KER_IQ4_NL, block_iq4_nl}, {KER_IQ4_XS, block_iq4_xs},
    {KER_Q8_0, block_q8_0}, {KER_Q4_0, block_q4_0}, {KER_Q5_0, block_q5_0}, {KER_Q4_K, block_q4_k}, {KER_Q5_K, block_q5_k}, {KER_Q6_K, block_q6_k},
};

typedef struct plan {
    int type;
    float mean, sd;
    uint64_t seed;
} plan;

static int fill(void *user, void *dst, size_t bytes, char *err)
{
    const plan *p = user;
    rng r;
    rng_seed(&r, p->seed);
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (makers[i].type == p->type) {
            size_t size = (size_t)ker_type_get(p->type)->bytes;
            for (size_t at = 0; at < bytes; at += size) makers[i].block((uint8_t *)dst + at, p->sd, &r);
            return Q_OK;
        }
    const float width = p->sd * 1.7320508f;              /* of a uniform distribution */
    size_t n = bytes / (p->type == KER_F32 ? 4 : 2);
    for (size_t i = 0; i < n; i++) {
        float v = p->mean + width * rng_unit(&r);
        uint32_t u;
        memcpy(&u, &v, 4);
        if (p->type == KER_F32) ((float *)dst)[i] = v;
        else ((uint16_t *)dst)[i] = p->type == KER_BF16 ? (uint16_t)(u >> 16) : ker_f32_to_f16(v);
    }
    return Q_OK;
}

/* ---- vocabulary ---- */
/* GPT-2's printable stand-in for a byte (openai/gpt-2 src/encoder.py, bytes_to_unicode). */
static uint32_t byte_char(int b, int *spare)
{
    if ((b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE) return (uint32_t)b;
    return 256u + (uint32_t)(*spare)++;
}

typedef struct words {
    q_buf text;
    size_t *at;               /* [n + 1] */
    size_t n;
} words;

static void words_end(words *w)
{
    w->at = q_realloc(w->at, (w->n + 2) * sizeof *w->at);
    w->at[0] = 0;
    w->at[++w->n] = w->text.len;
}

static void put_words(gguf_writer *w, const char *key, const words *v)
{
    gguf_str *s = q_alloc((v->n + 1) * sizeof *s);
    for (size_t i = 0; i < v->n; i++) s[i] = (gguf_str){v->text.p + v->at[i], v->at[i + 1] - v->at[i]};
    gguf_put_kv(w, key, &(gguf_kv){.type = GGUF_ARR, .item = GGUF_STR, .count = v->n, .strings = s});
    free(s);
}

/* The control tokens of Qwen's vocabulary; what follows them is padding. */
static const char *const control[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
enum { N_CONTROL = 3, TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_UNUSED = 5 };

static const char chat_template[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* 256 bytes; then every pair of bytes, likelier bytes first; then pairs and one more byte: each the
 * result of exactly one merge, and all different. The last 293 ids are control tokens and padding, as Qwen's. */
static void put_vocab(gguf_writer *w, int n_vocab)
{
    char spell[256][4];
    int length[256], order[256], spare = 0, n = 0;
    for (int b = 0; b < 256; b++) length[b] = q_utf8_put(spell[b], byte_char(b, &spare));
    static const char likely[] = " etaoinshrdlucmfwypvbgkjxqz\n.,0123456789_()=;:\"'-/ETAOINSHRDLUCMFWYPVBGKJXQZ";
    bool put[256] = {false};
    for (const char *c = likely; *c; c++) put[(uint8_t)*c] = true, order[n++] = (uint8_t)*c;
    for (int b = 0; b < 256; b++) if (!put[b]) order[n++] = b;

    words tokens = {0}, merges = {0};
    for (int b = 0; b < 256; b++) q_buf_add(&tokens.text, spell[b], (size_t)length[b]), words_end(&tokens);
    const int n_tail = n_vocab > 100000 ? 293 : 16, n_words = n_vocab - n_tail;
    for (int i = 0; (int)tokens.n < n_words; i++) {
        /* i counts pairs in rising max(rank), so the likeliest pairs come first; later i are triples */
        int pair = i % 65536, third = i / 65536 - 1;
        int side = (int)sqrt((double)pair), rest = pair - side * side;
        int a = order[rest < side ? rest : side], b = order[rest < side ? side : rest - side];
        q_buf_add(&merges.text, spell[a], (size_t)length[a]);
        if (third >= 0) q_buf_add(&merges.text, spell[b], (size_t)length[b]);
        q_buf_putc(&merges.text, ' ');
        int last = third >= 0 ? order[third] : b;
        q_buf_add(&merges.text, spell[last], (size_t)length[last]);
        words_end(&merges);
        q_buf_add(&tokens.text, spell[a], (size_t)length[a]);
        q_buf_add(&tokens.text, spell[b], (size_t)length[b]);
        if (third >= 0) q_buf_add(&tokens.text, spell[last], (size_t)length[last]);
        words_end(&tokens);
    }
    int32_t *type = q_alloc((size_t)n_vocab * sizeof *type);
    for (int i = 0; i < n_words; i++) type[i] = TOKEN_NORMAL;
    for (int i = n_words; i < n_vocab; i++) {
        bool real = i - n_words < N_CONTROL;
        if (real) q_buf_puts(&tokens.text, control[i - n_words]);
        else q_buf_printf(&tokens.text, "[PAD%d]", i);
        words_end(&tokens);
        type[i] = real ? TOKEN_CONTROL : TOKEN_UNUSED;
    }
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_str(w, "tokenizer.ggml.pre", "qwen2");
    put_words(w, "tokenizer.ggml.tokens", &tokens);
    gguf_put_kv(w, "tokenizer.ggml.token_type",
                &(gguf_kv){.type = GGUF_ARR, .item = GGUF_I32, .count = (uint64_t)n_vocab, .data = type, .bytes = (size_t)n_vocab * 4});
    put_words(w, "tokenizer.ggml.merges", &merges);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)n_words + 2);
    gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)n_words);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)n_words);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    gguf_put_str(w, "tokenizer.chat_template", chat_template);
    free(type);
    free(tokens.at);
    free(merges.at);
    q_buf_free(&tokens.text);
    q_buf_free(&merges.text);
}

/* ---- the file ---- */
static void put_meta(gguf_writer *w, const shape *s, const mix *m, int n_layer, int next)
{
    char key[96];
    const ker_latent *t = &s->more.latent;
#define KEY(k) (snprintf(key, sizeof key, "%s.%s", s->arch, k), key)
    gguf_put_str(w, "general.architecture", s->arch);
    gguf_put_str(w, "general.type", "model");
    char *name = q_printf("%s, random weights, %d of %d layers", s->name, n_layer, s->n_layer);
    gguf_put_str(w, "general.name", name);
    free(name);
    gguf_put_str(w, "general.size_label", s->size_label);
    const struct { const char *key; int v; } counts[] = {
        {"block_count", n_layer + next}, {"nextn_predict_layers", next}, {"context_length", s->n_ctx}, {"embedding_length", s->n_embd}, {"feed_forward_length", s->n_ff},
        {"attention.head_count", s->n_head}, {"attention.head_count_kv", s->n_kv}, {"attention.key_length", s->d_head},
        {"attention.value_length", t->kv_rank ? t->kv_rank : s->d_head}, {"expert_count", s->n_expert}, {"expert_used_count", s->n_used},
        {"expert_feed_forward_length", s->n_ff_exp}, {"leading_dense_block_count", s->more.leading}, {"expert_shared_count", s->more.shared},
        {"attention.q_lora_rank", t->q_rank}, {"attention.kv_lora_rank", t->kv_rank}, {"attention.key_length_mla", t->nope + t->rope},
        {"attention.value_length_mla", t->v}, {"rope.dimension_count", t->rope ? t->rope : s->more.rope_dim ? s->more.rope_dim : s->d_head}, {"attention.sliding_window", s->more.window},
        {"rope.scaling.original_context_length", s->more.original},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].v) gguf_put_u32(w, KEY(counts[i].key), (uint32_t)counts[i].v);
    if (t->kv_rank && !t->q_rank && n_layer != s->n_layer) gguf_put_u32(w, KEY("attention.q_lora_rank"), 0);   /* llama.cpp tells V2-Lite by its number of layers */
    const ker_delta *d = &s->more.delta;
    if (d->n_key) {
        const struct { const char *key; int v; } recurrent[] = {
            {"ssm.conv_kernel", d->conv}, {"ssm.state_size", d->key_dim}, {"ssm.group_count", d->n_key}, {"ssm.time_step_rank", d->n_value},
            {"ssm.inner_size", d->n_value * d->value_dim}, {"full_attention_interval", EVERY}, {"expert_shared_feed_forward_length", s->n_ff_exp * s->more.shared},
        };
        for (size_t i = 0; i < sizeof recurrent / sizeof *recurrent; i++)
            if (recurrent[i].v) gguf_put_u32(w, KEY(recurrent[i].key), (uint32_t)recurrent[i].v);
        /* Text has one position on all three axes, so these only have to add up to the rotated pairs. */
        int32_t pairs = s->more.rope_dim / 2, share[4] = {pairs - 2 * (pairs / 3), pairs / 3, pairs / 3, 0};
        if (s->more.sections)
            gguf_put_kv(w, KEY("rope.dimension_sections"), &(gguf_kv){.type = GGUF_ARR, .item = GGUF_I32, .count = 4, .data = share, .bytes = sizeof share});
    }
    gguf_put_f32(w, KEY("rope.freq_base"), s->more.theta > 0 ? s->more.theta : 1e6f);
    gguf_put_f32(w, KEY("attention.layer_norm_rms_epsilon"), s->more.eps > 0 ? s->more.eps : 1e-6f);
    if (s->more.yarn_factor > 0) {
        gguf_put_str(w, KEY("rope.scaling.type"), "yarn");
        gguf_put_f32(w, KEY("rope.scaling.factor"), s->more.yarn_factor);
        if (s->more.yarn_log > 0) gguf_put_f32(w, KEY("rope.scaling.yarn_log_multiplier"), s->more.yarn_log);
    }
    static const char *const granite[] = { "attention.scale", "embedding_scale", "residual_scale", "logit_scale" };
    for (int i = 0; s->more.granite && i < 4; i++) gguf_put_f32(w, KEY(granite[i]), s->more.granite[i]);
    if (t->kv_rank) gguf_put_u32(w, KEY("vocab_size"), (uint32_t)s->n_vocab);       /* llama.cpp wants it of deepseek2 */
    if (t->kv_rank || s->more.sigmoid) {
        gguf_put_u32(w, KEY("expert_gating_func"), s->more.sigmoid ? 2 : 1);
        gguf_put_bool(w, KEY("expert_weights_norm"), s->more.renorm);
        gguf_put_f32(w, KEY("expert_weights_scale"), s->more.weights_scale > 0 ? s->more.weights_scale : 1);
    }
    gguf_put_u32(w, "general.file_type", m->file_type);
    gguf_put_u32(w, "general.quantization_version", 2);
#undef KEY
    put_vocab(w, s->n_vocab);
}

typedef struct builder {               /* a file to be written, or only counted */
    gguf_writer *w;
    plan **plan;
    size_t n;
    uint64_t seed;
    eng_energy *count;                 /* not NULL: nothing is written */
    const shape *shape;
    const mix *mix;
    int n_layer, next;                 /* next: layers of a head that foretells, behind them */
    bool hollow;                       /* zeros for weights */
} builder;

static void put(builder *b, const char *name, int type, int64_t ne0, int64_t ne1, int64_t ne2, float mean, float sd)
{
    int64_t ne[4] = {ne0, ne1, ne2, 1};
    if (b->count) {
        energy_add(b->count, name, strlen(name), ne, (uint64_t)ker_row_bytes(type, ne0) * (uint64_t)(ne1 * ne2));
        return;
    }
    plan *p = q_alloc(sizeof *p);
    *p = (plan){.type = type, .mean = mean, .sd = sd, .seed = q_hash64(name, strlen(name), b->seed)};
    b->plan = q_realloc(b->plan, (b->n + 1) * sizeof *b->plan);
    b->plan[b->n++] = p;
    gguf_put_tensor(b->w, name, type, ne2 > 1 ? 3 : ne1 > 1 ? 2 : 1, ne, b->hollow ? NULL : fill, p);
}

static void put_norm(builder *b, const char *name, int64_t n) { put(b, name, KER_F32, n, 1, 1, 1.0f, 0.05f); }

/* Of the type that the mix gives it. */
static void put_matrix(builder *b, const char *name, int64_t ne0, int64_t ne1, int64_t ne2)
{
    int layer = -1;
    if (sscanf(name, "blk.%d.", &layer) != 1) layer = -1;
    put(b, name, mix_type(b->mix, b->shape, name, layer, b->n_layer, ne0, ne2), ne0, ne1, ne2, 0, 1.0f / sqrtf((float)ne0));
}

/* One that stays in whole numbers of 32 bits: routers, convolutions. */
static void put_exact(builder *b, const char *name, int64_t ne0, int64_t ne1) { put(b, name, KER_F32, ne0, ne1, 1, 0, 1.0f / sqrtf((float)ne0)); }

#define BLK(suffix) (snprintf(name, sizeof name, "blk.%d." suffix ".weight", i), name)
#define BIAS(suffix) (snprintf(name, sizeof name, "blk.%d." suffix ".bias", i), name)

static void put_latent(builder *b, const shape *s, int i)
{
    char name[96];
    const ker_latent *t = &s->more.latent;
    const int64_t q = (int64_t)s->n_head * (t->nope + t->rope);
    if (t->q_rank) {
        put_matrix(b, BLK("attn_q_a"), s->n_embd, t->q_rank, 1);
        put_norm(b, BLK("attn_q_a_norm"), t->q_rank);
        put_matrix(b, BLK("attn_q_b"), t->q_rank, q, 1);
    } else put_matrix(b, BLK("attn_q"), s->n_embd, q, 1);
    put_matrix(b, BLK("attn_kv_a_mqa"), s->n_embd, t->kv_rank + t->rope, 1);
    put_norm(b, BLK("attn_kv_a_norm"), t->kv_rank);
    put_matrix(b, BLK("attn_k_b"), t->nope, t->kv_rank, s->n_head);
    put_matrix(b, BLK("attn_v_b"), t->kv_rank, t->v, s->n_head);
    put_matrix(b, BLK("attn_output"), (int64_t)s->n_head * t->v, s->n_embd, 1);
}

static void put_vector(builder *b, const char *name, int64_t n, float sd) { put(b, name, KER_F32, n, 1, 1, 0, sd); }

static void put_attention(builder *b, const shape *s, int i)
{
    char name[96];
    const int64_t q = (int64_t)s->n_head * s->d_head, kv = (int64_t)s->n_kv * s->d_head;
    const unsigned has = s->more.has;
    put_matrix(b, BLK("attn_q"), s->n_embd, s->more.delta.n_key ? 2 * q : q, 1);      /* a hybrid's: with its gate */
    put_matrix(b, BLK("attn_k"), s->n_embd, kv, 1);
    put_matrix(b, BLK("attn_v"), s->n_embd, kv, 1);
    if (has & SYN_BIAS) {
        put_vector(b, BIAS("attn_q"), q, .1f);
        put_vector(b, BIAS("attn_k"), kv, .1f);
        put_vector(b, BIAS("attn_v"), kv, .1f);
    }
    if (!(has & SYN_PLAIN)) {
        put_norm(b, BLK("attn_q_norm"), has & SYN_WHOLE ? q : s->d_head);
        put_norm(b, BLK("attn_k_norm"), has & SYN_WHOLE ? kv : s->d_head);
    }
    put_matrix(b, BLK("attn_output"), q, s->n_embd, 1);
    if (has & SYN_OSS) {
        put_vector(b, BIAS("attn_output"), s->n_embd, .1f);
        put_vector(b, BLK("attn_sinks"), s->n_head, 1);
    }
    if (has & (SYN_POST | SYN_OSS)) put_norm(b, BLK("post_attention_norm"), s->n_embd);       /* gpt-oss's is the one before the experts */
}

/* A table of numbers: a row an expert. */
static void put_biases(builder *b, const shape *s, int i)
{
    char name[96];
    put_vector(b, BIAS("ffn_gate_inp"), s->n_expert, .1f);
    put(b, BIAS("ffn_gate_exps"), KER_F32, s->n_ff_exp, s->n_expert, 1, 0, .1f);
    put(b, BIAS("ffn_up_exps"), KER_F32, s->n_ff_exp, s->n_expert, 1, 0, .1f);
    put(b, BIAS("ffn_down_exps"), KER_F32, s->n_embd, s->n_expert, 1, 0, .1f);
}

static void put_delta(builder *b, const shape *s, int i)
{
    char name[96];
    const ker_delta *d = &s->more.delta;
    const int64_t out = (int64_t)d->n_value * d->value_dim, in = 2 * (int64_t)d->n_key * d->key_dim + out;
    put_matrix(b, BLK("attn_qkv"), s->n_embd, in, 1);
    put_matrix(b, BLK("attn_gate"), s->n_embd, out, 1);
    if (d->paired) put_matrix(b, BLK("ssm_ba"), s->n_embd, 2 * d->n_value, 1);
    else {
        put_matrix(b, BLK("ssm_beta"), s->n_embd, d->n_value, 1);
        put_matrix(b, BLK("ssm_alpha"), s->n_embd, d->n_value, 1);
    }
    put_exact(b, BLK("ssm_conv1d"), d->conv, in);
    snprintf(name, sizeof name, "blk.%d.ssm_dt.bias", i);
    put(b, name, KER_F32, d->n_value, 1, 1, -4, .5f);              /* with the next: a step keeps some 93% of a state */
    snprintf(name, sizeof name, "blk.%d.ssm_a", i);
    put(b, name, KER_F32, d->n_value, 1, 1, -4, 1);
    put_norm(b, BLK("ssm_norm"), d->value_dim);
    put_matrix(b, BLK("ssm_out"), out, s->n_embd, 1);
}

/* A layer; the one behind the last is the head's that foretells, which attends. */
static void put_layer(builder *b, int i)
{
    const shape *s = b->shape;
    char name[96];
    put_norm(b, BLK("attn_norm"), s->n_embd);
    const bool hybrid = s->more.delta.n_key > 0;
    if (s->more.latent.kv_rank) put_latent(b, s, i);
    else if (i < b->n_layer && shape_recurrent(s, i)) put_delta(b, s, i);
    else put_attention(b, s, i);
    if (hybrid || strcmp(s->arch, "glm4moe") == 0) put_norm(b, BLK("post_attention_norm"), s->n_embd);
    else if (!(s->more.has & SYN_OSS)) put_norm(b, BLK("ffn_norm"), s->n_embd);
    if (s->more.has & SYN_POST) put_norm(b, BLK("post_ffw_norm"), s->n_embd);
    if (s->more.has & SYN_OSS) put_biases(b, s, i);
    if (s->n_expert && i >= s->more.leading) {
        const int64_t shared = (int64_t)s->n_ff_exp * s->more.shared;
        if (s->more.sigmoid) put(b, (snprintf(name, sizeof name, "blk.%d.exp_probs_b.bias", i), name), KER_F32, s->n_expert, 1, 1, 0, .01f);
        put_exact(b, BLK("ffn_gate_inp"), s->n_embd, s->n_expert);
        put_matrix(b, BLK("ffn_gate_exps"), s->n_embd, s->n_ff_exp, s->n_expert);
        put_matrix(b, BLK("ffn_up_exps"), s->n_embd, s->n_ff_exp, s->n_expert);
        put_matrix(b, BLK("ffn_down_exps"), s->n_ff_exp, s->n_embd, s->n_expert);
        if (shared && hybrid) put_exact(b, BLK("ffn_gate_inp_shexp"), s->n_embd, 1);
        if (shared) {
            put_matrix(b, BLK("ffn_gate_shexp"), s->n_embd, shared, 1);
            put_matrix(b, BLK("ffn_up_shexp"), s->n_embd, shared, 1);
            put_matrix(b, BLK("ffn_down_shexp"), shared, s->n_embd, 1);
        }
    } else {
        if (!(s->more.has & SYN_UNGATED)) put_matrix(b, BLK("ffn_gate"), s->n_embd, s->n_ff, 1);
        put_matrix(b, BLK("ffn_up"), s->n_embd, s->n_ff, 1);
        put_matrix(b, BLK("ffn_down"), s->n_ff, s->n_embd, 1);
    }
}

static void put_tensors(builder *b)
{
    const shape *s = b->shape;
    char name[96];
    put_matrix(b, "token_embd.weight", s->n_embd, s->n_vocab, 1);
    put_norm(b, "output_norm.weight", s->n_embd);
    if (!s->tied) put_matrix(b, "output.weight", s->n_embd, s->n_vocab, 1);
    for (int i = 0; i < b->n_layer + b->next; i++) put_layer(b, i);
    for (int i = b->n_layer; i < b->n_layer + b->next; i++) {
        put_matrix(b, BLK("nextn.eh_proj"), 2 * (int64_t)s->n_embd, s->n_embd, 1);
        put_norm(b, BLK("nextn.enorm"), s->n_embd);
        put_norm(b, BLK("nextn.hnorm"), s->n_embd);
        put_norm(b, BLK("nextn.shared_head_norm"), s->n_embd);
    }
#undef BLK
#undef BIAS
}

/* arch NULL: any. */
static int find_shape(const char *arch, const char *like, const char *type, int *n_layer, const shape **shape_out, const mix **mix_out, char *err)
{
    const shape *s = shape_named(arch, like), *row;
    const mix *m = mix_named(type), *known_mix;
    q_buf known = {0};
    int rc = Q_OK;
    bool of_arch = false;              /* there are shapes of that architecture: only they are named */
    for (int i = 0; arch && (row = shape_at(i)); i++) of_arch |= strcmp(row->arch, arch) == 0;
    for (int i = 0; !s && (row = shape_at(i)); i++)
        if (!of_arch || strcmp(row->arch, arch) == 0) q_buf_printf(&known, "%s%s", known.len ? ", " : "", row->like);
    if (!s && !*like) rc = q_fail(err, Q_RANGE, _("say whose shapes (--like): known are %s"), known.p);
    else if (!s && arch) rc = q_fail(err, Q_RANGE, _("no shapes of %s with the architecture %s; known are %s"), like, arch, known.p);
    else if (!s) rc = q_fail(err, Q_RANGE, _("no shapes of %s; known are %s"), like, known.p);
    q_buf_clear(&known);
    for (int i = 0; !m && (known_mix = mix_at(i)); i++) q_buf_printf(&known, "%s%s", i ? ", " : "", known_mix->name);
    if (rc == Q_OK && !m) rc = q_fail(err, Q_RANGE, _("no type mix called %s; known are %s"), type, known.p);
    q_buf_free(&known);
    if (rc) return rc;
    if (*n_layer < 0 || *n_layer > s->n_layer)
        return q_fail(err, Q_RANGE, _("%s has %d layers; give 1 to %d, or 0 for all"), like, s->n_layer, s->n_layer);
    if (*n_layer == 0) *n_layer = s->n_layer;
    *shape_out = s;
    *mix_out = m;
    return Q_OK;
}

static int make(bool hollow, int next, const char *arch, const char *like, const char *type, int n_layer, uint64_t seed, const char *out,
                void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    const shape *s;
    const mix *m;
    int rc = find_shape(arch, like, type, &n_layer, &s, &m, err);
    if (rc) return rc;
    if (!hollow && !eng_runs(s->arch))
        return q_fail(err, Q_RANGE, _("this engine does not compute %s, so that a file of its shapes would measure nothing: quorum model energy --like %s counts it"), s->arch, s->like);
    if (next && !s->more.delta.n_key)
        return q_fail(err, Q_RANGE, _("files of %s keep no head that foretells: take shapes of a hybrid, such as 3.6-35b-a3b or next-80b"), s->arch);
    builder b = {.w = gguf_writer_new(), .seed = seed, .shape = s, .mix = m, .n_layer = n_layer, .next = next, .hollow = hollow};
    put_meta(b.w, s, m, n_layer, next);
    put_tensors(&b);
    rc = gguf_write(b.w, out, progress, user, err);
    gguf_writer_free(b.w);
    for (size_t i = 0; i < b.n; i++) free(b.plan[i]);
    free(b.plan);
    return rc;
}

int eng_synth(const char *arch, const char *like, const char *type, int n_layer, uint64_t seed, const char *out,
              void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    return make(false, 0, arch, like, type, n_layer, seed, out, progress, user, err);
}

int eng_synth_foretelling(const char *arch, const char *like, const char *type, int n_layer, uint64_t seed, const char *out,
                          void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    return make(false, 1, arch, like, type, n_layer, seed, out, progress, user, err);
}

int synth_hollow(const char *like, const char *type, const char *out, char *err) { return make(true, 0, NULL, like, type, 0, 1, out, NULL, NULL, err); }

int eng_energy_like(const char *arch, const char *like, const char *type, int n_layer, eng_energy *out, char *err)
{
    const shape *s;
    const mix *m;
    int rc = find_shape(arch, like, type, &n_layer, &s, &m, err);
    if (rc) return rc;
    *out = (eng_energy){.n_layer = 0};
    put_tensors(&(builder){.count = out, .shape = s, .mix = m, .n_layer = n_layer});
    energy_cell cell = energy_cells((uint64_t)s->n_head, (uint64_t)s->n_kv, (uint64_t)s->d_head, (uint64_t)s->more.latent.kv_rank);
    const ker_delta *d = &s->more.delta;
    out->state_bytes = (uint64_t)out->n_recurrent * ((uint64_t)(d->conv - 1) * (uint64_t)(2 * d->n_key * d->key_dim + d->n_value * d->value_dim)
                                                     + (uint64_t)(d->n_value * d->key_dim) * (uint64_t)d->value_dim) * sizeof(float);
    energy_shape(out, (uint64_t)n_layer, cell, (uint64_t)s->n_expert, (uint64_t)s->n_used);
    energy_windows(out, cell, energy_near(s->arch, n_layer), s->more.window);
    snprintf(out->name, sizeof out->name, "%s", s->name);
    snprintf(out->type, sizeof out->type, "%s", m->name);
    snprintf(out->arch, sizeof out->arch, "%s", s->arch);
    return Q_OK;
}
