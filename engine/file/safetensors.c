/* engine/file/safetensors: see safetensors.h. */
#include "engine/file/safetensors.h"
#include "kernels/kernels.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_MOST = 16 << 20, INDEX_MOST = 16 << 20, FILES_MOST = 4096, NAME_MOST = 400 };

typedef struct part { char *path; uint8_t *p; size_t n; } part;
struct st_file {
    part *part;
    int n_part;
    st_tensor *t;
    int n, cap;
    cJSON *note;                       /* __metadata__, or NULL */
};

static const struct { const char *name; int bytes; enum st_kind kind; } types[] = {
    { "F32", 4, ST_F32 }, { "BF16", 2, ST_BF16 }, { "F16", 2, ST_F16 }, { "F64", 8, ST_F64 }, { "I64", 8, ST_OTHER }, { "I32", 4, ST_OTHER }, { "I16", 2, ST_OTHER },
    { "I8", 1, ST_OTHER }, { "U64", 8, ST_OTHER }, { "U32", 4, ST_OTHER }, { "U16", 2, ST_OTHER }, { "U8", 1, ST_OTHER }, { "BOOL", 1, ST_OTHER },
    { "F8_E4M3", 1, ST_OTHER }, { "F8_E5M2", 1, ST_OTHER }, { "F8_E8M0", 1, ST_OTHER },
};

/* ---- one tensor of a header ---- */

/* A whole number of JSON, 0 to 2^53; -1: it is none. */
static int64_t whole(const cJSON *v)
{
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= 9007199254740992.0)) return -1;
    int64_t n = (int64_t)v->valuedouble;
    return (double)n == v->valuedouble ? n : -1;
}

static int bad(char *err, const part *p, const char *name, const char *why)
{
    return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s %s: the file is damaged or not wholly downloaded; fetch it again"), p->path, name, why);
}

static int read_shape(const part *p, const cJSON *j, st_tensor *t, char *err)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(j, "shape"), *d;
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > ST_DIMS)
        return bad(err, p, t->name, _("has no shape that could be read"));
    t->n = 1;
    cJSON_ArrayForEach(d, shape) {
        int64_t n = whole(d);
        if (n < 0 || __builtin_mul_overflow(t->n, n, &t->n) || t->n > (int64_t)1 << 48)
            return bad(err, p, t->name, _("has no shape that could be read"));
        t->ne[t->n_dims++] = n;
    }
    return Q_OK;
}

static int read_tensor(st_file *f, const part *p, size_t at, const cJSON *j, char *err)
{
    st_tensor t = { .name = j->string };
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(j, "dtype"), *where = cJSON_GetObjectItemCaseSensitive(j, "data_offsets");
    int64_t from = whole(cJSON_GetArrayItem(where, 0)), to = whole(cJSON_GetArrayItem(where, 1));
    size_t k = 0, n = sizeof types / sizeof *types;
    if (!*t.name || strlen(t.name) > NAME_MOST) return q_fail(err, Q_FORMAT, _("%s: a tensor's name is empty or longer than %d bytes: the file is damaged"), p->path, NAME_MOST);
    if (!cJSON_IsObject(j) || !cJSON_IsString(type) || !cJSON_IsArray(where) || cJSON_GetArraySize(where) != 2 || from < 0 || to < from)
        return bad(err, p, t.name, _("has no type or place that could be read"));
    int rc = read_shape(p, j, &t, err);
    if (rc) return rc;
    while (k < n && strcmp(types[k].name, type->valuestring) != 0) k++;
    if (k == n) return q_fail(err, Q_FORMAT, _("%s: the tensor %.100s is of the unknown type \"%.20s\": save it as BF16, F16 or F32"), p->path, t.name, type->valuestring);
    if ((size_t)to > p->n - at) return bad(err, p, t.name, _("ends beyond the end of the file"));
    if (to - from != t.n * types[k].bytes) return bad(err, p, t.name, _("has more or fewer bytes than its shape says"));
    t.name = q_strdup(t.name);
    t.type = types[k].name;
    t.kind = types[k].kind;
    t.data = p->p + at + from;
    t.bytes = (size_t)(to - from);
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 256;
        f->t = q_realloc(f->t, sizeof *f->t * (size_t)f->cap);
    }
    f->t[f->n++] = t;
    return Q_OK;
}

/* ---- a file ---- */

static int by_place(const void *a, const void *b)
{
    const st_tensor *x = *(const st_tensor *const *)a, *y = *(const st_tensor *const *)b;
    return x->data != y->data ? (x->data < y->data ? -1 : 1) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Tensors [first, f->n) are p's: no byte belongs to two. */
static int check_overlaps(const st_file *f, const part *p, int first, char *err)
{
    int n = f->n - first, rc = Q_OK;
    const st_tensor **order = q_alloc(sizeof *order * (size_t)(n + 1));
    for (int i = 0; i < n; i++) order[i] = &f->t[first + i];
    qsort(order, (size_t)n, sizeof *order, by_place);
    for (int i = 1; i < n && !rc; i++)
        if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data)
            rc = bad(err, p, order[i]->name, _("overlaps another"));
    free(order);
    return rc;
}

static int read_header(st_file *f, const part *p, char *err)
{
    uint64_t n = 0;
    if (p->n >= 8) memcpy(&n, p->p, 8);
    if (p->n < 8 || n < 2 || n > p->n - 8)
        return q_fail(err, Q_FORMAT, _("%s is no safetensors file, or it is cut short: its header would be %llu bytes long; fetch it again"), p->path, (unsigned long long)n);
    if (n > HEADER_MOST) return q_fail(err, Q_FORMAT, _("%s has a header of %llu bytes, more than the %d that are read: take another copy"), p->path, (unsigned long long)n, HEADER_MOST);
    cJSON *j = cJSON_ParseWithLength((const char *)p->p + 8, (size_t)n);
    if (!cJSON_IsObject(j)) {
        cJSON_Delete(j);
        return q_fail(err, Q_FORMAT, _("%s: the header is no JSON object: the file is damaged or no safetensors file; fetch it again"), p->path);
    }
    int first = f->n, rc = Q_OK;
    cJSON *note = cJSON_DetachItemFromObjectCaseSensitive(j, "__metadata__");
    if (f->note || !cJSON_IsObject(note)) cJSON_Delete(note);
    else f->note = note;
    for (const cJSON *t = j->child; t && !rc; t = t->next) rc = read_tensor(f, p, 8 + (size_t)n, t, err);
    if (!rc) rc = check_overlaps(f, p, first, err);
    cJSON_Delete(j);
    return rc;
}

static int open_part(st_file *f, const char *path, char *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return q_fail(err, Q_IO, _("cannot open %s: %s"), path, strerror(errno));
    int rc = fstat(fd, &st) != 0 ? q_fail(err, Q_IO, _("cannot read %s: %s"), path, strerror(errno)) : Q_OK;
    if (!rc && !S_ISREG(st.st_mode)) rc = q_fail(err, Q_IO, _("%s is not a file: name a .safetensors file"), path);
    void *p = !rc && st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (!rc && p == MAP_FAILED) rc = q_fail(err, Q_IO, _("cannot read %s: %s"), path, strerror(errno));
    close(fd);
    if (rc) return rc;
    f->part = q_realloc(f->part, sizeof *f->part * (size_t)(f->n_part + 1));
    part *now = &f->part[f->n_part++];
    *now = (part){ q_strdup(path), p, p ? (size_t)st.st_size : 0 };
    return read_header(f, now, err);
}

/* ---- the whole ---- */

static int by_name(const void *a, const void *b) { return strcmp(((const st_tensor *)a)->name, ((const st_tensor *)b)->name); }

static int finish(st_file *f, int rc, st_file **out, char *err)
{
    if (!rc && f->n) qsort(f->t, (size_t)f->n, sizeof *f->t, by_name);
    for (int i = 1; i < f->n && !rc; i++)
        if (strcmp(f->t[i - 1].name, f->t[i].name) == 0)
            rc = q_fail(err, Q_FORMAT, _("%s: the tensor %.100s is there twice: the file is damaged, take another copy"), f->part[0].path, f->t[i].name);
    if (rc) st_close(f);
    else *out = f;
    return rc;
}

int st_open(const char *path, st_file **out, char *err)
{
    st_file *f = q_alloc(sizeof *f);
    return finish(f, open_part(f, path, err), out, err);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* A shard's name comes from a file: it is a name in this folder and nothing else. */
static bool plain(const char *s)
{
    return *s && *s != '.' && strlen(s) < 256 && !strchr(s, '/');
}

static int open_index(st_file *f, const char *folder, const char *path, char *err)
{
    q_buf text = { 0 };
    int rc = q_read_file(path, &text, INDEX_MOST, err);
    cJSON *j = rc ? NULL : cJSON_ParseWithLength(text.p, text.len), *map = cJSON_GetObjectItemCaseSensitive(j, "weight_map");
    if (!rc && !cJSON_IsObject(map)) rc = q_fail(err, Q_FORMAT, _("%s has no \"weight_map\": fetch the folder again"), path);
    int n = 0;
    const char **name = q_alloc(sizeof *name * (size_t)(cJSON_GetArraySize(map) + 1));
    for (const cJSON *v = cJSON_IsObject(map) ? map->child : NULL; v && !rc; v = v->next)
        if (!cJSON_IsString(v) || !plain(v->valuestring)) rc = q_fail(err, Q_FORMAT, _("%s names a file that is not one of the folder: fetch the folder again"), path);
        else name[n++] = v->valuestring;
    qsort(name, (size_t)n, sizeof *name, by_text);
    for (int i = 0, files = 0; i < n && !rc; i++) {
        if (i && strcmp(name[i], name[i - 1]) == 0) continue;
        char *shard = q_printf("%s/%s", folder, name[i]);
        rc = files++ == FILES_MOST ? q_fail(err, Q_FORMAT, _("%s names more than %d files"), path, FILES_MOST) : open_part(f, shard, err);
        free(shard);
    }
    free(name);
    cJSON_Delete(j);
    q_buf_free(&text);
    return rc;
}

static bool there(const char *folder, const char *stem, const char *end)
{
    struct stat st;
    char *path = q_printf("%s/%s%s", folder, stem, end);
    bool is = lstat(path, &st) == 0;
    free(path);
    return is;
}

int st_open_folder(const char *folder, const char *stem, st_file **out, bool *pickled, char *err)
{
    static const char *const old[] = { ".bin", ".pt", ".pth", ".bin.index.json", "-00001-of-00001.bin" };
    *pickled = false;
    char *path = NULL;
    st_file *f = q_alloc(sizeof *f);
    int rc;
    if (there(folder, stem, ".safetensors")) {
        path = q_printf("%s/%s.safetensors", folder, stem);
        rc = open_part(f, path, err);
    } else if (there(folder, stem, ".safetensors.index.json")) {
        path = q_printf("%s/%s.safetensors.index.json", folder, stem);
        rc = open_index(f, folder, path, err);
    } else {
        for (size_t i = 0; i < sizeof old / sizeof *old; i++) *pickled = *pickled || there(folder, stem, old[i]) || there(folder, "pytorch_model", old[i]);
        rc = q_fail(err, Q_NOTFOUND, _("%s holds no %s.safetensors"), folder, stem);
    }
    free(path);
    return finish(f, rc, out, err);
}

void st_close(st_file *f)
{
    if (!f) return;
    for (int i = 0; i < f->n; i++) free((char *)f->t[i].name);
    for (int i = 0; i < f->n_part; i++) {
        if (f->part[i].p) munmap(f->part[i].p, f->part[i].n);
        free(f->part[i].path);
    }
    cJSON_Delete(f->note);
    free(f->t);
    free(f->part);
    free(f);
}

int st_count(const st_file *f) { return f->n; }
const st_tensor *st_at(const st_file *f, int i) { return &f->t[i]; }

const st_tensor *st_find(const st_file *f, const char *name)
{
    st_tensor key = { .name = name };
    return f->n ? bsearch(&key, f->t, (size_t)f->n, sizeof *f->t, by_name) : NULL;
}

const char *st_note(const st_file *f, const char *key) { return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(f->note, key)); }

uint64_t st_bytes(const st_file *f)
{
    uint64_t n = 0;
    for (int i = 0; i < f->n_part; i++) n += f->part[i].n;
    return n;
}

static float of_bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

void st_floats(const st_tensor *t, int64_t first, int64_t n, float *dst)
{
    uint16_t h;
    double d;
    for (int64_t i = 0; i < n; i++)
        switch (t->kind) {
        case ST_F32: memcpy(&dst[i], t->data + 4 * (first + i), sizeof *dst); break;
        case ST_BF16: memcpy(&h, t->data + 2 * (first + i), sizeof h); dst[i] = of_bf16(h); break;
        case ST_F16: memcpy(&h, t->data + 2 * (first + i), sizeof h); dst[i] = ker_f16_to_f32(h); break;
        case ST_F64: memcpy(&d, t->data + 8 * (first + i), sizeof d); dst[i] = (float)d; break;
        case ST_OTHER: dst[i] = 0; break;
        }
}
