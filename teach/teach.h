/* teach: a model taught by a person's own examples. Named sets of examples, which experts they ask for, a run that makes an adapter of
 * them, and the proof of what it did: held-out loss before and after, forgetting, routing. Over train/ (the arithmetic), lab/ (what of
 * a difference is chance), advice/examples.h (forms of examples), memory/ (what was released). The shell and `quorum teach` stand on it alike.
 *
 * Where things lie, all below the user's data folder, mode 0600: teach/NAME/ has a set (set.json: of what it is; examples.jsonl: its lines)
 * and its run (run/: run.json, the examples as they were when it began, train/'s checkpoints, plan and report); adapters/NAME.gguf is what
 * came of it. Files and not the memory's tables: a set is read once a run from its beginning to its end and searched by nobody, is
 * as large as what somebody downloads, and goes with its folder. What was said in conversations is never copied into a set: a set that has
 * "chats" reads them out of memory when a run begins, so that what is forgotten or no longer released is not taught; only the run's own copy
 * of it lives, until the report is written.
 *
 * Strings are UTF-8. Errors: base.h; err is a sentence for a person. Any thread; one run at a time for a user (a lock beside the sets). */
#ifndef QUORUM_TEACH_H
#define QUORUM_TEACH_H

#include "base/base.h"

#include <stdatomic.h>

struct mem_store;

/* ================= sets ================= */
enum { TCH_NAME = 64 };                 /* bytes of a name at most: letters, digits, . - _ */
#define TCH_CHATS "chats"               /* what was released in conversations and marked /good, or written with /better; also a set of that name, which
                                           is always there */
#define TCH_OWN "own"                   /* the set that is meant where none is named */
typedef struct tch_source { char *what; char sha[65]; int64_t examples, pairs, added_ms; } tch_source;      /* a file's name, or TCH_CHATS (sha "") */
typedef struct tch_set {                /* tch_sets_free */
    char *name;
    tch_source *source; int n;
    bool chats;                         /* conversations belong to it: */
    int64_t released, unreleased;       /* so many there are (chats only; -1: memory could not be asked) */
    int64_t examples, pairs;            /* as counted now; -1: chats could not be read, problem says why */
    int64_t tokens, targets;            /* of them for the model that was named; targets: of answers, which alone are in the loss; -1: no model was named */
    char *state;                        /* of its run: "", "running", "stopped", "done" */
    bool adapter;                       /* adapters/NAME.gguf is there */
    char *problem;                      /* NULL, or a sentence: the set cannot be read, or part of it */
} tch_set;
void tch_sets_free(tch_set *, int n);
bool tch_is_name(const char *);

typedef struct tch_added { int64_t examples, pairs, same /* left out: there already */, broken; char *first_broken; /* why; NULL */ char *lost; /* lines; "" */ } tch_added;
void tch_added_free(tch_added *);
void tch_added_say(const char *what, const char *name, const tch_added *, q_buf *out);
/* what: a file (any form of advice/examples.h, a dialogue in Markdown, an archive of chats as /add takes it), or "chats"; name NULL: TCH_OWN. Made where it
 * is not there. All or nothing. go may be NULL; false: Q_CANCEL. Q_NOTFOUND: the file has no example. */
int tch_add(const char *what, const char *name, bool (*go)(void *user), void *user, tch_added *out, char *err);
/* All sets by name, TCH_CHATS always among them. store NULL: chats are not counted. model: a file whose tokens are counted; NULL. */
int tch_list(struct mem_store *, const char *model, tch_set **out, int *n, char *err);
void tch_list_say(const tch_set *, int n, q_buf *out);       /* a table */
char *tch_list_json(const tch_set *, int n);            /* an array; malloc'ed */
/* The set and its run go; its adapter stays. Q_NOTFOUND: there is none; Q_RANGE: it runs. */
int tch_drop(const char *name, char *err);

/* ================= a run ================= */
/* "steps=200 rank=8 …" as tch_settings_help lists them; unknown names and values are refused by name. */
enum tch_experts { TCH_AUTO, TCH_ALL, TCH_LIST, TCH_NONE };
typedef struct tch_settings {
    int steps, rank, batch, context, first_layer, n_layer /* 0: all */, warmup, threads;
    double lr, alpha, p, dpo_beta;
    enum tch_experts experts;
    char list[1024];                    /* "3:5,3:9,11:0": layer:expert */
    bool attention, shared, by_tokens, dpo, proof;
    uint64_t seed;
    char general[512];                  /* a file of text that must not suffer; "": the built-in one */
} tch_settings;
void tch_settings_begin(tch_settings *);
int tch_settings_set(tch_settings *, const char *words, char *err);
char *tch_settings_json(const tch_settings *);          /* malloc'ed */
void tch_settings_help(q_buf *out);

enum tch_phase { TCH_IDLE, TCH_OPENING, TCH_READING, TCH_ROUTING, TCH_MEASURING, TCH_TRAINING, TCH_PROVING, TCH_DONE, TCH_STOPPED, TCH_FAILED };
const char *tch_phase_word(enum tch_phase);             /* "training": for programs */
const char *tch_phase_words(enum tch_phase);            /* translated */
enum { TCH_CURVE = 128 };
typedef struct tch_state {              /* plain: may be copied */
    enum tch_phase phase;
    char name[TCH_NAME + 1], model[96];
    int step, steps, done, total;       /* done of total: in the phases before and after training */
    double loss, heldout, first_heldout, lr, tokens_s, left_s;       /* NAN: not known */
    uint64_t bytes;
    int chosen, routed;                 /* experts that are taught, of how many */
    double distance, p;                 /* from other traffic; NAN */
    int per_point, n_curve, in_last;    /* steps a point of the curve; how many points; steps in the last one */
    float curve[TCH_CURVE];             /* mean losses */
    char problem[Q_ERRLEN];
} tch_state;
void tch_state_point(tch_state *, double loss);         /* adds a step's loss to the curve, which is thinned when it is full */
void tch_state_say(const tch_state *, int columns, q_buf *out);      /* the panel's lines, as text */
char *tch_state_json(const tch_state *);                /* an object; malloc'ed */
char *tch_state_line(const tch_state *);                /* one line; malloc'ed */

typedef struct tch_job {
    const char *name, *settings;        /* a set; "": as it was begun, or the defaults */
    const char *model;                  /* a file */
    struct mem_store *store;            /* NULL: no chats */
    bool (*go)(void *user);             /* asked between steps: may wait; false: it stops, and can be gone on with */
    void (*tell)(void *user, const tch_state *);
    void (*page)(void *user, const char *title, const char *text, const char *json);     /* plan, report; may be NULL */
    void *user;
    const atomic_bool *stop;            /* set: within a second, in every phase; so does tch_stop, from wherever it is called; NULL */
    void (*halts)(void *user);          /* it is about to stop because of tch_stop: whoever waits in go may end that; from a thread of its own; NULL */
} tch_job;
/* Begins, or goes on with what was stopped or cut off (then settings must be "" or the same). Opens the model by itself, beside whoever else has it open: the
 * same mapped pages. *adapter: the file that came of it, malloc'ed. Q_CANCEL: stopped, and the next call goes on; Q_RANGE: another run is at it,
 * the model or the settings are others than it was begun with, or there is nothing to learn from. */
int tch_run(const tch_job *, char **adapter, char *err);
/* The name of the run that was cut off (not stopped by a person) and its model's file; NULL: none. malloc'ed. */
char *tch_cut_off(char **model);
/* Asks the run that is at work, in whichever process, to stop: a file beside the lock, which that run takes away. Q_NOTFOUND: none is. */
int tch_stop(char *err);
bool tch_stop_wanted(void);
/* A person stopped it: it is not taken up by itself. */
int tch_stopped(const char *name, char *err);
char *tch_last(const char *name);                       /* the name, or for NULL that of the run at work, or the last; NULL: there is none; malloc'ed */
/* The adapter and the run go, the set stays. name NULL: the one at work; what is finished is named, so that nothing goes by a slip. *which: it, malloc'ed.
 * A run of it that is at work, in whichever process but on another thread, is stopped first and waited for. Q_NOTFOUND: nothing was taught; Q_RANGE: it
 * does not stop, or none is at work and no name was given (err says which one was taught last). */
int tch_undo(const char *name, char **which, char *err);
/* The report of a finished run, as words and JSON (malloc'ed). name NULL: the last one. */
int tch_report(const char *name, char **text, char **json, char *err);
char *tch_adapter_path(const char *name);               /* malloc'ed */
char *tch_adapter_named(const char *name);              /* that file, malloc'ed; NULL: the name is none, or nothing was taught by it */

#endif
