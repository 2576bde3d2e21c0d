/* tests: adapters (engine/adapter.h): made, written as GGUF and read back, checked against models; what a damaged or a foreign one says;
 * and the model as arithmetic sees it. ../shared/data/lora where it is there. */
#include "engine/adapter.h"
#include "engine/file/gguf.h"
#include "engine/run/model.h"
#include "engine/run/weights.h"
#include "tests/adapter_help.h"
#include "tests/test.h"

#include <sys/stat.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";

static char *in(const char *name) { return q_printf("%s/%s", dir, name); }

/* ---- made, written, read ---- */

static eng_adapter *sample(const eng_model *m, float alpha)
{
    eng_low l[] = { help_low(m, KER_W_DOWN_EXPS, 1, 3, alpha / 3), help_low(m, KER_W_Q, 0, 4, alpha / 4), help_low(m, KER_W_OUT, -1, 2, alpha / 2),
                    help_low(m, KER_W_ROUTER, 1, 1, alpha), help_low(m, KER_W_EMBD, -1, 2, alpha / 2) };
    eng_adapter *ad = NULL;
    CHECK_MSG(eng_adapter_make(m, "sample", l, 5, "{\"by\":\"a test\"}", &ad, err) == 0, "%s", err);
    help_low_free(l, 5);
    return ad;
}

static void same(const eng_adapter *x, const eng_adapter *y)
{
    int n, k;
    const eng_low *a = eng_adapter_lows(x, &n), *b = eng_adapter_lows(y, &k);
    CHECK_INT(n, k);
    for (int i = 0; i < n && i < k; i++) {
        size_t na = (size_t)a[i].n_expert * (size_t)a[i].rank * (size_t)a[i].n_in, nb = (size_t)a[i].n_expert * (size_t)a[i].rank * (size_t)a[i].n_out;
        CHECK_MSG(a[i].role == b[i].role && a[i].layer == b[i].layer && a[i].rank == b[i].rank && a[i].n_expert == b[i].n_expert && a[i].scale == b[i].scale, "matrix %d", i);
        CHECK_MSG(memcmp(a[i].a, b[i].a, na * sizeof(float)) == 0 && memcmp(a[i].b, b[i].b, nb * sizeof(float)) == 0, "matrix %d", i);
    }
}

static void written_and_read_again(void)
{
    eng_model *m = help_model("qwen3moe");
    eng_adapter *ad = sample(m, 5), *again = NULL;
    char *path = in("a.gguf");
    const eng_adapter_info *o = eng_adapter_info_of(ad);
    CHECK_STR(o->arch, "qwen3moe");
    CHECK_STR(o->base, eng_model_info(m)->name);
    CHECK_INT(o->n_low, 5);
    CHECK_INT(o->rank_min, 1);
    CHECK_INT(o->rank_max, 4);
    CHECK_INT(o->first_layer, 0);
    CHECK_INT(o->last_layer, 1);
    CHECK(o->params * 4 == o->bytes && o->hash);
    int n;
    const eng_low *l = eng_adapter_lows(ad, &n);
    CHECK(l[0].role == KER_W_EMBD && l[1].role == KER_W_OUT && l[2].role == KER_W_Q && l[4].role == KER_W_DOWN_EXPS);
    CHECK_MSG(eng_adapter_write_gguf(ad, path, false, err) == 0, "%s", err);
    for (int with = 0; with < 2; with++) {
        CHECK_MSG(eng_adapter_read(with ? m : NULL, path, &again, err) == 0, "%s", err);
        same(ad, again);
        CHECK(eng_adapter_info_of(again)->hash == o->hash);
        CHECK_STR(eng_adapter_info_of(again)->note, "{\"by\":\"a test\"}");
        CHECK_STR(eng_adapter_info_of(again)->name, "sample");
        eng_adapter_free(again);
        again = NULL;
    }
    CHECK(eng_adapter_write_gguf(ad, path, false, err) == Q_RANGE && strstr(err, "--force"));
    CHECK(eng_adapter_write_gguf(ad, path, true, err) == 0);
    free(path);
    path = in("link.gguf");
    CHECK(symlink("/nowhere/at/all", path) == 0);
    CHECK(eng_adapter_write_gguf(ad, path, false, err) == Q_RANGE);
    CHECK(eng_adapter_write_gguf(ad, dir, true, err) == Q_RANGE && strstr(err, "is a folder"));
    free(path);
    eng_adapter_free(ad);
    eng_model_free(m);
}

/* One alpha: a matrix of another scale is the same change, its B multiplied. */
static void scales_that_differ(void)
{
    eng_model *m = help_model("qwen3moe");
    eng_adapter *one = NULL, *ad = NULL;
    eng_low l[] = { help_low(m, KER_W_Q, 0, 4, 2), help_low(m, KER_W_K, 0, 2, 4), help_low(m, KER_W_V, 0, 4, 3) };    /* alphas 8, 8, 12 */
    char *path = in("b.gguf");
    CHECK(eng_adapter_make(m, "b", l, 3, NULL, &ad, err) == 0);
    CHECK(eng_adapter_info_of(ad)->alpha == 0);
    CHECK(eng_adapter_write_gguf(ad, path, false, err) == 0 && eng_adapter_read(m, path, &one, err) == 0);
    int n;
    const eng_low *r = eng_adapter_lows(one, &n);
    CHECK_INT(n, 3);
    CHECK(eng_adapter_info_of(one)->alpha == 8 && r[0].scale == 2 && r[1].scale == 4 && r[2].scale == 2);
    CHECK(r[0].b[3] == l[0].b[3] && r[1].b[3] == l[1].b[3] && r[2].b[3] == l[2].b[3] * 1.5f && r[2].a[3] == l[2].a[3]);
    help_low_free(l, 3);
    eng_adapter_free(ad);
    eng_adapter_free(one);
    eng_model_free(m);
    free(path);
}

/* ---- what is refused ---- */

typedef struct odd {                   /* one file: what differs from a sound one, and what is said */
    const char *what;
    const char *kind, *type, *arch;    /* NULL: sound */
    int q_rank_b, n_out, layer, experts;
    bool no_a, no_b, nan, norm, twice;
    int code;
    const char *says;
} odd;

static float fill_value;
static int fill_floats(void *user, void *dst, size_t bytes, char *e)
{
    (void)e;
    for (size_t i = 0; i < bytes / 4; i++) ((float *)dst)[i] = 0.5f;
    if (user) ((float *)dst)[bytes / 4 - 1] = NAN;
    return Q_OK;
}

static void write_odd(const char *path, const odd *o)
{
    gguf_writer *w = gguf_writer_new();
    char name[80];
    int layer = o->layer, n_out = o->n_out ? o->n_out : 64, experts = o->experts ? o->experts : 12;
    gguf_put_str(w, "general.architecture", o->arch ? o->arch : "qwen3moe");
    if (!o->kind || *o->kind) gguf_put_str(w, "general.type", o->kind ? o->kind : "adapter");
    gguf_put_str(w, "adapter.type", o->type ? o->type : "lora");
    gguf_put_f32(w, "adapter.lora.alpha", 8);
    snprintf(name, sizeof name, "blk.%d.attn_k.weight.lora_a", layer);
    if (!o->no_a) gguf_put_tensor(w, name, KER_F32, 2, (int64_t[]){ 64, 4 }, fill_floats, NULL);
    snprintf(name, sizeof name, "blk.%d.attn_k.weight.lora_b", layer);
    if (!o->no_b) gguf_put_tensor(w, name, KER_F32, 2, (int64_t[]){ o->q_rank_b ? o->q_rank_b : 4, n_out }, fill_floats, o->nan ? &fill_value : NULL);
    gguf_put_tensor(w, "blk.0.ffn_down_exps.weight.lora_a", KER_F32, 3, (int64_t[]){ 32, 2, 12 }, fill_floats, NULL);
    gguf_put_tensor(w, "blk.0.ffn_down_exps.weight.lora_b", KER_F32, 3, (int64_t[]){ 2, 64, experts }, fill_floats, NULL);
    if (o->norm) gguf_put_tensor(w, "blk.0.attn_norm.weight", KER_F32, 1, (int64_t[]){ 64 }, fill_floats, NULL);
    if (o->twice) gguf_put_tensor(w, "blk.0.attn_norm.weight.lora_a", KER_F32, 2, (int64_t[]){ 64, 4 }, fill_floats, NULL);
    if (o->twice) gguf_put_tensor(w, "blk.0.attn_norm.weight.lora_b", KER_F32, 2, (int64_t[]){ 4, 64 }, fill_floats, NULL);
    CHECK_MSG(gguf_write(w, path, NULL, NULL, err) == 0, "%s", err);
    gguf_writer_free(w);
}

static void one_sentence_each(void)
{
    static const odd odds[] = {
        { .what = "sound", .code = Q_OK },
        { .what = "a model", .kind = "model", .code = Q_RANGE, .says = "is no adapter" },
        { .what = "of no kind", .kind = "", .code = Q_RANGE, .says = "is no adapter" },
        { .what = "another kind", .type = "vera", .code = Q_RANGE, .says = "\"vera\"" },
        { .what = "an unknown architecture", .arch = "nobody", .code = Q_RANGE, .says = "\"nobody\"" },
        { .what = "another architecture", .arch = "llama", .code = Q_RANGE, .says = "it is of architecture llama" },
        { .what = "a half is missing", .no_b = true, .code = Q_FORMAT, .says = "lora_b is missing" },
        { .what = "the other half is missing", .no_a = true, .code = Q_FORMAT, .says = "lora_a is missing" },
        { .what = "ranks differ", .q_rank_b = 3, .code = Q_FORMAT, .says = "rank 4 and B rank 3" },
        { .what = "no number", .nan = true, .code = Q_FORMAT, .says = "not a number" },
        { .what = "another width", .n_out = 96, .code = Q_RANGE, .says = "is for another model" },
        { .what = "a layer too many", .layer = 40, .code = Q_RANGE, .says = "changes layer 40" },
        { .what = "too few experts", .experts = 11, .code = Q_FORMAT, .says = "12 and 11 experts" },
        { .what = "a norm", .norm = true, .code = Q_RANGE, .says = "no low-rank change" },
        { .what = "a change of a norm", .twice = true, .code = Q_RANGE, .says = "attn_norm" },
    };
    eng_model *m = help_model("qwen3moe");
    char *path = in("odd.gguf");
    for (size_t i = 0; i < sizeof odds / sizeof *odds; i++) {
        eng_adapter *ad = NULL;
        write_odd(path, &odds[i]);
        err[0] = 0;
        int rc = eng_adapter_read(m, path, &ad, err);
        CHECK_MSG(rc == odds[i].code && (!odds[i].says || strstr(err, odds[i].says)), "%s: %d %s", odds[i].what, rc, err);
        eng_adapter_free(ad);
    }
    free(path);
    path = in("b.gguf");                                   /* made for this model alone */
    eng_adapter *ad = NULL;
    eng_model *other = help_model("qwen3next");
    CHECK(eng_adapter_read(other, path, &ad, err) == Q_RANGE && strstr(err, "architecture"));
    CHECK(eng_adapter_read(m, "/nowhere/x.gguf", &ad, err) == Q_IO);
    eng_model_free(other);
    eng_model_free(m);
    free(path);
}

static int fill_copy(void *user, void *dst, size_t bytes, char *e)
{
    (void)e;
    memcpy(dst, user, bytes);
    return Q_OK;
}

/* The same model with one weight changed is another: the hash says so. */
static void the_base_itself(void)
{
    char *path = util_model("qwen3moe"), *ada = in("own.gguf");
    eng_model *m = NULL, *other = NULL;
    eng_open_opts o = { .n_threads = 1, .ignore_memory = true };
    CHECK(eng_model_open(path, &o, &m, err) == 0);
    eng_adapter *ad = sample(m, 8), *got = NULL;
    CHECK(eng_adapter_write_gguf(ad, ada, false, err) == 0 && eng_adapter_read(m, ada, &got, err) == 0);
    eng_adapter_free(got);
    got = NULL;
    gguf_writer *w = gguf_writer_new();
    float *odd_norm = NULL;
    for (int i = 0; i < gguf_n_kv(m->file); i++) {
        char key[200];
        const gguf_kv *kv = gguf_kv_at(m->file, i);
        snprintf(key, sizeof key, "%.*s", (int)kv->key.n, kv->key.p);
        gguf_put_kv(w, key, kv);
    }
    for (int i = 0; i < gguf_n_tensors(m->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        char name[200];
        snprintf(name, sizeof name, "%.*s", (int)t->name.n, t->name.p);
        void *data = (void *)t->data;
        if (strcmp(name, "output_norm.weight") == 0) {
            data = odd_norm = memcpy(q_alloc(t->bytes), t->data, t->bytes);
            odd_norm[0] += 1;
        }
        gguf_put_tensor(w, name, t->type, t->n_dims, t->ne, fill_copy, data);
    }
    char *path2 = in("other.gguf");
    CHECK(gguf_write(w, path2, NULL, NULL, err) == 0);
    gguf_writer_free(w);
    free(odd_norm);
    CHECK_MSG(eng_model_open(path2, &o, &other, err) == 0, "%s", err);
    CHECK(eng_adapter_read(other, ada, &got, err) == Q_RANGE && strstr(err, "was made for"));
    eng_adapter_free(ad);
    eng_model_free(m);
    eng_model_free(other);
    unlink(path);
    free(path);
    free(path2);
    free(ada);
}

/* ---- the model as arithmetic sees it ---- */

static void rows_as_weights(void)
{
    static const char *const models[] = { "qwen3moe", "phi3", "deepseek2", "deepseek2-lite", "gpt-oss", "glm4moe" };
    int compared = 0;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        eng_model *m = help_model(models[k]);
        if (!m) { CHECK(m); continue; }
        for (int layer = -1; layer < m->ker.n_layer; layer++)
            for (int r = 0; r < KER_W_ROLES; r++) {
                weight_view v;
                char why[Q_ERRLEN];
                if (weight_find(m, (enum ker_role)r, layer, &v, why)) {
                    CHECK(eng_model_rows(m, layer, (enum ker_role)r, 0, 0, 1, NULL, why) == Q_NOTFOUND);
                    continue;
                }
                int64_t rows = v.n_dims > 1 ? v.ne[1] : 1, row = v.across ? 0 : ker_row_bytes(v.type, v.ne[0]);
                int e = (int)(v.n_dims > 2 ? v.ne[2] - 1 : 0);
                float *got = q_alloc(sizeof *got * (size_t)(rows * v.ne[0])), *want = q_alloc(sizeof *want * (size_t)v.ne[0]);
                CHECK_MSG(eng_model_rows(m, layer, (enum ker_role)r, e, 0, rows, got, err) == 0, "%s", err);
                for (int64_t i = 0; i < rows && !v.across; i++, compared++) {
                    ker_type_get(v.type)->decode((const uint8_t *)v.data + e * (v.stride ? v.stride : rows * row) + i * row, want, v.ne[0]);
                    CHECK_MSG(memcmp(want, got + i * v.ne[0], sizeof *want * (size_t)v.ne[0]) == 0, "%s %s row %lld", models[k], v.name, (long long)i);
                }
                CHECK(eng_model_rows(m, layer, (enum ker_role)r, e, 1, rows, got, err) == Q_RANGE);
                CHECK(eng_model_rows(m, layer, (enum ker_role)r, e + 1, 0, 1, got, err) == Q_RANGE);
                free(got);
                free(want);
            }
        CHECK(eng_model_arithmetic(m)->n_layer == eng_model_info(m)->n_layer);
        eng_config *c = eng_config_new(m);
        eng_arithmetic ar;
        CHECK(eng_config_arithmetic(c, &ar, err) == 0 && ar.c->k && ar.c->rope_freq && ar.c->norm_eps > 0);
        eng_config_arithmetic_free(&ar);
        eng_config_arithmetic_free(&ar);
        eng_config_free(c);
        eng_model_free(m);
    }
    CHECK(compared > 1000);
}

/* ---- what PyTorch and peft made ---- */

static void shared_adapters(void)
{
    static const char *const name[] = { "qwen3moe", "qwen3", "qwen2moe", "llama", "glm4moe" }, *const file[] = { "attn", "experts", "ffn", "mixed", "fused", "../train/init", "../train/final" };
    int read = 0;
    for (size_t i = 0; i < 5; i++) {
        char *model = q_printf("../shared/data/golden/%s/model.gguf", name[i]), *out = in("copy.gguf");
        eng_model *m = NULL;
        CHECK_MSG(eng_model_open(model, &(eng_open_opts){ .n_threads = 1, .ignore_memory = true }, &m, err) == 0, "%s", err);
        for (size_t k = 0; k < sizeof file / sizeof *file && m; k++) {
            char *path = q_printf("../shared/data/lora/%s/adapters/%s.gguf", name[i], file[k]);
            eng_adapter *ad = NULL, *again = NULL;
            if (util_exists(path)) {
                CHECK_MSG(eng_adapter_read(m, path, &ad, err) == 0, "%s", err);
                if (ad) CHECK_MSG(eng_adapter_write_gguf(ad, out, true, err) == 0 && eng_adapter_read(m, out, &again, err) == 0, "%s: %s", path, err);
                if (again) same(ad, again);
                if (again) CHECK(eng_adapter_info_of(ad)->hash == eng_adapter_info_of(again)->hash);
                read++;
            }
            eng_adapter_free(ad);
            eng_adapter_free(again);
            free(path);
        }
        eng_model_free(m);
        free(model);
        free(out);
    }
    CHECK_INT(read, 20);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    RUN(written_and_read_again);
    RUN(scales_that_differ);
    RUN(one_sentence_each);
    RUN(the_base_itself);
    RUN(rows_as_weights);
    if (util_exists("../shared/data/lora/README.md")) RUN(shared_adapters);
    else SKIP("shared_adapters", "no ../shared/data/lora");
    char *cmd = q_printf("rm -rf %s", dir);
    if (system(cmd)) printf("# %s stays\n", dir);
    free(cmd);
    return TEST_END();
}
