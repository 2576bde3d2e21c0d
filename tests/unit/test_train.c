/* train/: gradients and updates against PyTorch's (../shared/data/lora), and against differences of the loss on small models of every kind
 * that are made here. */
#include "engine/adapter.h"
#include "engine/text.h"
#include "kernels/kernels.h"
#include "tests/engine_util.h"
#include "tests/test.h"
#include "train/train.h"

static char err[Q_ERRLEN];

/* ---- examples of a batch file ---- */
typedef struct batch { trn_example e[8]; int n; int32_t *token[16]; uint8_t *mask[16]; int n_text; } batch;

static int ints(const cJSON *list, int32_t *to)
{
    const cJSON *v;
    int n = 0;
    cJSON_ArrayForEach(v, list) to[n++] = (int32_t)v->valuedouble;
    return n;
}

static trn_text text_of(batch *b, const cJSON *first, const cJSON *second, const cJSON *mask)
{
    int n = 0, i = b->n_text++;
    const cJSON *v;
    b->token[i] = q_alloc(sizeof(int32_t) * 512);
    b->mask[i] = q_alloc(512);
    n = ints(first, b->token[i]);
    if (second) {
        int more = ints(second, b->token[i] + n);
        memset(b->mask[i] + n, 1, (size_t)more);
        n += more;
    }
    int k = 0;
    cJSON_ArrayForEach(v, mask) b->mask[i][k++] = v->valuedouble != 0;
    return (trn_text){ b->token[i], b->mask[i], n };
}

static void batch_of(const cJSON *root, bool dpo, batch *b)
{
    *b = (batch){ .n = 0 };
    const cJSON *s = cJSON_GetObjectItem(root, dpo ? "dpo" : "sft"), *v, *list = cJSON_GetObjectItem(s, dpo ? "pairs" : "tokens");
    cJSON_ArrayForEach(v, list) {
        trn_example *e = &b->e[b->n];
        if (dpo) {
            e->chosen = text_of(b, cJSON_GetObjectItem(v, "prompt"), cJSON_GetObjectItem(v, "chosen"), NULL);
            e->rejected = text_of(b, cJSON_GetObjectItem(v, "prompt"), cJSON_GetObjectItem(v, "rejected"), NULL);
        } else e->chosen = text_of(b, v, NULL, cJSON_GetArrayItem(cJSON_GetObjectItem(s, "mask"), b->n));
        b->n++;
    }
}

static void batch_free(batch *b) { for (int i = 0; i < b->n_text; i++) free(b->token[i]), free(b->mask[i]); }

static const eng_low *low_like(const eng_adapter *a, const eng_low *w)
{
    int n;
    const eng_low *all = eng_adapter_lows(a, &n);
    for (int i = 0; i < n; i++) if (all[i].role == w->role && all[i].layer == w->layer) return &all[i];
    return NULL;
}

/* The largest difference of a matrix's numbers, by the largest of them; scale: what `got` is divided by. */
static double apart(const float *got, const float *want, int64_t n, double by)
{
    double off = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] * by - (double)want[i]);
        off = d > off || isnan(d) ? d : off;
        most = fmax(most, fabs((double)want[i]));
    }
    return most > 0 ? off / most : off;
}

static double gradients_apart(const eng_adapter *got, const eng_adapter *want)
{
    int n;
    double worst = 0;
    const eng_low *w = eng_adapter_lows(want, &n);
    CHECK(n > 0);
    for (int i = 0; i < n; i++) {
        const eng_low *g = low_like(got, &w[i]);
        CHECK(g != NULL);
        if (!g) continue;
        for (int e = 0; e < g->n_expert; e++) {
            int64_t na = g->rank * g->n_in, nb = g->n_out * g->rank;
            worst = fmax(worst, apart(g->a + e * na, w[i].a + e * na, na, 1));
            worst = fmax(worst, apart(g->b + e * nb, w[i].b + e * nb, nb, 1));
        }
    }
    return worst;
}

/* Root mean square of the difference over that of what was wanted, of all A or all B. */
static double rms_apart(const eng_adapter *got, const eng_adapter *want, bool b)
{
    int n;
    double off = 0, all = 0;
    const eng_low *w = eng_adapter_lows(want, &n);
    for (int i = 0; i < n; i++) {
        const eng_low *g = low_like(got, &w[i]);
        int64_t count = g ? g->n_expert * g->rank * (b ? g->n_out : g->n_in) : 0;
        const float *x = b ? g->b : g->a, *y = b ? w[i].b : w[i].a;
        for (int64_t k = 0; k < count; k++) {
            off += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
            all += (double)y[k] * (double)y[k];
        }
    }
    return sqrt(off / all);
}

static eng_adapter *read_adapter(const eng_model *m, const char *dir, const char *name)
{
    eng_adapter *a = NULL;
    char *path = q_printf("%s/train/%s.gguf", dir, name);
    CHECK_MSG(eng_adapter_read(m, path, &a, err) == 0, "%s", err);
    free(path);
    return a;
}

static void golden(const char *arch, int threads)
{
    char *dir = q_printf("../shared/data/lora/%s", arch), *path = q_printf("../shared/data/golden/%s/model.gguf", arch);
    cJSON *root = util_json(dir, q_strdup("train.json"));
    eng_model *m = NULL;
    eng_open_opts o = { .n_threads = 1 };
    CHECK_MSG(eng_model_open(path, &o, &m, err) == 0, "%s", err);
    if (m && root) {
        eng_config *c = eng_config_new(m);
        eng_adapter *init = read_adapter(m, dir, "init");
        for (int dpo = 0; dpo < 2 && init; dpo++) {
            const cJSON *s = cJSON_GetObjectItem(root, dpo ? "dpo" : "sft"), *ad = cJSON_GetObjectItem(s, "adamw");
            batch b;
            batch_of(root, dpo, &b);
            trn_options to = { .loss = dpo ? TRN_DPO : TRN_SFT, .threads = threads, .lr = 1e-3, .weight_decay = .01 };
            trn *t = NULL;
            eng_adapter *got = NULL, *want = read_adapter(m, dir, dpo ? "dpo_grad" : "grad");
            double loss = 0, reference = cJSON_GetObjectItem(s, "loss")->valuedouble;
            CHECK_MSG(trn_new(m, c, init, &to, &t, err) == 0, "%s", err);
            CHECK_MSG(t && trn_loss_of(t, b.e, b.n, true, &loss, err) == 0, "%s", err);
            CHECK_MSG(fabs(loss - reference) < 1e-4, "%s: loss %.7f, PyTorch has %.7f", arch, loss, reference);
            CHECK_MSG(t && trn_gradients(t, &got, err) == 0, "%s", err);
            double off = got && want ? gradients_apart(got, want) : 1;
            CHECK_MSG(off < 1e-3, "%s: gradients differ by %.2g of each matrix's largest", arch, off);
            if (getenv("SHOW")) printf("# %s %s: loss %.7f (%.7f), gradients %.2g\n", arch, dpo ? "dpo" : "sft", loss, reference, off);
            eng_adapter_free(got);
            eng_adapter_free(want);
            for (int i = 0; t && ad && i < 5; i++) {
                double after = 0, ref = cJSON_GetArrayItem(cJSON_GetObjectItem(ad, "loss_after_step"), i)->valuedouble;
                CHECK_INT(trn_step(t, b.e, b.n, &loss, err), 0);
                CHECK_INT(trn_loss_of(t, b.e, b.n, false, &after, err), 0);
                CHECK_MSG(fabs(after - ref) < 1e-4, "%s: after step %d the loss is %.7f, PyTorch has %.7f", arch, i + 1, after, ref);
            }
            if (ad && t) {
                got = NULL;
                want = read_adapter(m, dir, "final");
                CHECK_INT(trn_adapter(t, "final", "", &got, err), 0);
                double a = rms_apart(got, want, false), bb = rms_apart(got, want, true);
                CHECK_MSG(a < 5e-4 && bb < 5e-4, "%s: A differs by %.2g, B by %.2g (rms)", arch, a, bb);
                if (getenv("SHOW")) printf("# %s: final A %.2g, B %.2g\n", arch, a, bb);
                eng_adapter_free(got);
                eng_adapter_free(want);
            }
            trn_free(t);
            batch_free(&b);
        }
        eng_adapter_free(init);
        eng_config_free(c);
    }
    cJSON_Delete(root);
    eng_model_free(m);
    free(dir), free(path);
}

static void pytorch_qwen3moe(void) { golden("qwen3moe", 2); }
static void pytorch_llama(void) { golden("llama", 2); }

int main(void)
{
    if (util_exists("../shared/data/lora/qwen3moe/train.json")) {
        RUN(pytorch_qwen3moe);
        RUN(pytorch_llama);
    } else SKIP("pytorch", "../shared/data/lora is not there");
    return TEST_END();
}
