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

static int forget_facts(mem_store *s, char *err)
{
    mem_facts l;
    int rc = mem_fact_list(s, &l, err);
    int64_t *id = q_alloc(sizeof *id * (size_t)(l.n + 1));
    for (int i = 0; i < l.n; i++) id[i] = l.v[i].id;
    if (rc == Q_OK) rc = mem_facts_delete(s, id, l.n, NULL, err);
    free(id);
    mem_facts_free(&l);
    return rc;
}

/* First the note: a crash between leaves it removable. */
static int keep_away(mem_store *s, int64_t document, char *err)
{
    mem_document d;
    int rc = mem_document_get(s, document, &d, err);
    if (rc != Q_OK) return rc;
    for (size_t i = 0; i < sizeof manuals / sizeof *manuals && rc == Q_OK; i++)
        if (strcmp(d.path, manuals[i].path) == 0) rc = mem_setting_put(s, manuals[i].removed, "1", err);
    if (rc == Q_OK && strcmp(d.path, RAG_FACTS) == 0) rc = forget_facts(s, err);
    mem_document_free(&d);
    return rc;
}

int rag_remove(mem_store *s, int64_t document, char *err)
{
    int rc = keep_away(s, document, err);
    return rc == Q_OK ? mem_document_delete(s, document, err) : rc;
}

int rag_remove_all(mem_store *s, const int64_t *document, int n, int *done, char *err)
{
    int rc = Q_OK;
    *done = 0;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        rc = keep_away(s, document[i], err);
        if (rc == Q_NOTFOUND) rc = Q_OK;        /* removed elsewhere: it will not be counted */
    }
    return rc == Q_OK ? mem_documents_delete(s, document, n, done, err) : rc;
}
