/* engine/adapter/from_peft: adapters as PEFT keeps them: a folder of adapter_config.json and adapter_model.safetensors. y = W x + s B (A x),
 * A [rank, in], B [out, rank], s = alpha / rank or alpha / sqrt(rank) (rsLoRA). Of parameters that hold all experts (target_parameters:
 * huggingface/peft, src/peft/tuners/lora/layer.py, ParamWrapper.get_delta_weight) A is [experts * rank, in], row e * rank + k, and B
 * [out, rank * experts], column k * experts + e; where two parameters of a module are changed, the first is inside: "base_layer". Before PEFT
 * 0.19.1 A's columns were the outputs there and B's rows the inputs. Heads' rows are turned as the model's were (modules.h). */
#include "engine/adapter/kinds.h"
#include "engine/adapter/modules.h"
#include "engine/adapter/peft_config.h"
#include "engine/file/gguf.h"
#include "engine/file/safetensors.h"
#include "engine/run/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 420 };

typedef struct folder {
    eng_adapter *ad;
    const eng_model *m;
    const arch *a;                     /* NULL without m */
    peft_config c;
    st_file *f;
    int experts;                       /* without m: of modules that are one expert's, one more than the highest number */
} folder;

typedef struct change {                /* one module's or parameter's */
    char name[NAME];                   /* of the parameter: "model.layers.0.mlp.experts.gate_up_proj" */
    const st_tensor *a, *b;
    bool embedding;
    module_place at;
    int rank, experts;                 /* experts: 1 unless stacked */
    double scale;
    bool across;                       /* A and B are for the matrix turned */
    float *fa, *fb;
} change;

/* ---- what is changed ---- */

static const struct { const char *mid; bool b, embedding; } halves[] = {
    { ".lora_A", false, false }, { ".lora_B", true, false }, { ".lora_embedding_A", false, true }, { ".lora_embedding_B", true, true },
};

/* What is between the model's own names: PEFT's (twice where a PeftModel was wrapped in another), torch.compile's and FSDP's. */
static void without_wrappers(const char *name, char *out)
{
    static const char before[] = "base_model.model.";
    static const char *const wrap[] = { "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "module." };
    bool begins = true, moved = true;
    for (; *name; begins = begins && moved) {
        moved = false;
        if (begins && strncmp(name, before, sizeof before - 1) == 0) name += sizeof before - 1, moved = true;
        for (size_t i = 0; i < sizeof wrap / sizeof *wrap && !moved; i++)
            if (strncmp(name, wrap[i], strlen(wrap[i])) == 0) name += strlen(wrap[i]), moved = true;
        while (!moved && *name && (*out++ = *name++) != '.') {}
    }
    *out = 0;
}

/* The module's name, without the wrappers' own, and which half it is (of halves); -1: neither. */
static int split_name_of(const char *name, char module[NAME], int *depth)
{
    static const char inside[] = ".base_layer";
    char from[NAME];
    if (strlen(name) >= sizeof from) return -1;
    without_wrappers(name, from);
    for (int h = (int)(sizeof halves / sizeof *halves) - 1; h >= 0; h--) {
        const char *at = strstr(from, halves[h].mid);
        const char *end = at ? at + strlen(halves[h].mid) : NULL;
        if (!at || (strcmp(end, ".weight") != 0 && strcmp(end, ".default.weight") != 0 && strcmp(end, "") != 0 && strcmp(end, ".default") != 0)) continue;
        snprintf(module, NAME, "%.*s", (int)(at - from), from);
        size_t n = strlen(module), k = sizeof inside - 1;
        for (*depth = 0; n > k && strcmp(module + n - k, inside) == 0; ++*depth) module[n -= k] = 0;
        return h;
    }
    return -1;
}

/* The parameter of a module that holds several (experts): which one is `depth` wrappers inside. */
static bool find_parameter(const folder *f, const char *module, int depth, change *c)
{
    static const char *const order[] = { "gate_up_proj", "down_proj" };        /* as the modules define them */
    int found[2], n = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(c->name, sizeof c->name, "%.*s.%s", NAME - 20, module, order[i]);
        if (module_find(f->a, c->name, &c->at) && peft_config_targets(&f->c, c->name) == 1) found[n++] = i;
    }
    if (!n) {                                              /* not said: what is inside is the first */
        found[0] = 0;
        found[1] = 1;
        n = 2;
    }
    if (depth >= n) return false;
    snprintf(c->name, sizeof c->name, "%.*s.%s", NAME - 20, module, order[found[n - 1 - depth]]);
    return module_find(f->a, c->name, &c->at);
}

static int find_module(const folder *f, const char *module, int depth, change *c, char *err)
{
    snprintf(c->name, sizeof c->name, "%.*s.weight", NAME - 20, module);
    bool known = module_find(f->a, c->name, &c->at);
    if (known && peft_config_targets(&f->c, c->name) != 1) snprintf(c->name, sizeof c->name, "%s", module);      /* what patterns are compared with */
    if (!known) known = find_parameter(f, module, depth, c);
    for (int i = 0; known && i < c->at.n; i++) known = lows_role(c->at.role[i]);
    if (known) return Q_OK;
    return q_fail(err, Q_RANGE, _("%s changes the module %.120s, which is no matrix that can be changed in %s: leave it out of target_modules, or take the model it was trained on"), f->ad->path,
                  module, f->m ? f->m->info.name : _("a model that quorum runs"));
}

/* ---- its numbers ---- */

/* A turned pair of stacked experts: by shape, and where that is square by the version that wrote it. */
static bool is_across(const folder *f, const change *c, int64_t rows)
{
    int64_t in = c->a->ne[1], out = c->b->ne[0], ne[3];
    bool old = c->at.across ? f->c.version == 1900 : f->c.version != 0 && f->c.version < 1901;
    if (!c->at.stacked) return false;
    if (!f->m || in == out) return old;
    ker_role_shape(&f->m->ker, c->at.layer, c->at.role[0], ne);
    return in == rows && out == ne[0];
}

static int read_numbers(const folder *f, change *c, char *err)
{
    for (int h = 0; h < 2; h++) {
        const st_tensor *t = h ? c->b : c->a;
        if (t->kind == ST_OTHER)
            return q_fail(err, Q_RANGE, _("%s: the tensor %.120s is of type %s: save the adapter as F32, BF16 or F16"), f->ad->path, t->name, t->type);
        float *p = malloc((size_t)(t->n ? t->n : 1) * sizeof *p);
        if (!p) return q_fail(err, Q_NOMEM, _("not enough memory for the adapter %s"), f->ad->path);
        st_floats(t, 0, t->n, p);
        if (h) c->fb = p;
        else c->fa = p;
    }
    return Q_OK;
}

static float a_at(const change *c, int64_t e, int64_t k, int64_t i)
{
    if (c->embedding || c->across) return c->fb[i * c->b->ne[1] + k * c->experts + e];
    return c->fa[(e * c->rank + k) * c->a->ne[1] + i];
}

static float b_at(const change *c, int64_t e, int64_t o, int64_t k)
{
    if (c->embedding || c->across) return c->fa[(e * c->rank + k) * c->a->ne[1] + o];
    return c->fb[o * c->b->ne[1] + k * c->experts + e];
}

/* Of two roles that share A many columns of B may belong to one alone (a gate's and an up's own ranks, side by side): those that are zero for
 * this one are left out, unless all are. keep: [rank]; how many. */
static int kept(const folder *f, const change *c, int which, int64_t first, int64_t n_out, int dim, int *keep)
{
    int n = 0;
    for (int k = 0; k < c->rank; k++) {
        bool any = c->at.n == 1;
        for (int64_t e = 0; e < c->experts && !any; e++)
            for (int64_t o = 0; o < n_out && !any; o++) any = b_at(c, e, module_row(f->a, c->at.rows, o, first, which, dim), k) != 0;
        if (any) keep[n++] = k;
    }
    for (int k = 0; !n && k < c->rank; k++) keep[k] = k;
    return n ? n : c->rank;
}

/* The role `which` of the change: its matrix, or one expert's part of it. */
static int add_role(const folder *f, const change *c, int which, int64_t first, int64_t n_out, char *err)
{
    bool turned = c->embedding || c->across, one = c->at.expert >= 0;
    int dim = f->m ? f->m->ker.head_dim : 0, n = 0, *keep = q_alloc(sizeof *keep * (size_t)c->rank), rc = Q_OK;
    char called[Q_ERRLEN / 2];
    eng_low s = { .role = c->at.role[which], .layer = c->at.layer, .n_in = turned ? c->b->ne[0] : c->a->ne[1], .n_out = n_out };
    n = s.rank = kept(f, c, which, first, n_out, dim, keep);
    s.n_expert = one ? (f->m ? f->m->ker.n_expert : f->experts) : c->experts;
    snprintf(called, sizeof called, "%.120s: %.120s", f->ad->path, c->name);
    low_own *has = one ? lows_find(f->ad, s.role, s.layer) : NULL;
    float *a = has ? has->a : NULL, *b = has ? has->b : NULL, factor = 1;
    if (has && (has->low.rank != n || has->low.n_in != s.n_in || has->low.n_out != n_out))
        rc = q_fail(err, Q_RANGE, _("%s: ranks or shapes differ among a layer's experts, which is not computed: train them with one rank"), called);
    else if (has) factor = has->scale == c->scale ? 1 : (float)(c->scale / has->scale);
    else rc = lows_add(f->ad, f->m, &s, c->scale, called, &a, &b, err);
    int64_t mats = has ? has->low.n_expert : s.n_expert, at = one ? c->at.expert : 0;
    if (!rc && one && at >= mats)
        rc = q_fail(err, Q_RANGE, _("%s is for another model: it changes expert %lld, and there are %lld"), called, (long long)at, (long long)mats);
    for (int64_t e = 0; e < c->experts && !rc; e++) {
        float *ae = a + (at + e) * n * s.n_in, *be = b + (at + e) * n_out * n;
        for (int k = 0; k < n; k++)
            for (int64_t i = 0; i < s.n_in; i++) ae[k * s.n_in + i] = a_at(c, e, keep[k], i);
        for (int64_t o = 0; o < n_out; o++) {
            int64_t row = module_row(f->a, c->at.rows, o, first, which, dim);
            for (int k = 0; k < n; k++) be[o * n + k] = b_at(c, e, row, keep[k]) * factor;
        }
    }
    free(keep);
    return rc;
}

/* ---- one change ---- */

/* Rank, scale and experts against the shapes of the halves; how many rows the roles have together. */
static int measure(const folder *f, change *c, int64_t *rows, char *err)
{
    const st_tensor *a = c->a, *b = c->b;
    double alpha;
    peft_config_of(&f->c, c->name, &c->rank, &alpha);
    if (a->n_dims != 2 || b->n_dims != 2 || a->n == 0 || b->n == 0 || a->ne[0] != b->ne[1])
        return q_fail(err, Q_FORMAT, _("%s: the halves of %.120s do not fit: take another copy"), f->ad->path, c->name);
    c->experts = 1;
    if (c->at.stacked) c->experts = f->m ? f->m->ker.n_expert : a->ne[0] % c->rank ? 1 : (int)(a->ne[0] / c->rank);
    if (c->experts < 1 || a->ne[0] != (int64_t)c->rank * c->experts)
        return q_fail(err, Q_FORMAT, _("%s: adapter_config.json gives %.120s the rank %d, and its weights have %lld rows for %d: take another copy, or the model it was trained on"), f->ad->path,
                      c->name, c->rank, (long long)a->ne[0], c->experts < 1 ? 1 : c->experts);
    c->scale = alpha / (f->c.root ? sqrt((double)c->rank) : (double)c->rank);
    *rows = 0;
    for (int i = 0; f->m && i < c->at.n; i++) {
        int64_t ne[3];
        if (!ker_role_here(&f->m->ker, c->at.layer, c->at.role[i]))
            return q_fail(err, Q_RANGE, _("%s changes %.120s, and %s has no such matrix: it is for another model"), f->ad->path, c->name, f->m->info.name);
        ker_role_shape(&f->m->ker, c->at.layer, c->at.role[i], ne);
        *rows += ne[1];
    }
    c->across = is_across(f, c, *rows);
    int64_t out = c->embedding || c->across ? a->ne[1] : b->ne[0];
    if (!f->m) *rows = out;
    if (*rows != out)
        return q_fail(err, Q_RANGE, _("%s: %.120s gives %lld numbers, and the matrix of %s %lld: it is for another model"), f->ad->path, c->name, (long long)out, f->m->info.name, (long long)*rows);
    return Q_OK;
}

static int add_change(const folder *f, change *c, char *err)
{
    int64_t rows = 0, first = 0;
    int rc = measure(f, c, &rows, err);
    if (!rc) rc = read_numbers(f, c, err);
    for (int i = 0; i < c->at.n && !rc; i++) {
        int64_t ne[3] = { 0, rows / c->at.n, 0 };
        if (f->m) ker_role_shape(&f->m->ker, c->at.layer, c->at.role[i], ne);
        rc = add_role(f, c, i, first, ne[1], err);
        first += ne[1];
    }
    free(c->fa);
    free(c->fb);
    return rc;
}

/* A tensor that is no half. PEFT writes whole embeddings and heads beside the halves where they are targets (base_layer: as the base has them) or
 * where tokens were added (src/peft/utils/save_and_load.py, save_embedding_layers). */
static int other_tensor(const folder *f, const st_tensor *t, char *err)
{
    static const char copy[] = ".base_layer.weight", *const whole[] = { "embed_tokens.weight", "lm_head.weight" };
    size_t n = strlen(t->name), k = sizeof copy - 1;
    if (n > k && strcmp(t->name + n - k, copy) == 0) {
        bool words = strstr(t->name, "embed_tokens.") || strstr(t->name, "lm_head.");
        if (!f->m || !words || t->ne[0] == f->m->ker.n_vocab) return Q_OK;
        return q_fail(err, Q_RANGE, _("%s was trained with %lld tokens, and %s has %d: tokens were added; merge it into its base with PEFT (merge_and_unload) and convert that"), f->ad->path,
                      (long long)t->ne[0], f->m->info.name, f->m->ker.n_vocab);
    }
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (n > strlen(whole[i]) && strcmp(t->name + n - strlen(whole[i]), whole[i]) == 0)
            return q_fail(err, Q_RANGE, _("%s has the whole matrix %.120s: where it was not trained, save the adapter with save_embedding_layers=False; else merge it into its base with PEFT (merge_and_unload) and convert that"),
                          f->ad->path, t->name);
    return q_fail(err, Q_RANGE, _("%s has the tensor %.120s, which is no low-rank change of a matrix and is not computed: train without changed embeddings, norms and magnitudes (DoRA)"),
                  f->ad->path, t->name);
}

/* Whether there is a half of this module, under whatever wrappers' names. */
static bool has_half(const folder *f, const char *module)
{
    char name[NAME];
    int depth;
    for (int i = 0; i < st_count(f->f); i++)
        if (split_name_of(st_at(f->f, i)->name, name, &depth) >= 0 && strcmp(name, module) == 0) return true;
    return false;
}

static bool tied(const folder *f) { return f->m && !gguf_tensor_find(f->m->file, "output.weight"); }

static int one_tensor(const folder *f, const st_tensor *t, char *err)
{
    char module[NAME], other[NAME + 40];
    int depth = 0, h = split_name_of(t->name, module, &depth);
    if (h < 0) return other_tensor(f, t, err);
    const char *mid = strstr(t->name, halves[h].mid);
    snprintf(other, sizeof other, "%.*s%s%s", (int)(mid - t->name), t->name, halves[h ^ 1].mid, mid + strlen(halves[h].mid));
    const st_tensor *o = st_find(f->f, other);
    if (!o)
        return q_fail(err, Q_FORMAT, _("%s has only one half of the change of %.120s (%.160s is missing): take another copy"), f->ad->path, module, other);
    if (halves[h].b) return Q_OK;
    change c = { .a = t, .b = o, .embedding = halves[h].embedding };
    int rc = find_module(f, module, depth, &c, err);
    if (!rc && c.embedding != (c.at.role[0] == KER_W_EMBD))
        rc = q_fail(err, Q_FORMAT, _("%s: the halves of %.120s do not fit: take another copy"), f->ad->path, module);
    if (!rc) rc = add_change(f, &c, err);
    /* ensure_weight_tying: the head that is the embedding's matrix is changed with it (peft#2864) */
    if (!rc && c.embedding && peft_config_says(&f->c, "ensure_weight_tying") && tied(f) && !has_half(f, "lm_head")) {
        c.at.role[0] = KER_W_OUT;
        rc = add_change(f, &c, err);
    }
    return rc;
}

/* ---- the folder ---- */

/* Without the model its number of experts is what the names go up to. */
static int experts_named(const folder *f)
{
    char module[NAME];
    int n = 0, depth;
    for (int i = 0; i < st_count(f->f); i++) {
        change c;
        if (split_name_of(st_at(f->f, i)->name, module, &depth) < 0) continue;
        snprintf(c.name, sizeof c.name, "%.*s.weight", NAME - 20, module);
        if (module_find(f->a, c.name, &c.at) && c.at.expert >= n) n = c.at.expert + 1;
    }
    return n;
}

static char *last_name(const char *path)
{
    size_t n = strlen(path);
    while (n && path[n - 1] == '/') n--;
    const char *from = path + n;
    while (from > path && from[-1] != '/') from--;
    return q_strndup(from, (size_t)(path + n - from));
}

static void put_text(char **to, const char *text)
{
    free(*to);
    *to = q_utf8_clean(text, strlen(text));
}

int lows_from_peft(eng_adapter *ad, const eng_model *m, char *err)
{
    folder f = { .ad = ad, .m = m, .a = m ? m->arch : NULL };
    bool pickled = false;
    int rc = peft_config_read(ad->path, &f.c, err);
    if (rc) return rc;
    rc = st_open_folder(ad->path, "adapter_model", &f.f, &pickled, err);
    if (rc == Q_NOTFOUND)
        rc = pickled ? q_fail(err, Q_RANGE, _("%s holds its weights as PyTorch pickles them (adapter_model.bin), which only running a program can read: save it as adapter_model.safetensors"), ad->path)
                     : q_fail(err, Q_FORMAT, _("%s holds no adapter_model.safetensors: the folder is not complete, fetch it again"), ad->path);
    f.experts = rc || m ? 0 : experts_named(&f);
    for (int i = 0; !rc && i < st_count(f.f); i++) rc = one_tensor(&f, st_at(f.f, i), err);
    if (!rc) {
        const char *note = st_note(f.f, "quorum.adapter.provenance");
        char *name = last_name(ad->path);
        put_text(&ad->name, name);
        put_text(&ad->base, f.c.base);
        put_text(&ad->arch, m ? m->arch->name : "");
        put_text(&ad->note, note ? note : "");
        ad->alpha = f.c.alpha;
        free(name);
    }
    st_close(f.f);
    peft_config_free(&f.c);
    return rc;
}
