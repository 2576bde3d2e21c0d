/* kernels/cpu/ffn: the feed-forward part of a layer: routed experts, the shared expert, dense layers.
 * Tokens are grouped by expert; one barrier after gate and up, one after h is prepared, one at the end,
 * none per expert. A row's result is the sum over its slots in slot order, then the shared expert, then
 * the residual, whatever the grouping. Runs between begin and end on the pool; never allocates. */
#include <string.h>

#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"

typedef struct ffn {
    ker_ctx *c;
    const layer_w *w;
    int layer, r0, n;                              /* rows [r0, r0 + n) of the batch */
    bool routed, merged;
    const mat *gate, *up, *down;                   /* of experts */
    const mat *sh_gate, *sh_up, *sh_down;          /* of the shared expert or the dense layer; NULL: none */
    const float *coef;                             /* [row] of the batch, or NULL = 1 */
    int n_pair, n_active;
    int ex_block, ex_blocks, sh_block, sh_blocks, down_block, per, n_ff_sh;
} ffn;

/* One expert's matrix inside the stacked one. */
static mat expert(const mat *w, int e)
{
    mat m = *w;
    m.data += (int64_t)e * w->n_out * w->row_bytes;
    return m;
}

/* Sorts the rows' (row, slot) pairs by expert: counting sort, so rows of an expert stay in row order. */
static void group(ffn *f)
{
    ker_ctx *c = f->c;
    int n_expert = c->dev->m.n_expert, *off = c->ff.ex_off;
    memset(off, 0, sizeof *off * (size_t)(n_expert + 1));
    f->n_pair = 0;
    for (int r = 0; r < f->n; r++) {
        const uint16_t *ids = c->rt.ids + trace_at(c, f->layer, f->r0 + r);
        c->ff.slot_at[r] = f->n_pair;
        for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++) off[ids[s] + 1]++;
        f->n_pair += c->rt.n_slot[f->r0 + r];
    }
    f->n_active = 0;
    for (int e = 0; e < n_expert; e++) {
        if (off[e + 1]) c->ff.active[f->n_active++] = e;
        off[e + 1] += off[e];
    }
    for (int r = 0; r < f->n; r++) {
        const uint16_t *ids = c->rt.ids + trace_at(c, f->layer, f->r0 + r);
        for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++) {
            int at = off[ids[s]]++;                /* off[e] ends as the end of e: shifted back below */
            c->ff.pair_row[at] = r;
            c->ff.pair_pos[c->ff.slot_at[r] + s] = at;
        }
    }
    memmove(off + 1, off, sizeof *off * (size_t)n_expert);
    off[0] = 0;
}

static void gather_task(void *arg, int task, int worker)
{
    ffn *f = arg;
    ker_ctx *c = f->c;
    unsigned kinds = 1u << mat_kind(f->gate) | 1u << mat_kind(f->up);
    for (int p = task * f->per; p < (task + 1) * f->per && p < f->n_pair; p++)
        for (int k = 0; k < N_ACT; k++) {
            if (!(kinds >> k & 1)) continue;
            int64_t stride = c->in.stride[k];
            memcpy(c->ff.gather.p[k] + p * stride, c->in.p[k] + (f->r0 + c->ff.pair_row[p]) * stride, (size_t)stride);
        }
}

/* h[row][o] for outputs [o0, o1) of n rows. */
static void gate_up(ffn *f, int worker, const mat *gate, const mat *up, const acts *a, int64_t first, int n, int64_t o0, int64_t o1,
                    float *h, int64_t h_stride)
{
    ker_dev *d = f->c->dev;
    float *g = dev_floats(d, worker), *u = g + n * (o1 - o0);
    void *scratch = dev_mat_scratch(d, worker);
    int kg = mat_kind(gate), ku = mat_kind(up);
    int64_t width = o1 - o0;
    mat_mul(gate, a->p[kg] + first * a->stride[kg], a->stride[kg], n, o0, o1, g - o0, width, scratch);
    mat_mul(up, a->p[ku] + first * a->stride[ku], a->stride[ku], n, o0, o1, u - o0, width, scratch);
    for (int r = 0; r < n; r++) d->v->swiglu(g + r * width, u + r * width, h + r * h_stride + o0, (int)width);
}

static void gate_up_task(void *arg, int task, int worker)
{
    ffn *f = arg;
    ker_ctx *c = f->c;
    int n_routed = f->routed ? f->n_active * f->ex_blocks : 0;
    if (task >= n_routed) {
        int64_t o0 = (int64_t)(task - n_routed) * f->sh_block, o1 = o0 + f->sh_block < f->n_ff_sh ? o0 + f->sh_block : f->n_ff_sh;
        gate_up(f, worker, f->sh_gate, f->sh_up, &c->in, f->r0, f->n, o0, o1, c->ff.h_sh, f->sh_gate->n_out);
        return;
    }
    int64_t o0 = (int64_t)(task % f->ex_blocks) * f->ex_block, o1 = o0 + f->ex_block < f->gate->n_out ? o0 + f->ex_block : f->gate->n_out;
    int e = c->ff.active[task / f->ex_blocks];
    mat gate = expert(f->gate, e), up = expert(f->up, e);
    if (f->merged) {                               /* every row: columns of experts that a row did not choose are cleared later */
        int64_t wide = f->merged ? c->dev->m.n_expert * f->gate->n_out : 0;
        gate_up(f, worker, &gate, &up, &c->in, f->r0, f->n, o0, o1, c->ff.h + e * f->gate->n_out, wide);
    } else if (f->n == 1) {
        gate_up(f, worker, &gate, &up, &c->in, f->r0, 1, o0, o1, c->ff.h + c->ff.ex_off[e] * f->gate->n_out, f->gate->n_out);
    } else {
        gate_up(f, worker, &gate, &up, &c->ff.gather, c->ff.ex_off[e], c->ff.ex_off[e + 1] - c->ff.ex_off[e], o0, o1,
                c->ff.h + c->ff.ex_off[e] * f->gate->n_out, f->gate->n_out);
    }
}

static void prepare_shared(ffn *f, int r)
{
    ker_ctx *c = f->c;
    int64_t wide = f->sh_down->n_in;
    const int32_t *width = ctx_cfg(c, f->r0 + r)->ffn_width;
    int kind = mat_kind(f->sh_down), keep = width ? width[f->layer] : 0;
    float *h = c->ff.h_sh + r * wide;
    if (keep > 0 && keep < wide) memset(h + keep, 0, sizeof(float) * (size_t)(wide - keep));
    mat_act(f->sh_down->type, h, wide, c->ff.sh_act.p[kind] + r * c->ff.sh_act.stride[kind]);
}

static void prepare_merged(ffn *f, int r)
{
    ker_ctx *c = f->c;
    int64_t one = f->gate->n_out, wide = one * c->dev->m.n_expert;
    const uint16_t *ids = c->rt.ids + trace_at(c, f->layer, f->r0 + r);
    uint64_t chosen[(KER_NO_EXPERT + 64) / 64];
    int n_expert = c->dev->m.n_expert, kind = mat_kind(&f->w->merged);
    memset(chosen, 0, sizeof *chosen * (size_t)((n_expert + 63) / 64));
    for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++) chosen[ids[s] / 64] |= UINT64_C(1) << ids[s] % 64;
    for (int e = 0; e < n_expert; e++)
        if (!(chosen[e / 64] >> e % 64 & 1)) memset(c->ff.h + r * wide + e * one, 0, sizeof(float) * (size_t)one);
    mat_act(f->w->merged.type, c->ff.h + r * wide, wide, c->ff.h_act.p[kind] + r * c->ff.h_act.stride[kind]);
}

/* Prepares h: pairs (or merged rows) first, then the shared expert's rows. */
static void prepare_task(void *arg, int task, int worker)
{
    ffn *f = arg;
    ker_ctx *c = f->c;
    int n_first = !f->routed ? 0 : f->merged ? f->n : f->n_pair, n_all = n_first + (f->sh_down ? f->n : 0);
    for (int i = task * f->per; i < (task + 1) * f->per && i < n_all; i++) {
        if (i >= n_first) prepare_shared(f, i - n_first);
        else if (f->merged) prepare_merged(f, i);
        else {
            int kind = mat_kind(f->down);
            mat_act(f->down->type, c->ff.h + i * f->down->n_in, f->down->n_in, c->ff.h_act.p[kind] + i * c->ff.h_act.stride[kind]);
        }
    }
}

/* Outputs [o0, o1) of every row: all experts' products into this worker's scratch, then the sums. */
static void down_task(void *arg, int task, int worker)
{
    ffn *f = arg;
    ker_ctx *c = f->c;
    const vec_ops *ops = c->dev->v;
    int64_t n_out = c->dev->m.n_embd, o0 = (int64_t)task * f->down_block, o1 = o0 + f->down_block < n_out ? o0 + f->down_block : n_out;
    int64_t width = o1 - o0;
    void *scratch = dev_mat_scratch(c->dev, worker);
    float *acc = dev_floats(c->dev, worker), *sh = acc + width, *part = sh + f->n * width;
    if (f->routed && f->merged) {
        int k = mat_kind(&f->w->merged);
        mat_mul(&f->w->merged, c->ff.h_act.p[k], c->ff.h_act.stride[k], f->n, o0, o1, part - o0, width, scratch);
    } else if (f->routed) {
        int k = mat_kind(f->down);
        int64_t stride = c->ff.h_act.stride[k];
        for (int i = 0; i < f->n_active; i++) {
            int e = c->ff.active[i], first = c->ff.ex_off[e];
            mat down = expert(f->down, e);
            mat_mul(&down, c->ff.h_act.p[k] + first * stride, stride, c->ff.ex_off[e + 1] - first, o0, o1, part + first * width - o0, width, scratch);
        }
    }
    if (f->sh_down) {
        int k = mat_kind(f->sh_down);
        mat_mul(f->sh_down, c->ff.sh_act.p[k], c->ff.sh_act.stride[k], f->n, o0, o1, sh - o0, width, scratch);
    }
    for (int r = 0; r < f->n; r++) {
        memset(acc, 0, sizeof(float) * (size_t)width);
        if (f->routed && f->merged) ops->add(acc, part + r * width, (int)width);
        else if (f->routed) {
            const float *weights = c->rt.weights + trace_at(c, f->layer, f->r0 + r);
            for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++)
                ops->axpy(acc, weights[s], part + c->ff.pair_pos[c->ff.slot_at[r] + s] * width, (int)width);
        }
        if (f->sh_down) ops->axpy(acc, f->coef ? f->coef[f->r0 + r] : 1, sh + r * width, (int)width);
        ops->add(c->x + (f->r0 + r) * n_out + o0, acc, (int)width);
    }
}

int64_t ffn_floats(const ker_dev *d)
{
    int64_t gate = 2 * (int64_t)FFN_ROWS * FFN_BLOCK, down = ((int64_t)d->pairs_cap + FFN_ROWS + 1) * FFN_BLOCK;
    return gate > down ? gate : down;
}

static int ffn_run(ffn *f)
{
    ker_ctx *c = f->c;
    ker_dev *d = c->dev;
    const ker_model *m = &d->m;
    int rc = c->state, n_prepare = 0;
    if (rc) return rc;
    if (f->routed) {
        group(f);
        f->merged = f->w->merged.data != NULL;
        f->ex_block = block_rows(d, f->gate->n_out * f->n_active, f->n);
        if (f->merged && f->n > 1) {               /* reading all experts once beats gathering rows for each */
            f->n_active = m->n_expert;
            for (int e = 0; e < m->n_expert; e++) c->ff.active[e] = e;
        } else if (!f->merged && f->n > 1) {
            f->per = 64;
            rc = ctx_run(c, (f->n_pair + f->per - 1) / f->per, gather_task, f);
        }
        f->ex_blocks = (int)((f->gate->n_out + f->ex_block - 1) / f->ex_block);
        n_prepare = f->merged ? f->n : f->n_pair;
    }
    if (f->sh_gate) {
        /* Neurons beyond the configured width are cleared before use, so they need not be computed. */
        f->n_ff_sh = 0;
        for (int r = 0; r < f->n; r++) {
            const int32_t *width = ctx_cfg(c, f->r0 + r)->ffn_width;
            int keep = width && width[f->layer] > 0 && width[f->layer] < f->sh_gate->n_out ? width[f->layer] : (int)f->sh_gate->n_out;
            if (keep > f->n_ff_sh) f->n_ff_sh = keep;
        }
        f->sh_block = block_rows(d, f->n_ff_sh, f->n);
        f->sh_blocks = (f->n_ff_sh + f->sh_block - 1) / f->sh_block;
        n_prepare += f->n;
    }
    if (!rc) rc = ctx_run(c, (f->routed ? f->n_active * f->ex_blocks : 0) + f->sh_blocks, gate_up_task, f);
    f->per = f->n == 1 ? n_prepare : 4;
    if (!rc) rc = ctx_run(c, (n_prepare + f->per - 1) / f->per, prepare_task, f);
    f->down_block = block_rows(d, m->n_embd, f->n);
    int most = (d->pairs_cap + FFN_ROWS + 1) * FFN_BLOCK / (1 + f->n + n_prepare) & ~15;
    if (f->down_block > most) f->down_block = most;
    return rc ? rc : ctx_run(c, (m->n_embd + f->down_block - 1) / f->down_block, down_task, f);
}

/* Takes the batch in passes that fit the scratch: FFN_ROWS rows, pairs_cap pairs. */
static int ffn_passes(ffn *f)
{
    ker_ctx *c = f->c;
    int rc = c->state;
    for (int r = 0; r < c->b.n && !rc; r += f->n) {
        int pairs = 0;
        f->r0 = r;
        for (f->n = 0; r + f->n < c->b.n && f->n < FFN_ROWS; f->n++) {
            if (f->routed && (pairs += c->rt.n_slot[r + f->n]) > c->dev->pairs_cap) break;
        }
        rc = ffn_run(f);
    }
    return rc;
}

int cpu_experts(ker_ctx *c, int layer)
{
    const layer_w *w = dev_layer(c->dev, layer);
    ffn f = { .c = c, .w = w, .layer = layer, .routed = true, .gate = &w->w[KER_W_GATE_EXPS], .up = &w->w[KER_W_UP_EXPS],
              .down = &w->w[KER_W_DOWN_EXPS], .coef = w->w[KER_W_SH_ROUTER].data ? c->rt.sh_coef : NULL };
    if (w->w[KER_W_DOWN_SH].data) {
        f.sh_gate = &w->w[KER_W_GATE_SH];
        f.sh_up = &w->w[KER_W_UP_SH];
        f.sh_down = &w->w[KER_W_DOWN_SH];
    }
    return ffn_passes(&f);
}

int cpu_dense(ker_ctx *c, int layer)
{
    const layer_w *w = dev_layer(c->dev, layer);
    ffn f = { .c = c, .w = w, .layer = layer, .sh_gate = &w->w[KER_W_GATE], .sh_up = &w->w[KER_W_UP], .sh_down = &w->w[KER_W_DOWN] };
    int rc = ctx_norm(c, w->vec[KER_W_FFN_NORM], 1u << mat_kind(f.sh_gate) | 1u << mat_kind(f.sh_up));
    return rc ? rc : ffn_passes(&f);
}
