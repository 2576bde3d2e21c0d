/* engine/grammar/json: see json.h. By recursive descent, to a bounded depth. */
#include "engine/grammar/json.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 200 };
typedef struct reader { const char *text; size_t n, at; int depth, ids; char *err; } reader;

void json_place(const char *text, uint32_t at, int *line, int *column)
{
    *line = *column = 1;
    for (uint32_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else
            *column += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
}

static int wrong(const reader *r, size_t at, const char *what)
{
    int line, column;
    json_place(r->text, (uint32_t)at, &line, &column);
    return q_fail(r->err, Q_FORMAT, _("the JSON schema, line %d, column %d: %s"), line, column, what);
}

void json_free(json *j)
{
    while (j) {
        json *next = j->next;
        json_free(j->child);
        free(j->key);
        free(j->text);
        free(j);
        j = next;
    }
}

const json *json_get(const json *o, const char *key)
{
    for (const json *m = o->type == JSON_OBJECT ? o->child : NULL; m; m = m->next)
        if (strcmp(m->key, key) == 0)
            return m;
    return NULL;
}

int json_length(const json *j)
{
    int n = 0;
    for (const json *m = j->child; m; m = m->next)
        n++;
    return n;
}

static int peek(const reader *r) { return r->at < r->n ? (unsigned char)r->text[r->at] : -1; }

static void blanks(reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\n' || peek(r) == '\t' || peek(r) == '\r')
        r->at++;
}

static bool digit(int c) { return c >= '0' && c <= '9'; }

static int digits(reader *r)
{
    if (!digit(peek(r)))
        return wrong(r, r->at, _("a digit is expected here"));
    while (digit(peek(r)))
        r->at++;
    return Q_OK;
}

static int number(reader *r, json *j)
{
    size_t from = r->at;
    int rc = Q_OK;
    r->at += peek(r) == '-';
    if (peek(r) == '0' && r->at + 1 < r->n && digit((unsigned char)r->text[r->at + 1]))
        return wrong(r, r->at, _("a number does not begin with 0"));
    rc = digits(r);
    if (rc == Q_OK && peek(r) == '.') {
        r->at++;
        rc = digits(r);
    }
    if (rc == Q_OK && (peek(r) == 'e' || peek(r) == 'E')) {
        r->at++;
        r->at += peek(r) == '+' || peek(r) == '-';
        rc = digits(r);
    }
    j->type = JSON_NUMBER;
    j->text = q_strndup(r->text + from, r->at - from);
    j->n = r->at - from;
    return rc;
}

static int hex4(reader *r, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int c = peek(r), d = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            return wrong(r, r->at, _("\\u takes four hexadecimal digits"));
        *out = *out << 4 | (uint32_t)d;
    }
    return Q_OK;
}

static int escape(reader *r, uint32_t *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek(r), rc;
    const char *p = c > 0 ? strchr(from, c) : NULL;
    r->at += c >= 0;
    if (p) {
        *out = (unsigned char)to[p - from];
        return Q_OK;
    }
    if (c != 'u')
        return wrong(r, r->at - 1, _("an escape that JSON does not know"));
    if ((rc = hex4(r, out)) < 0)
        return rc;
    if (*out >= 0xD800 && *out <= 0xDBFF && r->n - r->at >= 2 && memcmp(r->text + r->at, "\\u", 2) == 0) {
        uint32_t low;
        r->at += 2;
        if ((rc = hex4(r, &low)) < 0)
            return rc;
        if (low < 0xDC00 || low > 0xDFFF)
            return wrong(r, r->at - 6, _("the second half of a character is missing here"));
        *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
    } else if (*out >= 0xD800 && *out <= 0xDFFF)
        return wrong(r, r->at - 6, _("half a character: it can stand in no text"));
    return Q_OK;
}

static int string(reader *r, char **out, size_t *n)
{
    size_t from = r->at;
    q_buf b = { 0 };
    int rc = Q_OK;
    if (peek(r) != '"')
        return wrong(r, from, _("a text in \" is expected here"));
    r->at++;
    q_buf_puts(&b, "");
    while (rc == Q_OK && peek(r) != '"') {
        uint32_t c = 0;
        char u[4];
        if (peek(r) < 0)
            rc = wrong(r, from, _("this text has no end: a \" is missing"));
        else if (peek(r) < 0x20)
            rc = wrong(r, r->at, _("a line break or another control character inside a text: write it as \\n or \\u00XX"));
        else if (peek(r) == '\\') {
            r->at++;
            rc = escape(r, &c);
        } else {
            int k = q_utf8_next(r->text + r->at, r->n - r->at, &c);
            if (k == 1 && c == 0xFFFD)
                rc = wrong(r, r->at, _("this byte is no UTF-8: save the file as UTF-8"));
            r->at += (size_t)k;
        }
        q_buf_add(&b, u, (size_t)q_utf8_put(u, c));
    }
    r->at++;
    *n = b.len;
    *out = q_buf_take(&b);
    return rc;
}

static int value(reader *r, json **out);

static int members(reader *r, json *j)
{
    bool object = j->type == JSON_OBJECT;
    int end = object ? '}' : ']', rc;
    json **last = &j->child;
    r->at++;
    blanks(r);
    if (peek(r) == end) {
        r->at++;
        return Q_OK;
    }
    for (;; r->at++) {
        char *key = NULL;
        size_t n, from;
        blanks(r);
        from = r->at;
        if (object) {
            rc = string(r, &key, &n);
            if (rc == Q_OK && strlen(key) != n)
                rc = wrong(r, from, _("a name with a NUL in it cannot be kept"));
            if (rc == Q_OK && json_get(j, key))
                rc = wrong(r, from, _("this name stands twice here: one of the two must go"));
            blanks(r);
            if (rc == Q_OK && peek(r) != ':')
                rc = wrong(r, r->at, _("a : is expected here, behind the name"));
            if (rc < 0) {
                free(key);
                return rc;
            }
            r->at++;
            blanks(r);
        }
        rc = value(r, last);
        if (*last) {
            (*last)->key = key;
            if (object)
                (*last)->at = (uint32_t)from;
            last = &(*last)->next;
        } else
            free(key);
        if (rc < 0)
            return rc;
        blanks(r);
        if (peek(r) == end) {
            r->at++;
            return Q_OK;
        }
        if (peek(r) != ',')
            return wrong(r, r->at, object ? _("a , or } is expected here") : _("a , or ] is expected here"));
    }
}

static bool word(reader *r, const char *w)
{
    size_t k = strlen(w);
    if (r->n - r->at < k || memcmp(r->text + r->at, w, k) != 0)
        return false;
    r->at += k;
    return true;
}

static int value(reader *r, json **out)
{
    int c = peek(r), rc = Q_OK;
    json *j = *out = q_alloc(sizeof *j);
    j->at = (uint32_t)r->at;
    j->id = r->ids++;
    if (++r->depth > DEEPEST)
        return wrong(r, r->at, _("nested too deep"));
    if (c == '{' || c == '[') {
        j->type = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        rc = members(r, j);
    } else if (c == '"') {
        j->type = JSON_STRING;
        rc = string(r, &j->text, &j->n);
    } else if (c == '-' || digit(c))
        rc = number(r, j);
    else if (word(r, "true"))
        j->type = JSON_TRUE;
    else if (word(r, "false"))
        j->type = JSON_FALSE;
    else if (word(r, "null"))
        j->type = JSON_NULL;
    else
        rc = wrong(r, r->at, _("a value is expected here: an object, a list, a text, a number, true, false or null"));
    r->depth--;
    return rc;
}

int json_read(const char *text, size_t n, json **out, int *n_values, char *err)
{
    reader r = { .text = text, .n = n, .err = err };
    *out = NULL;
    blanks(&r);
    int rc = value(&r, out);
    blanks(&r);
    if (rc == Q_OK && r.at < n)
        rc = wrong(&r, r.at, _("something stands behind the schema's end"));
    *n_values = r.ids;
    if (rc < 0) {
        json_free(*out);
        *out = NULL;
    }
    return rc;
}

/* ---- pointers ---- */
/* One step of a pointer, its escapes undone. */
static char *step_of(const char *p, size_t n)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (size_t i = 0; i < n; i++) {
        int byte = q_percent(p + i, n - i);
        if (byte >= 0) {
            q_buf_putc(&b, (char)byte);
            i += 2;
        } else
            q_buf_putc(&b, p[i]);
    }
    size_t k = 0;
    for (size_t i = 0; i < b.len; i++) {
        if (b.p[i] == '~' && (b.p[i + 1] == '0' || b.p[i + 1] == '1'))
            b.p[k++] = b.p[++i] == '0' ? '~' : '/';
        else
            b.p[k++] = b.p[i];
    }
    b.p[k] = 0;
    return q_buf_take(&b);
}

/* The schema of that $anchor in or below j. */
static const json *anchored(const json *j, const char *name)
{
    for (; j; j = j->next) {
        const json *own = json_get(j, "$anchor"), *found = own && own->type == JSON_STRING && strcmp(own->text, name) == 0 ? j : anchored(j->child, name);
        if (found)
            return found;
    }
    return NULL;
}

const json *json_at(const json *root, const char *p)
{
    const json *at = root;
    if (*p && *p != '/')
        return anchored(root, p);
    while (*p == '/' && at) {
        size_t n = strcspn(++p, "/");
        char *step = step_of(p, n);
        if (at->type == JSON_ARRAY) {
            char *end;
            long i = strtol(step, &end, 10);
            at = *step && !*end && i >= 0 ? at->child : NULL;
            for (; at && i > 0; i--)
                at = at->next;
        } else
            at = json_get(at, step);
        free(step);
        p += n;
    }
    return at;
}
