/* engine/file/safetensors_write: the writing half of safetensors.h. Tensors lie one after another in the order given; the header is filled up
 * with blanks to a multiple of 8, as the format's own writer does. */
#include "engine/file/safetensors.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t count(const st_out *t)
{
    size_t n = 1;
    for (int i = 0; i < t->n_dims; i++) n *= (size_t)t->ne[i];
    return n;
}

static void put_head(q_buf *out, const st_out *t, int n, const char *const (*note)[2], int n_note)
{
    cJSON *j = cJSON_CreateObject(), *m = cJSON_AddObjectToObject(j, "__metadata__");
    uint64_t at = 0;
    for (int i = 0; i < n_note; i++)
        if (note[i][1]) cJSON_AddStringToObject(m, note[i][0], note[i][1]);
    for (int i = 0; i < n; i++) {
        cJSON *one = cJSON_AddObjectToObject(j, t[i].name), *shape, *where;
        cJSON_AddStringToObject(one, "dtype", "F32");
        shape = cJSON_AddArrayToObject(one, "shape");
        for (int d = 0; d < t[i].n_dims; d++) cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t[i].ne[d]));
        where = cJSON_AddArrayToObject(one, "data_offsets");
        cJSON_AddItemToArray(where, cJSON_CreateNumber((double)at));
        at += count(&t[i]) * sizeof(float);
        cJSON_AddItemToArray(where, cJSON_CreateNumber((double)at));
    }
    char *text = cJSON_PrintUnformatted(j);
    uint64_t len = strlen(text), full = (len + 7) / 8 * 8;
    q_buf_add(out, &full, sizeof full);
    q_buf_add(out, text, len);
    while (out->len < full + 8) q_buf_putc(out, ' ');
    cJSON_free(text);
    cJSON_Delete(j);
}

static int put(int fd, const char *path, const void *p, size_t n, char *err)
{
    for (const char *c = p; n;) {
        ssize_t k = write(fd, c, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno));
        c += k;
        n -= (size_t)k;
    }
    return Q_OK;
}

static int put_tensors(int fd, const char *path, const st_out *t, int n, char *err)
{
    size_t most = 0;
    for (int i = 0; i < n; i++) most = count(&t[i]) > most ? count(&t[i]) : most;
    float *buf = malloc(most ? most * sizeof *buf : 1);
    char words[32];
    int rc = buf ? Q_OK : q_fail(err, Q_NOMEM, _("cannot make %s: its largest tensor needs %s of free memory"), path, q_bytes_words(most * sizeof *buf, words));
    for (int i = 0; i < n && !rc; i++) {
        rc = t[i].fill(t[i].user, buf, count(&t[i]), err);
        if (!rc) rc = put(fd, path, buf, count(&t[i]) * sizeof *buf, err);
    }
    free(buf);
    return rc;
}

int st_write(const char *path, const st_out *t, int n, const char *const (*note)[2], int n_note, char *err)
{
    q_buf head = { 0 };
    if (q_no_device(path, err) != Q_OK) return Q_RANGE;
    char *part = q_printf("%s.part", path);
    put_head(&head, t, n, note, n_note);
    int fd = q_part_open(part), rc = fd < 0 ? q_fail(err, Q_IO, _("cannot write %s: %s"), part, strerror(errno)) : Q_OK;
    if (!rc) rc = put(fd, part, head.p, head.len, err);
    if (!rc) rc = put_tensors(fd, part, t, n, err);
    if (!rc && (fsync(fd) != 0 || q_part_name(fd, part) != 0)) rc = q_fail(err, Q_IO, _("cannot write %s: %s"), part, strerror(errno));
    if (fd >= 0 && close(fd) != 0 && !rc) rc = q_fail(err, Q_IO, _("cannot write %s: %s"), part, strerror(errno));
    if (!rc && rename(part, path) != 0) rc = q_fail(err, Q_IO, _("cannot rename %s to %s: %s"), part, path, strerror(errno));
    if (rc && fd >= 0) unlink(part);
    q_buf_free(&head);
    free(part);
    return rc;
}
