/* tests: an answer that calls tools, with somebody who answers by a script: what is asked, what is allowed and for how long, what the model is
 * told, what is stored and taken back. No model is needed, and nothing waits for a time. */
#include "agent/tooling.h"
#include "tests/unit/folder_help.h"
#include "tests/unit/asks_help.h"

#include <ftw.h>
#include <sys/stat.h>

static char home[] = "/tmp/quorum-tooling-XXXXXX";

static char *at(const char *name) { return path_in(home, name); }

static void put(const char *name, const char *text) { put_at(at(name), text); }

static bool is(const char *name, const char *text)
{
    q_buf b = { 0 };
    bool same = q_read_file(at(name), &b, 1 << 20, err) == Q_OK && strcmp(b.p, text) == 0;
    q_buf_free(&b);
    return same;
}

static int gone(const char *path, const struct stat *st, int kind, struct FTW *f) { return remove(path); }

/* ---- an agent in the project ---- */
typedef struct opening { const char *db, *tools, *allow; bool alone; unsigned cannot; } opening;

static void open_agent(const script_line *line, opening how)
{
    char tools[32];
    snprintf(tools, sizeof tools, "agent.tools=%s", how.tools ? how.tools : "all");
    const char *set[] = { "memory.on=off", "sampler.loop_stop=off", tools };
    plan = (script){ .line = line, .cannot = how.cannot };
    agt_options o = { .model = "a script", .db = how.db ? how.db : ":memory:", .set = set, .n_set = 3, .answers = answers, .folder = at("project"), .allow = how.allow, .alone = how.alone };
    open_with(&o);
}

#define READ "{call read_file {\"path\":\"a.txt\"}}"
#define EDIT "{call edit_file {\"path\":\"a.txt\",\"old\":\"one\",\"new\":\"1\"}}"

static void tools_are_off_until_a_person_says_so(void)
{
    static const script_line line[] = { { NULL, "I cannot. " READ }, { NULL, NULL } };
    open_agent(line, (opening){ .tools = "off" });
    ask("read it");
    done();
    CHECK_STR(s.text.p, "I cannot. ");
    CHECK(s.approve.n == 0 && s.call.n == 0 && s.last->state == AGT_DONE);
    ask("/tools");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "tools are off") && strstr(s.page, "edit_file        write") && strstr(s.page, home));
    CHECK(s.data && strstr(s.data, "\"tools\":\"off\""));
    finish(&s);
}

static void who_takes_no_tools_is_offered_none(void)
{
    static const script_line line[] = { { NULL, "plain " READ }, { NULL, NULL } };
    open_agent(line, (opening){ .cannot = PROV_TOOLS });
    ask("read it");
    done();
    CHECK_STR(s.text.p, "plain ");
    CHECK(s.last->state == AGT_DONE && s.call.n == 0);
    finish(&s);
}

static void a_call_is_asked_about_done_and_told(void)
{
    static const script_line line[] = { { "one\ntwo", "It has two lines." }, { "read it", "Let me look. " READ }, { "again", "once more" }, { NULL, "?" }, { NULL, NULL } };
    put("project/a.txt", "one\ntwo\n");
    open_agent(line, (opening){ 0 });
    ask("read it");
    int64_t ticket = asked();
    CHECK_STR(s.approve.title, "read_file a.txt");
    CHECK_STR(s.approve.shown, "path: a.txt\n");
    CHECK_STR(s.approve.rule, "read");
    CHECK_INT(s.call.n + s.call.ran, 0);
    CHECK(!agt_idle(a) && agt_answering(a));
    agt_approve(a, ticket, AGT_ONCE, NULL);
    done();
    CHECK_STR(s.text.p, "Let me look. \n\nIt has two lines.");
    CHECK_STR(s.last->text, "Let me look. \n\nIt has two lines.");
    CHECK_INT(s.last->n_tokens, 8);
    CHECK_INT(s.tokens, 8);
    CHECK(s.last->n_call == 1 && s.last->call[0].at == 13 && s.last->call[0].state == AGT_CALL_DONE);
    CHECK_STR(s.last->call[0].result, "one\ntwo\n");
    CHECK_STR(s.last->call[0].policy, "once");
    CHECK_INT(s.call.ran, 1);
    seen_clear(&s);
    agt_show_prompt(a, "again");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK(s.page && strstr(s.page, "[assistant]\nLet me look. \n[tool]\none\ntwo\n\n[assistant]\nIt has two lines.\n[user]\nagain"));
    ask("/tools calls");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "read_file a.txt  (once, "));
    ask("/token 8");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "what else could have stood there cannot be said"));      /* its tokens stand in two contexts */
    finish(&s);
}

static void a_denied_call_is_told_with_why(void)
{
    static const script_line line[] = { { "says: not that file", "Then I leave it." }, { "denied by the person", "Well." }, { "edit", EDIT }, { NULL, NULL } };
    put("project/a.txt", "one\ntwo\n");
    open_agent(line, (opening){ 0 });
    ask("edit it");
    agt_approve(a, asked(), AGT_NO, "not that\nfile");
    done();
    CHECK(strstr(s.call.result, "denied by the person, who says: not that\nfile"));
    CHECK_STR(s.text.p, "Well.");
    ask("edit it again");
    agt_approve(a, asked(), AGT_NO, "not that file");
    done();
    CHECK_STR(s.text.p, "Then I leave it.");
    CHECK(s.call.state == AGT_CALL_DENIED && s.call.ran == 0);
    CHECK(is("project/a.txt", "one\ntwo\n"));
    finish(&s);
}

static void a_ticket_answers_what_it_was_of_alone(void)
{
    static const script_line line[] = { { "[nothing", "over" }, { "go", "{call read_file {\"path\":\"a.txt\"}}{call list_files {\"path\":\"none\"}}" }, { "there is no", "over" }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ 0 });
    ask("go");
    int64_t first = asked();
    agt_approve(a, first + 1, AGT_FOLDER, NULL);         /* none that was asked */
    agt_approve(a, 0, AGT_FOLDER, NULL);
    agt_approve(a, first, AGT_ONCE, NULL);
    agt_approve(a, first, AGT_FOLDER, NULL);             /* answered already: changes nothing */
    int64_t second = asked();
    CHECK(second != first);
    agt_approve(a, first, AGT_CHAT, NULL);               /* a key of before */
    CHECK_INT(s.call.ran, 1);
    agt_approve(a, second, AGT_NO, NULL);
    done();
    CHECK(s.call.state == AGT_CALL_DENIED && s.call.ran == 1);
    finish(&s);
}

static void consent_holds_as_long_as_it_was_given(void)
{
    static const script_line line[] = { { "one", "seen" }, { "denied", "well" }, { NULL, READ }, { NULL, NULL } };
    char *db = q_strdup(at("consent.db"));
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .db = db });
    ask("look");
    agt_approve(a, asked(), AGT_CHAT, NULL);
    done();
    CHECK_STR(s.call.policy, "this conversation");
    ask("look again");
    done();
    CHECK(s.approve.n == 0 && s.call.ran == 1);
    CHECK_STR(s.call.policy, "allowed: read");
    ask("/tools revoke read");
    settle(a, &s);
    ask("look again");
    agt_approve(a, asked(), AGT_CHAT, NULL);
    done();
    ask("/tools");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "allowed in this conversation: read"));
    ask("/new");
    settle(a, &s);
    ask("/tools");
    settle(a, &s);
    CHECK(s.page && !strstr(s.page, "allowed in this conversation"));
    ask("look there");                   /* another conversation */
    agt_approve(a, asked(), AGT_FOLDER, NULL);
    done();
    finish(&s);
    open_agent(line, (opening){ .db = db });
    ask("look");                         /* another run, the same folder */
    done();
    CHECK_INT(s.approve.n, 0);
    ask("/tools");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "always allowed in this folder: read"));
    ask("/tools allow edit_file:src/*,calculate");
    settle(a, &s);
    ask("/tools revoke read,edit_file:src/*,write");     /* the last one nobody allowed */
    settle(a, &s);
    CHECK(s.errors == 1 && strstr(s.notes.p, "read is asked about again") && strstr(s.notes.p, "edit_file:src/* is asked about again") && strstr(s.notes.p, "write is not allowed here"));
    ask("/tools");
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "always allowed in this folder: calculate\n"));
    ask("look");
    agt_approve(a, asked(), AGT_NO, NULL);
    done();
    ask("/tools allow reed");
    settle(a, &s);
    CHECK(s.errors == 1 && strstr(s.notes.p, "reed is no tool"));
    finish(&s);
    free(db);
}

static void what_is_risky_is_asked_about_each_time(void)
{
    static const script_line line[] = { { "KEY=", "I saw it" }, { NULL, "{call read_file {\"path\":\".env\"}}" }, { NULL, NULL } };
    put("project/.env", "KEY=hunter2\n");
    open_agent(line, (opening){ .allow = "all" });
    for (int i = 0; i < 2; i++) {
        ask("look");
        int64_t t = asked();
        CHECK(!s.approve.rule && strstr(s.approve.why, "keys or passwords"));
        agt_approve(a, t, AGT_FOLDER, NULL);     /* more than may be given */
        done();
        CHECK_STR(s.call.policy, "once");
        CHECK(strncmp(s.call.result, "[secret: 12 bytes, sha256 ", 26) == 0 && !strstr(s.call.result, "hunter2"));
        CHECK_STR(s.text.p, "I saw it");
    }
    ask("/tools");
    settle(a, &s);
    CHECK(s.page && !strstr(s.page, "always allowed"));
    seen_clear(&s);
    agt_show_prompt(a, "and now?");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK(s.page && !strstr(s.page, "hunter2"));
    finish(&s);
}

static void where_nobody_is_there_it_is_denied(void)
{
    static const script_line line[] = { { "one", "It says one." }, { "edit", EDIT }, { NULL, READ }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .alone = true, .allow = "read" });
    ask("look");
    done();
    CHECK_STR(s.text.p, "It says one.");
    CHECK(s.last->state == AGT_DONE && s.approve.n == 0);
    ask("edit");
    done();
    CHECK(s.last->state == AGT_STOPPED && s.approve.n == 0 && s.call.state == AGT_CALL_DENIED && s.call.ran == 0);
    CHECK(strstr(s.notes.p, "--allow RULES"));
    CHECK(is("project/a.txt", "one\n"));
    finish(&s);
    agt_options o = { .db = ":memory:", .allow = "reed" };
    CHECK(agt_open(&o, &a, err) == Q_FORMAT && strstr(err, "reed is no tool"));
}

static void a_stop_ends_the_waiting(void)
{
    static const script_line line[] = { { "go", "first " READ EDIT }, { NULL, "on" }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ 0 });
    ask("go");
    asked();
    agt_stop(a);
    done();
    CHECK(s.last->state == AGT_STOPPED && s.last->n_call == 2 && s.last->call[0].state == AGT_CALL_STOPPED && s.last->call[1].state == AGT_CALL_STOPPED);
    CHECK_INT(s.call.ran, 0);
    CHECK_STR(s.last->text, "first ");
    ask("and?");
    done();
    CHECK_STR(s.text.p, "on");
    ask("go");
    asked();
    finish(&s);                          /* the end of the program, likewise */
}

static void a_knob_turns_while_it_waits(void)
{
    static const script_line line[] = { { "one", "seen" }, { NULL, READ }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ 0 });
    ask("go");
    int64_t t = asked();
    agt_submit(a, "/set experts.k 5");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_STR(s.knob, "experts.k=5");
    agt_approve(a, t, AGT_ONCE, NULL);
    done();
    CHECK_STR(s.text.p, "seen");
    finish(&s);
}

static void what_cannot_be_read_goes_back_once(void)
{
    static const script_line line[] = { { "no valid JSON", "Sorry. " READ }, { "one", "Now I have it." }, { "no tool", "{call rm {}}" }, { "twice", "{call rm {}}" },
                                        { NULL, "{call read_file {\"path\":}" }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .allow = "read" });
    ask("look");
    done();
    CHECK(s.call.n == 2 && s.last->call[0].state == AGT_CALL_FAILED);
    CHECK_STR(s.last->text, "Sorry. \n\nNow I have it.");
    ask("twice");
    done();
    CHECK(s.call.n == 2 && s.call.ran == 0 && s.last->state == AGT_DONE);
    CHECK(strstr(s.notes.p, "cannot be read twice in a row (rm)"));
    finish(&s);
}

static void a_call_shows_as_it_is_written(void)
{
    static const script_line line[] = { { "one", "seen" }, { NULL, "Look: " READ }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .allow = "read" });
    ask("look");
    done();
    CHECK_STR(s.writing.text.p, "{\"path\":\"a.txt\"}");
    CHECK(s.writing.n == 2 && s.writing.bytes == 16);
    int first = first_of(&s, AGT_EV_WRITING);
    CHECK(first > first_of(&s, AGT_EV_TOKEN) && first < first_of(&s, AGT_EV_CALL));
    finish(&s);
}

static void what_is_wrong_with_a_call_is_said(void)
{
    static const script_line line[] = { { "line 1, column 3", "{call ? {\"path\"}" }, { NULL, "{call ? {\"path\"}" }, { NULL, NULL } };
    open_agent(line, (opening){ 0 });
    ask("look");
    done();
    CHECK(s.call.n == 2 && s.call.ran == 0);
    CHECK_STR(s.call.result, "the call cannot be read: line 1, column 3 of the call: no JSON stands there");
    CHECK(strstr(s.notes.p, "goes back to it once (?): the call cannot be read: line 1, column 3") && strstr(s.notes.p, "twice in a row (?): the call cannot be read: line 1, column 3"));
    seen_clear(&s);
    agt_show_prompt(a, "again");         /* a template reads arguments as an object */
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    finish(&s);
}

/* ---- reads of one round ---- */
typedef struct meeting { pthread_mutex_t mu; pthread_cond_t came; int inside, most, all, want; bool stop; } meeting;

/* Waits until as many are here as shall meet; a limit that no machine reaches ends it. */
static void meet(void *user)
{
    meeting *m = user;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 60;
    pthread_mutex_lock(&m->mu);
    m->all++;
    m->most = ++m->inside > m->most ? m->inside : m->most;
    if (m->inside == m->want && m->stop)
        desk_stop(&a->desk);
    pthread_cond_broadcast(&m->came);
    while (m->most < m->want && pthread_cond_timedwait(&m->came, &m->mu, &end) == 0)
        ;
    m->inside--;
    pthread_mutex_unlock(&m->mu);
}

static meeting *meeting_of(int want, bool stop)
{
    static meeting m;
    m = (meeting){ .mu = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER, .want = want, .stop = stop };
    a->toolbox.before_user = &m;         /* no answer runs */
    a->toolbox.before = meet;
    return &m;
}

static void reads_of_a_round_are_done_at_once(void)
{
    static const script_line line[] = { { "six", "all seen" }, { NULL, "{call read_file {\"path\":\"1.txt\"}}{call read_file {\"path\":\"2.txt\"}}{call list_files {\"path\":\".\"}}{call search_files {\"query\":\"three\",\"path\":\".\"}}"
                                        "{call calculate {\"expression\":\"6*7\"}}{call read_file {\"path\":\"6.txt\"}}" }, { NULL, NULL } };
    put("project/1.txt", "one\n");
    put("project/2.txt", "two\n");
    put("project/3.txt", "three\n");
    put("project/6.txt", "six\n");
    open_agent(line, (opening){ .allow = "read" });
    meeting *m = meeting_of(4, false);
    ask("go");
    done();
    CHECK_MSG(m->most == ATONCE_MOST && m->all == 6, "%d at once, of %d", m->most, m->all);
    CHECK_STR(s.text.p, "all seen");
    CHECK(s.last->n_call == 6 && s.call.ran == 6);
    CHECK_STR(s.last->call[0].result, "one\n");
    CHECK_STR(s.last->call[1].result, "two\n");
    CHECK(strstr(s.last->call[2].result, "6.txt") && strstr(s.last->call[3].result, "3.txt"));
    CHECK(strstr(s.last->call[4].result, "42"));
    CHECK_STR(s.last->call[5].result, "six\n");
    finish(&s);
}

/* A change stands where it was written: what is read before it and behind it is read then. */
static void reads_do_not_pass_a_change(void)
{
    static const script_line line[] = { { "after", "over" }, { NULL, READ READ EDIT READ "{call read_file {\"path\":\"b.txt\"}}" }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    put("project/b.txt", "after\n");
    open_agent(line, (opening){ .allow = "read,write" });
    meeting *m = meeting_of(2, false);
    ask("go");
    done();
    CHECK_INT(m->most, 2);
    CHECK(s.last->n_call == 5);
    CHECK_STR(s.last->call[1].result, "one\n");
    CHECK_STR(s.last->call[3].result, "1\n");
    CHECK_STR(s.last->call[4].result, "after\n");
    finish(&s);
    open_agent(line, (opening){ .allow = "write" });             /* reads that are asked about: one after the other */
    ask("go");
    agt_approve(a, asked(), AGT_ONCE, NULL);
    agt_approve(a, asked(), AGT_NO, NULL);
    agt_approve(a, asked(), AGT_ONCE, NULL);
    agt_approve(a, asked(), AGT_ONCE, NULL);
    done();
    CHECK(s.last->n_call == 5 && s.last->call[1].state == AGT_CALL_DENIED);
    finish(&s);
}

static void a_stop_ends_all_of_them(void)
{
    static const script_line line[] = { { NULL, "{call search_files {\"query\":\"one\",\"path\":\".\"}}{call search_files {\"query\":\"two\",\"path\":\".\"}}{call search_files {\"query\":\"three\",\"path\":\".\"}}" READ EDIT }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .allow = "read,write" });
    meeting_of(4, true);
    ask("go");
    done();
    CHECK_INT(s.last->state, AGT_STOPPED);
    CHECK(s.last->n_call == 5 && is("project/a.txt", "one\n"));
    for (int i = 0; i < 3; i++)
        CHECK_MSG(s.last->call[i].state == AGT_CALL_STOPPED, "%d", i);
    CHECK_INT(s.last->call[4].state, AGT_CALL_STOPPED);
    finish(&s);
}

static void thoughts_of_the_running_answer_are_kept(void)
{
    static const script_line line[] = { { "again", "fine" }, { "two", "<think>so it is</think>done" }, { "one", "<think>then the other</think>{call read_file {\"path\":\"b.txt\"}}" },
                                        { NULL, "<think>first a look</think>Let me see. " READ }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    put("project/b.txt", "two\n");
    open_agent(line, (opening){ .allow = "read" });
    ask("look");
    done();
    CHECK_STR(s.last->text, "Let me see. \n\ndone");
    ask("/context");                     /* the last prompt is the first round's; the cells are the last one's */
    settle(a, &s);
    q_buf b = { 0 };
    const script_prov *p = (const script_prov *)a->seat.who;
    for (int i = 0; i < p->n_text; i++)
        q_buf_puts(&b, p->word[p->text[i]]);
    CHECK_MSG(strstr(b.p, "[assistant][thought]first a lookLet me see. [end]") && strstr(b.p, "[assistant][thought]then the other[end]"), "%s", b.p);
    q_buf_clear(&b);
    ask("again");                        /* an answer that is over is said without them */
    done();
    for (int i = 0; i < p->n_text; i++)
        q_buf_puts(&b, p->word[p->text[i]]);
    CHECK_MSG(!strstr(b.p, "[thought]") && strstr(b.p, "Let me see."), "%s", b.p);
    q_buf_free(&b);
    finish(&s);
}

static void an_answer_has_so_many_steps_and_tokens(void)
{
    static const script_line line[] = { { NULL, "more words here " READ }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .allow = "read" });
    agt_submit(a, "/set agent.steps 3");
    ask("go");
    done();
    CHECK(s.call.ran == 3 && s.last->state == AGT_DONE);
    CHECK(strstr(s.notes.p, "3 times and ends here"));
    CHECK_STR(s.last->text, "more words here \n\nmore words here \n\nmore words here ");
    agt_submit(a, "/set agent.tokens 5");
    ask("go");
    done();
    CHECK_INT(s.call.ran, 2);
    CHECK(strstr(s.notes.p, "took 8 tokens and ends here"));
    finish(&s);
}

static void results_fit_the_context(void)
{
    static const script_line line[] = { { "lines", "short" }, { "left out", "it was cut" }, { NULL, "{call read_file {\"path\":\"big\"}}" }, { NULL, NULL } };
    q_buf b = { 0 };
    for (int i = 0; i < 2400; i++)
        q_buf_puts(&b, "w ");
    put("project/big", b.p);
    open_agent(line, (opening){ .allow = "read" });
    ask("go");
    done();
    CHECK_STR(s.text.p, "it was cut");
    q_buf_clear(&b);
    ask("/tools calls 1");
    settle(a, &s);
    CHECK(s.page && strlen(s.page) > 4800);      /* all of it is kept */
    q_buf_free(&b);
    finish(&s);
}

/* What a person gave as the beginning is said once, and calls stand behind it. */
static void an_amended_answer_calls_too(void)
{
    static const script_line line[] = { { "one", "It is one." }, { "read it", "Let me look. " READ }, { NULL, NULL } };
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .allow = "read" });
    ask("read it");
    done();
    int64_t id = s.last->id;
    seen_clear(&s);
    agt_amend(a, id, "Let me");
    done();
    CHECK_STR(s.last->text, "Let me look. \n\nIt is one.");
    CHECK(s.last->n_call == 1 && s.last->call[0].at == 13 && s.last->id != id);
    finish(&s);
}

static void files_are_taken_back(void)
{
    static const script_line line[] = {
        { "go", "{call edit_file {\"path\":\"a.txt\",\"old\":\"one\",\"new\":\"1\"}}{call edit_file {\"path\":\"a.txt\",\"old\":\"two\",\"new\":\"2\"}}{call edit_file {\"path\":\"n/b.txt\",\"text\":\"b\\n\"}}" },
        { NULL, "done" }, { NULL, NULL } };
    put("project/a.txt", "one\ntwo\n");
    CHECK_INT(chmod(at("project/a.txt"), 0640), 0);
    open_agent(line, (opening){ .allow = "write" });
    ask("/undo");
    settle(a, &s);
    CHECK(strstr(s.notes.p, "no answer of this conversation changed a file"));
    ask("go");
    done();
    CHECK(is("project/a.txt", "1\n2\n") && is("project/n/b.txt", "b\n"));
    CHECK(s.last->n_call == 3 && s.last->call[2].undoable);
    ask("and?");
    done();
    ask("/undo");
    settle(a, &s);
    CHECK(is("project/a.txt", "one\ntwo\n") && access(at("project/n/b.txt"), F_OK) < 0);
    struct stat st;
    CHECK(stat(at("project/a.txt"), &st) == 0 && (st.st_mode & 0777) == 0640);
    CHECK(s.page && strstr(s.page, "a.txt is as it was before") && strstr(s.page, "b.txt is gone: it was new"));
    ask("/undo");
    settle(a, &s);
    CHECK(strstr(s.notes.p, "no answer of this conversation changed a file"));
    seen_clear(&s);
    agt_show_prompt(a, "again");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK(s.page && strstr(s.page, "[the person has undone this change]"));
    ask("go");
    done();
    put("project/a.txt", "mine\n");
    ask("/undo");
    settle(a, &s);
    CHECK(is("project/a.txt", "mine\n") && access(at("project/n/b.txt"), F_OK) < 0);
    CHECK(strstr(s.notes.p, "1 file stays as it is") && strstr(s.page, "has changed since"));
    finish(&s);
}

/* Folders that were made for a new file go with it; one that holds something else stays, and so does one that was there. */
static void made_folders_go_too(void)
{
    static const script_line line[] = { { "go", "{call edit_file {\"path\":\"deep/er/a.txt\",\"text\":\"a\\n\"}}{call edit_file {\"path\":\"deep/er/b.txt\",\"text\":\"b\\n\"}}"
                                                "{call edit_file {\"path\":\"was/c.txt\",\"text\":\"c\\n\"}}" }, { NULL, "done" }, { NULL, NULL } };
    open_agent(line, (opening){ .allow = "write" });
    CHECK_INT(mkdir(at("project/was"), 0755), 0);
    ask("go");
    done();
    CHECK(is("project/deep/er/b.txt", "b\n") && is("project/was/c.txt", "c\n"));
    ask("/undo");
    settle(a, &s);
    CHECK(access(at("project/deep"), F_OK) < 0 && access(at("project/was"), F_OK) == 0 && access(at("project/was/c.txt"), F_OK) < 0);
    ask("go");
    done();
    put("project/deep/mine.txt", "mine\n");
    ask("/undo");
    settle(a, &s);
    CHECK(access(at("project/deep/er"), F_OK) < 0 && is("project/deep/mine.txt", "mine\n"));
    finish(&s);
}

/* Two processes that allow something in one folder at once: neither's rule is lost, and what one takes back stays away. */
static void rules_of_two_shells_are_both_kept(void)
{
    static const script_line line[] = { { NULL, "?" }, { NULL, NULL } };
    char *db = q_strdup(at("two.db"));
    seen other = { 0 };
    open_agent(line, (opening){ .db = db });
    agt *first = a;
    open_agent(line, (opening){ .db = db });
    agt_submit(first, "/tools allow read");
    settle(first, &other);
    ask("/tools allow calculate,edit_file:lib*");        /* it was opened before the first one's rule */
    settle(a, &s);
    agt_submit(first, "/tools revoke read");
    settle(first, &other);
    agt_submit(first, "/tools allow list_files");
    settle(first, &other);
    finish(&s);
    agt_close(first);
    seen_clear(&other);
    open_agent(line, (opening){ .db = db });
    ask("/tools");
    settle(a, &s);
    CHECK_MSG(s.page && strstr(s.page, "always allowed in this folder: calculate,edit_file:lib*,list_files\n"), "%s", s.page ? s.page : "");
    ask("/tools revoke all");
    settle(a, &s);
    finish(&s);
    free(db);
}

/* Where nothing of an answer can go back an older one is taken up; commands that ran are named. */
static void undo_goes_on_and_names_commands(void)
{
    static const script_line line[] = { { "first", "{call edit_file {\"path\":\"old.txt\",\"text\":\"new\\n\"}}" }, { "second", "{call edit_file {\"path\":\"a.txt\",\"old\":\"one\",\"new\":\"1\"}}" },
                                        { "run", "{call run_command {\"command\":\"true one\"}}" }, { NULL, "done" }, { NULL, NULL } };
    put("project/old.txt", "old\n");
    put("project/a.txt", "one\n");
    open_agent(line, (opening){ .allow = "write" });
    ask("first");
    done();
    ask("second");
    done();
    ask("run");
    agt_approve(a, asked(), AGT_ONCE, NULL);
    done();
    put("project/a.txt", "mine\n");
    ask("/undo");
    settle(a, &s);
    CHECK(is("project/a.txt", "mine\n") && is("project/old.txt", "old\n"));
    CHECK(s.page && strstr(s.page, "a.txt has changed since") && strstr(s.page, "old.txt is as it was before") && strstr(s.page, "an older answer's"));
    CHECK(strstr(s.page, "1 command ran too; what it changed is not taken back:\n  run_command true one"));
    CHECK(s.data && strstr(s.data, "\"commands\":[\"run_command true one\"]"));
    ask("/undo");                        /* nothing is left: the commands are named all the same */
    settle(a, &s);
    CHECK(s.page && strstr(s.page, "1 command ran too") && strstr(s.page, "a.txt has changed since"));
    finish(&s);
}

static void a_denied_file_in_a_command_is_named(void)
{
    static const script_line line[] = { { "denied", "well" }, { "plain", "{call run_command {\"command\":\"head -1 <./public.txt\"}}" }, { NULL, "{call run_command {\"command\":\"head -1 <./secret.txt|cat\"}}" }, { NULL, NULL } };
    open_agent(line, (opening){ .allow = "-read_file:secret*" });
    ask("go");
    int64_t ticket = asked();
    CHECK_MSG(s.approve.why && strstr(s.approve.why, "it names secret.txt, which a rule denies to read_file: rules do not reach into commands"), "%s", s.approve.why ? s.approve.why : "");
    agt_approve(a, ticket, AGT_NO, NULL);
    done();
    ask("plain");
    ticket = asked();
    CHECK_MSG(s.approve.why && !strstr(s.approve.why, "it names"), "%s", s.approve.why ? s.approve.why : "");
    agt_approve(a, ticket, AGT_NO, NULL);
    done();
    finish(&s);
}

static void the_person_is_asked_and_shown_the_plan(void)
{
    static const script_line line[] = { { "blue\x1b", "never" }, { "blue", "{call todo {\"steps\":[{\"text\":\"paint\\u001b[31m it\",\"state\":\"doing\"},{\"text\":\"dry\",\"state\":\"open\"}]}}" },
                                        { "the plan is shown", "So be it." }, { "no answer", "I see." }, { NULL, "{call ask_person {\"question\":\"Which\\u001b[2J colour?\"}}" }, { NULL, NULL } };
    open_agent(line, (opening){ 0 });
    ask("paint");
    int64_t t = asked();
    CHECK(s.approve.question && strcmp(s.approve.shown, "Which\xef\xbf\xbd[2J colour?") == 0);
    agt_approve(a, t, AGT_ONCE, "blue");
    done();
    CHECK_STR(s.plan, "[>] paint [31m it\n[ ] dry\n");
    CHECK_STR(s.text.p, "So be it.");
    ask("paint");
    agt_approve(a, asked(), AGT_NO, NULL);
    done();
    CHECK_STR(s.text.p, "I see.");
    finish(&s);
}

static void a_model_turns_its_own_knobs_alone(void)
{
    static const script_line line[] = { { "experts.k is 6", "wider" }, { "no setting of the model's own", "I may not" }, { "from 1 to 8", "too many" },
                                        { "tools", "{call set_knob {\"name\":\"agent.tools\",\"value\":\"all\"}}" }, { "loop", "{call set_knob {\"name\":\"sampler.loop_stop\",\"value\":\"on\"}}" },
                                        { "memory", "{call set_knob {\"name\":\"memory.on\",\"value\":\"on\"}}" }, { "many", "{call set_knob {\"name\":\"experts.k\",\"value\":\"600\"}}" },
                                        { NULL, "{call set_knob {\"name\":\"experts.k\",\"value\":\"6\"}}" }, { NULL, NULL } };
    static const struct { const char *ask, *says; } row[] = { { "wide", "wider" }, { "tools", "I may not" }, { "loop", "I may not" }, { "memory", "I may not" }, { "many", "too many" } };
    open_agent(line, (opening){ .allow = "knob" });
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        ask(row[i].ask);
        done();
        CHECK_STR(s.text.p, row[i].says);
    }
    finish(&s);
    open_agent(line, (opening){ .tools = "read", .allow = "all" });
    ask("wide");
    done();
    CHECK(s.call.ran == 0 && s.call.state == AGT_CALL_DENIED);      /* what is not offered is not done either */
    finish(&s);
}

static void memory_is_read_and_added_to(void)
{
    static const script_line line[] = { { "remembered as fact", "kept" }, { "kestrels", "found" }, { "find", "{call memory_search {\"query\":\"who hovers over meadows\"}}" },
                                        { NULL, "{call memory_remember {\"text\":\"kestrels hover over meadows\"}}" }, { NULL, NULL } };
    open_agent(line, (opening){ .allow = "remember" });
    agt_submit(a, "/set memory.on on");
    ask("keep");
    done();
    CHECK_STR(s.text.p, "kept");
    ask("find");
    agt_approve(a, asked(), AGT_ONCE, NULL);
    done();
    CHECK_STR(s.text.p, "found");
    CHECK(strstr(s.call.result, "bytes of passages out of memory; not kept here]"));
    finish(&s);
}

int main(void)
{
    if (!mkdtemp(home))
        return 1;
    setenv("HOME", home, 1);
    CHECK_INT(q_mkdirs(at("project"), err), Q_OK);
    RUN(tools_are_off_until_a_person_says_so);
    RUN(who_takes_no_tools_is_offered_none);
    RUN(a_call_is_asked_about_done_and_told);
    RUN(a_denied_call_is_told_with_why);
    RUN(a_ticket_answers_what_it_was_of_alone);
    RUN(consent_holds_as_long_as_it_was_given);
    RUN(what_is_risky_is_asked_about_each_time);
    RUN(where_nobody_is_there_it_is_denied);
    RUN(a_stop_ends_the_waiting);
    RUN(a_knob_turns_while_it_waits);
    RUN(what_cannot_be_read_goes_back_once);
    RUN(a_call_shows_as_it_is_written);
    RUN(what_is_wrong_with_a_call_is_said);
    RUN(reads_of_a_round_are_done_at_once);
    RUN(reads_do_not_pass_a_change);
    RUN(a_stop_ends_all_of_them);
    RUN(thoughts_of_the_running_answer_are_kept);
    RUN(an_answer_has_so_many_steps_and_tokens);
    RUN(results_fit_the_context);
    RUN(an_amended_answer_calls_too);
    RUN(files_are_taken_back);
    RUN(made_folders_go_too);
    RUN(rules_of_two_shells_are_both_kept);
    RUN(undo_goes_on_and_names_commands);
    RUN(a_denied_file_in_a_command_is_named);
    RUN(the_person_is_asked_and_shown_the_plan);
    RUN(a_model_turns_its_own_knobs_alone);
    RUN(memory_is_read_and_added_to);
    nftw(home, gone, 16, FTW_DEPTH | FTW_PHYS);
    return TEST_END();
}
