/* mcp/oauth_ask: see oauth_ask.h. What a server says here decides where a person is sent and where a code goes: every address is checked
 * before it is used, and metadata speaks only for whom it was asked. Any thread. */
#include "mcp/oauth_ask.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TEXT_MOST = 16 << 10, URL_MOST = 2048, ANSWER_MOST = 256 << 10, ANSWER_S = 30, NESTED_MOST = 32 };

/* ---- addresses ---- */
static const char *host_of(const char *url, size_t *n)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    *n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    return host;
}

enum oauth_reach oauth_reach_of(const char *url, bool near)
{
    size_t n;
    const char *host = host_of(url, &n);
    return net_loopback(url) ? OAUTH_LOOPBACK : near || net_near(host, n) ? OAUTH_PRIVATE : OAUTH_PUBLIC;
}

bool oauth_safe(const char *url, enum oauth_reach reach)
{
    size_t n;
    bool tls = strncasecmp(url, "https://", 8) == 0;
    if ((!tls && strncasecmp(url, "http://", 7) != 0) || strlen(url) > URL_MOST || (!tls && !(reach == OAUTH_LOOPBACK && net_loopback(url))))
        return false;
    const char *host = host_of(url, &n);
    for (const char *p = url; *p; p++)   /* %31 in a host would be read by who connects, and by nobody before */
        if (*p <= ' ' || *p > '~' || *p == '\\' || *p == '"' || *p == '#' || ((*p == '@' || *p == '%') && p < host + strcspn(host, "/?")))
            return false;
    return n > 0 && !(reach == OAUTH_PUBLIC && net_near(host, n));
}

char *oauth_canonical(const char *url)
{
    size_t n = strcspn(url, "#"), host = (size_t)(strcspn(url, ":") + 3);
    host += host < n ? strcspn(url + host, "/?#") : 0;
    char *out = q_strndup(url, n);
    q_fold_bytes(out, host < n ? host : n);
    while (n && out[n - 1] == '/')
        out[--n] = 0;
    return out;
}

/* Behind the host, without query and last slash. */
static char *path_of(const char *url)
{
    size_t n;
    const char *host = strstr(url, "://"), *path;
    host = host ? host + 3 : url;
    path = host + strcspn(host, "/?#");
    n = strcspn(path, "?#");
    while (n && path[n - 1] == '/')
        n--;
    return q_strndup(path, n);
}

/* RFC 8414, 3.1: the name goes between host and path. behind: or, as OpenID Connect has it, after the path. */
static char *well_known(const char *url, const char *name, bool path, bool behind)
{
    char *host = net_host(url), *rest = path ? path_of(url) : q_strdup("");
    char *out = behind ? q_printf("%s%s/.well-known/%s", host, rest, name) : q_printf("%s/.well-known/%s%s", host, name, rest);
    free(host);
    free(rest);
    return out;
}

/* ---- words ---- */
void oauth_encode(q_buf *out, const char *s)
{
    for (; *s; s++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *s))
            q_buf_putc(out, *s);
        else
            q_buf_printf(out, "%%%02X", (unsigned char)*s);
}

void oauth_pair(q_buf *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    if (out->len && out->p[out->len - 1] != '?' && out->p[out->len - 1] != '&')
        q_buf_putc(out, '&');
    q_buf_printf(out, "%s=", name);
    oauth_encode(out, value);
}

char *oauth_base64(const void *bytes, size_t n, bool url)
{
    const char *set = url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = bytes;
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        uint32_t x = (uint32_t)p[i] << 16 | (uint32_t)(left > 1 ? p[i + 1] : 0) << 8 | (left > 2 ? p[i + 2] : 0);
        for (size_t k = 0; k < 4; k++)
            if (k <= left)
                q_buf_putc(&b, set[x >> (18 - 6 * k) & 63]);
            else if (!url)
                q_buf_putc(&b, '=');
    }
    return q_buf_take(&b);
}

static bool printable(const char *s)
{
    size_t n = 0;
    for (; s[n]; n++)
        if (s[n] < ' ' || s[n] > '~' || n > TEXT_MOST)
            return false;
    return n > 0;
}

const char *oauth_text(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    return s && printable(s) ? s : NULL;
}

static bool scope_word(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] <= ' ' || p[i] > '~' || p[i] == '"' || p[i] == '\\')
            return false;
    return n > 0 && n <= 200;
}

static bool has_word(const q_buf *b, const char *p, size_t n)
{
    for (const char *at = b->p; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == n && strncmp(at, p, n) == 0)
            return true;
    return false;
}

char *oauth_scopes(const char *a, const char *b)
{
    q_buf out = { 0 };
    q_buf_puts(&out, "");
    const char *const both[] = { a ? a : "", b ? b : "" };
    for (int i = 0; i < 2; i++)
        for (const char *p = both[i]; *p;) {
            size_t n = strcspn(p, " ");
            if (scope_word(p, n) && !has_word(&out, p, n) && out.len + n < URL_MOST / 2)
                q_buf_printf(&out, "%s%.*s", out.len ? " " : "", (int)n, p);
            p += n + (p[n] == ' ');
        }
    return q_buf_take(&out);
}

/* A token or a quoted string; *end behind it. */
static char *param_value(const char *p, const char **end)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    if (*p == '"') {
        for (p++; *p && *p != '"'; p++) {
            p += *p == '\\' && p[1];
            q_buf_putc(&b, *p);
        }
        *end = p + (*p == '"');
    } else {
        size_t n = strcspn(p, " \t,");
        q_buf_add(&b, p, n);
        *end = p + n;
    }
    return q_buf_take(&b);
}

char *oauth_param(const char *words, const char *name)
{
    bool bearer = false;
    for (const char *p = words; *p;) {
        p += strspn(p, " \t,");
        size_t n = strcspn(p, " \t,=");
        const char *behind = p + n + strspn(p + n, " \t");
        if (n && *behind == '=') {
            char *value = param_value(behind + 1 + strspn(behind + 1, " \t"), &behind);
            if (bearer && strlen(name) == n && strncasecmp(p, name, n) == 0)
                return value;
            free(value);
            p = behind;
        } else {
            bearer = n == 6 && strncasecmp(p, "bearer", 6) == 0;
            p += n + (n == 0 && *p);
        }
    }
    return NULL;
}

void oauth_wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

/* ---- asking ---- */
typedef struct asking { q_buf *got; const oauth_line *line; } asking;

static bool take(void *user, const net_reply *r, const char *p, size_t n)
{
    q_buf_add(((const asking *)user)->got, p, n);
    return true;
}

static bool asking_go(void *user)
{
    const oauth_line *l = ((const asking *)user)->line;
    return !l->go || l->go(l->user);
}

int oauth_ask(const oauth_line *l, const char *url, const char *type, const char *body, const char *header, int *status, cJSON **out, char *err)
{
    q_buf got = { 0 };
    net_reply r = { .status = 0 };
    char *kind = type ? q_printf("Content-Type: %s", type) : NULL;
    const char *lines[3] = { "Accept: application/json" };
    int n = 1;
    if (kind)
        lines[n++] = kind;
    if (header)
        lines[n++] = header;
    asking a = { &got, l };
    net_request q = { .url = url, .header = lines, .n_header = n, .body = body, .n_body = body ? strlen(body) : 0, .ca_file = l->ca_file,
                      .data = take, .go = asking_go, .user = &a, .public_only = l->reach == OAUTH_PUBLIC,
                      .limit = { .connect_s = 15, .stall_s = ANSWER_S, .all_s = ANSWER_S, .body = ANSWER_MOST } };
    *out = NULL;
    *status = 0;
    size_t n_host;
    const char *host = host_of(url, &n_host);
    int rc = oauth_safe(url, l->reach) ? net_run(l->net, &q, &r, err)
             : l->reach == OAUTH_PUBLIC && net_near(host, n_host) ? q_fail(err, Q_RANGE, _("%.200s would have to be asked, which is this machine or a private network, and the server is not: ask who runs it"), url)
             : q_fail(err, Q_RANGE, _("%.200s would have to be asked, which is no https: a sign-in goes over nothing else"), url);
    if (rc == Q_OK) {
        *status = r.status;
        *out = got.p && q_json_shallow(got.p, NESTED_MOST) ? cJSON_Parse(got.p) : NULL;
        if (*out && !cJSON_IsObject(*out)) {
            cJSON_Delete(*out);
            *out = NULL;
        }
    }
    if (got.p)
        explicit_bzero(got.p, got.len);
    q_buf_free(&got);
    free(kind);
    return rc;
}

/* ---- what a server says of its authorisation ---- */
void oauth_meta_free(oauth_meta *m)
{
    char *text[] = { m->resource, m->issuer, m->authorise, m->token, m->registers, m->scope };
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        free(text[i]);
    *m = (oauth_meta){ .resource = NULL };
}

/* RFC 9728, 3.3: metadata speak for the address that was asked, or for one above it on the same host. */
static bool speaks_for(const char *resource, const char *url)
{
    char *a = oauth_canonical(resource), *b = oauth_canonical(url), *ha = net_host(a), *hb = net_host(b);
    size_t n = strlen(a);
    bool yes = strcmp(ha, hb) == 0 && strncmp(a, b, n) == 0 && (!b[n] || b[n] == '/' || b[n] == '?');
    free(a);
    free(b);
    free(ha);
    free(hb);
    return yes;
}

static bool lists(const cJSON *o, const char *name, const char *word, bool otherwise)
{
    const cJSON *one, *list = cJSON_GetObjectItemCaseSensitive(o, name);
    if (!cJSON_IsArray(list))
        return otherwise;
    cJSON_ArrayForEach(one, list)
        if (cJSON_IsString(one) && strcmp(one->valuestring, word) == 0)
            return true;
    return false;
}

static bool same_address(const char *a, const char *b)
{
    char *x = oauth_canonical(a), *y = oauth_canonical(b);
    bool same = strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static int read_resource(const cJSON *o, const char *url, const char *wanted, oauth_meta *m, char *err)
{
    const char *resource = oauth_text(o, "resource");
    const cJSON *one, *by = cJSON_GetObjectItemCaseSensitive(o, "authorization_servers");
    const char *issuer = cJSON_GetStringValue(cJSON_GetArrayItem(by, 0));
    cJSON_ArrayForEach(one, by)
        if (wanted && cJSON_IsString(one) && same_address(one->valuestring, wanted)) {
            issuer = one->valuestring;
            break;
        }
    if (!resource || !speaks_for(resource, url))
        return q_fail(err, Q_FORMAT, _("what %.200s says of its sign-in is about another address: ask who runs it"), url);
    if (!issuer || !printable(issuer))
        return q_fail(err, Q_FORMAT, _("%.200s asks for a sign-in and names nobody to sign in at: ask who runs it"), url);
    m->resource = q_strdup(resource);
    m->issuer = q_strdup(issuer);
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(o, "scopes_supported"))
        if (cJSON_IsString(one) && strlen(one->valuestring) <= 200) {
            char *more = oauth_scopes(m->scope, one->valuestring);
            free(m->scope);
            m->scope = more;
        }
    return Q_OK;
}

/* Who lets in: as the resource says; one that says nothing is its own, as the revision of 2025-03-26 had it. What it says lies at an address
 * where nothing is may lie at the well-known ones. */
static int find_resource(const oauth_line *l, const char *url, const char *words, const char *wanted, oauth_meta *m, char *err)
{
    char *said = oauth_param(words, "resource_metadata"), *place[] = { said, well_known(url, "oauth-protected-resource", true, false), well_known(url, "oauth-protected-resource", false, false) };
    int rc = Q_OK, status;
    for (size_t i = 0; i < 3 && rc == Q_OK && !m->issuer; i++) {
        cJSON *o = NULL;
        if (!place[i] || (i == 2 && strcmp(place[1], place[2]) == 0))
            continue;
        rc = oauth_ask(l, place[i], NULL, NULL, NULL, &status, &o, err);
        if (rc == Q_OK && status == 200 && o)
            rc = read_resource(o, url, wanted, m, err);
        cJSON_Delete(o);
    }
    if (rc == Q_OK && !m->issuer && said)
        rc = q_fail(err, Q_FORMAT, _("%.200s says where its sign-in is described, and there is nothing: ask who runs it"), url);
    for (size_t i = 0; i < 3; i++)
        free(place[i]);
    if (rc == Q_OK && !m->issuer) {
        m->issuer = net_host(url);
        m->resource = oauth_canonical(url);
    }
    return rc;
}

static int read_server(const oauth_line *l, const cJSON *o, oauth_meta *m, char *err)
{
    const char *issuer = oauth_text(o, "issuer"), *authorise = oauth_text(o, "authorization_endpoint"), *token = oauth_text(o, "token_endpoint"), *reg = oauth_text(o, "registration_endpoint");
    if (!issuer || !same_address(issuer, m->issuer))
        return q_fail(err, Q_FORMAT, _("what was asked as %.200s calls itself otherwise: nobody signs in there"), m->issuer);
    if (!authorise || !token || !oauth_safe(authorise, l->reach) || !oauth_safe(token, l->reach) || (reg && !oauth_safe(reg, l->reach)))
        return q_fail(err, Q_FORMAT, _("%.200s names no place to sign in that can be asked over https from here (a private one is not, for a server of the web): ask who runs it"), m->issuer);
    if (!lists(o, "code_challenge_methods_supported", "S256", false))
        return q_fail(err, Q_FORMAT, _("%.200s does not guard a sign-in against whoever listens (no PKCE with S256): nobody signs in there"), m->issuer);
    if (!lists(o, "response_types_supported", "code", true))
        return q_fail(err, Q_FORMAT, _("%.200s lets nobody in by a code: ask who runs it"), m->issuer);
    free(m->issuer);
    m->issuer = q_strdup(issuer);
    m->authorise = q_strdup(authorise);
    m->token = q_strdup(token);
    m->registers = reg ? q_strdup(reg) : NULL;
    m->tells_issuer = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "authorization_response_iss_parameter_supported"));
    m->none = lists(o, "token_endpoint_auth_methods_supported", "none", false);
    m->post = lists(o, "token_endpoint_auth_methods_supported", "client_secret_post", false);
    m->basic = lists(o, "token_endpoint_auth_methods_supported", "client_secret_basic", true);
    return Q_OK;
}

static int find_server(const oauth_line *l, oauth_meta *m, char *err)
{
    char *path = path_of(m->issuer);
    char *place[] = { well_known(m->issuer, "oauth-authorization-server", true, false), well_known(m->issuer, "openid-configuration", true, false),
                      *path ? well_known(m->issuer, "openid-configuration", true, true) : NULL };
    int rc = Q_OK, status;
    for (size_t i = 0; i < 3 && rc == Q_OK && !m->token; i++) {
        cJSON *o = NULL;
        if (place[i] && (rc = oauth_ask(l, place[i], NULL, NULL, NULL, &status, &o, err)) == Q_OK && status == 200 && o)
            rc = read_server(l, o, m, err);
        cJSON_Delete(o);
    }
    for (size_t i = 0; i < 3; i++)
        free(place[i]);
    free(path);
    return rc == Q_OK && !m->token ? q_fail(err, Q_NOTFOUND, _("%.200s does not say how one signs in there: ask who runs it, or name a key (key_env)"), m->issuer) : rc;
}

int oauth_discover(const oauth_line *l, const char *url, const char *words, const char *issuer, oauth_meta *out, char *err)
{
    *out = (oauth_meta){ .scope = q_strdup("") };
    int rc = find_resource(l, url, words, issuer, out, err);
    if (rc == Q_OK && issuer && !same_address(out->issuer, issuer))
        rc = q_fail(err, Q_RANGE, _("%.200s wants a sign-in at %.200s, and issuer in config.ini names %.200s: nothing was sent there; change issuer if that is right"), url, out->issuer, issuer);
    if (rc == Q_OK)
        rc = find_server(l, out, err);
    if (rc < 0)
        oauth_meta_free(out);
    return rc;
}
