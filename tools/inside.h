/* tools/inside: what the files of this room share. Any thread. */
#ifndef TOOLS_INSIDE_H
#define TOOLS_INSIDE_H

#include "tools/place.h"

#include <cjson/cJSON.h>

/* ---- check.c ---- */
/* Arguments against a schema: object, array, string, integer, number, boolean; properties, required, items, enum, minimum, maximum,
 * minLength, maxLength (bytes), minItems, maxItems; what is not named is refused. Q_FORMAT: a sentence for the model. */
int check_arguments(const cJSON *schema, const cJSON *value, char *err);
/* The same for a stranger's schema: what is not named is refused where additionalProperties is false, a type may be a list of types, and words
 * that are not looked at are told (once each, ", " between). */
int check_lent(const cJSON *schema, const cJSON *value, q_buf *unlooked, char *err);

/* ---- arguments ---- */
const char *argument_text(const cJSON *args, const char *name);          /* NULL: it is not given */
double argument_number(const cJSON *args, const char *name, double otherwise);
bool argument_true(const cJSON *args, const char *name);


/* ---- the tools: rows of table.c ---- */
int file_read(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);
int file_list(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);
int file_search(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);
int edit_look(const tool_place *, tool_plan *, char *err);
int edit_run(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);
int command_look(const tool_place *, tool_plan *, char *err);
int command_run(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);
int fetch_look(const tool_place *, tool_plan *, char *err);
int fetch_run(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);
int calculate(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);

/* ---- calc.c ---- */
int calc_text(const char *text, q_buf *out, char *err);

#endif
