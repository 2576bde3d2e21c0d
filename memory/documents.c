/* memory/documents: sources and their chunks, and the questions rag asks of both indexes. Owns nothing beyond
 * the call; any thread. It never reads files and never judges a passage: that is rag's. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS "d.id, d.path, d.title, d.trust, d.sha256, d.mtime, d.added, d.bytes, d.gone, d.device, d.cut, (SELECT count(*) FROM chunk c WHERE c.document=d.id)"

static int no_such(char *err, int64_t id)
{
    return q_fail(err, Q_NOTFOUND, _("there is no document %lld in memory: quorum memory list shows them"), (long long)id);
}

static void read_row(sqlite3_stmt *st, mem_document *d)
{
    *d = (mem_document){
        .id = sqlite3_column_int64(st, 0), .path = store_text(st, 1), .title = store_text(st, 2),
        .trust = (enum mem_trust)sqlite3_column_int(st, 3), .mtime_ms = sqlite3_column_int64(st, 5),
        .added_ms = sqlite3_column_int64(st, 6), .bytes = sqlite3_column_int64(st, 7), .gone_ms = sqlite3_column_int64(st, 8),
        .device = sqlite3_column_int64(st, 9), .cut = sqlite3_column_int(st, 10), .n_chunks = sqlite3_column_int(st, 11),
    };
    const char *sha = (const char *)sqlite3_column_text(st, 4);
    snprintf(d->sha256, sizeof d->sha256, "%s", sha ? sha : "");
}

/* Index entries, logs' words about it, chunks, the row. The transaction is open. */
static int drop(mem_store *s, int64_t id, int *n, char *err)
{
    int rc = store_run(s, NULL, err, "INSERT INTO chunk_fts(chunk_fts, rowid, name, heading, text) SELECT 'delete', id, name, heading, text"
                       " FROM chunk WHERE document=?", "i", id);
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "UPDATE retrieval SET label='', terms='' WHERE kind=?1 AND ref IN"
                       " (SELECT id FROM chunk WHERE document=?2)", "ii", (int64_t)MEM_CHUNK, id);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM chunk WHERE document=?", "i", id);
    if (rc == Q_OK) rc = store_run(s, n, err, "DELETE FROM document WHERE id=?", "i", id);
    return rc;
}

int mem_document_put(mem_store *s, const mem_document *d, const mem_chunk *c, int n, int64_t *id, char *err)
{
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    int64_t old = 0, got = 0;
    rc = store_int(s, &old, err, "SELECT id FROM document WHERE path=?", "s", d->path);
    if (rc == Q_OK) {
        rc = drop(s, old, NULL, err);
        if (rc == Q_OK) rc = store_purge(s, "chunk_fts", err);  /* what the person took out of the file is gone here too */
    } else if (rc == Q_NOTFOUND) {
        rc = Q_OK;
    }
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "INSERT INTO document(path, title, trust, sha256, mtime, added, bytes, device, cut) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       "ssisiiiii", d->path, d->title, (int64_t)d->trust, d->sha256, d->mtime_ms, q_wall_ms(), d->bytes, d->device, (int64_t)d->cut);
    got = sqlite3_last_insert_rowid(s->db);
    const char *name = d->name ? d->name : "";
    for (int i = 0; i < n && rc == Q_OK; i++) {
        rc = store_run(s, NULL, err, "INSERT INTO chunk(document, ordinal, start, name, heading, text) VALUES(?, ?, ?, ?, ?, ?)", "iiisst",
                       got, (int64_t)i, (int64_t)c[i].offset, name, c[i].heading ? c[i].heading : "", c[i].text, c[i].n);
        if (rc == Q_OK)
            rc = store_run(s, NULL, err, "INSERT INTO chunk_fts(rowid, name, heading, text) VALUES(?, ?, ?, ?)", "isst",
                           (int64_t)sqlite3_last_insert_rowid(s->db), name, c[i].heading ? c[i].heading : "", c[i].text, c[i].n);
    }
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

static int one(mem_store *s, sqlite3_stmt *st, mem_document *out, char *err)
{
    int rc = st ? store_step(s, st, err) : Q_IO;
    if (rc == 1) read_row(st, out);
    sqlite3_finalize(st);
    return rc == 1 ? Q_OK : rc == 0 ? Q_NOTFOUND : rc;
}

int mem_document_by_path(mem_store *s, const char *path, mem_document *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    int rc = one(s, store_query(s, err, "SELECT " COLUMNS " FROM document d WHERE d.path=?", "s", path), out, err);
    store_unlock(s);
    return rc == Q_NOTFOUND ? q_fail(err, rc, _("%s is not in memory: quorum memory list shows what is"), path) : rc;
}

int mem_document_get(mem_store *s, int64_t id, mem_document *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    int rc = one(s, store_query(s, err, "SELECT " COLUMNS " FROM document d WHERE d.id=?", "i", id), out, err);
    store_unlock(s);
    return rc == Q_NOTFOUND ? no_such(err, id) : rc;
}

int mem_document_list(mem_store *s, mem_documents *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT " COLUMNS " FROM document d ORDER BY d.title, d.id", "");
    int rc = st ? Q_OK : Q_IO, cap = 0;
    while (st && (rc = store_step(s, st, err)) == 1) {
        if (out->n == cap) out->v = q_realloc(out->v, sizeof *out->v * (size_t)(cap = cap ? cap * 2 : 16));
        read_row(st, &out->v[out->n++]);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    if (rc != Q_OK) mem_documents_free(out);
    return rc;
}

int mem_documents_seen(mem_store *s, const mem_seen *v, int n, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    for (int i = 0; i < n && rc == Q_OK; i++)
        rc = store_run(s, NULL, err, "UPDATE document SET gone=0, mtime=?, device=? WHERE id=?", "iii", v[i].mtime_ms, v[i].device, v[i].document);
    return store_end(s, rc, err);
}

int mem_documents_gone(mem_store *s, const int64_t *id, int n, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    for (int i = 0; i < n && rc == Q_OK; i++)
        rc = store_run(s, NULL, err, "UPDATE document SET gone=? WHERE id=? AND gone=0", "ii", q_wall_ms(), id[i]);
    return store_end(s, rc, err);
}

int mem_document_delete(mem_store *s, int64_t id, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = drop(s, id, &n, err);
    if (rc == Q_OK && n == 0) rc = no_such(err, id);
    if (rc == Q_OK) rc = store_purge(s, "chunk_fts", err);
    return store_end_deletion(s, rc, err);
}

void mem_document_free(mem_document *d)
{
    if (!d) return;
    free(d->path);
    free(d->title);
    memset(d, 0, sizeof *d);
}

void mem_documents_free(mem_documents *l)
{
    for (int i = 0; i < l->n; i++) mem_document_free(&l->v[i]);
    free(l->v);
    memset(l, 0, sizeof *l);
}

/* ---- what rag asks ---- */
#define CHUNK_COLUMNS "c.id, c.document, d.title, c.heading, c.text, d.trust, c.start, d.added, c.ordinal, c.name"
/* role 2 is a model's */
#define CHAT_COLUMNS "m.id, m.conversation, c.title, '', m.text, CASE m.role WHEN 2 THEN 2 ELSE 0 END, 0, m.created, 0, ''"

static const struct { const char *candidates, *one, *with, *of; } by_kind[] = {
    [MEM_CHUNK] = {
        "SELECT " CHUNK_COLUMNS ", -bm25(chunk_fts, 3.0, 3.0, 1.0) AS b"
        " FROM chunk_fts JOIN chunk c ON c.id=chunk_fts.rowid JOIN document d ON d.id=c.document"
        " WHERE chunk_fts MATCH ?1 AND ?2 IS NOT NULL AND d.gone=0 ORDER BY b DESC, c.id LIMIT ?3",
        "SELECT " CHUNK_COLUMNS ", 0.0 FROM chunk c JOIN document d ON d.id=c.document WHERE c.id=?",
        "SELECT doc FROM temp.chunk_words WHERE term=?", "SELECT count(*) FROM chunk"},
    /* a question asked elsewhere holds the words of the answer but not the answer */
    [MEM_CHAT] = {
        "SELECT " CHAT_COLUMNS ", -bm25(message_fts) AS b"
        " FROM message_fts JOIN message m ON m.id=message_fts.rowid JOIN conversation c ON c.id=m.conversation"
        " WHERE message_fts MATCH ?1 AND m.conversation<>?2 AND NOT (m.role=1 AND rtrim(m.text, char(32, 9, 10, 13)) LIKE '%?')"
        " ORDER BY b DESC, m.id DESC LIMIT ?3",
        "SELECT " CHAT_COLUMNS ", 0.0 FROM message m JOIN conversation c ON c.id=m.conversation WHERE m.id=?",
        "SELECT doc FROM temp.message_words WHERE term=?", "SELECT count(*) FROM message WHERE indexed=1"},
};

static void read_passage(sqlite3_stmt *st, enum mem_kind kind, mem_passage *p)
{
    *p = (mem_passage){
        .kind = kind, .id = sqlite3_column_int64(st, 0), .source = sqlite3_column_int64(st, 1), .title = store_text(st, 2),
        .heading = store_text(st, 3), .text = store_text(st, 4), .trust = (enum mem_trust)sqlite3_column_int(st, 5),
        .offset = sqlite3_column_int64(st, 6), .created_ms = sqlite3_column_int64(st, 7), .ordinal = sqlite3_column_int(st, 8),
        .name = store_text(st, 9), .bm25 = sqlite3_column_double(st, 10) > 0 ? sqlite3_column_double(st, 10) : 0};
    if ((int)p->trust < MEM_TRUST_OWN || p->trust > MEM_TRUST_MODEL) p->trust = MEM_TRUST_MODEL;    /* a hostile file */
}

int mem_candidates(mem_store *s, enum mem_kind kind, const char *const *words, int n, int64_t except, int limit,
                   mem_passages *out, char *err)
{
    memset(out, 0, sizeof *out);
    q_buf q = {0};
    for (int i = 0; i < n; i++) {
        q_buf_puts(&q, i ? " OR \"" : "\"");
        for (const char *p = words[i]; *p; p++) {
            if (*p == '"') q_buf_putc(&q, '"');
            q_buf_putc(&q, *p);
        }
        q_buf_putc(&q, '"');
    }
    if (n == 0) return Q_OK;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, by_kind[kind].candidates, "sii", q.p, except, (int64_t)limit);
    int rc = st ? Q_OK : Q_IO;
    while (st && (rc = store_step(s, st, err)) == 1) {
        out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + 1));
        read_passage(st, kind, &out->v[out->n++]);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    q_buf_free(&q);
    if (rc != Q_OK) mem_passages_free(out);
    return rc;
}

int mem_passage_get(mem_store *s, enum mem_kind kind, int64_t id, mem_passage *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, by_kind[kind == MEM_CHAT ? MEM_CHAT : MEM_CHUNK].one, "i", id);
    int rc = st ? store_step(s, st, err) : Q_IO;
    if (rc == 1) read_passage(st, kind, out);
    sqlite3_finalize(st);
    store_unlock(s);
    return rc == 1 ? Q_OK : rc == 0 ? q_fail(err, Q_NOTFOUND, _("this passage is no longer in memory")) : rc;
}

int mem_frequency(mem_store *s, enum mem_kind kind, const char *stem, int64_t *with, int64_t *of, char *err)
{
    *with = *of = 0;
    store_lock(s);
    int rc = store_int(s, with, err, by_kind[kind].with, "s", stem);
    if (rc == Q_OK || rc == Q_NOTFOUND) rc = store_int(s, of, err, by_kind[kind].of, "");
    store_unlock(s);
    return rc;
}

void mem_passage_free(mem_passage *p)
{
    if (!p) return;
    free(p->title);
    free(p->name);
    free(p->heading);
    free(p->text);
    memset(p, 0, sizeof *p);
}

void mem_passages_free(mem_passages *l)
{
    for (int i = 0; i < l->n; i++) mem_passage_free(&l->v[i]);
    free(l->v);
    memset(l, 0, sizeof *l);
}
