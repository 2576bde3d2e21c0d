/* memory/step 3: documents, their chunks, and the log of what was fed. */
#include "memory/store.h"

const char store_step_03[] =
    "CREATE TABLE document("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, title TEXT NOT NULL, trust INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL, mtime INTEGER NOT NULL, added INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;"
    "CREATE TABLE chunk("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " document INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,"
    " start INTEGER NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE INDEX chunk_document ON chunk(document, ordinal);"
    "CREATE VIRTUAL TABLE chunk_fts USING fts5(heading, text, content='chunk', content_rowid='id',"
    " tokenize='quorum');"
    "CREATE TABLE retrieval("
    " message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE, rank INTEGER NOT NULL,"
    " number INTEGER NOT NULL, kind INTEGER NOT NULL, ref INTEGER NOT NULL, label TEXT NOT NULL,"
    " terms TEXT NOT NULL, reason TEXT NOT NULL, score REAL NOT NULL, coverage REAL NOT NULL,"
    " evidence REAL NOT NULL, bm25 REAL NOT NULL, tokens INTEGER NOT NULL,"
    " PRIMARY KEY(message, rank)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX retrieval_ref ON retrieval(kind, ref);";
