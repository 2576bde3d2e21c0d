/* model/seen: taking lists out of events, and freeing them. Front-end thread. */
#include "tui/model/seen.h"

#include <stdlib.h>
#include <string.h>

void tui_set_text(char **to, const char *s)
{
    char *copy = s ? q_strdup(s) : NULL;
    free(*to);
    *to = copy;
}

static void chats_free(tui_seen *s)
{
    for (int i = 0; i < s->n_chats; i++) free(s->chats[i].title);
    free(s->chats);
    s->chats = NULL;
    s->n_chats = 0;
}

static void found_free(tui_seen *s)
{
    for (int i = 0; i < s->n_found; i++) agt_message_free(&s->found[i]);
    free(s->found);
    s->found = NULL;
    s->n_found = 0;
}

void tui_seen_chats(tui_seen *s, agt_event *e)
{
    chats_free(s);
    s->chats = e->chat;
    s->n_chats = e->n_chats;
    e->chat = NULL;
    e->n_chats = 0;
}

void tui_seen_found(tui_seen *s, agt_event *e)
{
    found_free(s);
    s->found = e->message;
    s->n_found = e->n_messages;
    e->message = NULL;
    e->n_messages = 0;
}

void tui_seen_passages(tui_seen *s, agt_event *e)
{
    agt_retrieval_free(&s->ret);
    memset(&s->ret, 0, sizeof s->ret);
    s->has_ret = e->retrieval != NULL;
    s->ret_id = e->id;
    if (!e->retrieval) return;
    s->ret = *e->retrieval;
    memset(e->retrieval, 0, sizeof *e->retrieval);
}

void tui_seen_wishes(tui_seen *s, agt_event *e)
{
    agt_wishes_free(&s->wishes);
    if (!e->retrieval) return;
    s->wishes = e->retrieval->wishes;
    memset(&e->retrieval->wishes, 0, sizeof e->retrieval->wishes);
}

void tui_seen_free(tui_seen *s)
{
    agt_modules_free(&s->modules);
    adv_about_free(&s->advice);
    agt_call_free(&s->approve.call);
    free(s->plan);
    agt_wishes_free(&s->wishes);
    agt_routing_free(&s->rt);
    agt_retrieval_free(&s->ret);
    chats_free(s);
    found_free(s);
    free(s->chat_title);
}

void tui_work_free(tui_work *w)
{
    free(w->load_what);
    free(w->running);
    free(w->prog_what);
    free(w->mean_what);
}
