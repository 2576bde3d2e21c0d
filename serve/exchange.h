/* serve/exchange: one request and its answer, between libmicrohttpd's thread, which only moves bytes, and the one that works. While there
 * is nothing to send the connection is set aside; a reader that is too far behind, or gone, is told of by exchange_wanted and holds
 * nobody up. Private to serve. */
#ifndef QUORUM_SERVE_EXCHANGE_H
#define QUORUM_SERVE_EXCHANGE_H

#include "serve/fault.h"
#include "serve/mhd.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct exchange {
    const mhd *lib;
    struct MHD_Connection *conn;         /* NULL: it is over; under mu, as all that follows */
    void *server;
    const atomic_bool *cut;              /* all answers end now */
    size_t behind;                       /* bytes at most that wait to be sent */
    pthread_mutex_t mu;
    int refs;
    q_buf body;                          /* of the request; the network's thread until the work begins, then the worker's */
    q_buf out; size_t at;                /* to send, sent of it */
    const char *type;
    int status;                          /* 0: there is no answer yet */
    int retry_after;                     /* seconds; 0: none */
    bool stream, done, aside, gone;
    int prompt_tokens, cached_tokens, tokens;        /* for events and metrics: the worker's */
} exchange;

exchange *exchange_new(const mhd *, struct MHD_Connection *, void *server, const atomic_bool *cut, size_t behind);
void exchange_drop(exchange *);          /* one of its two owners: the connection, the worker */
void exchange_share(exchange *);         /* before it is given to a worker */

/* ---- the worker's ---- */
void exchange_answer(exchange *, int status, const char *type, q_buf *text /* emptied */);
void exchange_json(exchange *, cJSON * /* deleted */);   /* 200 with it */
void exchange_refuse(exchange *, const fault *);
void exchange_stream(exchange *);        /* an event stream begins; once */
void exchange_send(exchange *, const char *p, size_t n);
void exchange_end(exchange *);           /* of the stream */
bool exchange_wanted(exchange *);        /* false: its reader is gone or too far behind, or all are cut */

/* ---- the network's thread ---- */
void exchange_aside(exchange *);         /* until there is something to send */
bool exchange_reply(exchange *, bool close);     /* the answer is there: hands it to libmicrohttpd */
void exchange_over(exchange *);          /* the connection has done with it */

#endif
