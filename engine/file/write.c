/* engine/file/write: the writing half of engine/file/gguf.h. Owns the declared values and the open file,
 * which has no name (or that of path and ".part": base.h) until all is in it; one thread per writer. It never keeps more than one tensor's bytes in memory (of those written by rows a few MiB) and never leaves
 * a half-written file under the final name. Format: ggml/docs/gguf.md, version 3, alignment 32. */
#include "engine/file/gguf.h"
#include "kernels/kernels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGN = 32, STEP = 4 << 20 /* bytes between two calls of progress */ };

typedef struct out_tensor {
    char *name;
    int type, n_dims;
    int64_t ne[4];
    size_t bytes;
    int (*fill)(void *user, void *dst, size_t bytes, char *err);
    int (*rows)(void *user, int64_t first, int64_t n, void *dst, char *err);
    void *user;
} out_tensor;

struct gguf_writer {
    q_buf kv;
    uint64_t n_kv;
    out_tensor *tensor;
    size_t n_tensor, cap;
};

gguf_writer *gguf_writer_new(void) { return q_alloc(sizeof(gguf_writer)); }

void gguf_writer_free(gguf_writer *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n_tensor; i++) free(w->tensor[i].name);
    free(w->tensor);
    q_buf_free(&w->kv);
    free(w);
}

/* Every machine that quorum runs on is little-endian, as the format is. */
static void add_u32(q_buf *b, uint32_t v) { q_buf_add(b, &v, sizeof v); }
static void add_u64(q_buf *b, uint64_t v) { q_buf_add(b, &v, sizeof v); }

static void add_str(q_buf *b, const char *s, size_t n)
{
    add_u64(b, n);
    q_buf_add(b, s, n);
}

static void add_key(gguf_writer *w, const char *key, enum gguf_vtype t)
{
    add_str(&w->kv, key, strlen(key));
    add_u32(&w->kv, (uint32_t)t);
    w->n_kv++;
}

void gguf_put_u32(gguf_writer *w, const char *key, uint32_t v)
{
    add_key(w, key, GGUF_U32);
    add_u32(&w->kv, v);
}

void gguf_put_f32(gguf_writer *w, const char *key, float v)
{
    add_key(w, key, GGUF_F32);
    q_buf_add(&w->kv, &v, sizeof v);
}

void gguf_put_bool(gguf_writer *w, const char *key, bool v)
{
    add_key(w, key, GGUF_BOOL);
    q_buf_putc(&w->kv, v ? 1 : 0);
}

void gguf_put_str(gguf_writer *w, const char *key, const char *v)
{
    add_key(w, key, GGUF_STR);
    add_str(&w->kv, v, strlen(v));
}

void gguf_put_kv(gguf_writer *w, const char *key, const gguf_kv *v)
{
    add_key(w, key, v->type);
    if (v->type == GGUF_ARR) {
        add_u32(&w->kv, (uint32_t)v->item);
        add_u64(&w->kv, v->count);
    }
    if (v->type == GGUF_ARR && v->item == GGUF_STR && v->strings) {
        for (uint64_t i = 0; i < v->count; i++) add_str(&w->kv, v->strings[i].p, v->strings[i].n);
    } else if (v->type == GGUF_STR) add_str(&w->kv, v->data, v->bytes);   /* data is the text alone */
    else q_buf_add(&w->kv, v->data, v->bytes);
}

static out_tensor *add_tensor(gguf_writer *w, const char *name, int type, int n_dims, const int64_t *ne)
{
    if (w->n_tensor == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 64;
        w->tensor = q_realloc(w->tensor, w->cap * sizeof *w->tensor);
    }
    out_tensor *t = &w->tensor[w->n_tensor++];
    *t = (out_tensor){.name = q_strdup(name), .type = type, .n_dims = n_dims};
    for (int i = 0; i < 4; i++) t->ne[i] = i < n_dims ? ne[i] : 1;
    return t;
}

void gguf_put_tensor(gguf_writer *w, const char *name, int type, int n_dims, const int64_t *ne,
                     int (*fill)(void *user, void *dst, size_t bytes, char *err), void *user)
{
    out_tensor *t = add_tensor(w, name, type, n_dims, ne);
    t->fill = fill;
    t->user = user;
}

void gguf_put_rows(gguf_writer *w, const char *name, int type, int n_dims, const int64_t *ne,
                   int (*rows)(void *user, int64_t first, int64_t n, void *dst, char *err), void *user)
{
    out_tensor *t = add_tensor(w, name, type, n_dims, ne);
    t->rows = rows;
    t->user = user;
}

static int size_of(out_tensor *t, char *err)
{
    const ker_type *k = ker_type_get(t->type);
    if (!k || t->n_dims < 1 || t->n_dims > 4)
        return q_fail(err, Q_FORMAT, _("cannot write the tensor %s: type %d with %d dimensions"), t->name, t->type, t->n_dims);
    uint64_t n = 1;
    for (int i = 0; i < 4; i++)
        if (t->ne[i] < 1 || __builtin_mul_overflow(n, (uint64_t)t->ne[i], &n) || n > (uint64_t)1 << 40)
            return q_fail(err, Q_FORMAT, _("cannot write the tensor %s: its dimension %d is out of range"), t->name, i);
    if (t->ne[0] % k->block)
        return q_fail(err, Q_FORMAT, _("cannot write the tensor %s as %s: rows of %lld are not a multiple of %d; choose another type"),
                      t->name, k->name, (long long)t->ne[0], k->block);
    t->bytes = (size_t)(n / (uint64_t)k->block) * (size_t)k->bytes;
    return Q_OK;
}

typedef struct sink {
    int fd;
    const char *path;
    uint64_t done, total;
    void (*progress)(void *, uint64_t, uint64_t);
    void *user;
} sink;

static int put(sink *s, const void *p, size_t n, char *err)
{
    const char *c = p;
    while (n) {
        ssize_t k = write(s->fd, c, n < STEP ? n : STEP);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return q_fail(err, Q_IO, _("cannot write %s: %s"), s->path, strerror(errno));
        c += k;
        n -= (size_t)k;
        s->done += (uint64_t)k;
        if (s->progress) s->progress(s->user, s->done, s->total);
    }
    return Q_OK;
}

/* A hole: zeros that take no room. */
static int put_hole(sink *s, size_t n, char *err)
{
    s->done += n;
    if (lseek(s->fd, (off_t)n, SEEK_CUR) < 0 || ftruncate(s->fd, (off_t)s->done) != 0) return q_fail(err, Q_IO, _("cannot write %s: %s"), s->path, strerror(errno));
    return Q_OK;
}

static int put_padding(sink *s, char *err)
{
    static const char zero[ALIGN];
    return put(s, zero, (size_t)(-s->done % ALIGN), err);
}

static uint64_t padded(uint64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static size_t row_bytes(const out_tensor *t) { return t->bytes / (size_t)(t->ne[1] * t->ne[2] * t->ne[3]); }

/* How much of a tensor is in memory at once. */
static size_t held(const out_tensor *t)
{
    size_t row = row_bytes(t);
    return t->rows ? (row < STEP ? STEP / row * row : row) : t->fill ? t->bytes : 0;
}

static int put_rows(const out_tensor *t, sink *s, void *buf, char *err)
{
    int64_t n = t->ne[1] * t->ne[2] * t->ne[3], at_once = (int64_t)(held(t) / row_bytes(t));
    int rc = Q_OK;
    for (int64_t i = 0; i < n && rc == Q_OK; i += at_once) {
        int64_t k = n - i < at_once ? n - i : at_once;
        rc = t->rows(t->user, i, k, buf, err);
        if (rc == Q_OK) rc = put(s, buf, (size_t)k * row_bytes(t), err);
    }
    return rc;
}

static int write_all(gguf_writer *w, sink *s, const q_buf *head, size_t largest, char *err)
{
    int rc = put(s, head->p, head->len, err);
    if (rc == Q_OK) rc = put_padding(s, err);
    void *buf = rc == Q_OK ? malloc(largest ? largest : 1) : NULL;
    if (rc == Q_OK && !buf) {
        char words[32];
        rc = q_fail(err, Q_NOMEM, _("cannot make %s: its largest tensor needs %s of free memory"), s->path,
                    q_bytes_words(largest, words));
    }
    for (size_t i = 0; rc == Q_OK && i < w->n_tensor; i++) {
        out_tensor *t = &w->tensor[i];
        if (t->rows) rc = put_rows(t, s, buf, err);
        else if (!t->fill) rc = put_hole(s, t->bytes, err);
        else {
            rc = t->fill(t->user, buf, t->bytes, err);
            if (rc == Q_OK) rc = put(s, buf, t->bytes, err);
        }
        if (rc == Q_OK) rc = put_padding(s, err);
    }
    free(buf);
    return rc;
}

int gguf_write_checked(gguf_writer *w, const char *path, int (*check)(void *checker, const char *part, char *err), void *checker,
                       void (*progress)(void *, uint64_t done, uint64_t total), void *user, char *err)
{
    q_buf head = {0};
    uint64_t offset = 0;
    size_t largest = 0;
    if (q_no_device(path, err) != Q_OK) return Q_RANGE;        /* force or not: the file takes the place of what is there */
    q_buf_add(&head, "GGUF", 4);
    add_u32(&head, 3);
    add_u64(&head, w->n_tensor);
    add_u64(&head, w->n_kv);
    q_buf_add(&head, w->kv.p, w->kv.len);
    for (size_t i = 0; i < w->n_tensor; i++) {
        out_tensor *t = &w->tensor[i];
        int rc = size_of(t, err);
        if (rc) {
            q_buf_free(&head);
            return rc;
        }
        add_str(&head, t->name, strlen(t->name));
        add_u32(&head, (uint32_t)t->n_dims);
        for (int d = 0; d < t->n_dims; d++) add_u64(&head, (uint64_t)t->ne[d]);
        add_u32(&head, (uint32_t)t->type);
        add_u64(&head, offset);
        offset += padded(t->bytes);
        if (held(t) > largest) largest = held(t);
    }

    char *part = q_printf("%s.part", path);
    sink s = {.path = path, .total = padded(head.len) + offset, .progress = progress, .user = user};
    s.fd = q_part_open(part);
    int rc = s.fd < 0 ? q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno)) : Q_OK;
    /* Asking for the room now turns a full disk into a sentence at the start instead of after minutes. */
    if (rc == Q_OK && largest && posix_fallocate(s.fd, 0, (off_t)s.total) == ENOSPC) {
        char words[32];
        rc = q_fail(err, Q_IO, _("cannot write %s: %s are needed and the disk has less"), path, q_bytes_words(s.total, words));
    }
    if (rc == Q_OK) rc = write_all(w, &s, &head, largest, err);
    if (rc == Q_OK && (fsync(s.fd) != 0 || q_part_name(s.fd, part) != 0)) rc = q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno));
    if (s.fd >= 0 && close(s.fd) != 0 && rc == Q_OK) rc = q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno));
    if (rc == Q_OK && check) rc = check(checker, part, err);
    if (rc == Q_OK && rename(part, path) != 0)
        rc = q_fail(err, Q_IO, _("cannot rename %s to %s: %s"), part, path, strerror(errno));
    if (rc != Q_OK && s.fd >= 0) unlink(part);
    q_buf_free(&head);
    free(part);
    return rc;
}

int gguf_write(gguf_writer *w, const char *path, void (*progress)(void *, uint64_t done, uint64_t total), void *user, char *err)
{
    return gguf_write_checked(w, path, NULL, NULL, progress, user, err);
}
