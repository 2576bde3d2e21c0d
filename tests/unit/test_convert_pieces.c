/* tests: vocabularies of SentencePiece's as convert writes them (engine/convert/pieces.c): tokens, types, scores and ids are those of sentencepiece and
 * of the gguf package (tests/golden/convert/pieces), from tokenizer.model and from what tokenizer.json keeps of it; a tiny Gemma 3 has the logits of
 * transformers; damaged files and merges that scores cannot say are refused. */
#include "engine/adapter.h"
#include "engine/run/model.h"
#include "tests/folder_help.h"
#include "tests/golden.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";

static void take(const char *golden, const char *name, const char *folder)
{
    char *path = q_printf("tests/golden/convert/%s/%s", golden, name);
    q_buf b = { 0 };
    CHECK_MSG(q_read_file(packed(path), &b, 1 << 24, err) == 0, "%s", err);
    folder_put(folder, name, b.p, b.len);
    q_buf_free(&b);
    free(path);
}

/* As many rows as the vocabulary has, those behind the first 272 all zero. */
static void widen(const char *folder, int rows)
{
    static tensor_part p[100];
    static const char zero[32 * 2];
    char text[40];
    int n = pieces_load(folder, p, 100);
    for (int i = 0; i < n; i++) {
        if (strcmp(p[i].name, "model.embed_tokens.weight") != 0 && strcmp(p[i].name, "lm_head.weight") != 0) continue;
        for (int r = 272; r < rows; r++) q_buf_add(&p[i].data, zero, sizeof zero);
        snprintf(p[i].shape, sizeof p[i].shape, "%d,32", rows);
    }
    pieces_write(folder, "model.safetensors", p, n);
    pieces_drop(p, n);
    snprintf(text, sizeof text, "\"vocab_size\": %d", rows);
    folder_edit(folder, "config.json", "\"vocab_size\": 272", text);
}

/* The tiny llama's weights and shape with a vocabulary of pieces: its tokenizer.model, its tokenizer.json, or both. */
static char *folder_of(const char *golden, bool model, bool json, int rows)
{
    static int count;
    char *to = q_printf("%s/f%d", dir, count++), *from = q_printf("pieces/%s", golden);
    mkdir(to, 0700);
    take("llama", "config.json", to);
    take("llama", "model.safetensors", to);
    widen(to, rows);
    take(from, "tokenizer_config.json", to);
    if (model) take(from, "tokenizer.model", to);
    if (json) take(from, "tokenizer.json", to);
    free(from);
    return to;
}

static eng_model *made(const char *folder)
{
    eng_model *m = NULL;
    char *path = q_printf("%s/made.gguf", dir);
    CHECK_MSG(eng_convert_folder(folder, NULL, path, true, NULL, NULL, err) == 0, "%s", err);
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .n_threads = 1, .ignore_memory = true }, &m, err) == 0, "%s", err);
    free(path);
    return m;
}

static cJSON *case_of(const char *golden) { return util_json("tests/golden/convert", q_printf("pieces/%s/case.json", golden)); }

static double item(const gguf_kv *kv, int i)
{
    double d = NAN;
    if (kv) gguf_arr_f64(kv, (uint64_t)i, &d);
    return d;
}

static const gguf_kv *key(const eng_model *m, const char *name)
{
    char full[80];
    snprintf(full, sizeof full, "tokenizer.ggml.%s", name);
    return gguf_find(m->file, full);
}

/* Tokens, types and scores against the gguf package's; added: how many of them a list of added tokens gives another type and score. */
static void as_gguf_has_them(const eng_model *m, const cJSON *c, int added, const char *how)
{
    const cJSON *score = cJSON_GetObjectItem(c, "scores")->child, *type = cJSON_GetObjectItem(c, "types")->child, *token = cJSON_GetObjectItem(c, "tokens")->child;
    const gguf_kv *tokens = key(m, "tokens"), *scores = key(m, "scores"), *types = key(m, "token_type");
    int other = 0;
    for (int i = 0; token; i++, score = score->next, type = type->next, token = token->next) {
        bool same = item(scores, i) == (double)(float)score->valuedouble && item(types, i) == type->valuedouble;
        other += !same;
        CHECK_MSG(same || type->valuedouble != 1 || item(types, i) == 3 || item(types, i) == 4, "%s: token %d \"%s\": type %g, score %g, expected %g and %g", how, i, token->valuestring, item(types, i), item(scores, i),
                  type->valuedouble, score->valuedouble);
        CHECK_MSG(tokens && (uint64_t)i < tokens->count && tokens->strings[i].n == strlen(token->valuestring) && memcmp(tokens->strings[i].p, token->valuestring, tokens->strings[i].n) == 0, "%s: token %d", how, i);
    }
    CHECK_MSG(other == added, "%s: %d tokens differ, %d are added ones", how, other, added);
}

static void same_ids(eng_model *m, const cJSON *c, const char *how)
{
    const cJSON *text = cJSON_GetObjectItem(c, "texts")->child, *ids = cJSON_GetObjectItem(c, "ids")->child, *v;
    for (; text; text = text->next, ids = ids->next) {
        eng_tokens t = { 0 };
        CHECK(eng_tokenize(m, text->valuestring, strlen(text->valuestring), false, &t, err) == 0);
        int i = 0;
        bool same = t.n == cJSON_GetArraySize(ids);
        cJSON_ArrayForEach(v, ids) same = same && t.id[i++] == (int32_t)v->valuedouble;
        CHECK_MSG(same, "%s: \"%s\" in %d tokens, expected %d", how, text->valuestring, t.n, cJSON_GetArraySize(ids));
        eng_tokens_free(&t);
    }
}

/* From the vocabulary's own file, from the copy in tokenizer.json, from both: the same keys. */
static void joined_pieces(void)
{
    cJSON *c = case_of("first");
    int rows = cJSON_GetArraySize(cJSON_GetObjectItem(c, "tokens"));
    for (int way = 1; way < 4; way++) {
        const char *how = way == 1 ? "tokenizer.model" : way == 2 ? "tokenizer.json" : "both";
        char *folder = folder_of("first", way & 1, way & 2, rows);
        eng_model *m = made(folder);
        if (!m) continue;
        gguf_str s = { "", 0 };
        uint64_t id = 99;
        bool flag = false;
        CHECK(gguf_string(m->file, "tokenizer.ggml.model", &s) && s.n == 5 && memcmp(s.p, "llama", 5) == 0);
        CHECK(gguf_bool(m->file, "tokenizer.ggml.add_space_prefix", &flag) && flag && gguf_bool(m->file, "tokenizer.ggml.add_bos_token", &flag) && flag);
        CHECK(gguf_u64(m->file, "tokenizer.ggml.unknown_token_id", &id) && id == 0 && gguf_u64(m->file, "tokenizer.ggml.bos_token_id", &id) && id == 1);
        CHECK(gguf_u64(m->file, "tokenizer.ggml.eos_token_id", &id) && id == 2);
        as_gguf_has_them(m, c, way == 1 ? 0 : 2, how);             /* <s> and </s>, whose scores convert_hf_to_gguf.py sets to -1000 where they are listed */
        same_ids(m, c, how);
        eng_model_free(m);
        free(folder);
    }
    cJSON_Delete(c);
}

static void pieces_by_their_sum(void)
{
    cJSON *c = case_of("unigram");
    int rows = cJSON_GetArraySize(cJSON_GetObjectItem(c, "tokens"));
    char *folder = folder_of("unigram", true, false, rows);
    eng_model *m = made(folder);
    if (m) {
        gguf_str s = { "", 0 };
        bool squeeze = false;
        CHECK(gguf_string(m->file, "tokenizer.ggml.model", &s) && s.n == 2 && memcmp(s.p, "t5", 2) == 0);
        CHECK(gguf_bool(m->file, "tokenizer.ggml.remove_extra_whitespaces", &squeeze) && squeeze);
        as_gguf_has_them(m, c, 0, "unigram");
        same_ids(m, c, "unigram");
        eng_model_free(m);
    }
    /* The same pieces as tokenizer.json has them. */
    q_buf j = { 0 };
    q_buf_puts(&j, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,\"vocab\":[");
    const cJSON *score = cJSON_GetObjectItem(c, "scores")->child, *token = cJSON_GetObjectItem(c, "tokens")->child;
    for (const cJSON *t = token; t; t = t->next, score = score->next) {
        char *quoted = cJSON_PrintUnformatted(t);
        q_buf_printf(&j, "%s[%s,%.9g]", t == token ? "" : ",", quoted, score->valuedouble);
        cJSON_free(quoted);
    }
    q_buf_puts(&j, "]},\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true},{\"id\":2,\"content\":\"</s>\",\"special\":true}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
                   "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}]},\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"always\",\"split\":false}}");
    char *path = q_printf("%s/tokenizer.model", folder);
    unlink(path);
    folder_put(folder, "tokenizer.json", j.p, j.len);
    m = made(folder);
    if (m) {
        as_gguf_has_them(m, c, 2, "unigram in tokenizer.json");
        same_ids(m, c, "unigram in tokenizer.json");
        eng_model_free(m);
    }
    q_buf_free(&j);
    free(path);
    free(folder);
    cJSON_Delete(c);
}

/* Gemma's: nothing goes first, tokens of the user's, norms less one, two bases of rotation, a window; the last rows of logits. */
static void a_gemma(void)
{
    static const char *const files[] = { "config.json", "model.safetensors", "tokenizer.model", "tokenizer_config.json" };
    cJSON *c = case_of("gemma");
    char *folder = q_printf("%s/gemma", dir);
    mkdir(folder, 0700);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) take("pieces/gemma", files[i], folder);
    eng_model *m = made(folder);
    if (m) {
        gguf_str s = { "", 0 };
        bool flag = true;
        uint64_t window = 0;
        CHECK(gguf_string(m->file, "general.architecture", &s) && s.n == 6 && memcmp(s.p, "gemma3", 6) == 0 && !gguf_tensor_find(m->file, "output.weight"));
        CHECK(gguf_bool(m->file, "tokenizer.ggml.add_space_prefix", &flag) && !flag && gguf_u64(m->file, "gemma3.attention.sliding_window", &window) && window == 8);
        as_gguf_has_them(m, c, 4, "gemma");
        same_ids(m, c, "gemma");
        q_buf want = folder_get("tests/golden/convert/pieces/gemma", "logits.f32");
        eng_tokens t = { 0 };
        const cJSON *v;
        cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "ids_of_logits")) eng_tokens_add(&t, (int32_t)v->valuedouble);
        golden_result r = { 0 };
        eng_config *g = eng_config_new(m);
        double off = INFINITY, largest = 0;
        CHECK(eng_config_set(g, "kv.type", "f32", err) == 0);
        size_t n = want.len / sizeof(float);
        if (golden_eval(m, g, &t, 0, NULL, 0, &r, err) == 0 && n == 2 * (size_t)r.n_vocab) {
            off = 0;
            for (size_t i = 0; i < n; i++) {
                float w;
                memcpy(&w, want.p + i * sizeof w, sizeof w);
                off = fmax(off, fabs((double)w - (double)r.logits[((size_t)r.n - 2) * (size_t)r.n_vocab + i]));
                largest = fmax(largest, fabs((double)w));
            }
        }
        CHECK_MSG(off <= 2e-5 * largest, "logits differ by %g of the largest", off / largest);
        golden_result_free(&r);
        eng_config_free(g);
        eng_tokens_free(&t);
        q_buf_free(&want);
        eng_model_free(m);
    }
    static const struct { const char *from, *to, *says; } rows[] = {
        { "\"query_pre_attn_scalar\": 16", "\"query_pre_attn_scalar\": 32", "query_pre_attn_scalar" }, { "\"sliding_attention\"", "\"full_attention\"", "layer_types" },
        { "\"final_logit_softcapping\": null", "\"final_logit_softcapping\": 30.0", "final_logit_softcapping" }, { "\"rope_theta\": 10000.0", "\"rope_theta\": 5000.0", "rope_local_base_freq" },
    };
    char *out = q_printf("%s/no.gguf", dir);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        take("pieces/gemma", "config.json", folder);
        folder_edit(folder, "config.json", rows[i].from, rows[i].to);
        CHECK_MSG(eng_convert_folder(folder, NULL, out, false, NULL, NULL, err) == Q_RANGE && strstr(err, rows[i].says), "%s: %s", rows[i].to, err);
    }
    free(out);
    free(folder);
    cJSON_Delete(c);
}

static void refused(const char *folder, const char *says)
{
    char *out = q_printf("%s/refused.gguf", dir);
    err[0] = 0;
    int rc = eng_convert_folder(folder, NULL, out, false, NULL, NULL, err);
    CHECK_MSG(rc < 0 && strstr(err, says), "%s: %d %s", says, rc, err);
    CHECK(!util_exists(out));
    free(out);
}

static void what_is_no_such_vocabulary(void)
{
    cJSON *c = case_of("first");
    int rows = cJSON_GetArraySize(cJSON_GetObjectItem(c, "tokens"));
    char *folder = folder_of("first", true, false, rows);
    q_buf whole = folder_get(folder, "tokenizer.model");
    folder_put(folder, "tokenizer.model", whole.p, whole.len - 7);         /* cut off */
    refused(folder, "no vocabulary of SentencePiece");
    folder_put(folder, "tokenizer.model", "IQ== 0\nIg== 1\n", 14);                   /* a table of tiktoken's */
    refused(folder, "no vocabulary of SentencePiece");
    folder_put(folder, "tokenizer.model", "", 0);
    refused(folder, "no vocabulary of SentencePiece");
    static const unsigned char wrong[][12] = { { 0x0A, 0x7F }, { 0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F }, { 0x0B }, { 0x0A, 0x07, 0x0A, 0x00, 0x15, 0, 0, 0xC0, 0x7F } /* a score that is none */ };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        folder_put(folder, "tokenizer.model", wrong[i], i == 1 ? 11 : i == 3 ? 9 : i == 2 ? 1 : 2);
        refused(folder, "no vocabulary of SentencePiece");
    }
    q_buf more = { 0 };                                                      /* whole words: model_type 3 */
    q_buf_add(&more, whole.p, whole.len);
    q_buf_add(&more, "\x12\x02\x18\x03", 4);
    folder_put(folder, "tokenizer.model", more.p, more.len);
    refused(folder, "whole words");
    folder_put(folder, "tokenizer.model", whole.p, whole.len);
    folder_edit(folder, "config.json", "\"vocab_size\": 480", "\"vocab_size\": 300");
    refused(folder, "tokenizer.model numbers a token beyond the 300");
    char *path = q_printf("%s/tokenizer.model", folder);
    unlink(path);
    refused(folder, "neither a tokenizer.json nor a tokenizer.model");
    free(path);
    free(folder);
    q_buf_free(&more);
    q_buf_free(&whole);

    folder = folder_of("first", false, true, rows);
    folder_edit(folder, "tokenizer.json", "\"merges\": [\n", "\"merges\": [\n [\"\u2581\", \"\u2581nosuch\"],\n");
    refused(folder, "merge 0 is no pair");
    take("pieces/first", "tokenizer.json", folder);
    folder_edit(folder, "tokenizer.json", "\"type\": \"Metaspace\"", "\"type\": \"Whitespace\"");
    refused(folder, "in a way that is not converted (Whitespace)");
    take("pieces/first", "tokenizer.json", folder);
    folder_edit(folder, "tokenizer.json", "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFKC\"}");
    refused(folder, "in a way that is not converted (NFKC)");
    take("pieces/first", "tokenizer.json", folder);
    q_buf j = folder_get(folder, "tokenizer.json");
    cJSON *root = cJSON_Parse(j.p), *merges = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "model"), "merges");
    for (int way = 0; way < 2; way++) {                                     /* a cut that is missing; a piece whose merges stand apart */
        cJSON *copy = cJSON_Duplicate(root, true), *list = cJSON_GetObjectItem(cJSON_GetObjectItem(copy, "model"), "merges");
        if (way) cJSON_AddItemToArray(list, cJSON_Duplicate(cJSON_GetArrayItem(merges, 0), true));
        else cJSON_DeleteItemFromArray(list, 10);
        char *text = cJSON_PrintUnformatted(copy);
        folder_put(folder, "tokenizer.json", text, strlen(text));
        refused(folder, "in an order that no scores can say");
        cJSON_free(text);
        cJSON_Delete(copy);
    }
    cJSON_Delete(root);
    q_buf_free(&j);
    free(folder);
    cJSON_Delete(c);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    RUN(joined_pieces);
    RUN(pieces_by_their_sum);
    RUN(a_gemma);
    RUN(what_is_no_such_vocabulary);
    char *cmd = q_printf("rm -rf %s", dir);
    if (system(cmd)) printf("# %s stays\n", dir);
    free(cmd);
    return TEST_END();
}
