/* mcp/line: what a server's messages are for. Calls wait here; a wire (over a program's pipes, or HTTP) hands in what came, and whoever
 * called takes it out in its own thread. Private to mcp. */
#ifndef QUORUM_MCP_LINE_H
#define QUORUM_MCP_LINE_H

#include "mcp/message.h"
#include "mcp/section.h"

#include <pthread.h>

typedef struct wish { struct wish *next; msg m; } wish;      /* what the server asks of us, to be answered by who called */
enum { WISHES_MAX = 16 };
typedef struct call {                    /* of who called, on its stack; all under the line's lock once it has entered */
    struct call *next;
    int64_t id;
    bool elicits, answered, failed;      /* failed: rc and err say how */
    msg answer;
    wish *wishes; int n_wishes;
    bool progressed; double done, total; char *text;         /* the last word of it; text owned, may be NULL */
    int64_t heard, paused;               /* when the last word came; how long the person was asked meanwhile; ns */
    int status; char *challenge;         /* HTTP: why it was not let in, or its status; challenge owned, may be NULL */
    bool near;                           /* HTTP: that came from this machine or a private network */
    int rc; char err[Q_ERRLEN];
} call;

typedef struct line {
    const char *name;                    /* the server's, for sentences */
    pthread_mutex_t mu;
    pthread_cond_t news;
    call *calls;
    int64_t gone[64]; unsigned n_gone;   /* the last that nobody waited for: their answers may still come */
    int64_t last_id, listening;          /* the id that list changes are asked for by; -1: none */
    bool modern, deaf;                   /* 2026: the server asks nothing by itself; it tells of no changes either */
    bool broken; int rc; char why[Q_ERRLEN];
    bool ends;                           /* who ends it has said so: no start goes on */
    unsigned stale;                      /* 1 << mcp_kind */
    uint64_t faults, changes;            /* changes: of lists, so far */
    char fault[Q_ERRLEN];                /* the first of them; "" */
    double useless; int64_t since;       /* see MCP_FLOOD */
} line;

void line_init(line *, const char *name);
void line_free(line *);
bool line_reset(line *);                 /* before a start: nothing is broken, no call is in it. False: it is being ended, and stays broken */
void line_enter(line *, call *);         /* zeroed but for elicits; gives it its id */
void line_leave(line *, call *);         /* nothing is handed to it any more; its contents are freed, but `answer`, which is the caller's */
/* One message. stream: the call whose stream it came on; NULL: they share one. reply: what is to be sent back, if anything. Q_RANGE: a flood. */
int line_take(line *, const char *p, size_t n, call *stream, q_buf *reply, char *err);
void line_break(line *, int rc, const char *why);            /* the first one counts; every call ends */
void line_end(line *, const char *why);  /* breaks it with Q_CANCEL, for starts that have not reset it yet too; under mu `ends` is taken back when that is done */
typedef struct line_http { int status; const char *challenge; bool near; } line_http;        /* as in call; zeroed: not by HTTP */
void line_fail(line *, call *, int rc, line_http, const char *why);
bool line_news(const call *);            /* under mu: is there something to do for it? */
void line_wait(line *, int ms);          /* under mu */
void line_unheard(line *, bool for_good);                    /* nobody tells of list changes any more: what is known may be old */
/* One line without control characters, cut at a letter. */
void line_plain(char *out, size_t size, const char *text);
void line_answer(q_buf *out, const cJSON *their_id, const char *result);           /* a reply with that result, JSON */
void line_refuse(q_buf *out, const cJSON *their_id, int code, const char *message);

/* ---- wires ---- */
typedef struct letter {                  /* texts are the caller's, copied */
    const char *text; size_t n;
    const char *method, *name, *version; /* of headers; name NULL: none; version NULL: as agreed */
    const words *header;                 /* more of them; NULL */
} letter;
typedef struct wire wire;
typedef struct wire_kind {
    int (*send)(wire *, const letter *, call *, char *err);  /* call NULL: nothing is waited for */
    void (*drop)(wire *, call *);        /* nobody waits for it any more */
    void (*close)(wire *);               /* ends the server or what runs to it; frees */
    void (*agreed)(wire *, const char *version, bool modern);
    void (*token)(wire *, char *token);  /* taken. May be NULL */
    void (*listen)(wire *, const letter *);                  /* HTTP: a stream for what the server tells by itself. May be NULL; letter NULL: GET */
    char *(*log)(wire *);                /* what its program wrote to stderr; malloc'ed. May be NULL */
    int (*pid)(wire *);                  /* may be NULL */
} wire_kind;
struct wire { const wire_kind *kind; line *line; const section *section; };

#endif
