/* agent/front: the calls of the front end: each posts a job or an edit, or copies a snapshot under a mutex. Front-end thread.
 * It never touches the disk or the model itself. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>

int agt_wake_fd(const agt *a) { return a->q.fd; }
bool agt_next(agt *a, agt_event *out) { return evq_pop(&a->q, out); }

static void say_paused(agt *a, bool on)
{
    agt_event e = { .kind = AGT_EV_PAUSED, .flag = on };
    evq_push(&a->q, &e);
}

void agt_stop(agt *a)
{
    pthread_mutex_lock(&a->mu);
    bool was = a->paused;
    if (a->answering) {
        atomic_store(&a->stop, true);
        if (a->cancel)
            eng_session_cancel(a->cancel);
    } else if (a->errand_running)
        atomic_store(&a->errand_stop, true);
    a->paused = false;
    a->steps = 0;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
    if (was)
        say_paused(a, false);
}

void agt_pause(agt *a, bool on)
{
    pthread_mutex_lock(&a->mu);
    bool was = a->paused;
    a->paused = on;
    a->steps = 0;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
    if (was != on)
        say_paused(a, on);
}

void agt_step(agt *a)
{
    pthread_mutex_lock(&a->mu);
    if (a->paused)
        a->steps++;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
}

void agt_nudge_k(agt *a, int delta) { room_edit(a, EDIT_NUDGE, delta, NULL, NULL); }
void agt_toggle(agt *a) { room_edit(a, EDIT_TOGGLE, 0, NULL, NULL); }
void agt_again(agt *a, int64_t message, const char *s) { room_post(a, JOB_AGAIN, message, 0, s ? s : "", NULL); }
void agt_branch(agt *a, int64_t message, int delta) { room_post(a, JOB_BRANCH, message, delta, NULL, NULL); }
void agt_open_chat(agt *a, int64_t chat) { room_post(a, JOB_OPEN, chat, 0, NULL, NULL); }
void agt_ask_chats(agt *a) { room_post(a, JOB_CHATS, 0, 0, NULL, NULL); }
void agt_ask_retrieval(agt *a, int64_t message) { room_post(a, JOB_RETRIEVAL, message, 0, NULL, NULL); }
void agt_rename(agt *a, int64_t chat, const char *title) { room_post(a, JOB_RENAME, chat, 0, title, NULL); }
void agt_delete_chat(agt *a, int64_t chat) { room_post(a, JOB_DELETE, chat, 0, NULL, NULL); }

void agt_edit(agt *a, int64_t message, const char *text)
{
    char *clean = q_utf8_clean(text, strlen(text));
    room_post(a, JOB_EDIT, message, pending_ticket(a, message, clean), clean, NULL);
    free(clean);
}

void agt_keep_place(agt *a, int64_t scroll, const char *draft)
{
    pthread_mutex_lock(&a->mu);
    int64_t chat = a->st.chat;
    const char *text = draft ? draft : "";
    bool same = a->place_text && a->place_chat == chat && a->place_scroll == scroll && strcmp(a->place_text, text) == 0;
    if (!same) {                         /* front ends call this on a timer: the disk is touched only when it matters */
        free(a->place_text);
        a->place_text = q_strdup(text);
        a->place_chat = chat;
        a->place_scroll = scroll;
        if (!chat)
            setting_put_locked(a, "draft.new", text);
    }
    pthread_mutex_unlock(&a->mu);
    if (!same)
        room_post(a, JOB_PLACE, chat, scroll, text, NULL);
}

static bool busy_locked(const agt *a)
{
    return a->running || a->todo.first || a->errand_running;
}

bool agt_busy(const agt *a)
{
    agt *m = (agt *)(uintptr_t)a;        /* the mutex is the only thing that changes */
    pthread_mutex_lock(&m->mu);
    bool b = busy_locked(m);
    pthread_mutex_unlock(&m->mu);
    return b;
}

void agt_get_status(agt *a, agt_status *out)
{
    pthread_mutex_lock(&a->mu);
    *out = a->st;
    out->busy = busy_locked(a);
    out->paused = a->paused;
    pthread_mutex_unlock(&a->mu);
}
