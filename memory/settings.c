/* memory/settings: names and values that outlive a run. Any thread. It knows no name: what one means is its caller's. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

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
    int rc = st ? 1 : store_failed(s);
    while (st && (rc = store_step(s, st, err)) == 1)
        fn(user, (const char *)sqlite3_column_text(st, 0), (const char *)sqlite3_column_text(st, 1));
    sqlite3_finalize(st);
    store_unlock(s);
    return rc;
}

/* In a transaction. */
static int put(mem_store *s, const char *name, const char *value, char *err)
{
    return value ? store_run(s, NULL, err, "INSERT INTO setting(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value=excluded.value", "ss", name, value)
                 : store_run(s, NULL, err, "DELETE FROM setting WHERE name=?", "s", name);
}

int mem_setting_put(mem_store *s, const char *name, const char *value, char *err)
{
    int rc = store_begin(s, err);
    return rc == Q_OK ? store_end(s, put(s, name, value, err), err) : rc;
}

int mem_setting_change(mem_store *s, const char *name, char *(*fn)(void *user, const char *was), void *user, char *err)
{
    char *was = NULL;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    sqlite3_stmt *st = store_query(s, err, "SELECT value FROM setting WHERE name=?", "s", name);
    rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) was = store_text(st, 0);
    sqlite3_finalize(st);
    char *now = rc >= 0 ? fn(user, was) : NULL;
    rc = store_end(s, rc < 0 ? rc : put(s, name, now, err), err);
    free(was);
    free(now);
    return rc;
}

/* ---- other processes ---- */
int64_t mem_version(mem_store *s)
{
    char err[Q_ERRLEN];
    int64_t n = 0;
    store_lock(s);
    int rc = store_int(s, &n, err, "PRAGMA data_version", "");
    store_unlock(s);
    return rc == Q_OK ? n : 0;
}

/* Under the write lock, so that of two processes that ask at once one gets it. */
int mem_claim(mem_store *s, const char *name, bool *mine, char *err)
{
    char *who = NULL;
    *mine = false;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    sqlite3_stmt *st = store_query(s, err, "SELECT value FROM setting WHERE name=?", "s", name);
    rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) who = store_text(st, 0);
    sqlite3_finalize(st);
    bool free_now = !who || strcmp(who, s->owner) == 0 || !store_is_alive(who);
    if (rc >= 0 && free_now)
        rc = store_run(s, NULL, err, "INSERT INTO setting(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value=excluded.value", "ss", name, s->owner);
    free(who);
    rc = store_end(s, rc < 0 ? rc : Q_OK, err);
    *mine = rc == Q_OK && free_now;
    return rc;
}

void mem_claim_end(mem_store *s, const char *name)
{
    char err[Q_ERRLEN];
    if (store_begin(s, err) != Q_OK) return;
    store_end(s, store_run(s, NULL, err, "DELETE FROM setting WHERE name=? AND value=?", "ss", name, s->owner), err);   /* left: whoever comes next sees that this process is gone */
}
