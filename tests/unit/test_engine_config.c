/* Knobs and configurations: text in and out, ranges in the sentences, hashes, labels, JSON, effect classes,
 * YaRN against numbers computed independently, what a bad model file says. */
#include "engine/run/config.h"
#include "engine/engine.h"
#include "engine/run/model.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <unistd.h>

static eng_model *m;                   /* glm4moe golden: 3 layers, the first dense, 12 experts, k 4 */
static char err[Q_ERRLEN];

static const char *get(const eng_config *c, const char *name)
{
    static q_buf b;
    return eng_config_get(c, name, &b);
}

static void values_in_and_out(void)
{
    static const struct { const char *name, *in, *out; } good[] = {
        { "experts.k", "8", "8" }, { "num_experts_per_tok", "2", "2" }, { "experts.k", "1,6,11", "0,6,11" }, { "experts.k", "0,6,6", "6" },
        { "experts.k", "1-2:6", "6" }, { "experts.k", "1:2,2:9", "0,2,9" }, { "experts.k", "2:7", "0,4,7" }, { "experts.k", "0-2:3", "3" }, { "experts.k", "1-2:6,2:1", "0,6,1" },
        { "experts.k", "x2", "8" }, { "experts.k", "x0.5", "2" }, { "experts.k", "x100", "12" }, { "experts.k", "x0.001", "1" }, { "experts.k", "х2", "8" }, { "experts.k", "×3", "12" },
        { "ffn.width", "x0.5", "48,16,16" }, { "rope.factor", "x4", "4" }, { "rope.theta", "x2", "20000" }, { "repeat_last_n", "x2", "128" },
        { "experts.k", "default", "4" }, { "experts.ban", "1:3,2:7", "1:3,2:7" }, { "experts.ban", "none", "none" },
        { "experts.bias", "1:5=2.0", "1:5=2" }, { "experts.bias", "2:1=-0.25,1:0=1e-3", "1:0=0.001,2:1=-0.25" }, { "experts.pin", "2:11", "2:11" },
        { "experts.min_p", "0.1", "0.1" }, { "experts.temperature", "1.5", "1.5" }, { "rope_theta", "500000", "500000" },
        { "rope.scaling", "YARN", "yarn" }, { "rope.factor", "4", "4" }, { "original_max_position_embeddings", "64", "64" },
        { "rms_norm_eps", "1e-5", "1e-05" }, { "max_position_embeddings", "128", "128" }, { "kv.type", "q8_0", "q8_0" },
        { "attention.heads_off", "0:1,2:3", "0:1,2:3" }, { "ffn.width", "32", "32" }, { "ffn.width", "96,31,0", "96,31,0" }, { "ffn.width", "50%", "48,16,16" },
        { "ffn.width", "50%:magnitude", "48,16,16:magnitude" }, { "ffn.width", "7:magnitude", "7:magnitude" }, { "ffn.width", "1-2:5:magnitude", "0,5,5:magnitude" },
        { "ffn.width", "x0.25:magnitude", "24,8,8:magnitude" }, { "ffn.width", "0:magnitude", "0" }, { "ffn.width", "0", "0" },
        { "think", "off", "off" }, { "enable_thinking", "true", "on" }, { "temperature", "0.7", "0.7" }, { "top_k", "40", "40" }, { "top_p", "0.9", "0.9" },
        { "sampler.min_p", "0.05", "0.05" }, { "repetition_penalty", "1.1", "1.1" }, { "frequency_penalty", "-0.5", "-0.5" }, { "seed", "42", "42" },
        { "experts.bias", "1:5=-0,1:6=-0.0", "none" }, { "temperature", "-0", "0" }, { "seed", "-0", "0" }, { "threads", "-0", "0" },
        { "stop", "END,\\n\\n", "END,\\n\\n" }, { "max_tokens", "100", "100" }, { "threads", "2", "2" }, { "num_experts", "12", "12" },
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        eng_config *c = eng_config_new(m);
        int rc = eng_config_set(c, good[i].name, good[i].in, err);
        CHECK_MSG(rc == 0, "%s=%s: %s", good[i].name, good[i].in, rc ? err : "");
        CHECK_STR(get(c, good[i].name), good[i].out);
        char *again = q_strdup(get(c, good[i].name));          /* what get says, set takes */
        uint64_t h = eng_config_hash_all(c);
        CHECK_MSG(eng_config_set(c, good[i].name, again, err) == 0 && eng_config_hash_all(c) == h, "%s", again);
        CHECK(eng_config_set(c, good[i].name, "default", err) == 0 && eng_config_is_default(c, good[i].name));
        free(again);
        eng_config_free(c);
    }
}

static void refusals(void)
{
    static const struct { const char *name, *in, *says; } bad[] = {
        { "experts.k", "0", "from 1 to 12" }, { "experts.k", "13", "from 1 to 12" }, { "experts.k", "2.5", "whole number" }, { "experts.k", "1,2", "3 layers" },
        { "experts.k", "1,2,3,4", "3 layers" }, { "experts.k", "", "from 1 to 12" }, { "experts.k", "4x", "from 1 to 12" }, { "experts.k", "1,,2", "12" },
        { "experts.k", "1-2:13", "of layer 1 is a whole number from 1 to 12" }, { "experts.k", "1-3:2", "layers are 0 to 2" }, { "experts.k", "2-1:2", "layers are 0 to 2" }, { "experts.k", "1:2,", "first-last" },
        { "experts.k", "1-:2", "first-last" }, { "experts.k", "1:2:3", "first-last" }, { "experts.k", "1:0", "from 1 to 12" }, { "experts.k", "x", "from 1 to 12" }, { "experts.k", "x0", "from 1 to 12" },
        { "experts.k", "x2x", "from 1 to 12" }, { "experts.k", "x-1", "from 1 to 12" }, { "experts.k", "xinf", "from 1 to 12" }, { "kv.type", "x2", "f16" },
        { "experts.ban", "0:3", "layer 0 has no experts; layers 1 to 2" }, { "experts.ban", "1:12", "experts 0 to 11" }, { "experts.ban", "3:1", "layers are 0 to 2" },
        { "experts.ban", "-7:3", "-7:3 is not" }, { "experts.ban", "2:-9", "2:-9 is not" }, { "experts.bias", "99999999:1=1", "99999999:1 is not" },
        { "experts.ban", "1:0,1:1,1:2,1:3,1:4,1:5,1:6,1:7,1:8,1:9,1:10,1:11", "at least one must remain" }, { "experts.ban", "7", "layer:expert" },
        { "experts.bias", "1:5", "layer:expert=value" }, { "experts.bias", "1:5=nan", "=value" }, { "experts.bias", "1:5=2e9", "1000" }, { "experts.pin", "1:2,", "layer:expert" },
        { "attention.heads_off", "1:4", "heads 0 to 3" }, { "rope.scaling", "cubic", "none,linear,yarn" }, { "rope.scaling", "longrope", "does not hold" }, { "rope.factor", "0.5", "1 to 1024" },
        { "rope.theta", "inf", "number" }, { "norm.eps", "-1", "number" }, { "kv.type", "f8", "f16,f32,q8_0" }, { "sampler.temperature", "-1", "0 to 100" },
        { "ffn.width", "0,33,0", "layer 1" }, { "ffn.width", "0,33,0:magnitude", "layer 1" }, { "ffn.width", ":magnitude", "96" }, { "ffn.width", "-7", "96" },
        { "ffn.width", "7:magnitude:magnitude", "first-last" }, { "ffn.width", "7:largest", "first-last" }, { "experts.k", "2:magnitude", "first-last" }, { "ffn.width", "1000", "96" }, { "hidden_size", "128", "model.width is 64: the tensors" }, { "num_experts", "16", "experts.ban" },
        { "temprature", "1", "no knob" }, { "experts.k", "99999999999999999999", "12" },
    };
    eng_config *c = eng_config_new(m);
    uint64_t h = eng_config_hash_all(c);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        *err = 0;
        CHECK_MSG(eng_config_set(c, bad[i].name, bad[i].in, err) < 0, "%s=%s was taken", bad[i].name, bad[i].in);
        CHECK_MSG(strstr(err, bad[i].says) != NULL, "%s=%s: \"%s\" does not say \"%s\"", bad[i].name, bad[i].in, err, bad[i].says);
    }
    CHECK(eng_config_hash_all(c) == h);
    eng_config_free(c);
}

/* What the weights fix answers to its config.json names in two sentences: why, what there is to study less of it, what would change it. */
static void fixed_by_the_weights(void)
{
    static const struct { const char *name, *mask; } row[] = {
        { "num_attention_heads", "attention.heads_off" }, { "intermediate_size", "ffn.width" }, { "moe_intermediate_size", "ffn.width" },
        { "num_hidden_layers", "attention.heads_off and ffn.width" }, { "vocab", "sampler.top_k" }, { "vocab_size", "sampler.top_k" },
        { "num_experts", "experts.ban" }, { "num_key_value_heads", "kv.type" }, { "head_dim", "attention.heads_off" }, { "hidden_size", "smaller model" } };
    eng_config *c = eng_config_new(m);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (int up = 0; up < 2; up++) {
            CHECK(eng_config_set(c, row[i].name, up ? "100000" : "1", err) == Q_RANGE);
            CHECK_MSG(strstr(err, "have that shape, and no setting can change it. To study less of it: ") && strstr(err, row[i].mask) &&
                      strstr(err, "more of it takes another model, or training one."), "%s: %s", row[i].name, err);
            CHECK_MSG(strstr(err, "fixed by the weights") == NULL && strlen(err) < Q_ERRLEN - 1, "%s", err);
        }
    eng_config_free(c);
}

/* A share of the neurons, in each layer of what it has. */
static void shares(void)
{
    static const struct { const char *in, *out; } good[] = { { "50%", "48,16,16" }, { "1%", "1" }, { "100%", "0" }, { "0:3,1-2:5", "3,5,5" } };
    static const char *const bad[] = { "0%", "101%", "-5%", "5%%", "%", "50 %", "nan%", "0.5" };
    q_buf b = { 0 };
    eng_config *c = eng_config_new(m);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_MSG(eng_config_set(c, "ffn.width", good[i].in, err) == 0, "%s: %s", good[i].in, err);
        CHECK_STR(eng_config_get(c, "ffn.width", &b), good[i].out);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_MSG(eng_config_set(c, "ffn.width", bad[i], err) < 0, "%s was taken", bad[i]);
    CHECK(eng_config_set(c, "experts.k", "50%", err) < 0);       /* 0 is no "all" there */
    eng_config_free(c);
    q_buf_free(&b);
}

static void hashes_and_classes(void)
{
    static const struct { const char *name, *value; enum q_effect effect; bool forward; } rows[] = {
        { "experts.k", "2", Q_EFFECT_ROUTING, true }, { "experts.ban", "1:3", Q_EFFECT_ROUTING, true }, { "norm.eps", "0.01", Q_EFFECT_FORWARD, true },
        { "attention.heads_off", "0:0", Q_EFFECT_FORWARD, true }, { "rope.theta", "5e5", Q_EFFECT_POSITION, true }, { "rope.scaling", "linear", Q_EFFECT_POSITION, true },
        { "rope.factor", "2", Q_EFFECT_SAMPLING, false /* no scaling: does not act */ }, { "kv.type", "f32", Q_EFFECT_ALLOCATION, true },
        { "context.length", "99", Q_EFFECT_ALLOCATION, false }, { "sampler.top_k", "7", Q_EFFECT_SAMPLING, false }, { "threads", "7", Q_EFFECT_SAMPLING, false },
        { "think", "off", Q_EFFECT_PROMPT, false },
    };
    eng_config *d = eng_config_new(m);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        eng_config *c = eng_config_new(m);
        CHECK(eng_config_set(c, rows[i].name, rows[i].value, err) == 0);
        CHECK_MSG((eng_config_hash(c) != eng_config_hash(d)) == rows[i].forward, "%s", rows[i].name);
        CHECK_MSG(eng_config_diff(d, c) == rows[i].effect && eng_config_diff(c, d) == rows[i].effect, "%s: class %d", rows[i].name, eng_config_diff(d, c));
        eng_config *copy = eng_config_copy(c);
        CHECK(eng_config_hash_all(copy) == eng_config_hash_all(c) && eng_config_diff(copy, c) == Q_EFFECT_SAMPLING);
        eng_config_free(copy);
        eng_config_free(c);
    }
    CHECK(eng_config_set(d, "sampler.top_k", "7", err) == 0);
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_hash(c) == eng_config_hash(d) && eng_config_hash_all(c) != eng_config_hash_all(d));
    eng_config_free(c);
    eng_config_free(d);
}

static void labels_and_json(void)
{
    q_buf b = { 0 };
    eng_config *c = eng_config_new(m), *d = eng_config_new(m);
    CHECK_STR(eng_config_label(c, &b), "");
    CHECK_INT(eng_config_k(c), 4);
    eng_config_set(c, "experts.k", "12", err);
    eng_config_set(c, "rope.theta", "500000", err);
    eng_config_set(c, "sampler.temperature", "0", err);
    CHECK_STR(eng_config_label(c, &b), "k 12 \xc2\xb7 theta 5e5");
    eng_config_set(c, "experts.ban", "1:0,2:0,2:1", err);
    CHECK_INT(eng_config_k(c), 11);
    char *json = eng_config_json(c);
    CHECK(strstr(json, "\"experts.k\":\"12\"") && strstr(json, "\"sampler.temperature\":\"0\"") && !strstr(json, "norm.eps"));
    CHECK(eng_config_from_json(d, json, err) == 0 && eng_config_hash_all(c) == eng_config_hash_all(d));
    CHECK(eng_config_from_json(d, "{\"experts.k\":2,\"enable_thinking\":false}", err) == 0);
    CHECK_STR(get(d, "experts.k"), "2");
    CHECK_STR(get(d, "think"), "off");
    uint64_t h = eng_config_hash_all(d);
    CHECK(eng_config_from_json(d, "{\"experts.k\":3,\"experts.min_p\":7}", err) < 0 && eng_config_hash_all(d) == h);
    CHECK(eng_config_from_json(d, "[1", err) < 0 && eng_config_from_json(d, "{\"think\":[]}", err) < 0);
    free(json);
    q_buf_free(&b);
    eng_config_free(c);
    eng_config_free(d);
}

static void numbers_stay_numbers(void)
{
    q_buf b = { 0 };
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_set(c, "sampler.seed", "9007199254740991", err) == 0 && eng_config_number(c, "sampler.seed") == 9007199254740991.0);
    CHECK(eng_config_set(c, "max_tokens", "16777216", err) == 0 && eng_config_number(c, "sampler.max_tokens") == 16777216);
    CHECK(eng_config_number(c, "temperature") == atof(eng_config_get(c, "sampler.temperature", &b)));
    CHECK(isnan(eng_config_number(c, "experts.k")) && isnan(eng_config_number(c, "sampler.stop")) && isnan(eng_config_number(c, "kv.type")) &&
          isnan(eng_config_number(c, "no.such")));
    int n = eng_model_info(m)->n_expert, least = 1;
    CHECK_INT(eng_config_nudge_k(c, 1), 5);
    CHECK_STR(eng_config_get(c, "experts.k", &b), "5");
    CHECK_INT(eng_config_nudge_k(c, -100), least);
    CHECK_INT(eng_config_nudge_k(c, INT32_MAX), n);
    CHECK_INT(eng_config_nudge_k(c, INT32_MIN), least);
    CHECK_INT(eng_config_set(c, "experts.k", "2,9,12", err), 0);             /* each layer by itself */
    CHECK_INT(eng_config_nudge_k(c, 2), n);
    CHECK_STR(eng_config_get(c, "experts.k", &b), "0,11,12");     /* the first is dense */
    q_buf_free(&b);
    eng_config_free(c);
}

static void table(void)
{
    int n;
    const q_knob *k = eng_knobs(&n);
    for (int i = 0; i < n; i++) {
        CHECK_INT(k[i].id, i);
        CHECK_MSG(k[i].help && *k[i].help && strlen(k[i].help) < 120, "%s: help", k[i].name);
        CHECK_MSG((k[i].type == Q_KNOB_CHOICE) == (k[i].choices != NULL), "%s: choices", k[i].name);
        for (int j = 0; j < n; j++)    /* no name leads to two rows */
            CHECK_MSG(i == j || strcmp(k[i].name, k[j].name) != 0, "%s twice", k[i].name);
        CHECK(knob_find(k[i].name) == knob_at(i));
        for (const char *p = k[i].aka; p && *p;) {
            size_t w = strcspn(p, ",");
            char *word = q_strndup(p, w);
            CHECK_MSG(knob_find(word) == knob_at(i), "%s leads elsewhere", word);
            free(word);
            p += w + (p[w] == ',');
        }
    }
}

static void costs(void)
{
    eng_config *c = eng_config_new(m);
    eng_cost a = eng_model_cost(m, c), b;
    eng_config_set(c, "experts.k", "5", err);
    b = eng_model_cost(m, c);
    /* one more expert in each of 2 layers: gate, up and down of 64 x 32 floats */
    CHECK_INT(b.bytes_layers - a.bytes_layers, 2 * 3 * 64 * 32 * 4);
    CHECK_INT(b.params - a.params, 2 * 3 * 64 * 32);
    CHECK_INT(a.bytes_head, (64 * 320 + 64) * 4);
    eng_config_set(c, "experts.k", "12", err);
    b = eng_model_cost(m, c);
    /* half of the dense layer's neurons, and of each of 4 experts and of the shared one (64) of 2 layers: rows of gate and up */
    eng_config_set(c, "experts.k", "4", err);
    eng_config_set(c, "ffn.width", "50%", err);
    uint64_t out = 48 + 2 * (4 * 16 + 32);
    b = eng_model_cost(m, c);
    CHECK_INT(a.bytes_layers - b.bytes_layers, out * 2 * 64 * 4);
    CHECK_INT(a.params - b.params, out * 3 * 64);
    eng_config_set(c, "ffn.width", "50%:magnitude", err);      /* all are computed before the largest are known */
    b = eng_model_cost(m, c);
    CHECK_INT(a.bytes_layers, b.bytes_layers);
    CHECK_INT(a.params - b.params, out * 64);
    eng_config_set(c, "ffn.width", "0", err);
    eng_config_set(c, "experts.k", "12", err);
    b = eng_model_cost(m, c);
    uint64_t tensors = 0;
    for (int i = 0; i < gguf_n_tensors(m->file); i++)
        tensors += gguf_tensor_at(m->file, i)->bytes;
    CHECK_INT(b.bytes_layers + b.bytes_head, tensors - 64 * 320 * 4);       /* all but the embedding */
    eng_config_free(c);
}

/* Independent numbers: dim 16, theta 10000, factor 4, original 64 (see the comment of rope.c). At i = 0 the wave
 * is short: untouched; at the end it is long: divided by 4. The attention factor is 0.1 ln 4 + 1. */
static void yarn(void)
{
    static const double want[8] = { 1.0, 0.23717082451262847, 0.05, 0.00790569415042095, 0.0025, 0.0007905694150420949, 0.00025, 7.905694150420949e-05 };
    eng_config *c = eng_config_new(m);
    config_ker k;
    eng_config_set(c, "rope.scaling", "yarn", err);
    eng_config_set(c, "rope.factor", "4", err);
    eng_config_set(c, "rope.original_context", "64", err);
    config_ker_build(c, &k);
    CHECK(fabs((double)k.k.rope_mscale - 1.1386294361119891) < 1e-6);
    for (int i = 0; i < 8; i++)
        CHECK_MSG(fabs((double)k.freq[i] / want[i] - 1) < 1e-5, "%d: %.9g, expected %.9g", i, (double)k.freq[i], want[i]);
    config_ker_free(&k);
    eng_config_free(c);
}

/* ---- files that are not models ---- */
static void says(const char *what, const char *path, const char *word)
{
    eng_model *x = NULL;
    *err = 0;
    int rc = eng_model_open(path, NULL, &x, err);
    CHECK_MSG(rc < 0 && !x && strstr(err, word), "%s: %d \"%s\" does not say \"%s\"", what, rc, err, word);
}

typedef struct edit { const char *key; int mode; uint32_t value; const char *text; } edit;    /* mode 0 drop, 1 u32, 2 text */

static int copy_tensor(void *user, void *dst, size_t bytes, char *e)
{
    const gguf_tensor *t = user;
    (void)e;
    memcpy(dst, t->data, bytes);
    return 0;
}

/* The golden model with one key changed or one tensor left out. */
static char *edited(const edit *e, const char *without)
{
    gguf_writer *w = gguf_writer_new();
    for (int i = 0; i < gguf_n_kv(m->file); i++) {
        const gguf_kv *kv = gguf_kv_at(m->file, i);
        char *key = q_strndup(kv->key.p, kv->key.n);
        if (!e || strcmp(key, e->key) != 0)
            gguf_put_kv(w, key, kv);
        free(key);
    }
    if (e && e->mode == 1)
        gguf_put_u32(w, e->key, e->value);
    if (e && e->mode == 2)
        gguf_put_str(w, e->key, e->text);
    for (int i = 0; i < gguf_n_tensors(m->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        char *name = q_strndup(t->name.p, t->name.n);
        if (!without || strcmp(name, without) != 0)
            gguf_put_tensor(w, name, t->type, t->n_dims, t->ne, copy_tensor, (void *)(uintptr_t)t);
        free(name);
    }
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/edited-%ld.gguf", build ? build : "build", (long)getpid());
    CHECK_MSG(gguf_write(w, path, NULL, NULL, err) == 0, "%s", err);
    gguf_writer_free(w);
    return path;
}

static void bad_models(void)
{
    static const struct { edit e; const char *says; } rows[] = {
        { { "general.architecture", 2, 0, "bloom" }, "knows qwen3moe" }, { { "general.architecture", 0, 0, NULL }, "general.architecture" },
        { { "glm4moe.block_count", 0, 0, NULL }, "glm4moe.block_count is missing" }, { { "glm4moe.block_count", 1, 0, NULL }, "from 1 to" },
        { { "glm4moe.block_count", 1, 4, NULL }, "blk.3.attn_norm.weight is missing" }, { { "glm4moe.block_count", 2, 0, "three" }, "not a number" },
        { { "glm4moe.embedding_length", 1, 128, NULL }, "expected 128" }, { { "glm4moe.attention.head_count", 1, 0, NULL }, "from 1 to" },
        { { "glm4moe.attention.head_count_kv", 1, 3, NULL }, "share" }, { { "glm4moe.attention.key_length", 1, 4000000000u, NULL }, "4096" },
        { { "glm4moe.rope.dimension_count", 1, 15, NULL }, "even" }, { { "glm4moe.expert_used_count", 1, 13, NULL }, "from 1 to 12" },
        { { "glm4moe.expert_count", 1, 11, NULL }, "expected" }, { { "glm4moe.expert_gating_func", 1, 7, NULL }, "gating" },
        { { "glm4moe.rope.scaling.type", 2, 0, "longrope" }, "longrope" }, { { "glm4moe.expert_group_count", 1, 4, NULL }, "expert_group_used_count is missing" },
        { { "glm4moe.feed_forward_length", 1, 95, NULL }, "blk.0.ffn_gate.weight is 64 x 96, expected 64 x 95" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = edited(&rows[i].e, NULL);
        says(rows[i].e.key, path, rows[i].says);
        remove(path);
        free(path);
    }
    char *path = edited(NULL, "blk.2.ffn_down_exps.weight");
    says("missing tensor", path, "blk.2.ffn_down_exps.weight is missing");
    remove(path);
    free(path);
    says("no file", "/nowhere/at/all.gguf", "all.gguf");
}

/* A file whose last tensor is said to be 4 TiB (a hole on the disk): refused before anything is allocated. */
static void too_big(void)
{
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/big-%ld.gguf", build ? build : "build", (long)getpid());
    const gguf_tensor *last = gguf_tensor_at(m->file, 0);
    for (int i = 1; i < gguf_n_tensors(m->file); i++)
        if (gguf_tensor_at(m->file, i)->offset > last->offset)
            last = gguf_tensor_at(m->file, i);
    q_buf head = { 0 };
    const char *start = (const char *)last->data - last->offset;
    q_buf_add(&head, start, gguf_data_offset(m->file));
    /* in the header: name, u32 dimensions, u64 each; the last dimension grows */
    char *at = memmem(head.p, head.len, last->name.p, last->name.n);
    CHECK(at != NULL && last->n_dims >= 1);
    if (!at)
        return;
    uint64_t rest = last->bytes / (uint64_t)last->ne[last->n_dims - 1], n = ((uint64_t)4 << 40) / rest, size = last->offset + n * rest;
    memcpy(at + last->name.n + 4 + 8 * (size_t)(last->n_dims - 1), &n, sizeof n);
    FILE *f = fopen(path, "wb");
    bool made = f && fwrite(head.p, 1, head.len, f) == head.len && fflush(f) == 0 && ftruncate(fileno(f), (off_t)size) == 0;
    if (f)
        fclose(f);
    if (made) {
        says("4 TiB", path, "of memory are free: a");
        CHECK_MSG(strstr(err, "needs 4") && strstr(err, "GiB") && strstr(err, "would fit"), "%s", err);
    } else {
        printf("# this file system has no room for a hole of 4 TiB: not tested\n");
    }
    remove(path);
    free(path);
    q_buf_free(&head);
}

/* sampler.grammar is read when it is set: its text belongs to the settings, in whatever state the file is later. */
static void a_file_is_read_once(void)
{
    char path[] = "/tmp/quorum-knob-XXXXXX", why[Q_ERRLEN];
    int fd = mkstemp(path);
    eng_config *a = eng_config_new(m), *b = eng_config_new(m), *back = eng_config_new(m);
    CHECK(fd >= 0 && write(fd, "root ::= \"a\"\n", 13) == 13);
    close(fd);
    CHECK_INT(eng_config_set(a, "sampler.grammar", path, why), 0);
    CHECK_STR(get(a, "sampler.grammar"), path);
    CHECK(q_write_file_atomic(path, "root ::= \"b\"\n", 13, why) == Q_OK && eng_config_set(b, "sampler.grammar", path, why) == 0);
    CHECK(eng_config_hash_all(a) != eng_config_hash_all(b) && eng_config_hash(a) == eng_config_hash(b));
    CHECK_INT(eng_config_diff(a, b), Q_EFFECT_SAMPLING);
    CHECK(q_write_file_atomic(path, "root ::= b\n", 11, why) == Q_OK && eng_config_set(b, "sampler.grammar", path, why) == Q_FORMAT);
    CHECK(strstr(why, path) && strstr(why, "line 1, column 10"));
    CHECK_STR(get(b, "sampler.grammar"), path);            /* what was there stays */
    CHECK(remove(path) == 0 && eng_config_set(b, "sampler.grammar", path, why) == Q_IO);
    char *json = eng_config_json(a);
    CHECK(eng_config_from_json(back, json, why) == 0 && eng_config_hash_all(back) == eng_config_hash_all(a));
    CHECK_STR(get(back, "sampler.grammar"), path);
    CHECK(eng_config_set(back, "sampler.grammar", "off", why) == 0 && eng_config_is_default(back, "sampler.grammar"));
    free(json);
    eng_config_free(a);
    eng_config_free(b);
    eng_config_free(back);
}

int main(void)
{
    char *path = util_model("glm4moe");
    int rc = eng_model_open(path, NULL, &m, err);
    remove(path);
    free(path);
    if (rc) {
        printf("not ok test_engine_config: %s\n", err);
        return 1;
    }
    RUN(values_in_and_out);
    RUN(refusals);
    RUN(fixed_by_the_weights);
    RUN(shares);
    RUN(hashes_and_classes);
    RUN(labels_and_json);
    RUN(a_file_is_read_once);
    RUN(numbers_stay_numbers);
    RUN(table);
    RUN(costs);
    RUN(yarn);
    RUN(bad_models);
    RUN(too_big);
    eng_model_free(m);
    return TEST_END();
}
