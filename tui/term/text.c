/* term/text: grapheme steps and cell widths from utf8proc (Unicode's tables, not the locale's), so that a test and a
 * terminal agree. Sequences on whose width terminals disagree (emoji joined by ZWJ, skin tones, variation selectors)
 * are drawn as separate plain glyphs. Pure; never allocates. */
#include "tui/term/text.h"

#include "base/say.h"

#include <string.h>
#include <utf8proc.h>

static bool in(uint32_t c, uint32_t a, uint32_t b) { return c >= a && c <= b; }

/* Harmless and without a width of their own. */
static bool invisible(uint32_t c)
{
    return in(c, 0x200B, 0x200F) || in(c, 0x2060, 0x2064) || in(c, 0x206A, 0x206F) || in(c, 0xFE00, 0xFE0F) || c == 0xFEFF ||
           c == 0x00AD || c == 0x180E || in(c, 0x1F3FB, 0x1F3FF) || in(c, 0xE0100, 0xE01EF) || c == 0x034F ||
           c == 0x115F || c == 0x1160 || c == 0x3164 || c == 0xFFA0;
}

/* Neither marks nor invisible, a cell each, assigned: Cyrillic, rules and blocks, braille. */
static bool one_cell(uint32_t c) { return in(c, 0x400, 0x482) || in(c, 0x48A, 0x52F) || in(c, 0x2500, 0x259F) || in(c, 0x2800, 0x28FF); }

static bool is_mark(uint32_t c)
{
    if (c < 0x300 || one_cell(c)) return false;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return (k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME) && !invisible(c);
}

static void one(tui_glyph *g, uint32_t cp, int width)
{
    g->len = (uint8_t)q_utf8_put(g->s, cp);
    g->width = (uint8_t)width;
}

size_t tui_glyph_next(const char *s, size_t n, tui_glyph *g)
{
    uint32_t cp;
    if (n && s[0] >= ' ' && s[0] < 0x7F && (n == 1 || (unsigned char)s[1] < 0xCC)) {       /* most that is ever drawn; marks begin at U+0300 */
        g->s[0] = s[0];
        g->len = g->width = 1;
        return 1;
    }
    size_t i = (size_t)q_utf8_next(s, n, &cp);
    g->len = 0;
    g->width = 0;
    if (cp == '\t' || cp == '\n' || cp == '\r' || cp == 0x2028 || cp == 0x2029 || cp == 0x85) { one(g, ' ', 1); return i; }
    if (cp < 0x20) { one(g, 0x2400 + cp, 1); return i; }                 /* control pictures */
    if (cp < 0x7F) { one(g, cp, 1); }
    else if (cp == 0x7F) { one(g, 0x2421, 1); return i; }
    else if (cp < 0xA0) { one(g, 0xFFFD, 1); return i; }
    else if (one_cell(cp)) { one(g, cp, 1); }
    else if (q_char_kind(cp) == Q_CHAR_TURN) { one(g, 0xFFFD, 1); return i; }
    else if (invisible(cp)) return i;
    else if (is_mark(cp)) {                                              /* a mark with nothing under it */
        one(g, 0x25CC, 1);
        g->len = (uint8_t)(g->len + q_utf8_put(g->s + g->len, cp));
    } else {
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
        int w = utf8proc_charwidth((utf8proc_int32_t)cp);
        if (k == UTF8PROC_CATEGORY_CF) return i;
        if (k == UTF8PROC_CATEGORY_CN || k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_CS) { one(g, 0xFFFD, 1); return i; }
        one(g, cp, w >= 2 ? 2 : 1);
    }
    int marks = g->len && is_mark(cp);
    while (i < n && (unsigned char)s[i] >= 0xCC) {                       /* marks begin at U+0300 */
        uint32_t c, after;
        int l = q_utf8_next(s + i, n - i, &c);
        if (in(c, 0xFE00, 0xFE0F) && i + (size_t)l < n && q_utf8_next(s + i + l, n - i - (size_t)l, &after) > 0 && is_mark(after)) {
            i += (size_t)l;                                              /* keycaps: 1, a selector, an enclosing mark */
            continue;
        }
        if (!is_mark(c)) break;
        if (marks < 3) { g->len = (uint8_t)(g->len + q_utf8_put(g->s + g->len, c)); marks++; }
        i += (size_t)l;
    }
    return i;
}

size_t tui_cluster_next(const char *s, size_t n)
{
    uint32_t a, b;
    size_t i = (size_t)q_utf8_next(s, n, &a);
    utf8proc_int32_t state = 0;
    while (i < n) {
        int l = q_utf8_next(s + i, n - i, &b);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)a, (utf8proc_int32_t)b, &state)) break;
        i += (size_t)l;
        a = b;
    }
    return i;
}

/* Letters between which there is always a boundary, whatever stands around (UAX 29: neither extends nor joins). */
static bool plain(uint32_t c) { return (c >= 0x20 && c < 0x7F) || (c >= 0xC0 && c < 0x300) || in(c, 0x400, 0x482) || in(c, 0x48A, 0x52F); }

/* The code point that ends before byte at. */
static size_t cp_before(const char *s, size_t at, uint32_t *cp)
{
    size_t i = at - 1;
    while (i && at - i < 4 && ((unsigned char)s[i] & 0xC0) == 0x80) i--;
    return i + (size_t)q_utf8_next(s + i, at - i, cp) == at ? i : at - 1;
}

/* Graphemes are found forwards only: start at the beginning of the line (a newline always breaks), at most 256 bytes
 * back, at a byte that begins a character. */
size_t tui_cluster_prev(const char *s, size_t at)
{
    if (!at) return 0;
    uint32_t a, b;
    size_t i = cp_before(s, at, &a);
    if (plain(a) && (!i || (cp_before(s, i, &b), plain(b)))) return i;
    size_t from = at - 1;
    while (from && at - from < 256 && s[from - 1] != '\n') from--;
    while (from && ((unsigned char)s[from] & 0xC0) == 0x80) from--;
    for (;;) {
        size_t l = tui_cluster_next(s + from, at - from);
        if (from + l >= at) return from;
        from += l;
    }
}

int tui_text_width(const char *s, size_t n)
{
    int w = 0;
    tui_glyph g;
    for (size_t i = 0; i < n;) { i += tui_glyph_next(s + i, n - i, &g); w += g.width; }
    return w;
}

int tui_str_width(const char *s) { return tui_text_width(s, strlen(s)); }

size_t tui_text_fit(const char *s, size_t n, int cells, int *used)
{
    int w = 0;
    size_t i = 0;
    tui_glyph g;
    while (i < n) {
        size_t l = tui_glyph_next(s + i, n - i, &g);
        if (w + g.width > cells) break;
        w += g.width;
        i += l;
    }
    if (used) *used = w;
    return i;
}

bool tui_cp_word(uint32_t cp)
{
    if (cp < 0x80) return (cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || cp == '_';
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO;
}
