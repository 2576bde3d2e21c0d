/* Recurrent layers on the emulated GPU beside the CPU's: their parts on random models, rows of several sequences in one batch, a state
 * after each row, states that go from one device to the other, and that a state which is read stays what it was. Without a C++ compiler
 * there is no emulator: all is skipped. */
#include "kernels/made.h"
#include "tests/on_device.h"
#include "tests/test.h"

#include <math.h>

enum { ROWS = 24, CELLS = 6 * KER_PAGE, STATES = 8, NEAR = 3 /* pages of a sequence */ };

static const ker_backend *gpu;
static const emu_api_table *emu;
static char err[Q_ERRLEN];
static const int none[] = { 0 };
/* Values in more than one block, the last of them half full; keys that no warp's share divides; the same by blocks, as files have it. */
static const made_shape shapes[] = {
    { "floats", 96, 4, 1, 40, 16, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_SH_ROUTER | MADE_HALF | MADE_DELTA, KER_GATE_SOFTMAX, 1, 0, none },
    { "paired", 96, 4, 1, 64, 16, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF | MADE_DELTA | MADE_PAIRED, KER_GATE_SOFTMAX, 1, 0, none },
    { "norms after parts", 96, 4, 1, 64, 16, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF | MADE_DELTA | MADE_PAIRED | MADE_POST, KER_GATE_SOFTMAX, 1, 0, none },
    { "long keys", 64, 2, 1, 160, 16, 7, 64, 32, 96, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF | MADE_DELTA | MADE_PAIRED, KER_GATE_SOFTMAX, 1, 0, none },
};

typedef struct pair { made_model *m; made_side s[2]; size_t floats; float *f[2]; double near; } pair;

static bool pair_open(pair *p, const made_shape *s, int type)
{
    const ker_backend *b[2] = { ker_cpu(), gpu };
    int rc = 0;
    /* Where rows become whole numbers, one in the last place is another whole number, or another expert, further on. */
    *p = (pair){ .m = made_new(s, type, 1), .near = type == KER_F32 ? 1e-4 : 5e-2 };
    for (int i = 0; i < 2 && !rc; i++) {
        rc = made_open(&p->s[i], b[i], 0, p->m, ROWS, CELLS, err);
        for (int n = 2; n < STATES && !rc; n++) rc = b[i]->state_new(p->s[i].kv, err) == n + 1 ? 0 : Q_ERR;
    }
    CHECK_MSG(!rc, "%s: %d %s", s->name, rc, err);
    p->floats = (size_t)ker_state_floats(&p->m->m);
    for (int i = 0; i < 2; i++) p->f[i] = q_alloc(sizeof(float) * p->floats);
    return !rc;
}

static void pair_close(pair *p)
{
    for (int i = 0; i < 2; i++) {
        made_close(&p->s[i]);
        free(p->f[i]);
    }
    made_free(p->m);
}

static double gap(const float *a, const float *b, size_t n)
{
    double most = 0, size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        most = d > most || isnan(d) ? d : most;
        size = fmax(size, fabs((double)b[i]));
    }
    return most / size;
}

/* Rows of two sequences, `n` of them in turn (b's is every third), from cells a and b on; or of one alone (b < 0). */
static void both(pair *p, int n, int a, int b, const ker_seq *of, const char *what)
{
    int32_t token[ROWS], cell[ROWS], page[2][NEAR];
    int16_t seq[ROWS];
    uint8_t want[ROWS];
    int at[2] = { a, b };
    ker_seq seqs[2] = { of[0], of[b >= 0] };
    for (int i = 0; i < 2 * NEAR; i++) page[i / NEAR][i % NEAR] = (i * 5 + 1) % (2 * NEAR);
    for (int i = 0; i < 2; i++) {
        seqs[i].page = page[i];
        seqs[i].n_page = NEAR;
    }
    for (int i = 0; i < n; i++) {
        seq[i] = b >= 0 && i % 3 == 1;
        cell[i] = at[seq[i]]++;
        token[i] = (cell[i] * 7 + seq[i] * 3 + 1) % 64;
        want[i] = KER_WANT_LOGITS;
    }
    ker_batch batch = { .n = n, .token = token, .pos = cell, .cell = cell, .seq = seq, .want = want, .seqs = seqs, .n_seq = 1 + (b >= 0) };
    int rc = made_pass(&p->s[0], p->m, &batch, err);
    if (!rc) rc = made_pass(&p->s[1], p->m, &batch, err);
    CHECK_MSG(!rc, "%s, %s: %d %s", p->m->what, what, rc, err);
    if (rc) return;
    double off = gap(p->s[1].out.logits, p->s[0].out.logits, (size_t)n * 64);
    CHECK_MSG(off < p->near, "%s, %s: logits off by %.3g", p->m->what, what, off);
}

static void same_state(pair *p, int state, const char *what)
{
    int rc = 0;
    for (int i = 0; i < 2 && !rc; i++) rc = p->s[i].b->state_save(p->s[i].kv, state, p->f[i]);
    double off = rc ? 0 : gap(p->f[1], p->f[0], p->floats);
    CHECK_MSG(!rc && off < 1e-4, "%s, %s: state %d: %d, off by %.3g", p->m->what, what, state, rc, off);
}

static void one_model(const made_shape *s, int type)
{
    pair p;
    if (pair_open(&p, s, type)) {
        both(&p, 20, 0, 0, (ker_seq[]){ { .state_to = 1 }, { .state_to = 2 } }, "two texts begin");
        same_state(&p, 1, "two texts begin");
        same_state(&p, 2, "two texts begin");
        both(&p, 7, 14 - 1, 7, (ker_seq[]){ { .state_from = 1, .state_to = 3 }, { .state_from = 2, .state_to = 4 } }, "few rows of both");
        same_state(&p, 3, "few rows of both");
        same_state(&p, 4, "few rows of both");
        /* The state after each row, of few and of many; one is not wanted. What was read is what it was. */
        float *was = q_alloc(sizeof(float) * p.floats);
        CHECK_INT(gpu->state_save(p.s[1].kv, 1, was), 0);
        both(&p, 4, 13, -1, (ker_seq[]){ { .state_from = 1, .state_to = 5, .state_each = (int32_t[]){ 6, 0, 7, 0 } } }, "a state a row");
        for (int i = 5; i <= 7; i++) same_state(&p, i, "a state a row");
        both(&p, 12, 13, -1, (ker_seq[]){ { .state_from = 1, .state_to = 5, .state_each = (int32_t[]){ 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0 } } }, "a state a row of many");
        for (int i = 5; i <= 7; i++) same_state(&p, i, "a state a row of many");
        CHECK_INT(gpu->state_save(p.s[1].kv, 1, p.f[1]), 0);
        CHECK_MSG(!memcmp(was, p.f[1], sizeof(float) * p.floats), "%s: a state that was read is another one", p.m->what);
        free(was);
        /* The GPU's to the CPU, and it goes on there. */
        CHECK_INT(gpu->state_save(p.s[1].kv, 7, p.f[1]), 0);
        CHECK_INT(ker_cpu()->state_load(p.s[0].kv, 8, p.f[1]), 0);
        CHECK_INT(gpu->state_load(p.s[1].kv, 8, p.f[1]), 0);
        both(&p, 1, 24, -1, (ker_seq[]){ { .state_from = 8, .state_to = 2 } }, "from a state that was loaded");
        same_state(&p, 2, "from a state that was loaded");
        both(&p, 2, 24, -1, (ker_seq[]){ { .state_from = 8 } }, "a state that nobody wants");
        p.f[1][3] = NAN;
        CHECK_INT(gpu->state_load(p.s[1].kv, 8, p.f[1]), Q_FORMAT);
        CHECK_INT(gpu->state_save(p.s[1].kv, 8, p.f[1]), Q_FORMAT);
        CHECK_INT(gpu->state_save(p.s[1].kv, STATES + 1, p.f[1]), Q_RANGE);
    }
    pair_close(&p);
}

static void states_are_the_cpus(void)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) one_model(&shapes[i], KER_F32);
    one_model(&shapes[0], KER_Q8_0);
    one_model(&shapes[1], KER_Q8_0);
    one_model(&shapes[2], KER_Q8_0);
}

/* One that is not there, or was freed; a number that is free is given again. */
static void no_such_state(void)
{
    pair p;
    if (pair_open(&p, &shapes[0], KER_F32)) {
        int32_t token = 1, at = 0, page[1] = { 0 };
        ker_seq seq = { .page = page, .n_page = 1, .state_to = STATES + 1 };
        ker_batch b = { .n = 1, .token = &token, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1 };
        CHECK_INT(gpu->begin(p.s[1].ctx, p.s[1].kv, &b, err), Q_RANGE);
        CHECK_MSG(strstr(err, "no such state") != NULL, "%s", err);
        gpu->state_free(p.s[1].kv, 3);
        seq.state_to = 3;
        CHECK_INT(gpu->begin(p.s[1].ctx, p.s[1].kv, &b, err), Q_RANGE);
        CHECK_INT(gpu->state_new(p.s[1].kv, err), 3);
        CHECK_INT(made_pass(&p.s[1], p.m, &b, err), 0);
        gpu->state_free(p.s[1].kv, 0);
        emu->fail("cudaMalloc", 1);
        CHECK_INT(gpu->state_new(p.s[1].kv, err), Q_NOMEM);
        emu->fail(NULL, 0);
    }
    pair_close(&p);
}

/* Launches of a token: a recurrent layer that is dense, then a routed one with gated attention; embedding, trace and head beside. */
static void launches_of_a_token(void)
{
    static const struct { int shape, most; } of[] = { { 0, 16 }, { 1, 16 } };
    for (int i = 0; i < 2; i++) {
        pair p;
        emu_stats s;
        if (pair_open(&p, &shapes[of[i].shape], KER_Q8_0)) {
            int32_t token = 1, page[1] = { 0 };
            for (int at = 0; at < 3; at++) {
                ker_seq seq = { .page = page, .n_page = 1, .state_from = at ? 1 + at % 2 : 0, .state_to = 2 - at % 2 };
                ker_batch b = { .n = 1, .token = &token, .pos = &at, .cell = &at, .seqs = &seq, .n_seq = 1, .phase = 1 };
                emu->reset();
                CHECK_MSG(!made_pass(&p.s[1], p.m, &b, err), "%s", err);
            }
            emu->stats(&s);
            printf("# %s: %llu launches in %llu graph\n", p.m->what, (unsigned long long)s.launches, (unsigned long long)s.graph_launches);
            CHECK_MSG(s.launches <= (uint64_t)of[i].most, "%llu launches", (unsigned long long)s.launches);
            CHECK_INT(s.graph_launches, 1);
            CHECK_INT(s.mallocs + s.host_mallocs, 0);
        }
        pair_close(&p);
    }
}

static int parts, recurrent;
static void on_row(void *user, const ker_proof *p)
{
    CHECK_MSG(p->ok, "%s, %s, %d rows: off by %.3g, at most %.3g", p->model, _(p->part), p->rows, p->off, p->limit);
    parts++;
    recurrent += !strncmp(p->model, "recurrent", 9);
}

/* Adapters on all of their matrices too. */
static void parts_are_the_cpus(void)
{
    CHECK_MSG(!ker_prove(gpu, 0, getenv("QUORUM_LONG") ? KER_PROVE_SMALL : KER_PROVE_FEW, on_row, NULL, err), "%s", err);
    CHECK(parts > 100 && recurrent > 30);
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_delta", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    RUN(states_are_the_cpus);
    RUN(no_such_state);
    RUN(launches_of_a_token);
    RUN(parts_are_the_cpus);
    return TEST_END();
}
