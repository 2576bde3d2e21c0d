/* rag/meaning: when a search asks for meaning, and what that says for each candidate: how near it lies, between the mean of
 * its kind and the nearest. Pure but for what it asks memory and the embedder; any thread. A passage found by meaning alone is judged as
 * any other: what may not be found does not come in here either. */
#include "rag/meaning.h"

#include "base/say.h"
#include "rag/query.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 500, TAIL = 1000 };           /* bytes of a question that are embedded */
static const double SPREAD = .25;           /* so far apart multilingual-e5-small's vectors lie in a memory of one language, or less */
static const double PLACES = 60;            /* Cormack, Clarke & Büttcher, 2009 */

/* Of a long question its start and its end; before it what it points back to. malloc'ed. */
static char *question_of(const struct rag_query *q)
{
    q_buf b = {0};
    const char *parts[] = {q->before, q->text};
    q_buf_puts(&b, "");
    for (int i = 0; i < 2; i++) {
        const char *p = parts[i];
        size_t n = p ? strlen(p) : 0;
        if (n <= HEAD + TAIL) {
            q_buf_puts(&b, p ? p : "");
        } else {
            const char *tail = p + n - TAIL;
            while (((unsigned char)*tail & 0xC0) == 0x80) tail++;
            q_buf_add(&b, p, q_utf8_whole(p, HEAD));
            q_buf_printf(&b, " %s", tail);
        }
        if (i == 0 && b.len && b.p[b.len - 1] != '\n') q_buf_putc(&b, '\n');
    }
    return q_buf_take(&b);
}

/* Most passages have a vector. */
static int most_have(mem_store *s, rag_near *near, bool *yes, char *err)
{
    int64_t all = 0, held = 0;
    int rc = rag_near_held(near, &held, err);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) {
        int64_t n, words;
        rc = mem_extent(s, k, &n, &words, err);
        all += n;
    }
    *yes = rc == Q_OK && held && 2 * held >= all;
    return rc;
}

static bool asked(const struct gathering *g, const rag_config *c, rag_near *near)
{
    char why[Q_ERRLEN];
    bool most = false;
    rag_result *r = g->q->r;
    if (c->mode == RAG_LEXICAL) return false;
    if (!near) {
        if (c->mode == RAG_HYBRID) r->note = q_strdup(_("memory.mode is hybrid, but there is no embedding model yet: searched by words alone"));
        return false;
    }
    if (c->mode == RAG_HYBRID || c->mode == RAG_GRAPH) return true;
    if (most_have(g->s, near, &most, why) == Q_OK) return most;
    r->note = q_printf(_("searched by words alone: %s"), why);
    return false;
}

/* ---- those that words did not bring ---- */
static int by_place(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool gathered(const struct gathering *g, const rag_near_hit *h)
{
    for (int i = 0; i < g->n; i++)
        if (g->v[i].m.kind == h->kind && g->v[i].m.id == h->id) return true;
    return false;
}

/* The next of the hits, at most `most`, to which words say what they have to say. *at is moved on. */
static int next(const struct gathering *g, const rag_near_hits *h, const struct ranking *k, int *at, int most, struct ranked *v)
{
    struct ranked key;
    uint64_t seen = 0;
    int n = 0;
    for (int end = *at + most; *at < h->n && *at < end; ++*at)
        if (!gathered(g, &h->v[*at])) v[n++] = (struct ranked){h->v[*at].kind, h->v[*at].id, 0, NULL};
    if (n) qsort(v, (size_t)n, sizeof *v, by_place);
    for (int i = 0; i < n; i++) seen |= (uint64_t)1 << (v[i].id & 63);
    for (int i = 0; i < k->n && n; i++) {
        if (!(seen >> (k->v[i].id & 63) & 1)) continue;
        key = k->v[i];
        struct ranked *to = bsearch(&key, v, (size_t)n, sizeof *v, by_place);
        if (to) *to = key;
    }
    return n;
}

/* The nearest NEAREST, not counting what takes no place. */
static int bring(struct gathering *g, const rag_near_hits *h, const struct ranking *k, char *err)
{
    struct ranked v[NEAREST];
    int rc = Q_OK;
    for (int at = 0, most = NEAREST; most > 0 && at < h->n && rc == Q_OK;) {
        int n = next(g, h, k, &at, most, v);
        g->refused = 0;
        if (n) rc = rag_gather_some(g, v, n, err);
        most = g->refused;
    }
    return rc;
}

/* The mean has the present talk in it, the nearest has not: where that leaves no room between them nothing else is near. */
static double nearness(const rag_near_hits *h, enum mem_kind kind, double score)
{
    if (score >= h->max) return 1;
    double room = h->max - h->mean_of[kind], x = room > 0 ? (score - h->mean_of[kind]) / room : 0;
    return x > 0 ? x : 0;
}

/* One that words brought has its score in `also`, in the order of the candidates; the rest are hits. */
static void weigh(struct gathering *g, const rag_config *c, const rag_near_hits *h, const rag_near_hit *also, int n_also)
{
    for (int i = 0; i < g->n; i++) {
        struct gathered *x = &g->v[i];
        double score = i < n_also ? also[i].score : NAN;
        for (int k = 0; k < h->n && i >= n_also; k++)
            if (h->v[k].kind == x->m.kind && h->v[k].id == x->m.id) score = h->v[k].score;
        if (isnan(score)) continue;
        x->sides.near = nearness(h, x->m.kind, score);
        bool other = rag_cyrillic(x->m.text) != g->ru;
        x->sides.margin = (score - h->mean + (other ? h->foreign[x->m.kind][g->ru] : 0)) / fmax(h->scale, h->spread / SPREAD);
        x->sides.share = x->m.kind == MEM_CHAT ? c->near_chats : c->near_documents;
    }
}

/* ---- reciprocal ranks ---- */
static int down(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* A side (of its offset) becomes what its place among all that have it is worth; those that are alike share the first of their places. */
static void by_place_of(struct gathering *g, size_t side, bool (*has)(const struct rag_sides *))
{
    double v[GATHERED_MAX];
    int n = 0;
    for (int i = 0; i < g->n; i++)
        if (has(&g->v[i].sides)) v[n++] = *(double *)(void *)((char *)&g->v[i].sides + side);
    qsort(v, (size_t)n, sizeof *v, down);
    for (int i = 0; i < g->n; i++) {
        double *x = (double *)(void *)((char *)&g->v[i].sides + side);
        int before = 0;
        if (!has(&g->v[i].sides)) continue;
        while (before < n && v[before] > *x) before++;
        *x = (1 + PLACES) / (before + 1 + PLACES);
    }
}

static bool has_words(const struct rag_sides *s) { return s->words > 0; }
static bool has_near(const struct rag_sides *s) { return s->share > 0 && s->near > 0; }

int rag_gather_near(struct gathering *g, const rag_config *c, rag_near *near, const struct ranking *k, char *err)
{
    char why[Q_ERRLEN];
    rag_result *r = g->q->r;
    double most = 0;
    for (int i = 0; i < g->n; i++) most = fmax(most, g->v[i].bm25);
    int n = g->n, rc = Q_OK;
    rag_near_hit also[GATHERED_MAX];
    rag_near_hits h = {0};
    if (asked(g, c, near)) {
        char *text = question_of(g->q);
        for (int i = 0; i < n; i++) also[i] = (rag_near_hit){g->v[i].m.kind, g->v[i].m.id, 0};
        if (rag_near_ask(near, text, g->except, c->chats, g->under, also, n, &h, why) == Q_OK) r->by = RAG_HYBRID;
        else r->note = q_printf(_("searched by words alone: %s"), why);
        free(text);
    }
    if (r->by == RAG_HYBRID && h.n) {
        rc = bring(g, &h, k, err);
        if (rc == Q_OK) weigh(g, c, &h, also, n);
    }
    for (int i = 0; i < g->n; i++) g->v[i].sides.words = most > 0 ? g->v[i].bm25 / most : 0;
    if ((r->fusion = (enum rag_fusion)c->fusion) == RAG_RANKS) {
        by_place_of(g, offsetof(struct rag_sides, words), has_words);
        by_place_of(g, offsetof(struct rag_sides, near), has_near);
    }
    rag_near_hits_free(&h);
    return rc;
}
