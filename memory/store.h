/* memory/store.h: private to memory/. The connection, its lock, statements, transactions and rows.
 * Every public function takes the lock once (store_lock or store_begin) and gives it back once, bulk work once a step;
 * functions named store_* expect it held unless they say otherwise. */
#ifndef QUORUM_MEMORY_STORE_H
#define QUORUM_MEMORY_STORE_H

#include <pthread.h>
#include <sqlite3.h>

#include "memory/memory.h"

/* Who looks on while the store works; the tests, to act or count at a known step. NULL in life. */
typedef struct store_watch {
    void *user;
    void (*statement)(void *user, const char *sql);         /* before each statement; the lock is held or the file is being opened */
    void (*unlocked)(void *user, mem_store *, int64_t rows);/* the lock has just been given back; rows changed since it was taken */
    void (*between)(void *user, mem_store *);               /* bulk work has ended a step and will go on */
    uint64_t (*room)(void *user);                           /* bytes free on the disk, as a backup is to believe; NULL: the disk is asked */
    int64_t (*now)(void *user);                             /* Unix time in ms, the same; NULL: the clock is */
    bool timeless;                                          /* a step ends by what it holds, however long it takes */
} store_watch;

/* Statements that were run lately, at the place of their text's hash; under the lock. */
enum { STORE_KEPT = 64 };
typedef struct store_kept { sqlite3_stmt *statement; uint64_t hash; bool busy; } store_kept;

struct mem_store {
    sqlite3 *db;
    store_kept kept[STORE_KEPT];
    pthread_mutex_t mutex;  /* guards the next three and note */
    pthread_cond_t turn;
    uint64_t next, serving; /* the lock is a queue: bulk work that takes it again stands behind whoever waits */
    char *note;             /* what a person should be told once, or NULL */
    char *path;
    char *owner;            /* "pid:start time" of this process: marks what it is writing */
    int64_t rows;           /* rows changed before the lock was taken */
    int64_t budget;         /* units of work (PROGRESS_OPS instructions) that the present statement may still take */
    int code;               /* what store_error returned last */
    bool broken;            /* that error was one of an index whose text is whole */
    struct store_batch *batch[2];   /* words that went in and out in this transaction, by enum mem_kind (postings.c) */
    struct named_text *names;           /* words of the text that is taken in, for what it names (named.c) */
    int taking;             /* whose words FTS5 asks for now: a kind + 1; 0: nobody's */
    unsigned touched;       /* indexes written in this transaction: bits of enum mem_kind */
    const store_watch *watch;
};

/* store.c */
void store_lock(mem_store *);
void store_unlock(mem_store *);
/* Lock and BEGIN IMMEDIATE; on failure nothing is held. store_end commits when rc is Q_OK, else rolls back;
 * gives the lock back and returns the final result. */
int store_begin(mem_store *, char *err);
int store_end(mem_store *, int rc, char *err);
/* Between two steps of bulk work, the lock not held: others, also of other processes, get their turn. */
void store_breathe(mem_store *);
/* Every statement has an end: one that asks for more work than this is interrupted. Ordinary is the default and
 * comes back by itself at store_unlock. Progress is counted, not timed. */
enum { STORE_ORDINARY, STORE_LONG };
void store_allow(mem_store *, int much);
int store_limit_work(mem_store *);                  /* installs the counting */

/* The sentence for SQLite's present error; returns a q_result. */
int store_error(mem_store *, char *err);
int store_failed(const mem_store *);                /* its result once more, where a statement was NULL */
/* The file is not what it should be, how (may be NULL) as somebody found; or the disk does not give it: Q_FORMAT, or Q_IO. */
int store_damaged(mem_store *, char *err, const char *how);
/* A change had not the effect that it must have: the file was meddled with. */
int store_tampered(mem_store *, char *err);
/* Keeps a sentence for mem_note. */
void store_note(mem_store *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prepares and binds. types: i int64_t, d double, s const char * (NULL = SQL NULL), t const char * and size_t,
 * b const void * and size_t. Texts must live until the statement is finalised. NULL on failure. */
sqlite3_stmt *store_query(mem_store *, char *err, const char *sql, const char *types, ...);
sqlite3_stmt *store_query_va(mem_store *, char *err, const char *sql, const char *types, va_list);
/* The same, for who gives it back by store_done, not to SQLite: one that was asked before is taken again. store_run, store_int, store_row
 * and store_insert do. */
sqlite3_stmt *store_kept_va(mem_store *, char *err, const char *sql, const char *types, va_list);
void store_done(mem_store *, sqlite3_stmt *);       /* NULL is fine */
void store_close(mem_store *);                      /* the database, with all that is kept */
/* One step: 1 a row, 0 the end, negative a q_result with err. */
int store_step(mem_store *, sqlite3_stmt *, char *err);
/* A prepared statement once more with other values, to its end. */
int store_again(mem_store *, sqlite3_stmt *, char *err, const char *types, ...);
/* A statement without rows. *changes may be NULL. */
int store_run(mem_store *, int *changes, char *err, const char *sql, const char *types, ...);
/* The first column of the first row; Q_NOTFOUND (err untouched) when there is none. */
int store_int(mem_store *, int64_t *out, char *err, const char *sql, const char *types, ...);
char *store_text(sqlite3_stmt *, int column);       /* malloc'ed, "" for NULL */
bool store_is_alive(const char *owner);             /* is the process that calls itself so still there? */
char *store_path(const char *path);                 /* as SQLite takes it for a file's name whatever it is; malloc'ed */
char *store_uri(const char *path, const char *query);  /* file:PATH?QUERY, malloc'ed; PATH as store_path gives it */
char *store_process_name(long pid);                 /* malloc'ed */

/* rows.c: a table's columns as a list, from which SELECT, INSERT, reader and _free come. */
enum store_kind { ROW_INT /* int, enum */, ROW_INT64 /* also uint64_t, size_t */, ROW_REF /* int64_t, 0 is NULL */, ROW_BOOL,
                  ROW_DOUBLE, ROW_TEXT /* char *, malloc'ed */, ROW_SPAN /* store_span, only written */, ROW_CHARS /* char[size] */ };
typedef struct store_span { const char *p; size_t n; } store_span;
typedef struct store_column {
    const char *name, *expr;                        /* in the table; as selected (NULL: the name) */
    bool stored;                                    /* INSERT writes it */
    enum store_kind kind;
    size_t at, size;                                /* in the struct; of a ROW_CHARS */
} store_column;
typedef struct store_table { const char *name; const store_column *column; int n; size_t size; bool replaces; } store_table;
/* A column that is stored, one that is only read (expr), in a list for struct type T. */
/* SQL of a column that counts: in a damaged file it may be any number, and sums of it must fit. */
#define STORE_COUNT(column) "min(max(" column ", 0), 1099511627776)"
#define STORE_COLUMN(T, field, kind_, name_, expr_) \
    {.name = name_, .expr = expr_, .stored = true, .kind = kind_, .at = offsetof(T, field), .size = sizeof(((T *)0)->field)}
#define STORE_READ(T, field, kind_, expr_) {.expr = expr_, .kind = kind_, .at = offsetof(T, field), .size = sizeof(((T *)0)->field)}
#define STORE_TABLE(T, name_, list) {.name = name_, .column = list, .n = (int)(sizeof list / sizeof *list), .size = sizeof(T)}
char *store_select(const store_table *, const char *rest);      /* malloc'ed: "SELECT columns rest" */
void store_read(const store_table *, sqlite3_stmt *, void *row);
void store_free(const store_table *, void *row);                /* its texts; the row is zeroed */
int store_insert(mem_store *, const store_table *, const void *row, int64_t *id /* or NULL */, char *err);
/* Writes the stored columns of a list, which may be some of the table's, into the row of that id. */
int store_update(mem_store *, const store_table *, const void *row, int64_t id, char *err);
/* Insertion for many rows: the statement (NULL on failure; to be finalised), then a row. */
sqlite3_stmt *store_inserting(mem_store *, const store_table *, char *err);
int store_insert_row(mem_store *, sqlite3_stmt *, const store_table *, const void *row, int64_t *id, char *err);
int store_row(mem_store *, const store_table *, void *row, char *err, const char *rest, const char *types, ...);   /* Q_NOTFOUND */
int store_rows(mem_store *, const store_table *, void **v, int *n, char *err, const char *rest, const char *types, ...);
void store_rows_free(const store_table *, void **v, int *n);

/* step/NN_*.c: SQL, one file a migration */
extern const char store_step_01[], store_step_02[], store_step_03[], store_step_04[], store_step_05[],
    store_step_06[], store_step_07[], store_step_08[], store_step_09[], store_step_10[], store_step_11[], store_step_12[], store_step_13[], store_step_14[], store_step_15[],
    store_step_16[], store_step_17[], store_step_18[], store_step_19[], store_step_20[], store_step_21[], store_step_22[], store_step_23[], store_step_24[], store_step_25[], store_step_26[];

/* wishes.c: what a person wants goes with what it is of, and from a document to the one that replaces it */
int store_wish_passage_gone(mem_store *, enum mem_kind, int64_t id, char *err);
int store_wish_source_gone(mem_store *, enum mem_kind, int64_t id, char *err);
int store_wish_moves(mem_store *, int64_t from, int64_t to, char *err);

/* schema.c */
extern const int store_schema_version;
int store_migrate(mem_store *, int to, char *err);  /* the lock need not be held: the file is being opened */

/* check.c: the lock is held and a transaction is open. */
int store_check(mem_store *, char *err);

/* export.c: is it a table of an export? */
bool store_export_holds(const char *table);
/* The rows of one table, of any file, as mem_export gives them. */
int store_export_table(const char *path, const char *table, mem_export_fn *, void *user, char *err);
enum { STORE_COLUMNS_MAX = 64 };

/* refs.c: the same. */
int store_refs_check(mem_store *, mem_said_fn *fn, void *user, char *err);

/* copy.c: the file as it was, beside it (PATH.before-SCHEMA), while it is brought up to that schema. */
int store_copy_all(sqlite3 *from, sqlite3 *to);     /* all pages at once; a result of SQLite's */
int store_copy_make(mem_store *, int schema, char *err);
void store_copy_drop(const mem_store *, int schema);
void store_copy_keep(const mem_store *, int schema, char *err);     /* adds to err where the copy is */

/* words.c */
int store_register_words(mem_store *, char *err);
extern const char store_words_version[];            /* of the tokenizer; another one in the file: indexes are made again */

/* titles.c: the words by which a document is called, malloc'ed; the same as an SQL function. */
char *store_title_words(const char *title);
int store_register_titles(mem_store *, char *err);
int store_call(mem_store *, int64_t document, char *err);       /* it is called by its title now */

/* postings.c: the words of passages as scoring reads them. Between begin and end stands the statement by which FTS5 takes a
 * passage's words in or out; what that asks the tokenizer for is gathered, and written at the end of the transaction. */
void store_postings_begin(mem_store *, enum mem_kind, int64_t id, bool out);
void store_postings_text(mem_store *);              /* the tokenizer: the next text of the passage begins */
void store_postings_word(mem_store *, const char *stem, bool same_place);
int store_postings_field(const mem_store *);         /* 0 name, 1 heading, 2 text; -1: nobody takes words in */
int store_postings_end(mem_store *, int rc /* of the statement */, char *err);
int store_postings_write(mem_store *, enum mem_kind, char *err);
void store_postings_forget(mem_store *, enum mem_kind);         /* what was gathered */
int store_postings_reset(mem_store *, enum mem_kind, char *err);
/* A block of postings (postings.c): {data, end, first}; false at the end. Then the places of one entry, *place counted on. */
typedef struct store_block { const unsigned char *p, *end; int64_t id; } store_block;
typedef struct store_block_entry { int64_t id; uint64_t length; const unsigned char *places, *end; } store_block_entry;
bool store_block_next(store_block *, store_block_entry *);
bool store_block_place(store_block_entry *, int *place, int *field);

/* entities.c: an entity stands among the postings as a word that no text has: this byte, its kind, its key. What a passage
 * names is a row of such words without the byte, each with a newline behind it, in the order of their first mention. */
enum { STORE_ENTITY = 1 };
typedef void store_entity_fn(void *user, const char *word);
/* What a text names, a call a mention, behind named_word for each of its words. */
void store_entities_tell(struct named_text *, int field, const char *text, size_t n, store_entity_fn *, void *user);

/* sums.c */
enum { STORE_DIM_MAX = 8192 };
typedef struct store_sum { int64_t n, *v; } store_sum;         /* [dim], in 1 / store_sum_unit */
extern const double store_sum_unit;
int store_sum_read(mem_store *, int64_t embedder, enum mem_kind, int dim, store_sum *, char *err);     /* v malloc'ed, also on failure */
int store_sum_write(mem_store *, int64_t embedder, enum mem_kind, int dim, const store_sum *, char *err);
void store_sum_add(store_sum *, const float *f, int dim, int sign);
int store_vector_fit(const mem_vector *, int dim, char *err);          /* Q_RANGE: a number is none */
int store_vectors_drop(mem_store *, enum mem_kind, int64_t passage, char *err);        /* those of a passage that goes */

/* vectors.c: those that a check finds out of step are dropped and owed. */
int store_vectors_check(mem_store *, char *err);
int store_vectors_step(mem_store *, bool *more, char *err);       /* of a deleted model's; takes the lock */

/* index.c: the two word indexes. A row is in the index of its kind or in the stretch of ids that is owed to it. */
int store_index_put(mem_store *, enum mem_kind, int64_t id, char *err);        /* the row is there already */
int store_index_drop(mem_store *, enum mem_kind, int64_t id, char *err);       /* the row is still there; its words are owed a purge */
int store_index_reset(mem_store *, enum mem_kind, char *err);                  /* emptied; everything is owed */
/* In a file of any schema: an index that FTS5 refuses even to drop is emptied by hand; a check then finds it empty. */
int store_index_unlock(mem_store *, enum mem_kind, char *err);
bool store_index_broken(const mem_store *);         /* was the last error one of an index whose text is whole? */
/* rc of the statement before, where only the index is to blame: it is owed again, that is said, and all is well. */
void store_index_said(mem_store *);
int store_index_mended(mem_store *, enum mem_kind, int rc, char *err);
/* What an index is made of: pieces on levels; `last`: the highest level holds one; `merging`: some are being merged. */
typedef struct store_shape { int64_t levels, segments; bool last, merging; } store_shape;
int store_index_shape(mem_store *, enum mem_kind, store_shape *, char *err);
extern const int store_levels_max;
const unsigned char *store_varint(const unsigned char *p, const unsigned char *end, int64_t *v);     /* as SQLite writes a number; behind it */
/* These take the lock themselves. */
int store_index_ready(mem_store *, enum mem_kind, char *err);                  /* what is owed to it is paid */
int store_index_mend(mem_store *, enum mem_kind, char *err);                   /* made again from the text, and said */
/* One short step of what is owed; *more: there was something. */
int store_index_step(mem_store *, enum mem_kind, bool *more, char *err);
int store_purge_step(mem_store *, enum mem_kind, bool *more, char *err);
int store_merge_step(mem_store *, enum mem_kind, bool *more, char *err);        /* of an index that has many pieces */

/* messages.c: takes the index entry of a message in or out */
int store_index_message(mem_store *, int64_t id, char *err);
int store_unindex_message(mem_store *, int64_t id, char *err);
int store_recover_replies(mem_store *, char *err);  /* takes the lock */

/* trace.c: the stored form of a trace; malloc'ed in *out */
int store_trace_pack(const mem_trace *, unsigned char **out, size_t *n);
int store_trace_unpack(const unsigned char *p, size_t n, mem_trace **out);

/* documents.c, conversations.c: where a row stands in its life. Only STORE_WHOLE ones are ever shown or searched. */
enum store_state { STORE_WHOLE, STORE_COMING, STORE_GOING };
extern const store_table store_document_table;
int store_document_going(mem_store *, int64_t id, int *n, char *err);

/* owed.c: the words that logs of other messages keep of a passage that goes. */
int store_logs_forget(mem_store *, enum mem_kind, int64_t id, char *err);

/* forgotten.c: the lock is held and a transaction is open. message 0: all of the conversation. */
int store_forgotten_put(mem_store *, int64_t conversation, int64_t message, char *err);
char *store_own_name(int64_t created_ms, int64_t id);   /* malloc'ed */
/* These take the lock. Which of an archive's messages were forgotten: out [m->n]; from now on none of them was. */
int store_forgotten_of(mem_store *, const mem_import *, bool *out, int *n, char *err);
int store_forgotten_again(mem_store *, const mem_import *, char *err);

/* backup.c: something was forgotten: backups hold it still, and go when all else is tidied. */
int store_backups_owe(mem_store *, char *err);
int store_backups_step(mem_store *, char *err);                 /* erases those that are owed; takes the lock */
char *store_backup_path(const char *path, const char *day);    /* malloc'ed */
bool store_backup_named(const char *day);                       /* is it a day at all? */
void store_backup_day(const mem_store *, char day[11]);         /* today; NULL: by the clock */
int store_backup_write(mem_store *, const char *whole, bool (*go)(void *user), void *user, char *err);  /* under this name, replacing it; in steps */

/* open.c: mem_open with somebody looking on. */
int store_open(const char *path, const store_watch *, mem_store **out, char *err);

#endif
