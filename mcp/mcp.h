/* mcp: a client of the Model Context Protocol. Servers that config.ini names in [mcp.NAME] are started when they are first wanted, over
 * stdio or streamable HTTP, in the era they speak: revision 2026-07-28 (server/discover, each request whole in itself) or 2025-11-25 and
 * earlier (initialize).
 *
 * Promises. A server that is slow, crashes, floods or lies costs its own calls only: messages have at most MCP_MESSAGE_MAX bytes and
 * MCP_DEPTH_MAX levels, lists MCP_ITEMS_MAX entries, what answers nothing is counted and a flood of it ends the server. Whatever a server
 * says is handed out as valid UTF-8 and is untrusted: who shows it takes control characters out, and it decides nothing here. Keys are read when
 * they are sent and are never kept, shown or handed to a program that was not given their name. A started program inherits none of our
 * descriptors, no terminal, and of the environment only PATH, HOME, locale and the like, and what its section names.
 *
 * Threads: everything may be called from any thread; a server does one start at a time and any number of calls. Hooks are called in the
 * thread of who calls, authorise also in the thread that starts a server. No lock is held while they run. Errors: base.h; sentences are
 * for people, translated. It knows neither store, screen, model nor policy: who may call what is decided by the caller. */
#ifndef QUORUM_MCP_H
#define QUORUM_MCP_H

#include "base/base.h"

enum {
    MCP_MESSAGE_MAX = 16 << 20,         /* bytes of one message */
    MCP_DEPTH_MAX = 64,                 /* levels of one */
    MCP_ITEMS_MAX = 1000,               /* entries of one list, all its pages together; the rest is left out with a remark */
    MCP_PAGES_MAX = 100,
    MCP_TEXT_MAX = 1 << 20,             /* bytes of one name, description or schema; what has more is left out with a remark */
    MCP_FLOOD = 10000,                  /* messages that answer nothing, at once; 100 a second are forgiven */
    MCP_ROUNDS_MAX = 10,                /* how often one call may ask the person for more */
    MCP_END_MS = 2000                   /* a program whose input was closed ends by itself in this time; as long after TERM; then KILL */
};

/* ================= the servers ================= */
typedef struct mcp_set mcp_set;          /* all sections; the servers belong to it */
typedef struct mcp_server mcp_server;
mcp_set *mcp_set_new(void);
void mcp_set_stop(mcp_set *);            /* ends all servers, side by side: at most 2 * MCP_END_MS behind their calls */
void mcp_set_free(mcp_set *);            /* stops and frees. NULL is fine. No call may run */
/* One line of [mcp.NAME]. Names: up to 32 letters, digits, dashes and single underscores; a section is made by its first key. Keys:
 *   command = PROGRAM    args = WORDS    env = NAME NAME=VALUE …    cwd = FOLDER      (words split at blanks, "…" and '…' hold together)
 *   url = https://… (a key goes over http:// to the loopback alone)    key_env = NAME, key_file = FILE (sent as Bearer)    ca = FILE, certificates to
 *   trust in the place of the system's    header = Name: value, or Name: $VARIABLE; may be repeated
 *   timeout = SECONDS of one call without a word of progress [60]    start = SECONDS of a start [60]
 *   probe = SECONDS that server/discover is waited for before initialize is tried too [5]    enabled = yes | no
 * Q_FORMAT, Q_RANGE, Q_NOTFOUND: err says what is right; then nothing was put. */
int mcp_put(mcp_set *, const char *name, const char *key, const char *value, char *err);
int mcp_count(const mcp_set *);
mcp_server *mcp_at(const mcp_set *, int i);                      /* in the order of the file */
mcp_server *mcp_find(const mcp_set *, const char *name);         /* NULL: there is none */
const char *mcp_name(const mcp_server *);
/* What would be started or asked: "npx -y server /home/x" or the url, and below it a line for each name of the environment and each header that
 * it is given (never their values, unless the section states them). For a person to agree to, and for a hash of what was agreed; malloc'ed. */
char *mcp_where(const mcp_server *);
bool mcp_http(const mcp_server *);
const char *mcp_ca(const mcp_server *);  /* NULL: the system's */
bool mcp_enabled(const mcp_server *);
void mcp_enable(mcp_server *, bool);     /* false: it is ended and not started again */

/* A server over HTTP wants to know who asks (401), wants more than it was shown (403), or may be shown what is kept already (status 0:
 * nobody is to be asked then). Q_OK: *token is sent from here on, malloc'ed, wiped by mcp; Q_NOTFOUND: there is none, *token stays NULL;
 * else err is what the call fails with. Called at most twice for one request. */
typedef struct mcp_challenge {
    const char *server, *url;            /* its name; where it is asked */
    int status;                          /* 401, 403; 0: none yet */
    const char *words;                   /* WWW-Authenticate as it came, "" where none did */
    bool had;                            /* a token was sent and refused */
    bool near;                           /* the answer came from this machine or a private network */
    const char *ca;                      /* certificates to trust in the place of the system's; NULL: those */
    bool (*go)(void *user);              /* asked while something is waited for; false: Q_CANCEL. NULL: always goes on */
    void *user;
} mcp_challenge;
typedef struct mcp_authorise {
    int (*token)(void *user, const mcp_challenge *, char **token, char *err);
    void *user;
} mcp_authorise;
void mcp_set_authorise(mcp_set *, const mcp_authorise *);        /* before the first start; NULL: none. Copied */

/* ================= one server ================= */
enum mcp_state { MCP_OFF, MCP_STARTING, MCP_READY, MCP_FAILED };         /* OFF: not started yet, or ended */
enum mcp_era { MCP_ERA_UNKNOWN, MCP_ERA_2025, MCP_ERA_2026 };
enum mcp_kind { MCP_TOOLS, MCP_RESOURCES, MCP_TEMPLATES, MCP_PROMPTS, MCP_KINDS };
typedef struct mcp_status {
    enum mcp_state state;
    enum mcp_era era;
    char version[24];                    /* of the protocol, as agreed: "2025-11-25" */
    char title[128], release[64];        /* what it calls itself; untrusted */
    char error[Q_ERRLEN];                /* the last that went wrong with it; "" */
    char line[256];                      /* the last that its program wrote to stderr; untrusted; "" */
    int pid;                             /* of its program; 0: none runs */
    int n[MCP_KINDS];                    /* entries of its lists, as last told */
    unsigned stale;                      /* 1 << kind: that list is to be asked for anew */
    uint64_t faults;                     /* messages that were none, or answered nothing */
    uint64_t calls, failed;              /* asked through mcp_call, mcp_read, mcp_prompt; how many did not come to an answer */
} mcp_status;
void mcp_status_of(mcp_server *, mcp_status *out);
char *mcp_stderr(mcp_server *);          /* the last lines, at most 4 KiB; untrusted; malloc'ed */
char *mcp_instructions(mcp_server *);    /* how it wants to be used; untrusted; "" ; malloc'ed */
char *mcp_remarks(mcp_server *);         /* what of its lists was left out and why, a line each; "" ; malloc'ed */

enum mcp_answer { MCP_ACCEPT, MCP_DECLINE, MCP_DISMISS };
typedef struct mcp_hooks {               /* any may be NULL, and the struct too */
    void *user;
    bool (*go)(void *user);              /* asked ten times a second at least; false: cancelled, Q_CANCEL */
    void (*progress)(void *user, double done, double total, const char *text);   /* total 0: not said; text "" */
    /* The server asks the person: message and a flat JSON schema, untrusted both. ACCEPT: content is a JSON object. NULL: declined. */
    enum mcp_answer (*elicit)(void *user, const char *message, const char *schema, q_buf *content);
} mcp_hooks;

void mcp_start(mcp_server *);            /* in the background; waits for nobody. Nothing where it is starting, ready, failed, not enabled or just being ended */
/* Starts it if need be and waits, at most ms (-1: its section's `start`). Q_OK: ready. Q_RANGE: not yet, and it goes on; Q_CANCEL;
 * else it failed, or had failed before: mcp_restart. One that was ready and broke off is started anew. */
int mcp_ready(mcp_server *, int ms, const mcp_hooks *, char *err);
/* Its calls fail from here on, also those that are at the person; off: it is not started again. Waits for nobody: mcp_stop, mcp_enable or mcp_restart
 * is to follow. */
void mcp_end(mcp_server *, bool off);
bool mcp_ending(mcp_server *);           /* its calls fail: it is being ended, or broke off */
void mcp_stop(mcp_server *);             /* ends it, its calls fail; waits for that */
void mcp_restart(mcp_server *);          /* stop and start */

/* ================= what it offers ================= */
typedef struct mcp_arg { char *name, *help; bool required; } mcp_arg;
typedef struct mcp_item {                /* texts are owned, never NULL unless said; untrusted */
    char *name;                          /* tools, prompts: what it is called by. Unique in its list */
    char *uri;                           /* resources; templates: with {holes}. NULL: tools, prompts */
    char *title, *help;
    char *schema, *gives;                /* tools: JSON objects, of the arguments and of the structured result (NULL: not said) */
    char *type;                          /* resources: the media type, "" */
    int64_t size;                        /* resources: bytes, -1: not said */
    signed char read_only, destructive, idempotent, open_world;  /* tools: 1, 0, -1: not said. Only its own word */
    mcp_arg *arg; int n_arg;             /* prompts */
    char sha256[65];                     /* of all of this: another one means that it says something else now */
} mcp_item;
typedef struct mcp_list { mcp_item *v; int n; } mcp_list;
void mcp_items(mcp_server *, enum mcp_kind, mcp_list *out);      /* as last told; a copy; mcp_list_free */
void mcp_list_free(mcp_list *);          /* contents, not the struct */
/* Asks anew for the lists that changed or whose time is over; the old ones stay where that fails. Waits for a start that runs. */
int mcp_refresh(mcp_server *, const mcp_hooks *, char *err);

/* ================= asking ================= */
typedef struct mcp_link { char *uri, *name, *type; } mcp_link;   /* never NULL; untrusted */
typedef struct mcp_part { bool assistant; char *text; } mcp_part;
typedef struct mcp_result {
    q_buf text;                          /* tools: all text; images and sound as "[image/png, 12.0 KiB, left out]"; resources: their text */
    char *structured;                    /* tools: JSON; NULL: none */
    bool is_error;                       /* tools: the server says that the tool failed; text says why */
    mcp_link *link; int n_link;          /* tools: resources that it points to */
    mcp_part *part; int n_part;          /* prompts: what is said by whom */
    q_buf blob;                          /* resources: bytes of what is no text */
    char *type;                          /* resources: the media type of the first part; "" */
} mcp_result;                            /* zero-initialise; untrusted whole */
void mcp_result_free(mcp_result *);      /* contents, not the struct */

/* Q_OK: an answer came, also one with is_error. Q_CANCEL: go said so, the server was told. Q_IO: it broke off, is silent or could not be
 * started; Q_FORMAT: its answer is none; Q_ERR: it refused, err has its words; Q_RANGE: a bound. What was asked is not asked a second time: a server that broke off
 * in the middle is started anew by the next call. */
int mcp_call(mcp_server *, const char *tool, const char *arguments, const mcp_hooks *, mcp_result *out, char *err);   /* arguments: a JSON object */
int mcp_read(mcp_server *, const char *uri, const mcp_hooks *, mcp_result *out, char *err);
int mcp_prompt(mcp_server *, const char *prompt, const char *arguments, const mcp_hooks *, mcp_result *out, char *err);   /* of strings; NULL: none */

#endif
