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
static int hex(char c) { return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 : -1; }

/* Quoted-printable; in a header _ is a blank. */
static void from_quoted(span s, bool header, q_buf *out)
{
    for (const char *p = s.p; p < s.end; p++) {
        if (*p == '=' && s.end - p > 2 && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            q_buf_putc(out, (char)(hex(p[1]) * 16 + hex(p[2])));
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

/* Bytes in a character set as UTF-8. */
static void add_text(q_buf *out, const q_buf *bytes, const char *set)
{
    q_buf text = {0};
    if (!bytes->len) return;
    bool fine = *set && strcasecmp(set, "utf-8") != 0 && rag_convert(strcasecmp(set, "iso-8859-1") == 0 || strcasecmp(set, "us-ascii") == 0 ? "CP1252" : set, bytes->p, bytes->len, &text);
    const q_buf *from = fine ? &text : bytes;
    q_buf_puts_clean(out, from);
    q_buf_free(&text);
}

/* A header's value with its =?SET?Q?words?= decoded, on one line, added to an empty out. */
static void header_words(span s, q_buf *out)
{
    for (const char *p = s.p; p < s.end;) {
        const char *q1 = NULL, *q2 = NULL, *stop = NULL;
        if (s.end - p > 6 && p[0] == '=' && p[1] == '?') {
            q1 = memchr(p + 2, '?', (size_t)(s.end - p - 2));
            q2 = q1 && s.end - q1 > 3 && q1[2] == '?' ? q1 + 2 : NULL;
            stop = q2 ? memmem(q2 + 1, (size_t)(s.end - q2 - 1), "?=", 2) : NULL;
        }
        if (stop && q1 - p - 2 < 30 && strchr("QqBb", q1[1])) {
            char set[32];
            q_buf bytes = {0};
            memcpy(set, p + 2, (size_t)(q1 - p - 2));
            set[q1 - p - 2] = 0;
            if ((q1[1] | 32) == 'q') from_quoted((span){q2 + 1, stop}, true, &bytes);
            else from_base64((span){q2 + 1, stop}, &bytes);
            add_text(out, &bytes, set);
            q_buf_free(&bytes);
            const char *next = p = stop + 2;            /* blanks between two coded words are none */
            while (next < s.end && isspace((unsigned char)*next)) next++;
            if (s.end - next > 1 && next[0] == '=' && next[1] == '?') p = next;
            continue;
        }
        if (!isspace((unsigned char)*p)) q_buf_putc(out, *p);
        else if (out->len && out->p[out->len - 1] != ' ') q_buf_putc(out, ' ');
        p++;
    }
    while (out->len && out->p[out->len - 1] == ' ') out->p[--out->len] = 0;
}

/* ---- headers ---- */
struct head { q_buf subject, from, to, date; char type[64], set[32], coding[32], boundary[128]; };

static void head_free(struct head *h)
{
    q_buf_free(&h->subject);
    q_buf_free(&h->from);
    q_buf_free(&h->to);
    q_buf_free(&h->date);
}

/* "name=value" or "name="value"" of a header's value. */
static void parameter(span v, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *p = v.p; (p = memchr(p, ';', (size_t)(v.end - p))) != NULL;) {
        for (p++; p < v.end && isspace((unsigned char)*p); p++) {}
        if ((size_t)(v.end - p) <= n || strncasecmp(p, name, n) != 0 || p[n] != '=') continue;
        p += n + 1;
        char quote = p < v.end && *p == '"' ? *p++ : 0;
        size_t k = 0;
        while (p < v.end && k < size - 1 && (quote ? *p != quote : !isspace((unsigned char)*p) && *p != ';')) out[k++] = *p++;
        out[k] = 0;
        return;
    }
}

static void one_header(struct head *h, span name, span value)
{
    static const struct { const char *name; size_t at; } texts[] = {
        {"subject", offsetof(struct head, subject)}, {"from", offsetof(struct head, from)}, {"to", offsetof(struct head, to)}, {"date", offsetof(struct head, date)}};
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
    }
    if (n == 25 && strncasecmp(name.p, "content-transfer-encoding", n) == 0) {
        size_t k = 0;
        for (const char *p = value.p; p < value.end && k < sizeof h->coding - 1 && !isspace((unsigned char)*p); p++) h->coding[k++] = (char)tolower((unsigned char)*p);
        h->coding[k] = 0;
    }
}

/* Takes the headers off the front of s; lines that begin with a blank go on with the one before. */
static span read_head(span s, struct head *h)
{
    while (s.p < s.end) {
        span l = line_of(s);
        if (bare(l) == 0) return (span){l.end, s.end};
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

/* One leaf: what it says, as Markdown. */
static void leaf(rag_child *c, const struct head *h, span body, q_buf *out)
{
    q_buf bytes = {0}, text = {0};
    bool html = strcmp(h->type, "text/html") == 0;
    if (strcmp(h->coding, "base64") == 0) from_base64(body, &bytes);
    else if (strcmp(h->coding, "quoted-printable") == 0) from_quoted(body, false, &bytes);
    else q_buf_add(&bytes, body.p, (size_t)(body.end - body.p));
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
}

/* A body of one or more parts; of several forms of the same the plain one. Levels are counted, so its depth has an end. */
static bool body_words(rag_child *c, const struct head *h, span body, int level, int *parts, q_buf *out)
{
    bool several = strncmp(h->type, "multipart/", 10) == 0 && *h->boundary, either = strcmp(h->type, "multipart/alternative") == 0, any = false;
    if (!several) {
        if (*h->type && strncmp(h->type, "text/", 5) != 0) return false;
        leaf(c, h, body, out);
        return true;
    }
    if (level == DEPTH) return false;
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

static void letter(rag_child *c, span s, q_buf *out)
{
    struct head h = {.type = ""};
    int parts = 0;
    span body = read_head(s, &h);
    q_buf_printf(out, "# %s\n\n", h.subject.len ? h.subject.p : "—");
    static const char *const names[] = {"From", "To", "Date"};
    const q_buf *const values[] = {&h.from, &h.to, &h.date};
    for (int i = 0; i < 3; i++)
        if (values[i]->len) q_buf_printf(out, "%s: %s\n", names[i], values[i]->p);
    q_buf_putc(out, '\n');
    body_words(c, &h, body, 0, &parts, out);
    q_buf_puts(out, "\n\n");
    head_free(&h);
}

/* "From who when" after an empty line, or first. */
static bool begins_letter(span l) { return l.end - l.p > 5 && memcmp(l.p, "From ", 5) == 0; }

bool rag_mail_knows(const char *p, size_t n)
{
    static const char *const names[] = {"from:", "date:", "subject:", "to:", "message-id:", "received:", "return-path:", "mime-version:"};
    span s = {p, p + n}, l = line_of(s);
    bool box = begins_letter(l);
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
    bool empty = true, box = begins_letter(line_of(s));
    for (; s.p < s.end;) {
        span l = line_of(s);
        if (!from && !box) from = l.p;
        if (box && empty && begins_letter(l)) {
            if (from) letter(c, (span){from, l.p}, &out);
            from = l.end;
        }
        empty = bare(l) == 0;
        s.p = l.end;
    }
    if (from && from < s.end) letter(c, (span){from, s.end}, &out);
    if (!out.len) {
        q_buf_free(&out);
        return _("there are no words in it");
    }
    q_buf_clear(b);
    q_buf_puts_clean(b, &out);
    q_buf_free(&out);
    return NULL;
}
