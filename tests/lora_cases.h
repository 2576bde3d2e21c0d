/* tests: cases of ../shared/data/lora (golden.h reads the folder): their adapters onto a model, and their scales as the knob lora.scale takes
 * them. For tests and for the measurements of a device. */
#ifndef QUORUM_TESTS_LORA_CASES_H
#define QUORUM_TESTS_LORA_CASES_H

#include "engine/adapter.h"
#include "tests/golden.h"

/* "name=S", or where the case says so of places alone "name=0,name@PLACE=S". */
static inline int lora_case_scale(const cJSON *restrictions, const char *name, double scale, q_buf *to, char *err)
{
    const cJSON *one, *layers = cJSON_GetObjectItem(restrictions, "layers"), *experts = cJSON_GetObjectItem(restrictions, "experts");
    q_buf_puts(to, to->len ? "," : "");
    q_buf_printf(to, "%s=%.17g", name, layers || experts ? 0 : scale);
    cJSON_ArrayForEach(one, layers) q_buf_printf(to, ",%s@%d=%.17g", name, (int)one->valuedouble, scale);
    cJSON_ArrayForEach(one, experts) {
        int layer = 0, e = 0;
        if (sscanf(one->valuestring, "%d:%d", &layer, &e) != 2) return q_fail(err, Q_FORMAT, "\"%s\" is no LAYER:EXPERT", one->valuestring);
        q_buf_printf(to, ",%s@%de%d=%.17g", name, layer, e, scale);
    }
    return 0;
}

/* The case's adapters onto the model, from GGUF or from PEFT's folders. 1: done; 0: no such folder; else a q_result. */
static inline int lora_case_load(eng_model *m, const golden_set *g, int at, bool peft, q_buf *value, char *err)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItem(g->item[at], "adapters")) {
        const char *file = cJSON_GetObjectItem(one, "file")->valuestring, *slash = strrchr(file, '/'), *from = slash ? slash + 1 : file, *dot = strrchr(from, '.');
        char *name = q_strndup(from, dot ? (size_t)(dot - from) : strlen(from)), *path = peft ? q_printf("%s/peft/%s", g->dir, name) : q_printf("%s/%s", g->dir, file);
        eng_adapter *a = NULL;
        bool there = util_exists(path);
        int rc = there ? eng_adapter_read(m, path, &a, err) : 0;
        if (there && !rc && (rc = eng_model_adapter_add(m, a, name, err))) eng_adapter_free(a);
        if (there && !rc) rc = lora_case_scale(cJSON_GetObjectItem(g->item[at], "restrictions"), name, cJSON_GetObjectItem(one, "scale")->valuedouble, value, err);
        free(path);
        free(name);
        if (!there || rc) return rc;
    }
    return 1;
}

static inline int lora_drop_all(eng_model *m, char *err)
{
    const char *name[ENG_ADAPTERS];
    const eng_adapter *a[ENG_ADAPTERS];
    int rc = 0;
    while (!rc && eng_model_adapters(m, name, a) > 0) {
        char *copy = q_strdup(name[0]);
        rc = eng_model_adapter_drop(m, copy, err);
        free(copy);
    }
    return rc;
}

/* Case `at` with the adapters that the model carries, tokens in pieces of `split`. */
static inline int lora_case_run(eng_model *m, const golden_set *g, int at, const char *scale, int split, golden_result *r, char *err)
{
    eng_config *c = NULL;
    *r = (golden_result){ 0 };
    int rc = golden_config(g, m, at, &c, err);
    if (!rc) rc = eng_config_set(c, "lora.scale", scale, err);
    if (!rc) rc = golden_eval(m, c, &g->tokens[at], split, NULL, 0, r, err);
    eng_config_free(c);
    return rc;
}

#endif
