/* engine/grammar/schema: JSON schemas (2020-12, and what 7 says otherwise of lists) as rules of a form. Private to engine. */
#ifndef QUORUM_SCHEMA_H
#define QUORUM_SCHEMA_H

#include "engine/grammar/form.h"

/* Adds a rule `name` for what the schema allows, and those that it needs. Q_FORMAT with line and column. */
int schema_read(form *f, const char *name, const char *text, size_t n, char *err);

#endif
