/* agent: what is said of errands: skipped files once a reason, what waits at once, and a question before something is lost. */
#include "agent/errands.h"
#include "tests/unit/agent_help.h"

#include <sys/stat.h>

static char dir[] = "/tmp/quorum-words-XXXXXX", err[Q_ERRLEN];

static agt *start(seen *s)
{
    agt *a = NULL;
    agt_options o = { .db = ":memory:" };
    a = help_opened(agt_open(&o, &a, err) == Q_OK ? a : NULL, err);
    CHECK(all_done(a, s));
    seen_clear(s);
    return a;
}

static void put(const char *folder, const char *name, const char *text, size_t n)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_INT(q_write_file_atomic(path, text, n, err), 0);
}

static int count(const seen *s, int kind)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += s->kind[i] == kind;
    return n;
}

static void skipped_files_are_said_once(void)
{
    seen s = { 0 };
    char folder[96], name[32], command[128];
    snprintf(folder, sizeof folder, "%s/mixed", dir);
    mkdir(folder, 0700);
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "picture%02d.txt", i);
        put(folder, name, "\x89PNG\0\0\0\0\1\2\3", 11);
    }
    put(folder, "one.txt", "A text about bears.\n", 20);
    put(folder, "two.txt", "A text about light.\n", 20);
    agt *a = start(&s);
    snprintf(command, sizeof command, "/add %s", folder);
    agt_submit(a, command);
    CHECK(all_done(a, &s));
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "2 files added") && strstr(s.notes.p, "30 skipped"), "%s", s.notes.p ? s.notes.p : "");
    CHECK_MSG(count(&s, AGT_EV_NOTE) == 1, "%d notes: %s", count(&s, AGT_EV_NOTE), s.notes.p ? s.notes.p : "");
    CHECK_MSG(s.page && strstr(s.page, "29") && strchr(s.page, '\n') == strrchr(s.page, '\n'), "%s", s.page ? s.page : "no page");   /* one line, for one reason */
    CHECK(s.progress_ended && first_of(&s, AGT_EV_PROGRESS) < first_of(&s, AGT_EV_NOTE));
    agt_close(a);
    seen_clear(&s);
}

static void hold_long(void *user, const job *j)
{
    for (int ms = 0; ms < 60000 && j->row == &job_add && !atomic_load((atomic_bool *)user); ms++)
        usleep(1000);
}

static void what_waits_says_so(void)
{
    seen s = { 0 };
    atomic_bool let = false;
    char folder[96], command[128];
    snprintf(folder, sizeof folder, "%s/waits", dir);
    mkdir(folder, 0700);
    put(folder, "one.txt", "A text about bears.\n", 20);
    agt *a = start(&s);
    desk_before(&a->desk, hold_long, &let);
    snprintf(command, sizeof command, "/add %s", folder);
    agt_submit(a, command);
    CHECK(count(&s, AGT_EV_NOTE) == 0);
    agt_submit(a, command);              /* said in this thread, at once */
    agt_event e;
    while (agt_next(a, &e))
        seen_take(&s, &e);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "/add is done when the present work ends"), "%s", s.notes.p ? s.notes.p : "");
    atomic_store(&let, true);
    CHECK(all_done(a, &s));
    CHECK(strstr(s.notes.p, "1 file added") && strstr(s.notes.p, "1 unchanged"));
    agt_close(a);
    seen_clear(&s);
}

/* The least pace is slow, not none: it waits until something happens. */
static void *between(void *user)
{
    static enum desk_go go;
    go = desk_between(user, q_now_ns());
    return &go;
}

static void a_tiny_pace_waits(void)
{
    static const double paces[] = { 1e-10, 1.1e-10, 5e-324 };
    for (size_t i = 0; i < sizeof paces / sizeof *paces; i++) {
        desk d = { 0 };
        pthread_t t;
        void *go;
        desk_open(&d);
        desk_pace(&d, paces[i]);
        CHECK_INT(pthread_create(&t, NULL, between, &d), 0);
        usleep(20000);                   /* so that one that does not wait has gone on */
        desk_quit(&d);
        pthread_join(t, &go);
        CHECK_INT(*(enum desk_go *)go, DESK_STOP);
        desk_close(&d);
    }
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    setenv("QUORUM_MODELS", "/nonexistent", 1);
    RUN(skipped_files_are_said_once);
    RUN(what_waits_says_so);
    RUN(a_tiny_pace_waits);
    char *rm = q_printf("rm -rf %s", dir);
    if (system(rm) != 0)
        printf("# %s is left\n", dir);
    free(rm);
    return TEST_END();
}
