/* advice/pull_ask: one question to a hub or to where it sends: redirects are followed here, because each host is told something else. The
 * token goes to the hub's own host alone, over https or to this machine; the range goes to every one. And how long to wait before the next try.
 * Threads: one caller a net. Private to advice. */
#ifndef QUORUM_PULL_ASK_H
#define QUORUM_PULL_ASK_H

#include "base/base.h"
#include "net/net.h"

typedef struct pull_hub {
    char *url;                           /* "https://huggingface.co" */
    char *token;                         /* NULL: none */
    char no_token[Q_ERRLEN];             /* why a token that is there is not taken; "" */
} pull_hub;
/* The token of the environment or a file. Q_RANGE and the like for a file that was named alone; of the one that lies in its usual place it is kept
 * in no_token, and matters when a token is wanted. url: taken. */
int pull_hub_open(pull_hub *, char *url, bool hugging_face, const char *token_file, char *err);
void pull_hub_close(pull_hub *);
bool pull_hub_told(const pull_hub *, const char *url);   /* it has a token, and this address may know it */

#define PULL_BYTES_MOST (UINT64_C(1) << 46)      /* of one file, 64 TiB: chunks of it are counted in an int */

typedef struct pull_question {
    const char *url;
    uint64_t from, to;                   /* bytes, both counted in; from > to: all, without a range */
    const char *validator;               /* If-Range: the range only of what was this; NULL: no condition */
    uint64_t most;                       /* bytes that its body may have */
    int stall_s;
    bool (*data)(void *user, const net_reply *, const char *p, size_t n);    /* of answers 200 and 206 alone */
    bool (*go)(void *user);
    void *user;
} pull_question;
typedef struct pull_answer {
    int status, retry_after;             /* 0: none came; -1: not said */
    bool ranged, ranges;                 /* a Content-Range stood there; and could be read */
    uint64_t from, to, total;            /* of it; total UINT64_MAX: not said */
    int64_t length;                      /* Content-Length; -1: not said */
    char validator[256];                 /* a strong ETag, else Last-Modified, of the last host; "" */
    char linked[128], error[64];         /* X-Linked-Etag and X-Error-Code, of whoever said them first */
    char *more, *at;                     /* the page that follows, by Link; where the redirects ended. NULL; malloc'ed */
    char location[4096];                 /* private */
} pull_answer;
/* As net_run, which returns Q_OK whatever the status is. out: to be freed with pull_answer_free in every case. */
int pull_ask(net *, const pull_hub *, const pull_question *, pull_answer *out, char *err);
void pull_answer_free(pull_answer *);    /* contents */

/* Q_FORMAT: a file says that it has more bytes than any has. UINT64_MAX: it does not say. */
int pull_length(const char *what, uint64_t bytes, char *err);

/* Is it worth asking again: a broken line, 408, 425, 429, 5xx. */
bool pull_again(int rc, const pull_answer *);
/* Milliseconds until then; tries: how many have failed since a byte came; -1: it has been tried often enough, or the server asks for more than
 * PULL_PATIENCE_S. */
enum { PULL_TRIES = 8, PULL_PATIENCE_S = 600 };
int pull_pause(int tries, int pause_ms, const pull_answer *);
/* What a status that is no success means, as a sentence with what to do next; what: "hf:OWNER/NAME" or an address. Q_NOTFOUND, Q_RANGE, Q_IO. */
int pull_refused(const pull_hub *, const char *what, const char *page, const pull_answer *, char *err);

#endif
