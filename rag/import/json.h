/* rag/import/json.h: private to rag/. What the readers of archives ask of a JSON value. */
#ifndef QUORUM_RAG_IMPORT_JSON_H
#define QUORUM_RAG_IMPORT_JSON_H

#include <cjson/cJSON.h>

#include "base/base.h"

/* Of an object's members; none of the kind asked for: NULL, 0. */
const cJSON *js_of(const cJSON *o, const char *name);
const char *js_text(const cJSON *o, const char *name);
int64_t js_date(const cJSON *o, const char *name);              /* a number or words */
bool js_true(const cJSON *o, const char *name);
/* The texts of a message's content, parted by empty lines: a string, or a list of strings and of {type: `type`, `type`: ...}. */
void js_content(const cJSON *content, const char *type, q_buf *out);

#endif
