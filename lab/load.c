/* lab/load: how a set of routing lies on the experts of each layer. Plain numbers.
 *
 * Chance. Repeat: an expert with load p runs for the next token with p whatever ran before, so of a token's experts sum p^2 / k
 * run again. Couples: two experts with loads p and q run together for c p q of the tokens, where c makes all couples' sum
 * what it is, k (k - 1) / 2: a token runs k different experts, so that even independent ones meet less often than p q. Far
 * beyond chance means many standard deviations of a count; tokens hang together, so that is an order, not a test. */
#include "base/say.h"
#include "lab/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Entropy over log n, Gini's index, largest over mean. */
static void shape_of(const double *load, int n, lab_layer_load *o)
{
    double sum = 0, entropy = 0, weighted = 0, *sorted = q_alloc(sizeof *sorted * (size_t)(n + 1));
    memcpy(sorted, load, sizeof *load * (size_t)n);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    for (int e = 0; e < n; e++) {
        sum += sorted[e];
        weighted += (e + 1) * sorted[e];
    }
    for (int e = 0; e < n && sum > 0; e++)
        entropy -= load[e] > 0 ? load[e] / sum * log(load[e] / sum) : 0;
    o->entropy = n > 1 ? entropy / log(n) : 1;
    o->gini = sum > 0 ? 2 * weighted / (n * sum) - (n + 1.0) / n : 0;
    o->peak = sum > 0 ? sorted[n - 1] * n / sum : 0;
    free(sorted);
}

/* Of neighbouring tokens: experts that run again. */
static void repeats_of(const lab_routes *r, int l, lab_layer_load *o)
{
    uint8_t *was = q_alloc((size_t)r->n_expert + 1);
    double again = 0, all = 0, square = 0;
    for (int t = 1; t < r->n; t++) {
        const uint16_t *now = routes_ids(r, t, l), *before = routes_ids(r, t - 1, l);
        int k = routes_k(r, t, l), had = routes_k(r, t - 1, l);
        if (r->first[t])
            continue;
        for (int i = 0; i < had; i++)
            was[before[i]] = 1;
        for (int i = 0; i < k; i++)
            again += was[now[i]];
        for (int i = 0; i < had; i++)
            was[before[i]] = 0;
        all += k;
    }
    for (int e = 0; e < r->n_expert; e++)
        square += o->load[e] * o->load[e];
    o->repeat = all > 0 ? again / all : NAN;
    o->repeat_chance = o->k > 0 ? square / o->k : NAN;
    free(was);
}

static void add_couple(lab_layer_load *o, double score[LAB_COUPLES], lab_couple c, double z)
{
    int at = o->n_couple;
    while (at > 0 && score[at - 1] < z)
        at--;
    if (at == LAB_COUPLES)
        return;
    int last = o->n_couple < LAB_COUPLES ? o->n_couple++ : LAB_COUPLES - 1;
    for (int i = last; i > at; i--) {
        o->couple[i] = o->couple[i - 1];
        score[i] = score[i - 1];
    }
    o->couple[at] = c;
    score[at] = z;
}

/* Where each expert stands: token[start[e]] to token[start[e + 1]], rising. As large as the set, not as experts squared: a
 * file of one line may name any two of 65,534. */
static void places_of(const lab_routes *r, int l, size_t *start, int **token)
{
    size_t sum = 0;
    for (int t = 0; t < r->n; t++)
        for (int i = 0, k = routes_k(r, t, l); i < k; i++)
            start[routes_ids(r, t, l)[i] + 1]++;
    for (int e = 0; e <= r->n_expert; e++)
        sum = start[e] += sum;
    *token = q_alloc(sizeof **token * (sum + 1));
    size_t *at = q_alloc(sizeof *at * (size_t)(r->n_expert + 1));
    memcpy(at, start, sizeof *at * (size_t)(r->n_expert + 1));
    for (int t = 0; t < r->n; t++)
        for (int i = 0, k = routes_k(r, t, l); i < k; i++)
            (*token)[at[routes_ids(r, t, l)[i]]++] = t;
    free(at);
}

static int by_expert(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static void couples_of(const lab_routes *r, int l, lab_layer_load *o)
{
    int N = r->n_expert, *token, *met = q_alloc(sizeof *met * (size_t)(N + 1)), *together = q_alloc(sizeof *together * (size_t)(N + 1));
    size_t *start = q_alloc(sizeof *start * (size_t)(N + 2));
    double pairs = 0, square = 0, score[LAB_COUPLES];
    for (int t = 0; t < r->n; t++) {
        double k = routes_k(r, t, l);
        pairs += k * (k - 1) / 2;
    }
    for (int e = 0; e < N; e++)
        square += o->load[e] * o->load[e];
    double products = (o->k * o->k - square) / 2 * r->n;
    places_of(r, l, start, &token);
    for (int a = 0; a < N && pairs > 0 && products > 0; a++) {
        int n_met = 0;
        for (size_t at = start[a]; at < start[a + 1]; at++) {
            const uint16_t *id = routes_ids(r, token[at], l);
            for (int i = 0, k = routes_k(r, token[at], l); i < k; i++)
                if (id[i] > a && together[id[i]]++ == 0)
                    met[n_met++] = id[i];
        }
        qsort(met, (size_t)n_met, sizeof *met, by_expert);
        for (int i = 0; i < n_met; i++) {
            int b = met[i], n = together[b];
            double chance = o->load[a] * o->load[b] * r->n * pairs / products;
            together[b] = 0;
            if (n > chance && chance > 0)
                add_couple(o, score, (lab_couple){ a, b, n, chance }, (n - chance) / sqrt(chance));
        }
    }
    free(start);
    free(token);
    free(met);
    free(together);
}

static void layer_of(const lab_routes *r, int l, lab_layer_load *o)
{
    double entropy = 0, margin = 0;
    int with = 0, kept = 0;
    o->layer = r->layer[l];
    o->load = q_alloc(sizeof *o->load * (size_t)(r->n_expert + 1));
    for (int t = 0; t < r->n; t++) {
        const uint16_t *id = routes_ids(r, t, l);
        int k = routes_k(r, t, l);
        size_t row = (size_t)t * (size_t)r->n_layer + (size_t)l;
        for (int i = 0; i < k; i++)
            o->load[id[i]] += 1.0 / r->n;
        o->k += (double)k / r->n;
        if (!isnan(r->entropy[row]))
            entropy += (double)r->entropy[row], with++;
        if (isfinite(r->margin[row]))
            margin += (double)r->margin[row], kept++;
    }
    o->router_entropy = with && r->n_expert > 1 ? entropy / with / log(r->n_expert) : NAN;
    o->margin = kept ? margin / kept : NAN;
    shape_of(o->load, r->n_expert, o);
    repeats_of(r, l, o);
    couples_of(r, l, o);
}

void lab_load_of(const lab_routes *r, lab_load *out)
{
    *out = (lab_load){ .tokens = r->n, .n_layer = r->n_layer, .n_expert = r->n_expert, .known = r->known };
    out->layer = q_alloc(sizeof *out->layer * (size_t)(r->n_layer + 1));
    for (int l = 0; l < r->n_layer; l++)
        layer_of(r, l, &out->layer[l]);
}

void lab_load_free(lab_load *o)
{
    for (int l = 0; l < o->n_layer; l++)
        free(o->layer[l].load);
    free(o->layer);
    *o = (lab_load){ .n_layer = 0 };
}

void lab_load_say(const lab_load *o, q_buf *out)
{
    q_buf_say(out, ngettext("%d token, %d layers of %d experts%s\n", "%d tokens, %d layers of %d experts%s\n", (unsigned long)o->tokens), o->tokens,
              o->n_layer, o->n_expert, o->known ? "" : _(" (as many as were seen; --experts N says how many there are)"));
    q_buf_say(out, "%5s %6s %7s %6s %6s %6s %6s  %s\n", _("layer"), "k", _("entropy"), _("Gini"), _("peak"), _("repeat"), _("chance"), _("together: tokens (by chance)"));
    for (int l = 0; l < o->n_layer; l++) {
        const lab_layer_load *y = &o->layer[l];
        q_buf_say(out, "%5d %6.2f %7.3f %6.3f %6.2f %6.3f %6.3f ", y->layer, y->k, y->entropy, y->gini, y->peak, y->repeat, y->repeat_chance);
        for (int i = 0; i < y->n_couple && i < 2; i++)
            q_buf_say(out, "%s%d+%d %d (%.1f)", i ? ", " : " ", y->couple[i].a, y->couple[i].b, y->couple[i].together, y->couple[i].chance);
        q_buf_say(out, "\n");
    }
    q_buf_say(out, "%s\n", _("entropy of the load over log N (1: all alike), Gini (0: all alike), peak: the largest load over the mean"));
}

void lab_layer_load_json(const lab_layer_load *y, int n_expert, cJSON *into)
{
    cJSON_AddNumberToObject(into, "k", y->k);
    cJSON_AddItemToObject(into, "load", cJSON_CreateDoubleArray(y->load, n_expert));
    cJSON_AddNumberToObject(into, "entropy", y->entropy);
    cJSON_AddNumberToObject(into, "gini", y->gini);
    cJSON_AddNumberToObject(into, "peak", y->peak);
    cJSON_AddNumberToObject(into, "repeat", y->repeat);
    cJSON_AddNumberToObject(into, "repeat_chance", y->repeat_chance);
    cJSON *list = cJSON_AddArrayToObject(into, "together");
    for (int i = 0; i < y->n_couple; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "a", y->couple[i].a);
        cJSON_AddNumberToObject(one, "b", y->couple[i].b);
        cJSON_AddNumberToObject(one, "tokens", y->couple[i].together);
        cJSON_AddNumberToObject(one, "chance", y->couple[i].chance);
        cJSON_AddItemToArray(list, one);
    }
}
