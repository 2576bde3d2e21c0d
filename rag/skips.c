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

static void add(rag_skip *v, int *n, const char *why, const char *example)
{
    int i = 0;
    while (i < *n && strncmp(v[i].why, why, sizeof v[i].why - 1) != 0) i++;
    if (i == RAG_SKIPS) i = RAG_SKIPS - 1;
    if (i == *n) {
        ++*n;
        snprintf(v[i].why, sizeof v[i].why, "%s", i == RAG_SKIPS - 1 ? _("other reasons") : why);
        v[i].why[q_utf8_whole(v[i].why, strlen(v[i].why))] = 0;
        v[i].n = 0;
        keep_end(v[i].example, sizeof v[i].example, example);
    }
    v[i].n++;
}

void rag_skip_add(rag_progress *p, const char *why, const char *path) { add(p->skip, &p->n_skip, why, path); }

void rag_damage_add(rag_progress *p, const char *why, const char *place)
{
    p->damaged++;
    add(p->damage, &p->n_damage, why, place);
}

void rag_skips_words(const rag_progress *p, q_buf *b)
{
    for (int i = 0; i < p->n_skip + p->n_damage; i++) {
        bool record = i >= p->n_skip;
        const rag_skip *s = record ? &p->damage[i - p->n_skip] : &p->skip[i];
        if (s->n == 1) q_buf_say(b, "%s: %s\n", s->example, s->why);
        /* TRANSLATORS: an archive's record, what is wrong with it, how many more of these there are */
        else if (record) q_buf_say(b, ngettext("%s: %s (and %d more record)\n", "%s: %s (and %d more records)\n", (unsigned long)(s->n - 1)), s->example, s->why, s->n - 1);
        /* TRANSLATORS: a file, why it was not taken, how many more of these there are */
        else q_buf_say(b, ngettext("%s: %s (and %d more file)\n", "%s: %s (and %d more files)\n", (unsigned long)(s->n - 1)), s->example, s->why, s->n - 1);
    }
}

void rag_chats_words(const rag_progress *p, q_buf *b)
{
    if (p->chats + p->chats_more + p->chats_same + p->forgotten == 0) return;
    q_buf_printf(b, ngettext("%d conversation added", "%d conversations added", (unsigned long)p->chats), p->chats);
    if (p->chats_more) q_buf_printf(b, ngettext(", %d goes on", ", %d go on", (unsigned long)p->chats_more), p->chats_more);
    if (p->messages || p->chats) {
        q_buf_puts(b, " (");
        q_buf_printf(b, ngettext("%d message", "%d messages", (unsigned long)p->messages), p->messages);
        q_buf_puts(b, ")");
    }
    if (p->chats_same) q_buf_printf(b, _(", %d unchanged"), p->chats_same);
    if (p->forgotten) q_buf_printf(b, ngettext("; %d message that was forgotten stayed out: --again brings it back", "; %d messages that were forgotten stayed out: --again brings them back",
                                               (unsigned long)p->forgotten), p->forgotten);
    if (p->damaged) q_buf_printf(b, ngettext("; %d record is damaged", "; %d records are damaged", (unsigned long)p->damaged), p->damaged);
}
