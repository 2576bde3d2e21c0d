/* serve/house: what all requests share. Private to serve. */
#ifndef QUORUM_SERVE_HOUSE_H
#define QUORUM_SERVE_HOUSE_H

#include "provider/provider.h"
#include "serve/exchange.h"
#include "serve/lane.h"

enum { HOUSE_ROUTES = 10, HOUSE_CODES = 12 };
typedef struct numbers {                 /* since the start; under mu */
    pthread_mutex_t mu;
    uint64_t requests[HOUSE_ROUTES + 1][HOUSE_CODES + 1];      /* by route and status, the last of each: others */
    uint64_t prompt_tokens, cached_tokens, tokens;
    double seconds;
    int failed;                          /* answers in a row that failed by no fault of those who asked, for `why` */
    int64_t failed_ns;                   /* when the last one did */
    char why[Q_ERRLEN];
} numbers;

typedef struct house {
    prov *p;
    const char *name;                    /* what the model is called to requests */
    bool keyed;                          /* requests need a key: what needs none says no more than it must */
    prov_config *base;                   /* that requests begin with */
    int64_t since;                       /* Unix time */
    int context;                         /* tokens that a request and its answer may have */
    size_t answer;                       /* bytes of what is told as a whole */
    pthread_mutex_t turn;                /* of those who ask, where the provider answers one at a time: the settings are one's own meanwhile */
    q_buf bos;                           /* the token that opens texts, as it is spelt; empty: there is none */
    const char *embedder;                /* as serve_opts has it */
    prov_embedder *vectors;              /* of the thread of vectors; NULL: not open yet */
    numbers numbers;
    lane asks, texts, embeds;            /* who works, by what is asked */
} house;

/* Q_OK, or a fault of 404: NULL and "" are the one that is there. */
int house_model(const house *, const char *asked, fault *f);
/* An error of the provider's as a fault. field: "" or whose it is. */
int house_fault(fault *f, int rc, const char *field, const char *err);

#endif
