/* kernels/cuda/ways: which dense products cuBLAS does on a device (blas.cu): the table as it was handed over, and both ways
 * measured on random weights, type by type, for each class of shapes and of rows. See ker_backend's ways_put. */
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

typedef struct measure {
    ker_ctx *c;
    uint8_t *weights;
    float *x, *y;
    cu_acts acts;
    int n_in;
} measure;

static cu_mat matrix(const measure *m, int type, int n_out)
{
    const cu_planes *pl = cu_planes_of(type);
    const ker_type *t = ker_type_get(type);
    int64_t blocks = (int64_t)(m->n_in / t->block) * n_out, at = 0;
    cu_mat w;
    memset(&w, 0, sizeof w);
    w.type = type;
    w.act = t->act;
    w.n_in = m->n_in;
    w.n_out = n_out;
    w.n_mat = 1;
    w.block = t->block;
    for (int i = 0; i < pl->n; i++) {
        w.p[i] = m->weights + at;
        at += (blocks * pl->bytes[i] + 255) & ~(int64_t)255;
    }
    return w;
}

/* Seconds of one product, the best of some; below 0: the device failed, or the library said no. */
static double seconds(measure *m, const cu_mat *w, int rows)
{
    ker_ctx *c = m->c;
    cudaEvent_t from = NULL, to = NULL;
    double best = -1;
    cu_prod p;
    memset(&p, 0, sizeof p);
    p.w = w;
    p.y = m->y;
    p.y_stride = w->n_out;
    bool ok = cudaEventCreate(&from) == cudaSuccess && cudaEventCreate(&to) == cudaSuccess;
    for (int i = -1; i < REPEATS && ok; i++) {     /* the first is not counted */
        ok = cudaEventRecord(from, c->st) == cudaSuccess;
        for (int j = 0; j < LAUNCHES; j++) cu_products(c, &p, 1, m->x, &m->acts, rows);
        ok = ok && cudaEventRecord(to, c->st) == cudaSuccess && cudaStreamSynchronize(c->st) == cudaSuccess && cudaGetLastError() == cudaSuccess && !c->state;
        double s = (double)gpu_event_ms(from, to) / 1e3 / (int)LAUNCHES;
        if (i >= 0 && (best < 0 || s < best)) best = s;
    }
    if (from) cudaEventDestroy(from);
    if (to) cudaEventDestroy(to);
    return ok ? best : -1;
}

static bool room(measure *m, int rows, int n_out)
{
    ker_ctx *c = m->c;
    int64_t bytes = (int64_t)m->n_in * n_out * 2 + CU_PLANES * 256;
    m->weights = (uint8_t *)cu_ctx_alloc(c, bytes);
    m->x = (float *)cu_ctx_alloc(c, (int64_t)rows * m->n_in * 4);
    m->y = (float *)cu_ctx_alloc(c, (int64_t)rows * n_out * 4);
    c->tr.bad = (unsigned *)cu_ctx_alloc(c, rows * 4);
    if (!m->weights || !m->x || !m->y || !c->tr.bad || !cu_acts_make(c, &m->acts, 1u << KER_ACT_Q8_32 | 1u << KER_ACT_Q8_256, rows, m->n_in)) return false;
    LAUNCH(random_bytes, dim3((unsigned)((bytes / 2 + 255) / 256)), dim3(256), 0, c->st, (uint16_t *)(void *)m->weights, bytes / 2);
    cu_quantise(c, m->x, rows, m->n_in, 1u << KER_ACT_Q8_32 | 1u << KER_ACT_Q8_256, &m->acts);
    for (int k = KER_ACT_Q8_32; k <= KER_ACT_Q8_256; k++) {
        int64_t n = (int64_t)rows * m->n_in / 2;
        LAUNCH(random_bytes, dim3((unsigned)((n + 255) / 256)), dim3(256), 0, c->st, (uint16_t *)(void *)m->acts.kind[k].q, n);
    }
    return true;
}

int cu_ways_measure(int index, bool small, ker_way *out, int max, char *err)
{
    static const int outs[KER_WAY_SHAPES] = { 512, 4096, 16384 }, rows[KER_WAY_ROWS] = { 32, 128, 512 };
    int shapes = small ? 1 : KER_WAY_SHAPES, kinds = small ? 2 : KER_WAY_ROWS, most = small ? 64 : rows[kinds - 1], widest = small ? 64 : outs[shapes - 1], n = 0;
    ker_dev *d = (ker_dev *)q_alloc(sizeof *d);
    ker_ctx *c = (ker_ctx *)q_alloc(sizeof *c);
    measure m = {};
    m.c = c;
    m.n_in = small ? 256 : 2048;
    d->index = index;
    cudaDeviceGetAttribute(&d->major, cudaDevAttrComputeCapabilityMajor, index);
    c->dev = d;
    c->max_rows = most;
    cudaSetDevice(index);
    bool ok = cu_ok(d, cudaStreamCreateWithFlags(&c->st, cudaStreamNonBlocking), "cudaStreamCreate"), there = ok && cu_blas_make(c, m.n_in, widest, CU_BLAS_TILE);
    int rc = ok ? Q_OK : Q_ERR;
    if (there && !room(&m, most, widest)) rc = q_fail(err, Q_NOMEM, _("no memory on the GPU to measure cuBLAS: close something that uses it"));
    for (int t = 0; t < KER_TYPE_LIMIT && there && !rc; t++)
        for (int i = 0; i < shapes * kinds && cu_blas_type(t) && n < max && !rc; i++) {
            ker_way *way = &out[n];
            way->type = t;
            way->n_in = m.n_in;
            way->n_out = small ? widest : outs[i / kinds];
            way->rows = small ? i % kinds ? 64 : 9 : rows[i % kinds];
            cu_mat w = matrix(&m, t, way->n_out);
            memset(&d->ways, 0, sizeof d->ways);
            way->own_s = seconds(&m, &w, way->rows);
            d->ways.library[t] = (1u << KER_WAY_BITS) - 1;
            there = cu_blas_takes(c, &w, way->rows);
            way->library_s = seconds(&m, &w, way->rows);
            if (way->own_s < 0 || way->library_s < 0) rc = Q_ERR;
            else if (there && cu_blas_takes(c, &w, way->rows)) n++;
        }
    if (rc == Q_ERR) q_fail(err, rc, _("the GPU failed while cuBLAS was measured (%s): run this again"), d->why[0] ? d->why : cudaGetErrorString(cudaGetLastError()));
    ctx_free(c);
    free(d);
    return rc ? rc : n;
}
