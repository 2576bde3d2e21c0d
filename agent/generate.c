/* agent/generate: the loop from one token to the next, and what of them is text, thinking or a stop string. Engine thread.
 * Between two tokens it looks at stop, pause, pace and edits, in that order; a token that was shown is never taken back. */
#include "agent/errands.h"
#include "agent/generate.h"
#include "agent/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- text: thinking, stop strings ---- */
static void drop(q_buf *b, size_t n)
{
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
    b->p[b->len] = 0;
}

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
        while (i < b->len && is_blank(b->p[i]))
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
        while (i < b->len && is_blank(b->p[i]))
            i++;
        drop(b, i);
        if (b->len)
            t->part = PART_TEXT;
    }
    if (t->part == PART_TEXT && b->len) {
        long r = eng_stop_scan(t->a->seat.cfg, b->p, b->len);
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
        evq_push(&a->events, &e);
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
    evq_push(&a->events, &e);
    q_buf_clear(&t->out_text);
}

static void one_token(turn *t, const eng_choice *c)
{
    agt *a = t->a;
    const char *name = eng_token_control(a->seat.model, c->token) ? eng_token_name(a->seat.model, c->token) : NULL;
    t->n++;
    if (name && (strcmp(name, "<think>") == 0 || strcmp(name, "</think>") == 0))
        q_buf_puts(&t->pending, name);
    else
        eng_detok_add(a->seat.model, &t->detok, c->token, &t->pending);
    enum part before = t->part;
    sort_out(t, false);
    if (before == PART_THINK || t->part == PART_THINK)
        t->n_think++;
    emit(t, c);
}

/* ---- between two tokens ---- */
/* Waits while paused and as the pace asks; applies edits whenever they come. False: stop. */
static bool between(turn *t, bool *resync)
{
    agt *a = t->a;
    for (enum desk_go go; (go = desk_between(&a->desk, t->last_ns)) != DESK_GO;) {
        if (go == DESK_STOP)
            return false;
        edits_apply(a, t->n, resync);
    }
    t->last_ns = q_now_ns();
    return true;
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
    const char *v = settings_value(&a->settings, "sampler.loop_stop", &b);
    const eng_info *info = eng_model_info(a->seat.model);
    bool on = strcmp(v, "on") == 0 || (strcmp(v, "auto") == 0 && (info->carved || info->params < 3000000000u));
    q_buf_free(&b);
    return on;
}

char *generate_config(const turn *t)
{
    char seed[32], err[Q_ERRLEN];
    eng_config *c = eng_config_copy(t->a->seat.cfg);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->seed);
    eng_config_set(c, "sampler.seed", seed, err);
    char *json = eng_config_json(c);
    eng_config_free(c);
    return json;
}

static void note_config(turn *t)
{
    agt *a = t->a;
    char label[64], err[Q_ERRLEN], *json = generate_config(t);
    sync_label(a->seat.cfg, label, sizeof label);
    if (mem_reply_config(a->store, t->reply, t->n, eng_config_hash_all(a->seat.cfg), json, label, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    free(json);
}

/* By the clerk: a commit waits for the disk, and tokens should not. mem_reply_end settles whatever comes late. */
static void save(turn *t)
{
    desk_post(&t->a->desk, &job_save, t->reply, 0, t->text.p ? t->text.p : "", t->think.p ? t->think.p : "");
    t->saved_ns = q_now_ns();
}

void generate_progress(turn *t)
{
    agt *a = t->a;
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.n_tokens = t->n;
    a->shown.st.thinking = t->part == PART_THINK;
    a->shown.st.ctx_used = eng_session_length(a->seat.session);
    a->shown.st.decode_rate = t->stats.decode_s > 0 ? t->n / t->stats.decode_s : 0;
    pthread_mutex_unlock(&a->shown.mu);
    if (t->n % 32 == 0)
        sync_mix(a);
}

enum mem_status generate(turn *t, const char **finish, char *err)
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
        if (a->seat.config_changed) {
            a->seat.config_changed = false;
            note_config(t);
        }
        if (resync) {
            int rc = sync_tokens(a, &a->seat.timeline, err);
            if (rc == Q_CANCEL) {
                *finish = "stopped";
                break;
            }
            if (rc < 0)
                return MEM_FAILED;
        }
        if (eng_session_room(a->seat.session) < 1) {
            note(&a->events, AGT_WARN, _("the answer reached the end of the context: /set context.length gives more room, or ask to go on"));
            *finish = "context";
            break;
        }
        int64_t from = q_now_ns();
        const float *logits = eng_session_logits(a->seat.session);
        if (!logits) {
            q_fail(err, Q_ERR, _("the session lost its place: send the question again"));
            return MEM_FAILED;
        }
        eng_choice c = eng_sample(a->seat.sampler, a->seat.cfg, logits);
        if (eng_token_end(a->seat.model, c.token))
            break;
        eng_sampler_accept(a->seat.sampler, c.token);
        one_token(t, &c);
        bool loop = loops(t, c.token);
        if (t->hit_stop) {
            *finish = "stop string";
            break;
        }
        int rc = eng_session_push(a->seat.session, c.token, err);
        if (rc == Q_OK)
            eng_tokens_add(&a->seat.timeline, c.token);
        t->stats.decode_s += (double)(q_now_ns() - from) / 1e9;
        watch_feed(a, t->trace);
        generate_progress(t);
        if (rc == Q_CANCEL) {
            *finish = "stopped";
            break;
        }
        if (rc < 0)
            return MEM_FAILED;
        if (loop && loop_guard(a)) {
            note(&a->events, AGT_WARN, ngettext("the answer repeats itself; stopped after %d token; sampler.repeat_penalty or more experts help",
                                            "the answer repeats itself; stopped after %d tokens; sampler.repeat_penalty or more experts help", (unsigned long)t->n), t->n);
            *finish = "loop";
            break;
        }
        int max = atoi(eng_config_get(a->seat.cfg, "sampler.max_tokens", &b));
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

/* The model may be told to open with a think block: then the reply starts inside it. */
enum part generate_start(agt *a)
{
    int from = a->seat.timeline.n > 8 ? a->seat.timeline.n - 8 : 0;
    enum part p = PART_START;
    for (int i = from; i < a->seat.timeline.n; i++) {
        const char *name = eng_token_name(a->seat.model, a->seat.timeline.id[i]);
        if (!name)
            continue;
        if (strcmp(name, "<think>") == 0)
            p = PART_THINK;
        else if (strcmp(name, "</think>") == 0 || strstr(name, "im_start"))
            p = PART_START;
    }
    return p;
}
