/* base/groups: the control groups that hold this process, in both versions of the interface: what a container, a service or a
 * scheduler allows it (Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/). Reads files under root/proc and root/sys
 * each time it is asked; no state, any thread. Base only: what is allowed is told by q_mem_available and q_cores (base.h). */
#ifndef QUORUM_BASE_GROUPS_H
#define QUORUM_BASE_GROUPS_H

#include <stdbool.h>
#include <stdint.h>

/* A group's folder, root included, and which version of files lies there. */
typedef void groups_look(void *user, const char *folder, bool v2);

/* Every group around us that `controller` ("memory", "cpu") may bound, from the innermost outwards; and where nobody says in which
 * group we are, or it is not to be seen from here, as in a container, the outermost. A folder need not be there. */
void groups_each(const char *root, const char *controller, groups_look *look, void *user);

/* The number after `key` in folder/file: of the first line that begins so. */
bool groups_number(const char *folder, const char *file, const char *key, uint64_t *out);

#endif
