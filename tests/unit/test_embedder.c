/* agent/embedder: vectors are made while nothing else is to be done, and only then; a stop, a kill or a second process loses
 * nothing and makes nothing twice; another model stands beside the first. The models are tiny files, who answers is a script. Nothing
 * here looks at a clock: what happens at a step is done in its hook. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "engine/models.h"
#include "tests/embed_fixture.h"
#include "tests/script_provider.h"
#include "tests/unit/agent_help.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { DOCUMENTS = 24 };

static const script_line lines[] = { { NULL, "One two three four five six seven eight." }, { NULL, NULL } };
static script plan = { .line = lines };
static char err[Q_ERRLEN], dir[] = "/tmp/quorum-embedder-XXXXXX", db[64], *bert, *nomic;
static int answers(const char *model, const prov_opts *o, prov **out, char *e) { return script_open(&plan, o, out, e); }

/* ---- a store with something owed, and a room over it ---- */
/* Each text is its own: the tiny model knows the letters a to p. */
static void text_of(int i, char *out, size_t n)
{
    size_t at = 0;
    for (int w = 0; w < 90 && at + 8 < n; w++) {
        for (int c = 0; c < 5; c++)
            out[at++] = (char)('a' + (i * 7 + w * (c + 3) + c * i) % 16);
        out[at++] = ' ';
    }
    out[at] = 0;
}

static mem_store *store(void)
{
    mem_store *s = NULL;
    CHECK_MSG(mem_open(db, &s, err) == Q_OK, "%s", err);
    if (!s)
        exit(1);
    return s;
}

static void fill(mem_store *s, int n)
{
    mem_bulk *b = mem_bulk_new(s, NULL, NULL);
    for (int i = 0; i < n; i++) {
        char text[1024], name[32];
        text_of(i, text, sizeof text);
        snprintf(name, sizeof name, "note:%d", i);
        mem_document d = { .path = name, .title = name, .trust = MEM_TRUST_OWN };
        mem_chunk c = { 0, strlen(text), text, (char[]){ "" } };
        CHECK_INT(mem_bulk_put(b, &d, &c, 1, err), Q_OK);
    }
    CHECK_INT(mem_bulk_flush(b, err), Q_OK);
    mem_bulk_free(b);
}

/* A store without the manual, which a room puts in at its start unless a person removed it; made once. */
static void bare(const char *path)
{
    mem_store *s = NULL;
    mem_documents l = { 0 };
    CHECK_INT(mem_open(path, &s, err), Q_OK);
    CHECK_INT(rag_manual(s, err), Q_OK);
    CHECK_INT(mem_document_list(s, &l, err), Q_OK);
    for (int i = 0; i < l.n; i++)
        CHECK_INT(rag_remove(s, l.v[i].id, err), Q_OK);
    mem_documents_free(&l);
    CHECK_INT(mem_tidy(s, NULL, NULL, err), Q_OK);
    mem_close(s);
}

static void fresh(int n)
{
    char base[64];
    q_buf b = { 0 };
    snprintf(base, sizeof base, "%s/bare.db", dir);
    if (access(base, R_OK) != 0)
        bare(base);
    unlink_db(db);
    CHECK_INT(q_read_file(base, &b, 1 << 26, err), Q_OK);
    CHECK_INT(q_write_file_atomic(db, b.p, b.len, err), Q_OK);
    q_buf_free(&b);
    mem_store *s = store();
    fill(s, n);
    mem_close(s);
}

/* Vectors of all models together, and of how many models. */
static int64_t vectors(int *models)
{
    mem_store *s = store();
    mem_embedders l = { 0 };
    int64_t n = 0;
    CHECK_INT(mem_embedder_list(s, &l, err), Q_OK);
    for (int i = 0; i < l.n; i++)
        n += l.v[i].chunks + l.v[i].messages;
    if (models)
        *models = l.n;
    mem_embedders_free(&l);
    mem_close(s);
    return n;
}

/* A room whose embedder is off, so that a test can say what happens at a step; embedder_of then turns it on. */
static agt *room(seen *s, bool embeds)
{
    static const char *const set[] = { "memory.embedder=off" };
    agt_options o = { .model = "a script", .db = db, .set = set, .n_set = 1, .answers = answers, .fresh = true, .meaning = true, .embeds = embeds };
    agt *a = NULL;
    int rc = agt_open(&o, &a, err);
    a = help_opened(rc == Q_OK ? a : NULL, err);
    CHECK(wait_for(a, s, AGT_EV_READY, 0, 60000) && all_done(a, s));
    return a;
}

static void turn_on(agt *a, const char *path, void (*before)(void *, int64_t), void *user)
{
    a->embedder.niceness = 0;            /* beside a busy machine the test would wait for long */
    a->embedder.look_ms = 20;
    a->embedder.before = before;
    a->embedder.before_user = user;
    char *words = q_printf("/set memory.embedder %s", path);
    agt_submit(a, words);
    free(words);
}

/* Until the state is this one, with a limit. */
static bool until(agt *a, seen *s, enum agt_meaning_state state, agt_meaning *m)
{
    int64_t end = q_now_ns() + 120000000000;
    while (q_now_ns() < end) {
        agt_event e;
        while (agt_next(a, &e))
            seen_take(s, &e);
        agt_get_meaning(a, m);
        if (m->state == state)
            return true;
        usleep(2000);
    }
    printf("# state %s, %lld of %lld, %s; notes: %s\n", agt_meaning_word(m->state), (long long)m->done, (long long)m->all, m->problem, s->notes.p ? s->notes.p : "");
    return false;
}

static bool ready(agt *a, seen *s, agt_meaning *m) { return until(a, s, AGT_MEANING_READY, m); }

/* ---- tests ---- */
static void what_is_owed_is_made_and_found(void)
{
    seen s = { 0 };
    agt_meaning m;
    fresh(DOCUMENTS);
    agt *a = room(&s, true);
    agt_get_meaning(a, &m);
    CHECK(m.state == AGT_MEANING_OFF && embedder_near(a) == NULL);
    agt_submit(a, "/memory list");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000) && strstr(s.page, "memory.embedder is off"));
    turn_on(a, bert, NULL, NULL);
    CHECK(ready(a, &s, &m));
    CHECK(m.done == DOCUMENTS && m.all == DOCUMENTS);
    CHECK_STR(m.name, TINY_BERT.name);
    rag_near *near = embedder_near(a);
    CHECK(near != NULL);
    if (near) {                          /* the passage whose own words are asked for lies nearest */
        char text[1024];
        const char *t = text;
        size_t n;
        prov_embedder *e = NULL;
        float q[32];
        rag_near_hits hits = { 0 };
        text_of(5, text, sizeof text);
        n = strlen(text);
        CHECK_INT(prov_embedder_open(bert, 1, &e, err), Q_OK);
        CHECK_INT(prov_embedder_run(e, false, &t, &n, 1, q, NULL, NULL, err), Q_OK);
        CHECK_INT(rag_near_find(near, q, 0, true, &hits, err), Q_OK);
        CHECK(hits.of == DOCUMENTS && hits.n == DOCUMENTS);
        rag_near_hits_free(&hits);
        prov_embedder_close(e);
    }
    embedder_near_end(a, near);
    agt_submit(a, "/memory list");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(strstr(s.page, "Searched by meaning too: 24 passages have their vector of tiny e5-."), "%s", s.page);
    /* A question and its answer are passages too, and made behind the answer. */
    agt_submit(a, "abc def");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    for (int i = 0; i < 60000 && m.done < DOCUMENTS + 2; i++) {
        agt_get_meaning(a, &m);
        usleep(1000);
    }
    CHECK_INT(m.done, DOCUMENTS + 2);
    agt_close(a);
    CHECK_INT(vectors(NULL), DOCUMENTS + 2);
    seen_clear(&s);
}

/* How the last question was searched; -1: it was not. */
static int searched_by(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    int by = a->shown.why ? (int)a->shown.why->by : -1;
    pthread_mutex_unlock(&a->shown.mu);
    return by;
}

/* From words alone to meaning when most passages have their vector; memory.mode=off and back lose nothing. */
static void questions_are_searched_by_meaning(void)
{
    seen s = { 0 };
    agt_meaning m;
    fresh(DOCUMENTS);
    agt *a = room(&s, true);
    agt_submit(a, "abc def");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    CHECK_INT(searched_by(a), RAG_LEXICAL);
    turn_on(a, bert, NULL, NULL);
    CHECK(ready(a, &s, &m) && m.done == DOCUMENTS + 2);
    agt_submit(a, "bad cab");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    CHECK_INT(searched_by(a), RAG_HYBRID);
    agt_submit(a, "/set memory.mode off");
    CHECK(until(a, &s, AGT_MEANING_OFF, &m) && embedder_near(a) == NULL);
    agt_submit(a, "/set memory.mode auto");
    CHECK(ready(a, &s, &m) && m.done == DOCUMENTS + 4);
    agt_submit(a, "fed");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    CHECK_INT(searched_by(a), RAG_HYBRID);
    agt_close(a);
    seen_clear(&s);
}

/* At a step: a question is asked, or a folder added. At the next step that must be over. */
typedef struct meanwhile { agt *a; int64_t at; atomic_llong seen; const job_row *row; char *text; bool idle_after; atomic_int during, wrong; } meanwhile;

static void ask_meanwhile(void *user, int64_t n)
{
    meanwhile *w = user;
    atomic_store(&w->seen, n);
    if (n == w->at)
        desk_post(&w->a->desk, w->row, 0, 0, w->text, NULL);
    if (n == w->at + 1)                  /* it was posted before the last step was computed: this one waited for its end */
        w->idle_after = !desk_waits(&w->a->desk, LANE_ENGINE) && !desk_waits(&w->a->desk, LANE_LONG);
}

/* While a token is evaluated: no step came behind the one that was in flight when the question was asked. */
static void at_token(void *user, int token)
{
    meanwhile *w = user;
    if (!w->a || token < 0)
        return;
    atomic_fetch_add(&w->during, 1);
    if (atomic_load(&w->seen) != w->at)
        atomic_fetch_add(&w->wrong, 1);
}

static void an_answer_is_waited_for(void)
{
    seen s = { 0 };
    agt_meaning m;
    meanwhile w = { .at = 2, .row = &job_send, .text = (char[]){ "fox" } };
    fresh(DOCUMENTS);
    plan.at = at_token;
    plan.user = &w;
    agt *a = room(&s, true);
    w.a = a;
    turn_on(a, bert, ask_meanwhile, &w);
    CHECK(ready(a, &s, &m) && all_done(a, &s));
    CHECK(atomic_load(&w.seen) > w.at + 1);
    CHECK_INT(atomic_load(&w.wrong), 0);
    CHECK_MSG(w.idle_after, "a step began while an answer was given");
    CHECK(atomic_load(&w.during) > 3 && s.last && s.last->state == AGT_DONE);
    plan.at = NULL;
    agt_close(a);
    CHECK_INT(vectors(NULL), m.all);
    seen_clear(&s);
}

static void taking_in_is_waited_for(void)
{
    seen s = { 0 };
    agt_meaning m;
    char path[96];
    snprintf(path, sizeof path, "%s/more.txt", dir);
    CHECK_INT(q_write_file_atomic(path, "cab bad fed\n", 12, err), Q_OK);
    meanwhile w = { .at = 1, .row = &job_add, .text = path };
    fresh(DOCUMENTS);
    agt *a = room(&s, true);
    w.a = a;
    turn_on(a, bert, ask_meanwhile, &w);
    CHECK(ready(a, &s, &m) && all_done(a, &s));
    CHECK_MSG(w.idle_after, "a step began while files were taken in");
    CHECK(strstr(s.notes.p ? s.notes.p : "", "1 file added"));
    agt_close(a);
    CHECK_INT(vectors(NULL), DOCUMENTS + 1);     /* also what came meanwhile */
    unlink(path);
    seen_clear(&s);
}

/* The end comes while a step is computed: that one is finished, no other begins, and the next start makes the rest. */
static void close_meanwhile(void *user, int64_t n)
{
    meanwhile *w = user;
    atomic_store(&w->seen, n);
    if (n != w->at)
        return;
    atomic_store(&w->during, 1);
    for (int i = 0; i < 60000 && !desk_quits(&w->a->desk); i++)
        usleep(1000);
}

static void the_end_waits_for_one_step(void)
{
    seen s = { 0 };
    agt_meaning m;
    meanwhile w = { .at = 8 };
    fresh(3 * DOCUMENTS);
    agt *a = room(&s, true);
    w.a = a;
    turn_on(a, bert, close_meanwhile, &w);
    for (int i = 0; i < 60000 && !atomic_load(&w.during); i++)
        usleep(1000);
    CHECK(atomic_load(&w.during) == 1);
    agt_close(a);
    CHECK_INT(atomic_load(&w.seen), w.at);
    int64_t had = vectors(NULL);
    CHECK_MSG(had < 3 * DOCUMENTS, "%lld", (long long)had);
    seen_clear(&s);
    a = room(&s, true);
    turn_on(a, bert, NULL, NULL);
    CHECK(ready(a, &s, &m));
    agt_close(a);
    CHECK_INT(vectors(NULL), 3 * DOCUMENTS);
    seen_clear(&s);
}

static void die_at(void *user, int64_t n)
{
    if (n == *(int64_t *)user)
        kill(getpid(), SIGKILL);
}

static int count_steps(int64_t *last) { return (int)*last + 1; }
static void last_step(void *user, int64_t n) { *(int64_t *)user = n; }

static void a_kill_loses_only_what_was_in_hand(void)
{
    int64_t last = -1, again = -1;
    seen s = { 0 };
    agt_meaning m;
    fresh(3 * DOCUMENTS);
    agt *a;
    for (int64_t k = 0, at = 40; k < 2; k++) {   /* a transaction holds 16 passages, which are some more batches of two layers than half of that */
        int status;
        pid_t child = fork();
        if (child == 0) {
            seen c = { 0 };
            agt *b = room(&c, true);
            turn_on(b, bert, die_at, &at);
            ready(b, &c, &m);
            _exit(3);                    /* it should have died */
        }
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    int64_t had = vectors(NULL);
    CHECK_MSG(had == 2 * 16, "%lld", (long long)had);
    a = room(&s, true);
    turn_on(a, bert, last_step, &last);
    CHECK(ready(a, &s, &m));
    agt_close(a);
    seen_clear(&s);
    CHECK_INT(vectors(NULL), 3 * DOCUMENTS);
    fresh(3 * DOCUMENTS);                /* all of them at once: more than what was left */
    a = room(&s, true);
    turn_on(a, bert, last_step, &again);
    CHECK(ready(a, &s, &m));
    agt_close(a);
    seen_clear(&s);
    CHECK(count_steps(&again) > count_steps(&last));
}

/* The disk takes nothing more from some step on: one sentence, words and what is there go on, and the next job that ends tries again. */
static struct rlimit roomy;
static void disk_full(void *user, int64_t n)
{
    struct rlimit r = { 0, roomy.rlim_max };
    if (n == *(int64_t *)user)
        setrlimit(RLIMIT_FSIZE, &r);
}

static void a_full_disk_is_said_once(void)
{
    seen s = { 0 };
    agt_meaning m;
    int64_t at = 40;
    fresh(3 * DOCUMENTS);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &roomy) == 0);
    agt *a = room(&s, true);
    turn_on(a, bert, disk_full, &at);
    CHECK(until(a, &s, AGT_MEANING_BROKEN, &m) && *m.problem && said(a, &s, "passages get no vectors for search by meaning now: "));
    CHECK(m.done < m.all);
    rag_near *near = embedder_near(a);
    CHECK(near != NULL);
    embedder_near_end(a, near);
    CHECK(setrlimit(RLIMIT_FSIZE, &roomy) == 0);
    agt_submit(a, "fed");                /* behind the answer it is tried again */
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && ready(a, &s, &m) && !*m.problem);
    int times = 0;
    for (const char *p = s.notes.p ? s.notes.p : ""; (p = strstr(p, "get no vectors")); p++)
        times++;
    CHECK_INT(times, 1);
    agt_close(a);
    CHECK_INT(vectors(NULL), 3 * DOCUMENTS + 2);
    seen_clear(&s);
}

static void models_stand_side_by_side(void)
{
    seen s = { 0 };
    agt_meaning m, n;
    int models;
    fresh(DOCUMENTS);
    agt *a = room(&s, true);
    turn_on(a, bert, NULL, NULL);
    CHECK(ready(a, &s, &m));
    turn_on(a, nomic, NULL, NULL);
    for (int i = 0; i < 60000 && (!ready(a, &s, &n) || strcmp(n.id, m.id) == 0); i++)
        usleep(1000);
    CHECK(strcmp(n.id, m.id) != 0 && n.done == DOCUMENTS);
    CHECK_STR(n.name, TINY_NOMIC.name);
    CHECK_INT(vectors(&models), 2 * DOCUMENTS);
    CHECK_INT(models, 2);
    /* What is none is said in a sentence, words go on, and a good one mends it. */
    turn_on(a, "Makefile", NULL, NULL);
    CHECK(until(a, &s, AGT_MEANING_BROKEN, &n) && said(a, &s, "memory is searched by words alone: "));
    CHECK(embedder_near(a) == NULL && *n.problem);
    turn_on(a, "there-is-no-such-embedder", NULL, NULL);
    CHECK(said(a, &s, "no embedding model is called \"there-is-no-such-embedder\""));
    turn_on(a, bert, NULL, NULL);
    CHECK(ready(a, &s, &n) && strcmp(n.id, m.id) == 0 && !*n.problem);
    CHECK_INT(vectors(NULL), 2 * DOCUMENTS);     /* they were there still */
    agt_close(a);
    seen_clear(&s);
}

/* ---- two processes ---- */
typedef struct pipes { int to[2], from[2]; } pipes;

static void hold(void *user, int64_t n)
{
    pipes *p = user;
    char c = 0;
    if (n == 1 && (write(p->from[1], "x", 1) != 1 || read(p->to[0], &c, 1) != 1))
        _exit(4);
}

static void one_of_two_processes_makes_them(void)
{
    pipes p;
    int status;
    char c;
    seen s = { 0 };
    agt_meaning m;
    int64_t mine = -1;
    fresh(DOCUMENTS);
    CHECK(pipe(p.to) == 0 && pipe(p.from) == 0);
    pid_t child = fork();
    if (child == 0) {
        seen b = { 0 };
        agt *x = room(&b, true);
        turn_on(x, bert, hold, &p);
        bool all = ready(x, &b, &m);
        agt_close(x);
        _exit(all ? 0 : 5);
    }
    CHECK(read(p.from[0], &c, 1) == 1);  /* it is at it, and stands still */
    agt *a = room(&s, true);
    turn_on(a, bert, last_step, &mine);
    CHECK(until(a, &s, AGT_MEANING_ELSEWHERE, &m));
    CHECK(m.done < m.all && m.all == DOCUMENTS);
    CHECK(write(p.to[1], "x", 1) == 1);
    CHECK(ready(a, &s, &m) && m.done == DOCUMENTS);
    CHECK_MSG(mine == -1, "both made them: %lld", (long long)mine);
    agt_close(a);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_INT(vectors(NULL), DOCUMENTS);
    for (int i = 0; i < 2; i++) close(p.to[i]), close(p.from[i]);
    seen_clear(&s);
}

/* The fetched one comes while the shell is open: how far it is, that it failed, that it is there. */
static void it_comes_while_the_shell_is_open(void)
{
    seen s = { 0 };
    agt_meaning m;
    q_buf b = { 0 };
    fresh(DOCUMENTS);
    agt *a = room(&s, true);
    turn_on(a, "default", NULL, NULL);
    CHECK(until(a, &s, AGT_MEANING_NONE, &m) && !*m.problem);
    agt_submit(a, "/memory list");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000) && strstr(s.page, "quorum model fetch --embedder"));
    int handle = eng_arrival_begin();
    CHECK(handle >= 0);
    eng_arrival_note(handle, 34, NULL);
    for (int i = 0; i < 60000 && (!until(a, &s, AGT_MEANING_COMING, &m) || m.percent != 34); i++)
        usleep(1000);
    CHECK_INT(m.percent, 34);
    eng_arrival_note(handle, 0, "the download failed");
    eng_arrival_end(handle);
    CHECK(until(a, &s, AGT_MEANING_NONE, &m));
    CHECK_STR(m.problem, "the download failed");
    char *path = eng_default_embedder(), *slash = strrchr(path, '/');
    *slash = 0;
    CHECK_INT(q_mkdirs(path, err), Q_OK);
    *slash = '/';
    CHECK_INT(q_read_file(bert, &b, 1 << 26, err), Q_OK);
    CHECK_INT(q_write_file_atomic(path, b.p, b.len, err), Q_OK);
    CHECK(ready(a, &s, &m) && m.done == DOCUMENTS && !*m.problem);
    rag_near *near = embedder_near(a);
    CHECK(near != NULL);
    embedder_near_end(a, near);
    agt_close(a);
    seen_clear(&s);
    /* It is there at the next start: by itself, and nothing is owed. */
    agt_options o = { .model = "a script", .db = db, .answers = answers, .fresh = true, .meaning = true, .embeds = true };
    a = NULL;
    int rc = agt_open(&o, &a, err);
    a = help_opened(rc == Q_OK ? a : NULL, err);
    near = embedder_near(a);             /* waits for the first look */
    CHECK(near != NULL);
    embedder_near_end(a, near);
    CHECK(ready(a, &s, &m) && m.all == DOCUMENTS);
    agt_close(a);
    unlink(path);
    free(path);
    q_buf_free(&b);
    seen_clear(&s);
}

/* What another process takes in is seen while the shell does nothing. */
static void what_others_take_in_is_seen(void)
{
    seen s = { 0 };
    agt_meaning m;
    fresh(DOCUMENTS);
    agt *a = room(&s, true);
    turn_on(a, bert, NULL, NULL);
    CHECK(ready(a, &s, &m) && all_done(a, &s));
    mem_store *other = store();
    int64_t id;
    CHECK_INT(rag_add_text(other, "theirs", "theirs", MEM_TRUST_OWN, "bad cab", 7, &id, err), Q_OK);
    mem_close(other);
    for (int i = 0; i < 120000 && m.done < DOCUMENTS + 1; i++) {
        usleep(1000);
        agt_get_meaning(a, &m);
    }
    CHECK_INT(m.done, DOCUMENTS + 1);
    agt_close(a);
    seen_clear(&s);
}

static void a_script_makes_none(void)
{
    seen s = { 0 };
    agt_meaning m;
    fresh(DOCUMENTS);
    agt *a = room(&s, false);
    turn_on(a, bert, NULL, NULL);
    CHECK(ready(a, &s, &m));
    rag_near *near = embedder_near(a);
    CHECK(near != NULL);                 /* but it searches with what is there */
    embedder_near_end(a, near);
    agt_close(a);
    CHECK_INT(vectors(NULL), 0);
    seen_clear(&s);
}

static void supply(const char *name, const char *online)
{
    char path[128];
    snprintf(path, sizeof path, "%s/power", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/power/%s", dir, name);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/power/%s/online", dir, name);
    CHECK_INT(q_write_file_atomic(path, online, strlen(online), err), Q_OK);
}

static void a_battery_gets_one_thread(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/power", dir);
    CHECK_INT(embedder_threads(path), 0);        /* a machine that says nothing */
    supply("AC", "1\n");
    supply("USB", "0\n");
    CHECK_INT(embedder_threads(path), 0);
    supply("AC", "0\n");
    CHECK_INT(embedder_threads(path), 1);
}

static void the_words(void)
{
    static const struct { agt_meaning m; const char *words; } row[] = {
        { { .state = AGT_MEANING_MAKING, .done = 1240, .all = 3300, .left_s = 118 }, "by meaning: 1240 of 3300, about 2 minutes" },
        { { .state = AGT_MEANING_MAKING, .done = 1, .all = 2, .left_s = 3 }, "by meaning: 1 of 2, less than a minute" },
        { { .state = AGT_MEANING_MAKING, .done = 0, .all = 2, .left_s = -1 }, "by meaning: 0 of 2" },
        { { .state = AGT_MEANING_COMING, .percent = 34 }, "the embedding model is being fetched: 34%" },
        { { .state = AGT_MEANING_NONE }, "" }, { { .state = AGT_MEANING_READY, .done = 5, .all = 5 }, "" }, { { .state = AGT_MEANING_OFF }, "" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *w = agt_meaning_words(&row[i].m);
        CHECK_STR(w, row[i].words);
        free(w);
    }
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(db, sizeof db, "%s/test.db", dir);
    setenv("HOME", dir, 1);
    static const char *const others[] = { "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "QUORUM_MODELS", "LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unsetenv(others[i]);
    bert = tiny_file(&TINY_BERT, err);
    nomic = tiny_file(&TINY_NOMIC, err);
    if (!bert || !nomic) {
        printf("not ok the tiny models: %s\n", err);
        return 1;
    }
    RUN(the_words);
    RUN(a_battery_gets_one_thread);
    RUN(what_is_owed_is_made_and_found);
    RUN(questions_are_searched_by_meaning);
    RUN(an_answer_is_waited_for);
    RUN(taking_in_is_waited_for);
    RUN(the_end_waits_for_one_step);
    RUN(a_kill_loses_only_what_was_in_hand);
    RUN(a_full_disk_is_said_once);
    RUN(models_stand_side_by_side);
    RUN(one_of_two_processes_makes_them);
    RUN(it_comes_while_the_shell_is_open);
    RUN(what_others_take_in_is_seen);
    RUN(a_script_makes_none);
    unlink(bert);
    unlink(nomic);
    unlink_db(db);
    char *rm = q_printf("rm -rf %s", dir);
    if (system(rm) != 0)
        printf("# %s is left\n", dir);
    free(rm);
    free(bert);
    free(nomic);
    return TEST_END();
}
