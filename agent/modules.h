/* agent/modules: which modules (agent/module.h) are on, and what they do to an answer: their texts stand behind chat.system in a
 * stated order within modules.budget tokens, their knobs and adapters act while they are on and go back when they go off.
 *
 * The order: modules that are on for every question first, by `order` and name (or as /module order said), then those that a question
 * switches on by its words, so that what changes from question to question stands last and the prompt's common prefix is kept.
 *
 * What is on is kept in the store (setting modules.on) and holds for all conversations; /module is the engine's errand, so nothing changes
 * within an answer. The engine's thread owns all but the snapshot, which mu guards. */
#ifndef QUORUM_AGENT_MODULES_H
#define QUORUM_AGENT_MODULES_H

#include "agent/desk.h"
#include "agent/events.h"
#include "agent/module.h"
#include "provider/provider.h"

#include <pthread.h>

struct agt;
struct agt_modules;

typedef struct module_on {               /* one that stands in the prompt */
    module m;
    int tokens;
} module_on;
typedef struct module_knob {             /* a value that a module set */
    char *knob, *was, *set, *by;         /* by: its name */
    bool engine;
} module_knob;
typedef struct module_adapter {          /* a file that modules which are on name; modadapters.c */
    char *path, *name, *by, *set;        /* name: as the model calls it; by: a module; set: its piece of lora.scale as modules left it, "": it rests */
    bool own, hands;                     /* own: modules loaded it; hands: a person loaded, dropped or turned it, and it is left alone */
} module_adapter;
typedef struct module_seen { char *name, *hash; } module_seen;  /* hash "": it was broken, or gone */

typedef struct modules {
    strings given;                       /* --module, for this process; constant after agt_open */
    /* engine's thread */
    module_on *now; int n;               /* of the question at hand, as they stand */
    char *text;                          /* of them all; "" */
    int tokens;
    char *left;                          /* what had no room, as it was said last; NULL */
    module_knob *knob; int n_knob;
    module_adapter *adapter; int n_adapter;
    strings held;                        /* files of adapters of all modules that are on, whether this question wants them or not */
    module_seen *seen; int n_seen;
    strings told;                        /* sentences that are said once */
    /* under mu */
    pthread_mutex_t mu;
    struct agt_modules *shown;           /* NULL: not looked yet */
    char *made;                          /* what stood in the last answer's prompt, as AGT_EV_MODULES has it; NULL: none was given yet */
} modules;
void modules_open(modules *);
void modules_close(modules *);

/* Engine's thread. Reads what is on and decides what stands in the prompt for this question; its knobs act from here on, but where
 * another configuration is in effect for one answer (seat.home). */
void modules_choose(struct agt *, const char *question);
int modules_tokens(struct agt *, const module *);       /* what it takes of the prompt; 0 without a text or a model */
void modules_rest(struct agt *);         /* the answer ended: those that its question switched on go off */
void modules_leave(struct agt *);        /* another model is to come: what they set and loaded on this one goes back */
void modules_loaded(struct agt *);       /* another model: its knobs are its own again, and are set anew */
/* The reply has its row: what stands in its prompt is kept with it and told. */
void modules_made(struct agt *, int64_t message);
/* For /why: what made says (as AGT_EV_MODULES has it, NULL: nothing is known) as a line, and beside what *json (malloc'ed JSON, or NULL) has. Any thread. */
void modules_why(const char *made, q_buf *out, char **json);
char *modules_why_of(struct agt *, int64_t message);     /* the same of a stored answer, as `made`; malloc'ed or NULL. Any thread but the front end's */
/* All modules as they are now, to the snapshot, and AGT_EV_MODULES where told is set. */
void modules_publish(struct agt *, bool told);
/* What these would make: text of those flagged on (malloc'ed), within no budget, and JSON of the present configuration with their
 * knobs and without those of others (malloc'ed; NULL: no model). v as modules_all gives it. */
char *modules_text(const module *v, const bool *on, int n);
char *modules_configured(struct agt *, const module *v, const bool *on, int n);
/* All, in the order of a prompt. on: which are (malloc'ed [n]). */
int modules_all(struct agt *, module **v, bool **on, int *n, int *over, char *err);
void modules_on(struct agt *, strings *out);  /* their names, as they were switched on */
/* What the memory's passages may be of, while modules say so: names inside `now`; *names malloc'ed. 0: of anything. */
int modules_memory(const modules *, const char ***names);
/* A search within them found nothing: names of which no source is called, are told. */
void modules_memory_looked(struct agt *);

/* ---- told.c ---- */
void modules_once(struct agt *, enum agt_level level, char *text);       /* a note that is given once a process; text is taken */

/* ---- modadapters.c: engine's thread ---- */
char *modadapters_path(const module *, double *scale);   /* of the file that it names, seen from its own; NULL: none; malloc'ed */
void modadapters_act(struct agt *, prov_config *c, const module_on *on, int n, bool rules);      /* loads what they name; c's lora.scale has it. rules: those of a rule too */
void modadapters_leave(struct agt *);    /* those that no module which is on names go from memory; c is in effect by then */
void modadapters_lost(modules *);        /* the model is gone */
/* Loads what these name, which does not act by that; modadapters_leave takes away what is not held. configure: c as if these were on, and no others. */
void modadapters_ready(struct agt *, const module *v, const bool *with, int n);
void modadapters_configure(struct agt *, prov_config *c, const module_on *on, int n);
bool modadapters_said(struct agt *, const module *, char **name, char **scale);          /* what of it acts: "style", "0.7,@1=0"; malloc'ed; false: nothing, both NULL */

#endif
