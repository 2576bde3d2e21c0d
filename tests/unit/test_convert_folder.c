/* tests: folders of safetensors as GGUFs (engine/convert): two models that transformers saved (tests/golden/convert) give its logits, tokens and
 * template; shards, stacked experts and other types are the same model; folders that are not complete, or of what is not computed, say so. */
#include "engine/adapter.h"
#include "engine/file/safetensors.h"
#include "engine/run/model.h"
#include "tests/folder_help.h"
#include "tests/golden.h"
#include "tests/test.h"

#include <sys/stat.h>
#include <unistd.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";
static char *in(const char *name) { return q_printf("%s/%s", dir, name); }

/* The golden's folder, unpacked under another name. */
static char *unpack(const char *golden, const char *as)
{
    static const char *const files[] = { "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors" };
    char *to = in(as);
    mkdir(to, 0700);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = q_printf("tests/golden/convert/%s/%s.gz", golden, files[i]);
        gzFile z = gzopen(from, "rb");
        q_buf b = { 0 };
        static char block[1 << 15];
        int n;
        q_buf_puts(&b, "");
        while (z && (n = gzread(z, block, sizeof block)) > 0) q_buf_add(&b, block, (size_t)n);
        CHECK_MSG(b.len > 0, "%s", from);
        if (z) gzclose(z);
        folder_put(to, files[i], b.p, b.len);
        q_buf_free(&b);
        free(from);
    }
    return to;
}

static eng_model *convert(const char *folder, const char *type, const char *out)
{
    eng_model *m = NULL;
    char *path = in(out);
    CHECK_MSG(eng_convert_folder(folder, type, path, true, NULL, NULL, err) == 0, "%s", err);
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .n_threads = 1, .ignore_memory = true }, &m, err) == 0, "%s", err);
    free(path);
    return m;
}

/* The last two rows of logits against transformers': the largest difference, of the largest. */
static double compare(eng_model *m, const char *golden, const eng_tokens *t)
{
    q_buf want = folder_get("tests/golden/convert", golden);
    golden_result r = { 0 };
    eng_config *c = eng_config_new(m);
    double off = INFINITY, largest = 0;
    CHECK(eng_config_set(c, "kv.type", "f32", err) == 0);
    size_t n = want.len / sizeof(float);
    if (golden_eval(m, c, t, 0, NULL, 0, &r, err) == 0 && n == 2 * (size_t)r.n_vocab) {
        const float *got = r.logits + ((size_t)r.n - 2) * (size_t)r.n_vocab;
        off = 0;
        for (size_t i = 0; i < n; i++) {
            float w;
            memcpy(&w, want.p + i * sizeof w, sizeof w);
            off = fmax(off, fabs((double)w - (double)got[i]));
            largest = fmax(largest, fabs((double)w));
        }
    } else CHECK_MSG(false, "%s", err);
    golden_result_free(&r);
    eng_config_free(c);
    q_buf_free(&want);
    return off / largest;
}

static void as_transformers_has_it(void)
{
    static const char *const names[] = { "qwen3moe", "llama" }, *const types[] = { NULL, "F32", "F16", "BF16", "Q8_0" };
    static const double limit[] = { 1e-5, 1e-5, 1e-5, 1e-5, 0.05 };            /* numbers on a grid of 1/64 are whole in 16 bits too */
    for (size_t i = 0; i < 2; i++) {
        char *folder = unpack(names[i], names[i]), *path = q_printf("%s/logits.f32", names[i]);
        cJSON *root = util_json("tests/golden/convert", q_printf("%s/case.json", names[i]));
        const cJSON *ids = cJSON_GetObjectItem(root, "ids"), *v;
        const char *text = cJSON_GetObjectItem(root, "text")->valuestring;
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            eng_model *m = convert(folder, types[k], "made.gguf");
            if (!m) continue;
            eng_tokens t = { 0 }, want = { 0 };
            CHECK(eng_tokenize(m, text, strlen(text), true, &t, err) == 0);
            cJSON_ArrayForEach(v, ids) eng_tokens_add(&want, (int32_t)v->valuedouble);
            CHECK_MSG(t.n == want.n && memcmp(t.id, want.id, sizeof *t.id * (size_t)t.n) == 0, "%s: %d tokens, expected %d", names[i], t.n, want.n);
            double off = compare(m, path, &want);
            CHECK_MSG(off <= limit[k], "%s as %s: logits differ by %g of the largest", names[i], types[k] ? types[k] : "it is", off);
            CHECK_STR(m->info.quant, types[k] ? types[k] : "BF16");
            CHECK_STR(m->info.name, names[i]);
            gguf_str s = { "", 0 };
            const char *template = cJSON_GetObjectItem(root, "template")->valuestring;
            CHECK(gguf_string(m->file, "tokenizer.chat_template", &s) && s.n == strlen(template) && memcmp(s.p, template, s.n) == 0);
            uint64_t id = 99;
            CHECK(gguf_u64(m->file, "tokenizer.ggml.eos_token_id", &id) && id == (uint64_t)cJSON_GetObjectItem(root, "eos")->valueint);
            CHECK(gguf_u64(m->file, "tokenizer.ggml.padding_token_id", &id) && id == (uint64_t)cJSON_GetObjectItem(root, "pad")->valueint);
            CHECK(!gguf_find(m->file, "tokenizer.ggml.bos_token_id"));
            double kind = 0;
            const gguf_kv *kv = gguf_find(m->file, "tokenizer.ggml.token_type");
            CHECK(gguf_arr_f64(kv, (uint64_t)cJSON_GetObjectItem(root, "tool")->valueint, &kind) && kind == 4 && gguf_arr_f64(kv, 271, &kind) && kind == 5 && gguf_arr_f64(kv, 0, &kind) && kind == 3);
            CHECK(!gguf_tensor_find(m->file, "output.weight") == (i == 0));        /* qwen3moe's head is tied */
            eng_tokens_free(&t);
            eng_tokens_free(&want);
            eng_model_free(m);
        }
        cJSON_Delete(root);
        free(folder);
        free(path);
    }
}

/* ---- the same in other files ---- */

/* Experts as transformers 5 may save them: gate over up in one parameter, down in another. */
static int stack(const tensor_part *p, int n, tensor_part *out)
{
    int k = 0;
    for (int i = 0; i < n; i++) {
        if (strstr(p[i].name, ".experts.")) continue;
        out[k] = p[i];
        out[k].data = (q_buf){ 0 };
        q_buf_add(&out[k++].data, p[i].data.p, p[i].data.len);
    }
    for (int layer = 0; layer < 2; layer++)
        for (int w = 0; w < 2; w++, k++) {
            static const char *const parts[2][2] = { { "gate_proj", "up_proj" }, { "down_proj", NULL } };
            out[k] = (tensor_part){ .type = "BF16" };
            snprintf(out[k].name, sizeof out[k].name, "model.layers.%d.mlp.experts.%s", layer, w ? "down_proj" : "gate_up_proj");
            snprintf(out[k].shape, sizeof out[k].shape, w ? "4,32,16" : "4,32,32");
            for (int e = 0; e < 4; e++)
                for (int h = 0; h < 2 && parts[w][h]; h++) {
                    char name[200];
                    snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.%s.weight", layer, e, parts[w][h]);
                    const tensor_part *x = pieces_find((tensor_part *)(uintptr_t)p, n, name);
                    CHECK_MSG(x, "%s", name);
                    if (x) q_buf_add(&out[k].data, x->data.p, x->data.len);
                }
        }
    return k;
}

static void other_files_of_the_same(void)
{
    enum { MOST = 100 };
    static tensor_part p[MOST], s[MOST];
    char *folder = unpack("qwen3moe", "same"), *one = in("one.gguf"), *two = in("two.gguf"), *single = q_printf("%s/model.safetensors", folder);
    CHECK_MSG(eng_convert_folder(folder, NULL, one, false, NULL, NULL, err) == 0, "%s", err);
    int n = pieces_load(folder, p, MOST), k = stack(p, n, s);
    q_buf want = folder_get(dir, "one.gguf");
    for (int way = 0; way < 2; way++) {
        unlink(single);
        if (way) pieces_write(folder, "model.safetensors", s, k);
        else {
            q_buf index = { 0 };
            pieces_write(folder, "model-00001-of-00002.safetensors", p, n / 2);
            pieces_write(folder, "model-00002-of-00002.safetensors", p + n / 2, n - n / 2);
            q_buf_puts(&index, "{\"weight_map\":{");
            for (int i = 0; i < n; i++) q_buf_printf(&index, "%s\"%s\":\"model-0000%d-of-00002.safetensors\"", i ? "," : "", p[i].name, i < n / 2 ? 1 : 2);
            q_buf_puts(&index, "}}");
            folder_put(folder, "model.safetensors.index.json", index.p, index.len);
            q_buf_free(&index);
        }
        CHECK_MSG(eng_convert_folder(folder, NULL, two, true, NULL, NULL, err) == 0, "%s", err);
        q_buf got = folder_get(dir, "two.gguf");
        CHECK_MSG(got.len == want.len && memcmp(got.p, want.p, got.len) == 0, "way %d: %zu bytes, expected %zu", way, got.len, want.len);
        q_buf_free(&got);
    }
    q_buf_free(&want);
    pieces_drop(p, n);
    pieces_drop(s, k);
    free(folder);
    free(one);
    free(two);
    free(single);
}

/* ---- what is refused ---- */

/* All experts in one parameter and one of them alone, under a larger model's name and a plain one: the second does not fit into the first's list. */
static void stacked_and_single_experts_do_not_mix(void)
{
    enum { MOST = 100 };
    static tensor_part p[MOST];
    char *folder = unpack("qwen3moe", "mixed"), *out = in("mixed.gguf");
    int n = pieces_load(folder, p, MOST), k = 0;
    for (int i = 0; i < n; i++)
        if (strstr(p[i].name, "layers.0.mlp.experts.") && !strstr(p[i].name, "experts.3.down_proj")) q_buf_free(&p[i].data);
        else p[k++] = p[i];
    p[k] = (tensor_part){ .name = "model.language_model.layers.0.mlp.experts.down_proj", .shape = "4,32,16", .type = "BF16" };
    for (int i = 0; i < 4 * 32 * 16; i++) q_buf_add(&p[k].data, "\0", 2);
    pieces_write(folder, "model.safetensors", p, k + 1);
    CHECK(eng_convert_folder(folder, NULL, out, true, NULL, NULL, err) == Q_FORMAT && strstr(err, "ffn_down_exps.weight twice"));
    pieces_drop(p, k + 1);
    free(folder);
    free(out);
}

/* A matrix, an expert's and a vector, NaN and infinity. */
static void numbers_that_are_none_are_refused(void)
{
    static const struct { const char *name; unsigned char high, low; } rows[] = {
        { "model.layers.0.self_attn.q_proj.weight", 0x7f, 0xc0 }, { "model.layers.1.mlp.experts.3.down_proj.weight", 0x7f, 0x80 },
        { "model.layers.1.input_layernorm.weight", 0xff, 0x80 }, { "model.norm.weight", 0xff, 0xc1 } };
    static tensor_part p[100];
    char *out = in("none.gguf");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = unpack("qwen3moe", "none");
        int n = pieces_load(folder, p, 100), at = 0;
        while (at < n && strcmp(p[at].name, rows[i].name) != 0) at++;
        CHECK_MSG(at < n && strcmp(p[at].type, "BF16") == 0, "%s", rows[i].name);
        p[at].data.p[p[at].data.len - 1] = (char)rows[i].high;               /* the last number of it */
        p[at].data.p[p[at].data.len - 2] = (char)rows[i].low;
        pieces_write(folder, "model.safetensors", p, n);
        pieces_drop(p, n);
        CHECK_MSG(eng_convert_folder(folder, NULL, out, true, NULL, NULL, err) == Q_FORMAT && strstr(err, rows[i].name) && strstr(err, "NaN"), "%s: %s", rows[i].name, err);
        CHECK(!util_exists(out));
        free(folder);
    }
    free(out);
}

static void one_sentence_each(void)
{
    static const struct { const char *golden, *file, *from, *to, *says; } rows[] = {
        { "qwen3moe", "config.json", "\"model_type\": \"qwen3_moe\"", "\"model_type\": \"mamba\"", "\"mamba\"" },
        { "qwen3moe", "config.json", "\"hidden_size\": 32", "\"hidden_size\": 64", "cannot be converted" },
        { "qwen3moe", "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "cannot be converted" },
        { "qwen3moe", "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "not known in a model" },
        { "qwen3moe", "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": -2", "num_hidden_layers" },
        { "qwen3moe", "config.json", "\"num_local_experts\": 4", "\"num_local_experts\": 5", "expert 4 of" },
        { "qwen3moe", "config.json", "\"num_local_experts\": 4", "\"num_local_experts\": 3", "beyond the 3" },
        { "qwen3moe", "config.json", "\"vocab_size\": 272", "\"vocab_size\": 100", "\"vocab_size\"" },
        { "qwen3moe", "config.json", "\"vocab_size\": 272", "\"vocab_size\": 300", "cannot be converted" },
        { "qwen3moe", "config.json", "\"vocab_size\": 272", "\"vocab_size\": \"many\"", "vocab_size" },
        { "qwen3moe", "config.json", "\"decoder_sparse_step\": 1", "\"decoder_sparse_step\": 2", "decoder_sparse_step" },
        { "qwen3moe", "config.json", "{", "[", "no JSON object" },
        { "llama", "config.json", "\"rope_theta\": 500000.0", "\"rope_theta\": \"500000.0\"", "\"rope_theta\" is no number" },
        { "llama", "config.json", "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": \"1e-06\"", "\"rms_norm_eps\" is no number" },
        { "llama", "config.json", "\"LlamaForCausalLM\"", "\"../../x\"", "(../../x)" },
        { "llama", "config.json", "\"LlamaForCausalLM\"", "\"LlamaForSequenceClassification\"", "no model that writes text" },
        { "llama", "config.json", "\"rope_type\": \"llama3\"", "\"rope_type\": \"longrope\"", "\"longrope\"" },
        { "llama", "config.json", "\"head_dim\": 16", "\"head_dim\": 0", "head_dim" },
        { "llama", "config.json", "\"head_dim\": 16", "\"head_dim\": 65536", "no whole number of heads" },        /* a turned row would lie far behind the file */
        { "llama", "config.json", "64,\n    \"rope_theta\": 500000.0,\n    \"rope_type\": \"llama3\"", "-1e300, \"rope_type\": \"yarn\"", "original_max" },
        { "qwen3moe", "config.json", "\"num_local_experts\": 4", "\"num_local_experts\": 2147483647", "2147483647 experts" },
        { "qwen3moe", "tokenizer.json", "\"type\": \"BPE\"", "\"type\": \"Unigram\"", "Unigram" },
        { "qwen3moe", "tokenizer.json", "\"type\": \"ByteLevel\"", "\"type\": \"Whitespace\"", "cuts text" },
        { "qwen3moe", "tokenizer.json", "{", "", "no JSON object" },
        { "qwen3moe", "tokenizer.json", "\"merges\": [", "\"merges\": [7,", "no pair" },
        { "qwen3moe", "model.safetensors", "\"model.norm.weight\"", "\"model.form.weight\"", "model.form.weight" },
        { "qwen3moe", "model.safetensors", "\"model.layers.0.mlp.experts.1.up_proj.weight\"", "\"model.layers.0.mlp.experts.0.up_proj.weight\"", "twice" },
        { "qwen3moe", "model.safetensors", "\"model.layers.0.self_attn.q_norm.weight\"", "\"model.layers.9.self_attn.q_norm.weight\"", "model.layers.9" },
        { "llama", "model.safetensors", "\"model.layers.0.self_attn.q_proj.weight\"", "\"model.layers.0.self_attn.q_a_proj.weight\"", "cannot be converted" },
    };
    char *out = in("refused.gguf"), *new = in("refused.gguf.part");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = unpack(rows[i].golden, "refused");
        if (strcmp(rows[i].file, "model.safetensors") == 0) {              /* the header keeps its length only by luck: written anew */
            static tensor_part p[100];
            int n = pieces_load(folder, p, 100);
            size_t quoted = strlen(rows[i].from) - 2;
            for (int k = 0; k < n; k++)
                if (strlen(p[k].name) == quoted && memcmp(p[k].name, rows[i].from + 1, quoted) == 0) snprintf(p[k].name, sizeof p[k].name, "%.*s", (int)strlen(rows[i].to) - 2, rows[i].to + 1);
            pieces_write(folder, "model.safetensors", p, n);
            pieces_drop(p, n);
        } else folder_edit(folder, rows[i].file, rows[i].from, rows[i].to);
        err[0] = 0;
        int rc = eng_convert_folder(folder, NULL, out, false, NULL, NULL, err);
        CHECK_MSG(rc != 0 && strstr(err, rows[i].says), "%s %s: %d %s", rows[i].file, rows[i].to, rc, err);
        CHECK_MSG(!strstr(err, ".part"), "%s", err);                         /* the file that it would have become */
        CHECK_MSG(!util_exists(out) && !util_exists(new), "%s %s left a file", rows[i].file, rows[i].to);
        unlink(out);
        free(folder);
    }
    char *folder = unpack("llama", "whole"), *file = q_printf("%s/model.safetensors", folder), *link = in("link.gguf");
    CHECK(eng_convert_folder(folder, "Q3_K", out, false, NULL, NULL, err) == Q_RANGE && strstr(err, "Q8_0"));
    CHECK(symlink("/nowhere/at/all", link) == 0 && eng_convert_folder(folder, NULL, link, false, NULL, NULL, err) == Q_RANGE && strstr(err, "--force"));
    CHECK(unlink(link) == 0 && mkfifo(link, 0600) == 0 && eng_convert_folder(folder, NULL, link, true, NULL, NULL, err) == Q_RANGE && strstr(err, "no ordinary file"));
    CHECK(eng_convert_folder(folder, NULL, dir, true, NULL, NULL, err) == Q_RANGE && strstr(err, "is a folder"));
    CHECK(eng_convert_folder(folder, NULL, file, true, NULL, NULL, err) == Q_RANGE && strstr(err, "is read here"));        /* by force either */
    CHECK(eng_convert_folder(dir, NULL, out, false, NULL, NULL, err) == Q_FORMAT && strstr(err, "config.json"));
    CHECK(truncate(file, 20000) == 0 && eng_convert_folder(folder, NULL, out, false, NULL, NULL, err) == Q_FORMAT && strstr(err, "beyond the end"));
    CHECK(unlink(file) == 0 && eng_convert_folder(folder, NULL, out, false, NULL, NULL, err) == Q_FORMAT && strstr(err, "no model.safetensors"));
    folder_put(folder, "pytorch_model.bin", "PK", 2);
    CHECK(eng_convert_folder(folder, NULL, out, false, NULL, NULL, err) == Q_RANGE && strstr(err, "pickles"));
    free(folder);
    free(file);
    free(link);
    free(out);
    free(new);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    RUN(as_transformers_has_it);
    RUN(other_files_of_the_same);
    RUN(stacked_and_single_experts_do_not_mix);
    RUN(numbers_that_are_none_are_refused);
    RUN(one_sentence_each);
    char *cmd = q_printf("rm -rf %s", dir);
    if (system(cmd)) printf("# %s stays\n", dir);
    free(cmd);
    return TEST_END();
}
