/* memory/open: opens the one connection of a process, settles it, brings the file up and checks it whole. Owns the
 * mem_store; any thread may call the public functions. It never touches a conversation or a document itself. */
#include "memory/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Older versions have a rare corruption race in WAL with two connections (sqlite.org/wal.html, "WAL reset bug"). */
enum { WAL_SAFE = 3051003, BUSY_MS = 5000 };

/* "pid:start time": unlike a pid alone it does not name a later process by mistake. */
static char *process_name(long pid)
{
    char path[64], line[1024];
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "re");
    if (f) {
        size_t n = fread(line, 1, sizeof line - 1, f);
        line[n] = 0;
        fclose(f);
        char *p = strrchr(line, ')');       /* the name before it may hold anything; starttime is field 22 (proc(5)) */
        for (int field = 2; p && field < 22; field++) p = strchr(p + 1, ' ');
        if (p) start = strtoull(p, NULL, 10);
    }
    return q_printf("%ld:%llu", pid, start);
}

/* Is the process that began a reply still there? */
static void owner_alive(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *owner = (const char *)sqlite3_value_text(v[0]);
    char *now = process_name(owner ? strtol(owner, NULL, 10) : 0);
    sqlite3_result_int(c, owner && strcmp(owner, now) == 0);
    free(now);
}

static int settle(mem_store *s, char *err)
{
    sqlite3_busy_timeout(s->db, BUSY_MS);
    static const struct { int id, max; } limits[] = {
        {SQLITE_LIMIT_LENGTH, 256 << 20}, {SQLITE_LIMIT_SQL_LENGTH, 100000}, {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000}, {SQLITE_LIMIT_VARIABLE_NUMBER, 250}, {SQLITE_LIMIT_EXPR_DEPTH, 200},
        {SQLITE_LIMIT_COMPOUND_SELECT, 20}, {SQLITE_LIMIT_TRIGGER_DEPTH, 10}, {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) sqlite3_limit(s->db, limits[i].id, limits[i].max);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);      /* the schema has none */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    const char *const pragmas[] = {
        sqlite3_libversion_number() >= WAL_SAFE ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=TRUNCATE",
        "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON", "PRAGMA secure_delete=ON", "PRAGMA cell_size_check=ON",
        "PRAGMA temp_store=MEMORY", "PRAGMA mmap_size=0",
    };
    for (size_t i = 0; i < sizeof pragmas / sizeof *pragmas; i++)
        if (sqlite3_exec(s->db, pragmas[i], NULL, NULL, NULL) != SQLITE_OK) return store_error(s, err);
    if (sqlite3_create_function_v2(s->db, "owner_alive", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, owner_alive, NULL, NULL, NULL) != SQLITE_OK)
        return store_error(s, err);
    return store_register_words(s, err);
}

/* Rebuilds both indexes when the file's were made by other rules for words. */
static int renew_indexes(mem_store *s, char *err)
{
    sqlite3_stmt *st = store_query(s, err, "SELECT value FROM setting WHERE name='words'", "");
    if (!st) return Q_IO;
    int rc = store_step(s, st, err);
    char *had = rc == 1 ? store_text(st, 0) : NULL;
    sqlite3_finalize(st);
    if (rc < 0) return rc;
    bool same = had && strcmp(had, store_words_version) == 0;
    free(had);
    if (same) return Q_OK;
    rc = store_run(s, NULL, err, "BEGIN IMMEDIATE", "");
    if (rc != Q_OK) return rc;
    rc = store_run(s, NULL, err, "INSERT INTO chunk_fts(chunk_fts) VALUES('rebuild')", "");
    if (rc == Q_OK) rc = store_run(s, NULL, err, "INSERT INTO message_fts(message_fts) VALUES('rebuild')", "");
    if (rc == Q_OK) rc = store_run(s, NULL, err, "INSERT OR REPLACE INTO setting VALUES('words', ?)", "s", store_words_version);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "COMMIT", "");
    if (rc != Q_OK && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int make_file(const char *path, char *err)
{
    char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        char *dir = q_strndup(path, (size_t)(slash - path));
        int rc = q_mkdirs(dir, err);
        free(dir);
        if (rc != Q_OK) return rc;
    }
    /* made here, not by SQLite, so that nobody else can ever read it */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
        return q_fail(err, Q_IO, _("the memory %s cannot be written: check its permissions and its folder's, or give another file with --db"), path);
    if (fd < 0) return q_fail(err, Q_IO, _("cannot open the memory %s: %s"), path, strerror(errno));
    struct stat st;
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    close(fd);
    return plain ? Q_OK : q_fail(err, Q_FORMAT, _("%s is not a file: give another with --db"), path);
}

int mem_open(const char *path, mem_store **out, char *err)
{
    *out = NULL;
    char *file = path ? q_strdup(path) : q_user_path(Q_DIR_DATA, "quorum.db");
    if (!file) return q_no_home(err);
    mem_store *s = q_alloc(sizeof *s);
    s->path = file;
    s->owner = process_name((long)getpid());
    pthread_mutex_init(&s->mutex, NULL);
    int rc = strcmp(s->path, ":memory:") == 0 ? Q_OK : make_file(s->path, err);
    if (rc == Q_OK && sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
        rc = s->db ? store_error(s, err) : q_fail(err, Q_NOMEM, _("not enough memory to open %s"), s->path);
    if (rc == Q_OK) rc = settle(s, err);
    if (rc == Q_OK) rc = store_migrate(s, store_schema_version, err);
    if (rc == Q_OK) rc = renew_indexes(s, err);
    if (rc == Q_OK &&
        sqlite3_exec(s->db, "CREATE VIRTUAL TABLE temp.chunk_words USING fts5vocab(main, chunk_fts, row);"
                     "CREATE VIRTUAL TABLE temp.message_words USING fts5vocab(main, message_fts, row)", NULL, NULL, NULL) != SQLITE_OK)
        rc = store_error(s, err);
    if (rc == Q_OK) rc = store_recover_replies(s, err);
    if (rc != Q_OK) {
        mem_close(s);
        return rc;
    }
    *out = s;
    return Q_OK;
}

void mem_close(mem_store *s)
{
    if (!s) return;
    sqlite3_close_v2(s->db);
    pthread_mutex_destroy(&s->mutex);
    free(s->path);
    free(s->owner);
    free(s);
}

int mem_check(mem_store *s, char *err)
{
    store_lock(s);
    int rc = Q_OK;
    sqlite3_stmt *st = store_query(s, err, "PRAGMA integrity_check(1)", "");
    if (!st) rc = Q_IO;
    if (rc == Q_OK && store_step(s, st, err) != 1) rc = Q_IO;
    if (rc == Q_OK && strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
        rc = q_fail(err, Q_FORMAT, _("%s is damaged (%s): move it away, or give another file with --db"), s->path, sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    /* rank 1: also compare the index with its content (fts5.html, section 6.5) */
    if (rc == Q_OK) rc = store_run(s, NULL, err, "INSERT INTO message_fts(message_fts, rank) VALUES('integrity-check', 1)", "");
    if (rc == Q_OK) rc = store_run(s, NULL, err, "INSERT INTO chunk_fts(chunk_fts, rank) VALUES('integrity-check', 1)", "");
    if (rc == Q_OK) {
        st = store_query(s, err, "PRAGMA foreign_key_check", "");
        rc = st ? store_step(s, st, err) : Q_IO;
        if (rc == 1) rc = q_fail(err, Q_FORMAT, _("%s holds rows whose owner is gone: move it away, or give another file with --db"), s->path);
        sqlite3_finalize(st);
    }
    store_unlock(s);
    return rc;
}
