/* engine/run/ondisk: see ondisk.h. One lock for all layers: what happens under it takes microseconds, a read takes a hundred times
 * that and happens outside. */
#include "engine/run/ondisk.h"
#include "engine/run/weights.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PARTS = 3, NOBODY = -1, POLL_MS = 20 };
#define DUE(pass) (2 * (pass))
#define GUESSED(pass) (2 * (pass) + 1)
static const enum ker_role part_role[PARTS] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };
/* What a choice counts for after each further pass over its layer: half of it after fourteen. */
static const float KEPT = 0.95F;
/* A guess is read ahead where so many of those lately made were right: a wrong one takes the disk's time from what is needed, a right
 * one saves no more than that. What is foretold is compared with what is chosen also while nothing is read for it. */
static const float TRUSTED = 0.5F, TRUST_STEP = 1.0F / 64;

typedef struct part {                  /* one role of a layer's experts */
    int file;
    uint64_t at, apart;                /* of expert 0 in the file; from one to the next */
    size_t bytes, in_slot;             /* of an expert; where its room begins in a slot */
} part;

enum slot_state { SLOT_EMPTY, SLOT_ASKED /* jobs are out */, SLOT_HERE, SLOT_FAILED };
typedef struct slot {
    struct shelf *of;
    uint8_t *p;
    int expert;                        /* NOBODY while empty                                  */
    enum slot_state state;
    int pins, left;                    /* passes that hold or wait for it; jobs that are out  */
    bool fresh, guessed;               /* brought, and not yet counted by a pass; by a guess  */
    read_job job[PARTS];
} slot;

typedef struct shelf {                 /* a layer's */
    struct ondisk *o;
    part part[PARTS];
    size_t slot_bytes;
    uint64_t expert_bytes;
    int n_slot, n_wanted;
    slot *slot;                        /* [n_slot]; NULL: not routed */
    int *where;                        /* [n_expert] its slot, or NOBODY */
    float *heat;                       /* [n_expert] as it was in pass `last` */
    uint64_t *last;
    uint64_t pass;                     /* hints so far */
    uint64_t *due;                     /* [n_expert] DUE of the pass in which it is still to be acquired, or GUESSED of the one before */
    int *wanted;                       /* [n_wanted] of the last hint, rising */
    int *foretold, n_foretold;         /* [n_foretold] of the last guess, those that had no slot */
    float trust;                       /* the share of those that were chosen, lately */
    bool taking;                       /* a pass gathers slots */
} shelf;

struct ondisk {
    pthread_mutex_t mu;
    pthread_cond_t news;               /* a slot came or went */
    int n_layer, n_expert, k;
    shelf *shelf;                      /* [n_layer] */
    slot *slots;
    void *room;
    size_t room_bytes;
    reader *reader;
    eng_ondisk count;                  /* with what does not change */
    uint64_t unbilled;                 /* bytes read that no pass was told of yet */
    uint64_t lot;
    float kept;
    bool no_ahead, no_guess;
    void (*tap)(void *user, int layer);
    void *tap_user;
    char why[Q_ERRLEN];
};

/* ---- the plan ---- */

/* Where a layer's experts lie, and what a slot of them takes; false: it has none. */
static bool shelf_shape(const eng_model *m, int layer, shelf *s)
{
    char ignored[Q_ERRLEN];
    s->slot_bytes = 0;
    s->expert_bytes = 0;
    if (!m->layers[layer].moe) return false;
    for (int i = 0; i < PARTS; i++) {
        weight_view v;
        if (weight_find(m, part_role[i], layer, &v, ignored)) return false;
        part *p = &s->part[i];
        p->bytes = (size_t)(ker_row_bytes(v.type, v.ne[0]) * v.ne[1]);
        p->apart = v.stride ? (uint64_t)v.stride : p->bytes;
        p->file = v.data ? gguf_part_of(m->file, v.data, &p->at) : 0;
        p->in_slot = s->slot_bytes;
        s->slot_bytes += reader_room(p->bytes);
        s->expert_bytes += p->bytes;
    }
    return true;
}

/* The same number in each layer, and what is left to the first ones. */
static void share_out(const shelf *s, int n_layer, int n_expert, uint64_t bytes, int *n_slot)
{
    uint64_t all = 0, used = 0;
    for (int l = 0; l < n_layer; l++) all += s[l].slot_bytes;
    int each = all ? (int)(bytes / all < (uint64_t)n_expert ? bytes / all : (uint64_t)n_expert) : 0;
    for (int l = 0; l < n_layer; l++) {
        n_slot[l] = s[l].slot_bytes ? each : 0;
        used += (uint64_t)n_slot[l] * s[l].slot_bytes;
    }
    for (int l = 0; l < n_layer; l++)
        if (n_slot[l] && n_slot[l] < n_expert && used + s[l].slot_bytes <= bytes) {
            n_slot[l]++;
            used += s[l].slot_bytes;
        }
}

bool ondisk_plan_make(const eng_model *m, uint64_t budget, ondisk_plan *out, int *n_slot)
{
    const ker_model *k = &m->ker;
    *out = (ondisk_plan){ .rest = weights_made(m) };
    for (int i = 0; i < gguf_n_tensors(m->file); i++) out->rest += gguf_tensor_at(m->file, i)->bytes;
    uint64_t all = out->rest;
    out->whole = out->fits = budget != ONDISK_LEAST && all <= budget;
    out->least = all;
    shelf *s = q_alloc(sizeof *s * (size_t)k->n_layer);
    int *n = q_alloc(sizeof *n * (size_t)k->n_layer), n_moe = 0, slots = 0;
    bool any = false;
    for (int l = 0; l < k->n_layer && k->n_expert > 0 && !(k->router_scale > 0); l++) {
        if (!shelf_shape(m, l, &s[l])) continue;
        any = true;
        n_moe++;
        out->experts += s[l].expert_bytes * (uint64_t)k->n_expert;
        out->expert = s[l].expert_bytes > out->expert ? s[l].expert_bytes : out->expert;
        out->slots += (uint64_t)m->info.n_expert_used * s[l].slot_bytes;
        out->token += (uint64_t)m->info.n_expert_used * s[l].expert_bytes;
    }
    if (any) {
        out->rest = all - out->experts;
        out->least = out->rest + out->slots;
        if (budget == ONDISK_LEAST) budget = out->least;
        else out->whole = all <= budget;
        out->fits = budget >= out->least || out->whole;
        share_out(s, k->n_layer, k->n_expert, budget > out->rest ? budget - out->rest : 0, n);
        out->slots = 0;
        for (int l = 0; l < k->n_layer; l++) {
            out->slots += (uint64_t)n[l] * s[l].slot_bytes;
            slots += n[l];
        }
        out->share = out->whole ? 1 : (double)slots / ((double)n_moe * k->n_expert);
    }
    if (n_slot) memcpy(n_slot, n, sizeof *n * (size_t)k->n_layer);
    free(s);
    free(n);
    return any;
}

/* ---- slots; all of this under the lock ---- */

static float heat_of(const shelf *s, int e) { return s->heat[e] * powf(s->o->kept, (float)(s->pass - s->last[e])); }

/* A slot whose jobs are out is nobody's to take, failed or not. */
static bool busy(const slot *t) { return t->left > 0; }

static void empty(slot *t)
{
    if (t->expert != NOBODY) t->of->where[t->expert] = NOBODY;
    t->expert = NOBODY;
    t->state = SLOT_EMPTY;
    t->fresh = t->guessed = false;
}

/* The slot that has to go, or NOBODY: an empty one; else the coldest of those that nobody holds or waits for. One that is still to be
 * acquired in this pass goes only for experts before it (`before`: NOBODY, for none), the last first; one that was guessed before it. */
static int victim(shelf *s, int before)
{
    int best = NOBODY, best_rank = 0;
    float best_heat = 0;
    for (int i = 0; i < s->n_slot; i++) {
        const slot *t = &s->slot[i];
        if (t->pins || busy(t)) continue;
        if (t->state != SLOT_HERE) return i;
        int e = t->expert, rank = s->due[e] == DUE(s->pass) ? 2 : s->due[e] == GUESSED(s->pass) ? 1 : 0;
        if (rank && (before == NOBODY || (rank == 2 && e < before))) continue;
        float heat = rank == 2 ? (float)-e : s->o->lot ? (float)((s->o->lot = q_mix64(s->o->lot, (uint64_t)e)) >> 40) : heat_of(s, e);
        if (best != NOBODY && (rank > best_rank || (rank == best_rank && heat >= best_heat))) continue;
        best = i;
        best_rank = rank;
        best_heat = heat;
    }
    return best;
}

static void bring(shelf *s, int e, int at, bool guessed)
{
    slot *t = &s->slot[at];
    empty(t);
    t->expert = e;
    t->state = SLOT_ASKED;
    t->fresh = true;
    t->guessed = guessed;
    t->left = PARTS;
    s->where[e] = at;
    s->o->count.brought++;
    s->o->count.guessed += guessed;
    for (int i = 0; i < PARTS; i++) {
        const part *p = &s->part[i];
        t->job[i] = (read_job){ .file = p->file, .at = p->at + (uint64_t)e * p->apart, .bytes = p->bytes, .to = t->p + p->in_slot, .user = t };
        reader_put(s->o->reader, &t->job[i], !guessed);
    }
}

/* What of the pass is still to come is brought where there is room: the next ones even in place of later ones. */
static void pump(shelf *s)
{
    if (s->o->no_ahead) return;
    int coming = 0, ahead = 2 * (s->n_slot / 4 > 0 ? s->n_slot / 4 : 1);
    for (int i = 0; i < s->n_wanted; i++) {
        int e = s->wanted[i];
        if (s->due[e] != DUE(s->pass)) continue;
        bool soon = coming++ < ahead;
        if (s->where[e] != NOBODY) continue;
        int last = i + ahead < s->n_wanted ? s->wanted[i + ahead] : s->o->n_expert, at = victim(s, soon ? last : NOBODY);
        if (at == NOBODY) return;
        bring(s, e, at, false);
    }
}

static void read_done(void *user, read_job *job, int rc, const char *why)
{
    ondisk *o = user;
    slot *t = job->user;
    pthread_mutex_lock(&o->mu);
    if (rc) {
        t->state = SLOT_FAILED;
        snprintf(o->why, sizeof o->why, "%s", why);
    } else {
        o->count.bytes += job->bytes;
        o->unbilled += job->bytes;
    }
    if (--t->left == 0) {
        if (t->state != SLOT_FAILED) t->state = SLOT_HERE;
        else if (!t->pins) empty(t);
        pthread_cond_broadcast(&o->news);
    }
    pthread_mutex_unlock(&o->mu);
}

static void pin(slot *t)
{
    t->pins++;
    for (int i = 0; i < PARTS && t->guessed; i++) reader_hurry(t->of->o->reader, &t->job[i]);
    t->guessed = false;
}

static void unpin(shelf *s, int e)
{
    slot *t = &s->slot[s->where[e]];
    if (--t->pins == 0 && t->state == SLOT_FAILED && !busy(t)) empty(t);
}

/* Waits for news, a little at a time, so that a cancel is seen. */
static void wait_news(ondisk *o)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += POLL_MS * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    pthread_cond_timedwait(&o->news, &o->mu, &t);
}

static bool cancelled(const atomic_int *cancel) { return cancel && atomic_load(cancel); }

/* ---- the source ---- */

/* A guess that was wrong makes room, and is not read if that has not begun. */
static void settle_guess(shelf *s, slot *t)
{
    if (!t->guessed) return;
    t->guessed = false;
    if (s->due[t->expert] == DUE(s->pass)) {
        s->o->count.right++;
        for (int i = 0; i < PARTS; i++) reader_hurry(s->o->reader, &t->job[i]);
        return;
    }
    for (int i = 0; i < PARTS && t->state == SLOT_ASKED; i++)
        if (reader_take_back(s->o->reader, &t->job[i])) {
            t->left--;
            t->fresh = false;
        }
    if (t->left == 0 && !t->fresh) empty(t);
    else if (!t->fresh) t->state = SLOT_FAILED;            /* a part of it is being read: nobody's until that ends */
}

static void source_hint(void *user, int layer, const int *ids, int n)
{
    ondisk *o = user;
    shelf *s = &o->shelf[layer];
    pthread_mutex_lock(&o->mu);
    s->pass++;
    s->n_wanted = n;
    for (int i = 0; i < n; i++) {
        int e = s->wanted[i] = ids[i];
        s->heat[e] = 1 + heat_of(s, e);
        s->last[e] = s->pass;
        s->due[e] = DUE(s->pass);
    }
    for (int i = 0; i < s->n_foretold; i++) s->trust += ((s->due[s->foretold[i]] == DUE(s->pass)) - s->trust) * TRUST_STEP;
    s->n_foretold = 0;
    for (int i = 0; i < s->n_slot; i++) settle_guess(s, &s->slot[i]);
    pump(s);
    pthread_mutex_unlock(&o->mu);
    if (o->tap) o->tap(o->tap_user, layer);
}

static void source_guess(void *user, int layer, const int *ids, int n)
{
    ondisk *o = user;
    shelf *s = &o->shelf[layer];
    pthread_mutex_lock(&o->mu);
    bool reads = !o->no_guess && s->trust >= TRUSTED;
    s->n_foretold = 0;
    for (int i = 0; i < n && reads; i++) s->due[ids[i]] = GUESSED(s->pass);
    for (int i = 0; i < n; i++) {
        if (s->where[ids[i]] != NOBODY) continue;
        s->foretold[s->n_foretold++] = ids[i];
        int at = reads ? victim(s, NOBODY) : NOBODY;
        if (at != NOBODY) bring(s, ids[i], at, true);
    }
    pthread_mutex_unlock(&o->mu);
}

static int source_most(void *user, int layer, int n)
{
    const ondisk *o = user;
    int slots = o->shelf[layer].n_slot, at_once = slots / 2 > o->k ? slots / 2 : o->k;
    if (at_once > slots) at_once = slots;
    return n <= at_once ? n : slots / 4 > 0 ? slots / 4 : 1;
}

/* A slot for ids[i] of a pass that gathers, pinned; Q_CANCEL. */
static int gather_one(ondisk *o, shelf *s, int e, const atomic_int *cancel)
{
    for (;;) {
        int at = s->where[e];
        if (at != NOBODY && s->slot[at].state != SLOT_FAILED) break;
        if (at != NOBODY && !busy(&s->slot[at]) && !s->slot[at].pins) empty(&s->slot[at]);
        if (s->where[e] == NOBODY && (at = victim(s, 0)) != NOBODY) {
            bring(s, e, at, false);
            break;
        }
        if (cancelled(cancel)) return Q_CANCEL;
        wait_news(o);
    }
    pin(&s->slot[s->where[e]]);
    return Q_OK;
}

/* All of ids, pinned; or none and Q_CANCEL. Those that are here first, so that they stay. */
static int gather(ondisk *o, shelf *s, const int *ids, int n, const atomic_int *cancel)
{
    int rc = Q_OK;
    uint8_t *mine = q_alloc((size_t)n);
    while (s->taking && !rc) {
        rc = cancelled(cancel) ? Q_CANCEL : Q_OK;
        if (!rc) wait_news(o);
    }
    if (!rc) s->taking = true;
    bool turn = !rc;
    for (int i = 0; i < n && !rc; i++)
        if (s->where[ids[i]] != NOBODY && s->slot[s->where[ids[i]]].state != SLOT_FAILED) {
            pin(&s->slot[s->where[ids[i]]]);
            mine[i] = 1;
        }
    for (int i = 0; i < n && !rc; i++)
        if (!mine[i] && !(rc = gather_one(o, s, ids[i], cancel))) mine[i] = 1;
    for (int i = 0; i < n && rc; i++)
        if (mine[i]) unpin(s, ids[i]);
    if (turn) s->taking = false;
    pthread_cond_broadcast(&o->news);
    free(mine);
    return rc;
}

static int source_acquire(void *user, int layer, const int *ids, int n, ker_expert *out, const atomic_int *cancel, ker_fetched *count)
{
    ondisk *o = user;
    shelf *s = &o->shelf[layer];
    int64_t start = q_now_ns();
    pthread_mutex_lock(&o->mu);
    int rc = gather(o, s, ids, n, cancel);
    bool held = !rc;
    for (int i = 0; i < n && !rc; i++) {
        slot *t = &s->slot[s->where[ids[i]]];
        while (busy(t) && !(rc = cancelled(cancel) ? Q_CANCEL : Q_OK)) wait_news(o);
        if (!rc && t->state == SLOT_FAILED) rc = Q_IO;
    }
    uint64_t fetched = 0, wait = (uint64_t)(q_now_ns() - start);
    for (int i = 0; i < n; i++) {
        slot *t = held ? &s->slot[s->where[ids[i]]] : NULL;
        if (rc && t) unpin(s, ids[i]);
        if (rc) continue;
        const uint8_t *p[PARTS];
        for (int k = 0; k < PARTS; k++) p[k] = t->p + s->part[k].in_slot + t->job[k].at % READER_ALIGN;
        out[i] = (ker_expert){ p[0], p[1], p[2] };
        fetched += t->fresh;
        t->fresh = false;
        if (s->due[ids[i]] == DUE(s->pass)) s->due[ids[i]] = 0;
    }
    if (rc && held) pthread_cond_broadcast(&o->news);              /* whoever waits for room has some again */
    o->count.wait_ns += wait;
    o->count.asked += rc ? 0 : (uint64_t)n;
    if (count && !rc) *count = (ker_fetched){ count->asked + (uint64_t)n, count->fetched + fetched, count->bytes + o->unbilled, count->wait_ns + wait };
    if (count && !rc) o->unbilled = 0;
    pthread_mutex_unlock(&o->mu);
    return rc;
}

static void source_release(void *user, int layer, const int *ids, int n)
{
    ondisk *o = user;
    shelf *s = &o->shelf[layer];
    pthread_mutex_lock(&o->mu);
    for (int i = 0; i < n; i++) unpin(s, ids[i]);
    pump(s);
    pthread_cond_broadcast(&o->news);
    pthread_mutex_unlock(&o->mu);
}

/* ---- made and freed ---- */

static int shelf_make(ondisk *o, shelf *s, int n_slot, slot *slots, uint8_t *room)
{
    size_t n = (size_t)o->n_expert;
    s->o = o;
    s->n_slot = n_slot;
    s->slot = slots;
    s->where = q_alloc(sizeof *s->where * n);
    s->heat = q_alloc(sizeof *s->heat * n);
    s->last = q_alloc(sizeof *s->last * n);
    s->due = q_alloc(sizeof *s->due * n);
    s->wanted = q_alloc(sizeof *s->wanted * n);
    s->foretold = q_alloc(sizeof *s->foretold * n);
    s->trust = TRUSTED;
    s->pass = 1;                                           /* due 0: of none */
    for (size_t e = 0; e < n; e++) s->where[e] = NOBODY;
    for (int i = 0; i < n_slot; i++) slots[i] = (slot){ .of = s, .p = room + (size_t)i * s->slot_bytes, .expert = NOBODY };
    return n_slot;
}

static int open_reader(const eng_model *m, ondisk *o, char *err)
{
    int n = gguf_parts(m->file);
    reader_file *files = q_alloc(sizeof *files * (size_t)n);
    for (int i = 0; i < n; i++) files[i] = (reader_file){ gguf_part_path(m->file, i), gguf_part_bytes(m->file, i) };
    int rc = reader_new(files, n, READER_THREADS, read_done, o, &o->reader, err);
    free(files);
    return rc;
}

int ondisk_new(const eng_model *m, uint64_t budget, ondisk **out, char *err)
{
    ondisk_plan plan;
    int n_layer = m->ker.n_layer, all = 0, at = 0, *n_slot = q_alloc(sizeof *n_slot * (size_t)n_layer);
    ondisk_plan_make(m, budget, &plan, n_slot);
    ondisk *o = q_alloc(sizeof *o);
    pthread_mutex_init(&o->mu, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);            /* wait_news: a clock that is set stops nobody */
    pthread_cond_init(&o->news, &clock);
    pthread_condattr_destroy(&clock);
    o->n_layer = n_layer;
    o->n_expert = m->ker.n_expert;
    o->k = m->info.n_expert_used;
    o->kept = KEPT;
    o->shelf = q_alloc(sizeof *o->shelf * (size_t)n_layer);
    o->room_bytes = (size_t)plan.slots;
    o->room = mmap(NULL, o->room_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int rc = o->room == MAP_FAILED ? q_fail(err, Q_NOMEM, _("no memory for %.1f GiB of experts: use a smaller --weights-ram"), (double)plan.slots / (1024.0 * 1024 * 1024)) : Q_OK;
    if (rc) o->room = NULL;
    else madvise(o->room, o->room_bytes, MADV_HUGEPAGE);
    for (int l = 0; l < n_layer; l++) all += n_slot[l];
    o->slots = q_alloc(sizeof *o->slots * (size_t)(all + 1));
    uint8_t *room = o->room;
    for (int l = 0; l < n_layer && !rc; l++) {
        if (!shelf_shape(m, l, &o->shelf[l])) continue;
        at += shelf_make(o, &o->shelf[l], n_slot[l], o->slots + at, room);
        room += (size_t)n_slot[l] * o->shelf[l].slot_bytes;
    }
    free(n_slot);
    if (!rc) rc = open_reader(m, o, err);
    o->count = (eng_ondisk){ .rest = plan.rest, .slots = plan.slots, .experts = plan.experts, .share = plan.share, .direct = !rc && reader_direct(o->reader) };
    if (rc) ondisk_free(o);
    else *out = o;
    return rc;
}

void ondisk_free(ondisk *o)
{
    if (!o) return;
    reader_free(o->reader);
    for (int l = 0; l < o->n_layer; l++) {
        shelf *s = &o->shelf[l];
        free(s->where);
        free(s->heat);
        free(s->last);
        free(s->due);
        free(s->wanted);
        free(s->foretold);
    }
    if (o->room) munmap(o->room, o->room_bytes);
    pthread_cond_destroy(&o->news);
    pthread_mutex_destroy(&o->mu);
    free(o->shelf);
    free(o->slots);
    free(o);
}

ker_source ondisk_source(ondisk *o)
{
    return (ker_source){ .user = o, .acquire = source_acquire, .release = source_release, .hint = source_hint, .most = source_most, .guess = source_guess };
}

reader *ondisk_reader(ondisk *o) { return o->reader; }

void ondisk_ahead(ondisk *o, bool chosen, bool guessed)
{
    pthread_mutex_lock(&o->mu);
    o->no_ahead = !chosen;
    o->no_guess = !guessed;
    pthread_mutex_unlock(&o->mu);
}

void ondisk_tap(ondisk *o, void (*chosen)(void *user, int layer), void *user)
{
    o->tap_user = user;
    o->tap = chosen;
}

void ondisk_keeps(ondisk *o, float share) { o->kept = share; }

void ondisk_by_lot(ondisk *o, uint64_t seed)
{
    pthread_mutex_lock(&o->mu);
    o->lot = seed;
    pthread_mutex_unlock(&o->mu);
}

void ondisk_why(ondisk *o, char *err)
{
    pthread_mutex_lock(&o->mu);
    if (*o->why) snprintf(err, Q_ERRLEN, "%s", o->why);
    pthread_mutex_unlock(&o->mu);
}

void ondisk_tell(ondisk *o, eng_ondisk *out)
{
    pthread_mutex_lock(&o->mu);
    *out = o->count;
    pthread_mutex_unlock(&o->mu);
}

uint64_t ondisk_room(const ondisk *o) { return o->count.rest + o->count.slots; }
