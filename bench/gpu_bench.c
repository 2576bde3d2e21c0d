/* bench/gpu_bench: the measurements of a backend plugin for `make gpu-kit` (build-aux/gpu_run.sh), straight on its
 * table. One step a call; what is known is written at once, so that a step that is stopped leaves what it had.
 *   gpu_bench device|kernels|goldens|adapters|cublas|speed|fetched|compare [MODEL | FOLDER...] [option VALUE]...
 *     --plugin FILE  --device N  --out BASE (BASE.json, BASE.md)  --budget SECONDS
 *     --layers N     the model's layers over and over until there are so many: each has memory of its own on the device
 *     --contexts 0,8192  --prefill 512,4096  --k 1,8  --tokens N
 * Exit status: 0 all well, 1 something is wrong (said in the report), 2 usage, 3 no plugin or no device. */
#include "engine/run/config.h"
#include "kernels/kernels.h"
#include "tests/lora_cases.h"
#include "tests/on_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, MOST = 8 /* numbers of a list */, SPARE = 512 /* cells for decoding beyond a context */ };

typedef struct list { int v[MOST], n; } list;
typedef struct options {
    const char *step, *plugin, *out;
    const char *word[64];
    int n_word, device, layers, tokens;
    double budget;
    list contexts, prefill, k;
} options;

static options opt;
static char err[Q_ERRLEN];
static const ker_backend *gpu;
static ker_device dev_info;
static int64_t started;

static double spent(void) { return (double)(q_now_ns() - started) / 1e9; }
static bool time_left(double share) { return spent() < opt.budget * share; }

/* ---- what is written ---- */

static q_buf json, md;
static int failures;

static void save(void)
{
    if (!opt.out) return;
    char *j = q_printf("%s.json", opt.out), *m = q_printf("%s.md", opt.out), *whole = q_printf("{%s}\n", json.p ? json.p : ""), why[Q_ERRLEN];
    if (q_write_file_atomic(j, whole, strlen(whole), why) || q_write_file_atomic(m, md.p ? md.p : "", md.len, why)) fprintf(stderr, "%s\n", why);
    free(whole);
    free(j);
    free(m);
}

static void json_text(const char *s)
{
    q_buf_putc(&json, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') q_buf_putc(&json, '\\');
        if ((unsigned char)*s >= 32) q_buf_putc(&json, *s);
    }
    q_buf_putc(&json, '"');
}

static void key(const char *name)
{
    q_buf_puts(&json, json.len ? ", " : "");
    json_text(name);
    q_buf_puts(&json, ": ");
}

static void head(const char *title, const char *columns)
{
    q_buf_printf(&md, "\n### %s\n\n| what | value | %s |\n|---|---|---|\n", title, columns);
    printf("%s\n", title);
}

static void line(const char *name, const char *value, const char *note)
{
    q_buf_printf(&md, "| %s | %s | %s |\n", name, value, note);
    printf("  %-44s %16s  %s\n", name, value, note);
    fflush(stdout);
    save();
}

static void number(const char *name, double v, const char *unit, const char *note)
{
    char text[64];
    bool whole = v == floor(v) && fabs(v) < 1e6;
    snprintf(text, sizeof text, whole ? "%.0f %s" : v != 0 && fabs(v) < .01 ? "%.2e %s" : fabs(v) < 100 ? "%.3f %s" : "%.1f %s", v, unit);
    key(name);
    if (isfinite(v)) q_buf_printf(&json, "%.6g", v);
    else q_buf_puts(&json, "null");
    line(name, text, note);
}

static void words(const char *name, const char *v, const char *note)
{
    key(name);
    json_text(v);
    line(name, v, note);
}

static void wrong(const char *name, const char *why)
{
    failures++;
    char *k = q_printf("problem %d", failures), *v = q_printf("%s: %s", name, why);
    words(k, v, "**wrong**");
    free(k);
    free(v);
}

/* ---- device ---- */

static int find_device(void)
{
    int rc = ker_plugin_open(opt.plugin, &gpu, err);
    if (rc) return rc;
    ker_device *all = q_alloc(sizeof *all * 16);
    int n = gpu->devices(all, 16, err);
    if (n > 0 && opt.device >= n) n = q_fail(err, Q_RANGE, "there is no device %d: there are %d", opt.device, n);
    if (n > 0) dev_info = all[opt.device];
    free(all);
    return n < 0 ? n : 0;
}

static double published(bool bytes)
{
    ker_card c = ker_card_of(dev_info.name);
    return bytes ? c.bandwidth : c.int8;
}

static void step_device(void)
{
    char text[64];
    head("Device", "");
    words("backend", gpu->name, "");
    words("device", dev_info.name, "");
    snprintf(text, sizeof text, "%d.%d", dev_info.major, dev_info.minor);
    words("compute capability", text, "");
    number("multiprocessors", dev_info.units, "", "");
    number("memory", (double)dev_info.bytes / (1 << 30), "GiB", "");
    number("memory free", (double)dev_info.free / (1 << 30), "GiB", "");
    number("driver", dev_info.driver, "", "as CUDA counts");
    number("runtime", dev_info.runtime, "", "as CUDA counts");
    words("processor", ker_cpu_features(), "");
    if (published(true) > 0) number("published bandwidth", published(true) / 1e9, "GB/s", "data sheet");
    else words("published bandwidth", "unknown", "no row for this card");
}

/* ---- kernels ---- */

enum { PARTS = 32 };
typedef struct tally { const char *part; int n, wrong; double worst, limit; char where[160]; } tally;
static tally parts[PARTS], kinds[PARTS];           /* of a layer, and of model */

static void tally_put(tally *of, const char *name, const ker_proof *p)
{
    int i = 0;
    while (i < PARTS - 1 && of[i].part && strcmp(of[i].part, name)) i++;
    tally *t = &of[i];
    t->part = name;
    t->n++;
    t->wrong += !p->ok;
    if (p->limit > 0 ? p->off / p->limit > t->worst || isnan(p->off) : p->off > t->worst) {
        t->worst = p->limit > 0 ? p->off / p->limit : p->off;
        t->limit = p->limit;
        snprintf(t->where, sizeof t->where, "%s, %s, %d rows: off by %.2e, limit %.0e", p->part, p->model, p->rows, p->off, p->limit);
    }
}

static void on_proof(void *user, const ker_proof *p)
{
    tally_put(parts, p->part, p);
    tally_put(kinds, p->kind, p);
    if (!p->ok) {
        char why[240];
        snprintf(why, sizeof why, "%s, %d rows: off by %.2e, limit %.0e", p->model, p->rows, p->off, p->limit);
        wrong(p->part, why);
    }
}

static void tallies_told(const tally *of)
{
    for (int i = 0; i < PARTS && of[i].part; i++) {
        char *name = q_printf("%s, %d of %d", of[i].part, of[i].n - of[i].wrong, of[i].n);
        number(name, of[i].worst, "of its limit", of[i].where);
        free(name);
    }
}

static void step_kernels(void)
{
    head("Each part against the CPU", "the worst case");
    int rc = ker_prove(gpu, opt.device, opt.n_word ? KER_PROVE_SMALL : KER_PROVE_LARGE, on_proof, NULL, err);
    tallies_told(parts);
    tallies_told(kinds);
    if (rc < 0) wrong("the check stopped", err);
}

/* ---- goldens ---- */

/* One way of one case is told as one line. */
static void golden_told(const golden_set *set, int at, int split, const golden_diff *d, double limit, int rc)
{
    char *name = q_printf("%s %s split %d", set->arch, set->name[at], split);
    if (rc) wrong(name, err);
    else if (!(d->logits <= limit && d->ids == 0 && d->weights <= 1e-4)) {
        char why[160];
        snprintf(why, sizeof why, "logits %.2e of the largest, %d ids, weights %.2e", d->logits, d->ids, d->weights);
        wrong(name, why);
    } else number(name, d->logits, "of the largest logit", "ids and weights equal");
    free(name);
}

static int golden_folder(const char *dir)
{
    char *path = q_printf("%s/model.gguf", dir);
    eng_model *m = NULL;
    golden_set set;
    int rc = eng_model_open(path, NULL, &m, err);
    free(path);
    if (!rc) rc = on_device(m, gpu, opt.device, err);
    if (!rc) rc = golden_open(dir, &set, err);
    if (rc) {
        eng_model_free(m);
        return rc;
    }
    for (int i = 0; i < set.n_case; i++)
        for (int split = 0; split < 8; split += split ? 6 : 1) {
            golden_result r;
            golden_diff d = { 0 };
            rc = golden_run(&set, m, i, split, &r, err);
            if (!rc) rc = golden_compare(&set, m, i, &r, &d, err);
            golden_result_free(&r);
            golden_told(&set, i, split, &d, 2e-4, rc);
        }
    golden_close(&set);
    eng_model_free(m);
    return 0;
}

static void step_goldens(void)
{
    head("Goldens of PyTorch in F32", "");
    for (int i = 0; i < opt.n_word; i++)
        if (golden_folder(opt.word[i])) wrong(opt.word[i], err);
}

/* ---- adapters ---- */

/* A folder of ../shared/data/lora; its model lies as that of the goldens does: FOLDER/../../golden/NAME/model.gguf. */
static int lora_folder(const char *dir)
{
    const char *slash = strrchr(dir, '/');
    char *path = q_printf("%s/../../golden/%s/model.gguf", dir, slash ? slash + 1 : dir);
    eng_model *m = NULL;
    golden_set set;
    int rc = eng_model_open(path, NULL, &m, err);
    free(path);
    if (!rc) rc = on_device(m, gpu, opt.device, err);
    if (!rc) rc = golden_open(dir, &set, err);
    for (int i = 0; !rc && i < set.n_case; i++)
        for (int split = 0; split < 8; split += split ? 6 : 1) {
            if (!time_left(.8)) {
                words(set.name[i], "left out", "no time");
                break;
            }
            golden_result r = { 0 };
            golden_diff d = { 0 };
            q_buf scale = { 0 };
            int there = lora_case_load(m, &set, i, false, &scale, err), bad = there == 1 ? 0 : there < 0 ? there : q_fail(err, Q_NOTFOUND, "an adapter is missing");
            if (!bad) bad = lora_case_run(m, &set, i, scale.p, split, &r, err);
            if (!bad) bad = golden_compare(&set, m, i, &r, &d, err);
            golden_told(&set, i, split, &d, 1e-4, bad);
            lora_drop_all(m, err);
            golden_result_free(&r);
            q_buf_free(&scale);
        }
    if (!rc) golden_close(&set);
    eng_model_free(m);
    return rc;
}

static void step_adapters(void)
{
    head("Adapters: PyTorch and peft in F32", "");
    for (int i = 0; i < opt.n_word; i++)
        if (lora_folder(opt.word[i])) wrong(opt.word[i], err);
}

/* ---- the library ---- */

static void count_wrong(void *user, const ker_proof *p) { *(int *)user += !p->ok; }

/* Both ways of each product, and the library's compared with the CPU wherever it has a way. `small` leaves large shapes out. */
static void step_cublas(void)
{
    static ker_way way[256];
    bool small = opt.n_word && strcmp(opt.word[0], "small") == 0;
    head("cuBLAS", "own kernels");
    int n = gpu->ways_measure ? gpu->ways_measure(opt.device, small, way, 256, err) : 0, off = 0;
    if (n < 0) wrong("measuring", err);
    if (!n) words("cuBLAS", "not found", "libcublas.so.13 or .12, by the system's loader");
    for (int i = 0; i < n; i++) {
        const ker_way *w = &way[i];
        char name[96], note[64];
        int at = snprintf(name, sizeof name, "%s %d x %d", ker_type_get(w->type)->name, w->n_out, w->n_in);
        if (w->experts) at += snprintf(name + at, sizeof name - (size_t)at, ", %d experts, %d a row", w->experts, w->k);
        snprintf(name + at, sizeof name - (size_t)at, ", %d rows", w->rows);
        snprintf(note, sizeof note, "%.1f us%s", w->own_s * 1e6, w->library_s < w->own_s ? ", slower" : "");
        number(name, w->library_s * 1e6, "us", note);
    }
    if (n < 1) return;
    ker_ways all;
    memset(&all, 0xff, sizeof all);
    gpu->ways_put(opt.device, &all);
    int rc = ker_prove(gpu, opt.device, KER_PROVE_LIBRARY, count_wrong, &off, err);
    gpu->ways_put(opt.device, NULL);
    if (rc < 0) wrong("comparing", err);
    else number("comparisons with the CPU that are wrong", off, "", "");
    if (off) wrong("cuBLAS", "computes other numbers than the CPU");
}

/* ---- a rig: a model on a backend, its layers repeated where asked ---- */

typedef struct rig {
    const ker_backend *b;
    ker_dev *dev;
    ker_ctx *ctx;
    ker_kv *kv;
    eng_model *from;
    ker_model m;
    config_ker cfg;
    int n_page;
    int32_t *page, *cell, *token;      /* identity; any ids */
    ker_out out;
    float *noise;                      /* [CHUNK][n_embd] room for shaking the stream by a rounding; NULL: it is left alone */
    double load_s;
} rig;

static void rig_close(rig *r)
{
    if (r->kv) r->b->kv_free(r->kv);
    if (r->ctx) r->b->ctx_free(r->ctx);
    if (r->dev) r->b->close(r->dev);
    free((void *)(uintptr_t)r->m.layer);
    free(r->page);
    free(r->cell);
    free(r->token);
    free(r->noise);
    config_ker_free(&r->cfg);
    *r = (rig){ 0 };
}

static int rig_weights(rig *r)
{
    const eng_model *f = r->from;
    int rc = 0;
    for (int l = -1; l < r->m.n_layer && !rc; l++)
        for (int role = 0; role < KER_W_ROLES && !rc; role++) {
            char name[128];
            if (!ker_role_here(&r->m, l, (enum ker_role)role)) continue;
            arch_tensor_name(f->arch, (enum ker_role)role, l < 0 ? l : l % f->ker.n_layer, name, sizeof name);
            const gguf_tensor *t = gguf_tensor_find(f->file, name);
            if (!t) continue;
            ker_weight w = { t->type, { t->ne[0], t->ne[1], t->ne[2] }, t->data, t->bytes, 0 };
            rc = r->b->weight(r->dev, l, (enum ker_role)role, &w, err);
        }
    return rc ? rc : r->b->ready(r->dev, err);
}

/* Configuration of k experts a layer into a slot; ban: an expert that no layer may choose, or -1. */
static int rig_config(rig *r, int slot, int k, int ban)
{
    int16_t *ks = q_alloc(sizeof *ks * (size_t)r->m.n_layer);
    size_t n = (size_t)r->m.n_layer * (size_t)r->m.n_expert;
    float *add = q_alloc(sizeof *add * (n + 1));
    for (int l = 0; l < r->m.n_layer; l++) ks[l] = (int16_t)(r->m.layer[l].moe ? (k < r->m.n_expert ? k : r->m.n_expert) : 0);
    for (size_t i = 0; i < n && ban >= 0; i++) add[i] = (int)(i % (size_t)r->m.n_expert) == ban ? -INFINITY : 0;
    ker_config c = { .norm_eps = r->cfg.k.norm_eps, .rope_freq = r->cfg.k.rope_freq, .rope_mscale = r->cfg.k.rope_mscale, .attn_scale = r->cfg.k.attn_scale, .k = ks,
                     .router_add = ban >= 0 ? add : NULL, .router_temperature = 1 };
    int rc = r->b->cfg_put(r->ctx, slot, &c, err);
    free(ks);
    free(add);
    return rc;
}

static uint64_t cache_bytes;               /* room for routed experts of rigs on the device; 0: all of them */

static int rig_open(rig *r, const ker_backend *b, eng_model *from, int layers, int cells, int max_k)
{
    int64_t t0 = q_now_ns();
    *r = (rig){ .b = b, .from = from, .m = from->ker, .n_page = cells / KER_PAGE + 1 };
    ker_layer *layer = q_alloc(sizeof *layer * (size_t)layers);
    for (int l = 0; l < layers; l++) layer[l] = from->ker.layer[l % from->ker.n_layer];
    r->m.layer = layer;
    r->m.n_layer = layers;
    eng_config *c = eng_config_new(from);
    config_ker_build(c, &r->cfg);
    eng_config_free(c);
    int n = r->n_page * KER_PAGE;
    r->page = q_alloc(sizeof *r->page * (size_t)r->n_page);
    r->cell = q_alloc(sizeof *r->cell * (size_t)n);
    r->token = q_alloc(sizeof *r->token * (size_t)n);
    for (int i = 0; i < r->n_page; i++) r->page[i] = i;
    for (int i = 0; i < n; i++) {
        r->cell[i] = i;
        r->token[i] = (int32_t)((unsigned)(i + 1) * 2654435761u % (unsigned)r->m.n_vocab);
    }
    ker_hold hold = { .index = b == gpu ? opt.device : 0, .cache_bytes = b == gpu ? cache_bytes : 0 };
    int rc = b->open(&r->m, 0, &hold, &r->dev, err);
    if (!rc) rc = rig_weights(r);
    if (!rc) rc = b->ctx_new(r->dev, CHUNK, max_k, NULL, &r->ctx, err);
    if (!rc) rc = b->kv_new(r->dev, KER_KV_F16, r->n_page, &r->kv, err);
    if (!rc) rc = rig_config(r, 0, from->info.n_expert_used, -1);
    r->load_s = (double)(q_now_ns() - t0) / 1e9;
    return rc;
}

/* The stream changed by about one rounding of a float in every place: what any other order of sums does. */
static int shake(rig *r, int n)
{
    if (!r->noise) return 0;
    int rc = r->b->hidden_get(r->ctx, r->noise);
    uint64_t x = 1;
    for (size_t i = 0; i < (size_t)n * (size_t)r->m.n_embd; i++) {
        x = q_mix64(x, i);
        r->noise[i] *= 1 + (x & 1 ? 1.2e-7f : -1.2e-7f);
    }
    return rc ? rc : r->b->hidden_put(r->ctx, r->noise);
}

typedef struct piece { int at, n; int16_t slot; bool logits_all, no_logits; const uint16_t *forced; } piece;

static int rig_run(rig *r, const piece *p)
{
    const ker_backend *b = r->b;
    int16_t slot[CHUNK];
    uint8_t want[CHUNK];
    ker_seq seq = { .page = r->page, .n_page = r->n_page };
    for (int i = 0; i < p->n; i++) {
        slot[i] = p->slot;
        want[i] = p->no_logits ? 0 : p->logits_all || i == p->n - 1 ? KER_WANT_LOGITS : 0;
    }
    ker_batch batch = { .n = p->n, .token = r->token + p->at, .pos = r->cell + p->at, .cell = r->cell + p->at, .slot = slot, .want = want,
                        .seqs = &seq, .n_seq = 1, .forced = p->forced, .phase = p->n == 1 };
    snprintf(err, sizeof err, "the device stopped in the middle of a pass");
    int rc = b->begin(r->ctx, r->kv, &batch, err);
    if (!rc) rc = b->embed(r->ctx);
    for (int l = 0; l < r->m.n_layer && !rc; l++) {
        rc = b->attn(r->ctx, l);
        if (!rc) rc = shake(r, p->n);
        if (!rc && !r->m.layer[l].moe) rc = b->dense(r->ctx, l);
        else if (!rc && !(rc = b->route(r->ctx, l))) rc = b->experts(r->ctx, l);
        if (!rc) rc = shake(r, p->n);
    }
    if (!rc) rc = b->head(r->ctx);
    int end = b->end(r->ctx, &r->out);
    return rc ? rc : end;
}

/* Bytes of weights read for a token under k experts a layer; cells are extra. */
static double rig_bytes(const rig *r, int k, bool with_head)
{
    double sum = with_head ? (double)r->from->head.bytes : 0;
    for (int l = 0; l < r->m.n_layer; l++) {
        const model_bytes *b = &r->from->bytes[l % r->from->ker.n_layer];
        sum += (double)b->always + (r->m.layer[l].moe ? k * (double)b->expert : 0);
    }
    return sum;
}

static double cell_bytes(const rig *r, int cells)
{
    return (double)cells / KER_PAGE * (double)r->b->kv_page_bytes(r->dev, KER_KV_F16);
}

/* ---- speed ---- */

/* Seconds a token, the median of n decoded from cell `at` on under slot `first`, or `slots` from there in turn.
 * Negative: failed. */
static double decode(rig *r, int at, int n, int first, int slots)
{
    double *t = q_alloc(sizeof *t * (size_t)n), v = -1;
    int rc = 0, warm = n / 8 + 2, i;
    for (i = -warm; i < n && !rc && (i < 4 || time_left(1)); i++) {
        int64_t t0 = q_now_ns();
        rc = rig_run(r, &(piece){ .at = at + i + warm, .n = 1, .slot = (int16_t)(first + (i + warm) % slots) });
        if (i >= 0) t[i] = (double)(q_now_ns() - t0) / 1e9;
    }
    if (!rc) {
        qsort(t, (size_t)i, sizeof *t, q_by_number);
        v = t[i / 2];
    }
    free(t);
    return v;
}

static void tell_decode(const rig *r, const char *name, double s, int k, int context)
{
    char note[160], *rate = q_printf("%s, tokens/s", name);
    double bytes = rig_bytes(r, k, true) + cell_bytes(r, context), roof = published(true) / bytes;
    if (s <= 0) {
        wrong(name, err);
        free(rate);
        return;
    }
    if (published(true) > 0)
        snprintf(note, sizeof note, "%.2f GB a token, %.0f GB/s, %.0f%% of the published bandwidth (%.0f tokens/s)", bytes / 1e9, bytes / s / 1e9, 100 / s / roof, roof);
    else
        snprintf(note, sizeof note, "%.2f GB a token, %.0f GB/s", bytes / 1e9, bytes / s / 1e9);
    number(rate, 1 / s, "", note);
    free(rate);
}

/* Seconds for n tokens from an empty context. */
static double prefill(rig *r, int n)
{
    int64_t t0 = q_now_ns();
    for (int at = 0; at < n; at += CHUNK) {
        int rows = n - at < CHUNK ? n - at : CHUNK;
        if (rig_run(r, &(piece){ .at = at, .n = rows, .no_logits = at + rows < n })) return -1;
        if (!time_left(1)) { snprintf(err, sizeof err, "out of time after %d tokens", at + rows); return -1; }
    }
    return (double)(q_now_ns() - t0) / 1e9;
}

static void tell_prefill(const rig *r, int n, double s)
{
    char name[64], note[128] = "";
    snprintf(name, sizeof name, "prefill %d, tokens/s", n);
    if (s <= 0) {
        wrong(name, err);
        return;
    }
    /* Two operations a weight that takes part: multiplications of quantised weights, without attention's own. */
    double params = (double)r->from->head.params / n;
    for (int l = 0; l < r->m.n_layer; l++) {
        const model_bytes *b = &r->from->bytes[l % r->from->ker.n_layer];
        params += (double)b->always_params + (r->m.layer[l].moe ? r->from->info.n_expert_used * (double)b->expert_params : 0);
    }
    double ops = 2 * params * n / s;
    if (published(false) > 0) snprintf(note, sizeof note, "%.1f T operations/s, %.1f%% of the int8 peak", ops / 1e12, 100 * ops / published(false));
    number(name, n / s, "", note);
}

/* token_s: what a token took by the clock, as a graph; 0: not measured. */
static void kernel_times(rig *r, int at, double token_s)
{
    if (!r->b->times) return;
    ker_time t[64];
    int n = r->b->times(r->ctx, true, NULL, 0), launches = 0;
    double sum = 0;
    if (n < 0 || rig_run(r, &(piece){ .at = at, .n = 1 })) return;
    n = r->b->times(r->ctx, false, t, 64);
    for (int i = 0; i < n; i++) sum += t[i].ms;
    char title[120];
    snprintf(title, sizeof title, "Time a kernel takes in one token decoded at context %d (events around each launch)", at);
    head(title, "share");
    for (int i = 0; i < n; i++) {
        char note[64], *name = q_printf("%s, %d launches", t[i].name, t[i].n);
        snprintf(note, sizeof note, "%.1f%%", 100 * t[i].ms / sum);
        number(name, t[i].ms * 1e3, "us", note);
        launches += t[i].n;
        free(name);
    }
    number("launches a token", launches, "", "");
    number("sum of kernels", sum * 1e3, "us", "without the graph: each launch waits for the one before");
    if (token_s > 0) number("gaps a token", token_s * 1e6 - sum * 1e3, "us", "the clock's time less the kernels': host, copies, between launches; below 0 where launches overlap");
}

/* Seconds a token in the first of the contexts; 0: not measured. */
static double speed_decode(rig *r)
{
    char name[80];
    double first = 0;
    int used = r->from->info.n_expert_used;
    for (int i = 0; i < opt.contexts.n && time_left(.7); i++) {
        int c = opt.contexts.v[i];       /* the first chunk's cells serve as all the others: what is read is as much */
        for (int p = CHUNK / KER_PAGE; p * KER_PAGE < c && p < r->n_page; p++) r->b->kv_copy(r->kv, p, p % (CHUNK / KER_PAGE), KER_PAGE);
        snprintf(name, sizeof name, "decode at context %d", c);
        double s = decode(r, c, opt.tokens, 0, 1);
        if (i == 0 && s > 0) first = s;
        tell_decode(r, name, s, used, c);
    }
    for (int i = 0; i < opt.k.n && r->m.n_expert && time_left(.8); i++) {
        snprintf(name, sizeof name, "decode with k = %d", opt.k.v[i]);
        if (rig_config(r, 1, opt.k.v[i], -1)) wrong(name, err);
        else tell_decode(r, name, decode(r, 0, opt.tokens, 1, 1), opt.k.v[i], 0);
    }
    if (!r->m.n_expert || rig_config(r, 1, used, -1) || rig_config(r, 2, used > 1 ? used / 2 : 1, -1)) return first;
    snprintf(name, sizeof name, "decode, k = %d and %d in turn", used, used > 1 ? used / 2 : 1);
    tell_decode(r, name, decode(r, 0, opt.tokens, 1, 2), (used + (used > 1 ? used / 2 : 1)) / 2, 0);
    return first;
}

static void step_speed(eng_model *m)
{
    int longest = CHUNK, layers = opt.layers ? opt.layers : m->ker.n_layer, used = m->info.n_expert_used;
    for (int i = 0; i < opt.contexts.n; i++) longest = opt.contexts.v[i] > longest ? opt.contexts.v[i] : longest;
    for (int i = 0; i < opt.prefill.n; i++) longest = opt.prefill.v[i] > longest ? opt.prefill.v[i] : longest;
    rig r;
    char title[160];
    snprintf(title, sizeof title, "Speed: %s%s", m->info.name, layers != m->ker.n_layer ? ", its layers repeated" : "");
    head(title, "");
    number("layers", layers, "", "");
    if (rig_open(&r, gpu, m, layers, longest + SPARE, m->ker.n_expert)) {
        wrong("opening", err);
        rig_close(&r);
        return;
    }
    number("loading", r.load_s, "s", "");
    if (prefill(&r, CHUNK) < 0) wrong("the first chunk", err);       /* warm, and cells for the contexts */
    double token_s = speed_decode(&r);
    for (int i = 0; i < opt.prefill.n && time_left(.9); i++) tell_prefill(&r, opt.prefill.v[i], prefill(&r, opt.prefill.v[i]));
    kernel_times(&r, opt.contexts.n ? opt.contexts.v[0] : 0, token_s);
    ker_device now[16];
    if (gpu->devices(now, 16, err) > opt.device) number("device memory in use", (double)(now[opt.device].bytes - now[opt.device].free) / (1 << 30), "GiB", "");
    number("trace a token", (double)layers * (m->ker.n_expert * 6.0 + 8), "bytes", "ids, weights, entropy, margin of all slots: copied behind the pass");
    /* The trace again with room for the experts in use alone: what its copy costs. */
    r.b->ctx_free(r.ctx);
    r.ctx = NULL;
    if (m->ker.n_expert && !r.b->ctx_new(r.dev, CHUNK, used, NULL, &r.ctx, err) && !rig_config(&r, 0, used, -1))
        tell_decode(&r, "decode, the trace of chosen experts alone", decode(&r, 0, opt.tokens, 0, 1), used, 0);
    rig_close(&r);
}

/* ---- a conversation, teacher-forced, against the CPU ---- */

enum { TALK_PROMPT = 64, TALK_TAIL = 16 /* rows of the prompt whose logits are compared */, TALK_MOST = 128 };

typedef struct talk {
    int n, asked;                      /* decoded tokens; as many as there were to be, had there been time */
    float *logits;                     /* [TALK_TAIL + n][n_vocab] */
    uint16_t *prompt_ids, *ids;        /* [n_layer][TALK_PROMPT][max_k], [n][n_layer][max_k] */
} talk;

static int largest(const float *v, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++) best = v[i] > v[best] ? i : best;
    return best;
}

/* k, half of it, and a ban follow each other, a third of the reply each as it was asked for: it may end before. */
static int16_t talk_slot(int i, int n) { return (int16_t)(3 * i / n); }

/* t: what the CPU said, followed; NULL: this is the CPU, which chooses the largest logit and fills `to`. */
static int talk_run(rig *r, const talk *lead, bool forced, talk *to)
{
    int V = r->m.n_vocab, K = r->m.n_expert, L = r->m.n_layer, used = r->from->info.n_expert_used, asked = lead ? lead->asked : to->n;
    size_t one = (size_t)L * (size_t)K;
    to->asked = asked;
    to->logits = q_alloc(sizeof(float) * (size_t)(TALK_TAIL + to->n) * (size_t)V);
    to->prompt_ids = q_alloc(sizeof(uint16_t) * (one * TALK_PROMPT + 1));
    to->ids = q_alloc(sizeof(uint16_t) * (one * (size_t)to->n + 1));
    int rc = rig_config(r, 0, used, -1);
    if (!rc) rc = rig_config(r, 1, used > 1 ? used / 2 : 1, -1);
    if (!rc) rc = rig_config(r, 2, used, K > used ? 1 : -1);
    if (!rc) rc = rig_run(r, &(piece){ .at = 0, .n = TALK_PROMPT, .logits_all = true, .forced = forced && K ? lead->prompt_ids : NULL });
    if (rc) return rc;
    memcpy(to->logits, r->out.logits + (size_t)(r->out.n_logits - TALK_TAIL) * (size_t)V, sizeof(float) * TALK_TAIL * (size_t)V);
    memcpy(to->prompt_ids, r->out.ids, sizeof(uint16_t) * one * TALK_PROMPT);
    for (int i = 0; i < to->n && !rc; i++) {
        if (!lead) r->token[TALK_PROMPT + i] = largest(to->logits + (size_t)(TALK_TAIL + i - 1) * (size_t)V, V);
        rc = rig_run(r, &(piece){ .at = TALK_PROMPT + i, .n = 1, .slot = talk_slot(i, asked), .forced = forced && K ? lead->ids + one * (size_t)i : NULL });
        if (rc) break;
        memcpy(to->logits + (size_t)(TALK_TAIL + i) * (size_t)V, r->out.logits, sizeof(float) * (size_t)V);
        memcpy(to->ids + one * (size_t)i, r->out.ids, sizeof(uint16_t) * one);
        if (!lead && !time_left(.5) && i >= 5) to->n = i + 1;
    }
    return rc;
}

static void talk_free(talk *t)
{
    free(t->logits);
    free(t->prompt_ids);
    free(t->ids);
}

/* Largest difference, over the rows, relative to each row's largest |logit|; other: rows with another largest logit. */
static double talk_gap(const rig *r, const talk *a, const talk *b, int n, double *mean, int *other)
{
    int V = r->m.n_vocab;
    double most = 0;
    *mean = *other = 0;
    for (int i = 0; i < TALK_TAIL + n; i++) {
        const float *x = a->logits + (size_t)i * (size_t)V, *y = b->logits + (size_t)i * (size_t)V;
        double gap = 0, size = 0;
        for (int v = 0; v < V; v++) {
            double d = fabs((double)x[v] - (double)y[v]);
            gap = d > gap || isnan(d) ? d : gap;
            size = fmax(size, fabs((double)y[v]));
        }
        most = gap / size > most || isnan(gap) ? gap / size : most;
        *mean += gap / size / (TALK_TAIL + n);
        *other += largest(x, V) != largest(y, V);
    }
    return most;
}

/* Percent of the experts that `cpu` chose and `dev` too, over the decoded tokens; negative: none were chosen. */
static double talk_overlap(const rig *r, const talk *cpu, const talk *dev, int n)
{
    double common = 0, slots = 0;
    size_t K = (size_t)r->m.n_expert;
    for (size_t at = 0; at < (size_t)n * (size_t)r->m.n_layer; at++)
        for (size_t i = 0; i < K && cpu->ids[at * K + i] != KER_NO_EXPERT; i++, slots++)
            for (size_t j = 0; j < K && dev->ids[at * K + j] != KER_NO_EXPERT; j++) common += dev->ids[at * K + j] == cpu->ids[at * K + i];
    return slots > 0 ? 100 * common / slots : -1;
}

/* floor: the same difference of the CPU from itself when the stream is shaken by a rounding; a device may be so many
 * times further. Negative: nothing is asked. */
static void talk_tell(const rig *r, const char *how, const talk *cpu, const talk *dev, double floor_)
{
    enum { TIMES = 4 };
    int other;
    double mean, most = talk_gap(r, dev, cpu, cpu->n, &mean, &other), limit = fmax(TIMES * floor_, 1e-5), overlap = talk_overlap(r, cpu, dev, cpu->n);
    char name[96], note[160];
    snprintf(name, sizeof name, "%s: largest difference of logits", how);
    if (floor_ < 0) snprintf(note, sizeof note, "relative to the row's largest logit; mean %.2e", mean);
    else snprintf(note, sizeof note, "relative to the row's largest logit; mean %.2e; limit %.2e: %d times the CPU's own", mean, limit, TIMES);
    number(name, most, "", note);
    if (floor_ >= 0 && !(most <= limit)) wrong(name, "above its limit");
    snprintf(name, sizeof name, "%s: other largest logit", how);
    snprintf(note, sizeof note, "of %d rows", TALK_TAIL + cpu->n);
    number(name, other, "", note);
    snprintf(name, sizeof name, "%s: routing overlap", how);
    if (overlap >= 0) number(name, overlap, "%", "experts chosen alike, decoded tokens");
}

/* The CPU's conversation, and how far the CPU is from itself under a rounding's shake with the same tokens and experts. */
static int talk_lead(rig *cpu, talk *want, double *floor_)
{
    double mean;
    int other, rc = talk_run(cpu, NULL, false, want);
    talk shaken = { .n = want->n };
    number("the CPU's part", spent(), "s", "");
    if (rc) return rc;
    cpu->noise = q_alloc(sizeof(float) * CHUNK * (size_t)cpu->m.n_embd);
    rc = talk_run(cpu, want, true, &shaken);
    *floor_ = rc ? 0 : talk_gap(cpu, &shaken, want, want->n, &mean, &other);
    if (!rc) number("the CPU against itself", *floor_, "", "forced routing, the stream shaken by one rounding in every layer");
    talk_free(&shaken);
    return rc;
}

static void step_compare(eng_model *m)
{
    int layers = opt.layers ? opt.layers : m->ker.n_layer, n = opt.tokens < TALK_MOST ? opt.tokens : TALK_MOST;
    rig cpu, dev = { 0 };
    talk want = { .n = n }, forced = { 0 }, free_run = { 0 };
    double floor_ = 0;
    head("A conversation, teacher-forced, against the CPU", "");
    int rc = rig_open(&cpu, ker_cpu(), m, layers, TALK_PROMPT + n, m->ker.n_expert);
    if (!rc) rc = talk_lead(&cpu, &want, &floor_);
    if (!rc) rc = rig_open(&dev, gpu, m, layers, TALK_PROMPT + n, m->ker.n_expert);
    if (!rc) memcpy(dev.token, cpu.token, sizeof *dev.token * (size_t)(TALK_PROMPT + want.n));
    forced.n = free_run.n = want.n;
    number("tokens", TALK_PROMPT + want.n, "", "a prompt and greedy tokens: k, half of k, a ban");
    if (!rc) rc = talk_run(&dev, &want, true, &forced);
    if (!rc) talk_tell(&dev, m->ker.n_expert ? "forced routing" : "logits", &want, &forced, floor_);
    if (!rc && m->ker.n_expert) rc = talk_run(&dev, &want, false, &free_run);
    if (!rc && m->ker.n_expert) talk_tell(&dev, "free routing", &want, &free_run, -1);
    if (rc) wrong("comparing", err);
    talk_free(&want);
    talk_free(&forced);
    talk_free(&free_run);
    rig_close(&dev);
    rig_close(&cpu);
}

/* ---- experts that are fetched ---- */

enum { FETCH_PROMPT = 48 };

/* A prompt and tokens given: tokens/s of the tokens, share of experts that lay there; the last logits into `logits`. */
static int fetched_run(rig *r, int n, float *logits, double *rate, double *hits)
{
    uint64_t asked = 0, brought = 0;
    int rc = rig_run(r, &(piece){ .at = 0, .n = FETCH_PROMPT });
    int64_t t0 = q_now_ns();
    for (int i = 0; i < n && !rc; i++) {
        rc = rig_run(r, &(piece){ .at = FETCH_PROMPT + i, .n = 1 });
        asked += r->out.asked;
        brought += r->out.fetched;
    }
    *rate = n / ((double)(q_now_ns() - t0) / 1e9);
    *hits = asked ? 100 * (1 - (double)brought / (double)asked) : 100;
    if (!rc) memcpy(logits, r->out.logits, sizeof *logits * (size_t)r->m.n_vocab);
    return rc;
}

/* The same tokens with all experts on the device, then with room for half and a quarter of them: the same bytes, and how fast. */
static void step_fetched(eng_model *m)
{
    static const int share[] = { 100, 50, 25 };
    int layers = opt.layers ? opt.layers : m->ker.n_layer, rc = 0;
    size_t row = sizeof(float) * (size_t)m->ker.n_vocab;
    float *logits[2] = { q_alloc(row), q_alloc(row) };
    double experts = 0;
    head("Experts that are fetched", "of those asked for, there already");
    for (int l = 0; l < layers; l++) experts += m->ker.layer[l % m->ker.n_layer].moe ? (double)m->bytes[l % m->ker.n_layer].expert * m->ker.n_expert : 0;
    for (size_t i = 0; i < sizeof share / sizeof *share && !rc && time_left(.8); i++) {
        rig r;
        char name[64], note[32];
        double rate = 0, hits = 0;
        cache_bytes = share[i] < 100 ? (uint64_t)(experts * share[i] / 100) : 0;
        rc = rig_open(&r, gpu, m, layers, FETCH_PROMPT + opt.tokens, m->ker.n_expert);
        if (!rc) rc = fetched_run(&r, opt.tokens, logits[i > 0], &rate, &hits);
        rig_close(&r);
        snprintf(name, sizeof name, "room for %d%%: decode, tokens/s", share[i]);
        snprintf(note, sizeof note, "%.1f%%", hits);
        if (!rc) number(name, rate, "", note);
        if (!rc && memcmp(logits[0], logits[i > 0], row)) wrong(name, "other numbers than with all of them there");
    }
    cache_bytes = 0;
    if (rc) wrong("fetching", err);
    free(logits[0]);
    free(logits[1]);
}

/* ---- arguments ---- */

static bool numbers(const char *text, list *out)
{
    out->n = 0;
    for (const char *p = text; *p;) {
        char *end;
        long v = strtol(p, &end, 10);
        if (end == p || v < 0 || v > 1 << 20 || out->n == MOST || (*end && *end != ',')) return false;
        out->v[out->n++] = (int)v;
        p = *end ? end + 1 : end;
    }
    return true;
}

static bool option(const char *name, const char *v)
{
    list one = { .n = 0 };
    int *number_of = strcmp(name, "--device") == 0 ? &opt.device : strcmp(name, "--layers") == 0 ? &opt.layers : strcmp(name, "--tokens") == 0 ? &opt.tokens : NULL;
    list *list_of = strcmp(name, "--contexts") == 0 ? &opt.contexts : strcmp(name, "--prefill") == 0 ? &opt.prefill : strcmp(name, "--k") == 0 ? &opt.k : NULL;
    if (list_of) return numbers(v, list_of);
    if (number_of) return numbers(v, &one) && one.n == 1 && (*number_of = one.v[0], true);
    if (strcmp(name, "--plugin") == 0) return opt.plugin = v, true;
    if (strcmp(name, "--out") == 0) return opt.out = v, true;
    if (strcmp(name, "--budget") == 0) return opt.budget = atof(v), opt.budget > 0;
    return false;
}

static int usage(const char *what)
{
    fprintf(stderr, "gpu_bench device|kernels|goldens|adapters|cublas|speed|fetched|compare [MODEL | FOLDER...] [--plugin FILE] [--device N] [--out BASE] [--budget S]\n"
                    "          [--layers N] [--contexts A,B] [--prefill A,B] [--k A,B] [--tokens N]\n%s: not understood\n", what);
    return 2;
}

int main(int argc, char **argv)
{
    opt = (options){ .budget = 60, .tokens = 64 };
    numbers("0", &opt.contexts);
    started = q_now_ns();
    if (argc < 2) return usage("nothing");
    opt.step = argv[1];
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] != '-' && opt.n_word < 64) opt.word[opt.n_word++] = argv[i];
        else if (i + 1 == argc || !option(argv[i], argv[i + 1])) return usage(argv[i]);
        else i++;
    }
    static const struct { const char *name; void (*run)(void); void (*on)(eng_model *); } steps[] = {
        { "device", step_device, NULL }, { "kernels", step_kernels, NULL }, { "goldens", step_goldens, NULL },
        { "adapters", step_adapters, NULL },
        { "cublas", step_cublas, NULL }, { "speed", NULL, step_speed }, { "fetched", NULL, step_fetched }, { "compare", NULL, step_compare },
    };
    int rc = find_device();
    if (rc) {
        fprintf(stderr, "gpu_bench: %s\n", err);
        words("no device", err, "");
        return 3;
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (strcmp(steps[i].name, opt.step)) continue;
        eng_model *m = NULL;
        if (steps[i].run) steps[i].run();
        else if (opt.n_word != 1) return usage("the model");
        else if (eng_model_open(opt.word[0], &(eng_open_opts){ .ignore_memory = true }, &m, err)) wrong("the model", err);
        else steps[i].on(m);
        eng_model_free(m);
        number("seconds", spent(), "s", "this step");
        q_buf_free(&json);
        q_buf_free(&md);
        return failures ? 1 : 0;
    }
    return usage(opt.step);
}
