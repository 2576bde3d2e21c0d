/* train/frozen: see frozen.h. */
#include "train/frozen.h"

#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

static bool is_vector(const ker_role_row *r) { return r->vec || (r->ne[1] == KER_DIM_ONE && r->ne[2] == KER_DIM_ONE); }

/* One role of a layer: a vector is kept, of a matrix one row is tried. */
static int take(frozen *f, int layer, enum ker_role role, char *err)
{
    const ker_role_row *r = ker_role_get(role);
    int64_t ne[3];
    ker_role_shape(f->m, layer, role, ne);
    int64_t n = is_vector(r) ? ne[0] * ne[1] : ne[0];
    float *v = malloc(sizeof *v * (size_t)n);
    if (!v) return q_fail(err, Q_NOMEM, _("there is no memory for the model's vectors: close something and try again"));
    char why[Q_ERRLEN];                                        /* not in err: what a model need not have is no failure */
    int rc = eng_model_rows(f->model, layer, role, 0, 0, is_vector(r) ? ne[1] : 1, v, why);
    if (rc == Q_NOTFOUND && !r->must) {
        free(v);
        f->tied |= role == KER_W_OUT;
        return Q_OK;
    }
    if (rc || !is_vector(r)) {
        free(v);
        return rc ? q_fail(err, rc, "%s", why) : Q_OK;
    }
    f->vec[(layer + 1) * KER_W_ROLES + (int)role] = v;
    f->bytes += sizeof *v * (uint64_t)n;
    return Q_OK;
}

int frozen_open(frozen *f, const eng_model *model, lows *low, team *threads, const team_stop *stop, char *err)
{
    *f = (frozen){ .model = model, .m = eng_model_arithmetic(model), .gem = gem_get(), .team = threads, .stop = stop, .low = low };
    int rc = Q_OK;
    f->vec = q_alloc(sizeof *f->vec * (size_t)(f->m->n_layer + 1) * KER_W_ROLES);
    f->work = q_alloc(sizeof *f->work * (size_t)team_threads(threads));
    for (int layer = -1; layer < f->m->n_layer && !rc; layer++)
        for (int role = 0; role < KER_W_ROLES && !rc; role++)
            if (ker_role_here(f->m, layer, (enum ker_role)role) && ker_role_get((enum ker_role)role)->where != KER_IN_NEXT) rc = take(f, layer, (enum ker_role)role, err);
    f->vec_bytes = f->bytes;
    if (rc) frozen_close(f);
    return rc;
}

void frozen_close(frozen *f)
{
    for (int i = 0; f->vec && i < (f->m->n_layer + 1) * KER_W_ROLES; i++) free(f->vec[i]);
    for (int i = 0; f->work && i < team_threads(f->team); i++) free(f->work[i]);
    free(f->vec), free(f->work), free(f->panel), free(f->low_x);
    *f = (frozen){ 0 };
}

const float *frozen_vec(const frozen *f, int layer, enum ker_role role) { return f->vec[(layer + 1) * KER_W_ROLES + (int)role]; }

product frozen_product(const frozen *f, int layer, enum ker_role role, int e)
{
    int64_t ne[3];
    if (role == KER_W_OUT && f->tied) role = KER_W_EMBD;
    ker_role_shape(f->m, layer, role, ne);
    return (product){ layer, role, e, ne[0], ne[1] };
}

/* The widest row of any matrix that products are taken with. */
static int64_t widest(const ker_model *m)
{
    int64_t w = m->n_embd, all[] = { (int64_t)m->n_head * m->head_dim, m->n_ff_exp, m->n_ff_sh };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) w = all[i] > w ? all[i] : w;
    for (int l = 0; l < m->n_layer; l++) w = m->layer[l].n_ff > w ? m->layer[l].n_ff : w;
    return (w + 15) / 16 * 16;
}

/* Raw rows and their panels; A or B packed; what a gradient's sums take; A x of all rows, at the end. */
int64_t frozen_own(const frozen *f, int64_t rows)
{
    int64_t w = widest(f->m), r = (f->low->rank + 15) / 16 * 16;
    return 2 * FRO_TILE * w + r * w + FRO_ROWS * FRO_COLS + r * (FRO_ROWS + FRO_COLS) + rows * r + 64;
}

static int grow(float **p, int64_t *have, int64_t want, uint64_t *bytes)
{
    if (*have >= want) return Q_OK;
    free(*p);
    *p = aligned_alloc(64, (sizeof(float) * (size_t)want + 63) / 64 * 64);
    *bytes += sizeof(float) * (uint64_t)((*p ? want : 0) - *have);
    *have = *p ? want : 0;
    return *p ? Q_OK : Q_NOMEM;
}

enum { PANEL = 1 << 20 };              /* floats of a matrix that the team holds at once */

static int64_t panel_of(const frozen *f) { return PANEL > FRO_TILE * widest(f->m) ? PANEL : FRO_TILE * widest(f->m); }

uint64_t frozen_bytes(const frozen *f, int64_t rows, int64_t scratch, int workers)
{
    int64_t r = (f->low->rank + 15) / 16 * 16;
    return f->vec_bytes + sizeof(float) * (uint64_t)(panel_of(f) + rows * r + workers * (frozen_own(f, rows) + scratch));
}

int frozen_room(frozen *f, int64_t rows, int64_t scratch)
{
    int64_t r = (f->low->rank + 15) / 16 * 16, rest = f->rows * r, had = f->work_floats;
    int rc = grow(&f->panel, &f->panel_floats, panel_of(f), &f->bytes);
    if (!rc && rows > f->rows) {
        rc = grow(&f->low_x, &rest, rows * r, &f->bytes);
        f->rows = rc ? 0 : rows;
    }
    int64_t want = frozen_own(f, rows) + scratch;
    if (!rc && want > had) {
        f->work_floats = 0;
        for (int i = 0; i < team_threads(f->team) && !rc; i++) {
            int64_t have = f->work[i] ? had : 0;
            rc = grow(&f->work[i], &have, want, &f->bytes);
        }
        if (!rc) f->work_floats = want;
    }
    return rc;
}

void frozen_rows(frozen *f, product p, int64_t o, int64_t n, float *raw)
{
    char err[Q_ERRLEN];
    int rc = eng_model_rows(f->model, p.layer, p.role, p.e, o, n, raw, err);
    if (!rc) return;
    memset(raw, 0, sizeof *raw * (size_t)(n * p.n_in));
    atomic_store(&f->broken, rc);
}

static low_at low_of(const frozen *f, product p) { return f->plain || p.layer < 0 ? (low_at){ .rank = 0 } : lows_at(f->low, p.layer, p.role, p.e); }

/* ---- pieces that both forms are made of ---- */

/* y[rows][at .. at + n) = x W^T for W's rows [o, o + n), n <= FRO_TILE. */
static void tile_mul(frozen *f, float *work, product p, const float *x, int64_t rows, int64_t o, int n, float *y)
{
    float *raw = work, *packed = work + FRO_TILE * p.n_in;
    frozen_rows(f, p, o, n, raw);
    gem_pack_turned(raw, p.n_in, n, (int)p.n_in, p.n_in, 0, packed);
    f->gem->mul(x, p.n_in, (int)rows, (int)p.n_in, packed, p.n_in, n, y + o, p.n_out, false);
}

/* ax[rows][rank] = scale x A^T. */
static void low_into(const frozen *f, float *work, const low_at *l, product p, const float *x, int64_t rows, float *ax)
{
    gem_pack_turned(l->a, p.n_in, l->rank, (int)p.n_in, p.n_in, 0, work);
    f->gem->mul(x, p.n_in, (int)rows, (int)p.n_in, work, p.n_in, l->rank, ax, l->rank, false);
    for (int64_t i = 0; i < rows * l->rank; i++) ax[i] *= l->scale;
}

/* y[rows][o .. o + n) += ax B^T. */
static void low_out(const frozen *f, float *work, const low_at *l, product p, const float *ax, int64_t rows, int64_t o, int n, float *y)
{
    gem_pack_turned(l->b + o * l->rank, l->rank, n, l->rank, l->rank, 0, work);
    f->gem->mul(ax, l->rank, (int)rows, l->rank, work, l->rank, n, y + o, p.n_out, true);
}

/* du[rows][rank] = scale dy B; then dx += du A. */
static void low_back(const frozen *f, float *work, const low_at *l, product p, const float *dy, int64_t rows, float *du, float *dx)
{
    gem_pack(l->b, l->rank, (int)p.n_out, l->rank, p.n_out, 0, work);
    f->gem->mul(dy, p.n_out, (int)rows, (int)p.n_out, work, p.n_out, l->rank, du, l->rank, false);
    for (int64_t i = 0; i < rows * l->rank; i++) du[i] *= l->scale;
    if (!dx) return;
    gem_pack(l->a, p.n_in, l->rank, (int)p.n_in, l->rank, 0, work);
    f->gem->mul(du, l->rank, (int)rows, l->rank, work, l->rank, (int)p.n_in, dx, p.n_in, true);
}

/* g[rank][width] += u[rows][rank]^T z[rows][at .. at + n), n <= FRO_COLS; or turned, g[width][rank]. */
static void low_gradient(const frozen *f, float *work, const float *u, int rank, const float *z, int64_t width, int64_t rows, int64_t at, int n, float *g, bool turned)
{
    float *ut = work, *packed = ut + (int64_t)rank * FRO_ROWS, *sum = packed + FRO_ROWS * FRO_COLS;
    for (int64_t r = 0; r < rows; r += FRO_ROWS) {
        int k = (int)(rows - r < FRO_ROWS ? rows - r : FRO_ROWS);
        for (int x = 0; x < k; x++)
            for (int i = 0; i < rank; i++) ut[i * FRO_ROWS + x] = u[(r + x) * rank + i];
        gem_pack(z + r * width + at, width, k, n, FRO_ROWS, 0, packed);
        f->gem->mul(ut, FRO_ROWS, rank, k, packed, FRO_ROWS, n, sum, FRO_COLS, r > 0);
    }
    for (int i = 0; i < rank; i++)
        for (int j = 0; j < n; j++) {
            float *to = turned ? g + (at + j) * rank + i : g + i * width + at + j;
            *to += sum[i * FRO_COLS + j];
        }
}

/* ---- one worker's ---- */

void own_mul(frozen *f, int worker, product p, const float *x, int64_t n, float *y)
{
    float *work = frozen_work(f, worker);
    low_at l = low_of(f, p);
    for (int64_t o = 0; o < p.n_out; o += FRO_TILE) tile_mul(f, work, p, x, n, o, (int)(p.n_out - o < FRO_TILE ? p.n_out - o : FRO_TILE), y);
    if (!l.rank) return;
    float *ax = work + frozen_own(f, n) - n * l.rank;
    low_into(f, work, &l, p, x, n, ax);
    for (int64_t o = 0; o < p.n_out; o += FRO_COLS) low_out(f, work, &l, p, ax, n, o, (int)(p.n_out - o < FRO_COLS ? p.n_out - o : FRO_COLS), y);
}

void own_back(frozen *f, int worker, product p, const float *x, const float *dy, int64_t n, float *dx)
{
    float *work = frozen_work(f, worker), *packed = work + FRO_TILE * p.n_in;
    low_at l = low_of(f, p);
    for (int64_t o = 0; dx && o < p.n_out; o += FRO_TILE) {
        int k = (int)(p.n_out - o < FRO_TILE ? p.n_out - o : FRO_TILE);
        frozen_rows(f, p, o, k, work);
        gem_pack(work, p.n_in, k, (int)p.n_in, FRO_TILE, 0, packed);
        f->gem->mul(dy + o, p.n_out, (int)n, k, packed, FRO_TILE, (int)p.n_in, dx, p.n_in, true);
    }
    if (!l.rank) return;
    float *u = work + frozen_own(f, n) - n * l.rank;
    low_into(f, work, &l, p, x, n, u);
    for (int64_t o = 0; o < p.n_out; o += FRO_COLS) low_gradient(f, work, u, l.rank, dy, p.n_out, n, o, (int)(p.n_out - o < FRO_COLS ? p.n_out - o : FRO_COLS), l.gb, true);
    low_back(f, work, &l, p, dy, n, u, dx);
    for (int64_t i = 0; i < p.n_in; i += FRO_COLS) low_gradient(f, work, u, l.rank, x, p.n_in, n, i, (int)(p.n_in - i < FRO_COLS ? p.n_in - i : FRO_COLS), l.ga, false);
}

/* ---- the team's ---- */

typedef struct share {
    frozen *f;
    product p;
    low_at l;
    const float *x, *dy;
    float *y, *dx;
    int64_t n;                         /* rows */
    int64_t o, k;                      /* of the panel: rows [o, o + k) of the matrix */
    int blocks;                        /* of columns */
} share;

static int parts(int64_t n, int64_t per) { return (int)((n + per - 1) / per); }
static int part(int64_t n, int64_t at, int64_t per) { return (int)(n - at < per ? n - at : per); }

static void into_task(void *arg, int task, int worker)
{
    share *s = arg;
    int64_t r = (int64_t)task * FRO_ROWS;
    low_into(s->f, frozen_work(s->f, worker), &s->l, s->p, s->x + r * s->p.n_in, part(s->n, r, FRO_ROWS), s->f->low_x + r * s->l.rank);
}

static void mul_task(void *arg, int task, int worker)
{
    share *s = arg;
    int64_t o = (int64_t)task * FRO_TILE;
    int n = part(s->p.n_out, o, FRO_TILE);
    tile_mul(s->f, frozen_work(s->f, worker), s->p, s->x, s->n, o, n, s->y);
    if (s->l.rank) low_out(s->f, frozen_work(s->f, worker), &s->l, s->p, s->f->low_x, s->n, o, n, s->y);
}

int frozen_mul(frozen *f, product p, const float *x, int64_t n, float *y)
{
    share s = { .f = f, .p = p, .l = low_of(f, p), .x = x, .y = y, .n = n };
    int rc = s.l.rank ? team_run(f->team, parts(n, FRO_ROWS), into_task, &s, f->stop) : Q_OK;
    return rc ? rc : team_run(f->team, parts(p.n_out, FRO_TILE), mul_task, &s, f->stop);
}

enum { PACK_ROWS = 16 };

static void panel_task(void *arg, int task, int worker)
{
    share *s = arg;
    int64_t at = (int64_t)task * PACK_ROWS;
    int k = part(s->k, at, PACK_ROWS);
    float *raw = frozen_work(s->f, worker);
    frozen_rows(s->f, s->p, s->o + at, k, raw);
    gem_pack(raw, s->p.n_in, k, (int)s->p.n_in, s->k, (int)at, s->f->panel);
}

static void back_task(void *arg, int task, int worker)
{
    share *s = arg;
    int64_t r = (int64_t)(task / s->blocks) * FRO_ROWS, c = (int64_t)(task % s->blocks) * FRO_COLS;
    s->f->gem->mul(s->dy + r * s->p.n_out + s->o, s->p.n_out, part(s->n, r, FRO_ROWS), (int)s->k, s->f->panel + c * s->k, s->k,
                   part(s->p.n_in, c, FRO_COLS), s->dx + r * s->p.n_in + c, s->p.n_in, true);
}

static void low_back_task(void *arg, int task, int worker)
{
    share *s = arg;
    int64_t r = (int64_t)task * FRO_ROWS;
    low_back(s->f, frozen_work(s->f, worker), &s->l, s->p, s->dy + r * s->p.n_out, part(s->n, r, FRO_ROWS), s->f->low_x + r * s->l.rank,
             s->dx ? s->dx + r * s->p.n_in : NULL);
}

static void gb_task(void *arg, int task, int worker)
{
    share *s = arg;
    int64_t o = (int64_t)task * FRO_COLS;
    low_gradient(s->f, frozen_work(s->f, worker), s->f->low_x, s->l.rank, s->dy, s->p.n_out, s->n, o, part(s->p.n_out, o, FRO_COLS), s->l.gb, true);
}

static void ga_task(void *arg, int task, int worker)
{
    share *s = arg;
    int64_t i = (int64_t)task * FRO_COLS;
    low_gradient(s->f, frozen_work(s->f, worker), s->f->low_x, s->l.rank, s->x, s->p.n_in, s->n, i, part(s->p.n_in, i, FRO_COLS), s->l.ga, false);
}

int frozen_back(frozen *f, product p, const float *x, const float *dy, int64_t n, float *dx)
{
    share s = { .f = f, .p = p, .l = low_of(f, p), .x = x, .dy = dy, .dx = dx, .n = n, .blocks = parts(p.n_in, FRO_COLS) };
    int64_t most = f->panel_floats / ((p.n_in + 15) / 16 * 16) / PACK_ROWS * PACK_ROWS;
    int rc = Q_OK;
    for (; dx && s.o < p.n_out && !rc; s.o += s.k) {
        s.k = part(p.n_out, s.o, most);
        rc = team_run(f->team, parts(s.k, PACK_ROWS), panel_task, &s, f->stop);
        if (!rc) rc = team_run(f->team, parts(n, FRO_ROWS) * s.blocks, back_task, &s, f->stop);
    }
    if (rc || !s.l.rank) return rc;
    rc = team_run(f->team, parts(n, FRO_ROWS), into_task, &s, f->stop);
    if (!rc) rc = team_run(f->team, parts(p.n_out, FRO_COLS), gb_task, &s, f->stop);
    if (!rc) rc = team_run(f->team, parts(n, FRO_ROWS), low_back_task, &s, f->stop);
    return rc ? rc : team_run(f->team, parts(p.n_in, FRO_COLS), ga_task, &s, f->stop);
}
