/* rag/graph: what is associated with a question, by personalised PageRank (rag/graph.h). A graph is made for each search of what lies
 * within two steps of its seeds, so that nothing has to be kept in step with the store. Any thread. */
#include "rag/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20, NAMES_MAX = 30000 };
static const double KEEP = .5, BESIDE = 1;

/* ---- ranks ---- */
void graph_rank(const struct graph *g, double *rank)
{
    size_t n = (size_t)g->n + 1;
    double *out = q_alloc(sizeof *out * n), *share = q_alloc(sizeof *share * n), *now = q_alloc(sizeof *now * n), sum = 0;
    for (int i = 0; i < g->n; i++) sum += g->seed[i];
    for (int e = 0; e < g->n_edge; e++) {
        out[g->edge[e].a] += g->edge[e].w;
        out[g->edge[e].b] += g->edge[e].w;
    }
    for (int i = 0; i < g->n; i++) rank[i] = sum > 0 ? g->seed[i] / sum : 0;
    for (int round = 0; round < ROUNDS && sum > 0; round++) {
        double back = 1 - KEEP;
        for (int i = 0; i < g->n; i++) {
            share[i] = out[i] > 0 ? KEEP * rank[i] / out[i] : 0;
            if (!(out[i] > 0)) back += KEEP * rank[i];
        }
        for (int i = 0; i < g->n; i++) now[i] = back * g->seed[i] / sum;
        for (int e = 0; e < g->n_edge; e++) {
            const graph_edge *x = &g->edge[e];
            now[x->a] += share[x->b] * x->w;
            now[x->b] += share[x->a] * x->w;
        }
        memcpy(rank, now, sizeof *now * (size_t)g->n);
    }
    free(out);
    free(share);
    free(now);
}

/* ---- nodes ---- */
/* A passage, or a name (at: where it stands in the arena; -1: it is a passage). */
struct node { int64_t id; enum mem_kind kind; int at, degree; double seed; };
struct net {
    struct node *v; int n, cap;
    int *slot, slots;                   /* hash: index + 1 */
    q_buf arena;
    struct graph g;
    int names, passages;
    const int *node; enum mem_kind kind;        /* of the ids at hand; their kind */
};

static uint64_t hash_of(const struct net *x, const struct node *d)
{
    if (d->at < 0) return q_mix64((uint64_t)d->kind + 1, (uint64_t)d->id);
    const char *name = x->arena.p + d->at;
    return q_hash64(name, strlen(name), 11);
}

static void room(struct net *x)
{
    if (2 * (x->n + 1) <= x->slots) return;
    free(x->slot);
    x->slots = x->slots ? x->slots * 2 : 4096;
    x->slot = q_alloc(sizeof *x->slot * (size_t)x->slots);
    for (int i = 0; i < x->n; i++) {
        uint64_t h = hash_of(x, &x->v[i]);
        while (x->slot[h & (uint64_t)(x->slots - 1)]) h++;
        x->slot[h & (uint64_t)(x->slots - 1)] = i + 1;
    }
}

static bool same(const struct net *x, const struct node *d, const char *name, enum mem_kind kind, int64_t id)
{
    return name ? d->at >= 0 && strcmp(x->arena.p + d->at, name) == 0 : d->at < 0 && d->id == id && d->kind == kind;
}

/* The node of a name, or of a passage (name NULL); -1: there is none, and none is made. */
static int node_of(struct net *x, const char *name, enum mem_kind kind, int64_t id)
{
    room(x);
    uint64_t h = name ? q_hash64(name, strlen(name), 11) : q_mix64((uint64_t)kind + 1, (uint64_t)id);
    for (int at; (at = x->slot[h & (uint64_t)(x->slots - 1)]) != 0; h++)
        if (same(x, &x->v[at - 1], name, kind, id)) return at - 1;
    if (name ? x->names == NAMES_MAX : x->passages == GRAPH_PASSAGES) return -1;
    if (x->n == x->cap) x->v = q_realloc(x->v, sizeof *x->v * (size_t)(x->cap = x->cap ? x->cap * 2 : 1024));
    x->v[x->n] = (struct node){.id = id, .kind = kind, .at = name ? (int)x->arena.len : -1};
    if (name) q_buf_add(&x->arena, name, strlen(name) + 1);
    x->names += name != NULL;
    x->passages += name == NULL;
    x->slot[h & (uint64_t)(x->slots - 1)] = x->n + 1;
    return x->n++;
}

static void join(struct net *x, int a, int b, double w)
{
    struct graph *g = &x->g;
    if (a < 0 || b < 0 || a == b) return;
    if (g->n_edge == g->cap) g->edge = q_realloc(g->edge, sizeof *g->edge * (size_t)(g->cap = g->cap ? g->cap * 2 : 1024));
    g->edge[g->n_edge++] = a < b ? (graph_edge){a, b, w} : (graph_edge){b, a, w};
}

/* ---- from the store ---- */
static void takes_name(void *user, int at, const char *name)
{
    struct net *x = user;
    join(x, x->node[at], node_of(x, name, 0, 0), 0);
}

static void takes_beside(void *user, int at, int64_t passage)
{
    struct net *x = user;
    join(x, x->node[at], node_of(x, NULL, x->kind, passage), BESIDE);
}

/* The passages [from, to) of a kind: node and id of each. */
static int some(const struct net *x, enum mem_kind kind, int from, int to, int *node, int64_t *id)
{
    int n = 0;
    for (int i = from; i < to; i++)
        if (x->v[i].at < 0 && x->v[i].kind == kind) node[n] = i, id[n++] = x->v[i].id;
    return n;
}

/* What the passages of nodes [from, to) name; `seeds`: what stands beside them too. */
static int read_names(struct net *x, mem_store *s, int from, int to, bool seeds, char *err)
{
    int *node = q_alloc(sizeof *node * (size_t)(to - from + 1)), rc = Q_OK;
    int64_t *id = q_alloc(sizeof *id * (size_t)(to - from + 1));
    x->node = node;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) {
        int n = some(x, k, from, to, node, id);
        x->kind = k;
        rc = mem_names_in(s, k, id, n, seeds, takes_name, x, err);
        if (rc == Q_OK && seeds) rc = mem_beside(s, k, id, n, takes_beside, x, err);
    }
    free(node);
    free(id);
    return rc;
}

struct holder { int name; enum mem_kind kind; int64_t id; };
struct holders { struct holder *v; int n, cap; const int *node; enum mem_kind kind; };

static void takes_holder(void *user, int at, int64_t passage)
{
    struct holders *h = user;
    if (h->n == h->cap) h->v = q_realloc(h->v, sizeof *h->v * (size_t)(h->cap = h->cap ? h->cap * 2 : 1024));
    h->v[h->n++] = (struct holder){h->node[at], h->kind, passage};
}

struct ordered { int node; double seed; int degree; };

/* What the question names before what its hits name, the rarest first. */
static int by_worth(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if ((x->seed > 0) != (y->seed > 0)) return x->seed > 0 ? -1 : 1;
    if (x->degree != y->degree) return x->degree < y->degree ? -1 : 1;
    return x->node < y->node ? -1 : 1;
}

static int by_name(const void *a, const void *b)
{
    const struct holder *x = a, *y = b;
    if (x->name != y->name) return x->name < y->name ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void take_holders(struct net *x, struct holders *h, const struct ordered *o, int n)
{
    if (h->n) qsort(h->v, (size_t)h->n, sizeof *h->v, by_name);
    for (int i = 0; i < n; i++) {
        int a = 0, b = h->n;
        while (a < b) {
            int mid = (a + b) / 2;
            if (h->v[mid].name < o[i].node) a = mid + 1;
            else b = mid;
        }
        for (; a < h->n && h->v[a].name == o[i].node; a++) join(x, o[i].node, node_of(x, NULL, h->v[a].kind, h->v[a].id), 0);
    }
}

/* The passages that name what the names so far are. */
static int read_holders(struct net *x, mem_store *s, bool chats, char *err)
{
    int n = 0, rc = Q_OK, *node = q_alloc(sizeof *node * (size_t)(x->n + 1)), *degree = q_alloc(sizeof *degree * (size_t)(x->n + 1));
    const char **name = q_alloc(sizeof *name * (size_t)(x->n + 1));
    struct ordered *o = q_alloc(sizeof *o * (size_t)(x->n + 1));
    struct holders h = {.node = node};
    for (int i = 0; i < x->n && n < GRAPH_NAMES; i++)
        if (x->v[i].at >= 0) name[n] = x->arena.p + x->v[i].at, node[n++] = i;
    for (h.kind = MEM_CHUNK; h.kind <= (chats ? MEM_CHAT : MEM_CHUNK) && rc == Q_OK; h.kind++) {
        rc = mem_named_by_any(s, h.kind, name, n, GRAPH_HUB, degree, takes_holder, &h, err);
        for (int i = 0; i < n && rc == Q_OK; i++) x->v[node[i]].degree += degree[i];
    }
    for (int i = 0; i < n; i++) o[i] = (struct ordered){node[i], x->v[node[i]].seed, x->v[node[i]].degree};
    qsort(o, (size_t)n, sizeof *o, by_worth);
    if (rc == Q_OK) take_holders(x, &h, o, n);
    free(node);
    free(degree);
    free(name);
    free(o);
    free(h.v);
    return rc;
}

/* ---- weights ---- */
static int by_ends(const void *a, const void *b)
{
    const graph_edge *x = a, *y = b;
    if (x->a != y->a) return x->a < y->a ? -1 : 1;
    if (x->b != y->b) return x->b < y->b ? -1 : 1;
    return x->w > y->w ? -1 : x->w < y->w;
}

/* Each pair once; a name's edges weigh what it says: ln(1 + passages there are / passages that have it). */
static void weigh(struct net *x, double all)
{
    struct graph *g = &x->g;
    int n = 0, *met = q_alloc(sizeof *met * (size_t)(x->n + 1));
    if (g->n_edge) qsort(g->edge, (size_t)g->n_edge, sizeof *g->edge, by_ends);
    for (int i = 0; i < g->n_edge; i++)
        if (n == 0 || g->edge[n - 1].a != g->edge[i].a || g->edge[n - 1].b != g->edge[i].b) g->edge[n++] = g->edge[i];
    g->n_edge = n;
    for (int i = 0; i < n; i++) met[g->edge[i].a]++, met[g->edge[i].b]++;
    for (int i = 0; i < n; i++) {
        graph_edge *e = &g->edge[i];
        int name = x->v[e->a].at >= 0 ? e->a : x->v[e->b].at >= 0 ? e->b : -1;
        if (name < 0) continue;
        int degree = x->v[name].degree > met[name] ? x->v[name].degree : met[name];
        e->w = log(1 + all / degree);
    }
    free(met);
}

/* ---- what was found ---- */
static int by_score(const void *a, const void *b)
{
    const struct graph_hit *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The name by which most of a passage's rank came. */
static void lead(const struct net *x, const double *rank, int *by)
{
    double *out = q_alloc(sizeof *out * (size_t)(x->n + 1)), *most = q_alloc(sizeof *most * (size_t)(x->n + 1));
    const struct graph *g = &x->g;
    for (int i = 0; i < x->n; i++) by[i] = -1;
    for (int i = 0; i < g->n_edge; i++) out[g->edge[i].a] += g->edge[i].w, out[g->edge[i].b] += g->edge[i].w;
    for (int i = 0; i < g->n_edge; i++) {
        const graph_edge *e = &g->edge[i];
        int name = x->v[e->a].at >= 0 ? e->a : e->b, passage = name == e->a ? e->b : e->a;
        if (x->v[name].at < 0 || !(out[name] > 0)) continue;
        double w = rank[name] * e->w / out[name];
        if (w > most[passage]) most[passage] = w, by[passage] = name;
    }
    free(out);
    free(most);
}

static void collect(struct net *x, struct graph_hits *out)
{
    double *rank = q_alloc(sizeof *rank * (size_t)(x->n + 1)), most = 0;
    int *by = q_alloc(sizeof *by * (size_t)(x->n + 1));
    x->g.n = x->n;
    x->g.seed = q_alloc(sizeof(double) * (size_t)(x->n + 1));
    for (int i = 0; i < x->n; i++) x->g.seed[i] = x->v[i].seed;
    graph_rank(&x->g, rank);
    lead(x, rank, by);
    out->v = q_alloc(sizeof *out->v * (size_t)(x->passages + 1));
    for (int i = 0; i < x->n; i++) {
        if (x->v[i].at >= 0 || !(rank[i] > 0)) continue;
        struct graph_hit *h = &out->v[out->n++];
        *h = (struct graph_hit){.kind = x->v[i].kind, .id = x->v[i].id, .score = rank[i]};
        if (by[i] >= 0) memcpy(h->by, x->arena.p + x->v[by[i]].at, strlen(x->arena.p + x->v[by[i]].at) + 1);
        most = rank[i] > most ? rank[i] : most;
    }
    for (int i = 0; i < out->n; i++) out->v[i].score /= most;
    if (out->n) qsort(out->v, (size_t)out->n, sizeof *out->v, by_score);
    if (out->n > GRAPH_HITS) out->n = GRAPH_HITS;
    out->names = x->names;
    out->passages = x->passages;
    free(x->g.seed);
    free(rank);
    free(by);
}

int rag_graph_find(mem_store *s, const struct graph_name *name, int n_names, const struct graph_seed *seed, int n_seeds, bool chats, struct graph_hits *out, char *err)
{
    struct net x = {0};
    int64_t passages = 0, words, all = 0;
    int rc = Q_OK;
    *out = (struct graph_hits){0};
    for (int i = 0; i < n_seeds && i < GRAPH_SEEDS; i++) {
        int at = node_of(&x, NULL, seed[i].kind, seed[i].id);
        x.v[at].seed += seed[i].weight;
    }
    int seeds = x.n;
    for (int i = 0; i < n_names && i < GRAPH_NAMES; i++) {
        int at = node_of(&x, name[i].name, 0, 0);
        x.v[at].seed += name[i].weight;
    }
    for (enum mem_kind k = MEM_CHUNK; k <= (chats ? MEM_CHAT : MEM_CHUNK) && rc == Q_OK; k++) {
        rc = mem_extent(s, k, &passages, &words, err);
        all += passages;
    }
    if (rc == Q_OK) rc = read_names(&x, s, 0, seeds, true, err);
    int first = x.n;
    if (rc == Q_OK) rc = read_holders(&x, s, chats, err);
    if (rc == Q_OK) rc = read_names(&x, s, seeds, x.n, false, err);
    if (rc == Q_OK && first) {
        weigh(&x, (double)all);
        collect(&x, out);
    }
    free(x.v);
    free(x.slot);
    free(x.g.edge);
    q_buf_free(&x.arena);
    return rc;
}

void rag_graph_hits_free(struct graph_hits *h)
{
    free(h->v);
    *h = (struct graph_hits){0};
}

/* ---- what a question names ---- */
enum { WORDS = 48, LONGEST = 4 };
struct span { size_t start, end; bool grammar, small; };
struct asking { struct span v[WORDS]; int n; };

static bool take_span(void *user, const mem_word *w)
{
    struct asking *q = user;
    if (w->flags & (MEM_WORD_SAME | MEM_WORD_EXACT)) return true;
    uint32_t c;
    size_t letters = 0, n = strlen(w->word);
    for (size_t i = 0; i < n; letters++) i += (size_t)q_utf8_next(w->word + i, n - i, &c);
    q->v[q->n++] = (struct span){w->start, w->end, mem_grammar(w->word), letters < 4 && !(w->flags & MEM_WORD_CAPITAL)};
    return q->n < WORDS;
}

struct offers { char *name; struct span at[GRAPH_OFFERS]; int n; };      /* name: [n][MEM_NAME_MAX] */

static void offer(struct offers *o, const char *name, size_t start, size_t end)
{
    for (int i = 0; i < o->n; i++)
        if (strcmp(o->name + (size_t)i * MEM_NAME_MAX, name) == 0) return;
    if (o->n == GRAPH_OFFERS) return;
    snprintf(o->name + (size_t)o->n * MEM_NAME_MAX, MEM_NAME_MAX, "%s", name);
    o->at[o->n++] = (struct span){.start = start, .end = end};
}

static bool take_offer(void *user, const mem_entity *e)
{
    char name[MEM_NAME_MAX];
    snprintf(name, sizeof name, "%c%s", e->kind, e->key);
    offer(user, name, e->start, e->end);
    return true;
}

/* By the rules of names first, then stretches of words in any letters, the longest first. */
static void offers_of(const char *question, struct offers *o)
{
    struct asking q = {.n = 0};
    char name[MEM_NAME_MAX];
    mem_words(question, strlen(question), take_span, &q);
    mem_entities(question, strlen(question), take_offer, o);
    for (int len = LONGEST; len > 0; len--)
        for (int i = 0; i + len <= q.n; i++) {
            const struct span *a = &q.v[i], *b = &q.v[i + len - 1];
            if (a->grammar || b->grammar || (len == 1 && a->small)) continue;
            if (mem_name_of(question + a->start, b->end - a->start, MEM_ENTITY_NAME, name)) offer(o, name, a->start, b->end);
        }
}

static void takes_none(void *user, int at, int64_t passage) {}

int rag_graph_question(mem_store *s, const char *question, bool chats, struct graph_name *out, int most, int *n, char **room, char *err)
{
    struct offers *o = q_alloc(sizeof *o);
    const char *name[GRAPH_OFFERS];
    int degree[GRAPH_OFFERS], all[GRAPH_OFFERS] = {0}, rc = Q_OK;
    *room = o->name = q_alloc((size_t)GRAPH_OFFERS * MEM_NAME_MAX);
    *n = 0;
    offers_of(question, o);
    for (int i = 0; i < o->n; i++) name[i] = o->name + (size_t)i * MEM_NAME_MAX;
    for (enum mem_kind k = MEM_CHUNK; k <= (chats ? MEM_CHAT : MEM_CHUNK) && rc == Q_OK; k++) {
        rc = mem_named_by_any(s, k, name, o->n, GRAPH_HUB, degree, takes_none, NULL, err);
        for (int i = 0; i < o->n && rc == Q_OK; i++) all[i] += degree[i];
    }
    for (int i = 0; i < o->n && rc == Q_OK && *n < most; i++) {
        bool free_ = all[i] > 0;
        for (int j = 0; j < i && free_; j++) free_ = all[j] <= 0 || o->at[j].end <= o->at[i].start || o->at[j].start >= o->at[i].end;
        if (!free_) all[i] = 0;                     /* part of one that is taken */
        else if (all[i] <= GRAPH_HUB) out[(*n)++] = (struct graph_name){name[i], 1};
    }
    free(o);
    return rc;
}
