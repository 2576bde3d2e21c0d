/* rag/import/markup: the text of HTML and XML, piece by piece: no tree, no entity that names another, no file or address that
 * is followed, so that nothing in a page can grow or reach out. Pure functions; any thread. It never fails: what is no markup
 * is words. */
#include "rag/import/markup.h"

#include "rag/letters.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- pieces ---- */
/* What holds no tags until its own end, in HTML. */
static const char *const raw_tags[] = {"script", "style", "textarea", "title", "xmp", "noembed"};

static const char *find(const char *p, const char *end, const char *what)
{
    return end > p ? memmem(p, (size_t)(end - p), what, strlen(what)) : NULL;
}

static bool is_raw(const markup *m)
{
    for (size_t i = 0; m->html && i < sizeof raw_tags / sizeof *raw_tags; i++)
        if (strcmp(m->name, raw_tags[i]) == 0) return true;
    return false;
}

/* </name of an element that holds no tags; the end where there is none. */
static const char *raw_end(const markup *m, const char *p, const char *end)
{
    size_t n = strlen(m->name);
    for (; (p = find(p, end, "</")) != NULL; p += 2)
        if ((size_t)(end - p) >= n + 2 && strncasecmp(p + 2, m->name, n) == 0) return p;
    return end;
}

/* > of a tag: one inside quotes is none. */
static const char *tag_end(const char *p, const char *end)
{
    char quote = 0;
    for (; p < end; p++) {
        if (quote) quote = *p == quote ? 0 : quote;
        else if (*p == '>') return p;
        else if ((*p == '"' || *p == '\'') && p[-1] == '=') quote = *p;
    }
    return NULL;
}

static bool words(markup *m, const char *p, const char *end, bool literal)
{
    m->kind = MARKUP_WORDS;
    m->words = p;
    m->n_words = (size_t)(end - p);
    m->literal = literal;
    m->at = (size_t)(end - m->p);
    return true;
}

/* A tag at p, whose > is at close. */
static void tag(markup *m, const char *p, const char *close)
{
    size_t n = 0;
    m->kind = p[1] == '/' ? MARKUP_CLOSE : MARKUP_OPEN;
    p += m->kind == MARKUP_CLOSE ? 2 : 1;
    for (; p < close && !isspace((unsigned char)*p) && *p != '/'; p++)
        if (n < MARKUP_NAME - 1) m->name[n++] = m->html ? (char)tolower((unsigned char)*p) : *p;
    m->name[n] = 0;
    m->empty = close > p && close[-1] == '/';
    m->words = p;
    m->n_words = (size_t)(close - p);
    m->at = (size_t)(close + 1 - m->p);
}

bool markup_next(markup *m)
{
    const char *end = m->p + m->n;
    bool inside = m->kind == MARKUP_OPEN && !m->empty && is_raw(m);
    for (;;) {
        const char *p = m->p + m->at, *stop;
        if (p >= end) {
            m->kind = MARKUP_END;
            return false;
        }
        if (inside && (stop = raw_end(m, p, end)) > p) return words(m, p, stop, strcmp(m->name, "title") != 0 && strcmp(m->name, "textarea") != 0);
        inside = false;
        bool more = end - p > 1;
        if (*p != '<' || !more || !(isalpha((unsigned char)p[1]) || strchr("/!?", p[1]))) {
            stop = memchr(p + 1, '<', (size_t)(end - p - 1));
            return words(m, p, stop ? stop : end, false);
        }
        if (p[1] == '!' && end - p > 3 && memcmp(p, "<!--", 4) == 0) {
            stop = find(p + 4, end, "-->");
            m->at = stop ? (size_t)(stop + 3 - m->p) : m->n;
        } else if (p[1] == '!' && end - p > 8 && memcmp(p, "<![CDATA[", 9) == 0) {
            stop = find(p + 9, end, "]]>");
            words(m, p + 9, stop ? stop : end, true);
            m->at = stop ? (size_t)(stop + 3 - m->p) : m->n;
            return true;
        } else if (p[1] == '!' || p[1] == '?') {
            stop = memchr(p, '>', (size_t)(end - p));
            m->at = stop ? (size_t)(stop + 1 - m->p) : m->n;
        } else {
            stop = tag_end(p + 1, end);
            if (!stop) return words(m, p, end, false);
            tag(m, p, stop);
            return true;
        }
    }
}

/* ---- characters ---- */
/* Latin-1's entities in order from U+00A0, and others by name. */
static const char latin[] = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot "
    "cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH "
    "Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave "
    "eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml ";
static const char greek[] = "Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho - Sigma Tau Upsilon Phi Chi Psi Omega "
    "- - - - - - - alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigmaf sigma tau upsilon phi chi psi omega ";
static const struct { const char *name; uint32_t cp; } others[] = {
    {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018}, {"rsquo", 0x2019},
    {"sbquo", 0x201A}, {"ldquo", 0x201C}, {"rdquo", 0x201D}, {"bdquo", 0x201E}, {"hellip", 0x2026}, {"bull", 0x2022}, {"lsaquo", 0x2039}, {"rsaquo", 0x203A},
    {"trade", 0x2122}, {"euro", 0x20AC}, {"larr", 0x2190}, {"uarr", 0x2191}, {"rarr", 0x2192}, {"darr", 0x2193}, {"harr", 0x2194}, {"minus", 0x2212},
    {"infin", 0x221E}, {"ne", 0x2260}, {"le", 0x2264}, {"ge", 0x2265}, {"asymp", 0x2248}, {"sum", 0x2211}, {"prod", 0x220F}, {"radic", 0x221A}, {"part", 0x2202},
    {"int", 0x222B}, {"isin", 0x2208}, {"forall", 0x2200}, {"exist", 0x2203}, {"empty", 0x2205}, {"nabla", 0x2207}, {"cap", 0x2229}, {"cup", 0x222A},
    {"sub", 0x2282}, {"sup", 0x2283}, {"OElig", 0x152}, {"oelig", 0x153}, {"Scaron", 0x160}, {"scaron", 0x161}, {"Yuml", 0x178}, {"fnof", 0x192}, {"circ", 0x2C6},
    {"tilde", 0x2DC}, {"ensp", ' '}, {"emsp", ' '}, {"thinsp", ' '}, {"zwnj", 0x200C}, {"zwj", 0x200D}, {"lrm", 0}, {"rlm", 0}, {"dagger", 0x2020}, {"Dagger", 0x2021},
    {"permil", 0x2030}, {"prime", 0x2032}, {"Prime", 0x2033}, {"check", 0x2713}, {"star", 0x2606}, {"hearts", 0x2665},
};

static uint32_t in_row(const char *row, uint32_t first, const char *name, size_t n)
{
    for (uint32_t i = 0; *row; i++) {
        size_t k = strcspn(row, " ");
        if (k == n && memcmp(row, name, n) == 0 && *name != '-') return first + i;
        row += k + 1;
    }
    return 0;
}

/* A character by number: what Windows-1252 has where Latin-1 has controls is meant by its letters there. */
static uint32_t by_number(const char *p, size_t n)
{
    bool hex = n > 1 && (p[1] | 32) == 'x';
    uint64_t v = 0;
    for (size_t i = hex ? 2 : 1; i < n; i++) {
        int d = isdigit((unsigned char)p[i]) ? p[i] - '0' : hex && isxdigit((unsigned char)p[i]) ? (p[i] | 32) - 'a' + 10 : -1;
        if (d < 0) return 0;
        v = v * (hex ? 16 : 10) + (uint64_t)d;
        if (v > 0x10FFFF) return 0xFFFD;
    }
    if (v >= 0x80 && v < 0xA0) {
        q_buf b = {0};
        char c = (char)v;
        uint32_t cp = 0xFFFD;
        if (rag_convert("CP1252", &c, 1, &b) && b.len) q_utf8_next(b.p, b.len, &cp);
        q_buf_free(&b);
        return cp;
    }
    return v == 0 || (v >= 0xD800 && v < 0xE000) ? 0xFFFD : (uint32_t)v;
}

static void decode(const char *p, size_t n, q_buf *out)
{
    enum { NAME_MAX_ = 12 };
    for (size_t i = 0; i < n; i++) {
        size_t k = 1;
        while (p[i] == '&' && i + k < n && k < NAME_MAX_ && (isalnum((unsigned char)p[i + k]) || p[i + k] == '#')) k++;
        bool closed = i + k < n && p[i + k] == ';';
        uint32_t cp = 0;
        bool known = false;
        if (p[i] == '&' && k > 1) {
            const char *name = p + i + 1;
            if (*name == '#') cp = k > 2 ? by_number(name, k - 1) : 0;
            else if (closed && (cp = in_row(latin, 0xA0, name, k - 1)) == 0) cp = in_row(greek, 0x391, name, k - 1);
            known = cp != 0;
            for (size_t j = 0; closed && !known && j < sizeof others / sizeof *others; j++)
                if (strlen(others[j].name) == k - 1 && memcmp(others[j].name, name, k - 1) == 0) cp = others[j].cp, known = true;
        }
        if (!known) {
            q_buf_putc(out, p[i]);
            continue;
        }
        char c[4];
        if (cp == 0xA0) cp = ' ';
        if (cp && cp != 0xAD) q_buf_add(out, c, (size_t)q_utf8_put(c, cp));
        i += k - !closed;
    }
}

void markup_words(const markup *m, q_buf *out)
{
    if (m->literal) q_buf_add(out, m->words, m->n_words);
    else decode(m->words, m->n_words, out);
}

bool markup_attribute(const markup *m, const char *name, char *out, size_t size)
{
    const char *p = m->words, *end = m->words + m->n_words;
    size_t n = strlen(name);
    while (p < end) {
        while (p < end && (isspace((unsigned char)*p) || *p == '/')) p++;
        const char *from = p;
        while (p < end && !isspace((unsigned char)*p) && *p != '=') p++;
        bool ours = (size_t)(p - from) == n && (m->html ? strncasecmp(from, name, n) : memcmp(from, name, n)) == 0;
        while (p < end && isspace((unsigned char)*p)) p++;
        const char *value = p;
        size_t len = 0;
        if (p < end && *p == '=') {
            for (p++; p < end && isspace((unsigned char)*p); p++) {}
            char quote = p < end && (*p == '"' || *p == '\'') ? *p++ : 0;
            value = p;
            while (p < end && (quote ? *p != quote : !isspace((unsigned char)*p))) p++;
            len = (size_t)(p - value);
            if (quote && p < end) p++;
        } else if (p == from) p++;
        if (!ours) continue;
        q_buf b = {0};
        decode(value, len, &b);
        size_t k = b.len < size ? b.len : q_utf8_whole(b.p, size - 1);
        if (k) memcpy(out, b.p, k);
        out[k] = 0;
        q_buf_free(&b);
        return true;
    }
    return false;
}

/* ---- character sets ---- */
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

void markup_charset(q_buf *b)
{
    enum { HEAD = 2048 };
    char set[32];
    q_buf out = {0};
    if (b->len >= 2 && (memcmp(b->p, "\xFF\xFE", 2) == 0 || memcmp(b->p, "\xFE\xFF", 2) == 0)) return;      /* rag_charset reads it */
    if (!said(b->p, b->len < HEAD ? b->len : HEAD, set) || strcasecmp(set, "utf-8") == 0 || strncasecmp(set, "utf-16", 6) == 0) return;
    if (strcasecmp(set, "iso-8859-1") == 0 || strcasecmp(set, "latin1") == 0 || strcasecmp(set, "us-ascii") == 0) memcpy(set, "CP1252", 7);    /* as browsers do */
    if (q_utf8_valid(b->p, b->len)) return;             /* it says one thing and is another */
    if (rag_convert(set, b->p, b->len, &out)) {
        q_buf_free(b);
        *b = out;
        return;
    }
    q_buf_free(&out);
}

/* ---- text ---- */
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
