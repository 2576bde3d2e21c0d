/* memory/renamed: a document whose file has another name now. Its passages keep their ids, and so whatever a person pinned, banned or was
 * answered with; their words go into the index under the new name, and their vectors are owed again, since a name is embedded too. Any
 * thread. It never looks at a file. */
#include "memory/store.h"

enum { RENAMED_MAX = 256 };             /* passages, in one transaction of some ten ms */

static int rename_chunk(mem_store *s, int64_t id, const char *name, char *err)
{
    int rc = store_index_drop(s, MEM_CHUNK, id, err);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "UPDATE chunk SET name=? WHERE id=?", "si", name, id);
    return rc == Q_OK ? store_index_put(s, MEM_CHUNK, id, err) : rc;
}

static int rename_chunks(mem_store *s, int64_t document, const char *name, char *err)
{
    int64_t id = 0;
    int rc = Q_OK;
    while (rc == Q_OK) {
        rc = store_int(s, &id, err, "SELECT id FROM chunk WHERE document=? AND id>? ORDER BY id LIMIT 1", "ii", document, id);
        if (rc == Q_OK) rc = rename_chunk(s, id, name, err);
    }
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static int rename_it(mem_store *s, int64_t id, const mem_document *d, bool *done, char *err)
{
    int64_t n = 0, other = 0;
    int changed = 0, rc = store_int(s, &n, err, "SELECT count(*) FROM chunk WHERE document=?", "i", id);
    if (rc != Q_OK || n > RENAMED_MAX) return rc;
    rc = store_int(s, &other, err, "SELECT id FROM document WHERE path=?", "s", d->path);
    if (rc != Q_NOTFOUND) return rc;                        /* another has that name already */
    rc = store_run(s, &changed, err, "UPDATE document SET path=?, title=?, mtime=?, device=?, gone=0 WHERE id=? AND state=0", "ssiii", d->path, d->title, d->mtime_ms,
                   d->device, id);
    if (rc != Q_OK || !changed) return rc;
    rc = rename_chunks(s, id, d->name ? d->name : "", err);
    if (rc == Q_OK) rc = store_call(s, id, err);
    *done = rc == Q_OK;
    return rc;
}

int mem_document_renamed(mem_store *s, int64_t id, const mem_document *d, bool *done, char *err)
{
    *done = false;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_end(s, rename_it(s, id, d, done, err), err);
    *done = *done && rc == Q_OK;
    return rc;
}
