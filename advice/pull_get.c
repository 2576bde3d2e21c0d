/* advice/pull_get: the files of a choice, one after the other: room on the disk first, then each to its place. See pull.h. */
#include "advice/pull.h"
#include "advice/pull_file.h"
#include "advice/pull_name.h"
#include "advice/pull_part.h"
#include "advice/pull_way.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static const uint64_t SPARE = 16 << 20;  /* that a disk is left with */

static bool there(const char *path, const adv_pull_file *f)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == f->bytes;
}

/* Bytes that are still to come, against those that are free. */
static int room(const adv_pull_repo *r, int first, int n, const char *dir, char *err)
{
    struct statvfs fs;
    uint64_t need = 0;
    for (int i = first; i < first + n; i++) {
        const adv_pull_file *f = &r->file[i];
        char *path = q_printf("%s/%s", dir, f->path);
        if (f->bytes != UINT64_MAX && !there(path, f) && need < UINT64_MAX / 4)        /* beyond it no disk has room */
            need += f->bytes - pull_part_peek(path, &(pull_mark){ f->bytes, f->sha256, NULL });
        free(path);
    }
    char a[32], b[32];
    if (statvfs(dir, &fs) != 0 || need + SPARE <= (uint64_t)fs.f_bavail * fs.f_frsize)
        return Q_OK;
    return q_fail(err, Q_IO, _("%s are still to come, and the disk of %s has %s free: make room, or name another place with --to DIR"), q_bytes_words(need, a), dir,
                  q_bytes_words((uint64_t)fs.f_bavail * fs.f_frsize, b));
}

static int folder_of(const char *path, char *err)
{
    char *folder = q_strndup(path, (size_t)(strrchr(path, '/') - path));
    int rc = q_mkdirs(folder, err);
    free(folder);
    return rc;
}

int adv_pull_get(const adv_pull_repo *r, int first, int n, const char *dir, const adv_pull_way *given, int *checked, char *err)
{
    adv_pull_way w = pull_way_of(given);
    const pull_source *s = r->source;
    pull_hub hub = { .url = NULL };
    char *page = pull_page(s);
    uint64_t total = 0, before = 0;
    int right = 0, rc = q_mkdirs(dir, err);
    if (rc == Q_OK)
        rc = room(r, first, n, dir, err);
    if (rc == Q_OK)
        rc = pull_hub_open(&hub, q_strdup(s->hub), s->kind != PULL_MS, w.token_file, err);
    for (int i = first; i < first + n; i++)
        total += r->file[i].bytes == UINT64_MAX ? 0 : r->file[i].bytes;
    for (int i = first; i < first + n && rc == Q_OK; i++) {
        const adv_pull_file *f = &r->file[i];
        char *path = q_printf("%s/%s", dir, f->path), *url = pull_address(s, f->path);
        pull_job job = { .hub = &hub, .way = &w, .file = f, .what = r->what, .page = page, .url = url, .path = path, .before = before, .total = total };
        bool known = false;
        rc = folder_of(path, err);
        if (rc == Q_OK) {
            rc = pull_file_there(&job, &known, err);
            if (rc == Q_NOTFOUND || (rc == Q_RANGE && w.force))
                rc = pull_file_get(&job, &known, err);
        }
        right += known;
        before += f->bytes == UINT64_MAX ? 0 : f->bytes;
        free(path);
        free(url);
    }
    pull_hub_close(&hub);
    free(page);
    if (checked)
        *checked = right;
    return rc;
}
