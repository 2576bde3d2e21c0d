/* base/place: where a file lies, and whether one can be written there: asked before work begins whose outcome goes into it. Any thread. */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

#include <stdbool.h>

char *q_folder_of(const char *path);                  /* of a file: "/" and "." where nothing else stands before its name; malloc'ed */
bool q_same_place(const char *a, const char *b);     /* writing both leaves one file: a name in one folder, however that is written; nothing need be there */
bool q_taken(const char *path);                      /* something has that name: a link that leads nowhere, too */
/* Q_IO and why: q_write_file_new could not, for want of a folder or rights, or as the name is too long. */
int q_may_write(const char *path, char *err);

#endif
