/* agent/front: the calls of the front end: each posts a job or an edit, or copies a snapshot under a mutex. Front-end thread.
 * It never touches the disk or the model itself. */
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/talk.h"

#include <stdlib.h>
#include <string.h>

int agt_wake_fd(const agt *a) { return a->events.fd; }
bool agt_next(agt *a, agt_event *out) { return evq_pop(&a->events, out); }

/* ---- what a person does ---- */
static void say_paused(agt *a, bool on)
{
    agt_event e = { .kind = AGT_EV_PAUSED, .flag = on };
    evq_push(&a->events, &e);
}

void agt_stop(agt *a)
{
    if (desk_stop(&a->desk))
        say_paused(a, false);
}

void agt_end_thinking(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    bool thinking = a->shown.st.thinking;
    pthread_mutex_unlock(&a->shown.mu);
    if (thinking)
        desk_enough(&a->desk, true);
    else
        note(&a->events, AGT_INFO, _("nothing is being thought that could be ended"));
}

void agt_pause(agt *a, bool on)
{
    if (desk_pause(&a->desk, on))
        say_paused(a, on);
}

void agt_step(agt *a) { desk_step(&a->desk); }
void agt_nudge_k(agt *a, int delta) { desk_edit(&a->desk, EDIT_NUDGE, delta, NULL, NULL); }
void agt_toggle(agt *a) { desk_edit(&a->desk, EDIT_TOGGLE, 0, NULL, NULL); }
void agt_again(agt *a, int64_t message, const char *s)
{
    s = s ? s : "";
    desk_post(&a->desk, &job_again, message, waits_ticket(a, WAITS_AGAIN, s), s, NULL);
}

void agt_branch(agt *a, int64_t message, int delta) { desk_post(&a->desk, &job_branch, message, delta, NULL, NULL); }
void agt_open_chat(agt *a, int64_t chat) { desk_post(&a->desk, &job_open, chat, 0, NULL, NULL); }
void agt_open_at(agt *a, int64_t chat, int64_t message) { desk_post(&a->desk, &job_open, chat, message, NULL, NULL); }
void agt_ask_chats(agt *a) { desk_post(&a->desk, &job_chats, 0, 0, NULL, NULL); }
void agt_ask_energy(agt *a) { desk_post(&a->desk, &job_costs, 0, 0, NULL, NULL); }
void agt_ask_retrieval(agt *a, int64_t message) { desk_post(&a->desk, &job_retrieval, message, 0, NULL, NULL); }

int64_t front_present(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    int64_t id = a->shown.st.chat;
    pthread_mutex_unlock(&a->shown.mu);
    return desk_steady(&a->desk) ? id : 0;
}

void agt_rename(agt *a, int64_t chat, const char *title)
{
    chat = chat ? chat : front_present(a);
    desk_post(&a->desk, chat ? &job_rename : &job_rename_here, chat, 0, title, NULL);
}

void agt_delete_chat(agt *a, int64_t chat) { desk_post(&a->desk, &job_deleted, chat, 0, NULL, NULL); }

void agt_show_prompt(agt *a, const char *text) { desk_post(&a->desk, &job_prompt, 0, 0, text, NULL); }

void agt_edit(agt *a, int64_t message, const char *text)
{
    char *clean = q_utf8_clean(text, strlen(text));
    desk_post(&a->desk, &job_edit, message, waits_ticket(a, message, clean), clean, NULL);
    free(clean);
}

void agt_amend(agt *a, int64_t message, const char *text)
{
    char *clean = q_utf8_clean(text, strlen(text));
    if (!clean[strspn(clean, " \t\r\n")])
        agt_again(a, message, "");       /* cut to nothing: all of it is the model's again */
    else
        desk_post(&a->desk, &job_amend, message, waits_ticket(a, WAITS_AMEND - message, clean), clean, NULL);
    free(clean);
}

void agt_keep_place(agt *a, int64_t chat, int64_t scroll, const char *draft)
{
    shown *s = &a->shown;
    const char *text = draft ? draft : "";
    if (s->place_text && s->place_chat == chat && s->place_scroll == scroll && strcmp(s->place_text, text) == 0)
        return;                          /* front ends call this on a timer: the disk is touched only when it matters */
    free(s->place_text);
    s->place_text = q_strdup(text);
    s->place_chat = chat;
    s->place_scroll = scroll;
    if (!chat)
        settings_put(&a->settings, "draft.new", text);
    desk_post(&a->desk, &job_place, chat, scroll, text, NULL);
}

bool agt_busy(const agt *a)
{
    agt *m = (agt *)(uintptr_t)a;        /* the mutex is the only thing that changes */
    return desk_busy(&m->desk);
}

bool agt_answering(agt *a) { return desk_answering(&a->desk); }
bool agt_idle(agt *a) { return desk_idle(&a->desk); }
bool agt_rests(agt *a) { return desk_rests(&a->desk); }

bool agt_get_teaching(agt *a, tch_state *out) { return teacher_state(a, out); }

bool agt_get_energy(agt *a, agt_energy *out)
{
    pthread_mutex_lock(&a->shown.mu);
    *out = a->shown.about.costs;
    int k = a->shown.st.k;
    out->spared = a->shown.about.spared;
    out->added_params = a->shown.about.added_params;
    out->added_bytes = a->shown.about.added_bytes;
    double reached = costs_reached(&a->shown);
    if (out->bandwidth > 0 && reached > out->bandwidth)          /* measured beside something else: a bound is never below what was reached */
        out->bandwidth = reached;
    pthread_mutex_unlock(&a->shown.mu);
    if (out->n_row)
        lab_costs_at(out, k);
    return out->n_row > 0;
}

void agt_get_status(agt *a, agt_status *out)
{
    pthread_mutex_lock(&a->shown.mu);
    *out = a->shown.st;
    pthread_mutex_unlock(&a->shown.mu);
    out->busy = desk_busy(&a->desk);
    out->paused = desk_paused(&a->desk);
}
