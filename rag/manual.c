/* rag/manual: the manual as two documents, and the removal of documents, after which a removed manual stays away.
 * Owns nothing; any thread. */
#include "rag/rag.h"

#include <stdlib.h>
#include <string.h>

enum { MANUAL_MAX = 16 << 20 };

static const struct { const char *path, *file, *title, *removed; } manuals[] = {
    {"manual:en", "docs/manual.md", "manual", "manual.en.removed"},
    {"manual:ru", "docs/manual.ru.md", "справка", "manual.ru.removed"},
};

int rag_manual(mem_store *s, char *err)
{
    int rc = Q_OK;
    for (size_t i = 0; i < sizeof manuals / sizeof *manuals && rc == Q_OK; i++) {
        char *removed = mem_setting_get(s, manuals[i].removed), *file = q_share_path(manuals[i].file);
        q_buf b = {0};
        int64_t id;
        if (!removed && file) rc = q_read_file(file, &b, MANUAL_MAX, err);
        if (rc == Q_OK && b.len && q_utf8_valid(b.p, b.len))
            rc = rag_add_text(s, manuals[i].path, manuals[i].title, MEM_TRUST_MANUAL, b.p, b.len, &id, err);
        q_buf_free(&b);
        free(removed);
        free(file);
    }
    return rc;
}

int rag_remove(mem_store *s, int64_t document, char *err)
{
    mem_document d;
    int rc = mem_document_get(s, document, &d, err);
    if (rc != Q_OK) return rc;
    for (size_t i = 0; i < sizeof manuals / sizeof *manuals && rc == Q_OK; i++)     /* first the note: a crash between leaves it removable */
        if (strcmp(d.path, manuals[i].path) == 0) rc = mem_setting_put(s, manuals[i].removed, "1", err);
    mem_document_free(&d);
    return rc == Q_OK ? mem_document_delete(s, document, err) : rc;
}
