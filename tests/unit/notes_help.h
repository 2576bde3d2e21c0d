/* tests: an agent that answers by a script, with notes in its memory. */
#ifndef QUORUM_NOTES_HELP_H
#define QUORUM_NOTES_HELP_H
#include "tests/unit/script_help.h"

static void note_in(const char *name, const char *text)
{
    int64_t id;
    CHECK_INT(rag_add_text(a->store, name, name, MEM_TRUST_OWN, text, strlen(text), &id, err), Q_OK);
}

static void ask(seen *s, const char *line)
{
    seen_clear(s);
    agt_submit(a, line);
    settle(a, s);
}

#define ANSWERED(s, words) CHECK_MSG((s)->last && strcmp((s)->last->text, words) == 0, "%s", (s)->last ? (s)->last->text : "no answer")
#define SAID_NOTE(s, words) CHECK_MSG((s)->notes.p && strstr((s)->notes.p, words), "%s", (s)->notes.p ? (s)->notes.p : "nothing said")
#endif
