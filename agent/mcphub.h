/* agent/mcphub: servers of the Model Context Protocol as this room has them: which of them a person has agreed to, and what of them the
 * model is offered. mcp/mcp.h has the servers themselves. Nothing that a server says decides anything here: a person agrees to the command
 * or the address and to its tools as they describe themselves, and is asked anew where either is another. */
#ifndef QUORUM_AGENT_MCPHUB_H
#define QUORUM_AGENT_MCPHUB_H

#include "base/base.h"
#include "mcp/mcp.h"
#include "tools/tools.h"

#include <pthread.h>
#include <stdatomic.h>

struct agt;
struct cJSON;
struct turn;

enum hub_said { HUB_UNASKED, HUB_NO /* until the program ends */, HUB_RUN /* likewise */, HUB_ALWAYS };
typedef struct hub_server {
    mcp_server *is;
    /* the engine's, until /mcp begins it anew */
    atomic_bool waited;                  /* a question was held up for its start once */
    atomic_bool failed;                  /* that it did not start was said */
    /* under the hub's mu */
    enum hub_said said;
    struct cJSON *agreed;                /* to what: agent/mcpagree.c; NULL: to nothing */
    char refused[65];                    /* sha256 of the tools that a person did not want as they are now; "" */
    struct { int status; char *url, *words; bool near, refused; } sign;        /* what it wanted to know (mcp_challenge; owned); a person did not sign in */
    char *left;                          /* tools that cannot be offered, a line each; "" ; owned; NULL: not looked yet */
} hub_server;
typedef struct mcphub {
    hub_server *v; int n;                /* constant after hub_open, but for what says otherwise */
    tool_lent *lent;                     /* engine's: what the present answer is offered */
    char *pasted;                        /* engine's: where a browser on another machine ended; owned */
    pthread_mutex_t mu;
} mcphub;

/* ---- mcpstate.c ---- */
void hub_open(struct agt *);             /* the sections of config.ini, and what was always agreed to */
void hub_close(struct agt *);            /* ends all servers; no other thread is there any more */
hub_server *hub_find(struct agt *, const char *name);        /* any thread; NULL */
bool hub_ends(struct agt *, const char *server);         /* any thread: it is being ended, so nobody is asked anything for it any more */
bool hub_wanted(struct agt *);           /* any thread: tools are on, and the model at hand can call them */
void hub_start(struct agt *);            /* any thread: those that are wanted begin to start; waits for none */
bool hub_refused(struct agt *, hub_server *);            /* any thread: a person does not want it in this run */
const tool_row *hub_rows(struct agt *, int *n);          /* engine's: what the present answer is offered */

/* ---- mcphub.c ---- */
/* Engine's, before an answer's prompt: what the answer is offered, after the person was asked about what is new. A server that is not there
 * within agent.mcp_wait seconds is left out, and that is said. */
void hub_gather(struct agt *);

/* ---- mcpagree.c ---- */
enum agree { AGREE_SAME, AGREE_CHANGED, AGREE_NEW };
char *agree_key(const char *server);                         /* of the setting; malloc'ed */
struct cJSON *agree_read(const char *text);                  /* NULL: it is none */
bool agree_where(const struct cJSON *agreed, const char *where);         /* to this command or address */
enum agree agree_of(const struct cJSON *agreed, const mcp_item *);
struct cJSON *agree_to(const char *where, const mcp_list *); /* to all of it, as it is now */
/* What a person reads before: where it is and its tools; or, where that was agreed to, what is another now, as lines of a diff. malloc'ed */
char *agree_words(const mcp_server *, const struct cJSON *agreed, const char *where, const mcp_list *);
void agree_hash(const struct cJSON *agreed, const mcp_list *, char hash[65]);        /* of the tools that are not agreed to as they are */

/* ---- mcpcall.c: toolhost; engine's thread ---- */
int hub_lent(void *turn_, const tool_plan *, tool_result *out, char *err);

/* ---- mcpsign.c ---- */
void sign_open(struct agt *);            /* behind hub_open */
void sign_close(struct agt *);           /* before what it frees: no thread of a server asks any more then */
bool sign_wanted(struct agt *, hub_server *);            /* any thread: it asks for a sign-in, and somebody is there who was not asked yet */
bool sign_in(struct agt *, hub_server *);                /* engine's: asks the person. True: it is done, and the server begins anew where it had failed */
void sign_again(struct agt *, hub_server *);             /* any thread: who did not want to is asked again */
bool sign_forget(struct agt *, hub_server *);            /* any thread: true: there was a token */

/* ---- mcpform.c: engine's thread ---- */
/* A server's question to the person, as mcp_hooks has it; content: a JSON object, where it is accepted. */
enum mcp_answer form_ask(struct turn *, const char *server, const char *message, const char *schema, q_buf *content);

/* ---- mcppage.c ---- */
bool mcp_command(struct agt *, const char *args);            /* front-end thread; false: that is none of what it takes */

/* ---- mcpresource.c ---- */
bool resource_named(const char *what);   /* "mcp:NAME/URI" */
int resource_server(struct agt *, const char *name, size_t n, hub_server **out, char *err);     /* any thread: one that is there and not off */
int resource_add(struct agt *, const char *what, char *err);     /* long lane: into memory, as a stranger's document */
/* Engine's: the question with the resources beside it that stand in it as @NAME:URI; *out malloc'ed; NULL: none does. Negative: one could not be had. */
int resource_attach(struct agt *, const char *question, char **out, char *err);

/* ---- mcpuse.c ---- */
bool prompt_command(struct agt *, const char *word, const char *args);   /* front-end thread: "NAME:PROMPT"; false: it is none */

#endif
