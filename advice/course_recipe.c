/* advice/course_recipe: choices that nobody made, and refusals of what a trainer cannot do. */
#include "advice/course_recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which a parameter's name is tried. */
static const struct { const char *name, *pattern; unsigned bit; } parts[COURSE_PARTS] = {
    { "experts", ".experts.", ADV_EXPERTS },
    { "routers", ".(gate|router).", ADV_ROUTERS },
    { "embeddings", "embed_tokens", ADV_EMBEDDINGS },
    { "head", "lm_head", ADV_HEAD },
    { "dense", ".(mlp|shared_expert|shared_experts).(gate_proj|up_proj|down_proj)|shared_expert_gate", ADV_DENSE },
    { "attention", ".(self_attn|linear_attn).|norm", ADV_ATTENTION },
};
const char *course_part_name(int i) { return i < COURSE_PARTS ? parts[i].name : NULL; }
const char *course_part_pattern(int i) { return i < COURSE_PARTS ? parts[i].pattern : NULL; }

static const struct { const char *what, *word; int row; } words[] = {
    { "trainer", "trl", ADV_TRL }, { "trainer", "axolotl", ADV_AXOLOTL }, { "trainer", "llamafactory", ADV_LLAMAFACTORY },
    { "method", "lora", ADV_LORA }, { "method", "qlora", ADV_QLORA }, { "method", "full", ADV_FULL },
    { "order", "as-is", ADV_AS_IS }, { "order", "easy-first", ADV_EASY_FIRST }, { "order", "hard-first", ADV_HARD_FIRST },
    { "shard", "none", ADV_ALONE }, { "shard", "zero2", ADV_ZERO2 }, { "shard", "zero3", ADV_ZERO3 }, { "shard", "fsdp", ADV_FSDP },
};

int adv_course_word(const char *what, const char *word)
{
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].what, what) == 0 && strcmp(words[i].word, word) == 0)
            return words[i].row;
    return -1;
}

unsigned adv_course_trained(const char *list, char *err)
{
    unsigned out = 0;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ", +");
        int i = 0;
        while (i < COURSE_PARTS && !(strlen(parts[i].name) == n && strncmp(parts[i].name, p, n) == 0))
            i++;
        if (n > 0 && i == COURSE_PARTS)
            return q_fail(err, Q_RANGE, _("there is no part \"%.*s\" to train: attention, experts, dense, routers, embeddings, head"), (int)(n < 40 ? n : 40), p), 0;
        out |= n > 0 ? parts[i].bit : 0;
        p += n + (p[n] != '\0');
    }
    if (!out)
        q_fail(err, Q_RANGE, _("no part to train is named: attention, experts, dense, routers, embeddings, head"));
    return out;
}

static int find_model(const adv_course *c, course_recipe *r, char *err)
{
    const eng_known *k = NULL;
    const eng_variant *v = NULL;
    int rc = eng_catalog_find(c->model, &k, &v, err);
    if (rc)
        return rc;
    r->row = v || k->n_variant < 2 ? NULL : k;
    for (int i = 0; !v && i < k->n_variant; i++)       /* one to be trained: the base where there is one */
        if (strcmp(k->variant[i].kind, "base") == 0)
            v = &k->variant[i];
    if (!v && k->n_variant > 0)
        v = &k->variant[0];
    if (!v || !*v->repo)
        return q_fail(err, Q_NOTFOUND, _("the catalogue names no repository of weights for %s: fetch them and name their folder with --model"), k->title);
    snprintf(r->name, sizeof r->name, "%s", v->name);
    r->weights = v->repo;
    r->licence = v->licence;
    r->family = course_family_of(k->arch, k->n_expert > 0);
    if (!r->family)
        return q_fail(err, Q_NOTFOUND, _("quorum does not know what transformers calls the parts of %s: take another model, or write the trainer's file by hand"), k->arch);
    return course_shape_of_known(k, r, err);
}

static unsigned can_train(const course_recipe *r)
{
    unsigned out = ADV_ATTENTION | ADV_EMBEDDINGS | ADV_HEAD;
    if (*r->family->dense) out |= ADV_DENSE;
    if (*r->family->experts) out |= ADV_EXPERTS | ADV_ROUTERS;
    if (r->c.trainer == ADV_LLAMAFACTORY && r->c.method != ADV_FULL) out &= ~(unsigned)(ADV_EXPERTS | ADV_ROUTERS);
    if (r->shape.part[3] == 0) out &= ~(unsigned)ADV_HEAD;
    return out;
}

static int choose_trained(course_recipe *r, char *err)
{
    unsigned can = can_train(r);
    bool full = r->c.method == ADV_FULL;
    if (!r->c.trained)
        r->c.trained = full ? can & ~(r->c.trainer == ADV_LLAMAFACTORY ? 0u : (unsigned)ADV_ROUTERS) : can & (ADV_ATTENTION | ADV_EXPERTS | ADV_DENSE);
    if (!full && !(r->c.trained & (ADV_ATTENTION | ADV_EXPERTS | ADV_DENSE)))
        return q_fail(err, Q_RANGE, _("embeddings, head and routers get no adapter, they are trained whole: with nothing else beside them take --method full"));
    unsigned not_there = r->c.trained & ~can;
    for (int i = 0; i < COURSE_PARTS; i++) {
        if (!(parts[i].bit & not_there))
            continue;
        if (r->c.trainer == ADV_LLAMAFACTORY && *r->family->experts && parts[i].bit & (ADV_EXPERTS | ADV_ROUTERS))
            return q_fail(err, Q_RANGE, _("LLaMA-Factory cannot train %s by LoRA (it has no target_parameters, they stay frozen): take trl or axolotl"), parts[i].name);
        return q_fail(err, Q_RANGE, _("%s has no %s of its own to train: leave it out of --train"), r->name, parts[i].name);
    }
    if (full && r->c.trainer == ADV_LLAMAFACTORY && r->c.trained != can)
        return q_fail(err, Q_RANGE, _("LLaMA-Factory trains all or nothing with --method full: leave --train out, or take trl or axolotl"));
    return 0;
}

static int check_machine(course_recipe *r, char *err)
{
    const adv_machine *m = r->c.machine;
    r->gpus = m->n_gpu;
    r->offload = r->gpus == 1 && (r->c.shard == ADV_ZERO2 || r->c.shard == ADV_ZERO3);
    if (r->gpus > 0) {
        if (r->c.shard == ADV_FSDP && r->gpus < 2)
            return q_fail(err, Q_RANGE, _("--fsdp shares a model among GPUs, %s has one: leave it out, or name a machine of several (2x%s)"), m->title, m->name);
        return 0;
    }
    if (r->c.method == ADV_QLORA)
        return q_fail(err, Q_RANGE, _("qlora needs a GPU (bitsandbytes computes in 4 bits there), %s has none: take --method lora"), m->title);
    if (r->c.trainer == ADV_AXOLOTL)
        return q_fail(err, Q_RANGE, _("axolotl needs a GPU, %s has none: take trl"), m->title);
    if (r->c.shard != ADV_ALONE)
        return q_fail(err, Q_RANGE, _("--deepspeed and --fsdp share a model among GPUs, %s has none: leave them out"), m->title);
    return 0;
}

/* The trainers' own rates for all weights (TRL 1.16.0: SFTConfig 2e-5, DPOConfig 1e-6), and ten times that for LoRA (Schulman et al.,
 * "LoRA Without Regret", Thinking Machines, 2025-09-29). Set when the task is known: course.c. */
static void choose_numbers(course_recipe *r)
{
    adv_course *c = &r->c;
    if (!c->context) c->context = 4096;
    if (!c->batch) c->batch = 1;
    int many = r->gpus > 1 ? r->gpus : 1;
    if (!c->accumulate) c->accumulate = 16 / (c->batch * many) > 1 ? 16 / (c->batch * many) : 1;
    if (!c->rank) c->rank = 16;
    /* Rank of each expert: the whole rank shared out among them, so that experts together have a budget as a dense layer has. */
    if (!c->rank_expert && r->shape.experts > 0) c->rank_expert = c->rank / (int)r->shape.experts > 1 ? c->rank / (int)r->shape.experts : 1;
    if (!(c->epochs > 0)) c->epochs = 1;
}

int course_resolve(const adv_course *c, course_recipe *out, char *err)
{
    *out = (course_recipe){ .c = *c, .licence = "" };
    if (!c->model || !*c->model)
        return q_fail(err, Q_RANGE, _("--model names what is to be trained: a model of the catalogue (quorum advise lists them), or a folder with config.json"));
    if (!c->machine)
        return q_fail(err, Q_RANGE, _("--machine names where it is to be trained"));
    char *config = q_printf("%s/config.json", c->model);
    q_buf probe = { 0 };
    char why[Q_ERRLEN];
    bool folder = strchr(c->model, '/') && q_read_file(config, &probe, 1 << 20, why) == 0;
    q_buf_free(&probe);
    free(config);
    int rc = folder ? course_shape_of_folder(c->model, out, err) : find_model(c, out, err);
    if (rc)
        return rc;
    if (folder)                          /* the trainer runs in another folder */
        out->weights = realpath(c->model, out->folder) ? out->folder : c->model;
    if (c->weights)
        out->weights = c->weights;
    if ((rc = check_machine(out, err)) != 0 || (rc = choose_trained(out, err)) != 0)
        return rc;
    if (c->method != ADV_FULL && c->rank < 0)
        return q_fail(err, Q_RANGE, _("--rank is 1 or more"));
    choose_numbers(out);
    return 0;
}
