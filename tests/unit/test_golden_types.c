/* Whole passes over experts of MXFP4. The reference's numbers are those of the weights taken apart, so the same model with them
 * written as F32 is to agree as every other golden does; as it is, activations become int8, which costs what is measured here:
 * at most 2e-2 of the largest logit in the middle row. Where ../shared is not, a checked-in golden is written in MXFP4 first. */
#include "engine/file/gguf.h"
#include "kernels/kernels.h"
#include "tests/golden.h"
#include "tests/test.h"

static char err[Q_ERRLEN];

/* One tensor on its way from a type to another. */
typedef struct change { const gguf_tensor *from; int to; } change;

static int fill(void *user, void *dst, size_t bytes, char *e)
{
    const change *c = user;
    (void)e;
    if (c->to == c->from->type) {
        memcpy(dst, c->from->data, bytes);
        return Q_OK;
    }
    int64_t n = c->from->ne[0] * c->from->ne[1] * c->from->ne[2];
    float *x = q_alloc(sizeof *x * (size_t)n);
    ker_type_get(c->from->type)->decode(c->from->data, x, n);
    ker_type_get(c->to)->encode(x, dst, n);
    free(x);
    return Q_OK;
}

/* Writes the model with its routed experts' matrices of one type as another; returns how many there were. */
static int rewrite(const char *from, int was, int to, const char *out)
{
    gguf_file *f = NULL;
    int rc = gguf_open(from, &f, err), n = 0;
    CHECK_MSG(rc == Q_OK, "%s", rc ? err : "");
    if (rc) return 0;
    gguf_writer *w = gguf_writer_new();
    change *all = q_alloc(sizeof *all * (size_t)gguf_n_tensors(f));
    for (int i = 0; i < gguf_n_kv(f); i++) {
        char *name = q_strndup(gguf_kv_at(f, i)->key.p, gguf_kv_at(f, i)->key.n);
        gguf_put_kv(w, name, gguf_kv_at(f, i));
        free(name);
    }
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        char *name = q_strndup(t->name.p, t->name.n);
        bool mine = t->type == was && strstr(name, "_exps.weight") && t->ne[0] % ker_type_get(to)->block == 0;
        all[i] = (change){ t, mine ? to : t->type };
        n += mine;
        gguf_put_tensor(w, name, all[i].to, t->n_dims, t->ne, fill, &all[i]);
        free(name);
    }
    unlink(out);
    CHECK_MSG(gguf_write(w, out, NULL, NULL, err) == Q_OK, "%s", err);
    gguf_writer_free(w);
    free(all);
    gguf_close(f);
    return n;
}

static eng_model *opened(const char *path)
{
    eng_model *m = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s: %s", path, rc ? err : "");
    return rc ? NULL : m;
}

static const char *folder;             /* of the golden at hand */

static void shared_experts(void)
{
    char *model = q_printf("%s/model.gguf", folder), *plain = q_printf("/tmp/quorum-types-%ld.gguf", (long)getpid());
    golden_set g;
    CHECK(rewrite(model, KER_MXFP4, KER_F32, plain) > 0);
    eng_model *as_f32 = opened(plain), *as_is = opened(model);
    int rc = golden_open(folder, &g, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    for (int i = 0; i < g.n_case && !rc && as_f32 && as_is; i++) {
        golden_result r;
        golden_diff d = { 0 };
        rc = golden_run(&g, as_f32, i, 0, &r, err);
        if (!rc) rc = golden_compare(&g, as_f32, i, &r, &d, err);
        CHECK_MSG(!rc && d.logits <= 2e-4 && d.weights <= 1e-4 && d.ids == 0, "%s as F32: %s, %.3g of the largest, %d ids", g.name[i], rc ? err : "", d.logits, d.ids);
        golden_result_free(&r);
        if (!rc) rc = golden_run(&g, as_is, i, 0, &r, err);
        if (!rc) rc = golden_compare(&g, as_is, i, &r, &d, err);
        CHECK_MSG(!rc && d.median <= 2e-2, "%s as it is: %s, %.3g of the largest in the middle row", g.name[i], rc ? err : "", d.median);
        printf("# %s: %.2g of the largest logit in the middle row with int8 activations, %.2g in the worst, %d ids\n", g.name[i], d.median, d.logits, d.ids);
        golden_result_free(&r);
    }
    if (!rc) golden_close(&g);
    eng_model_free(as_f32);
    eng_model_free(as_is);
    unlink(plain);
    free(plain);
    free(model);
}

/* The same of a checked-in model, whose experts are F32: written in MXFP4, then that as F32 again. */
static void experts_written_here(void)
{
    char *model = util_model("gpt-oss"), *few = q_printf("/tmp/quorum-types-%ld-few.gguf", (long)getpid()), *plain = q_printf("/tmp/quorum-types-%ld.gguf", (long)getpid());
    golden_set g;
    int n = rewrite(model, KER_F32, KER_MXFP4, few);
    CHECK(n > 0);
    CHECK_INT(rewrite(few, KER_MXFP4, KER_F32, plain), n);
    eng_model *as_f32 = opened(plain), *as_is = opened(few);
    int rc = golden_open("tests/golden/engine/gpt-oss", &g, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    golden_result a = { 0 }, b = { 0 };
    if (!rc && as_f32 && as_is) rc = golden_run(&g, as_f32, 0, 0, &a, err);
    if (!rc && as_f32 && as_is) rc = golden_run(&g, as_is, 0, 0, &b, err);
    CHECK_MSG(rc == 0 && a.logits && b.logits, "%s", rc ? err : "");
    double largest = 0, sum = 0;
    int64_t cells = (int64_t)a.n * a.n_vocab;
    for (int64_t i = 0; i < cells && b.logits; i++) {
        largest = fmax(largest, fabs((double)a.logits[i]));
        sum += fabs((double)a.logits[i] - (double)b.logits[i]);
    }
    CHECK_MSG(largest > 0 && sum / (double)cells <= 1e-2 * largest && sum > 0, "off by %.3g of the largest in the mean", sum / (double)cells / largest);
    golden_result_free(&a);
    golden_result_free(&b);
    if (!rc) golden_close(&g);
    eng_model_free(as_f32);
    eng_model_free(as_is);
    unlink(few);
    unlink(plain);
    remove(model);
    free(few);
    free(plain);
    free(model);
}

int main(void)
{
    RUN(experts_written_here);
    folder = "../shared/data/golden-next/gpt-oss-mxfp4";
    if (util_exists(folder)) RUN(shared_experts);
    else SKIP("shared_experts", "../shared/data is not here");
    return TEST_END();
}
