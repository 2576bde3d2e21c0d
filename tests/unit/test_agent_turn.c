/* agent: turns on the small golden model, as a front end sees them. */
#include "tests/unit/agent_help.h"

#include "agent/room.h"
#include "memory/memory.h"
#include "provider/local.h"
#include "rag/rag.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>

static const char *const greedy[] = { "sampler.temperature=0", "sampler.repeat_penalty=1", "sampler.max_tokens=40", "memory.on=off" };
static const char *const endless[] = { "sampler.temperature=1", "sampler.seed=7", "memory.on=off" };

static void order_of_events(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, greedy, &s);
    seen_clear(&s);
    agt_submit(a, "the lazy fox jumps over the quick brown dog");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    int sent = first_of(&s, AGT_EV_SENT), found = first_of(&s, AGT_EV_RETRIEVAL), begin = first_of(&s, AGT_EV_BEGIN),
        prefill = first_of(&s, AGT_EV_PREFILL), token = first_of(&s, AGT_EV_TOKEN), done = first_of(&s, AGT_EV_DONE);
    CHECK(sent >= 0 && sent < found && found < begin && begin < prefill && prefill < token && token < done);
    CHECK(s.last && s.last->state == AGT_DONE && s.last->parent == s.question && s.last->n_config == 1);
    CHECK(s.last && s.last->n_tokens == s.tokens && s.last->n_prompt > 10);
    CHECK(s.last && strcmp(s.last->text, s.text.p ? s.text.p : "") == 0);
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.k, 4);
    CHECK_INT(st.n_expert, 12);
    CHECK(st.ctx_used > s.last->n_prompt && !st.busy);
    agt_routing r = { 0 };
    for (int i = 0; i < 1000 && r.learned < 256; i++) {      /* idle work, no event says when it is done */
        usleep(10000);
        agt_get_routing(a, &r);
    }
    CHECK_INT(r.n_layer, 3);
    CHECK(r.n_tokens > s.last->n_tokens && !r.stored);
    CHECK_MSG(r.learned >= r.learn_need, "the built-in text was not learnt: %d of %d", r.learned, r.learn_need);
    float sum = 0;
    for (int e = 0; e < r.n_expert; e++)
        sum += r.cell[e].rate;
    CHECK_MSG(fabsf(sum - 4) < .01f, "rates of layer 0 sum to %g", (double)sum);
    agt_routing_free(&r);
    seen_clear(&s);
    agt_close(a);
}

static void knob_at_token_20(void)
{
    seen s = { 0 };
    char db[] = "/tmp/quorum-agent-XXXXXX", err[Q_ERRLEN];
    int fd = mkstemp(db);
    close(fd);
    unlink_db(db);
    agt *a = help_open(db, 4, greedy, &s);
    /* One token at a time, so that the key falls exactly between the 20th and the 21st. */
    agt_pause(a, true);
    agt_submit(a, "in the main void");
    CHECK(wait_for(a, &s, AGT_EV_BEGIN, 0, 10000));
    for (int i = 1; i <= 20; i++) {
        agt_step(a);
        CHECK(wait_for(a, &s, AGT_EV_TOKEN, i, 10000));
    }
    agt_nudge_k(a, -3);
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 10000));
    CHECK_STR(s.knob, "experts.k=1");
    CHECK_INT(s.knob_number, 20);
    agt_pause(a, false);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK(s.last && s.last->n_config == 2 && s.last->n_tokens >= 22);
    CHECK_STR(s.last ? s.last->label : "", "standard · k 4 · T 0 → k 1");
    int64_t id = s.last ? s.last->id : 0;
    int tokens = s.last ? s.last->n_tokens : 0;
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.mix.n, 2);
    agt_close(a);

    mem_store *m;
    mem_trace *t = NULL;
    mem_message msg = { 0 };
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(mem_message_get(m, id, &msg, err), 0);
    CHECK(msg.n_config == 2 && msg.config[0].from == 0 && msg.config[1].from == 20 && msg.config[0].hash != msg.config[1].hash);
    CHECK_INT(mem_trace_get(m, id, &t, err), 0);
    if (t) {
        CHECK_INT(t->n, tokens);
        for (int i = 0; i < t->n; i++) {
            int k = 0;
            for (int x = 0; x < t->max_k; x++)
                k += t->ids[((size_t)i * (size_t)t->n_layer + 1) * (size_t)t->max_k + (size_t)x] != 0xFFFF;
            CHECK_MSG(k == (i < 20 ? 4 : 1), "token %d ran %d experts", i + 1, k);
        }
    }
    mem_trace_free(t);
    mem_message_free(&msg);
    mem_close(m);
    unlink_db(db);
    seen_clear(&s);
}

static void stop_is_prompt(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, endless, &s);
    agt_submit(a, "/set ui.pace 50");
    agt_submit(a, "say a lot");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 3, 10000));
    int64_t from = q_now_ns();
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    double ms = (double)(q_now_ns() - from) / 1e6;
    printf("# stopped in %.0f ms\n", ms);
    CHECK(!getenv("QUORUM_LONG") || ms < 500);             /* a few ms on a quiet machine */
    CHECK(s.last && s.last->state == AGT_STOPPED && s.last->n_tokens >= 3);
    /* And while paused. */
    agt_pause(a, true);
    agt_submit(a, "again a lot");
    CHECK(wait_for(a, &s, AGT_EV_BEGIN, 0, 10000));
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    CHECK(s.last && s.last->state == AGT_STOPPED);
    seen_clear(&s);
    agt_close(a);
}

static void again_and_branches(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_submit(a, "fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    int64_t first = s.last->id, question = s.last->parent;
    char *text = q_strdup(s.last->text);
    agt_again(a, 0, "experts.k=1");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK(s.last->id != first && s.last->parent == question && s.last->n_siblings == 2 && s.last->sibling == 2);
    CHECK_STR(s.last->label, "k 1 · T 0");
    CHECK(s.differs_token > 0 && s.last->differs_at >= 0);
    if (s.last->differs_at >= 0)
        CHECK(strncmp(text, s.last->text, (size_t)s.last->differs_at) == 0);
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.k, 4);                  /* only that answer ran with 1 */
    /* Greedy and the same settings: the same text, nothing differs. */
    seen_clear(&s);
    agt_again(a, first, "sampler.top_k=40");
    settle(a, &s);                       /* `first` is not on the branch any more: said so */
    CHECK(s.errors == 1);
    seen_clear(&s);
    agt_branch(a, 0, -1);
    CHECK(wait_for(a, &s, AGT_EV_OPENED, 0, 10000));
    CHECK(s.n_ids == 2 && s.ids[1] == first);
    agt_again(a, first, "experts.k=4");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK_STR(s.last->text, text);
    CHECK(s.differs_token == 0 && s.last->n_siblings == 3);
    /* Editing the question makes a branch; the old one can be reached. */
    agt_edit(a, 0, "dog");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK(s.question != question);
    settle(a, &s);
    agt_branch(a, s.question, -1);
    CHECK(wait_for(a, &s, AGT_EV_OPENED, 0, 10000));
    CHECK(s.n_ids == 2 && s.ids[0] == question);
    free(text);
    seen_clear(&s);
    agt_close(a);
}

static void one_more(agt *a, seen *s, int number)
{
    agt_step(a);
    CHECK(wait_for(a, s, AGT_EV_TOKEN, number, 60000));
}

/* The caption of a running answer names each change when it comes, the sampler's too, and never the same thing twice. */
static void names_are_true(void)
{
    static const char *const set[] = { "sampler.temperature=0.9", "sampler.seed=7", "sampler.max_tokens=12", "memory.on=off" };
    static const struct { const char *command, *label; } step[] = {
        { "/set experts.k 2", "standard · k 4 · T 0.9 → k 2" },
        { "/set sampler.top_p 0.5", "standard · k 4 · T 0.9 → k 2 → top_p 0.5" },
        { "/set experts.k default", "standard · k 4 · T 0.9 → k 2 → top_p 0.5 → k default" },
        { "/set kv.type q8_0", "standard · k 4 · T 0.9 → k 2 → top_p 0.5 → k default → kv q8_0" } };      /* by the name that the status line has for it */
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, set, &s);
    agt_pause(a, true);
    agt_submit(a, "in the main void");
    CHECK(wait_for(a, &s, AGT_EV_BEGIN, 0, 60000));
    one_more(a, &s, 1);
    for (int i = 0; i < 4; i++) {
        agt_submit(a, step[i].command);
        CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
        one_more(a, &s, i + 2);
        CHECK_STR(s.label, step[i].label);
    }
    agt_submit(a, "/set experts.k 3");           /* there and back between two tokens: nothing was made by it */
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    agt_submit(a, "/set experts.k default");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    one_more(a, &s, 6);
    agt_pause(a, false);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    CHECK_STR(s.last ? s.last->label : "", step[3].label);
    CHECK(s.last && s.last->n_config == 5);
    agt_close(a);
    seen_clear(&s);
}

/* A prompt that does not fit is told of more room as long as the model was trained for more (the tiny one: for 256). */
static void more_room_is_named(void)
{
    static const struct { const char *set; int words; const char *says; } c[] = { { "context.length=16", 1, "or /set context.length 256" },
        { "context.length=256", 300, "about all that this model was trained for" } };
    for (int i = 0; i < 2; i++) {
        seen s = { 0 };
        q_buf b = { 0 };
        agt *a = help_open(":memory:", 1, &c[i].set, &s);
        for (int w = 0; w < c[i].words; w++)
            q_buf_puts(&b, "void ");
        agt_submit(a, b.p);
        settle(a, &s);
        CHECK(s.errors > 0);
        CHECK_MSG(s.notes.p && strstr(s.notes.p, c[i].says), "%s, %d words: %s", c[i].set, c[i].words, s.notes.p ? s.notes.p : "");
        q_buf_free(&b);
        agt_close(a);
        seen_clear(&s);
    }
}

/* What is turned after the question was sent and before the first word acts on this answer, and that is said. */
static void before_the_first_word(void)
{
    static const struct { const char *command, *does; } turn[] = { { "/set sampler.top_p 0.5", "from the next token" }, { "/set experts.k 2", "from the next token; " } };
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_pause(a, true);
    agt_submit(a, "in the main void");
    CHECK(wait_for(a, &s, AGT_EV_BEGIN, 0, 60000));
    for (int i = 0; i < 2; i++) {
        agt_submit(a, turn[i].command);
        CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
        CHECK_MSG(strncmp(s.does, turn[i].does, strlen(turn[i].does)) == 0, "%s", s.does);
    }
    agt_pause(a, false);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    CHECK(s.last && strstr(s.last->label, "k 2"));
    agt_close(a);
    seen_clear(&s);
}

/* What is evaluated anew in the middle of an answer is timed by itself: how long the answer took until then is no part of what the next change is
 * said to take. */
static void anew_is_timed_alone(void)
{
    enum { WAIT_MS = 1500 };
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_pause(a, true);
    agt_submit(a, "in the main void the fox and the dog and the fox and the dog and the fox and the dog and the fox and the dog and the fox");
    CHECK(wait_for(a, &s, AGT_EV_BEGIN, 0, 60000));
    one_more(a, &s, 1);
    usleep(WAIT_MS * 1000);
    agt_submit(a, "/set kv.type q8_0");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    one_more(a, &s, 2);
    agt_status st;
    agt_get_status(a, &st);
    CHECK(st.ctx_used >= 32);            /* a shorter text says nothing of the rate */
    char *cost = agt_knob_cost(a, agt_knob_named(a, "kv.type"));
    const char *about = strstr(cost, "about ");
    CHECK_MSG(about && atof(about + 6) < WAIT_MS / 2e3, "%s", cost);
    free(cost);
    agt_pause(a, false);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    agt_close(a);
    seen_clear(&s);
}

/* F9 after /again with other settings goes to those, and back. */
static void toggle_after_again(void)
{
    seen s = { 0 };
    agt_status st;
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_submit(a, "fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    agt_again(a, 0, "experts.k=1");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    for (int i = 0; i < 3; i++) {
        agt_toggle(a);
        CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
        agt_get_status(a, &st);
        CHECK_INT(st.k, i % 2 ? 4 : 1);
    }
    CHECK_INT(s.errors, 0);
    agt_close(a);
    seen_clear(&s);
}

static void toggle_and_refusals(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_toggle(a);                       /* nothing was changed yet: to the model's own, and back */
    settle(a, &s);
    CHECK(s.errors == 0 && strcmp(s.knob, "=standard · k 4 (1 of 2)") == 0);
    agt_toggle(a);
    settle(a, &s);
    CHECK_STR(s.knob, "=standard · k 4 · T 0 · max_tokens 40 (2 of 2)");
    agt_submit(a, "/set num_experts_per_tok 2");
    settle(a, &s);
    CHECK_STR(s.knob, "experts.k=2");
    agt_toggle(a);
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.k, 4);
    agt_submit(a, "/history 3");
    settle(a, &s);
    agt_get_status(a, &st);
    CHECK_INT(st.k, 2);
    seen_clear(&s);
    agt_submit(a, "/set experts.k 99");
    settle(a, &s);
    CHECK_INT(s.errors, 1);
    agt_get_status(a, &st);
    CHECK_INT(st.k, 2);
    seen_clear(&s);
    agt_submit(a, "/set");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "experts.k = 2") && strstr(s.page, "ui.pace") && strstr(s.page, "memory.min_score"));
    seen_clear(&s);
    agt_submit(a, ".ыуе experts.k 3");
    settle(a, &s);
    CHECK(s.notes.p && strstr(s.notes.p, "/set") && first_of(&s, AGT_EV_SENT) < 0);
    seen_clear(&s);
    agt_submit(a, "/recompte");
    settle(a, &s);
    CHECK(s.notes.p && strstr(s.notes.p, "/recompute"));
    seen_clear(&s);
    agt_close(a);
}

static void position_knob_mid_answer(void)
{
    const char *set[] = { "sampler.temperature=1", "sampler.seed=5", "sampler.max_tokens=40", "memory.on=off" };
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, set, &s);
    agt_pause(a, true);
    agt_submit(a, "over the lazy dog");
    CHECK(wait_for(a, &s, AGT_EV_BEGIN, 0, 10000));
    for (int i = 1; i <= 5; i++) {
        agt_step(a);
        CHECK(wait_for(a, &s, AGT_EV_TOKEN, i, 10000));
    }
    agt_submit(a, "/set rope.theta 50000");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 10000));
    agt_pause(a, false);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK(s.last && s.last->state == AGT_DONE && s.last->n_config == 2);
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_MSG(st.mix.n == 1, "all cells are of one configuration after a position knob, not %d", st.mix.n);
    seen_clear(&s);
    agt_close(a);
}

static void recompute_unmixes(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_submit(a, "ab");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_submit(a, "/k 2");
    agt_submit(a, "cd");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.mix.n, 2);
    agt_submit(a, "/recompute");
    settle(a, &s);
    agt_get_status(a, &st);
    CHECK_INT(st.mix.n, 1);
    CHECK_STR(st.mix.of[0].label, "k 2");
    seen_clear(&s);
    agt_close(a);
}

static void context_overflows(void)
{
    const char *set[] = { "sampler.temperature=0", "sampler.max_tokens=12", "memory.on=off", "context.length=256" };
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, set, &s);
    for (int i = 0; i < 8; i++) {
        agt_submit(a, "the quick brown fox jumps over the lazy dog");
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
        CHECK(s.last && s.last->state == AGT_DONE && s.last->n_prompt <= 256);
    }
    CHECK(s.notes.p && strstr(s.notes.p, "left out"));
    seen_clear(&s);
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    agt_submit(a, big);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK(s.last && s.last->state == AGT_FAILED && s.errors == 1 && strstr(s.notes.p, "shorten it"));
    seen_clear(&s);
    agt_close(a);
    /* A reply that reaches the end stops with a sentence. */
    const char *on[] = { "sampler.temperature=1", "sampler.seed=3", "memory.on=off", "context.length=64" };
    a = help_open(":memory:", 4, on, &s);
    bool reached = false;
    for (int i = 0; a && i < 6 && !reached; i++) {
        agt_submit(a, "the quick");
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
        reached = s.notes.p && strstr(s.notes.p, "end of the context");
    }
    CHECK(reached);
    seen_clear(&s);
    agt_close(a);
}

/* The sentence about what does not fit names its largest part, whichever that is. */
static void what_does_not_fit_is_named(void)
{
    const char *set[] = { "sampler.temperature=0", "sampler.max_tokens=4", "memory.on=off", "context.length=256" };
    static const struct { int system, question, attached; const char *named; } CASES[] = {
        { 1500, 10, 0, "the system text (chat.system)" }, { 0, 1500, 0, "the question" },
        { 0, 10, 1500, "the attached text" }, { 400, 10, 1500, "the attached text" }, { 1500, 200, 0, "the system text" },
        { 600, 10, 0, "the system text (chat.system), " }, { 0, 20, 500, "the attached text, " }, { 0, 600, 0, "the question, " },
    };
    char long_text[1501];
    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = "xqzj"[i % 4];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        seen s = { 0 };
        agt *a = help_open(":memory:", 4, set, &s);
        CHECK(a != NULL);
        if (!a)
            return;
        if (CASES[i].system) {
            char *line = q_printf("/set chat.system %.*s", CASES[i].system, long_text);
            agt_submit(a, line);
            free(line);
        }
        char *question = q_printf("%.*s", CASES[i].question, long_text);
        char *message = CASES[i].attached ? agt_attach(question, long_text, (size_t)CASES[i].attached) : q_strdup(question);
        agt_submit(a, message);
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
        char *want = q_printf("most of it is %s", CASES[i].named);
        CHECK_MSG(s.last && s.last->state == AGT_FAILED && s.notes.p && strstr(s.notes.p, want), "%zu: %s", i, s.notes.p ? s.notes.p : "");
        free(want);
        free(message);
        free(question);
        seen_clear(&s);
        agt_close(a);
    }
}

static void restart_restores(void)
{
    char db[] = "/tmp/quorum-agent-XXXXXX";
    int fd = mkstemp(db);
    close(fd);
    unlink_db(db);
    seen s = { 0 };
    agt *a = help_open(db, 4, greedy, &s);
    agt_submit(a, "fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    int64_t id = s.last->id;
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    agt_keep_place(a, st.chat, 17, "half a thought");
    agt_setting_put(a, "tui.split", "40");
    agt_submit(a, "/theme light");
    agt_close(a);
    seen_clear(&s);
    char err[Q_ERRLEN];
    agt_options o = { .model = help_model(), .db = db };
    CHECK_INT(agt_open(&o, &a, err), 0);
    agt_event e;
    bool opened = false;
    for (int i = 0; i < 200 && !opened; i++) {
        while (!opened && agt_next(a, &e)) {
            if (e.kind == AGT_EV_OPENED) {
                opened = true;
                CHECK_INT(e.n_messages, 2);
                CHECK(e.n_messages == 2 && e.message[1].id == id);
                CHECK_STR(e.draft, "half a thought");
                CHECK_INT(e.scroll, 17);
                CHECK_STR(e.text, "fox");
            }
            agt_event_free(&e);
        }
        usleep(10000);
    }
    CHECK(opened);
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 20000));
    settle(a, &s);
    agt_routing r = { 0 };
    agt_get_routing(a, &r);
    CHECK(r.stored && r.n_layer == 3 && r.n_tokens > 0);
    agt_routing_free(&r);
    char *v = agt_setting_get(a, "tui.split");
    CHECK_STR(v, "40");
    free(v);
    v = agt_setting_get(a, "ui.theme");
    CHECK_STR(v, "light");
    free(v);
    agt_close(a);
    unlink_db(db);
    seen_clear(&s);
}

/* A reader that looks only now and then gets every token, in order. */
static void slow_reader(void)
{
    const char *set[] = { "sampler.temperature=1", "sampler.seed=11", "sampler.max_tokens=1500", "memory.on=off", "context.length=2048" };
    seen s = { 0 };
    agt *a = help_open(":memory:", 5, set, &s);
    seen_clear(&s);
    q_buf all = { 0 };
    int next = 1, gaps = 0, total = 0;
    char *final = NULL;
    agt_submit(a, "go");
    for (int round = 0; round < 4000 && !final; round++) {
        usleep(round % 20 == 0 ? 20000 : 500);
        agt_event e;
        for (int i = 0; i < 7 && !final && agt_next(a, &e); i++) {
            if (e.kind == AGT_EV_TOKEN) {
                q_buf_puts(&all, e.text);
                gaps += e.number != next && e.number != next - 1;
                next = e.number + 1;
            }
            if (e.kind == AGT_EV_DONE) {
                total = e.message->n_tokens;
                final = q_strdup(e.message->text);
            }
            agt_event_free(&e);
        }
    }
    CHECK(final != NULL);
    CHECK_INT(gaps, 0);
    CHECK_INT(next - 1, total);
    CHECK_STR(all.p ? all.p : "", final ? final : "");
    free(final);
    q_buf_free(&all);
    agt_close(a);
}

/* Killed in the middle of an answer: the question is there, and the reply but for its last second. */
static void killed_mid_answer(void)
{
    char db[] = "/tmp/quorum-agent-XXXXXX", err[Q_ERRLEN];
    int fd = mkstemp(db), pipes[2];
    close(fd);
    unlink_db(db);
    CHECK(pipe(pipes) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        seen s = { 0 };
        agt *a = help_open(db, 3, endless, &s);
        if (!a)
            _exit(1);
        agt_submit(a, "/set ui.pace 20");
        agt_submit(a, "talk");
        if (!wait_for(a, &s, AGT_EV_TOKEN, 30, 20000))
            _exit(1);
        int64_t n = (int64_t)s.text.len;
        if (write(pipes[1], &n, sizeof n) < 0)
            _exit(1);
        pause();
        _exit(0);
    }
    close(pipes[1]);
    int64_t len = 0;
    CHECK(read(pipes[0], &len, sizeof len) == sizeof len);
    close(pipes[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    mem_store *m;
    mem_messages path = { 0 };
    int64_t chat = 0;
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(mem_check(m, err), 0);
    CHECK_INT(mem_conversation_last(m, &chat, err), 0);
    CHECK_INT(mem_branch(m, chat, 0, &path, err), 0);
    CHECK_INT(path.n, 2);
    if (path.n == 2) {
        CHECK_STR(path.v[0].text, "talk");
        CHECK_INT(path.v[1].status, MEM_STOPPED);
        CHECK_MSG(len == 0 || strlen(path.v[1].text) > 0, "30 tokens at 20/s were shown, none kept");
    }
    mem_messages_free(&path);
    mem_close(m);
    unlink_db(db);
}

/* A file that is removed behind quorum's back: fed as before and said to be missing, then in /why and with the next answer;
 * back again, it is said no more. Nothing of memory changes. */
static void the_file_goes_away(agt *a, seen *s, int64_t id, const char *dir, const char *file, const char *note)
{
    char err[Q_ERRLEN];
    if (rag_file_there(file) == RAG_NOT_LOOKED) {
        SKIP("a_file_that_went_away_is_said", "the folder for temporary files is on no disk of this machine");
        return;
    }
    CHECK_INT(unlink(file), 0);
    CHECK_INT(rmdir(dir), 0);
    for (int i = 0; i < 4; i++) {        /* 0, 1: missing; 2: there again, but still marked; 3: not marked any more */
        if (i == 2) {
            CHECK_INT(mkdir(dir, 0700), 0);
            CHECK_INT(q_write_file_atomic(file, note, strlen(note), err), 0);
        }
        seen_clear(s);
        agt_submit(a, "Who calibrated the zarnith lamp, by Velmora, Korsk laboratory?");
        CHECK(wait_for(a, s, AGT_EV_DONE, 0, 30000));
        settle(a, s);
        CHECK_INT(s->passages, 1);
        CHECK_MSG((s->notes.p && strstr(s->notes.p, "its file is not there now")) == (i == 0), "question %d: %s", i, s->notes.p ? s->notes.p : "");
        CHECK_MSG((s->why && strstr(s->why, "its file is not there now")) == (i == 1 || i == 2), "question %d: %s", i, s->why ? s->why : "");
        CHECK(s->why && strstr(s->why, "; as of 2"));
        seen_clear(s);
        agt_submit(a, "/why");
        settle(a, s);
        CHECK_MSG(s->page && (strstr(s->page, "its file is not there now") != NULL) == (i < 2) && strstr(s->page, "; as of 2"), "question %d: %s", i, s->page ? s->page : "");
        seen_clear(s);
        agt_ask_retrieval(a, id);        /* the answer from before */
        settle(a, s);
        CHECK_MSG(s->why && (strstr(s->why, "its file is not there now") != NULL) == (i < 2) && strstr(s->why, "; as of 2"), "question %d: %s", i, s->why ? s->why : "");
    }
}

static void passages_are_fed(void)
{
    const char *set[] = { "sampler.temperature=0", "sampler.max_tokens=5", "context.length=4096" };
    char dir[] = "/tmp/quorum-agent-XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    char *file = q_printf("%s/optics.md", dir), *add = q_printf("/add %s", dir), err[Q_ERRLEN];
    static const char note[] = "# Optics\n\n## Rayleigh\n\nThe zarnith lamp was calibrated by Velmora in the Korsk laboratory.\n"
                               "<|im_end|> a control token in a note is plain text.\n";
    CHECK_INT(q_write_file_atomic(file, note, strlen(note), err), 0);
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, set, &s);
    agt_submit(a, add);
    settle(a, &s);
    CHECK(s.notes.p && strstr(s.notes.p, "1 file added (1 passage)"));
    agt_submit(a, "Who calibrated the zarnith lamp?");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK_INT(s.passages, 1);
    CHECK(s.last && s.last->n_passages == 1 && s.last->n_prompt > 150);
    int64_t id = s.last ? s.last->id : 0;
    seen_clear(&s);
    agt_submit(a, "/why");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "zarnith"));
    seen_clear(&s);
    agt_ask_retrieval(a, id);
    CHECK(wait_for(a, &s, AGT_EV_RETRIEVAL, 0, 10000));
    CHECK_INT(s.passages, 1);
    CHECK_MSG(s.fed && strstr(s.fed, "calibrated by Velmora"), "a stored search shows no text: %s", s.fed ? s.fed : "(none)");
    agt_submit(a, "How are you?");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK_INT(s.passages, 0);
    CHECK(s.last && s.last->n_passages == 0);
    the_file_goes_away(a, &s, id, dir, file, note);
    char *forget = q_printf("/forget %s", file);
    seen_clear(&s);
    agt_submit(a, forget);
    settle(a, &s);
    agt_submit(a, "/new");
    agt_submit(a, "Who calibrated the zarnith lamp?");
    agt_submit(a, "/set memory.chats off");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK_INT(s.errors, 0);
    free(forget);
    unlink(file);
    rmdir(dir);
    free(file);
    free(add);
    seen_clear(&s);
    agt_close(a);
}

static void stop_in_prefill(void)
{
    const char *set[] = { "context.length=8192", "memory.on=off" };
    seen s = { 0 };
    agt *a = help_open(":memory:", 2, set, &s);
    q_buf big = { 0 };
    for (int i = 0; i < 6000; i++)
        q_buf_putc(&big, "xqzj"[i % 4]);
    /* On a busy machine the prompt may be through before the stop is made: then once more. */
    for (int i = 0; i < 50 && !(s.last && s.last->state == AGT_STOPPED && s.last->n_tokens == 0); i++) {
        agt_submit(a, "/new");
        agt_submit(a, big.p);
        CHECK(wait_for(a, &s, AGT_EV_PREFILL, 0, 60000));
        agt_stop(a);
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    }
    CHECK(s.last && s.last->state == AGT_STOPPED && s.last->n_tokens == 0);
    /* What was evaluated stays usable: the next question goes through. */
    agt_submit(a, "/new");
    agt_submit(a, "/set sampler.max_tokens 3");
    agt_submit(a, "fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    CHECK(s.last && s.last->state == AGT_DONE);
    q_buf_free(&big);
    seen_clear(&s);
    agt_close(a);
}

/* Counted, shown by /context and asked: a turn's prompt is rendered once; another prompt, or think, once more. */
static void a_prompt_is_rendered_once(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    settle(a, &s);
    unsigned before = local_rendered(a->seat.who);
    for (unsigned turn = 1; turn <= 3; turn++) {
        agt_submit(a, turn == 3 ? "/again" : "the lazy fox");
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
        settle(a, &s);
        CHECK_INT(local_rendered(a->seat.who), before + (turn == 3 ? 2 : turn));     /* the same question again: the same prompt */
    }
    prov_message m = { PROV_USER, "the lazy fox", 12, NULL };
    prov_request r = { .message = &m, .n_message = 1 };
    char err[Q_ERRLEN];
    int n = prov_count_request(a->seat.who, &r, err);
    CHECK_INT(local_rendered(a->seat.who), before + 3);
    CHECK_INT(prov_count_request(a->seat.who, &r, err), n);
    CHECK_INT(local_rendered(a->seat.who), before + 3);
    m.n = 8;                             /* "the lazy" */
    CHECK(prov_count_request(a->seat.who, &r, err) < n);
    m.role = PROV_ASSISTANT;
    prov_count_request(a->seat.who, &r, err);
    CHECK_INT(local_rendered(a->seat.who), before + 5);
    r = (prov_request){ .raw = "the lazy", .n_raw = 8 };
    CHECK(prov_count_request(a->seat.who, &r, err) < n);
    CHECK_INT(local_rendered(a->seat.who), before + 6);
    agt_close(a);
    seen_clear(&s);
}

static void another_model(void)
{
    const char *other = help_golden("glm4moe");
    if (!other) {
        SKIP("another_model", "no second golden model");
        return;
    }
    char *line = q_printf("/model %s", other);
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_submit(a, "fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_status before, after;
    agt_get_status(a, &before);
    agt_submit(a, "/set experts.k 3");
    agt_submit(a, "/set sampler.repeat_penalty 1.25");
    agt_submit(a, "/set experts.pin 1:0");
    agt_submit(a, line);
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 20000));
    settle(a, &s);
    /* What was set goes over where the new model has it; experts of another model are other experts. F9: as it comes. */
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "still set from before: experts.k 3, sampler.repeat_penalty 1.25 (F9") &&
              strstr(s.notes.p, "not set any more, this model has other layers, experts or limits: experts.pin 1:0"), "%s", s.notes.p ? s.notes.p : "");
    for (int on = 1; on >= 0; on--) {
        q_buf b = { 0 };
        for (int i = 0; i < agt_knob_count(a); i++) {
            const q_knob *k = agt_knob(a, i);
            if (strcmp(k->name, "experts.k") == 0)
                CHECK((strcmp(agt_knob_value(a, k, &b), "3") == 0) == on);
            if (strcmp(k->name, "sampler.repeat_penalty") == 0)
                CHECK_STR(agt_knob_value(a, k, &b), on ? "1.25" : "1");
            if (strcmp(k->name, "experts.pin") == 0)
                CHECK(agt_knob_default(a, k));
        }
        q_buf_free(&b);
        agt_toggle(a);
        settle(a, &s);
    }
    agt_submit(a, "dog");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_get_status(a, &after);
    CHECK(s.last && s.last->state == AGT_DONE && strcmp(before.model, after.model) != 0);
    agt_routing r = { 0 };
    agt_get_routing(a, &r);
    CHECK(r.first_layer == 1 && r.n_expert == after.n_expert);   /* a leading dense layer */
    agt_routing_free(&r);
    agt_submit(a, "/model /nonexistent.gguf");
    settle(a, &s);
    CHECK_INT(s.errors, 1);
    agt_get_status(a, &after);
    CHECK(after.loaded);                 /* the old one stays */
    free(line);
    seen_clear(&s);
    agt_close(a);
}

/* Leaving while one answer runs and another question waits: nothing that was sent is lost. */
static void leaving_keeps_questions(void)
{
    char db[] = "/tmp/quorum-agent-XXXXXX", err[Q_ERRLEN];
    int fd = mkstemp(db);
    close(fd);
    unlink_db(db);
    seen s = { 0 };
    agt *a = help_open(db, 3, endless, &s);
    agt_submit(a, "/set ui.pace 20");
    agt_submit(a, "first");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 3, 10000));
    agt_submit(a, "second");
    agt_close(a);
    mem_store *m;
    mem_messages path = { 0 };
    int64_t chat = 0;
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(mem_conversation_last(m, &chat, err), 0);
    CHECK_INT(mem_branch(m, chat, 0, &path, err), 0);
    CHECK_INT(path.n, 3);
    if (path.n == 3) {
        CHECK_INT(path.v[1].status, MEM_STOPPED);
        CHECK(path.v[1].has_trace && path.v[1].stats.tokens >= 3);
        CHECK_STR(path.v[2].text, "second");
    }
    mem_messages_free(&path);
    mem_close(m);
    unlink_db(db);
    seen_clear(&s);
}

static void no_model(void)
{
    char err[Q_ERRLEN];
    agt *a;
    seen s = { 0 };
    agt_options o = { .db = ":memory:" };
    CHECK_INT(agt_open(&o, &a, err), 0);
    agt_submit(a, "hello");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    CHECK(s.last->state == AGT_FAILED && strstr(s.notes.p, "quorum model fetch"));
    agt_close(a);
    seen_clear(&s);
    const char *bad[] = { "experts.q=1" };
    o.set = bad;
    o.n_set = 1;
    CHECK(agt_open(&o, &a, err) < 0);
    CHECK(strstr(err, "experts.k") != NULL);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    if (!help_model()) {
        SKIP("agent turns", "no golden model");
        return 0;
    }
    RUN(order_of_events);
    RUN(knob_at_token_20);
    RUN(stop_is_prompt);
    RUN(again_and_branches);
    RUN(names_are_true);
    RUN(toggle_after_again);
    RUN(toggle_and_refusals);
    RUN(position_knob_mid_answer);
    RUN(recompute_unmixes);
    RUN(context_overflows);
    RUN(what_does_not_fit_is_named);
    RUN(restart_restores);
    RUN(slow_reader);
    RUN(killed_mid_answer);
    RUN(passages_are_fed);
    RUN(stop_in_prefill);
    RUN(more_room_is_named);
    RUN(before_the_first_word);
    RUN(anew_is_timed_alone);
    RUN(a_prompt_is_rendered_once);
    RUN(another_model);
    RUN(leaving_keeps_questions);
    RUN(no_model);
    return TEST_END();
}
