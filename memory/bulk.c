/* memory/bulk: documents in numbers. What is put in is gathered and stored in steps, each one short transaction: several
 * small documents, or a part of a large one that nobody sees before it is whole. Owns copies of what waits; one thread a
 * bulk. It never holds the lock between two steps. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_DOCUMENTS = 64, STEP_PASSAGES = 64, STEP_BYTES = 256 << 10, STEPS_MERGE = 16, KNOWN_MAX = 4 * STEP_PASSAGES };

/* old: the document that it replaces; id: its own; kept: [n] passages that it has from the old one. */
struct item { mem_document d; mem_chunk *c; int n; size_t bytes; int64_t old, id; bool *kept; };

struct mem_bulk {
    mem_store *s;
    bool (*go)(void *user);
    void *user;
    struct item item[STEP_DOCUMENTS];
    int n, passages;                    /* waiting */
    int steps;
    size_t bytes;
    int documents, chunks;              /* on the disk */
    int64_t last;                       /* id of the last document stored */
};

/* A chunk as it is stored, and its words. */
struct chunk_row { int64_t id, document, ordinal, start; store_span name, heading, text; };
static const store_column chunk_columns[] = {
    STORE_COLUMN(struct chunk_row, document, ROW_INT64, "document", NULL),
    STORE_COLUMN(struct chunk_row, ordinal, ROW_INT64, "ordinal", NULL),
    STORE_COLUMN(struct chunk_row, start, ROW_INT64, "start", NULL),
    STORE_COLUMN(struct chunk_row, name, ROW_SPAN, "name", NULL),
    STORE_COLUMN(struct chunk_row, heading, ROW_SPAN, "heading", NULL),
    STORE_COLUMN(struct chunk_row, text, ROW_SPAN, "text", NULL),
};
static const store_column words_columns[] = {
    STORE_COLUMN(struct chunk_row, id, ROW_INT64, "rowid", NULL),
    STORE_COLUMN(struct chunk_row, name, ROW_SPAN, "name", NULL),
    STORE_COLUMN(struct chunk_row, heading, ROW_SPAN, "heading", NULL),
    STORE_COLUMN(struct chunk_row, text, ROW_SPAN, "text", NULL),
};
/* A passage that is there already. */
struct known { int64_t id; char *name, *heading, *text; bool taken; };
static const store_column known_columns[] = {
    STORE_READ(struct known, id, ROW_INT64, "id"),
    STORE_READ(struct known, name, ROW_TEXT, "name"),
    STORE_READ(struct known, heading, ROW_TEXT, "heading"),
    STORE_READ(struct known, text, ROW_TEXT, "text"),
};
static const store_table known_table = STORE_TABLE(struct known, NULL, known_columns);
static const store_table chunk_table = STORE_TABLE(struct chunk_row, "chunk", chunk_columns);
static const store_table words_table = STORE_TABLE(struct chunk_row, "chunk_fts", words_columns);

mem_bulk *mem_bulk_new(mem_store *s, bool (*go)(void *user), void *user)
{
    mem_bulk *b = q_alloc(sizeof *b);
    b->s = s;
    b->go = go;
    b->user = user;
    return b;
}

void mem_bulk_kept(const mem_bulk *b, int *documents, int *chunks)
{
    *documents = b->documents;
    *chunks = b->chunks;
}

static void item_free(struct item *it)
{
    free(it->d.path);
    free(it->d.title);
    free(it->d.name);
    free(it->d.was);
    free((char *)it->d.raw);
    for (int i = 0; i < it->n; i++) {
        free(it->c[i].heading);
        free((char *)it->c[i].text);
    }
    free(it->c);
    free(it->kept);
    memset(it, 0, sizeof *it);
}

static void forget(mem_bulk *b)
{
    for (int i = 0; i < b->n; i++) item_free(&b->item[i]);
    b->n = b->passages = 0;
    b->bytes = 0;
}

void mem_bulk_free(mem_bulk *b)
{
    if (!b) return;
    forget(b);
    free(b);
}

/* ---- in a transaction ---- */
struct putting { sqlite3_stmt *row, *words; };

static int prepare(mem_store *s, struct putting *p, char *err)
{
    p->row = store_inserting(s, &chunk_table, err);
    if (!p->row) return store_failed(s);
    s->touched |= 1u << MEM_CHUNK;
    for (int try = 0; try < 2 && !p->words; try++) {
        p->words = store_inserting(s, &words_table, err);
        int rc = p->words ? Q_OK : store_index_mended(s, MEM_CHUNK, store_failed(s), err);
        if (rc != Q_OK) return rc;
    }
    return p->words ? Q_OK : store_failed(s);
}

static void finish(struct putting *p)
{
    sqlite3_finalize(p->row);
    sqlite3_finalize(p->words);
}

static int put_chunk(mem_store *s, struct putting *p, int64_t document, const char *name, const mem_chunk *c, int ordinal, char *err)
{
    struct chunk_row row = {.document = document, .ordinal = ordinal, .start = (int64_t)c->offset, .name = {name, strlen(name)},
                            .heading = {c->heading, strlen(c->heading)}, .text = {c->text, c->n}};
    int rc = store_insert_row(s, p->row, &chunk_table, &row, &row.id, err);
    if (rc != Q_OK) return rc;
    store_postings_begin(s, MEM_CHUNK, row.id, false);
    rc = store_postings_end(s, store_insert_row(s, p->words, &words_table, &row, NULL, err), err);
    return rc != Q_OK && store_index_broken(s) ? store_index_put(s, MEM_CHUNK, row.id, err) : rc;  /* that one mends */
}

/* The document of this path, if there is one, goes. *old: its id, or 0. */
static int make_room(mem_bulk *b, const char *path, int64_t *old, char *err)
{
    *old = 0;
    int rc = store_int(b->s, old, err, "SELECT id FROM document WHERE path=?", "s", path);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;
    return store_document_going(b->s, *old, NULL, err);
}

/* ---- what stays as it was ---- */
/* A changed file mostly has passages that say what they said: those become the new document's with their place in the index,
 * and only the others are written and, with the old document, removed. */
static bool same(const struct known *k, const struct item *it, const mem_chunk *c)
{
    return !k->taken && strlen(k->text) == c->n && memcmp(k->text, c->text, c->n) == 0 && strcmp(k->heading, c->heading) == 0 &&
           strcmp(k->name, it->d.name) == 0;
}

/* The passage that says the same, looked for from *at on, where it would be if nothing had moved; NULL: there is none. */
static struct known *kept(struct known *v, int n, int *at, const struct item *it, const mem_chunk *c)
{
    for (int i = 0; i < n; i++) {
        struct known *k = &v[(*at + i) % n];
        if (!same(k, it, c)) continue;
        *at = (int)(k - v) + 1;
        k->taken = true;
        return k;
    }
    return NULL;
}

/* The passages of `old` that it->d is to have again are put into its rows; it->id[i]: the id of chunk i, 0: it is new. */
static int adopt(mem_bulk *b, struct item *it, int64_t id, char *err)
{
    void *v;
    int n = 0, at = 0;
    int rc = store_rows(b->s, &known_table, &v, &n, err, "FROM chunk WHERE document=? ORDER BY ordinal LIMIT ?", "ii", it->old, (int64_t)KNOWN_MAX);
    for (int i = 0; i < it->n && n && rc == Q_OK; i++) {
        const struct known *k = kept(v, n, &at, it, &it->c[i]);
        if (k) rc = store_run(b->s, NULL, err, "UPDATE chunk SET document=?, ordinal=?, start=? WHERE id=?", "iiii", id, (int64_t)i,
                              (int64_t)it->c[i].offset, k->id);
        if (k && rc == Q_OK) it->kept[i] = true;
    }
    store_rows_free(&known_table, &v, &n);
    return rc;
}

/* Its row, and its bytes as they came. */
static int put_document(mem_bulk *b, const mem_document *d, int64_t *id, char *err)
{
    int rc = store_insert(b->s, &store_document_table, d, id, err);
    if (rc == Q_OK && d->raw) rc = store_run(b->s, NULL, err, "INSERT INTO document_raw(document, was, data) VALUES(?, ?, ?)", "isb", *id, d->was, d->raw, d->n_raw);
    return rc;
}

/* The passages that it has from the old one too. */
static int put_row(mem_bulk *b, struct item *it, int64_t *id, char *err)
{
    int rc = put_document(b, &it->d, id, err);
    if (rc == Q_OK) rc = store_call(b->s, *id, err);
    if (rc == Q_OK && it->old) rc = store_wish_moves(b->s, it->old, *id, err);
    return rc == Q_OK && it->old ? adopt(b, it, *id, err) : rc;
}

static int put_whole(mem_bulk *b, struct putting *p, struct item *it, int64_t id, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < it->n && rc == Q_OK; i++)
        if (!it->kept[i]) rc = put_chunk(b->s, p, id, it->d.name, &it->c[i], i, err);
    return rc;
}

/* ---- steps ---- */
/* An index of many pieces is merged between two steps. */
static int merge_behind(mem_bulk *b, char *err)
{
    int rc = Q_OK;
    for (bool more = ++b->steps % STEPS_MERGE == 0; more && rc == Q_OK;) {
        store_breathe(b->s);
        rc = store_merge_step(b->s, MEM_CHUNK, &more, err);
    }
    return rc;
}

int mem_bulk_flush(mem_bulk *b, char *err)
{
    if (b->n == 0) return Q_OK;
    if (b->documents) store_breathe(b->s);
    struct putting p = {0};
    int rc = store_begin(b->s, err);
    if (rc == Q_OK) {
        /* all other rows first: between the words of two passages nothing makes FTS5 write out what it has (index.c) */
        for (int i = 0; i < b->n && rc == Q_OK; i++) rc = make_room(b, b->item[i].d.path, &b->item[i].old, err);
        for (int i = 0; i < b->n && rc == Q_OK; i++) rc = put_row(b, &b->item[i], &b->item[i].id, err);
        if (rc == Q_OK) rc = prepare(b->s, &p, err);
        for (int i = 0; i < b->n && rc == Q_OK; i++) rc = put_whole(b, &p, &b->item[i], b->item[i].id, err);
        finish(&p);
        rc = store_end(b->s, rc, err);
    }
    if (rc == Q_OK) {
        b->documents += b->n;
        b->chunks += b->passages;
        b->last = b->item[b->n - 1].id;
        rc = merge_behind(b, err);
    }
    forget(b);
    return rc;
}

/* Its row, hidden; its real path is given when it is whole. */
static int begin_large(mem_bulk *b, struct item *it, int64_t *id, char *err)
{
    int rc = store_begin(b->s, err);
    if (rc != Q_OK) return rc;
    mem_document d = it->d;
    unsigned char noise[16];
    char path[48] = "coming:";
    sqlite3_randomness(sizeof noise, noise);
    for (size_t i = 0; i < sizeof noise; i++) {
        path[7 + 2 * i] = "0123456789abcdef"[noise[i] >> 4];
        path[8 + 2 * i] = "0123456789abcdef"[noise[i] & 15];
    }
    d.path = path;
    rc = put_document(b, &d, id, err);
    if (rc == Q_OK) rc = store_run(b->s, NULL, err, "UPDATE document SET state=1, owner=? WHERE id=?", "si", b->s->owner, *id);
    return store_end(b->s, rc, err);
}

/* Chunks from *at on; *at = the first that was not stored. */
static int part_of_large(mem_bulk *b, struct item *it, int64_t id, int *at, char *err)
{
    struct putting p = {0};
    size_t bytes = 0;
    int i = *at, n = 0, rc = store_begin(b->s, err);
    if (rc != Q_OK) return rc;
    rc = prepare(b->s, &p, err);
    for (; i < it->n && n < STEP_PASSAGES && bytes < STEP_BYTES && rc == Q_OK; i++, n++) {
        bytes += it->c[i].n;
        rc = put_chunk(b->s, &p, id, it->d.name, &it->c[i], i, err);
    }
    finish(&p);
    rc = store_end(b->s, rc, err);
    if (rc != Q_OK) return rc;
    *at = i;
    return merge_behind(b, err);
}

static int end_large(mem_bulk *b, struct item *it, int64_t id, char *err)
{
    int n = 0, rc = store_begin(b->s, err);
    if (rc != Q_OK) return rc;
    rc = make_room(b, it->d.path, &it->old, err);
    if (rc == Q_OK) rc = store_run(b->s, &n, err, "UPDATE document SET state=0, owner='', path=? WHERE id=? AND state=1", "si", it->d.path, id);
    if (rc == Q_OK && n != 1) rc = store_tampered(b->s, err);
    if (rc == Q_OK) rc = store_call(b->s, id, err);
    if (rc == Q_OK && it->old) rc = store_wish_moves(b->s, it->old, id, err);
    return store_end(b->s, rc, err);
}

static int put_large(mem_bulk *b, struct item *it, char *err)
{
    int64_t id = 0;
    int at = 0, rc = begin_large(b, it, &id, err);
    if (rc != Q_OK) return rc;
    while (at < it->n && rc == Q_OK) {
        store_breathe(b->s);
        rc = b->go && !b->go(b->user) ? q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept")) : part_of_large(b, it, id, &at, err);
    }
    if (rc == Q_OK) rc = end_large(b, it, id, err);
    if (rc == Q_OK) {
        b->documents++;
        b->chunks += it->n;
        b->last = id;
        return rc;
    }
    char why[Q_ERRLEN];                     /* what is there of it goes; where even that fails, the next start sees it */
    if (store_begin(b->s, why) == Q_OK) store_end(b->s, store_document_going(b->s, id, NULL, why), why);
    return rc;
}

int mem_bulk_put(mem_bulk *b, const mem_document *d, const mem_chunk *c, int n, char *err)
{
    struct item it = {.d = *d, .n = n};
    it.d.path = q_strdup(d->path);
    it.d.title = q_strdup(d->title);
    it.d.name = q_strdup(d->name ? d->name : "");
    bool repaired = d->was && *d->was && d->raw;
    it.d.was = repaired ? q_strdup(d->was) : NULL;
    it.d.raw = repaired ? memcpy(q_alloc(d->n_raw + 1), d->raw, d->n_raw) : NULL;
    it.d.added_ms = q_wall_ms();
    it.d.gone_ms = 0;
    it.c = q_alloc(sizeof *it.c * (size_t)(n + 1));
    it.kept = q_alloc((size_t)n + 1);
    for (int i = 0; i < n; i++) {
        it.c[i] = (mem_chunk){c[i].offset, c[i].n, q_strndup(c[i].text, c[i].n), q_strdup(c[i].heading ? c[i].heading : "")};
        it.bytes += c[i].n;
    }
    int rc = Q_OK;
    bool twice = false, large = n > STEP_PASSAGES || it.bytes > STEP_BYTES;
    for (int i = 0; i < b->n; i++) twice |= strcmp(b->item[i].d.path, d->path) == 0;
    if (b->n == STEP_DOCUMENTS || b->passages + n > STEP_PASSAGES || b->bytes + it.bytes > STEP_BYTES || twice || large) rc = mem_bulk_flush(b, err);
    if (rc == Q_OK && large) rc = put_large(b, &it, err);
    if (rc != Q_OK || large) {
        item_free(&it);
        return rc;
    }
    b->item[b->n++] = it;
    b->passages += n;
    b->bytes += it.bytes;
    return Q_OK;
}

int mem_document_put(mem_store *s, const mem_document *d, const mem_chunk *c, int n, int64_t *id, char *err)
{
    mem_bulk *b = mem_bulk_new(s, NULL, NULL);
    int rc = mem_bulk_put(b, d, c, n, err);
    if (rc == Q_OK) rc = mem_bulk_flush(b, err);
    *id = rc == Q_OK ? b->last : 0;
    mem_bulk_free(b);
    return rc;
}
