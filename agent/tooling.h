/* agent/tooling: calls of tools in the middle of an answer. Engine's thread but for what says otherwise. */
#ifndef QUORUM_AGENT_TOOLING_H
#define QUORUM_AGENT_TOOLING_H

#include "agent/generate.h"
#include "agent/talk.h"

struct cJSON;

/* ---- tooling.c ---- */
/* The answer, with the calls that it makes, to its end; as generate. */
enum mem_status tooling_converse(turn *, prompt *, prov_request *, const char **finish, char *err);
void tooling_tell(agt *, const mem_call *);      /* AGT_EV_CALL */

int tooling_place(agt *, char *err);     /* a->toolbox.place is there, and the rules are those of the present conversation */

/* ---- approve.c ---- */
enum approved { APPROVED, APPROVED_NOT, APPROVED_STOPPED, APPROVED_GONE /* a form or a sign-in of a server that is ended: nobody wants the answer */ };
/* Asks the person about a call (taken), or a question, and waits; *words: why not, or the answer: malloc'ed or NULL. *how: for how long it holds. */
enum approved approve_wait(agt *, agt_call *, int tokens, enum agt_consent *how, char **words);
void approve_withdraw(agt *, const char *server);           /* any thread: a form or a sign-in of that server is asked no more, which is over (hub_ends) */

/* ---- atonce.c ---- */
enum { ATONCE_MOST = 4 };
/* one(user, i) for each i below n, on up to ATONCE_MOST threads at once; returns when all are done. */
void atonce_do(int n, void (*one)(void *user, int i), void *user);

/* ---- toolrules.c: any thread ---- */
char *toolrules_kept(agt *);             /* always allowed in this folder; "": nothing; malloc'ed */
int toolrules_keep(agt *, const char *rules, char *err);     /* added to them */
void toolrules_take(agt *, const char *rule);                /* taken off; NULL: all of them */
char *toolrules_without(const char *list, const char *word);             /* malloc'ed */

/* ---- toolhost.c: what tools ask of the room ---- */
int toolhost_act(void *turn_, enum tool_act, const struct cJSON *args, q_buf *out, char *err);
bool toolhost_go(void *turn_);
int toolhost_page(void *turn_, bool html, const char *charset, q_buf *b, char *err);

#endif
