/* memory/step 14: what embedding models made of passages. A passage has at most one vector of each model; one that has none is
 * owed one. */
#include "memory/store.h"

const char store_step_14[] =
    "CREATE TABLE embedder("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, dim INTEGER NOT NULL,"
    " puts INTEGER NOT NULL DEFAULT 0,"         /* how often some were put, */
    " drops INTEGER NOT NULL DEFAULT 0"         /* and went: whoever holds a copy looks at both */
    ") STRICT;"
    "CREATE TABLE embedder_sum("                /* of all its vectors of a kind, exact: memory/vectors.c */
    " embedder INTEGER NOT NULL REFERENCES embedder(id), kind INTEGER NOT NULL, n INTEGER NOT NULL, sum BLOB NOT NULL,"
    " PRIMARY KEY(embedder, kind)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE vector("                      /* a number is scale * its byte, signed */
    " id INTEGER PRIMARY KEY AUTOINCREMENT, embedder INTEGER NOT NULL REFERENCES embedder(id), kind INTEGER NOT NULL,"
    " passage INTEGER NOT NULL, scale REAL NOT NULL, data BLOB NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX vector_passage ON vector(kind, passage, embedder);"
    "CREATE INDEX vector_embedder ON vector(embedder);"
    "CREATE TABLE vector_exact("                /* the same as floats, least byte first */
    " vector INTEGER PRIMARY KEY REFERENCES vector(id), data BLOB NOT NULL) STRICT;";
