/* engine/text/charsmap: see charsmap.h. A unit of the double array: bits 0-7 its byte, 8 a key ends at its child 0, 9 the offset
 * counts in 256s, 10-30 the offset; a unit with bit 31 holds a value. Places are joined by exclusive or. */
#include "engine/text/charsmap.h"

#include <stdlib.h>
#include <string.h>

static uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

int charsmap_load(charsmap *m, const void *p, size_t n, char *err)
{
    uint32_t bytes = 0;
    *m = (charsmap){0};
    if (!n) return Q_OK;
    if (n >= sizeof bytes) memcpy(&bytes, p, sizeof bytes);
    if (bytes < sizeof *m->unit || bytes % sizeof *m->unit || bytes > n - sizeof bytes)
        return q_fail(err, Q_FORMAT, _("the table of characters (tokenizer.ggml.precompiled_charsmap) does not fit its own size; the file is damaged"));
    const char *text = (const char *)p + sizeof bytes + bytes;
    for (size_t i = 0, from = 0; i < n - sizeof bytes - bytes; i++) {
        if (!text[i]) from = i + 1;
        else if (i - from >= CHARSMAP_MOST)
            return q_fail(err, Q_FORMAT, _("the table of characters (tokenizer.ggml.precompiled_charsmap) replaces one by more than %d bytes, which no known model does; the file is damaged"), CHARSMAP_MOST);
    }
    m->n = bytes / (uint32_t)sizeof *m->unit;
    m->unit = q_alloc(bytes);
    memcpy(m->unit, (const char *)p + sizeof bytes, bytes);
    m->text_n = n - sizeof bytes - bytes;
    m->text = q_alloc(m->text_n + 1);
    if (m->text_n) memcpy(m->text, text, m->text_n);
    return Q_OK;
}

void charsmap_free(charsmap *m)
{
    free(m->unit);
    free(m->text);
    *m = (charsmap){0};
}

size_t charsmap_at(const charsmap *m, const char *s, size_t n, const char **to)
{
    size_t found = 0;
    if (!m->n) return 0;
    uint32_t at = offset_of(m->unit[0]);
    for (size_t i = 0; i < n; i++) {
        at ^= (unsigned char)s[i];
        if (at >= m->n || (m->unit[at] & (1u << 31 | 0xFF)) != (unsigned char)s[i]) break;
        uint32_t unit = m->unit[at];
        at ^= offset_of(unit);
        if (!(unit >> 8 & 1) || at >= m->n) continue;
        uint32_t value = m->unit[at] & ~(1u << 31);
        if (value > m->text_n) continue;
        found = i + 1;
        *to = m->text + value;
    }
    return found;
}
