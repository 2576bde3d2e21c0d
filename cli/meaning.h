/* cli/meaning: parts of `quorum memory` that know the embedding model. Main thread. */
#ifndef QUORUM_CLI_MEANING_H
#define QUORUM_CLI_MEANING_H

#include "memory/memory.h"

/* The file that m means (memory.embedder's forms), or (NULL) that the store's memory.embedder or the default does; *path malloc'ed. */
int cli_memory_embedder(mem_store *, const char *m, char **path, char *err);
/* Makes what is owed, at most `limit` (0: all), and says what it made. Q_CANCEL: Ctrl-C; what was made stays. */
int cli_memory_embed(mem_store *, const char *m, int limit, bool json, char *err);
/* Opens the chat model that --rerank names ("default": the default one) for agt_second_look; *out for prov_close. */
struct prov;
int cli_memory_second(const char *m, struct prov **out, char *err);
/* The vectors of a model go, by its name or how that begins, behind a question: 1: nobody agreed; else a result. */
struct memory_ask;
int cli_memory_drop(mem_store *, const struct memory_ask *, char *err);
int cli_memory_status(mem_store *, bool json, char *err);

#endif
