/* memory/open: opens the one connection of a process, settles it and brings the file up. Owns the mem_store; any thread
 * may call the public functions. It never touches a conversation or a document itself. */
#include "memory/named.h"
#include "memory/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Older versions have a rare corruption race in WAL with two connections (sqlite.org/wal.html, "WAL reset bug"). */
enum { WAL_SAFE = 3051003, BUSY_LOOKS = 5000, BUSY_NS = 2000000 };

/* Another process is at the file: ten seconds of looking again. Often, because bulk work there leaves gaps of a
 * millisecond between its steps (store_breathe), which SQLite's own waiting of up to 100 ms would miss. */
static int on_busy(void *user, int looks)
{
    (void)user;
    if (looks >= BUSY_LOOKS) return 0;
    nanosleep(&(struct timespec){.tv_nsec = BUSY_NS}, NULL);
    return 1;
}

/* Is the process that began a reply still there? */
static void owner_alive(sqlite3_context *c, int n, sqlite3_value **v)
{
    sqlite3_result_int(c, store_is_alive((const char *)sqlite3_value_text(v[0])));
}

static int settle(mem_store *s, char *err)
{
    sqlite3_busy_handler(s->db, on_busy, NULL);
    store_limit_work(s);
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
    int rc = store_register_words(s, err);
    return rc == Q_OK ? store_register_titles(s, err) : rc;
}

/* Are the indexes such as this quorum writes and can go on writing? In one transaction: of one moment. */
static int indexes_fit(mem_store *s, bool *fit, char *err)
{
    sqlite3_stmt *st = store_query(s, err, "SELECT value FROM setting WHERE name='words'", "");
    int rc = st ? store_step(s, st, err) : store_failed(s);
    *fit = rc == 1 && strcmp((const char *)sqlite3_column_text(st, 0), store_words_version) == 0;
    sqlite3_finalize(st);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc >= 0; k++) {
        store_shape shape;
        rc = store_index_shape(s, k, &shape, err);
        *fit &= shape.levels <= store_levels_max;
    }
    return rc < 0 ? rc : Q_OK;
}

static int finish(mem_store *s, int rc, char *err)
{
    if (rc == Q_OK) rc = store_run(s, NULL, err, "COMMIT", "");
    if (rc != Q_OK && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* Where they are not, both are owed again: made by other rules for words, or merged too often by an older quorum. */
static int renew_indexes(mem_store *s, char *err)
{
    bool fit;
    int rc = store_run(s, NULL, err, "BEGIN", "");
    if (rc == Q_OK) rc = finish(s, indexes_fit(s, &fit, err), err);
    if (rc != Q_OK || fit) return rc;
    rc = store_run(s, NULL, err, "BEGIN IMMEDIATE", "");
    if (rc == Q_OK) rc = indexes_fit(s, &fit, err);         /* another process may have done it meanwhile */
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK && !fit; k++) rc = store_index_reset(s, k, err);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "INSERT OR REPLACE INTO setting(name, value) VALUES('words', ?)", "s", store_words_version);
    return finish(s, rc, err);
}

static int make_folder(const char *path, char *err)
{
    char *slash = strrchr(path, '/');
    if (!slash || slash == path) return Q_OK;
    char *dir = q_strndup(path, (size_t)(slash - path));
    int rc = q_mkdirs(dir, err);
    free(dir);
    return rc;
}

/* The file is made here, not by SQLite, so that nobody else can ever read it. One that is there is not opened: closing a
 * descriptor would drop the locks that another store of this process holds on it (fcntl(2)). */
static int make_file(mem_store *s, char *err)
{
    struct stat st;
    int rc = make_folder(s->path, err);
    if (rc != Q_OK) return rc;
    int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) return close(fd), Q_OK;
    int why = errno;
    bool there = stat(s->path, &st) == 0;
    if (there && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return q_fail(err, Q_FORMAT, _("%s is not a file: give another with --db"), s->path);
    if (there && S_ISDIR(st.st_mode)) return q_fail(err, Q_IO, _("cannot open the memory %s: %s"), s->path, strerror(EISDIR));
    if (there && access(s->path, R_OK | W_OK) != 0) why = errno;
    else if (there) why = 0;
    if (why == EACCES || why == EROFS || why == EPERM)
        return q_fail(err, Q_IO, _("the memory %s cannot be written: check its permissions and its folder's, or give another file with --db"), s->path);
    if (why) return q_fail(err, Q_IO, _("cannot open the memory %s: %s"), s->path, strerror(why));
    if (!(st.st_mode & 077)) return Q_OK;
    if (chmod(s->path, st.st_mode & 0700) == 0) store_note(s, _("others on this machine could open %s: it is closed to them now"), s->path);
    else store_note(s, _("others on this machine can open %s, and it could not be closed to them: %s"), s->path, strerror(errno));
    return Q_OK;
}

int store_open(const char *path, const store_watch *watch, mem_store **out, char *err)
{
    *out = NULL;
    char *file = path ? store_path(path) : q_user_path(Q_DIR_DATA, "quorum.db");
    if (!file) return q_no_home(err);
    mem_store *s = q_alloc(sizeof *s);
    s->path = file;
    s->owner = store_process_name((long)getpid());
    s->watch = watch;
    s->names = q_alloc(sizeof *s->names);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->turn, NULL);
    int rc = strcmp(s->path, ":memory:") == 0 ? Q_OK : make_file(s, err);
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

int mem_open(const char *path, mem_store **out, char *err) { return store_open(path, NULL, out, err); }

void mem_close(mem_store *s)
{
    if (!s) return;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT; k++) store_postings_forget(s, k);
    store_close(s);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->turn);
    named_free(s->names);
    free(s->names);
    free(s->note);
    free(s->path);
    free(s->owner);
    free(s);
}
