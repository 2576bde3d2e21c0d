/* agent/approve: a call that waits for a person. The engine's thread asks by an event and waits at the desk, where a stop, the end and
 * edits of knobs find it; agt_approve, from the front end, answers the ticket that was asked about and no other. */
#include "agent/tooling.h"

#include <stdlib.h>
#include <string.h>

void toolbox_open(toolbox *b)
{
    pthread_mutex_init(&b->mu, NULL);
    atomic_init(&b->answered, false);
}

void toolbox_close(toolbox *b)
{
    tool_rules_free(&b->given);
    tool_rules_free(&b->chat);
    tool_place_close(b->place);
    free(b->folder);
    free(b->words);
    free(b->whose);
    pthread_mutex_destroy(&b->mu);
}

enum approved approve_wait(agt *a, agt_call *c, int tokens, enum agt_consent *how, char **words)
{
    toolbox *b = &a->toolbox;
    bool servers = c->asks == AGT_ASKS_FORM || c->asks == AGT_ASKS_SIGN;
    pthread_mutex_lock(&b->mu);
    int64_t ticket = b->waiting = ++b->tickets;
    free(b->words);
    b->words = NULL;
    b->said = AGT_NO;
    b->whose = servers ? q_strdup(c->name) : NULL;
    b->gone = false;
    atomic_store(&b->answered, false);
    pthread_mutex_unlock(&b->mu);
    if (servers && hub_ends(a, c->name))
        approve_withdraw(a, c->name);    /* it was ended before it could be found here */
    agt_event e = { .kind = AGT_EV_APPROVE, .id = ticket, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->call = q_alloc(sizeof *e.message->call);
    *e.message->call = *c;
    e.message->n_call = 1;
    *c = (agt_call){ 0 };
    evq_push(&a->events, &e);
    enum desk_go go;
    while ((go = desk_await(&a->desk, &b->answered)) == DESK_EDITS)
        edits_apply(a, tokens);
    pthread_mutex_lock(&b->mu);
    b->waiting = 0;
    bool gone = b->gone;
    free(b->whose);
    b->whose = NULL;
    *how = b->said;
    *words = b->words;
    b->words = NULL;
    pthread_mutex_unlock(&b->mu);
    return go == DESK_STOP ? APPROVED_STOPPED : gone ? APPROVED_GONE : *how == AGT_NO ? APPROVED_NOT : APPROVED;
}

void approve_withdraw(agt *a, const char *server)
{
    toolbox *b = &a->toolbox;
    pthread_mutex_lock(&b->mu);
    if (b->waiting && b->whose && strcmp(b->whose, server) == 0 && !atomic_load(&b->answered)) {
        b->gone = true;
        desk_stir(&a->desk, &b->answered);
    }
    pthread_mutex_unlock(&b->mu);
}

void agt_approve(agt *a, int64_t ticket, enum agt_consent how, const char *words)
{
    toolbox *b = &a->toolbox;
    pthread_mutex_lock(&b->mu);
    bool mine = ticket && b->waiting == ticket && !atomic_load(&b->answered);
    if (mine) {
        b->said = how;
        b->words = words && *words ? q_utf8_clean(words, strlen(words)) : NULL;
        desk_stir(&a->desk, &b->answered);       /* under mu: else what is asked about next could be taken for answered */
    }
    pthread_mutex_unlock(&b->mu);
}
