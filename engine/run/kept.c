/* engine/run/kept: see kept.h. An entry a number of the backend's; what nobody holds or keeps is a spare, which the next step takes: a
 * decoded token goes from one state to another, and memory from the system for each would cost more than the layers do. */
#include "engine/run/kept.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { CALM = 256 };                   /* steps without a try after which its states are given back: longer than most pauses of drafts */

typedef struct entry {
    bool there, settled;               /* the backend has it; it is written */
    enum kept_why why;
    int refs, n;                       /* lines on it; cells it covers */
    uint64_t chain, used;
} entry;

struct kept {
    const ker_backend *be;
    ker_kv *kv;
    entry *all;                        /* [n], of state i + 1 */
    int n, beside, calm;               /* the most that were tried at once; steps since */
    uint64_t each, limit, clock;
};

kept *kept_new(const ker_backend *be, ker_dev *dev, ker_kv *kv)
{
    int64_t each = be->state_bytes ? be->state_bytes(dev) : 0;
    if (each <= 0)
        return NULL;
    kept *k = q_alloc(sizeof *k);
    *k = (kept){ .be = be, .kv = kv, .each = (uint64_t)each, .limit = UINT64_MAX };
    return k;
}

void kept_free(kept *k)
{
    if (!k)
        return;
    for (int i = 0; i < k->n; i++)
        if (k->all[i].there)
            k->be->state_free(k->kv, i + 1);
    free(k->all);
    free(k);
}

static entry *at(const kept *k, int state)
{
    assert(state > 0 && state <= k->n && k->all[state - 1].there);
    return &k->all[state - 1];
}

static bool spare(const entry *e) { return e->there && !e->refs && e->why == KEPT_NOT; }

static void let_go(kept *k, int i)
{
    k->be->state_free(k->kv, i + 1);
    k->all[i] = (entry){ 0 };
}

static uint64_t spares(const kept *k)
{
    uint64_t n = 0;
    for (int i = 0; i < k->n; i++)
        n += spare(&k->all[i]);
    return n;
}

/* Spares beyond one for each line, one more and those that are tried at once serve nobody. */
static void tidy(kept *k)
{
    int held = 0, extra = (int)spares(k);
    for (int i = 0; i < k->n; i++)
        held += k->all[i].there && k->all[i].refs;
    for (int i = k->n - 1; i >= 0 && extra > held + 1 + k->beside; i--)
        if (spare(&k->all[i])) {
            let_go(k, i);
            extra--;
        }
}

static uint64_t total(const kept *k)
{
    uint64_t n = 0;
    for (int i = 0; i < k->n; i++)
        n += k->all[i].there;
    return n;
}

/* The kept state that is missed least, of those that are ranked up to `most`; -1: there is none that nobody stands on. */
static int least(const kept *k, int most, bool (*here)(const void *user, int n, uint64_t chain), const void *user)
{
    int best = -1, best_rank = 0;
    for (int i = 0; i < k->n; i++) {
        const entry *e = &k->all[i];
        if (!e->there || e->refs || e->why == KEPT_NOT)
            continue;
        int rank = here && here(user, e->n, e->chain) ? (int)e->why : 0;
        if (rank > most)
            continue;
        if (best < 0 || rank < best_rank || (rank == best_rank && e->used < k->all[best].used)) {
            best = i;
            best_rank = rank;
        }
    }
    return best;
}

void kept_limit(kept *k, uint64_t bytes)
{
    if (!k || k->limit == bytes)
        return;
    k->limit = bytes;
    for (int i; total(k) * k->each > k->limit && (i = least(k, KEPT_BORDER, NULL, NULL)) >= 0;)
        let_go(k, i);
}

static int first_spare(const kept *k)
{
    int i = 0;
    while (i < k->n && !spare(&k->all[i]))
        i++;
    return i;
}

/* Of number `state`, which the backend has made. */
static int made(kept *k, int state)
{
    if (state > k->n) {
        k->all = q_realloc(k->all, sizeof *k->all * (size_t)state);
        for (; k->n < state; k->n++)
            k->all[k->n] = (entry){ 0 };
    }
    return state - 1;
}

int kept_take_beside(kept *k, bool (*here)(const void *user, int n, uint64_t chain), const void *user, char *err)
{
    int i = first_spare(k), beside = 0, old = i == k->n && (total(k) + 1) * k->each > k->limit ? least(k, KEPT_BORDER - 1, here, user) : -1;
    if (old >= 0) {
        k->all[old].why = KEPT_NOT;
        i = old;
    }
    int rc = i == k->n ? k->be->state_new(k->kv, err) : i + 1;
    if (rc < 0)
        return rc;
    i = made(k, rc);
    k->calm = 0;
    k->all[i] = (entry){ .there = true, .refs = 1, .used = ++k->clock };
    for (int j = 0; j < k->n; j++)
        beside += k->all[j].there && k->all[j].refs && !k->all[j].settled;
    k->beside = beside > k->beside ? beside : k->beside;
    return i + 1;
}

int kept_take(kept *k, bool (*here)(const void *user, int n, uint64_t chain), const void *user, char *err)
{
    if (k->beside && ++k->calm > CALM) {
        k->beside = 0;
        tidy(k);
    }
    int i = first_spare(k), rc = 0, old;
    if (i == k->n && (total(k) + 1) * k->each > k->limit && (old = least(k, KEPT_BORDER, here, user)) >= 0) {
        k->all[old].why = KEPT_NOT;    /* a spare now */
        i = old;
    }
    while (i == k->n && (rc = k->be->state_new(k->kv, err)) == Q_NOMEM && (old = least(k, KEPT_BORDER, here, user)) >= 0) {
        k->all[old].why = KEPT_NOT;
        i = old;
    }
    if (i == k->n) {
        if (rc < 0)
            return rc;
        i = made(k, rc);
    }
    k->all[i] = (entry){ .there = true, .refs = 1, .used = ++k->clock };
    return i + 1;
}

void kept_settle(kept *k, int state, int n, uint64_t chain)
{
    entry *e = at(k, state);
    e->settled = true;
    e->n = n;
    e->chain = chain;
    e->used = ++k->clock;
}

void kept_hold(kept *k, int state)
{
    if (!state)
        return;
    at(k, state)->refs++;
    at(k, state)->used = ++k->clock;
}

void kept_drop(kept *k, int state)
{
    if (!state)
        return;
    entry *e = at(k, state);
    assert(e->refs > 0);
    e->refs--;
    e->used = ++k->clock;
    if (spare(e)) {
        e->settled = false;
        tidy(k);
        return;
    }
    for (int i; (total(k) - spares(k)) * k->each > k->limit && (i = least(k, KEPT_BORDER, NULL, NULL)) >= 0;)   /* no room for even one beside those in use */
        let_go(k, i);
}

/* Two of the same cells are the same numbers: one is enough. */
void kept_keep(kept *k, int state, enum kept_why why)
{
    if (!state)
        return;
    entry *e = at(k, state);
    for (int i = 0; i < k->n; i++) {
        entry *o = &k->all[i];
        if (o != e && o->there && o->settled && o->why != KEPT_NOT && o->n == e->n && o->chain == e->chain) {
            o->why = o->why > why ? o->why : why;
            o->used = ++k->clock;
            return;
        }
    }
    e->why = e->why > why ? e->why : why;
}

int kept_find(const kept *k, int n, uint64_t (*chain)(const void *user, int n), const void *user, int *covers)
{
    int best = 0;
    *covers = 0;
    for (int i = 0; i < k->n; i++) {
        const entry *e = &k->all[i];
        if (e->there && e->settled && e->n <= n && e->n > *covers && chain(user, e->n) == e->chain) {
            best = i + 1;
            *covers = e->n;
        }
    }
    return best;
}

int kept_list(const kept *k, bool (*here)(const void *user, int n, uint64_t chain), const void *user, int *state, int most)
{
    int n = 0;
    for (int below = INT_MAX; n < most; n++) {         /* the largest first, to the end of the list */
        int best = 0;
        for (int i = 0; i < k->n; i++) {
            const entry *e = &k->all[i];
            if (e->there && e->settled && e->n < below && (!best || e->n > k->all[best - 1].n) && here(user, e->n, e->chain))
                best = i + 1;
        }
        if (!best)
            break;
        state[most - 1 - n] = best;
        below = k->all[best - 1].n;
    }
    memmove(state, state + most - n, sizeof *state * (size_t)n);
    return n;
}

int kept_covers(const kept *k, int state) { return state ? at(k, state)->n : 0; }

uint64_t kept_bytes(const kept *k, int *count, uint64_t *each)
{
    *count = 0;
    *each = k ? k->each : 0;
    for (int i = 0; k && i < k->n; i++)
        *count += k->all[i].there && !spare(&k->all[i]);
    return k ? total(k) * *each : 0;
}
