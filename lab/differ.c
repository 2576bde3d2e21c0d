/* lab/differ: which experts two sets of routing use differently, beyond chance. Plain numbers.
 *
 * Neighbouring tokens hang together, so not tokens but pieces of text (at most 24 of a set, of 16 tokens or more) are dealt out
 * anew: if the sets were of one kind, any piece might stand in either. What each expert's share of its layer differs by, over the
 * spread of its share between pieces, is compared with the largest such number of all experts in each of 2,000 dealings
 * (Westfall and Young 1993, single-step maxT): the chance that any expert at all is named wrongly is p, however many there
 * are. Layers likewise by Jensen-Shannon divergence, over its own mean and spread under dealing. Neighbouring pieces are still
 * a little alike, which dealing breaks: what it gives is widened by 1 + 2 r, the variance of a sum of neighbours that correlate
 * by r (their mean over all experts, never below 0). The seed is fixed: the same sets give the same numbers. */
#include "base/say.h"
#include "lab/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 2000, LEAST = 64, PIECE = 16, PIECES = 24 };
static const double ALPHA = .05;

typedef struct sets {
    int n_layer, n_expert, cells, blocks, n[2];          /* cells: experts of all layers; blocks: of both */
    float *hits;                         /* [blocks][cells] */
    float *ran;                          /* [blocks][n_layer] sums of hits over a layer's experts */
    double *spread;                      /* [cells] of the share over blocks */
    double wide;                         /* 1 + 2 r */
    double *share[2];                    /* [cells] */
} sets;

static void count(const lab_routes *r, sets *s, int from, int blocks)
{
    for (int t = 0; t < r->n; t++) {
        int b = from + (int)((int64_t)t * blocks / r->n);
        for (int l = 0; l < r->n_layer; l++) {
            const uint16_t *id = routes_ids(r, t, l);
            int k = routes_k(r, t, l);
            for (int i = 0; i < k; i++)
                s->hits[(size_t)b * (size_t)s->cells + (size_t)(l * s->n_expert + id[i])] += 1;
            s->ran[b * s->n_layer + l] += (float)k;
        }
    }
}

/* Shares of both groups, where side[b] says to which block b belongs. */
static void shares(const sets *s, const uint8_t *side, double *const share[2])
{
    double *ran[2];
    for (int g = 0; g < 2; g++) {
        memset(share[g], 0, sizeof **share * (size_t)s->cells);
        ran[g] = q_alloc(sizeof **ran * (size_t)(s->n_layer + 1));
    }
    for (int b = 0; b < s->blocks; b++) {
        double *to = share[side[b]];
        const float *hits = s->hits + (size_t)b * (size_t)s->cells;
        for (int c = 0; c < s->cells; c++)
            to[c] += (double)hits[c];
        for (int l = 0; l < s->n_layer; l++)
            ran[side[b]][l] += (double)s->ran[b * s->n_layer + l];
    }
    for (int g = 0; g < 2; g++) {
        for (int l = 0; l < s->n_layer; l++)
            for (int e = 0; e < s->n_expert && ran[g][l] > 0; e++)
                share[g][l * s->n_expert + e] /= ran[g][l];
        free(ran[g]);
    }
}

static double share_in(const sets *s, int block, int c)
{
    double ran = (double)s->ran[block * s->n_layer + c / s->n_expert];
    return ran > 0 ? (double)s->hits[(size_t)block * (size_t)s->cells + (size_t)c] / ran : 0;
}

static void spreads(sets *s)
{
    for (int c = 0; c < s->cells; c++) {
        double sum = 0, square = 0;
        for (int b = 0; b < s->blocks; b++) {
            double v = share_in(s, b, c);
            sum += v;
            square += v * v;
        }
        double mean = sum / s->blocks, var = square / s->blocks - mean * mean;
        s->spread[c] = var > 1e-12 ? sqrt(var) : 0;
    }
}

/* How alike neighbouring pieces are. A correlation of n values with their neighbours comes out 1/n too low. */
static void widen(sets *s)
{
    double with = 0, own = 0;
    for (int c = 0; c < s->cells; c++)
        for (int g = 0, from = 0; g < 2; from += s->n[g++]) {
            double mean = 0, square = 0;
            for (int b = from; b < from + s->n[g]; b++)
                mean += share_in(s, b, c) / s->n[g];
            for (int b = from; b < from + s->n[g]; b++) {
                double d = share_in(s, b, c) - mean;
                square += d * d;
                with += b > from ? d * (share_in(s, b - 1, c) - mean) : 0;
            }
            with += square / s->n[g];
            own += square;
        }
    double r = own > 0 ? with / own : 0;
    s->wide = 1 + 2 * (r < 0 ? 0 : r > 1 ? 1 : r);
}

static double far_of(const sets *s, double *const share[2], int c)
{
    return s->spread[c] > 0 ? fabs(share[0][c] - share[1][c]) / s->spread[c] : 0;
}

static double divergence(const sets *s, double *const share[2], int l)
{
    double js = 0;
    for (int e = 0; e < s->n_expert; e++) {
        double p = share[0][l * s->n_expert + e], q = share[1][l * s->n_expert + e], m = (p + q) / 2;
        js += (p > 0 ? p * log2(p / m) : 0) + (q > 0 ? q * log2(q / m) : 0);
    }
    return js > 0 ? js / 2 : 0;
}

/* ---- chance ---- */
typedef struct dealt { double *far; /* [DRAWS] the largest of all experts */ double *js; /* [DRAWS][n_layer] */ } dealt;

static bool deal(const sets *s, dealt *d, const lab_terms *terms)
{
    bool on = true;
    uint8_t *side = q_alloc((size_t)s->blocks + 1);
    double *share[2] = { q_alloc(sizeof **share * (size_t)(s->cells + 1)), q_alloc(sizeof **share * (size_t)(s->cells + 1)) };
    uint64_t random[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < 16; i++)
        q_random(random);                /* small seeds begin with few bits */
    for (int b = 0; b < s->blocks; b++)
        side[b] = b >= s->n[0];
    for (int draw = 0; draw < DRAWS && (on = !terms || !terms->go_on || terms->go_on(terms->user, draw, DRAWS)); draw++) {
        for (int b = s->blocks - 1; b > 0; b--) {
            int pick = (int)((double)(q_random(random) >> 11) * 0x1p-53 * (b + 1));
            uint8_t swap = side[b];
            side[b] = side[pick];
            side[pick] = swap;
        }
        shares(s, side, share);
        for (int c = 0; c < s->cells; c++) {
            double far = far_of(s, share, c) * sqrt(s->wide);
            d->far[draw] = far > d->far[draw] ? far : d->far[draw];
        }
        for (int l = 0; l < s->n_layer; l++)
            d->js[draw * s->n_layer + l] = divergence(s, share, l) * s->wide;
    }
    free(side);
    free(share[0]);
    free(share[1]);
    return on;
}

static double p_of(const double *largest, double seen)
{
    int as_large = 0;
    for (int i = 0; i < DRAWS; i++)
        as_large += largest[i] >= seen * (1 - 1e-9);     /* the same sum in another order is as large */
    return (1.0 + as_large) / (1.0 + DRAWS);
}

static void layers(const sets *s, const lab_routes *a, const dealt *d, lab_differ *o)
{
    double *mean = q_alloc(sizeof *mean * (size_t)(s->n_layer + 1)), *sd = q_alloc(sizeof *sd * (size_t)(s->n_layer + 1)), *largest = q_alloc(sizeof *largest * DRAWS);
    for (int l = 0; l < s->n_layer; l++) {
        double sum = 0, square = 0;
        for (int i = 0; i < DRAWS; i++)
            sum += d->js[i * s->n_layer + l], square += d->js[i * s->n_layer + l] * d->js[i * s->n_layer + l];
        mean[l] = sum / DRAWS;
        double var = square / DRAWS - mean[l] * mean[l];
        sd[l] = var > 0 ? sqrt(var) : 0;
    }
    for (int i = 0; i < DRAWS; i++) {
        largest[i] = -INFINITY;
        for (int l = 0; l < s->n_layer; l++) {
            double z = sd[l] > 0 ? (d->js[i * s->n_layer + l] - mean[l]) / sd[l] : 0;
            largest[i] = z > largest[i] ? z : largest[i];
        }
    }
    for (int l = 0; l < s->n_layer; l++) {
        double js = divergence(s, s->share, l), z = sd[l] > 0 ? (js - mean[l]) / sd[l] : 0;
        int as_large = 0;
        for (int i = 0; i < DRAWS; i++)
            as_large += largest[i] >= z - 1e-9;
        o->drift[l] = (lab_drift){ a->layer[l], js, mean[l], (1.0 + as_large) / (1.0 + DRAWS) };
    }
    free(mean);
    free(sd);
    free(largest);
}

static int by_p(const void *a, const void *b)
{
    const lab_moved *x = a, *y = b;
    double dx = fabs(x->share[0] - x->share[1]), dy = fabs(y->share[0] - y->share[1]);
    if (x->p != y->p)
        return x->p < y->p ? -1 : 1;
    if (dx != dy)
        return dx > dy ? -1 : 1;
    return x->layer != y->layer ? x->layer - y->layer : x->expert - y->expert;
}

static void experts(const sets *s, const lab_routes *a, const dealt *d, lab_differ *o)
{
    o->moved = q_alloc(sizeof *o->moved * (size_t)(s->cells + 1));
    for (int c = 0; c < s->cells; c++) {
        if (s->spread[c] == 0)
            continue;
        double p = p_of(d->far, far_of(s, s->share, c));
        o->tried++;
        if (p < ALPHA)
            o->moved[o->n_moved++] = (lab_moved){ a->layer[c / s->n_expert], c % s->n_expert, { s->share[0][c], s->share[1][c] }, p };
    }
    if (o->n_moved)
        qsort(o->moved, (size_t)o->n_moved, sizeof *o->moved, by_p);
}

int lab_differ_of(const lab_routes *a, const lab_routes *b, const lab_terms *terms, lab_differ *out, char *err)
{
    *out = (lab_differ){ .n_layer = 0 };
    if (a->n < LEAST || b->n < LEAST)
        return q_fail(err, Q_RANGE, _("%d and %d tokens are too few to tell a difference from chance: each side needs at least %d"), a->n, b->n, LEAST);
    if (a->n_layer != b->n_layer || memcmp(a->layer, b->layer, sizeof *a->layer * (size_t)a->n_layer) != 0 || (a->known && b->known && a->n_expert != b->n_expert))
        return q_fail(err, Q_RANGE, _("the two sets are of models of different shape: their experts cannot be compared"));
    const lab_routes *of[2] = { a, b };
    sets s = { .n_layer = a->n_layer, .n_expert = a->n_expert > b->n_expert ? a->n_expert : b->n_expert };
    s.cells = s.n_layer * s.n_expert;
    for (int g = 0; g < 2; g++) {
        s.n[g] = of[g]->n / PIECE < PIECES ? of[g]->n / PIECE : PIECES;
        s.blocks += s.n[g];
        s.share[g] = q_alloc(sizeof **s.share * (size_t)(s.cells + 1));
    }
    s.hits = q_alloc(sizeof *s.hits * (size_t)s.blocks * (size_t)s.cells + 1);
    s.ran = q_alloc(sizeof *s.ran * (size_t)s.blocks * (size_t)s.n_layer + 1);
    s.spread = q_alloc(sizeof *s.spread * (size_t)(s.cells + 1));
    count(a, &s, 0, s.n[0]);
    count(b, &s, s.n[0], s.n[1]);
    uint8_t *side = q_alloc((size_t)s.blocks + 1);
    for (int i = s.n[0]; i < s.blocks; i++)
        side[i] = 1;
    shares(&s, side, s.share);
    spreads(&s);
    widen(&s);
    dealt d = { q_alloc(sizeof *d.far * DRAWS), q_alloc(sizeof *d.js * DRAWS * (size_t)(s.n_layer + 1)) };
    int rc = deal(&s, &d, terms) ? Q_OK : q_fail(err, Q_CANCEL, _("stopped: nothing is said of a difference that was not measured to its end"));
    *out = (lab_differ){ .tokens = { a->n, b->n }, .blocks = { s.n[0], s.n[1] }, .n_layer = s.n_layer, .n_expert = s.n_expert };
    out->drift = q_alloc(sizeof *out->drift * (size_t)(s.n_layer + 1));
    if (rc == Q_OK) {
        layers(&s, a, &d, out);
        experts(&s, a, &d, out);
    } else
        lab_differ_free(out);
    free(side);
    free(s.hits);
    free(s.ran);
    free(s.spread);
    free(s.share[0]);
    free(s.share[1]);
    free(d.far);
    free(d.js);
    return rc;
}

void lab_differ_free(lab_differ *o)
{
    free(o->drift);
    free(o->moved);
    *o = (lab_differ){ .n_layer = 0 };
}

/* ---- in words ---- */
enum { SHOWN = 24 };

static void say_ratio(const lab_moved *m, const char *a, const char *b, q_buf *out)
{
    if (m->share[0] <= 0 || m->share[1] <= 0)
        q_buf_say(out, _("only %s"), m->share[0] > 0 ? a : b);
    else if (m->share[0] >= m->share[1])
        q_buf_say(out, _("%.1fx in %s"), m->share[0] / m->share[1], a);
    else
        q_buf_say(out, _("%.1fx in %s"), m->share[1] / m->share[0], b);
}

void lab_differ_say(const lab_differ *o, const char *a, const char *b, q_buf *out)
{
    int differ = 0;
    double js = 0, chance = 0;
    q_buf_say(out, ngettext("A  %s: %d token in %d pieces\n", "A  %s: %d tokens in %d pieces\n", (unsigned long)o->tokens[0]), a, o->tokens[0], o->blocks[0]);
    q_buf_say(out, ngettext("B  %s: %d token in %d pieces\n", "B  %s: %d tokens in %d pieces\n", (unsigned long)o->tokens[1]), b, o->tokens[1], o->blocks[1]);
    for (int l = 0; l < o->n_layer; l++) {
        js += o->drift[l].js / o->n_layer;
        chance += o->drift[l].chance / o->n_layer;
        differ += o->drift[l].p < ALPHA;
    }
    q_buf_say(out, _("Jensen-Shannon: mean %.4f bits (by chance %.4f); beyond chance in %d of %d layers\n"), js, chance, differ, o->n_layer);
    q_buf_say(out, "%5s %8s %8s %7s\n", _("layer"), _("bits"), _("chance"), "p");
    for (int l = 0; l < o->n_layer; l++)
        q_buf_say(out, "%5d %8.4f %8.4f %7.4f\n", o->drift[l].layer, o->drift[l].js, o->drift[l].chance, o->drift[l].p);
    if (o->n_moved == 0)
        q_buf_say(out, _("no expert differs beyond chance (%d tried)\n"), o->tried);
    else {
        q_buf_say(out, ngettext("%d expert of %d differs beyond chance (p below .05, corrected for all of them):\n",
                                "%d experts of %d differ beyond chance (p below .05, corrected for all of them):\n", (unsigned long)o->n_moved), o->n_moved, o->tried);
        q_buf_say(out, "%9s %8s %8s %7s\n", _("expert"), "A", "B", "p");
        for (int i = 0; i < o->n_moved && i < SHOWN; i++) {
            const lab_moved *m = &o->moved[i];
            char name[32];
            snprintf(name, sizeof name, "L%de%d", m->layer, m->expert);
            q_buf_say(out, "%9s %8.4f %8.4f %7.4f  ", name, m->share[0], m->share[1], m->p);
            say_ratio(m, a, b, out);
            q_buf_say(out, "\n");
        }
        if (o->n_moved > SHOWN)
            q_buf_say(out, ngettext("and %d more\n", "and %d more\n", (unsigned long)(o->n_moved - SHOWN)), o->n_moved - SHOWN);
    }
    q_buf_say(out, "%s\n", _("shares are of what its layer ran; they say where tokens went, not what an expert is for"));
}

struct cJSON *lab_differ_json(const lab_differ *d)
{
    static const char *const side[2] = { "A", "B" };
    cJSON *j = cJSON_CreateObject(), *list;
    for (int i = 0; i < 2; i++) {
        cJSON *one = cJSON_AddObjectToObject(j, side[i]);
        cJSON_AddNumberToObject(one, "tokens", d->tokens[i]);
        cJSON_AddNumberToObject(one, "pieces", d->blocks[i]);
    }
    list = cJSON_AddArrayToObject(j, "layers");
    for (int l = 0; l < d->n_layer; l++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "layer", d->drift[l].layer);
        cJSON_AddNumberToObject(one, "js", d->drift[l].js);
        cJSON_AddNumberToObject(one, "js_chance", d->drift[l].chance);
        cJSON_AddNumberToObject(one, "p", d->drift[l].p);
        cJSON_AddItemToArray(list, one);
    }
    cJSON_AddNumberToObject(j, "experts_tried", d->tried);
    list = cJSON_AddArrayToObject(j, "experts");
    for (int i = 0; i < d->n_moved; i++) {
        const lab_moved *m = &d->moved[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "layer", m->layer);
        cJSON_AddNumberToObject(one, "expert", m->expert);
        cJSON_AddNumberToObject(one, "share_a", m->share[0]);
        cJSON_AddNumberToObject(one, "share_b", m->share[1]);
        if (m->share[0] > 0 && m->share[1] > 0)
            cJSON_AddNumberToObject(one, "ratio", m->share[1] / m->share[0]);
        else
            cJSON_AddNullToObject(one, "ratio");
        cJSON_AddNumberToObject(one, "p", m->p);
        cJSON_AddItemToArray(list, one);
    }
    return j;
}
