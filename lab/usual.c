/* lab/usual: how often each expert runs when nothing is unusual. Plain data; needs no lock and no disk.
 *
 * rate u = (n m + 64 p) / (n + 64)    m: mean of "it ran" over the n tokens seen (the last 4096 weigh most), p: what is
 *   expected without them. So a rate is never 0 or 1 and little data looks like p.
 * p is k / N (chance), or, where another k of this model is known well, its rates bent to this k.
 * bending: an expert's odds u / (1 - u) are all multiplied by one number, such that the rates sum to k. That is what
 *   happens to P(score > threshold) of logistic scores when the threshold moves; a ban sets the odds to 0, a pin to
 *   infinity, a bias b on the score multiplies them by e^b. */
#include "lab/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void usual_key(uint64_t model, const char *k, char key[USUAL_KEY])
{
    int w = snprintf(key, USUAL_KEY, "usual.%016llx.%s", (unsigned long long)model, k);
    if (w >= USUAL_KEY)                  /* one k per layer in a deep model: its hash names it */
        snprintf(key, USUAL_KEY, "usual.%016llx.h%016llx", (unsigned long long)model, (unsigned long long)q_hash64(k, strlen(k), 0));
}

lab_usual *usual_new(const char *key, int n_layer, int n_expert)
{
    lab_usual *u = q_alloc(sizeof *u);
    snprintf(u->key, sizeof u->key, "%s", key);
    u->n_layer = n_layer;
    u->n_expert = n_expert;
    u->mean = q_alloc(sizeof *u->mean * (size_t)(n_layer * n_expert + 1));
    return u;
}

void usual_free(lab_usual *u)
{
    if (u)
        free(u->mean);
    free(u);
}

/* "1 LAYERS EXPERTS N " and four hex digits a rate (65535 = always). */
char *usual_text(const lab_usual *u)
{
    q_buf b = { 0 };
    q_buf_printf(&b, "1 %d %d %d ", u->n_layer, u->n_expert, (int)u->n);
    for (int i = 0; i < u->n_layer * u->n_expert; i++)
        q_buf_printf(&b, "%04x", (unsigned)lrintf(u->mean[i] * 65535.f) & 0xFFFFu);
    return q_buf_take(&b);
}

bool usual_parse(lab_usual *u, const char *text)
{
    int version, layers, experts, n, at = 0;
    if (sscanf(text, "%d %d %d %d %n", &version, &layers, &experts, &n, &at) != 4 || version != 1 || at == 0)
        return false;
    if (layers < 1 || layers > 1024 || experts < 1 || experts > 4096 || n < 0)
        return false;
    size_t count = (size_t)layers * (size_t)experts;
    if (strlen(text + at) != count * 4)
        return false;
    float *mean = q_alloc(sizeof *mean * count);
    for (size_t i = 0; i < count; i++) {
        char hex[5] = { 0 }, *end;
        memcpy(hex, text + at + i * 4, 4);
        mean[i] = (float)strtoul(hex, &end, 16) / 65535.f;
        if (*end) {
            free(mean);
            return false;
        }
    }
    free(u->mean);
    u->mean = mean;
    u->n_layer = layers;
    u->n_expert = experts;
    u->n = (float)(n < USUAL_MEMORY ? n : USUAL_MEMORY);
    return true;
}

void usual_learn(lab_usual *u, const lab_usual *more)
{
    float sum = u->n + more->n;
    for (int i = 0; i < u->n_layer * u->n_expert && sum > 0; i++)
        u->mean[i] = (u->n * u->mean[i] + more->n * more->mean[i]) / sum;
    u->n = sum < USUAL_MEMORY ? sum : USUAL_MEMORY;
    u->dirty = true;
}

void usual_rates(const lab_usual *u, const lab_usual *from, int layer, int n_expert, double k, double *out)
{
    double n = u ? (double)u->n : 0, seen = from ? (double)from->n : 0;
    size_t at = (size_t)layer * (size_t)n_expert;
    for (int e = 0; e < n_expert; e++)   /* half an expert's worth of doubt keeps odds finite */
        out[e] = from ? (seen * (double)from->mean[at + (size_t)e] + .5 * USUAL_PRIOR / n_expert) / (seen + (double)USUAL_PRIOR / n_expert) : k / n_expert;
    if (from)
        usual_bend(out, NULL, n_expert, k);
    for (int e = 0; e < n_expert && n > 0; e++)
        out[e] = (n * (double)u->mean[at + (size_t)e] + USUAL_PRIOR * out[e]) / (n + USUAL_PRIOR);
}

/* f(C) = sum of o C / (1 + o C) grows with C: Newton's steps in log C, held within a bracket. */
void usual_bend(double *rate, const float *odds, int n, double k)
{
    double pinned = 0, low = -60, high = 60, x = 0;
    int open = 0;
    for (int e = 0; e < n; e++) {
        double f = odds ? (double)odds[e] : 1, r = rate[e] < 1e-6 ? 1e-6 : rate[e] > 1 - 1e-6 ? 1 - 1e-6 : rate[e];
        if (f == 0)
            rate[e] = 0;
        else if (isinf(f))
            rate[e] = 1, pinned++;
        else
            rate[e] = -r / (1 - r) * f, open++;      /* below 0: the odds, until C is found */
    }
    double want = k - pinned;
    want = want < 0 ? 0 : want > open ? open : want;
    for (int step = 0; step < 60 && open > 0; step++) {
        double sum = 0, slope = 0, c = exp(x);
        for (int e = 0; e < n; e++)
            if (rate[e] < 0) {
                double p = -rate[e] * c / (1 - rate[e] * c);
                sum += p;
                slope += p * (1 - p);
            }
        if (fabs(sum - want) < 1e-7 * (want + 1e-3))
            break;
        if (sum < want)
            low = x;
        else
            high = x;
        double next = slope > 1e-12 ? x + (want - sum) / slope : x;
        x = next > low && next < high ? next : (low + high) / 2;
    }
    double c = exp(x);
    for (int e = 0; e < n; e++)
        if (rate[e] < 0)
            rate[e] = -rate[e] * c / (1 - rate[e] * c);
}
