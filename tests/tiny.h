/* tests: a tiny dense llama and a recipe for it, written to files; for the tests of carving and fetching. */
#ifndef QUORUM_TINY_H
#define QUORUM_TINY_H
#include "engine/file/gguf.h"
#include "kernels/kernels.h"
#include "tests/test.h"

enum { LAYERS = 2, EMBD = 64, FF = 128, HEADS = 2, HEAD = 32, VOCAB = 16, SHARED = 64, EXPERTS = 2, EXPERT = 32 };

static char err[Q_ERRLEN];
__attribute__((unused)) static char dir[] = "/tmp/quorum-test-XXXXXX";
__attribute__((unused)) static char source[128], recipe[128];

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

static inline void make_source(bool extra)
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

static inline void make_recipe(const char *sha)
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

#endif
