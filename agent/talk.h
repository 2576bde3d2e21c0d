/* agent/talk: what the engine's thread does, one file a part; engine's thread but for what says otherwise. */
#ifndef QUORUM_AGENT_TALK_H
#define QUORUM_AGENT_TALK_H

#include "agent/compact.h"
#include "agent/room.h"

/* ---- sync.c: what the session holds ---- */
void sync_publish(agt *);                /* configuration and status to the snapshots */
int64_t *sync_pairs(const char *list, int *n);           /* "5:0,5:3" as layer << 32 | expert, in order; malloc'ed */
char *sync_crowded(const prov_config *c);                /* a layer pins more experts than its k: a sentence; NULL; malloc'ed */
void sync_say_crowded(agt *, const prov_config *was, const prov_config *c);     /* where it was not so before (was NULL: nothing was) */
void sync_know(seat *, const prov_config *c);             /* remembers hash, label and JSON */
enum prov_policy sync_policy(settings *);
void sync_prefill(agt *, int done, int total);
void sync_prefilled(agt *, bool whole);                  /* whole: nothing is left to be evaluated */
void sync_mix(agt *);
prov_room sync_room(const agt *);        /* what the context holds of the present conversation: nothing while it holds another's */

/* ---- captions.c: any thread ---- */
const char *caption_label(const prov_config *c, char *buf, size_t n);    /* of what acts on hidden states, to be shown */
char *caption_of(const prov_config *c);                  /* with the sampler: under an answer, in no language; malloc'ed */
char *caption_past(const history *, int at);             /* the same of a place of the history, told from all others; malloc'ed */
char *caption_change(const prov_config *was, const prov_config *c);      /* what is another value now; "": nothing; malloc'ed */
char *caption_differences(const prov_config *c);         /* the same without the model's own: "" where nothing differs; malloc'ed */
char *caption_mark(const prov_config *was, const prov_config *c);        /* "k 12→4 · T .7→1"; malloc'ed */
char *caption_said(const char *caption);                 /* to be shown; malloc'ed */

/* ---- edits.c ---- */
bool edits_now(agt *, const char *lines);        /* a NAME=VALUE a line, between answers, beside what waits; false: it did not take effect */
bool edits_lora(agt *, const char *name, const char *scale);     /* likewise EDIT_LORA */
int edits_apply(agt *, int token);       /* token after which they hold, 0 = between answers; returns how many took effect */

/* ---- costs.c ---- */
double costs_reached(const shown *);    /* bytes of weights a second that answers took at most; 0: not measured. Under shown.mu */
void costs_publish(agt *);               /* the history and what a step would cost, to the snapshots */
void costs_token(agt *, const double value[TALLY_N]);        /* the present configuration made a token */
void costs_unload(agt *);

/* ---- turns.c: since which token each knob's value holds ---- */
/* Under shown.mu: the configuration is another one (old NULL: the first); an answer begins; it ended after so many tokens. */
void turns_config(agt *, const prov_config *old, const prov_config *now, uint64_t before, uint64_t after);
void turns_begin(shown *, int64_t message);
void turns_end(shown *, int tokens);
void turns_forget(agt *);                /* another conversation, another model: nothing was turned in it */

/* ---- load.c ---- */
extern const job_row job_load;           /* id 0: at the start; 1: text is the file of another model */
void load_say(agt *, const char *path, uint64_t done, uint64_t total);     /* how far loading is; any thread */
void load_none(agt *);                   /* gives up model, session and configurations */

/* ---- watch.c ---- */
void watch_config(agt *);                /* a model or its configuration is new */
void watch_position(agt *, const prov_position *);
bool watch_baseline(agt *);              /* idle work: true while there is more */

/* ---- guard.c ---- */
void guard_loaded(agt *);                /* another model: what is kept of it */
bool guard_idle(agt *);                  /* idle work: true while there is more */
void guard_say(agt *, const prov_config *was, const prov_config *c);     /* before c holds: bans that was does not have (NULL: none) */
extern const job_row job_guard;          /* somebody wants to know: also where it takes minutes */

/* ---- prompt.c ---- */
/* The request for an answer to path (whose last message is the question). Its texts belong to the prompt and to path, but for
 * begin, which the caller sets before: how the answer begins, NULL: by itself. */
typedef struct prompt {
    prov_message *message; int n;
    prov_past_call *call; int n_call;
    prov_past_thought *thought; int n_thought;
    prov_tool *tool; int n_tool;
    strings kept;                        /* texts of messages and calls that are in neither path nor system nor question */
    char *raw, *system, *question;
    char *prefix;                        /* base: what stands before all of the text; "" */
    const char *begin, *think;
    bool base;
    compacted instead;                   /* what stands for the branch's older turns */
} prompt;
int prompt_build(agt *, const mem_messages *path, const rag_result *passages, prompt *out, char *err);
/* The same for an answer that was made: from message `from` of path on, with this system text and this compaction (0: none); begin, think and
 * base as the caller set them. Returns its tokens. */
int prompt_again(agt *, const mem_messages *path, int from, int64_t compaction, const char *system, const char *prefix, const rag_result *passages, prompt *out, char *err);
prov_request prompt_request(const prompt *);
void prompt_free(prompt *);
/* The answer so far said this and made these calls (arguments, and what they brought, which is taken): the request goes on behind them. */
typedef struct prompt_done { const char *name, *arguments; char *result; } prompt_done;
bool prompt_offers(agt *, const tool_row *);     /* the model may ask for it */
void prompt_thought(prompt *, const char *text, size_t n);       /* before it: what was thought first, kept within this answer alone */
void prompt_go_on(prompt *, const char *text, size_t n, const prompt_done *, int n_done);
int prompt_reserve(agt *);               /* tokens that a reply may count on */
int prompt_room_for_passages(agt *, const char *question, int max_passages);
int prompt_count(void *user, const char *text, size_t n);    /* user: prov */

/* ---- states.c ---- */
void states_take(agt *);                 /* a saved state of the present conversation, where the context holds nothing of it yet */
void states_fed(seat *, const rag_result *);             /* what the next prompt is fed with (NULL: nothing) */

/* ---- second.c: what memory found is judged by the loaded model, where memory.rerank wants it ---- */
void second_look(agt *, const rag_config *, const char *question, const rag_scope *, rag_result *);

/* ---- turn.c ---- */
typedef struct turn_again {
    const char *words;                   /* "NAME=VALUE …": for this answer alone; "" */
    const rag_place *without; int n_without;     /* what is not to be fed to it */
    int64_t ticket;
} turn_again;
/* A sibling of an answer (message 0: the last); with words or without something under the elder's seed. False: none began. */
bool turn_answer_again(agt *, int64_t message, const turn_again *);
enum { SEND_AS_IT_IS = 1 };              /* id of job_send: the words are no person's, and name nothing that would be read beside them */
extern const job_row job_send, job_again, job_edit, job_amend;   /* text; but for send: id = the message, 0: the last; number: ticket */

extern const job_row job_prompt;         /* text: a question; AGT_EV_TEXT "/prompt" */

/* ---- measure.c: what /compare and its like have in common ---- */
/* from: NULL is this branch as it was said, "last" its last answer, else a file. out->p is never NULL on success. */
int measure_text(agt *, const char *from, q_buf *out, char *err);
/* The word begins "on FILE|last", rest is what stands behind it: *on is that, or NULL where there is nothing. */
bool measure_on(const char *word, char *rest, char **on);
/* The ids of the prompt for the last message of path, without passages; malloc'ed; returns how many. */
int measure_ids(agt *, const mem_messages *path, int32_t **out, char *err);
int measure_most(agt *);                 /* tokens of an answer that is given aside: sampler.max_tokens, 256 at most */
uint64_t measure_seed(agt *);            /* of the first of them */
struct eng_cache;
int measure_local(const char *name, char *err);          /* Q_RANGE: this model is a server's, and what is wanted looks into one */
/* The file of the model whose name holds `name`, of the loaded one for NULL and ""; none: the sentence `lacking`. malloc'ed. Never a server's. Any thread. */
int measure_file(agt *, const char *name, const char *lacking, char **path, char *err);
struct eng_cache *measure_cache(agt *, char *err);       /* NULL: no model is loaded */
typedef struct measuring { agt *a; const char *what; int64_t from_ns; } measuring;
measuring measure_begin(agt *, const char *what);
bool measure_go_on(void *measuring_, int done, int total); /* as lab_terms asks; AGT_EV_PROGRESS with the seconds that are left */
void measure_end(measuring *);

/* ---- unstored.c: answers that the disk did not take ---- */
void unstored_keep(agt *, int64_t reply, enum mem_status, const char *finish, const q_buf *text, const q_buf *think, const mem_stats *);    /* copies */
void unstored_try(agt *);                /* stores what it can; quiet where that fails again */
void unstored_free(agt *);

/* ---- worker.c ---- */
void *worker_main(void *agt_);           /* the engine's lane */

#endif
