/* mcp/oauth_ask.h: private to mcp/. What is asked on the way to a token: addresses, JSON, what a server's authorisation says of itself. */
#ifndef QUORUM_MCP_OAUTH_ASK_H
#define QUORUM_MCP_OAUTH_ASK_H

#include "mcp/oauth.h"
#include "net/net.h"

struct cJSON;

/* Where the server stands that asks for a sign-in: what it names must not lie nearer. A stranger of the web who names a host of this machine
 * or of its network would have us ask there. */
enum oauth_reach { OAUTH_PUBLIC, OAUTH_PRIVATE, OAUTH_LOOPBACK /* plain http there is fine */ };

typedef struct oauth_line {
    net *net;
    const char *ca_file;
    enum oauth_reach reach;
    bool (*go)(void *user);
    void *user;
} oauth_line;

/* ---- words ---- */
enum oauth_reach oauth_reach_of(const char *url, bool near);     /* near: its answer came from a private network, as net_reply has it */
/* May it be asked, or shown to a browser? https, or http on the loopback from there; no private host from a public one. */
bool oauth_safe(const char *url, enum oauth_reach);
char *oauth_canonical(const char *url);  /* scheme and host in small letters, without fragment and last slash; malloc'ed */
void oauth_encode(q_buf *out, const char *s);            /* as application/x-www-form-urlencoded has it */
void oauth_pair(q_buf *out, const char *name, const char *value);        /* name=value behind what is there; nothing where value is NULL or "" */
char *oauth_base64(const void *p, size_t n, bool url);   /* malloc'ed */
/* The text of that name: printable ASCII of at most 16 KiB; NULL: there is none such. */
const char *oauth_text(const struct cJSON *, const char *name);
/* Words of both, each once; what can be no scope (RFC 6749, 3.3) left out. malloc'ed */
char *oauth_scopes(const char *a, const char *b);
/* A parameter of a Bearer challenge (RFC 9110, 11.6.1); malloc'ed, NULL: not said. */
char *oauth_param(const char *words, const char *name);
void oauth_wipe(char *s);                /* and frees it; NULL is fine */

/* ---- asking ---- */
/* A JSON object; *out NULL: the answer holds none. body NULL: GET. header NULL: none. */
int oauth_ask(const oauth_line *, const char *url, const char *type, const char *body, const char *header, int *status, struct cJSON **out, char *err);

typedef struct oauth_meta {              /* texts owned; NULL: not said */
    char *resource;                      /* as it is named in requests */
    char *issuer, *authorise, *token, *registers;
    char *scope;                         /* what the resource says it knows; "" */
    bool tells_issuer;                   /* RFC 9207 */
    bool basic, post, none;              /* how clients show who they are */
} oauth_meta;
/* words: the challenge. issuer: the only one that a person wants to sign in at; NULL: whichever the server names. */
int oauth_discover(const oauth_line *, const char *url, const char *words, const char *issuer, oauth_meta *out, char *err);
void oauth_meta_free(oauth_meta *);

#endif
