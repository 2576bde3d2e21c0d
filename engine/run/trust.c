/* engine/run/trust: what was found of a GPU, one line a plugin, device and driver, in the user's state folder:
 * "KEY good" or "KEY bad", and behind it, where a library is faster, "ways=TYPE:BITS,..." in hex (ker_ways). A plugin is known by its file's size and time, so that a new one is unknown. Any thread. */
#include "engine/engine.h"
#include "kernels/kernels.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char FILE_NAME[] = "gpu.checked";
static const char *const words[] = { [ENG_TRUST_UNKNOWN] = "", [ENG_TRUST_GOOD] = " good", [ENG_TRUST_BAD] = " bad" };

static char *key_of(const ker_backend *b, const ker_device *d)
{
    Dl_info in = { 0 };
    struct stat st = { 0 };
    void *at;
    memcpy(&at, &b->open, sizeof at);               /* ISO C knows no way from a function's pointer to an object's */
    if (dladdr(at, &in) == 0 || !in.dli_fname || stat(in.dli_fname, &st)) return NULL;
    uint64_t h = q_hash64(d->name, strlen(d->name), (uint64_t)d->driver);
    h = q_mix64(q_mix64(h, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
    return q_printf("%016llx", (unsigned long long)h);
}

static const char WAYS[] = " ways=";

/* Numbers that no type or class has are passed over: a newer program may have written them. */
static void ways_read(const char *line, ker_ways *to)
{
    const char *at = strstr(line, WAYS);
    char *end;
    if (!at) return;
    at += sizeof WAYS - 1;
    for (;;) {
        unsigned long type = strtoul(at, &end, 16), bits;
        if (end == at || *end != ':') return;
        bits = strtoul(at = end + 1, &end, 16);
        if (end == at) return;
        if (type < KER_TYPE_LIMIT) to->library[type] = (uint16_t)(bits & ((1u << KER_WAY_BITS) - 1));
        if (*end != ',') return;
        at = end + 1;
    }
}

static void ways_write(const ker_ways *w, q_buf *to)
{
    const char *before = WAYS;
    for (int t = 0; w && t < KER_TYPE_LIMIT; t++)
        if (w->library[t]) {
            q_buf_printf(to, "%s%x:%x", before, (unsigned)t, (unsigned)w->library[t]);
            before = ",";
        }
}

/* The file without the line of key, if it has one; what that line said. */
static enum eng_trust take(const char *path, const char *key, q_buf *rest, ker_ways *ways)
{
    char err[Q_ERRLEN];
    q_buf all = { 0 };
    enum eng_trust said = ENG_TRUST_UNKNOWN;
    if (q_read_file(path, &all, 1 << 20, err)) q_buf_clear(&all);
    for (char *line = all.p, *end; line && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        if (strncmp(line, key, strlen(key)) == 0) {
            said = strstr(line, words[ENG_TRUST_BAD]) ? ENG_TRUST_BAD : strstr(line, words[ENG_TRUST_GOOD]) ? ENG_TRUST_GOOD : said;
            ways_read(line, ways);
        } else if (*line) q_buf_printf(rest, "%s\n", line);
    }
    q_buf_free(&all);
    return said;
}

static enum eng_trust kept(const ker_backend *b, const ker_device *d, ker_ways *ways)
{
    char *path = q_user_path(Q_DIR_STATE, FILE_NAME), *key = key_of(b, d);
    q_buf rest = { 0 };
    enum eng_trust said = path && key ? take(path, key, &rest, ways) : ENG_TRUST_UNKNOWN;
    q_buf_free(&rest);
    free(path);
    free(key);
    return said;
}

enum eng_trust eng_gpu_trust(const ker_backend *b, const ker_device *d)
{
    ker_ways ways = { 0 };
    return kept(b, d, &ways);
}

void eng_gpu_ways(const ker_backend *b, const ker_device *d, ker_ways *to)
{
    *to = (ker_ways){ 0 };
    kept(b, d, to);
}

int eng_gpu_trust_put(const ker_backend *b, const ker_device *d, enum eng_trust t, const ker_ways *ways, char *err)
{
    ker_ways before = { 0 };
    char *dir = q_user_path(Q_DIR_STATE, ""), *path = q_user_path(Q_DIR_STATE, FILE_NAME), *key = key_of(b, d);
    q_buf rest = { 0 };
    int rc = path && key ? q_mkdirs(dir, err) : path ? q_fail(err, Q_ERR, _("the plugin's file is not to be found: what was found of the GPU is not kept")) : q_no_home(err);
    if (!rc) {
        take(path, key, &rest, &before);
        q_buf_printf(&rest, "%s%s", key, words[t]);
        ways_write(ways, &rest);
        q_buf_puts(&rest, "\n");
        rc = q_write_file_atomic(path, rest.p, rest.len, err);
    }
    q_buf_free(&rest);
    free(dir);
    free(path);
    free(key);
    return rc;
}
