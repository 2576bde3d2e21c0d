/* memory/store: opens the one connection, turns SQLite's errors into sentences, and holds the small
 * helpers that every query here goes through. Owns the mutex; any thread may call the public functions.
 * It never keeps a transaction open between two calls. */
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

void store_lock(mem_store *s) { pthread_mutex_lock(&s->mutex); }
void store_unlock(mem_store *s) { pthread_mutex_unlock(&s->mutex); }

int store_error(mem_store *s, char *err)
{
    int code = sqlite3_errcode(s->db);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return q_fail(err, Q_IO, _("the memory %s is busy in another process: try again in a moment"), s->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return q_fail(err, Q_IO, _("the memory %s cannot be written: check its permissions and its folder's, or give another file with --db"), s->path);
    case SQLITE_FULL:
        return q_fail(err, Q_IO, _("the disk of %s is full: free some space and try again; what was kept before is safe"), s->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return q_fail(err, Q_FORMAT, _("%s is damaged or is no database: move it away, or give another file with --db"), s->path);
    case SQLITE_CANTOPEN:
        return q_fail(err, Q_IO, _("cannot open the memory %s: check that its folder exists and can be written"), s->path);
    case SQLITE_TOOBIG:
        return q_fail(err, Q_RANGE, _("that is too large for the memory (256 MiB at most): split it"));
    case SQLITE_NOMEM:
        return q_fail(err, Q_NOMEM, _("not enough memory for a query on %s"), s->path);
    case SQLITE_IOERR: {
        int e = sqlite3_system_errno(s->db);
        return q_fail(err, Q_IO, _("cannot read or write the memory %s: %s; what was kept before is safe"), s->path,
                      e ? strerror(e) : sqlite3_errmsg(s->db));
    }
    default:
        return q_fail(err, Q_ERR, _("the memory %s failed: %s"), s->path, sqlite3_errmsg(s->db));
    }
}

static sqlite3_stmt *query_va(mem_store *s, char *err, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK) {
        store_error(s, err);
        return NULL;
    }
    int rc = SQLITE_OK;
    for (int i = 1; types[i - 1] && rc == SQLITE_OK; i++) {
        switch (types[i - 1]) {
        case 'i': rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t)); break;
        case 'd': rc = sqlite3_bind_double(st, i, va_arg(ap, double)); break;
        case 's': rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC); break;
        case 't': {
            const char *p = va_arg(ap, const char *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_text64(st, i, p ? p : "", n, SQLITE_STATIC, SQLITE_UTF8);
            break;
        }
        case 'b': {
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_blob64(st, i, p, n, SQLITE_STATIC);
            break;
        }
        default: rc = SQLITE_MISUSE;
        }
    }
    if (rc != SQLITE_OK) {
        store_error(s, err);
        sqlite3_finalize(st);
        return NULL;
    }
    return st;
}

sqlite3_stmt *store_query(mem_store *s, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = query_va(s, err, sql, types, ap);
    va_end(ap);
    return st;
}

int store_step(mem_store *s, sqlite3_stmt *st, char *err)
{
    int rc = sqlite3_step(st);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : store_error(s, err);
}

int store_run(mem_store *s, int *changes, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = query_va(s, err, sql, types, ap);
    va_end(ap);
    if (!st) return Q_IO;
    int rc;
    while ((rc = store_step(s, st, err)) == 1) {}
    if (changes) *changes = sqlite3_changes(s->db);
    sqlite3_finalize(st);
    return rc;
}

int store_int(mem_store *s, int64_t *out, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = query_va(s, err, sql, types, ap);
    va_end(ap);
    if (!st) return Q_IO;
    int rc = store_step(s, st, err);
    if (rc == 1) *out = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return rc == 1 ? Q_OK : rc == 0 ? Q_NOTFOUND : rc;
}

char *store_text(sqlite3_stmt *st, int column)
{
    const char *p = (const char *)sqlite3_column_text(st, column);
    return q_strndup(p ? p : "", p ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

int store_begin(mem_store *s, char *err)
{
    store_lock(s);
    int rc = store_run(s, NULL, err, "BEGIN IMMEDIATE", "");
    if (rc != Q_OK) store_unlock(s);
    return rc;
}

int store_end(mem_store *s, int rc, char *err)
{
    if (rc == Q_OK) rc = store_run(s, NULL, err, "COMMIT", "");
    /* some errors (full disk, I/O) have rolled back already; a second ROLLBACK would only fail */
    if (rc != Q_OK && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    store_unlock(s);
    return rc;
}

int store_purge(mem_store *s, const char *fts, char *err)
{
    char sql[96];
    snprintf(sql, sizeof sql, "INSERT INTO %s(%s) VALUES('optimize')", fts, fts);
    return store_run(s, NULL, err, sql, "");
}

int store_end_deletion(mem_store *s, int rc, char *err)
{
    rc = store_end(s, rc, err);
    if (rc == Q_OK) {
        store_lock(s);
        sqlite3_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
        store_unlock(s);
    }
    return rc;
}

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
    mem_store *s = q_alloc(sizeof *s);
    s->path = path ? q_strdup(path) : q_user_path(Q_DIR_DATA, "quorum.db");
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

char *mem_setting_get(mem_store *s, const char *name)
{
    char err[Q_ERRLEN], *value = NULL;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT value FROM setting WHERE name=?", "s", name);
    if (st && store_step(s, st, err) == 1) value = store_text(st, 0);
    sqlite3_finalize(st);
    store_unlock(s);
    return value;
}

int mem_setting_each(mem_store *s, const char *except, void (*fn)(void *user, const char *name, const char *value), void *user, char *err)
{
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT name, value FROM setting WHERE ?1='' OR substr(name, 1, length(?1))<>?1 ORDER BY name", "s",
                                   except ? except : "");
    int rc = st ? 1 : Q_IO;
    while (st && (rc = store_step(s, st, err)) == 1)
        fn(user, (const char *)sqlite3_column_text(st, 0), (const char *)sqlite3_column_text(st, 1));
    sqlite3_finalize(st);
    store_unlock(s);
    return rc;
}

int mem_setting_put(mem_store *s, const char *name, const char *value, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = value ? store_run(s, NULL, err, "INSERT INTO setting VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value=excluded.value", "ss", name, value)
               : store_run(s, NULL, err, "DELETE FROM setting WHERE name=?", "s", name);
    return store_end(s, rc, err);
}
