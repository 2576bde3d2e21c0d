/* rag/charset: which set a text's bytes are in, told by a mark at its start, by its validity, or by the letters around.
 * Pure functions; any thread. It never guesses: what cannot be told is refused with what to do. A page may say it itself. */
#include "rag/charset.h"

#include "rag/letters.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* The bytes of a file as UTF-8 in b, or the reason why not. */
const char *rag_charset(q_buf *b)
{
    const unsigned char *p = (const unsigned char *)b->p;
    size_t n = b->len;
    q_buf out = {0};
    if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
        if (!q_utf8_valid(b->p + 3, n - 3)) return _("it is broken UTF-8");
        q_buf_add(&out, b->p + 3, n - 3);
    } else if (n >= 2 && ((p[0] == 0xFF && p[1] == 0xFE) || (p[0] == 0xFE && p[1] == 0xFF))) {
        if (!rag_convert(p[0] == 0xFF ? "UTF-16LE" : "UTF-16BE", b->p + 2, n - 2, &out)) {
            q_buf_free(&out);
            return _("it is broken UTF-16");
        }
    } else if (memchr(p, 0, n)) {
        return _("it is not text: convert it to text or Markdown first");
    } else if (!q_utf8_valid(b->p, n)) {
        const char *set = rag_letters_set(b->p, n);
        if (!set || !rag_convert(set, b->p, n, &out)) {
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

/* ---- what a page says of itself ---- */
static bool said(const char *p, size_t n, char set[32])
{
    static const char *const before[] = {"encoding=", "charset="};
    for (size_t i = 0; i < 2; i++) {
        const char *at = memmem(p, n, before[i], strlen(before[i]));
        if (!at) continue;
        at += strlen(before[i]);
        size_t k = 0;
        while (at < p + n && (*at == '"' || *at == '\'')) at++;
        while (at < p + n && k < 31 && (isalnum((unsigned char)*at) || strchr("-_", *at)) && *at) set[k++] = *at++;
        set[k] = 0;
        if (k) return true;
    }
    return false;
}

bool rag_charset_as(q_buf *b, const char *set)
{
    q_buf out = {0};
    if (b->len >= 2 && (memcmp(b->p, "\xFF\xFE", 2) == 0 || memcmp(b->p, "\xFE\xFF", 2) == 0)) return false;   /* rag_charset reads it */
    if (strcasecmp(set, "utf-8") == 0 || strncasecmp(set, "utf-16", 6) == 0 || q_utf8_valid(b->p, b->len)) return false;      /* it says one thing and is another */
    if (strcasecmp(set, "iso-8859-1") == 0 || strcasecmp(set, "latin1") == 0 || strcasecmp(set, "us-ascii") == 0) set = "CP1252";      /* as browsers do */
    bool good = rag_convert(set, b->p, b->len, &out);
    if (good) {
        q_buf_free(b);
        *b = out;
    } else q_buf_free(&out);
    return good;
}

void rag_charset_said(q_buf *b)
{
    enum { HEAD = 2048 };
    char set[32];
    if (said(b->p, b->len < HEAD ? b->len : HEAD, set)) rag_charset_as(b, set);
}
