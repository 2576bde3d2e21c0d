/* engine/run/confhash: what two configurations have in common: hashes, labels, JSON, the class of a change, and
 * the form in which the backend wants one. Reads values only; same thread rules as config.c.
 * It never parses a knob's text: that is eng_config_set. */
#include "engine/run/config.h"
#include "engine/run/lora.h"
#include "engine/run/model.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* experts.k as it acts: no more than the experts that are not banned, nothing in dense layers. */
static int k_in_effect(const eng_config *c, int layer)
{
    const eng_model *m = c->m;
    if (!m->layers[layer].moe)
        return 0;
    int open = 0, k = c->v.k[layer];
    for (int e = 0; e < m->ker.n_expert; e++)
        open += c->v.ban[layer * m->ker.n_expert + e] == 0;
    return k < open ? k : open;
}

int eng_config_k(const eng_config *c)
{
    int k = 0;
    for (int i = 0; i < c->m->ker.n_layer; i++) {
        int x = k_in_effect(c, i);
        k = x > k ? x : k;
    }
    return k;
}

/* Rows are told apart by their names, so that a new row does not change old hashes; a row at the model's
 * own value adds nothing for the same reason. */
static uint64_t hash_row(const eng_config *c, const knob_row *r, uint64_t h)
{
    const void *field = knob_field(r, &c->v);
    if (r->flags & K_ADAPTERS)                         /* what acts, whatever the default is just now */
        return lora_hash(c->m, *(char *const *)field, h);
    if (!r->acts(&c->v) || config_row_default(c, r))
        return h;
    double num = r->lives == KNOB_NUM ? *(const double *)field : 0;
    h = q_hash64(r->knob.name, strlen(r->knob.name), h);
    h = q_hash64(&num, sizeof num, h);
    if (r->lives == KNOB_TEXT)
        h = q_hash64(*(char *const *)field, strlen(*(char *const *)field), h);
    if (r->lives == KNOB_INTS)
        h = q_hash64(*(int *const *)field, sizeof(int) * knob_cells(c->m, r), h);
    if (r->lives == KNOB_GRID)
        h = q_hash64(*(float *const *)field, sizeof(float) * knob_cells(c->m, r), h);
    return h;
}

static bool is_position(const knob_row *r) { return r->knob.effect == Q_EFFECT_POSITION; }
static bool is_said(const knob_row *r) { return !knob_forward(r) && !(r->flags & K_UNSAID); }

static uint64_t hash_rows(const eng_config *c, bool (*wanted)(const knob_row *), uint64_t h)
{
    for (int i = 0; i < knob_count(); i++)
        if (wanted(knob_at(i)))
            h = hash_row(c, knob_at(i), h);
    return h;
}

/* What else positions hang on: longrope's factors, on a length that is no position knob. */
static uint64_t hash_begin(const eng_config *c) { return rope_long(c) ? q_hash64("long", 4, c->m->info.id) : c->m->info.id; }

uint64_t eng_config_hash(const eng_config *c) { return hash_rows(c, knob_forward, hash_begin(c)); }
uint64_t eng_config_hash_all(const eng_config *c) { return hash_rows(c, is_said, eng_config_hash(c)); }
uint64_t config_position_hash(const eng_config *c) { return hash_rows(c, is_position, hash_begin(c)); }

enum q_effect eng_config_diff(const eng_config *a, const eng_config *b)
{
    enum q_effect worst = Q_EFFECT_SAMPLING;
    for (int i = 0; i < knob_count(); i++) {
        const knob_row *r = knob_at(i);
        if ((r->acts(&a->v) || r->acts(&b->v)) && r->knob.effect > worst && !config_row_equal(a->m, r, &a->v, &b->v))
            worst = r->knob.effect;
    }
    return worst;
}

/* "style 0.7, other 0.3". */
static void brief_adapters(q_buf *b, const char *text)
{
    for (; *text; text++)
        q_buf_puts(b, *text == '=' ? " " : *text == ',' ? ", " : (char[]){ *text, 0 });
    q_buf_puts(b, "");
}

const char *eng_config_label(const eng_config *c, q_buf *buf)
{
    q_buf v = { 0 }, brief = { 0 };
    q_buf_clear(buf);
    for (int i = 0; i < knob_count(); i++) {
        const knob_row *r = knob_at(i);
        if (!knob_forward(r) || !r->acts(&c->v) || (r->flags & K_ADAPTERS ? !*c->v.lora : config_row_default(c, r)))
            continue;
        const char *text = eng_config_get(c, r->knob.name, &v);
        char sci[40];
        q_buf_clear(&brief);
        if (r->flags & K_ADAPTERS)
            brief_adapters(&brief, text);
        else
            q_knob_brief(&brief, text);
        text = brief.p;
        double x = r->knob.type == Q_KNOB_FLOAT ? *(double *)knob_field(r, &c->v) : 0;
        /* 500000 is easier to read as 5e5 */
        if (x != 0 && (fabs(x) >= 1e5 || fabs(x) < 1e-3)) {
            int e = (int)floor(log10(fabs(x)) + 1e-9);
            snprintf(sci, sizeof sci, "%.3ge%d", x / pow(10, e), e);
            text = sci;
        }
        q_buf_printf(buf, "%s%s %.40s%s", buf->len ? " \xc2\xb7 " : "", r->label, text, strlen(text) > 40 ? "\xe2\x80\xa6" : "");
    }
    q_buf_free(&v);
    q_buf_free(&brief);
    q_buf_puts(buf, "");
    return buf->p;
}

/* Always where adapters act: what they were is part of what made an answer. */
static void json_adapters(const eng_config *c, const knob_row *r, cJSON *o)
{
    q_buf b = { 0 };
    lora_put(c->m, c->v.lora, true, &b);
    if (b.len || !config_row_default(c, r))
        cJSON_AddStringToObject(o, r->knob.name, b.len ? b.p : "none");
    q_buf_free(&b);
}

char *eng_config_json(const eng_config *c)
{
    cJSON *o = cJSON_CreateObject();
    q_buf v = { 0 };
    for (int i = 0; i < knob_count(); i++) {
        const knob_row *r = knob_at(i);
        if (r->flags & K_ADAPTERS)
            json_adapters(c, r, o);
        else if (r->lives != KNOB_NONE && !(r->flags & K_LOCAL) && !config_row_default(c, r))
            cJSON_AddStringToObject(o, r->knob.name, r->flags & K_FILE ? *(char **)knob_field(r, &c->v) : eng_config_get(c, r->knob.name, &v));
    }
    q_buf_free(&v);
    char *s = cJSON_PrintUnformatted(o), *out = q_strdup(s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(o);
    return out;
}

int eng_config_from_json(eng_config *c, const char *json, char *err)
{
    cJSON *o = cJSON_Parse(json);
    if (!cJSON_IsObject(o)) {
        cJSON_Delete(o);
        return q_fail(err, Q_FORMAT, _("a configuration is a JSON object of knob names and texts, like {\"experts.k\":\"4\"}"));
    }
    eng_config *next = eng_config_copy(c);
    int rc = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, o) {
        char num[40];
        const char *text = cJSON_IsString(item) ? item->valuestring : NULL;
        if (cJSON_IsNumber(item)) {
            snprintf(num, sizeof num, "%.17g", item->valuedouble);
            text = num;
        } else if (cJSON_IsBool(item)) {
            text = cJSON_IsTrue(item) ? "true" : "false";
        }
        rc = text ? eng_config_set(next, item->string, text, err)
                  : q_fail(err, Q_FORMAT, _("the value of \"%s\" must be a text or a number"), item->string);
        if (rc)
            break;
    }
    if (!rc) {
        knob_values old = c->v;
        c->v = next->v;
        next->v = old;
    }
    eng_config_free(next);
    cJSON_Delete(o);
    return rc;
}

/* ---- for the backend ---- */
enum ker_kv_type config_kv_type(const eng_config *c)
{
    static const enum ker_kv_type types[] = { KER_KV_F16, KER_KV_F32, KER_KV_Q8_0, KER_KV_Q4_0 };   /* the row's choices */
    return types[(int)c->v.kv];
}

static bool any(const float *grid, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (grid[i] != 0)
            return true;
    return false;
}

/* The shared expert beside routed ones of that width: the same share of its own neurons. */
static int shared_width(const ker_model *m, int width)
{
    int n = width < 0 ? -width : width;
    if (n == 0 || n >= m->n_ff_exp)
        return 0;
    int own = (int)(((int64_t)n * m->n_ff_sh + m->n_ff_exp / 2) / m->n_ff_exp);
    own = own < 1 ? 1 : own;
    return width < 0 ? -own : own;
}

void config_ker_build(const eng_config *c, config_ker *o)
{
    const ker_model *km = &c->m->ker;
    size_t layers = (size_t)km->n_layer, experts = layers * (size_t)km->n_expert, heads = layers * (size_t)km->n_head;
    const float *ban = c->v.ban, *bias = c->v.bias, *pin = c->v.pin, *off = c->v.heads_off;
    memset(o, 0, sizeof *o);
    o->freq = q_alloc(sizeof(float) * (size_t)(km->rope_dim / 2 + 1));
    o->ks = q_alloc(sizeof(int16_t) * (layers + 1));
    rope_frequencies(c, o->freq, &o->k.rope_mscale);
    for (size_t i = 0; i < layers && !o->local; i++)
        if (c->m->layers[i].rope_set)
            rope_local(c, o->local = q_alloc(sizeof(float) * (size_t)(km->rope_dim / 2 + 1)), &o->k.rope_local_mscale);
    for (size_t i = 0; i < layers; i++)
        o->ks[i] = (int16_t)k_in_effect(c, (int)i);
    if (any(ban, experts) || any(bias, experts)) {
        o->add = q_alloc(sizeof(float) * experts);
        for (size_t i = 0; i < experts; i++)
            o->add[i] = ban[i] != 0 ? -INFINITY : bias[i];
    }
    if (any(pin, experts)) {
        o->pin = q_alloc(experts);
        for (size_t i = 0; i < experts; i++)
            o->pin[i] = pin[i] != 0 && ban[i] == 0;    /* a ban is stronger than a pin */
    }
    if (any(off, heads)) {
        o->head_off = q_alloc(heads);
        for (size_t i = 0; i < heads; i++)
            o->head_off[i] = off[i] != 0;
    }
    o->width = q_alloc(sizeof(int32_t) * (layers + 1));
    o->narrow = q_alloc(sizeof(int32_t) * (layers + 1));
    bool narrow = false, experts_too = false;
    for (size_t i = 0; i < layers; i++) {
        bool moe = c->m->layers[i].moe;
        o->narrow[i] = moe ? c->v.ffn_width[i] : 0;
        o->width[i] = moe ? shared_width(km, c->v.ffn_width[i]) : c->v.ffn_width[i];
        narrow = narrow || o->width[i] != 0;
        experts_too = experts_too || o->narrow[i] != 0;
    }
    o->k.norm_eps = (float)c->v.eps;
    o->k.rope_freq = o->freq;
    o->k.rope_local = o->local;
    o->k.attn_scale = (float)rope_attn_scale(c);
    o->k.k = o->ks;
    o->k.router_add = o->add;
    o->k.pin = o->pin;
    o->k.router_temperature = (float)c->v.router_t;
    o->k.min_p = (float)c->v.expert_min_p;
    o->k.head_off = o->head_off;
    o->k.ffn_width = narrow ? o->width : NULL;
    o->k.expert_width = experts_too ? o->narrow : NULL;
    o->k.adapt = o->adapt = lora_adapt(c->m, c->v.lora, &o->k.n_adapt);
}

void config_ker_free(config_ker *o)
{
    free(o->freq);
    free(o->local);
    free(o->add);
    free(o->ks);
    free(o->pin);
    free(o->head_off);
    free(o->width);
    free(o->narrow);
    lora_adapt_free(o->adapt, o->k.n_adapt);
    memset(o, 0, sizeof *o);
}
