/* tests: signing in at a server that asks for it: an authorisation server of the test's own, which also does what none should; a browser that
 * is a thread of the test; tokens in a file. Nothing leaves the machine, and nothing waits for a time: each wait ends by what happens. */
#include "mcp/oauth_ask.h"
#include "mcp/oauth_back.h"
#include "mcp/oauth_store.h"
#include "tests/play_server.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static char home[] = "/tmp/quorum-oauth-XXXXXX", file[64], err[Q_ERRLEN], mcp_url[96];

/* ---- the server ---- */
enum fault {
    FINE, WRONG_STATE, WRONG_ISSUER, NO_ISSUER, NO_PKCE, PLAIN_PKCE, OTHER_RESOURCE, OTHER_SERVER, DENIED, BROKEN, WRONG_ERROR, NO_CODE, TWO_CODES, TOKEN_ERROR, TOKEN_KIND, TOKEN_HTML, TOKEN_FAR, LOGIN_SCRIPT,
    NO_REGISTERING, REGISTER_REFUSED, NOTHING_SAID, NOBODY_NAMED, HTML_METADATA, WITH_SECRET, OPENID, NO_METADATA_OF_RESOURCE, NO_STATE, DEEP
};
static struct as {
    enum fault fault;
    bool tells, expires, renews;         /* RFC 9207; tokens that are over at once; the second refresh is refused where false */
    int registered, links, tokens, renewed, codes;
    char challenge[64], uri[128], scope[128], refresh[32], secret[300];
} as;

static bool said(const char *request, const char *path)
{
    const char *blank = strchr(request, ' ');
    return blank && strncmp(blank + 1, path, strlen(path)) == 0 && strchr(" ?", blank[1 + strlen(path)]);
}

static bool metadata(play *p, int fd)
{
    static const char *const pkce[] = { [NO_PKCE] = "", [PLAIN_PKCE] = "\"code_challenge_methods_supported\":[\"plain\"]," };
    const char *methods = as.fault == NO_PKCE || as.fault == PLAIN_PKCE ? pkce[as.fault] : "\"code_challenge_methods_supported\":[\"plain\",\"S256\"],";
    char *more = as.fault == NO_REGISTERING ? q_strdup("") : q_printf("\"registration_endpoint\":\"%s/as/register\",", p->url);
    char *login = as.fault == LOGIN_SCRIPT ? q_strdup("javascript:alert(1)") : q_printf("%s/as/authorize", p->url), *token = as.fault == TOKEN_FAR ? q_strdup("http://example.org/token") : q_printf("%s/as/token", p->url);
    char *body = q_printf("{\"issuer\":\"%s/%s\",\"authorization_endpoint\":\"%s\",\"token_endpoint\":\"%s\",%s%s\"authorization_response_iss_parameter_supported\":%s,\"response_types_supported\":[\"code\"],"
                          "\"token_endpoint_auth_methods_supported\":[%s]}", p->url, as.fault == OTHER_SERVER ? "evil" : as.fault == NO_METADATA_OF_RESOURCE ? "" : "as", login, token, more, methods,
                          as.tells ? "true" : "false", as.fault == WITH_SECRET ? "\"client_secret_basic\"" : "\"none\"");
    if (as.fault == DEEP) {
        free(body);
        body = q_alloc(10001);
        memset(body, '[', 10000);
    }
    bool go = as.fault == HTML_METADATA ? play_reply(fd, 200, "text/html", "", "<html>sign in</html>") : play_json(fd, body);
    free(more);
    free(login);
    free(token);
    free(body);
    return go;
}

static bool protected_resource(play *p, int fd)
{
    if (as.fault == NO_METADATA_OF_RESOURCE)
        return play_reply(fd, 404, "text/plain", "", "");
    char *body = as.fault == NOBODY_NAMED ? q_printf("{\"resource\":\"%s/mcp\",\"authorization_servers\":[]}", p->url)
                 : q_printf("{\"resource\":\"%s\",\"authorization_servers\":[\"%s/as\",\"%s/second\"],\"scopes_supported\":[\"files:read\",\"bad\\\"scope\"]}",
                            as.fault == OTHER_RESOURCE ? "https://example.org/mcp" : mcp_url, p->url, p->url);
    bool go = play_json(fd, body);
    free(body);
    return go;
}

static void keep(char *out, size_t size, const char *query, const char *name)
{
    char *v = oauth_back_value(query, name);
    snprintf(out, size, "%s", v ? v : "");
    free(v);
}

static bool authorize(play *p, int fd, const char *request)
{
    char *query = q_strndup(strchr(request, '?') + 1, strcspn(strchr(request, '?') + 1, " ")), state[64], how[16], kind[16], resource[128];
    keep(as.challenge, sizeof as.challenge, query, "code_challenge");
    keep(as.uri, sizeof as.uri, query, "redirect_uri");
    keep(as.scope, sizeof as.scope, query, "scope");
    keep(state, sizeof state, query, "state");
    keep(how, sizeof how, query, "code_challenge_method");
    keep(kind, sizeof kind, query, "response_type");
    keep(resource, sizeof resource, query, "resource");
    CHECK(strcmp(how, "S256") == 0 && strcmp(kind, "code") == 0 && strcmp(resource, mcp_url) == 0 && strlen(as.challenge) == 43 && strlen(state) == 43);
    CHECK_MSG(strncmp(as.uri, "http://127.0.0.1:", 17) == 0 && strstr(as.uri, "/callback"), "%s", as.uri);
    q_buf b = { 0 };
    q_buf_printf(&b, "Location: %s?", as.uri);
    if (as.fault == DENIED || as.fault == BROKEN || as.fault == WRONG_ERROR)
        q_buf_printf(&b, "error=%s", as.fault == DENIED ? "access_denied" : as.fault == BROKEN ? "server_error" : "%1b%5b2Jexploded");
    else if (as.fault != NO_CODE)
        q_buf_printf(&b, as.fault == TWO_CODES ? "code=code-%d&code=x" : "code=code-%d", ++as.codes);
    if (as.fault != NO_STATE)
        q_buf_printf(&b, "&state=%s", as.fault == WRONG_STATE ? "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" : state);
    if (as.tells && as.fault != NO_ISSUER)
        q_buf_printf(&b, "&iss=%s/%s", p->url, as.fault == WRONG_ISSUER ? "second" : "as");
    q_buf_puts(&b, "\r\n");
    as.links++;
    bool go = play_reply(fd, 302, "text/html", b.p, "");
    q_buf_free(&b);
    free(query);
    return go;
}

static bool challenge_is(const char *verifier)
{
    char hex[65];
    unsigned char raw[32];
    q_sha256(verifier, strlen(verifier), hex);
    for (int i = 0; i < 32; i++)
        raw[i] = (unsigned char)strtoul((char[]){ hex[2 * i], hex[2 * i + 1], 0 }, NULL, 16);
    char *b = oauth_base64(raw, 32, true);
    bool same = strcmp(b, as.challenge) == 0;
    free(b);
    return same;
}

static bool give_token(play *p, int fd, const char *request, const char *body)
{
    char grant[32], code[32], verifier[64], uri[128], resource[128], refresh[32], wanted[32], *all;
    keep(grant, sizeof grant, body, "grant_type");
    keep(code, sizeof code, body, "code");
    keep(verifier, sizeof verifier, body, "code_verifier");
    keep(uri, sizeof uri, body, "redirect_uri");
    keep(resource, sizeof resource, body, "resource");
    keep(refresh, sizeof refresh, body, "refresh_token");
    snprintf(wanted, sizeof wanted, "code-%d", as.codes);
    CHECK_STR(resource, mcp_url);
    keep(as.secret, sizeof as.secret, body, "client_secret");
    if (as.fault == WITH_SECRET)
        CHECK_MSG(strstr(request, "Authorization: Basic Yy0x") && !strstr(body, "client_secret"), "%s", request);
    if (strcmp(grant, "refresh_token") == 0 && (strcmp(refresh, as.refresh) != 0 || !as.renews))
        return play_reply(fd, 400, "application/json", "", "{\"error\":\"invalid_grant\"}");
    if (strcmp(grant, "authorization_code") == 0 && (strcmp(code, wanted) != 0 || !challenge_is(verifier) || strcmp(uri, as.uri) != 0 || as.fault == TOKEN_ERROR))
        return play_reply(fd, 400, "application/json", "", "{\"error\":\"invalid_grant\",\"error_description\":\"\\u001b[2J\"}");
    if (as.fault == TOKEN_HTML)
        return play_reply(fd, 200, "text/html", "", "<html>");
    as.renewed += strcmp(grant, "refresh_token") == 0;
    snprintf(as.refresh, sizeof as.refresh, "refresh-%d", ++as.tokens);
    all = q_printf("{\"access_token\":\"access-%d\",\"token_type\":\"%s\",\"expires_in\":%d,\"refresh_token\":\"%s\",\"scope\":\"%s\"}", as.tokens, as.fault == TOKEN_KIND ? "mac" : "bearer", as.expires ? 1 : 3600,
                   as.refresh, as.scope);
    bool go = play_json(fd, all);
    free(all);
    return go;
}

static bool serve(play *p, int fd, const char *request, const char *body, int number)
{
    if (as.fault == NOTHING_SAID)
        return play_reply(fd, 404, "text/plain", "", "");
    if (said(request, "/.well-known/oauth-protected-resource/mcp") || said(request, "/elsewhere"))
        return protected_resource(p, fd);
    if (said(request, as.fault == OPENID ? "/as/.well-known/openid-configuration" : as.fault == NO_METADATA_OF_RESOURCE ? "/.well-known/oauth-authorization-server" : "/.well-known/oauth-authorization-server/as"))
        return metadata(p, fd);
    if (said(request, "/as/register")) {
        as.registered++;
        CHECK(strstr(body, "\"redirect_uris\":[\"http://127.0.0.1:") && strstr(body, "\"client_name\":\"quorum\""));
        return as.fault == REGISTER_REFUSED ? play_reply(fd, 403, "application/json", "", "{\"error\":\"not_here\"}")
               : play_reply(fd, 201, "application/json", "", as.fault == WITH_SECRET ? "{\"client_id\":\"c-1\",\"client_secret\":\"s/1\",\"token_endpoint_auth_method\":\"client_secret_basic\"}" : "{\"client_id\":\"c-1\"}");
    }
    if (said(request, "/as/authorize"))
        return authorize(p, fd, request);
    if (said(request, "/as/token"))
        return give_token(p, fd, request, body);
    return play_reply(fd, 404, "text/plain", "", "");
}

/* ---- the person and their browser ---- */
static struct person {
    enum mcp_sign_answer says;
    bool comes, pastes, knocks, others;  /* the browser comes back by itself; or its address is pasted; something else is there before it; other calls meanwhile */
    int asked, opened, waits, most;      /* most: as often the wait goes on, 0: always */
    char *link, scope[128], issuer[128];
    int port;
    pthread_t browser;
    bool runs;
    q_buf page;
} who;

static bool take(void *user, const net_reply *r, const char *p, size_t n)
{
    q_buf_add(user, p, n);
    return true;
}

static atomic_bool been;                 /* the browser is at its end */

static void knock(int port, const char *text)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&at, sizeof at) == 0 && play_text(fd, text));
    play_wait(fd);                       /* until it is closed there */
    close(fd);
}

static void *browse(void *unused)
{
    char said_[Q_ERRLEN];
    net_reply r;
    net *n = net_new();
    if (who.knocks) {
        static const char *const strangers[] = { "?code=x&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "?error=access_denied&state=", "?error=access_denied", "?code=x&state=y&state=y", "" };
        char *evil = q_printf("GET /callback?code=x&state=y HTTP/1.1\r\nHost: evil.example:%d\r\n\r\n", who.port);
        for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {      /* pages of strangers that know the port */
            char *text = q_printf("GET /callback%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", strangers[i], who.port);
            knock(who.port, text);
            free(text);
        }
        knock(who.port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        knock(who.port, "POST /callback?code=1 HTTP/1.1\r\n\r\n");
        knock(who.port, "GET /callbackx?code=1 HTTP/1.1\r\n\r\n");
        knock(who.port, evil);
        free(evil);
    }
    net_run(n, &(net_request){ .url = who.link, .redirects = 3, .data = take, .user = &who.page }, &r, said_);
    net_free(n);
    atomic_store(&been, true);
    return NULL;
}

static void start_browser(void)
{
    who.opened++;
    if (who.comes)
        who.runs = pthread_create(&who.browser, NULL, browse, NULL) == 0;
}

static mcp_oauth *oauth;
static int looked;

static bool stops(void *user) { return ++looked % 3 != 0; }

static enum mcp_sign_answer ask(void *user, const mcp_sign_in *s)
{
    who.asked++;
    free(who.link);
    who.link = q_strdup(s->link);
    who.port = s->port;
    snprintf(who.scope, sizeof who.scope, "%s", s->scope);
    snprintf(who.issuer, sizeof who.issuer, "%s", s->issuer);
    CHECK_STR(s->server, "files");
    if (who.others) {                    /* calls of other threads meanwhile: what is kept is said at once, and who waits for the person can stop */
        char *got, why[Q_ERRLEN];
        CHECK_INT(mcp_oauth_kept(oauth, &(mcp_challenge){ .server = "files", .url = mcp_url, .status = 401, .words = "Bearer" }, &got, why), Q_NOTFOUND);
        CHECK_INT(mcp_oauth_token(oauth, &(mcp_challenge){ .server = "files", .url = mcp_url, .status = 401, .words = "Bearer", .go = stops }, &got, why), Q_CANCEL);
    }
    if (who.says == MCP_SIGN_SHOWN)
        start_browser();
    return who.says;
}

static bool open_link(void *user, const char *link)
{
    CHECK_STR(link, who.link);
    start_browser();
    return true;
}

/* Where the browser would end, as a person reads it off: the server is asked, its redirect is not followed. */
static bool wait_hook(void *user, char **pasted)
{
    if (who.pastes && who.asked && !who.waits++) {
        char said_[Q_ERRLEN], *query = strchr(who.link, '?') + 1, *state = oauth_back_value(query, "state");
        net_reply r;
        net *n = net_new();
        CHECK_INT(net_run(n, &(net_request){ .url = who.link }, &r, said_), Q_RANGE);
        net_free(n);
        *pasted = q_printf("  http://127.0.0.1:%d/callback?code=code-%d&state=%s \n", who.port, as.codes, state);
        free(state);
        return true;
    }
    if ((as.fault == WRONG_STATE || as.fault == NO_STATE) && atomic_load(&been))
        return false;                    /* the one who came is not taken for the browser: the wait goes on until it is stopped */
    return !who.asked || !who.most || who.waits++ < who.most;
}

static play *p;

static void begin(struct as server, struct person person)
{
    as = server;
    free(who.link);
    q_buf_free(&who.page);
    who = person;
    atomic_store(&been, false);
    unlink(file);
    mcp_oauth_free(oauth);
    oauth = mcp_oauth_new(&(mcp_oauth_opts){ .path = file, .wait_s = 60, .ask = ask, .wait = wait_hook, .open = open_link });
}

static const struct person willing = { .says = MCP_SIGN_BROWSER, .comes = true };

/* A token by a challenge; rc, *token malloc'ed. */
static int token_for(const char *url, int status, const char *words, bool had, char **token)
{
    err[0] = 0;
    int rc = mcp_oauth_token(oauth, &(mcp_challenge){ .server = "files", .url = url, .status = status, .words = words, .had = had }, token, err);
    if (who.runs)
        pthread_join(who.browser, NULL);
    who.runs = false;
    CHECK_MSG((rc == Q_OK) == (*token != NULL) && (rc == Q_OK) == !*err, "%d: %s", rc, err);
    CHECK_MSG(!strstr(err, "access-") && !strstr(err, "refresh-") && !strstr(err, "code-") && !strchr(err, '\x1b'), "%s", err);
    return rc;
}

static void wants(int status, const char *words, bool had, const char *token, int rc)
{
    char *got;
    CHECK_INT(token_for(mcp_url, status, words, had, &got), rc);
    CHECK_STR(got ? got : "none", token ? token : "none");
    free(got);
}

/* ---- the tests ---- */
static void a_person_signs_in_once(void)
{
    struct stat st;
    q_buf b = { 0 };
    begin((struct as){ .tells = true, .renews = true }, willing);
    wants(0, "", false, NULL, Q_NOTFOUND);               /* nobody is asked for that */
    CHECK_INT(who.asked, 0);
    wants(401, "Bearer", false, "access-1", Q_OK);
    CHECK(who.asked == 1 && who.opened == 1 && as.registered == 1 && as.links == 1);
    CHECK_STR(who.scope, "files:read");
    CHECK_MSG(who.page.p && strstr(who.page.p, "window may be closed") && !strstr(who.page.p, "code"), "%s", who.page.p);
    wants(0, "", false, "access-1", Q_OK);
    CHECK_INT(who.asked, 1);
    CHECK(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(q_read_file(file, &b, 65536, err) == Q_OK && strstr(b.p, "access-1") && !strstr(b.p, "code-1"));
    q_buf_free(&b);
    char *got, *other = q_printf("%s/x", mcp_url), *far = q_strdup("https://example.org/mcp"), *upper = q_printf("HTTP://127.0.0.1:%d/mcp/#x", p->port);
    CHECK(token_for(other, 0, "", false, &got) == Q_NOTFOUND && !got && token_for(far, 0, "", false, &got) == Q_NOTFOUND && !got);
    CHECK(token_for(upper, 0, "", false, &got) == Q_OK);
    free(got);
    free(other);
    free(far);
    free(upper);
    mcp_oauth_free(oauth);               /* the next start knows it too */
    oauth = mcp_oauth_new(&(mcp_oauth_opts){ .path = file });
    wants(0, "", false, "access-1", Q_OK);
    bool had;
    CHECK(mcp_oauth_forget(oauth, mcp_url, &had, err) == Q_OK && had && mcp_oauth_forget(oauth, mcp_url, &had, err) == Q_OK && !had);
    wants(0, "", false, NULL, Q_NOTFOUND);
    wants(401, "Bearer", false, NULL, Q_NOTFOUND);       /* nobody is there */
    CHECK_MSG(strstr(err, "nobody is there"), "%s", err);
}

static void what_no_server_should_do_is_refused(void)
{
    static const struct { enum fault fault; bool tells; int rc; const char *said; } row[] = {
        { WRONG_STATE, true, Q_CANCEL, "stopped" }, { NO_STATE, true, Q_CANCEL, "stopped" }, { WRONG_ISSUER, true, Q_RANGE, "another one than" }, { NO_ISSUER, true, Q_RANGE, "another one than" },
        { NO_PKCE, false, Q_FORMAT, "no PKCE with S256" }, { PLAIN_PKCE, false, Q_FORMAT, "no PKCE with S256" }, { OTHER_RESOURCE, false, Q_FORMAT, "is about another address" },
        { OTHER_SERVER, false, Q_FORMAT, "calls itself otherwise" }, { DENIED, true, Q_CANCEL, "refused in the browser" }, { BROKEN, true, Q_RANGE, "(server_error)" }, { WRONG_ERROR, true, Q_RANGE, "(error)" },
        { NO_CODE, true, Q_FORMAT, "without a code" }, { TWO_CODES, true, Q_FORMAT, "without a code" }, { TOKEN_ERROR, false, Q_RANGE, "gives no token (invalid_grant)" }, { TOKEN_KIND, false, Q_FORMAT, "of a kind" },
        { TOKEN_HTML, false, Q_RANGE, "gives no token (200)" }, { TOKEN_FAR, false, Q_FORMAT, "can be asked over https" }, { LOGIN_SCRIPT, false, Q_FORMAT, "can be asked over https" },
        { NO_REGISTERING, false, Q_NOTFOUND, "client_id = " }, { REGISTER_REFUSED, false, Q_RANGE, "(not_here)" }, { NOTHING_SAID, false, Q_NOTFOUND, "how one signs in" },
        { NOBODY_NAMED, false, Q_FORMAT, "names nobody" }, { HTML_METADATA, false, Q_NOTFOUND, "how one signs in" }, { DEEP, false, Q_NOTFOUND, "how one signs in" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *got;
        begin((struct as){ .fault = row[i].fault, .tells = row[i].tells }, willing);
        int rc = token_for(mcp_url, 401, "Bearer", false, &got);
        CHECK_MSG(rc == row[i].rc && strstr(err, row[i].said), "row %zu: %d %s", i, rc, err);
        CHECK_MSG(access(file, F_OK) != 0, "row %zu left a file", i);
        CHECK_MSG(i > 1 || (as.tokens == 0 && strstr(who.page.p, "Not here.")), "row %zu: %s", i, who.page.p);
        free(got);
    }
}

static void what_servers_may_do_is_taken(void)
{
    static const enum fault ways[] = { WITH_SECRET, OPENID, NO_METADATA_OF_RESOURCE };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        begin((struct as){ .fault = ways[i], .renews = true }, willing);
        wants(401, "", false, "access-1", Q_OK);
    }
    begin((struct as){ .renews = true }, willing);       /* where it says so, and what it wants */
    char *words = q_printf("Basic realm=\"x, Bearer y\", Bearer realm=\"a\\\"b\", resource_metadata=\"%s/elsewhere\", scope=\"files:write bad\\\\\"", p->url);
    wants(401, words, false, "access-1", Q_OK);
    CHECK_STR(as.scope, "files:write");
    free(words);
    begin((struct as){ .renews = true }, willing);
    words = q_printf("Bearer resource_metadata=\"%s/nothing\"", p->url);
    wants(401, words, false, "access-1", Q_OK);          /* where it says is nothing: its well-known place has it */
    begin((struct as){ .fault = NO_METADATA_OF_RESOURCE, .renews = true }, willing);
    wants(401, words, false, NULL, Q_FORMAT);
    CHECK_MSG(strstr(err, "there is nothing"), "%s", err);
    free(words);
    begin((struct as){ .fault = NO_REGISTERING, .renews = true }, willing);
    CHECK(mcp_oauth_put(oauth, "files", "client_id", "own", err) == Q_OK && mcp_oauth_put(oauth, "files", "scope", "mine", err) == Q_OK);
    CHECK(mcp_oauth_put(oauth, "files", "client_secret", "x", err) == Q_NOTFOUND && mcp_oauth_put(oauth, "files", "client_id", "a\nb", err) == Q_FORMAT);
    wants(401, "", false, "access-1", Q_OK);
    CHECK(strstr(who.link, "client_id=own&") && as.registered == 0);
    CHECK_STR(as.scope, "mine");
}

/* A secret of config.ini goes where the person says, whatever the server names. */
static void a_secret_goes_to_its_issuer_alone(void)
{
    char *own = q_printf("%s/as", p->url), *second = q_printf("%s/second", p->url), *words = q_printf("write issuer = %s", own);
    const struct { const char *issuer; int rc; const char *said; } row[] = {
        { "", Q_NOTFOUND, words }, { "https://login.example.org", Q_RANGE, "and issuer in config.ini names https://login.example.org" }, { second, Q_NOTFOUND, "how one signs in" } };
    setenv("QUORUM_TEST_SECRET", "s3cret", 1);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        begin((struct as){ .renews = true }, willing);
        CHECK(mcp_oauth_put(oauth, "files", "client_id", "own", err) == Q_OK && mcp_oauth_put(oauth, "files", "client_secret_env", "QUORUM_TEST_SECRET", err) == Q_OK);
        CHECK_INT(mcp_oauth_put(oauth, "files", "issuer", row[i].issuer, err), Q_OK);
        wants(401, "Bearer", false, NULL, row[i].rc);
        CHECK_MSG(strstr(err, row[i].said) && who.asked == 0 && as.tokens == 0, "row %zu: %s", i, err);
    }
    begin((struct as){ .renews = true, .expires = true }, willing);
    CHECK(mcp_oauth_put(oauth, "files", "client_id", "own", err) == Q_OK && mcp_oauth_put(oauth, "files", "client_secret_env", "QUORUM_TEST_SECRET", err) == Q_OK);
    CHECK_INT(mcp_oauth_put(oauth, "files", "issuer", own, err), Q_OK);
    wants(401, "Bearer", false, "access-1", Q_OK);
    CHECK_STR(as.secret, "s3cret");
    wants(0, "", false, "access-2", Q_OK);               /* renewed there too, */
    CHECK_INT(mcp_oauth_put(oauth, "files", "issuer", "https://login.example.org", err), Q_OK);
    wants(0, "", false, NULL, Q_NOTFOUND);               /* until the person names another one */
    CHECK_INT(as.renewed, 1);
    CHECK(mcp_oauth_put(oauth, "files", "issuer", "http://example.org", err) == Q_FORMAT && strstr(err, "https://"));
    free(own);
    free(second);
    free(words);
}

static void the_person_decides(void)
{
    begin((struct as){ .renews = true }, (struct person){ .says = MCP_SIGN_NO, .comes = true });
    wants(401, "Bearer", false, NULL, Q_CANCEL);
    CHECK(who.opened == 0 && as.links == 0);
    begin((struct as){ .renews = true }, (struct person){ .says = MCP_SIGN_SHOWN, .comes = true, .knocks = true, .others = true });
    wants(401, "Bearer", false, "access-1", Q_OK);       /* what else knocks is sent away */
    begin((struct as){ .renews = true }, (struct person){ .says = MCP_SIGN_SHOWN, .pastes = true });
    wants(401, "Bearer", false, "access-1", Q_OK);       /* a browser on another machine */
    begin((struct as){ .renews = true }, (struct person){ .says = MCP_SIGN_SHOWN, .most = 3 });
    wants(401, "Bearer", false, NULL, Q_CANCEL);         /* Esc while it is waited for */
    CHECK_INT(who.waits, 4);
    begin((struct as){ .renews = true }, (struct person){ .says = MCP_SIGN_SHOWN });
    mcp_oauth_free(oauth);
    oauth = mcp_oauth_new(&(mcp_oauth_opts){ .path = file, .wait_s = 1, .ask = ask });
    wants(401, "Bearer", false, NULL, Q_IO);             /* nobody ever comes */
    CHECK_MSG(strstr(err, "did not come back within 1 second"), "%s", err);
}

static void tokens_are_renewed(void)
{
    begin((struct as){ .renews = true, .expires = true }, willing);
    wants(401, "Bearer", false, "access-1", Q_OK);
    wants(0, "", false, "access-2", Q_OK);               /* it was over at once: by its refresh token, which is another one then */
    wants(0, "", false, "access-3", Q_OK);
    CHECK(who.asked == 1 && as.renewed == 2);
    as.renews = false;
    wants(0, "", false, NULL, Q_NOTFOUND);               /* the server forgot it: nobody is asked for that, */
    CHECK_INT(who.asked, 1);
    wants(401, "Bearer", false, "access-4", Q_OK);       /* but now */
    CHECK_INT(who.asked, 2);
    begin((struct as){ .renews = true }, willing);
    wants(401, "Bearer", false, "access-1", Q_OK);
    wants(401, "Bearer", true, NULL, Q_RANGE);           /* refused at once: no loop of sign-ins */
    CHECK_MSG(strstr(err, "just gave"), "%s", err);
    wants(0, "", false, "access-1", Q_OK);
    wants(401, "Bearer error=\"invalid_token\"", true, "access-2", Q_OK);      /* refused later: renewed without a word */
    CHECK_INT(who.asked, 1);
    mcp_oauth *other = mcp_oauth_new(&(mcp_oauth_opts){ .path = file });       /* another process renews it; ours had access-2 refused */
    char *got;
    CHECK_INT(mcp_oauth_token(other, &(mcp_challenge){ .server = "files", .url = mcp_url, .words = "" }, &got, err), Q_OK);
    free(got);
    CHECK_INT(mcp_oauth_token(other, &(mcp_challenge){ .server = "files", .url = mcp_url, .status = 401, .words = "", .had = true }, &got, err), Q_OK);
    CHECK_STR(got, "access-3");
    free(got);
    mcp_oauth_free(other);
    wants(401, "Bearer", true, "access-3", Q_OK);
    CHECK(as.renewed == 2 && who.asked == 1);
}

static void wants_kept(int status, const char *words, bool had, const char *token, int rc)
{
    char *got;
    CHECK_INT(mcp_oauth_kept(oauth, &(mcp_challenge){ .server = "files", .url = mcp_url, .status = status, .words = words, .had = had }, &got, err), rc);
    CHECK_STR(got ? got : "none", token ? token : "none");
    free(got);
}

/* As the shell does it: threads that cannot ask get what is kept; the one that can signs in, and the next question has it. */
static void who_cannot_ask_asks_nobody(void)
{
    static const char more[] = "Bearer error=\"insufficient_scope\", scope=\"files:write\"";
    begin((struct as){ .renews = true }, willing);
    wants_kept(401, "Bearer", false, NULL, Q_NOTFOUND);
    CHECK_MSG(strstr(err, "asked about with the next question") && who.asked == 0 && as.registered == 0, "%s", err);
    wants(401, "Bearer", false, "access-1", Q_OK);
    wants_kept(401, "Bearer", false, "access-1", Q_OK);
    wants_kept(403, more, false, NULL, Q_NOTFOUND);
    CHECK_INT(who.asked, 1);
    wants(403, more, false, "access-2", Q_OK);
    wants_kept(403, more, false, "access-2", Q_OK);      /* whoever still had the old one */
    wants_kept(403, more, true, NULL, Q_NOTFOUND);
    wants_kept(401, "Bearer", true, "access-3", Q_OK);   /* refused: renewed */
    CHECK(who.asked == 2 && as.renewed == 1);
}

static void more_rights_are_asked_for_once(void)
{
    begin((struct as){ .renews = true }, willing);
    wants(401, "Bearer", false, "access-1", Q_OK);
    wants(403, "Bearer error=\"insufficient_scope\", scope=\"files:write\"", true, "access-2", Q_OK);
    CHECK_STR(as.scope, "files:read files:write");
    CHECK_STR(who.scope, "files:read files:write");
    wants(403, "Bearer error=\"insufficient_scope\", scope=\"files:write\"", true, NULL, Q_RANGE);
    wants(403, "Bearer error=\"insufficient_scope\"", true, NULL, Q_RANGE);
    wants(403, "", true, NULL, Q_RANGE);
    CHECK_INT(who.asked, 2);
}

static void files_of_others_are_left(void)
{
    q_buf b = { 0 };
    begin((struct as){ .renews = true }, willing);
    CHECK_INT(q_write_file_atomic(file, "{\"kind\":\"something\"}", 20, err), Q_OK);
    wants(0, "", false, NULL, Q_FORMAT);
    wants(401, "Bearer", false, NULL, Q_FORMAT);
    CHECK(who.asked == 0 && q_read_file(file, &b, 100, err) == Q_OK && strcmp(b.p, "{\"kind\":\"something\"}") == 0);
    q_buf_free(&b);
    unlink(file);
    wants(401, "Bearer", false, "access-1", Q_OK);
    CHECK_INT(chmod(file, 0644), 0);
    wants(0, "", false, NULL, Q_RANGE);
    CHECK_MSG(strstr(err, "chmod 600"), "%s", err);
    char *other = q_printf("%s/there", home);
    CHECK(rename(file, other) == 0 && symlink(other, file) == 0);
    wants(0, "", false, NULL, Q_RANGE);
    unlink(other);
    free(other);
}

/* Two entries for one address, which no quorum writes: what is forgotten does not come back as the other one. */
static void what_is_forgotten_twice_over_is_gone(void)
{
    static const char text[] = "{\"kind\":\"quorum mcp tokens\",\"version\":1,\"entries\":[{\"url\":\"https://a\",\"access\":\"first\"},7,{\"url\":\"https://b\",\"access\":\"b\"},"
                               "{\"url\":\"https://a\",\"access\":\"second\"}]}";
    oauth_entry e;
    bool had;
    CHECK_INT(q_write_file_atomic(file, text, sizeof text - 1, err), Q_OK);
    CHECK_INT(oauth_entry_get(file, "https://a", &e, err), Q_OK);
    CHECK_STR(e.access, "first");
    CHECK_INT(oauth_entry_put(file, &e, err), Q_OK);
    oauth_entry_free(&e);
    CHECK(oauth_entry_drop(file, "https://a", &had, err) == Q_OK && had);
    CHECK_INT(oauth_entry_get(file, "https://a", &e, err), Q_NOTFOUND);
    CHECK_INT(q_write_file_atomic(file, text, sizeof text - 1, err), Q_OK);
    CHECK(oauth_entry_drop(file, "https://a", &had, err) == Q_OK && had);
    CHECK_INT(oauth_entry_get(file, "https://a", &e, err), Q_NOTFOUND);
    CHECK(oauth_entry_drop(file, "https://a", &had, err) == Q_OK && !had);
    CHECK_INT(oauth_entry_get(file, "https://b", &e, err), Q_OK);
    CHECK_STR(e.access, "b");
    oauth_entry_free(&e);
    unlink(file);
}

static int held, looks;

static bool let_go(void *user, char **pasted)
{
    if (++looks == 3)
        close(held);
    return true;
}

static void another_process_is_waited_for(void)
{
    begin((struct as){ .renews = true, .expires = true }, willing);
    wants(401, "Bearer", false, "access-1", Q_OK);
    char *lock = q_printf("%s.lock", file);
    held = open(lock, O_RDWR | O_CLOEXEC);
    CHECK(held >= 0 && flock(held, LOCK_EX | LOCK_NB) == 0);
    mcp_oauth_free(oauth);
    oauth = mcp_oauth_new(&(mcp_oauth_opts){ .path = file, .wait = let_go });
    wants(0, "", false, "access-2", Q_OK);
    CHECK(looks >= 3);
    free(lock);
}

static void only_https_is_asked(void)
{
    static const struct { const char *url; bool near, safe; } row[] = {     /* near: of a server of the loopback */
        { "https://example.org/x?y", false, true }, { "http://example.org/", false, false }, { "http://example.org/", true, false }, { "http://127.0.0.1:8/", true, true }, { "http://127.0.0.1:8/", false, false },
        { "http://localhost/", true, true }, { "http://[::1]:1/", true, true }, { "http://localhost.evil.org/", true, false }, { "http://[::1].evil.org/", true, false }, { "http://[::1", true, false }, { "http://[::1]", true, true }, { "http://127.0.0.1@evil.org/", true, false }, { "https://a@b/", false, false },
        { "https://a/x@y", false, true }, { "https://", false, false }, { "https://a b", false, false }, { "https://a/#x", false, false }, { "javascript:x", true, false }, { "file:///x", true, false }, { "https://a\\b", false, false } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        CHECK_MSG(oauth_safe(row[i].url, row[i].near ? OAUTH_LOOPBACK : OAUTH_PUBLIC) == row[i].safe, "%s", row[i].url);
    static const char *const private[] = { "https://127.0.0.1/", "https://[::1]:8/x", "https://10.1.2.3/", "https://192.168.1.1:8443/a?b", "https://172.16.0.1", "https://169.254.169.254/latest", "https://LOCALHOST./x",
                                           "https://printer.lan/", "https://sso.internal/", "https://2130706433/", "https://0x7f.1/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1]/", "https://x.localhost/" };
    for (size_t i = 0; i < sizeof private / sizeof *private; i++) {      /* what stands in the net at home names what is there, and nobody else does */
        CHECK_MSG(!oauth_safe(private[i], OAUTH_PUBLIC) && oauth_safe(private[i], OAUTH_PRIVATE), "%s", private[i]);
        CHECK_MSG(oauth_reach_of(private[i], false) != OAUTH_PUBLIC, "%s", private[i]);
    }
    CHECK(!oauth_safe("https://%31%30.0.0.1/", OAUTH_PRIVATE) && oauth_safe("https://8.8.8.8/", OAUTH_PUBLIC) && oauth_reach_of("https://example.org/mcp", false) == OAUTH_PUBLIC && oauth_reach_of("https://example.org/mcp", true) == OAUTH_PRIVATE);
    char *got;
    begin((struct as){ .renews = true }, willing);
    CHECK(token_for("https://example.org/mcp", 401, "Bearer resource_metadata=\"https://127.0.0.1:1/x\"", false, &got) == Q_RANGE);
    CHECK_MSG(strstr(err, "a private network") && who.asked == 0, "%s", err);
    begin((struct as){ .renews = true }, willing);
    CHECK(token_for("http://example.org/mcp", 401, "Bearer", false, &got) == Q_RANGE && strstr(err, "anybody can read"));
    CHECK_INT(who.asked, 0);
}

static void words_are_read(void)
{
    static const struct { const char *words, *name, *value; } row[] = {
        { "Bearer scope=\"a b\"", "scope", "a b" }, { "bearer SCOPE=a, error=b", "error", "b" }, { "Basic scope=x", "scope", NULL }, { "Basic x, Bearer scope=y", "scope", "y" }, { "Bearer scope = \"q\\\"w\"", "scope", "q\"w" },
        { "Bearer scope=\"open", "scope", "open" }, { "Bearer", "scope", NULL }, { "", "scope", NULL }, { ",,, Bearer ,scope=z", "scope", "z" }, { "Bearer a=1, Digest scope=2", "scope", NULL }, { "Bearer =x,scope=1", "scope", NULL }, { "=x, Bearer scope=1", "scope", "1" }, { "==", "scope", NULL } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *v = oauth_param(row[i].words, row[i].name);
        CHECK_STR(v ? v : "(none)", row[i].value ? row[i].value : "(none)");
        free(v);
    }
    static const struct { const char *text, *plain, *url; } code[] = { { "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" }, { "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" }, { "\xff\xfe", "//4=", "__4" } };
    for (size_t i = 0; i < sizeof code / sizeof *code; i++) {
        char *a = oauth_base64(code[i].text, strlen(code[i].text), false), *b = oauth_base64(code[i].text, strlen(code[i].text), true);
        CHECK_STR(a, code[i].plain);
        CHECK_STR(b, code[i].url);
        free(a);
        free(b);
    }
    char *s = oauth_scopes("a b a", "b c \"d  e\\ f");
    CHECK_STR(s, "a b c f");
    free(s);
    char *v = oauth_back_value("a=1&code=x%20y%2B+z&b", "code");
    CHECK_STR(v, "x y+ z");
    free(v);
    CHECK(!oauth_back_value("code=a%00b", "code") && !oauth_back_value("code=a&code=b", "code") && !oauth_back_value("xcode=a", "code"));
}

int main(void)
{
    if (!mkdtemp(home))
        return 1;
    setenv("HOME", home, 1);
    unsetenv("DISPLAY");
    unsetenv("WAYLAND_DISPLAY");
    snprintf(file, sizeof file, "%s/tokens.json", home);
    p = play_open(serve, NULL, NULL);
    snprintf(mcp_url, sizeof mcp_url, "%s/mcp", p->url);
    RUN(words_are_read);
    RUN(only_https_is_asked);
    RUN(a_person_signs_in_once);
    RUN(what_no_server_should_do_is_refused);
    RUN(what_servers_may_do_is_taken);
    RUN(a_secret_goes_to_its_issuer_alone);
    RUN(the_person_decides);
    RUN(tokens_are_renewed);
    RUN(more_rights_are_asked_for_once);
    RUN(who_cannot_ask_asks_nobody);
    RUN(files_of_others_are_left);
    RUN(what_is_forgotten_twice_over_is_gone);
    RUN(another_process_is_waited_for);
    mcp_oauth_free(oauth);
    play_close(p);
    free(who.link);
    q_buf_free(&who.page);
    unlink(file);
    char *lock = q_printf("%s.lock", file);
    unlink(lock);
    free(lock);
    rmdir(home);
    return TEST_END();
}
