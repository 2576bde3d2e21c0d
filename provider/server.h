/* provider/server: a section [server.NAME] as a struct: what provider/remote.c opens. Private to provider. */
#ifndef QUORUM_PROVIDER_SERVER_H
#define QUORUM_PROVIDER_SERVER_H

#include "provider/provider.h"

enum server_routing { SERVER_NO_ROUTING, SERVER_VLLM, SERVER_SGLANG };
typedef struct prov_server {             /* texts are owned; NULL: not said */
    char *name;                          /* without the @ */
    char *url;                           /* "http://host:8000/v1", no slash at its end */
    char *model, *key_env, *key_file, *ca, *socket;
    int context, stall;                  /* tokens that fit, seconds without a byte; 0: not said */
    enum server_routing routing;
    int layers, experts, k, dense;       /* of its model, for routing that comes as bare numbers; 0: not said. dense: the first layers, without experts */
} prov_server;

/* what: "@NAME/MODEL" or "@NAME"; *model: behind the slash, "" where there is none. Q_NOTFOUND lists those there are. */
int server_find(const prov_servers *, const char *what, const prov_server **out, const char **model, char *err);
void server_copy(const prov_server *, prov_server *out);
void server_free(prov_server *);         /* contents */
/* The key, malloc'ed, for the caller to wipe; *key NULL: none is named. Q_NOTFOUND, Q_RANGE: it is named and cannot be had so. */
int server_key(const prov_server *, char **key, char *err);

#endif
