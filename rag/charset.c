/* rag/charset: which set a text's bytes are in, told by a mark at its start, by its validity, or by the letters around.
 * Pure functions; any thread. It never guesses: what cannot be told is refused with what to do. */
#include "rag/charset.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

static bool convert(const char *from, const char *p, size_t n, q_buf *out)
{
    iconv_t cd = iconv_open("UTF-8", from);
    if (cd == (iconv_t)-1) return false;
    char *in = (char *)p, part[4096];
    bool ok = true;
    while (n && ok) {
        char *o = part;
        size_t room = sizeof part;
        size_t k = iconv(cd, &in, &n, &o, &room);
        ok = k != (size_t)-1 || errno == E2BIG;
        q_buf_add(out, part, (size_t)(o - part));
    }
    iconv_close(cd);
    return ok;
}

/* Russian text in the Windows code page: among the bytes above ASCII mostly letters, and more small than capital ones
 * (in KOI8-R, whose cases lie the other way round, ordinary text fails this). */
static bool like_cp1251(const unsigned char *p, size_t n)
{
    size_t high = 0, small = 0, capital = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0x80) continue;
        high++;
        small += p[i] >= 0xE0 || p[i] == 0xB8;
        capital += (p[i] >= 0xC0 && p[i] <= 0xDF) || p[i] == 0xA8;
    }
    return high >= 20 && (small + capital) * 10 >= high * 9 && small > capital * 2;
}

/* The bytes of a file as UTF-8 in b, or the reason why not. */
const char *rag_charset(q_buf *b)
{
    const unsigned char *p = (const unsigned char *)b->p;
    size_t n = b->len;
    q_buf out = {0};
    if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
        q_buf_add(&out, b->p + 3, n - 3);
    } else if (n >= 2 && ((p[0] == 0xFF && p[1] == 0xFE) || (p[0] == 0xFE && p[1] == 0xFF))) {
        if (!convert(p[0] == 0xFF ? "UTF-16LE" : "UTF-16BE", b->p + 2, n - 2, &out)) {
            q_buf_free(&out);
            return _("it is broken UTF-16");
        }
    } else if (memchr(p, 0, n)) {
        return _("it is not text: convert it to text or Markdown first");
    } else if (!q_utf8_valid(b->p, n)) {
        if (!like_cp1251(p, n) || !convert("CP1251", b->p, n, &out)) {
            q_buf_free(&out);
            return _("it is not UTF-8 text: convert it first (iconv -f ENCODING -t UTF-8)");
        }
    } else {
        return NULL;
    }
    q_buf_free(b);
    *b = out;
    if (out.len == 0) return _("it is empty");
    return memchr(out.p, 0, out.len) ? _("it is not text: convert it to text or Markdown first") : NULL;
}
