/* engine/file/safetensors: reading tensors as Hugging Face keeps them: 8 bytes of the header's length, a JSON header, then numbers. Owns
 * the mappings of one file, or of all shards of a folder; every pointer it gives lives until st_close. Any thread may read. Every length,
 * offset, type and shape is checked against the file before use; a bad file gives one sentence in err, never a crash.
 * Format: huggingface/safetensors, README.md ("Format"). Private to engine. */
#ifndef QUORUM_SAFETENSORS_H
#define QUORUM_SAFETENSORS_H

#include "base/base.h"

enum { ST_DIMS = 6 };
enum st_kind { ST_F32, ST_BF16, ST_F16, ST_F64, ST_OTHER };   /* st_floats reads all but the last */
typedef struct st_tensor {
    const char *name, *type;           /* type: as the file says, "F32", "F8_E4M3" */
    int n_dims;
    int64_t ne[ST_DIMS];               /* rows first, as in PyTorch: the last is the row's length */
    const uint8_t *data;               /* unaligned */
    size_t bytes;
    int64_t n;                         /* numbers; may be 0 */
    enum st_kind kind;
} st_tensor;

typedef struct st_file st_file;

int st_open(const char *path, st_file **out, char *err);
/* The folder's STEM.safetensors, or the shards that STEM.safetensors.index.json names. Q_NOTFOUND: neither is there; *pickled then says whether
 * there are PyTorch's own files instead (.bin, .pt, .pth), which only a program may read. */
int st_open_folder(const char *folder, const char *stem, st_file **out, bool *pickled, char *err);
void st_close(st_file *);

int st_count(const st_file *);
const st_tensor *st_at(const st_file *, int i);                       /* by name, in the order of strcmp */
const st_tensor *st_find(const st_file *, const char *name);          /* NULL: there is none */
const char *st_note(const st_file *, const char *key);                /* of __metadata__ (of the first file); NULL: none */
uint64_t st_bytes(const st_file *);                                   /* of all files */

/* Numbers [first, first + n) as F32; what is BF16, F16 or F32 comes exactly. Not of ST_OTHER. */
void st_floats(const st_tensor *, int64_t first, int64_t n, float *dst);

/* ---- writing: numbers as F32 ---- */
typedef struct st_out {
    const char *name;
    int n_dims;
    int64_t ne[ST_DIMS];
    int (*fill)(void *user, float *dst, size_t n, char *err);
    void *user;
} st_out;
/* Streams to a file without a name (or called path + ".part": base.h), fsync, rename: over what is there. A tensor at a time is in memory. note: pairs of __metadata__, n_note of them;
 * values NULL are left out. */
int st_write(const char *path, const st_out *t, int n, const char *const (*note)[2], int n_note, char *err);

#endif
