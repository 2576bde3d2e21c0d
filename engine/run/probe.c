/* engine/run/probe: what becomes of a short text when one expert is missing. The whole text is one batch, so a layer reads no
 * cell but those that it writes itself; what entered each layer's router is kept from the first pass, and a pass with a
 * ban begins there. One thread, that of its cache. It decides nothing about what it finds. */
#include "engine/run/cache.h"
#include "engine/run/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct eng_probe {
    eng_cache *cache;
    eng_config *config;
    kv_line line;
    int n, n_layer;
    int32_t token[ENG_STEP_ROWS], cell[ENG_STEP_ROWS];
    uint8_t want[ENG_STEP_ROWS];
    int16_t slot[ENG_STEP_ROWS];
    float **input;                     /* [n_layer] of [n][n_embd] rows before the router; NULL: not routed */
    float *strength;                   /* [n_layer][n_expert] */
    double loss;
    bool (*go_on)(void *user);
    void *user;
};

static bool stopped(const eng_probe *p) { return p->go_on && !p->go_on(p->user); }

/* ---- how strong an expert's output is ---- */
static double norm(const float *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

/* A pair's row may come as terms still to be scaled: ker_moe. */
static double pair_norm(const ker_moe *m, size_t pair, int n_embd)
{
    if (!m->scale)
        return norm(m->y + pair * (size_t)n_embd, n_embd);
    double sum = 0;
    for (int i = 0; i < n_embd; i++) {
        double v = 0;
        for (int t = 0; t < m->n_term; t++) {
            size_t at = ((size_t)t * (size_t)m->n_pair + pair) * (size_t)n_embd + (size_t)i;
            v += (double)m->scale[at] * (double)m->y[at];
        }
        sum += v * v;
    }
    return sqrt(sum);
}

static void measure(eng_probe *p, int layer, const ker_moe *m)
{
    int n_embd = p->cache->m->ker.n_embd;
    float *to = p->strength + (size_t)layer * (size_t)p->cache->m->ker.n_expert;
    size_t pair = 0;
    for (int r = 0; r < m->n; r++) {
        double whole = norm(p->input[layer] + (size_t)r * (size_t)n_embd, n_embd);
        const uint16_t *id = m->ids + (size_t)r * (size_t)m->max_k;
        for (int k = 0; k < m->max_k && id[k] != KER_NO_EXPERT; k++, pair++) {
            double share = fabs((double)m->weights[(size_t)r * (size_t)m->max_k + (size_t)k]) * pair_norm(m, pair, n_embd) / (whole + 1e-9);
            if ((float)share > to[id[k]])
                to[id[k]] = (float)share;
        }
    }
}

/* ---- passes ---- */
/* The routed experts in three steps, so that each one's rows are seen; the same bytes as in one. */
static int experts_seen(eng_probe *p, int layer)
{
    eng_cache *k = p->cache;
    const ker_backend *be = k->m->on.be;
    ker_moe moe;
    int rc = be->moe_take(k->ctx, layer, &moe);
    if (!rc && !(rc = be->moe_run(k->ctx, layer, &moe))) {
        measure(p, layer, &moe);
        rc = be->moe_add(k->ctx, layer, &moe);
    }
    return rc;
}

/* The layers from `first` on. first 0 with keep: the whole text, and what the layers get is kept. */
static int layers(eng_probe *p, int first, bool keep)
{
    eng_cache *k = p->cache;
    const ker_backend *be = k->m->on.be;
    int rc = be->embed(k->ctx);
    if (!rc && !keep)
        rc = be->hidden_put(k->ctx, p->input[first]);
    for (int l = first; l < k->m->ker.n_layer && !rc; l++) {
        if (stopped(p))
            return Q_CANCEL;
        if (keep || l > first)
            rc = be->attn(k->ctx, l);
        if (rc)
            break;
        if (!k->m->layers[l].moe) {
            rc = be->dense(k->ctx, l);
            continue;
        }
        if (keep)
            rc = be->hidden_get(k->ctx, p->input[l]);
        if (!rc && !(rc = be->route(k->ctx, l)))
            rc = stopped(p) ? Q_CANCEL : keep ? experts_seen(p, l) : be->experts(k->ctx, l);
    }
    return rc ? rc : stopped(p) ? Q_CANCEL : be->head(k->ctx);
}

static double loss_of(const eng_probe *p, const ker_out *o)
{
    int n_vocab = p->cache->m->ker.n_vocab;
    double sum = 0;
    for (int r = 0; r + 1 < p->n; r++) {
        const float *x = o->logits + (size_t)r * (size_t)n_vocab;
        double most = (double)x[0], all = 0;
        for (int i = 1; i < n_vocab; i++)
            most = (double)x[i] > most ? (double)x[i] : most;
        for (int i = 0; i < n_vocab; i++)
            all += exp((double)x[i] - most);
        sum -= (double)x[p->token[r + 1]] - most - log(all);
    }
    return sum / (p->n - 1);
}

/* The batch ends whatever a part said; one that was given up is cancelled first, so that nothing of it is waited for. */
static int pass(eng_probe *p, const eng_config *c, int first, bool keep, double *loss, char *err)
{
    eng_cache *k = p->cache;
    const ker_backend *be = k->m->on.be;
    ker_seq seq = { p->line.page, p->line.n_page };
    ker_batch batch = { .n = p->n, .token = p->token, .pos = p->cell, .cell = p->cell, .slot = p->slot, .want = p->want, .seqs = &seq, .n_seq = 1 };
    char why[Q_ERRLEN] = "";
    ker_out out;
    int16_t slot = 0;
    k->clock++;
    int rc = cache_slot_of(k, c, eng_config_hash(c), &slot, err);
    if (rc)
        return rc;
    for (int r = 0; r < p->n; r++)
        p->slot[r] = slot;
    if ((rc = be->begin(k->ctx, kv_pool_kv(k->pool), &batch, why)))
        return *why ? q_fail(err, rc, "%s", why) : cache_failed(k, rc, err);
    rc = layers(p, first, keep);
    if (rc == Q_CANCEL)
        atomic_store(&k->cancel, 1);
    int end = be->end(k->ctx, &out);
    atomic_store(&k->cancel, 0);
    rc = rc ? rc : end;
    if (rc == Q_ERR && be->why)
        be->why(k->ctx, why);
    if (!rc && !isfinite(*loss = loss_of(p, &out)))
        *loss = (double)INFINITY;      /* the numbers end */
    return rc && *why ? q_fail(err, rc, "%s", why) : rc ? cache_failed(k, rc, err) : 0;
}

int eng_probe_new(eng_model *m, const eng_config *c, const int32_t *tokens, int n, bool (*go_on)(void *user), void *user,
                  eng_probe **out, char *err)
{
    char words[24];
    if (m->vocab_only || !m->info.n_moe_layer)
        return q_fail(err, Q_RANGE, _("a dense model has no experts that could be left out"));
    if (n < ENG_PROBE_LEAST || n > ENG_STEP_ROWS)
        return q_fail(err, Q_RANGE, _("a text of %d tokens cannot be tried: 2 to %d are"), n, ENG_STEP_ROWS);
    for (int i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= m->ker.n_vocab)
            return q_fail(err, Q_RANGE, _("token %d is not in the vocabulary: ids are 0 to %d"), (int)tokens[i], m->ker.n_vocab - 1);
    eng_probe *p = q_alloc(sizeof *p);
    *p = (eng_probe){ .config = eng_config_copy(c), .n = n, .n_layer = m->ker.n_layer, .go_on = go_on, .user = user };
    p->input = q_alloc(sizeof *p->input * (size_t)m->ker.n_layer);
    p->strength = q_alloc(sizeof *p->strength * (size_t)m->ker.n_layer * (size_t)m->ker.n_expert);
    for (int l = 0; l < m->ker.n_layer; l++)
        if (m->layers[l].moe)
            p->input[l] = q_alloc(sizeof **p->input * (size_t)n * (size_t)m->ker.n_embd);
    for (int i = 0; i < n; i++) {
        p->token[i] = tokens[i];
        p->cell[i] = i;
        p->want[i] = i + 1 < n ? KER_WANT_LOGITS : KER_WANT_NONE;
    }
    snprintf(words, sizeof words, "%d", n < 64 ? 64 : n);
    int rc = eng_config_set(p->config, "context.length", words, err);
    if (!rc)
        rc = eng_cache_new(m, p->config, 1, &p->cache, err);
    if (!rc && kv_extend(p->cache->pool, &p->line, n))
        rc = cache_failed(p->cache, Q_NOMEM, err);
    if (!rc) {
        model_threads(p->cache->m, p->config->v.threads);
        rc = pass(p, p->config, 0, true, &p->loss, err);
    }
    if (!rc && !isfinite(p->loss))
        rc = q_fail(err, Q_FORMAT, _("what is computed is not a number any more, with every expert in place: the model's file is damaged, get another copy"));
    if (rc) {
        eng_probe_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void eng_probe_free(eng_probe *p)
{
    if (!p)
        return;
    for (int l = 0; l < p->n_layer; l++)
        free(p->input[l]);
    if (p->cache) {
        kv_discard(p->cache->pool, &p->line);
        eng_cache_free(p->cache);
    }
    free(p->input);
    free(p->strength);
    eng_config_free(p->config);
    free(p);
}

double eng_probe_loss(const eng_probe *p) { return p->loss; }
const float *eng_probe_strength(const eng_probe *p) { return p->strength; }

int eng_probe_without(eng_probe *p, int layer, int expert, double *loss, char *err)
{
    const ker_model *m = &p->cache->m->ker;
    if (layer < 0 || layer >= m->n_layer || !p->input[layer] || expert < 0 || expert >= m->n_expert)
        return q_fail(err, Q_NOTFOUND, _("there is no expert %d in layer %d"), expert, layer);
    q_buf b = { 0 }, now = { 0 };
    const char *ban = eng_config_get(p->config, "experts.ban", &now);
    bool some = *ban && strcmp(ban, "none") != 0;
    q_buf_printf(&b, "%s%s%d:%d", some ? ban : "", some ? "," : "", layer, expert);
    eng_config *c = eng_config_copy(p->config);
    int rc = eng_config_set(c, "experts.ban", b.p, err);
    if (!rc) {
        model_threads(p->cache->m, p->config->v.threads);
        rc = pass(p, c, layer, false, loss, err);
    }
    eng_config_free(c);
    q_buf_free(&b);
    q_buf_free(&now);
    return rc;
}
