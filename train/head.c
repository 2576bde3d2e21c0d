/* train/head: the output norm and matrix with the cross-entropy, for the rows that foretell a target. The vocabulary is taken by pieces:
 * once for the largest logit and the sum of each row, joined in order (arXiv 1805.02867); once more, with the sum known, for gradients. */
#include <math.h>
#include <string.h>

#include "train/pass.h"

typedef struct head_job { pass *p; const pass_target *t; int n; product w; int64_t o; int k, blocks; } head_job;

static float factor(const ker_model *m) { return m->logit_scale != 0 ? m->logit_scale : 1; }

static float *logits_of(const head_job *j, int worker) { return frozen_work(j->p->f, worker) + frozen_own(j->p->f, j->p->size.rows); }

/* Logits of n rows [o, o + n) of the head, n <= FRO_TILE: [targets][FRO_TILE], in the worker's scratch. The rows stay in its first floats. */
static float *logits(head_job *j, int worker, int64_t o, int n)
{
    frozen *f = j->p->f;
    float *raw = frozen_work(f, worker), *packed = raw + FRO_TILE * j->w.n_in, *to = logits_of(j, worker), x = factor(f->m);
    frozen_rows(f, j->w, o, n, raw);
    gem_pack_turned(raw, j->w.n_in, n, (int)j->w.n_in, j->w.n_in, 0, packed);
    f->gem->mul(j->p->h.in, j->w.n_in, j->n, (int)j->w.n_in, packed, j->w.n_in, n, to, FRO_TILE, false);
    for (int64_t i = 0; x != 1 && i < (int64_t)j->n * FRO_TILE; i++) to[i] *= x;
    return to;
}

static void piece_task(void *arg, int task, int worker)
{
    head_job *j = arg;
    int64_t first = (int64_t)task * HEAD_PIECE, end = first + HEAD_PIECE < j->w.n_out ? first + HEAD_PIECE : j->w.n_out;
    float *top = j->p->h.top + (int64_t)task * j->n, *sum = j->p->h.sum + (int64_t)task * j->n;
    for (int i = 0; i < j->n; i++) top[i] = -INFINITY, sum[i] = 0;
    for (int64_t o = first; o < end; o += FRO_TILE) {
        int n = (int)(end - o < FRO_TILE ? end - o : FRO_TILE);
        const float *l = logits(j, worker, o, n);
        for (int i = 0; i < j->n; i++, l += FRO_TILE) {
            float most = top[i], s = 0;
            for (int v = 0; v < n; v++) most = l[v] > most ? l[v] : most;
            for (int v = 0; v < n; v++) s += expf(l[v] - most);
            sum[i] = (sum[i] > 0 ? sum[i] * expf(top[i] - most) : 0) + s;
            top[i] = most;
            if (j->t[i].id >= o && j->t[i].id < o + n) j->p->h.own[i] = l[j->t[i].id - o];
        }
    }
}

static int each_target(head_job *j, team_fn fn) { return team_run(j->p->f->team, (j->n + FRO_ROWS - 1) / FRO_ROWS, fn, j, j->p->f->stop); }

static void norm_task(void *arg, int task, int worker)
{
    head_job *j = arg;
    int n = j->p->f->m->n_embd, end = (task + 1) * FRO_ROWS < j->n ? (task + 1) * FRO_ROWS : j->n;
    for (int i = task * FRO_ROWS; i < end; i++)
        pass_norm(j->p->x + (int64_t)j->t[i].row * n, frozen_vec(j->p->f, -1, KER_W_OUT_NORM), n, j->p->c->norm_eps, j->p->h.in + (int64_t)i * n);
}

static head_job job_of(pass *p, const pass_target *t, int n) { return (head_job){ .p = p, .t = t, .n = n, .w = frozen_product(p->f, -1, KER_W_OUT, 0) }; }

int pass_logp(pass *p, pass_target *t, int n)
{
    head_job j = job_of(p, t, n);
    int pieces = (int)((j.w.n_out + HEAD_PIECE - 1) / HEAD_PIECE), rc = each_target(&j, norm_task);
    if (!rc) rc = team_run(p->f->team, pieces, piece_task, &j, p->f->stop);
    if (rc) return rc;
    for (int i = 0; i < n; i++) {
        float most = -INFINITY;
        double sum = 0;
        for (int x = 0; x < pieces; x++) most = p->h.top[(int64_t)x * n + i] > most ? p->h.top[(int64_t)x * n + i] : most;
        for (int x = 0; x < pieces; x++) sum += (double)p->h.sum[(int64_t)x * n + i] * exp((double)(p->h.top[(int64_t)x * n + i] - most));
        p->h.log_sum[i] = (float)((double)most + log(sum));
        t[i].logp = (float)((double)p->h.own[i] - ((double)most + log(sum)));
    }
    return atomic_load(&p->f->broken);
}

/* A tile of the panel: gradients of its logits, and its rows packed. */
static void panel_task(void *arg, int task, int worker)
{
    head_job *j = arg;
    pass *p = j->p;
    int at = task * FRO_TILE, n = j->k - at < FRO_TILE ? j->k - at : FRO_TILE;
    float x = factor(p->f->m);
    const float *l = logits(j, worker, j->o + at, n);
    gem_pack(frozen_work(p->f, worker), j->w.n_in, n, (int)j->w.n_in, j->k, at, p->f->panel);
    for (int i = 0; i < j->n; i++, l += FRO_TILE) {
        float *d = p->h.dl + (int64_t)i * HEAD_PANEL + at;
        for (int v = 0; v < n; v++) d[v] = -x * j->t[i].coef * expf(l[v] - p->h.log_sum[i]);
        int64_t own = j->t[i].id - j->o - at;
        if (own >= 0 && own < n) d[own] += x * j->t[i].coef;
    }
}

static void back_task(void *arg, int task, int worker)
{
    head_job *j = arg;
    int r = task / j->blocks * FRO_ROWS, n = j->n - r < FRO_ROWS ? j->n - r : FRO_ROWS;
    int64_t c = (int64_t)(task % j->blocks) * FRO_COLS, width = j->w.n_in - c < FRO_COLS ? j->w.n_in - c : FRO_COLS;
    j->p->f->gem->mul(j->p->h.dl + (int64_t)r * HEAD_PANEL, HEAD_PANEL, n, j->k, j->p->f->panel + c * j->k, j->k, (int)width,
                      j->p->h.din + r * j->w.n_in + c, j->w.n_in, j->o > 0);
}

static void norm_back_task(void *arg, int task, int worker)
{
    head_job *j = arg;
    int n = j->p->f->m->n_embd, end = (task + 1) * FRO_ROWS < j->n ? (task + 1) * FRO_ROWS : j->n;
    for (int i = task * FRO_ROWS; i < end; i++) {
        int64_t at = (int64_t)j->t[i].row * n;                 /* rows of targets differ */
        pass_norm_back(j->p->x + at, frozen_vec(j->p->f, -1, KER_W_OUT_NORM), n, j->p->c->norm_eps, j->p->h.din + (int64_t)i * n, j->p->d + at);
    }
}

int pass_logp_back(pass *p, const pass_target *t, int n)
{
    head_job j = job_of(p, t, n);
    int64_t most = p->f->panel_floats / ((j.w.n_in + 15) / 16 * 16) / FRO_TILE * FRO_TILE;
    int rc = Q_OK;
    j.blocks = (int)((j.w.n_in + FRO_COLS - 1) / FRO_COLS);
    if (most > HEAD_PANEL) most = HEAD_PANEL;
    memset(p->d, 0, sizeof *p->d * (size_t)p->n * (size_t)p->f->m->n_embd);
    for (; j.o < j.w.n_out && !rc; j.o += j.k) {
        j.k = (int)(j.w.n_out - j.o < most ? j.w.n_out - j.o : most);
        rc = team_run(p->f->team, (j.k + FRO_TILE - 1) / FRO_TILE, panel_task, &j, p->f->stop);
        if (!rc) rc = team_run(p->f->team, (n + FRO_ROWS - 1) / FRO_ROWS * j.blocks, back_task, &j, p->f->stop);
    }
    return rc ? rc : each_target(&j, norm_back_task);
}
