/* tests/golden: the engine's goldens read and run: a folder with cases.json, CASE.f32, CASE.routing.json and a model
 * (tests/golden/engine, ../shared/data/golden and golden-next; READMEs there). A case may have tokens of its own, and rows
 * for some positions only. For tests and for the measurements of a device. */
#ifndef QUORUM_TESTS_GOLDEN_H
#define QUORUM_TESTS_GOLDEN_H

#include "engine/text.h"
#include "tests/engine_util.h"

#include <math.h>
#include <string.h>

enum { GOLDEN_CASES = 64 };
typedef struct golden_set {
    const char *dir;                               /* the caller's                              */
    cJSON *root;
    const char *arch;
    const cJSON *item[GOLDEN_CASES];
    const char *name[GOLDEN_CASES];
    int n_case;
    const cJSON *positions;                        /* rows of CASE.f32; NULL: all               */
    eng_tokens tokens[GOLDEN_CASES];               /* of each case                              */
    const char *knob, *value;                      /* of the extra case, which is the last; the caller's; or NULL */
} golden_set;
typedef struct golden_result { float *logits; uint16_t *ids; float *weights; int n, n_vocab, n_layer, max_k; } golden_result;
typedef struct golden_diff { double logits /* of the largest |logit| */, median /* of rows, likewise */, weights; int ids; } golden_diff;

static inline void golden_add(golden_set *g, const cJSON *item)
{
    const cJSON *t, *own = cJSON_GetObjectItem(item, "tokens");
    if (g->n_case == GOLDEN_CASES) return;
    if (!own) own = cJSON_GetObjectItem(g->root, "tokens");
    cJSON_ArrayForEach(t, own) eng_tokens_add(&g->tokens[g->n_case], (int32_t)t->valuedouble);
    g->name[g->n_case] = cJSON_GetObjectItem(item, "name")->valuestring;
    g->item[g->n_case++] = item;
}

static inline int golden_open(const char *dir, golden_set *g, char *err)
{
    const cJSON *item;
    *g = (golden_set){ .dir = dir, .root = util_json(dir, q_strdup("cases.json")) };
    if (!g->root) return q_fail(err, Q_NOTFOUND, "%s holds no cases.json", dir);
    g->arch = cJSON_GetObjectItem(g->root, "arch")->valuestring;
    g->positions = cJSON_GetObjectItem(g->root, "positions");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(g->root, "cases")) golden_add(g, item);
    return g->n_case && g->tokens[0].n ? 0 : q_fail(err, Q_FORMAT, "%s/cases.json holds no cases", dir);
}

/* Adds the case `name` of the extra ones, those that are not run unless asked for, under a setting that its file does not say. */
static inline int golden_extra(golden_set *g, const char *name, const char *knob, const char *value, char *err)
{
    const cJSON *item;
    int before = g->n_case;
    g->knob = knob;
    g->value = value;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(g->root, "extra_cases"))
        if (strcmp(cJSON_GetObjectItem(item, "name")->valuestring, name) == 0) golden_add(g, item);
    return g->n_case > before ? 0 : q_fail(err, Q_FORMAT, "%s/cases.json has no extra case \"%s\"", g->dir, name);
}

static inline void golden_close(golden_set *g)
{
    for (int i = 0; i < g->n_case; i++) eng_tokens_free(&g->tokens[i]);
    cJSON_Delete(g->root);
}

/* How many positions the files of a case hold, and the i-th of them. */
static inline int golden_rows(const golden_set *g, int at)
{
    const cJSON *rows = cJSON_GetObjectItem(g->item[at], "rows");
    return rows ? (int)rows->valuedouble : g->positions ? cJSON_GetArraySize(g->positions) : g->tokens[at].n;
}
static inline int golden_position(const golden_set *g, int at, int i)
{
    const cJSON *first = cJSON_GetObjectItem(g->item[at], "first_row");
    return first ? (int)first->valuedouble + i : g->positions ? (int)cJSON_GetArrayItem(g->positions, i)->valuedouble : i;
}

static inline void golden_result_free(golden_result *r)
{
    free(r->logits);
    free(r->ids);
    free(r->weights);
}

static inline int golden_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    golden_result *r = user;
    size_t cells = (size_t)r->n_layer * (size_t)max_k;
    memcpy(r->logits + (size_t)pos * (size_t)r->n_vocab, logits, sizeof(float) * (size_t)r->n_vocab);
    if (max_k <= 0) return 0;
    if (!r->ids) {
        r->ids = q_alloc(sizeof *r->ids * cells * (size_t)r->n);
        r->weights = q_alloc(sizeof *r->weights * cells * (size_t)r->n);
        r->max_k = max_k;
    }
    memcpy(r->ids + cells * (size_t)pos, ids, sizeof *ids * cells);
    memcpy(r->weights + cells * (size_t)pos, weights, sizeof *weights * cells);
    return 0;
}

/* One setting: a number, a text, a list or an object of "name=number". */
static inline int golden_setting(eng_config *c, const cJSON *item, char *err)
{
    const cJSON *part;
    q_buf v = { 0 };
    if (cJSON_IsNumber(item)) q_buf_printf(&v, "%.17g", item->valuedouble);
    else if (cJSON_IsString(item)) q_buf_puts(&v, item->valuestring);
    cJSON_ArrayForEach(part, item) {
        q_buf_puts(&v, v.len ? "," : "");
        if (cJSON_IsObject(item)) q_buf_printf(&v, "%s=%.17g", part->string, part->valuedouble);
        else if (cJSON_IsString(part)) q_buf_puts(&v, part->valuestring);
        else q_buf_printf(&v, "%.17g", part->valuedouble);
    }
    int rc = eng_config_set(c, item->string, v.p, err);
    q_buf_free(&v);
    return rc;
}

/* [n_layer][n][*max_k] of the case's forced routing; NULL: the router chooses. */
static inline uint16_t *golden_forced(const golden_set *g, int at, const eng_model *m, int *max_k)
{
    const cJSON *file = cJSON_GetObjectItem(g->item[at], "force_routing");
    if (!file) return NULL;
    cJSON *root = util_json(g->dir, q_strdup(file->valuestring));
    const cJSON *ids = cJSON_GetObjectItem(root, "ids");
    int n = g->tokens[at].n, n_layer = eng_model_info(m)->n_layer, k = cJSON_GetArraySize(cJSON_GetArrayItem(cJSON_GetArrayItem(ids, 0), 0)), row = 0;
    uint16_t *v = q_alloc(sizeof *v * (size_t)(n_layer * n * k + 1));
    memset(v, 0xFF, sizeof *v * (size_t)(n_layer * n * k));
    for (int l = 0; l < n_layer; l++) {
        if (!eng_layer_is_moe(m, l)) continue;
        for (int t = 0; t < n; t++)
            for (int s = 0; s < k; s++)
                v[(l * n + t) * k + s] = (uint16_t)cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetArrayItem(ids, row), t), s)->valuedouble;
        row++;
    }
    cJSON_Delete(root);
    *max_k = k;
    return v;
}

/* A configuration of the case, cells in F32. */
static inline int golden_config(const golden_set *g, const eng_model *m, int at, eng_config **out, char *err)
{
    const cJSON *item;
    char *length = q_printf("%d", g->tokens[at].n);
    *out = eng_config_new(m);
    int rc = eng_config_set(*out, "kv.type", "f32", err);
    if (!rc && eng_config_number(*out, "context.length") < g->tokens[at].n) rc = eng_config_set(*out, "context.length", length, err);
    free(length);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(g->item[at], "settings"))
        if (!rc) rc = golden_setting(*out, item, err);
    if (!rc && g->knob && at == g->n_case - 1) rc = eng_config_set(*out, g->knob, g->value, err);
    return rc;
}

/* Tokens under c, the prompt in pieces of `split`; r belongs to the caller, also after a failure. */
static inline int golden_eval(eng_model *m, const eng_config *c, const eng_tokens *t, int split, const uint16_t *forced, int forced_k, golden_result *r, char *err)
{
    const eng_info *info = eng_model_info(m);
    eng_session *s = NULL;
    *r = (golden_result){ .n = t->n, .n_vocab = info->n_vocab, .n_layer = info->n_layer };
    r->logits = q_alloc(sizeof(float) * (size_t)r->n * (size_t)r->n_vocab);
    int rc = eng_session_new(m, c, &s, err);
    if (!rc) rc = eng_session_eval(s, t->id, t->n, split, forced, forced_k, golden_row, r, err);
    eng_session_free(s);
    return rc;
}

/* Case `at`. threads: NULL, or the knob's text. */
static inline int golden_run_with(const golden_set *g, eng_model *m, int at, int split, const char *threads, golden_result *r, char *err)
{
    eng_config *c;
    *r = (golden_result){ 0 };
    int forced_k = 0, rc = golden_config(g, m, at, &c, err);
    uint16_t *forced = golden_forced(g, at, m, &forced_k);
    if (!rc && threads) rc = eng_config_set(c, "threads", threads, err);
    if (!rc) rc = golden_eval(m, c, &g->tokens[at], split, forced, forced_k, r, err);
    eng_config_free(c);
    free(forced);
    return rc;
}
static inline int golden_run(const golden_set *g, eng_model *m, int at, int split, golden_result *r, char *err)
{
    return golden_run_with(g, m, at, split, NULL, r, err);
}

static inline int golden_find(const uint16_t *ids, int n, int id)
{
    for (int i = 0; i < n; i++)
        if (ids[i] == id) return i;
    return -1;
}

/* The routed layers of a case's reference against the result's. */
static inline int golden_routing(const golden_set *g, const eng_model *m, int at, const golden_result *r, golden_diff *d, char *err)
{
    cJSON *routing = util_json(g->dir, q_printf("%s.routing.json", g->name[at]));
    if (!routing) return 0;
    const cJSON *ids = cJSON_GetObjectItem(routing, "ids"), *weights = cJSON_GetObjectItem(routing, "weights");
    int row = 0, n = golden_rows(g, at);
    for (int l = 0; l < r->n_layer; l++) {
        if (!eng_layer_is_moe(m, l)) continue;
        for (int i = 0; i < n; i++) {
            int pos = golden_position(g, at, i), k = 0;
            const cJSON *a = cJSON_GetArrayItem(cJSON_GetArrayItem(ids, row), i), *w = cJSON_GetArrayItem(cJSON_GetArrayItem(weights, row), i);
            size_t cell = ((size_t)pos * (size_t)r->n_layer + (size_t)l) * (size_t)r->max_k;
            while (k < r->max_k && r->ids[cell + (size_t)k] != 0xFFFF) k++;
            d->ids += k != cJSON_GetArraySize(a);
            for (int s = 0; s < cJSON_GetArraySize(a); s++) {
                int j = golden_find(r->ids + cell, k, (int)cJSON_GetArrayItem(a, s)->valuedouble);
                double off = j < 0 ? 0 : fabs(cJSON_GetArrayItem(w, s)->valuedouble - (double)r->weights[cell + (size_t)j]);
                d->ids += j < 0;
                if (!(off <= d->weights)) d->weights = off;        /* a NaN too */
            }
        }
        row++;
    }
    int there = cJSON_GetArraySize(ids);
    cJSON_Delete(routing);
    return row == there ? 0 : q_fail(err, Q_FORMAT, "%s: %d routed layers, expected %d", g->name[at], row, there);
}

static inline int golden_compare(const golden_set *g, const eng_model *m, int at, const golden_result *r, golden_diff *d, char *err)
{
    q_buf ref = { 0 };
    char *path = q_printf("%s/%s.f32", g->dir, g->name[at]);
    int n = golden_rows(g, at);
    int rc = q_read_file(path, &ref, (size_t)1 << 30, err);
    if (!rc && ref.len != sizeof(float) * (size_t)n * (size_t)r->n_vocab) rc = q_fail(err, Q_FORMAT, "%s has another size", path);
    free(path);
    double worst = 0, largest = 0, *row = q_alloc(sizeof *row * (size_t)(n + 1));
    for (int i = 0; i < n && !rc; i++) {
        const float *want = (const float *)(const void *)ref.p + (size_t)i * (size_t)r->n_vocab;
        int pos = golden_position(g, at, i);
        for (int v = 0; v < r->n_vocab; v++) {
            double gap = fabs((double)want[v] - (double)r->logits[pos * r->n_vocab + v]);
            worst = gap > worst || isnan(gap) ? gap : worst;
            row[i] = gap > row[i] || isnan(gap) ? gap : row[i];
            largest = fmax(largest, fabs((double)want[v]));
        }
    }
    for (int i = 0; i < n; i++)
        for (int k = i; k > 0 && row[k] < row[k - 1]; k--) {
            double x = row[k];
            row[k] = row[k - 1];
            row[k - 1] = x;
        }
    if (!(largest > 0)) largest = 1;
    *d = (golden_diff){ .logits = worst / largest, .median = row[n / 2] / largest };
    free(row);
    q_buf_free(&ref);
    return rc ? rc : golden_routing(g, m, at, r, d, err);
}

#endif
