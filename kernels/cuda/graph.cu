/* kernels/cuda/graph: when launches happen. The table's parts are only remembered; `end`, or whoever must look at numbers
 * in the middle, launches them. A whole pass over few rows is captured once for its shape and launched as one graph from
 * then on: everything else that changes between two tokens is read from device memory. See cuda.h. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

enum { GRAPHS = 8 };

typedef struct op { int16_t part, layer; } op;
typedef struct graph {
    cu_shape shape;
    const uint8_t *cells;          /* of the cache whose pages it reads, and their type: a cache that came later may ... */
    enum ker_kv_type type;         /* ... lie where another lay, on the host or on the device */
    int64_t head_bytes;
    cudaGraphExec_t exec;          /* NULL: free */
    uint64_t used;
    int n_op;
} graph;

struct cu_graphs {
    op *ops;                       /* since begin, not launched yet */
    int n, cap;
    bool broken_up;                /* some parts of this batch were launched already */
    graph g[GRAPHS];
    uint64_t clock;
};

static cu_graphs *graphs(ker_ctx *c)
{
    if (!c->graphs) c->graphs = (cu_graphs *)q_alloc(sizeof *c->graphs);
    return c->graphs;
}

void cu_parts_forget(ker_ctx *c)
{
    cu_graphs *g = graphs(c);
    g->n = 0;
    g->broken_up = false;
}

void cu_graphs_free(ker_ctx *c)
{
    cu_graphs *g = c->graphs;
    if (!g) return;
    for (int i = 0; i < GRAPHS; i++) if (g->g[i].exec) cudaGraphExecDestroy(g->g[i].exec);
    free(g->ops);
    free(g);
    c->graphs = NULL;
}

int cu_do(ker_ctx *c, int part, int layer)
{
    cu_graphs *g = graphs(c);
    if (c->state) return c->state;
    if (c->cancel && std::atomic_load(c->cancel)) return c->state = Q_CANCEL;
    if (g->n == g->cap) g->ops = (op *)q_realloc(g->ops, sizeof *g->ops * (size_t)(g->cap = g->cap * 2 + 64));
    g->ops[g->n].part = (int16_t)part;
    g->ops[g->n++].layer = (int16_t)layer;
    return Q_OK;
}

static void launch_all(ker_ctx *c, const cu_graphs *g)
{
    for (int i = 0; i < g->n; i++) cu_part_launch(c, g->ops[i].part, g->ops[i].layer);
}

static bool same_shape(const cu_shape *a, const cu_shape *b)
{
    return a->n == b->n && a->k == b->k && a->n_logits == b->n_logits && a->n_hidden == b->n_hidden && a->segs == b->segs && a->narrow == b->narrow && a->forced == b->forced
        && a->low == b->low;
}

static bool whole_pass(const ker_ctx *c, const cu_graphs *g)
{
    return !g->broken_up && g->n == 2 * c->dev->m.n_layer + c->dev->n_moe + 2 && g->ops[0].part == CU_EMBED && g->ops[g->n - 1].part == CU_HEAD;
}

/* A graph of the remembered pass; NULL: it could not be made, and the launches go one by one. */
static cudaGraphExec_t capture(ker_ctx *c, const cu_graphs *g)
{
    cudaGraph_t made = NULL;
    cudaGraphExec_t exec = NULL;
    if (cudaStreamBeginCapture(c->st, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        cudaGetLastError();
        return NULL;
    }
    launch_all(c, g);
    bool whole = cudaGetLastError() == cudaSuccess;
    if (cudaStreamEndCapture(c->st, &made) != cudaSuccess || !made || !whole || cudaGraphInstantiate(&exec, made, 0) != cudaSuccess) {
        cudaGetLastError();
        exec = NULL;
    }
    if (made) cudaGraphDestroy(made);
    return exec;
}

/* The graph of this shape, kept from before or captured now in the place of the one that was not used for longest. */
static cudaGraphExec_t graph_of(ker_ctx *c, cu_graphs *g)
{
    graph *at = &g->g[0];
    for (int i = 0; i < GRAPHS; i++) {
        graph *one = &g->g[i];
        if (one->exec && one->cells == c->kv->data && one->type == c->kv->type && one->head_bytes == c->kv->head_bytes && one->n_op == g->n && same_shape(&one->shape, &c->shape)) {
            one->used = ++g->clock;
            return one->exec;
        }
        if (!one->exec ? at->exec != NULL : at->exec && one->used < at->used) at = one;
    }
    cudaGraphExec_t exec = capture(c, g);
    if (!exec) return NULL;
    if (at->exec) cudaGraphExecDestroy(at->exec);
    at->shape = c->shape;
    at->cells = c->kv->data;
    at->type = c->kv->type;
    at->head_bytes = c->kv->head_bytes;
    at->exec = exec;
    at->used = ++g->clock;
    at->n_op = g->n;
    return exec;
}

int cu_flush(ker_ctx *c)
{
    cu_graphs *g = graphs(c);
    if (c->state) return c->state;
    cudaSetDevice(c->dev->index);
    if (g->n) {
        bool ok = true;
        cudaGraphExec_t exec = c->shape.n <= CU_FEW && !cu_timing(c) && whole_pass(c, g) ? graph_of(c, g) : NULL;
        if (exec) ok = cu_ok(c->dev, cudaGraphLaunch(exec, c->st), "a pass");
        else {
            cu_times_hold(c);
            launch_all(c, g);
        }
        ok = cu_ok(c->dev, cudaGetLastError(), "a pass") && ok;
        if (!ok) c->state = Q_ERR;
    }
    g->n = 0;
    g->broken_up = true;
    return c->state;
}
