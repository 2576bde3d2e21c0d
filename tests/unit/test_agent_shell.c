/* agent: what a person sees around a turn: ranges, /why, the experts panel between answers, questions that wait. On the small
 * golden model; where the default model is installed, also on that. */
#include "agent/room.h"
#include "tests/unit/agent_help.h"

#include "engine/engine.h"
#include "tests/engine_util.h"
#include "memory/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

static const char *const greedy[] = { "sampler.temperature=0", "sampler.repeat_penalty=1", "sampler.max_tokens=40", "memory.on=off" };
static const char *const slow[] = { "sampler.temperature=1", "sampler.seed=7", "ui.pace=20" };

static const q_knob *knob(agt *a, const char *name)
{
    for (int i = 0; i < agt_knob_count(a); i++)
        if (strcmp(agt_knob(a, i)->name, name) == 0)
            return agt_knob(a, i);
    return NULL;
}

static void ranges_are_the_models(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    double lo = -1, hi = -1;
    CHECK(agt_knob_range(a, knob(a, "experts.k"), &lo, &hi) && lo == 1 && hi == 12);
    CHECK(agt_knob_range(a, knob(a, "memory.min_score"), &lo, &hi) && lo == 0 && hi == 1);
    CHECK(!agt_knob_range(a, knob(a, "experts.ban"), &lo, &hi) && !agt_knob_range(a, knob(a, "model.layers"), &lo, &hi));
    agt_submit(a, "/set experts.k");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    CHECK_MSG(s.page && strstr(s.page, "[1…12,"), "%s", s.page ? s.page : "");
    agt_submit(a, "/set norm.eps");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    CHECK_MSG(s.page && strstr(s.page, "norm.eps = 1e-0"), "%s", s.page ? s.page : "");
    size_t at;
    int n;
    char **v = agt_completions(a, "/set experts.k 1", strlen("/set experts.k 1"), &at, &n);
    CHECK(n == 4 && strcmp(v[0], "1") == 0 && strcmp(v[3], "12") == 0);
    for (int i = 0; i < n; i++)
        free(v[i]);
    free(v);
    seen_clear(&s);
    agt_close(a);
}

static void why_during_an_answer(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, slow, &s);
    agt_submit(a, "what is experts.k?");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 1, 20000));
    agt_submit(a, "/why");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    CHECK_MSG(s.page && strstr(s.page, "experts.k  ") && strstr(s.page, "coverage"), "%s", s.page ? s.page : "");
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    seen_clear(&s);
    agt_close(a);
}

static void panel_keeps_the_last_answer(void)
{
    seen s = { 0 };
    char db[] = "/tmp/quorum-agent-XXXXXX";
    close(mkstemp(db));
    agt *a = help_open(db, 4, greedy, &s);
    agt_routing r = { 0 };
    CHECK(a != NULL);
    if (!a)
        return;
    agt_submit(a, "the fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_again(a, 0, "experts.k=2");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    settle(a, &s);
    agt_get_routing(a, &r);
    CHECK(r.k == 2 && r.n_layer == 3 && r.now[1] != 0xFFFF && r.now[2] == 0xFFFF && !isnan(r.repeat));
    agt_nudge_k(a, 1);                   /* a key between answers: the picture stays too */
    settle(a, &s);
    agt_get_routing(a, &r);
    CHECK(r.k == 2 && r.now[1] != 0xFFFF);
    agt_submit(a, "a dog");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    settle(a, &s);
    agt_get_routing(a, &r);
    CHECK(r.k == 5 && !r.stored && r.now[4] != 0xFFFF && r.now[5] == 0xFFFF);
    agt_close(a);
    seen_clear(&s);
    a = help_open(db, 4, greedy, &s);    /* the next start shows what was stored, and says so */
    CHECK(a != NULL);
    if (a) {
        agt_show_routing(a, 0);          /* as a front end may ask: nothing live is there yet */
        settle(a, &s);
        agt_get_routing(a, &r);
        CHECK(r.stored && r.k == 5 && r.n_layer == 3);
        agt_submit(a, "once more");
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
        agt_get_routing(a, &r);
        CHECK(!r.stored && r.k == 4);
        agt_close(a);
    }
    agt_routing_free(&r);
    seen_clear(&s);
    unlink_db(db);
}

static void settings_come_from_memory(void)
{
    seen s = { 0 };
    char db[] = "/tmp/quorum-agent-XXXXXX", err[Q_ERRLEN];
    close(mkstemp(db));
    mem_store *m;
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(mem_setting_put(m, "panel.width", "33", err), 0);
    CHECK_INT(mem_setting_put(m, "usual.0000000000000001.4", "1 1 1 1 0000", err), 0);
    agt *a = help_open(db, 4, greedy, &s);
    CHECK(a != NULL);
    if (a) {
        CHECK_INT(mem_setting_put(m, "panel.width", "44", err), 0);      /* another process: this one does not look again */
        char *v = agt_setting_get(a, "panel.width"), *none = agt_setting_get(a, "no.such"), *usual = agt_setting_get(a, "usual.0000000000000001.4");
        CHECK_STR(v, "33");
        CHECK(!none && !usual);
        free(v);
        agt_close(a);
    }
    mem_close(m);
    seen_clear(&s);
    unlink_db(db);
}

static int count(mem_store *m, const char *text, enum mem_role role, int64_t *chat)
{
    char err[Q_ERRLEN];
    mem_conversations c = { 0 };
    int n = 0;
    CHECK_INT(mem_conversation_list(m, &c, err), 0);
    for (int i = 0; i < c.n; i++) {
        mem_messages p = { 0 };
        CHECK_INT(mem_branch(m, c.v[i].id, 0, &p, err), 0);
        for (int k = 0; k < p.n; k++)
            if (p.v[k].role == role && strcmp(p.v[k].text, text) == 0) {
                n++;
                *chat = c.v[i].id;
            }
        mem_messages_free(&p);
    }
    mem_conversations_free(&c);
    return n;
}

/* SIGKILL while an answer runs and a question waits behind it: the next start has both, at the end of their conversation,
 * also when a script's -p was there first. */
static void waiting_question_survives(void)
{
    char db[] = "/tmp/quorum-agent-XXXXXX", err[Q_ERRLEN];
    close(mkstemp(db));
    int told[2];
    CHECK_INT(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        seen s = { 0 };
        agt *a = help_open(db, 3, slow, &s);
        if (!a)
            _exit(1);
        agt_submit(a, "first question");
        wait_for(a, &s, AGT_EV_TOKEN, 2, 10000);
        seen_clear(&s);
        agt_submit(a, "second question");
        int64_t end = q_now_ns() + 10000000000;
        while (q_now_ns() < end && !(s.notes.p && strstr(s.notes.p, "kept;"))) {
            agt_event e;
            while (agt_next(a, &e))
                seen_take(&s, &e);
            usleep(1000);
        }
        char ok = s.notes.p && strstr(s.notes.p, "kept;") ? 'y' : 'n';
        if (write(told[1], &ok, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char ok = 0;
    CHECK(read(told[0], &ok, 1) == 1 && ok == 'y');
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    mem_store *m;
    int64_t first = 0, second = 0;
    seen s = { 0 };
    agt_options once = { .model = help_model(), .db = db, .set = greedy, .n_set = 4, .fresh = true, .once = true };
    agt *a;
    CHECK_INT(agt_open(&once, &a, err), 0);
    agt_submit(a, "a script asks");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_close(a);
    seen_clear(&s);
    a = help_open(db, 4, greedy, &s);
    settle(a, &s);
    CHECK_INT(s.n_ids, 3);               /* question, what was said, the question that waited */
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "1 question that waited"), "%s", s.notes.p ? s.notes.p : "");
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(count(m, "first question", MEM_USER, &first), 1);
    CHECK_INT(count(m, "second question", MEM_USER, &second), 1);
    CHECK(first == second && s.chat == first);
    mem_pendings left = { 0 };
    CHECK_INT(mem_pending_take(m, &left, err), 0);
    CHECK_INT(left.n, 0);
    mem_pendings_free(&left);
    mem_close(m);
    agt_again(a, 0, "");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK(s.last && s.last->state == AGT_DONE && s.last->parent == s.ids[2]);
    /* Asked in turn, nothing is left behind. */
    agt_submit(a, "/set ui.pace 100");
    agt_submit(a, "one");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 1, 10000));
    agt_submit(a, "two");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    settle(a, &s);
    CHECK(a->waits.first == NULL);
    agt_close(a);
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(count(m, "two", MEM_USER, &second), 1);
    mem_close(m);
    sqlite3 *db3;
    sqlite3_stmt *st;
    CHECK_INT(sqlite3_open(db, &db3), SQLITE_OK);
    CHECK_INT(sqlite3_prepare_v2(db3, "SELECT count(*) FROM pending", -1, &st, NULL), SQLITE_OK);
    CHECK(sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int(st, 0) == 0);
    sqlite3_finalize(st);
    sqlite3_close(db3);
    seen_clear(&s);
    unlink_db(db);
}

static void scripts_stay_out_of_the_way(void)
{
    char db[] = "/tmp/quorum-agent-XXXXXX", err[Q_ERRLEN];
    close(mkstemp(db));
    seen s = { 0 };
    agt *shell = help_open(db, 4, greedy, &s), *script;
    CHECK(shell != NULL);
    if (!shell)
        return;
    agt_submit(shell, "mine");
    CHECK(wait_for(shell, &s, AGT_EV_DONE, 0, 20000));
    int64_t mine = 0, theirs = 0, last = 0;
    agt_status st;
    agt_get_status(shell, &st);
    agt_options once = { .model = help_model(), .db = db, .set = greedy, .n_set = 4, .fresh = true, .once = true };
    seen t = { 0 };
    CHECK_INT(agt_open(&once, &script, err), 0);
    agt_submit(script, "a script asks");
    CHECK(wait_for(script, &t, AGT_EV_DONE, 0, 20000));
    agt_close(script);
    seen_clear(&t);
    agt_submit(shell, "mine too");       /* the idle shell goes on where it was */
    CHECK(wait_for(shell, &s, AGT_EV_DONE, 0, 20000));
    agt_close(shell);
    mem_store *m;
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK(count(m, "mine", MEM_USER, &mine) == 1 && mine == st.chat);
    CHECK(count(m, "mine too", MEM_USER, &mine) == 1 && mine == st.chat);
    CHECK(count(m, "a script asks", MEM_USER, &theirs) == 1 && theirs != mine);
    CHECK_INT(mem_conversation_last(m, &last, err), 0);
    CHECK_INT(last, mine);
    mem_conversations c = { 0 };
    CHECK_INT(mem_conversation_list(m, &c, err), 0);
    CHECK(c.n == 2 && c.v[0].id == mine && c.v[1].id == theirs);
    mem_conversations_free(&c);
    CHECK_INT(mem_conversation_opened(m, theirs, err), 0);       /* who opens it makes it an ordinary one */
    CHECK_INT(mem_conversation_last(m, &last, err), 0);
    CHECK_INT(last, theirs);
    mem_close(m);
    seen_clear(&s);
    unlink_db(db);
}

static void piped_text_does_not_drown_the_question(void)
{
    static const char *const set[] = { "sampler.temperature=0", "sampler.max_tokens=2", "context.length=1024" };
    char dir[] = "/tmp/quorum-notes-XXXXXX", err[Q_ERRLEN];
    CHECK(mkdtemp(dir) != NULL);
    char *file = q_printf("%s/lamp.md", dir), *other = q_printf("%s/pump.md", dir), *add = q_printf("/add %s", dir);
    static const char lamp[] = "# Lamp\n\nThe zarnith lamp was calibrated by Velmora.\n",
                      pump[] = "# Pump\n\nqualdor brextin vosk pellar nimbrow tessik\n";
    CHECK_INT(q_write_file_atomic(file, lamp, strlen(lamp), err), 0);
    CHECK_INT(q_write_file_atomic(other, pump, strlen(pump), err), 0);
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, set, &s);
    agt_submit(a, add);
    settle(a, &s);
    char *m = agt_attach("who calibrated the zarnith lamp?", "qualdor brextin vosk pellar nimbrow tessik", 42);
    agt_submit(a, m);
    CHECK(wait_for(a, &s, AGT_EV_RETRIEVAL, 0, 10000));
    CHECK_INT(s.passages, 2);            /* the question's passage and the attached text's */
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_submit(a, "/why");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    const char *one = s.page ? strstr(s.page, "[1]") : NULL, *two = s.page ? strstr(s.page, "[2]") : NULL;
    CHECK_MSG(one && two && strstr(one, "lamp.md") && strstr(one, "lamp.md") < strstr(one, "pump.md"), "%s", s.page ? s.page : "");
    free(m);
    agt_submit(a, "/set memory.max_passages 1");
    m = agt_attach("who calibrated the zarnith lamp?", "qualdor brextin vosk pellar nimbrow tessik", 42);
    agt_submit(a, m);
    CHECK(wait_for(a, &s, AGT_EV_RETRIEVAL, 0, 10000));
    CHECK_INT(s.passages, 1);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    free(m);
    unlink(file);
    unlink(other);
    rmdir(dir);
    free(file);
    free(other);
    free(add);
    seen_clear(&s);
    agt_close(a);
}

static void models_change_safely(void)
{
    seen s = { 0 };
    char dir[] = "/tmp/quorum-models-XXXXXX", err[Q_ERRLEN];
    CHECK(mkdtemp(dir) != NULL);
    char *bad = q_printf("%s/broken-thing.gguf", dir), *good = q_printf("%s/tiny-other.gguf", dir), *line = q_printf("/model %s", bad), *at = q_printf("/open ");
    const char *glm = help_golden("glm4moe");
    q_buf b = { 0 };
    if (!glm || q_read_file(glm, &b, 1 << 26, err) < 0) {
        SKIP("models_change_safely", "no second golden model");
        return;
    }
    CHECK_INT(q_write_file_atomic(good, b.p, b.len, err), 0);
    CHECK_INT(q_write_file_atomic(bad, b.p, b.len / 2, err), 0);
    q_buf_free(&b);
    setenv("QUORUM_MODELS", dir, 1);
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_submit(a, "fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    int64_t chat, question = s.question;
    agt_status st;
    agt_get_status(a, &st);
    chat = st.chat;
    char before[96];
    snprintf(before, sizeof before, "%s", st.model);
    agt_submit(a, line);                 /* cut off in the middle: refused, the old one answers */
    CHECK(wait_for(a, &s, AGT_EV_NOTE, 0, 10000));
    settle(a, &s);
    CHECK(s.errors == 1 && strstr(s.notes.p, "goes on answering"));
    agt_get_status(a, &st);
    CHECK(st.loaded);
    CHECK_STR(st.model, before);
    agt_submit(a, "/model");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 10000));
    CHECK_MSG(s.page && strstr(s.page, "tiny-other") && strstr(s.page, "broken-thing") && strstr(s.page, "loaded: "), "%s", s.page ? s.page : "");
    size_t start;
    int n;
    char **v = agt_completions(a, "/model tiny-o", strlen("/model tiny-o"), &start, &n);
    CHECK(n == 1 && strcmp(v[0], "tiny-other") == 0 && start == 7);
    for (int i = 0; i < n; i++)
        free(v[i]);
    free(v);
    agt_ask_chats(a);
    CHECK(wait_for(a, &s, AGT_EV_CHATS, 0, 10000));
    v = agt_completions(a, at, strlen(at), &start, &n);
    CHECK(n == 1 && atoll(v[0]) == chat);
    for (int i = 0; i < n; i++)
        free(v[i]);
    free(v);
    agt_submit(a, "/model no-such-name");
    settle(a, &s);
    CHECK_INT(s.errors, 2);
    agt_submit(a, "/model tiny-o");
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 20000));
    agt_submit(a, "dog");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_get_status(a, &st);
    CHECK(s.last && s.last->state == AGT_DONE && st.chat == chat && strcmp(st.model, before) != 0 && s.question != question);
    settle(a, &s);
    unsetenv("QUORUM_MODELS");
    unlink(bad);
    unlink(good);
    rmdir(dir);
    free(bad);
    free(good);
    free(line);
    free(at);
    seen_clear(&s);
    agt_close(a);
}

/* With a penalty that is a reward the model falls into a loop: stopped above 256 tokens, and not where the guard is off. */
static void loops_are_stopped(void)
{
    static const char *const set[] = { "sampler.temperature=0", "sampler.frequency_penalty=-50", "sampler.max_tokens=600", "memory.on=off", "context.length=1024" };
    seen s = { 0 };
    agt *a = help_open(":memory:", 5, set, &s);
    agt_submit(a, "the fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    int n = s.last ? s.last->n_tokens : 0;
    bool said = s.notes.p && strstr(s.notes.p, "repeats itself");
    CHECK_MSG(said && n > 256 && n < 600, "%d tokens, notes %s", n, s.notes.p ? s.notes.p : "");
    CHECK(s.last && s.last->state == AGT_DONE && s.last->cut == AGT_CUT_LOOP);
    seen_clear(&s);
    agt_submit(a, "/set sampler.loop_stop off");
    agt_again(a, 0, "experts.k=4");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    CHECK(s.last && s.last->n_tokens == 600 && s.last->cut == AGT_CUT_TOKENS && !(s.notes.p && strstr(s.notes.p, "repeats itself")));
    seen_clear(&s);
    agt_close(a);
}

/* From agt_stop to the last token, and from agt_stop to the end of a prefill: the best of several, because other programs
 * may hold the processor at one of them. Returns milliseconds. */
static double stop_ms(agt *a, seen *s, enum agt_event_kind when, int number, const char *question, int mid_us)
{
    agt_submit(a, question);
    if (!wait_for(a, s, when, number, 5000))
        return 1e9;
    usleep((useconds_t)mid_us);          /* into the middle of a token or of a chunk */
    int64_t from = q_now_ns(), last = from;
    agt_stop(a);
    for (bool done = false; !done && q_now_ns() - from < 20000000000;) {
        agt_event e;
        while (!done && agt_next(a, &e)) {
            if (e.kind == AGT_EV_TOKEN || (e.kind == AGT_EV_PREFILL && when == AGT_EV_PREFILL))
                last = q_now_ns();
            done = e.kind == AGT_EV_DONE;
            seen_take(s, &e);
        }
        struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
        poll(&p, 1, 50);
    }
    bool stopped = s->last && s->last->state == AGT_STOPPED;     /* else it had ended by itself just then: counts for nothing */
    settle(a, s);
    return stopped ? (double)(last - from) / 1e6 : 1e9;
}

static void stops_in_time(const char *model, int words, int mid_us)
{
    static const char *const set[] = { "sampler.temperature=1", "sampler.seed=7", "memory.on=off", "sampler.loop_stop=off", "context.length=4096" };
    char err[Q_ERRLEN];
    seen s = { 0 };
    agt *a;
    agt_options o = { .model = model, .db = ":memory:", .set = set, .n_set = 5 };
    if (agt_open(&o, &a, err) < 0) {
        CHECK_MSG(false, "%s", err);
        return;
    }
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 30000));
    q_buf b = { 0 };
    double decode = 1e9, prefill = 1e9;
    double worst = 0;
    for (int i = 0; i < 5; i++) {
        double ms = stop_ms(a, &s, AGT_EV_TOKEN, 2, "tell me everything about the sea", mid_us ? 2000 + 700 * i : 0);
        decode = ms < decode ? ms : decode;
        worst = ms > worst && ms < 1e8 ? ms : worst;
    }
    for (int i = 0; i < 5; i++) {
        q_buf_clear(&b);
        for (int w = 0; w < words; w++)
            q_buf_printf(&b, "%s%d ", w % 3 ? "wave " : "sailor ", w * 7 + i);
        agt_submit(a, "/new");           /* nothing of it is in the cache */
        settle(a, &s);
        double ms = stop_ms(a, &s, AGT_EV_PREFILL, 0, b.p, mid_us * (i + 1));
        prefill = ms < prefill ? ms : prefill;
        worst = ms > worst && ms < 1e8 ? ms : worst;
    }
    printf("# stopped in %.1f ms in decode, %.1f ms in prefill, at worst %.1f ms\n", decode, prefill, worst);
    if (getenv("QUORUM_LONG")) {         /* the clock is not make test's affair: test_agent_script counts tokens instead */
        CHECK_MSG(decode < 50, "%.1f ms from agt_stop to the last token", decode);
        CHECK_MSG(prefill < 50, "%.1f ms from agt_stop to the end of the prefill", prefill);
    }
    q_buf_free(&b);
    seen_clear(&s);
    agt_close(a);
}

static void stops_in_time_tiny(void) { stops_in_time(help_model(), 300, 0); }
static char *big;
static void stops_in_time_default(void) { stops_in_time(big, 500, 15000); }

/* A long conversation in a short context goes on: what is left out is said, the newest turns stay. */
static void short_context_goes_on(void)
{
    static const char *const set[] = { "context.length=512", "sampler.max_tokens=100", "sampler.seed=3", "memory.on=off", "chat.system=Be brief." };
    char err[Q_ERRLEN];
    seen s = { 0 };
    agt *a;
    agt_options o = { .model = big, .db = ":memory:", .set = set, .n_set = 5 };
    CHECK_INT(agt_open(&o, &a, err), 0);
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 30000));
    int notes = 0;
    for (int i = 0; i < 7; i++) {
        char q[200];
        snprintf(q, sizeof q, "Question %d: tell me something long about mountains, rivers and the people who live between them.", i);
        seen_clear(&s);
        agt_submit(a, q);
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
        CHECK_MSG(s.last && (s.last->state == AGT_DONE), "turn %d: %s", i, s.notes.p ? s.notes.p : "");
        CHECK_INT(s.errors, 0);
        int said = 0;
        for (const char *p = s.notes.p; p && (p = strstr(p, "context is full")); p++)
            said++;
        CHECK(said <= 1);
        notes += said;
        CHECK(s.last && s.last->n_prompt <= 512);
    }
    CHECK_MSG(notes >= 1 && notes < 6, "said %d times in 7 turns", notes);    /* some are dropped at once, not one a turn */
    agt_submit(a, "/context");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    CHECK_MSG(s.page && strstr(s.page, "left out of the prompt"), "%s", s.page ? s.page : "");
    seen_clear(&s);
    agt_close(a);
}

/* /brain: all that a person does with one, while an answer streams too; F9 takes a loaded one back. */
static void brains_come_and_go(void)
{
    char home[] = "/tmp/quorum-brains-XXXXXX", file[128];
    seen s = { 0 };
    CHECK(mkdtemp(home) != NULL);
    setenv("XDG_CONFIG_HOME", home, 1);
    agt *a = help_open(":memory:", 3, slow, &s);
    q_buf v = { 0 };
    agt_submit(a, "/brain");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "standard") && strstr(s.page, "agi") && strstr(s.page, "experts.k x2"), "%s", s.page ? s.page : "");
    agt_submit(a, "what is experts.k?");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 1, 20000));
    agt_submit(a, "/brain load agi");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), "8");
    CHECK_STR(agt_knob_value(a, knob(a, "rope.scaling"), &v), "yarn");
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_submit(a, "/brain save mine");
    CHECK(wait_for(a, &s, AGT_EV_NOTE, 0, 60000));
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "kept as mine"), "%s", s.notes.p ? s.notes.p : "");
    agt_toggle(a);
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), "4");
    agt_submit(a, "/brain solo");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), "1");
    agt_submit(a, "/brain diff mine");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "experts.k") && strstr(s.page, "yarn"), "%s", s.page ? s.page : "");
    agt_submit(a, "/brain diff deep mine");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && !strstr(s.page, "experts.k") && strstr(s.page, "rope.factor"), "%s", s.page ? s.page : "");
    agt_submit(a, "/brain rename mine yours");
    CHECK(wait_for(a, &s, AGT_EV_NOTE, 0, 60000));
    agt_submit(a, "/brain load yours");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), "8");
    static const char *const wrong[] = { "/brain load nonesuch", "/brain save ../x", "/brain save deep", "/brain delete agi", "/brain rename yours", "/brain save" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int before = s.errors;
        agt_submit(a, wrong[i]);
        CHECK(wait_for(a, &s, AGT_EV_NOTE, 0, 60000));
        CHECK_MSG(s.errors == before + 1, "%s", wrong[i]);
    }
    agt_submit(a, "/brain delete yours");
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
    agt_answer(a, s.ask, true);
    CHECK(wait_for(a, &s, AGT_EV_NOTE, 0, 60000));
    CHECK_MSG(strstr(s.notes.p, "is deleted"), "%s", s.notes.p);
    seen_clear(&s);
    agt_close(a);
    q_buf_free(&v);
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    snprintf(file, sizeof file, "%s/quorum/brains", home);
    CHECK(rmdir(file) == 0);
    *strrchr(file, '/') = 0;
    rmdir(file);
    rmdir(home);
}

/* /compare: on a conversation, its last answer, a file; the conversation's cells stay as they were. */
static void configurations_are_compared(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    static const struct { const char *line, *says; } early[] = { { "/compare k=1", "no text yet" }, { "/compare", "A [B]" }, { "/compare a b c", "each a brain" },
        { "/compare nonesuch on LICENSE", "there are standard" }, { "/compare k=1 on /nonesuch/file", "nonesuch" }, { "/compare --other /nonesuch/x.gguf on LICENSE", "nonesuch" } };
    for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
        int before = s.errors;
        agt_submit(a, early[i].line);
        while (s.errors == before && wait_for(a, &s, AGT_EV_NOTE, 0, 60000))     /* the one before may not have ended yet: that is said first */
            ;
        CHECK_MSG(s.errors == before + 1 && strstr(s.notes.p, early[i].says), "%s: %s", early[i].line, s.notes.p ? s.notes.p : "");
    }
    agt_submit(a, "Tell me what experts are in a model that has many of them, and why a router chooses only some of them for each token of a text.");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    agt_status st;
    agt_get_status(a, &st);
    int used = st.ctx_used;
    static const struct { const char *line, *says; } good[] = { { "/compare k=1", "A  now\n" }, { "/compare standard standard", "\nno difference\n" },
        { "/compare k=1 k=12 on LICENSE", "different; " }, { NULL, "\nno difference\n" } };
    char *other = q_printf("/compare --other %s on LICENSE", help_model());      /* against itself */
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        agt_submit(a, good[i].line ? good[i].line : other);
        CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 120000));
        CHECK_MSG(s.page && strstr(s.page, good[i].says), "%s: %s", good[i].line ? good[i].line : other, s.page ? s.page : "");
    }
    free(other);
    agt_get_status(a, &st);
    CHECK_INT(st.ctx_used, used);
    seen_clear(&s);
    agt_close(a);
}

/* /sweep: a table, and CSV in a file of its own; the conversation's cells stay as they were. */
static void a_knob_is_swept(void)
{
    char file[] = "/tmp/quorum-sweep-XXXXXX", line[256], err[Q_ERRLEN];
    if (!mkdtemp(file))
        return;
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    char *csv = q_printf("%s/out.csv", file);
    static const struct { const char *line, *says; } bad[] = { { "/sweep k", "1..16" }, { "/sweep k 1 csv", "1..16" }, { "/sweep k 1 2", "1..16" }, { "/sweep k 1..2", "no text yet" },
        { "/sweep nose 1 on LICENSE", "no knob nose" }, { "/sweep k 99 on LICENSE", "1 to 12" }, { "/sweep k 1 on /nonesuch/file", "nonesuch" },
        { "/sweep k 1 csv LICENSE/x.csv on LICENSE", "cannot write" }, { "/sweep k 1 csv /dev/full on LICENSE", "there already" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int before = s.errors;
        agt_submit(a, bad[i].line);
        while (s.errors == before && wait_for(a, &s, AGT_EV_NOTE, 0, 60000))
            ;
        CHECK_MSG(s.errors == before + 1 && strstr(s.notes.p, bad[i].says) && !s.page, "%s: %s", bad[i].line, s.notes.p ? s.notes.p : "");
    }
    snprintf(line, sizeof line, "/sweep experts.k 1..4/3,99 csv %s on LICENSE", csv);
    agt_submit(a, line);
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 120000));
    CHECK_MSG(s.page && strstr(s.page, "experts.k, the model's own 4") && strstr(s.page, "99 is left out"), "%s", s.page ? s.page : "");
    while (!strstr(s.notes.p, "the numbers are in") && wait_for(a, &s, AGT_EV_NOTE, 0, 60000))
        ;
    q_buf got = { 0 };
    CHECK(q_read_file(csv, &got, 1 << 16, err) == 0 && strncmp(got.p, "knob,value,own,", 15) == 0 && strstr(got.p, "\nexperts.k,4,1,"));
    int before = s.errors;
    agt_submit(a, line);
    while (s.errors == before && wait_for(a, &s, AGT_EV_NOTE, 0, 60000))
        ;
    CHECK_MSG(s.errors == before + 1 && strstr(s.notes.p, "there already"), "%s", s.notes.p ? s.notes.p : "");
    q_buf_free(&got);
    remove(csv);
    rmdir(file);
    free(csv);
    seen_clear(&s);
    agt_close(a);
}

/* What a token costs, of the loaded model; while an answer streams nothing is measured, so that it is not slowed down. */
static void energy_is_told(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, slow, &s);
    agt_submit(a, "/energy text");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "4, own ") && strstr(s.page, "12, all ") && strstr(s.page, "max tokens/s"), "%s", s.page ? s.page : "");
    agt_energy e;
    CHECK(!agt_get_energy(a, &e));
    agt_ask_energy(a);
    CHECK(wait_for(a, &s, AGT_EV_ENERGY, 0, 60000));
    CHECK(agt_get_energy(a, &e) && e.n_expert == 12 && e.k == 4 && e.bandwidth > 0 && e.n_row == 5);
    agt_nudge_k(a, -1);
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 20000));
    CHECK(agt_get_energy(a, &e) && e.k == 3 && e.n_row == 6 && e.row[2].now && e.row[2].ceiling > e.row[3].ceiling);
    CHECK_INT(e.spared, 0);
    agt_submit(a, "/set ffn.width 50%");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 20000));
    CHECK(agt_get_energy(a, &e) && e.spared > 0);
    agt_status half, whole;
    agt_get_status(a, &half);
    uint64_t spared = e.spared;
    agt_submit(a, "/set ffn.width 50%:magnitude");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 20000));
    agt_get_status(a, &whole);
    CHECK(agt_get_energy(a, &e));
    CHECK_INT(e.spared, 0);                         /* all are computed before the largest are known */
    CHECK_INT(whole.bytes_per_token - half.bytes_per_token, spared);
    CHECK(whole.params_active > half.params_active);
    agt_nudge_k(a, 1);
    agt_submit(a, "what is experts.k?");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 1, 20000));
    agt_submit(a, "/energy text");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "12, all ") && !strstr(s.page, "max tokens/s"), "%s", s.page ? s.page : "");
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    int before = s.errors;
    agt_submit(a, "/energy no-such-model-anywhere");
    CHECK(wait_for(a, &s, AGT_EV_NOTE, 0, 60000));
    CHECK_INT(s.errors, before + 1);
    seen_clear(&s);
    agt_close(a);
}

/* Which model suits this machine: nothing is measured beside an answer, and once it was, it is known. */
static void advice_is_told(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, slow, &s);
    agt_advice d;
    agt_submit(a, "what is experts.k?");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 1, 20000));
    agt_ask_advice(a, false);
    CHECK(wait_for(a, &s, AGT_EV_ADVICE, 0, 60000));
    CHECK(!agt_get_advice(a, &d));
    adv_about_free(&d);
    int before = s.errors;
    agt_submit(a, "/advise text");
    while (s.errors == before && wait_for(a, &s, AGT_EV_NOTE, 0, 60000))
        ;
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "measuring the machine would slow it down"), "%s", s.notes.p ? s.notes.p : "");
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    CHECK(wait_for(a, &s, AGT_EV_ADVICE, 0, 60000));     /* it was owed */
    CHECK(agt_get_advice(a, &d) && d.machine.measured && d.machine.ram_bandwidth > 0 && d.n > 10 && d.fit.costs.n_expert == 12 && d.n_k == 3 && d.k[1] == 4);
    CHECK(*d.name && d.measured > 0);
    double bandwidth = d.machine.ram_bandwidth;
    adv_about_free(&d);
    agt_submit(a, "what is experts.k?");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 1, 20000));
    agt_submit(a, "/advise text");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "Why not another") && strstr(s.page, " lies in "), "%s", s.page ? s.page : "");
    agt_ask_advice(a, true);                     /* not now: what is known stays */
    CHECK(wait_for(a, &s, AGT_EV_ADVICE, 0, 60000));
    CHECK(agt_get_advice(a, &d) && d.machine.ram_bandwidth >= bandwidth);
    adv_about_free(&d);
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    seen_clear(&s);
    agt_close(a);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    if (!help_model()) {
        SKIP("agent shell", "no golden model");
        return 0;
    }
    RUN(ranges_are_the_models);
    RUN(why_during_an_answer);
    RUN(energy_is_told);
    RUN(advice_is_told);
    RUN(configurations_are_compared);
    RUN(a_knob_is_swept);
    RUN(brains_come_and_go);
    RUN(panel_keeps_the_last_answer);
    RUN(settings_come_from_memory);
    RUN(waiting_question_survives);
    RUN(scripts_stay_out_of_the_way);
    RUN(piped_text_does_not_drown_the_question);
    RUN(models_change_safely);
    RUN(loops_are_stopped);
    RUN(stops_in_time_tiny);
    if ((big = util_default_model()) != NULL) {
        RUN(stops_in_time_default);
        RUN(short_context_goes_on);
        free(big);
    } else
        SKIP("stops_in_time_default, short_context_goes_on", "quorum model fetch was not run");
    return TEST_END();
}
