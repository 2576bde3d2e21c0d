/* rag/near: passages whose vectors lie near a question's. All vectors of a model stand in memory, a byte a number, on a shelf a
 * kind; a scan in integers chooses (scan.h), and what it chose is measured again in floats from the store. Several may look at once;
 * who brings the shelves up has them alone, and nobody waits behind a question that is embedded but the next question. It never judges
 * whether a passage is worth feeding. */
#include "rag/rag.h"

#include "rag/scale.h"
#include "rag/scan.h"
#include "rag/shelf.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, STEP = 32, AROUND_MAX = 64, ROUNDS = 4, EXACT_ROWS = 512 };
static const double MEAN = .5, SURE = .5;        /* SURE: of what twelve short texts of a language say */

struct rag_near {
    mem_store *s;
    rag_embedder e;
    pthread_mutex_t asking;             /* the embedder takes one question at a time */
    double scale; float *tongue;        /* rag/scale.h, under the same; 0: not measured yet */
    _Atomic int64_t embedder;           /* in the store; 0: not looked for yet */
    pthread_rwlock_t shelves;           /* guards all below */
    int64_t of, puts, drops, after;     /* what the shelves hold, and of which model there */
    struct shelf shelf[2];
};

rag_near *rag_near_new(mem_store *s, const rag_embedder *e)
{
    rag_near *x = q_alloc(sizeof *x);
    *x = (rag_near){.s = s, .e = *e, .puts = -1, .tongue = q_alloc(sizeof(float) * 2 * (size_t)e->dim)};
    pthread_mutex_init(&x->asking, NULL);
    pthread_rwlock_init(&x->shelves, NULL);
    for (int k = 0; k < 2; k++) shelf_open(&x->shelf[k], e->dim, k == MEM_CHAT);
    return x;
}

void rag_near_free(rag_near *x)
{
    if (!x) return;
    for (int k = 0; k < 2; k++) shelf_close(&x->shelf[k]);
    pthread_mutex_destroy(&x->asking);
    pthread_rwlock_destroy(&x->shelves);
    free(x->tongue);
    free(x);
}

static bool take_row(void *user, const mem_vector_row *r)
{
    rag_near *x = user;
    return shelf_add(&x->shelf[r->kind], r);
}

static int read_shelves(rag_near *x, const mem_embedder *e, char *err)
{
    if (e->drops != x->drops || e->id != x->of) {
        for (int k = 0; k < 2; k++) shelf_clear(&x->shelf[k]);
        x->after = 0;
    }
    int rc = mem_vectors_each(x->s, x->of = e->id, x->e.dim, &x->after, take_row, x, err);
    x->puts = rc == Q_OK ? e->puts : -1;
    x->drops = rc == Q_OK ? e->drops : -1;
    return rc;
}

/* What the store holds of the model now; made there where somebody removed it meanwhile. */
static int held(rag_near *x, mem_embedder *e, char *err)
{
    int rc = Q_OK;
    *e = (mem_embedder){0};
    for (int tries = 0; tries < ROUNDS; tries++) {
        int64_t id = atomic_load(&x->embedder);
        if (!id && (rc = mem_embedder_for(x->s, x->e.id, x->e.dim, &id, err)) == Q_OK) atomic_store(&x->embedder, id);
        if (rc == Q_OK) rc = mem_embedder_get(x->s, id, e, err);
        bool other = rc == Q_NOTFOUND || (rc == Q_OK && strcmp(e->name, x->e.id) != 0);
        if (!other) break;
        atomic_compare_exchange_strong(&x->embedder, &id, 0);
        mem_embedder_free(e);
        rc = Q_OK;
    }
    return rc;
}

/* Under the shelves' lock. */
static bool same(const rag_near *x, const mem_embedder *e) { return e->puts == x->puts && e->drops == x->drops && e->id == x->of; }

/* The shelves hold what the store holds now; what came or went while they were read shows in the next round. Somebody who
 * writes all the time is not waited for. */
static int refresh(rag_near *x, char *err)
{
    bool up = false;
    int rc = Q_OK;
    for (int round = 0; round < ROUNDS && rc == Q_OK && !up; round++) {
        mem_embedder e;
        rc = held(x, &e, err);
        if (rc == Q_OK && !(up = same(x, &e))) rc = read_shelves(x, &e, err);
        mem_embedder_free(&e);
    }
    if (rc == Q_OK) shelf_settle(&x->shelf[MEM_CHAT]);
    return rc;
}

/* With Q_OK the shelves are up, and may be looked at until pthread_rwlock_unlock. */
static int open_shelves(rag_near *x, char *err)
{
    for (int round = 0;; round++) {
        mem_embedder e;
        int rc = held(x, &e, err);
        if (rc != Q_OK) return rc;
        pthread_rwlock_rdlock(&x->shelves);
        bool up = same(x, &e) || (round == ROUNDS && x->puts >= 0);
        mem_embedder_free(&e);
        if (up) return Q_OK;
        pthread_rwlock_unlock(&x->shelves);
        pthread_rwlock_wrlock(&x->shelves);
        rc = refresh(x, err);
        pthread_rwlock_unlock(&x->shelves);
        if (rc != Q_OK) return rc;
    }
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

/* Whether any of STEP rows may be as good as `least`, in floats and a little below it: the compiler takes several at a time. */
static bool some_may(const float *scale, const int32_t *sum, float least)
{
    int any = 0;
    for (int i = 0; i < STEP; i++) any |= scale[i] * (float)sum[i] >= least;
    return any;
}

/* Of `among` alone, chunks or turns as the shelf is, where there is one. */
static void scan(const struct shelf *f, const double *q, int64_t except, const mem_under *among, enum mem_kind kind, struct heap *h)
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
            if (i % STEP == 0 && i + STEP <= n && h->n == RAG_NEAR_BEST && unit > 0) {
                double least = h->v[0].score / unit;
                if (!some_may(f->scale + at + i, sum + i, (float)(least - fabs(least) * 1e-5))) {
                    i += STEP - 1;
                    continue;
                }
            }
            double score = unit * f->scale[at + i] * sum[i];
            if (h->n == RAG_NEAR_BEST && score < h->v[0].score) continue;
            if (except && f->conversation[at + i] == except) continue;
            if (among && !mem_under_has(among, kind, f->id[at + i])) continue;
            heap_put(h, (struct chosen){score, at + i});
        }
    }
    free(bytes);
}

/* ---- deciding ---- */
struct asking { const float *q; const float *tongue; /* rag/scale.h, or NULL */ int64_t except; const mem_under *among; rag_near_hit *also; int n_also; };
/* Exact vectors of passages, each once, in the order of their ids. */
struct exact { int64_t *id; int n; float *row; bool *has; };
/* What a passage's score is made of: of a turn its own vector and those around it. n 0: there is no such turn. */
struct made_of { int64_t id[AROUND_MAX]; double weight[AROUND_MAX]; int n; };

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A statement for EXACT_ROWS of them, however many passages are measured. */
static int read_exact(rag_near *x, enum mem_kind k, struct exact *v, char *err)
{
    int dim = x->e.dim, n = 0, rc = Q_OK;
    if (v->n) qsort(v->id, (size_t)v->n, sizeof *v->id, by_id);
    for (int i = 0; i < v->n; i++)
        if (n == 0 || v->id[i] != v->id[n - 1]) v->id[n++] = v->id[i];
    v->n = n;
    v->row = q_alloc(sizeof *v->row * (size_t)dim * (size_t)(n + 1));
    v->has = q_alloc(sizeof *v->has * (size_t)(n + 1));
    for (int at = 0; at < n && rc == Q_OK; at += EXACT_ROWS)
        rc = mem_vectors_exact(x->s, x->of, k, v->id + at, n - at < EXACT_ROWS ? n - at : EXACT_ROWS, dim, v->row + (size_t)at * (size_t)dim, v->has + at, err);
    return rc;
}

static const float *exact_of(const struct exact *v, int64_t id, int dim)
{
    const int64_t *at = v->n ? bsearch(&id, v->id, (size_t)v->n, sizeof *v->id, by_id) : NULL;
    return at && v->has[at - v->id] ? v->row + (size_t)(at - v->id) * (size_t)dim : NULL;
}

/* NAN: it has no vector, or went. */
static double score_of(const struct exact *v, enum mem_kind k, const struct made_of *m, const double *q, int dim)
{
    const float *row[AROUND_MAX];
    double length = 0, sum = 0;
    for (int i = 0; i < m->n; i++) row[i] = exact_of(v, m->id[i], dim);
    if (!m->n || !row[0]) return (double)NAN;
    for (int j = 0; j < dim; j++) {
        double x = 0;
        for (int i = 0; i < m->n; i++) x += row[i] ? m->weight[i] * (double)row[i][j] : 0;
        length += x * x;
        sum += q[j] * x;
    }
    return k == MEM_CHAT && length > 0 ? sum / sqrt(length) : sum;
}

/* The scores of hits of a kind by their exact vectors. */
static int measure(rag_near *x, enum mem_kind k, const double *q, rag_near_hit *const *hit, int n, char *err)
{
    const struct shelf *f = &x->shelf[k];
    struct made_of *m = q_alloc(sizeof *m * (size_t)(n + 1));
    struct exact v = {0};
    int all = 0;
    for (int i = 0; i < n; i++) {
        int at = k == MEM_CHAT ? shelf_place(f, hit[i]->id) : 0;
        m[i] = (struct made_of){.id = {hit[i]->id}, .weight = {1}, .n = at >= 0};
        if (k == MEM_CHAT && at >= 0) m[i].n = shelf_around(f, at, m[i].id, m[i].weight, AROUND_MAX);
        all += m[i].n;
    }
    v.id = q_alloc(sizeof *v.id * (size_t)(all + 1));
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m[i].n; j++) v.id[v.n++] = m[i].id[j];
    int rc = read_exact(x, k, &v, err);
    for (int i = 0; i < n && rc == Q_OK; i++) hit[i]->score = score_of(&v, k, &m[i], q, f->dim);
    free(m);
    free(v.id);
    free(v.row);
    free(v.has);
    return rc;
}

static int decide(rag_near *x, enum mem_kind k, const double *q, const struct heap *h, const struct asking *a, rag_near_hits *out, char *err)
{
    rag_near_hit *best = out->v + out->n, **hit = q_alloc(sizeof *hit * (size_t)(h->n + a->n_also + 1));
    int n = 0;
    for (int i = 0; i < h->n; i++) {
        best[i] = (rag_near_hit){k, x->shelf[k].id[h->v[i].at], 0};
        hit[n++] = &best[i];
    }
    for (int i = 0; i < a->n_also; i++)
        if (a->also[i].kind == k) hit[n++] = &a->also[i];
    int rc = measure(x, k, q, hit, n, err);
    for (int i = 0; i < h->n && rc == Q_OK; i++)
        if (!isnan(best[i].score)) out->v[out->n++] = best[i];
    free(hit);
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
    if (k == MEM_CHUNK) return mem_vectors_mean(x->s, x->of, k, x->e.dim, mean, &n, err);
    for (int j = 0; j < x->e.dim; j++) mean[j] = x->shelf[k].n ? x->shelf[k].sum[j] / x->shelf[k].n : 0;
    return Q_OK;
}

struct sum { double all, apart; };

/* A question lies nearer to all that is in its letters. How much, the means of texts tell that the model was tried on; and how much of that is in the
 * mean of all of a kind, whether that lies at the one or at the other: a passage in other letters is short of so much. */
static void foreign(const rag_near *x, enum mem_kind k, const float *tongue, const double *mean, const double *from, rag_near_hits *out)
{
    double across = 0, along = 0, nearer = 0;
    int dim = x->e.dim;
    for (int j = 0; j < dim; j++) {
        double u = (double)tongue[j] - (double)tongue[dim + j];
        across += u * u;
        along += u * (mean[j] - (double)tongue[dim + j]);
        nearer += u * from[j];
    }
    double latin = across > 0 ? fmin(fmax(along / across, 0), 1) : 0;
    out->foreign[k][0] = fmax(SURE * latin * nearer, 0);
    out->foreign[k][1] = fmax(SURE * (1 - latin) * -nearer, 0);
}

static int find_kind(rag_near *x, enum mem_kind k, const struct asking *a, struct sum *sum, rag_near_hits *out, char *err)
{
    int dim = x->e.dim;
    double *mean = q_alloc(sizeof *mean * (size_t)dim), *from = q_alloc(sizeof *from * (size_t)dim);
    struct heap *h = q_alloc(sizeof *h);
    h->n = 0;
    int rc = mean_of(x, k, mean, err);
    for (int j = 0; j < dim; j++) from[j] = (double)a->q[j] - MEAN * mean[j];       /* q·v - .5 m·v is (q - .5 m)·v */
    if (rc == Q_OK) scan(&x->shelf[k], from, k == MEM_CHAT ? a->except : 0, a->among, k, h);
    if (rc == Q_OK) rc = decide(x, k, from, h, a, out, err);
    sum->apart += x->shelf[k].n;
    for (int j = 0; j < dim; j++) {
        out->mean_of[k] += from[j] * mean[j];
        sum->apart -= mean[j] * mean[j] * x->shelf[k].n;
    }
    if (a->tongue) foreign(x, k, a->tongue, mean, from, out);
    sum->all += out->mean_of[k] * x->shelf[k].n;
    out->of += x->shelf[k].n;
    free(mean);
    free(from);
    free(h);
    return rc;
}

static int look(rag_near *x, const struct asking *a, bool chats, rag_near_hits *out, char *err)
{
    struct sum sum = {0};
    for (int j = 0; j < x->e.dim; j++)
        if (!isfinite(a->q[j])) return q_fail(err, Q_RANGE, _("the embedding model gave numbers that are none for this question: it is searched by words alone"));
    out->v = q_alloc(sizeof *out->v * 2 * RAG_NEAR_BEST);
    int rc = open_shelves(x, err);
    if (rc == Q_OK) {
        rc = find_kind(x, MEM_CHUNK, a, &sum, out, err);
        if (rc == Q_OK && chats) rc = find_kind(x, MEM_CHAT, a, &sum, out, err);
        pthread_rwlock_unlock(&x->shelves);
    }
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
    return look(x, &(struct asking){.q = q, .except = except}, chats, out, err);
}

int rag_near_ask(rag_near *x, const char *question, int64_t except, bool chats, const mem_under *among, rag_near_hit *also, int n_also, rag_near_hits *out, char *err)
{
    *out = (rag_near_hits){0};
    for (int i = 0; i < n_also; i++) also[i].score = NAN;
    float *q = q_alloc(sizeof *q * (size_t)x->e.dim);
    size_t len = strlen(question);
    pthread_mutex_lock(&x->asking);
    int rc = x->e.embed(x->e.user, true, &question, &len, 1, q, err);
    if (rc == Q_OK && x->scale <= 0) rc = rag_scale_of(&x->e, &x->scale, x->tongue, err);
    double scale = x->scale;
    pthread_mutex_unlock(&x->asking);
    if (rc == Q_OK) rc = look(x, &(struct asking){q, x->tongue, except, among, also, n_also}, chats, out, err);
    if (rc == Q_OK) out->scale = scale;
    free(q);
    return rc;
}

int rag_near_held(rag_near *x, int64_t *n, char *err)
{
    mem_embedder e;
    int rc = held(x, &e, err);
    *n = rc == Q_OK ? e.chunks + e.messages : 0;
    mem_embedder_free(&e);
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
        scan(&f, q, 0, NULL, MEM_CHUNK, h);
        double took = (double)(q_now_ns() - at) / 1e9;
        if (t == 0 || took < *seconds) *seconds = took;
    }
    shelf_close(&f);
    free(h);
    free(q);
    return room ? Q_OK : q_fail(err, Q_NOMEM, _("no memory for %lld rows of %d numbers: give fewer with --scan"), (long long)n, dim);
}
