/* tests/models/mainline: what llama.cpp makes of a model, for comparison: MODEL tokenize < TEXT prints the ids of the text, none
 * added, control tokens being letters; MODEL logits OUT.f32 1,2,3 writes [tokens][vocabulary] float32. Built against llama.h and
 * libllama by tests/models/real.py; one thread, the CPU, cells in F32. */
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
    fprintf(stderr, "mainline: %s\n", what);
    return 1;
}

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static int tokenize(const struct llama_model *m)
{
    size_t n = 0, cap = 1 << 20;
    char *text = malloc(cap);
    for (size_t k; (k = fread(text + n, 1, cap - n, stdin)) > 0;)
        if ((n += k) == cap) text = realloc(text, cap *= 2);
    int32_t most = (int32_t)n + 8, *id = malloc((size_t)most * sizeof *id);
    int32_t count = llama_tokenize(llama_model_get_vocab(m), text, (int32_t)n, id, most, false, false);
    if (count < 0) return fail("more tokens than bytes");
    for (int32_t i = 0; i < count; i++) printf("%s%d", i ? " " : "", id[i]);
    printf("\n");
    free(id);
    free(text);
    return 0;
}

static int logits(struct llama_model *m, const char *path, const char *list)
{
    int32_t id[4096], n = 0, n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    for (char *end; n < 4096 && *list; list = *end ? end + 1 : end) id[n++] = (int32_t)strtol(list, &end, 10);
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = 4096;
    p.n_threads = p.n_threads_batch = 2;
    p.type_k = p.type_v = GGML_TYPE_F32;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *c = llama_init_from_model(m, p);
    struct llama_batch b = llama_batch_init(n, 0, 1);
    FILE *f = fopen(path, "wb");
    if (!c || !f) return fail("no context, or no file to write");
    for (b.n_tokens = 0; b.n_tokens < n; b.n_tokens++) {
        b.token[b.n_tokens] = id[b.n_tokens];
        b.pos[b.n_tokens] = b.n_tokens;
        b.n_seq_id[b.n_tokens] = 1;
        b.seq_id[b.n_tokens][0] = 0;
        b.logits[b.n_tokens] = 1;
    }
    if (llama_decode(c, b)) return fail("it cannot be evaluated");
    for (int32_t i = 0; i < n; i++)
        if (fwrite(llama_get_logits_ith(c, i), sizeof(float), (size_t)n_vocab, f) != (size_t)n_vocab) return fail("the file cannot be written");
    llama_batch_free(b);
    llama_free(c);
    return fclose(f) ? fail("the file cannot be written") : 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fail("MODEL tokenize | MODEL logits OUT.f32 1,2,3");
    llama_log_set(quiet, NULL);
    llama_backend_init();
    ggml_backend_load_all();
    struct llama_model_params p = llama_model_default_params();
    p.vocab_only = strcmp(argv[2], "tokenize") == 0;
    struct llama_model *m = llama_model_load_from_file(argv[1], p);
    if (!m) return fail("the model cannot be opened");
    int rc = p.vocab_only ? tokenize(m) : argc == 5 ? logits(m, argv[3], argv[4]) : fail("logits OUT.f32 1,2,3");
    llama_model_free(m);
    return rc;
}
