/* tests: carving a tiny dense model made here, what carving refuses, and the real source where it is at hand. */
#include "engine/engine.h"
#include "engine/gguf.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <unistd.h>

enum { LAYERS = 2, EMBD = 64, FF = 128, HEADS = 2, HEAD = 32, VOCAB = 16, SHARED = 64, EXPERTS = 2, EXPERT = 32 };

static char err[Q_ERRLEN];
static char dir[] = "/tmp/quorum-test-XXXXXX";
static char source[128], recipe[128], out[128];

/* A number that tells tensor, row and column apart. */
static float value(int tensor, int i) { return sinf((float)(tensor * 7919 + i) * 0.37f); }

static int fill_values(void *user, void *dst, size_t bytes, char *e)
{
    for (size_t i = 0; i < bytes / 4; i++) ((float *)dst)[i] = value((int)(intptr_t)user, (int)i);
    return Q_OK;
}

static bool bad_order;
static int neuron(int place) { return bad_order && place == 5 ? 0 : (place * 37 + 11) % FF; }

static int fill_perm(void *user, void *dst, size_t bytes, char *e)
{
    for (int i = 0; i < FF; i++) ((int16_t *)dst)[i] = (int16_t)neuron(i);
    return Q_OK;
}

static int fill_half(void *user, void *dst, size_t bytes, char *e)
{
    for (size_t i = 0; i < bytes / 2; i++) ((uint16_t *)dst)[i] = ker_f32_to_f16(value(900, (int)i));
    return Q_OK;
}

static void put(gguf_writer *w, const char *name, int64_t ne0, int64_t ne1, int id)
{
    gguf_put_tensor(w, name, KER_F32, ne1 > 1 ? 2 : 1, (int64_t[]){ne0, ne1}, fill_values, (void *)(intptr_t)id);
}

enum { EMBD_ID = 1, NORM_ID, FIRST_ID = 10, PER_LAYER = 10 };
static const struct { const char *name; int ne0, ne1; } layer_tensors[] = {
    {"attn_norm", EMBD, 1}, {"attn_q", EMBD, HEADS * HEAD}, {"attn_k", EMBD, HEAD}, {"attn_v", EMBD, HEAD},
    {"attn_output", HEADS * HEAD, EMBD}, {"ffn_norm", EMBD, 1}, {"ffn_gate", EMBD, FF}, {"ffn_up", EMBD, FF}, {"ffn_down", FF, EMBD}};
enum { Q = 1, K = 2, GATE = 6, UP = 7, DOWN = 8 };
static int id_of(int layer, int tensor) { return FIRST_ID + layer * PER_LAYER + tensor; }

static void make_source(bool extra)
{
    gguf_writer *w = gguf_writer_new();
    gguf_put_str(w, "general.architecture", "llama");
    gguf_put_str(w, "general.name", "tiny");
    gguf_put_u32(w, "llama.block_count", LAYERS);
    gguf_put_u32(w, "llama.embedding_length", EMBD);
    gguf_put_u32(w, "llama.feed_forward_length", FF);
    gguf_put_u32(w, "llama.attention.head_count", HEADS);
    gguf_put_u32(w, "llama.attention.head_count_kv", 1);
    gguf_put_u32(w, "llama.rope.dimension_count", HEAD);
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    put(w, "token_embd.weight", EMBD, VOCAB, EMBD_ID);
    put(w, "output_norm.weight", EMBD, 1, NORM_ID);
    for (int l = 0; l < LAYERS; l++)
        for (int t = 0; t <= DOWN; t++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, layer_tensors[t].name);
            put(w, name, layer_tensors[t].ne0, layer_tensors[t].ne1, id_of(l, t));
        }
    if (extra) put(w, "rope_freqs.weight", HEAD / 2, 1, 3);
    CHECK_INT(gguf_write(w, source, NULL, NULL, err), Q_OK);
    gguf_writer_free(w);
}

static void make_recipe(const char *sha)
{
    gguf_writer *w = gguf_writer_new();
    gguf_put_str(w, "general.architecture", "carve");
    if (sha) gguf_put_str(w, "carve.source.sha256", sha);
    gguf_put_str(w, "carve.source.name", "tiny");
    gguf_put_u32(w, "carve.shared_size", SHARED);
    gguf_put_u32(w, "carve.expert_count", EXPERTS);
    gguf_put_u32(w, "carve.expert_size", EXPERT);
    gguf_put_u32(w, "carve.expert_used_count", 1);
    gguf_put_u32(w, "carve.leading_dense", 1);
    gguf_put_tensor(w, "blk.1.ffn_perm", KER_I16, 1, (int64_t[]){FF}, fill_perm, NULL);
    gguf_put_tensor(w, "blk.1.ffn_gate_inp.weight", KER_F16, 2, (int64_t[]){EMBD, EXPERTS}, fill_half, NULL);
    put(w, "blk.1.exp_probs_b.bias", EXPERTS, 1, 4);
    CHECK_INT(gguf_write(w, recipe, NULL, NULL, err), Q_OK);
    gguf_writer_free(w);
}

static const float *numbers(const gguf_file *f, const char *name, int ne0, int ne1, int ne2)
{
    const gguf_tensor *t = gguf_tensor_find(f, name);
    CHECK_MSG(t && t->type == KER_F32 && t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == ne2, "%s", name);
    return t ? t->data : NULL;
}

static void tiny_model(void)
{
    char sha[65];
    make_source(false);
    CHECK_INT(q_sha256_file(source, sha, err), Q_OK);
    make_recipe(sha);
    int rc = eng_carve(source, recipe, out, false, NULL, NULL, err);
    CHECK_MSG(rc == Q_OK, "%s", err);
    gguf_file *f = NULL;
    if (rc || gguf_open(out, &f, err)) return;
    gguf_str s;
    uint64_t u;
    CHECK(gguf_string(f, "general.architecture", &s) && s.n == 7 && !memcmp(s.p, "glm4moe", 7));
    CHECK(gguf_string(f, "general.name", &s) && s.n == 19 && !memcmp(s.p, "tiny carved 64+2x32", 19));
    CHECK(gguf_u64(f, "glm4moe.expert_shared_count", &u) && u == SHARED / EXPERT);
    CHECK(gguf_u64(f, "glm4moe.leading_dense_block_count", &u) && u == 1);
    CHECK(gguf_find(f, "llama.block_count") == NULL && gguf_find(f, "glm4moe.block_count") != NULL);

    /* Neurons: rows of gate and up, shared first, then expert by expert; layer 0 stays dense. */
    const float *p = numbers(f, "blk.1.ffn_gate_shexp.weight", EMBD, SHARED, 1);
    for (int i = 0; p && i < SHARED * EMBD; i++) CHECK(p[i] == value(id_of(1, GATE), neuron(i / EMBD) * EMBD + i % EMBD));
    p = numbers(f, "blk.1.ffn_up_exps.weight", EMBD, EXPERT, EXPERTS);
    for (int i = 0; p && i < EXPERTS * EXPERT * EMBD; i++)
        CHECK(p[i] == value(id_of(1, UP), neuron(SHARED + i / EMBD) * EMBD + i % EMBD));
    p = numbers(f, "blk.0.ffn_down.weight", FF, EMBD, 1);
    for (int i = 0; p && i < FF * EMBD; i++) CHECK(p[i] == value(id_of(0, DOWN), i));

    /* Columns of down, encoded as Q8_0: within half a step of the block's scale (values are at most 1). */
    const gguf_tensor *t = gguf_tensor_find(f, "blk.1.ffn_down_exps.weight");
    CHECK(t && t->type == KER_Q8_0 && t->ne[0] == EXPERT && t->ne[1] == EMBD && t->ne[2] == EXPERTS);
    float x[EXPERTS * EMBD * EXPERT];
    if (t) ker_type_get(KER_Q8_0)->decode(t->data, x, EXPERTS * EMBD * EXPERT);
    for (int i = 0; t && i < EXPERTS * EMBD * EXPERT; i++) {
        int e = i / (EMBD * EXPERT), row = i / EXPERT % EMBD, j = i % EXPERT;
        CHECK(fabsf(x[i] - value(id_of(1, DOWN), row * FF + neuron(SHARED + e * EXPERT + j))) < 1.1f / 127);
    }

    /* Rotation: adjacent pairs (2i, 2i+1) became (i, i + d/2) within each head. */
    p = numbers(f, "blk.1.attn_q.weight", EMBD, HEADS * HEAD, 1);
    for (int h = 0; p && h < HEADS; h++)
        for (int i = 0; i < HEAD / 2; i++) {
            CHECK(p[(h * HEAD + i) * EMBD] == value(id_of(1, Q), (h * HEAD + 2 * i) * EMBD));
            CHECK(p[(h * HEAD + HEAD / 2 + i) * EMBD] == value(id_of(1, Q), (h * HEAD + 2 * i + 1) * EMBD));
        }

    /* Router: R = 1e-3 W, c = 1e-3 b / 4. */
    p = numbers(f, "blk.1.ffn_gate_inp.weight", EMBD, EXPERTS, 1);
    for (int i = 0; p && i < EMBD * EXPERTS; i++) CHECK(p[i] == ker_f16_to_f32(ker_f32_to_f16(value(900, i))) * 1e-3f);
    p = numbers(f, "blk.1.exp_probs_b.bias", EXPERTS, 1, 1);
    for (int i = 0; p && i < EXPERTS; i++) CHECK(fabsf(p[i] - value(4, i) * 0.00025f) <= 1e-11f);
    gguf_close(f);
}

static void expect_refusal(bool force, const char *words)
{
    unlink(out);
    int rc = eng_carve(source, recipe, out, force, NULL, NULL, err);
    CHECK(rc < 0);
    CHECK_MSG(rc < 0 && strstr(err, words), "\"%s\" lacks \"%s\"", err, words);
    CHECK(access(out, F_OK) != 0);
}

static void refusals(void)
{
    make_source(false);
    make_recipe("0000000000000000000000000000000000000000000000000000000000000000");
    expect_refusal(false, "not the file this recipe is for");
    CHECK_INT(eng_carve(source, recipe, out, true, NULL, NULL, err), Q_OK);
    make_recipe(NULL);
    expect_refusal(false, "does not name its source");
    bad_order = true;
    make_recipe(NULL);
    expect_refusal(true, "not an order of 128 neurons");
    bad_order = false;
    make_recipe(NULL);
    make_source(true);
    expect_refusal(true, "rope_freqs.weight");
    /* the two files exchanged */
    char swap[128];
    memcpy(swap, source, sizeof swap);
    memcpy(source, recipe, sizeof source);
    expect_refusal(true, "not a dense llama model");
    memcpy(source, swap, sizeof source);
}

/* The released source: the very file that the specification (apply.py) writes. */
static void real_model(void)
{
    static const char want[] = "62f3ca3743f80641afd2fb0d9940bf72454c431fd4007e454b465d8f820f454e";
    char sha[65];
    char *in = q_user_path(Q_DIR_CACHE, "fetch/SmolLM2-135M-Instruct.Q4_1.gguf");
    char *r = q_share_path("engine/recipes/smollm2-135m-instruct.carve.gguf");
    CHECK(r != NULL);
    int rc = eng_carve(in, r ? r : "", out, false, NULL, NULL, err);
    CHECK_MSG(rc == Q_OK, "%s", err);
    if (rc == Q_OK && q_sha256_file(out, sha, err) == Q_OK) CHECK_STR(sha, want);
    free(in);
    free(r);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    snprintf(source, sizeof source, "%s/source.gguf", dir);
    snprintf(recipe, sizeof recipe, "%s/recipe.gguf", dir);
    snprintf(out, sizeof out, "%s/out.gguf", dir);
    RUN(tiny_model);
    RUN(refusals);
    char *in = q_user_path(Q_DIR_CACHE, "fetch/SmolLM2-135M-Instruct.Q4_1.gguf");
    if (access(in, R_OK) == 0) RUN(real_model);
    else SKIP("real_model", "the source model is not in the cache (quorum model fetch)");
    free(in);
    unlink(source);
    unlink(recipe);
    unlink(out);
    rmdir(dir);
    return TEST_END();
}
