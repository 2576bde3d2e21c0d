/* serve/ran: which experts ran, as vLLM sends it: base64 of a .npy file of shape (positions, layers, k). Private to serve. */
#ifndef QUORUM_SERVE_RAN_H
#define QUORUM_SERVE_RAN_H

#include "provider/provider.h"

typedef struct ran { uint16_t *id; bool *known; int n, cap, layers, k; } ran;      /* id [n][layers][k], 0xFFFF pads; zero-initialise */
/* Both return the bytes that it takes more. */
size_t ran_put(ran *, const prov_position *);
size_t ran_begin(ran *, const ran *first, int n);       /* another answer to the same prompt of n tokens */
/* Positions from..n of a model of so many experts, whose first layers are dense. uint8 or uint16 where all are known and no place is
 * empty; else int32 with -1 for those. */
void ran_write(const ran *, int from, int n, const prov_info *, q_buf *out);
void ran_free(ran *);

void base64_write(const void *p, size_t n, q_buf *out);

#endif
