/* tools/place: names of files. A name that a model wrote becomes canonical (no ".", "..", "~"), and what it names is opened from the
 * project folder on, or from "/", a part at a time, following no link. What may hold secrets and what other programs obey are known
 * here by name. Any thread. */
#ifndef TOOLS_PLACE_H
#define TOOLS_PLACE_H

#include "tools/tools.h"

#include <sys/stat.h>

/* The canonical form of a name: below the folder ("." the folder itself) or absolute; *risk gets OUTSIDE and SECRET, GUARDED too. */
int place_name(const tool_place *, const char *name, char **out, unsigned *risk, char *err);
unsigned place_risk(const tool_place *, const char *canonical);
char *place_absolute(const tool_place *, const char *canonical);         /* malloc'ed */
/* The folder that a canonical name stands in, *leaf its last part (malloc'ed; "." for the root itself). make: folders that are not
 * there are made. The descriptor only looks up. */
int place_folder(const tool_place *, const char *canonical, bool make, int *dir, char **leaf, char *err);
int place_open_folder(const tool_place *, const char *canonical, int *fd, char *err);    /* to be listed */
/* A regular file of a folder, at most `max` bytes. Q_NOTFOUND: there is none. */
int place_read(int dir, const char *leaf, const char *shown, size_t max, q_buf *out, struct stat *st, char *err);
/* Written beside and renamed: whole or not at all. mode: of a new file. */
enum { PLACE_NEW = 1 << 16 };            /* in the place of a mode: a new file, as the person's umask has it */
int place_write(int dir, const char *leaf, const char *shown, unsigned mode, const char *p, size_t n, char *err);
struct sandbox;
const struct sandbox *place_box(const tool_place *, char *err);  /* that commands run in, tried at the first call; NULL: none can be run */
const tool_lent *place_lent(const tool_place *);         /* NULL: nothing is lent */
bool place_sayable(const char *name);   /* no control character, no turning of text, valid UTF-8 */

enum { PLACE_FILE_MAX = 4 << 20 };

#endif
