/* agent/room: what the files of this room share; nobody outside includes it. Two threads work behind agt.mu: the
 * engine thread takes jobs in order and, between two tokens, edits; the clerk thread does disk work nobody waits for.
 * A field says which of them owns it. */
#ifndef QUORUM_AGENT_ROOM_H
#define QUORUM_AGENT_ROOM_H

#include "agent/agent.h"
#include "engine/engine.h"
#include "engine/text.h"
#include "engine/models.h"
#include "memory/memory.h"
#include "rag/rag.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- events.c: the bounded queue ---- */
enum { EVQ_MAX = 1024 };                 /* above it the engine and clerk threads wait for the reader */
typedef struct evq {
    pthread_mutex_t mu;
    pthread_cond_t room;
    agt_event *v;                        /* ring */
    int cap, head, n;
    int fd;                              /* eventfd, readable while n > 0 */
    bool closing;                        /* nobody waits any more */
    pthread_t reader;                    /* the front end: it never waits for itself */
} evq;
int evq_open(evq *q, char *err);
void evq_close(evq *q);
void evq_hurry(evq *q);                  /* closing: wakes whoever waits */
void evq_push(evq *q, agt_event *e);     /* takes the contents */
bool evq_pop(evq *q, agt_event *out);

/* ---- jobs ---- */
enum job_kind {
    /* engine thread */
    JOB_LOAD, JOB_OPEN, JOB_SEND, JOB_AGAIN, JOB_EDIT, JOB_BRANCH, JOB_RECOMPUTE, JOB_DELETE, JOB_RENAME, JOB_MANUAL,
    /* clerk thread */
    JOB_CHATS, JOB_FIND, JOB_ADD, JOB_FORGET, JOB_DOCUMENTS, JOB_SETTING, JOB_PLACE, JOB_RETRIEVAL, JOB_SHOW, JOB_TRACE,
    JOB_SEARCH, JOB_MODEL, JOB_NAMES, JOB_KEEP, JOB_SAVE
};
typedef struct job {
    struct job *next;
    enum job_kind kind;
    int64_t id, number;
    char *text, *value;
} job;
typedef struct jobs { job *first, *last; } jobs;

typedef struct waiting {                 /* a question behind a running answer; see pending.c */
    struct waiting *next;
    int64_t ticket, chat, edits, row;    /* row 0: not stored yet */
    bool placed, say;                    /* say: it waits for an answer, which can take long */
} waiting;

enum edit_kind { EDIT_SET, EDIT_NUDGE, EDIT_TOGGLE };
typedef struct edit {                    /* a change of the engine's configuration, applied between two tokens */
    struct edit *next;
    enum edit_kind kind;
    int delta;
    char *name, *value;
} edit;

/* ---- what is known about configurations by their forward hash ---- */
typedef struct known { uint64_t hash; char label[48]; char *json; } known;

typedef struct setting { char *key, *value; } setting;
typedef struct strings { char **v; int n, cap; } strings;

struct agt {
    /* constant after agt_open */
    mem_store *store;
    const q_knob **knob;                 /* the joined table */
    uint8_t *knob_room;                  /* enum knob_room of each */
    int n_knob;
    bool base, once;
    char **set; int n_set;               /* --set, for each model that is loaded */
    char *model_path;                    /* written by the engine thread under mu when /model changes it */
    pthread_t engine_thread, clerk_thread;
    bool engine_up, clerk_up;
    evq q;

    pthread_mutex_t mu;
    pthread_cond_t work;                 /* jobs, edits, unpause, stop, quit */
    /* under mu */
    jobs todo, errands;                  /* engine's, clerk's */
    edit *edits, **edits_end;
    bool quit, running, errand_running;
    bool answering;                      /* the running job can be stopped */
    bool paused;
    int steps;
    atomic_bool stop, errand_stop;
    eng_session *cancel;                 /* the session to cancel; NULL while there is none */
    eng_config *shown;                   /* copy of cfg for other threads; NULL before a model is loaded */
    agt_status st;
    char *full_name;                     /* of the loaded model; NULL: none */
    struct { char label[48]; int cells; } mix[16];
    int n_mix;
    rag_config rag;
    setting *setting; int n_setting, cap_setting;
    rag_result *why;                     /* of the last search */
    int64_t why_message;
    int64_t place_chat, place_scroll;    /* what agt_keep_place kept last */
    char *place_text;
    int dropped;                         /* messages of the branch that the last prompt left out */
    waiting *waiting;
    int64_t tickets;
    strings model_names, chat_numbers;   /* what Tab offers after /model and /open: the clerk's last look */
    int reserve;                         /* tokens kept free for the reply in the last prompt */

    lab_watch *watch;                    /* routing; has its own lock */

    /* clerk thread only */
    int64_t save_failed;                 /* the reply whose partial text could not be stored, as was said */

    /* engine thread only */
    eng_model *model;
    eng_session *session;
    eng_config *cfg, *previous;
    eng_config *home;                    /* while /again runs under its own configuration: what comes back afterwards */
    eng_sampler *sampler;
    char *load_error;
    known *known; int n_known;
    int64_t chat;
    mem_messages path;                   /* the present branch, root first */
    int64_t keep_from;                   /* first message of the branch that still fits; see prompt.c */
    uint64_t trace_cursor;
    eng_tokens timeline;                 /* what the session should hold, for re-evaluation after a knob */
    int64_t prefill_from;                /* ns */
    bool config_changed;                 /* an edit was applied since the turn last looked */
    bool after_again;                    /* the cells are those of an /again with other settings: the next prompt is evaluated anew */
};

/* ---- desk.c ---- */
void room_post(agt *, enum job_kind k, int64_t id, int64_t number, const char *text, const char *value);
void room_edit(agt *, enum edit_kind k, int delta, const char *name, const char *value);
void job_free(job *);
void jobs_free(jobs *);
void edit_free(edit *);

/* ---- events.c ---- */
void room_note(agt *, enum agt_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void room_text(agt *, const char *title, char *text /* taken */);
void room_ui(agt *, int action, const char *arg);

/* ---- slips.c ---- */
int text_distance(const char *a, const char *b);             /* Damerau-Levenshtein over code points, bounded inputs */
char *layout_to_latin(const char *s);                        /* ЙЦУКЕН keys as QWERTY; malloc'ed */
char *layout_to_cyrillic(const char *s);
void strings_add(strings *, char *taken);
void strings_free(strings *);
char *home_path(const char *p);                              /* "~/x" as a path; malloc'ed */
bool is_blank(char c);

/* ---- view.c: the store's rows as events ---- */
void view_message(agt *, const mem_message *m, agt_message *out);
agt_message *view_branch(agt *, const mem_messages *path);
agt_retrieval *view_result(const rag_result *r);
agt_retrieval *view_logs(agt *, const mem_logs *l);
void view_model_name(const char *full, bool carved, char *out, size_t n);

/* ---- sync.c: what the session holds; engine thread ---- */
void sync_publish(agt *);                /* configuration and status to the snapshots */
void sync_know(agt *, const eng_config *c);              /* remembers hash, label and JSON */
const char *sync_label(const agt *, const eng_config *c, char *buf, size_t n);
enum eng_policy sync_policy(agt *);
int sync_tokens(agt *, const eng_tokens *t, char *err);  /* with PREFILL events */
void sync_mix(agt *);
void sync_recompute(agt *);

/* ---- edits.c: engine thread ---- */
int edits_apply(agt *, int token, bool *resync);         /* token after which they hold; 0 = between answers */

/* ---- load.c: engine thread ---- */
void load_job(agt *, const job *j);
void load_none(agt *);                   /* gives up model, session and configurations */

/* ---- chat.c: the present conversation; engine thread ---- */
int chat_open(agt *, int64_t chat);
void chat_open_job(agt *, const job *j);
void chat_reload(agt *);
void chat_show(agt *);
void chat_branch(agt *, const job *j);
void chat_delete(agt *, const job *j);
void chat_rename(agt *, const job *j);
const mem_message *chat_message(agt *, int64_t id, enum mem_role role);  /* on the branch; id 0: the last of this role */
char *chat_title(const char *text);      /* a conversation's name, from its first question; malloc'ed */

/* ---- worker.c: the engine thread ---- */
void *worker_main(void *agt_);

/* ---- turn.c ---- */
int64_t turn_store(agt *, const char *text, int64_t parent, bool at_leaf);
void turn_send(agt *, const char *text, int64_t parent, bool at_leaf, int64_t ticket);
void turn_again(agt *, int64_t message, const char *assignments);
void turn_edit(agt *, int64_t message, const char *text, int64_t ticket);

/* ---- prompt.c ---- */
/* The ids of the prompt for an answer to path (whose last message is the question). */
int prompt_build(agt *, const mem_messages *path, const rag_result *passages, eng_tokens *out, char *err);
size_t prompt_question(const char *message);
int prompt_room_for_passages(agt *, const char *question);
int prompt_count(void *user, const char *text, size_t n);    /* user: eng_model */

/* ---- lists.c, documents.c, trace.c: the clerk's errands ---- */
void lists_chats(agt *);
void lists_find(agt *, const char *words);
void lists_retrieval(agt *, int64_t message);
void lists_models(agt *, bool show);
void lists_model(agt *, const char *name);
void documents_add(agt *, const char *path);
void documents_forget(agt *, const char *which);
void documents_list(agt *);
void documents_search(agt *, const char *words);
void keep_now(agt *, const job *j);
void trace_save(agt *, const char *file);

/* ---- clerk.c ---- */
void *clerk_main(void *agt_);

/* ---- settings.c, knobs.c ---- */
enum knob_room { KNOB_ENGINE, KNOB_RAG, KNOB_AGENT };
void knobs_join(agt *);
int knobs_find(const agt *, const char *name);               /* index by name or aka, -1 */
int knobs_nearest(const agt *, const char *name);            /* for "did you mean", -1 */
void knobs_set(agt *, const char *name, const char *value, bool keep);   /* front-end thread; answers by events */
int knobs_set_quiet(agt *, const char *name, const char *value, char *err); /* rag and agent rows; engine rows: Q_NOTFOUND */
void knobs_page(agt *, const char *name_or_null);
const char *knobs_agent_value(agt *, const char *name, q_buf *buf);      /* takes mu */
const char *knobs_row_default(const char *name);
const char *setting_locked(const agt *, const char *key);                /* under mu */
void setting_put_locked(agt *, const char *key, const char *value);
/* config.ini: agent and rag rows are set at once, engine rows are appended to *assign (NAME=VALUE); sentences about bad
 * lines to *notes. */
void knobs_read_ini(agt *, strings *assign, strings *notes);
void knobs_parse_ini(agt *, const char *path, q_buf *text, strings *assign, strings *notes);   /* text is changed */

/* ---- pending.c ---- */
int64_t pending_ticket(agt *, int64_t edits, const char *text);
void pending_keep(agt *, int64_t ticket, const char *text);
void pending_placed(agt *, int64_t ticket);
void pending_restore(agt *);
void pending_free(agt *);

/* ---- pages.c: texts that commands print ---- */
void page_context(agt *);
void page_why(agt *);
void page_experts(agt *);

/* ---- watch.c ---- */
void watch_config(agt *);                /* a model or its configuration is new */
void watch_feed(agt *, mem_trace *also); /* engine thread: the session's new positions, to the lab and to `also` */
bool watch_baseline(agt *);              /* idle work: true while there is more */

#endif
