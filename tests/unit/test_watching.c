/* agent: a watched folder is kept in step. Each step waits for its condition, a minute and more; the half second that a folder must be quiet
 * makes this test take some seconds. No model is needed. */
#include "agent/errands.h"
#include "tests/unit/agent_help.h"

#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static char dir[] = "/tmp/quorum-watches-XXXXXX", db[64];
static agt *a;
static seen s;

static void open_room(void)
{
    char err[Q_ERRLEN];
    agt_options o = { .db = db };
    if (agt_open(&o, &a, err) < 0) {
        printf("not ok opening a room: %s\n", err);
        exit(1);
    }
    settle(a, &s);
}

static char *at(const char *name)
{
    static char p[4][128];
    static int i;
    i = (i + 1) % 4;
    snprintf(p[i], sizeof p[i], "%s/%s", dir, name);
    return p[i];
}

static void put(const char *name, const char *text)
{
    char err[Q_ERRLEN];
    CHECK_INT(q_write_file_atomic(at(name), text, strlen(text), err), 0);
}

/* 0: it is not in memory; 1: it is, 2: it is gone from its folder; *id, sha: of it. */
static int state(const char *name, int64_t *id, char sha[65])
{
    char err[Q_ERRLEN];
    mem_document d;
    int n = mem_document_by_path(a->store, at(name), &d, err) < 0 ? 0 : d.gone_ms ? 2 : 1;
    if (n && id)
        *id = d.id;
    if (n && sha)
        memcpy(sha, d.sha256, 65);
    mem_document_free(&d);
    return n;
}

static bool becomes(const char *name, int want)
{
    for (int64_t end = q_now_ns() + 90000000000; q_now_ns() < end;) {
        agt_event e;
        while (agt_next(a, &e))
            seen_take(&s, &e);
        if (state(name, NULL, NULL) == want)
            return true;
        usleep(20000);
    }
    printf("# %s is not %d; notes: %s\n", name, want, s.notes.p ? s.notes.p : "");
    return false;
}

/* Everything that the system told is known, looked at and done: what happens next happens to a folder at rest. */
static void at_rest(void)
{
    for (int64_t end = q_now_ns() + 90000000000; q_now_ns() < end; usleep(5000)) {
        int unread = 0;
        pthread_mutex_lock(&a->watching.mu);
        bool rests = ioctl(a->watching.in, FIONREAD, &unread) == 0 && unread == 0 && !a->watching.reads;
        for (int i = 0; i < a->watching.n; i++)
            rests &= !a->watching.v[i].due_ns && !a->watching.v[i].posted;
        pthread_mutex_unlock(&a->watching.mu);
        settle(a, &s);
        if (rests)
            return;
    }
    CHECK_MSG(false, "the folder never rests");
}

static bool changes(const char *name, const char *sha)
{
    char now[65] = "";
    for (int64_t end = q_now_ns() + 90000000000; q_now_ns() < end; usleep(20000))
        if (state(name, NULL, now) == 1 && strcmp(now, sha) != 0)
            return true;
    return false;
}

static void shell(const char *line)
{
    agt_submit(a, line);
    settle(a, &s);
}

static void what_changes_is_followed(void)
{
    char sha[65] = "", *line = q_printf("/watch %s", at("notes"));
    int64_t id = 0, again = 0;
    CHECK_INT(mkdir(at("notes"), 0700), 0);
    put("notes/a.md", "# Owls\n\nOwls hunt at dusk over the meadow.\n");
    put("notes/z.md", "# Stays\n\nThis one stays all the while.\n");
    open_room();
    shell("/watch");
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "no folder is watched"), "%s", s.notes.p ? s.notes.p : "");
    shell("/watch /nonesuch/folder");
    CHECK(strstr(s.notes.p, "cannot watch /nonesuch/folder"));
    shell(line);
    CHECK(becomes("notes/a.md", 1) && becomes("notes/z.md", 1));     /* what is there is taken in */
    put("notes/b.md", "# Terns\n\nTerns dive for sand eels.\n");
    CHECK(becomes("notes/b.md", 1));
    CHECK_INT(rename(at("notes/b.md"), at("notes/c.md")), 0);
    CHECK(becomes("notes/c.md", 1) && becomes("notes/b.md", 0));
    CHECK_INT(state("notes/a.md", &id, sha), 1);
    put("notes/a.md", "# Owls\n\nOwls hunt at dawn, too, over the ditch.\n");
    CHECK(changes("notes/a.md", sha));
    CHECK_INT(mkdir(at("notes/sub"), 0700), 0);
    CHECK_INT(mkdir(at("notes/sub/deep"), 0700), 0);
    put("notes/sub/deep/d.md", "# Rails\n\nRails call from the reeds.\n");
    CHECK(becomes("notes/sub/deep/d.md", 1));
    put("notes/sub/deep/e.md", "# Coots\n\nCoots build on the water.\n");       /* of a folder that came later */
    CHECK(becomes("notes/sub/deep/e.md", 1));
    CHECK_INT(state("notes/c.md", &id, NULL), 1);
    CHECK_INT(rename(at("notes/c.md"), at("outside.md")), 0);
    CHECK(becomes("notes/c.md", 2));
    CHECK_INT(rename(at("outside.md"), at("notes/c.md")), 0);
    CHECK(becomes("notes/c.md", 1));
    CHECK_INT(state("notes/c.md", &again, NULL), 1);
    CHECK_INT(again, id);                /* the same words: taken up again as it was */
    free(line);
}

/* No more folders are asked for: those that were are told of still. */
static void what_nothing_tells_of_is_looked_at(void)
{
    char *line = q_printf("/watch %s", at("many")), *off = q_printf("/watch off %s", at("many"));
    CHECK_INT(mkdir(at("many"), 0700), 0);
    CHECK_INT(mkdir(at("many/sub"), 0700), 0);
    put("many/sub/a.md", "# Knots\n\nKnots follow the edge of the tide.\n");
    at_rest();
    pthread_mutex_lock(&a->watching.mu);
    int most = a->watching.most;
    int64_t again = a->watching.again_ns;
    a->watching.most = 0;
    a->watching.again_ns = 50000000;
    pthread_mutex_unlock(&a->watching.mu);
    q_buf_clear(&s.notes);
    shell(line);
    CHECK(becomes("many/sub/a.md", 1));
    CHECK(said(a, &s, "more folders than the system tells of"));
    put("many/sub/b.md", "# Ruffs\n\nRuffs dance on the same ground each spring.\n");
    CHECK(becomes("many/sub/b.md", 1));
    const char *first = s.notes.p ? strstr(s.notes.p, "more folders than") : NULL;
    CHECK_MSG(first && !strstr(first + 1, "more folders than"), "%s", s.notes.p);        /* once */
    shell(off);
    pthread_mutex_lock(&a->watching.mu);
    a->watching.most = most;
    a->watching.again_ns = again;
    pthread_mutex_unlock(&a->watching.mu);
    free(line);
    free(off);
}

/* Folders that the system tells this process of. */
static int told_of(void)
{
    char path[64], line[512];
    int n = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", a->watching.in);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        n += strncmp(line, "inotify wd:", 11) == 0;
    if (f)
        fclose(f);
    return n;
}

static void what_is_let_go_is_not_told_of(void)
{
    char *line = q_printf("/watch %s", at("three")), *off = q_printf("/watch off %s", at("three"));
    CHECK_INT(mkdir(at("three"), 0700), 0);
    CHECK_INT(mkdir(at("three/a"), 0700), 0);
    CHECK_INT(mkdir(at("three/b"), 0700), 0);
    at_rest();
    int before = told_of();
    shell(line);
    at_rest();
    CHECK_INT(told_of(), before + 3);
    shell(off);
    for (int64_t end = q_now_ns() + 90000000000; told_of() != before && q_now_ns() < end;)
        usleep(5000);
    CHECK_INT(told_of(), before);
    shell(line);                         /* and again, as if it had never been */
    put("three/b/a.md", "# Ruffs\n\nRuffs dance on the same ground.\n");
    CHECK(becomes("three/b/a.md", 1));
    shell(off);
    free(line);
    free(off);
}

static void what_cannot_be_reached_is_kept(void)
{
    char why[Q_ERRLEN], *line = q_printf("/watch %s", at("notes"));
    at_rest();
    q_buf_clear(&s.notes);
    CHECK_INT(rename(at("notes"), at("away")), 0);
    CHECK(said(a, &s, "is not reachable since"));
    settle(a, &s);
    CHECK(state("notes/a.md", NULL, NULL) == 1 && state("notes/z.md", NULL, NULL) == 1 && state("notes/sub/deep/d.md", NULL, NULL) == 1);
    shell("/watch");
    CHECK_MSG(s.page && strstr(s.page, "not reachable since"), "%s", s.page ? s.page : "");
    CHECK_MSG(s.data && strstr(s.data, "\"not_reachable_since\":1"), "%s", s.data ? s.data : "");
    /* its passages say so, and since when, also over a start; another folder's do not */
    rag_aways l;
    CHECK_INT(rag_away_list(a->store, &l, why), 0);
    int64_t since = l.n == 1 ? l.v[0].since_ms : -1;
    rag_aways_free(&l);
    agt_close(a);
    open_room();
    shell("/search who stays all the while");
    CHECK_MSG(s.page && strstr(s.page, "; not reachable since 20") && !strstr(s.page, "its file is not there"), "%s", s.page ? s.page : "");
    char *field = q_printf("\"not_reachable_since\":%lld", (long long)since);
    CHECK_MSG(since > 0 && s.data && strstr(s.data, field), "%s: %s", field, s.data ? s.data : "");
    at_rest();
    shell("/watch");
    CHECK_MSG(s.data && strstr(s.data, field), "%s: %s", field, s.data ? s.data : "");
    free(field);
    CHECK_INT(mkdir(at("notes"), 0700), 0);
    shell(line);                         /* there, and empty: its disk may not be */
    at_rest();
    CHECK(state("notes/a.md", NULL, NULL) == 1 && state("notes/z.md", NULL, NULL) == 1);
    CHECK_INT(rmdir(at("notes")), 0);
    CHECK_INT(rename(at("away"), at("notes")), 0);
    shell(line);
    CHECK(said(a, &s, "is reachable again"));
    shell("/search who stays all the while");
    CHECK_MSG(s.page && strstr(s.page, "stays") && !strstr(s.page, "not reachable"), "%s", s.page ? s.page : "");
    put("notes/f.md", "# Dippers\n\nDippers walk under water.\n");
    CHECK(becomes("notes/f.md", 1));
    free(line);
}

static void what_was_forgotten_stays_away(void)
{
    char *line = q_printf("/forget %s", at("notes/a.md"));
    agt_submit(a, line);
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
    agt_answer(a, s.ask, true);
    settle(a, &s);
    CHECK_INT(state("notes/a.md", NULL, NULL), 0);
    put("notes/g.md", "# Swifts\n\nSwifts sleep on the wing.\n");
    CHECK(becomes("notes/g.md", 1));
    at_rest();
    CHECK_INT(state("notes/a.md", NULL, NULL), 0);
    free(line);
    line = q_printf("/add %s", at("notes/a.md"));      /* by its name it comes again */
    shell(line);
    CHECK_INT(state("notes/a.md", NULL, NULL), 1);
    free(line);
}

/* ---- nobody waits, and a stop puts off ---- */
struct holding { atomic_bool held, go; };

static void hold(void *user, const char *path)
{
    struct holding *h = user;
    if (!strstr(path, "/slow"))
        return;
    atomic_store(&h->held, true);
    for (int64_t end = q_now_ns() + 90000000000; !atomic_load(&h->go) && q_now_ns() < end; usleep(2000)) {}
}

/* While the thread asks to be told of a folder (a large tree, a slow disk) the list is answered. */
static void the_list_waits_for_no_disk(void)
{
    struct holding h = { 0 };
    char *line = q_printf("/watch %s", at("slow")), *off = q_printf("/watch off %s", at("slow"));
    CHECK_INT(mkdir(at("slow"), 0700), 0);
    put("slow/a.md", "# Loons\n\nLoons dive deep.\n");
    at_rest();
    pthread_mutex_lock(&a->watching.mu);
    a->watching.before_user = &h;
    a->watching.before = hold;
    pthread_mutex_unlock(&a->watching.mu);
    agt_submit(a, line);
    for (int64_t end = q_now_ns() + 90000000000; !atomic_load(&h.held) && q_now_ns() < end;) {
        agt_event e;
        while (agt_next(a, &e))
            seen_take(&s, &e);
        usleep(2000);
    }
    CHECK(atomic_load(&h.held));
    CHECK_INT(pthread_mutex_trylock(&a->watching.mu), 0);
    pthread_mutex_unlock(&a->watching.mu);
    free(s.page);
    s.page = NULL;
    agt_submit(a, "/watch");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000) && s.page && strstr(s.page, "/slow"));     /* while it is held */
    CHECK(!atomic_load(&h.go));
    atomic_store(&h.go, true);
    CHECK(becomes("slow/a.md", 1));
    shell(off);
    at_rest();
    pthread_mutex_lock(&a->watching.mu);
    a->watching.before = NULL;
    pthread_mutex_unlock(&a->watching.mu);
    free(line);
    free(off);
}

static void stop_once(void *user, const job *j)
{
    atomic_int *left = user;
    if (strcmp(j->row->name, "watched") == 0 && atomic_fetch_sub(left, 1) > 0)
        desk_stop(&a->desk);
}

/* /stop meets a look at its beginning: it is made up, and said. */
static void a_look_that_was_stopped_is_made_up(void)
{
    atomic_int left = 1;
    at_rest();
    pthread_mutex_lock(&a->watching.mu);
    int64_t again = a->watching.again_ns;
    a->watching.again_ns = 50000000;
    pthread_mutex_unlock(&a->watching.mu);
    q_buf_clear(&s.notes);
    desk_before(&a->desk, stop_once, &left);
    put("notes/late.md", "# Larks\n\nLarks sing on the wing.\n");
    CHECK(said(a, &s, "was stopped: it is made up in half a minute"));
    CHECK(becomes("notes/late.md", 1));
    at_rest();
    desk_before(&a->desk, NULL, NULL);
    CHECK(atomic_load(&left) < 0);
    pthread_mutex_lock(&a->watching.mu);
    a->watching.again_ns = again;
    pthread_mutex_unlock(&a->watching.mu);
}

static void the_next_start_goes_on(void)
{
    char *line = q_printf("/watch off %s", at("notes"));
    agt_close(a);
    put("notes/h.md", "# Wrens\n\nWrens sing loudly for their size.\n");
    open_room();
    CHECK(becomes("notes/h.md", 1));
    shell(line);
    q_buf_clear(&s.notes);
    shell("/watch");
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "no folder is watched"), "%s", s.notes.p ? s.notes.p : "");
    shell(line);
    CHECK(strstr(s.notes.p, "is not watched"));
    CHECK_INT(state("notes/h.md", NULL, NULL), 1);
    agt_close(a);
    open_room();
    CHECK_INT(a->watching.n, 0);
    agt_close(a);
    seen_clear(&s);
    free(line);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(db, sizeof db, "%s/quorum.db", dir);
    const char *const own[] = { "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        setenv(own[i], dir, 1);
    RUN(what_changes_is_followed);
    RUN(what_nothing_tells_of_is_looked_at);
    RUN(what_is_let_go_is_not_told_of);
    RUN(what_cannot_be_reached_is_kept);
    RUN(what_was_forgotten_stays_away);
    RUN(the_list_waits_for_no_disk);
    RUN(a_look_that_was_stopped_is_made_up);
    RUN(the_next_start_goes_on);
    char *rm = q_printf("rm -rf '%s'", dir);
    int rc = system(rm);
    free(rm);
    return rc ? 1 : TEST_END();
}
