/* The check that says whether a file runs here agrees with opening it, for every kind of damage: a tensor or a key that is
 * missing, every type id, a file cut anywhere, parts of a split one. Both are asked about the same file. */
#include "engine/engine.h"
#include "engine/models.h"
#include "engine/run/model.h"
#include "tests/test.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-check-XXXXXX", path[64];
static int agreed, refused;
static gguf_file *golden;
static q_buf whole;                    /* its bytes */

/* Opening and looking say the same of the file at `path`: yes, or no for the same reason. */
static void agree(const char *what)
{
    char opened[Q_ERRLEN] = "", looked[Q_ERRLEN] = "";
    eng_open_opts o = {.n_threads = 1};
    eng_model *m = NULL;
    gguf_file *f = NULL;
    uint64_t need;
    int a = eng_model_open(path, &o, &m, opened), b = gguf_look(path, &f, looked);
    eng_model_free(m);
    if (b == Q_OK) b = model_check(f, &need, looked);
    gguf_close(f);
    CHECK_MSG((a == Q_OK) == (b == Q_OK), "%s: opening says \"%s\", the check \"%s\"", what, opened, looked);
    const char *o_end = opened, *l_end = looked;
    if (strncmp(opened, path, strlen(path)) == 0) o_end += strlen(path);
    if (strncmp(looked, path, strlen(path)) == 0) l_end += strlen(path);
    else if (strncmp(looked, "this file", 9) == 0) l_end += 9;
    CHECK_MSG(strcmp(o_end, l_end) == 0, "%s: opening says \"%s\", the check \"%s\"", what, opened, looked);
    agreed++;
    refused += a != Q_OK;
}

static const gguf_tensor *copied;
static int fill(void *user, void *dst, size_t bytes, char *e)
{
    memcpy(dst, ((const gguf_tensor *)user)->data, bytes);
    return Q_OK;
}

/* The golden without one tensor or one key (-1: with all). */
static void write_without(const gguf_file *f, int tensor, int key)
{
    gguf_writer *w = gguf_writer_new();
    for (int i = 0; i < gguf_n_kv(f); i++) {
        char *name = q_strndup(gguf_kv_at(f, i)->key.p, gguf_kv_at(f, i)->key.n);
        if (i != key) gguf_put_kv(w, name, gguf_kv_at(f, i));
        free(name);
    }
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        copied = gguf_tensor_at(f, i);
        char *name = q_strndup(copied->name.p, copied->name.n);
        if (i != tensor) gguf_put_tensor(w, name, copied->type, copied->n_dims, copied->ne, fill, (void *)(uintptr_t)copied);
        free(name);
    }
    unlink(path);
    CHECK_MSG(gguf_write(w, path, NULL, NULL, err) == Q_OK, "%s", err);
    gguf_writer_free(w);
}

static void write_bytes(const char *p, size_t n)
{
    FILE *o = fopen(path, "wb");
    CHECK(o && fwrite(p, 1, n, o) == n);
    if (o) fclose(o);
}

static void every_part_missing(void)
{
    const gguf_file *f = golden;
    write_without(f, -1, -1);
    agree("whole");
    CHECK_INT(refused, 0);
    for (int i = 0; i < gguf_n_tensors(f); i++) { write_without(f, i, -1); agree("a tensor is missing"); }
    CHECK(refused > gguf_n_tensors(f) / 2);
    for (int i = 0; i < gguf_n_kv(f); i++) { write_without(f, -1, i); agree("a key is missing"); }
}

static void every_type(void)
{
    static const char *names[] = {"token_embd.weight", "blk.0.attn_norm.weight", "blk.1.ffn_up_exps.weight"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char *at = memmem(whole.p, whole.len, names[k], strlen(names[k]));
        CHECK(at != NULL);
        if (!at) return;
        uint32_t dims, was;
        memcpy(&dims, at + strlen(names[k]), 4);
        char *type = at + strlen(names[k]) + 4 + 8 * (size_t)dims;
        memcpy(&was, type, 4);
        for (uint32_t id = 0; id < KER_TYPE_LIMIT + 3; id++) {
            memcpy(type, &id, 4);
            write_bytes(whole.p, whole.len);
            agree(names[k]);
        }
        memcpy(type, &was, 4);
    }
}

static void cut_anywhere(void)
{
    for (int i = 0; i < 40; i++) {
        write_bytes(whole.p, whole.len * (size_t)i / 40);
        agree("cut");
    }
}

/* `model info` has words for every file whose header can be read, and tokenize needs the vocabulary alone. */
static void there_are_always_words(void)
{
    static const char *files[] = {"info-quant/mxfp4", "info-quant/q3k", "info-quant/part1of3", "info-runs-here/missing",
                                  "info-runs-here/rope_longrope", "info-runs-here/spm", "info-runs-here/tekken"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *p = q_printf("../shared/cases/%s.gguf", files[i]);
        q_buf out = {0};
        CHECK_MSG(eng_describe(p, false, &out, err) == Q_OK, "%s: %s", files[i], err);
        bool runs = strstr(files[i], "mxfp4") || strstr(files[i], "tekken");      /* refused once, known now */
        CHECK_MSG(out.p && (strstr(out.p, "runs here     no: ") == NULL) == runs, "%s: %s", files[i], out.p);
        bool odd = strstr(files[i], "spm");
        eng_model *m = NULL;
        eng_open_opts o = {.vocab_only = true};
        CHECK_MSG((eng_model_open(p, &o, &m, err) == Q_OK) == !odd, "%s: %s", files[i], err);
        eng_model_free(m);
        q_buf_free(&out);
        free(p);
    }
}

/* What opening takes beside the weights as they lie in the file: K_B where it is made of attn_kv_b, and the cells of a head that drafts. */
static void what_is_made_is_counted(void)
{
    static const struct { const char *name; bool made, next; } files[] = { {"deepseek2-lite", true, true}, {"deepseek2", false, true}, {"glm4moe-full", false, true}, {"qwen3moe", false, false} };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *p = q_printf("%s/golden/%s/model.gguf", getenv("BUILD") ? getenv("BUILD") : "build", files[i].name);
        eng_model *m = NULL;
        gguf_file *f = NULL;
        uint64_t need = 0, weights = 0;
        CHECK_MSG(eng_model_open(p, &(eng_open_opts){.n_threads = 1}, &m, err) == Q_OK && gguf_look(p, &f, err) == Q_OK && model_check(f, &need, err) == Q_OK, "%s", err);
        for (int t = 0; t < gguf_n_tensors(f) && !q_in_memory(p); t++) weights += gguf_tensor_at(f, t)->bytes;
        const ker_model *k = &m->ker;
        uint64_t layer = 1024 * 2 * (uint64_t)k->n_kv_head * (uint64_t)(ker_cell_k(k) + ker_cell_v(k)), beside = (uint64_t)(64 << 20) + layer * (uint64_t)k->n_layer;
        uint64_t k_b = files[i].made ? sizeof(float) * (uint64_t)((k->n_layer + files[i].next) * k->n_head * k->latent.kv_rank * k->latent.nope) : 0;
        CHECK_INT(need, weights + beside + k_b + (files[i].next ? layer : 0));
        q_buf text = {0};
        char want[64];
        CHECK(eng_describe(p, true, &text, err) == Q_OK);
        snprintf(want, sizeof want, "\"memory_needed\":\t%llu", (unsigned long long)need);
        CHECK_MSG(strstr(text.p, want) != NULL, "%s: %s is not in %s", files[i].name, want, text.p);
        q_buf_free(&text);
        gguf_close(f);
        eng_model_free(m);
        free(p);
    }
}

int main(void)
{
    setlocale(LC_ALL, "C");
    char *file = q_printf("%s/golden/qwen3moe/model.gguf", getenv("BUILD") ? getenv("BUILD") : "build");
    if (!mkdtemp(dir) || gguf_open(file, &golden, err) || q_read_file(file, &whole, 64 << 20, err)) {
        printf("not ok test_check: %s\n", err);
        return 1;
    }
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    RUN(every_part_missing);
    RUN(every_type);
    RUN(cut_anywhere);
    RUN(what_is_made_is_counted);
    if (access("../shared/cases/info-quant", R_OK) == 0) RUN(there_are_always_words);
    else SKIP("there_are_always_words", "../shared/cases is absent");
    printf("# %d files, %d of them refused, by both for the same reason\n", agreed, refused);
    gguf_close(golden);
    free(file);
    q_buf_free(&whole);
    unlink(path);
    rmdir(dir);
    return TEST_END();
}
