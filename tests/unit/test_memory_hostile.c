/* memory and files that somebody changed: every kind of meddling is refused by name, at once, and leaves the file as it is;
 * what holds a person's words can still be exported. */
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* A small memory, closed. */
static void make(const char *path)
{
    mem_store *s;
    int64_t c, id;
    mem_chunk k[2] = {{0, 12, "kestrels fly", (char *)"Birds"}, {12, 9, "owls wait", NULL}};
    mem_document d = {.path = (char *)"/birds.md", .title = (char *)"birds.md", .name = (char *)"birds.md", .bytes = 21};
    unlink(path);
    OK(mem_open(path, &s, err));
    OK(mem_conversation_new(s, "light", &c, err));
    for (int i = 0; i < 3; i++) OK(mem_message_add(s, c, 0, MEM_USER, "words about kestrels", 20, &id, err));
    OK(mem_document_put(s, &d, k, 2, &id, err));
    mem_close(s);
}

static void meddle(const char *path, const char *sql)
{
    sqlite3 *db;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    mem_store s = {.db = db, .path = (char *)path};
    pthread_mutex_init(&s.mutex, NULL);
    pthread_cond_init(&s.turn, NULL);
    OK(store_register_words(&s, err));
    char *why = NULL;
    CHECK_MSG(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s: %s", sql, why ? why : "");
    sqlite3_free(why);
    sqlite3_close(db);
}

struct counted { int message, chunk, other; };

static bool count(void *user, const char *table, const mem_export_value *v, int n)
{
    struct counted *c = user;
    if (strcmp(table, "message") == 0) c->message++;
    else if (strcmp(table, "chunk") == 0) c->chunk++;
    else c->other++;
    for (int i = 0; i < n; i++) CHECK(v[i].name && v[i].text);
    return true;
}

#define RECURSIVE "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r"

static void every_kind_of_meddling_is_refused_by_name(void)
{
    static const struct { const char *sql, *named; int message, chunk; } t[] = {
        {"CREATE TRIGGER spy AFTER INSERT ON message BEGIN DELETE FROM chunk; END", "trigger spy", 3, 2},
        {"CREATE VIEW looks AS SELECT * FROM message", "view looks", 3, 2},
        {"CREATE VIEW endless AS " RECURSIVE, "view endless", 3, 2},
        {"DROP VIEW message_said; CREATE VIEW message_said(id, text) AS SELECT x, 'text' FROM (" RECURSIVE ")", "view message_said", 3, 2},
        {"PRAGMA foreign_keys=OFF; DROP TABLE document; CREATE VIEW document AS " RECURSIVE, "document", 3, 2},
        {"CREATE TABLE stranger(x)", "table stranger", 3, 2},
        {"CREATE VIRTUAL TABLE stranger USING fts5(x)", "stranger", 3, 2},
        {"DROP TABLE pending", "pending", 3, 2},
        {"ALTER TABLE message ADD COLUMN more TEXT", "message more", 3, 2},
        {"ALTER TABLE message ADD COLUMN more TEXT AS (text || text)", "message more", 3, 2},
        {"ALTER TABLE message DROP COLUMN finish", "message finish", 3, 2},
        {"ALTER TABLE chunk RENAME COLUMN heading TO head", "view chunk_said", 3, 2},
        {"CREATE INDEX slow ON message(text)", "index slow", 3, 2},
        {"DROP INDEX message_parent", "message_parent", 3, 2},
        {"DROP TABLE chunk_fts; CREATE TABLE chunk_fts(name, heading, text)", "chunk_fts", 3, 2},
        {"DROP TABLE chunk_fts; CREATE VIRTUAL TABLE chunk_fts USING fts5(name, heading, text, content='chunk', content_rowid='id')", "chunk_fts", 3, 2},
        {"DROP TABLE setting; CREATE TABLE setting(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID", "setting", 3, 2},
        {"PRAGMA user_version=3", "", 3, 2},
        {"PRAGMA user_version=99", "newer", 3, 2},
        {"PRAGMA user_version=-4", "damaged", 3, 2},
        {"PRAGMA application_id=7", "another program", 3, 2},
    };
    char *path = file("meddled.db"), before[65], after[65];
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        make(path);
        meddle(path, t[i].sql);
        OK(q_sha256_file(path, before, err));
        mem_store *s = NULL;
        int rc = mem_open(path, &s, err);
        CHECK_MSG(rc == Q_FORMAT && !s, "%s: %d", t[i].sql, rc);
        CHECK_MSG(strstr(err, t[i].named) != NULL, "%s: %s", t[i].sql, err);
        mem_close(s);
        OK(q_sha256_file(path, after, err));
        CHECK_STR(after, before);
        struct counted c = {0};
        int unread = -1;
        OK(mem_export(path, count, &c, &unread, err));
        CHECK_MSG(c.message == t[i].message && c.chunk == t[i].chunk && unread == 0, "%s: %d messages, %d passages, %d unread", t[i].sql,
                  c.message, c.chunk, unread);
        OK(q_sha256_file(path, after, err));
        CHECK_STR(after, before);
    }
}

/* Each view asks the one before it ten times: 10^30 ways, were one of them only looked up. */
static void views_of_views_are_not_looked_into(void)
{
    char *path = file("views.db");
    q_buf sql = {0};
    make(path);
    q_buf_puts(&sql, "CREATE VIEW v0 AS SELECT 1 AS x;");
    for (int i = 1; i <= 30; i++) {
        q_buf_printf(&sql, "CREATE VIEW v%d AS SELECT a.x FROM v%d a", i, i - 1);
        for (int k = 0; k < 9; k++) q_buf_printf(&sql, ", v%d b%d", i - 1, k);
        q_buf_puts(&sql, ";");
    }
    meddle(path, sql.p);
    q_buf_free(&sql);
    mem_store *s = NULL;
    CHECK_INT(mem_open(path, &s, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "view v"), "%s", err);
    mem_close(s);
    struct counted c = {0};
    int unread;
    OK(mem_export(path, count, &c, &unread, err));
    CHECK_INT(c.message, 3);
}

static void what_sqlite_writes_itself_is_let_be(void)
{
    char *path = file("analyzed.db");
    make(path);
    meddle(path, "ANALYZE; VACUUM");
    mem_store *s = NULL;
    OK(mem_open(path, &s, err));
    if (s) OK(mem_check(s, err));
    mem_close(s);
}

static void every_statement_has_an_end(void)
{
    mem_store *s;
    OK(mem_open(":memory:", &s, err));
    int64_t n;
    store_lock(s);
    int64_t ordinary = s->budget;
    CHECK(ordinary > 0 && ordinary <= 1000000);
    s->budget = 50;                                         /* the same limit, reached sooner */
    CHECK_INT(store_int(s, &n, err, "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT count(*) FROM r", ""), Q_FORMAT);
    CHECK_MSG(strstr(err, "more work"), "%s", err);
    CHECK(s->budget < 0);
    store_unlock(s);
    store_lock(s);
    CHECK_INT(s->budget, ordinary);                         /* the next call has its own */
    OK(store_int(s, &n, err, "SELECT 7", ""));
    store_unlock(s);
    CHECK_INT(n, 7);
    mem_close(s);
}

static const unsigned char *varint(const unsigned char *p, uint64_t *v)
{
    *v = 0;
    while (*p & 0x80) *v = *v << 7 | (*p++ & 0x7f);
    *v = *v << 7 | *p;
    return p + 1;
}

/* One byte: the second of three rows takes a number above the third's, so that the third is found by going through the
 * table and not by its number. A loop that ends what it finds by number would never end. */
static void a_loop_looks_at_its_own_effect(void)
{
    char *path = file("loop.db");
    make(path);
    meddle(path, "UPDATE message SET status=0, owner='1:1', indexed=0, text='zzthird' WHERE id=3; UPDATE message SET text='zzsecond' WHERE id=2");
    q_buf b = {0};
    OK(q_read_file(path, &b, 1 << 24, err));
    int changed = 0;
    for (size_t page = 0; page < b.len / 4096; page++) {
        unsigned char *p = (unsigned char *)b.p + page * 4096;
        if (p[0] != 13 || page == 0) continue;              /* a leaf of a table */
        int n = p[3] << 8 | p[4];
        if (n != 3) continue;
        for (int i = 0; i < n; i++) {
            unsigned char *cell = p + (p[8 + 2 * i] << 8 | p[9 + 2 * i]);
            uint64_t len, row;
            const unsigned char *at = varint(cell, &len), *body = varint(at, &row);
            if (row == 2 && len < 200 && memmem(body, len, "zzsecond", 8)) {
                ((unsigned char *)b.p)[at - (const unsigned char *)b.p] = 9;
                changed++;
            }
        }
    }
    CHECK_INT(changed, 1);
    OK(q_write_file_atomic(path, b.p, b.len, err));
    q_buf_free(&b);
    mem_store *s = NULL;
    CHECK_INT(mem_open(path, &s, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "export"), "%s", err);
    mem_close(s);
    struct counted c = {0};
    int unread;
    OK(mem_export(path, count, &c, &unread, err));
    CHECK_INT(c.message, 3);
}

/* Messages that are one another's parents, one that is its own, one whose parent is of another conversation: what was deleted
 * goes, and what was not deleted stays. */
static void circles_of_parents_are_swept(void)
{
    char *path = file("circle.db");
    make(path);
    meddle(path, "INSERT INTO conversation(id, created, opened) VALUES(7, 1, 1);"
                 "INSERT INTO message(id, conversation, role, status, created, updated, text) VALUES(10, 7, 1, 1, 1, 1, 'kept');"
                 "UPDATE message SET parent=3 WHERE id=1; UPDATE message SET parent=1 WHERE id=2; UPDATE message SET parent=2 WHERE id=3;"
                 "INSERT INTO message(id, conversation, parent, role, status, created, updated) VALUES(11, 1, 11, 1, 1, 1, 1);"
                 "UPDATE message SET parent=2 WHERE id=10");
    mem_store *s = NULL;
    mem_conversations l = {0};
    mem_message m = {0};
    OK(mem_open(path, &s, err));
    if (!s) return;
    OK(mem_conversation_delete(s, 1, err));
    OK(mem_tidy(s, NULL, NULL, err));
    OK(mem_conversation_list(s, &l, err));
    CHECK_INT(l.n, 1);
    mem_conversations_free(&l);
    int64_t left;
    store_lock(s);
    OK(store_int(s, &left, err, "SELECT (SELECT count(*) FROM message)*100 + (SELECT count(*) FROM conversation)", ""));
    store_unlock(s);
    CHECK_INT(left, 101);
    OK(mem_message_get(s, 10, &m, err));
    CHECK(m.text && strcmp(m.text, "kept") == 0 && m.parent == 0);
    mem_message_free(&m);
    OK(mem_check(s, err));
    mem_close(s);
}

/* A routing trace that claims more than any answer has is refused before anything is made for it. */
static void a_huge_trace_is_refused(void)
{
    enum { RECORDS = 43, LAYERS = 1024, SLOTS = 1024 };
    uint64_t body = (uint64_t)RECORDS * (17 + LAYERS * (8 + 6 * SLOTS));
    uLong room = compressBound(1 << 20) * (uLong)(body / (1 << 20) + 1);
    unsigned char *b = q_alloc(32 + room), *zero = q_alloc(1 << 20);
    const uint32_t head[] = {1, RECORDS, LAYERS, SLOTS, 0, (uint32_t)body, (uint32_t)(body >> 32)};
    memcpy(b, "QTRC", 4);
    for (size_t i = 0; i < 7; i++)
        for (int k = 0; k < 4; k++) b[4 + 4 * i + (size_t)k] = (unsigned char)(head[i] >> 8 * k);
    z_stream z = {.next_out = b + 32, .avail_out = (uInt)room};
    CHECK_INT(deflateInit(&z, 1), Z_OK);
    for (uint64_t left = body; left;) {
        z.next_in = zero;
        z.avail_in = (uInt)(left < 1 << 20 ? left : 1 << 20);
        left -= z.avail_in;
        CHECK_INT(deflate(&z, left ? Z_NO_FLUSH : Z_FINISH), left ? Z_OK : Z_STREAM_END);
    }
    mem_trace *t = NULL;
    CHECK_INT(store_trace_unpack(b, 32 + z.total_out, &t), Q_FORMAT);
    mem_trace_free(t);
    deflateEnd(&z);
    free(b);
    free(zero);
}

static void cases_that_were_found(void)
{
    static const char *const names[] = {"recover-loop.db", "recursive-view-document.db"};
    for (int i = 0; i < 2; i++) {
        char *from = q_printf("../shared/cases/security/%s", names[i]), *path = file(names[i]);
        q_buf b = {0};
        if (access(from, R_OK) != 0) {
            SKIP(names[i], "../shared is absent");
        } else {
            OK(q_read_file(from, &b, 1 << 26, err));
            OK(q_write_file_atomic(path, b.p, b.len, err));
            mem_store *s = NULL;
            int rc = mem_open(path, &s, err);
            CHECK_MSG(rc == Q_FORMAT, "%s: %d", names[i], rc);
            printf("# %s: %s\n", names[i], err);
            mem_close(s);
            struct counted c = {0};
            int unread;
            OK(mem_export(path, count, &c, &unread, err));
            printf("# %d messages, %d passages, %d others, %d unread\n", c.message, c.chunk, c.other, unread);
        }
        q_buf_free(&b);
        free(from);
    }
}

static void an_export_says_what_it_could_not_read(void)
{
    char *path = file("torn.db");
    int unread;
    struct counted c = {0};
    CHECK_INT(mem_export(file("absent.db"), count, &c, &unread, err), Q_NOTFOUND);
    OK(q_write_file_atomic(path, "no database at all, but long enough to be looked at as one by anybody who tries it.........................", 100, err));
    CHECK_INT(mem_export(path, count, &c, &unread, err), Q_FORMAT);
    /* the pages of one table are lost: the others are whole */
    make(path);
    mem_store *s;
    int64_t root = 0;
    OK(mem_open(path, &s, err));
    store_lock(s);
    OK(store_int(s, &root, err, "SELECT rootpage FROM sqlite_schema WHERE name='message'", ""));
    store_unlock(s);
    mem_close(s);
    q_buf b = {0};
    OK(q_read_file(path, &b, 1 << 24, err));
    memset(b.p + (root - 1) * 4096, 0xA5, 4096);
    OK(q_write_file_atomic(path, b.p, b.len, err));
    q_buf_free(&b);
    OK(mem_export(path, count, &c, &unread, err));
    CHECK_INT(unread, 1);
    CHECK_INT(c.message, 0);
    CHECK_INT(c.chunk, 2);
}

/* ---- a disk that does not give what lies on it ---- */
static ssize_t (*really)(int, void *, size_t, off_t);
static off_t bad_from = -1;

static ssize_t scratched(int fd, void *p, size_t n, off_t at)
{
    if (bad_from < 0 || at + (off_t)n <= bad_from) return really(fd, p, n, at);
    errno = EIO;
    return -1;
}

static bool scratch_reads(void)
{
    static const char *const names[] = {"pread64", "pread"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (int i = 0; i < 2 && vfs && vfs->xGetSystemCall; i++) {
        sqlite3_syscall_ptr was = vfs->xGetSystemCall(vfs, names[i]), ours;
        ssize_t (*f)(int, void *, size_t, off_t) = scratched;
        if (!was) continue;
        memcpy(&really, &was, sizeof was);
        memcpy(&ours, &f, sizeof ours);
        return vfs->xSetSystemCall(vfs, names[i], ours) == SQLITE_OK;
    }
    return false;
}

static void a_disk_that_fails_is_not_called_damage(void)
{
    char *path = file("scratched.db");
    mem_store *s;
    make(path);
    if (!scratch_reads()) {
        SKIP("a_disk_that_fails_is_not_called_damage", "this SQLite reads by no call that can be replaced");
        return;
    }
    OK(mem_open(path, &s, err));
    bad_from = 8192;
    int rc = mem_check(s, err);
    CHECK_MSG(rc == Q_IO && strstr(err, "Input/output error") && !strstr(err, "damaged"), "%d %s", rc, err);
    bad_from = -1;
    OK(mem_check(s, err));                                 /* and once it gives it again, all is well */
    mem_close(s);
    bad_from = 8192;
    rc = mem_open(path, &s, err);
    if (rc == Q_OK) {                                      /* what it needs to open lies before the scratch */
        rc = mem_check(s, err);
        mem_close(s);
    }
    CHECK_MSG(rc == Q_IO && strstr(err, "Input/output error") && !strstr(err, "damaged"), "%d %s", rc, err);
    bad_from = -1;
    OK(mem_open(path, &s, err));
    mem_close(s);
}

int main(void)
{
    if (!memory_begin("hostile")) return 1;
    RUN(every_kind_of_meddling_is_refused_by_name);
    RUN(views_of_views_are_not_looked_into);
    RUN(what_sqlite_writes_itself_is_let_be);
    RUN(every_statement_has_an_end);
    RUN(a_loop_looks_at_its_own_effect);
    RUN(circles_of_parents_are_swept);
    RUN(a_huge_trace_is_refused);
    RUN(cases_that_were_found);
    RUN(a_disk_that_fails_is_not_called_damage);
    RUN(an_export_says_what_it_could_not_read);
    return memory_end();
}
