/* agent/open: opening and closing. Front-end thread. At the end the lanes carry out or write down what was accepted. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "lab/lab.h"

#include <stdlib.h>
#include <string.h>

/* taken: s as it is kept, with a saved list in the place of its name. */
static int check_set(settings *all, const char *s, char **taken, char *err)
{
    *taken = NULL;
    const char *eq = strchr(s, '=');
    if (!eq || eq == s)
        return q_fail(err, Q_FORMAT, _("--set %s: write NAME=VALUE"), s);
    char *name = q_strndup(s, (size_t)(eq - s));
    int i = settings_find(all, name), rc = Q_OK;
    if (i < 0) {
        int near = settings_nearest(all, name);
        rc = near >= 0 ? q_fail(err, Q_NOTFOUND, _("there is no knob %s; the nearest is %s"), name, all->knob[near]->name)
                       : q_fail(err, Q_NOTFOUND, _("there is no knob %s; /set in the shell lists them all"), name);
    } else if (all->room[i] != KNOB_ENGINE)
        rc = settings_set(all, name, eq + 1, err);
    if (rc == Q_OK)
        rc = lab_spec_lists(all->knob[i], s, taken, err);
    free(name);
    return rc;
}

/* The last assignment of a knob holds, and is the only one that is told of. */
static void set_once(settings *all, const char *s)
{
    char *name = q_strndup(s, strcspn(s, "="));
    int knob = settings_find(all, name);
    free(name);
    for (int i = 0; i < all->set.n; i++) {
        char *had = q_strndup(all->set.v[i], strcspn(all->set.v[i], "="));
        bool same = settings_find(all, had) == knob;
        free(had);
        if (!same)
            continue;
        free(all->set.v[i]);
        memmove(all->set.v + i, all->set.v + i + 1, sizeof *all->set.v * (size_t)(all->set.n-- - i - 1));
        break;
    }
    strings_add(&all->set, q_strdup(s));
}

static void read_setting(void *all, const char *name, const char *value) { settings_put(all, name, value); }

/* Values from all that has any, each over the one before it. The usual rates are not among them: they are many and long,
 * and read when a model asks for them. */
static int read_settings(agt *a, const agt_options *o, char *err)
{
    strings notes = { 0 };
    settings_read_ini(&a->settings, &notes);
    for (int i = 0; i < notes.n; i++)
        note(&a->events, AGT_WARN, "%s", notes.v[i]);
    strings_free(&notes);
    int rc = mem_setting_each(a->store, "usual.", read_setting, &a->settings, err);
    for (int i = 0; i < o->n_set && rc == Q_OK; i++) {
        char *taken;
        if ((rc = check_set(&a->settings, o->set[i], &taken, err)) == Q_OK)
            set_once(&a->settings, taken);
        free(taken);
    }
    desk_pace(&a->desk, settings_number(&a->settings, "ui.pace"));
    return rc;
}

/* ---- long errands that an end or a kill cut off ---- */
/* Is it another process's, which is at it? */
static bool taken(const char *key)
{
    const char *from = key + strlen("errand."), *dot = strchr(from, '.');
    if (!dot)
        return false;                    /* left by an orderly end */
    char *owner = q_strndup(from, (size_t)(dot - from));
    bool alive = mem_alive(owner);
    free(owner);
    return alive;
}

static int by_order(const void *x, const void *y)
{
    const char *a = (*(const setting_row *const *)x)->key, *b = (*(const setting_row *const *)y)->key;
    uint64_t m = errand_order(a), n = errand_order(b);
    return m != n ? (m > n) - (m < n) : strcmp(a, b);
}

/* One row of the store; what nobody knows how to do is let be. */
static void restore_errand(agt *a, const setting_row *s)
{
    static const job_row *const row[] = { &job_add, &job_forgotten };
    char err[Q_ERRLEN];
    size_t w = strcspn(s->value, "\n");
    for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
        const char *text = s->value + w + 1;
        if (!s->value[w] || strlen(row[k]->name) != w || strncmp(s->value, row[k]->name, w) != 0)
            continue;
        errand_accept(a, row[k], errand_order(s->key), text, text);
        note(&a->events, AGT_INFO, _("going on with what the last end cut off: /%s"), row[k]->name);
        if (mem_setting_put(a->store, s->key, NULL, err) < 0)
            note(&a->events, AGT_WARN, "%s", err);
        return;
    }
}

static void restore_errands(agt *a)
{
    const setting_row **v = q_alloc(sizeof *v * (size_t)(a->settings.n + 1));
    int n = 0;
    for (int i = 0; i < a->settings.n; i++) {
        const setting_row *s = &a->settings.v[i];
        if (strncmp(s->key, "errand.", 7) == 0 && s->value && !taken(s->key)) {
            errand_after(a, errand_order(s->key));
            v[n++] = s;
        }
    }
    qsort(v, (size_t)n, sizeof *v, by_order);
    for (int i = 0; i < n; i++)
        restore_errand(a, v[i]);
    free(v);
}

static int start(agt *a, char *err)
{
    void *(*const main[LANE_N])(void *) = { [LANE_ENGINE] = worker_main, [LANE_QUICK] = clerk_quick, [LANE_LONG] = clerk_long };
    while (a->lane.n < LANE_N && pthread_create(&a->lane.thread[a->lane.n], NULL, main[a->lane.n], a) == 0)
        a->lane.n++;
    return a->lane.n == LANE_N ? Q_OK : q_fail(err, Q_ERR, _("the system gives no more threads: close other programs and try again"));
}

int agt_open(const agt_options *o, agt **out, char *err)
{
    agt *a = q_alloc(sizeof *a);
    int64_t last = 0;
    int rc;
    *out = NULL;
    if ((rc = evq_open(&a->events, err)) < 0) {
        free(a);
        return rc;
    }
    desk_open(&a->desk);
    settings_open(&a->settings);
    pthread_mutex_init(&a->shown.mu, NULL);
    pthread_mutex_init(&a->waits.mu, NULL);
    pthread_mutex_init(&a->asks.mu, NULL);
    prefer_open(&a->prefer);
    lost_open(&a->lost);
    modules_open(&a->seat.modules);
    a->seat.shared = -1;
    speller_open(&a->speller);
    toolbox_open(&a->toolbox);
    a->toolbox.folder = realpath(o->folder ? o->folder : ".", NULL);
    if (!a->toolbox.folder)
        a->toolbox.folder = q_strdup(o->folder ? o->folder : ".");
    a->toolbox.alone = o->alone;
    embedder_open(&a->embedder);
    teacher_open(&a->teacher);
    a->base = o->base;
    a->once = o->once;
    a->routing = o->routing;
    a->seat.open = o->answers ? o->answers : prov_open;
    a->seat.path = o->model ? q_strdup(o->model) : NULL;
    rc = o->allow ? tool_rules_add(&a->toolbox.given, o->allow, err) : Q_OK;
    if (rc == Q_OK)
        rc = mem_open(o->db, &a->store, err);
    if (rc == Q_OK)
        a->watch = lab_watch_new(a->store);
    if (rc == Q_OK)
        rc = read_settings(a, o, err);
    if (rc == Q_OK) {
        hub_open(a);
        sign_open(a);
    }
    for (int i = 0; i < o->n_module && rc == Q_OK; i++) {
        module m;
        if ((rc = module_read(o->module[i], &m, err)) == Q_OK)
            module_free(&m);
        strings_add(&a->seat.modules.given, q_strdup(o->module[i]));
    }
    if (rc == Q_OK && !o->once) {
        waits_restore(a);
        restore_errands(a);
    }
    if (rc == Q_OK && !o->fresh)
        rc = mem_conversation_last(a->store, &last, err);
    if (rc == Q_OK) {
        desk_post(&a->desk, &job_open, last, 0, NULL, NULL);
        desk_post(&a->desk, &job_chats, 0, 0, NULL, NULL);
        if (!o->once)
            desk_post(&a->desk, &job_names, 0, 0, NULL, NULL);
        desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
        backup_daily(a);
        if (!o->base)
            desk_post(&a->desk, &job_manual, 0, 0, NULL, NULL);
        desk_post(&a->desk, &job_load, 0, 0, NULL, NULL);
        if (a->seat.path)
            load_say(a, a->seat.path, 0, 0);      /* the first screen already says so */
        embedder_start(a, o->meaning, o->embeds);
        rc = start(a, err);
        if (rc == Q_OK)
            watching_open(a);
    }
    if (rc == Q_OK)
        *out = a;
    else
        agt_close(a);
    return rc;
}

static void shown_free(shown *s)
{
    free(s->full_name);
    free(s->about.recurrent);
    free(s->about.window);
    free(s->path);
    free(s->place_text);
    free(s->prompt);
    strings_free(&s->models);
    strings_free(&s->chats);
    adv_about_free(&s->about.advice);
    rag_result_free(s->why);
    free(s->why_broken);
    free(s->turns.of);
    pthread_mutex_destroy(&s->mu);
}

/* What the lanes' last jobs left to one another. Front-end thread: the others are gone. */
static void carry_out(agt *a)
{
    bool any = true, quit;
    while (any) {
        any = false;
        for (int l = 0; l < LANE_N; l++)
            for (job *j; (j = desk_take(&a->desk, (enum desk_lane)l, &quit)); any = true) {
                (j->row->keep ? j->row->keep : j->row->run)(a, j);
                desk_done(&a->desk, j);
            }
    }
}

void agt_close(agt *a)
{
    if (!a)
        return;
    if (a->lane.n == LANE_N)
        watching_close(a);
    desk_quit(&a->desk);
    teacher_quit(a);
    evq_hurry(&a->events);
    for (int i = 0; i < a->lane.n; i++)
        pthread_join(a->lane.thread[i], NULL);
    if (a->lane.n)
        carry_out(a);
    teacher_close(a);
    embedder_close(a);
    unstored_try(a);
    unstored_free(a);
    load_none(a);
    if (a->watch)
        lab_watch_save(a->watch);
    mem_messages_free(&a->chat.path);
    desk_close(&a->desk);
    sign_close(a);
    hub_close(a);
    settings_close(&a->settings);
    waits_free(&a->waits);
    asks_free(&a->asks);
    prefer_close(&a->prefer);
    lost_close(&a->lost);
    modules_close(&a->seat.modules);
    speller_close(&a->speller);
    toolbox_close(&a->toolbox);
    facts_forget(&a->quick.proposed);
    shown_free(&a->shown);
    lab_watch_free(a->watch);
    free(a->seat.path);
    free(a->seat.load_error);
    mem_close(a->store);
    evq_close(&a->events);
    free(a);
}
