/* base/utf8: decoding that never reads past the end and never accepts overlong forms,
 * surrogates or values above U+10FFFF (Unicode 15, table 3-7). */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

int q_utf8_next(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned c = u[0];
    *cp = 0xFFFD;
    if (c < 0x80) { *cp = c; return 1; }
    int len = c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (!len || (size_t)len > n) return 1;
    uint32_t v = c & (0xFFu >> (len + 1));
    for (int i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80) return 1;
        v = v << 6 | (u[i] & 0x3Fu);
    }
    if ((len == 3 && v < 0x800) || (len == 4 && v < 0x10000) || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF)) return 1;
    *cp = v;
    return len;
}

int q_utf8_put(char out[4], uint32_t c)
{
    if (c < 0x80) { out[0] = (char)c; return 1; }
    if (c < 0x800) { out[0] = (char)(0xC0 | c >> 6); out[1] = (char)(0x80 | (c & 0x3F)); return 2; }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

int q_utf8_points(const char *s)
{
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* An honest U+FFFD in the text takes three bytes; an error consumes one. */
static bool is_error(int len, uint32_t cp) { return cp == 0xFFFD && len == 1; }

bool q_utf8_valid(const char *s, size_t n)
{
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int l = q_utf8_next(s + i, n - i, &cp);
        if (is_error(l, cp)) return false;
        i += (size_t)l;
    }
    return true;
}

size_t q_utf8_whole(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned c = u[n - back];
        if ((c & 0xC0) == 0x80) continue;                 /* a continuation byte: look further left */
        size_t want = c >= 0xF0 && c <= 0xF4 ? 4 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xC2 && c <= 0xDF ? 2 : 1;
        return want > back ? n - back : n;
    }
    return n;
}

char *q_utf8_clean(const char *s, size_t n)
{
    q_buf b = {0};
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int l = q_utf8_next(s + i, n - i, &cp);
        if (is_error(l, cp)) q_buf_puts(&b, "\xEF\xBF\xBD");
        else q_buf_add(&b, s + i, (size_t)l);
        i += (size_t)l;
    }
    return q_buf_take(&b);
}

void q_buf_puts_clean(q_buf *b, const q_buf *text)
{
    if (!text->len) return;
    char *clean = q_utf8_clean(text->p, text->len);
    q_buf_puts(b, clean);
    free(clean);
}

enum { WORD_MAX = 40 };

static int code_points(const char *s, uint32_t out[WORD_MAX])
{
    size_t len = strlen(s);
    int n = 0;
    for (size_t i = 0; i < len && n < WORD_MAX; n++) i += (size_t)q_utf8_next(s + i, len - i, &out[n]);
    return n;
}

int q_utf8_distance(const char *a, const char *b)
{
    uint32_t x[WORD_MAX], y[WORD_MAX];
    int n = code_points(a, x), m = code_points(b, y), d[WORD_MAX + 1][WORD_MAX + 1];
    for (int i = 0; i <= n; i++) d[i][0] = i;
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (x[i - 1] != y[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1] && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

/* ---- whether something holds a text ---- */
/* Small letters of the alphabets whose capitals take as many bytes: ASCII, Latin-1, Cyrillic. Byte by byte, so that it folds the same
 * way wherever in a file it begins. */
void q_fold_bytes(char *p, size_t n)
{
    unsigned char *u = (unsigned char *)p;
    for (size_t i = 0; i < n; i++) {
        unsigned c = u[i], next = i + 1 < n ? u[i + 1] : 0;
        if (c >= 'A' && c <= 'Z') u[i] = (unsigned char)(c + 32);
        else if (c == 0xC3 && next >= 0x80 && next <= 0x9E && next != 0x97) u[++i] = (unsigned char)(next + 0x20);
        else if (c == 0xD0 && next >= 0x90 && next <= 0x9F) u[++i] = (unsigned char)(next + 0x20);
        else if (c == 0xD0 && next >= 0xA0 && next <= 0xAF) u[i] = 0xD1, u[++i] = (unsigned char)(next - 0x20);
        else if (c == 0xD0 && next >= 0x80 && next <= 0x8F) u[i] = 0xD1, u[++i] = (unsigned char)(next + 0x10);
    }
}

bool q_holds(const char *p, size_t n, const char *folded, size_t n_folded)
{
    enum { PIECE = 1 << 16 };
    char room[2 * PIECE], *here = n_folded < PIECE ? room : q_alloc(n_folded + PIECE);
    bool found = false;
    for (size_t at = 0; at < n && !found; at += PIECE) {
        size_t take = n - at < PIECE + n_folded ? n - at : PIECE + n_folded;
        memcpy(here, p + at, take);
        q_fold_bytes(here, take);
        found = memmem(here, take, folded, n_folded) != NULL;
    }
    if (here != room) free(here);
    return found;
}
