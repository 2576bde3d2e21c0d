/* engine/model/energy: what a token costs, counted from tensors. See engine/models.h and energy.h.
 *
 * flops: a weight of a matrix takes part in one multiplication and one addition a token; a cell of a head's K or V number
 * likewise, so 4 n_head head_dim a layer and cell; a number of a recurrent layer's state takes part in 7; of a latent cell a head takes all numbers for
 * K and the latent for V. Norms, rope, softmax and sampling are left out: under a thousandth. */
#include "engine/model/energy.h"
#include "engine/run/arch.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <string.h>

/* Which part a tensor belongs to; the first that fits. Names: ggml/docs/gguf.md. */
static const struct { const char *has; enum eng_energy_part part; } places[] = {
    {"token_embd", ENG_ENERGY_EMBED},   {"output_norm", ENG_ENERGY_HEAD}, {"ffn_gate_inp", ENG_ENERGY_ROUTER},
    {"exp_probs_b", ENG_ENERGY_ROUTER}, {"_exps.", ENG_ENERGY_EXPERTS},   {"attn_", ENG_ENERGY_ATTN},
    {"ssm_", ENG_ENERGY_ATTN},          {"ffn_", ENG_ENERGY_DENSE},       {"output.", ENG_ENERGY_HEAD},
};

static enum eng_energy_part place_of(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (memmem(name, n, places[i].has, strlen(places[i].has)))
            return places[i].part;
    return ENG_ENERGY_DENSE;
}

void energy_add(eng_energy *e, const char *name, size_t n, const int64_t ne[4], uint64_t bytes)
{
    enum eng_energy_part p = place_of(name, n);
    uint64_t numbers = (uint64_t)ne[0] * (uint64_t)ne[1] * (uint64_t)ne[2] * (uint64_t)ne[3];
    bool matrix = ne[1] > 1;
    e->params[p] += numbers;
    e->bytes[p] += bytes;
    if (p == ENG_ENERGY_EMBED) {
        e->read[p] += ne[1] > 0 ? bytes / (uint64_t)ne[1] : 0;
        return;
    }
    bool bias = memmem(name, n, ".bias", 5) != NULL;               /* experts': a row an expert */
    uint64_t parts = p == ENG_ENERGY_EXPERTS && ne[bias ? 1 : 2] > 0 ? (uint64_t)ne[bias ? 1 : 2] : 1;
    e->read[p] += bytes / parts;
    e->flops[p] += matrix && !bias ? 2 * (numbers / parts) : 0;
    e->n_recurrent += memmem(name, n, "ssm_conv1d", 10) != NULL;
    e->n_routed += memmem(name, n, "ffn_down_exps.weight", 20) != NULL;
    e->n_sinks += memmem(name, n, "attn_sinks", 10) != NULL;
}

bool energy_beside(const gguf_tensor *t, uint64_t n_layer)
{
    uint64_t at = 0;
    size_t i = 4;
    if (t->name.n < 6 || memcmp(t->name.p, "blk.", 4) != 0) return false;
    for (; i < t->name.n && i < 10 && t->name.p[i] >= '0' && t->name.p[i] <= '9'; i++) at = at * 10 + (uint64_t)(t->name.p[i] - '0');
    return i > 4 && at >= n_layer;
}

void energy_tensors(eng_energy *e, const gguf_file *f, uint64_t n_layer)
{
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        if (!n_layer || !energy_beside(t, n_layer))
            energy_add(e, t->name.p, t->name.n, t->ne, t->bytes);
    }
}

static int small(uint64_t v) { return v < 1 << 30 ? (int)v : 1 << 30; }

energy_cell energy_cells(uint64_t n_head, uint64_t n_kv, uint64_t head_dim, uint64_t kv_rank)
{
    return (energy_cell){ .numbers = kv_rank ? head_dim : 2 * n_kv * head_dim, .flops = kv_rank ? 2 * n_head * (head_dim + kv_rank) : 4 * n_head * head_dim,
                          .heads = kv_rank ? 1 : n_kv, .width = head_dim, .rank = kv_rank };
}

void energy_shape(eng_energy *e, uint64_t n_layer, energy_cell cell, uint64_t n_expert, uint64_t n_used)
{
    e->n_layer = small(n_layer);
    e->n_expert = e->n_routed ? small(n_expert) : 0;
    e->n_used = e->n_routed ? small(n_used) : 0;
    uint64_t recurrent = (uint64_t)e->n_recurrent, cells = n_layer > recurrent ? n_layer - recurrent : 0;
    e->flops_cell = cells * cell.flops;
    e->kv_numbers = cells * cell.numbers;
    e->kv_heads = small(cell.heads);
    e->kv_width = small(cell.width);
    e->kv_rank = small(cell.rank);
    e->flops[ENG_ENERGY_ATTN] += 7 * (e->state_bytes / 4);         /* a number of a state: decay 1, S^T k, update and S^T q 2 each */
    if (e->flops[ENG_ENERGY_HEAD] == 0) {      /* tied: the embedding is the head's matrix too */
        e->read[ENG_ENERGY_HEAD] += e->bytes[ENG_ENERGY_EMBED];
        e->flops[ENG_ENERGY_HEAD] += 2 * e->params[ENG_ENERGY_EMBED];
    }
}

void energy_windows(eng_energy *e, energy_cell cell, int near, int window)
{
    if (near <= 0 || window <= 0 || near > e->n_layer) return;
    e->window = window;
    e->n_near = near;
    e->flops_near = (uint64_t)near * cell.flops;
    e->flops_cell -= e->flops_near;
}

int energy_near(const char *arch_name, int n_layer)
{
    const arch *a = arch_find(arch_name, strlen(arch_name));
    int every = a ? a->attn.window_every : 0;
    return every ? n_layer - n_layer / every : n_layer;
}

/* ---- for a number of experts ---- */
static uint64_t experts(const eng_energy *e, int k) { return (uint64_t)(k < 0 ? 0 : k > e->n_expert ? e->n_expert : k); }

uint64_t eng_energy_active(const eng_energy *e, int k)
{
    uint64_t n = 0;
    for (int p = 0; p < ENG_ENERGY_PARTS; p++)
        n += p != ENG_ENERGY_EXPERTS ? e->params[p] : e->n_expert ? e->params[p] / (uint64_t)e->n_expert * experts(e, k) : 0;
    return n;
}

static uint64_t sum(const uint64_t part[ENG_ENERGY_PARTS], uint64_t k)
{
    uint64_t n = 0;
    for (int p = 0; p < ENG_ENERGY_PARTS; p++)
        n += part[p] * (p == ENG_ENERGY_EXPERTS ? k : 1);
    return n;
}

uint64_t eng_energy_bytes(const eng_energy *e, int k) { return sum(e->read, experts(e, k)); }
uint64_t eng_energy_moved(const eng_energy *e, int k) { return eng_energy_bytes(e, k) + 2 * e->state_bytes; }
uint64_t eng_energy_flops(const eng_energy *e, int k, uint64_t cells)
{
    uint64_t near = cells < (uint64_t)e->window ? cells : (uint64_t)e->window;
    return sum(e->flops, experts(e, k)) + cells * e->flops_cell + near * e->flops_near;
}

const char *eng_kv_type(int i) { return ker_kv_name((enum ker_kv_type)i); }

double eng_energy_kv_bytes(const eng_energy *e, const char *kv_type)
{
    int t = ker_kv_find(kv_type), layers = e->n_layer - e->n_recurrent;
    ker_model m = { .n_kv_head = e->kv_heads, .head_dim = e->kv_width, .latent.kv_rank = e->kv_rank };
    return t < 0 || layers <= 0 ? 0 : (double)ker_kv_head_bytes(&m, (enum ker_kv_type)t) * e->kv_heads * layers / KER_PAGE;
}

uint64_t eng_energy_cells(const eng_energy *e, const char *kv_type, uint64_t cells)
{
    int with = e->n_layer - e->n_recurrent;
    if (with <= 0) return 0;
    double a_layer = eng_energy_kv_bytes(e, kv_type) / with;
    uint64_t near = e->n_near && cells > (uint64_t)e->window ? (uint64_t)e->window : cells;
    return (uint64_t)(a_layer * ((double)(with - e->n_near) * (double)cells + (double)e->n_near * (double)near));
}

bool eng_runs(const char *name) { return arch_find(name, strlen(name)) != NULL; }
