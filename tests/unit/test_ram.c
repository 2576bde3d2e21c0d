/* Free memory, and how many processors are ours, as machines of several makes say it: folders that stand for their / are written and read. */
#include "base/base.h"
#include "tests/test.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void put(const char *path, const char *text)
{
    char err[Q_ERRLEN], *full = q_printf("%s%s", root, path), *slash = strrchr(full, '/');
    *slash = 0;
    CHECK(q_mkdirs(full, err) == 0);
    *slash = '/';
    CHECK_MSG(q_write_file_atomic(full, text, strlen(text), err) == 0, "%s", err);
    free(full);
}

static void begin(void)
{
    snprintf(root, sizeof root, "/tmp/quorum-ram-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    put("/proc/meminfo", "MemTotal:       16000000 kB\nMemFree:         100000 kB\nMemAvailable:   12000000 kB\n");
}

static void end(void)
{
    char *rm = q_printf("rm -rf '%s'", root);
    CHECK(system(rm) == 0);
    free(rm);
}

static uint64_t kib(void) { return q_mem_available_in(root) / 1024; }
static uint64_t all_kib(void) { return q_mem_total_in(root) / 1024; }

static void without_groups(void)
{
    begin();
    CHECK_INT(kib(), 12000000);
    put("/proc/self/cgroup", "0::/user.slice\n");
    CHECK_INT(kib(), 12000000);
    put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/user.slice/memory.current", "4096\n");
    CHECK_INT(kib(), 12000000);
    end();
    CHECK(q_mem_available_in("/nowhere/at/all") == UINT64_MAX);
    CHECK(q_mem_available() > 0);
}

/* A container of 4,096,000 KiB that has read a model: 4,000,000 used, 2,900,000 of it page cache. */
static void page_cache_is_free(void)
{
    begin();
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "4194304000\n");
    put("/sys/fs/cgroup/memory.current", "4096000000\n");
    printf("# without the cache %llu KiB,", (unsigned long long)kib());
    put("/sys/fs/cgroup/memory.stat", "anon 1100000000\nfile 3000000000\nshmem 30400000\nactive_file 1000000000\ninactive_file 1969600000\nslab_reclaimable 0\n");
    printf(" with it %llu\n", (unsigned long long)kib());
    CHECK_INT(kib(), (4194304000 - (4096000000 - 2969600000)) / 1024);
    put("/sys/fs/cgroup/memory.stat", "active_file 9999999999999\n");        /* more than is used: the limit, no more */
    CHECK_INT(kib(), 4194304000 / 1024);
    put("/sys/fs/cgroup/memory.current", "9999999999\n");
    put("/sys/fs/cgroup/memory.stat", "active_file 1\n");
    CHECK_INT(kib(), 0);
    end();
}

static void groups_lie_in_groups(void)
{
    begin();
    put("/proc/self/cgroup", "0::/user.slice/app.scope\n");
    put("/sys/fs/cgroup/user.slice/app.scope/memory.max", "8000000000\n");
    put("/sys/fs/cgroup/user.slice/app.scope/memory.current", "1000000000\n");
    CHECK_INT(kib(), 7000000000 / 1024);
    put("/sys/fs/cgroup/user.slice/memory.max", "5000000000\n");
    put("/sys/fs/cgroup/user.slice/memory.current", "2000000000\n");
    put("/sys/fs/cgroup/user.slice/memory.stat", "inactive_file 500000000\n");
    CHECK_INT(kib(), 3500000000 / 1024);
    end();
}

static void version_one(void)
{
    begin();
    put("/proc/self/cgroup", "9:name=systemd:/\n4:cpuset,memory:/docker/abc\n0::/\n");
    put("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2000000000\n");
    put("/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "1900000000\n");
    put("/sys/fs/cgroup/memory/docker/abc/memory.stat", "active_file 1\ntotal_active_file 600000000\ntotal_inactive_file 300000000\n");
    CHECK_INT(kib(), 1000000000 / 1024);
    put("/proc/self/cgroup", "4:memory:/not/seen/from/here\n");               /* the container sees its own group as the root */
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1500000000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "500000000\n");
    CHECK_INT(kib(), 1000000000 / 1024);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK_INT(kib(), 12000000);
    end();
}

/* Above memory.high nothing is refused, but everything waits: what lies below it is all that is of use. */
static void what_is_throttled_is_not_free(void)
{
    begin();
    put("/proc/self/cgroup", "0::/user.slice\n");
    put("/sys/fs/cgroup/user.slice/memory.current", "1000000000\n");
    put("/sys/fs/cgroup/user.slice/memory.high", "3000000000\n");
    CHECK_INT(kib(), 2000000000 / 1024);                         /* no memory.max at all */
    put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
    CHECK_INT(kib(), 2000000000 / 1024);
    put("/sys/fs/cgroup/user.slice/memory.max", "2500000000\n");
    CHECK_INT(kib(), 1500000000 / 1024);
    put("/sys/fs/cgroup/user.slice/memory.high", "max\n");
    CHECK_INT(kib(), 1500000000 / 1024);
    end();
}

/* What there is in all: a container's own, whatever the machine around it has. */
static void all_there_is(void)
{
    begin();
    CHECK_INT(all_kib(), 16000000);
    put("/proc/self/cgroup", "0::/box/inner\n");
    put("/sys/fs/cgroup/box/inner/memory.max", "max\n");
    CHECK_INT(all_kib(), 16000000);
    put("/sys/fs/cgroup/box/memory.max", "4096000000\n");
    CHECK_INT(all_kib(), 4000000);
    put("/sys/fs/cgroup/box/inner/memory.high", "2048000000\n");
    CHECK_INT(all_kib(), 2000000);
    put("/sys/fs/cgroup/box/memory.max", "99999999999999\n");
    put("/sys/fs/cgroup/box/inner/memory.high", "99999999999999\n");
    CHECK_INT(all_kib(), 16000000);
    end();
    CHECK(q_mem_total_in("/nowhere/at/all") == UINT64_MAX);
    CHECK(q_mem_total() >= q_mem_available());
}

static int cores(int may) { return q_cores_in(root, may); }

/* A group's quota is what its threads may compute together, whatever the machine around it has. */
static void processors_that_are_paid_for(void)
{
    begin();
    CHECK_INT(cores(16), 16);
    put("/proc/self/cgroup", "0::/\n");                          /* docker --cpus 2.0 */
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    CHECK_INT(cores(16), 2);
    CHECK_INT(cores(1), 1);                                      /* and taskset */
    static const struct { const char *max; int want; } v[] = {
        { "max 100000", 16 }, { "max", 16 }, { "150000 100000", 2 }, { "149000 100000", 1 }, { "765000 100000", 8 }, { "50000 100000", 1 }, { "1000 1000000", 1 },
        { "25000 10000", 3 }, { "9900000 100000", 16 }, { "0 100000", 16 }, { "-1 100000", 16 }, { "100000 0", 16 }, { "", 16 }, { "nonsense", 16 }, { "nan 100000", 16 },
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        put("/sys/fs/cgroup/cpu.max", v[i].max);
        CHECK_MSG(cores(16) == v[i].want, "cpu.max \"%s\": %d, expected %d", v[i].max, cores(16), v[i].want);
    }
    put("/proc/self/cgroup", "0::/user.slice/app.scope\n");      /* CPUQuota= of a service, and of the slice around it */
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "800000 100000\n");
    CHECK_INT(cores(16), 8);
    put("/sys/fs/cgroup/user.slice/cpu.max", "300000 100000\n");
    CHECK_INT(cores(16), 3);
    end();
    CHECK_INT(q_cores_in("/nowhere/at/all", 7), 7);
}

static void processors_of_version_one(void)
{
    begin();
    put("/proc/self/cgroup", "9:name=systemd:/\n5:cpuset:/cpu\n4:cpu,cpuacct:/docker/abc\n0::/\n");
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
    CHECK_INT(cores(16), 16);
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "400000\n");
    CHECK_INT(cores(16), 4);
    put("/proc/self/cgroup", "4:cpuacct,cpu:/not/seen/from/here\n");         /* the container sees its own group as the root */
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    CHECK_INT(cores(16), 2);
    put("/proc/self/cgroup", "5:cpuset:/\n4:cpuacct:/docker/abc\n");         /* nobody says where: the outermost */
    CHECK_INT(cores(16), 2);
    end();
}

/* taskset leaves what it leaves, and never more threads than that begin. */
static void processors_that_are_allowed(void)
{
    cpu_set_t before, one;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    CHECK(q_cores() >= 1 && q_cores() <= CPU_COUNT(&before));
    int first = 0;
    while (!CPU_ISSET(first, &before)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK_INT(q_cores(), 1);
    CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
}

/* What lies in memory is told from what lies on a disk. */
static void tmpfs_is_memory(void)
{
    CHECK(!q_in_memory("/nowhere/at/all") && !q_in_memory("/proc/self/status"));
    q_buf b = { 0 };
    char err[Q_ERRLEN];
    if (q_read_file("/proc/self/mounts", &b, 1 << 20, err) == 0 && strstr(b.p, " /dev/shm tmpfs "))
        CHECK(q_in_memory("/dev/shm"));
    q_buf_free(&b);
}

int main(void)
{
    RUN(without_groups);
    RUN(page_cache_is_free);
    RUN(groups_lie_in_groups);
    RUN(version_one);
    RUN(what_is_throttled_is_not_free);
    RUN(all_there_is);
    RUN(processors_that_are_paid_for);
    RUN(processors_of_version_one);
    RUN(processors_that_are_allowed);
    RUN(tmpfs_is_memory);
    return TEST_END();
}
