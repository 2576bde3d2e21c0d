/* tools/url.h: private to tools/. An address of the web as a model wrote it, made what it will be asked as. Pure functions; any thread. */
#ifndef QUORUM_TOOLS_URL_H
#define QUORUM_TOOLS_URL_H

#include "base/base.h"

typedef struct web_url {
    char *text;                         /* as it is sent: ASCII, the host in small letters and punycode, without its fragment */
    char *host;                         /* as rules name it: "example.org", "127.0.0.1:8080", "[::1]:8080"; without the scheme's own port */
    char *said;                         /* the host as it was written, where that has other letters than ASCII; NULL */
    size_t carries;                     /* bytes behind its host */
    size_t query;                       /* of them, behind the ? */
    bool near;                          /* its host says by itself that it is this machine or a private network */
} web_url;
/* Q_FORMAT: it is none that is asked, err (for the model) says why. */
int url_read(const char *text, web_url *out, char *err);
void url_free(web_url *);               /* contents */

/* Patterns of hosts: a host as above; *.HOST, what lies below it; a * behind it: on any port; * alone: any. */
bool url_pattern(const char *pattern, size_t n);                         /* is it one? */
bool url_matches(const char *pattern, size_t n, const char *host);
bool url_listed(const char *patterns, const char *host);                 /* between commas and blanks; NULL: none */

#endif
