/* engine/jinja/text: see text.h. */
#include "engine/jinja/text.h"
#include "engine/jinja/lex.h"

#include <string.h>
#include <utf8proc.h>

/* ---- parts ---- */
static bool among(const jstr *set, const char *p, size_t k)
{
    uint32_t cp;
    for (size_t i = 0, w; i < set->n; i += w) {
        w = (size_t)q_utf8_next(set->p + i, set->n - i, &cp);
        if (w == k && memcmp(set->p + i, p, k) == 0) return true;
    }
    return false;
}

/* Bytes of the last character of p[0..n). */
static size_t last_char(const char *p, size_t n)
{
    uint32_t cp;
    for (size_t k = n < 4 ? n : 4; k > 1; k--) if ((size_t)q_utf8_next(p + n - k, k, &cp) == k) return k;
    return n ? 1 : 0;
}

jv jt_strip(jx *x, const jstr *s, const jstr *chars, int sides)
{
    size_t a = 0, b = s->n, k;
    uint32_t cp;
    while (sides & JT_LEFT && a < b) {
        k = (size_t)q_utf8_next(s->p + a, b - a, &cp);
        if (chars) jx_step(x, 1 + chars->n / 64);
        if (!(chars ? among(chars, s->p + a, k) : jl_blank(s->p + a, b - a) > 0)) break;
        a += k;
    }
    while (sides & JT_RIGHT && a < b) {
        k = last_char(s->p + a, b - a);
        if (chars) jx_step(x, 1 + chars->n / 64);
        if (!(chars ? among(chars, s->p + b - k, k) : jl_blank(s->p + b - k, k) == k)) break;
        b -= k;
    }
    return jv_part(x, s, a, b);
}

long jt_find(const jstr *s, const jstr *what, size_t from)
{
    if (from > s->n) return -1;
    if (!what->n) return (long)from;
    const char *at = memmem(s->p + from, s->n - from, what->p, what->n);
    return at ? (long)(at - s->p) : -1;
}

long jt_rfind(jx *x, const jstr *s, const jstr *what)
{
    if (what->n > s->n) return -1;
    size_t each = 1 + what->n / 64, i = s->n - what->n + 1;
    while (i-- > 0) {
        if (i % 64 == 0) jx_step(x, each);
        if (memcmp(s->p + i, what->p, what->n) == 0) return (long)i;
    }
    return -1;
}

bool jt_begins(const jstr *s, const jstr *with) { return s->n >= with->n && memcmp(s->p, with->p, with->n) == 0; }
bool jt_ends(const jstr *s, const jstr *with) { return s->n >= with->n && memcmp(s->p + s->n - with->n, with->p, with->n) == 0; }

static void split_blanks(jx *x, const jstr *s, int64_t most, jv out)
{
    size_t at = 0, k;
    for (;;) {
        while (at < s->n && (k = jl_blank(s->p + at, s->n - at))) at += k;
        if (at >= s->n) return;
        size_t from = at;
        if (most == 0) { jv_push(x, out, jv_part(x, s, from, jl_rstrip(s->p, s->n))); return; }
        most--;
        while (at < s->n && !jl_blank(s->p + at, s->n - at)) at++;
        jv_push(x, out, jv_part(x, s, from, at));
    }
}

/* From the right the parts come last first. */
static void split_right(jx *x, const jstr *s, const jstr *sep, int64_t most, jv out)
{
    size_t end = s->n;
    for (; most != 0; most--) {
        size_t from = end, k;
        if (!sep) {
            while (end && (k = last_char(s->p, end)) && jl_blank(s->p + end - k, k)) end -= k;
            if (!end) return;
            for (from = end; from && (k = last_char(s->p, from)) && !jl_blank(s->p + from - k, k);) from -= k;
            jv_push(x, out, jv_part(x, s, from, end));
            end = from;
            continue;
        }
        const jstr head = { s->p, s->mark, end };
        long at = jt_rfind(x, &head, sep);
        if (at < 0) break;
        jv_push(x, out, jv_part(x, s, (size_t)at + sep->n, end));
        end = (size_t)at;
    }
    if (!sep) end = jl_rstrip(s->p, end);
    if (sep || end) jv_push(x, out, jt_strip(x, jv_part(x, s, 0, end).u.s, sep, sep ? 0 : JT_LEFT));
}

jv jt_split(jx *x, const jstr *s, const jstr *sep, int64_t most, bool from_right)
{
    jv out = jv_list(x, JV_LIST, 4);
    jx_step(x, s->n / 64);
    if (sep && !sep->n) jx_fail(x, _("split: an empty separator"));
    if (from_right && most >= 0) {
        split_right(x, s, sep, most, out);
        for (int i = 0, k = out.u.l->n - 1; i < k; i++, k--) { jv v = out.u.l->v[i]; out.u.l->v[i] = out.u.l->v[k]; out.u.l->v[k] = v; }
        return out;
    }
    if (!sep) { split_blanks(x, s, most, out); return out; }
    size_t at = 0;
    for (long end; most != 0 && (end = jt_find(s, sep, at)) >= 0; most--) {
        jv_push(x, out, jv_part(x, s, at, (size_t)end));
        at = (size_t)end + sep->n;
    }
    jv_push(x, out, jv_part(x, s, at, s->n));
    return out;
}

jv jt_lines(jx *x, const jstr *s, bool ends)
{
    jv out = jv_list(x, JV_LIST, 4);
    uint32_t cp;
    for (size_t i = 0, from = 0, k; i < s->n; i += k) {
        k = (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        bool end = (cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
        size_t to = i;
        if (end && cp == '\r' && i + 1 < s->n && s->p[i + 1] == '\n') k = 2;
        if (!end && i + k == s->n) to = s->n;
        else if (!end) continue;
        jv_push(x, out, jv_part(x, s, from, ends ? i + k : to));
        from = i + k;
    }
    return out;
}

jv jt_replace(jx *x, const jstr *s, const jstr *old, const jstr *with, int64_t most)
{
    jb b = { .x = x };
    size_t at = 0;
    uint32_t cp;
    jx_step(x, s->n / 64);
    if (!old->n) {                                         /* between all characters, as Python does */
        for (; most != 0 && at <= s->n; most--) {
            jb_str(&b, with);
            if (at == s->n) { at++; break; }
            size_t k = (size_t)q_utf8_next(s->p + at, s->n - at, &cp);
            jb_str(&b, jv_part(x, s, at, at + k).u.s);
            at += k;
        }
        if (at < s->n) jb_str(&b, jv_part(x, s, at, s->n).u.s);
        return jb_take(&b);
    }
    for (long end; most != 0 && (end = jt_find(s, old, at)) >= 0; most--) {
        jb_str(&b, jv_part(x, s, at, (size_t)end).u.s);
        jb_str(&b, with);
        at = (size_t)end + old->n;
    }
    jb_str(&b, jv_part(x, s, at, s->n).u.s);
    return jb_take(&b);
}

void jt_indices(jx *x, int64_t n, const int64_t *start, const int64_t *stop, int64_t step, int64_t *from, int64_t *to)
{
    if (step == 0) jx_fail(x, _("a slice goes by steps of 0"));
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    *from = step > 0 ? low : high;
    *to = step > 0 ? high : low;
    if (start) {
        *from = *start < 0 ? *start + n : *start;
        if (*from < low) *from = low;
        if (*from > high) *from = high;
    }
    if (stop) {
        *to = *stop < 0 ? *stop + n : *stop;
        if (*to < low) *to = low;
        if (*to > high) *to = high;
    }
}

jv jt_slice(jx *x, const jstr *s, const int64_t *start, const int64_t *stop, int64_t step)
{
    int64_t n = (int64_t)js_count(s), from, to;
    jt_indices(x, n, start, stop, step, &from, &to);
    jx_step(x, s->n / 64);
    if (step == 1) {
        size_t a = js_at(s, (size_t)from), b = to > from ? js_at(s, (size_t)to) : a;
        return jv_part(x, s, a, b);
    }
    jlist *all = jv_each(x, (jv){ .kind = JV_STR, .u.s = s });
    jb b = { .x = x };
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step) jb_str(&b, all->v[i].u.s);
    return jb_take(&b);
}

/* ---- letters ---- */
static utf8proc_category_t category(uint32_t cp) { return utf8proc_category((utf8proc_int32_t)cp); }
bool jt_alpha(uint32_t cp) { utf8proc_category_t c = category(cp); return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO; }
bool jt_digit(uint32_t cp) { return category(cp) == UTF8PROC_CATEGORY_ND || cp == 0xB2 || cp == 0xB3 || cp == 0xB9; }
bool jt_alnum(uint32_t cp) { utf8proc_category_t c = category(cp); return jt_alpha(cp) || (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO); }
bool jt_space(uint32_t cp) { char s[4]; return jl_blank(s, (size_t)q_utf8_put(s, cp)) > 0; }
static bool cased(uint32_t cp) { utf8proc_category_t c = category(cp); return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LT; }

bool jt_all(const jstr *s, bool (*of)(uint32_t cp))
{
    uint32_t cp;
    for (size_t i = 0; i < s->n;) {
        i += (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        if (!of(cp)) return false;
    }
    return s->n > 0;
}

bool jt_is_cased(const jstr *s, bool upper)
{
    bool any = false;
    uint32_t cp;
    for (size_t i = 0; i < s->n;) {
        i += (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        utf8proc_category_t c = category(cp);
        if (c == UTF8PROC_CATEGORY_LT || c == (upper ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU)) return false;
        any = any || cased(cp);
    }
    return any;
}

/* The letters that become several (Unicode's SpecialCasing, the unconditional ones a text of ours may have). */
static const struct { uint32_t cp, up[3], title[3]; } SPECIAL[] = {
    { 0xDF, { 'S', 'S' }, { 'S', 's' } }, { 0x149, { 0x2BC, 'N' }, { 0x2BC, 'N' } }, { 0x587, { 0x535, 0x552 }, { 0x535, 0x582 } },
    { 0xFB00, { 'F', 'F' }, { 'F', 'f' } }, { 0xFB01, { 'F', 'I' }, { 'F', 'i' } }, { 0xFB02, { 'F', 'L' }, { 'F', 'l' } },
    { 0xFB03, { 'F', 'F', 'I' }, { 'F', 'f', 'i' } }, { 0xFB04, { 'F', 'F', 'L' }, { 'F', 'f', 'l' } },
};

static void put_upper(jb *b, uint32_t cp, bool title, char m)
{
    for (size_t i = 0; i < sizeof SPECIAL / sizeof *SPECIAL; i++)
        if (SPECIAL[i].cp == cp) {
            const uint32_t *to = title ? SPECIAL[i].title : SPECIAL[i].up;
            for (int k = 0; k < 3 && to[k]; k++) jb_cp(b, to[k], m);
            return;
        }
    jb_cp(b, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)cp) : utf8proc_toupper((utf8proc_int32_t)cp)), m);
}

/* A sigma that ends a word has a form of its own. */
static bool ends_word(const jstr *s, size_t at, size_t k)
{
    uint32_t cp;
    size_t w = last_char(s->p, at);
    if (!w || !(q_utf8_next(s->p + at - w, w, &cp), cased(cp))) return false;
    if (at + k >= s->n) return true;
    q_utf8_next(s->p + at + k, s->n - at - k, &cp);
    return !cased(cp);
}

static void put_lower(jb *b, const jstr *s, size_t at, size_t k, uint32_t cp, char m)
{
    if (cp == 0x3A3 && ends_word(s, at, k)) jb_cp(b, 0x3C2, m);
    else if (cp == 0x130) { jb_cp(b, 'i', m); jb_cp(b, 0x307, m); }
    else jb_cp(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp), m);
}

jv jt_cased(jx *x, const jstr *s, enum jt_case how)
{
    jb b = { .x = x };
    uint32_t cp, before = 0;
    jx_step(x, s->n / 8);                /* letter by letter */
    for (size_t i = 0, k; i < s->n; i += k, before = cp) {
        k = (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        char m = js_mark(s, i);
        bool first = i == 0, opens = first || jt_space(before) || (before < 0x80 && strchr("-({[<", (int)before));
        if (cp == 0xFFFD) jb_add(&b, s->p + i, k, s->mark ? s->mark + i : NULL);
        else if (how == JT_UPPER || (how == JT_HEADLINE && opens)) put_upper(&b, cp, false, m);
        else if ((how == JT_CAPITAL && first) || (how == JT_TITLE && !(i && cased(before)))) put_upper(&b, cp, true, m);
        else if (how == JT_SWAP && category(cp) == UTF8PROC_CATEGORY_LL) put_upper(&b, cp, false, m);
        else put_lower(&b, s, i, k, cp, m);
    }
    return jb_take(&b);
}

/* ---- lay-out ---- */
jv jt_indent(jx *x, const jstr *s, const jstr *with, bool first, bool blank)
{
    /* jinja: s += "\n"; blank: s.replace("\n", "\n" + with) without the last; else line by line, empty lines stay empty */
    jb b = { .x = x };
    if (blank) {
        const jstr nl = { "\n", NULL, 1 };
        jb with_nl = { .x = x };
        jb_words(&with_nl, "\n");
        jb_str(&with_nl, with);
        if (first) jb_str(&b, with);
        jb_str(&b, jt_replace(x, s, &nl, jb_take(&with_nl).u.s, -1).u.s);
        return jb_take(&b);
    }
    jb whole = { .x = x };
    jb_str(&whole, s);
    jb_words(&whole, "\n");
    jlist *lines = jt_lines(x, jb_take(&whole).u.s, false).u.l;
    for (int i = 0; i < lines->n; i++) {
        if (i) jb_words(&b, "\n");
        if (i ? lines->v[i].u.s->n > 0 : first) jb_str(&b, with);
        jb_str(&b, lines->v[i].u.s);
    }
    return jb_take(&b);
}

jv jt_escape(jx *x, const jstr *s)
{
    static const struct { char c; const char *as; } rows[] = { { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&#34;" }, { '\'', "&#39;" } };
    jb b = { .x = x };
    for (size_t i = 0; i < s->n; i++) {
        const char *as = NULL;
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) if (rows[k].c == s->p[i]) as = rows[k].as;
        for (const char *p = as; p && *p; p++) jb_char(&b, *p, js_mark(s, i));
        if (!as) jb_char(&b, s->p[i], js_mark(s, i));
    }
    jv v = jb_take(&b);
    v.sub = 1;
    return v;
}

jv jt_pad(jx *x, const jstr *s, int64_t width, char with, bool left, bool right)
{
    int64_t n = (int64_t)js_count(s), more = width > n ? width - n : 0;
    if (more > 1 << 20) jx_fail(x, _("a text is padded to more than a million characters"));
    int64_t before = left && right ? more / 2 + (more & width & 1) : left ? more : 0;
    jb b = { .x = x };
    for (int64_t i = 0; i < before; i++) jb_char(&b, with, 0);
    jb_str(&b, s);
    for (int64_t i = before; i < more; i++) jb_char(&b, with, 0);
    return jb_take(&b);
}
