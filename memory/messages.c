/* memory/messages: messages as a tree, replies while they grow, and /find. Owns nothing beyond the call;
 * any thread. It never changes a message that is finished.
 *
 * A parent's id is always smaller than its child's, so walks up and down the tree end even in a hostile file. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS \
    "m.id, m.conversation, coalesce(m.parent, 0), m.role, m.status, m.created, m.updated, m.text, m.thinking, m.model," \
    " m.model_id, m.finish, m.prompt_tokens, m.cached_tokens, m.tokens, m.prefill_s, m.decode_s," \
    " (SELECT count(*) FROM message x WHERE x.conversation=m.conversation AND x.parent IS m.parent AND x.id<=m.id)," \
    " (SELECT count(*) FROM message x WHERE x.conversation=m.conversation AND x.parent IS m.parent)," \
    " EXISTS (SELECT 1 FROM message_trace t WHERE t.message=m.id)," \
    " (SELECT count(*) FROM retrieval r WHERE r.message=m.id)"

static int no_such(char *err, int64_t id)
{
    return q_fail(err, Q_NOTFOUND, _("there is no message %lld here: it may have been deleted elsewhere"), (long long)id);
}

static int read_configs(mem_store *s, mem_message *m, char *err)
{
    sqlite3_stmt *st = store_query(s, err, "SELECT from_token, hash, json, label FROM message_config WHERE message=? ORDER BY from_token", "i", m->id);
    int rc = st ? Q_OK : Q_IO;
    while (st && (rc = store_step(s, st, err)) == 1) {
        m->config = q_realloc(m->config, sizeof *m->config * (size_t)(m->n_config + 1));
        m->config[m->n_config++] = (mem_message_config){
            .from = sqlite3_column_int(st, 0), .hash = (uint64_t)sqlite3_column_int64(st, 1),
            .json = store_text(st, 2), .label = store_text(st, 3),
        };
    }
    sqlite3_finalize(st);
    return rc;
}

static void read_row(sqlite3_stmt *st, mem_message *m)
{
    *m = (mem_message){
        .id = sqlite3_column_int64(st, 0), .conversation = sqlite3_column_int64(st, 1), .parent = sqlite3_column_int64(st, 2),
        .role = (enum mem_role)sqlite3_column_int(st, 3), .status = (enum mem_status)sqlite3_column_int(st, 4),
        .created_ms = sqlite3_column_int64(st, 5), .updated_ms = sqlite3_column_int64(st, 6),
        .text = store_text(st, 7), .thinking = store_text(st, 8), .model = store_text(st, 9),
        .model_id = (uint64_t)sqlite3_column_int64(st, 10), .finish = store_text(st, 11),
        .stats = {.prompt_tokens = sqlite3_column_int(st, 12), .cached_tokens = sqlite3_column_int(st, 13),
                  .tokens = sqlite3_column_int(st, 14), .prefill_s = sqlite3_column_double(st, 15),
                  .decode_s = sqlite3_column_double(st, 16)},
        .sibling = sqlite3_column_int(st, 17), .siblings = sqlite3_column_int(st, 18),
        .has_trace = sqlite3_column_int(st, 19) != 0, .n_log = sqlite3_column_int(st, 20),
    };
    /* a hostile file may hold any number here */
    if ((int)m->role < MEM_SYSTEM || m->role > MEM_TOOL) m->role = MEM_TOOL;
    if ((int)m->status < MEM_PARTIAL || m->status > MEM_FAILED) m->status = MEM_FAILED;
}

/* Rows of st into out; finalises st. The lock is held. */
static int read_all(mem_store *s, sqlite3_stmt *st, mem_messages *out, char *err)
{
    int rc = st ? Q_OK : Q_IO, cap = 0;
    while (st && (rc = store_step(s, st, err)) == 1) {
        if (out->n == cap) out->v = q_realloc(out->v, sizeof *out->v * (size_t)(cap = cap ? cap * 2 : 16));
        read_row(st, &out->v[out->n++]);
    }
    sqlite3_finalize(st);
    for (int i = 0; i < out->n && rc == Q_OK; i++) rc = read_configs(s, &out->v[i], err);
    if (rc != Q_OK) mem_messages_free(out);
    return rc;
}

int store_index_message(mem_store *s, int64_t id, char *err)
{
    int n = 0;
    int rc = store_run(s, &n, err, "UPDATE message SET indexed=1 WHERE id=? AND indexed=0 AND role IN (1, 2) AND text<>''", "i", id);
    if (rc == Q_OK && n) rc = store_run(s, NULL, err, "INSERT INTO message_fts(rowid, text) SELECT id, text FROM message WHERE id=?", "i", id);
    return rc;
}

int store_unindex_message(mem_store *s, int64_t id, char *err)
{
    int n = 0;
    int rc = store_run(s, NULL, err, "INSERT INTO message_fts(message_fts, rowid, text) SELECT 'delete', id, text"
                       " FROM message WHERE id=? AND indexed=1", "i", id);
    if (rc == Q_OK) rc = store_run(s, &n, err, "UPDATE message SET indexed=0 WHERE id=? AND indexed=1", "i", id);
    return rc;
}

/* A parent must be of the same conversation; 0 needs the conversation alone. */
static int check_parent(mem_store *s, int64_t conversation, int64_t parent, char *err)
{
    int64_t one;
    int rc = store_int(s, &one, err, "SELECT 1 FROM conversation WHERE id=?", "i", conversation);
    if (rc == Q_NOTFOUND)
        return q_fail(err, rc, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)conversation);
    if (rc != Q_OK || parent == 0) return rc;
    rc = store_int(s, &one, err, "SELECT 1 FROM message WHERE id=? AND conversation=?", "ii", parent, conversation);
    return rc == Q_NOTFOUND ? no_such(err, parent) : rc;
}

static int set_leaf(mem_store *s, int64_t conversation, int64_t leaf, char *err)
{
    return store_run(s, NULL, err, "UPDATE conversation SET leaf=? WHERE id=?", "ii", leaf, conversation);
}

int mem_message_add(mem_store *s, int64_t conversation, int64_t parent, enum mem_role role,
                    const char *text, size_t n, int64_t *id, char *err)
{
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    int64_t got = 0, now = q_wall_ms();
    rc = check_parent(s, conversation, parent, err);
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "INSERT INTO message(conversation, parent, role, status, created, updated, text)"
                       " VALUES(?, nullif(?, 0), ?, ?, ?, ?, ?)", "iiiiiit", conversation, parent, (int64_t)role, (int64_t)MEM_DONE, now, now, text, n);
    if (rc == Q_OK) {
        got = sqlite3_last_insert_rowid(s->db);
        rc = store_index_message(s, got, err);
    }
    if (rc == Q_OK) rc = set_leaf(s, conversation, got, err);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

static int put_config(mem_store *s, int64_t id, int from, uint64_t hash, const char *json, const char *label, char *err)
{
    return store_run(s, NULL, err, "INSERT OR REPLACE INTO message_config VALUES(?, ?, ?, ?, ?)", "iiiss",
                     id, (int64_t)from, (int64_t)hash, json ? json : "", label ? label : "");
}

int mem_reply_begin(mem_store *s, int64_t conversation, int64_t parent, const char *model, uint64_t model_id,
                    uint64_t config, const char *json, const char *label, int64_t *id, char *err)
{
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    int64_t got = 0, now = q_wall_ms();
    rc = check_parent(s, conversation, parent, err);
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "INSERT INTO message(conversation, parent, role, status, created, updated, model, model_id, owner)"
                       " VALUES(?, nullif(?, 0), ?, ?, ?, ?, ?, ?, ?)", "iiiiiisis", conversation, parent, (int64_t)MEM_ASSISTANT,
                       (int64_t)MEM_PARTIAL, now, now, model ? model : "", (int64_t)model_id, s->owner);
    if (rc == Q_OK) {
        got = sqlite3_last_insert_rowid(s->db);
        rc = put_config(s, got, 0, config, json, label, err);
    }
    if (rc == Q_OK) rc = set_leaf(s, conversation, got, err);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

static int check_mine(mem_store *s, int64_t id, char *err)
{
    int64_t one;
    int rc = store_int(s, &one, err, "SELECT 1 FROM message WHERE id=? AND owner=?", "is", id, s->owner);
    return rc == Q_NOTFOUND ? q_fail(err, rc, _("reply %lld is not being written here: it has ended or was deleted"), (long long)id) : rc;
}

int mem_reply_config(mem_store *s, int64_t id, int from, uint64_t hash, const char *json, const char *label, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = check_mine(s, id, err);
    if (rc == Q_OK) rc = put_config(s, id, from, hash, json, label, err);
    return store_end(s, rc, err);
}

int mem_reply_save(mem_store *s, int64_t id, const char *text, size_t n, const char *thinking, size_t n_thinking, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = check_mine(s, id, err);
    if (rc == Q_OK) rc = store_unindex_message(s, id, err);
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "UPDATE message SET text=?, thinking=?, updated=?, status=? WHERE id=?", "ttiii", text, n,
                       thinking, n_thinking, q_wall_ms(), (int64_t)MEM_PARTIAL, id);
    return store_end(s, rc, err);
}

int mem_reply_end(mem_store *s, int64_t id, enum mem_status status, const char *finish, const char *text, size_t n,
                  const char *thinking, size_t n_thinking, const mem_stats *stats, const mem_trace *trace, char *err)
{
    static const mem_stats none;
    const mem_stats *x = stats ? stats : &none;
    unsigned char *blob = NULL;
    size_t n_blob = 0;
    int rc = trace && trace->n ? store_trace_pack(trace, &blob, &n_blob) : Q_OK;
    if (rc != Q_OK) return q_fail(err, rc, _("not enough memory to keep the routing of this reply"));
    rc = store_begin(s, err);
    if (rc != Q_OK) {
        free(blob);
        return rc;
    }
    rc = check_mine(s, id, err);
    if (rc == Q_OK) rc = store_unindex_message(s, id, err);
    if (rc == Q_OK)
        rc = store_run(s, NULL, err, "UPDATE message SET text=?, thinking=?, updated=?, status=?, finish=?, prompt_tokens=?, cached_tokens=?,"
                       " tokens=?, prefill_s=?, decode_s=?, owner='' WHERE id=?", "ttiisiiiddi", text, n, thinking, n_thinking, q_wall_ms(),
                       (int64_t)status, finish ? finish : "", (int64_t)x->prompt_tokens, (int64_t)x->cached_tokens,
                       (int64_t)x->tokens, x->prefill_s, x->decode_s, id);
    if (rc == Q_OK) rc = store_index_message(s, id, err);
    if (rc == Q_OK && blob) rc = store_run(s, NULL, err, "INSERT OR REPLACE INTO message_trace VALUES(?, ?)", "ib", id, blob, n_blob);
    free(blob);
    return store_end(s, rc, err);
}

int store_recover_replies(mem_store *s, char *err)
{
    static const char ask[] = "SELECT id FROM message WHERE status=0 AND NOT owner_alive(owner)";
    int64_t id;
    int rc = store_int(s, &id, err, ask, "");
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;    /* the common case takes no write lock */
    rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    while ((rc = store_int(s, &id, err, ask, "")) == Q_OK) {
        rc = store_run(s, NULL, err, "UPDATE message SET status=?, finish='interrupted' WHERE id=?", "ii", (int64_t)MEM_STOPPED, id);
        if (rc == Q_OK) rc = store_index_message(s, id, err);
        if (rc != Q_OK) break;
    }
    return store_end(s, rc == Q_NOTFOUND ? Q_OK : rc, err);
}

int mem_message_get(mem_store *s, int64_t id, mem_message *out, char *err)
{
    memset(out, 0, sizeof *out);
    mem_messages l = {0};
    store_lock(s);
    int rc = read_all(s, store_query(s, err, "SELECT " COLUMNS " FROM message m WHERE m.id=?", "i", id), &l, err);
    store_unlock(s);
    if (rc == Q_OK && l.n == 0) rc = no_such(err, id);
    if (rc == Q_OK) *out = l.v[0];
    free(l.v);
    return rc;
}

int mem_branch(mem_store *s, int64_t conversation, int64_t leaf, mem_messages *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    int rc = Q_OK;
    if (leaf == 0) rc = store_int(s, &leaf, err, "SELECT leaf FROM conversation WHERE id=?", "i", conversation);
    if (rc == Q_NOTFOUND)
        q_fail(err, rc, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)conversation);
    if (rc == Q_OK && leaf)
        rc = read_all(s, store_query(s, err,
            "WITH RECURSIVE up(id, parent) AS (SELECT id, parent FROM message WHERE id=?1 AND conversation=?2"
            " UNION ALL SELECT p.id, p.parent FROM message p JOIN up ON p.id=up.parent AND p.id<up.id)"
            " SELECT " COLUMNS " FROM up JOIN message m ON m.id=up.id ORDER BY m.id", "ii", leaf, conversation), out, err);
    store_unlock(s);
    return rc == Q_OK && leaf && out->n == 0 ? no_such(err, leaf) : rc;
}

int mem_siblings(mem_store *s, int64_t id, mem_messages *out, char *err)
{
    memset(out, 0, sizeof *out);
    store_lock(s);
    int rc = read_all(s, store_query(s, err, "SELECT " COLUMNS " FROM message o JOIN message m ON m.conversation=o.conversation"
                                     " AND m.parent IS o.parent WHERE o.id=? ORDER BY m.id", "i", id), out, err);
    store_unlock(s);
    return rc == Q_OK && out->n == 0 ? no_such(err, id) : rc;
}

int mem_leaf_below(mem_store *s, int64_t id, int64_t *leaf, char *err)
{
    *leaf = 0;
    store_lock(s);
    /* the newest of a subtree has no children: they would be newer */
    int rc = store_int(s, leaf, err, "WITH RECURSIVE down(id) AS (SELECT id FROM message WHERE id=?"
                       " UNION ALL SELECT c.id FROM message c JOIN down ON c.parent=down.id AND c.id>down.id)"
                       " SELECT max(id) FROM down", "i", id);
    store_unlock(s);
    return rc == Q_OK && *leaf == 0 ? no_such(err, id) : rc;
}

void mem_message_free(mem_message *m)
{
    if (!m) return;
    free(m->text);
    free(m->thinking);
    free(m->model);
    free(m->finish);
    for (int i = 0; i < m->n_config; i++) {
        free(m->config[i].json);
        free(m->config[i].label);
    }
    free(m->config);
    memset(m, 0, sizeof *m);
}

void mem_messages_free(mem_messages *l)
{
    for (int i = 0; i < l->n; i++) mem_message_free(&l->v[i]);
    free(l->v);
    memset(l, 0, sizeof *l);
}

/* ---- /find ---- */
struct ask { q_buf q; size_t end; int n; };

/* Every word of the request, quoted: nothing a person types is FTS5 syntax. */
static bool ask_word(void *user, const mem_word *w)
{
    struct ask *a = user;
    if (w->flags & MEM_WORD_SAME) return true;
    if (a->n >= 32) return false;
    q_buf_printf(&a->q, "%s\"%s\"", a->n++ ? " AND " : "", w->word);
    a->end = w->end;
    return true;
}

int mem_find(mem_store *s, const char *words, int limit, mem_hits *out, char *err)
{
    memset(out, 0, sizeof *out);
    struct ask a = {0};
    size_t n = strlen(words);
    mem_words(words, n, ask_word, &a);
    if (a.n == 0) {
        q_buf_free(&a.q);
        return Q_OK;
    }
    /* the word still being typed also matches what it begins; its own stem too ("running" finds "ran by runs") */
    if (a.end == n) {
        char *last = strrchr(a.q.p, ' ');
        char *w = q_strdup(last ? last + 1 : a.q.p);
        a.q.len = last ? (size_t)(last + 1 - a.q.p) : 0;
        q_buf_printf(&a.q, "(%s OR %s*)", w, w);
        free(w);
    }
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT m.id, m.conversation, m.created, m.role, c.title,"
        " snippet(message_fts, 0, char(1), char(2), '…', 16) FROM message_fts JOIN message m ON m.id=message_fts.rowid"
        " JOIN conversation c ON c.id=m.conversation WHERE message_fts MATCH ? ORDER BY message_fts.rowid DESC LIMIT ?", "si",
        a.q.p, (int64_t)(limit > 0 ? limit : 50));
    int rc = st ? Q_OK : Q_IO;
    while (st && (rc = store_step(s, st, err)) == 1) {
        out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + 1));
        mem_hit *h = &out->v[out->n++];
        *h = (mem_hit){.message = sqlite3_column_int64(st, 0), .conversation = sqlite3_column_int64(st, 1),
                       .created_ms = sqlite3_column_int64(st, 2), .role = (enum mem_role)sqlite3_column_int(st, 3),
                       .title = store_text(st, 4), .snippet = store_text(st, 5)};
        for (char *p = h->snippet; *p; p++)
            if (*p == '\n' || *p == '\t' || *p == '\r') *p = ' ';
    }
    sqlite3_finalize(st);
    store_unlock(s);
    q_buf_free(&a.q);
    if (rc != Q_OK) mem_hits_free(out);
    return rc;
}

void mem_hits_free(mem_hits *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->v[i].title);
        free(l->v[i].snippet);
    }
    free(l->v);
    memset(l, 0, sizeof *l);
}
