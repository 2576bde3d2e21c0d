/* kernels/cuda/cache: routed experts that do not all lie on the device: slots of device memory, an expert each, filled when the
 * router has asked for it and given to another by recency. Kernels are the same as for experts that lie there: a slot is a
 * matrix of a pool, and instead of experts' numbers they are told slots (few rows) or where each expert lies (many rows).
 * It costs a wait of the host in every routed layer, to see whom the router chose, and no pass is a graph. See cuda.h. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

enum { STAGES = 4, MATS = 3, PIECES = MATS * CU_PLANES, TAKE_THREADS = 256, TAKE_BLOCKS = 64, NOBODY = -1, MOST_SLOTS = KER_NO_EXPERT - 1 };
static const enum ker_role roles[MATS] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };

/* Experts of one size: those of all layers whose three matrices are of these types. */
typedef struct pool {
    int type[MATS];
    cu_mat mat[MATS];              /* n_mat: the slots                                        */
    int64_t bytes[MATS];           /* of one expert, as in the file and in its planes         */
    int64_t n_expert;              /* of all its layers                                       */
    int n_slot, n_fresh;           /* slots; of them, never filled: the last ones             */
    int *key;                      /* [n_slot] layer * n_expert + expert, NOBODY: empty       */
    int *newer, *older;            /* [n_slot] the list by recency; NOBODY ends               */
    uint64_t *wave;                /* [n_slot] that last ran it                               */
    int newest, oldest;
} pool;

typedef struct fetch_stage { uint8_t *host, *dev; cudaEvent_t free_at; bool used; } fetch_stage;

struct cu_cache {
    pool *pools;
    int n_pool;
    int *pool_of;                  /* [n_layer] NOBODY: no routed experts here                */
    const uint8_t **data;          /* [n_layer][MATS] the caller's; NULL: of a source         */
    int64_t *apart;                /* [n_layer][MATS] of these from one expert to the next    */
    int *slot_of;                  /* [n_layer][n_expert] NOBODY: not here                    */
    cudaStream_t st;               /* of copies                                               */
    fetch_stage stage[STAGES];
    int64_t stage_bytes;
    int next;
    cudaEvent_t here, done[2];     /* copies of a wave; a wave's kernels, by its number       */
    uint64_t wave;
    int *need, *miss, *slot;       /* [n_expert] of the wave at hand                          */
    ker_expert *got;
    uint8_t *wanted;
    uint64_t asked, fetched, bytes;  /* since they were told                                   */
};

/* ---- made and freed ---- */

static int64_t up256(int64_t n) { return (n + 255) & ~(int64_t)255; }

static cu_cache *cache_of(ker_dev *d)
{
    const ker_model *m = &d->m;
    if (d->cache) return d->cache;
    cu_cache *h = (cu_cache *)q_alloc(sizeof *h);
    size_t n = (size_t)m->n_layer, all = n * (size_t)m->n_expert;
    h->pool_of = (int *)q_alloc(sizeof(int) * (n + 1));
    h->data = (const uint8_t **)q_alloc(sizeof *h->data * (n * MATS + 1));
    h->apart = (int64_t *)q_alloc(sizeof *h->apart * (n * MATS + 1));
    h->slot_of = (int *)q_alloc(sizeof(int) * (all + 1));
    for (size_t i = 0; i < n; i++) h->pool_of[i] = NOBODY;
    for (size_t i = 0; i < all; i++) h->slot_of[i] = NOBODY;
    size_t e = (size_t)m->n_expert + 1;
    h->need = (int *)q_alloc(sizeof(int) * e);
    h->miss = (int *)q_alloc(sizeof(int) * e);
    h->slot = (int *)q_alloc(sizeof(int) * e);
    h->got = (ker_expert *)q_alloc(sizeof *h->got * e);
    h->wanted = (uint8_t *)q_alloc(e);
    return d->cache = h;
}

void cu_cache_free(ker_dev *d)
{
    cu_cache *h = d->cache;
    if (!h) return;
    if (h->st) cudaStreamSynchronize(h->st);
    for (int i = 0; i < STAGES; i++) {
        if (h->stage[i].free_at) cudaEventDestroy(h->stage[i].free_at);
        if (h->stage[i].host) cudaFreeHost(h->stage[i].host);
    }
    if (h->here) cudaEventDestroy(h->here);
    for (int i = 0; i < 2; i++) if (h->done[i]) cudaEventDestroy(h->done[i]);
    if (h->st) cudaStreamDestroy(h->st);
    for (int i = 0; i < h->n_pool; i++) {
        free(h->pools[i].key);
        free(h->pools[i].newer);
        free(h->pools[i].older);
        free(h->pools[i].wave);
    }
    free(h->pools);
    free(h->pool_of);
    free((void *)h->data);
    free(h->apart);
    free(h->slot_of);
    free(h->need);
    free(h->miss);
    free(h->slot);
    free(h->got);
    free(h->wanted);
    free(h);
    d->cache = NULL;
}

static int which_mat(enum ker_role role) { return role == KER_W_GATE_EXPS ? 0 : role == KER_W_UP_EXPS ? 1 : 2; }

bool cu_cache_takes(const ker_dev *d, enum ker_role role)
{
    return (d->source.acquire || d->hold.cache_bytes) && ker_role_get(role)->ne[2] == KER_DIM_EXPERT;
}

void cu_cache_weight(ker_dev *d, int layer, enum ker_role role, const ker_weight *w)
{
    cu_cache *h = cache_of(d);
    int at = layer * MATS + which_mat(role);
    h->data[at] = (const uint8_t *)w->data;
    h->apart[at] = w->stride ? w->stride : ker_row_bytes(w->type, w->ne[0]) * w->ne[1];
}

/* The pool of a layer's types, made when it is the first of them. */
static int pool_find(ker_dev *d, int layer)
{
    cu_cache *h = d->cache;
    const cu_layer *l = cu_layer_of(d, layer);
    int i = 0, j;
    for (; i < h->n_pool; i++) {
        for (j = 0; j < MATS && h->pools[i].type[j] == l->w[roles[j]].type; j++) {}
        if (j == MATS) return i;
    }
    h->pools = (pool *)q_realloc(h->pools, sizeof(pool) * (size_t)(h->n_pool + 1));
    pool *p = &h->pools[h->n_pool++];
    memset(p, 0, sizeof *p);
    for (j = 0; j < MATS; j++) {
        const cu_mat *w = &l->w[roles[j]];
        p->type[j] = w->type;
        p->mat[j] = *w;
        p->bytes[j] = ker_row_bytes(w->type, w->n_in) * w->n_out;
    }
    return i;
}

static int64_t expert_bytes(const pool *p) { return p->bytes[0] + p->bytes[1] + p->bytes[2]; }

static bool pool_make(ker_dev *d, pool *p)
{
    for (int j = 0; j < MATS; j++) {
        cu_mat *m = &p->mat[j];
        const cu_planes *pl = cu_planes_of(m->type);
        int64_t blocks = (int64_t)(m->n_in / m->block) * m->n_out * p->n_slot, at[CU_PLANES], total = 0;
        for (int i = 0; i < pl->n; i++) {
            at[i] = total;
            total += up256(blocks * pl->bytes[i]);
        }
        uint8_t *mem = (uint8_t *)cu_alloc(d, (size_t)total);
        if (!mem) return false;
        m->n_mat = p->n_slot;
        for (int i = 0; i < pl->n; i++) m->p[i] = mem + at[i];
    }
    size_t n = (size_t)p->n_slot;
    p->key = (int *)q_alloc(sizeof(int) * n);
    p->newer = (int *)q_alloc(sizeof(int) * n);
    p->older = (int *)q_alloc(sizeof(int) * n);
    p->wave = (uint64_t *)q_alloc(sizeof(uint64_t) * n);
    for (int i = 0; i < p->n_slot; i++) {
        p->key[i] = NOBODY;
        p->newer[i] = i ? i - 1 : NOBODY;
        p->older[i] = i + 1 < p->n_slot ? i + 1 : NOBODY;
    }
    p->oldest = p->n_slot - 1;
    p->n_fresh = p->n_slot;
    return true;
}

/* Slots by the share of all experts that the bytes hold, the same for every pool, at least one. */
static bool pools_make(ker_dev *d)
{
    cu_cache *h = d->cache;
    double all = 0;
    for (int i = 0; i < h->n_pool; i++) all += (double)h->pools[i].n_expert * (double)expert_bytes(&h->pools[i]);
    double share = d->hold.cache_bytes ? (double)d->hold.cache_bytes / all : 1;
    for (int i = 0; i < h->n_pool; i++) {
        pool *p = &h->pools[i];
        double n = share < 1 ? (double)p->n_expert * share : (double)p->n_expert;
        p->n_slot = n < 1 ? 1 : n > (double)MOST_SLOTS ? (int)MOST_SLOTS : (int)n;
        int64_t room = 0;
        for (int j = 0; j < MATS; j++) room += up256(p->bytes[j]);
        if (room > h->stage_bytes) h->stage_bytes = room;
        if (!pool_make(d, p)) return false;
    }
    for (int i = 0; i < STAGES; i++) {
        fetch_stage *s = &h->stage[i];
        if (!(s->dev = (uint8_t *)cu_alloc(d, (size_t)h->stage_bytes))) return false;
        if (!(s->host = (uint8_t *)cu_locked(d, (size_t)h->stage_bytes))) return false;
        if (!cu_ok(d, cudaEventCreateWithFlags(&s->free_at, cudaEventDisableTiming), "experts' cache")) return false;
    }
    return cu_ok(d, cudaStreamCreateWithFlags(&h->st, cudaStreamNonBlocking), "experts' cache")
        && cu_ok(d, cudaEventCreateWithFlags(&h->here, cudaEventDisableTiming), "experts' cache")
        && cu_ok(d, cudaEventCreateWithFlags(&h->done[0], cudaEventDisableTiming), "experts' cache")
        && cu_ok(d, cudaEventCreateWithFlags(&h->done[1], cudaEventDisableTiming), "experts' cache");
}

int cu_cache_ready(ker_dev *d, char *err)
{
    cu_cache *h = d->cache;
    if (!h) return Q_OK;
    for (int l = 0; l < d->m.n_layer; l++) {
        if (!cu_layer_of(d, l)->w[KER_W_DOWN_EXPS].n_out) continue;
        h->pool_of[l] = pool_find(d, l);
        h->pools[h->pool_of[l]].n_expert += d->m.n_expert;
    }
    if (!pools_make(d)) {
        if (d->why[0]) return q_fail(err, Q_ERR, _("the GPU failed while weights were loaded (%s): use --device cpu"), d->why);
        return cu_no_memory(d, err);
    }
    for (int l = 0; l < d->m.n_layer; l++)
        for (int j = 0; j < MATS && h->pool_of[l] != NOBODY; j++) cu_layer_of(d, l)->w[roles[j]] = h->pools[h->pool_of[l]].mat[j];
    return Q_OK;
}

bool cu_cache_ctx(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    if (!c->dev->cache) return true;
    int64_t few = c->max_rows < CU_FEW ? c->max_rows : CU_FEW;
    cu_fetch *f = &c->fetch;
    f->ids = (uint16_t *)cu_ctx_pinned(c, (int64_t)c->max_rows * c->max_k * 2);
    f->slots = (uint16_t *)cu_ctx_pinned(c, few * c->max_k * 2);
    f->dev_slots = (uint16_t *)cu_ctx_alloc(c, few * c->max_k * 2);
    f->place = (int *)cu_ctx_pinned(c, 2 * (int64_t)m->n_expert * 4);
    f->dev_place = (int *)cu_ctx_alloc(c, (int64_t)m->n_expert * 4);
    f->carry = (float *)cu_ctx_alloc(c, (int64_t)m->n_embd * 32 * 4);
    return f->ids && f->slots && f->dev_slots && f->place && f->dev_place && f->carry;
}

void cu_cache_count(ker_dev *d, ker_out *out)
{
    cu_cache *h = d->cache;
    if (!h) return;
    out->asked = h->asked;
    out->fetched = h->fetched;
    out->fetched_bytes = h->bytes;
    h->asked = h->fetched = h->bytes = 0;
}

/* ---- who lies where ---- */

static void unlink_slot(pool *p, int s)
{
    if (p->newer[s] == NOBODY) p->newest = p->older[s];
    else p->older[p->newer[s]] = p->older[s];
    if (p->older[s] == NOBODY) p->oldest = p->newer[s];
    else p->newer[p->older[s]] = p->newer[s];
}

static void make_newest(pool *p, int s)
{
    if (p->newest == s) return;
    unlink_slot(p, s);
    p->newer[s] = NOBODY;
    p->older[s] = p->newest;
    p->newer[p->newest] = s;
    p->newest = s;
}

/* For n experts that are missing the slots that were not used for longest, not those of this wave; those of the wave before
 * only where no others are left, since copies then wait for it. Returns the latest wave of those that go. */
static uint64_t choose_slots(cu_cache *h, pool *p, int n, int *slot)
{
    uint64_t latest = 0;
    int got = 0;
    for (; got < n && p->n_fresh; got++) {
        slot[got] = p->n_slot - p->n_fresh--;
        p->wave[slot[got]] = h->wave;
    }
    for (int before = 1; before >= 0 && got < n; before--)
        for (int s = p->oldest; s != NOBODY && got < n; s = p->newer[s]) {
            if (before ? p->wave[s] + 1 >= h->wave : p->wave[s] + 1 != h->wave) continue;
            if (p->n_slot - p->n_fresh <= s) continue;             /* fresh ones are counted, not searched */
            if (p->wave[s] > latest) latest = p->wave[s];
            p->wave[s] = h->wave;
            slot[got++] = s;
        }
    return latest;
}

/* ---- on the way ---- */

/* An expert's bytes as in the file into its slot's planes; two bytes a thread, or one, as in dev.cu: the numbers are of such units. */
typedef struct take_piece { uint8_t *to; int64_t from, n; int block, at, each; } take_piece;
typedef struct take_args { const uint8_t *raw; take_piece p[PIECES]; } take_args;

template <class T> static __global__ void __launch_bounds__(TAKE_THREADS) expert_take(take_args a)
{
    const take_piece &p = a.p[blockIdx.y];
    int first = (int)(blockIdx.x * TAKE_THREADS + threadIdx.x), step = (int)(gridDim.x * TAKE_THREADS), in = first % p.each, more = step % p.each;
    const T *from = (const T *)(const void *)a.raw + p.from + p.at + (int64_t)(first / p.each) * p.block + in;
    T *to = (T *)(void *)p.to + first, *end = (T *)(void *)p.to + p.n;
    int64_t on = (int64_t)(step / p.each) * p.block + more;             /* without a division for each two bytes */
    for (; to < end; to += step, from += on) {
        *to = *from;
        in += more;
        if (in >= p.each) {
            in -= p.each;
            from += p.block - p.each;
        }
    }
}

static bool send(ker_dev *d, const pool *p, int slot, const ker_expert *e)
{
    cu_cache *h = d->cache;
    fetch_stage *s = &h->stage[h->next];
    const void *part[MATS] = { e->gate, e->up, e->down };
    take_args a = {};
    int n = 0, unit = 2;
    int64_t at = 0;
    for (int j = 0; j < MATS; j++) if (ker_type_get(p->mat[j].type)->bytes % 2) unit = 1;
    h->next = (h->next + 1) % STAGES;
    if (s->used && cudaEventSynchronize(s->free_at) != cudaSuccess) return false;
    a.raw = s->dev;
    for (int j = 0; j < MATS; j++, at = up256(at)) {
        const cu_mat *m = &p->mat[j];
        const cu_planes *pl = cu_planes_of(m->type);
        int64_t blocks = (int64_t)(m->n_in / m->block) * m->n_out;
        int block = 0;
        memcpy(s->host + at, part[j], (size_t)p->bytes[j]);
        for (int i = 0; i < pl->n; i++) block += pl->bytes[i] / unit;
        for (int i = 0, in = 0; i < pl->n; in += pl->bytes[i++] / unit) {
            take_piece *q = &a.p[n++];
            q->each = pl->bytes[i] / unit;
            q->n = blocks * q->each;
            q->to = (uint8_t *)(uintptr_t)m->p[i] + slot * q->n * unit;
            q->from = at / unit;
            q->block = block;
            q->at = in;
        }
        at += p->bytes[j];
    }
    if (cudaMemcpyAsync(s->dev, s->host, (size_t)at, cudaMemcpyHostToDevice, h->st) != cudaSuccess) return false;
    int64_t most = 1;
    for (int i = 0; i < n; i++) if (a.p[i].n > most) most = a.p[i].n;
    int64_t blocks = (most + TAKE_THREADS - 1) / TAKE_THREADS;
    if (blocks > TAKE_BLOCKS) blocks = TAKE_BLOCKS;
    if (unit == 1) LAUNCH(expert_take<uint8_t>, dim3((unsigned)blocks, (unsigned)n), dim3(TAKE_THREADS), 0, h->st, a);
    else LAUNCH(expert_take<uint16_t>, dim3((unsigned)blocks, (unsigned)n), dim3(TAKE_THREADS), 0, h->st, a);
    if (cudaGetLastError() != cudaSuccess || cudaEventRecord(s->free_at, h->st) != cudaSuccess) return false;
    s->used = true;
    h->bytes += (uint64_t)expert_bytes(p);
    return true;
}

/* A copy did not come about: what was on its way is forgotten. The device may go on if it still answers. */
static int lost(ker_ctx *c, int layer, int n)
{
    cu_cache *h = c->dev->cache;
    pool *p = &h->pools[h->pool_of[layer]];
    for (int i = 0; i < n; i++) {
        p->key[h->slot[i]] = NOBODY;
        h->slot_of[(int64_t)layer * c->dev->m.n_expert + h->miss[i]] = NOBODY;
    }
    cudaGetLastError();
    cu_ok(c->dev, cudaStreamSynchronize(h->st), "experts on their way");
    cu_ok(c->dev, cudaStreamSynchronize(c->st), "experts on their way");
    return c->state = Q_ERR;
}

/* h->miss into h->slot. */
static int bring(ker_ctx *c, int layer, int n, uint64_t latest)
{
    ker_dev *d = c->dev;
    cu_cache *h = d->cache;
    const ker_source *src = &d->source;
    pool *p = &h->pools[h->pool_of[layer]];
    int rc = Q_OK, i = 0;
    for (i = 0; i < n; i++) {
        int64_t key = (int64_t)layer * d->m.n_expert + h->miss[i];
        int s = h->slot[i];
        if (p->key[s] != NOBODY) h->slot_of[p->key[s]] = NOBODY;
        p->key[s] = (int)key;
        h->slot_of[key] = s;
    }
    bool ok = cudaStreamWaitEvent(h->st, h->done[(latest + 1 == h->wave ? latest : h->wave) & 1], 0) == cudaSuccess;
    bool held = ok && src->acquire;
    if (held && (rc = src->acquire(src->user, layer, h->miss, n, h->got, c->cancel, NULL))) {
        lost(c, layer, n);
        return c->state = rc;
    }
    for (i = 0; i < n && ok; i++) {
        if (c->cancel && std::atomic_load(c->cancel)) rc = Q_CANCEL;
        if (rc) break;
        if (!src->acquire) {
            const uint8_t **from = h->data + layer * MATS;
            const int64_t *apart = h->apart + layer * MATS;
            h->got[i].gate = from[0] + h->miss[i] * apart[0];
            h->got[i].up = from[1] + h->miss[i] * apart[1];
            h->got[i].down = from[2] + h->miss[i] * apart[2];
        }
        ok = send(d, p, h->slot[i], &h->got[i]);
    }
    if (held && src->release) src->release(src->user, layer, h->miss, n);
    if (ok && !rc && cudaEventRecord(h->here, h->st) == cudaSuccess && cudaStreamWaitEvent(c->st, h->here, 0) == cudaSuccess) return Q_OK;
    lost(c, layer, n);
    return rc ? c->state = rc : c->state;
}

/* ---- waves ---- */

/* As many of the n experts in h->need (rising) as `most` slots take are brought; where[expert] is their slot, NOBODY of all
 * others. Those that must wait stay in need; returns how many, or a q_result. keep: they count as used last. */
static int wave(ker_ctx *c, int layer, int n, int most, bool keep, int *where)
{
    cu_cache *h = c->dev->cache;
    pool *p = &h->pools[h->pool_of[layer]];
    const int *slot_of = h->slot_of + (int64_t)layer * c->dev->m.n_expert;
    int taken = 0, missing = 0, left = 0;
    h->wave++;
    for (int e = 0; e < c->dev->m.n_expert; e++) where[e] = NOBODY;
    for (int i = 0; i < n && taken < most; i++) {                  /* those that are here first, so that none of them has to go */
        int e = h->need[i], s = slot_of[e];
        if (s == NOBODY) continue;
        p->wave[s] = h->wave;
        if (keep) make_newest(p, s);
        where[e] = s;
        taken++;
    }
    for (int i = 0; i < n; i++) {
        int e = h->need[i];
        if (where[e] != NOBODY) continue;
        if (slot_of[e] == NOBODY && taken < most) {
            h->miss[missing++] = e;
            taken++;
        } else h->need[left++] = e;
    }
    h->asked += (uint64_t)taken;
    h->fetched += (uint64_t)missing;
    if (!missing) return left;
    int fresh = p->n_fresh;
    uint64_t latest = choose_slots(h, p, missing, h->slot);
    int rc = bring(c, layer, missing, latest);
    if (rc) return rc;
    for (int i = 0; i < missing; i++) {
        where[h->miss[i]] = h->slot[i];
        if (keep || h->slot[i] >= p->n_slot - fresh) make_newest(p, h->slot[i]);
    }
    return left;
}

/* The distinct experts of some rows, rising, into h->need. */
static int needed(ker_ctx *c, const uint16_t *ids, int n, int s0, int s1)
{
    cu_cache *h = c->dev->cache;
    int n_expert = c->dev->m.n_expert, count = 0;
    memset(h->wanted, 0, (size_t)n_expert);
    for (int r = 0; r < n; r++)
        for (int s = s0; s < s1 && ids[(int64_t)r * c->max_k + s] != KER_NO_EXPERT; s++) h->wanted[ids[(int64_t)r * c->max_k + s]] = 1;
    for (int e = 0; e < n_expert; e++) if (h->wanted[e]) h->need[count++] = e;
    return count;
}

static int end_of_wave(ker_ctx *c)
{
    cu_cache *h = c->dev->cache;
    bool ok = cu_ok(c->dev, cudaGetLastError(), "experts") && cu_ok(c->dev, cudaEventRecord(h->done[h->wave & 1], c->st), "experts");
    return ok ? Q_OK : (c->state = Q_ERR);
}

/* Many rows, or shapes that few rows' kernels do not take. ids: of rows [r0, r0 + n), on the host and on the device. */
int cu_fetch_rows(ker_ctx *c, int layer, const uint16_t *ids, const uint16_t *dev_ids, int r0, int n, int k, float *to)
{
    cu_cache *h = c->dev->cache;
    const pool *p = &h->pools[h->pool_of[layer]];
    int n_expert = c->dev->m.n_expert, left = needed(c, ids, n, 0, k), most = left <= p->n_slot ? p->n_slot : p->n_slot > 1 ? p->n_slot / 2 : 1;
    while (left > 0) {
        int *where = c->fetch.place + ((h->wave + 1) & 1) * (uint64_t)n_expert;
        if (!cu_ok(c->dev, cudaEventSynchronize(h->done[(h->wave + 1) & 1]), "experts")) return c->state = Q_ERR;      /* it may still be on its way */
        left = wave(c, layer, left, most, n <= CU_FEW, where);
        if (left < 0) return left;
        if (!cu_ok(c->dev, cudaMemcpyAsync(c->fetch.dev_place, where, (size_t)n_expert * 4, cudaMemcpyHostToDevice, c->st), "experts")) return c->state = Q_ERR;
        cu_experts_rows(c, layer, dev_ids, r0, n, k, c->fetch.dev_place, to);
        int rc = end_of_wave(c);
        if (rc) return rc;
    }
    return Q_OK;
}

static int many(ker_ctx *c, int layer, int k)
{
    int most = c->ffn.pairs_cap / k;
    for (int r0 = 0, n; r0 < c->shape.n; r0 += n) {
        n = c->shape.n - r0 < most ? c->shape.n - r0 : most;
        int64_t at = (int64_t)r0 * c->max_k;
        int rc = cu_fetch_rows(c, layer, c->fetch.ids + at, c->tr.ids + cu_trace_at(c, layer) + at, r0, n, k, c->ffn.pair_y);
        if (rc) return rc;
        cu_experts_add(c, layer, r0, n, k, c->ffn.pair_y);
    }
    return cu_ok(c->dev, cudaGetLastError(), "experts") ? Q_OK : (c->state = Q_ERR);
}

/* Slots [s0, s1) of rows [r0, r0 + n), whose experts fit: brought, told as slots, launched. */
static int few_wave(ker_ctx *c, int layer, cu_few_take *t)
{
    const uint16_t *ids = c->fetch.ids + (int64_t)t->r0 * c->max_k;
    uint16_t *slots = c->fetch.slots + (int64_t)t->r0 * c->max_k;
    int64_t n = (int64_t)t->n * c->max_k;
    int *where = c->fetch.place;
    int rc = wave(c, layer, needed(c, ids, t->n, t->s0, t->s1), c->dev->m.n_expert, true, where);
    if (rc < 0) return rc;
    for (int64_t i = 0; i < n; i++) {
        int s = (int)(i % c->max_k);
        slots[i] = s < t->s0 || s >= t->s1 || ids[i] == KER_NO_EXPERT ? (uint16_t)KER_NO_EXPERT : (uint16_t)where[ids[i]];
    }
    t->slots = c->fetch.dev_slots + (int64_t)t->r0 * c->max_k;
    if (!cu_ok(c->dev, cudaMemcpyAsync((uint16_t *)(uintptr_t)t->slots, slots, (size_t)n * 2, cudaMemcpyHostToDevice, c->st), "experts")) return c->state = Q_ERR;
    cu_few_experts(c, layer, t);
    return end_of_wave(c);
}

/* Few rows: all at once, or a row at a time, and of that as many slots as there is room for. */
static int few(ker_ctx *c, int layer, int k)
{
    cu_cache *h = c->dev->cache;
    int n = c->shape.n, room = h->pools[h->pool_of[layer]].n_slot;
    cu_few_take t = {};
    t.n = n;
    t.s1 = k;
    t.last = true;
    if (needed(c, c->fetch.ids, n, 0, k) <= room) return few_wave(c, layer, &t);
    t.n = 1;
    for (t.r0 = 0; t.r0 < n; t.r0++) {
        const uint16_t *ids = c->fetch.ids + (int64_t)t.r0 * c->max_k;
        int used = 0;
        while (used < k && ids[used] != KER_NO_EXPERT) used++;
        t.used = used;
        for (t.s0 = 0, t.last = false; !t.last; t.s0 += room) {
            t.last = t.s0 + room >= used;
            t.s1 = t.last ? k : t.s0 + room;
            int rc = few_wave(c, layer, &t);
            if (rc) return rc;
            if (!t.last && !cu_ok(c->dev, cudaStreamSynchronize(c->st), "experts")) return c->state = Q_ERR;     /* its slots are told anew */
        }
    }
    return Q_OK;
}

bool cu_cache_has(const ker_dev *d, int layer) { return d->cache && d->cache->pool_of[layer] != NOBODY; }

int cu_fetch_experts(ker_ctx *c, int layer)
{
    int k = c->shape.k < 1 ? 1 : c->shape.k, rc = cu_flush(c);
    if (!rc && c->cancel && std::atomic_load(c->cancel)) rc = c->state = Q_CANCEL;
    if (rc) return rc;
    bool ok = cu_ok(c->dev, cudaMemcpyAsync(c->fetch.ids, c->tr.ids + cu_trace_at(c, layer), (size_t)c->shape.n * (size_t)c->max_k * 2, cudaMemcpyDeviceToHost, c->st), "experts")
        && cu_ok(c->dev, cudaStreamSynchronize(c->st), "experts");
    if (!ok) return c->state = Q_ERR;
    cu_few_take ask = {};
    return c->shape.n <= CU_FEW && cu_few_experts(c, layer, &ask) ? few(c, layer, k) : many(c, layer, k);
}
