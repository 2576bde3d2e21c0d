/* agent: what a person sees around a turn: ranges, /why, the experts panel between answers, questions that wait. On the small
 * golden model; where the default model is installed, also on that. */
#include "tests/unit/agent_help.h"

#include "engine/engine.h"
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
    CHECK(a != NULL);
    if (!a)
        return;
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
    CHECK(a != NULL);
    if (!a)
        return;
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
    unlink(db);
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
    unlink(db);
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
    CHECK(a != NULL);
    if (!a)
        return;
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
    unlink(db);
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
    unlink(db);
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
    CHECK(a != NULL);
    if (!a)
        return;
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
    CHECK(a != NULL);
    if (!a)
        return;
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

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    if (!help_model()) {
        SKIP("agent shell", "no golden model");
        return 0;
    }
    RUN(ranges_are_the_models);
    RUN(why_during_an_answer);
    RUN(panel_keeps_the_last_answer);
    RUN(settings_come_from_memory);
    RUN(waiting_question_survives);
    RUN(scripts_stay_out_of_the_way);
    RUN(piped_text_does_not_drown_the_question);
    RUN(models_change_safely);
    return TEST_END();
}
