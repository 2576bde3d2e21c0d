/* engine/run/sample: the filters of sample.h in their order, without sorting the vocabulary: a maximum, a sum of
 * exponentials, and a heap over the few tokens near the maximum. One thread per sampler. All arithmetic is
 * plain IEEE in a fixed order (sample_body.h), so equal logits and seed give equal tokens on every
 * machine. It allocates only in sampler_new and when the history grows. */
#include "engine/run/sample.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct cand { float logit; int32_t id; } cand;

typedef struct passes { float (*max)(const float *l, int n); double (*sum)(const float *l, int n, float max, float scale, float *out); } passes;

struct eng_sampler {
    int n;                         /* n_vocab */
    passes pass;                   /* for this processor; all give the same bits */
    uint64_t rng[4];
    int32_t *past;                 /* every accepted token */
    size_t n_past, cap_past;
    float *work;                   /* [n] logits after penalties, or weights */
    cand *heap;                    /* [n] */
    uint32_t *stamp;               /* [n] the round in which count was set */
    int32_t *count;                /* [n] */
    int32_t *seen;                 /* [n] different tokens of the window */
    uint32_t round;
    int n_seen;                    /* how many logits the penalties changed this time */
    const atomic_int *stop;        /* somebody waits for the end, or NULL */
    long pulls;
    float *masked;                 /* [n] logits of what a mask lets through, else -inf; NULL: there was none yet */
    struct sample_held *held;
};

static bool stopped(const eng_sampler *s) { return s->stop && atomic_load_explicit(s->stop, memory_order_relaxed); }

/* ---- random numbers: q_random, seeded by splitmix64 (Steele et al. 2014) ---- */
static void seed_rng(uint64_t r[4], uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r[i] = z ^ (z >> 31);
    }
}

static double uniform(uint64_t s[4]) { return (double)(q_random(s) >> 11) * 0x1p-53; }      /* [0, 1) with 53 bits */

/* ---- four lanes: what every x86-64 and aarch64 has in one register ---- */
enum { LANES = 4 };
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static vf load(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
static vf choose(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
static vf splat(float x) { return (vf){x, x, x, x}; }

/* e^x for x <= 0; below -87, and for NaN, about 1e-38. Range reduction and polynomial of Cephes' expf (Moshier):
 * relative error under 2e-7. */
static vf exp4(vf x)
{
    const vf magic = splat(12582912.0f);                   /* 1.5 * 2^23: adding it rounds to an integer */
    x = choose(x > splat(-87.0f), x, splat(-87.0f));
    vf n = (x * splat(1.44269504088896341f) + magic) - magic;
    vf r = x - n * splat(0.693359375f);
    r = r - n * splat(-2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * r * r + r + splat(1.0f);
    vi e = (__builtin_convertvector(n, vi) + 127) << 23;
    return p * (vf)e;
}

static float exp1(float x)
{
    vf v = exp4(splat(x));
    return v[0];
}

static passes passes_get(void)
{
#if defined(__x86_64__)
    if (q_isa() >= Q_ISA_AVX512) return (passes){sample_avx512_max, sample_avx512_sum};
    if (q_isa() >= Q_ISA_AVX2) return (passes){sample_avx2_max, sample_avx2_sum};
#endif
    return (passes){sample_base_max, sample_base_sum};
}

void sample_logprobs(const float *logits, int n_vocab, const int32_t *token, int n_row, double *out)
{
    passes pass = passes_get();
    for (int r = 0; r < n_row; r++, logits += n_vocab) {
        float most = pass.max(logits, n_vocab);
        out[r] = (double)logits[token[r]] - (double)most - log(pass.sum(logits, n_vocab, most, 1, NULL));
    }
}

/* The largest logit; its lowest index. NaN never wins; all NaN or -inf gives 0. */
static int32_t largest(const eng_sampler *s, const float *l)
{
    float best = s->pass.max(l, s->n);
    if (best == -INFINITY) return 0;
    int32_t i = 0;
    for (; i + LANES <= s->n; i += LANES) {                /* one test for four */
        vi m = load(l + i) == splat(best);
        int64_t any[2];
        memcpy(any, &m, sizeof any);
        if (any[0] | any[1]) break;
    }
    while (l[i] != best) i++;
    return i;
}

static double sum_exp(const eng_sampler *s, const float *l, float max, float scale, float *out)
{
    return s->pass.sum(l, s->n, max, scale, out);
}

/* ---- penalties ---- */
static const float *penalise(eng_sampler *s, const knob_values *v, const float *logits)
{
    float repeat = (float)v->repeat_penalty, frequency = (float)v->frequency_penalty, presence = (float)v->presence_penalty;
    bool none = repeat == 1 && frequency == 0 && presence == 0;
    size_t window = v->repeat_last_n < 0 || v->repeat_last_n > (double)s->n_past ? s->n_past : (size_t)v->repeat_last_n;
    s->n_seen = 0;
    if (none || window == 0) return logits;
    memcpy(s->work, logits, (size_t)s->n * sizeof *s->work);
    s->round++;
    int n = 0;
    for (size_t i = s->n_past - window; i < s->n_past; i++) {
        int32_t id = s->past[i];
        if (s->stamp[id] != s->round) { s->stamp[id] = s->round; s->count[id] = 0; s->seen[n++] = id; }
        s->count[id]++;
    }
    for (int i = 0; i < n; i++) {
        float *l = &s->work[s->seen[i]];
        if (repeat > 0) *l = *l > 0 ? *l / repeat : *l * repeat;
        *l -= (float)s->count[s->seen[i]] * frequency + presence;
    }
    s->n_seen = n;
    return s->work;
}

/* The largest after penalties. Where the raw largest was not touched only the touched ones can have passed it. */
static int32_t largest_penalised(const eng_sampler *s, const float *l, int32_t top)
{
    if (s->stamp[top] == s->round || !(l[top] > -INFINITY)) return largest(s, l);
    for (int i = 0; i < s->n_seen; i++) {
        int32_t id = s->seen[i];
        if (l[id] > l[top] || (l[id] == l[top] && id < top)) top = id;
    }
    return top;
}

/* ---- candidates ---- */
static bool above(cand a, cand b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

static void sift(cand *h, size_t n, size_t i)
{
    cand x = h[i];
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && above(h[c + 1], h[c])) c++;
        if (!above(h[c], x)) break;
        h[i] = h[c];
    }
    h[i] = x;
}

/* Tokens whose logit is at least `floor` (finite: what cannot come has -inf), as a heap with the largest on top. NaN is left out. */
static size_t gather(eng_sampler *s, const float *l, float floor)
{
    size_t n = 0;
    int i = 0;
    for (; i + LANES <= s->n; i += LANES) {               /* most blocks hold none: one test for four */
        vi m = load(l + i) >= splat(floor);
        int64_t any[2];
        memcpy(any, &m, sizeof any);
        if (!(any[0] | any[1])) continue;
        for (int k = 0; k < LANES; k++) if (l[i + k] >= floor) s->heap[n++] = (cand){l[i + k], i + k};
    }
    for (; i < s->n; i++) if (l[i] >= floor) s->heap[n++] = (cand){l[i], i};
    for (size_t k = n / 2; k-- > 0;) sift(s->heap, n, k);
    return n;
}

/* Takes the top of a heap of n; it comes to rest at h[n-1]. */
static cand pull(eng_sampler *s, size_t n)
{
    cand *h = s->heap, top = h[0];
    h[0] = h[n - 1];
    h[n - 1] = top;
    sift(h, n - 1, 0);
    s->pulls++;
    return top;
}

/* Everything may be drawn: no order is needed, ids in rising order. */
static eng_choice draw_all(eng_sampler *s, const float *l, float max, float temperature)
{
    double sum = sum_exp(s, l, max, 1 / temperature, s->work), at = uniform(s->rng) * sum;
    int32_t last = 0;
    for (int32_t i = 0; i < s->n; i++) {
        if (!(l[i] > -INFINITY)) continue;                 /* -inf and NaN have a weight of 1e-38, which is not 0 */
        last = i;
        at -= (double)s->work[i];
        if (at < 0) break;
    }
    return (eng_choice){last, 0, (float)((double)s->work[last] / sum)};
}

/* The unmodified logits, their largest, and the sum of e^(logit - largest). */
typedef struct raw { const float *l; float max; double sum; } raw;

/* Sum of e^(l - max) over the vocabulary: the raw sum with the few penalised terms exchanged, unless these
 * carried so much of it that the difference would be noise. */
static double mass_of(const eng_sampler *s, const float *l, float max, const raw *r)
{
    if (!(r->max - max < 4)) return sum_exp(s, l, max, 1, NULL);
    double mass = r->sum * exp((double)(r->max - max));
    for (int i = 0; i < s->n_seen; i++) {
        int32_t id = s->seen[i];
        mass += exp((double)(l[id] - max)) - exp((double)(r->l[id] - max));
    }
    return mass;
}

/* top: the largest, what a stop in the middle leaves to be chosen. */
static eng_choice draw(eng_sampler *s, const knob_values *v, const float *l, int32_t top, const raw *r)
{
    const eng_choice halted = {top, 0, 1};
    float max = l[top];
    size_t top_k = v->top_k > 0 && v->top_k < s->n ? (size_t)v->top_k : 0;
    float temperature = (float)v->temperature, share = (float)v->top_p, least = (float)v->min_p;
    double top_p = share > 0 ? (double)share : 0, min_p = least > 0 ? (least < 1 ? (double)least : 1) : 0;
    if (!top_k && top_p >= 1 && min_p <= 0) return draw_all(s, l, max, temperature);

    /* Mass that top_p is a share of: of the whole vocabulary, or of the top_k, known once they are pulled. */
    double mass = top_k ? 0 : mass_of(s, l, max, r);
    /* Widen the net until all that the filters can keep is in it. */
    double reach = min_p > 0 && min_p < 0.5 ? -log(min_p) : min_p > 0 ? 1 : 8;      /* never 0: it is doubled */
    size_t n;
    for (;; reach = reach < 64 ? reach * 2 : INFINITY) {
        float floor = reach == INFINITY ? -FLT_MAX : max - (float)reach - 1e-3f;
        if (stopped(s)) return halted;
        n = gather(s, l, floor);
        if (reach == INFINITY || (min_p > 0 && !top_k)) break;
        if (top_k) { if (n >= top_k) break; else continue; }
        double got = 0;
        for (size_t i = 0; i < n; i++) got += (double)exp1(s->heap[i].logit - max);
        if (got >= top_p * mass) break;
    }
    size_t pulled = 0, want = top_k && top_k < n ? top_k : n;
    if (top_k) {                                       /* cut short by a stop: the loop below sees it too */
        for (; pulled < want && !stopped(s); pulled++) mass += (double)exp1(pull(s, n - pulled).logit - max);
    }
    /* Pulled tokens lie from the end of the heap downwards: the i-th best at heap[n - 1 - i]. */
    double cum = 0;
    size_t kept = 0;
    while (kept < want) {
        if (stopped(s)) return halted;
        if (kept == pulled) { pull(s, n - pulled); pulled++; }
        cand c = s->heap[n - 1 - kept];
        double w = (double)exp1(c.logit - max);
        if (kept && w < min_p) break;
        kept++;
        cum += w;
        if (cum >= top_p * mass) break;
    }
    double sum = 0;
    float inv = 1 / temperature;
    for (size_t i = 0; i < kept; i++) sum += (double)exp1((s->heap[n - 1 - i].logit - max) * inv);
    double at = uniform(s->rng) * sum, w = 0;
    cand c = s->heap[n - 1];
    for (size_t i = 0; i < kept; i++) {
        c = s->heap[n - 1 - i];
        w = (double)exp1((c.logit - max) * inv);
        at -= w;
        if (at < 0) break;
    }
    return (eng_choice){c.id, 0, (float)(w / sum)};
}

/* ---- a mask ---- */
static bool in(const uint64_t *mask, int32_t id) { return mask[id / 64] >> id % 64 & 1; }

static const float *let_through(eng_sampler *s, const float *l, const uint64_t *mask)
{
    if (!s->masked) s->masked = q_alloc(((size_t)s->n + 64) * sizeof *s->masked);
    for (int i = 0; i < s->n; i += 64) {
        uint64_t m = mask[i / 64];
        float *to = s->masked + i;
        if (m == UINT64_MAX && i + 64 <= s->n) { memcpy(to, l + i, 64 * sizeof *l); continue; }
        for (int k = 0; k < 64; k += LANES) { vf none = splat(-INFINITY); memcpy(to + k, &none, sizeof none); }
        for (; m; m &= m - 1) {                            /* bits beyond the vocabulary are 0 */
            int k = __builtin_ctzll(m);
            if (i + k < s->n) to[k] = l[i + k];
        }
    }
    return s->masked;
}

/* The first token that the mask lets through, or -1. */
static int32_t first_in(const eng_sampler *s, const uint64_t *mask)
{
    for (int32_t i = 0; i < s->n; i += 64)
        if (mask[i / 64]) {
            int32_t id = i + __builtin_ctzll(mask[i / 64]);
            return id < s->n ? id : -1;
        }
    return -1;
}

/* A logit that does not count, or none that does: still a number. */
static float own_logprob(float logit, float max, double sum)
{
    float p = (float)((double)(logit - max) - log(sum));
    return p >= -FLT_MAX ? p : -FLT_MAX;
}

eng_choice sampler_pick_among(eng_sampler *s, const knob_values *v, const float *logits, const uint64_t *mask)
{
    int32_t top = largest(s, logits);
    float own_max = logits[top];
    double own_sum = sum_exp(s, logits, own_max, 1, NULL);
    raw r = {logits, own_max, own_sum};
    if (mask) {
        if (first_in(s, mask) < 0) return (eng_choice){-1, 0, 0};
        r.l = let_through(s, logits, mask);
        top = largest(s, r.l);
        r.max = r.l[top];
        r.sum = sum_exp(s, r.l, r.max, 1, NULL);
    }
    const float *l = penalise(s, v, r.l);
    if (l != r.l) top = largest_penalised(s, l, top);
    if (mask && !in(mask, top)) top = first_in(s, mask);   /* none of them has a logit that counts */
    eng_choice c = {top, 0, 1};
    /* Below this temperature the scaled logits overflow; the draw would be greedy anyway. */
    if ((float)v->temperature > 1e-4f && l[top] > -INFINITY && l[top] < INFINITY) c = draw(s, v, l, top, &r);
    c.logprob = own_logprob(logits[c.token], own_max, own_sum);
    return c;
}

float sampler_logprob(const eng_sampler *s, const float *logits, int32_t token)
{
    float max = logits[largest(s, logits)];
    return own_logprob(logits[token], max, sum_exp(s, logits, max, 1, NULL));
}

int sampler_likeliest(const eng_sampler *s, const float *logits, eng_choice *out, int max)
{
    int n = 0;
    float own_max = logits[largest(s, logits)], least = -INFINITY;
    double own_sum = max > 0 ? sum_exp(s, logits, own_max, 1, NULL) : 1;
    for (int32_t t = 0; t < s->n && max > 0; t++) {
        if (!(n == max ? logits[t] > least : logits[t] >= -FLT_MAX)) continue;
        int at = n < max ? n++ : max - 1;
        for (; at > 0 && logits[out[at - 1].token] < logits[t]; at--) out[at] = out[at - 1];
        out[at] = (eng_choice){t, 0, 0};
        least = logits[out[n - 1].token];
    }
    for (int i = 0; i < n; i++) out[i].logprob = own_logprob(logits[out[i].token], own_max, own_sum);
    return n;
}

eng_choice sampler_pick(eng_sampler *s, const knob_values *v, const float *logits) { return sampler_pick_among(s, v, logits, NULL); }

/* ---- life ---- */
eng_sampler *sampler_new(int n_vocab)
{
    eng_sampler *s = q_alloc(sizeof *s);
    size_t n = (size_t)(n_vocab > 0 ? n_vocab : 1);
    s->n = (int)n;
    s->pass = passes_get();
    s->work = q_alloc(n * sizeof *s->work);
    s->heap = q_alloc(n * sizeof *s->heap);
    s->stamp = q_alloc(n * sizeof *s->stamp);
    s->count = q_alloc(n * sizeof *s->count);
    s->seen = q_alloc(n * sizeof *s->seen);
    seed_rng(s->rng, 0);
    return s;
}

void sampler_free(eng_sampler *s)
{
    if (!s) return;
    free(s->masked);
    free(s->past);
    free(s->work);
    free(s->heap);
    free(s->stamp);
    free(s->count);
    free(s->seen);
    free(s);
}

void sampler_reset(eng_sampler *s, const knob_values *v)
{
    seed_rng(s->rng, (uint64_t)v->seed);
    s->n_past = 0;
}

struct sample_held **sampler_held(eng_sampler *s) { return &s->held; }
void sampler_watch(eng_sampler *s, const atomic_int *stop) { s->stop = stop; }
long sampler_pulls(const eng_sampler *s) { return s->pulls; }

void sampler_accept(eng_sampler *s, int32_t token)
{
    if (token < 0 || token >= s->n) return;
    if (s->n_past == s->cap_past) {
        s->cap_past = s->cap_past ? s->cap_past * 2 : 1024;
        s->past = q_realloc(s->past, s->cap_past * sizeof *s->past);
    }
    s->past[s->n_past++] = token;
}

/* ---- stop strings ---- */
/* The next item of a list: escapes undone, its letters in b. False at the end. */
static bool next_stop(const char **at, q_buf *b)
{
    q_buf_clear(b);
    if (!**at) return false;
    for (; **at && **at != ','; (*at)++) {
        char c = **at;
        if (c == '\\' && (*at)[1]) {
            c = *++*at;
            if (c == 'n') c = '\n';
            else if (c == 't') c = '\t';
            else if (c == 'r') c = '\r';
            else if (c == 's') c = ' ';
        }
        q_buf_putc(b, c);
    }
    if (**at) (*at)++;
    return true;
}

typedef struct scan { const char *text; size_t n; size_t found, partial; } scan;

static void look_for(scan *s, const char *w, size_t n)
{
    if (n == 0) return;
    const char *hit = s->n >= n ? memmem(s->text, s->n, w, n) : NULL;
    if (hit && (size_t)(hit - s->text) < s->found) s->found = (size_t)(hit - s->text);
    for (size_t k = n - 1 < s->n ? n - 1 : s->n; k > s->partial; k--)
        if (memcmp(s->text + s->n - k, w, k) == 0) s->partial = k;
}

long sampling_stop(const char *list, const char *also, const char *text, size_t n)
{
    scan s = {text, n, SIZE_MAX, 0};
    q_buf b = {0};
    for (const char *at = list ? list : ""; next_stop(&at, &b);) look_for(&s, b.p ? b.p : "", b.len);
    if (also) look_for(&s, also, strlen(also));
    q_buf_free(&b);
    return s.found != SIZE_MAX ? -1 - (long)s.found : (long)s.partial;
}
