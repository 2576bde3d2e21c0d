/* lab/window: a decayed window of recent tokens, and from it and the usual rates the cells that a person sees. Plain data;
 * needs no lock and no disk. It never sums anything over layers' experts.
 *
 * Formulas. Everything is per routed layer with N experts.
 *   usual u: usual.c; under bans, pins and biases bent to what the layer runs now.
 *   rate r = W[it ran] / W[1] over the window, a token that is t tokens old weighing (1 - 1/32)^t.
 *   effective tokens n_eff = (sum w)^2 / sum w^2 (Kish), divided by (1 + f) / (1 - f), the variance inflation of an AR(1)
 *     process, f = (repeat - chance) / (1 - chance): neighbouring tokens route alike, so they are less evidence.
 *   z = (r - u) / sqrt(v (1 - v) (1/n_eff + 1/(n + 64))), v = u held within [2/n_eff, 1 - 2/n_eff], so that one firing of a
 *     rare expert is not yet a sign.
 *   dev: |z| < 2.6 usual (chance alone passes that in 1 cell of 100), < 4.5 one step, else two (chance: 1 in 100,000).
 *   strange of a layer = 1 - exp(-S/4), S = mean of z^2 over its experts: about .22 where all is as usual.
 *   repeat = share of a token's experts that also ran for the token before; by chance sum u^2 / k, mean over layers. */
#include "lab/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double KEEP = 1.0 - 1.0 / LAB_WINDOW;
static const float Z_MORE = 2.6f, Z_FAR = 4.5f;

/* ---- the window ---- */
void window_free(lab_window *r)
{
    free(r->hit);
    free(r->was);
    free(r->now);
    free(r->before);
    free(r->now_weight);
    free(r->entropy);
    free(r->margin);
    free(r->by.odds);
    memset(r, 0, sizeof *r);
}

void window_shape(lab_window *r, const lab_shape *s, int max_k)
{
    uint64_t v = r->version;
    window_free(r);
    r->version = v + 1;
    r->n_all = s->n_all;
    r->first = s->first;
    r->n_layer = s->n_layer;
    r->n_expert = s->n_expert;
    r->max_k = max_k > 0 ? max_k : 1;
    size_t cells = (size_t)(r->n_layer * r->n_expert) + 1, slots = (size_t)(r->n_layer * r->max_k) + 1;
    r->hit = q_alloc(sizeof *r->hit * cells);
    r->was = q_alloc(cells);
    r->now = q_alloc(sizeof *r->now * slots);
    r->before = q_alloc(sizeof *r->before * slots);
    r->now_weight = q_alloc(sizeof *r->now_weight * slots);
    r->entropy = q_alloc(sizeof *r->entropy * (size_t)(r->n_layer + 1));
    r->margin = q_alloc(sizeof *r->margin * (size_t)(r->n_layer + 1));
    window_clear(r);
}

void window_clear(lab_window *r)
{
    memset(r->hit, 0, sizeof *r->hit * (size_t)(r->n_layer * r->n_expert));
    memset(r->was, 0, (size_t)r->n_layer * (size_t)r->n_expert);
    memset(r->now, 0xFF, sizeof *r->now * (size_t)(r->n_layer * r->max_k));
    memset(r->before, 0xFF, sizeof *r->before * (size_t)(r->n_layer * r->max_k));
    r->w1 = r->w2 = r->repeat_num = r->repeat_den = 0;
    r->any = false;
    r->n_tokens = 0;
    r->version++;
}

/* One layer of a position; returns how many experts ran. */
static int add_layer(lab_window *r, int l, const lab_position *p, lab_usual *u, float step)
{
    int N = r->n_expert, take = p->max_k < r->max_k ? p->max_k : r->max_k, k = 0;
    const uint16_t *id = p->ids + (size_t)(l + r->first) * (size_t)p->max_k;
    const float *weight = p->weights ? p->weights + (size_t)(l + r->first) * (size_t)p->max_k : NULL;
    uint16_t *now = r->now + l * r->max_k;
    const uint16_t *before = r->before + l * r->max_k;
    float *now_weight = r->now_weight + l * r->max_k;
    for (int e = 0; u && e < N; e++)
        u->mean[l * N + e] -= u->mean[l * N + e] * step;
    for (int s = 0; s < r->max_k; s++) {
        bool ran = s < take && id[s] < N;
        now[s] = ran ? id[s] : LAB_NONE;
        now_weight[s] = ran && weight ? weight[s] : NAN;
        if (!ran)
            continue;
        k++;
        r->hit[l * N + id[s]] += 1;
        if (u)
            u->mean[l * N + id[s]] += step;
        if (r->any && r->was[l * N + id[s]])
            r->repeat_num += 1;
    }
    for (int s = 0; s < r->max_k; s++)
        if (before[s] < N)
            r->was[l * N + before[s]] = 0;
    for (int s = 0; s < take; s++)
        if (now[s] < N)
            r->was[l * N + now[s]] = 1;
    return k;
}

void window_add(lab_window *r, const lab_position *p, bool learn)
{
    lab_usual *u = r->by.u;
    bool teach = learn && u && u->n_layer == r->n_layer && u->n_expert == r->n_expert;
    uint16_t *swap = r->before;
    r->before = r->now;
    r->now = swap;
    for (int i = 0; i < r->n_layer * r->n_expert; i++)
        r->hit[i] *= (float)KEEP;
    r->w1 = r->w1 * KEEP + 1;
    r->w2 = r->w2 * KEEP * KEEP + 1;
    r->repeat_num *= KEEP;
    r->repeat_den *= KEEP;
    int k_max = 0;
    float n = 0, step = 0;
    if (teach) {
        n = u->n + 1 < USUAL_MEMORY ? u->n + 1 : USUAL_MEMORY;
        step = 1.f / n;
    }
    for (int l = 0; l < r->n_layer; l++) {
        int k = add_layer(r, l, p, teach ? u : NULL, step);
        if (r->any)
            r->repeat_den += k;
        k_max = k > k_max ? k : k_max;
        r->entropy[l] = p->entropy ? p->entropy[l + r->first] : NAN;
        r->margin[l] = p->margin ? p->margin[l + r->first] : NAN;
    }
    if (teach) {
        u->n = n;
        u->dirty = true;
    }
    r->k = k_max;
    r->any = true;
    r->n_tokens++;
    r->version++;
}

/* ---- how a configuration bends routing ---- */
/* "1:3,2:7" or "0:5=2.0": fn for each pair that lies in the shape. */
static void each_pair(const char *list, int first, int n_layer, int n_expert, float *odds, float factor, bool bias)
{
    for (const char *p = list; *p;) {
        char *end;
        long layer = strtol(p, &end, 10) - first;
        if (end == p || *end != ':')
            return;
        long e = strtol(p = end + 1, &end, 10);
        if (end == p)
            return;
        double b = 0;
        if (*end == '=')
            b = strtod(end + 1, &end);
        if (layer >= 0 && layer < n_layer && e >= 0 && e < n_expert)
            odds[layer * n_expert + e] = bias ? (float)exp(b > 30 ? 30 : b < -30 ? -30 : b) : factor;
        p = end + (*end == ',');
    }
}

bool ruler_read(const char *config, int first, int n_layer, int n_expert, float **odds)
{
    /* in this order: a pin is stronger than a bias, a ban than a pin */
    static const struct { const char *knob; bool odds, bias; float factor; } bent[] = {
        { "experts.bias", true, true, 0 },        { "experts.pin", true, false, INFINITY },
        { "experts.ban", true, false, 0 },        { "experts.temperature", false, false, 0 },
        { "experts.min_p", false, false, 0 },     { "attention.heads_off", false, false, 0 },
        { "ffn.width", false, false, 0 } };
    bool any = false;
    cJSON *j = config ? cJSON_Parse(config) : NULL;
    *odds = NULL;
    for (size_t i = 0; j && i < sizeof bent / sizeof *bent; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, bent[i].knob);
        if (!v)
            continue;
        any = true;
        if (!bent[i].odds || !cJSON_IsString(v) || n_layer * n_expert == 0)
            continue;
        if (!*odds) {
            *odds = q_alloc(sizeof **odds * (size_t)(n_layer * n_expert));
            for (int c = 0; c < n_layer * n_expert; c++)
                (*odds)[c] = 1;
        }
        each_pair(v->valuestring, first, n_layer, n_expert, *odds, bent[i].factor, bent[i].bias);
    }
    cJSON_Delete(j);
    return any;
}

/* ---- the snapshot ---- */
void lab_view_free(lab_view *o)
{
    free(o->cell);
    free(o->strange);
    free(o->entropy);
    free(o->margin);
    free(o->now);
    free(o->now_weight);
    memset(o, 0, sizeof *o);
}

static void view_shape(lab_view *o, const lab_window *r)
{
    if (o->cell && o->n_layer == r->n_layer && o->n_expert == r->n_expert && o->k_max == r->max_k)
        return;
    lab_view_free(o);
    size_t L = (size_t)r->n_layer + 1;
    o->n_layer = r->n_layer;
    o->n_expert = r->n_expert;
    o->k_max = r->max_k;
    o->cell = q_alloc(sizeof *o->cell * L * (size_t)(r->n_expert + 1));
    o->strange = q_alloc(sizeof *o->strange * L);
    o->entropy = q_alloc(sizeof *o->entropy * L);
    o->margin = q_alloc(sizeof *o->margin * L);
    o->now = q_alloc(sizeof *o->now * L * (size_t)r->max_k);
    o->now_weight = q_alloc(sizeof *o->now_weight * L * (size_t)r->max_k);
}

static void odd_insert(lab_view *o, float score[8], int layer, int expert, float ratio, int8_t dev, float z)
{
    int at = o->n_odd;
    while (at > 0 && score[at - 1] < fabsf(z))
        at--;
    if (at == 8)
        return;
    int last = o->n_odd < 8 ? o->n_odd++ : 7;
    for (int i = last; i > at; i--) {
        o->odd[i] = o->odd[i - 1];
        score[i] = score[i - 1];
    }
    o->odd[at] = (lab_odd){ layer, expert, ratio, dev };
    score[at] = fabsf(z);
}

static const lab_usual *of_shape(const lab_usual *u, const lab_window *r)
{
    return u && u->n_layer == r->n_layer && u->n_expert == r->n_expert ? u : NULL;
}

/* The usual rates of every cell, and the means over layers. */
static void view_usual(const lab_window *r, lab_view *o)
{
    int N = r->n_expert, n_chance = 0, n_entropy = 0, n_margin = 0;
    double chance = 0, entropy = 0, margin = 0, *rate = q_alloc(sizeof *rate * (size_t)(N + 1));
    const lab_usual *u = of_shape(r->by.u, r), *from = of_shape(r->by.from, r);
    for (int l = 0; l < r->n_layer; l++) {
        double k = 0, sq = 0;
        for (int e = 0; e < N; e++)
            k += r->w1 > 0 ? r->hit[l * N + e] / r->w1 : 0;
        usual_rates(u, from, l, N, k > 0 ? k : r->k, rate);
        if (r->by.bent && k > 0)
            usual_bend(rate, r->by.odds ? r->by.odds + l * N : NULL, N, k);
        for (int e = 0; e < N; e++) {
            sq += rate[e] * rate[e];
            o->cell[l * N + e].usual = (float)rate[e];
        }
        if (k > 0)
            chance += sq / k, n_chance++;
        o->entropy[l] = r->any ? r->entropy[l] : NAN;
        o->margin[l] = r->any ? r->margin[l] : NAN;
        if (!isnan(o->entropy[l]) && N > 1)
            entropy += o->entropy[l] / log(N), n_entropy++;
        if (isfinite(o->margin[l]))
            margin += o->margin[l], n_margin++;
    }
    free(rate);
    o->repeat_chance = n_chance ? (float)(chance / n_chance) : NAN;
    o->mean_entropy = n_entropy ? (float)(entropy / n_entropy) : NAN;
    o->mean_margin = n_margin ? (float)(margin / n_margin) : NAN;
}

void window_view(const lab_window *r, lab_view *o)
{
    view_shape(o, r);
    int N = r->n_expert;
    const lab_usual *u = of_shape(r->by.u, r), *from = of_shape(r->by.from, r);
    float score[8];
    o->first_layer = r->first;
    o->k = r->k;
    o->n_odd = 0;
    o->n_tokens = r->n_tokens;
    o->learned = u ? (int)u->n : 0;
    o->learn_need = USUAL_NEED;
    o->estimated = from && o->learned < USUAL_NEED;
    o->repeat = r->repeat_den > 0 ? (float)(r->repeat_num / r->repeat_den) : NAN;
    view_usual(r, o);

    double f = 0;
    if (!isnan(o->repeat) && !isnan(o->repeat_chance) && o->repeat_chance < 1) {
        f = (o->repeat - o->repeat_chance) / (1 - o->repeat_chance);
        f = f < 0 ? 0 : f > .8 ? .8 : f;
    }
    double n_eff = r->w2 > 0 ? r->w1 * r->w1 / r->w2 * (1 - f) / (1 + f) : 0, known = (u ? (double)u->n : 0) + USUAL_PRIOR;
    for (int l = 0; l < r->n_layer; l++) {
        double s = 0;
        for (int e = 0; e < N; e++) {
            lab_cell *c = &o->cell[l * N + e];
            c->rate = r->w1 > 0 ? (float)(r->hit[l * N + e] / r->w1) : 0;
            c->now = c->breaks = c->taught = false;
            float odds = r->by.odds ? r->by.odds[l * N + e] : 1;
            c->bent = odds == 0 ? LAB_BANNED : isinf(odds) ? LAB_PINNED : LAB_FREE;
            double z = 0;
            if (n_eff >= 4) {            /* fewer tokens say nothing */
                double low = 2 / n_eff, v = c->usual < low ? low : c->usual > 1 - low ? 1 - low : c->usual;
                z = (c->rate - c->usual) / sqrt(v * (1 - v) * (1 / n_eff + 1 / known));
            }
            s += z * z;
            float m = fabsf((float)z);
            c->dev = (int8_t)(m < Z_MORE ? 0 : (m < Z_FAR ? 1 : 2) * (z < 0 ? -1 : 1));
            if (c->dev)
                odd_insert(o, score, l + r->first, e, c->usual > 0 ? c->rate / c->usual : 0, c->dev, (float)z);
        }
        o->strange[l] = N ? (float)(1 - exp(-s / N / 4)) : 0;
        for (int i = 0; i < r->max_k; i++) {
            uint16_t id = r->now[l * r->max_k + i];
            o->now[l * r->max_k + i] = id;
            o->now_weight[l * r->max_k + i] = r->now_weight[l * r->max_k + i];
            if (id < N)
                o->cell[l * N + id].now = true;
        }
    }
}
