/* base/ram: how much memory is free for us, as the kernel and the control groups we live in count it. Reads files under
 * /proc and /sys each time it is asked; no state, any thread. What is only cached counts as free: the kernel gives it back
 * before anybody is refused. */
#include "base/base.h"
#include "base/groups.h"

#include <stdlib.h>
#include <sys/vfs.h>

/* How a version of control groups spells things. Memory above `high` is not refused, but taken back at once, and whoever asks for it
 * waits: for weights that are read again and again that is the end. Only the cache of files can be given back: memory of tmpfs,
 * which "file" or "cache" would count too, cannot. */
typedef struct scheme { const char *limit, *high, *used, *reclaim[3]; } scheme;
static const scheme V2 = {"memory.max", "memory.high", "memory.current", {"active_file ", "inactive_file ", "slab_reclaimable "}};
static const scheme V1 = {"memory.limit_in_bytes", NULL, "memory.usage_in_bytes", {"total_active_file ", "total_inactive_file ", NULL}};

/* What a group allows in all; UINT64_MAX: it has no limit, or is not there. */
static uint64_t limit_in(const char *folder, const scheme *s)
{
    uint64_t limit, high;
    if (!groups_number(folder, s->limit, "", &limit)) limit = UINT64_MAX;
    return s->high && groups_number(folder, s->high, "", &high) && high < limit ? high : limit;
}

static void look_total(void *user, const char *folder, bool v2)
{
    uint64_t *least = user, n = limit_in(folder, v2 ? &V2 : &V1);
    if (n < *least) *least = n;
}

static void look_left(void *user, const char *folder, bool v2)
{
    const scheme *s = v2 ? &V2 : &V1;
    uint64_t *least = user, limit = limit_in(folder, s), used, cached = 0, n;
    if (limit == UINT64_MAX || !groups_number(folder, s->used, "", &used)) return;
    for (int i = 0; i < 3 && s->reclaim[i]; i++)
        if (groups_number(folder, "memory.stat", s->reclaim[i], &n)) cached += n;
    used = used > cached ? used - cached : 0;
    n = limit > used ? limit - used : 0;
    if (n < *least) *least = n;
}

static uint64_t bounded(const char *root, const char *key, groups_look *look)
{
    uint64_t kib, mem = UINT64_MAX;
    char *proc = q_printf("%s/proc", root);
    if (groups_number(proc, "meminfo", key, &kib)) mem = kib * 1024;
    free(proc);
    groups_each(root, "memory", look, &mem);
    return mem;
}

uint64_t q_mem_available_in(const char *root) { return bounded(root, "MemAvailable:", look_left); }
uint64_t q_mem_total_in(const char *root) { return bounded(root, "MemTotal:", look_total); }
uint64_t q_mem_total(void) { return q_mem_total_in(""); }
uint64_t q_mem_available(void) { return q_mem_available_in(""); }

bool q_in_memory(const char *path)
{
    struct statfs st;
    return statfs(path, &st) == 0 && ((unsigned long)st.f_type == 0x01021994u /* tmpfs */ || (unsigned long)st.f_type == 0x858458f6u /* ramfs */);
}
