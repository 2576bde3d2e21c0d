/* lab/energy: what a setting costs, said. The numbers come from engine/model/energy (exact counts of tensors); this file
 * only shows them, as text, as JSON, or as rows for a panel. Any thread; owns nothing. */
#include "base/say.h"
#include "engine/models.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *key, *label; } parts[ENG_ENERGY_PARTS] = {
    [ENG_ENERGY_EMBED] = { "embedding", N_("embedding") }, [ENG_ENERGY_ATTN] = { "attention", N_("attention") },
    [ENG_ENERGY_ROUTER] = { "router", N_("router") },      [ENG_ENERGY_EXPERTS] = { "experts", N_("experts") },
    [ENG_ENERGY_DENSE] = { "dense", N_("dense part") },    [ENG_ENERGY_HEAD] = { "head", N_("head") },
};

enum { MAX_K = LAB_COSTS_ROWS };
static int add_k(int k[MAX_K], int n, int v)             /* at its place, once */
{
    int at = n;
    while (at > 0 && k[at - 1] > v)
        at--;
    if (at > 0 && k[at - 1] == v)
        return n;
    memmove(k + at + 1, k + at, sizeof *k * (size_t)(n - at));
    k[at] = v;
    return n + 1;
}

/* 1, 2, 4, 8, 16, the model's own, `now` (0: none) and all, in rising order; one 0 where there are no experts. */
static int ks(int n_expert, int own, int now, int k[MAX_K])
{
    const int usual[] = { 1, 2, 4, 8, 16, own, now };
    if (!n_expert)
        return k[0] = 0, 1;
    int n = add_k(k, 0, n_expert);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (usual[i] > 0 && usual[i] < n_expert)
            n = add_k(k, n, usual[i]);
    return n;
}

static uint64_t total(const uint64_t v[ENG_ENERGY_PARTS])
{
    uint64_t n = 0;
    for (int p = 0; p < ENG_ENERGY_PARTS; p++)
        n += v[p];
    return n;
}

static uint64_t of_expert(const eng_energy *e)       /* parameters of one expert in one layer */
{
    return e->n_expert && e->n_routed ? e->params[ENG_ENERGY_EXPERTS] / (uint64_t)e->n_expert / (uint64_t)e->n_routed : 0;
}

static uint64_t read_of(const eng_energy *e, int part, int k)
{
    return e->read[part] * (part == ENG_ENERGY_EXPERTS ? (uint64_t)k : 1);
}

/* ---- JSON ---- */
static struct lab_adapted_at added_sum(const lab_adapted *a)
{
    struct lab_adapted_at all = { 0, 0 };
    for (int i = 0; a && a->adapters && i <= a->n_layer; i++) {
        all.params += a->of[i].params;
        all.bytes += a->of[i].bytes;
    }
    return all;
}

static void added_json(cJSON *j, const lab_adapted *a)
{
    if (!a || !a->adapters)
        return;
    struct lab_adapted_at all = added_sum(a);
    cJSON *o = cJSON_AddObjectToObject(j, "adapters"), *list;
    cJSON_AddNumberToObject(o, "acting", a->adapters);
    cJSON_AddNumberToObject(o, "bytes_per_token", (double)all.bytes);
    cJSON_AddNumberToObject(o, "flops_per_token", 2 * (double)all.params);
    cJSON_AddNumberToObject(o, "experts_changed", a->experts);
    cJSON_AddNumberToObject(o, "bytes_beside_layers", (double)a->of[0].bytes);
    list = cJSON_AddArrayToObject(o, "bytes_by_layer");
    for (int l = 0; l < a->n_layer; l++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber((double)a->of[1 + l].bytes));
}

static void fetched_json(cJSON *j, const lab_fetched *f)
{
    if (!f)
        return;
    cJSON *o = cJSON_AddObjectToObject(j, "disk");
    cJSON_AddNumberToObject(o, "in_memory", f->there);
    cJSON_AddNumberToObject(o, "bytes_per_token", f->bytes);
    cJSON_AddNumberToObject(o, "wait_ms_per_token", f->wait_ms);
}

static void as_json(const eng_energy *e, double bandwidth, const lab_bill *b, q_buf *out)
{
    int k[MAX_K], n = ks(e->n_expert, e->n_used, 0, k);
    cJSON *j = cJSON_CreateObject(), *p = cJSON_AddObjectToObject(j, "parameters");
    const uint64_t all = total(e->params);
    cJSON_AddNumberToObject(p, "total", (double)all);
    cJSON_AddNumberToObject(p, "static", (double)(all - e->params[ENG_ENERGY_EXPERTS]));
    cJSON_AddNumberToObject(p, "expert_layer", (double)of_expert(e));
    cJSON *active = cJSON_AddObjectToObject(j, "active"), *bytes = cJSON_AddObjectToObject(j, "bytes_per_token"), *flops = cJSON_AddObjectToObject(j, "flops_per_token");
    cJSON *ceiling = bandwidth > 0 ? cJSON_AddObjectToObject(j, "ceiling_tokens_per_s") : NULL;
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", k[i]);
        cJSON_AddNumberToObject(active, name, (double)eng_energy_active(e, k[i]));
        cJSON_AddNumberToObject(bytes, name, (double)eng_energy_bytes(e, k[i]));
        cJSON_AddNumberToObject(flops, name, (double)eng_energy_flops(e, k[i], 0));
        if (ceiling && eng_energy_moved(e, k[i]))
            cJSON_AddNumberToObject(ceiling, name, bandwidth / (double)eng_energy_moved(e, k[i]));
    }
    cJSON_AddNumberToObject(j, "flops_per_cell", (double)e->flops_cell);
    if (e->window) {
        cJSON_AddNumberToObject(j, "window", e->window);
        cJSON_AddNumberToObject(j, "window_layers", e->n_near);
        cJSON_AddNumberToObject(j, "flops_per_window_cell", (double)e->flops_near);
    }
    cJSON *kv = cJSON_AddObjectToObject(j, "kv_bytes_per_token");
    for (int i = 0; eng_kv_type(i); i++)
        cJSON_AddNumberToObject(kv, eng_kv_type(i), eng_energy_kv_bytes(e, eng_kv_type(i)));
    cJSON *where = cJSON_AddObjectToObject(j, "parts");
    for (int i = 0; i < ENG_ENERGY_PARTS; i++) {
        cJSON *one = cJSON_AddObjectToObject(where, parts[i].key);
        cJSON_AddNumberToObject(one, "parameters", (double)e->params[i]);
        cJSON_AddNumberToObject(one, "bytes", (double)e->bytes[i]);
        cJSON_AddNumberToObject(one, "bytes_per_token", (double)read_of(e, i, e->n_used));
    }
    cJSON_AddNumberToObject(j, "layers", e->n_layer);
    cJSON_AddNumberToObject(j, "routed_layers", e->n_routed);
    cJSON_AddNumberToObject(j, "recurrent_layers", e->n_recurrent);
    cJSON_AddNumberToObject(j, "state_bytes", (double)e->state_bytes);
    cJSON_AddNumberToObject(j, "sink_layers", e->n_sinks);
    cJSON_AddNumberToObject(j, "experts", e->n_expert);
    cJSON_AddNumberToObject(j, "experts_used", e->n_used);
    cJSON_AddStringToObject(j, "name", e->name);
    cJSON_AddStringToObject(j, "type", e->type);
    if (bandwidth > 0)
        cJSON_AddNumberToObject(j, "read_bandwidth", bandwidth);
    if (b->spared)
        cJSON_AddNumberToObject(j, "spared_bytes_per_token", (double)b->spared);
    added_json(j, b->added);
    fetched_json(j, b->fetched);
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

/* ---- text ---- */
static const char *count_words(uint64_t n, char out[32])
{
    if (n >= 1000000000) snprintf(out, 32, "%.3f B", (double)n / 1e9);
    else if (n >= 1000000) snprintf(out, 32, "%.3f M", (double)n / 1e6);
    else snprintf(out, 32, "%llu", (unsigned long long)n);
    return out;
}

static void table(const eng_energy *e, double bandwidth, q_buf *out)
{
    int k[MAX_K], n = ks(e->n_expert, e->n_used, 0, k);
    char w1[32], w2[32], name[64];
    q_buf_say(out, "%-9s%12s%16s%8s%9s", e->n_expert ? "k" : "", _("parameters"), _("weights read"), "GFLOP", _("at 32k"));
    q_buf_say(out, bandwidth > 0 ? "%16s\n" : "%s\n", bandwidth > 0 ? _("max tokens/s") : "");
    for (int i = 0; i < n; i++) {
        uint64_t bytes = eng_energy_bytes(e, k[i]), moved = eng_energy_moved(e, k[i]);
        if (!e->n_expert)
            snprintf(name, sizeof name, "%s", _("dense"));
        else
            snprintf(name, sizeof name, k[i] == e->n_expert ? _("%d, all") : k[i] == e->n_used ? _("%d, own") : "%d", k[i]);
        q_buf_say(out, "%-9s%12s%16s%8.2f%9.2f", name, count_words(eng_energy_active(e, k[i]), w1), q_bytes_words(bytes, w2),
                  (double)eng_energy_flops(e, k[i], 0) / 1e9, (double)eng_energy_flops(e, k[i], 32768) / 1e9);
        if (bandwidth > 0)
            q_buf_say(out, "%16.1f", bandwidth / (double)(moved ? moved : 1));
        q_buf_putc(out, '\n');
    }
}

static void where(const eng_energy *e, q_buf *out)
{
    const uint64_t all = eng_energy_bytes(e, e->n_used);
    char w[32];
    if (e->n_expert)
        q_buf_say(out, _("\nwhere the bytes of a token come from, k %d\n"), e->n_used);
    else
        q_buf_say(out, _("\nwhere the bytes of a token come from\n"));
    for (int i = 0; i < ENG_ENERGY_PARTS; i++) {
        uint64_t v = read_of(e, i, e->n_used);
        double share = all ? (double)v / (double)all : 0;
        if (!v)
            continue;
        q_buf_say(out, "%-14s%10s  %5.1f%%  ", _(parts[i].label), q_bytes_words(v, w), 100 * share);
        for (int b = 0; b < (int)(share * 40 + .5); b++)
            q_buf_puts(out, "▇");
        q_buf_putc(out, '\n');
    }
}

/* Layers whose cost is the same stand in one line. */
static void added_text(const lab_adapted *a, q_buf *out)
{
    char w[32];
    struct lab_adapted_at all = added_sum(a);
    if (!a || !a->adapters)
        return;
    q_buf_say(out, ngettext("%d adapter acts: %s and %.3f million multiply-adds more a token", "%d adapters act: %s and %.3f million multiply-adds more a token", (unsigned long)a->adapters),
              a->adapters, q_bytes_words(all.bytes, w), (double)all.params / 1e6);
    q_buf_say(out, a->experts ? _(" (at most: %d experts are changed, and count where they run)\n") : "\n", a->experts);
    if (a->of[0].bytes)
        q_buf_say(out, _("  embedding and head: %s\n"), q_bytes_words(a->of[0].bytes, w));
    for (int l = 0, from = 0; l < a->n_layer; l++) {
        if (l + 1 < a->n_layer && a->of[2 + l].bytes == a->of[1 + l].bytes)
            continue;
        if (a->of[1 + l].bytes && from < l)
            q_buf_say(out, _("  layers %d to %d: %s each\n"), from, l, q_bytes_words(a->of[1 + l].bytes, w));
        else if (a->of[1 + l].bytes)
            q_buf_say(out, _("  layer %d: %s\n"), l, q_bytes_words(a->of[1 + l].bytes, w));
        from = l + 1;
    }
}

static void as_text(const eng_energy *e, double bandwidth, const lab_bill *b, q_buf *out)
{
    char w1[32], w2[32], w3[32];
    const uint64_t all = total(e->params);
    q_buf_say(out, "%s, %s\n", *e->name ? e->name : _("a model without a name"), e->type);
    q_buf_say(out, _("parameters: %s\n"), count_words(all, w1));
    if (e->n_expert) {
        q_buf_say(out, _("  %s always take part, %s are experts:\n  %d layers of %d, %s each; %d of a layer run for a token\n"),
                  count_words(all - e->params[ENG_ENERGY_EXPERTS], w1), count_words(e->params[ENG_ENERGY_EXPERTS], w2), e->n_routed,
                  e->n_expert, count_words(of_expert(e), w3), e->n_used);
    }
    q_buf_puts(out, _("context: a token keeps "));
    for (int i = 0; eng_kv_type(i); i++) q_buf_say(out, _("%s%s in %s"), i ? ", " : "", q_bytes_words((uint64_t)eng_energy_kv_bytes(e, eng_kv_type(i)), w1), eng_kv_type(i));
    q_buf_puts(out, " (kv.type)\n\n");
    if (e->n_recurrent)
        q_buf_say(out, _("recurrent layers: %d of %d, which keep no cells but a state of %s, read and written for each token\n\n"), e->n_recurrent, e->n_layer,
                  q_bytes_words(e->state_bytes, w1));
    if (e->window)
        q_buf_say(out, _("window: %d layers of %d attend to the last %d tokens only\n\n"), e->n_near, e->n_layer, e->window);
    if (e->n_sinks)
        q_buf_say(out, _("attention sinks: in %d layers of %d, counted with attention\n\n"), e->n_sinks, e->n_layer);
    table(e, bandwidth, out);
    where(e, out);
    q_buf_say(out, _("\nCounted from the tensors, exactly. GFLOP: billions of operations a token,\n"
                     "with an empty context and with 32,768 tokens in it.\n"));
    if (b->spared)
        q_buf_say(out, _("ffn.width, as it is set now, leaves %s of a token's weights unread.\n"), q_bytes_words(b->spared, w1));
    added_text(b->added, out);
    if (b->fetched)
        q_buf_say(out, _("Experts are read from the disk when they are chosen (--weights-ram). In the last answer %.0f%% of\nthose chosen lay in memory; the others were %s a token, for which it stood still %.1f ms.\n"),
                  100 * b->fetched->there, q_bytes_words((uint64_t)b->fetched->bytes, w1), b->fetched->wait_ms);
    if (b->bandwidth > 0)
        q_buf_say(out, _("Of a machine that reads %s/s; no token comes faster than its weights are read.\n"), q_bytes_words((uint64_t)bandwidth, w1));
    else if (bandwidth > 0)
        q_buf_say(out, _("The threads of this machine read %s/s together, measured now;\n"
                         "no token comes faster than its weights are read.\n"),
                  q_bytes_words((uint64_t)bandwidth, w1));
    if (bandwidth > 0 && e->state_bytes)
        q_buf_say(out, _("The states of recurrent layers, read and written, are counted there too.\n"));
}

int lab_energy(const lab_bill *b, q_buf *text, q_buf *json, char *err)
{
    eng_energy e;
    int rc = b->path ? eng_energy_read(b->path, &e, err) : eng_energy_like(b->arch, b->like, b->type ? b->type : "Q4_K_M", 0, &e, err);
    if (rc)
        return rc;
    double bandwidth = b->bandwidth > 0 ? b->bandwidth : b->measure ? eng_read_bandwidth() : 0;
    if (json)
        as_json(&e, bandwidth, b, json);
    if (text)
        as_text(&e, bandwidth, b, text);
    return Q_OK;
}

/* ---- as numbers ---- */
static uint64_t flops_of(const eng_energy *e, int k) { return eng_energy_flops(e, k, 0); }
_Static_assert((int)LAB_COSTS_PARTS == (int)ENG_ENERGY_PARTS, "a part each");

int lab_costs_read(const char *path, bool measure, lab_costs *o, char *err)
{
    eng_energy e;
    int rc = eng_energy_read(path, &e, err);
    if (rc)
        return rc;
    *o = (lab_costs){ .n_expert = e.n_expert, .n_used = e.n_used, .flops_cell = e.flops_cell, .flops_near = e.flops_near, .window = e.window,
                      .n_near = e.n_near, .n_sinks = e.n_sinks, .n_recurrent = e.n_recurrent, .state_bytes = e.state_bytes,
                      .bandwidth = measure ? eng_read_bandwidth() : 0 };
    for (const char *t; o->n_kv < LAB_COSTS_KV && (t = eng_kv_type(o->n_kv)); o->n_kv++) o->kv[o->n_kv] = (struct lab_costs_kv){ t, eng_energy_kv_bytes(&e, t) };
    memcpy(o->name, e.name, sizeof o->name);
    memcpy(o->type, e.type, sizeof o->type);
    uint64_t (*const of[3])(const eng_energy *, int) = { eng_energy_active, eng_energy_bytes, flops_of };
    for (int i = 0; i < 3; i++) {
        o->base[i] = of[i](&e, 0);
        o->each[i] = e.n_expert ? of[i](&e, 1) - o->base[i] : 0;
    }
    for (int p = 0; p < LAB_COSTS_PARTS; p++) {
        o->part[p].label = parts[p].label;
        o->part[p].bytes = e.read[p];
    }
    o->expert = e.read[ENG_ENERGY_EXPERTS];
    lab_costs_at(o, 0);
    return Q_OK;
}

void lab_costs_at(lab_costs *o, int now)
{
    int k[MAX_K];
    o->k = now < 1 ? o->n_used : now > o->n_expert ? o->n_expert : now;
    o->n_row = ks(o->n_expert, o->n_used, now < 1 ? 0 : o->k, k);
    o->part[ENG_ENERGY_EXPERTS].bytes = o->expert * (uint64_t)o->k;
    for (int i = 0; i < o->n_row; i++) {
        uint64_t n = (uint64_t)k[i], bytes = o->base[1] + n * o->each[1], moved = bytes + 2 * o->state_bytes;
        o->row[i] = (lab_costs_row){ .k = k[i], .own = k[i] == o->n_used, .now = now >= 1 && k[i] == o->k, .params = o->base[0] + n * o->each[0],
                                     .bytes = bytes, .flops = o->base[2] + n * o->each[2], .ceiling = moved ? o->bandwidth / (double)moved : 0 };
    }
}
