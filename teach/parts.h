/* teach/parts: what the files of teach/ share; nobody outside includes it but its tests. */
#ifndef QUORUM_TEACH_PARTS_H
#define QUORUM_TEACH_PARTS_H

#include "advice/examples.h"
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/lab.h"
#include "teach/teach.h"
#include "train/train.h"

#include <cjson/cJSON.h>

/* ---- shelf.c: files and names ---- */
char *shelf_of(const char *name, const char *file);      /* teach/NAME/FILE, of "" and NULL the folders; malloc'ed; NULL without a home */
int shelf_name(const char *name, char *err);             /* Q_RANGE: it is none */
int shelf_make(const char *name, bool run, char *err);   /* its folder, or that of its run */
void shelf_erase(const char *folder);                    /* with all that is in it, overwritten; folders of this room only */
enum shelf_kind { SHELF_TEXT, SHELF_COUNT /* a whole number from 0 */, SHELF_REAL, SHELF_FLAG, SHELF_LIST };
typedef struct shelf_row { const char *name; enum shelf_kind kind; bool must; } shelf_row;      /* what an object may have; must: it has it */
const char *shelf_wrong(const cJSON *, const shelf_row *, int n);        /* the first that is missing or of another kind; NULL: none */
/* An object of this kind, version 1 and with these rows. Q_NOTFOUND; Q_FORMAT: err is why, without the file's name: the caller says what to do. */
int shelf_read(const char *path, const char *kind, const shelf_row *, int n, cJSON **out, char *err);
int shelf_write(const char *path, const char *kind, cJSON * /* deleted */, char *err);
double shelf_number(const cJSON *, const char *name, double otherwise);
const char *shelf_text(const cJSON *, const char *name); /* "" where there is none */
int shelf_lock(const char *name, int *fd, char *err);    /* name: what is at work under it. Q_RANGE: another run is at work */
int shelf_lock_sets(int *fd, char *err);                 /* for changing one: two windows add one after the other. Q_RANGE: it took longer than is waited */
void shelf_unlock(int fd);
bool shelf_locked(void);
char *shelf_holder(void);                                /* the name that it was taken with ("": not known), malloc'ed; NULL: nobody holds it */

/* ---- record.c: run.json ---- */
#define RECORD_KIND "quorum.teach.run"
int record_read(const char *name, cJSON **out, char *err);       /* Q_NOTFOUND; Q_FORMAT: damaged, with what to do */

/* ---- set.c ---- */
/* All examples of a set as JSON lines (messages and pairs), in a fixed order: its files', then what memory releases now. Q_NOTFOUND: there is no such set, or
 * nothing in it. sha: of the lines. */
int set_lines(struct mem_store *, const char *name, q_buf *lines, char *err);

/* ---- tokens.c: examples as the model reads them ---- */
typedef struct lessons {                 /* tokens_free */
    trn_example *train; int n_train;     /* texts are owned */
    trn_example *held; int n_held;       /* of other conversations than those of train */
    int64_t n_tokens, n_targets;         /* of both */
    int sources, long_ones, mute;        /* conversations; examples left out: longer than the context, without an answer */
    int longest;                         /* tokens of the longest that is kept */
} lessons;
enum tokens_of { TOKENS_SFT /* every example's accepted answers */, TOKENS_DPO /* pairs alone */ };
/* The tenth of the conversations that is held out: those whose first question has the smallest hashes, one at least; so it does not hang on the
 * order, nor much on what else there is. Examples of one first question are one conversation. */
#define TOKENS_HELD .1
int tokens_read(const eng_model *, const q_buf *lines, enum tokens_of, int context, bool hold /* false: nothing is held out */, lessons *out, char *err);
/* One example: all its answers are targets. Q_RANGE: it has none. */
int tokens_of_talk(const eng_model *, const adv_said *v, int n, bool bare, trn_text *out, char *err);
void tokens_free(lessons *);
void tokens_text_free(trn_text *);

/* ---- general.c ---- */
extern const char *const general_text[];         /* paragraphs; NULL ends them */

/* ---- route.c: where texts go ---- */
typedef struct traffic {                 /* traffic_free */
    trn_traffic t;                       /* over routed layers only; arrays are owned */
    int *layer;                          /* [t.n_layer] their numbers in the model */
    int n_layer;                         /* all layers */
} traffic;
typedef bool asks_go(void *user, int done, int total);
/* Evaluates each text in a context of its own under c and counts the experts of the positions from which a target is foretold (mask NULL: of all), of the
 * first ROUTE_TEXTS texts and ROUTE_TOKENS tokens. stop (NULL: never) ends it within a piece too. Q_RANGE: nothing is routed. */
enum { ROUTE_TEXTS = 512, ROUTE_TOKENS = 131072, ROUTE_PIECE = 128 /* tokens of a piece of a plain text */ };
int route_texts(eng_model *, const eng_config *, const lab_talk *, int n, asks_go *, void *user, const atomic_bool *stop, traffic *out, char *err);
int route_plain(eng_model *, const eng_config *, const char *text, size_t n, asks_go *, void *user, const atomic_bool *stop, traffic *out, char *err);    /* in pieces */
void traffic_free(traffic *);
double traffic_share(const traffic *, const uint8_t *chosen /* [n_layer][n_expert] */);      /* of all that ran, mean over layers that have chosen ones */
/* What is taught of [n_layer][n_expert], malloc'ed; *n: how many. */
int choose_experts(const eng_model *, const tch_settings *, const traffic *, uint8_t **chosen, int *n, char *err);
int choose_listed(const eng_model *, const char *list, uint8_t **chosen, int *n, char *err);
char *chosen_words(const eng_model *, const uint8_t *chosen);      /* "3:5,3:9": as the setting takes it; malloc'ed */

/* ---- settings.c ---- */
int settings_from_json(tch_settings *, const char *json, char *err);

/* ---- report.c ---- */
typedef struct proof {                   /* what a report is of */
    eng_model *m;
    const eng_config *before, *after;
    const lessons *data;
    const q_buf *general;
    const char *name;
    const cJSON *run;                    /* run.json */
    const tch_state *state;
    const uint8_t *chosen;               /* NULL: no experts */
    struct mem_store *store;
    asks_go *go; void *user;
    const atomic_bool *stop;
} proof;
int report_make(const proof *, char **text, char **json, char *err);

#endif
