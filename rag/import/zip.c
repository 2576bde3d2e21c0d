/* rag/import/zip: reads a zip archive member by member without unpacking it to the disk. PKWARE APPNOTE 6.3.10, sections
 * 4.3.7, 4.3.12 and 4.3.16; without zip64. Everything is checked against the file's size; what comes out is bounded by
 * MEMBER_MAX a member and ALL_MAX together (of a document: DOCUMENT_MAX), whatever the archive says. */
#include "rag/import/zip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30, MAX_COMMENT = 65535, STORED = 0, DEFLATED = 8, PIECE = 1 << 16, LIST_MAX = 64 << 20 };
static const uint64_t MEMBER_MAX = 2ull << 30, ALL_MAX = 4ull << 30, DOCUMENT_MAX = 256 << 20;

struct zip {
    int fd; const char *bytes;          /* one of them; -1, NULL */
    uint64_t size;                      /* of the file */
    unsigned char *list; size_t n_list; /* the central directory */
    size_t at; int left, members;
    char *name;
    uint64_t data, packed, used, out, all;
    unsigned method;
    uint32_t crc, want;
    bool open, ended;
    z_stream z;
    unsigned char in[PIECE];
    const char *why;
};

static unsigned u16(const unsigned char *p) { return p[0] | (unsigned)p[1] << 8; }
static uint32_t u32(const unsigned char *p) { return u16(p) | (uint32_t)u16(p + 2) << 16; }

/* n bytes at `at`; false: they are not there. */
static bool bytes_at(const zip *z, uint64_t at, void *p, size_t n)
{
    if (z->bytes) {
        if (at > z->size || n > z->size - at) return false;
        memcpy(p, z->bytes + at, n);
        return true;
    }
    for (size_t done = 0; done < n;) {
        ssize_t k = pread(z->fd, (char *)p + done, n - done, (off_t)(at + done));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        done += (size_t)k;
    }
    return true;
}

static bool read_list(zip *z)
{
    size_t tail = z->size < END_SIZE + MAX_COMMENT ? (size_t)z->size : END_SIZE + MAX_COMMENT;
    unsigned char *p = q_alloc(tail + 1);
    bool found = false;
    if (tail >= END_SIZE && bytes_at(z, z->size - tail, p, tail))
        for (size_t i = tail - END_SIZE + 1; i-- > 0 && !found;)
            if (u32(p + i) == 0x06054b50) {
                uint64_t from = u32(p + i + 16), n = u32(p + i + 12);
                z->left = z->members = (int)u16(p + i + 10);
                found = n <= LIST_MAX && from <= z->size && n <= z->size - from;
                if (!found) break;
                z->list = q_alloc((size_t)n + 1);
                z->n_list = (size_t)n;
                found = bytes_at(z, from, z->list, z->n_list);
            }
    free(p);
    return found;
}

static zip *open_it(zip *z, const char **why)
{
    if (read_list(z)) return z;
    *why = _("the archive is damaged or was not loaded to its end");
    zip_free(z);
    return NULL;
}

zip *zip_open(int fd, const char **why)
{
    struct stat st;
    zip *z = q_alloc(sizeof *z);
    z->fd = fd;
    if (fstat(fd, &st) == 0) z->size = (uint64_t)st.st_size;
    return open_it(z, why);
}

zip *zip_open_bytes(const char *p, size_t n, const char **why)
{
    zip *z = q_alloc(sizeof *z);
    z->fd = -1;
    z->bytes = p;
    z->size = n;
    return open_it(z, why);
}

static void close_member(zip *z)
{
    if (z->open && z->method == DEFLATED) inflateEnd(&z->z);
    z->open = false;
}

void zip_free(zip *z)
{
    if (!z) return;
    close_member(z);
    free(z->list);
    free(z->name);
    free(z);
}

const char *zip_next(zip *z, uint64_t *size)
{
    close_member(z);
    free(z->name);
    z->name = NULL;
    z->why = NULL;
    if (z->left-- <= 0 || z->at + ENTRY_SIZE > z->n_list || u32(z->list + z->at) != 0x02014b50) return NULL;
    const unsigned char *e = z->list + z->at;
    size_t n = u16(e + 28), all = ENTRY_SIZE + n + u16(e + 30) + u16(e + 32);
    unsigned char local[LOCAL_SIZE];
    uint64_t from = u32(e + 42);
    if (z->at + ENTRY_SIZE + n > z->n_list) return NULL;
    z->name = q_utf8_clean((const char *)e + ENTRY_SIZE, n);
    z->method = u16(e + 10);
    z->want = u32(e + 16);
    z->packed = u32(e + 20);
    *size = u32(e + 24);
    z->at += all;
    if (u16(e + 8) & 1) z->why = _("it is locked with a password");
    else if (z->method != STORED && z->method != DEFLATED) z->why = _("it is packed in a way that is not known here: unpack it first");
    else if (z->packed == UINT32_MAX || *size == UINT32_MAX || from == UINT32_MAX) z->why = _("it is larger than 4 GiB: unpack it first");
    else if (!bytes_at(z, from, local, sizeof local) || u32(local) != 0x04034b50) z->why = _("it is damaged");
    else z->data = from + LOCAL_SIZE + u16(local + 26) + u16(local + 28);
    return z->name;
}

bool zip_find(zip *z, const char *name)
{
    uint64_t size;
    size_t want = strlen(name);
    z->at = 0;
    z->left = z->members;
    for (; z->left > 0 && z->at + ENTRY_SIZE <= z->n_list && u32(z->list + z->at) == 0x02014b50; z->left--) {
        const unsigned char *e = z->list + z->at;
        size_t n = u16(e + 28);
        if (n == want && z->at + ENTRY_SIZE + n <= z->n_list && memcmp(e + ENTRY_SIZE, name, n) == 0) return zip_next(z, &size) != NULL;
        z->at += ENTRY_SIZE + n + u16(e + 30) + u16(e + 32);
    }
    return false;
}

/* What is packed, at most PIECE bytes of it; 0: no more. */
static size_t packed_piece(zip *z, unsigned char *p, size_t n)
{
    if (n > z->packed - z->used) n = (size_t)(z->packed - z->used);
    if (n == 0 || !bytes_at(z, z->data + z->used, p, n)) return 0;
    z->used += n;
    return n;
}

static long unpack(zip *z, char *p, size_t n)
{
    if (z->method == STORED) {
        size_t k = packed_piece(z, (unsigned char *)p, n);
        z->ended = z->used == z->packed;
        return k || z->ended ? (long)k : -1;
    }
    z->z.next_out = (Bytef *)p;
    z->z.avail_out = (uInt)n;
    while (z->z.avail_out == n && !z->ended) {
        if (z->z.avail_in == 0) {
            z->z.next_in = z->in;
            z->z.avail_in = (uInt)packed_piece(z, z->in, PIECE);
        }
        int rc = inflate(&z->z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END) z->ended = true;
        else if (rc != Z_OK) return -1;
    }
    return (long)(n - z->z.avail_out);
}

static long read_member(void *user, char *p, size_t n)
{
    zip *z = user;
    if (!z->open || z->why || (z->ended && z->method == DEFLATED)) return 0;
    long k = unpack(z, p, n < UINT32_MAX ? n : UINT32_MAX);
    if (k > 0) {
        z->crc = (uint32_t)crc32(z->crc, (const Bytef *)p, (uInt)k);
        z->out += (uint64_t)k;
        z->all += (uint64_t)k;
    }
    if (k < 0) z->why = _("it is damaged");
    else if (z->out > MEMBER_MAX || z->all > (z->bytes ? DOCUMENT_MAX : ALL_MAX)) z->why = _("more comes out of it than any archive holds: unpack it first");
    else if (z->ended && z->crc != z->want) z->why = _("it is damaged");
    return z->why && k < 0 ? -1 : k;
}

rag_source zip_source(zip *z)
{
    close_member(z);
    z->used = z->out = 0;
    z->crc = (uint32_t)crc32(0, NULL, 0);
    z->ended = false;
    memset(&z->z, 0, sizeof z->z);
    if (!z->why && z->name && (z->method == STORED || inflateInit2(&z->z, -MAX_WBITS) == Z_OK)) z->open = true;
    return (rag_source){read_member, z};
}

const char *zip_why(const zip *z) { return z->why; }
