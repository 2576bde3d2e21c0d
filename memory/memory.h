/* memory: what is kept. One SQLite file with conversations as trees, their traces and retrieval logs,
 * documents cut into chunks, and settings. Owns the only connection of this process, behind one lock, which is a queue:
 * any thread may call any function here. It never knows about models, prompts or the screen.
 *
 * Promises. A function that adds or changes something returns Q_OK only after the commit is on the disk.
 * Nothing is overwritten but a reply that is still being written (and titles, drafts, settings). A deletion
 * is seen by nobody from its return on and is owed durably: mem_tidy clears the rows, both indexes and the
 * file's bytes. On failure nothing changed and err says what to do; calling again later is always safe. A step of bulk
 * work (mem_bulk_*, mem_tidy, the list functions of documents) is one short transaction; others go between two steps. Strings that come back are malloc'ed and belong to the struct that
 * holds them; every such struct has a _free that also zeroes it. Ids are > 0; 0 means none. */
#ifndef QUORUM_MEMORY_H
#define QUORUM_MEMORY_H

#include "base/base.h"

typedef struct mem_store mem_store;

/* path NULL: the user's own (XDG data directory, quorum.db). ":memory:" keeps nothing. The file is made with
 * mode 0600 and brought to the present schema; one from a newer quorum is refused. Replies left unfinished by
 * a process that is gone become MEM_STOPPED here. */
int mem_open(const char *path, mem_store **out, char *err);
void mem_close(mem_store *);
/* SQLite's integrity_check and that of both FTS indexes (against their content). An index that does not match its text is
 * no damage: it is made again. */
int mem_check(mem_store *, char *err);
/* The same, and what its rows say of one another (memory/refs.c): what can be derived again is put right, and fn (may be NULL) told so, a
 * sentence each; what cannot is told with the way out. The lock is held meanwhile. */
typedef void mem_said_fn(void *user, const char *sentence);     /* must not call the store */
int mem_check_said(mem_store *, mem_said_fn *fn, void *user, char *err);
/* This process's name in a store, and whether the process that calls itself so is still there: for what one process has taken
 * on and no other is to do meanwhile. */
const char *mem_owner(const mem_store *);
bool mem_alive(const char *owner);
/* A sentence that a person should read once: a broken index was made again, the file was open to others. NULL: nothing
 * new; malloc'ed. Ask after opening and behind errands. */
char *mem_note(mem_store *);
/* Pays what changes left owed, behind an errand and at every start: rows of what was removed, words in old pages of the
 * indexes, an index to be made again, documents that a killed process was taking in. go (may be NULL) is asked between
 * two steps; false: Q_CANCEL, the rest stays owed. Costs a few reads when nothing is owed. */
int mem_tidy(mem_store *, bool (*go)(void *user), void *user, char *err);

/* Every row of the tables that hold a person's words, also of a file that mem_open refuses (changed, damaged, newer). Reads
 * only, by plain tables and columns; path as in mem_open. fn gets a row's columns as text, false stops (Q_CANCEL).
 * *unread: tables that could not be read to their end. */
typedef struct mem_export_value { const char *name, *text; size_t n; bool number, bytes /* of a BLOB */, null; } mem_export_value;    /* valid in fn only */
typedef bool mem_export_fn(void *user, const char *table, const mem_export_value *v, int n);
int mem_export(const char *path, mem_export_fn *fn, void *user, int *unread, char *err);
/* The same of an open memory as it is at one moment, whoever writes meanwhile: from a copy beside it, which is erased again. go (may be
 * NULL) is asked while it is copied; false: Q_CANCEL. Q_RANGE: it is kept in no file. */
int mem_export_now(mem_store *, mem_export_fn *fn, bool (*go)(void *user), void *user, int *unread, char *err);
/* Such rows into a memory that holds nothing of a person's yet, in the order of the export, each under its own number; whoever opens it
 * then finds all of it. One transaction from new (Q_RANGE: the memory is not empty) to end, which frees; the lock is held and no other
 * function may be called meanwhile by this thread. What is derived is owed: mem_tidy. */
typedef struct mem_refill mem_refill;
int mem_refill_new(mem_store *, mem_refill **out, char *err);
int mem_refill_row(mem_refill *, const char *table, const mem_export_value *v, int n, char *err);
/* An export is data: what would make quorum do something by itself is left out and told of. */
typedef struct mem_refilled {
    int rows;
    char *folders; int n_folders;       /* that were watched there: the first few, for a sentence; "" */
    char *settings; int n_settings;     /* that are none of those that come along: the first few; "" */
    int undo;                           /* files that a tool changed: what they were before */
} mem_refilled;
int mem_refill_end(mem_refill *, bool keep /* false: Q_CANCEL, nothing is taken */, mem_refilled *out, char *err);
void mem_refilled_free(mem_refilled *);

/* ================= conversations ================= */
typedef struct mem_conversation {
    int64_t id;
    char *title;                        /* "" until named */
    int64_t created_ms, opened_ms;      /* Unix time */
    int64_t leaf;                       /* the active branch's last message; 0 = empty */
    char *draft;                        /* what stood in the composer */
    int64_t scroll;                     /* the screen's own number; -1 = follows the end */
    int n_messages;                     /* all branches, without hidden ones */
} mem_conversation;
typedef struct mem_conversations { mem_conversation *v; int n; } mem_conversations;

int mem_conversation_new(mem_store *, const char *title, int64_t *id, char *err);
int mem_conversation_get(mem_store *, int64_t id, mem_conversation *out, char *err);
int mem_conversation_list(mem_store *, mem_conversations *out, char *err);       /* last opened first */
int mem_conversation_last(mem_store *, int64_t *id, char *err);                   /* *id = 0: there is none; never one that is `once` */
/* It holds what a script asked: it stands last in the list and is not the last conversation, until somebody opens it. */
int mem_conversation_once(mem_store *, int64_t id, char *err);
int mem_conversation_title(mem_store *, int64_t id, const char *title, char *err);
int mem_conversation_opened(mem_store *, int64_t id, char *err);                  /* now */
int mem_conversation_leaf(mem_store *, int64_t id, int64_t leaf, char *err);      /* Q_NOTFOUND: not its message */
int mem_conversation_view(mem_store *, int64_t id, const char *draft, int64_t scroll, char *err);
/* Gone for everybody at once; mem_tidy clears all messages, traces, logs, index entries and their bytes in the file. */
int mem_conversation_delete(mem_store *, int64_t id, char *err);
void mem_conversation_free(mem_conversation *);
void mem_conversations_free(mem_conversations *);

/* ================= messages ================= */
enum mem_role { MEM_SYSTEM, MEM_USER, MEM_ASSISTANT, MEM_TOOL };
enum mem_status { MEM_PARTIAL, MEM_DONE, MEM_STOPPED, MEM_FAILED };

typedef struct mem_stats {
    int prompt_tokens;                  /* of the whole prompt */
    int cached_tokens;                  /* of these, found in the cache */
    int tokens;                         /* of the reply */
    double prefill_s, decode_s;
} mem_stats;

typedef struct mem_message_config {     /* from reply token `from` on, this configuration spoke */
    int from;                           /* 0 for the first */
    int64_t at;                         /* the byte of the reply's text where that token begins; -1: not written down */
    uint64_t hash;
    char *json, *label;                 /* eng_config_json; what a caption says of it, in no language */
    char *mark;                         /* what was turned, as it stands in the text: "k 12→4"; "" */
} mem_message_config;

typedef struct mem_message {
    int64_t id, conversation, parent;   /* parent 0: a first message */
    enum mem_role role;
    enum mem_status status;
    int64_t created_ms, updated_ms;
    char *text, *thinking;              /* never NULL */
    char *model;                        /* "" for a person's message */
    uint64_t model_id;
    char *finish;                       /* why a reply ended: the caller's word, or the error sentence; "" */
    mem_stats stats;
    mem_message_config *config;         /* [n_config], by `from` */
    int n_config;
    int sibling, siblings;              /* 1-based place among those with the same parent, and how many */
    bool has_trace;
    int n_log;                          /* rows of its retrieval log */
} mem_message;
typedef struct mem_messages { mem_message *v; int n; } mem_messages;

/* Adds a finished message under parent (0: a new root) and makes it the active leaf. parent must be of the
 * same conversation. Editing a message is adding a sibling: parent = its parent. */
int mem_message_add(mem_store *, int64_t conversation, int64_t parent, enum mem_role role,
                    const char *text, size_t n, int64_t *id, char *err);

/* Turns said elsewhere, each under the one before it, the first under parent (0: a new root); the last becomes the active
 * leaf, *leaf. In steps: on failure *leaf is the last that is kept. */
typedef struct mem_turn {
    enum mem_role role;
    const char *author;                 /* a name; NULL or "": the person of this memory, or a model by its role */
    const char *text;                   /* [n] UTF-8 */
    size_t n;
    int64_t created_ms;
} mem_turn;
int mem_turns_add(mem_store *, int64_t conversation, int64_t parent, const mem_turn *v, int n, int64_t *leaf, char *err);
int mem_message_others(mem_store *, int64_t id, bool *others, char *err);        /* somebody said it who has a name: not the person of this memory */

/* A reply is begun, saved about once a second, and ended. begin makes it the active leaf with status
 * MEM_PARTIAL. save replaces text and thinking (UTF-8; whole, not a delta). config notes that from reply token
 * `from` on another configuration speaks. end may be called once; after it nothing about the reply changes.
 * end also finishes a reply that another process took for abandoned. */
int mem_reply_begin(mem_store *, int64_t conversation, int64_t parent, const char *model, uint64_t model_id,
                    uint64_t config, const char *config_json, const char *config_label, int64_t *id, char *err);
int mem_reply_config(mem_store *, int64_t id, const mem_message_config *c, char *err);
int mem_reply_save(mem_store *, int64_t id, const char *text, size_t n, const char *thinking, size_t n_thinking, char *err);
/* It was made beside this one of its siblings; without it: beside the one before it. */
int mem_reply_elder(mem_store *, int64_t id, int64_t elder, char *err);
struct mem_trace;
int mem_reply_end(mem_store *, int64_t id, enum mem_status status, const char *finish,
                  const char *text, size_t n, const char *thinking, size_t n_thinking,
                  const mem_stats *stats, const struct mem_trace *trace /* or NULL */, char *err);

int mem_message_get(mem_store *, int64_t id, mem_message *out, char *err);
/* The branch that ends in leaf: root first. leaf 0: the conversation's active leaf. */
int mem_branch(mem_store *, int64_t conversation, int64_t leaf, mem_messages *out, char *err);
/* Those that share id's parent, oldest first (texts included; without hidden ones). */
int mem_siblings(mem_store *, int64_t id, mem_messages *out, char *err);
/* The text of the sibling that id was made beside; malloc'ed, *text NULL: there is none. */
int mem_elder_text(mem_store *, int64_t id, char **text, char *err);
/* The newest leaf below id (id itself when it has no children): where choosing a sibling leads. */
int mem_leaf_below(mem_store *, int64_t id, int64_t *leaf, char *err);
void mem_message_free(mem_message *);
void mem_messages_free(mem_messages *);

/* ================= modules ================= */
/* Which named texts (agent/module.h) stood in the system text of an answer, in their order: names and hashes, never their words; gone with the
 * answer. put: once an answer, when it has its row; nothing where n is 0. */
typedef struct mem_module { char *name, *hash; int tokens; char *adapter, *scale; } mem_module;      /* "": it brought no adapter; scale: "0.7,@1=0", as lora.scale has it */
typedef struct mem_modules { mem_module *v; int n; } mem_modules;
int mem_modules_put(mem_store *, int64_t message, const mem_module *v, int n, char *err);
int mem_modules_of(mem_store *, int64_t message, mem_modules *out, char *err);
void mem_modules_free(mem_modules *);

/* ================= what may be learnt from ================= */
/* What the person thinks of a model's answer: 1 good, -1 bad, 0 nothing. Gone with the answer. Q_NOTFOUND: no such answer. */
int mem_answer_mark(mem_store *, int64_t message, int mark, char *err);
int mem_answer_marked(mem_store *, int64_t message, int *mark, char *err);
/* A conversation may leave as examples for training a model: no one does unless the person says so. */
int mem_conversation_release(mem_store *, int64_t conversation, bool on, char *err);
int mem_conversations_released(mem_store *, bool all /* also those that were not */, int64_t **id, int *n, char *err);    /* malloc'ed, by id */
/* Every message of a conversation, all branches, by id (a parent before what stands below it); hidden ones are left out. mark [n], malloc'ed:
 * what the person thinks of each. */
int mem_conversation_tree(mem_store *, int64_t conversation, mem_messages *out, signed char **mark, char *err);

/* ================= conversations out of archives ================= */
typedef struct mem_import_message {
    const char *external;               /* its name in its conversation, unique there */
    int parent;                         /* index of one before it; -1: a first message */
    enum mem_role role;
    bool hidden;                        /* kept, and neither shown, searched nor fed; nothing may stand below it */
    int64_t created_ms;                 /* <= 0: not known */
    const char *text, *thinking, *model;    /* UTF-8, never NULL */
    const char *author;                 /* a name; NULL or "": the person of this memory, or a model by its role */
    const char *raw, *was;              /* the text as it came and how it was broken, where it was repaired; else NULL */
} mem_import_message;
typedef struct mem_import {
    const char *source, *external;      /* the archive's kind ("chatgpt") and its name for the conversation */
    const char *title;
    int64_t created_ms, opened_ms;
    const mem_import_message *v;
    int n;
    int leaf;                           /* index of the end of the branch that is shown; -1: the last message */
    bool again;                         /* also what was forgotten of it, and it is forgotten no more */
} mem_import;
#define MEM_OWN_SOURCE "quorum"         /* the source of what our own export wrote */
typedef struct mem_imported { int64_t conversation; bool fresh; int added, forgotten /* messages that stayed out */; } mem_imported;
/* Takes a conversation in, or adds to one that came before what is new in it; a message that is there stays as it is, and so do
 * a title that was given to it and the place of a person who went on from it. What was forgotten of it stays out, and what stood below
 * that hangs on what it hung on. Nothing is written where nothing is new. In
 * steps, each of which leaves a whole tree: after a failure, or a kill, calling again does the rest. go (may be NULL) is asked
 * between two steps; false: Q_CANCEL. */
int mem_import_put(mem_store *, const mem_import *, bool (*go)(void *user), void *user, mem_imported *out, char *err);
/* Several, in this order, small ones together in a step; out [n], also of those that came in before a failure. n <= MEM_IMPORTS_MAX. */
enum { MEM_IMPORTS_MAX = 64 };
int mem_import_put_all(mem_store *, const mem_import *, int n, bool (*go)(void *user), void *user, mem_imported *out, char *err);
/* A repaired text as it came, added to out, and how it was broken (malloc'ed); *was NULL: it was not. */
int mem_message_raw(mem_store *, int64_t id, char **was, q_buf *out, char *err);
int mem_document_raw(mem_store *, int64_t id, char **was, q_buf *out, char *err);

/* A question that somebody sent and that has no place on a branch yet, because an answer still runs. Kept until it has one.
 * edits: the message it is a new version of; 0 = the last question; -1 = it goes to the end; less: as the caller means it. */
typedef struct mem_pending { int64_t id, conversation, edits, created_ms; char *text; } mem_pending;
typedef struct mem_pendings { mem_pending *v; int n; } mem_pendings;
int mem_pending_put(mem_store *, int64_t conversation, int64_t edits, const char *text, size_t n, int64_t *id, char *err);
int mem_pending_drop(mem_store *, int64_t id, char *err);
int mem_pending_leave(mem_store *, int64_t id, char *err);     /* nobody's from now on: whoever asks next takes it */
/* Those of processes that are gone, oldest first; from now on they are this process's. */
int mem_pending_take(mem_store *, mem_pendings *out, char *err);
void mem_pendings_free(mem_pendings *);

/* /find: words are matched by stem (all of them must be there), the last one also as a prefix. Newest first. */
typedef struct mem_hit {
    int64_t message, conversation, created_ms;
    enum mem_role role;
    char *title, *snippet;              /* snippet: one line; matches between \x01 and \x02 */
} mem_hit;
typedef struct mem_hits { mem_hit *v; int n; } mem_hits;
int mem_find(mem_store *, const char *words, int limit, mem_hits *out, char *err);
void mem_hits_free(mem_hits *);

/* ================= routing traces ================= */
/* Grown by the caller, kept compressed with the message. Layout of the stored blob: memory/trace.c. */
typedef struct mem_trace {
    int n_layer, max_k, n, cap;         /* n records */
    int32_t *token, *pos;               /* [n] */
    uint64_t *config;                   /* [n] */
    uint8_t *prompt;                    /* [n] 1: of the prompt; its weights, entropy, margin are 0 */
    uint16_t *ids;                      /* [n][n_layer][max_k], 0xFFFF pads */
    float *weights;                     /* [n][n_layer][max_k] */
    float *entropy, *margin;            /* [n][n_layer]; NAN as the engine gave it */
    char *made;                         /* what the caller wants to know of how it came about: text; owned; NULL: nothing */
} mem_trace;
mem_trace *mem_trace_new(int n_layer, int max_k);
/* max_k may exceed the trace's: the trace is widened. Pointers as in eng_trace_rec; NULL weights, entropy, margin = 0. */
void mem_trace_add(mem_trace *, int32_t token, int32_t pos, uint64_t config, bool prompt, int max_k,
                   const uint16_t *ids, const float *weights, const float *entropy, const float *margin);
void mem_trace_free(mem_trace *);
int mem_trace_get(mem_store *, int64_t message, mem_trace **out, char *err);      /* Q_NOTFOUND: has none */

/* The newest `most` answers of this model that have routing, of conversations that are there, oldest first; malloc'ed. *of: how many there
 * are in all. */
int mem_traced(mem_store *, uint64_t model, int most, int64_t **id, int *n, int *of, char *err);

/* Answers whose routing stands under one name. A name is whatever the caller lets be one; an answer may stand under several;
 * one that is deleted is in none. */
typedef struct mem_tag { char *name; int n, chats; int64_t tokens; } mem_tag;     /* answers, of how many conversations, their tokens */
typedef struct mem_tags { mem_tag *v; int n; } mem_tags;
int mem_tag_add(mem_store *, const char *name, int64_t message, char *err);       /* Q_NOTFOUND: it has no routing */
int mem_tag_drop(mem_store *, const char *name, char *err);                       /* the name alone: routing stays */
int mem_tag_list(mem_store *, mem_tags *out, char *err);
int mem_tag_messages(mem_store *, const char *name, int64_t **id, int *n, char *err);     /* malloc'ed, oldest first; Q_NOTFOUND */
void mem_tags_free(mem_tags *);

/* ================= retrieval log ================= */
typedef struct mem_log {                /* one candidate passage of one message's search */
    int rank;                           /* 1-based by score */
    int number;                         /* as cited in the prompt, 1-based; 0 = not fed */
    int kind;                           /* enum mem_kind */
    int64_t ref;                        /* chunk or message id; the passage may have been deleted since */
    char *label;                        /* "optics.md § Rayleigh"; "" once its source was deleted */
    char *terms;                        /* matched words with their weights, for people */
    char *reason;                       /* why it was cut; "" = fed */
    char *signals;                      /* what the score is the product of: "coverage=0.931 evidence=0.824" */
    double score;
    int tokens;
} mem_log;
typedef struct mem_logs { mem_log *v; int n; } mem_logs;
int mem_log_put(mem_store *, int64_t message, const mem_log *rows, int n, char *err);   /* replaces */
int mem_log_get(mem_store *, int64_t message, mem_logs *out, char *err);
void mem_logs_free(mem_logs *);

/* ================= documents ================= */
enum mem_kind { MEM_CHUNK, MEM_CHAT };                  /* what a passage is part of */
enum mem_trust { MEM_TRUST_OWN, MEM_TRUST_MANUAL, MEM_TRUST_MODEL, MEM_TRUST_STRANGER, MEM_TRUSTS };     /* the person's file; ships with quorum; a model wrote it; a server gave it */

typedef struct mem_chunk {
    size_t offset, n;                   /* bytes in the document */
    const char *text;                   /* [n]; as written by the caller */
    char *heading;                      /* "Optics › Rayleigh" or "" */
} mem_chunk;

typedef struct mem_document {
    int64_t id;
    char *path;                         /* absolute path, or "manual:en": unique */
    char *title;                        /* what is shown: "notes/optics.md" */
    char *name;                         /* for putting only: what of its name is searched; NULL: nothing */
    enum mem_trust trust;
    char sha256[65];
    int64_t mtime_ms, added_ms;
    int64_t gone_ms;                    /* when its file was missed; 0: it is there. One that is gone is no candidate */
    int64_t device;                     /* the disk it lay on when last seen (st_dev); 0: not known */
    int64_t bytes;
    int cut;                            /* by which of rag's rules it was cut */
    char *was;                          /* how its text was broken before it was repaired; "": it was not. NULL when putting: likewise */
    const char *raw;                    /* for putting only, where `was` says something: [n_raw] the bytes as they came */
    size_t n_raw;
    int n_chunks;
} mem_document;
typedef struct mem_documents { mem_document *v; int n; } mem_documents;

/* Puts a document (id, added_ms, gone_ms and n_chunks of *d ignored) with its chunks; one with the same path is replaced,
 * what it held is owed (mem_tidy). For many: mem_bulk. */
int mem_document_put(mem_store *, const mem_document *d, const mem_chunk *c, int n, int64_t *id, char *err);
int mem_document_by_path(mem_store *, const char *path, mem_document *out, char *err);  /* Q_NOTFOUND */
int mem_document_get(mem_store *, int64_t id, mem_document *out, char *err);
int mem_document_list(mem_store *, mem_documents *out, char *err);
int mem_document_below(mem_store *, const char *folder, mem_documents *out, char *err);  /* of that path or below it */
/* Files seen again as they were: no longer gone; when one was changed and on which disk it lies is renewed. In steps. */
typedef struct mem_seen { int64_t document, mtime_ms, device; } mem_seen;
int mem_documents_seen(mem_store *, const mem_seen *v, int n, char *err);
/* Their files are gone: kept, listed, never a candidate until they are seen or put again. In steps. */
int mem_documents_gone(mem_store *, const int64_t *id, int n, char *err);
/* Its file lies at d->path now (title, name, mtime_ms, device of *d too), and says what it said: it keeps its id and its passages theirs. Not
 * *done, and nothing changed: it has very many passages, it went meanwhile, or another has that path. */
int mem_document_renamed(mem_store *, int64_t id, const mem_document *d, bool *done, char *err);
/* Gone for everybody at once, as a conversation; mem_tidy does the rest. */
int mem_document_delete(mem_store *, int64_t id, char *err);
int mem_documents_delete(mem_store *, const int64_t *id, int n, int *done /* or NULL */, char *err);
void mem_document_free(mem_document *);
void mem_documents_free(mem_documents *);

/* Documents in numbers: what is put in is gathered and stored in steps of one short transaction, several small documents
 * or a part of a large one, which nobody sees before it is whole. go (may be NULL) is asked between the steps of a large
 * one; false: Q_CANCEL. One thread a bulk. */
typedef struct mem_bulk mem_bulk;
mem_bulk *mem_bulk_new(mem_store *, bool (*go)(void *user), void *user);
/* As mem_document_put; copies what it is given. Stored at the latest by flush. On failure what waited is not stored:
 * mem_bulk_kept says what is. Passages that say what one of the old document said are that one still, with its id and its
 * place in the index (but of documents that are stored in parts). What was replaced is owed: mem_tidy. */
int mem_bulk_put(mem_bulk *, const mem_document *d, const mem_chunk *c, int n, char *err);
int mem_bulk_flush(mem_bulk *, char *err);
void mem_bulk_kept(const mem_bulk *, int *documents, int *chunks);      /* on the disk */
void mem_bulk_free(mem_bulk *);                                         /* without a flush what waits is dropped */

/* ================= what rag asks ================= */
enum { MEM_ASKED_MAX = 8192 };
typedef struct mem_passage {
    enum mem_kind kind;
    int64_t id;                         /* chunk or message */
    int64_t source;                     /* document or conversation */
    char *title, *name, *heading, *text;    /* name: what of the title is searched; "" for a message */
    char *author;                       /* who said a message, where that is neither the person nor a model; else "" */
    char *asked;                        /* what a model's answer answers, its first MEM_ASKED_MAX letters at most; else "" */
    enum mem_trust trust;
    int64_t offset, created_ms;         /* offset: bytes in the document; created: of the message or the document */
    int ordinal;                        /* of the chunk in its document */
    double bm25;                        /* >= 0, larger is better: FTS5's, sign turned */
} mem_passage;
typedef struct mem_passages { mem_passage *v; int n; } mem_passages;
/* The `limit` best by bm25 that hold any of the words (as mem_words gives them in `word`; raw, not stems).
 * MEM_CHAT leaves out conversation `except` and questions that the person of this memory asked. */
int mem_candidates(mem_store *, enum mem_kind, const char *const *words, int n, int64_t except, int limit,
                   mem_passages *out, char *err);
/* Documents whose titles a text names, each with its first passage; degree: how many it names. *v malloc'ed, also on failure. */
typedef struct mem_link { int64_t document, passage; int degree; } mem_link;
int mem_links(mem_store *, const char *text, size_t n, int64_t except /* this document */, mem_link **v, int *n_links, char *err);
/* Passages of other documents that name this one by its title; none where very many do; degree: how many. As mem_links. */
int mem_named_by(mem_store *, int64_t document, mem_link **v, int *n, char *err);
/* Where a stem stands: a passage, how often in which of its texts, and how many words it has in all. */
typedef struct mem_posting { int64_t id; int name, heading, text, length; } mem_posting;
/* All passages with the stem, in order of ids; *v malloc'ed. */
int mem_postings(mem_store *, enum mem_kind, const char *stem, mem_posting **v, int *n, char *err);
/* How many passages of a kind there are and how many words they have together. */
int mem_extent(mem_store *, enum mem_kind, int64_t *passages, int64_t *words, char *err);
/* Everything that was said, as turns, in order of ids: what stands before a turn is prev. */
enum mem_by { MEM_BY_PERSON /* of this memory */, MEM_BY_NAMED /* somebody else, who has a name */, MEM_BY_MODEL };
typedef struct mem_heard { int64_t id, prev, conversation, created_ms; int length; enum mem_by by; bool asks; /* a question ends it */ } mem_heard;
int mem_heard_all(mem_store *, mem_heard **v, int *n, char *err);
/* The passages of sources whose title holds one of these names ("notes", "papers/2025"), in any letter case: chunks and messages, each in order of ids. */
typedef struct mem_under { int64_t *chunk; int n_chunk; int64_t *turn; int n_turn; } mem_under;
int mem_passages_under(mem_store *, const char *const *name, int n, mem_under *out, char *err);
bool mem_under_has(const mem_under *, enum mem_kind, int64_t id);
void mem_under_free(mem_under *);
/* Of these passages those that may be found (as mem_candidates), in any order; bm25 0. */
int mem_passages_of(mem_store *, enum mem_kind, const int64_t *id, int n, int64_t except, mem_passages *out, char *err);
/* One passage again, by what a log row holds (kind, ref); bm25 0. Q_NOTFOUND: deleted since. */
int mem_passage_get(mem_store *, enum mem_kind, int64_t id, mem_passage *out, char *err);
/* A document's passage with so many before and behind it, in their order. Q_NOTFOUND: deleted since. */
int mem_passages_around(mem_store *, int64_t chunk, int before, int after, mem_passages *out, char *err);
/* In how many passages of this kind the word's stem occurs, and how many there are (of may be NULL: it need not be counted).
 * MEM_CHAT: without conversation `except`, whose messages are no candidates; 0: none. */
int mem_frequency(mem_store *, enum mem_kind, const char *word, const char *stem, int64_t except, int64_t *with, int64_t *of, char *err);
void mem_passage_free(mem_passage *);
void mem_passages_free(mem_passages *);

/* The words of a text as the index sees them. Folded: Unicode case folding, marks stripped (ё is е, й stays),
 * then the Snowball stem: Russian for Cyrillic, English for Latin. An identifier (snake_case, camelCase, a.b)
 * comes as its parts, the whole riding on the first part. */
enum { MEM_WORD_SAME = 1 /* same place as the word before it */, MEM_WORD_WHOLE = 2 /* a whole identifier */,
       MEM_WORD_NUMBER = 4, MEM_WORD_EXACT = 8 /* the unstemmed form, beside its stem */,
       MEM_WORD_CAPITAL = 16 /* begins with a capital letter and is no part of an identifier */ };
typedef struct mem_word {
    const char *stem, *word;            /* valid during the call only; word: folded */
    size_t start, end;                  /* bytes in the text */
    int flags;
} mem_word;
/* fn returns false to stop. Invalid UTF-8 parts words. Never fails. */
void mem_words(const char *text, size_t n, bool (*fn)(void *user, const mem_word *w), void *user);

/* Words that only hold a sentence together ("what", "is"); word: folded. */
bool mem_grammar(const char *word);
int mem_month(const char *word);        /* the month that a folded word names, in any case of Russian, 1 to 12; 0: none */

/* ================= entities ================= */
/* What passages name, kept with their words: it comes and goes with them. A key is the same whatever the ending ("Lofoten",
 * "на Байкале"): stems parted by spaces for names and phrases, the folded form else; memory/named.c has the rules. */
enum mem_entity_kind { MEM_ENTITY_NAME = 'n' /* capitals, a quoted title, the name of a file, a heading */, MEM_ENTITY_IDENTIFIER = 'i', MEM_ENTITY_DATE = 'd',
                       MEM_ENTITY_ADDRESS = 'a', MEM_ENTITY_PHRASE = 'p' /* two words that a text comes back to */ };
typedef struct mem_entity {
    char kind;
    const char *key;                    /* valid during the call only */
    size_t start, end;                  /* bytes in the text */
} mem_entity;
typedef bool mem_entity_fn(void *user, const mem_entity *);
/* Everything that a text names, a call a mention; fn returns false to stop. Never fails, whatever the bytes. At most 96. */
void mem_entities(const char *text, size_t n, mem_entity_fn *fn, void *user);
/* A name below is a kind and a key in one string: "nlofoten". All of one moment; fn must not call the store. */
enum { MEM_NAME_MAX = 124 };            /* its bytes, with the 0 */
/* All words of a text as one name of a kind: of a name in any letters and case the same as where it stands in a text. false: they make none. */
bool mem_name_of(const char *text, size_t n, enum mem_entity_kind, char name[MEM_NAME_MAX]);
/* What each of n passages names: fn(user, its place in id, name), in the order of their first mention. A last name alone is the
 * whole name where `whole` and the passages beside it in its source (16 before, 16 behind; of a talk 4 before) have just one that ends so. */
int mem_names_in(mem_store *, enum mem_kind, const int64_t *id, int n, bool whole, void (*fn)(void *user, int at, const char *name), void *user, char *err);
/* The passages that name each of n names: fn(user, the name's place, passage), in order of ids; none of a name that more than
 * `most` have. degree [n]: how many have it, most + 1: more. */
int mem_named_by_any(mem_store *, enum mem_kind, const char *const *name, int n, int most, int *degree, void (*fn)(void *user, int at, int64_t passage), void *user, char *err);
/* Passages right before and behind each of n in its source: of a talk what was said before it and what answers it. */
int mem_beside(mem_store *, enum mem_kind, const int64_t *id, int n, void (*fn)(void *user, int at, int64_t passage), void *user, char *err);
/* Every name there is, a call each, in no order and some twice; false stops. In steps. */
int mem_names_each(mem_store *, bool (*fn)(void *user, const char *name), void *user, char *err);

/* ================= all of it ================= */
typedef struct mem_text {
    enum mem_kind kind;
    int64_t id, source;
    enum mem_trust trust;
    int64_t created_ms;                 /* of a message; when a document was taken in */
    bool first;                         /* of its document */
    const char *text; size_t n;         /* valid in fn only, like path */
    const char *path;                   /* of its document; "" */
} mem_text;
/* Every passage, or every message that is searched, in order of ids, in steps. fn must not call the store; false: Q_CANCEL. */
int mem_texts_each(mem_store *, enum mem_kind, bool (*fn)(void *user, const mem_text *), void *user, char *err);
typedef struct mem_sizes {
    int64_t documents[MEM_TRUSTS], gone;         /* by trust; of these, files that are missed */
    int64_t conversations, imported;
    int64_t pins, bans;
    int64_t file, free;                 /* bytes of the store, and of these unused */
} mem_sizes;
int mem_sizes_get(mem_store *, mem_sizes *out, char *err);

/* ================= what a person wants of a search ================= */
/* Passages that are fed first in a conversation, and sources that are never fed, until that is taken back. They are kept with
 * their titles as they are now, oldest first; what is gone from memory is in neither list. */
typedef struct mem_pin {
    enum mem_kind kind;
    int64_t ref;                        /* chunk or message */
    int64_t from, n;                    /* bytes of its text that are meant; n -1: all of it */
    int64_t created_ms;
    char *title, *heading;
} mem_pin;
typedef struct mem_pins { mem_pin *v; int n; } mem_pins;
typedef struct mem_ban { enum mem_kind kind; int64_t source /* document or conversation */, created_ms; char *title; } mem_ban;
typedef struct mem_bans { mem_ban *v; int n; } mem_bans;
int mem_pin_put(mem_store *, int64_t conversation, const mem_pin *, char *err);    /* times and titles ignored; Q_NOTFOUND: conversation or passage is not there */
int mem_pin_drop(mem_store *, int64_t conversation, enum mem_kind, int64_t ref, char *err);
int mem_pin_list(mem_store *, int64_t conversation, mem_pins *out, char *err);
void mem_pins_free(mem_pins *);
int mem_ban_put(mem_store *, enum mem_kind, int64_t source, bool banned, char *err);      /* Q_NOTFOUND: it is not there */
int mem_ban_list(mem_store *, mem_bans *out, char *err);
void mem_bans_free(mem_bans *);

/* ================= vectors ================= */
/* What an embedding model made of passages. Several models side by side, never mixed; a passage without a vector of a model is
 * owed one. A vector goes with its passage, for good behind mem_tidy. */
typedef struct mem_embedder {
    int64_t id;
    char *name;                         /* the model's fingerprint */
    int dim;                            /* numbers of a vector */
    int64_t puts, drops;                /* counted up when vectors come, when some go: whoever holds a copy looks at both */
    int64_t chunks, messages;           /* vectors there are */
} mem_embedder;
typedef struct mem_embedders { mem_embedder *v; int n; } mem_embedders;
/* The model of that name (not beginning with '-'), made when it is new. Q_RANGE: it is there with another dim. */
int mem_embedder_for(mem_store *, const char *name, int dim, int64_t *id, char *err);
int mem_embedder_get(mem_store *, int64_t id, mem_embedder *out, char *err);      /* Q_NOTFOUND */
int mem_embedder_list(mem_store *, mem_embedders *out, char *err);
/* The one of that name, or the only one whose name begins so. Q_NOTFOUND: none; Q_RANGE: several. */
int mem_embedder_named(mem_store *, const char *name, mem_embedder *out, char *err);
int64_t mem_embedder_bytes(const mem_embedder *);             /* about: what its vectors take in the file */
int mem_embedder_delete(mem_store *, int64_t id, char *err);  /* gone at once; mem_tidy clears its vectors */
void mem_embedder_free(mem_embedder *);
void mem_embedders_free(mem_embedders *);

uint64_t mem_text_hash(const char *text);
typedef struct mem_vector {
    enum mem_kind kind;
    int64_t passage;                    /* chunk or message */
    uint64_t hash;                      /* mem_text_hash of its text as it was embedded */
    const float *f;                     /* [dim] */
} mem_vector;
/* One transaction. Passes over what is gone, says something else by now, or has one. Q_RANGE: a number is none (NaN, infinite,
 * beyond 64); nothing is kept then. */
int mem_vectors_put(mem_store *, int64_t embedder, int dim, const mem_vector *, int n, char *err);
/* Passages below `before` (0: all) that are owed a vector, the newest first: at most `most` into id. The manual's come last: nobody waits
 * for them. In steps. */
enum mem_owed { MEM_OWED_FILES, MEM_OWED_CHATS, MEM_OWED_MANUAL, MEM_OWED_N };
int mem_vectors_owed(mem_store *, int64_t embedder, enum mem_owed, int64_t before, int64_t *id, int most, int *n, char *err);
/* How many of each kind. Some numbers are read; only while something comes or goes the passages, in steps. */
int mem_vectors_owing(mem_store *, int64_t embedder, int64_t n[2], char *err);
/* How many of both kinds there will be, for who tells how far it is: what is coming in is among them already. Some numbers are read. */
int mem_vectors_due(mem_store *, int64_t embedder, int64_t *n, char *err);
/* The mean of all vectors of a kind, of *n of them; 0: none, and mean is 0. */
int mem_vectors_mean(mem_store *, int64_t embedder, enum mem_kind, int dim, double *mean, int64_t *n, char *err);
typedef struct mem_vector_row {
    enum mem_kind kind;
    int64_t passage, prev, conversation;    /* prev: what was said before it; 0: nothing; both 0: it is a chunk */
    double scale;                       /* a number is scale * row[i] */
    const int8_t *row;                  /* [dim]; valid in fn only */
} mem_vector_row;
/* Those that came since *after (0: all), which is moved on. In steps; fn must not call the store, false: Q_CANCEL. */
int mem_vectors_each(mem_store *, int64_t embedder, int dim, int64_t *after, bool (*fn)(void *user, const mem_vector_row *), void *user, char *err);
/* Exact vectors into out [n][dim]; there [n]: which passages have one. */
int mem_vectors_exact(mem_store *, int64_t embedder, enum mem_kind, const int64_t *passage, int n, int dim, float *out, bool *there, char *err);

/* ================= facts ================= */
/* Statements that a person wanted remembered. Of one subject each holds until the next, by since_ms; all are kept. */
typedef struct mem_fact {
    int64_t id;
    char *text, *subject;               /* subject "": it supersedes nothing */
    int64_t since_ms, until_ms;         /* 0 when putting: now; until 0: it holds */
    int64_t by;                         /* the fact that superseded it; 0 */
    int64_t message, created_ms;        /* where it was said, 0: nowhere */
} mem_fact;
typedef struct mem_facts { mem_fact *v; int n; } mem_facts;
int mem_fact_put(mem_store *, const mem_fact *, int64_t *id, char *err);          /* Q_RANGE: the same holds already */
int mem_fact_list(mem_store *, mem_facts *out, char *err);                        /* those that hold first, by since_ms */
int mem_facts_delete(mem_store *, const int64_t *id, int n, int *done /* or NULL */, char *err);    /* the one before such a one holds again */
void mem_facts_free(mem_facts *);

/* ================= what a model did ================= */
/* A call of a tool, kept with the answer in which it was made; neither searched nor fed to another conversation; gone with the answer. */
enum mem_call_state { MEM_CALL_DONE, MEM_CALL_FAILED /* the tool says why */, MEM_CALL_DENIED, MEM_CALL_STOPPED };
typedef struct mem_call {
    int64_t id, message;
    int round;                          /* calls of one round were made at once */
    int64_t at;                         /* bytes of the answer's text before it */
    char *name, *arguments, *result;    /* as the model read it */
    char *policy;                       /* who let it be done, or did not: a word or two for people */
    enum mem_call_state state;
    int64_t ms, created_ms;             /* what it took; when */
    char *path, *became;                /* absolute, of a file that it changed, "": none; its sha256 then */
    int mode, made;                     /* made: folders above it that were new with it */
    bool there, kept, undone;           /* the file was there; what it takes to undo is kept; it was undone */
} mem_call;
typedef struct mem_calls { mem_call *v; int n; } mem_calls;
/* Of what files held before, so much is kept for so long; the oldest go first. */
enum { MEM_UNDO_BYTES = 64 << 20, MEM_UNDO_DAYS = 30 };
/* id, created, kept and undone ignored. was: what its file held, NULL: it is not kept or was not there; whole: of a result that was cut, or NULL. */
int mem_call_put(mem_store *, const mem_call *, const char *was, size_t n_was, const char *whole, size_t n_whole, int64_t *id, char *err);
int mem_call_list(mem_store *, int64_t message, mem_calls *out, char *err);       /* in their order */
int mem_call_last(mem_store *, int64_t conversation, int most, mem_calls *out, char *err);       /* newest first */
int mem_call_was(mem_store *, int64_t call, q_buf *out, char *err);               /* Q_NOTFOUND: not kept */
int mem_call_whole(mem_store *, int64_t call, q_buf *out, char *err);             /* likewise */
int mem_call_undone(mem_store *, int64_t call, char *err);
void mem_calls_free(mem_calls *);

/* ================= compaction ================= */
/* A summary that stands in a prompt for the branch up to a message, which stays as it is. Constant but for undone: another text is another
 * version, of the same chain. Gone when a message that it stands for is forgotten. */
typedef struct mem_compaction {
    int64_t id, message;                /* the last that it stands for */
    int64_t chain;                      /* its first version; 0 when putting: it is one */
    char *kept;                         /* messages up to there that are fed word for word all the same: "12 13" */
    char *text, *fixed;                 /* the summary; lines that are fed beside it as they are: rules, open tasks */
    char *words;                        /* what the person wanted of it; "" */
    int messages, before, after;        /* how many it stands for; tokens of what it replaced, and of what stands there now */
    bool undone;
    int64_t created_ms;
} mem_compaction;
typedef struct mem_compactions { mem_compaction *v; int n; } mem_compactions;
int mem_compaction_put(mem_store *, const mem_compaction *, int64_t *id, char *err);     /* id, undone and created_ms ignored */
int mem_compaction_list(mem_store *, int64_t conversation, mem_compactions *out, char *err);      /* oldest first, undone ones too */
int mem_compaction_at(mem_store *, int64_t message, mem_compactions *out, char *err);     /* the last that is not undone: none or one */
int mem_compaction_undo(mem_store *, int64_t chain, char *err);                           /* all its versions */
void mem_compactions_free(mem_compactions *);
/* A turn, by its answer, that compaction keeps word for word. */
int mem_turn_pin(mem_store *, int64_t message, bool on, char *err);
int mem_turn_pinned(mem_store *, int64_t message, bool *pinned, char *err);

/* ================= forgetting ================= */
/* Documents, conversations and messages that somebody means to remove. Documents and conversations go by their own functions. */
enum mem_part { MEM_PART_DOCUMENT, MEM_PART_CHAT, MEM_PART_MESSAGE, MEM_PART_FACT, MEM_PARTS };
typedef struct mem_target {
    enum mem_part part;
    int64_t id, chat;                   /* chat: of a message its conversation; else 0 */
    uint64_t mark;                      /* another one for whatever else may stand under that id one day */
    int rows;                           /* passages of a document, messages of a conversation; 0 */
    char *title, *text;                 /* text: how a message begins, a fact, the path of a document; title: of the message's conversation */
} mem_target;
typedef struct mem_targets { mem_target *v; int n; } mem_targets;
enum mem_forget_by { MEM_FORGET_GONE /* documents whose file is gone */, MEM_FORGET_TIME /* said or taken in from_ms..to_ms */,
                     MEM_FORGET_WORDS /* what holds this text, in any case */ };
/* Adds to *out, in steps; also on failure to be freed. from_ms and to_ms (not included) only for TIME, text for WORDS. */
int mem_forget_find(mem_store *, enum mem_forget_by, int64_t from_ms, int64_t to_ms, const char *text, mem_targets *out, char *err);
int mem_target_get(mem_store *, enum mem_part, int64_t id, mem_targets *out, char *err);  /* adds it; Q_NOTFOUND */
void mem_targets_free(mem_targets *);
/* Single messages go with all that hangs on them alone (words, vectors, routing, log, bytes as they came); what stood below one
 * hangs on what it hung on, and a conversation without a message left goes too. In steps, each durable; those that are not there are
 * passed over. mem_tidy clears the rest. */
int mem_messages_delete(mem_store *, const int64_t *id, int n, int *done /* or NULL */, char *err);
/* Text in what stands beside texts: titles, drafts, waiting questions, logs of searches, routing whose prompt held it, names of
 * routing. *rows: how many were cleared. In steps; go (may be NULL): false: Q_CANCEL, calling again does the rest. */
int mem_forget_beside(mem_store *, const char *text, bool (*go)(void *user), void *user, int *rows, char *err);

/* Where a text still stands, in any case: in a row (table.column, the first row's number, how many rows), in old pages of a word index
 * (its name), or only in the file's bytes (where NULL, row: about which byte). */
typedef struct mem_found { const char *file, *where; int64_t row, n; } mem_found;     /* valid in fn only */
typedef void mem_found_fn(void *user, const mem_found *);
/* Looks through the store's file, its journal, its backups and copies; path as in mem_open. Returns how many places were told of.
 * *files: how many files were looked through; *unread: tables that could not be read, but by their bytes. Writes nothing. */
int mem_verify_absent(const char *path, const char *text, mem_found_fn *, void *user, int *files, int *unread, char *err);
/* Any file's bytes; *at: about where, -1: nowhere. */
int mem_file_holds(const char *file, const char *text, int64_t *at, char *err);

/* ================= what left ================= */
/* Files and folders outside quorum's own that hold what a person said: no forgetting reaches them, so they are written down. */
typedef struct mem_outside { int64_t id, made_ms; char *kind /* "export", "trace", "picture"; in no language */, *path; } mem_outside;
typedef struct mem_outsides { mem_outside *v; int n; } mem_outsides;
int mem_outside_put(mem_store *, const char *kind, const char *path, char *err);  /* now; one of the same path is replaced */
int mem_outside_list(mem_store *, mem_outsides *out, char *err);                 /* oldest first */
int mem_outside_of(const char *path /* as in mem_open */, mem_outsides *out, char *err);   /* of a file that is not open; also of one that is refused */
void mem_outsides_free(mem_outsides *);

/* ================= backups ================= */
typedef struct mem_backup { char *path, day[11]; int64_t bytes, made_ms; } mem_backup;  /* day: "2026-11-27" */
typedef struct mem_backups { mem_backup *v; int n; } mem_backups;
/* A copy of the file beside it (PATH.backup-DAY), where there is none of today, something changed since the last and the disk has
 * room to spare (Q_RANGE: it has none); seven are kept. In steps; go as in mem_tidy. *made: one was. What is forgotten takes all
 * backups with it: mem_tidy erases them, and the next one is made without it. */
int mem_backup_make(mem_store *, bool (*go)(void *user), void *user, bool *made, char *err);
int mem_backup_list(const char *path /* as in mem_open */, mem_backups *out, char *err);        /* newest first */
void mem_backups_free(mem_backups *);
/* The file becomes what that day's backup is, which is checked first; what it was stands in *kept then (malloc'ed). */
int mem_restore(const char *path, const char *day, char **kept, char *err);

/* ================= settings ================= */
/* Every setting whose name does not begin with `except` (NULL: all), in order of names. fn must not call the store. */
int mem_setting_each(mem_store *, const char *except, void (*fn)(void *user, const char *name, const char *value), void *user, char *err);
char *mem_setting_get(mem_store *, const char *name);                   /* NULL: not set; malloc'ed */
int mem_setting_put(mem_store *, const char *name, const char *value, char *err);   /* NULL removes */
/* Becomes what fn makes of what it is (was NULL: not set; malloc'ed, NULL removes) in one transaction: nothing that another process puts there
 * meanwhile is lost. fn must not call the store. */
int mem_setting_change(mem_store *, const char *name, char *(*fn)(void *user, const char *was), void *user, char *err);
/* What only one process is to do at a time, under the name of a setting: *mine, until mem_claim_end or until the process is gone. */
int mem_claim(mem_store *, const char *name, bool *mine, char *err);
#define MEM_CLAIM_EMBED "embedding"          /* making vectors */
void mem_claim_end(mem_store *, const char *name);
/* Another number when another process, or another opening of this file, changed it since. Microseconds. */
int64_t mem_version(mem_store *);

#endif
