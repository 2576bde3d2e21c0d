/* model/seen: what the agent told last: status, routing, passages, conversations, what /find found, and how far long work
 * is. Owns its copies; lists are taken out of events rather than copied. Front-end thread; never draws. */
#ifndef TUI_MODEL_SEEN_H
#define TUI_MODEL_SEEN_H

#include "agent/agent.h"

/* A tool that a person is asked about. armed: it was drawn, and all that was typed before was read: only then keys answer it. */
typedef struct tui_approve {
    int64_t id;                         /* for agt_approve; 0: nothing is asked */
    agt_call call;
    int top;                            /* line of what is shown that stands first */
    bool drawn, armed, typing;          /* typing: the composer takes why not, or the answer to a question */
    bool told;                          /* its keys were said in a note */
    bool between;                       /* a field was answered and the next was not seen yet: the composer holds what begins its answer */
} tui_approve;

typedef struct tui_seen {
    agt_status st;
    agt_turned turned;
    agt_routing rt; int64_t rt_at;                          /* when the snapshot was taken */
    agt_retrieval ret; int64_t ret_id; bool has_ret;
    struct { int64_t message; int number; } cited;          /* a passage that is to be opened when those of its answer are told */
    agt_wishes wishes;                                      /* of the open conversation */
    agt_chat *chats; int n_chats;
    int64_t chat; char *chat_title;                         /* the open one; 0: not stored yet */
    agt_message *found; int n_found;
    tui_approve approve;
    char *plan;                                             /* lines "[x] step"; NULL */
    agt_modules modules;                                    /* v NULL: not asked for yet */
    agt_advice advice; bool advice_waits;                   /* n 0: not told yet; waits: an answer runs, and the machine is not measured yet */
    agt_energy energy;                                      /* n_row 0: not told yet */
} tui_seen;

typedef struct tui_work {
    char *load_what; int64_t load_done, load_total; bool loading;
    int64_t writing;                                       /* bytes of the call of a tool that the model is writing; 0: none */
    char *running; int n_running;                          /* tools that run now: the one that began last, NULL: none */
    int64_t pre_done, pre_total; double pre_rate;           /* the prompt; total 0: not now */
    char *prog_what; int64_t prog_done, prog_total; double prog_left;
    char *mean_what; int mean_percent;                      /* vectors of memory, the embedding model's coming; percent -1: what is said is no progress */
} tui_work;

void tui_seen_free(tui_seen *s);
void tui_seen_chats(tui_seen *s, agt_event *e);             /* takes the list */
void tui_seen_found(tui_seen *s, agt_event *e);
void tui_seen_passages(tui_seen *s, agt_event *e);
void tui_seen_wishes(tui_seen *s, agt_event *e);
void tui_work_free(tui_work *w);
void tui_set_text(char **to, const char *s);                /* replaces a malloc'ed string; s may be NULL */

#endif
