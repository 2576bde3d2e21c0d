/* agent/turn: one answer, from the question's durable storing to the reply's last row. Engine thread.
 * Between two tokens it looks at stop, pause, pace and edits, in that order; a token that was shown is never taken back.
 * It never decides what is shown: it pushes events. */
#include "agent/room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum part { PART_START, PART_THINK, PART_AFTER, PART_TEXT };

/* An answer repeats itself when its last repetitions of one period fill more than 256 tokens: 8 or more of 2 to 64 tokens
 * (words), 4 or more of 65 to 256 (paragraphs). */
enum { LOOP_PERIOD = 256, LOOP_SHORT = 64, LOOP_TIMES = 8, LOOP_TIMES_LONG = 4, LOOP_TOKENS = 256 };

typedef struct turn {
    agt *a;
    int64_t reply;
    uint64_t seed;
    q_buf text, think, pending;          /* shown; thought; held back until it is clear what it is */
    q_buf out_text, out_think;           /* of the token at hand */
    enum part part;
    eng_detok detok;
    mem_trace *trace;
    int n, n_think;
    mem_stats stats;
    const char *compare;                 /* text of the sibling to compare with, or NULL */
    int differs_at;
    bool hit_stop;
    int32_t tail[LOOP_PERIOD];           /* the last tokens, a ring */
    int same[LOOP_PERIOD + 1];           /* [p] how many tokens on end equalled the one p before */
    int64_t saved_ns, last_ns;
} turn;

/* ---- text: thinking, stop strings ---- */
static void drop(q_buf *b, size_t n)
{
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
    b->p[b->len] = 0;
}

static bool space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/* Bytes at the end of b that could still become word. */
static size_t held(const q_buf *b, const char *word)
{
    size_t max = strlen(word) - 1;
    for (size_t n = b->len < max ? b->len : max; n > 0; n--)
        if (memcmp(b->p + b->len - n, word, n) == 0)
            return n;
    return 0;
}

static void sort_out(turn *t, bool end)
{
    static const char open[] = "<think>", close[] = "</think>";
    q_buf *b = &t->pending;
    if (!b->p)
        return;
    if (t->part == PART_START) {
        size_t i = 0;
        while (i < b->len && space(b->p[i]))
            i++;
        size_t n = b->len - i, w = sizeof open - 1;
        if (n >= w && memcmp(b->p + i, open, w) == 0) {
            drop(b, i + w);
            t->part = PART_THINK;
        } else if (!end && (n == 0 || (n < w && memcmp(b->p + i, open, n) == 0)))
            return;
        else {
            if (!t->a->base)
                drop(b, i);
            t->part = PART_TEXT;
        }
    }
    if (t->part == PART_THINK) {
        char *at = memmem(b->p, b->len, close, sizeof close - 1);
        size_t n = at ? (size_t)(at - b->p) : end ? b->len : b->len - held(b, close);
        q_buf_add(&t->out_think, b->p, n);
        drop(b, n + (at ? sizeof close - 1 : 0));
        if (!at)
            return;
        t->part = PART_AFTER;
    }
    if (t->part == PART_AFTER) {
        size_t i = 0;
        while (i < b->len && space(b->p[i]))
            i++;
        drop(b, i);
        if (b->len)
            t->part = PART_TEXT;
    }
    if (t->part == PART_TEXT && b->len) {
        long r = eng_stop_scan(t->a->cfg, b->p, b->len);
        size_t n = r < 0 ? (size_t)(-1 - r) : end ? b->len : b->len - (size_t)r;
        q_buf_add(&t->out_text, b->p, n);
        drop(b, n);
        t->hit_stop = r < 0;
    }
}

static void emit(turn *t, const eng_choice *c)
{
    agt *a = t->a;
    if (t->out_think.len || (t->part == PART_THINK && c)) {
        q_buf_add(&t->think, t->out_think.p, t->out_think.len);
        agt_event e = { .kind = AGT_EV_TOKEN, .text = q_strndup(t->out_think.p ? t->out_think.p : "", t->out_think.len), .thinking = true,
                        .number = t->n, .token = c ? c->token : -1, .logprob = c ? (double)c->logprob : 0, .id = t->reply };
        evq_push(&a->q, &e);
        q_buf_clear(&t->out_think);
        if (!t->out_text.len)
            return;
    }
    if (!c && !t->out_text.len)
        return;
    bool differs = false;
    size_t n = t->out_text.len, at = t->text.len;
    if (t->compare && t->differs_at < 0 && n) {
        size_t i = 0;
        while (i < n && t->compare[at + i] == t->out_text.p[i] && t->compare[at + i])
            i++;
        if (i < n) {
            differs = true;
            t->differs_at = (int)at;
        }
    }
    q_buf_add(&t->text, t->out_text.p ? t->out_text.p : "", n);
    agt_event e = { .kind = AGT_EV_TOKEN, .text = q_strndup(t->out_text.p ? t->out_text.p : "", n), .number = t->n, .differs = differs,
                    .token = c ? c->token : -1, .logprob = c ? (double)c->logprob : 0, .id = t->reply };
    evq_push(&a->q, &e);
    q_buf_clear(&t->out_text);
}

static void one_token(turn *t, const eng_choice *c)
{
    agt *a = t->a;
    const char *name = eng_token_control(a->model, c->token) ? eng_token_name(a->model, c->token) : NULL;
    t->n++;
    if (name && (strcmp(name, "<think>") == 0 || strcmp(name, "</think>") == 0))
        q_buf_puts(&t->pending, name);
    else
        eng_detok_add(a->model, &t->detok, c->token, &t->pending);
    enum part before = t->part;
    sort_out(t, false);
    if (before == PART_THINK || t->part == PART_THINK)
        t->n_think++;
    emit(t, c);
}

/* ---- between two tokens ---- */
static double pace(agt *a)
{
    const char *v = setting_locked(a, "ui.pace");
    return v ? strtod(v, NULL) : 0;
}

/* Waits while paused and as the pace asks; applies edits whenever they come. False: stop. */
static bool between(turn *t, bool *resync)
{
    agt *a = t->a;
    for (;;) {
        pthread_mutex_lock(&a->mu);
        bool edits = false, stop = false;
        for (;;) {
            stop = atomic_load(&a->stop) || a->quit;
            edits = a->edits != NULL;
            if (stop || edits)
                break;
            if (a->paused) {
                if (a->steps > 0) {
                    a->steps--;
                    break;
                }
                pthread_cond_wait(&a->work, &a->mu);
                continue;
            }
            double p = pace(a);
            int64_t due = p > 0 ? t->last_ns + (int64_t)(1e9 / p) : 0;
            if (q_now_ns() >= due)
                break;
            struct timespec ts = { .tv_sec = due / 1000000000, .tv_nsec = due % 1000000000 };
            pthread_cond_timedwait(&a->work, &a->mu, &ts);
        }
        pthread_mutex_unlock(&a->mu);
        if (stop)
            return false;
        if (!edits) {
            t->last_ns = q_now_ns();
            return true;
        }
        worker_apply_edits(a, t->n, resync);
    }
}

/* Counts token number t->n; true when it closes a loop. */
static bool loops(turn *t, int32_t token)
{
    int at = t->n - 1;
    bool loop = false;
    for (int p = 2; p <= LOOP_PERIOD && p <= at; p++) {
        t->same[p] = t->tail[(at - p) % LOOP_PERIOD] == token ? t->same[p] + 1 : 0;
        int run = t->same[p] + p;
        loop |= run >= (p <= LOOP_SHORT ? LOOP_TIMES : LOOP_TIMES_LONG) * p && run > LOOP_TOKENS;
    }
    t->tail[at % LOOP_PERIOD] = token;
    return loop;
}

/* Small models get caught; a large one that repeats itself has mostly been asked to. */
static bool loop_guard(agt *a)
{
    q_buf b = { 0 };
    const char *v = knobs_agent_value(a, "sampler.loop_stop", &b);
    const eng_info *info = eng_model_info(a->model);
    bool on = strcmp(v, "on") == 0 || (strcmp(v, "auto") == 0 && (info->carved || info->params < 3000000000u));
    q_buf_free(&b);
    return on;
}

static char *config_json(const turn *t)
{
    char seed[32], err[Q_ERRLEN];
    eng_config *c = eng_config_copy(t->a->cfg);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->seed);
    eng_config_set(c, "sampler.seed", seed, err);
    char *json = eng_config_json(c);
    eng_config_free(c);
    return json;
}

static void note_config(turn *t)
{
    agt *a = t->a;
    char label[64], err[Q_ERRLEN], *json = config_json(t);
    worker_label(a, a->cfg, label, sizeof label);
    if (mem_reply_config(a->store, t->reply, t->n, eng_config_hash_all(a->cfg), json, label, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    free(json);
}

/* By the clerk: a commit waits for the disk, and tokens should not. mem_reply_end settles whatever comes late. */
static void save(turn *t)
{
    room_post(t->a, JOB_SAVE, t->reply, 0, t->text.p ? t->text.p : "", t->think.p ? t->think.p : "");
    t->saved_ns = q_now_ns();
}

static void progress(turn *t)
{
    agt *a = t->a;
    pthread_mutex_lock(&a->mu);
    a->st.n_tokens = t->n;
    a->st.thinking = t->part == PART_THINK;
    a->st.ctx_used = eng_session_length(a->session);
    a->st.decode_rate = t->stats.decode_s > 0 ? t->n / t->stats.decode_s : 0;
    pthread_mutex_unlock(&a->mu);
    if (t->n % 32 == 0)
        worker_mix(a);
}

/* Tokens until an end, a stop string, a limit or a person's wish. finish: one word for the store, "" = by itself. */
static enum mem_status generate(turn *t, const char **finish, char *err)
{
    agt *a = t->a;
    q_buf b = { 0 };
    *finish = "";
    for (;;) {
        bool resync = false;
        if (!between(t, &resync)) {
            *finish = "stopped";
            break;
        }
        if (a->config_changed) {
            a->config_changed = false;
            note_config(t);
        }
        if (resync) {
            int rc = worker_sync(a, &a->timeline, err);
            if (rc == Q_CANCEL) {
                *finish = "stopped";
                break;
            }
            if (rc < 0)
                return MEM_FAILED;
        }
        if (eng_session_room(a->session) < 1) {
            room_note(a, AGT_WARN, _("the answer reached the end of the context: /set context.length gives more room, or ask to go on"));
            *finish = "context";
            break;
        }
        int64_t from = q_now_ns();
        const float *logits = eng_session_logits(a->session);
        if (!logits) {
            q_fail(err, Q_ERR, _("the session lost its place: send the question again"));
            return MEM_FAILED;
        }
        eng_choice c = eng_sample(a->sampler, a->cfg, logits);
        if (eng_token_end(a->model, c.token))
            break;
        eng_sampler_accept(a->sampler, c.token);
        one_token(t, &c);
        bool loop = loops(t, c.token);
        if (t->hit_stop) {
            *finish = "stop string";
            break;
        }
        int rc = eng_session_push(a->session, c.token, err);
        if (rc == Q_OK)
            eng_tokens_add(&a->timeline, c.token);
        t->stats.decode_s += (double)(q_now_ns() - from) / 1e9;
        routing_live(a, t->trace);
        progress(t);
        if (rc == Q_CANCEL) {
            *finish = "stopped";
            break;
        }
        if (rc < 0)
            return MEM_FAILED;
        if (loop && loop_guard(a)) {
            room_note(a, AGT_WARN, ngettext("the answer repeats itself; stopped after %d token; sampler.repeat_penalty or more experts help",
                                            "the answer repeats itself; stopped after %d tokens; sampler.repeat_penalty or more experts help", (unsigned long)t->n), t->n);
            *finish = "loop";
            break;
        }
        int max = atoi(eng_config_get(a->cfg, "sampler.max_tokens", &b));
        if (max > 0 && t->n >= max) {
            *finish = "max_tokens";
            break;
        }
        if (q_now_ns() - t->saved_ns > 800000000)
            save(t);
    }
    q_buf_free(&b);
    if (!t->hit_stop) {
        eng_detok_end(&t->detok, &t->pending);
        sort_out(t, true);
        emit(t, NULL);
    }
    return strcmp(*finish, "stopped") == 0 ? MEM_STOPPED : MEM_DONE;
}

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

/* The model may be told to open with a think block: then the reply starts inside it. */
static enum part start_part(agt *a)
{
    int from = a->timeline.n > 8 ? a->timeline.n - 8 : 0;
    enum part p = PART_START;
    for (int i = from; i < a->timeline.n; i++) {
        const char *name = eng_token_name(a->model, a->timeline.id[i]);
        if (!name)
            continue;
        if (strcmp(name, "<think>") == 0)
            p = PART_THINK;
        else if (strcmp(name, "</think>") == 0 || strstr(name, "im_start"))
            p = PART_START;
    }
    return p;
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
    char label[64], *json = config_json(&t);
    int rc = mem_reply_begin(a->store, a->chat, question, info->name, info->id, eng_config_hash_all(a->cfg), json,
                             worker_label(a, a->cfg, label, sizeof label), &t.reply, err);
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
    routing_live(a, NULL);               /* what was evaluated before belongs to no answer */
    rc = atomic_load(&a->stop) ? Q_CANCEL : worker_sync(a, &a->timeline, err);
    routing_live(a, NULL);
    t.stats.prefill_s = (double)(q_now_ns() - from) / 1e9;
    t.saved_ns = q_now_ns();
    t.part = start_part(a);
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
    worker_mix(a);
    progress(&t);
    pthread_mutex_lock(&a->mu);
    a->st.thinking = false;
    pthread_mutex_unlock(&a->mu);
    worker_reload_path(a);
    agt_event done = with_message(a, AGT_EV_DONE, t.reply);
    done.rate = t.stats.decode_s > 0 ? t.n / t.stats.decode_s : 0;
    done.name = q_strdup(finish);
    done.message->n_thinking = t.n_think;
    if (t.differs_at >= 0)
        done.message->differs_at = t.differs_at;
    evq_push(&a->q, &done);
    usual_save(a);
    mem_trace_free(t.trace);
    q_buf_free(&t.text);
    q_buf_free(&t.think);
    q_buf_free(&t.pending);
    q_buf_free(&t.out_text);
    q_buf_free(&t.out_think);
}

/* The first words of the first question, whole, at most about 60 bytes. */
char *turn_title(const char *text)
{
    while (space(*text))
        text++;
    size_t n = strcspn(text, "\n");
    if (n > 60) {
        size_t cut = 60;
        while (cut > 30 && text[cut] != ' ')
            cut--;
        cut = text[cut] == ' ' ? cut : q_utf8_whole(text, 60);
        return q_printf("%.*s…", (int)cut, text);
    }
    return q_strndup(text, n);
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
        char *title = turn_title(text);
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
            char *title = turn_title(text);
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
    worker_reload_path(a);
    return id;
}

void turn_send(agt *a, const char *text, int64_t parent, bool at_leaf, int64_t ticket)
{
    int64_t id = turn_store(a, text, parent, at_leaf);
    pending_placed(a, ticket);
    if (!id)
        return;
    if (!at_leaf)                        /* the branch is another one now: shown up to the new question */
        worker_emit_opened(a);
    agt_event sent = with_message(a, AGT_EV_SENT, id);
    evq_push(&a->q, &sent);
    answer(a, NULL, 0);
}

static const mem_message *find(agt *a, int64_t id, enum mem_role role)
{
    for (int i = a->path.n - 1; i >= 0; i--)
        if (id ? a->path.v[i].id == id : a->path.v[i].role == role)
            return &a->path.v[i];
    return NULL;
}

void turn_edit(agt *a, int64_t message, const char *text, int64_t ticket)
{
    const mem_message *m = find(a, message, MEM_USER);
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
        while (space(*p))
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
    const mem_message *m = find(a, message, MEM_ASSISTANT), *q = NULL;
    if (message == 0 && a->path.n && a->path.v[a->path.n - 1].role == MEM_USER) {
        q = &a->path.v[a->path.n - 1];   /* a question that got no answer */
        m = NULL;
    } else if (m && m->role == MEM_USER)
        q = m, m = NULL;
    else if (m)
        q = find(a, m->parent, MEM_USER);
    if (!q || !a->session) {
        room_note(a, AGT_ERROR, "%s", !a->session && a->load_error ? a->load_error : _("there is no answer yet that could be given again"));
        return;
    }
    while (space(*words))
        words++;
    bool forward = false;
    eng_config *c = eng_config_copy(a->cfg);
    pthread_mutex_lock(&a->mu);
    rag_config keep = a->rag, r = a->rag;
    pthread_mutex_unlock(&a->mu);
    if (assign(a, words, c, &r, &forward, err) < 0 || eng_session_config(a->session, c, forward ? ENG_RECOMPUTE : worker_policy(a), err) < 0) {
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
    worker_publish(a);
    worker_reload_path(a);
    worker_emit_opened(a);
    answer(a, elder.id ? &elder : NULL, *words && elder.id ? seed_of(&elder, a) : 0);

    pthread_mutex_lock(&a->mu);
    a->rag = keep;
    pthread_mutex_unlock(&a->mu);
    if (eng_session_config(a->session, a->home, worker_policy(a), err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    eng_config_free(a->cfg);
    a->cfg = a->home;
    a->home = NULL;
    a->after_again |= forward;
    worker_publish(a);
    mem_message_free(&elder);
}
