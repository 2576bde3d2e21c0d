/* rag/import/unzip: one member of a zip archive, for who fetches models. Waits for the program that reads it; any thread. */
#include "rag/import/child.h"
#include "rag/rag.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 16 };

int rag_unzip(int fd, const char *member, bool (*put)(void *user, const char *p, size_t n), void *user, char *err)
{
    rag_child *c = rag_child_new(NULL);
    const char *why = rag_child_archive(c, fd);
    char *name = NULL, *piece = q_alloc(PIECE);
    bool found = false, taken = true;
    while (!why && !found && (name = rag_child_next(c, &why)) != NULL) {
        found = strcmp(name, member) == 0;
        free(name);
    }
    for (long n; found && taken && (n = rag_child_more(c, piece, PIECE)) > 0;) taken = put(user, piece, (size_t)n);
    if (found) why = rag_child_why(c);
    int rc = !taken ? q_fail(err, Q_CANCEL, _("stopped")) : why ? q_fail(err, Q_FORMAT, "%s", why) : found ? Q_OK : q_fail(err, Q_NOTFOUND, _("it holds no %s"), member);
    rag_child_free(c);
    free(piece);
    return rc;
}
