/* agent/plain: freeing what events carry. Plain data, any thread; needs nothing else of the room, so that a test's
 * stand-in for the agent links it too. */
#include "agent/agent.h"

#include <stdlib.h>
#include <string.h>

void agt_call_free(agt_call *c)
{
    free(c->name);
    free(c->title);
    free(c->arguments);
    free(c->result);
    free(c->policy);
    free(c->shown);
    free(c->rule);
    free(c->folder);
    memset(c, 0, sizeof *c);
}

void agt_message_free(agt_message *m)
{
    if (!m)
        return;
    free(m->text);
    free(m->thinking);
    free(m->label);
    for (int i = 0; m->made && i < m->n_config; i++)
        free(m->made[i].mark);
    free(m->made);
    for (int i = 0; m->call && i < m->n_call; i++)
        agt_call_free(&m->call[i]);
    free(m->call);
    memset(m, 0, sizeof *m);
}

static void list_free(agt_wish *v, int n)
{
    for (int i = 0; i < n; i++)
        free(v[i].title);
    free(v);
}

void agt_wishes_free(agt_wishes *w)
{
    list_free(w->pin, w->n_pin);
    list_free(w->ban, w->n_ban);
    memset(w, 0, sizeof *w);
}

void agt_retrieval_free(agt_retrieval *r)
{
    if (!r)
        return;
    agt_wishes_free(&r->wishes);
    for (int i = 0; i < r->n; i++) {
        free(r->p[i].source);
        free(r->p[i].heading);
        free(r->p[i].text);
        free(r->p[i].why);
        free(r->p[i].signals);
        free(r->p[i].terms);
        free(r->p[i].away);
    }
    free(r->p);
    free(r->nothing);
    free(r->narrowed);
    free(r->broken);
    memset(r, 0, sizeof *r);
}

void agt_routing_free(agt_routing *r) { lab_view_free(r); }

void agt_event_free(agt_event *e)
{
    if (!e)
        return;
    free(e->text);
    free(e->name);
    free(e->note);
    free(e->draft);
    free(e->data);
    for (int i = 0; i < e->n_messages; i++)
        agt_message_free(&e->message[i]);
    free(e->message);
    for (int i = 0; i < e->n_chats; i++)
        free(e->chat[i].title);
    free(e->chat);
    agt_retrieval_free(e->retrieval);
    free(e->retrieval);
    if (e->columns)
        lab_columns_free(e->columns);
    free(e->columns);
    if (e->zoom)
        lab_zoom_free(e->zoom);
    free(e->zoom);
    memset(e, 0, sizeof *e);
}
