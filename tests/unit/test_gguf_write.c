/* tests: what engine/file/write.c writes, engine/file/gguf.c reads back; and synthetic models. */
#include "engine/engine.h"
#include "engine/models.h"
#include "engine/file/gguf.h"
#include "engine/file/safetensors.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char err[Q_ERRLEN];
static char dir[] = "/tmp/quorum-test-XXXXXX";
static char path[128], path2[128];

static int fill_count(void *user, void *dst, size_t bytes, char *e)
{
    for (size_t i = 0; i < bytes / 4; i++) ((float *)dst)[i] = (float)i + *(float *)user;
    return Q_OK;
}

static int fill_fails(void *user, void *dst, size_t bytes, char *e) { return q_fail(e, Q_ERR, "no numbers today"); }

static uint64_t last_done, last_total;
static bool rising = true;
static void count_progress(void *user, uint64_t done, uint64_t total)
{
    if (done < last_done || done > total) rising = false;
    last_done = done;
    last_total = total;
}

static void round_trip(void)
{
    gguf_writer *w = gguf_writer_new();
    gguf_put_str(w, "general.architecture", "test");
    gguf_put_u32(w, "a.number", 4000000000u);
    gguf_put_f32(w, "a.float", 0.1f);
    gguf_put_bool(w, "a.bool", true);
    gguf_str words[3] = {{"one", 3}, {"", 0}, {"\xc3\xa9", 2}};
    gguf_put_kv(w, "a.words", &(gguf_kv){.type = GGUF_ARR, .item = GGUF_STR, .count = 3, .strings = words});
    int32_t ints[2] = {-5, 7};
    gguf_put_kv(w, "a.ints", &(gguf_kv){.type = GGUF_ARR, .item = GGUF_I32, .count = 2, .data = ints, .bytes = sizeof ints});
    float base1 = 1, base2 = 100;
    gguf_put_tensor(w, "t.one", KER_F32, 1, (int64_t[]){5}, fill_count, &base1);      /* 20 bytes: padded to 32 */
    gguf_put_tensor(w, "t.two", KER_F32, 3, (int64_t[]){2, 3, 4}, fill_count, &base2);
    CHECK_INT(gguf_write(w, path, count_progress, NULL, err), Q_OK);
    gguf_writer_free(w);
    CHECK(rising && last_done == last_total);

    gguf_file *f = NULL;
    CHECK_INT(gguf_open(path, &f, err), Q_OK);
    if (!f) return;
    CHECK_INT(gguf_size(f), last_total);
    uint64_t u = 0;
    double d = 0;
    bool b = false;
    CHECK(gguf_u64(f, "a.number", &u) && u == 4000000000u);
    CHECK(gguf_f64(f, "a.float", &d) && d == (double)0.1f);
    CHECK(gguf_bool(f, "a.bool", &b) && b);
    const gguf_kv *kv = gguf_find(f, "a.words");
    CHECK(kv && kv->count == 3 && kv->strings[2].n == 2 && kv->strings[1].n == 0);
    kv = gguf_find(f, "a.ints");
    CHECK(kv && gguf_arr_f64(kv, 0, &d) && d == -5);
    const gguf_tensor *t = gguf_tensor_find(f, "t.two");
    CHECK(t && t->n_dims == 3 && t->ne[2] == 4 && ((const float *)t->data)[23] == 123);
    CHECK_INT(gguf_n_tensors(f), 2);

    /* Every value copied into another file, strings included, reads the same. */
    w = gguf_writer_new();
    for (int i = 0; i < gguf_n_kv(f); i++) {
        char *key = q_strndup(gguf_kv_at(f, i)->key.p, gguf_kv_at(f, i)->key.n);
        gguf_put_kv(w, key, gguf_kv_at(f, i));
        free(key);
    }
    CHECK_INT(gguf_write(w, path2, NULL, NULL, err), Q_OK);
    gguf_writer_free(w);
    gguf_file *g = NULL;
    CHECK_INT(gguf_open(path2, &g, err), Q_OK);
    for (int i = 0; g && i < gguf_n_kv(f); i++) {
        const gguf_kv *x = gguf_kv_at(f, i), *y = gguf_kv_at(g, i);
        CHECK(x->type == y->type && x->bytes == y->bytes && memcmp(x->data, y->data, x->bytes) == 0);
    }
    gguf_close(g);
    gguf_close(f);
}

static void refusals(void)
{
    gguf_writer *w = gguf_writer_new();
    gguf_put_tensor(w, "t", KER_Q8_0, 1, (int64_t[]){33}, fill_count, NULL);
    unlink(path);
    CHECK_INT(gguf_write(w, path, NULL, NULL, err), Q_FORMAT);
    CHECK(strstr(err, "multiple of 32") != NULL);
    gguf_writer_free(w);
    w = gguf_writer_new();
    gguf_put_tensor(w, "t", KER_F32, 1, (int64_t[]){8}, fill_fails, NULL);
    CHECK_INT(gguf_write(w, path, NULL, NULL, err), Q_ERR);
    CHECK_STR(err, "no numbers today");
    CHECK(access(path, F_OK) != 0);
    char part[140];
    snprintf(part, sizeof part, "%s.part", path);
    CHECK(access(part, F_OK) != 0);
    CHECK_INT(gguf_write(w, "/nonexistent/x.gguf", NULL, NULL, err), Q_IO);
    /* a device, and for a link to one: what is there stays */
    struct stat st;
    CHECK(mkfifo(path, 0600) == 0);
    CHECK_INT(gguf_write(w, path, NULL, NULL, err), Q_RANGE);
    CHECK(strstr(err, "no ordinary file") && lstat(path, &st) == 0 && S_ISFIFO(st.st_mode) && access(part, F_OK) != 0);
    unlink(path2);
    CHECK(symlink(path, path2) == 0);
    CHECK_INT(gguf_write(w, path2, NULL, NULL, err), Q_RANGE);
    CHECK_INT(st_write(path2, NULL, 0, NULL, 0, err), Q_RANGE);
    CHECK(lstat(path2, &st) == 0 && S_ISLNK(st.st_mode));
    unlink(path);
    unlink(path2);
    gguf_writer_free(w);
}

/* Killed while gigabytes are written, it leaves none of them: public reports tell of a torn model that was taken for a whole one. */
static int fill_killed(void *user, void *dst, size_t bytes, char *e)
{
    memset(dst, 0, bytes);
    if (--*(int *)user == 0) raise(SIGKILL);
    return Q_OK;
}

static int st_fill_killed(void *user, float *dst, size_t n, char *e) { return fill_killed(user, dst, n * sizeof *dst, e); }

static void killed_leaves_nothing(void)
{
    char folder[64], file[80];
    snprintf(folder, sizeof folder, "%s/killed", dir);
    snprintf(file, sizeof file, "%s/x.gguf", folder);
    CHECK(mkdir(folder, 0700) == 0);
    int without = open(folder, O_TMPFILE | O_WRONLY, 0600);
    bool nameless = without >= 0 && access("/proc/self/fd", X_OK) == 0;
    if (without >= 0) close(without);
    for (int form = 0; form < 2; form++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            int calls = 2;
            gguf_writer *w = gguf_writer_new();
            for (int i = 0; i < 3; i++) gguf_put_tensor(w, (const char *[]){"a", "b", "c"}[i], KER_F32, 1, (int64_t[]){8}, fill_killed, &calls);
            st_out t[3];
            for (int i = 0; i < 3; i++) t[i] = (st_out){ .name = (const char *[]){"a", "b", "c"}[i], .n_dims = 1, .ne = {8}, .fill = st_fill_killed, .user = &calls };
            if (form == 0) gguf_write(w, file, NULL, NULL, err);
            else st_write(file, t, 3, NULL, 0, err);
            _exit(7);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        DIR *d = opendir(folder);
        int left = 0;
        for (struct dirent *e; d && (e = readdir(d));) left += e->d_name[0] != '.';
        if (d) closedir(d);
        CHECK_INT(left, nameless ? 0 : 1);
        CHECK(access(file, F_OK) != 0);
    }
    /* what is whole has its name, and an older rest of that name is no hindrance */
    char part[90];
    snprintf(part, sizeof part, "%s.part", file);
    CHECK_INT(q_write_file_atomic(part, "rest", 4, err), Q_OK);
    gguf_writer *w = gguf_writer_new();
    float base = 3;
    gguf_put_tensor(w, "t", KER_F32, 1, (int64_t[]){8}, fill_count, &base);
    CHECK_INT(gguf_write(w, file, NULL, NULL, err), Q_OK);
    gguf_writer_free(w);
    gguf_file *f = NULL;
    CHECK_INT(gguf_open(file, &f, err), Q_OK);
    if (f) CHECK(gguf_tensor_find(f, "t") && *(const float *)gguf_tensor_find(f, "t")->data == 3);
    gguf_close(f);
    CHECK(access(part, F_OK) != 0);
    struct stat st;
    CHECK(stat(file, &st) == 0 && st.st_nlink == 1 && (st.st_mode & 0600) == 0600);
    unlink(part);
    unlink(file);
    rmdir(folder);
}

/* A file system, or who guards it, may know files without a name and give them none (EPERM), or /proc is not there (ENOENT). */
static int links_fail;
int linkat(int from, const char *a, int to, const char *b, int flags)
{
    int (*real)(int, const char *, int, const char *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "linkat");
    if (!links_fail) return real(from, a, to, b, flags);
    errno = links_fail;
    return -1;
}

/* Then a model is written under the part's name from the start, not refused behind its last byte; what the part was called before is not written through. */
static void no_name_can_be_given(void)
{
    static const int why[] = { EPERM, ENOENT, EXDEV };
    char part[140], other[140];
    float base = 5;
    snprintf(part, sizeof part, "%s.part", path);
    snprintf(other, sizeof other, "%s.other", path);
    for (size_t i = 0; i < sizeof why / sizeof *why; i++) {
        CHECK_INT(q_write_file_atomic(other, "mine", 4, err), Q_OK);
        CHECK_INT(symlink(other, part), 0);
        gguf_writer *w = gguf_writer_new();
        gguf_put_tensor(w, "t", KER_F32, 1, (int64_t[]){8}, fill_count, &base);
        links_fail = why[i];
        CHECK_MSG(gguf_write(w, path, NULL, NULL, err) == Q_OK, "%s", err);
        links_fail = 0;
        gguf_writer_free(w);
        gguf_file *f = NULL;
        CHECK_INT(gguf_open(path, &f, err), Q_OK);
        if (f) CHECK(gguf_tensor_find(f, "t") && *(const float *)gguf_tensor_find(f, "t")->data == 5);
        gguf_close(f);
        struct stat st;
        CHECK(lstat(part, &st) != 0 && stat(other, &st) == 0 && st.st_size == 4);
        w = gguf_writer_new();
        gguf_put_tensor(w, "t", KER_F32, 1, (int64_t[]){8}, fill_fails, NULL);
        links_fail = why[i];
        CHECK(gguf_write(w, path, NULL, NULL, err) == Q_ERR && lstat(part, &st) != 0);
        links_fail = 0;
        gguf_writer_free(w);
        unlink(other);
    }
}

/* Mean and standard deviation of a tensor, times sqrt(row length): every matrix is made for (0, 1). */
static void check_spread(const gguf_file *f, const char *name)
{
    const gguf_tensor *t = gguf_tensor_find(f, name);
    CHECK_MSG(t != NULL, "%s", name);
    if (!t) return;
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2];
    float *x = malloc((size_t)n * sizeof *x);
    ker_type_get(t->type)->decode(t->data, x, n);
    double s = 0, q = 0;
    for (int64_t i = 0; i < n; i++) s += x[i], q += (double)x[i] * x[i];
    double sd = sqrt(q / (double)n * (double)t->ne[0]), mean = s / (double)n * sqrt((double)t->ne[0]);
    CHECK_MSG(fabs(sd - 1) < 0.05 && fabs(mean) < 0.05, "%s: mean %g, deviation %g", name, mean, sd);
    free(x);
}

static void synthetic_model(void)
{
    static const struct { const char *name; int most; } types[] = {
        {"Q4_K_M", KER_Q4_K}, {"Q5_K_M", KER_Q5_K}, {"Q6_K", KER_Q6_K}, {"Q8_0", KER_Q8_0},
        {"Q4_0", KER_Q4_0}, {"F16", KER_F16}, {"BF16", KER_BF16}, {"F32", KER_F32},
        {"Q2_K", KER_Q2_K}, {"Q3_K_M", KER_Q3_K}, {"MXFP4", KER_MXFP4}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        CHECK_INT(eng_synth("qwen3moe", "smoke", types[i].name, 0, 1, path, NULL, NULL, err), Q_OK);
        gguf_file *f = NULL;
        CHECK_INT(gguf_open(path, &f, err), Q_OK);
        if (!f) continue;
        const gguf_tensor *t = gguf_tensor_find(f, "blk.0.ffn_gate_exps.weight");
        CHECK(t && t->type == types[i].most && t->ne[2] == 16);
        static const char *const spread[] = {"token_embd.weight", "output.weight", "blk.1.ffn_down_exps.weight",
                                             "blk.1.attn_v.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate_inp.weight"};
        for (size_t j = 0; j < sizeof spread / sizeof *spread; j++) check_spread(f, spread[j]);
        gguf_close(f);
    }
}

/* Rows that 256 do not fill have blocks of 32, and what is written runs. */
static void synthetic_latent_attention(void)
{
    CHECK_INT(eng_synth("deepseek2", "smoke-mla", "Q4_K_M", 0, 1, path, NULL, NULL, err), Q_OK);
    gguf_file *f = NULL;
    CHECK_INT(gguf_open(path, &f, err), Q_OK);
    const gguf_tensor *k = f ? gguf_tensor_find(f, "blk.1.attn_k_b.weight") : NULL, *q = f ? gguf_tensor_find(f, "blk.1.attn_q_a.weight") : NULL;
    CHECK(k && k->type == KER_Q5_0 && k->ne[0] == 64 && k->ne[1] == 64 && k->ne[2] == 4);
    CHECK(q && q->type == KER_Q4_K);
    CHECK(f && !gguf_tensor_find(f, "blk.0.ffn_gate_exps.weight") && gguf_tensor_find(f, "blk.0.ffn_gate.weight"));
    if (k) check_spread(f, "blk.1.attn_k_b.weight");
    gguf_close(f);
    eng_model *m = NULL;
    CHECK_MSG(eng_model_open(path, NULL, &m, err) == 0, "%s", err);
    if (m) CHECK_INT(eng_model_info(m)->n_expert, 16);
    eng_model_free(m);
}

/* A head behind the layers is counted by nobody, attends where the layer would keep a state, and drafts. */
static void synthetic_head(void)
{
    CHECK_INT(eng_synth_foretelling("qwen35moe", "smoke-delta", "Q4_K_M", 0, 1, path, NULL, NULL, err), Q_OK);
    gguf_file *f = NULL;
    CHECK_INT(gguf_open(path, &f, err), Q_OK);
    CHECK(f && gguf_tensor_find(f, "blk.4.nextn.eh_proj.weight") && gguf_tensor_find(f, "blk.4.attn_q.weight") && !gguf_tensor_find(f, "blk.4.ssm_a"));
    gguf_close(f);
    eng_model *m = NULL;
    eng_session *s = NULL;
    CHECK_MSG(eng_model_open(path, NULL, &m, err) == 0, "%s", err);
    if (!m) return;
    CHECK_INT(eng_model_info(m)->n_layer, 4);
    eng_config *c = eng_config_new(m);
    CHECK_MSG(eng_config_set(c, "draft", "mtp", err) == 0 && eng_config_set(c, "context.length", "256", err) == 0 && eng_session_new(m, c, &s, err) == 0, "%s", err);
    for (int i = 0; s && i < 40; i++) CHECK_MSG(eng_session_push(s, 1 + i % 7, err) == 0, "%s", err);
    CHECK(s && eng_session_drafts(s).drafted > 0);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    CHECK_INT(eng_synth_foretelling("qwen3moe", "smoke", "Q4_K_M", 0, 1, path, NULL, NULL, err), Q_RANGE);
    CHECK(strstr(err, "no head") != NULL);
}

static void synthetic_is_repeatable(void)
{
    char a[65], b[65], c[65];
    CHECK_INT(eng_synth("qwen3moe", "smoke", "Q4_K_M", 0, 7, path, NULL, NULL, err), Q_OK);
    CHECK_INT(eng_synth("qwen3moe", "smoke", "Q4_K_M", 0, 7, path2, NULL, NULL, err), Q_OK);
    q_sha256_file(path, a, err);
    q_sha256_file(path2, b, err);
    CHECK_STR(a, b);
    CHECK_INT(eng_synth("qwen3moe", "smoke", "Q4_K_M", 0, 8, path2, NULL, NULL, err), Q_OK);
    q_sha256_file(path2, c, err);
    CHECK(strcmp(a, c) != 0);
    CHECK_INT(eng_synth("qwen3moe", "40b", "Q4_K_M", 0, 7, path, NULL, NULL, err), Q_RANGE);
    CHECK(strstr(err, "30b-a3b") != NULL && !strstr(err, "gpt-oss"));      /* those of the architecture */
    CHECK_INT(eng_synth("gpt-oss", "", "Q4_K_M", 0, 7, path, NULL, NULL, err), Q_RANGE);
    CHECK(strstr(err, "--like") && strstr(err, "gpt-oss-20b") && !strstr(err, "30b-a3b"));
    CHECK_INT(eng_synth("qwen3moe", "smoke", "Q3_K_XL", 0, 7, path, NULL, NULL, err), Q_RANGE);
    CHECK_INT(eng_synth("qwen3moe", "smoke", "F16", 3, 7, path, NULL, NULL, err), Q_RANGE);
}

static int by_bytes(const void *a, const void *b)
{
    const gguf_str *x = a, *y = b;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* Each merge joins two tokens into a third, and no two tokens are spelt alike. */
static void synthetic_vocabulary(void)
{
    CHECK_INT(eng_synth("qwen3moe", "smoke", "F16", 1, 1, path, NULL, NULL, err), Q_OK);
    gguf_file *f = NULL;
    CHECK_INT(gguf_open(path, &f, err), Q_OK);
    if (!f) return;
    const gguf_kv *t = gguf_find(f, "tokenizer.ggml.tokens"), *m = gguf_find(f, "tokenizer.ggml.merges");
    CHECK(t && m && t->count == 4096 && m->count == 4096 - 16 - 256);
    gguf_str *sorted = malloc(t->count * sizeof *sorted);
    memcpy(sorted, t->strings, t->count * sizeof *sorted);
    qsort(sorted, t->count, sizeof *sorted, by_bytes);
    int twins = 0, missing = 0;
    for (uint64_t i = 1; i < t->count; i++) twins += by_bytes(&sorted[i - 1], &sorted[i]) == 0;
    for (uint64_t i = 0; i < m->count; i++) {
        char joined[16];
        size_t n = 0, parts = 1;
        for (size_t j = 0; j < m->strings[i].n && n < sizeof joined; j++)
            if (m->strings[i].p[j] != ' ') joined[n++] = m->strings[i].p[j];
            else parts++;
        gguf_str key = {joined, n};
        missing += parts != 2 || !bsearch(&key, sorted, t->count, sizeof *sorted, by_bytes);
    }
    CHECK_INT(twins, 0);
    CHECK_INT(missing, 0);
    free(sorted);
    gguf_close(f);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/a.gguf", dir);
    snprintf(path2, sizeof path2, "%s/b.gguf", dir);
    RUN(round_trip);
    RUN(refusals);
    RUN(killed_leaves_nothing);
    RUN(no_name_can_be_given);
    RUN(synthetic_model);
    RUN(synthetic_latent_attention);
    RUN(synthetic_head);
    RUN(synthetic_is_repeatable);
    RUN(synthetic_vocabulary);
    unlink(path);
    unlink(path2);
    rmdir(dir);
    return TEST_END();
}
