/* engine/adapter/peft_config: see peft_config.h. */
#include "engine/adapter/peft_config.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MOST = 4 << 20, PATTERN_MOST = 4096 /* of them */, PATTERN_LEN = 300 };

typedef struct peft_pattern { regex_t re; bool alpha; double value; } peft_pattern;

/* Whether Python takes it for true. */
static bool is_set(const cJSON *v)
{
    if (cJSON_IsString(v)) return *v->valuestring != 0;
    if (cJSON_IsNumber(v)) return v->valuedouble != 0;
    if (cJSON_IsArray(v) || cJSON_IsObject(v)) return v->child != NULL;
    return cJSON_IsTrue(v);
}

/* ---- what is not computed ---- */

static const struct { const char *key, *why; } refused[] = {
    { "use_dora", N_("DoRA, whose magnitudes depend on the base's weights, is not computed: merge it into its base with PEFT (merge_and_unload) and convert that, or train it without use_dora") },
    { "modules_to_save", N_("modules_to_save replaces whole weights, which is no low-rank change: merge it into its base with PEFT (merge_and_unload) and convert that, or train it without them") },
    { "trainable_token_indices", N_("trained tokens (trainable_token_indices) are no low-rank change: merge it into its base with PEFT (merge_and_unload) and convert that, or train it without them") },
    { "lora_bias", N_("a bias of the low-rank part (lora_bias) is not computed: train it without lora_bias") },
    { "fan_in_fan_out", N_("fan_in_fan_out turns its matrices, as only models of GPT-2's kind have them, which quorum does not run: train it without") },
    { "use_qalora", N_("QALoRA is not computed: merge it into its base with PEFT and convert that, or train it without use_qalora") },
    { "use_bdlora", N_("BD-LoRA is not computed: merge it into its base with PEFT and convert that, or train it without use_bdlora") },
    { "alora_invocation_tokens", N_("an activated LoRA (aLoRA) acts behind certain tokens only and is not computed: train it without alora_invocation_tokens") },
    { "layer_replication", N_("layer_replication makes layers that the base does not have: merge it into its base with PEFT and convert that") },
    { "arrow_config", N_("Arrow chooses among several adapters for each token and is not computed: name each of them by itself") },
    { "monteclora_config", N_("MonteCLoRA is not computed: merge it into its base with PEFT and convert that") },
    { "velora_config", N_("VeLoRA is not computed: merge it into its base with PEFT and convert that") },
    { "lora_parameters", N_("it is mlx-lm's, whose matrices have other names and lie turned: write it in PEFT's layout (q_proj.lora_A.weight, lora_B.weight) first") },
    { "kasa_config", N_("KaSA is not computed: merge it into its base with PEFT and convert that") },
};
/* Beginnings that change the base's own weights (src/peft/tuners/lora/layer.py: pissa_init, olora_init, corda_init, loftq_init, lora_ga_init). */
static const char *const changes_base[] = { "pissa", "olora", "corda", "loftq", "lora_ga" };

static int refuse(const char *path, const cJSON *j, char *err)
{
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "peft_type")), *bias = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "bias"));
    const char *init = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "init_lora_weights"));
    if (type && strcmp(type, "LORA") != 0)
        return q_fail(err, Q_RANGE, _("%s: an adapter of kind %.40s is not computed, only LORA is: train one of that kind, or merge it into its base with PEFT and convert that"), path, type);
    if (bias && strcmp(bias, "none") != 0)
        return q_fail(err, Q_RANGE, _("%s: its biases were trained too (bias \"%.20s\"), which is no low-rank change: train it with bias \"none\""), path, bias);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (is_set(cJSON_GetObjectItemCaseSensitive(j, refused[i].key)))
            return q_fail(err, Q_RANGE, "%s: %s", path, _(refused[i].why));
    for (size_t i = 0; init && i < sizeof changes_base / sizeof *changes_base; i++)
        if (strncmp(init, changes_base[i], strlen(changes_base[i])) == 0)
            return q_fail(err, Q_RANGE, _("%s: it began as %.30s, which changes the base's own weights: save it with PEFT's path_initial_model_for_weight_conversion, which makes a plain LoRA of it"), path, init);
    return Q_OK;
}

/* ---- patterns ---- */

/* A Python expression as POSIX has it: \d and \w are classes; what it knows no better (counted and backward references, which also may
 * take for ever) is refused. */
static bool translate(const char *from, q_buf *to)
{
    if (strlen(from) > PATTERN_LEN || strchr(from, '{')) return false;
    q_buf_puts(to, "^(.*\\.)?(");
    for (const char *p = from; *p; p++)
        if (*p == '^' && p == from) continue;              /* the match begins there anyway */
        else if (*p != '\\') q_buf_putc(to, *p);
        else if (p[1] == 'd') q_buf_puts(to, "[0-9]"), p++;
        else if (p[1] == 'w') q_buf_puts(to, "[A-Za-z0-9_]"), p++;
        else if (p[1] && !strchr("0123456789bBAZDWsS", p[1])) q_buf_putc(to, '\\'), q_buf_putc(to, *++p);
        else return false;
    q_buf_puts(to, ")$");
    return true;
}

static int read_patterns(const char *path, const cJSON *map, bool alpha, peft_config *o, char *err)
{
    for (const cJSON *v = cJSON_IsObject(map) ? map->child : NULL; v; v = v->next) {
        q_buf text = { 0 };
        peft_pattern p = { .alpha = alpha, .value = v->valuedouble };
        bool good = cJSON_IsNumber(v) && (alpha ? isfinite(p.value) : p.value >= 1 && p.value <= 65536 && p.value == floor(p.value)) && o->n_pattern < PATTERN_MOST;
        if (good) good = translate(v->string, &text) && regcomp(&p.re, text.p, REG_EXTENDED | REG_NOSUB) == 0;
        q_buf_free(&text);
        if (!good)
            return q_fail(err, Q_RANGE, _("%s: %s \"%.60s\" is not understood: write it as the end of a module's name, such as \"q_proj\""), path, alpha ? "alpha_pattern" : "rank_pattern", v->string);
        o->pattern = q_realloc(o->pattern, sizeof *o->pattern * (size_t)(o->n_pattern + 1));
        o->pattern[o->n_pattern++] = p;
    }
    return Q_OK;
}

void peft_config_of(const peft_config *o, const char *name, int *rank, double *alpha)
{
    bool have[2] = { false, false };
    *rank = o->r;
    *alpha = o->alpha;
    for (int i = 0; i < o->n_pattern; i++) {
        const peft_pattern *p = &o->pattern[i];
        if (have[p->alpha] || regexec(&p->re, name, 0, NULL, 0) != 0) continue;
        have[p->alpha] = true;
        if (p->alpha) *alpha = p->value;
        else *rank = (int)p->value;
    }
}

int peft_config_targets(const peft_config *o, const char *name)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o->json, "target_parameters"), *v;
    if (!cJSON_IsArray(list) || !list->child) return -1;
    size_t n = strlen(name);
    cJSON_ArrayForEach(v, list) {
        size_t k = cJSON_IsString(v) ? strlen(v->valuestring) : 0;
        if (k && k <= n && strcmp(name + n - k, v->valuestring) == 0 && (k == n || name[n - k - 1] == '.')) return 1;
    }
    return 0;
}

bool peft_config_says(const peft_config *o, const char *key) { return is_set(cJSON_GetObjectItemCaseSensitive(o->json, key)); }

/* ---- the file ---- */

static int version_of(const cJSON *v)
{
    int a = 0, b = 0, c = 0;
    return cJSON_IsString(v) && sscanf(v->valuestring, "%3d.%3d.%3d", &a, &b, &c) >= 2 && a >= 0 && b >= 0 && c >= 0 && a < 1000 ? a * 1000000 + b * 100 + (c < 100 ? c : 99) : 0;
}

int peft_config_read(const char *folder, peft_config *o, char *err)
{
    char *path = q_printf("%s/adapter_config.json", folder);
    q_buf text = { 0 };
    *o = (peft_config){ .base = "" };
    int rc = q_read_file(path, &text, CONFIG_MOST, err);
    if (rc == Q_IO) q_fail(err, rc, _("%s is no adapter of PEFT's: there is no adapter_config.json that could be read in it"), folder);
    o->json = rc ? NULL : cJSON_ParseWithLength(text.p, text.len);
    const cJSON *r = cJSON_GetObjectItemCaseSensitive(o->json, "r"), *alpha = cJSON_GetObjectItemCaseSensitive(o->json, "lora_alpha");
    if (!rc && !cJSON_IsObject(o->json)) rc = q_fail(err, Q_FORMAT, _("%s is no JSON object: the file is damaged, take another copy"), path);
    if (!rc) rc = refuse(path, o->json, err);
    if (!rc && (!cJSON_IsNumber(r) || !(r->valuedouble >= 1 && r->valuedouble <= 65536) || r->valuedouble != floor(r->valuedouble)))
        rc = q_fail(err, Q_FORMAT, _("%s: \"r\" is no rank from 1 to 65536: take another copy"), path);
    if (!rc && (!cJSON_IsNumber(alpha) || !isfinite(alpha->valuedouble)))
        rc = q_fail(err, Q_FORMAT, _("%s: \"lora_alpha\" is no number: take another copy"), path);
    if (!rc) {
        const char *base = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o->json, "base_model_name_or_path"));
        o->r = (int)r->valuedouble;
        o->alpha = alpha->valuedouble;
        o->root = is_set(cJSON_GetObjectItemCaseSensitive(o->json, "use_rslora"));
        o->version = version_of(cJSON_GetObjectItemCaseSensitive(o->json, "peft_version"));
        o->base = base ? base : "";
        rc = read_patterns(path, cJSON_GetObjectItemCaseSensitive(o->json, "rank_pattern"), false, o, err);
    }
    if (!rc) rc = read_patterns(path, cJSON_GetObjectItemCaseSensitive(o->json, "alpha_pattern"), true, o, err);
    if (rc) peft_config_free(o);
    q_buf_free(&text);
    free(path);
    return rc;
}

void peft_config_free(peft_config *o)
{
    for (int i = 0; i < o->n_pattern; i++) regfree(&o->pattern[i].re);
    free(o->pattern);
    cJSON_Delete(o->json);
    *o = (peft_config){ .base = "" };
}
