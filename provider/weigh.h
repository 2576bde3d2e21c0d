/* provider/weigh: how likely texts are to a model in this process, and texts as vectors: prov_score, prov_judge and prov_embed, in caches of their
 * own beside whatever is being answered. One at a time with what evaluates. */
#ifndef QUORUM_PROVIDER_WEIGH_H
#define QUORUM_PROVIDER_WEIGH_H

#include "provider/provider.h"

int weigh_score(prov *, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *), void *user, char *err);
int weigh_judge(prov *, const prov_request *, int n_request, const char *const *text, int n, double *share, prov_go *go, void *user, char *err);
int weigh_embed(prov *, const char *text, size_t n, float *out, char *err);

#endif
