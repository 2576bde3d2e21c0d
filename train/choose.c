/* train/choose: which experts are worth teaching, and whether a traffic is one of its own. See train.h.
 *
 * The choice is ESFT's (arXiv 2407.01906, section 3.2): an expert's score in a layer is its part of the tokens' choices (ESFT-Token) or of
 * the gate mass (ESFT-Gate), averaged over examples so that a long one says no more than a short one; experts are taken from the
 * highest score on until their sum reaches p. Scores of a layer are divided by their sum here: gates of a carved model, or of one that does
 * not renormalise its top-k, would add up to another number in each layer, and one p would mean as many things.
 *
 * How far two traffics lie apart is the total variation of these scores, half the sum of their absolute differences, mean over layers; its
 * p-value comes from dividing all examples anew at random into groups as large, so that nothing is assumed of how routing is distributed,
 * and counts the division at hand among those that lie as far (Phipson and Smyth, arXiv 1603.05766), so that it is never 0.
 * Plain functions of their arguments; any thread. */
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An example's shares of each layer, [n_layer][n_expert], each layer 1 together (0 where nothing ran). */
static void shares_of(const trn_traffic *t, enum trn_by by, int i, double *out)
{
    const size_t n = (size_t)t->n_expert, at = (size_t)i * (size_t)t->n_layer * n;
    for (int l = 0; l < t->n_layer; l++) {
        double sum = 0, *row = out + (size_t)l * n;
        for (size_t e = 0; e < n; e++) {
            row[e] = by == TRN_BY_GATE ? (double)t->mass[at + (size_t)l * n + e] : (double)t->count[at + (size_t)l * n + e];
            sum += row[e];
        }
        for (size_t e = 0; e < n; e++)
            row[e] = sum > 0 ? row[e] / sum : 0;
    }
}

static int check(const trn_traffic *t, enum trn_by by, char *err)
{
    if (t->n < 1 || t->n_layer < 1 || t->n_expert < 1)
        return q_fail(err, Q_RANGE, _("there is no routing to choose experts by: the model has none, or there are no examples"));
    const size_t n = (size_t)t->n * (size_t)t->n_layer * (size_t)t->n_expert;
    for (size_t i = 0; i < n && by == TRN_BY_GATE; i++)
        if (!isfinite(t->mass[i]) || t->mass[i] < 0)
            return q_fail(err, Q_RANGE, _("the gates of these examples are no numbers: choose experts by tokens"));
    return Q_OK;
}

int trn_choose(const trn_traffic *t, enum trn_by by, double p, uint8_t *chosen, char *err)
{
    int rc = check(t, by, err);
    if (rc < 0)
        return rc;
    if (!(p > 0 && p <= 1))
        return q_fail(err, Q_RANGE, _("experts are chosen until their share reaches a number above 0, at most 1"));
    const int n = t->n_expert;
    const size_t all = (size_t)t->n_layer * (size_t)n;
    double *score = q_alloc(sizeof *score * all), *one = q_alloc(sizeof *one * all);
    bool any = false;
    for (int i = 0; i < t->n; i++) {
        shares_of(t, by, i, one);
        for (size_t k = 0; k < all; k++)
            score[k] += one[k];
    }
    memset(chosen, 0, all);
    for (int l = 0; l < t->n_layer; l++) {
        double *row = score + (size_t)l * (size_t)n, sum = 0, had = 0;
        for (int e = 0; e < n; e++)
            sum += row[e];
        /* a rounding's width below p, so that four experts of 0.05 are 0.2 */
        for (int left = n; sum > 0 && left > 0 && had < (p - 1e-9) * sum; left--) {
            int best = 0;
            for (int e = 1; e < n; e++)
                best = row[e] > row[best] ? e : best;        /* the lower number on a tie */
            if (row[best] <= 0)
                break;
            had += row[best];
            row[best] = -1;
            chosen[(size_t)l * (size_t)n + (size_t)best] = 1;
            any = true;
        }
    }
    free(score);
    free(one);
    return any ? Q_OK : q_fail(err, Q_RANGE, _("no expert ran for these examples: nothing can be chosen by their routing"));
}

/* Of group a of na examples (sums: sum) and the nb others of `total`. */
static double distance_of(const double *sum, const double *total, int na, int nb, int n_layer, size_t n)
{
    double d = 0;
    for (size_t k = 0; k < (size_t)n_layer * n; k++)
        d += fabs(sum[k] / na - (total[k] - sum[k]) / nb);
    return d / 2 / n_layer;
}

int trn_apart(const trn_traffic *a, const trn_traffic *b, int rounds, uint64_t seed, const atomic_bool *stop, double *distance, double *p, char *err)
{
    int rc = check(a, TRN_BY_TOKENS, err);
    if (rc == Q_OK)
        rc = check(b, TRN_BY_TOKENS, err);
    if (rc < 0)
        return rc;
    if (a->n_layer != b->n_layer || a->n_expert != b->n_expert || rounds < 1)
        return q_fail(err, Q_RANGE, _("two traffics are compared over the same layers and experts, and in at least one round"));
    const int na = a->n, nb = b->n, n = na + nb;
    const size_t all = (size_t)a->n_layer * (size_t)a->n_expert;
    double *share = q_alloc(sizeof *share * all * (size_t)n), *total = q_alloc(sizeof *total * all), *sum = q_alloc(sizeof *sum * all);
    int *order = q_alloc(sizeof *order * (size_t)n), few = na < nb ? na : nb, as_far = 0;
    for (int i = 0; i < n; i++) {
        double *row = share + (size_t)i * all;
        shares_of(i < na ? a : b, TRN_BY_TOKENS, i < na ? i : i - na, row);
        for (size_t k = 0; k < all; k++) {
            total[k] += row[k];
            sum[k] += i < na ? row[k] : 0;
        }
        order[i] = i;
    }
    *distance = distance_of(sum, total, na, nb, a->n_layer, (size_t)a->n_expert);
    uint64_t s[4] = { q_mix64(seed, 1), q_mix64(seed, 2), q_mix64(seed, 3), 1 };
    bool stopped = false;
    for (int r = 0; r < rounds && !(stopped = stop && atomic_load(stop)); r++) {
        memset(sum, 0, sizeof *sum * all);
        for (int i = 0; i < few; i++) {  /* Fisher and Yates, as far as the smaller group goes */
            int j = i + (int)(q_random(s) % (uint64_t)(n - i)), was = order[i];
            order[i] = order[j];
            order[j] = was;
            const double *row = share + (size_t)order[i] * all;
            for (size_t k = 0; k < all; k++)
                sum[k] += row[k];
        }
        /* the same division summed in another order differs in its last bits */
        as_far += distance_of(sum, total, few, n - few, a->n_layer, (size_t)a->n_expert) >= *distance - 1e-12;
    }
    *p = (1.0 + as_far) / (1.0 + rounds);
    free(share);
    free(total);
    free(sum);
    free(order);
    return stopped ? q_fail(err, Q_CANCEL, _("stopped before anything was taught")) : Q_OK;
}
