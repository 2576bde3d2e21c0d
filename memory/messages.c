/* memory/messages: messages as a tree, replies while they grow, and /find. Owns nothing beyond the call;
 * any thread. It never changes a message that is finished.
 *
 * A parent's id is always smaller than its child's, so walks up and down the tree end even in a hostile file. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

static const store_column columns[] = {
    STORE_READ(mem_message, id, ROW_INT64, "m.id"),
    STORE_COLUMN(mem_message, conversation, ROW_INT64, "conversation", "m.conversation"),
    STORE_COLUMN(mem_message, parent, ROW_REF, "parent", "m.parent"),
    STORE_COLUMN(mem_message, role, ROW_INT, "role", "m.role"),
    STORE_COLUMN(mem_message, status, ROW_INT, "status", "m.status"),
    STORE_COLUMN(mem_message, created_ms, ROW_INT64, "created", "m.created"),
    STORE_COLUMN(mem_message, updated_ms, ROW_INT64, "updated", "m.updated"),
    STORE_READ(mem_message, text, ROW_TEXT, "m.text"),
    STORE_COLUMN(mem_message, thinking, ROW_TEXT, "thinking", "m.thinking"),
    STORE_COLUMN(mem_message, model, ROW_TEXT, "model", "m.model"),
    STORE_COLUMN(mem_message, model_id, ROW_INT64, "model_id", "m.model_id"),
    STORE_COLUMN(mem_message, finish, ROW_TEXT, "finish", "m.finish"),
    STORE_COLUMN(mem_message, stats.prompt_tokens, ROW_INT, "prompt_tokens", "m.prompt_tokens"),
    STORE_COLUMN(mem_message, stats.cached_tokens, ROW_INT, "cached_tokens", "m.cached_tokens"),
    STORE_COLUMN(mem_message, stats.tokens, ROW_INT, "tokens", "m.tokens"),
    STORE_COLUMN(mem_message, stats.prefill_s, ROW_DOUBLE, "prefill_s", "m.prefill_s"),
    STORE_COLUMN(mem_message, stats.decode_s, ROW_DOUBLE, "decode_s", "m.decode_s"),
    STORE_READ(mem_message, sibling, ROW_INT,
               "(SELECT count(*) FROM message x WHERE x.conversation=m.conversation AND x.parent IS m.parent AND x.hidden=0 AND x.id<=m.id)"),
    STORE_READ(mem_message, siblings, ROW_INT, "(SELECT count(*) FROM message x WHERE x.conversation=m.conversation AND x.parent IS m.parent AND x.hidden=0)"),
    STORE_READ(mem_message, has_trace, ROW_BOOL, "EXISTS (SELECT 1 FROM message_trace t WHERE t.message=m.id)"),
    STORE_READ(mem_message, n_log, ROW_INT, "(SELECT count(*) FROM retrieval r WHERE r.message=m.id)"),
};
static const store_table table = STORE_TABLE(mem_message, "message", columns);

static const store_column config_columns[] = {
    STORE_COLUMN(mem_message_config, from, ROW_INT, "from_token", NULL),
    STORE_COLUMN(mem_message_config, hash, ROW_INT64, "hash", NULL),
    STORE_COLUMN(mem_message_config, json, ROW_TEXT, "json", NULL),
    STORE_COLUMN(mem_message_config, label, ROW_TEXT, "label", NULL),
    STORE_COLUMN(mem_message_config, at, ROW_INT64, "at_byte", NULL),
    STORE_COLUMN(mem_message_config, mark, ROW_TEXT, "mark", NULL),
};
static const store_table config_table = STORE_TABLE(mem_message_config, "message_config", config_columns);

struct put { int64_t message; mem_message_config c; };
static const store_column put_columns[] = {
    STORE_COLUMN(struct put, message, ROW_INT64, "message", NULL),
    STORE_COLUMN(struct put, c.from, ROW_INT, "from_token", NULL),
    STORE_COLUMN(struct put, c.hash, ROW_INT64, "hash", NULL),
    STORE_COLUMN(struct put, c.json, ROW_TEXT, "json", NULL),
    STORE_COLUMN(struct put, c.label, ROW_TEXT, "label", NULL),
    STORE_COLUMN(struct put, c.at, ROW_INT64, "at_byte", NULL),
    STORE_COLUMN(struct put, c.mark, ROW_TEXT, "mark", NULL),
};
static const store_table put_table = {.name = "message_config", .column = put_columns, .n = sizeof put_columns / sizeof *put_columns, .size = sizeof(struct put), .replaces = true};

static const store_column hit_columns[] = {
    STORE_READ(mem_hit, message, ROW_INT64, "m.id"),
    STORE_READ(mem_hit, conversation, ROW_INT64, "m.conversation"),
    STORE_READ(mem_hit, created_ms, ROW_INT64, "m.created"),
    STORE_READ(mem_hit, role, ROW_INT, "m.role"),
    STORE_READ(mem_hit, title, ROW_TEXT, "c.title"),
    STORE_READ(mem_hit, snippet, ROW_TEXT, "snippet(message_fts, 0, char(1), char(2), '…', 16)"),
};
static const store_table hit_table = STORE_TABLE(mem_hit, NULL, hit_columns);

static int no_such(char *err, int64_t id)
{
    return q_fail(err, Q_NOTFOUND, _("there is no message %lld here: it may have been deleted elsewhere"), (long long)id);
}

static int read_configs(mem_store *s, mem_message *m, char *err)
{
    void *v;
    int rc = store_rows(s, &config_table, &v, &m->n_config, err, "FROM message_config WHERE message=? ORDER BY from_token", "i", m->id);
    m->config = v;
    return rc;
}

/* Rows into out. rest: what stands behind SELECT's columns, with two ids. The lock is held. */
static int read_all(mem_store *s, mem_messages *out, char *err, const char *rest, int64_t a, int64_t b)
{
    void *v;
    int rc = store_rows(s, &table, &v, &out->n, err, rest, "ii", a, b);
    out->v = v;
    for (int i = 0; i < out->n && rc == Q_OK; i++) {
        mem_message *m = &out->v[i];
        /* a hostile file may hold any number here */
        if ((int)m->role < MEM_SYSTEM || m->role > MEM_TOOL) m->role = MEM_TOOL;
        if ((int)m->status < MEM_PARTIAL || m->status > MEM_FAILED) m->status = MEM_FAILED;
        rc = read_configs(s, m, err);
    }
    if (rc != Q_OK) mem_messages_free(out);
    return rc;
}

int store_index_message(mem_store *s, int64_t id, char *err)
{
    int n = 0;
    int rc = store_run(s, &n, err, "UPDATE message SET indexed=1 WHERE id=? AND indexed=0 AND role IN (1, 2) AND text<>''", "i", id);
    return rc == Q_OK && n ? store_index_put(s, MEM_CHAT, id, err) : rc;
}

int store_unindex_message(mem_store *s, int64_t id, char *err)
{
    int rc = store_index_drop(s, MEM_CHAT, id, err);
    return rc == Q_OK ? store_run(s, NULL, err, "UPDATE message SET indexed=0 WHERE id=? AND indexed=1", "i", id) : rc;
}

/* A parent must be of the same conversation; 0 needs the conversation alone. */
static int check_parent(mem_store *s, int64_t conversation, int64_t parent, char *err)
{
    int64_t one;
    int rc = store_int(s, &one, err, "SELECT 1 FROM conversation WHERE id=? AND state=0", "i", conversation);
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
    mem_message m = {.conversation = conversation, .parent = parent, .role = role, .status = MEM_DONE, .created_ms = now, .updated_ms = now};
    if (rc == Q_OK) rc = store_insert(s, &table, &m, &got, err);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE message SET text=? WHERE id=?", "ti", text, n, got);
    if (rc == Q_OK) rc = store_index_message(s, got, err);
    if (rc == Q_OK) rc = set_leaf(s, conversation, got, err);
    rc = store_end(s, rc, err);
    if (rc == Q_OK) *id = got;
    return rc;
}

static int put_config(mem_store *s, int64_t id, const mem_message_config *c, char *err)
{
    struct put x = {.message = id, .c = *c};
    return store_insert(s, &put_table, &x, NULL, err);
}

int mem_reply_begin(mem_store *s, int64_t conversation, int64_t parent, const char *model, uint64_t model_id,
                    uint64_t config, const char *json, const char *label, int64_t *id, char *err)
{
    *id = 0;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    int64_t got = 0, now = q_wall_ms();
    mem_message_config first = {.hash = config, .json = (char *)(uintptr_t)json, .label = (char *)(uintptr_t)label, .mark = (char[]){""}};
    rc = check_parent(s, conversation, parent, err);
    mem_message m = {.conversation = conversation, .parent = parent, .role = MEM_ASSISTANT, .status = MEM_PARTIAL, .created_ms = now,
                     .updated_ms = now, .model = (char *)model, .model_id = model_id};
    if (rc == Q_OK) rc = store_insert(s, &table, &m, &got, err);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE message SET owner=? WHERE id=?", "si", s->owner, got);
    if (rc == Q_OK) rc = put_config(s, got, &first, err);
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

int mem_reply_config(mem_store *s, int64_t id, const mem_message_config *c, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = check_mine(s, id, err);
    if (rc == Q_OK) rc = put_config(s, id, c, err);
    return store_end(s, rc, err);
}

int mem_reply_elder(mem_store *s, int64_t id, int64_t elder, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = check_mine(s, id, err);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE message SET elder=? WHERE id=?", "ii", elder, id);
    return store_end(s, rc, err);
}

/* What changes in a reply while it grows (the first SAVED columns), and when it ends. */
struct reply { store_span text, thinking; int64_t updated; enum mem_status status; char *finish, *owner; mem_stats stats; };
static const store_column reply_columns[] = {
    STORE_COLUMN(struct reply, text, ROW_SPAN, "text", NULL),
    STORE_COLUMN(struct reply, thinking, ROW_SPAN, "thinking", NULL),
    STORE_COLUMN(struct reply, updated, ROW_INT64, "updated", NULL),
    STORE_COLUMN(struct reply, status, ROW_INT, "status", NULL),
    STORE_COLUMN(struct reply, finish, ROW_TEXT, "finish", NULL),
    STORE_COLUMN(struct reply, owner, ROW_TEXT, "owner", NULL),
    STORE_COLUMN(struct reply, stats.prompt_tokens, ROW_INT, "prompt_tokens", NULL),
    STORE_COLUMN(struct reply, stats.cached_tokens, ROW_INT, "cached_tokens", NULL),
    STORE_COLUMN(struct reply, stats.tokens, ROW_INT, "tokens", NULL),
    STORE_COLUMN(struct reply, stats.prefill_s, ROW_DOUBLE, "prefill_s", NULL),
    STORE_COLUMN(struct reply, stats.decode_s, ROW_DOUBLE, "decode_s", NULL),
};
enum { SAVED = 4 };
static const store_table reply_ended = STORE_TABLE(struct reply, "message", reply_columns);
static const store_table reply_saved = {.name = "message", .column = reply_columns, .n = SAVED, .size = sizeof(struct reply)};

int mem_reply_save(mem_store *s, int64_t id, const char *text, size_t n, const char *thinking, size_t n_thinking, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = check_mine(s, id, err);
    if (rc == Q_OK) rc = store_unindex_message(s, id, err);
    struct reply r = {.text = {text, n}, .thinking = {thinking, n_thinking}, .updated = q_wall_ms(), .status = MEM_PARTIAL};
    if (rc == Q_OK) rc = store_update(s, &reply_saved, &r, id, err);
    return store_end(s, rc, err);
}

int mem_reply_end(mem_store *s, int64_t id, enum mem_status status, const char *finish, const char *text, size_t n,
                  const char *thinking, size_t n_thinking, const mem_stats *stats, const mem_trace *trace, char *err)
{
    unsigned char *blob = NULL;
    size_t n_blob = 0;
    int rc = trace && trace->n ? store_trace_pack(trace, &blob, &n_blob) : Q_OK;
    if (rc == Q_RANGE) return q_fail(err, rc, _("the routing of this reply is larger than 256 MiB"));
    if (rc != Q_OK) return q_fail(err, rc, _("not enough memory to keep the routing of this reply"));
    rc = store_begin(s, err);
    if (rc != Q_OK) {
        free(blob);
        return rc;
    }
    rc = check_mine(s, id, err);
    if (rc == Q_OK) rc = store_unindex_message(s, id, err);
    struct reply r = {.text = {text, n}, .thinking = {thinking, n_thinking}, .updated = q_wall_ms(), .status = status,
                      .finish = (char *)(finish ? finish : ""), .owner = (char *)"", .stats = stats ? *stats : (mem_stats){0}};
    if (rc == Q_OK) rc = store_update(s, &reply_ended, &r, id, err);
    if (rc == Q_OK) rc = store_index_message(s, id, err);
    if (rc == Q_OK && blob) rc = store_run(s, NULL, err, "INSERT OR REPLACE INTO message_trace(message, data) VALUES(?, ?)", "ib", id, blob, n_blob);
    free(blob);
    return store_end(s, rc, err);
}

int store_recover_replies(mem_store *s, char *err)
{
    static const char ask[] = "SELECT id FROM message INDEXED BY message_coming WHERE id>? AND status=0 AND NOT owner_alive(owner) ORDER BY id LIMIT 1";
    int64_t id = 0;
    store_lock(s);
    int rc = store_int(s, &id, err, ask, "i", id);
    store_unlock(s);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;    /* the common case takes no write lock */
    if ((rc = store_begin(s, err)) != Q_OK) return rc;
    for (id = 0; (rc = store_int(s, &id, err, ask, "i", id)) == Q_OK;) {
        int n = 0;
        rc = store_run(s, &n, err, "UPDATE message SET status=?, finish='interrupted' WHERE id=? AND status=0", "ii", (int64_t)MEM_STOPPED, id);
        if (rc == Q_OK && n != 1) rc = store_tampered(s, err);
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
    int rc = read_all(s, &l, err, "FROM message m WHERE m.id=?1 AND ?2=0", id, 0);
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
    if (leaf == 0) rc = store_int(s, &leaf, err, "SELECT leaf FROM conversation WHERE id=? AND state=0", "i", conversation);
    if (rc == Q_NOTFOUND)
        q_fail(err, rc, _("there is no conversation %lld: it may have been deleted elsewhere"), (long long)conversation);
    if (rc == Q_OK && leaf)
        rc = read_all(s, out, err, "FROM (WITH RECURSIVE up(id, parent) AS (SELECT id, parent FROM message WHERE id=?1 AND conversation=?2"
                      " UNION ALL SELECT p.id, p.parent FROM message p JOIN up ON p.id=up.parent AND p.id<up.id) SELECT id FROM up) u"
                      " JOIN message m ON m.id=u.id ORDER BY m.id", leaf, conversation);
    store_unlock(s);
    return rc == Q_OK && leaf && out->n == 0 ? no_such(err, leaf) : rc;
}

int mem_siblings(mem_store *s, int64_t id, mem_messages *out, char *err)
{
    store_lock(s);
    int rc = read_all(s, out, err, "FROM message o JOIN message m ON m.conversation=o.conversation AND m.parent IS o.parent"
                      " WHERE o.id=?1 AND ?2=0 AND m.hidden=0 ORDER BY m.id", id, 0);
    store_unlock(s);
    return rc == Q_OK && out->n == 0 ? no_such(err, id) : rc;
}

int mem_conversation_tree(mem_store *s, int64_t conversation, mem_messages *out, signed char **mark, char *err)
{
    int rc;
    *mark = NULL;
    store_lock(s);
    rc = read_all(s, out, err, "FROM conversation c JOIN message m ON m.conversation=c.id WHERE c.id=?1 AND c.state=0 AND ?2=0 AND m.hidden=0 ORDER BY m.id", conversation, 0);
    if (rc == Q_OK) *mark = q_alloc((size_t)out->n + 1);
    for (int i = 0; i < out->n && rc == Q_OK; i++) {
        int64_t v = 0;
        rc = store_int(s, &v, err, "SELECT mark FROM answer_mark WHERE message=?", "i", out->v[i].id);
        if (rc == Q_NOTFOUND) rc = Q_OK;
        (*mark)[i] = v > 0 ? 1 : v < 0 ? -1 : 0;
    }
    store_unlock(s);
    return rc;
}

int mem_elder_text(mem_store *s, int64_t id, char **text, char *err)
{
    *text = NULL;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT x.text FROM message m JOIN message x ON x.conversation=m.conversation AND x.parent IS m.parent AND x.id<m.id AND x.hidden=0"
                                   " WHERE m.id=? ORDER BY x.id=m.elder DESC, x.id DESC LIMIT 1", "i", id);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) *text = store_text(st, 0);
    sqlite3_finalize(st);
    store_unlock(s);
    return rc < 0 ? rc : Q_OK;
}

int mem_leaf_below(mem_store *s, int64_t id, int64_t *leaf, char *err)
{
    *leaf = 0;
    store_lock(s);
    /* the newest of a subtree has no children: they would be newer */
    int rc = store_int(s, leaf, err, "WITH RECURSIVE down(id) AS (SELECT id FROM message WHERE id=?"
                       " UNION ALL SELECT c.id FROM message c JOIN down ON c.parent=down.id AND c.id>down.id)"
                       " SELECT max(down.id) FROM down JOIN message m ON m.id=down.id WHERE m.hidden=0", "i", id);
    store_unlock(s);
    return rc == Q_OK && *leaf == 0 ? no_such(err, id) : rc;
}

void mem_message_free(mem_message *m)
{
    if (!m) return;
    void *v = m->config;
    store_rows_free(&config_table, &v, &m->n_config);
    store_free(&table, m);
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
    int rc = store_index_ready(s, MEM_CHAT, err);
    for (bool again = rc == Q_OK, mended = false; again; mended = true) {
        void *v;
        store_lock(s);
        rc = store_rows(s, &hit_table, &v, &out->n, err, "FROM message_fts JOIN message m ON m.id=message_fts.rowid"
            " JOIN conversation c ON c.id=m.conversation WHERE message_fts MATCH ? AND c.state=0 ORDER BY message_fts.rowid DESC LIMIT ?",
            "si", a.q.p, (int64_t)(limit > 0 ? limit : 50));
        again = rc < 0 && !mended && store_index_broken(s);
        store_unlock(s);
        out->v = v;
        if (again && (rc = store_index_mend(s, MEM_CHAT, err)) != Q_OK) break;
    }
    for (int i = 0; i < out->n; i++)
        for (char *p = out->v[i].snippet; *p; p++)
            if (*p == '\n' || *p == '\t' || *p == '\r') *p = ' ';
    q_buf_free(&a.q);
    return rc;
}

void mem_hits_free(mem_hits *l)
{
    void *v = l->v;
    store_rows_free(&hit_table, &v, &l->n);
    l->v = NULL;
}
