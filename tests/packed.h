/* tests: goldens that are kept packed (NAME.gz), because they pack to a tenth. What a test opens is the file itself, unpacked
 * once under $BUILD/unpacked; a file that is there unpacked is taken as it is. */
#ifndef TESTS_PACKED_H
#define TESTS_PACKED_H
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* The path that can be opened: valid until the fourth call behind this one. What cannot be unpacked keeps its name, so that
 * the test says which it misses. */
static inline const char *packed(const char *path)
{
    static char ring[4][512];
    static int turn;
    char *to = ring[turn++ % 4], from[512], part[544], folder[512], why[Q_ERRLEN];
    const char *build = getenv("BUILD");
    snprintf(from, sizeof from, "%s.gz", path);
    gzFile z = access(path, F_OK) == 0 ? NULL : gzopen(from, "rb");
    snprintf(to, sizeof ring[0], "%s", path);
    if (!z) return to;
    snprintf(to, sizeof ring[0], "%s/unpacked/%s", build ? build : "build", path);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(to, '/') - to), to);
    snprintf(part, sizeof part, "%s.%ld", to, (long)getpid());
    FILE *f = q_mkdirs(folder, why) == Q_OK ? fopen(part, "wb") : NULL;
    static char piece[1 << 16];
    int n = f ? 1 : -1;
    while (n > 0 && (n = gzread(z, piece, sizeof piece)) > 0) n = fwrite(piece, 1, (size_t)n, f) == (size_t)n ? n : -1;
    gzclose(z);
    if ((f && fclose(f) != 0) || n < 0 || rename(part, to) != 0) snprintf(to, sizeof ring[0], "%s", path);
    return to;
}

/* Packs path and takes it away: for a test that makes its golden. Equal bytes make an equal file. */
static inline bool pack(const char *path)
{
    char to[512], why[Q_ERRLEN];
    q_buf b = { 0 };
    snprintf(to, sizeof to, "%s.gz", path);
    gzFile z = q_read_file(path, &b, (size_t)1 << 28, why) == Q_OK ? gzopen(to, "wb9") : NULL;
    bool ok = z && gzwrite(z, b.p, (unsigned)b.len) == (int)b.len;
    ok = z && gzclose(z) == Z_OK && ok;
    q_buf_free(&b);
    return ok && unlink(path) == 0;
}
#endif
