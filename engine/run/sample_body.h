/* engine/run/sample_body: the two passes over a vocabulary's logits, included once per instruction set with NAME(x) defined.
 * 16 lanes whatever the registers hold; every operation is the same IEEE operation on the same lane in the same order, so all
 * sets give the same bits. Pure functions, any thread. */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16, CHUNK = 1024 };
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
#define INLINE static inline __attribute__((always_inline))

/* By pointer: a vector of 64 bytes as an argument means another calling convention in each set. */
INLINE void load(vf *v, const float *p) { memcpy(v, p, sizeof *v); }
INLINE void splat(vf *v, float x) { for (int i = 0; i < LANES; i++) (*v)[i] = x; }
INLINE void take_larger(vf *m, const vf *x)
{
    vi mask = *x > *m;
    *m = (vf)((mask & (vi)*x) | (~mask & (vi)*m));
}

/* e^x for x <= 0; below -87, and for NaN, about 1e-38. Range reduction and polynomial of Cephes' expf (Moshier):
 * relative error under 2e-7. */
INLINE void exp_all(vf *v)
{
    vf x = *v, low;
    splat(&low, -87.0f);
    vi mask = x > low;
    x = (vf)((mask & (vi)x) | (~mask & (vi)low));
    vf n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;     /* 1.5 * 2^23: adding it rounds to an integer */
    vf r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vi e = (__builtin_convertvector(n, vi) + 127) << 23;
    *v = p * (vf)e;
}

/* The largest logit; NaN never wins. -inf when there is none. */
float NAME(max)(const float *l, int n)
{
    vf m, x;
    splat(&m, -INFINITY);
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        load(&x, l + i);
        take_larger(&m, &x);
    }
    float best = -INFINITY;
    for (int k = 0; k < LANES; k++) if (m[k] > best) best = m[k];
    for (; i < n; i++) if (l[i] > best) best = l[i];
    return best;
}

/* Sum of e^(scale * (l - max)); floats within a chunk, doubles over chunks. Weights go to out unless NULL. */
double NAME(sum)(const float *l, int n, float max, float scale, float *out)
{
    double sum = 0;
    vf x;
    for (int c = 0; c < n; c += CHUNK) {
        int end = c + CHUNK < n ? c + CHUNK : n, i = c;
        vf acc;
        splat(&acc, 0);
        for (; i + LANES <= end; i += LANES) {
            load(&x, l + i);
            x = (x - max) * scale;
            exp_all(&x);
            acc = acc + x;
            if (out) memcpy(out + i, &x, sizeof x);
        }
        for (int k = 0; k < LANES; k++) sum += (double)acc[k];
        if (i < end) {                   /* the last few beside lanes of e^-87 that count for nothing */
            splat(&x, -INFINITY);
            for (int k = 0; i + k < end; k++) x[k] = (l[i + k] - max) * scale;
            exp_all(&x);
            for (int k = 0; i + k < end; k++) {
                sum += (double)x[k];
                if (out) out[i + k] = x[k];
            }
        }
    }
    return sum;
}
#undef INLINE
