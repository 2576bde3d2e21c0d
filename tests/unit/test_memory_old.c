/* memory and files of older quorums: tests/golden/db holds a small one of each schema so far. Each opens, searches, shows
 * the same words and captions, and comes through kills and full disks whole: as it was, or as it is to be.
 * UPDATE=1 makes the files that are missing; one that is there is never made again. */
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"
#include "tests/packed.h"
#include "tests/store_help.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *made(int v)
{
    static char p[64];
    snprintf(p, sizeof p, "tests/golden/db/schema%d.db", v);
    return p;
}

static const char *golden(int v) { return packed(made(v)); }

/* What such a program wrote, by schema. */
static const char *const written[] = {
    NULL,
    "INSERT INTO conversation(id, title, created, opened, leaf) VALUES(1, 'Light', 1700000000000, 1700000000001, 4), (2, 'Свет', 1700000000002, 1700000000003, 5);"
    "INSERT INTO message(id, conversation, parent, role, status, created, updated, text, model, finish, tokens) VALUES"
    " (1, 1, NULL, 1, 1, 1700000000000, 1700000000000, 'Why do kestrels hover?', '', '', 0),"
    " (2, 1, 1, 2, 1, 1700000000000, 1700000000000, 'They face the wind.', 'carved', 'eos', 5),"
    " (3, 1, 2, 1, 1, 1700000000000, 1700000000000, 'And at dusk?', '', '', 0),"
    " (4, 1, 3, 2, 2, 1700000000000, 1700000000000, 'They roo', 'carved', 'interrupted', 3),"
    " (5, 2, NULL, 1, 1, 1700000000000, 1700000000000, 'Ёжики бегают быстрее', '', '', 0);"
    "INSERT INTO message_config(message, from_token, hash, json, label) VALUES(2, 0, 11, '{\"experts.k\":\"8\"}', 'standard'), (2, 3, 12, '{\"experts.k\":\"4\"}', 'k 4');"
    "INSERT INTO setting(name, value) VALUES('ui.theme', 'light'), ('words', '1');",
    "UPDATE message SET indexed=1; INSERT INTO message_fts(rowid, text) SELECT id, text FROM message;",
    "INSERT INTO document(id, path, title, trust, sha256, mtime, added, bytes) VALUES(1, '/notes/birds.md', 'notes/birds.md', 0, 'ab', 1700000000000, 1700000000000, 40);"
    "INSERT INTO chunk(id, document, ordinal, start, heading, text) VALUES(1, 1, 0, 0, 'Birds', 'Kestrels hover over meadows'), (2, 1, 1, 28, '', 'owls wait');"
    "INSERT INTO chunk_fts(rowid, heading, text) SELECT id, heading, text FROM chunk;"
    "INSERT INTO retrieval(message, rank, number, kind, ref, label, terms, reason, score, coverage, evidence, bm25, tokens)"
    " VALUES(1, 1, 1, 0, 1, 'notes/birds.md § Birds', 'kestrel', '', .6, .9, .7, 3.0, 12);",
    "INSERT INTO pending(conversation, edits, created, text, owner) VALUES(1, 0, 1700000000000, 'still to be asked', '1:1');",
    "", "",
    "INSERT INTO routing_tag(name, message, created) VALUES('prose', 2, 1700000000000);",
    "",
    "UPDATE message_config SET at_byte=5, mark='k 8→4' WHERE from_token=3;",
    "UPDATE message SET author='Ada' WHERE id=5;",
    "INSERT INTO import(conversation, source, external) VALUES(2, 'chatgpt', 'c-1'); INSERT INTO import_message(message, conversation, external) VALUES(5, 2, 'm-1');"
    "INSERT INTO message_raw(message, was, data) VALUES(5, 'CP1251', x'd0'); INSERT INTO document_raw(document, was, data) VALUES(1, 'CP1252', x'c3');", "", "", "", "", "",
    "INSERT INTO fact(text, subject, since, created) VALUES('My owl is Ada', 'my owl', 1700000000000, 1700000000000);",
    "",
    "INSERT INTO tool_call(id, message, round, place, name, arguments, result, policy, state, ms, created) VALUES(1, 2, 1, 4, 'read_file', '{}', 'kestrel.txt is empty', 'once', 0, 2, 1700000000000);"
    "INSERT INTO tool_undo(call, path, became, mode, there, was) VALUES(1, '/p/a', 'ab', 420, 1, x'6161');",
    "INSERT INTO outside(made, kind, path) VALUES(1700000000000, 'export', '/nonesuch/export'); INSERT INTO forgotten(hash) VALUES(-7);",
    "",
    "INSERT INTO compaction(id, message, chain, kept, text, fixed, words, messages, before, after, undone, created)"
    " VALUES(1, 2, 1, '', 'owls were spoken of', '', '', 2, 40, 8, 0, 1700000000000); INSERT INTO pin_turn(message, created) VALUES(2, 1700000000000);",
    "UPDATE tool_undo SET made=1;",
    "INSERT INTO answer_mark(message, mark, created) VALUES(2, 1, 1700000000000); INSERT INTO released(conversation, created) VALUES(1, 1700000000000);",
    "INSERT INTO message_module(message, place, name, hash, tokens) VALUES(2, 0, 'skeptic', '0123456789abcdef', 40);",
    "UPDATE message_module SET adapter='style', scale='0.7';",
};

static void make(const char *path, int v)
{
    CHECK_INT(sizeof written / sizeof *written, store_schema_version + 1);
    mem_store s = {.path = (char *)path, .owner = (char *)"1:1", .budget = 1 << 20};
    pthread_mutex_init(&s.mutex, NULL);
    pthread_cond_init(&s.turn, NULL);
    unlink(path);
    CHECK(sqlite3_open(path, &s.db) == SQLITE_OK);
    sqlite3_exec(s.db, "PRAGMA page_size=1024", NULL, NULL, NULL);
    OK(store_register_words(&s, err));
    OK(store_register_titles(&s, err));
    /* step by step with what each wrote: a later step then finds the rows that it found in life */
    for (int at = 1; at <= v; at++) {
        OK(store_migrate(&s, at, err));
        char *why = NULL;
        CHECK_MSG(sqlite3_exec(s.db, written[at], NULL, NULL, &why) == SQLITE_OK, "%d: %s", at, why ? why : "");
        sqlite3_free(why);
    }
    sqlite3_exec(s.db, "VACUUM", NULL, NULL, NULL);
    store_close(&s);
}

static void copy(const char *from, const char *to)
{
    q_buf b = {0};
    OK(q_read_file(from, &b, 1 << 24, err));
    OK(q_write_file_atomic(to, b.p, b.len, err));
    q_buf_free(&b);
}

static bool exists(const char *path, const char *end)
{
    char *p = q_printf("%s%s", path, end);
    bool yes = access(p, F_OK) == 0;
    free(p);
    return yes;
}

static bool copy_left(const char *path)
{
    bool yes = false;
    for (int v = 2; v <= store_schema_version; v++) {
        char end[32];
        snprintf(end, sizeof end, ".before-%d", v);
        yes |= exists(path, end);
        snprintf(end, sizeof end, ".before-%d.part", v);
        yes |= exists(path, end);
    }
    return yes;
}

static void tags_are_there(mem_store *s, int v)
{
    mem_tags t;
    OK(mem_tag_list(s, &t, err));
    CHECK_INT(t.n, v >= 7);
    if (t.n) CHECK_STR(t.v[0].name, "prose");
    mem_tags_free(&t);
}

/* Everything that a person of schema v would look for. */
static void shows_the_same(mem_store *s, int v)
{
    mem_hits h;
    CHECK_INT(raw(s, "PRAGMA user_version"), store_schema_version);
    tags_are_there(s, v);
    OK(mem_find(s, "kestrel ", 9, &h, err));
    CHECK_INT(h.n, 1);
    if (h.n) CHECK_STR(h.v[0].snippet, "Why do \x01kestrels\x02 hover?");
    mem_hits_free(&h);
    OK(mem_find(s, "ежик", 9, &h, err));
    CHECK_INT(h.n, 1);
    mem_hits_free(&h);
    mem_messages b;
    OK(mem_branch(s, 1, 0, &b, err));
    CHECK_INT(b.n, 4);
    if (b.n == 4) {
        CHECK_STR(b.v[1].text, "They face the wind.");
        CHECK_STR(b.v[1].model, "carved");
        CHECK_INT(b.v[1].n_config, 2);
        if (b.v[1].n_config == 2) { CHECK_STR(b.v[1].config[1].label, "k 4"); CHECK_INT(b.v[1].config[1].at, v < 9 ? -1 : 5); CHECK_STR(b.v[1].config[1].mark, v < 9 ? "" : "k 8→4"); CHECK_INT(b.v[1].config[1].from, 3); CHECK_STR(b.v[1].config[0].json, "{\"experts.k\":\"8\"}"); }
        CHECK_INT(b.v[3].status, MEM_STOPPED);
        CHECK_STR(b.v[3].finish, "interrupted");
        CHECK_INT(b.v[3].stats.tokens, 3);
    }
    mem_messages_free(&b);
    mem_conversations l;
    OK(mem_conversation_list(s, &l, err));
    CHECK_INT(l.n, 2);
    if (l.n == 2) { CHECK_STR(l.v[0].title, "Свет"); CHECK_INT(l.v[1].n_messages, 4); }
    mem_conversations_free(&l);
    char *theme = mem_setting_get(s, "ui.theme");
    CHECK_STR(theme, "light");
    free(theme);
    if (v >= 3) {
        mem_documents d;
        mem_logs log;
        const char *words[] = {"kestrel", "meadow"};
        mem_passages p;
        OK(mem_document_list(s, &d, err));
        CHECK_INT(d.n, 1);
        if (d.n) { CHECK_STR(d.v[0].title, "notes/birds.md"); CHECK_INT(d.v[0].n_chunks, 2); CHECK_INT(d.v[0].gone_ms, 0); CHECK_STR(d.v[0].was, v < 11 ? "" : "CP1252"); }
        mem_documents_free(&d);
        OK(mem_candidates(s, MEM_CHUNK, words, 2, 0, 9, &p, err));
        CHECK_INT(p.n, 1);
        if (p.n) { CHECK_STR(p.v[0].heading, "Birds"); CHECK_STR(p.v[0].text, "Kestrels hover over meadows"); }
        mem_passages_free(&p);
        OK(mem_log_get(s, 1, &log, err));
        CHECK_INT(log.n, 1);
        if (log.n) { CHECK_STR(log.v[0].label, "notes/birds.md § Birds"); CHECK(fabs(log.v[0].score - .6) < 1e-9); }
        mem_logs_free(&log);
    }
    if (v >= 4) CHECK_INT(raw(s, "SELECT count(*) FROM pending WHERE text='still to be asked'"), 1);
}

static void opened_whole(const char *path, int v)
{
    mem_store *s = NULL;
    OK(mem_open(path, &s, err));
    if (!s) return;
    shows_the_same(s, v);
    OK(mem_tidy(s, NULL, NULL, err));
    OK(mem_check(s, err));
    shows_the_same(s, v);
    mem_close(s);
    CHECK(!copy_left(path));
}

static void the_golden_files_are_there(void)
{
    for (int v = 1; v <= store_schema_version; v++) {
        if (getenv("UPDATE") && access(golden(v), F_OK) != 0) {
            make(made(v), v);
            CHECK(pack(made(v)));
        }
        CHECK_MSG(access(golden(v), R_OK) == 0, "%s: UPDATE=1 build/tests/test_memory_old makes it", golden(v));
    }
}

static void each_opens_and_shows_the_same(void)
{
    char *path = file("old.db");
    for (int v = 1; v <= store_schema_version && !test_bad; v++) {
        copy(golden(v), path);
        opened_whole(path, v);
        if (test_bad) printf("# schema %d\n", v);
    }
}

/* After a thousand removed documents an older quorum left an index that SQLite refuses; the text is whole. */
static void a_broken_index_of_an_older_file_is_made_again(void)
{
    static const char *const ways[] = {"UPDATE %s_data SET block=x'00000000ffffffff' WHERE id=10", "DELETE FROM %s_data WHERE id>10",
                                       "DELETE FROM %s_data WHERE id=10", "DELETE FROM %s_data"};
    char *path = file("broken.db"), sql[128];
    for (int v = 2; v <= store_schema_version; v++)
        for (size_t w = 0; w < sizeof ways / sizeof *ways && !test_bad; w++) {
            copy(golden(v), path);
            sqlite3 *db;
            CHECK(sqlite3_open(path, &db) == SQLITE_OK);
            for (int k = 0; k < (v >= 3 ? 2 : 1); k++) {
                snprintf(sql, sizeof sql, ways[w], k ? "chunk_fts" : "message_fts");
                CHECK_MSG(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
            }
            sqlite3_close(db);
            mem_store *s = NULL;
            OK(mem_open(path, &s, err));
            if (s) OK(mem_check(s, err));
            mem_close(s);
            opened_whole(path, v);
            if (test_bad) printf("# schema %d, way %d\n", v, (int)w);
        }
}

/* ---- kills ---- */
static int statements, die_at;

static int on_trace(unsigned what, void *user, void *statement, void *sql)
{
    if (++statements == die_at) kill(getpid(), SIGKILL);
    return 0;
}

/* Registered for every connection that the child opens: counts each statement, FTS5's own too. */
static int on_open(sqlite3 *db, char **why, const void *api)
{
    sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_trace, NULL);
    return SQLITE_OK;
}

/* In a child; its exit status, or -1: killed. *n: statements that it began, where it came to its end. */
static int open_in_a_child(const char *path, int at, rlim_t limit, int *n)
{
    int fd[2], st;
    CHECK(pipe(fd) == 0);
    pid_t p = fork();
    if (p == 0) {
        statements = 0;
        die_at = at;
        if (at) sqlite3_auto_extension((void (*)(void))on_open);
        if (limit) {
            struct rlimit r = {limit, limit};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &r);
        }
        mem_store *s;
        int rc = mem_open(path, &s, err);
        if (rc != Q_OK) _exit(err[0] && strchr(err, ':') ? 1 : 2);
        mem_close(s);
        if (write(fd[1], &statements, sizeof statements) != sizeof statements) _exit(3);
        _exit(0);
    }
    close(fd[1]);
    *n = 0;
    if (read(fd[0], n, sizeof *n) < 0) *n = 0;
    close(fd[0]);
    waitpid(p, &st, 0);
    return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

static void killed_anywhere_it_is_the_old_or_the_new(void)
{
    enum { KILLS = 32 };
    static const int from[] = {1, 4, 5};
    char *path = file("killed.db");
    int killed = 0;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        int v = from[i], all, n;
        copy(golden(v), path);
        CHECK_INT(open_in_a_child(path, 1 << 30, 0, &all), 0);
        CHECK_MSG(all > 100, "%d statements", all);
        int kills = getenv("QUORUM_LONG") ? all : KILLS;
        for (int k = 0; k < kills && !test_bad; k++) {
            copy(golden(v), path);
            killed += open_in_a_child(path, 1 + (int)((int64_t)k * all / kills), 0, &n) == -1;
            opened_whole(path, v);
            if (test_bad) printf("# schema %d, kill %d of %d\n", v, k, kills);
        }
    }
    printf("# %d kills\n", killed);
    CHECK(killed >= 3 * KILLS - 3);
}

/* ---- full disks ---- */
static void a_full_disk_leaves_the_old_one(void)
{
    enum { STEPS = 8 };
    static const int from[] = {1, 4, 5};
    char *path = file("full.db");
    int refused = 0, opened = 0;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        int v = from[i], n;
        struct stat was, st;
        CHECK(stat(golden(v), &was) == 0);
        copy(golden(v), path);
        CHECK_INT(open_in_a_child(path, 0, 0, &n), 0);
        CHECK(stat(path, &st) == 0);
        for (int k = 0; k <= STEPS && !test_bad; k++) {
            /* no file may grow past this: from less than the copy needs to all that the new one needs */
            rlim_t limit = (rlim_t)(was.st_size / 2 + (st.st_size + 16384 - was.st_size / 2) * k / STEPS);
            copy(golden(v), path);
            int rc = open_in_a_child(path, 0, limit, &n);
            CHECK_MSG(rc == 0 || rc == 1, "schema %d, at most %lld bytes: %d", v, (long long)limit, rc);
            if (k == 0) CHECK_INT(rc, 1);
            if (k == STEPS) CHECK_INT(rc, 0);
            refused += rc == 1;
            opened += rc == 0;
            opened_whole(path, v);
            if (test_bad) printf("# schema %d, limit %lld\n", v, (long long)limit);
        }
    }
    printf("# %d times the disk was full, %d times not\n", refused, opened);
}

/* A migration whose result does not pass the check changes nothing, and the copy from before stays. */
static void what_fails_the_check_is_not_brought_up(void)
{
    char *path = file("orphan.db"), before[65], after[65];
    copy(golden(4), path);
    sqlite3 *db;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "PRAGMA foreign_keys=OFF; UPDATE message SET conversation=77 WHERE id=5", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
    OK(q_sha256_file(path, before, err));
    mem_store *s = NULL;
    CHECK_INT(mem_open(path, &s, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "before-") != NULL, "%s", err);
    mem_close(s);
    OK(q_sha256_file(path, after, err));
    CHECK_STR(after, before);
    CHECK(copy_left(path));
    char *kept = q_printf("%s.before-%d", path, store_schema_version);
    struct stat st;
    CHECK(stat(kept, &st) == 0 && (st.st_mode & 0777) == 0600);
    free(kept);
}

int main(void)
{
    if (!memory_begin("old")) return 1;
    RUN(the_golden_files_are_there);
    RUN(each_opens_and_shows_the_same);
    RUN(a_broken_index_of_an_older_file_is_made_again);
    RUN(killed_anywhere_it_is_the_old_or_the_new);
    RUN(a_full_disk_leaves_the_old_one);
    RUN(what_fails_the_check_is_not_brought_up);
    return memory_end();
}
