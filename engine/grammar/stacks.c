/* engine/grammar/stacks: see stacks.h. A node is a state to go back to over another node; a rule called last in its rule leaves no
 * node, so that lists written by recursion stay flat. */
#include "engine/grammar/stacks.h"

#include <stdlib.h>
#include <string.h>

typedef struct node { uint32_t state, below, deep, left, like; } node;    /* like: 0 not looked for yet */
typedef struct set { size_t first; uint32_t n; bool end; } set;

typedef struct hashed { uint32_t *slot; size_t cap, n; } hashed;          /* open addressing; 0: free */

struct stacks {
    const form *f;
    node *node; size_t n_node, cap_node;
    set *set; size_t n_set, cap_set;
    uint32_t **table;                    /* [cap_set] */
    size_t n_table;
    stacks_top *pool; size_t n_pool, cap_pool;
    hashed nodes, sets;
    /* of the set that is being made */
    stacks_top *todo; size_t n_todo, cap_todo;
    hashed seen;                         /* places in todo + 1 */
    stacks_top *tops; size_t n_tops, cap_tops;
    bool end;
    bool cut;
    uint64_t looked;
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u ^ b;
    x = (x ^ x >> 29) * 0x94d049bb133111ebu;
    return x ^ x >> 32;
}

static uint64_t key_of(stacks_top t) { return mix(t.state, t.below); }

static void room(hashed *x, size_t n)
{
    if (x->cap >= 2 * n + 16)
        return;
    free(x->slot);
    x->cap = x->cap ? x->cap : 64;
    while (x->cap < 4 * n + 16)
        x->cap *= 2;
    x->slot = q_alloc(sizeof *x->slot * x->cap);
    x->n = 0;
}

/* ---- nodes ---- */
static void put_slot(hashed *x, uint64_t key, uint32_t value)
{
    size_t i = key & (x->cap - 1);
    while (x->slot[i])
        i = (i + 1) & (x->cap - 1);
    x->slot[i] = value;
    x->n++;
}

static uint32_t node_of(stacks *s, uint32_t state, uint32_t below)
{
    if (s->nodes.cap < 2 * s->n_node + 16) {
        room(&s->nodes, s->n_node);
        for (size_t k = 1; k < s->n_node; k++)
            put_slot(&s->nodes, mix(s->node[k].state, s->node[k].below), (uint32_t)k);
    }
    uint64_t key = mix(state, below);
    for (size_t i = key & (s->nodes.cap - 1); s->nodes.slot[i]; i = (i + 1) & (s->nodes.cap - 1)) {
        const node *x = &s->node[s->nodes.slot[i]];
        if (x->state == state && x->below == below)
            return s->nodes.slot[i];
    }
    if (s->node[below].deep >= STACKS_DEEP) {
        s->cut = true;
        return 0;
    }
    if (s->n_node == s->cap_node) {
        s->cap_node *= 2;
        s->node = q_realloc(s->node, sizeof *s->node * s->cap_node);
    }
    uint32_t left = s->node[below].left + form_at(s->f, state)->rest;
    s->node[s->n_node] = (node){ state, below, s->node[below].deep + 1, left < FORM_NEVER ? left : FORM_NEVER, 0 };
    put_slot(&s->nodes, key, (uint32_t)s->n_node);
    return (uint32_t)s->n_node++;
}

/* ---- sets ---- */
static void begin(stacks *s)
{
    s->n_todo = s->n_tops = 0;
    s->end = false;
    if (s->seen.cap > 4096) {            /* one wide set shall not make all that follow slow */
        free(s->seen.slot);
        s->seen = (hashed){ 0 };
    }
    if (s->seen.n)
        memset(s->seen.slot, 0, sizeof *s->seen.slot * s->seen.cap);
    s->seen.n = 0;
}

static void visit(stacks *s, stacks_top t)
{
    s->looked++;
    if (s->seen.cap < 2 * s->n_todo + 16) {
        room(&s->seen, s->n_todo);
        for (size_t k = 0; k < s->n_todo; k++)
            put_slot(&s->seen, key_of(s->todo[k]), (uint32_t)k + 1);
    }
    uint64_t key = key_of(t);
    for (size_t i = key & (s->seen.cap - 1); s->seen.slot[i]; i = (i + 1) & (s->seen.cap - 1)) {
        stacks_top x = s->todo[s->seen.slot[i] - 1];
        if (x.state == t.state && x.below == t.below)
            return;
    }
    if (s->n_todo >= (size_t)STACKS_WIDE * 16) {
        s->cut = true;
        return;
    }
    if (s->n_todo == s->cap_todo) {
        s->cap_todo = s->cap_todo ? s->cap_todo * 2 : 64;
        s->todo = q_realloc(s->todo, sizeof *s->todo * s->cap_todo);
    }
    s->todo[s->n_todo++] = t;
    put_slot(&s->seen, key, (uint32_t)s->n_todo);
}

/* What is reached from todo without a byte: into rules, and out of those that may end. */
static void reach(stacks *s)
{
    for (size_t i = 0; i < s->n_todo; i++) {
        stacks_top t = s->todo[i];
        const form_place *p = form_at(s->f, t.state);
        const form_edge *e = form_edges(s->f, t.state);
        s->cut |= p->bytes && s->n_tops >= STACKS_WIDE;
        if (p->bytes && s->n_tops < STACKS_WIDE) {
            if (s->n_tops == s->cap_tops) {
                s->cap_tops = s->cap_tops ? s->cap_tops * 2 : 64;
                s->tops = q_realloc(s->tops, sizeof *s->tops * s->cap_tops);
            }
            s->tops[s->n_tops++] = t;
        }
        for (uint32_t k = p->bytes; k < p->n; k++) {
            const form_place *to = form_at(s->f, e[k].to);
            bool last = to->final && to->n == 0;
            uint32_t below = last ? t.below : node_of(s, e[k].to, t.below);
            if (last || below)
                visit(s, (stacks_top){ form_start(s->f, e[k].rule), below });
        }
        if (p->final && t.below)
            visit(s, (stacks_top){ s->node[t.below].state, s->node[t.below].below });
        s->end |= p->final && !t.below;
    }
}

static int by_below(const void *a, const void *b)
{
    const stacks_top *x = a, *y = b;
    if (x->below != y->below)
        return x->below < y->below ? -1 : 1;
    return (x->state > y->state) - (x->state < y->state);
}

static uint64_t set_key(const stacks_top *t, size_t n, bool end)
{
    return q_hash64(t, sizeof *t * n, end);
}

/* The number of the set that reach made. */
static uint32_t number(stacks *s)
{
    if (s->n_tops == 0 && !s->end)
        return STACKS_DEAD;
    size_t kept = 0;
    if (s->n_tops)
        qsort(s->tops, s->n_tops, sizeof *s->tops, by_below);
    for (size_t i = 0; i < s->n_tops; i++)
        if (i == 0 || by_below(&s->tops[i], &s->tops[kept - 1]) != 0)
            s->tops[kept++] = s->tops[i];
    s->n_tops = kept;
    if (s->sets.cap < 2 * s->n_set + 16) {
        room(&s->sets, s->n_set);
        for (size_t k = 1; k < s->n_set; k++)
            put_slot(&s->sets, set_key(s->pool + s->set[k].first, s->set[k].n, s->set[k].end), (uint32_t)k);
    }
    uint64_t key = set_key(s->tops, s->n_tops, s->end);
    for (size_t i = key & (s->sets.cap - 1); s->sets.slot[i]; i = (i + 1) & (s->sets.cap - 1)) {
        const set *x = &s->set[s->sets.slot[i]];
        if (x->n == s->n_tops && x->end == s->end && memcmp(s->pool + x->first, s->tops, sizeof *s->tops * s->n_tops) == 0)
            return s->sets.slot[i];
    }
    if (s->n_set == s->cap_set) {
        s->set = q_realloc(s->set, sizeof *s->set * s->cap_set * 2);
        s->table = q_realloc(s->table, sizeof *s->table * s->cap_set * 2);
        memset(s->table + s->cap_set, 0, sizeof *s->table * s->cap_set);
        s->cap_set *= 2;
    }
    while (s->n_pool + s->n_tops > s->cap_pool) {
        s->cap_pool *= 2;
        s->pool = q_realloc(s->pool, sizeof *s->pool * s->cap_pool);
    }
    if (s->n_tops)
        memcpy(s->pool + s->n_pool, s->tops, sizeof *s->tops * s->n_tops);
    s->set[s->n_set] = (set){ s->n_pool, (uint32_t)s->n_tops, s->end };
    s->n_pool += s->n_tops;
    put_slot(&s->sets, key, (uint32_t)s->n_set);
    return (uint32_t)s->n_set++;
}

uint32_t stacks_of(stacks *s, const stacks_top *top, size_t n)
{
    begin(s);
    for (size_t i = 0; i < n; i++)
        visit(s, top[i]);
    reach(s);
    return number(s);
}

static void put_top(stacks *s, stacks_top t)
{
    if (s->n_tops == s->cap_tops) {
        s->cap_tops = s->cap_tops ? s->cap_tops * 2 : 64;
        s->tops = q_realloc(s->tops, sizeof *s->tops * s->cap_tops);
    }
    s->tops[s->n_tops++] = t;
}

uint32_t stacks_these(stacks *s, const stacks_top *top, size_t n)
{
    begin(s);
    for (size_t i = 0; i < n; i++)
        put_top(s, top[i]);
    return number(s);
}

/* The node whose states are alike all the way down; those below it are found first. */
static uint32_t like(stacks *s, uint32_t n)
{
    uint32_t from = n, deep = 0, *path = q_alloc(sizeof *path * (s->node[n].deep + 1));
    for (; from && !s->node[from].like; from = s->node[from].below)
        path[deep++] = from;
    uint32_t below = from ? s->node[from].like : 0;
    while (deep) {
        uint32_t here = path[--deep];
        below = node_of(s, form_like(s->f, s->node[here].state), below);
        s->node[here].like = below;
    }
    free(path);
    return below;
}

uint32_t stacks_like(stacks *s, uint32_t of)
{
    size_t n = s->set[of].n;
    stacks_top *top = q_alloc(sizeof *top * (n + 1));
    memcpy(top, s->pool + s->set[of].first, sizeof *top * n);
    for (size_t i = 0; i < n; i++)
        top[i] = (stacks_top){ form_like(s->f, top[i].state), top[i].below ? like(s, top[i].below) : 0 };
    begin(s);
    for (size_t i = 0; i < n; i++)
        put_top(s, top[i]);
    s->end = s->set[of].end;
    free(top);
    return number(s);
}

uint32_t stacks_begin(stacks *s) { return stacks_of(s, &(stacks_top){ form_root(s->f), 0 }, 1); }
uint32_t stacks_back(stacks *s, uint32_t n) { return stacks_of(s, &(stacks_top){ s->node[n].state, s->node[n].below }, 1); }

/* All bytes around this one that lead to the same steps get the same answer. */
static uint32_t take_step(stacks *s, uint32_t from, uint8_t byte)
{
    if (from == STACKS_DEAD)
        return STACKS_DEAD;
    if (!s->table[from]) {
        s->table[from] = q_alloc(sizeof **s->table * 256);
        memset(s->table[from], 0xFF, sizeof **s->table * 256);
        s->n_table++;
    }
    int lo = 0, hi = 255;
    begin(s);
    for (size_t i = 0; i < s->set[from].n; i++) {
        stacks_top t = s->pool[s->set[from].first + i];
        const form_edge *e = form_edges(s->f, t.state);
        for (uint32_t k = 0; k < form_at(s->f, t.state)->bytes; k++) {
            if (e[k].lo <= byte && byte <= e[k].hi) {
                visit(s, (stacks_top){ e[k].to, t.below });
                lo = e[k].lo > lo ? e[k].lo : lo;
                hi = e[k].hi < hi ? e[k].hi : hi;
            } else if (e[k].hi < byte)
                lo = e[k].hi + 1 > lo ? e[k].hi + 1 : lo;
            else
                hi = e[k].lo - 1 < hi ? e[k].lo - 1 : hi;
        }
    }
    reach(s);
    uint32_t to = number(s);
    for (int b = lo; b <= hi; b++)
        s->table[from][b] = to;
    return to;
}

uint32_t stacks_step(stacks *s, uint32_t from, uint8_t byte)
{
    const uint32_t *t = s->table[from];
    return t && t[byte] != STACKS_UNKNOWN ? t[byte] : take_step(s, from, byte);
}

uint64_t stacks_looked(const stacks *s) { return s->looked; }
bool stacks_cut(const stacks *s) { return s->cut; }
bool stacks_may_end(const stacks *s, uint32_t x) { return s->set[x].end; }

const stacks_top *stacks_tops(const stacks *s, uint32_t x, size_t *n)
{
    *n = s->set[x].n;
    return s->pool + s->set[x].first;
}

uint32_t stacks_left(const stacks *s, uint32_t x)
{
    uint32_t best = s->set[x].end ? 0 : FORM_NEVER;
    for (size_t i = 0; i < s->set[x].n; i++) {
        stacks_top t = s->pool[s->set[x].first + i];
        uint32_t left = form_at(s->f, t.state)->rest + s->node[t.below].left;
        best = left < best ? left : best;
    }
    return best;
}

uint32_t *const *stacks_tables(const stacks *s) { return s->table; }

size_t stacks_bytes(const stacks *s)
{
    return s->cap_node * sizeof *s->node + s->cap_set * (sizeof *s->set + sizeof *s->table) + s->n_table * 1024 + s->cap_pool * sizeof *s->pool +
           (s->nodes.cap + s->sets.cap + s->seen.cap) * sizeof *s->nodes.slot;
}

/* ---- life ---- */
static void clear(stacks *s)
{
    for (size_t i = 0; i < s->n_set; i++)
        free(s->table[i]);
    free(s->node);
    free(s->set);
    free(s->table);
    free(s->pool);
    free(s->nodes.slot);
    free(s->sets.slot);
    s->nodes = s->sets = (hashed){ 0 };
}

static void open_empty(stacks *s)
{
    s->cap_node = s->cap_set = s->cap_pool = 64;
    s->node = q_alloc(sizeof *s->node * s->cap_node);
    s->set = q_alloc(sizeof *s->set * s->cap_set);
    s->table = q_alloc(sizeof *s->table * s->cap_set);
    s->pool = q_alloc(sizeof *s->pool * s->cap_pool);
    s->n_node = s->n_set = 1;            /* the bottom, the empty set */
    s->n_pool = s->n_table = 0;
}

stacks *stacks_new(const form *f)
{
    stacks *s = q_alloc(sizeof *s);
    s->f = f;
    open_empty(s);
    return s;
}

void stacks_free(stacks *s)
{
    if (!s)
        return;
    clear(s);
    free(s->todo);
    free(s->tops);
    free(s->seen.slot);
    free(s);
}

/* Nodes below before those above them, so that each finds its own again. */
uint32_t stacks_trim(stacks *s, uint32_t keep)
{
    node *old = s->node;
    size_t n_old = s->n_node, n = s->set[keep].n;
    bool end = s->set[keep].end;
    stacks_top *top = q_alloc(sizeof *top * (n + 1));
    uint8_t *needed = q_alloc(n_old);
    uint32_t *now = q_alloc(sizeof *now * n_old);
    memcpy(top, s->pool + s->set[keep].first, sizeof *top * n);
    for (size_t i = 0; i < n; i++)
        needed[top[i].below] = 1;
    for (size_t i = n_old; i-- > 1;)     /* a node lies behind those below it */
        if (needed[i])
            needed[old[i].below] = 1;
    s->node = NULL;
    clear(s);
    open_empty(s);
    for (size_t i = 1; i < n_old; i++)
        if (needed[i])
            now[i] = node_of(s, old[i].state, now[old[i].below]);
    free(old);
    begin(s);
    s->end = end;
    for (size_t i = 0; i < n; i++) {
        top[i].below = now[top[i].below];
        put_top(s, top[i]);
    }
    uint32_t at = keep == STACKS_DEAD ? STACKS_DEAD : number(s);
    free(top);
    free(needed);
    free(now);
    return at;
}
