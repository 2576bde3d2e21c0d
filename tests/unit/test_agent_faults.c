/* agent: faults that were found, each with its kind: the order of settings' sources, what /again leaves as it was, an edit that
 * comes with a load, a memory that cannot be searched. Who answers is a script. */
#include "agent/errands.h"
#include "agent/front.h"
#include "tests/script_provider.h"
#include "tests/unit/agent_help.h"

#include <sqlite3.h>
#include <sys/stat.h>

extern const job_row job_load;
static const script_line lines[] = { { NULL, "One two three four five." }, { NULL, NULL } };
static script plan = { .line = lines };
static char err[Q_ERRLEN], dir[] = "/tmp/quorum-faults-XXXXXX", db[64];
static int answers(const char *model, const prov_opts *o, prov **out, char *e) { return script_open(&plan, o, out, e); }

static agt *start(script s, const char *const *set, int n_set, seen *seen_)
{
    plan = s;
    plan.line = lines;
    agt_options o = { .model = "a script", .db = db, .set = set, .n_set = n_set, .answers = answers };
    agt *a = NULL;
    a = help_opened(agt_open(&o, &a, err) == Q_OK ? a : NULL, err);
    CHECK(wait_for(a, seen_, AGT_EV_READY, 0, 60000) && all_done(a, seen_));
    return a;
}

static const char *value(agt *a, const char *name, q_buf *b)
{
    return agt_knob_value(a, agt_knob(a, settings_find(&a->settings, name)), b);
}

static void ini(const char *text)
{
    char path[96];
    snprintf(path, sizeof path, "%s/quorum", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/quorum/config.ini", dir);
    if (text)
        CHECK_INT(q_write_file_atomic(path, text, strlen(text), err), 0);
    else
        unlink(path);
}

/* Default, config.ini, what the store keeps, --set, /set: for a row of each room, also after the model was loaded anew. */
static void sources_have_their_order(void)
{
    static const struct { const char *name, *standard, *ini, *kept, *set, *typed; } row[] = {
        { "memory.budget", NULL, "500", NULL, "77", "88" },
        { "memory.chats", NULL, "on", NULL, "off", "on" },
        { "ui.pace", "0", "1000", "2000", "3000", "4000" },
        { "context.policy", "continue", "recompute", "continue", "recompute", "continue" },
        { "experts.k", "2", "3", NULL, "4", "5" },
        { "sampler.temperature", NULL, "0.5", NULL, "0.25", "0.125" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (int level = 0; level < 5; level++) {        /* the highest source that there is */
            seen s = { 0 };
            q_buf b = { 0 };
            char text[96], assign[96], typed[96];
            unlink_db(db);
            if (level >= 1) {
                snprintf(text, sizeof text, "%s = %s\n", row[i].name, row[i].ini);
                ini(text);
            } else
                ini(NULL);
            const char *want = level == 0 ? row[i].standard : row[i].ini;
            if (level >= 2 && row[i].kept) {
                mem_store *m = NULL;
                CHECK_INT(mem_open(db, &m, err), 0);
                CHECK_INT(mem_setting_put(m, row[i].name, row[i].kept, err), 0);
                mem_close(m);
                want = row[i].kept;
            }
            snprintf(assign, sizeof assign, "%s=%s", row[i].name, row[i].set);
            const char *set[] = { assign };
            if (level >= 3)
                want = row[i].set;
            agt *a = start((script){ 0 }, set, level >= 3, &s);
            if (level >= 4) {
                snprintf(typed, sizeof typed, "/set %s %s", row[i].name, row[i].typed);
                agt_submit(a, typed);
                CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
                want = row[i].typed;
            }
            if (want)
                CHECK_STR(value(a, row[i].name, &b), want);
            desk_post(&a->desk, &job_load, 1, 0, "a script", NULL);      /* /model: another one */
            CHECK(all_done(a, &s));
            if (want)
                CHECK_STR(value(a, row[i].name, &b), want);
            agt_close(a);
            q_buf_free(&b);
            seen_clear(&s);
        }
    ini(NULL);
    unlink_db(db);
}

/* --set names a knob in any letter case or by its other name, as /set does. */
static void set_takes_every_spelling(void)
{
    static const char *const set[] = { "EXPERTS.K=4", "Ui.Pace=100", "MEMORY.BUDGET=77", "ROPE_THETA=50000" };
    seen s = { 0 };
    q_buf b = { 0 };
    agt *a = start((script){ 0 }, set, 4, &s);
    CHECK_STR(value(a, "experts.k", &b), "4");
    CHECK_STR(value(a, "ui.pace", &b), "100");
    CHECK_STR(value(a, "memory.budget", &b), "77");
    CHECK_STR(value(a, "rope.theta", &b), "50000");
    agt_close(a);
    q_buf_free(&b);
    seen_clear(&s);
    unlink(db);
}

/* ---- what is changed while /again runs with settings of its own ---- */
static agt *acting;
static void at_token_2(void *user, int token)
{
    if (token == 2 && acting)
        agt_submit(acting, "/set memory.budget 77");
}

static void again_takes_nothing_back(void)
{
    seen s = { 0 };
    q_buf b = { 0 };
    agt *a = start((script){ .at = at_token_2 }, NULL, 0, &s);
    agt_submit(a, "count");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    char *min = q_strdup(value(a, "memory.min_score", &b));
    acting = a;
    agt_again(a, 0, "memory.budget=1000 memory.min_score=0.9");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    acting = NULL;
    CHECK_STR(value(a, "memory.budget", &b), "77");
    CHECK_STR(value(a, "memory.min_score", &b), min);    /* and its own are not left behind */
    agt_close(a);
    free(min);
    q_buf_free(&b);
    seen_clear(&s);
    unlink_db(db);
}

static void at_the_store(const char *sql)
{
    sqlite3 *other = NULL;
    CHECK_INT(sqlite3_open(db, &other), SQLITE_OK);
    sqlite3_busy_timeout(other, 30000);
    CHECK_MSG(sqlite3_exec(other, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(other));
    sqlite3_close(other);
}

/* Where no answer begins, the one that was there stays the conversation's. */
static void again_that_fails_hides_nothing(void)
{
    seen s = { 0 };
    agt *a = start((script){ 0 }, NULL, 0, &s);
    agt_submit(a, "count");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    int64_t answer = s.last ? s.last->id : 0;
    seen_clear(&s);
    at_the_store("CREATE UNIQUE INDEX one_each ON message(role)");
    agt_again(a, 0, "");
    CHECK(all_done(a, &s));
    CHECK_MSG(s.errors == 1, "%s", s.notes.p ? s.notes.p : "nothing was said");
    CHECK_MSG(s.n_ids == 2 && s.ids[1] == answer, "%d messages are shown", s.n_ids);
    CHECK_INT(a->chat.path.n, 2);
    at_the_store("DROP INDEX one_each");
    seen_clear(&s);
    agt_again(a, 0, "");                 /* and it can be asked for anew */
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000) && all_done(a, &s));
    CHECK(s.last && s.last->n_siblings == 2);
    agt_close(a);
    seen_clear(&s);
    unlink(db);
}

/* What waited as a new version of the last question, in a shell that is gone, becomes one. */
static void a_waiting_edit_stays_an_edit(void)
{
    seen s = { 0 };
    mem_store *m = NULL;
    int64_t chat, question, reply, row;
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(mem_conversation_new(m, "kept", &chat, err), 0);
    CHECK_INT(mem_message_add(m, chat, 0, MEM_USER, "first", 5, &question, err), 0);
    CHECK_INT(mem_message_add(m, chat, question, MEM_ASSISTANT, "an answer", 9, &reply, err), 0);
    CHECK_INT(mem_pending_put(m, chat, 0, "first, said better", 18, &row, err), 0);
    mem_close(m);
    at_the_store("UPDATE pending SET owner='1:1'");
    agt *a = start((script){ 0 }, NULL, 0, &s);
    agt_open_chat(a, chat);
    CHECK(all_done(a, &s));
    mem_messages path = { 0 };
    CHECK_INT(mem_branch(a->store, chat, 0, &path, err), 0);
    CHECK_INT(path.n, 1);
    if (path.n)
        CHECK_STR(path.v[0].text, "first, said better");
    mem_messages_free(&path);
    agt_close(a);
    seen_clear(&s);
    unlink(db);
}

/* An edit that wakes the engine's lane together with a load is meant for what is loaded. */
static void edits_wait_for_the_model(void)
{
    seen s = { 0 };
    q_buf b = { 0 };
    agt_options o = { .db = db, .answers = answers };
    agt *a = NULL;
    plan = (script){ .line = lines };
    CHECK_INT(agt_open(&o, &a, err), 0);
    CHECK(all_done(a, &s));              /* no model: the lane sleeps */
    seen_clear(&s);
    edit *e = q_alloc(sizeof *e);
    job *j = q_alloc(sizeof *j);
    *e = (edit){ .kind = EDIT_SET, .name = q_strdup("experts.k"), .value = q_strdup("3") };
    *j = (job){ .row = &job_load, .id = 1, .text = q_strdup("a script") };
    pthread_mutex_lock(&a->desk.mu);     /* both at once */
    *a->desk.edits_end = e;
    a->desk.edits_end = &e->next;
    a->desk.lane[LANE_ENGINE].first = a->desk.lane[LANE_ENGINE].last = j;
    pthread_cond_broadcast(&a->desk.work);
    pthread_mutex_unlock(&a->desk.mu);
    CHECK(all_done(a, &s));
    CHECK_MSG(s.errors == 0, "%s", s.notes.p ? s.notes.p : "");
    CHECK_STR(value(a, "experts.k", &b), "3");
    agt_close(a);
    q_buf_free(&b);
    seen_clear(&s);
    unlink_db(db);
}

static void a_broken_memory_says_so(void)
{
    seen s = { 0 };
    agt *a = start((script){ 0 }, NULL, 0, &s);
    sqlite3 *other;
    CHECK_INT(sqlite3_open(db, &other), SQLITE_OK);
    sqlite3_busy_timeout(other, 30000);
    CHECK_MSG(sqlite3_exec(other, "ALTER TABLE chunk RENAME TO chunk_elsewhere", NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(other));
    sqlite3_close(other);
    agt_submit(a, "is anything known about the zarnith lamp?");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    CHECK(s.last && s.last->state == AGT_DONE);  /* it is answered all the same */
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "memory could not be searched"), "%s", s.notes.p ? s.notes.p : "");
    CHECK_MSG(s.nothing && strstr(s.nothing, "memory could not be searched"), "%s", s.nothing ? s.nothing : "");
    agt_submit(a, "/why");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "failed") && !strstr(s.page, "--base"), "%s", s.page ? s.page : "");
    agt_close(a);
    seen_clear(&s);
    unlink_db(db);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    setenv("XDG_CONFIG_HOME", dir, 1);
    setenv("QUORUM_MODELS", "/nonexistent", 1);
    snprintf(db, sizeof db, "%s/quorum.db", dir);
    RUN(sources_have_their_order);
    RUN(set_takes_every_spelling);
    RUN(again_takes_nothing_back);
    RUN(again_that_fails_hides_nothing);
    RUN(a_waiting_edit_stays_an_edit);
    RUN(edits_wait_for_the_model);
    RUN(a_broken_memory_says_so);
    char *rm = q_printf("rm -rf %s", dir);
    if (system(rm) != 0)
        printf("# %s is left\n", dir);
    free(rm);
    return TEST_END();
}
