/* provider/servers: the list of servers that config.ini names, and their keys. See server.h. */
#include "provider/server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

struct prov_servers { prov_server *v; int n; };

enum lives { TEXT, URL, NUMBER, ROUTING };
static const struct { const char *key; enum lives lives; size_t at; long min, max; } keys[] = {
    { "url", URL, offsetof(prov_server, url), 0, 0 }, { "model", TEXT, offsetof(prov_server, model), 0, 0 },
    { "key_env", TEXT, offsetof(prov_server, key_env), 0, 0 }, { "key_file", TEXT, offsetof(prov_server, key_file), 0, 0 },
    { "ca", TEXT, offsetof(prov_server, ca), 0, 0 }, { "socket", TEXT, offsetof(prov_server, socket), 0, 0 },
    { "context", NUMBER, offsetof(prov_server, context), 16, 16777216 }, { "stall", NUMBER, offsetof(prov_server, stall), 1, 86400 },
    { "routing", ROUTING, offsetof(prov_server, routing), 0, 0 }, { "layers", NUMBER, offsetof(prov_server, layers), 1, 4096 },
    { "experts", NUMBER, offsetof(prov_server, experts), 1, 65534 }, { "k", NUMBER, offsetof(prov_server, k), 1, 64 },
    { "dense", NUMBER, offsetof(prov_server, dense), 0, 4095 } };
enum { KEYS = sizeof keys / sizeof *keys };
static const char *const routings[] = { [SERVER_NO_ROUTING] = "no", [SERVER_VLLM] = "vllm", [SERVER_SGLANG] = "sglang" };

prov_servers *prov_servers_new(void) { return q_alloc(sizeof(prov_servers)); }

static char **text_of(const prov_server *s, int i) { return (char **)(uintptr_t)((const char *)s + keys[i].at); }
static int *number_of(const prov_server *s, int i) { return (int *)(uintptr_t)((const char *)s + keys[i].at); }
static bool is_text(int i) { return keys[i].lives == TEXT || keys[i].lives == URL; }

void server_free(prov_server *s)
{
    for (int i = 0; i < KEYS; i++)
        if (is_text(i))
            free(*text_of(s, i));
    free(s->name);
    *s = (prov_server){ .name = NULL };
}

void server_copy(const prov_server *s, prov_server *out)
{
    *out = *s;
    out->name = q_strdup(s->name);
    for (int i = 0; i < KEYS; i++)
        if (is_text(i))
            *text_of(out, i) = *text_of(s, i) ? q_strdup(*text_of(s, i)) : NULL;
}

void prov_servers_free(prov_servers *s)
{
    for (int i = 0; s && i < s->n; i++)
        server_free(&s->v[i]);
    if (s)
        free(s->v);
    free(s);
}

/* A name is what can stand in "@NAME/MODEL". */
static bool good_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && n <= 32 && !s[n];
}

/* "http://host:8000" is "http://host:8000/v1": every one of these servers has it there. */
static int put_url(char **out, const char *value, char *err)
{
    size_t n = strlen(value);
    while (n && value[n - 1] == '/')
        n--;
    const char *host = strncasecmp(value, "http://", 7) == 0 ? value + 7 : strncasecmp(value, "https://", 8) == 0 ? value + 8 : NULL;
    if (!host || host >= value + n || memchr(value, '@', n) || strpbrk(value, " \t?#"))
        return q_fail(err, Q_FORMAT, _("url is http://HOST:PORT/v1 or https://…, without a name, a password or a key in it"));
    free(*out);
    *out = q_printf("%.*s%s", (int)n, value, memchr(host, '/', (size_t)(value + n - host)) ? "" : "/v1");
    return Q_OK;
}

static int put_number(int *out, int i, const char *value, char *err)
{
    char *end;
    long x = strtol(value, &end, 10);
    if (end == value || *end || x < keys[i].min || x > keys[i].max)
        return q_fail(err, Q_RANGE, _("%s is a whole number from %ld to %ld"), keys[i].key, keys[i].min, keys[i].max);
    *out = (int)x;
    return Q_OK;
}

static int put_routing(prov_server *s, const char *value, char *err)
{
    for (size_t i = 0; i < sizeof routings / sizeof *routings; i++)
        if (strcasecmp(value, routings[i]) == 0) {
            s->routing = (enum server_routing)i;
            return Q_OK;
        }
    return q_fail(err, Q_RANGE, _("routing is one of: no, vllm, sglang"));
}

int prov_servers_put(prov_servers *s, const char *name, const char *key, const char *value, char *err)
{
    int k = 0, at = 0;
    if (!good_name(name))
        return q_fail(err, Q_RANGE, _("a server's name is up to 32 letters, digits, dots, dashes and underscores, not \"%s\""), name);
    while (k < KEYS && strcasecmp(keys[k].key, key) != 0)
        k++;
    if (k == KEYS)
        return q_fail(err, Q_NOTFOUND, strcasecmp(key, "key") == 0 || strcasecmp(key, "api_key") == 0
            ? _("%s: a key does not stand in this file: name the variable that has it (key_env) or a file of mode 0600 (key_file)")
            : _("a server has no %s: there are url, model, key_env, key_file, ca, socket, context, stall, routing, layers, experts, k and dense"), key);
    while (at < s->n && strcmp(s->v[at].name, name) != 0)
        at++;
    if (at == s->n) {
        s->v = q_realloc(s->v, sizeof *s->v * (size_t)(s->n + 1));
        s->v[s->n++] = (prov_server){ .name = q_strdup(name) };
    }
    prov_server *to = &s->v[at];
    switch (keys[k].lives) {
    case URL: return put_url(&to->url, value, err);
    case NUMBER: return put_number(number_of(to, k), k, value, err);
    case ROUTING: return put_routing(to, value, err);
    case TEXT: break;
    }
    free(*text_of(to, k));
    *text_of(to, k) = *value ? q_strdup(value) : NULL;
    return Q_OK;
}

int prov_servers_count(const prov_servers *s) { return s ? s->n : 0; }

char *prov_servers_name(const prov_servers *s, int i, const char **url)
{
    const prov_server *v = &s->v[i];
    *url = v->url ? v->url : "";
    return v->model ? q_printf("@%s/%s", v->name, v->model) : q_printf("@%s", v->name);
}

int server_find(const prov_servers *s, const char *what, const prov_server **out, const char **model, char *err)
{
    size_t n = strcspn(what + 1, "/");
    *model = what[n + 1] ? what + n + 2 : "";
    q_buf there = { 0 };
    for (int i = 0; s && i < s->n; i++) {
        if (strlen(s->v[i].name) == n && memcmp(s->v[i].name, what + 1, n) == 0) {
            q_buf_free(&there);
            *out = &s->v[i];
            return s->v[i].url ? Q_OK : q_fail(err, Q_NOTFOUND, _("[server.%s] in config.ini names no url: write one, url = http://HOST:PORT/v1"), s->v[i].name);
        }
        q_buf_printf(&there, "%s@%s", i ? ", " : "", s->v[i].name);
    }
    int rc = there.len ? q_fail(err, Q_NOTFOUND, _("config.ini knows no server %.*s; there are: %s"), (int)n + 1, what, there.p)
                       : q_fail(err, Q_NOTFOUND, _("config.ini knows no server %.*s: write [server.%.*s] and url = http://HOST:PORT/v1 into it"), (int)n + 1, what, (int)n, what + 1);
    q_buf_free(&there);
    return rc;
}

/* The first line, without blanks around it. */
int server_key(const prov_server *s, char **key, char *err)
{
    *key = NULL;
    if (s->key_env) {
        const char *v = getenv(s->key_env);
        if (!v || !*v)
            return q_fail(err, Q_NOTFOUND, _("the key of @%s is to be in %s, and the environment has no such variable: export it and start again"), s->name, s->key_env);
        *key = q_key_text(v);
        return Q_OK;
    }
    return s->key_file ? q_key_file(s->key_file, key, err) : Q_OK;
}
