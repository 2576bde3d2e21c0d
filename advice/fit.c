/* advice/fit: what a model takes of a machine, where it lies there, and how fast it will be. See advice.h.
 *
 * A token's time is what it reads divided by how fast that is read: weights (engine/models.h counts them exactly), the cells before it,
 * and a recurrent model's states, read and written. What lies on a GPU is read at the GPU's speed, the rest at the memory's; several
 * GPUs hold layers one after another, so that their speeds do not add up. Shares of the measured speed that decoding reaches were measured
 * on synthetic files (SPEED.md, "what the adviser foretells"): see share. Prefill: multiply-adds divided by how many are done a second. */
#include "advice/room.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_CONTEXT = 8192, MOST_CONTEXT = 1 << 20, CELLS = 64 /* before the token whose time is foretold */ };
/* Of the bandwidth that reading alone reaches: what decoding does. */
static const double share = .94, share_madds = .75;

/* What a layer of a token costs a GPU beside the bytes: launching and waiting. From one measurement, 463 tokens/s of 30B-A3B in Q4_K_M on
 * an H100 (README.md): 2.16 ms, of which .61 are bytes, over 48 layers. */
static const double gpu_layer = 32e-6;

typedef struct pools { uint64_t gpu, ram; double gpu_speed; } pools;

static pools look(const adv_machine *m)
{
    pools p = {.ram = m->ram_free > ADV_ROOM_RAM ? m->ram_free - ADV_ROOM_RAM : 0};
    for (int i = 0; i < m->n_gpu; i++) {
        p.gpu += m->gpu[i].free > ADV_ROOM_GPU ? m->gpu[i].free - ADV_ROOM_GPU : 0;
        if (m->gpu[i].bandwidth > 0 && (p.gpu_speed <= 0 || m->gpu[i].bandwidth < p.gpu_speed)) p.gpu_speed = m->gpu[i].bandwidth;
    }
    return p;
}

/* Of a token's experts so many lie in memory where a share of all does, those that were chosen lately and often. Measured on traces of
 * Qwen3-30B-A3B and Gemma-4-26B-A4B (SPEED.md, "Models larger than memory"), from an empty memory; the lower of the two. */
static double here_of(double s)
{
    static const struct { double share, here; } at[] = { {0, 0}, {.125, .615}, {.1875, .719}, {.336, .850}, {.5, .907}, {1, 1} };
    for (size_t i = 1; i < sizeof at / sizeof *at; i++)
        if (s < at[i].share) return at[i - 1].here + (at[i].here - at[i - 1].here) * (s - at[i - 1].share) / (at[i].share - at[i - 1].share);
    return 1;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Where it lies. beside: cells and states, which stay with what is not routed. */
static void place(adv_fit *f, const pools *p, uint64_t beside)
{
    uint64_t routed = f->costs.bytes[ENG_ENERGY_EXPERTS], rest = f->weights - routed, all = f->weights + beside;
    bool moe = f->costs.n_expert > 0;
    if (p->gpu >= all) {
        f->place = ADV_GPU;
        f->on_gpu = all;
    } else if (p->gpu && (moe ? p->gpu >= rest + beside : p->gpu >= beside) && p->gpu + p->ram >= all) {
        f->place = ADV_SPLIT;
        f->on_gpu = p->gpu;
        f->in_ram = all - p->gpu;
    } else if (p->ram >= all) {
        f->place = ADV_RAM;
        f->in_ram = all;
    } else if (moe && p->ram >= rest + beside + routed / 8) {
        f->place = ADV_DISK;
        f->in_ram = p->ram;
        f->on_disk = all - p->ram;
    } else f->place = ADV_NOWHERE;
}

/* Bytes that one token reads of weights on a GPU and in RAM. */
static void reads(const adv_fit *f, uint64_t beside, int k, double *gpu, double *ram)
{
    const eng_energy *e = &f->costs;
    double all = (double)eng_energy_bytes(e, k), routed = (double)e->read[ENG_ENERGY_EXPERTS] * (e->n_expert ? k : 0), rest = all - routed;
    uint64_t outside = f->weights - e->bytes[ENG_ENERGY_EXPERTS] + beside;       /* of the GPU, if it is a split */
    *gpu = f->place == ADV_GPU ? all : 0;
    *ram = f->place == ADV_RAM ? all : 0;
    if (f->place != ADV_SPLIT) return;
    double held = e->n_expert ? (double)(f->on_gpu - outside) / (double)e->bytes[ENG_ENERGY_EXPERTS] : (double)(f->on_gpu - beside) / (double)f->weights;
    *gpu = e->n_expert ? rest + held * routed : held * all;
    *ram = all - *gpu;
}

/* Experts beyond the memory are waited for: the time that a token's bytes take from memory, and what of them comes from the disk. */
static void foretell_disk(adv_fit *f, const pools *p, const adv_machine *m, uint64_t beside, int k)
{
    const eng_energy *e = &f->costs;
    uint64_t routed = e->bytes[ENG_ENERGY_EXPERTS], room = p->ram - beside;
    double all = (double)eng_energy_bytes(e, k), late = (double)e->read[ENG_ENERGY_EXPERTS] * k * (1 - here_of((double)(room - (f->weights - routed)) / (double)routed));
    f->weights_ram = floor((double)room / (1024.0 * 1024 * 1024) * 10) / 10;
    if (!(m->disk > 0) || !(m->ram_bandwidth > 0)) return;
    f->decode = 1 / (all / (share * m->ram_bandwidth) + late / m->disk);
    f->guess = true;
}

static void foretell(adv_fit *f, const pools *p, const adv_machine *m, uint64_t beside, int k)
{
    if (f->place == ADV_DISK) {
        foretell_disk(f, p, m, beside, k);
        return;
    }
    double gpu, ram, cells = (double)f->kv_token * CELLS + 2 * (double)f->costs.state_bytes;
    reads(f, beside, k, &gpu, &ram);
    if (f->place == ADV_RAM) ram += cells;
    else gpu += cells;
    bool known = (f->place == ADV_GPU || f->place == ADV_SPLIT || f->place == ADV_RAM) && (gpu <= 0 || f->place == ADV_RAM || p->gpu_speed > 0) &&
                 (ram <= 0 || m->ram_bandwidth > 0);
    if (!known) return;
    double seconds = (f->place == ADV_RAM ? 0 : gpu / (share * p->gpu_speed) + gpu_layer * f->costs.n_layer) + (ram > 0 ? ram / (share * m->ram_bandwidth) : 0);
    f->decode = seconds > 0 ? 1 / seconds : 0;
    if (f->place == ADV_RAM && m->madds > 0) f->prefill = share_madds * m->madds / ((double)eng_energy_flops(&f->costs, k, CELLS) / 2);
    f->guess = !m->measured || f->place != ADV_RAM;
}

void fit_costs(const eng_energy *e, const adv_wish *w, const adv_machine *m, int context_most, adv_fit *out)
{
    const int users = w->users > 0 ? w->users : 1, context = w->context > 0 ? w->context : DEFAULT_CONTEXT, k = w->k > 0 ? w->k : e->n_used;
    const pools p = look(m);
    *out = (adv_fit){.costs = *e};
    for (int i = 0; i < ENG_ENERGY_PARTS; i++) out->weights += e->bytes[i];
    out->kv_token = (uint64_t)eng_energy_kv_bytes(e, w->kv_type ? w->kv_type : "f16");
    out->kv = out->kv_token * (uint64_t)context * (uint64_t)users;
    out->state = e->state_bytes * (uint64_t)users;
    uint64_t beside = out->kv + out->state;
    place(out, &p, beside);
    out->room = out->place == ADV_GPU || out->place == ADV_SPLIT ? ADV_ROOM_GPU * (uint64_t)m->n_gpu : ADV_ROOM_RAM;
    foretell(out, &p, m, beside, k);
    if (out->place == ADV_NOWHERE) return;
    /* The longest: what of this place is left beside the weights and the states. */
    uint64_t routed = e->bytes[ENG_ENERGY_EXPERTS], held = out->weights + out->state, has = out->place == ADV_GPU ? p.gpu : p.ram;
    if (out->place == ADV_SPLIT) {
        uint64_t outside = (e->n_expert ? out->weights - routed : 0) + out->state;
        has = p.gpu + p.ram > held ? least(p.gpu + p.ram - held, p.gpu - least(p.gpu, outside)) : 0;
    } else if (out->place == ADV_DISK) {
        uint64_t kept = out->weights - routed + routed / 8 + out->state;
        has = has > kept ? has - kept : 0;
    } else has = has > held ? has - held : 0;
    uint64_t each = out->kv_token * (uint64_t)users, most = each ? has / each : MOST_CONTEXT;
    uint64_t limit = context_most > 0 ? (uint64_t)context_most : MOST_CONTEXT;
    out->context_max = (int)least(most, limit);
}

int adv_fit_known(const eng_known *k, const adv_wish *w, const adv_machine *m, adv_fit *out, char *err)
{
    eng_energy e;
    int rc = eng_energy_like(k->arch, k->like, w->type, 0, &e, err);
    if (rc == Q_OK) fit_costs(&e, w, m, k->n_ctx, out);
    return rc;
}

/* Bytes of one of an expert's three matrices. */
static size_t expert_matrix(const eng_energy *e)
{
    uint64_t n = (uint64_t)e->n_routed * (uint64_t)e->n_expert * 3;
    return n ? (size_t)(e->bytes[ENG_ENERGY_EXPERTS] / n) + 1 : 1;
}

int adv_fit_file(const char *path, const adv_wish *w, const adv_machine *m, adv_fit *out, char *err)
{
    eng_energy e;
    int rc = eng_energy_read(path, &e, err);
    if (rc != Q_OK) return rc;
    adv_machine own = *m;
    own.n_gpu = m->n_gpu > 0;      /* a file is what this program opens, on one GPU; every architecture of the engine computes there */
    fit_costs(&e, w, &own, e.n_ctx, out);
    if (out->place == ADV_DISK && own.measured) {          /* the disk that it lies on, not the one that was looked at */
        own.disk = eng_disk_speed(path, expert_matrix(&e));
        fit_costs(&e, w, &own, e.n_ctx, out);
    }
    return rc;
}
