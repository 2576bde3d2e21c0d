/* engine/file/gguf: the reader of GGUF files. Owns the mmap and the two indexes (keys, tensors); any thread
 * may read after gguf_open returns. It never trusts a count, length, offset or type before it was
 * compared with the bytes that are there, and it never looks at what tensors mean.
 * Format: ggml/docs/gguf.md of the ggml project. */
#include "engine/file/gguf.h"
#include "engine/file/split.h"
#include "kernels/kernels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DEFAULT_ALIGN = 32,       /* gguf.md, general.alignment */
    MAX_KEY = 65535,          /* gguf.md: "at most 2^16-1 bytes" */
    MAX_NAME = 255,           /* gguf.md says 64, some builds of ggml write up to 128 */
    MIN_KV = 8 + 1 + 4 + 1,   /* the fewest bytes a key-value pair or a tensor entry can take: */
    MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8,   /* bounds the counts before anything is allocated  */
    HEADER = 24,
};

static const unsigned char VSIZE[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};   /* by gguf_vtype; 0 = varies */

struct gguf_file {
    const unsigned char *p;
    size_t n;
    bool mapped, look, part;              /* part: opened as one of several, its sentences name it */
    char *path;
    char *problem;                        /* gguf_look: the first reason why it cannot be run */
    uint64_t salt;                        /* of the indexes' hash */
    gguf_kv *kv;
    int n_kv;
    gguf_tensor *tensor;
    int n_tensor;
    uint32_t *kv_slot, *tensor_slot;      /* open addressing: index + 1, 0 = empty */
    size_t kv_mask, tensor_mask;
    uint64_t data_offset;
    gguf_file **more;                     /* the parts behind the first one: their maps, keys and names; owned */
    int n_more;
};

/* ---- a cursor that cannot run past the end ---- */
typedef struct cursor { const unsigned char *p; size_t n, at; } cursor;

static bool take(cursor *c, size_t n, const unsigned char **out)
{
    if (n > c->n - c->at) return false;
    *out = c->p + c->at;
    c->at += n;
    return true;
}
static bool take_u32(cursor *c, uint32_t *v)
{
    const unsigned char *p;
    if (!take(c, 4, &p)) return false;
    memcpy(v, p, 4);
    return true;
}
static bool take_u64(cursor *c, uint64_t *v)
{
    const unsigned char *p;
    if (!take(c, 8, &p)) return false;
    memcpy(v, p, 8);
    return true;
}
static bool take_str(cursor *c, gguf_str *s)
{
    uint64_t n;
    const unsigned char *p;
    if (!take_u64(c, &n) || n > SIZE_MAX || !take(c, (size_t)n, &p)) return false;
    s->p = (const char *)p;
    s->n = (size_t)n;
    return true;
}

/* A name out of a hostile file, fit for a sentence: printable, at most 64 bytes, whole characters. */
typedef struct shown { char s[72]; } shown;
static shown show(gguf_str s)
{
    shown r;
    size_t w = 0, i = 0;
    while (i < s.n && w < 60) {
        uint32_t cp;
        int l = q_utf8_next(s.p + i, s.n - i, &cp);
        bool bad = cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp == 0xFFFD && l == 1) ||
                   (cp >= 0x200B && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x206F);
        if (bad) r.s[w++] = '?';
        else { memcpy(r.s + w, s.p + i, (size_t)l); w += (size_t)l; }
        i += (size_t)l;
    }
    if (i < s.n) { memcpy(r.s + w, "...", 3); w += 3; }
    r.s[w] = 0;
    return r;
}

static int cut_short(char *err, const gguf_file *f, const char *where)
{
    return q_fail(err, Q_FORMAT, _("%s ends in the middle of %s: it is damaged or not wholly downloaded; fetch it again"),
                  f->path, where);
}

/* What keeps a file from being run ends an opening and is only noted by a look: the sentence stands in err. */
static int unfit(gguf_file *f, const char *err)
{
    if (!f->look) return Q_FORMAT;
    if (!f->problem) f->problem = q_strdup(err);
    return Q_OK;
}
/* How sentences about such things call the file: whoever looks has said its name. */
static const char *called(const gguf_file *f) { return f->look && !f->part ? _("this file") : f->path; }

/* ---- indexes ---- */
static size_t table_size(size_t n)
{
    size_t cap = 16;
    while (cap < n * 2) cap *= 2;
    return cap;
}
/* The slot where s lives or belongs. `at` gives the name of entry i. */
static size_t probe(const uint32_t *slot, size_t mask, uint64_t salt, gguf_str s, const void *base, size_t stride)
{
    size_t h = (size_t)q_hash64(s.p, s.n, salt) & mask;
    while (slot[h]) {
        const gguf_str *t = (const gguf_str *)(const void *)((const char *)base + (size_t)(slot[h] - 1) * stride);
        if (t->n == s.n && memcmp(t->p, s.p, s.n) == 0) break;
        h = (h + 1) & mask;
    }
    return h;
}
_Static_assert(offsetof(gguf_kv, key) == 0 && offsetof(gguf_tensor, name) == 0, "probe reads the name first");

/* ---- values ---- */
static int read_array(gguf_file *f, cursor *c, gguf_kv *kv, char *err)
{
    uint32_t item;
    if (!take_u32(c, &item) || !take_u64(c, &kv->count)) return cut_short(err, f, show(kv->key).s);
    if (item == GGUF_ARR)
        return q_fail(err, Q_FORMAT, _("%s: key %s is an array of arrays, which no known model uses; the file was not read"),
                      f->path, show(kv->key).s);
    if (item > GGUF_F64)
        return q_fail(err, Q_FORMAT, _("%s: key %s is an array of the unknown type %u; a newer quorum may be needed"),
                      f->path, show(kv->key).s, item);
    kv->item = (enum gguf_vtype)item;
    kv->data = c->p + c->at;
    size_t left = c->n - c->at, start = c->at, least = item == GGUF_STR ? 8 : VSIZE[item];
    if (kv->count > left / least)
        return q_fail(err, Q_FORMAT, _("%s: key %s claims %llu items, more than the file can hold; it is damaged, fetch it again"),
                      f->path, show(kv->key).s, (unsigned long long)kv->count);
    if (item != GGUF_STR) {
        c->at += (size_t)kv->count * least;
        for (size_t i = 0; item == GGUF_BOOL && i < kv->count; i++)
            if (((const unsigned char *)kv->data)[i] > 1)
                return q_fail(err, Q_FORMAT, _("%s: key %s holds a truth value that is neither 0 nor 1"), f->path, show(kv->key).s);
    } else {
        kv->strings = malloc((size_t)(kv->count ? kv->count : 1) * sizeof *kv->strings);
        if (!kv->strings) return q_fail(err, Q_NOMEM, _("not enough memory for the index of %s"), f->path);
        for (uint64_t i = 0; i < kv->count; i++)
            if (!take_str(c, &kv->strings[i])) return cut_short(err, f, show(kv->key).s);
    }
    kv->bytes = c->at - start;
    return Q_OK;
}

static int read_kv(gguf_file *f, cursor *c, gguf_kv *kv, char *err)
{
    uint32_t type;
    if (!take_str(c, &kv->key)) return cut_short(err, f, _("a key"));
    if (kv->key.n == 0 || kv->key.n > MAX_KEY)
        return q_fail(err, Q_FORMAT, _("%s: a key of %zu bytes (1 to %d are allowed); the file is damaged"), f->path, kv->key.n, MAX_KEY);
    if (!take_u32(c, &type)) return cut_short(err, f, show(kv->key).s);
    if (type > GGUF_F64)
        return q_fail(err, Q_FORMAT, _("%s: key %s has the unknown value type %u; a newer quorum may be needed"),
                      f->path, show(kv->key).s, type);
    kv->type = (enum gguf_vtype)type;
    if (type == GGUF_ARR) return read_array(f, c, kv, err);
    if (type == GGUF_STR) {
        gguf_str s;
        if (!take_str(c, &s)) return cut_short(err, f, show(kv->key).s);
        kv->data = s.p;
        kv->bytes = s.n;
        return Q_OK;
    }
    const unsigned char *p;
    if (!take(c, VSIZE[type], &p)) return cut_short(err, f, show(kv->key).s);
    if (type == GGUF_BOOL && *p > 1)
        return q_fail(err, Q_FORMAT, _("%s: key %s holds a truth value that is neither 0 nor 1"), f->path, show(kv->key).s);
    kv->data = p;
    kv->bytes = VSIZE[type];
    return Q_OK;
}

static int read_tensor(gguf_file *f, cursor *c, gguf_tensor *t, char *err)
{
    uint32_t dims, type;
    if (!take_str(c, &t->name)) return cut_short(err, f, _("a tensor's name"));
    if (t->name.n == 0 || t->name.n > MAX_NAME)
        return q_fail(err, Q_FORMAT, _("%s: a tensor's name of %zu bytes (1 to %d are allowed); the file is damaged"),
                      f->path, t->name.n, MAX_NAME);
    if (!take_u32(c, &dims)) return cut_short(err, f, show(t->name).s);
    if (dims < 1 || dims > 4)
        return q_fail(err, Q_FORMAT, _("%s: tensor %s has %u dimensions (1 to 4 are allowed)"), f->path, show(t->name).s, dims);
    t->n_dims = (int)dims;
    for (int i = 0; i < 4; i++) t->ne[i] = 1;
    for (uint32_t i = 0; i < dims; i++) {
        uint64_t v;
        if (!take_u64(c, &v)) return cut_short(err, f, show(t->name).s);
        if (v == 0 || v > INT64_MAX)
            return q_fail(err, Q_FORMAT, _("%s: tensor %s has a dimension of %llu"), f->path, show(t->name).s, (unsigned long long)v);
        t->ne[i] = (int64_t)v;
    }
    if (!take_u32(c, &type) || !take_u64(c, &t->offset)) return cut_short(err, f, show(t->name).s);
    int id = type < KER_TYPE_LIMIT ? (int)type : KER_TYPE_LIMIT;
    const ker_type *kt = ker_type_get(id), *named = ker_type_named(id);
    t->type = named ? id : -1;
    if (!named) {
        q_fail(err, Q_FORMAT, _("%s: tensor %s has the unknown type %u; a newer quorum may be needed"), called(f), show(t->name).s, type);
        return unfit(f, err);
    }
    if (!kt) {
        q_fail(err, Q_FORMAT, _("%s: tensor %s has the type %s, which quorum cannot compute with; "
                                "take a Q4_K_M, Q5_K_M, Q6_K or Q8_0 file of this model"), called(f), show(t->name).s, named->name);
        int rc = unfit(f, err);
        if (rc || named->block < 1 || t->ne[0] % named->block) return rc;
    }
    if (t->ne[0] % named->block)
        return q_fail(err, Q_FORMAT, _("%s: tensor %s has rows of %lld, not a multiple of the %d that %s needs"),
                      f->path, show(t->name).s, (long long)t->ne[0], named->block, named->name);
    uint64_t bytes = (uint64_t)(t->ne[0] / named->block);
    bool over = __builtin_mul_overflow(bytes, (uint64_t)named->bytes, &bytes);
    for (int i = 1; i < 4; i++) over |= __builtin_mul_overflow(bytes, (uint64_t)t->ne[i], &bytes);
    if (over || bytes > c->n) {
        q_fail(err, Q_FORMAT, _("%s: tensor %s would be larger than the file; it is damaged or not wholly downloaded, fetch it again"),
               called(f), show(t->name).s);
        if (over) return Q_FORMAT;
        if (unfit(f, err)) return Q_FORMAT;
    }
    t->bytes = (size_t)bytes;
    return Q_OK;
}

static int by_offset(const void *a, const void *b)
{
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Offsets in the file are relative to the data section; made absolute here. */
static int place_tensors(gguf_file *f, size_t header_end, char *err)
{
    uint64_t align = DEFAULT_ALIGN;
    const gguf_kv *a = gguf_find(f, "general.alignment");
    if (a && (!gguf_u64(f, "general.alignment", &align) || align == 0 || align % 8 || align > 1 << 20))
        return q_fail(err, Q_FORMAT, _("%s: general.alignment must be a multiple of 8 up to 1048576"), f->path);
    uint64_t data = (header_end + align - 1) / align * align;
    if (data > f->n) {
        if (f->n_tensor && (cut_short(err, f, _("its list of tensors")), unfit(f, err))) return Q_FORMAT;
        data = f->n;
    }
    f->data_offset = data;
    if (!f->n_tensor) return Q_OK;
    gguf_tensor **order = malloc((size_t)f->n_tensor * sizeof *order);
    if (!order) return q_fail(err, Q_NOMEM, _("not enough memory for the index of %s"), f->path);
    int r = Q_OK;
    for (int i = 0; i < f->n_tensor && r == Q_OK; i++) {
        gguf_tensor *t = &f->tensor[i];
        order[i] = t;
        if (t->offset % align)
            r = q_fail(err, Q_FORMAT, _("%s: tensor %s starts at a place that is not a multiple of %llu; the file is damaged"),
                       f->path, show(t->name).s, (unsigned long long)align);
        else if (t->offset > f->n - data || t->bytes > f->n - data - t->offset) {
            q_fail(err, Q_FORMAT, _("%s: tensor %s lies beyond the end of the file: it is not wholly downloaded; fetch it again"),
                   called(f), show(t->name).s);
            r = unfit(f, err);
        } else {
            t->offset += data;
            t->data = f->p + t->offset;
        }
    }
    if (r == Q_OK && !f->problem) {
        qsort(order, (size_t)f->n_tensor, sizeof *order, by_offset);
        for (int i = 1; i < f->n_tensor && r == Q_OK; i++)
            if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset)
                r = q_fail(err, Q_FORMAT, _("%s: tensors %s and %s overlap; the file is damaged"), f->path,
                           show(order[i - 1]->name).s, show(order[i]->name).s);
    }
    free(order);
    return r;
}

/* NVFP4's numbers are small beside what they mean: a file has a float a tensor, or one an expert, that multiplies them. */
static int scales_beside(gguf_file *f, char *err)
{
    static const char weight[] = ".weight", scale[] = ".scale";
    for (int i = 0; i < f->n_tensor; i++) {
        const gguf_tensor *t = &f->tensor[i];
        char name[MAX_NAME + 1];
        size_t n = t->name.n;
        if (t->type != KER_NVFP4 || n < sizeof weight || n > MAX_NAME || memcmp(t->name.p + n - (sizeof weight - 1), weight, sizeof weight - 1)) continue;
        snprintf(name, sizeof name, "%.*s%s", (int)(n - (sizeof weight - 1)), t->name.p, scale);
        if (!gguf_tensor_find(f, name)) continue;
        q_fail(err, Q_FORMAT, _("%s: tensor %s is NVFP4 with a scale beside it (%s), which quorum does not apply yet; "
                                "take a Q4_K_M, Q5_K_M, Q6_K or Q8_0 file of this model"), called(f), show(t->name).s, name);
        return unfit(f, err);
    }
    return Q_OK;
}

static int parse_entries(gguf_file *f, cursor *c, uint64_t n_tensor, uint64_t n_kv, char *err)
{
    size_t left = c->n - c->at;
    if (n_kv > left / MIN_KV || n_tensor > left / MIN_TENSOR || n_kv > INT32_MAX / 2 || n_tensor > INT32_MAX / 2)
        return q_fail(err, Q_FORMAT, _("%s claims %llu keys and %llu tensors, more than it can hold; it is damaged, fetch it again"),
                      f->path, (unsigned long long)n_kv, (unsigned long long)n_tensor);
    f->kv_mask = table_size((size_t)n_kv) - 1;
    f->tensor_mask = table_size((size_t)n_tensor) - 1;
    f->kv = calloc((size_t)n_kv + 1, sizeof *f->kv);
    f->tensor = calloc((size_t)n_tensor + 1, sizeof *f->tensor);
    f->kv_slot = calloc(f->kv_mask + 1, sizeof *f->kv_slot);
    f->tensor_slot = calloc(f->tensor_mask + 1, sizeof *f->tensor_slot);
    if (!f->kv || !f->tensor || !f->kv_slot || !f->tensor_slot)
        return q_fail(err, Q_NOMEM, _("not enough memory for the index of %s"), f->path);
    for (uint64_t i = 0; i < n_kv; i++) {
        gguf_kv *kv = &f->kv[i];
        f->n_kv++;                                  /* counted first, so that close frees its strings */
        int r = read_kv(f, c, kv, err);
        if (r) return r;
        size_t s = probe(f->kv_slot, f->kv_mask, f->salt, kv->key, f->kv, sizeof *f->kv);
        if (f->kv_slot[s]) return q_fail(err, Q_FORMAT, _("%s: key %s appears twice"), f->path, show(kv->key).s);
        f->kv_slot[s] = (uint32_t)i + 1;
    }
    for (uint64_t i = 0; i < n_tensor; i++) {
        gguf_tensor *t = &f->tensor[i];
        int r = read_tensor(f, c, t, err);
        if (r) return r;
        f->n_tensor++;
        size_t s = probe(f->tensor_slot, f->tensor_mask, f->salt, t->name, f->tensor, sizeof *f->tensor);
        if (f->tensor_slot[s]) return q_fail(err, Q_FORMAT, _("%s: tensor %s appears twice"), f->path, show(t->name).s);
        f->tensor_slot[s] = (uint32_t)i + 1;
    }
    int r = scales_beside(f, err);
    return r ? r : place_tensors(f, c->at, err);
}

/* What else is found under a model's name, by how it begins: a download of something else than the file, an older form. */
static const struct { const char *begin, *says; } others[] = {
    {"version https://git-lfs", N_("%s is a pointer of Git LFS and not the model: fetch the file itself (git lfs pull)")},
    {"<", N_("%s is a web page and not the model: its address led to the page about the file; fetch the file itself")},
    {"{", N_("%s is JSON and not the model: fetch the file itself, which begins with GGUF")},
    {"lmgg", N_("%s is in an older form of GGML that is not read any more: fetch the model as GGUF")},
    {"fmgg", N_("%s is in an older form of GGML that is not read any more: fetch the model as GGUF")},
    {"tjgg", N_("%s is in an older form of GGML that is not read any more: fetch the model as GGUF")},
    {"algg", N_("%s is in an older form of GGML that is not read any more: fetch the model as GGUF")},
    {"PK\003\004", N_("%s is an archive: unpack it and give the .gguf file in it")},
    {"\037\213", N_("%s is an archive: unpack it and give the .gguf file in it")},
};

static int not_gguf(const gguf_file *f, char *err)
{
    size_t at = 0;
    while (at < f->n && at < 64 && strchr(" \t\r\n", f->p[at]) && f->p[at]) at++;
    if (f->n - at > 8 && !memcmp(f->p + at, "\xEF\xBB\xBF", 3)) at += 3;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t n = strlen(others[i].begin);
        if (f->n - at >= n && memcmp(f->p + at, others[i].begin, n) == 0) return q_fail(err, Q_FORMAT, _(others[i].says), f->path);
    }
    /* safetensors: the length of a JSON text, then the text */
    if (f->n > 8 && f->p[8] == '{') return q_fail(err, Q_FORMAT, _("%s is a safetensors file: quorum reads GGUF; fetch the model in that form, or convert it"), f->path);
    return q_fail(err, Q_FORMAT, _("%s is not a GGUF file: its first bytes are others; get it again, as GGUF"), f->path);
}

static int parse(gguf_file *f, char *err)
{
    cursor c = {f->p, f->n, 4};
    if (f->n < 4 || memcmp(f->p, "GGUF", 4) != 0) return not_gguf(f, err);
    uint32_t version;
    uint64_t n_tensor, n_kv;
    if (f->n < HEADER || !take_u32(&c, &version) || !take_u64(&c, &n_tensor) || !take_u64(&c, &n_kv))
        return cut_short(err, f, _("its header"));
    if (version == 0x02000000 || version == 0x03000000)
        return q_fail(err, Q_FORMAT, _("%s is written for big-endian machines; take the usual little-endian file"), f->path);
    if (version != 2 && version != 3)
        return q_fail(err, Q_FORMAT, _("%s is GGUF version %u; quorum reads versions 2 and 3"), f->path, version);
    return parse_entries(f, &c, n_tensor, n_kv, err);
}

/* ---- open and close ---- */
static int open_bytes(const void *p, size_t n, const gguf_file *how, const char *path, gguf_file **out, char *err)
{
    gguf_file *f = q_alloc(sizeof *f);
    *f = *how;
    f->p = p;
    f->n = n;
    f->salt = q_salt();
    f->path = q_strdup(path);
    int r = parse(f, err);
    if (r) { gguf_close(f); return r; }
    *out = f;
    return Q_OK;
}

/* How many parts the model of this file has, by its own word. */
static uint64_t parts_of(const gguf_file *f)
{
    uint64_t n;
    return gguf_u64(f, "split.count", &n) && n > 1 ? n : 1;
}

int gguf_open_memory(const void *p, size_t n, gguf_file **out, char *err)
{
    *out = NULL;
    gguf_file *f;
    int r = open_bytes(p, n, &(gguf_file){0}, "(memory)", &f, err);
    if (r) return r;
    if (parts_of(f) > 1) {
        r = q_fail(err, Q_FORMAT, _("%s is one of %llu parts of a model, and the others cannot be found from here"), f->path, (unsigned long long)parts_of(f));
        gguf_close(f);
        return r;
    }
    *out = f;
    return Q_OK;
}

static int open_one(const char *path, bool look, bool part, gguf_file **out, char *err)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);      /* a FIFO is refused below, not waited for */
    if (fd < 0) {
        int why = errno, of = 0, no = 0;
        if (part && why == ENOENT && split_name(path, &no, &of, NULL))
            return q_fail(err, Q_IO, _("%s is missing: it is part %d of the %d of this model; put it beside the others"), path, no, of);
        return q_fail(err, Q_IO, _("cannot open %s: %s"), path, strerror(why));
    }
    struct stat st;
    char words[32];
    int r = Q_OK;
    void *p = MAP_FAILED;
    if (fstat(fd, &st) != 0) r = q_fail(err, Q_IO, _("cannot read %s: %s"), path, strerror(errno));
    else if (!S_ISREG(st.st_mode)) r = q_fail(err, Q_IO, _("%s is not a file; give the path of a .gguf file"), path);
    else if (st.st_size == 0) r = q_fail(err, Q_FORMAT, _("%s is empty; fetch it again"), path);
    else if ((p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        r = errno == ENOMEM ? q_fail(err, Q_IO, _("%s (%s) is larger than the address space that this process may use: raise the limit (ulimit -v) or take a smaller file"), path, q_bytes_words((uint64_t)st.st_size, words))
                            : q_fail(err, Q_IO, _("cannot map %s into memory: %s"), path, strerror(errno));
    close(fd);
    return r ? r : open_bytes(p, (size_t)st.st_size, &(gguf_file){.mapped = true, .look = look, .part = part}, path, out, err);
}

/* ---- parts ---- */
/* That a file is that part of so many, as its name and its keys say; and of the model that `first` is of: what both say, they
 * say alike. (Only the first part has the model's keys, and tensors that are missing or twice give other mixtures away.) */
static int check_part(const gguf_file *f, int part, int of, const gguf_file *first, char *err)
{
    uint64_t no = 0;
    if (!gguf_u64(f, "split.no", &no) || no != (uint64_t)part - 1 || parts_of(f) != (uint64_t)of)
        return q_fail(err, Q_FORMAT, _("%s says that it is part %llu of %llu, not part %d of %d: it belongs to another model or was renamed; fetch it again"), f->path,
                      (unsigned long long)no + 1, (unsigned long long)parts_of(f), part, of);
    for (int i = 0; first && i < f->n_kv; i++) {
        const gguf_kv *a = &f->kv[i];
        if (a->key.n == strlen("split.no") && memcmp(a->key.p, "split.no", a->key.n) == 0) continue;
        size_t s = probe(first->kv_slot, first->kv_mask, first->salt, a->key, first->kv, sizeof *first->kv);
        const gguf_kv *b = first->kv_slot[s] ? &first->kv[first->kv_slot[s] - 1] : NULL;
        if (b && (a->type != b->type || a->bytes != b->bytes || memcmp(a->data, b->data, a->bytes) != 0))
            return q_fail(err, Q_FORMAT, _("%s is a part of another model than %s: they do not agree about %s; fetch it again"), f->path, first->path, show(a->key).s);
    }
    return Q_OK;
}

/* The tensors of all parts in one list, in the order of the parts. */
static int join_tensors(gguf_file *f, char *err)
{
    size_t n = (size_t)f->n_tensor;
    for (int i = 0; i < f->n_more; i++) n += (size_t)f->more[i]->n_tensor;
    if (n > INT32_MAX / 2) return q_fail(err, Q_FORMAT, _("%s and its parts hold %zu tensors, which is beyond reason"), f->path, n);
    f->tensor = q_realloc(f->tensor, (n + 1) * sizeof *f->tensor);
    free(f->tensor_slot);
    f->tensor_mask = table_size(n) - 1;
    f->tensor_slot = q_alloc((f->tensor_mask + 1) * sizeof *f->tensor_slot);
    int own = f->n_tensor;
    for (int i = -1; i < f->n_more; i++) {
        const gguf_file *part = i < 0 ? f : f->more[i];
        for (int k = 0; k < (i < 0 ? own : part->n_tensor); k++) {
            gguf_tensor *t = &f->tensor[i < 0 ? k : f->n_tensor];
            if (i >= 0) *t = part->tensor[k];
            size_t s = probe(f->tensor_slot, f->tensor_mask, f->salt, t->name, f->tensor, sizeof *f->tensor);
            if (f->tensor_slot[s])
                return q_fail(err, Q_FORMAT, _("%s holds the tensor %s, which another part holds too: it is a part of another model; fetch it again"), part->path, show(t->name).s);
            f->tensor_slot[s] = (uint32_t)(t - f->tensor) + 1;
            if (i >= 0) f->n_tensor++;
        }
    }
    uint64_t want;
    if (!f->problem && gguf_u64(f, "split.tensors.count", &want) && want != (uint64_t)f->n_tensor) {
        q_fail(err, Q_FORMAT, _("%s: its parts hold %d tensors together, but the model has %llu: one of them is a part of another model; fetch them again"), called(f), f->n_tensor,
               (unsigned long long)want);
        return unfit(f, err);
    }
    return scales_beside(f, err);                          /* also one that lies in another part */
}

/* f is the first of several parts: the others, beside it, are its own from now on. */
static int add_parts(gguf_file *f, int of, char *err)
{
    f->more = q_alloc((size_t)of * sizeof *f->more);
    for (int part = 2; part <= of; part++) {
        char *path = split_path(f->path, part);
        gguf_file *g = NULL;
        int r = open_one(path, f->look, true, &g, err);
        free(path);
        if (!r && (r = check_part(g, part, of, f, err))) {       /* its tensors are of something else */
            gguf_close(g);
            g = NULL;
        }
        if (g) f->more[f->n_more++] = g;
        if (g && g->problem) r = q_fail(err, Q_FORMAT, "%s", g->problem);
        if (r && unfit(f, err)) return r;
    }
    return join_tensors(f, err);
}

/* Another file begins where the tensors end: parts as cat joins them, of which only the first would be read. */
static bool goes_on(const gguf_file *f)
{
    uint64_t end = f->data_offset, align = DEFAULT_ALIGN;
    for (int i = 0; i < f->n_tensor; i++)
        if (f->tensor[i].offset + f->tensor[i].bytes > end) end = f->tensor[i].offset + f->tensor[i].bytes;
    gguf_u64(f, "general.alignment", &align);
    end = (end + align - 1) / align * align;
    return f->n > end && f->n - end >= 4 && memcmp(f->p + end, "GGUF", 4) == 0;
}

/* *f is one part of several: the whole model takes its place, known by its first part. */
static int open_parts(gguf_file **f, char *err)
{
    gguf_file *first = NULL;
    int part, of, r;
    bool look = (*f)->look;
    if (goes_on(*f)) {
        q_fail(err, Q_FORMAT, _("%s holds parts of a model one behind the other, as cat joins them, and is no model so: fetch the %llu parts again and leave them apart"), called(*f),
               (unsigned long long)parts_of(*f));
        return unfit(*f, err);
    }
    if (!split_name((*f)->path, &part, &of, NULL)) {
        q_fail(err, Q_FORMAT, _("%s is one of %llu parts of a model, but is not called so: give it back its name (…-00001-of-%05llu.gguf), beside the others"), called(*f),
               (unsigned long long)parts_of(*f), (unsigned long long)parts_of(*f));
        return unfit(*f, err);
    }
    if ((r = check_part(*f, part, of, NULL, err))) return unfit(*f, err);
    if (part == 1) return add_parts(*f, of, err);
    char *path = split_path((*f)->path, 1);
    r = open_one(path, look, true, &first, err);
    free(path);
    if (!r) r = check_part(first, 1, of, NULL, err);
    if (!r) {
        gguf_close(*f);
        *f = first;
        first->part = false;
        return add_parts(first, of, err);
    }
    gguf_close(first);
    return r == Q_NOMEM ? r : unfit(*f, err) ? r : Q_OK;
}

static int open_path(const char *path, bool look, gguf_file **out, char *err)
{
    gguf_file *f;
    *out = NULL;
    int r = open_one(path, look, false, &f, err);
    if (!r && parts_of(f) > 1) r = open_parts(&f, err);
    if (r) gguf_close(f);
    else *out = f;
    return r;
}

int gguf_open(const char *path, gguf_file **out, char *err) { return open_path(path, false, out, err); }
int gguf_look(const char *path, gguf_file **out, char *err) { return open_path(path, true, out, err); }
const char *gguf_problem(const gguf_file *f) { return f->problem; }

void gguf_close(gguf_file *f)
{
    if (!f) return;
    for (int i = 0; i < f->n_more; i++) gguf_close(f->more[i]);
    free(f->more);
    for (int i = 0; i < f->n_kv; i++) free(f->kv[i].strings);
    free(f->kv);
    free(f->tensor);
    free(f->kv_slot);
    free(f->tensor_slot);
    if (f->mapped) munmap((void *)(uintptr_t)f->p, f->n);
    free(f->path);
    free(f->problem);
    free(f);
}

/* ---- look-ups ---- */
const char *gguf_path(const gguf_file *f) { return f->path; }
size_t gguf_size(const gguf_file *f)
{
    size_t n = f->n;
    for (int i = 0; i < f->n_more; i++) n += f->more[i]->n;
    return n;
}
int gguf_parts(const gguf_file *f) { return 1 + f->n_more; }
int gguf_no_input(const gguf_file *f, const char *path, char *err)
{
    int rc = q_no_input(path, f->path, err);
    for (int i = 0; i < f->n_more && !rc; i++) rc = q_no_input(path, f->more[i]->path, err);
    return rc;
}
const void *gguf_pages(const gguf_file *f, int part, size_t *bytes)
{
    *bytes = 0;
    if (part < 0 || part > f->n_more) return NULL;
    const gguf_file *of = part ? f->more[part - 1] : f;
    *bytes = of->n - (size_t)of->data_offset;
    return of->p + of->data_offset;
}
static const gguf_file *part_at(const gguf_file *f, int part) { return part ? f->more[part - 1] : f; }

int gguf_part_of(const gguf_file *f, const void *p, uint64_t *at)
{
    for (int i = 0; i <= f->n_more; i++) {
        const gguf_file *of = part_at(f, i);
        if ((uintptr_t)p < (uintptr_t)of->p || (uintptr_t)p - (uintptr_t)of->p >= of->n) continue;
        *at = (uint64_t)((uintptr_t)p - (uintptr_t)of->p);
        return i;
    }
    *at = 0;
    return 0;
}

const char *gguf_part_path(const gguf_file *f, int part) { return part_at(f, part)->path; }
size_t gguf_part_bytes(const gguf_file *f, int part) { return part_at(f, part)->n; }
const void *gguf_bytes(const gguf_file *f) { return f->p; }
uint64_t gguf_data_offset(const gguf_file *f) { return f->data_offset; }
int gguf_n_kv(const gguf_file *f) { return f->n_kv; }
const gguf_kv *gguf_kv_at(const gguf_file *f, int i) { return i >= 0 && i < f->n_kv ? &f->kv[i] : NULL; }
int gguf_n_tensors(const gguf_file *f) { return f->n_tensor; }
const gguf_tensor *gguf_tensor_at(const gguf_file *f, int i) { return i >= 0 && i < f->n_tensor ? &f->tensor[i] : NULL; }

const gguf_kv *gguf_find(const gguf_file *f, const char *key)
{
    size_t s = probe(f->kv_slot, f->kv_mask, f->salt, (gguf_str){key, strlen(key)}, f->kv, sizeof *f->kv);
    return f->kv_slot[s] ? &f->kv[f->kv_slot[s] - 1] : NULL;
}

const gguf_tensor *gguf_tensor_find(const gguf_file *f, const char *name)
{
    size_t s = probe(f->tensor_slot, f->tensor_mask, f->salt, (gguf_str){name, strlen(name)}, f->tensor, sizeof *f->tensor);
    return f->tensor_slot[s] ? &f->tensor[f->tensor_slot[s] - 1] : NULL;
}

/* One number of a payload, in the widest form of its kind. */
typedef struct number { enum { NONE, UNSIGNED, SIGNED, REAL } kind; uint64_t u; int64_t i; double d; } number;
#define READ_AS(T) T v; memcpy(&v, p, sizeof v)
static number number_at(enum gguf_vtype t, const void *p)
{
    number r = {NONE, 0, 0, 0};
    switch (t) {
    case GGUF_U8:  { READ_AS(uint8_t);  r.kind = UNSIGNED; r.u = v; break; }
    case GGUF_U16: { READ_AS(uint16_t); r.kind = UNSIGNED; r.u = v; break; }
    case GGUF_U32: { READ_AS(uint32_t); r.kind = UNSIGNED; r.u = v; break; }
    case GGUF_U64: { READ_AS(uint64_t); r.kind = UNSIGNED; r.u = v; break; }
    case GGUF_I8:  { READ_AS(int8_t);   r.kind = SIGNED; r.i = v; break; }
    case GGUF_I16: { READ_AS(int16_t);  r.kind = SIGNED; r.i = v; break; }
    case GGUF_I32: { READ_AS(int32_t);  r.kind = SIGNED; r.i = v; break; }
    case GGUF_I64: { READ_AS(int64_t);  r.kind = SIGNED; r.i = v; break; }
    case GGUF_F32: { READ_AS(float);    r.kind = REAL; r.d = (double)v; break; }
    case GGUF_F64: { READ_AS(double);   r.kind = REAL; r.d = v; break; }
    case GGUF_BOOL: case GGUF_STR: case GGUF_ARR: break;
    }
    return r;
}
#undef READ_AS

bool gguf_u64(const gguf_file *f, const char *key, uint64_t *out)
{
    const gguf_kv *kv = gguf_find(f, key);
    if (!kv) return false;
    number v = number_at(kv->type, kv->data);
    if (v.kind == UNSIGNED) { *out = v.u; return true; }
    if (v.kind == SIGNED && v.i >= 0) { *out = (uint64_t)v.i; return true; }
    if (v.kind == REAL && v.d >= 0 && v.d < 9007199254740992.0 && v.d == (double)(uint64_t)v.d) {   /* 2^53: still exact */
        *out = (uint64_t)v.d;
        return true;
    }
    return false;
}

static bool as_f64(number v, double *out)
{
    if (v.kind == NONE) return false;
    *out = v.kind == UNSIGNED ? (double)v.u : v.kind == SIGNED ? (double)v.i : v.d;
    return true;
}

bool gguf_f64(const gguf_file *f, const char *key, double *out)
{
    const gguf_kv *kv = gguf_find(f, key);
    return kv && as_f64(number_at(kv->type, kv->data), out);
}

bool gguf_bool(const gguf_file *f, const char *key, bool *out)
{
    const gguf_kv *kv = gguf_find(f, key);
    uint64_t v;
    if (kv && kv->type == GGUF_BOOL) {
        *out = *(const unsigned char *)kv->data != 0;
        return true;
    }
    if (!gguf_u64(f, key, &v) || v > 1) return false;
    *out = v != 0;
    return true;
}

bool gguf_string(const gguf_file *f, const char *key, gguf_str *out)
{
    const gguf_kv *kv = gguf_find(f, key);
    if (!kv || kv->type != GGUF_STR) return false;
    *out = (gguf_str){kv->data, kv->bytes};
    return true;
}

bool gguf_arr_f64(const gguf_kv *kv, uint64_t i, double *out)
{
    if (!kv || kv->type != GGUF_ARR || i >= kv->count || kv->item == GGUF_STR || kv->item == GGUF_BOOL) return false;
    return as_f64(number_at(kv->item, (const unsigned char *)kv->data + i * VSIZE[kv->item]), out);
}
