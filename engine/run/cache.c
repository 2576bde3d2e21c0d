/* engine/run/cache: see cache.h. A batch's arrays are made once, so that nothing is allocated while tokens are decoded. */
#include "engine/run/cache.h"
#include "engine/run/config.h"
#include "engine/run/lora.h"
#include "engine/run/next.h"
#include "engine/run/ondisk.h"
#include "engine/run/room.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct cache_batch {
    int32_t token[ENG_STEP_ROWS], cell[ENG_STEP_ROWS];
    int16_t seq[ENG_STEP_ROWS], slot[ENG_STEP_ROWS];
    uint8_t want[ENG_STEP_ROWS];
    kv_cell kept[ENG_STEP_ROWS];
    ker_seq seqs[ENG_STEP_ROWS];
    kv_line tried[ENG_STEP_ROWS];      /* copies of the lines when nothing is to stay */
    int rows[ENG_STEP_ROWS];           /* of each seq */
    uint16_t *forced;                  /* [n_layer][n][n_expert], grown on demand */
    size_t forced_cap;
} cache_batch;

/* Bytes of a page of 64 cells, with those of the head that drafts. */
static uint64_t bytes_of_page(const eng_model *m, const eng_config *c)
{
    return (uint64_t)m->on.be->kv_page_bytes(m->on.dev, config_kv_type(c)) + (c->v.draft == DRAFT_MTP && m->on.be == ker_cpu() ? next_page(m) : 0);
}

/* Memory for cells: what is free beside the states of recurrent layers without which no token is read, each timeline's and the one that
 * it goes to, and beside what a driver takes (of little memory half). 0: it is not known. */
static uint64_t room_for_cells(const eng_model *m, int timelines)
{
    uint64_t have = room_beside(m);
    if (m->on.be != ker_cpu()) have -= have / 2 < ROOM_DRIVER ? have / 2 : ROOM_DRIVER;
    uint64_t states = m->on.be->state_bytes ? 2 * (uint64_t)timelines * (uint64_t)m->on.be->state_bytes(m->on.dev) : 0;
    return have > states ? have - states : have > 0;
}

/* Tokens that each of so many timelines may have in so much memory. */
static uint64_t tokens_in(uint64_t have, uint64_t page, int timelines)
{
    uint64_t each = page ? have / page / (uint64_t)timelines : 0;
    return each > 2 ? (each - 2) * KER_PAGE : 0;
}

int eng_context_fits(const eng_model *m, const eng_config *c)
{
    uint64_t n = tokens_in(room_for_cells(m, 1), bytes_of_page(m, c), 1);
    return n < (uint64_t)c->v.context ? (int)n : (int)c->v.context;
}

/* Pages that the timelines need, one spare for copying a shared tail. */
static uint64_t pages_of(const eng_config *c, int timelines) { return ((uint64_t)(c->v.context + KER_PAGE - 1) / KER_PAGE + 2) * (uint64_t)timelines; }

/* What else helps: kinds of cells smaller than these. */
static const char *smaller(enum ker_kv_type t) { return t == KER_KV_Q4_0 ? "" : t == KER_KV_Q8_0 ? _(" or kv.type to q4_0") : _(" or kv.type to q8_0 or q4_0"); }

static int no_cells(const eng_model *m, const eng_config *c, int timelines, uint64_t have, char *err)
{
    char need[32], left[32];
    uint64_t page = bytes_of_page(m, c);
    return q_fail(err, Q_NOMEM, _("a cache of %d tokens needs %s, but %s of memory are free beside the weights: set context.length to at most %llu%s"),
                  (int)c->v.context, q_bytes_words(page * pages_of(c, timelines), need), q_bytes_words(have, left), (unsigned long long)tokens_in(have, page, timelines),
                  smaller(config_kv_type(c)));
}

/* Those pages, and room to keep other branches: as much again while that is cheap, a quarter otherwise. */
int cache_pool(const eng_model *m, const eng_config *c, int timelines, kv_pool **out, char *err)
{
    int context = (int)c->v.context;
    enum ker_kv_type type = config_kv_type(c);
    uint64_t page = (uint64_t)m->on.be->kv_page_bytes(m->on.dev, type), have = room_for_cells(m, timelines);
    uint64_t base = pages_of(c, timelines);
    uint64_t spare = page * base < ((uint64_t)1 << 30) ? base : base / 4;
    uint64_t each_page = bytes_of_page(m, c);
    bool kept = ker_state_floats(&m->ker) > 0;     /* other branches' pages come behind what state.memory keeps */
    if (have > 0 && each_page * base > have) return no_cells(m, c, timelines, have, err);
    if (have > 0 && each_page * base + page * spare + (kept ? (uint64_t)c->v.state_memory << 20 : 0) > have)
        spare = 0;
    if (base + spare > INT32_MAX)
        return q_fail(err, Q_RANGE, _("a cache for %d timelines of %d tokens is too large: lower context.length"), timelines, context);
    return kv_pool_new(m->on.be, m->on.dev, type, (int)(base + spare), m->on.outside, out, err);
}

int cache_pool_instead(const eng_cache *k, const eng_config *c, char *err)
{
    const eng_model *m = k->m;
    uint64_t have = room_for_cells(m, k->timelines);
    if (!have) return Q_NOMEM;
    have += (uint64_t)kv_pages(k->pool) * (uint64_t)m->on.be->kv_page_bytes(m->on.dev, k->type);
    return bytes_of_page(m, c) * pages_of(c, k->timelines) > have ? no_cells(m, c, k->timelines, have, err) : Q_OK;
}

int eng_cache_new(eng_model *m, const eng_config *c, int timelines, eng_cache **out, char *err)
{
    if (m->vocab_only)
        return q_fail(err, Q_ERR, _("%s was opened for its vocabulary only"), m->path);
    if (!m->on.dev)
        return q_fail(err, Q_ERR, _("%s was opened to be looked at only"), m->path);
    eng_cache *k = q_alloc(sizeof *k);
    k->m = m;
    k->type = config_kv_type(c);
    k->context = (int)c->v.context;
    k->timelines = timelines > 1 ? timelines : 1;
    k->batch = q_alloc(sizeof *k->batch);
    atomic_init(&k->cancel, 0);
    /* The context first: what the pool takes beyond its need is measured by what is free then. */
    int rc = m->on.be->ctx_new(m->on.dev, ENG_STEP_ROWS, m->ker.n_expert, &k->cancel, &k->ctx, err);
    if (!rc)
        rc = cache_pool(m, c, k->timelines, &k->pool, err);
    if (rc) {
        eng_cache_free(k);
        return rc;
    }
    *out = k;
    return 0;
}

void eng_cache_free(eng_cache *k)
{
    if (!k)
        return;
    assert(!k->users);
    if (k->ctx)
        k->m->on.be->ctx_free(k->ctx);
    kv_pool_free(k->pool);
    free(k->batch->forced);
    free(k->batch);
    free(k);
}

void eng_cache_pages(const eng_cache *k, int *held, int *shared) { kv_count(k->pool, held, shared); }
int eng_cache_room(const eng_cache *k) { return kv_pages(k->pool); }
uint64_t eng_cache_states(const eng_cache *k, int *count, uint64_t *each) { return kv_state_bytes(k->pool, count, each); }
eng_model *eng_cache_model(const eng_cache *k) { return k->m; }

void cache_join(eng_cache *k, cache_user *u)
{
    u->next = k->users;
    k->users = u;
}

void cache_leave(eng_cache *k, cache_user *u)
{
    cache_user **at = &k->users;
    while (*at && *at != u)
        at = &(*at)->next;
    assert(*at == u);
    *at = u->next;
    free(u->kept);
    if (!k->users && k->private_)
        eng_cache_free(k);
}

const float *cache_keep(const eng_cache *k, cache_user *u)
{
    size_t bytes = sizeof *u->kept * (size_t)k->m->ker.n_vocab;
    if (u->logits && u->logits != u->kept) {
        if (!u->kept)
            u->kept = q_alloc(bytes);
        u->logits = memcpy(u->kept, u->logits, bytes);
    }
    return u->logits;
}

/* ---- configurations ---- */
int cache_slot_of(eng_cache *k, const eng_config *c, uint64_t hash, int16_t *slot, char *err)
{
    int at = -1;
    unsigned adapters = lora_version(k->m);
    if (adapters != k->adapters)           /* never within a batch: what the context holds names adapters by numbers at the device */
        k->n_slot = 0;
    k->adapters = adapters;
    for (int i = 0; i < k->n_slot; i++)
        if (k->slot[i].hash == hash) {
            k->slot[i].used = k->clock;
            *slot = (int16_t)i;
            return 0;
        }
    if (k->n_slot < CACHE_SLOTS)
        at = k->n_slot;
    for (int i = 0; i < k->n_slot && k->n_slot == CACHE_SLOTS; i++)      /* never one that this batch uses */
        if (k->slot[i].used < k->clock && (at < 0 || k->slot[i].used < k->slot[at].used))
            at = i;
    if (at < 0)
        return q_fail(err, Q_RANGE, _("one step evaluates at most %d different configurations: split it"), CACHE_SLOTS);
    config_ker ker;
    config_ker_build(c, &ker);
    k->slot[at] = (cache_slot){ 0 };           /* one that fails may leave nothing of what lay there */
    int rc = k->m->on.be->cfg_put(k->ctx, at, &ker.k, err);
    config_ker_free(&ker);
    if (rc)
        return rc;
    k->slot[at] = (cache_slot){ hash, k->clock };
    k->n_slot += at == k->n_slot;
    *slot = (int16_t)at;
    return 0;
}

/* Outside of a batch, which lets go of the last one's: else settings that nobody asks under would use the slots up. */
int cache_hold(eng_cache *k, const eng_config *c, uint64_t hash, char *err)
{
    int16_t slot;
    k->clock++;
    return cache_slot_of(k, c, hash, &slot, err);
}

/* ---- one batch ---- */
int cache_failed(const eng_cache *k, int rc, char *err)
{
    if (rc == Q_CANCEL)
        return q_fail(err, rc, _("stopped"));
    if (rc == Q_NOMEM)
        return q_fail(err, rc, _("every page of the cache is in use by timelines of up to %d tokens: raise context.length"), k->context);
    if (rc == Q_IO && k->m->on.ondisk) {
        *err = 0;
        ondisk_why(k->m->on.ondisk, err);
        if (*err) return rc;
    }
    return q_fail(err, rc, _("the evaluation failed (code %d): please report this with the model's name"), rc);
}

/* The first part of a pass, over all rows, whose numbers were not finite. */
static int not_finite(const eng_cache *k, const ker_out *o, int n, char *err)
{
    static const char *const parts[] = { [KER_PART_ATTN] = N_("the attention"), [KER_PART_ROUTE] = N_("the router"),
                                         [KER_PART_FFN] = N_("the feed-forward part") };
    ker_bad first = { 0 };
    int least = INT_MAX;
    for (int r = 0; r < n; r++) {
        const ker_bad *b = &o->bad[r];
        int place = b->part == KER_PART_EMBED ? -1 : b->part == KER_PART_HEAD ? INT_MAX - 1 : b->layer * 8 + b->part;
        if (b->part != KER_PART_NONE && place < least) {
            least = place;
            first = *b;
        }
    }
    if (first.part == KER_PART_EMBED || first.part == KER_PART_HEAD)
        return q_fail(err, Q_FORMAT, first.part == KER_PART_EMBED
            ? _("what is computed is not a number any more, from the embedding on: the model's file is damaged, get another copy")
            : _("what is computed is not a number any more in the output head: the model's file is damaged (get another copy), or a knob goes too far (set it to default)"));
    /* A GPU makes halves of cells of blocks where its tensor cores read them. */
    if (first.part == KER_PART_ATTN && (k->type == KER_KV_F16 || (k->type != KER_KV_F32 && k->m->on.be != ker_cpu())))
        return q_fail(err, Q_FORMAT, _("what is computed is not a number any more in layer %d, the attention: kv.type %s holds nothing above 65504 here (set it to f32), the model's file is damaged (get another copy), or a knob goes too far (set it to default)"),
                      first.layer, ker_kv_name(k->type));
    return q_fail(err, Q_FORMAT, _("what is computed is not a number any more in layer %d, %s: the model's file is damaged (get another copy), or a knob goes too far (set it to default)"),
                  first.layer, _(parts[first.part]));
}

/* The forced lists of all rows as the backend wants them; a row without one starts with KER_NO_EXPERT: its router is free. */
static const uint16_t *gather_forced(eng_cache *k, const cache_row *rows, int n)
{
    cache_batch *b = k->batch;
    size_t width = (size_t)k->m->ker.n_expert, layers = (size_t)k->m->ker.n_layer, need = layers * (size_t)n * width;
    bool any = false;
    for (int r = 0; r < n; r++)
        any = any || rows[r].forced;
    if (!any || !width)
        return NULL;
    if (need > b->forced_cap) {
        b->forced = q_realloc(b->forced, sizeof *b->forced * need);
        b->forced_cap = need;
    }
    for (int r = 0; r < n; r++) {
        uint64_t h = 1;
        for (size_t l = 0; l < layers; l++) {
            uint16_t *to = b->forced + (l * (size_t)n + (size_t)r) * width;
            const uint16_t *from = rows[r].forced ? rows[r].forced + l * rows[r].forced_step : NULL;
            size_t len = 0;
            while (from && len < (size_t)rows[r].forced_k && len < width && from[len] != KER_NO_EXPERT)
                len++;
            if (len)
                memcpy(to, from, sizeof *to * len);
            if (len < width)
                to[len] = KER_NO_EXPERT;
            h = q_hash64(to, sizeof *to * len, q_mix64(h, len));
        }
        b->kept[r].forced = rows[r].forced ? (h ? h : 1) : 0;
    }
    return b->forced;
}

/* Fills the batch's arrays and finds pages for the rows. Q_NOMEM: there are none. */
static int place(eng_cache *k, const cache_seq *seqs, int n_seq, const cache_row *rows, int n, bool keep, char *err)
{
    cache_batch *b = k->batch;
    int16_t slot = 0;
    int rc;
    for (int i = 0; i < n_seq; i++)
        b->rows[i] = 0;
    for (int r = 0; r < n; r++) {
        const cache_row *w = &rows[r];
        if ((r == 0 || w->hash != rows[r - 1].hash) && (rc = cache_slot_of(k, w->config, w->hash, &slot, err)))
            return rc;
        b->token[r] = w->token;
        b->seq[r] = w->seq;
        b->slot[r] = slot;
        b->want[r] = w->want;
        b->cell[r] = seqs[w->seq].line->n + b->rows[w->seq]++;
        b->kept[r] = (kv_cell){ w->token, w->hash, 0 };
    }
    for (int i = 0; i < n_seq; i++) {
        kv_line *line = keep ? seqs[i].line : &b->tried[i];
        if (!keep) {
            *line = (kv_line){ 0 };
            kv_fork(k->pool, seqs[i].line, line);
        }
        if (kv_extend(k->pool, line, b->rows[i])) {
            for (int j = 0; j <= i && !keep; j++)
                kv_discard(k->pool, &b->tried[j]);
            return cache_failed(k, Q_NOMEM, err);
        }
        if (keep && (rc = kv_next_state(k->pool, line, err)))
            return rc;
        b->seqs[i] = (ker_seq){ .page = line->page, .n_page = line->n_page, .state_from = line->state, .state_to = line->next, .state_each = seqs[i].each };
    }
    return 0;
}

/* why: what begin says, or the device about a part that it failed in; else untouched. */
static int run(eng_cache *k, const ker_batch *batch, ker_out *out, char *why)
{
    const ker_backend *be = k->m->on.be;
    int rc = be->begin(k->ctx, kv_pool_kv(k->pool), batch, why);
    if (!rc)
        rc = be->embed(k->ctx);
    for (int l = 0; l < k->m->ker.n_layer && !rc; l++) {
        rc = be->attn(k->ctx, l);
        if (!rc && !k->m->layers[l].moe)
            rc = be->dense(k->ctx, l);
        else if (!rc && !(rc = be->route(k->ctx, l)))
            rc = be->experts(k->ctx, l);
    }
    if (!rc)
        rc = be->head(k->ctx);
    int end = be->end(k->ctx, out);
    rc = rc ? rc : end;
    if (rc == Q_ERR && !*why && be->why)
        be->why(k->ctx, why);
    return !rc && atomic_load(&k->cancel) ? Q_CANCEL : rc;
}

eng_fetched eng_cache_fetched(const eng_cache *k) { return k->fetched; }

int cache_forward(eng_cache *k, const cache_seq *seqs, int n_seq, const cache_row *rows, int n, bool keep, bool prompt,
                  ker_out *out, char *err)
{
    cache_batch *b = k->batch;
    model_threads(k->m, rows[0].config->v.threads);
    kv_state_limit(k->pool, (uint64_t)rows[0].config->v.state_memory << 20);
    k->clock++;
    int rc = place(k, seqs, n_seq, rows, n, keep, err);
    if (rc)
        return rc;
    for (cache_user *u = k->users; u; u = u->next)     /* the batch's logits come where theirs lie */
        cache_keep(k, u);
    ker_batch batch = { .n = n, .token = b->token, .pos = b->cell, .cell = b->cell, .seq = n_seq > 1 ? b->seq : NULL, .slot = b->slot,
                        .want = b->want, .seqs = b->seqs, .n_seq = n_seq, .forced = gather_forced(k, rows, n), .phase = prompt ? 0 : 1 };
    char why[Q_ERRLEN] = "";
    rc = run(k, &batch, out, why);
    if (!rc) {
        k->fetched.asked += out->asked;
        k->fetched.fetched += out->fetched;
        k->fetched.bytes += out->fetched_bytes;
        k->fetched.wait_ns += out->fetch_wait_ns;
    }
    if (!rc && out->n_bad)
        rc = not_finite(k, out, n, why);
    for (int i = 0, at = 0; i < n_seq; at += b->rows[i++])
        if (!keep)
            kv_discard(k->pool, &b->tried[i]);
        else if (!rc)
            kv_commit(k->pool, seqs[i].line, b->kept + at, b->rows[i], seqs[i].seed);
    return rc && *why ? q_fail(err, rc, "%s", why) : rc ? cache_failed(k, rc, err) : 0;
}
