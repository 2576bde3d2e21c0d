/* memory/backup: copies of the file as it was on a day, beside it (PATH.backup-2026-11-27), through SQLite's backup API: in steps,
 * between which others write. What was forgotten is in them still, so a forgetting owes their end, durably (`chore`), and
 * mem_tidy pays it last. Any thread; several processes may do it at once. It never touches the file itself. */
#include "base/place.h"
#include "memory/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { STEP_PAGES = 256, KEPT = 7, DAY = 10 /* letters of a day */, SPARE = 64 << 20 /* bytes that stay free on the disk */, TRIES = 8 };

static const char END[] = ".backup-", PART[] = ".part";

/* ---- which there are ---- */
/* "2026-11-27", and behind it nothing, or what belongs to it: ".PID.part", ".replaced", "-journal". */
static bool is_day(const char *s)
{
    for (int i = 0; i < DAY; i++)
        if (i == 4 || i == 7 ? s[i] != '-' : s[i] < '0' || s[i] > '9') return false;
    return s[DAY] == 0 || s[DAY] == '.' || s[DAY] == '-';
}

static int newest_first(const void *a, const void *b) { return strcmp(((const mem_backup *)b)->path, ((const mem_backup *)a)->path); }

/* parts: also what stands beside them: half-made ones, what a restoring replaced. */
static int look(const char *path, bool parts, mem_backups *out, char *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *folder = q_folder_of(path), *head = q_printf("%s%s", name, END);
    size_t n = strlen(head);
    DIR *d = opendir(folder);
    *out = (mem_backups){0};
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (strncmp(e->d_name, head, n) != 0 || !is_day(e->d_name + n) || (!parts && e->d_name[n + DAY])) continue;
        char *one = q_printf("%s%s", path, e->d_name + strlen(name));
        if (lstat(one, &st) != 0 || !S_ISREG(st.st_mode)) {
            free(one);
            continue;
        }
        out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + 1));
        mem_backup *b = &out->v[out->n++];
        *b = (mem_backup){.path = one, .bytes = (int64_t)st.st_size, .made_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000};
        snprintf(b->day, sizeof b->day, "%.*s", DAY, e->d_name + n);
    }
    int rc = d || errno == ENOENT ? Q_OK : q_fail(err, Q_IO, _("cannot read the folder %s: %s"), folder, strerror(errno));
    if (d) closedir(d);
    if (out->n) qsort(out->v, (size_t)out->n, sizeof *out->v, newest_first);
    free(folder);
    free(head);
    return rc;
}

bool store_backup_named(const char *day) { return strlen(day) == DAY && is_day(day); }

char *store_backup_path(const char *path, const char *day) { return q_printf("%s%s%s", path, END, day); }

static char *file_of(const char *path, char *err)
{
    char *file = path ? store_path(path) : q_user_path(Q_DIR_DATA, "quorum.db");
    if (!file) q_no_home(err);
    return file;
}

int mem_backup_list(const char *path, mem_backups *out, char *err)
{
    char *file = file_of(path, err);
    *out = (mem_backups){0};
    int rc = file ? look(file, false, out, err) : Q_NOTFOUND;
    free(file);
    return rc;
}

void mem_backups_free(mem_backups *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i].path);
    free(l->v);
    *l = (mem_backups){0};
}

static bool in_memory(const mem_store *s) { return strcmp(s->path, ":memory:") == 0; }

/* ---- one is made ---- */
static int no_room(mem_store *s, uint64_t need, uint64_t there, char *err)
{
    char a[32], b[32];
    return q_fail(err, Q_RANGE, _("no backup of %s was made: it takes %s and the disk has %s free; free some space, the next start makes it"), s->path,
                  q_bytes_words(need, a), q_bytes_words(there, b));
}

/* The disk keeps what it has to spare: a backup is never what fills it. */
static int room_for(mem_store *s, char *err)
{
    struct stat st;
    struct statvfs v;
    if (stat(s->path, &st) != 0 || statvfs(s->path, &v) != 0) return q_fail(err, Q_IO, _("cannot read %s: %s"), s->path, strerror(errno));
    uint64_t there = s->watch && s->watch->room ? s->watch->room(s->watch->user) : (uint64_t)v.f_bavail * v.f_frsize;
    return there >= (uint64_t)st.st_size + SPARE ? Q_OK : no_room(s, (uint64_t)st.st_size, there, err);
}

/* Steps, each under the lock; what is written meanwhile over this connection goes into both, what others write makes SQLite
 * begin again: after TRIES of those the lock is held to the end. */
static int copy(mem_store *s, sqlite3 *to, bool (*go)(void *user), void *user, char *err)
{
    store_lock(s);
    sqlite3_backup *b = sqlite3_backup_init(to, "main", s->db, "main");
    store_unlock(s);
    int rc = b ? SQLITE_OK : sqlite3_errcode(to), done = 0, again = 0, busy = 0;
    while (b && (rc == SQLITE_OK || ((rc == SQLITE_BUSY || rc == SQLITE_LOCKED) && busy++ < 1000))) {
        if (go && !go(user)) {
            sqlite3_backup_finish(b);
            return q_fail(err, Q_CANCEL, _("stopped"));
        }
        store_lock(s);
        rc = sqlite3_backup_step(b, again < TRIES ? STEP_PAGES : -1);
        int now = sqlite3_backup_pagecount(b) - sqlite3_backup_remaining(b);
        store_unlock(s);
        again += now < done;
        done = now;
        if (rc != SQLITE_DONE) store_breathe(s);
    }
    int end = b ? sqlite3_backup_finish(b) : SQLITE_OK;
    if (rc == SQLITE_DONE) rc = end;
    if (rc == SQLITE_FULL) return q_fail(err, Q_IO, _("the disk of %s is full: free some space and try again; what was kept before is safe"), s->path);
    return rc == SQLITE_OK ? Q_OK : q_fail(err, Q_IO, _("no backup of %s could be made: %s"), s->path, sqlite3_errstr(rc));
}

/* Under another name yet. */
static int write_part(mem_store *s, const char *part, bool (*go)(void *user), void *user, char *err)
{
    sqlite3 *to = NULL;
    unlink(part);
    int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = Q_OK;
    if (fd < 0) rc = q_fail(err, Q_IO, _("no backup of %s could be made: %s"), s->path, strerror(errno));
    else close(fd);
    if (rc == Q_OK && sqlite3_open_v2(part, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
        rc = q_fail(err, Q_IO, _("no backup of %s could be made: %s"), s->path, sqlite3_errmsg(to));
    if (rc == Q_OK) sqlite3_exec(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (rc == Q_OK) rc = copy(s, to, go, user, err);
    if (sqlite3_close(to) != SQLITE_OK && rc == Q_OK) rc = q_fail(err, Q_IO, _("no backup of %s could be made: %s"), s->path, "close");
    return rc;
}

/* How often something was forgotten, and for which of these the backups were erased. The lock is held. */
static int counted(mem_store *s, int64_t *forgotten, int64_t *paid, char *err)
{
    *forgotten = *paid = 0;
    int rc = store_int(s, forgotten, err, "SELECT n FROM chore WHERE name='backups'", "");
    if (rc == Q_OK) rc = store_int(s, paid, err, "SELECT next FROM chore WHERE name='backups'", "");
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

/* It takes its name under the write lock: whoever forgot something before that is seen (*stale: it holds what was forgotten), and whoever
 * does so later finds it under that name. A kill at any step leaves a part, which is erased, or a whole one that is in order. */
static int place(mem_store *s, const char *part, const char *whole, int64_t was, bool *stale, char *err)
{
    int64_t now, paid;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = counted(s, &now, &paid, err);
    *stale = rc == Q_OK && now != was;
    if (rc == Q_OK && !*stale && rename(part, whole) != 0) rc = q_fail(err, Q_IO, _("no backup of %s could be made: %s"), s->path, strerror(errno));
    return store_end(s, rc, err);
}

static int one_try(mem_store *s, const char *whole, bool (*go)(void *user), void *user, bool *stale, char *err)
{
    char why[Q_ERRLEN], *part = q_printf("%s.%s%s", whole, s->owner, PART);
    int64_t was, paid;
    *stale = false;
    store_lock(s);
    int rc = counted(s, &was, &paid, err);
    store_unlock(s);
    if (rc == Q_OK) rc = write_part(s, part, go, user, err);
    if (rc == Q_OK) rc = place(s, part, whole, was, stale, err);
    if (rc != Q_OK || *stale) q_file_erase(part, why);
    free(part);
    return rc;
}

int store_backup_write(mem_store *s, const char *whole, bool (*go)(void *user), void *user, char *err)
{
    bool stale = true;
    int rc = Q_OK;
    for (int i = 0; i < TRIES && stale && rc == Q_OK; i++) rc = one_try(s, whole, go, user, &stale, err);
    return rc == Q_OK && stale ? q_fail(err, Q_IO, _("no backup of %s could be made: %s"), s->path, _("something is being forgotten; try again in a moment")) : rc;
}

static void day_ahead(const mem_store *s, int days, char day[DAY + 1])
{
    time_t t = (time_t)((s && s->watch && s->watch->now ? s->watch->now(s->watch->user) : q_wall_ms()) / 1000) + (time_t)days * 86400;
    struct tm tm;
    if (!localtime_r(&t, &tm) || !strftime(day, DAY + 1, "%Y-%m-%d", &tm)) snprintf(day, DAY + 1, "1970-01-01");
}

void store_backup_day(const mem_store *s, char day[11]) { day_ahead(s, 0, day); }

/* The newest that counts; NULL: none does. One of a day far ahead was made under a wrong clock: it would stop all others. */
static const mem_backup *newest(const mem_store *s, const mem_backups *l)
{
    char tomorrow[DAY + 1];
    int i = 0;
    day_ahead(s, 1, tomorrow);
    while (i < l->n && strcmp(l->v[i].day, tomorrow) > 0) i++;
    return i < l->n ? &l->v[i] : NULL;
}

/* Was something written since that one was made? */
static bool changed(const mem_store *s, const mem_backup *last)
{
    struct stat st;
    char *wal = q_printf("%s-wal", s->path);
    bool news = !last || stat(s->path, &st) != 0 || (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000 > last->made_ms;
    if (!news && stat(wal, &st) == 0 && st.st_size > 0) news = true;
    free(wal);
    return news;
}

/* Is there anything of a person's in it? */
static int any_words(mem_store *s, bool *yes, char *err)
{
    int64_t n = 0;
    store_lock(s);
    int rc = store_int(s, &n, err, "SELECT EXISTS (SELECT 1 FROM message) OR EXISTS (SELECT 1 FROM document WHERE trust<>1)", "");
    store_unlock(s);
    *yes = n != 0;
    return rc;
}

static int owed(mem_store *s, int64_t *forgotten, bool *yes, char *err)
{
    int64_t paid;
    store_lock(s);
    int rc = counted(s, forgotten, &paid, err);
    store_unlock(s);
    *yes = rc == Q_OK && *forgotten != paid;
    return rc;
}

/* What is not whole yet bears who makes it, "….PID:START.part…" (of an older quorum "….PID.part"); rest: behind the day. NULL: it is
 * whole. malloc'ed. */
static char *maker(const char *rest)
{
    const char *part = strstr(rest, PART), *at = part;
    while (at && at > rest && ((at[-1] >= '0' && at[-1] <= '9') || at[-1] == ':')) at--;
    return at && at > rest && at[-1] == '.' && at < part ? q_strndup(at, (size_t)(part - at)) : NULL;
}

enum state { WHOLE, BEING_MADE, LEFT };

static enum state state_of(const mem_store *s, const char *path)
{
    char *who = maker(path + strlen(s->path) + strlen(END) + DAY);
    enum state is = !who ? WHOLE : strchr(who, ':') ? (store_is_alive(who) ? BEING_MADE : LEFT) :
                    kill((pid_t)strtol(who, NULL, 10), 0) == 0 || errno != ESRCH ? BEING_MADE : LEFT;
    free(who);
    return is;
}

/* Left by a process that was killed: of a backup, of what a restoring put aside, of an export's copy. */
static void drop_left(const mem_store *s)
{
    char err[Q_ERRLEN];
    mem_backups l;
    if (look(s->path, true, &l, err) != Q_OK) return;
    for (int i = 0; i < l.n; i++)
        if (state_of(s, l.v[i].path) == LEFT) q_file_erase(l.v[i].path, err);
    mem_backups_free(&l);
}

int mem_backup_make(mem_store *s, bool (*go)(void *user), void *user, bool *made, char *err)
{
    mem_backups l = {0};
    char day[DAY + 1];
    bool going = false, stale = false, any = false;
    int64_t forgotten = 0;
    *made = false;
    if (in_memory(s)) return Q_OK;
    drop_left(s);
    int rc = any_words(s, &any, err);
    if (rc != Q_OK || !any) return rc;
    rc = owed(s, &forgotten, &going, err);
    if (rc == Q_OK && !going) rc = look(s->path, false, &l, err);
    store_backup_day(s, day);
    const mem_backup *last = newest(s, &l);
    /* a clock that went back a little makes none either: the newest is of that day or later */
    if (rc == Q_OK && !going && (!last || strcmp(last->day, day) < 0) && changed(s, last)) {
        char *whole = store_backup_path(s->path, day);
        rc = room_for(s, err);
        if (rc == Q_OK) rc = one_try(s, whole, go, user, &stale, err);
        *made = rc == Q_OK && !stale;           /* forgotten meanwhile, here or in another process: the next call makes one */
        for (int i = KEPT - 1; i < l.n && rc == Q_OK && *made; i++) rc = q_file_erase(l.v[i].path, err);
        free(whole);
    }
    mem_backups_free(&l);
    return rc;
}

/* ---- a forgetting reaches them ---- */
int store_backups_owe(mem_store *s, char *err)
{
    return store_run(s, NULL, err, "INSERT INTO chore VALUES('backups', 1, 0, 0) ON CONFLICT(name) DO UPDATE SET n=n+1", "");
}

int store_backups_step(mem_store *s, char *err)
{
    bool any = false;
    int64_t forgotten;
    int n = 0, rc = owed(s, &forgotten, &any, err);
    mem_backups l = {0};
    if (!in_memory(s)) drop_left(s);            /* nobody else sees to it where its maker was killed after the forgetting was paid */
    if (rc != Q_OK || !any) return rc;
    if (!in_memory(s)) rc = look(s->path, true, &l, err);
    /* what is being made is not of that name yet, and whoever makes it sees what was forgotten before it is (place) */
    for (int i = 0; i < l.n && rc == Q_OK; i++)
        if (state_of(s, l.v[i].path) != BEING_MADE && (rc = q_file_erase(l.v[i].path, err)) == Q_OK) n++;
    mem_backups_free(&l);
    if (rc != Q_OK || (rc = store_begin(s, err)) != Q_OK) return rc;
    rc = store_end(s, store_run(s, NULL, err, "UPDATE chore SET next=max(next, ?) WHERE name='backups'", "i", forgotten), err);
    if (rc == Q_OK && n)
        store_note(s, ngettext("%d backup from before held what was forgotten and is erased; the next one holds the rest",
                               "%d backups from before held what was forgotten and are erased; the next one holds the rest", (unsigned long)n), n);
    return rc;
}
