/* teach/after: what is asked of runs that are over or were cut off: which, the report, undo. See teach.h. */
#include "teach/parts.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_REPORT = 16 << 20, WAIT_NS = 50000000, WAITS = 100 };

static cJSON *run_of(const char *name, char *err)
{
    cJSON *j;
    return record_read(name, &j, err) == Q_OK ? j : NULL;
}

/* The run in this state (NULL: any) that began last; malloc'ed. */
static char *last(const char *state)
{
    char *folder = shelf_of(NULL, NULL), *best = NULL, ignored[Q_ERRLEN];
    double when = -1;
    DIR *d = folder ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        cJSON *j = tch_is_name(e->d_name) ? run_of(e->d_name, ignored) : NULL;
        if (j && (!state || strcmp(shelf_text(j, "state"), state) == 0) && shelf_number(j, "begun_ms", 0) > when) {
            when = shelf_number(j, "begun_ms", 0);
            free(best);
            best = q_strdup(e->d_name);
        }
        cJSON_Delete(j);
    }
    if (d)
        closedir(d);
    free(folder);
    return best;
}

char *tch_cut_off(char **model)
{
    char ignored[Q_ERRLEN], *name = shelf_locked() ? NULL : last("running");
    cJSON *j = name ? run_of(name, ignored) : NULL;
    *model = j ? q_strdup(shelf_text(j, "model_path")) : NULL;
    cJSON_Delete(j);
    return name;
}

int tch_stopped(const char *name, char *err)
{
    cJSON *j = run_of(name, err);
    int rc = j ? Q_OK : Q_NOTFOUND;
    if (j && strcmp(shelf_text(j, "state"), "running") == 0) {
        char *path = shelf_of(name, "run/run.json");
        const char *const mine[] = { "state", "kind", "v" };
        for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
            cJSON_DeleteItemFromObject(j, mine[i]);
        cJSON_AddStringToObject(j, "state", "stopped");
        rc = shelf_write(path, RECORD_KIND, j, err);
        j = NULL;
        free(path);
    }
    cJSON_Delete(j);
    return rc;
}

/* ---- a run elsewhere ---- */
int tch_stop(char *err)
{
    char *path = shelf_of(NULL, ".stop");
    int rc = !path ? q_no_home(err) : !shelf_locked() ? q_fail(err, Q_NOTFOUND, _("nothing is being taught that could be stopped")) : q_write_file_atomic(path, "", 0, err);
    free(path);
    return rc;
}

bool tch_stop_wanted(void)
{
    char *path = shelf_of(NULL, ".stop");
    bool is = path && access(path, F_OK) == 0;
    free(path);
    return is;
}

char *tch_last(const char *name)
{
    char *who = name ? NULL : shelf_holder();
    if (who && !*who) {
        free(who);
        who = NULL;
    }
    return name ? q_strdup(name) : who ? who : last(NULL);       /* what is at work began last, also before it has written anything down */
}

static int named(const char *name, char **out, char *err)
{
    int rc = name ? shelf_name(name, err) : Q_OK;
    *out = rc < 0 ? NULL : tch_last(name);
    return rc == Q_OK && !*out ? q_fail(err, Q_NOTFOUND, _("nothing was taught yet: /teach run NAME begins")) : rc;
}

/* Under the lock, or (*fd -1) while a run of another set has it, which nothing of this one is touched by. A run of this one is stopped and waited for. */
static int hold(const char *name, int *fd, char *err)
{
    char why[Q_ERRLEN];
    for (int i = 0; i < WAITS; i++) {
        int rc = shelf_lock(name, fd, err);
        char *who = rc == Q_RANGE ? shelf_holder() : NULL;
        bool another = who && *who && strcmp(who, name) != 0;
        free(who);
        if (rc != Q_RANGE || another)
            return another ? Q_OK : rc;
        if (i == 0)
            tch_stop(why);
        nanosleep(&(struct timespec){ .tv_nsec = WAIT_NS }, NULL);
    }
    return q_fail(err, Q_RANGE, _("the run of \"%s\" does not stop: try again in a while"), name);
}

int tch_undo(const char *name, char **which, char *err)
{
    int fd = -1, rc = named(name, which, err);
    if (rc < 0)
        return rc;
    char *folder = shelf_of(*which, "run"), *file = tch_adapter_path(*which);
    char *who = shelf_holder();
    if (!name && (!who || strcmp(who, *which) != 0))
        rc = q_fail(err, Q_RANGE, _("name what is to go: the last that was taught is %s, and undo %s takes it back"), *which, *which);
    else if (access(folder, F_OK) != 0 && access(file, F_OK) != 0 && (!who || strcmp(who, *which) != 0))
        rc = q_fail(err, Q_NOTFOUND, _("nothing was taught as \"%s\": /teach list shows what was"), *which);
    free(who);
    if (rc == Q_OK)
        rc = hold(*which, &fd, err);
    if (rc == Q_OK)
        rc = q_file_erase(file, err);
    if (rc == Q_OK)
        shelf_erase(folder);
    shelf_unlock(fd);
    free(folder);
    free(file);
    if (rc < 0) {
        free(*which);
        *which = NULL;
    }
    return rc;
}

static int read_text(const char *name, const char *file, char **out, char *err)
{
    char *path = shelf_of(name, file);
    q_buf b = { 0 };
    int rc = q_read_file(path, &b, MOST_REPORT, err);
    *out = q_buf_take(&b);
    free(path);
    return rc;
}

int tch_report(const char *name, char **text, char **json, char *err)
{
    char *which, *path;
    *text = *json = NULL;
    int rc = named(name, &which, err);
    if (rc < 0)
        return rc;
    path = shelf_of(which, "run/report.md");
    if (access(path, F_OK) != 0) {
        char none[Q_ERRLEN];
        cJSON *j = run_of(which, none);
        rc = j ? q_fail(err, Q_NOTFOUND, _("the run of \"%s\" is not over: /teach run %s goes on, and its report comes at the end"), which, which)
               : q_fail(err, Q_NOTFOUND, _("nothing was taught as \"%s\": /teach list shows what was"), which);
        cJSON_Delete(j);
    }
    if (rc == Q_OK)
        rc = read_text(which, "run/report.md", text, err);
    if (rc == Q_OK)
        rc = read_text(which, "run/report.json", json, err);
    free(path);
    free(which);
    return rc;
}
