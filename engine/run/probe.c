/* engine/run/probe: what becomes of a short text when one expert is missing. The whole text is one batch, so a layer reads no
 * cell but those that it writes itself; what entered each layer's router is kept from the first pass, and a pass with a
 * ban begins there. Several bans share a pass, each in cells of its own. One thread, that of its cache. It decides nothing about
 * what it finds. */
#include "engine/run/cache.h"
#include "engine/run/config.h"
#include "engine/run/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BESIDE = 16 /* bans in a pass */, ROWS = 192 /* about: more are hardly faster, and somebody may wait */ };

/* A pass: rows that enter at a layer. */
typedef struct rows {
    int n, n_seq;
    int32_t token[ENG_STEP_ROWS], cell[ENG_STEP_ROWS];
    int16_t seq[ENG_STEP_ROWS], slot[ENG_STEP_ROWS];
    uint8_t want[ENG_STEP_ROWS];
    ker_seq seqs[BESIDE];
    int32_t page[BESIDE][ENG_STEP_ROWS / KER_PAGE];
    float *x;                          /* [n][n_embd] what enters; NULL: the embedding, and what enters each layer is kept */
    double loss[ENG_STEP_ROWS];        /* of each row: -log of the next token's probability */
} rows;

struct eng_probe {
    eng_cache *cache;
    eng_config *config;
    kv_line line, beside[BESIDE];
    int n, n_layer, max_k;
    int32_t token[ENG_STEP_ROWS];
    double row[ENG_STEP_ROWS];         /* losses of the text's tokens, all experts in place */
    float **input;                     /* [n_layer] of [n][n_embd] rows before the router; NULL: not routed */
    uint16_t *ids;                     /* [n_layer][n][max_k] which ran */
    float *strength;                   /* [n_layer][n_expert] */
    int *ran;                          /* [n_layer][n_expert] */
    double loss;
    rows *rows;
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

/* The layers from `first` on; without r->x from the first, and what the routed ones get is kept. */
static int layers(eng_probe *p, const rows *r, int first)
{
    eng_cache *k = p->cache;
    const ker_backend *be = k->m->on.be;
    bool keep = !r->x;
    int rc = be->embed(k->ctx);
    if (!rc && !keep)
        rc = be->hidden_put(k->ctx, r->x);
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

/* A row's loss is infinite where its numbers ended. */
static void judge(const eng_probe *p, rows *r, const ker_out *o)
{
    int32_t next[ENG_STEP_ROWS];
    int n = 0;
    for (int i = 0; i < r->n; i++)
        if (r->want[i] == KER_WANT_LOGITS)
            next[n++] = p->token[r->cell[i] + 1];
    double logp[ENG_STEP_ROWS];
    sample_logprobs(o->logits, p->cache->m->ker.n_vocab, next, n, logp);
    for (int i = n = 0; i < r->n; i++) {
        r->loss[i] = 0;
        if (r->want[i] == KER_WANT_LOGITS) {
            r->loss[i] = o->bad[i].part != KER_PART_NONE || !isfinite(logp[n]) ? (double)INFINITY : -logp[n];
            n++;
        }
    }
}

static void begin(eng_probe *p)
{
    p->rows->n = p->rows->n_seq = 0;
    p->cache->clock++;
}

static void add(eng_probe *p, int token, int slot)
{
    rows *r = p->rows;
    r->token[r->n] = p->token[token];
    r->cell[r->n] = token;
    r->seq[r->n] = (int16_t)(r->n_seq - 1);
    r->slot[r->n] = (int16_t)slot;
    r->want[r->n++] = token + 1 < p->n ? KER_WANT_LOGITS : KER_WANT_NONE;
}

/* The batch ends whatever a part said; one that was given up is cancelled first, so that nothing of it is waited for. */
static int pass(eng_probe *p, int first, ker_out *out, char *err)
{
    eng_cache *k = p->cache;
    const ker_backend *be = k->m->on.be;
    rows *r = p->rows;
    ker_batch batch = { .n = r->n, .token = r->token, .pos = r->cell, .cell = r->cell, .seq = r->seq, .slot = r->slot, .want = r->want, .seqs = r->seqs, .n_seq = r->n_seq };
    char why[Q_ERRLEN] = "";
    model_threads(k->m, p->config->v.threads);
    int rc = be->begin(k->ctx, kv_pool_kv(k->pool), &batch, why);
    if (rc)
        return *why ? q_fail(err, rc, "%s", why) : cache_failed(k, rc, err);
    rc = layers(p, r, first);
    if (rc == Q_CANCEL)
        atomic_store(&k->cancel, 1);
    int end = be->end(k->ctx, out);
    atomic_store(&k->cancel, 0);
    rc = rc ? rc : end;
    if (rc == Q_ERR && be->why)
        be->why(k->ctx, why);
    if (!rc)
        judge(p, r, out);
    return rc && *why ? q_fail(err, rc, "%s", why) : rc ? cache_failed(k, rc, err) : 0;
}

/* All experts in place: what a later pass begins with, and who ran for which token. */
static int whole(eng_probe *p, char *err)
{
    const ker_model *m = &p->cache->m->ker;
    ker_out out;
    int16_t slot = 0;
    begin(p);
    p->rows->seqs[0] = (ker_seq){ .page = p->line.page, .n_page = p->line.n_page };
    p->rows->n_seq = 1;
    int rc = cache_slot_of(p->cache, p->config, eng_config_hash(p->config), &slot, err);
    for (int i = 0; i < p->n; i++)
        add(p, i, slot);
    if (rc || (rc = pass(p, 0, &out, err)))
        return rc;
    size_t n_ids = (size_t)m->n_layer * (size_t)p->n * (size_t)out.max_k;
    p->max_k = out.max_k;
    p->ids = q_alloc(sizeof *p->ids * n_ids);
    memcpy(p->ids, out.ids, sizeof *p->ids * n_ids);
    p->loss = 0;
    for (int i = 0; i + 1 < p->n; i++)
        p->loss += p->row[i] = p->rows->loss[i];
    p->loss /= p->n - 1;
    for (int l = 0; l < m->n_layer; l++)
        for (int i = 0; p->input[l] && i + 1 < p->n; i++) {
            const uint16_t *id = p->ids + ((size_t)l * (size_t)p->n + (size_t)i) * (size_t)p->max_k;
            for (int j = 0; j < p->max_k && id[j] != KER_NO_EXPERT; j++)
                p->ran[(size_t)l * (size_t)m->n_expert + id[j]]++;
        }
    return isfinite(p->loss) ? 0 : q_fail(err, Q_FORMAT, _("what is computed is not a number any more, with every expert in place: the model's file is damaged, get another copy"));
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
    p->rows = q_alloc(sizeof *p->rows);
    p->ran = q_alloc(sizeof *p->ran * (size_t)m->ker.n_layer * (size_t)m->ker.n_expert);
    p->input = q_alloc(sizeof *p->input * (size_t)m->ker.n_layer);
    p->strength = q_alloc(sizeof *p->strength * (size_t)m->ker.n_layer * (size_t)m->ker.n_expert);
    for (int l = 0; l < m->ker.n_layer; l++)
        if (m->layers[l].moe)
            p->input[l] = q_alloc(sizeof **p->input * (size_t)n * (size_t)m->ker.n_embd);
    memcpy(p->token, tokens, sizeof *tokens * (size_t)n);
    snprintf(words, sizeof words, "%d", n < 64 ? 64 : n);
    int rc = eng_config_set(p->config, "context.length", words, err);
    if (!rc)
        rc = eng_cache_new(m, p->config, 1 + BESIDE, &p->cache, err);
    for (int i = 0; i <= BESIDE && !rc; i++)
        if (kv_extend(p->cache->pool, i ? &p->beside[i - 1] : &p->line, n))
            rc = cache_failed(p->cache, Q_NOMEM, err);
    if (!rc)
        rc = whole(p, err);
    if (!rc)
        p->rows->x = q_alloc(sizeof *p->rows->x * (size_t)(n > ROWS ? n : ROWS) * (size_t)m->ker.n_embd);
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
        for (int i = 0; i < BESIDE; i++)
            kv_discard(p->cache->pool, &p->beside[i]);
        kv_discard(p->cache->pool, &p->line);
        eng_cache_free(p->cache);
    }
    free(p->rows->x);
    free(p->rows);
    free(p->input);
    free(p->ids);
    free(p->strength);
    free(p->ran);
    eng_config_free(p->config);
    free(p);
}

double eng_probe_loss(const eng_probe *p) { return p->loss; }
const float *eng_probe_strength(const eng_probe *p) { return p->strength; }

const int *eng_probe_ran(const eng_probe *p) { return p->ran; }

/* ---- one expert less ---- */
/* What was tried before the text was read again under the probe's own settings, with one ban more. */
static int banned(const eng_probe *p, int layer, int expert, eng_config **out, char *err)
{
    q_buf b = { 0 }, now = { 0 };
    const char *ban = eng_config_get(p->config, "experts.ban", &now);
    bool some = *ban && strcmp(ban, "none") != 0;
    q_buf_printf(&b, "%s%s%d:%d", some ? ban : "", some ? "," : "", layer, expert);
    *out = eng_config_copy(p->config);
    int rc = eng_config_set(*out, "experts.ban", b.p, err);
    q_buf_free(&b);
    q_buf_free(&now);
    return rc;
}

/* The tokens whose rows change: those that it ran for, or all that are judged. Recurrent layers take a row after the other: all. */
static int tokens_of(const eng_probe *p, int layer, int expert, bool own, int32_t *token)
{
    int n = 0;
    own = own && !kv_has_states(p->cache->pool);
    for (int i = 0; i + 1 < p->n; i++) {
        const uint16_t *id = p->ids + ((size_t)layer * (size_t)p->n + (size_t)i) * (size_t)p->max_k;
        bool in = !own;
        for (int j = 0; j < p->max_k && id[j] != KER_NO_EXPERT && !in; j++)
            in = id[j] == expert;
        if (in)
            token[n++] = i;
    }
    return n;
}

/* Cells of their own for those tokens, the others as they were. With all of them nothing has to be copied: later layers read
 * only what this pass writes. */
static int take(eng_probe *p, int layer, int expert, const int32_t *token, int n, char *err)
{
    rows *r = p->rows;
    const ker_backend *be = p->cache->m->on.be;
    size_t n_embd = (size_t)p->cache->m->ker.n_embd;
    int seq = r->n_seq++;
    int16_t slot = 0;
    eng_config *c = NULL;
    int rc = banned(p, layer, expert, &c, err);
    if (!rc)
        rc = cache_slot_of(p->cache, c, eng_config_hash(c), &slot, err);
    eng_config_free(c);
    for (int g = 0; g < p->line.n_page; g++) {
        bool mine = g >= token[0] / KER_PAGE && g <= token[n - 1] / KER_PAGE;
        int cells = p->n - g * KER_PAGE;
        r->page[seq][g] = mine ? p->beside[seq].page[g] : p->line.page[g];
        if (mine && n + 1 < p->n)
            be->kv_copy(kv_pool_kv(p->cache->pool), r->page[seq][g], p->line.page[g], cells < KER_PAGE ? cells : KER_PAGE);
    }
    r->seqs[seq] = (ker_seq){ .page = r->page[seq], .n_page = p->line.n_page };
    for (int i = 0; i < n; i++) {
        memcpy(r->x + (size_t)r->n * n_embd, p->input[layer] + (size_t)token[i] * n_embd, sizeof *r->x * n_embd);
        add(p, token[i], slot);
    }
    return rc;
}

int eng_probe_try(eng_probe *p, int layer, const int *expert, int n, bool own, double *loss, char *err)
{
    const ker_model *m = &p->cache->m->ker;
    const rows *r = p->rows;
    int room = p->n > ROWS ? p->n : ROWS, rc = 0;
    for (int i = 0; i < n; i++)
        if (layer < 0 || layer >= m->n_layer || !p->input[layer] || expert[i] < 0 || expert[i] >= m->n_expert)
            return q_fail(err, Q_NOTFOUND, _("there is no expert %d in layer %d"), expert[i], layer);
    for (int done = 0, i = 0; done < n && !rc; done = i) {
        int32_t token[ENG_STEP_ROWS];
        int count, seq_of[BESIDE];
        begin(p);
        for (; i < n && r->n_seq < BESIDE && !rc; i++) {
            loss[i] = p->loss;
            if (!(count = tokens_of(p, layer, expert[i], own, token)))
                continue;
            if (r->n + count > room)
                break;
            seq_of[r->n_seq] = i;
            rc = take(p, layer, expert[i], token, count, err);
        }
        ker_out out;
        if (!r->n || rc || (rc = pass(p, layer, &out, err)))
            continue;
        for (int s = 0, at = 0; s < r->n_seq; s++) {
            double sum = 0;
            for (int t = 0; t + 1 < p->n; t++)
                sum += at < r->n && r->seq[at] == s && r->cell[at] == t ? r->loss[at++] : p->row[t];
            loss[seq_of[s]] = sum / (p->n - 1);
        }
    }
    return rc;
}

int eng_probe_without(eng_probe *p, int layer, int expert, double *loss, char *err) { return eng_probe_try(p, layer, &expert, 1, false, loss, err); }
