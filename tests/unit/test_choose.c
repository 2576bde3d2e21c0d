/* train/choose.c: ESFT's choice of experts by hand-made traffic, and the permutation test of two traffics. */
#include "tests/test.h"
#include "train/train.h"

#include <stdint.h>

enum { LAYERS = 2, EXPERTS = 8 };

static void choosing_takes_the_largest_shares_until_p(void)
{
    /* two examples of unlike length: shares are averaged, so that the long one says no more */
    uint32_t count[2][LAYERS][EXPERTS] = { { { 4, 3, 2, 1 }, { 0, 0, 0, 0, 10 } }, { { 0, 0, 0, 100 }, { 0, 0, 0, 0, 0, 100 } } }, tokens[2] = { 5, 50 };
    float mass[2][LAYERS][EXPERTS] = { { { 0 } } };
    uint8_t chosen[LAYERS][EXPERTS];
    char err[Q_ERRLEN];
    trn_traffic t = { 2, LAYERS, EXPERTS, &count[0][0][0], &mass[0][0][0], tokens };
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, .2, &chosen[0][0], err), Q_OK);
    /* layer 0: expert 3 has (.1 + 1) / 2 = .55; layer 1: 4 and 5 have .5 each, the lower number is taken */
    for (int e = 0; e < EXPERTS; e++) {
        CHECK_INT(chosen[0][e], e == 3);
        CHECK_INT(chosen[1][e], e == 4);
    }
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, .75, &chosen[0][0], err), Q_OK);       /* .55 + .2 (expert 0) is .75 */
    CHECK(chosen[0][3] && chosen[0][0] && !chosen[0][1] && chosen[1][4] && chosen[1][5]);
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, 1, &chosen[0][0], err), Q_OK);         /* all that ran, and no other */
    for (int e = 0; e < EXPERTS; e++) {
        CHECK_INT(chosen[0][e], e < 4);
        CHECK_INT(chosen[1][e], e == 4 || e == 5);
    }
}

static void gates_choose_by_their_mass(void)
{
    uint32_t count[1][1][4] = { { { 10, 10, 1, 1 } } }, tokens[1] = { 11 };
    float mass[1][1][4] = { { { 1, 2, 6, .5f } } };
    uint8_t chosen[4];
    char err[Q_ERRLEN];
    trn_traffic t = { 1, 1, 4, &count[0][0][0], &mass[0][0][0], tokens };
    CHECK_INT(trn_choose(&t, TRN_BY_GATE, .2, chosen, err), Q_OK);
    CHECK(!chosen[0] && !chosen[1] && chosen[2] && !chosen[3]);
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, .2, chosen, err), Q_OK);
    CHECK(chosen[0] && !chosen[1] && !chosen[2] && !chosen[3]);
    mass[0][0][1] = NAN;
    CHECK_INT(trn_choose(&t, TRN_BY_GATE, .2, chosen, err), Q_RANGE);
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, .2, chosen, err), Q_OK);
}

static void what_cannot_be_chosen_by_is_refused(void)
{
    uint32_t count[1][1][4] = { { { 0 } } }, tokens[1] = { 0 };
    float mass[1][1][4] = { { { 0 } } };
    uint8_t chosen[4];
    char err[Q_ERRLEN] = "";
    double d, p;
    trn_traffic t = { 1, 1, 4, &count[0][0][0], &mass[0][0][0], tokens }, none = t, other = t;
    none.n = 0;
    other.n_expert = 2;
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, .2, chosen, err), Q_RANGE);
    CHECK_INT(trn_choose(&none, TRN_BY_TOKENS, .2, chosen, err), Q_RANGE);
    count[0][0][1] = 3;
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, 0, chosen, err), Q_RANGE);
    CHECK_INT(trn_choose(&t, TRN_BY_TOKENS, 1.5, chosen, err), Q_RANGE);
    CHECK_INT(trn_apart(&t, &none, 10, 1, NULL, &d, &p, err), Q_RANGE);
    CHECK_INT(trn_apart(&t, &other, 10, 1, NULL, &d, &p, err), Q_RANGE);
    CHECK_INT(trn_apart(&t, &t, 0, 1, NULL, &d, &p, err), Q_RANGE);
}

/* n examples whose tokens go to an expert by chance, with the first `heavy` of them drawn twice as often. */
static trn_traffic drawn(int n, int heavy, uint64_t seed)
{
    uint32_t *count = q_alloc(sizeof *count * (size_t)(n * LAYERS * EXPERTS)), *tokens = q_alloc(sizeof *tokens * (size_t)n);
    float *mass = q_alloc(sizeof *mass * (size_t)(n * LAYERS * EXPERTS));
    uint64_t s[4] = { seed, 2, 3, 4 };
    for (int i = 0; i < 50; i++)
        q_random(s);
    for (int i = 0; i < n; i++)
        for (int t = 0; t < 40; t++)
            for (int l = 0; l < LAYERS; l++) {
                int e = (int)(q_random(s) % (uint64_t)(EXPERTS + heavy));
                count[(i * LAYERS + l) * EXPERTS + (e < EXPERTS ? e : e - EXPERTS)]++;
                tokens[i] = 40;
            }
    return (trn_traffic){ n, LAYERS, EXPERTS, count, mass, tokens };
}

static void drop(trn_traffic *t)
{
    free((void *)(uintptr_t)t->count);
    free((void *)(uintptr_t)t->mass);
    free((void *)(uintptr_t)t->tokens);
}

static void unlike_traffic_is_told_from_chance(void)
{
    char err[Q_ERRLEN];
    double d, p, d2, p2;
    trn_traffic a = drawn(20, 0, 5), b = drawn(30, 3, 6);
    CHECK_INT(trn_apart(&a, &b, 499, 1, NULL, &d, &p, err), Q_OK);
    CHECK_MSG(p == 1. / 500, "%g", p);
    /* 3 of 8 experts get 2/11 each in b and 1/8 in a: half the sum of differences is .17 */
    CHECK_MSG(d > .12 && d < .24, "%g", d);
    CHECK_INT(trn_apart(&b, &a, 499, 1, NULL, &d2, &p2, err), Q_OK);
    CHECK_MSG(fabs(d - d2) < 1e-12, "%g %g", d, d2);
    drop(&a);
    drop(&b);
}

static void alike_traffic_is_seldom_called_unlike(void)
{
    char err[Q_ERRLEN];
    int low = 0, half = 0;
    enum { TIMES = 200 };
    for (int i = 0; i < TIMES; i++) {
        trn_traffic a = drawn(8, 0, 100 + 2 * (uint64_t)i), b = drawn(12, 0, 101 + 2 * (uint64_t)i);
        double d, p;
        CHECK_INT(trn_apart(&a, &b, 99, (uint64_t)i, NULL, &d, &p, err), Q_OK);
        CHECK(p > 0 && p <= 1);
        low += p <= .05;
        half += p <= .5;
        drop(&a);
        drop(&b);
    }
    /* p is uniform: 10 and 100 expected, deviations 3.1 and 7.1 */
    CHECK_MSG(low >= 1 && low <= 22, "%d", low);
    CHECK_MSG(half >= 75 && half <= 125, "%d", half);
}

static void the_same_seed_gives_the_same_p(void)
{
    char err[Q_ERRLEN];
    trn_traffic a = drawn(6, 0, 1), b = drawn(6, 1, 2);
    double d, p, d2, p2;
    CHECK_INT(trn_apart(&a, &b, 99, 7, NULL, &d, &p, err), Q_OK);
    CHECK_INT(trn_apart(&a, &b, 99, 7, NULL, &d2, &p2, err), Q_OK);
    CHECK(d == d2 && p == p2);
    drop(&a);
    drop(&b);
}

int main(void)
{
    RUN(choosing_takes_the_largest_shares_until_p);
    RUN(gates_choose_by_their_mass);
    RUN(what_cannot_be_chosen_by_is_refused);
    RUN(unlike_traffic_is_told_from_chance);
    RUN(alike_traffic_is_seldom_called_unlike);
    RUN(the_same_seed_gives_the_same_p);
    return TEST_END();
}
