/* teach/shelf: names, folders, small JSON files and the lock. See parts.h. */
#include "teach/parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
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

char *tch_adapter_named(const char *name)
{
    char *path = tch_is_name(name) ? tch_adapter_path(name) : NULL;
    if (path && access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
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

static bool fits(const cJSON *v, enum shelf_kind k)
{
    static const double MOST = 9007199254740992;         /* 2^53: what a number of JSON holds exactly */
    switch (k) {
    case SHELF_TEXT: return cJSON_IsString(v);
    case SHELF_COUNT: return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= MOST && v->valuedouble == floor(v->valuedouble);
    case SHELF_REAL: return cJSON_IsNull(v) || (cJSON_IsNumber(v) && fabs(v->valuedouble) <= MOST);      /* null: it was no number */
    case SHELF_FLAG: return cJSON_IsBool(v);
    case SHELF_LIST: return cJSON_IsArray(v);
    }
    return false;
}

const char *shelf_wrong(const cJSON *j, const shelf_row *row, int n)
{
    for (int i = 0; i < n; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, row[i].name);
        if (v ? !fits(v, row[i].kind) : row[i].must)
            return row[i].name;
    }
    return NULL;
}

int shelf_read(const char *path, const char *kind, const shelf_row *row, int n, cJSON **out, char *err)
{
    q_buf b = { 0 };
    *out = NULL;
    if (access(path, F_OK) != 0)
        return q_fail(err, Q_NOTFOUND, _("%s is not there"), path);
    int rc = q_read_file(path, &b, MOST_JSON, err);
    cJSON *j = rc == Q_OK ? cJSON_ParseWithLength(b.p ? b.p : "", b.len) : NULL;
    const char *wrong = j ? shelf_wrong(j, row, n) : NULL;
    if (rc == Q_OK && !j)
        rc = q_fail(err, Q_FORMAT, _("it is cut off, or no JSON"));
    else if (rc == Q_OK && (strcmp(shelf_text(j, "kind"), kind) != 0 || shelf_number(j, "v", 0) != 1))
        rc = q_fail(err, Q_FORMAT, _("it is of another kind, or of another version of quorum"));
    else if (rc == Q_OK && wrong)
        rc = q_fail(err, Q_FORMAT, _("\"%s\" in it is missing, or not what stands there"), wrong);
    q_buf_free(&b);
    if (rc == Q_OK)
        *out = j;
    else
        cJSON_Delete(j);
    return rc;
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

/* ---- locks: of the system, on an open file: gone with the process, however it ends. A run's says what is at work under it ---- */
static int lock_file(const char *name, int how)
{
    char *path = shelf_of(NULL, name);
    int fd = path ? open(path, how | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    free(path);
    return fd;
}

/* Waits for it so long, then says that it is taken. */
static int take(const char *file, int ms, const char *busy, int *fd, char *err)
{
    int rc = shelf_make(NULL, false, err);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    *fd = -1;
    if (rc == Q_OK && (*fd = lock_file(file, O_RDWR | O_CREAT)) < 0)
        rc = q_fail(err, Q_IO, _("the lock of teaching cannot be opened: %s"), strerror(errno));
    for (int waited = 0; rc == Q_OK && fcntl(*fd, F_OFD_SETLK, &whole) != 0; waited += 20) {
        if (waited >= ms) rc = q_fail(err, Q_RANGE, "%s", busy);
        else usleep(20000);
    }
    if (rc < 0 && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int shelf_lock_sets(int *fd, char *err) { return take(".sets", 3000, _("examples are being added in another window: try again when it is done"), fd, err); }

int shelf_lock(const char *name, int *fd, char *err)
{
    int rc = take(".lock", 0, _("another run is being taught, here or in another window: /teach stop ends it, and it can be gone on with"), fd, err);
    if (rc < 0)
        return rc;
    size_t n = strlen(name);
    if (ftruncate(*fd, 0) != 0 || pwrite(*fd, name, n, 0) != (ssize_t)n)
        (void)!ftruncate(*fd, 0);        /* a full disk: who asks is not told which */
    char *path = shelf_of(NULL, ".stop");
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

/* Asked without taking it, so that nobody who begins meanwhile is refused. */
static bool held(int fd)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

bool shelf_locked(void)
{
    int fd = lock_file(".lock", O_RDWR);
    bool is = held(fd);
    shelf_unlock(fd);
    return is;
}

char *shelf_holder(void)
{
    char name[TCH_NAME + 1];
    int fd = lock_file(".lock", O_RDWR);
    bool is = held(fd);
    ssize_t n = is ? pread(fd, name, TCH_NAME, 0) : 0;
    name[n > 0 ? n : 0] = 0;
    shelf_unlock(fd);
    return is ? q_strdup(tch_is_name(name) ? name : "") : NULL;
}
