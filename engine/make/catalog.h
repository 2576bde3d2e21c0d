/* engine/make/catalog: the list of published models as text, for whoever tests it. See engine/models.h (eng_catalog). Private to engine. */
#ifndef QUORUM_CATALOG_H
#define QUORUM_CATALOG_H

#include "engine/models.h"

typedef struct catalog {
    eng_known *row;                    /* owned, with what its rows point at */
    int n;
    char **text; int n_text;           /* every string that a row points at */
} catalog;
/* name is for sentences. Q_FORMAT names the line, or the row and the key that it lacks; *out is then empty. */
int catalog_read(const char *text, const char *name, catalog *out, char *err);
void catalog_free(catalog *);

#endif
