/* net: requests over HTTP and the event streams that answer them. libcurl does the talking and is opened at the first request
 * (linking it costs every start 5 ms). Certificates are always checked; proxies are the environment's, as curl has them
 * (https_proxy, no_proxy). Nothing a server sends reaches a terminal from here: it is handed to the caller as bytes, and a sentence
 * names the host and what the caller may do, never a key, a header or what stood in the body.
 *
 * Threads: a net serves one request at a time, in the caller's thread; net_cancel may come from any thread. Everything else: any. */
#ifndef QUORUM_NET_H
#define QUORUM_NET_H

#include "base/base.h"

/* ================= requests ================= */
typedef struct net net;                  /* keeps connections open between its requests */
net *net_new(void);
void net_free(net *);                    /* NULL is fine */

typedef struct net_reply {
    int status;                          /* 200, 404, …; 0: none came */
    char type[64];                       /* the media type in small letters, without its parameters; "": not said */
    char charset[32];                    /* its parameter of that name, in small letters; "": not said */
    int64_t length;                      /* bytes that it says its body has; -1: it did not say */
    int retry_after;                     /* seconds that the server asks to be left alone; -1: it did not say */
    uint64_t body;                       /* bytes of it that came */
    bool near;                           /* net_run: the line led to this machine or a private network (a proxy there too) */
} net_reply;

typedef struct net_limits {              /* 0: the default in brackets */
    int connect_s;                       /* until a connection stands [15] */
    int stall_s;                         /* without one byte [300] */
    int all_s;                           /* from the first step to the last byte, redirects counted anew [no end] */
    uint64_t body, head;                 /* bytes at most [64 MiB, 256 KiB] */
} net_limits;

typedef struct net_request {
    const char *method;                  /* NULL: GET, or POST with a body */
    const char *url;                     /* http:// or https://, without a name and password in it */
    const char *const *header; int n_header;     /* "Name: value" */
    const char *key;                     /* sent as Authorization: Bearer; never said, never sent to another host. NULL: none */
    const char *body; size_t n_body;     /* NULL: none; JSON, where no header says otherwise */
    const char *unix_socket;             /* connect there; the url's host is only a name then. NULL: over the network */
    const char *ca_file;                 /* certificates to trust in the place of the system's. NULL: those */
    int redirects;                       /* so many are followed, of a GET or HEAD; 0: a redirect is an error. Never to another
                                            host with a key, and own headers go to the first host alone */
    bool public_only;                    /* refuses addresses of this machine and of private networks, also behind a name or a
                                            redirect; no proxy is asked then, for it would look names up by itself */
    net_limits limit;
    /* The body as it comes, whatever the status, but of redirects that are followed. False: enough, Q_CANCEL. May be NULL. */
    bool (*data)(void *user, const net_reply *so_far, const char *p, size_t n);
    /* Each header of an answer as it comes, of redirects too: its name in small letters. May be NULL. */
    void (*head)(void *user, const net_reply *so_far, const char *name, const char *value);
    /* Asked before a redirect is followed; false: it is not, Q_RANGE. NULL: each may be. */
    bool (*hop)(void *user, const char *from, const char *to);
    bool (*go)(void *user);              /* asked ten times a second while it runs; false: Q_CANCEL. NULL: net_cancel alone ends it */
    void *user;
} net_request;

/* Q_OK whatever the status is. Q_NOTFOUND: no libcurl, no such host, nobody listens; Q_IO: the line broke or stalled; Q_FORMAT: no
 * HTTP, or a bad url, or a packed body (none is asked for); Q_RANGE: a limit, or an address that may not be asked; Q_CANCEL. out: what came, also on failure. */
int net_run(net *, const net_request *, net_reply *out, char *err);
/* The same a step at a time, for who reads as it pleases: net_next calls data for what came, once or several times. Redirects are
 * errors here. Of what the request points to, method and user stay until net_end, which may come at any time and closes what has not
 * ended; the rest, the body too, is its own from net_open on. */
int net_open(net *, const net_request *, net_reply *out, char *err);
int net_next(net *, char *err);          /* 1: something came; 0: it ended; or as net_run */
/* Behind the last word that is wanted: lets the answer end by itself, so that its connection can serve again, at most ms; data is not called. */
void net_linger(net *, int ms);
void net_end(net *);
int net_wait(net *, int ms, char *err);  /* sleeps between two requests; Q_CANCEL */
/* on: the request that runs ends at once, and so does the next, until it is off. */
void net_cancel(net *, bool on);
/* "https://host:8000" of an url, for sentences; malloc'ed. */
char *net_host(const char *url);
/* May this address be asked by what public_only binds? sockaddr as the system has it. */
struct sockaddr;
bool net_public(const struct sockaddr *);
/* Does a host (a name, 127.1, [::1]; no port) say by itself that it is this machine or a private network, whatever a name server says? */
bool net_near(const char *host, size_t n);
/* Is the url's host this machine's loopback, by its number or as localhost? */
bool net_loopback(const char *url);

/* ================= event streams ================= */
/* Server-sent events as WHATWG's HTML has them (9.2.6), fed in any pieces. */
typedef struct net_event {
    const char *type;                    /* "message" where it says none */
    const char *data; size_t n;          /* valid UTF-8 (bad bytes became U+FFFD), followed by a 0 */
    const char *id;                      /* the last one that was said; "" */
} net_event;
typedef struct net_events {              /* zero-initialise */
    q_buf line, data, type, id;
    size_t max;                          /* bytes that one event may have; 0: 16 MiB */
    int retry;                           /* ms to wait before it is asked for anew, as the server wishes; 0: it does not say */
    int mark;                            /* how much of a byte order mark has been seen; -1: the beginning is over */
    bool cr, any;
} net_events;
/* each: false: enough, Q_CANCEL. Q_RANGE: an event of more than max bytes. What has no blank line behind it at the end is no event. */
int net_events_feed(net_events *, const char *p, size_t n, bool (*each)(void *user, const net_event *), void *user, char *err);
void net_events_free(net_events *);      /* contents; it may be fed anew then */

#endif
