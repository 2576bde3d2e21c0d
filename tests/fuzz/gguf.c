/* tests/fuzz/gguf: mutated GGUF files through the reader, and mutated headers of whole models through
 * eng_model_open. What is accepted must lie inside the file and can be read to the last byte. */
#include "engine/engine.h"
#include "engine/text/template.h"
#include "tests/engine_util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/vocab_fixture.h"

#include <sys/mman.h>

/* ---- the reader ---- */
static void small_tensor(q_buf *b, const char *name, uint32_t dims, uint64_t a, uint64_t c, uint32_t type, uint64_t off)
{
    fx_text(b, name, strlen(name));
    fx_u32(b, dims);
    for (uint32_t i = 0; i < dims; i++) fx_u64(b, i == 0 ? a : i == 1 ? c : 1);
    fx_u32(b, type);
    fx_u64(b, off);
}

static void gguf_seed(fuzz_rng *r, q_buf *b)
{
    if (fuzz_below(r, 4) == 0) {                           /* a vocabulary: arrays of strings and numbers */
        static const char *fam[] = {"gpt2", "smollm", "llama-bpe", "qwen2"};
        fixture f;
        if (fixture_make(&f, fam[fuzz_below(r, 4)], "{{ '<|im_start|>system\\nYou.<|im_end|>' }}", true)) { *b = f.file; return; }
    }
    q_buf_puts(b, "GGUF");
    fx_u32(b, 2 + fuzz_below(r, 2));
    fx_u64(b, 4);
    fx_u64(b, 8);
    fx_str(b, "general.architecture", "qwen3moe");
    fx_key(b, "general.alignment", GGUF_U32); fx_u32(b, 32);
    fx_key(b, "a.u8", GGUF_U8); q_buf_putc(b, 7);
    fx_key(b, "a.f64", GGUF_F64); fx_u64(b, 0x3FF8000000000000);
    fx_key(b, "a.bool", GGUF_BOOL); q_buf_putc(b, 1);
    fx_key(b, "a.i16s", GGUF_ARR); fx_u32(b, GGUF_I16); fx_u64(b, 3); q_buf_add(b, "\1\0\2\0\3\0", 6);
    fx_key(b, "a.strs", GGUF_ARR); fx_u32(b, GGUF_STR); fx_u64(b, 2); fx_text(b, "one", 3); fx_text(b, "", 0);
    fx_key(b, "split.count", GGUF_U16); q_buf_add(b, "\1\0", 2);
    small_tensor(b, "token_embd.weight", 2, 64, 4, 8, 0);          /* Q8_0: 4 * 68 = 272 */
    small_tensor(b, "blk.0.f32", 1, 9, 1, 0, 288);
    small_tensor(b, "blk.0.q4_k", 2, 256, 2, 12, 352);             /* 288 bytes */
    small_tensor(b, "blk.0.i16", 3, 5, 3, 25, 640);
    while (b->len % 32) q_buf_putc(b, 0);
    for (int i = 0; i < 640 + 30; i++) q_buf_putc(b, (char)i);
}

static int gguf_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    gguf_file *f = NULL;
    int rc = gguf_open_memory(p, n, &f, err);
    if (rc) return rc < 0 && err[0] && !f && !strchr(err, '\n') && q_utf8_valid(err, strlen(err)) ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
    unsigned sum = 0;
    for (int i = 0; i < gguf_n_kv(f); i++) {
        const gguf_kv *kv = gguf_kv_at(f, i);
        char *key = q_strndup(kv->key.p, kv->key.n);
        uint64_t u;
        double d;
        bool yes;
        gguf_str s;
        sum += gguf_u64(f, key, &u) + gguf_f64(f, key, &d) + gguf_bool(f, key, &yes) + gguf_string(f, key, &s);
        if ((const char *)kv->data < p || (const char *)kv->data + kv->bytes > p + n) rc = FUZZ_BROKEN("value of %s outside the file", key);
        for (uint64_t k = 0; kv->type == GGUF_ARR && k < kv->count; k++)
            if (kv->strings) { for (size_t c = 0; c < kv->strings[k].n; c++) sum += (unsigned char)kv->strings[k].p[c]; }
            else sum += gguf_arr_f64(kv, k, &d);
        free(key);
    }
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        const char *d = t->data;
        if (d < p || d + t->bytes > p + n || t->bytes == 0) rc = FUZZ_BROKEN("tensor %d outside the file", i);
        else sum += (unsigned char)d[0] + (unsigned char)d[t->bytes - 1];
    }
    vocab *v = NULL;
    if (!rc && vocab_load(f, &v, err) == 0) {              /* a damaged vocabulary that loads must still work */
        eng_tokens t = {0};
        eng_message m = {ENG_USER, "Привет, it's 2026 <|im_end|>", 33, NULL};
        chat frame;
        chat_read(f, &frame);
        if (chat_render(&frame, v, &m, 1, true, 0, &t, err)) rc = FUZZ_BROKEN("render: %s", err);
        chat_free(&frame);
        for (int i = 0; i < t.n; i++) {
            size_t len;
            const char *s = vocab_bytes(v, t.id[i], &len);
            if (t.id[i] < 0 || t.id[i] >= vocab_size(v)) rc = FUZZ_BROKEN("id %d", t.id[i]);
            for (size_t c = 0; c < len; c++) sum += (unsigned char)s[c];
        }
        eng_tokens_free(&t);
        vocab_free(v);
    }
    gguf_close(f);
    return rc < 0 ? rc : 1 + (sum == 1u << 31);
}

const fuzz_target fuzz_gguf = {"gguf", 2500, 20000, NULL, gguf_seed, gguf_run, NULL, 700};

/* ---- whole models ---- */
static q_buf models[2];

static bool model_ready(void)
{
    static const char *arch[2] = {"qwen3moe", "glm4moe"};
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        char err[Q_ERRLEN], *path = util_model(arch[i]);
        if (q_read_file(path, &models[i], (size_t)1 << 26, err) || models[i].len < 1000) ok = false;
        unlink(path);
        free(path);
    }
    return ok;
}

static void model_seed(fuzz_rng *r, q_buf *b)
{
    const q_buf *m = &models[fuzz_below(r, 2)];
    q_buf_add(b, m->p, m->len);
}

static int model_run(const char *p, size_t n)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n) return FUZZ_BROKEN("cannot write a file in memory");
    char path[64], err[Q_ERRLEN] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    eng_open_opts o = {.n_threads = 1};
    eng_model *m = NULL;
    eng_session *s = NULL;
    int rc = eng_model_open(path, &o, &m, err);
    if (rc) rc = err[0] && !m && !strchr(err, '\n') ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
    else {
        rc = 1;
        eng_config *c = eng_config_new(m);
        const int32_t tokens[] = {1, 2};
        if (eng_session_new(m, c, &s, err) == 0) eng_session_sync(s, tokens, 2, ENG_CONTINUE, NULL, NULL, err);
        eng_session_free(s);
        eng_config_free(c);
    }
    eng_model_free(m);
    close(fd);
    return rc;
}

static void model_done(void) { q_buf_free(&models[0]); q_buf_free(&models[1]); }

const fuzz_target fuzz_model = {"model", 150, 10000, model_ready, model_seed, model_run, model_done, 12000};
