/* rag/import/unpack: a zip archive member by member, by libarchive, without unpacking it to the disk. What comes out is bounded whatever
 * the archive says of itself. Any thread, one at a time. */
#include "rag/import/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const unpack_limits unpack_archive = {2ull << 30, 4ull << 30, 100000}, unpack_document = {64 << 20, 256 << 20, 100000};

struct unpack {
    struct archive *a;
    unpack_limits most;
    char *name;
    uint64_t out, all;                  /* of the present member; of all */
    int members;
    enum read_why why;                  /* the present member cannot be read */
};

unpack *unpack_open(int fd, const char *p, size_t n, const unpack_limits *most, enum read_why *why)
{
    unpack *u = q_alloc(sizeof *u);
    u->most = *most;
    u->a = archive_read_new();
    bool ready = u->a && archive_read_support_format_zip_seekable(u->a) == ARCHIVE_OK;
    int rc = !ready ? ARCHIVE_FATAL : fd >= 0 ? archive_read_open_fd(u->a, fd, WIRE_PIECE) : archive_read_open_memory(u->a, p, n);
    if (rc == ARCHIVE_OK) return u;
    *why = READ_CUT;
    unpack_free(u);
    return NULL;
}

void unpack_free(unpack *u)
{
    if (!u) return;
    archive_read_free(u->a);
    free(u->name);
    free(u);
}

static enum read_why why_of(struct archive *a)
{
    const char *s = archive_error_string(a);
    if (s && (strstr(s, "assphrase") || strstr(s, "ncrypt"))) return READ_LOCKED;
    return s && strcasestr(s, "unsupported") ? READ_PACKED : READ_DAMAGED;
}

const char *unpack_next(unpack *u, enum read_why *why)
{
    struct archive_entry *e;
    free(u->name);
    u->name = NULL;
    u->out = 0;
    u->why = READ_END;
    int rc = archive_read_next_header(u->a, &e);
    *why = rc == ARCHIVE_EOF ? READ_END : rc != ARCHIVE_OK && rc != ARCHIVE_WARN ? (u->members ? why_of(u->a) : READ_CUT) : u->members >= u->most.members ? READ_MANY : READ_END;
    if (*why || rc == ARCHIVE_EOF) return NULL;
    u->members++;
    const char *name = archive_entry_pathname_utf8(e);
    if (!name) name = archive_entry_pathname(e);
    if (!name) name = "?";
    u->name = q_utf8_clean(name, strlen(name));
    if (archive_entry_is_data_encrypted(e) || archive_entry_is_metadata_encrypted(e)) u->why = READ_LOCKED;
    return u->name;
}

size_t unpack_read(unpack *u, char *p, size_t n, enum read_why *why)
{
    la_ssize_t k = u->why ? 0 : archive_read_data(u->a, p, n);
    if (k < 0) u->why = why_of(u->a);
    else {
        u->out += (uint64_t)k;
        u->all += (uint64_t)k;
        if (u->out > u->most.member || u->all > u->most.all) u->why = u->most.member < unpack_archive.member ? READ_MUCH : READ_MUCH_OF_ALL;
    }
    *why = u->why;
    return k > 0 && !u->why ? (size_t)k : 0;
}
