/* tools/cut: text as a model and a terminal may have it. Any thread. */
#include "tools/inside.h"
#include "base/say.h"

#include <string.h>

/* A place near `at` where a line ends, else a whole character. */
static size_t back_to_line(const char *p, size_t at)
{
    for (size_t i = at; i > 0 && at - i < 400; i--)
        if (p[i - 1] == '\n')
            return i;
    return q_utf8_whole(p, at);
}

static size_t on_to_line(const char *p, size_t n, size_t at)
{
    for (size_t i = at; i < n && i - at < 400; i++)
        if (p[i] == '\n')
            return i + 1;
    while (at < n && ((unsigned char)p[at] & 0xC0) == 0x80)
        at++;
    return at;
}

bool tool_text_cut(q_buf *out, const char *text, size_t n, size_t most)
{
    q_buf clean = { 0 };
    q_buf_puts(&clean, "");
    q_say_clean(&clean, text, n, false);
    bool over = clean.len > most;
    if (!over)
        q_buf_add(out, clean.p, clean.len);
    else {
        size_t head = back_to_line(clean.p, most * 2 / 3), tail = on_to_line(clean.p, clean.len, clean.len - most / 3);
        q_buf_add(out, clean.p, head);
        q_buf_printf(out, "%s[%zu bytes in the middle are left out]\n", head && clean.p[head - 1] != '\n' ? "\n" : "", tail - head);
        q_buf_add(out, clean.p + tail, clean.len - tail);
    }
    q_buf_free(&clean);
    return over;
}
