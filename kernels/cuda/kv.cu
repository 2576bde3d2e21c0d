/* kernels/cuda/kv: the cells of a cache on the device; the layout of a page is ker_kv's in cuda.h, attn.cu reads and writes it. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>

int64_t kv_page_bytes(const ker_dev *d, enum ker_kv_type t) { return ker_kv_head_bytes(&d->m, t) * d->m.n_kv_head * ker_cell_layers(&d->m); }

int kv_new(ker_dev *d, enum ker_kv_type t, int n_page, ker_kv **out, char *err)
{
    if (n_page < 1 || (unsigned)t >= KER_KV_TYPES) return q_fail(err, Q_RANGE, _("a cache of %d pages is not possible: raise context.length"), n_page);
    ker_kv *kv = (ker_kv *)q_alloc(sizeof *kv);
    kv->dev = d;
    kv->type = t;
    kv->n_page = n_page;
    kv->head_bytes = ker_kv_head_bytes(&d->m, t);
    kv->page_bytes = kv_page_bytes(d, t);
    cudaSetDevice(d->index);
    size_t bytes = (size_t)n_page * (size_t)kv->page_bytes;
    if (cudaMalloc(&kv->data, bytes) != cudaSuccess) {
        cudaGetLastError();
        free(kv);
        return q_fail(err, Q_NOMEM, _("no memory for a cache of %d cells: lower context.length or take a smaller kv.type"), n_page * KER_PAGE);
    }
    /* Cells that were never written are loaded beside others, with a weight of 0: they must be numbers. */
    if (!cu_ok(d, cudaMemsetAsync(kv->data, 0, bytes, d->st), "cache") || !cu_ok(d, cudaStreamSynchronize(d->st), "cache")) {
        kv_free(kv);
        return q_fail(err, Q_ERR, _("the GPU failed (%s): use --device cpu"), d->why);
    }
    *out = kv;
    return Q_OK;
}

void kv_free(ker_kv *kv)
{
    if (!kv) return;
    cudaSetDevice(kv->dev->index);
    cudaFree(kv->data);
    cu_states_free(kv);
    free(kv);
}

/* Between batches: the last one was waited for, and the next begins on another stream only after this. */
void kv_copy(ker_kv *kv, int dst_page, int src_page, int n_cells)
{
    if (n_cells <= 0 || dst_page == src_page) return;
    ker_dev *d = kv->dev;
    cudaSetDevice(d->index);
    if (cu_ok(d, cudaMemcpyAsync(kv->data + dst_page * kv->page_bytes, kv->data + src_page * kv->page_bytes, (size_t)kv->page_bytes,
                                 cudaMemcpyDeviceToDevice, d->st), "cells"))
        cu_ok(d, cudaStreamSynchronize(d->st), "cells");
}

static uint8_t *host_page(ker_kv *kv, int page, int n_cells, int *rc)
{
    bool there = page >= 0 && page < kv->n_page && n_cells >= 1 && n_cells <= KER_PAGE;
    uint8_t *host = there ? (uint8_t *)calloc(1, (size_t)kv->page_bytes) : NULL;
    *rc = !there ? Q_RANGE : host ? Q_OK : Q_NOMEM;
    cudaSetDevice(kv->dev->index);
    return host;
}

/* On the stream of kv_copy, as between batches. */
static int moved(ker_kv *kv, void *to, const void *from, cudaMemcpyKind kind)
{
    ker_dev *d = kv->dev;
    return cu_ok(d, cudaMemcpyAsync(to, from, (size_t)kv->page_bytes, kind, d->st), "cells") && cu_ok(d, cudaStreamSynchronize(d->st), "cells") ? Q_OK : Q_ERR;
}

int kv_save(ker_kv *kv, int page, int n_cells, void *dst)
{
    int rc;
    uint8_t *host = host_page(kv, page, n_cells, &rc);
    if (!rc) rc = moved(kv, host, kv->data + page * kv->page_bytes, cudaMemcpyDeviceToHost);
    if (!rc && !ker_cells_save(&kv->dev->m, kv->type, false, host, n_cells, dst)) rc = Q_FORMAT;
    free(host);
    return rc;
}

/* Cells beyond are zero then: loaded beside others with a weight of 0, they must be numbers. */
int kv_load(ker_kv *kv, int page, int n_cells, const void *src)
{
    int rc;
    uint8_t *host = host_page(kv, page, n_cells, &rc);
    if (!rc && !ker_cells_load(&kv->dev->m, kv->type, false, host, n_cells, src)) rc = Q_FORMAT;
    if (!rc) rc = moved(kv, kv->data + page * kv->page_bytes, host, cudaMemcpyHostToDevice);
    free(host);
    return rc;
}
