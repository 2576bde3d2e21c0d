/* kernels/cuda/ways: which products cuBLAS does on a device (blas.cu): the table as it was handed over, and both ways
 * measured on random weights, type by type: dense ones for each class of shapes and of rows, a layer of routed experts for each
 * class of rows. See ker_backend's ways_put. */
#include "kernels/cuda/tiles.cuh"

#include <stdlib.h>
#include <string.h>

enum { DEVICES = 16, REPEATS = 5, LAUNCHES = 4 };

static ker_ways table[DEVICES];

void cu_ways_put(int index, const ker_ways *ways)
{
    if (index < 0 || index >= DEVICES) return;
    memset(&table[index], 0, sizeof table[index]);
    for (int t = 0; ways && t < KER_TYPE_LIMIT; t++)
        if (cu_blas_type(t)) table[index].library[t] = (uint16_t)(ways->library[t] & ((1u << KER_WAY_BITS) - 1));
}

void cu_ways_of(int index, ker_ways *to)
{
    memset(to, 0, sizeof *to);
    if (index >= 0 && index < DEVICES) *to = table[index];
}

/* ---- measured ---- */

/* Bytes of any value, with even ones at the places of a half's exponent so small that no number is out of range. */
static __global__ void __launch_bounds__(256) random_bytes(uint16_t *to, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    unsigned v = (unsigned)i * 2654435761u;
    v ^= v >> 15;
    v *= 2246822519u;
    v ^= v >> 13;
    if (i < n) to[i] = (uint16_t)(v & 0xafffu);
}

/* What is measured with: sizes, the largest of each, and room for them. */
typedef struct sizes { int n_in, n_out, rows, experts, k, n_ff, repeats, launches; } sizes;
static const sizes LARGE = { 2048, 16384, 512, 32, 8, 768, REPEATS, LAUNCHES }, SMALL = { 256, 64, 64, 4, 2, 256, 1, 1 };

typedef struct measure {
    ker_ctx *c;
    const sizes *of;
    uint8_t *weights;
    float *x, *y;
    cu_acts acts;
    cu_layer layer[2];             /* routed experts are those of layer 0, ...               */
    ker_layer kind;                /* ... which is a plain one                               */
} measure;

/* The part-th of three pieces of the room holds it. */
static cu_mat matrix(const measure *m, int type, int n_in, int n_out, int n_mat, int part)
{
    const cu_planes *pl = cu_planes_of(type);
    const ker_type *t = ker_type_get(type);
    int64_t blocks = (int64_t)(n_in / t->block) * n_out * n_mat, at = part * ((blocks * t->block * 2 + CU_PLANES * 256) & ~(int64_t)255);
    cu_mat w;
    memset(&w, 0, sizeof w);
    w.type = type;
    w.act = t->act;
    w.n_in = n_in;
    w.n_out = n_out;
    w.n_mat = n_mat;
    w.block = t->block;
    for (int i = 0; i < pl->n; i++) {
        w.p[i] = m->weights + at;
        at += (blocks * pl->bytes[i] + 255) & ~(int64_t)255;
    }
    return w;
}

static void dense_once(measure *m, const cu_mat *w, int rows)
{
    cu_prod p;
    memset(&p, 0, sizeof p);
    p.w = w;
    p.y = m->y;
    p.y_stride = w->n_out;
    cu_products(m->c, &p, 1, m->x, &m->acts, rows);
}
static void experts_once(measure *m, const cu_mat *w, int rows)
{
    (void)w;
    cu_experts_rows(m->c, 0, m->c->tr.ids, 0, rows, m->of->k, NULL, m->c->ffn.pair_y);
}

/* Seconds of one, the best of some; below 0: the device failed, or the library said no. */
static double seconds(measure *m, void (*once)(measure *, const cu_mat *, int), const cu_mat *w, int rows)
{
    ker_ctx *c = m->c;
    cudaEvent_t from = NULL, to = NULL;
    double best = -1;
    bool ok = cudaEventCreate(&from) == cudaSuccess && cudaEventCreate(&to) == cudaSuccess;
    for (int i = -1; i < m->of->repeats && ok; i++) {      /* the first is not counted */
        ok = cudaEventRecord(from, c->st) == cudaSuccess;
        for (int j = 0; j < m->of->launches; j++) once(m, w, rows);
        ok = ok && cudaEventRecord(to, c->st) == cudaSuccess && cudaStreamSynchronize(c->st) == cudaSuccess && cudaGetLastError() == cudaSuccess && !c->state;
        double s = (double)gpu_event_ms(from, to) / 1e3 / m->of->launches;
        if (i >= 0 && (best < 0 || s < best)) best = s;
    }
    if (from) cudaEventDestroy(from);
    if (to) cudaEventDestroy(to);
    return ok ? best : -1;
}

/* Distinct experts for each row, all about as often. */
static __global__ void __launch_bounds__(256) spread_ids(uint16_t *ids, int rows, int k, int n_expert)
{
    int i = (int)(blockIdx.x * 256 + threadIdx.x);
    if (i < rows * k) ids[i] = (uint16_t)((i / k * 7 + i % k * (n_expert / k)) % n_expert);
}

/* Any numbers as activations of `rows` rows of n. */
static bool acts_any(measure *m, cu_acts *a, int rows, int n)
{
    ker_ctx *c = m->c;
    unsigned kinds = 1u << KER_ACT_Q8_32 | 1u << KER_ACT_Q8_256;
    if (!cu_acts_make(c, a, kinds, rows, n)) return false;
    cu_quantise(c, m->x, rows, n, kinds, a);
    for (int k = KER_ACT_Q8_32; k <= KER_ACT_Q8_256; k++) {
        int64_t pairs = (int64_t)rows * n / 2;
        LAUNCH(random_bytes, dim3((unsigned)((pairs + 255) / 256)), dim3(256), 0, c->st, (uint16_t *)(void *)a->kind[k].q, pairs);
    }
    return true;
}

static bool room(measure *m)
{
    ker_ctx *c = m->c;
    const sizes *z = m->of;
    int64_t dense = (int64_t)z->n_in * z->n_out * 2, routed = 3 * (int64_t)z->experts * z->n_in * z->n_ff * 2, bytes = (dense > routed ? dense : routed) + 4 * CU_PLANES * 256;
    int64_t outs = (int64_t)z->rows * z->n_out, pairs = (int64_t)z->rows * z->k;
    m->weights = (uint8_t *)cu_ctx_alloc(c, bytes);
    m->x = (float *)cu_ctx_alloc(c, (pairs > z->rows ? pairs : z->rows) * z->n_in * 4);
    m->y = (float *)cu_ctx_alloc(c, outs * 4);
    c->tr.bad = (unsigned *)cu_ctx_alloc(c, z->rows * 4);
    c->ffn.pairs_cap = (int)pairs;
    c->max_k = z->k;
    c->y = m->x;
    c->tr.ids = (uint16_t *)cu_ctx_alloc(c, pairs * 2);
    c->ffn.h = (float *)cu_ctx_alloc(c, pairs * z->n_ff * 4);
    c->ffn.pair_y = (float *)cu_ctx_alloc(c, pairs * z->n_in * 4);
    c->ffn.group = (int *)cu_ctx_alloc(c, cu_group_ints(c) * 4);
    if (!m->weights || !m->x || !m->y || !c->tr.bad || !c->tr.ids || !c->ffn.h || !c->ffn.pair_y || !c->ffn.group) return false;
    LAUNCH(random_bytes, dim3((unsigned)((bytes / 2 + 255) / 256)), dim3(256), 0, c->st, (uint16_t *)(void *)m->weights, bytes / 2);
    LAUNCH(spread_ids, dim3((unsigned)((pairs + 255) / 256)), dim3(256), 0, c->st, c->tr.ids, z->rows, z->k, z->experts);
    if (!acts_any(m, &m->acts, z->rows, z->n_in) || !acts_any(m, &c->ffn.act, (int)pairs, z->n_ff)) return false;
    c->in = m->acts;
    return true;
}

/* Both ways of one: Q_OK with `there` said, or Q_ERR. */
static int both(measure *m, ker_way *way, const cu_mat *w, bool *there)
{
    void (*once)(measure *, const cu_mat *, int) = way->experts ? experts_once : dense_once;
    ker_ways *ways = &m->c->dev->ways;
    memset(ways, 0, sizeof *ways);
    way->own_s = seconds(m, once, w, way->rows);
    ways->library[way->type] = (1u << KER_WAY_BITS) - 1;
    way->library_s = seconds(m, once, w, way->rows);
    *there = way->experts ? cu_blas_takes_experts(m->c, w, way->rows) : cu_blas_takes(m->c, w, way->rows);
    return way->own_s < 0 || way->library_s < 0 ? Q_ERR : Q_OK;
}

static int dense_ways(measure *m, int type, bool small, ker_way *out, int max, int *n)
{
    static const int outs[KER_WAY_SHAPES] = { 512, 4096, 16384 }, rows[KER_WAY_ROWS] = { 32, 128, 512 };
    int shapes = small ? 1 : KER_WAY_SHAPES, kinds = small ? 2 : KER_WAY_ROWS;
    bool there = true;
    for (int i = 0; i < shapes * kinds && *n < max && there; i++) {
        ker_way *way = &out[*n];
        memset(way, 0, sizeof *way);
        way->type = type;
        way->n_in = m->of->n_in;
        way->n_out = small ? m->of->n_out : outs[i / kinds];
        way->rows = small ? i % kinds ? 64 : 9 : rows[i % kinds];
        cu_mat w = matrix(m, type, way->n_in, way->n_out, 1, 0);
        int rc = both(m, way, &w, &there);
        if (rc) return rc;
        *n += there;
    }
    return Q_OK;
}

static int expert_ways(measure *m, int type, bool small, ker_way *out, int max, int *n)
{
    static const int rows[KER_WAY_ROWS] = { 32, 128, 512 };
    const sizes *z = m->of;
    bool there = true;
    cu_mat *w = m->layer[1].w;
    w[KER_W_GATE_EXPS] = matrix(m, type, z->n_in, z->n_ff, z->experts, 0);
    w[KER_W_UP_EXPS] = matrix(m, type, z->n_in, z->n_ff, z->experts, 1);
    w[KER_W_DOWN_EXPS] = matrix(m, type, z->n_ff, z->n_in, z->experts, 2);
    for (int i = 0; i < (small ? 1 : KER_WAY_ROWS) && *n < max && there; i++) {
        ker_way *way = &out[*n];
        memset(way, 0, sizeof *way);
        way->type = type;
        way->n_in = z->n_in;
        way->n_out = z->n_ff;
        way->rows = small ? 9 : rows[i];
        way->experts = z->experts;
        way->k = z->k;
        int rc = both(m, way, &w[KER_W_GATE_EXPS], &there);
        if (rc) return rc;
        *n += there;
    }
    return Q_OK;
}

int cu_ways_measure(int index, bool small, ker_way *out, int max, char *err)
{
    ker_dev *d = (ker_dev *)q_alloc(sizeof *d);
    ker_ctx *c = (ker_ctx *)q_alloc(sizeof *c);
    measure *m = (measure *)q_alloc(sizeof *m);
    const sizes *z = m->of = small ? &SMALL : &LARGE;
    int n = 0;
    m->c = c;
    d->index = index;
    d->m.n_expert = z->experts;
    d->m.n_layer = 1;
    d->m.layer = &m->kind;
    d->layer = m->layer;
    cudaDeviceGetAttribute(&d->major, cudaDevAttrComputeCapabilityMajor, index);
    c->dev = d;
    c->max_rows = z->rows;
    cu_enter(d);
    bool ok = cu_ok(d, cudaStreamCreateWithFlags(&c->st, cudaStreamNonBlocking), "cudaStreamCreate"), there = ok && cu_blas_make(c, z->n_in, z->n_out, CU_BLAS_TILE);
    int rc = ok ? Q_OK : Q_ERR, widest = z->n_in > z->n_ff ? z->n_in : z->n_ff;
    bool groups = there && cu_blas_make_experts(c, z->experts, widest, widest, CU_BLAS_TILE);
    if (there && !room(m)) rc = q_fail(err, Q_NOMEM, _("no memory on the GPU to measure cuBLAS: close something that uses it"));
    for (int t = 0; t < KER_TYPE_LIMIT && there && !rc; t++) {
        if (!cu_blas_type(t)) continue;
        rc = dense_ways(m, t, small, out, max, &n);
        if (!rc && groups) rc = expert_ways(m, t, small, out, max, &n);
    }
    if (rc == Q_ERR) q_fail(err, rc, _("the GPU failed while cuBLAS was measured (%s): run this again"), d->why[0] ? d->why : cudaGetErrorString(cudaGetLastError()));
    ctx_free(c);
    free(d);
    free(m);
    return rc ? rc : n;
}
