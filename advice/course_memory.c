/* advice/course_memory: what training holds in memory, by part, on the fullest GPU.
 * Weights: 2 bytes (BF16); what is trained in full without DeepSpeed 4, as there the optimiser keeps no copy of its own; with FSDP all of them, as one
 * shard has one type; axolotl trains in BF16 throughout, moments too. In 4 bits: NF4 in blocks of 64
 * with scales quantised again, 4.127 bits a number (Dettmers et al. 2023, arXiv 2305.14314, section 3), of matrices only.
 * Trained numbers: 16 bytes each with Adam in mixed precision (Rajbhandari et al. 2020, arXiv 1910.02054, section 3.1: weight 2, gradient 2,
 * float copy and two moments 12; an adapter and FSDP: weight 4, gradient 4, moments 8). ZeRO-2 shares out optimiser and gradients, ZeRO-3 and FSDP
 * weights too (the same, section 5).
 * Activations: with recomputation the input of each layer, 2 bytes a number (Korthikanti et al. 2022, arXiv 2205.05198, section 5), and one layer's
 * own at its widest, with their gradients: counted here from what the layer keeps; attention as FlashAttention and SDPA do it keeps no square.
 * Logits: BF16, a float copy and its gradient. Room: a CUDA context and what allocation loses, a guess: 1 GiB and a twentieth. */
#include "advice/course_recipe.h"

static const unsigned bit[COURSE_PARTS] = { ADV_EXPERTS, ADV_ROUTERS, ADV_EMBEDDINGS, ADV_HEAD, ADV_DENSE, ADV_ATTENTION };

static double lora_numbers(const course_recipe *r)
{
    const course_shape *s = &r->shape;
    double out = 0, rank = r->c.rank;
    unsigned t = r->c.trained;
    if (t & ADV_ATTENTION)               /* q, k, v, o in each layer; recurrent ones have about the same widths */
        out += s->layers * rank * (4 * s->embd + 2 * s->q + s->kv);
    if (t & ADV_DENSE)
        out += s->layers * rank * 3 * (s->embd + s->ff_dense);
    if (t & ADV_EXPERTS)                 /* gate and up are one parameter */
        out += s->layers_moe * s->experts * r->c.rank_expert * ((s->embd + 2 * s->ff_expert) + (s->ff_expert + s->embd));
    for (int i = 1; i < 4; i++)          /* routers, embeddings and head are trained whole */
        out += t & bit[i] ? (double)s->part[i] : 0;
    return out;
}

static double layer_keeps(const course_recipe *r)      /* numbers a token */
{
    const course_shape *s = &r->shape;
    return 3 * s->embd + 2 * s->q + s->kv + s->used * (3 * s->ff_expert + s->embd) + 3 * s->ff_dense + 4 * s->experts;
}

void course_load(const course_recipe *r, adv_load *out)
{
    const course_shape *s = &r->shape;
    const adv_course *c = &r->c;
    double all = 0, trained = 0, weights = 0, n = r->gpus > 1 ? r->gpus : 1;
    bool full = c->method == ADV_FULL, four = c->method == ADV_QLORA, zero = c->shard == ADV_ZERO2 || c->shard == ADV_ZERO3;
    bool pure = full && !zero && c->trainer == ADV_AXOLOTL, wide = four && c->trainer != ADV_AXOLOTL && s->part[0] > 0;
    *out = (adv_load){ .experts_stay_wide = wide };
    for (int i = 0; i < COURSE_PARTS; i++) {
        double p = (double)s->part[i];
        bool narrow = four && (i == 4 || i == 5 || (i == 0 && !wide));       /* bitsandbytes leaves embedding, head and routers */
        all += p;
        trained += full && c->trained & bit[i] ? p : 0;
        weights += p * (narrow ? 4.127 / 8 : full && !zero && !pure && (c->trained & bit[i] || c->shard == ADV_FSDP) ? 4 : 2);
    }
    double adapter = full ? 0 : lora_numbers(r);
    if (!full) trained = adapter;
    bool share_all = c->shard == ADV_ZERO3 || c->shard == ADV_FSDP, share = share_all || c->shard == ADV_ZERO2;
    double tokens = (double)c->context * c->batch;
    out->params = (uint64_t)all;
    out->trained = (uint64_t)trained;
    out->weights = (uint64_t)(weights / (share_all ? n : 1));
    out->adapter = (uint64_t)(adapter * 4 / (share_all ? n : 1));
    out->gradients = (uint64_t)(trained * (full && (zero || pure) ? 2 : 4) / (share ? n : 1));
    out->optimiser = (uint64_t)(trained * (pure ? 4 : full && zero ? 12 : 8) / (share ? n : 1));
    out->activations = (uint64_t)(2 * tokens * (s->embd * s->layers + 2 * layer_keeps(r)));
    out->logits = (uint64_t)(tokens * s->vocab * 10);
    if (r->offload) {                    /* both lie in RAM */
        out->offloaded = out->gradients + out->optimiser;
        out->gradients = out->optimiser = 0;
    }
    uint64_t sum = out->weights + out->adapter + out->gradients + out->optimiser + out->activations + out->logits;
    out->room = ((uint64_t)1 << 30) + sum / 20;
    out->total = sum + out->room;
    const adv_machine *m = c->machine;
    out->have = r->gpus ? m->gpu[0].bytes : m->ram;
    for (int i = 1; i < r->gpus; i++)
        out->have = m->gpu[i].bytes < out->have ? m->gpu[i].bytes : out->have;
    out->fits = out->total <= out->have;
    out->merging = full ? 0 : (uint64_t)(all * 2);
}
