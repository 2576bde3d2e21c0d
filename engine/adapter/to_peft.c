/* engine/adapter/to_peft: adapters as PEFT keeps them (from_peft.c has the layout). Routed experts are written as the parameters that hold all
 * of them (target_parameters), so several matrices share one A: where theirs are not the same, A has the ranks of all one after another and B a
 * block for each. Modules are named within their layer where every layer has them alike, else each by its layer. */
#include "engine/adapter/lows.h"
#include "engine/adapter/modules.h"
#include "engine/file/safetensors.h"
#include "engine/models.h"
#include "engine/run/model.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME = 200 };

typedef struct param {                 /* one module's or parameter's change */
    const arch *a;
    module_place at;
    char name[NAME];                   /* "model.layers.1.mlp.experts.gate_up_proj", "….self_attn.q_proj.weight" */
    const low_own *own[3];             /* by role; NULL: not changed */
    int64_t first[3], rows;            /* where a role's rows begin, and how many there are */
    int rank, n_expert, dim;
    bool shared;                       /* one A for all */
    double scale;
    char a_name[NAME + 60], b_name[NAME + 60];
} param;

typedef struct writing { const eng_adapter *ad; const eng_model *m; param *p; int n; } writing;

/* ---- what is written ---- */

static const low_own *own_of(const eng_adapter *ad, enum ker_role role, int layer)
{
    for (int i = 0; i < ad->n; i++)
        if (ad->own[i].low.role == role && ad->own[i].low.layer == layer) return &ad->own[i];
    return NULL;
}

static bool same_a(const eng_low *x, const eng_low *y)
{
    return x->rank == y->rank && x->scale == y->scale && memcmp(x->a, y->a, sizeof(float) * (size_t)x->n_expert * (size_t)x->rank * (size_t)x->n_in) == 0;
}

static int fits_model(const writing *w, const eng_low *l, char *err)
{
    int64_t ne[3] = { 0 };
    bool here = ker_role_here(&w->m->ker, l->layer, l->role);
    if (here) ker_role_shape(&w->m->ker, l->layer, l->role, ne);
    if (here && l->n_in == ne[0] && l->n_out == ne[1] && l->n_expert == ne[2]) return Q_OK;
    return q_fail(err, Q_RANGE, _("%s is for another model: %s of layer %d has another shape in %s"), w->ad->path, _(ker_role_get(l->role)->name), l->layer, w->m->info.name);
}

/* The parameter that `o` is in, with all that is in it; *mine: o is the first of them. */
static int gather(const writing *w, const low_own *o, param *p, bool *mine, char *err)
{
    *p = (param){ .a = w->m->arch, .dim = w->m->ker.head_dim, .shared = true };
    if (!module_name(p->a, o->low.role, o->low.layer, -1, p->name, sizeof p->name) || !module_find(p->a, p->name, &p->at))
        return q_fail(err, Q_RANGE, _("%s: %s of layer %d has no name of Hugging Face's here: such an adapter stays a GGUF"), w->ad->path, _(ker_role_get(o->low.role)->name), o->low.layer);
    const low_own *first = NULL;
    for (int i = 0; i < p->at.n; i++) {
        int64_t ne[3];
        ker_role_shape(&w->m->ker, p->at.layer, p->at.role[i], ne);
        p->first[i] = p->rows;
        p->rows += ne[1];
        const low_own *one = p->own[i] = own_of(w->ad, p->at.role[i], p->at.layer);
        if (!one) continue;
        int rc = fits_model(w, &one->low, err);
        if (rc) return rc;
        p->shared = p->shared && (!first || same_a(&first->low, &one->low));
        p->rank += one->low.rank;
        if (!first) first = one;
    }
    *mine = first == o;
    p->n_expert = o->low.n_expert;
    p->scale = first ? first->scale : 1;
    if (p->shared && first) p->rank = first->low.rank;
    return Q_OK;
}

/* ---- numbers ---- */

static int fill_a(void *user, float *dst, size_t n, char *err)
{
    (void)err;
    const param *p = user;
    memset(dst, 0, n * sizeof *dst);
    if (p->at.role[0] == KER_W_EMBD) {                     /* ours turned: tokens are its columns */
        const eng_low *l = &p->own[0]->low;
        for (int64_t t = 0; t < l->n_out; t++)
            for (int k = 0; k < l->rank; k++) dst[k * l->n_out + t] = l->b[t * l->rank + k];
        return Q_OK;
    }
    for (int i = 0, at = 0; i < p->at.n; i++) {
        const eng_low *l = p->own[i] ? &p->own[i]->low : NULL;
        for (int64_t e = 0; l && e < p->n_expert; e++)
            memcpy(dst + (e * p->rank + at) * l->n_in, l->a + e * l->rank * l->n_in, sizeof *dst * (size_t)l->rank * (size_t)l->n_in);
        at += l && !p->shared ? l->rank : 0;
    }
    return Q_OK;
}

static int fill_b(void *user, float *dst, size_t n, char *err)
{
    (void)err;
    const param *p = user;
    memset(dst, 0, n * sizeof *dst);
    if (p->at.role[0] == KER_W_EMBD) {
        const eng_low *l = &p->own[0]->low;
        for (int64_t i = 0; i < l->n_in; i++)
            for (int k = 0; k < l->rank; k++) dst[i * l->rank + k] = l->a[k * l->n_in + i];
        return Q_OK;
    }
    for (int i = 0, at = 0; i < p->at.n; i++) {
        const low_own *o = p->own[i];
        if (!o) continue;
        float factor = o->scale == p->scale ? 1 : (float)(o->scale / p->scale);
        for (int64_t e = 0; e < p->n_expert; e++)
            for (int64_t r = 0; r < o->low.n_out; r++) {
                float *row = dst + module_row(p->a, p->at.rows, r, p->first[i], i, p->dim) * p->rank * p->n_expert;
                for (int k = 0; k < o->low.rank; k++)
                    row[(int64_t)(at + k) * p->n_expert + e] = o->low.b[(e * o->low.n_out + r) * o->low.rank + k] * factor;
            }
        at += p->shared ? 0 : o->low.rank;
    }
    return Q_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(((const st_out *)a)->name, ((const st_out *)b)->name); }

static int write_weights(const writing *w, const char *path, char *err)
{
    const char *const note[][2] = { { "format", "pt" }, { "quorum.adapter.provenance", *w->ad->note ? w->ad->note : NULL } };
    st_out *t = q_alloc(sizeof *t * 2 * (size_t)w->n);
    for (int i = 0; i < w->n; i++) {
        param *p = &w->p[i];
        const eng_low *l = &(p->own[0] ? p->own[0] : p->own[1] ? p->own[1] : p->own[2])->low;
        bool embd = l->role == KER_W_EMBD;
        int64_t rank = (int64_t)p->rank * p->n_expert;
        t[2 * i] = (st_out){ p->a_name, 2, { rank, embd ? l->n_out : l->n_in }, fill_a, p };
        t[2 * i + 1] = (st_out){ p->b_name, 2, { embd ? l->n_in : p->rows, rank }, fill_b, p };
    }
    qsort(t, 2 * (size_t)w->n, sizeof *t, by_name);
    int rc = st_write(path, t, 2 * w->n, note, 2, err);
    free(t);
    return rc;
}

/* ---- names ---- */

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* PEFT's own names of the halves: of two parameters of one module the first is inside. */
static void name_halves(const writing *w, param *p)
{
    char module[NAME];
    const char *wrap = "";
    bool experts = p->at.stacked && !ends(p->name, ".weight");
    snprintf(module, sizeof module, "%s", p->name);
    *strrchr(module, '.') = 0;                             /* ".weight", or the parameter's own name */
    for (int i = 0; experts && p->at.role[0] == KER_W_GATE_EXPS && i < w->n; i++)
        if (w->p[i].at.layer == p->at.layer && w->p[i].at.role[0] == KER_W_DOWN_EXPS) wrap = ".base_layer";
    bool embd = p->at.role[0] == KER_W_EMBD;
    snprintf(p->a_name, sizeof p->a_name, "base_model.model.%s%s.%s", module, wrap, embd ? "lora_embedding_A" : "lora_A.weight");
    snprintf(p->b_name, sizeof p->b_name, "base_model.model.%s%s.%s", module, wrap, embd ? "lora_embedding_B" : "lora_B.weight");
}

/* ---- adapter_config.json ---- */

/* Modules that are no linear layers are named with their parameter: experts, and routers, which hold a bare matrix in newer transformers. */
static bool as_parameter(const param *p) { return p->at.stacked || p->at.role[0] == KER_W_ROUTER; }

static void key_of(const param *p, bool by_layer, char out[NAME])
{
    int at = 0;
    sscanf(p->name, "model.layers.%*d.%n", &at);
    snprintf(out, NAME, "%s", p->name + (by_layer && at ? (int)strlen("model.") : at));
    if (!as_parameter(p) && ends(out, ".weight")) out[strlen(out) - strlen(".weight")] = 0;
}

/* Whether every layer that has such a matrix is changed there with the same rank and scale. */
static bool everywhere(const writing *w, const param *p)
{
    if (p->at.layer < 0) return true;
    for (int layer = 0; layer < w->m->ker.n_layer; layer++) {
        const param *same = NULL;
        for (int i = 0; i < w->n && !same; i++)
            if (w->p[i].at.layer == layer && w->p[i].at.role[0] == p->at.role[0]) same = &w->p[i];
        if (ker_role_here(&w->m->ker, layer, p->at.role[0]) && (!same || same->rank != p->rank || same->scale != p->scale)) return false;
    }
    return true;
}

/* name: value, once; values differ from the whole's only. */
static void put_pattern(cJSON *to, const char *key, double value)
{
    if (!cJSON_GetObjectItemCaseSensitive(to, key)) cJSON_AddNumberToObject(to, key, value);
}

static void put_target(cJSON *list, const char *key)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, list)
        if (strcmp(v->valuestring, key) == 0) return;
    cJSON_AddItemToArray(list, cJSON_CreateString(key));
}

static char *config_text(const writing *w)
{
    cJSON *j = cJSON_CreateObject();
    int r = w->p[0].rank;
    double alpha = w->p[0].scale * r;
    cJSON_AddStringToObject(j, "peft_type", "LORA");
    cJSON_AddStringToObject(j, "task_type", "CAUSAL_LM");
    cJSON_AddStringToObject(j, "base_model_name_or_path", *w->ad->base ? w->ad->base : w->m->info.name);
    cJSON_AddNumberToObject(j, "r", r);
    cJSON_AddNumberToObject(j, "lora_alpha", alpha);
    cJSON *ranks = cJSON_AddObjectToObject(j, "rank_pattern"), *alphas = cJSON_AddObjectToObject(j, "alpha_pattern");
    cJSON *modules = cJSON_AddArrayToObject(j, "target_modules"), *params = cJSON_AddArrayToObject(j, "target_parameters");
    for (int i = 0; i < w->n; i++) {
        const param *p = &w->p[i];
        char key[NAME];
        key_of(p, !everywhere(w, p), key);
        put_target(as_parameter(p) ? params : modules, key);
        if (p->rank != r) put_pattern(ranks, key, p->rank);
        if (p->scale * p->rank != alpha) put_pattern(alphas, key, p->scale * p->rank);
    }
    static const char *const off[] = { "use_rslora", "use_dora", "fan_in_fan_out" };
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) cJSON_AddFalseToObject(j, off[i]);
    cJSON_AddNumberToObject(j, "lora_dropout", 0);
    cJSON_AddStringToObject(j, "bias", "none");
    cJSON_AddTrueToObject(j, "init_lora_weights");
    cJSON_AddTrueToObject(j, "inference_mode");
    char *text = cJSON_Print(j);
    cJSON_Delete(j);
    return text;
}

/* ---- the folder ---- */

static int write_folder(const writing *w, const char *folder, char *err)
{
    char *weights = q_printf("%s/adapter_model.safetensors", folder), *config = q_printf("%s/adapter_config.json", folder), *text = config_text(w);
    int rc = write_weights(w, weights, err);
    if (!rc) rc = q_write_file_atomic(config, text, strlen(text), err);
    if (rc) {                          /* half a folder is none; the other file of an older one would be of another adapter */
        unlink(weights);
        unlink(config);
    }
    free(weights);
    free(config);
    cJSON_free(text);
    return rc;
}

/* A new folder appears whole; into one that is there the files are put in place of its own. */
static int place(const writing *w, const char *folder, bool force, char *err)
{
    struct stat st;
    char *plain = q_strdup(folder), *part;
    for (size_t n = strlen(plain); n > 1 && plain[n - 1] == '/';) plain[--n] = 0;
    part = q_printf("%s.part", plain);
    int rc = eng_no_file(plain, force, err);
    if (!rc && stat(plain, &st) == 0 && !S_ISDIR(st.st_mode))
        rc = q_fail(err, Q_RANGE, _("%s is a file, and PEFT keeps an adapter as a folder: give another name"), plain);
    else if (!rc && stat(plain, &st) == 0) rc = write_folder(w, plain, err);
    else if (!rc && mkdir(part, 0755) != 0 && errno != EEXIST) rc = q_fail(err, Q_IO, _("cannot make the folder %s: %s"), part, strerror(errno));
    else if (!rc) {
        rc = write_folder(w, part, err);
        if (!rc && rename(part, plain) != 0) rc = q_fail(err, Q_IO, _("cannot rename %s to %s: %s"), part, plain, strerror(errno));
        if (rc) rmdir(part);
    }
    free(part);
    free(plain);
    return rc;
}

int eng_adapter_write_peft(const eng_adapter *ad, const eng_model *m, const char *folder, bool force, char *err)
{
    writing w = { .ad = ad, .m = m, .p = q_alloc(sizeof *w.p * (size_t)ad->n) };
    int rc = strcmp(ad->arch, m->arch->name) == 0 ? Q_OK
        : q_fail(err, Q_RANGE, _("%s is for another model: it is of architecture %s, and %s is %s"), ad->path, ad->arch, m->info.name, m->arch->name);
    for (int i = 0; i < ad->n && !rc; i++) {
        bool mine = false;
        rc = gather(&w, &ad->own[i], &w.p[w.n], &mine, err);
        w.n += !rc && mine;
    }
    for (int i = 0; i < w.n; i++) name_halves(&w, &w.p[i]);
    if (!rc) rc = place(&w, folder, force, err);
    free(w.p);
    return rc;
}
