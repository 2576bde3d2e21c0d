/* kernels/cpu/enc: an encoder's description, weights and memory. The pass is in enc_pass.c. One caller thread; nothing
 * here runs during a pass. */
#include "kernels/cpu/enc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum enc_dim { DIM_ONE, DIM_EMBD, DIM_VOCAB, DIM_POS, DIM_TYPE, DIM_FF };
enum enc_when { WHEN_MODEL, WHEN_LEARNED, WHEN_TYPES, WHEN_LAYER, WHEN_GATED };

typedef struct enc_role_row {
    const char *name;
    enum enc_dim ne[2];
    enum enc_when when;
    bool must, vec;
} enc_role_row;

static const enc_role_row rows[KER_ENC_ROLES] = {
    [KER_ENC_EMBD] = { N_("the token embedding"), { DIM_EMBD, DIM_VOCAB }, WHEN_MODEL, true, false },
    [KER_ENC_POS] = { N_("the table of places"), { DIM_EMBD, DIM_POS }, WHEN_LEARNED, true, false },
    [KER_ENC_TYPE] = { N_("the table of token types"), { DIM_EMBD, DIM_TYPE }, WHEN_TYPES, true, false },
    [KER_ENC_EMBD_NORM] = { N_("the embedding's norm"), { DIM_EMBD }, WHEN_MODEL, true, true },
    [KER_ENC_EMBD_NORM_B] = { N_("the bias of the embedding's norm"), { DIM_EMBD }, WHEN_MODEL, false, true },
    [KER_ENC_Q] = { N_("the attention's Q"), { DIM_EMBD, DIM_EMBD }, WHEN_LAYER, true, false },
    [KER_ENC_K] = { N_("the attention's K"), { DIM_EMBD, DIM_EMBD }, WHEN_LAYER, true, false },
    [KER_ENC_V] = { N_("the attention's V"), { DIM_EMBD, DIM_EMBD }, WHEN_LAYER, true, false },
    [KER_ENC_O] = { N_("the attention's output"), { DIM_EMBD, DIM_EMBD }, WHEN_LAYER, true, false },
    [KER_ENC_BQ] = { N_("the bias of Q"), { DIM_EMBD }, WHEN_LAYER, false, true },
    [KER_ENC_BK] = { N_("the bias of K"), { DIM_EMBD }, WHEN_LAYER, false, true },
    [KER_ENC_BV] = { N_("the bias of V"), { DIM_EMBD }, WHEN_LAYER, false, true },
    [KER_ENC_BO] = { N_("the bias of the attention's output"), { DIM_EMBD }, WHEN_LAYER, false, true },
    [KER_ENC_ATTN_NORM] = { N_("the attention norm"), { DIM_EMBD }, WHEN_LAYER, true, true },
    [KER_ENC_ATTN_NORM_B] = { N_("the bias of the attention norm"), { DIM_EMBD }, WHEN_LAYER, false, true },
    [KER_ENC_GATE] = { N_("the feed-forward gate"), { DIM_EMBD, DIM_FF }, WHEN_GATED, true, false },
    [KER_ENC_UP] = { N_("the feed-forward up"), { DIM_EMBD, DIM_FF }, WHEN_LAYER, true, false },
    [KER_ENC_DOWN] = { N_("the feed-forward down"), { DIM_FF, DIM_EMBD }, WHEN_LAYER, true, false },
    [KER_ENC_BUP] = { N_("the bias of the feed-forward up"), { DIM_FF }, WHEN_LAYER, false, true },
    [KER_ENC_BDOWN] = { N_("the bias of the feed-forward down"), { DIM_EMBD }, WHEN_LAYER, false, true },
    [KER_ENC_FFN_NORM] = { N_("the feed-forward norm"), { DIM_EMBD }, WHEN_LAYER, true, true },
    [KER_ENC_FFN_NORM_B] = { N_("the bias of the feed-forward norm"), { DIM_EMBD }, WHEN_LAYER, false, true },
};

static int64_t width(const ker_enc_model *m, enum enc_dim d)
{
    const int64_t of[] = { [DIM_ONE] = 1, [DIM_EMBD] = m->n_embd, [DIM_VOCAB] = m->n_vocab, [DIM_POS] = m->n_pos, [DIM_TYPE] = m->n_type, [DIM_FF] = m->n_ff };
    return of[d];
}

static bool here(const ker_enc_model *m, int layer, enum ker_enc_role role)
{
    if ((unsigned)role >= KER_ENC_ROLES || layer < -1 || layer >= m->n_layer) return false;
    switch (rows[role].when) {
    case WHEN_MODEL: return layer < 0;
    case WHEN_LEARNED: return layer < 0 && !m->rope;
    case WHEN_TYPES: return layer < 0 && m->n_type > 0;
    case WHEN_LAYER: return layer >= 0;
    case WHEN_GATED: return layer >= 0 && m->gated;
    }
    return false;
}

int ker_enc_open(const ker_enc_model *m, int n_threads, bool exact, ker_enc **out, char *err)
{
    *out = NULL;
    if (m->n_layer < 1 || m->n_embd < 1 || m->n_head < 1 || m->n_embd % m->n_head || m->n_ff < 1 || m->n_vocab < 1 || m->n_pos < 1 || m->n_type < 0)
        return q_fail(err, Q_FORMAT, _("an encoder of %d layers, %d numbers a row, %d heads, %d inner numbers and %d places cannot be: the file is damaged"),
                      m->n_layer, m->n_embd, m->n_head, m->n_ff, m->n_pos);
    if (m->rope && m->n_embd / m->n_head % 2)
        return q_fail(err, Q_FORMAT, _("heads of %d numbers cannot be rotated in pairs: the file is damaged"), m->n_embd / m->n_head);
    ker_enc *e = q_alloc(sizeof *e);
    e->m = *m;
    e->exact = exact;
    e->layer = q_alloc(sizeof *e->layer * ((size_t)m->n_layer + 1));
    e->v = vec_get();
    e->pool = pool_new_most(n_threads);
    if (!e->pool) {
        ker_enc_close(e);
        return q_fail(err, Q_NOMEM, _("no memory for what threads compute with: close other programs and try again"));
    }
    *out = e;
    return Q_OK;
}

void ker_enc_close(ker_enc *e)
{
    if (!e) return;
    enc_room_free(e);
    pool_free(e->pool);
    for (int i = 0; i <= e->m.n_layer; i++)
        for (int r = 0; r < KER_ENC_ROLES; r++) {
            free(e->layer[i].vec[r]);
            free(e->layer[i].own[r]);
        }
    free(e->layer);
    free(e);
}

int ker_enc_threads(const ker_enc *e) { return pool_threads(e->pool); }

/* A matrix of n_rows rows in F32. */
static float *decoded(const ker_weight *w, int64_t n_in, int64_t n_rows)
{
    int64_t bytes = ker_row_bytes(w->type, n_in);
    float *to = malloc(sizeof(float) * (size_t)(n_in * n_rows));
    for (int64_t i = 0; to && i < n_rows; i++)
        ker_type_get(w->type)->decode((const uint8_t *)w->data + i * bytes, to + i * n_in, n_in);
    return to;
}

int ker_enc_weight(ker_enc *e, int layer, enum ker_enc_role role, const ker_weight *w, char *err)
{
    if (!here(&e->m, layer, role))
        return q_fail(err, Q_ERR, _("a weight was given for layer %d, which has no such place"), layer);
    const enc_role_row *row = &rows[role];
    const char *name = _(row->name);
    const ker_type *t = ker_type_get(w->type);
    if (!t || !t->weight)
        return q_fail(err, Q_FORMAT, _("%s of layer %d has type %d, which cannot be computed with: use another quantisation of the model"), name, layer, w->type);
    int64_t ne[2] = { width(&e->m, row->ne[0]), width(&e->m, row->ne[1]) };
    if (w->ne[0] != ne[0] || w->ne[1] != ne[1] || w->ne[2] != 1)
        return q_fail(err, Q_FORMAT, _("%s of layer %d is %lld x %lld x %lld, expected %lld x %lld: the file is damaged or of an unknown variant"), name, layer,
                      (long long)w->ne[0], (long long)w->ne[1], (long long)w->ne[2], (long long)ne[0], (long long)ne[1]);
    if (ne[0] % t->block)
        return q_fail(err, Q_FORMAT, _("%s of layer %d: rows of %lld do not fill blocks of %s: the file is damaged"), name, layer, (long long)ne[0], t->name);
    if (!w->data || w->bytes < (size_t)(ker_row_bytes(w->type, ne[0]) * ne[1]))
        return q_fail(err, Q_FORMAT, _("%s of layer %d is cut short: get another copy of the file"), name, layer);
    enc_layer *l = enc_at(e, layer);
    free(l->vec[role]);
    free(l->own[role]);
    l->vec[role] = l->own[role] = NULL;
    l->w[role] = (mat){ .type = w->type, .n_in = ne[0], .n_out = ne[1], .data = w->data, .row_bytes = ker_row_bytes(w->type, ne[0]) };
    bool whole = layer < 0 && !row->vec;           /* tables: a row at a time is read */
    if (row->vec || (e->exact && !whole)) {
        float *f = decoded(w, ne[0], ne[1]);
        if (!f) return q_fail(err, Q_NOMEM, _("no memory for the weights of an encoder: close something or take a smaller one"));
        if (row->vec) l->vec[role] = f;
        else {
            l->own[role] = f;
            l->w[role] = (mat){ .type = KER_F32, .n_in = ne[0], .n_out = ne[1], .data = (const uint8_t *)(const void *)f, .row_bytes = ker_row_bytes(KER_F32, ne[0]) };
        }
    }
    return Q_OK;
}

int ker_enc_ready(ker_enc *e, char *err)
{
    e->kinds = e->h_kinds = 0;
    for (int layer = -1; layer < e->m.n_layer; layer++) {
        enc_layer *l = enc_at(e, layer);
        for (int r = 0; r < KER_ENC_ROLES; r++) {
            if (!here(&e->m, layer, r)) continue;
            if (!l->w[r].n_out) {
                if (rows[r].must) return q_fail(err, Q_FORMAT, _("%s of layer %d is missing: get another copy of the file"), _(rows[r].name), layer);
                if (rows[r].ne[0] == DIM_EMBD && (r == KER_ENC_EMBD_NORM_B || r == KER_ENC_ATTN_NORM_B || r == KER_ENC_FFN_NORM_B) && !l->vec[r])
                    l->vec[r] = q_alloc(sizeof(float) * (size_t)e->m.n_embd);
                continue;
            }
            if (layer >= 0 && !rows[r].vec) *(rows[r].ne[0] == DIM_FF ? &e->h_kinds : &e->kinds) |= 1u << mat_kind(&l->w[r]);
        }
    }
    e->is_ready = true;
    return Q_OK;
}

/* ---- memory of a run ---- */

static void rows_free(enc_rows *r)
{
    float *const all[] = { r->x, r->y, r->q, r->k, r->v, r->o, r->h, r->gate };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    acts_free(&r->in);
    acts_free(&r->h_act);
    r->x = r->y = r->q = r->k = r->v = r->o = r->h = r->gate = NULL;
    r->in = r->h_act = (acts){ 0 };
    r->cap = 0;
}

static void scratch_free(ker_enc *e)
{
    for (int i = 0; e->scratch && i < pool_threads(e->pool); i++) free(e->scratch[i]);
    free(e->scratch);
    free(e->r.rope);
    e->scratch = NULL;
    e->r.rope = NULL;
    e->r.longest = 0;
}

void enc_room_free(ker_enc *e)
{
    rows_free(&e->r);
    if (e->pool) scratch_free(e);
}

static bool rows_make(ker_enc *e, int rows_n)
{
    enc_rows *r = &e->r;
    size_t embd = sizeof(float) * (size_t)rows_n * (size_t)e->m.n_embd, ff = sizeof(float) * (size_t)rows_n * (size_t)e->m.n_ff;
    float **const wide[] = { &r->x, &r->y, &r->q, &r->k, &r->v, &r->o };
    bool ok = true;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) ok = ok && (*wide[i] = act_alloc(embd));
    ok = ok && (r->h = act_alloc(ff)) && (!e->m.gated || (r->gate = act_alloc(ff)));
    ok = ok && acts_make(&r->in, e->kinds, rows_n, e->m.n_embd) && acts_make(&r->h_act, e->h_kinds, rows_n, e->m.n_ff);
    if (ok) r->cap = rows_n;
    else rows_free(r);
    return ok;
}

static bool scratch_make(ker_enc *e, int longest)
{
    int dim = e->m.n_embd / e->m.n_head, threads = pool_threads(e->pool);
    e->floats = enc_floats(&e->m, longest);
    e->scratch = q_alloc(sizeof *e->scratch * (size_t)threads);
    for (int i = 0; i < threads; i++)
        if (!(e->scratch[i] = act_alloc(MAT_SCRATCH + sizeof(float) * (size_t)e->floats))) return false;
    if (e->m.rope) {
        if (!(e->r.rope = act_alloc(sizeof(float) * (size_t)longest * (size_t)dim))) return false;
        for (int p = 0; p < longest; p++)
            for (int i = 0; i < dim / 2; i++) {
                float a = (float)p * (float)pow((double)e->m.rope_base, -2.0 * i / dim);
                e->r.rope[(int64_t)p * dim + i] = cosf(a);
                e->r.rope[(int64_t)p * dim + dim / 2 + i] = sinf(a);
            }
    }
    e->r.longest = longest;
    return true;
}

int enc_room(ker_enc *e, int rows_n, int longest, char *err)
{
    bool ok = true;
    if (rows_n > e->r.cap) {
        rows_free(&e->r);
        ok = rows_make(e, rows_n);
    }
    if (ok && longest > e->r.longest) {
        scratch_free(e);
        ok = scratch_make(e, longest);
        if (!ok) scratch_free(e);
    }
    return ok ? Q_OK : q_fail(err, Q_NOMEM, _("no memory to embed %d tokens at once: close something"), rows_n);
}
