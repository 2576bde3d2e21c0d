/* memory/forget: what is meant by words and by time, single messages that go, and the words of a forgotten text in what stands
 * beside texts: titles, drafts, waiting questions, logs, names. Documents and conversations go as wholes (documents.c,
 * conversations.c). In steps of one short hold of the lock; any thread. It never judges what should go. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

/* One step: ids looked at, messages that go, traces unpacked. */
enum { STEP_DOCUMENTS = 32, STEP_MESSAGES = 256, STEP_GOING = 16, STEP_TRACES = 16, BEGINNING = 200 };

/* ---- holds(x): does a value hold the text that is looked for, in any case ---- */
typedef struct needle { char *folded; size_t n; } needle;

static needle needle_of(const char *text)
{
    needle x = {q_strdup(text ? text : ""), text ? strlen(text) : 0};
    q_fold_bytes(x.folded, x.n);
    return x;
}

static void holds(sqlite3_context *c, int n, sqlite3_value **v)
{
    const needle *x = sqlite3_user_data(c);
    const char *p = sqlite3_value_blob(v[0]);
    sqlite3_result_int(c, p && x->n && q_holds(p, (size_t)sqlite3_value_bytes(v[0]), x->folded, x->n));
}

/* Under the lock; each step says it anew, so that two who look for different texts at once do not meet. */
static int look_for(mem_store *s, needle *x, char *err)
{
    return sqlite3_create_function_v2(s->db, "holds", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, x, holds, NULL, NULL, NULL) == SQLITE_OK ? Q_OK : store_error(s, err);
}

/* ---- what is meant ---- */
#define DOCUMENT "SELECT d.id, d.added, (SELECT count(*) FROM chunk c WHERE c.document=d.id), d.title, d.path, 0 FROM document d WHERE d.state=0"
#define CHAT "SELECT c.id, c.created, (SELECT count(*) FROM message m WHERE m.conversation=c.id AND m.hidden=0), c.title, '', 0 FROM conversation c WHERE c.state=0"
#define MESSAGE "SELECT m.id, m.created, 0, c.title, substr(m.text, 1, 200), m.conversation FROM message m JOIN conversation c ON c.id=m.conversation WHERE c.state=0"
#define FACT "SELECT f.id, f.created, 0, '', f.text, 0 FROM fact f WHERE 1"
/* the document that facts are searched as goes with them */
#define NO_FACTS " AND d.path<>'facts:'"
_Static_assert(BEGINNING == 200, "how much of a message is shown stands in MESSAGE");

static const struct { const char *one, *last; int step; } parts[] = {
    [MEM_PART_DOCUMENT] = {DOCUMENT " AND d.id=?", "SELECT ifnull(max(id), 0) FROM document", STEP_DOCUMENTS},
    [MEM_PART_CHAT] = {CHAT " AND c.id=?", "SELECT ifnull(max(id), 0) FROM conversation", STEP_MESSAGES},
    [MEM_PART_MESSAGE] = {MESSAGE " AND m.id=?", "SELECT ifnull(max(id), 0) FROM message", STEP_MESSAGES},
    [MEM_PART_FACT] = {FACT " AND f.id=?", "SELECT ifnull(max(id), 0) FROM fact", STEP_MESSAGES},
};

/* In a stretch of ids (1, 2) what is meant: in a time (3, 4). The manual that ships with quorum says nothing of a person. */
static const struct { enum mem_forget_by by; enum mem_part part; const char *sql; } meant[] = {
    {MEM_FORGET_GONE, MEM_PART_DOCUMENT, DOCUMENT " AND d.gone<>0 AND d.id BETWEEN ?1 AND ?2 AND ?3<=?4"},
    {MEM_FORGET_TIME, MEM_PART_DOCUMENT, DOCUMENT NO_FACTS " AND d.trust<>1 AND d.added>=?3 AND d.added<?4 AND d.id BETWEEN ?1 AND ?2"},
    {MEM_FORGET_TIME, MEM_PART_MESSAGE, MESSAGE " AND m.created>=?3 AND m.created<?4 AND m.id BETWEEN ?1 AND ?2"},
    {MEM_FORGET_WORDS, MEM_PART_DOCUMENT, DOCUMENT NO_FACTS " AND d.trust<>1 AND d.id BETWEEN ?1 AND ?2 AND ?3<=?4 AND (holds(d.path) OR holds(d.title) OR"
     " EXISTS (SELECT 1 FROM chunk c WHERE c.document=d.id AND (holds(c.text) OR holds(c.heading) OR holds(c.name))) OR"
     " EXISTS (SELECT 1 FROM document_raw r WHERE r.document=d.id AND holds(r.data)))"},
    {MEM_FORGET_WORDS, MEM_PART_MESSAGE, MESSAGE " AND m.id BETWEEN ?1 AND ?2 AND ?3<=?4 AND (holds(m.text) OR holds(m.thinking) OR holds(m.author) OR"
     " EXISTS (SELECT 1 FROM message_raw r WHERE r.message=m.id AND holds(r.data)) OR"
     " EXISTS (SELECT 1 FROM tool_call t WHERE t.message=m.id AND (holds(t.name) OR holds(t.arguments) OR holds(t.result) OR holds(t.policy) OR"
     " EXISTS (SELECT 1 FROM tool_whole w WHERE w.call=t.id AND holds(w.text)) OR EXISTS (SELECT 1 FROM tool_undo u WHERE u.call=t.id AND (holds(u.path) OR holds(u.was))))))"},
    {MEM_FORGET_TIME, MEM_PART_FACT, FACT " AND f.created>=?3 AND f.created<?4 AND f.id BETWEEN ?1 AND ?2"},
    {MEM_FORGET_WORDS, MEM_PART_FACT, FACT " AND f.id BETWEEN ?1 AND ?2 AND ?3<=?4 AND (holds(f.text) OR holds(f.subject))"},
};

static uint64_t mark_of(enum mem_part part, const char *path, int64_t ms)
{
    return part == MEM_PART_DOCUMENT ? q_hash64(path, strlen(path), (uint64_t)ms) : (uint64_t)ms;
}

static int take(mem_store *s, enum mem_part part, sqlite3_stmt *st, mem_targets *out, char *err)
{
    int rc = 1;
    while ((rc = store_step(s, st, err)) == 1) {
        if ((out->n & (out->n - 1)) == 0) out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n ? 2 * out->n : 1));
        char *text = store_text(st, 4);
        mem_target *t = &out->v[out->n++];
        *t = (mem_target){.part = part, .id = sqlite3_column_int64(st, 0), .mark = mark_of(part, text, sqlite3_column_int64(st, 1)),
                          .rows = sqlite3_column_int(st, 2), .title = store_text(st, 3), .text = text, .chat = sqlite3_column_int64(st, 5)};
    }
    return rc;
}

int mem_target_get(mem_store *s, enum mem_part part, int64_t id, mem_targets *out, char *err)
{
    int n = out->n;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, parts[part].one, "i", id);
    int rc = st ? take(s, part, st, out, err) : store_failed(s);
    sqlite3_finalize(st);
    store_unlock(s);
    if (rc != Q_OK || out->n > n) return rc;
    static const char *const none[] = {N_("there is no document %lld in memory: quorum memory list shows them"),
                                       N_("there is no conversation %lld: it may have been deleted elsewhere"),
                                       N_("there is no message %lld here: it may have been deleted elsewhere"),
                                       N_("there is no fact %lld: /remember lists them")};
    return q_fail(err, Q_NOTFOUND, _(none[part]), (long long)id);
}

static int find_part(mem_store *s, size_t which, needle *x, int64_t from_ms, int64_t to_ms, mem_targets *out, char *err)
{
    enum mem_part part = meant[which].part;
    int64_t last = 0;
    store_lock(s);
    int rc = store_int(s, &last, err, parts[part].last, "");
    store_unlock(s);
    for (int64_t at = 1; rc == Q_OK && at <= last; at += parts[part].step) {
        store_lock(s);
        rc = look_for(s, x, err);
        store_allow(s, STORE_LONG);
        sqlite3_stmt *st = rc == Q_OK ? store_query(s, err, meant[which].sql, "iiii", at, at + parts[part].step - 1, from_ms, to_ms) : NULL;
        if (rc == Q_OK) rc = st ? take(s, part, st, out, err) : store_failed(s);
        sqlite3_finalize(st);
        store_unlock(s);
    }
    return rc;
}

int mem_forget_find(mem_store *s, enum mem_forget_by by, int64_t from_ms, int64_t to_ms, const char *text, mem_targets *out, char *err)
{
    needle x = needle_of(text);
    int rc = by == MEM_FORGET_WORDS && !x.n ? q_fail(err, Q_RANGE, _("there is no word to look for")) : Q_OK;
    for (size_t i = 0; i < sizeof meant / sizeof *meant && rc == Q_OK; i++)
        if (meant[i].by == by) rc = find_part(s, i, &x, from_ms, to_ms, out, err);
    free(x.folded);
    return rc;
}

void mem_targets_free(mem_targets *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->v[i].title);
        free(l->v[i].text);
    }
    free(l->v);
    *l = (mem_targets){0};
}

/* ---- messages that go ---- */
/* What stood below it hangs on what it hung on, whose id is smaller still. */
static int let_go(mem_store *s, int64_t id, int64_t conversation, int64_t parent, char *err)
{
    /* the answers' logs quote the question's words */
    int rc = store_run(s, NULL, err, "UPDATE retrieval SET terms='' WHERE message IN (SELECT id FROM message WHERE parent=?)", "i", id);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE message SET parent=nullif(?2, 0) WHERE parent=?1", "ii", id, parent);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE heard SET prev=?2 WHERE prev=?1", "ii", id, parent);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE message SET elder=0 WHERE elder=? AND conversation=?", "ii", id, conversation);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE fact SET message=0 WHERE message=?", "i", id);
    /* what summaries say of it; on another branch there may be one that stood for it not: the turns speak for themselves there again */
    if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM compaction WHERE message>=? AND message IN (SELECT id FROM message WHERE conversation=?)", "ii", id, conversation);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE pending SET edits=-1 WHERE edits=? AND conversation=?", "ii", id, conversation);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "DELETE FROM message WHERE id=?", "i", id);
    if (rc == Q_OK && sqlite3_changes(s->db) != 1) rc = store_tampered(s, err);
    return rc;
}

/* The end of the branch that is shown was the message: the newest below what it hung on, else the newest of all. */
static int move_leaf(mem_store *s, int64_t id, int64_t conversation, int64_t parent, char *err)
{
    return store_run(s, NULL, err, "UPDATE conversation SET leaf=ifnull((WITH RECURSIVE down(id) AS (SELECT id FROM message WHERE id=?3"
                     " UNION ALL SELECT c.id FROM message c JOIN down ON c.parent=down.id AND c.id>down.id)"
                     " SELECT max(down.id) FROM down JOIN message m ON m.id=down.id WHERE m.hidden=0),"
                     " ifnull((SELECT max(id) FROM message WHERE conversation=?2 AND hidden=0), 0)) WHERE id=?2 AND leaf=?1", "iii", id, conversation, parent);
}

static int one_message(mem_store *s, int64_t id, int *gone, char *err)
{
    int64_t conversation = 0, parent = 0, left = 0;
    int rc = store_int(s, &conversation, err, "SELECT m.conversation FROM message m JOIN conversation c ON c.id=m.conversation WHERE m.id=? AND c.state=0", "i", id);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;
    rc = store_int(s, &parent, err, "SELECT ifnull(parent, 0) FROM message WHERE id=?", "i", id);
    if (rc == Q_OK) rc = store_forgotten_put(s, conversation, id, err);
    if (rc == Q_OK) rc = store_logs_forget(s, MEM_CHAT, id, err);
    if (rc == Q_OK) rc = store_wish_passage_gone(s, MEM_CHAT, id, err);
    if (rc == Q_OK) rc = store_index_drop(s, MEM_CHAT, id, err);
    if (rc == Q_OK) rc = let_go(s, id, conversation, parent, err);
    if (rc == Q_OK) rc = move_leaf(s, id, conversation, parent, err);
    if (rc == Q_OK) rc = store_int(s, &left, err, "SELECT count(*) FROM message WHERE conversation=?", "i", conversation);
    if (rc == Q_OK && left == 0) rc = store_run(s, NULL, err, "UPDATE conversation SET state=2, title='', draft='' WHERE id=? AND state=0", "i", conversation);
    *gone += rc == Q_OK;
    return rc;
}

int mem_messages_delete(mem_store *s, const int64_t *id, int n, int *done, char *err)
{
    int rc = Q_OK, total = 0;
    for (int at = 0; at < n && rc == Q_OK; at += STEP_GOING) {
        int here = 0;
        if (at) store_breathe(s);
        if ((rc = store_begin(s, err)) != Q_OK) break;
        for (int i = at; i < n && i < at + STEP_GOING && rc == Q_OK; i++) rc = one_message(s, id[i], &here, err);
        if (rc == Q_OK && here) rc = store_backups_owe(s, err);
        rc = store_end(s, rc, err);
        if (rc == Q_OK) total += here;
    }
    if (done) *done = total;
    return rc;
}

/* ---- what stands beside texts ---- */
static const struct { const char *sql, *last; } beside[] = {
    {"UPDATE conversation SET title='' WHERE id BETWEEN ? AND ? AND holds(title)", "SELECT ifnull(max(id), 0) FROM conversation"},
    {"UPDATE conversation SET draft='' WHERE id BETWEEN ? AND ? AND holds(draft)", "SELECT ifnull(max(id), 0) FROM conversation"},
    {"DELETE FROM pending WHERE id BETWEEN ? AND ? AND holds(text)", "SELECT ifnull(max(id), 0) FROM pending"},
    {"UPDATE retrieval SET label='', terms='', signals='' WHERE message BETWEEN ? AND ? AND (holds(label) OR holds(terms) OR holds(signals) OR holds(reason))",
     "SELECT ifnull(max(message), 0) FROM retrieval"},
    {"UPDATE message SET finish='' WHERE id BETWEEN ? AND ? AND holds(finish)", "SELECT ifnull(max(id), 0) FROM message"},
    {"UPDATE message_config SET json='{}', label='', mark='' WHERE message BETWEEN ? AND ? AND (holds(json) OR holds(label) OR holds(mark))",
     "SELECT ifnull(max(message), 0) FROM message_config"},
    {"DELETE FROM routing_tag WHERE message BETWEEN ? AND ? AND holds(name)", "SELECT ifnull(max(message), 0) FROM routing_tag"},
    {"DELETE FROM compaction WHERE id BETWEEN ? AND ? AND (holds(text) OR holds(fixed) OR holds(words))", "SELECT ifnull(max(id), 0) FROM compaction"},
    {"DELETE FROM message_module WHERE id BETWEEN ? AND ? AND (holds(name) OR holds(hash) OR holds(adapter) OR holds(scale))", "SELECT ifnull(max(id), 0) FROM message_module"},
    {"DELETE FROM outside WHERE id BETWEEN ? AND ? AND holds(path)", "SELECT ifnull(max(id), 0) FROM outside"},
    /* what was being written when a person left, and errands that name it */
    {"DELETE FROM setting WHERE ?<=? AND holds(value) AND (substr(name, 1, 6)='draft.' OR substr(name, 1, 7)='errand.')", "SELECT 1"},
};

/* Routing whose origin (the system text of its prompt) holds it. */
static int clear_traces(mem_store *s, needle *x, int64_t from, int64_t to, int *rows, char *err)
{
    int64_t id[STEP_TRACES];
    int n = 0;
    sqlite3_stmt *st = store_query(s, err, "SELECT message, data FROM message_trace WHERE message BETWEEN ? AND ? ORDER BY message", "ii", from, to);
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        mem_trace *t = NULL;
        const unsigned char *p = sqlite3_column_blob(st, 1);
        if (p && store_trace_unpack(p, (size_t)sqlite3_column_bytes(st, 1), &t) == Q_OK && t->made && q_holds(t->made, strlen(t->made), x->folded, x->n))
            id[n++] = sqlite3_column_int64(st, 0);
        mem_trace_free(t);
    }
    sqlite3_finalize(st);
    for (int i = 0; i < n && rc == Q_OK; i++) rc = store_run(s, NULL, err, "DELETE FROM message_trace WHERE message=?", "i", id[i]);
    *rows += n;
    return rc;
}

static int one_step(mem_store *s, needle *x, size_t which, int64_t at, int64_t to, int *rows, char *err)
{
    int n = 0, rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = look_for(s, x, err);
    store_allow(s, STORE_LONG);
    if (rc == Q_OK && which < sizeof beside / sizeof *beside) rc = store_run(s, &n, err, beside[which].sql, "ii", at, to);
    else if (rc == Q_OK) rc = clear_traces(s, x, at, to, &n, err);
    if (rc == Q_OK && n) rc = store_backups_owe(s, err);
    rc = store_end(s, rc, err);
    *rows += rc == Q_OK ? n : 0;
    return rc;
}

int mem_forget_beside(mem_store *s, const char *text, bool (*go)(void *user), void *user, int *rows, char *err)
{
    enum { N = sizeof beside / sizeof *beside };
    needle x = needle_of(text);
    int rc = Q_OK;
    *rows = 0;
    for (size_t i = 0; i <= N && rc == Q_OK && x.n; i++) {
        int64_t last = 0, step = i < N ? STEP_MESSAGES : STEP_TRACES;
        store_lock(s);
        rc = store_int(s, &last, err, i < N ? beside[i].last : "SELECT ifnull(max(message), 0) FROM message_trace", "");
        store_unlock(s);
        for (int64_t at = 1; rc == Q_OK && at <= last; at += step) {
            if (go && !go(user)) rc = q_fail(err, Q_CANCEL, _("stopped"));
            if (rc == Q_OK) rc = one_step(s, &x, i, at, at + step - 1, rows, err);
            if (rc == Q_OK && at + step <= last) store_breathe(s);
        }
    }
    free(x.folded);
    return rc;
}
