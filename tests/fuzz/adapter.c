/* tests/fuzz/adapter: adapters as GGUF and as PEFT's folders, and folders of safetensors to be converted, damaged anywhere. What is read must be
 * finite and of the model's shapes; what is refused is refused in a sentence. */
#include "engine/adapter.h"
#include "tests/adapter_help.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <sys/stat.h>

static eng_model *model;
static char dir[] = "/tmp/quorum-fuzz-XXXXXX", err[Q_ERRLEN];
static q_buf gguf, peft, folder;       /* well-formed: a file; config, NUL, weights; config, NUL, tokenizer, NUL, weights */

static char *at(const char *name) { return q_printf("%s/%s", dir, name); }

static void add_file(q_buf *b, const char *sub, const char *name)
{
    q_buf one = { 0 };
    char *path = q_printf("%s/%s/%s", dir, sub, name);
    if (q_read_file(path, &one, 1 << 24, err) == 0) q_buf_add(b, one.p, one.len);
    q_buf_free(&one);
    free(path);
}

static bool write_file(const char *name, const void *p, size_t n)
{
    char *path = at(name);
    bool good = q_write_file_atomic(path, p, n, err) == 0;
    free(path);
    return good;
}

static void unpack(const char *from, q_buf *b)
{
    char *path = q_printf("tests/golden/convert/llama/%s.gz", from), block[4096];
    gzFile z = gzopen(path, "rb");
    int n;
    while (z && (n = gzread(z, block, sizeof block)) > 0) q_buf_add(b, block, (size_t)n);
    if (z) gzclose(z);
    free(path);
}

static bool ready(void)
{
    if (!mkdtemp(dir) || !(model = help_model("qwen3moe"))) return false;
    eng_low l[] = { help_low(model, KER_W_K, 0, 2, 1), help_low(model, KER_W_DOWN_EXPS, 1, 1, 2), help_low(model, KER_W_UP_EXPS, 1, 1, 2) };
    eng_adapter *ad = NULL;
    char *file = at("a.gguf"), *out = at("peft");
    bool good = eng_adapter_make(model, "a", l, 3, NULL, &ad, err) == 0 && eng_adapter_write_gguf(ad, file, false, err) == 0 && eng_adapter_write_peft(ad, model, out, false, err) == 0;
    add_file(&gguf, ".", "a.gguf");
    add_file(&peft, "peft", "adapter_config.json");
    q_buf_putc(&peft, 0);
    add_file(&peft, "peft", "adapter_model.safetensors");
    unpack("config.json", &folder);
    q_buf_putc(&folder, 0);
    unpack("tokenizer.json", &folder);
    q_buf_putc(&folder, 0);
    unpack("model.safetensors", &folder);
    char *convert = at("model");
    good = good && mkdir(convert, 0700) == 0 && gguf.len > 1000 && peft.len > 1000 && folder.len > 10000;
    free(convert);
    help_low_free(l, 3);
    eng_adapter_free(ad);
    free(file);
    free(out);
    return good;
}

static void done(void)
{
    char *cmd = q_printf("rm -rf %s", dir);
    if (system(cmd)) printf("# %s stays\n", dir);
    free(cmd);
    snprintf(dir, sizeof dir, "/tmp/quorum-fuzz-XXXXXX");
    eng_model_free(model);
    model = NULL;
    q_buf_free(&gguf);
    q_buf_free(&peft);
    q_buf_free(&folder);
}

static void gguf_seed(fuzz_rng *r, q_buf *b) { q_buf_add(b, gguf.p, gguf.len); }
static void peft_seed(fuzz_rng *r, q_buf *b) { q_buf_add(b, peft.p, peft.len); }
static void folder_seed(fuzz_rng *r, q_buf *b) { q_buf_add(b, folder.p, folder.len); }

static int read_one(const char *name)
{
    char *path = at(name);
    eng_adapter *ad = NULL;
    err[0] = 0;
    int rc = eng_adapter_read(model, path, &ad, err), n = 0, bad = 0;
    const eng_low *l = rc ? NULL : eng_adapter_lows(ad, &n);
    for (int i = 0; i < n && !bad; i++) {
        int64_t ne[3];
        ker_role_shape(eng_model_arithmetic(model), l[i].layer, l[i].role, ne);
        if (l[i].n_in != ne[0] || l[i].n_out != ne[1] || l[i].n_expert != ne[2] || l[i].rank < 1 || !isfinite(l[i].scale)) bad = FUZZ_BROKEN("matrix %d of another shape", i);
        for (int64_t k = 0; k < ne[2] * l[i].rank * ne[0] && !bad; k++)
            if (!isfinite(l[i].a[k])) bad = FUZZ_BROKEN("a number that is none");
    }
    eng_adapter_free(ad);
    free(path);
    if (bad) return bad;
    return rc == Q_OK ? 1 : *err ? 0 : FUZZ_BROKEN("refused without a word");
}

static int gguf_run(const char *p, size_t n) { return write_file("f.gguf", p, n) ? read_one("f.gguf") : 0; }

static int peft_run(const char *p, size_t n)
{
    size_t k = strnlen(p, n);
    if (!write_file("peft/adapter_config.json", p, k) || !write_file("peft/adapter_model.safetensors", p + (k < n ? k + 1 : k), k < n ? n - k - 1 : 0)) return 0;
    return read_one("peft");
}

static int folder_run(const char *p, size_t n)
{
    size_t a = strnlen(p, n), b = a < n ? a + 1 + strnlen(p + a + 1, n - a - 1) : n;
    if (!write_file("model/config.json", p, a) || !write_file("model/tokenizer.json", p + (a < n ? a + 1 : n), a < n ? b - a - 1 : 0) ||
        !write_file("model/model.safetensors", p + (b < n ? b + 1 : n), b < n ? n - b - 1 : 0))
        return 0;
    char *from = at("model"), *to = at("made.gguf");
    err[0] = 0;
    int rc = eng_convert_folder(from, NULL, to, true, NULL, NULL, err);
    bool made = util_exists(to);
    if (made) unlink(to);
    free(from);
    free(to);
    if (made != (rc == Q_OK)) return FUZZ_BROKEN("%d, and the file is %s", rc, made ? "there" : "not there");
    return rc == Q_OK ? 1 : *err ? 0 : FUZZ_BROKEN("refused without a word");
}

const fuzz_target fuzz_adapter = { "adapter", 300, 20000, ready, gguf_seed, gguf_run, done, 1200 };
const fuzz_target fuzz_peft = { "peft", 300, 20000, ready, peft_seed, peft_run, done, 2400 };
const fuzz_target fuzz_folder = { "folder", 150, 10000, ready, folder_seed, folder_run, done, 14000 };
