/* memory/forgotten: what was forgotten of archives: a number for each message, or for all of a conversation, made of this file's own salt
 * and of what the archive calls it; never of its words. Who has the archive and this file can tell that a message of it was forgotten,
 * and no more. Any thread. It removes nothing itself. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SALT[] = "forgotten.salt";

/* Made when something is forgotten first; NULL: there is none. */
static int salt(mem_store *s, bool make, char **out, char *err)
{
    sqlite3_stmt *st = store_query(s, err, "SELECT value FROM setting WHERE name=?", "s", SALT);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    *out = rc == 1 ? store_text(st, 0) : NULL;
    sqlite3_finalize(st);
    if (rc < 0 || *out || !make) return rc < 0 ? rc : Q_OK;
    *out = q_printf("%016llx%016llx", (unsigned long long)q_salt(), (unsigned long long)q_salt());
    return store_run(s, NULL, err, "INSERT INTO setting(name, value) VALUES(?, ?)", "ss", SALT, *out);
}

/* message "": all of the conversation. */
static int64_t hash_of(const char *salted, const char *source, const char *conversation, const char *message)
{
    const char *const part[] = {salted, source, conversation, message};
    char hex[65];
    q_buf b = {0};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) q_buf_add(&b, part[i], strlen(part[i]) + 1);
    q_sha256(b.p, b.len, hex);
    q_buf_free(&b);
    hex[16] = 0;
    return (int64_t)strtoull(hex, NULL, 16);
}

static int put(mem_store *s, int64_t hash, char *err) { return store_run(s, NULL, err, "INSERT OR IGNORE INTO forgotten(hash) VALUES(?)", "i", hash); }

/* The name that our own export gives a conversation. */
char *store_own_name(int64_t created_ms, int64_t id) { return q_printf("%lld-%lld", (long long)created_ms, (long long)id); }

int store_forgotten_put(mem_store *s, int64_t conversation, int64_t message, char *err)
{
    char *salted = NULL, *own = NULL, name[32] = "", *source = NULL, *external = NULL, *called = NULL;
    int64_t created = 0;
    int rc = store_int(s, &created, err, "SELECT created FROM conversation WHERE id=?", "i", conversation);
    if (rc == Q_NOTFOUND) return Q_OK;
    if (rc == Q_OK) rc = salt(s, true, &salted, err);
    sqlite3_stmt *st = rc == Q_OK ? store_query(s, err, "SELECT i.source, i.external, m.external FROM import i LEFT JOIN import_message m ON m.message=?2 WHERE i.conversation=?1",
                                                "ii", conversation, message) : NULL;
    int row = st ? store_step(s, st, err) : rc == Q_OK ? store_failed(s) : rc;
    if (row == 1) {
        source = store_text(st, 0);
        external = store_text(st, 1);
        called = store_text(st, 2);
    }
    sqlite3_finalize(st);
    if (row < 0) rc = row;
    if (rc == Q_OK && message) snprintf(name, sizeof name, "%lld", (long long)message);
    own = store_own_name(created, conversation);
    if (rc == Q_OK) rc = put(s, hash_of(salted, MEM_OWN_SOURCE, own, name), err);
    if (rc == Q_OK && source && (!message || *called)) rc = put(s, hash_of(salted, source, external, message ? called : ""), err);
    free(salted);
    free(own);
    free(source);
    free(external);
    free(called);
    return rc;
}

/* ---- an archive comes again ---- */
static int is_there(mem_store *s, sqlite3_stmt *st, int64_t hash, char *err)
{
    sqlite3_reset(st);
    if (sqlite3_bind_int64(st, 1, hash) != SQLITE_OK) return store_error(s, err);
    int rc = store_step(s, st, err);
    sqlite3_reset(st);
    return rc;
}

int store_forgotten_of(mem_store *s, const mem_import *m, bool *out, int *n, char *err)
{
    enum { STEP = 1024 };
    char *salted = NULL;
    bool all = false;
    int rc = Q_OK;
    *n = 0;
    for (int at = 0; rc == Q_OK && at < m->n; at += STEP) {
        store_lock(s);
        if (!at) rc = salt(s, false, &salted, err);
        sqlite3_stmt *st = rc == Q_OK && salted ? store_query(s, err, "SELECT 1 FROM forgotten WHERE hash=?", "") : NULL;
        if (rc == Q_OK && salted && !st) rc = store_failed(s);
        if (st && !at) {
            int one = is_there(s, st, hash_of(salted, m->source, m->external, ""), err);
            all = one == 1;
            rc = one < 0 ? one : Q_OK;
        }
        for (int i = at; st && i < m->n && i < at + STEP && rc == Q_OK; i++) {
            int one = all ? 1 : is_there(s, st, hash_of(salted, m->source, m->external, m->v[i].external), err);
            out[i] = one == 1;
            *n += out[i];
            rc = one < 0 ? one : Q_OK;
        }
        sqlite3_finalize(st);
        store_unlock(s);
        if (!salted) break;
    }
    free(salted);
    return rc;
}

int store_forgotten_again(mem_store *s, const mem_import *m, char *err)
{
    char *salted = NULL;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = salt(s, false, &salted, err);
    for (int i = -1; i < m->n && rc == Q_OK && salted; i++)
        rc = store_run(s, NULL, err, "DELETE FROM forgotten WHERE hash=?", "i", hash_of(salted, m->source, m->external, i < 0 ? "" : m->v[i].external));
    free(salted);
    return store_end(s, rc, err);
}
