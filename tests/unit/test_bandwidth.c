/* Measuring read bandwidth: every pattern reads every number, the best pass counts, and a bound that was passed is
 * none. Clocks and measurements are scripted: nothing here depends on how fast the machine is. */
#include "kernels/cpu/bandwidth.h"
#include "kernels/cpu/peak.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <sys/mman.h>

/* The largest number is found wherever it lies: nothing is left out, whatever the pattern, the length, the threads. */
static void every_number_is_read(void)
{
    static const int64_t lengths[] = { 16, 1000, 16384, 65536 + 48, 300000, 1 << 19 };
    float *data = aligned_alloc(64, sizeof(float) * (1 << 19));
    for (int threads = 1; threads <= 3; threads += 2) {
        pool *p = pool_new(threads);
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            int64_t n = lengths[l];
            for (int64_t i = 0; i < n; i++) data[i] = (float)(i % 1000);
            for (int i = 0; i < BANDWIDTH_PATTERNS; i++)
                for (int k = 0; k < 24; k++) {
                    int64_t at = k == 0 ? 0 : k == 1 ? n - 1 : (int64_t)((uint64_t)k * 2654435761u % (uint64_t)n);
                    float keep = data[at];
                    data[at] = 5000;
                    float most = bandwidth_pass(p, &bandwidth_patterns[i], data, n);
                    CHECK_MSG(most == 5000, "pattern %d, %lld numbers, %d threads: %lld was not read", i, (long long)n, threads, (long long)at);
                    data[at] = keep;
                }
        }
        pool_free(p);
    }
    free(data);
}

/* Bits that are no numbers (a model's own pages hold anything) disturb nothing. */
static void any_bytes_can_be_read(void)
{
    pool *p = pool_new(2);
    uint32_t *bits = aligned_alloc(64, 4 << 16);
    for (int i = 0; i < 1 << 16; i++) bits[i] = i % 3 == 0 ? 0x7fc00001u : i % 3 == 1 ? 0xffffffffu : 1u;
    float most = 7;
    memcpy(&bits[40000], &most, 4);
    for (int i = 0; i < BANDWIDTH_PATTERNS; i++) CHECK(bandwidth_pass(p, &bandwidth_patterns[i], (const float *)(const void *)bits, 1 << 16) == 7);
    free(bits);
    pool_free(p);
}

typedef struct script { int64_t now; int calls, best_at; } script;

/* Each pass takes 1000 ns, but one takes 100. */
static int64_t scripted(void *user)
{
    script *s = user;
    int pass = s->calls++ / 2;
    if (s->calls % 2 == 0) s->now += pass == s->best_at ? 100 : 1000;
    return s->now;
}

static void the_best_pass_counts(void)
{
    pool *p = pool_new(2);
    float *data = aligned_alloc(64, 4096);
    for (int i = 0; i < 1000; i++) data[i] = 1;
    for (int at = -1; at < BANDWIDTH_PATTERNS * BANDWIDTH_ROUNDS; at++) {
        script s = { .best_at = at };
        double rate = bandwidth_best(p, data, 1000, scripted, &s);
        CHECK_MSG(fabs(rate - 4000 / (at < 0 ? 1000e-9 : 100e-9)) < 1, "pass %d: %g", at, rate);
        CHECK_INT(s.calls, 2 * BANDWIDTH_PATTERNS * BANDWIDTH_ROUNDS);
    }
    script s = { .best_at = -1 };
    CHECK(bandwidth_best(p, data, 0, scripted, &s) == 0);
    CHECK(ker_cpu_read_bandwidth(2, NULL, 0) == 0);
    CHECK(ker_cpu_read_bandwidth(2, data, 4000) > 0);
    CHECK(ker_cpu_read_bandwidth(1, NULL, 4096) > 0);
    free(data);
    pool_free(p);
}

/* A product reads whole rows of whatever is there, and counts as one more pass. */
static void products_count_too(void)
{
    enum { BYTES = 8 << 20 };
    pool *p = pool_new(2);
    uint32_t *bits = aligned_alloc(64, BYTES);
    for (int i = 0; i < BYTES / 4; i++) bits[i] = (uint32_t)q_mix64(1, (uint64_t)i);
    CHECK_INT(bandwidth_product(p, KER_Q8_0, bits, BYTES), BYTES / (2048 / 32 * 34) * (2048 / 32 * 34));
    CHECK_INT(bandwidth_product(p, KER_Q6_K, bits, 4000), 2048 / 256 * 210 * 2);
    script s = { .best_at = -1 };
    double rate = bandwidth_best(p, (const float *)(const void *)bits, BYTES / 4, scripted, &s);
    CHECK_MSG(fabs(rate - BYTES / 1000e-9) < 1, "%g", rate);
    bool plain = !strcmp(ker_cpu_features(), "scalar");
    CHECK_INT(s.calls, 2 * (BANDWIDTH_PATTERNS + (plain ? 0 : 2)) * BANDWIDTH_ROUNDS);
    free(bits);
    pool_free(p);
}

/* Lines that are whole are read and nothing beside them: what follows the data may not be there. */
static void nothing_beside_it_is_read(void)
{
    enum { PAGE = 65536 };
    uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
    for (size_t bytes = 1; bytes <= 300; bytes++) {
        double rate = ker_cpu_read_bandwidth(1, p + PAGE - bytes, bytes);
        CHECK_MSG((rate > 0) == (bytes >= 64), "%zu bytes: %g", bytes, rate);
    }
    CHECK(ker_cpu_read_bandwidth(1, p + 1, 64) == 0 && ker_cpu_read_bandwidth(1, p + 64, 64) > 0);
    munmap(p, 2 * PAGE);
}

typedef struct shown { const double *v; int n; } shown;
static double next_value(void *user)
{
    shown *s = user;
    return s->v[s->n++];
}

static void a_bound_or_nothing(void)
{
    static const struct { double v[6]; double reached, want; int tries; } cases[] = {
        { { 30, 20, 90, 90, 90, 90 }, 22, 30, 2 },     /* the first would do; a second look all the same */
        { { 17, 19, 30, 90, 90, 90 }, 22, 30, 3 },     /* until it is one */
        { { 17, 19, 18, 17, 19, 21 }, 22, 0, 6 },      /* passed by decode itself: nothing */
        { { 17, 19, 18, 17, 19, 22 }, 22, 22, 6 },
        { { 0, 0, 0, 0, 0, 0 }, 0, 0, 2 },             /* nothing reached, nothing measured */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shown s = { cases[i].v, 0 };
        double got = ker_roofline(cases[i].reached, 6, next_value, &s);
        CHECK_MSG(got == cases[i].want && s.n == cases[i].tries, "case %d: %g after %d", (int)i, got, s.n);
        CHECK(got == 0 || got >= cases[i].reached);
    }
}

/* What products reach is never above it, on any path that has one; a thread of a pool more is not less. */
static void products_stay_below_the_peak(void)
{
    for (int i = 0; ker_cpu_path(i); i++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
        pool *one = pool_new(1);
        double best = 0, reached = 0;
        for (int k = 0; k < 3 || (k < 60 && reached >= best); k++) {      /* other programs only ever slow down */
            double now = peak_madds(one, .01), madds = ker_cpu_madds(1, .01);
            best = now > best ? now : best;
            reached = madds > reached ? madds : reached;
        }
        pool_free(one);
        CHECK_MSG(i || best == 0, "scalar: %g", best);
        CHECK_MSG(best == 0 || best > 1e9, "%s: %g", ker_cpu_path(i), best);
        CHECK_MSG(best == 0 || reached < best, "%s: %g of %g", ker_cpu_path(i), reached, best);
    }
    ker_cpu_force(NULL);
}

int main(void)
{
    RUN(products_stay_below_the_peak);
    RUN(every_number_is_read);
    RUN(any_bytes_can_be_read);
    RUN(the_best_pass_counts);
    RUN(products_count_too);
    RUN(nothing_beside_it_is_read);
    RUN(a_bound_or_nothing);
    return TEST_END();
}
