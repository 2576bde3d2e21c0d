/* memory/copy: a copy of the file as it was, which stands beside it while a migration runs and until what the migration
 * made has been checked. The write lock of the file is held. It never touches the file itself. */
#include "memory/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *name(const mem_store *s, int schema, const char *end) { return q_printf("%s.before-%d%s", s->path, schema, end); }

static bool in_memory(const mem_store *s) { return strcmp(s->path, ":memory:") == 0; }

int store_copy_all(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (!b) return sqlite3_errcode(to);
    int rc = sqlite3_backup_step(b, -1), end = sqlite3_backup_finish(b);
    return rc == SQLITE_DONE ? end : rc;
}

int store_copy_make(mem_store *s, int schema, char *err)
{
    if (in_memory(s)) return Q_OK;
    char *part = name(s, schema, ".part"), *whole = name(s, schema, "");
    sqlite3 *from = NULL, *to = NULL;
    unlink(part);
    int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = fd < 0 ? SQLITE_CANTOPEN : SQLITE_OK;
    if (fd >= 0) close(fd);
    /* another connection: this one is in the middle of a transaction that has written nothing yet */
    if (rc == SQLITE_OK) rc = sqlite3_open_v2(s->path, &from, SQLITE_OPEN_READONLY, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_open_v2(part, &to, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) sqlite3_exec(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = store_copy_all(from, to);
    sqlite3_close_v2(from);
    int closed = sqlite3_close(to);
    if (rc == SQLITE_OK) rc = closed;
    if (rc == SQLITE_OK && rename(part, whole) != 0) rc = SQLITE_CANTOPEN;
    if (rc != SQLITE_OK) {
        unlink(part);
        q_fail(err, Q_IO, rc == SQLITE_FULL || rc == SQLITE_IOERR ?
               _("%s must be brought up to this quorum, and the disk has no room for a copy of it first: free some space; nothing was changed") :
               _("%s must be brought up to this quorum, and no copy could be made beside it first: check its folder's permissions; nothing was changed"), s->path);
    }
    free(part);
    free(whole);
    return rc == SQLITE_OK ? Q_OK : store_failed(s);
}

void store_copy_drop(const mem_store *s, int schema)
{
    /* those of an older quorum that was killed too; not those of a newer one */
    for (int v = 2; v <= schema && !in_memory(s); v++) {
        char *part = name(s, v, ".part"), *whole = name(s, v, "");
        unlink(part);
        unlink(whole);
        free(part);
        free(whole);
    }
}

void store_copy_keep(const mem_store *s, int schema, char *err)
{
    char *whole = name(s, schema, "");
    size_t n = strlen(err);
    if (!in_memory(s) && access(whole, F_OK) == 0 && n < Q_ERRLEN - 1)
        snprintf(err + n, Q_ERRLEN - n, _(" (%s is a copy from before)"), whole);
    free(whole);
}
