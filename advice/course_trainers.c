/* advice/course_trainers: each trainer's own file. Keys are those of the releases that advice/course.h names; the list of all that they
 * know: tests/course/keys.json. */
#include "advice/course_recipe.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- YAML ---- */
static void yaml_quoted(q_buf *b, const char *text, size_t n)
{
    char *copy = q_strndup(text, n);
    cJSON *j = cJSON_CreateString(copy);
    char *s = cJSON_PrintUnformatted(j);
    q_buf_puts(b, s ? s : "\"\"");
    cJSON_free(s);
    cJSON_Delete(j);
    free(copy);
}

void yaml_text(q_buf *b, const char *key, const char *text)
{
    q_buf_printf(b, "%s: ", key);
    yaml_quoted(b, text, strlen(text));
    q_buf_putc(b, '\n');
}

void yaml_int(q_buf *b, const char *key, long n) { q_buf_printf(b, "%s: %ld\n", key, n); }
void yaml_bool(q_buf *b, const char *key, bool on) { q_buf_printf(b, "%s: %s\n", key, on ? "true" : "false"); }

void yaml_num(q_buf *b, const char *key, double x)
{
    char s[48];
    int digits = x > 0 && x < 1 ? 4 - (int)floor(log10(x)) : 4;
    snprintf(s, sizeof s, "%.*f", digits < 16 ? digits : 16, x);
    size_t n = strlen(s);
    while (n > 2 && s[n - 1] == '0' && s[n - 2] != '.')
        s[--n] = '\0';
    q_buf_printf(b, "%s: %s\n", key, s);
}

void yaml_list(q_buf *b, const char *key, const char *words)
{
    q_buf_printf(b, "%s: [", key);
    const char *sep = "";
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, " ");
        if (n > 0) {
            q_buf_puts(b, sep);
            yaml_quoted(b, p, n);
            sep = ", ";
        }
        p += n + (p[n] == ' ');
    }
    q_buf_puts(b, "]\n");
}

void yaml_note(q_buf *b, const char *text)             /* a text may have several lines */
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        q_buf_printf(b, "# %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

/* ---- what all three have ---- */
static bool lora(const course_recipe *r) { return r->c.method != ADV_FULL; }
static bool moe(const course_recipe *r) { return r->shape.experts > 0; }

/* Names' ends of modules that get an adapter, and modules that are trained whole. */
static void modules(const course_recipe *r, q_buf *target, q_buf *whole)
{
    unsigned t = r->c.trained;
    if (t & ADV_ATTENTION) q_buf_puts(target, r->family->attention);
    if (t & ADV_DENSE) q_buf_printf(target, "%s%s", target->len ? " " : "", r->family->dense);
    if (t & ADV_ROUTERS) q_buf_puts(whole, r->family->router);
    if (t & ADV_EMBEDDINGS) q_buf_printf(whole, "%sembed_tokens", whole->len ? " " : "");
    if (t & ADV_HEAD) q_buf_printf(whole, "%slm_head", whole->len ? " " : "");
    q_buf_puts(target, "");
    q_buf_puts(whole, "");
}

static void note_experts(const course_recipe *r, q_buf *b)
{
    if (!moe(r))
        return;
    if (r->c.trained & ADV_EXPERTS)
        yaml_note(b, _("Routed experts are one parameter of three dimensions each, no modules: they are named as parameters, or they stay frozen in silence."));
    else if (r->c.trainer == ADV_LLAMAFACTORY && lora(r))
        yaml_note(b, _("Routed experts stay frozen: LLaMA-Factory has no target_parameters, and its lora_target finds modules only."));
    else
        yaml_note(b, _("Routed experts stay frozen, as was asked for."));
    if (!(r->c.trained & ADV_ROUTERS))
        yaml_note(b, _("Routers stay frozen: few examples teach them to send everything to few experts, and what the experts learnt apart is lost."));
}

/* Keys of Hugging Face's Trainer, which TRL and LLaMA-Factory share. */
static void trainer_keys(const course_recipe *r, q_buf *b)
{
    const adv_course *c = &r->c;
    yaml_text(b, "output_dir", "output");
    yaml_int(b, "per_device_train_batch_size", c->batch);
    yaml_int(b, "per_device_eval_batch_size", c->batch);
    yaml_int(b, "gradient_accumulation_steps", c->accumulate);
    yaml_num(b, "learning_rate", c->rate);
    yaml_text(b, "lr_scheduler_type", "cosine");
    yaml_num(b, "num_train_epochs", c->epochs);
    if (c->steps) yaml_int(b, "max_steps", c->steps);
    yaml_note(b, _("A tenth of all steps lies between two checkpoints, and between two looks at the held-out examples."));
    yaml_text(b, "eval_strategy", r->eval ? "steps" : "no");
    if (r->eval) yaml_num(b, "eval_steps", .1);
    yaml_text(b, "save_strategy", "steps");
    yaml_num(b, "save_steps", .1);
    yaml_int(b, "save_total_limit", 2);
    yaml_int(b, "logging_steps", 1);
    yaml_text(b, "report_to", "none");
    yaml_int(b, "seed", 42);
    yaml_bool(b, "bf16", r->gpus > 0);
    if (r->gpus == 0) yaml_bool(b, "use_cpu", true);
}

/* ---- TRL ---- */
/* PEFT takes a key as the end of a parameter's whole name (0.21.2, tuners/lora/model.py). */
static cJSON *rank_pattern(const course_recipe *r, int times)
{
    cJSON *j = cJSON_CreateObject();
    if (!(r->c.trained & ADV_EXPERTS) || !lora(r) || r->c.rank_expert == r->c.rank)
        return j;
    for (const char *p = r->family->experts; *p;) {
        size_t n = strcspn(p, " ");
        char *key = q_strndup(p, n);
        cJSON_AddNumberToObject(j, key, r->c.rank_expert * times);
        free(key);
        p += n + (p[n] == ' ');
    }
    return j;
}

static void desk_json(const course_recipe *r, q_buf *out)
{
    cJSON *j = cJSON_CreateObject(), *o;
    cJSON_AddStringToObject(j, "task", r->task == ADV_PAIRS ? "pairs" : r->task == ADV_TALK ? "talk" : "text");
    cJSON_AddBoolToObject(j, "dequantize", r->family->mxfp4);
    cJSON_AddBoolToObject(j, "widen", !lora(r) && r->c.shard == ADV_ALONE);
    o = cJSON_AddArrayToObject(j, "trained");
    for (int i = 0; course_part_name(i); i++)
        if (r->c.trained & (unsigned)adv_course_trained(course_part_name(i), (char[Q_ERRLEN]){ 0 }))
            cJSON_AddItemToArray(o, cJSON_CreateString(course_part_name(i)));
    o = cJSON_AddObjectToObject(j, "parts");
    for (int i = 0; course_part_name(i); i++)
        cJSON_AddStringToObject(o, course_part_name(i), course_part_pattern(i));
    cJSON_AddItemToObject(j, "rank_pattern", rank_pattern(r, 1));
    cJSON_AddItemToObject(j, "alpha_pattern", rank_pattern(r, 2));
    o = cJSON_AddObjectToObject(j, "stop");
    cJSON_AddNumberToObject(o, "loss", r->c.stop_loss);
    cJSON_AddNumberToObject(o, "patience", r->c.patience);
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    q_buf_putc(out, '\n');
    cJSON_free(s);
    cJSON_Delete(j);
}

/* An adapter's sizes and the parts that it stands at, which TRL and axolotl name alike. */
static void adapter_parts(const course_recipe *r, const char *target, q_buf *b)
{
    yaml_int(b, "lora_r", r->c.rank);
    yaml_int(b, "lora_alpha", 2 * r->c.rank);
    yaml_note(b, _("PEFT's adapters of parameters know no dropout."));
    yaml_num(b, "lora_dropout", 0);
    yaml_list(b, "lora_target_modules", target);
    if (r->c.trained & ADV_EXPERTS) yaml_list(b, "lora_target_parameters", r->family->experts);
}

static void trl_adapter(const course_recipe *r, q_buf *b)
{
    q_buf target = { 0 }, whole = { 0 };
    modules(r, &target, &whole);
    note_experts(r, b);
    yaml_bool(b, "use_peft", true);
    adapter_parts(r, target.p, b);
    if (whole.len) yaml_list(b, "lora_modules_to_save", whole.p);
    if (r->c.method == ADV_QLORA) {
        yaml_bool(b, "load_in_4bit", true);
        yaml_text(b, "bnb_4bit_quant_type", "nf4");
        yaml_bool(b, "use_bnb_nested_quant", true);
    }
    q_buf_free(&target);
    q_buf_free(&whole);
}

void course_trl(const course_recipe *r, q_buf *b, q_buf *desk)
{
    yaml_note(b, _("For TRL 1.16.0. What TRL has no key for stands in desk.json; trl_train.py reads both."));
    yaml_text(b, "model_name_or_path", r->weights);
    yaml_text(b, "dtype", r->gpus == 0 || (!lora(r) && r->c.shard == ADV_FSDP) ? "float32" : "bfloat16");
    yaml_text(b, "dataset_name", "data");
    if (lora(r)) trl_adapter(r, b);
    else note_experts(r, b);
    if (moe(r) && !(r->c.trained & ADV_ROUTERS)) {
        yaml_note(b, _("The auxiliary loss balances routers; these are frozen. With routers trained the model's own coefficient is taken."));
        yaml_num(b, "router_aux_loss_coef", 0);
    }
    yaml_int(b, "max_length", r->c.context);
    if (r->task == ADV_TALK) {
        yaml_note(b, _("Only what the assistant says is learnt from, where TRL knows the family's template."));
        yaml_bool(b, "assistant_only_loss", r->family->masks);
    }
    if (r->task == ADV_PAIRS && !lora(r)) yaml_bool(b, "precompute_ref_log_probs", true);
    yaml_bool(b, "gradient_checkpointing", true);
    q_buf_puts(b, "gradient_checkpointing_kwargs: {\"use_reentrant\": false}\n");
    yaml_num(b, "warmup_steps", .03);
    if (r->c.order != ADV_AS_IS) yaml_text(b, "train_sampling_strategy", "sequential");
    trainer_keys(r, b);
    desk_json(r, desk);
}

/* ---- axolotl ---- */
static void axolotl_data(const course_recipe *r, const char *key, const char *file, q_buf *b)
{
    q_buf_printf(b, "%s:\n  - path: \"%s\"\n    ds_type: json\n    split: train\n", key, file);
    if (r->task == ADV_TEXT)
        q_buf_puts(b, "    type: completion\n    field: text\n");
    else if (r->task == ADV_PAIRS)
        q_buf_puts(b, "    type: chat_template.default\n    field_messages: messages\n    field_chosen: chosen\n    field_rejected: rejected\n");
    else
        q_buf_puts(b, "    type: chat_template\n    field_messages: messages\n    roles_to_train: [\"assistant\"]\n");
}

static void axolotl_adapter(const course_recipe *r, q_buf *b)
{
    q_buf target = { 0 }, whole = { 0 };
    modules(r, &target, &whole);
    bool four = r->c.method == ADV_QLORA;
    note_experts(r, b);
    yaml_text(b, "adapter", four ? "qlora" : "lora");
    if (four) {
        yaml_bool(b, "load_in_4bit", true);
        if (moe(r)) {
            yaml_note(b, _("Without this experts stay in 16 bits: bitsandbytes makes 4 bits of modules only. It excludes lora_target_linear."));
            yaml_bool(b, "quantize_moe_experts", true);
        }
    }
    adapter_parts(r, target.p, b);
    for (int i = 0; i < 2 && r->c.trained & ADV_EXPERTS && r->c.rank_expert != r->c.rank; i++) {
        cJSON *j = rank_pattern(r, 1 + i);
        char *text = cJSON_PrintUnformatted(j);
        q_buf_printf(b, "%s: %s\n", i ? "lora_alpha_pattern" : "lora_rank_pattern", text);
        cJSON_free(text);
        cJSON_Delete(j);
    }
    if (whole.len) yaml_list(b, "lora_modules_to_save", whole.p);
    q_buf_free(&target);
    q_buf_free(&whole);
}

static void axolotl_shard(const course_recipe *r, q_buf *b)
{
    if (r->c.shard == ADV_ZERO2 || r->c.shard == ADV_ZERO3)
        yaml_text(b, "deepspeed", "deepspeed.json");
    if (r->c.shard == ADV_FSDP)
        q_buf_puts(b, "fsdp_version: 2\nfsdp_config:\n  offload_params: false\n  cpu_ram_efficient_loading: true\n  auto_wrap_policy: TRANSFORMER_BASED_WRAP\n"
                      "  state_dict_type: FULL_STATE_DICT\n  reshard_after_forward: true\n");
}

void course_axolotl(const course_recipe *r, q_buf *b)
{
    const adv_course *c = &r->c;
    yaml_note(b, _("For axolotl 0.19.0: axolotl train config.yaml"));
    yaml_text(b, "base_model", r->weights);
    if (r->family->mxfp4)
        q_buf_puts(b, "model_quantization_config: Mxfp4Config\nmodel_quantization_config_kwargs: {\"dequantize\": true}\n");
    if (r->task == ADV_PAIRS) yaml_text(b, "rl", "dpo");
    axolotl_data(r, "datasets", "data/train.jsonl", b);
    if (r->eval) axolotl_data(r, "test_datasets", "data/test.jsonl", b);
    yaml_text(b, "dataset_prepared_path", "prepared");
    if (lora(r)) axolotl_adapter(r, b);
    else {
        note_experts(r, b);
        q_buf_puts(b, "unfrozen_parameters:\n");
        for (int i = 0; course_part_name(i); i++)
            if (c->trained & adv_course_trained(course_part_name(i), (char[Q_ERRLEN]){ 0 }))
                q_buf_printf(b, "  - \"(.+)?(%s)\"\n", course_part_pattern(i));      /* matched from a name's beginning; ".+" is the one wildcard */
    }
    if (moe(r) && c->trained & ADV_ROUTERS) {
        yaml_note(b, _("The auxiliary loss keeps trained routers from sending everything to few experts."));
        q_buf_puts(b, "model_config:\n  output_router_logits: true\n");
    }
    yaml_int(b, "sequence_len", c->context);
    yaml_bool(b, "sample_packing", false);
    yaml_text(b, "output_dir", "output");
    yaml_int(b, "micro_batch_size", c->batch);
    yaml_int(b, "gradient_accumulation_steps", c->accumulate);
    yaml_num(b, "learning_rate", c->rate);
    yaml_text(b, "optimizer", "adamw_torch");
    yaml_text(b, "lr_scheduler", "cosine");
    yaml_num(b, "warmup_ratio", .03);
    yaml_num(b, "num_epochs", c->epochs);
    if (c->steps) yaml_int(b, "max_steps", c->steps);
    yaml_bool(b, "bf16", true);
    yaml_text(b, "attn_implementation", "sdpa");
    yaml_bool(b, "gradient_checkpointing", true);
    if (r->eval) yaml_num(b, "eval_steps", .1);
    yaml_num(b, "save_steps", .1);
    yaml_int(b, "save_total_limit", 2);
    yaml_int(b, "logging_steps", 1);
    yaml_bool(b, "auto_resume_from_checkpoints", true);
    if (c->patience && r->eval) {
        yaml_int(b, "early_stopping_patience", c->patience);
        yaml_bool(b, "load_best_model_at_end", true);
        yaml_text(b, "metric_for_best_model", "eval_loss");
        yaml_bool(b, "greater_is_better", false);
    }
    if (c->order != ADV_AS_IS) {
        yaml_bool(b, "curriculum_sampling", true);
        yaml_bool(b, "shuffle_merged_datasets", false);
    }
    axolotl_shard(r, b);
    yaml_int(b, "seed", 42);
}

/* ---- LLaMA-Factory ---- */
static void comma(const q_buf *words, q_buf *out)
{
    for (size_t i = 0; i < words->len; i++)
        q_buf_putc(out, words->p[i] == ' ' ? ',' : words->p[i]);
    q_buf_puts(out, "");
}

static void llamafactory_adapter(const course_recipe *r, q_buf *b)
{
    q_buf target = { 0 }, whole = { 0 }, list = { 0 };
    modules(r, &target, &whole);
    comma(&target, &list);
    note_experts(r, b);
    yaml_int(b, "lora_rank", r->c.rank);
    yaml_int(b, "lora_alpha", 2 * r->c.rank);
    yaml_num(b, "lora_dropout", 0);
    yaml_text(b, "lora_target", list.p);
    if (whole.len) {
        q_buf_clear(&list);
        comma(&whole, &list);
        yaml_text(b, "additional_target", list.p);
    }
    if (r->c.method == ADV_QLORA) {
        yaml_int(b, "quantization_bit", 4);
        yaml_text(b, "quantization_method", "bnb");
        yaml_bool(b, "double_quantization", true);
    }
    q_buf_free(&target);
    q_buf_free(&whole);
    q_buf_free(&list);
}

/* data/dataset_info.json: how the columns of each file are called. */
static void data_info(const course_recipe *r, q_buf *out)
{
    cJSON *j = cJSON_CreateObject();
    static const char *const name[2] = { "train", "test" };
    for (int i = 0; i < 1 + r->eval; i++) {
        cJSON *one = cJSON_AddObjectToObject(j, name[i]), *cols, *tags;
        char file[32];
        snprintf(file, sizeof file, "%s.jsonl", name[i]);
        cJSON_AddStringToObject(one, "file_name", file);
        if (r->task == ADV_TEXT) {
            cols = cJSON_AddObjectToObject(one, "columns");
            cJSON_AddStringToObject(cols, "prompt", "text");
            continue;
        }
        cJSON_AddStringToObject(one, "formatting", "sharegpt");
        if (r->task == ADV_PAIRS) cJSON_AddBoolToObject(one, "ranking", true);
        cols = cJSON_AddObjectToObject(one, "columns");
        cJSON_AddStringToObject(cols, "messages", "messages");
        if (r->task == ADV_PAIRS) {
            cJSON_AddStringToObject(cols, "chosen", "chosen");
            cJSON_AddStringToObject(cols, "rejected", "rejected");
        }
        tags = cJSON_AddObjectToObject(one, "tags");
        static const char *const tag[][2] = { { "role_tag", "role" }, { "content_tag", "content" }, { "user_tag", "user" }, { "assistant_tag", "assistant" },
                                              { "system_tag", "system" } };
        for (size_t t = 0; t < sizeof tag / sizeof *tag; t++)
            cJSON_AddStringToObject(tags, tag[t][0], tag[t][1]);
    }
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    q_buf_putc(out, '\n');
    cJSON_free(s);
    cJSON_Delete(j);
}

void course_llamafactory(const course_recipe *r, q_buf *b, q_buf *info)
{
    const adv_course *c = &r->c;
    yaml_note(b, _("For LLaMA-Factory 0.9.5: llamafactory-cli train config.yaml"));
    yaml_text(b, "model_name_or_path", r->weights);
    yaml_text(b, "stage", r->task == ADV_TEXT ? "pt" : r->task == ADV_TALK ? "sft" : "dpo");
    yaml_bool(b, "do_train", true);
    yaml_text(b, "finetuning_type", lora(r) ? "lora" : "full");
    if (lora(r)) llamafactory_adapter(r, b);
    else if (moe(r)) {
        yaml_note(b, _("Routers are trained too: LLaMA-Factory cannot freeze them alone. The auxiliary loss keeps them from sending everything to few experts."));
        yaml_num(b, "moe_aux_loss_coef", .001);
    }
    yaml_text(b, "dataset", "train");
    if (r->eval) yaml_text(b, "eval_dataset", "test");
    yaml_text(b, "dataset_dir", "data");
    yaml_text(b, "template", *r->family->template_ ? r->family->template_ : "default");
    yaml_int(b, "cutoff_len", c->context);
    if (r->task == ADV_PAIRS) yaml_num(b, "pref_beta", .1);
    yaml_num(b, "warmup_ratio", .03);
    if (c->patience && r->eval) {
        yaml_int(b, "early_stopping_steps", c->patience);
        yaml_bool(b, "load_best_model_at_end", true);
        yaml_text(b, "metric_for_best_model", "eval_loss");
        yaml_bool(b, "greater_is_better", false);
    }
    if (c->order != ADV_AS_IS) yaml_bool(b, "disable_shuffling", true);
    if (c->shard == ADV_ZERO2 || c->shard == ADV_ZERO3) yaml_text(b, "deepspeed", "deepspeed.json");
    trainer_keys(r, b);
    data_info(r, info);
}

/* ---- accelerate and DeepSpeed ---- */
void course_accelerate(const course_recipe *r, q_buf *b)
{
    bool zero = r->c.shard == ADV_ZERO2 || r->c.shard == ADV_ZERO3;
    yaml_text(b, "compute_environment", "LOCAL_MACHINE");
    yaml_text(b, "distributed_type", zero ? "DEEPSPEED" : r->c.shard == ADV_FSDP ? "FSDP" : r->gpus > 1 ? "MULTI_GPU" : "NO");
    if (zero)
        q_buf_printf(b, "deepspeed_config:\n  deepspeed_config_file: deepspeed.json\n  zero3_init_flag: %s\n", r->c.shard == ADV_ZERO3 ? "true" : "false");
    else
        yaml_text(b, "mixed_precision", r->gpus ? "bf16" : "no");
    if (r->c.shard == ADV_FSDP)
        q_buf_puts(b, "fsdp_config:\n  fsdp_version: 2\n  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n  fsdp_reshard_after_forward: true\n"
                      "  fsdp_offload_params: false\n  fsdp_cpu_ram_efficient_loading: true\n  fsdp_state_dict_type: FULL_STATE_DICT\n  fsdp_activation_checkpointing: false\n");
    yaml_int(b, "num_machines", 1);
    yaml_int(b, "machine_rank", 0);
    yaml_int(b, "num_processes", r->gpus > 1 ? r->gpus : 1);
    yaml_text(b, "main_training_function", "main");
    yaml_text(b, "rdzv_backend", "static");
    yaml_bool(b, "same_network", true);
    yaml_bool(b, "use_cpu", r->gpus == 0);
    yaml_bool(b, "debug", false);
}

void course_deepspeed(const course_recipe *r, q_buf *out)
{
    bool three = r->c.shard == ADV_ZERO3;
    q_buf_printf(out, "{\n  \"zero_optimization\": {\n    \"stage\": %d,\n    \"overlap_comm\": true,\n    \"contiguous_gradients\": true", three ? 3 : 2);
    if (r->offload)
        q_buf_puts(out, ",\n    \"offload_optimizer\": { \"device\": \"cpu\", \"pin_memory\": true }");
    if (three)
        q_buf_puts(out, ",\n    \"stage3_gather_16bit_weights_on_model_save\": true");
    q_buf_puts(out, "\n  },\n  \"bf16\": { \"enabled\": true },\n  \"gradient_clipping\": \"auto\",\n  \"train_batch_size\": \"auto\",\n"
                    "  \"train_micro_batch_size_per_gpu\": \"auto\",\n  \"gradient_accumulation_steps\": \"auto\",\n  \"steps_per_print\": 100\n}\n");
}
