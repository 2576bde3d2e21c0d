/* tests/fuzz/oauth: what comes in on the way to a sign-in: the words of a challenge, what a browser brings back, the file of tokens. Whatever it
 * is, no address passes that leads elsewhere than it reads, a value is read as it was written, and a file that is none of ours stays as it is. */
#include "mcp/oauth_ask.h"
#include "mcp/oauth_back.h"
#include "mcp/oauth_store.h"
#include "tests/fuzz/fuzz.h"

#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PICK(r, list) list[fuzz_below(r, sizeof list / sizeof *list)]

/* ---- the words of a challenge ---- */
static void challenge_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const words[] = {
        "Bearer", "Bearer realm=\"r\", error=\"insufficient_scope\", scope=\"files:read files:write\", error_description=\"\\\"more\\\" is needed\"",
        "Basic realm=\"x\", Bearer resource_metadata=\"https://mcp.example.org/.well-known/oauth-protected-resource/mcp\", scope=a", "bearer SCOPE = a , error=b",
        "Bearer resource_metadata=\"http://127.0.0.1:8080/x?y=z@w\"", "Bearer resource_metadata=http://[::1]:1/", "Bearer resource_metadata=\"http://LocalHost\"", "Digest a=b, Negotiate abc==, Bearer scope=\"x y x\", DPoP scope=z",
        "Bearer resource_metadata=\"https://a.example:443/mcp/\", scope=\"a \\\\b \xD0\xAF c\"" };
    q_buf_puts(b, PICK(r, words));
}

static int address(const char *url)
{
    bool far = oauth_safe(url, OAUTH_PUBLIC), near = oauth_safe(url, OAUTH_LOOPBACK);
    char *shown = net_host(url), *once = oauth_canonical(url), *twice = oauth_canonical(once);
    const char *host = strstr(url, "://");
    int out = 0;
    if (strcmp(once, twice) != 0)
        out = FUZZ_BROKEN("%s is called otherwise when it is asked again", once);
    if (far && (!near || strncasecmp(url, "https://", 8) != 0))
        out = FUZZ_BROKEN("no https, and it is asked: %s", url);
    if (near && strncmp(url, shown, strlen(shown)) != 0)
        out = FUZZ_BROKEN("it leads elsewhere than it reads: %s", url);
    if (near && strncasecmp(url, "https://", 8) != 0) {      /* plain http: of this machine, by another way of reading */
        static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };
        bool own = false;
        for (size_t i = 0; i < 3; i++)
            own |= strncasecmp(host + 3, names[i], strlen(names[i])) == 0 && strchr(":/?", host[3 + strlen(names[i])]);
        if (!own)
            out = FUZZ_BROKEN("plain http to another machine: %s", url);
    }
    free(shown);
    free(once);
    free(twice);
    return out;
}

static int scopes(const char *value)
{
    char *s = oauth_scopes(value, NULL), *again = oauth_scopes(s, s);
    int out = strcmp(s, again) != 0 ? FUZZ_BROKEN("scopes that become others: %s, %s", s, again) : 0;
    for (const char *p = s; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\')
            out = FUZZ_BROKEN("a scope that is none: %s", s);
    free(s);
    free(again);
    return out;
}

/* A value is read as it was written. */
static int written(const char *value)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "Basic scope=no, Bearer x=\",\", scope=\"");
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\\')
            q_buf_putc(&b, '\\');
        q_buf_putc(&b, *p);
    }
    q_buf_puts(&b, "\", DPoP scope=no");
    char *back = oauth_param(b.p, "scope");
    int out = !back || strcmp(back, value) != 0 ? FUZZ_BROKEN("%s is read as %s", value, back ? back : "nothing") : 0;
    free(back);
    q_buf_free(&b);
    return out;
}

static int challenge_run(const char *p, size_t n)
{
    static const struct { const char *name, *loud; } params[] = { { "resource_metadata", "Resource_Metadata" }, { "scope", "SCOPE" }, { "error", "errOR" } };
    char *text = q_strndup(p, n);
    int found = 0, bad = written(text) | scopes(text) | address(text);
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        char *v = oauth_param(text, params[i].name), *loud = oauth_param(text, params[i].loud);
        if (!v != !loud || (v && strcmp(v, loud) != 0))
            bad = FUZZ_BROKEN("%s depends on its letters", params[i].name);
        if (v && (strlen(v) > n || !strcasestr(text, "bearer")))
            bad = FUZZ_BROKEN("%s comes of nothing", params[i].name);
        found |= v != NULL;
        if (v)
            bad |= scopes(v) | address(v);
        free(v);
        free(loud);
    }
    free(text);
    return bad ? -1 : found;
}
const fuzz_target fuzz_challenge = { "challenge", 20000, 1000000, NULL, challenge_seed, challenge_run, NULL, 0 };

/* ---- what a browser brings back ---- */
enum { PORT = 5000 };

static void back_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const requests[] = {
        "GET /callback?code=abc%20d%2Be&state=x-_~y&iss=https%3A%2F%2Fas.example.org HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nAccept: */*\r\n\r\n",
        "GET /callback?error=access_denied&state=s HTTP/1.1\r\nAccept: a\r\nhost:\tLOCALHOST:5000\r\n\r\n", "GET /callback HTTP/1.0\r\nHost: localhost:5000\r\n\r\n",
        "GET /callback?code=a HTTP/1.1\r\nHost: evil.example.org\r\nX: 127.0.0.1:5000\r\n\r\n", "GET /favicon.ico HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n\r\n",
        "code=a&state=b", "http://127.0.0.1:5000/callback?code=a%00&state=b+c&&state#x", "  code=%d0%af&iss=\n" };
    q_buf_puts(b, PICK(r, requests));
    if (fuzz_below(r, 20) == 0)
        for (int i = 0; i < 400; i++)    /* more than a request may have */
            q_buf_puts(b, "X-Filler: 0123456789 0123456789 01234567\r\n");
}

typedef struct coming { oauth_back *b; char *pasted; } coming;

static bool still(void *user, char **pasted)
{
    coming *c = user;
    *pasted = c->pasted;
    c->pasted = NULL;
    return c->b->n > 0;                  /* until the line is over with */
}

static int values(const char *query)
{
    static const char *const names[] = { "code", "state", "iss", "error" };
    int bad = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && !bad; i++) {
        char *v = oauth_back_value(query, names[i]), *more = q_printf("%s&%s=x", query, names[i]), *once = oauth_back_value(more, names[i]);
        q_buf b = { 0 };
        if (v) {
            q_buf_printf(&b, "a=b&%s=", names[i]);
            oauth_encode(&b, v);
            char *back = oauth_back_value(b.p, names[i]);
            if (strlen(v) > strlen(query) || !back || strcmp(back, v) != 0)
                bad = FUZZ_BROKEN("%s is read as %s", v, back ? back : "nothing");
            free(back);
        }
        if (v && once)
            bad = FUZZ_BROKEN("one of two is taken: %s", more);
        free(v);
        free(more);
        free(once);
        q_buf_free(&b);
    }
    return bad;
}

/* The request as it comes in on a line, whose other end hears the answer. */
static int request(const char *p, size_t n, const char *text)
{
    static char first[600];              /* the answer to a browser is always the same one */
    char answer[600] = "", err[Q_ERRLEN] = "", *query = NULL;
    int pair[2];
    oauth_back b = { .fd = -1, .port = PORT };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || send(pair[1], p, n, MSG_NOSIGNAL) != (ssize_t)n || shutdown(pair[1], SHUT_WR) != 0)
        return FUZZ_BROKEN("no line for it");
    b.line[b.n++] = pair[0];
    const char *begin = strchr(text, '?');
    char *own = begin ? q_strndup(begin + 1, strcspn(begin + 1, " \r\n")) : NULL, *state = own && n % 16 ? oauth_back_value(own, "state") : NULL;
    int rc = oauth_back_wait(&b, 3600, state ? state : "another", still, &(coming){ &b, NULL }, &query, err), bad = 0;
    oauth_back_close(&b);
    ssize_t got = recv(pair[1], answer, sizeof answer - 1, MSG_DONTWAIT);
    close(pair[1]);
    bool welcome = got > 0 && strncmp(answer, "HTTP/1.1 200 ", 13) == 0;
    if (welcome && !*first)
        memcpy(first, answer, sizeof first);
    if ((rc == Q_OK) != (query != NULL) || welcome != (query != NULL) || (!query && !*err))
        bad = FUZZ_BROKEN("answered with \"%.12s\", and what came of it is %d", answer, rc);
    if (welcome && strcmp(first, answer) != 0)
        bad = FUZZ_BROKEN("something of it is sent back");
    if (query && (strncmp(text, "GET /callback", 13) != 0 || (!strcasestr(text, "host:") || (!strcasestr(text, "127.0.0.1:5000") && !strcasestr(text, "localhost:5000")))))
        bad = FUZZ_BROKEN("nobody came back, and it is taken: %s", text);
    if (query && (strpbrk(query, " \r\n") || values(query)))
        bad = FUZZ_BROKEN("no query: %s", query);
    char *brought = query ? oauth_back_value(query, "state") : NULL;
    if (query && (!brought || strcmp(brought, state ? state : "another") != 0))
        bad = FUZZ_BROKEN("another state is taken: %s", query);
    free(brought);
    free(state);
    free(own);
    int taken = query != NULL;
    free(query);
    return bad ? bad : taken;
}

static int back_run(const char *p, size_t n)
{
    char *text = q_strndup(p, n), *query = NULL, err[Q_ERRLEN];
    oauth_back none = { .fd = -1 };
    int taken = request(p, n, text), bad = values(text);
    if (oauth_back_wait(&none, 3600, "state", still, &(coming){ &none, q_strdup(text) }, &query, err) != Q_OK || !query || strpbrk(query, " \t\r\n#"))
        bad = FUZZ_BROKEN("what was put in is no query");
    if (query && values(query))
        bad = -1;
    free(query);
    free(text);
    return bad ? -1 : taken;
}
const fuzz_target fuzz_back = { "back", 2000, 1000000, NULL, back_seed, back_run, NULL, 0 };

/* ---- the file of tokens ---- */
static char folder[] = "/tmp/quorum-fuzz-oauth-XXXXXX", *tokens;
static const char url[] = "https://a.example/mcp";

static bool tokens_ready(void)
{
    tokens = mkdtemp(folder) ? q_printf("%s/tokens.json", folder) : NULL;
    return tokens != NULL;
}

static void tokens_done(void)
{
    unlink(tokens);
    rmdir(folder);
    free(tokens);
}

static void tokens_seed(fuzz_rng *r, q_buf *b)
{
#define ENTRY(u, a) "{\"url\":\"" u "\",\"resource\":\"https://a.example\",\"issuer\":\"https://as.example\",\"token_url\":\"https://as.example/token\",\"client\":\"c\",\"secret\":\"s\\u0416\",\"method\":\"client_secret_basic\"," \
    "\"access\":\"" a "\",\"refresh\":\"r\",\"scope\":\"x y\",\"expires\":1795000000000}"
    static const char *const entries[] = { "", ENTRY("https://a.example/mcp", "t1"), ENTRY("https://a.example/mcp", "t1") "," ENTRY("https://b.example", "t2"), ENTRY("https://b.example", "t2") ",7,[],{}," ENTRY("https://a.example/mcp", ""),
                                           ENTRY("https://a.example/mcp", "t1") "," ENTRY("https://a.example/mcp", "t2"), "{\"url\":\"https://a.example/mcp\",\"expires\":-1e300,\"access\":[1],\"later\":{\"x\":null}}" };
#undef ENTRY
    q_buf_printf(b, "{\"kind\":\"quorum mcp tokens\",\"version\":1,\"entries\":[%s]}", PICK(r, entries));
}

static bool same(const oauth_entry *a, const oauth_entry *b)
{
    bool all = a->expires == b->expires;
#define SAME(name) all &= !a->name == !b->name && (!a->name || strcmp(a->name, b->name) == 0);
    OAUTH_TEXTS(SAME)
#undef SAME
    return all;
}

/* A file of ours: what is put in stands there, what is taken out is gone, nothing else moves. */
static int ours(const oauth_entry *had)
{
    char err[Q_ERRLEN] = "";
    bool was = false, again = true;
    oauth_entry mine = { .url = "https://c.example", .access = "secret\\\"\x01\xD0\xAF", .refresh = "r", .expires = 1795000000001 }, back, kept;
    int bad = 0;
    if (oauth_entry_put(tokens, &mine, err) != Q_OK || oauth_entry_get(tokens, mine.url, &back, err) != Q_OK)
        return FUZZ_BROKEN("nothing can be put in: %s", err);
    if (!same(&mine, &back))
        bad = FUZZ_BROKEN("what was put in became another");
    int rc = oauth_entry_get(tokens, url, &kept, err);
    if ((rc == Q_OK) != (had != NULL) || (had && !same(had, &kept)))
        bad = FUZZ_BROKEN("what was there became another");
    if (oauth_entry_drop(tokens, url, &was, err) != Q_OK || was != (had != NULL) || oauth_entry_drop(tokens, url, &again, err) != Q_OK || again)
        bad = FUZZ_BROKEN("it is not forgotten");
    oauth_entry_free(&kept);
    oauth_entry_free(&back);
    if (oauth_entry_get(tokens, url, &kept, err) != Q_NOTFOUND || oauth_entry_get(tokens, mine.url, &back, err) != Q_OK || !same(&mine, &back))
        bad = FUZZ_BROKEN("what is forgotten is there, or another one is not");
    oauth_entry_free(&kept);
    oauth_entry_free(&back);
    return bad;
}

static int tokens_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    bool was = true;
    q_buf after = { 0 };
    oauth_entry e;
    FILE *f = fopen(tokens, "wb");
    if (!f || fchmod(fileno(f), 0600) != 0 || fwrite(p, 1, n, f) != n || fclose(f) != 0)
        return FUZZ_BROKEN("no file for it");
    int rc = oauth_entry_get(tokens, url, &e, err), bad = 0;
    if (rc != Q_FORMAT)
        bad = rc != Q_OK && rc != Q_NOTFOUND ? FUZZ_BROKEN("%d: %s", rc, err) : ours(rc == Q_OK ? &e : NULL);
    else {
        if (oauth_entry_put(tokens, &(oauth_entry){ .url = "https://c.example" }, err) != Q_FORMAT || oauth_entry_drop(tokens, url, &was, err) != Q_FORMAT || was)
            bad = FUZZ_BROKEN("it is none of ours, and it is written");
        if (q_read_file(tokens, &after, 1 << 20, err) != Q_OK || after.len != n || (n && memcmp(after.p, p, n) != 0))
            bad = FUZZ_BROKEN("it is none of ours, and it is another now");
        q_buf_free(&after);
    }
    oauth_entry_free(&e);
    return bad ? -1 : rc != Q_FORMAT;
}
const fuzz_target fuzz_tokens = { "tokens", 400, 20000, tokens_ready, tokens_seed, tokens_run, tokens_done, 0 };
