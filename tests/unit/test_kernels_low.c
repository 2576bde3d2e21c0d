/* Adapters on the CPU: every matrix that may be changed, of every kind of model, against the naive forward pass with W + s B A in place of
 * W; that a row's bits hang on its own configuration alone; and what is refused. */
#include "tests/forward_low.h"

static result want, got;

enum { RANK = 5 };

/* W += factor * scale * B A, in the model that the reference reads. */
static void merge(model *m, const adapter *a, bool by_expert)
{
    for (int i = 0; i < a->n; i++) {
        const ker_low *w = &a->low[i];
        float *f = m->w[w->layer + 1][w->role].f, **head = &m->w[0][KER_W_OUT].f;
        size_t all = sizeof *f * (size_t)(w->n_out * w->n_in);
        if (w->role == KER_W_EMBD && !*head) *head = memcpy(malloc(all), f, all);       /* a tied head stays what it was */
        for (int e = 0; e < w->n_expert; e++) {
            bool own = by_expert && ker_role_of_experts(w->role);
            double s = (double)w->scale * (double)(own ? a->expert[w->layer * m->m.n_expert + e] : a->layer[w->layer + 1]);
            for (int64_t o = 0; o < w->n_out; o++)
                for (int64_t c = 0; c < w->n_in; c++) {
                    double sum = 0;
                    for (int k = 0; k < w->rank; k++) sum += (double)w->b[(e * w->n_out + o) * w->rank + k] * w->a[(e * w->rank + k) * w->n_in + c];
                    float *at = &f[(e * w->n_out + o) * w->n_in + c];
                    *at = (float)(*at + s * sum);
                }
        }
    }
}

static void changed_products_match_the_reference(void)
{
    int roles[KER_W_ROLES] = { 0 };
    for (int s = 0; s < N_SPEC; s++)
        for (int by_expert = 0; by_expert < 2; by_expert++) {
            model *m = model_new(&specs[s]), *merged = model_new(&specs[s]);
            adapter a, b;
            adapter_make(&a, m, 11, RANK, everything);
            adapter_make(&b, m, 12, 2, attention_alone);
            merge(merged, &a, by_expert);
            merge(merged, &b, false);
            for (int i = 0; i < a.n; i++) roles[a.low[i].role]++;
            bool exact = specs[s].type == KER_F32 && specs[s].down_type == KER_F32;
            config *g = malloc(sizeof *g);
            config_make(g, m, exact ? &settings[9 * by_expert] : &settings[2]);    /* "base" and "masks"; "all", which cannot flip */
            ker_adapt two[2];
            act(g, &a, &b, two, by_expert);
            ker_dev *d = dev_new(m, 2);
            CHECK_INT(backend->adapter_put(d, 0, a.low, a.n, err), 0);
            CHECK_INT(backend->adapter_put(d, 3, b.low, b.n, err), 0);
            reference(m, g, false, N_TOK, &want);
            CHECK_INT(run_model(d, m, g, false, KER_KV_F32, N_TOK, &got), 0);
            double moved = worst(&got, &want);
            reference(merged, g, false, N_TOK, &want);
            double bad = worst(&got, &want);
            CHECK_MSG(bad < (exact ? 3e-5 : 6e-2), "%s: off by %.3g of the largest logit", specs[s].name, bad);
            CHECK_MSG(moved > (exact ? .05 : .2), "%s: the adapters moved logits by %.3g only", specs[s].name, moved);
            int flips = 0;
            for (int i = 0; i < m->m.n_layer * N_TOK * MAX_E && exact; i++) flips += got.ids[i] != want.ids[i];
            CHECK_MSG(flips == 0, "%s: %d routings differ", specs[s].name, flips);
            backend->close(d);
            adapter_free(&a);
            adapter_free(&b);
            free(g);
            model_free(m);
            model_free(merged);
        }
    for (int r = 0; r < KER_W_ROLES; r++)
        if (ker_role_low(r) && !(r >= KER_W_D_QKV && r <= KER_W_D_OUT)) CHECK_MSG(roles[r] > 0, "no model of the test has a matrix of role %d", r);
}

/* ---- bits ---- */

static int in_three(ker_ctx *c, int layer)
{
    ker_moe moe;
    int rc = ker_cpu()->moe_take(c, layer, &moe);
    if (!rc) rc = ker_cpu()->moe_run(c, layer, &moe);
    return rc ? rc : ker_cpu()->moe_add(c, layer, &moe);
}

static void bits_hang_on_the_row_alone(void)
{
    static const int split[] = { 1, 7, 64, N_TOK };
    ker_backend three_steps = *ker_cpu();
    three_steps.experts = in_three;
    for (int s = 0; s < N_SPEC; s++) {
        model *m = model_new(&specs[s]);
        adapter a, b;
        adapter_make(&a, m, 21, 3, everything);
        adapter_make(&b, m, 22, 8, everything);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[0]);
        ker_adapt two[2];
        ker_config three[3];
        three_make(three, g, &a, &b, two);
        for (int i = 0; i < 6; i++) {
            if (i < 3 && (!ker_cpu_path(i) || ker_cpu_force(ker_cpu_path(i)))) continue;
            if (i == 3) ker_cpu_force(NULL);
            backend = i == 4 ? &three_steps : ker_cpu();
            ker_dev *d = dev_new(m, i % 3 + 1);
            CHECK_INT(backend->adapter_put(d, 0, a.low, a.n, err), 0);
            CHECK_INT(backend->adapter_put(d, 3, b.low, b.n, err), 0);
            for (size_t p = 0; p < sizeof split / sizeof *split; p++) {
                if (specs[s].n_embd > 500 && p % 2) continue;
                CHECK_INT(run_mixed(d, m, three, split[p], i || p ? &got : &want), 0);
                CHECK_MSG((!i && !p) || !memcmp(got.logits, want.logits, sizeof want.logits), "%s: way %d in pieces of %d gives other bits", specs[s].name, i, split[p]);
            }
            backend->close(d);
        }
        backend = ker_cpu();
        free(g);
        adapter_free(&a);
        adapter_free(&b);
        model_free(m);
    }
}

static void where_none_acts_nothing_changes(void)
{
    for (int s = 0; s < N_SPEC; s++) {
        model *m = model_new(&specs[s]);
        adapter a;
        adapter_make(&a, m, 31, 4, everything);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[1]);
        ker_dev *d = dev_new(m, 2);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &want), 0);
        CHECK_INT(backend->adapter_put(d, 0, a.low, a.n, err), 0);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &got), 0);
        CHECK_MSG(same(&got, &want, m->m.n_layer), "%s: an adapter that no configuration names", specs[s].name);
        memset(a.layer, 0, sizeof a.layer);
        ker_adapt two[2];
        act(g, &a, NULL, two, false);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, 7, &got), 0);
        CHECK_MSG(same(&got, &want, m->m.n_layer), "%s: an adapter at a scale of 0", specs[s].name);
        backend->adapter_drop(d, 0);
        CHECK(run_model(d, m, g, false, KER_KV_F16, 7, &got) != 0);
        CHECK(strstr(err, "not at the device") != NULL);
        backend->close(d);
        adapter_free(&a);
        free(g);
        model_free(m);
    }
}

/* Rows under three configurations, experts of every layer on the second device: the bytes of one device. */
static void a_pair_of_devices_computes_what_one_does(void)
{
    static const int with[] = { 1, 2, 4, 7, 15 };
    for (int i = 0; i < 5; i++) {
        model *m = model_new(&specs[with[i]]);
        adapter a, b;
        config *g = malloc(sizeof *g);
        ker_adapt two[2];
        ker_config three[3];
        config_make(g, m, &settings[0]);
        adapter_make(&a, m, 41, 4, everything);
        adapter_make(&b, m, 42, 2, everything);
        three_make(three, g, &a, &b, two);
        for (int pair = 0; pair < 2; pair++) {
            backend = pair ? ker_split() : ker_cpu();
            ker_dev *d = dev_new(m, 2);
            CHECK_INT(backend->adapter_put(d, 0, a.low, a.n, err), 0);
            CHECK_INT(backend->adapter_put(d, 3, b.low, b.n, err), 0);
            CHECK_INT(run_mixed(d, m, three, i % 2 ? N_TOK : 7, pair ? &got : &want), 0);
            if (pair) {
                backend->adapter_drop(d, 3);
                CHECK_INT(run_mixed(d, m, three, 7, &(result){ 0 }), Q_RANGE);
                CHECK(strstr(err, "not at the device") != NULL);
                three[2].n_adapt = 1;              /* a slot that no longer names it */
                CHECK_INT(run_mixed(d, m, three, 7, &(result){ 0 }), 0);
                three[2].n_adapt = 2;
                ker_low bad = a.low[0];
                bad.layer = 9;
                CHECK_INT(backend->adapter_put(d, 1, &bad, 1, err), Q_RANGE);
            }
            backend->close(d);
        }
        CHECK_MSG(!memcmp(got.logits, want.logits, sizeof want.logits), "%s: other bytes", m->s->name);
        backend = ker_cpu();
        adapter_free(&a);
        adapter_free(&b);
        free(g);
        model_free(m);
    }
}

/* ---- experts that come from a source ---- */

static int bring(void *user, int layer, const int *ids, int n, ker_expert *to, const atomic_int *cancel, ker_fetched *count)
{
    const model *m = user;
    const weight *w = m->w[layer + 1];
    for (int i = 0; i < n; i++) {
        int64_t one = (int64_t)m->m.n_embd * m->m.n_ff_exp * ids[i];
        to[i] = (ker_expert){ w[KER_W_GATE_EXPS].f + one, w[KER_W_UP_EXPS].f + one, w[KER_W_DOWN_EXPS].f + one };
    }
    return Q_OK;
}

static int at_once;
static int most(void *user, int layer, int n) { return at_once < n ? at_once : n; }

static void experts_of_a_source_are_changed_alike(void)
{
    model *m = model_new(&specs[2]);
    adapter a;
    adapter_make(&a, m, 61, 4, everything);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[1]);
    ker_adapt two[2];
    act(g, &a, NULL, two, true);
    for (int with = 0; with < 4; with++) {
        ker_dev *d = NULL;
        at_once = with == 1 ? 0 : with == 2 ? 1 : 3;
        CHECK_INT(backend->open(&m->m, 2, NULL, &d, err), 0);
        if (with) CHECK_INT(backend->source(d, &(ker_source){ .user = m, .acquire = bring, .most = at_once ? most : NULL }, err), 0);
        for (int l = 0; l < 5; l++)
            for (int r = 0; r < KER_W_ROLES; r++) {
                ker_weight w = m->w[l][r].w;
                if (with && ker_role_get(r)->ne[2] == KER_DIM_EXPERT) w.data = NULL;
                if (m->w[l][r].f) CHECK_INT(backend->weight(d, l - 1, r, &w, err), 0);
            }
        CHECK_INT(backend->ready(d, err), 0);
        CHECK_INT(backend->adapter_put(d, 0, a.low, a.n, err), 0);
        CHECK_INT(run_model(d, m, g, false, KER_KV_F16, with ? 7 : N_TOK, with ? &got : &want), 0);
        CHECK(!with || same(&got, &want, m->m.n_layer));
        backend->close(d);
    }
    adapter_free(&a);
    free(g);
    model_free(m);
}

static void wrong_changes_are_refused(void)
{
    model *m = model_new(&specs[2]);
    adapter a;
    adapter_make(&a, m, 51, 4, everything);
    ker_dev *d = dev_new(m, 1);
    struct { int rc; const char *says; ker_low low; } bad[] = {
        { Q_RANGE, "another model", a.low[0] }, { Q_RANGE, "another model", a.low[0] }, { Q_RANGE, "another model", a.low[0] }, { Q_FORMAT, "rank 0", a.low[0] },
        { Q_RANGE, "left as it is", a.low[0] }, { Q_FORMAT, "rank 5000", a.low[0] },
    };
    bad[0].low.n_in++;
    bad[1].low.layer = 7;
    bad[2].low.role = KER_W_D_QKV;
    bad[2].low.layer = 1;
    bad[3].low.rank = 0;
    bad[4].low.role = KER_W_ROUTER;
    bad[4].low.layer = 1;
    bad[5].low.rank = 5000;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(backend->adapter_put(d, 0, &bad[i].low, 1, err), bad[i].rc);
        CHECK_MSG(strstr(err, bad[i].says) != NULL, "%zu: %s", i, err);
    }
    ker_low twice[2] = { a.low[1], a.low[1] };
    CHECK_INT(backend->adapter_put(d, 0, twice, 2, err), Q_FORMAT);
    CHECK_INT(backend->adapter_put(d, KER_ADAPTERS, twice, 1, err), Q_RANGE);
    backend->close(d);
    adapter_free(&a);
    model_free(m);
}

int main(void)
{
    tokens_make();
    backend = ker_cpu();
    RUN(changed_products_match_the_reference);
    RUN(bits_hang_on_the_row_alone);
    RUN(where_none_acts_nothing_changes);
    RUN(a_pair_of_devices_computes_what_one_does);
    RUN(experts_of_a_source_are_changed_alike);
    RUN(wrong_changes_are_refused);
    return TEST_END();
}
