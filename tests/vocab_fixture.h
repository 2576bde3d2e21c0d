/* tests: a small vocabulary as a GGUF in memory, built from tests/golden/tokenizer/merges.txt: the 256 bytes
 * in byte order, the results of the merges in order, then the added tokens of ChatML. */
#ifndef QUORUM_VOCAB_FIXTURE_H
#define QUORUM_VOCAB_FIXTURE_H
#include "tests/packed.h"
#include "engine/file/gguf.h"
#include <stdlib.h>
#include <string.h>

typedef struct fixture { q_buf file; int n_plain; } fixture;

static inline void fx_u32(q_buf *b, uint32_t v) { q_buf_add(b, &v, 4); }
static inline void fx_u64(q_buf *b, uint64_t v) { q_buf_add(b, &v, 8); }
static inline void fx_text(q_buf *b, const char *s, size_t n) { fx_u64(b, n); q_buf_add(b, s, n); }
static inline void fx_key(q_buf *b, const char *k, uint32_t type) { fx_text(b, k, strlen(k)); fx_u32(b, type); }
static inline void fx_str(q_buf *b, const char *k, const char *v) { fx_key(b, k, GGUF_STR); fx_text(b, v, strlen(v)); }

/* Added tokens: name and token_type. */
static const struct { const char *name; uint32_t type; } FX_ADDED[] = {
    {"<|endoftext|>", 3}, {"<|im_start|>", 3}, {"<|im_end|>", 3}, {"<tool_response>", 4}, {"</tool_response>", 4},
    {"<think>", 4}, {"</think>", 4}, {"<thinker>", 4}, {"<|begin_of_text|>", 3}, {"<|start_header_id|>", 3},
    {"<|end_header_id|>", 3}, {"<|eot_id|>", 3}, {"[gMASK]", 3}, {"<sop>", 3}, {"<|system|>", 3}, {"<|user|>", 3},
    {"<|assistant|>", 3}, {"<|observation|>", 3}, {"/nothink", 4},
    {"   ", 4}, {"\n\n\n", 4},
};
enum { FX_N_ALL = sizeof FX_ADDED / sizeof *FX_ADDED, FX_N_ADDED = FX_N_ALL - 2 };
static bool fx_blanks;                   /* the runs of white space too, which are matched in any text */

/* Where set: merges that join the letters of this name step by step, each step and the whole an ordinary token. */
static const char *fx_joined;

/* template_text may be NULL; bos: add_bos_token with <|endoftext|>. False when merges.txt is absent. */
static inline bool fixture_make(fixture *f, const char *pre, const char *template_text, bool bos)
{
    char why[Q_ERRLEN];
    q_buf m = {0}, tok = {0}, mer = {0}, *b = &f->file;
    memset(f, 0, sizeof *f);
    if (q_read_file(packed("tests/golden/tokenizer/merges.txt"), &m, 1 << 20, why)) return false;
    uint32_t n_tok = 0, n_mer = 0, extra = 0x100;
    for (unsigned c = 0; c < 256; c++, n_tok++) {
        bool self = (c >= 33 && c <= 126) || (c >= 161 && c != 173);
        char u[4];
        fx_text(&tok, u, (size_t)q_utf8_put(u, self ? c : extra++));
    }
    for (char *l = m.p, *end; *l && (end = strchr(l, '\n')); l = end + 1, n_mer++, n_tok++) {
        char *gap = strchr(l, ' ');
        fx_text(&mer, l, (size_t)(end - l));
        char *both = q_printf("%.*s%.*s", (int)(gap - l), l, (int)(end - gap - 1), gap + 1);
        fx_text(&tok, both, strlen(both));
        free(both);
    }
    for (size_t k = 2; fx_joined && k <= strlen(fx_joined); k++, n_mer++, n_tok++) {
        char *pair = q_printf("%.*s %c", (int)k - 1, fx_joined, fx_joined[k - 1]);
        fx_text(&mer, pair, strlen(pair));
        fx_text(&tok, fx_joined, k);
        free(pair);
    }
    f->n_plain = (int)n_tok;
    for (int i = 0; i < (fx_blanks ? FX_N_ALL : FX_N_ADDED); i++, n_tok++) fx_text(&tok, FX_ADDED[i].name, strlen(FX_ADDED[i].name));
    q_buf_puts(b, "GGUF");
    fx_u32(b, 3);
    fx_u64(b, 0);
    fx_u64(b, template_text ? 10 : 9);
    fx_str(b, "general.architecture", "llama");
    fx_str(b, "tokenizer.ggml.model", "gpt2");
    fx_str(b, "tokenizer.ggml.pre", pre);
    fx_key(b, "tokenizer.ggml.tokens", GGUF_ARR); fx_u32(b, GGUF_STR); fx_u64(b, n_tok); q_buf_add(b, tok.p, tok.len);
    fx_key(b, "tokenizer.ggml.token_type", GGUF_ARR); fx_u32(b, GGUF_I32); fx_u64(b, n_tok);
    for (uint32_t i = 0; i < n_tok; i++) fx_u32(b, i < (uint32_t)f->n_plain ? 1 : FX_ADDED[i - (uint32_t)f->n_plain].type);
    fx_key(b, "tokenizer.ggml.merges", GGUF_ARR); fx_u32(b, GGUF_STR); fx_u64(b, n_mer); q_buf_add(b, mer.p, mer.len);
    fx_key(b, "tokenizer.ggml.eos_token_id", GGUF_U32); fx_u32(b, (uint32_t)f->n_plain + 2);
    fx_key(b, "tokenizer.ggml.bos_token_id", GGUF_U32); fx_u32(b, (uint32_t)f->n_plain);
    fx_key(b, "tokenizer.ggml.add_bos_token", GGUF_BOOL); q_buf_putc(b, bos);
    if (template_text) fx_str(b, "tokenizer.chat_template", template_text);
    q_buf_free(&m);
    q_buf_free(&tok);
    q_buf_free(&mer);
    return true;
}
#endif
