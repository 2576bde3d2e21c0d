/* advice/course_words: what a person reads of a training folder: the estimate by part, what to know before it runs, README.md, and the
 * script that is run. */
#include "advice/course_recipe.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *key, *words; size_t at; } loads[] = {
    { "weights", N_("weights"), offsetof(adv_load, weights) },
    { "adapter", N_("adapter"), offsetof(adv_load, adapter) },
    { "gradients", N_("gradients"), offsetof(adv_load, gradients) },
    { "optimiser", N_("optimiser"), offsetof(adv_load, optimiser) },
    { "activations", N_("activations"), offsetof(adv_load, activations) },
    { "logits", N_("logits"), offsetof(adv_load, logits) },
    { "room", N_("room for the rest"), offsetof(adv_load, room) },
    { "total", N_("together"), offsetof(adv_load, total) },
};
static const char *const trainers[ADV_TRAINERS] = { "TRL", "axolotl", "LLaMA-Factory" }, *const methods[ADV_METHODS] = { "LoRA", "QLoRA", "full" };
static uint64_t load_at(const adv_load *l, size_t i) { return *(const uint64_t *)((const char *)l + loads[i].at); }

static void table(const adv_load *l, const char *row, q_buf *out)      /* row: a format of a name and a size */
{
    char size[32];
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
        if (load_at(l, i) > 0)
            q_buf_printf(out, row, _(loads[i].words), q_bytes_brief(load_at(l, i), size));
}

static void names(const course_recipe *r, bool of_trained, q_buf *out)
{
    const char *sep = "";
    char err[Q_ERRLEN];
    for (int i = 0; course_part_name(i); i++)
        if (r->shape.part[i] > 0 && !(adv_course_trained(course_part_name(i), err) & r->c.trained) != of_trained) {
            q_buf_printf(out, "%s%s", sep, course_part_name(i));
            sep = ", ";
        }
    q_buf_puts(out, *sep ? "" : "-");
}

/* "3.54 million", "30.53 thousand million": numbers of a model. */
static char *count(uint64_t n, char out[48])
{
    snprintf(out, 48, n < 1000000000 ? _("%.2f million") : _("%.2f thousand million"), (double)n / (n < 1000000000 ? 1e6 : 1e9));
    return out;
}

/* ---- what should be known before it runs ---- */
static void warn_experts(const course_recipe *r, const adv_load *l, q_buf *out)
{
    bool lora = r->c.method != ADV_FULL, experts = r->c.trained & ADV_EXPERTS;
    char size[32];
    if (!(r->shape.experts > 0))
        return;
    if (r->c.trainer == ADV_LLAMAFACTORY && lora)
        q_buf_puts(out, _("Routed experts stay frozen with LLaMA-Factory's LoRA: only attention and what else is named learns. TRL and axolotl train them.\n"));
    if (l->experts_stay_wide)
        q_buf_printf(out, _("In 4 bits lie only modules with this trainer: routed experts stay in 16 bits and take %s. axolotl makes them 4 bits too.\n"),
                     q_bytes_brief(r->shape.part[0] * 2, size));
    if (experts && lora)
        q_buf_puts(out, _("vLLM drops or refuses adapters of routed experts (vllm issues 52194 and 52198): join the adapter with the model before it is served.\n"));
    if (r->c.trained & ADV_ROUTERS)
        q_buf_puts(out, _("Routers are trained: watch that all experts stay in use (quorum routing on the result), and keep the rate low.\n"));
}

/* Does it fit with one thing changed? */
static bool would(const course_recipe *r, const adv_course *c)
{
    course_recipe q;
    adv_load l;
    char err[Q_ERRLEN];
    if (course_resolve(c, &q, err) != 0)
        return false;
    q.task = r->task;
    course_load(&q, &l);
    return l.fits;
}

static void also(q_buf *all, const char *what) { q_buf_printf(all, "%s%s", all->len ? _(", or ") : "", what); }

static adv_course changed(const course_recipe *r, enum adv_trainer trainer, enum adv_method method)
{
    adv_course c = r->c;
    c.trainer = trainer;
    c.method = method;
    c.trained = 0;                       /* each has its own */
    return c;
}

/* By how much it does not fit, and each single change with which it would. */
static void warn_size(const course_recipe *r, const adv_load *l, q_buf *out)
{
    q_buf all = { 0 };
    char total[32], have[32], over[32], what[64];
    const adv_machine *m = r->c.machine;
    adv_course c = changed(r, r->c.trainer, ADV_LORA);
    if (r->c.method == ADV_FULL && would(r, &c)) also(&all, "--method lora");
    c = changed(r, r->c.trainer, ADV_QLORA);
    if (r->c.method != ADV_QLORA && would(r, &c)) also(&all, "--method qlora");
    c = changed(r, ADV_AXOLOTL, ADV_QLORA);
    if (r->c.trainer != ADV_AXOLOTL && would(r, &c)) also(&all, _("axolotl and --method qlora"));
    c = r->c;
    c.shard = ADV_ZERO3;
    if (r->c.shard == ADV_ALONE && would(r, &c)) also(&all, "--deepspeed zero3");
    c = r->c;
    while (c.context > 512 && (c.context /= 2, !would(r, &c))) ;
    if (c.context < r->c.context && would(r, &c)) snprintf(what, sizeof what, "--context %d", c.context), also(&all, what);
    c = r->c;
    c.shard = ADV_ZERO3;
    for (int n = 2; r->gpus == 1 && n <= ADV_GPUS; n *= 2) {
        adv_machine more = *m;
        for (int i = 1; i < n; i++) more.gpu[i] = m->gpu[0];
        more.n_gpu = n;
        c.machine = &more;
        if (!would(r, &c)) continue;
        snprintf(what, sizeof what, _("%d such GPUs with --deepspeed zero3"), n), also(&all, what);
        break;
    }
    q_buf_printf(out, _("It does not fit: about %s are needed, %s has %s, %s too little. What would do: %s.\n"), q_bytes_brief(l->total, total), r->gpus > 1 ? _("each GPU") : m->title,
                 q_bytes_brief(l->have, have), q_bytes_brief(l->total - l->have, over), all.len ? all.p : _("a smaller model or a larger machine"));
    q_buf_free(&all);
}

static void warn_row(const course_recipe *r, q_buf *out)
{
    q_buf others = { 0 };
    for (int i = 0; i < r->row->n_variant; i++)
        if (strcmp(r->row->variant[i].name, r->name) != 0)
            q_buf_printf(&others, "%s%s", others.len ? ", " : "", r->row->variant[i].name);
    q_buf_printf(out, _("--model %s is several models: %s was taken, the one to train from; the others by name: %s.\n"), r->c.model, r->name, others.p);
    q_buf_free(&others);
}

void course_warn(const course_recipe *r, const adv_load *l, q_buf *out)
{
    char total[32];
    const adv_course *c = &r->c;
    if (!l->fits)
        warn_size(r, l, out);
    if (r->row)
        warn_row(r, out);
    if (l->offloaded)
        q_buf_printf(out, _("On one GPU DeepSpeed keeps gradients and optimiser in RAM: %s of it.\n"), q_bytes_brief(l->offloaded, total));
    warn_experts(r, l, out);
    if (r->family->mxfp4)
        q_buf_puts(out, _("The published weights are MXFP4; they are widened to 16 bits to be trained, and stay so afterwards.\n"));
    if (c->trainer == ADV_LLAMAFACTORY && r->task != ADV_TEXT && !*r->family->template_)
        q_buf_puts(out, _("LLaMA-Factory has no template of this family: write the right one behind template in config.yaml.\n"));
    if (r->task == ADV_TALK && c->trainer == ADV_TRL && !r->family->masks)
        q_buf_puts(out, _("TRL cannot tell what the assistant says in this family's template: it learns from questions too.\n"));
    if (c->stop_loss > 0 && c->trainer != ADV_TRL)
        q_buf_puts(out, _("Only TRL stops at a held-out loss here: this trainer knows patience alone.\n"));
    if (!r->eval)
        q_buf_puts(out, _("Nothing is held out: no loss says when it begins to learn by heart.\n"));
}

/* ---- README.md ---- */
static const char *const install[ADV_TRAINERS] = {
    "pip install trl==1.16.0 peft accelerate==1.15.0 datasets",
    "pip install axolotl==0.19.0",
    "pip install llamafactory==0.9.5",
};

static void readme_run(const course_recipe *r, q_buf *out)
{
    bool zero = r->c.shard == ADV_ZERO2 || r->c.shard == ADV_ZERO3;
    q_buf_printf(out, "## %s\n\n    python3 -m venv venv && . venv/bin/activate\n    %s%s%s\n", _("How it is run"), install[r->c.trainer],
                 r->c.method == ADV_QLORA ? " bitsandbytes" : "", zero ? " deepspeed" : "");
    q_buf_puts(out, "    ./run.sh train\n");
    if (r->c.method != ADV_FULL)
        q_buf_puts(out, "    ./run.sh merge\n");
    q_buf_puts(out, "    LLAMA_CPP=~/llama.cpp ./run.sh gguf\n\n");
    q_buf_puts(out, _("`train` goes on from its last checkpoint when it was interrupted. `gguf` makes model.gguf with llama.cpp's convert_hf_to_gguf.py (without\nLLAMA_CPP with quorum model convert, where that takes such a folder);\n"
                      "quorum opens that file, and llama-quantize makes smaller ones of it. What is trained lies in output/"));
    q_buf_puts(out, r->c.method != ADV_FULL ? _(", the model joined with it in merged/.\n\n") : ".\n\n");
}

void course_readme(const course_recipe *r, const adv_load *l, const char *said, q_buf *out)
{
    q_buf trained = { 0 }, frozen = { 0 };
    char size[32], all[48], some[48];
    names(r, true, &trained);
    names(r, false, &frozen);
    q_buf_printf(out, "# %s, %s, %s\n\n", r->name, trainers[r->c.trainer], methods[r->c.method]);
    q_buf_printf(out, _("Made by quorum train-config for %s. Trained: %s. Frozen: %s.\n"), r->c.machine->title, trained.p, frozen.p);
    if (r->c.method != ADV_FULL)
        q_buf_printf(out, r->shape.experts > 0 && r->c.trained & ADV_EXPERTS ? _("Rank %d, of each routed expert %d.\n") : _("Rank %d.\n"), r->c.rank, r->c.rank_expert);
    q_buf_printf(out, _("Of %s numbers %s are trained."), count(l->params, all), count(l->trained, some));
    q_buf_puts(out, "\n\n");
    readme_run(r, out);
    q_buf_printf(out, "## %s\n\n| %s | %s |\n|---|---|\n", _("Memory"), _("part"), r->gpus > 1 ? _("on each GPU") : r->gpus ? _("on the GPU") : _("in RAM"));
    table(l, "| %s | %s |\n", out);
    q_buf_puts(out, "\n");
    q_buf_puts(out, _("An estimate. Weights, gradients and optimiser are counted exactly (16 bytes a trained number with Adam in mixed precision: Rajbhandari et al.\n"
                      "2020, arXiv 1910.02054; 4.127 bits a number in NF4: Dettmers et al. 2023, arXiv 2305.14314); activations with recomputation after Korthikanti et\n"
                      "al. 2022, arXiv 2205.05198; room is a guess.\n"));
    if (l->merging)
        q_buf_printf(out, _("Joining the adapter with the model takes %s of RAM.\n"), q_bytes_brief(l->merging, size));
    if (said && *said) {
        q_buf_printf(out, "\n## %s\n\n", _("Know before it runs"));
        for (const char *p = said; *p;) {
            size_t n = strcspn(p, "\n");
            q_buf_printf(out, "- %.*s\n", (int)n, p);
            p += n + (p[n] == '\n');
        }
    }
    q_buf_printf(out, "\n## %s\n\n", _("What to watch"));
    q_buf_puts(out, _("- The held-out loss (eval_loss): when it rises while the loss falls, the examples are being learnt by heart: stop, or take fewer epochs.\n"
                      "- The loss of the first steps: far above 3 for a model that knows the language means a wrong template or broken data.\n"
                      "- grad_norm: jumps mean too high a rate.\n"));
    if (r->shape.experts > 0)
        q_buf_puts(out, _("- Experts: `quorum compare` on a text from elsewhere says what was forgotten, `quorum routing` who is still in use.\n"));
    if (*r->licence)
        q_buf_printf(out, _("\nThe model's licence is %s: what is made of it falls under it.\n"), r->licence);
    q_buf_free(&trained);
    q_buf_free(&frozen);
}

/* ---- run.sh ---- */
void course_run(const course_recipe *r, q_buf *out)
{
    bool lora = r->c.method != ADV_FULL;
    q_buf weights = { 0 };
    for (const char *p = r->weights; *p; p++)            /* between single quotes */
        q_buf_puts(&weights, *p == '\'' ? "'\\''" : (char[2]){ *p, 0 });
    q_buf_puts(out, "#!/bin/sh\n");
    yaml_note(out, _("./run.sh train|merge|gguf: each step by itself; train goes on where it was interrupted."));
    q_buf_printf(out, "set -eu\ncd \"$(dirname \"$0\")\"\nmodel='%s'\nresult=%s\n", weights.p ? weights.p : "", lora ? "merged" : "output");
    q_buf_puts(out, "case ${1:-train} in\ntrain)\n");
    if (r->c.trainer == ADV_TRL)
        q_buf_puts(out, "    accelerate launch --config_file accelerate.yaml trl_train.py\n");
    else if (r->c.trainer == ADV_AXOLOTL)
        q_buf_printf(out, "    axolotl train config.yaml --launcher accelerate -- --config_file accelerate.yaml\n");
    else
        q_buf_puts(out, r->c.shard == ADV_FSDP ? "    accelerate launch --config_file accelerate.yaml -m llamafactory.launcher config.yaml\n"
                        : r->gpus > 1 || r->c.shard ? "    FORCE_TORCHRUN=1 llamafactory-cli train config.yaml\n" : "    llamafactory-cli train config.yaml\n");
    q_buf_puts(out, "    ;;\nmerge)\n");
    q_buf_puts(out, lora ? "    python3 merge.py \"$model\"\n    ;;\n" : "    : ;;\n");
    q_buf_printf(out, "gguf)\n    rm -f part.gguf\n    if [ -n \"${LLAMA_CPP:-}\" ]; then\n"
                      "        python3 \"$LLAMA_CPP/convert_hf_to_gguf.py\" \"$result\" --outfile part.gguf --outtype bf16\n"
                      "    elif ! quorum model convert \"$result\" part.gguf; then\n        echo \"%s\" >&2\n        exit 1\n    fi\n    mv part.gguf model.gguf\n    ;;\n",
                 _("this quorum does not make a GGUF of such a folder: name the folder of llama.cpp in LLAMA_CPP, it has convert_hf_to_gguf.py"));
    q_buf_printf(out, "*)\n    echo \"%s\" >&2\n    exit 2\n    ;;\nesac\n", _("run.sh: one of train, merge, gguf"));
    q_buf_free(&weights);
}

/* ---- at the terminal ---- */
void adv_coursed_say(const adv_course *c, const adv_coursed *d, q_buf *out)
{
    char all[48], some[48];
    const char *said = d->said ? d->said : "";
    if (!d->load.fits) {                 /* what course_warn says before all else */
        size_t n = strcspn(said, "\n");
        q_buf_printf(out, "%.*s\n", (int)n, said);
        said += n + (said[n] == '\n');
    }
    q_buf_printf(out, ngettext("%ld example", "%ld examples", (unsigned long)d->examples), d->examples);
    q_buf_printf(out, _(", %ld held out"), d->heldout);
    if (d->broken)
        q_buf_printf(out, ngettext(", %ld broken line left out", ", %ld broken lines left out", (unsigned long)d->broken), d->broken);
    q_buf_printf(out, _("; of %s numbers %s are trained\n"), count(d->load.params, all), count(d->load.trained, some));
    table(&d->load, "  %-24s %10s\n", out);
    q_buf_puts(out, said);
    (void)c;
}

char *adv_coursed_json(const adv_course *c, const adv_coursed *d)
{
    cJSON *j = cJSON_CreateObject(), *o;
    static const char *const task[] = { "text", "talk", "pairs" };
    cJSON_AddStringToObject(j, "task", task[d->task]);
    cJSON_AddNumberToObject(j, "examples", (double)d->examples);
    cJSON_AddNumberToObject(j, "heldout", (double)d->heldout);
    cJSON_AddNumberToObject(j, "broken", (double)d->broken);
    cJSON_AddNumberToObject(j, "params", (double)d->load.params);
    cJSON_AddNumberToObject(j, "trained", (double)d->load.trained);
    o = cJSON_AddObjectToObject(j, "bytes");
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
        cJSON_AddNumberToObject(o, loads[i].key, (double)load_at(&d->load, i));
    cJSON_AddNumberToObject(o, "have", (double)d->load.have);
    cJSON_AddNumberToObject(o, "in_ram", (double)d->load.offloaded);
    cJSON_AddBoolToObject(j, "fits", d->load.fits);
    o = cJSON_AddArrayToObject(j, "said");
    for (const char *p = d->said ? d->said : ""; *p;) {
        size_t n = strcspn(p, "\n");
        char *line = q_strndup(p, n);
        cJSON_AddItemToArray(o, cJSON_CreateString(line));
        free(line);
        p += n + (p[n] == '\n');
    }
    char *s = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    (void)c;
    return s;
}
