/* train/keep: see keep.h. A file: "QTRN", version, then the fields of `head`, the curve's rows, p, m and v, and a hash of all that. Numbers lie
 * as this machine has them; another byte order reads as damaged. */
#include "train/keep.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, STAY = 2, MOST_STEPS = 1 << 24 /* that are read of a file: more than a run can be told */ };
typedef struct head { char kind[4]; uint32_t version; uint64_t terms; int64_t step, updates, n_param; double first; } head;

static void name_of(int64_t step, char out[64]) { snprintf(out, 64, "checkpoint-%08" PRId64 ".qtr", step); }

/* The step that a file's name says; -1: it is none of ours, though it may be much like one. */
static int64_t step_of(const char *name)
{
    int64_t step;
    char own[64];
    if (sscanf(name, "checkpoint-%18" SCNd64, &step) != 1 || step < 0) return -1;
    name_of(step, own);
    return strcmp(name, own) == 0 ? step : -1;
}

static int by_step(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Steps of the folder's checkpoints, the newest first; malloc'ed. */
static int64_t *steps_of(const char *folder, int *n)
{
    DIR *d = opendir(folder);
    int64_t *s = q_alloc(sizeof *s), step;
    *n = 0;
    for (struct dirent *e; d && (e = readdir(d)); )
        if ((step = step_of(e->d_name)) >= 0) {
            s = q_realloc(s, sizeof *s * (size_t)(*n + 1));
            s[(*n)++] = step;
        }
    if (d) closedir(d);
    qsort(s, (size_t)*n, sizeof *s, by_step);
    return s;
}

/* What a kill left of files that were being written: their names with an ending behind. */
static void sweep(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)); ) {
        const char *end = strstr(e->d_name, ".qtr.");
        bool half = (end && strncmp(e->d_name, "checkpoint-", 11) == 0) || strncmp(e->d_name, "curve.csv.", 10) == 0;
        char *path = half ? q_printf("%s/%s", folder, e->d_name) : NULL;
        if (path) unlink(path);
        free(path);
    }
    if (d) closedir(d);
}

static char *path_of(const char *folder, int64_t step)
{
    char name[64];
    name_of(step, name);
    return q_printf("%s/%s", folder, name);
}

void keep_row_add(kept *k, keep_row r)
{
    if (k->step == k->room) {
        k->room = k->room ? 2 * k->room : 64;
        k->row = q_realloc(k->row, sizeof *k->row * (size_t)k->room);
    }
    k->row[k->step++] = r;
}

/* Q_FORMAT without a sentence: it is damaged or not ours. */
static int read_one(const char *path, lows *l, kept *k, char *err)
{
    q_buf b = { 0 };
    head h;
    uint64_t sum;
    size_t numbers = sizeof(float) * 3 * (size_t)l->n_param;
    int rc = q_read_file(path, &b, sizeof h + sizeof(keep_row) * MOST_STEPS + numbers + sizeof sum, err);
    if (rc == Q_RANGE) rc = Q_FORMAT;              /* longer than one of these numbers can be */
    if (!rc && b.len < sizeof h + sizeof sum) rc = Q_FORMAT;
    if (!rc) {
        memcpy(&h, b.p, sizeof h);
        memcpy(&sum, b.p + b.len - sizeof sum, sizeof sum);
        bool whole = memcmp(h.kind, "QTRN", 4) == 0 && h.version == VERSION && h.step >= 0 && h.step <= INT32_MAX && q_hash64(b.p, b.len - sizeof sum, VERSION) == sum;
        if (!whole) rc = Q_FORMAT;
        else if (h.terms != k->terms || h.n_param != l->n_param) rc = Q_RANGE;
        else if (b.len != sizeof h + sizeof(keep_row) * (size_t)h.step + numbers + sizeof sum) rc = Q_FORMAT;
    }
    if (!rc) {
        const char *at = b.p + sizeof h;
        k->step = 0;
        for (int64_t i = 0; i < h.step; i++, at += sizeof(keep_row)) {
            keep_row r;
            memcpy(&r, at, sizeof r);
            keep_row_add(k, r);
        }
        float *const arrays[] = { l->p, l->m, l->v };
        for (int i = 0; i < 3; i++, at += numbers / 3) memcpy(arrays[i], at, numbers / 3);
        l->updates = h.updates;
        k->first = h.first;
    }
    q_buf_free(&b);
    return rc;
}

int keep_read(const char *folder, lows *l, kept *k, char *err)
{
    int n, rc = Q_NOTFOUND;
    sweep(folder);
    int64_t *step = steps_of(folder, &n);
    for (int i = 0; i < n && rc != Q_OK && rc != Q_RANGE && rc != Q_IO; i++) {
        char *path = path_of(folder, step[i]);
        rc = read_one(path, l, k, err);
        free(path);
    }
    free(step);
    if (rc == Q_RANGE)
        return q_fail(err, rc, _("%s holds a run of other examples, settings or another model: go on with what it was begun with, or take another folder"), folder);
    if (rc == Q_FORMAT) return q_fail(err, rc, _("the checkpoints in %s are damaged: remove the folder to begin again"), folder);
    return rc;
}

int keep_write(const char *folder, const lows *l, const kept *k, char *err)
{
    head h = { { 'Q', 'T', 'R', 'N' }, VERSION, k->terms, k->step, l->updates, l->n_param, k->first };
    q_buf b = { 0 };
    const float *const arrays[] = { l->p, l->m, l->v };
    q_buf_add(&b, &h, sizeof h);
    q_buf_add(&b, k->row, sizeof *k->row * (size_t)k->step);
    for (int i = 0; i < 3; i++) q_buf_add(&b, arrays[i], sizeof(float) * (size_t)l->n_param);
    uint64_t sum = q_hash64(b.p, b.len, VERSION);
    q_buf_add(&b, &sum, sizeof sum);
    char *path = path_of(folder, k->step), why[Q_ERRLEN];
    int rc = q_write_file_atomic(path, b.p, b.len, why), n;
    q_buf_free(&b);
    free(path);
    if (rc) return q_fail(err, rc, _("%s; what was learnt up to the last checkpoint is kept: make room, and the run goes on from there"), why);
    int64_t *step = steps_of(folder, &n);
    for (int i = STAY; i < n; i++) {
        path = path_of(folder, step[i]);
        unlink(path);
        free(path);
    }
    free(step);
    return Q_OK;
}

static void line(q_buf *b, const kept *k, int64_t i)
{
    const keep_row *r = &k->row[i];
    q_buf_printf(b, "%" PRId64 ",%.9g,", i + 1, r->loss);
    if (!isnan(r->heldout)) q_buf_printf(b, "%.9g", r->heldout);
    q_buf_printf(b, ",%.9g,%" PRIu64 "\n", r->lr, r->tokens);
}

int keep_curve(const char *folder, const kept *k, bool anew, char *err)
{
    char *path = q_printf("%s/curve.csv", folder);
    q_buf b = { 0 };
    int rc = Q_OK;
    if (anew) {
        q_buf_puts(&b, "step,loss,heldout,lr,tokens\n");
        if (!isnan(k->first)) q_buf_printf(&b, "0,,%.9g,,0\n", k->first);
        for (int64_t i = 0; i < k->step; i++) line(&b, k, i);
        rc = q_write_file_atomic(path, b.p, b.len, err);
    } else {
        line(&b, k, k->step - 1);
        FILE *f = fopen(path, "a");
        bool ok = f && fwrite(b.p, 1, b.len, f) == b.len;
        ok = f && fclose(f) == 0 && ok;
        if (!ok) rc = q_fail(err, Q_IO, _("%s cannot be written: %s; what was learnt up to the last checkpoint is kept"), path, strerror(errno));
    }
    q_buf_free(&b);
    free(path);
    return rc;
}
