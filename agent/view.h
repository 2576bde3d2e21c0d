/* agent/view: the store's rows and rag's results as the plain copies that events carry. Any thread.
 * It never changes the store. */
#ifndef QUORUM_AGENT_VIEW_H
#define QUORUM_AGENT_VIEW_H

#include "agent/agent.h"
#include "agent/lost.h"
#include "memory/memory.h"
#include "rag/rag.h"

enum agt_state view_state(enum mem_status);
void view_message(mem_store *, const mem_message *m, agt_message *out);
agt_call view_call(const mem_call *);
/* Byte where text leaves other: where that word begins, or the character in a word that is very long; -1: it does not, as
 * far as it goes. */
int view_differs(const char *text, const char *other);
agt_message *view_branch(mem_store *, const mem_messages *path);         /* [path->n] */
agt_event view_event(mem_store *, enum agt_event_kind kind, int64_t message);    /* an event that carries one message */
agt_retrieval *view_result(const rag_result *r);
agt_retrieval *view_logs(mem_store *, const lost_now *, const mem_logs *l, double min_score);     /* texts as they are now */
/* What differs, or the model's own settings ("" and how many experts they run) in the person's language. */
void view_label(const char *label, int k, char *out, size_t n);
/* Names a configuration, given as JSON, but for what bounds an answer or names its dice; 0: nothing differs. forward: of what
 * acts on hidden states alone. */
uint64_t view_key(const char *json, bool forward);
bool view_captioned(const char *name);   /* the knob is part of how an answer was chosen */
void view_model_name(const char *full, bool carved, char *out, size_t n);

#endif
