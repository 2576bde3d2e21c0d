/* tests/engine_util: what the engine's tests share: JSON files, the checked-in models, the default model. */
#ifndef QUORUM_ENGINE_UTIL_H
#define QUORUM_ENGINE_UTIL_H

#include "tests/packed.h"
#include "base/base.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

static inline bool util_exists(const char *path) { return access(path, R_OK) == 0; }

/* For cJSON, which was not built for MSan: what lay there before is known to be gone. */
static inline void *util_zeroed(size_t n) { return calloc(1, n); }

/* dir/name as JSON, or NULL; frees name. */
static inline cJSON *util_json(const char *dir, char *name)
{
    char *path = q_printf("%s/%s", dir, name), err[Q_ERRLEN];
    q_buf b = { 0 };
    cJSON_InitHooks(&(cJSON_Hooks){ util_zeroed, free });
    cJSON *v = q_read_file(packed(path), &b, (size_t)1 << 28, err) == 0 ? cJSON_Parse(b.p) : NULL;
    q_buf_free(&b);
    free(path);
    free(name);
    return v;
}

/* Unpacks the checked-in model of an architecture into a file of this process; the caller frees the path and
 * removes the file. */
static inline char *util_model(const char *name)
{
    const char *build = getenv("BUILD");
    char *from = q_printf("tests/golden/engine/%s/model.gguf.gz", name);
    char *to = q_printf("%s/golden-%s-%ld.gguf", build ? build : "build", name, (long)getpid());
    static unsigned char block[1 << 16];
    gzFile z = gzopen(from, "rb");
    FILE *f = fopen(to, "wb");
    int n;
    while (z && f && (n = gzread(z, block, sizeof block)) > 0)
        if (fwrite(block, 1, (size_t)n, f) != (size_t)n)
            break;
    if (z)
        gzclose(z);
    if (f)
        fclose(f);
    free(from);
    return to;
}

/* Path of the carved default where it is installed for this user, or NULL. */
static inline char *util_default_model(void)
{
    char *path = q_user_path(Q_DIR_DATA, "models/smollm2-135m-instruct-carved.gguf");
    if (util_exists(path))
        return path;
    free(path);
    return NULL;
}

#endif
