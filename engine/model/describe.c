/* engine/model/describe: what `quorum model info` shows of a file, as text or JSON: the brief, the tensors by
 * type, the metadata. Any thread; owns nothing. It never opens the file as a model and never fails because
 * quorum could not run it: it says so. */
#include "base/say.h"
#include "engine/model/brief.h"
#include "engine/model/energy.h"
#include "engine/run/device.h"
#include "engine/run/ondisk.h"
#include "kernels/kernels.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct by_type { uint64_t tensors, bytes; } by_type;

static void count_types(const gguf_file *f, by_type out[KER_TYPE_LIMIT])
{
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        if (t->type < 0 || t->type >= KER_TYPE_LIMIT) continue;
        out[t->type].tensors++;
        out[t->type].bytes += t->bytes;
    }
}

/* A metadata value in a few words; malloc'ed. */
static char *value_text(const gguf_file *f, const gguf_kv *kv)
{
    char *key = q_strndup(kv->key.p, kv->key.n);
    gguf_str s;
    uint64_t u;
    double d;
    bool b;
    char *out;
    if (kv->type == GGUF_ARR) out = q_printf(ngettext("[%llu value]", "[%llu values]", (unsigned long)kv->count), (unsigned long long)kv->count);
    else if (kv->type == GGUF_STR && gguf_string(f, key, &s)) out = brief_text(s.p, s.n, 120);
    else if (kv->type == GGUF_BOOL && gguf_bool(f, key, &b)) out = q_strdup(b ? "true" : "false");
    else if (gguf_u64(f, key, &u)) out = q_printf("%llu", (unsigned long long)u);
    else if (gguf_f64(f, key, &d)) out = q_printf("%.9g", d);
    else out = q_strdup("?");
    free(key);
    return out;
}

/* ---- with less memory than it takes ---- */

enum { LOOKS = 48 };                   /* reads of the file, as large as an expert's matrix, that tell the disk's speed */
static const uint64_t WORTH_IT = 1u << 28;     /* routed experts of fewer bytes: only where --weights-ram was given */

typedef struct less { double gib, disk, token, speed; ondisk_plan p; } less;

double eng_disk_speed(const char *path, size_t each)
{
    struct stat st;
    char ignored[Q_ERRLEN];
    if (stat(path, &st) != 0 || st.st_size <= 0) return 0;
    return reader_speed(&(reader_file){ path, (uint64_t)st.st_size }, LOOKS, each < 4 << 20 ? each : 4 << 20, ignored);
}

/* What --weights-ram comes to, or would with half of the experts in memory; experts are taken to be chosen evenly. False: nothing to say; a model without
 * such experts is told of where --weights-ram was given. */
static bool with_less(gguf_file *f, const brief *b, less *o)
{
    double asked = device_weights_gib();
    *o = (less){ .gib = 0 };
    if (b->problem && !b->full) return false;
    bool some = model_ondisk(f, asked, &o->p);
    if (asked == 0 && (!some || o->p.experts < WORTH_IT)) return false;
    o->gib = asked > 0 ? asked : (double)(o->p.rest + o->p.slots) / (1024.0 * 1024 * 1024);
    if (!some) {                                                   /* dense or carved; the plan is of the least that it can do with */
        o->p.share = 1;
        o->p.whole = o->p.fits = asked < 0 || o->gib * (1024.0 * 1024 * 1024) + 1 >= (double)o->p.rest;
        return true;
    }
    o->token = (double)o->p.token * (1 - o->p.share);
    o->disk = eng_disk_speed(gguf_part_path(f, 0), (size_t)(o->p.expert / 3 + 1));
    o->speed = o->token > 0 ? o->disk / o->token : 0;
    return true;
}

static void less_row(const less *o, q_buf *out)
{
    char w1[32], w2[32], w3[32];
    if (!o->p.experts) brief_row(out, _("with less"), _("nothing of it could stay on the disk: every token needs all of it (%s)"), q_bytes_words(o->p.rest, w1));
    else if (o->p.whole) brief_row(out, _("with less"), _("--weights-ram %.3g: all of it stays in memory"), o->gib);
    else if (!o->p.fits) brief_row(out, _("with less"), _("--weights-ram %g is too little: at least %s are needed"), o->gib, q_bytes_words(o->p.least, w1));
    else if (o->disk > 0)
        brief_row(out, _("with less"), _("--weights-ram %.3g (at least %s): %.0f%% of the experts stay in memory, a token reads %s if all are chosen alike, %.3g tokens/s at most at this disk's %s/s"),
                  o->gib, q_bytes_words(o->p.least, w1), 100 * o->p.share, q_bytes_words((uint64_t)o->token, w2), o->speed, q_bytes_words((uint64_t)o->disk, w3));
}

static void less_json(const less *o, cJSON *j)
{
    cJSON *w = cJSON_AddObjectToObject(j, "weights_ram");
    const struct { const char *key; double v; } n[] = {{"gib", o->gib}, {"least_bytes", (double)o->p.least}, {"resident_bytes", (double)o->p.rest}, {"slot_bytes", (double)o->p.slots},
        {"experts_bytes", (double)o->p.experts}, {"share", o->p.share}, {"token_bytes", o->token}, {"disk_bytes_per_s", o->disk}, {"tokens_per_s", o->speed}};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) cJSON_AddNumberToObject(w, n[i].key, n[i].v);
    cJSON_AddBoolToObject(w, "fits", o->p.fits);
}

/* ---- what a context takes ---- */
static eng_energy cells_of(const brief *b)
{
    uint64_t recurrent = b->shape.n_recurrent < b->shape.n_layer ? b->shape.n_recurrent : b->shape.n_layer;
    eng_energy e = { .n_recurrent = (int)(recurrent < 1 << 30 ? recurrent : 1 << 30) };      /* a file may say anything */
    energy_shape(&e, b->shape.n_layer, energy_cells(b->shape.n_head, b->shape.n_kv, b->shape.head_dim, b->shape.kv_rank), 0, 0);
    return e;
}

static uint64_t whole(double bytes) { return bytes < 1e18 ? (uint64_t)bytes : (uint64_t)1e18; }

/* In every type of cell: a token's, and those of a long context, or of the longest that it was trained for. */
static void cells_rows(const brief *b, q_buf *out)
{
    eng_energy e = cells_of(b);
    uint64_t cells = b->shape.n_ctx && b->shape.n_ctx < 32768 ? b->shape.n_ctx : 32768;
    q_buf each = { 0 }, all = { 0 };
    char w[32];
    if (eng_energy_kv_bytes(&e, "f16") <= 0) return;
    for (int t = 0; eng_kv_type(t); t++) {
        double bytes = eng_energy_kv_bytes(&e, eng_kv_type(t));
        q_buf_printf(&each, "%s%s %s", t ? ", " : "", eng_kv_type(t), q_bytes_words(whole(bytes), w));
        q_buf_printf(&all, "%s%s %s", t ? ", " : "", eng_kv_type(t), q_bytes_words(whole(bytes * (double)((cells + 63) / 64 * 64)), w));
    }
    brief_row(out, _("a token keeps"), "%s", each.p);
    brief_row(out, _("a context"), _("of %llu tokens: %s (kv.type)"), (unsigned long long)cells, all.p);
    q_buf_free(&each);
    q_buf_free(&all);
}

static void cells_json(const brief *b, cJSON *j)
{
    eng_energy e = cells_of(b);
    cJSON *o = cJSON_AddObjectToObject(j, "kv_bytes_per_token");
    for (int t = 0; eng_kv_type(t); t++) cJSON_AddNumberToObject(o, eng_kv_type(t), eng_energy_kv_bytes(&e, eng_kv_type(t)));
}

static void as_text(const gguf_file *f, const brief *b, const less *few, q_buf *out)
{
    char w1[32], w2[32], *all = brief_count(b->params), *active = brief_count(b->active);
    brief_row(out, _("name"), "%s", *b->name ? b->name : "-");
    brief_row(out, _("file"), "%s (%s)", gguf_path(f), q_bytes_words(gguf_size(f), w1));
    if (gguf_parts(f) > 1) brief_row(out, _("parts"), _("%d files, of which this is the first"), gguf_parts(f));
    brief_row(out, _("architecture"), "%s%s", b->arch, b->carved ? _(" (carved from a dense model)") : "");
    if (*b->quant) brief_row(out, _("type"), "%s", b->quant);
    if (b->active < b->params) brief_row(out, _("parameters"), _("%s, %s active per token"), all, active);
    else brief_row(out, _("parameters"), "%s", all);
    if (b->shape.n_layer && b->shape.n_moe_layer)
        brief_row(out, _("layers"), _("%llu, %llu of them routed"), (unsigned long long)b->shape.n_layer, (unsigned long long)b->shape.n_moe_layer);
    else if (b->shape.n_layer) brief_row(out, _("layers"), "%llu", (unsigned long long)b->shape.n_layer);
    if (b->shape.n_recurrent)
        brief_row(out, _("recurrent"), _("%llu of the layers (delta rule), which remember %s whatever the length; the others attend"), (unsigned long long)b->shape.n_recurrent,
            q_bytes_words(b->shape.state_bytes, w1));
    if (b->shape.n_embd && b->shape.kv_rank)
        brief_row(out, _("width"), _("%llu; %llu heads of %llu over latent cells of %llu numbers (MLA)"), (unsigned long long)b->shape.n_embd,
            (unsigned long long)b->shape.n_head, (unsigned long long)b->shape.mla_head, (unsigned long long)b->shape.head_dim);
    else if (b->shape.n_embd)
        brief_row(out, _("width"), _("%llu; %llu heads of %llu, %llu for keys and values"), (unsigned long long)b->shape.n_embd,
            (unsigned long long)b->shape.n_head, (unsigned long long)b->shape.head_dim, (unsigned long long)b->shape.n_kv);
    if (b->shape.window && b->shape.n_near)
        brief_row(out, _("window"), _("%d of %llu layers see the last %d tokens only"), b->shape.n_near, (unsigned long long)b->shape.n_layer, b->shape.window);
    if (b->shape.n_expert)
        brief_row(out, _("experts"), _("%llu a layer, %llu used per token, %llu neurons each"), (unsigned long long)b->shape.n_expert,
            (unsigned long long)b->shape.n_used, (unsigned long long)b->shape.n_ff_exp);
    else if (b->shape.n_ff) brief_row(out, _("experts"), _("none: dense, %llu neurons a layer"), (unsigned long long)b->shape.n_ff);
    if (b->shape.n_ctx) brief_row(out, _("context"), _("%llu tokens"), (unsigned long long)b->shape.n_ctx);
    cells_rows(b, out);
    if (b->shape.n_vocab) brief_row(out, _("vocabulary"), _("%llu tokens, pre-tokeniser %s"), (unsigned long long)b->shape.n_vocab, *b->pre ? b->pre : "-");
    brief_row(out, _("template"), "%s", b->template_note ? b->template_note : b->chat ? _("chat") : _("none"));
    if (b->params) brief_row(out, _("memory"), _("%s needed, %s free"), q_bytes_words(brief_memory(b), w1), q_bytes_words(q_mem_available(), w2));
    if (few) less_row(few, out);
    if (b->problem) brief_row(out, _("runs here"), _("no: %s"), b->problem);
    else brief_row(out, _("runs here"), "%s", _("yes"));
    free(all);
    free(active);

    by_type types[KER_TYPE_LIMIT] = {{0}};
    count_types(f, types);
    q_buf_say(out, "\n%s\n", _("tensors"));
    for (int i = 0; i < KER_TYPE_LIMIT; i++)
        if (types[i].tensors)
            q_buf_say(out, "  %-8s %6llu  %s\n", ker_type_named(i)->name, (unsigned long long)types[i].tensors, q_bytes_words(types[i].bytes, w1));
    q_buf_say(out, "\n%s\n", _("metadata"));
    for (int i = 0; i < gguf_n_kv(f); i++) {
        const gguf_kv *kv = gguf_kv_at(f, i);
        char *key = brief_text(kv->key.p, kv->key.n, 100), *v = value_text(f, kv);
        q_buf_say(out, "  %-44s %s\n", key, v);
        free(key);
        free(v);
    }
}

/* JSON has no word for what is not a number: it is said as text then. */
static void put_number(cJSON *o, const char *key, double x)
{
    if (isfinite(x)) cJSON_AddNumberToObject(o, key, x);
    else cJSON_AddStringToObject(o, key, isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

static void as_json(const gguf_file *f, const brief *b, const less *few, q_buf *out)
{
    cJSON *j = cJSON_CreateObject(), *t = cJSON_CreateObject(), *m = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "path", gguf_path(f));
    const struct { const char *key, *v; } words[] = {{"name", b->name}, {"architecture", b->arch}, {"type", b->quant}, {"pre", b->pre}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) cJSON_AddStringToObject(j, words[i].key, words[i].v);
    const struct { const char *key; uint64_t v; } counts[] = {
        {"file_bytes", gguf_size(f)}, {"parts", (uint64_t)gguf_parts(f)}, {"parameters", b->params}, {"active_parameters", b->active}, {"layers", b->shape.n_layer},
        {"routed_layers", b->shape.n_moe_layer}, {"recurrent_layers", b->shape.n_recurrent}, {"state_bytes", b->shape.state_bytes},
        {"width", b->shape.n_embd}, {"heads", b->shape.n_head}, {"kv_heads", b->shape.n_kv}, {"head_dim", b->shape.head_dim},
        {"experts", b->shape.n_expert}, {"experts_used", b->shape.n_used}, {"expert_neurons", b->shape.n_ff_exp}, {"neurons", b->shape.n_ff},
        {"window", (uint64_t)b->shape.window}, {"window_layers", (uint64_t)b->shape.n_near}, {"context", b->shape.n_ctx}, {"vocabulary", b->shape.n_vocab},
        {"memory_needed", brief_memory(b)}, {"memory_free", q_mem_available()},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) cJSON_AddNumberToObject(j, counts[i].key, (double)counts[i].v);
    cells_json(b, j);
    put_number(j, "rope_theta", b->rope_theta);
    put_number(j, "norm_eps", b->norm_eps);
    cJSON_AddBoolToObject(j, "carved", b->carved);
    cJSON_AddBoolToObject(j, "chat_template", b->chat);
    const struct { const char *key, *v; } maybe[] = {{"template_problem", b->template_note}, {"problem", b->problem}};
    for (size_t i = 0; i < sizeof maybe / sizeof *maybe; i++) {
        if (maybe[i].v) cJSON_AddStringToObject(j, maybe[i].key, maybe[i].v);
        else cJSON_AddNullToObject(j, maybe[i].key);
    }
    by_type types[KER_TYPE_LIMIT] = {{0}};
    count_types(f, types);
    for (int i = 0; i < KER_TYPE_LIMIT; i++) {
        if (!types[i].tensors) continue;
        cJSON *one = cJSON_AddObjectToObject(t, ker_type_named(i)->name);
        cJSON_AddNumberToObject(one, "tensors", (double)types[i].tensors);
        cJSON_AddNumberToObject(one, "bytes", (double)types[i].bytes);
    }
    cJSON_AddItemToObject(j, "tensor_types", t);
    if (few) less_json(few, j);
    for (int i = 0; i < gguf_n_kv(f); i++) {
        const gguf_kv *kv = gguf_kv_at(f, i);
        char *key = brief_text(kv->key.p, kv->key.n, 200), *raw = q_strndup(kv->key.p, kv->key.n), *v;
        double d;
        bool yes;
        if (kv->type == GGUF_ARR) cJSON_AddNumberToObject(cJSON_AddObjectToObject(m, key), "count", (double)kv->count);
        else if (gguf_bool(f, raw, &yes) && kv->type == GGUF_BOOL) cJSON_AddBoolToObject(m, key, yes);
        else if (kv->type != GGUF_STR && gguf_f64(f, raw, &d)) put_number(m, key, d);
        else {
            cJSON_AddStringToObject(m, key, v = value_text(f, kv));
            free(v);
        }
        free(key);
        free(raw);
    }
    cJSON_AddItemToObject(j, "metadata", m);
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

int eng_describe(const char *path, bool json, q_buf *out, char *err)
{
    gguf_file *f = NULL;
    int rc = gguf_look(path, &f, err);
    if (rc) return rc;
    brief b;
    brief_read(f, &b);
    less o, *few = with_less(f, &b, &o) ? &o : NULL;
    if (json) as_json(f, &b, few, out);
    else as_text(f, &b, few, out);
    brief_free(&b);
    gguf_close(f);
    return Q_OK;
}
