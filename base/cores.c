/* base/cores: how many processors this process may keep busy. Reads files under /proc and /sys each time it is asked; no state, any
 * thread. A group's share is its quota over its period: "200000 100000" in cpu.max, or cpu.cfs_quota_us and cpu.cfs_period_us; "max"
 * and -1 are none (Linux, Documentation/admin-guide/cgroup-v2.rst, Documentation/scheduler/sched-bwc.rst). */
#include "base/base.h"
#include "base/groups.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void look_share(void *user, const char *folder, bool v2)
{
    double *least = user, quota, period = 0;
    uint64_t q, p;
    if (v2) {
        char *path = q_printf("%s/cpu.max", folder);
        FILE *f = fopen(path, "re");
        free(path);
        if (!f) return;
        if (fscanf(f, "%lf %lf", &quota, &period) != 2) period = 0;                     /* "max 100000" */
        fclose(f);
    } else {
        if (!groups_number(folder, "cpu.cfs_quota_us", "", &q) || !groups_number(folder, "cpu.cfs_period_us", "", &p)) return;
        quota = (double)(int64_t)q;
        period = (double)p;
    }
    if (quota > 0 && period > 0 && quota / period < *least) *least = quota / period;
}

int q_cores_in(const char *root, int may)
{
    double share = may;
    groups_each(root, "cpu", look_share, &share);
    return share < 1.5 ? 1 : (int)(share + .5);
}

int q_cores(void)
{
    cpu_set_t set;
    int may = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return q_cores_in("", may < 1 ? 1 : may);
}
