/* agent/events: see events.h. */
#include "agent/events.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int evq_open(evq *q, char *err)
{
    memset(q, 0, sizeof *q);
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fd < 0)
        return q_fail(err, Q_IO, _("the system gives no event descriptor (%s): close other programs and try again"), strerror(errno));
    q->cap = 256;
    q->v = q_alloc(sizeof *q->v * (size_t)q->cap);
    pthread_mutex_init(&q->mu, NULL);
    pthread_cond_init(&q->room, NULL);
    q->reader = pthread_self();
    return Q_OK;
}

void evq_hurry(evq *q)
{
    pthread_mutex_lock(&q->mu);
    q->closing = true;
    pthread_cond_broadcast(&q->room);
    pthread_mutex_unlock(&q->mu);
}

void evq_close(evq *q)
{
    for (int i = 0; i < q->n; i++)
        agt_event_free(&q->v[(q->head + i) % q->cap]);
    free(q->v);
    close(q->fd);
    pthread_cond_destroy(&q->room);
    pthread_mutex_destroy(&q->mu);
}

/* Events that say how far something is: only the last one matters, the one that ends it always. */
static bool replaces(const agt_event *old, const agt_event *new)
{
    if (old->kind != new->kind || old->total == 0 || new->total == 0)
        return false;
    return new->kind == AGT_EV_LOADING || new->kind == AGT_EV_PREFILL || (new->kind == AGT_EV_TEACH && !old->flag && !new->flag) ||
           (new->kind == AGT_EV_PROGRESS && old->text && new->text && strcmp(old->text, new->text) == 0);
}

static void grow(evq *q)
{
    int cap = q->cap * 2;
    agt_event *v = q_alloc(sizeof *v * (size_t)cap);
    for (int i = 0; i < q->n; i++)
        v[i] = q->v[(q->head + i) % q->cap];
    free(q->v);
    q->v = v;
    q->cap = cap;
    q->head = 0;
}

void evq_push(evq *q, agt_event *e)
{
    pthread_mutex_lock(&q->mu);
    if (q->n > 0) {
        agt_event *last = &q->v[(q->head + q->n - 1) % q->cap];
        if (replaces(last, e)) {
            agt_event_free(last);
            *last = *e;
            memset(e, 0, sizeof *e);
            pthread_mutex_unlock(&q->mu);
            return;
        }
    }
    if (!pthread_equal(pthread_self(), q->reader))
        while (q->n >= EVQ_MAX && !q->closing)
            pthread_cond_wait(&q->room, &q->mu);
    if (q->n == q->cap)
        grow(q);
    q->v[(q->head + q->n++) % q->cap] = *e;
    memset(e, 0, sizeof *e);
    uint64_t one = 1;
    if (q->n == 1 && write(q->fd, &one, sizeof one) < 0) { /* only EAGAIN: then it is readable already */ }
    pthread_mutex_unlock(&q->mu);
}

bool evq_pop(evq *q, agt_event *out)
{
    pthread_mutex_lock(&q->mu);
    bool got = q->n > 0;
    if (got) {
        *out = q->v[q->head];
        q->head = (q->head + 1) % q->cap;
        if (--q->n == EVQ_MAX - 1)
            pthread_cond_broadcast(&q->room);
    }
    if (q->n == 0) {
        uint64_t count;
        if (read(q->fd, &count, sizeof count) < 0) { /* EAGAIN: it was quiet */ }
    }
    pthread_mutex_unlock(&q->mu);
    return got;
}

/* ---- notes ---- */
void note(evq *q, enum agt_level level, const char *fmt, ...)
{
    char text[Q_ERRLEN * 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text[q_utf8_whole(text, strlen(text))] = 0;
    agt_event e = { .kind = AGT_EV_NOTE, .level = level, .text = q_strdup(text) };
    evq_push(q, &e);
}

void note_text(evq *q, const char *title, char *text)
{
    note_page(q, title, text, NULL);
}

void note_page(evq *q, const char *title, char *text, char *data)
{
    if (data)
        cJSON_Minify(data);              /* an event stands on one line */
    agt_event e = { .kind = AGT_EV_TEXT, .name = q_strdup(title), .text = text, .data = data };
    evq_push(q, &e);
}

void note_ui(evq *q, int action, const char *arg)
{
    agt_event e = { .kind = AGT_EV_UI, .id = action, .text = q_strdup(arg) };
    evq_push(q, &e);
}
