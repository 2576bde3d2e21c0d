/* agent/turn: one answer, from the question's durable storing to the reply's last row. Engine thread.
 * It never decides what is shown: it pushes events. */
#include "agent/frame.h"
#include "agent/generate.h"
#include "agent/past.h"
#include "agent/talk.h"
#include "agent/tooling.h"
#include "agent/view.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ---- the pieces around it ---- */
/* What the question goes on from: the questions before it, as far back as each of them leans on the one before. */
static char *asked_before(const mem_messages *path)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int i = path->n - 2, left = 3; i >= 0 && left > 0; i--) {
        const mem_message *m = &path->v[i];
        if (m->role != MEM_USER)
            continue;
        char *question = q_strndup(m->text, frame_question(m->text));
        q_buf_printf(&b, "%s\n", question);
        left = rag_points_back(question) ? left - 1 : 0;
        free(question);
    }
    return q_buf_take(&b);
}

/* How many passages may be fed: those that are pinned come on top. */
static int most_passages(agt *a, const rag_config *c)
{
    char err[Q_ERRLEN];
    mem_pins pins = { 0 };
    if (a->chat.id && mem_pin_list(a->store, a->chat.id, &pins, err) < 0)
        pins.n = 0;                      /* the search says so */
    int n = c->max_passages + pins.n;
    mem_pins_free(&pins);
    return n;
}

/* For the last message of path. */
static void search(agt *a, rag_config c, const mem_messages *path, const turn_again *how, rag_result **out)
{
    char err[Q_ERRLEN];
    const mem_message *q = &path->v[path->n - 1];
    *out = NULL;
    if (a->base)
        return;
    char *before = asked_before(path);
    rag_scope scope = { .conversation = a->chat.id, .budget = prompt_room_for_passages(a, q->text, most_passages(a, &c)),
                        .count = prompt_count, .user = a->seat.who, .before = before, .near = embedder_near(a),
                        .without = how ? how->without : NULL, .n_without = how ? how->n_without : 0 };
    const char **of;
    scope.n_of = modules_memory(&a->seat.modules, &of);
    scope.of = of;
    size_t own = frame_question(q->text), all = strlen(q->text);
    char *question = q_strndup(q->text, own);
    int rc = rag_search(a->store, &c, question, &scope, out, err);
    bool by_meaning = scope.near != NULL;
    embedder_near_end(a, scope.near);    /* what comes now may take a while */
    scope.near = NULL;
    if (rc == Q_OK && by_meaning && (*out)->note) note(&a->events, AGT_WARN, "%s", (*out)->note);
    if (rc == Q_OK) second_look(a, &c, question, &scope, *out);
    if (rc == Q_OK && scope.n_of && (*out)->searched && !(*out)->n) modules_memory_looked(a);
    free(question);
    scope.before = NULL;
    scope.whole = true;
    scope.no_pins = true;                /* they are fed, or had no room */
    free(before);
    if (rc == Q_OK && own < all) {       /* the text beside it gets what the question left */
        scope.near = embedder_near(a);
        rag_result *more;
        c.max_passages -= (*out)->n_fed;
        c.budget -= (*out)->fed_tokens;
        scope.budget = scope.budget < 0 ? scope.budget : scope.budget - (*out)->fed_tokens;
        scope.budget = scope.budget < 0 ? 0 : scope.budget;
        if (c.max_passages > 0 && c.budget > 0 && (rc = rag_search(a->store, &c, q->text + own, &scope, &more, err)) == Q_OK)
            rag_join(*out, more);
    }
    embedder_near_end(a, scope.near);
    free(of);
    pthread_mutex_lock(&a->shown.mu);
    free(a->shown.why_broken);
    a->shown.why_broken = rc < 0 ? q_strdup(err) : NULL;
    pthread_mutex_unlock(&a->shown.mu);
    if (rc < 0) {                        /* said at once, and where passages stand */
        note(&a->events, AGT_WARN, _("memory could not be searched: %s"), err);
        rag_result_free(*out);
        *out = NULL;
        agt_event none = { .kind = AGT_EV_RETRIEVAL, .id = q->id, .retrieval = q_alloc(sizeof *none.retrieval) };
        none.retrieval->broken = q_printf(_("memory could not be searched: %s"), err);
        evq_push(&a->events, &none);
        return;
    }
    lost_now gone = lost_copy(&a->lost);
    lost_mark(&gone, *out);
    free(gone.document);
    lost_look(a, *out);
    agt_event e = { .kind = AGT_EV_RETRIEVAL, .id = q->id, .retrieval = view_result(*out) };
    evq_push(&a->events, &e);
}

static void keep_why(agt *a, rag_result *r, int64_t message)
{
    pthread_mutex_lock(&a->shown.mu);
    rag_result *old = a->shown.why;
    a->shown.why = r;
    a->shown.why_message = message;
    pthread_mutex_unlock(&a->shown.mu);
    rag_result_free(old);
}

static void failed(agt *a, int64_t question, const char *err)
{
    note(&a->events, AGT_ERROR, "%s", err);
    agt_event e = { .kind = AGT_EV_DONE, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->parent = question;
    e.message->role = AGT_ASSISTANT;
    e.message->state = AGT_FAILED;
    e.message->text = q_strdup("");
    e.message->differs_at = -1;
    evq_push(&a->events, &e);
}

static uint64_t new_seed(void)
{
    uint64_t s = 0;
    if (getrandom(&s, sizeof s, 0) != (ssize_t)sizeof s)
        s = (uint64_t)q_now_ns();
    s &= (1ull << 53) - 1;               /* a JSON number holds it exactly */
    return s ? s : 1;
}

static uint64_t seed_for(agt *a, uint64_t wanted)
{
    double own = prov_config_number(a->seat.cfg, "sampler.seed");            /* NAN: it has no such knob */
    return own > 0 ? (uint64_t)own : wanted ? wanted : new_seed();
}

/* The reply's row, and the event that says so. */
static int begin(turn *t, int64_t question, const rag_result *found, char *err)
{
    agt *a = t->a;
    const prov_info *info = prov_about(a->seat.who);
    char *json = generate_config(t), *caption = caption_of(a->seat.cfg);
    int rc = mem_reply_begin(a->store, a->chat.id, question, info->name, info->id, prov_config_hash_all(a->seat.cfg), json,
                             caption, &t->reply, err);
    mem_message_config from = { 0, t->begin ? (int64_t)strlen(t->begin) : 0, prov_config_hash_all(a->seat.cfg), json, caption, (char[]){ "" } };
    if (rc == Q_OK && t->begin)          /* the model's own words begin there */
        rc = mem_reply_config(a->store, t->reply, &from, err);
    t->said = prov_config_copy(a->seat.cfg);
    q_buf_puts(&t->caption, caption);
    free(caption);
    free(json);
    if (rc < 0)
        return rc;
    if ((t->elder && mem_reply_elder(a->store, t->reply, t->elder, err) < 0) || mem_elder_text(a->store, t->reply, &t->compare, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    if (found && (found->searched || found->n) && rag_log(a->store, t->reply, found, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    agt_event e = view_event(a->store, AGT_EV_BEGIN, t->reply);
    evq_push(&a->events, &e);
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.n_tokens = 0;
    a->shown.st.rate.decode = 0;
    a->shown.st.drafts.said = -1;
    turns_begin(&a->shown, t->reply);
    pthread_mutex_unlock(&a->shown.mu);
    modules_made(a, t->reply);
    t->trace = mem_trace_new(info->n_layer, info->n_expert ? prov_config_k(a->seat.cfg) : 1);
    t->saved_ns = q_now_ns();
    if (t->begin)
        generate_begin(t);
    return Q_OK;
}

static mem_stats stats_of(const prov_result *r)
{
    return (mem_stats){ .prompt_tokens = r->prompt_tokens, .cached_tokens = r->cached_tokens, .tokens = r->tokens, .prefill_s = r->prefill_s,
                        .decode_s = r->decode_s };
}

static int store_reply(const turn *t, enum mem_status status, const char *finish, const mem_trace *trace, char *err)
{
    mem_stats stats = stats_of(&t->so_far);
    return mem_reply_end(t->a->store, t->reply, status, finish, t->text.p ? t->text.p : "", t->text.len, t->think.p ? t->think.p : "",
                         t->think.len, &stats, trace, err);
}

/* What was said stays said: on the screen, and until the disk takes it. m: as the store has it, in part or not at all. */
static void keep_unstored(const turn *t, enum mem_status status, const char *finish, agt_message *m)
{
    mem_stats stats = stats_of(&t->so_far);
    unstored_keep(t->a, t->reply, status, finish, &t->text, &t->think, &stats);
    free(m->text);
    free(m->thinking);
    m->id = t->reply;
    m->role = AGT_ASSISTANT;
    m->state = view_state(status);
    m->text = q_strdup(t->text.p ? t->text.p : "");
    m->thinking = t->think.len ? q_strdup(t->think.p) : NULL;
    m->n_tokens = t->so_far.tokens;
    m->differs_at = -1;
}

/* Words do not hang on routing: where both cannot be stored, the words are. */
static void end(turn *t, enum mem_status status, const char *finish)
{
    agt *a = t->a;
    const prov_result *r = &t->so_far;
    char err[Q_ERRLEN];
    char why[Q_ERRLEN];
    int rc = Q_ERR;
    mem_trace *trace = prov_about(a->seat.who)->n_moe_layer ? t->trace : NULL;
    for (int attempt = 0; attempt < 4 && rc < 0; attempt++) {
        if (attempt)
            nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
        rc = store_reply(t, status, finish, trace, why);
    }
    if (rc < 0 && trace && (rc = store_reply(t, status, finish, NULL, err)) == Q_OK)
        note(&a->events, AGT_WARN, _("the answer is stored, its routing is not: %s"), why);
    if (rc < 0)
        note(&a->events, AGT_ERROR, _("the answer could not be stored; that is tried again with the next question and at the end: %s"), why);
    sync_mix(a);
    generate_progress(t);
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.thinking = false;
    turns_end(&a->shown, r->tokens);
    pthread_mutex_unlock(&a->shown.mu);
    chat_reload(a);
    agt_event done = view_event(a->store, AGT_EV_DONE, t->reply);
    if (rc < 0)
        keep_unstored(t, status, finish, done.message);
    done.rate = r->decode_s > 0 ? r->tokens / r->decode_s : 0;
    done.name = q_strdup(finish);
    done.message->n_thinking = r->thinking_tokens;
    evq_push(&a->events, &done);
    lab_watch_save(a->watch);
}

typedef struct asked {
    const rag_config *memory;
    int64_t elder;                       /* the sibling that it is made beside; 0: as it comes */
    uint64_t seed;                       /* 0: a new one */
    int64_t ticket;
    const char *begin;                   /* the answer goes on from it; NULL */
    const turn_again *again;             /* NULL: it is no /again */
} asked;

/* Answers the last message of a->chat.path; the ticket is given back when the reply has its row, or there is none.
 * False: no answer began. */
static bool answer(agt *a, const asked *how)
{
    char err[Q_ERRLEN];
    if (a->chat.path.n == 0)
        return false;
    const mem_message *q = &a->chat.path.v[a->chat.path.n - 1];
    int64_t question = q->id;
    if (!a->seat.who) {
        failed(a, question, a->seat.load_error ? a->seat.load_error : _("there is no model yet: run quorum model fetch, or give one with -m FILE"));
        return false;
    }
    agt_show_routing(a, 0);
    history_rest(&a->seat.past);
    costs_publish(a);
    past_drop(a);
    compact_before(a);
    turn t = { .a = a, .differs_at = -1, .elder = how->elder, .begin = how->begin };
    rag_result *found = NULL;
    prompt p = { .begin = how->begin };
    hub_start(a);
    char *asked_for = q_strndup(q->text, frame_question(q->text));
    modules_choose(a, asked_for);
    free(asked_for);
    search(a, *how->memory, &a->chat.path, how->again, &found);
    keep_why(a, found, question);        /* from here on the room's; this thread alone replaces it */
    t.seed = seed_for(a, how->seed);
    hub_gather(a);
    bool begun = prompt_build(a, &a->chat.path, found, &p, err) >= 0 && begin(&t, question, found, err) >= 0;
    if (begun)
        states_fed(&a->seat, found);
    waits_placed(a, how->ticket);
    if (!begun)
        failed(a, question, err);
    else {
        const char *finish;
        prov_request r = prompt_request(&p);
        r.seed = t.seed;
        t.made = origin_begin(a, &p, found, sync_policy(&a->settings) == PROV_RECOMPUTE);
        r.policy = a->seat.after_again ? PROV_RECOMPUTE : sync_policy(&a->settings);
        enum mem_status status = tooling_converse(&t, &p, &r, &finish, err);
        end(&t, status, finish);
    }
    prompt_free(&p);
    if (begun)
        compact_behind(a);
    if (!a->seat.home)
        modules_rest(a);
    cJSON_Delete(t.made);
    mem_trace_free(t.trace);
    free(t.token.ids);
    q_buf_free(&t.text);
    q_buf_free(&t.think);
    q_buf_free(&t.caption);
    free(t.compare);
    prov_config_free(t.said);
    return begun;
}

/* The prompt that this question would make, without asking it. */
static void show_prompt(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_messages path = { q_alloc(sizeof *path.v * (size_t)(a->chat.path.n + 1)), a->chat.path.n + 1 };
    for (int i = 0; i < path.n - 1; i++)
        path.v[i] = a->chat.path.v[i];
    char *with = NULL;
    int rc = resource_attach(a, j->text, &with, err);
    path.v[path.n - 1] = (mem_message){ .role = MEM_USER, .text = with ? with : j->text };
    rag_result *found = NULL;
    prompt p = { 0 };
    if (!a->seat.who || rc < 0)
        failed(a, 0, a->seat.who ? err : a->seat.load_error ? a->seat.load_error : _("there is no model yet: run quorum model fetch, or give one with -m FILE"));
    else {
        modules_choose(a, j->text);
        search(a, settings_rag(&a->settings), &path, NULL, &found);
        if (prompt_build(a, &path, found, &p, err) < 0)
            failed(a, 0, err);
        else {
            pthread_mutex_lock(&a->shown.mu);
            char *text = q_strdup(a->shown.prompt);
            pthread_mutex_unlock(&a->shown.mu);
            note_text(&a->events, "/prompt", text);
        }
    }
    rag_result_free(found);
    prompt_free(&p);
    free(path.v);
    free(with);
}

/* A question that could not be stored goes back to the composer: no accepted word is lost. */
static void give_back(agt *a, const char *text, const char *err)
{
    note(&a->events, AGT_ERROR, _("the question could not be stored: %s"), err);
    note_ui(&a->events, AGT_UI_EDIT, text);
}

/* Stores a question; 0 when that failed, and then it is back with the person. */
static int64_t store_question(agt *a, const char *text, int64_t parent, bool at_leaf)
{
    char err[Q_ERRLEN];
    int64_t id;
    if (!a->chat.id) {
        char *title = chat_title(text);
        int rc = mem_conversation_new(a->store, title, &a->chat.id, err);
        free(title);
        if (rc < 0) {
            give_back(a, text, err);
            return 0;
        }
        if (a->once && mem_conversation_once(a->store, a->chat.id, err) < 0)
            note(&a->events, AGT_WARN, "%s", err);
        pthread_mutex_lock(&a->shown.mu);
        a->shown.st.chat = a->chat.id;
        pthread_mutex_unlock(&a->shown.mu);
    } else if (a->chat.path.n == 0) {         /* made by /new TITLE or emptied: a title that is there stays */
        mem_conversation c = { 0 };
        if (mem_conversation_get(a->store, a->chat.id, &c, err) == Q_OK && !*c.title) {
            char *title = chat_title(text);
            mem_conversation_title(a->store, a->chat.id, title, err);
            free(title);
        }
        mem_conversation_free(&c);
    }
    if (at_leaf)
        parent = a->chat.path.n ? a->chat.path.v[a->chat.path.n - 1].id : 0;
    if (mem_message_add(a->store, a->chat.id, parent, MEM_USER, text, strlen(text), &id, err) < 0) {
        give_back(a, text, err);
        return 0;
    }
    chat_reload(a);
    return id;
}

static void send_question(agt *a, const char *text, int64_t parent, bool at_leaf, int64_t ticket)
{
    int64_t id = store_question(a, text, parent, at_leaf);
    waits_placed(a, ticket);
    if (!id)
        return;
    if (!at_leaf)                        /* the branch is another one now: shown up to the new question */
        chat_show(a, 0);
    agt_event sent = view_event(a->store, AGT_EV_SENT, id);
    evq_push(&a->events, &sent);
    rag_config c = settings_rag(&a->settings);
    answer(a, &(asked){ .memory = &c });
}

static void edit_job(agt *a, const job *j)
{
    const char *text = j->text;
    const mem_message *m = chat_message(a, j->id, MEM_USER);
    if (!m || m->role != MEM_USER) {
        give_back(a, text, _("there is no question here to edit"));
        waits_placed(a, j->number);
        return;
    }
    send_question(a, text, m->parent, false, j->number);
}

/* "experts.k=1 memory.on=off", or with commas between: engine assignments to c, memory's to r. */
static int assign(agt *a, const char *words, prov_config *c, rag_config *r, bool *forward, char *err)
{
    int rc = Q_OK;
    for (const char *p = words; *p && rc == Q_OK;) {
        while (is_blank(*p) || (*p == ',' && p > words))
            p++;
        size_t n = settings_length(&a->settings, p, strcspn(p, " \n\t"));
        n += n == 0 && *p == ',';        /* nothing before it */
        if (!n)
            break;
        char *w = q_strndup(p, n), *eq = strchr(w, '=');
        p += n;
        int k = -1;
        if (eq) {
            *eq = 0, k = settings_find(&a->settings, w), *eq = '=';
            char *whole = NULL;
            rc = lab_spec_lists(k < 0 ? NULL : a->settings.knob[k], w, &whole, err);
            free(w);
            if (rc)
                break;
            w = whole, eq = strchr(w, '='), *eq = 0;
        }
        if (!eq)
            rc = q_fail(err, Q_FORMAT, _("%s is not NAME=VALUE: write /again experts.k=1"), w);
        else if (k < 0)
            rc = q_fail(err, Q_NOTFOUND, _("there is no knob %s; /set lists them all"), w);
        else if (a->settings.room[k] == KNOB_RAG)
            rc = rag_config_set(r, a->settings.knob[k]->name, eq + 1, err);
        else if (a->settings.room[k] == KNOB_ENGINE) {
            rc = prov_config_set(c, a->settings.knob[k]->name, eq + 1, err);
            *forward |= a->settings.knob[k]->effect >= Q_EFFECT_ROUTING;
        } else
            rc = q_fail(err, Q_RANGE, _("%s does not act on an answer: /set changes it"), w);
        free(w);
    }
    return rc;
}

static uint64_t seed_of(const mem_message *m, agt *a)
{
    char err[Q_ERRLEN];
    if (!m->n_config || m->model_id != prov_about(a->seat.who)->id)
        return 0;
    prov_config *c = prov_config_new(a->seat.who);
    double seed = prov_config_from_json(c, m->config[0].json, err) == Q_OK ? prov_config_number(c, "sampler.seed") : 0;
    prov_config_free(c);
    return seed > 0 ? (uint64_t)seed : 0;
}

/* What was to be answered anew keeps the answer that it had. */
static void back_to(agt *a, int64_t leaf)
{
    char err[Q_ERRLEN];
    if (mem_conversation_leaf(a->store, a->chat.id, leaf, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    chat_reload(a);
    chat_show(a, 0);
}

/* The settings from before /again, if need be with an empty context; where even those are refused, what is in effect stays
 * and is called so. */
static void back_home(agt *a)
{
    char err[Q_ERRLEN];
    seat *s = &a->seat;
    if (prov_set(s->who, s->home, sync_policy(&a->settings), err) == Q_OK)
        return;
    prov_forget(s->who);
    if (prov_set(s->who, s->home, sync_policy(&a->settings), err) == Q_OK) {
        note(&a->events, AGT_WARN, _("the settings from before are back; that left no room for this answer: the next question brings its branch in anew"));
        return;
    }
    note(&a->events, AGT_ERROR, _("this answer's settings stay, those from before cannot be taken back: %s"), err);
    prov_config *was = s->home;
    s->home = s->cfg;
    s->cfg = was;                        /* the previous ones, for F9 */
}

/* The question of a message (0: the last): the answer's, or itself. *m: the answer; NULL: there is none yet. NULL: there is no question. */
static const mem_message *question_of(agt *a, int64_t message, const mem_message **m)
{
    const mem_message *last = a->chat.path.n ? &a->chat.path.v[a->chat.path.n - 1] : NULL, *at = chat_message(a, message, MEM_ASSISTANT);
    if (message == 0 && last && last->role == MEM_USER)
        at = last;                       /* a question that got no answer */
    *m = at && at->role != MEM_USER ? at : NULL;
    return *m ? chat_message(a, at->parent, MEM_USER) : at;
}

/* A sibling. With settings: the same seed as the elder, so that what differs comes from the settings, and the prompt is
 * evaluated under them alone (a comparison on cells of two configurations would compare neither). Without: a new seed. */
bool turn_answer_again(agt *a, int64_t message, const turn_again *h)
{
    const char *words = h->words;
    char err[Q_ERRLEN];
    const mem_message *m, *q = question_of(a, message, &m);
    if (!q || !a->seat.who) {
        note(&a->events, AGT_ERROR, "%s", !a->seat.who && a->seat.load_error ? a->seat.load_error : _("there is no answer yet that could be given again"));
        return false;
    }
    while (is_blank(*words))
        words++;
    bool forward = false;
    char *asked_for = q_strndup(q->text, frame_question(q->text));
    modules_choose(a, asked_for);     /* what the question switches on is what the settings go over */
    free(asked_for);
    prov_config *c = prov_config_copy(a->seat.cfg);
    rag_config r = settings_rag(&a->settings);       /* for this answer alone */
    if (assign(a, words, c, &r, &forward, err) < 0 || prov_set(a->seat.who, c, forward ? PROV_RECOMPUTE : sync_policy(&a->settings), err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        prov_config_free(c);
        modules_rest(a);
        return false;
    }
    int64_t leaf = a->chat.path.v[a->chat.path.n - 1].id;
    mem_message elder = { 0 };
    if (m && mem_message_get(a->store, m->id, &elder, err) < 0)
        memset(&elder, 0, sizeof elder);
    if (mem_conversation_leaf(a->store, a->chat.id, q->id, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    guard_say(a, a->seat.cfg, c);
    sync_say_crowded(a, a->seat.cfg, c);
    a->seat.home = a->seat.cfg;
    a->seat.cfg = c;
    history_turned(&a->seat.past, c);
    a->seat.after_again |= forward;
    sync_publish(a);
    chat_reload(a);
    chat_show(a, 0);
    asked how = { .memory = &r, .elder = elder.id, .seed = (*words || h->n_without) && elder.id ? seed_of(&elder, a) : 0, .ticket = h->ticket, .again = h };
    bool begun = answer(a, &how);
    if (!begun && elder.id)
        back_to(a, leaf);
    back_home(a);
    prov_config_free(a->seat.cfg);
    a->seat.cfg = a->seat.home;
    history_turned(&a->seat.past, a->seat.cfg);      /* F9 goes to what was tried, and back */
    a->seat.home = NULL;
    a->seat.after_again |= forward;
    modules_rest(a);
    sync_publish(a);
    mem_message_free(&elder);
    return begun;
}

/* Which question a message's new beginning answers, and beside which answer (0: it has none yet); on any branch. False: none. */
static bool amended(agt *a, int64_t message, int64_t *question, int64_t *elder)
{
    char err[Q_ERRLEN];
    const mem_message *m, *q = question_of(a, message, &m);
    mem_message there = { 0 };
    *question = q ? q->id : 0;
    *elder = q && m ? m->id : 0;
    if (!q && message && mem_message_get(a->store, message, &there, err) == Q_OK && there.conversation == a->chat.id && there.role == MEM_ASSISTANT) {
        *question = there.parent;
        *elder = message;
    }
    mem_message_free(&there);
    return *question != 0;
}

/* A sibling that begins with these words and goes on from there. Words that no answer came of are back with the person. */
static void amend(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t question, elder;
    bool begun = false, found = amended(a, j->id, &question, &elder);
    if (!found || !a->seat.who)
        note(&a->events, AGT_ERROR, "%s", !found ? _("there is no answer here that could be amended") :
             a->seat.load_error ? a->seat.load_error : _("there is no model yet: run quorum model fetch, or give one with -m FILE"));
    else {
        int64_t leaf = a->chat.path.v[a->chat.path.n - 1].id;
        rag_config memory = settings_rag(&a->settings);
        asked how = { .memory = &memory, .elder = elder, .ticket = j->number, .begin = j->text };
        if (mem_conversation_leaf(a->store, a->chat.id, question, err) < 0)
            note(&a->events, AGT_ERROR, "%s", err);
        chat_reload(a);
        chat_show(a, 0);
        begun = answer(a, &how);
        if (!begun && elder)
            back_to(a, leaf);
    }
    if (!begun)
        note_ui(&a->events, AGT_UI_AMEND, j->text);
    waits_placed(a, j->number);
}

/* Its turn did not come before the end: it stands beside the old one as if it had been stopped at its beginning. */
static void keep_amend(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t question, elder;
    if (amended(a, j->id, &question, &elder) && waits_stopped(a, a->chat.id, question, elder, j->text, err) == Q_OK)
        waits_placed(a, j->number);
}

static void again(agt *a, const job *j)
{
    turn_answer_again(a, j->id, &(turn_again){ .words = j->text, .ticket = j->number });
    waits_placed(a, j->number);          /* also where no answer came of it */
}

/* With the resources that it names beside it, unless id says that the words are no person's; where one cannot be had, the question is back with the person. */
static void send(agt *a, const job *j)
{
    char err[Q_ERRLEN], *with = NULL;
    int rc = j->id == SEND_AS_IT_IS ? Q_OK : resource_attach(a, j->text, &with, err);
    if (rc == Q_OK)
        send_question(a, with ? with : j->text, 0, true, j->number);
    else {
        note(&a->events, AGT_ERROR, "%s", rc == Q_CANCEL ? _("stopped") : err);
        note_ui(&a->events, AGT_UI_EDIT, j->text);
        waits_placed(a, j->number);
    }
    free(with);
}

/* Questions that were still waiting when the program ended: kept, to be answered by /again. */
static void keep(agt *a, const job *j)
{
    if (store_question(a, j->text, 0, true))
        waits_placed(a, j->number);
}

static void keep_edit(agt *a, const job *j)
{
    const mem_message *m = chat_message(a, j->id, MEM_USER);
    if (m && m->role == MEM_USER ? store_question(a, j->text, m->parent, false) : store_question(a, j->text, 0, true))
        waits_placed(a, j->number);
}

/* What an answer was to be asked for anew is said at the next start. */
static void keep_again(agt *a, const job *j)
{
    waits_again(a, j->text);
    waits_placed(a, j->number);
}

const job_row job_send = { .name = "send", .lane = LANE_ENGINE, .end = END_CARRIED, .answers = true, .run = send, .keep = keep };
const job_row job_edit = { .name = "edit", .lane = LANE_ENGINE, .end = END_CARRIED, .answers = true, .run = edit_job, .keep = keep_edit };
const job_row job_amend = { .name = "amend", .lane = LANE_ENGINE, .end = END_CARRIED, .answers = true, .run = amend, .keep = keep_amend };
const job_row job_prompt = { .name = "prompt", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = show_prompt };
const job_row job_again = { .name = "again", .lane = LANE_ENGINE, .end = END_KEPT, .answers = true, .run = again, .keep = keep_again };
