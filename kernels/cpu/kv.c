/* kernels/cpu/kv: the cells of a context: pages as they lie in memory, one cell written, one page read
 * back in F32. One caller makes, frees and copies; between begin and end workers write and read cells of
 * their own rows. Allocates only in kv_new. It never looks at which row sees which cell (attn.c). */
#include "kernels/cpu/kv.h"
#include "kernels/cpu/kv_q4.h"
#include "kernels/cpu/turn.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int64_t kv_page_bytes(const ker_dev *d, enum ker_kv_type t)
{
    return ker_kv_head_bytes(&d->m, t) * d->m.n_kv_head * ker_cell_layers(&d->m);
}

int kv_new(ker_dev *d, enum ker_kv_type t, int n_page, ker_kv **out, char *err)
{
    if (n_page < 1 || (unsigned)t >= KER_KV_TYPES) return q_fail(err, Q_RANGE, _("a cache of %d pages is not possible: raise context.length"), n_page);
    ker_kv *kv = q_alloc(sizeof *kv);
    *kv = (ker_kv){ .dev = d, .type = t, .fours = kv_blocks(t) && ker_cells_fours(&d->m), .n_page = n_page, .head_bytes = ker_kv_head_bytes(&d->m, t),
                    .page_bytes = kv_page_bytes(d, t) };
    if (!kv->page_bytes) kv->page_bytes = 64;      /* only recurrent layers: pages are names */
    /* Straight from the system: zero and unbacked until written; large pages spare the address tables. */
    kv->data = mmap(NULL, (size_t)n_page * (size_t)kv->page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kv->data != MAP_FAILED) madvise(kv->data, (size_t)n_page * (size_t)kv->page_bytes, MADV_HUGEPAGE);
    else {
        free(kv);
        return q_fail(err, Q_NOMEM, _("no memory for a cache of %d cells: lower context.length or take a smaller kv.type"), n_page * KER_PAGE);
    }
    *out = kv;
    return Q_OK;
}

void kv_free(ker_kv *kv)
{
    if (!kv) return;
    munmap(kv->data, (size_t)kv->n_page * (size_t)kv->page_bytes);
    for (int i = 0; i < kv->n_state; i++) free(kv->state[i]);
    free(kv->state);
    free(kv);
}

void kv_copy(ker_kv *kv, int dst_page, int src_page, int n_cells)
{
    assert(dst_page >= 0 && dst_page < kv->n_page && src_page >= 0 && src_page < kv->n_page && n_cells <= KER_PAGE);
    /* K is transposed, so the first cells lie everywhere: the whole page goes, cells beyond are never read. */
    if (n_cells > 0 && dst_page != src_page)
        memcpy(kv->data + dst_page * kv->page_bytes, kv->data + src_page * kv->page_bytes, (size_t)kv->page_bytes);
}

int kv_save(ker_kv *kv, int page, int n_cells, void *dst)
{
    if (page < 0 || page >= kv->n_page || n_cells < 1 || n_cells > KER_PAGE) return Q_RANGE;
    return ker_cells_save(&kv->dev->m, kv->type, true, kv->data + page * kv->page_bytes, n_cells, dst) ? Q_OK : Q_FORMAT;
}

int kv_load(ker_kv *kv, int page, int n_cells, const void *src)
{
    if (page < 0 || page >= kv->n_page || n_cells < 1 || n_cells > KER_PAGE) return Q_RANGE;
    return ker_cells_load(&kv->dev->m, kv->type, true, kv->data + page * kv->page_bytes, n_cells, src) ? Q_OK : Q_FORMAT;
}

/* ---- states ---- */

int64_t state_bytes(const ker_dev *d) { return ker_state_floats(&d->m) * (int64_t)sizeof(float); }

int state_new(ker_kv *kv, char *err)
{
    int at = 0;
    while (at < kv->n_state && kv->state[at]) at++;
    float *f = aligned_alloc(64, ((size_t)state_bytes(kv->dev) + 63) & ~(size_t)63);
    if (!f) return q_fail(err, Q_NOMEM, _("no memory for a state of the recurrent layers: lower state.memory or context.length"));
    if (at == kv->n_state) {
        kv->state = q_realloc(kv->state, sizeof *kv->state * (size_t)(at + 1));
        kv->n_state++;
    }
    kv->state[at] = f;
    return at + 1;
}

void state_free(ker_kv *kv, int state)
{
    if (!state_there(kv, state)) return;
    free(kv->state[state - 1]);
    kv->state[state - 1] = NULL;
}

static bool all_finite(const ker_kv *kv, const float *f) { return kv->dev->v->finite(f, ker_state_floats(&kv->dev->m)); }

int state_save(ker_kv *kv, int state, void *dst)
{
    if (!state_there(kv, state)) return Q_RANGE;
    memcpy(dst, kv->state[state - 1], (size_t)state_bytes(kv->dev));
    return all_finite(kv, kv->state[state - 1]) ? Q_OK : Q_FORMAT;
}

int state_load(ker_kv *kv, int state, const void *src)
{
    if (!state_there(kv, state)) return Q_RANGE;
    memcpy(kv->state[state - 1], src, (size_t)state_bytes(kv->dev));
    return all_finite(kv, kv->state[state - 1]) ? Q_OK : Q_FORMAT;
}

uint8_t *kv_head(const ker_kv *kv, int page, int layer, int head)
{
    assert(page >= 0 && page < kv->n_page && layer >= 0 && layer < kv->dev->m.n_layer && head >= 0 && head < kv->dev->m.n_kv_head);
    return kv->data + page * kv->page_bytes + ((int64_t)kv->dev->order[layer] * kv->dev->m.n_kv_head + head) * kv->head_bytes;
}

kv_q8 kv_q8_page(const ker_kv *kv, const uint8_t *p)
{
    int dim = ker_cell_k(&kv->dev->m);
    const int8_t *k = (const int8_t *)p, *v = k + (int64_t)dim * KER_PAGE;
    const float *ks = (const float *)(const void *)(v + (int64_t)dim * KER_PAGE);
    return (kv_q8){ { k, ks }, { v, ks + (int64_t)q8_blocks(dim) * KER_PAGE } };
}

kv_q8 kv_whole(const ker_kv *kv, const uint8_t *p, float *room, const vec_ops *ops)
{
    if (kv->type != KER_KV_Q4_0) return kv_q8_page(kv, p);
    if (p) q4_whole(&kv->dev->m, p, room, ops);
    return kv_q8_page(kv, (const uint8_t *)room);
}

kv_q8 kv_ahead(const ker_kv *kv, const uint8_t *p, float *room)
{
    if (kv->type != KER_KV_Q4_0) return kv_q8_page(kv, p);
    int64_t k = (int64_t)ker_cell_k(&kv->dev->m) * KER_PAGE;
    kv_q8 at = kv_q8_page(kv, (const uint8_t *)room);
    at.k = (q8_cells){ (const int8_t *)p, (const float *)(const void *)(p + k) };
    return at;
}

/* A block as whole numbers; its scale. Where it holds what is no number, the scale (`none`) is what is seen of it: of K NaN, as scores are
 * then; of V infinite, since weights times a scale that is none count as nothing. */
static float block_put(const q8_ops *ops, const float *x, int n, float none, int8_t *to)
{
    float scale = ops->block(x, n, to);
    return scale == scale ? scale : none;
}

static void put_fours(const ker_kv *kv, uint8_t *p, int cell, const float *k, const float *v)
{
    int dim = ker_cell_k(&kv->dev->m);
    kv_q8 at = kv_q8_page(kv, p);
    int8_t *kc = (int8_t *)p, *vc = kc + (at.v.x - at.k.x), x[Q8_BLOCK];
    float *ks = (float *)(void *)(p + ((const uint8_t *)at.k.scale - p)), *vs = ks + (at.v.scale - at.k.scale);
    const q8_ops *ops = q8_get();
    for (int b = 0, first = 0; first < dim; b++, first += Q8_BLOCK) {
        int n = dim - first < Q8_BLOCK ? dim - first : Q8_BLOCK;
        ks[b * KER_PAGE + cell] = block_put(ops, k + first, n, NAN, x);
        for (int i = 0; i < n; i += 4) memcpy(kc + q8_at_k(first + i, cell), x + i, 4);
        vs[b * KER_PAGE + cell] = block_put(ops, v + first, n, INFINITY, x);
        for (int i = 0; i < n; i++) vc[q8_at_v(dim, first + i, cell)] = x[i];
    }
}

void kv_put(const ker_kv *kv, uint8_t *p, int cell, const float *k, const float *v, const vec_ops *ops)
{
    assert(cell >= 0 && cell < KER_PAGE);
    int dim = ker_cell_k(&kv->dev->m), vdim = ker_cell_v(&kv->dev->m);
    int64_t half = (int64_t)dim * KER_PAGE;
    if (kv->type == KER_KV_Q4_0) {
        q4_put(&kv->dev->m, p, cell, k, v);
    } else if (kv->fours) {
        put_fours(kv, p, cell, k, v);
    } else if (kv->type == KER_KV_F32) {
        float *kc = (float *)(void *)p, *vc = kc + half + (int64_t)cell * vdim;
        for (int d = 0; d < dim; d++) kc[d * KER_PAGE + cell] = k[d];
        if (vdim) memcpy(vc, v, sizeof(float) * (size_t)vdim);
    } else if (kv->type == KER_KV_F16) {
        uint16_t *kc = (uint16_t *)(void *)p, t[64];
        for (int d = 0; d < dim; d += 64) {
            int n = dim - d < 64 ? dim - d : 64;
            ops->to_f16(k + d, t, n);
            for (int i = 0; i < n; i++) kc[(d + i) * KER_PAGE + cell] = t[i];
        }
        if (vdim) ops->to_f16(v, kc + half + (int64_t)cell * vdim, vdim);
    } else {
        int nb = q8_blocks(dim), nv = q8_blocks(vdim);
        int8_t *kc = (int8_t *)p, *vc = kc + half + (int64_t)cell * vdim;
        float *ks = (float *)(void *)(p + half + (int64_t)vdim * KER_PAGE), *vs = ks + (int64_t)nb * KER_PAGE + (int64_t)cell * nv;
        for (int b = 0; b < nb; b++) {
            int d0 = b * Q8_BLOCK, n = dim - d0 < Q8_BLOCK ? dim - d0 : Q8_BLOCK;
            int8_t x[Q8_BLOCK];
            ks[b * KER_PAGE + cell] = block_put(&q8_scalar, k + d0, n, NAN, x);
            for (int i = 0; i < n; i++) kc[(d0 + i) * KER_PAGE + cell] = x[i];
        }
        for (int b = 0; b < nv; b++) {
            int d0 = b * Q8_BLOCK, n = vdim - d0 < Q8_BLOCK ? vdim - d0 : Q8_BLOCK;
            vs[b] = block_put(&q8_scalar, v + d0, n, INFINITY, vc + d0);
        }
    }
}

const float *kv_page_k(const ker_kv *kv, const uint8_t *p, float *buf, const vec_ops *ops)
{
    int dim = ker_cell_k(&kv->dev->m), vdim = ker_cell_v(&kv->dev->m);
    assert(!kv->fours);
    if (kv->type == KER_KV_F32) return (const float *)(const void *)p;
    if (kv->type == KER_KV_F16) {
        ops->f16((const uint16_t *)(const void *)p, buf, (int64_t)dim * KER_PAGE);
        return buf;
    }
    if (kv->type == KER_KV_Q4_0) return q4_page_k(&kv->dev->m, p, buf, ops);
    const float *ks = (const float *)(const void *)(p + ((int64_t)dim + vdim) * KER_PAGE);
    for (int d = 0; d < dim; d++) ops->q8((const int8_t *)p + d * KER_PAGE, ks + d / Q8_BLOCK * KER_PAGE, buf + d * KER_PAGE, KER_PAGE);
    return buf;
}

const float *kv_page_v(const ker_kv *kv, const uint8_t *p, int n, float *buf, const vec_ops *ops)
{
    int dim = ker_cell_v(&kv->dev->m), pad = round16(dim);     /* V beside K is as wide as it */
    int64_t half = (int64_t)dim * KER_PAGE;
    if (kv->type == KER_KV_Q4_0) return q4_page_v(&kv->dev->m, p, n, buf, ops);
    if (kv->type == KER_KV_F32) {
        const float *v = (const float *)(const void *)p + half;
        if (pad == dim) return v;
        for (int c = 0; c < n; c++) memcpy(buf + c * pad, v + c * dim, sizeof(float) * (size_t)dim);
    } else if (kv->type == KER_KV_F16) {
        const uint16_t *v = (const uint16_t *)(const void *)p + half;
        if (pad == dim) ops->f16(v, buf, (int64_t)n * dim);
        else for (int c = 0; c < n; c++) ops->f16(v + c * dim, buf + c * pad, dim);
    } else {
        int nb = q8_blocks(dim);
        const int8_t *v = (const int8_t *)p + half;
        const float *vs = (const float *)(const void *)(p + 2 * half) + (int64_t)nb * KER_PAGE;
        for (int c = 0; c < n; c++)
            for (int b = 0; b < nb; b++) {
                int d0 = b * Q8_BLOCK, w = dim - d0 < Q8_BLOCK ? dim - d0 : Q8_BLOCK;
                ops->q8s(v + c * dim + d0, vs[c * nb + b], buf + c * pad + d0, w);
            }
    }
    return buf;
}

void kv_turned(const float *k, int width, int n, float *out)
{
    int pad = round16(width), d = 0;
    for (; d + 4 <= width; d += 4)                 /* cells by fours too: what lies behind the last is never read */
        for (int c = 0; c < n; c += 4) turn_four(k + d * KER_PAGE + c, KER_PAGE, 1, out + c * pad + d, pad);
    for (; d < width; d++)
        for (int c = 0; c < n; c++) out[c * pad + d] = k[d * KER_PAGE + c];
}
