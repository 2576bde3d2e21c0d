/* kernels/table: what every backend asks of a model and every program of a backend's table. Pure functions. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

int ker_backend_check(const ker_backend *b, char *err)
{
    static const ker_abi here = KER_ABI_HERE;
    if (b && !memcmp(&b->abi, &here, sizeof here)) return Q_OK;
    if (!b || b->abi.number != here.number)
        return q_fail(err, Q_FORMAT, _("this backend speaks version %u of the kernels' table, this program version %u: install the one that came with the program"),
                      b ? b->abi.number : 0, here.number);
    return q_fail(err, Q_FORMAT, _("this backend was built with other headers than this program: install the one that came with the program"));
}

/* Latent cells are told by the ranks, so every layer has them or none. */
static int latent_check(const ker_model *m, char *err)
{
    const ker_latent *t = &m->latent;
    int n = 0;
    for (int i = 0; i < m->n_layer; i++) n += m->layer[i].mixer == KER_MIX_MLA;
    bool whole = n == m->n_layer && m->n_kv_head == 1 && t->q_rank >= 0 && t->kv_rank > 0 && t->nope > 0 && t->rope >= 0 && t->v > 0
              && m->head_dim == t->kv_rank + t->rope && m->rope_dim == t->rope;
    if ((!n && !t->kv_rank) || whole) return Q_OK;
    return q_fail(err, Q_FORMAT, _("the model's latent attention makes no sense (%d of %d layers, latents of %d, heads of %d and %d numbers): get another copy of the file"),
                  n, m->n_layer, t->kv_rank, t->nope, t->rope);
}

int ker_model_check(const ker_model *m, const ker_can *can, char *err)
{
    static const char *const mixers[] = { [KER_MIX_GQA] = N_("attention with shared heads"), [KER_MIX_MLA] = N_("latent attention (MLA)"),
                                          [KER_MIX_DELTA] = N_("linear attention (delta rule)") };
    static const char *const glus[] = { [KER_GLU_SILU] = N_("a SiLU feed-forward part"), [KER_GLU_GELU] = N_("a GELU feed-forward part"),
                                        [KER_GLU_CLAMPED] = N_("a clamped feed-forward part (gpt-oss)") };
    bool moe = false;
    for (int i = 0; i < m->n_layer; i++) moe |= m->layer[i].moe;
    if (m->n_layer < 1 || m->n_embd < 1 || m->n_vocab < 1 || m->n_head < 1 || m->n_kv_head < 1 || m->head_dim < 1
        || m->n_head % m->n_kv_head || m->rope_dim < 0 || m->rope_dim > m->head_dim || m->rope_dim % 2
        || (moe && (m->n_expert < 1 || m->n_expert >= KER_NO_EXPERT || m->n_ff_exp < 1)))
        return q_fail(err, Q_FORMAT, _("the model's shape makes no sense (layers %d, width %d, heads %d/%d of %d, experts %d): get another copy of the file"),
                      m->n_layer, m->n_embd, m->n_head, m->n_kv_head, m->head_dim, m->n_expert);
    bool scaled = (m->embd_scale != 0 && m->embd_scale != 1) || (m->residual_scale != 0 && m->residual_scale != 1) || (m->logit_scale != 0 && m->logit_scale != 1);
    const char *whole = m->qk_whole && !can->qk_whole ? N_("one norm over all heads of Q and K") : scaled && !can->scales ? N_("factors of its own on rows or logits")
                      : m->n_group > 1 && !can->groups ? N_("experts that are chosen by groups")
                      : m->next && !can->next ? N_("a head that predicts further tokens") : NULL;
    if (whole) return q_fail(err, Q_FORMAT, _("the model has %s, which the GPU does not compute yet: use --device cpu"), _(whole));
    if (m->n_group > 1 && (m->n_expert % m->n_group || m->n_group_used < 1 || m->n_group_used > m->n_group || m->group_best < 1 || m->group_best > 2))
        return q_fail(err, Q_FORMAT, _("the model's shape makes no sense (%d experts in %d groups, of which %d count): get another copy of the file"),
                      m->n_expert, m->n_group, m->n_group_used);
    if (m->router_scale > 0 && m->n_group > 1)
        return q_fail(err, Q_FORMAT, _("a carved model has no groups of experts: carve it again"));
    const ker_delta *d = &m->delta;
    for (int i = 0; i < m->n_layer; i++) {
        const ker_layer *l = &m->layer[i];
        const char *what = NULL;
        bool heads = d->n_key > 0 && d->n_value >= d->n_key && d->n_value % d->n_key == 0;
        if (l->mixer == KER_MIX_DELTA && can->mixers >> KER_MIX_DELTA & 1 && (!heads || d->key_dim < 1 || d->value_dim < 1 || d->conv < 1 || d->conv > KER_CONV_MOST))
            return q_fail(err, Q_FORMAT, _("layer %d is recurrent, but %d/%d heads of %d and %d numbers with a convolution over %d make no sense: get another copy of the file"),
                          i, d->n_key, d->n_value, d->key_dim, d->value_dim, d->conv);
        bool known = (unsigned)l->mixer <= KER_MIX_DELTA && (unsigned)l->glu < KER_GLUS;
        bool here = known && (m->router_scale <= 0 || !(l->biases & (KER_BIAS_ROUTER | KER_BIAS_EXPERTS)));     /* by the CPU, which computes all kinds */
        if (!known) what = N_("an unknown kind of layer");
        else if (!(can->mixers >> l->mixer & 1)) what = mixers[l->mixer];
        else if (!(can->glus >> l->glu & 1)) what = glus[l->glu];
        else if (l->window > 0 && !can->window) what = N_("a sliding window");
        else if (l->sinks && !can->sinks) what = N_("attention sinks");
        else if (l->post_norms && !can->post_norms) what = N_("norms after its parts");
        else if (l->biases & ~can->biases || (m->router_scale > 0 && l->biases & (KER_BIAS_ROUTER | KER_BIAS_EXPERTS))) what = N_("biases that are not added yet");
        else if (l->q_gate && !can->q_gate) what = N_("a gate on its attention");
        else if (l->rope_set < 0 || l->rope_set >= can->rope_sets) what = N_("rotations of its own");
        if (what && here) return q_fail(err, Q_FORMAT, _("layer %d has %s, which the GPU does not compute yet: use --device cpu"), i, _(what));
        if (what) return q_fail(err, Q_FORMAT, _("layer %d has %s, which is not computed yet: take another model"), i, _(what));
    }
    return latent_check(m, err);
}

/* ---- a batch and a configuration against the model ---- */

/* One list: distinct experts that exist. seen: a bit an expert, clear before and after. */
static int forced_list_check(const uint16_t *f, int max_k, int n_expert, uint64_t *seen, int layer, int row, char *err)
{
    int n = 0, rc = Q_OK;
    for (; !rc && n < max_k && f[n] != KER_NO_EXPERT; n++) {
        if (f[n] >= n_expert)
            rc = q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: expert %d is not among 0 to %d"), layer, row, f[n], n_expert - 1);
        else if (seen[f[n] / 64] >> f[n] % 64 & 1)
            rc = q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: expert %d stands there twice"), layer, row, f[n]);
        else seen[f[n] / 64] |= UINT64_C(1) << f[n] % 64;
    }
    for (int i = 0; i < n; i++) seen[f[i] / 64] = 0;
    return rc;
}

static int forced_check(const ker_model *m, const ker_batch *b, int max_k, char *err)
{
    uint64_t seen[1 << 10] = { 0 };
    int rc = max_k < 1 ? q_fail(err, Q_RANGE, _("forced routing does not suit a model without experts")) : Q_OK;
    for (int l = 0; l < m->n_layer && !rc; l++)
        for (int r = 0; m->layer[l].moe && r < b->n && !rc; r++)
            rc = forced_list_check(b->forced + ((int64_t)l * b->n + r) * max_k, max_k, m->n_expert, seen, l, r, err);
    return rc;
}

/* One row against the model, the configurations and the cells. */
static int row_check(const ker_model *m, const ker_batch *b, int r, int n_page, char *err)
{
    int seq = b->seq ? b->seq[r] : 0;
    if (b->token[r] < 0 || b->token[r] >= m->n_vocab)
        return q_fail(err, Q_RANGE, _("row %d of the batch: token %d is not among 0 to %d"), r, (int)b->token[r], m->n_vocab - 1);
    if (seq < 0 || seq >= b->n_seq)
        return q_fail(err, Q_RANGE, _("row %d of the batch: there is no sequence %d"), r, seq);
    const ker_seq *s = &b->seqs[seq];
    if (b->cell[r] < 0 || b->cell[r] / KER_PAGE >= s->n_page)
        return q_fail(err, Q_RANGE, _("row %d of the batch: cell %d lies outside the %d pages of its sequence"), r, (int)b->cell[r], s->n_page);
    for (int i = 0; (!r || !b->seq || b->seq[r] != b->seq[r - 1]) && i < s->n_page; i++)
        if (s->page[i] < 0 || s->page[i] >= n_page)
            return q_fail(err, Q_RANGE, _("row %d of the batch: page %d is not among the %d of the cache"), r, (int)s->page[i], n_page);
    return Q_OK;
}

static bool has_delta(const ker_model *m)
{
    for (int i = 0; i < m->n_layer; i++)
        if (m->layer[i].mixer == KER_MIX_DELTA) return true;
    return false;
}

/* Recurrent layers: each row follows the one before it in its sequence, the first one a state, and where a sequence's is written
 * nobody else reads or writes: sequences run at once. */
static int follows_check(const ker_batch *b, int r, char *err)
{
    int seq = b->seq ? b->seq[r] : 0, before = r - 1;
    while (before >= 0 && b->seq && b->seq[before] != seq) before--;
    const ker_seq *s = &b->seqs[seq];
    bool fits = before >= 0 ? b->cell[r] == b->cell[before] + 1 : (b->cell[r] == 0) == (s->state_from == 0);
    for (int i = 0; i < b->n_seq && before < 0 && s->state_to; i++)
        fits = fits && b->seqs[i].state_from != s->state_to && (i == seq || b->seqs[i].state_to != s->state_to);
    int own = s->state_each && r < b->n - 1 ? s->state_each[r] : 0;
    fits = fits && (!s->state_each || b->n_seq == 1) && (!own || (own != s->state_from && own != s->state_to));
    for (int i = 0; i < r && own; i++) fits = fits && s->state_each[i] != own;
    if (fits) return Q_OK;
    return q_fail(err, Q_RANGE, _("row %d of the batch: recurrent layers need cells one after another and the state before them"), r);
}

int ker_batch_check(const ker_model *m, const ker_batch *b, int max_rows, int max_k, int n_page,
                    bool (*there)(const void *user, int slot), const void *user, char *err)
{
    int rc = Q_OK;
    bool recurrent = has_delta(m);
    if (b->n < 1 || b->n > max_rows)
        return q_fail(err, Q_RANGE, _("a batch of %d rows: 1 to %d are possible here"), b->n, max_rows);
    if (m->next != (b->hidden != NULL))
        return q_fail(err, Q_ERR, _("hidden rows belong to the batches of a head that predicts further tokens, and to no other"));
    for (int r = 0; r < b->n && !rc; r++) {
        int slot = b->slot ? b->slot[r] : 0;
        rc = row_check(m, b, r, n_page, err);
        if (!rc && recurrent) rc = follows_check(b, r, err);
        if (!rc && (slot < 0 || slot > 255 || !there(user, slot)))
            rc = q_fail(err, Q_RANGE, _("row %d of the batch: no configuration was put into slot %d"), r, slot);
    }
    return !rc && b->forced ? forced_check(m, b, max_k, err) : rc;
}

static int rows_class(int rows) { return rows < 64 ? 0 : rows < 256 ? 1 : 2; }

int ker_way_of(int n_out, int rows) { return rows < 9 ? -1 : (n_out < 1024 ? 0 : n_out < 8192 ? 1 : 2) * KER_WAY_ROWS + rows_class(rows); }
int ker_way_experts(int rows) { return rows < 9 ? -1 : KER_WAY_EXPERTS + rows_class(rows); }

int ker_config_check(const ker_model *m, int max_k, const ker_config *k, char *err)
{
    if (m->rope_dim && !k->rope_freq) return q_fail(err, Q_ERR, _("a configuration needs rope frequencies"));
    for (int i = 0; i < m->n_layer; i++)
        if (m->rope_dim && m->layer[i].rope_set && !k->rope_local) return q_fail(err, Q_ERR, _("a configuration needs the rope frequencies of layer %d"), i);
    bool temperature = k->router_temperature > 0 && isfinite(k->router_temperature);
    if (!temperature) return q_fail(err, Q_RANGE, _("the router's temperature must be above 0"));
    for (int i = 0; i < k->n_adapt; i++)
        if (k->adapt[i].adapter < 0 || k->adapt[i].adapter >= KER_ADAPTERS || !k->adapt[i].layer)
            return q_fail(err, Q_RANGE, _("a configuration names adapter %d: there are 0 to %d"), k->adapt[i].adapter, KER_ADAPTERS - 1);
    for (int i = 0; i < m->n_layer; i++) {
        if (!m->layer[i].moe) continue;
        int most = max_k < m->n_expert ? max_k : m->n_expert, free_experts = 0;
        if (!k->k || k->k[i] < 1 || k->k[i] > most)
            return q_fail(err, Q_RANGE, _("layer %d: %d experts per token; allowed is 1 to %d"), i, k->k ? k->k[i] : 0, most);
        for (int e = 0; e < m->n_expert; e++)
            free_experts += !k->router_add || k->router_add[(size_t)i * (size_t)m->n_expert + (size_t)e] != -INFINITY;
        if (!free_experts) return q_fail(err, Q_RANGE, _("layer %d: every expert is banned; leave at least one"), i);
    }
    return Q_OK;
}

/* ---- cells ---- */

static bool latent_cells(const ker_model *m) { return m->latent.kv_rank > 0; }

int ker_cell_k(const ker_model *m) { return m->head_dim; }
int ker_cell_v(const ker_model *m) { return latent_cells(m) ? 0 : m->head_dim; }
int ker_value_width(const ker_model *m) { return latent_cells(m) ? m->latent.kv_rank : m->head_dim; }

/* How each type keeps numbers: `bytes` for `of` of them, and `scale` bytes a block of 32. */
static const struct kv_kind { const char *name; int bytes, of, scale; } kv_kinds[KER_KV_TYPES] = {
    [KER_KV_F16] = { "f16", 2, 1, 0 }, [KER_KV_F32] = { "f32", 4, 1, 0 }, [KER_KV_Q8_0] = { "q8_0", 1, 1, 4 }, [KER_KV_Q4_0] = { "q4_0", 16, 32, 2 },
};

const char *ker_kv_name(enum ker_kv_type t) { return (unsigned)t < KER_KV_TYPES ? kv_kinds[t].name : NULL; }

int ker_kv_find(const char *name)
{
    for (int t = 0; t < KER_KV_TYPES; t++)
        if (strcmp(kv_kinds[t].name, name) == 0) return t;
    return -1;
}

/* What a page holds of a layer and KV head, one after another. */
enum cell_lie { LIE_CELLS /* [64][width] */, LIE_ACROSS /* [width][64] */, LIE_FOURS_K /* [width/4][64][4] */, LIE_FOURS_V /* [64/4][width][4] */ };
typedef struct cell_part { int width, size; enum cell_lie lie; bool real; } cell_part;     /* pieces a cell, bytes a piece */

bool ker_cells_fours(const ker_model *m) { return ker_cell_v(m) && ker_cell_k(m) % 16 == 0 && ker_cell_v(m) % 16 == 0; }

static int cell_parts(const ker_model *m, enum ker_kv_type t, bool across, cell_part out[4])
{
    const struct kv_kind *k = &kv_kinds[t];
    bool fours = across && k->scale && ker_cells_fours(m);
    for (int i = 0; i < 2; i++) {
        int width = i ? ker_cell_v(m) : ker_cell_k(m), blocks = (width + 31) / 32;
        enum cell_lie lie = across && i == 0 ? LIE_ACROSS : LIE_CELLS;
        out[i] = (cell_part){ k->of > 1 ? blocks * k->bytes : width, k->of > 1 ? 1 : k->bytes, fours ? i ? LIE_FOURS_V : LIE_FOURS_K : lie, !k->scale };
        out[2 + i] = (cell_part){ blocks, k->scale, fours ? LIE_ACROSS : lie, true };
    }
    return k->scale ? 4 : 2;
}

/* Bytes of one cell of a layer and KV head. */
static int64_t cell_bytes(const ker_model *m, enum ker_kv_type t)
{
    cell_part p[4];
    int64_t one = 0;
    for (int i = 0, n = cell_parts(m, t, false, p); i < n; i++) one += (int64_t)p[i].width * p[i].size;
    return one;
}

int64_t ker_kv_head_bytes(const ker_model *m, enum ker_kv_type t) { return (cell_bytes(m, t) * KER_PAGE + 63) & ~INT64_C(63); }

int64_t ker_cells_bytes(const ker_model *m, enum ker_kv_type t, int n_cells) { return cell_bytes(m, t) * n_cells * m->n_kv_head * ker_cell_layers(m); }

int ker_cell_layers(const ker_model *m)
{
    int n = 0;
    for (int i = 0; i < m->n_layer; i++) n += !m->layer || m->layer[i].mixer != KER_MIX_DELTA;
    return n;
}

int64_t ker_state_layer_floats(const ker_model *m)
{
    const ker_delta *d = &m->delta;
    int64_t channels = (int64_t)d->n_key * d->key_dim * 2 + (int64_t)d->n_value * d->value_dim;
    return (d->conv - 1) * channels + (int64_t)d->n_value * d->key_dim * ((d->value_dim + 15) & ~15);
}

int64_t ker_state_floats(const ker_model *m) { return m->layer ? ker_state_layer_floats(m) * (m->n_layer - ker_cell_layers(m)) : 0; }

/* Its exponent is not all ones. */
static bool cell_finite(const cell_part *p, const uint8_t *cells, int n)
{
    bool all = true;
    for (int64_t i = 0, count = (int64_t)n * p->width; i < count && p->real; i++)
        if (p->size == 2) {
            uint16_t h;
            memcpy(&h, cells + i * 2, 2);
            all &= (h & 0x7C00) != 0x7C00;
        } else {
            uint32_t f;
            memcpy(&f, cells + i * 4, 4);
            all &= (f & 0x7F800000) != 0x7F800000;
        }
    return all;
}

static void cell_one(uint8_t *to, const uint8_t *from, int size)
{
    if (size == 2) memcpy(to, from, 2);
    else if (size == 4) memcpy(to, from, 4);
    else *to = *from;
}

static size_t cell_place(const cell_part *p, size_t d, size_t c)
{
    if (p->lie == LIE_FOURS_K) return (d / 4 * KER_PAGE + c) * 4 + d % 4;
    if (p->lie == LIE_FOURS_V) return (c / 4 * (size_t)p->width + d) * 4 + c % 4;
    return d * KER_PAGE + c;
}

static void cell_move(const cell_part *p, uint8_t *page, uint8_t *cells, int n, bool load)
{
    size_t row = (size_t)p->width * (size_t)p->size;
    if (p->lie == LIE_CELLS) {
        memcpy(load ? page : cells, load ? cells : page, row * (size_t)n);
        return;
    }
    for (int d = 0; d < p->width; d++)
        for (int c = 0; c < n; c++) {
            uint8_t *in = page + cell_place(p, (size_t)d, (size_t)c) * (size_t)p->size, *at = cells + (size_t)c * row + (size_t)d * (size_t)p->size;
            cell_one(load ? in : at, load ? at : in, p->size);
        }
}

static bool cells_all(const ker_model *m, enum ker_kv_type t, bool across, uint8_t *page, int n, uint8_t *cells, bool load)
{
    cell_part p[4];
    int parts = cell_parts(m, t, across, p);
    int64_t head = ker_kv_head_bytes(m, t);
    for (int h = 0, n_head = ker_cell_layers(m) * m->n_kv_head; h < n_head; h++) {
        uint8_t *at = page + h * head;
        for (int i = 0; i < parts; i++) {
            if (!load) cell_move(&p[i], at, cells, n, false);
            if (!cell_finite(&p[i], cells, n)) return false;
            if (load) cell_move(&p[i], at, cells, n, true);
            at += (size_t)p[i].width * (size_t)p[i].size * KER_PAGE;
            cells += (size_t)p[i].width * (size_t)p[i].size * (size_t)n;
        }
    }
    return true;
}

bool ker_cells_save(const ker_model *m, enum ker_kv_type t, bool across, const void *page, int n_cells, void *cells)
{
    return cells_all(m, t, across, (uint8_t *)(uintptr_t)page, n_cells, cells, false);
}

bool ker_cells_load(const ker_model *m, enum ker_kv_type t, bool across, void *page, int n_cells, const void *cells)
{
    return cells_all(m, t, across, page, n_cells, (uint8_t *)(uintptr_t)cells, true);
}
