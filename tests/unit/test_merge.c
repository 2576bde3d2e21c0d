/* tests: adapters added to a model for good (engine/adapter/merge.c): ../shared/data/lora's cases as merged models against their logits and
 * routing; weights of checked-in models against base + scale B A in double precision, tensors that share roles and split bases included; what
 * is refused. */
#include "engine/adapter.h"
#include "engine/models.h"
#include "engine/run/model.h"
#include "tests/adapter_help.h"
#include "tests/golden.h"
#include "tests/rewrite.h"
#include "tests/test.h"

#include <sys/stat.h>
#include <unistd.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";
static char *in(const char *name) { return q_printf("%s/%s", dir, name); }

static eng_model *open_at(const char *path, bool unrun)
{
    eng_model *m = NULL;
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .n_threads = 1, .ignore_memory = true, .unrun = unrun }, &m, err) == 0, "%s", err);
    return m;
}

/* ---- the cases that PyTorch and peft made ---- */

/* The model with the case's adapters merged gives the case's logits and routing. */
static void one_case(golden_set *g, int at, const eng_model *base, const char *out)
{
    const cJSON *list = cJSON_GetObjectItem(g->item[at], "adapters"), *a;
    eng_adapter *read[4] = { 0 };
    eng_merge what[4];
    int n = 0, rc = 0;
    cJSON_ArrayForEach(a, list) {
        char *path = q_printf("%s/%s", g->dir, cJSON_GetObjectItem(a, "file")->valuestring);
        rc = rc ? rc : eng_adapter_read(base, path, &read[n], err);
        what[n] = (eng_merge){ read[n], (float)cJSON_GetObjectItem(a, "scale")->valuedouble };
        n++;
        free(path);
    }
    if (!rc) rc = eng_merge_write(base, what, n, NULL, out, true, NULL, NULL, err);
    CHECK_MSG(rc == 0, "%s %s: %s", g->arch, g->name[at], err);
    eng_model *m = rc ? NULL : open_at(out, false);
    golden_result r = { 0 };
    golden_diff d = { 0 };
    if (m && golden_run(g, m, at, 0, &r, err) == 0 && golden_compare(g, m, at, &r, &d, err) == 0)
        CHECK_MSG(d.logits <= 1e-4 && d.ids == 0 && d.weights <= 1e-4, "%s %s: logits differ by %.3g, weights by %.3g, %d ids", g->arch, g->name[at], d.logits, d.weights, d.ids);
    else CHECK_MSG(false, "%s %s: %s", g->arch, g->name[at], err);
    golden_result_free(&r);
    for (int i = 0; i < n; i++) eng_adapter_free(read[i]);
    eng_model_free(m);
}

static void shared_cases(void)
{
    static const char *const names[] = { "qwen3moe", "qwen3", "qwen2moe", "llama", "glm4moe" };
    int compared = 0;
    char *out = in("merged.gguf");
    for (size_t i = 0; i < 5; i++) {
        char *folder = q_printf("../shared/data/lora/%s", names[i]), *model = q_printf("../shared/data/golden/%s/model.gguf", names[i]);
        golden_set g;
        eng_model *base = open_at(model, true);
        if (base && golden_open(folder, &g, err) == 0) {
            for (int k = 0; k < g.n_case; k++) {
                const cJSON *held = cJSON_GetObjectItem(g.item[k], "restrictions");
                if (held && held->child) continue;                 /* a merged model is changed everywhere */
                one_case(&g, k, base, out);
                compared++;
            }
            golden_close(&g);
        }
        eng_model_free(base);
        free(folder);
        free(model);
    }
    CHECK_MSG(compared >= 30, "%d cases", compared);
    free(out);
}

/* ---- weights ---- */

static double change(const eng_adapter *ad, enum ker_role role, int layer, int64_t e, int64_t o, int64_t i, double scale)
{
    int n;
    double sum = 0;
    const eng_low *l = eng_adapter_lows(ad, &n);
    for (int k = 0; k < n; k++)
        for (int r = 0; l[k].role == role && l[k].layer == layer && r < l[k].rank; r++)
            sum += (double)l[k].b[(e * l[k].n_out + o) * l[k].rank + r] * (double)l[k].a[(e * l[k].rank + r) * l[k].n_in + i] * l[k].scale * scale;
    return sum;
}

/* Every matrix of m against base's with the change, to `off` of each row's largest. */
static void compare_weights(const char *what, const eng_model *base, const eng_model *m, const eng_adapter *ad, double scale, double off)
{
    int changed = 0;
    for (int layer = -1; layer < base->ker.n_layer; layer++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            int64_t ne[3];
            if (!ker_role_here(&base->ker, layer, (enum ker_role)r)) continue;
            int dims = ker_role_shape(&base->ker, layer, (enum ker_role)r, ne);
            float *x = q_alloc(sizeof *x * (size_t)ne[0]), *y = q_alloc(sizeof *y * (size_t)ne[0]);
            for (int64_t e = 0; e < (dims > 2 ? ne[2] : 1); e++)
                for (int64_t o = 0; o < (dims > 1 ? ne[1] : 1); o++) {
                    if (eng_model_rows(base, layer, (enum ker_role)r, (int)e, o, 1, x, err)) continue;
                    CHECK_MSG(eng_model_rows(m, layer, (enum ker_role)r, (int)e, o, 1, y, err) == 0, "%s", err);
                    double worst = 0, largest = 0;
                    for (int64_t i = 0; i < ne[0]; i++) {
                        double d = change(ad, (enum ker_role)r, layer, e, o, i, scale);
                        changed += d != 0;
                        worst = fmax(worst, fabs((double)y[i] - (double)x[i] - d));
                        largest = fmax(largest, fabs((double)x[i] + d));
                    }
                    CHECK_MSG(worst <= off * largest + 1e-12, "%s: role %d layer %d expert %lld row %lld: %g of %g", what, r, layer, (long long)e, (long long)o, worst, largest);
                }
            free(x);
            free(y);
        }
    CHECK(changed > 100);
}

static eng_adapter *sample(const eng_model *m)
{
    eng_low l[12];
    int n = 0;
    static const enum ker_role roles[] = { KER_W_Q, KER_W_V, KER_W_O, KER_W_UP_EXPS, KER_W_DOWN_EXPS, KER_W_ROUTER, KER_W_UP, KER_W_DOWN_SH };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (ker_role_here(&m->ker, 1, roles[i])) l[n++] = help_low(m, roles[i], 1, 1 + (int)i % 3, 0.25f);
    eng_adapter *ad = NULL;
    CHECK_MSG(eng_adapter_make(m, "sample", l, n, NULL, &ad, err) == 0, "%s", err);
    help_low_free(l, n);
    return ad;
}

static void weights_of_all_kinds(void)
{
    static const struct { const char *name, *type; bool joined; double off; } rows[] = {
        { "qwen3moe", NULL, false, 3e-7 }, { "qwen3moe", NULL, true, 3e-7 }, { "glm4moe", NULL, false, 3e-7 }, { "phi3", NULL, false, 3e-7 }, { "granitemoe", NULL, false, 3e-7 },
        { "qwen3moe", "Q8_0", false, 0.008 }, { "qwen3moe", "bf16", false, 0.004 }, { "qwen3moe", "F16", true, 0.001 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = util_model(rows[i].name), *out = in("weights.gguf"), *joined = in("joined.gguf");
        if (rows[i].joined) {
            gguf_file *f = NULL;
            CHECK(gguf_open(path, &f, err) == 0);
            rewrite how = { .from = f, .type = -1, .joined = true };
            CHECK_MSG(rewrite_model(&how, joined, err) == 0, "%s", err);
            gguf_close(f);
        }
        eng_model *m = open_at(rows[i].joined ? joined : path, true), *merged = NULL;
        eng_adapter *ad = sample(m);
        CHECK_MSG(eng_merge_write(m, &(eng_merge){ ad, -0.5f }, 1, rows[i].type, out, true, NULL, NULL, err) == 0, "%s", err);
        merged = open_at(out, false);
        if (merged) compare_weights(rows[i].name, m, merged, ad, -0.5, rows[i].off);
        if (merged) {
            CHECK_STR(merged->info.name, m->info.name);
            CHECK_INT(merged->info.n_vocab, m->info.n_vocab);
            gguf_str text;
            CHECK(gguf_string(merged->file, "quorum.merged", &text) && memmem(text.p, text.n, "\"sample\"", 8));
            if (rows[i].type) CHECK(strcasecmp(merged->info.quant, rows[i].type) == 0);
            CHECK_INT(gguf_n_tensors(merged->file), gguf_n_tensors(m->file));
        }
        eng_adapter_free(ad);
        eng_model_free(m);
        eng_model_free(merged);
        unlink(path);
        free(path);
        free(out);
        free(joined);
    }
}

static int copy_tensor(void *user, void *dst, size_t bytes, char *e)
{
    (void)e;
    memcpy(dst, ((const gguf_tensor *)user)->data, bytes);
    return Q_OK;
}

/* A base in two parts gives one file, without the keys of a part. */
static void a_split_base(void)
{
    char *whole = util_model("qwen3moe"), *out = in("one.gguf"), *first = in("two-00001-of-00002.gguf");
    gguf_file *f = NULL;
    CHECK(gguf_open(whole, &f, err) == 0);
    int n = gguf_n_tensors(f);
    for (int i = 0; i < 2; i++) {
        gguf_writer *w = gguf_writer_new();
        char *part = q_printf("%s/two-0000%d-of-00002.gguf", dir, i + 1);
        for (int k = 0; i == 0 && k < gguf_n_kv(f); k++) {
            char *key = q_strndup(gguf_kv_at(f, k)->key.p, gguf_kv_at(f, k)->key.n);
            gguf_put_kv(w, key, gguf_kv_at(f, k));
            free(key);
        }
        gguf_put_u32(w, "split.no", (unsigned)i);
        gguf_put_u32(w, "split.count", 2);
        gguf_put_u32(w, "split.tensors.count", (unsigned)n);
        for (int k = i * n / 2; k < (i + 1) * n / 2; k++) {
            const gguf_tensor *t = gguf_tensor_at(f, k);
            char *name = q_strndup(t->name.p, t->name.n);
            gguf_put_tensor(w, name, t->type, t->n_dims, t->ne, copy_tensor, (void *)(uintptr_t)t);
            free(name);
        }
        CHECK(gguf_write(w, part, NULL, NULL, err) == 0);
        gguf_writer_free(w);
        free(part);
    }
    gguf_close(f);
    eng_model *m = open_at(first, true), *merged = NULL;
    eng_adapter *ad = m ? sample(m) : NULL;
    if (ad) CHECK_MSG(eng_merge_write(m, &(eng_merge){ ad, 1 }, 1, NULL, out, false, NULL, NULL, err) == 0, "%s", err);
    if (ad) merged = open_at(out, false);
    if (merged) compare_weights("split", m, merged, ad, 1, 3e-7);
    if (merged) CHECK(!gguf_find(merged->file, "split.count") && gguf_parts(merged->file) == 1);
    eng_adapter_free(ad);
    eng_model_free(m);
    eng_model_free(merged);
    unlink(whole);
    free(whole);
    free(out);
    free(first);
}

/* ---- what is refused ---- */

/* Where one matrix is what is looked up and what tokens are scored by, a change of one of the two makes two of it (peft#2777). */
static void a_tied_head_comes_apart(void)
{
    static const struct { int n; enum ker_role role[2]; } rows[] = { { 1, { KER_W_EMBD } }, { 1, { KER_W_OUT } }, { 2, { KER_W_EMBD, KER_W_OUT } } };
    eng_model *m = help_model("gemma3");
    int d = m->ker.n_embd;
    float *was = q_alloc(sizeof *was * (size_t)d), *is = q_alloc(sizeof *is * (size_t)d);
    char *out = in("apart.gguf");
    CHECK(!gguf_tensor_find(m->file, "output.weight"));
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        eng_low low[2];
        eng_adapter *ad = NULL;
        for (int i = 0; i < rows[k].n; i++) low[i] = help_low(m, rows[k].role[i], -1, 2 + i, 1);
        CHECK_MSG(eng_adapter_make(m, "words", low, rows[k].n, NULL, &ad, err) == 0, "%s", err);
        CHECK_MSG(eng_merge_write(m, &(eng_merge){ ad, .5f }, 1, NULL, out, true, NULL, NULL, err) == 0, "%s", err);
        eng_model *w = open_at(out, false);
        CHECK(w && gguf_n_tensors(w->file) == gguf_n_tensors(m->file) + 1);
        for (int o = 0; w && o < m->ker.n_vocab; o += 7) {
            CHECK(eng_model_rows(m, -1, KER_W_EMBD, 0, o, 1, was, err) == 0);
            for (int r = 0; r < 2; r++) {
                enum ker_role role = r ? KER_W_OUT : KER_W_EMBD;
                double off = 0;
                CHECK_MSG(eng_model_rows(w, -1, role, 0, o, 1, is, err) == 0, "%s", err);
                for (int i = 0; i < d; i++) off = fmax(off, fabs((double)is[i] - was[i] - change(ad, role, -1, 0, o, i, .5)));
                CHECK_MSG(off < 1e-5, "%zu: row %d of %s: %g", k, o, r ? "the head" : "the embedding", off);
            }
        }
        help_low_free(low, rows[k].n);
        eng_adapter_free(ad);
        eng_model_free(w);
    }
    eng_model_free(m);
    free(was);
    free(is);
    free(out);
}

static void refused(void)
{
    eng_model *m = help_model("qwen3moe");
    eng_adapter *ad = sample(m);
    char *out = in("refused.gguf"), *link = in("link.gguf");
    eng_merge one = { ad, 1 };
    CHECK(eng_merge_write(m, &one, 1, "Q4_K", out, false, NULL, NULL, err) == Q_RANGE && strstr(err, "Q8_0"));
    CHECK(eng_merge_write(m, &one, 1, "nothing", out, false, NULL, NULL, err) == Q_RANGE && strstr(err, "\"nothing\""));
    CHECK(eng_merge_write(m, &(eng_merge){ ad, NAN }, 1, NULL, out, false, NULL, NULL, err) == Q_RANGE);
    eng_merge many[64];
    for (int i = 0; i < 64; i++) many[i] = (eng_merge){ ad, 3e38f };
    CHECK(eng_merge_write(m, many, 64, NULL, out, false, NULL, NULL, err) == Q_FORMAT && strstr(err, "not finite"));
    CHECK(eng_merge_write(m, &one, 1, NULL, dir, true, NULL, NULL, err) == Q_RANGE && strstr(err, "is a folder"));
    CHECK(eng_merge_write(m, &one, 1, NULL, "/nowhere/at/all.gguf", true, NULL, NULL, err) == Q_IO);
    CHECK(!util_exists(out));
    char *own = q_printf("%s/own.gguf", dir), *other = q_printf("%s/other.gguf", dir);       /* neither the base nor an adapter is written over, under whatever name */
    CHECK_MSG(eng_merge_write(m, &one, 1, NULL, own, false, NULL, NULL, err) == 0 && symlink(own, other) == 0, "%s", err);
    eng_model *base = open_at(own, true);
    CHECK(base && eng_merge_write(base, &one, 1, NULL, own, true, NULL, NULL, err) == Q_RANGE && strstr(err, "the base itself"));
    CHECK(base && eng_merge_write(base, &one, 1, NULL, other, true, NULL, NULL, err) == Q_RANGE && strstr(err, "the base itself"));
    eng_adapter *file = NULL;
    CHECK(eng_adapter_write_gguf(ad, out, true, err) == 0 && eng_adapter_read(m, out, &file, err) == 0);
    CHECK(file && eng_merge_write(m, &(eng_merge){ file, 1 }, 1, NULL, out, true, NULL, NULL, err) == Q_RANGE && strstr(err, "the adapter itself"));
    eng_adapter_free(file);
    eng_model_free(base);
    CHECK(unlink(out) == 0 && unlink(other) == 0);
    free(own);
    free(other);
    CHECK(symlink("/nowhere/at/all", link) == 0 && eng_merge_write(m, &one, 1, NULL, link, false, NULL, NULL, err) == Q_RANGE);
    eng_adapter_free(ad);
    eng_model_free(m);

    char *path = in("quantised.gguf");             /* K-quants are read and not written */
    CHECK_MSG(eng_synth("qwen3moe", "smoke", "Q4_K_M", 2, 1, path, NULL, NULL, err) == 0, "%s", err);
    m = open_at(path, true);
    ad = sample(m);
    CHECK(eng_merge_write(m, &(eng_merge){ ad, 1 }, 1, NULL, out, false, NULL, NULL, err) == Q_RANGE && strstr(err, "--type Q8_0") && strstr(err, "Q4_K"));
    CHECK_MSG(eng_merge_write(m, &(eng_merge){ ad, 1 }, 1, "q8_0", out, false, NULL, NULL, err) == 0, "%s", err);
    eng_adapter_free(ad);
    eng_model_free(m);
    free(path);
    m = help_model("qwen3moe");
    eng_cache *c = NULL;
    eng_model_free(m);
    path = util_model("qwen3moe");
    m = open_at(path, true);                       /* looked at only */
    eng_config *cfg = eng_config_new(m);
    CHECK(eng_cache_new(m, cfg, 1, &c, err) != 0 && strstr(err, "looked at"));
    eng_config_free(cfg);
    eng_model_free(m);
    unlink(path);
    free(path);
    free(out);
    free(link);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    RUN(weights_of_all_kinds);
    RUN(a_split_base);
    RUN(a_tied_head_comes_apart);
    RUN(refused);
    if (util_exists("../shared/data/lora/README.md")) RUN(shared_cases);
    else SKIP("shared_cases", "no ../shared/data/lora");
    char *cmd = q_printf("rm -rf %s", dir);
    if (system(cmd)) printf("# %s stays\n", dir);
    free(cmd);
    return TEST_END();
}
