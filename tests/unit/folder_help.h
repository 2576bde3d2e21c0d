/* tests: files of a folder of the test's own. */
#ifndef QUORUM_FOLDER_HELP_H
#define QUORUM_FOLDER_HELP_H
#include "base/base.h"
#include "tests/test.h"

/* The path of a file there; holds until three more were asked for. */
static char *path_in(const char *folder, const char *name)
{
    static char path[4][700];
    static int i;
    char *p = path[i++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

/* With the folders that it needs. */
__attribute__((unused)) static void put_at(char *path, const char *text)
{
    char said[Q_ERRLEN], *slash = strrchr(path, '/');
    *slash = 0;
    CHECK_INT(q_mkdirs(path, said), Q_OK);
    *slash = '/';
    CHECK_MSG(q_write_file_atomic(path, text, strlen(text), said) == Q_OK, "%s", said);
}
#endif
