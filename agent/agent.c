/* agent/agent: opening and closing, and the calls of the front end: each posts a job or an edit, or copies a snapshot
 * under a mutex. Front-end thread. It never touches the disk or the model itself once open. */
#include "agent/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- posting ---- */
void job_free(job *j)
{
    if (!j)
        return;
    free(j->text);
    free(j->value);
    free(j);
}

static bool clerks(enum job_kind k) { return k >= JOB_CHATS; }

void room_post(agt *a, enum job_kind k, int64_t id, int64_t number, const char *text, const char *value)
{
    job *j = q_alloc(sizeof *j);
    *j = (job){ .kind = k, .id = id, .number = number, .text = text ? q_strdup(text) : NULL, .value = value ? q_strdup(value) : NULL };
    pthread_mutex_lock(&a->mu);
    jobs *l = clerks(k) ? &a->errands : &a->todo;
    if (l->last)
        l->last->next = j;
    else
        l->first = j;
    l->last = j;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
}

void room_edit(agt *a, enum edit_kind k, int delta, const char *name, const char *value)
{
    edit *e = q_alloc(sizeof *e);
    *e = (edit){ .kind = k, .delta = delta, .name = name ? q_strdup(name) : NULL, .value = value ? q_strdup(value) : NULL };
    pthread_mutex_lock(&a->mu);
    *a->edits_end = e;
    a->edits_end = &e->next;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
}

void room_note(agt *a, enum agt_level level, const char *fmt, ...)
{
    char text[Q_ERRLEN * 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text[q_utf8_whole(text, strlen(text))] = 0;
    agt_event e = { .kind = AGT_EV_NOTE, .level = level, .text = q_strdup(text) };
    evq_push(&a->q, &e);
}

void room_text(agt *a, const char *title, char *text)
{
    agt_event e = { .kind = AGT_EV_TEXT, .name = q_strdup(title), .text = text };
    evq_push(&a->q, &e);
}

void room_ui(agt *a, int action, const char *arg)
{
    agt_event e = { .kind = AGT_EV_UI, .id = action, .text = q_strdup(arg) };
    evq_push(&a->q, &e);
}

/* ---- opening ---- */
static int check_set(agt *a, const char *s, char *err)
{
    const char *eq = strchr(s, '=');
    if (!eq || eq == s)
        return q_fail(err, Q_FORMAT, _("--set %s: write NAME=VALUE"), s);
    char *name = q_strndup(s, (size_t)(eq - s));
    int i = knobs_find(a, name), rc = Q_OK;
    if (i < 0) {
        int near = knobs_nearest(a, name);
        rc = near >= 0 ? q_fail(err, Q_NOTFOUND, _("there is no knob %s; the nearest is %s"), name, a->knob[near]->name)
                       : q_fail(err, Q_NOTFOUND, _("there is no knob %s; /set in the shell lists them all"), name);
    } else if (a->knob_room[i] != KNOB_ENGINE)
        rc = knobs_set_quiet(a, name, eq + 1, err);
    free(name);
    return rc;
}

/* All but the usual rates, which routing.c reads when a model asks for them: they are many and long. */
static void read_setting(void *user, const char *name, const char *value) { setting_put_locked(user, name, value); }

int agt_open(const agt_options *o, agt **out, char *err)
{
    agt *a = q_alloc(sizeof *a);
    int rc;
    *out = NULL;
    if ((rc = evq_open(&a->q, err)) < 0) {
        free(a);
        return rc;
    }
    pthread_condattr_t ca;
    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_cond_init(&a->work, &ca);
    pthread_condattr_destroy(&ca);
    pthread_mutex_init(&a->mu, NULL);
    pthread_mutex_init(&a->rmu, NULL);
    a->edits_end = &a->edits;
    a->base = o->base;
    a->once = o->once;
    a->model_path = o->model ? q_strdup(o->model) : NULL;
    a->rag = rag_config_default();
    routing_shape(&a->live, 0, 0, 0, 0, 1);
    routing_shape(&a->stored, 0, 0, 0, 0, 1);
    knobs_join(a);
    if ((rc = mem_open(o->db, &a->store, err)) < 0) {
        agt_close(a);
        return rc;
    }
    if ((rc = mem_setting_each(a->store, "usual.", read_setting, a, err)) < 0) {
        agt_close(a);
        return rc;
    }
    strings assign = { 0 }, notes = { 0 };
    knobs_read_ini(a, &assign, &notes);
    strings_free(&assign);               /* engine rows are read again when the model is there */
    for (int i = 0; i < notes.n; i++)
        room_note(a, AGT_WARN, "%s", notes.v[i]);
    strings_free(&notes);
    a->set = q_alloc(sizeof *a->set * (size_t)(o->n_set + 1));
    for (int i = 0; i < o->n_set; i++) {
        if ((rc = check_set(a, o->set[i], err)) < 0) {
            agt_close(a);
            return rc;
        }
        a->set[a->n_set++] = q_strdup(o->set[i]);
    }
    if (!o->once)
        pending_restore(a);
    int64_t chat = 0;
    if (!o->fresh && (rc = mem_conversation_last(a->store, &chat, err)) < 0) {
        agt_close(a);
        return rc;
    }
    room_post(a, JOB_OPEN, chat, 0, NULL, NULL);
    room_post(a, JOB_CHATS, 0, 0, NULL, NULL);
    if (!o->once)
        room_post(a, JOB_NAMES, 0, 0, NULL, NULL);
    if (!o->base)
        room_post(a, JOB_MANUAL, 0, 0, NULL, NULL);
    room_post(a, JOB_LOAD, 0, 0, NULL, NULL);
    a->engine_up = pthread_create(&a->engine_thread, NULL, worker_main, a) == 0;
    a->clerk_up = a->engine_up && pthread_create(&a->clerk_thread, NULL, clerk_main, a) == 0;
    if (!a->clerk_up) {
        agt_close(a);
        return q_fail(err, Q_ERR, _("the system gives no more threads: close other programs and try again"));
    }
    *out = a;
    return Q_OK;
}

static void jobs_free(jobs *l)
{
    while (l->first) {
        job *j = l->first;
        l->first = j->next;
        job_free(j);
    }
}

void agt_close(agt *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->mu);
    a->quit = true;
    atomic_store(&a->stop, true);
    atomic_store(&a->errand_stop, true);
    if (a->cancel)
        eng_session_cancel(a->cancel);
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
    evq_hurry(&a->q);
    if (a->engine_up)
        pthread_join(a->engine_thread, NULL);
    if (a->clerk_up)
        pthread_join(a->clerk_thread, NULL);
    jobs_free(&a->todo);
    jobs_free(&a->errands);
    while (a->edits) {
        edit *e = a->edits;
        a->edits = e->next;
        free(e->name);
        free(e->value);
        free(e);
    }
    while (a->usual) {
        usual *u = a->usual;
        a->usual = u->next;
        free(u->mean);
        free(u);
    }
    for (int i = 0; i < a->n_setting; i++) {
        free(a->setting[i].key);
        free(a->setting[i].value);
    }
    for (int i = 0; i < a->n_set; i++)
        free(a->set[i]);
    free(a->set);
    free(a->setting);
    free(a->model_path);
    free(a->load_error);
    free(a->full_name);
    free(a->place_text);
    free(a->knob);
    free(a->knob_room);
    pending_free(a);
    strings_free(&a->model_names);
    strings_free(&a->chat_numbers);
    eng_tokens_free(&a->timeline);
    rag_result_free(a->why);
    routing_free(&a->live);
    routing_free(&a->stored);
    mem_close(a->store);
    evq_close(&a->q);
    pthread_mutex_destroy(&a->mu);
    pthread_mutex_destroy(&a->rmu);
    pthread_cond_destroy(&a->work);
    free(a);
}

int agt_wake_fd(const agt *a) { return a->q.fd; }
bool agt_next(agt *a, agt_event *out) { return evq_pop(&a->q, out); }

/* ---- what a person does ---- */
void agt_submit(agt *a, const char *text)
{
    char *clean = q_utf8_clean(text, strlen(text));
    size_t n = strspn(clean, " \t\r\n");
    if (clean[n] && !command_run(a, clean))      /* a space before "/" makes it a message */
        room_post(a, JOB_SEND, 0, pending_ticket(a, -1, clean + n), clean + n, NULL);
    free(clean);
}

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
