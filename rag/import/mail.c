/* rag/import/mail: letters out of an mbox (RFC 4155) or a file of one (RFC 5322), their headers (RFC 2047) and parts (RFC 2045,
 * 2046) as UTF-8. Pure functions; any thread. Parts inside parts are followed to DEPTH; what is no text is left out. */
#include "rag/import/mail.h"

#include "rag/import/wire.h"
#include "rag/letters.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEPTH = 8, HEADER_MAX = 2000, PARTS_MAX = 200 };

typedef struct span { const char *p, *end; } span;

static span line_of(span s)
{
    const char *nl = s.p < s.end ? memchr(s.p, '\n', (size_t)(s.end - s.p)) : NULL;
    return (span){s.p, nl ? nl + 1 : s.end};
}

static size_t bare(span l)              /* without its end */
{
    size_t n = (size_t)(l.end - l.p);
    while (n && (l.p[n - 1] == '\n' || l.p[n - 1] == '\r')) n--;
    return n;
}

/* ---- coded bytes ---- */
/* Quoted-printable; in a header _ is a blank. */
static void from_quoted(span s, bool header, q_buf *out)
{
    for (const char *p = s.p; p < s.end; p++) {
        if (*p == '=' && s.end - p > 2 && q_hex_digit(p[1]) >= 0 && q_hex_digit(p[2]) >= 0) {
            q_buf_putc(out, (char)(q_hex_digit(p[1]) * 16 + q_hex_digit(p[2])));
            p += 2;
        } else if (*p == '=' && !header) {              /* the line goes on */
            const char *q = p + 1;
            while (q < s.end && (*q == ' ' || *q == '\t' || *q == '\r')) q++;
            if (q < s.end && *q == '\n') p = q;
            else q_buf_putc(out, *p);
        } else q_buf_putc(out, *p == '_' && header ? ' ' : *p);
    }
}

static void from_base64(span s, q_buf *out)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t v = 0;
    int bits = 0;
    for (const char *p = s.p; p < s.end && *p != '='; p++) {
        const char *at = *p ? strchr(set, *p) : NULL;
        if (!at) continue;
        v = v << 6 | (uint32_t)(at - set);
        if ((bits += 6) >= 8) q_buf_putc(out, (char)(v >> (bits -= 8) & 0xFF));
    }
}

/* Bytes in a character set as UTF-8. Where none is named, or one in which they make no sense, the letters themselves tell. */
static void add_text(q_buf *out, const q_buf *bytes, const char *set)
{
    q_buf text = {0};
    if (!bytes->len) return;
    bool none = !*set || strcasecmp(set, "utf-8") == 0 || strcasecmp(set, "us-ascii") == 0;
    bool fine = !none && rag_convert(strcasecmp(set, "iso-8859-1") == 0 ? "CP1252" : set, bytes->p, bytes->len, &text);
    if (!fine && !q_utf8_valid(bytes->p, bytes->len)) {
        const char *told = rag_letters_set(bytes->p, bytes->len);
        q_buf_clear(&text);
        fine = told && rag_convert(told, bytes->p, bytes->len, &text);
    }
    q_buf_puts_clean(out, fine ? &text : bytes);
    q_buf_free(&text);
}

/* One =?SET?Q?words?= at the front of s: its bytes are added. Returns where it ends; NULL: there is none. What stands behind a star in
 * SET is the language (RFC 2231). */
static const char *coded_word(span s, char set[32], q_buf *bytes)
{
    if (s.end - s.p <= 6 || s.p[0] != '=' || s.p[1] != '?') return NULL;
    const char *q1 = memchr(s.p + 2, '?', (size_t)(s.end - s.p - 2)), *q2 = q1 && s.end - q1 > 3 && q1[2] == '?' ? q1 + 2 : NULL;
    const char *stop = q2 ? memmem(q2 + 1, (size_t)(s.end - q2 - 1), "?=", 2) : NULL;
    if (!stop || q1 - s.p - 2 >= 30 || !q1[1] || !strchr("QqBb", q1[1])) return NULL;
    size_t n = (size_t)(q1 - s.p - 2);
    memcpy(set, s.p + 2, n);
    set[n] = 0;
    set[strcspn(set, "*")] = 0;
    if ((q1[1] | 32) == 'q') from_quoted((span){q2 + 1, stop}, true, bytes);
    else from_base64((span){q2 + 1, stop}, bytes);
    return stop + 2;
}

/* A header's value with its coded words decoded, on one line, added to an empty out. Words in one set that stand side by side are decoded
 * together: many a program cuts them in the middle of a letter. */
static void header_words(span s, q_buf *out)
{
    q_buf bytes = {0};
    char set[32] = "", here[32];
    for (const char *p = s.p; p < s.end;) {
        q_buf word = {0};
        const char *end = coded_word((span){p, s.end}, here, &word);
        if (bytes.len && (!end || strcasecmp(here, set) != 0)) {
            add_text(out, &bytes, set);
            q_buf_clear(&bytes);
        }
        if (end) {
            q_buf_add(&bytes, word.p ? word.p : "", word.len);
            memcpy(set, here, sizeof set);
            const char *next = p = end;                 /* blanks between two coded words are none */
            while (next < s.end && isspace((unsigned char)*next)) next++;
            if (s.end - next > 1 && next[0] == '=' && next[1] == '?') p = next;
        } else {
            if (!isspace((unsigned char)*p)) q_buf_putc(out, *p);
            else if (out->len && out->p[out->len - 1] != ' ') q_buf_putc(out, ' ');
            p++;
        }
        q_buf_free(&word);
    }
    add_text(out, &bytes, set);
    q_buf_free(&bytes);
    for (size_t i = 0; i < out->len; i++)
        if (out->p[i] == '\n' || out->p[i] == '\r') out->p[i] = ' ';
    while (out->len && out->p[out->len - 1] == ' ') out->p[--out->len] = 0;
}

/* ---- headers ---- */
struct head { q_buf subject, from, to, date, file; char type[64], set[32], coding[32], boundary[128]; bool attached; };

static void head_free(struct head *h)
{
    q_buf_free(&h->subject);
    q_buf_free(&h->from);
    q_buf_free(&h->to);
    q_buf_free(&h->date);
    q_buf_free(&h->file);
}

/* "name=value" or "name="value"" of a header's value. */
static bool parameter(span v, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *p = v.p; (p = memchr(p, ';', (size_t)(v.end - p))) != NULL;) {
        for (p++; p < v.end && isspace((unsigned char)*p); p++) {}
        if ((size_t)(v.end - p) <= n || strncasecmp(p, name, n) != 0) continue;
        for (p += n; p < v.end && isspace((unsigned char)*p); p++) {}
        if (p == v.end || *p != '=') continue;
        for (p++; p < v.end && isspace((unsigned char)*p); p++) {}
        char quote = p < v.end && *p == '"' ? *p++ : 0;
        size_t k = 0;
        while (p < v.end && k < size - 1 && (quote ? *p != quote : !isspace((unsigned char)*p) && *p != ';')) out[k++] = *p++;
        out[k] = 0;
        return true;
    }
    return false;
}

/* A part's file name: RFC 2231 (in one piece or several, SET'language'%41), or as it stands, also with coded words. */
static void file_name(span v, const char *name, q_buf *out)
{
    enum { PIECES = 20 };
    char value[512], set[32] = "", *text;
    q_buf bytes = {0};
    bool plain = false;
    for (int i = -1; i < PIECES; i++) {
        static const char *const forms[] = {"%s*", "%s*%d*", "%s*%d"};
        bool coded = true, there = false;
        for (int k = i < 0 ? 0 : 1; !there && k < (i < 0 ? 1 : 3); k++) {
            char *key = q_printf(forms[k], name, i);
            there = parameter(v, key, value, sizeof value);
            coded = k < 2;
            free(key);
        }
        if (!there && i >= 0) break;
        if (!there) continue;
        text = value;
        char *q1 = coded && !bytes.len ? strchr(value, '\'') : NULL, *q2 = q1 ? strchr(q1 + 1, '\'') : NULL;
        if (q2) {
            q_buf from = {0};
            q_buf_add(&from, value, (size_t)(q1 - value) < sizeof set ? (size_t)(q1 - value) : 0);
            if (from.len) memcpy(set, from.p, from.len + 1);
            q_buf_free(&from);
            text = q2 + 1;
        }
        for (; *text; text++) {
            int byte = coded ? q_percent(text, 3) : -1;      /* a byte 0 ends it sooner */
            if (byte >= 0) {
                q_buf_putc(&bytes, (char)byte);
                text += 2;
            } else q_buf_putc(&bytes, *text);
        }
        if (i < 0) break;
    }
    if (!bytes.len && parameter(v, name, value, sizeof value)) {
        plain = true;
        header_words((span){value, value + strlen(value)}, out);
    }
    if (!plain) add_text(out, &bytes, set);
    q_buf_free(&bytes);
}

static void one_header(struct head *h, span name, span value)
{
    static const struct { const char *name; size_t at; } texts[] = {
        {"subject", offsetof(struct head, subject)}, {"from", offsetof(struct head, from)}, {"to", offsetof(struct head, to)}, {"date", offsetof(struct head, date)}};
    while (name.end > name.p && (name.end[-1] == ' ' || name.end[-1] == '\t')) name.end--;
    size_t n = (size_t)(name.end - name.p);
    while (value.p < value.end && isspace((unsigned char)*value.p)) value.p++;
    if (value.end - value.p > HEADER_MAX) value.end = value.p + HEADER_MAX;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        q_buf *to = (q_buf *)(void *)((char *)h + texts[i].at);
        if (strlen(texts[i].name) == n && strncasecmp(name.p, texts[i].name, n) == 0 && !to->len) header_words(value, to);
    }
    if (n == 12 && strncasecmp(name.p, "content-type", n) == 0) {
        size_t k = 0;
        for (const char *p = value.p; p < value.end && k < sizeof h->type - 1 && *p != ';' && !isspace((unsigned char)*p); p++) h->type[k++] = (char)tolower((unsigned char)*p);
        h->type[k] = 0;
        parameter(value, "charset", h->set, sizeof h->set);
        parameter(value, "boundary", h->boundary, sizeof h->boundary);
        if (!h->file.len) file_name(value, "name", &h->file);
    }
    if (n == 19 && strncasecmp(name.p, "content-disposition", n) == 0) {
        q_buf file = {0};
        h->attached = value.end - value.p >= 10 && strncasecmp(value.p, "attachment", 10) == 0;
        file_name(value, "filename", &file);
        if (file.len) {
            q_buf_free(&h->file);
            h->file = file;
        } else q_buf_free(&file);
    }
    if (n == 25 && strncasecmp(name.p, "content-transfer-encoding", n) == 0) {
        size_t k = 0;
        for (const char *p = value.p; p < value.end && k < sizeof h->coding - 1 && !isspace((unsigned char)*p); p++) h->coding[k++] = (char)tolower((unsigned char)*p);
        h->coding[k] = 0;
    }
}

/* "Name: value", or a line that an older program put between them. */
static bool is_header(span l)
{
    const char *p = l.p;
    while (p < l.end && *p > ' ' && *p < 127 && *p != ':') p++;
    while (p > l.p && p < l.end && (*p == ' ' || *p == '\t')) p++;
    return (p < l.end && p > l.p && *p == ':') || (l.end - l.p > 5 && (memcmp(l.p, "From ", 5) == 0 || memcmp(l.p, ">From ", 6) == 0));
}

/* Takes the headers off the front of s; lines that begin with a blank go on with the one before. A line that is none ends them, as an empty
 * one does, and is not lost. */
static span read_head(span s, struct head *h)
{
    while (s.p < s.end) {
        span l = line_of(s);
        if (bare(l) == 0) return (span){l.end, s.end};
        if (!is_header(l)) return s;
        const char *colon = memchr(l.p, ':', (size_t)(l.end - l.p));
        span value = {colon ? colon + 1 : l.end, l.end};
        s.p = l.end;
        for (span next; s.p < s.end && (*s.p == ' ' || *s.p == '\t'); value.end = s.p = next.end) next = line_of(s);
        if (colon) one_header(h, (span){l.p, colon}, value);
    }
    return s;
}

/* ---- bodies ---- */
static bool is_boundary(span l, const char *boundary, bool *last)
{
    size_t n = strlen(boundary), k = bare(l);
    bool is = k >= n + 2 && l.p[0] == '-' && l.p[1] == '-' && memcmp(l.p + 2, boundary, n) == 0;
    *last = is && k >= n + 4 && l.p[n + 2] == '-' && l.p[n + 3] == '-';
    for (size_t i = n + 2 + 2 * *last; is && i < k; i++) is = isspace((unsigned char)l.p[i]) != 0;      /* another's, which begins so */
    *last &= is;
    return is;
}

/* A body's bytes without their transfer encoding. */
static void decoded(const struct head *h, span body, q_buf *bytes)
{
    if (strcmp(h->coding, "base64") == 0) from_base64(body, bytes);
    else if (strcmp(h->coding, "quoted-printable") == 0) from_quoted(body, false, bytes);
    else q_buf_add(bytes, body.p, (size_t)(body.end - body.p));
}

/* Is there anything to read from a place on? */
static bool any_words(const q_buf *b, size_t from)
{
    for (size_t i = from; i < b->len; i++)
        if (b->p[i] == '\xC2' && i + 1 < b->len && b->p[i + 1] == '\xA0') i++;
        else if (!isspace((unsigned char)b->p[i])) return true;
    return false;
}

/* One leaf: what it says, as Markdown. False: nothing. */
static bool leaf(rag_child *c, const struct head *h, span body, q_buf *out)
{
    q_buf bytes = {0}, text = {0};
    size_t was = out->len;
    bool html = strcmp(h->type, "text/html") == 0;
    decoded(h, body, &bytes);
    add_text(&text, &bytes, h->set);
    const char *why = html && text.len ? rag_child_document(c, true, &text) : NULL;
    if (html && !why) q_buf_add(out, text.p, text.len);
    else if (!html || strcmp(why, read_words(READ_NO_WORDS)) != 0)      /* a page that nobody can read is kept with its tags */
        for (size_t i = 0; i < text.len; i++) {
            bool begins = i == 0 || text.p[i - 1] == '\n';
            if (begins && text.p[i] == '>' && text.len - i > 5 && memcmp(text.p + i, ">From ", 6) == 0) continue;      /* mbox's own quoting */
            if (begins && strchr("#`~=", text.p[i]) && text.p[i]) q_buf_putc(out, '\\');
            if (text.p[i] != '\r' && text.p[i]) q_buf_putc(out, text.p[i]);
        }
    q_buf_free(&bytes);
    q_buf_free(&text);
    return any_words(out, was);
}

static bool letter(rag_child *c, span s, int level, int *parts, q_buf *out);

/* What is no body of several parts: words, another letter, or a file, of which its name is told. */
static bool one_part(rag_child *c, const struct head *h, span body, int level, int *parts, q_buf *out)
{
    bool text = !*h->type || strncmp(h->type, "text/", 5) == 0, sealed = strstr(h->type, "signature") != NULL;
    if (h->file.len && !sealed && (h->attached || strncmp(h->type, "image/", 6) != 0)) q_buf_printf(out, "[%s]\n\n", h->file.p);
    if (text) return leaf(c, h, body, out);
    if (strcmp(h->type, "message/rfc822") != 0 || level >= DEPTH) return false;
    q_buf inner = {0};
    decoded(h, body, &inner);
    bool any = inner.len && letter(c, (span){inner.p, inner.p + inner.len}, level + 1, parts, out);
    q_buf_free(&inner);
    return any;
}

/* A body of one or more parts; of several forms of the same the plain one that says anything. Levels are counted, so its depth has an end. */
static bool body_words(rag_child *c, const struct head *h, span body, int level, int *parts, q_buf *out)
{
    bool several = strncmp(h->type, "multipart/", 10) == 0 && *h->boundary, either = strcmp(h->type, "multipart/alternative") == 0, any = false;
    if (!several) return one_part(c, h, body, level, parts, out);
    if (level >= DEPTH) return false;
    const char *from = NULL;
    bool last = false;
    for (span rest = body; rest.p < rest.end && !last;) {
        span l = line_of(rest);
        bool border = is_boundary(l, h->boundary, &last), end = l.end == body.end && !border;
        rest.p = l.end;
        if (!border && !end) continue;
        if (from && !(either && any) && ++*parts < PARTS_MAX) {
            struct head sub = {.type = ""};
            span inner = read_head((span){from, border ? l.p : l.end}, &sub);
            any |= body_words(c, &sub, inner, level + 1, parts, out);
            if (any) q_buf_puts(out, "\n\n");
            head_free(&sub);
        }
        from = rest.p;
    }
    return any;
}

/* A letter, or (level above 0) one that another brings. False: its body says nothing. */
static bool letter(rag_child *c, span s, int level, int *parts, q_buf *out)
{
    struct head h = {.type = ""};
    span body = read_head(s, &h);
    q_buf_printf(out, "%s %s\n\n", level ? "##" : "#", h.subject.len ? h.subject.p : "—");
    static const char *const names[] = {"From", "To", "Date"};
    const q_buf *const values[] = {&h.from, &h.to, &h.date};
    for (int i = 0; i < 3; i++)
        if (values[i]->len) q_buf_printf(out, "%s: %s\n", names[i], values[i]->p);
    q_buf_putc(out, '\n');
    bool any = body_words(c, &h, body, level, parts, out);
    q_buf_puts(out, "\n\n");
    head_free(&h);
    return any;
}

/* "From who when" first in a box. */
static bool begins_box(span l) { return l.end - l.p > 5 && memcmp(l.p, "From ", 5) == 0; }

/* The day and the month of asctime ("Tue Jan  2"), which no sentence has side by side. */
static bool has_date(span l)
{
    static const char days[] = "Mon Tue Wed Thu Fri Sat Sun ", months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
    for (const char *p = l.p + 4; l.end - p > 9; p++) {
        char day[5] = {p[1], p[2], p[3], ' ', 0}, month[5] = {p[5], p[6], p[7], ' ', 0};
        if (*p == ' ' && p[4] == ' ' && p[8] == ' ' && p[1] != ' ' && p[5] != ' ' && strstr(days, day) && strstr(months, month)) return true;
    }
    return false;
}

/* "From who when" after an empty line; `next` is the line below. A sentence may begin so too, and many a program does not quote it: a letter's
 * line has a date, or (newer Thunderbird, some exports) one word or none, with headers below. */
static bool begins_letter(span l, span next)
{
    if (!begins_box(l)) return false;
    size_t n = bare(l), i = 5;
    while (i < n && l.p[i] != ' ') i++;
    return has_date(l) || (i == n && is_header(next) && !begins_box(next));
}

bool rag_mail_knows(const char *p, size_t n)
{
    static const char *const names[] = {"from:", "date:", "subject:", "to:", "message-id:", "received:", "return-path:", "mime-version:"};
    span s = {p, p + n}, l = line_of(s);
    bool box = begins_box(l);
    int headers = 0, lines = 0;
    if (box) s.p = l.end;
    for (; s.p < s.end && lines < 60; s.p = l.end, lines++) {
        l = line_of(s);
        if (bare(l) == 0) break;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            headers += (size_t)(l.end - l.p) > strlen(names[i]) && strncasecmp(l.p, names[i], strlen(names[i])) == 0;
    }
    return headers >= (box ? 1 : 3);
}

const char *rag_mail(rag_child *c, q_buf *b)
{
    q_buf out = {0};
    span s = {b->p, b->p + b->len};
    const char *from = NULL;
    bool empty = true, box = begins_box(line_of(s));
    int parts = 0;
    for (; s.p < s.end;) {
        span l = line_of(s);
        if (!from && !box) from = l.p;
        if (box && empty && (!from || begins_letter(l, line_of((span){l.end, s.end})))) {
            if (from) letter(c, (span){from, l.p}, 0, &parts, &out);
            from = l.end;
            parts = 0;
        }
        empty = bare(l) == 0;
        s.p = l.end;
    }
    if (from && from < s.end) letter(c, (span){from, s.end}, 0, &parts, &out);
    if (!out.len) {
        q_buf_free(&out);
        return _("there are no words in it");
    }
    q_buf_clear(b);
    q_buf_puts_clean(b, &out);
    q_buf_free(&out);
    return NULL;
}
