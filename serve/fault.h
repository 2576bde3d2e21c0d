/* serve/fault: why a request is refused, in the form of OpenAI's protocol. Private to serve. */
#ifndef QUORUM_SERVE_FAULT_H
#define QUORUM_SERVE_FAULT_H

#include "base/base.h"

typedef struct fault {
    int status;                          /* 400, 401, …; 0: none */
    const char *code;                    /* "model_not_found"; NULL: none */
    char field[64];                      /* "messages[2].content"; "": no field's */
    char words[Q_ERRLEN];                /* one sentence */
} fault;

/* Fills it, if it is empty yet: the first one counts. Returns Q_ERR. */
int fault_set(fault *, int status, const char *field, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* {"error":{"message":…,"type":…,"param":…,"code":…}}, added. */
void fault_json(const fault *, q_buf *out);

#endif
