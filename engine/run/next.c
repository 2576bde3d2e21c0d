/* engine/run/next: see next.h. A token's row needs the hidden row of the token before it, so rows wait until a draft is asked for or
 * there are enough of them for a batch; the row of the token at hand is evaluated with the draft, those of foretold tokens
 * lie behind it and are written over. */
#include "engine/run/next.h"
#include "engine/run/model.h"
#include "engine/run/weights.h"
#include "engine/run/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 64 };                    /* of a batch */

struct next_head {
    const eng_model *m;
    ker_model ker;                     /* of one layer; ker.layer = &layer */
    ker_layer layer;
    const ker_backend *be;
    ker_dev *dev;
    int threads;
    void *k_b;                         /* made of attn_kv_b, where the file has that; its own */
};

struct next_line {
    next_head *h;
    ker_ctx *ctx;
    ker_kv *kv;
    int32_t *page;
    int n_page, cells;                 /* rows of the text that are evaluated */
    int32_t token[ROWS + 1];           /* rows that wait: a token ... */
    float *hidden;                     /* [ROWS + 1][n_embd] ... and what was left of the one before it */
    int n;
    float *last;                       /* [n_embd] what was left of the last token */
    uint64_t chain, config;            /* of the last token; 0: nothing is known. Of the settings */
    bool ahead;                        /* the last cell is of a token that was drafted behind and is not read yet */
    int32_t ahead_token;
    float *step;                       /* [n_embd] the head's own hidden row */
};

/* ---- the head ---- */

/* The weights of layer -1: the head's own where the file has one, else the model's. */
static const struct { enum ker_role role; const char *own, *whole, *tied; } top[] = {
    { KER_W_EMBD, "nextn.embed_tokens.weight", "token_embd.weight", NULL },
    { KER_W_OUT_NORM, "nextn.shared_head_norm.weight", "output_norm.weight", NULL },
    { KER_W_OUT, "nextn.shared_head_head.weight", "output.weight", "token_embd.weight" },
    { KER_W_NEXT_E_NORM, "nextn.enorm.weight", NULL, NULL },
    { KER_W_NEXT_H_NORM, "nextn.hnorm.weight", NULL, NULL },
    { KER_W_NEXT_PROJ, "nextn.eh_proj.weight", NULL, NULL },
};

static int put(next_head *h, enum ker_role role, int layer, const char *name, const ker_weight *w, char *err)
{
    char why[Q_ERRLEN];
    int rc = h->be->weight(h->dev, layer, role, w, why);
    return rc ? q_fail(err, rc, "%s: %s: %s", h->m->path, name, why) : 0;
}

static int add_top(next_head *h, char *err)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof top / sizeof *top && !rc; i++) {
        char name[128];
        snprintf(name, sizeof name, "blk.%d.%s", h->m->ker.n_layer, top[i].own);
        const gguf_tensor *t = gguf_tensor_find(h->m->file, name);
        if (!t && top[i].whole) t = gguf_tensor_find(h->m->file, top[i].whole);
        if (!t && top[i].tied) t = gguf_tensor_find(h->m->file, top[i].tied);
        if (!t)
            return q_fail(err, Q_FORMAT, _("%s: the tensor %s is missing: without it the head cannot draft; set draft to ngram or off"), h->m->path, name);
        rc = put(h, top[i].role, -1, name, &(ker_weight){ .type = t->type, .ne = { t->ne[0], t->ne[1], t->ne[2] }, .data = t->data, .bytes = t->bytes }, err);
    }
    return rc;
}

/* Its layer stands in the file behind the model's: for names and shapes a model of one layer more. */
static int add_layer(next_head *h, char *err)
{
    int at = h->m->ker.n_layer, rc = 0;
    ker_layer *layers = q_alloc(sizeof *layers * (size_t)(at + 1));
    eng_model longer = *h->m;
    memcpy(layers, h->m->layers, sizeof *layers * (size_t)at);
    layers[at] = h->layer;
    longer.layers = layers;
    longer.ker.layer = layers;
    longer.ker.n_layer = at + 1;
    for (int r = 0; r < KER_W_ROLES && !rc; r++) {
        weight_view v;
        rc = weight_find(&longer, (enum ker_role)r, at, &v, err);
        if (!rc && v.across)
            v.data = h->k_b = weight_turned(h->m, &v);
        if (!rc)
            rc = put(h, (enum ker_role)r, 0, v.name, &(ker_weight){ .type = v.type, .ne = { v.ne[0], v.ne[1], v.ne[2] }, .data = v.data, .bytes = v.bytes, .stride = v.stride }, err);
        else if (rc == Q_NOTFOUND)
            rc = 0;
    }
    free(layers);
    return rc;
}

int next_open(eng_model *m, char *err)
{
    if (m->next.head)
        return 0;
    next_head *h = q_alloc(sizeof *h);
    h->m = m;
    h->be = ker_cpu();
    h->layer = m->layers[m->ker.n_layer - 1];
    h->layer.mixer = m->arch->latent ? KER_MIX_MLA : KER_MIX_GQA;
    h->layer.q_gate = m->arch->delta.layers;
    h->ker = m->ker;
    h->ker.n_layer = 1;
    h->ker.layer = &h->layer;
    h->ker.next = true;
    h->threads = m->n_threads;
    int rc = h->be->open(&h->ker, h->threads, NULL, &h->dev, err);
    if (!rc) rc = add_top(h, err);
    if (!rc) rc = add_layer(h, err);
    if (!rc) rc = h->be->ready(h->dev, err);
    if (rc)
        next_close(h);
    else
        m->next.head = h;
    return rc;
}

void next_close(next_head *h)
{
    if (!h)
        return;
    if (h->dev)
        h->be->close(h->dev);
    free(h->k_b);
    free(h);
}

/* ---- a timeline's ---- */

static int pages(int context) { return context / KER_PAGE + 2; }
uint64_t next_page(const eng_model *m) { return (uint64_t)ker_kv_head_bytes(&m->ker, KER_KV_F16) * (uint64_t)m->ker.n_kv_head; }

int next_fits(const eng_model *m, int context, char *err)
{
    uint64_t have = m->on.be == ker_cpu() ? room_beside(m) : q_mem_available(), need = next_page(m) * (uint64_t)pages(context);
    char w1[32], w2[32];
    return have == 0 || need <= have ? 0
         : q_fail(err, Q_NOMEM, _("the head that drafts needs %s for its own cells, but %s of memory are free: set context.length lower, or draft to ngram or off"),
                  q_bytes_words(need, w1), q_bytes_words(have, w2));
}

next_line *next_new(eng_model *m, int context, const atomic_int *cancel)
{
    char ignored[Q_ERRLEN];
    if (next_fits(m, context, ignored))
        return NULL;
    next_line *l = q_alloc(sizeof *l);
    l->h = m->next.head;
    l->n_page = pages(context);
    l->page = q_alloc(sizeof *l->page * (size_t)l->n_page);
    for (int i = 0; i < l->n_page; i++)
        l->page[i] = i;
    size_t row = sizeof(float) * (size_t)m->ker.n_embd;
    l->hidden = q_alloc(row * (ROWS + 1));
    l->last = q_alloc(row);
    l->step = q_alloc(row);
    if (l->h->be->ctx_new(l->h->dev, ROWS + 1, m->ker.n_expert, cancel, &l->ctx, ignored) || l->h->be->kv_new(l->h->dev, KER_KV_F16, l->n_page, &l->kv, ignored)) {
        next_free(l);
        return NULL;
    }
    return l;
}

void next_free(next_line *l)
{
    if (!l)
        return;
    if (l->kv)
        l->h->be->kv_free(l->kv);
    if (l->ctx)
        l->h->be->ctx_free(l->ctx);
    free(l->page);
    free(l->hidden);
    free(l->last);
    free(l->step);
    free(l);
}

/* Positions, norms and scale as the text has them; of experts the file's own number: they are the model's that is edited, not the head's. */
bool next_config(next_line *l, const eng_config *c, uint64_t hash)
{
    char ignored[Q_ERRLEN];
    if (l->config == hash)
        return true;
    config_ker k;
    config_ker_build(c, &k);
    int16_t used = (int16_t)l->h->m->info.n_expert_used;
    ker_config own = { .norm_eps = k.k.norm_eps, .rope_freq = k.k.rope_freq, .rope_mscale = k.k.rope_mscale, .rope_local = k.k.rope_local, .rope_local_mscale = k.k.rope_local_mscale,
                       .attn_scale = k.k.attn_scale, .k = &used, .router_temperature = 1 };
    int rc = l->h->be->cfg_put(l->ctx, 0, &own, ignored);
    config_ker_free(&k);
    l->config = rc ? 0 : hash;
    return !rc;
}

static void forget(next_line *l)
{
    l->cells = l->n = 0;
    l->chain = 0;
    l->ahead = false;
}

/* Rows at cells `at` and on; of the last one the wish. */
static int run(next_line *l, const int32_t *token, const float *hidden, int n, int at, uint8_t want, ker_out *out)
{
    next_head *h = l->h;
    int32_t cell[ROWS + 1];
    uint8_t wants[ROWS + 1] = { 0 };
    char ignored[Q_ERRLEN];
    if (h->threads != h->m->n_threads)
        h->be->set_threads(h->dev, h->threads = h->m->n_threads);
    for (int i = 0; i < n; i++)
        cell[i] = at + i;
    wants[n - 1] = want;
    ker_seq seq = { .page = l->page, .n_page = l->n_page };
    ker_batch b = { .n = n, .token = token, .pos = cell, .cell = cell, .want = wants, .seqs = &seq, .n_seq = 1, .phase = n > 4 ? 0 : 1, .hidden = hidden };
    int rc = h->be->begin(l->ctx, l->kv, &b, ignored);
    if (!rc) rc = h->be->embed(l->ctx);
    if (!rc) rc = h->be->attn(l->ctx, 0);
    if (!rc) rc = h->layer.moe ? h->be->route(l->ctx, 0) : h->be->dense(l->ctx, 0);
    if (!rc && h->layer.moe) rc = h->be->experts(l->ctx, 0);
    if (!rc) rc = h->be->head(l->ctx);
    int end = h->be->end(l->ctx, out);
    rc = rc ? rc : end;
    return !rc && out->n_bad ? Q_FORMAT : rc;
}

/* What waits becomes cells. One that began too far back begins anew. */
static bool catch_up(next_line *l, uint8_t want, ker_out *out)
{
    if (l->cells + l->n + NEXT_MOST > l->n_page * KER_PAGE)
        l->cells = 0;
    if (!l->n || run(l, l->token, l->hidden, l->n, l->cells, want, out)) {
        forget(l);
        return false;
    }
    l->cells += l->n;
    l->n = 0;
    return true;
}

static void wait(next_line *l, int32_t token, const float *hidden)
{
    size_t row = (size_t)l->h->ker.n_embd;
    memcpy(l->hidden + (size_t)l->n * row, hidden, sizeof(float) * row);
    l->token[l->n++] = token;
}

void next_read(next_line *l, const int32_t *token, int n, const float *hidden, uint64_t before, uint64_t after)
{
    size_t row = (size_t)l->h->ker.n_embd;
    bool goes_on = l->chain != 0 && l->chain == before, there = goes_on && l->ahead && l->ahead_token == token[0];
    if (!goes_on)
        forget(l);
    else if (l->ahead && !there)
        l->cells--;
    l->ahead = false;
    for (int i = 0; i < n; i++) {
        const float *of = i ? hidden + (size_t)(i - 1) * row : goes_on && !there ? l->last : NULL;
        ker_out out;
        if (of)
            wait(l, token[i], of);
        if (l->n == ROWS && !catch_up(l, KER_WANT_NONE, &out))
            return;
    }
    memcpy(l->last, hidden + (size_t)(n - 1) * row, sizeof(float) * row);
    l->chain = after;
}

/* The token's own row, which stays if it is read next. */
static bool behind(next_line *l, int32_t token, uint64_t before, ker_out *out)
{
    if (!l->chain || l->chain != before)
        return false;
    l->cells -= l->ahead;
    wait(l, token, l->last);
    if (!catch_up(l, KER_WANT_LOGITS | KER_WANT_HIDDEN, out))
        return false;
    l->ahead = true;
    l->ahead_token = token;
    return true;
}

static int32_t largest(const float *logits, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

int next_draft(next_line *l, int32_t token, int most, uint64_t before, int32_t *out)
{
    ker_out o;
    int n = 0, n_vocab = l->h->ker.n_vocab;
    if (most < 1 || !behind(l, token, before, &o))
        return 0;
    out[n++] = largest(o.logits, n_vocab);
    while (n < most && n < NEXT_MOST) {
        memcpy(l->step, o.hidden, sizeof(float) * (size_t)l->h->ker.n_embd);
        if (run(l, &out[n - 1], l->step, 1, l->cells + n - 1, KER_WANT_LOGITS | KER_WANT_HIDDEN, &o))
            break;
        out[n] = largest(o.logits, n_vocab);
        n++;
    }
    return n;
}

const float *next_logits(next_line *l, int32_t token, uint64_t before)
{
    ker_out o;
    return behind(l, token, before, &o) ? o.logits : NULL;
}
