/* rag/import/records: cuts a JSON file into its records without keeping more than one in memory. Looks at nothing but
 * strings and brackets and never calls itself; what a record holds is cJSON's to read. Behind a damaged record it looks for
 * the next one: a record begins with the same bytes, up to its first name, as the ones before it. */
#include "rag/import/records.h"

#include <stdlib.h>
#include <string.h>

/* RECORD_MAX bytes a record, and RECORD_MEMORY for it and what cJSON makes of it, VALUE_BYTES a value beside its text; MARK_MAX: bytes by
 * which a beginning is known; LOOKS: beginnings that are tried behind one damaged record. */
enum { PIECE = 1 << 18, RECORD_MAX = 48 << 20, RECORD_MEMORY = 256 << 20, VALUE_BYTES = 80, MARK_MAX = 64, LOOKS = 1000 };

struct rag_records {
    rag_source src;
    q_buf b;                            /* from the present record on */
    int64_t base;                       /* of its first byte in the file */
    size_t start, at;                   /* in b: where the record begins; where the look goes on */
    int depth, values, number, looks;
    bool ended, array, string, escaped;
    bool found;                         /* start was found by looking for it */
    bool doubtful;                      /* so was that of the present record */
    char mark[MARK_MAX]; size_t n_mark; /* how good ones begin */
};

rag_records *rag_records_new(const rag_source *s)
{
    rag_records *r = q_alloc(sizeof *r);
    r->src = *s;
    return r;
}

void rag_records_free(rag_records *r)
{
    if (!r) return;
    q_buf_free(&r->b);
    free(r);
}

/* What is before `keep` goes; more is read behind the rest. False: there is no more. */
static bool more(rag_records *r, size_t keep)
{
    if (keep) {
        memmove(r->b.p, r->b.p + keep, r->b.len - keep);
        r->b.len -= keep;
        r->base += (int64_t)keep;
        r->at -= keep;
        r->start -= keep;
    }
    if (r->ended) return false;
    char *piece = malloc(PIECE);
    long n = piece ? r->src.read(r->src.user, piece, PIECE) : -1;
    if (n > 0) q_buf_add(&r->b, piece, (size_t)n);
    else r->ended = true;
    free(piece);
    return n > 0;
}

static void begin(rag_records *r, size_t at)
{
    r->start = r->at = at;
    r->depth = r->values = 0;
    r->string = r->escaped = false;
}

/* Between records: to the first byte of the next. 1 found, 0 the end, -1 something else stands there, which is passed over. */
static int to_next(rag_records *r)
{
    bool odd = false;
    int much = 0;
    for (;;) {
        if (r->at == r->b.len && (r->start = r->at, !more(r, r->at))) return odd ? -1 : 0;
        char c = r->b.p[r->at];
        if (c == '{' || (c == '[' && r->array)) {
            if (odd) return -1;
            begin(r, r->at);
            return 1;
        }
        if (c == '[') r->array = true;
        else if (c == ']') r->array = false;
        else odd |= !strchr(" \t\r\n,\xEF\xBB\xBF", c) || c == 0;
        r->at++;
        if (odd && ++much > PIECE) return -1;           /* the rest of it is told as another */
    }
}

/* Goes on to the record's end. 1 there, 0 the file ends before it, -1 its line does, in the middle of a string, -2 it is too
 * large. */
static int to_end(rag_records *r)
{
    for (;; r->at++) {
        if (r->at == r->b.len && !more(r, r->start)) return 0;
        size_t n = r->at - r->start;
        if (n > RECORD_MAX || 2 * n + VALUE_BYTES * (size_t)r->values > RECORD_MEMORY) return -2;
        char c = r->b.p[r->at];
        if (r->escaped) r->escaped = false;
        else if (r->string && c == '\\') r->escaped = true;
        else if (r->string && c == '\n') {              /* no string holds one: it was never closed */
            r->string = false;
            if (!r->array) return -1;
        } else if (c == '"') r->string = !r->string;
        else if (!r->string && (c == '{' || c == '[')) r->depth++, r->values++;
        else if (!r->string && (c == '}' || c == ']') && --r->depth == 0) {
            r->at++;
            return 1;
        } else r->values += !r->string && c == ',';
    }
}

/* A half of a pair that stands alone, or a zero, would cost the whole record: they become the sign for what is no character. */
static void mend_escapes(char *p, size_t n)
{
    for (size_t i = 0; i + 5 < n; i++) {
        if (p[i] != '\\') continue;
        if (p[i + 1] != 'u') {
            i++;
            continue;
        }
        char hex[5] = {p[i + 2], p[i + 3], p[i + 4], p[i + 5], 0};
        unsigned long u = strtoul(hex, NULL, 16), v = 0;
        if (u >= 0xD800 && u < 0xDC00 && i + 11 < n && p[i + 6] == '\\' && p[i + 7] == 'u') {
            char low[5] = {p[i + 8], p[i + 9], p[i + 10], p[i + 11], 0};
            v = strtoul(low, NULL, 16);
        }
        bool pair = u >= 0xD800 && u < 0xDC00 && v >= 0xDC00 && v < 0xE000, alone = u >= 0xD800 && u < 0xE000 && !pair;
        if ((alone || u == 0) && strspn(hex, "0123456789abcdefABCDEF") == 4) memcpy(p + i + 2, "fffd", 4);
        i += pair ? 11 : 5;
    }
}

/* From { to the end of the first name, with the blanks between. */
static size_t mark_of(const char *p, size_t n)
{
    size_t i = 1;
    while (i < n && strchr(" \t\r\n", p[i])) i++;
    if (i >= n || p[i] != '"') return 0;
    for (i++; i < n && i < MARK_MAX - 1 && p[i] != '"'; i++) {}
    return i < n && p[i] == '"' ? i + 1 : 0;
}

/* Looks in b from `from` to `to` for the beginning of another record. */
static bool look_on(rag_records *r, size_t from, size_t to)
{
    if (!r->n_mark || ++r->looks > LOOKS) return false;
    for (size_t i = from; i + r->n_mark <= to; i++) {
        const char *p = memchr(r->b.p + i, '{', to - r->n_mark + 1 - i);
        if (!p) return false;
        i = (size_t)(p - r->b.p);
        size_t before = i;
        while (before > 0 && strchr(" \t\r\n", r->b.p[before - 1])) before--;
        bool parted = before < i || (before > 0 && strchr(",[", r->b.p[before - 1]));
        if (!parted || memcmp(p, r->mark, r->n_mark) != 0) continue;
        begin(r, i);
        return r->found = true;
    }
    return false;
}

/* Where none was good yet, others are taken to begin as the present one does. */
static void take_mark(rag_records *r, size_t end)
{
    if (!r->n_mark && (r->n_mark = mark_of(r->b.p + r->start, end - r->start)) > 0) memcpy(r->mark, r->b.p + r->start, r->n_mark);
}

/* The present one is given up without an end: to the next that begins as good ones do, however far; else to the file's end. */
static void give_up(rag_records *r)
{
    if (look_on(r, r->start + 1, r->b.len)) return;
    while (r->n_mark && r->looks <= LOOKS) {
        size_t keep = r->b.len > MARK_MAX ? r->b.len - MARK_MAX : 0;
        r->start = r->at = keep;
        if (!more(r, keep)) break;
        if (look_on(r, 0, r->b.len)) return;
        r->looks--;                                 /* this was no try but a look at new bytes */
    }
    while (more(r, r->start = r->at = r->b.len)) {}
    begin(r, r->b.len);
}

bool rag_records_next(rag_records *r, rag_record *out)
{
    int64_t was = r->base + (int64_t)r->at;
    int rc = 1;
    r->doubtful = r->found;
    if (r->found) r->found = false;
    else rc = to_next(r);
    if (rc == 0) return false;
    *out = (rag_record){.number = ++r->number, .at = rc < 0 ? was : r->base + (int64_t)r->start, .doubtful = r->doubtful};
    if (rc < 0) {
        out->why = _("something stands there that is no record");
        return true;
    }
    rc = to_end(r);
    if (rc == 1) {
        out->p = r->b.p + r->start;
        out->n = r->at - r->start;
        mend_escapes(out->p, out->n);
        return true;
    }
    out->why = rc == -2 ? _("it is larger than any conversation") : _("it is cut off in the middle");
    take_mark(r, r->at);
    if (rc == -1) r->depth = 0;                     /* what follows begins with the next line */
    else give_up(r);
    return true;
}

void rag_records_good(rag_records *r)
{
    size_t n = mark_of(r->b.p + r->start, r->at - r->start);
    if (n) memcpy(r->mark, r->b.p + r->start, r->n_mark = n);
    r->looks = 0;
}

void rag_records_bad(rag_records *r)
{
    take_mark(r, r->at);
    look_on(r, r->start + 1, r->at);
}
