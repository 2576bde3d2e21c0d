/* provider/local: private to provider/: a model in this process. */
#ifndef QUORUM_PROVIDER_LOCAL_H
#define QUORUM_PROVIDER_LOCAL_H

#include "provider/provider.h"

int local_open(const char *path, const prov_opts *o, prov **out, char *err);

unsigned local_rendered(const prov *);    /* how often a prompt was rendered: what a test of cost looks at */

#endif
