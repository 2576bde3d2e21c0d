/* mcp/oauth_store: see oauth_store.h. */
#include "mcp/oauth_store.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MOST = 4 << 20, LOOK_MS = 100 };
#define KIND "quorum mcp tokens"

static const struct { const char *name; size_t at; } fields[] = {
#define OAUTH_ROW(name) { #name, offsetof(oauth_entry, name) },
    OAUTH_TEXTS(OAUTH_ROW)
#undef OAUTH_ROW
};
enum { FIELDS = sizeof fields / sizeof *fields };

static char **field(const oauth_entry *e, int i) { return (char **)(uintptr_t)((const char *)e + fields[i].at); }

void oauth_entry_free(oauth_entry *e)
{
    for (int i = 0; i < FIELDS; i++) {
        char *s = *field(e, i);
        if (s)
            explicit_bzero(s, strlen(s));
        free(s);
    }
    *e = (oauth_entry){ .expires = 0 };
}

int oauth_lock(const char *path, bool (*go)(void *user), void *user, int *fd, char *err)
{
    char *name = q_printf("%s.lock", path), *folder = q_strdup(path), *slash = strrchr(folder, '/');
    int rc = Q_OK;
    if (slash && slash > folder) {
        *slash = 0;
        rc = q_mkdirs(folder, err);
    }
    free(folder);
    *fd = rc == Q_OK ? open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (rc == Q_OK && *fd < 0)
        rc = q_fail(err, Q_IO, _("%s cannot be made: %s"), name, strerror(errno));
    while (rc == Q_OK && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            rc = q_fail(err, Q_IO, _("%s cannot be locked: %s"), name, strerror(errno));
        else if (go && !go(user))
            rc = q_fail(err, Q_CANCEL, _("stopped"));
        else
            nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000L }, NULL);
    }
    if (rc < 0 && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    free(name);
    return rc;
}

/* *out: the whole file, NULL where there is none. */
static int read_all(const char *path, cJSON **out, char *err)
{
    struct stat st;
    q_buf b = { 0 };
    *out = NULL;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? Q_OK : q_fail(err, Q_IO, _("%s cannot be read: %s"), path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_uid != geteuid())
        return q_fail(err, Q_RANGE, _("others can read the tokens in %s: chmod 600 it, or remove it and sign in anew"), path);
    int rc = q_read_file(path, &b, FILE_MOST, err);
    if (rc == Q_OK) {
        cJSON *o = cJSON_Parse(b.p ? b.p : "");
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "kind"));
        double version = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "version"));
        if (kind && strcmp(kind, KIND) == 0 && version == 1 && cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(o, "entries")))
            *out = o;
        else {
            cJSON_Delete(o);
            rc = q_fail(err, Q_FORMAT, _("%s holds no tokens that this quorum knows: move it away and sign in anew"), path);
        }
    }
    if (b.p)
        explicit_bzero(b.p, b.len);
    q_buf_free(&b);
    return rc;
}

static int write_all(const char *path, const cJSON *o, char *err)
{
    char *text = cJSON_PrintUnformatted(o);
    if (!text)
        return q_fail(err, Q_NOMEM, _("not enough memory to keep a token: close other programs and try again"));
    int rc = q_write_file_atomic(path, text, strlen(text), err);
    explicit_bzero(text, strlen(text));
    cJSON_free(text);
    return rc;
}

static cJSON *find(const cJSON *list, const char *url)
{
    cJSON *one;
    cJSON_ArrayForEach(one, list) {
        const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "url"));
        if (s && strcmp(s, url) == 0)
            return one;
    }
    return NULL;
}

/* All for that address: a file put together by hand may hold several, and what is forgotten is not to come back. */
static bool take_out(cJSON *o, const char *url)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "entries");
    bool had = false;
    for (cJSON *one; (one = find(list, url)); had = true)
        cJSON_Delete(cJSON_DetachItemViaPointer(list, one));
    return had;
}

int oauth_entry_get(const char *path, const char *url, oauth_entry *out, char *err)
{
    cJSON *o;
    *out = (oauth_entry){ .expires = 0 };
    int rc = read_all(path, &o, err);
    if (rc < 0)
        return rc;
    const cJSON *one = find(cJSON_GetObjectItemCaseSensitive(o, "entries"), url);
    if (one) {
        for (int i = 0; i < FIELDS; i++) {
            const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, fields[i].name));
            *field(out, i) = s && *s ? q_strdup(s) : NULL;
        }
        double t = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(one, "expires"));
        out->expires = t > 0 && t < 9e15 ? (int64_t)t : 0;
    }
    bool had = one != NULL;
    cJSON_Delete(o);
    return had ? Q_OK : q_fail(err, Q_NOTFOUND, _("no token is kept for %.200s: it is asked for when the server wants one"), url);
}

static cJSON *fresh(void)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", KIND);
    cJSON_AddNumberToObject(o, "version", 1);
    cJSON_AddArrayToObject(o, "entries");
    return o;
}

int oauth_entry_put(const char *path, const oauth_entry *e, char *err)
{
    cJSON *o;
    int rc = read_all(path, &o, err);
    if (rc < 0)
        return rc;
    o = o ? o : fresh();
    cJSON *one = cJSON_CreateObject();
    for (int i = 0; i < FIELDS; i++)
        if (*field(e, i))
            cJSON_AddStringToObject(one, fields[i].name, *field(e, i));
    cJSON_AddNumberToObject(one, "expires", (double)e->expires);
    take_out(o, e->url);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(o, "entries"), one);
    rc = write_all(path, o, err);
    cJSON_Delete(o);
    return rc;
}

int oauth_entry_drop(const char *path, const char *url, bool *had, char *err)
{
    cJSON *o;
    int rc = read_all(path, &o, err);
    *had = rc == Q_OK && take_out(o, url);
    if (*had)
        rc = write_all(path, o, err);
    cJSON_Delete(o);
    return rc;
}
