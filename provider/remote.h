/* provider/remote: a model on a server that speaks OpenAI's language. */
#ifndef QUORUM_PROVIDER_REMOTE_H
#define QUORUM_PROVIDER_REMOTE_H

#include "provider/provider.h"

/* what: "@NAME/MODEL", of o->servers; asks the server which models it has. As prov_open. */
int remote_open(const char *what, const prov_opts *o, prov **out, char *err);

#endif
