/* base/ram: how much memory is free for us, as the kernel and the control groups we live in count it. Reads files under
 * /proc and /sys each time it is asked; no state, any thread. What is only cached counts as free: the kernel gives it back
 * before anybody is refused. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

/* The number after `key` in root/path. */
static bool number_in(const char *root, const char *path, const char *key, uint64_t *out)
{
    char *full = q_printf("%s%s", root, path), line[256];
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

/* How a version of control groups spells things. Only the cache of files can be given back: memory of tmpfs, which
 * "file" or "cache" would count too, cannot. */
typedef struct scheme { const char *mount, *limit, *used, *reclaim[3]; } scheme;
static const scheme V2 = {"/sys/fs/cgroup", "memory.max", "memory.current", {"active_file ", "inactive_file ", "slab_reclaimable "}};
static const scheme V1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                          {"total_active_file ", "total_inactive_file ", NULL}};

/* What one group leaves; UINT64_MAX: it has no limit, or is not there. */
static uint64_t left_in(const char *root, const scheme *s, const char *group)
{
    uint64_t limit, used, cached = 0, n;
    char *at = q_printf("%s%s/%s", s->mount, group, s->limit), *use = q_printf("%s%s/%s", s->mount, group, s->used);
    char *stat = q_printf("%s%s/memory.stat", s->mount, group);
    uint64_t left = UINT64_MAX;
    if (number_in(root, at, "", &limit) && number_in(root, use, "", &used)) {
        for (int i = 0; i < 3 && s->reclaim[i]; i++)
            if (number_in(root, stat, s->reclaim[i], &n)) cached += n;
        used = used > cached ? used - cached : 0;
        left = limit > used ? limit - used : 0;
    }
    free(at);
    free(use);
    free(stat);
    return left;
}

/* The least that `group` and those around it leave. */
static uint64_t left_around(const char *root, const scheme *s, const char *group)
{
    char *g = q_strdup(strcmp(group, "/") == 0 ? "" : group);
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t n = left_in(root, s, g);
        if (n < least) least = n;
        char *slash = strrchr(g, '/');
        if (!slash) break;
        *slash = 0;
    }
    free(g);
    return least;
}

uint64_t q_mem_available_in(const char *root)
{
    uint64_t kib, mem = UINT64_MAX, n;
    if (number_in(root, "/proc/meminfo", "MemAvailable:", &kib)) mem = kib * 1024;
    char *path = q_printf("%s/proc/self/cgroup", root), line[4096];
    FILE *f = fopen(path, "re");
    free(path);
    bool v2 = false, v1 = false;
    while (f && fgets(line, sizeof line, f)) {          /* "0::/group", "4:cpu,memory:/group" */
        char *kinds = strchr(line, ':'), *group = kinds ? strchr(kinds + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        bool is_v2 = kinds[1] == 0, is_v1 = false;
        for (char *k = kinds + 1; k && *k; k = strchr(k, ',') ? strchr(k, ',') + 1 : NULL)
            is_v1 = is_v1 || (strncmp(k, "memory", 6) == 0 && (k[6] == 0 || k[6] == ','));
        if (!is_v2 && !is_v1) continue;
        v2 = v2 || is_v2;
        v1 = v1 || is_v1;
        n = left_around(root, is_v2 ? &V2 : &V1, group);
        if (n < mem) mem = n;
    }
    if (f) fclose(f);
    if (!v2 && (n = left_in(root, &V2, "")) < mem) mem = n;       /* no /proc, or groups that do not say where we are */
    if (!v1 && (n = left_in(root, &V1, "")) < mem) mem = n;
    return mem;
}

uint64_t q_mem_available(void) { return q_mem_available_in(""); }

bool q_in_memory(const char *path)
{
    struct statfs st;
    return statfs(path, &st) == 0 && ((unsigned long)st.f_type == 0x01021994u /* tmpfs */ || (unsigned long)st.f_type == 0x858458f6u /* ramfs */);
}
