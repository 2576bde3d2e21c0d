/* engine/run/trace: records of varying length in one ring of bytes, oldest dropped first, and a ring of their
 * places. The lock is held for the copy of one record in and for a reader's pass. */
#include "engine/run/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RECORDS = 1 << 16 };

/* In the ring: this header, then weights, entropy, margin (floats, if full), then ids (u16), padded to 8. */
typedef struct rec {
    int32_t token;
    int32_t pos;
    uint8_t prompt, full;
    uint16_t n_layer, max_k;
    uint64_t config;
} rec;

struct trace {
    pthread_mutex_t lock;
    unsigned char *ring;
    size_t size, head;                 /* head: where the next record goes */
    uint64_t first, end;               /* numbers of the oldest record and of the next one */
    size_t *at;                        /* [MAX_RECORDS] where record n lies, at n % MAX_RECORDS */
};

trace *trace_new(size_t budget)
{
    trace *t = q_alloc(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    t->size = budget & ~(size_t)7;
    t->ring = q_alloc(t->size);
    t->at = q_alloc(sizeof *t->at * MAX_RECORDS);
    return t;
}

void trace_free(trace *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t->ring);
    free(t->at);
    free(t);
}

static void drop_oldest(trace *t) { t->first++; }

static size_t tail(const trace *t) { return t->at[t->first % MAX_RECORDS]; }

void trace_add(trace *t, const eng_trace_rec *r)
{
    size_t cells = (size_t)r->n_layer * (size_t)r->max_k, layers = (size_t)r->n_layer;
    size_t floats = r->weights ? cells + 2 * layers : 0;
    size_t need = (sizeof(rec) + floats * sizeof(float) + cells * sizeof(uint16_t) + 7) & ~(size_t)7;
    if (need > t->size)
        return;
    rec h = { .token = r->token, .pos = r->pos, .prompt = r->prompt, .full = r->weights != NULL,
              .n_layer = (uint16_t)r->n_layer, .max_k = (uint16_t)r->max_k, .config = r->config };
    pthread_mutex_lock(&t->lock);
    if (t->size - t->head < need) {    /* the rest of the ring is too short: what still lies there goes, then wrap */
        while (t->first < t->end && tail(t) >= t->head)
            drop_oldest(t);
        t->head = 0;
    }
    while (t->first < t->end && tail(t) >= t->head && tail(t) - t->head < need)
        drop_oldest(t);
    if (t->end - t->first == MAX_RECORDS)
        drop_oldest(t);
    t->at[t->end % MAX_RECORDS] = t->head;
    unsigned char *p = t->ring + t->head;
    memcpy(p, &h, sizeof h);
    p += sizeof h;
    if (r->weights) {
        memcpy(p, r->weights, cells * sizeof(float));
        memcpy(p + cells * sizeof(float), r->entropy, layers * sizeof(float));
        memcpy(p + (cells + layers) * sizeof(float), r->margin, layers * sizeof(float));
        p += floats * sizeof(float);
    }
    memcpy(p, r->ids, cells * sizeof(uint16_t));
    t->head += need;
    t->end++;
    pthread_mutex_unlock(&t->lock);
}

uint64_t trace_read(trace *t, uint64_t *cursor, bool (*fn)(void *user, const eng_trace_rec *r), void *user)
{
    pthread_mutex_lock(&t->lock);
    uint64_t lost = *cursor < t->first ? t->first - *cursor : 0;
    if (lost)
        *cursor = t->first;
    while (*cursor < t->end) {
        const unsigned char *at = t->ring + t->at[*cursor % MAX_RECORDS];
        rec h;
        memcpy(&h, at, sizeof h);
        size_t cells = (size_t)h.n_layer * h.max_k, layers = h.n_layer;
        const float *f = (const float *)(const void *)(at + sizeof h);
        eng_trace_rec r = { .seq = (*cursor)++, .token = h.token, .pos = h.pos, .config = h.config, .prompt = h.prompt, .n_layer = h.n_layer, .max_k = h.max_k };
        if (h.full) {
            r.weights = f;
            r.entropy = f + cells;
            r.margin = f + cells + layers;
            f += cells + 2 * layers;
        }
        r.ids = (const uint16_t *)(const void *)f;
        if (!fn(user, &r))
            break;
    }
    pthread_mutex_unlock(&t->lock);
    return lost;
}

uint64_t trace_end(trace *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t end = t->end;
    pthread_mutex_unlock(&t->lock);
    return end;
}
