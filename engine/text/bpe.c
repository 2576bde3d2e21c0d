/* engine/text/bpe: one open-addressing table from a pair of ids to rank and result, and two ways to use it:
 * a plain search of the lowest rank for words, a heap over a linked list for long runs, so that a megabyte
 * of one letter costs n log n and not n squared. Any thread; allocates only for long runs. */
#include "engine/text/bpe.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 32 };              /* symbols up to which a plain search is quicker than a heap */

typedef struct slot { int32_t left, right, rank, id; } slot;     /* left < 0: empty */
struct bpe { slot *t; size_t mask; uint64_t salt; };

bpe *bpe_new(size_t n)
{
    bpe *b = q_alloc(sizeof *b);
    size_t cap = 64;
    while (cap < n + n / 2) cap *= 2;
    b->t = q_alloc(cap * sizeof *b->t);
    b->mask = cap - 1;
    b->salt = q_salt();
    for (size_t i = 0; i < cap; i++) b->t[i].left = -1;
    return b;
}

void bpe_free(bpe *b)
{
    if (!b) return;
    free(b->t);
    free(b);
}

static size_t first_at(const bpe *b, int32_t left, int32_t right)
{
    uint64_t h = (((uint64_t)(uint32_t)left << 32 | (uint32_t)right) ^ b->salt) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return (size_t)(h >> 32) & b->mask;
}

void bpe_ahead(const bpe *b, int32_t left, int32_t right) { __builtin_prefetch(&b->t[first_at(b, left, right)], 1); }

static slot *find(const bpe *b, int32_t left, int32_t right)
{
    size_t i = first_at(b, left, right);
    while (b->t[i].left >= 0 && (b->t[i].left != left || b->t[i].right != right)) i = (i + 1) & b->mask;
    return &b->t[i];
}

void bpe_add(bpe *b, int32_t left, int32_t right, int32_t rank, int32_t id)
{
    slot *s = find(b, left, right);
    if (s->left < 0) *s = (slot){left, right, rank, id};
}

static int32_t listed(const void *of, int32_t left, int32_t right, int32_t *id)
{
    const slot *s = find(of, left, right);
    if (s->left < 0) return BPE_APART;
    *id = s->id;
    return s->rank;
}

static size_t merge_short(const bpe_pairs *b, int32_t *sym, size_t n)
{
    int32_t rank[SHORT], id[SHORT];               /* of the pair (i, i+1) */
    for (size_t i = 0; i + 1 < n; i++) rank[i] = b->pair(b->of, sym[i], sym[i + 1], &id[i]);
    while (n > 1) {
        size_t at = 0;
        for (size_t i = 1; i + 1 < n; i++) if (rank[i] < rank[at]) at = i;
        if (rank[at] == BPE_APART) break;
        sym[at] = id[at];
        n--;
        for (size_t i = at + 1; i < n; i++) { sym[i] = sym[i + 1]; rank[i - 1] = rank[i]; id[i - 1] = id[i]; }
        if (at + 1 < n) rank[at] = b->pair(b->of, sym[at], sym[at + 1], &id[at]);
        if (at > 0) rank[at - 1] = b->pair(b->of, sym[at - 1], sym[at], &id[at - 1]);
    }
    return n;
}

/* ---- long runs ---- */
typedef struct item { int32_t rank; uint32_t at; } item;
typedef struct node { int32_t sym, rank, id; uint32_t prev, next; } node;      /* rank, id of (this, next) */
static const uint32_t END = UINT32_MAX;

static bool before(item a, item b) { return a.rank < b.rank || (a.rank == b.rank && a.at < b.at); }

static void push(item *h, size_t *n, item x)
{
    size_t i = (*n)++;
    for (; i && before(x, h[(i - 1) / 2]); i = (i - 1) / 2) h[i] = h[(i - 1) / 2];
    h[i] = x;
}

static item pop(item *h, size_t *n)
{
    item top = h[0], x = h[--*n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= *n) break;
        if (c + 1 < *n && before(h[c + 1], h[c])) c++;
        if (!before(h[c], x)) break;
        h[i] = h[c];
        i = c;
    }
    h[i] = x;
    return top;
}

/* A pair is looked up anew whenever one of its sides changes; the old entry stays in the heap and is known
 * by a rank that no longer agrees. Pushes: at most n-1 at first and two a merge, so 3n entries suffice. */
static void rate(const bpe_pairs *b, node *v, uint32_t i, item *heap, size_t *nh)
{
    v[i].rank = v[i].next == END ? BPE_APART : b->pair(b->of, v[i].sym, v[v[i].next].sym, &v[i].id);
    if (v[i].rank != BPE_APART) push(heap, nh, (item){v[i].rank, i});
}

static size_t merge_long(const bpe_pairs *b, int32_t *sym, size_t n)
{
    node *v = q_alloc(n * sizeof *v);
    item *heap = q_alloc(3 * n * sizeof *heap);
    size_t nh = 0;
    for (size_t i = 0; i < n; i++)
        v[i] = (node){sym[i], BPE_APART, 0, i ? (uint32_t)i - 1 : END, i + 1 < n ? (uint32_t)i + 1 : END};
    for (size_t i = 0; i + 1 < n; i++) rate(b, v, (uint32_t)i, heap, &nh);
    while (nh) {
        item t = pop(heap, &nh);
        node *x = &v[t.at];
        if (x->rank != t.rank) continue;
        uint32_t gone = x->next;
        x->sym = x->id;
        x->next = v[gone].next;
        v[gone].rank = BPE_APART;
        if (x->next != END) v[x->next].prev = t.at;
        rate(b, v, t.at, heap, &nh);
        if (x->prev != END) rate(b, v, x->prev, heap, &nh);
    }
    size_t w = 0;
    for (uint32_t i = 0; i != END; i = v[i].next) sym[w++] = v[i].sym;
    free(heap);
    free(v);
    return w;
}

size_t bpe_merge_by(const bpe_pairs *b, int32_t *sym, size_t n)
{
    return n < 2 ? n : n <= SHORT ? merge_short(b, sym, n) : merge_long(b, sym, n);
}

size_t bpe_merge(const bpe *b, int32_t *sym, size_t n) { return bpe_merge_by(&(bpe_pairs){ listed, b }, sym, n); }
