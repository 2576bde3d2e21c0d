/* agent/load: the model comes and goes. Engine thread.
 * A model that answers is never given up for one that does not load. */
#include "agent/past.h"
#include "agent/talk.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

void load_none(agt *a)
{
    desk_cancels(&a->desk, NULL, NULL);
    pthread_mutex_lock(&a->shown.mu);
    prov_config *old = a->shown.cfg, *own = a->shown.own;
    a->shown.cfg = a->shown.own = NULL;
    memset(&a->shown.st, 0, sizeof a->shown.st);
    a->shown.st.chat = a->chat.id;
    free(a->shown.full_name);
    free(a->shown.path);
    a->shown.full_name = a->shown.path = NULL;
    a->shown.n_mix = 0;
    a->shown.about.id = 0;
    a->shown.about.costs.n_row = 0;
    a->shown.about.guard = (lab_guard){ .n = 0 };
    pthread_mutex_unlock(&a->shown.mu);
    if (a->watch)
        lab_watch_unload(a->watch);
    prov_config_free(old);
    prov_config_free(own);
    prov_config_free(a->seat.cfg);
    history_clear(&a->seat.past);
    costs_unload(a);
    turns_forget(a);
    past_drop(a);
    speller_is(&a->speller, NULL);
    prov_close(a->seat.who);
    a->seat.cfg = NULL;
    a->seat.who = NULL;
    for (int i = 0; i < a->seat.n_known; i++)
        free(a->seat.known[i].json);
    free(a->seat.known);
    a->seat.known = NULL;
    a->seat.n_known = 0;
    a->seat.holds = a->seat.leaf = 0;
    a->seat.shared = -1;
    a->seat.offered = 0;
    free(a->seat.fed);
    a->seat.fed = NULL;
    free(a->seat.unrouted);
    a->seat.unrouted = NULL;
    a->chat.keep_from = 0;
}

/* NAME=VALUE on c, where NAME is a knob of the engine's. */
static int assign(const settings *s, const char *words, prov_config *c, char *err)
{
    size_t n = strcspn(words, "=");
    char *name = q_strndup(words, n);
    int k = settings_find(s, name), rc = Q_OK;
    if (k >= 0 && s->room[k] == KNOB_ENGINE)
        rc = prov_config_set(c, s->knob[k]->name, words + n + 1, err);
    free(name);
    return rc;
}

typedef struct loading_job { agt *a; const char *path; bool first; } loading_job;

void load_say(agt *a, const char *path, uint64_t done, uint64_t total)
{
    const char *slash = *path == '@' ? NULL : strrchr(path, '/');
    agt_event e = { .kind = AGT_EV_LOADING, .done = (int64_t)done, .total = (int64_t)(total ? total : 1) };
    e.text = q_strdup(slash ? slash + 1 : path);
    evq_push(&a->events, &e);
}

static void loading(void *user, uint64_t done, uint64_t total)
{
    const loading_job *l = user;
    load_say(l->a, l->path, done, total);
}

/* first: --set must fit the model; later it may not. */
static int configure(void *user, prov_config *c, char *err)
{
    loading_job *l = user;
    agt *a = l->a;
    int rc = Q_OK;
    for (int i = 0; i < a->settings.ini.n; i++) {
        char why[Q_ERRLEN];
        if (assign(&a->settings, a->settings.ini.v[i], c, why) < 0)
            note(&a->events, AGT_WARN, _("config.ini: %s is skipped: %s"), a->settings.ini.v[i], why);
    }
    for (int i = 0; i < a->settings.set.n && rc == Q_OK; i++) {
        rc = assign(&a->settings, a->settings.set.v[i], c, err);
        if (rc < 0 && !l->first) {
            note(&a->events, AGT_WARN, _("--set %s does not fit this model: %s"), a->settings.set.v[i], err);
            rc = Q_OK;
        }
    }
    return rc;
}

/* As eng_open_opts has it: below 0 as little as can be. */
static double weights_gib(settings *s)
{
    q_buf b = { 0 };
    bool least = strcasecmp(settings_value(s, "weights.ram", &b), "least") == 0;
    q_buf_free(&b);
    return least ? -1 : settings_number(s, "weights.ram");
}

/* Somebody who answers, beside whoever does now. */
static int load(agt *a, const char *path, bool first, prov **out, char *err)
{
    loading_job l = { a, path, first };
    prov_opts o = { .servers = a->settings.servers, .progress = loading, .configure = configure, .user = &l, .adapters = first,
                    .weights_gib = weights_gib(&a->settings) };
    return a->seat.open(path, &o, out, err);
}

static void cancel(void *who, bool on) { prov_cancel(who, on); }

static void install(agt *a, prov *who)
{
    a->seat.who = who;
    speller_is(&a->speller, who);
    a->seat.cfg = prov_present(who);
    history_turned(&a->seat.past, a->seat.cfg);
    desk_cancels(&a->desk, cancel, who);
}

/* Would it fit with the present model gone? */
static bool fits_alone(const agt *a, const char *path)
{
    struct stat st;
    return a->seat.who && stat(path, &st) == 0 && (uint64_t)st.st_size < q_mem_available() + prov_about(a->seat.who)->file_bytes;
}

/* ---- what a person set goes over to the next model ---- */
typedef struct going_over { strings set; uint64_t model; } going_over;      /* NAME=VALUE; the model's own value: NAME= */

/* What differs from what the start made of the present model. */
static void take_over(agt *a, going_over *o)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    char err[Q_ERRLEN];
    q_buf x = { 0 }, y = { 0 };
    if (!a->seat.who)
        return;
    prov_config *start = prov_config_new(a->seat.who);
    for (int i = 0; i < a->settings.ini.n; i++)
        assign(&a->settings, a->settings.ini.v[i], start, err);
    for (int i = 0; i < a->settings.set.n; i++)
        assign(&a->settings, a->settings.set.v[i], start, err);
    for (int i = 0; i < n; i++) {
        const char *now = prov_config_get(a->seat.cfg, k[i].name, &x), *was = prov_config_get(start, k[i].name, &y);
        int short_to = strcmp(k[i].name, "context.length") == 0 ? prov_about(a->seat.who)->shortened.to : 0;
        if (short_to && now && atoi(now) == short_to)        /* memory's doing, not a person's */
            continue;
        if (k[i].effect != Q_EFFECT_FIXED && now && was && strcmp(now, was) != 0)
            strings_add(&o->set, q_printf("%s=%s", k[i].name, prov_config_is_default(a->seat.cfg, k[i].name) ? "" : now));
    }
    o->model = prov_about(a->seat.who)->id;
    prov_config_free(start);
    q_buf_free(&x);
    q_buf_free(&y);
}

/* A list of layers, experts or heads is about the weights of one model. */
static bool about_weights(const q_knob *k, const char *value)
{
    return k->type == Q_KNOB_PAIRS || k->type == Q_KNOB_PAIR_VALUES || (k->type == Q_KNOB_INTS && strchr(value, ','));
}

static void bring_over(agt *a, const going_over *o)
{
    char err[Q_ERRLEN];
    q_buf taken = { 0 }, left = { 0 }, own = { 0 };
    prov_config *c = prov_config_copy(a->seat.cfg), *fresh = prov_config_new(a->seat.who);
    bool same = prov_about(a->seat.who)->id == o->model;
    for (int i = 0; i < o->set.n; i++) {
        const char *value = o->set.v[i] + strcspn(o->set.v[i], "=") + 1;
        char *name = q_strndup(o->set.v[i], (size_t)(value - 1 - o->set.v[i]));
        const q_knob *k = a->settings.knob[settings_find(&a->settings, name)];
        const char *to = *value ? value : prov_config_get(fresh, name, &own);
        bool fits = (same || !about_weights(k, to)) && prov_config_set(c, name, to, err) == Q_OK;
        q_buf *b = fits ? &taken : &left;
        q_buf_printf(b, "%s%s %s", b->len ? ", " : "", name, *value ? value : "default");
        free(name);
    }
    if (taken.len && prov_set(a->seat.who, c, sync_policy(&a->settings), err) == Q_OK) {
        prov_config_free(a->seat.cfg);
        a->seat.cfg = c;
        history_turned(&a->seat.past, c);    /* F9 goes to the model as it comes, and back */
        c = NULL;
        note(&a->events, AGT_INFO, _("still set from before: %s (F9: without)"), taken.p);
    } else if (taken.len)
        note(&a->events, AGT_WARN, _("not set any more: %s: %s"), taken.p, err);
    if (left.len)
        note(&a->events, AGT_WARN, _("not set any more, this model has other layers, experts or limits: %s"), left.p);
    prov_config_free(c);
    prov_config_free(fresh);
    q_buf_free(&taken);
    q_buf_free(&left);
    q_buf_free(&own);
}

/* /model: the new one is loaded beside the old, which answers on if that fails. Only where both do not fit and the new one
 * alone may, the old one makes room first, and comes back if that was in vain. */
static int job_switch(agt *a, const char *path, char *err)
{
    prov *l = NULL;
    going_over o = { 0 };
    modules_leave(a);
    take_over(a, &o);
    int rc = load(a, path, false, &l, err);
    if (rc == Q_NOMEM && fits_alone(a, path)) {
        load_none(a);
        rc = load(a, path, false, &l, err);
        char why[Q_ERRLEN];
        prov *old = NULL;
        if (rc < 0 && a->seat.path && load(a, a->seat.path, false, &old, why) == Q_OK) {
            install(a, old);
            bring_over(a, &o);
        }
    }
    if (rc == Q_OK) {
        load_none(a);
        install(a, l);
        bring_over(a, &o);
    }
    strings_free(&o.set);
    if (rc < 0)
        return rc;
    free(a->seat.path);
    a->seat.path = q_strdup(path);
    return Q_OK;
}

static void load_job(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    prov *l = NULL;
    int rc;
    if (j->id) {
        note(&a->events, AGT_INFO, _("loading %s"), j->text);
        rc = job_switch(a, j->text, err);
    } else if (a->seat.path) {
        rc = load(a, a->seat.path, true, &l, err);
        if (rc == Q_OK)
            install(a, l);
    } else {
        char *python = q_find_program("python3");
        rc = q_fail(err, Q_NOTFOUND, "%s", python ? _("there is no model yet: run quorum model fetch, or give one with -m FILE")
                    : _("there is no model yet, nor python3 to fetch one: copy a GGUF file here, start with -m FILE"));
        free(python);
    }
    agt_event ended = { .kind = AGT_EV_LOADING };
    if (j->id || a->seat.path)
        evq_push(&a->events, &ended);
    if (rc < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        if (a->seat.who) {
            note(&a->events, AGT_INFO, _("%s goes on answering"), prov_about(a->seat.who)->name);
            sync_publish(a);
        } else {
            free(a->seat.load_error);
            a->seat.load_error = q_strdup(err);
            load_none(a);
        }
        return;
    }
    free(a->seat.load_error);
    a->seat.load_error = NULL;
    sync_publish(a);
    const prov_info *info = prov_about(a->seat.who);
    if (info->note && !a->base)
        note(&a->events, AGT_WARN, "%s", info->note);
    if (info->shortened.words)
        note(&a->events, AGT_WARN, "%s", info->shortened.words);
    if (info->divided.words)
        note(&a->events, info->divided.fell ? AGT_WARN : AGT_INFO, "%s", info->divided.words);
    guard_loaded(a);
    modules_loaded(a);
    teacher_loaded(a);
    guard_say(a, NULL, a->seat.cfg);
    sync_say_crowded(a, NULL, a->seat.cfg);
    agt_event e = { .kind = AGT_EV_READY, .text = q_strdup(info->name) };
    evq_push(&a->events, &e);
}

const job_row job_load = { .name = "load", .lane = LANE_ENGINE, .end = END_DROPPED, .settles = true, .run = load_job };
