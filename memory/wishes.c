/* memory/wishes: what a person wants of a search, whatever its scores: passages that are always fed in a conversation (pins),
 * and sources that never are (bans). A pin goes with its passage or its conversation, a ban with its source; a file that is
 * taken in again has the ban of the one before it. Any thread. What comes of a wish is rag's. */
#include "memory/store.h"

#include <string.h>

/* ---- pins ---- */
static const store_column pin_columns[] = {
    STORE_READ(mem_pin, kind, ROW_INT, "p.kind"), STORE_READ(mem_pin, ref, ROW_INT64, "p.ref"), STORE_READ(mem_pin, from, ROW_INT64, "p.start"), STORE_READ(mem_pin, n, ROW_INT64, "p.n"),
    STORE_READ(mem_pin, created_ms, ROW_INT64, "p.created"),
    STORE_READ(mem_pin, title, ROW_TEXT, "ifnull(d.title, ifnull(c.title, ''))"),
    STORE_READ(mem_pin, heading, ROW_TEXT, "ifnull(k.heading, '')"),
};
static const store_table pin_table = STORE_TABLE(mem_pin, NULL, pin_columns);

#define PINNED " LEFT JOIN chunk k ON p.kind=0 AND k.id=p.ref LEFT JOIN document d ON d.id=k.document AND d.state=0" \
               " LEFT JOIN message m ON p.kind=1 AND m.id=p.ref LEFT JOIN conversation c ON c.id=m.conversation AND c.state=0"

static const char *const passage_there[] = {
    [MEM_CHUNK] = "SELECT 1 FROM chunk k JOIN document d ON d.id=k.document WHERE k.id=? AND d.state=0",
    [MEM_CHAT] = "SELECT 1 FROM message m JOIN conversation c ON c.id=m.conversation WHERE m.id=? AND c.state=0",
};

int mem_pin_put(mem_store *s, int64_t conversation, const mem_pin *p, char *err)
{
    int64_t one;
    enum mem_kind kind = p->kind == MEM_CHAT ? MEM_CHAT : MEM_CHUNK;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_int(s, &one, err, "SELECT 1 FROM conversation WHERE id=? AND state=0", "i", conversation);
    if (rc == Q_NOTFOUND) rc = q_fail(err, rc, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)conversation);
    else if (rc == Q_OK && (rc = store_int(s, &one, err, passage_there[kind], "i", p->ref)) == Q_NOTFOUND) rc = q_fail(err, rc, _("this passage is no longer in memory"));
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "INSERT OR REPLACE INTO pin(conversation, kind, ref, start, n, created) VALUES(?, ?, ?, ?, ?, ?)", "iiiiii", conversation, (int64_t)kind,
                       p->ref, p->from < 0 ? 0 : p->from, p->n < 0 ? -1 : p->n, q_wall_ms());
    return store_end(s, rc, err);
}

int mem_pin_drop(mem_store *s, int64_t conversation, enum mem_kind kind, int64_t ref, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    return store_end(s, store_run(s, NULL, err, "DELETE FROM pin WHERE conversation=? AND kind=? AND ref=?", "iii", conversation, (int64_t)kind, ref), err);
}

int mem_pin_list(mem_store *s, int64_t conversation, mem_pins *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &pin_table, &v, &out->n, err, "FROM pin p" PINNED " WHERE p.conversation=? AND (d.id IS NOT NULL OR c.id IS NOT NULL)"
                        " ORDER BY p.created, p.kind, p.ref", "i", conversation);
    store_unlock(s);
    out->v = v;
    for (int i = 0; i < out->n; i++) if (out->v[i].kind != MEM_CHAT) out->v[i].kind = MEM_CHUNK;
    return rc;
}

void mem_pins_free(mem_pins *l)
{
    void *v = l->v;
    store_rows_free(&pin_table, &v, &l->n);
    l->v = NULL;
}

/* ---- bans ---- */
static const store_column ban_columns[] = {
    STORE_READ(mem_ban, kind, ROW_INT, "b.kind"), STORE_READ(mem_ban, source, ROW_INT64, "b.source"), STORE_READ(mem_ban, created_ms, ROW_INT64, "b.created"),
    STORE_READ(mem_ban, title, ROW_TEXT, "ifnull(d.title, ifnull(c.title, ''))"),
};
static const store_table ban_table = STORE_TABLE(mem_ban, NULL, ban_columns);

int mem_ban_put(mem_store *s, enum mem_kind kind, int64_t source, bool banned, char *err)
{
    int64_t one;
    kind = kind == MEM_CHAT ? MEM_CHAT : MEM_CHUNK;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    if (!banned) return store_end(s, store_run(s, NULL, err, "DELETE FROM ban WHERE kind=? AND source=?", "ii", (int64_t)kind, source), err);
    rc = store_int(s, &one, err, kind == MEM_CHAT ? "SELECT 1 FROM conversation WHERE id=? AND state=0" : "SELECT 1 FROM document WHERE id=? AND state=0", "i", source);
    if (rc == Q_NOTFOUND) q_fail(err, rc, _("this source is no longer in memory"));
    if (rc == Q_OK) rc = store_run(s, NULL, err, "INSERT OR IGNORE INTO ban(kind, source, created) VALUES(?, ?, ?)", "iii", (int64_t)kind, source, q_wall_ms());
    return store_end(s, rc, err);
}

int mem_ban_list(mem_store *s, mem_bans *out, char *err)
{
    void *v;
    store_lock(s);
    int rc = store_rows(s, &ban_table, &v, &out->n, err, "FROM ban b LEFT JOIN document d ON b.kind=0 AND d.id=b.source AND d.state=0"
                        " LEFT JOIN conversation c ON b.kind=1 AND c.id=b.source AND c.state=0 WHERE d.id IS NOT NULL OR c.id IS NOT NULL"
                        " ORDER BY b.created, b.kind, b.source", "");
    store_unlock(s);
    out->v = v;
    for (int i = 0; i < out->n; i++) if (out->v[i].kind != MEM_CHAT) out->v[i].kind = MEM_CHUNK;
    return rc;
}

void mem_bans_free(mem_bans *l)
{
    void *v = l->v;
    store_rows_free(&ban_table, &v, &l->n);
    l->v = NULL;
}

/* ---- with what they are of; inside somebody's transaction ---- */
int store_wish_passage_gone(mem_store *s, enum mem_kind k, int64_t id, char *err)
{
    return store_run(s, NULL, err, "DELETE FROM pin WHERE kind=? AND ref=?", "ii", (int64_t)k, id);
}

int store_wish_source_gone(mem_store *s, enum mem_kind k, int64_t id, char *err)
{
    return store_run(s, NULL, err, "DELETE FROM ban WHERE kind=? AND source=?", "ii", (int64_t)k, id);
}

int store_wish_moves(mem_store *s, int64_t from, int64_t to, char *err)
{
    return store_run(s, NULL, err, "UPDATE OR IGNORE ban SET source=? WHERE kind=0 AND source=?", "ii", to, from);
}
