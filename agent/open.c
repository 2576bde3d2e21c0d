/* agent/open: opening and closing. Front-end thread. What was accepted before the end is kept; see the two threads' loops. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* All but the usual rates, which the lab reads when a model asks for them: they are many and long. */
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
    a->edits_end = &a->edits;
    a->base = o->base;
    a->once = o->once;
    a->model_path = o->model ? q_strdup(o->model) : NULL;
    a->rag = rag_config_default();
    knobs_join(a);
    if ((rc = mem_open(o->db, &a->store, err)) < 0) {
        agt_close(a);
        return rc;
    }
    a->watch = lab_watch_new(a->store);
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
    lab_watch_free(a->watch);
    mem_close(a->store);
    evq_close(&a->q);
    pthread_mutex_destroy(&a->mu);
    pthread_cond_destroy(&a->work);
    free(a);
}
