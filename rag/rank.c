/* rag/rank: BM25 over postings, for documents as they stand and for what was said with what stands around it. Pure but for
 * what it asks memory; any thread. It never judges whether a passage is worth feeding.
 *
 * A turn of a talk is found by the words around it too: its frequency of a word is its own, 0.6^k of the k-th turn before
 * it (k <= 4), 0.4^k of the k-th behind it (k <= 3), and 1 for a word of its date; its length is all those turns'. A turn
 * that ends in a question is asked for its answer's sake: its words count .7 in itself, all in the next turn, then 0.6^(k-1).
 * What a model said does not speak for what people said around it, but a question of it for their answers.
 * (BM25: Robertson & Zaragoza, 2009, with k1 1.2, b .5; constants chosen on two LoCoMo conversations.) */
#include "rag/rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AHEAD = 4, BEHIND = 3, SURE = 10 };
static const double K1 = 1.2, B = .5, TITLE = 3, LATER = .6, EARLIER = .4, ASKED = .7;

/* Where the words of the query stand in documents. */
struct list { mem_posting *v; int n; };
struct shelf { struct list *list; /* [n_term] */ double passages, mean; /* how many there are, and their mean length */ };

/* Turns that hold a word of the query, or stand beside one that does. */
struct book {
    int n_term;
    double *with;                       /* [n_term] turns */
    struct { int64_t id; double length, *tf; } *v;
    int n, cap;
    int *slot, slots;                   /* hash of ids: index + 1 */
    double passages, mean;              /* how many there are, and their mean length */
    mem_heard *heard;                   /* what was said */
    int n_heard, *before, *child, *sibling;     /* [n_heard] indexes, -1: none; child: the first behind it */
};

/* ---- passages by id ---- */
static void rehash(struct book *b)
{
    free(b->slot);
    b->slots = b->slots ? b->slots * 2 : 256;
    b->slot = q_alloc(sizeof *b->slot * (size_t)b->slots);
    for (int i = 0; i < b->n; i++) {
        uint64_t h = q_mix64(1, (uint64_t)b->v[i].id);
        while (b->slot[h & (uint64_t)(b->slots - 1)]) h++;
        b->slot[h & (uint64_t)(b->slots - 1)] = i + 1;
    }
}

static double *place(struct book *b, int64_t id, double length)
{
    if (2 * b->n >= b->slots) rehash(b);
    uint64_t h = q_mix64(1, (uint64_t)id);
    for (int at; (at = b->slot[h & (uint64_t)(b->slots - 1)]) != 0; h++)
        if (b->v[at - 1].id == id) return b->v[at - 1].tf;
    if (b->n == b->cap) b->v = q_realloc(b->v, sizeof *b->v * (size_t)(b->cap = b->cap ? b->cap * 2 : 128));
    b->slot[h & (uint64_t)(b->slots - 1)] = b->n + 1;
    b->v[b->n].id = id;
    b->v[b->n].length = length;
    b->v[b->n].tf = q_alloc(sizeof(double) * (size_t)b->n_term);
    return b->v[b->n++].tf;
}

/* ---- what was said, around a turn ---- */
static int heard_at(const struct book *b, int64_t id)
{
    int a = 0, z = b->n_heard;
    while (a < z) {
        int mid = (a + z) / 2;
        if (b->heard[mid].id < id) a = mid + 1;
        else z = mid;
    }
    return a < b->n_heard && b->heard[a].id == id ? a : -1;
}

static double behind_length(const struct book *b, int i, int depth)
{
    double most = 0;                    /* of several branches the longest */
    for (int c = b->child[i]; c >= 0 && depth > 0; c = b->sibling[c]) {
        double n = b->heard[c].length + behind_length(b, c, depth - 1);
        if (n > most) most = n;
    }
    return most;
}

static double window_length(const struct book *b, int i)
{
    double n = b->heard[i].length + behind_length(b, i, BEHIND);
    for (int k = 0, p = b->before[i]; k < AHEAD && p >= 0; k++, p = b->before[p]) n += b->heard[p].length;
    return n;
}

static int open_talks(mem_store *s, struct book *b, char *err)
{
    int rc = mem_heard_all(s, &b->heard, &b->n_heard, err), n = b->n_heard;
    b->before = q_alloc(sizeof(int) * (size_t)(n + 1));
    b->child = q_alloc(sizeof(int) * (size_t)(n + 1));
    b->sibling = q_alloc(sizeof(int) * (size_t)(n + 1));
    for (int i = 0; i < n; i++) b->child[i] = b->sibling[i] = -1;
    for (int i = 0; i < n; i++) {
        int p = b->before[i] = b->heard[i].prev && b->heard[i].prev < b->heard[i].id ? heard_at(b, b->heard[i].prev) : -1;
        if (p < 0) continue;
        b->sibling[i] = b->child[p];
        b->child[p] = i;
    }
    double all = 0;
    for (int i = 0; i < n; i++) all += window_length(b, i);
    b->mean = n ? all / n : 1;
    b->passages = n;
    return rc;
}

static void add_turn(struct book *b, int i, int term, double tf) { place(b, b->heard[i].id, 0)[term] += tf; }

/* What a model says is no word for what people say; what it asks is, for their answer. */
static bool speaks_for(const struct book *b, int i, int other)
{
    return b->heard[i].by != MEM_BY_MODEL || b->heard[other].by == MEM_BY_MODEL;
}

static void carry(struct book *b, int from, int i, int term, double tf, int k)
{
    for (int c = b->child[i]; c >= 0 && k <= AHEAD; c = b->sibling[c]) {
        if (speaks_for(b, from, c) || b->heard[from].asks) add_turn(b, c, term, tf);
        carry(b, from, c, term, tf * LATER, k + 1);
    }
}

static void spread(struct book *b, int i, int term, double tf)
{
    bool asks = b->heard[i].asks;
    add_turn(b, i, term, tf * (asks ? ASKED : 1));
    carry(b, i, i, term, tf * (asks ? 1 : LATER), 1);
    double w = tf * EARLIER;
    for (int k = 1, p = b->before[i]; k <= BEHIND && p >= 0; k++, p = b->before[p], w *= EARLIER)
        if (speaks_for(b, i, p)) add_turn(b, p, term, w);
}

/* ---- dates ---- */
static void add_dates(struct book *b, const rag_result *r)
{
    for (int t = 0; t < r->n_term; t++) {
        const char *w = r->term[t].word;
        int month = mem_month(w), number = strspn(w, "0123456789") == strlen(w) && strlen(w) <= 4 ? atoi(w) : 0;
        if (r->term[t].weight <= 0 || (!month && !number)) continue;
        for (int i = 0; i < b->n_heard; i++) {
            time_t at = (time_t)(b->heard[i].created_ms / 1000);
            struct tm tm;
            if (!gmtime_r(&at, &tm)) continue;
            if (month ? tm.tm_mon + 1 == month : number > 31 ? tm.tm_year + 1900 == number : tm.tm_mday == number) add_turn(b, i, t, 1);
        }
    }
}

/* ---- reading ---- */
static double idf_of(double passages, double with) { return log(1 + (passages - with + .5) / (with + .5)); }

static int read_talks(mem_store *s, struct book *b, const rag_result *r, char *err)
{
    int rc = open_talks(s, b, err);
    for (int t = 0; t < r->n_term && rc == Q_OK; t++) {
        mem_posting *v;
        int n;
        if (r->term[t].weight <= 0) continue;
        rc = mem_postings(s, MEM_CHAT, r->term[t].stem, &v, &n, err);
        for (int i = 0; i < n && rc == Q_OK; i++) {
            int at = heard_at(b, v[i].id);
            if (at >= 0) spread(b, at, t, v[i].text);
        }
        free(v);
    }
    if (rc != Q_OK) return rc;
    add_dates(b, r);
    for (int i = 0; i < b->n; i++) {
        b->v[i].length = window_length(b, heard_at(b, b->v[i].id));
        for (int t = 0; t < r->n_term; t++) b->with[t] += b->v[i].tf[t] > 0;
    }
    return Q_OK;
}

static int read_documents(mem_store *s, struct shelf *d, const rag_result *r, char *err)
{
    int64_t words = 0, passages = 0;
    int rc = mem_extent(s, MEM_CHUNK, &passages, &words, err);
    d->passages = (double)passages;
    d->mean = passages && words ? (double)words / (double)passages : 1;
    d->list = q_alloc(sizeof *d->list * (size_t)(r->n_term + 1));
    for (int t = 0; t < r->n_term && rc == Q_OK; t++)
        if (r->term[t].weight > 0) rc = mem_postings(s, MEM_CHUNK, r->term[t].stem, &d->list[t].v, &d->list[t].n, err);
    return rc;
}

static void close_book(struct book *b)
{
    free(b->with);
    free(b->v);
    free(b->slot);
    free(b->heard);
    free(b->before);
    free(b->child);
    free(b->sibling);
}

static int by_bm25(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->bm25 != y->bm25) return x->bm25 > y->bm25 ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static double saturated(double tf, double length, double mean) { return tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / mean)); }

static void score_talks(const struct book *b, const double *idf, struct ranking *out)
{
    out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + b->n + 1));
    for (int i = 0; i < b->n; i++) {
        double sum = 0;
        for (int t = 0; t < b->n_term; t++)
            if (b->v[i].tf[t] > 0) sum += idf[t] * saturated(b->v[i].tf[t], b->v[i].length, b->mean);
        out->v[out->n++] = (struct ranked){MEM_CHAT, b->v[i].id, sum, b->v[i].tf};
    }
}

/* ---- documents: a sum a passage ---- */
static int at_or_behind(const struct ranked *v, int n, int from, int64_t id)
{
    int step = 1, a = from, z;
    while (a + step < n && v[a + step].id < id) a += step, step *= 2;
    z = a + step < n ? a + step : n;
    while (a < z) {
        int mid = (a + z) / 2;
        if (v[mid].id < id) a = mid + 1;
        else z = mid;
    }
    return a;
}

static double share_of(const struct shelf *d, const mem_posting *p, double idf) { return idf * saturated(p->text + TITLE * (p->heading + p->name), p->length, d->mean); }

/* Two lists in order of ids become one. */
static void add_list(const struct shelf *d, const struct list *l, double idf, struct ranking *sum)
{
    struct ranked *v = q_alloc(sizeof *v * (size_t)(sum->n + l->n + 1));
    int i = 0, n = 0;
    for (int k = 0; k < l->n; k++) {
        while (i < sum->n && sum->v[i].id < l->v[k].id) v[n++] = sum->v[i++];
        v[n] = i < sum->n && sum->v[i].id == l->v[k].id ? sum->v[i++] : (struct ranked){MEM_CHUNK, l->v[k].id, 0, NULL};
        v[n++].bm25 += share_of(d, &l->v[k], idf);
    }
    while (i < sum->n) v[n++] = sum->v[i++];
    free(sum->v);
    *sum = (struct ranking){v, n};
}

/* Only to what is there already. */
static void add_to(const struct shelf *d, const struct list *l, double idf, struct ranking *sum)
{
    for (int k = 0, i = 0; k < l->n && i < sum->n; k++) {
        i = at_or_behind(sum->v, sum->n, i, l->v[k].id);
        if (i < sum->n && sum->v[i].id == l->v[k].id) sum->v[i].bm25 += share_of(d, &l->v[k], idf);
    }
}

/* How many of a ranking score more than this. */
static int above(const struct ranking *k, double least)
{
    int n = 0;
    for (int i = 0; i < k->n; i++) n += k->v[i].bm25 > least;
    return n;
}

/* A word that is in over a tenth of the passages is added up among those that hold a rarer one, unless a passage of such
 * words alone could come among the first SURE: what it can give is at most idf (k1 + 1). */
static void score_documents(const struct shelf *d, const double *idf, int n_term, struct ranking *out)
{
    double common = 0;
    for (int rare = 1; rare >= 0; rare--) {
        for (int t = 0; t < n_term; t++) {
            bool is_rare = d->list[t].n <= d->passages / 10;
            if (d->list[t].n == 0 || is_rare != rare) continue;
            if (rare) add_list(d, &d->list[t], idf[t], out);
            else add_to(d, &d->list[t], idf[t], out), common += idf[t] * (K1 + 1);
        }
    }
    if (common == 0 || above(out, common) >= SURE) return;
    out->n = 0;
    for (int t = 0; t < n_term; t++)
        if (d->list[t].n) add_list(d, &d->list[t], idf[t], out);
}

int rag_rank(mem_store *s, const rag_config *c, const struct rag_query *q, struct ranking *out, char *err)
{
    const rag_result *r = q->r;
    struct shelf d = {0};
    struct book b = {.n_term = r->n_term, .with = q_alloc(sizeof(double) * (size_t)(r->n_term + 1))};
    *out = (struct ranking){0};
    int rc = read_documents(s, &d, r, err);
    if (rc == Q_OK && c->chats) rc = read_talks(s, &b, r, err);
    double *idf = q_alloc(sizeof *idf * (size_t)(2 * r->n_term + 1)), *talk = idf + r->n_term;
    for (int t = 0; t < r->n_term; t++) {           /* a word that only talks use says no more in a document for that */
        double all = idf_of(d.passages + b.passages, d.list[t].n + b.with[t]);
        idf[t] = fmin(all, idf_of(d.passages, d.list[t].n)) * r->term[t].share;
        talk[t] = all * r->term[t].share;
    }
    if (rc == Q_OK) score_documents(&d, idf, r->n_term, out);
    score_talks(&b, talk, out);
    close_book(&b);
    for (int t = 0; t < r->n_term; t++) free(d.list[t].v);
    free(d.list);
    free(idf);
    if (rc != Q_OK) rag_ranking_free(out);
    if (out->n) qsort(out->v, (size_t)out->n, sizeof *out->v, by_bm25);
    return rc;
}

void rag_ranking_free(struct ranking *k)
{
    for (int i = 0; i < k->n; i++) free(k->v[i].tf);
    free(k->v);
    *k = (struct ranking){0};
}
