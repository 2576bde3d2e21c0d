/* teach/shelf: names, folders, small JSON files and the lock. See parts.h. */
#include "teach/parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_JSON = 16 << 20, DEEP = 4 };

bool tch_is_name(const char *s)
{
    size_t n = strlen(s);
    if (n < 1 || n > TCH_NAME || *s == '.' || *s == '-')
        return false;
    for (; *s; s++)
        if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') && !(*s >= '0' && *s <= '9') && !strchr("._-", *s))
            return false;
    return true;
}

int shelf_name(const char *name, char *err)
{
    return tch_is_name(name) ? Q_OK : q_fail(err, Q_RANGE, _("\"%.80s\" is no name for a set: letters, digits, . - and _ make one, %d at most"), name, TCH_NAME);
}

char *shelf_of(const char *name, const char *file)
{
    char *inside = q_printf("teach%s%s%s%s", name && *name ? "/" : "", name ? name : "", file && *file ? "/" : "", file ? file : "");
    char *path = q_user_path(Q_DIR_DATA, inside);
    free(inside);
    return path;
}

char *tch_adapter_path(const char *name)
{
    char *inside = q_printf("adapters/%s.gguf", name), *path = q_user_path(Q_DIR_DATA, inside);
    free(inside);
    return path;
}

int shelf_make(const char *name, bool run, char *err)
{
    char *folder = shelf_of(name, run ? "run" : NULL);
    int rc = folder ? q_mkdirs(folder, err) : q_no_home(err);
    free(folder);
    return rc;
}

static void erase(const char *folder, int deep)
{
    char ignored[Q_ERRLEN];
    DIR *d = deep ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = q_printf("%s/%s", folder, e->d_name);
        struct stat st;
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            erase(path, deep - 1);
        else if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
            q_file_erase(path, ignored);
        else
            unlink(path);                /* a link: what it names is not ours */
        free(path);
    }
    if (d)
        closedir(d);
    rmdir(folder);
}

void shelf_erase(const char *folder)
{
    struct stat st;
    if (lstat(folder, &st) == 0 && S_ISLNK(st.st_mode))
        unlink(folder);                  /* a link that somebody laid: what it leads to is not ours */
    else
        erase(folder, DEEP);
}

cJSON *shelf_read(const char *path, const char *kind, char *err)
{
    q_buf b = { 0 };
    if (access(path, F_OK) != 0) {
        q_fail(err, Q_NOTFOUND, _("%s is not there"), path);
        return NULL;
    }
    cJSON *j = NULL;
    if (q_read_file(path, &b, MOST_JSON, err) == Q_OK) {
        j = cJSON_ParseWithLength(b.p ? b.p : "", b.len);
        if (!j || strcmp(shelf_text(j, "kind"), kind) != 0 || (int)shelf_number(j, "v", 0) != 1) {
            q_fail(err, Q_FORMAT, _("%s is damaged, or of another version of quorum: it is left alone"), path);
            cJSON_Delete(j);
            j = NULL;
        }
    }
    q_buf_free(&b);
    return j;
}

int shelf_write(const char *path, const char *kind, cJSON *j, char *err)
{
    cJSON_AddStringToObject(j, "kind", kind);
    cJSON_AddNumberToObject(j, "v", 1);
    char *text = cJSON_Print(j);
    int rc = q_write_file_atomic(path, text ? text : "{}", text ? strlen(text) : 2, err);
    free(text);
    cJSON_Delete(j);
    return rc;
}

double shelf_number(const cJSON *j, const char *name, double otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, name);
    return cJSON_IsNumber(v) && isfinite(v->valuedouble) ? v->valuedouble : otherwise;
}

const char *shelf_text(const cJSON *j, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, name);
    return cJSON_IsString(v) ? v->valuestring : "";
}

/* A lock of the system on an open file: gone with the process, however it ends. It is waited for so long: who only asks (shelf_locked) holds
 * it for a moment, and who changes a set for a while. */
static int take(const char *file, int ms, int *fd, const char *busy, char *err)
{
    char *path = shelf_of(NULL, file);
    int rc = path ? shelf_make(NULL, false, err) : q_no_home(err);
    *fd = -1;
    if (rc == Q_OK && (*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
        rc = q_fail(err, Q_IO, "%s: %s", path, strerror(errno));
    free(path);
    if (rc < 0)
        return rc;
    for (int waited = 0; flock(*fd, LOCK_EX | LOCK_NB) != 0; waited += 20) {
        if (waited >= ms) {
            close(*fd);
            *fd = -1;
            return q_fail(err, Q_RANGE, "%s", busy);
        }
        usleep(20000);
    }
    return Q_OK;
}

int shelf_lock_sets(int *fd, char *err) { return take(".sets", 3000, fd, _("examples are being added in another window: try again when it is done"), err); }

int shelf_lock(int *fd, char *err)
{
    int rc = take(".lock", 100, fd, _("another run is being taught, here or in another window: /teach stop ends it, and it can be gone on with"), err);
    char *path = rc == Q_OK ? shelf_of(NULL, ".stop") : NULL;
    if (path)
        unlink(path);                    /* what somebody wanted of an earlier run */
    free(path);
    return rc;
}

void shelf_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}

bool shelf_locked(void)
{
    char *path = shelf_of(NULL, ".lock");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    bool is = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0)
        close(fd);
    free(path);
    return is;
}
