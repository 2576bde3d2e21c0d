/* tests: a server of the Model Context Protocol that asks for a sign-in, as a person meets it in the shell: server, authorisation and browser
 * are the test's own, on the loopback. What is waited for comes or the test ends with what is missing. */
#include "mcp/oauth_back.h"
#include "tests/play_server.h"
#include "tests/unit/folder_help.h"
#include "tests/unit/asks_help.h"
#include "net/net.h"

#include <cjson/cJSON.h>
#include <ftw.h>
#include <sys/stat.h>

static char home[] = "/tmp/quorum-mcp-sign-XXXXXX";
static play *web;
static atomic_int tokens, links, calls, bare;    /* given; followed; of tools; without a token or with an old one */

static int gone(const char *path, const struct stat *st, int kind, struct FTW *f) { return remove(path); }

/* ---- the server: it takes the last token alone; "write" takes a second one ---- */
static bool answer(int fd, const cJSON *q, const char *result)
{
    char *id = cJSON_PrintUnformatted(cJSON_GetObjectItem(q, "id")), *body = q_printf("{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id, result);
    bool go = play_json(fd, body);
    cJSON_free(id);
    free(body);
    return go;
}

static bool mcp(int fd, const char *request, const char *body)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "Authorization: Bearer access-%d\r\n", atomic_load(&tokens));
    if (!atomic_load(&tokens) || !strstr(request, wanted)) {
        atomic_fetch_add(&bare, 1);
        return play_reply(fd, 401, "application/json", "WWW-Authenticate: Bearer scope=\"read\"\r\n", "{}");
    }
    cJSON *q = cJSON_Parse(body);
    const char *method = cJSON_GetStringValue(cJSON_GetObjectItem(q, "method"));
    bool go;
    if (!method)
        go = play_reply(fd, 405, "text/plain", "", "");
    else if (strcmp(method, "initialize") == 0)
        go = answer(fd, q, "\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"files\",\"version\":\"1\"}}");
    else if (strcmp(method, "tools/list") == 0)
        go = answer(fd, q, "\"result\":{\"tools\":[{\"name\":\"write\",\"description\":\"writes\",\"inputSchema\":{\"type\":\"object\"}}]}");
    else if (strcmp(method, "tools/call") == 0 && atomic_load(&tokens) < 2)
        go = play_reply(fd, 403, "application/json", "WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"write\"\r\n", "{}");
    else if (strcmp(method, "tools/call") == 0) {
        atomic_fetch_add(&calls, 1);
        go = answer(fd, q, "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"written\"}]}");
    } else if (!cJSON_GetObjectItem(q, "id"))
        go = play_reply(fd, 202, "text/plain", "", "");
    else
        go = answer(fd, q, "\"error\":{\"code\":-32601,\"message\":\"no such method\"}");
    cJSON_Delete(q);
    return go;
}

static bool serve(play *p, int fd, const char *request, const char *body, int number)
{
    char *text = NULL;
    bool go;
    if (strncmp(request, "POST /mcp", 9) == 0)
        return mcp(fd, request, body);
    if (strncmp(request, "GET /mcp", 8) == 0 || strncmp(request, "DELETE /mcp", 11) == 0)
        return play_reply(fd, 405, "text/plain", "", "");
    if (strncmp(request, "GET /.well-known/oauth-protected-resource/mcp ", 46) == 0)
        text = q_printf("{\"resource\":\"%s/mcp\",\"authorization_servers\":[\"%s\"]}", p->url, p->url);
    else if (strncmp(request, "GET /.well-known/oauth-authorization-server ", 44) == 0)
        text = q_printf("{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s/login\",\"token_endpoint\":\"%s/token\",\"registration_endpoint\":\"%s/register\",\"code_challenge_methods_supported\":[\"S256\"]}",
                        p->url, p->url, p->url, p->url);
    else if (strncmp(request, "POST /register ", 15) == 0)
        text = q_strdup("{\"client_id\":\"c\"}");
    else if (strncmp(request, "POST /token ", 12) == 0) {
        int n = atomic_fetch_add(&tokens, 1) + 1;
        text = q_printf("{\"access_token\":\"access-%d\",\"token_type\":\"Bearer\",\"expires_in\":3600}", n);
    }
    if (strncmp(request, "GET /login?", 11) == 0) {
        char *query = q_strndup(request + 11, strcspn(request + 11, " ")), *uri = oauth_back_value(query, "redirect_uri"), *state = oauth_back_value(query, "state");
        char *more = q_printf("Location: %s?code=x&state=%s\r\n", uri, state);
        atomic_fetch_add(&links, 1);
        go = play_reply(fd, 302, "text/html", more, "");
        free(query);
        free(uri);
        free(state);
        free(more);
        return go;
    }
    go = text ? play_json(fd, text) : play_reply(fd, 404, "text/plain", "", "");
    free(text);
    return go;
}

/* ---- the browser ---- */
static char *link_in(const char *words)
{
    const char *from = strstr(words, web->url), *at = from;
    while (at && strncmp(at + strlen(web->url), "/login?", 7) != 0)
        at = strstr(at + 1, web->url);
    return at ? q_strndup(at, strcspn(at, "\n ")) : q_strdup("");
}

static void *browse(void *link)
{
    char said[Q_ERRLEN];
    net_reply r;
    net *n = net_new();
    CHECK_MSG(net_run(n, &(net_request){ .url = link, .redirects = 2 }, &r, said) == Q_OK && r.status == 200, "%s", said);
    net_free(n);
    free(link);
    return NULL;
}

/* ---- the person ---- */
static void open_agent(bool alone)
{
    static const script_line obeys[] = { { "written", "It is written." }, { "denied", "Then not." }, { "there is no tool", "There is none." }, { "error:", "It failed." }, { "wants", "It is not let." },
                                         { NULL, "Let me. {call files__write {}}" }, { NULL, NULL } };
    static const char *const set[] = { "memory.on=off", "sampler.loop_stop=off", "agent.tools=all", "agent.mcp_wait=60" };
    plan = (script){ .line = obeys };
    agt_options o = { .model = "a script", .db = ":memory:", .set = set, .n_set = 4, .answers = answers, .folder = path_in(home, "project"), .allow = "mcp", .alone = alone };
    open_with(&o);
}

/* The sign-in as it is asked about, done by a browser of this machine. */
static void signs_in(void)
{
    pthread_t t;
    int64_t ticket = asked();
    CHECK_STR(s.approve.title, "files");
    CHECK_MSG(strstr(s.approve.shown, "one signs in at http://127.0.0.1:") && strstr(s.approve.shown, "lets quorum do there: "), "%s", s.approve.shown);
    CHECK_INT(pthread_create(&t, NULL, browse, link_in(s.approve.shown)), 0);
    agt_approve(a, ticket, AGT_ONCE, NULL);
    pthread_join(t, NULL);
}

static void begin(void)
{
    char *tokens_file = path_in(home, "data/quorum/mcp-tokens.json");
    unlink(tokens_file);
    atomic_store(&tokens, 0);
    atomic_store(&links, 0);
    atomic_store(&calls, 0);
    atomic_store(&bare, 0);
    open_agent(false);
}

static void a_server_that_asks_is_signed_in_at(void)
{
    struct stat st;
    begin();
    ask("write it");
    signs_in();                          /* before the answer: to start it */
    agt_approve(a, asked(), AGT_FOLDER, NULL);   /* the server is agreed to */
    CHECK(strstr(s.approve.shown, "write"));
    signs_in();                          /* in the middle of the call: it wants more rights */
    done();
    CHECK_MSG(strstr(s.text.p, "It is written.") && atomic_load(&calls) == 1 && atomic_load(&tokens) == 2 && atomic_load(&links) == 2, "%s (%d calls)\n%s", s.text.p, atomic_load(&calls), s.notes.p);
    CHECK(!strstr(s.notes.p, "access-"));
    CHECK(stat(path_in(home, "data/quorum/mcp-tokens.json"), &st) == 0 && (st.st_mode & 0777) == 0600);
    int before = atomic_load(&bare);
    ask("once more");                    /* nobody is asked any more */
    done();
    CHECK(s.approve.n == 0 && atomic_load(&calls) == 2 && atomic_load(&bare) == before);
    finish(&s);
    open_agent(true);                    /* the next start has it; --allow names the server */
    ask("and again");
    done();
    CHECK_MSG(s.approve.n == 0 && atomic_load(&calls) == 3, "%s", s.notes.p);
    ask("/mcp forget files");
    settle(a, &s);
    CHECK_MSG(strstr(s.notes.p, "the sign-in at files is forgotten"), "%s", s.notes.p);
    finish(&s);
}

static void who_does_not_want_to_is_left_in_peace(void)
{
    begin();
    ask("write it");
    agt_approve(a, asked(), AGT_NO, NULL);
    done();
    CHECK_MSG(strstr(s.notes.p, "stays without a sign-in") && strstr(s.text.p, "There is none.") && atomic_load(&links) == 0, "%s\n%s", s.text.p, s.notes.p);
    ask("write it");
    done();
    CHECK(s.approve.n == 0);
    ask("/mcp restart files");
    settle(a, &s);
    ask("write it");                     /* asked again; a browser on another machine: its address is put in */
    int64_t ticket = asked();
    char *link = link_in(s.approve.shown), *query = strchr(link, '?'), *state = query ? oauth_back_value(query + 1, "state") : NULL, *ended = q_printf("http://127.0.0.1:1/callback?code=x&state=%s", state);
    agt_approve(a, ticket, AGT_NO, ended);
    agt_approve(a, asked(), AGT_NO, NULL);       /* the server itself is not wanted */
    done();
    CHECK(atomic_load(&tokens) == 1 && atomic_load(&calls) == 0);
    free(link);
    free(state);
    free(ended);
    finish(&s);
}

/* Esc, and /mcp off, end a sign-in wherever it is: while it is asked about, and while a browser is waited for that never comes. */
static void a_sign_in_can_be_left(void)
{
    static const struct { const char *line; bool waits; } row[] = { { "/mcp off files", false }, { "/mcp off files", true }, { NULL, false }, { NULL, true } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        begin();
        ask("write it");
        int64_t ticket = asked();
        CHECK_STR(s.approve.title, "files");
        if (row[i].waits) {
            agt_approve(a, ticket, AGT_ONCE, NULL);
            CHECK(wait_for(a, &s, AGT_EV_NOTE, 0, 60000) && strstr(s.notes.p, "waiting for the browser"));
        }
        int64_t from = q_now_ns();
        if (row[i].line)
            agt_submit(a, row[i].line);
        else
            agt_stop(a);
        done();
        CHECK_MSG(q_now_ns() - from < 30000000000, "row %zu took as long as a browser is waited for", i);
        CHECK_MSG(strstr(s.notes.p, "stays without a sign-in") && (!row[i].line || strstr(s.notes.p, "is off until quorum ends")), "row %zu: %s", i, s.notes.p);
        CHECK(atomic_load(&tokens) == 0 && atomic_load(&calls) == 0);
        finish(&s);
    }
}

static void nobody_is_there(void)
{
    begin();
    finish(&s);
    open_agent(true);
    ask("write it");
    done();
    CHECK_MSG(s.approve.n == 0 && strstr(s.notes.p, "asks for a sign-in") && strstr(s.text.p, "There is none."), "%s\n%s", s.text.p, s.notes.p);
    finish(&s);
}

int main(void)
{
    if (!mkdtemp(home))
        return 1;
    setenv("HOME", home, 1);
    char *of[] = { path_in(home, "config"), path_in(home, "data") };
    setenv("XDG_CONFIG_HOME", of[0], 1);
    setenv("XDG_DATA_HOME", of[1], 1);
    unsetenv("DISPLAY");
    unsetenv("WAYLAND_DISPLAY");
    web = play_open(serve, NULL, NULL);
    char *ini = q_printf("[mcp.files]\nurl = %s/mcp\nscope = read\n", web->url);
    put_at(path_in(home, "config/quorum/config.ini"), ini);
    put_at(path_in(home, "project/keep.txt"), "x");
    free(ini);
    RUN(a_server_that_asks_is_signed_in_at);
    RUN(who_does_not_want_to_is_left_in_peace);
    RUN(a_sign_in_can_be_left);
    RUN(nobody_is_there);
    play_close(web);
    nftw(home, gone, 16, FTW_DEPTH | FTW_PHYS);
    return TEST_END();
}
