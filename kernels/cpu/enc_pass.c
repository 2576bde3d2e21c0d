/* kernels/cpu/enc_pass: one pass of an encoder over the rows of some texts. Every sum runs in an order that the text alone
 * decides, so its bytes depend on neither the batch nor the threads. Works on the pool; allocates only before it starts. */
#include "kernels/cpu/enc.h"
#include "kernels/cpu/turn.h"

#include <math.h>
#include <string.h>

enum { TASK_ROWS = 4 /* of what goes row by row */, CHUNK = 256 /* rows of a product's task */, BLOCK = 64 /* outputs of one, at most */ };

typedef struct enc_job {
    ker_enc *e;
    const int32_t *token;
    const int *at;
    int n_text, n;                     /* n: rows                                                  */
    int layer;
    enum ker_enc_role norm, norm_b;    /* of norm_task                                             */
} enc_job;

static int run_rows(const enc_job *j, pool_fn fn) { return pool_run(j->e->pool, (j->n + TASK_ROWS - 1) / TASK_ROWS, fn, (void *)(uintptr_t)j, NULL); }
static inline int rows_end(const enc_job *j, int task) { return (task + 1) * TASK_ROWS < j->n ? (task + 1) * TASK_ROWS : j->n; }
static inline int text_of(const enc_job *j, int row)
{
    int lo = 0, hi = j->n_text;
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (j->at[mid] <= row) lo = mid; else hi = mid;
    }
    return lo;
}

static void decode_row(const mat *w, int64_t row, float *to) { ker_type_get(w->type)->decode(w->data + row * w->row_bytes, to, w->n_in); }

/* ---- what a row begins as ---- */

static void embed_task(void *arg, int task, int worker)
{
    const enc_job *j = arg;
    ker_enc *e = j->e;
    const enc_layer *l = enc_at(e, -1);
    int n = e->m.n_embd;
    for (int r = task * TASK_ROWS; r < rows_end(j, task); r++) {
        float *x = e->r.x + (int64_t)r * n, *y = e->r.y + (int64_t)r * n;
        decode_row(&l->w[KER_ENC_EMBD], j->token[r], x);
        if (e->m.n_type) {
            decode_row(&l->w[KER_ENC_TYPE], 0, y);
            e->v->add(x, y, n);
        }
        if (!e->m.rope) {
            decode_row(&l->w[KER_ENC_POS], r - j->at[text_of(j, r)], y);
            e->v->add(x, y, n);
        }
        e->v->layernorm(x, l->vec[KER_ENC_EMBD_NORM], l->vec[KER_ENC_EMBD_NORM_B], n, e->m.norm_eps, x);
        acts_put(&e->r.in, e->kinds, r, x, n);
    }
}

/* ---- products: y = W x + b, and then the curve of the feed-forward part ---- */

typedef struct enc_prod {
    const mat *w;
    const float *bias;                 /* NULL: none                                               */
    const acts *in;
    float *y;
    bool gelu;
    int block, first, n_block;         /* outputs of a task; first task; tasks a chunk of rows     */
} enc_prod;
typedef struct prod_job { ker_enc *e; enc_prod *p; int n, rows; } prod_job;

static void prod_task(void *arg, int task, int worker)
{
    const prod_job *j = arg;
    const enc_prod *p = j->p;
    while (p + 1 < j->p + j->n && p[1].first <= task) p++;
    int64_t o0 = (int64_t)((task - p->first) % p->n_block) * p->block, o1 = o0 + p->block < p->w->n_out ? o0 + p->block : p->w->n_out;
    int r0 = (task - p->first) / p->n_block * CHUNK, n = j->rows - r0 < CHUNK ? j->rows - r0 : CHUNK, kind = mat_kind(p->w);
    float *y = p->y + r0 * p->w->n_out;
    mat_mul(p->w, p->in->p[kind] + r0 * p->in->stride[kind], p->in->stride[kind], n, o0, o1, y, p->w->n_out, j->e->scratch[worker]);
    for (int r = 0; r < n && (p->bias || p->gelu); r++) {
        float *to = y + r * p->w->n_out + o0;
        if (p->bias) j->e->v->add(to, p->bias + o0, (int)(o1 - o0));
        if (p->gelu) j->e->v->gelu(to, (int)(o1 - o0));
    }
}

/* As many products as share a barrier. */
static int products(const enc_job *job, enc_prod *p, int n)
{
    prod_job j = { job->e, p, n, job->n };
    int64_t total = 0;
    int tasks = 0, chunks = (job->n + CHUNK - 1) / CHUNK;
    for (int i = 0; i < n; i++) total += p[i].w->n_out;
    int64_t block = total * chunks / (pool_threads(job->e->pool) * INT64_C(6)) & ~INT64_C(15);
    for (int i = 0; i < n; i++) {
        p[i].block = (int)(block < 16 ? 16 : block > BLOCK ? BLOCK : block);
        p[i].first = tasks;
        p[i].n_block = (int)((p[i].w->n_out + p[i].block - 1) / p[i].block);
        tasks += p[i].n_block * chunks;
    }
    return pool_run(job->e->pool, tasks, prod_task, &j, NULL);
}

static enc_prod prod_of(const enc_job *j, enum ker_enc_role w, enum ker_enc_role bias, const acts *in, float *y)
{
    const enc_layer *l = enc_at(j->e, j->layer);
    return (enc_prod){ .w = &l->w[w], .bias = l->vec[bias], .in = in, .y = y };
}

/* ---- attention: one head of one text a task ---- */

static void rotate(float *x, const float *cs, int dim)
{
    int half = dim / 2;
    for (int i = 0; i < half; i++) {
        float a = x[i], b = x[half + i];
        x[i] = a * cs[i] - b * cs[half + i];
        x[half + i] = b * cs[i] + a * cs[half + i];
    }
}

/* K by pages [dim][VEC_CELLS], scaled, and V [cell][pad]. The rows' part of this head is nobody else's. */
static void head_pack(const enc_job *j, int row0, int n, int head, float *kt, float *v)
{
    ker_enc *e = j->e;
    int embd = e->m.n_embd, dim = embd / e->m.n_head, pad = enc_pad(&e->m);
    float scale = 1 / sqrtf((float)dim);
    float *q0 = e->r.q + (int64_t)row0 * embd + (int64_t)head * dim, *k0 = e->r.k + (q0 - e->r.q), *v0 = e->r.v + (q0 - e->r.q);
    for (int r = 0; r < n && e->m.rope; r++) {
        rotate(q0 + (int64_t)r * embd, e->r.rope + (int64_t)r * dim, dim);
        rotate(k0 + (int64_t)r * embd, e->r.rope + (int64_t)r * dim, dim);
    }
    for (int r = 0; r < n; r += 4) {
        const float *k = k0 + (int64_t)r * embd;
        float *page = kt + (int64_t)(r / VEC_CELLS) * VEC_CELLS * dim + r % VEC_CELLS;
        int d = 0;
        for (; n - r >= 4 && d + 4 <= dim; d += 4) turn_four(k + d, embd, scale, page + (int64_t)d * VEC_CELLS, VEC_CELLS);
        for (; d < dim; d++)
            for (int i = 0; i < 4 && r + i < n; i++) page[(int64_t)d * VEC_CELLS + i] = k[(int64_t)i * embd + d] * scale;
    }
    for (int r = n; r % VEC_CELLS; r++)            /* the last page's cells beyond the text: numbers, whatever they are */
        for (int d = 0; d < dim; d++) kt[(int64_t)(r / VEC_CELLS) * VEC_CELLS * dim + d * VEC_CELLS + r % VEC_CELLS] = 0;
    for (int r = 0; r < n; r++) {
        memcpy(v + (int64_t)r * pad, v0 + (int64_t)r * embd, sizeof *v * (size_t)dim);
        for (int d = dim; d < pad; d++) v[(int64_t)r * pad + d] = 0;
    }
}

static void attend_task(void *arg, int task, int worker)
{
    const enc_job *j = arg;
    ker_enc *e = j->e;
    int text = task / e->m.n_head, head = task % e->m.n_head, row0 = j->at[text], n = j->at[text + 1] - row0;
    int embd = e->m.n_embd, dim = embd / e->m.n_head, pad = enc_pad(&e->m), pages = enc_pages(n);
    float *kt = (float *)(void *)(e->scratch[worker] + MAT_SCRATCH), *v = kt + (int64_t)pages * VEC_CELLS * pad;
    float *s = v + (int64_t)pages * VEC_CELLS * pad, *acc = s + ENC_QUERIES * VEC_CELLS;
    float *top = acc + (int64_t)ENC_QUERIES * pad, *sum = top + ENC_QUERIES, *shrink = sum + ENC_QUERIES;
    const float **q = (const float **)(void *)(((uintptr_t)(shrink + ENC_QUERIES) + 63) & ~(uintptr_t)63);
    float **to = (float **)(void *)(q + ENC_QUERIES);
    head_pack(j, row0, n, head, kt, v);
    for (int r = 0; r < n; r += ENC_QUERIES) {
        int n_q = n - r < ENC_QUERIES ? n - r : ENC_QUERIES;
        memset(acc, 0, sizeof *acc * (size_t)(n_q * pad));
        for (int i = 0; i < n_q; i++) {
            q[i] = e->r.q + (int64_t)(row0 + r + i) * embd + (int64_t)head * dim;
            to[i] = acc + (int64_t)i * pad;
            top[i] = -INFINITY;
            sum[i] = 0;
        }
        for (int p = 0; p < pages; p++) {
            int seen = n - p * VEC_CELLS < VEC_CELLS ? n - p * VEC_CELLS : VEC_CELLS;
            e->v->scores(kt + (int64_t)p * VEC_CELLS * dim, dim, q, n_q, s);
            e->v->softmax(s, seen, n_q, top, sum, shrink);
            e->v->values(v + (int64_t)p * VEC_CELLS * pad, pad, seen, s, shrink, to, n_q);
        }
        for (int i = 0; i < n_q; i++) {
            float *o = e->r.o + (int64_t)(row0 + r + i) * embd + (int64_t)head * dim;
            memset(o, 0, sizeof *o * (size_t)dim);
            e->v->axpy(o, 1 / sum[i], to[i], dim);
        }
    }
}

static void heads_task(void *arg, int task, int worker)
{
    const enc_job *j = arg;
    ker_enc *e = j->e;
    for (int r = task * TASK_ROWS; r < rows_end(j, task); r++) acts_put(&e->r.in, e->kinds, r, e->r.o + (int64_t)r * e->m.n_embd, e->m.n_embd);
}

/* ---- the residual and its norm; the feed-forward part's inner numbers ---- */

static void norm_task(void *arg, int task, int worker)
{
    const enc_job *j = arg;
    ker_enc *e = j->e;
    const enc_layer *l = enc_at(e, j->layer);
    int n = e->m.n_embd;
    for (int r = task * TASK_ROWS; r < rows_end(j, task); r++) {
        float *x = e->r.x + (int64_t)r * n;
        e->v->add(x, e->r.y + (int64_t)r * n, n);
        e->v->layernorm(x, l->vec[j->norm], l->vec[j->norm_b], n, e->m.norm_eps, x);
        acts_put(&e->r.in, e->kinds, r, x, n);
    }
}

static int residual(enc_job *j, enum ker_enc_role norm, enum ker_enc_role norm_b)
{
    j->norm = norm;
    j->norm_b = norm_b;
    return run_rows(j, norm_task);
}

static void inner_task(void *arg, int task, int worker)
{
    const enc_job *j = arg;
    ker_enc *e = j->e;
    int n = e->m.n_ff;
    for (int r = task * TASK_ROWS; r < rows_end(j, task); r++) {
        float *h = e->r.h + (int64_t)r * n;
        if (e->m.gated) e->v->glu[KER_GLU_SILU](e->r.gate + (int64_t)r * n, h, h, n);
        acts_put(&e->r.h_act, e->h_kinds, r, h, n);
    }
}

static int layer_run(enc_job *j)
{
    const enc_rows *r = &j->e->r;
    const ker_enc_model *m = &j->e->m;
    enc_prod qkv[] = { prod_of(j, KER_ENC_Q, KER_ENC_BQ, &r->in, r->q), prod_of(j, KER_ENC_K, KER_ENC_BK, &r->in, r->k),
                       prod_of(j, KER_ENC_V, KER_ENC_BV, &r->in, r->v) };
    enc_prod out = prod_of(j, KER_ENC_O, KER_ENC_BO, &r->in, r->y), down = prod_of(j, KER_ENC_DOWN, KER_ENC_BDOWN, &r->h_act, r->y);
    enc_prod up[] = { prod_of(j, KER_ENC_UP, KER_ENC_BUP, &r->in, r->h), prod_of(j, KER_ENC_GATE, KER_ENC_ROLES, &r->in, r->gate) };
    up[0].gelu = !m->gated;
    int rc = products(j, qkv, 3);
    if (!rc) rc = pool_run(j->e->pool, j->n_text * m->n_head, attend_task, j, NULL);
    if (!rc) rc = run_rows(j, heads_task);
    if (!rc) rc = products(j, &out, 1);
    if (!rc) rc = residual(j, KER_ENC_ATTN_NORM, KER_ENC_ATTN_NORM_B);
    if (!rc) rc = products(j, up, m->gated ? 2 : 1);
    if (!rc) rc = run_rows(j, inner_task);
    if (!rc) rc = products(j, &down, 1);
    return rc ? rc : residual(j, KER_ENC_FFN_NORM, KER_ENC_FFN_NORM_B);
}

static int check(const ker_enc *e, const int32_t *token, const int *at, int n_text, int *longest, char *err)
{
    enum { MOST = 1 << 20 };
    *longest = 0;
    if (!e->is_ready || n_text < 1 || at[0] != 0) return q_fail(err, Q_RANGE, _("this encoder is not ready for a batch"));
    for (int t = 0; t < n_text; t++) {
        int n = at[t + 1] - at[t];
        if (n < 1 || n > e->m.n_pos || at[t + 1] > MOST)
            return q_fail(err, Q_RANGE, _("a text of %d tokens: this encoder takes 1 to %d at once"), n, e->m.n_pos);
        *longest = n > *longest ? n : *longest;
    }
    for (int i = 0; i < at[n_text]; i++)
        if (token[i] < 0 || token[i] >= e->m.n_vocab) return q_fail(err, Q_RANGE, _("token %d is outside the encoder's vocabulary of %d"), token[i], e->m.n_vocab);
    return Q_OK;
}

int ker_enc_run(ker_enc *e, const int32_t *token, const int *at, int n_text, bool (*go)(void *user), void *user, const float **hidden, char *err)
{
    int longest, rc = check(e, token, at, n_text, &longest, err);
    if (rc) return rc;
    enc_job j = { .e = e, .token = token, .at = at, .n_text = n_text, .n = at[n_text] };
    if ((rc = enc_room(e, j.n, longest, err))) return rc;
    rc = run_rows(&j, embed_task);
    for (j.layer = 0; j.layer < e->m.n_layer && !rc; j.layer++) rc = go && !go(user) ? Q_CANCEL : layer_run(&j);
    if (rc) return q_fail(err, rc, _("the encoder was stopped"));
    if (!e->v->finite(e->r.x, (int64_t)j.n * e->m.n_embd))
        return q_fail(err, Q_ERR, _("the encoder's numbers are not finite: the file is damaged, get another copy"));
    *hidden = e->r.x;
    return Q_OK;
}
