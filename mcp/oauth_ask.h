/* mcp/oauth_ask.h: private to mcp/. What is asked on the way to a token: addresses, JSON, what a server's authorisation says of itself. */
#ifndef QUORUM_MCP_OAUTH_ASK_H
#define QUORUM_MCP_OAUTH_ASK_H

#include "mcp/oauth.h"
#include "net/net.h"

struct cJSON;

typedef struct oauth_line {
    net *net;
    const char *ca_file;
    bool near;                           /* the server is of the loopback: plain http there is fine */
    bool (*go)(void *user);
    void *user;
} oauth_line;

/* ---- words ---- */
bool oauth_loopback(const char *url);
/* May it be asked, or shown to a browser? https, or http on the loopback where near. */
bool oauth_safe(const char *url, bool near);
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
/* words: the challenge. */
int oauth_discover(const oauth_line *, const char *url, const char *words, oauth_meta *out, char *err);
void oauth_meta_free(oauth_meta *);

#endif
