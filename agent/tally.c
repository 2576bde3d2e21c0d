/* agent/tally: see tally.h. */
#include "agent/tally.h"

#include <math.h>

void tally_add(tally *t, const double value[TALLY_N])
{
    for (int i = 0; i < TALLY_N; i++) {
        if (isnan(value[i]))
            continue;
        t->of[i].n++;
        t->of[i].sum += value[i];
        t->of[i].squares += value[i] * value[i];
    }
}

static double mean(const tally *t, int i) { return t->of[i].n ? t->of[i].sum / t->of[i].n : NAN; }

/* Of the mean, squared. */
static double error(const tally *t, int i)
{
    int n = t->of[i].n;
    double m = mean(t, i), v = n > 1 ? (t->of[i].squares - n * m * m) / (n - 1) : NAN;
    return v < 0 ? 0 : v / n;
}

agt_measured tally_compare(const tally *before, const tally *after, enum agt_measure i)
{
    agt_measured m = { .before = mean(before, i), .after = mean(after, i), .noise = NAN, .n_before = before->of[i].n, .n_after = after->of[i].n };
    double a = error(before, i), b = error(after, i);
    if (i == AGT_SPEED) {                /* measured as seconds a token, shown as tokens a second: the relative error stays */
        a /= m.before * m.before;
        b /= m.after * m.after;
        m.before = 1 / m.before;
        m.after = 1 / m.after;
        a *= m.before * m.before;
        b *= m.after * m.after;
    }
    if (m.n_before >= TALLY_LEAST && m.n_after >= TALLY_LEAST)
        m.noise = 1.96 * sqrt(a + b);
    return m;
}

double tally_predict(const tally_pace *p, int n, uint64_t bytes, bool *measured)
{
    double w = 0, x = 0, y = 0, xx = 0, xy = 0, same = 0, same_n = 0, near = 0, near_s = 0;
    for (int i = 0; i < n; i++) {
        const double k = p[i].made->of[AGT_SPEED].n, s = p[i].made->of[AGT_SPEED].sum, b = (double)p[i].bytes;
        if (k < TALLY_LEAST || !p[i].bytes || !(s > 0))
            continue;
        if (p[i].bytes == bytes)
            same += s, same_n += k;
        if (near == 0 || fabs(b - (double)bytes) < fabs(near - (double)bytes))
            near = b, near_s = s / k;
        w += k, x += k * b, y += s, xx += k * b * b, xy += b * s;
    }
    if (measured)
        *measured = same_n > 0;
    if (same_n > 0)
        return same_n / same;
    if (!(w > 0))
        return 0;
    double spread = w * xx - x * x, slope = spread > 1e-9 * w * xx ? (w * xy - x * y) / spread : -1;
    double always = (y - slope * x) / w;
    if (spread > 1e-9 * w * xx && slope <= 0)            /* noise: fewer bytes never cost more */
        return w / y;
    return 1 / (slope > 0 && always >= 0 ? always + slope * (double)bytes : near_s * (double)bytes / near);
}

double tally_reached(const tally_pace *p, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) {
        const double k = p[i].made->of[AGT_SPEED].n, s = p[i].made->of[AGT_SPEED].sum;
        double now = k >= TALLY_LEAST && s > 0 ? (double)p[i].bytes * k / s : 0;
        most = now > most ? now : most;
    }
    return most;
}
