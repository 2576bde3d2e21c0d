/* engine/file/gguf: reading and writing GGUF files (v2 and v3, little-endian). Owns the mmap of a file it
 * opened, of a split model one a part; every pointer it gives points into that mmap and lives until gguf_close. Any thread may read.
 * Every count, length, offset and type is checked against the file before use; a bad file gives one
 * sentence in err and Q_FORMAT, never a crash. It knows nothing of architectures or arithmetic.
 * Format: ggml/docs/gguf.md. */
#ifndef QUORUM_GGUF_H
#define QUORUM_GGUF_H

#include "base/base.h"

enum gguf_vtype {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STR, GGUF_ARR,
    GGUF_U64, GGUF_I64, GGUF_F64
};

typedef struct gguf_str { const char *p; size_t n; } gguf_str;    /* not 0-terminated */

typedef struct gguf_kv {
    gguf_str key;
    enum gguf_vtype type;          /* GGUF_ARR: see below */
    enum gguf_vtype item;          /* of an array         */
    uint64_t count;                /* of an array         */
    const void *data;              /* scalar or array payload in the file; unaligned! */
    size_t bytes;                  /* of the payload      */
    gguf_str *strings;             /* arrays of strings, indexed at open; else NULL   */
} gguf_kv;

typedef struct gguf_tensor {
    gguf_str name;
    int type;                      /* ker_type_id, known and checked; of gguf_look: -1 unknown */
    int n_dims;
    int64_t ne[4];                 /* ne[0] is the row length; missing = 1 */
    uint64_t offset;               /* in the file, or in its part          */
    const void *data;              /* NULL only after gguf_look            */
    size_t bytes;
} gguf_tensor;

typedef struct gguf_file gguf_file;

/* path may be any part of a split model (…-00002-of-00003.gguf, split.h): all parts are opened as one file, which has the path
 * and the keys of the first and the tensors of all. A part that is missing, cut short or another model's is named. */
int gguf_open(const char *path, gguf_file **out, char *err);
/* To look at a file, not to run it: one whose tensors are of types that are not known or not computed here, or lie beyond the
 * end, opens all the same, those tensors without data; so does one of several parts, some of which are missing or wrong. */
int gguf_look(const char *path, gguf_file **out, char *err);
const char *gguf_problem(const gguf_file *);       /* of a file looked at: why it cannot be run, a sentence; NULL: nothing */
int gguf_open_memory(const void *p, size_t n, gguf_file **out, char *err);   /* tests, fuzz; p outlives it */
void gguf_close(gguf_file *);
const char *gguf_path(const gguf_file *);          /* of a split model: its first part's */
size_t gguf_size(const gguf_file *);               /* of all parts together */
int gguf_parts(const gguf_file *);                 /* files that it is made of: 1 */
int gguf_no_input(const gguf_file *, const char *path, char *err);     /* q_no_input of it and each of its parts */
/* The tensors of part 0, 1, ... as they are mapped, with what lies between them; NULL: there is no such part. */
const void *gguf_pages(const gguf_file *, int part, size_t *bytes);
/* Of a tensor's byte: the part it lies in, and where in that file. */
int gguf_part_of(const gguf_file *, const void *p, uint64_t *at);
const char *gguf_part_path(const gguf_file *, int part);
size_t gguf_part_bytes(const gguf_file *, int part);       /* of the whole file */
const void *gguf_bytes(const gguf_file *);         /* all of the file, or of its first part; gguf_data_offset says where tensors begin */
uint64_t gguf_data_offset(const gguf_file *);

int gguf_n_kv(const gguf_file *);
const gguf_kv *gguf_kv_at(const gguf_file *, int i);
const gguf_kv *gguf_find(const gguf_file *, const char *key);       /* NULL if absent */
/* Typed reads: true and *out when the key exists and its type can be converted without loss. */
bool gguf_u64(const gguf_file *, const char *key, uint64_t *out);
bool gguf_f64(const gguf_file *, const char *key, double *out);     /* any number type */
bool gguf_bool(const gguf_file *, const char *key, bool *out);
bool gguf_string(const gguf_file *, const char *key, gguf_str *out);
/* Item i of a numeric array as a number (bounds-checked; false otherwise). */
bool gguf_arr_f64(const gguf_kv *kv, uint64_t i, double *out);

int gguf_n_tensors(const gguf_file *);
const gguf_tensor *gguf_tensor_at(const gguf_file *, int i);
const gguf_tensor *gguf_tensor_find(const gguf_file *, const char *name);

/* ---- writer: declare everything, then write. Streams to a file without a name (or called path + ".part": base.h), fsync, rename. ---- */
typedef struct gguf_writer gguf_writer;
gguf_writer *gguf_writer_new(void);
void gguf_writer_free(gguf_writer *);
void gguf_put_u32(gguf_writer *, const char *key, uint32_t v);
void gguf_put_f32(gguf_writer *, const char *key, float v);
void gguf_put_bool(gguf_writer *, const char *key, bool v);
void gguf_put_str(gguf_writer *, const char *key, const char *v);
void gguf_put_kv(gguf_writer *, const char *key, const gguf_kv *v);  /* copies a value of another file, array or scalar */
/* fill(user, dst, bytes) writes the tensor's bytes when its turn comes; NULL: a hole, zeros that take no room. Order of declaration = order in the file. */
void gguf_put_tensor(gguf_writer *, const char *name, int type, int n_dims, const int64_t *ne,
                     int (*fill)(void *user, void *dst, size_t bytes, char *err), void *user);
/* The same by rows, a few MiB of them at a time: rows(user, first, n, dst) writes n of the tensor's ne[1] * ne[2] * ne[3]. */
void gguf_put_rows(gguf_writer *, const char *name, int type, int n_dims, const int64_t *ne,
                   int (*rows)(void *user, int64_t first, int64_t n, void *dst, char *err), void *user);
/* Errors name path. check: asked of the whole file before it gets its name, NULL: nothing is; what it refuses is gone again. */
int gguf_write(gguf_writer *, const char *path, void (*progress)(void *, uint64_t done, uint64_t total), void *user, char *err);
int gguf_write_checked(gguf_writer *, const char *path, int (*check)(void *checker, const char *part, char *err), void *checker,
                       void (*progress)(void *, uint64_t done, uint64_t total), void *user, char *err);

#endif
