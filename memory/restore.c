/* memory/restore: the file becomes what a day's backup is; what it was is kept beside it, and goes with the backups when something is
 * forgotten. With connections of its own. */
#include "memory/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Over SQLite's own locks, so that a quorum that runs meanwhile sees the whole of one or of the other. */
static int put_back(const char *file, const char *from, char *err)
{
    sqlite3 *src = NULL, *dst = NULL;
    int rc = sqlite3_open_v2(from, &src, SQLITE_OPEN_READONLY, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_open_v2(file, &dst, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(dst, 10000);
        sqlite3_exec(dst, "PRAGMA secure_delete=ON; PRAGMA synchronous=FULL", NULL, NULL, NULL);
        rc = store_copy_all(src, dst);
    }
    sqlite3_close_v2(src);
    sqlite3_close_v2(dst);
    return rc == SQLITE_OK ? Q_OK : q_fail(err, Q_IO, _("%s could not be brought back: %s; nothing was changed"), from, sqlite3_errstr(rc));
}

/* One that is not there yet: what an earlier restoring of the day put aside stays. */
static char *kept_name(const char *file)
{
    char day[11];
    struct stat st;
    store_backup_day(NULL, day);
    char *whole = store_backup_path(file, day), *kept = q_printf("%s.replaced", whole);
    for (int i = 2; lstat(kept, &st) == 0; i++) {
        free(kept);
        kept = q_printf("%s.replaced.%d", whole, i);
    }
    free(whole);
    return kept;
}

/* A file of its own with something in it: an empty one would open as an empty memory. */
static int is_backup(const char *file, const char *day, const char *from, char *err)
{
    struct stat st;
    if (!store_backup_named(day) || lstat(from, &st) != 0 || !S_ISREG(st.st_mode))
        return q_fail(err, Q_NOTFOUND, _("there is no backup of %s of the day %s: quorum memory backups lists them"), file, day);
    return st.st_size ? Q_OK : q_fail(err, Q_FORMAT, _("%s is empty: nothing was changed; quorum memory backups lists the others"), from);
}

/* A copy of what is there; what cannot be read is put aside as it is (*moved), and an empty file stands in its place. */
static int put_aside(const char *file, const char *kept, bool *moved, char *err)
{
    mem_store *s = NULL;
    int rc = store_open(file, NULL, &s, err);
    if (rc == Q_OK) rc = store_backup_write(s, kept, NULL, NULL, err);
    mem_close(s);
    if (rc != Q_FORMAT) return rc;
    if (link(file, kept) != 0) return q_fail(err, Q_IO, _("cannot keep a copy of %s: %s; nothing was changed"), file, strerror(errno));
    if (unlink(file) != 0) {
        q_fail(err, Q_IO, _("cannot write %s: %s"), file, strerror(errno));
        unlink(kept);                                       /* the file is there still: no second name of it */
        return Q_IO;
    }
    *moved = true;
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return q_fail(err, Q_IO, _("cannot write %s: %s"), file, strerror(errno));
    close(fd);
    return Q_OK;
}

/* A copy of a backup that nobody writes to, under a name of its own (what is left of it after a kill goes with the backups): it is opened,
 * checked and brought up instead of the backup, which may hold anything. */
static int copied(const char *from, const char *to, char *err)
{
    sqlite3 *src = NULL, *dst = NULL;
    char *uri = store_uri(from, "mode=ro&immutable=1");
    unlink(to);
    int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = fd < 0 ? SQLITE_CANTOPEN : SQLITE_OK;
    if (fd >= 0) close(fd);
    if (rc == SQLITE_OK) rc = sqlite3_open_v2(uri, &src, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_open_v2(to, &dst, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_exec(dst, "PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL", NULL, NULL, NULL);
        rc = store_copy_all(src, dst);
    }
    sqlite3_close_v2(src);
    sqlite3_close_v2(dst);
    free(uri);
    bool full = rc == SQLITE_FULL || rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN;
    return rc == SQLITE_OK ? Q_OK : q_fail(err, full ? Q_IO : Q_FORMAT, _("%s could not be brought back: %s; nothing was changed"), from, sqlite3_errstr(rc));
}

static void drop(const char *copy)
{
    static const char *const with[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        char err[Q_ERRLEN], *one = q_printf("%s%s", copy, with[i]);
        q_file_erase(one, err);
        free(one);
    }
}

int mem_restore(const char *path, const char *day, char **kept, char *err)
{
    char *file = path ? store_path(path) : q_user_path(Q_DIR_DATA, "quorum.db"), *from = NULL, *copy = NULL;
    mem_store *s = NULL;
    bool moved = false, aside = false;
    *kept = NULL;
    if (!file) return q_no_home(err);
    from = store_backup_path(file, day);
    char *who = store_process_name((long)getpid());
    copy = q_printf("%s.%s.part.restore", from, who);
    free(who);
    int rc = is_backup(file, day, from, err);
    if (rc == Q_OK) rc = copied(from, copy, err);
    if (rc == Q_OK) rc = store_open(copy, NULL, &s, err);         /* is it whole, and ours? */
    if (rc == Q_OK) rc = mem_check(s, err);
    mem_close(s);
    if (rc == Q_OK) {
        *kept = kept_name(file);
        rc = put_aside(file, *kept, &moved, err);
        aside = rc == Q_OK;
    }
    if (rc == Q_OK) rc = put_back(file, copy, err);
    drop(copy);
    if (rc != Q_OK) {
        char why[Q_ERRLEN], *at = strstr(err, copy);
        if (at) memmove(at + strlen(from), at + strlen(copy), strlen(at + strlen(copy)) + 1);      /* people know the backup, not its copy */
        if (moved) rename(*kept, file);
        else if (aside) q_file_erase(*kept, why);           /* the file is what it was: no second one of it */
        free(*kept);
        *kept = NULL;
    }
    free(copy);
    free(from);
    free(file);
    return rc;
}
