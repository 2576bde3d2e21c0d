/* kernels/cpu/ffn: the feed-forward part of a layer: routed experts, the shared expert, dense layers; and the
 * same in three steps for experts that run on another device (take, run, add).
 * Tokens are grouped by expert; one barrier after gate and up, one after h is prepared, one at the end,
 * none per expert. A row's result is the sum over its slots in slot order, then the shared expert, then
 * the residual, whatever the grouping and wherever the slots were computed. Runs between begin and end on
 * the pool; allocates only the rows of moe_run. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"

typedef struct ffn {
    ker_ctx *c;
    const layer_w *w;
    int layer, r0, n;                              /* rows [r0, r0 + n) of the batch */
    bool routed, merged;
    enum ker_glu glu;
    const mat *gate, *up, *down;                   /* of experts */
    const mat *sh_gate, *sh_up, *sh_down;          /* of the shared expert or the dense layer; NULL: none */
    const float *coef;                             /* [row] of the batch, or NULL = 1 */
    struct {                                       /* of the batch, for routed experts */
        const uint16_t *ids;                       /* [row][max_k] */
        int max_k, n_row, pair;                    /* pair: those of rows before r0 */
        const int32_t *width;                      /* [row] of routed experts that run for others; NULL: all */
    } of;
    bool run;                                      /* rows of pairs go to run_y, nothing is added up */
    bool finish;                                   /* sums go to y, and ctx_finish adds them to the stream */
    const ker_moe *given;                          /* rows of pairs come from there */
    int n_pair, n_active;
    struct { int i0, i1, p0, p1; } wave;           /* active experts that are taken at once, and their sorted pairs */
    bool low;                                      /* adapters act: */
    low_job lows[6];                               /* LOW_*; items are sorted pairs, or rows */
    struct { int ex_block, ex_blocks, sh_block, sh_blocks, down_block, per, n_ff, n_ff_sh; } cut;
} ffn;

enum { LOW_GATE, LOW_UP, LOW_SH_GATE, LOW_SH_UP, LOW_DOWN, LOW_SH_DOWN };
enum { GATE = KER_W_GATE_EXPS, UP = KER_W_UP_EXPS, DOWN = KER_W_DOWN_EXPS };

/* The matrix of the i-th active expert: inside the stacked one, or as the source gave it. */
static inline mat expert(const ffn *f, int which, int i)
{
    const ker_expert *given = &f->c->ff.take[i];
    mat m = *(which == GATE ? f->gate : which == UP ? f->up : f->down);
    if (f->c->dev->source.acquire) m.data = which == GATE ? given->gate : which == UP ? given->up : given->down;
    else m.data += (int64_t)f->c->ff.active[i] * f->w->apart[which];
    return m;
}

/* What a product of few columns meets behind its own rows: those of the i-th active expert, as far as a core's second cache has room. */
static void meets_next(const ffn *f, mat *m, const acts *a, int kind, int i)
{
    const int *off = f->c->ff.ex_off, e = f->c->ff.active[i];
    int64_t bytes = (off[e + 1] - off[e]) * a->stride[kind];
    m->next_act = a->p[kind] + off[e] * a->stride[kind];
    m->next_bytes = bytes < 128 << 10 ? bytes : 128 << 10;
}

static const uint16_t *ids_of(const ffn *f, int r) { return f->of.ids + (int64_t)(f->r0 + r) * f->of.max_k; }

/* Sorts the rows' (row, slot) pairs by expert: counting sort, so rows of an expert stay in row order. */
static void group(ffn *f)
{
    ker_ctx *c = f->c;
    int n_expert = c->dev->m.n_expert, *off = c->ff.ex_off;
    memset(off, 0, sizeof *off * (size_t)(n_expert + 1));
    f->n_pair = 0;
    for (int r = 0; r < f->n; r++) {
        const uint16_t *ids = ids_of(f, r);
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
        const uint16_t *ids = ids_of(f, r);
        for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++) {
            int at = off[ids[s]]++;                /* off[e] ends as the end of e: shifted back below */
            c->ff.pair_row[at] = r;
            c->ff.pair_at[at] = c->ff.slot_at[r] + s;
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
    for (int p = task * f->cut.per; p < (task + 1) * f->cut.per && p < f->n_pair; p++)
        for (int k = 0; k < N_ACT; k++) {
            if (!(kinds >> k & 1)) continue;
            int64_t stride = c->in.stride[k];
            memcpy(c->ff.gather.p[k] + p * stride, c->in.p[k] + (f->r0 + c->ff.pair_row[p]) * stride, (size_t)stride);
        }
}

/* An expert's numbers of a bias that the layer may have; NULL: none. */
static const float *bias_of(const ffn *f, enum ker_role role, int e, int64_t width)
{
    const float *all = f->w->vec[role];
    return all ? all + e * width : NULL;
}

/* What adapters add to outputs [o0, o1) of gate and up of n rows: to all, or in a merged layer to those that chose the expert. */
static void gate_up_low(const ffn *f, int e, int64_t o0, int64_t width, int n, float *g, float *u)
{
    const ker_ctx *c = f->c;
    const low_job *l = f->lows + (e < 0 ? LOW_SH_GATE : LOW_GATE);
    int first = e < 0 ? 0 : c->ff.ex_off[e], count = e < 0 ? n : c->ff.ex_off[e + 1] - first;
    for (int i = first; i < first + count; i++) {
        int64_t at = (e >= 0 && f->merged ? c->ff.pair_row[i] : i - first) * width;
        low_add(c, &l[0], i, o0, width, g + at);
        low_add(c, &l[1], i, o0, width, u + at);
    }
}

/* h[row][o] for outputs [o0, o1) of n rows. e: the expert, -1 for the shared one or a dense layer. */
static void gate_up(ffn *f, int worker, int e, const mat *gate, const mat *up, const acts *a, int64_t first, int n, int64_t o0, int64_t o1,
                    float *h, int64_t h_stride)
{
    ker_dev *d = f->c->dev;
    float *g = dev_floats(d, worker), *u = g + n * (o1 - o0);
    void *scratch = dev_mat_scratch(d, worker);
    int kg = mat_kind(gate), ku = mat_kind(up);
    int64_t width = o1 - o0;
    mat first_of = *gate;
    first_of.next = up->data + o0 * up->row_bytes;
    mat_mul(&first_of, a->p[kg] + first * a->stride[kg], a->stride[kg], n, o0, o1, g - o0, width, scratch);
    mat_mul(up, a->p[ku] + first * a->stride[ku], a->stride[ku], n, o0, o1, u - o0, width, scratch);
    if (f->low) gate_up_low(f, e, o0, width, n, g, u);
    const float *bg = e < 0 ? NULL : bias_of(f, KER_W_BGATE_EXPS, e, gate->n_out), *bu = e < 0 ? NULL : bias_of(f, KER_W_BUP_EXPS, e, up->n_out);
    for (int r = 0; r < n; r++) {
        if (bg) d->v->add(g + r * width, bg + o0, (int)width);
        if (bu) d->v->add(u + r * width, bu + o0, (int)width);
        d->v->glu[f->glu](g + r * width, u + r * width, h + r * h_stride + o0, (int)width);
    }
}

static void gate_up_task(void *arg, int task, int worker)
{
    ffn *f = arg;
    ker_ctx *c = f->c;
    int n_routed = f->routed ? (f->wave.i1 - f->wave.i0) * f->cut.ex_blocks : 0;
    if (task >= n_routed) {
        int64_t o0 = (int64_t)(task - n_routed) * f->cut.sh_block, o1 = o0 + f->cut.sh_block < f->cut.n_ff_sh ? o0 + f->cut.sh_block : f->cut.n_ff_sh;
        gate_up(f, worker, -1, f->sh_gate, f->sh_up, &c->in, f->r0, f->n, o0, o1, c->ff.h_sh, f->sh_gate->n_out);
        return;
    }
    int64_t o0 = (int64_t)(task % f->cut.ex_blocks) * f->cut.ex_block, o1 = o0 + f->cut.ex_block < f->cut.n_ff ? o0 + f->cut.ex_block : f->cut.n_ff;
    int i = f->wave.i0 + task / f->cut.ex_blocks, e = c->ff.active[i];
    mat gate = expert(f, GATE, i), up = expert(f, UP, i);
    up.next = o1 < f->cut.n_ff ? gate.data + o1 * gate.row_bytes : i + 1 < f->wave.i1 ? expert(f, GATE, i + 1).data : f->sh_gate ? f->sh_gate->data : NULL;
    if (f->merged) {                               /* every row: columns of experts that a row did not choose are cleared later */
        int64_t wide = f->merged ? c->dev->m.n_expert * f->gate->n_out : 0;
        gate_up(f, worker, e, &gate, &up, &c->in, f->r0, f->n, o0, o1, c->ff.h + e * f->gate->n_out, wide);
    } else if (f->n == 1) {
        gate_up(f, worker, e, &gate, &up, &c->in, f->r0, 1, o0, o1, c->ff.h + c->ff.ex_off[e] * f->gate->n_out, f->gate->n_out);
    } else {
        gate_up(f, worker, e, &gate, &up, &c->ff.gather, c->ff.ex_off[e], c->ff.ex_off[e + 1] - c->ff.ex_off[e], o0, o1,
                c->ff.h + c->ff.ex_off[e] * f->gate->n_out, f->gate->n_out);
    }
}

/* ---- neurons in effect: see ker_config ---- */

static int32_t shared_width(const ffn *f, int r)
{
    const int32_t *width = ctx_cfg(f->c, f->r0 + r)->ffn_width;
    return width ? width[f->layer] : 0;
}

static int32_t expert_width(const ffn *f, int r)
{
    if (f->run) return f->of.width ? f->of.width[f->r0 + r] : 0;
    const int32_t *width = ctx_cfg(f->c, f->r0 + r)->expert_width;
    return width ? width[f->layer] : 0;
}

/* What must be computed for the rows at hand of `all` neurons: those beyond are cleared before use. */
static int widest(const ffn *f, int32_t (*of)(const ffn *f, int r), int64_t all)
{
    int n = 0;
    for (int r = 0; r < f->n; r++) {
        int32_t keep = of(f, r);
        if (keep <= 0 || keep > all) return (int)all;
        if (keep > n) n = keep;
    }
    return n;
}

/* The size of a number as an integer that rises with it; numbers that are not finite are the largest and stay. */
static inline uint32_t magnitude(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u & 0x7fffffffu;
}

/* Clears all but the `keep` largest: the keep-th largest is found bit by bit. */
static void keep_largest(float *h, int n, int keep)
{
    uint32_t edge = 0;
    for (uint32_t bit = UINT32_C(1) << 30; bit; bit >>= 1) {
        int count = 0;
        for (int i = 0; i < n; i++) count += magnitude(h[i]) >= (edge | bit);
        if (count >= keep) edge |= bit;
    }
    int equals = keep;                             /* of those at the edge so many stay */
    for (int i = 0; i < n; i++) equals -= magnitude(h[i]) > edge;
    for (int i = 0; i < n; i++) {
        uint32_t m = magnitude(h[i]);
        if (m < edge || (m == edge && --equals < 0)) h[i] = 0;
    }
}

static void narrow(float *h, int64_t n, int32_t width)
{
    if (width > 0 && width < n) memset(h + width, 0, sizeof(float) * (size_t)(n - width));
    else if (width < 0 && -(int64_t)width < n) keep_largest(h, (int)n, -width);
}

static void prepare_shared(ffn *f, int r)
{
    ker_ctx *c = f->c;
    int64_t wide = f->sh_down->n_in;
    int kind = mat_kind(f->sh_down);
    float *h = c->ff.h_sh + r * wide;
    narrow(h, wide, shared_width(f, r));
    mat_act(f->sh_down->type, h, wide, c->ff.sh_act.p[kind] + r * c->ff.sh_act.stride[kind]);
}

static void prepare_merged(ffn *f, int r)
{
    ker_ctx *c = f->c;
    int64_t one = f->gate->n_out, wide = one * c->dev->m.n_expert;
    const uint16_t *ids = ids_of(f, r);
    uint64_t chosen[(KER_NO_EXPERT + 64) / 64];
    int n_expert = c->dev->m.n_expert, kind = mat_kind(&f->w->merged);
    memset(chosen, 0, sizeof *chosen * (size_t)((n_expert + 63) / 64));
    for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++) chosen[ids[s] / 64] |= UINT64_C(1) << ids[s] % 64;
    int32_t width = expert_width(f, r);
    for (int e = 0; e < n_expert; e++) {
        float *h = c->ff.h + r * wide + e * one;
        if (chosen[e / 64] >> e % 64 & 1) narrow(h, one, width);
        else memset(h, 0, sizeof(float) * (size_t)one);
    }
    mat_act(f->w->merged.type, c->ff.h + r * wide, wide, c->ff.h_act.p[kind] + r * c->ff.h_act.stride[kind]);
}

/* Prepares h: pairs of the wave (or merged rows) first, then the shared expert's rows. */
static void prepare_task(void *arg, int task, int worker)
{
    ffn *f = arg;
    ker_ctx *c = f->c;
    int n_first = !f->routed ? 0 : f->merged ? f->n : f->wave.p1 - f->wave.p0, n_all = n_first + (f->sh_down ? f->n : 0);
    for (int i = task * f->cut.per; i < (task + 1) * f->cut.per && i < n_all; i++) {
        if (i >= n_first) prepare_shared(f, i - n_first);
        else if (f->merged) prepare_merged(f, i);
        else {
            int kind = mat_kind(f->down), p = f->wave.p0 + i;
            narrow(c->ff.h + p * f->down->n_in, f->down->n_in, expert_width(f, c->ff.pair_row[p]));
            mat_act(f->down->type, c->ff.h + p * f->down->n_in, f->down->n_in, c->ff.h_act.p[kind] + p * c->ff.h_act.stride[kind]);
        }
    }
}

/* The slot of a row whose id is the least above `last`; -1: none. */
static int slot_after(const uint16_t *ids, int n_slot, int last)
{
    int next = -1;
    for (int s = 0; s < n_slot; s++)
        if (ids[s] > last && (next < 0 || ids[s] < ids[next])) next = s;
    return next;
}

/* The sum over a row's slots, from rows that moe_run made: weighted in slot order, or in a carved layer the chain
 * over all experts in the order of their ids. */
static void add_given(const ffn *f, int r, int64_t o0, int64_t width, float *acc)
{
    ker_ctx *c = f->c;
    const ker_moe *m = f->given;
    const float *weights = c->rt.weights + trace_at(c, f->layer, f->r0 + r);
    const uint16_t *ids = ids_of(f, r);
    int64_t n_embd = c->dev->m.n_embd, pair = f->of.pair + c->ff.slot_at[r];
    int n_slot = c->rt.n_slot[f->r0 + r];
    if (!m->scale) {
        for (int s = 0; s < n_slot; s++) c->dev->v->axpy(acc, weights[s], m->y + (pair + s) * n_embd + o0, (int)width);
        return;
    }
    for (int s = slot_after(ids, n_slot, -1); s >= 0; s = slot_after(ids, n_slot, ids[s]))
        for (int t = 0; t < m->n_term; t++) {
            int64_t at = ((int64_t)t * m->n_pair + pair + s) * n_embd + o0;
            for (int64_t o = 0; o < width; o++) acc[o] = fmaf(m->scale[at + o], m->y[at + o], acc[o]);
        }
    for (int s = slot_after(ids, m->low ? n_slot : 0, -1); s >= 0; s = slot_after(ids, n_slot, ids[s]))
        c->dev->v->add(acc, m->low + (pair + s) * n_embd + o0, (int)width);
}

/* What adapters add to outputs [o0, o0 + width) of a carved layer's row: each expert's by itself (into `one`), in the order of ids. */
static void add_merged_low(const ffn *f, int r, int64_t o0, int64_t width, float *one, float *acc)
{
    ker_ctx *c = f->c;
    const uint16_t *ids = ids_of(f, r);
    int n_slot = c->rt.n_slot[f->r0 + r];
    for (int s = slot_after(ids, n_slot, -1); s >= 0; s = slot_after(ids, n_slot, ids[s])) {
        memset(one, 0, sizeof(float) * (size_t)width);
        low_add(c, &f->lows[LOW_DOWN], c->ff.pair_pos[c->ff.slot_at[r] + s], o0, width, one);
        c->dev->v->add(acc, one, (int)width);
    }
}

/* Outputs [o0, o1) of the wave's pairs, to be added up later or elsewhere. part: [pair, sorted by expert][width]; not for
 * merged experts, whose terms are taken apart here. */
static void put_pairs(const ffn *f, const float *part, int64_t o0, int64_t width)
{
    ker_ctx *c = f->c;
    int64_t n_embd = c->dev->m.n_embd;
    for (int p = f->wave.p0; !f->merged && p < f->wave.p1; p++)
        memcpy(c->ff.run_y + (int64_t)(f->of.pair + c->ff.pair_at[p]) * n_embd + o0, part + (p - f->wave.p0) * width, sizeof(float) * (size_t)width);
    for (int r = 0; f->merged && r < f->n; r++)
        for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++) {
            int64_t local = c->ff.slot_at[r] + s, pair = f->of.pair + local;
            if (f->low) {
                float *low = c->low.run + pair * n_embd + o0;
                memset(low, 0, sizeof(float) * (size_t)width);
                low_add(c, &f->lows[LOW_DOWN], c->ff.pair_pos[local], o0, width, low);
            }
            int k = mat_kind(&f->w->merged), n_term = mat_terms(f->w->merged.type);
            for (int64_t o = o0; o < o0 + width; o++) {
                float scale[2], y[2];
                mat_block_terms(&f->w->merged, o, ids_of(f, r)[s], c->ff.h_act.p[k] + r * c->ff.h_act.stride[k], scale, y);
                for (int t = 0; t < n_term; t++) {
                    int64_t at = ((int64_t)t * c->ff.run_pairs + pair) * n_embd + o;
                    c->ff.run_scale[at] = scale[t];
                    c->ff.run_y[at] = y[t];
                }
            }
        }
}

/* Outputs [o0, o1) of every row: all experts' products into this worker's scratch, then the sums. */
static void down_task(void *arg, int task, int worker)
{
    ffn *f = arg;
    ker_ctx *c = f->c;
    const vec_ops *ops = c->dev->v;
    int64_t n_out = c->dev->m.n_embd, o0 = (int64_t)task * f->cut.down_block, o1 = o0 + f->cut.down_block < n_out ? o0 + f->cut.down_block : n_out;
    int64_t width = o1 - o0;
    void *scratch = dev_mat_scratch(c->dev, worker);
    float *acc = dev_floats(c->dev, worker), *sh = acc + width, *part = sh + f->n * width;
    if (f->routed && f->merged && !f->run) {
        int k = mat_kind(&f->w->merged);
        mat_mul(&f->w->merged, c->ff.h_act.p[k], c->ff.h_act.stride[k], f->n, o0, o1, part - o0, width, scratch);
    } else if (f->routed && !f->merged) {
        int k = mat_kind(f->down);
        int64_t stride = c->ff.h_act.stride[k];
        for (int i = f->wave.i0; i < f->wave.i1; i++) {
            int e = c->ff.active[i], first = c->ff.ex_off[e];
            float *to = part + (first - f->wave.p0) * width;
            mat down = expert(f, DOWN, i);
            down.next = i + 1 < f->wave.i1 ? expert(f, DOWN, i + 1).data + o0 * down.row_bytes
                        : f->sh_down ? f->sh_down->data + o0 * f->sh_down->row_bytes : expert(f, DOWN, f->wave.i0).data + o1 * down.row_bytes;
            meets_next(f, &down, &c->ff.h_act, k, i + 1 < f->wave.i1 ? i + 1 : f->wave.i0);
            mat_mul(&down, c->ff.h_act.p[k] + first * stride, stride, c->ff.ex_off[e + 1] - first, o0, o1, to - o0, width, scratch);
            for (int p = first; f->low && p < c->ff.ex_off[e + 1]; p++) low_add(c, &f->lows[LOW_DOWN], p, o0, width, to + (p - first) * width);
            const float *bias = bias_of(f, KER_W_BDOWN_EXPS, e, n_out);
            for (int p = first; bias && p < c->ff.ex_off[e + 1]; p++) ops->add(to + (p - first) * width, bias + o0, (int)width);
        }
    }
    if (f->run) {
        put_pairs(f, part, o0, width);
        return;
    }
    if (f->sh_down) {
        int k = mat_kind(f->sh_down);
        mat down = *f->sh_down;
        if (f->routed && !f->merged) down.next = expert(f, DOWN, 0).data + o1 * f->down->row_bytes;
        mat_mul(&down, c->ff.sh_act.p[k], c->ff.sh_act.stride[k], f->n, o0, o1, sh - o0, width, scratch);
        for (int r = 0; f->low && r < f->n; r++) low_add(c, &f->lows[LOW_SH_DOWN], r, o0, width, sh + r * width);
    }
    for (int r = 0; r < f->n; r++) {
        memset(acc, 0, sizeof(float) * (size_t)width);
        if (f->given) add_given(f, r, o0, width, acc);
        else if (f->routed && f->merged) {
            ops->add(acc, part + r * width, (int)width);
            if (f->low) add_merged_low(f, r, o0, width, part + r * width, acc);
        } else if (f->routed) {
            const float *weights = c->rt.weights + trace_at(c, f->layer, f->r0 + r);
            for (int s = 0; s < c->rt.n_slot[f->r0 + r]; s++)
                ops->axpy(acc, weights[s], part + c->ff.pair_pos[c->ff.slot_at[r] + s] * width, (int)width);
        }
        if (f->sh_down) ops->axpy(acc, f->coef ? f->coef[f->r0 + r] : 1, sh + r * width, (int)width);
        if (f->finish) {
            memcpy(c->y + (f->r0 + r) * n_out + o0, acc, sizeof(float) * (size_t)width);
            continue;
        }
        float *x = c->x + (f->r0 + r) * n_out + o0;
        ops->add(x, acc, (int)width);
        if (!ops->finite(x, width)) ctx_mark(c, f->r0 + r, f->layer, KER_PART_FFN);
    }
}

int64_t ffn_floats(const ker_dev *d)
{
    int64_t gate = 2 * (int64_t)FFN_ROWS * FFN_BLOCK, down = ((int64_t)d->pairs_cap + FFN_ROWS + 1) * FFN_BLOCK;
    return gate > down ? gate : down;
}

/* Experts of a source are taken in waves, as many of those that are left as it gives at once. Where rows of pairs are added up in the
 * same pass there is one wave, see cpu_experts. */
static int take_experts(ffn *f)
{
    const ker_source *s = &f->c->dev->source;
    int n = f->n_active - f->wave.i0, most = s->acquire && s->most && f->run ? s->most(s->user, f->layer, n) : n;
    f->wave.i1 = f->wave.i0 + (most > n ? n : most < 1 && n ? 1 : most);
    f->wave.p0 = n ? f->c->ff.ex_off[f->c->ff.active[f->wave.i0]] : 0;
    f->wave.p1 = n ? f->c->ff.ex_off[f->c->ff.active[f->wave.i1 - 1] + 1] : 0;
    if (!s->acquire || !n) return Q_OK;
    return s->acquire(s->user, f->layer, f->c->ff.active + f->wave.i0, f->wave.i1 - f->wave.i0, f->c->ff.take + f->wave.i0, f->c->cancel, &f->c->ff.count);
}

static void give_experts(ffn *f)
{
    const ker_source *s = &f->c->dev->source;
    if (s->acquire && s->release && f->n_active) s->release(s->user, f->layer, f->c->ff.active + f->wave.i0, f->wave.i1 - f->wave.i0);
}

/* What adapters have to add in this wave: jobs of all six products; t of gate and up. */
static int low_first(ffn *f)
{
    ker_ctx *c = f->c;
    static const enum ker_role dense[3] = { KER_W_GATE, KER_W_UP, KER_W_DOWN }, shared[3] = { KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH }, experts[3] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };
    static const int at[3] = { LOW_GATE, LOW_UP, LOW_DOWN }, sh_at[3] = { LOW_SH_GATE, LOW_SH_UP, LOW_SH_DOWN };
    int64_t n_embd = c->dev->m.n_embd, one = f->routed ? f->gate->n_out : 0;
    for (int i = 0; i < 3; i++) {
        f->lows[at[i]] = (low_job){ .layer = f->layer, .role = experts[i], .x = c->y + f->r0 * n_embd, .x_row = n_embd, .from = f->routed ? f->wave.p0 : 0, .n = f->routed ? f->wave.p1 : 0,
                                    .first = f->r0,                                    .row = c->ff.pair_row, .e = c->low.e };
        f->lows[sh_at[i]] = (low_job){ .layer = f->layer, .role = (f->routed || f->given ? shared : dense)[i], .x = c->y + f->r0 * n_embd, .x_item = n_embd,
                                       .n = f->sh_gate ? f->n : 0, .first = f->r0 };
    }
    low_job *down = &f->lows[LOW_DOWN], *sh = &f->lows[LOW_SH_DOWN];
    down->x = c->ff.h;
    down->x_item = f->merged ? 0 : one;
    down->x_row = f->merged ? one * c->dev->m.n_expert : 0;
    down->x_e = f->merged ? one : 0;
    sh->x = c->ff.h_sh;
    sh->x_item = f->sh_down ? f->sh_down->n_in : 0;
    for (int e = 0; f->routed && e < c->dev->m.n_expert; e++)
        for (int p = c->ff.ex_off[e]; p < c->ff.ex_off[e + 1]; p++) c->low.e[p] = e;
    return low_prepare(c, f->lows, LOW_DOWN);
}

/* One wave, or a pass without experts. */
static int ffn_wave(ffn *f)
{
    ker_ctx *c = f->c;
    ker_dev *d = c->dev;
    int n_embd = d->m.n_embd, rc = Q_OK, n_prepare = 0;
    if (f->routed) {
        if ((rc = take_experts(f))) return c->state = rc;
        if (f->merged && f->n > 1) f->wave.i1 = f->n_active;
        f->cut.ex_block = block_rows(d, (int64_t)f->cut.n_ff * (f->wave.i1 - f->wave.i0), f->n);
        f->cut.ex_blocks = (f->cut.n_ff + f->cut.ex_block - 1) / f->cut.ex_block;
        n_prepare = f->merged ? f->n : f->wave.p1 - f->wave.p0;
    }
    n_prepare += f->sh_gate ? f->n : 0;
    if (f->low) rc = low_first(f);
    if (!rc) rc = ctx_run(c, (f->routed ? (f->wave.i1 - f->wave.i0) * f->cut.ex_blocks : 0) + f->cut.sh_blocks, gate_up_task, f);
    f->cut.per = f->n == 1 ? n_prepare : 4;
    if (!rc && n_prepare) rc = ctx_run(c, (n_prepare + f->cut.per - 1) / f->cut.per, prepare_task, f);
    if (!rc && f->low) rc = low_prepare(c, &f->lows[LOW_DOWN], 2);
    f->cut.down_block = block_rows(d, n_embd, f->n);
    int most = (d->pairs_cap + FFN_ROWS + 1) * FFN_BLOCK / (1 + f->n + n_prepare) & ~15;
    if (f->cut.down_block > most) f->cut.down_block = most;
    assert(f->n <= FFN_ROWS && f->n_pair <= d->pairs_cap && f->cut.down_block > 0);      /* what scratch and buffers were made for */
    assert((int64_t)(1 + f->n + n_prepare) * f->cut.down_block <= ffn_floats(d));
    rc = rc ? rc : ctx_run(c, (n_embd + f->cut.down_block - 1) / f->cut.down_block, down_task, f);
    if (f->routed) give_experts(f);
    return rc;
}

static int ffn_run(ffn *f)
{
    ker_ctx *c = f->c;
    ker_dev *d = c->dev;
    const ker_model *m = &d->m;
    int rc = c->state;
    if (rc) return rc;
    if (f->routed || f->given) group(f);
    if (f->routed) {
        f->merged = f->w->merged.data != NULL;
        f->cut.n_ff = widest(f, expert_width, f->gate->n_out);
        if (f->merged && f->n > 1) {               /* reading all experts once beats gathering rows for each */
            f->n_active = m->n_expert;
            for (int e = 0; e < m->n_expert; e++) c->ff.active[e] = e;
        } else if (!f->merged && f->n > 1) {
            f->cut.per = 64;
            rc = ctx_run(c, (f->n_pair + f->cut.per - 1) / f->cut.per, gather_task, f);
        }
    }
    if (f->sh_gate) {
        f->cut.n_ff_sh = widest(f, shared_width, f->sh_gate->n_out);
        f->cut.sh_block = block_rows(d, f->cut.n_ff_sh, f->n);
        f->cut.sh_blocks = (f->cut.n_ff_sh + f->cut.sh_block - 1) / f->cut.sh_block;
    }
    f->wave.i1 = 0;
    do {
        f->wave.i0 = f->wave.i1;
        rc = rc ? rc : ffn_wave(f);
    } while (!rc && f->routed && f->wave.i1 < f->n_active);
    return rc;
}

/* Takes the batch in passes that fit the scratch: FFN_ROWS rows, pairs_cap pairs. */
static int ffn_passes(ffn *f)
{
    ker_ctx *c = f->c;
    bool slots = f->routed || f->given;
    int rc = c->state;
    f->low = low_acts(c) && (!f->run || f->low);
    f->finish = !f->run && ctx_finishes(c, f->layer, KER_PART_FFN);
    for (int r = 0; r < f->of.n_row && !rc; r += f->n, f->of.pair += slots ? f->n_pair : 0) {
        int pairs = 0;
        f->r0 = r;
        for (f->n = 0; r + f->n < f->of.n_row && f->n < FFN_ROWS; f->n++) {
            if (slots && (pairs += c->rt.n_slot[r + f->n]) > c->dev->pairs_cap) break;
        }
        rc = ffn_run(f);
    }
    return rc || !f->finish ? rc : ctx_finish(c, f->layer, KER_PART_FFN);
}

/* ---- the layer's parts ---- */

static ffn moe_part(ker_ctx *c, int layer, bool routed)
{
    const layer_w *w = dev_layer(c->dev, layer);
    ffn f = { .c = c, .w = w, .layer = layer, .glu = c->dev->m.layer[layer].glu, .routed = routed, .gate = &w->w[KER_W_GATE_EXPS], .up = &w->w[KER_W_UP_EXPS],
              .down = &w->w[KER_W_DOWN_EXPS] };
    return f;
}

static void with_shared(ffn *f)
{
    ker_ctx *c = f->c;
    f->of.ids = c->rt.ids + trace_at(c, f->layer, 0);
    f->of.max_k = c->max_k;
    f->of.n_row = c->b.n;
    f->coef = f->w->w[KER_W_SH_ROUTER].data ? c->rt.sh_coef : NULL;
    if (!f->w->w[KER_W_DOWN_SH].data) return;
    f->sh_gate = &f->w->w[KER_W_GATE_SH];
    f->sh_up = &f->w->w[KER_W_UP_SH];
    f->sh_down = &f->w->w[KER_W_DOWN_SH];
}


int cpu_dense(ker_ctx *c, int layer)
{
    const layer_w *w = dev_layer(c->dev, layer);
    ffn f = { .c = c, .w = w, .layer = layer, .glu = c->dev->m.layer[layer].glu, .sh_gate = &w->w[KER_W_GATE], .sh_up = &w->w[KER_W_UP], .sh_down = &w->w[KER_W_DOWN],
              .of = { .n_row = c->b.n } };
    int rc = ctx_norm(c, w->vec[KER_W_FFN_NORM], 1u << mat_kind(f.sh_gate) | 1u << mat_kind(f.sh_up));
    return rc ? rc : ffn_passes(&f);
}

/* ---- the same in three ---- */

int cpu_moe_take(ker_ctx *c, int layer, ker_moe *out)
{
    if (c->state) return c->state;
    int64_t at = trace_at(c, layer, 0);
    *out = (ker_moe){ .n = c->b.n, .max_k = c->max_k, .x = c->y, .ids = c->rt.ids + at, .weights = c->rt.weights + at };
    for (int r = 0; r < c->b.n; r++) {
        const int32_t *width = ctx_cfg(c, r)->expert_width;
        out->n_pair += c->rt.n_slot[r];
        c->rt.width[r] = width ? width[layer] : 0;
        if (width && width[layer]) out->width = c->rt.width;
    }
    return Q_OK;
}

typedef struct take_job { ker_ctx *c; const ker_moe *moe; unsigned kinds; } take_job;

static void take_task(void *arg, int r, int worker)
{
    take_job *j = arg;
    int64_t n = j->c->dev->m.n_embd;
    acts_put(&j->c->in, j->kinds, r, j->moe->x + r * n, n);
}

static bool run_room(ker_ctx *c, int64_t n, bool scaled)
{
    if (n <= c->ff.run_cap && (!scaled || c->ff.run_scale)) return true;
    free(c->ff.run_y);
    free(c->ff.run_scale);
    c->ff.run_y = act_alloc(sizeof(float) * (size_t)n);
    c->ff.run_scale = scaled ? act_alloc(sizeof(float) * (size_t)n) : NULL;
    bool ok = c->ff.run_y && (!scaled || c->ff.run_scale);
    c->ff.run_cap = ok ? n : 0;
    return ok;
}

static bool low_room(ker_ctx *c, int64_t n)
{
    if (n <= c->low.run_cap) return true;
    free(c->low.run);
    c->low.run = act_alloc(sizeof(float) * (size_t)n);
    c->low.run_cap = c->low.run ? n : 0;
    return c->low.run != NULL;
}

int cpu_moe_run(ker_ctx *c, int layer, ker_moe *moe)
{
    ffn f = moe_part(c, layer, true);
    int64_t n_embd = c->dev->m.n_embd;
    int n_pair = 0;
    bool carved = f.w->merged.data != NULL;
    if (!c->open) c->state = Q_OK;                 /* a context that only runs experts has no begin */
    if (c->state) return c->state;
    if (!c->dev->scratch_bytes || !f.down->n_out || moe->n < 1 || moe->n > c->max_rows || moe->max_k > c->dev->m.n_expert) return Q_RANGE;
    for (int r = 0; r < moe->n; r++) {
        const uint16_t *ids = moe->ids + (int64_t)r * moe->max_k;
        int k = 0;
        for (; k < moe->max_k && ids[k] != KER_NO_EXPERT; k++)
            if (ids[k] >= c->dev->m.n_expert) return Q_RANGE;
        c->rt.n_slot[r] = k;
        n_pair += k;
    }
    assert(n_pair == moe->n_pair);
    moe->n_term = carved ? mat_terms(f.w->merged.type) : 1;
    if (!run_room(c, (int64_t)n_pair * moe->n_term * n_embd, carved)) return Q_NOMEM;
    c->ff.run_pairs = n_pair;
    f.of.ids = moe->ids;
    f.of.max_k = moe->max_k;
    f.of.n_row = moe->n;
    f.of.width = moe->width;
    f.run = true;
    take_job j = { c, moe, 1u << mat_kind(f.gate) | 1u << mat_kind(f.up) };
    bool told = moe->slot && !c->open;             /* else of its own rows the configurations are known */
    if (told) {
        char err[Q_ERRLEN];
        c->b = (ker_batch){ .n = moe->n, .slot = moe->slot };
        int rc = low_begin(c, err);
        if (rc) return rc;
        if (low_acts(c)) memcpy(c->y, moe->x, sizeof(float) * (size_t)(moe->n * n_embd));      /* where changes read rows */
    }
    f.low = (told || (c->open && moe->x == c->y)) && low_acts(c);
    if (f.low && carved && !low_room(c, n_pair * n_embd)) return Q_NOMEM;
    int rc = ctx_run(c, moe->n, take_task, &j);
    if (!rc) rc = ffn_passes(&f);
    moe->y = c->ff.run_y;
    moe->scale = carved ? c->ff.run_scale : NULL;
    moe->low = carved && f.low ? c->low.run : NULL;
    return rc;
}

int cpu_moe_add(ker_ctx *c, int layer, const ker_moe *moe)
{
    if (c->state) return c->state;
    ffn f = moe_part(c, layer, false);
    with_shared(&f);
    f.given = moe;
    return ffn_passes(&f);
}

/* ---- routed, shared, residual ---- */

int moe_distinct(ker_ctx *c, int layer)
{
    int n = 0, n_expert = c->dev->m.n_expert;
    for (int e = 0; e < n_expert; e++) c->ff.active[e] = 0;
    for (int r = 0; r < c->b.n; r++)
        for (int s = 0; s < c->rt.n_slot[r]; s++) c->ff.active[c->rt.ids[trace_at(c, layer, r) + s]] = 1;
    for (int e = 0; e < n_expert; e++)
        if (c->ff.active[e]) c->ff.id[n++] = e;
    return n;
}

/* Where a source gives fewer experts at once than the batch needs, pairs are computed as for another device, and then added up. */
int cpu_experts(ker_ctx *c, int layer)
{
    const ker_source *s = &c->dev->source;
    int n = s->most && !c->state ? moe_distinct(c, layer) : 0;
    if (n && s->most(s->user, layer, n) < n) {
        ker_moe moe;
        int rc = cpu_moe_take(c, layer, &moe);
        if (!rc) rc = cpu_moe_run(c, layer, &moe);
        if (rc && !c->state) c->state = rc;
        return rc ? rc : cpu_moe_add(c, layer, &moe);
    }
    ffn f = moe_part(c, layer, true);
    with_shared(&f);
    return ffn_passes(&f);
}
