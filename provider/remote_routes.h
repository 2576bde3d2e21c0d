/* provider/remote_routes: which experts ran, as servers tell it:
 *   vLLM    choices[i].routed_experts: base64 of a .npy file (NEP 1) of shape (positions, layers, k), uint8, uint16 or int32 (0.22 and
 *           later: np.save of the array in serving.py); older ones nested lists of numbers
 *   SGLang  sglext.routed_experts: base64 of bare int32, row after row, of all hidden layers
 * Ids only, no weights. Private to provider; any thread; nothing of it is trusted. */
#ifndef QUORUM_PROVIDER_REMOTE_ROUTES_H
#define QUORUM_PROVIDER_REMOTE_ROUTES_H

#include "provider/server.h"

typedef struct remote_routes { uint16_t *id; int n, layers, k; } remote_routes;     /* id [n][layers][k]; 0xFFFF: none */
/* said: the field as it came, base64 or JSON. Q_FORMAT: it is neither; Q_RANGE: of another shape than the server's section says, or of an
 * expert that there is none of. The first s->dense layers have none, whatever stands there. */
int remote_routes_read(const prov_server *s, const char *said, remote_routes *out, char *err);
void remote_routes_free(remote_routes *);        /* contents */

#endif
