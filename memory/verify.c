/* memory/verify: where a text still stands in a store's file: in rows, in what is compressed, in the words of its indexes, in bytes
 * that no row holds any more; the same of its journal, its backups and copies. Opens everything read-only, with connections of its own,
 * also a file that mem_open refuses. Any thread. It writes nothing. */
#include "memory/store.h"

#include "base/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20, COLUMNS_MAX = 64, WORDS_MAX = 32 };

struct verifying {
    mem_store s;                            /* of the file that is looked at now */
    const char *file;
    char *folded; size_t n;
    char *word[WORDS_MAX]; int n_word;      /* its stems, as the indexes hold them */
    mem_found_fn *fn;
    void *user;
    int found, here;                        /* in all; in this file */
    int unread;
};

static void tell(struct verifying *x, const char *where, int64_t row, int64_t n)
{
    mem_found f = {.file = x->file, .where = where, .row = row, .n = n};
    x->found++;
    x->here++;
    x->fn(x->user, &f);
}

static bool has(const struct verifying *x, const void *p, size_t n) { return p && q_holds(p, n, x->folded, x->n); }

/* ---- rows ---- */
static bool value_has(const struct verifying *x, sqlite3_stmt *st, int i, bool trace)
{
    const void *p = sqlite3_column_blob(st, i);
    size_t n = (size_t)sqlite3_column_bytes(st, i);
    if (has(x, p, n)) return true;
    mem_trace *t = NULL;
    bool held = trace && p && store_trace_unpack(p, n, &t) == Q_OK && t->made && has(x, t->made, strlen(t->made));
    mem_trace_free(t);
    return held;
}

static void one_table(struct verifying *x, const char *table)
{
    char err[Q_ERRLEN];
    int64_t n[COLUMNS_MAX] = {0}, first[COLUMNS_MAX] = {0};
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", table);
    sqlite3_stmt *st = sql ? store_query(&x->s, err, sql, "") : NULL;
    int rc = st ? 1 : -1, columns = st ? sqlite3_column_count(st) : 0;
    bool trace = strcmp(table, "message_trace") == 0;
    columns = columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
    while (rc == 1 && (rc = store_step(&x->s, st, err)) == 1)
        for (int i = 0; i < columns; i++) {
            int type = sqlite3_column_type(st, i);
            if ((type != SQLITE_TEXT && type != SQLITE_BLOB) || !value_has(x, st, i, trace)) continue;
            if (!n[i]++) first[i] = sqlite3_column_type(st, 0) == SQLITE_INTEGER ? sqlite3_column_int64(st, 0) : 0;
        }
    for (int i = 0; i < columns; i++)
        if (n[i]) {
            char *where = q_printf("%s.%s", table, sqlite3_column_name(st, i));
            tell(x, where, first[i], n[i]);
            free(where);
        }
    x->unread += rc < 0;
    sqlite3_finalize(st);
    sqlite3_free(sql);
}

/* ---- words of FTS5's pages, also of those that no search reads any more ---- */
/* fts5_index.c: a leaf is two numbers of two bytes (where its first rowid is; where its content ends and the offsets of its terms begin,
 * each from the one before it), then terms: the first whole, each other as how much of the one before it stays and what is new. */
static bool leaf_has(const unsigned char *p, size_t n, const char *word)
{
    char term[512];
    size_t had = 0, want = strlen(word);
    const unsigned char *end = p + n;
    if (n < 4) return false;
    size_t foot = (size_t)p[2] << 8 | p[3], at = 0;
    if (foot < 4 || foot > n) return false;
    for (const unsigned char *f = p + foot; f < end;) {
        int64_t by, keep = 0, more;
        bool first = at == 0;
        f = store_varint(f, end, &by);
        if (by <= 0 || at + (size_t)by >= foot) return false;
        at += (size_t)by;
        const unsigned char *q = p + at;
        if (!first) q = store_varint(q, p + foot, &keep);
        q = store_varint(q, p + foot, &more);
        if (keep < 0 || more < 0 || (size_t)keep > had || (size_t)more > (size_t)(p + foot - q)) return false;
        size_t room = sizeof term - (size_t)keep, take = (size_t)more < room ? (size_t)more : room;
        memcpy(term + keep, q, take);
        had = (size_t)keep + take;
        /* the first byte says which index the term is of: the words themselves */
        if (had == want + 1 && *term == '0' && memcmp(term + 1, word, want) == 0) return true;
    }
    return false;
}

/* A word in old pages of an index that no passage has: the purge of it is still owed. */
static void old_words(struct verifying *x, const char *fts, const char *posting)
{
    char err[Q_ERRLEN], sql[128];
    for (int w = 0; w < x->n_word; w++) {
        int64_t live = 0, first = 0, n = 0;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE word=?", posting);
        if (store_int(&x->s, &live, err, sql, "s", x->word[w]) != Q_OK || live) continue;
        snprintf(sql, sizeof sql, "SELECT id, block FROM %s_data WHERE id>10 AND (id>>31)&63=0", fts);
        sqlite3_stmt *st = store_query(&x->s, err, sql, "");
        while (st && store_step(&x->s, st, err) == 1)
            if (leaf_has(sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1), x->word[w]) && !n++) first = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        if (n) tell(x, fts, first, n);
    }
}

/* Plain tables only; what cannot be read is counted, and its bytes are looked at all the same. */
static void rows(struct verifying *x)
{
    char err[Q_ERRLEN], *name[256];
    int n = 0;
    pthread_mutex_init(&x->s.mutex, NULL);
    pthread_cond_init(&x->s.turn, NULL);
    x->s.path = (char *)(uintptr_t)x->file;
    if (sqlite3_open_v2(x->file, &x->s.db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
        store_limit_work(&x->s);
        sqlite3_busy_timeout(x->s.db, 5000);
        sqlite3_db_config(x->s.db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(x->s.db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        sqlite3_db_config(x->s.db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
        sqlite3_stmt *st = store_query(&x->s, err, "SELECT name FROM sqlite_schema WHERE type='table' AND rootpage>0 ORDER BY name", "");
        while (st && n < 256 && store_step(&x->s, st, err) == 1) name[n++] = store_text(st, 0);
        x->unread += !st;
        sqlite3_finalize(st);
    }
    for (int i = 0; i < n; i++) {
        store_allow(&x->s, STORE_LONG);
        one_table(x, name[i]);
        free(name[i]);
    }
    store_allow(&x->s, STORE_LONG);
    if (n) old_words(x, "chunk_fts", "chunk_posting");
    if (n) old_words(x, "message_fts", "message_posting");
    store_close(&x->s);
    pthread_mutex_destroy(&x->s.mutex);
    pthread_cond_destroy(&x->s.turn);
    x->s = (mem_store){0};
}

/* ---- bytes ---- */
int mem_file_holds(const char *file, const char *text, int64_t *at, char *err)
{
    size_t n = strlen(text), had = 0;
    char *folded = q_strdup(text), *b = q_alloc(PIECE + n);
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = fd < 0 ? q_fail(err, Q_IO, "%s: %s", file, strerror(errno)) : Q_OK;
    int64_t base = 0;
    *at = -1;
    q_fold_bytes(folded, n);
    if (rc == Q_OK) rc = q_file_check(fd, file, err);
    for (ssize_t got = 1; rc == Q_OK && n && *at < 0 && got > 0;) {
        got = read(fd, b + had, PIECE);
        if (got < 0 && errno == EINTR) got = 1;
        else if (got < 0) rc = q_fail(err, Q_IO, "%s: %s", file, strerror(errno));
        else if (got > 0) {
            had += (size_t)got;
            if (q_holds(b, had, folded, n)) *at = base;     /* about: where the piece begins that holds it */
            size_t keep = had < n ? had : n;
            memmove(b, b + had - keep, keep);
            base += (int64_t)(had - keep);
            had = keep;
        }
    }
    if (fd >= 0) close(fd);
    free(folded);
    free(b);
    return rc;
}

static int bytes(struct verifying *x, const char *text, char *err)
{
    int64_t at;
    int rc = mem_file_holds(x->file, text, &at, err);
    if (rc == Q_OK && at >= 0 && x->here == 0) tell(x, NULL, at, 1);        /* rows that hold it were told of */
    return rc;
}

/* ---- the file and what lies beside it ---- */
static bool word_of(void *user, const mem_word *w)
{
    struct verifying *x = user;
    if (x->n_word < WORDS_MAX && !(w->flags & MEM_WORD_EXACT)) x->word[x->n_word++] = q_strdup(w->stem);
    return x->n_word < WORDS_MAX;
}

/* rest: what stands behind the store's own name, which may itself be called anything. */
static bool is_database(const char *rest)
{
    static const char *const not[] = {"-journal", "-wal", "-shm"};
    size_t n = strlen(rest);
    for (size_t i = 0; i < sizeof not / sizeof *not; i++)
        if (n >= strlen(not[i]) && strcmp(rest + n - strlen(not[i]), not[i]) == 0) return false;
    return true;
}

static int one_file(struct verifying *x, const char *file, const char *rest, const char *text, char *err)
{
    x->file = file;
    x->here = 0;
    if (is_database(rest)) rows(x);
    return bytes(x, text, err);
}

int mem_verify_absent(const char *path, const char *text, mem_found_fn *fn, void *user, int *files, int *unread, char *err)
{
    struct verifying x = {.fn = fn, .user = user, .folded = q_strdup(text), .n = strlen(text)};
    char *file = path ? store_path(path) : q_user_path(Q_DIR_DATA, "quorum.db");
    *files = *unread = 0;
    if (!file) {
        free(x.folded);
        return q_no_home(err);
    }
    q_fold_bytes(x.folded, x.n);
    mem_words(text, x.n, word_of, &x);
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    char *folder = q_folder_of(file);
    static const char *const beside[] = {"", "-journal", "-wal", "-shm", ".before-", ".backup-"};
    struct stat st;
    int rc = stat(file, &st) == 0 && S_ISREG(st.st_mode) ? Q_OK : q_fail(err, Q_NOTFOUND, _("there is no memory at %s"), file);
    DIR *d = rc == Q_OK ? opendir(folder) : NULL;
    if (rc == Q_OK && !d) rc = q_fail(err, Q_IO, _("cannot read the folder %s: %s"), folder, strerror(errno));
    for (struct dirent *e; d && rc == Q_OK && (e = readdir(d));) {
        const char *rest = strncmp(e->d_name, name, strlen(name)) == 0 ? e->d_name + strlen(name) : NULL;
        bool ours = false;
        for (size_t i = 0; rest && i < sizeof beside / sizeof *beside; i++)
            ours |= i < 4 ? strcmp(rest, beside[i]) == 0 : strncmp(rest, beside[i], strlen(beside[i])) == 0;
        if (!ours) continue;
        char *one = q_printf("%s%s", file, rest);
        if (stat(one, &st) == 0 && S_ISREG(st.st_mode)) {
            rc = one_file(&x, one, rest, text, err);
            ++*files;
        }
        free(one);
    }
    if (d) closedir(d);
    *unread = x.unread;
    for (int i = 0; i < x.n_word; i++) free(x.word[i]);
    free(x.folded);
    free(folder);
    free(file);
    return rc < 0 ? rc : x.found;
}
