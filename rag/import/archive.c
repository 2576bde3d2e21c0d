/* rag/import/archive: the table of archives. Pure functions; any thread. */
#include "rag/import/archive.h"

static const archive *const archives[] = {&archive_chatgpt, &archive_claude, &archive_webui, &archive_studio, &archive_tavern, &archive_own, &archive_nexus, &archive_dialogue};
enum { ARCHIVES = sizeof archives / sizeof *archives };

const archive *archive_of(const cJSON *record)
{
    for (int i = 0; i < ARCHIVES; i++)
        if (archives[i]->knows && archives[i]->knows(record)) return archives[i];
    return NULL;
}

const archive *archive_of_text(const char *p, size_t n)
{
    for (int i = 0; i < ARCHIVES; i++)
        if (archives[i]->knows_text && archives[i]->knows_text(p, n)) return archives[i];
    return NULL;
}
