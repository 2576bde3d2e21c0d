/* mcp: the client against servers that others wrote: the official SDK's (MCP_SDK=PYTHON of the present releases, MCP_SDK1=PYTHON of 1.x) and the
 * reference servers beside the first. `make test-mcp` sets them; without them all is skipped by name. */
#include "mcp/oauth.h"
#include "net/net.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char err[Q_ERRLEN];
static const char *sdk_now, *sdk_1;

typedef struct side { int progress, asked; bool stop; mcp_server *s; } side;

static void on_progress(void *user, double done, double total, const char *text) { ((side *)user)->progress += total == 3; }

static enum mcp_answer on_elicit(void *user, const char *message, const char *schema, q_buf *content)
{
    ((side *)user)->asked += strcmp(message, "Who?") == 0 && strstr(schema, "name") != NULL;
    q_buf_puts(content, "{\"name\":\"Ann\"}");
    return MCP_ACCEPT;
}

/* False once the server's own log says that it waits. */
static bool on_go(void *user)
{
    side *d = user;
    if (!d->stop)
        return true;
    char *log = mcp_stderr(d->s);
    bool go = !strstr(log, "stalls");
    free(log);
    return go;
}

static bool log_says(mcp_server *s, const char *what)
{
    for (int i = 0; i < 3000; i++, usleep(10000)) {
        char *log = mcp_stderr(s);
        bool yes = strstr(log, what) != NULL;
        free(log);
        if (yes)
            return true;
    }
    return false;
}

static mcp_server *make(mcp_set *set, const char *key, const char *value, const char *args)
{
    CHECK_INT(mcp_put(set, "real", key, value, err), Q_OK);
    CHECK_INT(mcp_put(set, "real", "probe", "60", err), Q_OK);
    if (args)
        CHECK_INT(mcp_put(set, "real", "args", args, err), Q_OK);
    return mcp_find(set, "real");
}

static int call(mcp_server *s, const char *tool, const char *args, side *d, mcp_result *r)
{
    mcp_hooks h = { d, on_go, on_progress, on_elicit };
    mcp_result_free(r);
    int rc = mcp_call(s, tool, args, &h, r, err);
    const char *said = rc == Q_OK ? r->text.p : err;
    printf("# %s: %d %.*s\n", tool, rc, (int)strcspn(said, "\n"), said);
    return rc;
}

/* noise: what is between makes messages that are none. */
static void sdk(mcp_server *s, enum mcp_era era, bool http, bool noise)
{
    mcp_result r = { .structured = NULL };
    mcp_status st;
    side d = { .s = s };
    CHECK_MSG(mcp_ready(s, -1, NULL, err) == Q_OK, "%s", err);
    mcp_status_of(s, &st);
    printf("# %s %s, protocol %s, %d tools, %d resources, %d templates, %d prompts\n", st.title, st.release, st.version, st.n[0], st.n[1], st.n[2], st.n[3]);
    CHECK(st.era == era && st.n[MCP_TOOLS] == 6 && st.n[MCP_RESOURCES] == 1 && st.n[MCP_TEMPLATES] == 1 && st.n[MCP_PROMPTS] == 1);
    CHECK(call(s, "add", "{\"a\":2,\"b\":40}", &d, &r) == Q_OK && strcmp(r.text.p, "42") == 0);
    CHECK(r.structured && strstr(r.structured, "42"));
    CHECK(call(s, "echo", "{\"text\":\"\xD0\xAF\\n2\"}", &d, &r) == Q_OK && strcmp(r.text.p, "\xD0\xAF\n2") == 0);
    CHECK(call(s, "broken", "{}", &d, &r) == Q_OK && r.is_error);
    CHECK(call(s, "add", "{\"a\":\"x\"}", &d, &r) == Q_OK ? r.is_error : *err != 0);
    CHECK(call(s, "steps", "{}", &d, &r) == Q_OK && strcmp(r.text.p, "done") == 0);
    CHECK(d.progress >= 1);
    CHECK(call(s, "ask", "{}", &d, &r) == Q_OK && strcmp(r.text.p, "accept Ann") == 0 && d.asked == 1);
    if (!http) {
        d.stop = true;
        CHECK(call(s, "stall", "{}", &d, &r) == Q_CANCEL);
        CHECK(log_says(s, "cancelled"));
        d.stop = false;
    }
    mcp_result_free(&r);
    CHECK(mcp_read(s, "note://one", NULL, &r, err) == Q_OK && strcmp(r.text.p, "a note") == 0);
    mcp_result_free(&r);
    CHECK(mcp_read(s, "note://two", NULL, &r, err) == Q_OK && strcmp(r.text.p, "the note two") == 0);
    mcp_result_free(&r);
    CHECK(mcp_read(s, "none://x", NULL, &r, err) == Q_ERR);
    mcp_result_free(&r);
    CHECK(mcp_prompt(s, "greet", "{\"who\":\"Ann\"}", NULL, &r, err) == Q_OK && r.n_part == 1 && strcmp(r.part[0].text, "Greet Ann.") == 0);
    mcp_result_free(&r);
    mcp_status_of(s, &st);
    CHECK_MSG(st.state == MCP_READY && (st.faults > 0) == noise, "%s", st.error);
}

static void over_stdio(const char *python, enum mcp_era era)
{
    mcp_set *set = mcp_set_new();
    char *args = q_strdup("tests/mcp/sdk_server.py");
    sdk(make(set, "command", python, args), era, false, false);
    free(args);
    mcp_set_free(set);
}

/* tests/mcp/proxy.py between, with its fault. */
static void through(const char *fault, bool noise)
{
    mcp_set *set = mcp_set_new();
    char *args = q_printf("tests/mcp/proxy.py %s %s tests/mcp/sdk_server.py", fault, sdk_now);
    sdk(make(set, "command", sdk_now, args), MCP_ERA_2026, false, noise);
    free(args);
    mcp_set_free(set);
}

static void through_noise(void) { through("noise", true); }
static void through_pieces(void) { through("pieces", false); }
static void through_repetition(void) { through("twice", true); }

/* The line is cut in the middle of the first answer of a tool, and not again. */
static void through_a_cut(void)
{
    char mark[] = "/tmp/quorum-mcp-XXXXXX", *args;
    mcp_set *set = mcp_set_new();
    mcp_result r = { .structured = NULL };
    side d = { .stop = false };
    int fd = mkstemp(mark);
    CHECK(fd >= 0 && close(fd) == 0 && unlink(mark) == 0);
    args = q_printf("tests/mcp/proxy.py cut:%s %s tests/mcp/sdk_server.py", mark, sdk_now);
    mcp_server *s = make(set, "command", sdk_now, args);
    CHECK(call(s, "add", "{\"a\":2,\"b\":40}", &d, &r) == Q_IO && strstr(err, "real ended by itself (exit status 9)"));
    CHECK(call(s, "add", "{\"a\":2,\"b\":40}", &d, &r) == Q_OK && strcmp(r.text.p, "42") == 0);
    CHECK(unlink(mark) == 0);
    free(args);
    mcp_result_free(&r);
    mcp_set_free(set);
}

/* A port that nobody has: asked for, and given back. */
static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&a, n) != 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return 0;
    close(fd);
    return ntohs(a.sin_port);
}

static bool listens(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return yes;
}

/* The script with a port of its own as its last argument, once it listens; *url malloc'ed. */
static pid_t serve(const char *python, const char *script, const char *option, char **url)
{
    char port[16];
    int number = free_port();
    snprintf(port, sizeof port, "%d", number);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(126);
        execl(python, python, script, option ? option : port, option ? port : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 6000 && !listens(number); i++)
        usleep(10000);
    *url = q_printf("http://127.0.0.1:%s/mcp", port);
    return pid;
}

static void over_http(const char *python, enum mcp_era era)
{
    char *url;
    pid_t pid = serve(python, "tests/mcp/sdk_server.py", "--http", &url);
    mcp_set *set = mcp_set_new();
    sdk(make(set, "url", url, NULL), era, true, false);
    mcp_set_free(set);
    free(url);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- the SDK's own sign-in ---- */
typedef struct person { pthread_t browser; char *link; int asked; } person;

static void *browse(void *link)
{
    char said[Q_ERRLEN];
    net_reply r;
    net *n = net_new();
    CHECK_MSG(net_run(n, &(net_request){ .url = link, .redirects = 3 }, &r, said) == Q_OK && r.status == 200, "%s", said);
    net_free(n);
    return NULL;
}

static enum mcp_sign_answer ask_person(void *user, const mcp_sign_in *s)
{
    person *p = user;
    p->asked++;
    p->link = q_strdup(s->link);
    CHECK(strstr(s->link, "code_challenge_method=S256") && strstr(s->link, "scope=add") && strstr(s->link, "resource=http%3A%2F%2F127.0.0.1"));
    pthread_create(&p->browser, NULL, browse, p->link);
    return MCP_SIGN_SHOWN;
}

/* The first asks the person, the second, another start, renews what is over by then. */
static void signed_in(const char *python)
{
    char *url, folder[] = "/tmp/quorum-mcp-real-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char *file = q_printf("%s/tokens.json", folder), *lock = q_printf("%s.lock", file);
    pid_t pid = serve(python, "tests/mcp/sdk_auth.py", NULL, &url);
    person p = { .asked = 0 };
    for (int start = 0; start < 2; start++) {
        mcp_oauth *o = mcp_oauth_new(&(mcp_oauth_opts){ .path = file, .ask = ask_person, .user = &p });
        mcp_set *set = mcp_set_new();
        mcp_set_authorise(set, &(mcp_authorise){ mcp_oauth_token, o });
        mcp_server *s = make(set, "url", url, NULL);
        mcp_result r = { 0 };
        side d = { .s = s };
        CHECK_MSG(call(s, "add", "{\"a\":2,\"b\":3}", &d, &r) == Q_OK && strcmp(r.text.p, "5") == 0, "start %d: %s", start, err);
        mcp_result_free(&r);
        mcp_set_free(set);
        mcp_oauth_free(o);
        if (start == 0 && p.asked)
            pthread_join(p.browser, NULL);
    }
    CHECK_INT(p.asked, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(file);
    unlink(lock);
    rmdir(folder);
    free(p.link);
    free(url);
    free(file);
    free(lock);
}

static void the_sdk_lets_in(void) { signed_in(sdk_now); }
static void sdk_1_lets_in(void) { signed_in(sdk_1); }

static void the_sdk_over_stdio(void) { over_stdio(sdk_now, MCP_ERA_2026); }
static void the_sdk_over_http(void) { over_http(sdk_now, MCP_ERA_2026); }
static void sdk_1_over_stdio(void) { over_stdio(sdk_1, MCP_ERA_2025); }
static void sdk_1_over_http(void) { over_http(sdk_1, MCP_ERA_2025); }

/* The reference servers are modules beside the SDK. */
static mcp_server *reference(mcp_set *set, const char *args)
{
    mcp_server *s = make(set, "command", sdk_now, args);
    mcp_status st;
    CHECK_MSG(mcp_ready(s, -1, NULL, err) == Q_OK, "%s", err);
    mcp_status_of(s, &st);
    printf("# %s %s, protocol %s, %d tools, %d prompts\n", st.title, st.release, st.version, st.n[MCP_TOOLS], st.n[MCP_PROMPTS]);
    return s;
}

static void reference_time(void)
{
    mcp_set *set = mcp_set_new();
    mcp_result r = { .structured = NULL };
    side d = { .stop = false };
    mcp_server *s = reference(set, "-m mcp_server_time --local-timezone UTC");
    CHECK(call(s, "convert_time", "{\"source_timezone\":\"UTC\",\"time\":\"12:00\",\"target_timezone\":\"Asia/Tokyo\"}", &d, &r) == Q_OK && !r.is_error && strstr(r.text.p, "21:00"));
    CHECK(call(s, "get_current_time", "{\"timezone\":\"Nowhere/City\"}", &d, &r) == Q_OK ? r.is_error : *err != 0);
    mcp_result_free(&r);
    mcp_set_free(set);
}

static void reference_git(void)
{
    char dir[] = "/tmp/quorum-mcp-XXXXXX", *args, *cmd;
    mcp_set *set = mcp_set_new();
    mcp_result r = { .structured = NULL };
    side d = { .stop = false };
    CHECK(mkdtemp(dir) != NULL);
    cmd = q_printf("cd %s && git init -q . && echo one > a && git add a && git -c user.name=t -c user.email=t@t commit -qm 'Begin here' && echo two > a", dir);
    CHECK(system(cmd) == 0);
    free(cmd);
    args = q_printf("-m mcp_server_git --repository %s", dir);
    mcp_server *s = reference(set, args);
    free(args);
    args = q_printf("{\"repo_path\":\"%s\"}", dir);
    CHECK(call(s, "git_log", args, &d, &r) == Q_OK && !r.is_error && strstr(r.text.p, "Begin here"));
    CHECK(call(s, "git_diff_unstaged", args, &d, &r) == Q_OK && strstr(r.text.p, "+two"));
    CHECK(call(s, "git_log", "{\"repo_path\":\"/nowhere\"}", &d, &r) == Q_OK ? r.is_error : *err != 0);
    free(args);
    mcp_result_free(&r);
    mcp_set_free(set);
    cmd = q_printf("rm -rf %s", dir);
    CHECK(system(cmd) == 0);
    free(cmd);
}

/* It asks nobody on the network here: an address that nobody has, and its prompt. */
static void reference_fetch(void)
{
    mcp_set *set = mcp_set_new();
    mcp_result r = { .structured = NULL };
    side d = { .stop = false };
    char *args = q_printf("{\"url\":\"http://127.0.0.1:%d/\"}", free_port());
    mcp_server *s = reference(set, "-m mcp_server_fetch --ignore-robots-txt");
    mcp_list l;
    mcp_items(s, MCP_TOOLS, &l);
    CHECK(l.n == 1 && strcmp(l.v[0].name, "fetch") == 0 && strstr(l.v[0].schema, "\"url\""));
    mcp_list_free(&l);
    CHECK(call(s, "fetch", args, &d, &r) == Q_OK ? r.is_error : *err != 0);
    free(args);
    mcp_result_free(&r);
    mcp_set_free(set);
}

/* ---- files ---- */
static int on_file(mcp_server *s, const char *tool, const char *dir, const char *name, const char *content, mcp_result *r)
{
    char *args = q_printf("{\"path\":\"%s%s%s\"%s%s%s}", dir, *name ? "/" : "", name, content ? ",\"content\":\"" : "", content ? content : "", content ? "\"" : "");
    int rc = call(s, tool, args, &(side){ .stop = false }, r);
    free(args);
    return rc;
}

/* A server that reads, writes and lists below its roots: written, read back to the byte, listed; nothing outside, by no way. */
static void files(const char *python)
{
    char dir[] = "/tmp/quorum-mcp-XXXXXX";
    mcp_set *set = mcp_set_new();
    mcp_result r = { .structured = NULL };
    q_buf there = { 0 };
    CHECK(mkdtemp(dir) != NULL);
    char *args = q_printf("tests/mcp/fs_server.py %s/root %s/second", dir, dir), *root = q_printf("%s/root", dir), *second = q_printf("%s/second", dir), *file = q_printf("%s/a.txt", root), *out = q_printf("%s/out", root);
    CHECK(mkdir(root, 0700) == 0 && mkdir(second, 0700) == 0 && symlink("/etc", out) == 0);
    mcp_server *s = make(set, "command", python, args);
    CHECK_MSG(mcp_ready(s, -1, NULL, err) == Q_OK, "%s", err);
    CHECK(on_file(s, "write_file", root, "a.txt", "\xD0\xAF one\\ntwo\\r\\n\\u0007", &r) == Q_OK && !r.is_error && strcmp(r.text.p, "12 letters") == 0);
    CHECK(q_read_file(file, &there, 100, err) == Q_OK && there.len == 13 && memcmp(there.p, "\xD0\xAF one\ntwo\r\n\a", 13) == 0);
    CHECK(on_file(s, "read_file", root, "a.txt", NULL, &r) == Q_OK && !r.is_error && strcmp(r.text.p, "\xD0\xAF one\ntwo\r\n\a") == 0);
    CHECK(on_file(s, "list_directory", root, "", NULL, &r) == Q_OK && !r.is_error && strcmp(r.text.p, "a.txt\nout/") == 0);
    CHECK(call(s, "list_roots", "{}", &(side){ .stop = false }, &r) == Q_OK && strstr(r.text.p, root) && strstr(r.text.p, second));
    static const char *const outside[] = { "../b.txt", "../../../etc/hostname", "out/hostname", "../root2" };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        CHECK(on_file(s, "write_file", root, outside[i], "x", &r) == Q_OK && r.is_error && strstr(r.text.p, "outside of the roots"));
        CHECK(on_file(s, "read_file", root, outside[i], NULL, &r) == Q_OK && r.is_error);
    }
    CHECK(on_file(s, "read_file", root, "none", NULL, &r) == Q_OK && r.is_error && on_file(s, "write_file", "relative", "x", "x", &r) == Q_OK && r.is_error);
    q_buf_clear(&there);
    CHECK(q_read_file(file, &there, 100, err) == Q_OK && there.len == 13);
    mcp_result_free(&r);
    q_buf_free(&there);
    mcp_set_free(set);
    char *cmd = q_printf("rm -rf %s", dir);
    CHECK(system(cmd) == 0);
    char *mine[] = { cmd, args, root, second, file, out };
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        free(mine[i]);
}

static void files_by_the_sdk(void) { files(sdk_now); }
static void files_by_sdk_1(void) { files(sdk_1); }

int main(void)
{
    sdk_now = getenv("MCP_SDK");
    sdk_1 = getenv("MCP_SDK1");
    static const struct { const char *name; void (*f)(void); bool old; } row[] = {
        { "the_sdk_over_stdio", the_sdk_over_stdio, false }, { "the_sdk_over_http", the_sdk_over_http, false }, { "sdk_1_over_stdio", sdk_1_over_stdio, true },
        { "sdk_1_over_http", sdk_1_over_http, true }, { "the_sdk_lets_in", the_sdk_lets_in, false }, { "sdk_1_lets_in", sdk_1_lets_in, true }, { "through_noise", through_noise, false }, { "through_pieces", through_pieces, false },
        { "through_repetition", through_repetition, false }, { "through_a_cut", through_a_cut, false }, { "reference_time", reference_time, false }, { "reference_git", reference_git, false }, { "reference_fetch", reference_fetch, false },
        { "files_by_the_sdk", files_by_the_sdk, false }, { "files_by_sdk_1", files_by_sdk_1, true } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (!(row[i].old ? sdk_1 : sdk_now)) {
            SKIP(row[i].name, row[i].old ? "MCP_SDK1 names no Python with release 1 of the SDK (make test-mcp)" : "MCP_SDK names no Python with the SDK (make test-mcp)");
            continue;
        }
        test_bad = 0;
        row[i].f();
        if (test_bad)
            test_failed++;
        printf(test_bad ? "not ok %s\n" : "ok %s\n", row[i].name);
        fflush(stdout);
    }
    return TEST_END();
}
