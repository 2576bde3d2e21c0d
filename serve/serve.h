/* serve: other programs talk with a model over HTTP, in the words of OpenAI's protocol: /v1/models, /v1/chat/completions,
 * /v1/completions, /v1/embeddings, /tokenize, /detokenize, /health, /metrics. libmicrohttpd moves the bytes and is opened when a server
 * starts. docs/serve.md says what each of them takes.
 *
 * Threads: one of libmicrohttpd for all connections, which never waits for a model nor for a slow reader; one for each stream, in which
 * prov_ask runs; one for texts and one for vectors. serve_* here: one caller. `said` is called in any of them, one at a time.
 * It stores nothing, and what is asked and answered appears in no event and no sentence of its own. Errors: base.h. */
#ifndef QUORUM_SERVE_H
#define QUORUM_SERVE_H

#include "base/base.h"
#include "provider/provider.h"

typedef struct serve serve;
typedef struct serve_limits {            /* 0: the default in brackets */
    size_t body;                         /* bytes of a request [8 MiB] */
    int connections;                     /* at once; the next ones wait [256] */
    int queue;                           /* requests that wait for a stream; then 503 [64] */
    int arrive_s;                        /* seconds that a request may take to arrive, head and body each [30] */
    int stall_s;                         /* without one byte moved either way, where one is due [30] */
    size_t behind;                       /* bytes of an answer that its reader may be behind; then it is cut [4 MiB] */
    size_t answer;                       /* bytes that one may hold for what is told at the end: a whole answer, routing [64 MiB] */
} serve_limits;
typedef struct serve_event {             /* a request is over */
    const char *method, *path;           /* the path is one of ours, or "" */
    int status;                          /* 0: its sender went before an answer could begin */
    int prompt_tokens, cached_tokens, tokens;
    double seconds;
    bool cut;                            /* the answer did not come to its end */
} serve_event;
typedef struct serve_opts {              /* all outlive the server */
    prov *p;
    const char *listen;                  /* "127.0.0.1:8080", "[::1]:0", "localhost:0"; port 0: one that is free. NULL: "127.0.0.1:8080" */
    const char *unix_path;               /* instead: a socket in the file system, mode 0600. A stale one is taken over, a live one is refused */
    const char *key;                     /* asked of every request but /health; NULL: none is. Q_RANGE without one, where listen is not this machine's own */
    const char *embedder;                /* as prov_embedder_find takes it; NULL: the one that is fetched, if it is. Opened when first asked for */
    int streams;                         /* requests answered at once; 0: 1 */
    serve_limits limit;
    void (*said)(void *user, const serve_event *);       /* may be NULL */
    void *user;
} serve_opts;

int serve_start(const serve_opts *, serve **out, char *err);
const char *serve_address(const serve *);        /* "http://127.0.0.1:8080", "unix:/run/q.sock"; lives as long as the server */
void serve_tick(serve *);                /* once a second or so: closes connections whose request does not come to its end */
void serve_drain(serve *);               /* no new connection and no new request from now on; those that run go on */
int serve_busy(serve *);                 /* requests that run or wait */
void serve_cut(serve *);                 /* those that run end now, their streams with an error that says so */
void serve_stop(serve *);                /* cuts, waits for the threads, frees. NULL is fine */

#endif
