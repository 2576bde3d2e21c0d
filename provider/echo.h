/* provider/echo: does an answer go round in circles? Plain data; one an answer. */
#ifndef QUORUM_PROVIDER_ECHO_H
#define QUORUM_PROVIDER_ECHO_H

#include "base/base.h"

enum { ECHO_PERIOD = 256 };
typedef struct echo {
    int n;                               /* tokens so far */
    int32_t tail[ECHO_PERIOD];           /* the last ones, a ring */
    int same[ECHO_PERIOD + 1];           /* [p] how many on end equalled the one p before */
} echo;

bool echo_token(echo *, int32_t token);  /* true: this one closes a circle */

#endif
