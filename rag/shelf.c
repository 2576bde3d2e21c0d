/* rag/shelf: rows of bytes in memory as they are scanned; turns of talks stand there summed with what was said around them.
 * Belongs to whoever opened it; no lock. Weights are those of rag/rank.c, chosen on two LoCoMo conversations. */
#include "rag/shelf.h"

#include "rag/scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { AHEAD = 4, BEHIND = 3, HUGE = 2 << 20 };
static const double LATER = .6, EARLIER = .4;

struct talk {
    uint8_t *raw;                       /* [cap][width] as they came, offset by 128 */
    float *scale;                       /* [cap] */
    int64_t *prev;                      /* [cap] */
    bool *stale;                        /* [cap] to be summed anew */
    int *before, *child, *sibling;      /* [cap] places, -1: none */
    int settled;                        /* rows that were there when it was settled last */
    int *slot, slots;                   /* hash of ids: place + 1 */
};

void shelf_open(struct shelf *f, int dim, bool talk)
{
    *f = (struct shelf){.dim = dim, .width = (dim + RAG_SCAN_STEP - 1) / RAG_SCAN_STEP * RAG_SCAN_STEP};
    if (!talk) return;
    f->talk = q_alloc(sizeof *f->talk);
    f->sum = q_alloc(sizeof *f->sum * (size_t)dim);
}

void shelf_clear(struct shelf *f)
{
    f->n = 0;
    if (!f->talk) return;
    f->talk->settled = 0;
    memset(f->sum, 0, sizeof *f->sum * (size_t)f->dim);
}

void shelf_close(struct shelf *f)
{
    struct talk *t = f->talk;
    free(f->row);
    free(f->scale);
    free(f->id);
    free(f->conversation);
    free(f->sum);
    if (t) {
        free(t->raw);
        free(t->scale);
        free(t->prev);
        free(t->stale);
        free(t->before);
        free(t->child);
        free(t->sibling);
        free(t->slot);
    }
    free(t);
    *f = (struct shelf){0};
}

static bool grown_rows(uint8_t **row, size_t had, size_t bytes)
{
    size_t align = bytes < HUGE ? RAG_SCAN_STEP : HUGE;
    uint8_t *p = aligned_alloc(align, (bytes + align - 1) / align * align);
    if (!p) return false;
    if (align == HUGE) madvise(p, bytes, MADV_HUGEPAGE);        /* a scan would wait for the page tables */
    if (had) memcpy(p, *row, had);
    free(*row);
    *row = p;
    return true;
}

bool shelf_room(struct shelf *f, int n)
{
    if (n <= f->cap) return true;
    size_t cap = f->cap && n < 2 * f->cap ? (size_t)f->cap * 2 : (size_t)n + 64, had = (size_t)f->n * (size_t)f->width;
    struct talk *t = f->talk;
    if (!grown_rows(&f->row, had, cap * (size_t)f->width) || (t && !grown_rows(&t->raw, had, cap * (size_t)f->width))) return false;
    f->scale = q_realloc(f->scale, sizeof *f->scale * cap);
    f->id = q_realloc(f->id, sizeof *f->id * cap);
    f->conversation = q_realloc(f->conversation, sizeof *f->conversation * cap);
    if (t) {
        t->scale = q_realloc(t->scale, sizeof *t->scale * cap);
        t->prev = q_realloc(t->prev, sizeof *t->prev * cap);
        t->stale = q_realloc(t->stale, sizeof *t->stale * cap);
        t->before = q_realloc(t->before, sizeof *t->before * cap);
        t->child = q_realloc(t->child, sizeof *t->child * cap);
        t->sibling = q_realloc(t->sibling, sizeof *t->sibling * cap);
    }
    f->cap = (int)cap;
    return true;
}

bool shelf_add(struct shelf *f, const mem_vector_row *r)
{
    if (f->n == INT32_MAX - 128 || !shelf_room(f, f->n + 1)) return false;
    size_t at = (size_t)f->n * (size_t)f->width;
    uint8_t *to = f->talk ? f->talk->raw + at : f->row + at;
    memset(to, 128, (size_t)f->width);
    for (int i = 0; i < f->dim; i++) to[i] = (uint8_t)(r->row[i] + 128);
    f->id[f->n] = r->passage;
    f->conversation[f->n] = r->conversation;
    f->scale[f->n] = (float)r->scale;
    if (f->talk) {
        memset(f->row + at, 128, (size_t)f->width);
        f->scale[f->n] = 0;
        f->talk->scale[f->n] = (float)r->scale;
        f->talk->prev[f->n] = r->prev;
    }
    f->n++;
    return true;
}

void shelf_fill(struct shelf *f, int n)
{
    uint64_t x = 1;
    for (size_t i = 0; i < (size_t)n * (size_t)f->width; i += 8) {
        x = q_mix64(x, i);
        memcpy(f->row + i, &x, sizeof x);
    }
    for (int i = 0; i < n; i++) f->scale[i] = 1.0f / 127;
    memset(f->conversation, 0, sizeof *f->conversation * (size_t)n);
    f->n = n;
}

/* ---- turns ---- */
static int place_of(const struct talk *t, const struct shelf *f, int64_t id)
{
    for (uint64_t h = q_mix64(1, (uint64_t)id);; h++) {
        int at = t->slot[h & (uint64_t)(t->slots - 1)];
        if (at == 0) return -1;
        if (f->id[at - 1] == id) return at - 1;
    }
}

int shelf_place(const struct shelf *f, int64_t id) { return f->talk->slots ? place_of(f->talk, f, id) : -1; }

static void link_all(struct shelf *f)
{
    struct talk *t = f->talk;
    free(t->slot);
    for (t->slots = 256; t->slots < 2 * f->n; t->slots *= 2) {}
    t->slot = q_alloc(sizeof *t->slot * (size_t)t->slots);
    for (int i = 0; i < f->n; i++) {
        uint64_t h = q_mix64(1, (uint64_t)f->id[i]);
        while (t->slot[h & (uint64_t)(t->slots - 1)]) h++;
        t->slot[h & (uint64_t)(t->slots - 1)] = i + 1;
        t->child[i] = t->sibling[i] = -1;
        if (i >= t->settled) t->stale[i] = true;
    }
    for (int i = f->n - 1; i >= 0; i--) {           /* a parent is older: no circles */
        t->before[i] = t->prev[i] && t->prev[i] < f->id[i] ? place_of(t, f, t->prev[i]) : -1;
        if (t->before[i] < 0) continue;
        t->sibling[i] = t->child[t->before[i]];
        t->child[t->before[i]] = i;
    }
}

static void stale_behind(struct talk *t, int at, int depth)
{
    for (int c = t->child[at]; c >= 0 && depth > 0; c = t->sibling[c]) {
        t->stale[c] = true;
        stale_behind(t, c, depth - 1);
    }
}

struct around { int64_t *id; int *at; double *weight; int n, most; };

static void take(const struct shelf *f, struct around *a, int at, double weight)
{
    if (a->n == a->most) return;
    if (a->id) a->id[a->n] = f->id[at];
    else a->at[a->n] = at;
    a->weight[a->n++] = weight;
}

static void take_behind(const struct shelf *f, struct around *a, int at, double weight, int depth)
{
    for (int c = f->talk->child[at]; c >= 0 && depth > 0 && a->n < a->most; c = f->talk->sibling[c]) {
        take(f, a, c, weight);
        take_behind(f, a, c, weight * EARLIER, depth - 1);
    }
}

static void gather(const struct shelf *f, int at, struct around *a)
{
    double w = LATER;
    take(f, a, at, 1);
    if (!f->talk) return;
    for (int k = 0, p = f->talk->before[at]; k < AHEAD && p >= 0; k++, p = f->talk->before[p], w *= LATER) take(f, a, p, w);
    take_behind(f, a, at, EARLIER, BEHIND);
}

int shelf_around(const struct shelf *f, int at, int64_t *id, double *weight, int most)
{
    struct around a = {.id = id, .weight = weight, .most = most};
    gather(f, at, &a);
    return a.n;
}

static void add_row(const struct shelf *f, int at, double *sum, double sign)
{
    const uint8_t *r = f->row + (size_t)at * (size_t)f->width;
    for (int j = 0; j < f->dim; j++) sum[j] += sign * (double)f->scale[at] * (r[j] - 128);
}

static void sum_turn(struct shelf *f, int at, double *v)
{
    enum { MOST = 64 };
    int from[MOST];
    double weight[MOST], length = 0, most = 0;
    struct around a = {.at = from, .weight = weight, .most = MOST};
    gather(f, at, &a);
    memset(v, 0, sizeof *v * (size_t)f->dim);
    for (int i = 0; i < a.n; i++) {
        const uint8_t *r = f->talk->raw + (size_t)from[i] * (size_t)f->width;
        double w = weight[i] * (double)f->talk->scale[from[i]];
        for (int j = 0; j < f->dim; j++) v[j] += w * (r[j] - 128);
    }
    for (int j = 0; j < f->dim; j++) {
        length += v[j] * v[j];
        most = fabs(v[j]) > most ? fabs(v[j]) : most;
    }
    if (f->talk->stale[at] && at < f->talk->settled) add_row(f, at, f->sum, -1);
    uint8_t *to = f->row + (size_t)at * (size_t)f->width;
    for (int j = 0; j < f->dim && most > 0; j++) to[j] = (uint8_t)(128 + lround(v[j] / most * 127));
    f->scale[at] = most > 0 ? (float)(most / 127 / sqrt(length)) : 0;
    add_row(f, at, f->sum, 1);
}

void shelf_settle(struct shelf *f)
{
    struct talk *t = f->talk;
    if (t->settled == f->n) return;
    link_all(f);
    for (int i = t->settled; i < f->n; i++) {
        for (int k = 0, p = t->before[i]; k < BEHIND && p >= 0; k++, p = t->before[p]) t->stale[p] = true;
        stale_behind(t, i, AHEAD);
    }
    double *v = q_alloc(sizeof *v * (size_t)f->dim);
    for (int i = 0; i < f->n; i++) {
        if (!t->stale[i]) continue;
        sum_turn(f, i, v);
        t->stale[i] = false;
    }
    free(v);
    t->settled = f->n;
}
