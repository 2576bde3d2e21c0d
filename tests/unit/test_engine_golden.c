/* The engine against PyTorch in F32: every case of the checked-in goldens, and of ../shared's when they are
 * there, whole and in pieces of 1 and 7; and the same bytes for every split and number of threads.
 * Tolerances: logits 2e-4 of the largest |logit|, weights 1e-4, ids equal as sets. */
#include "engine/text.h"
#include "tests/engine_util.h"
#include "tests/test.h"

typedef struct result { float *logits; uint16_t *ids; float *weights; int n, n_vocab, n_layer, max_k; } result;

static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    result *r = user;
    size_t cells = (size_t)r->n_layer * (size_t)max_k;
    memcpy(r->logits + (size_t)pos * (size_t)r->n_vocab, logits, sizeof(float) * (size_t)r->n_vocab);
    if (max_k > 0) {
        if (!r->ids) {
            r->ids = q_alloc(sizeof *r->ids * cells * (size_t)r->n);
            r->weights = q_alloc(sizeof *r->weights * cells * (size_t)r->n);
            r->max_k = max_k;
        }
        memcpy(r->ids + cells * (size_t)pos, ids, sizeof *ids * cells);
        memcpy(r->weights + cells * (size_t)pos, weights, sizeof *weights * cells);
    }
    return 0;
}

static bool evaluate(eng_model *m, const eng_config *c, const eng_tokens *t, int split, const uint16_t *forced, int forced_k, result *r)
{
    char err[Q_ERRLEN];
    eng_session *s = NULL;
    memset(r, 0, sizeof *r);
    r->n = t->n;
    r->n_vocab = eng_model_info(m)->n_vocab;
    r->n_layer = eng_model_info(m)->n_layer;
    r->logits = q_alloc(sizeof(float) * (size_t)r->n * (size_t)r->n_vocab);
    int rc = eng_session_new(m, c, &s, err);
    if (!rc)
        rc = eng_session_eval(s, t->id, t->n, split, forced, forced_k, on_row, r, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    eng_session_free(s);
    return rc == 0;
}

static void result_free(result *r)
{
    free(r->logits);
    free(r->ids);
    free(r->weights);
}

/* Slots of a token in the reference: a JSON list. */
static int find_id(const uint16_t *ids, int n, int id)
{
    for (int i = 0; i < n; i++)
        if (ids[i] == id)
            return i;
    return -1;
}

static void compare(const char *what, const char *dir, const char *name, const result *r, const cJSON *positions, const eng_model *m)
{
    q_buf ref = { 0 };
    char *path = q_printf("%s/%s.f32", dir, name), err[Q_ERRLEN];
    int n = positions ? cJSON_GetArraySize(positions) : r->n;
    int rc = q_read_file(path, &ref, (size_t)1 << 30, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    free(path);
    if (rc || ref.len != sizeof(float) * (size_t)n * (size_t)r->n_vocab) {
        CHECK_MSG(rc != 0, "%s: size", what);
        q_buf_free(&ref);
        return;
    }
    const float *want = (const float *)(const void *)ref.p;
    double worst = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        int pos = positions ? (int)cJSON_GetArrayItem(positions, i)->valuedouble : i;
        for (int v = 0; v < r->n_vocab; v++) {
            double d = fabs((double)want[i * r->n_vocab + v] - (double)r->logits[pos * r->n_vocab + v]);
            worst = d > worst || isnan(d) ? d : worst;
            largest = fmax(largest, fabs((double)want[i * r->n_vocab + v]));
        }
    }
    CHECK_MSG(worst <= 2e-4 * largest, "%s: logits differ by %.3g, largest %.3g", what, worst, largest);
    if (getenv("QUORUM_TEST_VERBOSE"))
        printf("# %s: logits differ by %.2e of the largest\n", what, worst / largest);
    q_buf_free(&ref);

    cJSON *routing = util_json(dir, q_printf("%s.routing.json", name));
    if (!routing)
        return;
    const cJSON *ids = cJSON_GetObjectItem(routing, "ids"), *weights = cJSON_GetObjectItem(routing, "weights");
    int row = 0, wrong = 0;
    double worst_w = 0;
    for (int l = 0; l < r->n_layer; l++) {
        if (!eng_layer_is_moe(m, l))
            continue;
        for (int i = 0; i < n; i++) {
            int pos = positions ? (int)cJSON_GetArrayItem(positions, i)->valuedouble : i;
            const cJSON *a = cJSON_GetArrayItem(cJSON_GetArrayItem(ids, row), i), *w = cJSON_GetArrayItem(cJSON_GetArrayItem(weights, row), i);
            size_t at = ((size_t)pos * (size_t)r->n_layer + (size_t)l) * (size_t)r->max_k;
            int k = 0;
            while (k < r->max_k && r->ids[at + (size_t)k] != 0xFFFF)
                k++;
            wrong += k != cJSON_GetArraySize(a);
            for (int s = 0; s < cJSON_GetArraySize(a); s++) {
                int j = find_id(r->ids + at, k, (int)cJSON_GetArrayItem(a, s)->valuedouble);
                if (j < 0)
                    wrong++;
                else
                    worst_w = fmax(worst_w, fabs(cJSON_GetArrayItem(w, s)->valuedouble - (double)r->weights[at + (size_t)j]));
            }
        }
        row++;
    }
    CHECK_MSG(row == cJSON_GetArraySize(ids), "%s: %d routed layers, expected %d", what, row, cJSON_GetArraySize(ids));
    CHECK_MSG(wrong == 0, "%s: %d routing ids differ", what, wrong);
    CHECK_MSG(worst_w <= 1e-4, "%s: routing weights differ by %.3g", what, worst_w);
    cJSON_Delete(routing);
}

static void settings(eng_config *c, const cJSON *s)
{
    char err[Q_ERRLEN];
    const cJSON *item, *part;
    cJSON_ArrayForEach(item, s) {
        q_buf v = { 0 };
        if (cJSON_IsNumber(item))
            q_buf_printf(&v, "%.17g", item->valuedouble);
        else if (cJSON_IsString(item))
            q_buf_puts(&v, item->valuestring);
        cJSON_ArrayForEach(part, item) {
            q_buf_puts(&v, v.len ? "," : "");
            if (cJSON_IsObject(item))
                q_buf_printf(&v, "%s=%.17g", part->string, part->valuedouble);
            else if (cJSON_IsString(part))
                q_buf_puts(&v, part->valuestring);
            else
                q_buf_printf(&v, "%.17g", part->valuedouble);
        }
        int rc = eng_config_set(c, item->string, v.p, err);
        CHECK_MSG(rc == 0, "%s=%s: %s", item->string, v.p, rc ? err : "");
        q_buf_free(&v);
    }
}

static uint16_t *forced_ids(const char *dir, const cJSON *c, const eng_model *m, int n, int *max_k)
{
    const cJSON *file = cJSON_GetObjectItem(c, "force_routing");
    if (!file)
        return NULL;
    cJSON *root = util_json(dir, q_strdup(file->valuestring));
    const cJSON *ids = cJSON_GetObjectItem(root, "ids");
    int n_layer = eng_model_info(m)->n_layer, k = cJSON_GetArraySize(cJSON_GetArrayItem(cJSON_GetArrayItem(ids, 0), 0)), row = 0;
    uint16_t *v = q_alloc(sizeof *v * (size_t)(n_layer * n * k));
    memset(v, 0xFF, sizeof *v * (size_t)(n_layer * n * k));
    for (int l = 0; l < n_layer; l++) {
        if (!eng_layer_is_moe(m, l))
            continue;
        for (int t = 0; t < n; t++)
            for (int s = 0; s < k; s++)
                v[(l * n + t) * k + s] = (uint16_t)cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetArrayItem(ids, row), t), s)->valuedouble;
        row++;
    }
    cJSON_Delete(root);
    *max_k = k;
    return v;
}

/* All cases of one folder; `threads`: also the same bytes with 1, 2 and 3 threads. */
static void folder(const char *dir, const char *model)
{
    char err[Q_ERRLEN];
    eng_model *m = NULL;
    cJSON *root = util_json(dir, q_strdup("cases.json"));
    int rc = eng_model_open(model, NULL, &m, err);
    CHECK_MSG(rc == 0 && root, "%s", rc ? err : "no cases.json");
    if (rc || !root)
        return;
    eng_tokens t = { 0 };
    const cJSON *item, *positions = cJSON_GetObjectItem(root, "positions");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "tokens"))
        eng_tokens_add(&t, (int32_t)item->valuedouble);
    int n_cases = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "cases")) {
        static const struct { int split; const char *threads; } ways[] = { { 0, "2" }, { 1, "1" }, { 7, "3" } };
        const char *name = cJSON_GetObjectItem(item, "name")->valuestring;
        eng_config *c = eng_config_new(m);
        int forced_k = 0;
        uint16_t *forced = forced_ids(dir, item, m, t.n, &forced_k);
        result first = { 0 };
        settings(c, cJSON_GetObjectItem(item, "settings"));
        CHECK(eng_config_set(c, "kv.type", "f32", err) == 0);
        for (int w = 0; w < 3; w++) {
            char what[200];
            result r;
            snprintf(what, sizeof what, "%s %s split %d threads %s", cJSON_GetObjectItem(root, "arch")->valuestring, name, ways[w].split, ways[w].threads);
            CHECK(eng_config_set(c, "threads", ways[w].threads, err) == 0);
            if (!evaluate(m, c, &t, ways[w].split, forced, forced_k, &r)) {
                result_free(&r);
                continue;
            }
            if (w == 0) {
                compare(what, dir, name, &r, positions, m);
                first = r;
                continue;
            }
            size_t cells = (size_t)r.n * (size_t)r.n_layer * (size_t)r.max_k;
            CHECK_MSG(first.logits && memcmp(first.logits, r.logits, sizeof(float) * (size_t)r.n * (size_t)r.n_vocab) == 0, "%s: other bytes of logits", what);
            CHECK_MSG(!r.ids || (first.ids && memcmp(first.ids, r.ids, sizeof *r.ids * cells) == 0 && memcmp(first.weights, r.weights, sizeof *r.weights * cells) == 0),
                      "%s: other bytes of routing", what);
            result_free(&r);
        }
        result_free(&first);
        free(forced);
        eng_config_free(c);
        n_cases++;
    }
    CHECK(n_cases > 0);
    eng_tokens_free(&t);
    cJSON_Delete(root);
    eng_model_free(m);
}

static const char *arch_now;

static void shared_goldens(void)
{
    char *dir = q_printf("../shared/data/golden/%s", arch_now), *model = q_printf("%s/model.gguf", dir);
    folder(dir, model);
    free(dir);
    free(model);
}

static void checked_in_goldens(void)
{
    char *dir = q_printf("tests/golden/engine/%s", arch_now), *model = util_model(arch_now);
    folder(dir, model);
    remove(model);
    free(dir);
    free(model);
}

/* The carved default: tiny experts, quantised, repacked; the same bytes whatever the split and threads. */
static void carved_rows(void)
{
    static const struct { int split; const char *threads; } ways[] = { { 0, "2" }, { 1, "1" }, { 7, "3" } };
    char *path = util_default_model(), err[Q_ERRLEN];
    eng_model *m = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    free(path);
    if (rc)
        return;
    eng_tokens t = { 0 };
    const char *text = "The quorum of a council is the number of members that must be present for its decisions to count.";
    CHECK(eng_tokenize(m, text, strlen(text), false, &t, err) == 0);
    result r[3];
    for (int w = 0; w < 3; w++) {
        eng_config *c = eng_config_new(m);
        CHECK(eng_config_set(c, "threads", ways[w].threads, err) == 0);
        CHECK(eng_config_set(c, "experts.k", "8", err) == 0);
        evaluate(m, c, &t, ways[w].split, NULL, 0, &r[w]);
        CHECK_MSG(memcmp(r[0].logits, r[w].logits, sizeof(float) * (size_t)t.n * (size_t)r[0].n_vocab) == 0, "split %d", ways[w].split);
        CHECK(memcmp(r[0].ids, r[w].ids, sizeof(uint16_t) * (size_t)t.n * (size_t)r[0].n_layer * (size_t)r[0].max_k) == 0);
        eng_config_free(c);
    }
    for (int w = 0; w < 3; w++)
        result_free(&r[w]);
    eng_tokens_free(&t);
    eng_model_free(m);
}

int main(void)
{
    static const char *const small[] = { "qwen3moe", "glm4moe" };
    static const char *const all[] = { "qwen3moe", "qwen2moe", "glm4moe", "qwen3", "llama" };
    for (size_t i = 0; i < 2; i++) {
        arch_now = small[i];
        RUN(checked_in_goldens);
    }
    for (size_t i = 0; i < 5; i++) {
        arch_now = all[i];
        char *dir = q_printf("../shared/data/golden/%s", arch_now);
        if (util_exists(dir))
            RUN(shared_goldens);
        else
            SKIP("shared_goldens", "../shared/data/golden is not here");
        free(dir);
    }
    char *model = util_default_model();
    if (model)
        RUN(carved_rows);
    else
        SKIP("carved_rows", "the default model is not here (quorum model fetch)");
    free(model);
    return TEST_END();
}
