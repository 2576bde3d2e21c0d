/* engine/grammar/schema: JSON schemas (2020-12, and what 7 says otherwise of lists) as rules of a form. Private to engine. */
#ifndef QUORUM_SCHEMA_H
#define QUORUM_SCHEMA_H

#include "engine/grammar/form.h"

/* Adds a rule `name` for what the schema allows, and those that it needs. Q_FORMAT with line and column. */
int schema_read(form *f, const char *name, const char *text, size_t n, char *err);

/* Arguments of a call: a JSON object, or one behind the other, each a frame with its name and value, parts as form_frame reads them. A text may be
 * longer than its schema says where that is more than 2000 letters: whoever runs the tool counts those. */
typedef struct schema_dress {
    const char *first, *next;            /* before the name of the first one, of others; NULL: a JSON object */
    const char *middle, *behind;         /* before the value, behind it */
    /* Where these are: what the schema's own "properties" have with the type "string", and what nothing is asked of, stand as they are, any text that
     * holds neither; and no value holds either. NULL: all values are JSON. */
    const char *never[2];
    bool python;                         /* True, False and None as well */
} schema_dress;
/* A rule `name` for all that stands between the frame of a call's name and its end. Q_FORMAT as well where a name cannot stand in that dress. */
int schema_read_arguments(form *f, const char *name, const char *text, size_t n, const schema_dress *, char *err);

#endif
