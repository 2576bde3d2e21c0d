/* agent/routing: how unusual the routing is. Learns how often each expert runs per (model, k), keeps a decayed window of
 * recent tokens, and turns both into the cells that a person sees. Live routing is fed by the engine thread, stored
 * traces by the clerk, both under watch.mu, through the same functions. It never sums anything over layers' experts.
 *
 * Formulas. Everything is per routed layer with N experts of which k run.
 *   usual u = (n m + 64 k/N) / (n + 64)      m: mean of "it ran" over the n tokens seen (the last 4096 weigh most):
 *     a Beta prior of 64 tokens at chance, so that a rate is never 0 or 1 and little data looks like chance.
 *   rate r = W[it ran] / W[1] over the window, a token that is t tokens old weighing (1 - 1/32)^t.
 *   effective tokens n_eff = (sum w)^2 / sum w^2 (Kish), divided by (1 + f) / (1 - f), the variance inflation of an AR(1)
 *     process, f = (repeat - chance) / (1 - chance): neighbouring tokens route alike, so they are less evidence.
 *   z = (r - u) / sqrt(v (1 - v) (1/n_eff + 1/(n + 64))), v = u held within [2/n_eff, 1 - 2/n_eff], so that one firing of a
 *     rare expert is not yet a sign.
 *   dev: |z| < 2.6 usual (chance alone passes that in 1 cell of 100), < 4.5 one step, else two (chance: 1 in 100,000).
 *   strange of a layer = 1 - exp(-S/4), S = mean of z^2 over its experts: about .22 where all is as usual.
 *   repeat = share of a token's experts that also ran for the token before; by chance sum u^2 / k, mean over layers. */
#include "agent/room.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double KEEP = 1.0 - 1.0 / ROUTING_WINDOW;
static const float Z_MORE = 2.6f, Z_FAR = 4.5f;
#define NONE 0xFFFFu

/* ---- usual rates ---- */
static void usual_key(uint64_t model, const char *k, char key[USUAL_KEY])
{
    int w = snprintf(key, USUAL_KEY, "usual.%016llx.%s", (unsigned long long)model, k);
    if (w >= USUAL_KEY)                  /* one k per layer in a deep model: its hash names it */
        snprintf(key, USUAL_KEY, "usual.%016llx.h%016llx", (unsigned long long)model, (unsigned long long)q_hash64(k, strlen(k), 0));
}

static usual *usual_find(const agt *a, const char *key, int n_layer, int n_expert)
{
    for (usual *u = a->watch.usual; u; u = u->next)
        if (strcmp(u->key, key) == 0 && (n_layer == 0 || (u->n_layer == n_layer && u->n_expert == n_expert)))
            return u;
    return NULL;
}

void usual_load(agt *a, uint64_t model, const char *k)
{
    char key[USUAL_KEY];
    usual_key(model, k, key);
    pthread_mutex_lock(&a->watch.mu);
    bool had = usual_find(a, key, 0, 0) != NULL;
    pthread_mutex_unlock(&a->watch.mu);
    char *text = had ? NULL : mem_setting_get(a->store, key);
    usual *u = q_alloc(sizeof *u);
    memcpy(u->key, key, sizeof u->key);
    bool good = text && usual_parse(u, text);
    free(text);
    pthread_mutex_lock(&a->watch.mu);
    if (good && !usual_find(a, key, 0, 0)) {
        u->next = a->watch.usual;
        a->watch.usual = u;
        u = NULL;
    }
    pthread_mutex_unlock(&a->watch.mu);
    if (u)
        free(u->mean);
    free(u);
}

usual *usual_get(agt *a, uint64_t model, const char *k, int n_layer, int n_expert)
{
    char key[USUAL_KEY];
    usual_key(model, k, key);
    usual *u = usual_find(a, key, n_layer, n_expert);
    if (u || n_layer == 0)
        return u;
    u = q_alloc(sizeof *u);
    memcpy(u->key, key, sizeof u->key);
    u->n_layer = n_layer;
    u->n_expert = n_expert;
    u->mean = q_alloc(sizeof *u->mean * (size_t)(n_layer * n_expert + 1));
    u->next = a->watch.usual;
    a->watch.usual = u;
    return u;
}

/* "1 LAYERS EXPERTS N " and four hex digits a rate (65535 = always). */
char *usual_text(const usual *u)
{
    q_buf b = { 0 };
    q_buf_printf(&b, "1 %d %d %d ", u->n_layer, u->n_expert, (int)u->n);
    for (int i = 0; i < u->n_layer * u->n_expert; i++)
        q_buf_printf(&b, "%04x", (unsigned)lrintf(u->mean[i] * 65535.f) & NONE);
    return q_buf_take(&b);
}

bool usual_parse(usual *u, const char *text)
{
    int version, layers, experts, n, at = 0;
    if (sscanf(text, "%d %d %d %d %n", &version, &layers, &experts, &n, &at) != 4 || version != 1 || at == 0)
        return false;
    if (layers < 1 || layers > 1024 || experts < 1 || experts > 4096 || n < 0)
        return false;
    size_t count = (size_t)layers * (size_t)experts;
    if (strlen(text + at) != count * 4)
        return false;
    float *mean = q_alloc(sizeof *mean * count);
    for (size_t i = 0; i < count; i++) {
        char hex[5] = { 0 }, *end;
        memcpy(hex, text + at + i * 4, 4);
        mean[i] = (float)strtoul(hex, &end, 16) / 65535.f;
        if (*end) {
            free(mean);
            return false;
        }
    }
    free(u->mean);
    u->mean = mean;
    u->n_layer = layers;
    u->n_expert = experts;
    u->n = (float)(n < USUAL_MEMORY ? n : USUAL_MEMORY);
    return true;
}

float usual_rate(const usual *u, int layer, int expert, double k)
{
    double prior = USUAL_PRIOR * k / u->n_expert;
    return (float)((u->n * u->mean[layer * u->n_expert + expert] + prior) / (u->n + USUAL_PRIOR));
}

void usual_save(agt *a)
{
    for (;;) {
        char key[sizeof a->watch.usual->key], *text = NULL, err[Q_ERRLEN];
        pthread_mutex_lock(&a->watch.mu);
        for (usual *u = a->watch.usual; u && !text; u = u->next)
            if (u->dirty) {
                u->dirty = false;
                memcpy(key, u->key, sizeof key);
                text = usual_text(u);
            }
        pthread_mutex_unlock(&a->watch.mu);
        if (!text)
            return;
        mem_setting_put(a->store, key, text, err);   /* learnt again if the disk refuses */
        free(text);
    }
}

/* ---- the window ---- */
void routing_free(routing *r)
{
    free(r->hit);
    free(r->was);
    free(r->now);
    free(r->before);
    free(r->now_weight);
    free(r->entropy);
    free(r->margin);
    memset(r, 0, sizeof *r);
}

void routing_shape(routing *r, int n_all, int first, int n_layer, int n_expert, int max_k)
{
    uint64_t v = r->version;
    routing_free(r);
    r->version = v + 1;
    r->n_all = n_all;
    r->first = first;
    r->n_layer = n_layer;
    r->n_expert = n_expert;
    r->max_k = max_k > 0 ? max_k : 1;
    size_t cells = (size_t)(n_layer * n_expert) + 1, slots = (size_t)(n_layer * r->max_k) + 1;
    r->hit = q_alloc(sizeof *r->hit * cells);
    r->was = q_alloc(cells);
    r->now = q_alloc(sizeof *r->now * slots);
    r->before = q_alloc(sizeof *r->before * slots);
    r->now_weight = q_alloc(sizeof *r->now_weight * slots);
    r->entropy = q_alloc(sizeof *r->entropy * (size_t)(n_layer + 1));
    r->margin = q_alloc(sizeof *r->margin * (size_t)(n_layer + 1));
    routing_clear(r);
}

void routing_clear(routing *r)
{
    memset(r->hit, 0, sizeof *r->hit * (size_t)(r->n_layer * r->n_expert));
    memset(r->was, 0, (size_t)(r->n_layer * r->n_expert));
    memset(r->now, 0xFF, sizeof *r->now * (size_t)(r->n_layer * r->max_k));
    memset(r->before, 0xFF, sizeof *r->before * (size_t)(r->n_layer * r->max_k));
    r->w1 = r->w2 = r->repeat_num = r->repeat_den = 0;
    r->any = false;
    r->n_tokens = 0;
    r->version++;
}

void routing_add(routing *r, const uint16_t *ids, const float *weights, const float *entropy, const float *margin, int max_k,
                 bool learn)
{
    int N = r->n_expert, take = max_k < r->max_k ? max_k : r->max_k;
    usual *u = r->u;
    bool teach = learn && u && u->n_layer == r->n_layer && u->n_expert == N;
    uint16_t *swap = r->before;
    r->before = r->now;
    r->now = swap;
    for (int i = 0; i < r->n_layer * N; i++)
        r->hit[i] *= (float)KEEP;
    r->w1 = r->w1 * KEEP + 1;
    r->w2 = r->w2 * KEEP * KEEP + 1;
    r->repeat_num *= KEEP;
    r->repeat_den *= KEEP;
    int k_max = 0;
    float n = 0, step = 0;
    if (teach) {
        n = u->n + 1 < USUAL_MEMORY ? u->n + 1 : USUAL_MEMORY;
        step = 1.f / n;
    }
    for (int l = 0; l < r->n_layer; l++) {
        const uint16_t *id = ids + (size_t)(l + r->first) * (size_t)max_k;
        uint16_t *now = r->now + l * r->max_k;
        const uint16_t *before = r->before + l * r->max_k;
        int k = 0;
        if (teach)
            for (int e = 0; e < N; e++)
                u->mean[l * N + e] -= u->mean[l * N + e] * step;
        for (int s = 0; s < take; s++) {
            now[s] = id[s] < N ? id[s] : NONE;
            r->now_weight[l * r->max_k + s] = weights && id[s] < N ? weights[(size_t)(l + r->first) * (size_t)max_k + (size_t)s] : NAN;
            if (id[s] >= N)
                continue;
            k++;
            r->hit[l * N + id[s]] += 1;
            if (teach)
                u->mean[l * N + id[s]] += step;
            if (r->any && r->was[l * N + id[s]])
                r->repeat_num += 1;
        }
        for (int s = 0; s < r->max_k; s++)
            if (before[s] < N)
                r->was[l * N + before[s]] = 0;
        for (int s = 0; s < take; s++)
            if (now[s] < N)
                r->was[l * N + now[s]] = 1;
        for (int s = take; s < r->max_k; s++)
            now[s] = NONE, r->now_weight[l * r->max_k + s] = NAN;
        if (r->any)
            r->repeat_den += k;
        k_max = k > k_max ? k : k_max;
        r->entropy[l] = entropy ? entropy[l + r->first] : NAN;
        r->margin[l] = margin ? margin[l + r->first] : NAN;
    }
    if (teach) {
        u->n = n;
        u->dirty = true;
    }
    r->k = k_max;
    r->any = true;
    r->n_tokens++;
    r->version++;
}

/* ---- the snapshot ---- */
void agt_routing_free(agt_routing *o)
{
    free(o->cell);
    free(o->strange);
    free(o->entropy);
    free(o->margin);
    free(o->now);
    free(o->now_weight);
    memset(o, 0, sizeof *o);
}

static void out_shape(agt_routing *o, const routing *r)
{
    if (o->cell && o->n_layer == r->n_layer && o->n_expert == r->n_expert && o->k_max == r->max_k)
        return;
    agt_routing_free(o);
    size_t L = (size_t)r->n_layer + 1;
    o->n_layer = r->n_layer;
    o->n_expert = r->n_expert;
    o->k_max = r->max_k;
    o->cell = q_alloc(sizeof *o->cell * L * (size_t)(r->n_expert + 1));
    o->strange = q_alloc(sizeof *o->strange * L);
    o->entropy = q_alloc(sizeof *o->entropy * L);
    o->margin = q_alloc(sizeof *o->margin * L);
    o->now = q_alloc(sizeof *o->now * L * (size_t)r->max_k);
    o->now_weight = q_alloc(sizeof *o->now_weight * L * (size_t)r->max_k);
}

static void odd_insert(agt_routing *o, float score[8], int layer, int expert, float ratio, int8_t dev, float z)
{
    int at = o->n_odd;
    while (at > 0 && score[at - 1] < fabsf(z))
        at--;
    if (at == 8)
        return;
    int last = o->n_odd < 8 ? o->n_odd++ : 7;
    for (int i = last; i > at; i--) {
        o->odd[i] = o->odd[i - 1];
        score[i] = score[i - 1];
    }
    o->odd[at] = (agt_odd){ layer, expert, ratio, dev };
    score[at] = fabsf(z);
}

void routing_export(const routing *r, agt_routing *o)
{
    out_shape(o, r);
    int N = r->n_expert;
    static const usual nothing;
    const usual *u = r->u && r->u->n_layer == r->n_layer && r->u->n_expert == N ? r->u : &nothing;
    float score[8];
    o->first_layer = r->first;
    o->k = r->k;
    o->n_odd = 0;
    o->n_tokens = r->n_tokens;
    o->learned = (int)u->n;
    o->learn_need = USUAL_NEED;
    o->repeat = r->repeat_den > 0 ? (float)(r->repeat_num / r->repeat_den) : NAN;

    double chance = 0, entropy = 0, margin = 0;
    int n_chance = 0, n_entropy = 0, n_margin = 0;
    for (int l = 0; l < r->n_layer; l++) {
        double k = 0, sq = 0;
        for (int e = 0; e < N; e++)
            k += r->w1 > 0 ? r->hit[l * N + e] / r->w1 : 0;
        for (int e = 0; e < N; e++) {
            double rate = u->n > 0 ? usual_rate(u, l, e, k) : k / N;
            sq += rate * rate;
            o->cell[l * N + e].usual = (float)rate;
        }
        if (k > 0)
            chance += sq / k, n_chance++;
        o->entropy[l] = r->any ? r->entropy[l] : NAN;
        o->margin[l] = r->any ? r->margin[l] : NAN;
        if (!isnan(o->entropy[l]) && N > 1)
            entropy += o->entropy[l] / log(N), n_entropy++;
        if (isfinite(o->margin[l]))
            margin += o->margin[l], n_margin++;
    }
    o->repeat_chance = n_chance ? (float)(chance / n_chance) : NAN;
    o->mean_entropy = n_entropy ? (float)(entropy / n_entropy) : NAN;
    o->mean_margin = n_margin ? (float)(margin / n_margin) : NAN;

    double f = 0;
    if (!isnan(o->repeat) && !isnan(o->repeat_chance) && o->repeat_chance < 1) {
        f = (o->repeat - o->repeat_chance) / (1 - o->repeat_chance);
        f = f < 0 ? 0 : f > .8 ? .8 : f;
    }
    double n_eff = r->w2 > 0 ? r->w1 * r->w1 / r->w2 * (1 - f) / (1 + f) : 0;
    for (int l = 0; l < r->n_layer; l++) {
        double s = 0;
        for (int e = 0; e < N; e++) {
            agt_cell *c = &o->cell[l * N + e];
            c->rate = r->w1 > 0 ? (float)(r->hit[l * N + e] / r->w1) : 0;
            c->now = false;
            double z = 0;
            if (n_eff >= 4) {            /* fewer tokens say nothing */
                double low = 2 / n_eff, v = c->usual < low ? low : c->usual > 1 - low ? 1 - low : c->usual;
                z = (c->rate - c->usual) / sqrt(v * (1 - v) * (1 / n_eff + 1 / (u->n + USUAL_PRIOR)));
            }
            s += z * z;
            float m = fabsf((float)z);
            c->dev = (int8_t)(m < Z_MORE ? 0 : (m < Z_FAR ? 1 : 2) * (z < 0 ? -1 : 1));
            if (c->dev)
                odd_insert(o, score, l + r->first, e, c->usual > 0 ? c->rate / c->usual : 0, c->dev, (float)z);
        }
        o->strange[l] = N ? (float)(1 - exp(-s / N / 4)) : 0;
        for (int i = 0; i < r->max_k; i++) {
            uint16_t id = r->now[l * r->max_k + i];
            o->now[l * r->max_k + i] = id;
            o->now_weight[l * r->max_k + i] = r->now_weight[l * r->max_k + i];
            if (id < N)
                o->cell[l * N + id].now = true;
        }
    }
}

void agt_get_routing(agt *a, agt_routing *io)
{
    pthread_mutex_lock(&a->watch.mu);
    const routing *r = a->watch.show_stored ? &a->watch.stored : &a->watch.live;
    uint64_t version = r->version * 2 + (a->watch.show_stored ? 1 : 0) + 2;
    if (io->version != version) {
        routing_export(r, io);
        io->stored = a->watch.show_stored;
        io->version = version;
    }
    pthread_mutex_unlock(&a->watch.mu);
}

static void show(agt *a, const job *j) { routing_show(a, j->id); }
static const job_row job_show = { .name = "show", .lane = LANE_QUICK, .end = END_DROPPED, .run = show };

void agt_show_routing(agt *a, int64_t message)
{
    if (message) {
        desk_post(&a->desk, &job_show, message, 0, NULL, NULL);
        return;
    }
    pthread_mutex_lock(&a->watch.mu);
    if (a->watch.live.any)
        a->watch.show_stored = false;
    a->watch.live_wanted = true;               /* an empty window is nobody's wish: the stored answer stays until it fills */
    pthread_mutex_unlock(&a->watch.mu);
}

/* ---- feeding it ---- */
static void k_text(const eng_config *c, char *out, size_t n)
{
    q_buf b = { 0 };
    snprintf(out, n, "%s", eng_config_get(c, "experts.k", &b));
    q_buf_free(&b);
}

void routing_start(agt *a)
{
    const eng_info *info = eng_model_info(a->seat.model);
    char k[512];
    k_text(a->seat.cfg, k, sizeof k);
    usual_load(a, info->id, k);
    pthread_mutex_lock(&a->watch.mu);
    routing *r = &a->watch.live;
    int first = info->first_moe_layer, n = info->n_moe_layer;
    if (r->n_layer != n || r->n_expert != info->n_expert || r->n_all != info->n_layer || !r->hit)
        routing_shape(r, info->n_layer, first, n, info->n_expert, info->n_expert < 64 ? info->n_expert : 64);
    usual *u = n > 0 ? usual_get(a, info->id, k, n, info->n_expert) : NULL;
    /* Another k: rates of the old one would look like signs. But what is shown stays until there is something new. */
    r->fresh = u != r->u;
    r->next_u = u;
    if (!r->any) {
        r->u = u;
        r->fresh = false;
        r->k = eng_config_k(a->seat.cfg);
    }
    r->version++;
    pthread_mutex_unlock(&a->watch.mu);
}

/* Only routing that nobody bent teaches what is usual. */
static bool plain(const eng_config *c)
{
    static const char *const bent[] = { "experts.ban", "experts.pin", "experts.bias", "experts.temperature", "experts.min_p",
        "attention.heads_off", "ffn.width" };
    for (size_t i = 0; i < sizeof bent / sizeof *bent; i++)
        if (!eng_config_is_default(c, bent[i]))
            return false;
    return true;
}

typedef struct taking { agt *a; mem_trace *also; uint64_t config; bool learn; } taking;
static bool take(void *user, const eng_trace_rec *rec)
{
    taking *t = user;
    routing *r = &t->a->watch.live;
    if (t->a->watch.live_wanted)
        t->a->watch.show_stored = t->a->watch.live_wanted = false;
    if (r->fresh) {
        int seen = r->n_tokens;
        routing_clear(r);
        r->n_tokens = seen;
        r->u = r->next_u;
        r->fresh = false;
    }
    if (rec->n_layer == r->n_all && r->n_layer > 0)
        routing_add(r, rec->ids, rec->weights, rec->entropy, rec->margin, rec->max_k, t->learn && rec->config == t->config);
    if (t->also)
        mem_trace_add(t->also, rec->token, rec->pos, rec->config, rec->prompt, rec->max_k, rec->ids, rec->weights, rec->entropy, rec->margin);
    return true;
}

void routing_live(agt *a, mem_trace *also)
{
    if (!a->seat.session)
        return;
    taking t = { a, also, eng_config_hash(a->seat.cfg), plain(a->seat.cfg) };
    pthread_mutex_lock(&a->watch.mu);
    eng_trace_read(a->seat.session, &a->seat.trace_cursor, take, &t);
    pthread_mutex_unlock(&a->watch.mu);
}

/* ---- what is usual, before anybody said anything ---- */
static const char baseline[] =
    "The river rises in the hills to the north and runs for about forty miles before it reaches the sea. Small boats carry "
    "grain, timber and letters between the villages, and in spring the water often covers the lower fields. A bridge of "
    "stone was built here in 1784; the old ferry went on for another twenty years because it was cheaper.\n"
    "- Could you help me plan a short trip? I have two days and I like museums.\n- Of course. On the first day, start early, "
    "see the old town on foot, and have lunch near the market. What is your budget?\n- Not much, maybe fifty euros.\n"
    "def mean(values):\n    total = 0\n    for v in values:\n        total += v\n    return total / len(values)  # fails on []\n"
    "Water boils at a lower temperature on a mountain because the air presses less on it, so pasta takes longer to cook. "
    "List three fruits: apples, pears and plums. Is 17 a prime number? Yes, it has no divisors but 1 and itself.\n"
    "Dear Anna, thank you for your letter. I am sorry that I could not answer sooner; the children were ill and the days "
    "went by. We hope to see you in June.\nЗимой дни коротки, а вечера долги: мы читали вслух и пили чай.\n";

/* Evaluates the built-in text once for each (model, k) that nothing is known of, where that costs about a second at most
 * (parameters active at this k times tokens), in a session of its own, a few tokens at a time while nobody waits. */
bool routing_baseline(agt *a)
{
    if (!a->seat.model || a->seat.no_baseline)
        return false;
    const eng_info *info = eng_model_info(a->seat.model);
    pthread_mutex_lock(&a->watch.mu);
    usual *u = a->watch.live.fresh ? a->watch.live.next_u : a->watch.live.u;
    bool enough = !u || u->n >= USUAL_NEED;
    pthread_mutex_unlock(&a->watch.mu);
    if (enough || info->n_moe_layer == 0 || !plain(a->seat.cfg) || eng_model_cost(a->seat.model, a->seat.cfg).params > 400000000u)
        return false;

    char err[Q_ERRLEN];
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    eng_config *c = eng_config_copy(a->seat.cfg);
    routing r = { 0 };
    eng_config_set(c, "context.length", "512", err);
    bool done = eng_tokenize(a->seat.model, baseline, sizeof baseline - 1, false, &t, err) == Q_OK &&
                eng_session_new(a->seat.model, c, &s, err) == Q_OK;
    if (!done)
        a->seat.no_baseline = true;
    if (t.n > 512)
        t.n = 512;
    routing_shape(&r, info->n_layer, info->first_moe_layer, info->n_moe_layer, info->n_expert,
                  info->n_expert < 64 ? info->n_expert : 64);
    usual mine = { .n_layer = info->n_moe_layer, .n_expert = info->n_expert };
    mine.mean = q_alloc(sizeof *mine.mean * (size_t)(mine.n_layer * mine.n_expert + 1));
    bool again = false;
    for (int at = 0; done && at < t.n;) {
        again = desk_wanted(&a->desk);
        if (again)
            break;
        at = at + 32 < t.n ? at + 32 : t.n;
        if (eng_session_sync(s, t.id, at, ENG_CONTINUE, NULL, NULL, err) < 0) {
            a->seat.no_baseline = true;
            done = false;
        }
    }
    if (done && !again) {
        uint64_t cursor = 0;
        agt *shadow = q_alloc(sizeof *shadow);       /* take() writes into the live window of the room it is given */
        shadow->watch.live = r;
        shadow->watch.live.u = &mine;
        taking k = { shadow, NULL, eng_config_hash(c), true };
        eng_trace_read(s, &cursor, take, &k);
        r = shadow->watch.live;
        free(shadow);
        pthread_mutex_lock(&a->watch.mu);
        float sum = u->n + mine.n;
        for (int i = 0; i < u->n_layer * u->n_expert && sum > 0; i++)
            u->mean[i] = (u->n * u->mean[i] + mine.n * mine.mean[i]) / sum;
        u->n = sum < USUAL_MEMORY ? sum : USUAL_MEMORY;
        u->dirty = true;
        a->watch.live.version++;
        if (u->n < USUAL_NEED)
            a->seat.no_baseline = true;                   /* the ring kept too little of it: do not try for ever */
        pthread_mutex_unlock(&a->watch.mu);
        usual_save(a);
    }
    free(mine.mean);
    routing_free(&r);
    eng_session_free(s);
    eng_config_free(c);
    eng_tokens_free(&t);
    return again;
}

/* ---- a stored answer ---- */
void routing_show(agt *a, int64_t message)
{
    char err[Q_ERRLEN];
    mem_trace *t = NULL;
    mem_message m = { 0 };
    if (mem_trace_get(a->store, message, &t, err) < 0)
        return;
    if (mem_message_get(a->store, message, &m, err) < 0) {
        mem_trace_free(t);
        return;
    }
    /* Routed layers are those that name an expert. */
    int first = -1, last = -1, n_expert = 0, k = 0;
    for (int i = 0; i < t->n; i++)
        for (int l = 0; l < t->n_layer; l++) {
            const uint16_t *id = t->ids + ((size_t)i * (size_t)t->n_layer + (size_t)l) * (size_t)t->max_k;
            int n = 0;
            for (int s = 0; s < t->max_k; s++)
                if (id[s] != NONE) {
                    n++;
                    n_expert = id[s] + 1 > n_expert ? id[s] + 1 : n_expert;
                }
            if (n) {
                first = first < 0 || l < first ? l : first;
                last = l > last ? l : last;
                if (i == t->n - 1)
                    k = n > k ? n : k;
            }
        }
    if (first >= 0) {
        char text[24];
        snprintf(text, sizeof text, "%d", k);
        usual_load(a, m.model_id, text);
        pthread_mutex_lock(&a->watch.mu);
        usual *u = usual_get(a, m.model_id, text, 0, 0);
        if (u && (u->n_layer != last - first + 1 || u->n_expert < n_expert))
            u = NULL;
        int n = u ? u->n_expert : n_expert;
        routing_shape(&a->watch.stored, t->n_layer, first, last - first + 1, n, t->max_k);
        a->watch.stored.u = u;
        for (int i = 0; i < t->n; i++) {
            size_t row = (size_t)i * (size_t)t->n_layer;
            bool p = t->prompt[i];
            routing_add(&a->watch.stored, t->ids + row * (size_t)t->max_k, p ? NULL : t->weights + row * (size_t)t->max_k,
                        p ? NULL : t->entropy + row, p ? NULL : t->margin + row, t->max_k, false);
        }
        a->watch.show_stored = true;
        a->watch.live_wanted = false;
        pthread_mutex_unlock(&a->watch.mu);
    }
    mem_message_free(&m);
    mem_trace_free(t);
}
