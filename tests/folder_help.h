/* tests/folder_help: folders of Hugging Face's for tests of engine/convert: files put, read and edited, safetensors taken apart and written anew. */
#ifndef QUORUM_TESTS_FOLDER_HELP_H
#define QUORUM_TESTS_FOLDER_HELP_H

#include "engine/file/safetensors.h"
#include "tests/test.h"

#include <string.h>

static inline void folder_put(const char *folder, const char *name, const void *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    char *path = q_printf("%s/%s", folder, name);
    CHECK_MSG(q_write_file_atomic(path, p, n, err) == 0, "%s", err);
    free(path);
}

static inline q_buf folder_get(const char *folder, const char *name)
{
    char err[Q_ERRLEN] = "";
    q_buf b = { 0 };
    char *path = q_printf("%s/%s", folder, name);
    CHECK_MSG(q_read_file(path, &b, 1 << 24, err) == 0, "%s", err);
    free(path);
    return b;
}

/* A tensor of a safetensors file, its bytes as they are. */
typedef struct tensor_part { char name[200], shape[60]; const char *type; q_buf data; } tensor_part;

static inline void pieces_write(const char *folder, const char *name, tensor_part *p, int n)
{
    q_buf head = { 0 }, file = { 0 };
    size_t at = 0;
    q_buf_puts(&head, "{");
    for (int i = 0; i < n; i++) {
        q_buf_printf(&head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", i ? "," : "", p[i].name, p[i].type, p[i].shape, at, at + p[i].data.len);
        at += p[i].data.len;
    }
    q_buf_puts(&head, "}");
    uint64_t len = head.len;
    q_buf_add(&file, &len, 8);
    q_buf_add(&file, head.p, head.len);
    for (int i = 0; i < n; i++) q_buf_add(&file, p[i].data.p, p[i].data.len);
    folder_put(folder, name, file.p, file.len);
    q_buf_free(&head);
    q_buf_free(&file);
}

static inline int pieces_load(const char *folder, tensor_part *p, int most)
{
    st_file *f = NULL;
    bool pickled;
    char err[Q_ERRLEN] = "";
    int n = 0;
    CHECK_MSG(st_open_folder(folder, "model", &f, &pickled, err) == 0, "%s", err);
    for (int i = 0; f && i < st_count(f) && n < most; i++) {
        const st_tensor *t = st_at(f, i);
        tensor_part *x = &p[n++];
        memset(x, 0, sizeof *x);
        snprintf(x->name, sizeof x->name, "%s", t->name);
        x->type = t->type;
        for (int d = 0; d < t->n_dims; d++) snprintf(x->shape + strlen(x->shape), sizeof x->shape - strlen(x->shape), "%s%lld", d ? "," : "", (long long)t->ne[d]);
        q_buf_add(&x->data, t->data, t->bytes);
    }
    st_close(f);
    return n;
}

static inline void pieces_drop(tensor_part *p, int n)
{
    for (int i = 0; i < n; i++) q_buf_free(&p[i].data);
}

static inline tensor_part *pieces_find(tensor_part *p, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(p[i].name, name) == 0) return &p[i];
    return NULL;
}

/* The text of a file with one part changed. */
static inline void folder_edit(const char *folder, const char *name, const char *from, const char *to)
{
    q_buf b = folder_get(folder, name), out = { 0 };
    char *at = b.p ? strstr(b.p, from) : NULL;
    CHECK_MSG(at, "%s has no %s", name, from);
    if (at) {
        q_buf_add(&out, b.p, (size_t)(at - b.p));
        q_buf_puts(&out, to);
        q_buf_puts(&out, at + strlen(from));
        folder_put(folder, name, out.p, out.len);
    }
    q_buf_free(&b);
    q_buf_free(&out);
}

#endif
