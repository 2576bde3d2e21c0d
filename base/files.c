/* base/files: whole files, directories and the user's paths (XDG Base Directory 0.8). */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int q_read_file(const char *path, q_buf *out, size_t max, char *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return q_fail(err, Q_IO, _("cannot open %s: %s"), path, strerror(errno));
    char chunk[65536];
    size_t got = 0;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            int e = errno;
            close(fd);
            return q_fail(err, Q_IO, _("cannot read %s: %s"), path, strerror(e));
        }
        if (n == 0) break;
        got += (size_t)n;
        if (got > max) {
            char w[32];
            close(fd);
            return q_fail(err, Q_RANGE, _("%s is larger than %s"), path, q_bytes_words(max, w));
        }
        q_buf_add(out, chunk, (size_t)n);
    }
    close(fd);
    return Q_OK;
}

int q_write_file_atomic(const char *path, const void *p, size_t n, char *err)
{
    char *tmp = q_printf("%s.tmp.%ld", path, (long)getpid());
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc = Q_OK;
    const char *s = p;
    bool bad = fd < 0;
    while (!bad && n) {
        ssize_t w = write(fd, s, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) { bad = true; break; }
        s += w;
        n -= (size_t)w;
    }
    if (!bad && fsync(fd) != 0) bad = true;
    int e = errno;
    if (fd >= 0 && close(fd) != 0 && !bad) { bad = true; e = errno; }
    if (!bad && rename(tmp, path) != 0) { bad = true; e = errno; }
    if (bad) {
        unlink(tmp);
        rc = q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(e));
    }
    free(tmp);
    return rc;
}

int q_mkdirs(const char *path, char *err)
{
    char *p = q_strdup(path);
    for (char *s = p + 1;; s++) {
        if (*s && *s != '/') continue;
        char c = *s;
        *s = 0;
        if (mkdir(p, 0700) != 0 && errno != EEXIST) {
            int rc = q_fail(err, Q_IO, _("cannot make the directory %s: %s"), p, strerror(errno));
            free(p);
            return rc;
        }
        *s = c;
        if (!c) break;
    }
    free(p);
    return Q_OK;
}

char *q_user_path(enum q_dir d, const char *name)
{
    static const struct { const char *var, *home; } dirs[] = {
        [Q_DIR_CONFIG] = {"XDG_CONFIG_HOME", ".config"},
        [Q_DIR_DATA] = {"XDG_DATA_HOME", ".local/share"},
        [Q_DIR_CACHE] = {"XDG_CACHE_HOME", ".cache"},
        [Q_DIR_STATE] = {"XDG_STATE_HOME", ".local/state"},
    };
    const char *x = getenv(dirs[d].var), *home = getenv("HOME");
    if (x && x[0] == '/') return q_printf("%s/quorum/%s", x, name);
    return q_printf("%s/%s/quorum/%s", home && *home ? home : "/tmp", dirs[d].home, name);
}

#ifndef QUORUM_DATADIR
#define QUORUM_DATADIR "/usr/local/share/quorum"
#endif

char *q_share_path(const char *name)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = 0;
        /* build/quorum or build/tests/x: the tree is one or two levels up; bin/quorum: ../share/quorum */
        static const char *const up[] = {"/..", "/../..", "/../share/quorum", NULL};
        char *slash = strrchr(exe, '/');
        if (slash) *slash = 0;
        for (int i = 0; up[i]; i++) {
            char *p = q_printf("%s%s/%s", exe, up[i], name);
            if (access(p, R_OK) == 0) return p;
            free(p);
        }
    }
    char *p = q_printf("%s/%s", QUORUM_DATADIR, name);
    if (access(p, R_OK) == 0) return p;
    free(p);
    return NULL;
}

char *q_bytes_words(uint64_t n, char out[32])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    int u = 0;
    while (v >= 1024 && u < 4) { v /= 1024; u++; }
    snprintf(out, 32, u == 0 ? "%.0f %s" : "%.1f %s", v, unit[u]);
    return out;
}

static bool number_in(const char *path, const char *key, uint64_t *out)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    char line[256];
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

uint64_t q_mem_available(void)
{
    uint64_t kib = 0, max, cur, mem = UINT64_MAX;
    if (number_in("/proc/meminfo", "MemAvailable:", &kib)) mem = kib * 1024;
    if (number_in("/sys/fs/cgroup/memory.max", "", &max) && number_in("/sys/fs/cgroup/memory.current", "", &cur)) {
        uint64_t left = max > cur ? max - cur : 0;
        if (left < mem) mem = left;
    }
    return mem;
}
