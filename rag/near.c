/* rag/near: passages whose vectors lie near a question's. All vectors of a model stand in memory, a byte a number, on a shelf a
 * kind; a scan in integers chooses (scan.h), and what it chose is measured again in floats from the store. One caller at a
 * time, behind a lock of its own. It never judges whether a passage is worth feeding. */
#include "rag/rag.h"

#include "rag/scan.h"
#include "rag/shelf.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, AROUND_MAX = 64, ROUNDS = 4 };
static const double MEAN = .5;

struct rag_near {
    mem_store *s;
    rag_embedder e;
    pthread_mutex_t mutex;              /* guards all below */
    int64_t embedder;                   /* in the store; 0: not looked for yet */
    int64_t puts, drops, after;         /* what the shelves hold */
    struct shelf shelf[2];
};

rag_near *rag_near_new(mem_store *s, const rag_embedder *e)
{
    rag_near *x = q_alloc(sizeof *x);
    *x = (rag_near){.s = s, .e = *e, .puts = -1};
    pthread_mutex_init(&x->mutex, NULL);
    for (int k = 0; k < 2; k++) shelf_open(&x->shelf[k], e->dim, k == MEM_CHAT);
    return x;
}

void rag_near_free(rag_near *x)
{
    if (!x) return;
    for (int k = 0; k < 2; k++) shelf_close(&x->shelf[k]);
    pthread_mutex_destroy(&x->mutex);
    free(x);
}

static bool take_row(void *user, const mem_vector_row *r)
{
    rag_near *x = user;
    return shelf_add(&x->shelf[r->kind], r);
}

static int read_shelves(rag_near *x, const mem_embedder *e, char *err)
{
    if (e->drops != x->drops) {
        for (int k = 0; k < 2; k++) shelf_clear(&x->shelf[k]);
        x->after = 0;
    }
    int rc = mem_vectors_each(x->s, x->embedder, x->e.dim, &x->after, take_row, x, err);
    x->puts = rc == Q_OK ? e->puts : -1;
    x->drops = rc == Q_OK ? e->drops : -1;
    return rc;
}

/* The shelves hold what the store holds now; what came or went while they were read shows in the next round. Somebody who
 * writes all the time is not waited for. */
static int refresh(rag_near *x, char *err)
{
    bool same = false;
    int rc = Q_OK;
    for (int round = 0; round < ROUNDS && rc == Q_OK && !same; round++) {
        mem_embedder e;
        if (!x->embedder) rc = mem_embedder_for(x->s, x->e.id, x->e.dim, &x->embedder, err);
        if (rc != Q_OK) break;
        rc = mem_embedder_get(x->s, x->embedder, &e, err);
        if (rc == Q_NOTFOUND || (rc == Q_OK && strcmp(e.name, x->e.id) != 0)) {     /* somebody removed it */
            x->embedder = 0;
            x->puts = x->drops = -1;
            rc = Q_OK;
        } else if (rc == Q_OK && !(same = e.puts == x->puts && e.drops == x->drops)) {
            rc = read_shelves(x, &e, err);
        }
        mem_embedder_free(&e);
    }
    if (rc == Q_OK) shelf_settle(&x->shelf[MEM_CHAT]);
    return rc;
}

/* ---- choosing ---- */
struct chosen { double score; int at; };
struct heap { struct chosen v[RAG_NEAR_BEST]; int n; };       /* the worst stands first */

static bool worse(struct chosen a, struct chosen b) { return a.score != b.score ? a.score < b.score : a.at > b.at; }

static void heap_put(struct heap *h, struct chosen c)
{
    int i;
    if (h->n < RAG_NEAR_BEST) {
        for (i = h->n++; i > 0 && worse(c, h->v[(i - 1) / 2]); i = (i - 1) / 2) h->v[i] = h->v[(i - 1) / 2];
    } else {
        if (!worse(h->v[0], c)) return;
        for (i = 0;;) {
            int child = 2 * i + 1;
            if (child + 1 < h->n && worse(h->v[child + 1], h->v[child])) child++;
            if (child >= h->n || !worse(h->v[child], c)) break;
            h->v[i] = h->v[child];
            i = child;
        }
    }
    h->v[i] = c;
}

static void scan(const struct shelf *f, const double *q, int64_t except, struct heap *h)
{
    int8_t *bytes = q_alloc((size_t)f->width);
    double most = 0;
    int32_t sum[BLOCK];
    rag_scan_fn *fn = rag_scanners()->scan;
    for (int i = 0; i < f->dim; i++) most = fabs(q[i]) > most ? fabs(q[i]) : most;
    double unit = most / 127;
    for (int i = 0; i < f->dim && most > 0; i++) bytes[i] = (int8_t)lround(q[i] / unit);
    for (int at = 0; at < f->n; at += BLOCK) {
        int n = f->n - at < BLOCK ? f->n - at : BLOCK;
        fn(f->row + (size_t)at * (size_t)f->width, bytes, f->width, n, sum);
        for (int i = 0; i < n; i++) {
            double score = unit * f->scale[at + i] * sum[i];
            if (h->n == RAG_NEAR_BEST && score < h->v[0].score) continue;
            if (except && f->conversation[at + i] == except) continue;
            heap_put(h, (struct chosen){score, at + i});
        }
    }
    free(bytes);
}

/* ---- deciding ---- */
/* What a passage scores by its exact vector: of a turn by the sum with those around it. NAN: it has none, or went. */
static int exact(rag_near *x, enum mem_kind k, int64_t passage, const double *q, double *score, char *err)
{
    const struct shelf *f = &x->shelf[k];
    int64_t id[AROUND_MAX] = {passage};
    double weight[AROUND_MAX] = {1}, length = 0, sum = 0;
    bool has[AROUND_MAX] = {false};
    int dim = f->dim, at = k == MEM_CHAT ? shelf_place(f, passage) : 0, n = 1;
    *score = NAN;
    if (at < 0) return Q_OK;
    if (k == MEM_CHAT) n = shelf_around(f, at, id, weight, AROUND_MAX);
    float *room = q_alloc(sizeof *room * (size_t)dim * (size_t)n);
    int rc = mem_vectors_exact(x->s, x->embedder, k, id, n, dim, room, has, err);
    for (int j = 0; j < dim && has[0]; j++) {
        double v = 0;
        for (int i = 0; i < n; i++) v += has[i] ? weight[i] * (double)room[(size_t)i * (size_t)dim + (size_t)j] : 0;
        length += v * v;
        sum += q[j] * v;
    }
    if (rc == Q_OK && has[0]) *score = k == MEM_CHAT && length > 0 ? sum / sqrt(length) : sum;
    free(room);
    return rc;
}

static int decide(rag_near *x, enum mem_kind k, const double *q, const struct heap *h, rag_near_hits *out, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < h->n && rc == Q_OK; i++) {
        rag_near_hit one = {k, x->shelf[k].id[h->v[i].at], 0};
        rc = exact(x, k, one.id, q, &one.score, err);
        if (rc == Q_OK && !isnan(one.score)) out->v[out->n++] = one;
    }
    return rc;
}

static int by_score(const void *a, const void *b)
{
    const rag_near_hit *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The mean of a kind's vectors as they are scanned. */
static int mean_of(rag_near *x, enum mem_kind k, double *mean, char *err)
{
    int64_t n;
    if (k == MEM_CHUNK) return mem_vectors_mean(x->s, x->embedder, k, x->e.dim, mean, &n, err);
    for (int j = 0; j < x->e.dim; j++) mean[j] = x->shelf[k].n ? x->shelf[k].sum[j] / x->shelf[k].n : 0;
    return Q_OK;
}

struct sum { double all, apart; };
struct asking { const float *q; int64_t except; rag_near_hit *also; int n_also; };

static int find_kind(rag_near *x, enum mem_kind k, const struct asking *a, struct sum *sum, rag_near_hits *out, char *err)
{
    int dim = x->e.dim;
    double *mean = q_alloc(sizeof *mean * (size_t)dim), *from = q_alloc(sizeof *from * (size_t)dim);
    struct heap *h = q_alloc(sizeof *h);
    h->n = 0;
    int rc = mean_of(x, k, mean, err);
    for (int j = 0; j < dim; j++) from[j] = (double)a->q[j] - MEAN * mean[j];       /* q·v - .5 m·v is (q - .5 m)·v */
    if (rc == Q_OK) scan(&x->shelf[k], from, k == MEM_CHAT ? a->except : 0, h);
    if (rc == Q_OK) rc = decide(x, k, from, h, out, err);
    for (int i = 0; i < a->n_also && rc == Q_OK; i++)
        if (a->also[i].kind == k) rc = exact(x, k, a->also[i].id, from, &a->also[i].score, err);
    sum->apart += x->shelf[k].n;
    for (int j = 0; j < dim; j++) {
        out->mean_of[k] += from[j] * mean[j];
        sum->apart -= mean[j] * mean[j] * x->shelf[k].n;
    }
    sum->all += out->mean_of[k] * x->shelf[k].n;
    out->of += x->shelf[k].n;
    free(mean);
    free(from);
    free(h);
    return rc;
}

/* Under the lock. */
static int look(rag_near *x, const struct asking *a, bool chats, rag_near_hits *out, char *err)
{
    struct sum sum = {0};
    for (int j = 0; j < x->e.dim; j++)
        if (!isfinite(a->q[j])) return q_fail(err, Q_RANGE, _("the embedding model gave numbers that are none for this question: it is searched by words alone"));
    out->v = q_alloc(sizeof *out->v * 2 * RAG_NEAR_BEST);
    int rc = refresh(x, err);
    if (rc == Q_OK) rc = find_kind(x, MEM_CHUNK, a, &sum, out, err);
    if (rc == Q_OK && chats) rc = find_kind(x, MEM_CHAT, a, &sum, out, err);
    if (rc != Q_OK) {
        rag_near_hits_free(out);
        return rc;
    }
    if (out->n) qsort(out->v, (size_t)out->n, sizeof *out->v, by_score);
    double n = out->of ? (double)out->of : 1;
    out->mean = sum.all / n;
    out->spread = sum.apart / n;
    out->max = out->n ? out->v[0].score : 0;
    return Q_OK;
}

int rag_near_find(rag_near *x, const float *q, int64_t except, bool chats, rag_near_hits *out, char *err)
{
    *out = (rag_near_hits){0};
    pthread_mutex_lock(&x->mutex);
    int rc = look(x, &(struct asking){.q = q, .except = except}, chats, out, err);
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

int rag_near_ask(rag_near *x, const char *question, int64_t except, bool chats, rag_near_hit *also, int n_also, rag_near_hits *out, char *err)
{
    *out = (rag_near_hits){0};
    for (int i = 0; i < n_also; i++) also[i].score = NAN;
    float *q = q_alloc(sizeof *q * (size_t)x->e.dim);
    size_t len = strlen(question);
    pthread_mutex_lock(&x->mutex);
    int rc = x->e.embed(x->e.user, true, &question, &len, 1, q, err);
    if (rc == Q_OK) rc = look(x, &(struct asking){q, except, also, n_also}, chats, out, err);
    pthread_mutex_unlock(&x->mutex);
    free(q);
    return rc;
}

int rag_near_held(rag_near *x, int64_t *n, char *err)
{
    mem_embedder e = {0};
    *n = 0;
    pthread_mutex_lock(&x->mutex);
    int rc = Q_OK;
    for (int tries = 0; tries < 2 && rc == Q_OK; tries++) {     /* somebody may have removed it */
        if (!x->embedder) rc = mem_embedder_for(x->s, x->e.id, x->e.dim, &x->embedder, err);
        if (rc == Q_OK) rc = mem_embedder_get(x->s, x->embedder, &e, err);
        if (rc != Q_NOTFOUND) break;
        x->embedder = 0;
        x->puts = x->drops = -1;
        rc = Q_OK;
    }
    if (rc == Q_OK) *n = e.chunks + e.messages;
    mem_embedder_free(&e);
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

void rag_near_hits_free(rag_near_hits *h)
{
    free(h->v);
    *h = (rag_near_hits){0};
}

int rag_near_time(int64_t n, int dim, int tries, void (*between)(void *user), void *user, double *seconds, const char **form, char *err)
{
    struct shelf f;
    struct heap *h = q_alloc(sizeof *h);
    double *q = q_alloc(sizeof *q * (size_t)dim);
    shelf_open(&f, dim, false);
    *form = rag_scanners()->name;
    *seconds = 0;
    bool room = n <= INT32_MAX && shelf_room(&f, (int)n);
    if (room) shelf_fill(&f, (int)n);
    for (int j = 0; j < dim; j++) q[j] = sin(j + 1);
    for (int t = 0; t < tries && room; t++) {
        if (between) between(user);
        h->n = 0;
        int64_t at = q_now_ns();
        scan(&f, q, 0, h);
        double took = (double)(q_now_ns() - at) / 1e9;
        if (t == 0 || took < *seconds) *seconds = took;
    }
    shelf_close(&f);
    free(h);
    free(q);
    return room ? Q_OK : q_fail(err, Q_NOMEM, _("no memory for %lld rows of %d numbers: give fewer with --scan"), (long long)n, dim);
}
