/* memory/trace: routing traces as they grow, their stored form, and the retrieval log. A mem_trace belongs to
 * its caller's thread; the stored functions may be called from any. A blob is checked in full before it is used.
 *
 * Stored form, little-endian. Header of 32 bytes: "QTRC", u32 version, u32 n, u32 n_layer, u32 max_k,
 * u32 bytes of `made` (version 2; version 1 has none), u64 bytes of the body. Then one zlib stream of the body. The body is the arrays of mem_trace, one after
 * the other, each split into byte planes (all first bytes, then all second bytes, ...), because neighbours share
 * their high bytes and zlib finds that only when they lie side by side:
 *   token i32[n], pos i32[n], config u64[n], prompt u8[n], ids u16[n][n_layer][max_k],
 *   weights f32[n][n_layer][max_k], entropy f32[n][n_layer], margin f32[n][n_layer], made u8[its bytes]
 * Floats keep all their bits: a stored trace equals the live one. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { HEADER = 32, PLAIN = 1, MADE = 2, MADE_MAX = 1 << 22, PARTS = 9, LAYER_MAX = 1024, K_MAX = 1024, NO_EXPERT = 0xFFFF,
       POS_MAX = 1 << 29 /* no context is as long */ };
static const uint64_t BODY_MAX = 256ull << 20;           /* 90,000 tokens of 48 layers and 8 experts */

mem_trace *mem_trace_new(int n_layer, int max_k)
{
    mem_trace *t = q_alloc(sizeof *t);
    t->n_layer = n_layer < 0 ? 0 : n_layer > LAYER_MAX ? LAYER_MAX : n_layer;
    t->max_k = max_k < 1 ? 1 : max_k > K_MAX ? K_MAX : max_k;
    return t;
}

void mem_trace_free(mem_trace *t)
{
    if (!t) return;
    free(t->token);
    free(t->pos);
    free(t->config);
    free(t->prompt);
    free(t->ids);
    free(t->weights);
    free(t->entropy);
    free(t->margin);
    free(t->made);
    free(t);
}

static void reserve(mem_trace *t, int cap)
{
    size_t c = (size_t)cap, l = (size_t)t->n_layer, k = (size_t)t->max_k;
    t->token = q_realloc(t->token, c * sizeof *t->token);
    t->pos = q_realloc(t->pos, c * sizeof *t->pos);
    t->config = q_realloc(t->config, c * sizeof *t->config);
    t->prompt = q_realloc(t->prompt, c);
    t->ids = q_realloc(t->ids, c * l * k * sizeof *t->ids + 1);
    t->weights = q_realloc(t->weights, c * l * k * sizeof *t->weights + 1);
    t->entropy = q_realloc(t->entropy, c * l * sizeof *t->entropy + 1);
    t->margin = q_realloc(t->margin, c * l * sizeof *t->margin + 1);
    t->cap = cap;
}

static void widen(mem_trace *t, int max_k)
{
    size_t rows = (size_t)t->n * (size_t)t->n_layer, was = (size_t)t->max_k;
    t->max_k = max_k;
    reserve(t, t->cap ? t->cap : 64);
    for (size_t i = rows; i-- > 0;) {                   /* from the end: rows move apart in place */
        memmove(t->ids + i * (size_t)max_k, t->ids + i * was, was * sizeof *t->ids);
        memmove(t->weights + i * (size_t)max_k, t->weights + i * was, was * sizeof *t->weights);
        for (size_t j = was; j < (size_t)max_k; j++) {
            t->ids[i * (size_t)max_k + j] = NO_EXPERT;
            t->weights[i * (size_t)max_k + j] = 0;
        }
    }
}

void mem_trace_add(mem_trace *t, int32_t token, int32_t pos, uint64_t config, bool prompt, int max_k,
                   const uint16_t *ids, const float *weights, const float *entropy, const float *margin)
{
    int used = max_k > K_MAX ? K_MAX : max_k;
    if (used > t->max_k) widen(t, used);
    if (t->n == t->cap) reserve(t, t->cap ? t->cap * 2 : 64);
    size_t l = (size_t)t->n_layer, k = (size_t)t->max_k, at = (size_t)t->n++;
    t->token[at] = token;
    t->pos[at] = pos;
    t->config[at] = config;
    t->prompt[at] = prompt;
    for (size_t i = 0; i < l; i++) {
        for (size_t j = 0; j < k; j++) {
            bool here = j < (size_t)used;
            t->ids[(at * l + i) * k + j] = here ? ids[i * (size_t)max_k + j] : NO_EXPERT;
            t->weights[(at * l + i) * k + j] = here && weights ? weights[i * (size_t)max_k + j] : 0;
        }
        t->entropy[at * l + i] = entropy ? entropy[i] : 0;
        t->margin[at * l + i] = margin ? margin[i] : 0;
    }
}

struct part { void *p; size_t width, count; };

/* The arrays in the order of the stored form, made's bytes last; returns the body's bytes. */
static uint64_t parts(const mem_trace *t, size_t made, struct part out[PARTS])
{
    size_t n = (size_t)t->n, l = n * (size_t)t->n_layer, k = l * (size_t)t->max_k;
    const struct part p[PARTS] = {{t->token, 4, n}, {t->pos, 4, n}, {t->config, 8, n}, {t->prompt, 1, n},
                              {t->ids, 2, k}, {t->weights, 4, k}, {t->entropy, 4, l}, {t->margin, 4, l}, {t->made, 1, made}};
    uint64_t sum = 0;
    for (int i = 0; i < PARTS; i++) {
        out[i] = p[i];
        sum += (uint64_t)p[i].width * p[i].count;
    }
    return sum;
}

static void put32(unsigned char *p, uint32_t v) { for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> 8 * i); }
static uint32_t get32(const unsigned char *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

/* Byte b (least significant first) of an element, whatever the machine's order. */
static size_t byte_at(size_t width, size_t b) { return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? b : width - 1 - b; }

int store_trace_pack(const mem_trace *t, unsigned char **out, size_t *n)
{
    struct part p[PARTS];
    size_t made = t->made ? strlen(t->made) : 0;
    uint64_t body = parts(t, made, p);
    *out = NULL;
    if (body > BODY_MAX || made > MADE_MAX) return Q_RANGE;
    unsigned char *flat = malloc((size_t)body + 1), *q = flat;
    uLongf room = compressBound((uLong)body);
    unsigned char *blob = malloc(HEADER + room);
    if (!flat || !blob) {
        free(flat);
        free(blob);
        return Q_NOMEM;
    }
    for (int i = 0; i < PARTS; i++)
        for (size_t b = 0; b < p[i].width; b++) {
            const unsigned char *src = (const unsigned char *)p[i].p + byte_at(p[i].width, b);
            for (size_t j = 0; j < p[i].count; j++) *q++ = src[j * p[i].width];
        }
    memset(blob, 0, HEADER);
    memcpy(blob, "QTRC", 4);
    put32(blob + 4, made ? MADE : PLAIN);
    put32(blob + 8, (uint32_t)t->n);
    put32(blob + 12, (uint32_t)t->n_layer);
    put32(blob + 16, (uint32_t)t->max_k);
    put32(blob + 20, (uint32_t)made);
    put32(blob + 24, (uint32_t)body);
    put32(blob + 28, (uint32_t)(body >> 32));
    int z = compress2(blob + HEADER, &room, flat, (uLong)body, 6);
    free(flat);
    if (z != Z_OK) {
        free(blob);
        return Q_NOMEM;
    }
    *out = blob;
    *n = HEADER + room;
    return Q_OK;
}

/* A body from its stream, piece by piece: it is never in memory twice. The stream ends with the last array. */
struct stream { z_stream z; unsigned char piece[16384]; size_t at; int said; };

static int next(struct stream *s)
{
    if (s->at == sizeof s->piece - s->z.avail_out) {
        s->z.next_out = s->piece;
        s->z.avail_out = sizeof s->piece;
        s->at = 0;
        s->said = inflate(&s->z, Z_NO_FLUSH);
        if ((s->said != Z_OK && s->said != Z_STREAM_END) || s->z.avail_out == sizeof s->piece) return -1;
    }
    return s->piece[s->at++];
}

static int spread(const unsigned char *b, size_t n, size_t made, mem_trace *t)
{
    struct stream *s = q_alloc(sizeof *s);
    struct part p[PARTS];
    int c = 0;
    s->z.next_in = (unsigned char *)b;
    s->z.avail_in = (uInt)n;
    s->z.next_out = s->piece;
    s->z.avail_out = sizeof s->piece;
    if (inflateInit(&s->z) != Z_OK) {
        free(s);
        return Q_NOMEM;
    }
    parts(t, made, p);
    for (int i = 0; i < PARTS; i++)
        for (size_t j = 0; j < p[i].width; j++) {
            unsigned char *dst = (unsigned char *)p[i].p + byte_at(p[i].width, j);
            for (size_t e = 0; e < p[i].count && (c = next(s)) >= 0; e++) dst[e * p[i].width] = (unsigned char)c;
        }
    bool whole = c >= 0 && next(s) < 0 && s->said == Z_STREAM_END && s->z.avail_in == 0;
    inflateEnd(&s->z);
    free(s);
    return whole ? Q_OK : Q_FORMAT;
}

int store_trace_unpack(const unsigned char *b, size_t n, mem_trace **out)
{
    *out = NULL;
    if (n < HEADER || memcmp(b, "QTRC", 4) != 0 || (get32(b + 4) != PLAIN && get32(b + 4) != MADE)) return Q_FORMAT;
    uint32_t rec = get32(b + 8), layers = get32(b + 12), k = get32(b + 16), made = get32(b + 4) == MADE ? get32(b + 20) : 0;
    uint64_t body = get32(b + 24) | (uint64_t)get32(b + 28) << 32;
    if (rec > 1u << 24 || layers > LAYER_MAX || k < 1 || k > K_MAX || body > BODY_MAX || made > MADE_MAX) return Q_FORMAT;
    uint64_t expect = (uint64_t)rec * (17 + (uint64_t)layers * (8 + 6 * (uint64_t)k)) + made;
    /* zlib expands at most about 1032 to 1: a larger claim is a lie and must not be allocated for */
    if (expect != body || body / 1100 > n) return Q_FORMAT;
    mem_trace *t = mem_trace_new((int)layers, (int)k);
    reserve(t, rec ? (int)rec : 1);
    t->n = (int)rec;
    t->made = made ? q_alloc((size_t)made + 1) : NULL;
    int rc = spread(b + HEADER, n - HEADER, made, t);
    for (int i = 0; i < t->n && rc == Q_OK; i++)
        if (t->pos[i] < 0 || t->pos[i] > POS_MAX) rc = Q_FORMAT;
    if (rc == Q_OK && made && (strlen(t->made) != made || !q_utf8_valid(t->made, made))) rc = Q_FORMAT;
    if (rc != Q_OK) {
        mem_trace_free(t);
        return rc;
    }
    *out = t;
    return Q_OK;
}

int mem_trace_get(mem_store *s, int64_t message, mem_trace **out, char *err)
{
    *out = NULL;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT data FROM message_trace WHERE message=?", "i", message);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) {
        const unsigned char *p = sqlite3_column_blob(st, 0);
        rc = store_trace_unpack(p ? p : (const unsigned char *)"", p ? (size_t)sqlite3_column_bytes(st, 0) : 0, out);
        if (rc != Q_OK) q_fail(err, rc, _("the stored routing of message %lld cannot be read"), (long long)message);
    } else if (rc == 0) {
        rc = q_fail(err, Q_NOTFOUND, _("no routing was stored with message %lld"), (long long)message);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc;
}

/* ---- retrieval log ---- */
struct log_row { int64_t message; mem_log l; };
#define LOG_COLUMNS(T, at, read) \
    read(T, at rank, ROW_INT, "rank") read(T, at number, ROW_INT, "number") read(T, at kind, ROW_INT, "kind") \
    read(T, at ref, ROW_INT64, "ref") read(T, at label, ROW_TEXT, "label") read(T, at terms, ROW_TEXT, "terms") \
    read(T, at reason, ROW_TEXT, "reason") read(T, at signals, ROW_TEXT, "signals") read(T, at score, ROW_DOUBLE, "score") \
    read(T, at tokens, ROW_INT, "tokens")
#define STORED(T, field, kind, name) STORE_COLUMN(T, field, kind, name, NULL),
static const store_column log_columns[] = {LOG_COLUMNS(mem_log, , STORED)};
static const store_column put_columns[] = {STORE_COLUMN(struct log_row, message, ROW_INT64, "message", NULL), LOG_COLUMNS(struct log_row, l., STORED)};
static const store_table log_table = STORE_TABLE(mem_log, "retrieval", log_columns);
static const store_table put_table = STORE_TABLE(struct log_row, "retrieval", put_columns);

int mem_log_put(mem_store *s, int64_t message, const mem_log *v, int n, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_run(s, NULL, err, "DELETE FROM retrieval WHERE message=?", "i", message);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        struct log_row row = {message, v[i]};
        rc = store_insert(s, &put_table, &row, NULL, err);
    }
    return store_end(s, rc, err);
}

int mem_log_get(mem_store *s, int64_t message, mem_logs *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &log_table, &v, &out->n, err, "FROM retrieval WHERE message=? ORDER BY rank", "i", message);
    store_unlock(s);
    out->v = v;
    return rc;
}

void mem_logs_free(mem_logs *l)
{
    void *v = l->v;
    store_rows_free(&log_table, &v, &l->n);
    l->v = NULL;
}
