/* Split models: a model written anew in three parts opens from each part as the whole, computes the very same, is found once, and
 * what is wrong with a part (missing, cut short, renamed, another model's) is said of that part by name. */
#include "engine/engine.h"
#include "engine/file/split.h"
#include "engine/models.h"
#include "tests/rewrite.h"
#include "tests/test.h"

#include <unistd.h>

enum { PARTS = 3 };
static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";

static char *at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *at(const char *fmt, ...)
{
    static char ring[8][256];
    static int turn;
    char *p = ring[turn++ % 8];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p + snprintf(p, sizeof ring[0], "%s/", dir), sizeof ring[0] - sizeof dir, fmt, ap);
    va_end(ap);
    return p;
}

static char *part(const char *name, int i) { return at("%s-%05d-of-%05d.gguf", name, i, PARTS); }

static int copy(void *user, void *dst, size_t bytes, char *e)
{
    memcpy(dst, ((const gguf_tensor *)user)->data, bytes);
    return Q_OK;
}

/* How a part lies: 0 is what is right. */
typedef struct lie { unsigned no, count, tensors; bool key; } lie;

/* Part i of the file at `from`, as llama-gguf-split writes it: all keys in the first, tensors dealt out in a row. */
static void write_part(const char *from, const char *name, int i, lie l)
{
    gguf_file *f = NULL;
    if (gguf_open(from, &f, err)) { CHECK_MSG(false, "%s", err); return; }
    gguf_writer *w = gguf_writer_new();
    int n = gguf_n_tensors(f);
    for (int k = 0; i == 1 && k < gguf_n_kv(f); k++) {
        char *key = q_strndup(gguf_kv_at(f, k)->key.p, gguf_kv_at(f, k)->key.n);
        gguf_put_kv(w, key, gguf_kv_at(f, k));
        free(key);
    }
    if (l.key) gguf_put_str(w, "general.name", "somebody else");
    gguf_put_u32(w, "split.no", (unsigned)(i - 1) + l.no);
    gguf_put_u32(w, "split.count", PARTS + l.count);
    gguf_put_u32(w, "split.tensors.count", (unsigned)n + l.tensors);
    for (int k = (i - 1) * n / PARTS; k < i * n / PARTS; k++) {
        const gguf_tensor *t = gguf_tensor_at(f, k);
        char *tensor = q_strndup(t->name.p, t->name.n);
        gguf_put_tensor(w, tensor, t->type, t->n_dims, t->ne, copy, (void *)(uintptr_t)t);
        free(tensor);
    }
    CHECK_MSG(gguf_write(w, part(name, i), NULL, NULL, err) == Q_OK, "%s", err);
    gguf_writer_free(w);
    gguf_close(f);
}

static void write_all(const char *from, const char *name)
{
    for (int i = 1; i <= PARTS; i++) write_part(from, name, i, (lie){0});
}

static void names(void)
{
    static const struct { const char *path; int part, of; size_t name; } rows[] = {
        {"a/b-00002-of-00003.gguf", 2, 3, 3}, {"-00001-of-00001.gguf", 1, 1, 0}, {"x-99999-of-99999.gguf", 99999, 99999, 1},
        {"x-00004-of-00003.gguf", 0, 0, 0}, {"x-00000-of-00003.gguf", 0, 0, 0}, {"x-0001-of-00003.gguf", 0, 0, 0},
        {"x-00001-of-0000a.gguf", 0, 0, 0}, {"x.gguf", 0, 0, 0}, {"", 0, 0, 0}, {"00001-of-00003.gguf", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int p = 0, of = 0;
        size_t n = 0;
        CHECK_MSG(split_name(rows[i].path, &p, &of, &n) == (rows[i].of > 0) && p == rows[i].part && of == rows[i].of && n == rows[i].name, "%s", rows[i].path);
    }
    char *path = split_path("a/b-00002-of-00012.gguf", 11);
    CHECK_STR(path, "a/b-00011-of-00012.gguf");
    free(path);
}

static int keep(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    memcpy(user, logits, 64 * sizeof *logits);             /* of the last row, in the end */
    return 0;
}

/* weights: GiB of memory for them; 0: all. */
static int logits_of(const char *path, double weights, float out[64], uint64_t *bytes, uint64_t *params)
{
    static const int32_t tokens[] = {5, 9, 2, 11, 7};
    eng_model *m = NULL;
    eng_session *s = NULL;
    int rc = eng_model_open(path, &(eng_open_opts){.n_threads = 1, .weights_gib = weights}, &m, err);
    if (rc) return rc;
    CHECK(eng_model_ondisk(m, &(eng_ondisk){0}) == (weights != 0));
    eng_config *c = eng_config_new(m);
    rc = eng_config_set(c, "context.length", "64", err);
    if (!rc) rc = eng_session_new(m, c, &s, err);
    if (!rc) rc = eng_session_eval(s, tokens, 5, 5, NULL, 0, keep, out, err);
    *bytes = eng_model_info(m)->file_bytes;
    *params = eng_model_info(m)->params;
    size_t n;
    int files = 0;
    while (eng_model_pages(m, files, &n)) files++;
    CHECK_INT(files, strstr(path, "-of-") ? PARTS : 1);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    return rc;
}

/* From whichever part: the whole, to the bit. */
static void is_the_whole(void)
{
    float want[64], got[64];
    uint64_t bytes, params, b, p, all = 0;
    write_all(at("whole.gguf"), "m");
    CHECK_MSG(logits_of(at("whole.gguf"), 0, want, &bytes, &params) == 0, "%s", err);
    for (int i = 1; i <= PARTS; i++) {
        gguf_file *f = NULL;
        CHECK_MSG(gguf_open(part("m", i), &f, err) == 0, "%s", err);
        if (!f) continue;
        CHECK_STR(gguf_path(f), part("m", 1));
        CHECK_INT(gguf_parts(f), PARTS);
        CHECK(gguf_find(f, "general.architecture") && gguf_tensor_find(f, "token_embd.weight") && gguf_tensor_find(f, "output_norm.weight"));
        size_t n;
        CHECK(gguf_pages(f, PARTS - 1, &n) && n > 0 && !gguf_pages(f, PARTS, &n) && !gguf_pages(f, -1, &n));
        for (int file = 0; file < PARTS; file++) {         /* a disk that goes away while it is read is named by its part */
            char named[256];
            const char *at_part = gguf_pages(f, file, &n);
            CHECK(q_fault_file(at_part + n - 1, named, sizeof named) > 0 && strcmp(named, part("m", file + 1)) == 0);
        }
        all = gguf_size(f);
        gguf_close(f);
        for (int less = 0; less < 2; less++) {             /* also with experts that are read from whichever part they lie in */
            CHECK_MSG(logits_of(part("m", i), less ? -1 : 0, got, &b, &p) == 0, "%s", err);
            CHECK(memcmp(want, got, sizeof want) == 0);
        }
        CHECK(p == params && b == all && b > bytes);
    }
}

/* In lists it stands once, by a name of its own, with the size of all; its description says of how many files it is. */
static void is_found_once(void)
{
    eng_found *list;
    int n, seen = 0;
    char *path = NULL;
    q_buf out = {0};
    setenv("QUORUM_MODELS", dir, 1);
    setenv("HOME", at("nobody"), 1);
    CHECK_INT(eng_find(&list, &n, err), Q_OK);
    for (int i = 0; i < n; i++) {
        if (strcmp(list[i].name, "m") != 0) continue;
        seen++;
        CHECK_STR(list[i].path, part("m", 1));
        CHECK_MSG(!list[i].problem, "%s", list[i].problem);
        gguf_file *f = NULL;
        CHECK(gguf_open(list[i].path, &f, err) == 0 && list[i].bytes == gguf_size(f));
        gguf_close(f);
    }
    CHECK_INT(seen, 1);
    eng_found_free(list, n);
    CHECK_INT(eng_find_model("m", &path, err), Q_OK);
    CHECK_STR(path, part("m", 1));
    free(path);
    CHECK_MSG(eng_describe(part("m", 2), false, &out, err) == 0 && strstr(out.p, "3 files") && strstr(out.p, part("m", 1)), "%s", out.p);
    q_buf_clear(&out);
    CHECK(eng_describe(part("m", 3), true, &out, err) == 0 && strstr(out.p, "\"parts\":\t3"));
    q_buf_free(&out);
}

static int zeros(void *user, void *dst, size_t bytes, char *e)
{
    memset(dst, 0, bytes);
    return Q_OK;
}

/* NVFP4's scale beside it is seen in another part too. */
static void a_scale_lies_in_another_part(void)
{
    static const struct { const char *name; int type; } one[PARTS] = {{"a.weight", KER_NVFP4}, {"b.weight", KER_F32}, {"a.scale", KER_F32}};
    gguf_file *f = NULL;
    for (int i = 1; i <= PARTS; i++) {
        gguf_writer *w = gguf_writer_new();
        gguf_put_u32(w, "split.no", (unsigned)(i - 1));
        gguf_put_u32(w, "split.count", PARTS);
        gguf_put_tensor(w, one[i - 1].name, one[i - 1].type, 1, (int64_t[]){64, 1, 1, 1}, zeros, NULL);
        CHECK_MSG(gguf_write(w, part("scale", i), NULL, NULL, err) == Q_OK, "%s", err);
        gguf_writer_free(w);
    }
    CHECK_INT(gguf_open(part("scale", 1), &f, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "NVFP4 with a scale beside it (a.scale)"), "%s", err);
    gguf_close(f);
    CHECK_INT(gguf_look(part("scale", 2), &f, err), Q_OK);
    CHECK(f && gguf_problem(f) && strstr(gguf_problem(f), "a.scale"));
    gguf_close(f);
    for (int i = 1; i <= PARTS; i++) unlink(part("scale", i));
}

/* Opening refuses with the words, and looking opens all the same and notes them. */
static void refused(const char *path, const char *words, const char *more)
{
    gguf_file *f = NULL;
    int rc = gguf_open(path, &f, err);
    CHECK_MSG(rc != 0 && !f && strstr(err, words) && strstr(err, more) && !strchr(err, '\n'), "%d \"%s\", not \"%s\" and \"%s\"", rc, rc ? err : "", words, more);
    gguf_close(f);
    f = NULL;
    rc = gguf_look(path, &f, err);
    CHECK_MSG(rc || (gguf_problem(f) && strstr(gguf_problem(f), words)), "%s: %s", path, rc ? err : gguf_problem(f) ? gguf_problem(f) : "nothing");
    gguf_close(f);
}

/* All parts of x in one file, as cat joins them. */
static void joined(const char *path)
{
    FILE *to = fopen(path, "wb");
    char buf[4096];
    size_t n;
    CHECK(to != NULL);
    for (int i = 1; i <= PARTS && to; i++) {
        FILE *from = fopen(part("x", i), "rb");
        CHECK(from != NULL);
        while (from && (n = fread(buf, 1, sizeof buf, from)) > 0) CHECK(fwrite(buf, 1, n, to) == n);
        if (from) fclose(from);
    }
    CHECK(to && fclose(to) == 0);
    refused(path, "as cat joins them", "fetch the 3 parts again");
    unlink(path);
}

static void missing_parts_are_named(void)
{
    write_all(at("whole.gguf"), "gone");
    unlink(part("gone", 2));
    refused(part("gone", 1), "gone-00002-of-00003.gguf is missing", "part 2 of the 3");
    refused(part("gone", 3), "gone-00002-of-00003.gguf is missing", "beside the others");
    unlink(part("gone", 1));
    refused(part("gone", 3), "gone-00001-of-00003.gguf is missing", "part 1 of the 3");
    eng_found *list;
    int n, seen = 0;
    CHECK_INT(eng_find(&list, &n, err), Q_OK);
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].name, "gone") == 0) seen += list[i].problem && strstr(list[i].problem, "gone-00001-of-00003.gguf is missing");
    CHECK_INT(seen, 1);
    eng_found_free(list, n);
}

/* Who would write over one of them asks by file, not by name. */
static void all_parts_are_its_own(void)
{
    gguf_file *f = NULL;
    char link[256];
    write_all(at("whole.gguf"), "own");
    snprintf(link, sizeof link, "%s", at("link.gguf"));
    CHECK(gguf_open(part("own", 2), &f, err) == 0 && symlink(part("own", 3), link) == 0);
    for (int i = 1; i <= 3 && f; i++) CHECK(gguf_no_input(f, part("own", i), err) == Q_RANGE && strstr(err, "would lose it"));
    CHECK(f && gguf_no_input(f, link, err) == Q_RANGE && gguf_no_input(f, at("whole.gguf"), err) == Q_OK && gguf_no_input(f, at("nowhere.gguf"), err) == Q_OK);
    gguf_close(f);
    unlink(link);
}

static void a_part_cut_short_is_named(void)
{
    write_all(at("whole.gguf"), "cut");
    gguf_file *f = NULL;
    size_t n = 0;
    if (gguf_open(part("cut", 1), &f, err) == 0) gguf_pages(f, 1, &n);
    gguf_close(f);
    CHECK(n > 4096 && truncate(part("cut", 2), (off_t)n - 4096) == 0);   /* more goes than the header takes: within the tensors */
    refused(part("cut", 1), "cut-00002-of-00003.gguf", "lies beyond the end");
    CHECK(truncate(part("cut", 3), 20) == 0);
    write_part(at("whole.gguf"), "cut", 2, (lie){0});
    refused(part("cut", 1), "cut-00003-of-00003.gguf", "ends in the middle");
    CHECK(truncate(part("cut", 3), 0) == 0);
    refused(part("cut", 2), "cut-00003-of-00003.gguf", "is empty");
}

/* Parts of two trainings of one shape cannot be told apart by their headers; what can, is. */
static void other_parts_are_refused(void)
{
    static const struct { int part; lie lie; const char *words, *more; } rows[] = {
        {2, {.no = 1}, "x-00002-of-00003.gguf says that it is part 3 of 3", "not part 2 of 3"},
        {3, {.no = 7}, "x-00003-of-00003.gguf says that it is part 10 of 3", "not part 3 of 3"},
        {1, {.no = 1}, "x-00001-of-00003.gguf says that it is part 2 of 3", "not part 1 of 3"},
        {2, {.count = 1}, "x-00002-of-00003.gguf says that it is part 2 of 4", "another model"},
        {1, {.count = 65000}, "x-00001-of-00003.gguf says that it is part 1 of 65003", "another model"},
        {3, {.tensors = 2}, "x-00003-of-00003.gguf is a part of another model", "split.tensors.count"},
        {2, {.key = true}, "x-00002-of-00003.gguf is a part of another model", "general.name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_all(at("whole.gguf"), "x");
        write_part(at("whole.gguf"), "x", rows[i].part, rows[i].lie);
        for (int from = 1; from <= PARTS; from += 2) refused(part("x", from), rows[i].words, rows[i].more);
    }
    write_all(at("whole.gguf"), "x");                      /* a smaller one's middle: tensors twice, others nowhere */
    write_all(at("small.gguf"), "y");
    CHECK(rename(part("y", 1), at("y-first")) == 0 && rename(part("x", 1), part("y", 1)) == 0);
    refused(part("y", 1), "y-00002-of-00003.gguf", "another model");
    CHECK(rename(part("y", 1), at("other.gguf")) == 0);
    refused(at("other.gguf"), "one of 3 parts of a model, but is not called so", "-00001-of-00003.gguf");
    write_all(at("whole.gguf"), "x");
    joined(at("joined.gguf"));
    joined(at("joined-00001-of-00001.gguf"));
    for (int i = 1; i <= PARTS; i++) write_part(at("whole.gguf"), "x", i, (lie){.tensors = 5});
    refused(part("x", 1), "parts hold", "but the model has");
    q_buf b = {0};
    gguf_file *f = NULL;
    CHECK(q_read_file(part("x", 1), &b, (size_t)1 << 28, err) == 0 && gguf_open_memory(b.p, b.len, &f, err) == Q_FORMAT && strstr(err, "one of 3 parts"));
    q_buf_free(&b);
}

int main(void)
{
    char *rm = q_printf("rm -rf %s", mkdtemp(dir) ? dir : "/nowhere/at/all");
    CHECK_MSG(eng_synth("qwen3moe", "smoke", "Q4_0", 2, 1, at("whole.gguf"), NULL, NULL, err) == 0, "%s", err);
    CHECK_MSG(eng_synth("qwen3moe", "smoke", "Q4_0", 1, 2, at("small.gguf"), NULL, NULL, err) == 0, "%s", err);
    RUN(names);
    RUN(is_the_whole);
    RUN(is_found_once);
    RUN(a_scale_lies_in_another_part);
    RUN(missing_parts_are_named);
    RUN(all_parts_are_its_own);
    RUN(a_part_cut_short_is_named);
    RUN(other_parts_are_refused);
    if (system(rm) != 0) printf("# %s stays\n", dir);
    free(rm);
    return TEST_END();
}
