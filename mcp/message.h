/* mcp/message: one message of JSON-RPC 2.0, from any bytes. Private to mcp. */
#ifndef QUORUM_MCP_MESSAGE_H
#define QUORUM_MCP_MESSAGE_H

#include "mcp/mcp.h"

#include <cjson/cJSON.h>

enum msg_kind { MSG_NONE, MSG_ANSWER, MSG_REFUSAL, MSG_REQUEST, MSG_NOTICE };
typedef struct msg {
    enum msg_kind kind;
    int64_t id;                          /* answers: the number they answer; -1: a refusal of nobody knows what */
    cJSON *json;                         /* all of it, owned */
    const cJSON *body;                   /* result (an object), error (an object), params (an object or NULL); in json */
    const char *method;                  /* requests and notices; in json */
    const cJSON *their_id;               /* requests: a text or a number; in json */
} msg;

/* Members that are null are not said. False: it is none, *why says what is wrong with it (for people, translated, lives as long as the program);
 * out->id says then which question it would have answered, -1: none. Bytes that are no UTF-8 become U+FFFD. */
bool msg_read(const char *p, size_t n, msg *out, const char **why);
void msg_free(msg *);                    /* contents */

/* An id or a token of ours: a whole number; who makes a text of one ("7") is understood. -1: none. */
int64_t msg_own(const cJSON *id);

/* Of a value that may be anything: "" or the fallback where it is of another kind. */
const char *msg_text(const cJSON *object, const char *key);
const cJSON *msg_object(const cJSON *object, const char *key);       /* NULL: there is none, or it is no object */
const cJSON *msg_array(const cJSON *object, const char *key);
double msg_number(const cJSON *object, const char *key, double otherwise);
int msg_flag(const cJSON *object, const char *key);                  /* 1, 0, -1: not said */
void msg_quote(q_buf *, const char *text);                           /* adds it as JSON has it, with the marks */

#endif
