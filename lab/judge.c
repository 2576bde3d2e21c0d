/* lab/judge: what of a difference is more than chance. Plain numbers; any thread.
 *
 * Bootstrap: Efron 1979, percentile interval; blocks are drawn, not tokens, because tokens of a paragraph hang together.
 * KL(P||Q) = sum p (e^d - 1 - d) with d = log q - log p: equal to sum p log(p/q) because both sum to 1, but each term is a
 * square for small d, so that nothing cancels and no term is negative. */
#include "lab/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 2000 };

lab_interval judge_ratio(const double *sum, const double *count, int blocks)
{
    double *mean = q_alloc(sizeof *mean * DRAWS), all = 0, of = 0;
    for (int i = 0; i < blocks; i++) {
        all += sum[i];
        of += count[i];
    }
    uint64_t random[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < 16; i++)
        q_random(random);                /* small seeds begin with few bits */
    for (int d = 0; d < DRAWS; d++) {
        double s = 0, c = 0;
        for (int i = 0; i < blocks; i++) {
            int pick = (int)((q_random(random) >> 11) * 0x1p-53 * blocks);
            s += sum[pick];
            c += count[pick];
        }
        mean[d] = c > 0 ? s / c : 0;
    }
    qsort(mean, DRAWS, sizeof *mean, q_by_number);
    lab_interval out = { of > 0 ? all / of : 0, mean[DRAWS / 40], mean[DRAWS - 1 - DRAWS / 40] };
    free(mean);
    return out;
}

lab_interval judge_mean(const double *value, const int *block, int n, int blocks)
{
    double *sum = q_alloc(sizeof *sum * (size_t)(blocks + 1)), *count = q_alloc(sizeof *count * (size_t)(blocks + 1)), all = 0;
    for (int i = 0; i < n; i++) {
        sum[block[i]] += value[i];
        count[block[i]]++;
        all += value[i];
    }
    lab_interval out = judge_ratio(sum, count, blocks);
    out.mean = n ? all / n : 0;          /* in the order of the items */
    free(sum);
    free(count);
    return out;
}

lab_interval lab_mean_of(const double *value, int n)
{
    int *own = q_alloc(sizeof *own * (size_t)n);
    for (int i = 0; i < n; i++)
        own[i] = i;
    lab_interval out = judge_mean(value, own, n, n);
    free(own);
    return out;
}

double judge_log_sum(const float *x, int n)
{
    float max = x[0];
    double sum = 0;
    for (int i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n; i++)
        sum += exp((double)(x[i] - max));
    return (double)max + log(sum);
}

double judge_kl(const float *p, const float *q, int n, double log_sum_p, double log_sum_q, bool *top)
{
    double kl = 0;
    int best_p = 0, best_q = 0;
    for (int i = 0; i < n; i++) {
        double lp = (double)p[i] - log_sum_p, lq = (double)q[i] - log_sum_q, d = lq - lp;
        best_p = p[i] > p[best_p] ? i : best_p;
        best_q = q[i] > q[best_q] ? i : best_q;
        if (lp < -60 && lq < -60)        /* below 1e-26 in either: a vocabulary of them is nothing */
            continue;
        double w = exp(lp);
        if (w == 0)
            kl += exp(lq);
        else
            kl += fabs(d) < 1e-3 ? w * d * d * (0.5 + d * (1.0 / 6 + d / 24)) : exp(lq) - w - w * d;
    }
    *top = best_p == best_q;
    return kl > 0 ? kl : 0;
}
