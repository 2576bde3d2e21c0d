/* base/groups: see groups.h. */
#include "base/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

bool groups_number(const char *folder, const char *file, const char *key, uint64_t *out)
{
    char *full = q_printf("%s/%s", folder, file), line[256];
    FILE *f = fopen(full, "re");
    free(full);
    if (!f) return false;
    bool ok = false;
    size_t kl = strlen(key);
    while (!ok && fgets(line, sizeof line, f))
        if (strncmp(line, key, kl) == 0) {
            char *end;
            unsigned long long v = strtoull(line + kl, &end, 10);
            if (end != line + kl) { *out = v; ok = true; }
        }
    fclose(f);
    return ok;
}

/* The controller's name is one of those in "cpu,cpuacct". */
static bool one_of(const char *kinds, const char *controller)
{
    size_t n = strlen(controller);
    for (const char *k = kinds; k; k = strchr(k, ',') ? strchr(k, ',') + 1 : NULL)
        if (strncmp(k, controller, n) == 0 && (k[n] == 0 || k[n] == ',')) return true;
    return false;
}

/* `group` below the mount, and those around it, the mount itself last. */
static void around(const char *mount, const char *group, bool v2, groups_look *look, void *user)
{
    char *at = q_printf("%s%s", mount, strcmp(group, "/") == 0 ? "" : group);
    for (size_t least = strlen(mount);;) {
        look(user, at, v2);
        if (strlen(at) <= least) break;
        *strrchr(at, '/') = 0;
    }
    free(at);
}

void groups_each(const char *root, const char *controller, groups_look *look, void *user)
{
    char *mounts[2] = {q_printf("%s/sys/fs/cgroup/%s", root, controller), q_printf("%s/sys/fs/cgroup", root)}, line[4096];
    char *path = q_printf("%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    free(path);
    bool seen[2] = {false, false};                       /* version 1, version 2 */
    while (f && fgets(line, sizeof line, f)) {           /* "0::/group", "4:cpu,cpuacct:/group" */
        char *kinds = strchr(line, ':'), *group = kinds ? strchr(kinds + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        bool v2 = kinds[1] == 0;
        if (*group != '/' || (!v2 && !one_of(kinds + 1, controller))) continue;
        seen[v2] = true;
        around(mounts[v2], group, v2, look, user);
    }
    if (f) fclose(f);
    for (int v2 = 0; v2 < 2; v2++) {                     /* no /proc, or groups that do not say where we are */
        if (!seen[v2]) look(user, mounts[v2], v2 != 0);
        free(mounts[v2]);
    }
}
