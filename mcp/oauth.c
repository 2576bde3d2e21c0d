/* mcp/oauth: a token for a server that asks for one: kept, renewed, or got by a sign-in. See oauth.h. */
#include "mcp/oauth_ask.h"
#include "mcp/oauth_back.h"
#include "mcp/oauth_store.h"
#include "base/child.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { EARLY_MS = 30000, LOOK_MS = 100, WAIT_S = 300, URLS_MOST = 64 };

typedef struct client { char *server, *id, *secret_env, *issuer, *scope; } client;
typedef struct given { char *url, hash[65]; bool fresh; } given;         /* the token that was last given for it; fresh: by a sign-in, and not asked for since */

struct mcp_oauth {
    mcp_oauth_opts o;
    char *path, *ca_file;
    atomic_bool over;
    pthread_mutex_t person;              /* who asks one has it: one sign-in at a time */
    pthread_mutex_t mu;                  /* what follows; never held while anything is waited for */
    client *client; int n_client;
    given *given; int n_given;
};

/* ---- the struct ---- */
static void client_free(client *c)       /* contents */
{
    free(c->server);
    free(c->id);
    free(c->secret_env);
    free(c->issuer);
    free(c->scope);
    *c = (client){ .server = NULL };
}

mcp_oauth *mcp_oauth_new(const mcp_oauth_opts *o)
{
    mcp_oauth *a = q_alloc(sizeof *a);
    a->o = *o;
    a->path = o->path ? q_strdup(o->path) : q_user_path(Q_DIR_DATA, "mcp-tokens.json");
    a->ca_file = o->ca_file ? q_strdup(o->ca_file) : NULL;
    a->o.path = a->path;
    a->o.ca_file = a->ca_file;
    pthread_mutex_init(&a->person, NULL);
    pthread_mutex_init(&a->mu, NULL);
    return a;
}

void mcp_oauth_free(mcp_oauth *a)
{
    if (!a)
        return;
    for (int i = 0; i < a->n_client; i++)
        client_free(&a->client[i]);
    for (int i = 0; i < a->n_given; i++)
        free(a->given[i].url);
    free(a->client);
    free(a->given);
    free(a->path);
    free(a->ca_file);
    pthread_mutex_destroy(&a->person);
    pthread_mutex_destroy(&a->mu);
    free(a);
}

void mcp_oauth_person(mcp_oauth *a, const mcp_oauth_opts *o)
{
    a->o = *o;
    a->o.path = a->path;
    a->o.ca_file = a->ca_file;
}

void mcp_oauth_stop(mcp_oauth *a) { atomic_store(&a->over, true); }

static client *client_of(const mcp_oauth *a, const char *server)         /* under mu */
{
    for (int i = 0; i < a->n_client; i++)
        if (strcmp(a->client[i].server, server) == 0)
            return &a->client[i];
    return NULL;
}

static char *copy(const char *s) { return s ? q_strdup(s) : NULL; }

/* As it stands now, for who reads it without the lock; zeroed where the file says nothing. */
static client client_copy(mcp_oauth *a, const char *server)
{
    pthread_mutex_lock(&a->mu);
    const client *c = client_of(a, server);
    client out = c ? (client){ copy(c->server), copy(c->id), copy(c->secret_env), copy(c->issuer), copy(c->scope) } : (client){ .server = NULL };
    pthread_mutex_unlock(&a->mu);
    return out;
}

int mcp_oauth_put(mcp_oauth *a, const char *server, const char *key, const char *value, char *err)
{
    static const struct { const char *key; size_t at; } keys[] = { { "client_id", offsetof(client, id) }, { "client_secret_env", offsetof(client, secret_env) },
                                                              { "issuer", offsetof(client, issuer) }, { "scope", offsetof(client, scope) } };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].key, key) != 0)
            continue;
        for (const char *p = value; *p; p++)
            if (*p < ' ' || *p > '~')
                return q_fail(err, Q_FORMAT, _("%s is made of letters of ASCII: copy it as its server shows it"), key);
        if (keys[i].at == offsetof(client, issuer) && *value && !oauth_safe(value, OAUTH_LOOPBACK))
            return q_fail(err, Q_FORMAT, _("issuer is the https:// address of where one signs in, not \"%.100s\""), value);
        pthread_mutex_lock(&a->mu);
        client *c = client_of(a, server);
        if (!c) {
            a->client = q_realloc(a->client, sizeof *a->client * (size_t)(a->n_client + 1));
            c = &a->client[a->n_client++];
            *c = (client){ .server = q_strdup(server) };
        }
        char **to = (char **)(uintptr_t)((char *)c + keys[i].at);
        free(*to);
        *to = *value ? q_strdup(value) : NULL;
        pthread_mutex_unlock(&a->mu);
        return Q_OK;
    }
    return q_fail(err, Q_NOTFOUND, _("a sign-in has no %s: there are client_id, client_secret_env, issuer and scope"), key);
}

static given *given_for(mcp_oauth *a, const char *url)       /* under mu */
{
    for (int i = 0; i < a->n_given; i++)
        if (strcmp(a->given[i].url, url) == 0)
            return &a->given[i];
    if (a->n_given == URLS_MOST) {
        free(a->given[0].url);
        memmove(a->given, a->given + 1, sizeof *a->given * (size_t)--a->n_given);
    }
    a->given = q_realloc(a->given, sizeof *a->given * (size_t)(a->n_given + 1));
    a->given[a->n_given] = (given){ .url = q_strdup(url) };
    return &a->given[a->n_given++];
}

static char *give(mcp_oauth *a, const char *url, const char *access, bool fresh)
{
    pthread_mutex_lock(&a->mu);
    given *g = given_for(a, url);
    q_sha256(access, strlen(access), g->hash);
    g->fresh = fresh;
    pthread_mutex_unlock(&a->mu);
    return q_strdup(access);
}

static bool was_given(mcp_oauth *a, const char *url, const char *access)
{
    char hash[65];
    q_sha256(access, strlen(access), hash);
    pthread_mutex_lock(&a->mu);
    bool same = strcmp(given_for(a, url)->hash, hash) == 0;
    pthread_mutex_unlock(&a->mu);
    return same;
}

static bool is_fresh(mcp_oauth *a, const char *url)
{
    pthread_mutex_lock(&a->mu);
    bool fresh = given_for(a, url)->fresh;
    pthread_mutex_unlock(&a->mu);
    return fresh;
}

/* ---- one request for a token ---- */
typedef struct asking {
    mcp_oauth *a;
    const mcp_challenge *c;
    char *url;                           /* canonical */
    client self;                         /* as the section has it */
    oauth_line line;
    oauth_entry kept;
    char *pasted;                        /* what the person put in before it was waited for */
    bool quiet;                          /* nobody is asked anything */
} asking;

static bool go(void *user)
{
    asking *k = user;
    char *pasted = NULL;
    bool on = !atomic_load(&k->a->over) && (!k->c->go || k->c->go(k->c->user)) && (k->quiet || !k->a->o.wait || k->a->o.wait(k->a->o.user, &pasted));
    if (pasted) {
        oauth_wipe(k->pasted);
        k->pasted = pasted;
    }
    return on;
}

static bool wait_back(void *user, char **pasted)
{
    asking *k = user;
    bool on = go(k);
    *pasted = k->pasted;
    k->pasted = NULL;
    return on;
}

static bool expired(const oauth_entry *e) { return e->expires && e->expires - EARLY_MS <= q_wall_ms(); }

/* Who we are, into a form or a header (malloc'ed, or NULL). */
static char *as_client(const char *id, const char *secret, const char *method, q_buf *form)
{
    oauth_pair(form, "client_id", id);   /* beside the header too: not every server looks for it there */
    if (secret && method && strcmp(method, "client_secret_basic") == 0) {
        q_buf b = { 0 };
        oauth_encode(&b, id);
        q_buf_putc(&b, ':');
        oauth_encode(&b, secret);
        char *code = oauth_base64(b.p, b.len, false), *line = q_printf("Authorization: Basic %s", code);
        oauth_wipe(q_buf_take(&b));
        oauth_wipe(code);
        return line;
    }
    oauth_pair(form, "client_secret", secret);
    return NULL;
}

/* What a server says went wrong: its word, or its status. */
static const char *error_word(const cJSON *o, char out[48], int status)
{
    const char *s = oauth_text(o, "error");
    size_t n = s ? strspn(s, "abcdefghijklmnopqrstuvwxyz_") : 0;
    if (n && n < 40 && !s[n])
        snprintf(out, 48, "%s", s);
    else
        snprintf(out, 48, "%d", status);
    return out;
}

/* A token out of an answer, into the entry. */
static int read_token(const cJSON *o, int status, const char *issuer, oauth_entry *e, char *err)
{
    char word[48];
    const char *access = oauth_text(o, "access_token"), *kind = oauth_text(o, "token_type"), *refresh = oauth_text(o, "refresh_token"), *scope = oauth_text(o, "scope");
    double lasts = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "expires_in"));
    if (status != 200 || !access)
        return q_fail(err, Q_RANGE, _("%.200s gives no token (%s): sign in anew, or ask who runs it"), issuer, error_word(o, word, status));
    if (strchr(access, ' ') || !kind || strcasecmp(kind, "bearer") != 0)
        return q_fail(err, Q_FORMAT, _("%.200s gives a token of a kind that is not known here: ask who runs it"), issuer);
    oauth_wipe(e->access);
    e->access = q_strdup(access);
    if (refresh) {
        oauth_wipe(e->refresh);
        e->refresh = q_strdup(refresh);
    }
    if (scope) {
        free(e->scope);
        e->scope = oauth_scopes(scope, NULL);
    }
    e->expires = lasts > 0 && lasts < 3.2e9 ? q_wall_ms() + (int64_t)(lasts * 1000) : 0;
    return Q_OK;
}

static int ask_token(asking *k, q_buf *form, const char *issuer, const char *url, const char *method, oauth_entry *e, int *status, char *err)
{
    cJSON *o = NULL;
    char *header = as_client(e->client ? e->client : "", e->secret, method, form);
    int rc = oauth_ask(&k->line, url, "application/x-www-form-urlencoded", form->p, header, status, &o, err);
    if (rc == Q_OK)
        rc = read_token(o, *status, issuer, e, err);
    cJSON *const secrets[] = { cJSON_GetObjectItemCaseSensitive(o, "access_token"), cJSON_GetObjectItemCaseSensitive(o, "refresh_token") };
    for (size_t i = 0; i < 2; i++)
        if (cJSON_IsString(secrets[i]))
            explicit_bzero(secrets[i]->valuestring, strlen(secrets[i]->valuestring));
    cJSON_Delete(o);
    oauth_wipe(header);
    explicit_bzero(form->p, form->len);
    q_buf_free(form);
    return rc;
}

/* ---- renewing: under the lock of the file ---- */
/* A secret of config.ini goes to the issuer that stands beside it alone. */
static int secret_for(const asking *k, const char *issuer, char *err)
{
    const client *c = &k->self;
    if (!c->id || !c->secret_env)
        return Q_OK;
    if (!c->issuer)
        return q_fail(err, Q_NOTFOUND, _("the secret of [mcp.%s] goes only to whom you name: if it is for %.200s, write issuer = %.200s below client_secret_env"), k->c->server, issuer, issuer);
    char *a = oauth_canonical(c->issuer), *b = oauth_canonical(issuer);
    bool same = strcmp(a, b) == 0;
    free(a);
    free(b);
    return same ? Q_OK : q_fail(err, Q_NOTFOUND, _("the sign-in at %.200s is over: sign in anew"), k->url);
}

/* Q_NOTFOUND: it cannot be renewed, and is gone; the person has to sign in. */
static int renew(asking *k, char *err)
{
    q_buf form = { 0 };
    int status = 0;
    bool had;
    oauth_entry *e = &k->kept;
    int rc = secret_for(k, e->issuer ? e->issuer : "", err);
    if (rc < 0)
        return rc;
    oauth_pair(&form, "grant_type", "refresh_token");
    oauth_pair(&form, "refresh_token", e->refresh);
    oauth_pair(&form, "resource", e->resource);
    rc = ask_token(k, &form, e->issuer ? e->issuer : "", e->token_url ? e->token_url : "", e->method, e, &status, err);
    if (rc == Q_OK)
        return oauth_entry_put(k->a->path, e, err);
    if (status < 400 || status >= 500 || status == 429)
        return rc;                       /* nobody said that it is over */
    rc = oauth_entry_drop(k->a->path, k->url, &had, err);
    oauth_entry_free(e);
    return rc < 0 ? rc : q_fail(err, Q_NOTFOUND, _("the sign-in at %.200s is over: sign in anew"), k->url);
}

/* What is kept and holds, renewed where its time is over. used: the server refused what was given last. Q_NOTFOUND: there is nothing. */
static int kept(asking *k, bool used, char **token, char *err)
{
    int fd = -1, rc = oauth_entry_get(k->a->path, k->url, &k->kept, err);
    oauth_entry *e = &k->kept;
    bool good = rc == Q_OK && e->access && !expired(e) && !(used && was_given(k->a, k->url, e->access));
    if (rc == Q_OK && !good) {           /* another process may be renewing it just now */
        oauth_entry_free(e);
        rc = oauth_lock(k->a->path, go, k, &fd, err);
        if (rc == Q_OK)
            rc = oauth_entry_get(k->a->path, k->url, e, err);
        good = rc == Q_OK && e->access && !expired(e) && !(used && was_given(k->a, k->url, e->access));
        if (rc == Q_OK && !good)
            rc = e->refresh ? renew(k, err) : q_fail(err, Q_NOTFOUND, _("the sign-in at %.200s is over: sign in anew"), k->url);
    }
    if (rc == Q_OK)
        *token = give(k->a, k->url, e->access, false);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- signing in ---- */
static int random_word(char **out, char *err)
{
    unsigned char b[32];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return q_fail(err, Q_ERR, _("the system gives no random numbers, and nobody signs in without them: %s"), strerror(errno));
    *out = oauth_base64(b, sizeof b, true);
    explicit_bzero(b, sizeof b);
    return Q_OK;
}

/* RFC 7636, 4.2. malloc'ed */
static char *challenge_of(const char *verifier)
{
    char hex[65];
    unsigned char b[32];
    unsigned x;
    q_sha256(verifier, strlen(verifier), hex);
    for (int i = 0; i < 32 && sscanf(hex + 2 * i, "%2x", &x) == 1; i++)
        b[i] = (unsigned char)x;
    return oauth_base64(b, sizeof b, true);
}

/* RFC 7591: the server is told who we are, and says how we are called there. */
static int registers(asking *k, const oauth_meta *m, const char *back, const char *scope, oauth_entry *e, char *err)
{
    char word[48];
    int status;
    cJSON *o = NULL, *q = cJSON_CreateObject(), *list;
    if (!m->registers) {
        cJSON_Delete(q);
        return q_fail(err, Q_NOTFOUND, _("%.200s lets in only programs that it knows: register quorum there and write client_id = … into [mcp.%s]"), m->issuer, k->c->server);
    }
    const char *method = m->none ? "none" : m->basic ? "client_secret_basic" : m->post ? "client_secret_post" : "none";
    cJSON_AddStringToObject(q, "client_name", "quorum");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(q, "redirect_uris"), cJSON_CreateString(back));
    list = cJSON_AddArrayToObject(q, "grant_types");
    cJSON_AddItemToArray(list, cJSON_CreateString("authorization_code"));
    cJSON_AddItemToArray(list, cJSON_CreateString("refresh_token"));
    cJSON_AddItemToArray(cJSON_AddArrayToObject(q, "response_types"), cJSON_CreateString("code"));
    cJSON_AddStringToObject(q, "token_endpoint_auth_method", method);
    if (*scope)
        cJSON_AddStringToObject(q, "scope", scope);
    char *body = cJSON_PrintUnformatted(q);
    int rc = oauth_ask(&k->line, m->registers, NULL, body, NULL, &status, &o, err);
    const char *id = oauth_text(o, "client_id"), *secret = oauth_text(o, "client_secret"), *how = oauth_text(o, "token_endpoint_auth_method");
    if (rc == Q_OK && ((status != 200 && status != 201) || !id))
        rc = q_fail(err, Q_RANGE, _("%.200s does not take this program in (%s): register it there and write client_id = … into [mcp.%s]"), m->issuer, error_word(o, word, status), k->c->server);
    if (rc == Q_OK) {
        e->client = q_strdup(id);
        e->secret = secret ? q_strdup(secret) : NULL;
        e->method = q_strdup(how ? how : method);
    }
    cJSON_free(body);
    cJSON_Delete(q);
    cJSON_Delete(o);
    return rc;
}

/* Who we are there: by the section, else by registering. */
static int who(asking *k, const oauth_meta *m, const char *back, const char *scope, oauth_entry *e, char *err)
{
    const client *c = &k->self;
    if (!c->id)
        return registers(k, m, back, scope, e, err);
    int rc = secret_for(k, m->issuer, err);
    if (rc < 0)
        return rc;
    const char *secret = c->secret_env ? getenv(c->secret_env) : NULL;
    if (c->secret_env && (!secret || !*secret))
        return q_fail(err, Q_NOTFOUND, _("the secret for [mcp.%s] is to be in %s, and the environment has no such variable: export it and start again"), k->c->server, c->secret_env);
    e->client = q_strdup(c->id);
    e->secret = secret ? q_strdup(secret) : NULL;
    e->method = q_strdup(!secret ? "none" : m->basic ? "client_secret_basic" : "client_secret_post");
    return Q_OK;
}

static void *reap(void *pid)
{
    q_child_end((pid_t)(intptr_t)pid, false);
    return NULL;
}

static void in_its_language(const void *none)
{
    (void)none;
    q_words_language_back();
}

/* xdg-open, where somebody can see what it opens. */
static bool open_browser(const char *link)
{
    extern char **environ;
    char *program = getenv("DISPLAY") || getenv("WAYLAND_DISPLAY") ? q_find_program("xdg-open") : NULL;
    char *copy = q_strdup(link), *const argv[] = { program, copy, NULL };
    pthread_t t;
    pid_t pid = program ? q_child_start(&(q_child){ .program = program, .argv = argv, .env = environ, .fd = { -1, -1, -1, -1 }, .session = true, .cannot = 127, .last = in_its_language }) : -1;
    if (pid > 0 && pthread_create(&t, NULL, reap, (void *)(intptr_t)pid) == 0)
        pthread_detach(t);
    free(program);
    free(copy);
    return pid > 0;
}

static int ask_person(const asking *k, const oauth_meta *m, const char *scope, const char *link, int port, char *err)
{
    const mcp_oauth_opts *o = &k->a->o;
    if (!o->ask)
        return q_fail(err, Q_NOTFOUND, _("%s asks for a sign-in and nobody is there to do it: start quorum in a terminal and ask for one of its tools there"), k->c->server);
    enum mcp_sign_answer said = o->ask(o->user, &(mcp_sign_in){ k->c->server, k->c->url, m->issuer, scope, link, port });
    if (said == MCP_SIGN_NO)
        return q_fail(err, Q_CANCEL, _("the sign-in at %s was not wanted: it is asked for again when the server is used"), k->c->server);
    if (said == MCP_SIGN_BROWSER)
        (o->open ? o->open(o->user, link) : open_browser(link));
    return Q_OK;
}

/* The code out of what the browser brought, if it is the answer to our question. */
static int read_back(const char *query, const oauth_meta *m, const char *state, char **code, char *err)
{
    char *back = oauth_back_value(query, "state"), *issuer = oauth_back_value(query, "iss"), *wrong = oauth_back_value(query, "error");
    int rc = Q_OK;
    if (!back || strcmp(back, state) != 0)
        rc = q_fail(err, Q_RANGE, _("what the browser brought is no answer to this sign-in (its state is another): nothing was done with it, begin again"));
    else if (issuer ? strcmp(issuer, m->issuer) != 0 : m->tells_issuer)
        rc = q_fail(err, Q_RANGE, _("another one than %.200s answered the sign-in: nothing was done with it, ask who runs it"), m->issuer);
    else if (wrong) {
        size_t n = strspn(wrong, "abcdefghijklmnopqrstuvwxyz_");
        rc = strcmp(wrong, "access_denied") == 0 ? q_fail(err, Q_CANCEL, _("the sign-in was refused in the browser"))
             : q_fail(err, Q_RANGE, _("%.200s refused the sign-in (%.*s): ask who runs it"), m->issuer, n && n < 40 ? (int)n : 5, n && n < 40 ? wrong : "error");
    } else if (!(*code = oauth_back_value(query, "code")) || !**code)
        rc = q_fail(err, Q_FORMAT, _("%.200s sent the browser back without a code: ask who runs it"), m->issuer);
    free(back);
    free(issuer);
    free(wrong);
    return rc;
}

typedef struct signing { oauth_meta m; oauth_back back; char *uri, *state, *verifier, *scope, *code, *query; } signing;

static char *link_of(const signing *s, const oauth_entry *e)
{
    q_buf b = { 0 };
    char *challenge = challenge_of(s->verifier);
    q_buf_printf(&b, "%s%s", s->m.authorise, strchr(s->m.authorise, '?') ? "&" : "?");
    oauth_pair(&b, "response_type", "code");
    oauth_pair(&b, "client_id", e->client);
    oauth_pair(&b, "redirect_uri", s->uri);
    oauth_pair(&b, "state", s->state);
    oauth_pair(&b, "code_challenge", challenge);
    oauth_pair(&b, "code_challenge_method", "S256");
    oauth_pair(&b, "resource", s->m.resource);
    oauth_pair(&b, "scope", s->scope);
    free(challenge);
    return q_buf_take(&b);
}

static int change_code(asking *k, signing *s, oauth_entry *e, char *err)
{
    q_buf form = { 0 };
    int status;
    oauth_pair(&form, "grant_type", "authorization_code");
    oauth_pair(&form, "code", s->code);
    oauth_pair(&form, "redirect_uri", s->uri);
    oauth_pair(&form, "code_verifier", s->verifier);
    oauth_pair(&form, "resource", s->m.resource);
    return ask_token(k, &form, s->m.issuer, s->m.token, e->method, e, &status, err);
}

/* From the question to a token that is kept. scope: beyond what the server says it knows; NULL: that. */
static int sign_in(asking *k, const char *wider, char **token, char *err)
{
    signing s = { .back = { .fd = -1 } };
    oauth_entry e = { .url = q_strdup(k->url) };
    char *link = NULL, *said = oauth_param(k->c->words, "scope");
    int fd = -1, rc = oauth_discover(&k->line, k->c->url, k->c->words, k->self.issuer, &s.m, err);
    if (rc == Q_OK)
        rc = oauth_back_open(&s.back, err);
    if (rc == Q_OK) {
        s.scope = wider ? q_strdup(wider) : oauth_scopes(k->self.scope ? k->self.scope : said ? said : s.m.scope, NULL);
        s.uri = q_printf("http://127.0.0.1:%d" OAUTH_BACK, s.back.port);
        rc = random_word(&s.state, err);
    }
    if (rc == Q_OK && (rc = random_word(&s.verifier, err)) == Q_OK && (rc = who(k, &s.m, s.uri, s.scope, &e, err)) == Q_OK) {
        link = link_of(&s, &e);
        rc = ask_person(k, &s.m, s.scope, link, s.back.port, err);
    }
    if (rc == Q_OK && (rc = oauth_back_wait(&s.back, k->a->o.wait_s ? k->a->o.wait_s : WAIT_S, s.state, wait_back, k, &s.query, err)) == Q_OK)
        rc = read_back(s.query, &s.m, s.state, &s.code, err);
    if (rc == Q_OK) {
        e.resource = q_strdup(s.m.resource);
        e.issuer = q_strdup(s.m.issuer);
        e.token_url = q_strdup(s.m.token);
        e.scope = q_strdup(s.scope);
        rc = change_code(k, &s, &e, err);
    }
    if (rc == Q_OK && (rc = oauth_lock(k->a->path, go, k, &fd, err)) == Q_OK)
        rc = oauth_entry_put(k->a->path, &e, err);
    if (fd >= 0)
        close(fd);
    if (rc == Q_OK)
        *token = give(k->a, k->url, e.access, true);
    char *secret[] = { s.state, s.verifier, s.code, s.query, link };
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
        oauth_wipe(secret[i]);
    free(s.uri);
    free(s.scope);
    free(said);
    if (s.back.fd >= 0)
        oauth_back_close(&s.back);
    oauth_meta_free(&s.m);
    oauth_entry_free(&e);
    return rc;
}

/* ---- what a server answered ---- */
/* 403: it wants more than the token may (RFC 6750, 3.1). */
static int wider(asking *k, char **token, char *err)
{
    char *word = oauth_param(k->c->words, "error"), *wants = oauth_param(k->c->words, "scope"), *had = NULL, *all = NULL, none[Q_ERRLEN];
    int rc = oauth_entry_get(k->a->path, k->url, &k->kept, none);
    if (rc != Q_OK && rc != Q_NOTFOUND)
        memcpy(err, none, sizeof none);
    else {
        had = oauth_scopes(k->kept.scope, NULL);
        all = oauth_scopes(had, wants);
        if (!word || strcmp(word, "insufficient_scope") != 0 || !wants || strcmp(had, all) == 0)
            rc = q_fail(err, Q_RANGE, _("%s refuses this (403) and says of no right that would be missing: ask who runs it"), k->c->server);
        else
            rc = sign_in(k, all, token, err);
    }
    free(word);
    free(wants);
    free(had);
    free(all);
    return rc;
}

/* 401: it wants to know who asks. */
static int anew(asking *k, char **token, char *err)
{
    if (k->c->had && is_fresh(k->a, k->url))
        return q_fail(err, Q_RANGE, _("%s refuses the token that its own sign-in just gave: ask who runs it"), k->c->server);
    char none[Q_ERRLEN] = "";
    int rc = kept(k, k->c->had, token, none);
    if (rc == Q_NOTFOUND)
        return sign_in(k, NULL, token, err);
    if (rc < 0)
        memcpy(err, none, sizeof none);
    return rc;
}

/* What is kept; a token of a sign-in that nobody has used yet is not the one that was refused. */
static int quietly(asking *k, char **token, char *err)
{
    bool fresh = is_fresh(k->a, k->url);
    if (k->c->status == 403 && !fresh)
        return q_fail(err, Q_NOTFOUND, _("%s wants more rights than its sign-in gave: they are asked for with the next question"), k->c->server);
    int rc = kept(k, k->c->had && !fresh, token, err);
    return rc == Q_NOTFOUND ? q_fail(err, rc, _("%s asks for a sign-in: it is asked about with the next question"), k->c->server) : rc;
}

static int for_token(mcp_oauth *a, const mcp_challenge *c, bool quiet, char **token, char *err)
{
    asking k = { .a = a, .c = c, .quiet = quiet };
    *token = NULL;
    if (!a->path)
        return q_no_home(err);
    while (!quiet && pthread_mutex_trylock(&a->person) != 0) {       /* another sign-in: a person may take minutes */
        if (!go(&k)) {
            oauth_wipe(k.pasted);
            return q_fail(err, Q_CANCEL, _("stopped"));
        }
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000L }, NULL);
    }
    k.url = oauth_canonical(c->url);
    k.self = client_copy(a, c->server);
    k.line = (oauth_line){ .net = net_new(), .ca_file = c->ca ? c->ca : a->ca_file, .reach = oauth_reach_of(c->url, c->near || c->status == 0), .go = go, .user = &k };
    int rc = c->status == 0 ? kept(&k, false, token, err) : !oauth_safe(c->url, k.line.reach)
             ? q_fail(err, Q_RANGE, _("%s asks for a sign-in over a line that anybody can read: write https:// into url"), c->server)
             : quiet ? quietly(&k, token, err) : c->status == 403 ? wider(&k, token, err) : anew(&k, token, err);
    net_free(k.line.net);
    oauth_entry_free(&k.kept);
    oauth_wipe(k.pasted);
    free(k.url);
    client_free(&k.self);
    if (!quiet)
        pthread_mutex_unlock(&a->person);
    return rc;
}

int mcp_oauth_token(void *oauth, const mcp_challenge *c, char **token, char *err) { return for_token(oauth, c, false, token, err); }
int mcp_oauth_kept(void *oauth, const mcp_challenge *c, char **token, char *err) { return for_token(oauth, c, true, token, err); }

int mcp_oauth_forget(mcp_oauth *a, const char *url, bool *had, char *err)
{
    int fd = -1;
    *had = false;
    if (!a->path)
        return q_no_home(err);
    char *key = oauth_canonical(url);
    int rc = oauth_lock(a->path, NULL, NULL, &fd, err);
    if (rc == Q_OK)
        rc = oauth_entry_drop(a->path, key, had, err);
    if (fd >= 0)
        close(fd);
    free(key);
    return rc;
}
