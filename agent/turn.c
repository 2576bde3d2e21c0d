/* agent/turn: one answer, from the question's durable storing to the reply's last row. Engine thread.
 * It never decides what is shown: it pushes events. */
#include "agent/generate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ---- the pieces around it ---- */
static void search(agt *a, const mem_message *q, rag_result **out)
{
    char err[Q_ERRLEN];
    *out = NULL;
    if (a->base)
        return;
    pthread_mutex_lock(&a->mu);
    rag_config c = a->rag;
    pthread_mutex_unlock(&a->mu);
    rag_scope scope = { a->chat, prompt_room_for_passages(a, q->text), prompt_count, a->model };
    size_t own = prompt_question(q->text), all = strlen(q->text);
    char *question = q_strndup(q->text, own);
    int rc = rag_search(a->store, &c, question, &scope, out, err);
    free(question);
    if (rc == Q_OK && own < all) {       /* the text beside it gets what the question left */
        rag_result *more;
        c.max_passages -= (*out)->n_fed;
        c.budget -= (*out)->fed_tokens;
        scope.budget = scope.budget < 0 ? scope.budget : scope.budget - (*out)->fed_tokens;
        scope.budget = scope.budget < 0 ? 0 : scope.budget;
        if (c.max_passages > 0 && c.budget > 0 && (rc = rag_search(a->store, &c, q->text + own, &scope, &more, err)) == Q_OK)
            rag_join(*out, more);
    }
    if (rc < 0) {
        room_note(a, AGT_WARN, _("memory could not be searched: %s"), err);
        rag_result_free(*out);
        *out = NULL;
        return;
    }
    agt_event e = { .kind = AGT_EV_RETRIEVAL, .id = q->id, .retrieval = view_result(*out) };
    evq_push(&a->q, &e);
}

static void keep_why(agt *a, rag_result *r, int64_t message)
{
    pthread_mutex_lock(&a->mu);
    rag_result *old = a->why;
    a->why = r;
    a->why_message = message;
    pthread_mutex_unlock(&a->mu);
    rag_result_free(old);
}

static void failed(agt *a, int64_t question, const char *err)
{
    room_note(a, AGT_ERROR, "%s", err);
    agt_event e = { .kind = AGT_EV_DONE, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->parent = question;
    e.message->role = AGT_ASSISTANT;
    e.message->state = AGT_FAILED;
    e.message->text = q_strdup("");
    e.message->differs_at = -1;
    evq_push(&a->q, &e);
}

static agt_event with_message(agt *a, enum agt_event_kind kind, int64_t id)
{
    char err[Q_ERRLEN];
    agt_event e = { .kind = kind, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    mem_message m = { 0 };
    if (mem_message_get(a->store, id, &m, err) == Q_OK)
        view_message(a, &m, e.message);
    else
        e.message->text = q_strdup("");
    mem_message_free(&m);
    return e;
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
    q_buf b = { 0 };
    uint64_t own = strtoull(eng_config_get(a->cfg, "sampler.seed", &b), NULL, 10);
    q_buf_free(&b);
    return own ? own : wanted ? wanted : new_seed();
}

/* Answers the last message of a->path. */
static void answer(agt *a, const mem_message *compare, uint64_t seed)
{
    char err[Q_ERRLEN];
    if (a->path.n == 0)
        return;
    const mem_message *q = &a->path.v[a->path.n - 1];
    int64_t question = q->id;
    if (!a->session) {
        failed(a, question, a->load_error ? a->load_error : _("there is no model yet: run quorum model fetch, or give one with -m FILE"));
        return;
    }
    agt_show_routing(a, 0);
    turn t = { .a = a, .differs_at = -1, .compare = compare ? compare->text : NULL };
    rag_result *found = NULL;
    eng_tokens prompt = { 0 };
    const eng_info *info = eng_model_info(a->model);
    search(a, q, &found);
    keep_why(a, found, question);        /* from here on the room's; this thread alone replaces it */
    if (prompt_build(a, &a->path, found, &prompt, err) < 0) {
        failed(a, question, err);
        eng_tokens_free(&prompt);
        return;
    }
    t.seed = seed_for(a, seed);
    char label[64], *json = generate_config(&t);
    int rc = mem_reply_begin(a->store, a->chat, question, info->name, info->id, eng_config_hash_all(a->cfg), json,
                             sync_label(a, a->cfg, label, sizeof label), &t.reply, err);
    free(json);
    if (rc < 0) {
        failed(a, question, err);
        eng_tokens_free(&prompt);
        return;
    }
    if (found && found->searched && rag_log(a->store, t.reply, found, err) < 0)
        room_note(a, AGT_WARN, "%s", err);
    agt_event begin = with_message(a, AGT_EV_BEGIN, t.reply);
    evq_push(&a->q, &begin);

    eng_tokens_free(&a->timeline);
    a->timeline = prompt;
    t.stats.prompt_tokens = prompt.n;
    pthread_mutex_lock(&a->mu);
    a->st.n_tokens = 0;
    a->st.decode_rate = 0;
    pthread_mutex_unlock(&a->mu);

    const int32_t *had = eng_session_tokens(a->session);
    int len = eng_session_length(a->session), same = 0;
    while (had && same < len && same < prompt.n && had[same] == prompt.id[same])
        same++;
    t.stats.cached_tokens = same;
    t.trace = mem_trace_new(info->n_layer, info->n_expert ? eng_config_k(a->cfg) : 1);

    char seed_text[32];
    eng_config *seeded = eng_config_copy(a->cfg);
    snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)t.seed);
    eng_config_set(seeded, "sampler.seed", seed_text, err);
    eng_sampler_reset(a->sampler, seeded);
    eng_config_free(seeded);
    for (int i = 0; i < prompt.n; i++)
        eng_sampler_accept(a->sampler, prompt.id[i]);

    const char *finish = "";
    enum mem_status status;
    int64_t from = q_now_ns();
    a->config_changed = false;
    watch_feed(a, NULL);               /* what was evaluated before belongs to no answer */
    rc = atomic_load(&a->stop) ? Q_CANCEL : sync_tokens(a, &a->timeline, err);
    watch_feed(a, NULL);
    t.stats.prefill_s = (double)(q_now_ns() - from) / 1e9;
    t.saved_ns = q_now_ns();
    t.part = generate_start(a);
    if (rc == Q_CANCEL) {
        status = MEM_STOPPED;
        finish = "stopped";
    } else if (rc < 0)
        status = MEM_FAILED;
    else
        status = generate(&t, &finish, err);
    if (status == MEM_FAILED) {
        room_note(a, AGT_ERROR, "%s", err);
        finish = err;
    }

    char why[Q_ERRLEN];
    t.stats.tokens = t.n;
    for (int attempt = 0;; attempt++) {
        rc = mem_reply_end(a->store, t.reply, status, finish, t.text.p ? t.text.p : "", t.text.len, t.think.p ? t.think.p : "",
                           t.think.len, &t.stats, info->n_moe_layer ? t.trace : NULL, why);
        if (rc == Q_OK || attempt == 3)
            break;
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
    }
    if (rc < 0)
        room_note(a, AGT_ERROR, _("the answer could not be stored: %s"), why);
    sync_mix(a);
    generate_progress(&t);
    pthread_mutex_lock(&a->mu);
    a->st.thinking = false;
    pthread_mutex_unlock(&a->mu);
    chat_reload(a);
    agt_event done = with_message(a, AGT_EV_DONE, t.reply);
    done.rate = t.stats.decode_s > 0 ? t.n / t.stats.decode_s : 0;
    done.name = q_strdup(finish);
    done.message->n_thinking = t.n_think;
    if (t.differs_at >= 0)
        done.message->differs_at = t.differs_at;
    evq_push(&a->q, &done);
    lab_watch_save(a->watch);
    mem_trace_free(t.trace);
    q_buf_free(&t.text);
    q_buf_free(&t.think);
    q_buf_free(&t.pending);
    q_buf_free(&t.out_text);
    q_buf_free(&t.out_think);
}

/* A question that could not be stored goes back to the composer: no accepted word is lost. */
static void give_back(agt *a, const char *text, const char *err)
{
    room_note(a, AGT_ERROR, _("the question could not be stored: %s"), err);
    room_ui(a, AGT_UI_EDIT, text);
}

/* Stores a question; 0 when that failed, and then it is back with the person. */
int64_t turn_store(agt *a, const char *text, int64_t parent, bool at_leaf)
{
    char err[Q_ERRLEN];
    int64_t id;
    if (!a->chat) {
        char *title = chat_title(text);
        int rc = mem_conversation_new(a->store, title, &a->chat, err);
        free(title);
        if (rc < 0) {
            give_back(a, text, err);
            return 0;
        }
        if (a->once && mem_conversation_once(a->store, a->chat, err) < 0)
            room_note(a, AGT_WARN, "%s", err);
        pthread_mutex_lock(&a->mu);
        a->st.chat = a->chat;
        pthread_mutex_unlock(&a->mu);
    } else if (a->path.n == 0) {         /* made by /new TITLE or emptied: a title that is there stays */
        mem_conversation c = { 0 };
        if (mem_conversation_get(a->store, a->chat, &c, err) == Q_OK && !*c.title) {
            char *title = chat_title(text);
            mem_conversation_title(a->store, a->chat, title, err);
            free(title);
        }
        mem_conversation_free(&c);
    }
    if (at_leaf)
        parent = a->path.n ? a->path.v[a->path.n - 1].id : 0;
    if (mem_message_add(a->store, a->chat, parent, MEM_USER, text, strlen(text), &id, err) < 0) {
        give_back(a, text, err);
        return 0;
    }
    chat_reload(a);
    return id;
}

void turn_send(agt *a, const char *text, int64_t parent, bool at_leaf, int64_t ticket)
{
    int64_t id = turn_store(a, text, parent, at_leaf);
    pending_placed(a, ticket);
    if (!id)
        return;
    if (!at_leaf)                        /* the branch is another one now: shown up to the new question */
        chat_show(a);
    agt_event sent = with_message(a, AGT_EV_SENT, id);
    evq_push(&a->q, &sent);
    answer(a, NULL, 0);
}

void turn_edit(agt *a, int64_t message, const char *text, int64_t ticket)
{
    const mem_message *m = chat_message(a, message, MEM_USER);
    if (!m || m->role != MEM_USER) {
        give_back(a, text, _("there is no question here to edit"));
        pending_placed(a, ticket);
        return;
    }
    turn_send(a, text, m->parent, false, ticket);
}

/* "experts.k=1 memory.on=off": engine assignments to c, memory's to r. */
static int assign(agt *a, const char *words, eng_config *c, rag_config *r, bool *forward, char *err)
{
    int rc = Q_OK;
    for (const char *p = words; *p && rc == Q_OK;) {
        while (is_blank(*p))
            p++;
        size_t n = strcspn(p, " \n\t");
        if (!n)
            break;
        char *w = q_strndup(p, n), *eq = strchr(w, '=');
        p += n;
        int k = -1;
        if (eq)
            *eq = 0, k = knobs_find(a, w);
        if (!eq)
            rc = q_fail(err, Q_FORMAT, _("%s is not NAME=VALUE: write /again experts.k=1"), w);
        else if (k < 0)
            rc = q_fail(err, Q_NOTFOUND, _("there is no knob %s; /set lists them all"), w);
        else if (a->knob_room[k] == KNOB_RAG)
            rc = rag_config_set(r, a->knob[k]->name, eq + 1, err);
        else if (a->knob_room[k] == KNOB_ENGINE) {
            rc = eng_config_set(c, a->knob[k]->name, eq + 1, err);
            *forward |= a->knob[k]->effect >= Q_EFFECT_ROUTING;
        } else
            rc = q_fail(err, Q_RANGE, _("%s does not act on an answer: /set changes it"), w);
        free(w);
    }
    return rc;
}

static uint64_t seed_of(const mem_message *m, agt *a)
{
    char err[Q_ERRLEN];
    if (!m->n_config || m->model_id != eng_model_info(a->model)->id)
        return 0;
    eng_config *c = eng_config_new(a->model);
    q_buf b = { 0 };
    uint64_t seed = 0;
    if (eng_config_from_json(c, m->config[0].json, err) == Q_OK)
        seed = strtoull(eng_config_get(c, "sampler.seed", &b), NULL, 10);
    q_buf_free(&b);
    eng_config_free(c);
    return seed;
}

/* A sibling. With settings: the same seed as the elder, so that what differs comes from the settings, and the prompt is
 * evaluated under them alone (a comparison on cells of two configurations would compare neither). Without: a new seed. */
void turn_again(agt *a, int64_t message, const char *words)
{
    char err[Q_ERRLEN];
    const mem_message *m = chat_message(a, message, MEM_ASSISTANT), *q = NULL;
    if (message == 0 && a->path.n && a->path.v[a->path.n - 1].role == MEM_USER) {
        q = &a->path.v[a->path.n - 1];   /* a question that got no answer */
        m = NULL;
    } else if (m && m->role == MEM_USER)
        q = m, m = NULL;
    else if (m)
        q = chat_message(a, m->parent, MEM_USER);
    if (!q || !a->session) {
        room_note(a, AGT_ERROR, "%s", !a->session && a->load_error ? a->load_error : _("there is no answer yet that could be given again"));
        return;
    }
    while (is_blank(*words))
        words++;
    bool forward = false;
    eng_config *c = eng_config_copy(a->cfg);
    pthread_mutex_lock(&a->mu);
    rag_config keep = a->rag, r = a->rag;
    pthread_mutex_unlock(&a->mu);
    if (assign(a, words, c, &r, &forward, err) < 0 || eng_session_config(a->session, c, forward ? ENG_RECOMPUTE : sync_policy(a), err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        eng_config_free(c);
        return;
    }
    mem_message elder = { 0 };
    if (m && mem_message_get(a->store, m->id, &elder, err) < 0)
        memset(&elder, 0, sizeof elder);
    if (mem_conversation_leaf(a->store, a->chat, q->id, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    pthread_mutex_lock(&a->mu);
    a->rag = r;
    pthread_mutex_unlock(&a->mu);
    a->home = a->cfg;
    a->cfg = c;
    a->after_again |= forward;
    sync_publish(a);
    chat_reload(a);
    chat_show(a);
    answer(a, elder.id ? &elder : NULL, *words && elder.id ? seed_of(&elder, a) : 0);

    pthread_mutex_lock(&a->mu);
    a->rag = keep;
    pthread_mutex_unlock(&a->mu);
    if (eng_session_config(a->session, a->home, sync_policy(a), err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    eng_config_free(a->cfg);
    a->cfg = a->home;
    a->home = NULL;
    a->after_again |= forward;
    sync_publish(a);
    mem_message_free(&elder);
}
