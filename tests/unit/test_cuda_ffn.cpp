/* The choice of experts and the feed-forward part of the CUDA backend, through the emulator, against plain loops: few and
 * many experts, every edit, forced lists, numbers that are not finite; experts without rows, with one, with all of them,
 * awkward widths, types that go through tensor cores and types that do not. */
#include "tests/cuda_bench.h"
#include "tests/cuda_emu/emu_stats.h"

#include <algorithm>
#include <unistd.h>

typedef std::vector<float> floats;

/* ---- the router ---- */

typedef struct setting {
    int n_expert, k, max_k;
    int gate;
    bool bias, carved, renorm, add, pin, forced, shared;
    float temperature, min_p;
} setting;

typedef struct choice { std::vector<uint16_t> ids; floats weights; float entropy, margin; unsigned bad; } choice;

/* A row as kernels/cpu/route.c says it, in doubles. */
static choice choose_plain(const setting &s, const float *score, const float *bias, const float *add, const uint8_t *pin, const uint16_t *forced)
{
    int n = s.n_expert;
    std::vector<double> v((size_t)n), gate((size_t)n), sel((size_t)n);
    choice c;
    c.bad = 0;
    double top = -INFINITY, sum = 0, entropy = 0;
    for (int e = 0; e < n; e++) {
        double x = score[e];
        if (s.carved) x = (bias ? fma(4, bias[e], x) : x) / 1e-3f;
        if (add) x += add[e];
        if (add && add[e] == -INFINITY) x = -INFINITY;
        v[(size_t)e] = (float)(x / s.temperature);
        if (v[(size_t)e] > top) top = v[(size_t)e];
    }
    if (top == -INFINITY) top = 0;
    for (int e = 0; e < n; e++) sum += exp(v[(size_t)e] - top);
    for (int e = 0; e < n; e++) if (exp(v[(size_t)e] - top) > 0) entropy -= exp(v[(size_t)e] - top) / sum * (v[(size_t)e] - top);
    c.entropy = (float)(sum > 0 ? entropy + log(sum) : 0);
    c.margin = NAN;
    bool by_score = s.carved || (s.gate == KER_GATE_SOFTMAX && !bias);
    std::vector<int> order;
    for (int e = 0; e < n; e++) {
        size_t i = (size_t)e;
        gate[i] = s.carved ? 1 : s.gate == KER_GATE_SOFTMAX ? exp(v[i] - top) / sum : 1 / (1 + exp(-v[i]));
        sel[i] = by_score ? v[i] : gate[i] + (bias ? bias[e] : 0.0f);
        bool out = add && add[e] == -INFINITY;
        if (!out && !(std::isfinite(v[i]) && std::isfinite(sel[i]))) c.bad = 1;
        if (std::isnan(sel[i])) sel[i] = -3.402823466e38;
        if (!out) order.push_back(e);
    }
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
        bool pa = pin && pin[a], pb = pin && pin[b];
        return pa != pb ? pa : sel[(size_t)a] > sel[(size_t)b];
    });
    std::vector<int> list;
    if (forced && forced[0] != KER_NO_EXPERT) for (int i = 0; i < s.max_k && forced[i] != KER_NO_EXPERT; i++) list.push_back(forced[i]);
    else {
        size_t k = (size_t)s.k < order.size() ? (size_t)s.k : order.size();
        list.assign(order.begin(), order.begin() + (long)k);
        if (k < order.size() && !(pin && pin[list[k - 1]])) c.margin = (float)(sel[(size_t)list[k - 1]] - sel[(size_t)order[k]]);
        double most = 0;
        for (int e : list) most = gate[(size_t)e] > most ? gate[(size_t)e] : most;
        std::vector<int> kept;
        for (int e : list) if ((pin && pin[e]) || !(s.min_p > 0) || !(gate[(size_t)e] < s.min_p * most)) kept.push_back(e);
        list = kept;
    }
    double all = 0;
    for (int e : list) all += gate[(size_t)e];
    for (int i = 0; i < s.max_k; i++) {
        bool in = i < (int)list.size();
        c.ids.push_back(in ? (uint16_t)list[(size_t)i] : (uint16_t)KER_NO_EXPERT);
        c.weights.push_back(in ? (float)(gate[(size_t)list[(size_t)i]] * (s.carved ? 1 : 1.5 / (s.renorm ? all : 1))) : 0.0f);
    }
    return c;
}

enum { LAYER = 1, N_LAYER = 2 };

/* Rows through cu_choose; broken: numbers that are not finite among the scores. */
static void route_case(const setting &s, int n, bool broken)
{
    bench b(n, 32, 0);
    size_t E = (size_t)s.n_expert, K = (size_t)s.max_k, N = (size_t)n;
    floats score(N * E), bias(E), add(2 * E, 0.0f), coef(N);
    std::vector<uint8_t> pin(2 * E, 0);
    std::vector<uint16_t> forced(N_LAYER * N * K, (uint16_t)KER_NO_EXPERT);
    std::vector<int> slot(N), taken;
    for (float &v : score) v = rndf() * 4;
    for (float &v : bias) v = rndf() * (s.carved ? 1e-3f : 0.3f);
    for (float &v : coef) v = rndf() * 3;
    for (int i = 0; i < n; i++) slot[(size_t)i] = i % 2;
    for (size_t e = 0; e < E; e++) {
        if (rnd() % 4 == 0 && e) add[E + e] = rnd() % 2 ? -INFINITY : rndf();
        if (rnd() % (E > 40 ? 40 : 6) == 0) pin[E + e] = 1;
    }
    if (broken)
        for (size_t i = 0; i < N; i++) {
            score[i * E + rnd() % E] = NAN;
            if (i % 3 == 0) score[i * E + rnd() % E] = INFINITY;
            if (i % 3 == 1) for (size_t e = 0; e < E; e++) score[i * E + e] = NAN;
        }
    for (size_t r = 0; r < N && s.forced; r += 2) {            /* every other row is forced: distinct ids */
        size_t at = (LAYER * N + r) * K, len = 1 + rnd() % K;
        std::vector<uint16_t> all(E);
        for (size_t e = 0; e < E; e++) all[e] = (uint16_t)e;
        for (size_t i = 0; i < len; i++) {
            std::swap(all[i], all[i + rnd() % (E - i)]);
            forced[at + i] = all[i];
        }
    }
    cu_cfg cfg[2];
    memset(cfg, 0, sizeof cfg);
    int16_t k[N_LAYER] = { 1, (int16_t)s.k };
    for (int i = 0; i < 2; i++) {
        cfg[i].temperature = s.temperature;
        cfg[i].min_p = s.min_p;
        cfg[i].k = b.keep(to_device(k, N_LAYER));
    }
    floats wide_add(N_LAYER * E, 0.0f);
    std::vector<uint8_t> wide_pin(N_LAYER * E, 0);
    memcpy(&wide_add[LAYER * E], &add[E], E * 4);
    memcpy(&wide_pin[LAYER * E], &pin[E], E);
    if (s.add) cfg[1].router_add = b.keep(to_device(wide_add.data(), wide_add.size()));
    if (s.pin) cfg[1].pin = b.keep(to_device(wide_pin.data(), wide_pin.size()));
    cu_layer layers[N_LAYER + 1];
    memset(layers, 0, sizeof layers);
    b.dev.layer = layers;
    if (s.bias) layers[LAYER + 1].vec[KER_W_SELECT_BIAS] = b.keep(to_device(bias.data(), E));
    if (s.shared) layers[LAYER + 1].w[KER_W_SH_ROUTER].n_out = 1;
    b.dev.m.n_expert = s.n_expert;
    b.dev.m.gate = (ker_gate)s.gate;
    b.dev.m.renorm = s.renorm;
    b.dev.m.weights_scale = 1.5f;
    b.dev.m.router_scale = s.carved ? 1e-3f : 0.0f;
    b.c.max_k = s.max_k;
    b.c.shape.forced = s.forced;
    b.c.rows.forced = s.forced ? b.keep(to_device(forced.data(), forced.size())) : NULL;
    b.c.rows.slot = b.keep(to_device(slot.data(), N));
    b.c.rows.cfg = b.keep(to_device(cfg, 2));
    b.c.ffn.score = b.keep(to_device(score.data(), score.size()));
    b.c.ffn.sh_coef = b.keep(to_device(coef.data(), N));
    b.c.tr.ids = b.keep(device<uint16_t>(N_LAYER * N * K));
    b.c.tr.weights = b.keep(device<float>(N_LAYER * N * K));
    b.c.tr.entropy = b.keep(device<float>(N_LAYER * N));
    b.c.tr.margin = b.keep(device<float>(N_LAYER * N));
    cu_choose(&b.c, LAYER);
    b.wait();
    std::vector<uint16_t> ids = back(b.c.tr.ids, N_LAYER * N * K);
    floats weights = back(b.c.tr.weights, N_LAYER * N * K), entropy = back(b.c.tr.entropy, N_LAYER * N), margin = back(b.c.tr.margin, N_LAYER * N),
           sh = back(b.c.ffn.sh_coef, N);
    std::vector<unsigned> bad = back(b.c.tr.bad, N);
    for (size_t r = 0; r < N; r++) {
        bool edited = r % 2 == 1;
        choice w = choose_plain(s, &score[r * E], s.bias ? bias.data() : NULL, edited && s.add ? &add[E] : NULL, edited && s.pin ? &pin[E] : NULL,
                                s.forced ? &forced[(LAYER * N + r) * K] : NULL);
        const uint16_t *id = &ids[(LAYER * N + r) * K];
        CHECK_INT(bad[r], w.bad ? KER_PART_ROUTE << 16 | (LAYER + 1) : 0);
        CHECK_MSG(!memcmp(id, w.ids.data(), K * 2), "%d experts, k %d: row %zu", s.n_expert, s.k, r);
        std::vector<bool> seen(E, false);
        for (size_t i = 0; i < K && id[i] != KER_NO_EXPERT; i++) {
            bool fine = id[i] < E && !seen[id[i]];
            CHECK(fine);
            if (fine) seen[id[i]] = true;
        }
        if (w.bad) continue;
        for (size_t i = 0; i < K; i++) CHECK(fabsf(weights[(LAYER * N + r) * K + i] - w.weights[i]) < 1e-5f);
        CHECK_MSG(fabsf(entropy[LAYER * N + r] - w.entropy) < 1e-4f, "%g, not %g", (double)entropy[LAYER * N + r], (double)w.entropy);
        float m = margin[LAYER * N + r];
        CHECK_MSG(isnan(w.margin) ? isnan(m) : fabsf(m - w.margin) < 1e-4f * (1 + fabsf(w.margin)), "%g, not %g", (double)m, (double)w.margin);
        CHECK(fabsf(sh[r] - (s.shared ? 1 / (1 + expf(-coef[r])) : coef[r])) < 1e-6f);
    }
}

static const setting settings[] = {
    { 12, 3, 12, KER_GATE_SOFTMAX, false, false, true, false, false, false, false, 1, 0 },
    { 128, 8, 8, KER_GATE_SOFTMAX, false, false, true, true, true, false, false, 0.7f, 0 },
    { 128, 8, 16, KER_GATE_SOFTMAX, false, false, false, true, true, true, true, 1, 0.3f },
    { 130, 9, 20, KER_GATE_SIGMOID, true, false, true, true, true, true, false, 1, 0.6f },
    { 7, 7, 7, KER_GATE_SIGMOID, false, false, true, true, false, false, true, 2, 0.5f },
    { 256, 40, 64, KER_GATE_SOFTMAX, true, false, true, true, true, false, false, 1, 0.2f },
    { 33, 5, 33, KER_GATE_SIGMOID, true, true, false, true, true, false, false, 1, 0 },
    { 1030, 17, 33, KER_GATE_SOFTMAX, false, false, true, true, true, true, false, 1, 0.1f },
    { 2048, 3, 4, KER_GATE_SIGMOID, true, true, false, false, false, false, false, 3, 0 },
    { 1, 1, 1, KER_GATE_SOFTMAX, false, false, true, false, false, false, false, 1, 0 },
};

static void experts_are_chosen(void)
{
    for (const setting &s : settings) route_case(s, 6, false);
}

/* Ids stay distinct and valid, also where every score is NaN. */
static void broken_scores_are_chosen_from(void)
{
    for (const setting &s : settings) route_case(s, 6, true);
}

/* ---- the feed-forward part ---- */

typedef struct shape { int E, ff, n_expert, k, max_k, ff_sh, type, down, sh_type; bool coef; } shape;

struct three { std::vector<uint8_t> raw[3]; floats f[3]; int type[3]; };        /* gate, up, down */

static three random_three(int type, int down, int E, int ff, int n_mat)
{
    three t;
    for (int i = 0; i < 3; i++) {
        int64_t in = i == 2 ? ff : E, out = i == 2 ? E : ff;
        t.type[i] = i == 2 ? down : type;
        t.raw[i] = random_rows(t.type[i], in, out * n_mat);
        t.f[i].resize((size_t)(in * out * n_mat));
        ker_type_get(t.type[i])->decode(t.raw[i].data(), t.f[i].data(), in * out * n_mat);
    }
    return t;
}

static void put_three(bench &b, cu_mat *w, const three &t, int E, int ff, int n_mat)
{
    w[0] = upload(b, t.type[0], t.raw[0], E, ff, n_mat);
    w[1] = upload(b, t.type[1], t.raw[1], E, ff, n_mat);
    w[2] = upload(b, t.type[2], t.raw[2], ff, E, n_mat);
}

/* x as weights of the type see it: int8 with a scale for a block, or itself. */
static floats seen_by(int type, const floats &x)
{
    const ker_type *t = ker_type_get(type);
    if (t->act == KER_ACT_F32) return x;
    size_t block = t->act == KER_ACT_Q8_32 ? 32 : 256;
    floats y(x.size());
    for (size_t i = 0; i < x.size(); i += block) {
        float most = 0;
        for (size_t j = i; j < i + block; j++) most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
        for (size_t j = i; j < i + block; j++) y[j] = most < 1e-30f ? 0.0f : rintf(x[j] * (127 / most)) * (most / 127);
    }
    return y;
}

static floats plain_mat(const floats &w, int matrix, int in, int out, const floats &x)
{
    floats y((size_t)out);
    for (int o = 0; o < out; o++) {
        double s = 0;
        for (int i = 0; i < in; i++) s += (double)w[(size_t)(((int64_t)matrix * out + o) * in + i)] * x[(size_t)i];
        y[(size_t)o] = (float)s;
    }
    return y;
}

static floats plain_three(const three &t, int matrix, int E, int ff, int keep, const floats &x)
{
    floats g = plain_mat(t.f[0], matrix, E, ff, seen_by(t.type[0], x)), u = plain_mat(t.f[1], matrix, E, ff, seen_by(t.type[1], x)), h((size_t)ff);
    for (int i = 0; i < ff; i++) h[(size_t)i] = keep > 0 && i >= keep ? 0.0f : g[(size_t)i] / (1 + expf(-g[(size_t)i])) * u[(size_t)i];
    floats all = h;
    for (int i = 0; i < ff && keep < 0; i++) {                     /* the -keep largest, of equals the first */
        int larger = 0;
        for (int j = 0; j < ff; j++) larger += fabsf(all[(size_t)j]) > fabsf(all[(size_t)i]) || (j < i && fabsf(all[(size_t)j]) == fabsf(all[(size_t)i]));
        if (larger >= -keep) h[(size_t)i] = 0;
    }
    return plain_mat(t.f[2], matrix, ff, E, seen_by(t.type[2], h));
}

/* How the rows choose: at random, all alike, one expert each in turn, few slots. */
enum lists { RANDOM, ALL_ON_ONE, IN_TURN, SHORT };

/* Bytes of weights that the library takes at once of routed experts; 0: the own kernels do all. */
static int64_t by_library;
static bool narrow;                    /* room for as many places as a batch has rows: never more than one expert's */
static unsigned calls_seen;
static bool alike;                     /* all rows have the second configuration */
static uint64_t switches_seen;         /* of threads of kernels, by the last case: what was computed */

static void library_open(bench &b, const shape &s)
{
    for (int t : { s.type, s.down }) b.dev.ways.library[t] = KER_WAYS_EXPERTS;
    CHECK(cu_blas_make(&b.c, 8, 32, 1 << 16) && cu_blas_make_experts(&b.c, s.n_expert, s.E > s.ff ? s.E : s.ff, s.E > s.ff ? s.E : s.ff, by_library));
    emu_api()->reset();
}

static void library_close(bench &b)
{
    emu_kernel all[64];
    size_t n = emu_api()->kernels(all, 64);
    for (size_t i = 0; i < n && i < 64; i++) if (strstr(all[i].name, "group_put")) calls_seen += (unsigned)all[i].launches;
    cu_blas_free(&b.c);
    for (int i = 0; i < b.c.n_mem; i++) {
        uintptr_t p = (uintptr_t)b.c.mem[i];
        if (p & 1) cudaFreeHost((void *)(p & ~(uintptr_t)1));
        else cudaFree((void *)p);
    }
    free(b.c.mem);
}

static void ffn_case(const shape &s, int n, lists how, int cap)
{
    bench b(n, s.E, 0);
    size_t N = (size_t)n, E = (size_t)s.E, K = (size_t)s.max_k;
    bool dense = !s.n_expert;
    three ex = random_three(dense ? (int)KER_F32 : s.type, dense ? (int)KER_F32 : s.down, dense ? 32 : s.E, dense ? 32 : s.ff, dense ? 1 : s.n_expert), sh;
    cu_layer layers[N_LAYER + 1];
    memset(layers, 0, sizeof layers);
    b.dev.layer = layers;
    cu_mat *w = layers[LAYER + 1].w, m[3];
    if (!dense) {
        put_three(b, m, ex, s.E, s.ff, s.n_expert);
        w[KER_W_GATE_EXPS] = m[0], w[KER_W_UP_EXPS] = m[1], w[KER_W_DOWN_EXPS] = m[2];
    }
    if (s.ff_sh) {
        sh = random_three(s.sh_type, s.sh_type, s.E, s.ff_sh, 1);
        put_three(b, m, sh, s.E, s.ff_sh, 1);
        w[dense ? KER_W_GATE : KER_W_GATE_SH] = m[0], w[dense ? KER_W_UP : KER_W_UP_SH] = m[1], w[dense ? KER_W_DOWN : KER_W_DOWN_SH] = m[2];
    }
    if (s.coef) w[KER_W_SH_ROUTER].n_out = 1;
    floats x(N * E), y(N * E), weights(N_LAYER * N * (K ? K : 1)), coef(N);
    for (float &v : x) v = rndf();
    for (float &v : y) v = rndf();
    for (float &v : weights) v = rndf();
    for (float &v : coef) v = rndf();
    std::vector<uint16_t> ids(N_LAYER * N * (K ? K : 1), (uint16_t)KER_NO_EXPERT);
    for (size_t r = 0; r < N && !dense; r++)
        for (int i = 0, len = how == SHORT ? 1 + (int)(rnd() % (unsigned)s.k) : s.k; i < len; i++) {
            uint16_t *to = &ids[(LAYER * N + r) * K];
            int e = how == IN_TURN ? ((int)r + i) % s.n_expert : i;
            while (how == RANDOM || how == SHORT) {
                e = (int)(rnd() % (unsigned)s.n_expert);
                if (std::find(to, to + i, (uint16_t)e) == to + i) break;
            }
            to[i] = (uint16_t)e;
        }
    /* Two configurations in turn: the second cuts the shared part, and the experts where `cap` is odd, by magnitude where it divides by 3. */
    int sign = cap % 3 ? 1 : -1, of = cap % 2 ? sign * (s.ff / 3) : 0;
    std::vector<int> slot(N), width = { 0, 0, 0, sign * (s.ff_sh / 3) }, cut = { 0, of };
    for (size_t r = 0; r < N; r++) slot[r] = alike || r % 2;
    cu_cfg cfg[2];
    memset(cfg, 0, sizeof cfg);
    cfg[1].ffn_width = b.keep(to_device(width.data() + 2, 2));
    if (of) cfg[1].expert_width = b.keep(to_device(cut.data(), 2));
    b.c.shape.narrow = (of ? CU_WIDTH_EXPERTS : 0) | (sign < 0 ? CU_WIDTH_LARGEST : 0);
    ker_layer kind[N_LAYER] = {};
    b.dev.m.layer = kind;
    b.dev.m.n_expert = s.n_expert;
    b.dev.m.n_ff_exp = s.ff;
    b.c.max_k = s.max_k;
    b.c.max_rows = by_library && !narrow ? n * s.k : n;
    b.c.shape.k = s.k;
    b.c.rows.slot = b.keep(to_device(slot.data(), N));
    b.c.rows.cfg = b.keep(to_device(cfg, 2));
    b.c.x = b.keep(to_device(x.data(), x.size()));
    b.c.y = b.keep(to_device(y.data(), y.size()));
    b.c.in = acts_for(b, n, s.E);
    b.c.tr.ids = b.keep(to_device(ids.data(), ids.size()));
    b.c.tr.weights = b.keep(to_device(weights.data(), weights.size()));
    b.c.ffn.sh_coef = b.keep(to_device(coef.data(), N));
    b.c.ffn.pairs_cap = cap;
    floats zero((size_t)cap * (size_t)((s.ff > s.E ? s.ff : s.E) + 1) + N * (size_t)(s.ff_sh + 1), 0.0f);
    b.c.ffn.h = b.keep(to_device(zero.data(), (size_t)cap * (size_t)(s.ff + 1)));
    b.c.ffn.h_sh = b.keep(to_device(zero.data(), N * (size_t)(s.ff_sh + 1)));
    b.c.ffn.pair_y = b.keep(to_device(zero.data(), (size_t)cap * E));
    b.c.ffn.act = acts_for(b, cap, s.ff ? s.ff : 32);
    b.c.ffn.sh_act = acts_for(b, n, s.ff_sh ? s.ff_sh : 32);
    b.c.ffn.group = b.keep(device<int>((size_t)cu_group_ints(&b.c)));
    unsigned kinds = 0;
    for (int r = 0; r < KER_W_ROLES; r++) if (w[r].n_out && w[r].act) kinds |= 1u << w[r].act;
    cu_quantise(&b.c, b.c.y, n, s.E, kinds, &b.c.in);
    if (by_library) library_open(b, s);
    emu_stats seen;
    if (!by_library) emu_api()->reset();
    if (dense) cu_dense(&b.c, LAYER);
    else cu_experts(&b.c, LAYER);
    b.wait();
    emu_api()->stats(&seen);
    switches_seen = seen.fibers;
    if (by_library) library_close(b);
    floats got = back(b.c.x, N * E);
    double worst = 0, size = 0;
    for (size_t r = 0; r < N; r++) {
        floats row(y.begin() + (long)(r * E), y.begin() + (long)((r + 1) * E));
        std::vector<double> sum(E, 0.0);
        for (size_t i = 0; i < K && !dense && ids[(LAYER * N + r) * K + i] != KER_NO_EXPERT; i++) {
            floats v = plain_three(ex, ids[(LAYER * N + r) * K + i], s.E, s.ff, alike || r % 2 ? of : 0, row);
            for (size_t o = 0; o < E; o++) sum[o] += (double)weights[(LAYER * N + r) * K + i] * v[o];
        }
        if (s.ff_sh) {
            floats v = plain_three(sh, 0, s.E, s.ff_sh, alike || r % 2 ? width[3] : 0, row);
            for (size_t o = 0; o < E; o++) sum[o] += (double)(s.coef ? coef[r] : 1.0f) * v[o];
        }
        for (size_t o = 0; o < E; o++) {
            double off = fabs((double)got[r * E + o] - (x[r * E + o] + sum[o]));
            size = fmax(size, fabs(sum[o]));
            if (!(off <= worst)) worst = off;
        }
    }
    /* A number that rounds to the neighbouring int8 moves a sum by about a hundredth part of a weight's share. */
    CHECK_MSG(worst < 1e-2 * (0.1 + size), "E %d ff %d experts %d k %d %s/%s rows %d lists %d: off by %g of %g", s.E, s.ff, s.n_expert, s.k,
              ker_type_get(s.type)->name, ker_type_get(s.down)->name, n, (int)how, worst, size);
    for (unsigned u : back(b.c.tr.bad, N)) CHECK_INT(u, 0);
}

static const shape shapes[] = {
    { 96, 80, 5, 2, 5, 0, KER_F32, KER_F16, KER_F32, false },
    { 96, 96, 5, 2, 5, 64, KER_Q8_0, KER_Q4_1, KER_Q4_0, true },
    { 256, 256, 7, 3, 4, 256, KER_Q4_K, KER_Q6_K, KER_Q5_K, false },
};

static void rows_go_through_experts(void)
{
    for (const shape &s : shapes)
        for (int how = RANDOM; how <= SHORT; how++) {
            ffn_case(s, 3, (lists)how, 3 * s.max_k);
            ffn_case(s, 13, (lists)how, 13 * s.max_k);
        }
}

/* More pairs than fit: several passes. */
static void passes_are_one(void)
{
    for (const shape &s : shapes) ffn_case(s, 11, RANDOM, 4 * s.k + 1);
}

/* Where no row of a tile asks for neurons, they are not computed: a third of them takes less, and more rows with other widths do not
 * change what comes out (above). The plain kernels, tensor cores on quantised weights, on halves. */
static void what_no_row_asks_for_is_left_out(void)
{
    static const shape all[] = { { 96, 96, 3, 2, 2, 0, KER_F32, KER_F32, KER_F32, false }, { 96, 96, 3, 2, 2, 0, KER_Q8_0, KER_Q8_0, KER_F32, false },
                                 { 256, 768, 3, 2, 2, 0, KER_Q4_K, KER_Q6_K, KER_F32, false }, { 128, 384, 3, 2, 2, 0, KER_F16, KER_F16, KER_F32, false } };
    alike = true;
    for (const shape &s : all) {
        ffn_case(s, 13, RANDOM, 28);                       /* even: every neuron */
        uint64_t whole = switches_seen;
        ffn_case(s, 13, RANDOM, 29);
        printf("# %s, %d neurons: %.2f of the work with a third of them\n", ker_type_get(s.type)->name, s.ff, (double)switches_seen / (double)whole);
        CHECK_MSG((double)switches_seen < .9 * (double)whole, "E %d ff %d %s: %llu switches of threads with a third of the neurons, %llu with all", s.E, s.ff, ker_type_get(s.type)->name,
                  (unsigned long long)switches_seen, (unsigned long long)whole);
    }
    alike = false;
}

/* The largest of so many neurons that a thread has one of them, some, or more than are counted by barriers. */
static void the_largest_of_many_neurons_stay(void)
{
    for (int ff : { 200, 600, 1100 }) {
        const shape s = { 32, ff, 3, 2, 3, 0, KER_F32, KER_F32, KER_F32, false };
        ffn_case(s, 3, RANDOM, 9);
    }
}

/* All on one expert fills tiles of tensor cores and begins another. */
static void many_rows_fill_tiles(void)
{
    ffn_case(shapes[2], 37, ALL_ON_ONE, 37 * 3);
    static const shape more[] = { { 256, 256, 3, 2, 2, 0, KER_Q8_0, KER_Q8_0, KER_F32, false }, { 128, 64, 3, 2, 2, 0, KER_BF16, KER_F16, KER_F32, false } };
    for (const shape &s : more) ffn_case(s, 41, RANDOM, 82);
    static const int types[] = { KER_MXFP4, KER_NVFP4, KER_Q2_K, KER_Q3_K, KER_IQ1_S, KER_IQ1_M, KER_IQ2_XXS, KER_IQ2_XS, KER_IQ2_S, KER_IQ3_XXS, KER_IQ3_S, KER_TQ1_0, KER_TQ2_0 };
    const int n = (int)(sizeof types / sizeof *types);
    for (int i = 0; i < n; i++) {
        shape s = { 256, 256, 3, 2, 2, 256, types[i], types[(i + 1) % n], types[(i + 5) % n], true };
        ffn_case(s, 21, RANDOM, 42);
    }
}

static void dense_layers(void)
{
    static const shape dense[] = {
        { 96, 0, 0, 0, 0, 112, KER_F32, KER_F32, KER_F32, false },
        { 64, 0, 0, 0, 0, 96, KER_F32, KER_F32, KER_Q5_1, false },
        { 256, 0, 0, 0, 0, 512, KER_F32, KER_F32, KER_Q4_K, false },
    };
    for (const shape &s : dense) {
        ffn_case(s, 1, RANDOM, 1);
        ffn_case(s, 19, RANDOM, 1);
    }
}

/* Routed experts by the library: several in one call, each alone, each in tiles of its outputs; experts without rows, lists of any
 * length, several passes; fewer rows than it takes. */
static void the_library_does_experts(void)
{
    static const shape some[] = {
        { 256, 256, 7, 3, 4, 256, KER_Q4_K, KER_Q6_K, KER_Q5_K, false },
        { 96, 96, 5, 2, 5, 64, KER_Q8_0, KER_Q4_1, KER_Q4_0, true },
        { 84, 60, 3, 2, 2, 0, KER_BF16, KER_F16, KER_F32, false },
    };
    for (const shape &s : some) {
        unsigned calls[3];
        for (int i = 0; i < 3; i++) {
            int64_t matrix = (int64_t)(s.E > s.ff ? s.E : s.ff) * s.E * 2, of[] = { matrix * 8, matrix, matrix / 2 };
            by_library = of[i];
            calls_seen = 0;
            ffn_case(s, 13, i ? IN_TURN : RANDOM, 13 * s.max_k);
            if (i == 0) CHECK_INT(calls_seen, 3);
            calls[i] = calls_seen;
        }
        CHECK_MSG(calls[0] < calls[1] && calls[1] < calls[2], "%u, %u and %u calls", calls[0], calls[1], calls[2]);
        by_library = 1 << 20;
        ffn_case(s, 11, SHORT, 11 * s.max_k);
        ffn_case(s, 27, ALL_ON_ONE, 27 * s.max_k);
        calls_seen = 0;
        ffn_case(s, 20, RANDOM, 10 * s.k);             /* twice */
        CHECK_INT(calls_seen, 6);
        narrow = true;
        calls_seen = 0;
        ffn_case(s, 13, RANDOM, 13 * s.max_k);
        CHECK_MSG(calls_seen > 3, "%u calls", calls_seen);
        narrow = false;
    }
    by_library = 0;
}

/* Where the first call says no, the own kernels' numbers, and nobody asks again; behind it, the device's failure. */
static void own_kernels_stand_behind(void)
{
    static const shape s = { 256, 256, 7, 3, 4, 0, KER_Q4_K, KER_Q6_K, KER_Q5_K, false };
    by_library = 1 << 20;
    emu_api()->fail("cublasGemmGroupedBatchedEx", 2);  /* the first is the question whether it can */
    calls_seen = 0;
    ffn_case(s, 13, RANDOM, 13 * 4);
    emu_api()->fail(NULL, 0);
    CHECK_INT(calls_seen, 0);
    bench b(13, 256, 0);
    b.c.max_rows = 13;
    emu_api()->fail("cublasGemmGroupedBatchedEx", 1);
    CHECK(cu_blas_make(&b.c, 8, 32, 1 << 16) && !cu_blas_make_experts(&b.c, 7, 256, 256, 1 << 20));
    cu_mat w;
    memset(&w, 0, sizeof w);
    w.type = KER_Q4_K, w.n_in = w.n_out = 256, w.n_mat = 7;
    b.dev.ways.library[KER_Q4_K] = KER_WAYS_EXPERTS;
    CHECK(!cu_blas_takes_experts(&b.c, &w, 13));
    emu_api()->fail(NULL, 0);
    library_close(b);
    by_library = 0;
}

/* What stands for cuBLAS is a file of its own, which a build of this test alone does not make. */
static bool library_is_there(void)
{
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/libcublas-emu.so", build ? build : "build");
    bool there = !access(path, R_OK);
    setenv("EMU_BLAS", path, 1);
    free(path);
    return there;
}

int main(void)
{
    RUN(experts_are_chosen);
    RUN(broken_scores_are_chosen_from);
    RUN(rows_go_through_experts);
    RUN(passes_are_one);
    RUN(what_no_row_asks_for_is_left_out);
    RUN(the_largest_of_many_neurons_stay);
    RUN(many_rows_fill_tiles);
    RUN(dense_layers);
    if (library_is_there()) {
        RUN(the_library_does_experts);
        RUN(own_kernels_stand_behind);
    } else SKIP("the_library_does_experts", "build/libcublas-emu.so is not built");
    return TEST_END();
}
