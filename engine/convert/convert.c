/* engine/convert/convert: a folder of safetensors as a GGUF: which parameter gives which rows of which tensor (engine/adapter/modules.h), in
 * which type, written by rows; then the file is looked at as a model before it gets its name, so that a folder that is not complete, or that has
 * what is not computed, is found out. Heads' rows are turned and experts stacked as convert_hf_to_gguf.py does. */
#include "engine/adapter.h"
#include "engine/adapter/modules.h"
#include "engine/adapter/types.h"
#include "engine/convert/parts.h"
#include "engine/file/safetensors.h"
#include "engine/models.h"
#include "engine/run/weights.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct source { const st_tensor *t; int64_t first; int which; } source;    /* rows [first, ...) of it, or in turns */

typedef struct out_tensor {            /* one of the GGUF's */
    char name[160];
    enum ker_role role;                /* KER_W_ROLES: of a head that foretells, by name alone */
    int layer, type, n_dims;
    int64_t ne[3];
    enum module_rows rows;
    source *from;                      /* [n_from]: one, or one a routed expert (t NULL: not seen) */
    int n_from;
    bool each;                         /* each routed expert has a parameter of its own */
    const struct converting *c;
} out_tensor;

typedef struct converting {
    const char *folder, *to;
    convert_shape s;
    st_file *f;
    int type;                          /* -1: as it is kept */
    out_tensor *out;
    int n, cap;
    float *row;                        /* of the widest */
} converting;

/* ---- which parameter is what ---- */

static out_tensor *find_out(converting *c, const char *name)
{
    for (int i = c->n; i-- > 0;)
        if (strcmp(c->out[i].name, name) == 0) return &c->out[i];
    return NULL;
}

static out_tensor *add_out(converting *c, const char *name, enum ker_role role, int layer)
{
    if (c->n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 256;
        c->out = q_realloc(c->out, sizeof *c->out * (size_t)c->cap);
    }
    out_tensor *o = &c->out[c->n++];
    *o = (out_tensor){ .role = role, .layer = layer };
    snprintf(o->name, sizeof o->name, "%s", name);
    return o;
}

static int twice(const converting *c, const char *name, char *err)
{
    return q_fail(err, Q_FORMAT, _("%s gives the tensor %s twice: it is no model of one kind, or was put together wrongly"), c->folder, name);
}

/* Its shape as a GGUF has it: of the parameter's own dimensions, with the rows that a role has of it. */
static int shape_of(const converting *c, const st_tensor *t, const module_place *at, out_tensor *o, char *err)
{
    int d = t->n_dims, want = at->stacked ? 3 : d;
    bool vector = d == 1;
    if (d < 1 || d > 3 || d != want || (at->expert >= 0 && d != 2) || t->n < 1)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s has %d dimensions, which does not fit its name: fetch it again"), c->folder, t->name, d);
    int64_t cols = t->ne[d - 1], rows = d > 1 ? t->ne[d - 2] : 1;
    if (!vector && rows % at->n) return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s has %lld rows, which do not divide among %d matrices"), c->folder, t->name, (long long)rows, at->n);
    o->n_dims = vector ? 1 : at->stacked || at->expert >= 0 ? 3 : 2;
    o->ne[0] = cols;
    o->ne[1] = vector ? 1 : rows / at->n;
    o->ne[2] = at->stacked ? t->ne[0] : at->expert >= 0 ? c->s.n_expert : 1;
    if (o->rows != MODULE_HEADS || !module_turns(c->s.a) || (vector ? cols : o->ne[1]) % c->s.head_dim == 0) return Q_OK;
    /* a turned row would lie beyond the last: of half a head none are turned */
    return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s has %lld rows, which are no whole number of heads of %d: config.json belongs to another model, fetch the folder again"), c->folder, t->name,
                  (long long)(vector ? cols : o->ne[1]), c->s.head_dim);
}

static int add_role(converting *c, const st_tensor *t, const module_place *at, int which, char *err)
{
    char name[160];
    arch_tensor_name(c->s.a, at->role[which], at->layer, name, sizeof name);
    out_tensor *o = find_out(c, name);
    bool one = at->expert >= 0;
    if (o && (!one || !o->each)) return twice(c, name, err);      /* stacked experts beside single ones, under another wrapper's name */
    if (one && at->expert >= c->s.n_expert)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s is of an expert beyond the %d that config.json gives"), c->folder, t->name, c->s.n_expert);
    if (!o) {
        o = add_out(c, name, at->role[which], at->layer);
        o->rows = at->rows;
        int rc = shape_of(c, t, at, o, err);
        if (rc) return rc;
        o->each = one;
        o->n_from = one ? c->s.n_expert : 1;
        o->from = q_alloc(sizeof *o->from * (size_t)o->n_from);
    }
    source *s = &o->from[one ? at->expert : 0];
    if (s->t) return twice(c, name, err);
    if (one && (t->n_dims != 2 || t->ne[1] != o->ne[0] || t->ne[0] != o->ne[1]))
        return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s has another shape than the other experts' of its layer: fetch it again"), c->folder, t->name);
    *s = (source){ t, at->rows == MODULE_SAME && o->n_dims > 1 ? which * o->ne[1] : 0, which };
    return Q_OK;
}

/* What only a head that foretells has (layer n_layer of GLM-4.5's files). */
static const struct { const char *from, *to; } next[] = {
    { "eh_proj.weight", "nextn.eh_proj.weight" }, { "enorm.weight", "nextn.enorm.weight" }, { "hnorm.weight", "nextn.hnorm.weight" },
    { "shared_head.norm.weight", "nextn.shared_head_norm.weight" }, { "embed_tokens.weight", "nextn.embed_tokens.weight" }, { "shared_head.head.weight", "nextn.shared_head_head.weight" },
};

static int add_next(converting *c, const st_tensor *t, bool *known, char *err)
{
    int layer = -1, at = 0;
    char name[160];
    *known = false;
    if (sscanf(t->name, "model.layers.%9d.%n", &layer, &at) != 1 || !at || layer != c->s.n_layer || !c->s.n_next) return Q_OK;
    for (size_t i = 0; i < sizeof next / sizeof *next; i++) {
        if (strcmp(t->name + at, next[i].from) != 0) continue;
        module_place place = { .n = 1, .layer = layer, .expert = -1 };
        snprintf(name, sizeof name, "blk.%d.%s", layer, next[i].to);
        if (find_out(c, name)) return twice(c, name, err);
        out_tensor *o = add_out(c, name, KER_W_ROLES, layer);
        o->n_from = 1;
        o->from = q_alloc(sizeof *o->from);
        o->from[0].t = t;
        *known = true;
        return shape_of(c, t, &place, o, err);
    }
    return Q_OK;
}

static bool no_weight(const char *name)
{
    static const char *const ends[] = { ".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias" };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n >= strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0) return true;
    return false;
}

static int add_parameter(converting *c, const st_tensor *t, char *err)
{
    module_place at;
    bool known = false;
    int rc = no_weight(t->name) ? (known = true, Q_OK) : add_next(c, t, &known, err);
    if (rc || known) return rc;
    if (!module_find(c->s.a, t->name, &at) || at.layer >= c->s.n_layer + c->s.n_next || at.across || (at.stacked && !c->s.n_expert))
        return q_fail(err, Q_RANGE, _("%s has the tensor %.120s, which is not known in a model of architecture %s: convert it with llama.cpp's convert_hf_to_gguf.py"), c->folder, t->name, c->s.a->name);
    if (t->kind == ST_OTHER)
        return q_fail(err, Q_RANGE, _("%s: the tensor %.100s is of type %s, which is not converted: take the model's BF16 or F16 weights"), c->folder, t->name, t->type);
    if (at.role[0] == KER_W_OUT && c->s.tied) return Q_OK;
    for (int i = 0; i < at.n && !rc; i++) rc = add_role(c, t, &at, i, err);
    return rc;
}

/* ---- types and order ---- */

static int by_place(const void *a, const void *b)
{
    const out_tensor *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->role != y->role ? (x->role < y->role ? -1 : 1) : strcmp(x->name, y->name);
}

static int kept_type(const st_tensor *t) { return t->kind == ST_BF16 ? KER_BF16 : t->kind == ST_F16 ? KER_F16 : KER_F32; }

static int choose(converting *c, uint64_t by_type[KER_TYPE_LIMIT], char *err)
{
    int64_t widest = 1;
    for (int i = 0; i < c->n; i++) {
        out_tensor *o = &c->out[i];
        o->c = c;
        for (int e = 0; e < o->n_from; e++)
            if (!o->from[e].t) return q_fail(err, Q_FORMAT, _("%s: expert %d of %s is missing: the folder is not complete, fetch it again"), c->folder, e, o->name);
        int type = c->type >= 0 ? c->type : kept_type(o->from[0].t);
        bool takes = out_takes(o->name, o->n_dims, 1LL << 40, type);           /* by its name */
        o->type = !takes ? KER_F32 : o->ne[0] % ker_type_get(type)->block ? KER_F16 : type;
        by_type[o->type] += (uint64_t)(o->ne[0] * o->ne[1] * o->ne[2]);
        widest = o->ne[0] > widest ? o->ne[0] : widest;
    }
    if (c->n) qsort(c->out, (size_t)c->n, sizeof *c->out, by_place);
    c->row = malloc(sizeof *c->row * (size_t)widest);
    return c->row ? Q_OK : q_fail(err, Q_NOMEM, _("not enough memory for a row of %s"), c->folder);
}

/* ---- numbers ---- */

/* A checkpoint of a training that broke: a model of it would answer nothing, and only say so when it is asked. */
static int whole_numbers(const converting *c, const st_tensor *t, const float *x, int64_t n, char *err)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s holds a number that is none (NaN or infinity): its training broke, convert an earlier checkpoint"), c->folder, t->name);
    return Q_OK;
}

static int put_rows(void *user, int64_t first, int64_t n, void *dst, char *err)
{
    const out_tensor *o = user;
    const converting *c = o->c;
    const ker_type *type = ker_type_get(o->type);
    int64_t bytes = ker_row_bytes(o->type, o->ne[0]);
    for (int64_t i = 0; i < n; i++) {
        int64_t e = (first + i) / o->ne[1], r = (first + i) % o->ne[1];
        const source *s = &o->from[o->n_from > 1 ? e : 0];
        int64_t row = module_row(c->s.a, o->rows, r, s->first, s->which, c->s.head_dim), all = s->t->n_dims > 1 ? s->t->ne[s->t->n_dims - 2] : 1;
        if (o->n_from == 1 && o->n_dims == 3) row += e * all;
        st_floats(s->t, row * o->ne[0], o->ne[0], c->row);
        if (whole_numbers(c, s->t, c->row, o->ne[0], err) < 0) return Q_FORMAT;
        type->encode(c->row, (uint8_t *)dst + i * bytes, o->ne[0]);
    }
    return Q_OK;
}

/* Vectors: a bias of heads has its numbers turned as rows are. */
static int put_vector(void *user, void *dst, size_t bytes, char *err)
{
    (void)bytes;
    const out_tensor *o = user;
    float *to = dst;
    bool plus = o->c->s.norm_plus && strstr(o->name, "norm.weight");
    for (int64_t i = 0; i < o->ne[0]; i++) {
        st_floats(o->from[0].t, module_row(o->c->s.a, o->rows, i, 0, 0, o->c->s.head_dim), 1, &to[i]);
        if (plus) to[i] += 1;
    }
    return whole_numbers(o->c, o->from[0].t, to, o->ne[0], err);
}

static int put_factors(void *user, void *dst, size_t bytes, char *err)
{
    (void)err;
    memcpy(dst, user, bytes);
    return Q_OK;
}

/* ---- the file ---- */

/* Sentences about the file that is not whole yet name the one that it would have become. */
static void named_whole(char *why, const char *part, const char *out)
{
    char *at = strstr(why, part);
    size_t n = strlen(part), k = strlen(out);
    if (!at || k > n) return;
    memcpy(at, out, k);
    memmove(at + k, at + n, strlen(at + n) + 1);
}

/* The file that was written as a model: each tensor is one that is computed, nothing is missing, shapes are right. */
static int look(void *user, const char *path, char *err)
{
    const converting *c = user;
    char why[Q_ERRLEN];
    eng_model *m = NULL;
    int rc = eng_model_open(path, &(eng_open_opts){ .unrun = true }, &m, why);
    for (int i = -1; !rc && i < m->ker.n_layer; i++)
        for (int r = 0; r < KER_W_ROLES && !rc; r++) {
            weight_view v;
            rc = weight_find(m, (enum ker_role)r, i, &v, why);
            if (rc == Q_NOTFOUND) rc = Q_OK;
        }
    for (int i = 0; i < c->n && !rc; i++) {
        const out_tensor *o = &c->out[i];
        weight_view v;
        if (o->role == KER_W_ROLES || o->layer >= m->ker.n_layer || weight_find(m, o->role, o->layer, &v, why) == Q_OK) continue;
        rc = q_fail(why, Q_RANGE, _("the tensor %s is not computed in models of architecture %s"), o->name, c->s.a->name);
    }
    eng_model_free(m);
    if (rc) named_whole(why, path, c->to);
    return rc ? q_fail(err, rc == Q_RANGE ? Q_RANGE : Q_FORMAT, _("%s cannot be converted: %s"), c->folder, why) : Q_OK;
}

static int write_model(converting *c, gguf_writer *w, const char *out, void (*progress)(void *, uint64_t, uint64_t), void *user, char *err)
{
    uint64_t by_type[KER_TYPE_LIMIT] = { 0 };
    int rc = choose(c, by_type, err), most = KER_F32, layers = c->s.n_layer;
    if (rc) return rc;
    for (int i = 0; i < KER_TYPE_LIMIT; i++)
        if (by_type[i] > by_type[most]) most = i;
    char key[128];
    bool next_there = c->s.n_next && c->n && c->out[c->n - 1].layer == c->s.n_layer;
    snprintf(key, sizeof key, "%s.block_count", c->s.a->name);
    gguf_put_u32(w, key, (uint32_t)(layers + next_there));
    snprintf(key, sizeof key, "%s.nextn_predict_layers", c->s.a->name);
    if (next_there) gguf_put_u32(w, key, 1);
    gguf_put_u32(w, "general.file_type", (uint32_t)out_file_type(most));
    if (c->s.rope_factors) gguf_put_tensor(w, "rope_freqs.weight", KER_F32, 1, (int64_t[]){ c->s.n_rope }, put_factors, c->s.rope_factors);
    for (int i = 0; i < c->n; i++) {
        out_tensor *o = &c->out[i];
        if (o->n_dims == 1) gguf_put_tensor(w, o->name, o->type, 1, o->ne, put_vector, o);
        else gguf_put_rows(w, o->name, o->type, o->n_dims, o->ne, put_rows, o);
    }
    return gguf_write_checked(w, out, look, c, progress, user, err);
}

static void release(converting *c)
{
    for (int i = 0; i < c->n; i++) free(c->out[i].from);
    free(c->out);
    free(c->row);
    free(c->s.rope_factors);
    st_close(c->f);
}

int eng_convert_folder(const char *folder, const char *type, const char *out, bool force, void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    converting c = { .folder = folder, .to = out, .type = -1 };
    bool pickled = false;
    int rc = type ? out_type(type, &c.type, err) : Q_OK;
    if (!rc) rc = q_no_folder(out, "model.gguf", err);
    if (!rc) rc = q_no_input(out, folder, err);
    if (!rc) rc = eng_no_file(out, force, err);
    if (!rc && !convert_there(folder, "config.json")) rc = q_fail(err, Q_FORMAT, _("%s is no folder of a model: there is no config.json in it"), folder);
    cJSON *config = rc ? NULL : convert_json(folder, "config.json", err);
    if (!rc && !config) rc = Q_FORMAT;
    gguf_writer *w = gguf_writer_new();
    if (!rc) rc = convert_config(folder, config, w, &c.s, err);
    if (!rc) rc = convert_tokenizer(folder, config, &c.s, w, err);
    if (!rc && (rc = st_open_folder(folder, "model", &c.f, &pickled, err)) == Q_NOTFOUND)
        rc = pickled ? q_fail(err, Q_RANGE, _("%s holds its weights as PyTorch pickles them, which only running a program can read: save them as safetensors"), folder)
                     : q_fail(err, Q_FORMAT, _("%s holds no model.safetensors: the folder is not complete, fetch it again"), folder);
    for (int i = 0; !rc && i < st_count(c.f); i++) rc = add_parameter(&c, st_at(c.f, i), err);
    if (!rc) rc = write_model(&c, w, out, progress, user, err);
    release(&c);
    gguf_writer_free(w);
    cJSON_Delete(config);
    return rc;
}
