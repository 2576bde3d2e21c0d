/* rag/skips: reasons with their counts, so that a thousand files of one fault are one line. Pure functions. */
#include "rag/skips.h"

#include "base/say.h"

#include <stdio.h>
#include <string.h>

static void keep_end(char *out, size_t size, const char *path)
{
    size_t n = strlen(path);
    if (n < size) {
        memcpy(out, path, n + 1);
        return;
    }
    const char *p = path + n - (size - 4);
    while ((*p & 0xC0) == 0x80) p++;            /* not from inside a character */
    snprintf(out, size, "…%s", p);
}

void rag_skip_add(rag_progress *p, const char *why, const char *path)
{
    int i = 0;
    while (i < p->n_skip && strncmp(p->skip[i].why, why, sizeof p->skip[i].why - 1) != 0) i++;
    if (i == RAG_SKIPS) i = RAG_SKIPS - 1;
    if (i == p->n_skip) {
        p->n_skip++;
        snprintf(p->skip[i].why, sizeof p->skip[i].why, "%s", i == RAG_SKIPS - 1 ? _("other reasons") : why);
        p->skip[i].why[q_utf8_whole(p->skip[i].why, strlen(p->skip[i].why))] = 0;
        p->skip[i].n = 0;
        keep_end(p->skip[i].example, sizeof p->skip[i].example, path);
    }
    p->skip[i].n++;
}

void rag_skips_words(const rag_progress *p, q_buf *b)
{
    for (int i = 0; i < p->n_skip; i++) {
        const rag_skip *s = &p->skip[i];
        if (s->n == 1) q_buf_say(b, "%s: %s\n", s->example, s->why);
        /* TRANSLATORS: how many files, why they were not taken, one of them */
        else q_buf_say(b, _("%d files: %s (one of them: %s)\n"), s->n, s->why, s->example);
    }
}
