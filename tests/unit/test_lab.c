/* lab: the arithmetic of what is usual and what is strange, on routers made by chance. No model, no clock. */
#include "lab/parts.h"
#include "memory/memory.h"
#include "tests/test.h"

enum { L = 4, N = 16, KK = 4, K_MAX = 8 };
static uint64_t state = 88172645463325252ull;
static unsigned rnd(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

/* k distinct experts by chance; expert 7 always first in odd_layer. */
static void draw(uint16_t ids[L + 1][KK], int odd_layer)
{
    for (int s = 0; s < KK; s++)
        ids[0][s] = LAB_NONE;            /* layer 0 is dense */
    for (int l = 1; l <= L; l++) {
        bool used[N] = { false };
        for (int s = 0; s < KK; s++) {
            unsigned e;
            if (l == odd_layer && s == 0)
                e = 7;
            else
                do
                    e = rnd(N);
                while (used[e]);
            if (used[e]) {
                s--;
                continue;
            }
            used[e] = true;
            ids[l][s] = (uint16_t)e;
        }
    }
}

static const lab_shape shape = { L + 1, 1, L, N };
static void add(lab_window *r, uint16_t ids[L + 1][KK], bool learn)
{
    window_add(r, &(lab_position){ .n_layer = L + 1, .max_k = KK, .ids = ids[0] }, learn);
}

static void chance_is_quiet_and_signs_show(void)
{
    lab_usual *u = usual_new("", L, N);
    lab_window r = { 0 };
    lab_view o = { 0 };
    uint16_t ids[L + 1][KK];
    window_shape(&r, &shape, KK);
    r.by.u = u;
    int odd = 0, cells = 0;
    double strange = 0;
    for (int i = 0; i < 3000; i++) {
        draw(ids, -1);
        add(&r, ids, true);
        if (i > 300 && i % 100 == 0) {
            window_view(&r, &o);
            for (int c = 0; c < L * N; c++, cells++)
                odd += o.cell[c].dev != 0;
            for (int l = 0; l < L; l++)
                strange += o.strange[l];
        }
    }
    CHECK_MSG(odd * 40 < cells, "%d of %d cells cry wolf by chance", odd, cells);
    strange /= 27. * L;
    window_view(&r, &o);
    CHECK_MSG(strange > .1 && strange < .3, "strange of chance is %g", strange);
    CHECK_MSG(fabsf(o.repeat - .25f) < .08f && fabsf(o.repeat_chance - .25f) < .02f, "repeat %g, chance %g", (double)o.repeat, (double)o.repeat_chance);
    CHECK(o.first_layer == 1 && o.k == KK && o.learned == 3000 && isnan(o.mean_entropy));
    for (int l = 0; l < L; l++) {
        float sum = 0;
        for (int e = 0; e < N; e++)
            sum += o.cell[l * N + e].usual;
        CHECK_MSG(fabsf(sum - KK) < .01f, "usual rates sum to %g", (double)sum);
    }
    /* Expert 7 of layer 3 now runs for every token. */
    for (int i = 0; i < 40; i++) {
        draw(ids, 3);
        add(&r, ids, false);
    }
    window_view(&r, &o);
    CHECK_INT(o.cell[2 * N + 7].dev, 2);
    CHECK(o.n_odd > 0 && o.odd[0].layer == 3 && o.odd[0].expert == 7 && o.odd[0].ratio > 2.5f);
    CHECK(o.strange[2] > o.strange[0] && o.strange[2] > o.strange[1] && o.strange[2] > .5f);
    CHECK(o.cell[2 * N + 7].now);
    lab_view_free(&o);
    window_free(&r);
    usual_free(u);
}

static void little_data_says_nothing(void)
{
    lab_usual *u = usual_new("", L, N);
    lab_window r = { 0 };
    lab_view o = { 0 };
    uint16_t ids[L + 1][KK];
    window_shape(&r, &shape, KK);
    r.by.u = u;
    for (int i = 0; i < 3; i++) {
        draw(ids, 2);
        add(&r, ids, true);
    }
    window_view(&r, &o);
    CHECK_INT(o.n_odd, 0);
    for (int e = 0; e < N; e++)          /* shrunk to k / N */
        CHECK(fabsf(o.cell[e].usual - .25f) < .06f);
    lab_view_free(&o);
    window_free(&r);
    usual_free(u);
}

static void usual_rates_survive_text(void)
{
    lab_usual *u = usual_new("", L, N), *v = usual_new("", 0, 0);
    for (int i = 0; i < L * N; i++)
        u->mean[i] = (float)i / (L * N);
    u->n = 300;
    char *t = usual_text(u);
    CHECK(usual_parse(v, t));
    CHECK(v->n_layer == L && v->n_expert == N && v->n == 300);
    for (int i = 0; i < L * N; i++)
        CHECK(fabsf(v->mean[i] - u->mean[i]) < 2e-5f);
    t[strlen(t) - 1] = 0;
    CHECK(!usual_parse(v, t));
    CHECK(!usual_parse(v, "1 99999 99999 5 ffff") && !usual_parse(v, "") && !usual_parse(v, "1 1 1 5 zzzz"));
    free(t);
    usual_free(u);
    usual_free(v);
}

static void bending_keeps_its_promises(void)
{
    for (int round = 0; round < 2000; round++) {
        double rate[N], was[N];
        float odds[N];
        int pins = 0, bans = 0;
        for (int e = 0; e < N; e++) {
            was[e] = rate[e] = rnd(10) == 0 ? rnd(2) : rnd(1001) / 1000.;
            unsigned kind = rnd(12);
            odds[e] = kind == 0 ? 0 : kind == 1 ? INFINITY : kind == 2 ? 8 : 1;
            pins += kind == 1;
            bans += kind == 0;
        }
        double k = rnd(N * 10) / 10., sum = 0, want = k < pins ? pins : k > N - bans ? N - bans : k;
        usual_bend(rate, odds, N, k);
        bool in = true;
        for (int e = 0; e < N; e++) {
            in &= rate[e] >= 0 && rate[e] <= 1 && (odds[e] != 0 || rate[e] == 0) && (!isinf(odds[e]) || rate[e] == 1);
            for (int f = 0; f < N; f++)
                in &= !(odds[e] == 1 && odds[f] == 1 && was[e] > was[f] && rate[e] < rate[f]);
            sum += rate[e];
        }
        CHECK_MSG(in && fabs(sum - want) < 1e-3, "round %d: k %g, sum %g, in range and order: %d", round, want, sum, in);
    }
}

/* ---- a router: a leaning of each expert, and normal noise that lasts for some tokens ---- */
typedef struct router { double lean[L][N], noise[L][N]; uint16_t ids[(L + 1) * K_MAX]; } router;
static double normal(void)
{
    double s = 0;
    for (int i = 0; i < 12; i++)
        s += rnd(1 << 20) / (double)(1 << 20);
    return s - 6;
}

static void router_new(router *g, uint64_t seed)
{
    state = seed;
    for (int l = 0; l < L; l++)
        for (int e = 0; e < N; e++)
            g->lean[l][e] = normal(), g->noise[l][e] = normal();
    for (int i = 0; i < (L + 1) * K_MAX; i++)
        g->ids[i] = LAB_NONE;
}

/* odds as a ruler has them: what is banned, pinned, biased. */
static void route(router *g, int k, const float *odds)
{
    for (int l = 0; l < L; l++) {
        double s[N];
        for (int e = 0; e < N; e++) {
            g->noise[l][e] = .6 * g->noise[l][e] + .8 * normal();
            float o = odds ? odds[l * N + e] : 1;
            s[e] = o == 0 ? -INFINITY : isinf(o) ? INFINITY : g->lean[l][e] + 1.7 * g->noise[l][e] + log((double)o);
        }
        for (int i = 0; i < K_MAX; i++) {
            int best = -1;
            for (int e = 0; e < N && i < k; e++)
                if (s[e] > -INFINITY && !isnan(s[e]) && (best < 0 || s[e] > s[best]))
                    best = e;
            g->ids[(l + 1) * K_MAX + i] = best < 0 ? LAB_NONE : (uint16_t)best;
            if (best >= 0)
                s[best] = NAN;
        }
    }
}

static void run(lab_watch *w, router *g, int tokens, int k, const float *odds, uint64_t hash)
{
    for (int i = 0; i < tokens; i++) {
        route(g, k, odds);
        lab_watch_add(w, &(lab_position){ .config = hash, .n_layer = L + 1, .max_k = K_MAX, .ids = g->ids });
    }
}

static void configure(lab_watch *w, int k, const char *json, uint64_t hash)
{
    char text[8];
    snprintf(text, sizeof text, "%d", k);
    lab_watch_config(w, &shape, &(lab_how){ .model = 1, .hash = hash, .k = text, .k_default = "4", .k_max = k, .config = json });
}

/* Mean of z's sign over many looks, as a person has them. */
static void look(lab_watch *w, router *g, int k, const float *odds, uint64_t hash, double *odd, double *strange)
{
    lab_view o = { 0 };
    int looks = 40, cells = 0, n = 0;
    *strange = 0;
    for (int i = 0; i < looks; i++) {
        run(w, g, 25, k, odds, hash);
        lab_watch_get(w, &o);
        for (int c = 0; c < L * N; c++, cells++)
            n += o.cell[c].dev != 0;
        for (int l = 0; l < L; l++)
            *strange += o.strange[l] / (double)(L * looks);
    }
    *odd = (double)n / cells;
    lab_view_free(&o);
}

/* What a person banned, pinned or leaned on is not strange, and neither is what others do about it. */
static void bent_is_not_strange(void)
{
    static const struct { const char *json; int what[3][2]; float odds; } bent[] = {
        { "{\"experts.ban\":\"1:0,1:1,3:5\"}", { { 0, 0 }, { 0, 1 }, { 2, 5 } }, 0 },
        { "{\"experts.pin\":\"1:0,2:1,3:5\"}", { { 0, 0 }, { 1, 1 }, { 2, 5 } }, INFINITY },
        { "{\"experts.bias\":\"1:0=2.0,1:1=2,3:5=2\"}", { { 0, 0 }, { 0, 1 }, { 2, 5 } }, 7.389056f } };
    router g;
    lab_watch *w = lab_watch_new(NULL);
    router_new(&g, 4711);
    g.lean[0][0] = g.lean[0][1] = g.lean[2][5] = 2;      /* those that speak often are missed most */
    configure(w, KK, NULL, 1);
    run(w, &g, 2000, KK, NULL, 1);
    double odd, strange, plain_odd, plain_strange;
    look(w, &g, KK, NULL, 1, &plain_odd, &plain_strange);
    for (size_t b = 0; b < sizeof bent / sizeof *bent; b++) {
        float odds[L * N];
        for (int i = 0; i < L * N; i++)
            odds[i] = 1;
        for (int i = 0; i < 3; i++)
            odds[bent[b].what[i][0] * N + bent[b].what[i][1]] = bent[b].odds;
        configure(w, KK, bent[b].json, 2 + b);
        look(w, &g, KK, odds, 2 + b, &odd, &strange);
        printf("# %s: %.3f of cells odd (unbent %.3f), strange %.2f (%.2f)\n", bent[b].json, odd, plain_odd, strange, plain_strange);
        CHECK_MSG(odd < plain_odd + .02 && strange < plain_strange + .08, "%s: %.3f odd, strange %.2f", bent[b].json, odd, strange);
        lab_view o = { 0 };
        lab_watch_get(w, &o);
        CHECK_INT(o.learned, 3000);      /* and it teaches nothing */
        for (int i = 0; i < 3 && !isnormal(bent[b].odds); i++) {
            lab_cell c = o.cell[bent[b].what[i][0] * N + bent[b].what[i][1]];
            CHECK_INT(c.bent, bent[b].odds == 0 ? LAB_BANNED : LAB_PINNED);
            CHECK_MSG(c.dev == 0 && c.usual == (bent[b].odds == 0 ? 0 : 1), "%s: usual %g, dev %d", bent[b].json, (double)c.usual, c.dev);
        }
        lab_view_free(&o);
    }
    /* An expert that another token pattern wakes is still a sign under a ban. */
    float odds[L * N];
    for (int i = 0; i < L * N; i++)
        odds[i] = 1;
    odds[0] = odds[1] = odds[2 * N + 5] = 0;
    configure(w, KK, bent[0].json, 2);
    run(w, &g, 100, KK, odds, 2);
    odds[N + 3] = INFINITY;
    run(w, &g, 60, KK, odds, 2);
    lab_view o = { 0 };
    lab_watch_get(w, &o);
    CHECK_INT(o.cell[N + 3].dev, 2);
    lab_view_free(&o);
    configure(w, KK, NULL, 1);           /* and back */
    look(w, &g, KK, NULL, 1, &odd, &strange);
    CHECK_MSG(odd < plain_odd + .02, "%.3f odd after the ban", odd);
    lab_watch_free(w);
}

/* Experts that an adapter changes are marked in the live map, under the number that the model gives a layer, until none acts. */
static void taught_cells_are_marked(void)
{
    router g;
    lab_watch *w = lab_watch_new(NULL);
    uint8_t changed[(L + 1) * N] = { 0 };
    lab_view o = { 0 };
    router_new(&g, 12);
    configure(w, KK, NULL, 1);
    run(w, &g, 40, KK, NULL, 1);
    changed[(0 + shape.first) * N + 3] = changed[(2 + shape.first) * N + 7] = 1;
    for (int round = 0; round < 3; round++) {
        lab_watch_taught(w, round == 1 ? changed : NULL, L + 1, N);
        lab_watch_get(w, &o);
        CHECK_INT(o.n_layer, L);
        for (int c = 0; c < o.n_layer * o.n_expert; c++) CHECK_INT(o.cell[c].taught, round == 1 && (c == 3 || c == 2 * N + 7));
    }
    lab_watch_taught(w, changed, L, N);      /* of another model: as many layers are not there */
    lab_watch_get(w, &o);
    for (int c = 0; c < o.n_layer * o.n_expert; c++) CHECK(!o.cell[c].taught);
    lab_view_free(&o);
    lab_watch_free(w);
}

/* Another k has rates at once: those of a known k, bent. */
static void another_k_is_estimated(void)
{
    router g;
    for (int k = 1; k <= K_MAX; k++) {
        if (k == KK)
            continue;
        lab_watch *w = lab_watch_new(NULL), *truth = lab_watch_new(NULL);
        router_new(&g, 99 + (uint64_t)k);
        configure(w, KK, NULL, 1);
        run(w, &g, 3000, KK, NULL, 1);
        configure(truth, k, NULL, 9);
        run(truth, &g, 3000, k, NULL, 9);
        configure(w, k, NULL, 2);
        lab_view o = { 0 }, t = { 0 };
        lab_watch_get(w, &o);
        CHECK(o.k == KK && !o.stored);   /* what was there stays until there is something new */
        double odd, strange;
        run(w, &g, 1, k, NULL, 2);
        lab_watch_get(w, &o);
        lab_watch_get(truth, &t);
        CHECK(o.estimated && o.learned == 1 && o.k == k);
        double off = 0, chance = 0;
        for (int c = 0; c < L * N; c++) {
            off += fabs((double)(o.cell[c].usual - t.cell[c].usual)) / (L * N);
            chance += fabs((double)k / N - (double)t.cell[c].usual) / (L * N);
        }
        look(w, &g, k, NULL, 1, &odd, &strange);         /* hash 1: it does not learn meanwhile */
        printf("# k %d from k %d: mean error %.3f (chance %.3f), %.3f of cells odd, strange %.2f\n", k, KK, off, chance, odd, strange);
        CHECK_MSG(off < .03 && off < chance / 3, "k %d: mean error %.3f, chance %.3f", k, off, chance);
        CHECK_MSG(odd < .06 && strange < .4, "k %d: %.3f odd, strange %.2f", k, odd, strange);
        lab_watch_get(w, &o);
        CHECK(o.estimated && o.learned == 1);
        run(w, &g, 300, k, NULL, 2);
        lab_watch_get(w, &o);
        CHECK(!o.estimated && o.learned == 301);
        lab_view_free(&o);
        lab_view_free(&t);
        lab_watch_free(w);
        lab_watch_free(truth);
    }
}

/* The known k's rates are found again in the store by the next run. */
static void a_known_k_is_read_from_the_store(void)
{
    char err[Q_ERRLEN];
    mem_store *store = NULL;
    CHECK(mem_open(":memory:", &store, err) == Q_OK);
    router g;
    router_new(&g, 5);
    lab_watch *w = lab_watch_new(store);
    configure(w, KK, NULL, 1);
    run(w, &g, 500, KK, NULL, 1);
    lab_watch_save(w);
    lab_watch_free(w);
    w = lab_watch_new(store);
    configure(w, 2, NULL, 2);
    run(w, &g, 10, 2, NULL, 2);
    lab_view o = { 0 };
    lab_watch_get(w, &o);
    CHECK(o.estimated && o.learned == 10);
    configure(w, KK, NULL, 1);
    run(w, &g, 1, KK, NULL, 1);
    lab_watch_get(w, &o);
    CHECK(!o.estimated && o.learned == 501);
    lab_watch_unload(w);
    lab_watch_get(w, &o);
    CHECK(o.n_layer == 0);
    lab_view_free(&o);
    lab_watch_free(w);
    mem_close(store);
}

/* A stored trace that names more experts in more layers than any model has shows nothing: a window for it would be a gigabyte. */
static void a_trace_beyond_all_models_shows_nothing(void)
{
    enum { LAYERS = 1024 };
    static const uint16_t last[] = { 2000, 65534 };      /* 1024 x 2001 cells are shown, 1024 x 65535 are not */
    for (size_t i = 0; i < sizeof last / sizeof *last; i++) {
        char err[Q_ERRLEN];
        mem_store *s = NULL;
        int64_t chat, id;
        static uint16_t ids[LAYERS];
        static float zero[LAYERS];
        for (int l = 0; l < LAYERS; l++)
            ids[l] = l == 0 || l == LAYERS - 1 ? last[i] : LAB_NONE;
        CHECK_INT(mem_open(":memory:", &s, err), 0);
        CHECK_INT(mem_conversation_new(s, "c", &chat, err), 0);
        CHECK_INT(mem_reply_begin(s, chat, 0, "m", 1, 1, "{}", "", &id, err), 0);
        mem_trace *t = mem_trace_new(LAYERS, 1);
        mem_trace_add(t, 1, 1, 1, false, 1, ids, zero, zero, zero);
        CHECK_INT(mem_reply_end(s, id, MEM_DONE, "", "x", 1, "", 0, NULL, t, err), 0);
        mem_trace_free(t);
        lab_watch *w = lab_watch_new(s);
        lab_view v = { 0 };
        lab_watch_stored(w, id);
        lab_watch_get(w, &v);
        CHECK_INT(v.n_layer, i == 0 ? LAYERS : 0);
        CHECK_INT(v.n_expert, i == 0 ? 2001 : 0);
        lab_view_free(&v);
        lab_watch_free(w);
        mem_close(s);
    }
}

/* An answer of the model at hand whose stored routing names experts or layers that it does not have shows nothing: a page of it
 * would be as wide as the largest number. One of another model is shown as it is. */
static void a_trace_beyond_its_own_model_shows_nothing(void)
{
    static const struct { uint64_t model; int layers; uint16_t last; bool shown; } one[] = {
        { 1, 4, 15, true }, { 1, 4, 16, false }, { 1, 4, 65534, false }, { 1, 5, 3, false }, { 2, 5, 16, true } };
    const lab_shape own = { 4, 0, 4, 16 };
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        char err[Q_ERRLEN];
        mem_store *s = NULL;
        int64_t chat, id;
        uint16_t ids[5];
        float zero[5] = { 0 };
        for (int l = 0; l < 5; l++)
            ids[l] = one[i].last;
        CHECK_INT(mem_open(":memory:", &s, err), 0);
        CHECK_INT(mem_conversation_new(s, "c", &chat, err), 0);
        CHECK_INT(mem_reply_begin(s, chat, 0, "m", one[i].model, 1, "{}", "", &id, err), 0);
        mem_trace *t = mem_trace_new(one[i].layers, 1);
        mem_trace_add(t, 1, 1, 1, false, 1, ids, zero, zero, zero);
        CHECK_INT(mem_reply_end(s, id, MEM_DONE, "", "x", 1, "", 0, NULL, t, err), 0);
        mem_trace_free(t);
        lab_watch *w = lab_watch_new(s);
        lab_view v = { 0 };
        lab_watch_config(w, &own, &(lab_how){ .model = 1, .hash = 1, .k = "1", .k_default = "1", .k_max = 1, .config = "{}" });
        lab_watch_stored(w, id);
        lab_watch_get(w, &v);
        CHECK(v.stored == one[i].shown);
        CHECK_INT(v.n_layer, one[i].shown ? one[i].layers : 4);
        CHECK(v.n_expert <= 17);
        lab_view_free(&v);
        lab_watch_free(w);
        mem_close(s);
    }
}

int main(void)
{
    RUN(chance_is_quiet_and_signs_show);
    RUN(little_data_says_nothing);
    RUN(usual_rates_survive_text);
    RUN(bending_keeps_its_promises);
    RUN(bent_is_not_strange);
    RUN(taught_cells_are_marked);
    RUN(another_k_is_estimated);
    RUN(a_known_k_is_read_from_the_store);
    RUN(a_trace_beyond_all_models_shows_nothing);
    RUN(a_trace_beyond_its_own_model_shows_nothing);
    return TEST_END();
}
