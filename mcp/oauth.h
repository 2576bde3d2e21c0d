/* mcp/oauth: signing in at a server over HTTP that asks for it: OAuth 2.1 as the Model Context Protocol has it. Where the server's
 * authorisation lies is asked by RFC 9728 (protected-resource metadata: WWW-Authenticate, then its well-known places) and RFC 8414 (or OpenID
 * Connect's discovery); the client's name comes from its section, or from RFC 7591 (dynamic registration); the person signs in in a
 * browser, which comes back to a port of 127.0.0.1 with a state of 256 random bits, and who comes with another one neither ends
 * nor completes the sign-in; PKCE with S256 is required of the server; the resource is named in every request (RFC 8707), who answers is checked where it is
 * told (RFC 9207), tokens are renewed with rotation.
 *
 * Promises. Nothing but https is asked, unless the server itself is of this machine's loopback; nothing of this machine or a private network, unless
 * the server is there itself. A secret of config.ini goes to the issuer that stands beside it and to no other. A token is sent to the address it was made
 * for and to no other; it is never shown, logged or put into a sentence. Tokens are kept in one file of mode 0600, under a lock,
 * replaced as a whole; a file that is none of ours, or that others can read, is left alone and said. No browser is opened unless the
 * person said so. Threads: any; one person is asked one thing at a time, and what is kept is given out meanwhile. Who waits ends when the
 * challenge's go says so. No person is asked for status 0. */
#ifndef QUORUM_MCP_OAUTH_H
#define QUORUM_MCP_OAUTH_H

#include "mcp/mcp.h"

typedef struct mcp_sign_in {             /* what a person is asked; all untrusted but server */
    const char *server, *url;            /* its name and address */
    const char *issuer;                  /* where one would sign in */
    const char *scope;                   /* what the server would let us do, in its words; "": not said */
    const char *link;                    /* for a browser; https, or of the loopback */
    int port;                            /* of 127.0.0.1: where the browser comes back to */
} mcp_sign_in;
enum mcp_sign_answer { MCP_SIGN_NO, MCP_SIGN_BROWSER /* open it */, MCP_SIGN_SHOWN /* they open the link themselves */ };

typedef struct mcp_oauth_opts {
    const char *path;                    /* the file of tokens; NULL: mcp-tokens.json in the data folder */
    const char *ca_file;                 /* as net_request has it; NULL */
    int wait_s;                          /* for the browser to come back [300] */
    /* Asks the person. NULL: nobody is there. */
    enum mcp_sign_answer (*ask)(void *user, const mcp_sign_in *);
    /* Asked ten times a second while something is waited for; false: it is over. *pasted: the address that the browser ended at, where the
     * person put it in by hand (a browser on another machine): malloc'ed. NULL: always goes on. */
    bool (*wait)(void *user, char **pasted);
    bool (*open)(void *user, const char *link);  /* a browser; false: there is none. NULL: xdg-open, where a display is */
    void *user;
} mcp_oauth_opts;

typedef struct mcp_oauth mcp_oauth;
mcp_oauth *mcp_oauth_new(const mcp_oauth_opts *);        /* copied */
void mcp_oauth_free(mcp_oauth *);        /* NULL is fine */
/* Keys of [mcp.NAME]: client_id = ID    client_secret_env = VARIABLE    issuer = URL, where one signs in (needed with a secret)    scope = WORDS.
 * Q_NOTFOUND: it is none of these; Q_FORMAT. */
int mcp_oauth_put(mcp_oauth *, const char *server, const char *key, const char *value, char *err);
/* The person's side of opts (wait_s, ask, wait, open, user), put in before the first token. */
void mcp_oauth_person(mcp_oauth *, const mcp_oauth_opts *);
/* As mcp_authorise.token; oauth: a mcp_oauth. */
int mcp_oauth_token(void *oauth, const mcp_challenge *, char **token, char *err);
/* Likewise, and nobody is asked: what is kept, renewed where it must be. Q_NOTFOUND: it takes a person. For threads that cannot ask one: whoever
 * can hands the same challenge to mcp_oauth_token later, and the next question here gets what came of it. */
int mcp_oauth_kept(void *oauth, const mcp_challenge *, char **token, char *err);
void mcp_oauth_stop(mcp_oauth *);        /* whatever waits here ends soon with Q_CANCEL, and so does what is asked later */
/* Forgets what is kept for that address. *had: whether there was something. */
int mcp_oauth_forget(mcp_oauth *, const char *url, bool *had, char *err);

#endif
