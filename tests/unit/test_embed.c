/* Embedding: models of BERT's kind against numpy's numbers (tests/golden/embed), the same bytes whatever the batch, the threads
 * and the processor, windows, cancelling, files that are damaged; and where they are, the real models against their goldens. */
#include "engine/embed/embedder.h"
#include "engine/engine.h"
#include "engine/models.h"
#include "kernels/cpu/vec.h"
#include "tests/embed_fixture.h"
#include "tests/engine_util.h"
#include "tests/test.h"

static char err[Q_ERRLEN];

static double cosine(const float *a, const float *b, int n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static void numbers(const cJSON *list, float *to)
{
    const cJSON *x;
    cJSON_ArrayForEach(x, list) *to++ = (float)x->valuedouble;
}

/* ---- real models, where they are ---- */

/* The least cosine of a file's cases of up to `most` tokens against what stands under `key`. */
static double least(eng_embedder *e, const cJSON *cases, const char *key, int most, int *n)
{
    const cJSON *c;
    double worst = 1;
    int dim = eng_embedder_info_of(e)->dim;
    float *got = q_alloc(sizeof *got * (size_t)dim), *want = q_alloc(sizeof *want * (size_t)dim);
    cJSON_ArrayForEach(c, cases) {
        const cJSON *prefix = cJSON_GetObjectItem(c, "prefix");
        const char *text = cJSON_GetObjectItem(c, "text")->valuestring;
        size_t len = strlen(text);
        enum eng_embed_as as = !prefix ? ENG_EMBED_PLAIN : strcmp(prefix->valuestring, "query: ") == 0 ? ENG_EMBED_QUERY : ENG_EMBED_PASSAGE;
        if (eng_embed_count(e, as, text, len, err) > most) continue;
        (*n)++;
        CHECK_INT(cJSON_GetArraySize(cJSON_GetObjectItem(c, key)), dim);
        numbers(cJSON_GetObjectItem(c, key), want);
        CHECK_MSG(eng_embed(e, as, &text, &len, 1, got, NULL, NULL, err) == Q_OK, "%s", err);
        double at = cosine(got, want, dim);
        worst = at < worst ? at : worst;
    }
    free(got);
    free(want);
    return worst;
}

/* MiniLM's goldens were cut at 256 tokens, which is not what we do with a longer text. */
static void real(const char *name, const char *env, const char *json, const char *exact_key, const char *int8_key, int most)
{
    const char *path = getenv(env);
    cJSON *g = util_json("../shared/data", q_strdup(json));
    if (!path || !g) {
        printf("skip %s: %s names no model, or ../shared/data/%s is not there\n", name, env, json);
        cJSON_Delete(g);
        return;
    }
    const cJSON *cases = cJSON_GetObjectItem(g, "cases");
    for (int exact = 0; exact < 2; exact++) {
        eng_embedder *e = NULL;
        CHECK_MSG(embed_open(path, 0, exact, &e, err) == Q_OK, "%s", err);
        if (!e) continue;
        int n = 0;
        double at = least(e, cases, exact_key, most, &n), limit = exact ? .99999 : .9995;
        printf("# %s, %s: least cosine of %d: %.8f\n", name, exact ? "F32" : "int8", n, at);
        CHECK(n > 10);
        CHECK_MSG(at >= limit, "%.8f", at);
        if (!exact && int8_key) {
            at = least(e, cases, int8_key, most, &n);
            printf("# %s, int8 against int8: least cosine %.8f\n", name, at);
            CHECK_MSG(at >= limit, "%.8f", at);
        }
        eng_embedder_close(e);
    }
    cJSON_Delete(g);
    printf("%s %s\n", test_bad ? "not ok" : "ok", name);
    test_failed += test_bad != 0;
    test_bad = 0;
}

/* ---- tiny models ---- */

/* n letters in words of up to 17, by the same rule as make.py's; malloc'ed. */
static char *letters(int n)
{
    q_buf b = { 0 };
    for (int i = 0; i < n; i++) {
        if (i && i % 17 == 0) q_buf_putc(&b, ' ');
        q_buf_putc(&b, (char)('a' + (i * i + 3 * i) % 16));
    }
    return q_buf_take(&b);
}

static eng_embedder *tiny_open(const tiny_embedder *t, int threads, bool exact, int *rc)
{
    eng_embedder *e = NULL;
    char *path = tiny_file(t, err);
    CHECK_MSG(path != NULL, "%s", err);
    *rc = path ? embed_open(path, threads, exact, &e, err) : Q_ERR;
    if (path) unlink(path);                        /* what is mapped stays */
    free(path);
    return e;
}

static const tiny_embedder *tiny_named(const char *name)
{
    return strcmp(name, "bert") == 0 ? &TINY_BERT : strcmp(name, "odd") == 0 ? &TINY_ODD : &TINY_NOMIC;
}

/* The largest difference of a model's vectors from numpy's, over all lengths; texts go in at once. */
static double golden_gap(const cJSON *model, const cJSON *lengths, int type, double *least_cosine)
{
    tiny_embedder t = *tiny_named(cJSON_GetObjectItem(model, "name")->valuestring);
    t.pool = (int)cJSON_GetObjectItem(model, "pool")->valuedouble;
    t.type = type;
    int rc, n = cJSON_GetArraySize(lengths);
    double gap = 0;
    eng_embedder *e = tiny_open(&t, 2, false, &rc);
    CHECK_MSG(e != NULL, "%s", err);
    if (!e) return INFINITY;
    char *text[16];
    size_t len[16];
    float got[16 * 32], want[32];
    for (int i = 0; i < n; i++) len[i] = strlen(text[i] = letters((int)cJSON_GetArrayItem(lengths, i)->valuedouble));
    CHECK_MSG(eng_embed(e, ENG_EMBED_PLAIN, (const char *const *)text, len, n, got, NULL, NULL, err) == Q_OK, "%s", err);
    for (int i = 0; i < n; i++) {
        numbers(cJSON_GetArrayItem(cJSON_GetObjectItem(model, "vectors"), i), want);
        double c = cosine(got + i * t.width, want, t.width);
        *least_cosine = c < *least_cosine ? c : *least_cosine;
        for (int d = 0; d < t.width; d++) gap = fmax(gap, fabs((double)got[i * t.width + d] - (double)want[d]));
        free(text[i]);
    }
    eng_embedder_close(e);
    return gap;
}

static void tiny_models_equal_numpy(void)
{
    cJSON *g = util_json("tests/golden/embed", q_strdup("tiny.json"));
    const cJSON *model;
    CHECK(g != NULL);
    cJSON_ArrayForEach(model, cJSON_GetObjectItem(g, "models")) {
        double c = 1, gap = golden_gap(model, cJSON_GetObjectItem(g, "lengths"), KER_F32, &c);
        printf("# %s, pooling %d: off by %.2g\n", cJSON_GetObjectItem(model, "name")->valuestring, (int)cJSON_GetObjectItem(model, "pool")->valuedouble, gap);
        CHECK_MSG(gap < 5e-6, "%g", gap);
    }
    cJSON_Delete(g);
}

/* Weights in eight bits and activations with them: near the same numbers, and not the very same. */
static void eight_bits_come_near(void)
{
    cJSON *g = util_json("tests/golden/embed", q_strdup("tiny.json"));
    const cJSON *model;
    cJSON_ArrayForEach(model, cJSON_GetObjectItem(g, "models")) {
        if (strcmp(cJSON_GetObjectItem(model, "name")->valuestring, "odd") == 0) continue;     /* its rows fill no block */
        double c = 1, gap = golden_gap(model, cJSON_GetObjectItem(g, "lengths"), KER_Q8_0, &c);
        CHECK_MSG(c > .995, "%g", c);
        CHECK(gap > 1e-5);
    }
    cJSON_Delete(g);
}

enum { MANY = 9 };
static const int LENGTHS[MANY] = { 3, 0, 64, 65, 1, 514, 7, 12, 63 };

/* All of LENGTHS; one call each where `alone`. */
static void many(const tiny_embedder *t, int threads, bool alone, float *out)
{
    int rc;
    char *text[MANY];
    size_t len[MANY];
    eng_embedder *e = tiny_open(t, threads, false, &rc);
    CHECK_MSG(e != NULL, "%s", err);
    for (int i = 0; i < MANY; i++) len[i] = strlen(text[i] = letters(LENGTHS[i]));
    for (int i = 0; e && i < (alone ? MANY : 1); i++)
        CHECK_MSG(eng_embed(e, ENG_EMBED_PLAIN, (const char *const *)text + i, len + i, alone ? 1 : MANY, out + i * t->width, NULL, NULL, err) == Q_OK, "%s", err);
    for (int i = 0; i < MANY; i++) free(text[i]);
    eng_embedder_close(e);
}

static void the_same_bytes_whatever_the_batch_threads_and_processor(void)
{
    tiny_embedder kinds[] = { TINY_BERT, TINY_NOMIC, TINY_ODD };
    kinds[0].type = KER_Q4_0;
    kinds[1].type = KER_Q8_0;
    for (int k = 0; k < 3; k++) {
        float first[MANY * 32], got[MANY * 32];
        size_t bytes = sizeof *got * (size_t)(MANY * kinds[k].width);
        many(&kinds[k], 1, true, first);
        for (int s = 0; ker_cpu_path(s); s++) {
            CHECK_INT(ker_cpu_force(ker_cpu_path(s)), 0);
            for (int way = 0; way < 2; way++) {
                many(&kinds[k], way ? 3 : 1, !way, got);
                CHECK_MSG(memcmp(first, got, bytes) == 0, "model %d, %s, way %d", k, ker_cpu_path(s), way);
            }
        }
        ker_cpu_force(NULL);
    }
}

static void vector_curves_equal_the_library_and_each_other(void)
{
    enum { N = 4003 };
    float x[N], first[N], norm[2][N], w[N], b[N];
    double worst = 0, mean = 0, var = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (float)(24 * tiny_draw(7, (uint64_t)i));
        w[i] = (float)(1 + tiny_draw(8, (uint64_t)i));
        b[i] = (float)tiny_draw(9, (uint64_t)i);
        mean += (double)x[i] / N;
    }
    for (int i = 0; i < N; i++) var += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
    for (int s = 0; ker_cpu_path(s); s++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(s)), 0);
        const vec_ops *v = vec_get();
        float y[N];
        memcpy(y, x, sizeof y);
        v->gelu(y, N);
        v->layernorm(x, w, b, N, 1e-5f, norm[s > 0]);
        if (s == 0) memcpy(first, y, sizeof y);
        CHECK(memcmp(first, y, sizeof y) == 0 && memcmp(norm[0], norm[s > 0], sizeof y) == 0);
    }
    ker_cpu_force(NULL);
    for (int i = 0; i < N; i++) {
        double a = (double)x[i], want = a * .5 * (1 + erf(a / sqrt(2))), n = (a - mean) / sqrt(var + 1e-5) * (double)w[i] + (double)b[i];
        worst = fmax(worst, fabs(want - (double)first[i]) / fmax(1, fabs(a)));
        CHECK_MSG(fabs(n - (double)norm[0][i]) < 1e-5, "%g %g", n, (double)norm[0][i]);
    }
    printf("# GELU off by %.2g of the input\n", worst);
    CHECK(worst < 2.5e-7);
}

/* ---- stopping ---- */

typedef struct stop { int asked, at; } stop;
static bool go(void *user) { stop *s = user; return s->asked++ != s->at; }

static void stopping_is_asked_before_each_layer(void)
{
    int rc;
    float whole[2 * 32], again[2 * 32];
    char *text[2] = { letters(3000), letters(40) };
    size_t len[2] = { strlen(text[0]), strlen(text[1]) };
    eng_embedder *e = tiny_open(&TINY_BERT, 2, false, &rc);
    stop never = { 0, -1 };
    CHECK(eng_embed(e, ENG_EMBED_PLAIN, (const char *const *)text, len, 2, whole, go, &never, err) == Q_OK);
    CHECK_INT(never.asked, 6 * TINY_LAYERS);       /* windows of 510 letters and one of 450 with the short text */
    for (int k = 0; k < never.asked; k++) {
        stop s = { 0, k };
        err[0] = 0;
        CHECK_INT(eng_embed(e, ENG_EMBED_PLAIN, (const char *const *)text, len, 2, again, go, &s, err), Q_CANCEL);
        CHECK_INT(s.asked, k + 1);
        CHECK(err[0] != 0);
        CHECK(eng_embed(e, ENG_EMBED_PLAIN, (const char *const *)text, len, 2, again, NULL, NULL, err) == Q_OK);
        CHECK(memcmp(whole, again, sizeof whole) == 0);
    }
    CHECK(eng_embed(e, ENG_EMBED_PLAIN, NULL, NULL, 0, again, go, &never, err) == Q_OK);
    eng_embedder_close(e);
    free(text[0]);
    free(text[1]);
}

/* ---- what a text is, and what a file is ---- */

static void prefixes_go_before_texts(void)
{
    static const struct { const char *name, *query, *passage; } rows[] = {
        { "multilingual-e5-small", "query: ", "passage: " }, { "E5 Base v2", "query: ", "passage: " }, { "all-MiniLM-L6-v2", "", "" },
        { "nomic-embed-text-v1.5", "search_query: ", "search_document: " }, { "bge-m3", "", "" }, { "quote5-x", "", "" },
        { "BGE Small EN v1.5", "Represent this sentence for searching relevant passages: ", "" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_STR(embed_family_of(rows[i].name)->query, rows[i].query);
        CHECK_STR(embed_family_of(rows[i].name)->passage, rows[i].passage);
    }
    int rc;
    float a[32], b[32];
    tiny_embedder t = TINY_BERT;
    eng_embedder *e = tiny_open(&t, 1, false, &rc);
    const char *plain = "passage: abc", *text = "abc";
    size_t long_n = strlen(plain), n = strlen(text);
    const eng_embedder_info *info = eng_embedder_info_of(e);
    CHECK(info->dim == 32 && info->max_tokens == 512 && info->n_layer == 2 && info->threads == 1 && strlen(info->id) == 16);
    CHECK(eng_embed(e, ENG_EMBED_PASSAGE, &text, &n, 1, a, NULL, NULL, err) == Q_OK && eng_embed(e, ENG_EMBED_PLAIN, &plain, &long_n, 1, b, NULL, NULL, err) == Q_OK);
    CHECK(memcmp(a, b, sizeof a) == 0);
    CHECK_INT(eng_embed_count(e, ENG_EMBED_PLAIN, "ab cd", 5, err), 6);
    /* Bytes that are no text, and what looks like the frame, are only text. */
    const char *odd[] = { "\xff\xfe ab", "[SEP] ab [CLS]", "" };
    for (int i = 0; i < 3; i++) {
        n = strlen(odd[i]);
        CHECK_MSG(eng_embed(e, ENG_EMBED_PASSAGE, &odd[i], &n, 1, a, NULL, NULL, err) == Q_OK, "%s", err);
        CHECK(fabs(cosine(a, a, 32) - 1) < 1e-12);
    }
    /* Another training is another id; the same one, opened again, is not. */
    eng_embedder *same = tiny_open(&t, 1, true, &rc), *other;
    t.name = "bge-small-en";                       /* which has one before questions only */
    other = tiny_open(&t, 1, false, &rc);
    CHECK_INT(eng_embed_count(other, ENG_EMBED_PASSAGE, "ab", 2, err), 4);
    CHECK(eng_embed_count(other, ENG_EMBED_QUERY, "ab", 2, err) > 8);
    CHECK(strcmp(info->id, eng_embedder_info_of(same)->id) == 0 && strcmp(info->id, eng_embedder_info_of(other)->id) != 0);
    eng_embedder_close(e);
    eng_embedder_close(same);
    eng_embedder_close(other);
}

static void refused(tiny_embedder t, const char *word)
{
    int rc;
    memset(err, 0, sizeof err);
    eng_embedder *e = tiny_open(&t, 1, false, &rc);
    CHECK_MSG(!e && rc == Q_FORMAT, "%s%s%s: %d", t.without ? t.without : "", t.wide ? t.wide : "", t.key ? t.key : "", rc);
    CHECK_MSG(strstr(err, word), "\"%s\" is not in: %s", word, err);
    eng_embedder_close(e);
}

static void damaged_files_are_refused_with_a_sentence(void)
{
    static const char *const tensors[] = { "token_embd.weight", "position_embd.weight", "token_embd_norm.weight", "token_embd_norm.bias",
        "blk.1.attn_q.weight", "blk.0.attn_k.bias", "blk.1.attn_output.weight", "blk.1.attn_output_norm.weight", "blk.0.ffn_up.weight",
        "blk.0.ffn_down.bias", "blk.1.layer_output_norm.bias" };
    static const struct { const char *key; double value; } keys[] = { { "block_count", 0 }, { "block_count", 3 }, { "embedding_length", 0 },
        { "embedding_length", 64 }, { "attention.head_count", 0 }, { "attention.head_count", 5 }, { "feed_forward_length", 0 },
        { "context_length", 0 }, { "context_length", 511 }, { "pooling_type", 4 }, { "pooling_type", 0 }, { "attention.layer_norm_epsilon", -1 },
        { "embedding_length", 3e9 }, { "block_count", 1.5 } };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        tiny_embedder t = TINY_BERT;
        t.without = tensors[i];
        refused(t, i ? tensors[i] : "weights");
        t.without = NULL;
        t.wide = tensors[i];
        if (i) refused(t, i == 1 ? "513" : tensors[i]);
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        tiny_embedder t = TINY_BERT;
        t.key = keys[i].key;
        t.value = keys[i].value;
        refused(t, ":");
    }
    tiny_embedder t = TINY_BERT;
    t.causal = true;
    refused(t, "attention.causal");
    t = TINY_NOMIC;
    t.without = "blk.0.attn_qkv.weight";
    refused(t, "blk.0.attn_q.weight");
    t = TINY_NOMIC;
    t.wide = "blk.0.attn_qkv.weight";
    refused(t, "attn_qkv");
    t = TINY_BERT;
    t.arch = "gpt-j";
    refused(t, "gpt-j");
    t = TINY_ODD;
    t.heads = 8;                                   /* heads of three numbers are no pairs, but learned places need none */
    int rc;
    eng_embedder *e = tiny_open(&t, 1, false, &rc);
    CHECK(e != NULL);
    eng_embedder_close(e);
    CHECK_INT(embed_open("build/there-is-no-such-file.gguf", 1, false, &e, err), Q_IO);
    CHECK(!e);
}

static int copy_tensor(void *user, void *dst, size_t bytes, char *e)
{
    memcpy(dst, ((const gguf_tensor *)user)->data, bytes);
    return Q_OK;
}

/* A copy of a checked-in chat model that says how its rows are pooled; the caller frees the path and removes the file. */
static char *decoder_embedder(const char *name, int pool)
{
    char *from = util_model(name), *to = q_printf("%s.embed", from), key[64];
    gguf_file *f = NULL;
    CHECK_MSG(gguf_open(from, &f, err) == Q_OK, "%s", err);
    gguf_writer *w = gguf_writer_new();
    for (int i = 0; i < gguf_n_kv(f); i++) {
        const gguf_kv *kv = gguf_kv_at(f, i);
        char *k = q_strndup(kv->key.p, kv->key.n);
        gguf_put_kv(w, k, kv);
        free(k);
    }
    snprintf(key, sizeof key, "%s.pooling_type", name);
    gguf_put_u32(w, key, (uint32_t)pool);
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        char *k = q_strndup(t->name.p, t->name.n);
        gguf_put_tensor(w, k, t->type, t->n_dims, t->ne, copy_tensor, (void *)(uintptr_t)t);
        free(k);
    }
    CHECK_MSG(gguf_write(w, to, NULL, NULL, err) == Q_OK, "%s", err);
    gguf_writer_free(w);
    gguf_close(f);
    unlink(from);
    free(from);
    return to;
}

/* A decoder's row of the last token (or the mean of all), as a session of its own gives it token by token. */
static void decoders_embed_as_a_session_reads(void)
{
    const char *text = "The router looks at every token.", *other = "x";
    size_t len = strlen(text), both_len[2] = { 1, strlen(text) };
    for (int pool = EMBED_MEAN; pool <= EMBED_LAST; pool += EMBED_LAST - EMBED_MEAN) {
        char *path = decoder_embedder("qwen3moe", pool);
        eng_embedder *e = NULL;
        eng_model *m = NULL;
        eng_session *s = NULL;
        eng_out out;
        CHECK(eng_is_embedder(path));
        CHECK_MSG(embed_open(path, 2, true, &e, err) == Q_OK && eng_model_open(path, &(eng_open_opts){ .n_threads = 1 }, &m, err) == Q_OK, "%s", err);
        if (!e || !m) break;
        eng_config *c = eng_config_new(m);
        int dim = eng_embedder_info_of(e)->dim;
        float *got = q_alloc(sizeof *got * (size_t)dim * 2), *want = q_alloc(sizeof *want * (size_t)dim);
        eng_tokens t = { 0 };
        CHECK(eng_config_set(c, "kv.type", "f32", err) == Q_OK && eng_session_new(m, c, &s, err) == Q_OK && eng_tokenize(m, text, len, false, &t, err) == Q_OK);
        for (int i = 0; i < t.n; i++) {
            CHECK(eng_cache_step(eng_session_cache(s), &(eng_row){ .session = s, .token = t.id[i], .want = ENG_WANT_HIDDEN }, 1, true, &out, err) == Q_OK);
            for (int d = 0; d < dim; d++) want[d] = pool == EMBED_LAST ? out.hidden[0][d] : want[d] + out.hidden[0][d];
        }
        CHECK(t.n > 3 && eng_embed(e, ENG_EMBED_PLAIN, (const char *[]){ other, text }, both_len, 2, got, NULL, NULL, err) == Q_OK);
        double at = cosine(got + dim, want, dim);
        CHECK_MSG(at > .9999999, "pooling %d: %.9f", pool, at);
        CHECK(fabs(cosine(got, want, dim)) < .999);
        eng_tokens_free(&t);
        eng_session_free(s);
        eng_config_free(c);
        eng_model_free(m);
        eng_embedder_close(e);
        unlink(path);
        free(path);
        free(got);
        free(want);
    }
}

static void numbers_that_are_none_are_told(void)
{
    int rc;
    tiny_embedder t = TINY_BERT;
    t.nan = "blk.1.ffn_down.bias";
    eng_embedder *e = tiny_open(&t, 2, false, &rc);
    CHECK(e != NULL);
    const char *text = "abc";
    size_t n = 3;
    float v[32];
    CHECK_INT(eng_embed(e, ENG_EMBED_PLAIN, &text, &n, 1, v, NULL, NULL, err), Q_ERR);
    CHECK(strstr(err, "not finite") != NULL);
    eng_embedder_close(e);
}

static void an_embedder_is_known_by_its_header(void)
{
    char *path = tiny_file(&TINY_NOMIC, err), *chat = util_model("qwen3moe");
    CHECK(eng_is_embedder(path) && !eng_is_embedder(chat) && !eng_is_embedder("Makefile") && !eng_is_embedder("build/there-is-no-such-file"));
    unlink(path);
    unlink(chat);
    free(path);
    free(chat);
}

/* Embedders, also those made of a decoder, are found apart from what one chats with: by part of a name, by id, by path. */
static void embedders_are_listed_apart(void)
{
    char dir[] = "/tmp/quorum-embedders-XXXXXX", id[20], *at = NULL;
    char *from[3] = { tiny_file(&TINY_BERT, err), decoder_embedder("qwen3moe", EMBED_LAST), util_model("qwen3moe") };
    static const char *const names[3] = { "tiny-one.gguf", "qwen-embedding.gguf", "chat.gguf" };
    char *to[3];
    eng_found *list = NULL;
    int n = -1;
    CHECK(mkdtemp(dir) != NULL);
    for (int i = 0; i < 3; i++) {
        q_buf b = { 0 };
        to[i] = q_printf("%s/%s", dir, names[i]);
        CHECK(q_read_file(from[i], &b, 1 << 28, err) == Q_OK && q_write_file_atomic(to[i], b.p, b.len, err) == Q_OK);
        q_buf_free(&b);
        unlink(from[i]);
        free(from[i]);
    }
    setenv("HOME", dir, 1);
    setenv("QUORUM_MODELS", dir, 1);
    static const char *const others[] = { "XDG_DATA_HOME", "XDG_CACHE_HOME", "LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) unsetenv(others[i]);
    CHECK(eng_find(&list, &n, err) == Q_OK && n == 1 && strcmp(list[0].name, "chat") == 0);
    eng_found_free(list, n);
    CHECK(eng_find_embedders(&list, &n, err) == Q_OK && n == 2);
    for (int i = 0; i < n; i++) CHECK_MSG(!list[i].problem && list[i].fits && strcmp(list[i].name, "chat") != 0, "%s: %s", list[i].name, list[i].problem ? list[i].problem : "");
    eng_found_free(list, n);
    CHECK(eng_find_embedder("QWEN", &at, err) == Q_OK && strcmp(at, to[1]) == 0);
    free(at);
    CHECK(eng_embedder_id(to[0], id, err) == Q_OK && eng_find_embedder(id, &at, err) == Q_OK && strcmp(at, to[0]) == 0);
    free(at);
    eng_embedder *e = NULL;              /* the id is what it says when it is open */
    CHECK(eng_embedder_open(to[0], 1, &e, err) == Q_OK && strcmp(eng_embedder_info_of(e)->id, id) == 0);
    eng_embedder_close(e);
    CHECK_INT(eng_embedder_id(to[2], id, err), Q_FORMAT);
    CHECK(eng_find_embedder(to[2], &at, err) == Q_OK);         /* a path is taken as it is: opening it says what it is */
    free(at);
    CHECK_INT(eng_find_embedder("chat", &at, err), Q_NOTFOUND);
    CHECK_INT(eng_find_embedder("n", &at, err), Q_RANGE);
    CHECK_MSG(strstr(err, "tiny-one") && strstr(err, "qwen-embedding"), "%s", err);
    CHECK(eng_find_embedder(NULL, &at, err) == Q_NOTFOUND && strstr(err, "quorum model fetch --embedder"));
    for (int i = 0; i < 3; i++) {
        unlink(to[i]);
        free(to[i]);
    }
    rmdir(dir);
}

/* make FILE: only a tiny embedder there, for the tests of the command line. */
int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        char *path = tiny_file(&TINY_BERT, err);
        bool made = path && rename(path, argv[2]) == 0;
        free(path);
        return !made;
    }
    RUN(tiny_models_equal_numpy);
    RUN(eight_bits_come_near);
    RUN(the_same_bytes_whatever_the_batch_threads_and_processor);
    RUN(vector_curves_equal_the_library_and_each_other);
    RUN(stopping_is_asked_before_each_layer);
    RUN(prefixes_go_before_texts);
    RUN(decoders_embed_as_a_session_reads);
    RUN(damaged_files_are_refused_with_a_sentence);
    RUN(numbers_that_are_none_are_told);
    RUN(an_embedder_is_known_by_its_header);
    RUN(embedders_are_listed_apart);
    real("e5_goldens", "QUORUM_E5", "e5/e5.json", "exact", "embedding", 1 << 20);
    real("minilm_goldens", "QUORUM_MINILM", "golden/minilm.json", "embedding", NULL, 256);
    return TEST_END();
}
