/* kernels/cuda/plugin: the table that a program asks for, and the few calls around the parts. See cuda.h and, for what
 * each entry means, kernels/kernels.h. */
#include "kernels/cuda/cuda.h"

static int set_threads(ker_dev *d, int n) { return n; }      /* the device has its own */

static int embed(ker_ctx *c) { return cu_do(c, CU_EMBED, -1); }
static int attn(ker_ctx *c, int layer) { return cu_do(c, CU_ATTN, layer); }
static int route(ker_ctx *c, int layer) { return cu_do(c, CU_ROUTE, layer); }
static int experts(ker_ctx *c, int layer) { return cu_cache_has(c->dev, layer) ? cu_fetch_experts(c, layer) : cu_do(c, CU_EXPERTS, layer); }
static int dense(ker_ctx *c, int layer) { return cu_do(c, CU_DENSE, layer); }
static int head(ker_ctx *c) { return cu_do(c, CU_HEAD, -1); }

static int hidden_get(ker_ctx *c, float *dst)
{
    int rc = cu_flush(c);
    if (rc) return rc;
    size_t bytes = (size_t)c->shape.n * (size_t)c->dev->m.n_embd * 4;
    bool ok = cu_ok(c->dev, cudaMemcpyAsync(dst, c->x, bytes, cudaMemcpyDeviceToHost, c->st), "rows") && cu_ok(c->dev, cudaStreamSynchronize(c->st), "rows");
    return ok ? Q_OK : (c->state = Q_ERR);
}

static int hidden_put(ker_ctx *c, const float *src)
{
    int rc = cu_flush(c);
    if (rc) return rc;
    size_t bytes = (size_t)c->shape.n * (size_t)c->dev->m.n_embd * 4;
    bool ok = cu_ok(c->dev, cudaMemcpyAsync(c->x, src, bytes, cudaMemcpyHostToDevice, c->st), "rows") && cu_ok(c->dev, cudaStreamSynchronize(c->st), "rows");
    return ok ? Q_OK : (c->state = Q_ERR);
}

static void why(ker_ctx *c, char *err)
{
    if (c->dev->why[0]) q_fail(err, Q_ERR, _("the GPU failed (%s): load the model again with /model or start again, or use --device cpu"), c->dev->why);
    else if (c->state == Q_ERR && c->dev->cache) q_fail(err, Q_ERR, _("an expert could not be brought to the GPU: ask again, or use --device cpu"));
}

extern "C" __attribute__((visibility("default"))) const ker_backend *quorum_backend(q_words_look look)
{
    static const ker_backend table = {
        KER_ABI_HERE, "cuda", dev_list, dev_leave, dev_open, dev_close, set_threads, dev_memory, dev_weight, dev_source, dev_ready,
        ctx_new, ctx_free, ctx_cfg_put, kv_new, kv_free, kv_copy, kv_page_bytes, kv_save, kv_load,
        ctx_begin, embed, attn, route, experts, dense, head, ctx_end, why,
        moe_take, moe_run, moe_add, hidden_get, hidden_put, cu_times, cu_ways_put, cu_ways_measure, cu_takes,
        state_bytes, state_new, state_free, state_save, state_load,
        dev_adapter_put, dev_adapter_drop,
    };
    if (look) q_words_from(look);
    return &table;
}
