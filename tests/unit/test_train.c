/* train/: gradients and updates against PyTorch's (../shared/data/lora), and against differences of the loss on small models of every kind
 * that are made here. */
#include "engine/adapter.h"
#include "engine/text.h"
#include "kernels/kernels.h"
#include "tests/engine_util.h"
#include "tests/test.h"
#include "train/step.h"
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

/* Root mean square of the difference over that of how far training moved, of all A or all B. */
static double rms_apart(const eng_adapter *got, const eng_adapter *want, const eng_adapter *init, bool b)
{
    int n;
    double off = 0, all = 0;
    const eng_low *w = eng_adapter_lows(want, &n);
    for (int i = 0; i < n; i++) {
        const eng_low *g = low_like(got, &w[i]), *first = low_like(init, &w[i]);
        CHECK(g && first);
        if (!g || !first) continue;
        int64_t count = g->n_expert * g->rank * (b ? g->n_out : g->n_in);
        const float *x = b ? g->b : g->a, *y = b ? w[i].b : w[i].a, *z = b ? first->b : first->a;
        for (int64_t k = 0; k < count; k++) {
            off += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
            all += ((double)y[k] - (double)z[k]) * ((double)y[k] - (double)z[k]);
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
                double a = rms_apart(got, want, init, false), bb = rms_apart(got, want, init, true);
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

/* ---- kinds of layers: differences of the loss ---- */

static uint64_t seed;
static float rnd(void)                                         /* [-1, 1) */
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((double)(seed >> 33) / (double)(UINT64_C(1) << 30) - 1);
}

static const enum ker_role roles[] = { KER_W_Q, KER_W_K, KER_W_V, KER_W_O, KER_W_GATE, KER_W_UP, KER_W_DOWN, KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS,
                                       KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH };
enum { ROLES = sizeof roles / sizeof *roles, MOST = 256 };
typedef struct change { eng_low low[MOST]; float *a[MOST], *b[MOST]; int n; } change;

static bool idle(const eng_low *w, int e) { return w->n_expert > 1 && e % 3 == 1; }          /* an expert that is not taught */

/* Every matrix that may be taught of layers [first, last]. */
static void change_make(const ker_model *m, int first, int last, change *c)
{
    c->n = 0;
    for (int l = first; l <= last; l++)
        for (int i = 0; i < ROLES; i++) {
            int64_t ne[3];
            if (!ker_role_here(m, l, roles[i])) continue;
            ker_role_shape(m, l, roles[i], ne);
            int rank = 2 + i % 2, k = c->n++;
            int64_t na = rank * ne[0], nb = ne[1] * rank;
            c->a[k] = q_alloc(sizeof(float) * (size_t)(na * ne[2]));
            c->b[k] = q_alloc(sizeof(float) * (size_t)(nb * ne[2]));
            c->low[k] = (eng_low){ roles[i], l, (int)ne[2], ne[0], ne[1], rank, .5f + .25f * (float)(i % 3), c->a[k], c->b[k] };
            for (int e = 0; e < ne[2]; e++) {
                for (int64_t x = 0; x < na && !idle(&c->low[k], e); x++) c->a[k][e * na + x] = .3f * rnd() / sqrtf((float)ne[0]);
                for (int64_t x = 0; x < nb && !idle(&c->low[k], e); x++) c->b[k][e * nb + x] = .3f * rnd();
            }
        }
}

static void change_free(change *c) { for (int i = 0; i < c->n; i++) free(c->a[i]), free(c->b[i]); }

/* The loss with the change moved by h along dir (of the same shapes); dir NULL: as it is. grad NULL: not wanted. */
static double loss_at(eng_model *m, const eng_config *c, const change *w, const eng_adapter *dir, double h, const batch *b, const trn_options *o, eng_adapter **grad)
{
    eng_adapter *a = NULL;
    trn *t = NULL;
    double loss = NAN;
    change *moved = q_alloc(sizeof *moved);
    moved->n = w->n;
    for (int i = 0; i < w->n; i++) {
        int64_t na = w->low[i].n_expert * w->low[i].rank * w->low[i].n_in, nb = w->low[i].n_expert * w->low[i].n_out * w->low[i].rank;
        const eng_low *d = dir ? low_like(dir, &w->low[i]) : NULL;
        moved->low[i] = w->low[i];
        moved->low[i].a = moved->a[i] = q_alloc(sizeof(float) * (size_t)na);
        moved->low[i].b = moved->b[i] = q_alloc(sizeof(float) * (size_t)nb);
        for (int64_t x = 0; x < na; x++) moved->a[i][x] = (float)((double)w->a[i][x] + (d ? h * (double)d->a[x] : 0));
        for (int64_t x = 0; x < nb; x++) moved->b[i][x] = (float)((double)w->b[i][x] + (d ? h * (double)d->b[x] : 0));
    }
    CHECK_MSG(eng_adapter_make(m, "moved", moved->low, moved->n, "", &a, err) == 0, "%s", err);
    CHECK_MSG(a && trn_new(m, c, a, o, &t, err) == 0, "%s", err);
    CHECK_MSG(t && trn_loss_of(t, b->e, b->n, grad != NULL, &loss, err) == 0, "%s", err);
    if (grad && t) CHECK_INT(trn_gradients(t, grad, err), 0);
    trn_free(t);
    eng_adapter_free(a);
    change_free(moved);
    free(moved);
    return loss;
}

static double dot_of(const eng_adapter *a, const eng_adapter *b)
{
    int n;
    double sum = 0;
    const eng_low *w = eng_adapter_lows(a, &n);
    for (int i = 0; i < n; i++) {
        const eng_low *o = low_like(b, &w[i]);
        int64_t na = w[i].n_expert * w[i].rank * w[i].n_in, nb = w[i].n_expert * w[i].n_out * w[i].rank;
        for (int64_t x = 0; x < na; x++) sum += (double)w[i].a[x] * (double)o->a[x];
        for (int64_t x = 0; x < nb; x++) sum += (double)w[i].b[x] * (double)o->b[x];
    }
    return sum;
}

static batch random_batch(const ker_model *m, bool dpo)
{
    batch b = { .n = 3 };
    for (int i = 0; i < b.n; i++)
        for (int side = 0; side < 1 + dpo; side++) {
            int n = 9 + 14 * i + 3 * side, at = b.n_text++;
            b.token[at] = q_alloc(sizeof(int32_t) * (size_t)n);
            b.mask[at] = q_alloc((size_t)n);
            for (int k = 0; k < n; k++) b.token[at][k] = (int32_t)((rnd() + 1) / 2 * (float)m->n_vocab) % m->n_vocab, b.mask[at][k] = k > n / 3 && k < n - i;
            trn_text x = { b.token[at], b.mask[at], n };
            if (side) b.e[i].rejected = x;
            else b.e[i].chosen = x;
        }
    return b;
}

/* Along the gradient and along a random direction, the loss changes as they say. */
static void differences(const char *what, eng_model *m, const eng_config *c, bool dpo)
{
    const ker_model *k = eng_model_arithmetic(m);
    trn_options o = { .loss = dpo ? TRN_DPO : TRN_SFT, .threads = 2, .dpo_beta = .3 };
    change *w = q_alloc(sizeof *w), *r = q_alloc(sizeof *r);
    batch b = random_batch(k, dpo);
    change_make(k, 0, k->n_layer - 1, w);
    change_make(k, 0, k->n_layer - 1, r);
    eng_adapter *g = NULL, *dir = NULL;
    loss_at(m, c, w, NULL, 0, &b, &o, &g);
    CHECK_MSG(eng_adapter_make(m, "dir", r->low, r->n, "", &dir, err) == 0, "%s", err);
    for (int i = 0; i < 2 && g && dir; i++) {
        const eng_adapter *d = i ? dir : g;
        double slope = dot_of(g, d), off = INFINITY, limit = 0, h = 3e-3 / sqrt(fmax(dot_of(d, d), 1e-12));
        for (int step = 0; step < 4 && off > limit; step++, h /= 3) {              /* smaller where a choice of experts turns over between the two sides */
            double up = loss_at(m, c, w, d, h, &b, &o, NULL), down = loss_at(m, c, w, d, -h, &b, &o, NULL);
            off = fabs((up - down) / (2 * h) - slope);
            limit = 1e-2 * fabs(slope) + 1.5e-6 * fabs(up) / h;                    /* the loss is summed in F32 */
            if (getenv("SHOW")) printf("# %s %s %d: slope %.6g, off %.2g, limit %.2g\n", what, dpo ? "dpo" : "sft", i, slope, off, limit);
        }
        CHECK_MSG(off <= limit && (i || limit < .2 * fabs(slope)), "%s, %s along %s: the loss changes otherwise than the gradient's %.6g, by %.2g (limit %.2g)", what,
                  dpo ? "DPO" : "SFT", i ? "a random direction" : "the gradient", slope, off, limit);
    }
    int n = 0;
    const eng_low *all = g ? eng_adapter_lows(g, &n) : NULL;
    for (int i = 0; i < n; i++)                                /* what is not taught has no gradient */
        for (int e = 0; e < all[i].n_expert; e++)
            for (int64_t x = 0; x < all[i].rank * all[i].n_in && idle(&all[i], e); x++) CHECK(all[i].a[e * all[i].rank * all[i].n_in + x] == 0);
    eng_adapter_free(g);
    eng_adapter_free(dir);
    change_free(w), change_free(r);
    free(w), free(r);
    batch_free(&b);
}

/* What the engine says of the same text: its loss, and its choice of experts in every layer. */
typedef struct said { const batch *b; double loss; int n_vocab, n_layer, max_k, n; uint16_t *ids; } said;
static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    said *s = user;
    const trn_text *x = &s->b->e[0].chosen;
    if (!s->ids) s->ids = q_alloc(sizeof *s->ids * (size_t)(x->n * s->n_layer * (max_k + 1)));
    s->max_k = max_k;
    memcpy(s->ids + (int64_t)pos * s->n_layer * max_k, ids, sizeof *ids * (size_t)(s->n_layer * max_k));
    if (pos + 1 >= x->n || !x->mask[pos + 1]) return 0;
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < s->n_vocab; i++) most = fmax(most, (double)logits[i]);
    for (int i = 0; i < s->n_vocab; i++) sum += exp((double)logits[i] - most);
    s->loss += most + log(sum) - (double)logits[x->token[pos + 1]];
    s->n++;
    return 0;
}

static void as_engine(const char *what, eng_model *m, eng_config *c)
{
    const ker_model *k = eng_model_arithmetic(m);
    eng_session *s = NULL;
    change *w = q_alloc(sizeof *w);
    batch b = random_batch(k, false);
    eng_adapter *zero = NULL;
    trn_options o = { .threads = 2 };
    said e = { .b = &b, .n_vocab = k->n_vocab, .n_layer = k->n_layer };
    CHECK_INT(eng_config_set(c, "kv.type", "f32", err), 0);
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0, "%s", err);
    if (s) CHECK_MSG(eng_session_eval(s, b.e[0].chosen.token, b.e[0].chosen.n, 0, NULL, 0, on_row, &e, err) == 0, "%s", err);
    eng_session_free(s);
    for (int l = 0; l < k->n_layer; l++) {                     /* the way back ends in the lowest layer, and leaves its choice there */
        trn *t = NULL;
        double loss = 0;
        change_make(k, l, l, w);
        for (int i = 0; i < w->n; i++) memset(w->b[i], 0, sizeof(float) * (size_t)(w->low[i].n_expert * w->low[i].n_out * w->low[i].rank));
        CHECK_MSG(eng_adapter_make(m, "zero", w->low, w->n, "", &zero, err) == 0, "%s", err);
        CHECK_MSG(trn_new(m, c, zero, &o, &t, err) == 0, "%s", err);
        CHECK_MSG(t && trn_loss_of(t, b.e, 1, true, &loss, err) == 0, "%s", err);
        CHECK_MSG(fabs(loss - e.loss / e.n) < 2e-4, "%s: the loss is %.7f, the engine has %.7f", what, loss, e.loss / e.n);
        int other = 0;
        for (int r = 0; t && k->layer[l].moe && r < t->p.n; r++)
            for (int x = 0; x < e.max_k; x++)
                other += (x < t->p.max_k ? t->p.r.ids[r * t->p.max_k + x] : 0xFFFF) != e.ids[(r * k->n_layer + l) * e.max_k + x];
        CHECK_MSG(other == 0, "%s: %d experts of layer %d are others than the engine's", what, other, l);
        trn_free(t);
        eng_adapter_free(zero);
        change_free(w);
    }
    free(e.ids), free(w);
    batch_free(&b);
}

/* A model of tests/golden/engine; refused: its layers have no way back. */
static void kind_at(const char *name, char *path, const char *const *set, bool refused)
{
    eng_model *m = NULL;
    eng_open_opts o = { .n_threads = 1 };
    CHECK_MSG(eng_model_open(path, &o, &m, err) == 0, "%s", err);
    if (m) {
        eng_config *c = eng_config_new(m);
        for (int i = 0; set && set[i]; i += 2) CHECK_MSG(eng_config_set(c, set[i], set[i + 1], err) == 0, "%s", err);
        seed = q_hash64(name, strlen(name), 3);
        if (!refused) {
            differences(name, m, c, false);
            differences(name, m, c, true);
            as_engine(name, m, c);
        } else {
            change *w = q_alloc(sizeof *w);
            eng_adapter *a = NULL;
            trn *t = NULL;
            const ker_model *k = eng_model_arithmetic(m);
            change_make(k, 0, k->n_layer - 1, w);
            CHECK_MSG(eng_adapter_make(m, "a", w->low, w->n, "", &a, err) == 0, "%s", err);
            CHECK_INT(a ? trn_new(m, c, a, &(trn_options){ .threads = 1 }, &t, err) : 0, Q_RANGE);
            CHECK_MSG(strstr(err, "train-config") != NULL, "%s", err);
            eng_adapter_free(a);
            change_free(w);
            free(w);
        }
        eng_config_free(c);
    }
    eng_model_free(m);
}

static void kind(const char *name, const char *const *set, bool refused)
{
    char *path = util_model(name);
    kind_at(name, path, set, refused);
    unlink(path);
    free(path);
}

/* Shared experts with a gate, norms of Q and K in dense layers. */
static void of_shared(void)
{
    static const char *const name[] = { "qwen2moe", "qwen3", "glm4moe" };
    for (int i = 0; i < 3; i++) {
        char *path = q_printf("../shared/data/golden/%s/model.gguf", name[i]);
        kind_at(name[i], path, NULL, false);
        free(path);
    }
}

static void routed_softmax(void) { kind("qwen3moe", NULL, false); kind("mixtral", NULL, false); }
static void routed_sigmoid(void) { kind("glm4moe", NULL, false); kind("glm4moe-full", NULL, false); }
static void scales_and_norms(void) { kind("granitemoe", NULL, false); kind("olmoe", NULL, false); kind("gemma3", NULL, false); }
static void sinks_and_biases(void) { kind("gpt-oss", NULL, false); kind("qwen2", NULL, false); kind("phi3", NULL, false); }
static void settings(void)
{
    static const char *const set[] = { "experts.k", "3", "experts.min_p", "0.3", "experts.temperature", "1.5", "ffn.width", "9", "attention.heads_off", "0:1", NULL };
    kind("qwen3moe", set, false);
}
static void no_way_back(void) { kind("deepseek2-lite", NULL, true); kind("qwen35", NULL, true); }

int main(void)
{
    RUN(routed_softmax);
    RUN(routed_sigmoid);
    RUN(scales_and_norms);
    RUN(sinks_and_biases);
    RUN(settings);
    RUN(no_way_back);
    if (util_exists("../shared/data/lora/qwen3moe/train.json")) {
        RUN(of_shared);
        RUN(pytorch_qwen3moe);
        RUN(pytorch_llama);
    } else SKIP("pytorch", "../shared/data/lora is not there");
    return TEST_END();
}
