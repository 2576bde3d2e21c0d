/* tests: carving a tiny dense model made here, what carving refuses, and the real source where it is at hand. */
#include "engine/models.h"
#include "tests/rewrite.h"
#include "tests/tiny.h"

#include <unistd.h>

static char out[128];

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
    /* neither of its two files is written over */
    make_source(false);
    CHECK(eng_carve(source, recipe, source, true, NULL, NULL, err) == Q_RANGE && strstr(err, "would lose it"));
    CHECK(eng_carve(source, recipe, recipe, true, NULL, NULL, err) == Q_RANGE && strstr(err, "would lose it"));
    CHECK_MSG(eng_carve(source, recipe, out, true, NULL, NULL, err) == Q_OK, "%s", err);
    make_source(true);
    /* the two files exchanged */
    char swap[128];
    memcpy(swap, source, sizeof swap);
    memcpy(source, recipe, sizeof source);
    expect_refusal(true, "not a dense llama model");
    memcpy(source, swap, sizeof source);
}

static void more_keys(gguf_writer *w)
{
    gguf_put_u32(w, "llama.expert_count", 0);
    gguf_put_u32(w, "llama.leading_dense_block_count", 2);
    gguf_put_f32(w, "quorum.router_scale", 7);
    gguf_put_u32(w, "glm4moe.block_count", 9);
    gguf_put_u32(w, "llama.vocab_size", VOCAB);
}

/* What the source says of experts, or in our own names, is not written beside what the result says. */
static void keys_of_the_source_do_not_double(void)
{
    gguf_file *f = NULL;
    uint64_t n = 0;
    double scale = 0;
    make_source(false);
    make_recipe(NULL);
    CHECK_INT(gguf_open(source, &f, err), Q_OK);
    CHECK_INT(rewrite_model(&(rewrite){.from = f, .type = -1, .more = more_keys}, source, err), Q_OK);
    gguf_close(f);
    CHECK_MSG(eng_carve(source, recipe, out, true, NULL, NULL, err) == Q_OK, "%s", err);
    CHECK_MSG(gguf_open(out, &f, err) == Q_OK, "%s", err);
    if (!f) return;
    CHECK(gguf_u64(f, "glm4moe.expert_count", &n) && n == EXPERTS);
    CHECK(gguf_u64(f, "glm4moe.leading_dense_block_count", &n) && n == 1);
    CHECK(gguf_u64(f, "glm4moe.block_count", &n) && n == LAYERS);
    CHECK(gguf_u64(f, "glm4moe.vocab_size", &n) && n == VOCAB);
    CHECK(gguf_f64(f, "quorum.router_scale", &scale) && scale < .01);
    gguf_close(f);
}

static void write_bytes(const char *path, const q_buf *b)
{
    FILE *f = fopen(path, "wb");
    if (f) fwrite(b->p, 1, b->len, f), fclose(f);
}

/* Headers with bytes changed: a result or a sentence, never a crash (make asan looks closer; QUORUM_LONG does more). */
static void mutated_files(void)
{
    make_source(false);
    make_recipe(NULL);
    q_buf whole[2] = {{0}, {0}}, said = {0};
    const char *const path[2] = {source, recipe};
    uint64_t r = 12345;
    int refused = 0, rounds = getenv("QUORUM_LONG") ? 3000 : 150;
    for (int i = 0; i < 2; i++) CHECK_INT(q_read_file(path[i], &whole[i], 1 << 24, err), Q_OK);
    for (int n = 0; n < rounds; n++) {
        int which = n % 2;
        q_buf b = {0};
        q_buf_add(&b, whole[which].p, whole[which].len);
        size_t head = b.len < 1600 ? b.len : 1600;
        for (int k = 0; k < 1 + n % 3; k++) {
            r = q_mix64(r, (uint64_t)n);
            b.p[r % head] = r >> 60 & 1 ? (char)(r >> 32) : (char)(b.p[r % head] ^ (1 << (r >> 40 & 7)));
        }
        if (n % 7 == 0) b.len = (size_t)(r >> 8) % b.len;
        write_bytes(path[which], &b);
        q_buf_free(&b);
        err[0] = 0;
        int rc = eng_carve(source, recipe, out, true, NULL, NULL, err);
        CHECK_MSG(rc == Q_OK || err[0], "no sentence in round %d", n);
        refused += rc != Q_OK;
        q_buf_clear(&said);
        rc = eng_describe(path[which], n % 4 > 1, &said, err);
        CHECK(rc != Q_OK || q_utf8_valid(said.p, said.len));
        write_bytes(path[which], &whole[which]);
    }
    CHECK_MSG(refused > rounds / 4 && refused < rounds, "%d of %d refused", refused, rounds);
    for (int i = 0; i < 2; i++) q_buf_free(&whole[i]);
    q_buf_free(&said);
}

/* The released source: the very file that the specification (apply.py) writes. */
static void real_model(void)
{
    static const char want[] = "62f3ca3743f80641afd2fb0d9940bf72454c431fd4007e454b465d8f820f454e";
    char sha[65];
    char *in = q_user_path(Q_DIR_CACHE, "fetch/SmolLM2-135M-Instruct.Q4_1.gguf");
    char *r = q_share_path("engine/recipes/smollm2-135m-instruct.carve.gguf");
    CHECK(r != NULL);
    unlink(out);
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
    RUN(keys_of_the_source_do_not_double);
    RUN(mutated_files);
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
