/* train/pass: room for a pass, what is kept of it, and the small things that rows are made of. See pass.h. */
#include "train/pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- room ---- */

/* Which examples share a pass hangs on whether they fit, and may not hang on how many threads there are: so many are counted. */
enum { WORKERS = 16 };

int pass_open(pass *p, frozen *f, const ker_config *c, int lowest, char *err)
{
    *p = (pass){ .f = f, .c = c, .lowest = lowest, .max_k = 1 };
    for (int l = 0; l < f->m->n_layer; l++) p->max_k = c->k[l] > p->max_k ? c->k[l] : p->max_k;
    return Q_OK;
}

static void drop(pass *p)
{
    for (int i = 0; i < p->own.n; i++) free(p->own.at[i]);
    free(p->own.at);
    free(p->kept), free(p->between);
    *p = (pass){ .f = p->f, .c = p->c, .lowest = p->lowest, .max_k = p->max_k };
}

void pass_close(pass *p) { drop(p); }

typedef struct room { void *at /* a pointer's place */; uint64_t bytes; } room;

/* The arrays of a pass of so many rows, without the inputs that are kept; how many. */
static int arrays(pass *p, int64_t n, int64_t longest, int texts, room out[64])
{
    const ker_model *m = p->f->m;
    int64_t E = m->n_embd, qd = (int64_t)m->n_head * m->head_dim, kd = (int64_t)m->n_kv_head * m->head_dim, ff = m->n_ff_sh;
    bool moe = false, norms = false;
    for (int l = 0; l < m->n_layer; l++) {
        ff = m->layer[l].n_ff > ff ? m->layer[l].n_ff : ff;
        moe |= m->layer[l].moe;
        norms |= frozen_vec(p->f, l, KER_W_Q_NORM) || frozen_vec(p->f, l, KER_W_K_NORM);
    }
    int64_t pieces = (m->n_vocab + HEAD_PIECE - 1) / HEAD_PIECE;
    int64_t X = moe ? m->n_expert : 0, pairs = moe ? n * p->max_k : 0, F = sizeof(float), I = sizeof(int);
    const struct { void *at; int64_t bytes; } all[] = {
        { &p->at, (texts + 1) * I }, { &p->token, n * I }, { &p->pos, n * I }, { &p->x, n * E * F }, { &p->d, n * E * F }, { &p->mid, n * E * F }, { &p->dmid, n * E * F },
        { &p->dn, n * E * F }, { &p->cs, longest * KER_ROPE_SETS * m->rope_dim * F },
        { &p->a.in, n * E * F }, { &p->a.q_raw, norms ? n * qd * F : 0 }, { &p->a.k_raw, norms ? n * kd * F : 0 }, { &p->a.q, n * qd * F }, { &p->a.k, n * kd * F },
        { &p->a.v, n * kd * F }, { &p->a.o, n * qd * F }, { &p->a.top, n * m->n_head * F }, { &p->a.out, n * E * F }, { &p->a.dq, n * qd * F }, { &p->a.dk, n * kd * F },
        { &p->a.dv, n * kd * F }, { &p->a.dout, n * qd * F },
        { &p->s.in, n * E * F }, { &p->s.gate, n * ff * F }, { &p->s.up, n * ff * F }, { &p->s.h, n * ff * F }, { &p->s.dh, n * ff * F }, { &p->s.out, n * E * F },
        { &p->s.tmp, n * E * F }, { &p->s.coef, n * F },
        { &p->r.score, n * X * F }, { &p->r.gates, n * X * F }, { &p->r.ids, pairs * 2 }, { &p->r.weights, pairs * F }, { &p->r.dweights, pairs * F },
        { &p->r.chosen, moe ? n * (int64_t)sizeof(ker_chosen) : 0 }, { &p->r.off, (X + 1) * I }, { &p->r.row, pairs * I }, { &p->r.slot, pairs * I }, { &p->r.pair, pairs * I },
        { &p->r.active, X * I }, { &p->r.in, pairs * E * F }, { &p->r.gate, pairs * m->n_ff_exp * F }, { &p->r.up, pairs * m->n_ff_exp * F },
        { &p->h.in, n * E * F }, { &p->h.din, n * E * F }, { &p->h.top, pieces * n * F }, { &p->h.sum, pieces * n * F }, { &p->h.own, n * F }, { &p->h.log_sum, n * F },
        { &p->h.dl, n * HEAD_PANEL * F }, { &p->r.h, pairs * m->n_ff_exp * F }, { &p->r.dh, pairs * m->n_ff_exp * F }, { &p->r.out, pairs * E * F },
    };
    int count = (int)(sizeof all / sizeof *all);
    for (int i = 0; i < count; i++) out[i] = (room){ all[i].at, (uint64_t)all[i].bytes };
    return count;
}

static void *take(pass *p, uint64_t bytes)
{
    void *v = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (v) p->own.at[p->own.n++] = v, p->own.bytes += bytes;
    return v;
}

/* How many inputs are kept where every stride-th is. */
static int kept(int layers, int stride) { return (layers + stride - 1) / stride + stride - 1; }

static int no_room(int64_t longest, uint64_t need, uint64_t most, char *err)
{
    char a[32], b[32];
    return q_fail(err, Q_NOMEM, _("a text of %lld tokens takes %s of memory to train on, and %s are allowed: shorten the examples, or allow more"), (long long)longest,
                  q_bytes_brief(need, a), q_bytes_brief(most, b));
}

/* Floats of a worker's own, behind what products take. */
static int64_t scratch_of(const pass *p, int64_t rows, int64_t longest)
{
    int64_t scratch = pass_attend_floats(p, longest), others[] = { ker_choose_floats(p->f->m), rows * FRO_TILE };
    for (int i = 0; i < 2; i++) scratch = others[i] > scratch ? others[i] : scratch;
    return scratch;
}

uint64_t pass_beside(const pass *p, int64_t rows, int64_t longest) { return frozen_bytes(p->f, rows, scratch_of(p, rows, longest), WORKERS); }

/* Bytes of such a pass with what is beside it, and the smallest stride with which they are no more than `most`, where there is one. */
static uint64_t need_of(pass *p, int64_t rows, int64_t longest, int texts, uint64_t most, room all[64], int *n, int *stride)
{
    int layers = p->f->m->n_layer - p->lowest;
    uint64_t input = (uint64_t)rows * (uint64_t)p->f->m->n_embd * sizeof(float), need = pass_beside(p, rows, longest);
    *n = arrays(p, rows, longest, texts, all);
    for (int i = 0; i < *n; i++) need += all[i].bytes;
    for (*stride = 1; *stride < layers && need + input * (uint64_t)kept(layers, *stride) > most && kept(layers, *stride + 1) < kept(layers, *stride);) ++*stride;
    return need + input * (uint64_t)kept(layers, *stride);
}

uint64_t pass_need(pass *p, int64_t rows, int64_t longest, int texts, uint64_t most)
{
    room all[64];
    int n, stride;
    uint64_t need = need_of(p, rows, longest, texts, most, all, &n, &stride), counted = pass_beside(p, rows, longest);
    return need - counted + frozen_bytes(p->f, rows, scratch_of(p, rows, longest), team_threads(p->f->team));
}

/* Whether there is room hangs on this pass alone, not on those before it: what goes through together is the same in a run that was gone on with. */
int pass_room(pass *p, int64_t rows, int64_t longest, int texts, uint64_t most, char *err)
{
    room all[64];
    int layers = p->f->m->n_layer - p->lowest, stride, n;
    if (rows <= p->size.rows && longest <= p->size.longest && texts <= p->size.texts) return Q_OK;
    uint64_t need = need_of(p, rows, longest, texts, most, all, &n, &stride);
    if (need > most) return no_room(longest, need, most, err);
    int64_t rows_too = rows > p->size.rows ? rows : p->size.rows, longest_too = longest > p->size.longest ? longest : p->size.longest;
    int texts_too = texts > p->size.texts ? texts : p->size.texts;
    if (need_of(p, rows_too, longest_too, texts_too, most, all, &n, &stride) <= most) rows = rows_too, longest = longest_too, texts = texts_too;
    drop(p);
    need = need_of(p, rows, longest, texts, most, all, &n, &stride);
    uint64_t input = (uint64_t)rows * (uint64_t)p->f->m->n_embd * sizeof(float);
    p->own.at = q_alloc(sizeof *p->own.at * (size_t)(n + kept(layers, stride) + 1));
    p->kept = q_alloc(sizeof *p->kept * (size_t)(layers + 1));
    p->between = q_alloc(sizeof *p->between * (size_t)stride);
    bool there = true;
    for (int i = 0; i < n && there; i++) {
        void *v = take(p, all[i].bytes);
        memcpy(all[i].at, &v, sizeof v);
        there = v != NULL;
    }
    p->n_kept = (layers + stride - 1) / stride;
    for (int i = 0; i < p->n_kept && there; i++) there = (p->kept[i] = take(p, input)) != NULL;
    for (int i = 1; i < stride && there; i++) there = (p->between[i] = take(p, input)) != NULL;
    if (!there || frozen_room(p->f, rows, scratch_of(p, rows, longest))) {
        drop(p);
        return no_room(longest, need, q_mem_available(), err);
    }
    p->size.rows = rows, p->size.longest = longest, p->size.texts = texts, p->size.stride = stride;
    return Q_OK;
}

/* ---- the batch ---- */

void pass_begin(pass *p, const int32_t *const *token, const int *n, int n_text)
{
    const ker_model *m = p->f->m;
    int longest = 0, half = m->rope_dim / 2;
    p->n_text = n_text;
    p->n = 0;
    for (int t = 0; t < n_text; t++) {
        p->at[t] = p->n;
        longest = n[t] > longest ? n[t] : longest;
        for (int i = 0; i < n[t]; i++, p->n++) {
            p->token[p->n] = token[t][i];
            p->pos[p->n] = i;
        }
    }
    p->at[n_text] = p->n;
    for (int i = 0; i < longest; i++)
        for (int set = 0; set < KER_ROPE_SETS; set++) {
            const float *freq = set ? p->c->rope_local : p->c->rope_freq;
            float *cs = p->cs + ((int64_t)i * KER_ROPE_SETS + set) * m->rope_dim, scale = set ? p->c->rope_local_mscale : p->c->rope_mscale;
            for (int j = 0; j < half && freq; j++) {
                float a = (float)i * freq[j];
                cs[j] = cosf(a) * scale;
                cs[half + j] = sinf(a) * scale;
            }
        }
}

typedef struct each { pass *p; pass_rows_fn fn; void *arg; } each;
enum { EACH = 16 };

static void each_task(void *arg, int task, int worker)
{
    each *e = arg;
    int r0 = task * EACH;
    e->fn(e->p, r0, r0 + EACH < e->p->n ? r0 + EACH : e->p->n, e->arg);
}

int pass_each(pass *p, pass_rows_fn fn, void *arg)
{
    each e = { p, fn, arg };
    return team_run(p->f->team, (p->n + EACH - 1) / EACH, each_task, &e, p->f->stop);
}

/* ---- of rows ---- */

static float root(const float *x, int n, float eps)
{
    float s = 0;
    for (int i = 0; i < n; i++) s += x[i] * x[i];
    return 1 / sqrtf(s / (float)n + eps);
}

void pass_norm(const float *x, const float *w, int n, float eps, float *y)
{
    float r = root(x, n, eps);
    for (int i = 0; i < n; i++) y[i] = x[i] * r * w[i];
}

void pass_norm_back(const float *x, const float *w, int n, float eps, const float *dy, float *dx)
{
    float r = root(x, n, eps), s = 0;
    for (int i = 0; i < n; i++) s += dy[i] * w[i] * x[i];
    s *= r * r * r / (float)n;
    for (int i = 0; i < n; i++) dx[i] += dy[i] * w[i] * r - s * x[i];
}

static const float PI_ROOT = 0.79788456080286536f, CUBE = 0.044715f;   /* sqrt(2 / pi) */

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }
static float clamped(float x) { return x > 7 ? 7 : x < -7 ? -7 : x; }

void pass_glu(enum ker_glu kind, const float *gate, const float *up, float *h, int n)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i], u = up[i];
        if (kind == KER_GLU_SILU) h[i] = g * sigmoid(g) * u;
        else if (kind == KER_GLU_GELU) h[i] = .5f * g * (1 + tanhf(PI_ROOT * (g + CUBE * g * g * g))) * u;
        else {
            float x = g > 7 ? 7 : g;
            h[i] = x * sigmoid(1.702f * x) * (clamped(u) + 1);
        }
    }
}

void pass_glu_back(enum ker_glu kind, float *gate, float *up, const float *dh, int n)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i], u = up[i], d = dh[i];
        if (kind == KER_GLU_SILU) {
            float s = sigmoid(g);
            gate[i] = d * u * (s + g * s * (1 - s));
            up[i] = d * g * s;
        } else if (kind == KER_GLU_GELU) {
            float t = tanhf(PI_ROOT * (g + CUBE * g * g * g));
            gate[i] = d * u * (.5f * (1 + t) + .5f * g * (1 - t * t) * PI_ROOT * (1 + 3 * CUBE * g * g));
            up[i] = d * .5f * g * (1 + t);
        } else {
            float x = g > 7 ? 7 : g, s = sigmoid(1.702f * x);
            gate[i] = g > 7 ? 0 : d * (clamped(u) + 1) * (s + 1.702f * x * s * (1 - s));
            up[i] = u > 7 || u < -7 ? 0 : d * x * s;
        }
    }
}

/* Of the largest the first stay, as the engine has it. */
void pass_narrow(float *h, int n, int32_t width)
{
    if (width == 0 || width >= n || -width >= n) return;
    if (width > 0) {
        memset(h + width, 0, sizeof *h * (size_t)(n - width));
        return;
    }
    float *size = q_alloc(sizeof *size * (size_t)n);
    double *sorted = q_alloc(sizeof *sorted * (size_t)n);
    for (int i = 0; i < n; i++) sorted[i] = size[i] = fabsf(h[i]);
    qsort(sorted, (size_t)n, sizeof *sorted, q_by_number);
    float edge = (float)sorted[n + width];
    int equals = -width;
    for (int i = 0; i < n; i++) equals -= size[i] > edge;
    for (int i = 0; i < n; i++)
        if (size[i] < edge || (size[i] == edge && --equals < 0)) h[i] = 0;
    free(size), free(sorted);
}

bool pass_taught(const pass *p, int layer, enum ker_role a, enum ker_role b, enum ker_role c, int e)
{
    if (p->f->plain) return false;
    return lows_at(p->f->low, layer, a, e).rank || lows_at(p->f->low, layer, b, e).rank || lows_at(p->f->low, layer, c, e).rank;
}
