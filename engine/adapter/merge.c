/* engine/adapter/merge: a model with adapters added to its weights for good: W + sum of scale * s * B A (arXiv 2106.09685, section 4.1), row by
 * row: decoded, added in F32, encoded. Rows that nothing changes are copied as they are. */
#include "engine/adapter/lows.h"
#include "engine/adapter/types.h"
#include "engine/models.h"
#include "engine/run/model.h"
#include "engine/run/weights.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct addend {                /* one matrix of one adapter, inside a tensor */
    const eng_low *low;
    float scale;                       /* the adapter's times the person's */
    int64_t first;                     /* row of each expert's part of the tensor where it begins */
} addend;

typedef struct out_tensor {
    const gguf_tensor *t;
    const char *name;                  /* that is written; NULL: t's */
    int type;                          /* that is written */
    addend *add;
    int n_add;
    float *row;                        /* [ne0], shared by all */
} out_tensor;

typedef struct merging {
    const eng_model *m;
    const eng_merge *what;
    int n;
    out_tensor *out;                   /* as the model's, and one more where its head comes apart from its embedding */
    int n_out;
    float *row;
} merging;

/* ---- one tensor ---- */

/* True where the row is changed; adds to row, which holds the decoded one. */
static bool add_row(const addend *a, int64_t e, int64_t r, int64_t n, float *row)
{
    const eng_low *l = a->low;
    int64_t o = r - a->first;
    bool any = false;
    if (o < 0 || o >= l->n_out || e >= l->n_expert) return false;
    const float *b = l->b + (e * l->n_out + o) * l->rank;
    for (int k = 0; k < l->rank; k++) {
        float x = b[k] * a->scale;
        const float *from = l->a + (e * l->rank + k) * l->n_in;
        if (x == 0) continue;
        any = true;
        for (int64_t i = 0; i < n; i++) row[i] += x * from[i];
    }
    return any;
}

static int put_rows(void *user, int64_t first, int64_t n, void *dst, char *err)
{
    const out_tensor *o = user;
    const gguf_tensor *t = o->t;
    const ker_type *from = ker_type_get(t->type), *to = ker_type_get(o->type);
    int64_t in = ker_row_bytes(t->type, t->ne[0]), out = ker_row_bytes(o->type, t->ne[0]);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *src = (const uint8_t *)t->data + (first + i) * in;
        uint8_t *at = (uint8_t *)dst + i * out;
        bool changed = o->type != t->type;
        if (changed || o->n_add) from->decode(src, o->row, t->ne[0]);
        for (int k = 0; k < o->n_add; k++) changed |= add_row(&o->add[k], (first + i) / t->ne[1], (first + i) % t->ne[1], t->ne[0], o->row);
        for (int64_t j = 0; changed && j < t->ne[0]; j++)
            if (!isfinite(o->row[j]))
                return q_fail(err, Q_FORMAT, _("a row of %.*s is not finite with the change added: its scale is too large, or the base is damaged"), (int)t->name.n, t->name.p);
        if (changed) to->encode(o->row, at, t->ne[0]);
        else memcpy(at, src, (size_t)out);
    }
    return Q_OK;
}

static int put_plain(void *user, void *dst, size_t bytes, char *err)
{
    (void)err;
    memcpy(dst, ((const out_tensor *)user)->t->data, bytes);
    return Q_OK;
}

/* ---- which tensor an adapter changes ---- */

static void add_low(out_tensor *o, const eng_low *l, float scale, int64_t first)
{
    o->add = q_realloc(o->add, sizeof *o->add * (size_t)(o->n_add + 1));
    o->add[o->n_add++] = (addend){ l, scale * l->scale, first };
}

/* A head that is the embedding's matrix, where one of them changes: it becomes a tensor of its own (peft#2777). */
static out_tensor *untied(merging *g)
{
    static const char embd[] = "token_embd.weight";
    out_tensor *last = &g->out[g->n_out - 1];
    if (last->name) return last;
    last[1] = (out_tensor){ .t = gguf_tensor_find(g->m->file, embd), .name = "output.weight" };
    g->n_out++;
    return &last[1];
}

static int place_low(merging *g, const eng_low *l, float scale, char *err)
{
    weight_view v;
    const eng_model *m = g->m;
    bool tied = (l->role == KER_W_EMBD || l->role == KER_W_OUT) && !gguf_tensor_find(m->file, "output.weight");
    out_tensor *head = tied ? untied(g) : NULL;
    if (head && l->role == KER_W_OUT) {
        add_low(head, l, scale, 0);
        return Q_OK;
    }
    int rc = weight_find(m, l->role, l->layer, &v, err);
    if (rc == Q_NOTFOUND) return q_fail(err, Q_RANGE, _("%s has no such matrix (%s of layer %d): the adapter is for another model"), m->info.name, _(ker_role_get(l->role)->name), l->layer);
    if (rc) return rc;
    for (int i = 0; i < gguf_n_tensors(m->file); i++) {
        out_tensor *o = &g->out[i];
        if (o->t->name.n != strlen(v.name) || memcmp(o->t->name.p, v.name, o->t->name.n) != 0) continue;
        int64_t row = ker_row_bytes(o->t->type, o->t->ne[0]);
        add_low(o, l, scale, ((const uint8_t *)v.data - (const uint8_t *)o->t->data) / row);
        return Q_OK;
    }
    return q_fail(err, Q_FORMAT, _("%s: the tensor %s is missing: the file is not a complete %s model"), m->path, v.name, m->arch->name);
}

static int place_all(merging *g, char *err)
{
    int rc = Q_OK;
    for (int a = 0; a < g->n && !rc; a++) {
        int n;
        const eng_low *l = eng_adapter_lows(g->what[a].adapter, &n);
        for (int i = 0; i < n && !rc; i++) rc = place_low(g, &l[i], g->what[a].scale, err);
    }
    return rc;
}

/* ---- the file ---- */

static char *name_of(const out_tensor *o) { return o->name ? q_strdup(o->name) : q_strndup(o->t->name.p, o->t->name.n); }

static int choose_types(merging *g, int type, char *err)
{
    for (int i = 0; i < g->n_out; i++) {
        out_tensor *o = &g->out[i];
        char *name = name_of(o);
        bool takes = type >= 0 && out_takes(name, o->t->n_dims, o->t->ne[0], type);
        int rc = Q_OK;
        o->type = takes ? type : o->t->type;
        if ((takes && type != o->t->type) || o->n_add) {
            const ker_type *from = ker_type_get(o->t->type), *to = ker_type_get(o->type);
            if (!from || !from->decode || !from->weight) rc = q_fail(err, Q_RANGE, _("%s: the tensor %s is of a type that quorum does not read"), g->m->path, name);
            else if (!to->encode)
                rc = q_fail(err, Q_RANGE, _("%s: the tensor %s is %s, which quorum reads and does not write: say --type Q8_0, or Q4_0, F16, BF16 or F32"), g->m->path, name, to->name);
        }
        free(name);
        if (rc) return rc;
    }
    return Q_OK;
}

static char *merged_text(const merging *g)
{
    cJSON *list = cJSON_CreateArray();
    for (int a = 0; a < g->n; a++) {
        const eng_adapter_info *o = eng_adapter_info_of(g->what[a].adapter);
        cJSON *j = cJSON_CreateObject();
        char hex[24];
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)o->hash);
        cJSON_AddStringToObject(j, "name", o->name);
        cJSON_AddStringToObject(j, "hash", hex);
        cJSON_AddNumberToObject(j, "scale", (double)g->what[a].scale);
        cJSON_AddItemToArray(list, j);
    }
    char *text = cJSON_PrintUnformatted(list);
    cJSON_Delete(list);
    return text;
}

static void put_keys(const merging *g, gguf_writer *w, int type)
{
    static const char *const left[] = { "split.no", "split.count", "split.tensors.count", "quorum.merged" };
    for (int i = 0; i < gguf_n_kv(g->m->file); i++) {
        const gguf_kv *kv = gguf_kv_at(g->m->file, i);
        char *key = q_strndup(kv->key.p, kv->key.n);
        bool copy = true;
        for (size_t k = 0; k < sizeof left / sizeof *left; k++) copy = copy && strcmp(key, left[k]) != 0;
        if (copy && type >= 0 && strcmp(key, "general.file_type") == 0 && out_file_type(type) >= 0) gguf_put_u32(w, key, (uint32_t)out_file_type(type));
        else if (copy) gguf_put_kv(w, key, kv);
        free(key);
    }
    char *text = merged_text(g);
    gguf_put_str(w, "quorum.merged", text);
    cJSON_free(text);
}

int eng_merge_write(const eng_model *m, const eng_merge *what, int n, const char *type, const char *out, bool force,
                    void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    int as = -1, rc = type ? out_type(type, &as, err) : Q_OK, n_t = m->vocab_only ? 0 : gguf_n_tensors(m->file);
    if (!rc && m->vocab_only) rc = q_fail(err, Q_RANGE, _("%s holds no weights: it is a vocabulary only"), m->path);
    if (!rc) rc = q_no_folder(out, "merged.gguf", err);
    if (!rc && gguf_no_input(m->file, out, err)) rc = q_fail(err, Q_RANGE, _("%s is the base itself, which would be lost: give the merged model a name of its own"), out);
    for (int i = 0; i < n && !rc; i++)
        if (q_same_file(out, eng_adapter_info_of(what[i].adapter)->path)) rc = q_fail(err, Q_RANGE, _("%s is the adapter itself, which would be lost: give the merged model a name of its own"), out);
    for (int i = 0; i < n && !rc; i++) rc = q_no_input(out, eng_adapter_info_of(what[i].adapter)->path, err);
    if (!rc) rc = eng_no_file(out, force, err);
    for (int i = 0; i < n && !rc; i++)
        if (!isfinite(what[i].scale)) rc = q_fail(err, Q_RANGE, _("a scale is a finite number, such as 0.7"));
    if (rc) return rc;
    merging g = { .m = m, .what = what, .n = n, .out = q_alloc(sizeof *g.out * (size_t)(n_t + 2)), .n_out = n_t };
    int64_t widest = 1;
    for (int i = 0; i < n_t; i++) {
        g.out[i].t = gguf_tensor_at(m->file, i);
        widest = g.out[i].t->ne[0] > widest ? g.out[i].t->ne[0] : widest;
    }
    g.row = malloc(sizeof *g.row * (size_t)widest);
    rc = g.row ? place_all(&g, err) : q_fail(err, Q_NOMEM, _("not enough memory for a row of %s"), m->path);
    if (!rc) rc = choose_types(&g, as, err);
    if (!rc) {
        gguf_writer *w = gguf_writer_new();
        put_keys(&g, w, as);
        for (int i = 0; i < g.n_out; i++) {
            out_tensor *o = &g.out[i];
            char *name = name_of(o);
            o->row = g.row;
            if (o->n_add || o->type != o->t->type || o->t->n_dims > 1) gguf_put_rows(w, name, o->type, o->t->n_dims, o->t->ne, put_rows, o);
            else gguf_put_tensor(w, name, o->type, o->t->n_dims, o->t->ne, put_plain, o);
            free(name);
        }
        rc = gguf_write(w, out, progress, user, err);
        gguf_writer_free(w);
    }
    for (int i = 0; i < g.n_out; i++) free(g.out[i].add);
    free(g.out);
    free(g.row);
    return rc;
}
