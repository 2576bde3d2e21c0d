/* mcp: the client against tests/mcp/server.py, over stdio and HTTP, in both eras, and against what no server should do. Nothing leaves the
 * machine, and nothing waits for a time: servers stall until they are told, and what is waited for comes or the test hangs. It takes its
 * seconds because it starts some forty of them, and because a program is given two to end by itself. */
#include "mcp/mcp.h"
#include "tests/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static char err[Q_ERRLEN], dir[64];

typedef struct fx {
    mcp_set *set;
    mcp_server *s;
    char log[128];
    pid_t http; int in;                  /* the script, where it is no child of the client; its input */
} fx;

static char *log_of(const fx *f)
{
    q_buf b = { 0 };
    char ignored[Q_ERRLEN];
    q_read_file(f->log, &b, 64 << 20, ignored);
    q_buf_puts(&b, "");
    return q_buf_take(&b);
}

static int times(const fx *f, const char *what)
{
    char *log = log_of(f);
    int n = 0;
    for (const char *p = log; (p = strstr(p, what)); p += strlen(what))
        n++;
    free(log);
    return n;
}

/* Until the log says so. */
static bool comes(const fx *f, const char *what)
{
    for (int i = 0; i < 6000; i++, usleep(10000))
        if (times(f, what))
            return true;
    return false;
}

static void put(fx *f, const char *key, const char *value)
{
    int rc = mcp_put(f->set, "test", key, value, err);
    CHECK_MSG(rc == Q_OK, "%s = %s: %s", key, value, err);
    f->s = mcp_find(f->set, "test");
}

/* The script on a port of its own, ended with the pipe to it. */
static void serve(fx *f, const char *args)
{
    static int number;
    char port[160], *line, *url;
    int fd[2];
    q_buf b = { 0 };
    snprintf(port, sizeof port, "%s/port%d", dir, number++);
    line = q_printf("exec python3 tests/mcp/server.py --http %s --log %s %s", port, f->log, args);
    if (pipe2(fd, O_CLOEXEC) != 0)
        exit(2);
    if ((f->http = fork()) == 0) {
        dup2(fd[0], 0);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    close(fd[0]);
    f->in = fd[1];
    for (int i = 0; i < 6000 && access(port, R_OK) != 0; i++)
        usleep(10000);
    CHECK_INT(q_read_file(port, &b, 100, err), Q_OK);
    url = q_printf("http://127.0.0.1:%.*s/mcp", (int)b.len, b.p);
    put(f, "url", url);
    free(url);
    free(line);
    q_buf_free(&b);
}

static fx open_with(bool http, const char *args)
{
    static int number;
    fx f = { .set = mcp_set_new(), .http = 0 };
    snprintf(f.log, sizeof f.log, "%s/log%d", dir, number++);
    put(&f, "probe", "600");             /* a machine that is slow is no server that is silent */
    put(&f, "start", "600");
    put(&f, "timeout", "600");
    if (http)
        serve(&f, args);
    else {
        char *line = q_printf("tests/mcp/server.py --log %s %s", f.log, args);
        put(&f, "command", "python3");
        put(&f, "args", line);
        free(line);
    }
    return f;
}

static void close_all(fx *f)
{
    mcp_set_free(f->set);
    if (f->http) {
        close(f->in);
        waitpid(f->http, NULL, 0);
    }
}

/* ---- what the person's side lends ---- */
typedef struct side { int progress, asked; char words[256]; enum mcp_answer answer; const char *content; int stop_at; fx *f; } side;

static void on_progress(void *user, double done, double total, const char *text)
{
    side *d = user;
    d->progress++;
    snprintf(d->words, sizeof d->words, "%g/%g %s", done, total, text);
}

static enum mcp_answer on_elicit(void *user, const char *message, const char *schema, q_buf *content)
{
    side *d = user;
    d->asked++;
    snprintf(d->words, sizeof d->words, "%s %s", message, strstr(schema, "\"name\"") ? "name" : schema);
    q_buf_puts(content, d->content ? d->content : "");
    return d->answer;
}

/* False once the server says that it stalls. */
static bool on_go(void *user)
{
    side *d = user;
    return !d->f || !times(d->f, "\"stalls\"");
}

static mcp_hooks hooks(side *d) { return (mcp_hooks){ d, on_go, on_progress, on_elicit }; }

static int call(fx *f, const char *tool, const char *arguments, side *d, mcp_result *r)
{
    mcp_hooks h = d ? hooks(d) : (mcp_hooks){ NULL, NULL, NULL, NULL };
    mcp_result_free(r);
    *err = 0;
    int rc = mcp_call(f->s, tool, arguments, &h, r, err);
    CHECK_MSG((rc == Q_OK) == !*err && !strpbrk(err, "\n\033"), "%d: %s", rc, err);
    return rc;
}

/* ---- what every server does, each way ---- */
static void common(bool http, const char *era, enum mcp_era want)
{
    char *args = q_printf("--era %s --pages 4", era);
    fx f = open_with(http, args);
    mcp_result r = { .structured = NULL };
    mcp_status st;
    mcp_list tools, list;
    side d = { .answer = MCP_ACCEPT, .content = "{\"name\":\"\xD0\xAF\"}" };
    free(args);
    mcp_status_of(f.s, &st);
    CHECK(st.state == MCP_OFF && st.pid == 0);
    CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_OK, "%s", err);
    mcp_status_of(f.s, &st);
    CHECK(st.state == MCP_READY && st.era == want && (st.pid > 0) == !http && !*st.error && st.faults == 0);
    CHECK_STR(st.version, want == MCP_ERA_2026 ? "2026-07-28" : "2025-11-25");
    CHECK_STR(st.release, "1.0");
    CHECK(!strpbrk(st.title, "\033"));
    char *how = mcp_instructions(f.s);
    CHECK_STR(how, "Be kind.");
    free(how);
    mcp_items(f.s, MCP_TOOLS, &tools);
    CHECK(tools.n == 24 && st.n[MCP_TOOLS] == 24 && st.n[MCP_RESOURCES] == 2 && st.n[MCP_TEMPLATES] == 1 && st.n[MCP_PROMPTS] == 1);
    CHECK_STR(tools.v[0].name, "echo");
    CHECK_STR(tools.v[0].title, "Echo");
    CHECK(tools.v[0].read_only == 1 && tools.v[0].destructive == 0 && tools.v[0].open_world == -1 && !tools.v[0].gives && tools.v[1].gives);
    CHECK(strstr(tools.v[0].schema, "\"text\"") && strlen(tools.v[0].sha256) == 64 && strcmp(tools.v[0].sha256, tools.v[1].sha256) != 0);
    CHECK_INT(call(&f, "echo", "{\"text\":\n\"a \\u0416 \\\"b\\\"\"}", &d, &r), Q_OK);
    CHECK_STR(r.text.p, "a \xD0\x96 \"b\"");
    CHECK_INT(call(&f, "add", "{\"a\":2,\"b\":40}", NULL, &r), Q_OK);
    CHECK(!r.is_error && r.structured && strcmp(r.structured, "{\"sum\":42}") == 0);
    CHECK_INT(call(&f, "fail", NULL, NULL, &r), Q_OK);
    CHECK(r.is_error && strcmp(r.text.p, "it did not work") == 0);
    CHECK_INT(call(&f, "refuse", "{}", NULL, &r), Q_ERR);
    CHECK_MSG(strstr(err, "test refuses: not like  [31mthis (-32602)"), "%s", err);
    CHECK_INT(call(&f, "nosuch", "{}", NULL, &r), Q_ERR);
    CHECK_INT(call(&f, "echo", "[1]", NULL, &r), Q_FORMAT);
    CHECK_INT(call(&f, "echo", "{\"a\":1}}", NULL, &r), Q_FORMAT);
    CHECK_INT(call(&f, "echo", "{\"text\":\"\xE9\"}", NULL, &r), Q_FORMAT);
    CHECK_INT(call(&f, "rich", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "one\n[image/png, 3 KiB, left out]\n[resource a: mem://a]\n[resource mem://c]\ninside\n[content of an unknown kind, left out]\n[content of an unknown kind, left out]");
    CHECK(r.n_link == 1 && strcmp(r.link[0].uri, "mem://a") == 0 && strcmp(r.link[0].type, "text/plain") == 0);
    CHECK_INT(call(&f, "progress", "{}", &d, &r), Q_OK);
    CHECK_MSG(d.progress >= 1 && strcmp(d.words, "3/3 step 3") == 0, "%d %s", d.progress, d.words);
    CHECK_INT(call(&f, "ask", "{}", &d, &r), Q_OK);
    CHECK(d.asked == 1 && strcmp(d.words, "Who? name") == 0);
    CHECK_MSG(strstr(r.text.p, "\"accept\"") && strstr(r.text.p, "\\u042f") && (want != MCP_ERA_2026 || strstr(r.text.p, "st\\u00e4te \\\"1\\\"")), "%s", r.text.p);
    d.answer = MCP_DECLINE;
    CHECK_INT(call(&f, "ask", "{}", &d, &r), Q_OK);
    CHECK(strstr(r.text.p, "decline") && !strstr(r.text.p, "content"));
    d.answer = MCP_ACCEPT, d.content = "no object";
    CHECK_INT(call(&f, "ask", "{}", &d, &r), Q_OK);
    CHECK(strstr(r.text.p, "cancel"));
    mcp_result_free(&r);
    CHECK_INT(mcp_read(f.s, "mem://a", NULL, &r, err), Q_OK);
    CHECK(strcmp(r.text.p, "hello") == 0 && strcmp(r.type, "text/plain") == 0 && !r.blob.len);
    mcp_result_free(&r);
    CHECK_INT(mcp_read(f.s, "mem://b", NULL, &r, err), Q_OK);
    bool right = r.blob.len == 256;
    for (int i = 0; i < 256 && right; i++)
        right = (unsigned char)r.blob.p[i] == i;
    CHECK(right && !r.text.len);
    mcp_result_free(&r);
    CHECK_INT(mcp_read(f.s, "mem://\xD0\xB6", NULL, &r, err), Q_ERR);
    mcp_result_free(&r);
    mcp_items(f.s, MCP_PROMPTS, &list);
    CHECK(list.n == 1 && list.v[0].n_arg == 1 && list.v[0].arg[0].required && strcmp(list.v[0].arg[0].help, "whom") == 0);
    mcp_list_free(&list);
    CHECK_INT(mcp_prompt(f.s, "greet", "{\"who\":\"Ann\"}", NULL, &r, err), Q_OK);
    CHECK(r.n_part == 2 && !r.part[0].assistant && r.part[1].assistant && strcmp(r.part[0].text, "Greet Ann.") == 0);
    d = (side){ .f = &f };
    CHECK_INT(call(&f, "stall", "{}", &d, &r), Q_CANCEL);
    CHECK(comes(&f, "{\"cancelled\""));
    CHECK_INT(call(&f, "echo", "{\"text\":\"still\"}", NULL, &r), Q_OK);
    CHECK_INT(call(&f, "change", "{}", NULL, &r), Q_OK);
    for (int i = 0; i < 6000; i++, usleep(10000)) {
        mcp_status_of(f.s, &st);
        if (st.stale & 1u << MCP_TOOLS)
            break;
    }
    CHECK_MSG(mcp_refresh(f.s, NULL, err) == Q_OK, "%s", err);
    mcp_list_free(&tools);
    mcp_items(f.s, MCP_TOOLS, &tools);
    mcp_status_of(f.s, &st);
    CHECK(tools.n == 25 && strcmp(tools.v[24].name, "new") == 0 && !st.stale && st.faults == 0);     /* the late answer is none */
    mcp_list_free(&tools);
    mcp_result_free(&r);
    CHECK_INT(times(&f, "\"method\": \"initialize\""), want == MCP_ERA_2025);
    mcp_set_free(f.set);
    f.set = NULL;
    if (!http)
        CHECK(comes(&f, "input closed"));
    if (http && want == MCP_ERA_2025)
        CHECK(comes(&f, "{\"deleted\": \"session-1\"}"));
    close_all(&f);
}

static void stdio_of_2025(void) { common(false, "2025", MCP_ERA_2025); }
static void stdio_of_2026(void) { common(false, "2026", MCP_ERA_2026); }
static void stdio_of_both(void) { common(false, "both", MCP_ERA_2026); }
static void http_of_2025(void) { common(true, "2025", MCP_ERA_2025); }
static void http_of_2026(void) { common(true, "2026", MCP_ERA_2026); }
static void http_in_streams(void) { common(true, "2026 --fault stream", MCP_ERA_2026); }

/* ---- faults ---- */
static void what_is_no_message_is_left_out(void)
{
    fx f = open_with(false, "--era 2025");
    mcp_result r = { .structured = NULL };
    mcp_status st;
    CHECK_INT(call(&f, "garbage", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "after it");
    mcp_status_of(f.s, &st);
    CHECK_INT(st.faults, 11);
    CHECK_MSG(strstr(st.error, "test sent a message that is none: it is no JSON. It was left out"), "%s", st.error);
    CHECK_INT(call(&f, "wrong_id", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "yours");
    CHECK_INT(call(&f, "twice", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "once");
    CHECK_INT(call(&f, "deep", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "shallow");
    CHECK_INT(call(&f, "latin", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "caf\xEF\xBF\xBD");
    CHECK_INT(call(&f, "sample", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "[-32601, -32601, -32601, {}]");
    side d = { .f = NULL };
    CHECK_INT(call(&f, "nulls", "{}", &d, &r), Q_OK);            /* members that are written out and empty; a text for a number */
    CHECK_STR(r.text.p, "nothing else");
    CHECK_STR(d.words, "1/3 step");
    CHECK_INT(call(&f, "url_ask", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "-32602");
    CHECK_INT(call(&f, "ask", "{}", NULL, &r), Q_OK);
    CHECK_MSG(strstr(r.text.p, "cancel") != NULL, "%s", r.text.p);           /* nobody there to be asked */
    mcp_status_of(f.s, &st);
    CHECK(st.state == MCP_READY && times(&f, "\"env\"") == 1);               /* one life all along */
    mcp_result_free(&r);
    close_all(&f);
}

/* What answers our question and is no answer ends it with a sentence, at once: nothing else will come. */
static void an_answer_that_is_none_ends_its_call(bool http)
{
    static const char *const said[] = { "\\\"result\\\":7", "\\\"result\\\":null", "\\\"result\\\":[]", "\\\"result\\\":\\\"done\\\"", "\\\"result\\\":{},\\\"error\\\":{}" };
    fx f = open_with(http, "--era 2025");
    mcp_result r = { .structured = NULL };
    mcp_status st;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        char *arguments = q_printf("{\"text\":\"%s\"}", said[i]);
        int64_t from = q_now_ns();
        CHECK_INT(call(&f, "no_answer", arguments, NULL, &r), Q_FORMAT);
        CHECK_MSG(strstr(err, "test sent an answer that is none (") && strstr(err, "the call was ended"), "%s", err);
        CHECK_MSG(q_now_ns() - from < 20000000000, "%s: waited for the section's timeout", said[i]);
        free(arguments);
    }
    CHECK_INT(call(&f, "echo", "{\"text\":\"on\"}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "on");
    mcp_status_of(f.s, &st);
    CHECK(st.state == MCP_READY && times(&f, "\"initialize\"") == 1);
    mcp_result_free(&r);
    close_all(&f);
}

static void stdio_answers_that_are_none(void) { an_answer_that_is_none_ends_its_call(false); }
static void http_answers_that_are_none(void) { an_answer_that_is_none_ends_its_call(true); }

static void a_server_that_breaks_off_costs_its_call(void)
{
    static const struct { const char *tool, *says; } row[] = { { "crash", "test ended by itself (exit status 3): I break  [31mnow" }, { "half", "test ended by itself (exit status 0)" },
        { "flood", "floods us" }, { "huge", "a message of more than 16777216 bytes" } };
    fx f = open_with(false, "");
    mcp_result r = { .structured = NULL };
    mcp_status st;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        CHECK_INT(call(&f, row[i].tool, "{}", NULL, &r), Q_IO);
        CHECK_MSG(strstr(err, row[i].says), "%s: %s", row[i].tool, err);
        mcp_status_of(f.s, &st);
        CHECK_MSG(st.state == MCP_FAILED && strstr(st.error, row[i].says) && !st.pid, "%s", st.error);
        CHECK_INT(call(&f, "echo", "{\"text\":\"again\"}", NULL, &r), Q_OK);
        CHECK_INT(times(&f, "\"env\""), 2 + (int)i);
        mcp_status_of(f.s, &st);
        CHECK(st.state == MCP_READY && strstr(st.error, row[i].says));
    }
    CHECK(st.calls == 8 && st.failed == 4);
    mcp_result_free(&r);
    close_all(&f);
}

/* The person is asked for it while it ends: who wants it started meanwhile, as a front end does at each question, does not wait for that. */
static enum mcp_answer on_its_end(void *user, const char *message, const char *schema, q_buf *content)
{
    side *d = user;
    mcp_status st;
    char why[Q_ERRLEN];
    mcp_status_of(d->f->s, &st);
    CHECK(st.state == MCP_READY && st.pid > 0 && kill(st.pid, SIGKILL) == 0);
    do {
        usleep(10000);
        mcp_status_of(d->f->s, &st);
    } while (st.state == MCP_READY);
    mcp_start(d->f->s);
    CHECK(mcp_ready(d->f->s, 0, NULL, why) == Q_RANGE);
    d->asked++;
    return MCP_DECLINE;
}

static void nobody_waits_to_start_what_broke_off(void)
{
    fx f = open_with(false, "--era 2025");
    mcp_result r = { .structured = NULL };
    side d = { .f = &f };
    CHECK_INT(mcp_call(f.s, "ask", "{}", &(mcp_hooks){ &d, NULL, NULL, on_its_end }, &r, err), Q_IO);
    CHECK_INT(d.asked, 1);
    CHECK_INT(times(&f, "\"env\""), 1);
    mcp_start(f.s);
    CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_OK, "%s", err);
    CHECK_INT(times(&f, "\"env\""), 2);
    mcp_result_free(&r);
    close_all(&f);
}

static void starts_that_fail_say_why(void)
{
    static const struct { const char *args, *says; } row[] = {
        { "--fault no_start", "test ended by itself (exit status 3): cannot find its settings" }, { "--fault other_version", "test speaks revisions of the protocol that this client does not: 2030-01-01" },
        { "--era 2025 --fault old_version", "this client does not: 1999-01-01" }, { "--nonsense", "test ended by itself (exit status 2): server.py: error: unrecognized arguments: --nonsense" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        fx f = open_with(false, row[i].args);
        mcp_result r = { .structured = NULL };
        mcp_status st;
        CHECK_INT(mcp_ready(f.s, -1, NULL, err), Q_IO);
        CHECK_MSG(strstr(err, row[i].says), "%s: %s", row[i].args, err);
        CHECK(call(&f, "echo", "{}", NULL, &r) == Q_IO && strstr(err, row[i].says));
        mcp_status_of(f.s, &st);
        CHECK(st.state == MCP_FAILED && st.pid == 0 && strstr(st.error, row[i].says));
        if (!i) {
            mcp_restart(f.s);
            CHECK(mcp_ready(f.s, -1, NULL, err) == Q_IO);
        }
        mcp_enable(f.s, false);
        CHECK(mcp_ready(f.s, -1, NULL, err) == Q_NOTFOUND && strstr(err, "switched off"));
        close_all(&f);
    }
}

static void old_servers_are_found_out(void)
{
    static const char *const fault[] = { "--era 2025 --fault silent", "--era 2025 --fault die_on_discover" };
    for (size_t i = 0; i < 2; i++) {
        fx f = open_with(false, fault[i]);
        mcp_status st;
        put(&f, "probe", "1");
        CHECK(mcp_ready(f.s, 0, NULL, err) == Q_RANGE && strstr(err, "test is still starting"));
        CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_OK, "%s: %s", fault[i], err);
        mcp_status_of(f.s, &st);
        CHECK(st.era == MCP_ERA_2025 && st.n[MCP_TOOLS] == 24);
        close_all(&f);
    }
}

static void lists_are_bounded(void)
{
    fx f = open_with(false, "--era 2026 --fault bad_tools");
    mcp_list l;
    CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_OK, "%s", err);
    mcp_items(f.s, MCP_TOOLS, &l);
    CHECK(l.n == 2 && strcmp(l.v[0].name, "good") == 0 && !*l.v[0].help && strcmp(l.v[1].name, "marked") == 0);
    mcp_list_free(&l);
    char *said = mcp_remarks(f.s);
    int lines = 0;
    for (const char *p = said; (p = strchr(p, '\n')); p++)
        lines++;
    CHECK_MSG(lines == 8 && strstr(said, "the tool \"good\" is left out: there is another of that name") && strstr(said, "the tool \"array\" is left out: its arguments are no JSON schema")
              && strstr(said, "the tool \"long\" is left out: it says more of itself"), "%s", said);
    free(said);
    close_all(&f);
    f = open_with(false, "--era 2026 --fault loop --fault ttl");
    CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_OK, "%s", err);
    said = mcp_remarks(f.s);
    CHECK_MSG(strstr(said, "the rest of tools/list is left out: it has no end"), "%s", said);
    CHECK_INT(times(&f, "\"tools/list\""), MCP_PAGES_MAX);
    free(said);
    close_all(&f);
    f = open_with(false, "--era 2026 --fault ttl");              /* 0 ms: each use asks anew */
    CHECK(mcp_refresh(f.s, NULL, err) == Q_OK && mcp_refresh(f.s, NULL, err) == Q_OK);
    CHECK_INT(times(&f, "\"tools/list\""), 3);
    close_all(&f);
}

static void answers_of_2026_are_held_to_their_kind(void)
{
    fx f = open_with(false, "--era 2026");
    mcp_result r = { .structured = NULL };
    CHECK_INT(call(&f, "rounds", "{}", NULL, &r), Q_RANGE);
    CHECK_MSG(strstr(err, "has asked for more 10 times"), "%s", err);
    CHECK_INT(times(&f, "\"requestState\": \"again\""), 10);
    CHECK_INT(call(&f, "sum_kind", "{}", NULL, &r), Q_FORMAT);
    mcp_result_free(&r);
    close_all(&f);
}

static void a_program_inherits_nothing(void)
{
    int open_fd = open("/dev/null", O_RDONLY);
    setenv("QUORUM_TEST_SECRET", "s3cret", 1);
    setenv("QUORUM_TEST_GIVEN", "given", 1);
    fx f = open_with(false, "--era 2025");
    put(&f, "env", "QUORUM_TEST_GIVEN MODE='a b'");
    put(&f, "cwd", "/");
    char *here = getcwd(NULL, 0), *args = q_printf("\"%s/tests/mcp/server.py\" --log %s", here, f.log);
    put(&f, "args", args);
    CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_OK, "%s", err);
    char *log = log_of(&f), *where = mcp_where(f.s);
    CHECK(strstr(log, "\"QUORUM_TEST_GIVEN\": \"given\"") && strstr(log, "\"MODE\": \"a b\"") && strstr(log, "\"PATH\"") && !strstr(log, "s3cret"));
    CHECK_MSG(strstr(log, "\"fds\": [0, 1, 2]") && strstr(log, "\"cwd\": \"/\"") && strstr(log, "\"tty\": false"), "%.2000s", log);
    CHECK_MSG(strstr(where, "env: QUORUM_TEST_GIVEN\n") && !strstr(where, "env: QUORUM_TEST_GIVEN=") && strncmp(where, "python3 ", 8) == 0, "%s", where);
    free(where);
    free(log);
    free(args);
    free(here);
    close(open_fd);
    close_all(&f);
    f = open_with(false, "");
    put(&f, "env", "QUORUM_TEST_NOT_THERE");
    CHECK(mcp_ready(f.s, -1, NULL, err) == Q_IO && strstr(err, "QUORUM_TEST_NOT_THERE"));
    close_all(&f);
    static const struct { const char *key, *value, *says; } row[] = { { "command", "no-such-program-here", "there is no program no-such-program-here" }, { "command", "./server", "named from the root" },
        { "cwd", "/no/such/folder", "there is no folder /no/such/folder" }, { "command", "", "names neither a program" }, { "url", "http://127.0.0.1:1/", "leave one out" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        f = open_with(false, "");
        put(&f, row[i].key, row[i].value);
        CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_IO && strstr(err, row[i].says), "%s", err);
        close_all(&f);
    }
}

/* fault: stubborn does not mind that its input ends, deaf not TERM either. */
static void end(const char *fault)
{
    fx f = open_with(false, fault);
    mcp_status st;
    CHECK_INT(mcp_ready(f.s, -1, NULL, err), Q_OK);
    mcp_status_of(f.s, &st);
    mcp_stop(f.s);
    CHECK(kill(st.pid, 0) != 0);
    mcp_status_of(f.s, &st);
    CHECK(st.state == MCP_OFF && !st.pid);
    close_all(&f);
}

static void a_stubborn_program_is_ended(void) { end("--fault stubborn"); }
static void a_deaf_program_is_ended(void) { end("--fault deaf"); }

static void who_does_not_answer_is_told_to_stop(void)
{
    fx f = open_with(false, "--era 2026");
    mcp_result r = { .structured = NULL };
    CHECK_INT(mcp_ready(f.s, -1, NULL, err), Q_OK);
    put(&f, "timeout", "1");
    CHECK_INT(call(&f, "stall", "{}", NULL, &r), Q_IO);
    CHECK_MSG(strstr(err, "test has not answered tools/call for 1 seconds"), "%s", err);
    CHECK(comes(&f, "{\"cancelled\""));
    put(&f, "timeout", "600");
    CHECK_INT(call(&f, "echo", "{\"text\":\"still\"}", NULL, &r), Q_OK);
    mcp_result_free(&r);
    close_all(&f);
}

static void sections_are_read(void)
{
    static const struct { const char *name, *key, *value; int rc; } row[] = {
        { "a", "command", "x", Q_OK }, { "a", "args", "one 'two three' \"fo\\\"ur\" fi\\ ve ''", Q_OK }, { "a", "args", "'open", Q_FORMAT }, { "b", "url", "https://h/mcp", Q_OK }, { "b", "url", "ftp://h", Q_FORMAT },
        { "b", "url", "https://me:pw@h/", Q_FORMAT }, { "b", "key", "sk-1", Q_NOTFOUND }, { "b", "colour", "red", Q_NOTFOUND }, { "b", "timeout", "0", Q_RANGE }, { "b", "timeout", "1e3", Q_RANGE },
        { "b", "timeout", "86400", Q_OK }, { "b", "header", "X-Own: $QUORUM_TEST_GIVEN", Q_OK }, { "b", "header", "nothing", Q_FORMAT }, { "b", "header", "Mcp-Session-Id: 1", Q_FORMAT },
        { "b", "enabled", "perhaps", Q_RANGE }, { "b", "enabled", "no", Q_OK }, { "", "url", "https://h", Q_RANGE }, { "a__b", "url", "https://h", Q_RANGE }, { "a b", "url", "https://h", Q_RANGE },
        { "\xD0\xB0", "url", "https://h", Q_RANGE }, { "_a", "url", "https://h", Q_RANGE }, { "c", "url", "nonsense", Q_FORMAT } };
    mcp_set *set = mcp_set_new();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        CHECK_MSG(mcp_put(set, row[i].name, row[i].key, row[i].value, err) == row[i].rc, "%s.%s = %s: %s", row[i].name, row[i].key, row[i].value, err);
    CHECK_INT(mcp_count(set), 2);
    char *a = mcp_where(mcp_find(set, "a")), *b = mcp_where(mcp_find(set, "b"));
    CHECK_STR(a, "x one \"two three\" \"fo\\\"ur\" \"fi ve\" \"\"");
    CHECK_STR(b, "https://h/mcp\nheader: X-Own: $QUORUM_TEST_GIVEN");
    CHECK(!mcp_enabled(mcp_find(set, "b")) && mcp_http(mcp_find(set, "b")) && !mcp_find(set, "c"));
    free(a);
    free(b);
    mcp_set_free(set);
}

/* ---- HTTP alone ---- */
static void *echoes(void *f_)
{
    char why[Q_ERRLEN];
    mcp_result r = { .structured = NULL };
    const fx *f = f_;
    bool good = mcp_call(f->s, "echo", "{\"text\":\"me too\"}", NULL, &r, why) == Q_OK && strcmp(r.text.p, "me too") == 0;
    mcp_result_free(&r);
    return good ? f_ : NULL;
}

/* Several that meet the loss of one session: one begins it anew, the others have it. */
static void sessions_at_once(fx *f)
{
    enum { N = 6 };
    pthread_t t[N];
    int before = times(f, "\"initialize\"");
    mcp_result r = { .structured = NULL };
    CHECK_INT(call(f, "lose_session", "{}", NULL, &r), Q_OK);    /* answered, and gone behind it */
    mcp_result_free(&r);
    for (int i = 0; i < N; i++)
        CHECK_INT(pthread_create(&t[i], NULL, echoes, f), 0);
    for (int i = 0; i < N; i++) {
        void *good;
        pthread_join(t[i], &good);
        CHECK(good != NULL);
    }
    CHECK_INT(times(f, "\"initialize\""), before + 1);
}

/* A server with a certificate of its own is trusted by the file that its section names, and by nothing else. */
static void own_certificates_are_trusted_where_the_section_says(void)
{
    char *make = q_printf("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=quorum test' -addext subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem > /dev/null 2>&1", dir, dir);
    char *args = q_printf("--era 2025 --tls %s", dir), *cert = q_printf("%s/cert.pem", dir), *key = q_printf("%s/key.pem", dir);
    int status = system(make);
    free(make);
    if (status != 0) {
        printf("# own_certificates_are_trusted_where_the_section_says: there is no openssl\n");
        free(args), free(cert), free(key);
        return;
    }
    fx f = open_with(true, args);
    mcp_result r = { .structured = NULL };
    char *where = mcp_where(f.s), *url = q_printf("https%s", where + 4);
    put(&f, "url", url);
    CHECK(mcp_ready(f.s, -1, NULL, err) == Q_IO);
    CHECK_MSG(strstr(err, "certificate"), "%s", err);
    put(&f, "ca", cert);
    mcp_restart(f.s);
    CHECK_INT(call(&f, "echo", "{\"text\":\"behind TLS\"}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "behind TLS");
    mcp_result_free(&r);
    close_all(&f);
    unlink(cert), unlink(key);
    free(args), free(cert), free(key), free(where), free(url);
}

/* A key goes over a line that anybody can read to nobody but this machine. */
static void a_key_goes_over_https_or_to_the_loopback(void)
{
    static const struct { const char *url, *key, *value; bool refused; } row[] = {
        { "http://example.org/mcp", "key_env", "QUORUM_TEST_GIVEN", true }, { "http://10.0.0.7/mcp", "key_file", "/nowhere", true }, { "http://example.org/mcp", "header", "Authorization: Bearer x", true },
        { "http://example.org/mcp", "header", "X-Any: $QUORUM_TEST_GIVEN", true }, { "http://localhost.example.org/mcp", "key_env", "QUORUM_TEST_GIVEN", true },
        { "http://127.0.0.1:1/mcp", "key_env", "QUORUM_TEST_GIVEN", false }, { "http://[::1]:1/mcp", "header", "Authorization: Bearer x", false } };
    setenv("QUORUM_TEST_GIVEN", "given", 1);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        mcp_set *set = mcp_set_new();
        CHECK(mcp_put(set, "a", "url", row[i].url, err) == Q_OK && mcp_put(set, "a", row[i].key, row[i].value, err) == Q_OK);
        CHECK(mcp_ready(mcp_find(set, "a"), -1, NULL, err) < 0);
        CHECK_MSG(row[i].refused == (strstr(err, "anybody can read") && strstr(err, "https://") && strstr(err, "http://127.0.0.1:PORT")), "%zu: %s", i, err);
        mcp_set_free(set);
    }
}

static void http_faults(void)
{
    fx f = open_with(true, "--era 2025");
    mcp_result r = { .structured = NULL };
    CHECK_INT(call(&f, "break_stream", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "resumed");
    CHECK(times(&f, "\"Last-Event-ID\": \"ev-") == 1);
    CHECK_INT(call(&f, "end_session", "{}", NULL, &r), Q_ERR);               /* 404 again under the new one */
    CHECK_INT(call(&f, "echo", "{\"text\":\"new\"}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "new");
    CHECK_INT(call(&f, "sample", "{}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "[-32601, -32601, -32601, {}]");
    CHECK_INT(call(&f, "flood", "{}", NULL, &r), Q_RANGE);
    CHECK_MSG(strstr(err, "floods us"), "%s", err);
    CHECK_INT(call(&f, "huge", "{}", NULL, &r), Q_RANGE);
    CHECK_INT(call(&f, "echo", "{\"text\":\"still\"}", NULL, &r), Q_OK);
    close(f.in);                                                 /* it ends */
    waitpid(f.http, NULL, 0);
    CHECK_INT(call(&f, "echo", "{}", NULL, &r), Q_IO);
    CHECK_MSG(strstr(err, "nobody answers at http://127.0.0.1"), "%s", err);
    mcp_set_free(f.set);
    f = open_with(true, "--fault html");
    CHECK(mcp_ready(f.s, -1, NULL, err) == Q_IO && strstr(err, "MCP endpoint"));
    close_all(&f);
    f = open_with(true, "--era 2025 --fault session_400");       /* a session that is gone, said otherwise */
    CHECK_INT(call(&f, "end_session", "{}", NULL, &r), Q_ERR);
    CHECK_INT(call(&f, "echo", "{\"text\":\"new\"}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "new");
    CHECK(times(&f, "\"initialize\"") == 3);
    close_all(&f);
    f = open_with(true, "--era 2025 --fault session_401");       /* as the Rust SDK says it */
    CHECK_INT(call(&f, "end_session", "{}", NULL, &r), Q_ERR);
    CHECK_INT(call(&f, "echo", "{\"text\":\"new\"}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "new");
    CHECK(times(&f, "\"initialize\"") == 3);
    sessions_at_once(&f);
    close_all(&f);
    f = open_with(true, "--era 2025 --fault no_get");
    CHECK_INT(call(&f, "echo", "{\"text\":\"no stream\"}", NULL, &r), Q_OK);
    mcp_result_free(&r);
    close_all(&f);
}

static int descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* What a server asks by itself is answered, and costs no thread and no line that stays: a few hundred of them would be a few thousand in a day
 * of an honest server that asks whether we live. */
static void what_is_answered_is_taken_away(void)
{
    fx f = open_with(true, "--era 2025");
    mcp_result r = { .structured = NULL };
    CHECK_INT(call(&f, "echo", "{\"text\":\"before\"}", NULL, &r), Q_OK);
    int before = descriptors();
    CHECK_INT(call(&f, "pings", "{\"n\":300}", NULL, &r), Q_OK);
    CHECK_STR(r.text.p, "300");
    int more = descriptors() - before;   /* without taking away: one or more for each */
    printf("# descriptors after 300 pings: %d more\n", more);
    CHECK_MSG(more < 150, "%d", more);
    mcp_result_free(&r);
    close_all(&f);
}

static void headers_say_what_is_asked(void)
{
    fx f = open_with(true, "--era 2026");
    mcp_result r = { .structured = NULL };
    CHECK_INT(call(&f, "where", "{\"region\":\"\xD0\xAF\",\"n\":42}", NULL, &r), Q_OK);
    CHECK_MSG(strstr(r.text.p, "\"Mcp-Param-Region\": \"=?base64?0K8=?=\"") && strstr(r.text.p, "\"Mcp-Param-N\": \"42\"") && strstr(r.text.p, "\"Mcp-Name\": \"where\""), "%s", r.text.p);
    CHECK_INT(call(&f, "where", "{\"region\":null}", NULL, &r), Q_OK);
    CHECK(!strstr(r.text.p, "Param"));
    mcp_result_free(&r);
    close_all(&f);
    f = open_with(true, "--era 2026 --fault bad_tools");
    CHECK_INT(mcp_ready(f.s, -1, NULL, err), Q_OK);
    char *said = mcp_remarks(f.s);
    CHECK_MSG(strstr(said, "the tool \"marked\" is left out: it marks an argument for a header"), "%s", said);
    free(said);
    close_all(&f);
}

typedef struct keys { int kept, asked; bool had; char words[128]; } keys;

static int token(void *user, const mcp_challenge *c, char **out, char *e)
{
    keys *k = user;
    if (!c->status) {
        k->kept++;
        return Q_NOTFOUND;
    }
    k->had |= c->had;
    snprintf(k->words, sizeof k->words, "%d %s", c->status, c->words);
    *out = q_strdup(k->asked++ ? "right" : "wrong");
    return Q_OK;
}

static void who_is_asked_for_is_asked(void)
{
    fx f = open_with(true, "--fault auth");
    mcp_result r = { .structured = NULL };
    keys k = { .kept = 0 };
    CHECK(mcp_ready(f.s, -1, NULL, err) == Q_IO && strstr(err, "asks who you are (401)"));
    mcp_stop(f.s);
    mcp_set_authorise(f.set, &(mcp_authorise){ token, &k });
    CHECK_MSG(call(&f, "echo", "{\"text\":\"let in\"}", NULL, &r) == Q_OK, "%s", err);
    CHECK_STR(r.text.p, "let in");
    CHECK_MSG(k.kept == 1 && k.asked == 2 && k.had && strcmp(k.words, "403 Bearer resource_metadata=\"http://x/meta\", scope=\"a b\"") == 0, "%d %d %s", k.kept, k.asked, k.words);
    mcp_result_free(&r);
    close_all(&f);
    f = open_with(true, "--fault auth");
    setenv("QUORUM_TEST_KEY", "right", 1);
    put(&f, "key_env", "QUORUM_TEST_KEY");
    put(&f, "header", "X-Own: $QUORUM_TEST_KEY");
    CHECK_MSG(mcp_ready(f.s, -1, NULL, err) == Q_OK, "%s", err);
    CHECK(times(&f, "\"X-Own\": \"right\"") > 0);
    close_all(&f);
}

/* ---- many at once ---- */
/* Each call is at its person until the other's server is being ended: were they ended one after the other, nobody would come to an end. */
typedef struct pair { mcp_server *own, *other; atomic_int *there; pthread_t t; } pair;

static enum mcp_answer until_other_ends(void *user, const char *message, const char *schema, q_buf *content)
{
    const pair *p = user;
    mcp_status st;
    atomic_fetch_add(p->there, 1);
    do {
        usleep(10000);
        mcp_status_of(p->other, &st);
    } while (st.state == MCP_READY);
    return MCP_DECLINE;
}

static void *asks(void *user)
{
    pair *p = user;
    mcp_result r = { .structured = NULL };
    char e[Q_ERRLEN];
    mcp_call(p->own, "ask", "{}", &(mcp_hooks){ p, NULL, NULL, until_other_ends }, &r, e);
    mcp_result_free(&r);
    return NULL;
}

static void all_are_ended_side_by_side(void)
{
    static const char *const name[] = { "one", "two" };
    atomic_int there = 0;
    mcp_set *set = mcp_set_new();
    pair p[2] = { { .there = &there }, { .there = &there } };
    for (int i = 0; i < 2; i++) {
        char *args = q_printf("tests/mcp/server.py --log %s/pair%d --era 2025", dir, i);
        CHECK(mcp_put(set, name[i], "command", "python3", err) == Q_OK && mcp_put(set, name[i], "args", args, err) == Q_OK && mcp_put(set, name[i], "probe", "600", err) == Q_OK &&
              mcp_put(set, name[i], "start", "600", err) == Q_OK && mcp_put(set, name[i], "timeout", "600", err) == Q_OK);
        free(args);
    }
    for (int i = 0; i < 2; i++) {
        p[i].own = mcp_find(set, name[i]);
        p[i].other = mcp_find(set, name[!i]);
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&p[i].t, NULL, asks, &p[i]);
    while (atomic_load(&there) < 2)
        usleep(10000);
    mcp_set_stop(set);
    for (int i = 0; i < 2; i++) {
        mcp_status st;
        pthread_join(p[i].t, NULL);
        mcp_status_of(p[i].own, &st);
        CHECK(st.state == MCP_OFF && st.pid == 0);      /* what its call came to is who was first */
    }
    mcp_set_free(set);
}

typedef struct many { fx *f; int good; pthread_t t; } many;

static void *calls(void *user)
{
    many *m = user;
    for (int i = 0; i < 20; i++) {
        mcp_result r = { .structured = NULL };
        char args[64], want[32], e[Q_ERRLEN];
        snprintf(want, sizeof want, "%d of %p", i, user);
        snprintf(args, sizeof args, "{\"text\":\"%s\"}", want);
        m->good += mcp_call(m->f->s, "echo", args, NULL, &r, e) == Q_OK && strcmp(r.text.p, want) == 0;
        mcp_result_free(&r);
    }
    return NULL;
}

static void calls_run_side_by_side(void)
{
    for (int http = 0; http < 2; http++) {
        fx f = open_with(http, http ? "--era 2025" : "");
        many m[4];
        for (int i = 0; i < 4; i++) {
            m[i] = (many){ .f = &f };
            pthread_create(&m[i].t, NULL, calls, &m[i]);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(m[i].t, NULL);
            CHECK_INT(m[i].good, 20);
        }
        close_all(&f);
    }
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/quorum-mcp-XXXXXX");
    signal(SIGPIPE, SIG_DFL);
    if (!mkdtemp(dir))
        return 2;
    RUN(sections_are_read);
    RUN(stdio_of_2025);
    RUN(stdio_of_2026);
    RUN(stdio_of_both);
    RUN(http_of_2025);
    RUN(http_of_2026);
    RUN(http_in_streams);
    RUN(what_is_no_message_is_left_out);
    RUN(stdio_answers_that_are_none);
    RUN(http_answers_that_are_none);
    RUN(a_key_goes_over_https_or_to_the_loopback);
    RUN(own_certificates_are_trusted_where_the_section_says);
    RUN(a_server_that_breaks_off_costs_its_call);
    RUN(nobody_waits_to_start_what_broke_off);
    RUN(starts_that_fail_say_why);
    RUN(old_servers_are_found_out);
    RUN(lists_are_bounded);
    RUN(answers_of_2026_are_held_to_their_kind);
    RUN(a_program_inherits_nothing);
    RUN(who_does_not_answer_is_told_to_stop);
    RUN(a_stubborn_program_is_ended);                            /* 2 seconds: that is how long it is given */
    if (getenv("QUORUM_LONG"))
        RUN(a_deaf_program_is_ended);
    else
        SKIP("a_deaf_program_is_ended", "QUORUM_LONG=1 waits the four seconds that it is given");
    RUN(http_faults);
    RUN(what_is_answered_is_taken_away);
    RUN(headers_say_what_is_asked);
    RUN(who_is_asked_for_is_asked);
    RUN(all_are_ended_side_by_side);
    RUN(calls_run_side_by_side);
    char *cmd = q_printf("rm -rf %s", dir);
    if (system(cmd) != 0)
        printf("# %s stays\n", dir);
    free(cmd);
    return TEST_END();
}
