/* provider/echo: does an answer go round in circles? Plain data; one an answer. */
#ifndef QUORUM_PROVIDER_ECHO_H
#define QUORUM_PROVIDER_ECHO_H

#include "base/base.h"

enum { ECHO_PERIOD = 256, ECHO_NEAR = 96, ECHO_SPAN = 640, ECHO_ENOUGH = 450, ECHO_LATE = 256, ECHO_ENOUGH_LATE = 244 };
typedef struct echo {
    int n;                               /* tokens so far */
    int32_t tail[ECHO_PERIOD];           /* the last ones, a ring */
    int same[ECHO_PERIOD + 1];           /* [p] how many on end equalled the one p before */
    uint64_t three[ECHO_NEAR];           /* the last groups of three tokens, hashed, a ring */
    bool again[ECHO_SPAN];               /* which of the last tokens ended a group that had just been there, a ring */
    int n_again, n_late;                 /* how many of them; and of the last ECHO_LATE */
} echo;

bool echo_token(echo *, int32_t token);  /* true: this one closes a circle */

#endif
