/* provider/many: requests to a model in this process that are answered at once, each a stream of the pool, in their callers' threads. */
#ifndef QUORUM_PROVIDER_MANY_H
#define QUORUM_PROVIDER_MANY_H

#include "provider/inprocess.h"

int many_open(local *, int streams, struct many **out, char *err);
void many_close(struct many *);          /* NULL is fine */
/* Of prov_kind. */
int many_set(prov *, const prov_config *, enum prov_policy, char *err);
int many_ask(prov *, const prov_request *, const prov_hooks *, prov_result *out, char *err);
void many_cancel(prov *, bool on);
prov_room many_context(prov *);
prov_load many_load(prov *);
int many_score(prov *, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *), void *user, char *err);
int many_judge(prov *, const prov_request *, int n_request, const char *const *text, int n, double *share, prov_go *go, void *user, char *err);
int many_embed(prov *, const char *text, size_t n, float *out, char *err);

#endif
