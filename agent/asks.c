/* agent/asks: see asks.h. */
#include "agent/room.h"

#include <stdlib.h>
#include <unistd.h>

void asks_put(agt *a, char *question, const job_row *row, int64_t id, int64_t number, const char *text)
{
    asks_put_data(a, question, NULL, row, id, number, text);
}

void asks_put_data(agt *a, char *question, char *data, const job_row *row, int64_t id, int64_t number, const char *text)
{
    one_ask *k = q_alloc(sizeof *k);
    *k = (one_ask){ .row = row, .id = id, .number = number, .text = text ? q_strdup(text) : NULL };
    pthread_mutex_lock(&a->asks.mu);
    int64_t ticket = k->ticket = ++a->asks.tickets;
    k->next = a->asks.first;
    a->asks.first = k;
    pthread_mutex_unlock(&a->asks.mu);
    agt_event e = { .kind = AGT_EV_ASK, .id = ticket, .text = question, .data = data };
    evq_push(&a->events, &e);
}

bool asks_over(agt *a, const char *path, const char *like, const job_row *row, int64_t said, const char *text)
{
    char err[Q_ERRLEN];
    if (q_no_folder(path, like, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return true;
    }
    if (said || access(path, F_OK) < 0)
        return false;
    asks_put(a, q_printf(_("%s exists: write over it?"), path), row, 0, 1, text);
    return true;
}

static void ask_free(one_ask *k)
{
    free(k->text);
    free(k);
}

void agt_answer(agt *a, int64_t ticket, bool yes)
{
    pthread_mutex_lock(&a->asks.mu);
    one_ask **p = &a->asks.first;
    while (*p && (*p)->ticket != ticket)
        p = &(*p)->next;
    one_ask *k = *p;
    if (k)
        *p = k->next;
    pthread_mutex_unlock(&a->asks.mu);
    if (!k)
        return;                          /* answered before */
    if (yes)
        desk_post(&a->desk, k->row, k->id, k->number, k->text, NULL);
    ask_free(k);
}

void asks_free(asks *all)
{
    for (one_ask *k; (k = all->first);) {
        all->first = k->next;
        ask_free(k);
    }
    pthread_mutex_destroy(&all->mu);
}
