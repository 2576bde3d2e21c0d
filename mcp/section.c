/* mcp/section: see section.h. Keys are read from the environment or a file where they are sent, never before. Any thread. */
#include "mcp/section.h"
#include "net/net.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum lives { TEXT, URL, WORDS, HEADER, SECONDS, YES_NO };
static const struct { const char *key; enum lives lives; size_t at; int max; } keys[] = {
    { "command", TEXT, offsetof(section, command), 0 }, { "args", WORDS, offsetof(section, args), 0 }, { "env", WORDS, offsetof(section, env), 0 },
    { "cwd", TEXT, offsetof(section, cwd), 0 }, { "url", URL, offsetof(section, url), 0 }, { "key_env", TEXT, offsetof(section, key_env), 0 },
    { "key_file", TEXT, offsetof(section, key_file), 0 }, { "ca", TEXT, offsetof(section, ca), 0 }, { "header", HEADER, offsetof(section, header), 0 },
    { "timeout", SECONDS, offsetof(section, timeout_s), 86400 }, { "start", SECONDS, offsetof(section, start_s), 3600 },
    { "probe", SECONDS, offsetof(section, probe_s), 600 }, { "enabled", YES_NO, offsetof(section, enabled), 0 } };
enum { KEYS = sizeof keys / sizeof *keys };

static void *place(section *s, int k) { return (char *)s + keys[k].at; }

/* ---- words ---- */
void words_add(words *w, char *taken)
{
    w->v = q_realloc(w->v, sizeof *w->v * (size_t)(w->n + 2));
    w->v[w->n++] = taken;
    w->v[w->n] = NULL;
}

void words_wipe(words *w)
{
    for (int i = 0; i < w->n; i++) {
        explicit_bzero(w->v[i], strlen(w->v[i]));
        free(w->v[i]);
    }
    free(w->v);
    *w = (words){ 0 };
}

/* Blanks part words; "…" and '…' hold together; \ takes the next letter as it is, but within '…'. */
static int split(const char *p, words *out, char *err)
{
    q_buf b = { 0 };
    char quote = 0;
    bool any = false;
    for (; *p; p++) {
        if (*p == '\\' && quote != '\'' && p[1]) {
            q_buf_putc(&b, *++p);
            any = true;
        } else if (quote ? *p == quote : *p == '"' || *p == '\'') {
            quote = quote ? 0 : *p;
            any = true;
        } else if (!quote && (*p == ' ' || *p == '\t')) {
            if (any)
                words_add(out, q_buf_take(&b));
            any = false;
        } else {
            q_buf_putc(&b, *p);
            any = true;
        }
    }
    if (any && !quote)
        words_add(out, q_buf_take(&b));
    q_buf_free(&b);
    return quote ? q_fail(err, Q_FORMAT, _("a quotation mark %c is not closed: close it, or put \\ before it"), quote) : Q_OK;
}

/* ---- a line of the file ---- */
void section_init(section *s, const char *name)
{
    *s = (section){ .name = q_strdup(name), .timeout_s = 60, .start_s = 60, .probe_s = 5, .enabled = true };
}

void section_free(section *s)
{
    char *text[] = { s->name, s->command, s->cwd, s->url, s->key_env, s->key_file, s->ca };
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        free(text[i]);
    words_wipe(&s->args);
    words_wipe(&s->env);
    words_wipe(&s->header);
    *s = (section){ .name = NULL };
}

static int put_url(char **out, const char *value, char *err)
{
    const char *host = strncasecmp(value, "http://", 7) == 0 ? value + 7 : strncasecmp(value, "https://", 8) == 0 ? value + 8 : NULL;
    if (!host || !*host || *host == '/' || memchr(host, '@', strcspn(host, "/?#")) || strpbrk(value, " \t#"))
        return q_fail(err, Q_FORMAT, _("url is http://HOST:PORT/PATH or https://…, without a name, a password or a key in it"));
    free(*out);
    *out = q_strdup(value);
    return Q_OK;
}

static int put_words(words *out, const char *value, char *err)
{
    words w = { 0 };
    int rc = split(value, &w, err);
    words_wipe(rc == Q_OK ? out : &w);
    if (rc == Q_OK)
        *out = w;
    return rc;
}

static int put_header(words *out, const char *value, char *err)
{
    size_t n = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    static const char *const own[] = { "accept", "content-type", "content-length", "host", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name", "last-event-id" };
    if (!n || value[n] != ':' || strpbrk(value, "\r\n"))
        return q_fail(err, Q_FORMAT, _("header is one line: Name: value, or Name: $VARIABLE for a value that the environment has"));
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strlen(own[i]) == n && strncasecmp(own[i], value, n) == 0)
            return q_fail(err, Q_FORMAT, _("the header %.*s belongs to the protocol: leave it out"), (int)n, value);
    words_add(out, q_strdup(value));
    return Q_OK;
}

static int put_seconds(int *out, int k, const char *value, char *err)
{
    char *end;
    long x = strtol(value, &end, 10);
    if (end == value || *end || x < 1 || x > keys[k].max)
        return q_fail(err, Q_RANGE, _("%s is a whole number from %ld to %ld"), keys[k].key, 1L, (long)keys[k].max);
    *out = (int)x;
    return Q_OK;
}

static int put_yes(bool *out, const char *key, const char *value, char *err)
{
    static const struct { const char *word; bool yes; } row[] = { { "yes", true }, { "on", true }, { "true", true }, { "1", true }, { "no", false }, { "off", false }, { "false", false }, { "0", false } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (strcasecmp(row[i].word, value) == 0) {
            *out = row[i].yes;
            return Q_OK;
        }
    return q_fail(err, Q_RANGE, _("%s is yes or no"), key);
}

int section_put(section *s, const char *key, const char *value, char *err)
{
    int k = 0;
    while (k < KEYS && strcasecmp(keys[k].key, key) != 0)
        k++;
    if (k == KEYS)
        return q_fail(err, Q_NOTFOUND, strcasecmp(key, "key") == 0 || strcasecmp(key, "token") == 0
            ? _("%s: a key does not stand in this file: name the variable that has it (key_env) or a file of mode 0600 (key_file)")
            : _("an MCP server has no %s: there are command, args, env, cwd, url, key_env, key_file, ca, header, timeout, start, probe, enabled, client_id, client_secret_env, issuer and scope"), key);
    switch (keys[k].lives) {
    case URL: return put_url(&s->url, value, err);
    case WORDS: return put_words(place(s, k), value, err);
    case HEADER: return put_header(&s->header, value, err);
    case SECONDS: return put_seconds(place(s, k), k, value, err);
    case YES_NO: return put_yes(place(s, k), keys[k].key, value, err);
    case TEXT: break;
    }
    char **text = place(s, k);
    free(*text);
    *text = *value ? q_strdup(value) : NULL;
    return Q_OK;
}

/* Is it shown something that is nobody else's? */
static bool shows_key(const section *s)
{
    static const char *const secret[] = { "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key" };
    bool yes = s->key_env || s->key_file;
    for (int i = 0; i < s->header.n && !yes; i++) {
        const char *line = s->header.v[i], *v = strchr(line, ':') + 1;
        yes = v[strspn(v, " \t")] == '$';
        for (size_t k = 0; k < sizeof secret / sizeof *secret && !yes; k++)
            yes = strlen(secret[k]) == strcspn(line, ":") && strncasecmp(line, secret[k], strlen(secret[k])) == 0;
    }
    return yes;
}

int section_whole(const section *s, char *err)
{
    if (!s->command == !s->url)
        return q_fail(err, Q_NOTFOUND, s->url ? _("[mcp.%s] in config.ini names a command and a url: leave one out")
            : _("[mcp.%s] in config.ini names neither a program (command = …) nor an address (url = https://…): write one"), s->name);
    if (s->url && strncasecmp(s->url, "https://", 8) != 0 && !net_loopback(s->url) && shows_key(s))
        return q_fail(err, Q_RANGE, _("the key of [mcp.%s] would go over a line that anybody can read: write https:// into url, or reach it through a tunnel (ssh -L PORT:HOST:PORT) "
                                      "and write http://127.0.0.1:PORT"), s->name);
    return Q_OK;
}

/* ---- what is shown of it ---- */
static void put_quoted(q_buf *b, const char *word)
{
    bool plain = *word && !word[strcspn(word, " \t\"'\\")];
    if (b->len)
        q_buf_putc(b, ' ');
    if (!plain)
        q_buf_putc(b, '"');
    for (const char *p = word; *p; p++) {
        if (!plain && (*p == '"' || *p == '\\'))
            q_buf_putc(b, '\\');
        q_buf_putc(b, *p);
    }
    if (!plain)
        q_buf_putc(b, '"');
}

char *section_where(const section *s)
{
    q_buf b = { 0 };
    if (s->command)
        put_quoted(&b, s->command);
    for (int i = 0; i < s->args.n && s->command; i++)
        put_quoted(&b, s->args.v[i]);
    if (s->url)
        q_buf_puts(&b, s->url);
    if (s->cwd)
        q_buf_printf(&b, "\ncwd: %s", s->cwd);
    for (int i = 0; i < s->env.n; i++)
        q_buf_printf(&b, "\nenv: %s", s->env.v[i]);
    for (int i = 0; i < s->header.n; i++)
        q_buf_printf(&b, "\nheader: %s", s->header.v[i]);
    if (s->key_env || s->key_file)
        q_buf_printf(&b, "\nkey: %s", s->key_env ? s->key_env : s->key_file);
    q_buf_puts(&b, "");
    return q_buf_take(&b);
}

/* ---- what is sent and given ---- */
static const char *of_environment(const char *name) { return strcmp(name, "LANGUAGE") == 0 ? q_words_language_was() : getenv(name); }

int section_environment(const section *s, words *out, char *err)
{
    static const char *const given[] = { "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
                                         "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME" };
    *out = (words){ 0 };
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        const char *v = of_environment(given[i]);
        bool own = !v;
        for (int k = 0; k < s->env.n && !own; k++)                  /* the section's own value is the only one then */
            own = strncmp(s->env.v[k], given[i], strlen(given[i])) == 0 && s->env.v[k][strlen(given[i])] == '=';
        if (!own)
            words_add(out, q_printf("%s=%s", given[i], v));
    }
    words_add(out, q_strdup("TERM=dumb"));
    for (int i = 0; i < s->env.n; i++) {
        const char *name = s->env.v[i], *v = strchr(name, '=') ? "" : of_environment(name);
        if (!v) {
            words_wipe(out);
            return q_fail(err, Q_NOTFOUND, _("%s is to be given %s, and the environment has no such variable: export it and start again, or take it out of env"), s->name, name);
        }
        words_add(out, strchr(name, '=') ? q_strdup(name) : q_printf("%s=%s", name, v));
    }
    return Q_OK;
}

/* The first line, without blanks around it. */
static int variable(const section *s, const char *name, char **out, char *err)
{
    const char *v = getenv(name);
    if (!v || !*v)
        return q_fail(err, Q_NOTFOUND, _("%s is to be shown the key in %s, and the environment has no such variable: export it and start again"), s->name, name);
    *out = q_key_text(v);
    return Q_OK;
}

int section_headers(const section *s, words *out, char **key, char *err)
{
    int rc = Q_OK;
    *out = (words){ 0 };
    *key = NULL;
    for (int i = 0; i < s->header.n && rc == Q_OK; i++) {
        const char *line = s->header.v[i], *v = strchr(line, ':') + 1;
        v += strspn(v, " \t");
        char *value = NULL;
        if (*v == '$')
            rc = variable(s, v + 1, &value, err);
        if (rc == Q_OK)
            words_add(out, q_printf("%.*s: %s", (int)(strchr(line, ':') - line), line, value ? value : v));
        if (value)
            explicit_bzero(value, strlen(value));
        free(value);
    }
    if (rc == Q_OK && s->key_env)
        rc = variable(s, s->key_env, key, err);
    else if (rc == Q_OK && s->key_file)
        rc = q_key_file(s->key_file, key, err);
    if (rc < 0)
        words_wipe(out);
    return rc;
}
