/* memory/postings: where each word stands, for whoever scores. What goes into a word index and out of it (index.c, bulk.c,
 * owed.c) is gathered here as FTS5 asks the tokenizer for its words, and is written at the end of the transaction, a block
 * of a word at a time. The lock is held but for what rag asks. It never judges.
 *
 * A row holds a block of a word's passages in order of their ids. In data each is
 *     id - id of the one before it (the first: 0), words of the passage in all, its places, 0
 * and a place is 1 + (its number - number of the place before << 2 | text); numbers count the words of the passage through
 * its texts (0 name, 1 heading, 2 text). All numbers are seven bits a byte, least first, the high bit says that more come. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1024 };                  /* a block of more bytes is not added to at its end */

static const char *const tables[] = {[MEM_CHUNK] = "chunk_posting", [MEM_CHAT] = "message_posting"};
static const char *const entities[] = {[MEM_CHUNK] = "chunk_entity", [MEM_CHAT] = "message_entity"};

/* ---- numbers ---- */
static void put(q_buf *b, uint64_t x)
{
    for (; x >= 0x80; x >>= 7) q_buf_putc(b, (char)(x | 0x80));
    q_buf_putc(b, (char)x);
}

static bool get(const unsigned char **p, const unsigned char *end, uint64_t *x)
{
    *x = 0;
    for (int shift = 0; *p < end && shift < 63; shift += 7) {
        unsigned char c = *(*p)++;
        *x |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) return true;
    }
    return false;
}

/* ---- a block ---- */
bool store_block_next(store_block *r, store_block_entry *e)
{
    uint64_t delta, place = 1;
    bool got;
    if (r->p == r->end || !get(&r->p, r->end, &delta) || !get(&r->p, r->end, &e->length) || delta > INT64_MAX || e->length > INT32_MAX) return false;
    if (r->id > INT64_MAX - (int64_t)delta) return false;
    e->id = r->id += (int64_t)delta;
    e->places = r->p;
    while ((got = get(&r->p, r->end, &place)) && place) {}
    e->end = r->p - 1;
    return got;
}

bool store_block_place(store_block_entry *e, int *place, int *field)
{
    uint64_t x;
    if (e->places >= e->end || !get(&e->places, e->end, &x) || (x - 1) >> 2 > (uint64_t)(INT32_MAX - *place)) return false;
    *field = (int)((x - 1) & 3);
    *place += (int)((x - 1) >> 2);
    return true;
}

static void put_entry(q_buf *b, int64_t before, const store_block_entry *e)
{
    put(b, (uint64_t)(e->id - before));
    put(b, e->length);
    q_buf_add(b, e->places, (size_t)(e->end - e->places));
    put(b, 0);
}

/* ---- what is gathered ---- */
struct op { int64_t id, length; size_t at, n; };        /* length -1: the passage goes; places in the batch's bytes */
struct listed { int64_t id; size_t at, n; bool out; };   /* what a passage names, in the batch's bytes */
struct word { char *w; struct op *op; int n, cap; q_buf now; int place; };

struct store_batch {
    struct word *v; int n, cap;
    int *slot, slots;                   /* hash of words: index + 1 */
    q_buf bytes;
    struct listed *list; int n_list, cap_list;
    int *met, n_met, cap_met;           /* words of the passage at hand */
    int64_t id; bool out;               /* the passage at hand; 0: none */
    int field, place;
    int64_t passages, words;            /* that came less those that went */
};

static struct word *word_of(struct store_batch *b, const char *w)
{
    size_t n = strlen(w);
    if (2 * b->n >= b->slots) {
        free(b->slot);
        b->slots = b->slots ? b->slots * 2 : 1024;
        b->slot = q_alloc(sizeof *b->slot * (size_t)b->slots);
        for (int i = 0; i < b->n; i++) {
            uint64_t h = q_hash64(b->v[i].w, strlen(b->v[i].w), 7);
            while (b->slot[h & (uint64_t)(b->slots - 1)]) h++;
            b->slot[h & (uint64_t)(b->slots - 1)] = i + 1;
        }
    }
    uint64_t h = q_hash64(w, n, 7);
    for (int at; (at = b->slot[h & (uint64_t)(b->slots - 1)]) != 0; h++)
        if (strcmp(b->v[at - 1].w, w) == 0) return &b->v[at - 1];
    if (b->n == b->cap) b->v = q_realloc(b->v, sizeof *b->v * (size_t)(b->cap = b->cap ? b->cap * 2 : 512));
    b->slot[h & (uint64_t)(b->slots - 1)] = b->n + 1;
    b->v[b->n] = (struct word){.w = q_strndup(w, n)};
    return &b->v[b->n++];
}

static void batch_free(struct store_batch *b)
{
    if (!b) return;
    for (int i = 0; i < b->n; i++) {
        free(b->v[i].w);
        free(b->v[i].op);
        q_buf_free(&b->v[i].now);
    }
    free(b->v);
    free(b->slot);
    free(b->met);
    free(b->list);
    q_buf_free(&b->bytes);
    free(b);
}

void store_postings_forget(mem_store *s, enum mem_kind k)
{
    batch_free(s->batch[k]);
    s->batch[k] = NULL;
    if (s->taking == (int)k + 1) s->taking = 0;
}

void store_postings_begin(mem_store *s, enum mem_kind k, int64_t id, bool out)
{
    if (!s->batch[k]) s->batch[k] = q_alloc(sizeof *s->batch[k]);
    struct store_batch *b = s->batch[k];
    b->id = id;
    b->out = out;
    b->field = k == MEM_CHAT ? 1 : -1;          /* a message has a text only */
    b->place = 0;
    s->taking = (int)k + 1;
}

void store_postings_text(mem_store *s)
{
    if (s->taking && s->batch[s->taking - 1]->field < 2) s->batch[s->taking - 1]->field++;
}

int store_postings_field(const mem_store *s) { return s->taking ? s->batch[s->taking - 1]->field : -1; }

void store_postings_word(mem_store *s, const char *stem, bool same_place)
{
    if (!s->taking) return;
    struct store_batch *b = s->batch[s->taking - 1];
    if (!same_place) b->place++;
    struct word *w = word_of(b, stem);
    if (w->now.len == 0) {
        if (b->n_met == b->cap_met) b->met = q_realloc(b->met, sizeof *b->met * (size_t)(b->cap_met = b->cap_met ? b->cap_met * 2 : 256));
        b->met[b->n_met++] = (int)(w - b->v);
        w->place = 0;
    }
    put(&w->now, 1 + ((uint64_t)(b->place - w->place) << 2 | (uint64_t)b->field));
    w->place = b->place;
}

/* rc: of the statement by which the words went in or out. */
static int heard_in_out(mem_store *s, const struct store_batch *b, char *err)
{
    if (b->out) return store_run(s, NULL, err, "DELETE FROM heard WHERE message=?", "i", b->id);
    return store_run(s, NULL, err, "INSERT OR REPLACE INTO heard(message, prev, conversation, created, words, asks) SELECT id, ifnull(parent, 0), conversation,"
                     " created, ?, instr(substr(text, -90), '?')>0 FROM message WHERE id=?", "ii", (int64_t)b->place, b->id);
}

/* What the passage at hand names; one that names nothing has no row. */
static void note_entities(struct store_batch *b)
{
    struct listed l = {.id = b->id, .at = b->bytes.len, .out = b->out};
    for (int i = 0; i < b->n_met; i++) {
        const char *w = b->v[b->met[i]].w;
        if (*w != STORE_ENTITY) continue;
        q_buf_puts(&b->bytes, w + 1);
        q_buf_putc(&b->bytes, '\n');
    }
    l.n = b->bytes.len - l.at;
    if (l.n == 0) return;
    if (b->n_list == b->cap_list) b->list = q_realloc(b->list, sizeof *b->list * (size_t)(b->cap_list = b->cap_list ? b->cap_list * 2 : 64));
    b->list[b->n_list++] = l;
}

int store_postings_end(mem_store *s, int rc, char *err)
{
    enum mem_kind k = (enum mem_kind)(s->taking - 1);
    if (!s->taking) return rc;
    struct store_batch *b = s->batch[k];
    s->taking = 0;
    if (rc == Q_OK) note_entities(b);
    for (int i = 0; i < b->n_met; i++) {
        struct word *w = &b->v[b->met[i]];
        if (rc == Q_OK) {
            if (w->n == w->cap) w->op = q_realloc(w->op, sizeof *w->op * (size_t)(w->cap = w->cap ? w->cap * 2 : 2));
            w->op[w->n++] = (struct op){b->id, b->out ? -1 : b->place, b->bytes.len, w->now.len};
            q_buf_add(&b->bytes, w->now.p, w->now.len);
        }
        q_buf_clear(&w->now);
    }
    b->n_met = 0;
    if (rc != Q_OK) return rc;
    b->passages += b->out ? -1 : 1;
    b->words += b->out ? -b->place : b->place;
    return k == MEM_CHAT ? heard_in_out(s, b, err) : rc;
}

/* ---- writing ---- */
struct writing { mem_store *s; enum mem_kind k; sqlite3_stmt *at, *next, *put, *drop; const struct store_batch *b; };

static int by_word(const void *a, const void *b) { return strcmp((*(struct word *const *)a)->w, (*(struct word *const *)b)->w); }

/* In order of ids; of several for one passage the last holds. A list is mostly in order already. */
static void in_order(struct word *w)
{
    for (int i = 1; i < w->n; i++) {
        struct op x = w->op[i];
        int j = i;
        for (; j > 0 && w->op[j - 1].id > x.id; j--) w->op[j] = w->op[j - 1];
        w->op[j] = x;
    }
    int n = 0;
    for (int i = 0; i < w->n; i++) {
        if (n && w->op[n - 1].id == w->op[i].id) n--;
        w->op[n++] = w->op[i];
    }
    w->n = n;
}

static int write_row(struct writing *x, const char *word, int64_t first, int64_t last, const q_buf *data, char *err)
{
    return store_again(x->s, x->put, err, "siib", word, first, last, data->p, data->len);
}

static store_block_entry entry_of(const struct writing *x, const struct op *o)
{
    const unsigned char *p = (const unsigned char *)x->b->bytes.p + o->at;
    return (store_block_entry){o->id, (uint64_t)o->length, p, p + o->n};
}

/* Operations [i, to) on what a block holds (old: may be empty), ids of both in order. */
static int merge(struct writing *x, struct word *w, int i, int to, store_block old, int64_t was_first, char *err)
{
    q_buf data = {0};
    store_block_entry e;
    int64_t first = 0, last = 0;
    int rc = Q_OK, n = 0;
    bool more = store_block_next(&old, &e);
    while (more || i < to) {
        store_block_entry take;
        if (i == to || (more && e.id < w->op[i].id)) {
            take = e;
            more = store_block_next(&old, &e);
        } else {
            const struct op *o = &w->op[i++];
            if (more && e.id == o->id) more = store_block_next(&old, &e);
            if (o->length < 0) continue;
            take = entry_of(x, o);
        }
        put_entry(&data, n ? last : take.id, &take);
        if (!n++) first = take.id;
        last = take.id;
    }
    if (was_first && (n == 0 || first != was_first)) rc = store_again(x->s, x->drop, err, "si", w->w, was_first);
    if (rc == Q_OK && n) rc = write_row(x, w->w, first, last, &data, err);
    q_buf_free(&data);
    return rc;
}

/* Behind the last of a block: its bytes stay as they are. */
static int append(struct writing *x, struct word *w, int i, int to, int64_t first, int64_t last, const void *old, size_t n, char *err)
{
    q_buf data = {0};
    if (n) q_buf_add(&data, old, n);
    for (; i < to; i++) {
        store_block_entry e = entry_of(x, &w->op[i]);
        if (w->op[i].length < 0) continue;
        if (!data.len) first = last = e.id;
        put_entry(&data, last, &e);
        last = e.id;
    }
    int rc = data.len ? write_row(x, w->w, first, last, &data, err) : Q_OK;
    q_buf_free(&data);
    return rc;
}

/* From operation *i on, those that fall into one block. */
static int write_block(struct writing *x, struct word *w, int *i, char *err)
{
    int64_t id = w->op[*i].id, next = INT64_MAX, first = 0, last = 0;
    sqlite3_bind_text(x->at, 1, w->w, -1, SQLITE_STATIC);
    sqlite3_bind_int64(x->at, 2, id);
    int rc = store_step(x->s, x->at, err), to = *i + 1, n = 0;
    const unsigned char *old = NULL;
    if (rc == 1) {
        first = sqlite3_column_int64(x->at, 0);
        last = sqlite3_column_int64(x->at, 1);
        old = sqlite3_column_blob(x->at, 2);
        n = sqlite3_column_bytes(x->at, 2);
    }
    bool found = rc == 1, full = found && n >= BLOCK, behind = !found || id > last;
    if (rc >= 0 && to < w->n) {
        sqlite3_bind_text(x->next, 1, w->w, -1, SQLITE_STATIC);
        sqlite3_bind_int64(x->next, 2, id);
        int more = store_step(x->s, x->next, err);
        if (more == 1) next = sqlite3_column_int64(x->next, 0);
        if (more < 0) rc = more;
        sqlite3_reset(x->next);
        /* a full block takes what lies within it; the rest begins another */
        while (to < w->n && w->op[to].id < next && (behind || !full || w->op[to].id <= last)) to++;
    }
    if (rc >= 0 && (full || !found) && behind) rc = append(x, w, *i, to, 0, 0, NULL, 0, err);
    else if (rc >= 0 && behind) rc = append(x, w, *i, to, first, last, old, (size_t)n, err);
    else if (rc >= 0) rc = merge(x, w, *i, to, (store_block){old, old + n, first}, first, err);
    sqlite3_reset(x->at);
    *i = to;
    return rc;
}

static int write_all(struct writing *x, struct word **order, int n, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        in_order(order[i]);
        for (int j = 0; j < order[i]->n && rc == Q_OK;) rc = write_block(x, order[i], &j, err);
    }
    return rc;
}

static sqlite3_stmt *query(mem_store *s, const char *table, char *err, const char *fmt)
{
    char sql[160];
    snprintf(sql, sizeof sql, fmt, table);
    return store_query(s, err, sql, "");
}

/* Of several for one passage the last holds: they stand in the order in which they were done. */
static int write_entities(mem_store *s, enum mem_kind k, const struct store_batch *b, char *err)
{
    if (b->n_list == 0) return Q_OK;
    sqlite3_stmt *put = query(s, entities[k], err, "INSERT OR REPLACE INTO %s(passage, data) VALUES(?, ?)");
    sqlite3_stmt *drop = put ? query(s, entities[k], err, "DELETE FROM %s WHERE passage=?") : NULL;
    int rc = drop ? Q_OK : store_failed(s);
    for (int i = 0; i < b->n_list && rc == Q_OK; i++) {
        const struct listed *l = &b->list[i];
        rc = l->out ? store_again(s, drop, err, "i", l->id) : store_again(s, put, err, "it", l->id, b->bytes.p + l->at, l->n);
    }
    sqlite3_finalize(put);
    sqlite3_finalize(drop);
    return rc;
}

int store_postings_write(mem_store *s, enum mem_kind k, char *err)
{
    struct store_batch *b = s->batch[k];
    if (!b) return Q_OK;
    struct writing x = {.s = s, .k = k, .b = b};
    int rc = Q_OK;
    x.at = query(s, tables[k], err, "SELECT first, last, data FROM %s WHERE word=? AND first<=? ORDER BY first DESC LIMIT 1");
    x.next = x.at ? query(s, tables[k], err, "SELECT first FROM %s WHERE word=? AND first>? ORDER BY first LIMIT 1") : NULL;
    x.put = x.next ? query(s, tables[k], err, "INSERT OR REPLACE INTO %s(word, first, last, data) VALUES(?, ?, ?, ?)") : NULL;
    x.drop = x.put ? query(s, tables[k], err, "DELETE FROM %s WHERE word=? AND first=?") : NULL;
    if (!x.drop) rc = store_failed(s);
    struct word **order = q_alloc(sizeof *order * (size_t)(b->n + 1));
    for (int i = 0; i < b->n; i++) order[i] = &b->v[i];
    qsort(order, (size_t)b->n, sizeof *order, by_word);
    if (rc == Q_OK) rc = write_all(&x, order, b->n, err);
    if (rc == Q_OK) rc = write_entities(s, k, b, err);
    free(order);
    sqlite3_finalize(x.at);
    sqlite3_finalize(x.next);
    sqlite3_finalize(x.put);
    sqlite3_finalize(x.drop);
    if (rc == Q_OK && (b->passages || b->words))
        rc = store_run(s, NULL, err, "UPDATE extent SET passages=passages+?, words=words+? WHERE kind=?", "iii", b->passages, b->words, (int64_t)k);
    store_postings_forget(s, k);
    return rc;
}

int store_postings_reset(mem_store *s, enum mem_kind k, char *err)
{
    char sql[64];
    store_postings_forget(s, k);
    snprintf(sql, sizeof sql, "DELETE FROM %s", tables[k]);
    int rc = store_run(s, NULL, err, sql, "");
    snprintf(sql, sizeof sql, "DELETE FROM %s", entities[k]);
    if (rc == Q_OK) rc = store_run(s, NULL, err, sql, "");
    if (rc == Q_OK && k == MEM_CHAT) rc = store_run(s, NULL, err, "DELETE FROM heard", "");
    return rc == Q_OK ? store_run(s, NULL, err, "INSERT OR REPLACE INTO extent(kind, passages, words) VALUES(?, 0, 0)", "i", (int64_t)k) : rc;
}
