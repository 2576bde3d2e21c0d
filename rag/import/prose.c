/* rag/import/prose: words gathered as Markdown, a paragraph, heading or item after another. Pure functions; any thread. */
#include "rag/import/prose.h"

#include <ctype.h>
#include <string.h>

void prose_words(prose *t, const char *p, size_t n, bool spaces)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == 0) continue;
        bool blank = isspace((unsigned char)c);
        if (!blank || spaces) q_buf_putc(&t->line, c == '\r' ? '\n' : c);
        else if (t->line.len && !isspace((unsigned char)t->line.p[t->line.len - 1])) q_buf_putc(&t->line, ' ');
    }
}

/* A line of words must not become a heading, a fence or a rule. */
static void shield(q_buf *out, const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t end = i;
        while (end < n && p[end] != '\n') end++;
        bool mark = strchr("#>", p[i]) || (end - i >= 3 && (memcmp(p + i, "```", 3) == 0 || memcmp(p + i, "~~~", 3) == 0));
        size_t k = i;
        while (k < end && (p[k] == '=' || p[k] == '-' || p[k] == ' ')) k++;
        if ((mark || (k == end && end > i)) && p[i]) q_buf_putc(out, '\\');
        q_buf_add(out, p + i, end - i + (end < n));
        i = end + 1;
    }
}

void prose_end(prose *t)
{
    q_buf *l = &t->line;
    size_t from = 0;
    while (l->len && isspace((unsigned char)l->p[l->len - 1])) l->p[--l->len] = 0;
    while (from < l->len && (t->code ? l->p[from] == '\n' : isspace((unsigned char)l->p[from]) != 0)) from++;
    if (l->len > from) {
        if (t->level) {
            for (int i = 0; i < t->level && i < 6; i++) q_buf_putc(t->out, '#');
            q_buf_putc(t->out, ' ');
            for (size_t i = from; i < l->len; i++)
                if (l->p[i] == '\n') l->p[i] = ' ';
        } else if (t->item) q_buf_puts(t->out, "- ");
        bool fence = t->code && !memmem(l->p, l->len, "```", 3);
        if (fence) q_buf_puts(t->out, "```\n");
        if (t->level || t->item || fence) q_buf_add(t->out, l->p + from, l->len - from);
        else shield(t->out, l->p + from, l->len - from);
        q_buf_puts(t->out, fence ? "\n```\n\n" : "\n\n");
    }
    q_buf_clear(l);
    t->level = 0;
    t->item = t->code = false;
}
