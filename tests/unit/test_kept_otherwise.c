/* The same model in another file: gate and up of routed experts in one tensor, MXFP4 as it is and taken apart. What comes
 * out is the same, bit for bit or as near as rounded activations let it be, and so is what a token is said to cost. */
#include "engine/run/config.h"
#include "engine/run/model.h"
#include "tests/golden.h"
#include "tests/rewrite.h"
#include "tests/test.h"

#include <math.h>

static char err[Q_ERRLEN];

static char *written(const char *from, const rewrite *how, const char *name)
{
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/kept-%s-%ld.gguf", build ? build : "build", name, (long)getpid());
    rewrite r = *how;
    gguf_file *f = NULL;
    CHECK_MSG(gguf_open(from, &f, err) == Q_OK, "%s", err);
    r.from = f;
    CHECK_MSG(rewrite_model(&r, path, err) == Q_OK, "%s", err);
    gguf_close(f);
    return path;
}

static eng_model *opened(const char *path)
{
    eng_model *m = NULL;
    CHECK_MSG(eng_model_open(path, NULL, &m, err) == Q_OK, "%s", err);
    return m;
}

static eng_cost cost_at(const eng_model *m, const char *width, const char *k)
{
    eng_config *c = eng_config_new(m);
    CHECK_MSG(eng_config_set(c, "ffn.width", width, err) == Q_OK, "%s", err);
    CHECK_MSG(eng_config_set(c, "experts.k", k, err) == Q_OK, "%s", err);
    eng_cost cost = eng_model_cost(m, c);
    eng_config_free(c);
    return cost;
}

/* ---- biases of Q, K and V in one tensor ---- */
typedef struct bias { const gguf_tensor *t[3]; int type; } bias;     /* those that it is made of, one after another */

static int bias_fill(void *user, void *dst, size_t bytes, char *e)
{
    const bias *b = user;
    (void)bytes, (void)e;
    for (int i = 0; i < 3 && b->t[i]; i++) {
        float x[256];
        ker_type_get(b->t[i]->type)->decode(b->t[i]->data, x, b->t[i]->ne[0]);
        ker_type_get(b->type)->encode(x, dst, b->t[i]->ne[0]);
        dst = (char *)dst + ker_row_bytes(b->type, b->t[i]->ne[0]);
    }
    return Q_OK;
}

static int plain_fill(void *user, void *dst, size_t bytes, char *e)
{
    (void)e;
    memcpy(dst, ((const gguf_tensor *)user)->data, bytes);
    return Q_OK;
}

/* A model whose biases of Q, K and V are of that type, each in a tensor of its own or all three in one. */
static char *with_biases(const char *from, int type, bool joined)
{
    char *path = q_printf("%s.%s", from, joined ? "joined" : "apart"), name[128];
    gguf_file *f = NULL;
    CHECK_MSG(gguf_open(from, &f, err) == Q_OK, "%s", err);
    gguf_writer *w = gguf_writer_new();
    bias *all = calloc((size_t)gguf_n_tensors(f), sizeof *all);
    for (int i = 0; i < gguf_n_kv(f); i++) {
        char *key = q_strndup(gguf_kv_at(f, i)->key.p, gguf_kv_at(f, i)->key.n);
        gguf_put_kv(w, key, gguf_kv_at(f, i));
        free(key);
    }
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        snprintf(name, sizeof name, "%.*s", (int)t->name.n, t->name.p);
        bool q = strstr(name, "attn_q.bias") != NULL, is = q || strstr(name, "attn_k.bias") || strstr(name, "attn_v.bias");
        all[i] = (bias){ { t }, type };
        int64_t ne[4] = { t->ne[0], t->ne[1], t->ne[2], t->ne[3] };
        if (is && joined && !q) continue;
        if (is && joined) {
            all[i].t[1] = rewrite_beside(f, name, "attn_q.bias", "attn_k.bias");
            all[i].t[2] = rewrite_beside(f, name, "attn_q.bias", "attn_v.bias");
            ne[0] += all[i].t[1]->ne[0] + all[i].t[2]->ne[0];
            strcpy(strstr(name, "attn_q.bias"), "attn_qkv.bias");
        }
        if (is) gguf_put_tensor(w, name, type, 1, ne, bias_fill, &all[i]);
        else gguf_put_tensor(w, name, t->type, t->n_dims, ne, plain_fill, (void *)(uintptr_t)t);
    }
    CHECK_MSG(gguf_write(w, path, NULL, NULL, err) == Q_OK, "%s", err);
    gguf_writer_free(w);
    gguf_close(f);
    free(all);
    return path;
}

/* Also blocks of 32, whose bytes do not divide by their numbers, and where an architecture need not have them. */
static void joined_biases_give_the_same_bytes(void)
{
    static const struct { const char *arch; int type; } files[] = { { "qwen2", KER_F32 }, { "qwen2", KER_Q8_0 }, { "qwen2", KER_Q4_0 }, { "glm4moe-full", KER_F32 }, { "glm4moe-full", KER_Q8_0 } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = util_model(files[i].arch), *dir = q_printf("tests/golden/engine/%s", files[i].arch);
        golden_set g;
        golden_result r[2];
        CHECK(golden_open(dir, &g, err) == 0);
        for (int k = 0; k < 2; k++) {
            char *path = with_biases(from, files[i].type, k == 1);
            eng_model *m = opened(path);
            CHECK_MSG(golden_run(&g, m, 0, 0, &r[k], err) == 0, "%s", err);
            eng_model_free(m);
            unlink(path);
            free(path);
        }
        CHECK_MSG(!memcmp(r[0].logits, r[1].logits, sizeof(float) * (size_t)r[0].n * (size_t)r[0].n_vocab), "%s, type %d: other bytes", files[i].arch, files[i].type);
        golden_result_free(&r[0]);
        golden_result_free(&r[1]);
        golden_close(&g);
        unlink(from);
        free(from);
        free(dir);
    }
}

/* Floats, blocks of 32; whole, in pieces, by one thread and by three. */
static void joined_experts_give_the_same_bytes(void)
{
    static const struct { const char *arch; int type; } files[] = { { "qwen3moe", -1 }, { "qwen3moe", KER_Q8_0 }, { "glm4moe", KER_Q4_0 } };
    static const struct { int split; const char *threads; } ways[] = { { 0, "2" }, { 1, "1" }, { 7, "3" } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = util_model(files[i].arch), *dir = q_printf("tests/golden/engine/%s", files[i].arch), *path[2];
        eng_model *m[2];
        golden_set g;
        CHECK(golden_open(dir, &g, err) == 0);
        for (int k = 0; k < 2; k++) {
            path[k] = written(from, &(rewrite){ .type = files[i].type, .joined = k == 1 }, k ? "joined" : "apart");
            m[k] = opened(path[k]);
        }
        CHECK(m[0] && m[1]);
        for (int c = 0; c < g.n_case && m[0] && m[1]; c++) {
            golden_result first, r;
            CHECK(golden_run(&g, m[0], c, 0, &first, err) == 0);
            for (int w = 0; w < 3; w++) {
                CHECK(golden_run_with(&g, m[1], c, ways[w].split, ways[w].threads, &r, err) == 0);
                CHECK_MSG(!memcmp(first.logits, r.logits, sizeof(float) * (size_t)r.n * (size_t)r.n_vocab), "%s, type %d, %s: other bytes", files[i].arch, files[i].type, g.name[c]);
                golden_result_free(&r);
            }
            golden_result_free(&first);
        }
        static const char *const widths[] = { "0", "5", "7:magnitude" }, *const ks[] = { "1", "3", "x2" };
        for (int w = 0; w < 9 && m[0] && m[1]; w++) {
            eng_cost a = cost_at(m[0], widths[w / 3], ks[w % 3]), b = cost_at(m[1], widths[w / 3], ks[w % 3]);
            CHECK_MSG(a.params == b.params && a.bytes_layers == b.bytes_layers && a.bytes_head == b.bytes_head && a.bytes_layers > 0, "width %s, k %s: %llu or %llu bytes",
                      widths[w / 3], ks[w % 3], (unsigned long long)a.bytes_layers, (unsigned long long)b.bytes_layers);
        }
        for (int k = 0; k < 2; k++) {
            eng_model_free(m[k]);
            remove(path[k]);
            free(path[k]);
        }
        golden_close(&g);
        remove(from);
        free(from);
        free(dir);
    }
}

static uint32_t groups_now, used_now;
static void say_groups(gguf_writer *w)
{
    gguf_put_u32(w, "glm4moe.expert_group_count", groups_now);
    if (used_now) gguf_put_u32(w, "glm4moe.expert_group_used_count", used_now);
}

/* Keys of groups: as many as there are restrict nothing, half of them choose others, at k = all all run again; what makes no
 * sense is refused with the key or the number. */
static void groups_are_read_from_keys(void)
{
    static const struct { uint32_t groups, used; const char *says; bool same; } rows[] = {
        { 1, 1, NULL, true }, { 4, 4, NULL, true }, { 4, 2, NULL, false }, { 5, 2, "12 experts do not fill 5 groups", false },
        { 4, 5, "expert_group_used_count", false }, { 4, 0, "expert_group_used_count is missing", false },
    };
    char *from = util_model("glm4moe");
    eng_model *plain = opened(from);
    golden_set g;
    golden_result want = { 0 };
    CHECK(golden_open("tests/golden/engine/glm4moe", &g, err) == 0);
    CHECK(plain && golden_run(&g, plain, 0, 0, &want, err) == 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && want.logits; i++) {
        groups_now = rows[i].groups, used_now = rows[i].used;
        char *path = written(from, &(rewrite){ .type = -1, .skip = "glm4moe.expert_group_count", .more = say_groups }, "groups");
        eng_model *m = NULL;
        int rc = eng_model_open(path, NULL, &m, err);
        if (rows[i].says) CHECK_MSG(rc < 0 && strstr(err, rows[i].says), "row %d: %s", (int)i, rc ? err : "opened");
        else if (rc) CHECK_MSG(0, "row %d: %s", (int)i, err);
        else {
            golden_result r;
            CHECK(golden_run(&g, m, 0, 7, &r, err) == 0);
            CHECK_MSG(!memcmp(want.logits, r.logits, sizeof(float) * (size_t)r.n * (size_t)r.n_vocab) == rows[i].same, "row %d: %s", (int)i, rows[i].same ? "other bytes" : "the same bytes");
            CHECK_INT(eng_model_info(m)->groups.n, rows[i].same ? 0 : 4);
            golden_result_free(&r);
        }
        eng_model_free(m);
        remove(path);
        free(path);
    }
    golden_result_free(&want);
    golden_close(&g);
    eng_model_free(plain);
    remove(from);
    free(from);
}

/* A tensor of gate and up that is too short for both is refused by name. */
static void half_a_pair_is_refused(void)
{
    char *from = util_model("qwen3moe"), *path;
    gguf_file *f = NULL;
    CHECK_MSG(gguf_open(from, &f, err) == Q_OK, "%s", err);
    gguf_writer *w = gguf_writer_new();
    rewrite r = { .from = f, .type = -1 };
    rewrite_one *all = calloc((size_t)gguf_n_tensors(f), sizeof *all);
    for (int i = 0; i < gguf_n_kv(f); i++) {
        char *key = q_strndup(gguf_kv_at(f, i)->key.p, gguf_kv_at(f, i)->key.n);
        gguf_put_kv(w, key, gguf_kv_at(f, i));
        free(key);
    }
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        all[i] = (rewrite_one){ .r = &r, .t = t, .type = t->type };
        snprintf(all[i].name, sizeof all[i].name, "%.*s", (int)t->name.n, t->name.p);
        if (strstr(all[i].name, "ffn_up_exps")) continue;
        char *at = strstr(all[i].name, "ffn_gate_exps");
        if (at) strcpy(at, "ffn_gate_up_exps.weight");
        gguf_put_tensor(w, all[i].name, t->type, t->n_dims, t->ne, rewrite_fill, &all[i]);
    }
    path = q_printf("%s.half", from);
    CHECK_MSG(gguf_write(w, path, NULL, NULL, err) == Q_OK, "%s", err);
    gguf_writer_free(w);
    gguf_close(f);
    free(all);
    eng_model *m = NULL;
    CHECK(eng_model_open(path, NULL, &m, err) < 0 && !m);
    CHECK_MSG(strstr(err, "blk.0.ffn_gate_up_exps.weight") != NULL, "%s", err);
    remove(path);
    remove(from);
    free(path);
    free(from);
}

/* Nats a token of a text, and the mean divergence from `of`, if there is one; the logits are r's. */
static double loss_on(const eng_tokens *t, const golden_result *r, const golden_result *of, double *apart)
{
    double sum = 0;
    *apart = 0;
    for (int i = 0; i < t->n; i++) {
        const float *x = r->logits + (size_t)i * (size_t)r->n_vocab, *y = of ? of->logits + (size_t)i * (size_t)r->n_vocab : x;
        double all = 0, other = 0;
        for (int v = 0; v < r->n_vocab; v++) {
            all += exp(x[v]);
            other += exp(y[v]);
        }
        for (int v = 0; v < r->n_vocab; v++) *apart += exp(y[v]) / other * (y[v] - log(other) - (x[v] - log(all))) / t->n;
        if (i + 1 < t->n) sum += log(all) - x[t->id[i + 1]];
    }
    return sum / (t->n - 1);
}

/* Every case of gpt-oss' golden with MXFP4 experts: taken apart into F32 it is PyTorch's to 2e-4, routing and all; as it is,
 * with activations rounded to int8, the middle row is within 2e-2. */
static void mxfp4_is_what_pytorch_says(void)
{
    const char *dir = "../shared/data/golden-next/gpt-oss-mxfp4", *as_is = "../shared/data/golden-next/gpt-oss-mxfp4/model.gguf";
    char *floats = written(as_is, &(rewrite){ .type = KER_F32 }, "mxfp4");
    golden_set g;
    CHECK(golden_open(dir, &g, err) == 0);
    golden_result said[2];
    q_buf text = { 0 };
    CHECK_MSG(q_read_file("LICENSE", &text, 1 << 20, err) >= 0, "%s", err);
    double loss[2], apart[2];
    for (int k = 0; k < 2; k++) {
        eng_model *m = opened(k ? as_is : floats);
        eng_tokens t = { 0 };
        eng_config *c0 = eng_config_new(m);
        CHECK_MSG(eng_tokenize(m, text.p, text.len, false, &t, err) == 0 && t.n > 200, "%s", err);
        t.n = 200;
        CHECK_MSG(golden_eval(m, c0, &t, 0, NULL, 0, &said[k], err) == 0, "%s", err);
        loss[k] = loss_on(&t, &said[k], k ? &said[0] : NULL, &apart[k]);
        eng_config_free(c0);
        eng_tokens_free(&t);
        for (int c = 0; c < g.n_case && m; c++) {
            golden_result r;
            golden_diff d = { 0 };
            CHECK(golden_run(&g, m, c, 0, &r, err) == 0);
            CHECK_MSG(golden_compare(&g, m, c, &r, &d, err) == 0, "%s", err);
            golden_result_free(&r);
            printf("# %s %s: %.2g of the largest logit, middle row %.2g, %d ids\n", k ? "MXFP4" : "F32", g.name[c], d.logits, d.median, d.ids);
            if (k) CHECK_MSG(d.median <= 2e-2 && d.median > 0, "%s: the middle row is off by %.3g", g.name[c], d.median);
            else CHECK_MSG(d.logits <= 2e-4 && d.weights <= 1e-4 && d.ids == 0, "%s: off by %.3g, weights by %.3g, %d ids", g.name[c], d.logits, d.weights, d.ids);
        }
        eng_model_free(m);
    }
    /* Random weights know no text: what is told is how far int8 activations move it, not how good it is. */
    printf("# a text of 200 tokens: %.5f nats a token with activations in F32, %.5f with int8; mean divergence %.2g\n", loss[0], loss[1], apart[1]);
    CHECK_MSG(fabs(loss[1] - loss[0]) < 2e-2 && apart[1] > 0 && apart[1] < 2e-2, "%.5f and %.5f nats, %.3g apart", loss[0], loss[1], apart[1]);
    q_buf_free(&text);
    golden_result_free(&said[0]);
    golden_result_free(&said[1]);
    golden_close(&g);
    remove(floats);
    free(floats);
}

/* gpt-oss with a base of its own for layers that slide: they turn by it, stretched as the others are; where it is the others' base, nothing is
 * apart, and rope.theta is every layer's. */
static float swa_base;
static void base_of_sliding(gguf_writer *w) { gguf_put_f32(w, "gpt-oss.rope.freq_base_swa", swa_base); }

static void sliding_layers_with_a_base(void)
{
    char *path = util_model("gpt-oss"), *to = q_printf("%s-swa", path);
    gguf_file *f = NULL;
    double base = 0;
    CHECK_MSG(gguf_open(path, &f, err) == 0 && gguf_f64(f, "gpt-oss.rope.freq_base", &base), "%s", err);
    for (int own = 0; own < 2; own++) {
        eng_model *m = NULL;
        swa_base = own ? 333.0f : (float)base;
        CHECK_MSG(rewrite_model(&(rewrite){ .from = f, .type = -1, .more = base_of_sliding }, to, err) == 0 && eng_model_open(to, NULL, &m, err) == 0, "%s", err);
        CHECK(m->layers[0].window > 0 && m->layers[1].window == 0);
        CHECK_INT(m->layers[0].rope_set, own);
        CHECK_INT(m->layers[1].rope_set, 0);
        eng_config *c = eng_config_new(m), *all = eng_config_new(m);
        config_ker k, of;
        CHECK(eng_config_set(c, "rope.scaling", "yarn", err) == 0 && eng_config_set(c, "rope.factor", "4", err) == 0 && eng_config_set(all, "rope.scaling", "yarn", err) == 0 &&
              eng_config_set(all, "rope.factor", "4", err) == 0 && eng_config_set(all, "rope.theta", "333", err) == 0);
        config_ker_build(c, &k);
        config_ker_build(all, &of);
        size_t n = sizeof(float) * (size_t)(m->ker.rope_dim / 2);
        CHECK(memcmp(k.k.rope_freq, of.k.rope_freq, n) != 0);
        CHECK(own ? k.k.rope_local && memcmp(k.k.rope_local, of.k.rope_freq, n) == 0 && !(k.k.rope_local_mscale != of.k.rope_mscale) && k.k.rope_local_mscale > 1 : !k.k.rope_local);
        config_ker_free(&k);
        config_ker_free(&of);
        eng_config_free(c);
        eng_config_free(all);
        eng_model_free(m);
    }
    gguf_close(f);
    remove(path);
    remove(to);
    free(path);
    free(to);
}

int main(void)
{
    RUN(joined_experts_give_the_same_bytes);
    RUN(joined_biases_give_the_same_bytes);
    RUN(half_a_pair_is_refused);
    RUN(groups_are_read_from_keys);
    RUN(sliding_layers_with_a_base);
    if (util_exists("../shared/data/golden-next/gpt-oss-mxfp4/model.gguf")) RUN(mxfp4_is_what_pytorch_says);
    else SKIP("mxfp4_is_what_pytorch_says", "../shared/data/golden-next is not here");
    return TEST_END();
}
