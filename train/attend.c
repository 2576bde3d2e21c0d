/* train/attend: grouped causal attention over rows of texts, there and back (arXiv 2205.14135's recomputation: only the log of each row's
 * sum is kept). A task is one text's KV head with all the heads that share it, so that gradients of K and V are summed in one order. */
#include <math.h>
#include <string.h>

#include "train/pass.h"

enum { BLOCK = 32 };                   /* rows of queries at once */

typedef struct attend_job { pass *p; int layer; } attend_job;

typedef struct span {                  /* one text's KV head */
    const ker_model *m;
    const gem_ops *gem;
    int n, dim, window;
    int64_t qd, kd;                    /* from one row's to the next */
    float *kt, *vt;                    /* K and V turned: columns are rows of the text; [n] columns of depth dim */
    float *kp, *vp;                    /* as they are: depth n, dim columns */
    float *s, *ds, *turned;            /* [BLOCK][n], [BLOCK][n], [n][BLOCK] */
    float *side;                       /* [gem_floats(BLOCK, dim)] */
    int64_t ld;
} span;

static int64_t wide(int64_t n) { return (n + 15) / 16 * 16; }

int64_t pass_attend_floats(const pass *p, int64_t longest)
{
    int64_t dim = wide(p->f->m->head_dim), n = wide(longest);
    return 4 * dim * n + 3 * BLOCK * n + BLOCK * dim + 64;
}

/* back: which packed forms are made. */
static span open_span(pass *p, int layer, int text, int head, float *work, bool back)
{
    const ker_model *m = p->f->m;
    span s = { .m = m, .gem = p->f->gem, .n = p->at[text + 1] - p->at[text], .dim = m->head_dim, .window = m->layer[layer].window,
               .qd = (int64_t)m->n_head * m->head_dim, .kd = (int64_t)m->n_kv_head * m->head_dim };
    int64_t all = wide(s.dim) * wide(s.n);
    s.ld = wide(s.n);
    s.kt = work, s.vt = work + all, s.kp = work + 2 * all, s.vp = work + 3 * all;
    s.s = work + 4 * all, s.ds = s.s + BLOCK * s.ld, s.turned = s.ds + BLOCK * s.ld, s.side = s.turned + BLOCK * s.ld;
    const float *k = p->a.k + p->at[text] * s.kd + head * s.dim, *v = p->a.v + p->at[text] * s.kd + head * s.dim;
    gem_pack_turned(k, s.kd, s.n, s.dim, s.dim, 0, s.kt);
    if (back) {
        gem_pack_turned(v, s.kd, s.n, s.dim, s.dim, 0, s.vt);
        gem_pack(k, s.kd, s.n, s.dim, s.n, 0, s.kp);
    } else gem_pack(v, s.kd, s.n, s.dim, s.n, 0, s.vp);
    return s;
}

/* The first row that row i sees. */
static int first_of(const span *s, int i) { return s->window > 0 && i >= s->window ? i - s->window + 1 : 0; }

/* Scores of rows [i0, i1) from column j0 on. */
static void scores(const span *s, const float *q, int i0, int i1, int j0)
{
    s->gem->mul(q + i0 * s->qd, s->qd, i1 - i0, s->dim, s->kt + (int64_t)j0 * s->dim, s->dim, i1 - j0, s->s, s->ld, false);
}

static bool silent(const pass *p, int layer, int head)
{
    return p->c->head_off && p->c->head_off[(int64_t)layer * p->f->m->n_head + head];
}

static void softmax(const span *s, int i, int j0, int n, const float *sink, float *row, float *top)
{
    int from = first_of(s, i) - j0, to = i - j0 + 1;
    float most = sink ? *sink : -INFINITY, sum = 0;
    for (int j = from; j < to; j++) most = row[j] > most ? row[j] : most;
    for (int j = 0; j < n; j++) {
        row[j] = j < from || j >= to ? 0 : expf(row[j] - most);
        sum += row[j];
    }
    if (sink) sum += expf(*sink - most);
    for (int j = from; j < to; j++) row[j] /= sum;
    *top = most + logf(sum);
}

static void attend_task(void *arg, int task, int worker)
{
    attend_job *job = arg;
    pass *p = job->p;
    const ker_model *m = p->f->m;
    int text = task / m->n_kv_head, kv = task % m->n_kv_head, group = m->n_head / m->n_kv_head, row = p->at[text];
    span s = open_span(p, job->layer, text, kv, frozen_work(p->f, worker), false);
    const float *sinks = frozen_vec(p->f, job->layer, KER_W_SINKS);
    for (int h = kv * group; h < (kv + 1) * group; h++) {
        const float *q = p->a.q + row * s.qd + h * s.dim;
        float *o = p->a.o + row * s.qd + h * s.dim;
        for (int i0 = 0; i0 < s.n && !team_stopped(p->f->stop); i0 += BLOCK) {
            int i1 = i0 + BLOCK < s.n ? i0 + BLOCK : s.n, j0 = first_of(&s, i0) & ~15;
            scores(&s, q, i0, i1, j0);
            for (int i = i0; i < i1; i++) softmax(&s, i, j0, i1 - j0, sinks ? &sinks[h] : NULL, s.s + (i - i0) * s.ld, &p->a.top[(int64_t)(row + i) * m->n_head + h]);
            s.gem->mul(s.s, s.ld, i1 - i0, i1 - j0, s.vp + (int64_t)j0 * GEM_COLS, s.n, s.dim, o + i0 * s.qd, s.qd, false);
            for (int i = i0; i < i1 && silent(p, job->layer, h); i++) memset(o + i * s.qd, 0, sizeof *o * (size_t)s.dim);
        }
    }
}

int pass_attend(pass *p, int layer)
{
    attend_job j = { p, layer };
    return team_run(p->f->team, p->n_text * p->f->m->n_kv_head, attend_task, &j, p->f->stop);
}

static void turn(const float *from, int64_t ld, int rows, int cols, float *to)
{
    for (int j = 0; j < cols; j++)
        for (int i = 0; i < rows; i++) to[(int64_t)j * BLOCK + i] = from[i * ld + j];
}

/* Rows [i0, i1) of head h: its part of dk and dv, and dq. */
static void block_back(pass *p, const span *s, int row, int h, int i0, int i1, float *dk, float *dv)
{
    int j0 = first_of(s, i0) & ~15, cols = i1 - j0, rows = i1 - i0;
    int64_t at = row * s->qd + h * s->dim + i0 * s->qd;
    const float *q = p->a.q + at, *o = p->a.o + at, *dout = p->a.dout + at;
    scores(s, q - i0 * s->qd, i0, i1, j0);
    s->gem->mul(dout, s->qd, rows, s->dim, s->vt + (int64_t)j0 * s->dim, s->dim, cols, s->ds, s->ld, false);
    for (int i = i0; i < i1; i++) {
        float *w = s->s + (i - i0) * s->ld, top = p->a.top[(int64_t)(row + i) * s->m->n_head + h];
        int from = first_of(s, i) - j0, to = i - j0 + 1;
        for (int j = 0; j < cols; j++) w[j] = j < from || j >= to ? 0 : expf(w[j] - top);
    }
    turn(s->s, s->ld, rows, cols, s->turned);
    gem_pack(dout, s->qd, rows, s->dim, BLOCK, 0, s->side);
    s->gem->mul(s->turned, BLOCK, cols, rows, s->side, BLOCK, s->dim, dv + j0 * s->kd, s->kd, true);
    for (int i = 0; i < rows; i++) {
        const float *w = s->s + i * s->ld, *a = o + i * s->qd, *b = dout + i * s->qd;
        float *ds = s->ds + i * s->ld, dot = 0;
        for (int d = 0; d < s->dim; d++) dot += a[d] * b[d];
        for (int j = 0; j < cols; j++) ds[j] = w[j] * (ds[j] - dot);
    }
    s->gem->mul(s->ds, s->ld, rows, cols, s->kp + (int64_t)j0 * GEM_COLS, s->n, s->dim, p->a.dq + at, s->qd, false);
    turn(s->ds, s->ld, rows, cols, s->turned);
    gem_pack(q, s->qd, rows, s->dim, BLOCK, 0, s->side);
    s->gem->mul(s->turned, BLOCK, cols, rows, s->side, BLOCK, s->dim, dk + j0 * s->kd, s->kd, true);
}

static void back_task(void *arg, int task, int worker)
{
    attend_job *job = arg;
    pass *p = job->p;
    const ker_model *m = p->f->m;
    int text = task / m->n_kv_head, kv = task % m->n_kv_head, group = m->n_head / m->n_kv_head, row = p->at[text];
    span s = open_span(p, job->layer, text, kv, frozen_work(p->f, worker), true);
    float *dk = p->a.dk + row * s.kd + kv * s.dim, *dv = p->a.dv + row * s.kd + kv * s.dim;
    for (int i = 0; i < s.n; i++) {
        memset(dk + i * s.kd, 0, sizeof *dk * (size_t)s.dim);
        memset(dv + i * s.kd, 0, sizeof *dv * (size_t)s.dim);
    }
    for (int h = kv * group; h < (kv + 1) * group; h++) {
        if (!silent(p, job->layer, h)) {
            for (int i0 = 0; i0 < s.n && !team_stopped(p->f->stop); i0 += BLOCK) block_back(p, &s, row, h, i0, i0 + BLOCK < s.n ? i0 + BLOCK : s.n, dk, dv);
            continue;
        }
        for (int i = 0; i < s.n; i++) memset(p->a.dq + (row + i) * s.qd + h * s.dim, 0, sizeof(float) * (size_t)s.dim);
    }
}

int pass_attend_back(pass *p, int layer)
{
    attend_job j = { p, layer };
    return team_run(p->f->team, p->n_text * p->f->m->n_kv_head, back_task, &j, p->f->stop);
}
