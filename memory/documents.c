/* memory/documents: sources as a list, what is known of each, and the questions rag asks of both indexes. Owns nothing
 * beyond the call; any thread. It never reads files and never judges a passage: that is rag's. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const store_column document_columns[] = {
    STORE_READ(mem_document, id, ROW_INT64, "d.id"),
    STORE_COLUMN(mem_document, path, ROW_TEXT, "path", "d.path"),
    STORE_COLUMN(mem_document, title, ROW_TEXT, "title", "d.title"),
    STORE_COLUMN(mem_document, trust, ROW_INT, "trust", "d.trust"),
    STORE_COLUMN(mem_document, sha256, ROW_CHARS, "sha256", "d.sha256"),
    STORE_COLUMN(mem_document, mtime_ms, ROW_INT64, "mtime", "d.mtime"),
    STORE_COLUMN(mem_document, added_ms, ROW_INT64, "added", "d.added"),
    STORE_COLUMN(mem_document, bytes, ROW_INT64, "bytes", "d.bytes"),
    STORE_COLUMN(mem_document, gone_ms, ROW_INT64, "gone", "d.gone"),
    STORE_COLUMN(mem_document, device, ROW_INT64, "device", "d.device"),
    STORE_COLUMN(mem_document, cut, ROW_INT, "cut", "d.cut"),
    STORE_READ(mem_document, was, ROW_TEXT, "ifnull((SELECT r.was FROM document_raw r WHERE r.document=d.id), '')"),
    STORE_READ(mem_document, n_chunks, ROW_INT, "(SELECT count(*) FROM chunk c WHERE c.document=d.id)"),
};
const store_table store_document_table = STORE_TABLE(mem_document, "document", document_columns);

static int no_such(char *err, int64_t id)
{
    return q_fail(err, Q_NOTFOUND, _("there is no document %lld in memory: quorum memory list shows them"), (long long)id);
}

/* A hostile file may hold any number. */
static void mind_trust(enum mem_trust *t)
{
    if ((int)*t < MEM_TRUST_OWN || *t >= MEM_TRUSTS) *t = MEM_TRUST_STRANGER;
}

int mem_document_by_path(mem_store *s, const char *path, mem_document *out, char *err)
{
    store_lock(s);
    int rc = store_row(s, &store_document_table, out, err, "FROM document d WHERE d.path=? AND d.state=0", "s", path);
    store_unlock(s);
    mind_trust(&out->trust);
    return rc == Q_NOTFOUND ? q_fail(err, rc, _("%s is not in memory: quorum memory list shows what is"), path) : rc;
}

int mem_document_get(mem_store *s, int64_t id, mem_document *out, char *err)
{
    store_lock(s);
    int rc = store_row(s, &store_document_table, out, err, "FROM document d WHERE d.id=? AND d.state=0", "i", id);
    store_unlock(s);
    mind_trust(&out->trust);
    return rc == Q_NOTFOUND ? no_such(err, id) : rc;
}

static int list(mem_store *s, mem_documents *out, char *err, const char *at, const char *below)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &store_document_table, &v, &out->n, err, "FROM document d WHERE d.state=0 AND"
                        " (?1 IS NULL OR d.path=?1 OR substr(d.path, 1, length(?2))=?2) ORDER BY d.title, d.id", "ss", at, below);
    store_unlock(s);
    out->v = v;
    for (int i = 0; i < out->n; i++) mind_trust(&out->v[i].trust);
    return rc;
}

int mem_document_list(mem_store *s, mem_documents *out, char *err) { return list(s, out, err, NULL, NULL); }

int mem_document_below(mem_store *s, const char *folder, mem_documents *out, char *err)
{
    size_t n = strlen(folder);
    while (n > 0 && folder[n - 1] == '/') n--;
    char *at = q_strndup(folder, n), *below = q_printf("%s/", at);
    int rc = list(s, out, err, at, below);
    free(at);
    free(below);
    return rc;
}

/* ---- what changes in a document's row ---- */
int store_document_going(mem_store *s, int64_t id, int *n, char *err)
{
    /* its path is free for another; no path of a person begins so */
    return store_run(s, n, err, "UPDATE document SET state=2, path='going:' || id WHERE id=? AND state<>2", "i", id);
}

enum { STEP_DOCUMENTS = 64 };                       /* in one short transaction */

/* One statement for each of n rows of an array, in steps; what was done of it is durable. */
static int each(mem_store *s, int n, int *done, char *err, int (*change)(mem_store *, const void *v, int i, int *changed, char *), const void *v)
{
    int rc = Q_OK, total = 0;
    for (int at = 0; at < n && rc == Q_OK; at += STEP_DOCUMENTS) {
        int here = 0;
        if (at) store_breathe(s);
        if ((rc = store_begin(s, err)) != Q_OK) break;
        for (int i = at; i < n && i < at + STEP_DOCUMENTS && rc == Q_OK; i++) {
            int changed = 0;
            rc = change(s, v, i, &changed, err);
            here += changed;
        }
        rc = store_end(s, rc, err);
        if (rc == Q_OK) total += here;
    }
    if (done) *done = total;
    return rc;
}

static int set_gone(mem_store *s, const void *v, int i, int *n, char *err)
{
    return store_run(s, n, err, "UPDATE document SET gone=? WHERE id=? AND gone=0 AND state=0", "ii", q_wall_ms(), ((const int64_t *)v)[i]);
}

static int set_seen(mem_store *s, const void *v, int i, int *n, char *err)
{
    const mem_seen *x = (const mem_seen *)v + i;
    return store_run(s, n, err, "UPDATE document SET gone=0, mtime=?, device=? WHERE id=? AND state=0", "iii", x->mtime_ms, x->device, x->document);
}

int mem_documents_seen(mem_store *s, const mem_seen *v, int n, char *err) { return each(s, n, NULL, err, set_seen, v); }

int mem_documents_gone(mem_store *s, const int64_t *id, int n, char *err) { return each(s, n, NULL, err, set_gone, id); }

static int set_forgotten(mem_store *s, const void *v, int i, int *n, char *err)
{
    int rc = store_document_going(s, ((const int64_t *)v)[i], n, err);
    return rc == Q_OK && *n ? store_backups_owe(s, err) : rc;
}

int mem_documents_delete(mem_store *s, const int64_t *id, int n, int *done, char *err) { return each(s, n, done, err, set_forgotten, id); }

int mem_document_delete(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = mem_documents_delete(s, &id, 1, &n, err);
    return rc == Q_OK && n == 0 ? no_such(err, id) : rc;
}

void mem_document_free(mem_document *d)
{
    if (d) store_free(&store_document_table, d);
}

void mem_documents_free(mem_documents *l)
{
    void *v = l->v;
    store_rows_free(&store_document_table, &v, &l->n);
    l->v = NULL;
}

/* ---- what rag asks ---- */
/* A passage of either kind; the tables of a kind call its columns so. */
static const store_column passage_columns[] = {
    STORE_READ(mem_passage, id, ROW_INT64, "p.id"),
    STORE_READ(mem_passage, source, ROW_INT64, "p.source"),
    STORE_READ(mem_passage, title, ROW_TEXT, "p.title"),
    STORE_READ(mem_passage, name, ROW_TEXT, "p.name"),
    STORE_READ(mem_passage, heading, ROW_TEXT, "p.heading"),
    STORE_READ(mem_passage, text, ROW_TEXT, "p.text"),
    STORE_READ(mem_passage, author, ROW_TEXT, "p.author"),
    STORE_READ(mem_passage, asked, ROW_TEXT, "ifnull((SELECT substr(q.text, 1, 8192) FROM message q WHERE q.id=p.asker), '')"),
    STORE_READ(mem_passage, trust, ROW_INT, "p.trust"),
    STORE_READ(mem_passage, offset, ROW_INT64, "p.start"),
    STORE_READ(mem_passage, created_ms, ROW_INT64, "p.created"),
    STORE_READ(mem_passage, ordinal, ROW_INT, "p.ordinal"),
    STORE_READ(mem_passage, bm25, ROW_DOUBLE, "p.b"),
};
_Static_assert(MEM_ASKED_MAX == 8192, "the column asked says how much of a question is read");
static const store_table passage_table = STORE_TABLE(mem_passage, NULL, passage_columns);

#define CHUNKS "SELECT c.id, c.document AS source, d.title, c.name, c.heading, c.text, d.trust, c.start, d.added AS created, c.ordinal, 0 AS asker, '' AS author"
/* role 2 is a model's */
#define CHATS "SELECT m.id, m.conversation AS source, c.title, '' AS name, '' AS heading, m.text, CASE m.role WHEN 2 THEN 2 ELSE 0 END AS trust," \
              " 0 AS start, m.created, 0 AS ordinal, CASE m.role WHEN 2 THEN m.parent ELSE 0 END AS asker, m.author"

static const struct { const char *candidates, *one, *with, *of, *some; } by_kind[] = {
    /* weights of bm25: name, headings, text */
    [MEM_CHUNK] = {
        "FROM (" CHUNKS ", -bm25(chunk_fts, 3.0, 3.0, 1.0) AS b"
        " FROM chunk_fts JOIN chunk c ON c.id=chunk_fts.rowid JOIN document d ON d.id=c.document"
        " WHERE chunk_fts MATCH ?1 AND ?2 IS NOT NULL AND d.state=0 AND d.gone=0 ORDER BY b DESC, c.id LIMIT ?3) p",
        "FROM (" CHUNKS ", 0.0 AS b FROM chunk c JOIN document d ON d.id=c.document WHERE c.id=? AND d.state=0) p",
        "SELECT doc FROM temp.chunk_words WHERE term=?", "SELECT " STORE_COUNT("passages") " FROM extent WHERE kind=0",
        "FROM (" CHUNKS ", 0.0 AS b FROM chunk c JOIN document d ON d.id=c.document WHERE c.id=?1 AND ?2 IS NOT NULL AND d.state=0 AND d.gone=0) p"},
    /* a question asked elsewhere holds the words of the answer but not the answer */
    [MEM_CHAT] = {
        "FROM (" CHATS ", -bm25(message_fts) AS b"
        " FROM message_fts JOIN message m ON m.id=message_fts.rowid JOIN conversation c ON c.id=m.conversation"
        " WHERE message_fts MATCH ?1 AND m.conversation<>?2 AND c.state=0"
        " AND NOT (m.role=1 AND m.author='' AND rtrim(m.text, char(32, 9, 10, 13)) LIKE '%?') ORDER BY b DESC, m.id DESC LIMIT ?3) p",
        "FROM (" CHATS ", 0.0 AS b FROM message m JOIN conversation c ON c.id=m.conversation WHERE m.id=? AND c.state=0) p",
        "SELECT doc FROM temp.message_words WHERE term=?", "SELECT " STORE_COUNT("passages") " FROM extent WHERE kind=1",
        "FROM (" CHATS ", 0.0 AS b FROM message m JOIN conversation c ON c.id=m.conversation WHERE m.id=?1 AND m.conversation<>?2 AND c.state=0"
        " AND NOT (m.role=1 AND m.author='' AND rtrim(m.text, char(32, 9, 10, 13)) LIKE '%?')) p"},
};

static void mind_passage(mem_passage *p, enum mem_kind kind)
{
    p->kind = kind;
    if (!(p->bm25 > 0)) p->bm25 = 0;
    mind_trust(&p->trust);
}

/* A word for MATCH: nothing in it is FTS5's syntax. */
static void quoted(q_buf *q, const char *word)
{
    q_buf_putc(q, '"');
    for (; *word; word++) {
        if (*word == '"') q_buf_putc(q, '"');
        q_buf_putc(q, *word);
    }
    q_buf_putc(q, '"');
}

int mem_candidates(mem_store *s, enum mem_kind kind, const char *const *words, int n, int64_t except, int limit,
                   mem_passages *out, char *err)
{
    memset(out, 0, sizeof *out);
    q_buf q = {0};
    for (int i = 0; i < n; i++) {
        if (i) q_buf_puts(&q, " OR ");
        quoted(&q, words[i]);
    }
    if (n == 0) return Q_OK;
    int rc = store_index_ready(s, kind, err);
    for (bool again = rc == Q_OK, mended = false; again; mended = true) {
        void *v;
        store_lock(s);
        rc = store_rows(s, &passage_table, &v, &out->n, err, by_kind[kind].candidates, "sii", q.p, except, (int64_t)limit);
        again = rc < 0 && !mended && store_index_broken(s);
        store_unlock(s);
        out->v = v;
        if (again && (rc = store_index_mend(s, kind, err)) != Q_OK) break;
    }
    for (int i = 0; i < out->n; i++) mind_passage(&out->v[i], kind);
    q_buf_free(&q);
    return rc;
}

int mem_passages_of(mem_store *s, enum mem_kind kind, const int64_t *id, int n, int64_t except, mem_passages *out, char *err)
{
    memset(out, 0, sizeof *out);
    if (n == 0) return Q_OK;
    out->v = q_alloc(sizeof *out->v * (size_t)(n + 1));
    char *sql = store_select(&passage_table, by_kind[kind].some);
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, sql, "ii", (int64_t)0, except);
    int rc = st ? Q_OK : store_failed(s);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        sqlite3_bind_int64(st, 1, id[i]);
        rc = store_step(s, st, err);
        if (rc == 1) {
            store_read(&passage_table, st, &out->v[out->n]);
            mind_passage(&out->v[out->n++], kind);
            rc = Q_OK;
        }
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    free(sql);
    return rc;
}

int mem_passage_get(mem_store *s, enum mem_kind kind, int64_t id, mem_passage *out, char *err)
{
    if (kind != MEM_CHAT) kind = MEM_CHUNK;
    store_lock(s);
    int rc = store_row(s, &passage_table, out, err, by_kind[kind].one, "i", id);
    store_unlock(s);
    mind_passage(out, kind);
    return rc == Q_NOTFOUND ? q_fail(err, rc, _("this passage is no longer in memory")) : rc;
}

int mem_passages_around(mem_store *s, int64_t chunk, int before, int after, mem_passages *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &passage_table, &v, &out->n, err, "FROM (" CHUNKS ", 0.0 AS b FROM chunk c JOIN document d ON d.id=c.document JOIN chunk o ON o.id=?1"
                        " WHERE c.document=o.document AND c.ordinal BETWEEN o.ordinal-?2 AND o.ordinal+?3 AND d.state=0) p ORDER BY p.ordinal", "iii",
                        chunk, (int64_t)before, (int64_t)after);
    store_unlock(s);
    out->v = v;
    for (int i = 0; i < out->n; i++) mind_passage(&out->v[i], MEM_CHUNK);
    return rc == Q_OK && out->n == 0 ? q_fail(err, Q_NOTFOUND, _("this passage is no longer in memory")) : rc;
}

/* What of both numbers conversation `except` holds: the question that is asked is among its messages, and would make every
 * word known. The lock is held. */
static int frequency_in(mem_store *s, const char *word, int64_t except, int64_t *with, int64_t *of, char *err)
{
    int64_t n = 0;
    int rc = Q_OK;
    if (*with > 0) {
        q_buf q = {0};
        quoted(&q, word);
        rc = store_int(s, &n, err, "SELECT count(*) FROM message_fts JOIN message m ON m.id=message_fts.rowid WHERE message_fts MATCH ?1"
                       " AND message_fts.rowid BETWEEN (SELECT min(id) FROM message WHERE conversation=?2)"
                       " AND (SELECT max(id) FROM message WHERE conversation=?2) AND m.conversation=?2", "si", q.p, except);
        q_buf_free(&q);
        if (rc == Q_OK) *with = *with > n ? *with - n : 0;
    }
    if (rc == Q_OK && of) rc = store_int(s, &n, err, "SELECT count(*) FROM message WHERE conversation=? AND indexed=1", "i", except);
    if (rc == Q_OK && of) *of = *of > n ? *of - n : 0;
    return rc;
}

int mem_frequency(mem_store *s, enum mem_kind kind, const char *word, const char *stem, int64_t except, int64_t *with, int64_t *of, char *err)
{
    *with = 0;
    if (of) *of = 0;
    int rc = store_index_ready(s, kind, err);
    for (bool again = rc == Q_OK, mended = false; again; mended = true) {
        store_lock(s);
        rc = store_int(s, with, err, by_kind[kind].with, "s", stem);
        if (rc == Q_OK || rc == Q_NOTFOUND) rc = !of ? Q_OK : store_int(s, of, err, by_kind[kind].of, "");
            if (rc == Q_NOTFOUND) rc = Q_OK;
    if (rc == Q_OK && kind == MEM_CHAT && except) rc = frequency_in(s, word, except, with, of, err);
        again = rc < 0 && !mended && store_index_broken(s);
        store_unlock(s);
        if (again && (rc = store_index_mend(s, kind, err)) != Q_OK) break;
    }
    return rc;
}

void mem_passage_free(mem_passage *p)
{
    if (p) store_free(&passage_table, p);
}

void mem_passages_free(mem_passages *l)
{
    void *v = l->v;
    store_rows_free(&passage_table, &v, &l->n);
    l->v = NULL;
}
