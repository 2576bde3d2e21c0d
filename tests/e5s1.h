/* tests: a small embedding model in the form E5S1 (engine/make/e5.c), with a table of characters, both kinds of tensors and
 * rows that no piece names. */
#ifndef QUORUM_TESTS_E5S1_H
#define QUORUM_TESTS_E5S1_H
#include "base/base.h"
#include <stdlib.h>
#include <string.h>

enum { E5_DIM = 32, E5_LAYERS = 2, E5_HEADS = 4, E5_FF = 64, E5_ROWS = 20, E5_POSITIONS = 16, E5_TYPES = 2, E5_TENSORS = 5 + 16 * E5_LAYERS };
static const char *const E5_PIECES[] = {"<s>", "<pad>", "</s>", "<unk>", "\xE2\x96\x81", "\xE2\x96\x81" "a", "b", "ab", "\xC3\xA9", "é\xD0\xB9", "fi", "c", "<mask>"};
enum { E5_N_PIECES = sizeof E5_PIECES / sizeof *E5_PIECES };

/* Where the parts begin, for those who damage them. */
typedef struct e5_places { size_t pieces, table, tensors, data; } e5_places;

static inline void e5_u32(q_buf *b, uint32_t v) { q_buf_add(b, &v, 4); }
static inline void e5_u64(q_buf *b, uint64_t v) { q_buf_add(b, &v, 8); }
static inline void e5_f32(q_buf *b, float v) { q_buf_add(b, &v, 4); }

static inline void e5_tensor(q_buf *dir, q_buf *data, const char *name, int64_t in, int64_t out, size_t base)
{
    bool small = out == 0 || in * out % 64;                /* some of both kinds */
    uint64_t n = (uint64_t)(in * (out ? out : 1)), bytes = small ? n * 4 : n / 32 * 18;
    uint16_t len = (uint16_t)strlen(name);
    while ((base + data->len) % 64) q_buf_putc(data, 0);
    q_buf_add(dir, &len, 2);
    q_buf_puts(dir, name);
    q_buf_putc(dir, small ? 0 : 1);
    e5_u32(dir, (uint32_t)n);
    e5_u64(dir, base + data->len);
    e5_u64(dir, bytes);
    for (uint64_t i = 0; i < bytes; i++) q_buf_putc(data, (char)(q_hash64(&i, sizeof i, (uint64_t)dir->len) & 0x3F));
}

static inline void e5s1_make(q_buf *b, e5_places *at)
{
    q_buf names = {0}, dir = {0}, data = {0};
    const uint32_t shape[] = {E5_DIM, E5_LAYERS, E5_HEADS, E5_FF, E5_ROWS, E5_POSITIONS, E5_TYPES};
    q_buf_puts(b, "E5S1");
    e5_u32(b, 1);
    q_buf_add(b, shape, sizeof shape);
    e5_f32(b, 1e-12f);
    e5_u32(b, 32);
    at->pieces = b->len;
    e5_u32(b, E5_N_PIECES);
    e5_u32(b, 0), e5_u32(b, 2), e5_u32(b, 1), e5_u32(b, 3);
    for (int i = 0; i < E5_N_PIECES; i++) q_buf_puts(&names, E5_PIECES[i]);
    e5_u64(b, names.len);
    size_t end = 0;
    for (int i = 0; i <= E5_N_PIECES; i++) {
        e5_u32(b, (uint32_t)end);
        if (i < E5_N_PIECES) end += strlen(E5_PIECES[i]);
    }
    for (int i = 0; i < E5_N_PIECES; i++) e5_f32(b, i < 4 ? 0 : -1.5f - .25f * (float)i);
    q_buf_add(b, names.p, names.len);
    at->table = b->len;
    static const struct { uint32_t from; int n; uint32_t to[2]; } table[] = {{0xFB01, 2, {'f', 'i'}}, {'\t', 1, {' '}}, {0x200B, 0, {0}}, {0xC1, 1, {'a'}}};
    e5_u32(b, 4);
    e5_u32(b, 0);
    for (int i = 0; i < 4; i++) {
        e5_u32(b, table[i].from);
        q_buf_putc(b, (char)table[i].n);
        q_buf_add(b, table[i].to, 4 * (size_t)table[i].n);
    }
    at->tensors = b->len;
    static const struct { const char *name; int64_t in, out; } all[] = {{"emb.word", E5_DIM, E5_ROWS}, {"emb.pos", E5_DIM, E5_POSITIONS},
        {"emb.type", E5_DIM, E5_TYPES}, {"emb.ln.w", E5_DIM, 0}, {"emb.ln.b", E5_DIM, 0}};
    static const struct { const char *name; int64_t in, out; } layer[] = {{"q.w", E5_DIM, E5_DIM}, {"q.b", E5_DIM, 0}, {"k.w", E5_DIM, E5_DIM},
        {"k.b", E5_DIM, 0}, {"v.w", E5_DIM, E5_DIM}, {"v.b", E5_DIM, 0}, {"ao.w", E5_DIM, E5_DIM}, {"ao.b", E5_DIM, 0}, {"aln.w", E5_DIM, 0},
        {"aln.b", E5_DIM, 0}, {"fi.w", E5_DIM, E5_FF}, {"fi.b", E5_FF, 0}, {"fo.w", E5_FF, E5_DIM}, {"fo.b", E5_DIM, 0}, {"oln.w", E5_DIM, 0}, {"oln.b", E5_DIM, 0}};
    e5_u32(b, E5_TENSORS);
    for (int pass = 0; pass < 2; pass++) {                 /* the directory's length first, then with the places */
        size_t base = b->len + dir.len;
        q_buf_clear(&dir);
        q_buf_clear(&data);
        for (int i = 0; i < 5; i++) e5_tensor(&dir, &data, all[i].name, all[i].in, all[i].out, base);
        for (int l = 0; l < E5_LAYERS; l++)
            for (int i = 0; i < 16; i++) {
                char *name = q_printf("l%d.%s", l, layer[i].name);
                e5_tensor(&dir, &data, name, layer[i].in, layer[i].out, base);
                free(name);
            }
    }
    q_buf_add(b, dir.p, dir.len);
    at->data = b->len;
    q_buf_add(b, data.p, data.len);
    q_buf_free(&names);
    q_buf_free(&dir);
    q_buf_free(&data);
}
#endif
