/* agent/slips: see slips.h. */
#include "agent/slips.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- words ---- */
/* Is it what was meant, and how surely? The less the surer; NEAR_NOT: it is not. By its beginning, or that of a part of it,
 * then by what stands in it, then by slips: further than a third of what was typed is another word. */
int text_near(const char *typed, const char *name)
{
    int n = q_utf8_distance("", typed);            /* its length */
    if (n == 0)
        return NEAR_NOT;
    for (const char *p = name; p; p = strchr(p, '.'), p = p ? p + 1 : NULL)
        if (strncasecmp(p, typed, strlen(typed)) == 0)
            return p == name ? 0 : 1;
    if (n > 2 && strcasestr(name, typed))
        return 2;
    int most = n < 4 ? 1 : n < 8 ? 2 : 3, least = q_utf8_distance(typed, name);
    const char *dot = strchr(name, '.');
    if (dot && q_utf8_distance(typed, dot + 1) < least)
        least = q_utf8_distance(typed, dot + 1);
    return least <= most && least < n ? 2 + least : NEAR_NOT;
}

/* The same keys of the Russian ЙЦУКЕН and the US QWERTY layout, lower row by row. */
static const char *const cyr[] = { "й","ц","у","к","е","н","г","ш","щ","з","х","ъ","ф","ы","в","а","п","р","о","л","д","ж","э","я","ч","с","м","и","т","ь","б","ю",".","ё" };
static const char lat[] = "qwertyuiop[]asdfghjkl;'zxcvbnm,./`";
_Static_assert(sizeof cyr / sizeof *cyr == sizeof lat - 1, "one key for each letter");

char *layout_to_latin(const char *s)
{
    q_buf b = { 0 };
    size_t len = strlen(s);
    q_buf_puts(&b, "");
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t w = (size_t)q_utf8_next(s + i, len - i, &cp);
        char ch[5] = { 0 };
        uint32_t low = cp >= 0x410 && cp <= 0x42F ? cp + 0x20 : cp == 0x401 ? 0x451 : cp;
        q_utf8_put(ch, low);
        size_t k = 0;
        while (k < sizeof lat - 1 && strcmp(cyr[k], ch) != 0)
            k++;
        if (k < sizeof lat - 1)
            q_buf_putc(&b, lat[k]);
        else
            q_buf_add(&b, s + i, w);
        i += w;
    }
    return q_buf_take(&b);
}

char *layout_to_cyrillic(const char *s)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (; *s; s++) {
        const char *k = strchr(lat, *s);
        if (k)
            q_buf_puts(&b, cyr[k - lat]);
        else
            q_buf_putc(&b, *s);
    }
    return q_buf_take(&b);
}

/* ---- lists and paths ---- */
void strings_add(strings *s, char *taken)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 8;
        s->v = q_realloc(s->v, sizeof *s->v * (size_t)s->cap);
    }
    s->v[s->n++] = taken;
}

int strings_at(const strings *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i], name) == 0)
            return i;
    return -1;
}

void strings_free(strings *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->v[i]);
    free(s->v);
    memset(s, 0, sizeof *s);
}

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
