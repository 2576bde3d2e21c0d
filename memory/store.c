/* memory/store: the small helpers that every query here goes through: the lock, statements, transactions, and SQLite's
 * errors as sentences. Any thread. It never keeps a transaction open between two calls of a public function. */
#include "memory/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* SQLite's virtual machine is asked after every so many of its instructions; an ordinary statement of ours takes
 * some thousands, listing 100,000 documents some ten million; making an index again or checking a file is long. */
enum { PROGRESS_OPS = 10000,
       ORDINARY = 100000 /* 1e9 instructions */,
       LONG = 10000000,
       BREATH_NS = 1000000 };

/* ---- the lock ---- */
void store_lock(mem_store *s)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t mine = s->next++;
    while (s->serving != mine) pthread_cond_wait(&s->turn, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    s->rows = sqlite3_total_changes64(s->db);
}

void store_unlock(mem_store *s)
{
    int64_t rows = sqlite3_total_changes64(s->db) - s->rows;
    const store_watch *w = s->watch;
    s->budget = ORDINARY;
    pthread_mutex_lock(&s->mutex);
    s->serving++;
    pthread_cond_broadcast(&s->turn);
    pthread_mutex_unlock(&s->mutex);
    if (w && w->unlocked) w->unlocked(w->user, s, rows);
}

void store_breathe(mem_store *s)
{
    if (s->watch && s->watch->between) s->watch->between(s->watch->user, s);
    /* another process looks every few milliseconds whether the file is free (open.c) */
    nanosleep(&(struct timespec){ .tv_nsec = BREATH_NS }, NULL);
}

/* ---- limits ---- */
static int on_progress(void *user)
{
    mem_store *s = user;
    return --s->budget < 0;
}

int store_limit_work(mem_store *s)
{
    s->budget = ORDINARY;
    sqlite3_progress_handler(s->db, PROGRESS_OPS, on_progress, s);
    return Q_OK;
}

void store_allow(mem_store *s, int much) { s->budget = much == STORE_LONG ? LONG : ORDINARY; }

/* ---- errors ---- */
/* SQLite calls it damage, too, when the disk does not give what lies on it (its SQLITE_IOERR_CORRUPTFS: EIO, ENXIO, ERANGE of a read becomes SQLITE_CORRUPT on
 * the way out), so the file is read once more, to its end or this far. */
static bool unread(sqlite3 *db, int which, int *e)
{
    enum { BLOCK = 1 << 16 };
    static const sqlite3_int64 far = (sqlite3_int64)1 << 30;
    sqlite3_file *f = NULL;
    sqlite3_int64 n = 0;
    int rc = sqlite3_file_control(db, "main", which, &f);
    if (rc != SQLITE_OK || !f || !f->pMethods || (rc = f->pMethods->xFileSize(f, &n)) != SQLITE_OK) return false;
    char *block = q_alloc(BLOCK);
    for (sqlite3_int64 at = 0; at < n && at < far && rc == SQLITE_OK; at += BLOCK) rc = f->pMethods->xRead(f, block, (int)(n - at < BLOCK ? n - at : BLOCK), at);
    free(block);
    if ((rc & 0xff) != SQLITE_IOERR || rc == SQLITE_IOERR_SHORT_READ) return false;
    *e = EIO;
    if (which == SQLITE_FCNTL_FILE_POINTER) sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, e);
    return true;
}

int store_damaged(mem_store *s, char *err, const char *how)
{
    int e = 0;
    if (unread(s->db, SQLITE_FCNTL_FILE_POINTER, &e) || unread(s->db, SQLITE_FCNTL_JOURNAL_POINTER, &e))
        return q_fail(err, Q_IO, _("cannot read the memory %s: %s; it may be whole, but this disk does not give it: quorum memory export saves what can be read"), s->path, strerror(e ? e : EIO));
    return how ? q_fail(err, Q_FORMAT, _("%s is damaged (%s): quorum memory export saves what can be read; then give another file with --db"), s->path, how)
               : q_fail(err, Q_FORMAT, _("%s is damaged or is no database: quorum memory export saves what can be read; then give another file with --db"), s->path);
}

static int say(mem_store *s, char *err)
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
    case SQLITE_NOTADB: return store_damaged(s, err, NULL);
    case SQLITE_CANTOPEN:
        return q_fail(err, Q_IO, _("cannot open the memory %s: check that its folder exists and can be written"), s->path);
    case SQLITE_TOOBIG:
        return q_fail(err, Q_RANGE, _("that is too large for the memory (256 MiB at most): split it"));
    case SQLITE_NOMEM:
        return q_fail(err, Q_NOMEM, _("not enough memory for a query on %s"), s->path);
    case SQLITE_INTERRUPT:
        return q_fail(err, Q_FORMAT, _("%s asks for more work than any file of ours: somebody has changed it; quorum memory export saves what can be read"), s->path);
    case SQLITE_IOERR: {
        int e = sqlite3_system_errno(s->db);
        return q_fail(err, Q_IO, _("cannot read or write the memory %s: %s; what was kept before is safe"), s->path,
                      e ? strerror(e) : sqlite3_errmsg(s->db));
    }
    default:
        return q_fail(err, Q_ERR, _("the memory %s failed: %s"), s->path, sqlite3_errmsg(s->db));
    }
}

int store_error(mem_store *s, char *err)
{
    s->broken = sqlite3_extended_errcode(s->db) == SQLITE_CORRUPT_VTAB;
    return s->code = say(s, err);
}

int store_failed(const mem_store *s) { return s->code; }

int store_tampered(mem_store *s, char *err)
{
    return q_fail(err, Q_FORMAT, _("%s does not do what it is told: somebody has changed it; quorum memory export saves what can be read"), s->path);
}

void store_note(mem_store *s, const char *fmt, ...)
{
    char text[Q_ERRLEN];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&s->mutex);
    char *all = s->note && !strstr(s->note, text) ? q_printf("%s; %s", s->note, text) : q_strdup(s->note ? s->note : text);
    free(s->note);
    s->note = all;
    pthread_mutex_unlock(&s->mutex);
}

char *mem_note(mem_store *s)
{
    pthread_mutex_lock(&s->mutex);
    char *text = s->note;
    s->note = NULL;
    pthread_mutex_unlock(&s->mutex);
    return text;
}

/* ---- statements ---- */
static int bind_va(sqlite3_stmt *st, const char *types, va_list ap)
{
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
    return rc;
}

sqlite3_stmt *store_query_va(mem_store *s, char *err, const char *sql, const char *types, va_list ap)
{
    if (s->watch && s->watch->statement) s->watch->statement(s->watch->user, sql);
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK && bind_va(st, types, ap) == SQLITE_OK) return st;
    store_error(s, err);
    sqlite3_finalize(st);
    return NULL;
}

sqlite3_stmt *store_query(mem_store *s, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = store_query_va(s, err, sql, types, ap);
    va_end(ap);
    return st;
}

/* Whoever asks the same again and again need not have it taken apart anew each time: it is a tenth of the work of taking texts in. */
sqlite3_stmt *store_kept_va(mem_store *s, char *err, const char *sql, const char *types, va_list ap)
{
    uint64_t h = q_hash64(sql, strlen(sql), 11);
    store_kept *k = &s->kept[h % STORE_KEPT];
    if (k->busy) return store_query_va(s, err, sql, types, ap);
    if (k->statement && (k->hash != h || strcmp(sqlite3_sql(k->statement), sql) != 0)) {
        sqlite3_finalize(k->statement);
        k->statement = NULL;
    }
    if (!k->statement) {
        sqlite3_stmt *st = store_query_va(s, err, sql, types, ap);
        if (st) *k = (store_kept){ st, h, true };
        return st;
    }
    if (s->watch && s->watch->statement) s->watch->statement(s->watch->user, sql);
    if (bind_va(k->statement, types, ap) == SQLITE_OK) {
        k->busy = true;
        return k->statement;
    }
    store_error(s, err);
    sqlite3_clear_bindings(k->statement);
    return NULL;
}

void store_done(mem_store *s, sqlite3_stmt *st)
{
    for (int i = 0; st && i < STORE_KEPT; i++) {
        store_kept *k = &s->kept[i];
        if (k->statement != st) continue;
        sqlite3_reset(st);
        sqlite3_clear_bindings(st); /* the caller's texts go */
        k->busy = false;
        return;
    }
    sqlite3_finalize(st);
}

void store_close(mem_store *s)
{
    for (int i = 0; i < STORE_KEPT; i++) sqlite3_finalize(s->kept[i].statement);
    memset(s->kept, 0, sizeof s->kept);
    sqlite3_close_v2(s->db);
    s->db = NULL;
}

int store_step(mem_store *s, sqlite3_stmt *st, char *err)
{
    int rc = sqlite3_step(st);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0
                                                    : store_error(s, err);
}

int store_again(mem_store *s, sqlite3_stmt *st, char *err, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    int rc = bind_va(st, types, ap) == SQLITE_OK ? 1 : store_error(s, err);
    va_end(ap);
    while (rc == 1) rc = store_step(s, st, err);
    sqlite3_reset(st);
    return rc;
}

int store_run(mem_store *s, int *changes, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = store_kept_va(s, err, sql, types, ap);
    va_end(ap);
    if (!st) return store_failed(s);
    int rc;
    while ((rc = store_step(s, st, err)) == 1) {}
    if (changes) *changes = sqlite3_changes(s->db);
    store_done(s, st);
    return rc;
}

int store_int(mem_store *s, int64_t *out, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = store_kept_va(s, err, sql, types, ap);
    va_end(ap);
    if (!st) return store_failed(s);
    int rc = store_step(s, st, err);
    if (rc == 1) *out = sqlite3_column_int64(st, 0);
    store_done(s, st);
    return rc == 1 ? Q_OK : rc == 0 ? Q_NOTFOUND
                                    : rc;
}

char *store_text(sqlite3_stmt *st, int column)
{
    const char *p = (const char *)sqlite3_column_text(st, column);
    return q_strndup(p ? p : "", p ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

/* ---- who is there ---- */
/* "pid:start time": unlike a pid alone it does not name a later process by mistake. */
/* SQLite may be built to read "file:x.db" as a URI, another file than the one that everything else here calls so. */
char *store_path(const char *path) { return strncmp(path, "file:", 5) == 0 ? q_printf("./%s", path) : q_strdup(path); }

char *store_uri(const char *path, const char *query)
{
    q_buf b = { 0 };
    q_buf_puts(&b, *path == '/' ? "file://" : "file:"); /* with the two, no first part of a path is taken for a host */
    for (; *path; path++) {
        if (strchr("?#%", *path)) q_buf_printf(&b, "%%%02x", (unsigned char)*path);
        else q_buf_putc(&b, *path);
    }
    q_buf_printf(&b, "?%s", query);
    return q_buf_take(&b);
}

char *store_process_name(long pid)
{
    char path[64], line[1024];
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "re");
    if (f) {
        size_t n = fread(line, 1, sizeof line - 1, f);
        line[n] = 0;
        fclose(f);
        char *p = strrchr(line, ')'); /* the name before it may hold anything; starttime is field 22 (proc(5)) */
        for (int at = 2; p && at < 22; at++) p = strchr(p + 1, ' ');
        if (p) start = strtoull(p, NULL, 10);
    }
    return q_printf("%ld:%llu", pid, start);
}

bool store_is_alive(const char *owner)
{
    char *now = store_process_name(owner ? strtol(owner, NULL, 10) : 0);
    bool same = owner && strcmp(owner, now) == 0;
    free(now);
    return same;
}

const char *mem_owner(const mem_store *s) { return s->owner; }
bool mem_alive(const char *owner) { return store_is_alive(owner); }
