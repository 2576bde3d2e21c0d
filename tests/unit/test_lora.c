/* Adapters that a model carries, and the knob lora.scale: every case of ../shared/data/lora (PyTorch and peft) within 1e-4 of the largest
 * logit with equal routing, from GGUF and from PEFT's folders; a checked-in model against one whose weights were merged by hand; hashes,
 * labels and settings; timelines whose adapters change between two tokens, come and go. */
#include "engine/adapter.h"
#include "engine/file/gguf.h"
#include "engine/run/arch.h"
#include "engine/run/lora.h"
#include "tests/adapter_help.h"
#include "tests/lora_cases.h"
#include "tests/test.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/stat.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";

/* ---- PyTorch's ---- */

static const char *arch_now;
static int tried;

static void case_of(eng_model *m, const golden_set *g, int at, bool peft)
{
    q_buf value = { 0 };
    eng_config *c = NULL;
    golden_result r[3] = { { 0 } };
    golden_diff d = { 0 };
    int there = lora_case_load(m, g, at, peft, &value, err);
    CHECK_MSG(there >= 0, "%s %s: %s", arch_now, g->name[at], there < 0 ? err : "");
    if (there == 1) {
        int rc = golden_config(g, m, at, &c, err);
        if (!rc) rc = eng_config_set(c, "lora.scale", value.p, err);
        if (!rc) rc = golden_eval(m, c, &g->tokens[at], 0, NULL, 0, &r[0], err);
        if (!rc) rc = golden_compare(g, m, at, &r[0], &d, err);
        if (!rc) rc = golden_eval(m, c, &g->tokens[at], 1, NULL, 0, &r[1], err);
        if (!rc) rc = eng_config_set(c, "threads", "3", err);
        if (!rc) rc = golden_eval(m, c, &g->tokens[at], 7, NULL, 0, &r[2], err);
        CHECK_MSG(rc == 0, "%s %s: %s", arch_now, g->name[at], rc ? err : "");
        CHECK_MSG(d.logits <= 1e-4 && d.ids == 0 && d.weights <= 1e-4, "%s %s%s: logits differ by %.3g of the largest, weights by %.3g, %d ids", arch_now, g->name[at],
                  peft ? " (PEFT)" : "", d.logits, d.weights, d.ids);
        for (int i = 1; i < 3 && !rc; i++)
            CHECK_MSG(!memcmp(r[0].logits, r[i].logits, sizeof(float) * (size_t)r[0].n * (size_t)r[0].n_vocab), "%s %s: other bytes in other pieces", arch_now, g->name[at]);
        tried++;
    }
    for (int i = 0; i < 3; i++) golden_result_free(&r[i]);
    eng_config_free(c);
    CHECK_INT(lora_drop_all(m, err), 0);
    q_buf_free(&value);
}

static void goldens_of_peft_and_pytorch(void)
{
    char *folder = q_printf("../shared/data/lora/%s", arch_now), *path = q_printf("../shared/data/golden/%s/model.gguf", arch_now);
    eng_model *m = NULL;
    golden_set g;
    int rc = eng_model_open(path, NULL, &m, err);
    if (!rc) rc = golden_open(folder, &g, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    tried = 0;
    for (int i = 0; !rc && i < g.n_case; i++)
        for (int peft = 0; peft < 2; peft++) case_of(m, &g, i, peft);
    CHECK(tried > 14);
    if (!rc) golden_close(&g);
    eng_model_free(m);
    free(folder);
    free(path);
}

/* ---- weights merged by hand ---- */

enum { N_TOK = 20 };
static int32_t token(int i) { return (int32_t)((i * 7919 + 13) % 300); }

typedef struct place { enum ker_role role; int layer; } place;
static const place usual[] = { { KER_W_Q, 0 }, { KER_W_O, 1 }, { KER_W_DOWN_EXPS, 1 }, { KER_W_GATE_EXPS, 2 }, { KER_W_UP_EXPS, 2 }, { KER_W_OUT, -1 } };
enum { USUAL = sizeof usual / sizeof *usual, PLACES = 12 };

static eng_adapter *adapter_on(const eng_model *m, const place *on, int n, const char *name, int rank, float scale)
{
    eng_low low[PLACES];
    eng_adapter *a = NULL;
    for (int i = 0; i < n; i++) low[i] = help_low(m, on[i].role, on[i].layer, rank, scale);
    CHECK_MSG(eng_adapter_make(m, name, low, n, "", &a, err) == 0, "%s", err);
    help_low_free(low, n);
    return a;
}

static eng_adapter *adapter(const eng_model *m, const char *name, int rank, float scale) { return adapter_on(m, usual, USUAL, name, rank, scale); }

/* The file with factor * scale * B A added to its F32 weights, opened. */
static eng_model *merged(const char *path, const eng_adapter *a, double factor)
{
    q_buf file = { 0 };
    gguf_file *f = NULL;
    eng_model *m = NULL;
    int n;
    const eng_low *low = eng_adapter_lows(a, &n);
    const char *family = eng_adapter_info_of(a)->arch;
    char *to = q_printf("%s/merged.gguf", dir);
    CHECK(q_read_file(path, &file, 1 << 28, err) == 0 && gguf_open(path, &f, err) == 0);
    for (int i = 0; f && i < n; i++) {
        char name[128];
        arch_tensor_name(arch_find(family, strlen(family)), low[i].role, low[i].layer, name, sizeof name);
        const gguf_tensor *t = gguf_tensor_find(f, name);
        CHECK(t && t->type == KER_F32);
        float *w = (float *)(void *)(file.p + ((const char *)t->data - (const char *)gguf_bytes(f)));
        for (int e = 0; e < low[i].n_expert; e++)
            for (int64_t o = 0; o < low[i].n_out; o++)
                for (int64_t c = 0; c < low[i].n_in; c++, w++) {
                    double sum = 0;
                    for (int k = 0; k < low[i].rank; k++)
                        sum += (double)low[i].b[(e * low[i].n_out + o) * low[i].rank + k] * low[i].a[(e * low[i].rank + k) * low[i].n_in + c];
                    *w = (float)(*w + factor * (double)low[i].scale * sum);
                }
    }
    FILE *out = fopen(to, "wb");
    CHECK(out && fwrite(file.p, 1, file.len, out) == file.len && fclose(out) == 0);
    CHECK_MSG(eng_model_open(to, &(eng_open_opts){ .ignore_memory = true }, &m, err) == 0, "%s", err);
    gguf_close(f);
    q_buf_free(&file);
    free(to);
    return m;
}

static eng_config *config(const eng_model *m, const char *scale)
{
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_set(c, "context.length", "128", err) == 0 && eng_config_set(c, "kv.type", "f32", err) == 0);
    CHECK_MSG(!scale || eng_config_set(c, "lora.scale", scale, err) == 0, "%s", err);
    return c;
}

static eng_session *session(eng_model *m, const eng_config *c)
{
    eng_session *s = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0, "%s", err);
    return s;
}

static void read_text(eng_session *s, int n, enum eng_policy p)
{
    int32_t t[64];
    for (int i = 0; i < n; i++) t[i] = token(i);
    CHECK_MSG(eng_session_sync(s, t, n, p, NULL, NULL, err) == 0, "%s", err);
}

static float *taken(const eng_model *m, eng_session *s)
{
    size_t n = (size_t)eng_model_info(m)->n_vocab;
    float *copy = q_alloc(sizeof *copy * n);
    const float *l = eng_session_logits(s);
    CHECK(l != NULL);
    if (l) memcpy(copy, l, sizeof *copy * n);
    return copy;
}

/* Logits behind the first n tokens under a scale, evaluated in a session of its own. */
static float *anew(eng_model *m, const char *scale, int n)
{
    eng_config *c = config(m, scale);
    eng_session *s = session(m, c);
    read_text(s, n, ENG_RECOMPUTE);
    float *l = taken(m, s);
    eng_session_free(s);
    eng_config_free(c);
    return l;
}

static double apart(const eng_model *m, const float *a, const float *b)
{
    double most = 0, top = 0;
    for (int i = 0; i < eng_model_info(m)->n_vocab; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        top = fmax(top, fabs((double)b[i]));
    }
    return most / top;
}

static bool same(const eng_model *m, const float *a, const float *b) { return memcmp(a, b, sizeof *a * (size_t)eng_model_info(m)->n_vocab) == 0; }

static int copy_tensor(void *user, void *dst, size_t bytes, char *e)
{
    (void)e;
    memcpy(dst, ((const gguf_tensor *)user)->data, bytes);
    return 0;
}

/* The file with a head of its own, equal to its embedding where it has none; the caller's to free and to remove. */
static char *untied(const char *path)
{
    char *to = q_printf("%s/untied.gguf", dir);
    gguf_file *f = NULL;
    gguf_writer *w = gguf_writer_new();
    CHECK(gguf_open(path, &f, err) == 0);
    bool tied = f && !gguf_tensor_find(f, "output.weight");
    for (int i = 0; i < gguf_n_kv(f); i++) {
        const gguf_kv *kv = gguf_kv_at(f, i);
        char *key = q_strndup(kv->key.p, kv->key.n);
        gguf_put_kv(w, key, kv);
        free(key);
    }
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        char *name = q_strndup(t->name.p, t->name.n);
        gguf_put_tensor(w, name, t->type, t->n_dims, t->ne, copy_tensor, (void *)(uintptr_t)t);
        if (tied && strcmp(name, "token_embd.weight") == 0) gguf_put_tensor(w, "output.weight", t->type, t->n_dims, t->ne, copy_tensor, (void *)(uintptr_t)t);
        free(name);
    }
    CHECK(gguf_write(w, to, NULL, NULL, err) == 0);
    gguf_writer_free(w);
    gguf_close(f);
    return to;
}

/* Every scale against the model whose weights were merged by it; each with a head of its own. */
static void merged_by_hand(const char *model, const place *on, int n)
{
    char *tied = util_model(model), *path = untied(tied);
    unlink(tied);
    free(tied);
    eng_model *m = NULL;
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .ignore_memory = true }, &m, err) == 0, "%s", err);
    eng_adapter *a = adapter_on(m, on, n, "style", 4, .4f);
    CHECK_MSG(eng_model_adapter_add(m, a, "style", err) == 0, "%s: %s", model, err);
    static const struct { const char *scale; double factor; } at[] = { { "style=1", 1 }, { "style=0.7", .7 }, { "default", 1 }, { "none", 0 }, { "-0.5", -.5 } };
    float *base = anew(m, "none", N_TOK);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        eng_model *w = merged(path, a, at[i].factor);
        float *x = anew(m, at[i].scale, N_TOK), *y = anew(w, NULL, N_TOK);
        CHECK_MSG(apart(m, x, y) < 2e-5, "%s, %s: %.3g of the largest logit from the merged weights", model, at[i].scale, apart(m, x, y));
        CHECK_MSG(at[i].factor == 0 ? same(m, x, base) : apart(m, x, base) > .01, "%s, %s: moved by %.3g", model, at[i].scale, apart(m, x, base));
        free(x);
        free(y);
        eng_model_free(w);
    }
    free(base);
    eng_model_free(m);
    unlink(path);
    free(path);
}

static void as_with_weights_merged_by_hand(void) { merged_by_hand("qwen3moe", usual, USUAL); }

static void recurrent_and_latent_layers_too(void)
{
    static const place next[] = { { KER_W_D_QKV, 0 }, { KER_W_D_Z, 1 }, { KER_W_D_BA, 1 }, { KER_W_D_OUT, 0 }, { KER_W_GATE_SH, 1 }, { KER_W_DOWN_SH, 0 }, { KER_W_EMBD, -1 } };
    static const place dense[] = { { KER_W_D_ALPHA, 0 }, { KER_W_D_BETA, 1 }, { KER_W_D_OUT, 1 }, { KER_W_GATE, 0 }, { KER_W_UP, 1 }, { KER_W_DOWN, 1 }, { KER_W_EMBD, -1 } };
    static const place latent[] = { { KER_W_Q_A, 0 }, { KER_W_Q_B, 1 }, { KER_W_KV_A, 0 }, { KER_W_O, 1 }, { KER_W_UP_SH, 1 }, { KER_W_DOWN, 0 } };
    merged_by_hand("qwen3next", next, sizeof next / sizeof *next);
    merged_by_hand("qwen35", dense, sizeof dense / sizeof *dense);
    merged_by_hand("deepseek2", latent, sizeof latent / sizeof *latent);
}

/* ---- a tied head ---- */

/* As PEFT has it where nothing ties them (peft#2864): what changes the embedding leaves the head that is the same matrix, and the other way round. */
static void a_tied_head_is_changed_by_itself(void)
{
    static const char *const models[] = { "gemma3", "granitemoe" };
    static const place embd[] = { { KER_W_EMBD, -1 } }, head[] = { { KER_W_OUT, -1 } };
    for (int k = 0; k < 2; k++) {
        char *path = util_model(models[k]), *other = untied(path);
        eng_model *m = NULL, *w = NULL;
        CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .ignore_memory = true }, &m, err) == 0, "%s", err);
        CHECK_MSG(eng_model_open(other, &(eng_open_opts){ .ignore_memory = true }, &w, err) == 0, "%s", err);
        float *base = anew(m, NULL, N_TOK);
        for (int i = 0; i < 2 && m && w; i++) {
            CHECK_MSG(eng_model_adapter_add(m, adapter_on(m, i ? head : embd, 1, "a", 3, 1), "a", err) == 0, "%s", err);
            CHECK_MSG(eng_model_adapter_add(w, adapter_on(w, i ? head : embd, 1, "a", 3, 1), "a", err) == 0, "%s", err);
            float *x = anew(m, "a", N_TOK), *y = anew(w, "a", N_TOK);
            CHECK_MSG(same(m, x, y), "%s: %.3g apart", models[k], apart(m, x, y));
            CHECK_MSG(apart(m, x, base) > .001, "%s: %.3g", models[k], apart(m, x, base));
            CHECK_INT(lora_drop_all(m, err), 0);
            CHECK_INT(lora_drop_all(w, err), 0);
            free(x);
            free(y);
        }
        free(base);
        eng_model_free(m);
        eng_model_free(w);
        unlink(path);
        unlink(other);
        free(path);
        free(other);
    }
}

/* What eng_merge_write makes of two adapters is what they do unmerged. */
static void as_merged_into_a_file(void)
{
    static const place more[] = { { KER_W_Q, 0 }, { KER_W_V, 2 }, { KER_W_UP_EXPS, 1 }, { KER_W_DOWN_EXPS, 2 }, { KER_W_EMBD, -1 } };
    char *path = util_model("qwen3moe"), *to = q_printf("%s/two.gguf", dir);
    eng_model *m = NULL, *both = NULL;
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .ignore_memory = true }, &m, err) == 0, "%s", err);
    eng_adapter *a = adapter(m, "a", 4, .4f), *b = adapter_on(m, more, sizeof more / sizeof *more, "b", 3, .5f);
    const eng_merge two[] = { { a, .7f }, { b, -.3f } };
    CHECK_MSG(eng_merge_write(m, two, 2, NULL, to, true, NULL, NULL, err) == 0, "%s", err);
    CHECK_MSG(eng_model_open(to, &(eng_open_opts){ .ignore_memory = true }, &both, err) == 0, "%s", err);
    CHECK(eng_model_adapter_add(m, a, "a", err) == 0 && eng_model_adapter_add(m, b, "b", err) == 0);
    float *x = anew(m, "a=0.7,b=-0.3", N_TOK), *y = anew(both, NULL, N_TOK), *base = anew(m, "none", N_TOK);
    CHECK_MSG(apart(m, x, y) < 2e-5 && apart(m, x, base) > .01, "%.3g of the largest logit from the merged file, %.3g from the base", apart(m, x, y), apart(m, x, base));
    free(x);
    free(y);
    free(base);
    eng_model_free(both);
    eng_model_free(m);
    unlink(path);
    unlink(to);
    free(path);
    free(to);
}

/* ---- hashes, words ---- */

static uint64_t hash_of(const eng_model *m, const char *scale)
{
    eng_config *c = config(m, scale);
    uint64_t h = eng_config_hash(c);
    eng_config_free(c);
    return h;
}

static void hashes_tell_what_acts(void)
{
    eng_model *m = help_model("qwen3moe");
    eng_config *before = config(m, NULL);
    uint64_t base = eng_config_hash(before);
    CHECK_INT(eng_model_adapter_add(m, adapter(m, "a", 2, 1), "style", err), 0);
    CHECK_INT(eng_model_adapter_add(m, adapter(m, "b", 3, 1), "other", err), 0);
    CHECK(eng_config_hash(before) == base && hash_of(m, "none") == base && hash_of(m, "style=0") == base && hash_of(m, "style=0,style@1=0") == base);
    const char *const differ[] = { "style", "style=0.7", "style=0.3", "other", "style,other", "style=0.7,other=0.3", "style@0=0", "style@0-1=0", "style@1e3=0", "style@1e3-5=0", "style=0,style@1e3=1", "-1" };
    enum { N = sizeof differ / sizeof *differ };
    uint64_t h[N];
    for (int i = 0; i < N; i++) {
        h[i] = hash_of(m, differ[i]);
        CHECK_MSG(h[i] != base, "%s", differ[i]);
        for (int j = 0; j < i; j++) CHECK_MSG(h[i] != h[j], "%s and %s", differ[i], differ[j]);
    }
    CHECK(hash_of(m, "default") == hash_of(m, "other=1,style=1") && hash_of(m, NULL) == hash_of(m, "1") && hash_of(m, "style@0-2=0.5") == hash_of(m, "style@0=0.5,style@1-2=0.5"));
    CHECK_INT(lora_drop_all(m, err), 0);
    CHECK(eng_config_hash(before) == base && hash_of(m, NULL) == base);
    CHECK_INT(eng_model_adapter_add(m, adapter(m, "a", 2, 1), "renamed", err), 0);
    CHECK(hash_of(m, "renamed=0.7") == h[1]);          /* a name is no part of what is computed */
    eng_config_free(before);
    eng_model_free(m);
}

static void values_as_text(void)
{
    eng_model *m = help_model("glm4moe");
    static const char *const rows[][2] = {
        { "style", "style=1" }, { " style=0.70", "style=0.7" }, { "other=2,style=1", "style=1,other=2" }, { "other=2;style=1", "style=1,other=2" }, { "style=1,style@0-1=0", "style=1,style@0-1=0" },
        { "style@1e3=0.5,style@1e4=0.5", "style=1,style@1e3-4=0.5" }, { "style=0,style@1=1,style@1e2=0", "style=0,style@1=1,style@1e2=0" },
        { "style=0", "none" }, { "none", "none" }, { "0", "none" }, { "0.5", "style=0.5,other=0.5" }, { "default", "style=1,other=1" }, { "style=-0", "none" },
    };
    static const char *const bad[][2] = {
        { "nobody=1", "loaded: style, other" }, { "style=", "is a list" }, { "style=x", "is a list" }, { "style=101", "-100 to 100" }, { "style@9=1", "layers that are not" },
        { "style@2-1=1", "layers that are not" }, { "style@0e1=1", "has no experts" }, { "style@1e99=1", "experts that are not" }, { "style@e1=1", "is a list" }, { "style@1f2=1", "is a list" }, { "style@1x=1", "is a list" }, { "style@1-=1", "is a list" }, { "style@1e2-=1", "is a list" },
        { "style@1e2-3-4=0", "is a list" }, { "style=1,,other=1", "is a list" }, { "=1", "is a list" }, { "style#1=1", "not the one" }, { "inf", "is a list" },
    };
    q_buf b = { 0 };
    eng_config *c = config(m, NULL);
    static const enum ker_role on[] = { KER_W_Q };
    for (int i = 0; i < 2; i++) {
        eng_low low = help_low(m, on[0], 0, 2 + i, 1);
        eng_adapter *a = NULL;
        CHECK_MSG(eng_adapter_make(m, "x", &low, 1, "", &a, err) == 0 && eng_model_adapter_add(m, a, i ? "other" : "style", err) == 0, "%s", err);
        help_low_free(&low, 1);
    }
    CHECK_STR(eng_config_get(c, "lora.scale", &b), "none");        /* made before they came */
    CHECK(!eng_config_is_default(c, "lora.scale"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_MSG(eng_config_set(c, "lora", rows[i][0], err) == 0, "%s: %s", rows[i][0], err);
        CHECK_STR(eng_config_get(c, "lora.scale", &b), rows[i][1]);
    }
    uint64_t h = eng_config_hash(c);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_MSG(eng_config_set(c, "lora.scale", bad[i][0], err) == Q_RANGE, "%s", bad[i][0]);
        CHECK_MSG(strstr(err, bad[i][1]) != NULL, "%s: %s", bad[i][0], err);
        CHECK(eng_config_hash(c) == h);
    }
    CHECK(eng_config_set(c, "lora.scale", "style=0.7,other=0.3,other@1=0", err) == 0);
    CHECK_STR(eng_config_label(c, &b), "lora style 0.7, other 0.3, other@1 0 \xc2\xb7 kv f32");
    char *json = eng_config_json(c);
    eng_config *back = config(m, "none");
    CHECK_MSG(eng_config_from_json(back, json, err) == 0, "%s", err);
    CHECK(eng_config_hash(back) == eng_config_hash(c) && eng_config_diff(back, c) == Q_EFFECT_SAMPLING);
    /* Another file under a name that settings know is not taken for the one they were made with. */
    CHECK_INT(eng_model_adapter_drop(m, "style", err), 0);
    CHECK_STR(eng_config_get(c, "lora.scale", &b), "other=0.3,other@1=0");
    eng_low low = help_low(m, KER_W_K, 0, 2, 1);
    eng_adapter *a = NULL;
    CHECK(eng_adapter_make(m, "x", &low, 1, "", &a, err) == 0 && eng_model_adapter_add(m, a, "style", err) == 0);
    help_low_free(&low, 1);
    CHECK_STR(eng_config_get(c, "lora.scale", &b), "other=0.3,other@1=0");
    CHECK_INT(eng_config_from_json(back, json, err), Q_RANGE);
    CHECK(strstr(err, "not the one") != NULL);
    free(json);
    eng_config_free(back);
    eng_config_free(c);
    q_buf_free(&b);
    eng_model_free(m);
}

static void names_and_foreign_ones(void)
{
    eng_model *m = help_model("qwen3moe"), *foreign = help_model("glm4moe");
    eng_adapter *a = adapter(m, "a", 2, 1), *b = adapter(m, "b", 3, 1);
    CHECK_INT(eng_model_adapter_add(m, a, "no/path", err), Q_RANGE);
    CHECK_INT(eng_model_adapter_add(m, a, "1.5", err), Q_RANGE);
    CHECK_INT(eng_model_adapter_add(m, a, "none", err), Q_RANGE);
    CHECK_INT(eng_model_adapter_add(foreign, a, "style", err), Q_RANGE);
    CHECK_MSG(strstr(err, "another model") != NULL, "%s", err);
    CHECK_INT(eng_model_adapter_add(m, a, "style", err), 0);
    CHECK_INT(eng_model_adapter_add(m, b, "style", err), Q_RANGE);
    CHECK_INT(eng_model_adapter_drop(m, "nobody", err), Q_NOTFOUND);
    CHECK(strstr(err, "style") != NULL);
    eng_low low = help_low(m, KER_W_ROUTER, 1, 1, 1);
    eng_adapter *router = NULL;
    CHECK(eng_adapter_make(m, "r", &low, 1, "", &router, err) == 0);
    CHECK_INT(eng_model_adapter_add(m, router, "router", err), Q_RANGE);
    CHECK_MSG(strstr(err, "the router") != NULL, "%s", err);
    help_low_free(&low, 1);
    eng_adapter_free(router);
    CHECK_INT(eng_model_adapter_add(m, b, "other", err), 0);
    for (int i = 2; i <= ENG_ADAPTERS; i++) {
        char name[16];
        eng_adapter *more = adapter(m, "more", 1, 1);
        snprintf(name, sizeof name, "more%d", i);
        CHECK_INT(eng_model_adapter_add(m, more, name, err), i < ENG_ADAPTERS ? 0 : Q_RANGE);
        if (i == ENG_ADAPTERS) eng_adapter_free(more);
    }
    eng_config *c = config(m, "style"), *none = config(m, "none");
    eng_cost with = eng_model_cost(m, c), without = eng_model_cost(m, none);
    CHECK(with.params > without.params && with.bytes_layers - without.bytes_layers + with.bytes_head - without.bytes_head == 4 * (with.params - without.params));
    eng_config_free(c);
    eng_config_free(none);
    eng_model_free(m);
    eng_model_free(foreign);
}

/* ---- what they cost ---- */

static size_t allocated(void)
{
#ifdef __GLIBC__
    struct mallinfo2 i = mallinfo2();
    return i.uordblks + i.hblkhd;
#else
    return 0;
#endif
}

/* Everything of layer `all`, one expert of layer `one`, Q of both: memory against the allocator's, reads against a count by hand. */
static void memory_and_reads_are_counted(void)
{
    enum { RANK = 96, ONE = 3 };
    eng_model *m = help_model("qwen3moe");
    const eng_info *i = eng_model_info(m);
    const enum ker_role roles[] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };
    eng_low low[8];
    int n = 0, last = i->n_layer - 1;
    uint64_t held = 0, device = 0, of_all = 0, of_one = 0;
    for (int r = 0; r < 3; r++)
        for (int l = 0; l <= last; l += last) {
            eng_low *w = &low[n++];
            *w = help_low(m, roles[r], l, RANK, 1);
            uint64_t a = (uint64_t)(w->n_in * RANK) * sizeof(float), b = (uint64_t)(w->n_out * RANK) * sizeof(float);
            float *half[2] = { (float *)(uintptr_t)w->a, (float *)(uintptr_t)w->b };
            for (int e = 0; e < w->n_expert && l == last; e++)
                if (e != ONE) {
                    memset(half[0] + (size_t)e * (size_t)w->n_in * RANK, 0, a);
                    memset(half[1] + (size_t)e * (size_t)w->n_out * RANK, 0, b);
                }
            uint64_t some = l == last ? 1 : (uint64_t)w->n_expert;
            held += some * (a + b);
            device += some * b;
            *(l == last ? &of_one : &of_all) += (l == last ? 1 : (uint64_t)i->n_expert_used) * (a + b);
        }
    eng_adapter *a = NULL;
    CHECK_MSG(eng_adapter_make(m, "x", low, n, "", &a, err) == 0, "%s", err);
    CHECK(eng_adapter_info_of(a)->held == held && eng_adapter_info_of(a)->bytes > held);
    CHECK(eng_adapter_memory(m, a) == held + device && lora_device_bytes(m, a) == device);
    CHECK_INT(lora_fits(m, a, device, err), 0);
    CHECK_INT(lora_fits(m, a, 0, err), 0);
    CHECK_INT(lora_fits(m, a, device - 1, err), Q_NOMEM);
    CHECK_MSG(strstr(err, "of memory more beside the model") != NULL, "%s", err);
    size_t before = allocated();
    CHECK_MSG(eng_model_adapter_add(m, a, "x", err) == 0, "%s", err);
    size_t took = allocated() - before;                                     /* and tables of places, pointers, marks and a name */
    if (before) CHECK_MSG(took >= device && took < device + device / 20 + 16384, "%zu bytes for %llu", took, (unsigned long long)device);

    eng_added *of = q_alloc(sizeof *of * (size_t)(last + 2));
    uint8_t *changed = q_alloc((size_t)i->n_layer * (size_t)i->n_expert);
    const struct { const char *scale; int acting; uint64_t all, one; } turn[] = { { "x", 1, of_all, of_one }, { "x=0.25", 1, of_all, of_one }, { "none", 0, 0, 0 }, { "x=0", 0, 0, 0 }, { "x@0=0", 1, 0, of_one } };
    for (size_t t = 0; t < sizeof turn / sizeof *turn; t++) {
        eng_config *c = config(m, turn[t].scale), *none = config(m, "none");
        CHECK_INT(eng_config_added(c, of, changed), turn[t].acting);
        CHECK_MSG(of[1].bytes == turn[t].all && of[last + 1].bytes == turn[t].one && of[0].bytes == 0, "%s: %llu, %llu", turn[t].scale, (unsigned long long)of[1].bytes, (unsigned long long)of[last + 1].bytes);
        eng_cost with = eng_model_cost(m, c), without = eng_model_cost(m, none);
        CHECK(with.bytes_layers - without.bytes_layers == turn[t].all + turn[t].one && with.params - without.params == (turn[t].all + turn[t].one) / sizeof(float));
        for (int e = 0; e < i->n_expert; e++) {
            CHECK_INT(changed[e], turn[t].all != 0);
            CHECK_INT(changed[(size_t)last * (size_t)i->n_expert + (size_t)e], turn[t].one && e == ONE);
        }
        eng_config_free(c);
        eng_config_free(none);
    }
    help_low_free(low, n);
    free(changed);
    free(of);
    eng_model_free(m);
}

/* ---- timelines ---- */

static void scales_change_between_tokens(void)
{
    eng_model *m = help_model("glm4moe-full");
    CHECK(m != NULL);
    if (!m) return;
    static const enum ker_role on[] = { KER_W_Q, KER_W_O, KER_W_DOWN_EXPS, KER_W_GATE_SH };
    eng_low low[4];
    for (int i = 0; i < 4; i++) low[i] = help_low(m, on[i], i < 2 ? 0 : eng_model_info(m)->n_layer - 1, 3, 1);
    eng_adapter *a = NULL;
    CHECK_MSG(eng_adapter_make(m, "style", low, 4, "", &a, err) == 0 && eng_model_adapter_add(m, a, "style", err) == 0, "%s", err);
    help_low_free(low, 4);
    eng_config *one = config(m, "style"), *half = config(m, "style=0.5"), *none = config(m, "none");
    eng_session *s = session(m, none), *fork = NULL;
    float *f_none = anew(m, "none", N_TOK), *f_one = anew(m, "style", N_TOK), *f_half = anew(m, "style=0.5", N_TOK), *l;
    const struct { const eng_config *c; const float *want; } turn[] = { { none, f_none }, { one, f_one }, { none, f_none }, { half, f_half }, { one, f_one } };
    CHECK(!same(m, f_none, f_one) && !same(m, f_one, f_half));
    for (size_t i = 0; i < sizeof turn / sizeof *turn; i++) {      /* to and fro: a fresh evaluation each time, cells found again or not */
        CHECK_INT(eng_session_config(s, turn[i].c, ENG_RECOMPUTE, err), 0);
        read_text(s, N_TOK, ENG_RECOMPUTE);
        l = taken(m, s);
        CHECK_MSG(same(m, l, turn[i].want), "turn %zu", i);
        free(l);
    }
    /* In the middle, under continue: what a timeline says that was built so, token by token. */
    eng_session *built = session(m, none);
    CHECK_INT(eng_session_config(s, none, ENG_RECOMPUTE, err), 0);
    read_text(s, 10, ENG_RECOMPUTE);
    for (int i = 0; i < 10; i++) CHECK_INT(eng_session_push(built, token(i), err), 0);
    CHECK(eng_session_config(s, half, ENG_CONTINUE, err) == 0 && eng_session_config(built, half, ENG_CONTINUE, err) == 0);
    CHECK_INT(eng_session_fork(s, &fork, err), 0);
    for (int i = 10; i < N_TOK; i++) CHECK(eng_session_push(s, token(i), err) == 0 && eng_session_push(built, token(i), err) == 0 && eng_session_push(fork, token(i), err) == 0);
    float *x = taken(m, s), *y = taken(m, built), *z = taken(m, fork);
    CHECK(same(m, x, y) && same(m, x, z) && !same(m, x, f_half) && !same(m, x, f_none));
    free(x);
    free(y);
    free(z);
    CHECK_INT(eng_session_cut(fork, 5, err), 0);                   /* cut, and the whole of it under another scale */
    CHECK_INT(eng_session_config(fork, one, ENG_RECOMPUTE, err), 0);
    read_text(fork, N_TOK, ENG_RECOMPUTE);
    l = taken(m, fork);
    CHECK(same(m, l, f_one));
    free(l);
    eng_session_free(fork);
    eng_session_free(built);
    eng_session_free(s);
    eng_config_free(one);
    eng_config_free(half);
    eng_config_free(none);
    free(f_none);
    free(f_one);
    free(f_half);
    eng_model_free(m);
}

static void rows_of_one_step_act_apart(void)
{
    eng_model *m = help_model("qwen3moe");
    CHECK_INT(eng_model_adapter_add(m, adapter(m, "a", 3, 1), "style", err), 0);
    static const char *const scale[] = { "none", "style", "style=0.3", "style=0,style@1e2=1" };
    enum { N = sizeof scale / sizeof *scale };
    eng_config *c[N];
    eng_session *s[N];
    eng_cache *k = NULL;
    for (int i = 0; i < N; i++) c[i] = config(m, scale[i]);
    CHECK_MSG(eng_cache_new(m, c[0], N, &k, err) == 0, "%s", err);
    for (int i = 0; i < N; i++) CHECK_MSG(eng_cache_session(k, c[i], &s[i], err) == 0, "%s", err);
    for (int t = 0; t < N_TOK; t++) {
        eng_row rows[N] = { 0 };
        eng_out out;
        for (int i = 0; i < N; i++) rows[i] = (eng_row){ .session = s[i], .token = token(t), .want = ENG_WANT_LOGITS };
        CHECK_MSG(eng_cache_step(k, rows, N, true, &out, err) == 0, "%s", err);
        for (int i = 0; i < N && t == N_TOK - 1; i++) {
            float *alone = anew(m, scale[i], N_TOK);
            CHECK_MSG(same(m, out.logits[i], alone), "%s", scale[i]);
            free(alone);
        }
    }
    for (int i = 0; i < N; i++) eng_session_free(s[i]);
    eng_cache_free(k);
    for (int i = 0; i < N; i++) eng_config_free(c[i]);
    eng_model_free(m);
}

static void sessions_go_on_while_adapters_come_and_go(void)
{
    eng_model *m = help_model("qwen3moe");
    float *base = anew(m, NULL, N_TOK), *l;
    eng_config *first = config(m, NULL);
    eng_session *s = session(m, first);
    read_text(s, 10, ENG_RECOMPUTE);
    CHECK_INT(eng_model_adapter_add(m, adapter(m, "a", 3, 1), "style", err), 0);
    read_text(s, N_TOK, ENG_RECOMPUTE);                            /* a configuration from before: it acts not */
    l = taken(m, s);
    CHECK(same(m, l, base));
    free(l);
    eng_config *c = config(m, "style");
    CHECK_INT(eng_session_config(s, c, ENG_RECOMPUTE, err), 0);
    read_text(s, N_TOK, ENG_RECOMPUTE);
    float *with = anew(m, "style", N_TOK);
    l = taken(m, s);
    CHECK(same(m, l, with) && !same(m, l, base));
    free(l);
    char *path = q_printf("%s/state", dir);
    CHECK_MSG(eng_state_save(s, path, "", 0, NULL, NULL, err) == 0, "%s", err);
    CHECK_INT(eng_model_adapter_drop(m, "style", err), 0);
    read_text(s, N_TOK, ENG_RECOMPUTE);                            /* dropped: the base again, and none of its cells */
    l = taken(m, s);
    CHECK(same(m, l, base));
    free(l);
    CHECK_INT(eng_session_push(s, token(N_TOK), err), 0);
    eng_session *other = session(m, first);
    CHECK_INT(eng_state_load(other, path, NULL, NULL, err), Q_RANGE);
    CHECK_MSG(strstr(err, "lora.scale: no adapter is loaded") != NULL, "%s", err);
    CHECK_INT(eng_model_adapter_add(m, adapter(m, "b", 2, 1), "style", err), 0);      /* another one under the name */
    read_text(s, N_TOK, ENG_RECOMPUTE);
    l = taken(m, s);
    CHECK(same(m, l, base));
    free(l);
    CHECK_INT(eng_model_adapter_drop(m, "style", err), 0);
    CHECK_INT(eng_model_adapter_add(m, adapter(m, "a", 3, 1), "style", err), 0);      /* the very one again: what the session was set to */
    read_text(s, N_TOK, ENG_RECOMPUTE);
    l = taken(m, s);
    CHECK(same(m, l, with));
    free(l);
    eng_session *third = session(m, c);
    CHECK_MSG(eng_state_load(third, path, NULL, NULL, err) == 0, "%s", err);
    l = taken(m, third);
    CHECK(same(m, l, with));
    free(l);
    eng_session_free(third);
    eng_session_free(other);
    eng_session_free(s);
    unlink(path);
    free(path);
    eng_config_free(c);
    eng_config_free(first);
    free(base);
    free(with);
    eng_model_free(m);
}

int main(void)
{
    static const char *const archs[] = { "qwen3moe", "glm4moe", "qwen2moe", "qwen3", "llama" };
    CHECK(mkdtemp(dir) != NULL);
    RUN(as_with_weights_merged_by_hand);
    RUN(recurrent_and_latent_layers_too);
    RUN(a_tied_head_is_changed_by_itself);
    RUN(as_merged_into_a_file);
    RUN(hashes_tell_what_acts);
    RUN(values_as_text);
    RUN(names_and_foreign_ones);
    RUN(memory_and_reads_are_counted);
    RUN(scales_change_between_tokens);
    RUN(rows_of_one_step_act_apart);
    RUN(sessions_go_on_while_adapters_come_and_go);
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        arch_now = archs[i];
        if (util_exists("../shared/data/lora/README.md")) RUN(goldens_of_peft_and_pytorch);
        else SKIP("goldens_of_peft_and_pytorch", "../shared/data/lora is not here");
    }
    char *rest = q_printf("rm -rf '%s'", dir);
    CHECK(system(rest) == 0);
    free(rest);
    return TEST_END();
}
