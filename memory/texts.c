/* memory/texts: all that is kept, text by text, and its sizes, for whoever draws a map of it. In steps; any thread. It changes
 * nothing and never judges. */
#include "memory/store.h"

#include <string.h>

enum { STEP_ROWS = 256 };

static const char *const texts[] = {
    [MEM_CHUNK] = "SELECT c.id, c.document, d.trust, d.added, c.ordinal, c.text, d.path FROM chunk c JOIN document d ON d.id=c.document"
                  " WHERE c.id>? AND d.state=0 ORDER BY c.id LIMIT ?",
    /* role 2 is a model's; what is hidden is not indexed */
    [MEM_CHAT] = "SELECT m.id, m.conversation, CASE m.role WHEN 2 THEN 2 ELSE 0 END, m.created, 0, m.text, '' FROM message m JOIN conversation c ON c.id=m.conversation"
                 " WHERE m.id>? AND m.indexed=1 AND c.state=0 ORDER BY m.id LIMIT ?",
};

static int some(mem_store *s, enum mem_kind k, int64_t *after, int *rows, bool (*fn)(void *user, const mem_text *), void *user, char *err)
{
    *rows = 0;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, texts[k], "ii", *after, (int64_t)STEP_ROWS);
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        const char *text = (const char *)sqlite3_column_text(st, 5), *path = (const char *)sqlite3_column_text(st, 6);
        mem_text t = {.kind = k, .id = sqlite3_column_int64(st, 0), .source = sqlite3_column_int64(st, 1), .created_ms = sqlite3_column_int64(st, 3),
                      .first = sqlite3_column_int64(st, 4) == 0, .text = text ? text : "", .n = text ? (size_t)sqlite3_column_bytes(st, 5) : 0, .path = path ? path : ""};
        int64_t trust = sqlite3_column_int64(st, 2);
        t.trust = trust < MEM_TRUST_OWN || trust >= MEM_TRUSTS ? MEM_TRUST_STRANGER : (enum mem_trust)trust;
        *after = t.id;
        ++*rows;
        if (!fn(user, &t)) rc = q_fail(err, Q_CANCEL, _("stopped"));
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc < 0 ? rc : Q_OK;
}

int mem_texts_each(mem_store *s, enum mem_kind k, bool (*fn)(void *user, const mem_text *), void *user, char *err)
{
    int64_t after = 0;
    int rc = Q_OK, rows = STEP_ROWS;
    while (rc == Q_OK && rows == STEP_ROWS) {
        rc = some(s, k, &after, &rows, fn, user, err);
        if (rc == Q_OK && rows == STEP_ROWS) store_breathe(s);
    }
    return rc;
}

int mem_sizes_get(mem_store *s, mem_sizes *out, char *err)
{
    const struct { int64_t *to; const char *sql; } row[] = {
        {&out->documents[MEM_TRUST_OWN], "SELECT count(*) FROM document WHERE state=0 AND trust=0"},
        {&out->documents[MEM_TRUST_MANUAL], "SELECT count(*) FROM document WHERE state=0 AND trust=1"},
        {&out->documents[MEM_TRUST_MODEL], "SELECT count(*) FROM document WHERE state=0 AND trust=2"},
        {&out->documents[MEM_TRUST_STRANGER], "SELECT count(*) FROM document WHERE state=0 AND trust NOT BETWEEN 0 AND 2"},
        {&out->gone, "SELECT count(*) FROM document WHERE state=0 AND gone<>0"},
        {&out->conversations, "SELECT count(*) FROM conversation WHERE state=0"},
        {&out->imported, "SELECT count(DISTINCT i.conversation) FROM import i JOIN conversation c ON c.id=i.conversation AND c.state=0"},
        {&out->pins, "SELECT count(*) FROM pin"},
        {&out->bans, "SELECT count(*) FROM ban"},
        {&out->file, "SELECT (SELECT * FROM pragma_page_count) * (SELECT * FROM pragma_page_size)"},
        {&out->free, "SELECT (SELECT * FROM pragma_freelist_count) * (SELECT * FROM pragma_page_size)"},
    };
    int rc = Q_OK;
    memset(out, 0, sizeof *out);
    store_lock(s);
    for (size_t i = 0; i < sizeof row / sizeof *row && rc == Q_OK; i++) rc = store_int(s, row[i].to, err, row[i].sql, "");
    store_unlock(s);
    return rc;
}
