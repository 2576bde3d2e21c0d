/* engine/run/session: what a session offers beyond engine.h to tests. Same thread rules as engine.h.
 * Private to engine; it never grows into a second interface. */
#ifndef QUORUM_SESSION_H
#define QUORUM_SESSION_H

#include "engine/engine.h"

/* Rows of a prefill chunk, 1 to 512 (tests cross page borders with it; the result never depends on it). */
void session_set_chunk(eng_session *, int rows);
/* Configuration that made a cached cell, and how many cells are cached. */
uint64_t session_cell_config(const eng_session *, int cell);
int session_cells(const eng_session *);

#endif
