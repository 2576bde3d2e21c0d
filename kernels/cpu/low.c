/* kernels/cpu/low: see low.h. A x is mat_mul's with weights in F32, B t a chain of vec_ops.axpy: both give the same bits on every
 * instruction set, and neither looks beyond its item. */
#include "kernels/cpu/low.h"

#include <stdlib.h>


typedef struct low_w {             /* one matrix's change */
    ker_low low;                   /* a: the caller's */
    float **turned;                /* [n_expert] B as [rank][n_out]; NULL: all of it is 0, and nothing is added */
} low_w;

typedef struct low_adapter {
    int n, most;                   /* matrices; the largest rank */
    low_w *w;                      /* [n] */
    const low_w **at;              /* [n_layer + 1][KER_W_ROLES] */
} low_adapter;

/* ---- the device's adapters ---- */

static void adapter_free(low_adapter *a)
{
    for (int i = 0; a && i < a->n; i++) {
        for (int e = 0; a->w[i].turned && e < a->w[i].low.n_expert; e++) free(a->w[i].turned[e]);
        free(a->w[i].turned);
    }
    if (a) {
        free(a->w);
        free(a->at);
    }
    free(a);
}

static bool zeros(const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (b[i] != 0) return false;
    return true;
}

static bool turn(low_w *w)
{
    const ker_low *l = &w->low;
    int64_t one = l->n_out * l->rank;
    w->turned = q_alloc(sizeof *w->turned * (size_t)l->n_expert);
    for (int e = 0; e < l->n_expert; e++) {
        const float *b = l->b + e * one;
        if (zeros(b, one)) continue;
        float *t = w->turned[e] = act_alloc(sizeof(float) * (size_t)one);
        if (!t) return false;
        for (int64_t o = 0; o < l->n_out; o++)
            for (int k = 0; k < l->rank; k++) t[k * l->n_out + o] = b[o * l->rank + k];
    }
    return true;
}

int low_put(ker_dev *d, int adapter, const ker_low *low, int n, char *err)
{
    if (adapter < 0 || adapter >= KER_ADAPTERS) return q_fail(err, Q_RANGE, _("a device holds %d adapters at most: drop one"), KER_ADAPTERS);
    low_adapter *a = q_alloc(sizeof *a);
    int rc = Q_OK;
    a->w = q_alloc(sizeof *a->w * (size_t)(n + 1));
    a->at = q_alloc(sizeof *a->at * (size_t)((d->m.n_layer + 1) * KER_W_ROLES));
    for (int i = 0; i < n && !rc; i++) {
        if ((rc = ker_low_check(&d->m, &low[i], err))) break;
        const low_w **at = &a->at[(low[i].layer + 1) * KER_W_ROLES + (int)low[i].role];
        if (*at) rc = q_fail(err, Q_FORMAT, _("the adapter changes %s of layer %d twice: take another copy of it"), _(ker_role_get(low[i].role)->name), low[i].layer);
        a->w[a->n].low = low[i];
        *at = &a->w[a->n++];
        if (low[i].rank > a->most) a->most = low[i].rank;
        if (!rc && !turn(&a->w[i])) rc = q_fail(err, Q_NOMEM, _("no memory for the adapter: close something or take one of a lower rank"));
    }
    if (rc) {
        adapter_free(a);
        return rc;
    }
    low_drop(d, adapter);
    d->adapter[adapter] = a;
    return Q_OK;
}

void low_drop(ker_dev *d, int adapter)
{
    if (adapter < 0 || adapter >= KER_ADAPTERS) return;
    adapter_free(d->adapter[adapter]);
    d->adapter[adapter] = NULL;
}

/* ---- a batch ---- */

int low_begin(ker_ctx *c, char *err)
{
    const ker_model *m = &c->dev->m;
    bool used[KER_ADAPTERS] = { false };
    const ker_config *last = NULL;
    c->low.wide = 0;
    for (int r = 0; r < c->b.n; r++) {
        const ker_config *g = ctx_cfg(c, r);
        for (int i = 0; g != last && i < g->n_adapt; i++) used[g->adapt[i].adapter] = true;
        last = g;
    }
    for (int i = 0; i < KER_ADAPTERS; i++) {
        if (!used[i]) continue;
        if (!c->dev->adapter[i]) return q_fail(err, Q_RANGE, _("a configuration names adapter %d, which is not at the device"), i);
        c->low.at[i] = c->low.wide;
        c->low.wide += c->dev->adapter[i]->most;
    }
    if (!low_acts(c)) return Q_OK;
    int64_t n = c->b.n, pairs = n * c->max_k < c->dev->pairs_cap ? n * c->max_k : c->dev->pairs_cap;
    int64_t attn = n * (m->latent.kv_rank && m->n_head > 4 ? m->n_head : 4), ffn = 2 * (pairs + (n < FFN_ROWS ? n : FFN_ROWS));
    int64_t need = (attn > ffn ? attn : ffn) * c->low.wide;
    if (need <= c->low.room) return Q_OK;
    free(c->low.t);
    c->low.t = act_alloc(sizeof(float) * (size_t)need);
    c->low.room = c->low.t ? need : 0;
    return c->low.t ? Q_OK : q_fail(err, Q_NOMEM, _("no memory for the adapter: close something or take one of a lower rank"));
}

static int row_of(const low_job *j, int i) { return j->first + (j->row ? j->row[i] : j->per ? i / j->per : i); }
static int matrix_of(const low_job *j, int i) { return j->e ? j->e[i] : j->per ? i % j->per : 0; }

/* An adapter's change of the job's matrix e; NULL: none, or it does not act. factor: of A x. */
static const low_w *change(const ker_ctx *c, const ker_adapt *a, const low_job *j, int e, float *factor)
{
    const low_w *w = c->dev->adapter[a->adapter]->at[(j->layer + 1) * KER_W_ROLES + (int)j->role];
    if (!w || !w->turned[e]) return NULL;
    bool experts = a->expert && ker_role_of_experts(j->role);
    float own = experts ? a->expert[(int64_t)j->layer * c->dev->m.n_expert + e] : a->layer[j->layer + 1];
    *factor = own * w->low.scale;
    return own != 0 ? w : NULL;
}

static bool some(const ker_ctx *c, const low_job *j)
{
    for (int i = 0; i < KER_ADAPTERS; i++) {
        const low_adapter *a = c->dev->adapter[i];
        if (a && a->at[(j->layer + 1) * KER_W_ROLES + (int)j->role]) return true;
    }
    return false;
}

/* How many items from i on have one configuration, one matrix and inputs that follow one another. */
static int alike(const ker_ctx *c, const low_job *j, int i, int end)
{
    int n = 1;
    const ker_config *g = ctx_cfg(c, row_of(j, i));
    if (j->row || j->e || j->per) return 1;
    while (i + n < end && ctx_cfg(c, row_of(j, i + n)) == g) n++;
    return n;
}

enum { ITEMS = 8 };                /* of a task */
typedef struct prepare_job { ker_ctx *c; low_job *jobs; int n, items; } prepare_job;

static void prepare_task(void *arg, int task, int worker)
{
    prepare_job *p = arg;
    ker_ctx *c = p->c;
    low_job *j = p->jobs;
    while (j + 1 < p->jobs + p->n && j[1].begin <= task) j++;
    int first = j->from + (task - j->begin) * p->items, end = first + p->items < j->n ? first + p->items : j->n;
    for (int i = first, n; i < end; i += n) {
        int row = row_of(j, i), e = matrix_of(j, i);
        const ker_config *g = ctx_cfg(c, row);
        const float *x = j->x + i * j->x_item + (row - j->first) * j->x_row + e * j->x_e;
        n = alike(c, j, i, end);
        for (int a = 0; a < g->n_adapt; a++) {
            float factor;
            const low_w *w = change(c, &g->adapt[a], j, e, &factor);
            if (!w) continue;
            const float *rows = w->low.a + (int64_t)e * w->low.rank * w->low.n_in;
            mat m = { .type = KER_F32, .n_in = w->low.n_in, .n_out = w->low.rank, .data = (const uint8_t *)(const void *)rows, .row_bytes = w->low.n_in * 4 };
            float *t = j->t + (int64_t)i * c->low.wide + c->low.at[g->adapt[a].adapter];
            mat_mul(&m, x, j->x_item * 4, n, 0, w->low.rank, t, c->low.wide, dev_mat_scratch(c->dev, worker));
            for (int r = 0; r < n; r++)
                for (int k = 0; k < w->low.rank; k++) t[(int64_t)r * c->low.wide + k] *= factor;
        }
    }
}

int low_prepare(ker_ctx *c, low_job *jobs, int n)
{
    float *t = c->low.t;
    int tasks = 0, all = 0;
    if (!low_acts(c)) return c->state;
    for (int i = 0; i < n; i++) all += jobs[i].n - jobs[i].from;
    prepare_job p = { c, jobs, n, all <= 4 * ITEMS ? 1 : ITEMS };
    for (int i = 0; i < n; i++) {
        jobs[i].begin = tasks;
        jobs[i].t = some(c, &jobs[i]) ? t : NULL;
        if (!jobs[i].t) continue;
        t += (int64_t)jobs[i].n * c->low.wide;
        tasks += (jobs[i].n - jobs[i].from + p.items - 1) / p.items;
    }
    return tasks ? ctx_run(c, tasks, prepare_task, &p) : c->state;
}

void low_add(const ker_ctx *c, const low_job *j, int i, int64_t o0, int64_t n, float *y)
{
    if (!j->t) return;
    const ker_config *g = ctx_cfg(c, row_of(j, i));
    int e = matrix_of(j, i);
    for (int a = 0; a < g->n_adapt; a++) {
        float factor;
        const low_w *w = change(c, &g->adapt[a], j, e, &factor);
        const float *t = j->t + (int64_t)i * c->low.wide + c->low.at[g->adapt[a].adapter];
        for (int k = 0; w && k < w->low.rank; k++) c->dev->v->axpy(y, t[k], w->turned[e] + k * w->low.n_out + o0, (int)n);
    }
}

void low_embed(const ker_ctx *c, int row, int32_t token, float *x)
{
    const ker_config *g = ctx_cfg(c, row);
    low_job j = { .layer = -1, .role = KER_W_EMBD };
    for (int a = 0; a < g->n_adapt; a++) {
        float factor;
        const low_w *w = change(c, &g->adapt[a], &j, 0, &factor);
        for (int k = 0; w && k < w->low.rank; k++)
            c->dev->v->axpy(x, factor * w->low.b[(int64_t)token * w->low.rank + k], w->low.a + k * w->low.n_in, (int)w->low.n_in);
    }
}
