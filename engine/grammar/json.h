/* engine/grammar/json: JSON as schemas need it: where each value stands, numbers as they are written, no name twice. Private to
 * engine. */
#ifndef QUORUM_GRAMMAR_JSON_H
#define QUORUM_GRAMMAR_JSON_H

#include "base/base.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
typedef struct json {                    /* a value; it owns its texts and members */
    enum json_type type;
    uint32_t at;                         /* of its first byte; a member's: of its name */
    int id;                              /* in the order of the text, from 0 */
    char *key;                           /* of a member, UTF-8; else NULL */
    char *text; size_t n;                /* of a number as it is written; of a string, UTF-8, which may hold NUL */
    struct json *child, *next;
} json;

/* Q_FORMAT with line and column. n_values: how many there are. */
int json_read(const char *text, size_t n, json **out, int *n_values, char *err);
void json_free(json *);
const json *json_get(const json *object, const char *key);       /* NULL: it has none, or is no object */
int json_length(const json *);           /* members of an object, items of an array */
/* Where a pointer (RFC 6901, with %XX) or the name of an $anchor leads; NULL: nowhere. */
const json *json_at(const json *root, const char *pointer);
void json_place(const char *text, uint32_t at, int *line, int *column);

#endif
