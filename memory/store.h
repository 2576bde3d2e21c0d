/* memory/store.h: private to memory/. The connection, its mutex, statements and transactions.
 * Every public function takes the mutex once (store_lock or store_begin) and gives it back once;
 * functions named store_* expect it held. */
#ifndef QUORUM_MEMORY_STORE_H
#define QUORUM_MEMORY_STORE_H

#include <pthread.h>
#include <sqlite3.h>

#include "memory/memory.h"

struct mem_store {
    sqlite3 *db;
    pthread_mutex_t mutex;
    char *path;
    char *owner;            /* "pid:start time" of this process: marks the replies it is writing */
};

void store_lock(mem_store *);
void store_unlock(mem_store *);
/* Lock and BEGIN IMMEDIATE; on failure nothing is held. store_end commits when rc is Q_OK, else rolls back;
 * gives the lock back and returns the final result. */
int store_begin(mem_store *, char *err);
int store_end(mem_store *, int rc, char *err);

/* The sentence for SQLite's present error; returns a q_result. */
int store_error(mem_store *, char *err);

/* Prepares and binds. types: i int64_t, d double, s const char * (NULL = SQL NULL), t const char * and size_t,
 * b const void * and size_t. Texts must live until the statement is finalised. NULL on failure. */
sqlite3_stmt *store_query(mem_store *, char *err, const char *sql, const char *types, ...);
/* One step: 1 a row, 0 the end, negative a q_result with err. */
int store_step(mem_store *, sqlite3_stmt *, char *err);
/* A statement without rows. *changes may be NULL. */
int store_run(mem_store *, int *changes, char *err, const char *sql, const char *types, ...);
/* The first column of the first row; Q_NOTFOUND (err untouched) when there is none. */
int store_int(mem_store *, int64_t *out, char *err, const char *sql, const char *types, ...);
char *store_text(sqlite3_stmt *, int column);      /* malloc'ed, "" for NULL */

/* Merges an index so that what was deleted from it is gone from its pages too (FTS5 before 3.42 keeps the
 * words of deleted rows in old segments until they are merged). */
int store_purge(mem_store *, const char *fts, char *err);
/* store_end of a deletion: under WAL the old pages are in the log until it is folded back. */
int store_end_deletion(mem_store *, int rc, char *err);

/* step/NN_*.c: SQL, one file a migration */
extern const char store_step_01[], store_step_02[], store_step_03[], store_step_04[], store_step_05[];

/* schema.c */
extern const int store_schema_version;
int store_migrate(mem_store *, int to, char *err);

/* words.c */
int store_register_words(mem_store *, char *err);
extern const char store_words_version[];           /* of the tokenizer; another one in the file: indexes are rebuilt */

/* messages.c: takes the index entry of a message in or out */
int store_index_message(mem_store *, int64_t id, char *err);
int store_unindex_message(mem_store *, int64_t id, char *err);
int store_recover_replies(mem_store *, char *err);

/* trace.c: the stored form of a trace; malloc'ed in *out */
int store_trace_pack(const mem_trace *, unsigned char **out, size_t *n);
int store_trace_unpack(const unsigned char *p, size_t n, mem_trace **out);

#endif
