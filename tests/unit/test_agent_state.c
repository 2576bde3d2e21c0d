/* agent: a saved state at the next start: it is there before the first question, however early that comes; a long conversation
 * is cut where it was cut; what was accepted before the end is saved at the end. On the small golden model, in-process. */
#include "agent/room.h"
#include "tests/unit/agent_help.h"

#include <dirent.h>

static char home[] = "/tmp/quorum-home-XXXXXX", err[Q_ERRLEN];
static const char *const set[] = { "memory.on=off", "sampler.seed=5", "sampler.max_tokens=20", "sampler.loop_stop=off", "context.length=256" };
enum { N_SET = sizeof set / sizeof *set };

static char *in(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    return path;
}

static agt *start(const char *db)
{
    agt *a = NULL;
    agt_options o = { .model = help_model(), .db = in(db), .set = set, .n_set = N_SET };
    if (agt_open(&o, &a, err) < 0)
        a = NULL;
    return help_opened(a, err);
}

/* One question and all that comes of it; the tokens that were read for it. */
static int ask(agt *a, seen *s, const char *question)
{
    int read = 0;
    bool done = false;
    agt_submit(a, question);
    for (int64_t end = q_now_ns() + 120000000000; !done && q_now_ns() < end;) {
        agt_event e;
        while (agt_next(a, &e)) {
            read = e.kind == AGT_EV_PREFILL && e.total ? (int)e.total : read;
            done |= e.kind == AGT_EV_DONE;
            seen_take(s, &e);
        }
        struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
        poll(&p, 1, 5);
    }
    CHECK(done);
    return read;
}

static void command(agt *a, seen *s, const char *words)
{
    agt_submit(a, words);
    settle(a, s);
}

static char *prompt(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    char *p = q_strdup(a->shown.prompt ? a->shown.prompt : "");
    pthread_mutex_unlock(&a->shown.mu);
    return p;
}

static int files(void)
{
    int n = 0;
    DIR *d = opendir(in(".local/share/quorum/states"));
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void forget(void)
{
    const char *states = ".local/share/quorum/states";
    DIR *d = opendir(in(states));
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            char *path = q_printf("%s/%s/%s", home, states, e->d_name);
            unlink(path);
            free(path);
        }
    if (d)
        closedir(d);
    unlink_db(in("one.db"));
    unlink_db(in("two.db"));
}

static void it_is_there_before_the_first_question(void)
{
    seen s = { 0 };
    agt *a = start("one.db");
    int first = ask(a, &s, "Tell me of the river."), second = ask(a, &s, "And then?");
    agt_close(a);
    seen_clear(&s);
    forget();
    a = start("one.db");
    CHECK_INT(ask(a, &s, "Tell me of the river."), first);
    command(a, &s, "/save state");
    CHECK_INT(s.errors, 0);
    agt_close(a);
    seen_clear(&s);
    a = start("one.db");                 /* not waited for: the model is still to come */
    CHECK_INT(ask(a, &s, "And then?"), second);
    CHECK(s.notes.p && strstr(s.notes.p, "is taken up"));
    int note = -1;
    for (int i = 0; i < s.n && note < 0; i++)
        note = s.kind[i] == AGT_EV_PROGRESS ? i : note;
    CHECK(note >= 0 && note < first_of(&s, AGT_EV_SENT));
    agt_close(a);
    seen_clear(&s);
    forget();
}

/* Six questions fill the context more than once. Where the branch is kept from, and what is read, are those of a room that was
 * never left. */
static void a_long_conversation_is_cut_where_it_was(void)
{
    static const char *const q[] = { "Tell me of the river and of all its bridges, one after the other.", "Who built the first of them, and when was that?",
                                     "How long did the building take them?", "And what was it made of, in the beginning?", "When did it break?", "Was it built anew?",
                                     "By whom?" };
    enum { N = sizeof q / sizeof *q };
    int read[N], cut = 0;
    char *text[N], *whole[N];
    seen s = { 0 };
    agt *a = start("one.db");
    for (int i = 0; i < N; i++) {
        read[i] = ask(a, &s, q[i]);
        text[i] = q_strdup(s.last ? s.last->text : "");
        whole[i] = prompt(a);
        cut += a->chat.keep_from != 0;
    }
    agt_close(a);
    seen_clear(&s);
    CHECK_MSG(cut >= 2 && cut < N - 1, "cut %d times", cut);
    for (int i = 0; i < N; i++) {        /* left after every question */
        a = start("two.db");
        CHECK_INT(ask(a, &s, q[i]), read[i]);
        char *now = prompt(a);
        CHECK_STR(now, whole[i]);
        CHECK_STR(s.last ? s.last->text : "", text[i]);
        CHECK_MSG(!s.notes.p || !strstr(s.notes.p, "not taken up"), "%s", s.notes.p);
        command(a, &s, "/save state");
        agt_close(a);
        seen_clear(&s);
        free(now);
        CHECK_INT(files(), 1);
    }
    for (int i = 0; i < N; i++) {
        free(text[i]);
        free(whole[i]);
    }
    forget();
}

static void what_was_accepted_is_saved_at_the_end(void)
{
    seen s = { 0 };
    agt *a = start("one.db");
    ask(a, &s, "Tell me of the river.");
    agt_submit(a, "/save state");
    agt_close(a);
    seen_clear(&s);
    CHECK_INT(files(), 1);
    a = start("one.db");
    CHECK(said(a, &s, "is taken up"));
    settle(a, &s);
    CHECK(agt_idle(a));
    agt_status st;
    agt_get_status(a, &st);
    CHECK_MSG(st.ctx_used > 20 && st.mix.n == 1 && st.mix.of[0].cells == st.ctx_used && st.mix.of[0].k == st.k, "%d used, %d of the first", st.ctx_used,
              st.mix.of[0].cells);
    agt_close(a);
    seen_clear(&s);
    forget();
}

/* Cells of two configurations have their names after the next start, too. */
static void configurations_keep_their_names(void)
{
    seen s = { 0 };
    agt *a = start("one.db");
    command(a, &s, "/set experts.k 2");
    ask(a, &s, "Tell me of the river.");
    command(a, &s, "/set experts.k default");
    ask(a, &s, "And then?");
    command(a, &s, "/save state");
    agt_status before, after;
    agt_get_status(a, &before);
    agt_close(a);
    seen_clear(&s);
    a = start("one.db");
    CHECK(said(a, &s, "is taken up"));
    settle(a, &s);
    agt_get_status(a, &after);
    CHECK_INT(before.mix.n, 2);
    CHECK_INT(after.mix.n, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_STR(after.mix.of[i].label, before.mix.of[i].label);
        CHECK_INT(after.mix.of[i].cells, before.mix.of[i].cells);
    }
    agt_close(a);
    seen_clear(&s);
    forget();
}

int main(void)
{
    if (!help_model()) {
        SKIP("agent_state", "tests/run.sh has not unpacked the golden models");
        return 0;
    }
    if (!mkdtemp(home))
        return 1;
    static const char *const own[] = { "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        unsetenv(own[i]);
    setenv("HOME", home, 1);
    setenv("LC_ALL", "C", 1);
    RUN(it_is_there_before_the_first_question);
    RUN(a_long_conversation_is_cut_where_it_was);
    RUN(what_was_accepted_is_saved_at_the_end);
    RUN(configurations_keep_their_names);
    for (const char *p = ".local/share/quorum/states\0.local/share/quorum\0.local/share\0.local/state/quorum\0.local/state\0.local\0"; *p; p += strlen(p) + 1)
        rmdir(in(p));
    rmdir(home);
    return TEST_END();
}
