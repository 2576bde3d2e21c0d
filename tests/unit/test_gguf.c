/* The GGUF reader against files built here byte by byte: every value type is read back, and each kind
 * of damage (cut, oversized, overlapping, misaligned, doubled, absurd, unknown) is refused with the
 * sentence that belongs to it. Also reads the golden models where they are. */
#include "engine/file/gguf.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <unistd.h>

static void u32(q_buf *b, uint32_t v) { q_buf_add(b, &v, 4); }
static void u64(q_buf *b, uint64_t v) { q_buf_add(b, &v, 8); }
static void str(q_buf *b, const char *s) { u64(b, strlen(s)); q_buf_puts(b, s); }
static void head(q_buf *b, uint32_t version, uint64_t tensors, uint64_t kvs)
{
    q_buf_clear(b);
    q_buf_puts(b, "GGUF");
    u32(b, version);
    u64(b, tensors);
    u64(b, kvs);
}
static void kv_u32(q_buf *b, const char *k, uint32_t v) { str(b, k); u32(b, GGUF_U32); u32(b, v); }
static void kv_str(q_buf *b, const char *k, const char *v) { str(b, k); u32(b, GGUF_STR); str(b, v); }
static void tensor(q_buf *b, const char *name, int dims, uint64_t a, uint64_t c, uint32_t type, uint64_t off)
{
    str(b, name);
    u32(b, (uint32_t)dims);
    for (int i = 0; i < dims; i++) u64(b, i == 0 ? a : i == 1 ? c : 1);
    u32(b, type);
    u64(b, off);
}
static void pad(q_buf *b, size_t align, size_t data)
{
    while (b->len % align) q_buf_putc(b, 0);
    for (size_t i = 0; i < data; i++) q_buf_putc(b, (char)i);
}

/* Opens a copy that is exactly as long as the text, so that ASan sees a read past the end. */
static int try_open(const q_buf *b, char *err)
{
    char *p = malloc(b->len ? b->len : 1);
    if (b->len) memcpy(p, b->p, b->len);
    gguf_file *f = NULL;
    err[0] = 0;
    int r = gguf_open_memory(p, b->len, &f, err);
    CHECK((r == 0) == (f != NULL));
    gguf_close(f);
    free(p);
    return r;
}
#define REFUSED(b, words) do { char e_[Q_ERRLEN]; int r_ = try_open(b, e_); \
    CHECK_INT(r_, Q_FORMAT); CHECK_MSG(strstr(e_, words) && !strchr(e_, '\n'), "said \"%s\"", e_); } while (0)
#define ACCEPTED(b) do { char e_[Q_ERRLEN]; int r_ = try_open(b, e_); CHECK_MSG(r_ == 0, "%s", e_); } while (0)

static void test_values(void)
{
    q_buf b = {0};
    head(&b, 3, 0, 15);
    str(&b, "u8"); u32(&b, GGUF_U8); q_buf_putc(&b, (char)200);
    str(&b, "i8"); u32(&b, GGUF_I8); q_buf_putc(&b, (char)-5);
    str(&b, "u16"); u32(&b, GGUF_U16); q_buf_add(&b, &(uint16_t){60000}, 2);
    str(&b, "i16"); u32(&b, GGUF_I16); q_buf_add(&b, &(int16_t){-300}, 2);
    kv_u32(&b, "u32", 4000000000u);
    str(&b, "i32"); u32(&b, GGUF_I32); q_buf_add(&b, &(int32_t){7}, 4);
    str(&b, "f32"); u32(&b, GGUF_F32); q_buf_add(&b, &(float){1.5f}, 4);
    str(&b, "yes"); u32(&b, GGUF_BOOL); q_buf_putc(&b, 1);
    kv_str(&b, "str", "текст");
    str(&b, "u64"); u32(&b, GGUF_U64); u64(&b, UINT64_MAX);
    str(&b, "i64"); u32(&b, GGUF_I64); u64(&b, (uint64_t)-9);
    str(&b, "f64"); u32(&b, GGUF_F64); q_buf_add(&b, &(double){4096.0}, 8);
    str(&b, "strs"); u32(&b, GGUF_ARR); u32(&b, GGUF_STR); u64(&b, 3); str(&b, "a"); str(&b, ""); str(&b, "ccc");
    str(&b, "ints"); u32(&b, GGUF_ARR); u32(&b, GGUF_I16); u64(&b, 2); q_buf_add(&b, (int16_t[]){-1, 9}, 4);
    str(&b, "none"); u32(&b, GGUF_ARR); u32(&b, GGUF_F32); u64(&b, 0);
    char err[Q_ERRLEN];
    gguf_file *f;
    CHECK_INT(gguf_open_memory(b.p, b.len, &f, err), 0);
    uint64_t u = 0;
    double d = 0;
    bool yes = false;
    gguf_str s;
    CHECK(gguf_u64(f, "u8", &u) && u == 200);
    CHECK(!gguf_u64(f, "i8", &u) && gguf_f64(f, "i8", &d) && d == -5);
    CHECK(gguf_u64(f, "u16", &u) && u == 60000);
    CHECK(gguf_f64(f, "i16", &d) && d == -300);
    CHECK(gguf_u64(f, "u32", &u) && u == 4000000000u);
    CHECK(gguf_u64(f, "i32", &u) && u == 7);
    CHECK(!gguf_u64(f, "f32", &u) && gguf_f64(f, "f32", &d) && d == 1.5);
    CHECK(gguf_bool(f, "yes", &yes) && yes && !gguf_u64(f, "yes", &u) && !gguf_bool(f, "i32", &yes));
    CHECK(gguf_string(f, "str", &s) && s.n == 10 && memcmp(s.p, "текст", 10) == 0 && !gguf_string(f, "u8", &s));
    CHECK(gguf_u64(f, "u64", &u) && u == UINT64_MAX);
    CHECK(!gguf_u64(f, "i64", &u) && gguf_f64(f, "i64", &d) && d == -9);
    CHECK(gguf_u64(f, "f64", &u) && u == 4096);
    const gguf_kv *k = gguf_find(f, "strs");
    CHECK(k && k->count == 3 && k->strings[2].n == 3 && k->strings[1].n == 0 && !gguf_arr_f64(k, 0, &d));
    k = gguf_find(f, "ints");
    CHECK(k && gguf_arr_f64(k, 0, &d) && d == -1 && gguf_arr_f64(k, 1, &d) && d == 9 && !gguf_arr_f64(k, 2, &d));
    CHECK(gguf_find(f, "none") && gguf_find(f, "none")->count == 0 && !gguf_find(f, "nosuch"));
    CHECK_INT(gguf_n_kv(f), 15);
    gguf_close(f);
    for (size_t n = 0; n < b.len; n++) {                    /* every truncation is refused */
        q_buf part = {b.p, n, n};
        REFUSED(&part, n < 4 ? "not a GGUF" : n < 24 ? "ends in the middle" : "");
    }
    q_buf_free(&b);
}

static void good_tensors(q_buf *b, uint32_t version)
{
    head(b, version, 2, 1);
    kv_str(b, "general.architecture", "llama");
    tensor(b, "a", 2, 32, 2, 8, 0);              /* Q8_0: 2 rows of 34 bytes */
    tensor(b, "b", 1, 5, 1, 0, 96);
    pad(b, 32, 96 + 20);
}

static void test_tensors(void)
{
    q_buf b = {0};
    char err[Q_ERRLEN];
    for (uint32_t v = 2; v <= 3; v++) {
        good_tensors(&b, v);
        gguf_file *f;
        CHECK_INT(gguf_open_memory(b.p, b.len, &f, err), 0);
        const gguf_tensor *t = gguf_tensor_find(f, "a");
        CHECK(t && t->bytes == 68 && t->ne[0] == 32 && t->ne[1] == 2 && t->ne[2] == 1 && t->offset == gguf_data_offset(f));
        t = gguf_tensor_find(f, "b");
        CHECK(t && t->bytes == 20 && ((const unsigned char *)t->data)[0] == 96 && !gguf_tensor_find(f, "c"));
        CHECK(gguf_data_offset(f) % 32 == 0 && gguf_n_tensors(f) == 2 && !gguf_tensor_at(f, 2));
        gguf_close(f);
    }
    b.len--;
    REFUSED(&b, "beyond the end");
    q_buf_free(&b);
}

static void test_refusals(void)
{
    q_buf b = {0};
    head(&b, 1, 0, 0); REFUSED(&b, "version 1");
    head(&b, 4, 0, 0); REFUSED(&b, "version 4");
    head(&b, 0x03000000, 0, 0); REFUSED(&b, "big-endian");
    head(&b, 3, 0, 0); memcpy(b.p, "GGML", 4); REFUSED(&b, "not a GGUF");
    static const struct { const char *begin; size_t n; const char *says; } others[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0", 55, "Git LFS"}, {"<!doctype html><title>404", 25, "web page"},
        {"\n\n <html>", 9, "web page"}, {"\xEF\xBB\xBF<html><head>", 15, "web page"}, {"{\"error\":\"no\"}", 14, "JSON"}, {"tjgg\3\0\0\0aaaa", 12, "older form"},
        {"lmgg\1\0\0\0", 8, "older form"}, {"PK\3\4aaaaaaaa", 12, "archive"}, {"\037\213\010\0\0\0", 6, "archive"},
        {"\2\0\0\0\0\0\0\0{}", 10, "safetensors"}, {"GGU", 3, "not a GGUF"}, {"\0\0\0\0\0\0\0\0", 8, "not a GGUF"}, {"", 0, "not a GGUF"}, {"   ", 3, "not a GGUF"} };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        b.len = 0;
        q_buf_add(&b, others[i].begin, others[i].n);
        REFUSED(&b, others[i].says);
    }
    head(&b, 3, 0, 0); ACCEPTED(&b);
    head(&b, 3, 0, UINT64_MAX); REFUSED(&b, "claims");
    head(&b, 3, UINT64_MAX / 2, 0); REFUSED(&b, "claims");
    head(&b, 3, 0, 1); u64(&b, UINT64_MAX - 7); q_buf_puts(&b, "aaaaaaaaaaaaaaaaaaaa"); REFUSED(&b, "ends in the middle");
    head(&b, 3, 0, 1); str(&b, ""); u32(&b, GGUF_U64); u64(&b, 1); REFUSED(&b, "key of 0 bytes");
    head(&b, 3, 0, 1); str(&b, "k"); u32(&b, 13); u64(&b, 1); REFUSED(&b, "unknown value type 13");
    head(&b, 3, 0, 1); str(&b, "k\n\x1b[31m"); u32(&b, 99); u64(&b, 1); REFUSED(&b, "k??[31m");
    head(&b, 3, 0, 1); str(&b, "k"); u32(&b, GGUF_BOOL); q_buf_putc(&b, 2); REFUSED(&b, "neither 0 nor 1");
    head(&b, 3, 0, 1); str(&b, "k"); u32(&b, GGUF_ARR); u32(&b, GGUF_BOOL); u64(&b, 2); q_buf_add(&b, "\1\3", 2); REFUSED(&b, "neither 0 nor 1");
    head(&b, 3, 0, 1); str(&b, "k"); u32(&b, GGUF_ARR); u32(&b, GGUF_ARR); u64(&b, 1); REFUSED(&b, "array of arrays");
    head(&b, 3, 0, 1); str(&b, "k"); u32(&b, GGUF_ARR); u32(&b, 77); u64(&b, 1); REFUSED(&b, "unknown type 77");
    head(&b, 3, 0, 1); str(&b, "k"); u32(&b, GGUF_ARR); u32(&b, GGUF_F64); u64(&b, UINT64_MAX / 8 + 2); REFUSED(&b, "more than the file can hold");
    head(&b, 3, 0, 1); str(&b, "k"); u32(&b, GGUF_ARR); u32(&b, GGUF_STR); u64(&b, 2); str(&b, "12345678"); REFUSED(&b, "ends in the middle");
    head(&b, 3, 0, 2); kv_u32(&b, "k", 1); kv_u32(&b, "k", 1); REFUSED(&b, "appears twice");
    head(&b, 3, 0, 1); str(&b, "split.count"); u32(&b, GGUF_U16); q_buf_add(&b, &(uint16_t){3}, 2); q_buf_puts(&b, "..."); REFUSED(&b, "one of 3 parts");
    head(&b, 3, 0, 1); kv_u32(&b, "general.alignment", 0); REFUSED(&b, "general.alignment");
    head(&b, 3, 0, 1); kv_u32(&b, "general.alignment", 12); REFUSED(&b, "general.alignment");
    head(&b, 3, 0, 1); kv_str(&b, "general.alignment", "32"); REFUSED(&b, "general.alignment");
    head(&b, 3, 1, 1); kv_u32(&b, "general.alignment", 64); tensor(&b, "a", 1, 4, 1, 0, 32); pad(&b, 64, 200); REFUSED(&b, "multiple of 64");
    head(&b, 3, 1, 1); kv_u32(&b, "general.alignment", 64); tensor(&b, "a", 1, 4, 1, 0, 64); pad(&b, 64, 200); ACCEPTED(&b);

    head(&b, 3, 1, 0); tensor(&b, "a", 0, 0, 0, 0, 0); pad(&b, 32, 64); REFUSED(&b, "dimensions");
    head(&b, 3, 1, 0); tensor(&b, "a", 5, 1, 1, 0, 0); pad(&b, 32, 64); REFUSED(&b, "dimensions");
    head(&b, 3, 1, 0); tensor(&b, "a", 2, 4, 0, 0, 0); pad(&b, 32, 64); REFUSED(&b, "dimension of 0");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 1ull << 63, 1, 0, 0); pad(&b, 32, 64); REFUSED(&b, "dimension of");
    head(&b, 3, 1, 0); tensor(&b, "a", 2, 1ull << 40, 1ull << 40, 0, 0); pad(&b, 32, 64); REFUSED(&b, "larger than the file");
    head(&b, 3, 1, 0); tensor(&b, "a", 2, 1ull << 62, 4, 0, 0); pad(&b, 32, 64); REFUSED(&b, "larger than the file");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 33, 1, 8, 0); pad(&b, 32, 64); REFUSED(&b, "multiple of the 32 that Q8_0");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 256, 1, 4, 0); pad(&b, 32, 640); REFUSED(&b, "type Q4_2");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 256, 1, 41, 0); pad(&b, 32, 640); REFUSED(&b, "type Q1_0");
    head(&b, 3, 2, 0); tensor(&b, "a.weight", 1, 64, 1, 40, 0); tensor(&b, "b.scale", 1, 1, 1, 0, 64); pad(&b, 32, 128); ACCEPTED(&b);
    head(&b, 3, 2, 0); tensor(&b, "a.weight", 1, 64, 1, 40, 0); tensor(&b, "a.scale", 1, 1, 1, 0, 64); pad(&b, 32, 128); REFUSED(&b, "NVFP4 with a scale beside it (a.scale)");
    head(&b, 3, 2, 0); tensor(&b, "a.weight", 1, 64, 1, 8, 0); tensor(&b, "a.scale", 1, 1, 1, 0, 96); pad(&b, 32, 128); ACCEPTED(&b);
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 256, 1, 4242, 0); pad(&b, 32, 640); REFUSED(&b, "unknown type 4242");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 4, 1, UINT32_MAX, 0); pad(&b, 32, 640); REFUSED(&b, "unknown type");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 4, 1, 0, 8); pad(&b, 32, 640); REFUSED(&b, "multiple of 32");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 4, 1, 0, UINT64_MAX - 31); pad(&b, 32, 640); REFUSED(&b, "beyond the end");
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 4, 1, 0, 640); pad(&b, 32, 640); REFUSED(&b, "beyond the end");
    head(&b, 3, 1, 0); tensor(&b, "", 1, 4, 1, 0, 0); pad(&b, 32, 64); REFUSED(&b, "name of 0");
    head(&b, 3, 2, 0); tensor(&b, "a", 1, 4, 1, 0, 0); tensor(&b, "a", 1, 4, 1, 0, 32); pad(&b, 32, 64); REFUSED(&b, "appears twice");
    head(&b, 3, 2, 0); tensor(&b, "a", 1, 16, 1, 0, 32); tensor(&b, "b", 1, 9, 1, 0, 0); pad(&b, 32, 128); REFUSED(&b, "overlap");
    head(&b, 3, 2, 0); tensor(&b, "a", 1, 16, 1, 0, 32); tensor(&b, "b", 1, 8, 1, 0, 0); pad(&b, 32, 128); ACCEPTED(&b);
    head(&b, 3, 1, 0); tensor(&b, "a", 1, 4, 1, 0, 0); REFUSED(&b, "list of tensors");
    q_buf_free(&b);

    char err[Q_ERRLEN];
    gguf_file *f;
    CHECK_INT(gguf_open("/", &f, err), Q_IO);
    CHECK_INT(gguf_open("/nonexistent/x.gguf", &f, err), Q_IO);
}

/* The reader's table of types and the kernels' must not drift apart. */
static void test_types(void)
{
    q_buf b = {0};
    int known = 0;
    for (uint32_t id = 0; id < 64; id++) {
        char err[Q_ERRLEN];
        head(&b, 3, 1, 0);
        tensor(&b, "a", 2, 512, 3, id, 0);
        pad(&b, 32, 512 * 3 * 4);
        gguf_file *f = NULL;
        int r = gguf_open_memory(b.p, b.len, &f, err);
        CHECK_MSG((r == 0) == (ker_type_get((int)id) != NULL), "type %u: %s", id, r ? err : "accepted");
        if (r == 0) { CHECK_INT(gguf_tensor_at(f, 0)->bytes, 3 * ker_row_bytes((int)id, 512)); known++; }
        gguf_close(f);
    }
    CHECK(known >= 13);
    q_buf_free(&b);
}

static void test_goldens(void)
{
    static const char *arch[] = {"qwen3moe", "qwen3", "llama", "qwen2moe", "glm4moe"};
    for (int i = 0; i < 5; i++) {
        char path[128], err[Q_ERRLEN];
        snprintf(path, sizeof path, "../shared/data/golden/%s/model.gguf", arch[i]);
        gguf_file *f;
        int r = gguf_open(path, &f, err);
        CHECK_MSG(r == 0, "%s", err);
        if (r) continue;
        gguf_str s;
        CHECK(gguf_string(f, "general.architecture", &s) && s.n == strlen(arch[i]) && memcmp(s.p, arch[i], s.n) == 0);
        const gguf_tensor *t = gguf_tensor_find(f, "token_embd.weight");
        CHECK(t && t->ne[1] == 320 && t->type == 0);
        gguf_close(f);
    }
}

int main(void)
{
    RUN(test_values);
    RUN(test_tensors);
    RUN(test_refusals);
    RUN(test_types);
    if (access("../shared/data/golden", R_OK) == 0) RUN(test_goldens);
    else SKIP("test_goldens", "../shared/data/golden is absent");
    return TEST_END();
}
