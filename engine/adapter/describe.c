/* engine/adapter/describe: what `quorum model info` shows of an adapter: what it is for and which matrices it changes, as text or JSON. Any
 * thread; no model is needed, so nothing is compared. */
#include "base/say.h"
#include "engine/adapter/kinds.h"
#include "engine/file/gguf.h"
#include "engine/model/brief.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool eng_is_adapter(const char *path)
{
    struct stat st;
    gguf_file *f;
    gguf_str kind;
    char err[Q_ERRLEN];
    if (is_folder(path)) {
        char *config = q_printf("%s/adapter_config.json", path);
        bool is = lstat(config, &st) == 0;
        free(config);
        return is;
    }
    if (gguf_look(path, &f, err)) return false;
    bool is = gguf_string(f, "general.type", &kind) && kind.n == strlen("adapter") && memcmp(kind.p, "adapter", kind.n) == 0;
    gguf_close(f);
    return is;
}

/* "attn_q" of "blk.3.attn_q.weight". */
static void role_name(const eng_low *l, char out[LOWS_NAME])
{
    char full[LOWS_NAME];
    arch_tensor_name(NULL, l->role, l->layer, full, sizeof full);
    int at = 0;
    sscanf(full, "blk.%*d.%n", &at);
    snprintf(out, LOWS_NAME, "%s", full + at);
    char *end = strstr(out, ".weight");
    if (end) *end = 0;
}

/* Whether expert e of the matrix is changed at all: its B is not all zero. */
static bool changed(const eng_low *l, int e)
{
    size_t n = (size_t)l->n_out * (size_t)l->rank;
    for (size_t i = 0; i < n; i++)
        if (l->b[(size_t)e * n + i] != 0) return true;
    return false;
}

static int n_changed(const eng_low *l)
{
    int n = 0;
    for (int e = 0; e < l->n_expert; e++) n += changed(l, e);
    return n;
}

/* ---- text ---- */

static bool alike(const eng_low *x, const eng_low *y)
{
    return x->role == y->role && x->rank == y->rank && x->scale == y->scale && (x->layer < 0) == (y->layer < 0);
}

/* "0-2, 5": the layers of the matrices that are like ad->low[first]. */
static void put_layers(q_buf *out, const eng_adapter *ad, int first)
{
    int from = -2, to = -2, n = 0;
    for (int i = first; i <= ad->n; i++) {
        if (i < ad->n && !alike(&ad->low[first], &ad->low[i])) continue;
        if (i < ad->n && ad->low[i].layer == to + 1) {
            to++;
            continue;
        }
        if (from >= 0) q_buf_printf(out, from == to ? "%s%d" : "%s%d-%d", n++ ? ", " : "", from, to);
        if (i < ad->n) from = to = ad->low[i].layer;
    }
}

static void put_changes(q_buf *out, const eng_adapter *ad)
{
    q_buf_say(out, "\n%s\n", _("changes"));
    for (int i = 0; i < ad->n; i++) {
        const eng_low *l = &ad->low[i];
        bool seen = false;
        for (int j = 0; j < i && !seen; j++) seen = alike(&ad->low[j], l);
        if (seen) continue;
        int least = l->n_expert, most = 0;
        for (int j = i; j < ad->n; j++) {
            if (!alike(&ad->low[j], l)) continue;
            int n = n_changed(&ad->low[j]);
            least = n < least ? n : least;
            most = n > most ? n : most;
        }
        char name[LOWS_NAME];
        q_buf layers = { 0 };
        role_name(l, name);
        put_layers(&layers, ad, i);
        q_buf_say(out, "  %-16s ", name);
        if (l->layer < 0) q_buf_say(out, _("rank %d, scale %.4g"), l->rank, (double)l->scale);
        else q_buf_say(out, _("rank %d, scale %.4g, layers %s"), l->rank, (double)l->scale, layers.p);
        if (l->n_expert > 1 && least == most) q_buf_say(out, _(", %d of %d experts"), most, l->n_expert);
        else if (l->n_expert > 1) q_buf_say(out, _(", %d to %d of %d experts"), least, most, l->n_expert);
        q_buf_puts(out, "\n");
        q_buf_free(&layers);
    }
}

static void as_text(const eng_adapter *ad, bool folder, q_buf *out)
{
    const eng_adapter_info *o = &ad->info;
    char w[32], *n = brief_count(o->params);
    brief_row(out, _("name"), "%s", *o->name ? o->name : "-");
    brief_row(out, _("file"), folder ? _("%s (a PEFT folder)") : "%s", o->path);
    brief_row(out, _("kind"), "%s", _("LoRA adapter: load it beside its model with --lora, or merge it with `quorum model merge`"));
    if (*o->arch) brief_row(out, _("architecture"), "%s", o->arch);
    brief_row(out, _("base"), "%s", *o->base ? o->base : "-");
    if (ad->base_id) brief_row(out, _("base's hash"), "%016llx", (unsigned long long)ad->base_id);
    brief_row(out, _("parameters"), _("%s (%s as floats)"), n, q_bytes_words(o->bytes, w));
    if (o->held != o->bytes) brief_row(out, _("memory"), _("%s: experts that are not changed take none"), q_bytes_words(o->held, w));
    if (o->rank_min == o->rank_max) brief_row(out, _("rank"), "%d", o->rank_min);
    else brief_row(out, _("rank"), _("%d to %d"), o->rank_min, o->rank_max);
    if (o->alpha != 0) brief_row(out, "alpha", "%.6g", (double)o->alpha);
    brief_row(out, _("matrices"), "%d", o->n_low);
    brief_row(out, _("hash"), "%016llx", (unsigned long long)o->hash);
    free(n);
    put_changes(out, ad);
    if (*o->note) q_buf_say(out, "\n%s\n  %s\n", _("provenance"), o->note);
}

/* ---- JSON ---- */

static void put_hash(cJSON *j, const char *key, uint64_t id)
{
    char hex[24];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)id);
    if (id) cJSON_AddStringToObject(j, key, hex);
    else cJSON_AddNullToObject(j, key);
}

static void put_matrix(cJSON *list, const eng_low *l)
{
    char name[LOWS_NAME];
    cJSON *j = cJSON_CreateObject(), *experts;
    role_name(l, name);
    cJSON_AddStringToObject(j, "role", name);
    if (l->layer >= 0) cJSON_AddNumberToObject(j, "layer", l->layer);
    else cJSON_AddNullToObject(j, "layer");
    cJSON_AddNumberToObject(j, "inputs", (double)l->n_in);
    cJSON_AddNumberToObject(j, "outputs", (double)l->n_out);
    cJSON_AddNumberToObject(j, "rank", l->rank);
    cJSON_AddNumberToObject(j, "scale", (double)l->scale);
    cJSON_AddNumberToObject(j, "parameters", (double)l->n_expert * l->rank * (double)(l->n_in + l->n_out));
    if (ker_role_of_experts(l->role)) {
        cJSON_AddNumberToObject(j, "experts", l->n_expert);
        experts = cJSON_AddArrayToObject(j, "experts_changed");
        for (int e = 0; e < l->n_expert; e++)
            if (changed(l, e)) cJSON_AddItemToArray(experts, cJSON_CreateNumber(e));
    }
    cJSON_AddItemToArray(list, j);
}

static void as_json(const eng_adapter *ad, bool folder, q_buf *out)
{
    const eng_adapter_info *o = &ad->info;
    cJSON *j = cJSON_CreateObject(), *note = *o->note ? cJSON_Parse(o->note) : NULL;
    cJSON_AddStringToObject(j, "kind", "lora");
    cJSON_AddStringToObject(j, "format", folder ? "peft" : "gguf");
    const struct { const char *key, *v; } words[] = { { "path", o->path }, { "name", o->name }, { "architecture", o->arch }, { "base", o->base } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) cJSON_AddStringToObject(j, words[i].key, words[i].v);
    put_hash(j, "base_hash", ad->base_id);
    put_hash(j, "hash", o->hash);
    const struct { const char *key; double v; } numbers[] = {
        { "parameters", (double)o->params }, { "bytes", (double)o->bytes }, { "held", (double)o->held }, { "matrices", o->n_low }, { "rank_min", o->rank_min }, { "rank_max", o->rank_max },
        { "first_layer", o->first_layer }, { "last_layer", o->last_layer },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) cJSON_AddNumberToObject(j, numbers[i].key, numbers[i].v);
    if (o->alpha != 0) cJSON_AddNumberToObject(j, "alpha", (double)o->alpha);
    else cJSON_AddNullToObject(j, "alpha");
    if (note) cJSON_AddItemToObject(j, "provenance", note);
    else if (*o->note) cJSON_AddStringToObject(j, "provenance", o->note);
    else cJSON_AddNullToObject(j, "provenance");
    cJSON *list = cJSON_AddArrayToObject(j, "changes");
    for (int i = 0; i < ad->n; i++) put_matrix(list, &ad->low[i]);
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

int eng_adapter_describe(const char *path, bool json, q_buf *out, char *err)
{
    bool folder = is_folder(path);
    eng_adapter *ad = lows_new(path);
    int rc = folder ? lows_from_peft(ad, NULL, err) : lows_from_gguf(ad, NULL, false, err);
    if (!rc) rc = lows_finish(ad, err);
    if (!rc && json) as_json(ad, folder, out);
    else if (!rc) as_text(ad, folder, out);
    eng_adapter_free(ad);
    return rc;
}
