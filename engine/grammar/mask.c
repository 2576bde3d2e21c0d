/* engine/grammar/mask: see mask.h. */
#include "engine/grammar/mask.h"

#include <stdlib.h>
#include <string.h>

/* What is known of a set: of all tokens; of the short ones, for all sets that are alike; of the short or long ones that the steps of one rule
 * let through, whatever called it: then tail are the nodes behind which that rule may be over. */
enum about { WHOLE, SHORT, OWN_SHORT, OWN_LONG };
typedef struct kept { uint32_t set; enum about about; uint64_t *bits; uint32_t *tail; size_t n_tail, cap_tail; uint64_t used; bool all; } kept;

struct masks {
    const lexicon *l;
    const form *f;
    stacks *s;
    uint32_t *at;                        /* [deepest + 1] sets on the way to a node */
    size_t words, bytes;
    kept **slot; size_t slots, n;        /* by set and about, open addressing */
    uint64_t clock;
    masks_count count;
    uint64_t since;                      /* worked: where the mask that is being made began */
    bool spent;
    uint64_t *spare;                     /* [words] */
};

masks *masks_new(const lexicon *l, const form *f)
{
    masks *m = q_alloc(sizeof *m);
    m->l = l;
    m->f = f;
    m->s = stacks_new(f);
    m->at = q_alloc(sizeof *m->at * ((size_t)l->deepest + 2));
    m->words = ((size_t)l->n_vocab + 63) / 64;
    m->slots = 1024;
    m->slot = q_alloc(sizeof *m->slot * m->slots);
    m->spare = q_alloc(sizeof *m->spare * (m->words + 1));
    return m;
}

static void kept_free(kept *k)
{
    if (!k)
        return;
    free(k->bits);
    free(k->tail);
    free(k);
}

static void forget(masks *m)
{
    for (size_t i = 0; i < m->slots; i++) {
        kept_free(m->slot[i]);
        m->slot[i] = NULL;
    }
    m->n = m->bytes = 0;
}

void masks_free(masks *m)
{
    if (!m)
        return;
    forget(m);
    free(m->slot);
    free(m->at);
    free(m->spare);
    stacks_free(m->s);
    free(m);
}

uint32_t masks_begin(masks *m) { return stacks_begin(m->s); }
bool masks_may_end(const masks *m, uint32_t set) { return stacks_may_end(m->s, set); }
bool masks_spent(const masks *m) { return m->spent; }

masks_count masks_counts(const masks *m)
{
    masks_count c = m->count;
    c.looked = stacks_looked(m->s);
    return c;
}

/* ---- what is kept ---- */
static size_t place(const masks *m, uint32_t set, enum about about) { return (size_t)((set * 4ull + about) * 0x9e3779b97f4a7c15u >> 32) & (m->slots - 1); }

static kept *find(masks *m, uint32_t set, enum about about)
{
    for (size_t i = place(m, set, about); m->slot[i]; i = (i + 1) & (m->slots - 1))
        if (m->slot[i]->set == set && m->slot[i]->about == about) {
            m->slot[i]->used = ++m->clock;
            return m->slot[i];
        }
    return NULL;
}

static size_t size_of(const masks *m, const kept *k) { return sizeof *k + m->words * 8 + k->cap_tail * sizeof *k->tail; }

static void insert(masks *m, kept *k)
{
    size_t i = place(m, k->set, k->about);
    while (m->slot[i])
        i = (i + 1) & (m->slots - 1);
    m->slot[i] = k;
}

/* The older half goes: seldom, and then there is room for long. */
static void make_room(masks *m)
{
    uint64_t oldest = m->clock, newest = 0;
    size_t old_slots = m->slots;
    kept **old = m->slot;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i]) {
            oldest = old[i]->used < oldest ? old[i]->used : oldest;
            newest = old[i]->used > newest ? old[i]->used : newest;
        }
    uint64_t line = oldest + (newest - oldest) / 2;
    bool full = m->bytes > MASKS_BYTES;
    while (!full && m->n * 2 > m->slots)
        m->slots *= 2;
    m->slot = q_alloc(sizeof *m->slot * m->slots);
    for (size_t i = 0; i < old_slots; i++) {
        if (!old[i])
            continue;
        if (full && old[i]->used <= line) {
            m->bytes -= size_of(m, old[i]);
            m->n--;
            kept_free(old[i]);
        } else
            insert(m, old[i]);
    }
    free(old);
}

static void keep(masks *m, kept *k)
{
    k->used = ++m->clock;
    m->bytes += size_of(m, k);
    m->n++;
    if (m->bytes > MASKS_BYTES || m->n * 2 > m->slots)
        make_room(m);
    insert(m, k);
}

/* ---- walking the vocabulary ---- */
/* Since this mask was begun: stacks and nodes of the lexicon that were looked at. */
static uint64_t worked(const masks *m) { return stacks_looked(m->s) + m->count.nodes - m->since; }

static void tail(kept *k, uint32_t node)
{
    if (k->n_tail == k->cap_tail) {
        k->cap_tail = k->cap_tail ? k->cap_tail * 2 : 64;
        k->tail = q_realloc(k->tail, sizeof *k->tail * k->cap_tail);
    }
    k->tail[k->n_tail++] = node;
}

/* Nodes from..to, which stand one deeper than a text that is in `set`. k: where the rule may be over is put there; NULL: not asked.
 * False: memory is full, or it was too much. */
static bool walk(masks *m, const lexicon_node *node, uint32_t from, uint32_t to, uint32_t set, uint64_t *bits, kept *k)
{
    uint32_t *const *tables = stacks_tables(m->s);
    uint32_t *at = m->at;
    if (from == to)
        return true;
    if (worked(m) > MASKS_WORK)
        return false;
    at[node[from].deep - 1] = set;
    for (uint32_t i = from; i < to; m->count.nodes++) {
        const lexicon_node *n = &node[i];
        uint32_t before = at[n->deep - 1];
        const uint32_t *t = tables[before];
        uint32_t now = t ? t[n->byte] : STACKS_UNKNOWN;
        if (now == STACKS_UNKNOWN) {
            now = stacks_step(m->s, before, n->byte);
            tables = stacks_tables(m->s);
            if (stacks_bytes(m->s) > MASKS_STACKS || worked(m) > MASKS_WORK)
                return false;
        }
        if (now == STACKS_DEAD) {
            i = n->behind;
            continue;
        }
        at[n->deep] = now;
        for (int32_t id = n->id; id >= 0; id = m->l->same[id])
            bits[id / 64] |= 1ull << id % 64;
        if (k && n->behind > i + 1 && stacks_may_end(m->s, now))
            tail(k, i);
        i++;
    }
    return true;
}

/* What the steps of these tops let through by themselves. */
static kept *own_mask(masks *m, int tree, const stacks_top *top, size_t n, bool *full)
{
    stacks_top *bare = q_alloc(sizeof *bare * (n + 1));
    enum about about = tree == LEXICON_SHORT ? OWN_SHORT : OWN_LONG;
    for (size_t i = 0; i < n; i++)
        bare[i] = (stacks_top){ top[i].state, 0 };
    uint32_t set = stacks_these(m->s, bare, n);
    free(bare);
    kept *k = find(m, set, about);
    if (k)
        return k;
    k = q_alloc(sizeof *k);
    *k = (kept){ .set = set, .about = about, .bits = q_alloc(m->words * 8 + 8) };
    *full |= !walk(m, m->l->tree[tree].node, 0, m->l->tree[tree].n, set, k->bits, k);
    keep(m, k);
    return k;
}

/* The tokens of a tree that may come, into bits. False: memory is full, and some of them may be missing. */
static bool gather(masks *m, int tree, uint32_t set, uint64_t *bits)
{
    size_t n, first = 0;
    bool full = false;
    const lexicon_node *node = m->l->tree[tree].node;
    const stacks_top *tops = stacks_tops(m->s, set, &n);
    stacks_top *top = q_alloc(sizeof *top * (n + 1));
    memcpy(top, tops, sizeof *top * n);
    for (size_t i = 0; i < n && !full; i++) {
        if (i + 1 < n && top[i + 1].below == top[first].below)
            continue;
        kept *k = own_mask(m, tree, top + first, i + 1 - first, &full);
        for (size_t w = 0; w < m->words; w++)
            bits[w] |= k->bits[w];
        if (top[first].below && k->n_tail && !full) {
            uint32_t back = stacks_back(m->s, top[first].below);
            for (size_t t = 0; t < k->n_tail && !full && back != STACKS_DEAD; t++)
                full = !walk(m, node, k->tail[t] + 1, node[k->tail[t]].behind, back, bits, NULL);
        }
        first = i + 1;
    }
    free(top);
    return !full;
}

/* The short tokens, which all sets that are alike have in common. */
static bool gather_short(masks *m, uint32_t set, uint64_t *bits)
{
    uint32_t like = stacks_like(m->s, set);
    kept *k = find(m, like, SHORT);
    if (k) {
        memcpy(bits, k->bits, m->words * 8);
        return true;
    }
    bool ok = gather(m, LEXICON_SHORT, like, bits);
    if (ok && like != set) {
        k = q_alloc(sizeof *k);
        *k = (kept){ .set = like, .about = SHORT, .bits = q_alloc(m->words * 8 + 8) };
        memcpy(k->bits, bits, m->words * 8);
        keep(m, k);
    }
    return ok;
}

static bool gather_all(masks *m, uint32_t set)
{
    memset(m->spare, 0, m->words * 8);
    bool ok = gather_short(m, set, m->spare);
    ok = gather(m, LEXICON_LONG, set, m->spare) && ok;
    if (stacks_may_end(m->s, set))
        for (int i = 0; i < m->l->n_end; i++)
            m->spare[m->l->end[i] / 64] |= 1ull << m->l->end[i] % 64;
    return ok;
}

static bool lets_all(const masks *m, const uint64_t *bits)
{
    int n = m->l->n_vocab % 64;
    for (size_t w = 0; w < m->words; w++)
        if ((bits[w] | m->l->never[w]) != (w + 1 == m->words && n ? (1ull << n) - 1 : UINT64_MAX))
            return false;
    return true;
}

/* Where memory is full all is forgotten and made again, so that a mask does not depend on what was asked before; what is too much then too
 * is left out: fewer tokens may come, never a wrong one. What was cut short is of no use to others. A form that can be read in so many ways
 * that a mask takes more than MASKS_WORK ends the text: each further token would take as long. */
const uint64_t *masks_of(masks *m, uint32_t *set)
{
    kept *k = find(m, *set, WHOLE);
    m->count.found += k != NULL;
    if (k)
        return k->all ? NULL : k->bits;
    m->count.made++;
    m->since = stacks_looked(m->s) + m->count.nodes;
    if (!gather_all(m, *set)) {
        forget(m);
        *set = stacks_trim(m->s, *set);
        m->since = stacks_looked(m->s) + m->count.nodes;
        gather_all(m, *set);
        m->spent = m->spent || worked(m) > MASKS_WORK;
        if (m->spent)
            memset(m->spare, 0, m->words * 8);
        *set = stacks_trim(m->s, *set);
        forget(m);
    }
    k = q_alloc(sizeof *k);
    *k = (kept){ .set = *set, .about = WHOLE, .bits = q_alloc(m->words * 8 + 8), .all = lets_all(m, m->spare) };
    memcpy(k->bits, m->spare, m->words * 8);
    keep(m, k);
    return k->all ? NULL : k->bits;
}

uint32_t masks_take(masks *m, uint32_t set, const char *p, size_t n)
{
    for (size_t i = 0; i < n && set != STACKS_DEAD; i++)
        set = stacks_step(m->s, set, (uint8_t)p[i]);
    return set;
}
