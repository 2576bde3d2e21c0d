/* exam/stats: what of two results on the same questions is more than chance. Pure; any thread.
 * Wilson's interval: Wilson 1927. McNemar's exact test (McNemar 1947) is lab_sign_test of the discordant pairs. The size
 * that a paired comparison needs: Connor 1987, two-sided 5%, power 80%; of a mean: the normal approximation. The bootstrap is lab/judge.c's, over questions. */
#include "exam/exam.h"
#include "lab/lab.h"

#include <math.h>
#include <stdlib.h>

static const double Z = 1.959963984540054, Z_POWER = 0.8416212335729143, WORTH = 0.05;

exam_rate exam_rate_of(int right, int n)
{
    if (n <= 0) return (exam_rate){ .low = 0, .high = 1 };
    double p = (double)right / n, z2 = Z * Z, mid = (p + z2 / (2 * n)) / (1 + z2 / n), half = Z * sqrt(p * (1 - p) / n + z2 / (4.0 * n * n)) / (1 + z2 / n);
    return (exam_rate){ right, n, p, right == 0 ? 0 : mid - half, right == n ? 1 : mid + half };
}

int exam_need(double discordant, double difference)
{
    double d = fabs(difference) > 0 ? fabs(difference) : WORTH, p = discordant < d ? d : discordant;
    double n = pow(Z * sqrt(p) + Z_POWER * sqrt(p - d * d > 0 ? p - d * d : 0), 2) / (d * d);
    return discordant <= 0 ? 0 : n > 1e9 ? 1000000000 : (int)ceil(n);
}

/* Share of sign patterns whose sum is as far from 0 (Fisher 1935), among so many drawn at random and the one at hand. */
static double flip_test(const double *d, int n)
{
    enum { DRAWS = 9999 };
    double all = 0, size = 0;
    int far = 0;
    uint64_t random[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < 16; i++) q_random(random);           /* small seeds begin with few bits */
    for (int i = 0; i < n; i++) all += d[i], size += fabs(d[i]);
    for (int k = 0; k < DRAWS; k++) {
        double sum = 0;
        uint64_t bits = 0;
        for (int i = 0; i < n; i++, bits >>= 1) {
            if (i % 32 == 0) bits = q_random(random) >> 32;
            sum += bits & 1 ? d[i] : -d[i];
        }
        far += fabs(sum) >= fabs(all) - 1e-12 * size;
    }
    return (1.0 + far) / (1 + DRAWS);
}

exam_shift exam_shift_of(const double *d, int n)
{
    exam_shift out = { .n = n, .p = 1 };
    if (n <= 0) return out;
    lab_interval x = lab_mean_of(d, n);
    double square = 0;
    for (int i = 0; i < n; i++) square += (d[i] - x.mean) * (d[i] - x.mean);
    out.nats = x.mean;
    out.low = x.low;
    out.high = x.high;
    out.p = flip_test(d, n);
    out.different = out.p < 0.05 && (out.low > 0 || out.high < 0);
    double need = n > 1 && x.mean != 0 ? (Z + Z_POWER) * (Z + Z_POWER) * square / (n - 1) / (x.mean * x.mean) : 0;
    out.need = need > 1e9 ? 1000000000 : (int)ceil(need);
    return out;
}

exam_pair exam_compare(const bool *a, const bool *b, int n)
{
    exam_pair out = { .n = n, .p = 1 };
    double *d = q_alloc(sizeof *d * (size_t)(n + 1));
    for (int i = 0; i < n; i++) {
        out.both += a[i] && b[i];
        out.only_a += a[i] && !b[i];
        out.only_b += b[i] && !a[i];
        out.neither += !a[i] && !b[i];
        d[i] = b[i] - a[i];
    }
    if (n > 0) {
        lab_interval x = lab_mean_of(d, n);
        out.difference = x.mean;
        out.low = x.low;
        out.high = x.high;
        out.p = lab_sign_test(out.only_a, out.only_b);
        out.different = out.p < 0.05 && (out.low > 0 || out.high < 0);
        out.need = exam_need((double)(out.only_a + out.only_b) / n, out.difference);
    }
    free(d);
    return out;
}
