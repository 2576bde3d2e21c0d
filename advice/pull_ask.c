/* advice/pull_ask: see pull_ask.h. Headers: RFC 9110, 13.1.5 (If-Range), 14.4 (Content-Range); RFC 8288 (Link). */
#include "advice/pull_ask.h"
#include "advice/pull_name.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HOPS = 10 };

/* ---- the token ---- */
int pull_hub_open(pull_hub *h, char *url, bool hugging_face, const char *token_file, char *err)
{
    static const char *const vars[] = { "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN" };
    *h = (pull_hub){ .url = url };
    if (token_file)
        return q_key_file(token_file, &h->token, err);
    for (size_t i = 0; hugging_face && i < sizeof vars / sizeof *vars && !h->token; i++) {
        const char *v = getenv(vars[i]);
        h->token = v ? q_key_text(v) : NULL;
        if (h->token && !*h->token) {
            free(h->token);
            h->token = NULL;
        }
    }
    if (!hugging_face || h->token)
        return Q_OK;
    const char *path = getenv("HF_TOKEN_PATH"), *home = getenv("HF_HOME");
    char *own = path && *path ? q_strdup(path) : home && *home ? q_printf("%s/token", home) : q_home_path("~/.cache/huggingface/token"), why[Q_ERRLEN] = "";
    q_buf there = { 0 };
    if (q_read_file(own, &there, 65536, why) == Q_OK && q_key_file(own, &h->token, why) < 0)
        memcpy(h->no_token, why, sizeof why);
    if (there.p)
        explicit_bzero(there.p, there.len);
    q_buf_free(&there);
    free(own);
    return Q_OK;
}

void pull_hub_close(pull_hub *h)
{
    if (h->token)
        explicit_bzero(h->token, strlen(h->token));
    free(h->token);
    free(h->url);
    *h = (pull_hub){ .url = NULL };
}

static bool same_host(const char *a, const char *b)
{
    char *x = net_host(a), *y = net_host(b);
    bool same = strcasecmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

bool pull_hub_told(const pull_hub *h, const char *url)
{
    return h->token && same_host(h->url, url) && (strncasecmp(url, "https://", 8) == 0 || net_loopback(url));
}

/* ---- what an answer says of itself ---- */
static void keep(char *out, size_t size, const char *value)
{
    size_t n = strlen(value);
    if (n < size)
        memcpy(out, value, n + 1);
}

static bool digits(const char **s, uint64_t *out)
{
    char *end;
    if (**s < '0' || **s > '9')
        return false;
    *out = strtoull(*s, &end, 10);
    *s = end;
    return *out < UINT64_C(1) << 62;
}

/* "bytes 0-0/1000", "bytes 0-0/" and a star, "bytes " and a star "/1000" of 416. */
static void content_range(pull_answer *a, const char *v)
{
    a->ranged = true;
    a->total = UINT64_MAX;
    if (strncasecmp(v, "bytes", 5) != 0)
        return;
    v += 5;
    v += strspn(v, " ");
    bool star = *v == '*';
    if (star)
        v++, a->from = 1, a->to = 0;
    else if (!digits(&v, &a->from) || *v++ != '-' || !digits(&v, &a->to) || a->to < a->from)
        return;
    if (*v++ != '/')
        return;
    a->ranges = (*v == '*' && !star) || (digits(&v, &a->total) && !*v);
}

/* The address of rel="next". */
static void link_next(pull_answer *a, const char *v)
{
    for (const char *open = v, *close; !a->more && (open = strchr(open, '<')) && (close = strchr(open, '>')); open = close) {
        size_t n = strcspn(close, ",");
        char *about = q_strndup(close, n);
        if (strcasestr(about, "rel=\"next\"") || strcasestr(about, "rel=next"))
            a->more = q_strndup(open + 1, (size_t)(close - open - 1));
        free(about);
    }
}

typedef struct hop { pull_answer *a; const pull_question *q; } hop;

static void on_head(void *user, const net_reply *so_far, const char *name, const char *value)
{
    pull_answer *a = ((hop *)user)->a;
    if (strcmp(name, "location") == 0)
        keep(a->location, sizeof a->location, value);
    else if (strcmp(name, "x-linked-etag") == 0 && !*a->linked)
        keep(a->linked, sizeof a->linked, value);
    else if (strcmp(name, "x-error-code") == 0 && !*a->error)
        keep(a->error, sizeof a->error, value);
    else if (strcmp(name, "etag") == 0 && *value == '"')
        keep(a->validator, sizeof a->validator, value);
    else if (strcmp(name, "last-modified") == 0 && !*a->validator)
        keep(a->validator, sizeof a->validator, value);
    else if (strcmp(name, "content-range") == 0)
        content_range(a, value);
    else if (strcmp(name, "link") == 0)
        link_next(a, value);
}

static bool on_data(void *user, const net_reply *so_far, const char *p, size_t n)
{
    hop *h = user;
    if (so_far->status != 200 && so_far->status != 206)
        return true;
    h->a->status = so_far->status;
    h->a->length = so_far->length;
    return h->q->data(h->q->user, so_far, p, n);
}

static bool on_go(void *user)
{
    const pull_question *q = ((hop *)user)->q;
    return !q->go || q->go(q->user);
}

static bool elsewhere(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

/* One host. */
static int ask_one(net *n, const pull_hub *h, const pull_question *q, const char *url, pull_answer *a, char *err)
{
    char *range = q->from <= q->to ? q_printf("Range: bytes=%llu-%llu", (unsigned long long)q->from, (unsigned long long)q->to) : NULL;
    char *when = range && q->validator ? q_printf("If-Range: %s", q->validator) : NULL;
    const char *header[3];
    int count = 0;
    if (range)
        header[count++] = range;
    if (when)
        header[count++] = when;
    header[count++] = "Accept-Encoding: identity";
    hop user = { a, q };
    net_reply r;
    net_request ask = { .url = url, .header = header, .n_header = count, .key = pull_hub_told(h, url) ? h->token : NULL,
        .limit = { .stall_s = q->stall_s, .body = q->most + (1 << 20) }, .data = on_data, .head = on_head, .go = on_go, .user = &user };
    *a->validator = *a->location = 0;
    a->ranged = a->ranges = false;
    int rc = net_run(n, &ask, &r, err);
    a->status = r.status;
    a->retry_after = r.retry_after;
    a->length = r.length;
    free(range);
    free(when);
    return rc;
}

int pull_ask(net *n, const pull_hub *h, const pull_question *q, pull_answer *a, char *err)
{
    int rc = Q_OK;
    *a = (pull_answer){ .retry_after = -1, .length = -1, .at = q_strdup(q->url) };
    for (int left = HOPS;; left--) {
        rc = ask_one(n, h, q, a->at, a, err);
        if (!elsewhere(a->status) || !*a->location)
            return rc;
        char *to = pull_join(a->at, a->location), *host = net_host(a->at);
        bool down = strncasecmp(a->at, "https:", 6) == 0 && strncasecmp(to, "https:", 6) != 0;
        if (down || !left) {
            rc = q_fail(err, Q_IO, down ? _("%s sends to an address without TLS, which is not followed: check the hub, or the mirror that QUORUM_HUB names")
                                        : _("%s sends from one address to the next without an end: check the address"), host);
            free(to);
            free(host);
            a->status = 0;
            return rc;
        }
        free(host);
        free(a->at);
        a->at = to;
    }
}

void pull_answer_free(pull_answer *a)
{
    free(a->more);
    free(a->at);
    a->more = a->at = NULL;
}

/* ---- what now ---- */
int pull_length(const char *what, uint64_t bytes, char *err)
{
    char words[32];
    if (bytes == UINT64_MAX || bytes <= PULL_BYTES_MOST)
        return Q_OK;
    return q_fail(err, Q_FORMAT, _("%s is said to have %s, which no file has: check the address, or take another mirror"), what, q_bytes_words(bytes, words));
}

bool pull_again(int rc, const pull_answer *a)
{
    if (rc == Q_IO)
        return a->status != 0 || *a->location == 0;
    return rc == Q_OK && (a->status == 408 || a->status == 425 || a->status == 429 || a->status >= 500);
}

int pull_pause(int tries, int pause_ms, const pull_answer *a)
{
    if (tries >= PULL_TRIES || a->retry_after > PULL_PATIENCE_S)
        return -1;
    int own = pause_ms << (tries < 6 ? tries : 6), most = 30000;
    int ms = own < most ? own : most;
    return a->retry_after >= 0 && a->retry_after * 1000 > ms ? a->retry_after * 1000 : ms;
}

int pull_refused(const pull_hub *h, const char *what, const char *page, const pull_answer *a, char *err)
{
    char *host = net_host(h->url);
    bool gated = strcasecmp(a->error, "GatedRepo") == 0, closed = a->status == 401 || a->status == 403;
    int rc;
    if (closed && !h->token && *h->no_token)
        rc = q_fail(err, Q_RANGE, "%s", h->no_token);
    else if (closed && h->token && !pull_hub_told(h, h->url))
        rc = q_fail(err, Q_RANGE, _("%s wants a token, which is told to nobody without TLS: name the hub as https:// in QUORUM_HUB"), what);
    else if (gated)
        rc = q_fail(err, Q_RANGE, h->token ? _("%s is gated, and the token's account may not have it: agree to the terms on %s, or ask there, then run this again")
                                           : _("%s is gated: agree to the terms on %s, make a token there, and give it in HF_TOKEN or with --token-file"), what, page);
    else if (closed)
        rc = h->token ? q_fail(err, Q_RANGE, _("%s is not open to this token (status %d): check the name and the token"), what, a->status)
                      : q_fail(err, Q_NOTFOUND, _("%s is not public, or there is no such model: check the name; a private one takes a token in HF_TOKEN or --token-file"), what);
    else if (a->status == 404 || a->status == 410)
        rc = q_fail(err, Q_NOTFOUND, _("%s is not there: check the name on %s"), what, page);
    else if (a->status == 429 && a->retry_after > 0)
        rc = q_fail(err, Q_IO, _("%s asks to be left alone for %d seconds: run this again then, it goes on where it stopped"), host, a->retry_after);
    else if (a->status == 429)
        rc = q_fail(err, Q_IO, _("%s has been asked too often: run this again later, it goes on where it stopped"), host);
    else
        rc = q_fail(err, Q_IO, _("%s answers with status %d: run this again later, or name a mirror in QUORUM_HUB"), host, a->status);
    free(host);
    return rc;
}
