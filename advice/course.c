/* advice/course: a training folder is written: everything is made in memory first, then data, then the small files, the script last. */
#include "advice/course_recipe.h"
#include "advice/course_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_TEXT = 1 << 20 };

void adv_coursed_free(adv_coursed *d)
{
    free(d->said);
    *d = (adv_coursed){ .examples = 0 };
}

int course_put(const char *dir, const char *name, const q_buf *b, bool runs, char *err)
{
    char *path = q_printf("%s/%s", dir, name);
    int rc = q_write_file_atomic(path, b->p ? b->p : "", b->len, err);
    if (!rc && runs && chmod(path, 0755) != 0)
        rc = q_fail(err, Q_IO, _("%s: %s"), path, strerror(errno));
    free(path);
    return rc;
}

/* A script that ships with quorum (advice/desk), copied: the folder goes to another machine. */
int course_put_shipped(const char *dir, const char *name, char *err)
{
    char *from = q_printf("advice/desk/%s", name), *path = q_share_path(from);
    q_buf b = { 0 };
    int rc = path ? q_read_file(path, &b, MOST_TEXT, err) : q_fail(err, Q_NOTFOUND, _("%s is not beside quorum: install it again (make install)"), from);
    if (!rc)
        rc = course_put(dir, name, &b, false, err);
    q_buf_free(&b);
    free(from);
    free(path);
    return rc;
}

/* An earlier folder of ours has README.md and run.sh; nothing else is written over. */
int course_folder(const char *dir, bool force, bool *anew, char *err)
{
    char *mark = q_printf("%s/run.sh", dir);
    struct stat st;
    bool there = lstat(dir, &st) == 0, ours = there && S_ISDIR(st.st_mode) && access(mark, F_OK) == 0;
    free(mark);
    *anew = !ours;
    if (there && !S_ISDIR(st.st_mode))
        return q_fail(err, Q_RANGE, _("%s is there and is no folder: name another with --out"), dir);
    if (there && !(ours && force)) {
        if (ours)
            return q_fail(err, Q_RANGE, _("%s is there already: --force writes it anew, what was trained in it stays"), dir);
        if (rmdir(dir) != 0 && errno != EBUSY && errno != EPERM)       /* an empty one will do */
            return q_fail(err, Q_RANGE, _("%s is there and holds something else: name a new folder with --out"), dir);
    }
    char *data = q_printf("%s/data", dir);
    int rc = q_mkdirs(data, err);
    free(data);
    return rc;
}

/* Files of ours in a folder, the one that says so last. */
static const char *const ours[] = { "data/train.jsonl", "data/test.jsonl", "data/dataset_info.json", "data", "heldout.txt", "desk.json", "trl_train.py", "config.yaml", "accelerate.yaml",
                                    "deepspeed.json", "merge.py", "gate.py", "README.md", "run.sh" };

/* Takes a folder of ours away again that did not become whole: what is not ours stays, and then the folder does. */
void course_leave(const char *dir)
{
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        char *path = q_printf("%s/%s", dir, ours[i]);
        if (unlink(path) != 0)
            rmdir(path);
        free(path);
    }
    rmdir(dir);
}

/* The files of a folder that is whole go over those of another: names change hands, no byte is written, so that a full disk cannot end it halfway. */
static int take_over(const char *from, const char *dir, char *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof ours / sizeof *ours; i++) {
        char *a = q_printf("%s/%s", from, ours[i]), *b = q_printf("%s/%s", dir, ours[i]);
        if (strcmp(ours[i], "data") != 0 && access(a, F_OK) == 0 && rename(a, b) != 0) rc = q_fail(err, Q_IO, "%s: %s", b, strerror(errno));
        free(a);
        free(b);
    }
    course_leave(from);
    return rc;
}

static void choose_rate(course_recipe *r)
{
    if (!(r->c.rate > 0))
        r->c.rate = (r->task == ADV_PAIRS ? 1e-6 : 2e-5) * (r->c.method == ADV_FULL ? 1 : 10);
}

static int put_trainer(const course_recipe *r, const char *dir, char *err)
{
    q_buf config = { 0 }, second = { 0 };
    int rc = 0;
    if (r->c.trainer == ADV_TRL) {
        course_trl(r, &config, &second);
        rc = course_put(dir, "desk.json", &second, false, err);
        if (!rc) rc = course_put_shipped(dir, "trl_train.py", err);
    } else if (r->c.trainer == ADV_AXOLOTL) {
        course_axolotl(r, &config);
    } else {
        course_llamafactory(r, &config, &second);
        rc = course_put(dir, "data/dataset_info.json", &second, false, err);
    }
    if (!rc) rc = course_put(dir, "config.yaml", &config, false, err);
    q_buf_clear(&second);
    course_accelerate(r, &second);
    if (!rc && (r->c.trainer != ADV_LLAMAFACTORY || r->c.shard == ADV_FSDP)) rc = course_put(dir, "accelerate.yaml", &second, false, err);
    q_buf_clear(&second);
    course_deepspeed(r, &second);
    if (!rc && (r->c.shard == ADV_ZERO2 || r->c.shard == ADV_ZERO3)) rc = course_put(dir, "deepspeed.json", &second, false, err);
    if (!rc && r->c.method != ADV_FULL) rc = course_put_shipped(dir, "merge.py", err);
    q_buf_free(&config);
    q_buf_free(&second);
    return rc;
}

static int write_all(course_recipe *r, course_data *d, const char *dir, adv_coursed *out, q_buf *said, char *err)
{
    q_buf text = { 0 }, left_out = { 0 };
    int rc = course_data_write(&r->c, d, r->task, dir, out, &left_out, err);
    if (!rc) {
        r->eval = out->heldout > 0;
        choose_rate(r);
        course_load(r, &out->load);
        out->task = r->task;
        course_warn(r, &out->load, said);
        q_buf_puts(said, left_out.p ? left_out.p : "");
        rc = put_trainer(r, dir, err);
    }
    if (!rc) {
        course_readme(r, &out->load, said->p, &text);
        rc = course_put(dir, "README.md", &text, false, err);
        q_buf_clear(&text);
        course_run(r, &text);
        if (!rc) rc = course_put(dir, "run.sh", &text, true, err);
    }
    q_buf_free(&left_out);
    q_buf_free(&text);
    return rc;
}

/* Over an earlier folder a new one is made inside of it, and takes its place when it is whole. */
int adv_course_write(const adv_course *c, const char *dir, bool force, adv_coursed *out, char *err)
{
    course_recipe r;
    bool anew = false, none;
    q_buf said = { 0 };
    *out = (adv_coursed){ .examples = 0 };
    int rc = course_resolve(c, &r, err);
    course_data d = { .least = 0 };
    if (!rc) rc = course_data_look(&r.c, &d, &r.task, err);
    if (!rc) rc = course_folder(dir, force, &anew, err);
    bool begun = !rc;
    char *fresh = anew ? q_strdup(dir) : q_printf("%s/.new", dir);
    if (!rc && !anew) {
        course_leave(fresh);             /* of one that was killed */
        rc = course_folder(fresh, true, &none, err);
    }
    if (!rc) rc = write_all(&r, &d, fresh, out, &said, err);
    if (rc && begun) course_leave(fresh);
    if (!rc && !anew) rc = take_over(fresh, dir, err);
    out->said = rc ? NULL : q_buf_take(&said);
    q_buf_free(&said);
    free(fresh);
    return rc;
}
