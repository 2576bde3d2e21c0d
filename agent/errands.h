/* agent/errands: what the two lanes of the clerk do, one file a part. */
#ifndef QUORUM_AGENT_ERRANDS_H
#define QUORUM_AGENT_ERRANDS_H

#include "agent/room.h"

/* ---- chats.c: quick ---- */
extern const job_row job_chats;
extern const job_row job_rename;         /* id: the conversation; text: its title */
extern const job_row job_delete;         /* id: asks, */
extern const job_row job_deleted;        /* and does it; number: when it was made, 0: any */
extern const job_row job_delete_answered;        /* engine's: the same, where an answer had to be stopped first */
extern const job_row job_delete_here, job_rename_here;   /* engine's: of the present one, whichever it is by then */

/* ---- lists.c: quick ---- */
extern const job_row job_why;            /* id: a conversation; why its last answer was fed what it was */
extern const job_row job_retrieval, job_names, job_energy, job_costs;

/* ---- advise.c: quick ---- */
extern const job_row job_advise;         /* text: "text", or a file that it is of */
extern const job_row job_advice;         /* number 1: the machine is measured anew */

/* ---- map.c: quick ---- */
extern const job_row job_map;            /* text: a file for the SVG; number 1: it may be written over */

/* ---- keep.c: quick ---- */
extern const job_row job_setting;        /* text: key, value: NULL removes it */
extern const job_row job_place;          /* id: conversation, number: scroll, text: draft */
extern const job_row job_save;           /* id: reply, text and value: its text and thinking so far */

/* Any lane. accept: written down, then posted; text: what the next start is to do, as: what this one is; order: its place
 * among others, 0: the last. after: what comes is placed behind this. done: it needs
 * nothing more. left: the end comes before it is done, text: what is left of it. */
void errand_accept(agt *, const job_row *, uint64_t order, const char *as, const char *text);
uint64_t errand_order(const char *key);
void errand_after(agt *, uint64_t order);
void errand_done(agt *, const job *);
void errand_left(agt *, const job *, const char *text);

/* ---- documents.c ---- */
extern const job_row job_manual;         /* engine's: the first question should find it */
/* job_take, quick; text: a file or folder: written down, then */
extern const job_row job_add, job_tidy;  /* long; value: under which name it is written down */
extern const job_row job_documents;      /* quick */
extern const job_row job_memory_map;     /* long */

/* ---- vectors.c: quick; text: the name of an embedding model ---- */
extern const job_row job_vectors, job_vectors_dropped;

/* ---- backup.c: long: today's backup of the memory, where one is due ---- */
extern const job_row job_backup;
void backup_daily(agt *);                /* posts it, once a day; any thread */

/* ---- export.c ---- */
/* job_export, quick, looks whether the folder is free and asks, */
extern const job_row job_exporting;      /* and it is written: long; text: the folder; number 1: an earlier export in it may go */

/* ---- outside.c: quick; text: a file that left, value: its kind ---- */
extern const job_row job_left;

/* ---- source.c ---- */
extern const job_row job_source;         /* id: a conversation, number: of a passage of its last answer */

/* ---- wishes.c ---- */
struct mem_pin;
/* Passage [number] of a conversation's last answer, and what it is of. Any thread. */
int wishes_numbered(agt *, int64_t chat, int number, struct mem_pin *, int64_t *source, char *err);

/* ---- compact.c: engine's; id 1: on; text: "@N" ---- */
extern const job_row job_pin_turn;

/* ---- lost.c: long; text: numbers of documents whose files are looked for ---- */
extern const job_row job_lost;

/* ---- toolpage.c ---- */
extern const job_row job_toolpage;       /* quick; id: the conversation */
extern const job_row job_calls;          /* quick; id: a conversation, number: of a call; 0: all */

/* ---- mcppage.c ---- */
extern const job_row job_mcppage;        /* quick */
extern const job_row job_mcpone, job_mcpbegin;           /* text: a server's name; quick; long: it is waited for */
extern const job_row job_mcpprompt;      /* long; text: NAME:PROMPT, value: what stands behind it */

/* ---- forget.c ---- */
/* job_forget, quick, asks about its text, a number, a title, a file or a folder, */
extern const job_row job_forget_agreed;  /* quick: writes down what was agreed to, */
extern const job_row job_forgotten;      /* and does it: long; text: what was asked about, value as above */

/* ---- watching.c: long; text: a folder that is looked at ---- */
extern const job_row job_watched;

/* ---- facts.c: quick ---- */
void facts_forget(facts_proposed *);

/* ---- states.c ---- */
extern const job_row job_state_save;     /* engine's; text: NAME, NULL: the conversation's own; number 1: it may be written over */
extern const job_row job_state_load;     /* engine's; text: NAME, NULL: the newest of the present conversation */
extern const job_row job_state_deleted;  /* quick; text: NAME */
/* A conversation (0: none) and documents are removed: states of it, or that were made with what they said, go too. Any thread. */
void states_forget(mem_store *, int64_t chat, const int64_t *document, int n);

/* ---- brains.c: quick ---- */
/* job_brain; text: what to do and with which; it asks before it deletes, */
extern const job_row job_brain_deleted;      /* and does it; text: its name */
extern const job_row job_brain_set;          /* text: a knob that is a list; value: the brain that it is taken from */
struct prov_config;
/* c becomes the model's own, but for what belongs to this machine and conversation, with these settings over it: a NAME=VALUE
 * a line. What does nothing here is said, a line each. Any thread. */
void brain_over(struct prov_config *c, const char *lines, q_buf *said);

/* ---- modulepage.c: engine's ---- */
void modules_command(agt *, const char *words);          /* what stands behind /module; front-end thread */
extern const job_row job_module_edited;  /* text: a file that the editor has left */

/* ---- experiment.c ---- */
extern const job_row job_experiment;     /* engine's; text: KNOB=VALUE [on FILE|last]; it asks whether the change is to stay, */
extern const job_row job_experiment_kept;        /* and makes it so: quick; number: of the record, text: NAME=VALUE */
extern const job_row job_experiments;    /* quick; text: list, or show NUMBER */

/* ---- trace.c: engine's ---- */
extern const job_row job_trace;          /* text: the file; number 1: it may be written over */

/* ---- routing.c: quick; job_routing; text: what to do and with which names; number 1: the person agreed ---- */

/* ---- adapters.c: engine's thread, a model is loaded; what comes of it is noted ---- */
void adapters_load(agt *, const char *what);     /* FILE or FILE=SCALE */
char *adapters_file(const char *what, const char *folder, double *scale);        /* the file of that, in a folder (NULL: as it is said) unless it begins with / or ~; where there is none, the adapter that was taught by that name; malloc'ed. Any thread */
void adapters_off(agt *, const char *name);
bool adapters_command(agt *, const char *words);         /* what stands behind /lora; false: nothing that it knows. Front-end thread */

/* ---- scaled.c: any thread ---- */
/* c's lora.scale with that for an adapter (NAME, or NAME@WHERE); scale NULL: without it. malloc'ed. */
char *adapters_scaled(const prov_config *c, const char *name, const char *scale);
char *adapters_piece(const prov_config *c, const char *name);    /* what it says of an adapter: "style=0.7,style@1=0"; "": nothing; malloc'ed */

/* ---- teach.c ---- */
extern const job_row job_teach_add;      /* long; text: "add FILE [to NAME]" */
extern const job_row job_teach;          /* quick; text: what to do and with which name */
void teach_command(agt *, const agt_command *, char *args);  /* front-end thread */
extern const job_row job_taught, job_untaught;       /* taught.c: engine's; text: a set, of the second NULL: the last one; value: the adapter's file */

/* ---- clerk.c ---- */
void *clerk_quick(void *agt_);
void *clerk_long(void *agt_);

#endif
